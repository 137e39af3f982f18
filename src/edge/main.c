/* ward-edge: the supervisor; with --worker and --watcher its children, which it starts itself. */
#include "base/log.h"
#include "base/str.h"
#include "edge/edge.h"

enum mode { MODE_SUPERVISOR, MODE_WORKER, MODE_WATCHER };

static int number(const char *text, unsigned max, unsigned *ret, struct err *e)
{
	uint64_t n;
	if (!str_u64(text, max, &n))
		return err_set(e, ERR_INVALID, "%s is not a number up to %u", text, max);
	*ret = (unsigned)n;
	return 0;
}

static int parse_args(struct edge_args *a, enum mode *mode, int argc, char **argv, struct err *e)
{
	*a = (struct edge_args){
		.base_domain = "ward.localhost", .region = "local", .host = "ward"
	};
	int r = places_from_args(&a->places, &argc, &argv, e);
	for (int i = 1; r >= 0 && i < argc; i++) {
		const char *opt = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (streq(opt, "--worker") || streq(opt, "--watcher")) {
			*mode = streq(opt, "--worker") ? MODE_WORKER : MODE_WATCHER;
			continue;
		}
		if (!value)
			return err_set(e, ERR_INVALID, "%s is unknown or lacks its value", opt);
		i++;
		if (streq(opt, "--base-domain"))
			a->base_domain = value;
		else if (streq(opt, "--region"))
			a->region = value;
		else if (streq(opt, "--host"))
			a->host = value;
		else if (streq(opt, "--table"))
			a->table = value;
		else if (streq(opt, "--workers"))
			r = number(value, EDGE_WORKERS_MAX, &a->workers, e);
		else if (streq(opt, "--index"))
			r = number(value, EDGE_WORKERS_MAX - 1, &a->index, e);
		else
			return err_set(e, ERR_INVALID, "unknown argument %s", opt);
	}
	if (r >= 0 && (!str_is_name(a->region, 32) || strlen(a->base_domain) > 120))
		return err_set(
		    e, ERR_INVALID, "the region or the base domain is not a usable name");
	return r;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "ward-edge", "ward-edge-worker", "ward-edge-watcher" };
	struct edge_args a;
	enum mode mode = MODE_SUPERVISOR;
	struct err e;
	int r = parse_args(&a, &mode, argc, argv, &e);
	log_init(names[mode]);
	if (r < 0) {
		log_err(&e, "arguments");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	/* _exit: nothing is left to tidy, and after confine() no exit handler may do more than that
	 */
	switch (mode) {
	case MODE_WORKER: _exit(edge_worker(&a));
	case MODE_WATCHER: _exit(edge_watcher(&a));
	default: _exit(edge_supervisor(&a));
	}
}
