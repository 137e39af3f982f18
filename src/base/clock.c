#include "base/clock.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t now_us(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_mono_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}
uint64_t clock_mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}
uint64_t clock_boot_ms(void)
{
	return now_us(CLOCK_BOOTTIME) / 1000;
}
uint64_t clock_wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000;
}
uint64_t clock_wall_us(void)
{
	return now_us(CLOCK_REALTIME);
}

void clock_format_rfc3339(char dst[CLOCK_RFC3339_SIZE], uint64_t wall_us)
{
	time_t s = (time_t)(wall_us / 1000000);
	struct tm tm;
	if (wall_us > 253402300799000000ull || !gmtime_r(&s, &tm)) {
		memcpy(dst, "1970-01-01T00:00:00.000000Z", CLOCK_RFC3339_SIZE);
		return;
	}
	char date[64];
	snprintf(date, sizeof(date), "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900,
	    tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	    (unsigned)(wall_us % 1000000));
	memcpy(dst, date, CLOCK_RFC3339_SIZE - 1);
	dst[CLOCK_RFC3339_SIZE - 1] = 0;
}

int clock_parse_rfc3339(const char *s, uint64_t *ret_wall_us)
{
	static const char shape[] = "dddd-dd-ddTdd:dd:dd";
	for (size_t i = 0; i < sizeof(shape) - 1; i++)
		if (shape[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i])
			return -EINVAL;
	int v[6];
	static const int at[6] = { 0, 5, 8, 11, 14, 17 };
	for (int i = 0; i < 6; i++) {
		v[i] = 0;
		for (int j = 0; j < (i ? 2 : 4); j++)
			v[i] = v[i] * 10 + (s[at[i] + j] - '0');
	}
	uint64_t us = 0;
	s += sizeof(shape) - 1;
	if (*s == '.') {
		int digits = 0;
		for (s++; *s >= '0' && *s <= '9'; s++)
			if (digits++ < 6)
				us = us * 10 + (uint64_t)(*s - '0');
		if (!digits || digits > 9)
			return -EINVAL;
		for (; digits < 6; digits++)
			us *= 10;
	}
	if (s[0] != 'Z' || s[1])
		return -EINVAL;
	struct tm tm = { .tm_year = v[0] - 1900,
		.tm_mon = v[1] - 1,
		.tm_mday = v[2],
		.tm_hour = v[3],
		.tm_min = v[4],
		.tm_sec = v[5] };
	struct tm want = tm;
	time_t t = timegm(&tm);
	if (t < 0 || tm.tm_mday != want.tm_mday || tm.tm_mon != want.tm_mon ||
	    tm.tm_hour != want.tm_hour || tm.tm_min != want.tm_min || tm.tm_sec != want.tm_sec)
		return -EINVAL;
	*ret_wall_us = (uint64_t)t * 1000000 + us;
	return 0;
}
