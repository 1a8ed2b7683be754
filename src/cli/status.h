/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What 'softhca status' knows of a fabric: read from its files (docs/fabric.md) without
 * a mapping and without a write, so that no process is stopped, and a file that shrinks or
 * changes is a short read and no signal. Nothing that a file says is trusted.
 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include <stddef.h>
#include <time.h>

#include "softhca/abi/fabric.h"

enum status_state {
	STATUS_LIVE, /* of a ring: both of its nodes live */
	STATUS_STARTING, /* its process holds the lock; the file isn't ready yet, or not any more */
	STATUS_LEFTOVER, /* the process has ended */
	STATUS_UNREADABLE, /* the file makes no sense, or can't be read */
};

/**
 * struct status_node - a node; what stands below @state only of a live one
 * @why: it is unreadable; else NULL
 * @head: a copy; a leftover's too, with pid 0 where the file makes no sense
 * @known: the process with that pid is the one that wrote the file; then @command, printable ASCII, and @started are set
 * @qp, @qps: all but those in RESET
 * @count: what each of @qp has done; @qpn 0: it isn't known
 * @key, @keys: @key is NULL unless the keys were asked for
 * @key_bytes: that the keys cover, U64_MAX if it is more
 * @damaged: entries that changed each time they were read, or that make no sense
 */
struct status_node {
	u32 number;
	enum status_state state;
	const char *why;
	struct hca_fabric_node head;
	bool known;
	char command[64];
	time_t started;
	struct hca_fabric_qp *qp;
	struct hca_fabric_count *count;
	size_t qps;
	struct hca_fabric_key *key;
	size_t keys;
	u64 key_bytes;
	size_t damaged;
};

/** struct status_lane - in bytes; @blocked: the writer waits for room; @sane: @waiting and @written can be true */
struct status_lane {
	u32 size;
	u64 waiting;
	u64 written;
	bool blocked;
	bool sane;
};

/** struct status_ring - from one node to one other; @why, @lane: as above */
struct status_ring {
	u32 from;
	u32 to;
	enum status_state state;
	const char *why;
	struct status_lane lane[HCA_FABRIC_LANES];
};

/** struct status_files - which rings have a file: a bit for each @to below each @from */
struct status_files {
	u64 ring[HCA_FABRIC_NODES][HCA_FABRIC_NODES / 64];
};

/** status_open() - the directory @path. Return: 1: it is open; 0: there is none; a negative value: an error that has been said */
int status_open(const char *path, int *dir);

/** status_list() - Return: whether the directory could be read; else it has been said why not */
bool status_list(int dir, struct status_files *out);

/**
 * status_read_node() - one node's file
 * @with_keys: fill in @key
 *
 * Return: is there such a file? Then status_free_node() takes what @out holds.
 */
bool status_read_node(int dir, u32 number, bool with_keys, struct status_node *out);

void status_free_node(struct status_node *n);

/** status_read_ring() - one ring's file. @stamp: of the live nodes, by number; else 0. Return: is there such a file? */
bool status_read_ring(int dir, u32 from, u32 to, const u64 *stamp, struct status_ring *out);

/**
 * struct status_out - the output of a fabric, piece by piece: begin, each node, each ring, end
 * @dir: its path
 * @verbose: each key
 * @nodes, @rings: how many were told before
 */
struct status_out {
	const char *dir;
	bool verbose;
	size_t nodes;
	size_t live;
	size_t rings;
};

void status_json_begin(const struct status_out *o);
void status_json_node(const struct status_out *o, const struct status_node *n);
void status_json_ring(const struct status_out *o, const struct status_ring *r);
void status_json_end(const struct status_out *o);

/** status_plain() - pieces that a node's threads moved by plain loads and stores, as both processes map the memory */
u64 status_plain(const struct hca_fabric_node *h);

/* Names, also for JSON. Only of values that status_read_node() lets through. */
const char *status_type_name(u8 type);
const char *status_state_name(u8 state);

/** status_right_name() - the name of the right with number @i; NULL behind the last. Set @has to whether @access has it. */
const char *status_right_name(unsigned int i, u32 access, bool *has);

#endif
