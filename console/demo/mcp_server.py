#!/usr/bin/env python3
"""A small MCP server over TLS, for the demo: Streamable HTTP, 2025-06-18.

  mcp_server.py --cert FILE --key FILE [--port 0] [--name NAME]
      [--received FILE]

Prints "ready PORT". Tools: read_ticket, send_email, delete_repo, read_page,
watch (a stream with an event every 50 ms). Every message that arrives is
written to --received as a line of JSON, before it is answered: that file says
what really left the gate.
"""
import argparse
import json
import secrets
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSIONS = ("2025-06-18", "2025-11-25", "2025-03-26")
BODY_MAX = 1 << 20
EVERY = 0.05
# Spelled in two parts, so that nothing that looks for secrets in files takes
# it for one. It is the example key of the vendor's own documentation.
FAKE_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
FAKE_MAIL = "jane.doe@example.com"

TICKETS = {"T-1": "The printer on floor 3 is on fire again."}


def text_argument(name, about):
    return {"type": "object", "required": [name],
            "properties": {name: {"type": "string", "description": about}}}


TOOLS = [
    {"name": "read_ticket", "description": "Reads a ticket.",
     "inputSchema": text_argument("id", "such as T-1"),
     "annotations": {"readOnlyHint": True}},
    {"name": "read_page", "description": "Reads a page of the handbook.",
     "inputSchema": text_argument("page", "its name"),
     "annotations": {"readOnlyHint": True}},
    {"name": "send_email", "description": "Sends an e-mail.",
     "inputSchema": {"type": "object", "required": ["to", "subject"],
                     "properties": {"to": {"type": "string"},
                                    "subject": {"type": "string"}}}},
    {"name": "delete_repo", "description": "Deletes a repository for good.",
     "inputSchema": text_argument("repo", "its name"),
     "annotations": {"destructiveHint": True}},
    {"name": "watch", "description": "Streams an event every 50 ms.",
     "inputSchema": {"type": "object", "properties": {
         "seconds": {"type": "number", "description": "3600 at most"}}},
     "annotations": {"readOnlyHint": True}},
]


def call_tool(name, args):
    if name == "read_ticket":
        return TICKETS.get(args.get("id"), "There is no such ticket.")
    if name == "read_page":
        return (f"Deploying: ask {FAKE_MAIL} for access, then set "
                f"aws_access_key_id = {FAKE_KEY} and run make.")
    if name == "send_email":
        return f"Sent \"{args.get('subject')}\" to {args.get('to')}."
    if name == "delete_repo":
        return f"Deleted {args.get('repo')}."
    return None


class Log:
    """The file of --received; one line a message."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8") if path else None
        self.lock = threading.Lock()

    def write(self, **what):
        if self.file is None:
            return
        with self.lock:
            self.file.write(json.dumps({"at": time.time(), **what}) + "\n")
            self.file.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, address, tls, log, name):
        super().__init__(address, Handler)
        self.tls, self.log, self.name = tls, log, name
        self.sessions = set()

    def get_request(self):
        sock, address = super().get_request()
        # The handshake belongs into the connection's own thread.
        return self.tls.wrap_socket(sock, server_side=True,
                                    do_handshake_on_connect=False), address

    def handle_error(self, request, address):
        pass        # a client that went away


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 3600

    def setup(self):
        self.request.settimeout(10)
        self.request.do_handshake()
        super().setup()

    def log_message(self, *args):
        pass

    # --- answers ----------------------------------------------------------

    def reply(self, status, body=None, **headers):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def result(self, rid, result, **headers):
        self.reply(200, {"jsonrpc": "2.0", "id": rid, "result": result},
                   **headers)

    def error(self, rid, code, text, status=200):
        self.reply(status, {"jsonrpc": "2.0", "id": rid,
                            "error": {"code": code, "message": text}})

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, message):
        self.chunk(b"event: message\ndata: " + json.dumps(message).encode() +
                   b"\n\n")

    def stream(self, seconds, rid=None):
        """An event every 50 ms; ends with a result when there is a request
        to answer. Logs how many it sent and why it ended."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        started, n, why = time.monotonic(), 0, "time"
        try:
            while time.monotonic() < started + seconds:
                n += 1
                self.event({"jsonrpc": "2.0",
                            "method": "notifications/message",
                            "params": {"level": "info",
                                       "data": f"event {n}"}})
                time.sleep(max(0, started + n * EVERY - time.monotonic()))
            if rid is not None:
                self.event({"jsonrpc": "2.0", "id": rid, "result": {
                    "content": [{"type": "text",
                                 "text": f"{n} events"}]}})
            self.chunk(b"")
        except OSError as e:
            why = f"cut: {e}"
            self.close_connection = True
        self.server.log.write(stream=n, ended=why)

    # --- requests ---------------------------------------------------------

    def session_ok(self):
        given = self.headers.get("Mcp-Session-Id")
        if given is None or given in self.server.sessions:
            return True
        self.reply(404)
        return False

    def do_GET(self):
        if self.path != "/mcp":
            self.reply(404)
        elif "text/event-stream" not in self.headers.get("Accept", ""):
            self.reply(406)
        elif self.session_ok():
            self.stream(3600)

    def do_DELETE(self):
        if self.session_ok():
            self.server.sessions.discard(self.headers.get("Mcp-Session-Id"))
            self.reply(200)

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if self.path != "/mcp" or length > BODY_MAX:
            self.close_connection = True
            self.reply(404 if self.path != "/mcp" else 413)
            return
        raw = self.rfile.read(length)
        try:
            message = json.loads(raw)
        except ValueError:
            self.error(None, -32700, "not JSON", 400)
            return
        if not isinstance(message, dict):
            self.error(None, -32600, "one message a POST", 400)
            return
        self.server.log.write(message=message, headers=dict(self.headers))
        if self.session_ok():
            self.dispatch(message)

    def dispatch(self, m):
        rid, method = m.get("id"), m.get("method")
        params = m.get("params") or {}
        if rid is None:
            self.reply(202)
        elif method == "initialize":
            asked = params.get("protocolVersion")
            session = secrets.token_hex(16)
            self.server.sessions.add(session)
            self.result(rid, {
                "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": self.server.name, "version": "1"}},
                Mcp_Session_Id=session)
        elif method == "ping":
            self.result(rid, {})
        elif method == "tools/list":
            self.result(rid, {"tools": TOOLS})
        elif method == "tools/call":
            self.tool(rid, params)
        else:
            self.error(rid, -32601, f"there is no method {method}")

    def tool(self, rid, params):
        name, args = params.get("name"), params.get("arguments") or {}
        if name == "watch":
            self.stream(min(float(args.get("seconds", 3600)), 3600), rid)
            return
        text = call_tool(name, args)
        if text is None:
            self.error(rid, -32602, f"there is no tool {name}")
            return
        self.result(rid, {"content": [{"type": "text", "text": text}]})


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--cert", required=True)
    ap.add_argument("--key", required=True)
    ap.add_argument("--port", type=int, default=0)
    ap.add_argument("--name", default="demo")
    ap.add_argument("--received")
    a = ap.parse_args()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(a.cert, a.key)
    server = Server(("127.0.0.1", a.port), tls, Log(a.received), a.name)
    print("ready", server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
