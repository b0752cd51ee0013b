#!/usr/bin/env python3
"""Tool lists that are remembered, and /mcp, the mount of all connectors."""
import http.client
import json
import os
import signal
import threading

from mcpserver import McpServer, tool
from support import SLOW, Suite, check, equal, has, hasnt, until

suite = Suite("test_aggregate")
PIN = {"pin": ["127.0.0.1"]}
notes = McpServer("notes", [tool("search", q="string"), tool("append"),
                            tool("wipe"), tool("slow")])
files = McpServer("files", [tool(f"file{i}") for i in range(7)],
                  version="2025-06-18")
files.page = 3
fresh = McpServer("fresh", [tool("now")])
gw = suite.gateway("aggregate", {
    "notes": {"url": notes.url(), **PIN, "tools": {
        "search": {"class": "read-only"}, "slow": {"class": "read-only"},
        "append": {"class": "moderate"}, "wipe": {"class": "dangerous"}},
        "matrix": {"supervised": {"dangerous": "deny"}}},
    "files": {"url": files.url(), **PIN, "agents": ["coder"],
              "tools": {f"file{i}": {"class": "read-only"} for i in range(7)}},
    "fresh": {"url": fresh.url(), **PIN, "tools_cache": "off",
              "tools": {"now": {"class": "read-only"}}}})
conf = gw.env["PORTREEVE_CONFIG"]


def reload():
    def loaded():
        return len(gw.events(type="config.loaded", role="gateway"))
    n = loaded()
    os.kill(gw.proc.pid, signal.SIGHUP)
    until("the reload", lambda: loaded() > n)


class Client:
    """A plain MCP client on a mount; one connection a request."""

    def __init__(self, path, token, version="2025-11-25"):
        self.path, self.token, self.version = path, token, version
        self.sid, self.n = None, 0

    def http(self, method, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", gw.mount_port,
                                       timeout=30 * SLOW)
        h = {"Authorization": f"Bearer {self.token}", "Accept":
             "application/json, text/event-stream", **(headers or {})}
        if body is not None:
            h["Content-Type"] = "application/json"
        if self.sid:
            h["Mcp-Session-Id"] = self.sid
            h["MCP-Protocol-Version"] = self.version
        c.request(method, self.path, None if body is None else
                  json.dumps(body), h)
        return c, c.getresponse()

    def post(self, body):
        """(status, messages)"""
        c, r = self.http("POST", body)
        data = r.read().decode()
        self.headers = dict(r.getheaders())
        c.close()
        if r.getheader("Content-Type") == "text/event-stream":
            return r.status, [json.loads(line[5:]) for line in
                              data.splitlines() if line.startswith("data:")
                              and line[5:].strip()]
        return r.status, [json.loads(data)] if data else []

    def ask(self, method, params=None):
        self.n += 1
        body = {"jsonrpc": "2.0", "id": self.n, "method": method}
        if params is not None:
            body["params"] = params
        status, messages = self.post(body)
        self.status, self.messages = status, messages
        return messages[-1] if messages else {}

    def open(self):
        r = self.ask("initialize", {"protocolVersion": self.version,
                                    "capabilities": {}, "clientInfo":
                                    {"name": "t", "version": "1"}})
        self.result = r["result"]
        self.sid = self.headers.get("Mcp-Session-Id")
        self.version = self.result["protocolVersion"]
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return self

    def tools(self, **params):
        return [t["name"] for t in self.ask("tools/list", params)
                ["result"]["tools"]]

    def call(self, name, **args):
        return self.ask("tools/call", {"name": name, "arguments": args})


token = gw.session()

# --- remembered lists ------------------------------------------------------------------

one = Client("/mcp/notes", token).open()

with suite.case("cache: the second list is not asked of the server"):
    want = ["search", "append", "wipe", "slow"]
    equal(one.tools(), want)
    equal(one.tools(), want)
    equal(notes.count("tools/list"), 1, "asked")
    e = gw.event(type="call.outcome", method="tools/list", cached=True)
    check(e["cached_ms"] < 60000 and e["status"] == "ok", e)
    equal(e["result"]["result"]["tools"][0]["name"], "search")
    equal(len(gw.events(type="call.decision", method="tools/list")), 2)

