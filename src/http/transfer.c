#include "base/clock.h"
#include "base/str.h"
#include "http/curl.h"

/* curl's multi interface on sd-event: curl says which fds and which timer it wants, the loop tells
 * it when they are ready. */

struct watch { /* one fd curl waits for */
	struct http_client *client;
	sd_event_source *source;
	struct watch *prev, *next;
};

struct http_transfer {
	struct http_client *client;
	struct http_transfer *prev, *next;
	CURL *easy;
	struct curl_slist *headers;
	struct http_transfer_ops ops;
	void *arg;
	struct buf body;
	char *who; /* the socket, or the url; for errors */
	int timeout_ms;
	struct curl_peer peer;
	bool to_socket, cancelled, refused, too_large, paused;
};

struct http_client {
	sd_event *loop;
	CURLM *multi;
	sd_event_source *timer;
	struct watch *watches;
	struct http_transfer *transfers;
	unsigned busy; /* inside curl or a callback: free waits for the outermost */
	bool dead;
};

static void client_destroy(struct http_client *c);

static void transfer_release(struct http_transfer *t)
{
	curl_multi_remove_handle(t->client->multi, t->easy);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	buf_done(&t->body);
	free(t->who);
	free(t);
}

static void transfer_free(struct http_transfer *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		t->client->transfers = t->next;
	if (t->next)
		t->next->prev = t->prev;
	transfer_release(t);
}

static void finish(struct http_transfer *t, CURLcode rc)
{
	struct curl_ask ask = { .socket_path = t->to_socket ? t->who : NULL,
		.path_or_url = t->who,
		.timeout_ms = t->timeout_ms };
	struct err e = { 0 };
	long status = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (t->too_large)
		(void)err_set(&e, ERR_TOO_LARGE, "the answer of %s is larger than %zu bytes",
		    t->who, t->body.max);
	else if (t->refused)
		(void)err_set(&e, ERR_INTERNAL, "the answer of %s was not wanted further", t->who);
	else if (rc != CURLE_OK)
		(void)curl_failed(t->easy, rc, &ask, &e);
	if (!t->cancelled && t->ops.done) {
		if (e.code == ERR_NONE)
			t->ops.done(t->arg, (int)status, buf_bytes(&t->body), NULL);
		else
			t->ops.done(t->arg, 0, (struct bytes){ NULL, 0 }, &e);
	}
	transfer_free(t);
}

