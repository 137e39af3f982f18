#include "api/seal.h"
#include "api/vault.h"
#include "base/str.h"

static const char purpose[] = "app-env";

static int seal_text(
    const char *run, const char *app_id, const char *text, size_t n, json_t **ret, struct err *e)
{
	cleanup_buf struct buf sealed;
	buf_init(&sealed, VAULT_BYTES_MAX);
	int r = api_vault(
	    run, VAULT_SEAL, purpose, app_id, (struct bytes){ text, n }, &sealed, NULL, e);
	if (r < 0)
		return err_prefix(e, r, "it cannot be sealed");
	cleanup_free char *base64 = base64_encode(sealed.data, sealed.len);
	json_t *j = base64 ? json_pack("{s:s}", "sealed", base64) : NULL;
	if (!j)
		return err_set(e, ERR_NO_MEMORY, "no memory to seal");
	*ret = j;
	return 0;
}

/* The plaintext behind {"sealed": base64}; the caller wipes and frees. */
static int unseal_text(
    const char *run, const char *app_id, const json_t *value, struct buf *ret, struct err *e)
{
	const char *base64 = json_string_value(json_object_get(value, "sealed"));
	if (!base64)
		return err_set(e, ERR_INVALID, "not a sealed value");
	size_t n = strlen(base64);
	cleanup_free char *bytes = malloc(n + 1);
	ssize_t len = bytes ? base64_decode(bytes, n, base64, n) : -1;
	if (len < 0)
		return err_set(e, ERR_INVALID, "a sealed value is not base64");
	return api_vault(
	    run, VAULT_UNSEAL, purpose, app_id, (struct bytes){ bytes, (size_t)len }, ret, NULL, e);
}

int config_seal(const char *run, const char *app_id, json_t *config, struct err *e)
{
	json_t *env = json_object_get(config, "env");
	json_t *sealed = NULL;
	if (json_object_size(env) > 0) {
		cleanup_free char *text = json_format(env);
		if (!text)
			return err_set(e, ERR_NO_MEMORY, "no memory to seal");
		int r = seal_text(run, app_id, text, strlen(text), &sealed, e);
		explicit_bzero(text, strlen(text));
		if (r < 0)
			return err_prefix(e, r, "the environment");
		json_object_set_new(config, "env", sealed);
	} else {
		json_object_del(config, "env");
	}
	size_t i;
	json_t *file;
	json_array_foreach (json_object_get(config, "files"), i, file) {
		json_t *raw = json_object_get(file, "raw_value");
		if (!json_is_string(raw))
			continue;
		int r = seal_text(
		    run, app_id, json_string_value(raw), json_string_length(raw), &sealed, e);
		if (r < 0)
			return err_prefix(e, r, "files.%zu", i);
		json_object_set_new(file, "raw_value", sealed);
	}
	return 0;
}

static json_t *open_value(const char *run, const char *app_id, const json_t *value, bool as_object)
{
	struct err e;
	struct buf plain;
	json_t *opened = NULL;
	buf_init(&plain, VAULT_BYTES_MAX);
	if (unseal_text(run, app_id, value, &plain, &e) == 0) {
		if (!as_object)
			opened = json_stringn(plain.data ? plain.data : "", plain.len);
		else if (json_parse(plain.data, plain.len, &opened, &e) < 0)
			opened = NULL;
	}
	if (plain.data)
		explicit_bzero(plain.data, plain.len);
	buf_done(&plain);
	return opened;
}

json_t *config_unseal(
    const char *run, const char *app_id, const json_t *config, unsigned *ret_left_out)
{
	json_t *copy = json_deep_copy(config);
	json_t *env = json_object_get(copy, "env");
	unsigned left_out = 0;
	if (env && json_object_get(env, "sealed")) {
		json_t *opened = open_value(run, app_id, env, true);
		if (opened)
			json_object_set_new(copy, "env", opened);
		else
			json_object_del(copy, "env");
		left_out += !opened;
	}
	size_t i;
	json_t *file;
	json_array_foreach (json_object_get(copy, "files"), i, file) {
		json_t *raw = json_object_get(file, "raw_value");
		if (!json_is_object(raw))
			continue;
		json_t *opened = open_value(run, app_id, raw, false);
		if (opened)
			json_object_set_new(file, "raw_value", opened);
		else
			json_object_del(file, "raw_value");
		left_out += !opened;
	}
	*ret_left_out += left_out;
	return copy;
}

json_t *config_without_secrets(const json_t *config)
{
	json_t *copy = json_deep_copy(config);
	json_object_del(copy, "env");
	json_object_del(copy, "files");
	return copy;
}
