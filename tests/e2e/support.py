"""What the end-to-end tests share: a gateway in a folder of its own, operator
commands, the exported events, throw-away certificates, curl, raw sockets, and
a runner that prints `PASS name` and `FAIL name: why` and shows every log when
a test failed.

Programs come from the environment: PORTREEVE_BIN (folder), PORTREEVE_BUILD.
"""
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PORTREEVE_BIN", ROOT / "build/release"))
BUILD = os.environ.get("PORTREEVE_BUILD", "release")
ASAN = BUILD == "asan"
ROOTED = os.getuid() == 0
# Sanitized programs are slower; a time limit is a safety net, never a pace.
SLOW = 4 if ASAN else 1

os.environ.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_leaks=0")
# Freed memory that is kept to catch late readers would hide what is used.
os.environ["ASAN_OPTIONS"] += ":quarantine_size_mb=8"
for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)


class Failed(Exception):
    pass


def check(ok, why="not as expected"):
    if not ok:
        raise Failed(why)


def equal(got, want, what=""):
    if got != want:
        raise Failed(f"{what}: got {got!r}, want {want!r}")


def has(text, *parts):
    for p in parts:
        if p not in text:
            raise Failed(f"{p!r} is not in {text[:2000]!r}")


def hasnt(text, *parts):
    for p in parts:
        if p in text:
            raise Failed(f"{p!r} is in {text[:2000]!r}")


def until(what, condition, timeout=20):
    """Waits for a condition of another process; its value."""
    end = time.monotonic() + timeout * SLOW
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise Failed(f"not within {timeout * SLOW} s: {what}")
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def own_network(address):
    """As root: runs this program again in a network of its own, in which the
    loopback also has `address`. False when that cannot be."""
    import fcntl
    import struct
    if os.environ.get("OWN_NETWORK") == address:
        def ioctl(s, what, name, data):
            fcntl.ioctl(s, what, struct.pack("16s24s", name.encode(), data))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            up = struct.pack("H", 0x41)     # IFF_UP | IFF_RUNNING
            ioctl(s, 0x8914, "lo", up)      # SIOCSIFFLAGS
            ioctl(s, 0x8916, "lo:1", struct.pack(
                "HH4s", socket.AF_INET, 0, socket.inet_aton(address)))
        return True
    if not ROOTED or not shutil.which("unshare"):
        print("not root: cases that need a network of their own are left out")
        return False
    if subprocess.run(["unshare", "-n", "true"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        print("no network namespaces here: cases that need one are left out")
        return False
    os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv],
               {**os.environ, "OWN_NETWORK": address})


# --- certificates ---------------------------------------------------------

