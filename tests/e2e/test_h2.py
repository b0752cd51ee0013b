#!/usr/bin/env python3
"""HTTP/2 on both sides: curl, nghttp and h2load through the gateway, to an
nginx that speaks it and to a server that does not; many calls on one
connection with holds and a kill; what RFC 9113 forbids, frame by frame; the
floods."""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import h2raw
from h2raw import (ACK, CALM, CONT, DATA, END_HEADERS, END_STREAM, FLOW,
                   GOAWAY, H2, HEADERS, PADDED, PING, PRIORITY, PROTOCOL, PUSH,
                   RST, SETTINGS, SIZE, WINDOW, frame, pack)
from support import (ASAN, SLOW, Certificates, Failed, Suite, call, check,
                     connect, curl, equal, has, hasnt, memory, recv_all, until)
from upstreams import Nginx, Upstream

MB = 1 << 20
top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-h2."))
top.chmod(0o755)
suite = Suite("test_h2")
certs = Certificates(top / "certs")
pair = certs.make("good")
nginx = Nginx(top / "nginx", pair, http2=True)
up = Upstream(certs.server_context(pair))
suite.cleanups += [nginx.stop, lambda: shutil.rmtree(top, True)]
suite.logs += [nginx.log]
PIN = {"pin": ["127.0.0.1", "::1"]}
TOOLS = {n: {"class": "read-only"} for n in ("echo", "say", "headers")}
TOOLS["wipe"] = {"class": "dangerous"}
FILES = [{"name": "get", "method": "GET", "path": "/files/{f}",
          "class": "read-only"},
         {"name": "put", "method": "PUT", "path": "/files/{f}",
          "class": "moderate", "approval": "auto"},
         {"name": "hello", "method": "GET", "path": "/hello",
          "class": "read-only"}]
STREAMS = 400
gw = suite.gateway("h2", {
    "mcp": {"url": up.url(), **PIN, "tools": TOOLS},
    "other": {"url": up.url("/mcp-other"), **PIN, "tools": TOOLS},
    "rest": {"kind": "rest", "url": up.url("/"), **PIN, "media": "stream",
             "operations": [{"name": n, "method": "GET", "path": f"/{n}",
                             "class": "read-only"}
                            for n in ("flood", "chunked", "text", "bare")]},
    "files": {"kind": "rest", "url": f"https://localhost:{nginx.port}/", **PIN,
              "media": "stream", "operations": FILES},
    # The same servers by another name, for which HTTP/2 is off.
    "front1": {"url": f"https://127.0.0.1:{up.port}/mcp", **PIN,
               "tools": TOOLS, "http2": {"agents": "off"}},
    "behind1": {"kind": "rest", "url": f"https://127.0.0.1:{nginx.port}/",
                **PIN, "media": "stream", "operations": FILES,
                "http2": {"upstream": "off"}},
}, conf={"limits": {"streams": STREAMS, "header_time": "2s",
                    "idle": "20s"}}, certs=certs)
token = gw.session()
proxy = gw.roles()["proxy"]
AT = f"localhost:{up.port}"
base = f"https://localhost:{nginx.port}"
small, big = nginx.dir / "files/small", nginx.dir / "files/big"
small.write_bytes(random.Random(1).randbytes(1024))
big.write_bytes(random.Random(2).randbytes(30 * MB))


def h2(**kw):
    return H2(gw, token, AT, **kw)


JSON = [("content-type", "application/json"),
        ("accept", "application/json, text/event-stream")]


def post(c, m, path="/mcp", extra=()):
    body = json.dumps(m).encode()
    return c.request(c.head(path, "POST", [*JSON, *extra]), body)


BODY = json.dumps(call("echo")).encode()


def seen():
    return len(up.seen)


def asked():
    return len(gw.events(type="approval.requested"))


def fields(**kw):
    h = {":method": "POST", ":scheme": "https", ":authority": AT,
         ":path": "/mcp"}
    h.update({f":{k}": v for k, v in kw.items()})
    return [(k, v) for k, v in h.items() if v is not None] + JSON[:1]


def protocols():
    """$server_protocol of what reached nginx."""
    return (nginx.dir / "protocols.log").read_text().split()


# --- clients and servers of others ----------------------------------------

def version(*args, url, **kw):
    """(answer, the version curl spoke with the gateway)"""
    a = curl(gw, url, *args, token=token, **kw)
    return a, a.head.split(" ")[0]


