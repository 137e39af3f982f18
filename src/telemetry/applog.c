#include "telemetry/applog.h"
#include "base/file.h"
#include "base/str.h"
#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>

static struct mark *find_mark(const struct applog *a, const char *machine)
{
	for (size_t i = 0; i < a->nmarks; i++)
		if (streq(a->marks[i].machine, machine))
			return &a->marks[i];
	return NULL;
}

static int set_mark(struct applog *a, const char *machine, uint64_t last_n)
{
	struct mark *m = find_mark(a, machine);
	if (!m) {
		if (a->nmarks >= APPLOG_MARKS_MAX)
			return -ENOSPC;
		if (a->nmarks == a->marks_cap) {
			size_t cap = a->marks_cap ? 2 * a->marks_cap : 16;
			struct mark *more = realloc(a->marks, cap * sizeof(*more));
			if (!more)
				return -ENOMEM;
			a->marks = more;
			a->marks_cap = cap;
		}
		m = &a->marks[a->nmarks++];
		*m = (struct mark){ 0 };
		str_copy(m->machine, sizeof(m->machine), machine);
	}
	m->last_n = MAX(m->last_n, last_n);
	m->forgotten = false;
	return 0;
}

/* "machine n" lines, of a marks block: what was taken from machines whose own blocks may be gone.
 */
static int take_marks(struct applog *a, const struct segment *s, size_t block, struct err *e)
{
	cleanup_buf struct buf text;
	buf_init(&text, BLOCK_MAX);
	int r = segment_read(a->dir, s, a->key, block, &text, e);
	if (r < 0)
		return r;
	char *save = NULL;
	for (char *line = strtok_r(text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		uint64_t n;
		char *space = strchr(line, ' ');
		if (!space || !str_u64(space + 1, INT64_MAX, &n))
			return err_set(e, ERR_INVALID, "the marks of a log segment are damaged");
		*space = 0;
		if (!id_is_machine(line) || set_mark(a, line, n) < 0)
			return err_set(e, ERR_INVALID, "the marks of a log segment are damaged");
	}
	return 0;
}

static struct segment *newest(const struct applog *a)
{
	return a->segments && a->nsegments ? &a->segments[a->nsegments - 1] : NULL;
}

static int add_segment(struct applog *a, struct segment *s)
{
	if (!a->segments || a->nsegments == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 16;
		struct segment *more = realloc(a->segments, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		a->segments = more;
		a->cap = cap;
	}
	a->segments[a->nsegments++] = *s;
	a->bytes += s->size;
	return 0;
}

static int by_number(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
	return a < b ? -1 : a > b;
}

/* The numbers of the segments in the folder, in order. */
static int numbers(int dir, uint64_t *dst, size_t *ret_n, struct err *e)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return err_sys(e, errno, "cannot list a log folder");
	}
	size_t n = 0;
	for (struct dirent *de; (de = readdir(d)) && n < APPLOG_SEGMENTS_MAX;) {
		char *end;
		if (str_ends(de->d_name, ".tmp"))
			unlinkat(dir, de->d_name, 0); /* of a crash in mid-creation */
		if (strlen(de->d_name) != 20 || !str_ends(de->d_name, ".seg"))
			continue;
		uint64_t v = strtoull(de->d_name, &end, 16);
		if (end == de->d_name + 16)
			dst[n++] = v;
	}
	closedir(d);
	qsort(dst, n, sizeof(*dst), by_number);
	*ret_n = n;
	return 0;
}

static int load(struct applog *a, uint64_t *ret_cut, struct err *e)
{
	static uint64_t all[APPLOG_SEGMENTS_MAX];
	size_t n = 0;
	int r = numbers(a->dir, all, &n, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct segment s;
		uint64_t cut = 0;
		bool last = i + 1 == n;
		r = segment_open(a->dir, all[i], a->key, last, &s, &cut, e);
		if (r == -ENODATA) {
			r = 0; /* no head: nothing of it was ever told to be safe */
			continue;
		}
		if (r < 0)
			break;
		*ret_cut += cut;
		if (a->nsegments && s.head.epoch != a->epoch) {
			segment_done(&s);
			return err_set(e, ERR_INVALID,
			    "the segments of the log of %s do not belong together", a->app_id);
		}
		a->epoch = s.head.epoch;
		for (size_t b = 0; r == 0 && b < s.nblocks; b++)
			r = s.blocks[b].head.kind == BLOCK_MARKS
				? take_marks(a, &s, b, e)
				: set_mark(a, s.blocks[b].head.machine, s.blocks[b].head.last_n);
		if (r == 0 && add_segment(a, &s) < 0)
			r = err_set(e, ERR_NO_MEMORY, "no memory for a log");
		if (r < 0)
			segment_done(&s);
		else
			a->next_line = s.head.first_line + s.lines;
	}
	return r;
}

