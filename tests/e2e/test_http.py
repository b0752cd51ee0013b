#!/usr/bin/env python3
"""curl and raw sockets through the gateway against an nginx TLS origin and an
upstream that notes what it receives: bodies, memory, identity, splicing, bad
certificates, bad HTTP, bad JSON, REST operations, credentials, streaming."""
import gzip
import hashlib
import os
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from support import (ASAN, BIN, SLOW, Certificates, Failed, Suite, call,
                     check, connect, curl, ended, equal, has, hasnt, json,
                     memory, own_network, raw, recv_all, until)
from upstreams import Nginx, Upstream, encode

MB = 1 << 20
BIG = 100 * MB
# What the proxy may grow by while 100 MB go through it.
GROWTH = (64 if ASAN else 8) * MB
SECRET = "tok-71c9e1d5b0a24f66"

# A splice goes to public addresses only: as root the test gives itself a
# network in which it has one.
PUBLIC = "198.41.0.4"
PRIVATE_NET = own_network(PUBLIC)

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-http."))
top.chmod(0o755)
suite = Suite("test_http")
certs = Certificates(top / "certs")
good = certs.make("good", names=("DNS:localhost", "IP:127.0.0.1",
                                 f"IP:{PUBLIC}"))
bad = {"expired": certs.make("expired", expired=True),
       "other-host": certs.make("other", names=("DNS:other.test",)),
       "self-signed": certs.make("selfsigned", self_signed=True),
       "cn-only": certs.make("cnonly", names=(), cn="localhost")}
nginx = Nginx(top / "nginx", good, bad)
up = Upstream(certs.server_context(good))
plain = Upstream()
outside = Upstream(certs.server_context(certs.make(
    "outside", names=("DNS:localhost",), cn="outside")))
suite.cleanups += [nginx.stop, lambda: shutil.rmtree(top, True)]
suite.logs += [nginx.log]
PIN = {"pin": ["127.0.0.1", "::1"]}
CLASSES = {"echo": {"class": "read-only"}, "ticks": {"class": "read-only"},
           "say": {"class": "read-only"}, "coded": {"class": "read-only"}, "headers": {"class": "read-only"},
           "wipe": {"class": "dangerous"}}

gw = suite.gateway("http", {
    "mcp": {"url": up.url(), **PIN, "tools": CLASSES},
    "plain": {"url": plain.url(), **PIN, "tools": CLASSES},
    "watched": {"url": up.url("/mcp-watched"), **PIN, "state": "observe",
                "tools": {**CLASSES, "off": {"class": "read-only",
                                             "enabled": False}}},
    "secured": {"url": up.url("/mcp-secured"), **PIN, "tools": CLASSES,
                "credential": {"name": "secured-token", "type": "bearer"}},
    "keyed": {"url": plain.url("/mcp-keyed"), **PIN, "tools": CLASSES,
              "credential": {"name": "keyed-token", "type": "header",
                             "header": "X-Api-Key", "template": "k-{}"}},
    "lacking": {"url": plain.url("/mcp-lacking"), **PIN, "tools": CLASSES,
                "credential": {"name": "not-stored", "type": "bearer"}},
    "files": {"kind": "rest", "url": f"https://localhost:{nginx.port}/",
              **PIN, "media": "stream", "operations": [
                  {"name": "get", "method": "GET", "path": "/files/{f}",
                   "class": "read-only"},
                  {"name": "put", "method": "PUT", "path": "/files/{f}",
                   "class": "moderate", "approval": "auto"},
                  {"name": "hello", "method": "GET", "path": "/hello",
                   "class": "read-only"}]},
    "items": {"kind": "rest", "url": plain.url("/v1"), **PIN, "operations": [
        {"name": "get_item", "method": "GET", "path": "/v1/items/{id}",
         "class": "read-only"},
        {"name": "add_item", "method": "POST", "path": "/v1/items",
         "class": "moderate", "approval": "auto"},
        {"name": "drop_item", "method": "DELETE", "path": "/v1/items/{id}",
         "class": "dangerous"}]},
    "streams": {"kind": "rest", "url": plain.url("/"), **PIN, "operations": [
        {"name": n, "method": "GET", "path": f"/{n}", "class": "read-only"}
        for n in ("flood", "chunked", "text", "bare")] + [
            {"name": "coded", "method": "GET", "path": "/coded/{how}/{kind}",
             "class": "read-only"}]},
    "loose": {"kind": "rest", "url": plain.url("/loose"), **PIN,
              "media": "stream", "operations": [
                  {"name": "coded", "method": "GET",
                   "path": "/loose/coded/{how}/{kind}", "class": "read-only"},
                  {"name": "put", "method": "POST", "path": "/loose/put",
                   "class": "moderate", "approval": "auto"}]},
    "mailer": {"url": plain.url("/mcp-mailer"), **PIN, "tools": CLASSES,
               "redaction": {"arguments": {"off": ["email", "phone"]}}},
    "reader": {"kind": "rest", "url": plain.url("/reader"), **PIN,
               "redaction": {"arguments": {"off": ["email"]},
                             "results": {"off": ["personal"]}},
               "operations": [
                   {"name": "add", "method": "POST", "path": "/reader/{p}",
                    "class": "moderate", "approval": "auto"},
                   {"name": "coded", "method": "GET",
                    "path": "/reader/coded/{how}/{kind}",
                    "class": "read-only"}]},
    "unpinned": {"url": f"https://localhost:{outside.port}/mcp",
                 "tools": CLASSES},
    **{f"bad-{n}": {"kind": "rest", "url": f"https://localhost:{p}/", **PIN,
                    "operations": [{"name": "any", "method": "GET",
                                    "path": "/x", "class": "read-only"}]}
       for n, p in nginx.bad.items()},
}, certs=certs)
token = gw.session()
proxy = gw.roles()["proxy"]


def event_of(answer):
    e = answer.json()["error"] if isinstance(answer, object) and hasattr(
        answer, "json") else answer
    check(len(e["event"]) == 36, f"no event id: {e}")
    return e


# --- bodies ---------------------------------------------------------------

