/* HTTP/1.1 messages, strictly: RFC 9110 and RFC 9112. Nothing is allocated and nothing is copied:
 * what is parsed are slices of the caller's buffer. One message has one reading: whatever two
 * implementations could read in two ways is refused (Content-Length beside Transfer-Encoding,
 * repeated or listed lengths, folded lines, bare CR or LF, blanks before a colon, codings other
 * than exactly "chunked", ...). Used by ward-edge and by the control plane's server (src/http).
 *
 * Head:   size_t scanned = 0; on each read: n = http1_parse_request(buf, len, &scanned, &req, &e):
 *         n > 0: the head's length, the body follows; 0: read more; negative: refuse,
 * err_code_status(e.code) is the status. Body:   HTTP1_LENGTH: count content_length bytes;
 * HTTP1_CHUNKED: http1_chunks_next; HTTP1_UNTIL_CLOSE (responses alone). Writer: struct http1_out
 * over the caller's memory; overflow is remembered and checked once at the end. */
#pragma once
#include "base/err.h"
#include "base/util.h"

enum {
	HTTP1_HEAD_MAX = 32 * 1024, /* start line and fields together */
	HTTP1_FIELDS_MAX = 100,
	HTTP1_TARGET_MAX = 8 * 1024,
	HTTP1_METHOD_MAX = 32,
	HTTP1_NAME_MAX = 128,      /* of one field's name */
	HTTP1_HOST_MAX = 253,      /* of a host's name, as DNS has it */
	HTTP1_OPTIONS_MAX = 32,    /* tokens in Connection */
	HTTP1_TRAILERS_MAX = 4096, /* bytes of trailer fields, all of which are dropped */
	HTTP1_EXTENSION_MAX = 256, /* bytes of one chunk's extension, dropped too */
};

/* Field names that some part of Ward looks at; all others are HTTP1_OTHER. */
#define HTTP1_NAMES(X)                                                                             \
	X(HTTP1_HOST, "Host")                                                                      \
	X(HTTP1_CONNECTION, "Connection")                                                          \
	X(HTTP1_CONTENT_LENGTH, "Content-Length")                                                  \
	X(HTTP1_TRANSFER_ENCODING, "Transfer-Encoding")                                            \
	X(HTTP1_TE, "TE")                                                                          \
	X(HTTP1_TRAILER, "Trailer")                                                                \
	X(HTTP1_UPGRADE, "Upgrade")                                                                \
	X(HTTP1_KEEP_ALIVE, "Keep-Alive")                                                          \
	X(HTTP1_PROXY_CONNECTION, "Proxy-Connection")                                              \
	X(HTTP1_EXPECT, "Expect")                                                                  \
	X(HTTP1_CONTENT_TYPE, "Content-Type")                                                      \
	X(HTTP1_AUTHORIZATION, "Authorization")                                                    \
	X(HTTP1_VIA, "Via")                                                                        \
	X(HTTP1_SERVER, "Server")                                                                  \
	X(HTTP1_DATE, "Date")                                                                      \
	X(HTTP1_X_FORWARDED_FOR, "X-Forwarded-For")                                                \
	X(HTTP1_X_FORWARDED_PROTO, "X-Forwarded-Proto")                                            \
	X(HTTP1_X_FORWARDED_PORT, "X-Forwarded-Port")                                              \
	X(HTTP1_X_FORWARDED_SSL, "X-Forwarded-SSL")                                                \
	X(HTTP1_FLY_CLIENT_IP, "Fly-Client-IP")                                                    \
	X(HTTP1_FLY_FORWARDED_PORT, "Fly-Forwarded-Port")                                          \
	X(HTTP1_FLY_FORWARDED_PROTO, "Fly-Forwarded-Proto")                                        \
	X(HTTP1_FLY_FORWARDED_SSL, "Fly-Forwarded-SSL")                                            \
	X(HTTP1_FLY_REGION, "Fly-Region")                                                          \
	X(HTTP1_FLY_REQUEST_ID, "Fly-Request-Id")                                                  \
	X(HTTP1_FLY_FORCE_INSTANCE, "Fly-Force-Instance-Id")                                       \
	X(HTTP1_FLY_PREFER_INSTANCE, "Fly-Prefer-Instance-Id")                                     \
	X(HTTP1_WARD_ERROR, "Ward-Error")

enum http1_name {
	HTTP1_OTHER = 0,
#define X(id, text) id,
	HTTP1_NAMES(X)
#undef X
	    HTTP1_NAME_MAX_ID
};

struct http1_field {
	struct bytes name, value; /* value without the blanks around it */
	uint8_t id;               /* enum http1_name */
	bool hop;                 /* for this hop only: never forwarded (RFC 9110 7.6.1) */
};

enum http1_framing {
	HTTP1_NO_BODY,
	HTTP1_LENGTH,
	HTTP1_CHUNKED,
	HTTP1_UNTIL_CLOSE,
};

