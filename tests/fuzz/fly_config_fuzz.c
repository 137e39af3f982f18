/* Any bytes as an app's file: no crash; what is accepted makes a deploy body. */
#include "proto/fly_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fly_config c = { 0 };
	struct err e = { 0 };
	if (fly_config_parse((const char *)data, size, NULL, &c, &e) < 0) {
		if (!e.code || !*e.text)
			abort();
		return 0;
	}
	json_t *body = NULL;
	if (fly_config_deploy_body(&c, "sha256:0", &body, &e) < 0)
		abort();
	json_decref(body);
	fly_config_done(&c);
	return 0;
}
