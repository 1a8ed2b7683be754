/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The memory accessor: how an adapter reaches the memory at a DMA address.
 *
 * A driver fills in struct hca_mem_ops; the engine reads, writes and copies with
 * hca_mem_read/write/copy and knows nothing else about addresses. An accessor
 * opens a window on as many contiguous bytes of a range as it can, and closes it
 * when the bytes are moved: a page without a mapping is mapped just that long, and
 * an IOMMU's invalidation waits just that long.
 */
#ifndef HCA_DMA_MEM_H
#define HCA_DMA_MEM_H

#include "os.h"
#include "softhca/hca_ledger.h"

/** enum hca_mem_op - the adapter's access to memory; not a flag of enum hca_access_flags, whose values are different */
#define HCA_MEM_OP_SHIFT 28

enum hca_mem_op {
	HCA_MEM_READ = 1 << HCA_MEM_OP_SHIFT,
	HCA_MEM_WRITE = 2 << HCA_MEM_OP_SHIFT,
	HCA_MEM_RMW = HCA_MEM_READ | HCA_MEM_WRITE,
};

struct hca_mem;
struct hca_ledger;

/**
 * struct hca_mem_view - bytes that may be accessed until the window is closed
 * @ptr: the first byte
 * @len: bytes, at least 1 and at most the requested number
 * @cookie: the accessor's own
 */
struct hca_mem_view {
	void *ptr;
	u64 len;
	uintptr_t cookie;
};

/** enum hca_atomic - the operations of hca_mem_atomic() */
enum hca_atomic { HCA_ATOMIC_CMP_SWAP, HCA_ATOMIC_FETCH_ADD };

/** struct hca_mem_run - contiguous bytes */
struct hca_mem_run {
	hca_dma_addr_t addr;
	u64 len;
};

/* The largest number of runs in one call. */
#define HCA_MEM_RUNS 8u

/**
 * struct hca_mem_ops - a driver's access to memory
 * @open: a window on the first bytes of [@addr, @addr + @len). -EFAULT if the address isn't mapped or the
 *	access isn't allowed, -ENOMEM if the page can't be mapped now. Must not sleep; windows nest at most 4 deep.
 * @close: close the window; windows are closed last opened first.
 * @vector: move the bytes of runs to or from the adapter's own memory at once, for memory without windows, such as another
 *	process's; NULL: use windows. @op is HCA_MEM_READ or HCA_MEM_WRITE. Must not sleep. -EFAULT, -ENOMEM.
 * @atomic: an atomic operation by a call, for memory without windows; NULL: use windows. The address is aligned.
 * @place: the address of all bytes of a run in this address space, which need not be mapped: for a caller that can
 *	check this. NULL: there is none. The op may be NULL.
 * @copy: from one run to another, for accessors that both have these calls; the last byte comes last. NULL: use the other calls.
 *	-EFAULT, and whether the destination refused.
 *
 * An accessor has windows, or @vector and @atomic.
 */
struct hca_mem_ops {
	int (*open)(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w);
	void (*close)(struct hca_mem *mem, struct hca_mem_view *w);
	int (*vector)(struct hca_mem *mem, const struct hca_mem_run *runs, u32 n, void *own, enum hca_mem_op op);
	int (*atomic)(struct hca_mem *mem, hca_dma_addr_t addr, enum hca_atomic op, u64 arg, u64 swap, u64 *old);
	void *(*place)(struct hca_mem *mem, hca_dma_addr_t addr, u64 len);
	int (*copy)(hca_dma_addr_t dst, hca_dma_addr_t src, u64 len, bool *at_dst);
};

/**
 * struct hca_mem - an accessor; a driver embeds it
 * @ops: never NULL
 * @ledger: records every access; NULL: there is none. Atomic: it may be removed while the device is used; the remover
 *	keeps it until no thread is inside.
 * @flat, @flat_len, @flat_ptr: DMA addresses from @flat on stand for the bytes from @flat_ptr on, for so many bytes, to be
 *	read and written without a window, as long as the accessor lives; @flat_len 0: there are none
 */
struct hca_mem {
	const struct hca_mem_ops *ops;
	struct hca_ledger *ledger;
	u64 flat;
	u64 flat_len;
	u8 *flat_ptr;
};

