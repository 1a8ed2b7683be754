/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The layouts of the fabric's files, which processes of one host and one user share
 * (docs/fabric.md). A file is written by its owner and only read by others, except for the
 * fields marked "others write". A reader trusts no field: each number is
 * checked against the file's size before it is used, and may change under the reader.
 */
#ifndef SOFTHCA_ABI_FABRIC_H
#define SOFTHCA_ABI_FABRIC_H

#include "softhca/hca_types.h"
#include "softhca/hca_verbs.h"

/* Fields that different processes write are in different cache lines. */
#define HCA_FABRIC_LINE __attribute__((aligned(64)))

#define HCA_FABRIC_MAGIC 0x66616873u /* "shaf" */
#define HCA_FABRIC_VERSION 2u

/* A node is a device that a process has open. Its number is its LID on the wire, and the upper bits of its queue pairs' numbers. */
#define HCA_FABRIC_NODES 1024u /* numbers 1 to 1023 */
#define HCA_FABRIC_QPN_BITS 14u /* queue pair numbers of a node: node << 14 up to the next node's */
#define HCA_FABRIC_QPNS (1u << HCA_FABRIC_QPN_BITS)
#define HCA_FABRIC_DEVICES 8u /* a process has at most so many */

/* Use marks: a thread that accesses bytes of another node itself says so in its own node's file. */
#define HCA_FABRIC_MARKS 64u

/**
 * struct hca_fabric_mark - one thread's use of another node's memory
 * @use: the other node's number in the lower half, 0: none; above it a count that increases with each use, so that a waiter sees a use end even if the
 *	next one has begun. Atomic. Set, with a full barrier behind it, before the key is looked up; cleared after the last byte.
 * @plain: the number of pieces that it moved by plain loads and stores, because both processes map the memory: atomic; for softhca status
 */
struct hca_fabric_mark {
	u64 use;
	u64 plain;
	u8 pad[48];
};

/**
 * struct hca_fabric_qp - the public state of a queue pair, written by its owner; atomic fields
 * @seq: odd while the owner changes the other fields; increases
 * @qpn: 0: none
 * @type: enum hca_qp_type
 * @state: enum hca_qp_state
 * @access: enum hca_access_flags: the peer's rights
 * @rd_limit: reads and atomics of the peer that may be under way
 * @pd: number of its protection domain
 * @peer: node << 32 | number of the connected queue pair
 */
struct hca_fabric_qp {
	u32 seq;
	u32 qpn;
	u8 type;
	u8 state;
	u8 rd_limit;
	u8 pad;
	u32 access;
	u64 pd;
	u64 peer;
};

/**
 * struct hca_fabric_count - counters of a queue pair for observers; atomic fields. They are 0 when it leaves RESET.
 * @qpn: the queue pair; 0: none. As in the table of queue pairs, two may share a slot: the one that changed last has it
 * @errors: completions in error that its program polled, but for those that were flushed
 * @retries: requests that were carried again, and answers that were missed
 * @requests, @bytes: of its own requests that left, or were carried out at once; a request that is carried again counts again
 * @received, @received_bytes: of the receive completions that its program polled. RDMA that a peer carries out isn't seen here.
 */
struct hca_fabric_count {
	u32 qpn;
	u32 errors;
	u32 retries;
	u32 pad;
	u64 requests;
	u64 bytes;
	u64 received;
	u64 received_bytes;
	u64 pad64[2];
};

/**
 * struct hca_fabric_key - the public state of a key; atomic fields
 * @seq: as above
 * @key: 0: none
 * @access: enum hca_access_flags and HCA_KEY_MW
 * @qpn: of a type 2 window; else ~0
 * @iova, @length: the bytes that it covers
 * @base: the address of the first byte in the owner's address space; a key whose bytes aren't contiguous isn't in the table
 * @pd: number of its protection domain
 */
struct hca_fabric_key {
	u32 seq;
	u32 key;
	u32 access;
	u32 qpn;
	u64 iova;
	u64 length;
	u64 base;
	u64 pd;
	u64 pad[2];
};

