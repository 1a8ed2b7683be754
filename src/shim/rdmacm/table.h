/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The file of ports: its lock, its numbers, its lists. What the entries mean is in ports.c. All calls under cm_lock,
 * and all but cm_table_enter() and cm_table_forget() between cm_table_enter() and cm_table_leave().
 *
 * Another process may have written anything, or cut the file. So it isn't mapped, but read and written by system
 * calls. The first access that fails is remembered: later ones do nothing, lists end, and cm_table_leave() tells it.
 */
#ifndef SHIM_RDMACM_TABLE_H
#define SHIM_RDMACM_TABLE_H

#include "softhca/abi/ports.h"

/** cm_table_enter() - open the file if it isn't, and lock it. Return: 0, or a negative errno that was logged. */
int cm_table_enter(void);

/** cm_table_leave() - unlock. Return: the errno of the first access that failed; if none did, @err */
int cm_table_leave(int err);

/** cm_table_forget() - in a forked child */
void cm_table_forget(void);

/**
 * struct cm_walk - a way through a list
 * @link: where in the file the number of the current entry stands
 * @index, @e: the current entry
 * @bucket: whose list it is
 * @steps, @mark: of the search for a list that has no end
 */
struct cm_walk {
	u64 link;
	u32 index;
	struct hca_ports_entry e;
	u32 bucket;
	u32 steps;
	u32 mark;
};

/** cm_table_list() - the list that has the entries of a port; begin with cm_walk_look() */
struct cm_walk cm_table_list(u32 port);

/** cm_walk_look() - read the entry. Return: there is one */
bool cm_walk_look(struct cm_walk *w);

/** cm_walk_pass() - go on to the next one */
void cm_walk_pass(struct cm_walk *w);

/** cm_walk_take_out() - the current entry becomes free, and the next one takes its place */
void cm_walk_take_out(struct cm_walk *w);

/** cm_table_put_in() - a new entry, at the beginning of the list of its port. Return: its index; 0: no entry is free */
u32 cm_table_put_in(struct hca_ports_entry *e);

/** cm_table_set_flags() - of an entry */
void cm_table_set_flags(u32 index, u8 flags);

/** cm_table_closed() - when a listener of the list of a port ended last; 0: never, or that can't be read */
u64 cm_table_closed(u32 port);

void cm_table_set_closed(u32 port, u64 ns);

#endif
