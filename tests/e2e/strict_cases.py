"""What two readers of the same bytes are known to read in two ways, and what
must become of it: refused under a name, or brought to one reading. Played by
test_strict.py on every road.

Templates of HTTP/1.1 (kind "h1"):
  {target} {host} {auth}  what the road asks; {auth} is a whole line, or empty
  {post}                  request line, Host, token, Content-Type
  {body} {n} {x}          a good message, its length, and that in hexadecimal
  {evil}                  a whole request for the tool `evil` (REST: /v1/evil)
"""

# --- what must become of it ---------------------------------------------------


class Refused:
    """word: what the answer says: a word of reasons.def, or of the HTTP
    reader, whose event says ambiguous-http and the word. status None: any."""

    def __init__(self, word, status=None):
        self.word, self.status = word, status


class Reset:
    """Refused; on HTTP/2 the stream is reset, the event says why (detail)."""

    def __init__(self, detail):
        self.detail = detail


class Sent:
    """One message arrives, with one reading, the one that was gated.
    target: of the request line (REST); gone, kept: fields (small letters);
    n: messages, when it is not one."""

    def __init__(self, target=None, gone=(), kept=None, n=1):
        self.target, self.gone, self.kept = target, gone, kept or {}
        self.n = n


class Held:
    """Not what it seems to be: of a class of which a person would be asked
    (here the matrix denies it)."""


class Gone:
    """The agent ends the connection inside the message: nothing arrives."""


class Case:
    def __init__(self, group, name, kind, want, **more):
        self.group, self.name, self.kind, self.want = group, name, kind, want
        self.more = more
        self.roads = more.get("roads")


CASES = []


def add(group, kind, rows, **more):
    for name, what, want, *rest in rows:
        own = {**more, **(rest[0] if rest else {})}
        CASES.append(Case(group, name, kind, want, what=what, **own))


P = "{post}"
LEN = "Content-Length: {n}\r\n"
TE = "Transfer-Encoding: chunked\r\n"
CHUNKS = "{x}\r\n{body}\r\n0\r\n\r\n"

# --- Content-Length -----------------------------------------------------------

add("Content-Length", "h1", [
    ("two that differ", P + LEN + "Content-Length: 3\r\n\r\n{body}",
     Refused("duplicate-field", 400)),
    ("two that agree", P + LEN + LEN + "\r\n{body}",
     Refused("duplicate-field", 400)),
    ("two, in other letters", P + LEN + "CONTENT-LENGTH: 0\r\n\r\n{body}",
     Refused("duplicate-field", 400)),
    ("a list", P + "Content-Length: {n}, {n}\r\n\r\n{body}",
     Refused("content-length", 400)),
    *[(f"the value {v!r}", P + f"Content-Length: {v}\r\n\r\n{{body}}",
       Refused("content-length", 400)) for v in (
        "+{n}", "-{n}", "0x{x}", "{n}abc", "{n}.0", "1e2", "{n};a=b", '"{n}"',
        "{n} {n}", "1_0", "", ",", "\u00b9", "9" * 19, "9" * 40)],
    ("leading zeros", P + "Content-Length: 000{n}\r\n\r\n{body}",
     Sent(kept={"content-length": "{n}"})),
    ("space and tab around it", P + "Content-Length: \t {n} \t\r\n\r\n{body}",
     Sent(kept={"content-length": "{n}"})),
    ("no space before it", P + "Content-Length:{n}\r\n\r\n{body}", Sent()),
    ("a vertical tab before it", P + "Content-Length: \v{n}\r\n\r\n{body}",
     Refused("control-character", 400)),
    ("NUL behind it", P + "Content-Length: {n}\0\r\n\r\n{body}",
     Refused("control-character", 400)),
    ("a space before the colon", P + "Content-Length : {n}\r\n\r\n{body}",
     Refused("field-name", 400)),
    ("a tab before the colon", P + "Content-Length\t: {n}\r\n\r\n{body}",
     Refused("field-name", 400)),
    ("an underscore", P + LEN + "Content_Length: 3\r\n\r\n{body}",
     Refused("lookalike-field", 400)),
    ("shorter than the body: what follows is no request",
     P + "Content-Length: 2\r\n\r\n{{}}{evil_garbage}",
     Refused(None, None), {"answers": 2, "mcp": True}),
    ("0, and a body that is a request", P + "Content-Length: 0\r\n\r\n{evil}",
     Refused(None, None), {"answers": 2, "mcp": True}),
    ("longer than what comes", P + "Content-Length: 99999\r\n\r\n{body}",
     Gone()),
    ("beyond the limit", P + "Content-Length: 1048577\r\n\r\n{body}",
     Refused("body-too-large", 413)),
    ("with GET, and a request as body", "GET {target} HTTP/1.1\r\nHost: "
     "{host}\r\n{auth}Content-Type: application/json\r\n" + LEN +
     "\r\n{body}", Refused("ambiguous-http", 400), {"mcp": True}),
    ("with DELETE, and a request as body", "DELETE {target} HTTP/1.1\r\nHost:"
     " {host}\r\n{auth}Content-Type: application/json\r\n" + LEN +
     "\r\n{body}", Refused("ambiguous-http", 400), {"mcp": True}),
])

# --- Transfer-Encoding --------------------------------------------------------

add("Transfer-Encoding", "h1", [
    ("chunked", P + TE + "\r\n" + CHUNKS,
     Sent(gone=("transfer-encoding",), kept={"content-length": "{n}"})),
    ("in other letters", P + "TRANSFER-encoding: CHUNKED\r\n\r\n" + CHUNKS,
     Sent(gone=("transfer-encoding",))),
    ("a tab before it", P + "Transfer-Encoding:\tchunked\r\n\r\n" + CHUNKS,
     Sent(gone=("transfer-encoding",))),
    *[(f"the value {v!r}", P + f"Transfer-Encoding: {v}\r\n\r\n" + CHUNKS,
       Refused("transfer-encoding", 501)) for v in (
        "identity", "xchunked", "chunkedx", "chunked, identity",
        "identity, chunked", "gzip, chunked", "chunked, chunked", "chunked,",
        ",chunked", "chunked;q=1", '"chunked"', "chunked chunked", "",
        "chunk", "cow", "\u00e7hunked")],
    ("a control before it", P + "Transfer-Encoding: \x0bchunked\r\n\r\n" +
     CHUNKS, Refused("control-character", 400)),
    ("NUL inside it", P + "Transfer-Encoding: chun\0ked\r\n\r\n" + CHUNKS,
     Refused("control-character", 400)),
    ("two fields", P + TE + "Transfer-Encoding: identity\r\n\r\n" + CHUNKS,
     Refused("duplicate-field", 400)),
    ("two that agree", P + TE + TE + "\r\n" + CHUNKS,
     Refused("duplicate-field", 400)),
    ("behind a length", P + LEN + TE + "\r\n{body}",
     Refused("length-and-chunked", 400)),
    ("before a length", P + TE + "Content-Length: 4\r\n\r\n" + CHUNKS,
     Refused("length-and-chunked", 400)),
    ("a length of 0 and a request behind", P + TE + "Content-Length: 0\r\n"
     "\r\n0\r\n\r\n{evil}", Refused("length-and-chunked", 400)),
    ("no coding, and a length", P + LEN + "Transfer-Encoding: x\r\n\r\n"
     "{body}", Refused("length-and-chunked", 400)),
    ("a space before the colon", P + LEN + "Transfer-Encoding : chunked\r\n"
     "\r\n{body}", Refused("field-name", 400)),
    ("a space before the name", P + LEN + " Transfer-Encoding: chunked\r\n"
     "\r\n{body}", Refused("folded-field", 400)),
    ("an underscore", P + LEN + "Transfer_Encoding: chunked\r\n\r\n{body}",
     Refused("lookalike-field", 400)),
    ("on a line of its own", P + LEN + "Transfer-Encoding:\r\n chunked\r\n"
     "\r\n{body}", Refused(None, None)),
    ("behind a bare LF", P + LEN + "X: y\nTransfer-Encoding: chunked\r\n\r\n"
     "{body}", Refused("line-end", 400)),
    ("behind a bare CR", P + LEN + "X: y\rTransfer-Encoding: chunked\r\n\r\n"
     "{body}", Refused("control-character", 400)),
    ("of HTTP/1.0", "POST {target} HTTP/1.0\r\nHost: {host}\r\n{auth}"
     "Content-Type: application/json\r\n" + TE + "\r\n" + CHUNKS,
     Refused("transfer-encoding-1.0", 400)),
    ("nominated", P + LEN + "Connection: Content-Length\r\n\r\n{body}",
     Refused("connection-nominates", 400)),
    ("Content-Encoding: chunked", P + LEN + "Content-Encoding: chunked\r\n"
     "\r\n{body}", Refused("media-uninspected", 415)),
])

