/* Layers made here, merged, and the stream read back. */
#include "../unit.h"
#include "base/str.h"
#include "image/merge.h"
#include "image/sha256.h"
#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>

enum { BIG = 3000000 };

struct made {
	int fd;
	char diff_id[65];
};

static struct archive *begin(struct made *m, int filter)
{
	struct archive *a = archive_write_new();
	m->fd = memfd_create("layer", 0);
	assert_true(m->fd >= 0);
	assert_int_equal(archive_write_set_format_pax_restricted(a), ARCHIVE_OK);
	if (filter)
		assert_int_equal(archive_write_add_filter(a, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_open_fd(a, m->fd), ARCHIVE_OK);
	return a;
}

static void put(struct archive *a, const char *path, mode_t type, const char *link, bool hard,
    size_t size, char fill)
{
	static char data[BIG];
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_pathname(e, path);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, 0640);
	archive_entry_set_uid(e, 5);
	archive_entry_set_mtime(e, 1000, 0);
	archive_entry_set_size(e, (la_int64_t)size);
	if (link && hard)
		archive_entry_set_hardlink(e, link);
	else if (link)
		archive_entry_set_symlink(e, link);
	if (type == AE_IFREG && !link)
		archive_entry_xattr_add_entry(e, "user.k", "v\0w", 3);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	memset(data, fill, size);
	if (size)
		assert_int_equal(archive_write_data(a, data, size), size);
	archive_entry_free(e);
}

static void file(struct archive *a, const char *path, size_t size, char fill)
{
	put(a, path, AE_IFREG, NULL, false, size, fill);
}

/* The digest of what the layer is without its compression. */
static void end(struct made *m, struct archive *a)
{
	static char plain[BIG + 100000];
	struct err e;
	struct sha256 *h;
	struct archive *in = archive_read_new();
	struct archive_entry *raw;
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	archive_read_support_filter_all(in);
	archive_read_support_format_raw(in);
	assert_true(lseek(m->fd, 0, SEEK_SET) == 0);
	assert_int_equal(archive_read_open_fd(in, m->fd, 65536), ARCHIVE_OK);
	assert_int_equal(archive_read_next_header(in, &raw), ARCHIVE_OK);
	la_ssize_t n = archive_read_data(in, plain, sizeof(plain));
	assert_true(n > 0);
	assert_ok(sha256_new(&h, &e), e);
	assert_ok(sha256_add(h, plain, (size_t)n, &e), e);
	assert_ok(sha256_hex(h, m->diff_id, &e), e);
	sha256_free(h);
	archive_read_free(in);
}

static int merge(struct made *made, size_t n, struct merge *ret, struct err *e)
{
	struct layer_source src[4];
	for (size_t i = 0; i < n; i++)
		src[i] = (struct layer_source){ made[i].fd, made[i].diff_id, (unsigned)i + 1 };
	*ret = (struct merge){ .layer = src, .layers = n, .out = memfd_create("out", 0) };
	*e = (struct err){ 0 };
	assert_ok(layer_prepare(e), *e);
	int r = merge_layers(ret, e);
	for (size_t i = 0; i < n; i++)
		close(made[i].fd);
	return r;
}

/* "path kind size first-byte" of each entry, in order. */
static void expect(int fd, const char *const *wanted)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	archive_read_support_format_tar(a);
	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	assert_int_equal(archive_read_open_fd(a, fd, 65536), ARCHIVE_OK);
	size_t i = 0;
	for (int k; (k = archive_read_next_header(a, &e)) != ARCHIVE_EOF; i++) {
		char line[300], first = '-';
		assert_int_equal(k, ARCHIVE_OK);
		if (archive_entry_size(e))
			assert_int_equal(archive_read_data(a, &first, 1), 1);
		const char *hard = archive_entry_hardlink(e), *soft = archive_entry_symlink(e);
		snprintf(line, sizeof(line), "%s %s%s%lld %c", archive_entry_pathname(e),
		    hard   ? "="
		    : soft ? "->"
			   : "",
		    hard   ? hard
		    : soft ? soft
			   : "",
		    (long long)archive_entry_size(e), first);
		if (!wanted[i])
			fail_msg("one more than expected: %s", line);
		assert_string_equal(line, wanted[i]);
		if (archive_entry_filetype(e) == AE_IFREG && !hard) {
			const char *name;
			const void *value;
			size_t size;
			assert_int_equal(archive_entry_xattr_count(e), 1);
			archive_entry_xattr_reset(e);
			archive_entry_xattr_next(e, &name, &value, &size);
			assert_string_equal(name, "user.k");
			assert_int_equal(size, 3);
			assert_memory_equal(value, "v\0w", 3);
			assert_int_equal(archive_entry_uid(e), 5);
		}
	}
	assert_null(wanted[i]);
	archive_read_free(a);
	close(fd);
}

