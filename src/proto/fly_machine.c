#include "base/str.h"
#include "proto/fly_parse.h"
#include "proto/fly_units.h"

/* The presets: shared-cpu-Nx has 256 MB for each CPU, performance-Nx 2048. */
static const struct {
	const char *kind, *prefix;
	unsigned mb;
	const char *sizes; /* the N that exist */
} presets[] = {
	{ "shared", "shared-cpu-", 256, "1 2 4 6 8" },
	{ "performance", "performance-", 2048, "1 2 4 6 8 10 12 14 16" },
};

struct guest {
	const char *kind;
	int64_t cpus, mb;
};

static bool is_size(const char *sizes, const char *n)
{
	size_t len = strlen(n);
	for (const char *p = sizes; (p = strstr(p, n)); p += len)
		if ((p == sizes || p[-1] == ' ') && (p[len] == ' ' || !p[len]))
			return len;
	return false;
}

static bool find_preset(const char *name, struct guest *ret)
{
	for (size_t i = 0; i < countof(presets); i++) {
		if (!str_starts(name, presets[i].prefix) || !str_ends(name, "x"))
			continue;
		const char *n = name + strlen(presets[i].prefix);
		char number[8] = "";
		uint64_t cpus;
		if (strlen(n) - 1 >= sizeof(number))
			return false;
		memcpy(number, n, strlen(n) - 1);
		if (!is_size(presets[i].sizes, number) || !str_u64(number, 16, &cpus))
			return false;
		*ret = (struct guest){ presets[i].kind, (int64_t)cpus,
			(int64_t)(cpus * presets[i].mb) };
		return true;
	}
	return false;
}

static int set_guest(json_t *config, json_t *value)
{
	return json_object_set(config, "guest", value);
}

static int read_vm(struct fly_parse *p, const struct conf *c, struct err *e)
{
	struct guest g = { "shared", 1, 256 };
	const char *size = NULL, *persist = "never";
	unsigned kind = 0;
	int r = conf_known(c,
	    "size memory cpus cpu_kind memory_mb gpus gpu_kind kernel_args host_dedication_id "
	    "persist_rootfs processes",
	    e);
	if (r == 0)
		r = conf_unsupported(c, "gpus gpu_kind kernel_args host_dedication_id", e);
	if (r == 0)
		r = conf_str(c, "size", &size, e);
	if (r == 0 && size && !find_preset(size, &g))
		r = conf_fail(c, "size", e, ERR_INVALID,
		    "is \"%.40s\"; sizes are shared-cpu-1x, -2x, -4x, -6x, -8x and performance-1x "
		    "to -16x",
		    size);
	if (r == 0)
		r = conf_word(c, "cpu_kind", "shared performance", &kind, e);
	if (r == 0 && conf_has(c, "cpu_kind"))
		g.kind = kind ? "performance" : "shared";
	if (r == 0)
		r = conf_int(c, "cpus", 1, 32, &g.cpus, e);
	if (r == 0 && !size && !conf_has(c, "memory") && !conf_has(c, "memory_mb"))
		g.mb = g.cpus * presets[streq(g.kind, "performance")].mb;
	if (r == 0 && conf_has(c, "memory") && conf_has(c, "memory_mb"))
		r = conf_fail(c, "memory_mb", e, ERR_INVALID,
		    "says again what `memory` says; keep one of them");
	if (r == 0)
		r = conf_memory(c, "memory", 64, 262144, &g.mb, e);
	if (r == 0)
		r = conf_memory(c, "memory_mb", 64, 262144, &g.mb, e);
	if (r == 0)
		r = conf_str(c, "persist_rootfs", &persist, e);
	if (r == 0 && !streq(persist, "never"))
		r = conf_fail(c, "persist_rootfs", e, ERR_UNSUPPORTED,
		    "is not supported yet unless it is \"never\"");
	if (r < 0)
		return r;
	cleanup_json json_t *guest = json_pack("{s:s, s:I, s:I}", "cpu_kind", g.kind, "cpus",
	    (json_int_t)g.cpus, "memory_mb", (json_int_t)g.mb);
	return guest ? fly_for_groups(p, c, false, set_guest, guest, e) : fly_no_memory(e);
}

static int set_restart(json_t *config, json_t *value)
{
	return json_object_set(config, "restart", value);
}

