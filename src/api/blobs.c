#include "api/handlers.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/ipc_image.h"
#include <fcntl.h>
#include <sys/stat.h>

/* Images are uploaded blob by blob, by digest. The bytes stream into a nameless file below
 * <lib>/uploads (gone by itself if anything ends early); when their SHA-256 is right,
 * ward-image-fetch gets the open file and keeps it. */

enum { UPLOADS_MAX = 8, STORE_MS = 10 * 60 * 1000 };

struct blob {
	struct call *call;
	char hex[IMAGE_DIGEST_LEN + 1];
	int file; /* -1 until there is one */
	uint64_t size;
	crypto_hash_sha256_state hash;
	bool failed;
	int ipc;
	sd_event_source *answer, *late;
	void (*then)(struct blob *b, const struct image_answer *a);
};

static void blob_free(void *work)
{
	struct blob *b = work;
	if (b->file >= 0) {
		close(b->file);
		b->call->api->uploads--;
	}
	sd_event_source_disable_unref(b->answer);
	sd_event_source_disable_unref(b->late);
	if (b->ipc >= 0)
		close(b->ipc);
	free(b);
}

static struct blob *blob_new(struct call *c)
{
	const char *digest = c->param[0];
	if (!str_starts(digest, "sha256:") || !str_is_hex(digest + 7, IMAGE_DIGEST_LEN)) {
		call_failf(
		    c, ERR_INVALID, "a blob is named sha256: and 64 lower-case hexadecimal digits");
		return NULL;
	}
	struct blob *b = calloc(1, sizeof(*b));
	if (!b) {
		call_failf(c, ERR_NO_MEMORY, "no memory for a blob");
		return NULL;
	}
	b->call = c;
	b->file = b->ipc = -1;
	str_copy(b->hex, sizeof(b->hex), digest + 7);
	call_work(c, b, blob_free);
	return b;
}

/* ---- asking ward-image-fetch ---- */

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	struct blob *b = arg;
	struct image_answer a;
	struct err e;
	size_t len;
	int r = ipc_recv(fd, &a, sizeof(a), &len, NULL, NULL, &e);
	if (r == -EAGAIN)
		return 0;
	if (r < 0 || len != sizeof(a)) {
		call_failf(b->call, ERR_UNAVAILABLE, "ward-image-fetch closed the connection");
		return 0;
	}
	if (a.head.type == IMAGE_PROGRESS)
		return 0;
	a.text[sizeof(a.text) - 1] = 0;
	b->then(b, &a);
	return 0;
}

static int on_late(sd_event_source *s, uint64_t usec, void *arg)
{
	struct blob *b = arg;
	call_failf(b->call, ERR_UNAVAILABLE, "ward-image-fetch does not answer");
	return 0;
}

