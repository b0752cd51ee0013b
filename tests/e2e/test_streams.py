#!/usr/bin/env python3
"""release only: what a sanitizer keeps beside memory is not the proxy's.

Open intercepted event streams: what each holds in the proxy, TLS on both
sides, after events and while it is quiet; that it still delivers; that what
it held is there for the next ones."""
import pathlib
import resource
import shutil
import socket
import ssl
import tempfile
import threading

from support import (Certificates, Suite, check, connect, equal, has, memory,
                     recv_all, rpc, until)

N = 200
# 45 kB were measured with thousands of streams; a few hundred share less of
# what is there once, and pages wait up to 10 s to be given back.
EACH = 64 << 10

top = pathlib.Path(tempfile.mkdtemp(prefix="portreeve-streams."))
suite = Suite("test_streams")
suite.cleanups.append(lambda: shutil.rmtree(top, True))
certs = Certificates(top / "certs")


class Streams:
    """A TLS server: each request is answered by a stream that stays open."""

    def __init__(self):
        self.ctx = certs.server_context(certs.make("server"))
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.listener.accept()
            try:
                s.settimeout(20)
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                s = self.ctx.wrap_socket(s, server_side=True)
                recv_all(s, until=b"\r\n\r\n")
                s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-"
                          b"stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                self.open.append(s)
                self.event(s, "hello")
            except OSError as e:
                print(f"     the upstream lost a connection: {e}")

    @staticmethod
    def event(s, text):
        d = ('data: {"jsonrpc":"2.0","method":"notifications/message",'
             f'"params":{{"level":"info","data":"{text}"}}}}\n\n').encode()
        s.sendall(b"%x\r\n%b\r\n" % (len(d), d))

    def all(self, text):
        for s in self.open:
            self.event(s, text)


up = Streams()
# Too few for what follows: the proxy takes what the hard limit gives.
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (N, hard))
gw = suite.gateway("streams", {"s": {"url": f"https://localhost:{up.port}/",
                                     "pin": ["127.0.0.1", "::1"]}},
                   certs=certs)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
token = gw.session()
proxy = gw.roles()["proxy"]
agents = []


def open_one():
    s = connect(gw, token, f"localhost:{up.port}", tls=gw.ca())
    s.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{up.port}\r\n"
              "Accept: text/event-stream\r\n\r\n".encode())
    has(recv_all(s, until=b"hello").decode(), "200 OK", "hello")
    agents.append(s)


with suite.case(f"{N} open streams: what one holds in the proxy"):
    for _ in range(50):     # what is there once, whatever comes
        open_one()
    before = memory(proxy)
    for _ in range(N):
        open_one()
    up.all("second")
    for s in agents:
        has(recv_all(s, until=b"second").decode(), "second")
    each = (memory(proxy) - before) / N
    print(f"     {each / 1024:.1f} kB a stream")
    check(each < EACH, f"{each:.0f} bytes a stream")

with suite.case("a quiet stream still delivers, event by event"):
    for text in ("third", "fourth"):
        up.all(text)
        for s in agents:
            has(recv_all(s, until=text.encode()).decode(), text)

with suite.case("streams that end leave their memory to the next"):
    high = memory(proxy)
    for s in agents:
        s.close()
    agents.clear()
    until("all have ended", lambda: len(gw.events(
        type="call.outcome", status="cut")) >= N + 50)
    up.open.clear()
    for _ in range(N):
        open_one()
    check(memory(proxy) - high < N * EACH / 4,
          f"{memory(proxy) - high} bytes more")

suite.end()
