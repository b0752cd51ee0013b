#!/usr/bin/env python3
"""Connections that end badly, 10,000 of each kind (1,000 with sanitizers): heads
that trickle, heads and bodies that are too large, half-closed and reset ones at
each stage, streams of HTTP/2 that are reset or left open. After each kind every
role has as many descriptors as before, the second half has added nothing to the
proxy's memory, and a call gets its answer."""
import asyncio
import base64
import json
import os
import pathlib
import resource
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time

from h2raw import (DATA, END_HEADERS, END_STREAM, H2, HEADERS, RST, frame,
                   pack)
from support import (ASAN, SLOW, Certificates, Failed, Suite, call, check,
                     curl, equal, has, recv_all, until)

HALF = 500 if ASAN else 5000
BATCH = 250
# Those that wait for their deadline wait together.
resource.setrlimit(resource.RLIMIT_NOFILE, [min(16384, resource.getrlimit(
    resource.RLIMIT_NOFILE)[1])] * 2)
LORIS = min(2500, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 3)
# What the proxy may have grown by in a half: 3 % of itself, and what its
# allocator may be off by.
GROWTH, SLACK = 0.03, 384 << 10

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-leaks."))
top.chmod(0o755)
suite = Suite("test_leaks")
suite.cleanups.append(lambda: shutil.rmtree(top, True))
certs = Certificates(top / "certs")


class Origin:
    """Answers `echo`; of `half` the head and a first event, then nothing, until
    the gateway ends the connection. Counts what is open."""

    def __init__(self, tls=None):
        self.open, self.loop = 0, asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

        async def go():
            self.server = await asyncio.start_server(
                self.serve, "127.0.0.1", 0, ssl=tls, backlog=1024)
            return self.server.sockets[0].getsockname()[1]
        self.port = asyncio.run_coroutine_threadsafe(go(), self.loop).result()

    async def serve(self, r, w):
        self.open += 1
        try:
            while True:
                head = await r.readuntil(b"\r\n\r\n")
                n = next(int(l.split(b":")[1]) for l in head.lower().split(
                    b"\r\n") if l.startswith(b"content-length:"))
                m = json.loads(await r.readexactly(n))
                text = json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": {
                    "content": [{"type": "text", "text": "good"}]}}).encode()
                if m["params"]["name"] == "echo":
                    w.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json"
                            b"\r\nContent-Length: %d\r\n\r\n%b" %
                            (len(text), text))
                else:
                    event = b'data: {"jsonrpc":"2.0","method":"notifications/' \
                        b'message","params":{"level":"info","data":"x"}}\n\n'
                    w.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-"
                            b"stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"%x\r\n%b\r\n" % (len(event), event))
        except (OSError, asyncio.IncompleteReadError, EOFError):
            pass
        self.open -= 1
        w.close()


secure = Origin(certs.server_context(certs.make("good")))
plain = Origin()
TOOLS = {t: {"class": "read-only"} for t in ("echo", "half")}
PIN = {"pin": ["127.0.0.1", "::1"], "tools": TOOLS}
(top / "rules").mkdir()
gw = suite.gateway("leaks", {
    "tls": {"url": f"https://localhost:{secure.port}/mcp", **PIN},
    "plain": {"url": f"http://localhost:{plain.port}/mcp", **PIN}},
    certs=certs, conf={"limits": {
        "header": 4096, "body": 8192, "header_time": "3s",
        "streams": 5000, "advice_time": "10s", "record_time": "30s",
        # Reset and half-closed ones must not need a deadline to be seen.
        "body_time": "10m", "idle": "10m", "upstream_idle": "10m",
        "upstream_head_time": "10m", "send_time": "10m"}})
token = gw.session()
roles = gw.roles()
proxy = roles["proxy"]
basic = base64.b64encode(f"coder:{token}".encode()).decode()
AT = f"localhost:{secure.port}"
CONNECT = (f"CONNECT {AT} HTTP/1.1\r\nHost: {AT}\r\nProxy-Authorization: "
           f"Basic {basic}\r\n\r\n").encode()