/** hca_mem_flat() - the bytes at a DMA address, if all of them can be accessed without a window; else NULL */
static inline void *hca_mem_flat(const struct hca_mem *mem, hca_dma_addr_t addr, u64 len)
{
	u64 off = hca_dma_u64(addr) - mem->flat;

	if (off >= mem->flat_len || len > mem->flat_len - off)
		return NULL;
	return mem->flat_ptr + (size_t)off;
}

/** hca_mem_plain() - the same; NULL also if a ledger records accesses */
static inline void *hca_mem_plain(const struct hca_mem *mem, hca_dma_addr_t addr, u64 len)
{
	return hca_unlikely(hca_load(&mem->ledger)) ? NULL : hca_mem_flat(mem, addr, len);
}

/** hca_mem_place() - the address of bytes in this address space; NULL: there is none, or a ledger records accesses */
static inline void *hca_mem_place(struct hca_mem *mem, hca_dma_addr_t addr, u64 len)
{
	void *flat = hca_mem_plain(mem, addr, len);

	if (flat || hca_load(&mem->ledger) || !mem->ops->place)
		return flat;
	return mem->ops->place(mem, addr, len);
}

/**
 * hca_mem_put_bytes() - move bytes, which may overlap, to memory that a program may be polling
 *
 * Programs poll the last byte of an RDMA write: it must not be seen before the other bytes. Bytes that fit one store are one store.
 */
static inline void hca_mem_put_bytes(void *to, const void *from, size_t len)
{
	u8 last;

	switch (len) {
	case 8:
		hca_memcpy(to, from, 8);
		return;
	case 4:
		hca_memcpy(to, from, 4);
		return;
	case 0:
		return;
	}
	last = ((const u8 *)from)[len - 1];
	hca_memmove(to, from, len - 1);
	hca_store_release((u8 *)to + len - 1, last);
}

/**
 * hca_mem_read() - copy bytes at a DMA address to the adapter's own memory
 * @site: the post that this is done for, or NULL; the ledger names it
 *
 * Return: 0, or the accessor's error; the destination may then be partly written.
 */
int hca_mem_read(struct hca_mem *mem, hca_dma_addr_t addr, void *dst, u64 len, hca_site_t site);

/** hca_mem_write() - copy the adapter's own bytes to a DMA address; as hca_mem_read() */
int hca_mem_write(struct hca_mem *mem, hca_dma_addr_t addr, const void *src, u64 len, hca_site_t site);

/**
 * hca_mem_copy_for() - copy from one adapter's memory to another's, in one pass
 * @dst_site: the post that named the destination, @src_site: the source; or NULL
 * @dst_failed: if given and the copy fails: was it the destination that was refused?
 *
 * The two may be one accessor. Return: 0, or the accessor's error; the destination may then be partly written.
 */
int hca_mem_copy_for(struct hca_mem *dmem, hca_dma_addr_t dst, hca_site_t dst_site, struct hca_mem *smem,
		     hca_dma_addr_t src, hca_site_t src_site, u64 len, bool *dst_failed);

/** hca_mem_copy() - the same for one post */
static inline int hca_mem_copy(struct hca_mem *dmem, hca_dma_addr_t dst, struct hca_mem *smem, hca_dma_addr_t src,
			       u64 len, hca_site_t site, bool *dst_failed)
{
	return hca_mem_copy_for(dmem, dst, site, smem, src, site, len, dst_failed);
}

/**
 * hca_mem_vector() - as hca_mem_read() or hca_mem_write() of several runs, one after the other, in as few calls as the accessor takes
 * @runs: @n of them, 1 to HCA_MEM_RUNS
 * @own: bytes of all of them
 */
int hca_mem_vector(struct hca_mem *mem, const struct hca_mem_run *runs, u32 n, void *own, enum hca_mem_op op,
		   hca_site_t site);

/**
 * hca_mem_atomic() - an atomic operation on 8 bytes at @addr, which must be a multiple of 8
 * @arg: what to compare with, or to add
 * @swap: what to store if the comparison holds
 * @old: set to the previous value
 *
 * Atomic with respect to the CPU's own and to every adapter's of this machine.
 * Return: 0; -EINVAL: not aligned; or the accessor's error.
 */
int hca_mem_atomic(struct hca_mem *mem, hca_dma_addr_t addr, enum hca_atomic op, u64 arg, u64 swap, u64 *old,
		   hca_site_t site);

#endif
