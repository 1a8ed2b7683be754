/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ranges of a disk that requests hold; see ranges.h. */
#include "ranges.h"

void ranges_init(struct ranges *rs)
{
	pthread_mutex_init(&rs->lock, NULL);
	pthread_cond_init(&rs->given, NULL);
	rs->first = NULL;
	rs->last = &rs->first;
	rs->waiting = 0;
}

void ranges_fini(struct ranges *rs)
{
	pthread_cond_destroy(&rs->given);
	pthread_mutex_destroy(&rs->lock);
}

static bool conflict(const struct range *a, const struct range *b)
{
	return (a->alone || b->alone) && a->at < b->at + b->len && b->at < a->at + a->len;
}

/* Is there one before it that it has to wait for? */
static bool must_wait(const struct ranges *rs, const struct range *r)
{
	const struct range *before;

	for (before = rs->first; before != r; before = before->next)
		if (conflict(before, r))
			return true;
	return false;
}

void range_take(struct ranges *rs, struct range *r, u64 at, u64 len, bool alone)
{
	*r = (struct range){ .at = at, .len = len, .alone = alone };
	pthread_mutex_lock(&rs->lock);
	*rs->last = r;
	rs->last = &r->next;
	rs->waiting++;
	while (must_wait(rs, r))
		pthread_cond_wait(&rs->given, &rs->lock);
	rs->waiting--;
	pthread_mutex_unlock(&rs->lock);
}

void range_give(struct ranges *rs, struct range *r)
{
	struct range **at;

	pthread_mutex_lock(&rs->lock);
	for (at = &rs->first; *at != r; at = &(*at)->next)
		;
	*at = r->next;
	if (!*at)
		rs->last = at;
	if (rs->waiting)
		pthread_cond_broadcast(&rs->given);
	pthread_mutex_unlock(&rs->lock);
}