# --- chunks -------------------------------------------------------------------


def chunks(text):
    return P + TE + "\r\n" + text


add("chunks", "h1", [
    *[(f"the size {v!r}", chunks(f"{v}\r\n{{body}}\r\n0\r\n\r\n"),
       Refused("chunk-size", 400)) for v in (
        "0x{x}", " {x}", "+{x}", "-{x}", "{x}g", "", "{x}_", "\u00b2",
        "0" * 17, "FFFFFFFFFFFFFFFF", "8000000000000000",
        "1" + "0" * 16)],
    ("a size with zeros before", chunks("0000{x}\r\n{body}\r\n0\r\n\r\n"),
     Sent(kept={"content-length": "{n}"})),
    ("a size in capitals", chunks("{X}\r\n{body}\r\n0\r\n\r\n"), Sent()),
    ("a bare LF behind the size", chunks("{x}\n{body}\r\n0\r\n\r\n"),
     Refused(None, 400)),
    ("a bare CR behind the size", chunks("{x}\r{body}\r\n0\r\n\r\n"),
     Refused(None, 400)),
    ("a bare LF behind the data", chunks("{x}\r\n{body}\n0\r\n\r\n"),
     Refused("chunk-end", 400)),
    ("nothing behind the data", chunks("{x}\r\n{body}0\r\n\r\n"),
     Refused("chunk-end", 400)),
    ("two bytes that are no line end", chunks("{x}\r\n{body}XX0\r\n\r\n"),
     Refused("chunk-end", 400)),
    ("data longer than its size", chunks("2\r\n{body}\r\n0\r\n\r\n"),
     Refused("chunk-end", 400)),
    ("an extension", chunks("{x};a=b;c=\"d\"\r\n{body}\r\n0;e\r\n\r\n"),
     Sent(kept={"content-length": "{n}"})),
    ("an extension with a request", chunks(
        "{x};a=\"GET / HTTP/1.1\"\r\n{body}\r\n0\r\n\r\n"), Sent()),
    ("an extension with a bare LF", chunks(
        "{x};a\nb\r\n{body}\r\n0\r\n\r\n"), Refused("chunk-extension", 400)),
    ("an extension with a bare CR", chunks(
        "{x};a\rb\r\n{body}\r\n0\r\n\r\n"), Refused("chunk-size", 400)),
    ("an extension with NUL", chunks("{x};\0\r\n{body}\r\n0\r\n\r\n"),
     Refused("chunk-extension", 400)),
    ("an extension without a semicolon", chunks(
        "{x} a\r\n{body}\r\n0\r\n\r\n"), Refused(None, 400)),
    ("an extension that is too long", chunks(
        "{x};" + "a" * 300 + "\r\n{body}\r\n0\r\n\r\n"),
     Refused("chunk-extension", 400)),
    ("a trailer is dropped", chunks(
        "{x}\r\n{body}\r\n0\r\nX-Sum: abc\r\n\r\n"), Sent(gone=("x-sum",))),
    *[(f"a trailer {t}", chunks("{x}\r\n{body}\r\n0\r\n" + t + ": 5\r\n\r\n"),
       Refused("trailer", 400)) for t in (
        "Content-Length", "Transfer-Encoding", "Host", "Authorization",
        "Mcp-Name", "Content-Type", "Content-Encoding")],
    ("a trailer that is folded", chunks(
        "{x}\r\n{body}\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
     Refused("trailer", 400)),
    ("a trailer with a bare LF", chunks(
        "{x}\r\n{body}\r\n0\r\nX-A: b\n\r\n"), Refused("trailer", 400)),
    ("a trailer without a colon", chunks(
        "{x}\r\n{body}\r\n0\r\nGET / HTTP/1.1\r\n\r\n"),
     Refused("trailer", 400)),
    ("many chunks of a byte", chunks("{chunked1}0\r\n\r\n"),
     Sent(kept={"content-length": "{n}"})),
    ("no last chunk", chunks("{x}\r\n{body}\r\n"), Gone()),
    ("half a last line", chunks("{x}\r\n{body}\r\n0\r\n\r"), Gone()),
])

# --- lines --------------------------------------------------------------------

add("line ends and folds", "h1", [
    ("bare LF everywhere", "POST {target} HTTP/1.1\nHost: {host}\n"
     "Content-Length: {n}\n\n{body}", Refused("line-end", 400)),
    ("one bare LF", P + "X-A: b\n" + LEN + "\r\n{body}",
     Refused("line-end", 400)),
    ("a bare LF as the empty line", P + LEN + "\n{body}",
     Refused("line-end", 400)),
    ("LF CR", P + "X-A: b\n\r" + LEN + "\r\n{body}",
     Refused("line-end", 400)),
    ("CR CR LF", P + "X-A: b\r\r\n" + LEN + "\r\n{body}",
     Refused("control-character", 400)),
    ("a bare CR in a value", P + "X-A: b\rc\r\n" + LEN + "\r\n{body}",
     Refused("control-character", 400)),
    ("a bare CR and a field", P + "X-A: b\rHost: evil\r\n" + LEN +
     "\r\n{body}", Refused("control-character", 400)),
    *[(f"the byte {b:#04x} in a value", P + f"X-A: b{chr(b)}c\r\n" + LEN +
       "\r\n{body}", Refused("control-character", 400))
      for b in (0, 1, 8, 0x0b, 0x0c, 0x1b, 0x7f)],
    ("a tab and high bytes in a value", P + "X-A: b\tc \u00fc\u00ff\r\n" +
     LEN + "\r\n{body}", Sent(kept={"x-a": "b\tc \u00fc\u00ff"})),
    ("a folded line", P + "X-A: b\r\n c\r\n" + LEN + "\r\n{body}",
     Refused("folded-field", 400)),
    ("a line folded by a tab", P + "X-A: b\r\n\tc\r\n" + LEN + "\r\n{body}",
     Refused("folded-field", 400)),
    ("a folded line that is a field", P + "X-A: b\r\n Content-Length: 5\r\n" +
     LEN + "\r\n{body}", Refused("folded-field", 400)),
    ("a fold before the first field", "POST {target} HTTP/1.1\r\n X: y\r\n"
     "Host: {host}\r\n{auth}" + LEN + "\r\n{body}",
     Refused("folded-field", 400)),
    ("one empty line before", "\r\n" + P + LEN + "\r\n{body}", Sent()),
    ("two empty lines before", "\r\n\r\n" + P + LEN + "\r\n{body}",
     Refused("blank-lines", 400)),
    ("a bare LF before", "\n" + P + LEN + "\r\n{body}",
     Refused("line-end", 400)),
    ("a space before", " " + P + LEN + "\r\n{body}", Refused("method", 400)),
    ("NUL before", "\0" + P + LEN + "\r\n{body}", Refused("method", 400)),
])

# --- the first line -----------------------------------------------------------


def line(text, more=""):
    return text + "\r\nHost: {host}\r\n{auth}Content-Type: application/json" \
        "\r\n" + more + LEN + "\r\n{body}"


add("request lines", "h1", [
    ("two spaces", line("POST  {target} HTTP/1.1"), Refused(None, 400)),
    ("a tab", line("POST\t{target} HTTP/1.1"), Refused(None, 400)),
    ("a space at the end", line("POST {target} HTTP/1.1 "),
     Refused(None, None)),
    ("a space in the target", line("POST {target} x HTTP/1.1"),
     Refused(None, None)),
    ("a vertical tab for a space", line("POST\v{target} HTTP/1.1"),
     Refused(None, 400)),
    ("no version", line("POST {target}"), Refused(None, 400)),
    *[(f"the version {v!r}", line("POST {target} " + v), Refused(None, None))
      for v in ("HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/11", "HTTP/1.1.1",
                "http/1.1", "HTTP/1.01", "HTTP/1", "HTTPS/1.1", "HTTP /1.1")],
    ("a small letter in the method", line("post {target} HTTP/1.1"),
     Refused("method-unknown", 501)),
    ("a method that is no token", line("PO@T {target} HTTP/1.1"),
     Refused("method", 400)),
    ("a method of 40 letters", line("A" * 40 + " {target} HTTP/1.1"),
     Refused("method-unknown", 501)),
    ("TRACE", "TRACE {target} HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n",
     Refused("ambiguous-http", 400)),
    ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n",
     Refused("ambiguous-http", 400)),
    ("* with POST", line("POST * HTTP/1.1"), Refused("target-form", 400)),
    ("host:port with POST", line("POST {host} HTTP/1.1"),
     Refused(None, 400)),
    ("a target without a slash", line("POST mcp HTTP/1.1"),
     Refused(None, 400)),
    ("a fragment", line("POST {target}#x HTTP/1.1"), Refused("target", 400)),
    ("a high byte in the target", line("POST {target}?\u00e9 HTTP/1.1"),
     Refused("target", 400)),
    ("NUL in the target", line("POST {target}?\0 HTTP/1.1"),
     Refused(None, 400)),
    ("a bare CR in the target", line("POST {target}?\rx HTTP/1.1"),
     Refused(None, 400)),
    ("a target that is too long", line("POST {target}?" + "a" * 17000 +
                                       " HTTP/1.1"),
     Refused("target-long", 414)),
    ("the scheme https, in the clear", line("POST https://{host}/mcp "
                                            "HTTP/1.1"),
     Refused("ambiguous-http", None), {"roads": ("absolute",)}),
    ("the scheme ftp", line("POST ftp://{host}/mcp HTTP/1.1"),
     Refused("scheme", 400)),
    ("a user in the authority", line("POST http://u@{host}/mcp HTTP/1.1"),
     Refused("authority", 400)),
    ("a user that looks like the host", line(
        "POST http://{host}@evil.test/mcp HTTP/1.1"),
     Refused("authority", 400)),
    ("a backslash in the authority", line(
        "POST http://evil.test\\@{host}/mcp HTTP/1.1"), Refused(None, 400)),
    ("a number for an address", line("POST http://2130706433/mcp HTTP/1.1"),
     Refused("authority", 400)),
    ("127.1", line("POST http://127.1/mcp HTTP/1.1"),
     Refused("authority", 400)),
])