class Certificates:
    """A throw-away CA; server certificates as good or as bad as asked."""

    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.ca = self.dir / "ca.pem"
        self._openssl("req", "-x509", *self._new("ca"), "-days", 30, "-subj",
                      "/CN=test authority", "-addext",
                      "basicConstraints=critical,CA:TRUE", "-addext",
                      "keyUsage=critical,keyCertSign,cRLSign", "-out", self.ca)
        self.serial = 100

    def _openssl(self, *args):
        p = subprocess.run(["openssl", *map(str, args)], text=True,
                           stdin=subprocess.DEVNULL, capture_output=True)
        if p.returncode != 0:
            raise Failed(f"openssl {args[0]}: {p.stderr}")

    def _new(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", self.dir / f"{name}.key"]

    def make(self, name, names=("DNS:localhost", "IP:127.0.0.1"),
             cn="test server", expired=False, self_signed=False):
        """(certificate, key); names: subjectAltName entries, none: CN only."""
        crt, key = self.dir / f"{name}.pem", self.dir / f"{name}.key"
        ext = self.dir / f"{name}.ext"
        ext.write_text("basicConstraints=CA:FALSE\n"
                       "extendedKeyUsage=serverAuth\n" +
                       (f"subjectAltName={','.join(names)}\n" if names else ""))
        if self_signed:
            san = [a for n in names for a in ("-addext",
                                              f"subjectAltName={n}")][:2]
            self._openssl("req", "-x509", *self._new(name), "-days", 10,
                          "-subj", f"/CN={cn}", *san, "-out", crt)
            return crt, key
        csr = self.dir / f"{name}.csr"
        self._openssl("req", "-new", *self._new(name), "-subj", f"/CN={cn}",
                      "-out", csr)
        self.serial += 1
        if expired:
            # x509 -req knows only days from now: `ca` can set the end.
            conf = self.dir / f"{name}.cnf"
            db = self.dir / f"{name}.db"
            db.write_text("")
            (self.dir / f"{name}.srl").write_text("%04X" % self.serial)
            conf.write_text(f"""[ca]\ndefault_ca=c\n[c]\ndatabase={db}
new_certs_dir={self.dir}\nserial={self.dir}/{name}.srl\ndefault_md=sha256
policy=p\nunique_subject=no\n[p]\ncommonName=supplied\n""")
            day = datetime.timedelta(days=1)
            now = datetime.datetime.now(datetime.timezone.utc)
            self._openssl("ca", "-batch", "-notext", "-config", conf, "-cert",
                          self.ca, "-keyfile", self.dir / "ca.key", "-in", csr,
                          "-startdate", (now - 9 * day).strftime(
                              "%Y%m%d%H%M%SZ"), "-enddate",
                          (now - 2 * day).strftime("%Y%m%d%H%M%SZ"),
                          "-extfile", ext, "-out", crt)
        else:
            self._openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey",
                          self.dir / "ca.key", "-set_serial", self.serial,
                          "-days", 10, "-extfile", ext, "-out", crt)
        return crt, key

    def server_context(self, pair):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*pair)
        return c


# --- the gateway -----------------------------------------------------------

def descendants(pid):
    """pid -> (parent, command line words) of all below pid."""
    table = {}
    for p in pathlib.Path("/proc").iterdir():
        if not p.name.isdigit():
            continue
        try:
            stat = (p / "stat").read_text()
            words = (p / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2:].split()
        if fields[0] != "Z":
            table[int(p.name)] = (int(fields[1]),
                                  [w.decode(errors="replace") for w in words])
    found, more = {}, [pid]
    while more:
        up = more.pop()
        for child, (parent, words) in table.items():
            if parent == up and child not in found:
                found[child] = (parent, words)
                more.append(child)
    return found


