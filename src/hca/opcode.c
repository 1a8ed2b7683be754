/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table of opcodes; see opcode.h. */
#include "hca/opcode.h"

#define T(x) (1u << HCA_QPT_##x)
#define DATAGRAMS (T(UD) | T(GSI) | T(SMI))
#define RELIABLE (T(RC) | T(XRC_INI))
#define CONNECTED (RELIABLE | T(UC))

#define SEND_PACKETS .first = HCA_PKT_SEND_FIRST, .middle = HCA_PKT_SEND_MIDDLE
#define WRITE_PACKETS .first = HCA_PKT_WRITE_FIRST, .middle = HCA_PKT_WRITE_MIDDLE

const struct hca_opcode hca_opcodes[HCA_WR_OPCODES] = {
	[HCA_WR_RDMA_WRITE] = {
		.name = "RDMA_WRITE",
		.qp_types = CONNECTED,
		.flags = HCA_OP_ONE_SIDED | HCA_OP_AT_ONCE,
		.remote = HCA_ACCESS_REMOTE_WRITE,
		.wc = HCA_WC_RDMA_WRITE,
		WRITE_PACKETS, .last = HCA_PKT_WRITE_LAST, .only = HCA_PKT_WRITE_ONLY,
	},
	[HCA_WR_RDMA_WRITE_WITH_IMM] = {
		.name = "RDMA_WRITE_WITH_IMM",
		.qp_types = CONNECTED,
		.flags = HCA_OP_TAKES_RECV | HCA_OP_IMM,
		.remote = HCA_ACCESS_REMOTE_WRITE,
		.wc = HCA_WC_RDMA_WRITE,
		.recv_wc = HCA_WC_RECV_RDMA_WITH_IMM,
		WRITE_PACKETS, .last = HCA_PKT_WRITE_LAST_IMM, .only = HCA_PKT_WRITE_ONLY_IMM,
	},
	[HCA_WR_SEND] = {
		.name = "SEND",
		.qp_types = CONNECTED | DATAGRAMS,
		.flags = HCA_OP_TAKES_RECV | HCA_OP_AT_ONCE,
		.wc = HCA_WC_SEND,
		.recv_wc = HCA_WC_RECV,
		SEND_PACKETS, .last = HCA_PKT_SEND_LAST, .only = HCA_PKT_SEND_ONLY,
	},
	[HCA_WR_SEND_WITH_IMM] = {
		.name = "SEND_WITH_IMM",
		.qp_types = CONNECTED | DATAGRAMS,
		.flags = HCA_OP_TAKES_RECV | HCA_OP_IMM | HCA_OP_AT_ONCE,
		.wc = HCA_WC_SEND,
		.recv_wc = HCA_WC_RECV,
		SEND_PACKETS, .last = HCA_PKT_SEND_LAST_IMM, .only = HCA_PKT_SEND_ONLY_IMM,
	},
	/* No packet of an unreliable connection takes a key away (IBTA vol. 1, 9.2.1). */
	[HCA_WR_SEND_WITH_INV] = {
		.name = "SEND_WITH_INV",
		.qp_types = T(RC),
		.flags = HCA_OP_TAKES_RECV | HCA_OP_INV,
		.wc = HCA_WC_SEND,
		.recv_wc = HCA_WC_RECV,
		SEND_PACKETS, .last = HCA_PKT_SEND_LAST_INV, .only = HCA_PKT_SEND_ONLY_INV,
	},
	[HCA_WR_RDMA_READ] = {
		.name = "RDMA_READ",
		.qp_types = RELIABLE,
		.flags = HCA_OP_ONE_SIDED | HCA_OP_READS | HCA_OP_AT_ONCE,
		.local = HCA_ACCESS_LOCAL_WRITE,
		.remote = HCA_ACCESS_REMOTE_READ,
		.wc = HCA_WC_RDMA_READ,
		.only = HCA_PKT_READ_REQUEST,
	},
	[HCA_WR_ATOMIC_CMP_AND_SWP] = {
		.name = "ATOMIC_CMP_AND_SWP",
		.qp_types = RELIABLE,
		.flags = HCA_OP_ONE_SIDED | HCA_OP_READS | HCA_OP_ATOMIC,
		.local = HCA_ACCESS_LOCAL_WRITE,
		.remote = HCA_ACCESS_REMOTE_ATOMIC,
		.wc = HCA_WC_COMP_SWAP,
		.only = HCA_PKT_CMP_SWAP,
	},
	[HCA_WR_ATOMIC_FETCH_AND_ADD] = {
		.name = "ATOMIC_FETCH_AND_ADD",
		.qp_types = RELIABLE,
		.flags = HCA_OP_ONE_SIDED | HCA_OP_READS | HCA_OP_ATOMIC,
		.local = HCA_ACCESS_LOCAL_WRITE,
		.remote = HCA_ACCESS_REMOTE_ATOMIC,
		.wc = HCA_WC_FETCH_ADD,
		.only = HCA_PKT_FETCH_ADD,
	},
	[HCA_WR_LOCAL_INV] = {
		.name = "LOCAL_INV",
		.qp_types = CONNECTED,
		.flags = HCA_OP_LOCAL,
		.wc = HCA_WC_LOCAL_INV,
	},
	[HCA_WR_BIND_MW] = {
		.name = "BIND_MW",
		.qp_types = CONNECTED,
		.flags = HCA_OP_LOCAL,
		.wc = HCA_WC_BIND_MW,
	},
	[HCA_WR_REG_MR] = {
		.name = "REG_MR",
		.qp_types = CONNECTED,
		.flags = HCA_OP_LOCAL,
		.wc = HCA_WC_REG_MR,
	},
};