add("Host", "h1", [
    ("none", "POST {target} HTTP/1.1\r\n{auth}Content-Type: application/json"
     "\r\n" + LEN + "\r\n{body}", Refused("host-missing", 400)),
    ("two", P + "Host: evil.test\r\n" + LEN + "\r\n{body}",
     Refused("duplicate-field", 400)),
    ("two that agree", P + "Host: {host}\r\n" + LEN + "\r\n{body}",
     Refused("duplicate-field", 400)),
    *[(f"the value {v!r}", "POST {target} HTTP/1.1\r\nHost: " + v +
       "\r\n{auth}Content-Type: application/json\r\n" + LEN + "\r\n{body}",
       Refused("host", 400)) for v in (
        "", "u@{host}", "{host}/x", "{host}, evil.test", "{host} evil.test",
        "evil.test:99999", "evil.test:", "evil.test:+80", "[::1", "evil.test.",
        "http://{host}", "evil\u00e9.test", "%65vil.test")],
    ("another host", "POST {target} HTTP/1.1\r\nHost: evil.test\r\n{auth}"
     "Content-Type: application/json\r\n" + LEN + "\r\n{body}",
     Refused(None, None), {"roads": ("connect-tls", "connect-plain",
                                     "absolute", "transparent")}),
    ("another host, on a mount", "POST {target} HTTP/1.1\r\nHost: evil.test"
     "\r\n{auth}Content-Type: application/json\r\n" + LEN + "\r\n{body}",
     Sent(kept={"host": "{origin}"}), {"roads": ("mount",)}),
    ("another port", "POST {target} HTTP/1.1\r\nHost: localhost:1\r\n{auth}"
     "Content-Type: application/json\r\n" + LEN + "\r\n{body}",
     Refused(None, None), {"roads": ("connect-tls", "connect-plain",
                                     "absolute", "transparent")}),
    ("in capitals", "POST {target} HTTP/1.1\r\nHost: {HOST}\r\n{auth}"
     "Content-Type: application/json\r\n" + LEN + "\r\n{body}",
     Sent(kept={"host": "{origin}"})),
    ("absolute-form, and another Host", "POST http://{host}/mcp HTTP/1.1\r\n"
     "Host: evil.test\r\n{auth}Content-Type: application/json\r\n" + LEN +
     "\r\n{body}", Refused("host-mismatch", 400)),
    ("absolute-form of another host", "POST http://evil.test/mcp HTTP/1.1\r\n"
     "Host: {host}\r\n{auth}Content-Type: application/json\r\n" + LEN +
     "\r\n{body}", Refused("host-mismatch", 400)),
    ("a lookalike", P + LEN + "X-Forwarded_Host: evil\r\n\r\n{body}",
     Refused("lookalike-field", 400)),
])