/* A node's stamp can't be told now, for example because a process has no descriptor left. No node has it. */
#define HCA_FABRIC_STAMP_UNKNOWN (~0ull)

/**
 * struct hca_fabric_node - the head of a node's file
 * @magic, @version: as above; @magic is written last, when the node is ready, and is 0 again when it leaves
 * @stamp: a random number, never 0, that no other node has or had: a ring has the stamps of its two nodes
 * @pid, @start: the process, and its start time (field 22 of /proc/PID/stat), by which a reused pid is recognised
 * @bell: others write: a futex word; increases when there is work for the node
 * @sleeping: the node's helper thread sleeps on @bell and must be woken; atomic
 * @pending: others write: a bit for each node that may have written to its ring to this node, or made room in this node's ring to it; a hint
 * @summary: others write: a bit for each word of @pending that may not be 0, set after the word
 * @members: others write: a bit for each node that may have queue pairs in groups; a hint
 * @guard: a random address in this process, which no other process has: 8 bytes there are @cookie, the next 8 are unused. A thread that
 *	accesses memory by a pid names it first: in another process the call fails before any other access. 0: there is none
 * @vm: others may use process_vm_readv and process_vm_writev on this process, as far as it knows
 * @qps, @keys: bytes from the head's beginning; arrays of @qp_slots by qpn modulo @qp_slots, @key_slots by key >> 8. Slots have
 *	memory; the file's size covers the largest possible tables. @key_slots increases; atomic.
 * @users: others write: a bit for each node that has this file mapped and may access this node's memory
 * @marks: the number of @uses that were ever used, from the first on; atomic
 * @uses: use marks of this node's threads
 * @alive: the number of a thread that lives as long as the process; 0: there is none. A robust futex, without a lock: at the thread's end
 *	the system sets FUTEX_OWNER_DIED in it, before the process's number can be another one's
 * @aliases: this process reaches memory of other nodes by mappings of its own, and must be notified when a key of theirs ends; atomic
 * @ended: others write: such a key has ended; if the helper slept, the bell was rung
 * @counts: bytes from the head's beginning: an array of @qp_slots struct hca_fabric_count; 0: there is none
 * @epoch: changes before a region ends, and before a request is given back that wasn't answered: where the payloads of earlier messages are, is
 *	no longer true; atomic
 * @joined: the number of multicast groups of its queue pairs; senders skip nodes with 0; atomic
 * @device: which of its process's devices it is, from 0 on: ipath0, ipath1
 */
struct hca_fabric_node {
	u32 magic;
	u32 version;
	u32 number;
	s32 pid;
	u64 start;
	u64 stamp;
	u64 qps;
	u64 keys;
	u32 qp_slots;
	u32 key_slots;
	u32 vm;
	u32 joined;
	u64 guard;
	u64 cookie;
	u32 marks;
	u32 alive;
	u32 aliases;
	u32 epoch;
	u64 counts;
	u32 device;
	u32 bell HCA_FABRIC_LINE;
	u32 ended;
	u32 sleeping HCA_FABRIC_LINE;
	u64 summary HCA_FABRIC_LINE;
	u64 pending[HCA_FABRIC_NODES / 64];
	u64 members[HCA_FABRIC_NODES / 64] HCA_FABRIC_LINE;
	u64 users[HCA_FABRIC_NODES / 64] HCA_FABRIC_LINE;
	struct hca_fabric_mark uses[HCA_FABRIC_MARKS] HCA_FABRIC_LINE;
};

/* A ring has two lanes: a node always reads replies, also while requests wait for room for their answers. */
enum hca_fabric_lane_kind { HCA_FABRIC_REQUESTS, HCA_FABRIC_REPLIES, HCA_FABRIC_LANES };

/**
 * struct hca_fabric_lane - one writer and one reader
 * @head: bytes ever written; the sender writes it, after them
 * @tail: bytes ever read; the receiver writes it
 * @wanted: the sender waits for room and must be notified; the receiver clears it when it does so
 */
struct hca_fabric_lane {
	u64 head HCA_FABRIC_LINE;
	u64 tail HCA_FABRIC_LINE;
	u32 wanted;
};

