/* A machine's root disk: ask the fetcher, then the converter, each on a connection of its own on
 * the loop; it may take minutes. */
#include "agent/agent.h"
#include "base/str.h"
#include "proto/ipc_image.h"

enum { LONGEST_US = 30ull * 60 * 1000 * 1000 };

struct image_job {
	struct machine *m;
	char instance[ULID_LEN + 1], digest[sizeof(((struct image_ask *)0)->digest)];
	bool converting;
	int fd;
	sd_event_source *source, *late;
};

static void job_free(struct image_job *j)
{
	sd_event_source_disable_unref(j->source);
	sd_event_source_disable_unref(j->late);
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}

void image_cancel(struct machine *m)
{
	if (m->image)
		job_free(m->image);
	m->image = NULL;
}

bool image_is_for(const struct machine *m, const char *instance_id)
{
	return m->image && streq(m->image->instance, instance_id);
}

static void finish(struct image_job *j, int r, const struct err *e, const char *root)
{
	struct machine *m = j->m;
	struct machine_result res = { .act = ACT_IMAGE_PREPARE,
		.ret = r,
		.code = r < 0 ? e->code : ERR_NONE,
		.text = r < 0 ? e->text : NULL,
		.instance = j->instance,
		.digest = j->digest,
		.root = root };
	m->image = NULL;
	machine_finish(m, &res);
	job_free(j);
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *arg);

static int ask(struct image_job *j, const char *socket_name, enum image_type type, const char *ref,
    struct err *e)
{
	struct agent *a = j->m->agent;
	char path[108];
	struct image_ask q = { .head = { (uint32_t)type, IMAGE_VERSION, 1 } };
	int n = snprintf(path, sizeof(path), "%s/%s", a->places.run, socket_name);
	if (n < 0 || n >= (int)sizeof(path))
		return err_set(e, ERR_INVALID, "the path of %s is too long", socket_name);
	if (!str_copy(q.ref, sizeof(q.ref), ref))
		return err_set(e, ERR_INVALID, "the image's reference is longer than %d bytes",
		    IMAGE_REF_MAX - 1);
	memcpy(q.digest, j->digest, sizeof(q.digest));
	j->source = sd_event_source_disable_unref(j->source);
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	int r = ipc_connect(path, &j->fd, e);
	if (r < 0 ||
	    (r = ipc_send(j->fd, &q, sizeof(q), (struct bytes){ NULL, 0 }, NULL, 0, e)) < 0)
		return r;
	r = sd_event_add_io(a->loop, &j->source, j->fd, EPOLLIN, on_answer, j);
	return r < 0 ? err_sys(e, -r, "cannot watch %s", socket_name) : 0;
}

static int on_late(sd_event_source *s, uint64_t usec, void *arg)
{
	struct err e;
	int r = err_set(&e, ERR_TIMEOUT, "the image was not ready within 30 minutes");
	finish(arg, r, &e, NULL);
	return 0;
}

static void done(struct image_job *j, const struct image_answer *w)
{
	struct err e;
	int r = 0;
	if (w->result < 0) {
		enum err_code code =
		    w->code > 0 && w->code < ERR_CODE_MAX ? (enum err_code)w->code : ERR_SYSTEM;
		(void)err_set(&e, code, "%.*s", (int)sizeof(w->text) - 1, w->text);
		finish(j, w->result, &e, NULL);
		return;
	}
	char name[sizeof(w->digest)];
	memcpy(name, w->digest, sizeof(name));
	name[sizeof(name) - 1] = 0;
	if (!str_is_hex(name, IMAGE_DIGEST_LEN)) {
		r = err_set(&e, ERR_PROTOCOL, "an image's name is not 64 hex digits");
		finish(j, r, &e, NULL);
		return;
	}
	if (j->converting) {
		finish(j, 0, NULL, name);
		return;
	}
	memcpy(j->digest, name, sizeof(j->digest));
	j->converting = true;
	r = ask(j, "image-convert.sock", IMAGE_CONVERT, "", &e);
	if (r < 0)
		finish(j, r, &e, NULL);
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct image_job *j = arg;
	struct image_answer w;
	struct err e;
	size_t len = 0;
	int r = ipc_recv(fd, &w, sizeof(w), &len, NULL, NULL, &e);
	if (r == -EAGAIN)
		return 0;
	if (r == 0 && len == 0)
		r = err_set(&e, ERR_UNAVAILABLE, "ward-image went away in the middle");
	else if (r == 0 && len != sizeof(w))
		r = err_set(&e, ERR_PROTOCOL, "an answer of %zu bytes about an image", len);
	if (r < 0) {
		finish(j, r, &e, NULL);
		return 0;
	}
	if (w.head.type == IMAGE_DONE)
		done(j, &w);
	return 0;
}

int image_start(struct machine *m, const struct desired *d, struct err *e)
{
	const char *ref = json_string_value(json_object_get(d->config, "image"));
	if (!ref || !*ref)
		return err_set(e, ERR_INVALID, "the machine's config names no image");
	struct image_job *j = calloc(1, sizeof(*j));
	if (!j)
		return err_set(e, ERR_NO_MEMORY, "no memory for an image");
	j->m = m;
	j->fd = -1;
	memcpy(j->instance, d->instance_id, sizeof(j->instance));
	int r = ask(j, "image-fetch.sock", IMAGE_FETCH, ref, e);
	if (r == 0 && sd_event_add_time_relative(
			  m->agent->loop, &j->late, CLOCK_MONOTONIC, LONGEST_US, 0, on_late, j) < 0)
		r = err_set(e, ERR_SYSTEM, "cannot add a timer");
	if (r < 0) {
		job_free(j);
		return r;
	}
	m->image = j;
	return 0;
}