# --- fields -------------------------------------------------------------------

add("field names", "h1", [
    *[(f"the name {v!r}", P + f"{v}: b\r\n" + LEN + "\r\n{body}",
       Refused("field-name", 400)) for v in (
        "X A", "X(A)", "X@A", '"X"', "X\u00e9", "X\0", "X\x7f", "X/A", "[X]",
        "X-A ", "X=A")],
    ("an empty name", P + ": b\r\n" + LEN + "\r\n{body}",
     Refused(None, 400)),
    ("no colon", P + "X-A\r\n" + LEN + "\r\n{body}",
     Refused("no-colon", 400)),
    ("an empty value", P + "X-A:\r\n" + LEN + "\r\n{body}",
     Sent(kept={"x-a": ""})),
    ("a name of 300 bytes", P + "X" * 300 + ": b\r\n" + LEN + "\r\n{body}",
     Refused("name-long", 431)),
    ("120 fields", P + "X: a\r\n" * 120 + LEN + "\r\n{body}",
     Refused("fields-many", 431)),
    ("a head of 70 KB", P + "X: " + "a" * 70000 + "\r\n" + LEN + "\r\n{body}",
     Refused("head-long", 431)),
    *[(f"a lookalike: {v}", P + f"{v}: b\r\n" + LEN + "\r\n{body}",
       Refused("lookalike-field", 400)) for v in (
        "Mcp_Name", "mcp-session_id", "CONTENT_TYPE", "Proxy_Authorization",
        "x_http_method_override", "X-Original_URL")],
    ("every odd byte of a token", P + "X!#$%&'*+-.^`|~9: b\r\n" + LEN +
     "\r\n{body}", Sent(kept={"x!#$%&'*+-.^`|~9": "b"})),
    *[(f"{v} twice", P + f"{v}: a\r\n{v}: a\r\n" + LEN + "\r\n{body}",
       Refused("duplicate-field", 400)) for v in (
        "Mcp-Session-Id", "Mcp-Name", "Mcp-Method", "MCP-Protocol-Version",
        "Last-Event-ID", "Content-Encoding", "Origin")],
    ("Content-Type twice", P + "Content-Type: text/plain\r\n" + LEN +
     "\r\n{body}", Refused("duplicate-field", 400)),
])

add("what is for one connection, or names another reading", "h1", [
    *[(f"Connection: {v}", P + f"Connection: {v}\r\n" + LEN + "\r\n{body}",
       Refused("connection-nominates", 400)) for v in (
        "Host", "Content-Type", "close, Content-Length", "Mcp-Name",
        "Authorization", "x-forwarded-for")],
    ("Connection: a b", P + "Connection: a b\r\n" + LEN + "\r\n{body}",
     Refused("connection", 400)),
    ("Connection names a field", P + "Connection: X-Own\r\nX-Own: 1\r\n" +
     LEN + "\r\n{body}", Sent(gone=("x-own", "connection"))),
    ("what is hop by hop", P + "TE: trailers\r\nTrailer: X\r\nKeep-Alive: 5"
     "\r\nProxy-Connection: close\r\n" + LEN + "\r\n{body}",
     Sent(gone=("te", "trailer", "keep-alive", "proxy-connection"))),
    ("Upgrade: h2c", P + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: "
     "h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n" + LEN + "\r\n{body}",
     Sent(gone=("upgrade", "http2-settings", "connection"))),
    ("Upgrade: websocket", "GET {target} HTTP/1.1\r\nHost: {host}\r\n{auth}"
     "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: "
     "AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
     Refused("websocket", 403)),
    ("HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
     Refused(None, None)),
    ("Expect: another", P + "Expect: 200-ok\r\n" + LEN + "\r\n{body}",
     Refused("expect", 417)),
    ("Expect is not sent on", P + "Expect: 100-continue\r\n" + LEN +
     "\r\n{body}", Sent(gone=("expect",))),
    *[(f"{v}", P + f"{v}: DELETE\r\n" + LEN + "\r\n{body}",
       Refused("method-override", 400)) for v in (
        "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override",
        "x-original-method")],
    *[(f"{v}", P + f"{v}: /v1/evil\r\n" + LEN + "\r\n{body}",
       Refused("target-override", 400)) for v in (
        "X-Original-URL", "X-Rewrite-URL", "X-Original-URI")],
    ("who else forwarded it", P + "Forwarded: host=evil\r\nX-Forwarded-For: 1."
     "1.1.1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: http\r\n"
     "X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded-Server: x"
     "\r\nX-Forwarded-Scheme: x\r\nX-Host: evil\r\n" + LEN + "\r\n{body}",
     Sent(gone=("forwarded", "x-forwarded-for", "x-forwarded-host",
                "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix",
                "x-forwarded-server", "x-forwarded-scheme", "x-host"))),
    ("a part of it", P + "Range: bytes=0-1\r\nAccept-Encoding: br\r\n" + LEN +
     "\r\n{body}", Sent(gone=("range",), kept={"accept-encoding":
                                               "identity"})),
    ("a token of ours goes no further", P + LEN + "\r\n{body}",
     Sent(gone=("proxy-authorization",), )),
])

add("several requests", "h1", [
    ("two, each gated", P + LEN + "\r\n{body}" + P + LEN + "\r\n{body}",
     Sent(n=2), {"answers": 2}),
    ("the second is refused", P + LEN + "\r\n{body}" + P + LEN + LEN +
     "\r\n{body}", Sent(n=1), {"answers": 2}),
    ("behind a refusal nothing is read", P + LEN + LEN + "\r\n{body}" + P +
     LEN + "\r\n{body}", Refused("duplicate-field", 400)),
    ("behind Connection: close nothing is read", P + "Connection: close\r\n" +
     LEN + "\r\n{body}{evil}", Sent()),
])

# --- media types and codings --------------------------------------------------

