/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The timers of the user os layer and the helper thread that serves them: order, stop and
 * destroy against a callback that runs, signals, sleep, forks. Meant to be run under the
 * thread sanitizer too. A case may wait for something to happen, never for how long it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os.h"
#include "os_child.h"

#define MS 1000000ull

static void complete_it(void *arg)
{
	hca_complete(arg);
}

#define MANY 12000

static struct hca_timer many[MANY];
static u64 many_when[MANY];
static u32 ran, last_run, disorder;
static struct hca_completion gate, at_gate, all_ran;

static void ring(void *arg)
{
	u32 i = (u32)(uintptr_t)arg;

	if (ran && many_when[i] < many_when[last_run])
		disorder++;
	last_run = i;
	if (++ran == MANY - 1)
		hca_complete(&all_ran);
}

/* Keeps the helper busy until all the others are queued. */
static void stand_at_gate(void *arg)
{
	(void)arg;
	hca_complete(&at_gate);
	hca_wait(&gate, ~0ull);
}

static int threads_named(const char *name)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	char path[300], comm[32];
	int n = 0;
	FILE *f;

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (f) {
			if (fgets(comm, sizeof(comm), f))
				n += !strncmp(comm, name, strlen(name));
			fclose(f);
		}
	}
	if (d)
		closedir(d);
	return n;
}

/* Must run before any other case that starts a timer. */
static void the_helper_is_born_late(void **state)
{
	struct hca_completion c;
	struct hca_timer t;

	(void)state;
	assert_int_equal(hca_timer_init(&t, complete_it, &c), 0);
	hca_timer_stop(&t);
	assert_int_equal(threads_named("softhca"), 0);
	hca_completion_init(&c);
	hca_timer_start(&t, hca_now_ns());
	assert_int_equal(hca_wait(&c, ~0ull), 0);
	hca_timer_destroy(&t);
	assert_int_equal(threads_named("softhca"), 1);
}

static void many_timers_run_in_order(void **state)
{
	u32 i;

	(void)state;
	hca_completion_init(&gate);
	hca_completion_init(&at_gate);
	hca_completion_init(&all_ran);
	for (i = 0; i < MANY; i++)
		assert_int_equal(hca_timer_init(&many[i], i ? ring : stand_at_gate, (void *)(uintptr_t)i), 0);
	hca_timer_start(&many[0], 0);
	assert_int_equal(hca_wait(&at_gate, ~0ull), 0);
	for (i = 1; i < MANY; i++)
		hca_timer_start(&many[i], ~0ull);
	for (i = 1; i < MANY; i++) { /* and then moved nearer */
		many_when[i] = 1 + i * 7919ull % MANY;
		hca_timer_start(&many[i], many_when[i]);
	}
	for (i = 1; i < MANY; i += 5) { /* some leave from the middle and come back */
		hca_timer_stop(&many[i]);
		hca_timer_stop(&many[i]);
	}
	for (i = 1; i < MANY; i += 5)
		hca_timer_start(&many[i], many_when[i]);
	hca_complete(&gate);
	assert_int_equal(hca_wait(&all_ran, ~0ull), 0);
	for (i = 0; i < MANY; i++)
		hca_timer_destroy(&many[i]);
	assert_int_equal(ran, MANY - 1);
	assert_int_equal(disorder, 0);
}

static void note_time(void *arg)
{
	*(u64 *)arg = hca_now_ns();
	hca_complete(&all_ran);
}

static void timers_are_never_early(void **state)
{
	struct hca_timer t;
	u64 when, at = 0;
	int i;

	(void)state;
	assert_int_equal(hca_timer_init(&t, note_time, &at), 0);
	for (i = 0; i < 30; i++) {
		hca_completion_init(&all_ran);
		when = hca_now_ns() + MS / 10 + (u64)(i % 10) * MS / 3;
		hca_timer_start(&t, when + 3600 * 1000 * MS);
		hca_timer_start(&t, when);
		assert_int_equal(hca_wait(&all_ran, ~0ull), 0);
		assert_true(at >= when);
	}
	hca_timer_destroy(&t);
}

static struct hca_timer race;
static u32 inside, after_end, callbacks;
static bool ended;

static void race_callback(void *arg)
{
	if (hca_fetch_add(&inside, 1))
		hca_store(&after_end, 1); /* twice at once */
	if (hca_load(&ended))
		hca_store(&after_end, 1);
	hca_fetch_add(&callbacks, 1);
	hca_fetch_add(&inside, -1u);
	hca_timer_start(arg, hca_now_ns()); /* for ever, were it not destroyed */
}

static void *start_race(void *arg)
{
	int i;

	for (i = 0; i < 200; i++) {
		hca_timer_start(&race, hca_now_ns());
		if (i & 1)
			hca_timer_stop(&race);
	}
	return arg;
}

static void destroy_races_with_the_callback(void **state)
{
	u32 seen;
	int i;

	(void)state;
	for (i = 0; i < 300; i++) {
		hca_store(&ended, false);
		assert_int_equal(hca_timer_init(&race, race_callback, &race), 0);
		seen = hca_load(&callbacks);
		if (i < 20)
			in_threads(3, start_race, NULL);
		hca_timer_start(&race, 0);
		while (i & 1 && hca_load(&callbacks) == seen)
			sched_yield();
		hca_timer_destroy(&race);
		hca_store(&ended, true);
		memset(&race, 0xff, sizeof(race));
		assert_int_equal(hca_load(&inside), 0);
	}
	assert_int_equal(hca_load(&after_end), 0);
	assert_true(hca_load(&callbacks) > 0);
}

