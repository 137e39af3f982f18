#include "cli/api_internal.h"
#include "cli/out.h"
#include <sodium.h>
#include <strings.h>

enum {
	ANSWER_MAX = 32 << 20,
	CONNECT_MS = 10000,
	CALL_S = 60,
	RETRY_FIRST_MS = 250,
	RETRY_LAST_MS = 2000,
};

static int from_curl(CURLcode rc, struct err *e)
{
	return rc == CURLE_OK ? 0
			      : err_set(e, ERR_INTERNAL, "the request could not be prepared: %s",
				    curl_easy_strerror(rc));
}

/* Names below .localhost are this machine (RFC 6761 6.3), even where the system's resolver does not
 * know it. */
static int localhost_here(struct api *a, struct err *e)
{
	const char *host = a->base + strlen("https://");
	size_t n = strcspn(host, ":/");
	static const char suffix[] = ".localhost";
	if (n < sizeof(suffix) || strncmp(host + n - strlen(suffix), suffix, strlen(suffix)) != 0)
		return 0;
	char rule[600];
	snprintf(rule, sizeof(rule), "%.*s::127.0.0.1:", (int)n, host);
	a->connect_to = curl_slist_append(NULL, rule);
	return a->connect_to ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for a request");
}

int api_open(const struct settings *s, struct api **ret, struct err *e)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_NO_MEMORY, "libcurl could not start");
	if (*s->ca_sha256 && !*s->ca_file)
		return err_set(e, ERR_INVALID, "config.toml has ca_sha256 but no ca");
	int r = *s->ca_sha256 ? settings_check_pin(s, e) : 0;
	if (r < 0)
		return r;
	struct api *a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	a->settings = *s;
	a->curl = curl_easy_init();
	if (!a->curl)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
	else if (str_starts(s->url, "unix://")) {
		str_copy(a->base, sizeof(a->base), "http://localhost");
		if (!str_copy(a->socket, sizeof(a->socket), s->url + strlen("unix://")))
			r = err_set(
			    e, ERR_TOO_LARGE, "the API's socket has a path that is too long");
	} else {
		str_copy(a->base, sizeof(a->base), s->url);
		r = localhost_here(a, e);
	}
	if (r < 0) {
		api_close(a);
		return r;
	}
	*ret = a;
	return 0;
}

void api_close(struct api *a)
{
	if (!a)
		return;
	curl_easy_cleanup(a->curl);
	curl_slist_free_all(a->connect_to);
	settings_wipe(&a->settings);
	free(a);
}

static int request_headers(const struct api *a, const char *header, bool json_body,
    struct curl_slist **list, struct err *e)
{
	char auth[8300];
	bool scheme =
	    str_starts(a->settings.token, "Bearer ") || str_starts(a->settings.token, "FlyV1 ");
	snprintf(
	    auth, sizeof(auth), "Authorization: %s%s", scheme ? "" : "Bearer ", a->settings.token);
	const char *lines[] = { "Expect:",
		json_body ? "Content-Type: application/json" : "Content-Type:", header,
		*a->settings.token ? auth : NULL };
	int r = 0;
	for (size_t i = 0; r == 0 && i < countof(lines); i++) {
		struct curl_slist *more = lines[i] ? curl_slist_append(*list, lines[i]) : *list;
		if (!more)
			r = err_set(e, ERR_NO_MEMORY, "no memory for a request");
		else
			*list = more;
	}
	sodium_memzero(auth, sizeof(auth));
	return r;
}

/* What the API took, but does not act on yet. */
static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	static const char name[] = "ward-warning:";
	size_t len = size * n, skip = sizeof(name) - 1;
	(void)arg;
	if (len > skip && !strncasecmp(p, name, skip)) {
		while (skip < len && p[skip] == ' ')
			skip++;
		while (len > skip && (p[len - 1] == '\r' || p[len - 1] == '\n'))
			len--;
		out_say("warning: %.*s", (int)(len - skip), p + skip);
	}
	return size * n;
}

