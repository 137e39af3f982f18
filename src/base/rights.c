#include "base/rights.h"
#include "base/file.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int set_caps(uint64_t caps, bool inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	for (int i = 0; i < 2; i++) {
		uint32_t half = (uint32_t)(caps >> (32 * i));
		data[i] = (struct __user_cap_data_struct){ half, half, inheritable ? half : 0 };
	}
	return (int)syscall(SYS_capset, &head, data);
}

static int get_permitted(uint64_t *ret)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data))
		return -errno;
	*ret = data[0].permitted | data[0].effective |
	       (uint64_t)(data[1].permitted | data[1].effective) << 32;
	return 0;
}

static int drop_bounding(uint64_t caps)
{
	for (int cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0)
			break; /* past the last one this kernel knows */
		if (has && !(caps & (1ULL << cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
			return -errno;
	}
	return 0;
}

static int raise_ambient(uint64_t caps)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	for (int cap = 0; cap < 64; cap++)
		if ((caps & (1ULL << cap)) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0))
			return -errno;
	return 0;
}

int rights_drop(
    uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups, uint64_t caps, struct err *e)
{
	uid_t r, eff, saved;
	uint64_t left = 0;
	int k = drop_bounding(caps);
	if (k < 0)
		return err_sys(e, -k, "cannot shrink the bounding set of capabilities");
	/* uid 0 in a program started later would not mean capabilities again */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS, 0, 0,
		0))
		return err_sys(e, errno, "cannot set the secure bits");
	if (setgroups(ngroups, groups) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return err_sys(e, errno, "cannot become uid %u", uid);
	if (set_caps(caps, true))
		return err_sys(e, errno, "cannot shrink the capabilities");
	k = raise_ambient(caps);
	if (k < 0)
		return err_sys(e, -k, "cannot keep the capabilities that are needed");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_sys(e, errno, "cannot set no_new_privs");
	k = get_permitted(&left);
	if (k < 0 || left != caps || getresuid(&r, &eff, &saved) || r != uid || eff != uid ||
	    saved != uid || (uid && !setuid(0)))
		return err_set(e, ERR_WALL, "rights are left after they were dropped");
	return 0;
}

static int spare_no_more(const char *path, struct err *e)
{
	cleanup_free char *now = NULL;
	int r = file_read(AT_FDCWD, path, 32, &now, NULL, e);
	if (r < 0 || now[0] != '-')
		return r;
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, "0", 1) != 1 ? err_sys(e, errno, "cannot write %s", path) : 0;
}

int rights_oom_reset(struct err *e)
{
	return spare_no_more("/proc/self/oom_score_adj", e);
}

int rights_limit(uint64_t caps, struct err *e)
{
	uint64_t now = 0;
	int k = drop_bounding(caps);
	if (k == 0)
		k = get_permitted(&now);
	if (k < 0)
		return err_sys(e, -k, "cannot shrink the bounding set of capabilities");
	if (set_caps(now & caps, false))
		return err_sys(e, errno, "cannot shrink the capabilities");
	return 0;
}