def memory(pid, field="VmRSS"):
    """Bytes, from /proc/PID/status (readable for processes of others too)."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise Failed(f"no {field} of process {pid}")


class Gateway:
    """`portreeve serve` in a fresh folder. connectors: name -> settings."""

    def __init__(self, name, connectors, conf=None, certs=None, env=None,
                 listen=(), start=True):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"portreeve-{name}."))
        self.dir.chmod(0o755)   # the roles' user must reach state and run
        self.state, self.run = self.dir / "state", self.dir / "run"
        self.proxy_port, self.mount_port = free_port(), free_port()
        self.env = dict(os.environ, PORTREEVE_CONFIG=str(
            self.dir / "portreeve.yaml"), **(env or {}))
        self.events_file = self.state / "export/events.jsonl"
        self.proc = None
        self.starts = 0
        self.stopped_well = True
        self.stdio = self.dir / "stdio"
        settings = {
            "state": str(self.state), "run": str(self.run),
            "proxies": 1,
            "listen": [{"explicit": f"127.0.0.1:{self.proxy_port}"},
                       {"mount": f"127.0.0.1:{self.mount_port}"},
                       {"stdio": str(self.stdio)}, *listen],
            "connectors": "connectors.d", "rules": str(ROOT / "rules"),
            "trust": {"system": False, "files":
                      [str(certs.ca)] if certs else []},
            "business_hours": {"zone": "UTC", "days": "mon-sun",
                               "from": "00:00", "to": "23:59"},
            "limits": {"advice_time": "2s" if ASAN else "500ms"},
            "sinks": [{"name": "archive", "type": "file",
                       "path": str(self.events_file)}]}
        if ROOTED:
            settings["user"] = "nobody"
        for k, v in (conf or {}).items():
            if isinstance(v, dict):
                settings[k] = {**settings.get(k, {}), **v}
            else:
                settings[k] = v
        self.conf = settings
        (self.dir / "connectors.d").mkdir()
        for n, c in connectors.items():
            self.connector(n, c)
        # JSON is YAML.
        (self.dir / "portreeve.yaml").write_text(json.dumps(settings, indent=1))
        if start:
            self.start()

    def connector(self, name, c):
        c = {"name": name, "kind": "mcp", "owner": "tests", "purpose": "tests",
             "agents": ["*"], **c}
        (self.dir / "connectors.d" / f"{name}.yaml").write_text(
            json.dumps(c, indent=1))

    def start(self, env=None, args=()):
        self.starts += 1
        self.log_path = self.dir / f"serve{self.starts}.log"
        r, w = os.pipe()
        with open(self.log_path, "wb") as log:
            self.proc = subprocess.Popen(
                [str(BIN / "portreeve"), "serve", "-c",
                 self.env["PORTREEVE_CONFIG"], "--ready-fd", str(w), *args],
                env={**self.env, **(env or {})}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, pass_fds=[w])
        os.close(w)
        with open(r, "rb") as f:
            os.set_blocking(r, False)
            end = time.monotonic() + 60 * SLOW
            while True:
                got = f.read()
                if got == b"" or time.monotonic() > end:
                    raise Failed("the gateway did not get ready:\n" +
                                 self.log())
                if got:
                    return self
                time.sleep(0.01)

    def stop(self):
        if self.proc is None or self.proc.poll() is not None:
            return
        self.proc.terminate()
        try:
            self.proc.wait(20 * SLOW)
        except subprocess.TimeoutExpired:
            self.stopped_well = False
            self.kill_all()

    def kill_all(self):
        """kill -9 of the supervisor; what it leaves must end by itself."""
        left = set(descendants(self.proc.pid))
        self.proc.kill()
        self.proc.wait()
        until("the daemons end when the supervisor is gone", lambda: not any(
            pathlib.Path(f"/proc/{p}/cmdline").exists() and
            b"portreeve" in pathlib.Path(f"/proc/{p}/cmdline").read_bytes()
            for p in left))

    def close(self):
        self.stop()
        check(self.stopped_well, "the gateway did not stop when told")
        # What a sanitizer says ends a role; it must never have said a thing.
        for word in ("AddressSanitizer", "runtime error:", "ASSERT"):
            hasnt(self.log(), word)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        return "".join(p.read_text(errors="replace")
                       for p in sorted(self.dir.glob("serve*.log")))

    # -- processes

    def roles(self):
        """role name -> pid; parents under their program's name."""
        out = {}
        for pid, (_, words) in descendants(self.proc.pid).items():
            if "--role" in words:
                out[words[words.index("--role") + 1]] = pid
            elif words and "portreeve-" in words[0]:
                out[pathlib.Path(words[0]).name] = pid
        return out

    # -- the operator

    def cli(self, *args, input=None, ok=True, timeout=30):
        p = subprocess.run([str(BIN / "portreeve"), *map(str, args)],
                           env=self.env, input=input, text=True,
                           capture_output=True, timeout=timeout * SLOW,
                           stdin=None if input is not None else
                           subprocess.DEVNULL)
        if ok is True and p.returncode != 0:
            raise Failed(f"portreeve {' '.join(map(str, args))}: exit "
                         f"{p.returncode}\n{p.stdout}{p.stderr}")
        return p

    def session(self, user="alice", agent="coder", trust=None):
        args = ["session", "open", "--user", user, "--agent", agent, "--for",
                "1h"] + (["--trust", trust] if trust else [])
        token = self.cli(*args).stdout.strip()
        check(token.startswith("prt_"), f"no token: {token!r}")
        return token

    def pending(self, want=1):
        """Waits for held calls; their ids."""
        return until(f"{want} held calls", lambda: (
            lambda ids: ids if len(ids) >= want else None)(self._pending()))

    def _pending(self):
        return [w.split()[0] for w in
                self.cli("approval", "ls").stdout.splitlines()[1:]
                if w.strip() and w.split()[0] not in ("no", "none")]

    # -- the ledger as the SIEM got it

    def events(self, **want):
        if not self.events_file.exists():
            return []
        rows = []
        for line in self.events_file.read_text().splitlines(True):
            if not line.endswith("\n"):
                break           # still being written
            e = json.loads(line)
            if all(e.get(k) == v for k, v in want.items()):
                rows.append(e)
        return rows

    def event(self, timeout=20, where=None, **want):
        """The latest such event, waited for."""
        def find():
            rows = [e for e in self.events(**want)
                    if where is None or where(e)]
            return rows[-1] if rows else None
        return until(f"an event {want}", find, timeout)

    # -- ways in

    def url(self, connector, rest=False):
        return f"http://127.0.0.1:{self.mount_port}/" \
            f"{'api' if rest else 'mcp'}/{connector}"

    def proxy_url(self, token, agent="coder"):
        return f"http://{agent}:{token}@127.0.0.1:{self.proxy_port}"

    def env_of(self, runtime, token):
        """What `portreeve proxy env` prints for it, with the token."""
        out = self.cli("proxy", "env", "--for", runtime, "--json", "--dir",
                       self.dir / "onramp").stdout
        return {k: v.replace("${PORTREEVE_TOKEN}", token)
                for k, v in json.loads(out)["variables"].items()}

    def ca(self):
        return self.state / "keeper/ca.pem"


