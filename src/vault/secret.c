#include "vault/secret.h"
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

int secret_new(size_t size, void **ret, struct err *e)
{
	void *p = sodium_malloc(size);
	if (!p)
		return err_set(e, ERR_NO_MEMORY, "no memory for %zu secret bytes", size);
	/* sodium_malloc locks but does not tell when it could not; locking again does. */
	if (mlock(p, size)) {
		int r = err_set(e, ERR_WALL, "cannot lock %zu bytes of memory for secrets: %s",
		    size, strerror(errno));
		err_next(e, "raise RLIMIT_MEMLOCK of ward-vault to at least 1 MiB");
		sodium_free(p);
		return r;
	}
	memset(p, 0, size);
	*ret = p;
	return 0;
}

void secret_free(void *p)
{
	sodium_free(p);
}
