#include "proto/route_table.h"
#include "base/file.h"
#include "base/str.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

/* FNV-1a: names are short, and a table is made by us alone, so nobody can aim for collisions at
 * will. */
static uint32_t hash_name(const char *p, size_t n)
{
	uint32_t h = 2166136261u;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * 16777619u;
	return h;
}

static bool section(const struct route_head *h, uint32_t at, uint32_t count, size_t size)
{
	return at % 8 == 0 && at >= sizeof(*h) && (uint64_t)at + (uint64_t)count * size <= h->size;
}

static bool is_host(const char *p, size_t n)
{
	if (n == 0 || n > ROUTE_HOST_LEN_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '.' ||
			p[i] == '-' || p[i] == '_'))
			return false;
	return true;
}

static bool is_text(const char *p, size_t size)
{
	size_t n = strnlen(p, size);
	for (size_t i = 0; i < n; i++)
		if (p[i] <= ' ' || p[i] > '~' || p[i] == '"' || p[i] == '<')
			return false;
	return n > 0 && n < size;
}

static bool app_fits(const struct route_head *h, const struct route_app *a)
{
	if (!is_text(a->id, sizeof(a->id)) || !is_text(a->name, sizeof(a->name)))
		return false;
	for (int i = 0; i < ROUTE_SIDES; i++)
		if ((uint64_t)a->pool[i].first + a->pool[i].count > h->nbackends)
			return false;
	return true;
}

static int check_contents(const struct route_table *t, struct err *e)
{
	const struct route_head *h = t->head;
	uint32_t named = 0;
	for (uint32_t i = 0; i < h->nplaces; i++) {
		const struct route_host *p = &t->hosts[i];
		if (!p->name_len)
			continue;
		if (p->app >= h->napps || (uint64_t)p->name_at + p->name_len > h->strings_len ||
		    !is_host(t->strings + p->name_at, p->name_len) ||
		    p->hash != hash_name(t->strings + p->name_at, p->name_len))
			return err_set(
			    e, ERR_PROTOCOL, "route table: host entry %u is not sound", i);
		named++;
	}
	if (named != h->nhosts)
		return err_set(e, ERR_PROTOCOL, "route table: %u hosts where %u are announced",
		    named, h->nhosts);
	for (uint32_t i = 0; i < h->napps; i++)
		if (!app_fits(h, &t->apps[i]))
			return err_set(
			    e, ERR_PROTOCOL, "route table: app entry %u is not sound", i);
	for (uint32_t i = 0; i < h->nbackends; i++) {
		const struct route_backend *b = &t->backends[i];
		if (!is_text(b->machine, sizeof(b->machine)) || b->port == 0 || b->ipv4[0] == 0 ||
		    b->ipv4[0] >= 224)
			return err_set(
			    e, ERR_PROTOCOL, "route table: backend entry %u is not sound", i);
	}
	return 0;
}

int route_table_open(const void *base, size_t len, struct route_table *ret, struct err *e)
{
	const struct route_head *h = base;
	if (len < sizeof(*h) || len > ROUTE_SIZE_MAX || (uintptr_t)base % 8 ||
	    memcmp(h->magic, ROUTE_MAGIC, 8) != 0)
		return err_set(e, ERR_PROTOCOL, "route table: no head");
	if (h->version != ROUTE_VERSION)
		return err_set(e, ERR_PROTOCOL,
		    "route table: version %u, and this program reads %d", h->version,
		    ROUTE_VERSION);
	if (h->size != len)
		return err_set(
		    e, ERR_PROTOCOL, "route table: %zu bytes where %u are announced", len, h->size);
	/* a hash with no empty place would make a look-up run for ever */
	if (h->napps > ROUTE_APPS_MAX || h->nbackends > ROUTE_BACKENDS_MAX ||
	    h->nhosts > ROUTE_HOSTS_MAX || h->nplaces == 0 || (h->nplaces & (h->nplaces - 1)) ||
	    h->nhosts >= h->nplaces ||
	    !section(h, h->hosts_at, h->nplaces, sizeof(struct route_host)) ||
	    !section(h, h->apps_at, h->napps, sizeof(struct route_app)) ||
	    !section(h, h->backends_at, h->nbackends, sizeof(struct route_backend)) ||
	    !section(h, h->strings_at, h->strings_len, 1))
		return err_set(e, ERR_PROTOCOL, "route table: a section lies outside of it");
	const char *p = base;
	struct route_table t = {
		.head = h,
		.hosts = (const void *)(p + h->hosts_at),
		.apps = (const void *)(p + h->apps_at),
		.backends = (const void *)(p + h->backends_at),
		.strings = p + h->strings_at,
	};
	int r = check_contents(&t, e);
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}

