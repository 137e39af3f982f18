/* Whether the view may take things away. A store that cannot be read, or that shows less than was
 * seen before (an old backup, another cluster), stops changes: machines then run on by what
 * machine.json remembers. */
#include "agent/agent.h"
#include "base/file.h"
#include "base/str.h"

static const char seen_file[] = "seen.json";
static char seen_cluster[24]; /* whose revisions were seen; "": not yet known */
static bool told;             /* that the store is not the one we knew */

void trust_load(struct agent *a)
{
	cleanup_json json_t *j = NULL;
	struct err e;
	const char *cluster = "";
	a->seen_rev = 0;
	seen_cluster[0] = 0;
	told = false;
	if (json_read_file(a->machines_fd, seen_file, 4096, &j, &e) < 0)
		return; /* a new host, or the file is lost: then the first view counts */
	if (json_opt_int(j, "", "revision", 0, INT64_MAX, &a->seen_rev, &e) < 0 ||
	    json_opt_str(j, "", "cluster", &cluster, &e) < 0)
		log_err(&e, "%s", seen_file);
	str_copy(seen_cluster, sizeof(seen_cluster), cluster);
}

static void remember(struct agent *a, int64_t rev, const char *cluster)
{
	/* Written rarely: a revision that was seen a moment ago is as good as one a hundred later.
	 */
	bool write = !a->seen_rev || !seen_cluster[0] || rev >= a->seen_rev + 100;
	if (!write)
		return;
	struct err e;
	cleanup_json json_t *j =
	    json_pack("{s:i,s:I,s:s}", "v", 1, "revision", (json_int_t)rev, "cluster", cluster);
	if (!j || json_write_file(a->machines_fd, seen_file, j, 0600, &e) < 0) {
		log_warn("cannot remember the store's revision");
		return;
	}
	a->seen_rev = rev;
	str_copy(seen_cluster, sizeof(seen_cluster), cluster);
}

void trust_update(struct agent *a)
{
	bool was = a->trusted, synced = a->view && store_view_synced(a->view);
	int64_t rev = synced ? store_view_revision(a->view) : 0;
	const char *cluster = synced ? store_view_cluster(a->view) : "";
	bool same = !seen_cluster[0] || streq(seen_cluster, cluster);
	a->trusted = rev > 0 && rev >= a->seen_rev && same;
	if (a->trusted)
		remember(a, rev, cluster);
	else if (rev > 0 && !told)
		log_error("the store is at revision %lld of cluster %s, %lld of %s was seen "
			  "before: nothing is changed until it is the store we knew (to accept "
			  "this one: remove machines/%s and restart ward-agent)",
		    (long long)rev, cluster, (long long)a->seen_rev, seen_cluster, seen_file);
	told = rev > 0 && !a->trusted;
	if (a->trusted == was)
		return;
	if (a->trusted)
		log_info("the store can be read, at revision %lld", (long long)rev);
	machines_turn_all(a);
}
