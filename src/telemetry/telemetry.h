/* What the parts of ward-telemetry share: the logs of all apps, the machines they come from, and
 * who reads them. */
#pragma once
#include "base/daemon.h"
#include "http/client.h"
#include "http/server.h"
#include "telemetry/applog.h"
#include <sys/stat.h>

struct source; /* source.c: one machine */
struct reader; /* serve.c: one GET /v1/logs */

enum { APPS_MAX = 4096, SOURCES_MAX = 2048, READERS_MAX = 256 };

struct telemetry {
	struct places places;
	sd_event *loop;
	struct http_client *client;
	int logs_dir;
	struct applog_limits limits;
	uint64_t total_bytes; /* of all apps */
	struct applog *apps[APPS_MAX];
	size_t napps;
	struct source *sources;
	struct reader *readers;
	unsigned nsources, nreaders;
	sd_event_source *scan, *trim;
	bool told;      /* that the machines cannot be listed */
	json_t *owners; /* as last read (proto/owners.h); NULL: never */
	struct stat owners_file;
};

/* hub.c */
int hub_start(struct telemetry *t,
    struct err *e) must_check; /* opens the logs there are, then looks for machines */
void hub_stop(struct telemetry *t);
/* The app's log. make: where there is none, it is made (with a key from the vault); else *ret is
 * NULL. */
int hub_applog(struct telemetry *t, const char *app_id, bool make, struct applog **ret,
    struct err *e) must_check;
/* Keeps lines, and lets the readers know. */
int hub_add(struct telemetry *t, struct applog *a, const char *machine, const struct taken *taken,
    struct bytes lines, struct err *e) must_check;
/* Whose machine it is, by the agent's table. False: it is not known (yet). */
bool hub_owner(struct telemetry *t, const char *machine, struct owner *ret);

/* source.c */
int source_start(struct telemetry *t, const char *machine, struct err *e) must_check;
void source_stop(struct source *s, bool gone);
const char *source_machine(const struct source *s);
struct source *source_next(const struct source *s);

/* serve.c */
void serve(void *arg, struct http_request *r);
void serve_wake(struct telemetry *t); /* there may be more to read */
