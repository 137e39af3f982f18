#include "link/marks.h"
#include "base/clock.h"
#include "base/util.h"

static const char *const names[MARK_MAX] = { "flood", "protocol-error", "lie" };

bool marks_add(struct marks *m, enum mark which, const char *text)
{
	uint64_t now = clock_wall_ms();
	bool news = !m->mark[which].count || now - m->mark[which].at_ms > 60000;
	m->mark[which].count++;
	m->mark[which].at_ms = now;
	snprintf(m->mark[which].text, sizeof m->mark[which].text, "%s", text);
	return news;
}

json_t *marks_json(const struct marks *m)
{
	json_t *a = json_array();
	for (int i = 0; i < MARK_MAX; i++)
		if (m->mark[i].count)
			(void)json_array_append_new(
			    a, json_pack("{s:s, s:I, s:I, s:s}", "mark", names[i], "count",
				   (json_int_t)m->mark[i].count, "at", (json_int_t)m->mark[i].at_ms,
				   "text", m->mark[i].text));
	return a;
}
