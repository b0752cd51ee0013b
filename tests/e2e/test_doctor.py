#!/usr/bin/env python3
"""What doctor says of each connector where there is no mount, only the proxy:
what would fail, and what to do; of local servers; of clients that refuse the
CA; and of a gateway with neither proxy nor mount."""
import hashlib
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

from support import (BIN, SLOW, Certificates, Suite, equal,
                     free_port, has)
from upstreams import Upstream

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-doctor."))
top.chmod(0o755)
suite = Suite("test_doctor")
certs = Certificates(top / "certs")
others = Certificates(top / "others")
up = Upstream(certs.server_context(certs.make("good")))
strange = Upstream(others.server_context(others.make("good")))
suite.cleanups += [lambda: shutil.rmtree(top, True)]


class Status(http.server.BaseHTTPRequestHandler):
    """GET /NNN is answered with that status."""

    def do_GET(self):
        self.send_response(int(self.path.strip("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Status)
threading.Thread(target=plain.serve_forever, daemon=True).start()
LOOPBACK = ["127.0.0.1", "::1"]
TOOLS = {"echo": {"class": "read-only"}}


def rest(path, **more):
    return {"kind": "rest", "url":
            f"http://127.0.0.1:{plain.server_address[1]}{path}",
            "pin": LOOPBACK, "operations": [
                {"name": "get", "method": "GET", "path": path,
                 "class": "read-only"}], **more}


def server(path, digest):
    return {"kind": "stdio", "command": [str(path), "server.py"],
            "digest": "sha256:" + digest, "tools": TOOLS}


PYTHON = os.path.realpath(sys.executable)
SUM = hashlib.sha256(pathlib.Path(PYTHON).read_bytes()).hexdigest()
port = free_port()
CONNECTORS = {
    "good": {"url": up.url(), "pin": LOOPBACK, "tools": TOOLS,
             "agents": ["coder"]},
    "api": {"kind": "rest", "url": up.url("/v1/"), "pin": LOOPBACK,
            "operations": [{"name": "list", "method": "GET",
                            "path": "/v1/list", "class": "read-only"}]},
    "strange": {"url": strange.url(), "pin": LOOPBACK, "tools": TOOLS},
    "unpinned": {"url": "https://10.255.255.1/mcp", "tools": TOOLS},
    "down": {"url": f"https://localhost:{free_port()}/mcp", "pin": LOOPBACK,
             "tools": TOOLS},
    "plain": rest("/200"), "locked": rest("/401"), "broken": rest("/503"),
    "nosecret": rest("/204", credential={
        "name": "nowhere", "type": "bearer"}),
    "names": {"kind": "rest", "url": up.url("/v2/"), "pin": LOOPBACK,
              "operations": [{"name": "one", "method": "GET",
                              "path": "/v2/{id}", "class": "read-only"}]},
    "draft": {"url": up.url("/mcp2"), "pin": LOOPBACK, "tools": TOOLS,
              "approved": False},
    "local": server(PYTHON, SUM), "changed": server(PYTHON, "0" * 64),
    "absent": server("/nowhere/server", "0" * 64)}
gw = suite.gateway("doctor", CONNECTORS, certs=certs, conf={"listen": [
    {"explicit": f"127.0.0.1:{port}"}, {"stdio": str(top / "stdio")}]})


def doctor(gw, *args):
    p = subprocess.run([BIN / "portreeve", "doctor", "--json", *args],
                       text=True, capture_output=True, timeout=120 * SLOW,
                       env={**gw.env, "PATH": str(top)})
    return p.returncode, {c["check"]: c for c in
                          json.loads(p.stdout)["checks"]}


code, rows = doctor(gw)
WANT = {
    "good": ("ok", "200 through the proxy, by the proxy", ""),
    "api": ("ok", "200 through the proxy", ""),
    "plain": ("ok", "200 through the proxy", ""),
    "strange": ("fail", "certificate", "trust.files"),
    "unpinned": ("fail", "not allowed", "`pin:` it"),
    "down": ("fail", "could not be reached", "is its server running"),
    "locked": ("warn", "401", "credential"),
    "broken": ("warn", "503", "server's own log"),
    "nosecret": ("fail", "credential", "portreeve credential set"),
    "names": ("warn", "no read-only GET", ""),
    "draft": ("warn", "not approved", "approved: true"),
    "local": ("ok", "is what was pinned", ""),
    "changed": ("fail", "not the program that was pinned", "--pin"),
    "absent": ("warn", "is not here", "install it"),
}
with suite.case("it fails when a connector does"):
    equal(code, 1)
    equal({c for c in rows if c.startswith("connector ")},
          {f"connector {n}" for n in CONNECTORS})
for name, (state, found, advice) in WANT.items():
    with suite.case(f"connector {name}: {state}"):
        row = rows[f"connector {name}"]
        equal(row["state"], state, row)
        has(row["found"], found)
        has(row["advice"], advice)
        equal(row["advice"] == "", advice == "", row)
with suite.case("it leaves no session, and its calls are in the ledger"):
    listed = json.loads(gw.cli("session", "ls", "--json").stdout)["sessions"]
    equal([r for r in listed if r["user"] == "doctor"], [])
    e = gw.event(type="call.decision", user="doctor", connector="good")
    equal((e["agent"], e["transport"], e["method"]),
          ("coder", "explicit", "ping"))
with suite.case("killed: told so, and how to undo it"):
    gw.cli("kill", "connector/good", "--reason", "test")
    row = doctor(gw)[1]["connector good"]
    equal(row["state"], "fail", row)
    has(row["found"], "kill switch")
    has(row["advice"], "portreeve revive")
with suite.case("the folder of local servers"):
    equal(rows[f"stdio {top}/stdio"]["state"], "ok", rows)
with suite.case("clients that refuse the CA are counted"):
    equal(rows["clients"]["state"], "ok", rows["clients"])
    subprocess.run(["curl", "-sS", "-x", f"http://coder:{gw.session()}@"
                    f"127.0.0.1:{port}", up.url("/v1/list")],
                   capture_output=True)
    gw.event(type="client.refused_ca")
    row = doctor(gw, "--no-calls")[1]["clients"]
    equal(row["state"], "warn", row)
    has(row["found"], "1 refuse the CA")
    has(row["advice"], "portreeve client trust")
with suite.case("neither a proxy nor a mount: said, not tried"):
    bare = suite.gateway("bare", {"good": CONNECTORS["good"]}, certs=certs,
                         conf={"listen": [{"stdio": str(top / "bare")}]})
    row = doctor(bare)[1]["connector good"]
    equal(row["state"], "warn", row)
    has(row["found"], "neither a proxy nor a mount")
suite.end()
