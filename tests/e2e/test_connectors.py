#!/usr/bin/env python3
"""What connectors can be besides one MCP server: imported from OpenAPI."""
import os
import signal

from support import (Suite, check, curl, equal, has, hasnt, json, until)
from upstreams import Upstream

suite = Suite("test_connectors")
plain = Upstream()
PIN = {"pin": ["127.0.0.1", "::1"]}
gw = suite.gateway("connectors", {
    "plain": {"url": plain.url(), **PIN,
              "tools": {"echo": {"class": "read-only"}}}})
token = gw.session()
conf = gw.env["PORTREEVE_CONFIG"]


def reload():
    def loaded():
        return len(gw.events(type="config.loaded", role="gateway"))
    n = loaded()
    os.kill(gw.proc.pid, signal.SIGHUP)
    until("the reload", lambda: loaded() > n)


# --- OpenAPI -------------------------------------------------------------------------

API = {"openapi": "3.0.3", "info": {"title": "Shop", "version": "1"},
       "servers": [{"url": "https://shop.example/api"}],
       "paths": {"/items/{id}": {"get": {"operationId": "getItem"},
                                 "delete": {"operationId": "dropItem"}},
                 "/items/{id}/refund": {"post": {"operationId": "refund"}}}}
description = gw.dir / "shop.json"
description.write_text(json.dumps(API, indent=1))
target = gw.dir / "connectors.d/shop.yaml"

with suite.case("import openapi: prints a proposal, writes nothing"):
    p = gw.cli("connector", "import", "openapi", description)
    has(p.stdout, "approved: false", "owner: FILL-IN",
        '{ name: "getItem", method: GET, path: "/api/items/{id}", class: '
        'read-only }', '"refund", method: POST', "class: dangerous")
    check(not target.exists(), "it was written")

with suite.case("import openapi: an error names its place"):
    broken = gw.dir / "broken.yaml"
    broken.write_text("openapi: 3.0.0\ninfo: { title: x }\npaths:\n"
                      "  /a: { $ref: 'other.yaml' }\n")
    p = gw.cli("connector", "import", "openapi", broken, "--host", "h",
               ok=False)
    equal(p.returncode, 1, p.stderr)
    has(p.stderr, "broken.yaml:4:")
    p = gw.cli("connector", "import", "swagger", broken, ok=False)
    equal(p.returncode, 2, p.stderr)

with suite.case("import openapi --write: check refuses until it is filled in"):
    write = ("connector", "import", "openapi", description, "--write",
             "--host", f"http://127.0.0.1:{plain.port}")
    gw.cli(*write)
    for _ in range(3):
        p = gw.cli("check", conf, ok=False)
        check(p.returncode != 0, "accepted")
        has(p.stdout + p.stderr, "shop.yaml:", "FILL-IN")
        target.write_text(target.read_text().replace("FILL-IN", "coder", 1))
    p = gw.cli("check", conf)
    has(p.stdout + p.stderr, "shop is not approved and will not serve")
    p = gw.cli(*write, ok=False)
    equal(p.returncode, 7, "an existing file")
    hasnt(target.read_text(), "FILL-IN")

with suite.case("an imported connector serves once it is approved"):
    target.write_text(target.read_text() + "pin: [127.0.0.1]\n")
    reload()
    url = f"http://127.0.0.1:{gw.mount_port}/api/shop/items/7"
    a = curl(gw, url, via="mount", token=token)
    equal(a.status, 403, repr(a))
    target.write_text(target.read_text().replace("approved: false",
                                                 "approved: true"))
    reload()
    a = curl(gw, url, via="mount", token=token)
    equal(a.status, 200, repr(a))
    equal(a.json()["path"], "/api/items/7", "path")
    d = gw.event(type="call.decision", connector="shop", verdict="allow")
    equal((d["tool"], d["class"], d["arguments"]),
          ("getItem", "read-only", {"path": {"id": "7"}}), "decision")

suite.end()
