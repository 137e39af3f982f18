#include "store/auth.h"
#include "base/clock.h"
#include "base/str.h"
#include "store/roles.h"
#include <time.h>

/* Asks with the members given as json_pack's; steals nothing but `body`, which may be NULL for "no
 * memory". */
static int ask(
    struct store *s, const char *path, json_t *body, json_t **ret, int *ret_code, struct err *e)
{
	cleanup_json json_t *owned = body, *answer = NULL;
	if (!owned)
		return err_set(e, ERR_NO_MEMORY, "no memory to ask the store");
	int r = etcd_call(s, path, owned, &answer, ret_code, e);
	if (r == 0 && ret)
		*ret = steal_ptr(&answer);
	return r;
}

/* For what may be there already, or be gone already. */
static int ask_fine(struct store *s, const char *path, json_t *body, enum err_code fine,
    unsigned *changes, struct err *e)
{
	int r = ask(s, path, body, NULL, NULL, e);
	if (r == 0 && changes)
		(*changes)++;
	return r < 0 && e->code == fine ? 0 : r;
}

/* *ret_enabled: authentication is on, and root's password is right. */
static int wait_for(struct store *root, int wait_ms, bool *ret_enabled, struct err *e)
{
	uint64_t end = clock_mono_ms() + (uint64_t)wait_ms;
	for (;;) {
		int r = etcd_login(root, e);
		if (r == 0) {
			*ret_enabled = true;
			return 0;
		}
		if (strstr(e->text, "authentication is not enabled")) {
			*ret_enabled = false;
			return 0;
		}
		if (e->code == ERR_UNAUTHENTICATED) {
			err_next(e, "restore the vault's folder that this store was made with, or "
				    "remove both");
			return r;
		}
		if (clock_mono_ms() >= end)
			return err_prefix(e, r, "waited %d s for the store", wait_ms / 1000);
		nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000 * 1000 }, NULL);
	}
}

static const char *perm_name(unsigned may)
{
	return may == (STORE_READ | STORE_WRITE) ? "READWRITE"
	       : may == STORE_WRITE              ? "WRITE"
						 : "READ";
}

static json_t *perm(const struct store_range *r)
{
	json_t *j =
	    json_pack("{ss so}", "permType", perm_name(r->may), "key", etcd_bytes(r->begin));
	if (j && r->end[0] && json_object_set_new(j, "range_end", etcd_bytes(r->end))) {
		json_decref(j);
		return NULL;
	}
	return j;
}

/* Which of the ranges is this permission, exactly? -1: none. */
static int find(const json_t *p, const struct store_range *ranges, size_t n, bool same_rights)
{
	cleanup_free char *begin = etcd_get_bytes(p, "key", NULL),
			  *end = etcd_get_bytes(p, "range_end", NULL);
	const char *type = json_string_value(json_object_get(p, "permType"));
	for (size_t i = 0; begin && i < n; i++)
		if (streq(begin, ranges[i].begin) && streq(end ? end : "", ranges[i].end) &&
		    (!same_rights || streq(type ? type : "READ", perm_name(ranges[i].may))))
			return (int)i;
	return -1;
}

static int apply_role(
    struct store *root, enum daemon who, const char *host, unsigned *changes, struct err *e)
{
	const char *name = daemon_name(who);
	static struct store_range want[STORE_RANGES_MAX];
	bool have[STORE_RANGES_MAX] = { false };
	size_t n, i;
	int r = store_role(who, host, want, &n, e);
	if (r == 0)
		r = ask_fine(root, "/v3/auth/role/add", json_pack("{ss}", "name", name),
		    ERR_CONFLICT, changes, e);
	cleanup_json json_t *role = NULL;
	if (r == 0)
		r = ask(root, "/v3/auth/role/get", json_pack("{ss}", "role", name), &role, NULL, e);
	if (r < 0)
		return r;
	json_t *p;
	json_array_foreach (json_object_get(role, "perm"), i, p) {
		int k = find(p, want, n, true);
		if (k >= 0)
			have[k] = true;
		if (find(p, want, n, false) >= 0)
			continue; /* a grant of the same range replaces its rights */
		json_t *gone =
		    json_pack("{ss sO*}", "role", name, "key", json_object_get(p, "key"));
		if (gone && json_object_get(p, "range_end"))
			json_object_set(gone, "range_end", json_object_get(p, "range_end"));
		r = ask_fine(root, "/v3/auth/role/revoke", gone, ERR_NOT_FOUND, changes, e);
		if (r < 0)
			return r;
	}
	for (i = 0; i < n; i++)
		if (!have[i]) {
			r = ask_fine(root, "/v3/auth/role/grant",
			    json_pack("{ss so}", "name", name, "perm", perm(&want[i])), ERR_NONE,
			    changes, e);
			if (r < 0)
				return r;
		}
	return 0;
}

/* The password is only set where it does not open the door already: setting it ends the user's
 * sessions. */
static bool logs_in(struct store *root, const char *name, const char *password)
{
	struct store *s;
	struct err e;
	if (store_open(root->socket_path, name, password, root->timeout_ms, &s, &e) < 0)
		return false;
	int r = etcd_login(s, &e);
	store_close(s);
	return r == 0;
}

