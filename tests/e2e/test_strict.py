#!/usr/bin/env python3
"""One table (strict_cases.py) of messages that two readers could read in two
ways, played on every road. Each is refused under a name, with an event that the
ledger has, or arrives in one reading: that of independent readers of the bytes
at the upstream, and that of the recorded decision. After each, an innocent call
gets its own answer."""
import base64
import collections
import contextlib
import gzip
import hashlib
import json
import os
import pathlib
import queue
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

import h2raw
import strict_origin
from h2raw import (DATA, END_HEADERS, END_STREAM, H2, HEADERS, PROTOCOL,
                   WINDOW, frame, pack)
from strict_cases import CASES, Gone, Held, Refused, Reset, Sent
from strict_origin import Origin
from support import (BIN, ROOT, SLOW, Certificates, Failed, Suite, check,
                     connect, own_network)

if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)       # one case has 60000
PUBLIC = "198.41.0.4"
OWN_NET = own_network(PUBLIC)
PYTHON = os.path.realpath(sys.executable)

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-strict."))
top.chmod(0o755)
suite = Suite("test_strict")
suite.cleanups.append(lambda: shutil.rmtree(top, True))
certs = Certificates(top / "certs")
tls = certs.server_context(certs.make("good"))
origin = Origin()
ROADS = ["connect-tls", "connect-h2", "connect-plain", "absolute",
         "mount-mcp", "mount-api"] + (["transparent"] if OWN_NET else [])
SECURE = ("connect-tls", "connect-h2", "transparent", "mount-mcp")
for road in ROADS:
    origin.listen(road, tls if road in SECURE else None,
                  443 if road == "transparent" else 0)
DENY = {"supervised": {"unknown": "deny", "dangerous": "deny"}}
BASE = {"pin": ["127.0.0.1", "::1", PUBLIC], "matrix": DENY}
TOOLS = {"echo": {"class": "read-only"}, "evil": {"class": "dangerous"}}


def connectors():
    out = {}
    for road in ROADS:
        secure = road in SECURE
        at = f"{'https' if secure else 'http'}://localhost" + (
            "" if road == "transparent" else f":{origin.ports[road]}")
        out[road] = {**BASE, "url": f"{at}/mcp", "tools": TOOLS}
        out[f"{road}-rest"] = {
            **BASE, "kind": "rest", "url": f"{at}/v1", "operations": [
                {"name": "get_item", "method": "GET",
                 "path": "/v1/items/{id}", "class": "read-only"},
                {"name": "get_any", "method": "GET", "path": "/v1/{any}",
                 "class": "read-only"},
                {"name": "secret", "method": "GET",
                 "path": "/v1/items/secret", "class": "dangerous"},
                {"name": "evil", "method": "GET", "path": "/v1/evil",
                 "class": "dangerous"},
                {"name": "add_item", "method": "POST", "path": "/v1/items",
                 "class": "moderate", "approval": "auto"}]}
        out[f"{road}-graph"] = {
            **BASE, "kind": "rest", "url": f"{at}/g", "graphql": "/g/graphql",
            "tools": {"mutation.wipe": {"class": "dangerous"}},
            "operations": []}
    out["stdio"] = {
        "kind": "stdio", "matrix": DENY, "tools": TOOLS, "read": sorted(
            {sys.base_prefix, str(strict_origin.SERVER.parent)}),
        "allow": [str(top / "lines")], "command": [
            PYTHON, str(strict_origin.SERVER), str(top / "lines/all")],
        "digest": "sha256:" + hashlib.sha256(pathlib.Path(
            PYTHON).read_bytes()).hexdigest()}
    return out


(top / "lines").mkdir()
# Without the rules that look for numbers, or at how often a call is denied:
# what is tried here is what is read, not what is found in it.
for d, f in (("redaction", "10-cloud.yaml"), ("injection", "10-text.yaml"),
             ("detection", "kill-switch-pulled.yml")):
    (top / "rules" / d).mkdir(parents=True)
    shutil.copy(ROOT / "rules" / d / f, top / "rules" / d)
