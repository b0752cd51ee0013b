#!/usr/bin/env python3
"""release only: a sanitizer needs system calls that the roles promise away.

Forbidden operations, tried inside each real role after its promise; what /proc
says of the roles; kill -9 of every role and daemon while calls run; the kill
switch across kill -9."""
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time

from support import (BIN, ROOT, ROOTED, Failed, Gateway, Suite,
                     call, check, curl, descendants, equal, has, until)
from upstreams import Upstream

ROLES = ("proxy", "keeper", "broker", "recorder", "reader", "detector",
         "exporter")
DAEMONS = ("portreeve-gateway", "portreeve-monitor", "portreeve-export")
TOOLS = {"echo": {"class": "read-only"}, "send": {"class": "moderate"}}

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-roles."))
top.chmod(0o755)
suite = Suite("test_roles")
suite.cleanups.append(lambda: shutil.rmtree(top, True))
# The roles are the same with few rules, and start sooner.
for d, f in (("redaction", "50-personal.yaml"), ("injection", "10-text.yaml"),
             ("detection", "kill-switch-pulled.yml")):
    (top / "rules" / d).mkdir(parents=True)
    shutil.copy(ROOT / "rules" / d / f, top / "rules" / d)
CONF = {"rules": str(top / "rules"), "limits": {"advice_time": "2s"}}
up = Upstream()
CONNECTORS = {n: {"url": up.url(f"/mcp-{n}"), "pin": ["127.0.0.1", "::1"],
                  "tools": TOOLS} for n in ("one", "two")}

# --- forbidden operations ------------------------------------------------------

g = Gateway("probe", CONNECTORS, conf=CONF)
suite.gateways.append(g)
token = g.session()
curl(g, g.url("one"), via="mount", token=token, data=call("echo"))
g.cli("credential", "set", "some-secret", input="a-secret-value-1234\n")
S = g.state
FILES = {"ledger": S / "ledger/ledger.db", "vault": S / "keeper/keeper.sealed",
         "vault-key": S / "keeper/keeper.key", "state": S / "broker/state.db",
         "config": g.env["PORTREEVE_CONFIG"], "passwd": "/etc/passwd"}

with suite.case("every role runs"):
    up_now = g.roles()
    for r in ROLES + DAEMONS:
        check(r in up_now, f"no {r} in {sorted(up_now)}")

for role in ROLES:
    with suite.case(f"/proc says what the {role} has promised"):
        text = pathlib.Path(f"/proc/{up_now[role]}/status").read_text()
        st = dict(l.split(":\t", 1) for l in text.splitlines() if ":\t" in l)
        equal((st["Seccomp"], st["NoNewPrivs"]), ("2", "1"), "filter")
        equal(int(st["CapEff"], 16), 0, "capabilities")
        equal(int(st["CapPrm"], 16), 0, "permitted capabilities")
        if ROOTED:
            check("0" not in st["Uid"].split(), f"Uid {st['Uid']}")
            check("0" not in st["Gid"].split(), f"Gid {st['Gid']}")
            equal(st.get("Groups", "").strip(), "", "groups")
        equal(st["Threads"], "1", "threads")

with suite.case("the daemons' parents have a filter too"):
    for d in DAEMONS:
        text = pathlib.Path(f"/proc/{up_now[d]}/status").read_text()
        has(text, "Seccomp:\t2", "NoNewPrivs:\t1")
g.stop()
for f in FILES.values():
    check(pathlib.Path(f).exists(), f"{f} is not there to be tried")


def probe(role, op, arg=""):
    """What became of it: 'signal 31', 'errno N', or Failed."""
    g.starts += 1
    log = g.dir / f"probe{g.starts}.log"
    with open(log, "wb") as f:
        p = subprocess.Popen([str(BIN / "portreeve"), "serve", "-c",
                              g.env["PORTREEVE_CONFIG"]], stdout=f, stderr=f,
                             env={**g.env, "PORTREEVE_PROBE":
                                  f"{role}:{op}:{arg}"},
                             stdin=subprocess.DEVNULL)

    def verdict():
        t = log.read_text(errors="replace")
        if (m := re.search(rf"probe {op} .*: result (\w+) errno (\d+)", t)):
            return m[0] if m[1] == "ALLOWED" else f"errno {m[2]}"
        if f"probe {op} " in t and re.search(rf"{role} 0 ended: signal 31", t):
            return "signal 31"
        if p.poll() is not None and "ended" not in t:
            raise Failed(f"it ended without a verdict:\n{t}")
        return None
    try:
        return until("a verdict of the probe", verdict, 15)
    except Failed as e:
        raise Failed(f"{e}\n{log.read_text(errors='replace')}")
    finally:
        below = descendants(p.pid)
        p.kill()
        p.wait()
        until("all of it ends", lambda: not any(
            pathlib.Path(f"/proc/{q}").exists() and "portreeve" in
            pathlib.Path(f"/proc/{q}/cmdline").read_text(errors="replace")
            for q in below), 10)


