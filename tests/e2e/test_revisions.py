#!/usr/bin/env python3
"""MCP's revisions with version 2 of the official TypeScript SDK's client and
with raw requests, against a server on the official SDKs: what 2026-07-28
mirrors in header fields, what servers ask of agents in either era, refusals,
kills, resumed streams."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import sdkcases
from sdkcases import Driver, text
from suite import SuiteServer
from support import (SLOW, Suite, check, curl, equal, free_port, has,
                     hasnt, until)
from upstreams import Upstream

MAIL = "bob@example.com"
KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPS = "io.modelcontextprotocol/clientCapabilities"

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-revisions."))
top.chmod(0o755)
suite = Suite("test_revisions")
suite.cleanups.append(lambda: shutil.rmtree(top, True))
server = SuiteServer(suite, top)
suite.logs.append(server.log)
simple = Upstream()
sse_port = free_port()
sse_log = top / "sse-server.log"
sse_server = subprocess.Popen(
    [sdkcases.node(), str(sdkcases.NODE_DIR / "node_modules/"
     "@modelcontextprotocol/server-everything/dist/index.js"), "sse"],
    stdin=subprocess.DEVNULL, stdout=open(sse_log, "wb"),
    stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"],
                                   "PORT": str(sse_port), "OWNER": MAIL})
suite.cleanups.append(sse_server.kill)
suite.logs.append(sse_log)
until("the SSE server listens", lambda: str(sse_port) in sse_log.read_text())
BASE = {"url": server.url(), "pin": ["127.0.0.1", "::1"],
        "matrix": {"supervised": {"unknown": "allow", "dangerous": "deny"}},
        "tools": {"echo": {"class": "moderate"},
                  "test_error_handling": {"class": "dangerous"}}}
gw = suite.gateway("revisions", {
    "open": {**BASE, "server_requests": {"sampling": "allow",
                                         "roots": "allow"}},
    "simple": {**BASE, "url": simple.url(), "tools": {
        "echo2": {"class": "read-only"}, "wipe": {"class": "dangerous"}}},
    "sse": {**BASE, "url": f"http://localhost:{sse_port}/sse", "tools": {
        "get-sum": {"class": "moderate"}, "get-tiny-image": {
            "class": "dangerous"}}},
    "asking": {**BASE, "matrix": {"supervised": {"unknown": "hold"}}},
    "plain": {**BASE, "hosts": ["plain.test"]}})
token = gw.session()
drivers = []


def driver(name, connector, mode):
    d = Driver(suite, [sdkcases.node(), str(sdkcases.NODE_DIR /
                       "client2.mjs")], dict(os.environ),
               top / f"client-{name}.log")
    suite.cleanups.append(d.stop)
    d.version = d.do("connect", url=gw.url(connector), mode=mode, headers={
        "Authorization": f"Bearer {token}"})["version"]
    d.do("answer", **{"with": {
        "elicitation/create": {"action": "accept", "content": {
            "name": "Bob", "username": "bob", "email": MAIL}},
        "sampling/createMessage": {"role": "assistant", "model": "m",
                                   "content": {"type": "text",
                                               "text": f"mail {MAIL}"}},
        "roots/list": {"roots": [{"uri": "file:///home/bob",
                                  "name": "home"}]}}})
    return d


def post(connector, message, *fields, version="2026-07-28", **kw):
    """A request of 2026-07-28, its fields as given."""
    args = ["-H", f"MCP-Protocol-Version: {version}"] if version else []
    for f in fields:
        args += ["-H", f]
    return curl(gw, gw.url(connector), *args, "-H", "Accept: application/json,"
                " text/event-stream", via="mount", token=token, data=message,
                **kw)


def modern(method, params=None, id=1, version="2026-07-28"):
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": {
        **(params or {}), "_meta": {VERSION: version, CAPS: {
            "sampling": {}, "elicitation": {"form": {}, "url": {}},
            "roots": {}}}}}


def arrived(tool):
    return [r for r in server.requests() if r["body"] and
            r["body"].get("method") == "tools/call" and
            r["body"]["params"]["name"] == tool]


# --- 2026-07-28 -------------------------------------------------------------------

with suite.case("auto: server/discover goes through, 2026-07-28 is spoken"):
    new = driver("new", "open", "auto")
    equal(new.version, "2026-07-28", "version")
    has(new.do("list"), "test_simple_text", "test_custom_headers")

with suite.case("an argument that is redacted is redacted in its field"):
    r = new.call("test_custom_headers", {"region": f"for {MAIL}",
                                         "priority": 3, "verbose": True,
                                         "query": KEY})
    got = arrived("test_custom_headers")[-1]
    equal(got["headers"]["mcp-param-region"], "for [redacted:email]", "field")
    equal(got["headers"]["mcp-param-priority"], "3", "field")
    equal(got["body"]["params"]["arguments"]["region"],
          "for [redacted:email]", "body")
    has(text(r), "redacted:email")
    hasnt(json.dumps(server.requests()), MAIL, KEY)
    hasnt(gw.events_file.read_text(), MAIL, KEY)

with suite.case("an argument that is no ASCII is found and kept"):
    new.call("test_custom_headers", {"region": "Zürich", "query": "x"})
    equal(arrived("test_custom_headers")[-1]["headers"]["mcp-param-region"],
          "=?base64?WsO8cmljaA==?=", "field")

with suite.case("held, edited: the field says what the approver wrote"):
    asks = driver("asks", "asking", {"pin": "2026-07-28"})
    asks.do("list")
    n = asks.send("call", name="test_custom_headers", args={
        "region": "north", "query": "x"})
    held = gw.pending()[0]
    gw.cli("approval", "edit", held, "--arguments", json.dumps(
        {"region": "süd", "query": "y"}), "--reason", "elsewhere")
    r = asks.wait(n)["ok"]
    has(text(r), "süd", "changed the arguments")
    equal(arrived("test_custom_headers")[-1]["headers"]["mcp-param-region"],
          "=?base64?c8O8ZA==?=", "field")

with suite.case("denied: a result, not an older server's error"):
    n = len(server.requests())
    r = new.call("test_error_handling")
    check(r["isError"], f"no error: {r}")
    has(text(r), "policy does not allow")
    equal(len(server.requests()), n, "sent")
    a = post("open", modern("tools/call", {"name": "test_error_handling",
             "arguments": {}}), "Mcp-Method: tools/call",
             "Mcp-Name: test_error_handling")
    equal((a.status, a.json()["result"]["resultType"]), (200, "complete"), a)

GOOD = ("Mcp-Method: tools/call", "Mcp-Name: echo")
ECHO = {"name": "echo", "arguments": {"m": "x"}}
for name, fields, message, version, code in (
        ("no Mcp-Method", GOOD[1:], modern("tools/call", ECHO),
         "2026-07-28", -32020),
        ("no Mcp-Name", GOOD[:1], modern("tools/call", ECHO), "2026-07-28",
         -32020),
        ("another Mcp-Name", (GOOD[0], "Mcp-Name: test_simple_text"),
         modern("tools/call", ECHO), "2026-07-28", -32020),
        ("no MCP-Protocol-Version", GOOD, modern("tools/call", ECHO), None,
         -32020),
        ("another MCP-Protocol-Version", GOOD, modern("tools/call", ECHO),
         "2025-11-25", -32020),
        ("an Mcp-Param-* of no argument", (*GOOD, "Mcp-Param-M: y"),
         modern("tools/call", ECHO), "2026-07-28", -32020),
        ("no revision in the body", GOOD, {"jsonrpc": "2.0", "id": 1,
         "method": "tools/call", "params": ECHO}, "2026-07-28", -32602),
        ("a revision that nobody speaks", GOOD, modern("tools/call", ECHO,
         version="2031-01-01"), "2031-01-01", -32022)):
    with suite.case(f"refused as the revision says: {name}"):
        n = len(server.requests())
        a = post("open", message, *fields, version=version)
        equal((a.status, a.json()["error"]["code"]), (400, code), a)
        equal(len(server.requests()), n, "sent")

with suite.case("what cannot be read is no older server's 400 either"):
    a = post("open", '{"jsonrpc":', *GOOD)
    equal((a.status, a.json()["error"]["code"]), (403, 4030), a)

with suite.case("input_required: asked, answered, redacted both ways, recorded"):
    r = new.call("test_ask", {"tag": "one", "ask": {
        "method": "sampling/createMessage", "params": {"maxTokens": 9,
            "messages": [{"role": "user", "content": {"type": "text", "text":
                          f"who is carol{MAIL}"}}]}}})
    asked = new.next_event("asked", 0)
    has(json.dumps(asked), "redacted:email")
    hasnt(json.dumps(asked), MAIL)
    got = arrived("test_ask")[-1]["body"]["params"]
    equal(got["requestState"], "state-of-one", "state")
    has(json.dumps(got["inputResponses"]), "mail [redacted:email]")
    e = gw.event(type="call.decision", direction="from-server",
                 method="sampling/createMessage")
    equal(e["verdict"], "allow", "decision")
    has(json.dumps(e["arguments"]), "redacted:email")
    gw.event(type="call.outcome", call=e["call"], status="ok")
    e = gw.event(type="call.decision", tool="test_ask", where=lambda e:
                 "input_responses" in e)
    has(json.dumps(e["input_responses"]), "redacted:email")
    hasnt(gw.events_file.read_text(), MAIL)

ASK = {"sampling": {"method": "sampling/createMessage", "params": {
           "maxTokens": 9, "messages": []}},
       "roots": {"method": "roots/list", "params": {}},
       "a javascript address": {"method": "elicitation/create", "params": {
           "mode": "url", "message": "m", "elicitationId": "e",
           "url": "javascript:alert(1)"}}}
for what, it in ASK.items():
    with suite.case(f"input_required: {what} is denied by default"):
        a = post("plain", modern("tools/call", {"name": "test_ask",
                 "arguments": {"tag": "two", "ask": it}}),
                 "Mcp-Method: tools/call", "Mcp-Name: test_ask")
        equal(a.status, 200, a)
        r = a.json()["result"]
        check(r["isError"] and "inputRequests" not in r, a)
        has(a.text, "may not ask")
        e = gw.event(type="call.decision", direction="from-server",
                     connector="plain", method=it["method"])
        equal((e["verdict"], e["reason"]), ("deny", "server-request"), e)
        gw.event(type="call.outcome", call=e["call"], status="denied")

with suite.case("a kill closes the server's stream: that is the cancel"):
    n = new.send("call", name="test_wait", args={}, progress=True)
    new.next_event("progress", n)
    gw.cli("kill", "connector/open", "--reason", "leaking")
    has(json.dumps(new.wait(n, 5)), "kill switch")
    until("the server's call is aborted", lambda: "ABORTED true" in
          server.log.read_text())
    gw.cli("revive", "connector/open", "--reason", "mended")

with suite.case("the client's cancel reaches the server"):
    before = server.log.read_text().count("ABORTED true")
    n = new.send("call", name="test_wait", args={}, progress=True)
    new.next_event("progress", n)
    new.do("cancel", of=n)
    until("the server's call is aborted", lambda: server.log.read_text(
          ).count("ABORTED true") > before)

# --- up to 2025-11-25 --------------------------------------------------------------

with suite.case("legacy: what the server asks is recorded, redacted, answered"):
    old = driver("old", "open", "legacy")
    equal(old.version, "2025-11-25", "version")
    r = old.call("test_sampling", {"prompt": "hello"})
    has(text(r), "LLM response: mail [redacted:email]")
    r = old.call("test_elicitation", {"message": "who"})
    has(text(r), "accept", "redacted:email")
    has(text(old.call("test_roots")), "file:///home/bob")
    for m in ("sampling/createMessage", "elicitation/create", "roots/list"):
        e = gw.event(type="call.decision", direction="from-server", method=m,
                     connector="open", verdict="allow")
        gw.event(type="call.outcome", call=e["call"], status="ok")
    e = gw.event(type="call.decision", method="response", where=lambda e:
                 "email" in e.get("arguments", {}).get("content", {}))
    has(json.dumps(e["arguments"]), "redacted:email")

with suite.case("legacy: denied, the server is told, the call goes on"):
    shut = driver("shut", "plain", "legacy")
    for tool, args in (("test_sampling", {"prompt": "x"}), ("test_roots", {}),
                       ("test_elicitation_url", {"url": "file:///etc"})):
        n = shut.send("call", name=tool, args=args)
        r = shut.wait(n)["ok"]
        check(r["isError"], f"{tool}: {r}")
        has(text(r), "something it may not ask")
    check(shut.events.empty(), "the agent was asked")
    has(text(shut.call("test_elicitation_url", {
        "url": "https://example.com/a#b"})), "accept")

with suite.case("a stream is resumed by its principal alone"):
    init = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"}}}
    a = post("open", init, version=None)
    sid = [line.split(": ")[1] for line in a.head.splitlines() if
           line.lower().startswith("mcp-session-id")][0]
    here = (f"Mcp-Session-Id: {sid}",)
    post("open", {"jsonrpc": "2.0", "method": "notifications/initialized"},
         *here, version="2025-11-25")
    a = post("open", {"jsonrpc": "2.0", "id": 7, "method": "tools/call",
             "params": {"name": "test_reconnection", "arguments": {}}}, *here,
             version="2025-11-25")
    has(a.text, "id: ", "retry: ")
    hasnt(a.text, "after the stream")
    last = [line[4:] for line in a.text.splitlines()
            if line.startswith("id: ")][-1]
    time.sleep(0.5)

    def resume(event, who):
        return curl(gw, gw.url("open"), "-H", f"Last-Event-ID: {event}", "-H",
                    f"Mcp-Session-Id: {sid}", "-H",
                    "Accept: text/event-stream", "-H",
                    "MCP-Protocol-Version: 2025-11-25", via="mount",
                    token=who, timeout=1 / SLOW)
    has(resume(last, token).text, "after the stream was closed")
    other = gw.session(user="mallory", agent="other")
    for event in (last, last.rsplit(".", 1)[0], last[:-1] + "0" if
                  last[-1] != "0" else last[:-1] + "1"):
        a = resume(event, token if event != last else other)
        equal(a.status, 404, a)
        has(a.text, "another principal")

# --- batches of 2025-03-26 ------------------------------------------------------------

def one(id, tool, args=None):
    return {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": tool, "arguments": args or {}}}


def messages(answer):
    """Of a batch's answer, as events or as an array."""
    if answer.text.startswith("["):
        return answer.json()
    return [json.loads(line[6:]) for line in answer.text.splitlines()
            if line.startswith("data: ")]