gw = suite.gateway("strict", connectors(), certs=certs, conf={
    "limits": {"streams": 10000, "advice_time": "5s"}, "rules": str(
        top / "rules")}, listen=[{"transparent": f"{PUBLIC}:443"}]
    if OWN_NET else [])
token = gw.session()
roles = gw.roles()
basic = base64.b64encode(f"coder:{token}".encode()).decode()


# --- the ledger, as exported -------------------------------------------------------

class Events:
    """Rows of the export, read as they come; by id, and by the marks in them."""

    def __init__(self):
        self.lock, self.at, self.rest = threading.Lock(), 0, b""
        self.rows, self.by_id = [], {}
        self.by_mark = collections.defaultdict(list)

    def read(self):
        with self.lock, open(gw.events_file, "rb") as f:
            f.seek(self.at)
            d = f.read()
            self.at += len(d)
            *lines, self.rest = (self.rest + d).split(b"\n")
            for l in lines:
                e = json.loads(l)
                self.rows.append(e)
                self.by_id[e["id"]] = e
                for m in set(MARK.findall(l.decode())):
                    self.by_mark[m].append((e, l))

    def wait(self, what, find):
        end = time.monotonic() + 5 * SLOW
        while True:
            self.read()
            if got := find():
                return got
            if time.monotonic() > end:
                raise Failed(f"no event: {what}")
            time.sleep(0.01)


MARK = re.compile(r"mk-[a-z0-9-]+?-z")
events = Events()

# --- answers ------------------------------------------------------------------------


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body
        self.word = self.event = None
        try:
            self.json = json.loads(body) if body else None
        except ValueError:
            self.json = None
        m = self.json
        # A batch's answers: the first that is a refusal speaks for it.
        for x in (m if isinstance(m, list) else [m]):
            if self.word is None and isinstance(x, dict):
                self.look(x)

    def look(self, m):
        e = m.get("error")
        if isinstance(e, dict):
            d = e.get("data", e)
            self.word = d.get("portreeve/reason", d.get("reason"))
            self.event = d.get("portreeve/event", d.get("event"))
            if e.get("code") == -32022:     # its data is the revision's
                self.word = "protocol-revision"
                self.event = re.search(r"Event: (\S+)", e["message"])[1]
        r = m.get("result")
        if isinstance(r, dict) and r.get("isError"):
            self.word = r["_meta"]["portreeve/reason"]
            self.event = r["_meta"]["portreeve/event"]

    def __repr__(self):
        return f"{self.status} {self.body[:400]}"


class Wire:
    """HTTP/1.1 on a socket: bytes out, answers in."""

    def __init__(self, s):
        self.s, self.buf = s, b""
        s.settimeout(5 * SLOW)

    def send(self, data):
        # A refusal may come, and the connection end, before all is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError,
                                 ssl.SSLEOFError):
            self.s.sendall(data)

    def more(self):
        try:
            d = self.s.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            d = b""
        self.buf += d
        return bool(d)

    def answer(self):
        """The next final answer, or None at the end."""
        while True:
            while b"\r\n\r\n" not in self.buf:
                if not self.more():
                    check(not self.buf, f"half an answer: {self.buf[:300]!r}")
                    return None
            head, _, self.buf = self.buf.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            m = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", lines[0])
            check(m, f"no answer: {head[:200]!r}")
            if m[1] != "100":
                break
        fields = dict((k.lower(), v.strip()) for k, _, v in (
            l.partition(":") for l in lines[1:]))
        if "chunked" in fields.get("transfer-encoding", ""):
            body = b""
            while True:
                while b"\r\n" not in self.buf:
                    check(self.more(), "an answer is cut")
                n, _, self.buf = self.buf.partition(b"\r\n")
                n = int(n, 16)
                while len(self.buf) < n + 2:
                    check(self.more(), "an answer is cut")
                body, self.buf = body + self.buf[:n], self.buf[n + 2:]
                if n == 0:
                    break
        else:
            n = int(fields.get("content-length", 0))
            while len(self.buf) < n:
                check(self.more(), "an answer is cut")
            body, self.buf = self.buf[:n], self.buf[n:]
        return Answer(int(m[1]), fields, body)

    def close(self):
        self.s.close()


