#include "../unit.h"
#include "base/str.h"
#include "dns/lookup.h"
#include <arpa/inet.h>

static struct name_record records[6];
static struct names_table table = { countof(records), records };
static struct lookup l;

/* Sorted, as a parsed table is: network, app, machine. */
static int fill(void **s)
{
	static const struct {
		const char *app, *region, *group;
		unsigned network;
		bool started;
	} from[] = { { "db", "home", "db", 7, true }, { "shop", "home", "web", 7, true },
		{ "shop", "away", "web", 7, true }, { "shop", "home", "job", 7, false },
		{ "shop", "home", "web", 8, true }, { "solo", "home", "web", 8, true } };
	for (size_t i = 0; i < countof(from); i++) {
		struct name_record *r = &records[i];
		str_copy(r->app, sizeof(r->app), from[i].app);
		str_copy(r->region, sizeof(r->region), from[i].region);
		str_copy(r->group, sizeof(r->group), from[i].group);
		snprintf(r->machine, sizeof(r->machine), "%014zu", i);
		r->network = from[i].network;
		r->started = from[i].started;
		r->ip6.s6_addr[15] = (uint8_t)(i + 1);
	}
	return 0;
}

/* The last bytes of the addresses, as digits. */
static const char *found(uint32_t network, const char *name)
{
	static char digits[16];
	lookup_name(&l, &table, network, name);
	if (l.kind != LOOKUP_FOUND)
		return l.kind == LOOKUP_NO_NAME ? "none" : "not ours";
	size_t i = 0;
	for (; i < l.addresses; i++)
		digits[i] = (char)('0' + l.address[i].s6_addr[15]);
	digits[i] = 0;
	return digits;
}

static void names_mean_started_machines_of_ones_network(void **s)
{
	assert_string_equal(found(7, "shop.internal"), "23");
	assert_string_equal(found(8, "shop.internal"), "5");
	assert_string_equal(found(9, "shop.internal"), "none");
	assert_string_equal(found(7, "solo.internal"), "none");
	assert_string_equal(found(7, "away.shop.internal"), "3");
	assert_string_equal(found(7, "top1.nearest.of.shop.internal"), "2");
	assert_string_equal(found(7, "00000000000002.vm.shop.internal"), "3");
	assert_string_equal(found(7, "00000000000003.vm.shop.internal"), "none");
	assert_string_equal(found(7, "web.process.shop.internal"), "23");
	assert_string_equal(found(7, "job.process.shop.internal"), "none");
	assert_string_equal(found(7, "example.org"), "not ours");
	assert_string_equal(found(7, "shop.internal.org"), "not ours");
	assert_string_equal(found(7, "xinternal"), "not ours");
	assert_string_equal(found(7, ".internal"), "none");
	assert_string_equal(found(7, "..internal"), "none");
	assert_string_equal(found(7, "internal"), "");
}

static void texts_list_and_never_overflow(void **s)
{
	found(7, "_apps.internal");
	assert_string_equal(l.text, "db,shop");
	found(7, "vms.shop.internal");
	assert_string_equal(l.text, "00000000000001 home,00000000000002 away");
	static struct name_record many[2000];
	for (size_t i = 0; i < countof(many); i++) {
		many[i] = (struct name_record){
			.network = 1, .started = true, .app = "a", .region = "somewhere"
		};
		snprintf(many[i].machine, sizeof(many[i].machine), "%014zu", i);
	}
	struct names_table t = { countof(many), many };
	lookup_name(&l, &t, 1, "vms.a.internal");
	assert_true(l.text_len > LOOKUP_TEXT_MAX - 40 && l.text_len < LOOKUP_TEXT_MAX);
	assert_int_equal(strlen(l.text), l.text_len);
	assert_true(str_ends(l.text, " somewhere"));
	lookup_name(&l, &t, 1, "a.internal");
	assert_int_equal(l.addresses, LOOKUP_ADDRESSES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_mean_started_machines_of_ones_network),
		cmocka_unit_test(texts_list_and_never_overflow),
	};
	return cmocka_run_group_tests(tests, fill, NULL);
}
