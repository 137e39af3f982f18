#include "supervisor/settings.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/ipc_wardd.h"
#include <fcntl.h>

static int own_folder(char *dst, size_t size, struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", dst, size - 1);
	if (n < 0 || (size_t)n >= size - 1)
		return err_sys(
		    e, n < 0 ? errno : ENAMETOOLONG, "cannot tell where wardd's own program is");
	dst[n] = 0;
	*strrchr(dst, '/') = 0;
	return 0;
}

static int parse(struct settings *s, int argc, char **argv, struct err *e)
{
	const char *libexec = NULL;
	for (int i = 1; i < argc; i++) {
		const char **to = streq(argv[i], "--libexec") ? &libexec
				  : streq(argv[i], "--only")  ? &s->only
							      : NULL;
		if (!to || i + 1 >= argc)
			return err_set(e, ERR_INVALID,
			    "usage: wardd [--root DIR] [--instance NAME] [--libexec DIR] [--only "
			    "NAME,NAME]: not \"%s\"",
			    argv[i]);
		*to = argv[++i];
	}
	if (!libexec)
		return own_folder(s->libexec, sizeof(s->libexec), e);
	if (*libexec != '/' || !str_copy(s->libexec, sizeof(s->libexec), libexec))
		return err_set(e, ERR_INVALID,
		    "--libexec must be an absolute path of at most %zu bytes",
		    sizeof(s->libexec) - 1);
	return 0;
}

int settings_init(struct settings *s, int argc, char **argv, struct err *e)
{
	static char log_dir[96];
	int r = places_from_args(&s->places, &argc, &argv, e);
	if (r == 0)
		r = parse(s, argc, argv, e);
	if (r < 0)
		return r;
	snprintf(log_dir, sizeof(log_dir), "%s/log", s->places.lib);
	s->log_dir = log_dir;
	char path[96];
	snprintf(path, sizeof(path), "%s/ward.toml", s->places.etc);
	r = platform_read(AT_FDCWD, path, &s->platform, e);
	if (r < 0)
		return err_prefix(e, r, "%s", path);
	s->host_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (s->host_netns < 0)
		return err_sys(e, errno, "cannot open the host's network namespace");
	return cgroups_find(&s->cgroups, e);
}

bool settings_wants(const struct settings *s, const char *name)
{
	if (!s->only)
		return true;
	size_t len = strlen(name);
	for (const char *p = s->only; *p;) {
		size_t n = strcspn(p, ",");
		if (n == len && !memcmp(p, name, n))
			return true;
		p += n + (p[n] == ',');
	}
	return false;
}

bool settings_allows_engine(const struct settings *s, uint32_t engine)
{
	switch (s->platform.machines.engine) {
	case PLATFORM_ENGINE_EMULATED: return engine == WARDD_ENGINE_EMULATED;
	case PLATFORM_ENGINE_KVM:
	case PLATFORM_ENGINE_AUTO: return engine == WARDD_ENGINE_KVM;
	}
	return false;
}