int api_prepare(struct api *a, const char *method, const char *path, const char *header,
    bool json_body, struct curl_slist **ret_headers, struct err *e)
{
	char url[4096];
	int n = snprintf(url, sizeof(url), "%s%s", a->base, path);
	if (n < 0 || (size_t)n >= sizeof(url))
		return err_set(e, ERR_TOO_LARGE, "the request's path is too long");
	struct curl_slist *headers = NULL;
	int r = request_headers(a, header, json_body, &headers, e);
	if (r < 0) {
		curl_slist_free_all(headers);
		return r;
	}
	CURL *h = a->curl;
	CURLcode rc = CURLE_OK;
#define SET(option, value)                                                                         \
	do {                                                                                       \
		if (rc == CURLE_OK)                                                                \
			rc = curl_easy_setopt(h, option, value);                                   \
	} while (0)
	curl_easy_reset(h);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROXY, *a->socket ? "" : NULL);
	SET(CURLOPT_PROTOCOLS_STR, *a->socket ? "http" : "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_USERAGENT, "ward/" WARD_VERSION);
	if (*a->socket)
		SET(CURLOPT_UNIX_SOCKET_PATH, a->socket);
	if (a->connect_to)
		SET(CURLOPT_CONNECT_TO, a->connect_to);
	if (*a->settings.ca_file)
		SET(CURLOPT_CAINFO, a->settings.ca_file);
	if (streq(method, "HEAD"))
		SET(CURLOPT_NOBODY, 1L);
	else
		SET(CURLOPT_CUSTOMREQUEST, method);
#undef SET
	r = from_curl(rc, e);
	if (r < 0)
		curl_slist_free_all(headers);
	else
		*ret_headers = headers;
	return r;
}

bool api_answered(const struct api *a)
{
	long status = 0;
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	return status > 0;
}

int api_failed(struct api *a, CURLcode rc, struct err *e)
{
	const char *where = *a->socket ? a->socket : a->base;
	long os = 0;
	curl_easy_getinfo(a->curl, CURLINFO_OS_ERRNO, &os);
	switch (rc) {
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST: {
		int r = err_set(e, ERR_UNAVAILABLE, "the API at %.200s cannot be reached: %s",
		    where, os ? strerror((int)os) : curl_easy_strerror(rc));
		err_next(e, "check that the platform runs (`ward doctor`), and WARD_API_URL");
		return r;
	}
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE: {
		int r = err_set(e, ERR_FORBIDDEN, "the certificate of %.200s is not trusted: %s",
		    where, curl_easy_strerror(rc));
		err_next(e, "set WARD_CA_FILE to the platform's CA (ca.pem), or `ca` in "
			    "~/.config/ward/config.toml");
		return r;
	}
	case CURLE_OPERATION_TIMEDOUT: {
		int r = err_set(e, ERR_TIMEOUT, "the API at %.200s did not answer in time", where);
		err_next(e, "on the host, `ward doctor` shows which part is down; a sealed vault "
			    "keeps all others waiting");
		return r;
	}
	default:
		return err_set(e, ERR_UNAVAILABLE, "the call to the API at %.200s failed: %s",
		    where, curl_easy_strerror(rc));
	}
}