for ask, spoken in (("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1")):
    with suite.case(f"curl {ask} to a server of HTTP/1.1"):
        a, v = version(ask, url=up.url(), data=call("echo", {"v": ask}))
        equal((a.status, v), (200, spoken), repr(a))
        has(a.text, ask)
        check({"v": ask} in up.calls(), "it did not arrive")

    with suite.case(f"curl {ask} to a server of HTTP/2"):
        n = len(protocols())
        a, v = version(ask, url=f"{base}/files/small")
        equal((a.status, v), (200, spoken), repr(a))
        equal(a.body, small.read_bytes(), "body")
        equal(protocols()[n:], ["HTTP/2.0"], "at the server")

    with suite.case(f"{ask}: 30 MB down and up, over HTTP/2 behind"):
        a, v = version(ask, url=f"{base}/files/big")
        equal((a.status, v), (200, spoken), a.error)
        equal(hashlib.sha256(a.body).digest(),
              hashlib.sha256(big.read_bytes()).digest(), "content")
        for how in ("length", "chunked"):
            name = f"up{how}{ask[-1]}"
            p = subprocess.run(
                ["curl", "-sS", ask, "-x", gw.proxy_url(token), "--cacert",
                 str(gw.ca()), "-T", str(big) if how == "length" else "-",
                 "-H", "Content-Type: application/octet-stream", "-o",
                 os.devnull, "-w", "%{http_code} %{http_version}",
                 f"{base}/files/{name}"], input=None if how == "length" else
                big.read_bytes(), capture_output=True, timeout=60 * SLOW)
            equal(p.stdout.decode(), f"201 {spoken[5:]}", p.stderr.decode())
            check((nginx.dir / "files" / name).read_bytes() ==
                  big.read_bytes(), "content")

with suite.case("calls on one connection behind, though agents open many"):
    uses = []
    for _ in range(4):
        uses.append(curl(gw, f"{base}/hello", token=token).text.split())
    equal(len({u[1] for u in uses}), 1, f"connections: {uses}")
    equal([int(u[2]) for u in uses][1:], [int(uses[0][2]) + i
                                          for i in (1, 2, 3)], "requests")

with suite.case("another principal has another connection behind"):
    other = gw.session(user="bob")
    a = curl(gw, f"{base}/hello", token=other).text.split()
    check(a[1] != uses[0][1], f"shared: {a} {uses}")

with suite.case("calls that begin at once share a connection behind"):
    many = gw.session(user="dora")
    with H2(gw, many, f"localhost:{nginx.port}") as c:
        ids = [c.request(c.head("/hello")) for _ in range(40)]
        used = {c.answer(i).body.split()[1] for i in ids}
        check(len(used) < 20, f"{len(used)} connections")

with suite.case("http2: { agents: off }: HTTP/1.1 though curl offers both"):
    a, v = version("--http2", url=f"https://127.0.0.1:{up.port}/mcp",
                   data=call("echo", {"v": 1}))
    equal((a.status, v), (200, "HTTP/1.1"), repr(a))
    with connect(gw, token, f"127.0.0.1:{up.port}") as s:
        ctx = ssl.create_default_context(cafile=str(gw.ca()))
        ctx.set_alpn_protocols(["h2"])
        try:
            ctx.wrap_socket(s, server_hostname="127.0.0.1")
            raise Failed("a client of h2 only came in")
        except ssl.SSLError as e:
            has(str(e).lower().replace("_", " "), "no application protocol")

with suite.case("http2: { upstream: off }: HTTP/1.1 behind, HTTP/2 before"):
    n = len(protocols())
    a, v = version("--http2", url=f"https://127.0.0.1:{nginx.port}/files/small")
    equal((a.status, v), (200, "HTTP/2"), repr(a))
    equal(a.body, small.read_bytes(), "body")
    equal(protocols()[n:], ["HTTP/1.1"], "at the server")

with suite.case("the gateway's own pages, over HTTP/2"):
    for path in ("/", "/portreeve/", "/nothing"):
        a, v = version("--http2", url=f"https://trust.portreeve.internal{path}")
        check(v == "HTTP/2" and a.status in (200, 404), repr(a))
    equal(gw.roles()["proxy"], proxy, "proxy")

