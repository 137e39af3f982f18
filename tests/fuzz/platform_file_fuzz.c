/* Any bytes as the platform's file: no crash; what is refused is explained; what is accepted is
 * within its arrays. */
#include "proto/platform_file.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct platform p;
	struct err e = { 0 };
	platform_defaults(&p);
	if (platform_parse((const char *)data, size, &p, &e) < 0) {
		if (!e.code || !*e.text)
			abort();
		return 0;
	}
	if (p.edge.nhttps > PLATFORM_LISTEN_MAX || p.edge.nhttp > PLATFORM_LISTEN_MAX ||
	    p.network.ndns_upstream > PLATFORM_DNS_MAX ||
	    p.registry.ninsecure > PLATFORM_REGISTRY_MAX || !p.host.id || !p.host.name[0] ||
	    strchr(p.host.name, '/'))
		abort();
	return 0;
}
