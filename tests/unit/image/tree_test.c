#include "../unit.h"
#include "base/str.h"
#include "image/tree.h"

static struct tree *fresh(void)
{
	struct tree *t;
	struct err e;
	assert_ok(tree_new(&t, &e), e);
	return t;
}

static int apply(
    struct tree *t, enum tree_type type, const char *path, const char *link, struct err *e)
{
	const struct tree_entry entry = {
		.type = type, .path = path, .link = link, .mode = 0644, .size = 1
	};
	*e = (struct err){ 0 };
	return tree_apply(t, &entry, e);
}

#define put(t, type, path, link)                                                                   \
	do {                                                                                       \
		struct err e_;                                                                     \
		assert_ok(apply(t, type, path, link, &e_), e_);                                    \
	} while (0)

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names, sorted, with a mark of their kind: "a/ a/b c@". */
static void expect(struct tree *t, const char *wanted)
{
	char *list[64], all[4096] = "", path[TREE_PATH_MAX + 3];
	size_t n = 0;
	for (struct tree_node *x = tree_next(tree_root(t)); x; x = tree_next(x)) {
		tree_path(path, x);
		char mark[] = { 0, 0 };
		mark[0] = x->inode->type == TREE_DIR       ? '/'
			  : x->inode->type == TREE_SYMLINK ? '@'
							   : 0;
		assert_true(n < countof(list) && asprintf(&list[n++], "%s%s", path + 2, mark) > 0);
	}
	qsort(list, n, sizeof(list[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		strcat(strcat(all, i ? " " : ""), list[i]);
		free(list[i]);
	}
	assert_string_equal(all, wanted);
	assert_int_equal(tree_count(t), n + 1);
}

static void names_are_put_in_their_folders(void **s)
{
	struct tree *t = fresh();
	put(t, TREE_FILE, "a/b/c", NULL);
	put(t, TREE_DIR, "./d/", NULL);
	put(t, TREE_SYMLINK, "/e", "a");
	put(t, TREE_FILE, "a/b//./x", NULL);
	put(t, TREE_DIR, ".", NULL);
	expect(t, "a/ a/b/ a/b/c a/b/x d/ e@");
	tree_free(t);
}

static void whiteouts_take_only_lower_layers(void **s)
{
	struct tree *t = fresh();
	put(t, TREE_FILE, "d/old", NULL);
	put(t, TREE_FILE, "d/e/f", NULL);
	put(t, TREE_FILE, "gone/x/y/z", NULL);
	put(t, TREE_FILE, "keep", NULL);
	tree_begin_layer(t, 1);
	put(t, TREE_FILE, "d/new", NULL);
	put(t, TREE_FILE, "d/e/new", NULL);
	put(t, TREE_FILE, "d/.wh..wh..opq", NULL);
	put(t, TREE_FILE, ".wh.gone", NULL);
	put(t, TREE_FILE, ".wh.never-was", NULL);
	put(t, TREE_FILE, "no/such/.wh.folder", NULL);
	put(t, TREE_FILE, ".wh..wh.plnk", NULL);
	expect(t, "d/ d/e/ d/e/new d/new keep");
	tree_begin_layer(t, 2);
	put(t, TREE_FILE, ".wh..wh..opq", NULL);
	expect(t, "");
	tree_free(t);
}

static void kinds_replace_each_other(void **s)
{
	struct tree *t = fresh();
	put(t, TREE_FILE, "a/b", NULL);
	put(t, TREE_FILE, "f", NULL);
	put(t, TREE_SYMLINK, "l", "a");
	tree_begin_layer(t, 1);
	put(t, TREE_FILE, "a", NULL);
	put(t, TREE_DIR, "f", NULL);
	put(t, TREE_FILE, "f/x", NULL);
	put(t, TREE_DIR, "l", NULL);
	expect(t, "a f/ f/x l/");
	tree_free(t);
}

static void links_stay_inside(void **s)
{
	struct tree *t = fresh();
	put(t, TREE_SYMLINK, "up", "../../../..");
	put(t, TREE_FILE, "up/a", NULL);
	put(t, TREE_SYMLINK, "abs", "/b/../c");
	put(t, TREE_FILE, "abs/d", NULL);
	put(t, TREE_SYMLINK, "c/rel", "../e/./");
	put(t, TREE_FILE, "c/rel/f", NULL);
	put(t, TREE_FILE, "c/rel", NULL); /* the last part of a path is never followed */
	expect(t, "a abs@ b/ c/ c/d c/rel e/ e/f up@");
	tree_free(t);
}

static void hard_links_share_what_they_name(void **s)
{
	struct tree *t = fresh();
	put(t, TREE_FILE, "a", NULL);
	put(t, TREE_HARDLINK, "b", "./a");
	put(t, TREE_HARDLINK, "a", "a");
	put(t, TREE_SYMLINK, "d", "/");
	put(t, TREE_HARDLINK, "c", "d/b");
	struct tree_node *x = tree_root(t)->child, *first = NULL;
	size_t same = 0;
	for (; x; x = x->next)
		if (x->inode->type == TREE_FILE) {
			first = first ? first : x;
			same += x->inode == first->inode;
		}
	assert_int_equal(same, 3);
	assert_true(first && first->inode->names == 3);
	put(t, TREE_FILE, ".wh.a", NULL); /* of this very layer: stays */
	tree_begin_layer(t, 1);
	put(t, TREE_FILE, ".wh.a", NULL);
	expect(t, "b c d@");
	tree_free(t);
}

static void attacks_are_refused(void **s)
{
	static const struct {
		enum tree_type type;
		const char *path, *link, *says;
	} cases[] = {
		{ TREE_FILE, "../a", NULL, ".." },
		{ TREE_FILE, "a/..", NULL, ".." },
		{ TREE_FILE, "d/../../a", NULL, ".." },
		{ TREE_HARDLINK, "x", "../etc/shadow", ".." },
		{ TREE_HARDLINK, "x", "/etc/shadow", "hard link" },
		{ TREE_HARDLINK, "x", "d", "hard link" },
		{ TREE_HARDLINK, "x", "", "hard link" },
		{ TREE_FILE, "", NULL, "root" },
		{ TREE_SYMLINK, "/", "x", "root" },
		{ TREE_FILE, "f/x", NULL, "folder" },
		{ TREE_FILE, "loop/x", NULL, "symbolic links" },
		{ TREE_SYMLINK, "s", "", "symbolic link" },
		{ TREE_FILE, "d/.wh.", NULL, "whiteout" },
		{ TREE_FILE, "d/.wh..", NULL, "whiteout" },
		{ TREE_FILE, "d/.wh...", NULL, "whiteout" },
	};
	for (size_t i = 0; i < countof(cases); i++) {
		struct tree *t = fresh();
		struct err e;
		put(t, TREE_FILE, "f", NULL);
		put(t, TREE_FILE, "d/x", NULL);
		put(t, TREE_SYMLINK, "loop", "pool");
		put(t, TREE_SYMLINK, "pool", "loop");
		tree_begin_layer(t, 1);
		int r = apply(t, cases[i].type, cases[i].path, cases[i].link, &e);
		if (r != -EINVAL || e.code != ERR_IMAGE || !strstr(e.text, cases[i].says))
			fail_msg("%s -> %s: %d \"%s\"", cases[i].path,
			    cases[i].link ? cases[i].link : "", r, e.text);
		tree_free(t);
	}
}

static void lengths_are_bounded(void **s)
{
	struct tree *t = fresh();
	struct err e;
	char name[TREE_NAME_MAX + 2], deep[2 * TREE_DEPTH_MAX + 8], path[TREE_PATH_MAX + 8];
	memset(name, 'n', sizeof(name));
	name[TREE_NAME_MAX + 1] = 0;
	assert_int_equal(apply(t, TREE_FILE, name, NULL, &e), -EINVAL);
	name[TREE_NAME_MAX] = 0;
	put(t, TREE_FILE, name, NULL);
	for (size_t i = 0; i < TREE_DEPTH_MAX + 1; i++)
		memcpy(deep + 2 * i, "d/", 3);
	assert_int_equal(apply(t, TREE_DIR, deep, NULL, &e), -EINVAL);
	deep[2 * TREE_DEPTH_MAX] = 0;
	put(t, TREE_DIR, deep, NULL);
	memset(path, 'p', sizeof(path));
	for (size_t i = 100; i < TREE_PATH_MAX; i += 100)
		path[i] = '/';
	path[TREE_PATH_MAX + 1] = 0;
	assert_int_equal(apply(t, TREE_FILE, path, NULL, &e), -EINVAL);
	path[TREE_PATH_MAX - 1] = 0;
	put(t, TREE_FILE, path, NULL);
	tree_free(t);
}

static void many_names_in_one_folder(void **s)
{
	enum { N = 100000 };
	struct tree *t = fresh();
	char path[32];
	for (unsigned i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "d/%u", i);
		put(t, TREE_FILE, path, NULL);
	}
	assert_int_equal(tree_count(t), N + 2);
	tree_begin_layer(t, 1);
	for (unsigned i = 0; i < N; i += 2) {
		snprintf(path, sizeof(path), "d/.wh.%u", i);
		put(t, TREE_FILE, path, NULL);
	}
	assert_int_equal(tree_count(t), N / 2 + 2);
	tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_put_in_their_folders),
		cmocka_unit_test(whiteouts_take_only_lower_layers),
		cmocka_unit_test(kinds_replace_each_other),
		cmocka_unit_test(links_stay_inside),
		cmocka_unit_test(hard_links_share_what_they_name),
		cmocka_unit_test(attacks_are_refused),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(many_names_in_one_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
