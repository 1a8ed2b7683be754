/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SRP end to end: every way to name memory, every shape of list, every pair of
 * adapters, on machines that forgive and on one that doesn't; and the ledger empty
 * at the end.
 */
#include "srp_fixture.h"

static const enum machine_platform platforms[] = { MACHINE_DIRECT, MACHINE_IOMMU, MACHINE_BOUNCE };
static const u32 sizes[] = { 512, 4096, 8192, 65536, 131072 };

static void write_and_read(struct srp_bed *b, struct srp_channel *ch, enum bed_shape shape, u32 len, u64 at)
{
	u8 *want = malloc(len), *got = malloc(len);
	struct bed_list l;
	struct srp_request req;

	random_bytes(want, len, len + shape);
	list_make(b, &l, shape, len, at + shape);
	list_fill(&l, want);
	req = req_rw(&l, true, at);
	assert_int_equal(srp_execute(ch, &req), 0);
	assert_int_equal(req.moved, len);
	assert_int_equal(req.residual, 0);
	assert_memory_equal(b->disk + at, want, len);
	list_free(&l);

	list_make(b, &l, shape, len, at + shape + 77);
	req = req_rw(&l, false, at);
	assert_int_equal(srp_execute(ch, &req), 0);
	assert_int_equal(req.moved, len);
	list_read(&l, got);
	assert_memory_equal(got, want, len);
	list_free(&l);
	free(want);
	free(got);
}

static void one_bed(enum machine_platform platform, int pair, enum srp_memory memory, enum ib_poll_context poll)
{
	struct srp_initiator_stats st;
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_bed b;
	u32 shape, i;

	bed_open(&b, platform, pair);
	t = bed_target(&b, poll);
	ini = bed_initiator(&b, memory);
	for (shape = 0; shape < SHAPES; shape++) {
		for (i = 0; i < (sizeof(sizes) / sizeof(sizes[0])); i++) {
			if (shape == SHAPE_CRUMBS && sizes[i] > 65536)
				continue;
			if (shape == SHAPE_PAGE && sizes[i] > 4096)
				continue;
			write_and_read(&b, srp_initiator_channel(ini, 0), shape, sizes[i], (u64)shape * 65536);
		}
	}
	srp_initiator_get_stats(ini, &st);
	assert_true(st.direct && st.indirect && st.partial);
	assert_int_equal(st.bad_responses, 0);
	if (memory != SRP_MEMORY_ALL)
		assert_true(st.registered > st.mapped);
	else
		assert_int_equal(st.registered, 0);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

static void every_pair(enum srp_memory memory, enum ib_poll_context poll)
{
	u32 p;
	int pair;

	for (p = 0; p < (sizeof(platforms) / sizeof(platforms[0])); p++) {
		for (pair = 0; pair < 4; pair++)
			one_bed(platforms[p], pair, memory, poll);
	}
}

static void test_all_memory(void **state)
{
	(void)state;
	every_pair(SRP_MEMORY_ALL, IB_POLL_SOFTIRQ);
}

static void test_fast_registration(void **state)
{
	(void)state;
	every_pair(SRP_MEMORY_FAST, IB_POLL_SOFTIRQ);
}

static void test_fmr(void **state)
{
	(void)state;
	every_pair(SRP_MEMORY_FMR, IB_POLL_SOFTIRQ);
}

static void test_workqueue(void **state)
{
	(void)state;
	every_pair(SRP_MEMORY_FAST, IB_POLL_WORKQUEUE);
	every_pair(SRP_MEMORY_ALL, IB_POLL_WORKQUEUE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_memory),
		cmocka_unit_test(test_fast_registration),
		cmocka_unit_test(test_fmr),
		cmocka_unit_test(test_workqueue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
