#include "proto/names_table.h"
#include "base/str.h"
#include <arpa/inet.h>

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_";

static int take_name(const json_t *o, const char *path, const char *key,
    char dst[NAMES_LABEL_MAX + 1], struct err *e)
{
	const char *s = "";
	int r = json_need_str(o, path, key, &s, e);
	if (r < 0)
		return r;
	/* group names may have "_", which a name on the wire may have too */
	size_t n = strspn(s, letters);
	bool empty = !n && !s[0] && streq(key, "group"); /* a machine may be in none */
	if ((!n && !empty) || s[n] || !str_copy(dst, NAMES_LABEL_MAX + 1, s))
		return err_set(e, ERR_INVALID, "%s.%s is not a name of at most %d letters", path,
		    key, NAMES_LABEL_MAX);
	return 0;
}

/* An address of the network, fdaa:<network>:..., other than the platform's own (network 0). */
static bool belongs(const struct in6_addr *a, uint32_t network)
{
	uint32_t n;
	memcpy(&n, &a->s6_addr[2], sizeof(n));
	return a->s6_addr[0] == 0xfd && a->s6_addr[1] == 0xaa && network && ntohl(n) == network;
}

static int take_record(const json_t *o, size_t i, struct name_record *r, struct err *e)
{
	char path[40];
	const char *machine = "", *ip6 = "", *state = "";
	int64_t network = 0;
	snprintf(path, sizeof(path), "records[%zu]", i);
	if (!json_is_object(o))
		return err_set(e, ERR_INVALID, "%s is not an object", path);
	int k = take_name(o, path, "app", r->app, e);
	if (k == 0)
		k = take_name(o, path, "region", r->region, e);
	if (k == 0)
		k = take_name(o, path, "group", r->group, e);
	if (k == 0)
		k = json_need_str(o, path, "machine", &machine, e);
	if (k == 0)
		k = json_need_str(o, path, "ip6", &ip6, e);
	if (k == 0)
		k = json_need_str(o, path, "state", &state, e);
	if (k == 0)
		k = json_need_int(o, path, "network", 1, UINT32_MAX, &network, e);
	if (k < 0)
		return k;
	if (!id_is_machine(machine))
		return err_set(e, ERR_INVALID, "%s.machine is not a machine's id", path);
	r->network = (uint32_t)network;
	if (inet_pton(AF_INET6, ip6, &r->ip6) != 1 || !belongs(&r->ip6, r->network))
		return err_set(
		    e, ERR_INVALID, "%s.ip6 is not an address of network %u", path, r->network);
	str_copy(r->machine, sizeof(r->machine), machine);
	r->started = streq(state, "started");
	return 0;
}

static int compare(const void *x, const void *y)
{
	const struct name_record *a = x, *b = y;
	if (a->network != b->network)
		return a->network < b->network ? -1 : 1;
	int k = strcmp(a->app, b->app);
	return k ? k : strcmp(a->machine, b->machine);
}

static int parse(struct names_table *t, const json_t *o, struct err *e)
{
	json_t *list = NULL, *one;
	int64_t version;
	size_t i;
	int r = json_need_int(o, "", "v", 1, 1, &version, e);
	if (r == 0)
		r = json_opt_array(o, "", "records", &list, e);
	if (r < 0)
		return r;
	if (json_array_size(list) > NAMES_RECORDS_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d records", NAMES_RECORDS_MAX);
	t->record = calloc(json_array_size(list) + 1, sizeof(*t->record));
	if (!t->record)
		return err_set(e, ERR_NO_MEMORY, "no memory for %zu names", json_array_size(list));
	json_array_foreach (list, i, one) {
		r = take_record(one, i, &t->record[i], e);
		if (r < 0)
			return r;
	}
	t->count = json_array_size(list);
	qsort(t->record, t->count, sizeof(*t->record), compare);
	return 0;
}

int names_table_parse(struct names_table *t, const char *text, size_t len, struct err *e)
{
	cleanup_json json_t *o = NULL;
	struct names_table got = { 0 };
	if (len > NAMES_FILE_MAX)
		return err_set(
		    e, ERR_TOO_LARGE, "the names' table is larger than %d bytes", NAMES_FILE_MAX);
	int r = json_parse(text, len, &o, e);
	if (r == 0)
		r = json_is_object(o) ? parse(&got, o, e)
				      : err_set(e, ERR_INVALID, "not an object");
	if (r < 0) {
		names_table_done(&got);
		return err_prefix(e, r, "the names' table");
	}
	*t = got;
	return 0;
}

void names_table_done(struct names_table *t)
{
	free(t->record);
	*t = (struct names_table){ 0 };
}

static bool is_label(const char *s)
{
	return *s && !s[strspn(s, letters)];
}

/* One machine whose names cannot be names must not take away those of all others. */
static bool readable(const struct name_record *r)
{
	return is_label(r->app) && is_label(r->region) && id_is_machine(r->machine) &&
	       belongs(&r->ip6, r->network);
}

/* DNS knows no difference of case; a group that still is no label has no name. */
static void group_label(char dst[NAMES_LABEL_MAX + 1], const char *group)
{
	str_copy(dst, NAMES_LABEL_MAX + 1, group);
	for (char *c = dst; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (!is_label(dst))
		dst[0] = 0;
}

char *names_table_format(const struct name_record *r, size_t n)
{
	cleanup_json json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		char ip6[INET6_ADDRSTRLEN], group[NAMES_LABEL_MAX + 1];
		if (!readable(&r[i]))
			continue;
		group_label(group, r[i].group);
		json_t *one = inet_ntop(AF_INET6, &r[i].ip6, ip6, sizeof(ip6))
				  ? json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s}", "app",
					r[i].app, "network", (json_int_t)r[i].network, "machine",
					r[i].machine, "ip6", ip6, "region", r[i].region, "group",
					group, "state", r[i].started ? "started" : "stopped")
				  : NULL;
		if (!one || json_array_append_new(list, one))
			return NULL;
	}
	cleanup_json json_t *o = json_pack("{s:i, s:O}", "v", 1, "records", list);
	return o ? json_format(o) : NULL;
}

/* The first record that is not before the key, by halves. */
static size_t lower(const struct names_table *t, uint32_t network, const char *app)
{
	size_t lo = 0, hi = t->count;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct name_record *r = &t->record[mid];
		bool before =
		    r->network < network || (r->network == network && strcmp(r->app, app) < 0);
		*(before ? &lo : &hi) = before ? mid + 1 : mid;
	}
	return lo;
}

const struct name_record *names_table_app(
    const struct names_table *t, uint32_t network, const char *app, size_t *ret_count)
{
	size_t from = lower(t, network, app), to = from;
	while (to < t->count && t->record[to].network == network && streq(t->record[to].app, app))
		to++;
	*ret_count = to - from;
	return to > from ? &t->record[from] : NULL;
}

const struct name_record *names_table_network(
    const struct names_table *t, uint32_t network, size_t *ret_count)
{
	size_t from = lower(t, network, ""), to = from;
	while (to < t->count && t->record[to].network == network)
		to++;
	*ret_count = to - from;
	return to > from ? &t->record[from] : NULL;
}
