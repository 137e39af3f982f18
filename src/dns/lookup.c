#include "dns/lookup.h"
#include "base/str.h"

enum { LABELS_MAX = 6, NAME_MAX_ = 253 };

/* Which of an app's machines a name means. */
struct choice {
	const char *region, *group, *machine; /* NULL: any */
	size_t limit;
};

/* "a" or "a b", after a comma unless it is the first. */
static void add_text(struct lookup *l, const char *a, const char *b)
{
	size_t room = sizeof(l->text) - l->text_len;
	int n = snprintf(l->text + l->text_len, room, "%s%s%s%s", l->text_len ? "," : "", a,
	    b ? " " : "", b ? b : "");
	if (n > 0 && (size_t)n < room)
		l->text_len += (size_t)n;
	else
		l->text[l->text_len] = 0; /* what does not fit whole is left out */
}

static void add_machines(
    struct lookup *l, const struct name_record *r, size_t n, const struct choice *c)
{
	for (size_t i = 0; i < n && l->addresses < MIN(c->limit, (size_t)LOOKUP_ADDRESSES_MAX); i++)
		if (r[i].started && (!c->region || streq(r[i].region, c->region)) &&
		    (!c->group || streq(r[i].group, c->group)) &&
		    (!c->machine || streq(r[i].machine, c->machine)))
			l->address[l->addresses++] = r[i].ip6;
}

/* "id region,id region" */
static void tell_machines(struct lookup *l, const struct name_record *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (r[i].started)
			add_text(l, r[i].machine, r[i].region);
}

static void tell_regions(struct lookup *l, const struct name_record *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool told = !r[i].started;
		for (size_t k = 0; k < i && !told; k++)
			told = r[k].started && streq(r[k].region, r[i].region);
		if (!told)
			add_text(l, r[i].region, NULL);
	}
}

static void tell_apps(struct lookup *l, const struct name_record *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!i || !streq(r[i].app, r[i - 1].app))
			add_text(l, r[i].app, NULL);
}

/* Cuts the name at its dots; false: more than LABELS_MAX. label[0] is the last one before
 * ".internal". */
static bool cut(char *name, const char *label[LABELS_MAX], size_t *ret_n)
{
	size_t n = 0;
	for (;;) {
		char *dot = strrchr(name, '.');
		if (n == LABELS_MAX)
			return false;
		label[n++] = dot ? dot + 1 : name;
		if (!dot)
			break;
		*dot = 0;
	}
	*ret_n = n;
	return true;
}

static bool top_number(const char *label, size_t *ret)
{
	uint64_t n;
	if (!str_starts(label, "top") || !str_u64(label + 3, LOOKUP_ADDRESSES_MAX, &n) || !n)
		return false;
	*ret = (size_t)n;
	return true;
}

/* <what>.<app>.internal; label[1] and on say what. */
static bool choose(
    struct lookup *l, const char **label, size_t n, const struct name_record *r, size_t count)
{
	struct choice c = { .limit = LOOKUP_ADDRESSES_MAX };
	if (n == 2 && streq(label[1], "vms")) {
		tell_machines(l, r, count);
		return true;
	}
	if (n == 2 && streq(label[1], "regions")) {
		tell_regions(l, r, count);
		return true;
	}
	if (n == 2 && !streq(label[1], "global"))
		c.region = label[1];
	else if (n == 3 && streq(label[1], "vm"))
		c.machine = label[2];
	else if (n == 3 && streq(label[1], "process"))
		c.group = label[2];
	else if (n == 4 && streq(label[1], "of") && streq(label[2], "nearest") &&
		 !top_number(label[3], &c.limit))
		return false;
	else if (n > 2 && !(n == 4 && streq(label[1], "of") && streq(label[2], "nearest")))
		return false;
	add_machines(l, r, count, &c);
	/* a region, group or machine without any running is no name; the app's own name stays one
	 */
	return l->addresses || n == 1 || (n == 2 && !c.region);
}

void lookup_name(struct lookup *l, const struct names_table *t, uint32_t network, const char *text)
{
	static const char suffix[] = ".internal";
	char name[NAME_MAX_ + 1];
	const char *label[LABELS_MAX];
	size_t n, count;
	*l = (struct lookup){ .kind = LOOKUP_NO_NAME };
	if (!str_copy(name, sizeof(name), text))
		return;
	for (char *c = name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (!str_ends(name, suffix)) {
		l->kind = streq(name, "internal") ? LOOKUP_FOUND : LOOKUP_NOT_OURS;
		return;
	}
	name[strlen(name) - strlen(suffix)] = 0;
	if (!cut(name, label, &n))
		return;
	const struct name_record *all = names_table_network(t, network, &count);
	if (n == 1 && streq(label[0], "_apps")) {
		tell_apps(l, all, all ? count : 0);
		l->kind = LOOKUP_FOUND;
		return;
	}
	if (n == 1 && streq(label[0], "_api")) {
		l->kind = LOOKUP_FOUND; /* known, without an address in this release */
		return;
	}
	const struct name_record *r = names_table_app(t, network, label[0], &count);
	if (r && choose(l, label, n, r, count))
		l->kind = LOOKUP_FOUND;
}