with suite.case("HEAD, 304 and 204 over HTTP/2"):
    for path, args, want in (("/bare?status=304&length=77", (), "77"),
                             ("/bare?status=200&length=78", ("-I",), "78"),
                             ("/bare?status=204&length=0", (), None)):
        a, v = version("--http2", *args, url=up.url(path))
        equal((a.status, v), (int(path[13:16]), "HTTP/2"), repr(a))
        equal([l.split()[1] for l in a.head.splitlines()
               if l.startswith("content-length:")], [want] if want else [],
              path)

with suite.case("a chunked response arrives whole over HTTP/2"):
    a, v = version("--http2", url=up.url("/chunked"))
    equal(a.text, "".join(f"piece {i}\n" for i in range(5)), v)

with suite.case("Expect: 100-continue over HTTP/2"):
    a, v = version("--http2", "-T", small, "-H", "Expect: 100-continue", "-H",
                   "Content-Type: application/octet-stream",
                   url=f"{base}/files/expected")
    equal((a.status, v), (201, "HTTP/2"), repr(a))


class Tunnel:
    """A port that is a tunnel to `at`, for clients that know no proxy."""

    def __init__(self, at):
        self.s = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port, self.at = self.s.getsockname()[1], at
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                a, _ = self.s.accept()
            except OSError:
                return
            b = connect(gw, token, self.at)
            b.settimeout(None)
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=self.copy, args=(x, y),
                                 daemon=True).start()

    @staticmethod
    def copy(x, y):
        with contextlib.suppress(OSError):
            while (d := x.recv(65536)):
                y.sendall(d)
        with contextlib.suppress(OSError):
            y.shutdown(socket.SHUT_WR)


tunnel = Tunnel(f"localhost:{nginx.port}")

with suite.case("nghttp, 20 requests at once"):
    p = subprocess.run(
        ["nghttp", "-ns", "-m", "20", "-H",
         f":authority: localhost:{nginx.port}",
         f"https://localhost:{tunnel.port}/hello"], capture_output=True,
        text=True, timeout=60 * SLOW)
    rows = [l for l in p.stdout.splitlines() if l.endswith("/hello")]
    equal(len([r for r in rows if " 200 " in r]), 20, p.stdout + p.stderr)

with suite.case("h2load, 2000 requests on 4 connections of 50 streams"):
    n = 400 if ASAN else 2000
    p = subprocess.run(
        ["h2load", "-n", str(n), "-c", "4", "-m", "50",
         f"--connect-to=127.0.0.1:{tunnel.port}", f"{base}/files/small"],
        capture_output=True, text=True, timeout=200 * SLOW)
    has(p.stdout, f"{n} succeeded, 0 failed", f"status codes: {n} 2xx")

# --- one connection, many calls ---------------------------------------------

with suite.case("what the gateway says of itself in SETTINGS"):
    with h2() as c:
        c.run(lambda: c.settings is not None)
        equal(c.settings.get(3), 100, "MAX_CONCURRENT_STREAMS")
        equal(c.settings.get(4), 65535, "INITIAL_WINDOW_SIZE")
        equal(c.settings.get(6), 65536, "MAX_HEADER_LIST_SIZE")
        check(8 not in c.settings, "extended CONNECT")

with suite.case("a connection with holds; a kill resets its streams only"):
    with h2() as c:
        held = [post(c, call("wipe", {"n": n}, id=n)) for n in range(20)]
        spared = [post(c, call("wipe", {"n": n}, id=n), "/mcp-other")
                  for n in range(20, 40)]
        gw.pending(40)
        a = c.answer(post(c, call("echo", {"held": "no"})))
        equal(a.status, 200, repr(a))
        gw.cli("kill", "connector/mcp", "--reason", "h2 test")
        for i in held:
            a = c.answer(i)
            has(a.body.decode(), "kill switch", "h2 test")
            check(a.ended, repr(a))
        equal([i for i in spared if c.streams[i].over], [], "neighbours")
        for i in gw.pending(20):
            gw.cli("approval", "approve", i)
        for n, i in zip(range(20, 40), spared):
            a = c.answer(i)
            check(a.ended, repr(a))
            has(a.body.decode(), f'"n": {n}' if f'"n": {n}' in
                a.body.decode() else "result")
        check(c.goaway is None and not c.closed, "the connection ended")
        gw.cli("revive", "connector/mcp", "--reason", "test")
        equal(until("revived", lambda: (lambda a: a if b"kill" not in
              a.body else None)(c.answer(post(c, call("echo"))))).status, 200)

