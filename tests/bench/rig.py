"""rig - what the bench measures with: programs, certificates, the peers'
configurations, and what a process has used of CPU and memory."""
import atexit
import base64
import hashlib
import json
import os
import pathlib
import pwd
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HERE = ROOT / "tests/bench"
BIN = pathlib.Path(os.environ.get("PORTREEVE_BIN", ROOT / "build/release"))
OUT = ROOT / "build/bench"
DEPS = ("libssl libcrypto sqlite3 jansson libnghttp2 libsodium yaml-0.1 libhs libpcre2-8 "
        "libcares libseccomp").split()
NAME = "bench.localhost"
BIG = 100000            # bytes of a large answer
NAMES = 1900            # fresh leaves; the authority takes 2,048 hosts
SUBJECT_CPU, LOAD_CPU = 0, 1
PINNED = (os.cpu_count() or 1) > 1
ROOTLY = os.geteuid() == 0
STDIO_ECHO = [os.path.realpath(sys.executable), str(HERE / "stdio_echo.py")]


class Broken(Exception):
    """A measurement could not be made."""


def prefer(pid, priority=10):
    """Other work of the machine shall disturb little: subjects, load and
    origin all run round robin before it, where root may say so."""
    try:
        if ROOTLY:
            os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(priority))
    except OSError:
        pass


def _quick(cpu, priority):
    def before():
        os.setsid()
        if PINNED:
            os.sched_setaffinity(0, {cpu})
        prefer(os.getpid(), priority)
        many_descriptors()
    return before


