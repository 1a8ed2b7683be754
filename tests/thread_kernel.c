/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* softhca/kernel.h with threads: locks, wait queues, completions, kthreads, timers, work queues, modules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "os.h"
#include "os_child.h"
#include "softhca/kernel.h"

#define ROUNDS 2000

/* --- locks --- */

static DEFINE_SPINLOCK(spin);
static DEFINE_MUTEX(mutex);
static DECLARE_RWSEM(rwsem);
static DECLARE_COMPLETION(locked);
static unsigned long spin_count, mutex_count, rw_count;

static int locker(void *data)
{
	unsigned long flags;
	int i;

	(void)data;
	for (i = 0; i < ROUNDS; i++) {
		spin_lock_irqsave(&spin, flags);
		lockdep_assert_held(&spin);
		spin_count++;
		spin_unlock_irqrestore(&spin, flags);
		mutex_lock(&mutex);
		lockdep_assert_held(&mutex);
		mutex_count++;
		mutex_unlock(&mutex);
		down_write(&rwsem);
		rw_count++;
		up_write(&rwsem);
		down_read(&rwsem);
		up_read(&rwsem);
	}
	complete(&locked);
	return 0;
}

static void locks(void **state)
{
	struct task_struct *t[3];
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		t[i] = kthread_create(locker, NULL, "lock/%d", i);
		assert_false(IS_ERR(t[i]));
		wake_up_process(t[i]);
	}
	locker(NULL);
	for (i = 0; i < 4; i++)
		wait_for_completion(&locked);
	for (i = 0; i < 3; i++)
		assert_int_equal(kthread_stop(t[i]), 0);
	assert_int_equal(spin_count, 4 * ROUNDS);
	assert_int_equal(mutex_count, 4 * ROUNDS);
	assert_int_equal(rw_count, 4 * ROUNDS);
	assert_int_equal(mutex_trylock(&mutex), 1);
	assert_true(mutex_is_locked(&mutex));
	mutex_unlock(&mutex);
	assert_false(mutex_is_locked(&mutex));
	assert_false(in_atomic());
	spin_lock(&spin);
	assert_true(in_atomic());
	spin_unlock(&spin);
}

/* --- completions, semaphores, wait queues --- */

static struct completion ping, pong;

static int answers(void *data)
{
	int *n = data;

	for (; *n < ROUNDS; (*n)++) {
		wait_for_completion(&ping);
		complete(&pong);
	}
	return *n;
}

static void completions(void **state)
{
	DECLARE_COMPLETION_ONSTACK(done);
	struct semaphore sem;
	struct task_struct *t;
	int i, n = 0;

	(void)state;
	init_completion(&ping);
	init_completion(&pong);
	t = kthread_run(answers, &n, "answers");
	assert_false(IS_ERR(t));
	for (i = 0; i < ROUNDS; i++) {
		complete(&ping);
		wait_for_completion(&pong);
	}
	assert_int_equal(kthread_stop(t), ROUNDS);
	assert_false(completion_done(&done));
	assert_int_equal(wait_for_completion_timeout(&done, 5), 0);
	complete(&done);
	assert_true(wait_for_completion_timeout(&done, 1000) > 0);
	assert_false(try_wait_for_completion(&done));
	complete_all(&done);
	wait_for_completion(&done);
	assert_true(try_wait_for_completion(&done));
	reinit_completion(&done);
	assert_false(completion_done(&done));
	sema_init(&sem, 2);
	down(&sem);
	assert_int_equal(down_trylock(&sem), 0);
	assert_int_equal(down_trylock(&sem), 1);
	up(&sem);
	down(&sem);
}

static DECLARE_WAIT_QUEUE_HEAD(wq);
static int turn_of;

static int takes_turns(void *data)
{
	int me = *(int *)data, i;

	for (i = 0; i < ROUNDS; i++) {
		wait_event(wq, READ_ONCE(turn_of) == me);
		WRITE_ONCE(turn_of, !me);
		wake_up(&wq);
	}
	return i;
}

