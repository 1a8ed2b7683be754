/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything at once: threads that write, a softirq that registers and invalidates in
 * between (which waits there for threads inside the engine), and a thread that makes
 * and ends MRs and queue pairs. What is tested is that it ends.
 */
#include "suites.h"

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/kthread.h>
#include <linux/sched.h>

#define WRITERS 2
#define MILLISECONDS 1500
#define BEAT_NS (200 * 1000)
#define BYTES (16u << 10)

/* One that works until it is told to stop, between two buffers of its own. */
struct worker {
	struct task_struct *task;
	struct adapter side; /* with a completion queue of its own */
	struct link l;
	void *buf;
	dma_addr_t at;
	u64 done;
	u64 wrong;
};

static struct fixture fixture;
static struct worker writer[WRITERS], beat, maker;
static struct hca_timer timer;
static struct hca_mr *region;
static struct hca_mr_pages pages;
static u64 page_addr;
static bool registered, stop;

static int worker_open(struct worker *w)
{
	struct hca_mr_attr all = {
		.kind = HCA_MR_ALL,
		.access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE,
	};
	int err;

	memset(w, 0, sizeof(*w));
	w->side = fixture.ipath;
	w->buf = dma_alloc_coherent(fixture.ipath.dev, 2 * BYTES, &w->at, GFP_KERNEL);
	if (!w->buf)
		return -ENOMEM;
	hca_pd_init(&w->side.pd, fixture.ipath.hca);
	err = hca_cq_init(&w->side.cq, fixture.ipath.hca, 64, NULL);
	if (!err)
		err = hca_mr_create(&w->side.pd, &all, &w->side.all);
	return err ? err : link_open(&w->l, &w->side, &w->side);
}

static void worker_close(struct worker *w)
{
	link_close(&w->l);
	WARN_ON(hca_mr_destroy(w->side.all));
	WARN_ON(hca_cq_fini(&w->side.cq));
	dma_free_coherent(fixture.ipath.dev, 2 * BYTES, w->buf, w->at);
}

static int write_on(void *arg)
{
	struct worker *w = arg;

	while (!kthread_should_stop()) {
		w->wrong += fixture_write(&w->l, w->at, w->at + BYTES, BYTES) != HCA_WC_SUCCESS;
		w->done++;
		if (!(w->done & 63))
			cond_resched();
	}
	return 0;
}

/* In softirq: one request, whose completion is there when the post returns. */
static void on_beat(void *arg)
{
	struct hca_send_wr wr = { .opcode = registered ? HCA_WR_LOCAL_INV : HCA_WR_REG_MR };
	struct hca_wc wc;

	if (registered) {
		wr.imm = pages.key;
	} else {
		pages.key = (region->key & ~0xffu) | (u8)(beat.done + 1);
		wr.reg.mr = region;
		wr.reg.to = pages;
	}
	beat.wrong += hca_post_send(beat.l.qp, &wr) || fixture_poll(&beat.side, &wc) != HCA_WC_SUCCESS || !in_softirq();
	registered = !registered;
	beat.done++;
	if (!READ_ONCE(stop))
		hca_timer_start(&timer, hca_now_ns() + BEAT_NS);
}

static int make_and_end(void *arg)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = HCA_ACCESS_REMOTE_READ, .length = 8 };
	struct worker *w = arg;

	while (!kthread_should_stop()) {
		struct hca_mr *r;
		struct link l;

		w->wrong += hca_mr_create(&w->side.pd, &attr, &r) || hca_mr_destroy(r);
		if (link_open(&l, &w->side, &w->side)) {
			w->wrong++;
		} else {
			w->wrong += fixture_write(&l, w->at, w->at + BYTES, 64) != HCA_WC_SUCCESS;
			link_close(&l);
		}
		w->done++;
		cond_resched();
	}
	return 0;
}

static int start(struct worker *w, int (*fn)(void *arg), const char *name)
{
	w->task = kthread_run(fn, w, "%s", name);
	if (!IS_ERR(w->task))
		return 0;
	w->task = NULL;
	return -ENOMEM;
}

static void end(struct worker *w)
{
	if (w->task)
		kthread_stop(w->task);
	w->task = NULL;
}

static void all_at_once(struct ktest *t)
{
	int i, err = 0;

	for (i = 0; i < WRITERS && !err; i++)
		err = start(&writer[i], write_on, "softhca-write");
	if (!err)
		err = start(&maker, make_and_end, "softhca-make");
	EXPECT_EQ(t, err, 0);
	WRITE_ONCE(stop, false);
	hca_timer_start(&timer, hca_now_ns() + BEAT_NS);
	msleep(MILLISECONDS);
	WRITE_ONCE(stop, true);
	hca_timer_stop(&timer);
	for (i = 0; i < WRITERS; i++) {
		end(&writer[i]);
		EXPECT(t, writer[i].done > 10);
		EXPECT_EQ(t, writer[i].wrong, 0);
	}
	end(&maker);
	msleep(20);
	EXPECT(t, maker.done > 10);
	EXPECT_EQ(t, maker.wrong, 0);
	EXPECT(t, beat.done > 10);
	EXPECT_EQ(t, beat.wrong, 0);
	ktest_say(
		"%llu and %llu writes, %llu registrations and invalidations in softirq, %llu queue pairs made and ended",
		writer[0].done, writer[1].done, beat.done, maker.done);
}

/* Nobody receives: the requester waits by its timer as often as it was told, in softirq, and then says so. */
static void retries_run_on_the_timer(struct ktest *t)
{
	struct hca_sge sge = { .addr = maker.at, .length = 8, .lkey = maker.side.all->key };
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };
	u64 began = hca_now_ns();
	struct hca_wc wc;
	int i;

	EXPECT_EQ(t, hca_post_send(maker.l.qp, &wr), 0);
	EXPECT_EQ(t, fixture_poll(&maker.side, &wc), -EAGAIN);
	for (i = 0; i < 200 && fixture_poll(&maker.side, &wc) == -EAGAIN; i++)
		msleep(20);
	EXPECT_EQ(t, wc.status, HCA_WC_RNR_RETRY_EXC_ERR);
	EXPECT(t, hca_now_ns() - began >= 3 * 640 * 1000);
}

static int open_stress(void)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_PAGES, .max_pages = 1, .invalid = true };
	int err = fixture_open(&fixture, false), i;

	if (err)
		return err;
	for (i = 0; i < WRITERS && !err; i++)
		err = worker_open(&writer[i]);
	if (!err)
		err = worker_open(&beat);
	if (!err)
		err = worker_open(&maker);
	if (!err)
		err = hca_mr_create(&beat.side.pd, &attr, &region);
	if (!err)
		err = hca_timer_init(&timer, on_beat, NULL);
	page_addr = beat.at;
	pages = (struct hca_mr_pages){
		.access = HCA_ACCESS_REMOTE_READ,
		.iova = 0x1000,
		.length = PAGE_SIZE,
		.page_shift = PAGE_SHIFT,
		.pages = &page_addr,
		.npages = 1,
	};
	registered = false;
	return err;
}

static void close_stress(void)
{
	int i;

	hca_timer_destroy(&timer);
	WARN_ON(hca_mr_destroy(region));
	worker_close(&maker);
	worker_close(&beat);
	for (i = 0; i < WRITERS; i++)
		worker_close(&writer[i]);
	fixture_close(&fixture);
}

static const struct ktest_case cases[] = {
	{ "all_at_once", all_at_once },
	{ "retries_run_on_the_timer", retries_run_on_the_timer },
	{},
};

const struct ktest_suite suite_stress = { "stress", cases, open_stress, close_stress };