int applog_open(int logs_dir, const char *app_id, const uint8_t key[SEGMENT_KEY],
    const struct applog_limits *limits, struct applog **ret, uint64_t *ret_cut, struct err *e)
{
	uint64_t cut = 0;
	struct applog *a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(e, ERR_NO_MEMORY, "no memory for a log");
	a->dir = -1;
	a->next_line = 1;
	a->limits = *limits;
	a->epoch = randombytes_random();
	a->key = sodium_malloc(SEGMENT_KEY);
	int r = a->key && str_copy(a->app_id, sizeof(a->app_id), app_id)
		    ? 0
		    : err_set(e, ERR_NO_MEMORY, "no memory for a log");
	if (r == 0 && a->key)
		memcpy(a->key, key, SEGMENT_KEY);
	if (r == 0)
		r = dir_make(logs_dir, app_id, 0700, e);
	if (r == 0) {
		a->dir = dir_open(logs_dir, app_id, e);
		r = MIN(a->dir, 0);
	}
	if (r == 0)
		r = load(a, &cut, e);
	if (r < 0) {
		applog_free(a);
		return r;
	}
	*ret = a;
	*ret_cut = cut;
	return 0;
}

void applog_free(struct applog *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->nsegments; i++)
		segment_done(&a->segments[i]);
	free(a->segments);
	free(a->marks);
	sodium_free(a->key);
	if (a->dir >= 0)
		close(a->dir);
	free(a);
}

uint64_t applog_last_n(const struct applog *a, const char *machine)
{
	const struct mark *m = find_mark(a, machine);
	return m ? m->last_n : 0;
}

void applog_lives(struct applog *a, const char *machine, bool lives)
{
	struct mark *m = find_mark(a, machine);
	if (m)
		m->forgotten = !lives;
}

/* The next segment begins with the marks of the machines that live, since the segments with their
 * blocks will go. */
static int begin_segment(struct applog *a, struct err *e)
{
	size_t kept = 0;
	for (size_t i = 0; i < a->nmarks; i++)
		if (!a->marks[i].forgotten)
			a->marks[kept++] = a->marks[i];
	a->nmarks = kept;
	cleanup_buf struct buf text;
	buf_init(&text, BLOCK_MAX - SEGMENT_TAG);
	for (size_t i = 0; i < a->nmarks; i++)
		if (buf_printf(&text, "%s %llu\n", a->marks[i].machine,
			(unsigned long long)a->marks[i].last_n) < 0)
			return err_set(e, ERR_NO_MEMORY, "no memory for the marks of a log");

	const struct segment *before = newest(a);
	uint64_t number = before ? before->head.number + 1 : 1;
	int old_fd = before ? before->fd : -1;
	struct segment s;
	int r = segment_create(a->dir, number, a->next_line, a->epoch, &s, e);
	if (r < 0)
		return r;
	if (a->nmarks)
		r = segment_append(
		    &s, a->key, &(struct block_head){ .kind = BLOCK_MARKS }, buf_bytes(&text), e);
	if (r == 0 && add_segment(a, &s) < 0)
		r = err_set(e, ERR_NO_MEMORY, "no memory for a log");
	if (r < 0) {
		char name[24];
		segment_name(name, number);
		unlinkat(a->dir, name, 0);
		segment_done(&s);
		return r;
	}
	if (old_fd >= 0) {
		a->segments[a->nsegments - 2].fd = -1;
		close(old_fd);
	}
	return 0;
}

