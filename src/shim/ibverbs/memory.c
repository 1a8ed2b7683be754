/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The memory accessor of the drop-in: a DMA address is the process's own virtual
 * address, all of the address space, reached by copies whose faults are caught.
 * Nothing is pinned or touched before bytes move.
 */
#include "dma/addr.h"
#include "shim.h"

static int move_run(const struct hca_mem_run *run, void *own, enum hca_mem_op op)
{
	void *at = hca_addr_to_ptr(run->addr);
	struct shim_fault f;

	if (op == HCA_MEM_READ)
		f = shim_copy(own, at, (size_t)run->len);
	else
		f = shim_put(at, own, (size_t)run->len);
	return hca_unlikely(f.faulted) ? -EFAULT : 0;
}

static int vector(struct hca_mem *mem, const struct hca_mem_run *runs, u32 n, void *own, enum hca_mem_op op)
{
	u8 *at = own;
	int err = 0;
	u32 i;

	(void)mem;
	for (i = 0; i < n && !err; at += runs[i].len, i++)
		err = move_run(&runs[i], at, op);
	return err;
}

/* Of an address that can't be at all the processor says that something is wrong, but not which one. */
#define PROGRAM_BITS 47u

/* From one region of this process to another. */
static int copy(hca_dma_addr_t dst, hca_dma_addr_t src, u64 len, bool *at_dst)
{
	struct shim_fault f = shim_put(hca_addr_to_ptr(dst), hca_addr_to_ptr(src), (size_t)len);

	if (hca_likely(!f.faulted))
		return 0;
	*at_dst = f.value - hca_dma_u64(dst) < len ||
		  (f.value - hca_dma_u64(src) >= len && !(hca_dma_u64(src) >> PROGRAM_BITS));
	return -EFAULT;
}

static int atomic(struct hca_mem *mem, hca_dma_addr_t addr, enum hca_atomic op, u64 arg, u64 swap, u64 *old)
{
	u64 *at = hca_addr_to_ptr(addr);
	struct shim_fault f = op == HCA_ATOMIC_CMP_SWAP ? shim_cmp_swap(at, arg, swap) : shim_fetch_add(at, arg);

	(void)mem;
	if (hca_unlikely(f.faulted))
		return -EFAULT;
	*old = f.value;
	return 0;
}

/* A DMA address is the program's own. */
static void *place(struct hca_mem *mem, hca_dma_addr_t addr, u64 len)
{
	(void)mem;
	(void)len;
	return (void *)(uintptr_t)hca_dma_u64(addr);
}

static const struct hca_mem_ops ops = {
	.place = place,
	.vector = vector,
	.atomic = atomic,
	.copy = copy,
};

void shim_mem_init(struct hca_mem *mem)
{
	*mem = (struct hca_mem){ .ops = &ops };
}
