#include "store/etcd.h"
#include "base/str.h"
#include "store/roles.h"

json_t *etcd_bytes(const char *s)
{
	cleanup_free char *b = base64_encode(s, strlen(s));
	return b ? json_string(b) : NULL;
}

json_t *etcd_number(int64_t n)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)n);
	return json_string(text);
}

int64_t etcd_get_number(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	if (json_is_integer(v))
		return json_integer_value(v);
	const char *s = json_string_value(v);
	uint64_t n;
	if (s && *s == '-')
		return str_u64(s + 1, INT64_MAX, &n) ? -(int64_t)n : 0;
	return s && str_u64(s, INT64_MAX, &n) ? (int64_t)n : 0;
}

char *etcd_get_bytes(const json_t *o, const char *key, size_t *ret_len)
{
	const json_t *v = json_object_get(o, key);
	if (!json_is_string(v))
		return NULL;
	size_t n = json_string_length(v);
	char *out = malloc(n / 4 * 3 + 4);
	ssize_t len = out ? base64_decode(out, n / 4 * 3 + 3, json_string_value(v), n) : -1;
	if (len < 0 || memchr(out, 0, (size_t)len)) {
		free(out);
		return NULL;
	}
	out[len] = 0;
	if (ret_len)
		*ret_len = (size_t)len;
	return out;
}

int64_t etcd_revision(const json_t *answer)
{
	return etcd_get_number(json_object_get(answer, "header"), "revision");
}

int etcd_put_range(json_t *o, const char *begin, const char *prefix, struct err *e)
{
	char end[STORE_KEY_MAX + 1] = { 0 };
	if (*prefix && !store_prefix_end(prefix, end, sizeof(end)))
		return err_set(
		    e, ERR_INVALID, "\"%.*s\" is too long for a prefix", STORE_KEY_MAX, prefix);
	/* all keys: from the NUL byte to the NUL byte */
	if (json_object_set_new(o, "key", *begin ? etcd_bytes(begin) : json_string("AA==")) ||
	    json_object_set_new(o, "range_end", *end ? etcd_bytes(end) : json_string("AA==")))
		return err_set(e, ERR_NO_MEMORY, "no memory to ask the store");
	return 0;
}

/* One table of what etcd says when it refuses: its code, words in its text, our code. */
static const struct refusal {
	int grpc;
	const char *words;
	enum err_code code;
	const char *next;
} refusals[] = {
	{ GRPC_UNAUTHENTICATED, "", ERR_UNAUTHENTICATED,
	    "restart wardd: it hands each daemon its store password" },
	{ GRPC_FORBIDDEN, "", ERR_FORBIDDEN,
	    "run ward-store-setup (wardd does at each start): it renews the store's roles" },
	{ GRPC_INVALID, "authentication failed", ERR_UNAUTHENTICATED,
	    "restart wardd: it hands each daemon its store password" },
	{ GRPC_INVALID, "too large", ERR_TOO_LARGE, NULL },
	{ GRPC_INVALID, "is old", ERR_UNAVAILABLE, NULL },
	{ GRPC_EXHAUSTED, "space exceeded", ERR_STORE_FULL, NULL },
	{ GRPC_OUT_OF_RANGE, "compacted", ERR_UNAVAILABLE, NULL },
	{ GRPC_NOT_FOUND, "", ERR_NOT_FOUND, NULL },
	{ GRPC_PRECONDITION, "not found", ERR_NOT_FOUND, NULL },
	{ GRPC_PRECONDITION, "already exists", ERR_CONFLICT, NULL },
	{ GRPC_PRECONDITION, "not granted", ERR_NOT_FOUND, NULL },
	{ GRPC_PRECONDITION, "authentication is not enabled", ERR_UNAVAILABLE,
	    "wait for ward-store-setup, which wardd starts" },
	{ GRPC_INVALID, "", ERR_INVALID, NULL },
};

static int refused(int status, int grpc, const char *text, struct err *e)
{
	for (size_t i = 0; i < countof(refusals); i++)
		if (refusals[i].grpc == grpc && strstr(text, refusals[i].words)) {
			int r = err_set(e, refusals[i].code, "the store refuses: %.200s", text);
			if (refusals[i].next)
				err_next(e, "%s", refusals[i].next);
			return r;
		}
	return err_set(e, ERR_UNAVAILABLE, "the store cannot answer (status %d, code %d): %.200s",
	    status, grpc, text);
}

