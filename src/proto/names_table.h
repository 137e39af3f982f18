/* <run>/names/table.json: the machines of this host's view as names, written by ward-agent (whole,
 * by rename), read by ward-dns.
 *
 * {"v":1,"records":[{"app":"shop","network":7,"machine":"14 hex
 * digits","ip6":"fdaa:...::2","region":"home","group":"web", "state":"started"}]} */
#pragma once
#include "base/id.h"
#include "base/json.h"
#include <netinet/in.h>

enum {
	NAMES_RECORDS_MAX = 16384,
	NAMES_FILE_MAX = 8 * 1024 * 1024,
	NAMES_LABEL_MAX = 63, /* of a DNS label, RFC 1035 section 2.3.4 */
};

struct name_record {
	char app[NAMES_LABEL_MAX + 1], region[NAMES_LABEL_MAX + 1], group[NAMES_LABEL_MAX + 1];
	char machine[MACHINE_ID_LEN + 1];
	uint32_t network; /* the organisation's; 6PN addresses begin with it */
	struct in6_addr ip6;
	bool started; /* any other state is written as it is and read as "not started" */
};

struct names_table {
	size_t count;
	struct name_record *record; /* sorted by network, app, machine */
};

/* An address outside its network is refused with the whole table: names must not lead into another
 * organisation. */
int names_table_parse(
    struct names_table *t, const char *text, size_t len, struct err *e) must_check;
void names_table_done(struct names_table *t);

/* The file's text; state "started" or "stopped". What could not be read back is left out: a record
 * with an app, region or address that is none; a group that is no label. The caller frees; NULL on
 * no memory. */
char *names_table_format(const struct name_record *r, size_t n);

/* The records of one app in one network: *ret_count of them from the returned one on; NULL if none.
 */
const struct name_record *names_table_app(
    const struct names_table *t, uint32_t network, const char *app, size_t *ret_count);
/* All of a network. */
const struct name_record *names_table_network(
    const struct names_table *t, uint32_t network, size_t *ret_count);