# --- roads ----------------------------------------------------------------------------

class Road:
    """h1 on one transport. fresh(): a connection; what a request there asks."""
    kinds = ("h1", "json", "rest", "graphql", "path")

    def __init__(self, name):
        self.name = name
        self.port = origin.ports[name]
        self.origin_host = f"localhost:{self.port}"
        self.host = self.origin_host
        self.auth = f"Authorization: Bearer {token}\r\n"
        self.prefix = ""
        if name.startswith("connect"):
            self.auth = ""
        elif name == "absolute":
            self.prefix = f"http://{self.host}"
            self.auth = f"Proxy-Authorization: Basic {basic}\r\n"
        elif name == "transparent":
            self.host = self.origin_host = "localhost"
        else:
            self.host = f"127.0.0.1:{gw.mount_port}"
            self.kinds = ("h1", "json") if name == "mount-mcp" else \
                ("h1", "rest", "graphql", "path")

    def fresh(self):
        n = self.name
        if n in ("connect-tls", "connect-plain"):
            return Wire(connect(gw, token, self.host, tls=gw.ca() if n ==
                                "connect-tls" else None))
        if n == "transparent":
            s = socket.create_connection((PUBLIC, 443))
            return Wire(TLS.wrap_socket(s, server_hostname="localhost"))
        return Wire(socket.create_connection(("127.0.0.1", gw.proxy_port if
                    n == "absolute" else gw.mount_port)))

    def target(self, kind, path=""):
        n = self.name
        if n == "mount-mcp":
            return f"/mcp/{n}"
        if n == "mount-api":
            return f"/api/{n}-graph/graphql" if kind == "graphql" else \
                f"/api/{n}-rest{path or '/items'}"
        return self.prefix + {"rest": "/v1/items", "graphql": "/g/graphql",
                              "path": "/v1" + path}.get(kind, "/mcp")

    @property
    def rest(self):
        return self.name == "mount-api"

    def head(self, method, target, fields, length=None):
        out = f"{method} {target} HTTP/1.1\r\nHost: {self.host}\r\n{self.auth}"
        out += "".join(f"{k}: {v}\r\n" for k, v in fields)
        if length is not None:
            out += f"Content-Length: {length}\r\n"
        return (out + "\r\n").encode("latin-1")

    def good(self, mark):
        """The body of a good request, and the bytes of the request."""
        body = (f'{{"m":"{mark}"}}' if self.rest else
                '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
                f'{{"name":"echo","arguments":{{"m":"{mark}"}}}}}}').encode()
        return body, self.head("POST", self.target("h1"), [
            ("Content-Type", "application/json")], len(body)) + body

    def request(self, c, method, target, fields, body):
        c.send(self.head(method, target, fields, None if body is None else
                         len(body)) + (body or b""))
        return [c.answer()]

    # An innocent call: its own answer, and no other's.
    def innocent(self, c, mark):
        c.send(self.good(mark)[1])
        a = c.answer()
        check(a is not None, "the connection ended before the next answer")
        check(a.status == 200 and MARK.findall(a.body.decode()) == [mark],
              f"the next call got another answer: {a}")

    def after(self, c, a, mark):
        """The connection as the last answer left it, then a fresh one."""
        if a is not None and a.fields.get("connection") != "close" and \
                not c.buf:
            self.innocent(c, mark + "s-z")
        elif a is not None:
            check(not c.more() and not c.buf, f"more came: {c.buf[:300]!r}")
        c.close()
        with contextlib.closing(self.fresh()) as d:
            self.innocent(d, mark + "f-z")


