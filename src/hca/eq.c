/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The event queue; see eq.h. */
#include "hca/eq.h"

static void append(struct hca_eq *eq, struct hca_eq_node *node)
{
	hca_spin_assert(&eq->lock);
	node->queued = true;
	node->next = NULL;
	node->prev = eq->last;
	if (eq->last)
		eq->last->next = node;
	else
		hca_store(&eq->first, node);
	eq->last = node;
}

static void drop_node(struct hca_eq *eq, struct hca_eq_node *node)
{
	hca_spin_assert(&eq->lock);
	if (node->prev)
		node->prev->next = node->next;
	else
		hca_store(&eq->first, node->next);
	if (node->next)
		node->next->prev = node->prev;
	else
		eq->last = node->prev;
	node->queued = false;
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

static struct hca_eq_runner *runner_of(const struct hca_eq *eq, uintptr_t context)
{
	struct hca_eq_runner *r;

	for (r = eq->runners; r && r->context != context; r = r->next)
		;
	return r;
}

static const struct hca_eq_runner *runner_in(const struct hca_eq *eq, const struct hca_eq_node *node)
{
	const struct hca_eq_runner *r;

	for (r = eq->runners; r && r->firing != node; r = r->next)
		;
	return r;
}

/* Does the end of the node's handler wait, by way of other handlers, for the end of ours? As none did before, this comes to an end. */
static bool waits_for(const struct hca_eq *eq, const struct hca_eq_node *node, const struct hca_eq_runner *me)
{
	const struct hca_eq_runner *r;

	hca_spin_assert(&eq->lock);
	for (r = runner_in(eq, node); r && r != me && r->waits; r = runner_in(eq, r->waits))
		;
	return r && r == me;
}

static void remove_runner(struct hca_eq *eq, const struct hca_eq_runner *me)
{
	struct hca_eq_runner **at;

	for (at = &eq->runners; *at != me; at = &(*at)->next)
		;
	*at = me->next;
}

/* Return: calls are left that no thread makes. */
static bool run(struct hca_eq *eq, u32 budget)
{
	struct hca_eq_runner me = { .context = hca_context() };
	struct hca_eq_node *node;
	hca_irqflags_t flags;
	bool left;

	if (!me.context)
		return true;
	hca_spin_lock(&eq->lock, flags);
	if (runner_of(eq, me.context)) {
		hca_spin_unlock(&eq->lock, flags);
		return false;
	}
	me.next = eq->runners;
	/* cppcheck-suppress autoVariables // it is taken off before we return */
	eq->runners = &me;
	for (; budget && (node = eq->first); budget--) {
		drop_node(eq, node);
		node->firing = true;
		me.firing = node;
		hca_spin_unlock(&eq->lock, flags);
		node->fire(node);
		hca_spin_lock(&eq->lock, flags);
		node->firing = false;
		if (node->again)
			append(eq, node);
		node->again = false;
	}
	/* Under the lock that the list was looked at under: no node is added in between and left to us. */
	remove_runner(eq, &me);
	left = eq->first;
	hca_spin_unlock(&eq->lock, flags);
	return left;
}

void hca_eq_run_some(struct hca_eq *eq)
{
	if (run(eq, HCA_EQ_BUDGET))
		hca_eq_kick(eq);
}

bool hca_eq_turn(struct hca_eq *eq)
{
	return run(eq, HCA_EQ_BUDGET);
}

void hca_eq_kick(struct hca_eq *eq)
{
	hca_work_start(&eq->work);
}

/* In turns with other work of the os layer's thread. */
static void on_work(void *arg)
{
	struct hca_eq *eq = arg;

	if (run(eq, HCA_EQ_BUDGET))
		hca_eq_kick(eq);
}

int hca_eq_init(struct hca_eq *eq)
{
	hca_memset(eq, 0, sizeof(*eq));
	hca_spin_init(&eq->lock);
	return hca_work_init(&eq->work, on_work, eq);
}

void hca_eq_fini(struct hca_eq *eq)
{
	hca_work_destroy(&eq->work);
	(void)HCA_WARN_ON(eq->first);
}

void hca_eq_cancel(struct hca_eq *eq, struct hca_eq_node *node)
{
	struct hca_eq_runner *me;
	hca_irqflags_t flags;
	u32 turns = 0;

	hca_spin_lock(&eq->lock, flags);
	me = runner_of(eq, hca_context());
	for (;;) {
		if (node->queued)
			drop_node(eq, node);
		node->again = false;
		if (!node->firing)
			break;
		if (me) {
			HCA_ASSERT(!waits_for(eq, node, me));
			me->waits = node;
		}
		hca_spin_unlock(&eq->lock, flags);
		hca_relax(&turns);
		hca_spin_lock(&eq->lock, flags);
	}
	if (me)
		me->waits = NULL;
	hca_spin_unlock(&eq->lock, flags);
}
