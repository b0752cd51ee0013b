#!/usr/bin/env python3
"""What connectors can be besides one MCP server: imported from OpenAPI,
GraphQL; and what happens when their upstream goes away."""
import hashlib
import os
import signal
import subprocess
from urllib.parse import quote

from support import (SLOW, Suite, call, check, curl, equal, has, hasnt, json, until)
from upstreams import Upstream

suite = Suite("test_connectors")
plain = Upstream()
PIN = {"pin": ["127.0.0.1", "::1"]}
leaving = Upstream()
gw = suite.gateway("connectors", {
    "leaving": {"url": leaving.url(), **PIN, "agents": ["coder"],
                "tools": {"echo": {"class": "read-only"},
                          "ask": {"class": "dangerous"}}},
    "plain": {"url": plain.url(), **PIN,
              "tools": {"echo": {"class": "read-only"}}},
    "graph": {"kind": "rest", "url": plain.url("/"), **PIN,
              "graphql": "/graphql", "tools": {
                  "mutation.wipe": {"class": "dangerous"},
                  "mutation.note": {"class": "moderate", "approval": "auto"},
                  "query.hidden": {"enabled": False},
                  "subscription.ticks": {"class": "read-only"},
                  "persisted.aa11": {"class": "read-only"}},
              "operations": [{"name": "ping", "method": "GET",
                              "path": "/ping", "class": "read-only"}]}})
token = gw.session()
conf = gw.env["PORTREEVE_CONFIG"]


def reload():
    def loaded():
        return len(gw.events(type="config.loaded", role="gateway"))
    n = loaded()
    os.kill(gw.proc.pid, signal.SIGHUP)
    until("the reload", lambda: loaded() > n)


# --- OpenAPI -------------------------------------------------------------------------

API = {"openapi": "3.0.3", "info": {"title": "Shop", "version": "1"},
       "servers": [{"url": "https://shop.example/api"}],
       "paths": {"/items/{id}": {"get": {"operationId": "getItem"},
                                 "delete": {"operationId": "dropItem"}},
                 "/items/{id}/refund": {"post": {"operationId": "refund"}}}}
description = gw.dir / "shop.json"
description.write_text(json.dumps(API, indent=1))
target = gw.dir / "connectors.d/shop.yaml"

with suite.case("import openapi: prints a proposal, writes nothing"):
    p = gw.cli("connector", "import", "openapi", description)
    has(p.stdout, "approved: false", "owner: FILL-IN",
        '{ name: "getItem", method: GET, path: "/api/items/{id}", class: '
        'read-only }', '"refund", method: POST', "class: dangerous")
    check(not target.exists(), "it was written")

with suite.case("import openapi: an error names its place"):
    broken = gw.dir / "broken.yaml"
    broken.write_text("openapi: 3.0.0\ninfo: { title: x }\npaths:\n"
                      "  /a: { $ref: 'other.yaml' }\n")
    p = gw.cli("connector", "import", "openapi", broken, "--host", "h",
               ok=False)
    equal(p.returncode, 1, p.stderr)
    has(p.stderr, "broken.yaml:4:")
    p = gw.cli("connector", "import", "swagger", broken, ok=False)
    equal(p.returncode, 2, p.stderr)

with suite.case("import openapi --write: check refuses until it is filled in"):
    write = ("connector", "import", "openapi", description, "--write",
             "--host", f"http://127.0.0.1:{plain.port}")
    gw.cli(*write)
    for _ in range(3):
        p = gw.cli("check", conf, ok=False)
        check(p.returncode != 0, "accepted")
        has(p.stdout + p.stderr, "shop.yaml:", "FILL-IN")
        target.write_text(target.read_text().replace("FILL-IN", "coder", 1))
    p = gw.cli("check", conf)
    has(p.stdout + p.stderr, "shop is not approved and will not serve")
    p = gw.cli(*write, ok=False)
    equal(p.returncode, 7, "an existing file")
    hasnt(target.read_text(), "FILL-IN")

with suite.case("an imported connector serves once it is approved"):
    target.write_text(target.read_text() + "pin: [127.0.0.1]\n")
    reload()
    url = f"http://127.0.0.1:{gw.mount_port}/api/shop/items/7"
    a = curl(gw, url, via="mount", token=token)
    equal(a.status, 403, repr(a))
    target.write_text(target.read_text().replace("approved: false",
                                                 "approved: true"))
    reload()
    a = curl(gw, url, via="mount", token=token)
    equal(a.status, 200, repr(a))
    equal(a.json()["path"], "/api/items/7", "path")
    d = gw.event(type="call.decision", connector="shop", verdict="allow")
    equal((d["tool"], d["class"], d["arguments"]),
          ("getItem", "read-only", {"path": {"id": "7"}}), "decision")