with suite.case("a kill cuts a running answer with RST_STREAM"):
    with h2(acks=False) as c:
        i = c.request(c.head("/flood"))
        c.run(lambda: len(c.streams[i].body) > 40000)
        j = c.request(c.head("/mcp", "POST", JSON), b"")
        gw.cli("kill", "connector/rest", "--reason", "test")
        c.run(lambda: c.streams[i].over)
        check(c.streams[i].reset is not None and not c.streams[i].ended,
              repr(c.streams[i])[:300])
        n = len(c.streams[i].body)
        c.send(frame(WINDOW, 0, 0, struct.pack(">I", MB)))
        c.answer(j)
        equal(len(c.streams[i].body), n, "bytes after the reset")
        equal(c.streams[j].status, 400, "the neighbour")
        gw.cli("revive", "connector/rest", "--reason", "test")
        gw.event(type="call.outcome", connector="rest", status="cut")

with suite.case("a stream that is reset by the agent: its call is cancelled"):
    with h2() as c:
        n = asked()
        i = post(c, call("wipe", {"reset": 1}))
        until("it is held", lambda: asked() > n)
        e = gw.event(type="approval.requested")
        c.send(frame(RST, 0, i, struct.pack(">I", 8)))
        out = gw.event(type="call.outcome", call=e["call"])
        equal(out["status"], "cancelled", repr(out))
        equal(c.answer(post(c, call("echo"))).status, 200, "the neighbour")

with suite.case("windows hold the origin back; one stuck stream stops no other"):
    before = memory(proxy)
    with h2(acks=False) as c:
        stuck = c.request(c.head("/flood"))
        c.run(lambda: len(c.streams[stuck].body) >= 65535)
        equal(len(c.streams[stuck].body), 65535, "beyond the window")
        c.send(frame(WINDOW, 0, 0, struct.pack(">I", MB)))
        equal(c.answer(post(c, call("echo"))).status, 200, "the neighbour")
        check(memory(proxy) - before < (64 if ASAN else 8) * MB, "memory")
        equal(len(c.streams[stuck].body), 65535, "beyond the window")

with suite.case("idle streams are small"):
    # A session may have 50 held calls.
    cs = [H2(gw, gw.session(user=f"idle{k}"), AT) for k in range(5)]
    for c in cs:
        c.answer(post(c, call("echo")))
    before, n, first = memory(proxy), 45, asked()
    for k, c in enumerate(cs):
        for i in range(n):
            post(c, call("wipe", {"idle": [k, i]}))
    until("all are held", lambda: asked() == first + 5 * n, 60)
    each = (memory(proxy) - before) / (5 * n)
    print(f"     {each / 1024:.1f} KiB a held stream")
    check(each < (512 if ASAN else 48) * 1024, f"{each} bytes a stream")
    for c in cs:
        c.close()
    until("they are gone", lambda: len(gw._pending()) == 0, 40)

with suite.case("100 streams at a time; who opens more loses"):
    with h2() as c:
        c.run(lambda: c.settings is not None)
        ids = []
        for _ in range(100):    # without a body they wait for it
            i, c.next = c.next, c.next + 2
            c.streams[i] = h2raw.Stream()
            ids.append(i)
            c.send(frame(HEADERS, END_HEADERS, i,
                         pack(c.head("/mcp", "POST", JSON))))
        c.data(ids[0], json.dumps(call("echo")).encode())
        equal(c.answer(ids[0]).status, 200, "the first")
        for _ in range(2):
            c.request(fields(method="GET"))
        c.run(lambda: c.closed or c.streams[c.next - 2].over)
        check(c.goaway == PROTOCOL or c.streams[c.next - 2].reset ==
              h2raw.REFUSED, repr(c.streams[c.next - 2]))

with suite.case("two bodies that come interleaved"):
    with h2() as c:
        bodies = {}
        for n in (1, 2):
            i, c.next = c.next, c.next + 2
            c.streams[i] = h2raw.Stream()
            bodies[i] = json.dumps(call("echo", {"mixed": n, "pad": "x" *
                                                 5000}, id=n)).encode()
            c.send(frame(HEADERS, END_HEADERS, i,
                         pack(c.head("/mcp", "POST", JSON))))
        for at in range(0, 6000, 500):
            for i, b in bodies.items():
                if b[at:at + 500]:
                    c.data(i, b[at:at + 500], at + 500 >= len(b))
        for n, i in zip((1, 2), bodies):
            a = c.answer(i)
            equal((a.status, json.loads(a.body)["id"]), (200, n), repr(a))

