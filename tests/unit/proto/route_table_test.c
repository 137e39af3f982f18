#include "../unit.h"
#include "base/str.h"
#include "proto/route_table.h"
#include <fcntl.h>
#include <sys/mman.h>

static struct route_backend machine(const char *id, uint16_t port)
{
	struct route_backend m = { .ipv4 = { 172, 19, 0, 2 }, .port = port };
	str_copy(m.machine, sizeof(m.machine), id);
	return m;
}

/* n apps "app<i>.example", each with two machines on the TLS side. */
static void build(unsigned n, struct buf *b)
{
	struct route_builder rb;
	struct err e;
	char id[32], host[64];
	route_builder_init(&rb);
	for (unsigned i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "app%u", i);
		snprintf(host, sizeof(host), "app%u.example", i);
		struct route_pool pool = { .unhealthy = 1, .app_port = 8080 };
		struct route_backend one = machine("m1", (uint16_t)(1 + i % 60000)),
				     two = machine("m2", 9);
		assert_ok(route_builder_app(&rb, id, id, &e), e);
		assert_ok(route_builder_host(&rb, host, &e), e);
		assert_ok(route_builder_pool(&rb, ROUTE_TLS, &pool, &e), e);
		assert_ok(route_builder_backend(&rb, &one, &e), e);
		assert_ok(route_builder_backend(&rb, &two, &e), e);
	}
	buf_init(b, ROUTE_SIZE_MAX);
	assert_ok(route_builder_finish(&rb, 7, 8, b, &e), e);
	route_builder_done(&rb);
}

static void test_finds_each(void **state)
{
	struct buf b;
	struct route_table t;
	struct err e;
	char host[64];
	build(5000, &b);
	assert_ok(route_table_open(b.data, b.len, &t, &e), e);
	assert_int_equal(t.head->serial, 7);
	for (unsigned i = 0; i < 5000; i++) {
		int n = snprintf(host, sizeof(host), "app%u.example", i);
		const struct route_app *a = route_table_find(&t, host, (size_t)n);
		assert_non_null(a);
		assert_memory_equal(a->name, host, (size_t)n - 8);
		assert_int_equal(a->pool[ROUTE_TLS].count, 2);
		assert_int_equal(a->pool[ROUTE_PLAIN].present, 0);
		assert_int_equal(t.backends[a->pool[ROUTE_TLS].first].port, 1 + i % 60000);
		assert_null(route_table_find(&t, host, (size_t)n - 1));
	}
	assert_null(route_table_find(&t, "", 0));
	buf_done(&b);
}

static void test_empty(void **state)
{
	struct buf b;
	struct route_table t;
	struct err e;
	build(0, &b);
	assert_ok(route_table_open(b.data, b.len, &t, &e), e);
	assert_null(route_table_find(&t, "x", 1));
	buf_done(&b);
}

static void test_refuses(void **state)
{
	struct route_builder rb;
	struct err e;
	struct buf b;
	struct route_pool pool = { 0 };
	struct route_backend m = machine("m", 1);
	route_builder_init(&rb);
	assert_true(route_builder_host(&rb, "a", &e) < 0);
	assert_true(route_builder_backend(&rb, &m, &e) < 0);
	assert_true(route_builder_app(&rb, "", "x", &e) < 0);
	assert_true(route_builder_app(&rb, "a", "bad name", &e) < 0);
	assert_ok(route_builder_app(&rb, "a", "a", &e), e);
	assert_true(route_builder_host(&rb, "Upper.example", &e) < 0);
	assert_true(route_builder_host(&rb, "a/b", &e) < 0);
	assert_ok(route_builder_pool(&rb, ROUTE_TLS, &pool, &e), e);
	m.port = 0;
	assert_true(route_builder_backend(&rb, &m, &e) < 0);
	m = machine("m", 1);
	m.ipv4[0] = 224;
	assert_true(route_builder_backend(&rb, &m, &e) < 0);
	assert_ok(route_builder_host(&rb, "same", &e), e);
	assert_ok(route_builder_app(&rb, "b", "b", &e), e);
	assert_ok(route_builder_host(&rb, "same", &e), e);
	buf_init(&b, ROUTE_SIZE_MAX);
	assert_int_equal(route_builder_finish(&rb, 1, 1, &b, &e), -EEXIST);
	buf_done(&b);
	route_builder_done(&rb);
}

/* Each byte flipped: refused, or still wholly inside (the sanitizers watch the look-ups). */
static void test_damage(void **state)
{
	struct buf b;
	struct route_table t;
	struct err e;
	unsigned refused = 0;
	build(3, &b);
	for (size_t i = 0; i < b.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			b.data[i] ^= (char)(1 << bit);
			if (route_table_open(b.data, b.len, &t, &e) < 0) {
				refused++;
			} else {
				const struct route_app *a =
				    route_table_find(&t, "app1.example", 12);
				for (uint32_t k = 0; a && k < a->pool[ROUTE_TLS].count; k++)
					assert_int_not_equal(
					    t.backends[a->pool[ROUTE_TLS].first + k].port, 0);
			}
			b.data[i] ^= (char)(1 << bit);
		}
	assert_true(refused > 1000);
	for (size_t n = 0; n < b.len; n += 8)
		assert_true(route_table_open(b.data, n, &t, &e) < 0);
	buf_done(&b);
}

static void test_must_be_sealed(void **state)
{
	struct buf b;
	struct route_table t;
	struct err e;
	int fd;
	build(2, &b);
	assert_ok(route_table_seal(buf_bytes(&b), &fd, &e), e);
	assert_ok(route_table_map(fd, &t, &e), e);
	assert_non_null(route_table_find(&t, "app1.example", 12));
	assert_true(pwrite(fd, "x", 1, 0) < 0);
	route_table_unmap(&t);
	close(fd);
	fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(write(fd, b.data, b.len), b.len);
	assert_true(route_table_map(fd, &t, &e) < 0);
	close(fd);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds_each),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_must_be_sealed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