static void contents_come_from_the_layer_that_is_seen(void **s)
{
	struct made m[3];
	struct merge out;
	struct err e;
	struct archive *a = begin(&m[0], 0);
	file(a, "a", 10, 'l');
	file(a, "b", BIG, 'b');
	file(a, "gone", 10, 'g');
	put(a, "h", AE_IFREG, "a", true, 0, 0);
	end(&m[0], a);
	a = begin(&m[1], ARCHIVE_FILTER_GZIP);
	file(a, "a", 5, 'u');
	file(a, ".wh.gone", 0, 0);
	put(a, "dev/null", AE_IFCHR, NULL, false, 0, 0);
	end(&m[1], a);
	a = begin(&m[2], ARCHIVE_FILTER_ZSTD);
	put(a, "s", AE_IFLNK, "a", false, 0, 0);
	file(a, "twice", 3, '1');
	file(a, "twice", 4, '2');
	file(a, "b", 0, 0);
	end(&m[2], a);
	assert_ok(merge(m, 3, &out, &e), e);
	assert_int_equal(out.devices, 1);
	static const char *const wanted[] = { "./ 0 -", "./s ->a0 -", "./h 10 l", "./a 5 u",
		"./twice 4 2", "./b 0 -", NULL };
	expect(out.out, wanted);
}

static void hard_links_follow_what_they_name(void **s)
{
	struct made m[1];
	struct merge out;
	struct err e;
	struct archive *a = begin(&m[0], 0);
	file(a, "z", 7, 'z');
	put(a, "y", AE_IFREG, "z", true, 0, 0);
	end(&m[0], a);
	assert_ok(merge(m, 1, &out, &e), e);
	static const char *const wanted[] = { "./ 0 -", "./y 7 z", "./z =./y0 -", NULL };
	expect(out.out, wanted);
}

static void what_is_not_as_said_is_refused(void **s)
{
	struct made m[2];
	struct merge out;
	struct err e;
	struct archive *a = begin(&m[0], ARCHIVE_FILTER_GZIP);
	file(a, "a", 1000, 'a');
	end(&m[0], a);
	m[0].diff_id[0] ^= 1;
	assert_int_equal(merge(m, 1, &out, &e), -EINVAL);
	assert_non_null(strstr(e.text, "layer 1 is not the one"));
	close(out.out);

	a = begin(&m[0], ARCHIVE_FILTER_GZIP);
	file(a, "a", 100000, 'a');
	end(&m[0], a);
	off_t size = lseek(m[0].fd, 0, SEEK_END);
	assert_int_equal(ftruncate(m[0].fd, size - 20), 0);
	assert_int_equal(merge(m, 1, &out, &e), -EINVAL);
	assert_int_equal(e.code, ERR_IMAGE);
	close(out.out);

	a = begin(&m[0], 0);
	put(a, "null", AE_IFCHR, NULL, false, 0, 0);
	end(&m[0], a);
	assert_int_equal(merge(m, 1, &out, &e), -EINVAL);
	assert_non_null(strstr(e.text, "device node"));
	close(out.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contents_come_from_the_layer_that_is_seen),
		cmocka_unit_test(hard_links_follow_what_they_name),
		cmocka_unit_test(what_is_not_as_said_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
