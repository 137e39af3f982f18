#include "base/str.h"
#include "proto/image_ref.h"
#include "proto/oci.h"
#include <sodium.h>

/* A list of strings without NUL (json.c refuses those); absent or null is empty. */
static int copy_list(json_t *to, const json_t *from, const char *key, const char *as, struct err *e)
{
	json_t *list = NULL, *s;
	cleanup_json json_t *copy = json_array();
	size_t i;
	int r = json_opt_array(from, "config", key, &list, e);
	if (r < 0)
		return r;
	if (json_array_size(list) > OCI_STRINGS_MAX)
		return err_set(
		    e, ERR_IMAGE, "config.%s has more than %d entries", key, OCI_STRINGS_MAX);
	json_array_foreach (list, i, s) {
		if (!json_is_string(s))
			return err_set(e, ERR_IMAGE, "config.%s[%zu] is not a string", key, i);
		if (json_array_append(copy, s))
			return err_set(e, ERR_NO_MEMORY, "no memory for the image's configuration");
	}
	return json_object_set(to, as, copy)
		   ? err_set(e, ERR_NO_MEMORY, "no memory for the image's configuration")
		   : 0;
}

static int copy_string(
    json_t *to, const json_t *from, const char *key, const char *as, struct err *e)
{
	const char *s = "";
	int r = json_opt_str(from, "config", key, &s, e);
	if (r < 0)
		return r;
	return json_object_set_new(to, as, json_string(s))
		   ? err_set(e, ERR_NO_MEMORY, "no memory for the image's configuration")
		   : 0;
}

static int copy_env(json_t *run, const json_t *from, struct err *e)
{
	size_t i;
	json_t *s;
	int r = copy_list(run, from, "Env", "env", e);
	if (r < 0)
		return r;
	json_array_foreach (json_object_get(run, "env"), i, s) {
		const char *text = json_string_value(s), *equal = strchr(text, '=');
		if (!equal || equal == text)
			return err_set(e, ERR_IMAGE, "config.Env[%zu] is not NAME=value", i);
	}
	return 0;
}

/* {"80/tcp":{}} -> ["80/tcp"] */
static int copy_ports(json_t *run, const json_t *from, struct err *e)
{
	json_t *ports = NULL, *any;
	const char *key;
	cleanup_json json_t *list = json_array();
	int r = json_opt_object(from, "config", "ExposedPorts", &ports, e);
	if (r < 0)
		return r;
	if (json_object_size(ports) > OCI_STRINGS_MAX)
		return err_set(
		    e, ERR_IMAGE, "config.ExposedPorts has more than %d entries", OCI_STRINGS_MAX);
	json_object_foreach (ports, key, any) {
		if (json_array_append_new(list, json_string(key)))
			return err_set(e, ERR_NO_MEMORY, "no memory for the image's configuration");
	}
	return json_object_set(run, "exposed_ports", list)
		   ? err_set(e, ERR_NO_MEMORY, "no memory for the image's configuration")
		   : 0;
}

static int copy_labels(json_t *run, const json_t *from, struct err *e)
{
	json_t *labels = NULL, *value;
	const char *key;
	int r = json_opt_object(from, "config", "Labels", &labels, e);
	if (r < 0)
		return r;
	if (json_object_size(labels) > OCI_STRINGS_MAX)
		return err_set(
		    e, ERR_IMAGE, "config.Labels has more than %d entries", OCI_STRINGS_MAX);
	json_object_foreach (labels, key, value) {
		if (!json_is_string(value))
			return err_set(e, ERR_IMAGE, "config.Labels.%.80s is not a string", key);
	}
	if (labels ? json_object_set(run, "labels", labels)
		   : json_object_set_new(run, "labels", json_object()))
		return err_set(e, ERR_NO_MEMORY, "no memory for the image's configuration");
	return 0;
}