with suite.case("a session that is closed ends the connection's calls"):
    mine = gw.session(user="carol")
    sid = gw.event(type="session.opened", user="carol")["session"]
    with H2(gw, mine, AT) as c:
        equal(c.answer(post(c, call("echo"))).status, 200)
        gw.cli("session", "close", sid)
        a = c.answer(post(c, call("echo")))
        has(a.body.decode(), "bad-token")

# --- what is refused: one stream --------------------------------------------

F = fields()
STREAM_CASES = {
    # name: (fields, body); the first part is test_http's table again
    "two lengths": (F + [("content-length", "2"), ("content-length", "3")],
                    b"{}"),
    "the same length twice": (F + [("content-length", "2")] * 2, b"{}"),
    "transfer-encoding": (F + [("transfer-encoding", "chunked")], b"0\r\n\r\n"),
    "a coding beside chunked": (F + [("transfer-encoding", "gzip, chunked")],
                                b""),
    "a length shorter than DATA": (F + [("content-length", "1")], BODY),
    "a length longer than DATA": (F + [("content-length", "9999")], BODY),
    "a length without DATA": (F + [("content-length", "5")], None),
    "a signed length": (F + [("content-length", "+2")], b"{}"),
    "a length in two values": (F + [("content-length", "2, 2")], b"{}"),
    "a length beyond 64 bits": (F + [("content-length", "9" * 23)], b"{}"),
    "LF in a value": (F + [("x-a", "b\nc")], BODY),
    "CR LF and a field in a value": (F + [("x-a", "b\r\nhost: evil")], BODY),
    "NUL in a value": (F + [("x-a", "b\0c")], BODY),
    "a space at a value's end": (F + [("x-a", "b ")], BODY),
    "a space in a name": (F + [("x a", "b")], BODY),
    "a colon in a name": (F + [("x:a", "b")], BODY),
    "CR LF in a name": (F + [("x\r\nhost", "b")], BODY),
    "an empty name": (F + [("", "b")], BODY),
    "capitals in a name": (F + [("X-A", "b")], BODY),
    "two Hosts": (F + [("host", AT)] * 2, BODY),
    "a Host that is not :authority": (F + [("host", "evil.test")], BODY),
    "neither Host nor :authority": (fields(authority=None), BODY),
    "an :authority with a user": (fields(authority=f"u@{AT}"), BODY),
    "an :authority with CR LF": (fields(authority=f"{AT}\r\nx: y"), BODY),
    "another :authority than CONNECT's": (fields(authority="evil.test"), BODY),
    "a bad method": (fields(method="G T"), BODY),
    "a method with CR LF": (fields(method="GET / HTTP/1.1\r\nx: y\r\n\r\n"),
                            BODY),
    "a path with CR LF": (fields(path="/mcp HTTP/1.1\r\nx: y"), BODY),
    "a path with a space": (fields(path="/mcp x"), BODY),
    "a path that is a URL": (fields(path="http://evil.test/"), BODY),
    "a fragment": (fields(path="/mcp#x"), BODY),
    "dots in the path": (fields(path="/mcp/../x"), BODY),
    "an encoded slash": (fields(path="/mcp/..%2fx"), BODY),
    "TRACE": (fields(method="TRACE"), None),
    "OPTIONS *": (fields(method="OPTIONS", path="*"), None),
    "CONNECT": ([(":method", "CONNECT"), (":authority", AT)], None),
    "extended CONNECT": (fields(method="CONNECT") +
                         [(":protocol", "websocket")], None),
    "a lookalike of a field": (F + [("content_length", "2")], BODY),
    "too large a head": (F + [(f"x-{i}", "a" * 9000) for i in range(8)], BODY),
    "too many fields": (F + [(f"x-{i}", "a") for i in range(120)], BODY),
    # RFC 9113, 8.2 and 8.3
    "no :method": (fields(method=None), BODY),
    "no :scheme": (fields(scheme=None), BODY),
    "no :path": (fields(path=None), BODY),
    "an empty :path": (fields(path=""), BODY),
    ":scheme http": (fields(scheme="http"), BODY),
    ":method twice": ([(":method", "GET")] + F, BODY),
    ":path twice": ([(":path", "/files")] + F, BODY),
    ":authority twice": ([(":authority", "evil.test")] + F, BODY),
    "an unknown pseudo-header": (F[:4] + [(":x", "y")] + F[4:], BODY),
    ":status in a request": (F[:4] + [(":status", "200")] + F[4:], BODY),
    "a pseudo-header behind a field": (F[:3] + JSON[:1] + F[3:4], BODY),
    "connection": (F + [("connection", "close")], BODY),
    "keep-alive": (F + [("keep-alive", "5")], BODY),
    "proxy-connection": (F + [("proxy-connection", "close")], BODY),
    "upgrade": (F + [("upgrade", "websocket")], BODY),
    "http2-settings": (F + [("http2-settings", "AAMAAABk")], BODY),
    "te: gzip": (F + [("te", "gzip")], BODY),
}
for name, (f, body) in STREAM_CASES.items():
    with suite.case(f"a bad request ends its stream alone: {name}"):
        with h2() as c:
            n, refused = seen(), len(gw.events(type="connection.refused"))
            i = c.request(f, body)
            c.run(lambda: c.streams[i].over or c.closed)
            a = c.streams[i]
            check(a.reset == PROTOCOL or 400 <= a.status < 600, repr(a))
            until("an event", lambda: len(gw.events(
                type="connection.refused")) > refused)
            equal(seen(), n, "requests that arrived")
            ok = c.answer(post(c, call("echo", {"after": name})))
            equal(ok.status, 200, f"the next stream: {ok}")

