#!/usr/bin/env python3
"""Transparent mode in network namespaces of its own: agents that know of no
proxy, behind the generated nftables table, IPv4 and IPv6; and what the table
and the proxy keep out."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

from support import ROOTED, Certificates, Suite, call, check, equal, has, until

HOST, OTHER = "tools.transparent.test", "other.transparent.test"
UP4, UP6 = "198.41.0.4", "2001:7fd::4"     # public ones, on our own loopback
OUT4 = "198.41.0.18"

if os.environ.get("TRANSPARENT") != "1":
    if not ROOTED or not all(shutil.which(p) for p in ("unshare", "ip", "nft")):
        print("not root, or no unshare, ip and nft: transparent mode is not "
              "tested here")
        sys.exit(0)
    if subprocess.run(["unshare", "-n", "-m", "true"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        print("no network namespaces here: transparent mode is not tested")
        sys.exit(0)
    os.execvpe("unshare", ["unshare", "-n", "-m", sys.executable, *sys.argv],
               {**os.environ, "TRANSPARENT": "1"})

from upstreams import Upstream                                  # noqa: E402

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-transparent."))
top.chmod(0o755)


def sh(*cmd):
    p = subprocess.run([*map(str, cmd)], text=True, capture_output=True)
    check(p.returncode == 0, f"{cmd}: {p.stderr}")
    return p.stdout


# Names and /etc/hosts of our own; they go with the mount namespace.
hosts = top / "hosts"
hosts.write_text(f"127.0.0.1 localhost\n{UP4} {HOST}\n{UP6} {HOST}\n"
                 f"198.41.0.9 {OTHER}\n")
pathlib.Path("/run/netns").mkdir(exist_ok=True)
sh("mount", "-t", "tmpfs", "none", "/run/netns")
sh("mount", "--bind", hosts, "/etc/hosts")
sh("ip", "link", "set", "lo", "up")
for ns, link, near, far, near6, far6 in (
        ("agents", "ag", "10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2"),
        ("outside", "out", "198.41.0.17", OUT4, "2001:7fd:1::1",
         "2001:7fd:1::2")):
    sh("ip", "netns", "add", ns)
    sh("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0",
       "netns", ns)
    sh("ip", "addr", "add", f"{near}/30", "dev", link)
    sh("ip", "-6", "addr", "add", f"{near6}/64", "dev", link, "nodad")
    sh("ip", "link", "set", link, "up")
    for c in (("link", "set", "lo", "up"), ("link", "set", "eth0", "up"),
              ("addr", "add", f"{far}/30", "dev", "eth0"),
              ("-6", "addr", "add", f"{far6}/64", "dev", "eth0", "nodad"),
              ("route", "add", "default", "via", near),
              ("-6", "route", "add", "default", "via", near6)):
        sh("ip", "netns", "exec", ns, "ip", *c)
sh("ip", "addr", "add", f"{UP4}/32", "dev", "lo")
sh("ip", "-6", "addr", "add", f"{UP6}/128", "dev", "lo", "nodad")
pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
pathlib.Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")

suite = Suite("test_transparent")
certs = Certificates(top / "certs")
suite.cleanups += [lambda: shutil.rmtree(top, True)]
up = Upstream(certs.server_context(certs.make("good", names=(
    f"DNS:{HOST}", f"DNS:{OTHER}"))), bind="::", port=443)
TOOLS = {"echo": {"class": "read-only"}}
gw = suite.gateway("transparent", {
    "tools": {"url": f"https://{HOST}/mcp", "tools": TOOLS},
    "other": {"url": f"https://{OTHER}/mcp", "tools": TOOLS},
    "moved": {"url": "https://moved.transparent.test/mcp", "tools": TOOLS,
              "pin": [f"{UP4}"]},
}, certs=certs, conf={"listen": [
    {"explicit": "127.0.0.1:3128"}, {"mount": "10.9.0.1:8080"},
    {"transparent": "127.0.0.1:8443"}, {"transparent": "[::1]:8443"}]})
token = gw.session()
IN = ("--interface", "ag")


def agent(*cmd, ns="agents", timeout=20):
    return subprocess.run(["ip", "netns", "exec", ns, *map(str, cmd)],
                          text=True, capture_output=True, timeout=timeout)


def ask(host, address, *args, bearer=token, family="-4"):
    return agent("curl", "-sS", "-m", "8", family, "--noproxy", "*",
                 "--resolve", f"{host}:443:{address}", "--cacert", gw.ca(),
                 *(["-H", f"Authorization: Bearer {bearer}"] if bearer
                   else []), "-H", "content-type: application/json", "-d",
                 json.dumps(call("echo", {"text": "hello"})), *args,
                 f"https://{host}/mcp")


with suite.case("nft: check, apply, verify"):
    out = gw.cli("proxy", "nft", *IN).stdout
    has(out, "tproxy ip to 127.0.0.1:8443", "tproxy ip6 to [::1]:8443",
        "QUIC", "DoT")
    gw.cli("proxy", "nft", *IN, "--check")
    check(gw.cli("proxy", "nft", *IN, "--verify", ok=False).returncode == 1)
    gw.cli("proxy", "nft", *IN, "--apply")
    gw.cli("proxy", "nft", *IN, "--verify")
    gw.cli("proxy", "nft", *IN, "--apply")      # again: the same
    gw.cli("proxy", "nft", *IN, "--verify")
for family, address in (("-4", UP4), ("-6", UP6)):
    with suite.case(f"a call of a client that knows of no proxy ({family})"):
        p = ask(HOST, address, family=family)
        has(p.stdout, "hello")
        e = gw.event(type="call.decision", connector="tools", tool="echo",
                     transport="transparent", where=lambda e: e[
                         "source"].startswith("[fd09" if family == "-6" else
                                              "10.9.0.2:"))
        equal(e["user"], "alice")
        seen = dict((k.lower(), v) for k, v in up.server.seen[-1]["headers"])
        check("authorization" not in seen, seen)
with suite.case("without a token: 401, and nothing goes on"):
    n = len(up.server.seen)
    p = ask(HOST, UP4, "-w", "%{http_code}", bearer=None)
    has(p.stdout, "no-token", "portreeve session open")
    equal(len(up.server.seen), n)
with suite.case("the SNI of another host than the address's is refused"):
    p = ask(OTHER, UP4)
    check(p.returncode != 0, p.stdout)
    e = gw.event(type="connection.refused", reason="address-guard")
    equal((e["host"], e["transport"]), (OTHER, "transparent"))
    has(e["detail"], f"{UP4}:443", "other addresses")
with suite.case("a pinned address is the connector's, whatever the DNS says"):
    p = ask("moved.transparent.test", UP4)
    # The agent's side stands; going on needs the name.
    has(p.stdout, "moved.transparent.test")
    gw.event(type="call.decision", connector="moved")
with suite.case("a private address is refused before anything is asked"):
    p = ask(HOST, "10.9.0.1")
    check(p.returncode != 0, p.stdout)
    gw.event(type="connection.refused", reason="address-guard",
             where=lambda e: "must pin" in e["detail"])
with suite.case("uncatalogued, no SNI, no TLS: refused and recorded"):
    check(ask("nobody.test", UP4).returncode != 0)
    e = gw.event(type="connection.refused", reason="uncatalogued-host")
    equal(e["host"], "nobody.test")
    check(agent("curl", "-sSk", "-m", "8", f"https://{UP4}/").returncode != 0)
    gw.event(type="connection.refused", where=lambda e: "no SNI" in
             e.get("detail", ""))
    check(agent("curl", "-sS", "-m", "8", f"http://{UP4}:443/").returncode)
    gw.event(type="connection.refused", where=lambda e: "no TLS" in
             e.get("detail", ""))

# --- the fence -------------------------------------------------------------------

TALK = """import socket, sys
f = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
u = sys.argv[1] == "udp"
s = socket.socket(f, socket.SOCK_DGRAM if u else socket.SOCK_STREAM)
s.settimeout(float(sys.argv[4]))
s.connect((sys.argv[2], int(sys.argv[3])))
s.send(b"hi")
print(s.recv(10))
"""
ECHO = """import socket, select
v = []
for f in (socket.AF_INET, socket.AF_INET6):
    for p in (22, 443, 853, 8080):
        t = socket.socket(f, socket.SOCK_STREAM)
        u = socket.socket(f, socket.SOCK_DGRAM)
        for s in (t, u):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if f == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind(("", p))
        t.listen()
        v += [t, u]
