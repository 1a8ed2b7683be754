/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The event queue; see eq.h. */
#include "hca/eq.h"

void hca_eq_init(struct hca_eq *eq)
{
	hca_memset(eq, 0, sizeof(*eq));
	hca_spin_init(&eq->lock);
}

void hca_eq_add(struct hca_eq *eq, struct hca_eq_node *node)
{
	hca_irqflags_t flags;

	hca_spin_lock(&eq->lock, flags);
	if (!node->queued) {
		node->queued = true;
		node->next = NULL;
		if (eq->last)
			eq->last->next = node;
		else
			hca_store(&eq->first, node);
		eq->last = node;
	}
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
	}
	return node;
}

void hca_eq_run(struct hca_eq *eq)
{
	hca_irqflags_t flags;

	if (hca_likely(!hca_load(&eq->first)))
		return;
	hca_spin_lock(&eq->lock, flags);
	while (!eq->running && (eq->firing = take(eq))) {
		eq->running = true;
		hca_spin_unlock(&eq->lock, flags);
		eq->firing->fire(eq->firing);
		hca_spin_lock(&eq->lock, flags);
		eq->running = false;
		eq->firing = NULL;
	}
	hca_spin_unlock(&eq->lock, flags);
}

void hca_eq_cancel(struct hca_eq *eq, struct hca_eq_node *node)
{
	struct hca_eq_node **at, *prev = NULL;
	hca_irqflags_t flags;

	hca_spin_lock(&eq->lock, flags);
	for (at = &eq->first; node->queued && *at != node; at = &(*at)->next)
		prev = *at;
	if (node->queued) {
		hca_store(at, node->next);
		if (eq->last == node)
			eq->last = prev;
		node->queued = false;
	}
	while (eq->running && eq->firing == node) {
		hca_spin_unlock(&eq->lock, flags);
		hca_pause();
		hca_spin_lock(&eq->lock, flags);
	}
	hca_spin_unlock(&eq->lock, flags);
}