with suite.case("te: trailers, and trailers, are taken and dropped"):
    with h2() as c:
        i, c.next = c.next, c.next + 2
        c.streams[i] = h2raw.Stream()
        c.send(frame(HEADERS, END_HEADERS, i, pack(F + [("te", "trailers")])),
               frame(DATA, 0, i, BODY),
               frame(HEADERS, END_HEADERS | END_STREAM, i,
                     pack([("x-checksum", "abc")])))
        equal(c.answer(i).status, 200, repr(c.streams[i]))
        hasnt(repr(up.seen[-1]["headers"]).lower(), "x-checksum", "'te'",
              "trailers")

for name, trailer in {"a pseudo-header": (":path", "/x"), "a length":
                      ("content-length", "5"), "authorization":
                      ("authorization", "Bearer x"), "host": ("host", "evil"),
                      "transfer-encoding": ("transfer-encoding", "chunked")
                      }.items():
    with suite.case(f"a trailer that is refused: {name}"):
        with h2() as c:
            n = seen()
            i, c.next = c.next, c.next + 2
            c.streams[i] = h2raw.Stream()
            c.send(frame(HEADERS, END_HEADERS, i, pack(F)),
                   frame(DATA, 0, i, BODY),
                   frame(HEADERS, END_HEADERS | END_STREAM, i,
                         pack([trailer])))
            c.run(lambda: c.streams[i].over or c.closed)
            equal(c.streams[i].reset, PROTOCOL, repr(c.streams[i]))
            equal(seen(), n, "requests that arrived")
            equal(c.answer(post(c, call("echo"))).status, 200, "the next")

with suite.case("cookies of several fields are one behind"):
    with h2() as c:
        equal(c.answer(post(c, call("echo"), extra=[
            ("cookie", "a=1"), ("cookie", "b=2")])).status, 200)
        equal([v for k, v in up.seen[-1]["headers"] if k.lower() == "cookie"],
              ["a=1; b=2"], "cookies")

with suite.case("prior knowledge inside CONNECT is refused"):
    plain = Upstream()
    gw.connector("plain", {"url": plain.url(), **PIN, "tools": TOOLS})
    gw.proc.send_signal(1)
    until("the connector is there", lambda: "plain" in gw.cli(
        "connector", "ls").stdout)
    with connect(gw, token, f"localhost:{plain.port}") as s:
        s.sendall(h2raw.PREFACE + frame(SETTINGS, 0, 0))
        has(recv_all(s, 5).decode(errors="replace"), "HTTP/1.1 505")
    equal(plain.seen, [], "requests that arrived")

# --- what is refused: the connection ------------------------------------------

