#include "../unit.h"
#include "base/str.h"
#include "proto/oci.h"

#define A64    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define BLOB(type, hex, size)                                                                      \
	"{\"mediaType\":\"" type "\",\"digest\":\"sha256:" hex "\",\"size\":" size "}"
#define CONFIG BLOB(OCI "config.v1+json", A64, "7")
#define MANIFEST(config, layers)                                                                   \
	"{\"schemaVersion\":2,\"config\":" config ",\"layers\":[" layers "]}"

static struct oci_manifest m;

static int parse(const char *text, struct err *e)
{
	*e = (struct err){ 0 };
	return oci_manifest_parse(&m, text, strlen(text), e);
}

static void both_families_of_manifests_are_read(void **s)
{
	struct err e;
	assert_ok(parse(MANIFEST(CONFIG, BLOB(OCI "layer.v1.tar+zstd", B64, "9") "," BLOB(
					     OCI "layer.v1.tar", A64, "0")),
		      &e),
	    e);
	assert_int_equal(m.kind, OCI_MANIFEST);
	assert_int_equal(m.layers, 2);
	assert_int_equal(m.layer[0].compression, OCI_ZSTD);
	assert_int_equal(m.layer[0].size, 9);
	assert_string_equal(m.layer[0].digest, B64);
	assert_int_equal(m.layer[1].compression, OCI_PLAIN);
	assert_ok(
	    parse("{\"schemaVersion\":2,\"mediaType\":\"" DOCKER
		  "distribution.manifest.v2+json\",\"config\":" BLOB(
		      DOCKER "container.image.v1+json", A64,
		      "7") ",\"layers\":[" BLOB(DOCKER "image.rootfs.diff.tar.gzip", B64, "1") "]}",
		&e),
	    e);
	assert_int_equal(m.layer[0].compression, OCI_GZIP);
}

#define LISTED(hex, platform)                                                                      \
	"{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"sha256:" hex                      \
	"\",\"size\":5" platform "}"
#define PLATFORM(os, arch) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define INDEX(list)        "{\"schemaVersion\":2,\"manifests\":[" list "]}"

static void an_index_leads_to_the_processor_of_this_host(void **s)
{
	struct err e;
	assert_ok(parse(INDEX(LISTED(A64, PLATFORM("linux", "arm64")) "," LISTED(
			    B64, PLATFORM("linux", "amd64"))),
		      &e),
	    e);
	assert_int_equal(m.kind, OCI_INDEX);
	assert_string_equal(m.chosen.digest, B64);
	assert_ok(parse(INDEX(LISTED(A64, "")), &e), e);
	assert_string_equal(m.chosen.digest, A64);
	assert_int_equal(parse(INDEX(LISTED(A64, "") "," LISTED(B64, "")), &e), -EINVAL);
	assert_int_equal(parse(INDEX(LISTED(A64, PLATFORM("linux", "arm64"))), &e), -EINVAL);
	assert_non_null(strstr(e.text, "linux/amd64"));
	assert_int_equal(parse(INDEX(""), &e), -EINVAL);
}

static void what_is_no_image_is_refused_with_a_reason(void **s)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "JSON" },
		{ "[]", "object" },
		{ "{\"schemaVersion\":1}", "schemaVersion" },
		{ "{\"schemaVersion\":2}", "no config" },
		{ MANIFEST(CONFIG, ""), "0 layers" },
		{ MANIFEST(CONFIG, "7"), "layers[0]" },
		{ MANIFEST(CONFIG, BLOB("text/plain", B64, "1")), "text/plain" },
		{ MANIFEST(CONFIG, BLOB(OCI "layer.v1.tar", "123", "1")), "digest" },
		{ MANIFEST(CONFIG, BLOB(OCI "layer.v1.tar", B64, "-1")), "size" },
		{ MANIFEST(CONFIG, BLOB(OCI "layer.v1.tar", B64, "99999999999999")), "size" },
		{ MANIFEST(
		      BLOB("application/x-thing", A64, "1"), BLOB(OCI "layer.v1.tar", B64, "1")),
		    "artifact" },
		{ MANIFEST(BLOB(OCI "config.v1+json", A64, "99999999"),
		      BLOB(OCI "layer.v1.tar", B64, "1")),
		    "config" },
		{ "{\"schemaVersion\":2,\"schemaVersion\":2}", "duplicate" },
		{ "{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", "at once" },
		{ "{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"config\":" CONFIG
		  ",\"layers\":[]}",
		    "type" },
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct err e;
		assert_int_equal(parse(cases[i].text, &e), -EINVAL);
		assert_int_equal(e.code, ERR_IMAGE);
		if (!strstr(e.text, cases[i].says))
			fail_msg(
			    "%s: \"%s\" does not say \"%s\"", cases[i].text, e.text, cases[i].says);
	}
}

