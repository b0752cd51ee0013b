"""A small MCP server on stdio, of the standard library alone: each tool tries
something that a local server may or may not do."""
import json
import os
import socket
import sys
import threading
import time

say_lock = threading.Lock()


def say(o):
    with say_lock:
        sys.stdout.write(json.dumps(o) + "\n")
        sys.stdout.flush()


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return "written"


def reach(host, port):
    with socket.create_connection((host, port), 3):
        return "connected"


def env():
    return json.dumps(dict(os.environ))


def crash(status=3):
    os._exit(status)


def wait(seconds):
    time.sleep(seconds)
    return "waited"


def noise(bytes):
    with say_lock:
        sys.stdout.write("x" * bytes + "\n")
        sys.stdout.flush()
    print("to standard error", file=sys.stderr, flush=True)
    return "noisy"


def long(bytes):
    return "y" * bytes


def secret():
    return "write to carol.jones@example.org"


def who():
    return json.dumps({"pid": os.getpid(), "args": sys.argv[1:],
                       "folder": os.getcwd(), "hello": hello})


def spawn():
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    return str(pid)


def steps(n, _token=None):
    for i in range(n):
        say({"jsonrpc": "2.0", "method": "notifications/progress",
             "params": {"progressToken": _token, "progress": i}})
    return "stepped"


tools = {f.__name__: f for f in (read, write, reach, env, crash, wait, noise,
                                 long, secret, who, spawn, steps)}
hello = []


def call(m):
    args = m["params"].get("arguments", {})
    if m["params"]["name"] == "steps":
        args["_token"] = m["params"]["_meta"]["progressToken"]
    try:
        text, bad = tools[m["params"]["name"]](**args), False
    except Exception as e:
        text, bad = repr(e), True
    say({"jsonrpc": "2.0", "id": m["id"], "result": {
        "content": [{"type": "text", "text": text}], "isError": bad}})


for line in sys.stdin:
    m = json.loads(line)
    method = m.get("method")
    if method == "initialize":
        hello.append(method)
        say({"jsonrpc": "2.0", "id": m["id"], "result": {
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "small", "version": "1"}}})
    elif method == "notifications/initialized":
        hello.append(method)
        say({"jsonrpc": "2.0", "id": "s1", "method": "roots/list"})
    elif method == "notifications/cancelled":
        write("cancelled", str(m["params"]["requestId"]))
    elif method == "tools/list":
        say({"jsonrpc": "2.0", "id": m["id"], "result": {"tools": [
            {"name": t, "inputSchema": {"type": "object"}} for t in tools]}})
    elif method == "tools/call":
        threading.Thread(target=call, args=[m], daemon=True).start()
    elif "result" in m:
        write("answer", json.dumps(m))