def many_descriptors():
    """As many as may be had; how many those are."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# --- programs ---------------------------------------------------------------

def build():
    """Compiles the C programs of this folder into build/bench."""
    OUT.mkdir(parents=True, exist_ok=True)
    libs = subprocess.run(["pkg-config", "--libs", *DEPS], check=True,
                          text=True, capture_output=True).stdout.split()
    includes = [f"-I{ROOT / d}" for d in (
        "lib/base lib/text lib/sys lib/net lib/wire gateway/gate "
        "gateway/action monitor/audit .").split()]
    archives = [str(ROOT / f"build/release/librank{r}.a")
                for r in range(7, -1, -1)]
    for name in ("load", "origin", "ledger_speed", "redact_speed"):
        own = name.endswith("_speed")
        subprocess.run(
            ["cc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra",
             *includes, "-o", str(OUT / name), str(HERE / f"{name}.c"),
             *(archives if own else []),
             *(libs + ["-lm"] if own else ["-lssl", "-lcrypto"])], check=True)


running = []


def start(cmd, cpu, log, priority=10, **kw):
    p = subprocess.Popen([str(c) for c in cmd],
                         preexec_fn=_quick(cpu, priority),
                         stderr=open(log, "ab"),
                         **{"stdin": subprocess.DEVNULL, **kw})
    running.append(p)
    return p


def stop(p):
    if p is None or p not in running:
        return
    running.remove(p)
    pids = tree(p.pid)
    if p.poll() is None:
        p.terminate()
        try:
            p.wait(8)
        except subprocess.TimeoutExpired:
            pass
    for pid in pids:        # what it left behind
        try:
            if ppid(pid) is not None:
                os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    p.wait()


atexit.register(lambda: [stop(p) for p in list(running)])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port, p, log):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if p.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Broken(f"{p.args[0]} does not listen:\n" +
                 pathlib.Path(log).read_text()[-2000:])


# --- what processes use -------------------------------------------------------

def ppid(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
        return int(text[text.rindex(")") + 2:].split()[1])
    except OSError:
        return None


def tree(pid):
    kids, out = {}, []
    for d in os.listdir("/proc"):
        if d.isdigit():
            kids.setdefault(ppid(int(d)), []).append(int(d))
    todo = [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


def role(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def cpu(pid):
    """Nanoseconds on a CPU, of all its threads."""
    total = 0
    try:
        for t in os.listdir(f"/proc/{pid}/task"):
            total += int(pathlib.Path(
                f"/proc/{pid}/task/{t}/schedstat").read_text().split()[0])
    except OSError:
        pass
    return total


def descriptors(pids):
    """How many each has open."""
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]


def pss(pids):
    """MB."""
    kb = 0
    for pid in pids:
        try:
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith("Pss:"):
                    kb += int(line.split()[1])
        except OSError:
            pass
    return kb / 1024


# --- the scene ----------------------------------------------------------------

def _openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _ca(d, name):
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-keyout", d / f"{name}.key",
             "-out", d / f"{name}.crt", "-days", 30, "-subj",
             f"/CN=bench {name}", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")


WORDS = ("the report of the quarter was reviewed by the team and its status "
         "is open with priority high for the customer in this region").split()


def _call(size):
    """A JSON-RPC call of `size` bytes."""
    shape = ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":'
             '"echo","arguments":{"text":"%s"}}}')
    rng, text = random.Random(1), ""
    while len(shape) - 2 + len(text) < size:
        text += rng.choice(WORDS) + " "
    return shape % text[:size - len(shape) + 2]


class Scene:
    """A folder with certificates, bodies and logs, and the origin."""

    def __init__(self):
        # Not below build/: the daemons' user must be able to reach it, and
        # not on a tmpfs: the ledger's fsync is part of what is measured.
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-bench-",
                                                 dir="/var/tmp"))
        atexit.register(lambda: shutil.rmtree(self.dir, ignore_errors=True))
        self.dir.chmod(0o755)
        d = self.dir
        _ca(d, "ca")
        _ca(d, "mitm")
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                 "-nodes", "-keyout", d / "srv.key", "-out", d / "srv.csr",
                 "-subj", f"/CN={NAME}")
        (d / "ext").write_text(f"subjectAltName=DNS:{NAME},DNS:*.{NAME}\n")
        _openssl("x509", "-req", "-in", d / "srv.csr", "-CA", d / "ca.crt",
                 "-CAkey", d / "ca.key", "-CAcreateserial", "-days", 30,
                 "-extfile", d / "ext", "-out", d / "srv.crt")
        for n in ("mitm", "srv"):
            (d / f"{n}.pem").write_text((d / f"{n}.crt").read_text() +
                                        (d / f"{n}.key").read_text())
        for f in d.iterdir():
            f.chmod(0o644)
        (d / "body").write_text(_call(1000))
        (d / "small").write_text(_call(200))
        (d / "hosts").write_text("".join(
            f"127.0.0.1 {n}\n" for n in [NAME] + self.names()))

    @staticmethod
    def names():
        return [f"h{i}.{NAME}" for i in range(NAMES)]

    def origin(self, period_ms=1000, cpu=LOAD_CPU, priority=10):
        log = self.dir / "origin.log"
        p = start([OUT / "origin", self.dir / "srv.crt", self.dir / "srv.key",
                   period_ms], cpu, log, priority, stdout=subprocess.PIPE,
                  text=True)
        line = p.stdout.readline()
        if not line:
            raise Broken("the origin does not start:\n" + log.read_text())
        p.port = int(line)
        return p


# --- HTTP/2: nginx as the origin, h2load -----------------------------------------

def origin_h2(scene):
    """nginx that answers every request over HTTP/2 with 1 KB of JSON, or as
    many bytes of text in it as the path /size/N says (BIG)."""
    d, port = scene.dir, free_port()
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [
        {"type": "text", "text": "x" * 900}]}})
    user = "user root;" if ROOTLY else ""
    (d / "www/size").mkdir(parents=True, exist_ok=True)
    (d / f"www/size/{BIG}").write_text(json.dumps({
        "jsonrpc": "2.0", "id": 1, "result": {"content": [
            {"type": "text", "text": ("the report of the quarter was reviewed "
             "by the team " * BIG)[:BIG]}], "isError": False}}))
    (d / "nginx.conf").write_text(f"""{user}