static int config(struct oci_config *c, const char *text, size_t layers, struct err *e)
{
	*e = (struct err){ 0 };
	return oci_config_parse(c, text, strlen(text), layers, e);
}

#define FOR_US "\"os\":\"linux\",\"architecture\":\"amd64\""
#define ROOTFS ",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" A64 "\"]}"

static void a_configuration_says_how_to_run(void **s)
{
	struct oci_config c;
	struct err e;
	assert_ok(config(&c,
		      "{" FOR_US ROOTFS ",\"config\":{\"Entrypoint\":[\"/"
		      "a\"],\"Cmd\":null,\"Env\":[\"A=\",\"B==c\"],\"User\":\"7:8\","
		      "\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\",\"ExposedPorts\":{\"80/"
		      "tcp\":{}},\"Labels\":{\"x\":\"y\"}}}",
		      1, &e),
	    e);
	char *text = json_format(c.run);
	assert_string_equal(text,
	    "{\"cmd\":[],\"entrypoint\":[\"/a\"],\"env\":[\"A=\",\"B==c\"],\"exposed_ports\":[\"80/"
	    "tcp\"],\"labels\":{\"x\":\"y\"},"
	    "\"stop_signal\":\"SIGINT\",\"user\":\"7:8\",\"working_dir\":\"/w\"}");
	free(text);
	oci_config_done(&c);
	assert_ok(config(&c, "{" FOR_US ROOTFS "}", 1, &e), e);
	assert_int_equal(json_array_size(json_object_get(c.run, "env")), 0);
	oci_config_done(&c);
}

static void a_bad_configuration_is_refused(void **s)
{
	static const char *const bad[] = { "{}", "{" FOR_US "}",
		"{\"os\":\"windows\",\"architecture\":\"amd64\"" ROOTFS "}",
		"{\"os\":\"linux\",\"architecture\":\"arm64\"" ROOTFS "}",
		"{" FOR_US ROOTFS ",\"config\":{\"Env\":[\"novalue\"]}}",
		"{" FOR_US ROOTFS ",\"config\":{\"Env\":[\"=x\"]}}",
		"{" FOR_US ROOTFS ",\"config\":{\"Cmd\":[1]}}",
		"{" FOR_US ROOTFS ",\"config\":{\"Cmd\":\"/bin/sh\"}}",
		"{" FOR_US ROOTFS ",\"config\":{\"Labels\":{\"a\":1}}}",
		"{" FOR_US ROOTFS ",\"config\":{\"Cmd\":[\"a\\u0000b\"]}}",
		"{" FOR_US ",\"rootfs\":{\"diff_ids\":[\"sha256:12\"]}}",
		"{" FOR_US ",\"rootfs\":{\"diff_ids\":[]}}" };
	for (size_t i = 0; i < countof(bad); i++) {
		struct oci_config c;
		struct err e;
		if (config(&c, bad[i], 1, &e) != -EINVAL || e.code != ERR_IMAGE)
			fail_msg("accepted: %s", bad[i]);
		assert_null(c.run);
	}
}

static void a_root_disk_is_named_for_its_layers_in_order(void **s)
{
	struct oci_config a = { .layers = 2, .diff_id = { A64, B64 } },
			  b = { .layers = 2, .diff_id = { B64, A64 } },
			  c = { .layers = 1, .diff_id = { A64 } };
	char x[65], y[65], z[65], again[65];
	oci_root_name(x, &a);
	oci_root_name(y, &b);
	oci_root_name(z, &c);
	oci_root_name(again, &a);
	assert_string_equal(x, again);
	assert_string_not_equal(x, y);
	assert_string_not_equal(x, z);
	assert_true(str_is_hex(x, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_families_of_manifests_are_read),
		cmocka_unit_test(an_index_leads_to_the_processor_of_this_host),
		cmocka_unit_test(what_is_no_image_is_refused_with_a_reason),
		cmocka_unit_test(a_configuration_says_how_to_run),
		cmocka_unit_test(a_bad_configuration_is_refused),
		cmocka_unit_test(a_root_disk_is_named_for_its_layers_in_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
