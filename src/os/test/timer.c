/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Virtual time and its timers. The clock stands still until sched.c moves it; timers
 * wait in a list by time, and for equal times by the order of their start. sched.c calls
 * test_timer_run() in a context that may not sleep. Never calls back by itself.
 */
#include "internal.h"

u64 test_now = TEST_CLOCK_START;

static struct hca_timer *first, *last;
static const struct hca_timer *running;
static u32 storm; /* callbacks since the clock moved */
static u64 storm_at;

#define STORM_LIMIT 1000000u

u64 hca_now_ns(void)
{
	return test_now;
}

u64 test_next_timer(void)
{
	return first ? first->when : FOREVER;
}

bool test_timer_idle(void)
{
	return !running && test_next_timer() > test_now;
}

const struct hca_timer *test_timer_running(void)
{
	return running;
}

static void disarm(struct hca_timer *t)
{
	if (!t->armed)
		return;
	t->armed = false;
	if (t->prev)
		t->prev->next = t->next;
	else
		first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else
		last = t->prev;
}

static void arm(struct hca_timer *t, u64 when)
{
	struct hca_timer *before = last;

	/* Work is done before time goes on: ahead of the timers that are due at the same moment. */
	while (before && (before->when > when || (t->work && !before->work && before->when == when)))
		before = before->prev;
	t->when = when;
	t->armed = true;
	t->prev = before;
	t->next = before ? before->next : first;
	if (t->prev)
		t->prev->next = t;
	else
		first = t;
	if (t->next)
		t->next->prev = t;
	else
		last = t;
}

void test_timer_run(struct test_ctx *c)
{
	struct hca_timer *t = first;
	void (*fn)(void *arg) = t->fn;
	void *arg = t->arg;

	if (storm_at != test_now)
		storm = 0;
	storm_at = test_now;
	if (++storm > STORM_LIMIT)
		test_bug("timers start each other without end at one moment");
	disarm(t);
	running = t;
	c->in_timer = !t->work;
	fn(arg);
	c->in_timer = false;
	running = NULL;
	if (c->nheld)
		test_bug("a timer's callback returned with a lock held, taken at %s:%d", c->held[0].file,
			 c->held[0].line);
	if (c->rcu_nest)
		test_bug("a timer's callback returned in a read section");
	if (c->pins)
		test_bug("a timer's callback returned pinned");
}

void test_timer_unwind(void)
{
	running = NULL;
	test_timer_ctx.in_timer = false;
}

static void check_live(const struct hca_timer *t, const char *call)
{
	const struct test_ctx *c = test_self();

	if (!test_find(OBJ_TIMER, t))
		test_bug("%s() at %s:%d of one that was not initialised, or destroyed", call, c->file, c->line);
}

static int init(struct hca_timer *t, void (*fn)(void *arg), void *arg, const char *call)
{
	struct test_ctx *c = test_enter(TEST_TIMER);

	if (test_find(OBJ_TIMER, t))
		test_bug("%s() at %s:%d of one that lives", call, c->file, c->line);
	if (test_fails())
		return -ENOMEM;
	hca_memset(t, 0, sizeof(*t));
	t->fn = fn;
	t->arg = arg;
	test_track(&t->obj, OBJ_TIMER, t, 0);
	return 0;
}

int hca_timer_init(struct hca_timer *t, void (*fn)(void *arg), void *arg)
{
	return init(t, fn, arg, "hca_timer_init");
}

void hca_timer_start(struct hca_timer *t, u64 when_ns)
{
	test_enter(TEST_TIMER);
	check_live(t, "hca_timer_start");
	if (t->dying)
		return;
	disarm(t);
	arm(t, HCA_MIN(when_ns, FOREVER - 1));
}

void hca_timer_stop(struct hca_timer *t)
{
	test_enter(TEST_TIMER);
	check_live(t, "hca_timer_stop");
	disarm(t);
}

static void destroy(struct hca_timer *t, const char *call)
{
	test_enter(TEST_TIMER);
	check_live(t, call);
	test_atomic_check(call);
	t->dying = true;
	disarm(t);
	if (running == t)
		test_block(WAIT_TIMER_END, t, FOREVER);
	test_untrack(&t->obj);
}

void hca_timer_destroy(struct hca_timer *t)
{
	destroy(t, "hca_timer_destroy");
}

int hca_work_init(struct hca_work *w, void (*fn)(void *arg), void *arg)
{
	int err = init(&w->timer, fn, arg, "hca_work_init");

	if (!err)
		w->timer.work = true;
	return err;
}

void hca_work_start(struct hca_work *w)
{
	test_enter(TEST_TIMER);
	check_live(&w->timer, "hca_work_start");
	if (w->timer.dying || w->timer.armed)
		return;
	arm(&w->timer, test_now);
}

void hca_work_destroy(struct hca_work *w)
{
	destroy(&w->timer, "hca_work_destroy");
}

const struct hca_timer *test_timer_within(const void *mem, size_t size)
{
	const struct hca_timer *t = first;

	while (t && ((uintptr_t)t < (uintptr_t)mem || (uintptr_t)t - (uintptr_t)mem >= size))
		t = t->next;
	return t;
}

void test_timer_reset(void)
{
	first = NULL;
	last = NULL;
	running = NULL;
	storm = 0;
	test_now = TEST_CLOCK_START;
}
