/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The messages of the communication manager as they stand on a wire: the header of a
 * management datagram (IBTA vol. 1, 13.4.3) and the attributes of the class (12.6). One
 * table says for each attribute where its fields are; encoding and decoding read it.
 * From the other side of a wire comes anything: decoding checks the header and every
 * length, and leaves it to the state machine what a value means.
 */
#ifndef HCA_CM_MAD_H
#define HCA_CM_MAD_H

#include "os.h"
#include "softhca/hca_verbs.h"

#define HCA_MAD_BYTES 256u
#define HCA_MAD_HEADER 24u
#define HCA_CM_BODY (HCA_MAD_BYTES - HCA_MAD_HEADER)

#define HCA_MAD_BASE_VERSION 1u
#define HCA_MAD_CLASS_CM 0x07u
#define HCA_CM_CLASS_VERSION 2u
#define HCA_MAD_SEND 0x03u

#define HCA_CM_ARI_MAX 72u /* bytes of additional reject information, or of what else an answer adds */
#define HCA_CM_PRIVATE_MAX 224u /* of any message */

/** enum hca_cm_attr - the messages, by their attribute's ID (IBTA 16.7.1) */
enum hca_cm_attr {
	HCA_CM_REQ = 0x10,
	HCA_CM_MRA = 0x11,
	HCA_CM_REJ = 0x12,
	HCA_CM_REP = 0x13,
	HCA_CM_RTU = 0x14,
	HCA_CM_DREQ = 0x15,
	HCA_CM_DREP = 0x16,
	HCA_CM_SIDR_REQ = 0x17,
	HCA_CM_SIDR_REP = 0x18,
	HCA_CM_LAP = 0x19,
	HCA_CM_APR = 0x1a,
};

#define HCA_CM_ATTR_FIRST 0x10u
#define HCA_CM_ATTRS (HCA_CM_APR - HCA_CM_ATTR_FIRST + 1u)

/** enum hca_cm_about - which message an MRA or a REJ is about */
enum hca_cm_about {
	HCA_CM_ABOUT_REQ,
	HCA_CM_ABOUT_REP,
	HCA_CM_ABOUT_OTHER, /* of an MRA: a LAP; of a REJ: no message */
};

/** enum hca_cm_reason - why a REJ (IBTA 12.6.7.2) */
enum hca_cm_reason {
	HCA_CM_REJ_NO_QP = 1,
	HCA_CM_REJ_NO_EEC = 2,
	HCA_CM_REJ_NO_RESOURCES = 3,
	HCA_CM_REJ_TIMEOUT = 4,
	HCA_CM_REJ_UNSUPPORTED = 5,
	HCA_CM_REJ_INVALID_COMM_ID = 6,
	HCA_CM_REJ_INVALID_COMM_INSTANCE = 7,
	HCA_CM_REJ_INVALID_SERVICE_ID = 8,
	HCA_CM_REJ_INVALID_TRANSPORT = 9,
	HCA_CM_REJ_STALE_CONN = 10,
	HCA_CM_REJ_INVALID_MTU = 26,
	HCA_CM_REJ_CONSUMER = 28,
	HCA_CM_REJ_DUPLICATE_COMM_ID = 30,
	HCA_CM_REJ_INVALID_CLASS_VERSION = 31,
};

/** enum hca_cm_apr_status - how an APR answers a LAP (12.6.13.2) */
enum hca_cm_apr_status {
	HCA_CM_APR_LOADED = 0,
	HCA_CM_APR_INVALID_COMM_ID = 1,
	HCA_CM_APR_UNSUPPORTED = 2,
};

/** enum hca_cm_sidr_status - how a SIDR_REP answers (12.11.1.2) */
enum hca_cm_sidr_status {
	HCA_CM_SIDR_VALID = 0,
	HCA_CM_SIDR_UNSUPPORTED = 1,
	HCA_CM_SIDR_REJECT = 2,
	HCA_CM_SIDR_NO_QP = 3,
};

/** enum hca_cm_service - the transport service that a REQ asks for (12.6.5, table 106) */
enum hca_cm_service {
	HCA_CM_SERVICE_RC,
	HCA_CM_SERVICE_UC,
	HCA_CM_SERVICE_RD,
	HCA_CM_SERVICE_EXTENDED, /* the extended type says which: 1 is XRC */
};

/**
 * struct hca_cm_route - a path, as a REQ or a LAP has it; local is the sender's side
 * @ack_timeout: code of 4.096 us * 2^n
 */
struct hca_cm_route {
	u16 local_lid;
	u16 remote_lid;
	u8 local_gid[16];
	u8 remote_gid[16];
	u32 flow_label; /* 20 bits */
	u8 rate; /* 6 bits */
	u8 traffic_class;
	u8 hop_limit;
	u8 sl; /* 4 bits */
	u8 subnet_local; /* 1 bit */
	u8 ack_timeout; /* 5 bits */
};