# --- clients ---------------------------------------------------------------------

class Answer:
    def __init__(self, status, connect, head, body, error, seconds):
        self.status, self.connect, self.head = status, connect, head
        self.body, self.error, self.seconds = body, error, seconds

    @property
    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} (CONNECT {self.connect}) {self.head} " \
            f"{self.text[:1000]} {self.error}"


def curl(gw, url, *args, token=None, via="proxy", data=None, timeout=60,
         ctype="application/json", insecure=False):
    """curl -x (explicit) or straight (mount); data: str, bytes or object."""
    with tempfile.TemporaryDirectory() as tmp:
        cmd = ["curl", "-sS", "--max-time", str(timeout * SLOW), "--noproxy",
               "" if via == "proxy" else "*", "-o", f"{tmp}/body", "-D",
               f"{tmp}/head", "--suppress-connect-headers", "-w",
               "%{http_code} %{http_connect} %{time_total}"]
        if via == "proxy":
            cmd += ["-x", gw.proxy_url(token) if token else
                    f"http://127.0.0.1:{gw.proxy_port}", "--cacert",
                    str(gw.ca())]
        elif token:
            cmd += ["-H", f"Authorization: Bearer {token}"]
        if data is not None:
            if not isinstance(data, (str, bytes)):
                data = json.dumps(data)
            if isinstance(data, str):
                data = data.encode()
            pathlib.Path(f"{tmp}/data").write_bytes(data)
            cmd += ["--data-binary", f"@{tmp}/data", "-H",
                    f"Content-Type: {ctype}"]
        p = subprocess.run(cmd + [*map(str, args), url], capture_output=True,
                           text=True, stdin=subprocess.DEVNULL)
        code, connect, secs = (p.stdout.split() + ["0"] * 3)[:3]

        def read(n):
            f = pathlib.Path(f"{tmp}/{n}")
            return f.read_bytes() if f.exists() else b""
        return Answer(int(code), int(connect), read("head").decode(
            errors="replace"), read("body"), p.stderr, float(secs))


def rpc(method, params=None, id=1):
    m = {"jsonrpc": "2.0", "method": method}
    if id is not None:
        m["id"] = id
    if params is not None:
        m["params"] = params
    return m


