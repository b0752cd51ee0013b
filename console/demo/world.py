"""The demo's world: a throw-away folder with a CA, two MCP servers, a syslog
receiver, a configuration and the daemons. Everything listens on loopback, on
ports that were free; stop() leaves neither a process nor a file behind.
"""
import ctypes
import getpass
import json
import os
import pathlib
import pwd
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SOCKET_PATH_MAX = 107
START_SECONDS = 60
PR_SET_PDEATHSIG = 1
SYS_LANDLOCK_CREATE_RULESET = 444
CONNECTORS = ("helpdesk", "intranet")
libc = ctypes.CDLL(None, use_errno=True)


class Wrong(Exception):
    """Something did not come out as claimed."""


def until(what, test, seconds=20):
    """The first true value of test(), asked again and again."""
    end = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise Wrong(f"waited {seconds} s for {what}")
        time.sleep(0.01)


def whole_lines(text):
    """Without the one that is still being written."""
    return text[:text.rfind("\n") + 1].splitlines()


def has_landlock():
    return libc.syscall(SYS_LANDLOCK_CREATE_RULESET, None, 0, 1) > 0


# --- processes ------------------------------------------------------------

def die_with_me():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def parents():
    """pid -> parent's pid, of every process that is no zombie."""
    table = {}
    for p in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = p.read_text(errors="replace")
        except OSError:
            continue
        state, ppid = text[text.rindex(")") + 2:].split()[:2]
        if state not in "ZX":
            table[int(p.parent.name)] = int(ppid)
    return table


def tree(pid):
    """pid and everything below it."""
    table = parents()
    found, todo = [], [pid] if pid in table else []
    while todo:
        p = todo.pop()
        found.append(p)
        todo += [c for c, parent in table.items() if parent == p]
    return found


def alive(pids):
    return sorted(set(pids) & set(parents()))


def free_ports(n):
    """Below the range that outgoing connections take theirs from, so that
    they are still free when the daemons come back after a kill -9."""
    ports = []
    for port in random.sample(range(20000, 32000), 1000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        ports.append(port)
        if len(ports) == n:
            return ports
    raise Wrong("no free port from 20000 to 32000")


# --- the folder -----------------------------------------------------------

def reachable(path):
    """Can another user walk to this folder?"""
    path = pathlib.Path(path).resolve()
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents))


def make_folder():
    """As root the daemons' roles become another user, who must get there;
    and a unix socket's path is short."""
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if not os.path.isdir(base) or not os.access(base, os.W_OK):
            continue
        if os.geteuid() == 0 and not reachable(base):
            continue
        if len(base) + 40 > SOCKET_PATH_MAX:
            continue
        folder = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-", dir=base))
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        return folder
    raise SystemExit("demo: no temporary folder that the daemons can reach:"
                     " set TMPDIR to one with a short path")


def private(path, text=""):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(text)


def openssl(*args):
    p = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL,
                       capture_output=True, text=True)
    if p.returncode != 0:
        raise SystemExit(f"demo: openssl {args[0]}: {p.stderr.strip()}")


def make_certificates(d):
    """A CA for two days and one certificate for localhost."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca.key", "server.key"):
        private(d / name)
    openssl("req", "-x509", *curve, "-days", "2", "-keyout", str(d / "ca.key"),
            "-out", str(d / "ca.pem"), "-subj", "/CN=Portreeve demo servers",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-new", *curve, "-keyout", str(d / "server.key"),
            "-out", str(d / "server.csr"), "-subj", "/CN=localhost")
    (d / "server.ext").write_text(
        "basicConstraints=critical,CA:FALSE\n"
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", str(d / "server.csr"), "-days", "2",
            "-CA", str(d / "ca.pem"), "-CAkey", str(d / "ca.key"),
            "-CAcreateserial", "-extfile", str(d / "server.ext"),
            "-out", str(d / "server.pem"))


CONF = """\
# The demo's configuration.
state: {dir}/state
run: {dir}/run
{user}{sandbox}proxies: 1
listen:
  - explicit: 127.0.0.1:{proxy}
  - mount: 127.0.0.1:{mount}
