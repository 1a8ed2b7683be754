/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lists with Linux's names: an object embeds a struct list_head, and a head is a
 * separate struct list_head. The list is a circle through its head, so no link is NULL
 * and no call has to check for an end. No locks are taken here.
 */
#ifndef SOFTHCA_LIST_H
#define SOFTHCA_LIST_H

#include "softhca/hca_types.h"
#include "softhca/list_head.h"

#ifndef container_of
/** container_of() - the object whose @member is at @ptr */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#endif

#define LIST_HEAD_INIT(name) \
	{ \
		&(name), &(name) \
	}
#define LIST_HEAD(name) struct list_head name = LIST_HEAD_INIT(name)

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list;
	list->prev = list;
}

/* The two become neighbours. */
static inline void list_join_(struct list_head *left, struct list_head *right)
{
	left->next = right;
	right->prev = left;
}

/** list_add() - @entry becomes the one after @head: the first */
static inline void list_add(struct list_head *entry, struct list_head *head)
{
	list_join_(entry, head->next);
	list_join_(head, entry);
}

/** list_add_tail() - @entry becomes the one before @head: the last */
static inline void list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_join_(head->prev, entry);
	list_join_(entry, head);
}

/** list_del() - @entry leaves its list; its links are invalid afterwards */
static inline void list_del(struct list_head *entry)
{
	list_join_(entry->prev, entry->next);
	entry->next = NULL;
	entry->prev = NULL;
}

/** list_del_init() - @entry leaves its list and is an empty list itself */
static inline void list_del_init(struct list_head *entry)
{
	list_join_(entry->prev, entry->next);
	INIT_LIST_HEAD(entry);
}

static inline void list_move(struct list_head *entry, struct list_head *head)
{
	list_join_(entry->prev, entry->next);
	list_add(entry, head);
}

static inline void list_move_tail(struct list_head *entry, struct list_head *head)
{
	list_join_(entry->prev, entry->next);
	list_add_tail(entry, head);
}

/** list_replace() - @to takes the place of @from, whose links stay as they are */
static inline void list_replace(struct list_head *from, struct list_head *to)
{
	list_join_(to, from->next);
	list_join_(from->prev, to);
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline bool list_is_singular(const struct list_head *head)
{
	return !list_empty(head) && head->next == head->prev;
}

static inline bool list_is_first(const struct list_head *entry, const struct list_head *head)
{
	return entry->prev == head;
}

static inline bool list_is_last(const struct list_head *entry, const struct list_head *head)
{
	return entry->next == head;
}

/** list_splice() - move all entries of @list to the beginning of @head; @list is invalid afterwards; after list_splice_init() it is empty */
static inline void list_splice(const struct list_head *list, struct list_head *head)
{
	if (list_empty(list))
		return;
	list_join_(list->prev, head->next);
	list_join_(head, list->next);
}

/** list_splice_tail() - the same, to the end of @head */
static inline void list_splice_tail(struct list_head *list, struct list_head *head)
{
	if (list_empty(list))
		return;
	list_join_(head->prev, list->next);
	list_join_(list->prev, head);
}

static inline void list_splice_init(struct list_head *list, struct list_head *head)
{
	list_splice(list, head);
	INIT_LIST_HEAD(list);
}

static inline void list_splice_tail_init(struct list_head *list, struct list_head *head)
{
	list_splice_tail(list, head);
	INIT_LIST_HEAD(list);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first_entry(head, type, member) list_entry((head)->next, type, member)
#define list_last_entry(head, type, member) list_entry((head)->prev, type, member)
#define list_first_entry_or_null(head, type, member) \
	(list_empty(head) ? (type *)NULL : list_first_entry(head, type, member))
#define list_next_entry(pos, member) list_entry((pos)->member.next, __typeof__(*(pos)), member)
#define list_prev_entry(pos, member) list_entry((pos)->member.prev, __typeof__(*(pos)), member)

#define list_for_each(pos, head) for (pos = (head)->next; pos != (head); pos = pos->next)
#define list_for_each_safe(pos, n, head) for (pos = (head)->next, n = pos->next; pos != (head); pos = n, n = pos->next)

/** list_for_each_entry() - iterate @pos over the objects that embed @member; _safe: @pos may be removed in the loop */
#define list_for_each_entry(pos, head, member) \
	for (pos = list_first_entry(head, __typeof__(*(pos)), member); &pos->member != (head); \
	     pos = list_next_entry(pos, member))
#define list_for_each_entry_reverse(pos, head, member) \
	for (pos = list_last_entry(head, __typeof__(*(pos)), member); &pos->member != (head); \
	     pos = list_prev_entry(pos, member))
#define list_for_each_entry_safe(pos, n, head, member) \
	for (pos = list_first_entry(head, __typeof__(*(pos)), member), n = list_next_entry(pos, member); \
	     &pos->member != (head); pos = n, n = list_next_entry(n, member))

#endif