class Credit(H2):
    """Sends no more than the windows let it."""

    def __init__(self, *args):
        self.credit = collections.defaultdict(lambda: 65535)
        super().__init__(*args)

    def on(self, kind, flags, i, p):
        if kind == WINDOW:
            self.credit[i] += int.from_bytes(p, "big")
        super().on(kind, flags, i, p)

    def data(self, i, body, end=True):
        while True:
            st = self.streams[i]
            self.run(lambda: min(self.credit[0], self.credit[i]) > 0 or
                     st.over or self.closed)
            n = min(16384, self.credit[0], self.credit[i], len(body))
            if st.over or self.closed:
                return
            part, body = body[:n], body[n:]
            self.credit[0] -= n
            self.credit[i] -= n
            self.send(frame(DATA, END_STREAM if end and not body else 0, i,
                            part))
            if not body:
                return


class H2Wire:
    def __init__(self, name):
        self.h = Credit(gw, token, f"localhost:{origin.ports[name]}")

    def close(self):
        self.h.close()

    def ask(self, fields, body, trailer=None):
        h = self.h
        i = h.next
        if trailer is None:
            h.request(fields, body)
        else:
            h.next += 2
            h.streams[i] = h2raw.Stream()
            h.send(frame(HEADERS, END_HEADERS, i, pack(fields)),
                   frame(DATA, 0, i, body),
                   frame(HEADERS, END_HEADERS | END_STREAM, i, pack(trailer)))
        h.run(lambda: h.streams[i].over or h.closed)
        st = h.streams[i]
        if st.reset is not None or not st.fields:
            return st.reset
        f = dict(st.fields)
        return Answer(st.status, {**f, "connection": ""}, st.body)


class RoadH2(Road):
    kinds = ("h2", "json", "rest", "graphql", "path")

    def fresh(self):
        return H2Wire(self.name)

    def fields(self, method, target, fields):
        return [(":method", method), (":scheme", "https"),
                (":authority", self.host), (":path", target),
                *[(k.lower(), v) for k, v in fields]]

    def request(self, c, method, target, fields, body):
        return [c.ask(self.fields(method, target, fields), body)]

    def innocent(self, c, mark):
        a = c.ask(self.fields("POST", "/mcp", [
            ("content-type", "application/json")]), self.good(mark)[0])
        check(isinstance(a, Answer) and a.status == 200 and
              MARK.findall(a.body.decode()) == [mark],
              f"the next call got another answer: {a}")

    def after(self, c, a, mark):
        self.innocent(c, mark + "s-z")
        c.close()
        with contextlib.closing(self.fresh()) as d:
            self.innocent(d, mark + "f-z")


class RoadStdio(Road):
    kinds = ("json",)
    host = origin_host = rest = None
    prefix = ""

    def __init__(self):
        self.name = "stdio"
        self.log = open(top / "shim.log", "ab")
        suite.logs.append(top / "shim.log")
        self.p = subprocess.Popen(
            [str(BIN / "portreeve"), "stdio", "stdio", "--", PYTHON,
             str(strict_origin.SERVER), str(top / "lines/all")],
            cwd=top / "lines", env={**gw.env, "PORTREEVE_STDIO": str(gw.stdio),
                                    "PORTREEVE_TOKEN": token},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        suite.cleanups.append(self.stop)
        self.got = queue.Queue()
        threading.Thread(target=lambda: [self.got.put(l) for l in
                                         self.p.stdout], daemon=True).start()
        self.line(b'{"jsonrpc":"2.0","id":"i","method":"initialize","params":'
                  b'{"protocolVersion":"2025-11-25","capabilities":{},'
                  b'"clientInfo":{"name":"strict","version":"1"}}}')
        self.p.stdin.write(b'{"jsonrpc":"2.0","method":'
                           b'"notifications/initialized"}\n')

    def stop(self):
        self.p.stdin.close()
        self.p.wait(20 * SLOW)

    def line(self, data):
        self.p.stdin.write(data + b"\n")
        self.p.stdin.flush()
        try:
            return Answer(None, {}, self.got.get(timeout=10 * SLOW))
        except queue.Empty:
            raise Failed("no line came")

    def fresh(self):
        return self

    def close(self):
        pass

    def request(self, c, method, target, fields, body):
        return [self.line(body)]

    def after(self, c, a, mark):
        a = self.line(self.good(mark + "s-z")[0])
        check(MARK.findall(a.body.decode()) == [mark + "s-z"],
              f"the next call got another answer: {a}")

    def good(self, mark):
        return ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
                f'{{"name":"echo","arguments":{{"m":"{mark}"}}}}}}').encode(
                    ), None


