#include "base/id.h"
#include "base/str.h"
#include <sodium.h>

void id_hex(char *dst, size_t digits)
{
	for (size_t i = 0; i < digits; i++)
		dst[i] = "0123456789abcdef"[randombytes_uniform(16)];
	dst[digits] = 0;
}

void id_machine(char dst[MACHINE_ID_LEN + 1])
{
	id_hex(dst, MACHINE_ID_LEN);
}

void id_app(char dst[APP_ID_LEN + 1])
{
	static const char letters[] = "23456789abcdefghjkmnpqrstvwxyz";
	for (size_t i = 0; i < APP_ID_LEN; i++)
		dst[i] = letters[randombytes_uniform(sizeof(letters) - 1)];
	dst[APP_ID_LEN] = 0;
}

void id_ulid(char dst[ULID_LEN + 1], uint64_t wall_ms)
{
	static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	for (int i = 9; i >= 0; i--, wall_ms >>= 5)
		dst[i] = crockford[wall_ms & 31];
	for (int i = 10; i < ULID_LEN; i++)
		dst[i] = crockford[randombytes_uniform(32)];
	dst[ULID_LEN] = 0;
}

bool id_is_machine(const char *s)
{
	return str_is_hex(s, MACHINE_ID_LEN);
}
