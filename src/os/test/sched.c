/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which thread runs. Threads of test_run_threads() are real ones that hand a baton on: at each
 * os call a seeded choice is made among those that can go on, and a thread that waits isn't
 * among them. When all wait, virtual time jumps; when nothing is left to come, that is a
 * deadlock. Outside a run the same calls work for the test's own thread. Never looks at
 * an address or a real clock to decide, so that a seed replays.
 */
#include "internal.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define STEP_LIMIT 20000000u
#define STACK_BYTES ((size_t)512 << 10)
#define IDLE_LIMIT 20000u /* decisions among threads that all turn without anything moving */

struct test_ctx test_main = { .index = -1 };
struct test_ctx test_timer_ctx = { .index = -1 };
bool test_scheduled;
_Thread_local const char *test_site_file;
_Thread_local int test_site_line;

static _Thread_local struct test_ctx *self; /* NULL: the test's own thread, or a foreign one */
static pthread_t main_thread;
static bool main_known;

static struct {
	struct test_ctx ctx[CONTEXTS]; /* the threads, then their timers' */
	u32 n; /* threads */
	u64 chance;
	u32 stay; /* of 16 decisions, how many leave the same thread running */
	u32 burst; /* with weak memory: so many decisions more do */
	u32 drain; /* of 8 stores that only their thread sees, how many go on to memory at its next step */
	u64 trace;
	u64 steps;
	u32 idle;
	bool over; /* no thread is left: the timers' goes too */
	bool abandoned;
	int err;
} run;

struct test_ctx *test_self(void)
{
	if (hca_likely(self != NULL))
		return self;
	if (!main_known) {
		main_known = true;
		main_thread = pthread_self();
	}
	if (!pthread_equal(main_thread, pthread_self())) {
		/* Without a baton of its own it would break every promise of this file. */
		test_say("os call at %s:%d in a thread that test_run_threads() did not make",
			 test_site_file ? test_site_file : "?", test_site_line);
		abort();
	}
	return &test_main;
}

void test_become(struct test_ctx *c)
{
	self = c == &test_main ? NULL : c;
}

struct test_ctx *test_nth(u32 i)
{
	return test_scheduled && i <= run.n ? &run.ctx[i] : NULL;
}

unsigned int test_slot(void)
{
	int index = test_self()->index;

	return index < 0 ? 0 : (unsigned int)index;
}

static bool interrupts_off;

void test_interrupts_off(bool off)
{
	interrupts_off = off;
}

uintptr_t test_context(void)
{
	return interrupts_off ? 0 : (uintptr_t)test_self();
}

bool test_may_carry(void)
{
	return !interrupts_off;
}

/* ---- waiting ---- */

static bool ready(const struct test_ctx *c)
{
	struct test_ctx *o;
	u32 i;

	switch (c->wait) {
	case WAIT_NONE:
		return true;
	case WAIT_SPIN:
		return !((const struct hca_spinlock *)c->what)->owner;
	case WAIT_MUTEX:
		return !((const struct hca_mutex *)c->what)->owner;
	case WAIT_COMPLETION: /* hca_complete() ends the wait itself: *what may be gone when we look */
		return test_now >= c->until;
	case WAIT_GRACE:
		for (i = 0; (o = test_nth(i)); i++) {
			if (c->grace[i] && o->rcu_nest && o->rcu_section == c->grace[i])
				return false;
		}
		return true;
	case WAIT_TIMER_END:
		return test_timer_running() != c->what;
	case WAIT_CLOCK:
		return test_timer_idle();
	case WAIT_WORK:
		return run.over || test_next_timer() <= test_now;
	}
	return true;
}

void test_wake(const void *completion)
{
	struct test_ctx *c;
	u32 i;

	if (test_main.wait == WAIT_COMPLETION && test_main.what == completion)
		test_main.wait = WAIT_NONE;
	for (i = 0; (c = test_nth(i)); i++) {
		if (c->wait == WAIT_COMPLETION && c->what == completion)
			c->wait = WAIT_NONE;
	}
}