TLS = ssl.create_default_context(cafile=str(gw.ca()))

# --- what a case asks, on a road ------------------------------------------------------


def fill_h1(road, text, mark):
    body, _ = road.good(mark)
    gz = gzip.compress(body)
    post = f"POST {road.target('h1')} HTTP/1.1\r\nHost: {road.host}\r\n" \
        f"{road.auth}Content-Type: application/json\r\n"
    call = b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":' \
        b'{"name":"evil"}}'
    evil = road.head("GET", road.target("path", "/evil"), []) if road.rest \
        else road.head("POST", road.target("h1"), [
            ("Content-Type", "application/json")], len(call)) + call
    values = {
        "post": post, "target": road.target("h1"), "host": road.host,
        "HOST": road.host.upper(), "auth": road.auth,
        "origin": road.origin_host, "body": body.decode(), "n": len(body),
        "x": f"{len(body):x}", "X": f"{len(body):X}",
        "evil": evil.decode(), "evil_garbage": "G" * 40 + "\r\n\r\n", "m": mark,
        "chunked1": "".join(f"1\r\n{c}\r\n" for c in body.decode()),
        "gz": gz.decode("latin-1"), "gz_n": len(gz),
        "gz2": (gz + gz).decode("latin-1"), "gz2_n": 2 * len(gz)}
    return text.format(**values).encode("latin-1"), body, values


