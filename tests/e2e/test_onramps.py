#!/usr/bin/env python3
"""The ways for a client to come through the proxy: what `proxy env` prints
with every runtime that is here, `run`, `client config`, `doctor`, the pages of
the listeners and the PAC file."""
import hashlib
import html
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile

import sdkcases
import toolchains
from support import (ASAN, BIN, SLOW, Certificates, Suite, call, check, curl,
                     equal, free_port, has, hasnt, raw)
from upstreams import Upstream

HERE = pathlib.Path(__file__).resolve().parent / "sdk/onramps"
SELF = "https://trust.portreeve.internal/"
TRUSTED = "This client uses the Portreeve proxy and trusts its CA."

NODE = sdkcases.node()
GO, GO_CACHE = pathlib.Path(toolchains.go()), toolchains.GO_CACHE
toolchains.java()
PY = toolchains.python()
top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-onramps."))
top.chmod(0o755)
suite = Suite("test_onramps")
certs = Certificates(top / "certs")
up = Upstream(certs.server_context(certs.make("good")))
suite.cleanups += [lambda: shutil.rmtree(top, True)]
TOOLS = {"echo": {"class": "read-only"}}
gw = suite.gateway("onramps", {
    "tools": {"url": up.url(), "pin": ["127.0.0.1", "::1"], "tools": TOOLS},
    "down": {"url": f"https://localhost:{free_port()}/mcp",
             "pin": ["127.0.0.1", "::1"], "tools": TOOLS, "agents": ["coder"]},
    "rest": {"kind": "rest", "url": up.url("/v1/"),
             "pin": ["127.0.0.1", "::1"], "operations": [
                 {"name": "list", "method": "GET", "path": "/v1/list",
                  "class": "read-only"}]},
}, certs=certs)
token = gw.session()
clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}


def shell(runtime, line, token=token, timeout=60):
    """A shell that did what `portreeve proxy env` says, and nothing else."""
    p = subprocess.run(
        ["sh", "-ec", 'lines=$(portreeve proxy env --for "$1")\n'
         f'eval "$lines"\n{line}', "sh", runtime], text=True,
        capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout * SLOW,
        env={**clean, "PORTREEVE_CONFIG": gw.env["PORTREEVE_CONFIG"],
             "PATH": f"{BIN}:{clean['PATH']}", "HOME": str(top),
             **({"PORTREEVE_TOKEN": token} if token else {})})
    return p.returncode, p.stdout, p.stderr


def trusted(runtime, line, **kw):
    code, out, err = shell(runtime, line, **kw)
    equal(code, 0, err)
    has(out, TRUSTED, "Its token is valid: user alice, agent coder.")


# --- runtimes ----------------------------------------------------------------

with suite.case("curl: only the printed lines, through to a connector"):
    trusted("curl", f"curl -sS {SELF}")
    body = json.dumps(call("echo", {"text": "by curl"}))
    code, out, err = shell("curl", "curl -sS -H 'content-type: application/"
                           f"json' -d '{body}' {up.url()}")
    equal(code, 0, err)
    has(out, "by curl")
    gw.event(type="call.decision", tool="echo", verdict="allow", user="alice")
with suite.case("without a token the lines say where to get one"):
    code, out, err = shell("curl", "curl -sS https://localhost/", token=None)
    check(code != 0, out)
    has(err, "PORTREEVE_TOKEN", "portreeve session open")
with suite.case("git: GIT_SSL_CAINFO and the proxy"):
    code, out, err = shell("git", f"git ls-remote {SELF}git")
    equal(code, 0, err)
    has(out, "refs/heads/trusted")
FETCH = f"fetch('{SELF}').then(r => r.text()).then(t => console.log(t))"
with suite.case("Node of npm: NODE_USE_ENV_PROXY, NODE_EXTRA_CA_CERTS"):
    trusted("node", f'{NODE} -e "{FETCH}"')
system_node = shutil.which("node")
if system_node:
    with suite.case("the system's Node: through when it can, told when not"):
        v = subprocess.run([system_node, "--version"], text=True,
                           capture_output=True).stdout
        code, out, err = shell("node", f'{system_node} -e "{FETCH}"')
        if int(v.lstrip("v").split(".")[0]) >= 24:
            has(out, TRUSTED)
        else:
            check(code != 0 and TRUSTED not in out, out)
            has(err, "Node needs 24 or newer")
