#!/usr/bin/env python3
"""The official TypeScript SDK client through the explicit proxy (CONNECT, the
gateway's CA, NODE_USE_ENV_PROXY) and through the mount."""
import sdkcases

exe = sdkcases.node()
sdkcases.main(
    "sdk_ts", lambda: [exe, str(sdkcases.NODE_DIR / "client.mjs")],
    lambda gw, token: {"NODE_USE_ENV_PROXY": "1",
                       "HTTPS_PROXY": gw.proxy_url(token),
                       "NODE_EXTRA_CA_CERTS": str(gw.ca())})
