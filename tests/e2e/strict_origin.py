"""The upstream of test_strict: keeps every byte it receives, in connections,
and reads them with readers that know nothing of the gateway."""
import asyncio
import json
import pathlib
import re
import sys
import threading

import sdkcases
from support import ROOT, Failed


def _h11():
    """h11 of the SDK's environment, which has it pinned."""
    venv = ROOT / "build/e2e-venv"
    pins = sdkcases.HERE / "sdk/requirements.txt"

    def install():
        sdkcases.run(sys.executable, "-m", "venv", venv)
        sdkcases.run(venv / "bin/pip", "-q", "--disable-pip-version-check",
                     "install", "--no-deps", "-r", pins)
    sdkcases.installed(venv, [pins], install)
    for p in venv.glob("lib/python*/site-packages"):
        sys.path.append(str(p))
    import h11
    return h11


h11 = _h11()

# --- readers of HTTP ---------------------------------------------------------------

REQUEST = re.compile(rb"([A-Z]+) (/[!-~]*|\*) HTTP/1\.1\Z")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t -~\x80-\xff]*)\Z")


class Request:
    def __init__(self, method, target, fields, body, raw):
        self.method, self.target, self.fields = method, target, fields
        self.body, self.raw = body, raw

    def field(self, name):
        return [v for k, v in self.fields if k == name]

    def key(self):
        return self.method, self.target, sorted(self.fields), self.body


def naive(data):
    """Takes one request off data by the letter: (request, rest), or None when
    it is not all there. Everything else is an error."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    m = REQUEST.match(lines[0])
    if m is None:
        raise Failed(f"the request line {lines[0]!r}")
    fields = []
    for l in lines[1:]:
        f = FIELD.match(l)
        if f is None:
            raise Failed(f"the field {l!r}")
        fields.append((f[1].decode().lower(), f[2].strip(b" \t")
                       .decode("latin-1")))
    names = [k for k, _ in fields]
    for once in ("content-length", "transfer-encoding", "host",
                 "content-type", "authorization"):
        if names.count(once) > 1:
            raise Failed(f"{once} twice: {fields}")
    at = end + 4
    if "content-length" in names and "transfer-encoding" in names:
        raise Failed(f"two framings: {fields}")
    if "host" not in names:
        raise Failed(f"no Host: {fields}")
    f = dict(fields)
    body = b""
    if "content-length" in f:
        if not re.fullmatch(r"0|[1-9][0-9]*", f["content-length"]):
            raise Failed(f"the length {f['content-length']!r}")
        n = int(f["content-length"])
        if len(data) - at < n:
            return None
        body, at = data[at:at + n], at + n
    elif "transfer-encoding" in f:
        if f["transfer-encoding"] != "chunked":
            raise Failed(f"the coding {f['transfer-encoding']!r}")
        while True:
            eol = data.find(b"\r\n", at)
            if eol < 0:
                return None
            if not re.fullmatch(rb"[0-9a-f]{1,8}", data[at:eol]):
                raise Failed(f"the chunk size {data[at:eol]!r}")
            n = int(data[at:eol], 16)
            if len(data) < eol + 2 + n + 2:
                return None
            body += data[eol + 2:eol + 2 + n]
            at = eol + 2 + n + 2
            if data[at - 2:at] != b"\r\n":
                raise Failed("a chunk without its end")
            if n == 0:
                break
    return Request(m[1].decode(), m[2].decode(), fields, body,
                   data[:at]), data[at:]


def by_h11(raw):
    """The same bytes as h11 reads them."""
    c = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    c.receive_data(raw)
    c.receive_data(b"")
    head, body = None, b""
    while True:
        e = c.next_event()
        if isinstance(e, h11.Request):
            head = e
        elif isinstance(e, h11.Data):
            body += bytes(e.data)
        elif isinstance(e, h11.EndOfMessage):
            break
        else:
            raise Failed(f"h11: {e!r}")
    if c.trailing_data[0]:
        raise Failed(f"h11 sees more: {c.trailing_data[0][:100]!r}")
    return Request(head.method.decode(), head.target.decode(), [
        (k.decode(), v.decode("latin-1")) for k, v in head.headers], body, raw)


def by_the_lenient(raw):
    """As loose servers read: any CR or LF ends a line, white space before a
    line continues the one before, "_" is "-", the last field of a name counts,
    a length is taken before chunks."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = []
    for l in re.split(rb"\r\n|\r|\n", head):
        if l[:1] in (b" ", b"\t") and lines:
            lines[-1] += l
        else:
            lines.append(l)
    fields = []
    for l in lines[1:]:
        k, _, v = l.partition(b":")
        fields.append((k.strip().decode("latin-1").lower().replace("_", "-"),
                       v.strip(b" \t").decode("latin-1")))
    f = dict(fields)
    method, target = lines[0].decode("latin-1").split(None, 2)[:2]
    method = f.get("x-http-method-override", method)
    target = f.get("x-original-url", f.get("x-rewrite-url", target))
    if "content-length" in f:
        body = rest[:int(re.match(r"[\s+]*(\d*)", f["content-length"])[1]
                         or 0)]
    else:
        body = naive(raw)[0].body
    return Request(method, target, fields, body, raw)


