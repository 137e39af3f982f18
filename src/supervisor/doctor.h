/* `ward doctor`: what this host can and cannot do. One check is one question about the host, with
 * what was found and, unless all is well, what to do. */
#pragma once
#include "supervisor/settings.h"

enum check_status {
	CHECK_OK,
	CHECK_WARN,   /* works, with something to know */
	CHECK_FAIL,   /* Ward, or what the platform's file asks for, cannot work */
	CHECK_ABSENT, /* an optional wall or ability is not there; Ward does without */
};

struct check {
	const char *name;
	bool required;
	enum check_status status;
	char found[300];
	char next[240];
};

struct doctor {
	const struct places *places;
	struct platform
	    platform; /* defaults where the file cannot be read: a check of its own says so */
	struct err platform_error;
	char libexec[192];
};

void check_set(struct check *c, enum check_status status, const char *next, const char *fmt, ...)
    printf_like(4, 5);

/* One entry in the table of doctor.c. */
struct check_def {
	const char *name;
	bool required;
	void (*run)(const struct doctor *d, struct check *c);
};

/* doctor_kernel.c */
void check_kernel(const struct doctor *d, struct check *c);
void check_cgroup(const struct doctor *d, struct check *c);
void check_seccomp(const struct doctor *d, struct check *c);
void check_landlock(const struct doctor *d, struct check *c);
void check_tun(const struct doctor *d, struct check *c);
void check_wireguard(const struct doctor *d, struct check *c);
void check_bpf(const struct doctor *d, struct check *c);
/* doctor_host.c */
void check_kvm(const struct doctor *d, struct check *c);
void check_swap(const struct doctor *d, struct check *c);
void check_disk(const struct doctor *d, struct check *c);
void check_memory(const struct doctor *d, struct check *c);
void check_clock(const struct doctor *d, struct check *c);
void check_users(const struct doctor *d, struct check *c);
void check_programs(const struct doctor *d, struct check *c);
/* doctor_platform.c */
void check_file(const struct doctor *d, struct check *c);
void check_engine(const struct doctor *d, struct check *c);
void check_key(const struct doctor *d, struct check *c);
void check_guest(const struct doctor *d, struct check *c);
void check_daemons(const struct doctor *d, struct check *c);