static int ask_fetch(struct blob *b, enum image_type type, struct err *e)
{
	struct api *api = b->call->api;
	struct image_ask ask = { .head = { .type = type, .version = IMAGE_VERSION, .seq = 1 } };
	char path[108];
	str_copy(ask.digest, sizeof(ask.digest), b->hex);
	if ((size_t)snprintf(path, sizeof(path), "%s/image-fetch.sock", api->places.run) >=
	    sizeof(path))
		return err_set(
		    e, ERR_INTERNAL, "the path of ward-image-fetch's socket is too long");
	int r = ipc_connect(path, &b->ipc, e);
	if (r == 0)
		r = ipc_send(b->ipc, &ask, sizeof(ask), (struct bytes){ 0 }, &b->file,
		    type == IMAGE_BLOB_PUT ? 1 : 0, e);
	if (r < 0) {
		(void)err_set(e, ERR_UNAVAILABLE, "ward-image-fetch does not answer");
		return -EAGAIN;
	}
	int flags = fcntl(b->ipc, F_GETFL);
	if (flags < 0 || fcntl(b->ipc, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    sd_event_add_io(api->loop, &b->answer, b->ipc, EPOLLIN, on_answer, b) < 0 ||
	    sd_event_add_time(api->loop, &b->late, CLOCK_MONOTONIC,
		clock_mono_us() + STORE_MS * 1000ULL, 100000, on_late, b) < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory to ask ward-image-fetch");
	return 0;
}

static void head_then(struct blob *b, const struct image_answer *a)
{
	if (a->result == 0)
		http_answer_empty(b->call->http, 200);
	else if (a->result == -ENOENT)
		call_failf(b->call, ERR_NOT_FOUND, "the blob is not here");
	else
		call_failf(b->call, ERR_UNAVAILABLE, "%s", a->text);
}

void blobs_head(struct call *c)
{
	struct err e;
	struct blob *b = blob_new(c);
	if (!b)
		return;
	b->then = head_then;
	if (ask_fetch(b, IMAGE_BLOB_HAS, &e) < 0)
		call_fail(c, &e);
}

/* ---- upload ---- */

static void put_then(struct blob *b, const struct image_answer *a)
{
	char digest[IMAGE_DIGEST_LEN + 8];
	snprintf(digest, sizeof(digest), "sha256:%s", b->hex);
	if (a->result < 0) {
		enum err_code code = a->code < ERR_CODE_MAX ? (enum err_code)a->code : ERR_INTERNAL;
		call_failf(b->call, code ? code : ERR_INTERNAL, "%s",
		    a->text[0] ? a->text : "ward-image-fetch could not keep the blob");
		return;
	}
	call_json(
	    b->call, 201, json_pack("{s:s, s:I}", "digest", digest, "size", (json_int_t)b->size));
}

static void finish_upload(struct blob *b)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];
	struct err e;
	crypto_hash_sha256_final(&b->hash, hash);
	hex_encode(hex, hash, sizeof(hash));
	if (!streq(hex, b->hex)) {
		call_failf(
		    b->call, ERR_INVALID, "the bytes have the SHA-256 %s, not %s", hex, b->hex);
		return;
	}
	if (lseek(b->file, 0, SEEK_SET) < 0) {
		(void)err_sys(&e, errno, "the upload cannot be read again");
		call_fail(b->call, &e);
		return;
	}
	b->then = put_then;
	if (ask_fetch(b, IMAGE_BLOB_PUT, &e) < 0)
		call_fail(b->call, &e);
}

static void on_body(void *user, const void *p, size_t n)
{
	struct call *c = user;
	struct blob *b = c->work;
	struct err e;
	if (n == 0) {
		finish_upload(b);
		return;
	}
	b->size += n;
	if (b->size > c->api->blob_max) {
		call_failf(c, ERR_TOO_LARGE, "a blob may have at most %llu bytes",
		    (unsigned long long)c->api->blob_max);
		return;
	}
	crypto_hash_sha256_update(&b->hash, p, n);
	int r = io_write_all(b->file, p, n);
	if (r < 0) {
		(void)err_sys(&e, -r, "the upload cannot be written");
		call_fail(c, &e);
	}
}

static int open_upload(struct call *c, struct err *e)
{
	char path[160], id[17];
	id_hex(id, 16);
	snprintf(path, sizeof(path), "%s/uploads/%s", c->api->places.lib, id);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, errno, "the uploads folder cannot be written");
	unlink(path);
	return fd;
}

void blobs_put(struct call *c)
{
	struct err e;
	struct blob *b = blob_new(c);
	if (!b)
		return;
	const char *length = http_header(c->http, "Content-Length");
	uint64_t n;
	if (length && (!str_u64(length, INT64_MAX, &n) || n > c->api->blob_max)) {
		call_failf(c, ERR_TOO_LARGE, "a blob may have at most %llu bytes",
		    (unsigned long long)c->api->blob_max);
		return;
	}
	if (c->api->uploads >= UPLOADS_MAX) {
		call_failf(c, ERR_UNAVAILABLE, "%d uploads are under way already", UPLOADS_MAX);
		return;
	}
	int fd = open_upload(c, &e);
	if (fd < 0) {
		call_fail(c, &e);
		return;
	}
	b->file = fd;
	c->api->uploads++;
	crypto_hash_sha256_init(&b->hash);
	http_on_body(c->http, on_body);
}
