/* docs/openapi.json as it was built in. */
#pragma once
#include <stddef.h>

extern const char openapi_text[];
extern const size_t openapi_len;
