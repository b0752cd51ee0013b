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

suite.end()
