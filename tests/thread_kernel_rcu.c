/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* softhca/kernel.h with threads: RCU, reader-writer locks, per-CPU data, tasklets, waits for bits, guards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "os.h"
#include "softhca/kernel.h"

#define ROUNDS 500
#define THREADS 3

static struct machine *m;

static int memory(void **state)
{
	const struct machine_attr attr = { .name = "rcu", .low_bytes = 4 << 20 };

	(void)state;
	if (machine_create(&attr, &m))
		return -1;
	machine_set_current(m);
	return 0;
}

static int no_memory(void **state)
{
	(void)state;
	return machine_destroy(m); /* refused, while kmalloc()'s memory isn't freed */
}

static atomic_t come;

/* Until all threads have come. One that is stopped before it begins wouldn't run. */
static void meet(void)
{
	atomic_inc(&come);
	while (atomic_read(&come) <= THREADS)
		cpu_relax();
}

static int (*work)(void *data);

static int met(void *data)
{
	meet();
	return work(data);
}

/* Runs @fn in some threads and in this one. */
static void all_at_once(int (*fn)(void *data))
{
	struct task_struct *t[THREADS];
	int i;

	work = fn;
	atomic_set(&come, 0);
	for (i = 0; i < THREADS; i++) {
		t[i] = kthread_run(met, NULL, "all/%d", i);
		assert_false(IS_ERR(t[i]));
	}
	met(NULL);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(kthread_stop(t[i]), 0);
}

/* --- RCU --- */

struct config {
	int a, b; /* equal */
	struct rcu_head rcu;
	struct list_head link;
	struct hlist_node hash;
};

static struct config __rcu *config;
static LIST_HEAD(configs);
static HLIST_HEAD(hashed);
static DEFINE_SPINLOCK(writers);
static atomic_t freed, bad;

static struct config *new_config(int n)
{
	struct config *c = kzalloc(sizeof(*c), GFP_KERNEL);

	assert_non_null(c);
	c->a = n;
	c->b = n;
	return c;
}

static void free_config(struct rcu_head *head)
{
	struct config *c = container_of(head, struct config, rcu);

	c->a = -1; /* a reader that still had it would see it */
	kfree(c);
	atomic_inc(&freed);
}

static int reads(void *data)
{
	const struct config *c;
	int i;

	(void)data;
	meet();
	for (i = 0; i < ROUNDS * 10; i++) {
		rcu_read_lock();
		c = rcu_dereference(config);
		if (c->a != c->b)
			atomic_inc(&bad);
		list_for_each_entry_rcu(c, &configs, link) if (c->a != c->b) atomic_inc(&bad);
		hlist_for_each_entry_rcu(c, &hashed, hash) if (c->a != c->b) atomic_inc(&bad);
		rcu_read_unlock();
	}
	return 0;
}

/* The list and the pointer always have a config; the old one is freed when nobody reads it. */
static void replace(int n)
{
	struct config *c = new_config(n), *old, *first;

	spin_lock(&writers);
	list_add_tail_rcu(&c->link, &configs);
	hlist_add_head_rcu(&c->hash, &hashed);
	first = list_first_entry(&configs, struct config, link);
	old = rcu_replace_pointer(config, c, lockdep_is_held(&writers));
	if (old && first == old) {
		list_del_rcu(&old->link);
		hlist_del_rcu(&old->hash);
	}
	spin_unlock(&writers);
	if (!old)
		return;
	if (n & 1)
		call_rcu(&old->rcu, free_config);
	else
		kfree_rcu(old, rcu);
}