static void wait_queues(void **state)
{
	static int zero, one = 1;
	struct task_struct *t;
	unsigned long now;
	int locked = 0;

	(void)state;
	t = kthread_run(takes_turns, &one, "one");
	assert_int_equal(takes_turns(&zero), ROUNDS);
	wait_event(wq, READ_ONCE(turn_of) == 0);
	assert_int_equal(kthread_stop(t), ROUNDS);
	now = jiffies;
	assert_int_equal(wait_event_timeout(wq, READ_ONCE(turn_of) == 7, 20), 0);
	assert_true(time_after_eq(jiffies, now + 20));
	assert_true(wait_event_timeout(wq, READ_ONCE(turn_of) == 0, 20) >= 1);
	assert_int_equal(wait_event_interruptible(wq, READ_ONCE(turn_of) == 0), 0);
	assert_false(waitqueue_active(&wq));
	/* The condition is asked for with the lock held, and sleep is without it. */
	spin_lock_irq(&spin);
	wait_event_lock_irq(wq, (locked += in_atomic()), spin);
	spin_unlock_irq(&spin);
	assert_int_equal(locked, 1);
}

/* --- threads --- */

static int waits_for_stop(void *data)
{
	struct completion *begun = data;

	complete(begun);
	wait_event_interruptible(wq, kthread_should_stop());
	return 42;
}

static int sleeps_for_stop(void *data)
{
	struct completion *begun = data;

	complete(begun);
	while (!kthread_should_stop()) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
	}
	return 43;
}

static int never(void *data)
{
	*(int *)data = 1;
	return 0;
}

static void threads(void **state)
{
	struct completion begun;
	struct task_struct *t;
	int ran = 0, i;

	(void)state;
	init_completion(&begun);
	for (i = 0; i < 50; i++) {
		t = kthread_run(waits_for_stop, &begun, "waits/%d", i);
		assert_false(IS_ERR(t));
		if (i & 1)
			wait_for_completion(&begun);
		if (!i)
			assert_string_equal(t->comm, "waits/0");
		assert_true(i & 1 ? kthread_stop(t) == 42 : kthread_stop(t) != 0);
		t = kthread_run(sleeps_for_stop, &begun, "sleeps/%d", i);
		assert_false(IS_ERR(t));
		reinit_completion(&begun);
		assert_true(kthread_stop(t) != 0);
		reinit_completion(&begun);
	}
	t = kthread_create(never, &ran, "never");
	assert_false(IS_ERR(t));
	assert_int_equal(kthread_stop(t), -EINTR);
	assert_int_equal(ran, 0);
	assert_true(current->pid > 0);
	assert_int_equal(schedule_timeout_interruptible(5), 0);
}

/* --- timers --- */

struct ticking {
	struct timer_list timer;
	atomic_t ticks;
	struct completion done;
};

static void tick(struct timer_list *timer)
{
	struct ticking *t = from_timer(t, timer, timer);

	if (atomic_inc_return(&t->ticks) < 5)
		mod_timer(&t->timer, jiffies + 1);
	else
		complete(&t->done);
}

static void ticks_on(struct timer_list *timer)
{
	struct ticking *t = from_timer(t, timer, timer);

	atomic_inc(&t->ticks);
	mod_timer(&t->timer, jiffies);
}

static void timers(void **state)
{
	struct ticking t = { .ticks = ATOMIC_INIT(0) };
	int ticks;

	(void)state;
	init_completion(&t.done);
	timer_setup(&t.timer, tick, 0);
	assert_false(timer_pending(&t.timer));
	assert_int_equal(mod_timer(&t.timer, jiffies + 3600 * HZ), 0);
	assert_true(timer_pending(&t.timer));
	assert_int_equal(mod_timer(&t.timer, jiffies + 2), 1);
	wait_for_completion(&t.done);
	assert_int_equal(atomic_read(&t.ticks), 5);
	assert_int_equal(del_timer_sync(&t.timer), 0);
	/* One that starts itself again is stopped for good. */
	timer_setup(&t.timer, ticks_on, 0);
	mod_timer(&t.timer, jiffies);
	while (atomic_read(&t.ticks) < 10)
		usleep_range(100, 200);
	del_timer_sync(&t.timer);
	ticks = atomic_read(&t.ticks);
	msleep(5);
	assert_int_equal(atomic_read(&t.ticks), ticks);
	assert_false(timer_pending(&t.timer));
}

/* --- work --- */

struct job {
	struct work_struct work;
	struct delayed_work delayed;
	atomic_t runs, inside, most;
	struct completion begun, go, went;
	bool waits;
};

