#include "proto/http1.h"
#include "proto/http1_chars.h"

enum { CHUNK_DIGITS_MAX = 15 };

enum state {
	SIZE,      /* hex digits; all zero begins here */
	EXT_START, /* after ";" */
	EXT_NAME,
	EXT_EQUALS, /* first byte of the value */
	EXT_TOKEN,
	EXT_QUOTED,
	EXT_ESCAPED,
	EXT_AFTER, /* after a quoted value: ";" or CR */
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER, /* at the start of a trailer line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	LAST_LF,
	DONE,
};

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_PROTOCOL, "chunked body: %s", what);
}

static int size_byte(struct http1_chunks *c, char b, struct err *e)
{
	if (http1_is_hex(b)) {
		if (++c->count > CHUNK_DIGITS_MAX)
			return bad(e, "a size of too many digits");
		unsigned digit = b <= '9' ? (unsigned)(b - '0') : (unsigned)((b | 0x20) - 'a' + 10);
		c->left = c->left << 4 | digit;
		return SIZE;
	}
	if (!c->count)
		return bad(e, "a size that is not a hexadecimal number");
	if (b == '\r')
		return SIZE_LF;
	c->count = 0;
	return b == ';' ? EXT_START : bad(e, "a size that is not a hexadecimal number");
}

static int after_extension(char b, struct err *e)
{
	return b == ';' ? EXT_START : b == '\r' ? SIZE_LF : bad(e, "an invalid extension");
}

/* chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the blanks that RFC 9112
 * calls bad. */
static int extension_byte(struct http1_chunks *c, char b, struct err *e)
{
	if (++c->count > HTTP1_EXTENSION_MAX)
		return bad(e, "too long an extension");
	switch (c->state) {
	case EXT_START: return http1_is_token(b) ? EXT_NAME : bad(e, "an extension without a name");
	case EXT_NAME:
		if (http1_is_token(b))
			return EXT_NAME;
		return b == '=' ? EXT_EQUALS : after_extension(b, e);
	case EXT_EQUALS:
		return b == '"'            ? EXT_QUOTED
		       : http1_is_token(b) ? EXT_TOKEN
					   : bad(e, "an invalid extension");
	case EXT_TOKEN: return http1_is_token(b) ? EXT_TOKEN : after_extension(b, e);
	case EXT_QUOTED:
		return b == '"'            ? EXT_AFTER
		       : b == '\\'         ? EXT_ESCAPED
		       : http1_is_value(b) ? EXT_QUOTED
					   : bad(e, "a control character in an extension");
	case EXT_ESCAPED:
		return http1_is_value(b) ? EXT_QUOTED
					 : bad(e, "a control character in an extension");
	default: return after_extension(b, e);
	}
}

/* Trailers are checked like header lines and dropped: merged ones could change what was already
 * decided. */
static int trailer_byte(struct http1_chunks *c, char b, struct err *e)
{
	if (++c->trailer > HTTP1_TRAILERS_MAX)
		return bad(e, "too many trailers");
	switch (c->state) {
	case TRAILER:
		if (b == '\r')
			return LAST_LF;
		return http1_is_token(b) ? TRAILER_NAME : bad(e, "an invalid trailer");
	case TRAILER_NAME:
		return http1_is_token(b) ? TRAILER_NAME
		       : b == ':'        ? TRAILER_VALUE
					 : bad(e, "an invalid trailer");
	default:
		return http1_is_value(b) ? TRAILER_VALUE
		       : b == '\r'       ? TRAILER_LF
					 : bad(e, "a control character in a trailer");
	}
}

static int step(struct http1_chunks *c, char b, struct err *e)
{
	switch (c->state) {
	case SIZE: return size_byte(c, b, e);
	case SIZE_LF:
		if (b != '\n')
			return bad(e, "a size that does not end with CR LF");
		c->count = 0;
		return c->left ? DATA : TRAILER;
	case DATA_CR: return b == '\r' ? DATA_LF : bad(e, "data longer than its size says");
	case DATA_LF: return b == '\n' ? SIZE : bad(e, "data that does not end with CR LF");
	case TRAILER_LF: return b == '\n' ? TRAILER : bad(e, "a bare CR in a trailer");
	case LAST_LF: return b == '\n' ? DONE : bad(e, "a bare CR at its end");
	case TRAILER:
	case TRAILER_NAME:
	case TRAILER_VALUE: return trailer_byte(c, b, e);
	default: return extension_byte(c, b, e);
	}
}

int http1_chunks_next(struct http1_chunks *c, const void *base, size_t len, size_t *ret_used,
    struct bytes *ret_data, struct err *e)
{
	const char *p = base;
	size_t at = 0;
	while (c->state != DONE) {
		if (at == len) {
			*ret_used = at;
			*ret_data = (struct bytes){ 0 };
			return HTTP1_CHUNK_MORE;
		}
		if (c->state == DATA) {
			size_t n = (size_t)MIN(c->left, (uint64_t)(len - at));
			c->left -= n;
			if (!c->left)
				c->state = DATA_CR;
			*ret_data = (struct bytes){ p + at, n };
			*ret_used = at + n;
			return HTTP1_CHUNK_DATA;
		}
		int next = step(c, p[at], e);
		if (next < 0)
			return next;
		c->state = (uint8_t)next;
		at++;
	}
	*ret_used = at;
	*ret_data = (struct bytes){ 0 };
	return HTTP1_CHUNK_END;
}