def sent(n):
    return [r["body"] for r in server.requests()[n:] if r["body"]]


NOTE = {"jsonrpc": "2.0", "method": "notifications/initialized"}
old_init = {**init, "params": {**init["params"],
                               "protocolVersion": "2025-03-26"}}
a = post("open", old_init, version=None)
sid3 = [line.split(": ")[1] for line in a.head.splitlines() if
        line.lower().startswith("mcp-session-id")][0]
IN3 = (f"Mcp-Session-Id: {sid3}",)

with suite.case("a batch: each message is a call of its own, joined as events"):
    n = len(server.requests())
    a = post("open", [NOTE, one(1, "test_simple_text"), one(
        "x", "test_error_handling"), one(3, "json_schema_2020_12_tool", {
            "name": MAIL}), {"jsonrpc": "2.0", "id": 4, "method":
                             "tools/list"}], *IN3, version=None)
    equal(a.status, 200, a)
    got = {m["id"]: m for m in messages(a)}
    equal(set(got), {1, "x", 3, 4}, "ids")
    has(json.dumps(got[1]), "simple text")
    check(got["x"]["result"]["isError"], got["x"])
    has(json.dumps(got["x"]), "policy does not allow")
    has(json.dumps(got[3]), "redacted:email")
    check(len(got[4]["result"]["tools"]) > 5, got[4])
    equal(sorted(str(m.get("id")) for m in sent(n)), ["1", "3", "4", "None"],
          "sent one by one")
    rows = [gw.event(type="call.decision", tool=t, where=lambda e:
                     "_" in e["tool"]) for t in
            ("test_simple_text", "test_error_handling")]
    equal([r["verdict"] for r in rows], ["allow", "deny"], "rows")