def sha(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while (b := f.read(MB)):
            h.update(b)
    return h.hexdigest()


small, big = nginx.dir / "files/small", nginx.dir / "files/big"
small.write_bytes(random.Random(1).randbytes(1024))
with open(big, "wb") as f:
    block = random.Random(2).randbytes(MB)
    for i in range(BIG // MB):
        f.write(i.to_bytes(4, "big") + block[4:])
base = f"https://localhost:{nginx.port}"

with suite.case("GET of 1 KB through CONNECT and TLS"):
    a = curl(gw, f"{base}/files/small", token=token)
    equal(a.status, 200, repr(a))
    equal(a.body, small.read_bytes(), "body")

with suite.case("PUT of 1 KB"):
    a = curl(gw, f"{base}/files/put1", "-T", small, "-H",
             "Content-Type: application/octet-stream", token=token)
    equal(a.status, 201, repr(a))
    equal((nginx.dir / "files/put1").read_bytes(), small.read_bytes(), "body")


def watch_memory(run):
    """What the proxy's resident memory reached above its start."""
    before, peak, done = memory(proxy), 0, threading.Event()

    def sample():
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, memory(proxy))
    t = threading.Thread(target=sample)
    t.start()
    try:
        a = run()
    finally:
        done.set()
        t.join()
    print(f"     the proxy grew by {(peak - before) / MB:.1f} MB, from "
          f"{before / MB:.1f}")
    return a, peak - before


with suite.case("GET of 100 MB streams in bounded memory"):
    def run():
        return subprocess.run(
            ["curl", "-sS", "-x", gw.proxy_url(token), "--cacert",
             str(gw.ca()), "-o", str(top / "got"), f"{base}/files/big"],
            capture_output=True, text=True, timeout=60 * SLOW)
    p, grown = watch_memory(run)
    equal(p.returncode, 0, p.stderr)
    equal(sha(top / "got"), sha(big), "content")
    check(grown < GROWTH, f"the proxy grew by {grown} bytes")

with suite.case("PUT of 100 MB streams in bounded memory"):
    a, grown = watch_memory(lambda: curl(
        gw, f"{base}/files/put2", "-T", big, "-H",
        "Content-Type: application/octet-stream", token=token))
    equal(a.status, 201, repr(a))
    equal(sha(nginx.dir / "files/put2"), sha(big), "content")
    check(grown < GROWTH, f"the proxy grew by {grown} bytes")

with suite.case("a slow reader of 100 MB holds the origin back"):
    def run():
        with connect(gw, token, f"localhost:{nginx.port}", tls=gw.ca()) as s:
            s.sendall(f"GET /files/big HTTP/1.1\r\nHost: localhost:"
                      f"{nginx.port}\r\n\r\n".encode())
            got = 0
            while got < MB:
                got += len(s.recv(65536))
            e = len(gw.events(type="call.outcome"))
            time.sleep(0.5)     # as slow as can be: nothing is read
            equal(len(gw.events(type="call.outcome")), e, "outcomes")
    _, grown = watch_memory(run)
    check(grown < GROWTH, f"the proxy grew by {grown} bytes")

with suite.case("PUT of an unknown length (chunked)"):
    p = subprocess.run(
        ["curl", "-sS", "-x", gw.proxy_url(token), "--cacert", str(gw.ca()),
         "-T", "-", "-H", "Content-Type: application/octet-stream", "-o",
         os.devnull, "-w", "%{http_code}", f"{base}/files/put3"],
        input=block, capture_output=True, timeout=60 * SLOW)
    equal(p.stdout, b"201", p.stderr.decode())
    equal(sha(nginx.dir / "files/put3"), hashlib.sha256(block).hexdigest(),
          "content")

with suite.case("an upload with Expect: 100-continue"):
    a = curl(gw, f"{base}/files/put4", "-T", small, "-H",
             "Expect: 100-continue", "-H",
             "Content-Type: application/octet-stream", token=token)
    equal(a.status, 201, repr(a))

with suite.case("keep-alive: one tunnel serves many requests"):
    p = subprocess.run(
        ["curl", "-sS", "-x", gw.proxy_url(token), "--cacert", str(gw.ca()),
         "-w", "%{num_connects}\n"] + [f"{base}/hello"] * 4,
        capture_output=True, text=True, timeout=30 * SLOW)
    lines = p.stdout.split("\n")
    equal([n for n in lines if n in "01" and n], ["1", "0", "0", "0"],
          p.stdout + p.stderr)
    uses = [n.split()[2] for n in lines if n.startswith("hello")]
    equal(len({n.split()[1] for n in lines if n.startswith("hello")}), 1,
          "upstream connections")
    equal(len(uses), 4, "answers")

with suite.case("HEAD is a GET without its body; the connection stays"):
    p = subprocess.run(
        ["curl", "-sSI", "-x", gw.proxy_url(token), "--cacert", str(gw.ca()),
         "--suppress-connect-headers", "-w", "%{num_connects}\n",
         f"{base}/files/small", f"{base}/files/small"],
        capture_output=True, text=True, timeout=30 * SLOW)
    equal(p.stdout.count("HTTP/2 200"), 2, p.stdout + p.stderr)
    equal([n for n in p.stdout.splitlines() if n in "01" and n], ["1", "0"],
          "connections")
    lengths = [l for l in p.stdout.splitlines()
               if l.lower().startswith("content-length:")]
    equal(lengths, ["content-length: 1024"] * 2, "lengths")
    equal(gw.event(type="call.decision", method="HEAD")["tool"], "get",
          "operation")

with suite.case("304 and HEAD say the length of what they leave out"):
    for path, args, want in (
            ("/bare?status=304&length=77", (), "Content-Length: 77"),
            ("/bare?status=200&length=78", ("-I",), "Content-Length: 78"),
            ("/bare?status=200", ("-I",), None),
            ("/bare?status=204&length=0", (), None)):
        a = curl(gw, plain.url(path), *args, token=token)
        equal(a.status, int(path[13:16]), repr(a))
        equal(a.body, b"" if not args else a.head.encode(), "body")
        equal([l for l in a.head.splitlines()
               if l.lower().startswith("content-length:")],
              [want] if want else [], path)

with suite.case("a chunked response arrives whole"):
    a = curl(gw, plain.url("/chunked"), token=token)
    equal(a.status, 200, repr(a))
    equal(a.text, "".join(f"piece {i}\n" for i in range(5)), "body")

with suite.case("compression is not asked of the upstream"):
    curl(gw, plain.url("/text"), "-H", "Accept-Encoding: gzip, br", "-H",
         "Range: bytes=0-3", token=token)
    h = {k.lower(): v for k, v in plain.seen[-1]["headers"]}
    equal(h.get("accept-encoding"), "identity", "Accept-Encoding")
    check("range" not in h, f"Range went out: {h}")

# --- identity -------------------------------------------------------------

with suite.case("CONNECT without a token: 407 that names the command"):
    out = raw(gw.proxy_port, f"CONNECT localhost:{nginx.port} HTTP/1.1\r\n"
              f"Host: localhost:{nginx.port}\r\nConnection: close\r\n\r\n"
              .encode(), 5)
    has(out.decode(), "HTTP/1.1 407", "Proxy-Authenticate: Basic",
        "portreeve session open --user U --agent A --for 1h", '"event"')
    gw.event(type="auth.failed", reason="no-token")

with suite.case("CONNECT with a wrong token: 407"):
    a = curl(gw, f"{base}/hello", token="prt_" + "x" * 43)
    equal((a.connect, a.status), (407, 0), repr(a))
    gw.event(type="auth.failed", reason="bad-token")

with suite.case("a mount without a token: 401 that names the command"):
    a = curl(gw, gw.url("mcp"), via="mount", data=call("echo"))
    equal(a.status, 401, repr(a))
    has(a.head, "WWW-Authenticate: Bearer")
    has(a.text, "portreeve session open --user U --agent A --for 1h")
    event_of(a)

with suite.case("the token never reaches the upstream"):
    curl(gw, gw.url("plain"), via="mount", token=token, data=call("echo"))
    curl(gw, plain.url(), token=token, data=call("echo"))
    for s in plain.seen + up.seen:
        hasnt(repr(s["headers"]), token, "prt_")

with suite.case("a closed session ends its open tunnel's calls"):
    t = gw.session(user="mallory")
    sid = gw.event(type="session.opened", user="mallory")["session"]
    with connect(gw, t, f"localhost:{up.port}", tls=gw.ca()) as s:
        body = json.dumps(call("echo", {"n": 1})).encode()
        req = (f"POST /mcp HTTP/1.1\r\nHost: localhost:{up.port}\r\n"
               f"Content-Type: application/json\r\nContent-Length: "
               f"{len(body)}\r\n\r\n").encode() + body
        s.sendall(req)
        has(s.recv(65536).decode(), "200 OK")
        gw.cli("session", "close", sid)
        s.sendall(req)
        has(recv_all(s, 15, b"}}").decode(), " 407 ", "bad-token")

# --- what is not in the catalogue --------------------------------------------

with suite.case("an uncatalogued host is refused, and recorded"):
    a = curl(gw, f"https://localhost:{outside.port + 1}/", token=token)
    equal(a.connect, 403, repr(a))
    e = gw.event(type="connection.refused", reason="uncatalogued-host")
    equal((e["user"], e["host"]), ("alice", "localhost"), "who and where")

with suite.case("an uncatalogued path on a catalogued host is refused"):
    n = len(up.seen)
    a = curl(gw, up.url("/elsewhere"), token=token)
    equal(a.status, 403, repr(a))
    equal(event_of(a)["reason"], "uncatalogued-host", "reason")
    equal(len(up.seen), n, "requests that arrived")

with suite.case("the address guard: loopback without a pin is refused"):
    a = curl(gw, outside.url(), token=token, data=call("echo"))
    has(a.text, "address-guard", "127.0.0.1" if "127" in a.text else "::1",
        "must pin it")
    equal(outside.seen, [], "requests that arrived")
    gw.event(type="call.outcome", connector="unpinned", status="denied")

for name in bad:
    with suite.case(f"an upstream's certificate is refused: {name}"):
        a = curl(gw, f"https://localhost:{nginx.bad[name]}/x", token=token)
        equal((a.connect, a.status), (200, 502), repr(a))
        equal(event_of(a)["reason"], "upstream-certificate", "reason")

with suite.case("an upstream that is down: 502"):
    plain_port = plain.port
    dead = Upstream()
    gone = dead.port
    dead.stop()
    gw.connector("gone", {"url": f"http://localhost:{gone}/mcp", **PIN,
                          "tools": CLASSES})
    os.kill(gw.proc.pid, 1)     # reload
    a = until("the connector is known", lambda: (
        lambda a: a if a.status and "uncatalogued-host" not in a.text and
        a.status != 503 else None)(
        curl(gw, gw.url("gone"), via="mount", token=token,
             data=call("echo"))))
    has(a.text, "upstream-unreachable")

# --- tunnels ---------------------------------------------------------------------

with suite.case("plaintext HTTP inside CONNECT"):
    a = curl(gw, plain.url(), "--proxytunnel", token=token,
             data=call("echo", {"in": "tunnel"}))
    equal((a.connect, a.status), (200, 200), repr(a))
    has(a.text, "tunnel")

with suite.case("plaintext for a connector that is https is refused"):
    n = len(up.seen)
    with connect(gw, token, f"localhost:{up.port}") as s:
        s.sendall(f"GET /mcp HTTP/1.1\r\nHost: localhost:{up.port}\r\n"
                  "Connection: close\r\n\r\n".encode())
        has(recv_all(s, 5).decode(), " 400 ", "plaintext is refused")
    equal(len(up.seen), n, "requests that arrived")

with suite.case("a Host that is not the tunnel's is refused"):
    n = len(up.seen)
    with connect(gw, token, f"localhost:{up.port}", tls=gw.ca()) as s:
        s.sendall(b"GET /mcp HTTP/1.1\r\nHost: other.test\r\n"
                  b"Connection: close\r\n\r\n")
        has(recv_all(s, 5).decode(), " 421 ", "names another host", "event")
    equal(len(up.seen), n, "requests that arrived")

with suite.case("an SNI that is not the tunnel's is refused"):
    try:
        connect(gw, token, f"localhost:{up.port}", tls=gw.ca(),
                sni="other.test").close()
    except OSError:
        pass
    else:
        raise Failed("the handshake was done")
    e = gw.event(type="connection.refused", reason="ambiguous-http",
                 where=lambda e: "SNI" in e.get("detail", ""))
    equal(e["host"], "localhost", "host")

with suite.case("CONNECT inside CONNECT is refused"):
    with connect(gw, token, f"localhost:{plain.port}") as s:
        s.sendall(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n"
                  b"\r\n")
        has(recv_all(s, 15, b"}}").decode(), "CONNECT inside CONNECT",
            "event")

with suite.case("garbage inside CONNECT is refused"):
    with connect(gw, token, f"localhost:{up.port}") as s:
        s.sendall(b"\x16\x03\x01\x00\x05hello")
        equal(recv_all(s, 5), b"", "answer")
    gw.event(type="connection.refused", reason="ambiguous-http",
             where=lambda e: "SNI" not in e.get("detail", "SNI"))

# --- bad HTTP ----------------------------------------------------------------------

AUTH = f"Authorization: Bearer {token}\r\n"
POST = f"POST /mcp/plain HTTP/1.1\r\nHost: gw\r\n{AUTH}" \
    "Content-Type: application/json\r\n"
AMBIGUOUS = {
    "two lengths": POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunked": POST + "Content-Length: 2\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding beside chunked": POST +
    "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + "Transfer-Encoding: chunked\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked misspelt": POST + "Transfer-Encoding: xchunked\r\n\r\n",
    "a signed length": POST + "Content-Length: +2\r\n\r\n{}",
    "a length in two values": POST + "Content-Length: 2, 2\r\n\r\n{}",
    "a length beyond 64 bits": POST +
    "Content-Length: 99999999999999999999999\r\n\r\n",
    "bare LF": POST.replace("\r\n", "\n") + "Content-Length: 0\n\n",
    "a space before the colon": POST + "X-A : b\r\nContent-Length: 0\r\n\r\n",
    "a folded line": POST + "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": POST + "X-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "no Host": f"GET /mcp/plain HTTP/1.1\r\n{AUTH}\r\n",
    "two Hosts": f"GET /mcp/plain HTTP/1.1\r\nHost: a\r\nHost: b\r\n{AUTH}"
    "\r\n",
    "a bad method": f"G@T /mcp/plain HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n",
    "two spaces": f"GET  /mcp/plain HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n",
    "HTTP/3.0": f"GET /mcp/plain HTTP/3.0\r\nHost: a\r\n{AUTH}\r\n",
    "dots in the path": f"GET /mcp/plain/../x HTTP/1.1\r\nHost: a\r\n{AUTH}"
    "\r\n",
    "an encoded slash": f"GET /mcp/plain/..%2fx HTTP/1.1\r\nHost: a\r\n{AUTH}"
    "\r\n",
    "a bad chunk size": POST + "Transfer-Encoding: chunked\r\n\r\n"
    "0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": POST + "Transfer-Encoding: chunked\r\n\r\n"
    "1\r\n{}\r\n0\r\n\r\n",
    "TRACE": f"TRACE /mcp/plain HTTP/1.1\r\nHost: a\r\n{AUTH}\r\n",
    "a head that is too large": POST + "X-A: " + "a" * 70000 + "\r\n\r\n",
    "too many fields": POST + "".join(f"X-{i}: a\r\n" for i in range(120)) +
    "\r\n",
}
for name, text in AMBIGUOUS.items():
    with suite.case(f"bad HTTP is refused with an event id: {name}"):
        n = len(plain.seen)
        out = raw(gw.mount_port, text.encode("latin-1"), 0.3, True).decode()
        head, _, body = out.partition("\r\n\r\n")
        check(head.split(" ")[1:2] in (["400"], ["405"], ["413"], ["414"],
              ["431"], ["501"], ["505"]), f"answer: {out[:300]!r}")
        e = json.loads(body.split("\n")[0])["error"]
        gw.event(type="connection.refused", id=e["event"])
        equal(len(plain.seen), n, "requests that arrived")
        equal(out.count("HTTP/1.1 4") + out.count("HTTP/1.1 5") +
              out.count("HTTP/1.1 2"), 1, "answers")

with suite.case("requests on one connection after a refusal are not read"):
    out = raw(gw.mount_port, (AMBIGUOUS["two lengths"] +
              POST + "Content-Length: 2\r\n\r\n{}").encode(), 0.3, True)
    equal(out.count(b"HTTP/1.1 "), 1, "answers")

with suite.case("pipelined requests are answered in order"):
    def post(n):
        b = json.dumps(call("echo", {"n": n}, id=n))
        return f"{POST}Content-Length: {len(b)}\r\n\r\n{b}"
    out = raw(gw.mount_port, (post(1) + post(2) + post(3)).encode(),
              until=b'"id": 3')
    at = [out.find(b'"id": %d' % i) for i in (1, 2, 3)]
    check(-1 not in at and at == sorted(at), out[:2000].decode())

# --- bad JSON ------------------------------------------------------------------------

deep = '{"a":' * 300 + "1" + "}" * 300
BAD_JSON = {
    "duplicate keys": ('{"jsonrpc":"2.0","id":1,"method":"tools/call",'
                       '"params":{"name":"echo","name":"wipe"}}',
                       "unparseable", 400),
    "escaped duplicate keys": ('{"jsonrpc":"2.0","id":1,"method":"ping",'
                               '"m\\u0065thod":"tools/call"}',
                               "unparseable", 400),
    "byte order mark": ("\ufeff" + json.dumps(call("echo")), "unparseable",
                        400),
    "not JSON": ("{jsonrpc}", "unparseable", 400),
    "cut off": ('{"jsonrpc":"2.0","id":1', "unparseable", 400),
    "two texts": (json.dumps(call("echo")) * 2, "unparseable", 400),
    "invalid UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
                      "unparseable", 400),
    "too deep": ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' +
                 deep + "}", "unparseable", 400),
    "no method": ('{"jsonrpc":"2.0","id":1}', "unparseable", 400),
    "an empty batch": ("[]", "batch-refused", 400),
    "too large": (json.dumps(call("echo", {"a": "b" * (MB + 1)})),
                  "body-too-large", 413),
    "nothing": ("", "unparseable", 400),
}
for name, (text, reason, status) in BAD_JSON.items():
    with suite.case(f"a bad body is refused by name: {name}"):
        n = len(plain.seen)
        a = curl(gw, gw.url("plain"), via="mount", token=token, data=text)
        equal(a.status, status, repr(a))
        m = a.json()
        e = m["error"]
        if "data" in e:         # JSON-RPC
            equal(e["data"]["reason"], reason, "reason")
            event = e["data"]["event"]
        else:
            equal(e["reason"], reason, "reason")
            event = e["event"]
        gw.event(id=event)
        equal(len(plain.seen), n, "requests that arrived")