def call(tool, arguments=None, id=1, **meta):
    p = {"name": tool, "arguments": arguments or {}}
    if meta:
        p["_meta"] = meta
    return rpc("tools/call", p, id)


def recv_all(s, timeout=15, until=None):
    """To the end, for the timeout, or to where `until` has come."""
    s.settimeout(timeout * SLOW)
    out = b""
    try:
        while until is None or until not in out:
            d = s.recv(65536)
            if not d:
                break
            out += d
    except (TimeoutError, ConnectionResetError, ssl.SSLError):
        pass
    return out


def ended(s, timeout=5):
    """Does the other side end this idle connection?"""
    s.settimeout(timeout * SLOW)
    try:
        return s.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def raw(port, data, timeout=15, shutdown=False, until=None):
    """Sends bytes, reads until the other side closes (or for timeout)."""
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(data)
        if shutdown:
            s.shutdown(socket.SHUT_WR)
        return recv_all(s, timeout, until)


def connect(gw, token, authority, tls=None, sni=None):
    """A tunnel: a socket after CONNECT; tls: verify with the gateway's CA."""
    import base64
    s = socket.create_connection(("127.0.0.1", gw.proxy_port))
    s.settimeout(15 * SLOW)
    cred = base64.b64encode(f"coder:{token}".encode()).decode()
    s.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
              f"Proxy-Authorization: Basic {cred}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        d = s.recv(1)
        if not d:
            break
        head += d
    if b" 200 " not in head.split(b"\r\n")[0] + b" ":
        raise Failed(f"CONNECT {authority}: {head!r}")
    if tls is None:
        return s
    ctx = ssl.create_default_context(cafile=str(tls))
    return ctx.wrap_socket(s, server_hostname=sni or authority.split(":")[0])


# --- the runner ----------------------------------------------------------------------

class Suite:
    """with suite.case("name"): ... ; suite.end() exits."""

    def __init__(self, name):
        self.name = name
        self.failures = 0
        self.gateways, self.logs, self.cleanups = [], [], []
        self.started = time.monotonic()
        self.only = sys.argv[1:]

    def gateway(self, *args, **kw):
        g = Gateway(*args, start=False, **kw)
        self.gateways.append(g)
        return g.start()

    @contextlib.contextmanager
    def case(self, name):
        began = time.monotonic()
        self.passed = False
        try:
            yield
            self.passed = True
            print(f"PASS {name}", flush=True)
        except Exception as e:
            self.failures += 1
            why = str(e) if isinstance(e, Failed) else \
                traceback.format_exc().strip()
            print(f"FAIL {name}: " + why.replace("\n", "\n     "), flush=True)
        if os.environ.get("TIMES"):
            print(f"     {time.monotonic() - began:.2f} s", flush=True)

    def end(self):
        for g in self.gateways:
            with self.case(f"{g.dir.name.split('.')[0]}: stops cleanly") \
                    if g.proc and g.proc.poll() is None else \
                    contextlib.nullcontext():
                g.close() if not self.failures else g.stop()
        for f in reversed(self.cleanups):
            f()
        if self.failures:
            for g in self.gateways:
                if not g.dir.exists():
                    continue
                print(f"--- log of {g.dir.name}\n{g.log()[-20000:]}")
                print(f"--- last events of {g.dir.name}")
                for e in g.events()[-25:]:
                    print(json.dumps(e)[:1200])
                if not os.environ.get("KEEP"):
                    shutil.rmtree(g.dir, ignore_errors=True)
            for p in self.logs:
                if pathlib.Path(p).exists():
                    print(f"--- {p}\n" + pathlib.Path(p).read_text(
                        errors="replace")[-8000:])
        print(f"{self.name}: {self.failures} failed, "
              f"{time.monotonic() - self.started:.1f} s")
        sys.stdout.flush()
        os._exit(1 if self.failures else 0)
