#!/usr/bin/env python3
"""The official MCP conformance suite's server leg for 2025-11-25 and
2026-07-28: through the explicit proxy and through the mount it says what it
says when it talks to the server directly. release only: it is about messages,
and the suite's own time limits are short."""
import pathlib
import shutil
import tempfile

from suite import SuiteServer, TokenAdder, conformance
from support import Suite, check, equal

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-conformance."))
top.chmod(0o755)
suite = Suite("test_conformance")
suite.cleanups.append(lambda: shutil.rmtree(top, True))
server = SuiteServer(suite, top)
gw = suite.gateway("conformance", {"suite": {
    "url": server.url(), "pin": ["127.0.0.1", "::1"],
    "matrix": {"supervised": {"unknown": "allow"}},
    "server_requests": {"sampling": "allow", "roots": "allow"}}})
token = gw.session()
adder = TokenAdder(suite, gw.mount_port, f"Authorization: Bearer {token}")
WAYS = {"explicit": (server.url(), {
            "NODE_USE_ENV_PROXY": "1", "HTTP_PROXY": gw.proxy_url(token),
            "NO_PROXY": ""}),
        "mount": (f"http://localhost:{adder.port}/mcp/suite", {})}

for revision, least in (("2025-11-25", 84), ("2026-07-28", 150)):
    direct = conformance(server.url(), revision, top / f"{revision}-direct")
    with suite.case(f"{revision}: the server itself does well"):
        total = sum(p for p, _ in direct.values())
        check(total >= least, f"{total} passed: {direct}")
    for way, (url, env) in WAYS.items():
        with suite.case(f"{revision}: {way} says what direct says"):
            n = len(gw.events(type="call.decision"))
            got = conformance(url, revision, top / f"{revision}-{way}", env)
            equal({k: v for k, v in got.items() if v != direct.get(k)}, {},
                  f"other than direct ({len(direct)} scenarios)")
            equal(set(got), set(direct), "scenarios")
            check(len(gw.events(type="call.decision")) > n + 50,
                  "the suite did not go through the gateway")
suite.end()
