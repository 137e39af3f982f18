#include "api/lease.h"
#include "base/id.h"
#include "base/str.h"
#include <sodium.h>

bool lease_is_live(const json_t *record, int64_t now_s)
{
	return record && json_integer_value(json_object_get(record, "expires_at")) > now_s;
}

enum lease_verdict lease_judge(const json_t *record, const char *nonce, int64_t now_s)
{
	bool shown = nonce && *nonce;
	if (!lease_is_live(record, now_s))
		return shown ? LEASE_UNKNOWN : LEASE_FREE;
	const char *held = json_string_value(json_object_get(record, "nonce"));
	if (!shown || !held || strlen(held) != strlen(nonce))
		return LEASE_HELD;
	return sodium_memcmp(held, nonce, strlen(held)) ? LEASE_HELD : LEASE_MINE;
}

json_t *lease_make(const char *nonce, const char *owner, const char *description,
    const char *version, int64_t expires_at)
{
	char fresh[LEASE_NONCE_LEN + 1];
	id_hex(fresh, LEASE_NONCE_LEN);
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I}", "v", 1, "nonce", nonce ? nonce : fresh,
	    "owner", owner, "description", description, "version", version, "expires_at",
	    (json_int_t)expires_at);
}

json_t *lease_show(const json_t *record)
{
	json_t *data = json_object();
	static const char *const members[] = { "nonce", "expires_at", "owner", "description",
		"version" };
	for (size_t i = 0; data && i < countof(members); i++)
		json_object_set(data, members[i], json_object_get(record, members[i]));
	return data;
}
