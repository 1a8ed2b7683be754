/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel os layer: completions, time, timers, chance, words. Called by the core
 * through os.h. Timers are high-resolution ones whose callbacks run in softirq.
 */
#include "os.h"

#include <linux/bug.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/random.h>

void hca_complete(struct hca_completion *c)
{
	complete_all(&c->done);
}

int hca_wait(struct hca_completion *c, u64 timeout_ns)
{
	if (timeout_ns > (u64)S64_MAX) {
		wait_for_completion(&c->done);
		return 0;
	}
	/* Never early: a part of a jiffy counts as one, and the one that has begun doesn't count. */
	return wait_for_completion_timeout(&c->done, nsecs_to_jiffies(timeout_ns) + 2) ? 0 : -ETIMEDOUT;
}

void hca_rcu_synchronize(void)
{
	synchronize_rcu();
}

u64 hca_now_ns(void)
{
	return ktime_get_ns();
}

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	struct hca_timer *t = container_of(timer, struct hca_timer, timer);

	t->fn(t->arg);
	return HRTIMER_NORESTART; /* also where the callback started it again */
}

int hca_timer_init(struct hca_timer *t, void (*fn)(void *arg), void *arg)
{
	t->fn = fn;
	t->arg = arg;
#ifdef HCA_HAVE_HRTIMER_SETUP
	hrtimer_setup(&t->timer, on_timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
#else
	hrtimer_init(&t->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
	t->timer.function = on_timer;
#endif
	return 0;
}

void hca_timer_start(struct hca_timer *t, u64 when_ns)
{
	hrtimer_start(&t->timer, ns_to_ktime(min_t(u64, when_ns, KTIME_MAX)), HRTIMER_MODE_ABS_SOFT);
}

void hca_timer_stop(struct hca_timer *t)
{
	hrtimer_try_to_cancel(&t->timer);
}

void hca_timer_destroy(struct hca_timer *t)
{
	might_sleep();
	hrtimer_cancel(&t->timer);
}

static void on_work(struct work_struct *work)
{
	struct hca_work *w = container_of(work, struct hca_work, work);

	w->fn(w->arg);
}

int hca_work_init(struct hca_work *w, void (*fn)(void *arg), void *arg)
{
	w->fn = fn;
	w->arg = arg;
	INIT_WORK(&w->work, on_work);
	return 0;
}

void hca_work_start(struct hca_work *w)
{
	queue_work(system_unbound_wq, &w->work);
}

void hca_work_destroy(struct hca_work *w)
{
	might_sleep();
	cancel_work_sync(&w->work);
}

u32 hca_random_u32(void)
{
	return get_random_u32();
}

void hca_log(enum hca_log_level level, const char *fmt, ...)
{
	struct va_format text = { .fmt = fmt };
	va_list ap;

	va_start(ap, fmt);
	text.va = &ap;
	switch (level) {
	case HCA_LOG_ERR:
		pr_err("%s: %pV\n", KBUILD_MODNAME, &text);
		break;
	case HCA_LOG_WARN:
		pr_warn("%s: %pV\n", KBUILD_MODNAME, &text);
		break;
	case HCA_LOG_INFO:
		pr_info("%s: %pV\n", KBUILD_MODNAME, &text);
		break;
	case HCA_LOG_DEBUG:
		pr_debug("%s: %pV\n", KBUILD_MODNAME, &text);
		break;
	}
	va_end(ap);
}

/* Programs of users lead here: who wants to read it turns it on (dynamic debug), and then nothing is left out. */
int hca_say_refusal(int err, const char *fmt, ...)
{
	struct va_format text = { .fmt = fmt };
	va_list ap;

	va_start(ap, fmt);
	text.va = &ap;
	pr_debug("%s: %pV (%d)\n", KBUILD_MODNAME, &text, err);
	va_end(ap);
	return err;
}

size_t hca_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vscnprintf(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

void hca_bug(const char *cond, const char *file, int line)
{
	pr_crit("%s: bug: %s at %s:%d\n", KBUILD_MODNAME, cond, file, line);
	/*
	 * Always true, but the compiler can't know. The checker of object code (objtool) wants each caller to know whether a function
	 * ends a thread: it sees the whole module in newer kernels, and one file in older ones.
	 */
	BUG_ON(cond);
}

#define WARN_PLACES 64u

/* The places that have spoken, by their hash; two with one hash count as one, and a full table speaks each time. */
static bool first_time(const char *file, int line)
{
	static u32 spoken[WARN_PLACES];
	u32 hash = (u32)line * 0x9e3779b1u;
	u32 found, i;

	for (; *file; file++)
		hash = (hash ^ (u8)*file) * 0x01000193u;
	hash |= 1;
	for (i = 0; i < WARN_PLACES; i++) {
		found = cmpxchg(&spoken[(hash + i) % WARN_PLACES], 0, hash);
		if (!found)
			return true;
		if (found == hash)
			return false;
	}
	return true;
}

bool hca_warned(const char *cond, const char *file, int line)
{
	if (first_time(file, line))
		WARN(1, "%s: broken rule: %s at %s:%d\n", KBUILD_MODNAME, cond, file, line);
	return true;
}
