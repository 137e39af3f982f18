#include "proto/ipc_vault.h"
#include "base/clock.h"
#include "base/str.h"
#include <poll.h>

_Static_assert(sizeof(struct vault_ask) == 16 + 24 + VAULT_ID_MAX + 8, "no hidden padding");
_Static_assert(sizeof(struct vault_answer) == 16 + 8 + 240 + 8, "no hidden padding");
_Static_assert(VAULT_BYTES_MAX + sizeof(struct vault_answer) <= IPC_BYTES_MAX, "a packet holds it");

static bool only(const char *s, size_t size, const char *letters)
{
	size_t n = strnlen(s, size);
	return n < size && strspn(s, letters) == n;
}

int vault_ask_parse(const void *packet, size_t len, struct vault_ask *ret_ask,
    struct bytes *ret_tail, struct err *e)
{
	struct vault_ask a;
	if (len < sizeof(a))
		return err_set(
		    e, ERR_PROTOCOL, "a request of %zu bytes; it has at least %zu", len, sizeof(a));
	memcpy(&a, packet, sizeof(a));
	*ret_ask = a;
	if (a.head.version != VAULT_VERSION)
		return err_set(e, ERR_PROTOCOL, "a request of version %u; this vault speaks %d",
		    a.head.version, VAULT_VERSION);
	if (a.head.type < VAULT_SEAL || a.head.type > VAULT_UNLOCK)
		return err_set(e, ERR_PROTOCOL, "a request of the unknown type %u", a.head.type);
	if (a.tail > VAULT_BYTES_MAX || len - sizeof(a) != a.tail)
		return err_set(e, ERR_PROTOCOL,
		    "a request says %u bytes follow (at most %d), and %zu do", a.tail,
		    VAULT_BYTES_MAX, len - sizeof(a));
	if (!only(a.purpose, sizeof(a.purpose), "abcdefghijklmnopqrstuvwxyz0123456789-"))
		return err_set(e, ERR_PROTOCOL,
		    "a request's purpose must be of a-z, 0-9 and -, and end with a NUL");
	if (!only(a.id, sizeof(a.id),
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/@*"))
		return err_set(e, ERR_PROTOCOL,
		    "a request's id must be of letters, digits and -_.:/@*, and end with a NUL");
	*ret_tail = (struct bytes){ (const char *)packet + sizeof(a), a.tail };
	return 0;
}

/* The packet has room for one byte more than the longest answer, so that a longer one shows. */
static int receive(int fd, unsigned bound_ms, uint64_t seq, char *packet, size_t room,
    struct vault_answer *ret, struct bytes *ret_tail, struct err *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t end = clock_mono_ms() + bound_ms;
	int k;
	do {
		uint64_t now = clock_mono_ms();
		k = poll(&p, 1, now < end ? (int)(end - now) : 0);
	} while (k < 0 && errno == EINTR);
	if (k <= 0)
		return k ? err_sys(e, errno, "cannot wait for the vault")
			 : err_set(e, ERR_TIMEOUT, "the vault did not answer within %u s",
			       bound_ms / 1000);
	size_t len;
	int r = ipc_recv(fd, packet, room, &len, NULL, NULL, e);
	if (r < 0)
		return err_prefix(e, r, "the vault");
	if (!len)
		return err_set(
		    e, ERR_UNAVAILABLE, "the vault closed the connection without an answer");
	struct vault_answer a;
	if (len < sizeof(a))
		return err_set(e, ERR_PROTOCOL, "the vault's answer has only %zu bytes", len);
	memcpy(&a, packet, sizeof(a));
	if (a.head.seq != seq || len - sizeof(a) != a.tail ||
	    memchr(a.text, 0, sizeof(a.text)) == NULL)
		return err_set(e, ERR_PROTOCOL, "the vault's answer does not fit the question");
	*ret = a;
	*ret_tail = (struct bytes){ packet + sizeof(a), a.tail };
	return 0;
}

int vault_call(const char *run, enum vault_type type, const char *purpose, const char *id,
    struct bytes tail, struct buf *ret, char text[240], struct err *e)
{
	return vault_call_within(run, 10000, type, purpose, id, tail, ret, text, e);
}

int vault_call_within(const char *run, unsigned bound_ms, enum vault_type type, const char *purpose,
    const char *id, struct bytes tail, struct buf *ret, char text[240], struct err *e)
{
	struct vault_ask ask = { .head = { .type = type, .version = VAULT_VERSION },
		.tail = (uint32_t)tail.len };
	char path[108];
	if (tail.len > VAULT_BYTES_MAX || !str_copy(ask.purpose, sizeof(ask.purpose), purpose) ||
	    !str_copy(ask.id, sizeof(ask.id), id))
		return err_set(e, ERR_TOO_LARGE,
		    "a request to the vault has a purpose below %zu, an id below %d, and at most "
		    "%d bytes",
		    sizeof(ask.purpose), VAULT_ID_MAX, VAULT_BYTES_MAX);
	if ((size_t)snprintf(path, sizeof(path), "%s/vault.sock", run) >= sizeof(path))
		return err_set(e, ERR_INVALID, "the path of the vault's socket is too long");
	ask.head.seq = clock_mono_us();

	cleanup_close int fd = -1;
	int r = ipc_connect(path, &fd, e);
	if (r == 0)
		r = ipc_send(fd, &ask, sizeof(ask), tail, NULL, 0, e);
	if (r < 0)
		return err_prefix(e, r, "the vault cannot be asked");

	enum { ROOM = sizeof(struct vault_answer) + VAULT_BYTES_MAX + 1 };
	char *packet = malloc(ROOM);
	if (!packet)
		return err_set(e, ERR_NO_MEMORY, "no memory to ask the vault");
	struct vault_answer a = { 0 };
	struct bytes got = { 0 };
	r = receive(fd, bound_ms, ask.head.seq, packet, ROOM, &a, &got, e);
	if (r == 0 && a.result < 0)
		r = err_set(
		    e, a.code < ERR_CODE_MAX ? (enum err_code)a.code : ERR_INTERNAL, "%s", a.text);
	else if (r == 0 && !ret && got.len)
		r = err_set(e, ERR_PROTOCOL, "the vault answered with %zu bytes where none belong",
		    got.len);
	else if (r == 0 && ret && buf_add(ret, got.base, got.len) < 0)
		r = err_set(e, ERR_TOO_LARGE,
		    "the vault's answer of %zu bytes is more than the asker takes", got.len);
	else if (r == 0 && text)
		memcpy(text, a.text, sizeof(a.text));
	explicit_bzero(packet, ROOM); /* it may have held a key */
	free(packet);
	return r;
}
