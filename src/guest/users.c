#include "guest/users.h"
#include "base/str.h"
#include <string.h>

enum { ID_MAX = 0x7fffffff };

/* One "a:b:c" line: the field'th part, as (base, length). */
static struct bytes field_at(const char *line, size_t len, unsigned field)
{
	while (field--) {
		const char *colon = memchr(line, ':', len);
		if (!colon)
			return (struct bytes){ 0 };
		len -= (size_t)(colon + 1 - line);
		line = colon + 1;
	}
	const char *end = memchr(line, ':', len);
	return (struct bytes){ line, end ? (size_t)(end - line) : len };
}

static bool is(struct bytes b, const char *s, size_t n)
{
	return b.base && b.len == n && !memcmp(b.base, s, n);
}

static bool number(struct bytes b, uint64_t *ret)
{
	char s[16];
	if (!b.base || !b.len || b.len >= sizeof s)
		return false;
	memcpy(s, b.base, b.len);
	s[b.len] = 0;
	return str_u64(s, ID_MAX, ret);
}

/* Each line of text; false ends. */
static bool next_line(const char **at, const char **line, size_t *len)
{
	if (!*at || !**at)
		return false;
	const char *end = strchrnul(*at, '\n');
	*line = *at;
	*len = (size_t)(end - *at);
	*at = *end ? end + 1 : end;
	return true;
}

static void take_passwd(const char *line, size_t len, struct user *u)
{
	struct bytes name = field_at(line, len, 0), home = field_at(line, len, 5);
	if (name.len < sizeof u->name) {
		memcpy(u->name, name.base, name.len);
		u->name[name.len] = 0;
	}
	if (home.base && home.len && home.len < sizeof u->home) {
		memcpy(u->home, home.base, home.len);
		u->home[home.len] = 0;
	}
}

/* By name first, then (for a number) by uid, as container engines do. */
static int find_user(const char *spec, size_t n, const char *passwd, struct user *u, struct err *e)
{
	const char *at = passwd, *line;
	size_t len;
	uint64_t uid, gid, want;
	while (next_line(&at, &line, &len))
		if (is(field_at(line, len, 0), spec, n) && number(field_at(line, len, 2), &uid) &&
		    number(field_at(line, len, 3), &gid)) {
			u->uid = (uid_t)uid;
			u->gid = (gid_t)gid;
			take_passwd(line, len, u);
			return 0;
		}
	if (!number((struct bytes){ spec, n }, &want))
		return err_set(e, ERR_INVALID, "user '%.*s' is not in the image's /etc/passwd",
		    (int)MIN(n, 60), spec);
	u->uid = (uid_t)want;
	at = passwd;
	while (next_line(&at, &line, &len))
		if (number(field_at(line, len, 2), &uid) && uid == want &&
		    number(field_at(line, len, 3), &gid)) {
			u->gid = (gid_t)gid;
			take_passwd(line, len, u);
			return 0;
		}
	return 0;
}

static int find_group(const char *spec, const char *group, struct user *u, struct err *e)
{
	const char *at = group, *line;
	size_t len;
	uint64_t gid;
	while (next_line(&at, &line, &len))
		if (is(field_at(line, len, 0), spec, strlen(spec)) &&
		    number(field_at(line, len, 2), &gid)) {
			u->gid = (gid_t)gid;
			return 0;
		}
	if (!str_u64(spec, ID_MAX, &gid))
		return err_set(
		    e, ERR_INVALID, "group '%.60s' is not in the image's /etc/group", spec);
	u->gid = (gid_t)gid;
	return 0;
}

static bool lists(struct bytes members, const char *name)
{
	const char *p = members.base, *end = p + members.len;
	while (p && p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		size_t n = (size_t)((comma ? comma : end) - p);
		if (is((struct bytes){ p, n }, name, strlen(name)))
			return true;
		p += n + 1;
	}
	return false;
}

static void find_supplementary(const char *group, struct user *u)
{
	const char *at = group, *line;
	size_t len;
	uint64_t gid;
	if (!u->name[0])
		return;
	while (u->ngroups < USER_GROUPS_MAX && next_line(&at, &line, &len))
		if (lists(field_at(line, len, 3), u->name) &&
		    number(field_at(line, len, 2), &gid) && gid != u->gid)
			u->groups[u->ngroups++] = (gid_t)gid;
}

int user_find(
    const char *spec, const char *passwd, const char *group, struct user *ret, struct err *e)
{
	struct user u = { .home = "/" };
	if (!spec || !*spec)
		spec = "0";
	const char *colon = strchr(spec, ':');
	size_t n = colon ? (size_t)(colon - spec) : strlen(spec);
	int r = find_user(n ? spec : "0", n ? n : 1, passwd, &u, e);
	if (r < 0)
		return r;
	if (colon && colon[1]) {
		if ((r = find_group(colon + 1, group, &u, e)) < 0)
			return r;
	} else {
		find_supplementary(group, &u);
	}
	if (u.uid == 0 && streq(u.home, "/") && !u.name[0])
		memcpy(u.home, "/root", sizeof "/root");
	*ret = u;
	return 0;
}
