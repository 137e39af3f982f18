#include "store/passed.h"
#include "base/file.h"
#include "base/str.h"

int store_socket_path(const struct places *p, char dst[108], struct err *e)
{
	int n = snprintf(dst, 108, "%s/etcd.sock", p->run);
	return n > 0 && n < 108
		   ? 0
		   : err_set(e, ERR_INVALID, "the path of the store's socket is too long below %s",
			 p->run);
}

int store_read_password(const char *name, char dst[STORE_PASSWORD_TEXT + 1], struct err *e)
{
	cleanup_close int fd = daemon_passed_fd(name);
	if (fd < 0) {
		int r = err_set(e, ERR_INVALID, "no fd named \"%s\" was passed", name);
		err_next(e, "start this program by wardd");
		return r;
	}
	char text[STORE_PASSWORD_TEXT + 1] = { 0 };
	int r = io_read_all(fd, text, STORE_PASSWORD_TEXT);
	if (r < 0)
		r = err_sys(e, -r, "cannot read the fd \"%s\"", name);
	else if (!str_is_hex(text, STORE_PASSWORD_TEXT))
		r = err_set(e, ERR_INVALID, "what the fd \"%s\" holds is no store password", name);
	else
		memcpy(dst, text, sizeof(text));
	explicit_bzero(text, sizeof(text));
	return r;
}

int store_open_passed(const struct places *p, enum daemon who, struct store **ret, struct err *e)
{
	char path[108], password[STORE_PASSWORD_TEXT + 1];
	int r = store_socket_path(p, path, e);
	if (r == 0)
		r = store_read_password("store-password", password, e);
	if (r < 0)
		return r;
	r = store_open(path, daemon_name(who), password, STORE_TIMEOUT_MS, ret, e);
	explicit_bzero(password, sizeof(password));
	return r;
}