/**
 * struct hca_fabric_ring - the head of a ring's file: from one node to another
 * @from_stamp, @to_stamp: the stamps of the two nodes
 * @size: bytes of each lane's data; a power of two, and of pages. The first lane's begin HCA_FABRIC_RING_DATA behind the beginning of
 *	the file, or a page where pages are larger; the second's follow. Both sides map data twice, one behind the other, so that no
 *	entry is in two parts.
 */
struct hca_fabric_ring {
	u32 magic;
	u32 version;
	u32 from;
	u32 to;
	u64 from_stamp;
	u64 to_stamp;
	u32 size[HCA_FABRIC_LANES];
	struct hca_fabric_lane lane[HCA_FABRIC_LANES];
};

#define HCA_FABRIC_RING_DATA 4096u
#define HCA_FABRIC_LANE_MIN (128u << 10) /* a piece and its head fit */
#define HCA_FABRIC_LANE_MAX (64u << 20)

/**
 * struct hca_fabric_message - an entry of the first lane: a piece of a message (struct hca_msg has the meanings), its payload behind it
 * @bytes: of the entry, this head included; entries begin at multiples of 8
 * @places: 0: the payload is behind the head; else a struct hca_fabric_places of so many is, and the payload is in the sender's memory
 * @compare_add, @swap: of atomics
 * @sgid and what follows: of global datagrams
 */
struct hca_fabric_message {
	u32 bytes;
	u8 opcode;
	u8 flags;
	u8 sl;
	u8 traffic_class;
	u16 pkey;
	u8 hop_limit;
	u8 places;
	u32 dlid;
	u32 dqpn;
	u32 sqpn;
	u32 number;
	u32 imm;
	u32 rkey;
	u32 qkey;
	u64 raddr;
	u64 len;
	u64 off;
	u32 piece;
	u32 flow_label;
	u32 session;
	u32 srqn;
	union {
		struct {
			u64 compare_add;
			u64 swap;
		};
		struct {
			struct hca_gid sgid;
			struct hca_gid dgid;
		};
		u8 plain[1]; /* the payload of what is neither */
	};
};

/**
 * struct hca_fabric_places - where a payload is in the memory of its sender's process
 * @epoch: of the sender's node when it wrote this; if it has another one by now, the payload may not be read
 */
struct hca_fabric_places {
	u32 epoch;
	u32 pad;
	struct {
		u64 at;
		u64 len;
	} place[];
};

/** struct hca_fabric_reply - an entry of the second lane (struct hca_reply), a read's bytes behind it */
struct hca_fabric_reply {
	u32 bytes;
	u8 answer;
	u8 rnr_code; /* of "not ready": how long to wait; of a refusal: why, enum hca_vendor_err */
	u16 pad;
	u32 sqpn;
	u32 number;
	u64 off;
	u64 result;
	u32 len;
	u32 session;
};

/* These files are written and read in C; a C++ program may include this header. */
#ifndef __cplusplus
_Static_assert(sizeof(struct hca_fabric_mark) == 64, "one mark, one cache line");
_Static_assert(sizeof(struct hca_fabric_qp) == 32, "two queue pairs in a cache line");
_Static_assert(sizeof(struct hca_fabric_count) == 64, "one queue pair's, one cache line");
_Static_assert(sizeof(struct hca_fabric_key) == 64, "one key, one cache line");
_Static_assert(sizeof(struct hca_fabric_node) == 4800, "the same in every process");
_Static_assert(offsetof(struct hca_fabric_node, marks) == 80, "the same in every process");
_Static_assert(offsetof(struct hca_fabric_node, counts) == 96, "the same in every process");
_Static_assert(offsetof(struct hca_fabric_node, sleeping) == 192, "the same in every process");
_Static_assert(sizeof(struct hca_fabric_ring) <= HCA_FABRIC_RING_DATA, "the head fits before the data");
_Static_assert(offsetof(struct hca_fabric_message, plain) == 80, "the same in every process");
_Static_assert(offsetof(struct hca_fabric_message, raddr) == 40, "the same in every process");
_Static_assert(sizeof(struct hca_fabric_reply) == 40, "the same in every process");
#endif

#endif