for name, code in {
        "urllib": f"import urllib.request as u;"
                  f"print(u.urlopen('{SELF}').read().decode())",
        "requests": f"import requests; print(requests.get('{SELF}').text)",
        "httpx": f"import httpx; print(httpx.get('{SELF}').text)"}.items():
    with suite.case(f"Python: {name}"):
        trusted("python", f'{PY} -c "{code}"')
with suite.case("Java: JAVA_TOOL_OPTIONS and the generated trust store"):
    code, out, err = shell("java", f"java {HERE}/Trust.java {SELF}; java "
                           f"{HERE}/Trust.java {up.url('/v1/list')}")
    equal(code, 0, err)
    has(out, TRUSTED, '"path": "/v1/list"')
    store = top / ".cache/portreeve/truststore.p12"
    out = subprocess.run(["keytool", "-list", "-keystore", store,
                          "-storepass", "changeit"], text=True,
                         capture_output=True)
    want = (top / ".cache/portreeve/ca-bundle.pem").read_text().count(
        "BEGIN CERTIFICATE")
    equal(out.stdout.count("trustedCertEntry"), want, out.stdout[-500:])
with suite.case("Go: SSL_CERT_FILE and the proxy"):
    trusted("go", f"GOFLAGS=-mod=mod GO111MODULE=off GOCACHE={GO_CACHE} "
            f"{GO} run {HERE}/trust.go {SELF}", timeout=240)

with suite.case("a client that does not trust the CA is told by TLS"):
    p = subprocess.run(["curl", "-sS", "-x", gw.proxy_url(token), SELF],
                       text=True, capture_output=True, env=clean)
    equal(p.returncode, 60, p.stderr)
with suite.case("the page of trust tells a wrong token and none"):
    a = curl(gw, SELF)
    equal(a.status, 200, a)
    has(a.text, TRUSTED, "It sent no token")
    a = curl(gw, SELF, token="prt_" + "A" * 43)
    has(a.text, TRUSTED, "Its token is not valid")

# --- files that are printed ------------------------------------------------------

with suite.case("proxy env --json and its files"):
    o = gw.cli("proxy", "env", "--for", "generic", "--json", "--dir",
               gw.dir / "ramp").stdout
    v = json.loads(o)["variables"]
    equal(v["HTTPS_PROXY"], "http://agent:${PORTREEVE_TOKEN}@127.0.0.1:"
          f"{gw.proxy_port}")
    equal(v["NO_PROXY"], "", "a connector is on the loopback")
    for k in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE",
              "GIT_SSL_CAINFO", "CURL_CA_BUNDLE"):
        ssl.create_default_context(cafile=v[k])
    equal((gw.dir / "ramp").stat().st_mode & 0o777, 0o700)
    hasnt(o, token)
    p = gw.cli("proxy", "env", "--for", "nodejs", ok=False)
    equal(p.returncode, 2)
    has(p.stderr, 'did you mean "node"?')
with suite.case("client config: a mount works with what is printed"):
    for client, servers, url in (("claude-code", "mcpServers", "url"),
                                 ("cursor", "mcpServers", "url"),
                                 ("vscode", "servers", "url"),
                                 ("gemini", "mcpServers", "httpUrl"),
                                 ("generic", "mcpServers", "url")):
        p = gw.cli("client", "config", "tools", "--client", client)
        entry = json.loads(p.stdout)[servers]["tools"]
        auth = entry["headers"]["Authorization"]
        hole = auth.removeprefix("Bearer ")
        has(p.stderr, hole, "portreeve session open")
        a = curl(gw, entry[url], "-H", "Authorization: " +
                 auth.replace(hole, token), via="mount",
                 data=call("echo", {"text": client}))
        has(a.text, client)
    equal(gw.cli("client", "config", "nope", ok=False).returncode, 6)
    p = gw.cli("client", "config", "rest", ok=False)
    equal(p.returncode, 1)
    has(p.stderr, "/api/rest")
with suite.case("client config --proxy: an env block that a client can use"):
    p = gw.cli("client", "config", "--proxy", "--client", "claude-code",
               "--dir", gw.dir / "ramp")
    env = {k: v.replace("prt_...", token)
           for k, v in json.loads(p.stdout)["env"].items()}
    out = subprocess.run(["curl", "-sS", SELF], text=True,
                         capture_output=True, env={**clean, **env})
    has(out.stdout, TRUSTED)

# --- run ---------------------------------------------------------------------------