# --- GraphQL --------------------------------------------------------------------------

GRAPH = f"http://127.0.0.1:{gw.mount_port}/api/graph/graphql"


def graph(document=None, **more):
    body = {**({"query": document} if document else {}), **more}
    return curl(gw, GRAPH, via="mount", token=token, data=body)


def decision(tool):
    return gw.event(type="call.decision", connector="graph", tool=tool)


with suite.case("GraphQL: a query is named by its fields and is read-only"):
    a = graph("query Q($n: Int) { me { id } x: other(n: $n) }",
              variables={"n": 1})
    equal(a.status, 200, repr(a))
    d = decision("query.me,other")
    equal((d["class"], d["verdict"], d["arguments"]["body"]["variables"]),
          ("read-only", "allow", {"n": 1}), "decision")
    a = curl(gw, GRAPH + "?query=" + quote("{ get }"), via="mount",
             token=token)
    equal(a.status, 200, repr(a))
    equal(decision("query.get")["method"], "GET", "method")
    # Not below graphql's path: an operation like any other.
    a = curl(gw, GRAPH.replace("/graphql", "/ping"), via="mount", token=token)
    equal(decision("ping")["verdict"], "allow", "ping")

with suite.case("GraphQL: the strictest field decides, aliases hide nothing"):
    a = graph("mutation { note }")
    equal(a.status, 200, repr(a))
    for document, tool, klass in (
            ("mutation { note safe: wipe }", "mutation.note,wipe",
             "dangerous"),
            ("mutation { ...F } fragment F on Mutation { me: wipe }",
             "mutation.wipe", "dangerous"),
            ("mutation { other }", "mutation.other", "moderate")):
        p = subprocess.Popen(
            ["curl", "-sS", GRAPH, "-H", f"Authorization: Bearer {token}",
             "-H", "Content-Type: application/json", "-d",
             json.dumps({"query": document}), "-o", os.devnull],
            stderr=subprocess.DEVNULL)
        held = gw.pending()[0]
        has(gw.cli("approval", "show", held).stdout, tool, klass)
        gw.cli("approval", "deny", held, "--reason", "no")
        p.wait(20 * SLOW)
        equal(decision(tool)["class"], klass, "class")

with suite.case("GraphQL: a field that is off or killed stops all of it"):
    a = graph("{ me hidden }")
    equal(a.status, 403, repr(a))
    gw.cli("kill", "tool/graph/query.secret", "--reason", "test", "--force")
    equal(graph("{ me secret }").status, 403, "killed")
    equal(graph("{ me }").status, 200, "not killed")
    gw.cli("revive", "tool/graph/query.secret", "--reason", "test")
    equal(graph("{ me secret }").status, 200, "revived")

with suite.case("GraphQL: what can be read in two ways is refused"):
    two = "query A { a } mutation B { b }"
    n = len(plain.seen)
    h = hashlib.sha256(b"{ other }").hexdigest()
    for status, a in (
            (400, graph(two)), (400, graph("{ a")), (400, graph()),
            (400, graph(["{ a }"])), (400, graph("{ a }", Query="{ b }")),
            (400, graph("{ a }", documentId="x")),
            (400, graph("{ a }", extensions={"persistedQuery": {
                "sha256Hash": h}})),
            (403, graph("subscription { more }")),
            (400, curl(gw, GRAPH + "?query={b}", "-g", via="mount",
                       token=token, data={"query": "{ a }"})),
            (400, curl(gw, GRAPH + "?query={a}&query={b}", "-g", via="mount",
                       token=token)),
            (405, curl(gw, GRAPH + "?query=" + quote("mutation { a }"),
                       via="mount", token=token)),
            (415, curl(gw, GRAPH, via="mount", token=token, data="{ a }",
                       ctype="application/graphql"))):
        equal(a.status, status, repr(a))
    a = curl(gw, GRAPH, via="mount", token=token, data=[{"query": "{ a }"}])
    check(a.status >= 400, repr(a))
    equal(len(plain.seen), n, "requests that arrived")
    equal(graph(two, operationName="A").status, 200, "one by name")
    equal(graph("{ a }", extensions={"persistedQuery": {
        "version": 1, "sha256Hash": hashlib.sha256(b"{ a }").hexdigest()}})
        .status, 200, "with its own hash")
    equal(graph("subscription { ticks }").status, 200, "a listed subscription")

