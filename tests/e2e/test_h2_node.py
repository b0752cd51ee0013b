#!/usr/bin/env python3
"""Node's own node:http2 client through CONNECT: many calls on one connection,
a stream by event, a hold, a cancelled stream and a kill, each without harm to
its neighbours."""
import json
import os
import pathlib
import shutil
import tempfile

import sdkcases
from sdkcases import Driver
from support import (Certificates, Suite, call, check, equal, has, hasnt,
                     until)
from upstreams import Upstream

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-h2-node."))
top.chmod(0o755)
suite = Suite("test_h2_node")
certs = Certificates(top / "certs")
up = Upstream(certs.server_context(certs.make("good")))
suite.cleanups += [lambda: shutil.rmtree(top, True)]
CLASSES = {**{t: "read-only" for t in ("echo", "say", "slow", "ticks")},
           "wipe": "dangerous"}
gw = suite.gateway("h2-node", {name: {
    "url": up.url(path), "pin": ["127.0.0.1", "::1"],
    "tools": {t: {"class": c} for t, c in CLASSES.items()}}
    for name, path in (("one", "/mcp"), ("two", "/mcp-two"))}, certs=certs)
d = Driver(suite, [sdkcases.node(), str(sdkcases.HERE / "sdk/h2client.mjs")],
           {**os.environ, "PROXY": f"127.0.0.1:{gw.proxy_port}",
            "TOKEN": gw.session(), "CA": str(gw.ca())}, top / "client.log")
suite.cleanups.append(d.stop)


def post(tool, args=None, path="/mcp"):
    return d.send("post", path=path, message=call(tool, args))


def text(n):
    a = d.wait(n)
    check("ok" in a, a)
    equal(a["ok"]["status"], 200, a)
    return a["ok"]["text"]


with suite.case("it gets HTTP/2 by ALPN, and our settings"):
    got = d.do("connect", authority=f"localhost:{up.port}")
    equal((got["alpn"], got["streams"]), ("h2", 100), got)
if not suite.passed:
    suite.end()
with suite.case("60 calls at once on one connection, each with its answer"):
    sent = [post("say", {"text": f"number {i} ", "times": i + 1})
            for i in range(60)]
    for i, n in enumerate(sent):
        equal(text(n).count(f"number {i} "), i + 1)
    rows = until("their decisions", lambda: (lambda r: r if len(r) == 60 else
                 None)(gw.events(type="call.decision", tool="say")))
    equal(len({r["source"] for r in rows}), 1, "connections")
with suite.case("a large answer passes its windows"):
    n = post("say", {"text": "abcdefghi ", "times": 300000})
    equal(text(n).count("abcdefghi "), 300000)
with suite.case("an event stream comes event by event"):
    n = post("ticks", {"count": 4, "every": 0.2})
    at = [d.next_event("data", n)["at"] for _ in range(3)]
    check(at[2] - at[0] > 0.2, "all at once")
    has(text(n), "done")
with suite.case("what it sends and what it gets is redacted"):
    n = post("say", {"text": "write to bob@example.com"})
    hasnt(text(n), "bob@example.com")
    hasnt(up.seen[-1]["body"].decode(), "bob@example.com")
with suite.case("a held call waits, its neighbours do not"):
    n = post("wipe", {"what": "all"})
    held = gw.pending()[0]
    has(text(post("say", {"text": "meanwhile"})), "meanwhile")
    gw.cli("approval", "deny", held, "--reason", "no")
    has(text(n), "denied")
with suite.case("a cancelled stream ends its call alone"):
    n = post("ticks", {"count": 100, "every": 0.1})
    d.next_event("data", n)
    other = post("slow", {"seconds": 0.5})
    d.do("cancel", of=n)
    check("error" in d.wait(n))
    has(text(other), "slept")
    gw.event(type="call.outcome", tool="ticks", status="cut")
with suite.case("a kill cuts the killed connector's streams, no other's"):
    n = post("ticks", {"count": 100, "every": 0.1})
    d.next_event("data", n)
    other = post("ticks", {"count": 8, "every": 0.1}, "/mcp-two")
    gw.cli("kill", "connector/one", "--reason", "leak")
    has(json.dumps(d.wait(n)), "kill switch")
    has(text(other), "done")
    has(text(post("say", {"text": "x"}, "/mcp-two")), "x")
    d.do("ping")
with suite.case("it is told from others by its TLS, and trusts the CA"):
    e = gw.event(type="client.trusts_ca")
    equal(e["ja4"][:4] + e["ja4"][8:10], "t13dh2", e)
with suite.case("its end is an end"):
    d.do("close")
    equal([e for e in list(d.events.queue) if e["event"] == "error"], [])
suite.end()