with suite.case("run: a session, the environment, the exit code, and no trace"):
    p = gw.cli("run", "--user", "bob", "--agent", "coder", "--for", "5m", "--",
               "sh", "-c", f"curl -sS {SELF}; echo $SSL_CERT_FILE; "
               "echo $PORTREEVE_TOKEN; exit 7", ok=False)
    equal(p.returncode, 7, p.stderr)
    has(p.stdout, TRUSTED, "user bob, agent coder")
    bundle, used = p.stdout.split()[-2:]
    check(used.startswith("prt_"), p.stdout)
    check(not pathlib.Path(bundle).parent.exists(), bundle)
    has(curl(gw, SELF, token=used).text, "Its token is not valid")
    gw.event(type="session.closed", user="bob")
with suite.case("run: a killed command's signal; a command that is none"):
    p = gw.cli("run", "--", "sh", "-c", "kill -TERM $$", ok=False)
    equal(p.returncode, 128 + 15, p.stderr)
    p = gw.cli("run", "--", "no-such-command-here", ok=False)
    equal(p.returncode, 127, p.stderr)
    rows = json.loads(gw.cli("session", "ls", "--json").stdout)["sessions"]
    equal([r for r in rows if r["agent"] != "coder"], [])
with suite.case("run: the official SDK's client, a call through the proxy"):
    code = ("import httpx,sys; print(httpx.post(sys.argv[1], json="
            + repr(call("echo", {"text": "by httpx"})) + ").text)")
    p = gw.cli("run", "--agent", "coder", "--", PY, "-c", code, up.url())
    has(p.stdout, "by httpx")

# --- pages ----------------------------------------------------------------------------


def page(path, port=None, method="GET", body=b"", fields=""):
    got = raw(port or gw.proxy_port, f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
              f"Connection: close\r\n{fields}\r\n".encode() + body)
    head, _, rest = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), rest


with suite.case("pages: on the proxy and the mount, plain, strict, no token"):
    for port in (gw.proxy_port, gw.mount_port):
        code, head, body = page("/portreeve/", port)
        equal(code, 200, head)
        has(head, "default-src 'none'", "frame-ancestors 'none'", "nosniff")
        has(body.decode(), f"127.0.0.1:{gw.proxy_port}", "/portreeve/ca.pem")
        hasnt(body.decode().lower(), "<script", "javascript:", "onload",
              "style=", "prt_", "%1", "%2", "%3", "%4")
    pem = gw.ca().read_text()
    equal(page("/portreeve/ca.pem")[2].decode(), pem)
    der = page("/portreeve/ca.crt")[2]
    equal(der, ssl.PEM_cert_to_DER_cert(pem))
    has(page("/portreeve/")[2].decode(), ":".join(
        f"{b:02X}" for b in hashlib.sha256(der).digest()))

def page_lines(title):
    """What the page says below a heading, as text."""
    text = page("/portreeve/")[2].decode()
    return html.unescape(re.search(
        rf"<h[23]>{title}</h[23]>.*?<pre>(.*?)</pre>", text, re.S)[1])


def by_page(title, more=""):
    """A shell that has nothing but the page's lines and a token."""
    home = pathlib.Path(tempfile.mkdtemp(dir=top))
    first = page_lines("First").replace("the token", token)
    p = subprocess.run(["sh", "-ec", f"{first}\n{page_lines(title)}\n{more}"],
                       text=True, capture_output=True, timeout=60 * SLOW,
                       stdin=subprocess.DEVNULL, env={
                           **clean, "HOME": str(home), "PATH": ":".join((
                               str(bin_dir), str(GO.parent),
                               clean["PATH"]))})
    has(p.stdout, "sha256 Fingerprint=")
    equal(p.returncode, 0, p.stderr)
    return p.stdout


bin_dir = top / "bin"
bin_dir.mkdir()
(bin_dir / "node").symlink_to(NODE)
for title, more in (("curl", ""), ("Node 24 and newer", ""), ("Python", ""),
                    ("Java", f"java {HERE}/Trust.java {SELF}"),
                    ("Go", f"GOFLAGS=-mod=mod GO111MODULE=off GOCACHE={GO_CACHE}"
                     f" go run {HERE}/trust.go {SELF}")):
    if ASAN and title != "curl":
        continue                # the page is the same, the clients too
    with suite.case(f"pages: the lines for {title}, on a machine without us"):
        # A JDK sends its password when it is asked for, and here it is not.
        has(by_page(title, more), TRUSTED, "" if title == "Java" else
            "Its token is valid")
with suite.case("pages: the lines for git"):
    has(by_page("git"), "refs/heads/trusted")
