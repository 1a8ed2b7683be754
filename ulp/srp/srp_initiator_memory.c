/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP initiator: how the target reaches a request's bytes. The list is mapped for
 * the adapter, and then named by keys: one of the whole memory, or MRs
 * made for this request. What was mapped here is unmapped here, once, when no key
 * leads to it any more.
 */
#include "srp_initiator.h"

#define PAGE_BYTES 4096u
#define REMOTE (IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_WRITE | IB_ACCESS_LOCAL_WRITE)

/* --- descriptors --- */

static int add_desc(struct srp_slot *s, u64 va, u32 key, u64 len)
{
	struct srp_desc d = { .va = va, .key = key, .len = (u32)len };

	if (s->n_descs >= s->ch->ini->attr.max_sg)
		return -EMSGSIZE;
	srp_desc_put(s->table, s->n_descs++, &d);
	return 0;
}

/* --- the key of all memory --- */

static int map_all(struct srp_slot *s, struct scatterlist *sg, int n)
{
	struct ib_device *dev = s->ch->ini->attr.device;
	u32 key = s->ch->pd->unsafe_global_rkey;
	u64 va = 0, len = 0, left = s->req->len;
	int i, err;

	for (i = 0; i < n && left; i++, sg = sg_next(sg)) {
		u64 addr = hca_dma_u64(ib_sg_dma_address(dev, sg));
		u64 part = SRP_MIN(ib_sg_dma_len(dev, sg), left);

		left -= part;
		if (len && va + len == addr) {
			len += part;
			continue;
		}
		if (len) {
			err = add_desc(s, va, key, len);
			if (err)
				return err;
		}
		va = addr;
		len = part;
	}
	if (left)
		return -EINVAL;
	return add_desc(s, va, key, len);
}

/* --- fast registration --- */

static struct ini_mr *mr_get(struct srp_channel *ch)
{
	struct ini_mr *mr;

	srp_lock(&ch->lock);
	mr = ch->free_mrs;
	if (mr) {
		ch->free_mrs = mr->next;
		ch->n_free_mrs--;
	}
	srp_unlock(&ch->lock);
	return mr;
}

static void mrs_put(struct srp_slot *s)
{
	struct srp_channel *ch = s->ch;
	struct ini_mr *mr;

	if (!s->n_mrs)
		return;
	srp_lock(&ch->lock);
	while ((mr = s->mrs)) {
		s->mrs = mr->next;
		mr->next = ch->free_mrs;
		ch->free_mrs = mr;
	}
	ch->n_free_mrs += s->n_mrs;
	srp_unlock(&ch->lock);
	s->n_mrs = 0;
}

static void prepare_reg(struct srp_slot *s, struct ini_mr *mr)
{
	ib_update_fast_reg_key(mr->mr, (u8)(mr->mr->rkey + 1));
	mr->reg = (struct ib_reg_wr){
		.wr = { .wr_cqe = &s->ch->ours_cqe, .opcode = IB_WR_REG_MR },
		.mr = mr->mr,
		.key = mr->mr->rkey,
		/* The adapter writes what the target gives, and reads what it takes; no more is allowed. */
		.access = s->req->dir == DMA_FROM_DEVICE ? IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE :
							   IB_ACCESS_REMOTE_READ,
	};
}

static int map_fast(struct srp_slot *s, struct scatterlist *sg, int n)
{
	struct srp_channel *ch = s->ch;
	struct ini_mr *mr, **last = &s->mrs;
	struct ib_send_wr *before = NULL;
	unsigned int off = 0;
	u64 left = s->req->len;

	while (left) {
		int taken, err;

		if (n <= 0)
			return -EINVAL;
		mr = mr_get(ch);
		if (!mr)
			return s->n_mrs == ch->n_mrs ? -EMSGSIZE : -EAGAIN;
		mr->next = NULL;
		*last = mr;
		last = &mr->next;
		s->n_mrs++;
		taken = ib_map_mr_sg(mr->mr, sg, n, &off, PAGE_BYTES);
		if (taken < 0 || !mr->mr->length)
			return taken < 0 ? taken : -EINVAL;
		prepare_reg(s, mr);
		if (before)
			before->next = &mr->reg.wr;
		before = &mr->reg.wr;
		err = add_desc(s, mr->mr->iova, mr->mr->rkey, SRP_MIN(mr->mr->length, left));
		if (err)
			return err;
		left -= SRP_MIN(mr->mr->length, left);
		for (n -= taken; taken > 0; taken--)
			sg = sg_next(sg);
	}
	return 0;
}