daemon off; worker_processes 1; pid {d}/nginx.pid;
error_log {d}/nginx.log; events {{ worker_connections 4096; }}
http {{ access_log off; open_file_cache max=10; keepalive_requests 100000000;
  client_body_temp_path {d}/nb; proxy_temp_path {d}/np;
  fastcgi_temp_path {d}/nf; uwsgi_temp_path {d}/nu; scgi_temp_path {d}/ns;
  server {{ listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {d}/srv.crt; ssl_certificate_key {d}/srv.key;
    default_type application/json;
    location /size/ {{ root {d}/www; error_page 405 =200 $uri; }}
    location / {{ return 200 '{answer}'; }} }} }}
""")
    log = d / "nginx.out"
    p = start(["nginx", "-p", d, "-c", d / "nginx.conf", "-e",
               d / "nginx.log"], LOAD_CPU, log)
    p.port = port
    wait_port(port, p, log)
    return p


def until_line(f, words):
    """Reads up to a line with these words; what was read."""
    out = ""
    for line in f:
        out += line
        if words in line:
            return out
    raise Broken(f"h2load: {out[-1500:]}")


def h2load_result(out, times, most, error):
    """Of what it wrote of each request: how many a second, and what each took
    in microseconds, sorted. Those it stopped itself at the end, at most `most`,
    have no status: 0 or -1."""
    bad = re.search(r"succeeded, (\d+) failed, (\d+) errored", out)
    rows = [tuple(map(int, line.split())) for line in open(times)
            if line.count("\t") == 2 and line.endswith("\n")]
    cut = sum(r[1] <= 0 for r in rows)
    rows = [r for r in rows if r[1] > 0]
    if len(rows) < 10 or cut > most or any(r[1] != 200 for r in rows) or \
            (bad and (bad[1], bad[2]) != ("0", "0")):
        raise Broken(f"h2load: {len(rows)} requests: {out[-1500:]}{error}")
    ends = sorted(r[0] + r[2] for r in rows)
    return (len(rows) - 1) * 1e6 / max(1, ends[-1] - ends[0]), \
        sorted(r[2] for r in rows)


def measure_h2(subject, connections, streams, seconds, path="/", body="body"):
    """h2load through a tunnel, after a second of warming up: rate, mean,
    median and p99 of times, CPU of the subject."""
    d, log = subject.scene.dir, subject.scene.dir / "tunnel.log"
    times = d / "h2load.times"
    times.unlink(missing_ok=True)
    via = [subject.proxy, f"{NAME}:{subject.origin_port}",
           subject.args[-1]] if subject.args else []
    tunnel = start([sys.executable, ROOT / "tests/bench/tunnel.py",
                    subject.target, *via], LOAD_CPU, log,
                   stdout=subprocess.PIPE, text=True)
    load = late = None
    try:
        port = int(tunnel.stdout.readline())
        pids = subject.pids()
        load = start(["h2load", "-c", connections, "-m", streams, "-D",
                      seconds, "--warm-up-time=1", f"--log-file={times}",
                      "-d", d / body, "-H",
                      "content-type: application/json", "-H",
                      "accept: application/json",
                      f"--connect-to=127.0.0.1:{port}",
                      f"https://{NAME}:{subject.origin_port}{path}"],
                     LOAD_CPU, log, stdout=subprocess.PIPE, text=True)
        # With many connections it does not always end.
        late = threading.Timer(float(seconds) + 15, load.kill)
        late.start()
        until_line(load.stdout, "Main benchmark duration is started")
        at, before = time.monotonic(), {p: cpu(p) for p in pids}
        until_line(load.stdout, "Main benchmark duration is over")
        after = {p: cpu(p) for p in pids}
        lasted = time.monotonic() - at
        late.cancel()
        late = threading.Timer(3, load.kill)
        late.start()
        out = load.stdout.read()
    finally:
        if late is not None:
            late.cancel()
        stop(load)
        stop(tunnel)
    rate, took = h2load_result(out, times, connections * streams,
                               log.read_text()[-500:])
    times.unlink()
    roles = {}
    for p in pids:
        roles[role(p)] = roles.get(role(p), 0) + \
            (after[p] - before[p]) / 1000 / (rate * lasted)
    return {"rate": rate, "roles": roles, "mean_us": sum(took) / len(took),
            "p50_us": took[len(took) // 2], "p99_us":
            took[len(took) * 99 // 100], "cpu_us": sum(roles.values())}


# --- the subjects ---------------------------------------------------------------

def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def round_trips(cmd, seconds, cwd, env=None):
    """One JSON-RPC call of 1 KB after another through a server on stdio:
    sorted microseconds of each."""
    p = start(cmd, SUBJECT_CPU, cwd / "stdio.log", cwd=cwd, text=True,
              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
              env={**os.environ, **(env or {})})
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                       "params": {"name": "echo", "arguments": {
                           "text": "x" * 900}}}) + "\n"

    def one():
        at = time.monotonic_ns()
        p.stdin.write(line)
        p.stdin.flush()
        got = json.loads(p.stdout.readline() or "{}")
        took = (time.monotonic_ns() - at) / 1000
        if "content" not in got.get("result", {}) or \
                got["result"].get("isError"):
            raise Broken(f"stdio: {got}")
        return took
    try:
        for _ in range(50):
            one()
        end = time.monotonic() + seconds
        took = []
        while time.monotonic() < end:
            took.append(one())
        return sorted(took)
    finally:
        p.stdin.close()
        stop(p)


class Subject:
    """What stands between the load and the origin; this one is nothing."""
    name = "direct"
    args = ()
    ca = "ca.crt"

    def __init__(self, scene, origin):
        self.scene, self.origin_port = scene, origin.port
        self.p = None
        self.log = scene.dir / f"{self.name}.log"
        self.target = f"127.0.0.1:{origin.port}"
        self.begin()
        for pid in self.pids():     # a daemon may have made its own session
            prefer(pid)

    def begin(self):
        pass

    def pids(self):
        return tree(self.p.pid) if self.p is not None else []

    def end(self):
        stop(self.p)

    def write(self, name, text):
        path = self.scene.dir / name
        path.write_text(text)
        path.chmod(0o644)
        return path


class Haproxy(Subject):
    name = "haproxy"
    alpn = "http/1.1"
    processes, maxconn = 1, 8000

    def begin(self):
        d, port = self.scene.dir, free_port()
        conf = self.write("haproxy.cfg", f"""\