static void collect_finished(struct http_client *c)
{
	CURLMsg *m;
	int left;
	while (!c->dead && (m = curl_multi_info_read(c->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		struct http_transfer *t = NULL;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		finish(t, m->data.result);
	}
}

/* A handle must not be removed while curl works; so what was cancelled meanwhile goes here. */
static void leave(struct http_client *c)
{
	if (--c->busy)
		return;
	if (c->dead) {
		client_destroy(c);
		return;
	}
	struct http_transfer *next;
	for (struct http_transfer *t = c->transfers; t; t = next) {
		next = t->next;
		if (t->cancelled)
			transfer_free(t);
	}
}

static void run(struct http_client *c, curl_socket_t fd, int events)
{
	int running;
	c->busy++;
	curl_multi_socket_action(c->multi, fd, events, &running);
	collect_finished(c);
	leave(c);
}

static int on_fd(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct watch *w = arg;
	int events = 0;
	if (revents & EPOLLIN)
		events |= CURL_CSELECT_IN;
	if (revents & EPOLLOUT)
		events |= CURL_CSELECT_OUT;
	if (revents & (EPOLLERR | EPOLLHUP))
		events |= CURL_CSELECT_IN | CURL_CSELECT_ERR;
	run(w->client, fd, events);
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *arg)
{
	run(arg, CURL_SOCKET_TIMEOUT, 0);
	return 0;
}

static void watch_free(struct watch *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		w->client->watches = w->next;
	if (w->next)
		w->next->prev = w->prev;
	sd_event_source_disable_unref(w->source);
	free(w);
}

static int curl_wants_fd(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http_client *c = arg;
	struct watch *w = socket_arg;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			watch_free(w);
		return 0;
	}
	uint32_t events = 0;
	if (what & CURL_POLL_IN)
		events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		events |= EPOLLOUT;
	if (w)
		return sd_event_source_set_io_events(w->source, events) < 0 ? -1 : 0;

	w = calloc(1, sizeof(*w));
	if (!w)
		return -1;
	w->client = c;
	if (sd_event_add_io(c->loop, &w->source, fd, events, on_fd, w) < 0) {
		free(w);
		return -1;
	}
	w->next = c->watches;
	if (w->next)
		w->next->prev = w;
	c->watches = w;
	curl_multi_assign(c->multi, fd, w);
	return 0;
}

static int curl_wants_timer(CURLM *multi, long ms, void *arg)
{
	struct http_client *c = arg;
	if (ms < 0)
		return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
	uint64_t at = clock_mono_us() + (uint64_t)ms * 1000;
	if (sd_event_source_set_time(c->timer, at) < 0)
		return -1;
	return sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

int http_client_new(sd_event *loop, struct http_client **ret, struct err *e)
{
	struct http_client *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(e, ERR_NO_MEMORY, "no memory for an HTTP client");
	c->loop = sd_event_ref(loop);
	int r = sd_event_add_time(loop, &c->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_timer, c);
	c->multi = curl_multi_init();
	if (r < 0 || !c->multi) {
		client_destroy(c);
		return err_set(e, ERR_NO_MEMORY, "no memory for an HTTP client");
	}
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, curl_wants_fd);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, curl_wants_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	*ret = c;
	return 0;
}

static void client_destroy(struct http_client *c)
{
	struct http_transfer *t;
	while ((t = c->transfers)) {
		c->transfers = t->next;
		transfer_release(t);
	}
	if (c->multi)
		curl_multi_cleanup(c->multi);
	struct watch *w;
	while ((w = c->watches)) {
		c->watches = w->next;
		sd_event_source_disable_unref(w->source);
		free(w);
	}
	sd_event_source_disable_unref(c->timer);
	sd_event_unref(c->loop);
	free(c);
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	for (struct http_transfer *t = c->transfers; t; t = t->next)
		t->cancelled = true;
	c->dead = true;
	if (!c->busy)
		client_destroy(c);
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	size_t len = size * n;
	if (t->cancelled)
		return 0;
	if (t->paused)
		return CURL_WRITEFUNC_PAUSE; /* given again when it goes on */
	if (!t->ops.data) {
		if (buf_add(&t->body, p, len) == 0)
			return len;
		t->too_large = true;
		return 0;
	}
	t->client->busy++;
	int stop = t->ops.data(t->arg, p, len);
	t->client->busy--;
	if (t->cancelled)
		return 0;
	if (stop) {
		t->refused = true;
		return 0;
	}
	return len;
}

int http_start(struct http_client *c, const char *socket_path, const char *method,
    const char *path_or_url, const char *const *headers, struct bytes body, const char *ca_file,
    size_t max, int timeout_ms, const struct http_transfer_ops *ops, void *arg,
    struct http_transfer **ret, struct err *e)
{
	struct http_transfer *t = calloc(1, sizeof(*t));
	char *who = strdup(socket_path ? socket_path : path_or_url);
	if (!t || !who) {
		free(t);
		free(who);
		return err_set(e, ERR_NO_MEMORY, "no memory for a request");
	}
	*t = (struct http_transfer){ .client = c,
		.ops = *ops,
		.arg = arg,
		.who = who,
		.timeout_ms = timeout_ms,
		.to_socket = socket_path != NULL };
	buf_init(&t->body, max);
	t->peer.path = who;
	struct curl_ask ask = { .peer = &t->peer,
		.socket_path = socket_path,
		.method = method,
		.path_or_url = path_or_url,
		.headers = headers,
		.body = body,
		.ca_file = ca_file,
		.timeout_ms = timeout_ms };
	int r = curl_prepare(&ask, &t->easy, &t->headers, e);
	if (r < 0) {
		free(who);
		free(t);
		return r;
	}
	curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
	t->next = c->transfers;
	if (t->next)
		t->next->prev = t;
	c->transfers = t;
	/* Only arms the timer: curl begins when the loop fires it. */
	CURLMcode mc = curl_multi_add_handle(c->multi, t->easy);
	if (mc != CURLM_OK) {
		transfer_free(t);
		return err_set(
		    e, ERR_INTERNAL, "a request could not be started: %s", curl_multi_strerror(mc));
	}
	if (ret)
		*ret = t;
	return 0;
}

void http_cancel(struct http_transfer *t)
{
	if (!t)
		return;
	t->cancelled = true;
	if (!t->client->busy)
		transfer_free(t);
}

int http_transfer_status(const struct http_transfer *t)
{
	long status = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

void http_pause(struct http_transfer *t, bool pause)
{
	t->paused = pause;
	if (pause || t->cancelled)
		return;
	struct http_client *c = t->client;
	c->busy++;
	curl_easy_pause(t->easy, CURLPAUSE_CONT);
	leave(c);
}