with suite.case("cache: tool ls says since when"):
    out = until("the list is told", lambda: (
        lambda s: s if "CACHED" in s and " ago" in s else None)(
        gw.cli("tool", "ls").stdout))
    rows = json.loads(gw.cli("tool", "ls", "--json").stdout)["tools"]
    check([r for r in rows if r["cached"]] and
          {r["connector"] for r in rows if r["cached"]} == {"notes"}, rows)

with suite.case("cache: another principal is asked for"):
    other = Client("/mcp/notes", gw.session(user="bob")).open()
    equal(other.tools(), want)
    equal(notes.count("tools/list"), 2, "asked")

with suite.case("cache: another session of the same principal is not"):
    equal(Client("/mcp/notes", gw.session()).open().tools(), want)
    equal(notes.count("tools/list"), 2, "asked")

with suite.case("cache: another's session is refused all the same"):
    sid, one.sid = one.sid, other.sid
    r = one.ask("tools/list")
    one.sid = sid
    equal(r["error"]["data"]["portreeve/reason"], "session-binding")

with suite.case("cache: tool refresh says what it did"):
    p = gw.cli("tool", "refresh", "notes")
    has(p.stdout, "forgotten  2 tool lists", "of notes in 1 of 1 proxies")
    notes.tools.append(tool("new"))
    equal(one.tools(), [*want, "new"])
    equal(notes.count("tools/list"), 3, "asked")
    e = gw.event(type="tool.refreshed", connector="notes")
    equal((e["lists"], e["proxies"]), (2, 1))
    has(gw.cli("tool", "refresh", "notse", ok=False).stderr,
        'did you mean "notes"')

with suite.case("cache: classify, kill and reload forget it"):
    for n, change in enumerate((
            lambda: gw.cli("tool", "classify", "notes/new", "moderate",
                           "--reason", "r"),
            lambda: (gw.cli("kill", "tool/notes/wipe", "--reason", "r"),
                     gw.cli("revive", "tool/notes/wipe", "--reason", "r")),
            lambda: gw.cli("connector", "observe", "notes", "--reason", "r"),
            lambda: gw.cli("connector", "reset", "notes", "--reason", "r"),
            reload)):
        one.tools()
        before = notes.count("tools/list")
        change()
        until("it is asked again", lambda: one.tools() and
              notes.count("tools/list") > before)

with suite.case("cache: the server says that its tools changed"):
    one.tools()
    before = notes.count("tools/list")
    c, r = one.http("GET")
    until("the stream stands", lambda: notes.streams)
    notes.push({"jsonrpc": "2.0", "method":
                "notifications/tools/list_changed"})
    line = b""
    while b"list_changed" not in line:
        line = r.readline()
    equal(len(one.tools()), 5)
    equal(notes.count("tools/list"), before + 1, "asked")
    c.close()

with suite.case("cache: pages are one list"):
    paged = Client("/mcp/files", token).open()

    def pages():
        out, params = [], {}
        while True:
            r = paged.ask("tools/list", params)["result"]
            out.append([t["name"] for t in r["tools"]])
            if "nextCursor" not in r:
                return out
            params = {"cursor": r["nextCursor"]}
    first = pages()
    equal([len(p) for p in first], [3, 3, 1])
    equal(pages(), first)
    equal(files.count("tools/list"), 3, "asked")
    # A page that follows nothing is not kept.
    gw.cli("tool", "refresh", "files")
    paged.tools(cursor="3")
    paged.tools(cursor="3")
    equal(files.count("tools/list"), 5, "asked")

with suite.case("cache: off"):
    c = Client("/mcp/fresh", token).open()
    c.tools()
    c.tools()
    equal(fresh.count("tools/list"), 2, "asked")