class Play:
    """One case on one road: what it asked, what came of it."""

    def __init__(self, road, case, n):
        self.road, self.case = road, case
        self.mark = f"mk-{road.name}-{n}"
        self.m = self.mark + "c-z"
        self.values = {"m": self.m, "origin": road.origin_host}
        self.body = None
        self.want = case.want
        if road.name == "connect-h2":
            self.want = case.more.get("h2", case.want)

    def run(self):
        c = self.road.fresh()
        self.count = len(self.seen())
        if isinstance(self.want, Reset):
            events.read()
            self.rows = len(events.rows)
        answers = getattr(self, "ask_" + self.case.kind)(c)
        self.judge(c, answers)

    def seen(self):
        return origin.seen[self.road.name] if self.road.name in origin.seen \
            else LINES.seen()

    # -- asking

    def ask_h1(self, c):
        data, self.body, self.values = fill_h1(self.road, self.case.more[
            "what"], self.m)
        c.send(data)
        if isinstance(self.want, Gone):
            with contextlib.suppress(OSError):
                c.s.shutdown(socket.SHUT_WR)
            c.close()
            return []
        return [c.answer() for _ in range(self.case.more.get("answers", 1))]

    def ask_h2(self, c):
        r, w = self.road, self.case.more["what"]
        self.body = r.good(self.m)[0]
        at = {"host": r.host, "m": self.m}

        def fill(rows):
            return [(k, v.format(**at)) for k, v in rows]
        f = r.fields("POST", "/mcp", [("content-type", "application/json")])
        f = [(k, w.get(k, v)) for k, v in f]
        f = fill(w.get("first", [])) + [x for x in f if x[1] is not None] + \
            fill(w.get("+", []))
        if "fields" in w:
            f = fill(w["fields"])
        return [c.ask(f, self.body, w.get("trailer"))]

    def ask_body(self, c, kind):
        what = self.case.more["what"]
        if isinstance(what, str):
            what = what.encode()
        for enc in ("utf-8", "utf-16-le", "utf-32-be"):
            what = what.replace("{m}".encode(enc), self.m.encode(enc))
        self.body = what
        f = [("Content-Type", "application/json")]
        if "rev" in self.case.more:
            f.append(("MCP-Protocol-Version", self.case.more["rev"]))
        f += [(k, v.replace("{m}", self.m)) for k, v in
              self.case.more.get("fields", ())]
        return self.road.request(c, "POST", self.road.target(kind), f, what)

    def ask_json(self, c):
        return self.ask_body(c, "json")

    def ask_rest(self, c):
        return self.ask_body(c, "rest")

    def ask_graphql(self, c):
        return self.ask_body(c, "graphql")

    def ask_path(self, c):
        more = self.case.more
        path = more["what"]
        if "#" not in path:
            path += ("&" if "?" in path else "?") + self.m
        form = more.get("form")
        self.values["mark"] = self.m
        return self.road.request(
            c, more.get("method", "GET"), self.road.target("path", path),
            [("Content-Type", "application/x-www-form-urlencoded")] if form
            else [], form.encode() if form else None)

    # -- judging

    def judge(self, c, answers):
        want, last = self.want, answers[-1] if answers else None
        if isinstance(want, Reset):
            check(last == PROTOCOL, f"not reset: {last!r}")
            self.refusals = [events.wait(f"of the reset ({want.detail})", self.reset_event)]
        elif isinstance(want, (Refused, Held)):
            self.refused(want, answers)
        elif isinstance(want, Sent):
            check(all(isinstance(a, Answer) for a in answers[:want.n]),
                  f"no answer: {answers}")
            good = [a for a in answers if a.word is None and (
                a.status in (200, None))]
            marks = [m for a in good for m in MARK.findall(a.body.decode())]
            check(marks == [self.m] * want.n or (
                want.n > 1 and len(marks) == want.n), f"the answer: {answers}")
            self.refusals = [a.event for a in answers if a.word]
        else:
            self.refusals = []
        self.road.after(c, last, self.mark)
        got = [r for r in self.seen()[self.count:] if not
               self.of_after(r)]
        self.arrived = got
        n = want.n if isinstance(want, Sent) else 0
        check(len(got) == n, f"{len(got)} arrived, want {n}: "
              f"{[r.raw[:600] for r in got]}; {answers}")

    def reset_event(self):
        for e in events.rows[self.rows:]:
            if e["type"] == "connection.refused" and \
                    e["reason"] == "ambiguous-http" and \
                    self.want.detail in e["detail"]:
                return e["id"]

    def refused(self, want, answers):
        self.refusals, word = [], getattr(want, "word", "policy")
        for a in answers:
            check(isinstance(a, Answer), f"no answer: {answers}")
            check(a.word and a.event, f"not refused by name: {a}")
            self.refusals.append(a.event)
        if word is not None:
            check(a.word == word, f"refused as {a.word}, want {word}: {a}")
        if isinstance(want, Refused) and want.status and a.status is not None \
                and not self.modern():
            check(a.status == want.status, f"status {a.status}, want "
                  f"{want.status}: {a}")

    def modern(self):
        """A refusal is never a bare 4xx then; the protocol's own are 400."""
        return "2026-07-28" in str(self.case.more.get("fields", "")) + \
            self.case.more.get("rev", "")

    def of_after(self, r):
        text = r.target + r.body.decode(errors="replace")
        return any(self.mark + x in text for x in ("s-z", "f-z"))

    # -- afterwards, in the ledger

    def verify(self):
        for id in self.refusals:
            e = events.by_id.get(id)
            check(e, f"no event {id}")
            check(e["reason"] and e["reason"] != "none", f"no reason: {e}")
            if e["type"] == "call.decision":
                check(e["verdict"] == "deny", f"{e}")
            if isinstance(self.want, Held):
                check(e["class"] in ("unknown", "dangerous"), f"{e}")
        if isinstance(self.want, Sent):
            for r in self.arrived:
                self.one_reading(r)
            rows = self.decisions()
            check(len(rows) == self.want.n,
                  f"{len(rows)} decisions: {rows}")

    def decisions(self):
        return [e for e, _ in events.by_mark[self.m] if e["type"] ==
                "call.decision" and e["verdict"] == "allow"]

    def one_reading(self, r):
        want, kind = self.want, self.case.kind
        if r.fields is not None:
            a, b = strict_origin.by_h11(r.raw), \
                strict_origin.by_the_lenient(r.raw)
            check(a.key() == r.key(), f"h11 reads {a.key()}, not {r.key()}")
            check(b.key() == r.key(), f"the lenient one reads {b.key()}, not "
                  f"{r.key()}")
            check(r.field("host") == [self.road.origin_host], f"{r.fields}")
            for k in want.gone:
                check(not r.field(k), f"{k} arrived: {r.fields}")
            for k, v in want.kept.items():
                v = v.format(**self.values)
                check(r.field(k) == [v], f"{k}: {r.field(k)}, want {v!r}")
            check(token not in repr(r.fields), "our token went on")
            if want.target:
                t = want.target.replace("{mark}", self.m)
                t += "" if "mk-" in t else "?" + self.m
                check(r.target == t, f"the target {r.target}, want {t}")
        check(self.decisions(), "no decision is recorded")
        d = self.decisions()[0]
        if kind in ("rest", "graphql", "path") or self.road.rest:
            self.same_rest(r, d)
        else:
            self.same_mcp(r, d)

    def raw_arguments(self, d):
        """As recorded: numbers as they are written there."""
        line = next(l for e, l in events.by_mark[self.m] if e is d)
        e = strict_origin._pairs(line.decode())
        return strict_origin.plain(dict(e).get("arguments"))

    def same_mcp(self, r, d):
        readings = strict_origin.messages(r.body)
        check(all(x == readings[0] for x in readings),
              f"readers differ: {readings}")
        method, name, args, params = readings[0]
        check(d["method"] == method, f"recorded {d['method']}, sent {method}")
        if method == "tools/call":
            check(d["tool"] == name, f"recorded {d['tool']}, sent {name}")
        else:
            check(not d.get("tool"), f"recorded {d.get('tool')}")
            args = params
        check(self.raw_arguments(d) == args,
              f"recorded {d['arguments']}, sent {args}")
        if self.body is not None and self.case.kind != "json":
            check(r.body == self.body, f"the body {r.body!r}")
        if r.fields is not None:
            check(d["target"].endswith(f"{self.road.origin_host}{r.target}"),
                  f"recorded {d['target']}, sent {r.target}")

    def same_rest(self, r, d):
        tool = self.case.more.get("tool")
        check(d["method"] == r.method, f"recorded {d['method']}")
        check(not tool or d["tool"] == tool, f"recorded {d['tool']}")
        check(d["target"].endswith(f"{self.road.origin_host}{r.target}"),
              f"recorded {d['target']}, sent {r.target}")
        args = self.raw_arguments(d)
        path, _, query = r.target.partition("?")
        sent = urllib.parse.parse_qs(query, keep_blank_values=True,
                                     max_num_fields=1000)
        got = {k: v if isinstance(v, list) else [v]
               for k, v in args.get("query", {}).items()}
        check(got == sent, f"recorded {got}, sent {sent}")
        named = args["path"]
        if isinstance(named, str):      # of no operation: as it is sent
            check(named == path, f"recorded {named}, sent {path}")
            named = {}
        for v in named.values():
            check(v in [urllib.parse.unquote(x) for x in path.split("/")],
                  f"recorded {args['path']}, sent {path}")
        if not r.body:
            return
        body = r.body.decode()
        if self.case.kind != "path":
            body = strict_origin.plain(strict_origin._pairs(body))
        check(args.get("body") == body, f"recorded {args.get('body')}, sent "
              f"{body}")