connectors: connectors.d
rules: rules
trust: {{ system: false, files: [tls/ca.pem] }}
# It is not between these hours now: see the finding of the off-hours call.
business_hours: {{ zone: UTC, days: mon-sun, from: "{open}", to: "{close}" }}
limits: {{ advice_time: 5s }}
sinks:
  - {{ name: siem, type: syslog, address: "127.0.0.1:{syslog}",
      ca: tls/ca.pem, server_name: localhost }}
  - {{ name: archive, type: file, path: {dir}/state/export/events.jsonl }}
"""

CONNECTOR = """\
name: {name}
kind: mcp
url: https://localhost:{port}/mcp
pin: [127.0.0.1, "::1"]
owner: demo
purpose: a demo MCP server
environment: demo
data_class: internal
agents: [coder, nightly]
# What cannot be undone is refused here, not only held.
matrix: {{ supervised: {{ dangerous: deny }} }}
tools:
  read_ticket: {{ class: read-only }}
  read_page: {{ class: read-only }}
  watch: {{ class: read-only }}
  send_email: {{ class: moderate }}
  delete_repo: {{ class: dangerous }}
"""


class World:
    def __init__(self, binaries):
        self.bin = pathlib.Path(binaries).resolve()
        if not (self.bin / "portreeve").exists():
            raise SystemExit(f"demo: no portreeve in {self.bin}: run make")
        self.dir = make_folder()
        self.conf = self.dir / "portreeve.yaml"
        self.state = self.dir / "state"
        self.archive = self.state / "export" / "events.jsonl"
        self.ca = self.state / "keeper" / "ca.pem"
        self.log_path = self.dir / "serve.log"
        self.syslog_path = self.dir / "syslog.txt"
        self.helpers, self.seen = [], set()
        self.serve = None
        me = getpass.getuser()
        # Nobody may approve the call of an own agent: be somebody else.
        self.user = "alice" if me != "alice" else "ada"
        self.ports = {}
        self.notes = []

    # --- making -----------------------------------------------------------

    def make(self):
        tls = self.dir / "tls"
        tls.mkdir()
        make_certificates(tls)
        shutil.copytree(ROOT / "rules", self.dir / "rules")
        for p in (self.dir / "rules").rglob("*"):
            p.chmod(0o755 if p.is_dir() else 0o644)
        (self.dir / "rules").chmod(0o755)
        for d in (tls, self.dir / "rules"):
            d.chmod(0o755)
        pair = ["--cert", str(tls / "server.pem"), "--key",
                str(tls / "server.key")]
        for name in CONNECTORS:
            self.ports[name] = self.helper(
                "mcp_server.py", *pair, "--name", name, "--received",
                str(self.received_path(name)), out=self.dir / f"{name}.out")
        self.ports["syslog"] = self.helper("syslog_receiver.py", *pair,
                                           out=self.syslog_path)
        self.ports["proxy"], self.ports["mount"] = free_ports(2)
        self.configure()

    def configure(self):
        hour = time.gmtime().tm_hour
        user = sandbox = ""
        if os.geteuid() == 0:
            try:
                pwd.getpwnam("nobody")
            except KeyError:
                raise SystemExit("demo: as root it needs the user nobody")
            user = "user: nobody\n"
        if not has_landlock():
            sandbox = "sandbox: best-effort\n"
            self.notes.append("this kernel has no Landlock: the sandbox is"
                              " seccomp only (sandbox: best-effort)")
        self.conf.write_text(CONF.format(
            dir=self.dir, user=user, sandbox=sandbox,
            open=f"{(hour + 10) % 24:02}:00", close=f"{(hour + 12) % 24:02}:00",
            **self.ports))
        folder = self.dir / "connectors.d"
        folder.mkdir(mode=0o755)
        for name in CONNECTORS:
            (folder / f"{name}.yaml").write_text(CONNECTOR.format(
                name=name, port=self.ports[name]))

    def helper(self, script, *args, out):
        """Starts one of our programs; its port, once it says ready."""
        with open(out, "w") as f:
            p = subprocess.Popen(
                [sys.executable, str(HERE / script), *args], stdout=f,
                stderr=f, stdin=subprocess.DEVNULL, start_new_session=True,
                preexec_fn=die_with_me)
        self.helpers.append(p)
        self.seen.add(p.pid)

        def port():
            if p.poll() is not None:
                raise Wrong(f"{script} ended:\n{out.read_text()}")
            m = re.match(r"ready (\d+)\n", out.read_text())
            return m and int(m.group(1))
        return until(f"{script} to be ready", port)

    # --- the daemons ------------------------------------------------------

    def start(self):
        """portreeve serve; returns when it says ready."""
        started = time.monotonic()
        r, w = os.pipe()
        with open(self.log_path, "a") as log:
            self.serve = subprocess.Popen(
                [str(self.bin / "portreeve"), "serve", "-c", str(self.conf),
                 "--ready-fd", str(w)], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, pass_fds=[w],
                start_new_session=True, preexec_fn=die_with_me)
        os.close(w)
        with os.fdopen(r, "rb", buffering=0) as f:
            line = b""              # also when every holder has closed it
            if select.select([f], [], [], START_SECONDS)[0]:
                line = f.read(64)
        self.note_processes()
        if line != b"ready\n":
            raise Wrong("the daemons did not start")
        return time.monotonic() - started

    def note_processes(self):
        pids = tree(self.serve.pid) if self.serve else []
        self.seen.update(pids)
        return pids

    def kill_all(self):
        """kill -9 of every daemon; how many there were."""
        pids = self.note_processes()
        for p in pids:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.serve.wait()
        until("the killed daemons to be gone", lambda: not alive(pids))
        self.serve = None
        return len(pids)

    def stop(self):
        """Everything ends, the folder goes; what was left, if anything."""
        left = []
        if self.serve is not None:
            pids = self.note_processes()
            self.serve.terminate()
            try:
                code = self.serve.wait(20)
                if code != 0:
                    left.append(f"portreeve serve ended with {code}")
            except subprocess.TimeoutExpired:
                left.append("portreeve serve did not stop within 20 s")
                self.kill_all()
            end = time.monotonic() + 5
            while alive(pids) and time.monotonic() < end:
                time.sleep(0.01)
        for p in self.helpers:
            p.kill()
            p.wait()
        left += [f"process {p} is still there" for p in alive(self.seen)]
        shutil.rmtree(self.dir, ignore_errors=True)
        if self.dir.exists():
            left.append(f"{self.dir} could not be removed")
        return left

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except OSError:
            return ""

    # --- the operator -----------------------------------------------------

    def run(self, *args, ok=(0,)):
        """portreeve ARGS as an operator: (exit code, stdout, stderr)."""
        env = {**os.environ, "PORTREEVE_CONFIG": str(self.conf),
               "NO_COLOR": "1"}
        p = subprocess.run([str(self.bin / "portreeve"), *args], env=env,
                           stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=60)
        if ok is not None and p.returncode not in ok:
            raise Wrong(f"portreeve {' '.join(args)}: exit {p.returncode}: "
                        f"{(p.stderr or p.stdout).strip()}")
        return p.returncode, p.stdout, p.stderr

    def json(self, *args):
        return json.loads(self.run(*args, "--json")[1])

    def token(self, user, agent):
        return self.run("session", "open", "--user", user, "--agent", agent,
                        "--for", "1h")[1].strip()

    def search(self, **what):
        """Rows of the ledger as events."""
        args = [x for k, v in what.items() for x in ("--" + k, v)]
        out = self.run("audit", "search", *args, "--json", ok=(0, 1))[1]
        return [json.loads(l) for l in out.splitlines()]

    # --- what arrived -----------------------------------------------------

    def received_path(self, name):
        return self.dir / f"{name}.received"

    def received(self, name):
        """The tools/call messages that reached a server: (tool, arguments)."""
        calls = []
        for e in self.server_log(name):
            m = e.get("message", {})
            if m.get("method") == "tools/call":
                calls.append((m["params"]["name"], m["params"]["arguments"]))
        return calls

    def server_log(self, name):
        try:
            text = self.received_path(name).read_text()
        except OSError:
            return []
        return [json.loads(l) for l in whole_lines(text)]

    def syslog(self):
        """Messages the receiver got, as it printed them."""
        return whole_lines(self.syslog_path.read_text())[1:]

    def url(self, name):
        return f"https://localhost:{self.ports[name]}/mcp"

    def mount(self, name):
        return f"http://127.0.0.1:{self.ports['mount']}/mcp/{name}"

    def proxy(self):
        return f"127.0.0.1:{self.ports['proxy']}"