int ini_invalidate(struct srp_slot *s, u32 done_key)
{
	struct ib_send_wr *first = NULL, *last = NULL;
	struct ini_mr *mr;

	for (mr = s->mrs; mr; mr = mr->next) {
		if (done_key && mr->mr->rkey == done_key)
			continue;
		mr->inv = (struct ib_send_wr){
			.wr_cqe = &s->inv_cqe,
			.opcode = IB_WR_LOCAL_INV,
			.ex = { .invalidate_rkey = mr->mr->rkey },
		};
		if (last)
			last->next = &mr->inv;
		else
			first = &mr->inv;
		last = &mr->inv;
	}
	if (!first)
		return 0;
	last->send_flags = IB_SEND_SIGNALED;
	return ib_post_send(s->ch->qp.qp, first, NULL) ? -EIO : 1;
}

/* --- fast memory regions --- */

/* Pages that follow each other by whole pages, from an offset in the first to one in the last. */
struct run {
	u64 va;
	u64 len;
	u32 n;
	u64 pages[256];
};

static int end_run(struct srp_slot *s, struct run *r)
{
	struct srp_channel *ch = s->ch;
	struct ib_pool_fmr *fmr;
	int err;

	if (!r->n)
		return 0;
	fmr = ib_fmr_pool_map_phys(ch->fmr_pool, r->pages, (int)r->n, r->va & ~(u64)(PAGE_BYTES - 1));
	if (IS_ERR(fmr))
		return (int)PTR_ERR(fmr);
	s->fmrs[s->n_fmrs++] = fmr;
	err = add_desc(s, r->va, fmr->fmr->rkey, r->len);
	r->n = 0;
	r->len = 0;
	return err;
}

/* Bytes that lie in one page. */
static int add_to_run(struct srp_slot *s, struct run *r, u64 addr, u64 len)
{
	u64 end = r->n ? r->pages[r->n - 1] + PAGE_BYTES : 0;
	u64 filled = (r->va + r->len) & (PAGE_BYTES - 1);
	int err;

	if (r->n && filled && addr == end - PAGE_BYTES + filled) {
		r->len += len;
		return 0;
	}
	if (r->n && (filled || addr & (PAGE_BYTES - 1) || r->n == s->ch->ini->attr.max_pages)) {
		err = end_run(s, r);
		if (err)
			return err;
	}
	if (!r->n)
		r->va = addr;
	r->pages[r->n++] = addr & ~(u64)(PAGE_BYTES - 1);
	r->len += len;
	return 0;
}

static int map_fmr(struct srp_slot *s, struct scatterlist *sg, int n)
{
	struct ib_device *dev = s->ch->ini->attr.device;
	struct run r = { .n = 0 };
	u64 left = s->req->len;
	int i, err;

	for (i = 0; i < n && left; i++, sg = sg_next(sg)) {
		u64 addr = hca_dma_u64(ib_sg_dma_address(dev, sg));
		u64 len = SRP_MIN(ib_sg_dma_len(dev, sg), left);

		left -= len;
		while (len) {
			u64 part = SRP_MIN(len, PAGE_BYTES - (addr & (PAGE_BYTES - 1)));

			err = s->n_descs >= s->ch->ini->attr.max_sg ? -EMSGSIZE : add_to_run(s, &r, addr, part);
			if (err)
				return err;
			addr += part;
			len -= part;
		}
	}
	if (left)
		return -EINVAL;
	return s->n_descs >= s->ch->ini->attr.max_sg ? -EMSGSIZE : end_run(s, &r);
}

static void fmrs_put(struct srp_slot *s)
{
	while (s->n_fmrs)
		ib_fmr_pool_unmap(s->fmrs[--s->n_fmrs]);
}

/* --- a request --- */

size_t srp_max_entry(const struct ib_device *dev)
{
	size_t most = ib_dma_max_seg_size(dev), mapping;

	if (dev->dma_ops)
		return most;
	mapping = dma_max_mapping_size(dev->dma_device);
	return SRP_MIN(most, mapping);
}

/* No entry is longer than the adapter can ever map: that is no matter of a retry. */
static int check_entries(const struct srp_channel *ch, const struct srp_request *req)
{
	const struct scatterlist *sg = req->sgl;
	u32 i;

	for (i = 0; i < req->nents && sg; i++, sg = sg_next((struct scatterlist *)sg))
		if (sg->length > ch->max_entry)
			return -EMSGSIZE;
	return 0;
}

static int map_list(struct srp_slot *s)
{
	struct srp_request *req = s->req;
	struct sg_table sgt = { .sgl = req->sgl, .nents = req->nents, .orig_nents = req->nents };
	int err = s->ch->max_entry < UINT32_MAX ? check_entries(s->ch, req) : 0;

	if (!err)
		err = ib_dma_map_sgtable_attrs(s->ch->ini->attr.device, &sgt, req->dir, 0);
	if (!err)
		s->mapped = (int)sgt.nents;
	return err;
}

int ini_map(struct srp_slot *s)
{
	struct srp_request *req = s->req;
	int n, err;

	s->n_descs = 0;
	if (req->dir == DMA_NONE)
		return 0;
	err = map_list(s);
	if (err)
		return err;
	n = s->mapped;
	switch (s->ch->ini->attr.memory) {
	case SRP_MEMORY_FAST:
		return map_fast(s, req->sgl, n);
	case SRP_MEMORY_FMR:
		return map_fmr(s, req->sgl, n);
	default:
		return map_all(s, req->sgl, n);
	}
}

