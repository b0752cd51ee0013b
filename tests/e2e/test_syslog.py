#!/usr/bin/env python3
"""The exporter against real receivers: rsyslog with TLS that is stopped, hung,
killed and restarted, receivers that cannot be trusted or confirm nothing, a
file that is rotated. Every event arrives, in order; duplicates carry the
same id. It mostly waits."""
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from rolekit import Ledger, Role, until     # noqa: E402

EVENTS = 5000
TOP = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-syslog."))
RNG = random.Random(4)
NASTY = ['plain', 'quo"te', 'back\\slash', 'brack]et', 'line\nbreak',
         'esc\x1b[2J', '\u00fcml\u00e4ut', 'nul\x00', '\u2028', '= [x y="z"]']


def make_events(n, first=1, size=400):
    rows = []
    for i in range(first, first + n):
        u = uuid.UUID(int=RNG.getrandbits(128))
        e = {"id": str(u), "time": "2026-01-02T03:04:%02d.%03dZ" %
             (i // 1000 % 60, i % 1000), "type": "call.decision",
             "role": "proxy", "call": str(uuid.UUID(int=i)),
             "user": NASTY[i % len(NASTY)], "agent": "ops",
             "connector": "github", "tool": "create_issue",
             "verdict": "allow", "n": i,
             "arguments": {"text": "x" * RNG.randrange(size)}}
        rows.append((u, json.dumps(e, separators=(",", ":"),
                                   ensure_ascii=False)))
    return rows


# --- receivers ---------------------------------------------------------------

def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates():
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for ca in ("ca", "other"):
        openssl("req", "-x509", *key, "-days", 2, "-subj", f"/CN=test {ca}",
                "-keyout", TOP / f"{ca}.key", "-out", TOP / f"{ca}.pem")
    openssl("req", *key, "-subj", "/CN=receiver", "-keyout",
            TOP / "srv.key", "-out", TOP / "srv.csr")
    (TOP / "ext").write_text("subjectAltName=DNS:siem.test\n")
    openssl("x509", "-req", "-in", TOP / "srv.csr", "-CA", TOP / "ca.pem",
            "-CAkey", TOP / "ca.key", "-CAcreateserial", "-days", 2,
            "-extfile", TOP / "ext", "-out", TOP / "srv.pem")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Rsyslog:
    def __init__(self, name):
        self.dir = TOP / name
        self.dir.mkdir()
        self.out = self.dir / "received"
        self.port = free_port()
        self.conf = self.dir / "rsyslog.conf"
        self.proc = None
        # No queue of its own: what it has read is written.
        self.conf.write_text(f"""
global(workDirectory="{self.dir}" maxMessageSize="128k"
  defaultNetstreamDriverCAFile="{TOP}/ca.pem"
  defaultNetstreamDriverCertFile="{TOP}/srv.pem"
  defaultNetstreamDriverKeyFile="{TOP}/srv.key")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1"
  StreamDriver.AuthMode="anon")
template(name="raw" type="string" string="%rawmsg%\\n")
ruleset(name="in" queue.type="Direct") {{
  action(type="omfile" file="{self.out}" template="raw")
}}
input(type="imtcp" port="{self.port}" address="127.0.0.1" ruleset="in")
""")

    def start(self):
        self.log = open(self.dir / "log", "ab")
        self.proc = subprocess.Popen(
            ["rsyslogd", "-n", "-f", str(self.conf), "-i",
             str(self.dir / "pid")], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log)

    def send(self, sig):
        self.proc.send_signal(sig)

    def end(self, sig=signal.SIGTERM):
        if self.proc is not None:
            self.send(sig)
            self.proc.wait(30)
            self.proc = None

    def lines(self):
        if not self.out.exists():
            return []
        return self.out.read_bytes().decode().split("\n")[:-1]


class Receiver(threading.Thread):
    """A TLS server of our own that can be told to behave badly."""

    def __init__(self, version=None, port=0):
        super().__init__(daemon=True)
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(TOP / "srv.pem", TOP / "srv.key")
        if version:
            self.ctx.maximum_version = version
        self.sock = socket.create_server(("127.0.0.1", port))
        self.port = self.sock.getsockname()[1]
        self.streams = []
        self.cut_after = None       # bytes, then reset, once
        self.closed = False
        self.start()

    def run(self):
        while not self.closed:
            try:
                raw, _ = self.sock.accept()
            except OSError:
                return
            try:
                raw.settimeout(60)
                tls = self.ctx.wrap_socket(raw, server_side=True)
            except (OSError, ssl.SSLError):
                raw.close()
                continue
            stream = bytearray()
            self.streams.append(stream)
            try:
                while True:
                    data = tls.recv(65536)
                    if not data:
                        break
                    stream += data
                    if self.cut_after and len(stream) > self.cut_after:
                        self.cut_after = None
                        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       b"\x01\0\0\0\0\0\0\0")
                        break
            except (OSError, ssl.SSLError):
                pass
            tls.close()

    def messages(self):
        out = []
        for s in list(self.streams):
            out += frames(bytes(s))
        return out

    def close(self):
        self.closed = True
        self.sock.close()


