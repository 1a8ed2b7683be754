/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A context that interrupts another one on its processor may find it in the middle of anything that isn't a lock. It can't wait for
 * it: what it came for is refused, or is done later by a worker. Also built for packets.
 */
#include "schedule_fixture.h"

#include "hca/fmr.h"

static struct hca_mr *home;
static struct hca_mw *mw;
static struct hca_qp *a2, *b2; /* a second pair */
static struct hca_qp *poster;

static int open_interrupted(void **state)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR, .access = RW | HCA_ACCESS_MW_BIND, .iova = BASE, .base = BASE, .length = BYTES
	};

	(void)state;
	connect_type(HCA_QPT_RC);
	assert_int_equal(make_qp(&a, HCA_QPT_RC, NULL, &a2), 0);
	assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &b2), 0);
	connect_qp(&a, a2, &b, b2->qpn, 3, 2);
	connect_qp(&b, b2, &a, a2->qpn, 3, 2);
	assert_int_equal(hca_mr_create(&b.pd, &attr, &home), 0);
	assert_int_equal(hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_1, &mw), 0);
	return 0;
}

static int close_interrupted(void **state)
{
	hca_mw_destroy(mw);
	hca_qp_destroy(a2);
	hca_qp_destroy(b2);
	assert_int_equal(hca_mr_destroy(home), 0);
	return close_both(state);
}

static int post_bind(struct hca_qp *qp, u64 id, u64 off)
{
	struct hca_send_wr wr = { .wr_id = id, .opcode = HCA_WR_BIND_MW };

	wr.bind.mw = mw;
	wr.bind.rkey = hca_mw_next_key(mw);
	wr.bind.addr = BASE + off;
	wr.bind.length = 4096;
	wr.bind.lkey = home->key;
	wr.bind.access = HCA_ACCESS_REMOTE_WRITE;
	return hca_post_send(qp, &wr);
}

/* By the thread that binds, in the middle of it: nothing of what it holds moves on before this returns. */
static void posts_meanwhile(void *arg)
{
	struct hca_sge sge = sge_at(&b, 0, 8);
	struct hca_send_wr wr = { .wr_id = 3, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

	(void)arg;
	wr.rdma.addr = BASE;
	wr.rdma.rkey = a.all->key;
	CHECK(!post_bind(poster, 2, 4096));
	CHECK(!hca_post_send(poster, &wr)); /* behind it */
}

static void set_state(enum hca_mw_state to)
{
	hca_irqflags_t flags;

	hca_spin_lock(&b.hca.mw_lock, flags);
	mw->state = to;
	hca_spin_unlock(&b.hca.mw_lock, flags);
}

static void one_thread(void (*fn)(void *arg))
{
	void (*const fns[])(void *) = { fn };

	run_seed(1, 1, fns);
}

/* The bind waits until the other one has ended; what is behind it waits too, and both complete in order. */
static void a_bind_interrupts_a_bind(void **state)
{
	struct hca_wc wc;

	(void)state;
	poster = b2;
	set_state(HCA_MW_BUSY);
	one_thread(posts_meanwhile);
	assert_int_equal(hca_cq_ring_poll(&b.scq.ring, &wc, 1), 0);
	set_state(HCA_MW_FREE);
	test_clock_advance(MS);
	poll_one(&b.scq, 2, HCA_WC_SUCCESS, NULL);
	poll_one(&b.scq, 3, HCA_WC_SUCCESS, NULL);
	assert_int_equal(mw->state, HCA_MW_VALID);
	nothing_more();
}

static void ends_meanwhile(bool destroy)
{
	struct hca_wc wc;

	poster = b2;
	set_state(HCA_MW_BUSY);
	one_thread(posts_meanwhile);
	if (destroy) {
		hca_qp_destroy(b2);
		assert_int_equal(make_qp(&b, HCA_QPT_RC, NULL, &b2), 0);
	} else {
		assert_int_equal(to_state(b2, HCA_QPS_ERR), 0);
		poll_one(&b.scq, 2, HCA_WC_WR_FLUSH_ERR, NULL);
		poll_one(&b.scq, 3, HCA_WC_WR_FLUSH_ERR, NULL);
	}
	set_state(HCA_MW_FREE);
	test_clock_advance(MS);
	assert_int_equal(hca_cq_ring_poll(&b.scq.ring, &wc, 1), 0);
	assert_int_equal(mw->state, HCA_MW_FREE);
	assert_int_equal(home->windows, 0);
}

static void an_error_ends_the_wait(void **state)
{
	(void)state;
	ends_meanwhile(false);
}

static void the_end_ends_the_wait(void **state)
{
	(void)state;
	ends_meanwhile(true);
}

/* Two queue pairs bind one window again and again: each bind is done, in the order of its queue pair. */
#define BINDS 4u

static void binds(struct hca_qp *qp, u32 who)
{
	u32 i;

	for (i = 0; i < BINDS; i++)
		CHECK(!post_bind(qp, who << 8 | i, 4096 * i));
}

static void binds_on_the_first(void *arg)
{
	(void)arg;
	binds(b.qp, 0);
}

static void binds_on_the_second(void *arg)
{
	(void)arg;
	binds(b2, 1);
}

static void binds_take_turns(void **state)
{
	void (*const fns[])(void *) = { binds_on_the_first, binds_on_the_second };

	FOR_SEEDS(seed, 300)
	{
		u32 next[2] = { 0, 0 };
		struct hca_wc wc;

		open_interrupted(state);
		run_seed(seed, 2, fns);
		test_clock_advance(MS);
		while (hca_cq_ring_poll(&b.scq.ring, &wc, 1) == 1) {
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
			assert_int_equal(wc.wr_id & 0xff, next[wc.wr_id >> 8]++);
		}
		assert_int_equal(next[0], BINDS);
		assert_int_equal(next[1], BINDS);
		assert_int_equal(close_interrupted(state), 0);
	}
}

/* --- an end beside an invalidation --- */

/*
 * The peer has made the key of a type 2 window void, and its thread waits for those inside, when the window is destroyed.
 * The region is free when either has returned, and the window's memory goes with the last.
 */
static void destroyed_beside_an_invalidation(void **state)
{
	struct hca_send_wr wr = { .wr_id = 1, .opcode = HCA_WR_BIND_MW };
	struct hca_invalidation v, late;
	struct hca_mw *w;

	(void)state;
	assert_int_equal(hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_2, &w), 0);
	wr.bind.mw = w;
	wr.bind.rkey = hca_key_next(w->key);
	wr.bind.addr = BASE;
	wr.bind.length = 64;
	wr.bind.lkey = home->key;
	wr.bind.access = HCA_ACCESS_REMOTE_WRITE;
	assert_int_equal(hca_post_send(b.qp, &wr), 0);
	poll_one(&b.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(home->windows, 1);
	assert_int_equal(hca_key_invalidate_begin(b.qp, wr.bind.rkey, true, &v), 0);
	assert_ptr_equal(v.mw, w);
	assert_int_equal(home->windows, 1); /* a thread may be inside */
	hca_mw_destroy(w);
	assert_int_equal(home->windows, 0);
	assert_int_equal(hca_key_invalidate_begin(b.qp, wr.bind.rkey, true, &late), -EINVAL);
	hca_key_invalidate_finish(&v);
	assert_int_equal(home->windows, 0);
}

/* --- fast memory regions --- */

static struct hca_fmr *f1, *f2;

static void unmaps_meanwhile(void *arg)
{
	(void)arg;
	f1->next = f2;
	f2->next = NULL;
	CHECK(hca_fmr_unmap(f1) == -EBUSY);
}

/* A map of the second is interrupted by an unmap of both: none is unmapped, and all goes on when the map has ended. */
static void an_unmap_interrupts_a_map(void **state)
{
	const struct hca_fmr_attr attr = { .access = RW, .max_pages = 1, .max_maps = 1, .page_shift = 12 };
	const u64 page = BASE;

	(void)state;
	assert_int_equal(hca_fmr_create(&b.pd, &attr, &f1), 0);
	assert_int_equal(hca_fmr_create(&b.pd, &attr, &f2), 0);
	assert_int_equal(hca_fmr_map(f1, &page, 1, 0), 0);
	hca_store(&f2->busy, 1u);
	one_thread(unmaps_meanwhile);
	hca_store(&f2->busy, 0u);
	assert_int_equal(f1->maps, 1);
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, 0, f1->key), 0);
	poll_one(&a.scq, 1, HCA_WC_SUCCESS, NULL);
	assert_int_equal(hca_fmr_map(f2, &page, 1, 0), 0);
	assert_int_equal(hca_fmr_unmap(f1), 0);
	assert_int_equal(hca_fmr_destroy(f1), 0);
	assert_int_equal(hca_fmr_destroy(f2), 0);
}

