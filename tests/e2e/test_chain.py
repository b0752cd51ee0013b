#!/usr/bin/env python3
"""Proxies around the gateway: HAProxy in front with the PROXY protocol, squid
behind as the way to upstreams, with and without a password."""
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile

from support import (Certificates, Suite, call, check, connect, curl, equal,
                     free_port, has, raw, recv_all, until)
from upstreams import Upstream

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-chain."))
top.chmod(0o755)
suite = Suite("test_chain")
certs = Certificates(top / "certs")
up = Upstream(certs.server_context(certs.make("good")))
plain = Upstream()
suite.cleanups += [lambda: shutil.rmtree(top, True)]
TOOLS = {"echo": {"class": "read-only"}}
PIN = {"pin": ["127.0.0.1", "::1"], "tools": TOOLS}
PASSWORD = "s3cr-et word"
BALANCER = "127.0.0.2"      # what HAProxy connects from


def daemon(*cmd, port, log):
    with open(log, "ab") as f:
        p = subprocess.Popen([*map(str, cmd)], stdin=subprocess.DEVNULL,
                             stdout=f, stderr=f)

    def stop():
        p.terminate()
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    suite.cleanups.append(stop)
    suite.logs.append(log)

    def listens():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    until(f"{cmd[0]} listens", listens)


def squid(name, auth, allow="localhost"):
    """A squid that lets CONNECT through to the loopback only."""
    d = top / name
    d.mkdir()
    d.chmod(0o777)
    port = free_port()
    (d / "passwd").write_text(f"gate:{PASSWORD}\n")
    helper = d / "helper"       # Basic, one line in, one line out
    helper.write_text("#!/bin/sh\nwhile read -r user password; do case "
                      "\"$user $password\" in 'gate s3cr-et%20word') echo OK"
                      ";; *) echo ERR;; esac; done\n")
    helper.chmod(0o755)
    rules = [f"auth_param basic program {helper}",
             "auth_param basic realm x", "acl known proxy_auth REQUIRED",
             "http_access deny !known"] if auth else []
    (d / "conf").write_text("\n".join([
        f"http_port 127.0.0.1:{port}", *rules, f"acl to dstdomain {allow}",
        "http_access allow to", "http_access deny all", "cache deny all",
        f"access_log {d}/access.log squid", f"cache_log {d}/cache.log",
        f"pid_filename {d}/pid", f"coredump_dir {d}", "shutdown_lifetime 0",
        "hosts_file /etc/hosts", "dns_v4_first on", ""]))
    daemon("squid", "-N", "-f", d / "conf", port=port, log=d / "out.log")
    return port, d / "access.log"


open_port, open_log = squid("open", False)
auth_port, auth_log = squid("auth", True)
silent = socket.create_server(("127.0.0.1", 0))     # takes, never answers


def via(port, **kw):
    return {"upstream_proxy": {"url": f"http://127.0.0.1:{port}", **kw}}


gw = suite.gateway("chain", {
    "open": {"url": up.url(), **PIN},
    "straight": {"url": up.url("/mcp-straight"), **PIN,
                 "upstream_proxy": "direct"},
    "auth": {"url": up.url("/mcp-auth"), **PIN,
             **via(auth_port, credential="px")},
    "noauth": {"url": up.url("/mcp-noauth"), **PIN, **via(auth_port)},
    "plain": {"url": plain.url(), **PIN},
    "refused": {"url": f"http://127.0.0.1:{plain.port}/mcp-no", **PIN},
    "gone": {"url": up.url("/mcp-gone"), **PIN, **via(free_port())},
    "hangs": {"url": up.url("/mcp-hangs"), **PIN,
              **via(silent.getsockname()[1])},
    "literal": {"url": "https://10.1.2.3/mcp", "tools": TOOLS},
}, certs=certs, conf={
    "limits": {"connect_time": "2s"},
    "upstream_proxy": {"url": f"http://127.0.0.1:{open_port}"},
    "uncatalogued": "splice",
    "listen": [{"explicit": f"127.0.0.1:{free_port()}"},
               {"mount": f"127.0.0.1:{free_port()}"},
               {"explicit": f"127.0.0.1:{free_port()}",
                "proxy_protocol": {"from": [BALANCER, "10.0.0.0/8"]}}]})
gw.proxy_port, gw.mount_port, behind = (
    int(list(l.values())[0].split(":")[1]) for l in gw.conf["listen"])
token = gw.session()


def ask(connector, text="x"):
    return curl(gw, gw.url(connector), token=token, via="mount",
                data=call("echo", {"text": text}))


def tunnels(log):
    return [l.split()[6] for l in log.read_text().splitlines()
            if "CONNECT" in l] if log.exists() else []


# --- behind: squid -------------------------------------------------------------

with suite.case("squid: https and http connectors go through the global one"):
    has(ask("open", "one").text, "one")
    has(ask("plain", "two").text, "two")
with suite.case("squid: `direct` goes around it"):
    has(ask("straight", "three").text, "three")
with suite.case("squid: a password by name, from the keeper"):
    a = ask("auth")
    has(a.text, "credential-unavailable", "portreeve credential set px")
    gw.cli("credential", "set", "px", input=f"gate:{PASSWORD}")
    has(ask("auth", "four").text, "four")
    # What the upstream sees has nothing of it.
    for seen in up.server.seen:
        check("proxy-authorization" not in
              {k.lower() for k, _ in seen["headers"]}, seen)