EVERY = [("fork", ""), ("exec", "/bin/true"), ("ptrace", ""), ("wx", ""),
         ("unix", ""), ("open", "passwd"), ("open", "config"),
         ("create", S / "export/made-by-probe")]
TRIED = {
    "proxy": EVERY + [("open", f) for f in ("ledger", "vault", "state")],
    "keeper": EVERY + [("inet", ""), ("open", "ledger"), ("open", "state")],
    "broker": EVERY + [("inet", ""), ("open", "ledger"), ("open", "vault")],
    "recorder": EVERY + [("inet", ""), ("open", "vault-key"),
                         ("open", "state")],
    "reader": EVERY + [("inet", ""), ("open", "vault"),
                       ("create", S / "ledger/made-by-probe")],
    "detector": EVERY + [("inet", ""), ("open", "ledger")],
    "exporter": [t for t in EVERY if t[0] != "create"] +
    [("inet", ""), ("open", "vault"), ("open", "ledger"),
     ("create", S / "ledger/made-by-probe")],
}
with suite.case("the probe tells what is allowed from what is not"):
    has(probe("proxy", "inet"), "ALLOWED")
    has(probe("broker", "open", FILES["state"]), "ALLOWED")
for role, tries in TRIED.items():
    with suite.case(f"{role}: the forbidden is refused"):
        for op, arg in tries:
            got = probe(role, op, FILES.get(arg, arg))
            want = ("errno 13", "errno 1") if op in ("open", "create") else ()
            check(got == "signal 31" or got in want, f"{op} {arg}: {got}")
        for d in ("ledger", "export"):
            check(not (S / d / "made-by-probe").exists(), "it made a file")

# --- the vault's key elsewhere -------------------------------------------------

creds = top / "creds"
creds.mkdir()
creds.chmod(0o700)
(creds / "vault").write_bytes(os.urandom(32))
(creds / "vault").chmod(0o400)
for how, path, env in (
        ("a path", str(creds / "vault"), {}),
        ("systemd's credentials", "${CREDENTIALS_DIRECTORY}/vault",
         {"CREDENTIALS_DIRECTORY": str(creds)})):
    with suite.case(f"keeper_key: {how}"):
        g = Gateway("key", CONNECTORS, conf={**CONF, "keeper_key": path},
                    env=env, start=False)
        suite.gateways.append(g)
        if env:
            del g.env["CREDENTIALS_DIRECTORY"]
            try:
                g.start()
                raise AssertionError("it started without the key")
            except Failed as e:
                has(str(e), "CREDENTIALS_DIRECTORY is not set")
            g.kill_all()
        g.start(env=env)
        g.cli("credential", "set", "some", input="a-secret-value-1234\n")
        before = g.roles()["keeper"]
        os.kill(before, 9)
        until("a new keeper", lambda: g.roles().get("keeper", before) !=
              before)
        until("it opened the vault", lambda: "some" in g.cli(
            "credential", "ls", ok=False).stdout)
        check(not (g.state / "keeper/keeper.key").exists(), "a key was made")
        g.stop()

# --- kill -9 while calls run --------------------------------------------------------

gw = suite.gateway("crash", CONNECTORS, conf=CONF)
token = gw.session()


