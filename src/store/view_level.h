/* What a view makes of the store's answers: pure bookkeeping, no I/O, so that every loss,
 * repetition and reordering can be tried on it. */
#pragma once
#include "store/store.h"
#include "store/view_map.h"

struct level {
	struct view_map map;
	int64_t revision; /* all changes up to it are in the map */
	char cluster[24]; /* whose revisions these are; "" before the first listing */
	store_changed_fn changed;
	void *arg;
	const bool *stop; /* becomes true when a callback closed the view: nothing more is told */
};

/* A listing under way, over one or more pages of one revision. */
struct level_listing {
	struct view_map map;
	int64_t revision;
	char cluster[24];
	char *next; /* the next page's first key; NULL when whole */
};

/* Takes one page (a range answer). */
int level_page(struct level_listing *l, const json_t *answer, struct err *e) must_check;
/* Replaces what is held by a whole listing, telling the difference. A store that went back in time,
 * or is another, is refused: -ESTALE, nothing changed. The listing is used up. */
int level_replace(struct level *v, struct level_listing *l, struct err *e) must_check;
void level_listing_done(struct level_listing *l);

/* Applies one message of a watch ({"header","events"}). 0, or -ESTALE where what is held can no
 * longer be trusted: list again. */
int level_events(struct level *v, const json_t *result, struct err *e) must_check;
void level_done(struct level *v);
