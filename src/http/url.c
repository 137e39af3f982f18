#include "http/url.h"
#include "base/str.h"

static int hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool url_text_ok(const char *s, size_t n)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + n;
	while (p < end) {
		unsigned c = *p++, more;
		uint32_t least;
		if (c < 0x20 || c == 0x7f)
			return false;
		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c <= 0xdf)
			more = 1, least = 0x80;
		else if (c >= 0xe0 && c <= 0xef)
			more = 2, least = 0x800;
		else if (c >= 0xf0 && c <= 0xf4)
			more = 3, least = 0x10000;
		else
			return false;
		uint32_t v = c & (0x3fu >> more);
		for (; more > 0; more--) {
			if (p == end || (*p & 0xc0) != 0x80)
				return false;
			v = v << 6 | (*p++ & 0x3fu);
		}
		if (v < least || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
			return false;
	}
	return true;
}

/* Decodes n bytes at s in place and ends them with a NUL; the text may only shrink. */
static int decode(char *s, size_t n, bool form, size_t *ret_len, struct err *e)
{
	size_t out = 0;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		if (c == '+' && form) {
			c = ' ';
		} else if (c == '%') {
			bool whole = n - i > 2;
			int hi = whole ? hex((unsigned char)s[i + 1]) : -1;
			int lo = whole ? hex((unsigned char)s[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return err_set(e, ERR_INVALID,
				    "the address has a bad %% escape at byte %zu", i);
			c = (char)(hi << 4 | lo);
			if (!form && c == '/')
				return err_set(e, ERR_INVALID,
				    "the address has an encoded slash, which is not accepted");
			i += 2;
		}
		s[out++] = c;
	}
	if (!url_text_ok(s, out))
		return err_set(e, ERR_INVALID,
		    "the address has control characters or is not UTF-8 after decoding");
	s[out] = 0;
	*ret_len = out;
	return 0;
}

static int check_segments(const char *path, struct err *e)
{
	if (streq(path, "/"))
		return 0;
	for (const char *p = path; *p == '/';) {
		p++;
		size_t n = strcspn(p, "/");
		if (n == 0)
			return err_set(e, ERR_INVALID,
			    "the address has an empty path segment (\"//\" or a "
			    "slash at its end)");
		if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return err_set(
			    e, ERR_INVALID, "the address has a \".\" or \"..\" path segment");
		p += n;
	}
	return 0;
}

static int parse_params(struct url *u, char *s, size_t n, struct err *e)
{
	char *end = s + n;
	while (s < end) {
		char *amp = memchr(s, '&', (size_t)(end - s));
		char *stop = amp ? amp : end;
		char *eq = memchr(s, '=', (size_t)(stop - s));
		if (stop > s) {
			if (u->nparams == URL_PARAMS_MAX)
				return err_set(e, ERR_INVALID,
				    "the address has more than %d query parameters",
				    URL_PARAMS_MAX);
			struct url_param *p = &u->params[u->nparams];
			size_t len = 0;
			p->key = s;
			p->value = eq ? eq + 1 : stop;
			int r = decode(p->key, (size_t)((eq ? eq : stop) - s), true, &len, e);
			/* Without '=' the value is the NUL that now ends the key or the buffer. */
			if (r == 0 && eq)
				r = decode(p->value, (size_t)(stop - p->value), true, &len, e);
			else if (r == 0)
				p->value = p->key + len;
			if (r < 0)
				return r;
			u->nparams++;
		}
		if (!amp)
			break;
		s = amp + 1;
	}
	return 0;
}

int url_parse(struct url *u, struct bytes target, struct err *e)
{
	*u = (struct url){ 0 };
	const char *text = target.base;
	if (target.len == 0 || text[0] != '/')
		return err_set(e, ERR_INVALID, "the address does not begin with a slash");
	if (memchr(text, '#', target.len))
		return err_set(e, ERR_INVALID, "the address has a fragment ('#')");
	u->memory = malloc(target.len + 2);
	if (!u->memory)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request's address");
	memcpy(u->memory, text, target.len);
	u->memory[target.len] = u->memory[target.len + 1] = 0;

	char *mark = memchr(u->memory, '?', target.len);
	size_t path_len = mark ? (size_t)(mark - u->memory) : target.len, len;
	u->path = u->memory;
	int r = decode(u->path, path_len, false, &len, e);
	if (r == 0)
		r = check_segments(u->path, e);
	if (r == 0 && mark)
		r = parse_params(u, mark + 1, target.len - path_len - 1, e);
	if (r < 0)
		url_done(u);
	return r;
}

void url_done(struct url *u)
{
	free(u->memory);
	*u = (struct url){ 0 };
}

const char *url_param(const struct url *u, const char *key, size_t n)
{
	for (size_t i = 0; i < u->nparams; i++)
		if (streq(u->params[i].key, key) && n-- == 0)
			return u->params[i].value;
	return NULL;
}