static const char *wait_name(const struct test_ctx *c)
{
	static const char *const name[] = {
		[WAIT_NONE] = "its turn",
		[WAIT_SPIN] = "a spin lock",
		[WAIT_MUTEX] = "a mutex",
		[WAIT_COMPLETION] = "a completion",
		[WAIT_GRACE] = "a grace period",
		[WAIT_TIMER_END] = "a timer's end",
		[WAIT_CLOCK] = "the timers due now",
		[WAIT_WORK] = "a timer",
	};

	return name[c->wait];
}

static void report(const char *what)
{
	const struct test_ctx *c, *owner;
	const char *name;
	u32 i, k;

	test_say("%s after %llu decisions, at %llu ns", what, (unsigned long long)run.steps,
		 (unsigned long long)test_now);
	for (i = 0; (c = test_nth(i)); i++) {
		if (c->done || c->wait == WAIT_WORK)
			continue;
		owner = NULL;
		if (c->wait == WAIT_SPIN)
			owner = ((const struct hca_spinlock *)c->what)->owner;
		else if (c->wait == WAIT_MUTEX)
			owner = ((const struct hca_mutex *)c->what)->owner;
		name = i == run.n ? "timers" : "thread";
		if (owner)
			test_say("  %s %u waits at %s:%d for %s of thread %d", name, i, c->file, c->line, wait_name(c),
				 owner->index);
		else
			test_say("  %s %u waits at %s:%d for %s", name, i, c->file, c->line, wait_name(c));
		for (k = 0; k < c->nheld; k++)
			test_say("    and holds a %s taken at %s:%d", c->held[k].spin ? "spin lock" : "mutex",
				 c->held[k].file, c->held[k].line);
		if (c->rcu_nest)
			test_say("    and is in a read section");
	}
}

/* The threads can't be ended from outside: each is woken to jump out of whatever it was doing. */
void test_abandon(int err)
{
	struct test_ctx *me = test_self();
	u32 i;

	run.err = err;
	run.abandoned = true;
	for (i = 0; i <= run.n; i++) {
		if (&run.ctx[i] != me && !run.ctx[i].done)
			sem_post(&run.ctx[i].baton);
	}
	longjmp(me->top, 1);
}

/* The next moment after now at which somebody who sleeps goes on. */
static u64 next_event(void)
{
	u64 next = test_next_timer();
	const struct test_ctx *c;
	u32 i;

	if (next <= test_now)
		next = FOREVER;
	for (i = 0; (c = test_nth(i)); i++) {
		if (!c->done && c->wait == WAIT_COMPLETION && c->until > test_now && c->until < next)
			next = c->until;
	}
	return next;
}

/* ---- deciding ---- */

static u32 gather(bool paused, struct test_ctx *cand[])
{
	u32 i, n = 0;

	for (i = 0; i <= run.n; i++) {
		if (!run.ctx[i].done && run.ctx[i].paused == paused && ready(&run.ctx[i]))
			cand[n++] = &run.ctx[i];
	}
	return n;
}

static bool long_stops;

void test_long_stops(bool on)
{
	if (test_scheduled)
		test_bug("test_long_stops() inside test_run_threads()");
	long_stops = on;
}

/* Does a thread that could go on go on? In bursts of very different lengths, or by an even chance for each decision. */
static bool stays(void)
{
	if (!test_weak && !long_stops)
		return (test_mix(&run.chance) & 15) < run.stay;
	if (run.burst) {
		run.burst--;
		return true;
	}
	run.burst = (1u << (test_mix(&run.chance) & 7)) - 1;
	return false;
}

/* The thread that goes on, or NULL when all are done. @me is NULL or done if it can't. */
static struct test_ctx *pick(struct test_ctx *me, enum test_op op)
{
	struct test_ctx *cand[CONTEXTS], *next = NULL;
	u32 i, n, alive = 0;
	u64 when;

	for (i = 0; i <= run.n; i++)
		alive += !run.ctx[i].done;
	if (!alive)
		return NULL;
	while (!(n = gather(false, cand))) {
		when = next_event();
		if (when != FOREVER) {
			test_now = when;
			continue;
		}
		n = gather(true, cand);
		if (n && ++run.idle < IDLE_LIMIT)
			break;
		report(n ? "nobody gets anywhere" : "deadlock");
		test_abandon(n ? -ELOOP : -EDEADLK);
	}
	for (i = 0; i < n && op != TEST_PAUSE && !next; i++) {
		if (cand[i] == me && stays())
			next = me;
	}
	if (!next)
		next = cand[test_mix(&run.chance) % n];
	run.trace = (run.trace ^ ((u64)next->index << 8 | op) ^ test_now << 16) * 0x9e3779b97f4a7c15ull;
	run.trace ^= run.trace >> 29;
	return next;
}

