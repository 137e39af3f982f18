#include "../unit.h"
#include "api/inside.h"
#include "api/machine_show.h"
#include "base/str.h"

static struct machine_ref ref(
    const char *want, const char *instance, const char *state, const char *of_run)
{
	struct machine_ref m = { .desired = json_pack(
				     "{s:s,s:s}", "want", want, "instance_id", instance) };
	if (state)
		m.observed = json_pack("{s:s,s:s}", "state", state, "instance_id", of_run);
	return m;
}

static void drop(struct machine_ref *m)
{
	json_decref(m->desired);
	json_decref(m->observed);
}

static void shows_a_state_that_does_not_mislead(void **state)
{
	static const struct {
		const char *want, *instance, *state, *of_run, *shown;
	} rows[] = {
		{ "started", "B", NULL, "", "created" },
		{ "started", "B", "starting", "B", "starting" },
		{ "started", "B", "started", "B", "started" },
		{ "started", "B", "started", "A", "updating" },
		{ "started", "B", "stopped", "A", "stopped" },
		{ "stopped", "B", "started", "A", "started" },
		{ "destroyed", "B", "started", "B", "destroying" },
		{ "destroyed", "B", "destroyed", "B", "destroyed" },
		{ "destroyed", "B", NULL, "", "destroying" },
	};
	for (size_t i = 0; i < countof(rows); i++) {
		struct machine_ref m =
		    ref(rows[i].want, rows[i].instance, rows[i].state, rows[i].of_run);
		assert_string_equal(machine_shown_state(&m), rows[i].shown);
		drop(&m);
	}
	/* The new version could not be made ready: the old one goes on. */
	struct machine_ref m = ref("started", "B", "started", "A");
	json_object_set_new(m.observed, "failed_instance", json_string("B"));
	assert_string_equal(machine_shown_state(&m), "started");
	drop(&m);
}

static void waits_for_the_version_asked_for(void **state)
{
	struct machine_ref old = ref("started", "B", "started", "A"),
			   now = ref("started", "B", "started", "B"),
			   stopped = ref("stopped", "B", "stopped", "A");
	assert_false(machine_is_at(&old, "started", ""));
	assert_false(machine_is_at(&old, "started", "B"));
	assert_true(machine_is_at(&now, "started", ""));
	assert_true(machine_is_at(&now, "started", "B"));
	assert_false(machine_is_at(&now, "started", "A"));
	assert_true(machine_is_at(&now, "settled", "B"));
	assert_false(machine_is_at(&old, "settled", ""));
	assert_true(machine_is_at(&stopped, "stopped", "B")); /* updated while it was down */
	assert_true(machine_is_at(&stopped, "stopped", "A"));
	assert_false(machine_is_at(&stopped, "stopped", "C"));
	drop(&old);
	drop(&now);
	drop(&stopped);
}

static void takes_image_references_apart(void **state)
{
	static const struct {
		const char *image, *digest, *registry, *repository, *tag, *pinned;
	} rows[] = {
		{ "nginx", "", "docker.io", "nginx", "latest", "" },
		{ "library/nginx:1.2", "", "docker.io", "library/nginx", "1.2", "" },
		{ "localhost/a/b:c", "ab", "localhost", "a/b", "c", "sha256:ab" },
		{ "docker://r.example.org:5000/a/b@sha256:cd", "", "r.example.org:5000", "a/b", "",
		    "sha256:cd" },
		{ "r.example.org/a:t@sha256:cd", "sha256:cd", "r.example.org", "a", "t",
		    "sha256:cd" },
		{ "sha256:ef", "", "", "", "", "sha256:ef" },
	};
	for (size_t i = 0; i < countof(rows); i++) {
		json_t *r = image_ref_show(rows[i].image, rows[i].digest);
		assert_string_equal(state_text(r, "registry"), rows[i].registry);
		assert_string_equal(state_text(r, "repository"), rows[i].repository);
		assert_string_equal(state_text(r, "tag"), rows[i].tag);
		assert_string_equal(state_text(r, "digest"), rows[i].pinned);
		json_decref(r);
	}
}

static void splits_a_command_line(void **state)
{
	static const struct {
		const char *line, *words;
	} rows[] = {
		{ "ls -l", "[\"ls\",\"-l\"]" },
		{ "  sh -c 'echo \"a  b\"' ", "[\"sh\",\"-c\",\"echo \\\"a  b\\\"\"]" },
		{ "a\\ b \"c\\\"d\" ''", "[\"a b\",\"c\\\"d\",\"\"]" },
		{ "echo $HOME `id` ; rm", "[\"echo\",\"$HOME\",\"`id`\",\";\",\"rm\"]" },
		{ "", NULL },
		{ "   ", NULL },
		{ "a 'b", NULL },
	};
	for (size_t i = 0; i < countof(rows); i++) {
		json_t *w = inside_split(rows[i].line);
		char *text = w ? json_format(w) : NULL;
		if (!rows[i].words)
			assert_null(w);
		else
			assert_string_equal(text, rows[i].words);
		free(text);
		json_decref(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_a_state_that_does_not_mislead),
		cmocka_unit_test(waits_for_the_version_asked_for),
		cmocka_unit_test(takes_image_references_apart),
		cmocka_unit_test(splits_a_command_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
