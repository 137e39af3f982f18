#include "http/curl.h"
#include "base/peer.h"
#include "base/str.h"
#include <strings.h>

static bool has_header(const char *const *headers, const char *name)
{
	for (; headers && *headers; headers++)
		if (!strncasecmp(*headers, name, strlen(name)) && (*headers)[strlen(name)] == ':')
			return true;
	return false;
}

static int add_header(struct curl_slist **list, const char *line, struct err *e)
{
	struct curl_slist *more = curl_slist_append(*list, line);
	if (!more)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request's headers");
	*list = more;
	return 0;
}

static int collect_headers(const struct curl_ask *a, struct curl_slist **list, struct err *e)
{
	/* curl adds these two by itself; local servers are asked without the extra round trip, and
	 * a body without a declared type has none. */
	int r = add_header(list, "Expect:", e);
	if (r == 0 && !has_header(a->headers, "Content-Type"))
		r = add_header(list, "Content-Type:", e);
	for (const char *const *h = a->headers; r == 0 && h && *h; h++)
		r = add_header(list, *h, e);
	return r;
}

/* In a machine's folder, who listens is looked at before the request is sent. A connection that
 * curl uses again was looked at when it was made. */
static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	struct curl_peer *p = arg;
	p->fd = fd;
	return CURL_SOCKOPT_OK;
}

static int on_connected(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	struct curl_peer *p = arg;
	struct err e;
	return p->fd < 0 || peer_check(p->fd, p->path, &e) == 0 ? CURL_PREREQFUNC_OK
								: CURL_PREREQFUNC_ABORT;
}

static CURLcode check_peer(CURL *h, struct curl_peer *p)
{
	p->fd = -1;
	CURLcode rc = curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, on_socket);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(h, CURLOPT_SOCKOPTDATA, p);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, on_connected);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(h, CURLOPT_PREREQDATA, p);
	return rc;
}

static CURLcode set_target(CURL *h, const struct curl_ask *a)
{
	if (!a->socket_path)
		return curl_easy_setopt(h, CURLOPT_URL, a->path_or_url);
	struct buf url;
	buf_init(&url, 16 * 1024);
	CURLcode rc = CURLE_OUT_OF_MEMORY;
	if (buf_printf(&url, "http://localhost%s", a->path_or_url) == 0) {
		rc = curl_easy_setopt(h, CURLOPT_URL, url.data);
		if (rc == CURLE_OK)
			rc = curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, a->socket_path);
		if (rc == CURLE_OK && peer_is_doubtful(a->socket_path))
			rc = check_peer(h, a->peer);
	}
	buf_done(&url);
	return rc;
}

static CURLcode set_options(CURL *h, const struct curl_ask *a, struct curl_slist *headers)
{
	CURLcode rc = set_target(h, a);
#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (rc == CURLE_OK)                                                                \
			rc = curl_easy_setopt(h, option, value);                                   \
	} while (0)
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_PROTOCOLS_STR, a->socket_path ? "http" : "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_TIMEOUT_MS, (long)a->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS,
	    a->timeout_ms && a->timeout_ms < 10000 ? (long)a->timeout_ms : 10000L);
	if (a->ca_file)
		SET(CURLOPT_CAINFO, a->ca_file);
	if (a->body.base) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->body.len);
		SET(CURLOPT_COPYPOSTFIELDS, a->body.base);
	}
	if (streq(a->method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_CUSTOMREQUEST, a->method);
#undef SET
	return rc;
}

int curl_prepare(
    const struct curl_ask *a, CURL **ret, struct curl_slist **ret_headers, struct err *e)
{
	static bool ready; /* Ward's programs that call have one thread */
	if (!ready && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_NO_MEMORY, "libcurl could not start");
	ready = true;

	CURL *h = curl_easy_init();
	if (!h)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	struct curl_slist *headers = NULL;
	int r = collect_headers(a, &headers, e);
	if (r == 0) {
		CURLcode rc = set_options(h, a, headers);
		if (rc != CURLE_OK)
			r = err_set(e, ERR_INTERNAL, "a request could not be prepared: %s",
			    curl_easy_strerror(rc));
	}
	if (r < 0) {
		curl_easy_cleanup(h);
		curl_slist_free_all(headers);
		return r;
	}
	*ret = h;
	*ret_headers = headers;
	return 0;
}

int curl_failed(CURL *h, CURLcode rc, const struct curl_ask *a, struct err *e)
{
	const char *who = a->socket_path ? a->socket_path : a->path_or_url;
	switch (rc) {
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(
		    e, ERR_TIMEOUT, "%s did not answer within %d ms", who, a->timeout_ms);
	case CURLE_OUT_OF_MEMORY: return err_set(e, ERR_NO_MEMORY, "no memory to call %s", who);
	case CURLE_ABORTED_BY_CALLBACK: /* on_connected's */
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(e, ERR_UNAVAILABLE, "nothing answers at %s", who);
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_set(e, ERR_PROTOCOL, "%s does not speak HTTP", who);
	default:
		return err_set(
		    e, ERR_UNAVAILABLE, "calling %s failed: %s", who, curl_easy_strerror(rc));
	}
}