with suite.case("a chunked body beyond the limit is refused"):
    a = curl(gw, gw.url("plain"), "-H", "Transfer-Encoding: chunked",
             via="mount", token=token, data=json.dumps(
                 call("echo", {"a": "b" * (MB + 1)})))
    equal(a.status, 413, repr(a))

# --- content codings ----------------------------------------------------------------

MAIL = {"mail": "bob@example.com"}


def post_coded(url, how, value, *args, via="proxy"):
    body, coding = encode(how, json.dumps(value).encode())
    return curl(gw, url, "-H", f"Content-Encoding: {coding}", *args, via=via,
                token=token, data=body)


for how in ("gzip", "x-gzip", "deflate"):
    with suite.case(f"a {how} request is gated, and goes on as identity"):
        a = post_coded(gw.url("plain"), how, call("echo", MAIL), via="mount")
        equal(a.status, 200, repr(a))
        has(a.text, "[redacted:email]")
        a = post_coded(plain.url("/v1/items"), how, MAIL, "-H",
                       "Transfer-Encoding: chunked")
        equal(a.status, 200, repr(a))
        for s in plain.seen[-2:]:
            h = {k.lower(): v for k, v in s["headers"]}
            check("content-encoding" not in h, repr(h))
            equal(int(h["content-length"]), len(s["body"]), "length")
            equal("[redacted:email]" in s["body"].decode(), True, "redacted")
        d = gw.event(type="call.decision", tool="add_item")
        equal(d["arguments"]["body"], {"mail": "[redacted:email]"}, "body")

