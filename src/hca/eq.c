/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The event queue; see eq.h. */
#include "hca/eq.h"

void hca_eq_init(struct hca_eq *eq)
{
	hca_memset(eq, 0, sizeof(*eq));
	hca_spin_init(&eq->lock);
}

static void append(struct hca_eq *eq, struct hca_eq_node *node)
{
	hca_spin_assert(&eq->lock);
	node->queued = true;
	node->next = NULL;
	if (eq->last)
		eq->last->next = node;
	else
		hca_store(&eq->first, node);
	eq->last = node;
}

void hca_eq_add(struct hca_eq *eq, struct hca_eq_node *node)
{
	hca_irqflags_t flags;

	hca_spin_lock(&eq->lock, flags);
	if (node->firing)
		node->again = true;
	else if (!node->queued)
		append(eq, node);
	hca_spin_unlock(&eq->lock, flags);
}

static struct hca_eq_node *take(struct hca_eq *eq)
{
	struct hca_eq_node *node = eq->first;

	hca_spin_assert(&eq->lock);
	if (node) {
		hca_store(&eq->first, node->next);
		if (!node->next)
			eq->last = NULL;
		node->queued = false;
		node->firing = true;
	}
	return node;
}

void hca_eq_run(struct hca_eq *eq)
{
	struct hca_eq_node *node;
	hca_irqflags_t flags;
	u32 slot;

	if (hca_likely(!hca_load(&eq->first)))
		return;
	hca_spin_lock(&eq->lock, flags);
	slot = hca_slot();
	if (eq->busy[slot]) {
		hca_spin_unlock(&eq->lock, flags);
		return;
	}
	eq->busy[slot] = true;
	while ((node = take(eq))) {
		hca_spin_unlock(&eq->lock, flags);
		node->fire(node);
		hca_spin_lock(&eq->lock, flags);
		node->firing = false;
		if (node->again)
			append(eq, node);
		node->again = false;
	}
	/* Under the lock that the list was found empty under: nobody adds in between and leaves it to us. */
	eq->busy[slot] = false;
	hca_spin_unlock(&eq->lock, flags);
}

static void drop_node(struct hca_eq *eq, struct hca_eq_node *node)
{
	struct hca_eq_node **at, *prev = NULL;

	hca_spin_assert(&eq->lock);
	for (at = &eq->first; *at != node; at = &(*at)->next)
		prev = *at;
	hca_store(at, node->next);
	if (eq->last == node)
		eq->last = prev;
	node->queued = false;
}

void hca_eq_cancel(struct hca_eq *eq, struct hca_eq_node *node)
{
	hca_irqflags_t flags;

	hca_spin_lock(&eq->lock, flags);
	for (;;) {
		if (node->queued)
			drop_node(eq, node);
		node->again = false;
		if (!node->firing)
			break;
		hca_spin_unlock(&eq->lock, flags);
		hca_pause();
		hca_spin_lock(&eq->lock, flags);
	}
	hca_spin_unlock(&eq->lock, flags);
}