class Lines:
    """What arrived at the local server, as requests without a head."""

    def seen(self):
        f = top / "lines/all"
        data = f.read_bytes() if f.exists() else b""
        return [strict_origin.Request("", "", None, l, l) for l in
                data.split(b"\n")[:-1] if b"nitialize" not in l]


LINES = Lines()

# --- all of it ------------------------------------------------------------------------


def plays(road):
    for n, case in enumerate(CASES):
        if case.kind not in road.kinds:
            continue
        if case.roads and not road.name.startswith(tuple(case.roads)):
            continue
        if road.name.startswith(tuple(case.more.get("roads_not", ("-",)))):
            continue
        if case.more.get("line") is False and road.name == "stdio":
            continue
        if case.more.get("mcp") and road.rest:
            continue
        yield Play(road, case, n)


def drive(road, out, only):
    try:
        r = RoadH2(road) if road == "connect-h2" else RoadStdio() if \
            road == "stdio" else Road(road)
    except Exception:
        out.append((road, None, traceback.format_exc()))
        return
    for p in plays(r):
        if only and not any(o in f"{p.case.group}: {p.case.name}" for o in
                            only):
            continue
        try:
            p.run()
            out.append((road, p, None))
        except Failed as e:
            out.append((road, p, str(e)))
        except Exception:
            out.append((road, p, traceback.format_exc()))


