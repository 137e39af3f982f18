/* Whether the view may take things away. A store that cannot be read, or that shows less than was
 * seen before (an old backup, another cluster), stops changes: machines then run on by what
 * machine.json remembers. */
#include "agent/agent.h"
#include "base/file.h"
#include "base/str.h"

static const char seen_file[] = "seen.json";

void trust_load(struct agent *a)
{
	cleanup_json json_t *j = NULL;
	struct err e;
	a->seen_rev = 0;
	if (json_read_file(a->machines_fd, seen_file, 4096, &j, &e) < 0)
		return; /* a new host, or the file is lost: then the first view counts */
	if (json_opt_int(j, "", "revision", 0, INT64_MAX, &a->seen_rev, &e) < 0)
		log_err(&e, "%s", seen_file);
}

static void remember(struct agent *a, int64_t rev)
{
	/* Written rarely: a revision that was seen a moment ago is as good as one a thousand later.
	 */
	if (rev <= a->seen_rev)
		return;
	bool write = !a->seen_rev || rev >= a->seen_rev + 100;
	if (!write)
		return;
	struct err e;
	cleanup_json json_t *j = json_pack("{s:i,s:I}", "v", 1, "revision", (json_int_t)rev);
	if (!j || json_write_file(a->machines_fd, seen_file, j, 0600, &e) < 0)
		log_warn("cannot remember the store's revision");
	else
		a->seen_rev = rev;
}

void trust_update(struct agent *a)
{
	bool was = a->trusted;
	int64_t rev = a->view && store_view_synced(a->view) ? store_view_revision(a->view) : 0;
	a->trusted = rev > 0 && rev >= a->seen_rev;
	if (a->trusted)
		remember(a, rev);
	if (a->trusted == was)
		return;
	if (a->trusted)
		log_info("the store can be read, at revision %lld", (long long)rev);
	else
		log_error("the store is at revision %lld, %lld was seen before: nothing is changed "
			  "until it is "
			  "the store we knew",
		    (long long)rev, (long long)a->seen_rev);
	machines_turn_all(a);
}
