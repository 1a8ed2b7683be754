/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ports of connections by IP address: the file "ports.N" in the fabric's directory, one
 * for each network namespace; N is the inode number of /proc/self/ns/net. All processes
 * of the fabric read and write it, under a lock of flock(2). An entry is void when its
 * owner's node isn't in the fabric any more (struct hca_fabric_node).
 *
 * Each process that uses the file has a read lock of the whole of it (F_OFD_SETLK). A file
 * without one is a leftover: whoever gets the write lock may remove it.
 *
 * Each change leaves the lists whole at each of its writes, so that a process may die in
 * it: at worst an entry is in no list. A reader checks each number before it uses it.
 */
#ifndef SOFTHCA_ABI_PORTS_H
#define SOFTHCA_ABI_PORTS_H

#include "softhca/hca_types.h"

#define HCA_PORTS_MAGIC 0x70616873u /* "shap" */
#define HCA_PORTS_VERSION 2u
#define HCA_PORTS_BUCKETS 1024u /* port modulo this */
#define HCA_PORTS_MAX (1u << 18) /* entries */

/* Of an entry. */
#define HCA_PORTS_REUSE 1u /* the owner shares the port with others that do so too */
#define HCA_PORTS_LISTENS 2u
#define HCA_PORTS_AFONLY 4u /* of an IPv6 wildcard: requests to IPv4 addresses aren't for it */

/**
 * struct hca_ports_entry - an address and port that somebody has
 * @next: in its list: an index, from 1; 0: the last one
 * @space: enum rdma_port_space
 * @port: in the machine's order; 0: the entry is free
 * @version: 4 or 6
 * @flags: HCA_PORTS_*
 * @scope: the interface of a link-local address
 * @ip: as a GID: an IPv4 address is a mapped one
 * @node, @stamp: the owner's
 * @qpn: the queue pair of the owner's communication manager
 */
struct hca_ports_entry {
	u32 next;
	u16 space;
	u16 port;
	u8 version;
	u8 flags;
	u8 pad[2];
	u32 scope;
	u8 ip[16];
	u32 node;
	u32 qpn;
	u64 stamp;
};

/**
 * struct hca_ports_head - how the file begins
 * @magic: 0: the file isn't ready
 * @room: entries that the file has
 * @free: the first free one; 0: none
 * @birth: a random number that this file has, and no other one
 */
struct hca_ports_head {
	u32 magic;
	u32 version;
	u32 room;
	u32 free;
	u64 birth;
};

/**
 * struct hca_ports - entries follow, the first one has index 1
 * @head: written last, when the rest is ready
 * @first: of each bucket
 * @closed: of each bucket: when a listener ended last, in ns of CLOCK_MONOTONIC
 */
struct hca_ports {
	struct hca_ports_head head;
	u32 first[HCA_PORTS_BUCKETS];
	u64 closed[HCA_PORTS_BUCKETS];
};

/* The file is written and read in C; a C++ program may include this header. */
#ifndef __cplusplus
_Static_assert(sizeof(struct hca_ports_entry) == 48, "the layout of an entry");
_Static_assert(sizeof(struct hca_ports_head) == 24, "the layout of the head");
_Static_assert(sizeof(struct hca_ports) == 24 + 12 * HCA_PORTS_BUCKETS, "the layout before the entries");
#endif

#endif
