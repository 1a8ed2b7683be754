/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fast memory regions on the engine: pages mapped without a work request, keys that
 * change, the limit of maps, and an unmap that waits once. Side b maps, side a is the peer.
 */
#include "engine_fixture.h"

#include "hca/fmr.h"

#define PAGES 4u
#define MAPS 3u
#define IOVA 0x40000000ull

static struct hca_fmr *f;

static const struct hca_fmr_attr usual = { .access = RW, .max_pages = PAGES, .max_maps = MAPS, .page_shift = 12 };

static int open_fmr(void **state)
{
	(void)state;
	connect_type(HCA_QPT_RC);
	assert_int_equal(hca_fmr_create(&b.pd, &usual, &f), 0);
	return 0;
}

static int close_fmr(void **state)
{
	f->next = NULL;
	assert_int_equal(hca_fmr_unmap(f), 0);
	assert_int_equal(hca_fmr_destroy(f), 0);
	return close_both(state);
}

static u64 page_at(u32 n)
{
	return BASE + (u64)n * 4096;
}

/* Does the peer reach it with this key? */
static bool reaches(u64 addr, u32 len, u32 key)
{
	struct hca_wc wc;

	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, len, addr, key), 0);
	assert_int_equal(hca_cq_ring_poll(&a.scq.ring, &wc, 1), 1);
	if (wc.status) {
		struct hca_qp_attr at = { 0 };

		assert_int_equal(wc.status, HCA_WC_REM_ACCESS_ERR);
		modify(a.qp, &at, HCA_QPS_RESET, 0);
		modify(b.qp, &at, HCA_QPS_RESET, 0);
		connect_qp(&a, a.qp, &b, b.qp->qpn, 3, 2);
		connect_qp(&b, b.qp, &a, a.qp->qpn, 3, 2);
	}
	return !wc.status;
}