with suite.case("a clean encoded request is forwarded decoded, all of it"):
    a = post_coded(plain.url("/v1/items"), "gzip", {"a": list(range(9999))})
    equal(json.loads(plain.seen[-1]["body"]), {"a": list(range(9999))}, "body")

for how, reason, status, word in (
        ("cut", "unparseable", 400, "cut off"),
        ("trailing", "unparseable", 400, "behind the end"),
        ("members", "unparseable", 400, "behind the end"),
        ("damaged", "unparseable", 400, "damaged"),
        ("none", "unparseable", 400, "damaged"),
        ("raw", "unparseable", 400, "damaged"),
        ("bomb", "decompression-bomb", 413, "grows too much"),
        ("twice", "ambiguous-http", 400, "more than one coding"),
        ("br", "media-uninspected", 415, "")):
    with suite.case(f"an encoded request is refused by name: {how}"):
        n = len(plain.seen)
        for url, value in ((plain.url(), call("echo", MAIL)),
                           (plain.url("/v1/items"), MAIL)):
            a = post_coded(url, how, value)
            equal((a.status, event_of(a)["reason"]), (status, reason),
                  repr(a))
            has(a.text, word)
            gw.event(id=event_of(a)["event"])
        equal(len(plain.seen), n, "requests that arrived")

