/* Any bytes: no crash, and what is accepted is a tree whose every string is UTF-8 (json_dumps
 * checks). */
#include "proto/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_toml struct toml t = { 0 };
	struct err e = { 0 };
	if (toml_parse((const char *)data, size, &t, &e) < 0) {
		if (!e.code || !*e.text)
			abort();
		return 0;
	}
	char *text = json_format(t.root);
	if (!text)
		abort();
	free(text);
	return 0;
}
