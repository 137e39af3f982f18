/* wardd.sock: answers the agent, and tells subscribers of exits. */
#pragma once
#include "supervisor/cages.h"
#include "supervisor/units.h"

struct serve;
int serve_new(struct serve **ret, const struct settings *s, sd_event *loop,
    const struct units *units, struct err *e) must_check;
void serve_set_cages(struct serve *v, struct cages *c);
void serve_exited(void *serve, const struct wardd_exited *x); /* a cages_exited_fn */
