/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The names of InfiniBand that the engine and its APIs share, with the values that
 * Linux's verbs give them (IBTA vol. 1 has the names, rdma/ib_verbs.h the
 * numbers). It includes no header of an API.
 */
#ifndef SOFTHCA_HCA_VERBS_H
#define SOFTHCA_HCA_VERBS_H

#include "softhca/hca_types.h"

/** enum hca_access_flags - the accesses that an MR or a queue pair allows (IBTA 10.6.3) */
enum hca_access_flags {
	HCA_ACCESS_LOCAL_WRITE = 1 << 0,
	HCA_ACCESS_REMOTE_WRITE = 1 << 1,
	HCA_ACCESS_REMOTE_READ = 1 << 2,
	HCA_ACCESS_REMOTE_ATOMIC = 1 << 3,
	HCA_ACCESS_MW_BIND = 1 << 4,
	HCA_ACCESS_ZERO_BASED = 1 << 5,
	HCA_ACCESS_ON_DEMAND = 1 << 6,
	HCA_ACCESS_SUPPORTED = (1 << 7) - 1,
	/* Optional flags: accepted, without effect. */
	HCA_ACCESS_OPTIONAL = 0x3ff << 20,
	HCA_ACCESS_REMOTE = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_ATOMIC,
};

/** enum hca_wc_status - the result of a work request (IBTA 11.6.2) */
enum hca_wc_status {
	HCA_WC_SUCCESS,
	HCA_WC_LOC_LEN_ERR,
	HCA_WC_LOC_QP_OP_ERR,
	HCA_WC_LOC_EEC_OP_ERR,
	HCA_WC_LOC_PROT_ERR,
	HCA_WC_WR_FLUSH_ERR,
	HCA_WC_MW_BIND_ERR,
	HCA_WC_BAD_RESP_ERR,
	HCA_WC_LOC_ACCESS_ERR,
	HCA_WC_REM_INV_REQ_ERR,
	HCA_WC_REM_ACCESS_ERR,
	HCA_WC_REM_OP_ERR,
	HCA_WC_RETRY_EXC_ERR,
	HCA_WC_RNR_RETRY_EXC_ERR,
	HCA_WC_LOC_RDD_VIOL_ERR,
	HCA_WC_REM_INV_RD_REQ_ERR,
	HCA_WC_REM_ABORT_ERR,
	HCA_WC_INV_EECN_ERR,
	HCA_WC_INV_EEC_STATE_ERR,
	HCA_WC_FATAL_ERR,
	HCA_WC_RESP_TIMEOUT_ERR,
	HCA_WC_GENERAL_ERR,
};

/**
 * enum hca_vendor_err - why a request ended in an error: vendor_err of its completion
 *
 * HCA_VENDOR_REMOTE is added where the peer found it. Over packets an answer has no room for more: then it stands alone.
 * ib_vendor_err_msg() has the words.
 */
enum hca_vendor_err {
	HCA_VENDOR_NONE,
	HCA_VENDOR_KEY,
	HCA_VENDOR_PD,
	HCA_VENDOR_RIGHT,
	HCA_VENDOR_BOUNDS,
	HCA_VENDOR_MW,
	HCA_VENDOR_MEMORY,
	HCA_VENDOR_LENGTH,
	HCA_VENDOR_QP_RIGHT,
	HCA_VENDOR_NO_READS,
	HCA_VENDOR_ALIGN,
	HCA_VENDOR_GID,
	HCA_VENDOR_SEQUENCE,
	HCA_VENDOR_NO_ANSWER,
	HCA_VENDOR_NO_RECV,
	HCA_VENDOR_REGISTER,
	HCA_VENDOR_BIND,
	HCA_VENDOR_INVALIDATE,
	HCA_VENDOR_SRQ,
	HCA_VENDOR_PEER_GONE,
	HCA_VENDOR_ERRS,
	HCA_VENDOR_REMOTE = 0x80,
};

/** enum hca_wc_opcode - the operation of a completion; bit 7 is set for receives */
enum hca_wc_opcode {
	HCA_WC_SEND,
	HCA_WC_RDMA_WRITE,
	HCA_WC_RDMA_READ,
	HCA_WC_COMP_SWAP,
	HCA_WC_FETCH_ADD,
	HCA_WC_BIND_MW,
	HCA_WC_LOCAL_INV,
	HCA_WC_REG_MR = 8,
	HCA_WC_RECV = 1 << 7,
	HCA_WC_RECV_RDMA_WITH_IMM,
};

