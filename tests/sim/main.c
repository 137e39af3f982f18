/* sim [--seed N] [--runs N] [--plant double-start|no-cordon|skipped-step] [--minutes N] [--story]
 *
 * Runs N worlds from the seed on. Each: some minutes of random requests and faults, then it is left
 * alone and must settle. One world in four is calm: no faults, deploys only, and the app must be
 * served without a break. Exit 1 at the first violation, with the seed and the end of the story.
 * With a planted bug it is the other way round (exit 1: no world found it), for a simulation that
 * cannot fail shows nothing. */
#include "sim.h"

uint64_t rnd(struct sim *s, uint64_t below)
{
	uint64_t z = (s->rng += 0x9e3779b97f4a7c15ull); /* splitmix64 */
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return (z ^ (z >> 31)) % below;
}

bool chance(struct sim *s, unsigned percent)
{
	return rnd(s, 100) < percent;
}

void say(struct sim *s, const char *fmt, ...)
{
	char *line = s->story[s->nstory++ % STORY_MAX];
	int n = snprintf(line, sizeof(s->story[0]), "%9.1f  ", (double)s->now / 1000);
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(s->story[0]) - (size_t)n, fmt, ap);
	va_end(ap);
}

void violate(struct sim *s, const char *fmt, ...)
{
	char text[300];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!s->failed)
		say(s, "VIOLATED: %s", text);
	s->failed = true;
}

void draw_hex(struct sim *s, char *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = "0123456789abcdef"[rnd(s, 16)];
	dst[n] = 0;
}

struct fresh draw_fresh(struct sim *s)
{
	struct fresh f = { .wall_ms = (uint64_t)((int64_t)s->now + 1700000000000 + s->wall_off),
		.random = (uint32_t)rnd(s, UINT32_MAX) };
	draw_hex(s, f.machine, MACHINE_ID_LEN);
	draw_hex(s, f.app, APP_ID_LEN);
	draw_hex(s, f.instance, ULID_LEN);
	return f;
}

static void tick(struct sim *s)
{
	s->now += TICK_MS;
	if (s->chaos && rnd(s, 3000) == 0) {
		s->wall_off += (int64_t)rnd(s, 7200000) - 3600000;
		say(s, "the wall clock jumps");
	}
	plane_tick(s);
	for (int n = 0; n < HOSTS; n++)
		host_tick(s, n);
	edge_tick(s);
	api_tick(s);
	check_served(s);
}

static bool run(uint64_t seed, enum plant plant, unsigned minutes, bool story)
{
	struct sim *s = calloc(1, sizeof(*s));
	if (!s)
		return false;
	s->seed = seed;
	s->rng = seed * 2654435761u + 1;
	s->plant = plant;
	s->calm = seed % 4 == 0;
	s->chaos = !s->calm;
	plane_start(s);
	for (int n = 0; n < HOSTS; n++)
		host_start(s, n);
	uint64_t end = (uint64_t)minutes * 60000;
	while (!s->failed && s->now < end)
		tick(s);
	say(s, "left alone");
	s->chaos = s->calm = false;
	end += 40 * 60000; /* the longest chain of time limits: a deploy of three, put back */
	while (!s->failed && s->now < end)
		tick(s);
	if (!s->failed)
		check_settled(s);
	bool ok = !s->failed;
	if (!ok || story) {
		unsigned from = s->nstory > STORY_MAX ? s->nstory - STORY_MAX : 0;
		for (unsigned i = from; i < s->nstory; i++)
			printf("%s\n", s->story[i % STORY_MAX]);
	}
	if (!ok)
		printf("\nseed %llu broke it; only this one: sim --seed %llu --runs 1%s\n",
		    (unsigned long long)seed, (unsigned long long)seed,
		    plant ? " (with a planted bug)" : "");
	else
		printf("seed %llu: %s, %u requests (%u refused), %u starts, %u crashes, deploys %u "
		       "ok %u failed\n",
		    (unsigned long long)seed, seed % 4 == 0 ? "calm" : "chaos", s->requests,
		    s->refused, s->starts, s->crashes, s->deploys_ok, s->deploys_failed);
	for (int n = 0; n < HOSTS; n++)
		host_done(s, n);
	plane_done(s);
	free(s);
	return ok;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, runs = 20, minutes = 10;
	enum plant plant = PLANT_NONE;
	bool story = false;
	for (int i = 1; i < argc; i++) {
		const char *v = i + 1 < argc ? argv[i + 1] : "";
		if (streq(argv[i], "--story"))
			story = true;
		else if (streq(argv[i], "--seed") && str_u64(v, UINT32_MAX, &seed))
			i++;
		else if (streq(argv[i], "--runs") && str_u64(v, UINT32_MAX, &runs))
			i++;
		else if (streq(argv[i], "--minutes") && str_u64(v, 1000, &minutes))
			i++;
		else if (streq(argv[i], "--plant") && streq(v, "double-start"))
			plant = PLANT_DOUBLE_START, i++;
		else if (streq(argv[i], "--plant") && streq(v, "no-cordon"))
			plant = PLANT_NO_CORDON, i++;
		else if (streq(argv[i], "--plant") && streq(v, "skipped-step"))
			plant = PLANT_SKIPPED_STEP, i++;
		else {
			fprintf(stderr, "sim does not understand \"%s\"\n", argv[i]);
			return 2;
		}
	}
	for (uint64_t n = 0; n < runs; n++)
		if (!run(seed + n, plant, (unsigned)minutes, story))
			return plant ? 0 : 1;
	return plant ? 1 : 0;
}