class Load:
    """Calls without end over the mount, each with a number of its own."""

    def __init__(self, threads=4):
        self.n, self.lock = 0, threading.Lock()
        self.ok, self.refused, self.lost = [], [], []
        self.bad = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True)
                        for _ in range(threads)]
        for t in self.threads:
            t.start()

    def one(self, conn, n):
        conn.request("POST", "/mcp/one", json.dumps(call("echo", {"n": n})), {
            "Content-Type": "application/json", "Authorization":
            f"Bearer {token}"})
        r = conn.getresponse()
        return r.status, r.read()

    def run(self):
        conn = None
        while not self.stop.is_set():
            with self.lock:
                self.n += 1
                n = self.n
            try:
                if conn is None:
                    conn = http.client.HTTPConnection(
                        "127.0.0.1", gw.mount_port, timeout=30)
                status, body = self.one(conn, n)
                m = json.loads(body)
                if status == 200 and not m["result"].get("isError"):
                    equal(m["result"]["content"][0]["text"],
                          json.dumps({"n": n}), "answer")
                    self.ok.append(n)
                elif b"Portreeve" in body or b'"reason"' in body:
                    self.refused.append(n)
                    time.sleep(0.01)
                else:
                    self.bad.append((n, status, body))
            except (http.client.HTTPException, ConnectionError):
                self.lost.append(n)
                conn = None
                time.sleep(0.01)
            except Exception as e:
                self.bad.append((n, repr(e)))
                conn = None

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join(40)
        check(not any(t.is_alive() for t in self.threads), "a call hangs")


load = Load()
rng = random.Random(5)
for i, victim in enumerate((ROLES + DAEMONS) * 2):
    with suite.case(f"kill -9 of {victim} while calls run: it is back "
                    f"({i // 10 + 1})"):
        before = gw.roles()
        have = len(load.ok)
        until("calls go through", lambda: len(load.ok) > have + 5)
        time.sleep(rng.random() * 0.05)
        os.kill(before[victim], 9)
        until(f"a new {victim}", lambda: (
            lambda r: victim in r and r[victim] != before[victim] and
            all(x in r for x in ROLES))(gw.roles()), 30)
        have = len(load.ok)
        until("calls go through again", lambda: len(load.ok) > have + 20, 30)
        check(gw.proc.poll() is None, "the supervisor ended")

with suite.case("every call ended: with its answer, or a clear error"):
    load.end()
    equal(load.bad, [], "calls with neither")
    check(len(load.ok) > 200, f"only {len(load.ok)} calls")
    print(f"     {len(load.ok)} answered, {len(load.refused)} refused, "
          f"{len(load.lost)} lost with their connection")

arrived = [a["n"] for a in up.calls() if a and "n" in a]


def ledger_rows(**want):
    rows = {}
    for e in gw.events(**want):     # a killed exporter may repeat an event
        rows[e["id"]] = e
    return list(rows.values())


with suite.case("nothing was forwarded that has no decision"):
    def decided():
        got = [e["arguments"]["n"] for e in ledger_rows(
            type="call.decision", verdict="allow") if "n" in
            e.get("arguments", {})]
        return got if set(arrived) <= set(got) else None
    try:
        got = until("all decisions are exported", decided, 15)
    except Failed:
        rows = {e["arguments"]["n"] for e in ledger_rows(
            type="call.decision", verdict="allow")
            if "n" in e.get("arguments", {})}
        raise Failed(f"forwarded without a row: {set(arrived) - rows}")
    equal(len(arrived), len(set(arrived)), "calls that arrived twice")
    equal(len(got), len(set(got)), "decisions")

with suite.case("every decision has one outcome, if only 'unknown'"):
    def open_calls():
        ends = {}
        for e in ledger_rows(type="call.outcome"):
            ends[e["call"]] = ends.get(e["call"], 0) + 1
        calls = {e["call"] for e in ledger_rows(type="call.decision")}
        twice = [c for c, n in ends.items() if n > 1]
        return None if calls - set(ends) else (twice,)
    twice, = until("all calls are closed", open_calls, 15)
    equal(twice, [], "calls with several outcomes")

with suite.case("the ledger verifies after all that"):
    out = gw.cli("audit", "verify", ok=False)
    equal(out.returncode, 3, out.stdout + out.stderr)

with suite.case("every restart is in the ledger"):
    dead = {e["process"] for e in ledger_rows(type="system.role_restarted")}
    for r in ROLES:
        check(r in dead, f"{r} is not among {sorted(dead)}")

# --- held calls across kill -9 -------------------------------------------------------------