int applog_add(
    struct applog *a, const char *machine, const struct taken *t, struct bytes lines, struct err *e)
{
	struct segment *s = newest(a);
	int r = 0;
	if (!s || s->fd < 0 || s->size + lines.len > a->limits.segment_bytes ||
	    s->nblocks >= SEGMENT_BLOCKS_MAX) {
		r = begin_segment(a, e);
		s = newest(a);
		if (r < 0 || !s)
			return r;
	}
	/* the mark's place first: what is durable must be remembered */
	if (!find_mark(a, machine) && set_mark(a, machine, 0) < 0)
		return err_set(
		    e, ERR_NO_MEMORY, "more than %d machines in one log", APPLOG_MARKS_MAX);
	struct block_head b = { .first_n = t->first_n,
		.last_n = t->last_n,
		.at_us = t->at_us,
		.lines = t->lines,
		.kind = BLOCK_LINES };
	str_copy(b.machine, sizeof(b.machine), machine);
	uint32_t before = s->size;
	r = segment_append(s, a->key, &b, lines, e);
	if (r < 0)
		return r;
	a->bytes += s->size - before;
	a->next_line += t->lines;
	a->changes++;
	(void)set_mark(a, machine, t->last_n); /* it is there: this cannot fail */
	while (a->bytes > a->limits.app_bytes && applog_drop_oldest(a))
		;
	return 0;
}

bool applog_drop_oldest(struct applog *a)
{
	if (a->nsegments < 2)
		return false;
	struct segment *s = &a->segments[0];
	char name[24];
	segment_name(name, s->head.number);
	if (unlinkat(a->dir, name, 0) && errno != ENOENT)
		return false;
	a->bytes -= s->size;
	segment_done(s);
	a->nsegments--;
	memmove(a->segments, a->segments + 1, a->nsegments * sizeof(*a->segments));
	a->changes++;
	return true;
}

void applog_trim(struct applog *a, uint64_t now_us)
{
	while (a->nsegments > 1) {
		/* the next segment was begun when this one's last line had come */
		uint64_t ended = a->segments[1].head.made_us;
		bool old = now_us > a->limits.keep_us && ended < now_us - a->limits.keep_us;
		if ((!old && a->bytes <= a->limits.app_bytes) || !applog_drop_oldest(a))
			return;
	}
}

uint64_t applog_first_line(const struct applog *a)
{
	return a->nsegments ? a->segments[0].head.first_line : a->next_line;
}

static bool counts(const struct block_ref *b, const char *machine)
{
	return b->head.kind == BLOCK_LINES && (!machine || streq(b->head.machine, machine));
}

uint64_t applog_tail(const struct applog *a, const char *machine, uint64_t count)
{
	uint64_t seen = 0;
	for (size_t i = a->nsegments; i-- > 0;) {
		const struct segment *s = &a->segments[i];
		for (size_t b = s->nblocks; b-- > 0;) {
			if (!counts(&s->blocks[b], machine))
				continue;
			seen += s->blocks[b].head.lines;
			if (seen >= count)
				return s->head.first_line + s->blocks[b].first + (seen - count);
		}
	}
	return applog_first_line(a);
}

bool applog_hole(const struct applog *a, uint64_t line, uint64_t *ret_next)
{
	for (size_t i = 0; i < a->nsegments; i++) {
		const struct segment *s = &a->segments[i];
		if (line < s->head.first_line) {
			*ret_next = s->head.first_line;
			return i > 0; /* before the first, the bound has removed them */
		}
		if (line < s->head.first_line + s->lines)
			return false;
	}
	return false;
}

bool applog_next(
    const struct applog *a, uint64_t line, const char *machine, struct applog_block *ret)
{
	for (size_t i = 0; i < a->nsegments; i++) {
		const struct segment *s = &a->segments[i];
		if (s->head.first_line + s->lines <= line)
			continue;
		/* the first block that does not end before the line */
		size_t low = 0, high = s->nblocks;
		while (low < high) {
			size_t mid = low + (high - low) / 2;
			if (s->head.first_line + s->blocks[mid].first + s->blocks[mid].head.lines <=
			    line)
				low = mid + 1;
			else
				high = mid;
		}
		for (; low < s->nblocks; low++)
			if (counts(&s->blocks[low], machine)) {
				*ret = (struct applog_block){ i, low,
					s->head.first_line + s->blocks[low].first,
					s->blocks[low].head.lines };
				return true;
			}
	}
	return false;
}

int applog_read(
    const struct applog *a, const struct applog_block *b, struct buf *ret, struct err *e)
{
	return segment_read(a->dir, &a->segments[b->segment], a->key, b->block, ret, e);
}