global
  nbthread 1
  maxconn {self.maxconn}
  ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  option http-keep-alive
  http-reuse safe
listen bench
  bind 127.0.0.1:{port} ssl crt {d}/srv.pem alpn {self.alpn}
  server origin 127.0.0.1:{self.origin_port} ssl verify required ca-file \
{d}/ca.crt verifyhost {NAME} sni str({NAME}) alpn {self.alpn}
""")
        # Several share the port; the kernel deals out connections.
        self.all = [start(["haproxy", "-db", "-f", conf], SUBJECT_CPU,
                          self.log, stdout=subprocess.DEVNULL)
                    for _ in range(self.processes)]
        self.p = self.all[0]
        for p in self.all:
            wait_port(port, p, self.log)
        self.target = f"127.0.0.1:{port}"

    def pids(self):
        return [q for p in self.all for q in tree(p.pid)]

    def end(self):
        for p in self.all:
            stop(p)


class HaproxyTwo(Haproxy):
    processes, maxconn = 2, 9000


class HaproxyH2(Haproxy):
    alpn = "h2"


class Squid(Subject):
    name = "squid"
    ca = "mitm.crt"

    def begin(self):
        d, port = self.scene.dir, free_port()
        run = d / "squid"
        run.mkdir(exist_ok=True)
        run.chmod(0o777)
        tool = "/usr/lib/squid/security_file_certgen"
        shutil.rmtree(run / "db", ignore_errors=True)
        subprocess.run([tool, "-c", "-s", run / "db", "-M", "64MB"],
                       check=True, stdout=subprocess.DEVNULL)
        user = ""
        if ROOTLY:
            user = "cache_effective_user proxy\n"
            uid = pwd.getpwnam("proxy")
            for top, _, files in os.walk(run / "db"):
                for f in [top] + [os.path.join(top, f) for f in files]:
                    os.chown(f, uid.pw_uid, uid.pw_gid)
        conf = self.write("squid.conf", f"""\
