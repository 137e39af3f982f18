/* Any bytes as a question to the resolver: no crash; an answer is a response with the asker's id,
 * within its size, and holds no address of another organisation. */
#include "dns/packet.h"
#include <arpa/inet.h>
#include <string.h>

static struct name_record records[] = {
	{ .app = "a",
	    .region = "r",
	    .group = "g",
	    .machine = "00000000000001",
	    .network = 7,
	    .started = true },
	{ .app = "a",
	    .region = "r",
	    .group = "g",
	    .machine = "00000000000002",
	    .network = 7,
	    .started = true },
	{ .app = "z",
	    .region = "r",
	    .group = "g",
	    .machine = "00000000000003",
	    .network = 8,
	    .started = true },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[8] = { 0xfd, 0xaa, 0x5e, 0xc7, 0x5e, 0xc7, 0x5e, 0xc7 };
	const struct names_table t = { countof(records), records };
	/* the question is repeated in the answer */
	const bool asked = memmem(data, size, secret, sizeof(secret));
	memcpy(records[2].ip6.s6_addr, secret, sizeof(secret));
	for (int tcp = 0; tcp < 2; tcp++) {
		uint8_t *answer = NULL;
		size_t len = 0;
		enum packet_verdict v = packet_answer(&t, 7, tcp, 1, data, size, &answer, &len);
		if ((v == PACKET_ANSWERED) != (answer != NULL))
			abort();
		if (v == PACKET_ANSWERED &&
		    (len < 12 || len > (tcp ? (size_t)PACKET_TCP_MAX : (size_t)PACKET_UDP_EDNS) ||
			memcmp(answer, data, 2) != 0 || !(answer[2] & 0x80) ||
			(!asked && memmem(answer, len, secret, sizeof(secret)))))
			abort();
		if (v == PACKET_FORWARD) {
			if (packet_fits(data, size, data, size))
				abort(); /* a question is no answer */
			answer = packet_refuse(data, size, 2, &len);
		}
		free(answer);
	}
	(void)packet_fits(data, size / 2, data + size / 2, size - size / 2);
	return 0;
}
