#!/usr/bin/env python3
"""A demo agent: an MCP client that knows nothing of Portreeve but a proxy (or
a URL), a task token and a CA.

As an agent behind a proxy, or on a mount:
  agent.py --proxy 127.0.0.1:3128 --ca ca.pem --token prt_... \\
      https://localhost:9000/mcp call read_ticket '{"id": "T-1"}'
  agent.py --token prt_... http://127.0.0.1:8080/mcp/helpdesk list
The token may stand in PORTREEVE_TOKEN instead.
"""
import argparse
import base64
import http.client
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse

VERSION = "2025-06-18"


class Refused(Exception):
    """The gateway, or the server, answered with an HTTP error."""

    def __init__(self, status, text):
        super().__init__(f"HTTP {status}: {text}")
        self.status, self.text = status, text


class RpcError(Exception):
    """A JSON-RPC error."""

    def __init__(self, error):
        super().__init__(error.get("message"))
        self.error = error


def events(response):
    """The data of every SSE event, decoded from JSON."""
    data = []
    while True:
        line = response.readline()
        if line == b"":
            return
        line = line.rstrip(b"\r\n")
        if line == b"" and data:
            yield json.loads(b"\n".join(data))
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].lstrip(b" "))


class Agent:
    """One session of MCP. proxy: "host:port", or None for a mount."""

    def __init__(self, url, token, proxy=None, ca=None, timeout=60):
        self.url = urllib.parse.urlsplit(url)
        self.token, self.proxy, self.timeout = token, proxy, timeout
        self.tls = None
        if self.url.scheme == "https":
            self.tls = ssl.create_default_context(cafile=ca)
        self.conn = None
        self.session = None
        self.last_id = 0

    # --- HTTP -------------------------------------------------------------

    def connect(self):
        """A connection, through CONNECT where there is a proxy."""
        host, port = self.url.hostname, self.url.port
        at = (host, port)
        if self.proxy:
            at = tuple(self.proxy.rsplit(":", 1))
        kind = http.client.HTTPConnection
        more = {"timeout": self.timeout}
        if self.tls is not None:
            kind, more["context"] = http.client.HTTPSConnection, self.tls
        conn = kind(at[0], int(at[1]), **more)
        if self.proxy:
            basic = base64.b64encode(b"agent:" + self.token.encode())
            conn.set_tunnel(host, port, {
                "Host": f"{host}:{port}",
                "Proxy-Authorization": "Basic " + basic.decode()})
        return conn

    def post(self, conn, message):
        headers = {"Content-Type": "application/json",
                   "Accept": "application/json, text/event-stream"}
        if self.session:
            headers["Mcp-Session-Id"] = self.session
            headers["MCP-Protocol-Version"] = VERSION
        if not self.proxy:
            headers["Authorization"] = "Bearer " + self.token
        conn.request("POST", self.url.path, json.dumps(message), headers)
        response = conn.getresponse()
        if response.status >= 300:
            raise Refused(response.status,
                          response.read().decode("utf-8", "replace"))
        return response

    def close(self):
        if self.conn is not None:
            self.conn.close()
            self.conn = None

    # --- JSON-RPC ---------------------------------------------------------

    def request(self, method, params=None):
        """The result of a request; RpcError or Refused."""
        if self.conn is None:
            self.conn = self.connect()
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method}
        if params is not None:
            message["params"] = params
        try:
            response = self.post(self.conn, message)
            kind = response.getheader("Content-Type", "")
            if kind.startswith("text/event-stream"):
                answers = list(events(response))
            else:
                answers = [json.loads(response.read())]
        except BaseException:
            self.close()
            raise
        for answer in answers:
            if answer.get("id") == self.last_id:
                if "error" in answer:
                    raise RpcError(answer["error"])
                self.session = response.getheader("Mcp-Session-Id",
                                                  self.session)
                return answer["result"]
        raise Refused(response.status, "no answer to the request")

    def notify(self, method):
        self.post(self.conn, {"jsonrpc": "2.0", "method": method}).read()

    # --- MCP --------------------------------------------------------------

    def initialize(self):
        result = self.request("initialize", {
            "protocolVersion": VERSION, "capabilities": {},
            "clientInfo": {"name": "demo-agent", "version": "1"}})
        self.notify("notifications/initialized")
        return result

    def tools(self):
        return self.request("tools/list")["tools"]

    def call(self, tool, arguments):
        """(text, is_error) of a tool's result."""
        r = self.request("tools/call", {"name": tool, "arguments": arguments})
        text = "\n".join(c.get("text", "") for c in r.get("content", []))
        return text, bool(r.get("isError"))


class Stream(threading.Thread):
    """Keeps the tool `watch` open on a connection of its own: `times` grows
    by one an event; `ended` says how it ended, None while it is open."""

    def __init__(self, agent):
        super().__init__(daemon=True)
        self.agent = agent
        self.times = []
        self.ended = self.ended_at = None
        self.start()

    def run(self):
        try:
            how = self.watch()
        except (OSError, http.client.HTTPException) as e:
            how = f"cut ({type(e).__name__})"
        except (Refused, ValueError) as e:
            how = f"refused: {e}"
        self.ended_at = time.monotonic()
        self.ended = how        # last: who waits for it reads the time next

    def watch(self):
        conn = self.agent.connect()
        response = self.agent.post(conn, {
            "jsonrpc": "2.0", "id": "watch", "method": "tools/call",
            "params": {"name": "watch", "arguments": {}}})
        for message in events(response):
            if message.get("method") == "notifications/message":
                self.times.append(time.monotonic())
                continue
            # The gateway ends a killed stream with an answer that says so.
            meta = message.get("result", {}).get("_meta", {})
            if meta.get("portreeve/reason") != "killed":
                raise Refused(200, json.dumps(message))
            return "cut (told: killed)"
        # The end of a chunked body that nobody ended is an end of file to
        # http.client's readline(): only what it left tells.
        cut = response.chunk_left is not None or not response.isclosed()
        return "cut" if cut else "finished"


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--proxy", help="host:port")
    ap.add_argument("--ca", help="PEM file; the proxy's CA")
    ap.add_argument("--token", default=os.environ.get("PORTREEVE_TOKEN"))
    ap.add_argument("url")
    ap.add_argument("verb", choices=["list", "call"])
    ap.add_argument("tool", nargs="?")
    ap.add_argument("arguments", nargs="?", default="{}")
    a = ap.parse_args()
    if not a.token or (a.verb == "call" and not a.tool):
        ap.error("a token is needed, and call needs a tool")
    agent = Agent(a.url, a.token, a.proxy, a.ca)
    try:
        agent.initialize()
        if a.verb == "list":
            for t in agent.tools():
                print(f"{t['name']:<14} {t['description']}")
            return 0
        text, bad = agent.call(a.tool, json.loads(a.arguments))
        print(text)
        return 1 if bad else 0
    except (Refused, RpcError, OSError) as e:
        print(f"agent: {e}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
