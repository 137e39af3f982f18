/* Manifests, indexes and configurations of OCI and Docker (schema 2) images, strictly: what Ward
 * does not know how to run is refused with the reason. */
#pragma once
#include "base/json.h"

enum {
	OCI_LAYERS_MAX = 127,
	OCI_DOCUMENT_MAX = 4 * 1024 * 1024, /* of one JSON document */
	OCI_LISTED_MAX = 256,               /* manifests in an index */
	OCI_STRINGS_MAX = 4096,             /* environment, arguments, labels */
	OCI_CONVERTER_VERSION = 1,          /* of the squashfs that the same layers give */
};
#define OCI_BLOB_SIZE_MAX (16LL << 30)

enum oci_compression { OCI_PLAIN, OCI_GZIP, OCI_ZSTD };

struct oci_blob {
	char digest[65]; /* of SHA-256, hex */
	uint64_t size;
	enum oci_compression compression; /* of a layer */
};

enum oci_document { OCI_MANIFEST = 1, OCI_INDEX };

struct oci_manifest {
	enum oci_document kind;
	struct oci_blob chosen; /* index: the manifest for linux/amd64 */
	struct oci_blob config; /* manifest */
	struct oci_blob layer[OCI_LAYERS_MAX];
	size_t layers;
};

/* Either kind; an index must list a manifest for linux/amd64. */
int oci_manifest_parse(
    struct oci_manifest *m, const char *text, size_t len, struct err *e) must_check;

struct oci_config {
	char diff_id[OCI_LAYERS_MAX][65];
	size_t layers;
	json_t *
	    run; /* {"entrypoint":[],"cmd":[],"env":[],"working_dir","user","exposed_ports":[],"stop_signal","labels":{}}
		  */
};

/* Must have a diff_id for each of `layers`. oci_config_done frees. */
int oci_config_parse(
    struct oci_config *c, const char *text, size_t len, size_t layers, struct err *e) must_check;
void oci_config_done(struct oci_config *c);

/* The name of the root disk: SHA-256 over the converter's version and the layers' diff_ids in
 * order. */
void oci_root_name(char dst[65], const struct oci_config *c);
