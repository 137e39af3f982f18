#include "guest/identity.h"
#include "base/str.h"
#include "guest/root.h"
#include <sys/stat.h>

static int write_hosts(const struct runconf *c, const char *name, struct err *e)
{
	cleanup_buf struct buf b;
	buf_init(&b, 256 * 1024);
	int r = buf_printf(&b, "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost "
			       "ip6-localhost ip6-loopback\n"
			       "ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
	if (r == 0 && c->ipv4)
		r = buf_printf(&b, "%s\t%s\n", c->ipv4, name);
	if (r == 0 && c->ipv6)
		r = buf_printf(&b, "%s\t%s fly-local-6pn\n", c->ipv6, c->ipv4 ? "" : name);
	size_t i;
	json_t *o;
	json_array_foreach (c->hosts, i, o) {
		const char *ip = NULL, *host = NULL;
		if (r < 0 || (r = json_need_str(o, "hosts", "ip", &ip, e)) < 0 ||
		    (r = json_need_str(o, "hosts", "name", &host, e)) < 0)
			return r;
		if (strpbrk(ip, "\n\r") || strpbrk(host, "\n\r"))
			return err_set(e, ERR_INVALID, "hosts: a line break in an entry");
		r = buf_printf(&b, "%s\t%s\n", ip, host);
	}
	return r < 0 ? err_set(e, ERR_TOO_LARGE, "too many hosts")
		     : root_write("/etc/hosts", b.data, b.len, 0644, e);
}

static int write_resolv(const struct runconf *c, struct err *e)
{
	cleanup_buf struct buf b;
	buf_init(&b, 4096);
	size_t i;
	json_t *v;
	int r = 0;
	json_array_foreach (c->dns, i, v) {
		const char *ip = json_string_value(v);
		if (strlen(ip) > 45 || strpbrk(ip, " \t\n\r"))
			return err_set(e, ERR_INVALID, "dns: '%.60s' is not an address", ip);
		if (r == 0)
			r = buf_printf(&b, "nameserver %s\n", ip);
	}
	if (r < 0)
		return err_set(e, ERR_TOO_LARGE, "too many name servers");
	return b.len ? root_write("/etc/resolv.conf", b.data, b.len, 0644, e) : 0;
}

int identity_write(const struct runconf *c, struct err *e)
{
	const char *name = c->hostname ? c->hostname : c->machine_id ? c->machine_id : "ward";
	char line[300];
	int r;
	if (strlen(name) > 64 || strpbrk(name, " \t\n\r/") || sethostname(name, strlen(name)) < 0)
		return err_set(e, ERR_INVALID, "hostname '%.64s' cannot be set", name);
	snprintf(line, sizeof line, "%s\n", name);
	if ((r = root_write("/etc/hostname", line, strlen(line), 0644, e)) < 0 ||
	    (r = write_hosts(c, name, e)) < 0 || (r = write_resolv(c, e)) < 0)
		return r;
	for (size_t i = 0; i < c->nfiles; i++) {
		const struct runconf_file *f = &c->files[i];
		if ((r = root_write(f->guest_path, f->data, f->len, f->mode, e)) < 0)
			return err_prefix(e, r, "files");
	}
	return 0;
}
