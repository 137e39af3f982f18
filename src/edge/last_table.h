/* The last good route table on disk: <lib>/edge/routes.sealed, or routes.plain when the vault did
 * not answer. It serves from the start, before the store is there. */
#pragma once
#include "base/buf.h"
#include "base/daemon.h"

int last_table_save(
    const struct places *p, const char *host, struct bytes table, struct err *e) must_check;
/* The newer of the two files; the bytes are not checked here. -ENOENT: there is none. */
int last_table_load(
    const struct places *p, const char *host, struct buf *ret, struct err *e) must_check;
