/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Protection domains and memory regions of the kernel-style verbs, and the way from a
 * mapped scatterlist to a list of pages.
 */
#include "ib_core.h"

#define ACCESS_KNOWN \
	(IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC | \
	 IB_ACCESS_MW_BIND | IB_ZERO_BASED | HCA_ACCESS_OPTIONAL)
#define MIN_PAGE 4096u

/* --- protection domains --- */

static int make_all(struct ib_pd_priv *p, u32 access, struct hca_mr **out)
{
	const struct hca_mr_attr attr = { .kind = HCA_MR_ALL, .access = access };

	return hca_mr_create(&p->pd, &attr, out);
}

struct ib_pd *ib_alloc_pd(struct ib_device *device, unsigned int flags)
{
	struct ib_pd_priv *p;
	int err;

	if (!device->core)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: PD not made: the device isn't registered", device->name));
	if (flags & ~(unsigned int)IB_PD_UNSAFE_GLOBAL_RKEY)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: PD not made: unknown flags 0x%x", device->name, flags));
	err = ib_core_take(device, IB_OBJ_PD);
	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (!p)
		goto give;
	hca_pd_init(&p->pd, &device->core->hca);
	p->ib.device = device;
	p->ib.flags = flags;
	err = make_all(p, HCA_ACCESS_LOCAL_WRITE, &p->local);
	if (err)
		goto free_pd;
	if (flags & IB_PD_UNSAFE_GLOBAL_RKEY) {
		err = make_all(p, HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE, &p->global);
		if (err)
			goto destroy_local;
		p->ib.unsafe_global_rkey = p->global->key;
	}
	p->ib.local_dma_lkey = p->local->key;
	return &p->ib;
destroy_local:
	hca_mr_destroy(p->local);
free_pd:
	hca_free(p);
give:
	ib_core_give(device, IB_OBJ_PD);
	return ERR_PTR(err);
}

int ib_dealloc_pd(struct ib_pd *pd)
{
	struct ib_pd_priv *p = ib_pd_of(pd);
	struct ib_device *device = pd->device;

	u32 own = p->global ? 2 : 1, users = hca_load_acquire(&p->pd.users);

	if (users != own)
		return hca_refuse(-EBUSY, "%s: PD not freed: %u MRs, MWs, QPs, SRQs or AHs of it are left",
				  device->name, users - own);
	hca_mr_destroy(p->local);
	if (p->global)
		hca_mr_destroy(p->global);
	hca_free(p);
	ib_core_give(device, IB_OBJ_PD);
	return 0;
}

/* --- memory regions --- */

static int check_access(const struct ib_pd *pd, int access)
{
	if (access & ~ACCESS_KNOWN)
		return hca_refuse(-EINVAL, "%s: MR not made: access 0x%x has bits that aren't supported: 0x%x",
				  pd->device->name, (u32)access, (u32)(access & ~ACCESS_KNOWN));
	return 0;
}

static struct ib_mr *mr_create(struct ib_pd *pd, enum ib_mr_type type, const struct hca_mr_attr *attr)
{
	struct ib_device *device = pd->device;
	struct ib_mr_priv *mr;
	int err = ib_core_take(device, IB_OBJ_MR);

	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	mr = hca_alloc(sizeof(*mr), HCA_MAY_SLEEP);
	if (!mr)
		goto give;
	mr->room = attr->max_pages;
	mr->list = mr->room ? hca_alloc(mr->room * sizeof(*mr->list), HCA_MAY_SLEEP) : NULL;
	if (mr->room && !mr->list)
		goto free_mr;
	err = hca_mr_create(&ib_pd_of(pd)->pd, attr, &mr->mr);
	if (err)
		goto free_list;
	mr->ib.device = device;
	mr->ib.pd = pd;
	mr->ib.type = type;
	mr->ib.lkey = mr->ib.rkey = mr->mr->key;
	mr->ib.res.id = mr->mr->key >> 8;
	return &mr->ib;
free_list:
	hca_free(mr->list);
free_mr:
	hca_free(mr);
give:
	ib_core_give(device, IB_OBJ_MR);
	return ERR_PTR(err);
}

struct ib_mr *ib_get_dma_mr(struct ib_pd *pd, int access)
{
	const struct hca_mr_attr attr = { .kind = HCA_MR_ALL, .access = (u32)access };

	int err = check_access(pd, access);