static void maps_and_remaps(void **state)
{
	u64 one[] = { page_at(7), page_at(2), page_at(9) };
	u64 two[] = { page_at(4) };
	u32 k1, k2;

	(void)state;
	assert_false(reaches(IOVA, 8, f->key)); /* not mapped yet */
	assert_int_equal(hca_fmr_map(f, one, 3, IOVA), 0);
	k1 = f->key;
	fill(a.ram, 3 * 4096, 1);
	assert_true(reaches(IOVA, 3 * 4096, k1));
	assert_memory_equal(b.ram + 7 * 4096, a.ram, 4096);
	assert_memory_equal(b.ram + 2 * 4096, a.ram + 4096, 4096);
	assert_memory_equal(b.ram + 9 * 4096, a.ram + 8192, 4096);
	assert_false(reaches(IOVA + 1, 3 * 4096, k1));
	/* To other pages, by another key; the old one is void at once. */
	assert_int_equal(hca_fmr_map(f, two, 1, 0), 0);
	k2 = f->key;
	assert_int_not_equal(k1, k2);
	assert_false(reaches(IOVA, 8, k1));
	assert_false(reaches(0, 4097, k2));
	assert_true(reaches(0, 4096, k2));
	assert_memory_equal(b.ram + 4 * 4096, a.ram, 4096);
	/* Its key is good here too. */
	{
		struct hca_sge sge = { .addr = 16, .length = 64, .lkey = k2 };
		struct hca_send_wr wr = { .wr_id = 2, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

		wr.rdma.addr = BASE + 32768;
		wr.rdma.rkey = a.all->key;
		assert_int_equal(hca_post_send(b.qp, &wr), 0);
		poll_one(&b.scq, 2, HCA_WC_SUCCESS, NULL);
		assert_memory_equal(a.ram + 32768, b.ram + 4 * 4096 + 16, 64);
	}
	assert_int_equal(hca_fmr_destroy(f), -EBUSY);
	assert_int_equal(hca_fmr_unmap(f), 0);
	assert_false(reaches(0, 8, k2));
	assert_int_equal(hca_fmr_unmap(f), 0); /* once more does no harm */
}

static void maps_are_counted(void **state)
{
	u64 page = page_at(1);
	u32 i, key[2 * MAPS], k;

	(void)state;
	for (i = 0; i < 2 * MAPS; i++) {
		assert_int_equal(hca_fmr_map(f, &page, 1, IOVA), 0);
		key[i] = f->key;
		for (k = 0; k < i; k++)
			assert_int_not_equal(key[k], key[i]);
		if (i % MAPS == MAPS - 1) {
			assert_int_equal(hca_fmr_map(f, &page, 1, IOVA), -EINVAL);
			assert_true(reaches(IOVA, 8, key[i])); /* what was mapped still is */
			assert_int_equal(hca_fmr_unmap(f), 0);
		}
	}
}

static void bad_maps_are_refused(void **state)
{
	u64 pages[PAGES + 1] = { page_at(0), page_at(1), page_at(2), page_at(3), page_at(4) };
	u64 odd[] = { page_at(0), page_at(1) + 8 };
	u32 key;

	(void)state;
	assert_int_equal(hca_fmr_map(f, pages, PAGES, IOVA), 0);
	key = f->key;
	assert_int_equal(hca_fmr_map(f, pages, PAGES + 1, IOVA), -EINVAL);
	assert_int_equal(hca_fmr_map(f, pages, 0, IOVA), -EINVAL);
	assert_int_equal(hca_fmr_map(f, odd, 2, IOVA), -EINVAL);
	assert_int_equal(hca_fmr_map(f, odd + 1, 1, IOVA), -EINVAL);
	assert_int_equal(hca_fmr_map(f, pages, 1, IOVA + 512), -EINVAL);
	assert_int_equal(hca_fmr_map(f, pages, 2, ~0ull - 4095), -EINVAL); /* wraps */
	f->busy = 1; /* another thread is at it */
	assert_int_equal(hca_fmr_map(f, pages, 1, IOVA), -EBUSY);
	f->busy = 0;
	assert_int_equal(f->key, key);
	assert_int_equal(f->maps, 1);
	assert_true(reaches(IOVA, PAGES * 4096, key));
	/* A key that a work request took away isn't in the way of the next map. */
	{
		struct hca_send_wr wr = { .wr_id = 7, .opcode = HCA_WR_LOCAL_INV, .imm = key };

		assert_int_equal(hca_post_send(b.qp, &wr), 0);
		poll_one(&b.scq, 7, HCA_WC_SUCCESS, NULL);
		assert_int_equal(hca_fmr_map(f, pages, 1, IOVA), 0);
		assert_true(reaches(IOVA, 4096, f->key));
	}
}

static void bad_attributes_are_refused(void **state)
{
	const struct hca_fmr_attr bad[] = {
		{ .access = RW, .max_pages = 0, .max_maps = 1, .page_shift = 12 },
		{ .access = RW, .max_pages = HCA_MR_MAX_PAGES + 1, .max_maps = 1, .page_shift = 12 },
		{ .access = RW, .max_pages = 1, .max_maps = 0, .page_shift = 12 },
		{ .access = RW, .max_pages = 1, .max_maps = HCA_FMR_MAX_MAPS + 1, .page_shift = 12 },
		{ .access = RW, .max_pages = 1, .max_maps = 1, .page_shift = 11 },
		{ .access = RW, .max_pages = 1, .max_maps = 1, .page_shift = 32 },
		{ .access = RW | HCA_ACCESS_MW_BIND, .max_pages = 1, .max_maps = 1, .page_shift = 12 },
		{ .access = RW | HCA_ACCESS_ZERO_BASED, .max_pages = 1, .max_maps = 1, .page_shift = 12 },
		{ .access = HCA_ACCESS_REMOTE_WRITE, .max_pages = 1, .max_maps = 1, .page_shift = 12 },
	};
	struct hca_fmr *g;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++)
		assert_int_equal(hca_fmr_create(&b.pd, &bad[i], &g), -EINVAL);
}

#define MANY 5u