CT = "POST {target} HTTP/1.1\r\nHost: {host}\r\n{auth}"
add("media types and codings", "h1", [
    *[(f"Content-Type: {v}", CT + f"Content-Type: {v}\r\n" + LEN +
       "\r\n{body}", Refused("media-uninspected", 415)) for v in (
        "application/json; charset=utf-16", "application/json; charset=utf-7",
        "application/json; charset=utf-8; charset=utf-7",
        "application/json; charset=\"utf\\-8\"", "application/json;=",
        "application/octet-stream", "multipart/form-data", "x",
        "application/json, text/plain", "text/event-stream")],
    ("no Content-Type", CT + LEN + "\r\n{body}",
     Refused("media-uninspected", 415)),
    ("charset in other letters", CT + "Content-Type: application/JSON; "
     "Charset=\"UTF-8\"\r\n" + LEN + "\r\n{body}", Sent()),
    ("MCP that is text", CT + "Content-Type: text/plain\r\n" + LEN +
     "\r\n{body}", Refused("media-uninspected", 415), {"mcp": True}),
    ("two codings", P + "Content-Encoding: gzip, gzip\r\n" + LEN +
     "\r\n{body}", Refused("ambiguous-http", 400)),
    ("gzip that is none", P + "Content-Encoding: gzip\r\n" + LEN +
     "\r\n{body}", Refused("unparseable", 400)),
    ("gzip is decoded", P + "Content-Encoding: gzip\r\n" +
     "Content-Length: {gz_n}\r\n\r\n{gz}",
     Sent(gone=("content-encoding",), kept={"content-length": "{n}"})),
    ("gzip with more behind", P + "Content-Encoding: gzip\r\n" +
     "Content-Length: {gz2_n}\r\n\r\n{gz2}", Refused("unparseable", 400)),
    ("identity", P + "Content-Encoding: identity\r\n" + LEN + "\r\n{body}",
     Sent()),
])

# --- HTTP/2 -------------------------------------------------------------------
# what: changes to a good request: pseudo-headers by name (None: left out),
# "+": fields behind the others, "fields": all of them, "body".


def h2(group, rows):
    for name, what, want in rows:
        CASES.append(Case(group, name, "h2", want, what=what))


h2("HTTP/2: pseudo-headers", [
    ("no :method", {":method": None}, Reset("")),
    ("no :scheme", {":scheme": None}, Reset("")),
    ("no :path", {":path": None}, Reset("")),
    ("an empty :path", {":path": ""}, Reset("")),
    (":method twice", {"first": [(":method", "GET")]}, Reset("")),
    (":path twice", {"first": [(":path", "/v1/evil")]}, Reset("")),
    (":authority twice", {"first": [(":authority", "evil.test")]},
     Reset("")),
    ("one behind a field", {":path": None, "+": [(":path", "/mcp")]},
     Reset("")),
    ("an unknown one", {"first": [(":x", "y")]}, Reset("")),
    (":status", {"first": [(":status", "200")]}, Reset("")),
    (":protocol", {"first": [(":protocol", "websocket")]}, Reset("")),
    (":scheme http", {":scheme": "http"}, Reset("scheme")),
    (":scheme with a request", {":scheme": "https://evil.test/?"},
     Reset("")),
    (":method with a line", {":method": "GET / HTTP/1.1\r\nx: y"},
     Reset("")),
    (":method with a space", {":method": "POST /v1/evil"}, Reset("")),
    (":method in small letters", {":method": "post"},
     Refused("method-unknown", 501)),
    (":path with a line", {":path": "/mcp HTTP/1.1\r\nx: y"}, Reset("")),
    (":path with a space", {":path": "/mcp x"}, Reset("")),
    (":path that is a URL", {":path": "http://evil.test/mcp"},
     Reset("")),
    (":path with a fragment", {":path": "/mcp#x"},
     Reset("well-formed")),
    (":path *", {":path": "*"}, Reset("")),
    (":authority with a user", {":authority": "u@localhost"},
     Reset("authority")),
    (":authority with a line", {":authority": "a\r\nx: y"}, Reset("")),
    (":authority of another host", {":authority": "evil.test"},
     Refused("ambiguous-http", 421)),
    ("neither :authority nor Host", {":authority": None},
     Reset("")),
    ("Host alone", {":authority": None, "+": [("host", "{host}")]}, Sent()),
    ("Host that differs", {"+": [("host", "evil.test")]}, Reset("different")),
    ("two Hosts", {"+": [("host", "{host}"), ("host", "{host}")]},
     Reset("")),
    ("CONNECT", {"fields": [(":method", "CONNECT"), (":authority",
                                                     "{host}")]}, Reset("")),
])

h2("HTTP/2: fields, and what would be a line behind", [
    ("CR LF in a value", {"+": [("x-a", "b\r\ntransfer-encoding: chunked")]},
     Reset("")),
    ("LF in a value", {"+": [("x-a", "b\nhost: evil")]}, Reset("")),
    ("CR in a value", {"+": [("x-a", "b\rc")]}, Reset("")),
    ("NUL in a value", {"+": [("x-a", "b\0c")]}, Reset("")),
    ("a request in a value", {"+": [("x-a", "b\r\n\r\nGET /v1/evil HTTP/1.1"
                                     "\r\nHost: x\r\n\r\n")]}, Reset("")),
    ("a space at a value's end", {"+": [("x-a", "b ")]}, Reset("")),
    ("a colon in a name", {"+": [("x:a", "b")]}, Reset("")),
    ("a space in a name", {"+": [("x a", "b")]}, Reset("")),
    ("CR LF in a name", {"+": [("x: y\r\nhost", "b")]}, Reset("")),
    ("capitals in a name", {"+": [("X-A", "b")]}, Reset("")),
    ("an empty name", {"+": [("", "b")]}, Reset("")),
    ("transfer-encoding", {"+": [("transfer-encoding", "chunked")]},
     Reset("")),
    ("connection", {"+": [("connection", "close")]}, Reset("")),
    ("upgrade", {"+": [("upgrade", "h2c")]}, Reset("")),
    ("te: gzip", {"+": [("te", "gzip")]}, Reset("")),
    ("keep-alive", {"+": [("keep-alive", "5")]}, Reset("")),
    ("two lengths", {"+": [("content-length", "2"), ("content-length",
                                                     "3")]}, Reset("")),
    ("a length that is too short", {"+": [("content-length", "2")]},
     Reset("")),
    ("a length that is too long", {"+": [("content-length", "9999")]},
     Reset("")),
    ("a length that is signed", {"+": [("content-length", "+2")]},
     Reset("")),
    ("a lookalike", {"+": [("content_length", "2")]},
     Refused("lookalike-field", 400)),
    ("cookies are one behind", {"+": [("cookie", "a=1"), ("cookie", "b=2")]},
     Sent(kept={"cookie": "a=1; b=2"})),
    ("a trailer that frames", {"trailer": [("content-length", "5")]},
     Reset("")),
    ("a trailer is dropped", {"trailer": [("x-sum", "5")]},
     Sent(gone=("x-sum",))),
    ("a pseudo-header in the trailer", {"trailer": [(":path", "/x")]},
     Reset("")),
    ("x-http-method-override", {"+": [("x-http-method-override", "PUT")]},
     Refused("method-override", 400)),
])

# --- paths and queries of REST ------------------------------------------------
# what: behind the connector's base ("/v1"), for a GET; want may name `tool`.

