#include "http/client.h"
#include "base/str.h"
#include "http/curl.h"

/* One-shot calls; streams on the loop are in transfer.c. */

struct collect {
	struct buf *body;
	bool too_large;
};

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct collect *c = arg;
	if (buf_add(c->body, p, size * n) == 0)
		return size * n;
	c->too_large = true;
	return 0; /* fewer than given: curl ends the transfer */
}

int http_call(const char *socket_path, const char *method, const char *path,
    const char *const *headers, struct bytes body, size_t max, int timeout_ms,
    struct http_reply *ret, struct err *e)
{
	struct curl_peer peer = { socket_path, -1 };
	struct curl_ask ask = { .peer = &peer,
		.socket_path = socket_path,
		.method = method,
		.path_or_url = path,
		.headers = headers,
		.body = body,
		.timeout_ms = timeout_ms };
	CURL *h;
	struct curl_slist *list;
	int r = curl_prepare(&ask, &h, &list, e);
	if (r < 0)
		return r;

	struct buf answer;
	buf_init(&answer, max);
	struct collect c = { .body = &answer };
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, &c);
	CURLcode rc = curl_easy_perform(h);
	long status = 0;
	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	if (c.too_large)
		r = err_set(e, ERR_TOO_LARGE, "the answer of %s to %s %s is larger than %zu bytes",
		    socket_path, method, path, max);
	else if (rc != CURLE_OK)
		r = curl_failed(h, rc, &ask, e);
	curl_easy_cleanup(h);
	curl_slist_free_all(list);
	if (r < 0) {
		buf_done(&answer);
		return r;
	}
	ret->status = (int)status;
	ret->body = answer;
	return 0;
}

/* An error body back into a struct err: {"error","status","details":{"next"}}. */
static int error_from_reply(const struct http_reply *reply, const char *method, const char *path,
    const json_t *body, struct err *e)
{
	const char *text = json_string_value(json_object_get(body, "error"));
	const char *name = json_string_value(json_object_get(body, "status"));
	const char *next =
	    json_string_value(json_object_get(json_object_get(body, "details"), "next"));
	enum err_code code = name ? err_code_find(name) : ERR_NONE;
	if (code == ERR_NONE)
		code = reply->status == 404   ? ERR_NOT_FOUND
		       : reply->status == 503 ? ERR_UNAVAILABLE
		       : reply->status < 500  ? ERR_INVALID
					      : ERR_INTERNAL;
	int r;
	if (text)
		r = err_set(e, code, "%.380s", text);
	else
		r = err_set(
		    e, code, "%s %.200s was answered with status %d", method, path, reply->status);
	if (next)
		err_next(e, "%.230s", next);
	return r;
}

int http_call_json(const char *socket_path, const char *method, const char *path,
    const json_t *body, int timeout_ms, json_t **ret, struct err *e)
{
	enum { ANSWER_MAX = 8 * 1024 * 1024 };
	static const char *const json_header[] = { "Content-Type: application/json", NULL };

	cleanup_free char *text = NULL;
	struct bytes bytes = { NULL, 0 };
	if (body) {
		text = json_format(body);
		if (!text)
			return err_set(e, ERR_NO_MEMORY, "no memory for a request's body");
		bytes = (struct bytes){ text, strlen(text) };
	}
	struct http_reply reply;
	int r = http_call(socket_path, method, path, body ? json_header : NULL, bytes, ANSWER_MAX,
	    timeout_ms, &reply, e);
	if (r < 0)
		return r;

	cleanup_json json_t *answer = NULL;
	struct err parse;
	if (reply.body.len > 0)
		r = json_parse(reply.body.data, reply.body.len, &answer, &parse);
	if (reply.status >= 400)
		r = error_from_reply(&reply, method, path, answer, e);
	else if (r < 0)
		r = err_set(e, ERR_PROTOCOL, "the answer to %s %.150s is not JSON: %.150s", method,
		    path, parse.text);
	buf_done(&reply.body);
	if (r < 0)
		return r;
	if (ret)
		*ret = steal_ptr(&answer);
	return 0;
}
