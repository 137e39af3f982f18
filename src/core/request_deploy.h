/* The requests that begin a deploy: a new release, an old one again, another count. */
#pragma once
#include "core/request.h"

struct deploy_request {
	const struct world *w;
	struct world_app *app;
	const char *id, *actor; /* the request's: also names the deploy */
	const json_t *body;
	const struct fresh *fresh;
	struct txn *t;
};
int request_deploy_create(
    const struct deploy_request *q, json_t **ret_result, struct err *e) must_check;
int request_rollback(const struct deploy_request *q, json_t **ret_result, struct err *e) must_check;
int request_scale(const struct deploy_request *q, json_t **ret_result, struct err *e) must_check;