def frames(data):
    """MSG-LEN SP SYSLOG-MSG (RFC 5425, 4.3); an unfinished last one is left
    out."""
    out = []
    while data:
        m = re.match(rb"([1-9][0-9]*) ", data)
        if not m:
            assert data.isdigit(), data[:40]
            break
        n, at = int(m[1]), m.end()
        if len(data) < at + n:
            break
        out.append(data[at:at + n].decode())
        data = data[at + n:]
    return out


# --- what arrived -------------------------------------------------------------

MESSAGE = re.compile(
    r'<(\d{1,3})>1 (\S+) (\S+) portreeve (\S+) (\S+) '
    r'\[portreeve@32473((?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")*)\] (\{.*\})',
    re.S)
PARAM = re.compile(r' ([a-z]+)="((?:[^"\\\]]|\\["\\\]])*)"')


def parse(line):
    m = MESSAGE.fullmatch(line)
    assert m, f"no RFC 5424 message: {line[:300]!r}"
    params = {k: re.sub(r'\\(["\\\]])', r"\1", v)
              for k, v in PARAM.findall(m[6])}
    return params, json.loads(m[7]), m[7]


def check_messages(lines, rows):
    """All of rows, first occurrences in order, duplicates with the same id."""
    seen = 0
    for line in lines:
        params, event, raw = parse(line)
        seq = int(params["seq"])
        want_id, want = rows[seq - 1]
        assert params["id"] == str(want_id) == event["id"], seq
        assert raw == want, f"seq {seq} changed: {raw[:200]} / {want[:200]}"
        user = json.loads(want)["user"]
        shown = "".join("\\u%04x" % ord(c) if c < " " else c for c in user)
        assert params["user"] == shown, (params["user"], user)
        assert seq <= seen + 1, f"seq {seq} after {seen}: skipped"
        seen = max(seen, seq)
    assert seen == len(rows), f"{seen} of {len(rows)} arrived"
    return len(lines) - seen


# --- the exporter ----------------------------------------------------------------

def own(*folders):
    for f in folders:
        if os.getuid() == 0:
            shutil.chown(f, "nobody")


class World:
    """A state folder, a config, a ledger, and the exporter on them."""

    def __init__(self, name, sink):
        self.dir = TOP / f"state-{name}"
        (self.dir / "export").mkdir(parents=True)
        self.conf = self.dir / "portreeve.yaml"
        user = ""
        if os.getuid() == 0:
            # Roles do not stay root: their folders are the user's.
            user = "user: nobody\n"
            own(TOP, self.dir, self.dir / "export")
        self.conf.write_text(
            f"state: {self.dir}\nrun: {self.dir}\n{user}"
            f"sandbox: best-effort\n"
            f"sinks:\n  - {{ name: {name}, {sink} }}\n")
        self.ledger = Ledger()
        self.role = None

    def start(self):
        self.role = Role("portreeve-export", "exporter", self.conf,
                         {"export": self.dir / "export"}, self.dir / "log")
        self.ledger.attach(self.role)

    def wait(self, what, condition, timeout=60):
        def holds():
            code = self.role.proc.poll()
            assert code is None, f"{what}: the exporter ended, {code}"
            return condition()
        try:
            until(what, holds, timeout)
        except AssertionError as e:
            raise AssertionError(f"{e}; exporter: {self.role.doing()}; "
                                 f"delivered {self.ledger.done_seq} of "
                                 f"{self.ledger.head()}") from e

    def close(self):
        if self.role is not None and self.role.proc.poll() is None:
            self.role.kill()
        self.ledger.close()


