#include "store/passed.h"
#include "base/file.h"
#include "base/str.h"

static const char socket_name[] = "etcd.sock:0";

int store_socket_path(const struct places *p, char dst[108], struct err *e)
{
	int n = snprintf(dst, 108, "%s/etcd/%s", p->run, socket_name);
	return n > 0 && n < 108
		   ? 0
		   : err_set(e, ERR_INVALID, "the path of the store's socket is too long below %s",
			 p->run);
}

int store_open_passed(const struct places *p, enum daemon who, struct store **ret, struct err *e)
{
	char path[108], password[STORE_PASSWORD_TEXT + 1] = { 0 };
	int r = store_socket_path(p, path, e);
	if (r < 0)
		return r;
	cleanup_close int fd = daemon_passed_fd("store-password");
	if (fd < 0) {
		r = err_set(e, ERR_INVALID, "no fd named \"store-password\" was passed");
		err_next(e, "start this daemon by wardd");
		return r;
	}
	r = io_read_all(fd, password, STORE_PASSWORD_TEXT);
	if (r < 0)
		return err_sys(e, -r, "cannot read the store password");
	r = str_is_hex(password, STORE_PASSWORD_TEXT)
		? store_open(path, daemon_name(who), password, STORE_TIMEOUT_MS, ret, e)
		: err_set(e, ERR_INVALID, "the store password passed is not one");
	explicit_bzero(password, sizeof(password));
	return r;
}

const char *const *store_etcd_args(const struct places *p)
{
	static char data[sizeof(p->lib) + 20];
	static const char *const args[] = {
		"/usr/bin/etcd",
		"--name=ward",
		data,
		"--listen-client-urls=unix://etcd.sock:0",
		"--advertise-client-urls=unix://etcd.sock:0",
		"--listen-peer-urls=unix://peer.sock:0",
		"--initial-advertise-peer-urls=unix://peer.sock:0",
		"--initial-cluster=ward=unix://peer.sock:0",
		/* the newest 20,000 revisions stay readable; checked every five minutes */
		"--auto-compaction-mode=revision",
		"--auto-compaction-retention=20000",
		"--quota-backend-bytes=1073741824", /* then the no-space alarm: store-full */
		"--max-request-bytes=4194304",      /* a transaction of several values of 256 kB */
		"--snapshot-count=10000",
		"--bcrypt-cost=4", /* the passwords are 32 random bytes: stretching adds nothing but
				      time at each login */
		"--logger=zap",
		"--log-outputs=stderr",
		"--log-level=warn",
		NULL,
	};
	snprintf(data, sizeof(data), "--data-dir=%s/etcd", p->lib);
	return args;
}
