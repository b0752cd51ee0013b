"""Drives one real role process by itself: plays its parent on the control
socket, and the recorder and the reader from a ledger in memory.

The frames are those of lib/wire/chan.h, the messages those of msgs.def; the
snapshot comes from the program's own compiler role.
"""
import array
import os
import pathlib
import re
import select
import socket
import struct
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PORTREEVE_BIN", ROOT / "build/release"))


def _table(name, pattern):
    return re.findall(pattern, (ROOT / "lib/wire" / name).read_text(), re.M)


MSG = {n: int(v) for n, v in _table("msgs.def", r"^MSG\((\w+), (\d+),")}
ROLE = {n: i for i, n in enumerate(_table("roles.def", r"^ROLE\((\w+),"))}


def u32(v):
    return struct.pack("<I", v)


def u64(v):
    return struct.pack("<Q", v)


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return u32(len(b)) + b


class Chan:
    """One end of a channel; blocking, or fed by pump()."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = bytearray()
        self.fds = []

    def send(self, name, body=b"", fd=None):
        frame = struct.pack("<IHH", len(body), MSG[name], fd is not None) + body
        anc = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                      array.array("i", [fd]))]
        n = self.sock.sendmsg([frame], anc)
        if n < len(frame):
            self.sock.sendall(frame[n:])

    def receive(self):
        data, anc, _, _ = self.sock.recvmsg(1 << 16, socket.CMSG_SPACE(64))
        for level, kind, raw in anc:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.fds += array.array("i", raw[:len(raw) // 4 * 4])
        self.buf += data
        return bool(data)

    def frames(self):
        while len(self.buf) >= 8:
            n, kind, flags = struct.unpack("<IHH", self.buf[:8])
            if len(self.buf) < 8 + n:
                return
            body = bytes(self.buf[8:8 + n])
            del self.buf[:8 + n]
            yield kind, body, self.fds.pop(0) if flags & 1 else None

    def wait(self, timeout=30):
        end = time.monotonic() + timeout
        while True:
            for f in self.frames():
                return f
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                raise TimeoutError("no message on the channel")
            if not self.receive():
                raise EOFError("the role closed its channel")


def spawn(program, args, log):
    """Starts PROGRAM ARGS with a fresh socket as descriptor 3."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    fd = theirs.fileno()
    # dup2 in the child: descriptor 3 may be taken in this process.
    code = "import os,sys; os.dup2(%d,3); os.set_inheritable(3,True); " \
        "os.execv(sys.argv[1], sys.argv[1:])" % fd
    p = subprocess.Popen(["/usr/bin/env", "python3", "-c", code,
                          str(BIN / program)] + args, pass_fds=[fd],
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    theirs.close()
    return p, Chan(ours)


def compile_snapshot(program, conf):
    with open(os.devnull, "wb") as null:
        p, c = spawn(program, ["--role", "compiler", "-c", str(conf)], null)
        kind, body, fd = c.wait(60)
        p.wait()
    if fd is None:
        raise RuntimeError(f"the compiler refused {conf}: {body!r}")
    return fd


class Role:
    """A role process, equipped and ready; log is a path."""

    def __init__(self, program, role, conf, dirs, log, index=0):
        self.log_path = log
        self.role, self.index = role, index
        with open(log, "ab") as f:
            self.proc, self.control = spawn(
                program, ["--role", role, "-c", str(conf)], f)
        snap = compile_snapshot(program, conf)
        self.control.send("SNAPSHOT", b"", snap)
        os.close(snap)
        for name, path in dirs.items():
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
            self.control.send("STATE_DIR", text(name), fd)
            os.close(fd)
        self.control.send("GO", bytes([index, 1]) + struct.pack("<q", 0))
        try:
            kind, _, _ = self.control.wait()
            assert kind == MSG["READY"], kind
        except (EOFError, TimeoutError):
            raise RuntimeError("the role did not start:\n" + self.log())

    def pid(self):
        return self.proc.pid

    def log(self):
        return pathlib.Path(self.log_path).read_text(errors="replace")

    def doing(self):
        """For the report of a failure: state, system call, CPU so far."""
        def read(name):
            try:
                return pathlib.Path(f"/proc/{self.pid()}/{name}").read_text()
            except OSError as e:
                return str(e)
        stat = read("stat").rsplit(") ", 1)[-1].split()
        return f"state {stat[:1]}, cpu {stat[11:13]}, wchan " \
            f"{read('wchan')}, syscall {read('syscall').strip()}"

    def channel(self, peer, sock, index=0):
        self.control.send("CHANNEL", bytes([ROLE[peer], index]), sock.fileno())
        sock.close()

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self, timeout=20):
        """STOP, as the parent says it; the exit code."""
        self.control.send("STOP")
        return self.proc.wait(timeout)


