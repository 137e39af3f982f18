/* A two-way stream: curl connects (TLS included), the upgrade is written and read here, the bytes
 * after 101 are the stream. */
#include "cli/api_internal.h"
#include "proto/http1.h"
#include <poll.h>

struct api_stream {
	struct api *api;
	curl_socket_t fd;
	char early[HTTP1_HEAD_MAX + 4096]; /* bytes that came with the answer's head */
	size_t early_len, early_at;
};

static int wait_for(curl_socket_t fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r;
	do
		r = poll(&p, 1, ms);
	while (r < 0 && errno == EINTR);
	return r;
}

int api_stream_send(struct api_stream *s, const void *data, size_t n, struct err *e)
{
	const char *p = data;
	while (n) {
		size_t k = 0;
		CURLcode rc = curl_easy_send(s->api->curl, p, n, &k);
		if (rc == CURLE_AGAIN) {
			if (wait_for(s->fd, POLLOUT, 30000) <= 0)
				return err_set(e, ERR_TIMEOUT, "the API takes no more input");
			continue;
		}
		if (rc != CURLE_OK)
			return api_failed(s->api, rc, e);
		p += k;
		n -= k;
	}
	return 0;
}

ssize_t api_stream_recv(struct api_stream *s, void *p, size_t n, struct err *e)
{
	if (s->early_at < s->early_len) {
		size_t k = MIN(n, s->early_len - s->early_at);
		memcpy(p, s->early + s->early_at, k);
		s->early_at += k;
		return (ssize_t)k;
	}
	size_t k = 0;
	CURLcode rc = curl_easy_recv(s->api->curl, p, n, &k);
	if (rc == CURLE_AGAIN)
		return -EAGAIN;
	if (rc == CURLE_OK)
		return (ssize_t)k;
	int r = api_failed(s->api, rc, e);
	return r == -EAGAIN ? -EIO : r; /* -EAGAIN would mean: none now */
}

int api_stream_fd(const struct api_stream *s)
{
	return s->fd;
}

static int send_request(struct api_stream *s, const char *path, const char *protocol, struct err *e)
{
	char host[300] = "localhost", text[16384], auth[8300];
	if (!*s->api->socket)
		snprintf(host, sizeof(host), "%.*s", (int)strcspn(s->api->base + 8, "/"),
		    s->api->base + 8);
	struct http1_out o = { .base = text, .cap = sizeof(text) };
	http1_put_request_line(
	    &o, (struct bytes){ "POST", 4 }, (struct bytes){ path, strlen(path) });
	http1_put_field_text(&o, "Host", host);
	http1_put_field_text(&o, "User-Agent", "ward/" WARD_VERSION);
	if (*s->api->settings.token) {
		bool scheme = str_starts(s->api->settings.token, "Bearer ") ||
			      str_starts(s->api->settings.token, "FlyV1 ");
		snprintf(
		    auth, sizeof(auth), "%s%s", scheme ? "" : "Bearer ", s->api->settings.token);
		http1_put_field_text(&o, "Authorization", auth);
	}
	http1_put_field_text(&o, "Connection", "Upgrade");
	http1_put_field_text(&o, "Upgrade", protocol);
	http1_put_field_text(&o, "Content-Length", "0");
	http1_put_end(&o);
	if (o.overflow)
		return err_set(e, ERR_INVALID, "the token or path cannot be sent in a header");
	return api_stream_send(s, text, o.len, e);
}

static int read_rest(struct api_stream *s, size_t want, struct err *e)
{
	while (s->early_len < want && s->early_len < sizeof(s->early)) {
		size_t k = 0;
		CURLcode rc = curl_easy_recv(
		    s->api->curl, s->early + s->early_len, sizeof(s->early) - s->early_len, &k);
		if (rc == CURLE_AGAIN) {
			if (wait_for(s->fd, POLLIN, 60000) <= 0)
				return err_set(e, ERR_TIMEOUT, "the API did not answer in time");
			continue;
		}
		if (rc != CURLE_OK)
			return api_failed(s->api, rc, e);
		if (!k)
			return 0;
		s->early_len += k;
	}
	return 0;
}

static int read_answer(struct api_stream *s, const char *path, const char *protocol, struct err *e)
{
	struct http1_response answer;
	size_t scanned = 0;
	for (;;) {
		size_t before = s->early_len;
		int r = read_rest(s, before + 1, e);
		if (r < 0)
			return r;
		if (s->early_len == before)
			return err_set(
			    e, ERR_PROTOCOL, "the API closed the connection without an answer");
		ssize_t head =
		    http1_parse_response(s->early, s->early_len, &scanned, false, &answer, e);
		if (head < 0)
			return err_prefix(e, (int)head, "the API's answer");
		if (!head)
			continue;
		s->early_at = (size_t)head;
		if (answer.status == 101)
			return http1_is(answer.h.upgrade, protocol)
				   ? 0
				   : err_set(e, ERR_PROTOCOL,
					 "the API switched to another protocol than %s", protocol);
		if (answer.h.framing == HTTP1_LENGTH && answer.h.content_length < 4096) {
			r = read_rest(s, (size_t)head + (size_t)answer.h.content_length, e);
			if (r < 0)
				return r;
		}
		return api_refused(
		    answer.status, "POST", path, s->early + head, s->early_len - (size_t)head, e);
	}
}

int api_upgrade(
    struct api *a, const char *path, const char *protocol, struct api_stream **ret, struct err *e)
{
	struct curl_slist *headers = NULL;
	int r = api_prepare(a, "GET", "/", NULL, false, &headers, e);
	if (r < 0)
		return r;
	curl_easy_setopt(a->curl, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(a->curl, CURLOPT_FRESH_CONNECT, 1L);
	CURLcode rc = curl_easy_perform(a->curl);
	curl_slist_free_all(headers);
	if (rc != CURLE_OK)
		return api_failed(a, rc, e);
	struct api_stream *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_NO_MEMORY, "no memory for a stream");
	s->api = a;
	curl_easy_getinfo(a->curl, CURLINFO_ACTIVESOCKET, &s->fd);
	r = send_request(s, path, protocol, e);
	if (r == 0)
		r = read_answer(s, path, protocol, e);
	if (r < 0) {
		api_stream_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void api_stream_close(struct api_stream *s)
{
	free(s); /* the connection is the handle's, and ends with it */
}
