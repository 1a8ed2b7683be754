/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory that an end of a soak's connection opens to its peer for a while, by a memory region, a fast
 * registered one or a memory window, and closes while the peer is writing. Once it's closed
 * its owner changes all of it; what is still written then is seen, by the thread sanitizer or at the next opening.
 */
#include <string.h>

#include "soak.h"

#define RIGHTS (HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ)

/* Every byte is the pattern's, if it was written, or its complement. */
static bool only_pattern(const struct soak_end *e)
{
	u32 i;

	for (i = 0; i < SOAK_LONG; i += 8) {
		u64 a, b;

		memcpy(&a, e->ram->shared + i, 8);
		memcpy(&b, e->ram->source + i, 8);
		a ^= b;
		if ((a & 0x0101010101010101ull) * 0xff != a)
			return false;
	}
	return true;
}

static void complement(struct soak_end *e)
{
	u32 i;

	for (i = 0; i < SOAK_LONG; i += 8) {
		u64 w;

		memcpy(&w, e->ram->source + i, 8);
		w = ~w;
		memcpy(e->ram->shared + i, &w, 8);
	}
}

static bool is_complement(const struct soak_end *e)
{
	u32 i;

	for (i = 0; i < SOAK_LONG; i += 8) {
		u64 a, b;

		memcpy(&a, e->ram->shared + i, 8);
		memcpy(&b, e->ram->source + i, 8);
		if (a != ~b)
			return false;
	}
	return true;
}

/* The key is void, by whatever way: from now on the memory is the owner's alone. */
static void closed(struct soak_end *e)
{
	soak_check(e, only_pattern(e), e->key.kind, 0);
	complement(e);
}

void soak_key_destroy(struct soak_end *e)
{
	struct soak_key *k = &e->key;

	if (k->state == SOAK_KEY_NONE)
		return;
	hca_store(&k->published, 0u);
	if (k->mw && k->state == SOAK_KEY_OPEN && k->kind == SOAK_KEY_MW1)
		soak_check(e, hca_mr_destroy(k->mr) == -EBUSY, k->kind, 0);
	if (k->mw)
		hca_mw_destroy(k->mw);
	soak_check(e, hca_mr_destroy(k->mr) == 0, k->kind, 0);
	k->mw = NULL;
	k->mr = NULL;
	closed(e);
	hca_store_release(&k->state, (u32)SOAK_KEY_NONE);
}

void soak_key_ended(struct soak_end *e, enum soak_op op, enum hca_wc_status status)
{
	struct soak_key *k = &e->key;

	/* What failed is the end of the queue pair, whose owner will clean up. */
	if (status)
		return;
	if (op == SOAK_OPEN_KEY)
		hca_store(&k->published, k->key);
	hca_store_release(&k->state, (u32)(op == SOAK_OPEN_KEY ? SOAK_KEY_OPEN : SOAK_KEY_CLOSED));
}

static int post_local(struct soak_end *e, enum soak_op op, struct hca_send_wr *wr)
{
	const struct soak_req r = { .op = op, .signaled = true };

	return soak_post(e, 0, wr, &r);
}

static int post_open(struct soak_end *e)
{
	struct hca_send_wr wr = { .opcode = e->key.mw ? HCA_WR_BIND_MW : HCA_WR_REG_MR };
	u64 at = soak_addr(e->side, e->ram->shared), pages[SOAK_LONG / 4096];
	struct soak_key *k = &e->key;
	u32 i;

	if (k->kind == SOAK_KEY_FAST) {
		for (i = 0; i < SOAK_LONG / 4096; i++)
			pages[i] = at + i * 4096u;
		wr.reg.mr = k->mr;
		wr.reg.to = (struct hca_mr_pages){
			.key = k->key,
			.access = RIGHTS,
			.iova = at,
			.length = SOAK_LONG,
			.page_shift = 12,
			.npages = SOAK_LONG / 4096,
			.pages = pages,
		};
	} else {
		wr.bind.mw = k->mw;
		wr.bind.addr = at;
		wr.bind.length = SOAK_LONG;
		wr.bind.rkey = k->key;
		wr.bind.lkey = k->mr->key;
		wr.bind.access = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ;
	}
	return post_local(e, SOAK_OPEN_KEY, &wr);
}