static void unmapping_many_waits_once(void **state)
{
	struct hca_fmr *g[MANY], *foreign;
	static struct hca_quiesce other;
	struct hca_pd far = b.pd;
	u64 page = page_at(1);
	u32 i, waits;

	(void)state;
	for (i = 0; i < MANY; i++) {
		assert_int_equal(hca_fmr_create(&b.pd, &usual, &g[i]), 0);
		g[i]->next = i ? g[i - 1] : NULL;
		if (i != 2)
			assert_int_equal(hca_fmr_map(g[i], &page, 1, IOVA), 0);
	}
	/* One of another adapter among them: none is unmapped. */
	hca_quiesce_init(&other);
	far.quiesce = &other;
	assert_int_equal(hca_fmr_create(&far, &usual, &foreign), 0);
	g[0]->next = foreign;
	assert_int_equal(hca_fmr_unmap(g[MANY - 1]), -EINVAL);
	g[0]->next = NULL;
	assert_int_equal(hca_fmr_destroy(foreign), 0);
	for (i = 0; i < MANY; i++)
		assert_int_equal(reaches(IOVA, 8, g[i]->key), i != 2);
	waits = b.hca.quiesce.waits;
	assert_int_equal(hca_fmr_unmap(g[MANY - 1]), 0);
	assert_int_equal(b.hca.quiesce.waits - waits, 1);
	for (i = 0; i < MANY; i++) {
		assert_false(reaches(IOVA, 8, g[i]->key));
		assert_int_equal(g[i]->maps, 0);
		assert_int_equal(hca_fmr_destroy(g[i]), 0);
	}
	assert_int_equal(hca_fmr_unmap(NULL), 0);
}

/* --- threads --- */

static bool gone; /* the pages are somebody else's */

static void write_while_it_lasts(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 4; i++) {
		struct hca_sge sge = sge_at(&a, 0, 2 * 4096);
		struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_RDMA_WRITE };

		wr.rdma.addr = IOVA;
		wr.rdma.rkey = hca_load(&f->key);
		(void)hca_post_send(a.qp, &wr);
	}
}

static void remap_and_unmap(void *arg)
{
	u64 there[] = { page_at(3), page_at(5) };

	(void)arg;
	assert_int_equal(hca_fmr_map(f, there, 2, IOVA), 0);
	memset(b.ram + 4096, 0, 2 * 4096); /* ours again: nobody writes there any more */
	assert_int_equal(hca_fmr_unmap(f), 0);
	memset(b.ram + 3 * 4096, 0, 4096);
	memset(b.ram + 5 * 4096, 0, 4096);
	gone = true;
}

static void nobody_touches_what_is_unmapped(void **state)
{
	void (*const fns[])(void *) = { write_while_it_lasts, remap_and_unmap };
	void *const args[] = { NULL, NULL };
	u64 here[] = { page_at(1), page_at(2) };
	u32 i, reached = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 80; seed++) {
		gone = false;
		assert_int_equal(open_fmr(NULL), 0);
		b.mem.ops = &slow_mem_ops;
		assert_int_equal(hca_fmr_map(f, here, 2, IOVA), 0);
		fill(a.ram, 2 * 4096, 1);
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_true(gone);
		for (i = 4096; i < 6 * 4096; i++)
			assert_int_equal(b.ram[i], 0);
		reached += a.scq.ring.ring[0].wc.status == HCA_WC_SUCCESS;
		assert_int_equal(close_fmr(NULL), 0);
	}
	assert_true(reached);
}

static void every_call_may_fail(void **state)
{
	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	TEST_FAIL_LOOP(l)
	{
		struct hca_fmr *g;
		u64 page = page_at(1);

		if (side_open(&a))
			continue;
		if (!hca_fmr_create(&a.pd, &usual, &g)) {
			int err = hca_fmr_map(g, &page, 1, IOVA);

			assert_true(!err || err == -ENOMEM);
			assert_int_equal(g->maps, !err);
			assert_int_equal(hca_fmr_unmap(g), 0);
			assert_int_equal(hca_fmr_destroy(g), 0);
		}
		side_close(&a);
	}
	wire_close();
}

#define F(t) cmocka_unit_test_setup_teardown(t, open_fmr, close_fmr)

int main(void)
{
	const struct CMUnitTest tests[] = {
		F(maps_and_remaps),
		F(maps_are_counted),
		F(bad_maps_are_refused),
		F(bad_attributes_are_refused),
		F(unmapping_many_waits_once),
		cmocka_unit_test(nobody_touches_what_is_unmapped),
		cmocka_unit_test(every_call_may_fail),
	};

	return cmocka_run_group_tests_name("engine fmr", tests, NULL, NULL);
}
