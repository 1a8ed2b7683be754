/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading, writing and copying through memory accessors. Called by the engine and
 * by what stands for it in tests; never looks at an address itself.
 */
#include "dma/ledger.h"
#include "dma/mem.h"

/* The ledger records an access after the attempt: its report says whether the machine let it through. */
static int told(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, hca_site_t site, int err)
{
	struct hca_ledger *ledger = hca_load(&mem->ledger);

	if (hca_unlikely(ledger))
		hca_ledger_use(ledger, addr, len, access, site, err);
	return err;
}

static bool wraps(hca_dma_addr_t addr, u64 len)
{
	return len && hca_dma_u64(addr) + (len - 1) < hca_dma_u64(addr);
}

static int one_vector(struct hca_mem *mem, hca_dma_addr_t addr, void *own, u64 len, enum hca_mem_op op)
{
	const struct hca_mem_run run = { .addr = addr, .len = len };

	return len ? mem->ops->vector(mem, &run, 1, own, op) : 0;
}

/* Moves between the adapter's own bytes and memory; @own is written for a read and only read for a write. */
static int move(struct hca_mem *mem, hca_dma_addr_t addr, u8 *own, u64 len, enum hca_mem_op op)
{
	void *flat = hca_mem_flat(mem, addr, len);
	struct hca_mem_view w;
	int err;

	if (hca_likely(flat)) {
		if (op == HCA_MEM_READ)
			hca_memcpy(own, flat, (size_t)len);
		else
			hca_mem_put_bytes(flat, own, (size_t)len);
		return 0;
	}
	if (wraps(addr, len))
		return -EFAULT;
	if (mem->ops->vector)
		return one_vector(mem, addr, own, len, op);
	while (len) {
		err = mem->ops->open(mem, addr, len, op, &w);
		if (err)
			return err;
		if (op == HCA_MEM_READ)
			hca_memcpy(own, w.ptr, (size_t)w.len);
		else
			hca_mem_put_bytes(w.ptr, own, (size_t)w.len);
		mem->ops->close(mem, &w);
		addr += w.len;
		own += w.len;
		len -= w.len;
	}
	return 0;
}

int hca_mem_vector(struct hca_mem *mem, const struct hca_mem_run *runs, u32 n, void *own, enum hca_mem_op op,
		   hca_site_t site)
{
	u8 *at = own;
	int err = 0;
	u32 i;

	if (mem->ops->vector && n > 1) {
		for (i = 0; i < n && !err; i++)
			err = wraps(runs[i].addr, runs[i].len) ? -EFAULT : 0;
		if (!err)
			err = mem->ops->vector(mem, runs, n, own, op);
		for (i = 0; i < n; i++)
			told(mem, runs[i].addr, runs[i].len, op, site, err);
		return err;
	}
	for (i = 0; i < n && !err; at += runs[i].len, i++)
		err = told(mem, runs[i].addr, runs[i].len, op, site, move(mem, runs[i].addr, at, runs[i].len, op));
	return err;
}

int hca_mem_read(struct hca_mem *mem, hca_dma_addr_t addr, void *dst, u64 len, hca_site_t site)
{
	return told(mem, addr, len, HCA_MEM_READ, site, move(mem, addr, dst, len, HCA_MEM_READ));
}

int hca_mem_write(struct hca_mem *mem, hca_dma_addr_t addr, const void *src, u64 len, hca_site_t site)
{
	return told(mem, addr, len, HCA_MEM_WRITE, site, move(mem, addr, (u8 *)src, len, HCA_MEM_WRITE));
}

