/* What wardd writes down about a process it started, so that the next wardd finds it again and can
 * be sure that it is the same one. */
#pragma once
#include "base/daemon.h"
#include "base/json.h"

struct process {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/<pid>/stat: with the pid, unique until the next
				 boot */
};

/* Fills both fields from /proc. -ESRCH: it is gone. */
int process_look(pid_t pid, struct process *ret, struct err *e) must_check;

/* A pidfd of exactly that process, or -ESRCH: it is gone. Any other error: it cannot be told. */
int process_open(const struct process *p, struct err *e) must_check;

/* Is it running this program? (The file may have been replaced since.) */
bool process_runs(pid_t pid, const char *program);

/* <run>/wardd/<folder>/<name>, JSON, with the boot's id: records of an earlier boot are not found.
 */
int record_write(const struct places *p, const char *folder, const char *name, json_t *o,
    struct err *e) must_check;
int record_read(const struct places *p, const char *folder, const char *name, json_t **ret,
    struct err *e) must_check;
void record_remove(const struct places *p, const char *folder, const char *name);
