#include "proto/oci.h"
#include "base/str.h"
#include "proto/image_ref.h"

static const char *const index_types[] = { "application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json", NULL };
static const char *const manifest_types[] = { "application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json", NULL };
static const char *const config_types[] = { "application/vnd.oci.image.config.v1+json",
	"application/vnd.docker.container.image.v1+json", NULL };

static const struct {
	const char *type;
	enum oci_compression compression;
} layer_types[] = {
	{ "application/vnd.oci.image.layer.v1.tar", OCI_PLAIN },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", OCI_GZIP },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", OCI_ZSTD },
	{ "application/vnd.docker.image.rootfs.diff.tar", OCI_PLAIN },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_GZIP },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", OCI_ZSTD },
};

static bool among(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (streq(s, *list))
			return true;
	return false;
}

/* All failures of this file are the image's fault. */
static int as_image(struct err *e, int r, const char *what)
{
	if (r < 0 && e && e->code == ERR_INVALID)
		e->code = ERR_IMAGE;
	return r < 0 ? err_prefix(e, r, "%s", what) : 0;
}

static int parse_object(const char *text, size_t len, json_t **ret, struct err *e)
{
	cleanup_json json_t *j = NULL;
	if (len > OCI_DOCUMENT_MAX)
		return err_set(e, ERR_IMAGE, "larger than %d bytes", OCI_DOCUMENT_MAX);
	int r = json_parse(text, len, &j, e);
	if (r < 0)
		return r;
	if (!json_is_object(j))
		return err_set(e, ERR_IMAGE, "not a JSON object");
	*ret = steal_ptr(&j);
	return 0;
}

static int parse_blob(
    struct oci_blob *b, const char **ret_type, const json_t *o, const char *path, struct err *e)
{
	const char *digest = "";
	int64_t size = 0;
	struct oci_blob got = { 0 };
	int r = json_need_str(o, path, "mediaType", ret_type, e);
	if (r == 0)
		r = json_need_str(o, path, "digest", &digest, e);
	if (r == 0)
		r = json_need_int(o, path, "size", 0, OCI_BLOB_SIZE_MAX, &size, e);
	if (r < 0)
		return r;
	if (!image_digest_parse(got.digest, digest))
		return err_set(e, ERR_IMAGE, "%s.digest is not sha256 and 64 hex digits", path);
	got.size = (uint64_t)size;
	*b = got;
	return 0;
}

/* Prefers the baseline of amd64 (no variant, or v1) over a variant that may need a newer processor.
 */
static int choose(struct oci_manifest *m, const json_t *list, struct err *e)
{
	size_t i;
	const json_t *o;
	bool found = false;
	if (json_array_size(list) > OCI_LISTED_MAX)
		return err_set(e, ERR_IMAGE, "lists more than %d manifests", OCI_LISTED_MAX);
	json_array_foreach ((json_t *)(uintptr_t)list, i, o) {
		json_t *platform = NULL;
		const char *os = "", *arch = "", *variant = "", *type = "";
		struct oci_blob b = { 0 };
		int r = json_opt_object(o, "manifests", "platform", &platform, e);
		if (r == 0)
			r = parse_blob(&b, &type, o, "manifests", e);
		if (r == 0 && platform)
			r = json_opt_str(platform, "platform", "os", &os, e);
		if (r == 0 && platform)
			r = json_opt_str(platform, "platform", "architecture", &arch, e);
		if (r == 0 && platform)
			r = json_opt_str(platform, "platform", "variant", &variant, e);
		if (r < 0)
			return r;
		/* a layout with one image, as tools write it, says no platform: its configuration
		 * will */
		bool only = !platform && json_array_size(list) == 1;
		bool fits = (streq(os, "linux") && streq(arch, "amd64") &&
				(!*variant || streq(variant, "v1"))) ||
			    only;
		if (!found && fits && among(type, manifest_types)) {
			m->chosen = b;
			found = true;
		}
	}
	return found ? 0 : err_set(e, ERR_IMAGE, "has no image for linux/amd64");
}

static int parse_layers(struct oci_manifest *m, const json_t *list, struct err *e)
{
	size_t i;
	const json_t *o;
	if (!json_array_size(list) || json_array_size(list) > OCI_LAYERS_MAX)
		return err_set(e, ERR_IMAGE, "has %zu layers; 1 to %d can be",
		    json_array_size(list), OCI_LAYERS_MAX);
	json_array_foreach ((json_t *)(uintptr_t)list, i, o) {
		char path[32];
		const char *type = "";
		size_t k = 0;
		snprintf(path, sizeof(path), "layers[%zu]", i);
		if (!json_is_object(o))
			return err_set(e, ERR_IMAGE, "%s is not an object", path);
		int r = parse_blob(&m->layer[i], &type, o, path, e);
		if (r < 0)
			return r;
		while (k < countof(layer_types) && !streq(type, layer_types[k].type))
			k++;
		if (k == countof(layer_types))
			return err_set(e, ERR_IMAGE,
			    "%s is of the type %.80s, which is not a layer Ward can read", path,
			    type);
		m->layer[i].compression = layer_types[k].compression;
	}
	m->layers = json_array_size(list);
	return 0;
}

static int parse_manifest(struct oci_manifest *m, const json_t *o, struct err *e)
{
	const char *type = NULL;
	json_t *config = NULL, *list = NULL;
	int64_t version;
	int r = json_need_int(o, "", "schemaVersion", 2, 2, &version, e);
	if (r == 0)
		r = json_opt_str(o, "", "mediaType", &type, e);
	if (r == 0)
		r = json_opt_array(o, "", "manifests", &list, e);
	if (r < 0)
		return r;
	/* the media type is optional in OCI; a document of both shapes could mean two things
	 * (CVE-2021-41190) */
	if (list && (json_object_get(o, "layers") || json_object_get(o, "config")))
		return err_set(e, ERR_IMAGE, "is an index and a manifest at once");
	if (type && !among(type, list ? index_types : manifest_types))
		return err_set(e, ERR_IMAGE, "is of the type %.80s, which is not an image", type);
	if (list) {
		m->kind = OCI_INDEX;
		return choose(m, list, e);
	}
	m->kind = OCI_MANIFEST;
	r = json_opt_object(o, "", "config", &config, e);
	if (r == 0)
		r = json_opt_array(o, "", "layers", &list, e);
	if (r < 0)
		return r;
	if (!config || !list)
		return err_set(e, ERR_IMAGE, "has no config or no layers");
	r = parse_blob(&m->config, &type, config, "config", e);
	if (r < 0)
		return r;
	if (!among(type, config_types))
		return err_set(e, ERR_IMAGE,
		    "its config is of the type %.80s: it is an artifact, not an image", type);
	if (m->config.size > OCI_DOCUMENT_MAX)
		return err_set(
		    e, ERR_IMAGE, "its config is larger than %d bytes", OCI_DOCUMENT_MAX);
	return parse_layers(m, list, e);
}

int oci_manifest_parse(struct oci_manifest *m, const char *text, size_t len, struct err *e)
{
	cleanup_json json_t *o = NULL;
	memset(m, 0, sizeof(*m));
	int r = parse_object(text, len, &o, e);
	if (r == 0)
		r = parse_manifest(m, o, e);
	return as_image(e, r, "the image's manifest");
}