static void rcu(void **state)
{
	struct task_struct *t[THREADS];
	struct config *last;
	int i;

	(void)state;
	atomic_set(&come, 0);
	replace(0);
	for (i = 0; i < THREADS; i++)
		t[i] = kthread_run(reads, NULL, "read/%d", i);
	meet();
	for (i = 1; i <= ROUNDS; i++)
		replace(i);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(kthread_stop(t[i]), 0);
	rcu_barrier();
	assert_int_equal(atomic_read(&bad), 0);
	assert_int_equal(atomic_read(&freed), ROUNDS / 2);
	assert_int_equal(softhca_kmalloc_live(m), 1);
	last = rcu_dereference_protected(config, true);
	assert_ptr_equal(list_first_or_null_rcu(&configs, struct config, link), last);
	list_del_rcu(&last->link);
	RCU_INIT_POINTER(config, NULL);
	synchronize_rcu();
	kfree(last);
	kfree_rcu_mightsleep(new_config(1));
}

/* --- readers that sleep --- */

static struct srcu_struct srcu;
static DECLARE_COMPLETION(inside);
static DECLARE_COMPLETION(go_on);
static bool left;

static int reads_asleep(void *data)
{
	int idx = srcu_read_lock(&srcu);

	(void)data;
	complete(&inside);
	wait_for_completion(&go_on);
	WRITE_ONCE(left, true);
	srcu_read_unlock(&srcu, idx);
	return 0;
}

static int lets_go_on(void *data)
{
	(void)data;
	complete(&go_on);
	return 0;
}

static void sleepable_rcu(void **state)
{
	struct task_struct *reader, *other;
	int idx;

	(void)state;
	assert_int_equal(init_srcu_struct(&srcu), 0);
	reader = kthread_run(reads_asleep, NULL, "reader");
	wait_for_completion(&inside);
	other = kthread_run(lets_go_on, NULL, "other");
	synchronize_srcu(&srcu);
	assert_true(READ_ONCE(left));
	idx = srcu_read_lock(&srcu);
	srcu_read_unlock(&srcu, idx);
	synchronize_srcu(&srcu);
	assert_int_equal(kthread_stop(reader), 0);
	(void)kthread_stop(other);
	cleanup_srcu_struct(&srcu);
}

/* --- locks --- */

static DEFINE_RWLOCK(rw);
static DEFINE_SEQLOCK(seq);
static int left_one, right_one, seq_a, seq_b;

static int locks_both_ways(void *data)
{
	unsigned int start;
	int i, a, b;

	(void)data;
	for (i = 0; i < ROUNDS; i++) {
		write_lock_bh(&rw);
		left_one++;
		right_one++;
		write_unlock_bh(&rw);
		read_lock(&rw);
		read_lock(&rw);
		if (left_one != right_one)
			atomic_inc(&bad);
		read_unlock(&rw);
		read_unlock(&rw);
		write_seqlock(&seq);
		WRITE_ONCE(seq_a, seq_a + 1);
		WRITE_ONCE(seq_b, seq_b + 1);
		write_sequnlock(&seq);
		do {
			start = read_seqbegin(&seq);
			a = READ_ONCE(seq_a);
			b = READ_ONCE(seq_b);
		} while (read_seqretry(&seq, start));
		if (a != b)
			atomic_inc(&bad);
	}
	return 0;
}

static void run_locks(int (*fn)(void *data))
{
	atomic_set(&bad, 0);
	all_at_once(fn);
	assert_int_equal(atomic_read(&bad), 0);
}

static struct kref shared;
static DEFINE_MUTEX(put_mutex);

static void release_under_mutex(struct kref *k)
{
	(void)k;
	lockdep_assert_held(&put_mutex);
	mutex_unlock(&put_mutex);
}

static void locks(void **state)
{
	refcount_t refs = REFCOUNT_INIT(2);

	(void)state;
	run_locks(locks_both_ways);
	assert_false(refcount_dec_and_lock(&refs, &writers));
	assert_true(refcount_dec_and_lock(&refs, &writers));
	assert_true(lockdep_is_held(&writers));
	spin_unlock(&writers);
	kref_init(&shared);
	assert_int_equal(kref_put_mutex(&shared, release_under_mutex, &put_mutex), 1);
	assert_false(mutex_is_locked(&put_mutex));
}

/* --- guards --- */

static int guarded, tries;

