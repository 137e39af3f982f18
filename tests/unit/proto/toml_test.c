/* Documents after the sections of toml.io/en/v1.0.0, each with the tree it means, or the line and
 * word of its refusal. */
#include "../unit.h"
#include "base/str.h"
#include "proto/toml.h"

struct valid {
	const char *text, *json; /* json: compact, keys sorted */
};

static const struct valid valid[] = {
	{ "", "{}" },
	{ "# only a comment", "{}" },
	{ "\xef\xbb\xbf"
	  "a = 1",
	    "{\"a\":1}" },
	{ "a=1\r\nb = 2 # x\r\n", "{\"a\":1,\"b\":2}" },
	{ "bare-key_1 = 1\n1234 = 2\n\"a b\" = 3\n'c\"d' = 4\n\"\" = 5",
	    "{\"\":5,\"1234\":2,\"a b\":3,\"bare-key_1\":1,\"c\\\"d\":4}" },
	{ "a.b.c = 1\na . \"b\" . d = 2\n3.14 = 'pi'",
	    "{\"3\":{\"14\":\"pi\"},\"a\":{\"b\":{\"c\":1,\"d\":2}}}" },
	/* strings */
	{ "s = \"\\b\\t\\n\\f\\r\\\"\\\\ \\u00e9 \\U0001F600\"",
	    "{\"s\":\"\\b\\t\\n\\f\\r\\\"\\\\ \xc3\xa9 \xf0\x9f\x98\x80\"}" },
	{ "s = 'C:\\n\\x'", "{\"s\":\"C:\\\\n\\\\x\"}" },
	{ "s = \"\"\"\nRoses\r\nViolets\"\"\"", "{\"s\":\"Roses\\nViolets\"}" },
	{ "s = \"\"\"a \\\n\n   b \\ \t\n c\"\"\"", "{\"s\":\"a b c\"}" },
	{ "s = \"\"\"\"two \"\"quotes\"\" at the end\"\"\"\"\"",
	    "{\"s\":\"\\\"two \\\"\\\"quotes\\\"\\\" at the end\\\"\\\"\"}" },
	{ "s = '''\n'no' \\ escapes\n'''", "{\"s\":\"'no' \\\\ escapes\\n\"}" },
	{ "a = \"\"\nb = ''\nc = \"\"\"\"\"\"\nd = ''''''",
	    "{\"a\":\"\",\"b\":\"\",\"c\":\"\",\"d\":\"\"}" },
	{ "s = \"a\tb\"", "{\"s\":\"a\\tb\"}" },
	/* numbers */
	{ "a = [+99, 42, 0, -17, -0, +0]", "{\"a\":[99,42,0,-17,0,0]}" },
	{ "a = [1_000, 5_349_221, 1_2_3]", "{\"a\":[1000,5349221,123]}" },
	{ "a = [0xDEADBEEF, 0xdead_beef, 0o755, 0b1101]",
	    "{\"a\":[3735928559,3735928559,493,13]}" },
	{ "a = [9223372036854775807, -9223372036854775808]",
	    "{\"a\":[9223372036854775807,-9223372036854775808]}" },
	{ "a = [1.0, 3.1415, -0.01, 5e+22, 1e06, -2E-2, 6.626e-34, 9_224.5]",
	    "{\"a\":[1.0,3.1415,-0.01,5e22,1000000.0,-0.02,6.626e-34,9224.5]}" },
	{ "a = [true, false]", "{\"a\":[true,false]}" },
	/* arrays and inline tables */
	{ "a = [ [1, 2], ['x', \"\"\"y\"\"\"], 0.5, {k = 1} ]",
	    "{\"a\":[[1,2],[\"x\",\"y\"],0.5,{\"k\":1}]}" },
	{ "a = [ # one\n 1,\n\n 2, # two\n]\nb = []", "{\"a\":[1,2],\"b\":[]}" },
	{ "p = { x = 1, y.z = 2, q = {} }", "{\"p\":{\"q\":{},\"x\":1,\"y\":{\"z\":2}}}" },
	/* tables */
	{ "[a]\nx=1\n[b]\n[a.c]\ny=2", "{\"a\":{\"c\":{\"y\":2},\"x\":1},\"b\":{}}" },
	{ "[x.y.z]\n[x]\nk=1", "{\"x\":{\"k\":1,\"y\":{\"z\":{}}}}" },
	{ "[ j . \"k\" . 'l' ]", "{\"j\":{\"k\":{\"l\":{}}}}" },
	{ "[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple.texture]\nsmooth = "
	  "true",
	    "{\"fruit\":{\"apple\":{\"color\":1,\"taste\":{\"sweet\":true},\"texture\":{\"smooth\":"
	    "true}}}}" },
	{ "[[p]]\nn = 1\n[[p]]\n[[p]]\nn = 2", "{\"p\":[{\"n\":1},{},{\"n\":2}]}" },
	{ "[[f]]\n[f.x]\na=1\n[[f.v]]\nb=1\n[[f.v]]\n[[f]]\n[[f.v]]\nc=2",
	    "{\"f\":[{\"v\":[{\"b\":1},{}],\"x\":{\"a\":1}},{\"v\":[{\"c\":2}]}]}" },
};