with suite.case("a batch with a held call: the others are answered meanwhile"):
    out = []
    t = threading.Thread(target=lambda: out.append(post("open", [
        one(1, "echo", {"a": 1}), one(2, "test_simple_text")], *IN3,
        version="2025-03-26")))
    t.start()
    held = gw.pending()[0]
    check(t.is_alive(), "answered")
    gw.cli("approval", "approve", held)
    t.join()
    equal([m["id"] for m in messages(out[0])], [2, 1], "in order")

with suite.case("a batch without events is one array"):
    a = curl(gw, gw.url("simple"), "-H", "Accept: application/json", via="mount",
             token=token, data=[one(1, "echo2", {"m": 1}), NOTE,
                                one(2, "wipe"), one(3, "echo2", {"m": MAIL})])
    equal((a.status, a.text[:1]), (200, "["), a)
    got = {m["id"]: m for m in a.json()}
    equal(set(got), {1, 2, 3}, "ids")
    check(got[2]["result"]["isError"], got[2])
    has(json.dumps(got[3]), "redacted:email")
    equal([c for c in simple.calls() if c != {}],
          [{"m": 1}, {"m": "[redacted:email]"}], "sent")

with suite.case("a batch of notifications alone is 202"):
    a = post("open", [NOTE, NOTE], *IN3, version=None)
    equal((a.status, a.body), (202, b""), a)