/* One step of a copy: as much as a window shows, or as fits a small buffer where neither side has windows. */
static int copy_step(struct hca_mem *dmem, hca_dma_addr_t dst, struct hca_mem *smem, hca_dma_addr_t src, u64 *len,
		     bool *at_dst)
{
	struct hca_mem_view s;
	u8 buffer[256];
	int err;

	*at_dst = false;
	if (smem->ops->vector) {
		s.ptr = buffer;
		s.len = HCA_MIN(*len, (u64)sizeof(buffer));
		err = one_vector(smem, src, buffer, s.len, HCA_MEM_READ);
	} else {
		err = smem->ops->open(smem, src, *len, HCA_MEM_READ, &s);
	}
	if (err)
		return err;
	*at_dst = true;
	if (dmem->ops->vector) {
		err = one_vector(dmem, dst, s.ptr, s.len, HCA_MEM_WRITE);
	} else {
		struct hca_mem_view d;

		err = dmem->ops->open(dmem, dst, s.len, HCA_MEM_WRITE, &d);
		if (!err) {
			/* The destination's window is never the larger: it was asked for the source's length. */
			hca_mem_put_bytes(d.ptr, s.ptr, (size_t)d.len);
			s.len = d.len;
			dmem->ops->close(dmem, &d);
		}
	}
	*len = s.len;
	if (!smem->ops->vector)
		smem->ops->close(smem, &s);
	return err;
}

/* @at_dst says which side an error is of: both may be one accessor. */
static int copy(struct hca_mem *dmem, hca_dma_addr_t dst, struct hca_mem *smem, hca_dma_addr_t src, u64 len,
		bool *at_dst)
{
	int err;

	*at_dst = !wraps(src, len);
	if (wraps(src, len) || wraps(dst, len))
		return -EFAULT;
	if (dmem->ops->copy && dmem->ops == smem->ops)
		return dmem->ops->copy(dst, src, len, at_dst);
	while (len) {
		u64 step = len;

		err = copy_step(dmem, dst, smem, src, &step, at_dst);
		if (err)
			return err;
		src += step;
		dst += step;
		len -= step;
	}
	return 0;
}

int hca_mem_copy_for(struct hca_mem *dmem, hca_dma_addr_t dst, hca_site_t dst_site, struct hca_mem *smem,
		     hca_dma_addr_t src, hca_site_t src_site, u64 len, bool *dst_failed)
{
	struct hca_ledger *sl = hca_load(&smem->ledger), *dl = hca_load(&dmem->ledger);
	void *to = hca_mem_flat(dmem, dst, len), *from = hca_mem_flat(smem, src, len);
	bool at_dst = false;
	int err = 0;

	if (hca_likely(to && from))
		hca_mem_put_bytes(to, from, (size_t)len);
	else
		err = copy(dmem, dst, smem, src, len, &at_dst);
	if (hca_unlikely(sl))
		hca_ledger_use(sl, src, len, HCA_MEM_READ, src_site, at_dst ? 0 : err);
	if (hca_unlikely(dl))
		hca_ledger_use(dl, dst, len, HCA_MEM_WRITE, dst_site, at_dst ? err : 0);
	if (err && dst_failed)
		*dst_failed = at_dst;
	return err;
}

static int atomic_op(struct hca_mem *mem, hca_dma_addr_t addr, enum hca_atomic op, u64 arg, u64 swap, u64 *old)
{
	struct hca_mem_view w;
	int err;

	if (mem->ops->atomic)
		return mem->ops->atomic(mem, addr, op, arg, swap, old);
	err = mem->ops->open(mem, addr, sizeof(u64), HCA_MEM_RMW, &w);

	if (err)
		return err;
	/* Aligned bytes lie in one page, so a window has all of them or is broken. */
	if (w.len < sizeof(u64))
		err = -EFAULT;
	else if (op == HCA_ATOMIC_CMP_SWAP)
		*old = hca_cmpxchg((u64 *)w.ptr, arg, swap);
	else
		*old = hca_fetch_add((u64 *)w.ptr, arg);
	mem->ops->close(mem, &w);
	return err;
}

int hca_mem_atomic(struct hca_mem *mem, hca_dma_addr_t addr, enum hca_atomic op, u64 arg, u64 swap, u64 *old,
		   hca_site_t site)
{
	if (hca_dma_u64(addr) & (sizeof(u64) - 1))
		return -EINVAL;
	return told(mem, addr, sizeof(u64), HCA_MEM_RMW, site, atomic_op(mem, addr, op, arg, swap, old));
}