with suite.case("GraphQL: a persisted query is an unknown tool"):
    equal(graph(extensions={"persistedQuery": {"sha256Hash": "aa11"}}).status,
          200, "one that the file lists")
    p = subprocess.Popen(
        ["curl", "-sS", GRAPH, "-H", f"Authorization: Bearer {token}", "-H",
         "Content-Type: application/json", "-d",
         json.dumps({"extensions": {"persistedQuery": {"sha256Hash": "bb"}}}),
         "-o", os.devnull], stderr=subprocess.DEVNULL)
    gw.cli("approval", "deny", gw.pending()[0], "--reason", "no")
    p.wait(20 * SLOW)
    equal(decision("persisted.bb")["class"], "unknown", "class")

with suite.case("GraphQL: a secret leaves the document, its meaning stays"):
    key = "ghp_" + "016C7C0a9B1d3E5f7G9h1J3k5L7m9N1p3Q5r"
    a = graph('mutation { note(text: "%s") }' % key)
    equal(a.status, 200, repr(a))
    sent = json.loads(plain.seen[-1]["body"])["query"]
    hasnt(sent, key)
    has(sent, 'mutation { note(text: "[redacted:')

with suite.case("GraphQL: check refuses a mutation that is read-only"):
    f = gw.dir / "connectors.d/graph.yaml"
    text = f.read_text()
    f.write_text(text.replace('"dangerous"', '"read-only"'))
    p = gw.cli("check", conf, ok=False)
    f.write_text(text)
    check(p.returncode != 0, "accepted")
    has(p.stdout + p.stderr, "mutation.wipe", "at least moderate")

# --- an upstream that goes away -----------------------------------------------------------

def leave(tool="echo", token=token, id=1):
    return curl(gw, gw.url("leaving"), via="mount", token=token,
                data=call(tool, id=id))


def shown():
    ls = json.loads(gw.cli("connector", "ls", "--json").stdout)
    return [c["away"] for c in ls["connectors"]
            if c["connector"] == "leaving"][0]


with suite.case("three failed connections in a row: away, refused at once"):
    port = leaving.port
    leaving.stop()
    for _ in range(3):
        has(leave().text, "upstream-unreachable")
    e = gw.event(type="upstream.away", connector="leaving")
    equal((e["host"], e["port"], e["reason"]),
          ("localhost", port, "upstream-away"), "event")
    a = leave()
    has(a.text, "upstream-away", "tried again in", "later may help")
    d = gw.event(type="call.decision", connector="leaving",
                 reason="upstream-away")
    equal(d["verdict"], "deny", "verdict")
    a = curl(gw, gw.url("leaving"), via="mount", token=token)
    equal(a.status, 503, repr(a))
    has(a.head.lower(), "retry-after: ")
    # Nobody is asked about a call that cannot run, nobody else learns of it.
    has(leave("ask").text, "upstream-away")
    equal(gw.cli("approval", "ls").stdout.count("leaving"), 0, "held calls")
    has(leave(token=gw.session(agent="other")).text, "not-on-access-list")

with suite.case("connector ls shows it, also after a restart of the broker"):
    has(gw.cli("connector", "ls").stdout, "away since")
    equal([(x["host"], x["port"]) for x in shown()], [("localhost", port)],
          "away")
    os.kill(gw.roles()["broker"], signal.SIGKILL)
    until("the broker to be back", lambda: gw.cli(
        "connector", "ls", "--json", ok=False).returncode == 0 and shown())
    has(leave().text, "upstream-away")

with suite.case("it is tried, and calls go on when it answers again"):
    again = Upstream(port=port)
    e = gw.event(type="upstream.back", connector="leaving",
                 timeout=60)
    check(e["duration_us"] > 0, "duration")
    a = until("a call", lambda: (lambda a: a if "away" not in a.text else
                                 None)(leave()))
    equal(a.status, 200, repr(a))
    check(all(s["method"] == "POST" for s in again.seen), "a probe is no call")
    equal(shown(), [], "connector ls")
    equal(len(gw.events(type="finding", rule="fd5de3e2-5e00-4797-8bc2-"
                        "1822b439d95b")), 0, "findings of repeated denials")

suite.end()