static void take_baton(struct test_ctx *c)
{
	while (sem_wait(&c->baton))
		;
}

static void hand_over(struct test_ctx *me, enum test_op op)
{
	struct test_ctx *next;

	if (++run.steps > STEP_LIMIT) {
		report("nobody comes to an end");
		test_abandon(-ELOOP);
	}
	next = pick(me, op);
	if (next == me)
		return;
	sem_post(&next->baton);
	take_baton(me);
	if (run.abandoned)
		longjmp(me->top, 1);
}

void test_moved(void)
{
	u32 i;

	run.idle = 0;
	for (i = 0; i <= run.n; i++)
		run.ctx[i].paused = false;
}

static void note_site(struct test_ctx *c)
{
	c->file = test_site_file ? test_site_file : "?";
	c->line = test_site_file ? test_site_line : 0;
}

void test_switch(enum test_op op)
{
	struct test_ctx *c = test_self();

	note_site(c);
	if (op == TEST_PAUSE)
		c->paused = true;
	else if (op != TEST_LOAD && op != TEST_CMPXCHG)
		test_moved();
	if (c->nstores)
		test_drain_some(c, &run.chance, run.drain);
	hand_over(c, op);
	if (hca_likely(!c->nstores))
		return;
	/* A thread that turns in a loop gives its stores the time that they need. */
	if (op == TEST_LOAD || op == TEST_STORE)
		test_drain_some(c, &run.chance, run.drain);
	else
		test_drain(c);
}

struct test_ctx *test_enter(enum test_op op)
{
	struct test_ctx *c = test_self();

	if (test_scheduled)
		test_switch(op);
	else
		note_site(c);
	test_site_file = NULL;
	return c;
}

/* Outside a run the test's own thread is the only one that sleeps: what is to come comes. */
static void wait_alone(struct test_ctx *c)
{
	u32 turns = 0;
	u64 next;

	while (!ready(c)) {
		next = HCA_MIN(test_next_timer(), c->until);
		if (c->in_timer || next == FOREVER || ++turns > STEP_LIMIT) {
			const char *what = wait_name(c);

			c->wait = WAIT_NONE;
			test_bug("deadlock: %s:%d waits for %s, and nothing to come ends that", c->file, c->line, what);
		}
		test_now = HCA_MAX(test_now, next);
		if (test_next_timer() <= test_now) {
			test_become(&test_timer_ctx);
			test_timer_run(&test_timer_ctx);
			test_become(c);
		}
	}
}

bool test_block(enum wait_for wait, const void *what, u64 until)
{
	struct test_ctx *c = test_self();
	bool late;

	test_drain(c);
	c->what = what;
	c->until = until;
	c->wait = wait;
	if (test_scheduled)
		hand_over(c, TEST_WAIT);
	else
		wait_alone(c);
	late = c->wait == WAIT_COMPLETION;
	c->wait = WAIT_NONE;
	return !late;
}

void test_clock_advance(u64 ns)
{
	struct test_ctx *c = test_enter(TEST_CLOCK);
	u64 next, target = ns > FOREVER - test_now ? FOREVER - 1 : test_now + ns;

	test_atomic_check("test_clock_advance");
	if (test_scheduled) {
		/* A step for each thing that comes due; the timers' thread calls back while we wait. */
		test_block(WAIT_CLOCK, NULL, FOREVER);
		while ((next = next_event()) <= target) {
			test_now = next;
			test_block(WAIT_CLOCK, NULL, FOREVER);
		}
	} else {
		while ((next = test_next_timer()) <= target) {
			test_now = HCA_MAX(test_now, next);
			test_become(&test_timer_ctx);
			test_timer_run(&test_timer_ctx);
			test_become(c);
		}
	}
	test_now = HCA_MAX(test_now, target);
}

/* ---- a run ---- */

