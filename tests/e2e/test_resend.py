#!/usr/bin/env python3
"""Calls that an upstream did not process: REFUSED_STREAM, GOAWAY, an idle
connection that closes. Sent once more where that is certain or harmless, never
where it may have been a write; one decision, one outcome."""
import json
import pathlib
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time

from h2raw import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INTERNAL,
                   PREFACE, REFUSED, RST, SETTINGS, WINDOW, Inflater, frame,
                   pack)
from support import (Certificates, Suite, call, check, curl, equal, has, hasnt,
                     rpc)

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-resend."))
top.chmod(0o755)
suite = Suite("test_resend")
suite.cleanups += [lambda: shutil.rmtree(top, True)]
certs = Certificates(top / "certs")
U32 = struct.Struct(">I").pack


class Origin:
    """Notes each request; `plan` says what becomes of the next ones, else they
    are answered with their body."""

    def __init__(self, tls=None):
        self.tls, self.plan, self.seen, self.conns = tls, [], [], 0
        self.s = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            c, _ = self.s.accept()
            self.conns += 1
            threading.Thread(target=self.one, args=(c, self.conns),
                             daemon=True).start()

    def one(self, c, n):
        try:
            if self.tls is not None:
                c = self.tls.wrap_socket(c, server_side=True)
                self.serve2(c, n)
            else:
                self.serve1(c, n)
        except (OSError, ValueError):
            pass
        finally:
            c.close()

    def todo(self, n, head, body):
        self.seen.append({"conn": n, "head": head, "body": body})
        return self.plan.pop(0) if self.plan else "answer"

    @staticmethod
    def result(body):
        m = json.loads(body) if body else {"id": 0}
        return json.dumps({"jsonrpc": "2.0", "id": m.get("id"),
                           "result": {"content": [{"type": "text", "text":
                                                   "it-is-done"}]}}).encode()

    # -- HTTP/1.1

    def serve1(self, c, n):
        f = c.makefile("rb")
        while (line := f.readline()):
            head = {":line": line.decode().strip()}
            while (l := f.readline().strip()):
                k, v = l.decode().split(":", 1)
                head[k.lower()] = v.strip()
            body = f.read(int(head.get("content-length", 0)))
            what = self.todo(n, head, body)
            if what == "drop":
                return
            if what == "half":
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-")
                return
            out = self.result(body)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % len(out) + out)
            if what == "last":      # kept open by the answer, then closed
                return

    # -- HTTP/2

    def serve2(self, c, n):
        self.buf, inflater, streams = b"", Inflater(), {}
        buf = b""
        c.sendall(frame(SETTINGS, 0, 0))
        while len(buf) < len(PREFACE):
            buf += self.more(c)
        buf = buf[len(PREFACE):]
        while True:
            while len(buf) < 9 or len(buf) < 9 + int.from_bytes(buf[:3],
                                                                "big"):
                buf += self.more(c)
            size = int.from_bytes(buf[:3], "big")
            kind, flags = buf[3], buf[4]
            i = int.from_bytes(buf[5:9], "big")
            p, buf = buf[9:9 + size], buf[9 + size:]
            if kind == SETTINGS and not flags & ACK:
                c.sendall(frame(SETTINGS, ACK, 0))
            elif kind == HEADERS:
                streams[i] = [dict(inflater.fields(p)), b""]
            elif kind == DATA:
                streams[i][1] += p
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                if not self.answer2(c, n, i, *streams.pop(i)):
                    return

    @staticmethod
    def more(c):
        d = c.recv(65536)
        if not d:
            raise OSError
        return d

    def answer2(self, c, n, i, head, body):
        what = self.todo(n, head, body)
        ok = frame(HEADERS, END_HEADERS, i, pack([
            (":status", "200"), ("content-type", "application/json")]))
        if what == "refuse":
            c.sendall(frame(RST, 0, i, U32(REFUSED)))
        elif what == "reset":
            c.sendall(frame(RST, 0, i, U32(INTERNAL)))
        elif what == "refuse-late":
            c.sendall(ok + frame(RST, 0, i, U32(REFUSED)))
        elif what == "interim":
            c.sendall(frame(HEADERS, END_HEADERS, i, pack([
                (":status", "103")])) + frame(RST, 0, i, U32(REFUSED)))
        elif what == "goaway":      # this one is not processed
            c.sendall(frame(GOAWAY, 0, 0, U32(i - 2 if i > 2 else 0) + U32(0)))
        elif what == "goaway-after":    # it was taken, and is not answered
            c.sendall(frame(GOAWAY, 0, 0, U32(i) + U32(0)))
            return False
        elif what == "drop":
            return False
        else:
            c.sendall(ok + frame(DATA, END_STREAM, i, self.result(body)))
        return True