HEAD = (f"POST /mcp/plain HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer "
        f"{token}\r\nContent-Type: application/json\r\nAccept: "
        "application/json, text/event-stream\r\n").encode()
CALL = json.dumps(call("half")).encode()


def hello():
    """The first bytes of a TLS client."""
    out = ssl.MemoryBIO()
    c = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out,
                                              server_hostname="localhost")
    try:
        c.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


HELLO = hello()

# --- what is counted -----------------------------------------------------------


def descriptors():
    return {r: len(os.listdir(f"/proc/{p}/fd")) for r, p in roles.items()}


def pss():
    for l in pathlib.Path(f"/proc/{proxy}/smaps_rollup").read_text(
            ).splitlines():
        if l.startswith("Pss:"):
            return int(l.split()[1]) * 1024
    raise Failed("no Pss")


def good():
    for via, url in (("mount", gw.url("plain")),
                     ("proxy", f"https://{AT}/mcp")):
        a = curl(gw, url, via=via, token=token, data=call("echo"))
        equal(a.status, 200, repr(a))
        has(a.text, "good")


def settled():
    """Every role has its descriptors of the begin, and no upstream has a call's
    connection but the pooled."""
    try:
        until("descriptors", lambda: descriptors() == base and
              plain.open == upstreams, 30)
    except Failed:
        raise Failed(f"descriptors {descriptors()}, were {base}; upstream "
                     f"{plain.open}, were {upstreams}")


# --- kinds -----------------------------------------------------------------------


def dial(n, port):
    out = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", port), 20 * SLOW)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        out.append(s)
    return out


def end(socks, how):
    """half: our direction ends, and theirs must; reset: SO_LINGER 0."""
    for s in socks:
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
            s.close()
        else:
            try:
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass        # it was ended already
    if how == "half":
        drain(socks)


def drain(socks):
    for s in socks:
        try:
            while s.recv(65536):
                pass
        except ConnectionResetError:
            pass
        s.close()


