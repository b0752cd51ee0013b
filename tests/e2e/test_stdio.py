#!/usr/bin/env python3
"""portreeve stdio: the official TypeScript and Python clients start it instead
of the official demo server; and what a client of the SDKs never does, with a
small server of our own that tries what it must not do."""
import contextlib
import hashlib
import json
import os
import pathlib
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import sdkcases
from sdkcases import KEY, MAIL, Driver, text
from support import (BIN, ROOT, SLOW, Failed, Suite, call, check, descendants,
                     equal, has, hasnt, rpc, until)

NODE = sdkcases.node()
NODE_DIR = sdkcases.NODE_DIR
VENV = ROOT / "build/e2e-venv"
SMALL = sdkcases.HERE / "sdk/stdioserver.py"
PYTHON = os.path.realpath(sys.executable)
EVERYTHING = [NODE, str(NODE_DIR / "node_modules/@modelcontextprotocol/"
                        "server-everything/dist/index.js"), "stdio"]
PORTREEVE = str(BIN / "portreeve")


def install():
    sdkcases.run(sys.executable, "-m", "venv", VENV)
    sdkcases.run(VENV / "bin/pip", "-q", "--disable-pip-version-check",
                 "install", "--no-deps", "-r",
                 sdkcases.HERE / "sdk/requirements.txt")


sdkcases.installed(VENV, [sdkcases.HERE / "sdk/requirements.txt"], install)


def digest(path):
    return "sha256:" + hashlib.sha256(
        pathlib.Path(path).read_bytes()).hexdigest()


def safe(*tools, klass="read-only"):
    return {t: {"class": klass} for t in tools}


