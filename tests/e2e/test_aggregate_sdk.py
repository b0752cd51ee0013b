#!/usr/bin/env python3
"""The official TypeScript and Python clients on /mcp, the mount of all
connectors: the official demo server behind TLS, and a server of our own."""
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading

import sdkcases
from mcpserver import McpServer, tool
from sdkcases import HERE, ROOT, Driver, Everything, text
from support import SLOW, Certificates, Suite, check, equal, has, until

VENV = ROOT / "build/e2e-venv"
PINS = HERE / "sdk/requirements.txt"


def install():
    sdkcases.run(sys.executable, "-m", "venv", VENV)
    sdkcases.run(VENV / "bin/pip", "-q", "--disable-pip-version-check",
                 "install", "--no-deps", "-r", PINS)


sdkcases.installed(VENV, [PINS], install)
top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-aggregate-sdk."))
top.chmod(0o755)
suite = Suite("test_aggregate_sdk")
certs = Certificates(top / "certs")
suite.cleanups.append(lambda: shutil.rmtree(top, True))
server = Everything(suite, top, certs, "localhost")
notes = McpServer("notes", [tool("search", q="string"), tool("append"),
                            tool("rotate", "Turn a picture around",
                                 angle="number")])
gw = suite.gateway("aggregate-sdk", {
    "everything": {
        "url": f"https://localhost:{server.nginx.front}/mcp",
        "pin": ["127.0.0.1", "::1"],
        "matrix": {"supervised": {"dangerous": "deny"}},
        "tools": {"echo": {"class": "read-only"},
                  "get-sum": {"class": "moderate"},
                  "trigger-long-running-operation": {"class": "read-only"},
                  "get-tiny-image": {"class": "dangerous"}}},
    "notes": {"url": notes.url(), "pin": ["127.0.0.1"], "tools": {
        "search": {"class": "read-only"}, "append": {"class": "read-only"},
        "rotate": {"class": "read-only", "deferred": True}}}},
    conf={"hold": {"keepalive": "1s"}}, certs=certs)
LONG = "everything__trigger-long-running-operation"


def cases(name, client):
    d = Driver(suite, client, dict(os.environ), top / f"{name}.log")
    suite.cleanups.append(d.stop)

    def case(what):
        return suite.case(f"{name}: {what}")

    with case("initialize"):
        got = d.do("connect", url=f"http://127.0.0.1:{gw.mount_port}/mcp",
                   headers={"Authorization": f"Bearer {gw.session()}"})
        equal(got["server"], "portreeve")
        equal(got["version"], "2025-11-25")
    if not suite.passed:
        return

    with case("the tools of both servers; the second list from memory"):
        got = d.do("list")
        has(got, "everything__echo", "everything__get-sum", "notes__search",
            "tool_search")
        check("notes__rotate" not in got, got)
        asked = notes.count("tools/list")
        equal(d.do("list"), got)
        equal(notes.count("tools/list"), asked)
        gw.event(type="call.outcome", connector="everything",
                 method="tools/list", cached=True)

    with case("calls go to their servers"):
        equal(text(d.call("everything__echo", {"message": name})),
              "Echo: " + name)
        has(text(d.call("notes__search", {"q": "x"})), "notes:search")
        gw.event(type="call.decision", connector="everything", tool="echo",
                 arguments={"message": name}, transport="mount")

    with case("progress"):
        n = d.send("call", name=LONG, args={"duration": 0.8, "steps": 4},
                   progress=True)
        equal([d.next_event("progress", n)["progress"] for _ in range(4)],
              [1, 2, 3, 4])
        has(text(d.wait(n)["ok"]), "completed")

    with case("held, then approved"):
        n = d.send("call", name="everything__get-sum", args={"a": 2, "b": 40},
                   progress=True)
        held = gw.pending()[0]
        gw.cli("approval", "approve", held, "--reason", "fine")
        has(text(d.wait(n)["ok"]), "42")

    with case("denied by policy"):
        r = d.call("everything__get-tiny-image")
        check(r["isError"], r)
        has(text(r), "policy does not allow")

    with case("cancellation reaches the server"):
        def told():
            return len([b for b in server.bodies() if b.get("method") ==
                        "notifications/cancelled"])
        before = told()
        n = d.send("call", name=LONG, args={"duration": 60, "steps": 600},
                   progress=True)
        d.next_event("progress", n)
        d.do("cancel", of=n)
        check("error" in d.wait(n), "it was answered")
        until("the notification arrives", lambda: told() > before)

    with case("tool_search: the client hears of the new tool and calls it"):
        r = d.call("tool_search", {"query": "turn an image"})
        has(text(r), "notes__rotate")
        d.next_event("changed", 0)
        has(d.do("list"), "notes__rotate")
        has(text(d.call("notes__rotate", {"angle": 90})), "notes:rotate")

    with case("tool refresh: the client hears of it, the servers are asked"):
        asked = notes.count("tools/list")
        gw.cli("tool", "refresh", "notes")
        d.next_event("changed", 0)
        d.do("list")
        equal(notes.count("tools/list"), asked + 1)

    with case("a kill of one connector leaves the other, also in flight"):
        n = d.send("call", name=LONG, args={"duration": 60, "steps": 600},
                   progress=True, timeout=90000)
        d.next_event("progress", n)
        gw.cli("kill", "connector/everything", "--reason", "leaking")
        has(json.dumps(d.wait(n, 5)), "kill switch", "connector/everything")
        got = d.do("list")
        check([t for t in got if t.startswith("notes__")] and not
              [t for t in got if t.startswith("everything__")], got)
        has(text(d.call("notes__search", {"q": "y"})), "notes:search")
        gw.cli("revive", "connector/everything", "--reason", "mended")
        equal(text(d.call("everything__echo", {"message": "b"})), "Echo: b")

    with case("the session ends"):
        n = len(notes.deleted)
        d.do("close")
        until("the server is told", lambda: len(notes.deleted) > n)


cases("TypeScript", [sdkcases.node(), str(sdkcases.node_modules() /
                                          "client.mjs")])
cases("Python", [str(VENV / "bin/python"), str(HERE / "sdk/client.py")])
suite.end()