print("ready", flush=True)
while True:
    for s in select.select(v, [], [])[0]:
        if s.type == socket.SOCK_STREAM:
            c, _ = s.accept()
            c.send(c.recv(10))
            c.close()
        else:
            d, a = s.recvfrom(10)
            s.sendto(d, a)
"""
echo = subprocess.Popen(["ip", "netns", "exec", "outside", sys.executable,
                         "-c", ECHO], stdout=subprocess.PIPE, text=True)
suite.cleanups.append(lambda: (echo.kill(), echo.wait()))
equal(echo.stdout.readline(), "ready\n")
WAYS = [("tcp", 22), ("tcp", 853), ("tcp", 8080), ("udp", 443), ("udp", 853),
        ("udp", 8080)]


def reaches(kind, address, port, wait):
    return agent(sys.executable, "-c", TALK, kind, address, port,
                 wait).returncode == 0


def doctor_fence():
    out = gw.cli("doctor", "--no-calls", "--json", ok=False).stdout
    return [c for c in json.loads(out)["checks"] if c["check"] == "fence"][0]


with suite.case("the fence: no other port, no QUIC, no DoT, on both families"):
    got = [(k, a, p) for k, p in WAYS for a in (OUT4, "2001:7fd:1::2")
           if reaches(k, a, p, 0.6)]
    equal(got, [])
    counted = sh("nft", "list", "chain", "inet", "portreeve", "pass")
    for word in ("QUIC", "DoT", "DoQ", "all else"):
        line = [x for x in counted.splitlines() if word in x][0]
        check("packets 0 " not in line, line)
with suite.case("the fence: the machine itself shows the mount and DNS only"):
    s = socket.create_server(("10.9.0.1", 9999))
    check(not reaches("tcp", "10.9.0.1", 9999, 0.6), "reached")
    s.close()
    p = agent("curl", "-sS", "-m", "8", "--noproxy", "*",
              "http://10.9.0.1:8080/portreeve/ca.pem")
    has(p.stdout, "BEGIN CERTIFICATE")
with suite.case("who went around is in the map, and doctor counts the drops"):
    rows = json.loads(gw.cli("client", "trust", "--json").stdout)["clients"]
    row = [r for r in rows if r["state"] == "around"][0]
    check(row["seen"]["around"] >= 3 and row["advice"], row)
    check([r for r in rows if r["seen"].get("trusts")], rows)
    row = doctor_fence()
    equal(row["state"], "warn", row)
    has(row["found"], "QUIC", "all else")
    gw.cli("proxy", "nft", *IN, "--apply")      # the counters begin anew
    equal(doctor_fence()["state"], "ok")
with suite.case("nft: a changed table is seen, and put right"):
    sh("nft", "flush", "chain", "inet", "portreeve", "pass")
    p = gw.cli("proxy", "nft", *IN, "--verify", ok=False)
    equal(p.returncode, 1)
    has(p.stderr, "QUIC")
    gw.cli("proxy", "nft", *IN, "--apply")
    gw.cli("proxy", "nft", *IN, "--verify")
    sh("ip", "-6", "rule", "del", "fwmark", "0x7072", "lookup", "29298")
    p = gw.cli("proxy", "nft", *IN, "--verify", ok=False)
    has(p.stderr, "ip -6")
with suite.case("nft: removed, nothing is left, and the ways are open again"):
    gw.cli("proxy", "nft", *IN, "--remove")
    equal(sh("nft", "list", "ruleset"), "")
    check("0x7072" not in sh("ip", "rule") + sh("ip", "-6", "rule"))
    equal(doctor_fence()["state"], "fail")
    for k, p in WAYS:       # the fence test could not see a dead network
        for a in (OUT4, "2001:7fd:1::2"):
            check(reaches(k, a, p, 5), f"{k} {a} {p} is closed without fence")
suite.end()
