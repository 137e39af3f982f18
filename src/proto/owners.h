/* <run>/names/owners.json: whose each machine of this host is, written by ward-agent (whole, by
 * rename), read by ward-telemetry. The agent knows it from the store; a machine's own link could
 * say anything.
 *
 * {"v":1,"machines":{"14 hex digits":{"app":"shop","app_id":"...","region":"home"}}} */
#pragma once
#include "base/id.h"
#include "base/json.h"

enum { OWNERS_FILE_MAX = 8 * 1024 * 1024 };

struct owner {
	char machine[MACHINE_ID_LEN + 1];
	char app[64], app_id[64], region[64];
};

/* The table as it was read; json_decref'd by the reader. Its form is checked, its entries are when
 * they are asked for: one that cannot be must not take away all others. */
int owners_parse(const char *text, size_t len, json_t **ret, struct err *e) must_check;
/* False: it is not there, or what is said of it cannot be (app_id becomes the name of a folder). */
bool owners_find(const json_t *table, const char *machine, struct owner *ret);

json_t *owners_new(void); /* NULL: no memory */
int owners_add(json_t *table, const struct owner *o) must_check;