static int make(struct soak_end *e)
{
	u64 at = soak_addr(e->side, e->ram->shared);
	struct soak_key *k = &e->key;
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RIGHTS, .iova = at, .base = at, .length = SOAK_LONG
	};
	int err;

	if (k->kind == SOAK_KEY_FAST)
		attr = (struct hca_mr_attr){ .kind = HCA_MR_PAGES, .max_pages = SOAK_LONG / 4096, .invalid = true };
	else if (k->kind >= SOAK_KEY_MW1)
		attr.access |= HCA_ACCESS_MW_BIND;
	err = hca_mr_create(&e->side->pd, &attr, &k->mr);
	if (err)
		return err;
	k->key = k->mr->key;
	if (k->kind < SOAK_KEY_MW1)
		return 0;
	err = hca_mw_create(&e->side->hca, &e->side->pd, k->kind == SOAK_KEY_MW1 ? HCA_MW_TYPE_1 : HCA_MW_TYPE_2,
			    &k->mw);
	if (err)
		hca_mr_destroy(k->mr);
	else
		k->key = k->kind == SOAK_KEY_MW1 ? hca_mw_next_key(k->mw) : k->mw->key;
	return err;
}

static void open_key(struct soak_thread *t, struct soak_end *e)
{
	struct soak_key *k = &e->key;
	int err;

	hca_store(&k->kind, soak_random(t, SOAK_KEY_KINDS));
	soak_check(e, is_complement(e), k->kind, 0);
	err = make(e);
	soak_check(e, !err, -err, k->kind);
	if (err)
		return;
	soak_count(soak_of(e), keys, 1);
	if (k->kind == SOAK_KEY_MR) {
		hca_store(&k->published, k->key);
		hca_store_release(&k->state, (u32)SOAK_KEY_OPEN);
		return;
	}
	hca_store(&k->state, (u32)SOAK_KEY_OPENING);
	if (post_open(e))
		soak_key_destroy(e);
}

static void close_key(struct soak_thread *t, struct soak_end *e)
{
	struct hca_send_wr wr = { .opcode = HCA_WR_LOCAL_INV, .imm = e->key.key };
	struct soak_key *k = &e->key;

	/* Else the peer goes on using it until it's refused. */
	if (soak_random(t, 2))
		hca_store(&k->published, 0u);
	if (k->kind == SOAK_KEY_MR || soak_random(t, 2)) {
		soak_key_destroy(e);
		return;
	}
	if (k->kind == SOAK_KEY_MW1) {
		wr = (struct hca_send_wr){ .opcode = HCA_WR_BIND_MW };
		wr.bind.mw = k->mw;
		wr.bind.rkey = hca_mw_next_key(k->mw);
	}
	hca_store(&k->state, (u32)SOAK_KEY_CLOSING);
	if (post_local(e, SOAK_CLOSE_KEY, &wr))
		hca_store(&k->state, (u32)SOAK_KEY_OPEN);
}

void soak_key_tick(struct soak_thread *t, struct soak_end *e)
{
	switch ((enum soak_key_state)hca_load_acquire(&e->key.state)) {
	case SOAK_KEY_NONE:
		if (soak_random(t, 20) == 0)
			open_key(t, e);
		break;
	case SOAK_KEY_OPEN:
		if (soak_random(t, 200) == 0)
			close_key(t, e);
		break;
	case SOAK_KEY_CLOSED:
		closed(e);
		soak_key_destroy(e);
		break;
	case SOAK_KEY_OPENING:
	case SOAK_KEY_CLOSING:
		break;
	}
}