ctx = certs.server_context(certs.make("good"))
ctx.set_alpn_protocols(["h2"])
two, one = Origin(ctx), Origin()
PIN = {"pin": ["127.0.0.1"]}
TOOLS = {"read": {"class": "read-only"},
         "write": {"class": "moderate", "approval": "auto"},
         "wipe": {"class": "dangerous"}}
gw = suite.gateway("resend", {
    "two": {"url": f"https://localhost:{two.port}/mcp", **PIN, "tools": TOOLS,
            "credential": {"name": "key"}},
    "one": {"url": f"http://localhost:{one.port}/mcp", **PIN, "tools": TOOLS},
    "rest": {"kind": "rest", "url": f"http://127.0.0.1:{one.port}/", **PIN,
             "operations": [
                 {"name": "look", "method": "GET", "path": "/look",
                  "class": "read-only"},
                 {"name": "start", "method": "GET", "path": "/start",
                  "class": "moderate", "approval": "auto"},
                 {"name": "put", "method": "PUT", "path": "/look",
                  "class": "moderate", "approval": "auto"}]},
}, certs=certs)
gw.cli("credential", "set", "key", input="upstream-secret-0123456789")
token = gw.session()


def ask(origin, m, *plan, warm=True, **kw):
    """The answer, and the requests that arrived."""
    url = f"{'https' if origin is two else 'http'}://localhost:" \
        f"{origin.port}/mcp"
    if warm:        # a connection that is kept
        equal(curl(gw, url, token=token, data=rpc("ping", id=99)).status, 200)
    origin.plan = list(plan)
    n = len(origin.seen)
    a = curl(gw, url, token=token, data=m, **kw)
    return a, origin.seen[n:]


def rows(text):
    """(decision, outcome) of the latest call whose arguments hold `text`."""
    d = gw.event(type="call.decision", where=lambda e: text in json.dumps(
        e.get("arguments", "")))
    out = gw.event(type="call.outcome", call=d["call"])
    equal(len(gw.events(type="call.decision", call=d["call"])), 1, "decisions")
    equal(len(gw.events(type="call.outcome", call=d["call"])), 1, "outcomes")
    return d, out


count = 0


def again(name, origin, tool, *plan, **kw):
    """Sent once more, and answered."""
    global count
    count += 1
    mark = f"mark-{count}"
    with suite.case(f"{name}: {tool} is sent once more"):
        a, got = ask(origin, call(tool, {"m": mark}), *plan, **kw)
        has(a.text, "it-is-done")
        equal(len(got), 2, "requests that arrived")
        equal(got[0]["body"], got[1]["body"], "bodies")
        check(got[0]["conn"] != got[1]["conn"], "the same connection")
        if origin is two:
            equal([g["head"].get("authorization") for g in got],
                  ["Bearer upstream-secret-0123456789"] * 2, "credential")
        d, out = rows(mark)
        equal((d["verdict"], out["status"], out.get("resent")),
              ("allow", "ok", 1), repr(out))


def never(name, origin, tool, *plan, arrived=1, **kw):
    """A clear refusal with an event; it arrived once."""
    global count
    count += 1
    mark = f"mark-{count}"
    with suite.case(f"{name}: {tool} is refused"):
        a, got = ask(origin, call(tool, {"m": mark}), *plan, **kw)
        hasnt(a.text, "it-is-done")
        has(a.text, "upstream-unreachable")
        equal(len(got), arrived, "requests that arrived")
        d, out = rows(mark)
        has(a.text, d["id"])
        equal((out["status"], out["reason"], out.get("resent")),
              ("error", "upstream-unreachable", 1 if arrived > 1 else None),
              repr(out))