results = []
threads = [threading.Thread(target=drive, args=(r, results, suite.only))
           for r in [*ROADS, "stdio"]]
for t in threads:
    t.start()
for t in threads:
    t.join()
# Rows are exported in order: with the last one all are there.
Road("mount-mcp").after(Road("mount-mcp").fresh(), None, "mk-last-")
events.wait("the last", lambda: [e for e, _ in events.by_mark["mk-last-f-z"]
                                 if e["type"] == "call.outcome"])
for n, (road, p, why) in enumerate(results):
    if p is None or why is not None:
        continue
    try:
        p.verify()
    except Failed as e:
        results[n] = (road, p, str(e))
    except Exception:
        results[n] = (road, p, traceback.format_exc())

total = 0
for group in dict.fromkeys(c.group for c in CASES):
    mine = [(r, p, why) for r, p, why in results if p and p.case.group ==
            group]
    if not mine:
        continue
    total += len(mine)
    roads = sorted({r for r, _, _ in mine})
    cases = {p.case.name for _, p, _ in mine}
    with suite.case(f"{group}: {len(cases)} cases, {len(mine)} times, on "
                    f"{', '.join(roads)}"):
        bad = [f"{p.case.name} on {r}: {why}" for r, p, why in mine if why]
        if bad:
            raise Failed(f"{len(bad)} wrong\n" + "\n".join(bad))

with suite.case(f"{len(CASES)} cases, {total} times: every road was there"):
    bad = [f"{r}: {why}" for r, p, why in results if p is None]
    check(not bad, "\n".join(bad))

with suite.case("nothing arrived that no reader should get; no call twice, "
                "each with its decision"):
    wrong = {r: w for r, w in origin.wrong.items() if w}
    check(not wrong, f"{wrong}")
    events.read()
    marks = collections.Counter(m for r in ROADS for q in origin.seen[r]
                                for m in set(MARK.findall(
                                    q.target + q.body.decode(
                                        errors="replace"))))
    for m, n in marks.items():
        d = [e for e, _ in events.by_mark[m] if e["type"] == "call.decision"
             and e["verdict"] == "allow"]
        check(len(d) == n, f"{m}: {n} arrived, {len(d)} decided")
    for r in ROADS:
        check(not [q for q in origin.seen[r] if not MARK.search(
            q.target + q.body.decode(errors="replace"))], "without a mark")

if not suite.only:
    with suite.case("audit search and audit show find what was answered"):
        refused = [p for _, p, _ in results if p and getattr(
            p, "refusals", None)]
        ids = {i for p in refused for i in p.refusals}
        found = set()
        for kind in ("connection.refused", "call.decision"):
            out = gw.cli("audit", "search", "--type", kind, "-n", "100000",
                         "--json").stdout
            found |= {json.loads(l)["id"] for l in out.split("\n") if l}
        check(ids <= found, f"{len(ids - found)} of {len(ids)} are not there")
        for group in dict.fromkeys(p.case.group for p in refused):
            e = [events.by_id[i] for p in refused if p.case.group == group
                 for i in p.refusals]
            e = [x for x in e if "call" in x][:1]
            for x in e:
                out = gw.cli("audit", "show", x["call"]).stdout
                check(x["reason"] in out, f"{x['reason']} is not in {out}")

with suite.case("no role was restarted"):
    check(gw.roles() == roles, f"{roles} {gw.roles()}")
suite.end()