class Ledger(threading.Thread):
    """Rows (id, json) with seq from 1; serves a role as recorder and reader.

    missing: seqs the reader and the feed never give. The recorder never waits
    for a consumer: a row that does not fit its socket now is skipped, as the
    real one does, and the head is told later.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.rows = []
        self.missing = set()
        self.emitted = []       # events the role sent to the recorder
        self.done_seq = 0
        self.skipped = 0        # rows that did not fit the recorder's socket
        self.reads = 0
        self.lock = threading.Lock()
        self.recorder = self.reader = None
        self.subscribed = False
        self.out = bytearray()
        self.behind = False
        self.stopping = False
        self.wake_r, self.wake_w = os.pipe()
        self.start()

    def attach(self, role):
        with self.lock:
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            self.recorder = Chan(pair[0])
            pair[0].setblocking(False)
            self.subscribed, self.behind = False, False
            self.out.clear()
            role.channel("RECORDER", pair[1])
            pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            self.reader = Chan(pair[0])
            role.channel("READER", pair[1])
        os.write(self.wake_w, b"x")

    def commit(self, rows):
        with self.lock:
            for row in rows:
                self.rows.append(row)
                self._push(len(self.rows))
        os.write(self.wake_w, b"x")

    def head(self):
        return len(self.rows)

    def close(self):
        self.stopping = True
        os.write(self.wake_w, b"x")
        self.join()

    # --- inside -----------------------------------------------------------

    def _row(self, seq):
        i, js = self.rows[seq - 1]
        body = u64(seq) + i.bytes + text(js)
        return struct.pack("<IHH", len(body), MSG["FEED_ROW"], 0) + body

    def _push(self, seq):
        if self.recorder is None or not self.subscribed or seq in self.missing:
            return
        if self.behind or len(self.out) > 1 << 20:
            self.behind = True
            self.skipped += 1
            return
        self.out += self._row(seq)

    def _flush(self):
        try:
            while self.out:
                n = self.recorder.sock.send(self.out[:1 << 16])
                del self.out[:n]
        except BlockingIOError:
            return
        except OSError:
            self.recorder = None
            return
        if self.behind:
            self.behind = False
            self.out += struct.pack("<IHHQ", 8, MSG["FEED_HEAD"], 0,
                                    len(self.rows))
            self._flush()

    def _on_recorder(self, kind, body):
        if kind == MSG["FEED_SUBSCRIBE"]:
            first = struct.unpack("<Q", body)[0]
            self.subscribed = True
            if first != len(self.rows) + 1:
                self.behind = True      # only the head, then new rows
        elif kind == MSG["FEED_DONE"]:
            self.done_seq = struct.unpack("<Q", body)[0]
        elif kind == MSG["EVENT"]:
            n, size = struct.unpack("<Q32xI", body[:44])
            self.emitted.append(body[44:44 + size].decode())
            self.out += struct.pack("<IHHQ", 8, MSG["EVENT_ACK"], 0, n)

    def _on_reader(self, kind, body):
        if kind != MSG["READ_RANGE"]:
            return
        q, first, count = struct.unpack("<QQI", body)
        self.reads += 1
        out, nxt, size = [], first, 0
        for seq in range(max(first, 1), len(self.rows) + 1):
            if len(out) == min(count or 1000, 1000) or size > 2 << 20:
                break
            if seq not in self.missing:
                out.append(self._row(seq))
                size += len(out[-1])
                nxt = seq + 1
        done = u64(q) + u64(nxt) + u64(len(self.rows))
        out.append(struct.pack("<IHH", len(done), MSG["READ_DONE"], 0) + done)
        self.reader.sock.sendall(b"".join(out))

    def _serve(self, which, handler):
        chan = getattr(self, which)
        try:
            if not chan.receive():
                raise OSError
            for kind, body, _ in chan.frames():
                handler(kind, body)
        except BlockingIOError:
            pass
        except OSError:
            if getattr(self, which) is chan:
                setattr(self, which, None)

    def run(self):
        while not self.stopping:
            with self.lock:
                chans = [(c.sock, n) for n, c in (("recorder", self.recorder),
                         ("reader", self.reader)) if c is not None]
                waiting = [self.recorder.sock] if self.recorder and \
                    (self.out or self.behind) else []
            r, w, _ = select.select([s for s, _ in chans] + [self.wake_r],
                                    waiting, [], 1)
            if self.wake_r in r:
                os.read(self.wake_r, 4096)
            with self.lock:
                for sock, name in chans:
                    if sock in r:
                        self._serve(name, getattr(self, "_on_" + name))
                if self.recorder is not None:
                    self._flush()


def until(what, condition, timeout=60):
    """Waits for a condition of another process."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.02)