with suite.case("squid: its refusals are clear"):
    a = ask("noauth")
    has(a.text, "upstream-proxy", "407", "upstream_proxy.credential")
    a = ask("refused")
    has(a.text, "upstream-proxy", "403", f"127.0.0.1:{open_port}")
    gw.event(type="call.outcome", connector="noauth", reason="upstream-proxy")
with suite.case("an upstream proxy that is down, and one that never answers"):
    has(ask("gone").text, "upstream proxy", "Connection refused")
    has(ask("hangs").text, "no connection within 2000 ms")
with suite.case("an IP literal is guarded before anybody is asked for it"):
    before = len(tunnels(open_log))
    has(ask("literal").text, "address-guard")
    equal(len(tunnels(open_log)), before)
with suite.case("splices go through it as well"):
    outside = Upstream(certs.server_context(certs.make(
        "outside", names=("DNS:localhost",))))
    with connect(gw, token, f"localhost:{outside.port}", tls=certs.ca,
                 sni="localhost") as s:
        s.sendall(b"GET /text HTTP/1.1\r\nHost: localhost\r\n"
                  b"Connection: close\r\n\r\n")
        has(s.recv(4096).decode(), "200 OK")
    until("squid logs it", lambda: f"localhost:{outside.port}" in
          tunnels(open_log))
with suite.case("check: what is no such proxy is refused"):
    for v, why in (("https://px:1", "http://HOST:PORT"),
                   ("http://u:p@px:1", "http://HOST:PORT"),
                   ("http://px:1/x", "http://HOST:PORT")):
        gw.connector("zz", {"url": up.url("/zz"), **PIN,
                            "upstream_proxy": {"url": v}})
        p = gw.cli("check", gw.env["PORTREEVE_CONFIG"], ok=False)
        check(p.returncode != 0, v)
        has(p.stdout + p.stderr, why)
    gw.connector("zz", {"url": up.url("/zz"), **PIN,
                        "upstream_proxy": "maybe"})
    p = gw.cli("check", gw.env["PORTREEVE_CONFIG"], ok=False)
    has(p.stdout + p.stderr, "must be `direct`")
    (gw.dir / "connectors.d/zz.yaml").unlink()

# --- in front: HAProxy -----------------------------------------------------------

GET = b"GET /portreeve/ca.pem HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.7 192.0.2.8 4321 3128\r\n"


def haproxy(version):
    port = free_port()
    conf = top / f"haproxy-{version}.cfg"
    conf.write_text(f"""defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen l
  bind 127.0.0.1:{port}
  source {BALANCER}
  server s 127.0.0.1:{behind} {version}
""")
    daemon("haproxy", "-db", "-f", conf, port=port,
           log=top / f"haproxy-{version}.log")
    return port


for version in ("send-proxy", "send-proxy-v2"):
    with suite.case(f"HAProxy, {version}: the source is the client's own"):
        front = haproxy(version)
        p = subprocess.run(
            ["curl", "-sS", "--interface", "127.0.0.9", "--noproxy", "", "-x",
             f"http://coder:{token}@127.0.0.1:{front}", "--cacert", gw.ca(),
             "-H", "content-type: application/json", "-d",
             json.dumps(call("echo", {"text": version})),
             up.url()], text=True, capture_output=True)
        has(p.stdout, version)
        gw.event(type="call.decision", where=lambda e: e["source"].startswith(
            "127.0.0.9:"))
        # Health checks and probes of the balancer itself have no source.


def sent(port, data, source="127.0.0.1"):
    """What comes back before an end or a reset."""
    with socket.socket() as s:
        s.bind((source, 0))
        s.connect(("127.0.0.1", port))
        s.sendall(data)
        return recv_all(s)


def from_balancer(data):
    return sent(behind, data, BALANCER)


with suite.case("a peer that is not named: none is fine, one is refused"):
    has(raw(behind, GET).decode(), "BEGIN CERTIFICATE")
    equal(sent(behind, V1 + GET), b"")
    gw.event(type="connection.refused", where=lambda e: "does not name" in
             e.get("detail", ""))
with suite.case("a peer that is named: one is fine, none is refused"):
    has(from_balancer(V1 + GET).decode(), "BEGIN CERTIFICATE")
    equal(from_balancer(GET), b"")
    gw.event(type="connection.refused", where=lambda e: "must begin" in
             e.get("detail", ""))
    equal(from_balancer(b"PROXY TCP4 192.0.2.7 x 1 2\r\n" + GET), b"")
with suite.case("a listener without balancers takes no header"):
    got = sent(gw.proxy_port, V1 + GET)
    check(got == b"" or b" 400 " in got.split(b"\r\n")[0], got)
with suite.case("check: networks of balancers are written exactly"):
    for bad in (["10.0.0.1/8"], [], ["x"], ["10.0.0.0/33"]):
        conf = {**gw.conf, "listen": [{"explicit": "127.0.0.1:1",
                "proxy_protocol": {"from": bad}}]}
        f = gw.dir / "bad.yaml"
        f.write_text(json.dumps(conf))
        check(gw.cli("check", f, ok=False).returncode != 0, bad)
with suite.case("squid's log: one tunnel a connector, none of `direct`"):
    gw.stop()       # squid logs a tunnel when it ends
    want = [up.url().split("/")[2], plain.url().split("/")[2]]
    until("squid logs both", lambda: set(want) <= set(tunnels(open_log)))
    equal([tunnels(open_log).count(w) for w in want], [1, 1],
          tunnels(open_log))
suite.end()