U32 = struct.Struct(">I").pack
CONNECTION_CASES = {
    # name: (frames, error codes that are right)
    "DATA on stream 0": ([frame(DATA, 0, 0, b"x")], (PROTOCOL,)),
    "HEADERS on stream 0": ([frame(HEADERS, 5, 0, pack(F))], (PROTOCOL,)),
    "SETTINGS on a stream": ([frame(SETTINGS, 0, 1)], (PROTOCOL,)),
    "SETTINGS of a bad length": ([frame(SETTINGS, 0, 0, b"12345")], (SIZE,)),
    "an ACK with a payload": ([frame(SETTINGS, ACK, 0, b"123456")], (SIZE,)),
    "ENABLE_PUSH of 2": ([frame(SETTINGS, 0, 0, b"\0\2" + U32(2))],
                         (PROTOCOL,)),
    "a window beyond 2^31": ([frame(SETTINGS, 0, 0, b"\0\4" + U32(1 << 31))],
                             (FLOW,)),
    "MAX_FRAME_SIZE too small": ([frame(SETTINGS, 0, 0, b"\0\5" + U32(1))],
                                 (PROTOCOL,)),
    "PING of a bad length": ([frame(PING, 0, 0, b"1234")], (SIZE,)),
    "PING on a stream": ([frame(PING, 0, 1, b"12345678")], (PROTOCOL,)),
    "GOAWAY on a stream": ([frame(GOAWAY, 0, 1, U32(0) * 2)], (PROTOCOL,)),
    "a window of 0": ([frame(WINDOW, 0, 0, U32(0))], (PROTOCOL,)),
    "windows beyond 2^31": ([frame(WINDOW, 0, 0, U32((1 << 31) - 1))] * 2,
                            (FLOW,)),
    "RST_STREAM of an idle stream": ([frame(RST, 0, 9, U32(8))], (PROTOCOL,)),
    "DATA on an idle stream": ([frame(DATA, 0, 9, b"x")], (PROTOCOL,)),
    "an even stream": ([frame(HEADERS, 5, 2, pack(F))], (PROTOCOL,)),
    "a push by the client": ([frame(PUSH, 4, 1, U32(2) + pack(F))],
                             (PROTOCOL,)),
    "CONTINUATION without HEADERS": ([frame(CONT, 4, 1, pack(F))],
                                     (PROTOCOL,)),
    "a frame inside a field section": ([frame(HEADERS, 1, 1, pack(F)),
                                        frame(PING, 0, 0, b"12345678")],
                                       (PROTOCOL,)),
    "a frame beyond MAX_FRAME_SIZE": ([frame(PING, 0, 0, b"x" * 20000)],
                                      (SIZE,)),
    "padding longer than the frame": ([frame(HEADERS, 5 | PADDED, 1, b"\xff" +
                                             pack(F))], (PROTOCOL,)),
    "HPACK that cannot be read": ([frame(HEADERS, 5, 1, b"\xff\xff\xff\xff"
                                         b"\xff\xff\xff")], (9,)),
    "an HPACK index beyond the table": ([frame(HEADERS, 5, 1, b"\xfe")], (9,)),
}
for name, (frames, codes) in CONNECTION_CASES.items():
    with suite.case(f"a broken connection ends with GOAWAY: {name}"):
        with h2() as c:
            c.run(lambda: c.settings is not None)
            c.send(*frames)
            c.run(lambda: c.closed)
            check(c.goaway in codes, f"GOAWAY {c.goaway}, want {codes}")

with suite.case("a stream number that goes back is not answered"):
    with h2() as c:
        n = seen()
        c.next = 7
        equal(c.get("/mcp").status, 405)
        c.next = 5
        i = c.request(c.head("/mcp"))
        c.next = 9
        c.get("/mcp")
        check(c.closed or not c.streams[i].fields, repr(c.streams[i]))
        check(seen() <= n + 2, "requests that arrived")