static int apply_user(struct store *root, const char *name, const char *role, const char *password,
    bool enabled, unsigned *changes, struct err *e)
{
	int r = ask(root, "/v3/auth/user/add",
	    json_pack("{ss ss}", "name", name, "password", password), NULL, NULL, e);
	if (r == 0)
		(*changes)++;
	else if (e->code == ERR_CONFLICT)
		r = enabled && logs_in(root, name, password)
			? 0
			: ask_fine(root, "/v3/auth/user/changepw",
			      json_pack("{ss ss}", "name", name, "password", password), ERR_NONE,
			      changes, e);
	cleanup_json json_t *user = NULL;
	if (r == 0)
		r = ask(root, "/v3/auth/user/get", json_pack("{ss}", "name", name), &user, NULL, e);
	if (r < 0)
		return r;
	bool has = false;
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(user, "roles"), i, v) {
		const char *other = json_string_value(v);
		if (other && streq(other, role)) {
			has = true;
			continue;
		}
		r = ask_fine(root, "/v3/auth/user/revoke",
		    json_pack("{ss sO}", "name", name, "role", v), ERR_NOT_FOUND, changes, e);
		if (r < 0)
			return r;
	}
	return has ? 0
		   : ask_fine(root, "/v3/auth/user/grant",
			 json_pack("{ss ss}", "user", name, "role", role), ERR_CONFLICT, changes,
			 e);
}

static bool expected(const char *name)
{
	if (streq(name, "root"))
		return true;
	for (enum daemon d = 0; d < DAEMON_MAX; d++)
		if (store_has_user(d) && streq(name, daemon_name(d)))
			return true;
	return false;
}

/* Users or roles of an older version, that nobody has any more. */
static int remove_others(struct store *root, const char *list_path, const char *list_key,
    const char *delete_path, const char *name_key, unsigned *changes, struct err *e)
{
	cleanup_json json_t *list = NULL;
	int r = ask(root, list_path, json_object(), &list, NULL, e);
	if (r < 0)
		return r;
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(list, list_key), i, v) {
		if (!json_is_string(v) || expected(json_string_value(v)))
			continue;
		r = ask_fine(
		    root, delete_path, json_pack("{sO}", name_key, v), ERR_NOT_FOUND, changes, e);
		if (r < 0)
			return r;
	}
	return 0;
}

int store_auth_apply(struct store *root, const char *host, const struct store_passwords *p,
    int wait_ms, unsigned *ret_changes, struct err *e)
{
	bool enabled = false;
	unsigned changes = 0;
	if (!p->root)
		return err_set(e, ERR_INVALID, "no password for the store's root was given");
	int r = wait_for(root, wait_ms, &enabled, e);
	if (r < 0)
		return r;
	root->anonymous = !enabled;
	if (!enabled) {
		r = ask_fine(root, "/v3/auth/role/add", json_pack("{ss}", "name", "root"),
		    ERR_CONFLICT, &changes, e);
		if (r == 0)
			r = apply_user(root, "root", "root", p->root, enabled, &changes, e);
	}
	for (enum daemon d = 0; r == 0 && d < DAEMON_MAX; d++) {
		if (!store_has_user(d))
			continue;
		if (!p->of[d])
			return err_set(
			    e, ERR_INVALID, "no store password for %s was given", daemon_name(d));
		r = apply_role(root, d, host, &changes, e);
		if (r == 0)
			r = apply_user(
			    root, daemon_name(d), daemon_name(d), p->of[d], enabled, &changes, e);
		if (r < 0)
			return err_prefix(e, r, "cannot set up %s", daemon_name(d));
	}
	if (r == 0)
		r = remove_others(root, "/v3/auth/user/list", "users", "/v3/auth/user/delete",
		    "name", &changes, e);
	if (r == 0)
		r = remove_others(root, "/v3/auth/role/list", "roles", "/v3/auth/role/delete",
		    "role", &changes, e);
	if (r == 0 && !enabled)
		r = ask_fine(root, "/v3/auth/enable", json_object(), ERR_NONE, &changes, e);
	if (r < 0)
		return r;
	root->anonymous = false;
	*ret_changes = changes;
	return 0;
}

int store_maintain(struct store *root, bool *ret_lifted, struct err *e)
{
	cleanup_json json_t *alarms = NULL, *status = NULL;
	int r = ask(
	    root, "/v3/maintenance/alarm", json_pack("{ss}", "action", "GET"), &alarms, NULL, e);
	if (r == 0)
		r = ask(root, "/v3/maintenance/status", json_object(), &status, NULL, e);
	if (r < 0)
		return r;
	if (!json_array_size(json_object_get(alarms, "alarms"))) {
		*ret_lifted = false;
		return 0;
	}
	/* all history goes: views that need it list again */
	int64_t rev = etcd_revision(status);
	json_t *compact = json_pack("{so sb}", "revision", etcd_number(rev), "physical", 1);
	r = ask(root, "/v3/kv/compaction", compact, NULL, NULL, e);
	if (r < 0 && !strstr(e->text, "compacted")) /* it was compacted further already */
		return r;
	r = ask(root, "/v3/maintenance/defragment", json_object(), NULL, NULL, e);
	size_t i;
	json_t *a;
	json_array_foreach (json_object_get(alarms, "alarms"), i, a) {
		if (r < 0)
			break;
		/* the member's number is told back as it came: it may be above 2^63 */
		json_t *lift = json_pack("{ss sO sO*}", "action", "DEACTIVATE", "memberID",
		    json_object_get(a, "memberID"), "alarm", json_object_get(a, "alarm"));
		r = ask(root, "/v3/maintenance/alarm", lift, NULL, NULL, e);
	}
	if (r < 0)
		return r;
	*ret_lifted = true;
	return 0;
}