http_port 127.0.0.1:{port} ssl-bump generate-host-certificates=on \
dynamic_cert_mem_cache_size=64MB tls-cert={d}/mitm.pem
sslcrtd_program {tool} -s {run}/db -M 64MB
sslcrtd_children 4 startup=4 idle=4
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump bump all
tls_outgoing_options cafile={d}/ca.crt min-version=1.2
http_access allow all
cache deny all
cache_mem 8 MB
access_log none
cache_store_log none
cache_log {run}/cache.log
pid_filename {run}/pid
coredump_dir {run}
max_filedescriptors 16384
via off
forwarded_for delete
client_persistent_connections on
server_persistent_connections on
pinger_enable off
shutdown_lifetime 0 seconds
hosts_file {d}/hosts
dns_nameservers 127.0.0.1
visible_hostname bench
{user}""")
        self.p = start(["squid", "-N", "-f", conf], SUBJECT_CPU, self.log,
                       stdout=subprocess.DEVNULL)
        wait_port(port, self.p, self.log)
        self.args = ("-x", f"127.0.0.1:{port}")


class Portreeve(Subject):
    name = "portreeve"
    ca = "portreeve-ca.pem"
    sink = True
    proxies = 1
    neighbour_port = None   # a second connector, for an agent of its own
    more_conf = ""

    def begin(self):
        d = self.scene.dir
        base = d / "pr"
        shutil.rmtree(base, ignore_errors=True)
        (base / "connectors.d").mkdir(parents=True)
        user, port = "", free_port()
        if ROOTLY:
            user = "user: nobody\n"
            who = pwd.getpwnam("nobody")
            for s in ("state", "run", "export"):
                (base / s).mkdir(mode=0o700)
                os.chown(base / s, who.pw_uid, who.pw_gid)
        else:
            (base / "export").mkdir()
        hosts = ", ".join(f'"{n}:{self.origin_port}"'
                          for n in self.scene.names())
        (base / "connectors.d/bench.yaml").write_text(f"""\
name: bench
kind: mcp
url: https://{NAME}:{self.origin_port}/
hosts: [{hosts}]
pin: [127.0.0.1]
owner: bench
purpose: measuring
agents: [coder]
tools:
  echo: {{ class: read-only }}
""")
        if self.neighbour_port:
            (base / "connectors.d/neighbour.yaml").write_text(f"""\
name: neighbour
kind: mcp
url: https://{NAME}:{self.neighbour_port}/
hosts: ["{NAME}:{self.neighbour_port}"]
pin: [127.0.0.1]
owner: bench
purpose: measuring
agents: [neighbour]
tools:
  echo: {{ class: read-only }}
""")
        self.stdio = base / "stdio"
        echo = ", ".join(json.dumps(w) for w in STDIO_ECHO)
        (base / "connectors.d/stdio.yaml").write_text(f"""\
name: stdio
kind: stdio
command: [{echo}]
digest: sha256:{digest(STDIO_ECHO[0])}
read: [{sys.base_prefix}, {ROOT}/tests/bench]
owner: bench
purpose: measuring
agents: [coder]
tools:
  echo: {{ class: read-only }}
""")
        self.conf = base / "portreeve.yaml"
        self.conf.write_text(f"""\
state: {base}/state
run: {base}/run
{user}proxies: {self.proxies}
listen:
  - explicit: 127.0.0.1:{port}
  - stdio: {self.stdio}
connectors: connectors.d
rules: {ROOT}/rules
trust: {{ system: false, files: [{d}/ca.crt] }}
business_hours: {{ zone: Europe/Berlin, days: mon-fri, from: "08:00", to: "18:00" }}
sinks:
  - {{ name: archive, type: file, path: {base}/export/events.jsonl }}
