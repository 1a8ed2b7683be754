/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Locks, completions and read sections of the test os layer, with the kernel's rules
 * asserted: nothing sleeps under a spin lock, in a read section or in a timer, a lock
 * is given back by who took it, an object is initialised before it is used. Called by
 * the core through os.h's macros. Nothing spins: who must wait is not chosen to run.
 */
#include "internal.h"

#define SPIN_READY 0x5b1a70ccu
#define MUTEX_READY 0x3a7e8ecau
#define COMPLETION_READY 0x60c0ffe1u

static const char *place(const struct test_ctx *c)
{
	static char text[256];

	hca_snprintf(text, sizeof(text), "%s:%d", c->file ? c->file : "?", c->line);
	return text;
}

static void check_ready(const struct test_ctx *c, u32 found, u32 wanted, const char *what)
{
	if (found != wanted)
		test_bug("%s used at %s before its init or after its end", what, place(c));
}

void test_misaligned(const volatile void *p, size_t size, const char *file, int line)
{
	(void)p; /* differs from run to run */
	test_bug("atomic access to %zu bytes that are not aligned to their size, at %s:%d", size, file, line);
}

void test_atomic_check(const char *call)
{
	const struct test_ctx *c = test_self();

	if (c->nspins)
		test_bug("%s may sleep, at %s, under a spin lock taken at %s:%d", call, place(c),
			 c->held[c->nheld - 1].file, c->held[c->nheld - 1].line);
	if (c->rcu_nest)
		test_bug("%s may sleep, at %s, in a read section", call, place(c));
	if (c->pins)
		test_bug("%s may sleep, at %s, while pinned", call, place(c));
	if (c->in_timer)
		test_bug("%s may sleep, at %s, in a timer's callback", call, place(c));
}

void test_hold(struct test_ctx *c, bool spin, void *lock)
{
	struct held *h = &c->held[c->nheld];

	if (c->nheld == MAX_HELD)
		test_bug("more than %u locks at %s", MAX_HELD, place(c));
	h->spin = spin;
	h->lock = lock;
	h->file = c->file;
	h->line = c->line;
	c->nheld++;
	c->nspins += spin;
}

bool test_drop(struct test_ctx *c, void *lock)
{
	u32 i;

	for (i = c->nheld; i-- > 0;) {
		if (c->held[i].lock != lock)
			continue;
		c->nspins -= c->held[i].spin;
		c->nheld--;
		hca_memmove(&c->held[i], &c->held[i + 1], (c->nheld - i) * sizeof(c->held[0]));
		return true;
	}
	return false;
}

static const struct held *held_in(const struct test_ctx *c, const void *mem, size_t size)
{
	uintptr_t start = (uintptr_t)mem;
	u32 i;

	for (i = 0; i < c->nheld; i++) {
		if ((uintptr_t)c->held[i].lock >= start && (uintptr_t)c->held[i].lock - start < size)
			return &c->held[i];
	}
	return NULL;
}

const struct held *test_held_within(const void *mem, size_t size)
{
	const struct held *h = held_in(&test_main, mem, size);
	const struct test_ctx *c;
	u32 i;

	for (i = 0; !h && (c = test_nth(i)); i++)
		h = held_in(c, mem, size);
	return h;
}

/* ---- spin locks ---- */

void hca_spin_init(struct hca_spinlock *l)
{
	l->owner = NULL;
	l->flags = 0;
	l->ready = SPIN_READY;
}

static hca_irqflags_t take(struct test_ctx *c, struct hca_spinlock *l)
{
	static u32 flags;

	l->owner = c;
	l->flags = ++flags;
	test_hold(c, true, l);
	return l->flags;
}

hca_irqflags_t test_spin_lock(struct hca_spinlock *l)
{
	struct test_ctx *c = test_enter(TEST_LOCK);

	check_ready(c, l->ready, SPIN_READY, "spin lock");
	if (l->owner == c)
		test_bug("spin lock taken twice by one thread, at %s", place(c));
	if (l->owner)
		test_block(WAIT_SPIN, l, FOREVER);
	return take(c, l);
}

void test_spin_unlock(struct hca_spinlock *l, hca_irqflags_t flags)
{
	struct test_ctx *c = test_self();

	check_ready(c, l->ready, SPIN_READY, "spin lock");
	if (l->owner != c)
		test_bug("spin unlock at %s:%d of a lock that %s", test_site_file ? test_site_file : "?",
			 test_site_line, l->owner ? "another thread holds" : "nobody holds");
	if (l->flags != flags)
		test_bug("spin unlock at %s:%d with the flags of another lock", test_site_file ? test_site_file : "?",
			 test_site_line);
	l->owner = NULL;
	test_drop(c, l);
	test_enter(TEST_UNLOCK); /* the first moment at which others can have it */
}