/**
 * struct hca_cm_msg - a message, decoded; each attribute has some of the fields
 * @attr: enum hca_cm_attr
 * @local_comm_id, @remote_comm_id: as the sender sees it; of SIDR @local_comm_id is the request's ID
 * @attr_mod: the header's attribute modifier: of a REQ and a REP, the options of @vendor_id; else 0
 * @vendor_id: whose options for enhanced connection establishment (ECE) a REQ or a REP has; 0: it has none
 * @ca_guid, @qpn, @eecn, @psn, @qkey: the sender's. In a DREQ and a LAP @qpn is the receiver's.
 * @remote_response_timeout: within which the receiver shall answer; @local_response_timeout: within which the sender will. Codes
 *	of 4.096 us * 2^n, 5 bits.
 * @about: enum hca_cm_about
 * @service_timeout: of an MRA: code
 * @reason: of a REJ: enum hca_cm_reason
 * @status: of an APR or SIDR_REP
 * @target_ack_delay: of a REP: code
 * @ari: @ari_len bytes that a REJ, APR or SIDR_REP adds
 * @private_data: for encoding @private_len bytes, and zeros follow; decoding gives all that the attribute has room for
 *
 * Numbers are in the machine's order; GIDs and bytes as on the wire.
 */
struct hca_cm_msg {
	u64 tid;
	u64 service_id;
	u64 ca_guid;
	u32 local_comm_id;
	u32 remote_comm_id;
	u32 qkey;
	u32 qpn;
	u32 eecn;
	u32 remote_eecn;
	u32 psn;
	u32 attr_mod;
	u16 attr;
	u16 pkey;
	u16 reason;
	u8 responder_resources;
	u8 initiator_depth;
	u8 remote_response_timeout;
	u8 local_response_timeout;
	u8 service_type;
	u8 extended_type;
	u8 flow_control;
	u8 retry_count;
	u8 rnr_retry_count;
	u8 max_cm_retries;
	u8 path_mtu;
	u8 rdc_exists;
	u8 srq;
	u8 about;
	u8 service_timeout;
	u8 target_ack_delay;
	u8 failover;
	u8 status;
	u8 ari_len;
	u8 private_len;
	u8 vendor_id[3];
	struct hca_cm_route primary; /* of a LAP: the new alternate one */
	struct hca_cm_route alternate;
	const u8 *ari;
	const u8 *private_data;
};

/**
 * struct hca_cm_field - where a field is
 * @bit: in the body, the most significant bit of its first byte being bit 0
 * @width: bits; 128 is a GID
 * @at, @size: in struct hca_cm_msg, or another one that is decoded, in bytes
 */
struct hca_cm_field {
	u16 bit;
	u8 width;
	u8 size;
	u16 at;
};

/**
 * struct hca_cm_format - an attribute
 * @fields, @count: its fields
 * @ari_len_bit, @ari_len_width, @ari_at: additional information: where its length is, and where it begins; width 0: it has none
 * @private_at: where private data begins, which reaches to the end; below HCA_CM_BODY
 */
struct hca_cm_format {
	const struct hca_cm_field *fields;
	u16 count;
	u16 ari_len_bit;
	u8 ari_len_width;
	u8 ari_at;
	u8 private_at;
};

/** hca_mad_put() - write a field of a structure; its bits are zeros before. Return: 0; -EINVAL: a value that it can't hold. */
int hca_mad_put(const void *from, const struct hca_cm_field *f, u8 *body);

/** hca_mad_get() - read one */
void hca_mad_get(const u8 *body, const struct hca_cm_field *f, void *to);

/* A vendor's ID has 24 bits. */
#define HCA_CM_VENDOR_MAX 0xffffffu

/** hca_cm_set_ece() - @vendor_id: up to HCA_CM_VENDOR_MAX. Return: 0; -EINVAL: it is larger. */
int hca_cm_set_ece(struct hca_cm_msg *msg, u32 vendor_id, u32 options);

/** hca_cm_vendor_id() - of a REQ or a REP; 0: it has no options */
u32 hca_cm_vendor_id(const struct hca_cm_msg *msg);

/** hca_cm_format() - how an attribute looks; NULL: there is none such */
const struct hca_cm_format *hca_cm_format(u32 attr);

/** hca_cm_private_room() - how many bytes of private data the attribute carries; 0: there is none such */
u32 hca_cm_private_room(u32 attr);

/**
 * hca_cm_encode() - write a message
 * @out: room for HCA_MAD_BYTES, all of which are written
 *
 * Return: 0; -EINVAL: no such attribute, a value that its field can't hold, or more bytes than there is room for. Then
 * what @out has means nothing.
 */
int hca_cm_encode(const struct hca_cm_msg *msg, u8 *out);

/**
 * hca_cm_decode() - look at a message
 * @msg: points into @bytes
 *
 * Reserved fields are passed over, as IBTA has it. Return: 0; -EINVAL: it isn't as long as a datagram is, another version, class,
 * or method, an attribute that there isn't, or more additional information than there is room for.
 */
int hca_cm_decode(const void *bytes, u32 len, struct hca_cm_msg *msg);

#endif
