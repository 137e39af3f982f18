#include "edge/last_table.h"
#include "base/file.h"
#include "proto/ipc_vault.h"
#include "proto/route_table.h"
#include <fcntl.h>

#define SEALED "routes.sealed"
#define PLAIN  "routes.plain"

static int open_folder(const struct places *p, int *ret, struct err *e)
{
	char path[sizeof(p->lib) + 8];
	snprintf(path, sizeof(path), "%s/edge", p->lib);
	int fd = dir_open(AT_FDCWD, path, e);
	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

int last_table_save(const struct places *p, const char *host, struct bytes table, struct err *e)
{
	cleanup_close int dir = -1;
	struct buf sealed;
	int r = open_folder(p, &dir, e);
	if (r < 0)
		return r;
	buf_init(&sealed, VAULT_BYTES_MAX);
	/* a message to the vault has a bound; a larger table stays plain, as it does while the
	 * vault is away: it names hosts, machines and their private addresses, and serving after a
	 * restart matters more */
	bool done = table.len < VAULT_BYTES_MAX / 2 && vault_call(p->run, VAULT_SEAL, "route-table",
							   host, table, &sealed, NULL, NULL) >= 0;
	r = done ? file_write(dir, SEALED, sealed.data, sealed.len, 0600, e)
		 : file_write(dir, PLAIN, table.base, table.len, 0600, e);
	if (r >= 0)
		(void)unlinkat(dir, done ? PLAIN : SEALED, 0); /* only one is the last */
	buf_done(&sealed);
	return r;
}

int last_table_load(const struct places *p, const char *host, struct buf *ret, struct err *e)
{
	cleanup_close int dir = -1;
	cleanup_free char *text = NULL;
	size_t len;
	int r = open_folder(p, &dir, e);
	if (r < 0)
		return r;
	r = file_read(dir, PLAIN, ROUTE_SIZE_MAX, &text, &len, e);
	if (r >= 0)
		return buf_add(ret, text, len);
	r = file_read(dir, SEALED, VAULT_BYTES_MAX, &text, &len, e);
	return r < 0 ? r
		     : vault_call(p->run, VAULT_UNSEAL, "route-table", host,
			   (struct bytes){ text, len }, ret, NULL, e);
}