static void count(struct job *j)
{
	int inside = atomic_inc_return(&j->inside);

	if (inside > atomic_read(&j->most))
		atomic_set(&j->most, inside);
	if (j->waits) {
		complete(&j->begun);
		wait_for_completion(&j->go);
	}
	atomic_inc(&j->runs);
	atomic_dec(&j->inside);
}

static void work_fn(struct work_struct *w)
{
	count(container_of(w, struct job, work));
}

static void delayed_fn(struct work_struct *w)
{
	count(container_of(to_delayed_work(w), struct job, delayed));
}

static void job_init(struct job *j)
{
	memset(j, 0, sizeof(*j));
	INIT_WORK(&j->work, work_fn);
	INIT_DELAYED_WORK(&j->delayed, delayed_fn);
	init_completion(&j->begun);
	init_completion(&j->go);
	init_completion(&j->went);
}

/* The run that is under way ends when the next one was taken back. */
static int lets_go(void *data)
{
	struct job *j = data;

	while (work_pending(&j->work) && READ_ONCE(j->work.queued))
		usleep_range(100, 200);
	complete(&j->go);
	complete(&j->went);
	return 0;
}

static void works(void **state)
{
	struct workqueue_struct *q = alloc_workqueue("test-%d", WQ_MEM_RECLAIM, 4, 1);
	struct task_struct *t;
	struct job j;
	int i;

	(void)state;
	assert_non_null(q);
	job_init(&j);
	for (i = 0; i < ROUNDS; i++)
		queue_work(q, &j.work);
	flush_work(&j.work);
	assert_true(atomic_read(&j.runs) >= 1);
	assert_int_equal(atomic_read(&j.most), 1);
	/* Queued while it runs, it runs again; and cancelled, it doesn't. */
	atomic_set(&j.runs, 0);
	j.waits = true;
	assert_true(queue_work(q, &j.work));
	wait_for_completion(&j.begun);
	assert_true(queue_work(q, &j.work));
	assert_false(queue_work(q, &j.work));
	assert_true(work_pending(&j.work));
	complete(&j.go);
	complete(&j.go);
	flush_workqueue(q);
	assert_int_equal(atomic_read(&j.runs), 2);
	assert_false(flush_work(&j.work));
	reinit_completion(&j.begun);
	assert_true(queue_work(q, &j.work));
	wait_for_completion(&j.begun);
	assert_true(queue_work(q, &j.work));
	t = kthread_run(lets_go, &j, "lets go");
	assert_false(IS_ERR(t));
	assert_true(cancel_work_sync(&j.work));
	assert_int_equal(atomic_read(&j.runs), 3);
	wait_for_completion(&j.went);
	assert_true(kthread_stop(t) <= 0);
	assert_false(cancel_work_sync(&j.work));
	j.waits = false;
	queue_work(q, &j.work);
	destroy_workqueue(q);
	assert_int_equal(atomic_read(&j.runs), 4);
	assert_int_equal(atomic_read(&j.most), 1);
}

struct numbered {
	struct work_struct work;
	int n;
};

static int last_n;

static void in_order(struct work_struct *w)
{
	struct numbered *n = container_of(w, struct numbered, work);

	if (last_n == n->n)
		last_n++;
	kfree(n);
}

/* One thread: works run as they were queued, and may free themselves. */
static void ordered_works(void **state)
{
	const struct machine_attr attr = { .name = "works", .low_bytes = 2 << 20 };
	struct workqueue_struct *q = alloc_ordered_workqueue("ordered", 0);
	struct machine *m;
	int i;

	(void)state;
	assert_non_null(q);
	assert_int_equal(machine_create(&attr, &m), 0);
	machine_set_current(m);
	last_n = 0;
	for (i = 0; i < 500; i++) {
		struct numbered *n = kzalloc(sizeof(*n), GFP_KERNEL);

		assert_non_null(n);
		n->n = i;
		INIT_WORK(&n->work, in_order);
		queue_work(q, &n->work);
	}
	flush_workqueue(q);
	assert_int_equal(last_n, 500);
	destroy_workqueue(q);
	assert_int_equal(machine_destroy(m), 0);
}

