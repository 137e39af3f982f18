#include "cli/api_internal.h"

enum { LINE_MAX_BYTES = 1 << 20, REFUSAL_MAX = 64 * 1024 };

/* ---- lines ---- */

struct lines {
	CURL *curl;
	struct buf pending;
	int (*line)(void *arg, const char *text, size_t len);
	void *arg;
	bool ended, too_long;
};

static size_t on_lines(char *p, size_t size, size_t n, void *arg)
{
	struct lines *l = arg;
	long status = 0;
	curl_easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &status);
	if (buf_add(&l->pending, p, size * n) < 0) {
		l->too_long = true;
		return 0;
	}
	if (status >= 400)
		return size * n; /* kept whole: it is the refusal */
	for (char *end; l->pending.len && (end = memchr(l->pending.data, '\n', l->pending.len));) {
		size_t len = (size_t)(end - l->pending.data);
		*end = 0;
		if (len && l->line(l->arg, l->pending.data, len)) {
			l->ended = true;
			return 0;
		}
		buf_consume(&l->pending, len + 1);
	}
	return size * n;
}

int api_lines(struct api *a, const char *path, int (*line)(void *arg, const char *text, size_t len),
    void *arg, struct err *e)
{
	struct curl_slist *headers = NULL;
	int r = api_prepare(a, "GET", path, NULL, false, &headers, e);
	if (r < 0)
		return r;
	struct lines l = { .curl = a->curl, .line = line, .arg = arg };
	buf_init(&l.pending, LINE_MAX_BYTES);
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, on_lines);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, &l);
	/* A live stream has a heartbeat; half a minute without a byte is a dead peer. */
	curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_TIME, 60L);
	curl_easy_setopt(a->curl, CURLOPT_BUFFERSIZE, 16384L);
	CURLcode rc = curl_easy_perform(a->curl);
	long status = 0;
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (l.too_long)
		r = err_set(
		    e, ERR_PROTOCOL, "the API sent a line longer than %d bytes", LINE_MAX_BYTES);
	else if (rc != CURLE_OK && !l.ended)
		r = api_failed(a, rc, e);
	else if (status >= 400)
		r = api_refused((int)status, "GET", path, l.pending.data, l.pending.len, e);
	buf_done(&l.pending);
	return r;
}

/* ---- blobs ---- */

int api_head(struct api *a, const char *path, struct err *e)
{
	struct curl_slist *headers = NULL;
	int r = api_prepare(a, "HEAD", path, NULL, false, &headers, e);
	if (r < 0)
		return r;
	curl_easy_setopt(a->curl, CURLOPT_TIMEOUT_MS, 60000L);
	CURLcode rc = curl_easy_perform(a->curl);
	long status = 0;
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (rc != CURLE_OK)
		return api_failed(a, rc, e);
	return status >= 400 ? api_refused((int)status, "HEAD", path, NULL, 0, e) : 0;
}

struct upload {
	ssize_t (*read)(void *arg, void *p, size_t n);
	void *arg;
	uint64_t left;
	ssize_t failed;
};

static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
	struct upload *u = arg;
	size_t want = size * n < u->left ? size * n : (size_t)u->left;
	if (!want)
		return 0;
	ssize_t k = u->read(u->arg, p, want);
	if (k <= 0) { /* fewer bytes than announced: end it rather than send a short body */
		u->failed = k < 0 ? k : -ENODATA;
		return CURL_READFUNC_ABORT;
	}
	u->left -= (uint64_t)k;
	return (size_t)k;
}

static size_t on_refusal(char *p, size_t size, size_t n, void *arg)
{
	int full = buf_add(arg, p, size * n); /* past the bound the rest is not needed */
	(void)full;
	return size * n;
}

int api_put(struct api *a, const char *path, uint64_t size,
    ssize_t (*read)(void *arg, void *p, size_t n), void *arg, struct err *e)
{
	struct curl_slist *headers = NULL;
	int r = api_prepare(a, "PUT", path, NULL, false, &headers, e);
	if (r < 0)
		return r;
	cleanup_buf struct buf answer;
	buf_init(&answer, REFUSAL_MAX);
	struct upload u = { .read = read, .arg = arg, .left = size };
	curl_easy_setopt(a->curl, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(a->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
	curl_easy_setopt(a->curl, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(a->curl, CURLOPT_READDATA, &u);
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, on_refusal);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, &answer);
	curl_easy_setopt(a->curl, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(a->curl, CURLOPT_LOW_SPEED_TIME, 120L);
	CURLcode rc = curl_easy_perform(a->curl);
	long status = 0;
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_slist_free_all(headers);
	if (status >= 400)
		return api_refused((int)status, "PUT", path, answer.data, answer.len, e);
	if (u.failed)
		return err_set(e, ERR_IMAGE, "a blob of the image could not be read whole");
	return rc == CURLE_OK ? 0 : api_failed(a, rc, e);
}
