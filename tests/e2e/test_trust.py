#!/usr/bin/env python3
"""Who accepts the gateway's CA and who does not: curl, Python's requests with
certifi, Node, Java and Go without the CA and with it; sessions that go
around; the map of `client trust` and what doctor says of it."""
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import time

import sdkcases
import toolchains
from support import (ASAN, SLOW, Certificates, Gateway, Suite, check, connect, curl,
                     equal, has, hasnt, until)
from upstreams import Upstream

HERE = pathlib.Path(__file__).resolve().parent / "sdk/onramps"
NODE = sdkcases.node()
GO = toolchains.go()
JAVA, _ = toolchains.java()
PY = toolchains.python()
top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-trust."))
top.chmod(0o755)
suite = Suite("test_trust")
certs = Certificates(top / "certs")
up = Upstream(certs.server_context(certs.make("good", names=(
    "DNS:localhost", "DNS:go.localhost"))))
suite.cleanups += [lambda: shutil.rmtree(top, True)]
gw = suite.gateway("trust", {
    name: {"kind": "rest", "url": up.url("/v1/").replace("localhost", host),
           "pin": ["127.0.0.1", "::1"], "operations": [
               {"name": "list", "method": "GET", "path": "/v1/list",
                "class": "read-only"}]}
    for name, host in (("tools", "localhost"), ("go", "go.localhost"))},
    certs=certs)
clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
URL, GO_URL = up.url("/v1/list"), up.url("/v1/list").replace(
    "localhost", "go.localhost")
# What a runtime's environment has that makes it trust our CA.
TRUST = ("CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE",
         "REQUESTS_CA_BUNDLE")


def ask(runtime, agent, cmd, trusting):
    """A client of an agent of its own; its exit code and what it said."""
    token = gw.session(agent=agent)
    env = {**clean, **gw.env_of(runtime, token), "PORTREEVE_TOKEN": token}
    if not trusting:
        env = {k: v for k, v in env.items() if k not in TRUST}
        if runtime == "java":
            env["JAVA_TOOL_OPTIONS"] = " ".join(
                w for w in env["JAVA_TOOL_OPTIONS"].split()
                if "trustStore" not in w)
    p = subprocess.run([*map(str, cmd)], env=env, text=True,
                       capture_output=True, stdin=subprocess.DEVNULL,
                       timeout=60 * SLOW)
    return p.returncode, p.stdout + p.stderr


def trust_map(*args):
    out = gw.cli("client", "trust", "--json", *args).stdout
    return json.loads(out)["clients"]


def rows(agent, want=1):
    """The rows of an agent, once there are so many."""
    return until(f"{agent} is in the map", lambda: (
        lambda found: found if len(found) >= want else None)(
        [r for r in trust_map() if r["agent"] == agent]), 20)


program = top / "get"
subprocess.run([GO, "build", "-o", program, HERE / "trust.go"], check=True,
               env={**clean, "GO111MODULE": "off", "GOFLAGS": "",
                    "GOCACHE": toolchains.GO_CACHE})
CLIENTS = {
    # runtime: command, how it refuses, User-Agent of its CONNECT. A JDK of 17
    # closes in the handshake, others may send the alert.
    "curl": (["curl", "-sS", URL], "refuses", "curl/"),
    "python": ([PY, "-c", f"import requests; requests.get('{URL}')"],
               "refuses", ""),
    "node": ([NODE, "-e", f"fetch('{URL}').then(r => r.text())"], "silent",
             ""),
    "java": ([JAVA, HERE / "Trust.java", URL], "refuses or silent", ""),
    "go": ([program, GO_URL], "refuses", "Go-http-client/"),
}
if ASAN:                # the gateway's two answers, once each
    CLIENTS = {r: CLIENTS[r] for r in ("curl", "node")}
for runtime, (cmd, how, name) in CLIENTS.items():
    with suite.case(f"{runtime} without the CA: {how}"):
        code, out = ask(runtime, f"{runtime}-without", cmd, False)
        check(code != 0, out)
        row = rows(f"{runtime}-without")[0]
        has(how, row["state"])
        equal((row["user"], row["source"], row["host"]), (
            "alice", "127.0.0.1", "go.localhost" if runtime == "go" else
            "localhost"), row)
        check(row["client"].startswith(name), row)
        has(row["advice"], "proxy env --for", runtime if name else "RUNTIME")
        e = gw.event(type="client.refused_ca", agent=f"{runtime}-without")
        equal(e["how"], "alert" if row["state"] == "refuses" else "silent", e)
        check(e["ja4"].startswith("t13"), e)
    with suite.case(f"{runtime} with the CA: trusts"):
        code, out = ask(runtime, f"{runtime}-with", cmd, True)
        equal(code, 0, out)
        row = rows(f"{runtime}-with")[0]
        equal((row["state"], row["advice"]), ("trusts", ""), row)
        gw.event(type="client.trusts_ca", agent=f"{runtime}-with")
