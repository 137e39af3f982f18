/* The steps that build a cage, in their order. Each is whole or an error; main.c runs them. */
#pragma once
#include "proto/jail_spec.h"

int jail_check(const struct jail_spec *s, struct err *e) must_check;
/* The cgroup <instance>/<machine>, made by wardd with its limits. */
int jail_enter_cgroup(const struct jail_spec *s, struct err *e) must_check;
/* Of mounts, network, IPC, host name and cgroups; the one of processes was made by wardd. And a
 * session of its own: a terminal that wardd was started from sends it no signals. */
int jail_new_namespaces(const struct jail_spec *s, struct err *e) must_check;
int jail_new_root(const struct jail_spec *s, struct err *e) must_check;
/* Resource limits, then uid, gid, groups, capabilities, no_new_privs: nothing of root is left. */
int jail_drop_rights(const struct jail_spec *s, struct err *e) must_check;
int jail_set_filter(struct err *e) must_check;
/* fd 0 to 2: null, null, the caller's log; fd 3: the spec; fd 4: the tap; *report moved to a
 * close-on-exec fd above; all else closed. */
int jail_place_fds(const struct jail_spec *s, int *report, struct err *e) must_check;
const char *jail_program(const struct jail_spec *s); /* "ward-link", "ward-vmm" */