int api_refused(
    int status, const char *method, const char *path, const void *body, size_t len, struct err *e)
{
	cleanup_json json_t *j = NULL;
	struct err ignored;
	if (len && json_parse(body, len, &j, &ignored) < 0)
		j = NULL;
	const char *text = json_string_value(json_object_get(j, "error")),
		   *name = json_string_value(json_object_get(j, "status"));
	const char *next =
	    json_string_value(json_object_get(json_object_get(j, "details"), "next"));
	if (!text)
		text = json_string_value(json_object_get(j, "message"));
	enum err_code code = name ? err_code_find(name) : ERR_NONE;
	static const struct {
		int status;
		enum err_code code;
	} by_status[] = { { 401, ERR_UNAUTHENTICATED }, { 403, ERR_FORBIDDEN },
		{ 404, ERR_NOT_FOUND }, { 408, ERR_TIMEOUT }, { 409, ERR_CONFLICT },
		{ 413, ERR_TOO_LARGE }, { 502, ERR_UNAVAILABLE }, { 503, ERR_UNAVAILABLE },
		{ 504, ERR_UNAVAILABLE } };
	for (size_t i = 0; code == ERR_NONE && i < countof(by_status); i++)
		if (by_status[i].status == status)
			code = by_status[i].code;
	if (code == ERR_NONE)
		code = status < 500 ? ERR_INVALID : ERR_INTERNAL;
	int r =
	    text ? err_set(e, code, "%.380s", text)
		 : err_set(e, code, "%s %.200s was answered with status %d", method, path, status);
	if (next)
		err_next(e, "%.230s", next);
	return r;
}

static size_t collect(char *p, size_t size, size_t n, void *arg)
{
	return buf_add(arg, p, size * n) == 0 ? size * n : 0;
}

static int call_once(struct api *a, const char *method, const char *path, const json_t *body,
    const char *header, unsigned timeout_s, json_t **ret, struct err *e)
{
	cleanup_free char *text = body ? json_format(body) : NULL;
	struct curl_slist *headers = NULL;
	if (body && !text)
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	int r = api_prepare(a, method, path, header, body, &headers, e);
	if (r < 0)
		return r;
	cleanup_buf struct buf answer;
	buf_init(&answer, ANSWER_MAX);
	curl_easy_setopt(
	    a->curl, CURLOPT_TIMEOUT_MS, (long)(timeout_s ? timeout_s : CALL_S) * 1000);
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, &answer);
	if (text || streq(method, "POST") || streq(method, "PUT")) {
		curl_easy_setopt(
		    a->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(text ? strlen(text) : 0));
		curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, text ? text : "");
	}
	CURLcode rc = curl_easy_perform(a->curl);
	long status = 0;
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (rc != CURLE_OK)
		return api_failed(a, rc, e);
	if (status >= 400)
		return api_refused((int)status, method, path, answer.data, answer.len, e);
	if (!ret || !answer.len) {
		if (ret)
			*ret = json_object();
		return 0;
	}
	r = json_parse(answer.data, answer.len, ret, e);
	return r < 0 ? err_prefix(e, r, "the API's answer") : 0;
}

/* While the API or the edge before it is being restarted it answers "unavailable". What only reads
 * is asked again a few times; what changes something never is, and where nobody is there it is said
 * at once. */
int api_call_header(struct api *a, const char *method, const char *path, const json_t *body,
    const char *header, unsigned timeout_s, json_t **ret, struct err *e)
{
	bool reads = streq(method, "GET");
	for (unsigned pause_ms = RETRY_FIRST_MS;; pause_ms *= 2) {
		int r = call_once(a, method, path, body, header, timeout_s, ret, e);
		if (r == 0 || !reads || !api_answered(a) || e->code != ERR_UNAVAILABLE ||
		    pause_ms > RETRY_LAST_MS)
			return r;
		usleep(pause_ms * 1000);
	}
}

int api_call(struct api *a, const char *method, const char *path, const json_t *body,
    unsigned timeout_s, json_t **ret, struct err *e)
{
	return api_call_header(a, method, path, body, NULL, timeout_s, ret, e);
}

int api_path(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = 0;
	for (const char *p = fmt; r == 0 && *p; p++) {
		if (p[0] == '%' && p[1] == 's') {
			for (const char *s = va_arg(ap, const char *); r == 0 && *s; s++)
				r = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
					    (*s >= '0' && *s <= '9') || strchr("-_.~:", *s)
					? buf_add(b, s, 1)
					: buf_printf(b, "%%%02X", (unsigned char)*s);
			p++;
		} else {
			r = buf_add(b, p, 1);
		}
	}
	va_end(ap);
	return r;
}
