/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading, writing and copying through memory accessors. Called by the engine and
 * by what stands for it in tests; never looks at an address itself.
 */
#include "dma/ledger.h"
#include "dma/mem.h"

/* The ledger hears of an access after it was tried: what it reports says whether the machine let it through. */
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

/* Moves between the adapter's own bytes and memory; @own is written for a read and only read for a write. */
static int move(struct hca_mem *mem, hca_dma_addr_t addr, u8 *own, u64 len, enum hca_mem_op access)
{
	void *flat = hca_mem_flat(mem, addr, len);
	struct hca_mem_view w;
	int err;

	if (hca_likely(flat)) {
		if (access == HCA_MEM_READ)
			hca_memcpy(own, flat, (size_t)len);
		else
			hca_memcpy(flat, own, (size_t)len);
		return 0;
	}
	if (wraps(addr, len))
		return -EFAULT;
	while (len) {
		err = mem->ops->open(mem, addr, len, access, &w);
		if (err)
			return err;
		if (access == HCA_MEM_READ)
			hca_memcpy(own, w.ptr, (size_t)w.len);
		else
			hca_memcpy(w.ptr, own, (size_t)w.len);
		mem->ops->close(mem, &w);
		addr += w.len;
		own += w.len;
		len -= w.len;
	}
	return 0;
}

int hca_mem_read(struct hca_mem *mem, hca_dma_addr_t addr, void *dst, u64 len, hca_site_t site)
{
	return told(mem, addr, len, HCA_MEM_READ, site, move(mem, addr, dst, len, HCA_MEM_READ));
}

int hca_mem_write(struct hca_mem *mem, hca_dma_addr_t addr, const void *src, u64 len, hca_site_t site)
{
	return told(mem, addr, len, HCA_MEM_WRITE, site, move(mem, addr, (u8 *)src, len, HCA_MEM_WRITE));
}

/* @at_dst says which side an error is of: both may be one accessor. */
static int copy(struct hca_mem *dmem, hca_dma_addr_t dst, struct hca_mem *smem, hca_dma_addr_t src, u64 len,
		bool *at_dst)
{
	struct hca_mem_view d, s;
	int err;

	*at_dst = false;
	if (wraps(src, len))
		return -EFAULT;
	while (len) {
		*at_dst = false;
		err = smem->ops->open(smem, src, len, HCA_MEM_READ, &s);
		if (err)
			return err;
		*at_dst = true;
		err = wraps(dst, len) ? -EFAULT : dmem->ops->open(dmem, dst, s.len, HCA_MEM_WRITE, &d);
		if (err) {
			smem->ops->close(smem, &s);
			return err;
		}
		/* The destination's window is never the larger: it was asked for the source's length. */
		hca_memmove(d.ptr, s.ptr, (size_t)d.len);
		dmem->ops->close(dmem, &d);
		smem->ops->close(smem, &s);
		src += d.len;
		dst += d.len;
		len -= d.len;
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
		hca_memmove(to, from, (size_t)len);
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
	int err = mem->ops->open(mem, addr, sizeof(u64), HCA_MEM_RMW, &w);

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
