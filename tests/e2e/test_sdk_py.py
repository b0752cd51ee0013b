#!/usr/bin/env python3
"""The official Python SDK client through the explicit proxy (with what
`proxy env --for python` prints) and through the mount."""
import sys

import sdkcases

PINS = sdkcases.HERE / "sdk/requirements.txt"
VENV = sdkcases.ROOT / "build/e2e-venv"


def install():
    sdkcases.run(sys.executable, "-m", "venv", VENV)
    sdkcases.run(VENV / "bin/pip", "-q", "--disable-pip-version-check",
                 "install", "--no-deps", "-r", PINS)


sdkcases.installed(VENV, [PINS], install)
sdkcases.main(
    "sdk_py", lambda: [str(VENV / "bin/python"),
                       str(sdkcases.HERE / "sdk/client.py")],
    lambda gw, token: gw.env_of("python", token))
