#include "../unit.h"
#include "base/str.h"
#include "proto/image_ref.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void references_are_taken_apart(void **s)
{
	static const struct {
		const char *text, *registry, *repository, *tag, *digest, *whole;
	} cases[] = {
		{ "nginx", "docker.io", "library/nginx", "latest", "",
		    "docker.io/library/nginx:latest" },
		{ "docker://nginx:1.2", "docker.io", "library/nginx", "1.2", "",
		    "docker.io/library/nginx:1.2" },
		{ "me/app", "docker.io", "me/app", "latest", "", "docker.io/me/app:latest" },
		{ "localhost/app", "localhost", "app", "latest", "", "localhost/app:latest" },
		{ "localhost:5000/a/b:t_1", "localhost:5000", "a/b", "t_1", "",
		    "localhost:5000/a/b:t_1" },
		{ "[::1]:80/a", "[::1]:80", "a", "latest", "", "[::1]:80/a:latest" },
		{ "r.example/a@sha256:" HEX64, "r.example", "a", "", HEX64,
		    "r.example/a@sha256:" HEX64 },
		{ "r.example/a:v@sha256:" HEX64, "r.example", "a", "v", HEX64,
		    "r.example/a:v@sha256:" HEX64 },
		{ "a.b-c__d/e", "a.b-c__d", "e", "", "", NULL }, /* no host has "_" */
		{ "x/a--b.c_d__e", "docker.io", "x/a--b.c_d__e", "latest", "",
		    "docker.io/x/a--b.c_d__e:latest" },
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct image_ref r;
		struct err e = { 0 };
		char whole[600];
		int k = image_ref_parse(&r, cases[i].text, &e);
		if (!cases[i].whole) {
			assert_int_equal(k, -EINVAL);
			continue;
		}
		assert_ok(k, e);
		assert_int_equal(r.kind, IMAGE_REF_REGISTRY);
		assert_string_equal(r.registry, cases[i].registry);
		assert_string_equal(r.repository, cases[i].repository);
		assert_string_equal(r.tag, cases[i].tag);
		assert_string_equal(r.digest, cases[i].digest);
		assert_int_equal(image_ref_format(whole, sizeof(whole), &r), 0);
		assert_string_equal(whole, cases[i].whole);
		assert_int_equal(image_ref_format(whole, 5, &r), -EMSGSIZE);
	}
}

static void an_uploaded_image_is_its_digest(void **s)
{
	struct image_ref r;
	struct err e;
	assert_ok(image_ref_parse(&r, "sha256:" HEX64, &e), e);
	assert_int_equal(r.kind, IMAGE_REF_UPLOADED);
	assert_string_equal(r.digest, HEX64);
}

static void nonsense_is_refused(void **s)
{
	static const char *const bad[] = { "", "/", "a/", "/a", "a//b", "A", "a:", "a:-x", "a@",
		"a@sha256:", "a@sha256:12", "a@md5:" HEX64, "a b", "a\n", "a_", "_a", "a___b",
		"a..b", "-a", "../a", "a/../b", "host.x:0/a", "host.x:99999/a", "host.x:/a",
		"http://a/b", "[::1/a", "[]/a", "sha256:" HEX64 "0", ".x/a" };
	for (size_t i = 0; i < countof(bad); i++) {
		struct image_ref r;
		struct err e = { 0 };
		if (image_ref_parse(&r, bad[i], &e) != -EINVAL || !e.next[0])
			fail_msg("accepted: \"%s\"", bad[i]);
	}
	char tag[200] = "a:";
	memset(tag + 2, 'x', 129);
	struct image_ref r;
	struct err e;
	assert_int_equal(image_ref_parse(&r, tag, &e), -EINVAL);
	tag[2 + 128] = 0;
	assert_ok(image_ref_parse(&r, tag, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_are_taken_apart),
		cmocka_unit_test(an_uploaded_image_is_its_digest),
		cmocka_unit_test(nonsense_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