with suite.case("cache: other parameters are not answered from it"):
    before = notes.count("tools/list")
    one.tools()
    n = notes.count("tools/list")
    one.tools(filter="x")
    equal(notes.count("tools/list"), n + 1, "asked")

with suite.case("cache: check refuses nonsense"):
    gw.connector("bad", {"url": notes.url(), "tools_cache": "30d"})
    p = gw.cli("check", conf, ok=False)
    has(p.stdout + p.stderr, "bad.yaml:", "off, or 1s to")
    (gw.dir / "connectors.d/bad.yaml").unlink()

# --- /mcp ---------------------------------------------------------------------------------

for s in (notes, files, fresh):
    s.seen.clear()
notes.tools = notes.tools[:4]
gw.cli("tool", "refresh", "notes")
all_ = Client("/mcp", token)

with suite.case("/mcp: initialize"):
    all_.open()
    equal(all_.result["serverInfo"]["name"], "portreeve")
    equal(all_.result["capabilities"], {"tools": {"listChanged": True}})
    equal(all_.version, "2025-11-25")
    check(all_.sid, "no session")
    equal(notes.seen, [], "asked before it was needed")
    equal(Client("/mcp", token, "2025-06-18").open().version, "2025-06-18")
    equal(Client("/mcp", token, "1999-01-01").open().version, "2025-11-25")

NAMES = [f"files__file{i}" for i in range(7)] + ["fresh__now"] + [
    f"notes__{t}" for t in ("search", "append", "wipe", "slow")]

with suite.case("/mcp: the tools of all connectors, all pages"):
    equal(all_.tools(), NAMES)
    equal(all_.messages[0]["result"]["_meta"]["portreeve/left-out"], [])
    t = all_.messages[0]["result"]["tools"][8]
    equal(t["inputSchema"]["properties"], {"q": {"type": "string"}})
    gw.event(type="call.outcome", connector="aggregate", method="tools/list",
             status="ok")
    gw.event(type="call.outcome", connector="notes", method="tools/list")

with suite.case("/mcp: one session a server, lists from memory"):
    equal(all_.tools(), NAMES)
    for s in (notes, files, fresh):
        equal(s.count("initialize"), 1, s.name)
        equal(s.count("notifications/initialized"), 1, s.name)
    equal((notes.count("tools/list"), files.count("tools/list"),
           fresh.count("tools/list")), (1, 3, 2))

with suite.case("/mcp: an agent sees what it may use"):
    bob = Client("/mcp", gw.session(agent="other")).open()
    equal(bob.tools(), [n for n in NAMES if not n.startswith("files")])
    r = bob.call("files__file1")
    has(json.dumps(r), "not-on-access-list")

with suite.case("/mcp: a call is its connector's"):
    r = all_.call("notes__search", q="mail bob@example.com")
    equal(r["result"]["content"][0]["text"],
          'notes:search:{"q": "mail [redacted:email]"}')
    equal(notes.calls()[-1]["name"], "search")
    e = gw.event(type="call.decision", method="tools/call", tool="search")
    equal((e["connector"], e["tool"], e["verdict"], e["class"], e["target"]),
          ("notes", "search", "allow", "read-only", notes.url()))
    check("Mcp-Session-Id" not in all_.headers, all_.headers)
    equal(notes.seen[-1]["headers"]["MCP-Protocol-Version"], "2025-11-25")
    equal(all_.call("files__file2")["result"]["content"][0]["text"],
          "files:file2:{}")
    equal(files.seen[-1]["headers"]["MCP-Protocol-Version"], "2025-06-18")

with suite.case("/mcp: denied by policy"):
    before = len(notes.calls())
    r = all_.call("notes__wipe")
    check(r["result"]["isError"], r)
    equal(len(notes.calls()), before, "sent")
    equal(gw.event(type="call.decision", tool="wipe")["verdict"], "deny")