/* --- interrupts are off, as the test os layer can have it --- */

#ifndef DELIVER_H

static int post_write(u64 id, u64 to)
{
	struct hca_sge sge = sge_at(&a, 0, 64);
	struct hca_send_wr wr = { .wr_id = id, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

	wr.rdma.addr = BASE + to;
	wr.rdma.rkey = b.all->key;
	return hca_post_send(a.qp, &wr);
}

/* A post returns with no byte moved, however idle its queue is; a worker carries it out, and what was posted behind it, in order. */
static void a_post_leaves_it_to_a_worker(void **state)
{
	struct hca_send_wr both[2] = { { .wr_id = 3, .opcode = HCA_WR_RDMA_WRITE },
				       { .wr_id = 4, .opcode = HCA_WR_RDMA_WRITE } };
	struct hca_sge sge = sge_at(&a, 0, 64);
	struct hca_wc wc;
	u32 i;

	(void)state;
	fill(a.ram, 64, 5);
	memset(b.ram, 0, 256);
	for (i = 0; i < 2; i++) {
		both[i].sge = &sge;
		both[i].num_sge = 1;
		both[i].rdma.addr = BASE + 128 + 64 * i;
		both[i].rdma.rkey = b.all->key;
	}
	test_interrupts_off(true);
	assert_int_equal(post_write(1, 0), 0);
	assert_int_equal(post_write(2, 64), 0);
	assert_int_equal(hca_post_sends(a.qp, both, 2), 0);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 0);
	for (i = 0; i < 256; i++)
		assert_int_equal(b.ram[i], 0);
	test_interrupts_off(false);
	test_clock_advance(MS);
	for (i = 1; i <= 4; i++)
		poll_one(&a.scq, i, HCA_WC_SUCCESS, NULL);
	for (i = 0; i < 4; i++)
		assert_memory_equal(b.ram + 64 * i, a.ram, 64);
	nothing_more();
}
#endif

#define I(t) cmocka_unit_test_setup_teardown(t, open_interrupted, close_interrupted)

int main(void)
{
	const struct CMUnitTest tests[] = {
		I(a_bind_interrupts_a_bind),	    I(an_error_ends_the_wait),		 I(the_end_ends_the_wait),
		cmocka_unit_test(binds_take_turns), I(destroyed_beside_an_invalidation), I(an_unmap_interrupts_a_map),
#ifndef DELIVER_H
		I(a_post_leaves_it_to_a_worker),
#endif
	};

	return cmocka_run_group_tests_name("engine_interrupt", tests, NULL, NULL);
}