	return err ? ERR_PTR(err) : mr_create(pd, IB_MR_TYPE_DMA, &attr);
}

struct ib_mr *ib_alloc_mr(struct ib_pd *pd, enum ib_mr_type type, u32 max_num_sg)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = max_num_sg, .invalid = true };
	u32 most = pd->device->attrs.max_fast_reg_page_list_len;

	/* A piece takes the room of two pages. */
	if (type == IB_MR_TYPE_SG_GAPS) {
		most /= 2;
		attr.max_pages *= 2;
	} else if (type != IB_MR_TYPE_MEM_REG) {
		return ERR_PTR(hca_refuse(-EINVAL, "%s: MR not made: type %d isn't for fast registration",
					  pd->device->name, (int)type));
	}
	if (!max_num_sg || max_num_sg > most)
		return ERR_PTR(hca_refuse(-EINVAL, "%s: MR not made: max_num_sg is %u, must be from 1 to %u",
					  pd->device->name, max_num_sg, most));
	return mr_create(pd, type, &attr);
}

int ib_dereg_mr(struct ib_mr *ib)
{
	struct ib_device *device = ib->device;
	struct ib_mr_priv *mr = ib_mr_of(ib);
	int err = hca_mr_destroy(mr->mr);

	if (err)
		return err;
	hca_free(mr->list);
	hca_free(mr);
	ib_core_give(device, IB_OBJ_MR);
	return 0;
}

/* --- lists of pages --- */

/*
 * One more piece for the MR. Pieces are whole pages but for the beginning of the first and the end of the last; one that goes
 * on where the last ended is part of it. Return: bytes of it that fit.
 */
static u64 add_piece(struct ib_mr_priv *mr, u64 addr, u64 len)
{
	u64 size = mr->ib.page_size, mask = size - 1;
	u64 left = len;

	if (mr->ib.length) {
		u64 end = mr->pages.npages ? (mr->list[mr->pages.npages - 1] & ~mask) + size : 0;
		u64 filled = ((mr->list[0] & mask) + mr->ib.length) & mask;

		if (filled) {
			u64 room = size - filled;

			if (addr != end - room)
				return 0;
			room = HCA_MIN(room, left);
			left -= room;
			addr += room;
		} else if (addr & mask) {
			return 0;
		}
	}
	while (left && mr->pages.npages < mr->room) {
		u64 part = HCA_MIN(left, size - (addr & mask));

		mr->list[mr->pages.npages++] = addr;
		addr += part;
		left -= part;
	}
	mr->ib.length += len - left;
	return len - left;
}

/* The same of an MR of pieces, which begin and end anywhere; one that goes on where the last ended is part of it. */
static u64 add_gap_piece(struct ib_mr_priv *mr, u64 addr, u64 len)
{
	u32 n = mr->pages.npages;

	if (!len)
		return 0;
	if (n && addr - mr->list[n - 2] == mr->ib.length - (n > 2 ? mr->list[n - 3] : 0)) {
		n -= 2;
	} else {
		if (n + 2 > mr->room)
			return 0;
		mr->list[n] = addr;
		mr->pages.npages = n + 2;
	}
	mr->ib.length += len;
	mr->list[n + 1] = mr->ib.length;
	return len;
}

static void begin_list(struct ib_mr_priv *mr, unsigned int page_size)
{
	mr->ib.page_size = page_size;
	mr->ib.length = 0;
	mr->pages = (struct hca_mr_pages){ .pages = mr->list };
	if (mr->ib.type == IB_MR_TYPE_SG_GAPS) {
		mr->pages.page_shift = HCA_MR_PIECES;
		return;
	}
	while ((u64)1 << mr->pages.page_shift < page_size)
		mr->pages.page_shift++;
}

static int check_map(struct ib_mr *ib, struct scatterlist *sg, int sg_nents, unsigned int skip, unsigned int page_size)
{
	const char *dev = ib->device->name;

	if (ib->type != IB_MR_TYPE_MEM_REG && ib->type != IB_MR_TYPE_SG_GAPS)
		return hca_refuse(-EINVAL, "%s: list not taken into MR 0x%x: it isn't one of ib_alloc_mr()", dev,
				  ib->lkey);
	if (page_size < MIN_PAGE || page_size & (page_size - 1))
		return hca_refuse(-EINVAL,
				  "%s: list not taken into MR 0x%x: page_size is %u, must be a power of two from %u on",
				  dev, ib->lkey, page_size, MIN_PAGE);
	if (sg_nents <= 0 || !sg)
		return hca_refuse(-EINVAL, "%s: list not taken into MR 0x%x: %d entries", dev, ib->lkey, sg_nents);
	if (skip > ib_sg_dma_len(ib->device, sg))
		return hca_refuse(-EINVAL,
				  "%s: list not taken into MR 0x%x: sg_offset is %u, the first entry has %u bytes", dev,
				  ib->lkey, skip, ib_sg_dma_len(ib->device, sg));
	return 0;
}

