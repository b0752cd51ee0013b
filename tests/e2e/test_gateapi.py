#!/usr/bin/env python3
"""POST /v1/gate: an agent's built-in tools, which no proxy sees. A harness of
our own in raw HTTP, the example clients of docs/guides/builtin-tools.md as
they are printed there, and a proxy that is killed under an open call."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading

from support import (ROOT, SLOW, Failed, Suite, check, equal, has, hasnt, raw,
                     until)

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
MAIL = "jane.doe@example.org"
GUIDE = ROOT / "docs/guides/builtin-tools.md"
CONTEXT = {"device_class": "managed", "environment": "test"}

suite = Suite("gateapi")
builtin = {
    "kind": "builtin", "owner": "tests", "purpose": "what a harness can do",
    "agents": ["coder"], "risk": "high",
    "tools": {"shell": {"class": "moderate"},
              "read_file": {"class": "read-only"},
              "browse": {"class": "read-only", "approval": "ask"},
              "format_disk": {"class": "dangerous", "enabled": False}},
    "context": {"device_class": ["managed", "unmanaged"],
                "environment": ["test", "production"]},
    "raise": [{"device_class": "unmanaged", "to": "dangerous"},
              {"environment": "production", "tool": "shell",
               "to": "dangerous"}]}


class Api:
    """One connection to the gate API."""

    def __init__(self, gw, token):
        self.gw, self.token = gw, token
        self.c = http.client.HTTPConnection("127.0.0.1", gw.mount_port,
                                            timeout=60 * SLOW)

    def send(self, method, path, body=None, **head):
        data = body if body is None or isinstance(body, (str, bytes)) \
            else json.dumps(body)
        self.c.request(method, path, data, {
            **({"Authorization": "Bearer " + self.token} if self.token
               else {}),
            **({"Content-Type": "application/json"} if data is not None
               else {}), **{k.replace("_", "-"): v for k, v in head.items()}})
        r = self.c.getresponse()
        text = r.read()
        return r.status, json.loads(text) if text else None

    def ask(self, tool, arguments=None, wait=0, context=CONTEXT,
            connector="laptop"):
        return self.send("POST", "/v1/gate", {
            "connector": connector, "tool": tool, "wait": wait,
            "arguments": arguments or {},
            **({"context": context} if context is not None else {})})

    def poll(self, call, wait=30):
        return self.send("GET", f"/v1/gate/{call}?wait={wait}")

    def report(self, call, status="completed", **more):
        return self.send("POST", f"/v1/gate/{call}/outcome",
                         {"status": status, **more})


def word(answer):
    """The reason of a refusal, in either of its forms."""
    return answer.get("error", answer).get("reason")


def refused(got, status, reason):
    equal((got[0], word(got[1])), (status, reason), str(got[1])[:300])
    event = got[1].get("error", got[1])["event"]
    e = gw.event(id=event)
    equal(e["reason"], reason, "the event")
    return e


def outcome(call, status):
    e = gw.event(type="call.outcome", call=call)
    equal(e["status"], status, f"the outcome of {call}: {e}")
    return e


gw = suite.gateway("gateapi", {
    "laptop": builtin,
    "plain": {"kind": "builtin", "agents": ["*"],
              "tools": {"read_file": {"class": "read-only"}}},
    "watched": {"kind": "builtin", "agents": ["*"], "state": "observe",
                "tools": {"shell": {"class": "dangerous"}}},
    "web": {"url": "http://127.0.0.1:9/mcp", "agents": ["*"]}},
    conf={"limits": {"report_time": "20s", "body": 65536},
          "matrix": {"supervised": {"moderate": "allow"}}})
token = gw.session()
api = Api(gw, token)

with suite.case("allow, then the outcome; audit show has both"):
    status, got = api.ask("read_file", {"path": "a.txt"})
    equal((status, got["decision"], got["class"]), (200, "allow",
                                                    "read-only"), str(got))
    equal(got["arguments"], {"path": "a.txt"})
    check(not got["redacted"] and not got["edited"])
    e = gw.event(type="call.decision", call=got["call"])
    equal((e["id"], e["verdict"], e["tool"], e["operation"], e["transport"],
           e["target"], e["device_class"], e["environment"]),
          (got["event"], "allow", "read_file", "call", "mount",
           "builtin:laptop", "managed", "test"), str(e))
    equal(gw.events(type="call.outcome", call=got["call"]), [], "yet")
    status, said = api.report(got["call"], result={"text": "hello"})
    equal((status, said), (200, {"call": got["call"], "outcome": "ok",
                                 "result": {"text": "hello"}}))
    equal(outcome(got["call"], "ok")["result"], {"text": "hello"})
    show = gw.cli("audit", "show", got["call"]).stdout
    has(show, "read_file", "laptop", "allow", "ok")

with suite.case("a second outcome, and a second fetch, are refused"):
    status, got = api.ask("read_file", {"path": "b"})
    refused(api.poll(got["call"]), 409, "call-state")
    equal(api.report(got["call"], "failed")[1]["outcome"], "error")
    refused(api.report(got["call"]), 404, "no-such-call")
    refused(api.poll(got["call"]), 404, "no-such-call")
    outcome(got["call"], "error")
    equal(len(gw.events(type="call.outcome", call=got["call"])), 1)

with suite.case("arguments, target and result are redacted"):
    status, got = api.ask("shell", {"command": f"mail {MAIL} <<< {KEY}"},
                          context={**CONTEXT, "target": f"host of {MAIL}"})
    equal((status, got["decision"], got["redacted"]), (200, "allow", True))
    hasnt(json.dumps(got), KEY, MAIL)
    has(got["arguments"]["command"], "mail ")
    e = gw.event(type="call.decision", call=got["call"])
    equal(e["arguments"], got["arguments"], "recorded as given out")
    has(e["target"], "host of ")
    check(any("email" in r["rule"] for r in e["redactions"]), str(e))
    status, said = api.report(got["call"], result=[f"{KEY} is the key",
                                                   {"to": MAIL}])
    equal(status, 200, str(said))
    hasnt(json.dumps(said), KEY, MAIL)
    o = outcome(got["call"], "ok")
    equal(o["result"], said["result"], "recorded as given back")
    for line in gw.events():
        hasnt(json.dumps(line), KEY, MAIL)

gw.close()
suite.end()
