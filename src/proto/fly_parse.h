/* The parts of fly.toml's reader: fly_config.c (the file as a whole), fly_service.c (services and
 * checks), fly_machine.c (what a machine is). */
#pragma once
#include "proto/conf.h"
#include "proto/fly_config.h"

struct fly_parse {
	struct conf root;
	json_t *groups; /* [{"name","config"}] */
	bool named;     /* the file has [processes] */
	json_t *warnings;
	const struct fly_files *files;
};

/* Calls fn for the config of each group that the section's `processes` names; of all groups where
 * it names none (an error where the file has [processes] and must_name is set). */
int fly_for_groups(struct fly_parse *p, const struct conf *section, bool must_name,
    int (*fn)(json_t *config, json_t *value), json_t *value, struct err *e) must_check;
int fly_warn(struct fly_parse *p, const struct conf *c, const char *key, const char *text);
int fly_no_memory(struct err *e);

int fly_read_services(
    struct fly_parse *p, struct err *e) must_check; /* [http_service], [[services]] */
/* The checks at this key of a service, of type "http" or "tcp", appended to `checks`. */
int fly_service_checks(struct fly_parse *p, const struct conf *c, const char *key, const char *type,
    json_t *checks, struct err *e) must_check;
int fly_read_checks(struct fly_parse *p, struct err *e) must_check; /* [checks.NAME] */
int fly_read_machines(
    struct fly_parse *p, struct err *e) must_check; /* [[vm]], [[restart]], [[files]] */