static void serve_timers(void *unused)
{
	(void)unused;
	for (;;) {
		test_block(WAIT_WORK, NULL, FOREVER);
		if (test_next_timer() > test_now)
			return;
		test_timer_run(test_self());
	}
}

static void leave(struct test_ctx *c)
{
	struct test_ctx *next;
	u32 i;

	if (c->nheld)
		test_bug("thread %d ends with a %s held, taken at %s:%d", c->index,
			 c->held[0].spin ? "spin lock" : "mutex", c->held[0].file, c->held[0].line);
	if (c->rcu_nest)
		test_bug("thread %d ends in a read section", c->index);
	if (c->pins)
		test_bug("thread %d ends pinned", c->index);
	test_drain(c);
	c->done = true;
	test_moved();
	run.over = true;
	for (i = 0; i < run.n; i++)
		run.over &= run.ctx[i].done;
	next = pick(c, TEST_END);
	if (next)
		sem_post(&next->baton);
}

static void *thread_main(void *arg)
{
	struct test_ctx *c = arg;

	self = c;
	take_baton(c);
	if (!setjmp(c->top) && !run.abandoned) {
		c->fn(c->arg);
		leave(c);
	}
	return NULL;
}

/*
 * One at a time they run: on one processor the baton goes from hand to hand without waking another one, which costs a guest
 * dearly. Small stacks are kept by the C library for the next run.
 */
static void make_attr(pthread_attr_t *attr)
{
	cpu_set_t here;
	int cpu = sched_getcpu();

	pthread_attr_init(attr);
	(void)pthread_attr_setstacksize(attr, STACK_BYTES);
	if (cpu < 0)
		return;
	CPU_ZERO(&here);
	CPU_SET(cpu, &here);
	(void)pthread_attr_setaffinity_np(attr, sizeof(here), &here);
}

int test_run_threads(u64 seed, u32 n, void (*const fns[])(void *arg), void *const args[], u64 *trace)
{
	static const u32 nervousness[] = { 0, 4, 8, 12, 14 };
	static const u32 draining[] = { 0, 0, 1, 3 };
	struct test_ctx *c = test_self();
	pthread_attr_t attr;
	bool bug;
	u32 i;

	if (c != &test_main || test_scheduled || !n || n > TEST_MAX_THREADS)
		test_bug("test_run_threads() of %u threads, or inside another", n);
	test_atomic_check("test_run_threads");
	memset(&run, 0, sizeof(run));
	run.n = n;
	run.chance = seed;
	run.stay = nervousness[test_mix(&run.chance) % HCA_ARRAY_SIZE(nervousness)];
	run.drain = test_weak ? draining[test_mix(&run.chance) % HCA_ARRAY_SIZE(draining)] : 8;
	for (i = 0; i <= n; i++) {
		c = &run.ctx[i];
		c->index = (int)i;
		c->fn = i < n ? fns[i] : serve_timers;
		c->arg = i < n && args ? args[i] : NULL;
		c->file = "its start";
		sem_init(&c->baton, 0, 0);
	}
	test_scheduled = true;
	make_attr(&attr);
	for (i = 0; i <= n; i++) {
		if (pthread_create(&run.ctx[i].thread, &attr, thread_main, &run.ctx[i])) {
			test_say("no thread for the schedule");
			abort();
		}
	}
	pthread_attr_destroy(&attr);
	sem_post(&pick(NULL, TEST_BEGIN)->baton);
	for (i = 0; i <= n; i++) {
		pthread_join(run.ctx[i].thread, NULL);
		sem_destroy(&run.ctx[i].baton);
	}
	test_scheduled = false;
	bug = run.err == -EFAULT;
	if (run.err)
		test_timer_unwind();
	if (bug)
		test_bug_pass();
	if (trace)
		*trace = run.trace;
	return run.err;
}

u64 test_steps(void)
{
	return run.steps;
}

static void ctx_reset(struct test_ctx *c)
{
	memset(c, 0, sizeof(*c));
	c->index = -1;
}

void test_os_reset(u64 seed)
{
	self = NULL;
	main_known = false;
	if (test_scheduled) {
		test_say("test_os_reset() inside test_run_threads()");
		abort();
	}
	ctx_reset(&test_main);
	ctx_reset(&test_timer_ctx);
	test_timer_reset();
	test_memory_reset();
	test_words_reset(seed);
}
