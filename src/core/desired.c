/* desired/<host>/<machine> between JSON and struct (core/records.h). */
#include "base/str.h"
#include "core/duration.h"
#include "core/records.h"

static const char *const want_names[] = { "started", "stopped", "destroyed" };

const char *machine_want_name(enum machine_want w)
{
	return want_names[w];
}

/* Its name goes on to the guest: letters and digits alone. */
static int check_signal(const char *name, struct err *e)
{
	if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(name))
		return 0;
	return err_set(e, ERR_INVALID, "\"%.15s\" is not a signal's name", name);
}

static int read_size(const json_t *config, struct machine_size *ret, struct err *e)
{
	int64_t cpus = 1, memory = 256, scratch = SCRATCH_GIB_DEFAULT;
	json_t *guest = NULL, *rootfs = NULL;
	int r = 0;
	if ((r = json_opt_object(config, "config", "guest", &guest, e)) < 0 ||
	    (r = json_opt_object(config, "config", "rootfs", &rootfs, e)) < 0)
		return r;
	if (guest &&
	    ((r = json_opt_int(guest, "config.guest", "cpus", 1, 32, &cpus, e)) < 0 ||
		(r = json_opt_int(guest, "config.guest", "memory_mb", 64, 262144, &memory, e)) < 0))
		return r;
	if (rootfs &&
	    (r = json_opt_int(rootfs, "config.rootfs", "size_gb", 0, 500, &scratch, e)) < 0)
		return r;
	ret->cpus = (uint32_t)cpus;
	ret->memory_mib = (uint32_t)memory;
	ret->scratch_gib = scratch ? (uint32_t)scratch : SCRATCH_GIB_DEFAULT;
	return 0;
}

static int read_restart(const json_t *config, struct restart_policy *ret, struct err *e)
{
	struct restart_policy p = { RESTART_ON_FAILURE, RESTART_RETRIES_DEFAULT };
	json_t *o = NULL;
	const char *name = NULL;
	int64_t retries = 0;
	int r = json_opt_object(config, "config", "restart", &o, e);
	if (r < 0)
		return r;
	if (o && ((r = json_opt_str(o, "config.restart", "policy", &name, e)) < 0 ||
		     (r = json_opt_int(
			  o, "config.restart", "max_retries", 0, 1000000, &retries, e)) < 0))
		return r;
	if (name && *name && !restart_kind_find(name, &p.kind))
		return err_set(e, ERR_INVALID,
		    "config.restart.policy must be \"no\", \"on-failure\" or \"always\", not "
		    "\"%.40s\"",
		    name);
	if (retries)
		p.max_retries = (unsigned)retries;
	*ret = p;
	return 0;
}

static bool has_any(const json_t *config, const char *key)
{
	const json_t *v = json_object_get(config, key);
	return json_is_array(v) ? json_array_size(v) > 0 : json_object_size(v) > 0;
}

static bool has_service_checks(const json_t *config)
{
	size_t i;
	json_t *s;
	json_array_foreach (json_object_get(config, "services"), i, s) {
		if (has_any(s, "checks"))
			return true;
	}
	return false;
}

int desired_check_size(const json_t *config, const json_t *metadata, struct err *e)
{
	size_t n = json_dumpb(config, NULL, 0, JSON_COMPACT);
	if (n > CONFIG_BYTES_MAX)
		return err_set(e, ERR_TOO_LARGE,
		    "config is %zu bytes, its sealed environment and files included; at most %d", n,
		    CONFIG_BYTES_MAX);
	n = metadata ? json_dumpb(metadata, NULL, 0, JSON_COMPACT) : 0;
	if (n > METADATA_BYTES_MAX)
		return err_set(
		    e, ERR_TOO_LARGE, "metadata is %zu bytes; at most %d", n, METADATA_BYTES_MAX);
	return 0;
}

int desired_set_config(struct desired *d, json_t *config, struct err *e)
{
	json_t *stop = NULL;
	struct machine_size size;
	struct restart_policy restart;
	char sig[16] = "";
	int64_t timeout = 5000;
	bool auto_destroy = false;
	int r = 0;
	if (!json_is_object(config))
		return err_set(e, ERR_INVALID, "config must be an object");
	if ((r = read_size(config, &size, e)) < 0 || (r = read_restart(config, &restart, e)) < 0 ||
	    (r = json_opt_bool(config, "config", "auto_destroy", &auto_destroy, e)) < 0 ||
	    (r = json_opt_object(config, "config", "stop_config", &stop, e)) < 0)
		return r;
	if (stop &&
	    ((r = record_opt_text(stop, "signal", sig, sizeof(sig), e)) < 0 ||
		(r = duration_opt_ms(stop, "config.stop_config", "timeout", &timeout, e)) < 0))
		return r;
	if ((r = check_signal(sig, e)) < 0)
		return r;
	if (timeout > 300000)
		return err_set(
		    e, ERR_INVALID, "config.stop_config.timeout may be at most 300 seconds");
	json_incref(config);
	json_decref(d->config);
	d->config = config;
	d->size = size;
	d->restart = restart;
	memcpy(d->config_signal, sig, sizeof(sig));
	d->config_timeout_ms = timeout;
	d->auto_destroy = auto_destroy;
	d->has_services = has_any(config, "services");
	d->has_checks = has_any(config, "checks") || has_service_checks(config);
	return 0;
}