static void valid_documents(void **s)
{
	for (size_t i = 0; i < countof(valid); i++) {
		cleanup_toml struct toml t = { 0 };
		struct err e = { 0 };
		int r = toml_parse(valid[i].text, strlen(valid[i].text), &t, &e);
		if (r < 0)
			fail_msg("refused: %s\n%s", e.text, valid[i].text);
		cleanup_free char *seen = json_format(t.root);
		cleanup_json json_t *want = NULL;
		assert_ok(json_parse(valid[i].json, strlen(valid[i].json), &want, &e), e);
		if (!json_equal(want, t.root))
			fail_msg("document:\n%s\nexpected %s\nseen     %s", valid[i].text,
			    valid[i].json, seen);
	}
}

struct invalid {
	const char *text;
	unsigned line;
	const char *says; /* part of the sentence */
};

static const struct invalid invalid[] = {
	{ "a", 1, "`=`" },
	{ "a =", 1, "ends where a value" },
	{ "a = \n", 1, "a value is expected" },
	{ "= 1", 1, "a key is expected" },
	{ "a = 1 b = 2", 1, "unexpected text" },
	{ "a = 1\rb = 2", 1, "unexpected text" },
	{ "a = 1\n\na = 2", 3, "a is defined twice (first in line 1)" },
	{ "\na.b = 1\na.b.c = 2", 3, "a.b was defined in line 2" },
	{ "a.b = 1\na = 2", 2, "twice" },
	{ "a..b = 1", 1, "a key is expected" },
	{ "a. = 1", 1, "a key is expected" },
	{ "\"\"\"k\"\"\" = 1", 1, "multi-line" },
	{ "k\xc3\xa9y = 1", 1, "`=`" },
	{ "a = b", 1, "strings need quotes" },
	{ "a = True", 1, "strings need quotes" },
	/* strings */
	{ "s = \"a\nb\"", 1, "closing quote" },
	{ "s = \"a", 1, "closing quote" },
	{ "s = 'a'b'", 1, "unexpected text" },
	{ "s = \"\\x41\"", 1, "`\\x`" },
	{ "s = \"\\e\"", 1, "`\\e`" },
	{ "s = \"\\ \"", 1, "escape" },
	{ "s = \"\\u12g4\"", 1, "hexadecimal" },
	{ "s = \"\\ud800\"", 1, "not a Unicode" },
	{ "s = \"\\U00110000\"", 1, "not a Unicode" },
	{ "s = \"\\u0000\"", 1, "NUL" },
	{ "s = \"a\x01\"", 1, "control" },
	{ "s = \"a\x7f\"", 1, "control" },
	{ "s = \"\"\"a\n\nb", 3, "begins in line 1" },
	{ "s = \"\"\"a\"\"\"\"\"\"", 1, "unexpected text" },
	{ "s = '''a\rb'''", 1, "control" },
	{ "# a\x01\n", 1, "comment" },
	{ "# a\rb\n", 1, "comment" },
	/* numbers */
	{ "a = 01", 1, "must not begin with 0" },
	{ "a = -01.5", 1, "must not begin with 0" },
	{ "a = 1__0", 1, "not a value" },
	{ "a = _1", 1, "not a value" },
	{ "a = 1_", 1, "not a value" },
	{ "a = +0x1", 1, "not a value" },
	{ "a = 0X1", 1, "not a value" },
	{ "a = 0b12", 1, "not a value" },
	{ "a = 0x", 1, "not a value" },
	{ "a = 9223372036854775808", 1, "64 bits" },
	{ "a = 0xFFFFFFFFFFFFFFFFF", 1, "64 bits" },
	{ "a = .5", 1, "not a value" },
	{ "a = 5.", 1, "not a value" },
	{ "a = 1.e5", 1, "not a value" },
	{ "a = 1e", 1, "not a value" },
	{ "a = 1e5.5", 1, "not a value" },
	{ "a = 1e999", 1, "out of range" },
	{ "a = --1", 1, "not a value" },
	/* arrays and inline tables */
	{ "a = [1 2]", 1, "in this array" },
	{ "a = [,1]", 1, "a value is expected" },
	{ "a = [1,,2]", 1, "a value is expected" },
	{ "a = [1,\n2", 2, "in this array" },
	{ "a = {b = 1,}", 1, "a key is expected" },
	{ "a = {b = 1\n}", 1, "inline table" },
	{ "a = {b = 1, b = 2}", 1, "twice" },
	{ "a = {b = 1}\na.c = 2", 2, "cannot be extended" },
	{ "a = {b = 1}\n[a.c]", 2, "cannot be extended" },
	{ "a = {b.c = 1, b = 2}", 1, "twice" },
	{ "a = {b = {c = 1}, b.d = 2}", 1, "cannot be extended" },
	{ "a = [{b = 1}]\n[[a]]", 2, "not an array of tables" },
	{ "a = [{b = 1}]\n[a.c]", 2, "cannot be extended" },
	/* tables */
	{ "[a]\n[a]", 2, "twice (first in line 1)" },
	{ "[a\n", 1, "closing `]`" },
	{ "[[a]\n", 1, "closing `]]`" },
	{ "[[a] ]\n", 1, "closing `]]`" },
	{ "[]", 1, "a key is expected" },
	{ "[a] x = 1", 1, "unexpected text" },
	{ "[a]\nb = 1\n[a.b]", 3, "twice" },
	{ "[a]\nb = 1\n[a.b.c]", 3, "cannot be extended" },
	{ "[a.b.c]\nz = 9\n[a]\nb.c.t = 1", 4, "cannot be extended" },
	{ "[a]\nb.c = 1\n[a.b]", 3, "twice" },
	{ "[[a.b]]\n[a]\nb.y = 2", 3, "cannot be extended" },
	{ "[a]\n[[a]]", 2, "not an array of tables" },
	{ "[[a]]\n[a]", 2, "twice" },
	{ "a = 1\n[[a]]", 2, "not an array of tables" },
	{ "[a.b]\n[[a]]", 2, "not an array of tables" },
	/* UTF-8 */
	{ "a = \"\xff\"", 1, "UTF-8" },
	{ "\na = \"\xc0\xaf\"", 2, "UTF-8" },
	{ "# \xed\xa0\x80", 1, "UTF-8" },
	{ "# \xf4\x90\x80\x80", 1, "UTF-8" },
	{ "# \xe2\x82", 1, "UTF-8" },
	/* allowed by the specification, refused here */
	{ "a = 1979-05-27T07:32:00Z", 1, "dates and times" },
	{ "a = 1979-05-27", 1, "dates and times" },
	{ "a = 07:32:00", 1, "dates and times" },
	{ "a = -inf", 1, "inf and nan" },
	{ "a = nan", 1, "inf and nan" },
};

