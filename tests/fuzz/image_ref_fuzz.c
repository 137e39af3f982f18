/* Any text: no crash; what is accepted is written in a form that is read as the same again, and
 * never looks like an option. */
#include "base/str.h"
#include "proto/image_ref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[600], whole[800], again[800];
	struct image_ref a, b;
	struct err e;
	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	if (image_ref_parse(&a, text, &e) < 0)
		return 0;
	if (image_ref_format(whole, sizeof(whole), &a) < 0 || image_ref_parse(&b, whole, &e) < 0 ||
	    image_ref_format(again, sizeof(again), &b) < 0 || !streq(whole, again) || *whole == '-')
		abort();
	for (const char *c = whole; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("\"'\\$`;&|<>*?", *c))
			abort();
	return 0;
}