add("paths", "path", [
    *[(f"{p}", p, Refused("ambiguous-http", 400)) for p in (
        "/items/../evil", "/items/./7", "/items/%2e%2e/evil",
        "/items/.%2E/evil", "/items/..;/evil", "/items/..;a=b/evil",
        "/items/..%2fevil", "/items/..%5cevil", "//evil", "/items//7",
        "/items/%00", "/items/7%0d%0aX:%20y", "/items/%c0%ae%c0%ae/evil",
        "/items/%zz", "/items/%4", "/items/%252e%252e/evil",
        "/items/..%252fevil", "/items/%2565vil", "/items/%ff")],
    ("a backslash", "/items/..\\evil", Refused("target", 400),
     {"h2": Reset("well-formed")}),
    ("a letter that needs no encoding", "/items/%37",
     Sent(target="/v1/items/7"), {"tool": "get_item"}),
    ("a name that needs no encoding", "/%65%76il", Held()),
    ("another name's encoding in a variable", "/items/se%63ret", Held()),
    ("a matrix parameter on a name", "/items/secret;a=b", Held()),
    ("a name in capitals", "/items/SECRET", Held()),
    ("a slash at the end", "/evil/", Held()),
    ("a space stays encoded", "/items/a%20b", Sent(target=
     "/v1/items/a%20b"), {"tool": "get_item"}),
    ("UTF-8 stays encoded", "/items/%C3%A9", Sent(target="/v1/items/%C3%A9"),
     {"tool": "get_item"}),
    ("a parameter twice", "/items/7?a=1&a=2&b", Sent(target=
     "/v1/items/7?a=1&a=2&b&{mark}"), {"tool": "get_item"}),
    ("a parameter, encoded otherwise", "/items/7?%61=1&a=2+3", Sent(
        target="/v1/items/7?%61=1&a=2+3&{mark}"), {"tool": "get_item"}),
    ("501 parameters", "/items/7?" + "&".join("a" * 501),
     Refused("unparseable", 400)),
    ("a method in the query", "/items?_method=DELETE",
     Refused("method-override", 400), {"method": "POST"}),
    ("a method in the query, encoded", "/items?%5Fmethod=DELETE",
     Refused("method-override", 400), {"method": "POST"}),
    ("a method in a form", "/items", Refused("method-override", 400),
     {"method": "POST", "form": "a=b&_method=DELETE"}),
    ("a form", "/items", Sent(target="/v1/items?{mark}"),
     {"method": "POST", "form": "a=b&a=c", "tool": "add_item"}),
])

# --- JSON ---------------------------------------------------------------------
# {m}: the mark that makes the message findable; {call}: a good call's params.

GOOD = '"jsonrpc":"2.0","id":1'
CALL = '"method":"tools/call","params":{"name":"echo","arguments":{"m":"{m}"}}'


def rpc(rest):
    return "{" + GOOD + "," + rest + "}"


def args(text):
    return rpc('"method":"tools/call","params":{"name":"echo","arguments":'
               '{"m":"{m}","a":' + text + '}}')


def params(text):
    return rpc('"method":"tools/call","params":{' + text + '}')


BAD = Refused("unparseable", 400)
ECHO = '"name":"echo","arguments":{"m":"{m}"}'

add("JSON: keys", "json", [
    ("method twice", rpc(CALL + ',"method":"ping"'), BAD),
    ("method twice, the same", rpc(CALL + ',"method":"tools/call"'), BAD),
    ("params twice", rpc(CALL + ',"params":{"name":"evil"}'), BAD),
    ("id twice", "{" + GOOD + ',"id":2,' + CALL + "}", BAD),
    ("name twice", params(ECHO + ',"name":"evil"'), BAD),
    ("arguments twice", params(ECHO + ',"arguments":{}'), BAD),
    ("an argument twice", args('1,"a":2'), BAD),
    ("an argument twice, deep", args('[{"x":[{"b":1,"b":2}]}]'), BAD),
    ("method escaped beside it", rpc(CALL + ',"m\\u0065thod":"ping"'), BAD),
    ("name escaped beside it", params(ECHO + ',"\\u006eame":"evil"'), BAD),
    ("an argument escaped beside it", args('1,"\\u0061":2'), BAD),
    ("a surrogate pair and its character", args(
        '{"\\ud83d\\ude00":1,"\U0001F600":2}'), BAD),
    ("keys that are escaped alone", rpc(
        '"\\u006dethod":"tools/call","param\\u0073":{"n\\u0061me":"echo",'
        '"\\u0061rguments":{"m":"{m}"}}'), Sent()),
    ("slashes escaped in a key", args('{"a\\/b":1}'), Sent()),
    ("composed and decomposed are two", args('{"\u00e9":1,"e\u0301":2}'),
     Sent()),
    ("__proto__ is a key", args('{"__proto__":{"x":1},"constructor":2}'),
     Sent()),
    ("an empty key", args('{"":1}'), Sent()),
    *[(f"the key {k}", rpc(CALL + f',"{k}":{v}'), BAD) for k, v in (
        ("Method", '"ping"'), ("PARAMS", "{}"), ("Id", "2"),
        ("param\u017f", '{"name":"evil"}'), ("JsonRPC", '"2.0"'),
        ("m\\u0045thod", '"ping"'), ("method\\u0000", '"ping"'),
        ("Result", "{}"), ("ERROR", "{}"))],
    *[(f"in params the key {k}", params(ECHO + f',"{k}":{v}'), BAD)
      for k, v in (("Name", '"evil"'), ("ARGUMENTS", "{}"),
                   ("Argument\u017f", "{}"), ("name\\u0000x", '"evil"'),
                   ("_Meta", "{}"), ("inputresponses", "{}"))],
    ("only in capitals", rpc('"METHOD":"tools/call","params":{' + ECHO +
                             "}"), BAD),
    ("an argument's name in both letters", args('1,"A":2'), Sent()),
])

add("JSON: bytes", "json", [
    ("a byte order mark", "\ufeff" + rpc(CALL), BAD),
    ("a byte order mark of UTF-16", b"\xff\xfe" + rpc(CALL).encode(
        "utf-16-le"), BAD),
    ("UTF-16", rpc(CALL).encode("utf-16-le"), BAD, {"line": False}),
    ("UTF-32", rpc(CALL).encode("utf-32-be"), BAD, {"line": False}),
    *[(f"in a text {v!r}", args('"@"').encode().replace(b"@", v), BAD)
      for v in (b"\xff", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80",
                b"\xf4\x90\x80\x80", b"\xc3", b"\xf0\x9f\x98", b"\x80",
                b"\xfe\xff", b"\0", b"\x01", b"\x1f", b"\t", b"\r")],
    ("a line in a text", args('"a\nb"'), BAD, {"line": False}),
    ("DEL and U+2028 in a text", args('"\x7f\u2028\ufffe"'), Sent()),
    *[(f"the escape {v}", args(f'"{v}"'), BAD) for v in (
        "\\ud800", "\\ud800\\u0041", "\\udc00\\ud800", "\\u12", "\\x41",
        "\\u00zz", "\\a", "\\U0041", "\\'", "\\0")],
    ("\\u0000 in an argument", args('"a\\u0000b"'), Sent()),
    ("every escape", args('"\\"\\\\\\/\\b\\f\\n\\r\\t\\u20ac\\ud83d\\ude00"'),
     Sent()),
    ("white space around", " \t\r\n" + rpc(CALL) + " \r\n\t", Sent(),
     {"line": False}),
    ("a form feed before", "\f" + rpc(CALL), BAD),
    ("a no-break space behind", rpc(CALL) + "\u00a0", BAD),
    ("NUL behind", rpc(CALL) + "\0", BAD),
    ("two texts", rpc(CALL) + rpc(CALL), BAD),
    ("two lines", rpc(CALL) + "\n" + rpc(CALL), BAD, {"line": False}),
    ("cut off", rpc(CALL)[:-1], BAD),
    ("nothing", "", BAD, {"line": False}),
    ("a space", " ", BAD, {"line": False}),
    ("too large", args('"' + "x" * (1 << 20) + '"'),
     Refused("body-too-large", 413), {"line": False}),
])

