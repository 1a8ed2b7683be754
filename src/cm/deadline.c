/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * When IDs' times come: a binary heap, and one timer for the first. The heap has room
 * for every ID there is room for, so that waiting can't fail.
 */
#include "cm/private.h"

/* Places from 1 on. */
static struct hca_cm_id **place_of(const struct hca_cm *cm, u32 place)
{
	return &cm->chunk[(place - 1) >> HCA_CM_CHUNK_BITS]->heap[(place - 1) & (HCA_CM_CHUNK - 1)];
}

static u64 time_of(const struct hca_cm *cm, u32 place)
{
	return (*place_of(cm, place))->deadline;
}

static void put(struct hca_cm *cm, struct hca_cm_id *id, u32 place)
{
	*place_of(cm, place) = id;
	id->place = place;
}

static void sift_up(struct hca_cm *cm, struct hca_cm_id *id, u32 place)
{
	for (; place > 1 && time_of(cm, place / 2) > id->deadline; place /= 2)
		put(cm, *place_of(cm, place / 2), place);
	put(cm, id, place);
}

static void sift_down(struct hca_cm *cm, struct hca_cm_id *id, u32 place)
{
	u32 child;

	for (; (child = 2 * place) <= cm->waiting; place = child) {
		if (child < cm->waiting && time_of(cm, child + 1) < time_of(cm, child))
			child++;
		if (time_of(cm, child) >= id->deadline)
			break;
		put(cm, *place_of(cm, child), place);
	}
	put(cm, id, place);
}

void hca_cm_deadline_clear(struct hca_cm_id *id)
{
	struct hca_cm *cm = id->cm;
	u32 place = id->place;
	struct hca_cm_id *last;

	hca_spin_assert(&cm->lock);
	if (!place)
		return;
	last = *place_of(cm, cm->waiting--);
	id->place = 0;
	if (last == id)
		return;
	if (place > 1 && time_of(cm, place / 2) > last->deadline)
		sift_up(cm, last, place);
	else
		sift_down(cm, last, place);
}

void hca_cm_deadline_set(struct hca_cm_id *id, u64 ns)
{
	struct hca_cm *cm = id->cm;

	hca_cm_deadline_clear(id);
	id->deadline = ns;
	sift_up(cm, id, ++cm->waiting);
	hca_cm_deadline_arm(cm);
}

void hca_cm_deadline_arm(struct hca_cm *cm)
{
	u64 first;

	hca_spin_assert(&cm->lock);
	if (!cm->waiting || cm->closing)
		return;
	first = time_of(cm, 1);
	if (cm->timer_at && cm->timer_at <= first)
		return;
	cm->timer_at = first;
	hca_timer_start(&cm->timer, first);
}

struct hca_cm_id *hca_cm_deadline_due(struct hca_cm *cm, u64 now)
{
	struct hca_cm_id *id;

	hca_spin_assert(&cm->lock);
	if (!cm->waiting || time_of(cm, 1) > now)
		return NULL;
	id = *place_of(cm, 1);
	hca_cm_deadline_clear(id);
	return id;
}
