/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The GID table; see gid.h. */
#include "hca/gid.h"

void hca_gids_init(struct hca_gids *t)
{
	hca_memset(t, 0, sizeof(*t));
	hca_spin_init(&t->lock);
}

static bool is_zero(const struct hca_gid *gid)
{
	static const struct hca_gid zero;

	return hca_gid_equal(gid, &zero);
}

/* The entry of an address, or a free one; HCA_GIDS: there is none. */
static u32 place_of(const struct hca_gids *t, const struct hca_gid *gid, bool free)
{
	u32 i;

	hca_spin_assert(&t->lock);
	for (i = 0; i < HCA_GIDS; i++) {
		if (free ? !t->entry[i].used && !t->entry[i].leaving :
			   t->entry[i].used && hca_gid_equal(&t->entry[i].gid, gid))
			break;
	}
	return i;
}

int hca_gid_add(struct hca_gids *t, const struct hca_gid *gid, u32 *index)
{
	hca_irqflags_t flags;
	int err = 0;
	u32 i;

	if (is_zero(gid) || hca_gid_is_group(gid))
		return -EINVAL; /* the caller says why */
	hca_spin_lock(&t->lock, flags);
	i = place_of(t, gid, false);
	if (i == HCA_GIDS) {
		i = place_of(t, gid, true);
		if (i == HCA_GIDS) {
			err = -ENOSPC;
		} else {
			t->entry[i].gid = *gid;
			hca_store_release(&t->entry[i].used, 1u);
		}
	}
	hca_spin_unlock(&t->lock, flags);
	if (!err)
		*index = i;
	return err;
}

int hca_gid_remove(struct hca_gids *t, struct hca_quiesce *q, const struct hca_gid *gid)
{
	hca_irqflags_t flags;
	u32 i;

	hca_spin_lock(&t->lock, flags);
	i = place_of(t, gid, false);
	if (i < HCA_GIDS) {
		hca_store(&t->entry[i].used, 0u);
		t->entry[i].leaving = true;
	}
	hca_spin_unlock(&t->lock, flags);
	if (i == HCA_GIDS)
		return -EINVAL; /* the caller says why */
	hca_quiesce_wait_of(q, 0); /* other processes don't read it */
	hca_spin_lock(&t->lock, flags);
	t->entry[i].leaving = false;
	hca_spin_unlock(&t->lock, flags);
	return 0;
}

bool hca_gid_is_ours(const struct hca_gids *t, const u8 raw[16])
{
	u32 i;

	for (i = 0; i < HCA_GIDS; i++)
		if (hca_load_acquire(&t->entry[i].used) &&
		    !hca_memcmp(t->entry[i].gid.raw, raw, sizeof(t->entry[i].gid.raw)))
			return true;
	return false;
}