static int guards(void *data)
{
	int i;

	(void)data;
	for (i = 0; i < ROUNDS; i++) {
		guard(mutex)(&put_mutex);
		lockdep_assert_held(&put_mutex);
		scoped_guard(spinlock_irqsave, &writers)
		{
			lockdep_assert_held(&writers);
			guarded++;
			if (i & 1)
				continue; /* leaves the scope, not the loop */
		}
		if (lockdep_is_held(&writers))
			atomic_inc(&bad);
		scoped_cond_guard(rwsem_write_try, continue,
				  &(struct rw_semaphore){ .lock = PTHREAD_RWLOCK_INITIALIZER }) tries++;
	}
	return 0;
}

static void *give_away(void)
{
	char *p __free(kfree) = kmalloc(10, GFP_KERNEL);
	char *q __free(kfree) = kmalloc(10, GFP_KERNEL);

	*p = 1;
	return_ptr(q);
}

static void scopes(void **state)
{
	struct mutex held = __MUTEX_INITIALIZER(held);
	int skipped = 0;

	(void)state;
	run_locks(guards);
	assert_int_equal(guarded, (THREADS + 1) * ROUNDS);
	assert_int_equal(tries, (THREADS + 1) * ROUNDS);
	kfree(give_away());
	assert_int_equal(softhca_kmalloc_live(m), 0);
	{
		guard(rcu)();
		assert_true(rcu_read_lock_held());
	}
	assert_false(rcu_read_lock_held());
	mutex_lock(&held);
	scoped_cond_guard(mutex_try, skipped++, &held) skipped += 10;
	assert_int_equal(skipped, 1);
	mutex_unlock(&held);
	scoped_cond_guard(mutex_try, skipped++, &held) skipped += 10;
	assert_int_equal(skipped, 11);
	assert_false(mutex_is_locked(&held));
}

/* --- per-CPU data --- */

struct stats {
	long count;
	long pairs[2]; /* equal but where a thread has the slot */
};

static DEFINE_PER_CPU(struct stats, stats_of);
static struct stats __percpu *dynamic;

static int counts(void *data)
{
	struct stats *s;
	unsigned long flags;
	int i;

	(void)data;
	for (i = 0; i < ROUNDS * 4; i++) {
		this_cpu_inc(stats_of.count);
		this_cpu_add(dynamic->count, 2);
		s = get_cpu_ptr(dynamic);
		s->pairs[0]++;
		if (s != this_cpu_ptr(dynamic) || smp_processor_id() != get_cpu())
			atomic_inc(&bad);
		put_cpu();
		s->pairs[1]++;
		if (s->pairs[0] != s->pairs[1])
			atomic_inc(&bad);
		put_cpu_ptr(dynamic);
		local_irq_save(flags);
		__this_cpu_inc(stats_of.pairs[1]);
		local_irq_restore(flags);
	}
	return 0;
}

static void per_cpu_data(void **state)
{
	struct stats sum = { 0 };
	int cpu, n = (THREADS + 1) * ROUNDS * 4;
	char *p, *q;

	(void)state;
	dynamic = alloc_percpu(struct stats);
	assert_non_null(dynamic);
	run_locks(counts);
	for_each_possible_cpu(cpu)
	{
		sum.count += per_cpu(stats_of, cpu).count + per_cpu_ptr(dynamic, cpu)->count;
		sum.pairs[0] += per_cpu_ptr(dynamic, cpu)->pairs[0];
		sum.pairs[1] += per_cpu(stats_of, cpu).pairs[1];
	}
	assert_int_equal(sum.count, 3 * n);
	assert_int_equal(sum.pairs[0], n);
	assert_int_equal(sum.pairs[1], n);
	p = softhca_alloc_percpu(SOFTHCA_CPU_STRIDE);
	q = softhca_alloc_percpu(100);
	assert_true(p && q);
	assert_null(softhca_alloc_percpu(SOFTHCA_CPU_STRIDE + 1));
	memset(per_cpu_ptr(p, NR_CPUS - 1), 1, SOFTHCA_CPU_STRIDE);
	assert_int_equal(*per_cpu_ptr(q, NR_CPUS - 1), 0);
	free_percpu(p);
	free_percpu(q);
	free_percpu(dynamic);
	free_percpu(NULL);
}