static int read_restart(struct fly_parse *p, const struct conf *c, struct err *e)
{
	static const char *const policies[] = { "always", "no",
		"on-failure" }; /* the API says "no" for "never" */
	unsigned policy = 2;
	int64_t retries = -1;
	int r = conf_known(c, "policy retries max_retries processes", e);
	if (r == 0)
		r = conf_word(c, "policy", "always never on-failure", &policy, e);
	if (r == 0)
		r = conf_int(c, "retries", 0, 1000, &retries, e);
	if (r == 0)
		r = conf_int(c, "max_retries", 0, 1000, &retries, e);
	if (r < 0)
		return r;
	cleanup_json json_t *restart = json_pack("{s:s}", "policy", policies[policy]);
	if (!restart ||
	    (retries >= 0 && json_object_set_new(restart, "max_retries", json_integer(retries))))
		return fly_no_memory(e);
	return fly_for_groups(p, c, false, set_restart, restart, e);
}

static int add_file(json_t *config, json_t *value)
{
	json_t *files = json_object_get(config, "files");
	if (!files && json_object_set_new(config, "files", files = json_array()))
		return -1;
	return json_array_append(files, value);
}

static int file_content(struct fly_parse *p, const struct conf *c, char **ret_base64, struct err *e)
{
	const char *raw = NULL, *local = NULL;
	int r = conf_unsupported(c, "secret_name", e);
	if (r == 0)
		r = conf_str(c, "raw_value", &raw, e);
	if (r == 0)
		r = conf_str(c, "local_path", &local, e);
	if (r < 0)
		return r;
	if (!raw == !local)
		return conf_fail(
		    c, NULL, e, ERR_INVALID, "must have one of raw_value and local_path");
	cleanup_free char *content = NULL;
	size_t len = raw ? strlen(raw) : 0;
	if (local && !p->files)
		return conf_fail(c, "local_path", e, ERR_UNSUPPORTED, "cannot be read here");
	if (local) {
		struct err why = { 0 };
		r = p->files->read(p->files->arg, local, FLY_FILE_MAX, &content, &len, &why);
		if (r < 0)
			return conf_fail(
			    c, "local_path", e, why.code, "cannot be read: %s", why.text);
	}
	if (len > FLY_FILE_MAX)
		return conf_fail(
		    c, "raw_value", e, ERR_TOO_LARGE, "is larger than %d bytes", FLY_FILE_MAX);
	*ret_base64 = base64_encode(raw ? raw : content, len);
	return *ret_base64 ? 0 : fly_no_memory(e);
}

static int read_file(struct fly_parse *p, const struct conf *c, struct err *e)
{
	const char *path = NULL;
	cleanup_free char *content = NULL;
	int r = conf_known(c, "guest_path raw_value local_path secret_name processes", e);
	if (r == 0)
		r = conf_str(c, "guest_path", &path, e);
	if (r == 0 && (!path || *path != '/' || strlen(path) > 1024 || strstr(path, "/../") ||
			  str_ends(path, "/..") || str_ends(path, "/")))
		r = conf_fail(c, "guest_path", e, ERR_INVALID,
		    "must be an absolute path of a file in the machine");
	if (r == 0)
		r = file_content(p, c, &content, e);
	if (r < 0)
		return r;
	cleanup_json json_t *file =
	    json_pack("{s:s, s:s}", "guest_path", path, "raw_value", content);
	return file ? fly_for_groups(p, c, false, add_file, file, e) : fly_no_memory(e);
}

/* Sections for all groups first, so that one that names a group wins over them. */
static int read_sections(struct fly_parse *p, const char *key,
    int (*read)(struct fly_parse *, const struct conf *, struct err *), struct err *e)
{
	size_t n;
	int r = conf_tables(&p->root, key, FLY_SECTIONS_MAX, &n, e);
	for (unsigned named = 0; named < 2; named++)
		for (size_t i = 0; r == 0 && i < n; i++) {
			struct conf c;
			conf_table_at(&p->root, key, i, &c);
			if (json_array_size(json_object_get(c.o, "processes")) ? named : !named)
				r = read(p, &c, e);
		}
	return r;
}

int fly_read_machines(struct fly_parse *p, struct err *e)
{
	static const struct {
		const char *key;
		int (*read)(struct fly_parse *, const struct conf *, struct err *);
	} sections[] = {
		{ "vm", read_vm },
		{ "compute", read_vm },
		{ "computes", read_vm },
		{ "restart", read_restart },
		{ "files", read_file },
	};
	struct conf everyone = { .doc = p->root.doc };
	cleanup_json json_t *smallest =
	    json_pack("{s:s, s:i, s:i}", "cpu_kind", "shared", "cpus", 1, "memory_mb", 256);
	int r = smallest ? fly_for_groups(p, &everyone, false, set_guest, smallest, e)
			 : fly_no_memory(e);
	for (size_t i = 0; r == 0 && i < countof(sections); i++)
		r = read_sections(p, sections[i].key, sections[i].read, e);
	return r;
}
