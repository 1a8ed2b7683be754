/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A small SRP initiator that can be told to break one rule of mapping; `softhca
 * lint-demo` shows what becomes of that. Not for any other use: the initiator that
 * keeps the rules is in srp.h.
 */
#ifndef SRP_BROKEN_H
#define SRP_BROKEN_H

#include "srp_private.h"

/** enum broken_rule - the rule that it breaks in each command that reads */
enum broken_rule {
	BROKEN_NOTHING,
	BROKEN_NO_UNMAP, /* forgets to unmap the data */
	BROKEN_EARLY_UNMAP, /* unmaps them before the target has moved them */
	BROKEN_MAP_DIR, /* maps data that the adapter will write as if it only read them */
	BROKEN_NO_CHECK, /* never asks if the map has failed */
	BROKEN_TWO_UNMAPS,
	BROKEN_UNMAP_SIZE, /* unmaps as many bytes as were asked for, not as many as were mapped */
	BROKEN_UNMAP_DIR,
	BROKEN_RULES,
};

/**
 * struct broken - an initiator with one queue pair and one command under way
 * @rule: may be changed between commands
 * @line: of broken.c, where the rule was broken last; 0: nowhere yet
 * @iu: the IU that is sent, then room for those that are received
 */
struct broken {
	struct ib_device *dev;
	enum broken_rule rule;
	u32 line;
	struct ib_pd *pd;
	struct srp_mem iu;
	struct srp_qp q;
	struct srp_cm_conn *conn;
	u32 answer; /* atomic; to the login: 0: none yet */
	u64 tag;
};

/** broken_open() - log in at a target's @name. Return: 0 or -errno, and then there is nothing to close */
int broken_open(struct broken *b, struct ib_device *dev, const char *name);
void broken_close(struct broken *b);

/**
 * broken_rw() - READ or WRITE @blocks of 512 bytes at @lba
 * @page: with room for them and for one block more
 *
 * Return: 0; -EIO, -ETIMEDOUT, -EREMOTEIO for another status than GOOD, or what a map fails with.
 */
int broken_rw(struct broken *b, bool write, u32 lba, u16 blocks, struct page *page);

#endif
