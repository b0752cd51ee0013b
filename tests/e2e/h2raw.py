"""HTTP/2 frame by frame, as well or as badly formed as a test wants (RFC 9113).
Requests are encoded without a table; answers are decoded by libnghttp2."""
import ctypes
import socket
import struct
import time

from support import SLOW, Failed, connect

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONT = \
    range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_ERROR, PROTOCOL, INTERNAL, FLOW, TIMEOUT, CLOSED, SIZE, REFUSED, CANCEL, \
    COMPRESSION, CONNECT, CALM = range(12)


class Nv(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("value", ctypes.c_void_p),
                ("nn", ctypes.c_size_t), ("vn", ctypes.c_size_t),
                ("flags", ctypes.c_uint8)]


lib = ctypes.CDLL("libnghttp2.so.14")
lib.nghttp2_hd_inflate_hd2.restype = ctypes.c_ssize_t


class Inflater:
    def __init__(self):
        self.p = ctypes.c_void_p()
        lib.nghttp2_hd_inflate_new(ctypes.byref(self.p))

    def fields(self, block):
        out = []
        while True:
            nv, flags = Nv(), ctypes.c_int(0)
            n = lib.nghttp2_hd_inflate_hd2(
                self.p, ctypes.byref(nv), ctypes.byref(flags), block,
                ctypes.c_size_t(len(block)), 1)
            if n < 0:
                raise Failed(f"a field section that cannot be read: {n}")
            block = block[n:]
            if flags.value & 2:
                out.append((ctypes.string_at(nv.name, nv.nn).decode(),
                            ctypes.string_at(nv.value, nv.vn).decode(
                                "latin-1")))
            if flags.value & 1:
                lib.nghttp2_hd_inflate_end_headers(self.p)
                return out
            if not block and not flags.value & 2:
                return out


def integer(n, bits, first=0):
    top = (1 << bits) - 1
    if n < top:
        return bytes([first | n])
    out, n = [first | top], n - top
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    return bytes(out + [n])


def pack(fields):
    """Literals without indexing, without Huffman (RFC 7541, 6.2.2)."""
    out = b""
    for k, v in fields:
        k = k if isinstance(k, bytes) else k.encode("latin-1")
        v = v if isinstance(v, bytes) else v.encode("latin-1")
        out += b"\0" + integer(len(k), 7) + k + integer(len(v), 7) + v
    return out


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + \
        struct.pack(">I", stream) + payload


class Stream:
    def __init__(self):
        self.fields, self.body, self.reset, self.ended = [], b"", None, False
        self.interim = []

    @property
    def status(self):
        return int(dict(self.fields).get(":status", 0))

    @property
    def over(self):
        return self.ended or self.reset is not None

    def __repr__(self):
        return f"{self.fields} {self.body[:300]} reset={self.reset} " \
            f"ended={self.ended}"


class H2:
    """A connection inside CONNECT."""

    def __init__(self, gw, token, authority, preface=PREFACE, settings=b"",
                 acks=True):
        import ssl
        s = connect(gw, token, authority)
        ctx = ssl.create_default_context(cafile=str(gw.ca()))
        ctx.set_alpn_protocols(["h2"])
        self.s = ctx.wrap_socket(s, server_hostname=authority.split(":")[0])
        if self.s.selected_alpn_protocol() != "h2":
            raise Failed("h2 was not agreed on")
        self.authority = authority
        self.inflater = Inflater()
        self.streams, self.goaway, self.closed = {}, None, False
        self.settings, self.pongs, self.acks = None, 0, acks
        self.buf, self.next = b"", 1
        self.s.sendall(preface + frame(SETTINGS, 0, 0, settings))

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()

    def send(self, *frames):
        try:
            self.s.sendall(b"".join(frames))
        except OSError:
            self.closed = True

    def head(self, path="/", method="GET", extra=(), authority=None):
        return [(":method", method), (":scheme", "https"),
                (":authority", authority or self.authority),
                (":path", path), *extra]

    def request(self, fields, body=None, flags=END_HEADERS):
        """Sends a request; its stream."""
        i, self.next = self.next, self.next + 2
        self.streams[i] = Stream()
        block = pack(fields)
        parts = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        for n, part in enumerate(parts):
            last = flags if n == len(parts) - 1 else 0
            end = END_STREAM if body is None else 0
            self.send(frame(CONT, last, i, part) if n else
                      frame(HEADERS, last | end, i, part))
        if body is not None:
            self.data(i, body)
        return i

    def data(self, i, body, end=True):
        for at in range(0, max(len(body), 1), 16384):
            part = body[at:at + 16384]
            last = at + 16384 >= len(body)
            self.send(frame(DATA, END_STREAM if last and end else 0, i, part))

    # -- reading

    def take(self):
        """One frame of self.buf, or None."""
        if len(self.buf) < 9:
            return None
        n = int.from_bytes(self.buf[:3], "big")
        if len(self.buf) < 9 + n:
            return None
        kind, flags = self.buf[3], self.buf[4]
        i = int.from_bytes(self.buf[5:9], "big") & 0x7fffffff
        p, self.buf = self.buf[9:9 + n], self.buf[9 + n:]
        return kind, flags, i, p

    def on(self, kind, flags, i, p):
        st = self.streams.setdefault(i, Stream()) if i else None
        if kind == HEADERS:
            if not flags & END_HEADERS:
                raise Failed("CONTINUATION is not read here")
            got = self.inflater.fields(p)
            if dict(got).get(":status", "").startswith("1"):
                st.interim.append(got)
            else:
                st.fields += got
            st.ended |= bool(flags & END_STREAM)
        elif kind == DATA:
            st.body += p
            st.ended |= bool(flags & END_STREAM)
            if self.acks and p:
                w = struct.pack(">I", len(p))
                self.send(frame(WINDOW, 0, 0, w), *([] if st.ended else
                          [frame(WINDOW, 0, i, w)]))
        elif kind == RST:
            st.reset = int.from_bytes(p, "big")
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(p[4:8], "big")
        elif kind == SETTINGS and not flags & ACK:
            self.settings = {int.from_bytes(p[k:k + 2], "big"):
                             int.from_bytes(p[k + 2:k + 6], "big")
                             for k in range(0, len(p), 6)}
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and flags & ACK:
            self.pongs += 1

    def run(self, until, timeout=15):
        """Reads until a condition holds or the connection ends."""
        end = time.monotonic() + timeout * SLOW
        while not until():
            f = self.take()
            if f is not None:
                self.on(*f)
                continue
            if self.closed:
                return self
            left = end - time.monotonic()
            if left <= 0:
                raise Failed(f"not in time: {self.streams} {self.goaway}")
            self.s.settimeout(left)
            try:
                d = self.s.recv(65536)
            except (TimeoutError, socket.timeout):
                continue
            except OSError:
                d = b""
            if not d:
                self.closed = True
            self.buf += d
        return self

    def answer(self, i, timeout=15):
        self.run(lambda: self.streams[i].over or self.goaway is not None and
                 self.closed, timeout)
        return self.streams[i]

    def get(self, path="/", **kw):
        return self.answer(self.request(self.head(path, **kw)))
