/* A machine's two records as the edge reads them, [desired, observed]: whatever they say, what is
 * accepted is within its arrays and each check's request is one HTTP head without lines of others.
 */
#include "edge/record.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct record_check *c)
{
	if (!memchr(c->name, 0, sizeof(c->name)) || c->request_len > sizeof(c->request) || !c->port)
		abort();
	if (!c->http)
		return;
	const char *end = memmem(c->request, c->request_len, "\r\n\r\n", 4);
	if (!end || end + 4 != c->request + c->request_len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct record_machine m;
	json_t *both = NULL;
	struct err e = { 0 };
	if (json_parse((const char *)data, size, &both, &e) < 0)
		return 0;
	if (record_parse(json_array_get(both, 0), json_array_get(both, 1), &m, &e) == 0) {
		if (m.nchecks > RECORD_CHECKS_MAX ||
		    !memchr(m.instance_id, 0, sizeof(m.instance_id)))
			abort();
		for (size_t i = 0; i < m.nchecks; i++)
			check(&m.check[i]);
	} else if (!e.code || !*e.text) {
		abort();
	}
	json_decref(both);
	return 0;
}
