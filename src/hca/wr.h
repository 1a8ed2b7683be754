/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Work requests as the engine takes them: one at a time, from whichever face. The
 * opcodes and flags have the values of Linux's verbs.
 */
#ifndef HCA_WR_H
#define HCA_WR_H

#include "os.h"
#include "softhca/hca_ledger.h"
#include "softhca/hca_verbs.h"

struct hca_mr;
struct hca_mw;

/* Where a ring's places are counted from: the counts wrap soon, and not only after years of use. */
#define HCA_RING_FIRST ((u32)-5)

/** hca_ring_entries() - a power of two, at least @n: so that a place in a ring is found by a mask. @n is 2^31 at most. */
static inline u32 hca_ring_entries(u32 n)
{
	u32 entries = 1;

	while (entries < n)
		entries *= 2;
	return entries;
}

/** struct hca_sge - bytes of a memory region; laid out as ib_sge and ibv_sge are */
struct hca_sge {
	u64 addr;
	u32 length;
	u32 lkey;
};

enum hca_wr_opcode {
	HCA_WR_RDMA_WRITE,
	HCA_WR_RDMA_WRITE_WITH_IMM,
	HCA_WR_SEND,
	HCA_WR_SEND_WITH_IMM,
	HCA_WR_RDMA_READ,
	HCA_WR_ATOMIC_CMP_AND_SWP,
	HCA_WR_ATOMIC_FETCH_AND_ADD,
	HCA_WR_LOCAL_INV,
	HCA_WR_BIND_MW,
	HCA_WR_SEND_WITH_INV,
	HCA_WR_REG_MR = 32,
	HCA_WR_OPCODES,
};

/* In place of a page's size: a list of pieces, which begin and end anywhere. */
#define HCA_MR_PIECES (~0u)

/**
 * struct hca_mr_pages - what a fast registration says
 * @key: the memory region's key with a low byte of the consumer's choice
 * @access: rights
 * @iova: name of the first byte
 * @length: bytes
 * @page_shift: log2 of the page size, or HCA_MR_PIECES
 * @pages: DMA addresses, the first with the offset of the first byte in it; of pieces, for each its DMA address and then
 *	the bytes of it and all before it
 * @npages: how many numbers
 */
struct hca_mr_pages {
	u32 key;
	u32 access;
	u64 iova;
	u64 length;
	u32 page_shift;
	u32 npages;
	const u64 *pages;
};

enum hca_send_flags {
	HCA_SEND_FENCE = 1 << 0,
	HCA_SEND_SIGNALED = 1 << 1,
	HCA_SEND_SOLICITED = 1 << 2,
	HCA_SEND_INLINE = 1 << 3,
	HCA_SEND_KNOWN = (1 << 4) - 1,
};

/**
 * struct hca_send_wr - a send work request
 * @wr_id: the consumer's
 * @sge: where the data is, or goes; with HCA_SEND_INLINE @addr is a pointer of the caller's and keys don't count
 * @imm: immediate data in network order, or the key to invalidate (there, or here for HCA_WR_LOCAL_INV)
 * @srqn: of an XRC initiator: the number of the receive queue at the peer, for every opcode that is sent
 * @site: where it was posted, for the ledger; or NULL
 *
 * A face whose own requests are laid out so up to @rdma posts them where they are, if they have no other fields: hca_post_send_at()
 */
struct hca_send_wr {
	u64 wr_id;
	const struct hca_sge *sge;
	u32 num_sge;
	enum hca_wr_opcode opcode;
	u32 flags;
	u32 imm;
	union {
		struct {
			u64 addr;
			u32 rkey;
		} rdma;
		struct {
			u64 addr;
			u64 compare_add;
			u64 swap;
			u32 rkey;
		} atomic;
		struct {
			u32 dlid;
			u32 qpn;
			u32 qkey;
			u8 sl;
			bool is_global; /* @grh means something */
			struct hca_grh_attr grh;
		} ud;
		struct {
			struct hca_mr *mr;
			struct hca_mr_pages to; /* taken over when it is posted, with its pages */
		} reg;
		/* Bytes of the memory region with @lkey, as that has them; @rkey is the key to come, in low 8 bits. */
		struct {
			struct hca_mw *mw;
			u64 addr;
			u64 length;
			u32 rkey;
			u32 lkey;
			u32 access;
		} bind;
	};
	u32 srqn;
	hca_site_t site;
};

/** struct hca_recv_wr - a receive work request */
struct hca_recv_wr {
	u64 wr_id;
	const struct hca_sge *sge;
	u32 num_sge;
	hca_site_t site;
};

#endif
