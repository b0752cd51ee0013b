/*
 * ws - WebSocket (RFC 6455, version 13) without extensions: a reader that joins
 * frames into messages, a writer, and what the handshake needs.
 *
 * Refused: reserved bits and opcodes, a length that is not in its shortest
 * form, a frame that is masked or not against its sender's role (5.1), control
 * frames that are fragmented or longer than 125 bytes, a continuation of
 * nothing, a new message inside another, text that is no UTF-8, a close code
 * that must not be sent (7.4), messages beyond the limits. After an error the
 * reader gives nothing more.
 */
#ifndef WS_H
#define WS_H

#include "base.h"
#include "buf.h"

#define WS_FRAMES 4096		/* of one message */
#define WS_CONTROL 125		/* payload of a control frame */
#define WS_KEY_LEN 25		/* with NUL */
#define WS_ACCEPT_LEN 29

enum ws_op { WS_OP_MORE = 0, WS_OP_TEXT = 1, WS_OP_BINARY = 2, WS_OP_CLOSE = 8,
	WS_OP_PING = 9, WS_OP_PONG = 10 };

/* E(symbol, close code of RFC 6455 7.4.1, sentence) */
#define WS_ERRORS(E)                                                         \
	E(NONE, 1000, "no error")                                            \
	E(RESERVED, 1002, "reserved bits or an unknown opcode")              \
	E(UNMASKED, 1002, "a client's frame without a mask")                 \
	E(MASKED, 1002, "a server's frame with a mask")                      \
	E(LENGTH, 1002, "a length that is not in its shortest form")         \
	E(CONTROL, 1002, "a control frame that is fragmented or too long")   \
	E(ORDER, 1002, "a fragment outside of a message, or a message inside another") \
	E(CLOSE, 1002, "a close code that must not be sent")                 \
	E(UTF8, 1007, "text that is not UTF-8")                              \
	E(LARGE, 1009, "a message larger than the limit")                    \
	E(FRAMES, 1008, "a message of too many fragments")

enum ws_error {
#define E(sym, code, text) WS_E_##sym,
	WS_ERRORS(E)
#undef E
	WS_E_COUNT
};

const char *ws_error_text(enum ws_error e);
unsigned ws_error_code(enum ws_error e);

enum ws_event { WS_MORE, WS_TEXT, WS_BINARY, WS_PING, WS_PONG, WS_CLOSE,
	WS_ERROR };

struct ws_reader {
	enum ws_error error;
	unsigned code;			/* after WS_CLOSE; 1005: none given */

	/* the reader's own */
	bool masked, in_payload, fin, given;
	uint8_t op, message_op;		/* of the frame; of its message or 0 */
	uint8_t hd[14], mask[4], control[WS_CONTROL];
	unsigned hd_n, control_n, frames;
	uint64_t left, at;		/* of the frame's payload */
	struct buf data;
};

/* masked: the peer is the client. message: bytes of one message. */
void ws_reader_init(struct ws_reader *r, bool masked, size_t message);
void ws_reader_free(struct ws_reader *r);
/*
 * Takes bytes off *in. A message or a control frame: *data_r is its payload
 * (of CLOSE without the code), good until the next call. MORE: all of *in was
 * taken.
 */
enum ws_event ws_next(struct ws_reader *r, struct slice *in,
    struct slice *data_r) MUST_USE;
/* Bytes kept of a message that is not whole. */
size_t ws_pending(const struct ws_reader *r);

/* One whole frame. mask: we are the client; the key is new each time (5.3).
 * 0, or -1: out is full, nothing was written. */
int ws_write(struct buf *out, enum ws_op op, struct slice data, bool mask)
    MUST_USE;
/* reason: UTF-8, cut at 123 bytes. code 1005: an empty payload. */
int ws_write_close(struct buf *out, unsigned code, const char *reason,
    bool mask) MUST_USE;

/* --- the handshake (4.1, 4.2) --- */

void ws_key_new(char key[WS_KEY_LEN]);
/* Base64 of 16 bytes. */
bool ws_key_ok(struct slice key) MUST_USE;
void ws_accept(struct slice key, char accept[WS_ACCEPT_LEN]);
/* A list of subprotocols: tokens, each once, at most 16. */
bool ws_protocols_ok(struct slice list) MUST_USE;
bool ws_protocols_have(struct slice list, struct slice one);

#endif