int ib_map_mr_sg(struct ib_mr *ib, struct scatterlist *sg, int sg_nents, unsigned int *sg_offset,
		 unsigned int page_size)
{
	struct ib_mr_priv *mr = ib_mr_of(ib);
	unsigned int skip = sg_offset ? *sg_offset : 0;
	int i;

	if (check_map(ib, sg, sg_nents, skip, page_size))
		return -EINVAL;
	begin_list(mr, page_size);
	ib->iova = hca_dma_u64(ib_sg_dma_address(ib->device, sg)) + skip;
	for (i = 0; i < sg_nents && sg; i++, sg = sg_next(sg)) {
		u64 len = ib_sg_dma_len(ib->device, sg) - skip;
		u64 addr = hca_dma_u64(ib_sg_dma_address(ib->device, sg)) + skip;
		u64 fit = ib->type == IB_MR_TYPE_SG_GAPS ? add_gap_piece(mr, addr, len) : add_piece(mr, addr, len);

		if (fit < len) {
			if (sg_offset)
				*sg_offset = fit ? (unsigned int)(skip + fit) : 0;
			break;
		}
		skip = 0;
		if (sg_offset)
			*sg_offset = 0;
	}
	return i;
}

/* The pages that stay are listed once, and the MR is valid from its birth. */
static int phys_pages(const struct ib_phys_buf *buf, int num, u64 iova, u64 *npages)
{
	const u64 mask = MIN_PAGE - 1;
	int i;

	*npages = 0;
	if (num <= 0 || !buf)
		return hca_refuse(-EINVAL, "MR of buffers not made: %d buffers", num);
	if ((buf[0].addr & mask) != (iova & mask))
		return hca_refuse(
			-EINVAL,
			"MR of buffers not made: iova 0x%llx and the first address 0x%llx differ within a page",
			(unsigned long long)iova, (unsigned long long)buf[0].addr);
	for (i = 0; i < num; i++) {
		u64 in = buf[i].addr & mask;

		if (!buf[i].size || buf[i].size > ~0ull - buf[i].addr)
			return hca_refuse(-EINVAL,
					  "MR of buffers not made: buffer %d has no bytes, or goes beyond the end", i);
		if ((i && in) || (i < num - 1 && (in + buf[i].size) & mask))
			return hca_refuse(
				-EINVAL,
				"MR of buffers not made: buffer %d begins or ends within a page, where others follow",
				i);
		*npages += (in + buf[i].size - 1) / MIN_PAGE + 1;
		if (*npages > HCA_MR_MAX_PAGES)
			return hca_refuse(-EINVAL, "MR of buffers not made: more than %u pages", HCA_MR_MAX_PAGES);
	}
	return 0;
}

struct ib_mr *ib_reg_phys_mr(struct ib_pd *pd, const struct ib_phys_buf *buf, int num, int access, u64 *iova_start)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .invalid = true };
	struct ib_mr_priv *mr;
	struct ib_mr *ib;
	u64 npages;
	int err;
	int i;

	if (check_access(pd, access) || phys_pages(buf, num, *iova_start, &npages))
		return ERR_PTR(-EINVAL);
	attr.max_pages = (u32)npages;
	ib = mr_create(pd, IB_MR_TYPE_PHYS, &attr);
	if (IS_ERR(ib))
		return ib;
	mr = ib_mr_of(ib);
	begin_list(mr, MIN_PAGE);
	for (i = 0; i < num; i++)
		add_piece(mr, buf[i].addr, buf[i].size);
	ib->iova = access & IB_ZERO_BASED ? 0 : *iova_start;
	mr->pages.key = ib->lkey;
	mr->pages.access = (u32)access;
	mr->pages.iova = ib->iova;
	mr->pages.length = ib->length;
	err = hca_mr_register(mr->mr, &mr->pages);
	if (err) {
		ib_dereg_mr(ib);
		return ERR_PTR(err);
	}
	return ib;
}
