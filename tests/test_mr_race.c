/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory regions while threads register, invalidate, bind, look and destroy at once, under seeded schedules. */
#include "mr_fixture.h"

#define SEEDS 500u

static const u64 a_page[] = { 0x1000 };
static struct hca_mr *shared;
static u32 shared_key, bad, ended, done;

#define QUEUED 4u

static struct hca_mr_pages queued[QUEUED];

static void try_to_register(void *arg)
{
	u32 i;

	for (i = 0; i < QUEUED; i++) {
		if (!hca_mr_register_captured(arg, &queued[i]))
			hca_fetch_add(&done, 1);
		hca_mr_release(arg, &queued[i]);
	}
}

static void try_to_void(void *arg)
{
	struct hca_quiesce_mark mark;
	struct hca_mr *r;
	u32 i;
	int err;

	(void)arg;
	for (i = 0; i < 4; i++) {
		hca_quiesce_enter(&quiesce, &mark);
		err = hca_mr_invalidate_begin_key(&keys, pd.number, shared_key, true, &r);
		hca_quiesce_leave(&mark);
		if (!err)
			hca_mr_invalidate_finish(r);
	}
}

static void destroy_shared(void *arg)
{
	u32 n;

	(void)arg;
	for (n = hca_random_u32() % 16; n; n--)
		hca_pause();
	while (hca_mr_destroy(shared))
		hca_pause();
	if (hca_load(&pd.users) || hca_key_find(&keys, shared_key))
		hca_fetch_add(&bad, 1);
	/* The index is somebody else's now: what still has a reference must leave it alone. */
	if (hca_mr_create(&pd, &(struct hca_mr_attr){ .kind = HCA_MR_ALL, .access = LW }, &shared))
		hca_fetch_add(&bad, 1);
}

static void registration_meets_the_end(void **state)
{
	void (*const fns[])(void *) = { try_to_register, try_to_void, destroy_shared, try_to_void };
	static u32 taken[510];
	struct hca_mr_pages p = { .access = RR | MW, .length = 9, .page_shift = 12, .pages = a_page, .npages = 1 };
	struct hca_key_entry *e;
	struct hca_mr *r;
	u64 seed;
	u32 i;

	(void)state;
	/* One index is left, and comes back at once. */
	hca_keys_fini(&keys);
	assert_int_equal(hca_keys_init(&keys, 511), 0);
	for (i = 0; i < HCA_ARRAY_SIZE(taken); i++)
		assert_int_equal(hca_key_alloc(&keys, &taken[i], &e), 0);
	done = bad = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		void *args[4] = { NULL };

		r = shared = make_fast(1);
		shared_key = r->key;
		args[0] = r;
		p.key = shared_key;
		for (i = 0; i < QUEUED; i++)
			assert_int_equal(hca_mr_capture(r, &p, &queued[i]), 0);
		assert_int_equal(test_run_threads(seed, 4, fns, args, NULL), 0);
		assert_int_equal(bad, 0);
		end(shared);
	}
	assert_true(done > SEEDS / 4);
	for (i = 0; i < HCA_ARRAY_SIZE(taken); i++)
		hca_key_free(&keys, taken[i]);
}

/* An MR whose destruction is refused has never been away. */
static void must_find(void *arg)
{
	struct hca_quiesce_mark mark;

	(void)arg;
	while (!hca_load(&ended)) {
		hca_quiesce_enter(&quiesce, &mark);
		if (hca_load(&done) == 1 && !hca_key_find(&keys, shared_key) && hca_load(&done) == 1)
			hca_fetch_add(&bad, 1);
		hca_quiesce_leave(&mark);
	}
}

static void bind_then_hold(void *arg)
{
	struct hca_quiesce_mark mark;
	struct hca_mr *r;
	u64 offset;
	u32 i;
	int err;

	(void)arg;
	hca_quiesce_enter(&quiesce, &mark);
	err = hca_mr_bind(&keys, pd.number, shared_key, 0, 1, RR, &r, &offset);
	hca_quiesce_leave(&mark);
	if (!err) {
		hca_store(&done, 1u);
		for (i = 0; i < 30; i++)
			hca_pause();
		hca_store(&done, 2u);
		hca_mr_unbind(r);
	}
}

static void destroy_until_done(void *arg)
{
	(void)arg;
	while (hca_mr_destroy(shared))
		hca_pause();
	hca_store(&ended, 1u);
}

