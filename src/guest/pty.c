#include "guest/pty.h"
#include "guest/root.h"
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

void pty_resize(int master, unsigned cols, unsigned rows)
{
	struct winsize w = { .ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows };
	(void)ioctl(master, TIOCSWINSZ, &w);
}

int pty_open(unsigned cols, unsigned rows, int *ret_master, int *ret_terminal, struct err *e)
{
	int unlock = 0;
	cleanup_close int master = root_open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_sys(e, errno, "no terminal");
	int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (terminal < 0)
		return err_sys(e, errno, "no terminal");
	pty_resize(master, cols ? cols : 80, rows ? rows : 24);
	*ret_master = steal_fd(&master);
	*ret_terminal = terminal;
	return 0;
}
