"""The fixture server of the MCP conformance suite, and what runs the suite."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading

import sdkcases
from support import Failed, free_port, has, until


class SuiteServer:
    """sdk/suite_server.mjs on a free port of 127.0.0.1."""

    def __init__(self, suite, top):
        node = sdkcases.node()
        shutil.copy(sdkcases.HERE / "sdk/suite_server.mjs",
                    sdkcases.NODE_DIR)
        self.port = free_port()
        self.log = top / "suite-server.log"
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen(
                [node, str(sdkcases.NODE_DIR / "suite_server.mjs")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "PORT": str(self.port)})
        until("the suite's server listens", lambda: "listening" in
              self.log.read_text())
        suite.cleanups.append(self.stop)

    def url(self):
        return f"http://localhost:{self.port}/mcp"

    def stop(self):
        self.proc.kill()
        self.proc.wait()

    def requests(self):
        """What arrived: method, headers, body."""
        import json
        return [json.loads(line[8:]) for line in
                self.log.read_text().splitlines()
                if line.startswith("REQUEST ")]


class TokenAdder:
    """Passes HTTP/1.1 on to a port and adds a field to each request: the
    suite has no option for one. Host and all else stay as they are."""

    def __init__(self, suite, port, field):
        self.field, self.to = field.encode() + b"\r\n", port
        self.s = socket.create_server(("127.0.0.1", 0))
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()
        suite.cleanups.append(self.s.close)

    def accept(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            u = socket.create_connection(("127.0.0.1", self.to))
            threading.Thread(target=self.requests, args=(c, u),
                             daemon=True).start()
            threading.Thread(target=self.copy, args=(u, c),
                             daemon=True).start()

    def requests(self, c, u):
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    d = c.recv(65536)
                    if not d:
                        raise OSError
                    data += d
                head, data = data.split(b"\r\n\r\n", 1)
                line, rest = head.split(b"\r\n", 1)
                m = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                n = int(m[1]) if m else 0
                while len(data) < n:
                    data += c.recv(65536)
                u.sendall(line + b"\r\n" + self.field + rest + b"\r\n\r\n" +
                          data[:n])
                data = data[n:]
        except OSError:
            self.close(c, u)

    def copy(self, u, c):
        try:
            while True:
                d = u.recv(65536)
                if not d:
                    break
                c.sendall(d)
        except OSError:
            pass
        self.close(c, u)

    @staticmethod
    def close(*socks):
        for s in socks:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def conformance(url, revision, out, env=None, timeout=400):
    """Runs what a revision requires; scenario -> (passed, failed)."""
    index = sdkcases.NODE_DIR / "node_modules/@modelcontextprotocol/" \
        "conformance/dist/index.js"
    p = subprocess.run([sdkcases.node(), str(index), "server", "--url", url,
                        "--requirements", revision, "-o", str(out)],
                       env={"PATH": os.environ["PATH"], **(env or {})},
                       text=True, capture_output=True, timeout=timeout,
                       stdin=subprocess.DEVNULL, cwd=out.parent)
    got = {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(
        r"^\S (\S+): (\d+) passed, (\d+) failed", p.stdout, re.M)}
    if not got:
        raise Failed(f"no summary: {p.stdout[-2000:]}{p.stderr[-2000:]}")
    return got
