/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user os layer's worker with real threads: once per start, again if it was started
 * while it ran, its end, its signals, and what a forked child has of it.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "os.h"
#include "os_child.h"

#define STARTERS 8
#define STARTS 2000u

static struct hca_work work, second;
static u32 calls, other_calls, inside, wrong, gate, standing, ended;

static void count(void *arg)
{
	hca_fetch_add((u32 *)arg, 1);
}

static void wait_until(const u32 *what, u32 value)
{
	while (hca_load_acquire(what) != value)
		sched_yield();
}

/* The worker is in here until the gate is opened. */
static void stand_at_gate(void *arg)
{
	hca_fetch_add((u32 *)arg, 1);
	hca_store(&standing, 1u);
	while (!hca_load(&gate))
		sched_yield();
	hca_store(&standing, 0u);
}

static void hold_worker(void)
{
	hca_store(&gate, 0u);
	hca_store(&standing, 0u);
	hca_work_start(&work);
	wait_until(&standing, 1);
}

static void once_per_start(void **state)
{
	(void)state;
	calls = other_calls = 0;
	assert_int_equal(hca_work_init(&work, stand_at_gate, &calls), 0);
	assert_int_equal(hca_work_init(&second, count, &other_calls), 0);
	hold_worker();
	hca_work_start(&second); /* waits, and is one call however often it is started */
	hca_work_start(&second);
	hca_work_start(&second);
	assert_int_equal(hca_load(&other_calls), 0);
	hca_store(&gate, 1u);
	wait_until(&other_calls, 1);
	hca_work_start(&second);
	wait_until(&other_calls, 2);
	hca_work_destroy(&work);
	hca_work_destroy(&second);
	assert_int_equal(calls, 1);
	assert_int_equal(other_calls, 2);
}

static void a_start_while_it_runs_is_another_call(void **state)
{
	(void)state;
	calls = 0;
	assert_int_equal(hca_work_init(&work, stand_at_gate, &calls), 0);
	hold_worker();
	hca_work_start(&work);
	hca_work_start(&work);
	hca_store(&gate, 1u);
	wait_until(&calls, 2);
	hca_work_destroy(&work);
	assert_int_equal(calls, 2);
}

static void queued_work_ends_unrun(void **state)
{
	(void)state;
	calls = other_calls = 0;
	assert_int_equal(hca_work_init(&work, stand_at_gate, &calls), 0);
	assert_int_equal(hca_work_init(&second, count, &other_calls), 0);
	hold_worker();
	hca_work_start(&second);
	hca_work_destroy(&second);
	hca_store(&gate, 1u);
	hca_work_destroy(&work);
	assert_int_equal(other_calls, 0);
}

static void *destroy_it(void *arg)
{
	hca_work_destroy(&work);
	hca_store(&ended, 1u);
	return arg;
}

static void its_end_waits_for_the_call(void **state)
{
	pthread_t t;

	(void)state;
	calls = ended = 0;
	assert_int_equal(hca_work_init(&work, stand_at_gate, &calls), 0);
	hold_worker();
	hca_work_start(&work); /* that call isn't made any more */
	assert_int_equal(pthread_create(&t, NULL, destroy_it, NULL), 0);
	usleep(50000); /* time to do wrong */
	assert_int_equal(hca_load(&ended), 0);
	hca_store(&gate, 1u);
	pthread_join(t, NULL);
	assert_int_equal(hca_load(&standing), 0);
	assert_int_equal(calls, 1);
}

static void one_at_a_time(void *arg)
{
	if (hca_fetch_add(&inside, 1))
		hca_fetch_add(&wrong, 1);
	++*(u32 *)arg; /* plain: its calls are ordered */
	hca_store(&ended, 1u);
	hca_fetch_add(&inside, (u32)-1);
}

static void *start_often(void *arg)
{
	u32 i;

	for (i = 0; i < STARTS; i++)
		hca_work_start(&work);
	return arg;
}

static void starts_meet(void **state)
{
	(void)state;
	calls = wrong = ended = 0;
	assert_int_equal(hca_work_init(&work, one_at_a_time, &calls), 0);
	in_threads(STARTERS, start_often, NULL);
	wait_until(&ended, 1); /* a destroy before the first call would be the end of all */
	hca_work_destroy(&work);
	assert_int_equal(wrong, 0);
	assert_in_range(calls, 1, STARTERS * STARTS);
}

/* --- signals --- */

static pthread_t worker, handled_by;
static u32 handled;

static void note_worker(void *arg)
{
	worker = pthread_self();
	hca_store_release((u32 *)arg, 1u);
}

static void on_signal(int sig)
{
	(void)sig;
	handled_by = pthread_self();
	hca_store(&handled, 1u);
}

static void the_worker_takes_no_signals(void **state)
{
	struct sigaction act = { .sa_handler = on_signal };
	sigset_t usr1, before;

	(void)state;
	calls = handled = 0;
	assert_int_equal(sigaction(SIGUSR1, &act, NULL), 0);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	assert_int_equal(hca_work_init(&work, note_worker, &calls), 0);
	hca_work_start(&work);
	wait_until(&calls, 1);
	assert_false(pthread_equal(worker, pthread_self()));
	pthread_sigmask(SIG_BLOCK, &usr1, &before);
	kill(getpid(), SIGUSR1); /* for whoever would take it */
	usleep(50000);
	assert_int_equal(hca_load(&handled), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert_int_equal(hca_load(&handled), 1);
	assert_true(pthread_equal(handled_by, pthread_self()));
	hca_work_destroy(&work);
}

/* --- a forked child --- */

static int child(void)
{
	if (hca_load(&other_calls))
		return 1;
	usleep(20000);
	if (hca_load(&other_calls))
		return 2; /* it was the parent's call */
	hca_work_start(&second);
	wait_until(&other_calls, 1);
	hca_work_destroy(&second);
	hca_work_destroy(&work); /* whose call went on in the parent when we were made */
	return 0;
}

static void a_child_has_no_work(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	calls = other_calls = 0;
	assert_int_equal(hca_work_init(&work, stand_at_gate, &calls), 0);
	assert_int_equal(hca_work_init(&second, count, &other_calls), 0);
	hold_worker();
	hca_work_start(&second);
	pid = fork();
	if (!pid) {
		alarm(60);
		_exit(child());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(hca_load(&other_calls), 0);
	hca_store(&gate, 1u);
	wait_until(&other_calls, 1); /* the parent's are made there */
	hca_work_destroy(&work);
	hca_work_destroy(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_per_start),
		cmocka_unit_test(a_start_while_it_runs_is_another_call),
		cmocka_unit_test(queued_work_ends_unrun),
		cmocka_unit_test(its_end_waits_for_the_call),
		cmocka_unit_test(starts_meet),
		cmocka_unit_test(the_worker_takes_no_signals),
		cmocka_unit_test(a_child_has_no_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