with suite.case("pages: nothing else, and nothing of the request comes back"):
    for path in ("/portreeve/x", "/portreeve/../x", "/portreeve/<b>x"):
        code, head, body = page(path)
        check(code in (400, 404), head)
        hasnt(body.decode(), "<b>")
    equal(page("/portreeve/", method="POST", body=b"abc",
               fields="Content-Length: 3\r\n")[0], 405)
    code, head, body = page("/portreeve/", method="HEAD")
    equal((code, body), (200, b""))
    equal(page("/portreevex")[0], 407)
    equal(page("/mcp/tools", gw.mount_port)[0], 401)
with suite.case("pages: through the proxy by name"):
    p = subprocess.run(["curl", "-sS", "-x", f"127.0.0.1:{gw.proxy_port}",
                        "http://trust.portreeve.internal/"], text=True,
                       capture_output=True, env=clean)
    has(p.stdout, "<h1>Portreeve</h1>")
with suite.case("pages: the host of our own is nobody's connector"):
    (gw.dir / "connectors.d/zz.yaml").write_text(json.dumps(
        {"name": "zz", "kind": "mcp", "owner": "x", "purpose": "x",
         "agents": ["*"], "url": SELF + "mcp"}))
    p = gw.cli("check", gw.env["PORTREEVE_CONFIG"], ok=False)
    (gw.dir / "connectors.d/zz.yaml").unlink()
    check(p.returncode != 0, p.stdout)
    has(p.stdout + p.stderr, "Portreeve's own")
with suite.case("PAC: the listener's and the command's are one, and run"):
    pac = page("/portreeve/proxy.pac")[2].decode()
    equal(gw.cli("proxy", "pac").stdout, pac)
    js = pac + ("console.log(JSON.stringify(['localhost','LOCALHOST.',"
                "'trust.portreeve.internal','example.org','constructor']"
                ".map(h => FindProxyForURL('https://' + h + '/', h))))")
    out = subprocess.run([NODE, "-e", js], text=True, capture_output=True)
    proxy = f"PROXY 127.0.0.1:{gw.proxy_port}"
    equal(json.loads(out.stdout), [proxy, proxy, proxy, "DIRECT", "DIRECT"])

# --- doctor -----------------------------------------------------------------------------


def doctor(*args, env=None, ok=False):
    p = subprocess.run([BIN / "portreeve", "doctor", "--json", *args],
                       text=True, capture_output=True, timeout=300,
                       env={**clean, "PORTREEVE_CONFIG":
                            gw.env["PORTREEVE_CONFIG"], "HOME": str(top),
                            "GOCACHE": GO_CACHE, "GO111MODULE": "off",
                            **(env or {})})
    return p.returncode, {c["check"]: c for c in
                          json.loads(p.stdout)["checks"]}


with suite.case("doctor: what is well, and the one connector that is down"):
    code, rows = doctor(env={"PATH": ":".join(
        (str(bin_dir), str(GO.parent), clean["PATH"]))})
    equal(code, 1)
    bad = {k: v for k, v in rows.items() if v["state"] == "fail"}
    equal(list(bad), ["connector down"], bad)
    for name in ("configuration", "operator.sock", "keeper.sock", "proxies",
                 "ledger", "CA", "connector tools", "connector rest",
                 "runtime curl", "runtime git", "runtime node",
                 "runtime python", "runtime java", "runtime go",
                 f"explicit 127.0.0.1:{gw.proxy_port}",
                 f"mount 127.0.0.1:{gw.mount_port}"):
        equal(rows[name]["state"], "ok", rows[name])
    rows = json.loads(gw.cli("session", "ls", "--json").stdout)["sessions"]
    equal([r for r in rows if r["user"] == "doctor"], [])
with suite.case("doctor: a client that goes around the proxy is told of"):
    fake = top / "fake"
    fake.mkdir()
    (fake / "curl").write_text("#!/bin/sh\necho 'curl: (6) Could not resolve "
                               "host: trust.portreeve.internal'\n")
    (fake / "curl").chmod(0o755)
    code, rows = doctor(env={"PATH": str(fake) + ":/nowhere"})
    row = rows["runtime curl"]
    equal(row["state"], "warn")
    has(row["found"], "goes around the proxy")
with suite.case("doctor: a gateway that is not there"):
    p = gw.cli("doctor", "--no-calls")
    has(p.stdout, "0 failed")
    gw.stop()
    code, rows = doctor("--no-calls")
    equal(code, 1)
    equal(rows["daemons"]["state"], "fail")
    equal(rows[f"explicit 127.0.0.1:{gw.proxy_port}"]["state"], "fail")
    has(rows["daemons"]["advice"], "portreeve serve")
suite.end()