static void delayed_works(void **state)
{
	unsigned long now = jiffies;
	struct job j;

	(void)state;
	job_init(&j);
	assert_true(schedule_delayed_work(&j.delayed, 10));
	assert_false(schedule_delayed_work(&j.delayed, 10));
	assert_true(delayed_work_pending(&j.delayed));
	while (!atomic_read(&j.runs))
		usleep_range(100, 200);
	assert_true(time_after_eq(jiffies, now + 10));
	flush_work(&j.delayed.work);
	assert_true(schedule_delayed_work(&j.delayed, 3600 * HZ));
	assert_true(cancel_delayed_work_sync(&j.delayed));
	assert_false(cancel_delayed_work(&j.delayed));
	assert_true(schedule_delayed_work(&j.delayed, 3600 * HZ));
	assert_true(flush_delayed_work(&j.delayed));
	assert_int_equal(atomic_read(&j.runs), 2);
	assert_false(mod_delayed_work(system_wq, &j.delayed, 3600 * HZ));
	assert_true(mod_delayed_work(system_wq, &j.delayed, 0));
	flush_work(&j.delayed.work);
	assert_int_equal(atomic_read(&j.runs), 3);
	schedule_work(&j.work);
	flush_scheduled_work();
	assert_int_equal(atomic_read(&j.runs), 4);
}

#ifdef HCA_ASAN
/* --- memory under the address sanitizer: a byte too far, or too late, ends the program --- */

static volatile u8 *bytes;

static void one_too_far(void)
{
	bytes[100] = 1;
}

static void last_one(void)
{
	bytes[99] = 1;
}

static void sanitized_memory(void **state)
{
	const struct machine_attr attr = { .name = "heap", .low_bytes = 2 << 20 };
	struct machine *m;
	void *other;

	(void)state;
	assert_int_equal(machine_create(&attr, &m), 0);
	machine_set_current(m);
	bytes = kmalloc(100, GFP_KERNEL);
	other = kmalloc(100, GFP_KERNEL);
	assert_int_equal(died_of(last_one), 0);
	assert_int_equal(died_of(one_too_far), SIGABRT);
	kfree((void *)bytes);
	assert_int_equal(died_of(last_one), SIGABRT);
	kfree(other);
	assert_int_equal(machine_destroy(m), 0);
}
#endif

/* --- modules --- */

static int count_param = 3;
static bool flag_param;
static char *name_param = "none";
static int loaded, fails;

module_param(count_param, int, 0644);
module_param(flag_param, bool, 0644);
module_param_named(name, name_param, charp, 0444);
MODULE_PARM_DESC(name, "a name");

static int __init start(void)
{
	if (fails)
		return -ENODEV;
	loaded += count_param;
	return 0;
}

static void __exit stop(void)
{
	loaded = 0;
}

module_init(start);
module_exit(stop);
MODULE_LICENSE("Dual BSD/GPL");

static void modules(void **state)
{
	(void)state;
	assert_int_equal(softhca_module_param("count_param", "0x10"), 0);
	assert_int_equal(softhca_module_param("count_param", "10x"), -EINVAL);
	assert_int_equal(softhca_module_param("count_param", "5000000000"), -EINVAL);
	assert_int_equal(softhca_module_param("flag_param", "Y"), 0);
	assert_int_equal(softhca_module_param("name", "some"), 0);
	assert_int_equal(softhca_module_param("absent", "1"), -ENOENT);
	assert_true(flag_param);
	assert_string_equal(name_param, "some");
	assert_int_equal(softhca_load_modules(), 0);
	assert_int_equal(loaded, 16);
	assert_int_equal(softhca_load_modules(), 0);
	assert_int_equal(loaded, 16);
	softhca_unload_modules();
	assert_int_equal(loaded, 0);
	fails = 1;
	assert_int_equal(softhca_load_modules(), -ENODEV);
	assert_int_equal(loaded, 0);
	fails = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locks),
		cmocka_unit_test(completions),
		cmocka_unit_test(wait_queues),
		cmocka_unit_test(threads),
		cmocka_unit_test(timers),
		cmocka_unit_test(works),
		cmocka_unit_test(ordered_works),
		cmocka_unit_test(delayed_works),
		cmocka_unit_test(modules),
#ifdef HCA_ASAN
		cmocka_unit_test(sanitized_memory),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