add("JSON: leniencies", "json", [
    (v, args(v), BAD) for v in (
        "NaN", "Infinity", "-Infinity", "undefined", "01", "-01", "1.", ".5",
        "+1", "0x10", "1e", "1e+", "--1", "1_000", "'a'", "[1,]", "[,1]",
        "{a:1}", '{"b":1,}', "[1 2]", "True", "nul", "/* x */1",
        "1/**/", '"a" "b"', "\u0661", "{'b':1}")] + [
    ("// and a line", args("// x\n1"), BAD, {"line": False}),
    ("a comma behind the last", rpc(CALL + ","), BAD),
    ("a comment at the end", rpc(CALL) + "// x", BAD),
    (")]}' before", ")]}'" + rpc(CALL), BAD, {"line": False}),
])

add("JSON: numbers and depth", "json", [
    (f"{v}", args(v), Sent()) for v in (
        "9007199254740993", "18446744073709551616", "-9223372036854775809",
        "1e400", "-1e400", "1E-400", "0.1e1", "-0", "1.0", "0e0",
        "3.141592653589793238462643383279502884197", "1" * 400)] + [
    ("a number of 60000 digits", args("1" * 60000), Sent()),
    ("100 deep", args("[" * 100 + "]" * 100), Sent()),
    ("objects 100 deep", args('{"a":' * 100 + "1" + "}" * 100), Sent()),
    ("130 deep", args("[" * 130 + "]" * 130), BAD),
    ("100000 deep", args("[" * 100000 + "]" * 100000), BAD),
    ("100000 deep, not closed", args("[" * 100000), BAD),
    ("objects 5000 deep", args('{"a":' * 5000 + "1" + "}" * 5000), BAD),
])

add("JSON: what a message may be", "json", [
    *[(f"the text {v}", v, BAD) for v in ("1", '"a"', "null", "true", "{}",
                                          '{"a":1}')],
    *[(f"jsonrpc {v}", '{"jsonrpc":' + v + ',"id":1,' + CALL + "}", BAD)
      for v in ('"1.0"', "2.0", '"2.0 "', '["2.0"]', "null")],
    ("no jsonrpc", '{"id":1,' + CALL + "}", BAD),
    *[(f"id {v}", '{"jsonrpc":"2.0","id":' + v + "," + CALL + "}", BAD)
      for v in ("null", "true", "[1]", "{}")],
    *[(f"id {v}", '{"jsonrpc":"2.0","id":' + v + "," + CALL + "}", Sent())
      for v in ("0", "-1", '"a"', '""', "9007199254740993", '"1"')],
    *[(f"method {v}", rpc('"method":' + v + ',"params":{' + ECHO + "}"), BAD)
      for v in ("null", "1", '""', '["tools/call"]', '{"a":1}',
                '"tools\\/call"', '"\\u0074ools/call"')],
    ("method and result", rpc(CALL + ',"result":{}'), BAD),
    ("method and error", rpc(CALL + ',"error":{"code":1,"message":"x"}'),
     BAD),
    ("no method", rpc('"params":{' + ECHO + "}"), BAD),
    *[(f"params {v}", rpc('"method":"tools/call","params":' + v), BAD)
      for v in ("[]", '["echo"]', '[{"name":"echo"}]', '"echo"', "null",
                "1")],
    ("no params", rpc('"method":"tools/call"'), BAD),
    ("params an array, of a list", rpc('"method":"tools/list","params":['
                                       '"{m}"]'), BAD),
    ("params a text, of a ping", rpc('"method":"ping","params":"{m}"'), BAD),
    ("params an array, of a notification", '{"jsonrpc":"2.0","method":'
     '"notifications/x","params":["{m}"]}', BAD, {"roads_not": ("stdio",)}),
    *[(f"name {v}", params(f'"name":{v},"arguments":{{"m":"{{m}}"}}'), BAD)
      for v in ("null", "1", '""', '["echo"]', '{"name":"echo"}', "true",
                '"ech\\u006f"', '"ec\\u0068o"')],
    *[(f"arguments {v}", params(f'"name":"echo","arguments":{v}'), BAD)
      for v in ("[]", '["{m}"]', '"{m}"', "1", "null", "true")],
    *[(f"_meta {v}", params(ECHO + f',"_meta":{v}'), BAD)
      for v in ("[]", '"x"', "1", "null")],
    ("a name with a space", params('"name":"echo ","arguments":{"m":"{m}"}'),
     Held()),
    ("a name in capitals", params('"name":"Echo","arguments":{"m":"{m}"}'),
     Held()),
    ("a name with a path", params('"name":"../echo","arguments":{"m":"{m}"}'),
     Held()),
    ("a method in capitals", rpc('"method":"Tools/Call","params":{' + ECHO +
                                 "}"), Held()),
    ("a method with a space", rpc('"method":"tools/call ","params":{' + ECHO +
                                  "}"), Held()),
    ("a list, with what a call has", rpc(
        '"method":"tools/list","params":{' + ECHO + "}"), Sent()),
])

# --- batches at every revision ------------------------------------------------

ONE = "{" + '"jsonrpc":"2.0","id":%s,' + CALL + "}"
TWO = "[" + ONE % 1 + "," + ONE % 2 + "]"
REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28")
for rev in REVISIONS:
    old = rev == "2025-03-26"
    no = Refused("batch-refused", None)
    add(f"batches at {rev}", "json", [
        ("two calls", TWO, Sent(n=2) if old else no),
        ("one call", "[" + ONE % 1 + "]", Sent(n=1) if old else no),
        ("nothing", "[]", no),
        ("a batch in a batch", "[" + TWO + "]", no if not old else
         Refused(None, None)),
        ("what is no message", "[1]", no if not old else
         Refused(None, None)),
        ("51 calls", "[" + ",".join(ONE % i for i in range(51)) + "]", no),
        ("not closed", TWO[:-1], BAD),
        ("a duplicate key in one", "[" + ONE % 1 + "," +
         ONE.replace("{" + '"jsonrpc', "{" + '"id":7,"jsonrpc') % 2 + "]",
         BAD),
    ], rev=rev, roads_not=("stdio",), plain=True)
add("batches on stdio", "json", [
    ("two calls", TWO, Refused("batch-refused", None)),
    ("nothing", "[]", Refused("batch-refused", None)),
], roads=("stdio",))

