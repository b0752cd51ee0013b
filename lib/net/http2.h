/*
 * http2 - one HTTP/2 connection (RFC 9113) over nghttp2, as strict as http1.
 *
 * To its user each stream is an HTTP/1.1 connection of one exchange: what
 * http2_read() gives and http2_write() takes is that message in HTTP/1.1's
 * text. So there is one reader that decides what a message means and one
 * writer, http1's, for both transports; nothing above has to know which of
 * them carries a call. Every byte is checked before it becomes text, so that
 * a value of HTTP/2 cannot become a line of HTTP/1.1.
 *
 * Refused, by nghttp2 or here: pseudo-header fields that are missing, twice,
 * unknown or late (8.3); connection-specific fields (8.2.2), names with
 * capitals; a Host that is not the :authority; DATA that is not as long as
 * content-length says; CONNECT, push; trailers that frame, route or
 * authenticate (others are checked and dropped); more fields or bytes than the
 * limits. Such a stream is reset. A peer that resets too many streams
 * (CVE-2023-44487), makes us reset too many, or sends too many frames that
 * carry nothing (PING, SETTINGS, empty DATA, CONTINUATION, ...) loses the
 * connection with ENHANCE_YOUR_CALM.
 *
 * Flow control is end to end: the peer may send what was read here and no
 * more, and http2_write() takes only what the peer's windows let out.
 *
 * Callbacks may come inside any call that has a struct http2 or a stream; they
 * must not call back but for http2_accept(): they note, and act later.
 */
#ifndef HTTP2_H
#define HTTP2_H

#include "base.h"
#include "buf.h"
#include "tls.h"

struct http2;
struct http2_stream;
struct stream;

#define HTTP2_STREAMS 100		/* at a time, of one connection */
#define HTTP2_WINDOW 65535u		/* unread bytes of one stream */
#define HTTP2_WINDOW_ALL (1u << 20)	/* of all streams of a connection */
#define HTTP2_OUT_HIGH (32u << 10)	/* framed bytes that wait to leave */
#define HTTP2_WRITE_MAX 16384u		/* taken of one stream, not framed yet */
#define HTTP2_TRAILERS 32
#define HTTP2_RESETS 200		/* at once; then RESETS_S a second */
#define HTTP2_RESETS_S 20
#define HTTP2_NOISE 1000		/* frames that carry nothing, likewise */
#define HTTP2_NOISE_S 100

enum { HTTP2_READABLE = 1, HTTP2_WRITABLE = 2, HTTP2_CLOSED = 4 };

struct http2_limits {
	size_t header;		/* bytes of a field section (10.5.1: + 32 a
				 * field); at most 65536 */
	unsigned fields;	/* at most HTTP1_FIELDS_MAX */
};

struct http2_events {
	/* Server: a request's head is complete. The callback accepts it with
	 * http2_accept(); else the stream is refused (REFUSED_STREAM). */
	void (*request)(void *ctx, struct http2_stream *st);
	/* A stream was refused, or the connection: a sentence. */
	void (*refused)(void *ctx, const char *why);
	/* There is something to send: call http2_fill() later. */
	void (*output)(void *ctx);
	/* user: as given to http2_accept() or http2_open(). */
	void (*stream)(void *user, unsigned events);
};

/* lim NULL: those of http1. ev must outlive the session. */
struct http2 *http2_server(const struct http2_limits *lim,
    const struct http2_events *ev, void *ctx) MUST_USE;
struct http2 *http2_client(const struct http2_limits *lim,
    const struct http2_events *ev, void *ctx) MUST_USE;
/* Its streams stay until each is freed; they are closed. NULL-safe. */
void http2_free(struct http2 *h);

/* Bytes of the peer; all are taken. 0, or -1: the connection is over, what
 * http2_fill() still gives (GOAWAY) should leave first. */
int http2_recv(struct http2 *h, struct slice in) MUST_USE;
/* Frames to send, until out holds HTTP2_OUT_HIGH bytes or there are none. out
 * must have room for 32 KiB more. 0, or -1: the session is broken. */
int http2_fill(struct http2 *h, struct buf *out) MUST_USE;
/* Nothing more will be read nor written: close. */
bool http2_done(const struct http2 *h);
/* GOAWAY: streams that run go on, new ones are not taken. */
void http2_goaway(struct http2 *h);
/* Without those that are answered, and whose request is thrown away up to
 * 32 KiB: they do not keep a connection. */
unsigned http2_open_streams(const struct http2 *h);
/* The peer is in the middle of a field section. */
bool http2_in_headers(const struct http2 *h);

/* Client: may one more request be sent? */
bool http2_has_room(const struct http2 *h);
struct http2_stream *http2_open(struct http2 *h, void *user) MUST_USE;
void http2_accept(struct http2_stream *st, void *user);

/* As stream_read() and stream_write(). A server's stream never answers
 * TLS_EOF before it is closed; a client's does at the end of the response.
 * TLS_TRUNCATED: the peer reset it, or the connection has gone. */
ssize_t http2_read(struct http2_stream *st, void *p, size_t n);
ssize_t http2_write(struct http2_stream *st, const void *p, size_t n);
/* Nothing more will be written. A message that is not complete is reset. */
void http2_end(struct http2_stream *st);
size_t http2_pending(const struct http2_stream *st);
/* Resets it: INTERNAL_ERROR from a server, CANCEL from a client (RFC 9113, 7). */
void http2_cut(struct http2_stream *st);
/* The user's interest ends. What was taken of a complete message still leaves;
 * else the stream is reset. NULL-safe. */
void http2_stream_free(struct http2_stream *st);
/* Its message was whole by its length, though the peer has not ended it yet. */
void http2_whole(struct http2_stream *st);
/* Client: the stream is closed, and the request was certainly not processed
 * (8.7): REFUSED_STREAM, beyond GOAWAY's last stream, or it never left. */
bool http2_refused(const struct http2_stream *st);
/* Client: the connection ended before a word of an answer. */
bool http2_lost(const struct http2_stream *st);
bool http2_stream_complete(const struct http2_stream *st);
/* For whoever reads and writes HTTP/1.1 on a struct stream: its functions are
 * those above, to sever it is to cut. under: see stream_virtual(). */
struct stream *http2_as_stream(struct http2_stream *st, int under) MUST_USE;

#endif