static int released;

static void release(struct percpu_ref *ref)
{
	(void)ref;
	released++;
}

static void dying_references(void **state)
{
	struct percpu_ref ref;

	(void)state;
	assert_int_equal(percpu_ref_init(&ref, release, 0, GFP_KERNEL), 0);
	assert_true(percpu_ref_tryget_live(&ref));
	percpu_ref_kill(&ref);
	assert_true(percpu_ref_is_dying(&ref));
	assert_false(percpu_ref_tryget_live(&ref));
	assert_true(percpu_ref_tryget(&ref));
	percpu_ref_put(&ref);
	assert_int_equal(released, 0);
	percpu_ref_put(&ref);
	assert_int_equal(released, 1);
	assert_false(percpu_ref_tryget(&ref));
	percpu_ref_exit(&ref);
}

/* --- tasklets --- */

static atomic_t called;
static struct completion tasklet_done;
static struct tasklet_struct again;

static void old_style(unsigned long data)
{
	atomic_add((int)data, &called);
	if (!in_softirq() || !in_atomic())
		atomic_inc(&bad);
	complete(&tasklet_done);
}

static void new_style(struct tasklet_struct *t)
{
	if (atomic_inc_return(&called) < 3)
		tasklet_schedule(t);
	else
		complete(&tasklet_done);
}

static void tasklets(void **state)
{
	struct tasklet_struct t;

	(void)state;
	init_completion(&tasklet_done);
	atomic_set(&bad, 0);
	tasklet_init(&t, old_style, 10);
	tasklet_disable(&t);
	tasklet_schedule(&t);
	tasklet_schedule(&t);
	tasklet_setup(&again, new_style);
	tasklet_schedule(&again);
	wait_for_completion(&tasklet_done);
	assert_int_equal(atomic_read(&called), 3); /* the other one is disabled */
	tasklet_enable(&t);
	wait_for_completion(&tasklet_done);
	tasklet_kill(&t);
	tasklet_kill(&again);
	assert_int_equal(atomic_read(&called), 13);
	assert_int_equal(atomic_read(&bad), 0);
	assert_false(in_softirq());
}

/* --- waits --- */

static unsigned long bits;
static int variable, bit_count;
static DECLARE_WAIT_QUEUE_HEAD(queue);

static int bit_locks(void *data)
{
	int i;

	(void)data;
	for (i = 0; i < ROUNDS; i++) {
		wait_on_bit_lock(&bits, 3, TASK_UNINTERRUPTIBLE);
		bit_count++;
		clear_and_wake_up_bit(3, &bits);
	}
	return 0;
}

static int wakes(void *data)
{
	(void)data;
	clear_bit(5, &bits);
	smp_mb__after_atomic();
	wake_up_bit(&bits, 5);
	WRITE_ONCE(variable, 1);
	wake_up_var(&variable);
	WRITE_ONCE(variable, 2);
	wake_up(&queue);
	spin_lock_irq(&queue.lock);
	WRITE_ONCE(variable, 3);
	wake_up_locked(&queue);
	spin_unlock_irq(&queue.lock);
	return 0;
}

static void waits(void **state)
{
	DEFINE_WAIT_FUNC(woken, woken_wake_function);
	struct task_struct *t;
	DEFINE_WAIT(wait);

	(void)state;
	all_at_once(bit_locks);
	assert_int_equal(bit_count, (THREADS + 1) * ROUNDS);
	assert_false(test_and_set_bit_lock(5, &bits));
	assert_true(test_and_set_bit_lock(5, &bits));
	assert_int_equal(wait_on_bit_timeout(&bits, 5, TASK_UNINTERRUPTIBLE, 1), -EAGAIN);
	t = kthread_run(wakes, NULL, "wakes");
	assert_int_equal(wait_on_bit(&bits, 5, TASK_UNINTERRUPTIBLE), 0);
	wait_var_event(&variable, READ_ONCE(variable) >= 1);
	for (;;) {
		prepare_to_wait(&queue, &wait, TASK_UNINTERRUPTIBLE);
		if (READ_ONCE(variable) >= 2)
			break;
		schedule();
	}
	finish_wait(&queue, &wait);
	add_wait_queue(&queue, &woken);
	while (READ_ONCE(variable) < 3)
		wait_woken(&woken, TASK_INTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT);
	assert_int_equal(wait_woken(&woken, TASK_INTERRUPTIBLE, 1) > 1, 0);
	remove_wait_queue(&queue, &woken);
	assert_false(waitqueue_active(&queue));
	assert_int_equal(kthread_stop(t), 0);
}