static int read_ids(const json_t *j, struct desired *d, struct err *e)
{
	int r = 0;
	if ((r = record_check_version(j, "desired machine", e)) < 0 ||
	    (r = record_need_text(j, "id", d->id, sizeof(d->id), e)) < 0 ||
	    (r = record_need_text(j, "app", d->app, sizeof(d->app), e)) < 0 ||
	    (r = record_need_text(j, "app_name", d->app_name, sizeof(d->app_name), e)) < 0 ||
	    (r = record_need_text(j, "group", d->group, sizeof(d->group), e)) < 0 ||
	    (r = record_need_text(j, "name", d->name, sizeof(d->name), e)) < 0 ||
	    (r = record_need_text(j, "region", d->region, sizeof(d->region), e)) < 0 ||
	    (r = record_need_text(j, "instance_id", d->instance_id, sizeof(d->instance_id), e)) <
		0 ||
	    (r = record_opt_text(j, "created_at", d->created_at, sizeof(d->created_at), e)) < 0 ||
	    (r = record_opt_text(j, "updated_at", d->updated_at, sizeof(d->updated_at), e)) < 0)
		return r;
	/* Ids become folder names: nothing else may pass. */
	if (!id_is_machine(d->id))
		return err_set(e, ERR_INVALID, "id is not a machine's id");
	return 0;
}

static int read_orders(const json_t *j, struct desired *d, struct err *e)
{
	int64_t number = 0, network = 0;
	const char *want = NULL;
	json_t *stop = NULL;
	int r = 0;
	if ((r = json_need_int(j, "", "version", 1, INT64_MAX, &d->version, e)) < 0 ||
	    (r = json_opt_int(j, "", "release", 0, INT64_MAX, &d->release, e)) < 0 ||
	    (r = json_opt_int(j, "", "start_seq", 0, INT64_MAX, &d->start_seq, e)) < 0 ||
	    (r = json_opt_int(j, "", "restart_seq", 0, INT64_MAX, &d->restart_seq, e)) < 0 ||
	    (r = json_need_int(j, "", "number", 1, 65535, &number, e)) < 0 ||
	    (r = json_need_int(j, "", "network", 1, UINT32_MAX, &network, e)) < 0 ||
	    (r = json_opt_bool(j, "", "cordoned", &d->cordoned, e)) < 0 ||
	    (r = json_opt_bool(j, "", "skip_launch", &d->skip_launch, e)) < 0 ||
	    (r = json_need_str(j, "", "want", &want, e)) < 0 ||
	    (r = json_opt_object(j, "", "stop", &stop, e)) < 0)
		return r;
	size_t i = 0;
	while (i < countof(want_names) && !streq(want, want_names[i]))
		i++;
	if (i == countof(want_names))
		return err_set(e, ERR_INVALID, "want cannot be \"%.40s\"", want);
	d->want = (enum machine_want)i;
	d->number = (uint32_t)number;
	d->network = (uint32_t)network;
	if (!stop)
		return 0;
	if ((r = record_opt_text(stop, "signal", d->stop_signal, sizeof(d->stop_signal), e)) < 0 ||
	    (r = check_signal(d->stop_signal, e)) < 0 ||
	    (r = json_opt_int(stop, "stop", "timeout_ms", 0, 300000, &d->stop_timeout_ms, e)) < 0 ||
	    (r = json_opt_bool(stop, "stop", "force", &d->stop_force, e)) < 0)
		return r;
	return 0;
}

int desired_parse(const json_t *j, struct desired *ret, struct err *e)
{
	struct desired d = { 0 };
	json_t *config = NULL, *metadata = NULL, *old = NULL;
	int r = 0;
	if ((r = read_ids(j, &d, e)) < 0 || (r = read_orders(j, &d, e)) < 0 ||
	    (r = json_opt_object(j, "", "config", &config, e)) < 0 ||
	    (r = json_opt_object(j, "", "metadata", &metadata, e)) < 0 ||
	    (r = json_opt_object(j, "", "old", &old, e)) < 0)
		return r;
	if ((r = desired_set_config(&d, config, e)) < 0)
		return r;
	d.metadata = metadata ? json_incref(metadata) : json_object();
	d.old = old ? json_incref(old) : NULL;
	*ret = d;
	return 0;
}

json_t *desired_format(const struct desired *d)
{
	json_t *stop = json_pack("{s:s,s:I,s:b}", "signal", d->stop_signal, "timeout_ms",
	    (json_int_t)d->stop_timeout_ms, "force", d->stop_force);
	return json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:o,s:b,s:b,s:I,s:I,"
			 "s:s,s:s,s:O,s:O,s:O*}",
	    "v", RECORD_VERSION, "id", d->id, "app", d->app, "app_name", d->app_name, "group",
	    d->group, "name", d->name, "region", d->region, "instance_id", d->instance_id,
	    "version", (json_int_t)d->version, "release", (json_int_t)d->release, "start_seq",
	    (json_int_t)d->start_seq, "restart_seq", (json_int_t)d->restart_seq, "want",
	    want_names[d->want], "stop", stop, "cordoned", d->cordoned, "skip_launch",
	    d->skip_launch, "number", (json_int_t)d->number, "network", (json_int_t)d->network,
	    "created_at", d->created_at, "updated_at", d->updated_at, "config", d->config,
	    "metadata", d->metadata, "old", d->old);
}

void desired_copy(const struct desired *from, struct desired *ret)
{
	*ret = *from;
	json_incref(ret->config);
	json_incref(ret->metadata);
	json_incref(ret->old);
}

void desired_done(struct desired *d)
{
	json_decref(d->config);
	json_decref(d->metadata);
	json_decref(d->old);
	d->config = d->metadata = d->old = NULL;
}
