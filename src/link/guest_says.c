#include "link/guest_says.h"
#include "base/str.h"

static int parse_exit(json_t *o, struct link_exit *x, struct err *e)
{
	int64_t code = 0, sig = 0;
	int r;
	if ((r = json_need_int(o, "exit", "code", 0, 255, &code, e)) < 0 ||
	    (r = json_need_int(o, "exit", "signal", 0, 64, &sig, e)) < 0 ||
	    (r = json_opt_bool(o, "exit", "oom", &x->oom, e)) < 0 ||
	    (r = json_opt_bool(o, "exit", "requested_stop", &x->requested_stop, e)) < 0)
		return r;
	x->code = (int)code;
	x->signal = (int)sig;
	return 0;
}

static int parse_state(json_t *j, struct guest_state *ret, struct err *e)
{
	struct guest_state s = { .phase = LINK_BOOTED };
	const char *phase = NULL;
	int64_t generation = 0, started = 0;
	json_t *x = NULL;
	int r;
	if (!json_is_object(j))
		return err_set(e, ERR_PROTOCOL, "not an object");
	if ((r = json_need_str(j, "", "phase", &phase, e)) < 0 ||
	    (r = json_need_int(j, "", "generation", 0, INT64_MAX, &generation, e)) < 0 ||
	    (r = json_need_int(j, "", "started_at", 0, INT64_MAX, &started, e)) < 0 ||
	    (r = json_opt_object(j, "", "exit", &x, e)) < 0 ||
	    (x && (r = parse_exit(x, &s.exit, e)) < 0))
		return r;
	if (streq(phase, "running"))
		s.phase = LINK_RUNNING;
	else if (streq(phase, "exited") && x)
		s.phase = LINK_EXITED;
	else if (!streq(phase, "waiting"))
		return err_set(e, ERR_PROTOCOL, "an unknown phase");
	s.generation = (uint64_t)generation;
	s.started_at = (uint64_t)started;
	*ret = s;
	return 0;
}

int guest_state_parse(struct bytes text, struct guest_state *ret, struct err *e)
{
	cleanup_json json_t *j = NULL;
	int r = json_parse(text.base ? text.base : "", text.len, &j, e);
	return r < 0 ? r : parse_state(j, ret, e);
}

int guest_hello_parse(struct bytes text, struct guest_hello *ret, struct err *e)
{
	cleanup_json json_t *j = NULL;
	struct guest_hello h = { 0 };
	const char *boot = NULL, *key = NULL;
	int64_t v = 0;
	int r = json_parse(text.base ? text.base : "", text.len, &j, e);
	if (r < 0 || (r = parse_state(j, &h.state, e)) < 0 ||
	    (r = json_need_int(j, "", "v", 1, GUEST_VERSION, &v, e)) < 0 ||
	    (r = json_need_str(j, "", "boot_id", &boot, e)) < 0 ||
	    (r = json_need_str(j, "", "guest_key", &key, e)) < 0)
		return r;
	if (!str_is_hex(boot, sizeof h.boot_id - 1) || !str_is_hex(key, sizeof h.guest_key - 1))
		return err_set(e, ERR_PROTOCOL, "boot_id or guest_key is not hex");
	(void)str_copy(h.boot_id, sizeof h.boot_id, boot);
	(void)str_copy(h.guest_key, sizeof h.guest_key, key);
	*ret = h;
	return 0;
}