with suite.case("/mcp: held, then approved"):
    got = []
    t = threading.Thread(target=lambda: got.append(
        all_.call("notes__append", x=1)))
    t.start()
    held = gw.pending()[0]
    has(gw.cli("approval", "show", held).stdout, "notes", "append")
    gw.cli("approval", "approve", held, "--reason", "fine")
    t.join(20 * SLOW)
    equal(got[0]["result"]["content"][0]["text"], 'notes:append:{"x": 1}')

with suite.case("/mcp: progress, event by event"):
    r = all_.ask("tools/call", {"name": "notes__slow", "arguments": {
        "steps": 3}, "_meta": {"progressToken": "p"}})
    equal([m["params"]["progress"] for m in all_.messages[:-1]], [1, 2, 3])
    has(json.dumps(r), "notes:slow")

with suite.case("/mcp: a cancellation reaches the server"):
    def slow():
        got.append(all_.ask("tools/call", {"name": "notes__slow",
                                           "arguments": {"steps": 200}}))
    t = threading.Thread(target=slow)
    n = len(notes.calls())
    t.start()
    until("the call is there", lambda: len(notes.calls()) > n)
    equal(all_.post({"jsonrpc": "2.0", "method": "notifications/cancelled",
                     "params": {"requestId": all_.n}})[0], 202)
    equal([m["params"]["requestId"] for m in notes.seen if m.get("method") ==
           "notifications/cancelled"], [all_.n])
    notes.go.release()
    t.join(20 * SLOW)