for tool in ("read", "write"):
    again("REFUSED_STREAM", two, tool, "refuse")
    again("REFUSED_STREAM on a new connection", two, tool, "refuse",
          warm=False)
    again("GOAWAY before it", two, tool, "goaway")
    never("REFUSED_STREAM twice", two, tool, "refuse", "refuse", arrived=2)
    never("INTERNAL_ERROR", two, tool, "reset")
    never("REFUSED_STREAM after the answer began", two, tool, "refuse-late")
    never("REFUSED_STREAM after a 103", two, tool, "interim")

again("the connection ends, HTTP/2", two, "read", "drop")
never("the connection ends, HTTP/2", two, "write", "drop")
never("GOAWAY that counts it in", two, "write", "goaway-after")
again("an idle connection closes", one, "read", "drop")
never("an idle connection closes", one, "write", "drop")
never("it closes inside the head", one, "read", "half")
never("it closes twice", one, "read", "drop", "drop", arrived=2)

with suite.case("a new connection that closes: no second try"):
    fresh = gw.session(user="bob")
    one.plan, n = ["drop"], len(one.seen)
    a = curl(gw, f"http://localhost:{one.port}/mcp", token=fresh,
             data=call("read", {"m": "fresh"}))
    has(a.text, "upstream-unreachable")
    equal(len(one.seen), n + 1, "requests that arrived")

with suite.case("an idle connection that has closed already is not used"):
    url = f"http://localhost:{one.port}/mcp"
    one.plan = ["last"]
    curl(gw, url, token=token, data=rpc("ping", id=98))
    one.plan, n = [], len(one.seen)
    time.sleep(0.2)
    a = curl(gw, url, token=token, data=call("write", {"m": "closed"}))
    has(a.text, "it-is-done")
    equal(len(one.seen), n + 1, "requests that arrived")

for op, path, method, want in (("look", "/look", "GET", 2),
                               ("start", "/start", "GET", 1),
                               ("put", "/look", "PUT", 1)):
    with suite.case(f"REST, an idle connection closes: {op} arrives "
                    f"{want} times"):
        base = f"http://127.0.0.1:{one.port}"
        equal(curl(gw, base + "/look", token=token).status, 200)
        one.plan, n = ["drop"], len(one.seen)
        a = curl(gw, base + path, "-X", method, token=token)
        equal(a.status, 200 if want == 2 else 502, repr(a))
        equal(len(one.seen) - n, want, "requests that arrived")

with suite.case("an approved call that is refused needs no second approval"):
    two.plan, n = ["refuse"], len(two.seen)
    out = {}
    t = threading.Thread(target=lambda: out.update(a=curl(
        gw, f"https://localhost:{two.port}/mcp", token=token,
        data=call("wipe", {"m": "approved"}))))
    t.start()
    gw.cli("approval", "approve", gw.pending()[0])
    t.join()
    has(out["a"].text, "it-is-done")
    equal(len(two.seen), n + 2, "requests that arrived")
    equal(len(gw.events(type="approval.requested")), 1, "approvals")
    equal(rows("approved")[1].get("resent"), 1, "outcome")

with suite.case("a kill stands against the second try, too"):
    two.plan, n = ["refuse"], len(two.seen)
    hold = threading.Event()
    todo = two.todo

    def slow(*args):
        what = todo(*args)
        hold.wait(20)
        return what
    two.todo = slow
    out = {}
    t = threading.Thread(target=lambda: out.update(a=curl(
        gw, f"https://localhost:{two.port}/mcp", token=token,
        data=call("write", {"m": "killed"}))))
    t.start()
    while len(two.seen) == n:
        time.sleep(0.01)
    gw.cli("kill", "connector/two", "--reason", "resend test")
    hold.set()
    t.join()
    has(out["a"].text, "kill switch")
    equal(len(two.seen), n + 1, "requests that arrived")

with suite.case("the ledger verifies"):
    has(gw.cli("audit", "verify", ok=False).stdout, "chain intact")

suite.end()