with suite.case("no preface: closed"):
    with h2(preface=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") as c:
        c.run(lambda: c.closed)
        equal(c.streams, {}, "streams")

with suite.case("more DATA than the window: refused"):
    with h2() as c:
        n, m = seen(), 0
        i, c.next = c.next, c.next + 2
        c.streams[i] = h2raw.Stream()
        c.send(frame(HEADERS, END_HEADERS, i, pack(F + [
            ("content-length", str(8 * MB))])))
        for _ in range(400):
            c.send(frame(DATA, 0, i, b"x" * 16000))
            if c.closed:
                break
        c.run(lambda: c.streams[i].over or c.closed)
        equal(seen(), n, "requests that arrived")

# --- floods ------------------------------------------------------------------------

HEAD0 = pack(fields(method="GET"))


def resets(c):
    for k in range(1000):
        i = 1 + 2 * k
        yield frame(HEADERS, 5, i, HEAD0) + frame(RST, 0, i, U32(8))


def made_resets(c):
    """Resets that the server is made to send (CVE-2025-8671)."""
    for k in range(1000):
        i = 1 + 2 * k
        yield frame(HEADERS, 4, i, pack(F)) + frame(WINDOW, 0, i, U32(0))


def bad_heads(c):
    for k in range(1000):
        yield frame(HEADERS, 5, 1 + 2 * k, pack(F[:2]))


FLOODS = {
    "rapid reset": resets, "resets that we are made to send": made_resets,
    "malformed requests": bad_heads,
    "PING": lambda c: (frame(PING, 0, 0, b"12345678") for _ in range(9000)),
    "SETTINGS": lambda c: (frame(SETTINGS, 0, 0) for _ in range(9000)),
    "PRIORITY": lambda c: (frame(PRIORITY, 0, 1, U32(0) + b"\1")
                           for _ in range(9000)),
    "unknown frames": lambda c: (frame(0xee, 0, 0) for _ in range(9000)),
    "WINDOW_UPDATE": lambda c: (frame(WINDOW, 0, 0, U32(1))
                                for _ in range(9000)),
    "empty DATA": lambda c: [frame(HEADERS, 4, 1, pack(F))] +
    [frame(DATA, 0, 1)] * 9000,
    "DATA that is padding": lambda c: [frame(HEADERS, 4, 1, pack(F))] +
    [frame(DATA, PADDED, 1, b"\x09" + b"\0" * 9)] * 3000,
    "CONTINUATION": lambda c: [frame(HEADERS, 1, 1, pack(F))] +
    [frame(CONT, 0, 1, pack([("x-a", "b" * 100)]))] * 9000,
    "empty CONTINUATION": lambda c: [frame(HEADERS, 1, 1, pack(F))] +
    [frame(CONT, 0, 1)] * 9000,
}
for name, frames in FLOODS.items():
    with suite.case(f"a flood ends its connection: {name}"):
        before = memory(proxy)
        with h2() as c:
            for f in frames(c):
                c.send(f)
                if c.closed:
                    break
            c.run(lambda: c.closed)
            # A peer that still sends may see the reset before the GOAWAY.
            check(c.goaway in (None, CALM, PROTOCOL, h2raw.INTERNAL),
                  f"GOAWAY {c.goaway}")
        check(memory(proxy) - before < (64 if ASAN else 8) * MB, "memory")
        with h2() as c:
            equal(c.answer(post(c, call("echo"))).status, 200, "the next")

with suite.case("a table of fields that is made for one: bounded"):
    with h2() as c:
        # one entry of 4,000 bytes, then named 4,000 times (an HPACK bomb)
        entry = b"\x40" + h2raw.integer(3, 7) + b"x-a" + \
            h2raw.integer(3900, 7) + b"b" * 3900
        before = memory(proxy)
        for k in range(8):
            i, c.next = c.next, c.next + 2
            c.streams[i] = h2raw.Stream()
            c.send(frame(HEADERS, 5, i, (entry if k == 0 else b"") +
                         b"\xbe" * 9000))
        c.run(lambda: c.closed or all(s.over for s in c.streams.values()))
        check(all(s.status == 0 for s in c.streams.values()), "answered")
        check(memory(proxy) - before < (64 if ASAN else 8) * MB, "memory")

with suite.case("a field section that does not end is closed in time"):
    with h2() as c:
        c.run(lambda: c.settings is not None)
        began = time.monotonic()
        c.send(frame(HEADERS, 1, 1, pack(F)))
        c.run(lambda: c.closed)
        check(1 < time.monotonic() - began < 12 * SLOW, "time")

with suite.case("a body that does not come: 408, the connection stays"):
    gw.conf["limits"]["body_time"] = "1s"
    (gw.dir / "portreeve.yaml").write_text(json.dumps(gw.conf, indent=1))
    before = gw.log().count("in force")
    gw.proc.send_signal(1)
    until("it is in force", lambda: gw.log().count("in force") >= before + 3)
    with h2() as c:
        i, c.next = c.next, c.next + 2
        c.streams[i] = h2raw.Stream()
        c.send(frame(HEADERS, END_HEADERS, i, pack(F)))
        equal(c.answer(i).status, 408, repr(c.streams[i]))
        equal(c.answer(post(c, call("echo"))).status, 200, "the next")

with suite.case("the ledger verifies; the proxy is still the first one"):
    has(gw.cli("audit", "verify", ok=False).stdout, "chain intact")
    equal(gw.roles()["proxy"], proxy, "proxy")

suite.end()
