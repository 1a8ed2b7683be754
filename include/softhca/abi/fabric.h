/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What processes of one host and one user share: the layouts of the fabric's files
 * (docs/fabric.md). A file is written by its owner and only read by others, but for the
 * fields marked "others write". A reader trusts nothing that it finds: each number is
 * checked against the file's size before it is used, and may change under the reader.
 */
#ifndef SOFTHCA_ABI_FABRIC_H
#define SOFTHCA_ABI_FABRIC_H

#include "softhca/hca_types.h"
#include "softhca/hca_verbs.h"

/* Fields that different processes write stand in different cache lines. */
#define HCA_FABRIC_LINE __attribute__((aligned(64)))

#define HCA_FABRIC_MAGIC 0x66616873u /* "shaf" */
#define HCA_FABRIC_VERSION 1u

/* A node is a process. Its number is its LID on the wire, and the upper bits of its queue pairs' numbers. */
#define HCA_FABRIC_NODES 1024u /* numbers 1 to 1023 */
#define HCA_FABRIC_QPN_BITS 14u /* queue pair numbers of a node: node << 14 up to the next node's */
#define HCA_FABRIC_QPNS (1u << HCA_FABRIC_QPN_BITS)

/* Use marks: a thread that moves bytes of another node by itself says so in its own node's file. */
#define HCA_FABRIC_MARKS 64u

/**
 * struct hca_fabric_mark - one thread's use of another node's memory
 * @use: whose in the lower half, 0: of none; above it a count that goes up with each use, so that a waiter sees a use end even if the
 *	next one has begun. Atomic. Set, with a full barrier behind it, before the key is looked up; cleared after the last byte.
 * @plain: how many pieces it moved by plain loads and stores, as both processes map the memory: atomic; for who wants to know
 */
struct hca_fabric_mark {
	u64 use;
	u64 plain;
	u8 pad[48];
};

/**
 * struct hca_fabric_qp - what others may know of a queue pair: the owner's copy of what it has; atomic fields
 * @seq: odd while the owner changes the others; goes up
 * @qpn: 0: none
 * @type: enum hca_qp_type
 * @state: enum hca_qp_state
 * @access: enum hca_access_flags: what its peer may do
 * @rd_limit: reads and atomics that it answers
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
 * struct hca_fabric_key - what others may know of a key; atomic fields
 * @seq: as above
 * @key: 0: none
 * @access: enum hca_access_flags and HCA_KEY_MW
 * @qpn: of a type 2 window; else ~0
 * @iova, @length: what it covers
 * @base: the address of the first byte in the owner's address space; a key whose bytes don't lie in one run isn't here
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

/**
 * struct hca_fabric_node - the head of a node's file
 * @magic, @version: as above; @magic is written last, when the node is ready, and is 0 again when it leaves
 * @stamp: a random number, never 0, that no other node has or had: rings name the two nodes that they are between by it
 * @pid, @start: the process, and when it started (field 22 of /proc/PID/stat): so that a pid which came back isn't taken for it
 * @bell: others write: a futex word; goes up when something is there for the node
 * @sleeping: the node's helper thread sleeps on @bell, and wants to be woken; atomic
 * @pending: others write: a bit for each node that may have put something into its ring to us, or made room in ours to it; a hint
 * @summary: others write: a bit for each word of @pending that may not be 0, set after the word
 * @members: others write: a bit for each node that may have queue pairs in groups; a hint
 * @guard: an address of the node's own, at random and in no other process: 8 bytes there are @cookie, the next 8 are nobody's. Who
 *	moves bytes by a pid names it first: in another process the call fails before it has done anything. 0: there is none
 * @vm: others may use process_vm_readv and process_vm_writev on this process, as far as it knows
 * @qps, @keys: bytes from the head's beginning; arrays of @qp_slots by qpn modulo @qp_slots, @key_slots by key >> 8. Slots have
 *	memory; the file ends behind the last that there may ever be. @key_slots goes up, atomic.
 * @users: others write: a bit for each node that has this file mapped and may use our memory
 * @marks: how many of @uses were ever used, from the first on; atomic
 * @uses: use marks of this node's threads
 * @alive: the number of a thread that lives as long as the process; 0: there is none. A robust futex, without a lock: at the thread's end
 *	the system sets FUTEX_OWNER_DIED in it, before the process's number can be another one's
 * @aliases: this process reaches memory of others by mappings of its own, and wants to hear when a key of theirs has ended; atomic
 * @ended: others write: some key has; the bell was rung for it if the helper slept
 * @joined: multicast: how many groups its queue pairs are in; senders skip nodes with none; atomic
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
	u32 bell HCA_FABRIC_LINE;
	u32 ended;
	u32 sleeping HCA_FABRIC_LINE;
	u64 summary HCA_FABRIC_LINE;
	u64 pending[HCA_FABRIC_NODES / 64];
	u64 members[HCA_FABRIC_NODES / 64] HCA_FABRIC_LINE;
	u64 users[HCA_FABRIC_NODES / 64] HCA_FABRIC_LINE;
	struct hca_fabric_mark uses[HCA_FABRIC_MARKS] HCA_FABRIC_LINE;
};

/* A ring has two lanes: replies are always taken in, whatever waits for room to be answered in. */
enum hca_fabric_lane_kind { HCA_FABRIC_REQUESTS, HCA_FABRIC_REPLIES, HCA_FABRIC_LANES };

/**
 * struct hca_fabric_lane - one writer and one reader
 * @head: bytes ever written; the sender writes it, after them
 * @tail: bytes ever read; the receiver writes it
 * @wanted: the sender waits for room, and wants to be told of it; the receiver takes it back when it does
 */
struct hca_fabric_lane {
	u64 head HCA_FABRIC_LINE;
	u64 tail HCA_FABRIC_LINE;
	u32 wanted;
};

/**
 * struct hca_fabric_ring - the head of a ring's file: from one node to one other
 * @from_stamp, @to_stamp: of which nodes with these numbers
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
	u8 pad;
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

/* What writes and reads these files is C; a C++ program may look at them. */
#ifndef __cplusplus
_Static_assert(sizeof(struct hca_fabric_mark) == 64, "one mark, one cache line");
_Static_assert(sizeof(struct hca_fabric_qp) == 32, "two queue pairs in a cache line");
_Static_assert(sizeof(struct hca_fabric_key) == 64, "one key, one cache line");
_Static_assert(sizeof(struct hca_fabric_node) == 4800, "the same in every process");
_Static_assert(offsetof(struct hca_fabric_node, marks) == 80, "the same in every process");
_Static_assert(offsetof(struct hca_fabric_node, sleeping) == 192, "the same in every process");
_Static_assert(sizeof(struct hca_fabric_ring) <= HCA_FABRIC_RING_DATA, "the head fits before the data");
_Static_assert(offsetof(struct hca_fabric_message, plain) == 80, "the same in every process");
_Static_assert(offsetof(struct hca_fabric_message, raddr) == 40, "the same in every process");
_Static_assert(sizeof(struct hca_fabric_reply) == 40, "the same in every process");
#endif

#endif