with suite.case("refused, then given the CA: the map says what is now"):
    token = gw.session(agent="mended")
    for args in ([], ["--cacert", str(gw.ca())]):
        subprocess.run(["curl", "-sS", "-x", gw.proxy_url(token), *args, URL],
                       env=clean, capture_output=True)
    row = until("trusts", lambda: [r for r in rows("mended")
                                   if r["state"] == "trusts"])[0]
    equal(row["seen"], {"refuses": 1, "trusts": 1}, row)
with suite.case("that a client trusts is told once, not for each connection"):
    token = gw.session(agent="often")
    for _ in range(3):
        equal(curl(gw, URL, token=token).status, 200)
    rows("often")
    time.sleep(0.3)
    equal(len(gw.events(type="client.trusts_ca", agent="often")), 1)
with suite.case("a connection that was used, or ends late, is no refusal"):
    token = gw.session(agent="fair")
    s = connect(gw, token, f"localhost:{up.port}", tls=gw.ca())
    s.sendall(b"GET /v1/list HTTP/1.1\r\nHost: localhost:"
              + str(up.port).encode() + b"\r\n\r\n")
    s.recv(10)
    s.close()
    s = connect(gw, token, f"localhost:{up.port}", tls=gw.ca())
    time.sleep(2.5)
    s.close()
    time.sleep(0.3)
    equal(gw.events(type="client.refused_ca", agent="fair"), [])
with suite.case("the page of trust feeds the map, without a token too"):
    subprocess.run(["curl", "-sS", "-A", "curl/9 AKIA" + "QYLPMN5HHHFPZAM2",
                    "-x", f"http://127.0.0.1:{gw.proxy_port}",
                    "https://trust.portreeve.internal/"], env=clean,
                   capture_output=True)
    e = gw.event(type="client.refused_ca",
                 host="trust.portreeve.internal")
    check("user" not in e, e)
    has(e["client"], "curl/9")
    hasnt(json.dumps(e), "QYLPMN5HHHFPZAM2")
with suite.case("a mount needs no CA; no token is told; a TLS error is none"):
    token = gw.session(agent="mounted")
    equal(curl(gw, gw.url("tools", rest=True) + "/list", token=token,
               via="mount").status, 200)
    equal(rows("mounted")[0]["state"], "no-ca-needed")
    curl(gw, URL)
    until("no token", lambda: [r for r in trust_map()
                               if r["state"] == "no-token"])
    token = gw.session(agent="odd")
    s = connect(gw, token, f"localhost:{up.port}")
    c = ssl.create_default_context(cafile=str(gw.ca()))
    c.set_alpn_protocols(["nothing-of-ours"])
    try:
        c.wrap_socket(s, server_hostname="localhost")
    except ssl.SSLError:
        pass
    gw.event(type="connection.refused", reason="ambiguous-http")
    equal(gw.events(type="client.refused_ca", agent="odd"), [])
with suite.case("the table names the states and what to do"):
    out = gw.cli("client", "trust").stdout
    has(out, "STATE", "refuses", "silent", "trusts", "curl-without",
        "portreeve proxy env --for curl", "127.0.0.1")
    out = gw.cli("client", "trust", "--since", "1ms").stdout
    hasnt(out, "curl-without")
    equal(gw.cli("client", "trust", "--since", "x", ok=False).returncode, 2)
    equal(gw.cli("client", "trust", "more", ok=False).returncode, 2)
with suite.case("a session in which nothing came goes around, or sleeps"):
    # Two minutes ago for whoever reads the ledger now.
    late = Gateway("late", {}, certs=certs, start=False)
    suite.gateways.append(late)
    late.start(args=("--clock-offset-ms", "-120000"))
    late.session(agent="around")
    found = until("it is recorded", lambda: json.loads(late.cli(
        "client", "trust", "--json").stdout)["clients"])
    equal([(r["state"], r["agent"], r["seen"]) for r in found],
          [("no-traffic", "around", {"no-traffic": 1})], found)
    has(found[0]["advice"], "goes around")
suite.end()