for name, data, version in (
        ("of a later revision", [one(1, "test_simple_text")], "2025-06-18"),
        ("of 2025-11-25", [one(1, "test_simple_text")], "2025-11-25"),
        ("of 2026-07-28", [modern("tools/list")], "2026-07-28"),
        ("with initialize", [old_init], None),
        ("in a batch", [[one(1, "test_simple_text")]], None),
        ("of too many", [one(i, "test_simple_text") for i in range(51)],
         None)):
    with suite.case(f"a batch is refused: {name}"):
        n = len(server.requests())
        a = post("open", data, *IN3, version=version)
        check(a.status in (400, 403), a)
        has(a.text, "batch-refused")
        equal(sent(n), [], "sent")

with suite.case("a batch's agent goes: its held call is cancelled"):
    t = threading.Thread(target=lambda: post("open", [one(1, "echo", {
        "a": 2})], *IN3, version=None, timeout=2 / SLOW))
    t.start()
    held = gw.pending()[0]
    t.join()
    gw.event(type="approval.ended", where=lambda e:
             e["approval"]["id"] == held)

# --- HTTP+SSE of 2024-11-05 -----------------------------------------------------------

for way in ("mount", "explicit"):
    with suite.case(f"HTTP+SSE, {way}: calls posted, answered on the stream"):
        env = dict(os.environ, NODE_USE_ENV_PROXY="1", NO_PROXY="",
                   HTTP_PROXY=gw.proxy_url(token)) if way == "explicit" else \
            dict(os.environ)
        d = Driver(suite, [sdkcases.node(), str(sdkcases.NODE_DIR /
                           "client.mjs")], env, top / f"client-sse-{way}.log")
        suite.cleanups.append(d.stop)
        d.do("connect", sse=True, url=gw.url("sse") if way == "mount" else
             f"http://localhost:{sse_port}/sse", headers={
                 "Authorization": f"Bearer {token}"} if way == "mount" else {})
        has(d.do("list"), "echo", "get-sum")
        r = d.call("echo", {"message": f"from {way} {MAIL}"})
        equal(text(r), f"Echo: from {way} [redacted:email]", "result")
        r = d.call("get-env")
        has(text(r), "redacted:email")
        hasnt(json.dumps(r), MAIL)
        e = gw.event(type="call.decision", connector="sse", tool="echo",
                     where=lambda e: way in json.dumps(e["arguments"]))
        e = gw.event(type="call.outcome", call=e["call"])
        equal(e["status"], "ok", "outcome")
        has(json.dumps(e["result"]), f"Echo: from {way} [redacted:email]")

    with suite.case(f"HTTP+SSE, {way}: denied, held, killed"):
        r = d.call("get-tiny-image")
        check(r["isError"], r)
        has(text(r), "policy does not allow")
        n = d.send("call", name="get-sum", args={"a": 2, "b": 40})
        gw.cli("approval", "approve", gw.pending()[0])
        has(text(d.wait(n)["ok"]), "42")
        n = d.send("call", name="trigger-long-running-operation",
                   args={"duration": 2, "steps": 10}, progress=True)
        d.next_event("progress", n)
        gw.cli("kill", "tool/sse/trigger-long-running-operation", "--reason",
               "leaking")
        r = d.wait(n)["ok"]
        check(r["isError"], r)
        has(text(r), "kill switch")
        e = gw.event(type="call.outcome", connector="sse",
                     tool="trigger-long-running-operation", status="cut")
        gw.cli("revive", "tool/sse/trigger-long-running-operation",
               "--reason", "mended")

