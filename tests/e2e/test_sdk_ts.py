#!/usr/bin/env python3
"""The official TypeScript SDK client through the explicit proxy (with what
`proxy env --for node` prints) and through the mount."""
import sdkcases

exe = sdkcases.node()
sdkcases.main(
    "sdk_ts", lambda: [exe, str(sdkcases.NODE_DIR / "client.mjs")],
    lambda gw, token: gw.env_of("node", token))
