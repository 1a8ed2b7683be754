/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The links of a list, as objects embed them. What is done with them is in softhca/list.h. */
#ifndef SOFTHCA_LIST_HEAD_H
#define SOFTHCA_LIST_HEAD_H

/** struct list_head - a list's head, or the links of one of its entries; a circle in both directions */
struct list_head {
	struct list_head *next;
	struct list_head *prev;
};

#endif