void test_spin_assert(const struct hca_spinlock *l)
{
	if (l->ready != SPIN_READY || l->owner != test_self())
		test_bug("spin lock not held at %s:%d", test_site_file, test_site_line);
}

/* ---- mutexes ---- */

void hca_mutex_init(struct hca_mutex *m)
{
	m->owner = NULL;
	m->ready = MUTEX_READY;
}

void test_mutex_lock(struct hca_mutex *m)
{
	struct test_ctx *c = test_enter(TEST_LOCK);

	check_ready(c, m->ready, MUTEX_READY, "mutex");
	test_atomic_check("hca_mutex_lock");
	if (m->owner == c)
		test_bug("mutex taken twice by one thread, at %s", place(c));
	if (m->owner)
		test_block(WAIT_MUTEX, m, FOREVER);
	m->owner = c;
	test_hold(c, false, m);
}

void test_mutex_unlock(struct hca_mutex *m)
{
	struct test_ctx *c = test_self();

	check_ready(c, m->ready, MUTEX_READY, "mutex");
	if (m->owner != c)
		test_bug("mutex unlock at %s:%d of a mutex that %s", test_site_file ? test_site_file : "?",
			 test_site_line, m->owner ? "another thread holds" : "nobody holds");
	m->owner = NULL;
	test_drop(c, m);
	test_enter(TEST_UNLOCK);
}

void test_mutex_destroy(struct hca_mutex *m)
{
	struct test_ctx *c = test_enter(TEST_UNLOCK);

	check_ready(c, m->ready, MUTEX_READY, "mutex");
	if (m->owner)
		test_bug("mutex destroyed at %s while held", place(c));
	m->ready = 0;
}

void test_mutex_assert(const struct hca_mutex *m)
{
	if (m->ready != MUTEX_READY || m->owner != test_self())
		test_bug("mutex not held at %s:%d", test_site_file, test_site_line);
}

/* ---- completions ---- */

void hca_completion_init(struct hca_completion *c)
{
	c->done = false;
	c->ready = COMPLETION_READY;
}

void hca_completion_destroy(struct hca_completion *c)
{
	const struct test_ctx *o;
	u32 i;

	check_ready(test_self(), c->ready, COMPLETION_READY, "completion");
	for (i = 0; (o = test_nth(i)); i++) {
		if (o->wait == WAIT_COMPLETION && o->what == c)
			test_bug("completion destroyed while thread %d waits at %s", o->index, place(o));
	}
	c->ready = 0;
}

void hca_complete(struct hca_completion *c)
{
	struct test_ctx *me = test_enter(TEST_COMPLETE);

	check_ready(me, c->ready, COMPLETION_READY, "completion");
	c->done = true;
	test_wake(c);
}

int hca_wait(struct hca_completion *c, u64 timeout_ns)
{
	struct test_ctx *me = test_enter(TEST_WAIT);

	check_ready(me, c->ready, COMPLETION_READY, "completion");
	test_atomic_check("hca_wait");
	if (c->done)
		return 0;
	return test_block(WAIT_COMPLETION, c, timeout_ns > FOREVER - test_now ? FOREVER : test_now + timeout_ns) ?
		       0 :
		       -ETIMEDOUT;
}

/* ---- read sections ---- */

void test_rcu_read_lock(void)
{
	static u64 sections;
	struct test_ctx *c = test_enter(TEST_RCU);

	if (!c->rcu_nest++)
		c->rcu_section = ++sections;
}

void test_rcu_read_unlock(void)
{
	struct test_ctx *c = test_self();

	if (!c->rcu_nest)
		test_bug("read section ended at %s:%d that did not begin", test_site_file, test_site_line);
	c->rcu_nest--;
	test_enter(TEST_RCU);
}

/* ---- pinning ---- */

hca_pin_t test_pin(void)
{
	struct test_ctx *c = test_self();

	c->pins++;
	return c;
}

void test_unpin(hca_pin_t p)
{
	struct test_ctx *c = test_self();

	if (p != c || !c->pins)
		test_bug("unpinned at %s:%d what was not pinned by this thread", test_site_file, test_site_line);
	c->pins--;
}

void hca_rcu_synchronize(void)
{
	struct test_ctx *o, *c = test_enter(TEST_RCU);
	u32 i;

	test_atomic_check("hca_rcu_synchronize");
	for (i = 0; (o = test_nth(i)); i++)
		c->grace[i] = o->rcu_nest ? o->rcu_section : 0;
	test_block(WAIT_GRACE, NULL, FOREVER);
}
