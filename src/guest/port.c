#include "guest/port.h"
#include "base/str.h"
#include "guest/say.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

enum { STUCK_MS = 1000, WRITE_MAX = 32768 };

static bool sys_read(const char *path, char *dst, size_t size)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, dst, size - 1);
	if (n < 0)
		return false;
	dst[n] = 0;
	dst[strcspn(dst, "\n")] = 0;
	return true;
}

static bool sys_write(const char *path, const char *text)
{
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* "vport1p1" of the port with this name. */
static bool find_device(const char *name, char ret[32])
{
	DIR *d = opendir("/sys/class/virtio-ports");
	bool found = false;
	if (!d)
		return false;
	for (struct dirent *de; !found && (de = readdir(d));) {
		char path[300], text[64];
		snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", de->d_name);
		found = de->d_name[0] != '.' && sys_read(path, text, sizeof text) &&
			streq(text, name) && str_copy(ret, 32, de->d_name);
	}
	closedir(d);
	return found;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

static int open_device(const char *name)
{
	for (int tries = 0; tries < 500; tries++, pause_ms(10)) {
		char device[32], path[64];
		if (!find_device(name, device))
			continue;
		snprintf(path, sizeof path, "/dev/%s", device);
		int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static void ready(void *arg, uint32_t events);

static void attach(struct port *p)
{
	int fd = open_device(p->name);
	if (fd < 0) {
		say("port %s did not appear", p->name);
		return;
	}
	loop_add(&p->watch, fd, EPOLLIN | EPOLLOUT | EPOLLET, ready, p);
	ready(p, EPOLLIN | EPOLLOUT);
}

static void heal(void *arg)
{
	struct port *p = arg;
	char device[32], path[300], link[PATH_MAX];
	if (!p->ack_left || !find_device(p->name, device))
		return;
	snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/device", device);
	if (!realpath(path, link))
		return;
	const char *virtio = strrchr(link, '/') + 1;
	say("port %s cannot write: binding its driver anew (%s)", p->name, virtio);
	int old = p->watch.fd;
	loop_remove(&p->watch);
	if (old >= 0)
		close(old);
	if (!sys_write("/sys/bus/virtio/drivers/virtio_console/unbind", virtio) ||
	    !sys_write("/sys/bus/virtio/drivers/virtio_console/bind", virtio))
		say("port %s: binding failed: %s", p->name, strerror(errno));
	attach(p);
}

static ssize_t write_some(struct port *p, const void *data, size_t n)
{
	return p->watch.fd < 0 ? -1 : write(p->watch.fd, data, MIN(n, WRITE_MAX));
}

static bool flush_ack(struct port *p)
{
	while (p->ack_left) {
		ssize_t n =
		    write_some(p, (uint8_t *)&p->ack + sizeof p->ack - p->ack_left, p->ack_left);
		if (n <= 0) {
			if (!p->stuck.linked)
				loop_timer(&p->stuck, STUCK_MS, heal, p);
			return false;
		}
		p->ack_left -= (size_t)n;
	}
	loop_timer_off(&p->stuck);
	return true;
}

static void take(struct port *p, const uint8_t *buf, size_t n)
{
	uint8_t nonce[GUEST_NONCE_LEN];
	if (guest_sync_at(buf, n, p->token, nonce)) {
		guest_ack_make(&p->ack, p->token, nonce);
		p->ack_left = sizeof p->ack;
		p->session = true;
		p->reset(p->arg);
		buf += GUEST_SYNC_LEN;
		n -= GUEST_SYNC_LEN;
	}
	if (p->session && n)
		p->input(p->arg, buf, n);
}

static void ready(void *arg, uint32_t events)
{
	struct port *p = arg;
	uint8_t buf[GUEST_READ_MAX];
	/* 0 and HUP mean nothing (guest-protocol 2.2): data of the next session may already be on
	 * its way. */
	for (ssize_t n; p->watch.fd >= 0 && (n = read(p->watch.fd, buf, sizeof buf)) > 0;)
		take(p, buf, (size_t)n);
	if (p->session && flush_ack(p))
		p->writable(p->arg);
}

bool port_open(struct port *p)
{
	p->watch.fd = -1;
	attach(p);
	return p->watch.fd >= 0;
}

size_t port_write(struct port *p, const void *data, size_t n)
{
	if (!p->session || !flush_ack(p))
		return 0;
	ssize_t k = write_some(p, data, n);
	return k > 0 ? (size_t)k : 0;
}
