"""An MCP server that the tests can change while it runs: sessions as the
specification has them, pages, its own GET stream, tools that take their time.
It notes every message it received."""
import http.server
import json
import queue
import threading
import uuid

from upstreams import Server


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def answer(self, status, body=None, fields=()):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for k, v in fields:
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(data)

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def event(self, message):
        data = b"event: message\nid: 7\ndata: " + \
            json.dumps(message).encode() + b"\n\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError, BrokenPipeError):
            self.close_connection = True

    def parse_request(self):
        if self.server.mcp.down:    # connections that were kept end too
            self.close_connection = True
            return False
        return super().parse_request()

    def session(self):
        """False: none of ours, and the client was told."""
        if self.headers.get("Mcp-Session-Id") in self.server.mcp.sessions:
            return True
        self.answer(404, {"jsonrpc": "2.0", "id": None, "error": {
            "code": -32001, "message": "Session not found"}})
        return False

    def do_GET(self):
        s = self.server.mcp
        if not self.session():
            return
        q = queue.Queue()
        s.streams.append(q)
        self.stream()
        while True:
            m = q.get()
            if m is None:
                break
            self.event(m)

    def do_DELETE(self):
        s = self.server.mcp
        s.deleted.append(self.headers.get("Mcp-Session-Id"))
        s.sessions.discard(self.headers.get("Mcp-Session-Id"))
        self.answer(200)

    def do_POST(self):
        s = self.server.mcp
        m = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        s.seen.append({**m, "headers": dict(self.headers.items())})
        method, p = m.get("method"), m.get("params", {})
        if method == "initialize":
            sid = uuid.uuid4().hex
            s.sessions.add(sid)
            return self.answer(200, {"jsonrpc": "2.0", "id": m["id"], "result":
                {"protocolVersion": s.version, "capabilities": {"tools": {
                    "listChanged": True}}, "serverInfo": {
                        "name": s.name, "version": "1"}}},
                fields=[("Mcp-Session-Id", sid)])
        if not self.session():
            return
        if "id" not in m or method is None:
            return self.answer(202)
        if self.headers.get("MCP-Protocol-Version") != s.version:
            return self.answer(400, {"jsonrpc": "2.0", "id": m["id"], "error":
                {"code": -32000, "message": "wrong protocol version"}})
        if method == "tools/list":
            return self.list(s, m, p)
        if method == "tools/call" and s.refuse:
            return self.answer(s.refuse, {"jsonrpc": "2.0", "id": m["id"],
                               "error": {"code": -32000, "message": "no"}})
        if method != "tools/call":
            return self.answer(200, {"jsonrpc": "2.0", "id": m["id"], "error":
                {"code": -32601, "message": "Method not found"}})
        self.call(s, m, p)

    def list(self, s, m, p):
        at = int(p.get("cursor", 0))
        r = {"tools": s.tools[at:at + s.page]}
        if at + s.page < len(s.tools):
            r["nextCursor"] = str(at + s.page)
        self.answer(200, {"jsonrpc": "2.0", "id": m["id"], "result": r})

    def call(self, s, m, p):
        name, args = p["name"], p.get("arguments", {})
        r = {"jsonrpc": "2.0", "id": m["id"], "result": {"content": [
            {"type": "text", "text": f"{s.name}:{name}:{json.dumps(args)}"}]}}
        if name not in [t["name"] for t in s.tools]:
            return self.answer(200, {"jsonrpc": "2.0", "id": m["id"], "error":
                {"code": -32602, "message": f"Unknown tool: {name}"}})
        if name != "slow":
            return self.answer(200, r)
        self.stream()
        token = p.get("_meta", {}).get("progressToken")
        for i in range(args.get("steps", 3)):
            self.event({"jsonrpc": "2.0", "method": "notifications/progress",
                        "params": {"progressToken": token, "progress": i + 1}})
            if s.go.acquire(timeout=args.get("every", 0.05)):
                break
        self.event(r)
        self.wfile.write(b"0\r\n\r\n")


def tool(name, about=None, **properties):
    return {"name": name, "description": about or name, "inputSchema": {
        "type": "object", "properties": {k: {"type": v} for k, v in
                                         properties.items()}}}


class McpServer:
    def __init__(self, name, tools, version="2025-11-25", port=0):
        self.name, self.tools, self.version = name, tools, version
        self.page, self.down = 1000, False
        self.refuse = 0         # a status for every call
        self.sessions, self.streams = set(), []
        self.seen, self.deleted = [], []
        self.go = threading.Semaphore(0)
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.handle_error = lambda *_: None
        self.server.mcp = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def url(self, path="/mcp"):
        return f"http://127.0.0.1:{self.port}{path}"

    def count(self, method):
        return len([m for m in self.seen if m.get("method") == method])

    def calls(self):
        return [m["params"] for m in self.seen
                if m.get("method") == "tools/call"]

    def push(self, message):
        for q in self.streams:
            q.put(message)

    def stop(self):
        self.down = True
        for q in self.streams:
            q.put(None)
        self.server.shutdown()
        self.server.server_close()