static void invalid_documents(void **s)
{
	for (size_t i = 0; i < countof(invalid); i++) {
		cleanup_toml struct toml t = { 0 };
		struct err e = { 0 };
		char line[32];
		snprintf(line, sizeof(line), "line %u: ", invalid[i].line);
		if (toml_parse(invalid[i].text, strlen(invalid[i].text), &t, &e) == 0)
			fail_msg("accepted:\n%s", invalid[i].text);
		if (!str_starts(e.text, line) || !strstr(e.text, invalid[i].says))
			fail_msg("document:\n%s\nexpected `%s… %s`\nseen     `%s`", invalid[i].text,
			    line, invalid[i].says, e.text);
		assert_null(t.root);
	}
}

static void a_nul_byte_is_refused_everywhere(void **s)
{
	static const char doc[] = "a = 1 # x\n[t]\nb = \"y\"\n";
	for (size_t i = 0; i < sizeof(doc) - 1; i++) {
		char copy[sizeof(doc)];
		memcpy(copy, doc, sizeof(doc));
		copy[i] = 0;
		cleanup_toml struct toml t = { 0 };
		struct err e;
		assert_true(toml_parse(copy, sizeof(doc) - 1, &t, &e) < 0);
	}
}

static void lines_are_known(void **s)
{
	static const char doc[] = "app = 'x'\n\n[env]\n\"A B\" = '1'\n[[services]]\nports = [\n "
				  "{port = 1},\n {port = 2} ]\n"
				  "[[services]]\nhttp.path = \"\"\"\n/\n\"\"\"\nlast = 1\n";
	cleanup_toml struct toml t = { 0 };
	struct err e;
	assert_ok(toml_parse(doc, sizeof(doc) - 1, &t, &e), e);
	assert_int_equal(toml_line(&t, "app"), 1);
	assert_int_equal(toml_line(&t, "env"), 3);
	assert_int_equal(toml_line(&t, "env.\"A B\""), 4);
	assert_int_equal(toml_line(&t, "services[0].ports[1]"), 8);
	assert_int_equal(toml_line(&t, "services[0].ports[1].port"), 8);
	assert_int_equal(toml_line(&t, "services[1].http.path"), 10);
	assert_int_equal(toml_line(&t, "services[1].last"), 13);
	assert_int_equal(toml_line(&t, "absent"), 0);
}

