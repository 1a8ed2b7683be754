/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Walking lists of entries; see sge.h. */
#include "hca/sge.h"

int hca_sge_check_list(struct hca_sge_cursor *g, u64 len)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < g->num_sge; i++) {
		const struct hca_sge *s = &g->sge[i];
		u64 need = sum < len ? HCA_MIN((u64)s->length, len - sum) : 0;
		const struct hca_key_entry *e;

		sum += s->length;
		if (!need)
			continue;
		e = hca_key_check(g->keys, s->lkey, g->pd, g->qpn, s->addr, need, g->access);
		if (hca_unlikely(!e))
			return -EACCES; /* hca_sge_why() says why */
		if (!i) {
			g->entry = e;
			g->checked = need;
		}
	}
	return 0;
}

static void next_entry(struct hca_sge_cursor *g)
{
	g->sge++;
	g->num_sge--;
	g->off = 0;
	g->entry = NULL;
}

/*
 * The piece at the place we are: its DMA address, and in @len how much of what is wanted lies there. A key that was looked up stays good
 * while we are inside: the thread that takes it away waits for us. One that comes later in the list may be gone since the list was
 * checked: then the rest of the message is refused.
 */
static inline int piece(struct hca_sge_cursor *g, hca_dma_addr_t *addr, u64 *len)
{
	const struct hca_mr *mr;
	u64 at;

	if (hca_unlikely(!g->num_sge))
		return -EFAULT; /* hca_sge_why() says why */
	while (hca_unlikely(g->off == g->sge->length)) {
		next_entry(g);
		if (!g->num_sge)
			return -EFAULT; /* hca_sge_why() says why */
	}
	*len = HCA_MIN(*len, (u64)(g->sge->length - g->off));
	at = g->sge->addr + g->off;
	if (!g->entry || hca_unlikely(g->off + *len > g->checked)) {
		g->entry = hca_key_check(g->keys, g->sge->lkey, g->pd, g->qpn, at, *len, g->access);
		if (hca_unlikely(!g->entry))
			return -EACCES; /* hca_sge_why() says why */
		g->checked = g->off + *len;
	}
	mr = hca_load_acquire(&g->entry->mr);
	if (hca_unlikely(!mr))
		return -EACCES; /* hca_sge_why() says why */
	*addr = hca_mr_run(mr, hca_key_offset(g->entry, at), len);
	return 0;
}

static void advance(struct hca_sge_cursor *g, u64 len)
{
	g->off += (u32)len;
}

void hca_sge_skip(struct hca_sge_cursor *g, u64 len)
{
	while (len && g->num_sge) {
		u32 run = (u32)HCA_MIN(len, (u64)(g->sge->length - g->off));

		advance(g, run);
		len -= run;
		if (len)
			next_entry(g);
	}
}

/* All of the entry we are in, if its key was looked up for so much and its bytes are in one run. */
static inline bool one_run(const struct hca_sge_cursor *g, u64 len, hca_dma_addr_t *addr)
{
	const struct hca_key_entry *e = g->entry;
	const struct hca_mr *mr;

	if (hca_unlikely(!e || g->off + len > g->checked))
		return false;
	mr = hca_load_acquire(&e->mr);
	if (hca_unlikely(!mr || mr->kind == HCA_MR_PAGES))
		return false;
	*addr = hca_mr_run(mr, hca_key_offset(e, g->sge->addr + g->off), &len);
	return true;
}

int hca_sge_copy(struct hca_sge_cursor *dst, hca_site_t dst_site, struct hca_sge_cursor *src, hca_site_t src_site,
		 u64 len, enum hca_sge_side *side)
{
	hca_dma_addr_t d, s;
	bool dst_failed;

	if (hca_likely(one_run(dst, len, &d) && one_run(src, len, &s))) {
		int err = hca_mem_copy_for(dst->mem, d, dst_site, src->mem, s, src_site, len, &dst_failed);

		if (hca_unlikely(err))
			*side = dst_failed ? HCA_SGE_DST : HCA_SGE_SRC;
		advance(src, len);
		advance(dst, len);
		return err;
	}
	while (len) {
		hca_dma_addr_t to, from;
		u64 run = len;
		bool at_dst;
		int err;

		*side = HCA_SGE_SRC;
		err = piece(src, &from, &run);
		if (err)
			return err;
		*side = HCA_SGE_DST;
		err = piece(dst, &to, &run);
		if (err)
			return err;
		err = hca_mem_copy_for(dst->mem, to, dst_site, src->mem, from, src_site, run, &at_dst);
		if (hca_unlikely(err)) {
			*side = at_dst ? HCA_SGE_DST : HCA_SGE_SRC;
			return err;
		}
		advance(src, run);
		advance(dst, run);
		len -= run;
	}
	return 0;
}

u32 hca_sge_places(const struct hca_sge_cursor *from, u64 len, struct hca_place *out)
{
	struct hca_sge_cursor g = *from;
	u32 n = 0;

	while (len) {
		hca_dma_addr_t addr;
		u64 run = len;
		void *at;

		if (piece(&g, &addr, &run))
			return 0;
		at = hca_mem_place(g.mem, addr, run);
		if (!at)
			return 0;
		if (n && (u8 *)out[n - 1].at + out[n - 1].len == (u8 *)at) {
			out[n - 1].len += run;
		} else if (n < HCA_PLACES) {
			out[n++] = (struct hca_place){ .at = at, .len = run };
		} else {
			return 0;
		}
		advance(&g, run);
		len -= run;
	}
	return n;
}

/* Bytes of our own, from or to the places that come next; as many runs as there are in one call of the accessor. */
static int transfer(struct hca_sge_cursor *g, u8 *own, u64 len, enum hca_mem_op op, hca_site_t site)
{
	struct hca_mem_run runs[HCA_MEM_RUNS];

	g->entry = NULL;
	while (len) {
		int err = 0, moved = 0;
		u64 bytes = 0;
		u32 n = 0;

		for (; n < HCA_MEM_RUNS && bytes < len; n++) {
			runs[n].len = len - bytes;
			err = piece(g, &runs[n].addr, &runs[n].len);
			if (err)
				break;
			advance(g, runs[n].len);
			bytes += runs[n].len;
		}
		if (n)
			moved = hca_mem_vector(g->mem, runs, n, own, op, site);
		if (moved || err)
			return moved ? moved : err;
		own += bytes;
		len -= bytes;
	}
	return 0;
}

int hca_sge_put(struct hca_sge_cursor *dst, const void *src, u64 len, hca_site_t site)
{
	return transfer(dst, (u8 *)src, len, HCA_MEM_WRITE, site);
}

int hca_sge_get(struct hca_sge_cursor *src, void *dst, u64 len, hca_site_t site)
{
	return transfer(src, dst, len, HCA_MEM_READ, site);
}
