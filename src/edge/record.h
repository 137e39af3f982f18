/* What the edge needs of a machine's two records: how to route to it and how to check it. */
#pragma once
#include "base/json.h"
#include "core/checks.h"
#include "core/routes.h"

enum { RECORD_CHECKS_MAX = 16, RECORD_HEADERS_MAX = 8, RECORD_PATH_MAX = 512 };

struct record_check {
	char name[80]; /* "servicecheck-00-http-8080", or its name in config.checks */
	int service;   /* whose health it decides; -1: none, it is only reported */
	bool http;
	uint16_t port;
	struct check_times times;
	char request[2048]; /* of http: the whole head, written once */
	size_t request_len;
};

struct record_machine {
	struct routes_machine route;
	char instance_id[ULID_LEN + 1];
	int64_t generation;
	struct record_check check[RECORD_CHECKS_MAX];
	size_t nchecks;
};

/* observed: NULL when its host has not told anything yet. A record that does not fit is refused
 * whole, with the reason. */
int record_parse(const json_t *desired, const json_t *observed, struct record_machine *ret,
    struct err *e) must_check;