int etcd_answer(int status, struct bytes body, json_t **ret, int *ret_code, struct err *e)
{
	cleanup_json json_t *j = NULL;
	if (ret_code)
		*ret_code = 0;
	int r = json_parse(body.base ? body.base : "", body.len, &j, e);
	if (status != 200) {
		const char *text = r < 0 ? NULL : json_string_value(json_object_get(j, "error"));
		int grpc = r < 0 ? -1 : (int)etcd_get_number(j, "code");
		if (ret_code)
			*ret_code = grpc;
		return refused(status, grpc, text ? text : "no reason given", e);
	}
	if (r < 0)
		return err_prefix(
		    e, err_set(e, ERR_PROTOCOL, "the answer is not JSON"), "the store");
	*ret = steal_ptr(&j);
	return 0;
}

char *etcd_login_body(const struct store *s, struct err *e)
{
	cleanup_json json_t *j = json_pack("{ss ss}", "name", s->user, "password", s->password);
	char *text = j ? json_format(j) : NULL;
	if (!text)
		err_set(e, ERR_NO_MEMORY, "no memory to log in to the store");
	return text;
}

int etcd_login_answer(struct store *s, int status, struct bytes body, struct err *e)
{
	cleanup_json json_t *j = NULL;
	int r = etcd_answer(status, body, &j, NULL, e);
	if (r < 0)
		return err_prefix(e, r, "cannot log in to the store as %s", s->user);
	const char *token = json_string_value(json_object_get(j, "token"));
	if (!token || !*token || !str_copy(s->token, sizeof(s->token), token))
		return err_set(e, ERR_PROTOCOL, "the store gave no token at login");
	return 0;
}

static int post(const struct store *s, const char *path, const char *text, bool with_token,
    struct http_reply *ret, struct err *e)
{
	char authorization[ETCD_TOKEN_MAX + 20];
	snprintf(authorization, sizeof(authorization), "Authorization: %s", s->token);
	const char *const headers[] = { "Content-Type: application/json",
		with_token ? authorization : NULL, NULL };
	int r = http_call(s->socket_path, "POST", path, headers,
	    (struct bytes){ text, strlen(text) }, ETCD_ANSWER_MAX, s->timeout_ms, ret, e);
	return r < 0 ? err_prefix(e, r, "the store") : 0;
}

int etcd_login(struct store *s, struct err *e)
{
	s->token[0] = 0;
	char *text = etcd_login_body(s, e);
	if (!text)
		return -ENOMEM;
	struct http_reply reply;
	int r = post(s, "/v3/auth/authenticate", text, false, &reply, e);
	explicit_bzero(text, strlen(text));
	free(text);
	if (r < 0)
		return r;
	r = etcd_login_answer(s, reply.status, buf_bytes(&reply.body), e);
	buf_done(&reply.body);
	return r;
}

int etcd_call(struct store *s, const char *path, const json_t *body, json_t **ret, int *ret_code,
    struct err *e)
{
	cleanup_free char *text = json_format(body);
	if (!text)
		return err_set(e, ERR_NO_MEMORY, "no memory to ask the store");
	for (int attempt = 0;; attempt++) {
		int code = 0;
		int r = s->token[0] || s->anonymous ? 0 : etcd_login(s, e);
		if (r < 0)
			return r;
		struct http_reply reply;
		r = post(s, path, text, !s->anonymous, &reply, e);
		if (r < 0) {
			/* Perhaps another etcd is there: one that lost its log waits, rather than
			 * refuse a token from a later place in it. */
			s->token[0] = 0;
			return r;
		}
		r = etcd_answer(reply.status, buf_bytes(&reply.body), ret, &code, e);
		buf_done(&reply.body);
		/* Both mean that the question was turned away at the door: the token died with an
		 * etcd, or roles changed meanwhile. */
		bool again = r < 0 && (code == GRPC_UNAUTHENTICATED ||
					  strstr(e->text, "auth store is old") ||
					  strstr(e->text, "header is old"));
		if (again && attempt == 0 && !s->anonymous) {
			s->token[0] = 0;
			continue;
		}
		if (ret_code)
			*ret_code = code;
		return r;
	}
}