/**
 * enum hca_wc_flags - the valid fields of a receive completion
 * @HCA_WC_IPV4: with HCA_WC_GRH, on RoCE: the header before the datagram is one of IPv4. Faces don't hand it on as a flag.
 */
enum hca_wc_flags {
	HCA_WC_GRH = 1 << 0,
	HCA_WC_WITH_IMM = 1 << 1,
	HCA_WC_WITH_INVALIDATE = 1 << 2,
	HCA_WC_IPV4 = 1 << 3,
};

/**
 * struct hca_wc - a work completion
 * @wr_id: the work request's
 * @status: the result; after an error only @wr_id, @status, @qp_num and @vendor_err are valid
 * @byte_len: bytes received, read or fetched
 * @imm: immediate data in network order, or the key that was invalidated
 * @qp_num: the queue pair at this end
 * @user: its consumer's pointer
 * @src_qp, @slid, @sl, @pkey_index, @dlid_path_bits: of a datagram
 */
struct hca_wc {
	u64 wr_id;
	enum hca_wc_status status;
	enum hca_wc_opcode opcode;
	u32 vendor_err;
	u32 byte_len;
	void *user;
	u32 imm;
	u32 src_qp;
	u32 slid;
	u32 wc_flags;
	u16 pkey_index;
	u8 sl;
	u8 dlid_path_bits;
	u32 qp_num;
};

/** enum hca_event_type - asynchronous events (IBTA 11.6.3) */
enum hca_event_type {
	HCA_EVENT_CQ_ERR,
	HCA_EVENT_QP_FATAL,
	HCA_EVENT_QP_REQ_ERR,
	HCA_EVENT_QP_ACCESS_ERR,
	HCA_EVENT_COMM_EST,
	HCA_EVENT_SQ_DRAINED,
	HCA_EVENT_PATH_MIG,
	HCA_EVENT_PATH_MIG_ERR,
	HCA_EVENT_DEVICE_FATAL,
	HCA_EVENT_PORT_ACTIVE,
	HCA_EVENT_PORT_ERR,
	HCA_EVENT_LID_CHANGE,
	HCA_EVENT_PKEY_CHANGE,
	HCA_EVENT_SM_CHANGE,
	HCA_EVENT_SRQ_ERR,
	HCA_EVENT_SRQ_LIMIT_REACHED,
	HCA_EVENT_QP_LAST_WQE_REACHED,
	HCA_EVENT_CLIENT_REREGISTER,
	HCA_EVENT_GID_CHANGE,
};

/** enum hca_qp_type - the transport service (IBTA 9.2); values are Linux's */
enum hca_qp_type {
	HCA_QPT_SMI,
	HCA_QPT_GSI,
	HCA_QPT_RC,
	HCA_QPT_UC,
	HCA_QPT_UD,
	HCA_QPT_XRC_INI = 9,
	HCA_QPT_XRC_TGT,
};

/** enum hca_qp_state - states of a queue pair (IBTA 10.3.1) */
enum hca_qp_state {
	HCA_QPS_RESET,
	HCA_QPS_INIT,
	HCA_QPS_RTR,
	HCA_QPS_RTS,
	HCA_QPS_SQD,
	HCA_QPS_SQE,
	HCA_QPS_ERR,
	HCA_QPS_COUNT,
};

/** enum hca_qp_attr_mask - the fields of a struct hca_qp_attr to use */
enum hca_qp_attr_mask {
	HCA_QP_STATE = 1 << 0,
	HCA_QP_CUR_STATE = 1 << 1,
	HCA_QP_EN_SQD_ASYNC_NOTIFY = 1 << 2,
	HCA_QP_ACCESS_FLAGS = 1 << 3,
	HCA_QP_PKEY_INDEX = 1 << 4,
	HCA_QP_PORT = 1 << 5,
	HCA_QP_QKEY = 1 << 6,
	HCA_QP_AV = 1 << 7,
	HCA_QP_PATH_MTU = 1 << 8,
	HCA_QP_TIMEOUT = 1 << 9,
	HCA_QP_RETRY_CNT = 1 << 10,
	HCA_QP_RNR_RETRY = 1 << 11,
	HCA_QP_RQ_PSN = 1 << 12,
	HCA_QP_MAX_QP_RD_ATOMIC = 1 << 13,
	HCA_QP_ALT_PATH = 1 << 14,
	HCA_QP_MIN_RNR_TIMER = 1 << 15,
	HCA_QP_SQ_PSN = 1 << 16,
	HCA_QP_MAX_DEST_RD_ATOMIC = 1 << 17,
	HCA_QP_PATH_MIG_STATE = 1 << 18,
	HCA_QP_CAP = 1 << 19,
	HCA_QP_DEST_QPN = 1 << 20,
	HCA_QP_RATE_LIMIT = 1 << 25,
};

