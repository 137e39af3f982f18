/* The run config of docs/architecture.md: what the guest is told after its hello. Here, and only
 * for the moment it takes to hand it to the machine's own link, the app's environment and files are
 * open. */
#include "agent/agent.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/ipc_vault.h"

static int unseal(
    struct machine *m, const struct desired *d, const json_t *value, struct buf *ret, struct err *e)
{
	const char *base64 = json_string_value(json_object_get(value, "sealed"));
	if (!base64)
		return err_set(e, ERR_INVALID, "a sealed value has no \"sealed\"");
	size_t n = strlen(base64);
	cleanup_free char *bytes = malloc(n + 1);
	ssize_t len = bytes ? base64_decode(bytes, n, base64, n) : -1;
	if (len < 0)
		return err_set(e, ERR_INVALID, "a sealed value is not base64");
	return vault_call(m->agent->places.run, VAULT_UNSEAL, "app-env", d->app,
	    (struct bytes){ bytes, (size_t)len }, ret, NULL, e);
}

static void wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

static int open_env(struct machine *m, const struct desired *d, json_t **ret, struct err *e)
{
	json_t *env = json_object_get(d->config, "env");
	if (!json_object_get(env, "sealed")) {
		*ret = json_object();
		return *ret ? 0 : err_set(e, ERR_NO_MEMORY, "no memory for an environment");
	}
	struct buf plain;
	buf_init(&plain, VAULT_BYTES_MAX);
	int r = unseal(m, d, env, &plain, e);
	if (r == 0)
		r = json_parse(plain.data, plain.len, ret, e);
	wipe(&plain);
	return r < 0 ? err_prefix(e, r, "the app's environment") : 0;
}

static int open_files(struct machine *m, const struct desired *d, json_t **ret, struct err *e)
{
	cleanup_json json_t *out = json_array();
	size_t i;
	json_t *file;
	json_array_foreach (json_object_get(d->config, "files"), i, file) {
		json_t *raw = json_object_get(file, "raw_value");
		json_t *copy = json_pack("{s:O?,s:O?}", "guest_path",
		    json_object_get(file, "guest_path"), "mode", json_object_get(file, "mode"));
		if (!copy)
			return err_set(e, ERR_NO_MEMORY, "no memory for files");
		json_array_append_new(out, copy);
		if (!json_is_object(raw)) {
			json_object_set(copy, "raw_value", raw);
			continue;
		}
		struct buf plain;
		buf_init(&plain, VAULT_BYTES_MAX);
		int r = unseal(m, d, raw, &plain, e);
		if (r == 0)
			json_object_set_new(copy, "raw_value",
			    json_stringn(plain.data ? plain.data : "", plain.len));
		wipe(&plain);
		if (r < 0)
			return err_prefix(e, r, "files.%zu", i);
	}
	*ret = steal_ptr(&out);
	return 0;
}

/* What the image says about how it is run, written beside its root disk by the converter. */
static int read_image(struct machine *m, json_t **ret, struct err *e)
{
	char name[sizeof(m->r.digest) + 8];
	cleanup_json json_t *j = NULL;
	snprintf(name, sizeof(name), "%s.json", m->r.digest);
	int r = json_read_file(m->agent->images_fd, name, 4 * 1024 * 1024, &j, e);
	if (r < 0)
		return err_prefix(e, r, "the image's description");
	json_t *run = json_object_get(j, "run"), *config = json_object_get(j, "config");
	*ret = json_incref(json_is_object(run) ? run : json_is_object(config) ? config : j);
	return 0;
}

static void put_fly_names(json_t *env, struct machine *m, const struct desired *d)
{
	char memory[16];
	const char *image = json_string_value(json_object_get(d->config, "image"));
	snprintf(memory, sizeof(memory), "%u", d->size.memory_mib);
	const struct {
		const char *name, *value;
	} names[] = {
		{ "FLY_APP_NAME", d->app_name },
		{ "FLY_MACHINE_ID", d->id },
		{ "FLY_ALLOC_ID", d->id },
		{ "FLY_REGION", d->region },
		{ "FLY_IMAGE_REF", image ? image : "" },
		{ "FLY_MACHINE_VERSION", d->instance_id },
		{ "FLY_PRIVATE_IP", m->r.net.ipv6 },
		{ "FLY_PROCESS_GROUP", d->group },
		{ "FLY_VM_MEMORY_MB", memory },
	};
	for (size_t i = 0; i < countof(names); i++)
		json_object_set_new(env, names[i].name, json_string(names[i].value));
	if (!json_object_get(env, "PRIMARY_REGION"))
		json_object_set_new(env, "PRIMARY_REGION", json_string(d->region));
}

static json_t *init_of(const struct desired *d)
{
	static const char *const members[] = { "exec", "entrypoint", "cmd", "tty", "swap_size_mb" };
	json_t *init = json_object_get(d->config, "init"), *out = json_object();
	for (size_t i = 0; i < countof(members); i++) {
		json_t *v = json_object_get(init, members[i]);
		if (v && !json_is_null(v))
			json_object_set(out, members[i], v);
	}
	return out;
}

static json_t *image_of(const json_t *run)
{
	static const char *const members[] = { "entrypoint", "cmd", "env", "working_dir", "user" };
	json_t *out = json_object();
	for (size_t i = 0; i < countof(members); i++) {
		json_t *v = json_object_get(run, members[i]);
		if (v && !json_is_null(v))
			json_object_set(out, members[i], v);
	}
	return out;
}

int runconf_build(struct machine *m, const struct desired *d, json_t **ret, struct err *e)
{
	cleanup_json json_t *env = NULL, *files = NULL, *image = NULL;
	int r = 0;
	if ((r = read_image(m, &image, e)) < 0 || (r = open_env(m, d, &env, e)) < 0 ||
	    (r = open_files(m, d, &files, e)) < 0)
		return r;
	if (!json_is_object(env))
		return err_set(e, ERR_INVALID, "the app's environment is not an object");
	put_fly_names(env, m, d);
	const struct machine_net *n = &m->r.net;
	json_t *j =
	    json_pack("{s:i,s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:[s],s:o,s:o,s:O,s:O,"
		      "s:{s:s,s:I},s:[{s:s,s:s}],s:s}",
		"v", 1, "generation", (json_int_t)m->r.generation, "machine_id", d->id, "app_name",
		d->app_name, "app_id", d->app, "region", d->region, "hostname", d->id, "private_ip",
		n->ipv6, "ipv4", n->ipv4, "ipv4_gateway", n->ipv4_gateway, "ipv6", n->ipv6,
		"ipv6_gateway", n->ipv6_gateway, "dns", n->dns, "image", image_of(image), "init",
		init_of(d), "env", env, "files", files, "stop", "signal",
		d->config_signal[0] ? d->config_signal : "SIGINT", "timeout_ms",
		(json_int_t)d->config_timeout_ms, "hosts", "ip", n->ipv6, "name", "fly-local-6pn",
		"scratch", "/dev/vdb");
	if (!j)
		return err_set(e, ERR_NO_MEMORY, "no memory for the run config");
	*ret = j;
	return 0;
}
