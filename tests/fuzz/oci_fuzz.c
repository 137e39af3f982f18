/* Any bytes as manifest and as configuration: no crash; what is accepted is within its bounds, a
 * refusal has its reason. */
#include "base/str.h"
#include "proto/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct oci_manifest m;
	static struct oci_config c;
	struct err e = { 0 };
	size_t layers = size ? data[0] % 4U : 0;
	if (oci_manifest_parse(&m, (const char *)data, size, &e) < 0) {
		if (!e.code || !*e.text)
			abort();
	} else if (m.kind == OCI_MANIFEST) {
		if (!m.layers || m.layers > OCI_LAYERS_MAX || !str_is_hex(m.config.digest, 64))
			abort();
		for (size_t i = 0; i < m.layers; i++)
			if (!str_is_hex(m.layer[i].digest, 64) ||
			    m.layer[i].size > OCI_BLOB_SIZE_MAX)
				abort();
	} else if (!str_is_hex(m.chosen.digest, 64)) {
		abort();
	}
	/* the first byte chose the count of layers; a document begins after it */
	e = (struct err){ 0 };
	if (size && oci_config_parse(&c, (const char *)data + 1, size - 1, layers, &e) == 0) {
		char root[65];
		char *text = json_format(c.run);
		oci_root_name(root, &c);
		if (!text || !str_is_hex(root, 64) || c.layers != layers)
			abort();
		free(text);
		oci_config_done(&c);
	} else if (size && (!e.code || !*e.text)) {
		abort();
	}
	return 0;
}
