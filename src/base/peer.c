#include "base/peer.h"
#include "base/str.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int folder_owner(const char *path, uid_t *ret)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat st;
	if (!str_copy(folder, sizeof(folder), path))
		return -ENAMETOOLONG;
	char *slash = strrchr(folder, '/');
	if (!slash)
		return -EINVAL;
	slash[slash == folder] = 0;
	if (stat(folder, &st))
		return -errno;
	*ret = st.st_uid;
	return 0;
}

bool peer_is_doubtful(const char *path)
{
	return str_ends(path, "/link.sock");
}

int peer_check(int fd, const char *path, struct err *e)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uid_t owner = 0;
	int r = folder_owner(path, &owner);
	if (r < 0)
		return err_sys(e, -r, "cannot look at the folder of %s", path);
	if (owner == 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return err_sys(e, errno, "cannot see who answers at %s", path);
	return peer.uid == owner ? 0
				 : err_set(e, ERR_FORBIDDEN,
				       "user %u answers at %s, whose folder belongs to user %u",
				       peer.uid, path, owner);
}

int peer_connect(int fd, const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (!str_copy(a.sun_path, sizeof(a.sun_path), path))
		return err_set(e, ERR_INVALID, "the path of socket %s is too long", path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return err_set(e, ERR_UNAVAILABLE, "nothing answers at %s", path);
	return peer_check(fd, path, e);
}