def stage(name):
    """A batch of connections that are at a stage."""
    def go(n):
        if name in ("CONNECT", "a TLS hello", "half a TLS hello"):
            socks = dial(n, gw.proxy_port)
            for s in socks:
                s.sendall(CONNECT)
            for s in socks:
                has(s.recv(4096).decode(), " 200 ")
            for s in socks:
                if name != "CONNECT":
                    s.sendall(HELLO if name == "a TLS hello" else
                              HELLO[:100])
            if name == "a TLS hello":
                for s in socks:
                    check(s.recv(1) == b"\x16", "no server hello")
            return socks
        socks = dial(n, gw.mount_port)
        for s in socks:
            s.sendall({"nothing": b"", "half a head": HEAD[:-7],
                       "half a body": HEAD + b"Content-Length: 1000\r\n\r\n"
                       b'{"jsonrpc":', "half a chunk": HEAD +
                       b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n{",
                       "half an answer": HEAD + b"Content-Length: %d\r\n\r\n"
                       % len(CALL) + CALL}[name])
        if name == "half an answer":
            for s in socks:
                got = b""
                while b"notifications/message" not in got:
                    d = s.recv(4096)
                    check(d, f"no answer: {got[:300]!r}")
                    got += d
        return socks
    return go


def ends(name, how):
    def go(n):
        socks = stage(name)(n)
        end(socks, how)
    return go


def loris(n):
    socks = dial(n, gw.mount_port)
    for part in (b"POST /mcp", b"/plain HTTP/1.1\r\nHo", b"st: gw\r\nX-A",
                 b": b"):
        for s in socks:
            try:
                s.sendall(part)
            except OSError:
                pass            # its time was over
    drain(socks)


def too_large(data, status):
    def go(n):
        socks = dial(n, gw.mount_port)
        for s in socks:
            try:
                s.sendall(data)
            except OSError:
                pass            # refused before all was there
        for s in socks:
            got = recv_all(s, 15, b"\r\n\r\n")
            # The end of a connection with bytes unread may take the answer.
            check(not got or f" {status} ".encode() in got[:20], got[:100])
            s.close()
    return go


def h2_streams(finish):
    """50 streams on a connection, as often as it takes."""
    def go(n):
        while n > 0:
            with H2(gw, token, AT) as c:
                for _ in range(min(n, 50)):
                    i, c.next = c.next, c.next + 2
                    f = c.head("/mcp", "POST", [("content-type",
                                                 "application/json")])
                    c.send(frame(HEADERS, END_HEADERS, i, pack(f)),
                           *finish(i))
                c.run(lambda: c.settings is not None)
                n -= 50
    return go


KINDS = {
    "a head that trickles and stops": loris,
    "a head that is too large": too_large(HEAD + b"X: " + b"a" * 5000, 431),
    "a body that is too large": too_large(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2800\r\n" + b"a" * 10240,
        413),
    **{f"{'half-closed' if how == 'half' else 'reset'} after {s}":
       ends(s, how) for how in ("half", "reset") for s in (
           "nothing", "CONNECT", "half a TLS hello", "a TLS hello",
           "half a head", "half a body", "half a chunk", "half an answer")},
    "HTTP/2 streams reset behind their head": h2_streams(
        lambda i: [frame(RST, 0, i, struct.pack(">I", 8))]),
    "HTTP/2 streams reset inside their body": h2_streams(
        lambda i: [frame(DATA, 0, i, b'{"jsonrpc"'),
                   frame(RST, 0, i, struct.pack(">I", 8))]),
    "HTTP/2 streams left without their body": h2_streams(lambda i: []),
    "HTTP/2 streams left inside their body": h2_streams(
        lambda i: [frame(DATA, 0, i, b'{"jsonrpc"')]),
    "HTTP/2 calls whose connection ends": h2_streams(
        lambda i: [frame(DATA, END_STREAM, i, CALL)]),
}


def half(kind, n):
    at_once = LORIS if kind is loris else BATCH
    while n > 0:
        kind(min(n, at_once))
        n -= at_once
    good()      # so that the pool has what it had
    settled()


good()
# The first of all fill pools and tables.
for kind in KINDS.values():
    kind(LORIS if kind is loris else BATCH)
good()
until("it is quiet", lambda: len({tuple(descriptors().values()) for _ in
                                  range(5) if not time.sleep(0.2)}) == 1)
base, upstreams = descriptors(), plain.open
first = pss()
sizes = []


def grown():
    return not ASAN and sizes[-1] - sizes[-2] >= \
        sizes[-2] * GROWTH + SLACK


for name, kind in KINDS.items():
    with suite.case(f"{2 * HALF} times: {name}"):
        began = time.monotonic()
        half(kind, HALF)
        sizes = [pss()]
        # How many of a batch are there at once, and with them what the
        # allocator keeps, depends on the load; a leak grows each time.
        while len(sizes) < 2 or (grown() and len(sizes) < 5):
            half(kind, HALF)
            sizes.append(pss())
        good()
        equal(gw.roles(), roles, "roles")
        print(f"     {time.monotonic() - began:.1f} s, KiB of the proxy "
              f"after each half: {[s >> 10 for s in sizes]}")
        check(not grown(), f"the proxy grows with every half: {sizes}")

with suite.case("each that was refused has an event that names it"):
    for word in ("head-long", "body-too-large"):
        until(word, lambda: gw.events_file.read_bytes().count(
            f'"{word}"'.encode()) >= 2 * HALF)

with suite.case("the proxy's memory after all of it"):
    print(f"     {first >> 10} KiB before, {pss() >> 10} after")
    check(ASAN or pss() < first * 1.5 + (4 << 20),
          f"{first} before, {pss()} after")

suite.end()