/* What requests and responses have in common. */
struct http1_fields {
	size_t count;
	struct http1_field field[HTTP1_FIELDS_MAX];
	enum http1_framing framing;
	uint64_t content_length; /* of HTTP1_LENGTH; for a response to HEAD what it announces */
	bool has_length;         /* a Content-Length was there (it may be zero) */
	uint8_t minor;           /* 1 or 0: HTTP/1.<minor> */
	bool keep_alive;         /* what the sender wishes, by version and Connection */
	struct bytes upgrade;    /* the Upgrade field when Connection names it; else empty */
};

struct http1_request {
	struct http1_fields h;
	struct bytes method;
	struct bytes target; /* as sent */
	struct bytes path; /* origin form with its query ("/a?b"), or "*"; of the absolute form the
			      part after the authority */
	struct bytes host; /* without port; empty only in HTTP/1.0 */
	uint16_t port;     /* 0: none named */
	bool head;         /* HEAD: its response has no body */
	bool idempotent;   /* GET, HEAD, OPTIONS, TRACE, PUT, DELETE */
	bool expect_continue;
};

struct http1_response {
	struct http1_fields h;
	int status;          /* 100..999 */
	struct bytes reason; /* may be empty */
};

/* Parses a head that begins at base. *scanned: 0 before the first call for a message; remembers
 * where to search on, so that a head that trickles in costs linear time. Returns the head's length,
 * 0 (more is needed) or a negative errno (for ever refused). *ret is valid only when the length is
 * returned; its slices point into base. */
ssize_t http1_parse_request(const void *base, size_t len, size_t *scanned,
    struct http1_request *ret, struct err *e) must_check;

/* The same for a response; to_head: the request was HEAD. A 1xx has no body and another response
 * follows it. */
ssize_t http1_parse_response(const void *base, size_t len, size_t *scanned, bool to_head,
    struct http1_response *ret, struct err *e) must_check;

/* First field of a name; NULL if absent. The second form compares without case. */
const struct http1_field *http1_find(const struct http1_fields *h, enum http1_name id);
const struct http1_field *http1_find_name(const struct http1_fields *h, const char *name);
/* Whether a name is one of those above but for "_" where they have "-": programs behind CGI's or
 * WSGI's naming cannot tell the two apart. */
bool http1_is_shadow(const struct http1_field *f);
bool http1_is(struct bytes b, const char *text); /* equal, ASCII letters without case */
const char *http1_name_text(enum http1_name id);

/* ---- chunked bodies (RFC 9112 section 7.1) ---- */
struct http1_chunks {
	uint64_t left;    /* of the chunk's data */
	uint32_t count;   /* digits, extension bytes */
	uint32_t trailer; /* bytes of trailers so far */
	uint8_t state;
};

enum http1_chunk { HTTP1_CHUNK_MORE, HTTP1_CHUNK_DATA, HTTP1_CHUNK_END };

/* All zero begins a body. Looks at base[0..len): *ret_used bytes are done with (also with MORE and
 * END), and *ret_data is the slice of data found (inside base; with DATA never empty). After DATA
 * call again with what follows. END: the body is whole, the next message begins at base +
 * *ret_used. Returns enum http1_chunk or a negative errno. */
int http1_chunks_next(struct http1_chunks *c, const void *base, size_t len, size_t *ret_used,
    struct bytes *ret_data, struct err *e) must_check;

/* ---- writing ---- */
struct http1_out {
	char *base;
	size_t len, cap;
	bool overflow; /* something did not fit, or was not allowed in a field: the text must not be
			  sent */
};

void http1_put(struct http1_out *o, struct bytes b);
void http1_put_text(struct http1_out *o, const char *text);
void http1_put_u64(struct http1_out *o, uint64_t v);
void http1_put_request_line(
    struct http1_out *o, struct bytes method, struct bytes path); /* HTTP/1.1 */
void http1_put_status_line(
    struct http1_out *o, int status, struct bytes reason); /* reason empty: the standard one */
void http1_put_field(struct http1_out *o, const char *name,
    struct bytes value); /* refuses CR, LF, NUL and other controls */
void http1_put_field_text(struct http1_out *o, const char *name, const char *value);
void http1_put_field_u64(struct http1_out *o, const char *name, uint64_t value);
void http1_copy_field(struct http1_out *o, const struct http1_field *f);
void http1_put_end(struct http1_out *o); /* the empty line */

/* A chunk is <size in hex> CRLF data CRLF; the last one is HTTP1_LAST_CHUNK. Returns the count of
 * bytes written to dst. */
enum { HTTP1_CHUNK_HEAD_MAX = 18 };
size_t http1_chunk_head(char dst[HTTP1_CHUNK_HEAD_MAX], uint64_t size);
#define HTTP1_LAST_CHUNK "0\r\n\r\n"

const char *http1_reason(int status); /* "" for one it does not know */