with suite.case("/mcp: unknown names and methods"):
    for name in ("echo", "nobody__echo", "notes__", "__x"):
        r = all_.call(name)
        equal(r["error"]["code"], -32602, name)
        equal(r["error"]["data"]["portreeve/reason"], "not-offered")
    gw.event(type="call.decision", connector="aggregate", tool="nobody__echo",
             reason="not-offered", verdict="deny")
    equal(all_.ask("resources/list")["error"]["code"], -32601)
    equal(all_.ask("logging/setLevel", {"level": "info"})["error"]["code"],
          -32601)
    equal(all_.ask("ping"), {"jsonrpc": "2.0", "id": all_.n, "result": {}})
    r = all_.ask("server/discover", {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28"}})
    equal(all_.status, 400)

with suite.case("/mcp: sessions are their principal's"):
    sid = all_.sid
    for bad, status in ((None, 400), (sid[:-1] + ("0" if sid[-1] != "0"
                        else "1"), 404), (one.sid, 404)):
        all_.sid = bad
        all_.ask("tools/list")
        equal(all_.status, status, bad)
    all_.sid = sid
    equal(all_.tools(), NAMES)
    token2 = all_.token
    all_.token = gw.session(user="mallory")
    all_.ask("tools/list")
    equal(all_.status, 404)
    all_.token = token2

with suite.case("/mcp: names that clients do not take are changed, and called"):
    odd = "a.b/" + "x" * 70
    fresh.tools.append(tool(odd))
    got = [n for n in all_.tools() if n not in NAMES]
    equal(len(got), 1)
    check(len(got[0]) <= 64 and got[0].startswith("fresh__a_b_xxx"), got)
    gw.cli("tool", "classify", f"fresh/{odd}", "read-only", "--reason", "r")
    has(json.dumps(all_.call(got[0])), "fresh:" + odd)
    fresh.tools.pop()

with suite.case("/mcp: a killed connector, a killed tool"):
    gw.cli("kill", "connector/notes", "--reason", "leaking")
    equal(all_.tools(), [n for n in NAMES if not n.startswith("notes")])
    has(json.dumps(all_.call("notes__search")), "kill switch", "leaking")
    gw.cli("revive", "connector/notes", "--reason", "r")
    gw.cli("kill", "tool/notes/slow", "--reason", "r")
    equal(all_.tools(), NAMES[:-1])
    gw.cli("revive", "tool/notes/slow", "--reason", "r")
    equal(all_.tools(), NAMES)

with suite.case("/mcp: a server that forgot its sessions gets new ones"):
    notes.sessions.clear()
    fresh.sessions.clear()
    has(json.dumps(all_.call("notes__search", q="x")), "notes:search")
    equal(all_.tools(), NAMES)
    notes.sessions.clear()
    answers = []

    def once(i):
        c = Client("/mcp", token)
        c.sid, c.n = all_.sid, 100 + i
        answers.append(json.dumps(c.call("notes__slow", steps=1)))
    threads = [threading.Thread(target=once, args=(i,)) for i in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30 * SLOW)
    equal(["notes:slow" in a for a in answers], [True] * 5, answers)
    until("no call was decided twice", lambda: len(gw.events(
        type="call.decision", method="tools/call", tool="search")) == 3)

with suite.case("/mcp: a server's 404 is not about the agent's session"):
    notes.refuse = 404
    before = len(notes.calls())
    r = all_.call("notes__search", q="x")
    equal(all_.status, 200)
    check(r["result"]["isError"], r)
    has(json.dumps(r), "lost the session")
    equal(len(notes.calls()), before + 2)
    notes.refuse = 0
    has(json.dumps(all_.call("notes__search", q="x")), "notes:search")

with suite.case("/mcp: a call that gets a 400 is not sent again"):
    notes.refuse = 400
    sent = len(notes.calls())
    r = all_.call("notes__search", q="once")
    equal(all_.status, 200)
    check(r["result"]["isError"], r)
    equal(len(notes.calls()), sent + 1)
    notes.refuse = 0
    has(json.dumps(all_.call("notes__search", q="x")), "notes:search")

with suite.case("/mcp: a server that is away does not break the list"):
    fresh.stop()
    equal(all_.tools(), [n for n in NAMES if not n.startswith("fresh")])
    out = all_.messages[0]["result"]["_meta"]["portreeve/left-out"]
    equal([o["connector"] for o in out], ["fresh"])
    has(json.dumps(all_.call("fresh__now")), "upstream")

with suite.case("/mcp: agents are told when tools change"):
    c, r = all_.http("GET")
    equal(r.status, 200)
    gw.cli("tool", "refresh", "notes")
    line = b""
    while b"list_changed" not in line:
        line = r.readline()
        check(line, "the stream ended")

with suite.case("/mcp: a server that says so on its own stream is heard"):
    all_.tools()
    asked = notes.count("tools/list")
    until("its stream is open", lambda: len(notes.streams) > 1)
    notes.push({"jsonrpc": "2.0", "method":
                "notifications/tools/list_changed"})
    line = b""
    while b"list_changed" not in line:
        line = r.readline()
        check(line, "the stream ended")
    until("it is asked again", lambda: all_.tools() and
          notes.count("tools/list") == asked + 1)

with suite.case("/mcp: the session's end ends those with the servers"):
    n = len(notes.deleted)
    d, r2 = all_.http("DELETE")
    equal(r2.status, 200)
    r2.read()
    d.close()
    while r.readline():
        pass
    c.close()
    until("the servers are told", lambda: len(notes.deleted) > n)
    all_.ask("tools/list")
    equal(all_.status, 404)

with suite.case("/mcp: a reload opens sessions anew"):
    again = Client("/mcp", token).open()
    has(json.dumps(again.call("notes__search", q="x")), "notes:search")
    n = notes.count("initialize")
    gw.connector("more", {"url": notes.url(), **PIN, "agents": ["nobody"]})
    reload()
    has(json.dumps(again.call("notes__search", q="x")), "notes:search")
    equal(notes.count("initialize"), n + 1)

# --- deferred tools ------------------------------------------------------------------------

tickets = McpServer("tickets", [
    tool("create_issue", "Open a ticket for the team", title="string"),
    tool("close_issue", "Mark a ticket as done", number="integer"),
    tool("whoami", "Who is logged in"),
    tool("send_mail", "Write to a customer", to="string", text="string")])
gw.connector("tickets", {"url": tickets.url(), **PIN, "deferred": True,
             "agents": ["coder"], "tools": {
                 "whoami": {"class": "read-only", "deferred": False},
                 "close_issue": {"class": "read-only"},
                 "create_issue": {"class": "read-only"},
                 "send_mail": {"class": "read-only", "enabled": False}}})
(gw.dir / "connectors.d/fresh.yaml").unlink()
(gw.dir / "connectors.d/files.yaml").unlink()
reload()
late = Client("/mcp", token).open()
NOTES = NAMES[8:]
SOME = ["tool_search", *NOTES, "tickets__whoami"]

with suite.case("deferred: tool_search instead of the tools"):
    equal(late.tools(), SOME)
    equal(Client("/mcp/tickets", token).open().tools(),
          [t["name"] for t in tickets.tools])

with suite.case("deferred: what is found joins the list, and is told"):
    c, r = late.http("GET")
    result = late.call("tool_search", query="add a bug", limit=1)["result"]
    equal([t["name"] for t in result["structuredContent"]["tools"]],
          ["tickets__create_issue"])
    has(result["content"][0]["text"], "1 tools match",
        "tickets__create_issue: Open a ticket")
    line = b""
    while b"list_changed" not in line:
        line = r.readline()
        check(line, "the stream ended")
    c.close()
    equal(late.tools(), [*SOME[:-1], "tickets__create_issue", SOME[-1]])
    has(json.dumps(late.call("tickets__create_issue", title="x")),
        "tickets:create_issue")
    # Of this session only.
    equal(Client("/mcp", token).open().tools(), SOME)

with suite.case("deferred: the search is recorded, its words are redacted"):
    late.call("tool_search", query="mail to bob@example.com")
    e = gw.event(type="call.decision", tool="tool_search", arguments={
        "query": "mail to [redacted:email]"})
    equal((e["connector"], e["class"], e["verdict"]),
          ("aggregate", "read-only", "allow"))
    gw.event(type="call.outcome", tool="tool_search", status="ok")

with suite.case("deferred: what is disabled or another's is not found"):
    r = late.call("tool_search", query="send mail to a customer", limit=20)
    hasnt(json.dumps(r), "send_mail")
    bob = Client("/mcp", gw.session(agent="other")).open()
    equal(bob.tools(), NOTES)
    has(json.dumps(bob.call("tool_search", query="create issue")),
        "No deferred tool matches")

with suite.case("deferred: who knows the name may call it"):
    has(json.dumps(late.call("tickets__close_issue", number=3)),
        "tickets:close_issue")

with suite.case("deferred: a search without words is an error"):
    for bad in ({}, {"query": ""}, {"query": "x", "limit": 0},
                {"query": "x", "limit": 21}, {"query": 3}):
        equal(late.call("tool_search", **bad)["error"]["code"], -32602, bad)

with suite.case("deferred: only for what /mcp offers"):
    gw.connector("bad", {"url": notes.url("/"), "kind": "rest",
                         "deferred": True})
    p = gw.cli("check", conf, ok=False)
    has(p.stdout + p.stderr, "bad.yaml:", "deferred: is for what /mcp offers")
    (gw.dir / "connectors.d/bad.yaml").unlink()

with suite.case("/mcp: the mount itself can be killed"):
    gw.cli("kill", "connector/aggregate", "--reason", "closed", "--force")
    has(json.dumps(late.ask("tools/list")), "kill switch", "closed")
    has(json.dumps(late.call("tool_search", query="x")), "kill switch")
    gw.cli("revive", "connector/aggregate", "--reason", "r")
    equal(late.tools()[0], "tool_search")

with suite.case("/mcp: no connector may have its name"):
    gw.connector("aggregate", {"url": notes.url()})
    p = gw.cli("check", conf, ok=False)
    has(p.stdout + p.stderr, "aggregate is the name of /mcp")
    (gw.dir / "connectors.d/aggregate.yaml").unlink()

with suite.case("every call that arrived has one decision and one outcome"):
    def pairs():
        d = gw.events(type="call.decision")
        o = gw.events(type="call.outcome")
        return len(d) == len(o) and len({e["call"] for e in d}) == len(d) and \
            {e["call"] for e in d} == {e["call"] for e in o}
    until("all are exported", pairs)

suite.end()