# --- readers of JSON ------------------------------------------------------------


class Pairs(list):
    pass


def _pairs(text):
    """Objects as lists of pairs, numbers as they are written."""
    def no(name):
        raise Failed(f"{name} in JSON")
    return json.loads(text, object_pairs_hook=Pairs, parse_int=lambda s:
                      ("number", s), parse_float=lambda s: ("number", s),
                      parse_constant=no)


def fold(key):
    """As Go's encoding/json compares the names of fields."""
    return key.split("\0")[0].replace("\u017f", "s").replace(
        "\u212a", "k").lower()


def _get(pairs, key, how):
    if not isinstance(pairs, Pairs):
        return None
    found = [v for k, v in pairs if (fold(k) if how == "folding" else k)
             == key]
    if not found:
        return None
    return found[0] if how == "first" else found[-1]


def plain(v, how="last"):
    if isinstance(v, Pairs):
        items = v if how != "first" else reversed(v)
        return {k: plain(x, how) for k, x in items}
    if isinstance(v, list):
        return [plain(x, how) for x in v]
    return v


def messages(text):
    """What each of three readers takes a body for: (method, name, arguments)
    or another JSON value."""
    out = []
    for how in ("last", "first", "folding"):
        d = _pairs(text)
        p = _get(d, "params", how)
        name = _get(p, "name", how)
        args = _get(p, "arguments", how)
        out.append((plain(_get(d, "method", how), how), plain(name, how),
                    plain(args, how), plain(p, how)))
    return out


# --- the server -----------------------------------------------------------------------


class Origin:
    """Ports on one thread; each road has its own. seen[road]: requests in the
    order in which they came; wrong[road]: what no reader should get."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.seen, self.wrong, self.ports = {}, {}, {}
        self.threads = threading.Thread(target=self.loop.run_forever,
                                        daemon=True)
        self.threads.start()

    def listen(self, road, tls=None, port=0):
        self.seen[road], self.wrong[road] = [], []

        async def go():
            s = await asyncio.start_server(
                lambda r, w: self.serve(road, r, w), "127.0.0.1", port,
                ssl=tls, limit=1 << 22)
            return s, s.sockets[0].getsockname()[1]
        # The server must be kept, or it is collected.
        server, self.ports[road] = asyncio.run_coroutine_threadsafe(
            go(), self.loop).result(20)
        self.ports[road, "server"] = server
        return self.ports[road]

    async def serve(self, road, r, w):
        data = b""
        try:
            while True:
                got = naive(data) if data else None
                if got is None:
                    d = await r.read(1 << 20)
                    if not d:
                        break
                    data += d
                    continue
                req, data = got
                self.seen[road].append(req)
                w.write(self.answer(req))
                await w.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        except Failed as e:
            self.wrong[road].append(f"{e} in {data[:300]!r}")
        if data:
            self.wrong[road].append(f"a part of a request: {data[:300]!r}")
        w.close()

    @staticmethod
    def answer(req):
        try:
            m = json.loads(req.body)
            rpc = isinstance(m, dict) and "jsonrpc" in m
        except (ValueError, RecursionError):
            rpc, m = False, None
        marks = re.findall(r"mk-[a-z0-9-]+?-z", req.target + req.body.decode(
            errors="replace"))
        if rpc and "id" not in m:
            return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        out = {"jsonrpc": "2.0", "id": m["id"], "result": {"content": [
            {"type": "text", "text": " ".join(marks)}]}} if rpc else \
            {"marks": marks}
        text = json.dumps(out).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" \
            b"Content-Length: %d\r\n\r\n%b" % (len(text), text)


SERVER = pathlib.Path(__file__).resolve().parent / "sdk/strictserver.py"
