"""A local server on stdio that keeps each line as it came, in the file that it
is given, and answers with the marks in it."""
import json
import re
import sys

if hasattr(sys, "set_int_max_str_digits"):
    sys.set_int_max_str_digits(0)
out = open(sys.argv[1], "ab", buffering=0)
for line in sys.stdin.buffer:
    out.write(line)
    try:
        m = json.loads(line)
    except ValueError:
        m = None
    if isinstance(m, dict) and "id" in m and "method" in m:
        marks = " ".join(re.findall(r"mk-[a-z0-9-]+?-z", line.decode(
            errors="replace")))
        result = {"protocolVersion": "2025-11-25", "capabilities": {},
                  "serverInfo": {"name": "strict", "version": "1"}} \
            if m["method"] == "initialize" else \
            {"content": [{"type": "text", "text": marks}]}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": m["id"],
                                     "result": result}) + "\n")
        sys.stdout.flush()
