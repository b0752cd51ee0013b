#!/usr/bin/env python3
"""The official Go SDK client through the explicit proxy (with what `proxy env
--for go` prints) and through the mount."""
import sdkcases
import toolchains

# Go sends nothing that is named localhost to a proxy, but names below it.
sdkcases.main("sdk_go", toolchains.go_client,
              lambda gw, token: gw.env_of("go", token), host="go.localhost")