with suite.case("HTTP+SSE: the address is its principal's alone"):
    a = curl(gw, gw.url("sse"), "-H", "Accept: text/event-stream", via="mount",
             token=token, timeout=1 / SLOW)
    address = [line[6:] for line in a.text.splitlines()
               if line.startswith("data: ")][0]
    has(address, "/mcp/sse/~sse/")
    url = f"http://127.0.0.1:{gw.mount_port}{address}"
    hi = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    for bad, who in ((url, other), (url[:-1] + ("0" if url[-1] != "0" else
                                                "1"), token)):
        a = curl(gw, bad, via="mount", token=who, data=hi)
        has(a.text, "another principal")
    a = curl(gw, f"http://localhost:{sse_port}/message?sessionId=stolen",
             token=token, data=hi)
    has(a.text, "uncatalogued-host")
    a = curl(gw, f"http://localhost:{sse_port}/message?sessionId=x&portreeve="
             + "0" * 32, token=token, data=hi)
    has(a.text, "another principal")
    a = curl(gw, f"{server.url()}/messages?session_id=stolen", token=token,
             data=hi)
    has(a.text, "another principal")

with suite.case("the ledger has an outcome for every decision"):
    def open_calls():
        done = {e["call"] for e in gw.events(type="call.outcome")}
        return [e for e in gw.events(type="call.decision")
                if e["call"] not in done and e["method"] not in (
                    "GET", "subscriptions/listen")]
    until("all ended", lambda: not open_calls())
suite.end()