class Lines:
    """A client that writes and reads lines itself."""

    def __init__(self, gw, name, cmd, token, folder, env=None):
        e = {**gw.env, "PORTREEVE_STDIO": str(gw.stdio), **(env or {})}
        if token:
            e["PORTREEVE_TOKEN"] = token
        self.log = folder / f"{name}.stderr"
        self.proc = subprocess.Popen(
            [PORTREEVE, "stdio", name, "--", *cmd], cwd=folder, env=e,
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=open(self.log, "ab"))
        self.got = queue.Queue()
        self.n = 0
        self.others = []        # came while an answer was waited for
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.proc.stdout:
            self.got.put(json.loads(line))

    def raw(self, line):
        self.proc.stdin.write(line + "\n")
        self.proc.stdin.flush()

    def next(self, timeout=20):
        try:
            return self.got.get(timeout=timeout * SLOW)
        except queue.Empty:
            raise Failed("no line came; stderr: " + self.log.read_text())

    def send(self, m):
        self.raw(json.dumps(m))
        return m.get("id")

    def answer(self, id, timeout=20):
        for m in [*self.others]:
            if m.get("id") == id and "method" not in m:
                self.others.remove(m)
                return m
        while True:
            m = self.next(timeout)
            if m.get("id") == id and "method" not in m:
                return m
            self.others.append(m)

    def tool(self, name, timeout=20, **args):
        self.n += 1
        id = f"t{self.n}"
        self.send(call(name, args, id))
        return self.answer(id, timeout)

    def ok(self, name, **args):
        r = self.tool(name, **args)
        if "result" not in r or r["result"].get("isError"):
            raise Failed(f"{name}: {r}")
        return text(r["result"])

    def hello(self):
        self.send(rpc("initialize", {"protocolVersion": "2025-11-25",
                                     "capabilities": {"roots": {}},
                                     "clientInfo": {"name": "lines",
                                                    "version": "1"}}, "i"))
        r = self.answer("i")
        if "result" in r:
            self.send(rpc("notifications/initialized", id=None))
        return r

    def server(self):
        """The server's process."""
        return until("the server runs", lambda: list(
            descendants(self.proc.pid)))[0]

    def end(self, timeout=10):
        self.proc.stdin.close()
        return self.proc.wait(timeout * SLOW)

    def stop(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


def sdk(suite, gw, top, which, command):
    """The cases of one SDK's client."""
    folder = top / f"work-{which}"
    folder.mkdir()
    d = Driver(suite, command, dict(os.environ), top / f"client-{which}.log")
    suite.cleanups.append(d.stop)
    token = gw.session()

    def case(name):
        return suite.case(f"{which}: {name}")

    with case("initialize"):
        got = d.do("connect", stdio={
            "command": PORTREEVE, "cwd": str(folder),
            "args": ["stdio", "everything", "--", *EVERYTHING],
            "env": {"PATH": os.environ["PATH"], "PORTREEVE_TOKEN": token,
                    "PORTREEVE_STDIO": str(gw.stdio),
                    "OWNER_MAIL": MAIL, "AWS_ACCESS_KEY_ID": KEY,
                    "ASAN_OPTIONS": os.environ["ASAN_OPTIONS"]}})
        has(got["server"], "everything")
    if not suite.passed:
        return

    with case("tools/list"):
        has(d.do("list"), "echo", "get-sum")
        gw.event(type="tool.seen", connector="everything")

    with case("a call"):
        equal(text(d.call("echo", {"message": "hello"})), "Echo: hello",
              "result")
        e = gw.event(type="call.decision", tool="echo", transport="stdio",
                     arguments={"message": "hello"})
        equal((e["user"], e["agent"], e["verdict"], e["target"]),
              ("alice", "coder", "allow", "stdio:everything"), "decision")
        has(e["source"], "uid ")
        gw.event(type="call.outcome", call=e["call"], status="ok")

    with case("progress comes one by one"):
        n = d.send("call", name="trigger-long-running-operation",
                   args={"duration": 0.8, "steps": 4}, progress=True)
        # The TypeScript client forgets whom a progress is for when it reads
        # the result in one piece with it; the server sends the last so.
        times = [d.next_event("progress", n) for _ in range(3)]
        equal([t["progress"] for t in times], [1, 2, 3], "progress")
        has(text(d.wait(n)["ok"]), "completed")
        check(times[2]["at"] - times[0]["at"] > 0.2, "all at once")

    with case("messages of the server on its own"):
        d.call("toggle-simulated-logging")
        has(d.next_event("log", 0)["text"], "level")
        d.call("toggle-simulated-logging")

    with case("held, then approved"):
        n = d.send("call", name="get-sum", args={"a": 2, "b": 40},
                   progress=True)
        held = gw.pending()[0]
        has(d.next_event("progress", n)["message"], "approval")
        has(gw.cli("approval", "show", held).stdout, "get-sum", "stdio")
        gw.cli("approval", "approve", held, "--reason", "fine")
        has(text(d.wait(n)["ok"]), "42")

    with case("held, then edited"):
        n = d.send("call", name="get-sum", args={"a": 1, "b": 1})
        gw.cli("approval", "edit", gw.pending()[0], "--arguments",
               '{\n "a": 100,\n "b": 11\n}', "--reason", "smaller")
        has(text(d.wait(n)["ok"]), "111", "changed the arguments")

    with case("held, then denied"):
        n = d.send("call", name="get-sum", args={"a": 3, "b": 4})
        gw.cli("approval", "deny", gw.pending()[0], "--reason", "not today")
        r = d.wait(n)["ok"]
        check(r["isError"], f"no error: {r}")
        has(text(r), "denied", "not today", "Event: ")

    with case("denied by policy"):
        r = d.call("get-tiny-image")
        check(r["isError"], f"no error: {r}")
        has(text(r), "policy does not allow", "Event: ")

    with case("what the client sends is redacted"):
        r = d.call("echo", {"message": "write to bob@example.com"})
        has(text(r), "redacted:email")
        hasnt(gw.events_file.read_text(), "bob@example.com")

    with case("what the server answers is redacted; no credential of a cloud "
              "and no token reach it"):
        out = text(d.call("get-env"))
        has(out, "OWNER_MAIL", "redacted:email")
        hasnt(out, MAIL, KEY, "AWS_", "PORTREEVE", token)

    with case("killed in flight"):
        n = d.send("call", name="trigger-long-running-operation",
                   args={"duration": 60, "steps": 600}, progress=True,
                   timeout=90000)
        d.next_event("progress", n)
        before = time.monotonic()
        gw.cli("kill", "connector/everything", "--reason", "leaking")
        a = d.wait(n, 5)
        check(time.monotonic() - before < 2 * SLOW, "late")
        has(json.dumps(a), "kill switch", "connector/everything", "leaking")
        r = d.call("echo", {"message": "still there?"})
        has(text(r), "disabled by the kill switch", "leaking")
        gw.cli("revive", "connector/everything", "--reason", "mended")
        equal(text(d.call("echo", {"message": "back"})), "Echo: back",
              "result")

    with case("the session ends, and the server with it"):
        left = [p for p, (_, w) in descendants(d.proc.pid).items()
                if EVERYTHING[1] in w]
        check(left, "no server runs")
        d.do("close")
        until("they end", lambda: not any(
            os.path.exists(f"/proc/{p}/exe") for p in left))


def small(suite, gw, top):
    """What the SDKs' clients never do."""
    cmd = [PYTHON, str(SMALL), "one", "two words"]
    folder = top / "work-small"
    folder.mkdir()
    token = gw.session()
    outside = top / "outside.txt"
    outside.write_text("not for a server")

    def begin(name="small", command=cmd, tok=token, where=folder, env=None):
        c = Lines(gw, name, command, tok, where, env)
        suite.cleanups.append(c.stop)
        return c

    c = begin(env={"NOTES_LANG": "de", "GOOGLE_APPLICATION_CREDENTIALS": "x"})
    with suite.case("a server of our own begins"):
        equal(c.hello()["result"]["serverInfo"]["name"], "small", "name")
        has(c.ok("who"), '"two words"', str(folder))

    with suite.case("a request of the server reaches the client and is "
                    "answered"):
        m = (c.others or [c.next()])[0]
        equal(m["method"], "roots/list", "method")
        c.send({"jsonrpc": "2.0", "id": m["id"], "result": {"roots": []}})
        until("the answer arrives", lambda: (folder / "answer").exists())
        gw.event(type="call.decision", connector="small", method="response")

    with suite.case("tools/list"):
        c.send(rpc("tools/list", id="l"))
        has(json.dumps(c.answer("l")), '"wait"')

    with suite.case("its environment is a list of names"):
        e = json.loads(c.ok("env"))
        equal(e.get("NOTES_LANG"), "de", "what the connector names")
        hasnt(json.dumps(e), "GOOGLE", "PORTREEVE", token)

    with suite.case("its token cannot be read from the shim's process"):
        hasnt(pathlib.Path(f"/proc/{c.proc.pid}/environ").read_text(), token)
        hasnt(c.tool("read", path=f"/proc/{c.proc.pid}/environ")["result"]
              ["content"][0]["text"], token)

    with suite.case("files: its folder and what is allowed, nothing else"):
        c.ok("write", path=str(folder / "own"), text="x")
        equal(c.ok("read", path=str(folder / "own")), "x", "own file")
        c.ok("write", path=str(top / "shared/it"), text="y")
        c.ok("read", path="/etc/hosts")
        for tool, args in (("read", {"path": str(outside)}),
                           ("write", {"path": str(top / "new"), "text": "x"}),
                           ("write", {"path": "/etc/portreeve-test",
                                      "text": "x"}),
                           ("write", {"path": str(SMALL), "text": "x"})):
            r = c.tool(tool, **args)["result"]
            check(r["isError"], f"{tool} {args}: {r}")
            has(text(r), "PermissionError")

    with suite.case("network: off reaches nobody"), \
            socket.create_server(("127.0.0.1", 0)) as s:
        for host, port in ((("127.0.0.1"), s.getsockname()[1]),
                           ("169.254.169.254", 80)):
            r = c.tool("reach", host=host, port=port)["result"]
            check(r["isError"], f"{host}: {r}")
            has(text(r), "Error")

    with suite.case("network: host reaches"), \
            socket.create_server(("127.0.0.1", 0)) as s:
        n = begin("small-net")
        n.hello()
        equal(n.ok("reach", host="127.0.0.1", port=s.getsockname()[1]),
              "connected", "result")
        n.end()

    with suite.case("what is no message on its standard output is dropped, "
                    "and said"):
        equal(c.ok("noise", bytes=300), "noisy", "result")
        e = gw.event(type="stdio.server", phase="noise")
        has(e["detail"], "300 bytes")
        has(c.log.read_text(), "to standard error")
        hasnt(gw.events_file.read_text(), "xxxxxxxx")

    with suite.case("a line too long for the gate is an error, not a wait"):
        r = c.tool("long", bytes=5 << 20)
        has(json.dumps(r), "upstream")
        equal(c.ok("wait", seconds=0), "waited", "after it")

    with suite.case("lines that are no message are refused"):
        for line, word in (("{nonsense", "parsed"), ("[]", "batch"),
                           ('{"jsonrpc":"1.0","id":1,"method":"x"}',
                            "parsed")):
            c.raw(line)
            has(json.dumps(c.answer(None)), "error", word)
        c.raw('{"jsonrpc":"2.0","id":77,"method":"' + "m" * (2 << 20) + '"}')
        has(json.dumps(c.answer(None)), "longer")
        equal(c.ok("wait", seconds=0), "waited", "after it")

    with suite.case("calls side by side, answered as they come"):
        begin_at = time.monotonic()
        for i in range(20):
            c.send(call("wait", {"seconds": 0.3}, 1000 + i))
        got = {c.next()["id"] for _ in range(20)}
        equal(got, set(range(1000, 1020)), "answers")
        check(time.monotonic() - begin_at < 3 * SLOW, "one after another")

    with suite.case("progress and the result, each in its order"):
        for i in range(5):
            c.send(call("steps", {"n": 40}, f"p{i}", progressToken=f"tok{i}"))
        seen = {f"tok{i}": [] for i in range(5)}
        while len(seen) > 0:
            m = c.next()
            if "method" in m:
                p = m["params"]
                seen[p["progressToken"]].append(p["progress"])
            else:
                equal(seen.pop("tok" + m["id"][1:]), list(range(40)),
                      "before the result")

    with suite.case("a call that is killed is cancelled at the server"):
        c.send(call("wait", {"seconds": 30}, "k1"))
        gw.event(type="call.decision", tool="wait",
                 arguments={"seconds": 30})
        gw.event(type="tool.seen", tool="wait")
        gw.cli("kill", "tool/small/wait", "--reason", "enough")
        has(json.dumps(c.answer("k1", 5)), "kill switch", "enough")
        until("it is told", lambda: (folder / "cancelled").exists() and
              "k1" in (folder / "cancelled").read_text())
        gw.cli("revive", "tool/small/wait", "--reason", "fine")

    with suite.case("the server crashes: its calls get an error, the next one "
                    "its successor"):
        first = json.loads(c.ok("who"))["pid"]
        c.send(call("wait", {"seconds": 30}, "x1"))
        gw.event(type="call.decision", tool="wait", where=lambda e:
                 e["arguments"] == {"seconds": 30} and
                 e["verdict"] == "allow")
        r = c.tool("crash")
        has(json.dumps(r) + json.dumps(c.answer("x1", 5)), "upstream")
        has(gw.event(type="stdio.server", phase="ended")["detail"],
            "exit status 3")
        got = until("its successor answers", lambda: (lambda r: "result" in r
                    and not r["result"].get("isError") and r)(c.tool("who")))
        who = json.loads(text(got["result"]))
        check(who["pid"] != first, "the same process")
        equal(who["hello"][:1], ["initialize"], "it was initialised again")

    with suite.case("kill -9 of the gateway: calls are refused, then pass "
                    "again"):
        gw.kill_all()
        r = c.tool("who")
        has(json.dumps(r["error"]), "gateway")
        has(json.dumps(c.tool("wait", seconds=0)["error"]), "gateway")
        gw.start()
        until("calls pass again", lambda: "result" in c.tool("who"))

    with suite.case("a reload: the pin is looked at again"):
        conn = {**gw.small, "digest": "sha256:" + "0" * 64}
        gw.connector("small", conn)
        gw.proc.send_signal(signal.SIGHUP)
        r = until("it is refused", lambda: (lambda r: r if "error" in r or
                  r["result"].get("isError") else None)(c.tool("who")))
        r = until("with the reason", lambda: (lambda r: r if "pinned" in
                  json.dumps(r) else None)(c.tool("who")))
        gw.connector("small", gw.small)
        gw.proc.send_signal(signal.SIGHUP)
        until("calls pass again", lambda: "result" in c.tool("who"))

    with suite.case("its end: the agent's end of file ends it, and what it "
                    "started"):
        one, two = c.server(), int(c.ok("spawn"))
        equal(c.end(), 0, "exit")
        until("both end", lambda: not any(
            os.path.exists(f"/proc/{p}/exe") for p in (one, two)))

    with suite.case("the shim's death is the server's"):
        d = begin()
        d.hello()
        pid = d.server()
        d.proc.kill()
        until("it ends", lambda: not os.path.exists(f"/proc/{pid}/exe"))

    with suite.case("another executable, another command line: refused, and "
                    "said"):
        copy = top / "python"
        shutil.copy(PYTHON, copy)
        with open(copy, "ab") as f:
            f.write(b"\0")
        for name, command, word in (
                ("small", [*cmd, "three"], "command line"),
                ("small-copy", [str(copy), str(SMALL)], "executable")):
            d = begin(name, command)
            has(json.dumps(d.hello()["error"]), "pinned", word)
            gw.event(type="connection.refused", connector=name,
                     reason="stdio-pin", transport="stdio")
            check(not descendants(d.proc.pid), "it was started")
            equal(d.end(), 0, "exit")

    with suite.case("no token, a wrong token"):
        d = begin(tok=None)
        has(json.dumps(d.hello()["error"]), "portreeve session open")
        d.end()
        d = begin(tok="prt_" + "0" * 43)
        has(json.dumps(d.hello()["error"]), "token is unknown")
        gw.event(type="auth.failed", transport="stdio")
        d.end()

    with suite.case("the home folder is no place to run in"):
        d = begin(env={"HOME": str(folder)})
        has(json.dumps(d.hello()["error"]), "directory:")
        d.end()

    with suite.case("--pin prints what check takes"):
        out = subprocess.run([PORTREEVE, "stdio", "--pin", "pinned", "--",
                              *cmd], capture_output=True, text=True).stdout
        has(out, "kind: stdio", digest(PYTHON), '"two words"')
        f = gw.dir / "connectors.d/pinned.yaml"
        f.write_text(out + "agents: [coder]\n")
        gw.cli("check", gw.env["PORTREEVE_CONFIG"])
        f.unlink()


def main():
    top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-stdio."))
    top.chmod(0o755)
    (top / "shared").mkdir()
    suite = Suite("stdio")
    suite.cleanups.append(lambda: shutil.rmtree(top, True))
    # Where this Python and its library lie, when not in the system's folders.
    python = sorted({sys.base_prefix, str(SMALL.parent)})
    small_connector = {
        "kind": "stdio", "command": [PYTHON, str(SMALL), "one", "two words"],
        "digest": digest(PYTHON), "read": python,
        "allow": [str(top / "shared")], "env": ["NOTES_LANG"],
        "server_requests": {"roots": "allow"},
        "tools": safe("read", "write", "reach", "env", "crash", "wait",
                      "noise", "long", "secret", "who", "spawn", "steps")}
    gw = suite.gateway("stdio", {
        "everything": {
            "kind": "stdio", "command": EVERYTHING, "digest": digest(NODE),
            "read": [str(NODE_DIR)], "env": ["OWNER_MAIL"],
            "matrix": {"supervised": {"dangerous": "deny"}},
            "tools": {**safe("echo", "get-env", "toggle-simulated-logging",
                             "trigger-long-running-operation"),
                      **safe("get-sum", klass="moderate"),
                      **safe("get-tiny-image", klass="dangerous")}},
        "small": small_connector,
        "small-net": {**small_connector, "network": "host"},
        "small-copy": {**small_connector, "command": [
            str(top / "python"), str(SMALL)]}},
        conf={"hold": {"keepalive": "1s"}})
    gw.small = small_connector
    with contextlib.chdir(top) if hasattr(contextlib, "chdir") else \
            contextlib.nullcontext():
        small(suite, gw, top)
        sdk(suite, gw, top, "typescript", [NODE, str(
            NODE_DIR / "client.mjs")])
        sdk(suite, gw, top, "python", [str(VENV / "bin/python"), str(
            sdkcases.HERE / "sdk/client.py")])
    with suite.case("the ledger verifies"):
        out = gw.cli("audit", "verify", ok=False)
        equal(out.returncode, 3, out.stdout + out.stderr)
    suite.end()


main()