# --- header fields that repeat the body ---------------------------------------

NEW = {"Mcp-Method": "tools/call", "Mcp-Name": "echo",
       "MCP-Protocol-Version": "2026-07-28"}
VER = '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}'
MODERN = params(ECHO + "," + VER)
MISMATCH = Refused("header-mismatch", 400)


def new(**change):
    f = dict(NEW)
    for k, v in change.items():
        k = {"method": "Mcp-Method", "name": "Mcp-Name",
             "version": "MCP-Protocol-Version"}.get(k, k)
        f[k] = v
    return {"fields": [(k, v) for k, v in f.items() if v is not None],
            "roads_not": ("stdio",), "plain": True}


add("Mcp-* fields at 2026-07-28", "json", [
    ("they agree", MODERN, Sent(), new()),
    ("Mcp-Name is another", MODERN, MISMATCH, new(name="evil")),
    ("Mcp-Name in capitals", MODERN, MISMATCH, new(name="Echo")),
    ("Mcp-Name has more", MODERN, MISMATCH, new(name="echo, evil")),
    ("Mcp-Name is empty", MODERN, MISMATCH, new(name="")),
    ("no Mcp-Name", MODERN, MISMATCH, new(name=None)),
    ("Mcp-Name in base64", MODERN, Sent(), new(name="=?base64?ZWNobw==?=")),
    ("another in base64", MODERN, MISMATCH, new(name="=?base64?ZXZpbA==?=")),
    ("base64 that is none", MODERN, MISMATCH, new(name="=?base64?ZWNo?!?=")),
    ("base64 without its end", MODERN, MISMATCH, new(name="=?base64?ZWNobw")),
    ("Mcp-Method is another", MODERN, MISMATCH, new(method="tools/list")),
    ("Mcp-Method in capitals", MODERN, MISMATCH, new(method="Tools/Call")),
    ("no Mcp-Method", MODERN, MISMATCH, new(method=None)),
    ("no version in the head", MODERN, MISMATCH, new(version=None)),
    ("an older version in the head", MODERN, MISMATCH,
     new(version="2025-11-25")),
    ("no version in the body", params(ECHO), MISMATCH, new()),
    ("a version that is escaped in the body", params(
        ECHO + "," + VER.replace("2026-", "2026\\u002d")), BAD,
     new()),
    ("escaped in the body, none in the head", params(
        ECHO + "," + VER.replace("2026-", "2026\\u002d")), BAD,
     {"plain": True, "roads_not": ("stdio",)}),
    ("a version that is no text", params(
        ECHO + "," + VER.replace('"2026-07-28"', "20260728")), BAD,
     {"plain": True, "roads_not": ("stdio",)}),
    ("a version from the future", params(ECHO + "," + VER.replace(
        "2026-07-28", "2031-01-01")), Refused(None, 400),
     new(version="2031-01-01")),
    ("Mcp-Param-M agrees", MODERN, Sent(kept={"mcp-param-m": "{m}"}),
     new(**{"Mcp-Param-M": "{m}"})),
    ("Mcp-Param-M is another", MODERN, MISMATCH, new(**{"Mcp-Param-M": "x"})),
    ("Mcp-Param-M twice", MODERN, MISMATCH, {
        **new(), "fields": [*NEW.items(), ("Mcp-Param-M", "{m}"),
                            ("mcp-param-m", "{m}")]}),
    ("Mcp-Param on a list", rpc('"method":"tools/list","params":{"x":"{m}",' +
                                VER + "}"), MISMATCH,
     new(method="tools/list", name=None, **{"Mcp-Param-X": "{m}"})),
    ("Mcp-Name for what has none", rpc('"method":"tools/list","params":{"x":'
                                       '"{m}",' + VER + "}"), MISMATCH,
     new(method="tools/list", name="echo")),
    ("a response", '{"jsonrpc":"2.0","id":1,"result":{"m":"{m}"}}', MISMATCH,
     new(method=None, name=None)),
])
for rev in REVISIONS[:3]:
    old = {"method": None, "name": None, "version": rev}
    add(f"Mcp-* fields at {rev}", "json", [
        ("Mcp-Method is another", params(ECHO), MISMATCH,
         new(**{**old, "method": "tools/list"})),
        ("Mcp-Name is another", params(ECHO), MISMATCH,
         new(**{**old, "name": "evil"})),
        ("Mcp-Param-M is another", params(ECHO), MISMATCH,
         new(**{**old, "Mcp-Param-M": "evil"})),
        ("they agree", params(ECHO), Sent(),
         new(**{**old, "name": "echo", "method": "tools/call"})),
        ("none", params(ECHO), Sent(), new(**old)),
    ])

# --- REST and GraphQL bodies --------------------------------------------------

add("REST: JSON", "rest", [
    ("a key twice", '{"m":"{m}","a":1,"a":2}', BAD),
    ("a key escaped beside it", '{"m":"{m}","a":1,"\\u0061":2}', BAD),
    ("a byte order mark", '\ufeff{"m":"{m}"}', BAD),
    ("invalid UTF-8", b'{"m":"{m}","a":"\xff"}', BAD),
    ("a lone surrogate", '{"m":"{m}","a":"\\ud800"}', BAD),
    ("130 deep", '{"m":"{m}","a":' + "[" * 130 + "]" * 130 + "}", BAD),
    ("NaN", '{"m":"{m}","a":NaN}', BAD),
    ("two texts", '{"m":"{m}"}{"m":2}', BAD),
    ("cut off", '{"m":"{m}"', BAD),
    ("a number beyond 64 bits", '{"m":"{m}","a":18446744073709551617}',
     Sent()),
    ("1e400", '{"m":"{m}","a":1e400}', Sent()),
    ("an array", '["{m}"]', Sent()),
    ("a text", '"{m}"', Sent()),
    ("a method inside", '{"m":"{m}","_method":"DELETE"}',
     Refused("method-override", 400)),
])

Q = '"query":"query A { me(m: \\"{m}\\") }"'
add("GraphQL", "graphql", [
    ("one query", "{" + Q + "}", Sent()),
    ("query twice", "{" + Q + ',"query":"mutation { wipe }"}', BAD),
    ("query escaped beside it", "{" + Q + ',"qu\\u0065ry":"{ x }"}', BAD),
    ("Query beside it", "{" + Q + ',"Query":"mutation { wipe }"}',
     Refused("ambiguous-http", 400)),
    ("an array of requests", "[{" + Q + "}]", Refused(None, 400)),
    ("query an array", '{"query":["{ me }"],"x":"{m}"}', BAD),
    ("two operations, none named", '{"query":"query A { me } mutation B { '
     'wipe }","x":"{m}"}', Refused(None, 400)),
    ("one of two is named", '{"query":"query A { me(m: \\"{m}\\") } mutation '
     'B { wipe }","operationName":"A"}', Sent()),
    ("a hash of another", "{" + Q + ',"extensions":{"persistedQuery":'
     '{"sha256Hash":"00"}}}', Refused(None, 400)),
    ("not closed", '{"query":"{ me(m: \\"{m}\\")"}', Refused(None, 400)),
])