def syslog_sink(port, ca="ca", name="siem.test", host="localhost"):
    return f'type: syslog, address: "{host}:{port}", ' \
        f'ca: {TOP}/{ca}.pem, server_name: {name}'


def commit_slowly(ledger, rows, size=20, pause=0.002):
    for i in range(0, len(rows), size):
        ledger.commit(rows[i:i + size])
        time.sleep(pause)


def test_rsyslog_stopped_hung_killed_restarted():
    r = Rsyslog("rsyslog")
    w = World("siem", syslog_sink(r.port))
    rows = make_events(EVENTS)
    fifth = EVENTS // 5
    try:
        w.start()               # before the receiver is there
        commit_slowly(w.ledger, rows[:50])
        r.start()
        commit_slowly(w.ledger, rows[50:fifth])
        w.wait("first delivery", lambda: w.ledger.done_seq > fifth // 2)
        r.end(signal.SIGTERM)
        commit_slowly(w.ledger, rows[fifth:2 * fifth])
        r.start()
        w.wait("delivery after a restart",
              lambda: w.ledger.done_seq > fifth + 100)
        r.send(signal.SIGSTOP)
        commit_slowly(w.ledger, rows[2 * fifth:3 * fifth])
        stuck = w.ledger.done_seq
        w.wait("the exporter gives up the hung connection",
              lambda: "no progress" in w.role.log(), 40)
        assert w.ledger.done_seq <= stuck + 1000, "a hung receiver confirmed"
        r.send(signal.SIGCONT)
        w.wait("delivery after the hang",
              lambda: w.ledger.done_seq > 2 * fifth + 100)
        commit_slowly(w.ledger, rows[3 * fifth:3 * fifth + 300])
        r.end(signal.SIGKILL)
        commit_slowly(w.ledger, rows[3 * fifth + 300:4 * fifth])
        w.role.kill()
        r.start()
        w.start()
        commit_slowly(w.ledger, rows[4 * fifth:])
        w.wait("all delivered", lambda: w.ledger.done_seq == EVENTS)
        log = w.role.log()
        assert "the receiver confirms what it has read" in log, log
        assert w.role.stop() == 0
        until("the last line", lambda: r.lines() and
              f'seq="{EVENTS}"' in r.lines()[-1])
        again = check_messages(r.lines(), rows)
        print(f"  {EVENTS} events, {again} duplicates, "
              f"{w.ledger.reads} catch-up reads")
    finally:
        r.end(signal.SIGKILL)
        w.close()


def test_receiver_of_another_ca_gets_nothing():
    refuse("ca-of-another", "other", "siem.test")


def test_receiver_of_another_name_gets_nothing():
    refuse("another-name", "ca", "siem.example")


def refuse(name, ca, server_name):
    s = Receiver()
    w = World(name, syslog_sink(s.port, ca, server_name))
    try:
        w.ledger.commit(make_events(10))
        w.start()
        w.wait("refusals", lambda: w.role.log().count("certificate:") >= 2)
        assert not s.messages() and w.ledger.done_seq == 0
    finally:
        w.close()
        s.close()


def test_tls12_receiver_confirmed_by_its_kernel():
    s = Receiver(ssl.TLSVersion.TLSv1_2)
    w = World("tls12", syslog_sink(s.port, host="127.0.0.1"))
    rows = make_events(500)
    try:
        s.cut_after = 50000
        w.ledger.commit(rows[:300])
        w.start()
        commit_slowly(w.ledger, rows[300:])
        w.wait("all delivered", lambda: w.ledger.done_seq == 500)
        assert "only the receiver's kernel confirms" in w.role.log()
        assert len(s.streams) >= 2
        check_messages(s.messages(), rows)
    finally:
        w.close()
        s.close()


def test_connections_cut_in_the_middle():
    s = Receiver()
    w = World("cut", syslog_sink(s.port))
    rows = make_events(2000)
    try:
        w.start()
        for i in range(4):
            s.cut_after = 60001 + i
            commit_slowly(w.ledger, rows[500 * i:500 * i + 500])
            w.wait("delivery", lambda: w.ledger.done_seq == 500 * i + 500)
        assert len(s.streams) >= 4
        check_messages(s.messages(), rows)
    finally:
        w.close()
        s.close()


def test_oversized_event_goes_out_cut():
    s = Receiver()
    w = World("big", syslog_sink(s.port))
    rows = make_events(3)
    e = json.loads(rows[1][1])
    e["arguments"] = {"text": "y" * 3000000}
    rows[1] = (rows[1][0], json.dumps(e, separators=(",", ":"),
                                      ensure_ascii=False))
    try:
        w.ledger.commit(rows)
        w.start()
        w.wait("all delivered", lambda: w.ledger.done_seq == 3)
        got = [parse(m) for m in s.messages()]
        assert [g[0]["seq"] for g in got] == ["1", "2", "3"]
        assert got[1][0]["truncated"] == "1"
        assert got[1][1]["truncated"] is True
        assert got[1][1]["original_bytes"] == len(rows[1][1].encode())
        assert got[1][1]["arguments"] == {"truncated": True, "bytes": 3000011}
        assert got[1][1]["user"] == e["user"]
    finally:
        w.close()
        s.close()


def rss_kib(pid):
    s = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", s)[1])


def test_sink_down_blocks_nobody_and_stays_small():
    port = free_port()
    w, s = World("down", syslog_sink(port)), None
    rows = make_events(20000, size=4000)
    try:
        w.start()
        w.wait("the subscription", lambda: w.ledger.subscribed)
        before = rss_kib(w.role.pid())
        started = time.monotonic()
        for i in range(0, len(rows), 100):
            w.ledger.commit(rows[i:i + 100])
            w.wait("the exporter takes the feed",
                   lambda: not w.ledger.out, 10)
        took = time.monotonic() - started
        assert w.ledger.skipped == 0, "the recorder had to skip rows"
        grown = rss_kib(w.role.pid()) - before
        print(f"  {sum(len(r[1]) for r in rows) >> 20} MiB of events in "
              f"{took:.1f} s with the sink down; {grown >> 10} MiB more memory")
        # The sanitizer keeps freed memory: the bound is that of the release.
        if os.environ.get("PORTREEVE_BUILD") != "asan":
            assert grown < 24 << 10, f"{grown} KiB"
        s = Receiver(port=port)
        w.wait("all delivered at last",
               lambda: w.ledger.done_seq == len(rows), 120)
        check_messages(s.messages(), rows)
    finally:
        w.close()
        if s is not None:
            s.close()


def check_file(paths, rows):
    seen = 0
    for p in paths:
        data = p.read_bytes()
        assert data.endswith(b"\n") or not data
        for line in data.decode().split("\n")[:-1]:
            seq = json.loads(line)["seq"]
            assert line == '{"seq":%d,' % seq + rows[seq - 1][1][1:]
            assert seq <= seen + 1
            seen = max(seen, seq)
    assert seen == len(rows), f"{seen} of {len(rows)}"


def test_file_rotated_and_exporter_killed():
    folder = TOP / "files"
    folder.mkdir()
    own(folder)
    f = folder / "events.jsonl"
    w = World("archive", f"type: file, path: {f}")
    rows = make_events(3000)
    try:
        w.start()
        commit_slowly(w.ledger, rows[:1000])
        w.wait("some delivered", lambda: w.ledger.done_seq > 500)
        w.role.kill()
        with open(f, "ab") as half:     # as a power cut leaves it
            half.write(b'{"seq":999999,"id":"ha')
        w.start()
        commit_slowly(w.ledger, rows[1000:1500])
        f.rename(folder / "events.jsonl.1")
        commit_slowly(w.ledger, rows[1500:])
        w.wait("all delivered", lambda: w.ledger.done_seq == 3000)
        assert f.exists()
        check_file([folder / "events.jsonl.1", f], rows)
        assert w.role.stop() == 0
    finally:
        w.close()


def test_missing_rows_are_told():
    f = TOP / "gap.jsonl"
    w = World("gap", f"type: file, path: {f}")
    rows = make_events(100)
    try:
        w.ledger.missing = {40, 41, 42}
        w.ledger.commit(rows)
        w.start()
        w.wait("all delivered", lambda: w.ledger.done_seq == 100)
        got = [json.loads(x)["seq"] for x in f.read_text().split("\n")[:-1]]
        assert got == [s for s in range(1, 101) if s not in (40, 41, 42)]
        w.wait("the event", lambda: w.ledger.emitted)
        e = json.loads(w.ledger.emitted[0])
        assert (e["type"], e["from"], e["to"], e["sink"]) == \
            ("export.gap", 40, 42, "gap"), e
    finally:
        w.close()


def test_another_ledger_is_told_and_exported_whole():
    f = TOP / "rewound.jsonl"
    w = World("rewound", f"type: file, path: {f}")
    old, new = make_events(50), make_events(30)
    try:
        w.ledger.commit(old)
        w.start()
        w.wait("all delivered", lambda: w.ledger.done_seq == 50)
        w.role.kill()
        w.ledger.rows = list(new)
        w.ledger.done_seq = 0
        w.start()
        w.wait("all delivered", lambda: w.ledger.done_seq == 30)
        got = [json.loads(x)["id"] for x in f.read_text().split("\n")[:-1]]
        assert got == [str(i) for i, _ in old + new]
        w.wait("the event", lambda: w.ledger.emitted)
        e = json.loads(w.ledger.emitted[0])
        assert (e["type"], e["exported"]) == ("export.rewound", 50), e
    finally:
        w.close()


def test_sandbox_is_on():
    w = World("sandboxed", f"type: file, path: {TOP}/sandboxed.jsonl")
    try:
        w.start()
        s = pathlib.Path(f"/proc/{w.role.pid()}/status").read_text()
        assert re.search(r"^Seccomp:\s+2$", s, re.M), s
        assert re.search(r"^NoNewPrivs:\s+1$", s, re.M), s
    finally:
        w.close()


def test_throughput():
    """A figure, not a limit: CPU of the exporter for each event."""
    f = TOP / "fast.jsonl"
    s = Receiver()
    rows = make_events(20000, size=800)
    for name, sink in (("fast", f"type: file, path: {f}"),
                       ("fast-tls", syslog_sink(s.port))):
        w = World(name, sink)
        try:
            w.ledger.commit(rows)
            w.start()
            w.wait("all delivered", lambda: w.ledger.done_seq == len(rows), 120)
            t = pathlib.Path(f"/proc/{w.role.pid()}/stat").read_text()
            t = t.rsplit(") ", 1)[1].split()
            cpu = (int(t[11]) + int(t[12])) / os.sysconf("SC_CLK_TCK")
            print(f"  {name}: {cpu / len(rows) * 1e6:.1f} us of CPU an event")
        finally:
            w.close()
    s.close()


def main():
    failed = 0
    only = sys.argv[1:]
    make_certificates()
    for name, fn in list(globals().items()):
        if not name.startswith("test_") or only and name not in only:
            continue
        try:
            fn()
            print(f"PASS {name}", flush=True)
        except Exception as e:      # one test must not end the others
            failed += 1
            print(f"FAIL {name}: {e}", flush=True)
            traceback.print_exc(file=sys.stdout)
            for log in sorted(TOP.glob("*/log")):
                print(f"--- {log}\n" + log.read_text(errors="replace")[-4000:])
    if not failed:
        shutil.rmtree(TOP)
    return failed != 0


sys.exit(main())
