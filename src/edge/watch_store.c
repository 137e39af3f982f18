#include "edge/watcher.h"

int watcher_store(struct watcher *w, struct err *e)
{
	return err_set(e, ERR_UNSUPPORTED, "the store is not followed yet; use --table");
}
