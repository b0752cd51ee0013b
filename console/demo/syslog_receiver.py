#!/usr/bin/env python3
"""A syslog receiver over TLS with octet counting (RFC 5425), for the demo.

  syslog_receiver.py --cert FILE --key FILE [--port 0]

Prints "ready PORT", then every message as it came, one a line (a line end
inside a message, which Portreeve never sends, is shown as <LF>).
"""
import argparse
import socket
import ssl
import sys
import threading

COUNT_DIGITS = 7
out = threading.Lock()


def say(text):
    with out:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def frames(stream):
    """MSG-LEN SP SYSLOG-MSG, again and again (RFC 5425, 4.3)."""
    while True:
        digits = b""
        while True:
            c = stream.read(1)
            if c == b"":
                if digits:
                    raise ValueError("the stream ends inside a length")
                return
            if c == b" ":
                break
            digits += c
            if not c.isdigit() or len(digits) > COUNT_DIGITS:
                raise ValueError(f"no length: {digits!r}")
        if digits == b"" or digits[:1] == b"0":
            raise ValueError(f"no length: {digits!r}")
        want = int(digits)
        message = stream.read(want)
        if len(message) != want:
            raise ValueError("the stream ends inside a message")
        yield message


def serve(sock, tls):
    try:
        with tls.wrap_socket(sock, server_side=True) as s:
            for message in frames(s.makefile("rb")):
                say(message.decode("utf-8", "replace").replace("\n", "<LF>"))
    except (OSError, ValueError) as e:
        print(f"syslog receiver: {e}", file=sys.stderr, flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--cert", required=True)
    ap.add_argument("--key", required=True)
    ap.add_argument("--port", type=int, default=0)
    a = ap.parse_args()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(a.cert, a.key)
    listener = socket.create_server(("127.0.0.1", a.port))
    say(f"ready {listener.getsockname()[1]}")
    try:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock, tls),
                             daemon=True).start()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
