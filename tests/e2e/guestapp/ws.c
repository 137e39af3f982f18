#include "guestapp/ws.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/types.h>

/* SHA-1 (FIPS 180-4) of a short message: the handshake needs it and nothing else here does. */
static uint32_t rotate(uint32_t x, int n)
{
	return x << n | x >> (32 - n);
}

static void block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		       (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 80; i++)
		w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (int i = 0; i < 80; i++) {
		uint32_t f = i < 20   ? (b & c) | (~b & d)
			     : i < 40 ? b ^ c ^ d
			     : i < 60 ? (b & c) | (b & d) | (c & d)
				      : b ^ c ^ d;
		uint32_t k = i < 20   ? 0x5a827999
			     : i < 40 ? 0x6ed9eba1
			     : i < 60 ? 0x8f1bbcdc
				      : 0xca62c1d6;
		uint32_t t = rotate(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* n < 119: two blocks at most. */
static void sha1(const char *s, size_t n, uint8_t out[20])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
	uint8_t m[128] = { 0 };
	size_t total = n + 9 <= 64 ? 64 : 128;
	memcpy(m, s, n);
	m[n] = 0x80;
	for (int i = 0; i < 8; i++)
		m[total - 1 - (size_t)i] = (uint8_t)((uint64_t)n * 8 >> (8 * i));
	for (size_t at = 0; at < total; at += 64)
		block(h, m + at);
	for (int i = 0; i < 20; i++)
		out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *p, size_t n, char *out)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < n ? p[i + 2] : 0);
		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*out = 0;
}

static int read_all(int fd, void *p, size_t n)
{
	while (n) {
		ssize_t k = recv(fd, p, n, 0);
		if (k <= 0)
			return -1;
		p = (char *)p + k;
		n -= (size_t)k;
	}
	return 0;
}

static int handshake(int fd, const char *head)
{
	static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	const char *key = strcasestr(head, "\r\nSec-WebSocket-Key:");
	char text[128], accept[40], answer[256];
	uint8_t digest[20];
	if (!key)
		return -1;
	key += strlen("\r\nSec-WebSocket-Key:");
	key += strspn(key, " ");
	size_t n = strcspn(key, " \r\n");
	if (n > 64)
		return -1;
	snprintf(text, sizeof(text), "%.*s%s", (int)n, key, magic);
	sha1(text, strlen(text), digest);
	base64(digest, sizeof(digest), accept);
	n = (size_t)snprintf(answer, sizeof(answer),
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
	    "Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
	    accept);
	return send(fd, answer, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

/* Echoes frames up to 64 KiB, answers pings, ends at a close. */
void ws_serve(int fd, const char *head)
{
	static const size_t max = 65535;
	static _Thread_local uint8_t data[65535];
	if (handshake(fd, head) < 0)
		return;
	for (;;) {
		uint8_t h[4], mask[4], reply[4];
		if (read_all(fd, h, 2))
			return;
		size_t n = h[1] & 127, reply_len = 2;
		if (n == 126) {
			if (read_all(fd, h + 2, 2))
				return;
			n = (size_t)h[2] << 8 | h[3];
		}
		if (n > max || (h[1] & 127) == 127 || !(h[1] & 128) || read_all(fd, mask, 4) ||
		    read_all(fd, data, n))
			return;
		for (size_t i = 0; i < n; i++)
			data[i] ^= mask[i % 4];
		int opcode = h[0] & 15;
		reply[0] = (uint8_t)(0x80 | (opcode == 9 ? 10 : opcode));
		reply[1] = (uint8_t)(n < 126 ? n : 126);
		if (n >= 126) {
			reply[2] = (uint8_t)(n >> 8);
			reply[3] = (uint8_t)n;
			reply_len = 4;
		}
		if (send(fd, reply, reply_len, MSG_NOSIGNAL | MSG_MORE) < 0 ||
		    (n && send(fd, data, n, MSG_NOSIGNAL) < 0) || opcode == 8)
			return;
	}
}
