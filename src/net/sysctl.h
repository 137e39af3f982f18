/* The settings of /proc/sys/net that the machines' namespace and the uplink need. */
#pragma once
#include "base/err.h"
#include "base/util.h"

/* Sets "ipv4/ip_forward" and the like. Where /proc/sys cannot be written, the value must be right
 * already (wardd may have set it). Reading needs no right. */
int sysctl_set(const char *name, const char *value, struct err *e) must_check;
int sysctl_get(const char *name, char *dst, size_t size, struct err *e) must_check;

/* All of the machines' namespace: it forwards, believes no redirect, router or source route. */
int sysctl_machines(struct err *e) must_check;
