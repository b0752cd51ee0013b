"""The smallest MCP server on stdio: answers each request with a result of its
arguments' size."""
import json
import sys

for line in sys.stdin:
    m = json.loads(line)
    if "id" in m:
        text = m.get("params", {}).get("arguments", {}).get("text", "")
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": {
            "content": [{"type": "text", "text": text}]}}) + "\n")
        sys.stdout.flush()
