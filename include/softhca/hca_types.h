/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few types that the core and its APIs share: fixed-width integers, the DMA
 * address and the direction of a transfer. Nothing here belongs to one API, and
 * this is the only header that tests whether it is compiled into a kernel.
 */
#ifndef SOFTHCA_HCA_TYPES_H
#define SOFTHCA_HCA_TYPES_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;
#endif

/*
 * sparse sees a DMA address as a type of its own. Arithmetic on it is allowed, because
 * upper layers add offsets; cutting it to 32 bits, the mistake that such arithmetic
 * invites, is not. A stricter type would forbid the addition.
 */
#ifdef __CHECKER__
#define HCA_NOCAST __attribute__((nocast))
#define HCA_FORCE __attribute__((force))
#else
#define HCA_NOCAST
#define HCA_FORCE
#endif

/** hca_dma_addr_t - a device's address of a byte of memory. 64 bits on every machine, as ib_sge.addr is. */
typedef u64 HCA_NOCAST hca_dma_addr_t;

/**
 * enum hca_dma_dir - the direction of a mapping
 * @HCA_DMA_BIDIRECTIONAL: the device does both
 * @HCA_DMA_TO_DEVICE: the device reads what the CPU wrote
 * @HCA_DMA_FROM_DEVICE: the CPU reads what the device wrote
 * @HCA_DMA_NONE: not valid for a mapping
 *
 * The values are Linux's (include/linux/dma-direction.h).
 */
enum hca_dma_dir {
	HCA_DMA_BIDIRECTIONAL = 0,
	HCA_DMA_TO_DEVICE = 1,
	HCA_DMA_FROM_DEVICE = 2,
	HCA_DMA_NONE = 3,
};

/* The highest errno; the same number on every Linux. */
#define HCA_MAX_ERRNO 4095

/** struct hca_place - bytes in this address space, which need not be mapped */
struct hca_place {
	void *at;
	u64 len;
};

/* The largest number of them for one piece. */
#define HCA_PLACES 8u

/** hca_dma_addr() - convert an integer that is a DMA address (from a work request, from a peer) */
static inline hca_dma_addr_t hca_dma_addr(u64 v)
{
	return (HCA_FORCE hca_dma_addr_t)v;
}

/** hca_dma_u64() - convert a DMA address to the integer for a work request or a message */
static inline u64 hca_dma_u64(hca_dma_addr_t a)
{
	return (HCA_FORCE u64)a;
}

/**
 * hca_dma_error() - the address that stands for an error
 * @err: negative errno
 *
 * Errors are the highest 4,095 addresses. No machine has memory there that can be mapped:
 * kernels keep their error pointers there, and no bus address is allocated there.
 * The all-ones address, Linux's DMA_MAPPING_ERROR, is one of them.
 */
static inline hca_dma_addr_t hca_dma_error(int err)
{
	return hca_dma_addr((u64)(s64)err);
}

/** hca_dma_errno() - Return: 0 for an address; the negative errno for an error of hca_dma_error() */
static inline int hca_dma_errno(hca_dma_addr_t a)
{
	u64 v = hca_dma_u64(a);

	return v >= (u64)-HCA_MAX_ERRNO ? (int)(s64)v : 0;
}

#endif
