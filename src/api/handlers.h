/* All operations; the table in routes.c names them. */
#pragma once
#include "api/api.h"
#include "api/leases.h"

/* apps.c */
void apps_list(struct call *c);
void apps_create(struct call *c);
void apps_show(struct call *c);
void apps_delete(struct call *c);

/* machines.c: what one is */
void machines_list(struct call *c);
void machines_show(struct call *c);
void machines_events(struct call *c);
void machines_versions(struct call *c);
void machines_wait(struct call *c); /* machine_wait.c */

/* machine_change.c */
void machines_create(struct call *c);
void machines_update(struct call *c);
void machines_delete(struct call *c);
void machines_start(struct call *c);
void machines_stop(struct call *c);
void machines_restart(struct call *c);
void machines_suspend(struct call *c);
void machines_cordon(struct call *c);
void machines_uncordon(struct call *c);

/* metadata.c */
void metadata_show(struct call *c);
void metadata_update(struct call *c);
void metadata_key_show(struct call *c);
void metadata_key_set(struct call *c);
void metadata_key_delete(struct call *c);

/* inside.c: what ward-link does for us */
void machines_exec(struct call *c);
void machines_ps(struct call *c);
void machines_signal(struct call *c);
void machines_exec_stream(struct call *c); /* tunnel.c */

/* deploys.c, follow.c, releases.c */
void deploys_create(struct call *c);
void deploys_list(struct call *c);
void deploys_show(struct call *c);
void deploys_follow(struct call *c);
void releases_list(struct call *c);
void releases_rollback(struct call *c);
void scale_show(struct call *c);
void scale_set(struct call *c);

/* blobs.c, logs.c, platform.c */
void blobs_head(struct call *c);
void blobs_put(struct call *c);
void logs_show(struct call *c);
void platform_status(struct call *c);
void platform_hosts(struct call *c);
void platform_regions(struct call *c);
void platform_openapi(struct call *c);