int route_table_map(int fd, struct route_table *ret, struct err *e)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS)
		return err_set(e, ERR_PROTOCOL, "route table: the memory is not sealed");
	if (fstat(fd, &st) || st.st_size < (off_t)sizeof(struct route_head) ||
	    st.st_size > ROUTE_SIZE_MAX)
		return err_set(e, ERR_PROTOCOL, "route table: not of a possible size");
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map the route table");
	int r = route_table_open(p, (size_t)st.st_size, ret, e);
	if (r < 0)
		munmap(p, (size_t)st.st_size);
	return r;
}

void route_table_unmap(struct route_table *t)
{
	if (t->head)
		munmap((void *)(uintptr_t)t->head, t->head->size);
	*t = (struct route_table){ 0 };
}

const struct route_app *route_table_find(const struct route_table *t, const char *host, size_t len)
{
	uint32_t hash = hash_name(host, len), mask = t->head->nplaces - 1;
	for (uint32_t i = hash & mask; t->hosts[i].name_len; i = (i + 1) & mask)
		if (t->hosts[i].hash == hash && t->hosts[i].name_len == len &&
		    !memcmp(t->strings + t->hosts[i].name_at, host, len))
			return &t->apps[t->hosts[i].app];
	return NULL;
}

int route_table_seal(struct bytes table, int *ret_fd, struct err *e)
{
	cleanup_close int fd = memfd_create("ward-routes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(e, errno, "cannot make memory for the route table");
	int r = io_write_all(fd, table.base, table.len);
	if (r < 0)
		return err_sys(e, -r, "cannot fill the route table");
	if (fcntl(fd, F_ADD_SEALS, SEALS))
		return err_sys(e, errno, "cannot seal the route table");
	*ret_fd = steal_fd(&fd);
	return 0;
}

/* ---- building: hosts are kept as a list and hashed at the end ---- */

void route_builder_init(struct route_builder *b)
{
	*b = (struct route_builder){ 0 };
	buf_init(&b->hosts, ROUTE_HOSTS_MAX * sizeof(struct route_host));
	buf_init(&b->apps, ROUTE_APPS_MAX * sizeof(struct route_app));
	buf_init(&b->backends, ROUTE_BACKENDS_MAX * sizeof(struct route_backend));
	buf_init(&b->strings, ROUTE_SIZE_MAX / 4);
}

void route_builder_done(struct route_builder *b)
{
	buf_done(&b->hosts);
	buf_done(&b->apps);
	buf_done(&b->backends);
	buf_done(&b->strings);
}

static int add(struct buf *to, const void *p, size_t n, struct err *e)
{
	int r = buf_add(to, p, n);
	return r == -ENOMEM     ? err_set(e, ERR_NO_MEMORY, "no memory for the route table")
	       : r == -EMSGSIZE ? err_set(e, ERR_TOO_LARGE, "the route table is full")
				: r;
}

int route_builder_app(struct route_builder *b, const char *id, const char *name, struct err *e)
{
	struct route_app a = { 0 };
	if (!str_copy(a.id, sizeof(a.id), id) || !is_text(a.id, sizeof(a.id)) ||
	    !str_copy(a.name, sizeof(a.name), name) || !is_text(a.name, sizeof(a.name)))
		return err_set(e, ERR_INVALID, "an app's id or name that cannot be routed");
	int r = add(&b->apps, &a, sizeof(a), e);
	if (r < 0)
		return r;
	b->napps++;
	b->pool = NULL;
	return 0;
}

static struct route_app *last_app(struct route_builder *b)
{
	return (struct route_app *)(void *)b->apps.data + (b->napps - 1);
}

int route_builder_host(struct route_builder *b, const char *host, struct err *e)
{
	size_t len = strlen(host);
	if (!b->napps || !is_host(host, len))
		return err_set(e, ERR_INVALID, "a host name that cannot be routed");
	struct route_host h = { hash_name(host, len), b->napps - 1, (uint32_t)b->strings.len,
		(uint32_t)len };
	int r = add(&b->strings, host, len, e);
	return r < 0 ? r : add(&b->hosts, &h, sizeof(h), e);
}

int route_builder_pool(
    struct route_builder *b, enum route_side side, const struct route_pool *pool, struct err *e)
{
	if (!b->napps)
		return err_set(e, ERR_INVALID, "a pool without an app");
	b->pool = &last_app(b)->pool[side];
	*b->pool = *pool;
	b->pool->first = b->nbackends;
	b->pool->count = 0;
	b->pool->present = 1;
	return 0;
}

int route_builder_backend(struct route_builder *b, const struct route_backend *m, struct err *e)
{
	if (!b->pool || !is_text(m->machine, sizeof(m->machine)) || m->port == 0 ||
	    m->ipv4[0] == 0 || m->ipv4[0] >= 224)
		return err_set(e, ERR_INVALID, "a machine without a usable id, address or port");
	int r = add(&b->backends, m, sizeof(*m), e);
	if (r < 0)
		return r;
	b->nbackends++;
	b->pool->count++;
	return 0;
}

static int put_hosts(
    struct route_builder *b, struct route_host *places, uint32_t mask, struct err *e)
{
	const struct route_host *list = (const void *)b->hosts.data;
	for (size_t k = 0; k < b->hosts.len / sizeof(*list); k++) {
		uint32_t i = list[k].hash & mask;
		for (; places[i].name_len; i = (i + 1) & mask)
			if (places[i].hash == list[k].hash &&
			    places[i].name_len == list[k].name_len &&
			    !memcmp(b->strings.data + places[i].name_at,
				b->strings.data + list[k].name_at, list[k].name_len))
				return err_set(e, ERR_CONFLICT,
				    "the host name %.*s belongs to two apps", (int)list[k].name_len,
				    b->strings.data + list[k].name_at);
		places[i] = list[k];
	}
	return 0;
}

static size_t round8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

int route_builder_finish(
    struct route_builder *b, uint64_t serial, uint64_t made_at, struct buf *ret, struct err *e)
{
	uint32_t nhosts = (uint32_t)(b->hosts.len / sizeof(struct route_host)), nplaces = 8;
	while (nplaces < nhosts * 2)
		nplaces *= 2;
	size_t hosts_at = round8(sizeof(struct route_head)),
	       apps_at = hosts_at + nplaces * sizeof(struct route_host),
	       backends_at = round8(apps_at + b->apps.len),
	       strings_at = round8(backends_at + b->backends.len),
	       size = strings_at + b->strings.len;
	if (size > ROUTE_SIZE_MAX)
		return err_set(e, ERR_TOO_LARGE, "the route table is full");
	int r = buf_reserve(ret, size);
	if (r < 0)
		return err_set(e, ERR_NO_MEMORY, "no memory for the route table");
	char *p = ret->data;
	memset(p, 0, size);
	struct route_head h = { .version = ROUTE_VERSION,
		.size = (uint32_t)size,
		.serial = serial,
		.made_at = made_at,
		.hosts_at = (uint32_t)hosts_at,
		.nplaces = nplaces,
		.nhosts = nhosts,
		.apps_at = (uint32_t)apps_at,
		.napps = b->napps,
		.backends_at = (uint32_t)backends_at,
		.nbackends = b->nbackends,
		.strings_at = (uint32_t)strings_at,
		.strings_len = (uint32_t)b->strings.len };
	memcpy(h.magic, ROUTE_MAGIC, 8);
	memcpy(p, &h, sizeof(h));
	r = put_hosts(b, (void *)(p + hosts_at), nplaces - 1, e);
	if (r < 0)
		return r;
	if (b->apps.len)
		memcpy(p + apps_at, b->apps.data, b->apps.len);
	if (b->backends.len)
		memcpy(p + backends_at, b->backends.data, b->backends.len);
	if (b->strings.len)
		memcpy(p + strings_at, b->strings.data, b->strings.len);
	ret->len = size;
	return 0;
}
