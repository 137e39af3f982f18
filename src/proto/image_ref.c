#include "proto/image_ref.h"
#include "base/str.h"

static const char alnum[] = "abcdefghijklmnopqrstuvwxyz0123456789";

bool image_digest_parse(char dst[65], const char *text)
{
	if (!str_starts(text, "sha256:") || !str_is_hex(text + 7, 64))
		return false;
	memcpy(dst, text + 7, 65);
	return true;
}

/* One part of a repository's path: letters and digits, with ".", "_", "__" or dashes only between.
 */
static bool is_component(const char *s, size_t len)
{
	size_t i = strspn(s, alnum);
	if (!i)
		return false;
	while (i < len) {
		size_t sep = strspn(s + i, "-");
		if (!sep)
			sep = s[i] == '.' ? 1 : MIN(strspn(s + i, "_"), 2U);
		size_t run = sep ? strspn(s + i + sep, alnum) : 0;
		if (!run)
			return false;
		i += sep + run;
	}
	return i == len;
}

static bool is_repository(const char *s)
{
	for (;;) {
		size_t len = strcspn(s, "/");
		if (!is_component(s, len))
			return false;
		if (!s[len])
			return true;
		s += len + 1;
	}
}

/* A host name or address with an optional port. */
static bool is_registry(const char *s)
{
	static const char host[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
	size_t len;
	if (*s == '[') {
		len = strspn(s + 1, "0123456789abcdefABCDEF:") + 1;
		if (len < 3 || s[len++] != ']')
			return false;
	} else {
		len = strspn(s, host);
		if (!len || *s == '-' || *s == '.')
			return false;
	}
	uint64_t port;
	return !s[len] || (s[len] == ':' && str_u64(s + len + 1, 65535, &port) && port);
}

static bool is_tag(const char *s)
{
	static const char word[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
	size_t n = strlen(s);
	if (!n || n > 128 || !strchr(word, s[0]))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!strchr(word, s[i]) && s[i] != '.' && s[i] != '-')
			return false;
	return true;
}

/* Container tools take the first part for a registry when it could not be a user's name. */
static bool names_registry(const char *s, size_t len)
{
	return memchr(s, '.', len) || memchr(s, ':', len) || *s == '[' ||
	       (len == 9 && !memcmp(s, "localhost", 9));
}

static int split_name(struct image_ref *r, char *name)
{
	char *slash = strchr(name, '/'), *repository = name;
	const char *registry = "docker.io";
	if (slash && names_registry(name, (size_t)(slash - name))) {
		*slash = 0;
		registry = name;
		repository = slash + 1;
	}
	if (!is_registry(registry) || !is_repository(repository))
		return -EINVAL;
	bool official = streq(registry, "docker.io") && !strchr(repository, '/');
	int n = snprintf(
	    r->repository, sizeof(r->repository), "%s%s", official ? "library/" : "", repository);
	return n < (int)sizeof(r->repository) &&
		       str_copy(r->registry, sizeof(r->registry), registry)
		   ? 0
		   : -EINVAL;
}

static int split(struct image_ref *r, char *text)
{
	char *at = strchr(text, '@');
	if (at) {
		*at = 0;
		if (!image_digest_parse(r->digest, at + 1))
			return -EINVAL;
	}
	char *slash = strrchr(text, '/'), *colon = strrchr(text, ':');
	if (colon && (!slash || colon > slash)) {
		*colon = 0;
		if (!is_tag(colon + 1))
			return -EINVAL;
		str_copy(r->tag, sizeof(r->tag), colon + 1);
	} else if (!at) {
		str_copy(r->tag, sizeof(r->tag), "latest");
	}
	return split_name(r, text);
}

int image_ref_parse(struct image_ref *ref, const char *text, struct err *e)
{
	struct image_ref r = { .kind = IMAGE_REF_REGISTRY };
	char copy[512];
	if (image_digest_parse(r.digest, text)) {
		r.kind = IMAGE_REF_UPLOADED;
		*ref = r;
		return 0;
	}
	/* a mistyped digest is not the image "sha256" with a long tag */
	if (str_starts(text, "sha256:") ||
	    !str_copy(copy, sizeof(copy), str_starts(text, "docker://") ? text + 9 : text) ||
	    split(&r, copy) < 0) {
		err_set(e, ERR_INVALID, "\"%.100s\" is not the name of an image", text);
		err_next(
		    e, "write it as name:tag, registry/name:tag or name@sha256:<64 hex digits>");
		return -EINVAL;
	}
	*ref = r;
	return 0;
}

int image_ref_format(char *dst, size_t size, const struct image_ref *r)
{
	int n = r->kind == IMAGE_REF_UPLOADED
		    ? snprintf(dst, size, "sha256:%s", r->digest)
		    : snprintf(dst, size, "%s/%s%s%s%s%s", r->registry, r->repository,
			  r->tag[0] ? ":" : "", r->tag, r->digest[0] ? "@sha256:" : "", r->digest);
	return n < 0 || (size_t)n >= size ? -EMSGSIZE : 0;
}