class Held:
    """A call that waits for a person, in a thread."""

    def __init__(self, n):
        self.n = n
        self.answer = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.id = gw.pending()[0]

    def run(self):
        self.answer = curl(gw, gw.url("one"), via="mount", token=token,
                           data=call("send", {"held": self.n}))

    def wait(self):
        self.thread.join(40)
        check(self.answer is not None, "the held call hangs")
        return self.answer

    def arrived(self):
        return [a for a in up.calls() if a and a.get("held") == self.n]


def crash(victim):
    before = gw.roles()
    os.kill(before[victim], 9)
    until(f"a new {victim}", lambda: (
        lambda r: all(x in r for x in ROLES) and
        r.get(victim) != before[victim])(gw.roles()), 30)


for i, victim in enumerate(("broker", "keeper", "recorder", "detector",
                            "portreeve-monitor")):
    with suite.case(f"a held call outlives kill -9 of {victim}"):
        h = Held(i)
        crash(victim)
        until("it is still to be decided", lambda: h.id in gw._pending(), 30)
        equal(h.arrived(), [], "sent while held")
        # A role that is up has its channels a moment later; without the
        # recorder's an approval is refused, and stays to be decided.
        until("it is approved", lambda: gw.cli(
            "approval", "approve", h.id, ok=False).returncode == 0 or
            h.id not in gw._pending(), 30)
        a = h.wait()
        # It ran once, or was refused clearly: never silently, never twice.
        if a.json()["result"].get("isError"):
            has(a.text, "Portreeve: ")
            equal(h.arrived(), [], "sent although refused")
        else:
            equal(len(h.arrived()), 1, "sent")
        check(gw.cli("approval", "approve", h.id, ok=False).returncode != 0,
              "an approval was used twice")

for i, victim in enumerate(("proxy", "portreeve-gateway")):
    with suite.case(f"a held call ends with kill -9 of {victim}"):
        h = Held(100 + i)
        crash(victim)
        a = h.wait()
        check(a.status == 0 or "Portreeve" in a.text, repr(a))
        gw.cli("approval", "approve", h.id, ok=False)
        until("the gateway serves", lambda: curl(
            gw, gw.url("one"), via="mount", token=token,
            data=call("echo", {})).status == 200)
        equal(h.arrived(), [], "sent although nobody waits for it")

# --- the kill switch across kill -9 ------------------------------------------------------------


def refused(connector):
    """'killed', 'open', or None while it cannot say."""
    a = curl(gw, gw.url(connector), via="mount", token=token,
             data=call("echo", {"x": 1}))
    if "kill switch" in a.text:
        return "killed"
    if a.status == 200 and not a.json()["result"].get("isError"):
        return "open"
    return None


def settled(connector):
    return until("an answer", lambda: refused(connector), 30)


ROUNDS = 8
for i in range(ROUNDS):
    victim = ("broker", "portreeve-gateway", "all")[i % 3]
    with suite.case(f"a kill stands after kill -9 of {victim} (round {i})"):
        pid = gw.proc.pid if victim == "all" else gw.roles()[victim]
        cli = subprocess.Popen(
            [str(BIN / "portreeve"), "kill", "connector/two", "--reason",
             f"round {i}"], env=gw.env, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        time.sleep(rng.random() * 0.03 if i % 2 else 0)
        if i >= ROUNDS - 3:
            cli.wait(30)        # at the latest instant: it was confirmed
        if victim == "all":
            gw.kill_all()
        else:
            os.kill(pid, 9)
        said = cli.wait(30)
        out = cli.stdout.read()
        if victim == "all":
            gw.start()
        else:
            until("all roles are back", lambda: (
                lambda r: all(x in r for x in ROLES) and
                r.get(victim) != pid)(gw.roles()), 30)
        state = settled("two")
        if said == 0:
            equal(state, "killed", f"confirmed, then (said: {out})")
            has(gw.cli("kills").stdout, "connector/two")
        equal(settled("one"), "open", "the neighbour")
        if state == "killed":
            gw.cli("revive", "connector/two", "--reason", "test")
            equal(settled("two"), "open", "revived")

with suite.case("a revive is durable too"):
    gw.kill_all()
    gw.start()
    equal(settled("two"), "open", "after restart")

with suite.case("the ledger verifies at the end"):
    out = gw.cli("audit", "verify", ok=False)
    equal(out.returncode, 3, out.stdout + out.stderr)

suite.end()