with suite.case("an encoded request beyond the limit is refused"):
    a = post_coded(plain.url("/v1/items"), "gzip",
                   random.Random(3).randbytes(MB * 2 // 3).hex())
    equal((a.status, event_of(a)["reason"]), (413, "body-too-large"), repr(a))

for how in ("gzip", "x-gzip", "deflate"):
    with suite.case(f"a {how} answer is gated, and delivered as identity"):
        for a in (curl(gw, plain.url(f"/coded/{how}/json"), token=token),
                  curl(gw, plain.url(f"/coded/{how}/text"), token=token),
                  curl(gw, gw.url("plain"), via="mount", token=token,
                       data=call("coded", {"how": how, "text": "to x@example.com"}))):
            equal(a.status, 200, repr(a))
            has(a.text, "[redacted:email]")
            hasnt(a.head.lower(), "content-encoding")
            has(a.head, f"Content-Length: {len(a.body)}")

with suite.case("HEAD of what would be decoded tells no length"):
    a = curl(gw, plain.url("/coded/gzip/json"), "-I", token=token)
    equal(a.status, 200, repr(a))
    hasnt(a.head.lower(), "content-encoding", "content-length")

for how, reason, word in (
        ("cut", "unparseable", "cut off"),
        ("trailing", "unparseable", "behind the end"),
        ("members", "unparseable", "behind the end"),
        ("damaged", "unparseable", "damaged"),
        ("raw", "unparseable", "damaged"),
        ("bomb", "decompression-bomb", "grows too much"),
        ("twice", "ambiguous-http", "more than one"),
        ("br", "media-uninspected", "encoded")):
    with suite.case(f"an encoded answer is refused by name: {how}"):
        a = curl(gw, plain.url(f"/coded/{how}/json"), token=token)
        equal((a.status, event_of(a)["reason"]), (502, reason), repr(a))
        has(a.text, word)
        a = curl(gw, gw.url("plain"), via="mount", token=token,
                 data=call("coded", {"how": how, "text": "x"}))
        equal(a.json()["result"]["isError"], True, repr(a))
        has(a.text, reason, word)
        hasnt(a.head.lower(), "content-encoding")

with suite.case("an encoded answer beyond the limit is refused"):
    a = curl(gw, plain.url("/coded/gzip/large"), token=token)
    equal((a.status, event_of(a)["reason"]), (502, "body-too-large"), repr(a))

with suite.case("media: stream passes what is not read as it came"):
    for how, kind, coding in (("br", "json", "br"),
                              ("gzip", "binary", "gzip")):
        a = curl(gw, plain.url(f"/loose/coded/{how}/{kind}"), token=token)
        equal(a.status, 200, repr(a))
        equal(a.body, encode(how, json.dumps(MAIL).encode())[0] if how == "br"
              else a.body, "body")
        has(a.head, f"Content-Encoding: {coding}")
    equal(json.loads(gzip.decompress(a.body)), MAIL, "content")
    a = curl(gw, plain.url("/loose/coded/gzip/json"), token=token)
    has(a.text, "[redacted:email]")     # it can be read, so it is
    a = post_coded(plain.url("/loose/put"), "br", MAIL)
    equal(a.status, 200, repr(a))
    equal(dict((k.lower(), v) for k, v in plain.seen[-1]["headers"])
          ["content-encoding"], "br", "Content-Encoding")
    a = post_coded(plain.url("/loose/put"), "twice", MAIL)
    equal((a.status, event_of(a)["reason"]), (400, "ambiguous-http"), repr(a))


def coded_sse(how):
    """Three events, each sent when the one before has arrived."""
    p = subprocess.Popen(["curl", "-sSN", "-x", gw.proxy_url(token), "-D",
                          str(top / "sse-head"), plain.url(
                              f"/coded/{how}/sse")], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True)
    events = []
    for line in p.stdout:
        if line.startswith("data: "):
            events.append(json.loads(line[6:]))
            plain.server.more.release()
    return events, p.wait(30 * SLOW), (top / "sse-head").read_text()


SSE = [{"n": n, "mail": "[redacted:email]"} for n in range(3)]
with suite.case("SSE with gzip is gated event by event, without delay"):
    events, code, head = coded_sse("gzip")
    equal((events, code), (SSE, 0), "events and curl's exit")
    hasnt(head.lower(), "content-encoding")
    gw.event(type="call.outcome", connector="streams", status="ok")

with suite.case("SSE with gzip: a slow reader gets all of 10 MB, in order"):
    own = gw.session(user="reader")     # what it reads marks its session

    def run():
        p = subprocess.Popen(["curl", "-sSN", "-x", gw.proxy_url(own),
                              plain.url("/coded/much/sse")],
                             stdout=subprocess.PIPE)
        time.sleep(0.5)     # it fills what lies between
        out, _ = p.communicate(timeout=60 * SLOW)
        return p.returncode, out
    (code, out), grown = watch_memory(run)
    seen = [json.loads(line[6:])["n"] for line in out.decode().splitlines()
            if line.startswith("data: ")]
    equal((code, len(out) > 8 * MB, seen == list(range(40000))),
          (0, True, True), "exit, size, events")
    has(out.decode(), "Ignore all previous")
    gw.event(type="call.outcome", user="reader", status="ok",
             where=lambda e: e["flags"])
    check(grown < GROWTH, f"the proxy grew by {grown} bytes")

for how in ("cut", "flood"):
    with suite.case(f"SSE with gzip that is a {how} does not end well"):
        before = memory(proxy)
        events, code, _ = coded_sse(how)
        equal(events, SSE, "events")
        check(code != 0, "curl took it for whole")
        check(memory(proxy) - before < GROWTH, "the proxy grew")

with suite.case("MCP that is not application/json is refused"):
    a = curl(gw, gw.url("plain"), via="mount", token=token, ctype="text/plain",
             data=json.dumps(call("echo")))
    equal(a.status, 415, repr(a))

# --- REST ---------------------------------------------------------------------------------

items = plain.url("/v1/items")
KEY = "ghp_" + "016C7C0a9B1d3E5f7G9h1J3k5L7m9N1p3Q5r"
with suite.case("REST: a path template names the operation"):
    a = curl(gw, f"{items}/17?full=1", token=token)
    equal(a.status, 200, repr(a))
    equal(a.json()["path"], "/v1/items/17?full=1", "path")
    d = gw.event(type="call.decision", connector="items", tool="get_item")
    equal((d["verdict"], d["class"], d["operation"], d["method"]),
          ("allow", "read-only", "http", "GET"), "decision")
    equal(d["arguments"], {"path": {"id": "17"}, "query": {"full": "1"}},
          "arguments")

with suite.case("REST: parameters are arguments, by name, decoded"):
    a = curl(gw, f"{items}/a%20b?tag=x&tag=%C3%A9+1&n=&flag", token=token)
    equal(a.json()["path"], "/v1/items/a%20b?tag=x&tag=%C3%A9+1&n=&flag",
          "sent as it came")
    d = gw.event(type="call.decision", tool="get_item",
                 where=lambda e: "tag" in e["arguments"]["query"])
    equal(d["arguments"], {"path": {"id": "a b"}, "query": {
        "tag": ["x", "é 1"], "n": "", "flag": ""}}, "arguments")
    a = curl(gw, items + "/1?" + "&".join("p" * 501), token=token)
    equal(a.status, 400, repr(a))

URL_KEY = "ghp_" + "7QzR2tX9bW4kLmN8vP3sDfG6hJ1yC5aE0uTi"
with suite.case("a secret in a URL is refused, on no road it is recorded"):
    n = len(plain.seen)
    for args, url, via in (
            ((), f"{items}/17?key={URL_KEY}", "proxy"),
            ((), f"{items}/{URL_KEY}", "proxy"),
            ((), f"{items}/1?key=%67hp_{URL_KEY[4:]}", "proxy"),
            # The body's own redaction must not make up for the URL.
            (("-d", json.dumps({"key": KEY}), "-H", "Content-Type: "
              "application/json"), f"{items}?key={URL_KEY}", "proxy"),
            ((), gw.url("items", rest=True) + f"/none/{URL_KEY}", "mount"),
            (("-d", json.dumps(call("echo")), "-H", "Content-Type: "
              "application/json"), plain.url() + f"?key={URL_KEY}", "proxy"),
            (("-d", json.dumps(call("echo")), "-H", "Content-Type: "
              "application/json"), gw.url("plain") + f"?key={URL_KEY}",
             "mount")):
        p = subprocess.Popen(
            ["curl", "-sS", *args, "-o", os.devnull, "-w", "%{http_code}",
             *(("-x", gw.proxy_url(token)) if via == "proxy" else
               ("-H", f"Authorization: Bearer {token}")), url],
            stdout=subprocess.PIPE, text=True)
        p.communicate(timeout=20 * SLOW)
    equal(len(plain.seen), n, "requests that arrived")
    time.sleep(0.2)
    for f in gw.dir.rglob("*"):
        if f.is_file():
            check(URL_KEY[4:].encode() not in f.read_bytes(), f"it is in {f}")
    d = gw.event(type="call.decision", tool="get_item", verdict="deny")
    equal(d["reason"], "redactor-limit", "reason")
    has(d["target"], "[redacted:")
    has(d["detail"], "The URL holds a value")

with suite.case("REST: a mount with a JSON body"):
    a = curl(gw, gw.url("items", rest=True) + "/items", via="mount",
             token=token, data={"name": "x"})
    equal(a.status, 200, repr(a))
    equal(a.json()["path"], "/v1/items", "path")
    d = gw.event(type="call.decision", tool="add_item")
    equal(d["arguments"]["body"], {"name": "x"}, "body")

with suite.case("REST: a body is redacted on its way out"):
    a = curl(gw, items, token=token, data={"mail": "bob@example.com"})
    has(a.json()["body"], "[redacted:email]")
    hasnt(plain.seen[-1]["body"].decode(), "bob@example.com")

with suite.case("REST: what no operation names is held"):
    p = subprocess.Popen(
        ["curl", "-sS", "-x", gw.proxy_url(token), "-o", os.devnull, "-w",
         "%{http_code}", f"{items}/17/secret"], stdout=subprocess.PIPE,
        text=True)
    held = gw.pending()[0]
    gw.cli("approval", "deny", held, "--reason", "no")
    equal(p.communicate(timeout=20 * SLOW)[0], "403", "status")

with suite.case("REST: DELETE is dangerous: held, then approved"):
    p = subprocess.Popen(
        ["curl", "-sS", "-x", gw.proxy_url(token), "-X", "DELETE",
         f"{items}/9"], stdout=subprocess.PIPE, text=True)
    held = gw.pending()[0]
    check(plain.seen[-1]["method"] != "DELETE", "it was sent while held")
    has(gw.cli("approval", "show", held).stdout, "DELETE", "dangerous")
    gw.cli("approval", "approve", held)
    equal(json.loads(p.communicate(timeout=20 * SLOW)[0])["method"], "DELETE",
          "answer")
    d = gw.event(type="call.decision", tool="drop_item")
    equal((d["verdict"], d["class"]), ("allow", "dangerous"), "decision")

# --- redaction rules that are off -----------------------------------------------------------------

WRITE = {"to": "bob@example.com", "phone": "+49 30 1234567", "key": KEY,
         "card": "4111 1111 1111 1111"}

with suite.case("arguments: rules that are off do not act, all others do"):
    a = curl(gw, gw.url("mailer"), via="mount", token=token,
             data=call("echo", WRITE))
    equal(a.status, 200, repr(a))
    sent = json.loads(plain.seen[-1]["body"])["params"]["arguments"]
    equal((sent["to"], sent["phone"]), (WRITE["to"], WRITE["phone"]), "sent")
    hasnt(json.dumps(sent), KEY, WRITE["card"])
    # The result's rules are all on: the echo of it is redacted.
    hasnt(a.text, WRITE["to"], WRITE["phone"], KEY)
    has(a.text, "[redacted:email]", "[redacted:phone]")
    d = gw.event(type="call.decision", connector="mailer")
    equal(d["arguments"]["to"], WRITE["to"], "recorded as sent")
    hasnt(json.dumps(d), KEY)

with suite.case("results: the kind that is off passes, secrets do not"):
    a = curl(gw, plain.url("/reader/x"), token=token, data=WRITE)
    equal(a.status, 200, repr(a))
    body = json.loads(plain.seen[-1]["body"])
    equal(body["to"], WRITE["to"], "sent")
    equal(body["phone"], "[redacted:phone]", "sent")
    has(a.text, WRITE["to"])
    hasnt(a.text, KEY)
    for kind in ("json", "text"):
        a = curl(gw, plain.url(f"/reader/coded/gzip/{kind}"), token=token)
        has(a.text, "bob@example.com")

with suite.case("other connectors keep every rule"):
    a = curl(gw, gw.url("plain"), via="mount", token=token,
             data=call("echo", WRITE))
    hasnt(plain.seen[-1]["body"].decode(), WRITE["to"], WRITE["phone"])

# --- credentials ---------------------------------------------------------------------------------

with suite.case("a credential that is not stored: refused, command named"):
    n = len(plain.seen)
    a = curl(gw, gw.url("lacking"), via="mount", token=token,
             data=call("echo"))
    has(a.text, "credential-unavailable", "portreeve credential set")
    equal(len(plain.seen), n, "requests that arrived")

with suite.case("a bearer credential is added; an echo of it is redacted"):
    gw.cli("credential", "set", "secured-token", input=SECRET + "\n")
    for via, url in (("mount", gw.url("secured")),
                     ("proxy", up.url("/mcp-secured"))):
        a = curl(gw, url, "-H", "X-Other: 1", via=via, token=token,
                 data=call("headers"))
        equal(a.status, 200, repr(a))
        hasnt(a.text + a.head, SECRET)
        has(a.text, "redacted")
        sent = dict((k.lower(), v) for k, v in up.seen[-1]["headers"])
        equal(sent["authorization"], f"Bearer {SECRET}", "Authorization")

with suite.case("a header credential replaces what the agent sent"):
    gw.cli("credential", "set", "keyed-token", input=SECRET + "\n")
    a = curl(gw, plain.url("/mcp-keyed"), "-H", "X-Api-Key: mine",
             token=token, data=call("headers"))
    equal(a.status, 200, repr(a))
    hasnt(a.text + a.head, SECRET)
    sent = [v for k, v in plain.seen[-1]["headers"]
            if k.lower() == "x-api-key"]
    equal(sent, [f"k-{SECRET}"], "X-Api-Key")

with suite.case("a secret is nowhere but in the keeper's sealed file"):
    time.sleep(0.2)
    for f in gw.dir.rglob("*"):
        if f.is_file():
            check(SECRET.encode() not in f.read_bytes(), f"it is in {f}")
    for f in ("cmdline", "environ"):
        for pid in gw.roles().values():
            p = pathlib.Path(f"/proc/{pid}/{f}")
            try:
                check(SECRET.encode() not in p.read_bytes(), f"in {p}")
            except OSError:
                pass

# --- configuration --------------------------------------------------------------------------------

CHECKS = {
    "an unknown key, the nearest named": (
        None, 'proxys: 2\n', [":1:1", "proxys", "proxies"]),
    "an inline secret": (
        "x.yaml", 'name: x\nurl: https://h.example/mcp\nagents: ["*"]\n'
        'credential: { name: gh, token: ghp_1234 }\n',
        ["x.yaml:4", "token", "portreeve credential set"]),
    "a value that is none": (
        "x.yaml", 'name: x\nkind: mpc\nurl: https://h.example/mcp\n'
        'agents: ["*"]\n', ["x.yaml:2:7", "mpc", "mcp"]),
    "a redaction rule that is none, the nearest named": (
        "x.yaml", 'name: x\nurl: https://h.example/mcp\nagents: ["*"]\n'
        'redaction: { arguments: { off: [email, fone] } }\n',
        ["x.yaml:4:40", "fone", "phone"]),
    "secrets switched off as a kind": (
        "x.yaml", 'name: x\nurl: https://h.example/mcp\nagents: ["*"]\n'
        'redaction: { results: { off: [secret] } }\n',
        ["x.yaml:4:31", "one by one"]),
    "a missing key": (
        "x.yaml", 'name: x\nagents: ["*"]\n', ["x.yaml:", "url:"]),
    "no agents": (
        "x.yaml", 'name: x\nurl: https://h.example/mcp\n',
        ["x.yaml", "agents:"]),
    "a key twice": (
        "x.yaml", 'name: x\nname: y\nurl: https://h.example/mcp\n',
        ["x.yaml:2:1", "name"]),
    "broken YAML": ("x.yaml", 'name: [x\n', ["x.yaml:"]),
    "a name twice": (
        "x.yaml", 'name: ok\nurl: https://h.example/mcp\nagents: ["*"]\n',
        ["ok", "twice"]),
}


def check_config(file, text):
    with tempfile.TemporaryDirectory() as tmp:
        t = pathlib.Path(tmp)
        (t / "connectors.d").mkdir()
        (t / "connectors.d/ok.yaml").write_text(
            'name: ok\nurl: https://ok.example/mcp\nagents: ["*"]\n')
        main = f"state: {t}/state\nrun: {t}/run\nconnectors: connectors.d\n" \
            f"rules: {gw.conf['rules']}\nlisten: [explicit: 127.0.0.1:3128]\n"
        if file:
            (t / "connectors.d" / file).write_text(text)
        (t / "c.yaml").write_text(main if file else text + main)
        p = subprocess.run([str(BIN / "portreeve"), "check", t / "c.yaml"],
                           capture_output=True, text=True,
                           timeout=30 * SLOW)
        return p.returncode, p.stdout + p.stderr


with suite.case("portreeve check: a good configuration"):
    code, out = check_config(None, "")
    equal(code, 0, out)
with suite.case("portreeve check: a secret's rule switched off is told"):
    code, out = check_config(
        "x.yaml", 'name: x\nurl: https://h.example/mcp\nagents: ["*"]\n'
        'redaction: { results: { off: [email, github-token] } }\n')
    equal(code, 0, out)
    has(out, "secrets may pass in its results", ": github-token")
for name, (file, text, parts) in CHECKS.items():
    with suite.case(f"portreeve check: {name}"):
        code, out = check_config(file, text)
        check(code != 0, f"accepted: {out}")
        has(out, *parts)

with suite.case("a reload with an error is refused whole; the old one stays"):
    f = gw.dir / "connectors.d/mcp.yaml"
    good_text = f.read_text()
    f.write_text(good_text.replace('"url"', '"urk"'))
    os.kill(gw.proc.pid, 1)
    gw.event(type="config.refused")
    a = curl(gw, gw.url("mcp"), via="mount", token=token, data=call("echo"))
    equal(a.status, 200, repr(a))
    f.write_text(good_text)

# --- streaming -------------------------------------------------------------------------------------

with suite.case("SSE: every event comes through when it is sent"):
    p = subprocess.Popen(
        ["curl", "-sSN", "-x", gw.proxy_url(token), "--cacert",
         str(gw.ca()), "-H", "Accept: text/event-stream, application/json",
         "-H", "Content-Type: application/json", "-d", json.dumps(
             call("ticks", {"count": 10, "every": 0.05})), up.url()],
        stdout=subprocess.PIPE, text=True, bufsize=1)
    late = []
    for line in p.stdout:
        if line.startswith("data: ") and "message" in line:
            sent = float(json.loads(line[6:])["params"]["message"])
            late.append(time.monotonic() - sent)
    p.wait(20)
    equal(len(late), 10, "events")
    late.sort()
    print(f"     median delay of an event: {late[5] * 1e3:.2f} ms")
    check(late[5] < 0.02 * SLOW, f"median delay of an event: {late[5]:.4f} s")

with suite.case("SSE: a reader that stops holds the upstream, memory stays"):
    def run():
        with socket.create_connection(("127.0.0.1", gw.proxy_port)) as s:
            import base64
            cred = base64.b64encode(f"a:{token}".encode()).decode()
            s.sendall(f"GET {plain.url('/flood')} HTTP/1.1\r\nHost: "
                      f"localhost:{plain.port}\r\nProxy-Authorization: Basic "
                      f"{cred}\r\n\r\n".encode())
            s.recv(4096)
            until("the upstream has sent something",
                  lambda: plain.server.flooded > MB)
            last = -1
            while plain.server.flooded != last:     # until it stands still
                last = plain.server.flooded
                time.sleep(0.3)
    _, grown = watch_memory(run)
    check(grown < GROWTH, f"the proxy grew by {grown} bytes")
    check(plain.server.flooded < 64 * MB,
          f"the upstream sent {plain.server.flooded} bytes to no reader")

# --- kills ------------------------------------------------------------------------------------------

def ticking(connector):
    """A tool that sends progress for a minute; read up to the first."""
    p = subprocess.Popen(
        ["curl", "-sSN", "-H", f"Authorization: Bearer {token}", "-H",
         "Accept: text/event-stream, application/json", "-H",
         "Content-Type: application/json", "-d", json.dumps(
             call("ticks", {"count": 6000, "every": 0.01})),
         gw.url(connector)], stdout=subprocess.PIPE, text=True, bufsize=1)
    for line in p.stdout:
        if "progress" in line:
            return p
    raise Failed("no event of a stream")


with suite.case("a kill's reason is the last event of every stream"):
    n = 40
    streams = [ticking("plain") for _ in range(n)]
    out = gw.cli("kill", "connector/plain", "--reason", "leaking PATs").stdout
    has(out, f"{n} streams cut")
    for p in streams:
        rest, _ = p.communicate(timeout=20 * SLOW)
        last = json.loads(rest.strip().rsplit("data: ", 1)[1])
        has(json.dumps(last), "kill switch",
            "(connector/plain: leaking PATs)", "Event: ")
        equal(last["id"], 1, "the answered request")
        equal(p.returncode, 0, "curl")
    until("each outcome is recorded", lambda: len(gw.events(
        type="call.outcome", connector="plain", tool="ticks",
        status="cut")) == n)
    has(gw.events(type="call.outcome", status="cut")[-1]["detail"],
        "leaking PATs")
    a = curl(gw, up.url(), token=token, data=call("echo", {"other": 1}))
    has(a.text, "other")
    gw.cli("revive", "connector/plain", "--reason", "test")

with suite.case("a kill stops what a finished call has not delivered yet"):
    body = json.dumps(call("say", {"text": "word " * 20000, "times": 35}))
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", gw.mount_port))
        s.sendall(f"POST /mcp/plain HTTP/1.1\r\nHost: a\r\nAuthorization: "
                  f"Bearer {token}\r\nContent-Type: application/json\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        head = recv_all(s, until=b"\r\n\r\n")
        has(head.decode(), " 200 ")
        gw.event(type="call.outcome", connector="plain", tool="say",
                 where=lambda e: e["bytes_out"] > 3 * MB)
        gw.cli("kill", "tool/plain/say", "--reason", "test", "--force")
        got = len(recv_all(s))
        check(got < 3 * MB, f"{got} bytes came after the kill")
        check(ended(s), "it is still open")
    gw.cli("revive", "tool/plain/say", "--reason", "test")

# --- observe ----------------------------------------------------------------------------------------

with suite.case("observe: what would be held goes through, and is recorded"):
    a = curl(gw, gw.url("watched"), via="mount", token=token,
             data=call("wipe", {"x": 1}))
    equal(a.status, 200, repr(a))
    d = gw.event(type="call.decision", connector="watched", tool="wipe")
    equal((d["verdict"], d["observed"], d["would"]), ("allow", True, "hold"),
          "decision")

with suite.case("observe: an explicit denial acts"):
    a = curl(gw, gw.url("watched"), via="mount", token=token,
             data=call("off"))
    check(a.json()["result"]["isError"], repr(a))
    has(a.text, "disabled")

with suite.case("observe: the kill switch acts"):
    gw.cli("kill", "connector/watched", "--reason", "test")
    a = curl(gw, gw.url("watched"), via="mount", token=token,
             data=call("echo"))
    has(a.text, "kill switch", "test")
    gw.cli("revive", "connector/watched", "--reason", "test")
    a = curl(gw, gw.url("watched"), via="mount", token=token,
             data=call("echo", {"again": 1}))
    has(a.text, "again")
    hasnt(a.text, "isError")

# --- splicing -------------------------------------------------------------------------------------------

splice = suite.gateway("splice", {"mcp": {"url": up.url(), **PIN,
                                          "tools": CLASSES}},
                       conf={"uncatalogued": "splice"}, certs=certs)
stoken = splice.session()



def spliced_open():
    """In a network of its own, this machine has a public address."""
    host = f"{PUBLIC}:{nginx.port}"
    pem = ssl_certificate(splice, stoken, host)
    equal(pem, pathlib.Path(good[0]).read_text().strip(),
          "the certificate the agent sees")
    a = curl(splice, f"https://{host}/hello", "--cacert", certs.ca,
             token=stoken)
    equal((a.connect, a.status), (200, 200), repr(a))
    e = splice.event(type="connection.spliced", phase="end",
                     where=lambda e: e["bytes_in"] > 0)
    equal((e["host"], e["user"]), (PUBLIC, "alice"), "who and where")
    check(e["bytes_out"] > 500, "bytes counted")


def ssl_certificate(g, token, host):
    with connect(g, token, host) as s:
        c = ssl.create_default_context(cafile=str(certs.ca))
        with c.wrap_socket(s, server_hostname=PUBLIC) as t:
            return ssl.DER_cert_to_PEM_cert(t.getpeercert(True)).strip()


if PRIVATE_NET:
    with suite.case("splice: an uncatalogued host keeps its certificate"):
        spliced_open()
    with suite.case("splice: the session's kill cuts it"):
        with connect(splice, stoken, f"{PUBLIC}:{nginx.port}") as s:
            splice.cli("kill", "user/alice", "--reason", "test")
            check(ended(s), "it is still open")
        splice.cli("revive", "user/alice", "--reason", "test")

with suite.case("splice: loopback is guarded for spliced hosts too"):
    a = curl(splice, f"{base}/hello", token=stoken)
    equal(a.connect, 403, repr(a))
    splice.event(type="connection.refused", reason="address-guard")

with suite.case("splice: a catalogued host is still opened"):
    a = curl(splice, up.url(), token=stoken, data=call("echo", {"a": "b"}))
    equal(a.status, 200, repr(a))
    splice.event(type="call.decision", connector="mcp", tool="echo")


with suite.case("the ledgers verify"):
    for g in (gw, splice):
        out = g.cli("audit", "verify", ok=False)
        has(out.stdout + out.stderr, "not anchored")
        equal(out.returncode, 3, out.stdout + out.stderr)

with suite.case("the proxy of all this is still the first one"):
    equal(gw.roles()["proxy"], proxy, "process id")

suite.end()
