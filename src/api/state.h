/* What the API reads: views of the store, and the questions its handlers ask of them. Everything
 * returned is borrowed and holds until the loop turns. */
#pragma once
#include "base/id.h"
#include "store/store.h"

enum state_view {
	VIEW_APPS,
	VIEW_NAMES,
	VIEW_DESIRED,
	VIEW_OBSERVED,
	VIEW_HOSTS,
	VIEW_ALIVE,
	VIEW_LOCKS,
	VIEW_OUTCOMES,
	VIEW_REQUESTS,
	VIEW_MAX
};

struct state {
	struct store *store;
	struct store_view *view[VIEW_MAX];
};

/* changed: something is new in any of the views. */
int state_open(struct state *s, struct store *store, sd_event *loop, store_changed_fn changed,
    void *arg, struct err *e) must_check;
void state_close(struct state *s);
bool state_synced(const struct state *s);    /* every view has been whole */
bool state_connected(const struct state *s); /* and every view is level with the store now */

json_t *state_get(const struct state *s, enum state_view v, const char *fmt, ...)
    printf_like(3, 4); /* NULL if absent */

/* The app record of a name; NULL if there is none, or it is being deleted. */
json_t *state_app(const struct state *s, const char *name);

struct machine_ref {
	const char *host; /* points into ->key */
	char key[160];
	json_t *desired;  /* never NULL in a found one */
	json_t *observed; /* NULL: the host has not told yet */
	json_t *checks;
	bool alive; /* its host */
};
bool state_machine(const struct state *s, const char *machine, struct machine_ref *ret);
/* In order of host and id; stops at a non-zero return and returns it. */
int state_each_machine(const struct state *s, const char *app_id /* NULL: all */,
    int (*fn)(void *arg, const struct machine_ref *m), void *arg);

/* Keys below <prefix> of a view, in order. */
int state_each(const struct state *s, enum state_view v, const char *prefix,
    int (*fn)(void *arg, const char *rest, json_t *value), void *arg);

/* A member as text, "" when absent. */
const char *state_text(const json_t *record, const char *key);
