#include "supervisor/farewell.h"
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

int farewell_ask(const char *run, const char *machine, uid_t uid, int *ret_fd, struct err *e)
{
	char path[160], body[40], text[256];
	snprintf(path, sizeof(path), "%s/machines/%s/link.sock", run, machine);
	/* the folder is the machine's: what lies there must be its own socket, not a link to
	 * another's */
	cleanup_close int file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (file < 0 || fstat(file, &st))
		return err_sys(e, errno, "cannot find %s", path);
	if (!S_ISSOCK(st.st_mode) || st.st_uid != uid)
		return err_set(e, ERR_INVALID, "%s is not the machine's own socket", path);
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	snprintf(to.sun_path, sizeof(to.sun_path), "/proc/self/fd/%d", file);
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return err_sys(e, errno, "cannot connect to %s", path);
	int len = snprintf(body, sizeof(body), "{\"timeout_ms\":%d}", FAREWELL_MS - 2000);
	int n = snprintf(text, sizeof(text),
	    "POST /v1/stop HTTP/1.1\r\nHost: link\r\nContent-Type: "
	    "application/json\r\nContent-Length: %d\r\n\r\n%s",
	    len, body);
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) !=
	    n) /* an empty socket's buffer takes it whole */
		return err_sys(e, errno, "cannot ask %s", path);
	*ret_fd = steal_fd(&fd);
	return 0;
}