static u32 destroyed;

static void *destroy_it(void *arg)
{
	hca_timer_destroy(arg);
	hca_store(&destroyed, 1);
	return arg;
}

static void destroy_waits_for_the_callback(void **state)
{
	struct hca_timer t;
	pthread_t d;

	(void)state;
	hca_completion_init(&gate);
	hca_completion_init(&at_gate);
	assert_int_equal(hca_timer_init(&t, stand_at_gate, NULL), 0);
	hca_timer_start(&t, 0);
	assert_int_equal(hca_wait(&at_gate, ~0ull), 0);
	assert_int_equal(pthread_create(&d, NULL, destroy_it, &t), 0);
	usleep(50000); /* time to do wrong; there is none that would be too short to do right */
	assert_int_equal(hca_load(&destroyed), 0);
	hca_complete(&gate);
	pthread_join(d, NULL);
	assert_int_equal(hca_load(&destroyed), 1);
}

static u32 signals_in_helper;
static pthread_t test_thread;

static void on_signal(int sig)
{
	(void)sig;
	if (!pthread_equal(pthread_self(), test_thread))
		hca_store(&signals_in_helper, 1);
}

static void the_helper_takes_no_signals(void **state)
{
	struct sigaction sa = { .sa_handler = on_signal }, before;
	sigset_t block, old, pending;
	int i;

	(void)state;
	test_thread = pthread_self();
	sigaction(SIGUSR2, &sa, &before);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	kill(getpid(), SIGUSR2); /* only the helper could take it now */
	for (i = 0; i < 20; i++)
		usleep(1000);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR2));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(hca_load(&signals_in_helper), 0);
	sigaction(SIGUSR2, &before, NULL);
}

static u64 cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (u64)ts.tv_sec * 1000000000ull + (u64)ts.tv_nsec;
}

static void the_helper_sleeps(void **state)
{
	struct hca_timer t;
	u64 before;

	(void)state;
	assert_int_equal(hca_timer_init(&t, complete_it, NULL), 0);
	hca_timer_start(&t, hca_now_ns() + 7200 * 1000 * MS); /* something is queued, nothing is due */
	before = cpu_ns();
	usleep(300000);
	assert_true(cpu_ns() - before < 60 * MS); /* one that spins uses all of it */
	hca_timer_destroy(&t);
}

static void destroy_in_callback(void *arg)
{
	hca_timer_destroy(arg);
}

static void die_in_callback(void)
{
	hca_timer_init(&race, destroy_in_callback, &race);
	hca_timer_start(&race, 0);
	pause();
}

static void use_all_in_child(void)
{
	struct hca_completion c;
	struct hca_timer t;

	hca_completion_init(&c);
	hca_timer_init(&t, complete_it, &c);
	hca_timer_start(&t, hca_now_ns() + MS);
	hca_wait(&c, ~0ull);
	hca_timer_destroy(&t);
	hca_rcu_read_lock();
	hca_rcu_read_unlock();
	hca_rcu_synchronize();
	raise(SIGKILL);
}

static struct hca_timer inherited;
static u32 inherited_runs;

static void count_run(void *arg)
{
	(void)arg;
	hca_fetch_add(&inherited_runs, 1);
}

/* The child's own timer, due later than the parent's, runs alone; then the child starts the parent's, and it runs. */
static void use_own_in_child(void)
{
	struct hca_completion c;
	struct hca_timer t;

	hca_completion_init(&c);
	hca_timer_init(&t, complete_it, &c);
	hca_timer_start(&t, hca_now_ns() + 100 * MS);
	hca_wait(&c, ~0ull);
	if (hca_load(&inherited_runs))
		abort();
	hca_timer_start(&inherited, hca_now_ns());
	while (!hca_load(&inherited_runs))
		usleep(1000);
	hca_timer_stop(&inherited);
	hca_timer_destroy(&inherited);
	hca_timer_destroy(&t);
	raise(SIGKILL);
}

static void a_child_runs_none_of_its_parents_timers(void **state)
{
	(void)state;
	hca_timer_init(&inherited, count_run, NULL);
	hca_timer_start(&inherited, hca_now_ns() + 50 * MS);
	assert_int_equal(died_of(use_own_in_child), SIGKILL);
	while (!hca_load(&inherited_runs))
		usleep(1000);
	hca_timer_destroy(&inherited);
}

static void forks_go_on(void **state)
{
	(void)state;
	assert_int_equal(died_of(use_all_in_child), SIGKILL);
	assert_int_equal(died_of(die_in_callback), SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_helper_is_born_late),
		cmocka_unit_test(many_timers_run_in_order),
		cmocka_unit_test(timers_are_never_early),
		cmocka_unit_test(destroy_races_with_the_callback),
		cmocka_unit_test(destroy_waits_for_the_callback),
		cmocka_unit_test(the_helper_takes_no_signals),
		cmocka_unit_test(the_helper_sleeps),
		cmocka_unit_test(forks_go_on),
		cmocka_unit_test(a_child_runs_none_of_its_parents_timers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
