/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Data with signatures (T10-PI), by Linux's names (rdma/signature.h). No device here makes or checks them: attrs.kernel_cap_flags never has
 * IBK_INTEGRITY_HANDOVER, and every call is refused. The names let a ULP compile that asks, and then goes its other way.
 */
#ifndef SOFTHCA_IB_SIGNATURE_H
#define SOFTHCA_IB_SIGNATURE_H

#include <errno.h>

#include "softhca/rdma_rw.h"

enum ib_signature_prot_cap {
	IB_PROT_T10DIF_TYPE_1 = 1,
	IB_PROT_T10DIF_TYPE_2 = 1 << 1,
	IB_PROT_T10DIF_TYPE_3 = 1 << 2,
};

enum ib_signature_guard_cap {
	IB_GUARD_T10DIF_CRC = 1,
	IB_GUARD_T10DIF_CSUM = 1 << 1,
};

enum ib_signature_type {
	IB_SIG_TYPE_NONE,
	IB_SIG_TYPE_T10_DIF,
};

enum ib_t10_dif_bg_type {
	IB_T10DIF_CRC,
	IB_T10DIF_CSUM,
};

/** struct ib_t10_dif_domain - blocks of @pi_interval bytes, each with a guard, an application tag and a reference tag */
struct ib_t10_dif_domain {
	enum ib_t10_dif_bg_type bg_type;
	u16 pi_interval;
	u16 bg;
	u16 app_tag;
	u32 ref_tag;
	bool ref_remap;
	bool app_escape;
	bool ref_escape;
	u16 apptag_check_mask;
};

struct ib_sig_domain {
	enum ib_signature_type sig_type;
	union {
		struct ib_t10_dif_domain dif;
	} sig;
};

/** struct ib_sig_attrs - signatures in memory and on the wire */
struct ib_sig_attrs {
	u8 check_mask;
	struct ib_sig_domain mem;
	struct ib_sig_domain wire;
	int meta_length;
};

enum ib_sig_err_type {
	IB_SIG_BAD_GUARD,
	IB_SIG_BAD_REFTAG,
	IB_SIG_BAD_APPTAG,
};

enum {
	IB_SIG_CHECK_GUARD = 0xc0,
	IB_SIG_CHECK_APPTAG = 0x30,
	IB_SIG_CHECK_REFTAG = 0x0f,
};

struct ib_sig_err {
	enum ib_sig_err_type err_type;
	u32 expected;
	u32 actual;
	u64 sig_err_offset;
	u32 key;
};

enum ib_mr_status_check {
	IB_MR_CHECK_SIG_STATUS = 1,
};

struct ib_mr_status {
	u32 fail_status;
	struct ib_sig_err sig_err;
};

/** ib_check_mr_status() - Return: -EOPNOTSUPP: no MR has signatures */
static inline int ib_check_mr_status(struct ib_mr *mr, u32 check_mask, struct ib_mr_status *status)
{
	(void)mr;
	(void)check_mask;
	(void)status;
	return -EOPNOTSUPP;
}

/** ib_alloc_mr_integrity() - Return: -EOPNOTSUPP as an error pointer */
static inline struct ib_mr *ib_alloc_mr_integrity(struct ib_pd *pd, u32 max_num_data_sg, u32 max_num_meta_sg)
{
	(void)pd;
	(void)max_num_data_sg;
	(void)max_num_meta_sg;
	return (struct ib_mr *)ERR_PTR(-EOPNOTSUPP);
}

/** ib_map_mr_sg_pi() - Return: -EOPNOTSUPP */
static inline int ib_map_mr_sg_pi(struct ib_mr *mr, struct scatterlist *data_sg, int data_nents,
				  unsigned int *data_offset, struct scatterlist *meta_sg, int meta_nents,
				  unsigned int *meta_offset, unsigned int page_size)
{
	(void)mr;
	(void)data_sg;
	(void)data_nents;
	(void)data_offset;
	(void)meta_sg;
	(void)meta_nents;
	(void)meta_offset;
	(void)page_size;
	return -EOPNOTSUPP;
}

/** rdma_rw_ctx_signature_init() - Return: -EOPNOTSUPP, and nothing is mapped */
static inline int rdma_rw_ctx_signature_init(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num,
					     struct scatterlist *sg, u32 sg_cnt, struct scatterlist *prot_sg,
					     u32 prot_sg_cnt, struct ib_sig_attrs *sig_attrs, u64 remote_addr, u32 rkey,
					     enum dma_data_direction dir)
{
	(void)ctx;
	(void)qp;
	(void)port_num;
	(void)sg;
	(void)sg_cnt;
	(void)prot_sg;
	(void)prot_sg_cnt;
	(void)sig_attrs;
	(void)remote_addr;
	(void)rkey;
	(void)dir;
	return -EOPNOTSUPP;
}

/** rdma_rw_ctx_destroy_signature() - of what rdma_rw_ctx_signature_init() made: nothing */
static inline void rdma_rw_ctx_destroy_signature(struct rdma_rw_ctx *ctx, struct ib_qp *qp, u32 port_num,
						 struct scatterlist *sg, u32 sg_cnt, struct scatterlist *prot_sg,
						 u32 prot_sg_cnt, enum dma_data_direction dir)
{
	(void)ctx;
	(void)qp;
	(void)port_num;
	(void)sg;
	(void)sg_cnt;
	(void)prot_sg;
	(void)prot_sg_cnt;
	(void)dir;
}

#endif