void ini_unmap(struct srp_slot *s)
{
	struct srp_request *req = s->req;

	mrs_put(s);
	fmrs_put(s);
	if (s->mapped)
		ib_dma_unmap_sg(s->ch->ini->attr.device, req->sgl, (int)req->nents, req->dir);
	s->mapped = 0;
}

/* --- a channel --- */

static int make_mrs(struct srp_channel *ch)
{
	const struct srp_initiator_attr *a = &ch->ini->attr;
	u32 i, n = a->max_sg + a->depth;

	ch->mrs = srp_alloc(n, sizeof(*ch->mrs));
	if (!ch->mrs)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct ini_mr *mr = &ch->mrs[i];

		mr->mr = ib_alloc_mr(ch->pd, IB_MR_TYPE_MEM_REG, a->max_pages);
		if (IS_ERR(mr->mr)) {
			int err = (int)PTR_ERR(mr->mr);

			mr->mr = NULL;
			return err;
		}
		ch->n_mrs++;
		mr->next = ch->free_mrs;
		ch->free_mrs = mr;
		ch->n_free_mrs++;
	}
	return 0;
}

static int make_fmrs(struct srp_channel *ch)
{
	const struct srp_initiator_attr *a = &ch->ini->attr;
	const struct ib_fmr_pool_param param = {
		.max_pages_per_fmr = (int)a->max_pages,
		.page_shift = 12,
		.access = REMOTE,
		.pool_size = (int)(a->max_sg + a->depth),
		.dirty_watermark = (int)SRP_MAX(a->depth / 4, 1u),
	};
	u32 i;

	ch->fmr_room = srp_alloc((size_t)ch->n_slots * a->max_sg, sizeof(struct ib_pool_fmr *));
	if (!ch->fmr_room)
		return -ENOMEM;
	for (i = 0; i < ch->n_slots; i++)
		ch->slots[i].fmrs = ch->fmr_room + (size_t)i * a->max_sg;
	ch->fmr_pool = ib_create_fmr_pool(ch->pd, &param);
	if (IS_ERR(ch->fmr_pool)) {
		int err = (int)PTR_ERR(ch->fmr_pool);

		ch->fmr_pool = NULL;
		return err;
	}
	return 0;
}

/* Tables that don't fit into an IU are fetched from here, under one key for all of them. */
static int make_tables(struct srp_channel *ch)
{
	const size_t each = (size_t)ch->ini->attr.max_sg * SRP_DESC_BYTES;
	struct ib_phys_buf buf;
	u64 iova;
	u32 i;
	int err = srp_mem_make(&ch->table_mem, ch->ini->attr.device, each * ch->n_slots);

	if (err)
		return err;
	for (i = 0; i < ch->n_slots; i++) {
		ch->slots[i].table = ch->table_mem.cpu + i * each;
		ch->slots[i].table_dma = ch->table_mem.dma + (u64)(i * each);
	}
	if (ch->ini->attr.memory == SRP_MEMORY_ALL) {
		ch->table_key = ch->pd->unsafe_global_rkey;
		return 0;
	}
	buf = (struct ib_phys_buf){ .addr = hca_dma_u64(ch->table_mem.dma), .size = each * ch->n_slots };
	iova = buf.addr;
	ch->table_mr = ib_reg_phys_mr(ch->pd, &buf, 1, IB_ACCESS_REMOTE_READ, &iova);
	if (IS_ERR(ch->table_mr)) {
		err = (int)PTR_ERR(ch->table_mr);
		ch->table_mr = NULL;
		return err;
	}
	ch->table_key = ch->table_mr->rkey;
	return 0;
}

int ini_memory_make(struct srp_channel *ch)
{
	int err = make_tables(ch);

	ch->max_entry = srp_max_entry(ch->ini->attr.device);

	if (!err && ch->ini->attr.memory == SRP_MEMORY_FAST)
		err = make_mrs(ch);
	if (!err && ch->ini->attr.memory == SRP_MEMORY_FMR)
		err = make_fmrs(ch);
	return err;
}

void ini_memory_drop(struct srp_channel *ch)
{
	u32 i;

	for (i = 0; i < ch->n_mrs; i++)
		ib_dereg_mr(ch->mrs[i].mr);
	ch->n_mrs = 0;
	ch->n_free_mrs = 0;
	ch->free_mrs = NULL;
	srp_free(ch->mrs);
	ch->mrs = NULL;
	if (ch->fmr_pool)
		ib_destroy_fmr_pool(ch->fmr_pool);
	ch->fmr_pool = NULL;
	srp_free(ch->fmr_room);
	ch->fmr_room = NULL;
	if (ch->table_mr)
		ib_dereg_mr(ch->table_mr);
	ch->table_mr = NULL;
	srp_mem_drop(&ch->table_mem);
}
