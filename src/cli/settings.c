#include "cli/settings.h"
#include "base/file.h"
#include "base/str.h"
#include "proto/conf.h"
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

static int take(char *dst, size_t size, const char *name, const char *value, struct err *e)
{
	if (value && !str_copy(dst, size, value))
		return err_set(e, ERR_TOO_LARGE, "%s is longer than %zu bytes", name, size - 1);
	return 0;
}

static int from_env(char *dst, size_t size, const char *const *names, struct err *e)
{
	for (; *names; names++) {
		const char *v = getenv(*names);
		if (v && *v)
			return take(dst, size, *names, v, e);
	}
	return 0;
}

static bool file_path(char *dst, size_t size)
{
	const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n = -1;
	if (base && *base == '/')
		n = snprintf(dst, size, "%s/ward/config.toml", base);
	else if (home && *home == '/')
		n = snprintf(dst, size, "%s/.config/ward/config.toml", home);
	return n > 0 && (size_t)n < size;
}

static int read_values(struct settings *s, const char *text, size_t len, struct err *e)
{
	cleanup_toml struct toml doc = { 0 };
	int r = toml_parse(text, len, &doc, e);
	if (r < 0)
		return r;
	struct conf c;
	conf_root(&c, &doc);
	r = conf_known(&c, "url token ca ca_sha256", e);
	struct {
		const char *key;
		char *dst;
		size_t size;
	} keys[] = {
		{ "url", s->url, sizeof(s->url) },
		{ "token", s->token, sizeof(s->token) },
		{ "ca", s->ca_file, sizeof(s->ca_file) },
		{ "ca_sha256", s->ca_sha256, sizeof(s->ca_sha256) },
	};
	for (size_t i = 0; r == 0 && i < countof(keys); i++) {
		const char *v = NULL;
		r = conf_str(&c, keys[i].key, &v, e);
		if (r == 0 && !*keys[i].dst) /* the environment goes first */
			r = take(keys[i].dst, keys[i].size, keys[i].key, v, e);
	}
	if (r == 0 && *s->ca_sha256 && !str_is_hex(s->ca_sha256, 64))
		r = conf_fail(
		    &c, "ca_sha256", e, ERR_INVALID, "must be 64 lower-case hexadecimal digits");
	return r;
}

static int from_file(struct settings *s, struct err *e)
{
	char path[512];
	struct stat st;
	if (!file_path(path, sizeof(path)) || stat(path, &st) < 0)
		return 0;
	if (st.st_mode & 077) {
		err_set(e, ERR_FORBIDDEN,
		    "%s may be read by others than its owner, and it holds a token", path);
		err_next(e, "chmod 600 %s", path);
		return -EPERM;
	}
	cleanup_free char *text = NULL;
	size_t len;
	int r = file_read(AT_FDCWD, path, 64 * 1024, &text, &len, e);
	if (r == 0) {
		r = read_values(s, text, len, e);
		sodium_memzero(text, len);
	}
	return r < 0 ? err_prefix(e, r, "%s", path) : 0;
}

int settings_load(struct settings *s, struct err *e)
{
	static const char *const url[] = { "WARD_API_URL", "FLY_FLAPS_BASE_URL", NULL };
	static const char *const token[] = { "WARD_API_TOKEN", "FLY_API_TOKEN", "FLY_ACCESS_TOKEN",
		NULL };
	static const char *const ca[] = { "WARD_CA_FILE", NULL };
	static const char socket[] = "/run/ward/api.sock";
	*s = (struct settings){ 0 };
	int r = from_env(s->url, sizeof(s->url), url, e);
	if (r == 0)
		r = from_env(s->token, sizeof(s->token), token, e);
	if (r == 0)
		r = from_env(s->ca_file, sizeof(s->ca_file), ca, e);
	if (r == 0)
		r = from_file(s, e);
	if (r < 0)
		return r;
	if (!*s->url)
		snprintf(s->url, sizeof(s->url), "%s",
		    access(socket, F_OK) == 0 ? "unix:///run/ward/api.sock"
					      : "https://api.ward.localhost");
	size_t n = strlen(s->url);
	while (n && s->url[n - 1] == '/')
		s->url[--n] = 0;
	if (str_starts(s->url, "https://") || str_starts(s->url, "unix:///"))
		return 0;
	err_set(e, ERR_INVALID, "the API's address \"%.100s\" is neither https:// nor unix:///",
	    s->url);
	err_next(e, "set WARD_API_URL, for example to unix:///run/ward/api.sock");
	return -EINVAL;
}

void settings_wipe(struct settings *s)
{
	sodium_memzero(s, sizeof(*s));
}

int settings_check_pin(const struct settings *s, struct err *e)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----",
			  end[] = "-----END CERTIFICATE-----";
	cleanup_free char *text = NULL;
	size_t len;
	int r = file_read(AT_FDCWD, s->ca_file, 256 * 1024, &text, &len, e);
	if (r < 0)
		return err_prefix(e, r, "the CA's certificate");
	char *from = strstr(text, begin), *to = from ? strstr(from, end) : NULL;
	if (!to)
		return err_set(e, ERR_INVALID, "%s holds no certificate", s->ca_file);
	size_t n = 0;
	for (char *p = from + strlen(begin); p < to;
	     p++) /* in place: base64 without its line ends */
		if (!strchr(" \t\r\n", *p))
			text[n++] = *p;
	unsigned char der[16384], hash[crypto_hash_sha256_BYTES];
	ssize_t size = base64_decode(der, sizeof(der), text, n);
	if (size < 0)
		return err_set(e, ERR_INVALID, "%s holds no certificate", s->ca_file);
	char hex[2 * sizeof(hash) + 1];
	crypto_hash_sha256(hash, der, (unsigned long long)size);
	hex_encode(hex, hash, sizeof(hash));
	if (streq(hex, s->ca_sha256))
		return 0;
	err_set(e, ERR_FORBIDDEN, "%s is not the CA that config.toml pins: its SHA-256 is %.16s…",
	    s->ca_file, hex);
	err_next(e, "get the CA's certificate again from a place you trust, or correct ca_sha256");
	return -EPERM;
}