static void windows_meet_the_end(void **state)
{
	void (*const fns[])(void *) = { must_find, bind_then_hold, destroy_until_done };
	void *const args[] = { NULL, NULL, NULL };
	u32 bound = 0, refused = 0;
	u64 seed;

	(void)state;
	bad = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		shared = make(&(struct hca_mr_attr){ .kind = HCA_MR_LINEAR, .access = MW, .length = 9 });
		shared_key = shared->key;
		done = ended = 0;
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		bound += done == 2;
		refused += done == 0;
		assert_int_equal(bad, 0);
	}
	assert_true(bound > 10 && refused > 10);
}

/* What was void is used by nobody, and may lead elsewhere at once. */
static void look_where_it_leads(void *arg)
{
	struct hca_quiesce_mark mark;
	const struct hca_key_entry *e;
	u64 len, first, again;

	(void)arg;
	while (!hca_load(&ended)) {
		hca_quiesce_enter(&quiesce, &mark);
		e = hca_key_find(&keys, hca_load(&shared_key));
		if (e) {
			len = 1;
			first = hca_dma_u64(hca_mr_run(e->mr, 0, &len));
			hca_pause();
			hca_pause();
			again = hca_dma_u64(hca_mr_run(e->mr, 0, &len));
			hca_fetch_add(&bad, again != first || hca_key_length(e) != 9);
			hca_fetch_add(&done, 1);
		}
		hca_quiesce_leave(&mark);
	}
}

static void register_and_void(void *arg)
{
	struct hca_mr_pages p = { .access = RR, .length = 9, .page_shift = 12, .npages = 1 };
	struct hca_quiesce_mark mark;
	struct hca_mr *r;
	u64 page = 0;
	u32 i;
	int err;

	(void)arg;
	p.key = shared_key;
	p.pages = &page;
	for (i = 0; i < 10; i++) {
		page += 0x1000;
		if (hca_mr_register(shared, &p))
			hca_fetch_add(&bad, 1);
		hca_store(&shared_key, p.key);
		hca_quiesce_enter(&quiesce, &mark);
		err = hca_mr_invalidate_begin_key(&keys, pd.number, p.key, true, &r);
		hca_quiesce_leave(&mark);
		if (err)
			hca_fetch_add(&bad, 1);
		else
			hca_mr_invalidate_finish(r);
		if (i & 1)
			p.key = hca_key_next(p.key);
	}
	hca_store(&ended, 1u);
}

static void nobody_uses_what_is_void(void **state)
{
	void (*const fns[])(void *) = { look_where_it_leads, register_and_void, look_where_it_leads };
	void *const args[] = { NULL, NULL, NULL };
	u64 seed;

	(void)state;
	bad = done = 0;
	for (seed = 1; seed <= SEEDS; seed++) {
		shared = make_fast(1);
		shared_key = shared->key;
		ended = 0;
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		assert_int_equal(bad, 0);
		end(shared);
	}
	assert_true(done > SEEDS);
}

/* The consumer writes to his list while it is taken over. */
static u64 moving[2];

static void change_the_list(void *arg)
{
	(void)arg;
	while (!hca_load(&ended)) {
		moving[0] ^= 0x800;
		moving[1] ^= 0x10;
		hca_pause();
	}
}

static void register_and_look(void *arg)
{
	struct hca_mr_pages p = {
		.key = shared_key, .length = 8192 - 0x100, .page_shift = 12, .pages = moving, .npages = 2
	};
	u32 i;

	(void)arg;
	for (i = 0; i < 50; i++) {
		if (hca_mr_register(shared, &p))
			continue;
		hca_fetch_add(&bad, shared->offset + p.length > 8192 || (shared->pages[0] | shared->pages[1]) & 0xfff);
		hca_mr_invalidate(shared, shared_key);
	}
	hca_store(&ended, 1u);
}

static void lists_are_checked_after_they_are_taken(void **state)
{
	void (*const fns[])(void *) = { change_the_list, register_and_look };
	void *const args[] = { NULL, NULL };
	u64 seed;

	(void)state;
	bad = 0;
	for (seed = 1; seed <= 50; seed++) {
		shared = make_fast(2);
		shared_key = shared->key;
		moving[0] = 0x1000;
		moving[1] = 0x5000;
		ended = 0;
		assert_int_equal(test_run_threads(seed, 2, fns, args, NULL), 0);
		assert_int_equal(bad, 0);
		end(shared);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		W(registration_meets_the_end),
		W(windows_meet_the_end),
		W(nobody_uses_what_is_void),
		W(lists_are_checked_after_they_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