static int parse_run(json_t *run, const json_t *o, struct err *e)
{
	json_t *config = NULL;
	int r = json_opt_object(o, "", "config", &config, e);
	if (r < 0)
		return r;
	cleanup_json json_t *none = json_object();
	const json_t *from = config ? config : none;
	r = copy_list(run, from, "Entrypoint", "entrypoint", e);
	if (r == 0)
		r = copy_list(run, from, "Cmd", "cmd", e);
	if (r == 0)
		r = copy_env(run, from, e);
	if (r == 0)
		r = copy_string(run, from, "WorkingDir", "working_dir", e);
	if (r == 0)
		r = copy_string(run, from, "User", "user", e);
	if (r == 0)
		r = copy_string(run, from, "StopSignal", "stop_signal", e);
	if (r == 0)
		r = copy_ports(run, from, e);
	return r == 0 ? copy_labels(run, from, e) : r;
}

static int parse_layers(struct oci_config *c, const json_t *o, size_t layers, struct err *e)
{
	json_t *rootfs = NULL, *list = NULL, *s;
	size_t i;
	int r = json_opt_object(o, "", "rootfs", &rootfs, e);
	if (r == 0 && rootfs)
		r = json_opt_array(rootfs, "rootfs", "diff_ids", &list, e);
	if (r < 0)
		return r;
	if (json_array_size(list) != layers || layers > OCI_LAYERS_MAX)
		return err_set(e, ERR_IMAGE, "rootfs.diff_ids has %zu entries for %zu layers",
		    json_array_size(list), layers);
	json_array_foreach (list, i, s) {
		if (!json_is_string(s) || !image_digest_parse(c->diff_id[i], json_string_value(s)))
			return err_set(e, ERR_IMAGE,
			    "rootfs.diff_ids[%zu] is not sha256 and 64 hex digits", i);
	}
	c->layers = layers;
	return 0;
}

static int parse(struct oci_config *c, const char *text, size_t len, size_t layers, struct err *e)
{
	cleanup_json json_t *o = NULL;
	const char *os = "linux", *arch = "amd64";
	if (len > OCI_DOCUMENT_MAX)
		return err_set(e, ERR_IMAGE, "larger than %d bytes", OCI_DOCUMENT_MAX);
	int r = json_parse(text, len, &o, e);
	if (r < 0)
		return r;
	if (!json_is_object(o))
		return err_set(e, ERR_IMAGE, "not a JSON object");
	r = json_need_str(o, "", "os", &os, e);
	if (r == 0)
		r = json_need_str(o, "", "architecture", &arch, e);
	if (r < 0)
		return r;
	if (!streq(os, "linux") || !streq(arch, "amd64"))
		return err_set(
		    e, ERR_IMAGE, "is for %.40s/%.40s; this host runs linux/amd64", os, arch);
	c->run = json_object();
	if (!c->run)
		return err_set(e, ERR_NO_MEMORY, "no memory for the image's configuration");
	r = parse_run(c->run, o, e);
	return r == 0 ? parse_layers(c, o, layers, e) : r;
}

int oci_config_parse(
    struct oci_config *c, const char *text, size_t len, size_t layers, struct err *e)
{
	memset(c, 0, sizeof(*c));
	int r = parse(c, text, len, layers, e);
	if (r == 0)
		return 0;
	oci_config_done(c);
	if (e && e->code == ERR_INVALID)
		e->code = ERR_IMAGE;
	return err_prefix(e, r, "the image's configuration");
}

void oci_config_done(struct oci_config *c)
{
	json_decref(c->run);
	c->run = NULL;
}

void oci_root_name(char dst[65], const struct oci_config *c)
{
	crypto_hash_sha256_state s;
	uint8_t digest[crypto_hash_sha256_BYTES];
	char head[40];
	int n = snprintf(head, sizeof(head), "ward root %d\n", OCI_CONVERTER_VERSION);
	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, (const uint8_t *)head, (unsigned long long)n);
	for (size_t i = 0; i < c->layers; i++) {
		crypto_hash_sha256_update(&s, (const uint8_t *)c->diff_id[i], 64);
		crypto_hash_sha256_update(&s, (const uint8_t *)"\n", 1);
	}
	crypto_hash_sha256_final(&s, digest);
	hex_encode(dst, digest, sizeof(digest));
}
