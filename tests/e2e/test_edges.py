#!/usr/bin/env python3
"""What stands at an edge: JSON as deep as may be recorded, bodies without a
length that prove too large, secrets in the URI of a resource, requestState
and approvals."""
import json
import threading

from support import (Suite, call, check, curl, equal, has, hasnt, rpc, until)
from upstreams import Upstream

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
DEPTH = 120             # of a body: 8 less than what an event may have
LIMIT = 65536

suite = Suite("test_edges")
up = Upstream()
MCP = {"url": up.url("/mcp"), "pin": ["127.0.0.1"],
       "tools": {"nested": {"class": "read-only"},
                 "echo": {"class": "read-only"}}}
REST = {"kind": "rest", "url": up.url("/"), "pin": ["127.0.0.1"],
        "matrix": {"supervised": {"unknown": "allow"}}}
gw = suite.gateway("edges", {"m": MCP, "r": REST},
                   conf={"limits": {"body": LIMIT}})
token = gw.session()


def post(data, gateway=None, tok=None):
    g = gateway or gw
    return curl(g, g.url("m"), via="mount", token=tok or token, data=data)


def nest(n):
    return "[" * n + "]" * n


def tool(name, arguments):
    return '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' \
        f'{{"name":"{name}","arguments":{arguments}}}}}'


# --- depth -----------------------------------------------------------------------

for n, ok in ((DEPTH - 3, True), (DEPTH - 2, False)):
    with suite.case(f"arguments {n} deep are " + ("recorded" if ok else
                                                  "refused by name")):
        a = post(tool("echo", f'{{"deep":{nest(n)}}}'))
        if ok:
            check(not a.json()["result"].get("isError"), a.text)
            gw.event(type="call.decision", tool="echo", verdict="allow",
                     where=lambda e: nest(n) in json.dumps(
                         e["arguments"]).replace(" ", ""))
        else:
            has(a.text, "unparseable")
    n += 1      # its message is less deep around it
    with suite.case(f"a result {n} deep " + ("has its outcome" if ok else
                                             "is refused by name")):
        a = post(tool("nested", f'{{"depth":{n}}}'))
        if ok:
            has(a.text, nest(n))
        else:
            has(a.text, "unparseable")
            hasnt(a.text, nest(n))
        d = gw.event(type="call.decision", tool="nested", where=lambda e:
                     e.get("arguments") == {"depth": n})
        e = gw.event(type="call.outcome", call=d["call"])
        equal((e["status"], "result" in e), ("ok" if ok else "denied", ok), e)
with suite.case("the recorder refused none of these events"):
    hasnt(gw.log(), "recorder refused")

# --- URIs ---------------------------------------------------------------------------

for method, params in (
        ("resources/read", {"uri": f"notes://x?key={KEY}"}),
        ("resources/subscribe", {"uri": f"notes://{KEY}/a"}),
        ("resources/unsubscribe", {"uri": f"notes://{KEY}/a"}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri":
                                         f"notes://{KEY}/{{x}}"},
                                 "argument": {"name": "x", "value": "y"}})):
    with suite.case(f"{method}: a secret in the URI stays here"):
        n = len(up.seen)
        a = post(rpc(method, params))
        has(a.text, "URI holds a value", "redactor-limit")
        equal(len(up.seen), n, "sent")
        e = gw.event(type="call.decision", method=method)
        equal((e["verdict"], e["reason"]), ("deny", "redactor-limit"), e)
with suite.case("no event shows it; a URI without one is read"):
    hasnt(gw.events_file.read_text(), KEY)
    a = post(rpc("resources/read", {"uri": "notes://plain/1"}))
    check("result" in a.json(), a.text)
    e = gw.event(type="call.decision", method="resources/read",
                 verdict="allow")
    equal(e["tool"], "notes://plain/1", e)

# --- requestState --------------------------------------------------------------------

with suite.case("requestState is no part of what is approved"):
    gw.cli("connector", "ask-all", "m", "--reason", "test")

    def held(params):
        answer = []
        t = threading.Thread(target=lambda: answer.append(
            post(rpc("prompts/get", params))), daemon=True)
        t.start()
        i = gw.pending()[0]
        text = gw.cli("approval", "show", i).stdout
        gw.cli("approval", "deny", i, "--reason", "test")
        t.join(30)
        check(answer, "the held call hangs")
        return next(l.split()[1] for l in text.splitlines()
                    if l.split()[:1] == ["digest"])
    one = held({"name": "p", "requestState": "aaaa", "arguments": {"x": "1"}})
    two = held({"name": "p", "requestState": "bbbb", "arguments": {"x": "1"}})
    none = held({"name": "p", "arguments": {"x": "1"}})
    other = held({"name": "p", "requestState": "aaaa",
                  "arguments": {"x": "2"}})
    equal((two, none), (one, one), "digests")
    check(other != one, "the arguments are not in the digest")

# --- bodies without a length -----------------------------------------------------------

BIG = b"a line of text\n" * (4 * LIMIT // 10)


def send(g, tok, data, *args):
    return curl(g, g.url("r", rest=True) + "/echo", *args, via="mount",
                token=tok, data=data, ctype="text/plain")


def fetch(g, tok, n):
    return curl(g, g.url("r", rest=True) + f"/much?n={n}", via="mount",
                token=tok)


CHUNKED = ("-H", "Transfer-Encoding: chunked")
with suite.case("too large, with and without a length: refused alike"):
    for args in ((), CHUNKED):
        a = send(gw, token, BIG, *args)
        equal(a.status, 413, repr(a))
        has(a.text, "body-too-large")
    a = fetch(gw, token, len(BIG) * 2)
    equal(a.status, 502, repr(a))
    has(a.text, "body-too-large")
    equal(fetch(gw, token, LIMIT).status, 200, "a small one")

allow = suite.gateway("allows", {"m": MCP, "r": REST}, conf={
    "limits": {"body": LIMIT}, "exceptions": {"body-too-large": "allow"}})
token2 = allow.session()
with suite.case("body-too-large: allow: with and without a length alike"):
    for args in ((), CHUNKED):
        n = len(up.seen)
        a = send(allow, token2, BIG, *args)
        equal(a.status, 200, repr(a)[:300])
        equal(up.seen[n]["body"], BIG, "what arrived")
        e = allow.events(type="call.decision")[-1]
        has(json.dumps(e["arguments"]), "body_uninspected")
    until("their exceptions", lambda: len(allow.events(
        reason="body-too-large", verdict="allow", detail="request")) == 2)
with suite.case("body-too-large: allow: an answer without a length"):
    n = len(BIG) * 2
    a = fetch(allow, token2, n)
    equal((a.status, len(a.body)), (200, n), repr(a)[:300])
    allow.event(type="call.outcome", status="ok", where=lambda e:
                e["bytes_out"] == n)
with suite.case("body-too-large: allow: never of an MCP call"):
    for args in ((), CHUNKED):
        a = curl(allow, allow.url("m"), *args, via="mount", token=token2,
                 data=call("echo", {"x": "y" * 2 * LIMIT}))
        equal(a.status, 413, repr(a)[:300])

suite.end()
