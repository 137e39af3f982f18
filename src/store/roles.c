#include "store/roles.h"
#include "base/str.h"

bool store_prefix_end(const char *prefix, char *dst, size_t size)
{
	size_t n = strlen(prefix);
	if (!n || (unsigned char)prefix[n - 1] == 0xff || !str_copy(dst, size, prefix))
		return false;
	dst[n - 1]++;
	return true;
}

/* The range of one row for this host: up to the first segment that stays open. */
static bool row_range(const char *pattern, const char *host, struct store_range *r)
{
	char out[STORE_KEY_MAX];
	size_t n = 0;
	bool open = false;
	for (const char *p = pattern; *p && !open;) {
		const char *word = p;
		size_t len = strcspn(p, "/");
		if (*p == '<') {
			if (!host || len != 6 || memcmp(p, "<host>", 6) != 0) {
				open = true;
				break;
			}
			word = host;
		}
		size_t w = word == p ? len : strlen(word);
		if (n + w + 2 > sizeof(out))
			return false;
		memcpy(out + n, word, w);
		n += w;
		p += len;
		if (*p == '/')
			out[n++] = *p++;
	}
	out[n] = 0;
	str_copy(r->begin, sizeof(r->begin), out);
	r->end[0] = 0;
	return !open || store_prefix_end(r->begin, r->end, sizeof(r->end));
}

static unsigned rights(const struct store_key *k, enum daemon who, bool *ret_here)
{
	unsigned bit = 1u << who, may = 0;
	if ((k->readers | k->readers_here | k->writers) & bit)
		may |= STORE_READ;
	if (k->writers & bit)
		may |= STORE_WRITE;
	*ret_here = !(k->readers & bit); /* read and written only for the own host */
	return may;
}

struct set {
	struct store_range *r;
	size_t n;
};

static bool add(struct set *s, const char *begin, const char *end, unsigned may)
{
	for (size_t i = 0; i < s->n; i++)
		if (streq(s->r[i].begin, begin) && streq(s->r[i].end, end)) {
			s->r[i].may |= may;
			return true;
		}
	if (s->n == STORE_RANGES_MAX)
		return false;
	struct store_range *r = &s->r[s->n++];
	str_copy(r->begin, sizeof(r->begin), begin);
	str_copy(r->end, sizeof(r->end), end);
	r->may = may;
	return true;
}

/* Adds [range) for one right, without the rows inside it that the daemon has not that right to.
 * Rows nest at most once in the table, and those inside one range do not overlap each other, so
 * they are cut out from left to right. */
static bool add_without(
    struct set *s, const struct store_range *range, unsigned may, enum daemon who, const char *host)
{
	char from[STORE_KEY_MAX];
	str_copy(from, sizeof(from), range->begin);
	while (range->end[0]) {
		struct store_range hole, first = { .begin = "" };
		for (size_t i = 0; i < store_keys_count; i++) {
			bool here;
			if (!row_range(store_keys[i].pattern, host, &hole))
				return false;
			bool inside = hole.end[0] && strcmp(hole.begin, range->begin) > 0 &&
				      strcmp(hole.end, range->end) <= 0 &&
				      str_starts(hole.begin, range->begin) &&
				      strcmp(hole.begin, from) >= 0;
			if (inside && !(rights(&store_keys[i], who, &here) & may) &&
			    (!first.begin[0] || strcmp(hole.begin, first.begin) < 0))
				first = hole;
		}
		if (!first.begin[0])
			break;
		if (strcmp(from, first.begin) < 0 && !add(s, from, first.begin, may))
			return false;
		str_copy(from, sizeof(from), first.end);
	}
	return (range->end[0] && strcmp(from, range->end) >= 0) || add(s, from, range->end, may);
}

int store_role(
    enum daemon who, const char *host, struct store_range *ranges, size_t *ret_count, struct err *e)
{
	struct set s = { .r = ranges };
	for (size_t i = 0; i < store_keys_count; i++) {
		bool here;
		struct store_range r;
		unsigned may = rights(&store_keys[i], who, &here);
		bool ok = true;
		if (may & STORE_READ)
			ok = row_range(store_keys[i].pattern, here ? host : NULL, &r) &&
			     add_without(&s, &r, STORE_READ, who, here ? host : NULL);
		if (ok && (may & STORE_WRITE))
			ok = row_range(store_keys[i].pattern, here ? host : NULL, &r) &&
			     add_without(&s, &r, STORE_WRITE, who, here ? host : NULL);
		if (!ok)
			return err_set(e, ERR_INTERNAL,
			    "the key table gives %s more ranges than the store's roles hold",
			    daemon_name(who));
	}
	*ret_count = s.n;
	return 0;
}
