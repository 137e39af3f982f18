/* etcd's answers as a view takes them: two JSON texts, a listing and a watch's message, with a
 * newline between. The keys stay in order, and the revision never goes back. */
#include "base/str.h"
#include "store/view_level.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void changed(void *arg, const char *key, json_t *value)
{
	if (!key)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool stop = false;
	struct err e;
	struct level level = { .changed = changed, .stop = &stop };
	struct level_listing listing = { 0 };
	const char *text = (const char *)data, *split = size ? memchr(text, '\n', size) : NULL;
	cleanup_json json_t *list = NULL, *message = NULL;
	if (!split || json_parse(text, (size_t)(split - text), &list, &e) < 0 ||
	    json_parse(split + 1, size - (size_t)(split + 1 - text), &message, &e) < 0)
		return 0;
	int64_t before = 0;
	if (level_page(&listing, list, &e) == 0 && level_replace(&level, &listing, &e) == 0)
		before = level.revision;
	level_listing_done(&listing);
	if (level_events(&level, message, &e) == 0 && level.revision < before)
		abort();
	for (size_t i = 1; i < level.map.n; i++)
		if (strcmp(level.map.v[i - 1].key, level.map.v[i].key) >= 0)
			abort();
	level_done(&level);
	return 0;
}