/** enum hca_srq_attr_mask - the fields of a struct hca_srq_attr to use */
enum hca_srq_attr_mask {
	HCA_SRQ_MAX_WR = 1 << 0,
	HCA_SRQ_LIMIT = 1 << 1,
};

/**
 * struct hca_srq_attr - the attributes of a shared receive queue
 * @max_wr: the number of requests that it holds
 * @max_sge: entries of each; can't be changed
 * @srq_limit: an event when fewer requests than this are left; 0: none
 */
struct hca_srq_attr {
	u32 max_wr;
	u32 max_sge;
	u32 srq_limit;
};

/** enum hca_mtu - payload bytes of a packet: 128 << value */
enum hca_mtu {
	HCA_MTU_256 = 1,
	HCA_MTU_512,
	HCA_MTU_1024,
	HCA_MTU_2048,
	HCA_MTU_4096,
};

/** enum hca_mig_state - automatic path migration, which is not supported */
enum hca_mig_state {
	HCA_MIG_MIGRATED,
	HCA_MIG_REARM,
	HCA_MIG_ARMED,
};

/** struct hca_gid - a port's address, in network order */
struct hca_gid {
	u8 raw[16];
};

/**
 * struct hca_grh_attr - fields of a global route header
 * @flow_label: 20 bits
 * @sgid_index: index of the sending port's GID
 */
struct hca_grh_attr {
	struct hca_gid dgid;
	u32 flow_label;
	u8 sgid_index;
	u8 hop_limit;
	u8 traffic_class;
};

/**
 * struct hca_ah_attr - a path to a port
 * @grh: valid if @is_global
 * @sl: service level, 0 to 15
 * @src_path_bits: low bits of the LID to send from
 * @port_num: the port to send from, from 1
 */
struct hca_ah_attr {
	struct hca_grh_attr grh;
	u16 dlid;
	u8 sl;
	u8 src_path_bits;
	u8 static_rate;
	u8 is_global;
	u8 port_num;
};

/** struct hca_qp_cap - the sizes of a queue pair */
struct hca_qp_cap {
	u32 max_send_wr;
	u32 max_recv_wr;
	u32 max_send_sge;
	u32 max_recv_sge;
	u32 max_inline_data; /* bytes */
};

/**
 * struct hca_qp_attr - the attributes of a queue pair that can be changed
 * @qp_state: the new state
 * @cur_qp_state: the present state, as far as the consumer knows
 * @path_mtu: enum hca_mtu
 * @rq_psn, @sq_psn: the first packet sequence number to receive and to send; 24 bits
 * @dest_qp_num: the peer's number; 24 bits
 * @qp_access_flags: enum hca_access_flags: the peer's rights
 * @ah: the path to the peer
 * @max_rd_atomic: reads and atomics of this end that may be under way
 * @max_dest_rd_atomic: reads and atomics of the peer that may be under way
 * @min_rnr_timer: code of the time that the peer waits after an RNR NAK; hca_rnr_timer_ns()
 * @timeout: code of the time to wait for an answer; hca_ack_timeout_ns()
 * @retry_cnt: retries without an answer
 * @rnr_retry: retries after RNR NAKs; 7: without limit
 */
struct hca_qp_attr {
	enum hca_qp_state qp_state;
	enum hca_qp_state cur_qp_state;
	enum hca_mtu path_mtu;
	enum hca_mig_state path_mig_state;
	u32 qkey;
	u32 rq_psn;
	u32 sq_psn;
	u32 dest_qp_num;
	u32 qp_access_flags;
	struct hca_qp_cap cap;
	struct hca_ah_attr ah;
	u16 pkey_index;
	u8 port_num;
	u8 en_sqd_async_notify;
	u8 sq_draining; /* of a query: in SQD, and requests are under way */
	u8 max_rd_atomic;
	u8 max_dest_rd_atomic;
	u8 min_rnr_timer;
	u8 timeout;
	u8 retry_cnt;
	u8 rnr_retry;
};

#endif