static int refused(const char *text, size_t len, struct err *e)
{
	cleanup_toml struct toml t = { 0 };
	return toml_parse(text, len, &t, e);
}

static void bounds_hold(void **s)
{
	struct err e;
	cleanup_buf struct buf b;
	buf_init(&b, 2 << 20);
	assert_int_equal(buf_add_str(&b, "a = "), 0);
	for (int i = 0; i < 4000; i++)
		assert_int_equal(buf_add_str(&b, "["), 0);
	assert_int_equal(refused(b.data, b.len, &e), -EINVAL);
	assert_non_null(strstr(e.text, "deeper than"));

	buf_reset(&b);
	for (int i = 0; i < 4000; i++)
		assert_int_equal(buf_add_str(&b, "a."), 0);
	assert_int_equal(refused(b.data, b.len, &e), -EINVAL);

	buf_reset(&b);
	assert_int_equal(buf_add_str(&b, "a = ["), 0);
	for (int i = 0; i < TOML_VALUES_MAX; i++)
		assert_int_equal(buf_add_str(&b, "1,"), 0);
	assert_int_equal(refused(b.data, b.len, &e), -EINVAL);
	assert_non_null(strstr(e.text, "more than"));

	buf_reset(&b);
	for (int i = 0; i <= TOML_KEY_MAX; i++)
		assert_int_equal(buf_add_str(&b, "k"), 0);
	assert_int_equal(refused(b.data, b.len, &e), -EINVAL);
	assert_non_null(strstr(e.text, "longer than"));

	buf_reset(&b);
	while (b.len <= TOML_BYTES_MAX)
		assert_int_equal(
		    buf_add_str(&b, "# a line that says nothing at all, again and again\n"), 0);
	assert_int_equal(refused(b.data, b.len, &e), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_documents),
		cmocka_unit_test(invalid_documents),
		cmocka_unit_test(a_nul_byte_is_refused_everywhere),
		cmocka_unit_test(lines_are_known),
		cmocka_unit_test(bounds_hold),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
