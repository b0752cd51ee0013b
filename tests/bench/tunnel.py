#!/usr/bin/env python3
"""tunnel.py TARGET [PROXY AUTHORITY CREDENTIALS]: a port, printed, that is the
target, by way of the proxy where one is given: for load generators that know
no CONNECT. Subjects without a proxy get it too, so that all have its delay."""
import socket
import sys
import threading


def copy(a, b):
    try:
        while (d := a.recv(262144)):
            b.sendall(d)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def far(target, via):
    host, port = (via[0] if via else target).rsplit(":", 1)
    s = socket.create_connection((host, int(port)))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if via:
        s.sendall(f"CONNECT {via[1]} HTTP/1.1\r\nHost: {via[1]}\r\n"
                  f"Proxy-Authorization: {via[2]}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            d = s.recv(1)
            if not d:
                break
            head += d
        if b" 200 " not in head:
            sys.exit(f"CONNECT: {head!r}")
    return s


def main():
    target, via = sys.argv[1], sys.argv[2:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)
    while True:
        near, _ = listener.accept()
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = far(target, via)
        for pair in ((near, other), (other, near)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


main()