""" + self.more_conf + os.environ.get("PORTREEVE_BENCH_CONF", ""))
        r, w = os.pipe()
        self.p = start([BIN / "portreeve", "serve", "-c", self.conf,
                        "--ready-fd", w], SUBJECT_CPU, self.log,
                       stdout=subprocess.DEVNULL, pass_fds=[w])
        os.close(w)
        os.set_blocking(r, True)
        if not os.read(r, 100):
            raise Broken("portreeve does not start:\n" +
                         self.log.read_text()[-3000:])
        os.close(r)
        shutil.copy(base / "state/keeper/ca.pem", d / self.ca)
        self.proxy = f"127.0.0.1:{port}"
        self.args = self.agent("coder")

    def proxy_pids(self):
        return [p for p in self.pids() if role(p) == "proxy"]

    def token(self, name):
        return self.run("session", "open", "--user", "alice", "--agent",
                        name, "--for", "1h").stdout.strip()

    def agent(self, name):
        """The load's arguments for an agent of this name."""
        token = self.token(name)
        auth = base64.b64encode(f"{name}:{token}".encode()).decode()
        return ("-x", self.proxy, "-a", f"Basic {auth}")

    def run(self, *args):
        """An operator's command; it shares the CPU with the daemons. began_ns:
        when it was executed, without what this program takes to fork."""
        r, w = os.pipe()

        def before():
            if PINNED:
                os.sched_setaffinity(0, {SUBJECT_CPU})
            prefer(os.getpid())
            os.write(w, time.monotonic_ns().to_bytes(8, "little"))
        p = subprocess.run([BIN / "portreeve", *args, "-c", self.conf],
                           text=True, capture_output=True,
                           preexec_fn=before)
        self.began_ns = int.from_bytes(os.read(r, 8), "little")
        os.close(r)
        os.close(w)
        if p.returncode != 0:
            raise Broken(f"portreeve {' '.join(args)}: {p.stderr}")
        return p


# --- a run of the load -------------------------------------------------------------

class Load:
    """The load generator under way; `begun` and `ended` frame what counts."""

    def __init__(self, subject, *args, cpu=LOAD_CPU, priority=10, port=None,
                 via=None):
        d = subject.scene.dir
        port, via = port or subject.origin_port, via or subject.args
        self.log = d / f"load-{port}.log"
        ca = d / "all.crt"
        ca.write_text("".join(
            (d / n).read_text() for n in {"ca.crt", subject.ca}))
        cmd = [OUT / "load", "-C", ca, "-T",
               f"127.0.0.1:{port}" if via else subject.target, "-s", NAME,
               *via, *args]
        self.p = start(cmd, cpu, self.log, priority, stdout=subprocess.PIPE,
                       stdin=subprocess.PIPE, text=True)

    def wait(self, word):
        line = self.p.stdout.readline().strip()
        if line != word:
            raise Broken(f"load: {line or self.log.read_text()[-500:]}")

    def result(self):
        self.p.stdin.close()
        r = json.loads(self.p.stdout.readline())
        self.p.wait()
        running.remove(self.p)
        if r["error"]:
            r["error"] = r["error"].strip()
        return r


def measure(subject, *args, cpu_of_load=LOAD_CPU,
            memory=lambda x: pss(x.pids())):
    """Runs the load; adds what the subject's processes used meanwhile."""
    load = Load(subject, *args, cpu=cpu_of_load)
    load.wait("begin")
    pids = subject.pids()
    before = {p: cpu(p) for p in pids}
    load.wait("end")
    after = {p: cpu(p) for p in pids}
    subject_mb = memory(subject)
    r = load.result()
    r["subject_mb"] = subject_mb
    r["roles"] = {}
    for p in pids:
        used = after[p] - before[p]
        name = role(p)
        if used > 0 and r["done"] > 0:
            r["roles"][name] = r["roles"].get(name, 0) + \
                used / 1000 / r["done"]
    r["cpu_us"] = sum(r["roles"].values())
    return r
