/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The argument check of the mapping layer. Every backend's map calls
 * it, so that all backends refuse the same arguments with the same errors.
 */
#ifndef HCA_DMA_CHECK_H
#define HCA_DMA_CHECK_H

#include "os.h"

/**
 * struct hca_dma_space - the memory that can be mapped, as one range of bytes
 * @low: bytes that are always mapped for the CPU; they come first
 * @all: bytes in all
 *
 * A byte is identified by its offset in that range; an offset of @all or more is not memory of this machine.
 */
struct hca_dma_space {
	u64 low;
	u64 all;
};

/** hca_dma_in_range() - do @len bytes from @off fit below @limit? Can't wrap. */
static inline bool hca_dma_in_range(u64 off, u64 len, u64 limit)
{
	return len <= limit && off <= limit - len;
}

/** hca_dma_dir_valid() - may a mapping have this direction? */
static inline bool hca_dma_dir_valid(int dir)
{
	return dir == HCA_DMA_BIDIRECTIONAL || dir == HCA_DMA_TO_DEVICE || dir == HCA_DMA_FROM_DEVICE;
}

/**
 * hca_dma_check() - may this range be mapped at all?
 * @sp: the machine's memory
 * @off: offset of the first byte
 * @size: bytes
 * @dir: direction
 *
 * Return: 0; -EINVAL for an invalid direction, for no bytes, and for a range that begins
 * in low memory and ends in high memory (two places for the CPU, so never one mapping); -EFAULT for
 * a range that isn't memory of this machine, or leaves it. A retry never helps.
 */
int hca_dma_check(const struct hca_dma_space *sp, u64 off, u64 size, int dir);

#endif
