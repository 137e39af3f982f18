/* Any bytes: no crash; what is accepted comes back the same from its own text, and no address
 * leaves its network. */
#include "proto/names_table.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct names_table t, again;
	struct err e;
	if (names_table_parse(&t, (const char *)data, size, &e) < 0)
		return 0;
	for (size_t i = 0; i < t.count; i++) {
		uint32_t network;
		size_t n;
		memcpy(&network, &t.record[i].ip6.s6_addr[2], sizeof(network));
		if (ntohl(network) != t.record[i].network ||
		    !names_table_app(&t, t.record[i].network, t.record[i].app, &n) || !n)
			abort();
	}
	char *text = names_table_format(t.record, t.count);
	if (!text || names_table_parse(&again, text, strlen(text), &e) < 0 ||
	    again.count != t.count)
		abort();
	free(text);
	names_table_done(&again);
	names_table_done(&t);
	return 0;
}