/* --- pools, timers, work queues, parameters --- */

static mempool_t *pool;

static void *no_more(gfp_t gfp, void *data)
{
	int *more = data;

	(void)gfp;
	return *more && (*more)-- ? kmalloc(8, GFP_ATOMIC) : NULL;
}

static int gives_back(void *element)
{
	mempool_free(element, pool);
	return 0;
}

static void pools(void **state)
{
	int more = 1;
	void *p;
	struct task_struct *t;

	(void)state;
	pool = mempool_create(1, no_more, mempool_kfree, &more);
	assert_non_null(pool);
	p = mempool_alloc(pool, GFP_KERNEL);
	assert_non_null(p);
	assert_null(mempool_alloc(pool, GFP_ATOMIC));
	t = kthread_run(gives_back, p, "gives");
	assert_ptr_equal(mempool_alloc(pool, GFP_KERNEL), p); /* waits for it */
	assert_int_equal(kthread_stop(t), 0);
	mempool_free(p, pool);
	mempool_destroy(pool);
}

static struct timer_list timer;
static struct completion timer_called;

static void starts_itself(struct timer_list *t)
{
	complete(&timer_called);
	mod_timer(t, jiffies);
}

static struct workqueue_struct *wq;
static int chain;

static void queues_itself(struct work_struct *w)
{
	if (++chain < 5)
		queue_work(wq, w);
}

static void ends(void **state)
{
	DECLARE_WORK(work, queues_itself);

	int i;

	(void)state;
	/* It is shut down while it is called, and while it waits for its time. */
	for (i = 0; i < 500; i++) {
		init_completion(&timer_called);
		timer_setup(&timer, starts_itself, 0);
		mod_timer(&timer, jiffies);
		wait_for_completion(&timer_called);
		timer_shutdown_sync(&timer);
		mod_timer(&timer, jiffies);
		assert_false(timer_pending(&timer));
	}
	wq = alloc_workqueue("chain", 0, 1);
	queue_work(wq, &work);
	drain_workqueue(wq);
	assert_int_equal(chain, 5);
	destroy_workqueue(wq);
}

static int depth = 8;

static int set_depth(const char *val, const struct kernel_param *kp)
{
	int n;

	return kstrtoint(val, 10, &n) || n < 4 ? -ERANGE : param_set_int(val, kp);
}

static const struct kernel_param_ops depth_ops = { .set = set_depth, .get = param_get_int };

module_param_cb(queue_depth, &depth_ops, &depth, 0444);

static void parameters(void **state)
{
	const struct kernel_param kp = { .arg = &depth };
	char text[16];

	(void)state;
	assert_int_equal(softhca_module_param("queue_depth", "3"), -ERANGE);
	assert_int_equal(depth, 8);
	assert_int_equal(softhca_module_param("queue_depth", "64"), 0);
	assert_int_equal(depth, 64);
	assert_int_equal(depth_ops.get(text, &kp), 3);
	assert_string_equal(text, "64\n");
}

#define M(f) cmocka_unit_test_setup_teardown(f, memory, no_memory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		M(rcu),
		cmocka_unit_test(sleepable_rcu),
		M(locks),
		M(scopes),
		M(per_cpu_data),
		cmocka_unit_test(dying_references),
		M(tasklets),
		cmocka_unit_test(waits),
		M(pools),
		M(ends),
		cmocka_unit_test(parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
