/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory regions: each kind, the rules of rights, fast registration and invalidation,
 * memory windows.
 */
#include "mr_fixture.h"

/* --- kinds and rights --- */

static void all_memory(void **state)
{
	struct hca_mr *r = make(&(struct hca_mr_attr){ .kind = HCA_MR_ALL, .access = LW | RR });
	u64 len = 1ull << 40;

	(void)state;
	assert_int_equal(leads_to(r->key, 0x123456789a, &len), 0x123456789a);
	assert_int_equal(len, 1ull << 40);
	len = 8;
	assert_int_equal(leads_to(r->key, 1ull << 63, &len), 1ull << 63);
	assert_null(check(r->key, 0, 1, RW));
	assert_null(check(r->key, ~0ull, 1, 0));
	assert_null(hca_key_check(&keys, r->key, other_pd.number, HCA_KEY_ANY_QP, 0, 1, 0));
	assert_int_equal(pd.users, 1);
	end(r);
}

static void one_run(void **state)
{
	struct hca_mr_attr a = { .kind = HCA_MR_LINEAR, .iova = 0x7000, .length = 100, .base = 0x99000 };
	struct hca_mr *r = make(&a);
	u64 len = 60;

	(void)state;
	assert_int_equal(leads_to(r->key, 0x7000 + 40, &len), 0x99000 + 40);
	assert_int_equal(len, 60);
	assert_null(check(r->key, 0x7000 + 40, 61, 0));
	assert_null(check(r->key, 0x99000, 1, 0));
	assert_int_equal(hca_mr_invalidate(r, r->key), -EINVAL); /* not made for it */
	assert_non_null(check(r->key, 0x7000, 1, 0));
	end(r);
	a.access = ZB;
	a.iova = ~0ull - 3; /* nobody asks */
	r = make(&a);
	len = 100;
	assert_int_equal(leads_to(r->key, 0, &len), 0x99000);
	len = 1;
	assert_int_equal(leads_to(r->key, 99, &len), 0x99000 + 99);
	assert_null(check(r->key, 100, 1, 0));
	end(r);
	a = (struct hca_mr_attr){ .kind = HCA_MR_LINEAR, .iova = ~0ull - 99, .length = 100, .base = 0 };
	r = make(&a);
	len = 100;
	assert_int_equal(leads_to(r->key, ~0ull - 99, &len), 0);
	end(r);
}

static void rights_have_rules(void **state)
{
	struct hca_mr_attr a = { .kind = HCA_MR_LINEAR, .iova = 0x7000, .length = 100, .base = 0x99000 };
	struct hca_mr *r;
	u32 access, right;

	(void)state;
	for (access = 0; access < 1u << 10; access++) {
		bool ok = access < 1u << 7 && (!(access & (RW | RA)) || access & LW);

		a.access = access;
		if (!ok) {
			assert_int_equal(hca_mr_create(&pd, &a, &r), -EINVAL);
			continue;
		}
		r = make(&a);
		assert_non_null(check(r->key, access & ZB ? 0 : 0x7000, 100, access & (LW | RW | RR | RA | MW)));
		for (right = LW; right <= MW; right <<= 1)
			assert_int_equal(!!check(r->key, access & ZB ? 0 : 0x7000, 1, right), !!(access & right));
		end(r);
	}
	for (access = 10; access < 32; access++) { /* the optional ones are taken, and open nothing */
		a.access = 1u << access | LW;
		if (access < 20 || access > 29) {
			assert_int_equal(hca_mr_create(&pd, &a, &r), -EINVAL);
			continue;
		}
		r = make(&a);
		assert_null(check(r->key, 0x7000, 1, RR));
		end(r);
	}
}

static void bad_regions_are_refused(void **state)
{
	static const struct hca_mr_attr bad[] = {
		{ .kind = HCA_MR_LINEAR, .iova = 0x1000, .base = 0x1000, .length = 0 },
		{ .kind = HCA_MR_LINEAR, .iova = ~0ull, .base = 0x1000, .length = 2 },
		{ .kind = HCA_MR_LINEAR, .iova = 0x1000, .base = ~0ull - 1, .length = 3 },
		{ .kind = HCA_MR_LINEAR, .iova = 2, .base = 0, .length = ~0ull, .access = LW | RR },
		{ .kind = HCA_MR_LINEAR, .iova = 0x1000, .base = 0x1000, .length = 1, .invalid = true },
		{ .kind = HCA_MR_ALL, .invalid = true },
		{ .kind = HCA_MR_ALL, .access = RW },
		{ .kind = HCA_MR_PAGES, .invalid = true },
		{ .kind = HCA_MR_PAGES, .max_pages = 4 },
		{ .kind = HCA_MR_PAGES, .max_pages = HCA_MR_MAX_PAGES + 1, .invalid = true },
		{ .kind = HCA_MR_PAGES, .max_pages = 1u << 29, .invalid = true }, /* times 8: 0 in 32 bits */
		{ .kind = HCA_MR_PAGES, .max_pages = (1u << 29) + 1, .invalid = true },
		{ .kind = HCA_MR_PAGES, .max_pages = ~0u, .invalid = true },
		{ .kind = (enum hca_mr_kind)3, .length = 1 },
		{ .kind = (enum hca_mr_kind) ~0u, .length = 1 },
	};
	struct hca_mr *r = NULL;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		assert_int_equal(hca_mr_create(&pd, &bad[i], &r), -EINVAL);
		assert_null(r);
	}
	assert_int_equal(keys.used, 0);
}

static void creation_may_fail(void **state)
{
	struct hca_mr *r[3];
	int err[3];
	u32 i;

	(void)state;
	TEST_FAIL_LOOP(l)
	{
		const struct hca_mr_attr a[3] = {
			{ .kind = HCA_MR_ALL },
			{ .kind = HCA_MR_LINEAR, .length = 8 },
			{ .kind = HCA_MR_PAGES, .max_pages = 1000, .invalid = true },
		};
		struct hca_keys own;
		struct hca_pd p = { .keys = &own, .quiesce = &quiesce };

		if (hca_keys_init(&own, 3))
			continue;
		for (i = 0; i < 3; i++) {
			r[i] = NULL;
			err[i] = hca_mr_create(&p, &a[i], &r[i]);
			assert_true(!err[i] || err[i] == -ENOMEM);
			assert_int_equal(!!r[i], !err[i]);
		}
		assert_int_equal(p.users, own.used);
		for (i = 0; i < 3; i++)
			if (r[i])
				assert_int_equal(hca_mr_destroy(r[i]), 0);
		assert_int_equal(p.users, 0);
		hca_keys_fini(&own);
	}
}

static void keys_run_out(void **state)
{
	const struct hca_mr_attr a = { .kind = HCA_MR_PAGES, .max_pages = 3, .invalid = true };
	struct hca_mr *r[100], *none = NULL;
	u32 i;

	(void)state;
	for (i = 0; i < 100; i++)
		r[i] = make(&a);
	assert_int_equal(hca_mr_create(&pd, &a, &none), -ENOSPC);
	assert_null(none);
	for (i = 0; i < 100; i++)
		end(r[i]);
}

static void stale_keys_of_regions(void **state)
{
	const struct hca_mr_attr a = { .kind = HCA_MR_ALL };
	static u32 old[2000];
	u32 i, k;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(old); i++) {
		struct hca_mr *r = make(&a);

		old[i] = r->key;
		for (k = 0; k < i; k++)
			assert_null(hca_key_find(&keys, old[k]));
		end(r);
	}
}

/* --- fast registration --- */

static void fast_registration(void **state)
{
	static const u64 list[] = { 0x10000 + 0x234, 0x55000, 0x7000 };
	struct hca_mr_pages p = {
		.access = LW | RW,
		.iova = 0xabc0,
		.length = 3 * 4096 - 0x234,
		.page_shift = 12,
		.pages = list,
		.npages = 3,
	};
	struct hca_mr *r = make_fast(3);
	u32 made = r->key, low;
	u64 len;

	(void)state;
	assert_null(hca_key_find(&keys, made));
	assert_int_equal(hca_mr_invalidate(r, made), -EINVAL);
	for (low = 0; low < 256; low++) {
		p.key = (made & ~0xffu) | low;
		assert_int_equal(hca_mr_register(r, &p), 0);
		assert_int_equal(r->key, p.key);
		assert_int_equal(hca_mr_register(r, &p), -EINVAL); /* valid already */
		len = p.length;
		assert_int_equal(leads_to(p.key, 0xabc0, &len), 0x10234);
		assert_int_equal(len, 4096 - 0x234);
		len = p.length - (4096 - 0x234);
		assert_int_equal(leads_to(p.key, 0xabc0 + 4096 - 0x234, &len), 0x55000);
		assert_int_equal(len, 4096);
		len = 10;
		assert_int_equal(leads_to(p.key, 0xabc0 + p.length - 10, &len), 0x7000 + 4096 - 10);
		assert_int_equal(len, 10);
		assert_non_null(check(p.key, 0xabc0, p.length, LW | RW));
		assert_null(check(p.key, 0xabc0, p.length + 1, 0));
		assert_null(check(p.key, 0xabc0, 1, RR));
		assert_int_equal(hca_mr_invalidate(r, hca_key_next(p.key)), -EINVAL);
		assert_non_null(hca_key_find(&keys, p.key));
		assert_int_equal(hca_mr_invalidate(r, p.key), 0);
		assert_null(hca_key_find(&keys, p.key));
		assert_int_equal(hca_mr_invalidate(r, p.key), -EINVAL);
	}
	p.access |= ZB;
	p.iova = ~0ull; /* nobody asks */
	p.key = made;
	assert_int_equal(hca_mr_register(r, &p), 0);
	len = 1;
	assert_int_equal(leads_to(made, 0, &len), 0x10234);
	end(r); /* valid */
	end(make_fast(1)); /* never valid */
}

static void page_sizes(void **state)
{
	u32 shift;

	(void)state;
	for (shift = 0; shift < 40; shift++) {
		u64 size = 1ull << shift;
		u64 list[] = { 7 * size + size / 2 + 1, 3 * size };
		struct hca_mr *r = make_fast(2);
		struct hca_mr_pages p = {
			.key = r->key,
			.iova = 5,
			.length = size,
			.page_shift = shift,
			.pages = list,
			.npages = 2,
		};
		u64 len = size;

		if (shift < 12 || shift > 31) {
			assert_int_equal(hca_mr_register(r, &p), -EINVAL);
			end(r);
			continue;
		}
		assert_int_equal(hca_mr_register(r, &p), 0);
		assert_int_equal(leads_to(p.key, 5, &len), list[0]);
		assert_int_equal(len, size / 2 - 1);
		len = 1;
		assert_int_equal(leads_to(p.key, 5 + size - 1, &len), 3 * size + size / 2);
		end(r);
	}
}

/* Pieces that begin and end anywhere: each byte leads into its own. */
static void pieces_anywhere(void **state)
{
	static const u64 at[] = { 0x10007, 0x7fff000, 0x20, 0x999 }, bytes[] = { 1, 5000, 3, 4096 };
	struct hca_mr *r = make_fast(8);
	struct hca_mr_pages p = { .access = RR, .iova = 0x1003, .page_shift = HCA_MR_PIECES, .npages = 8 };
	u64 list[8], off, len, base = 0, sum = 0;
	u32 i;

	(void)state;
	for (i = 0; i < 4; i++) {
		sum += bytes[i];
		list[2 * i] = at[i];
		list[2 * i + 1] = sum;
	}
	p.pages = list;
	p.length = sum;
	p.key = r->key;
	assert_int_equal(hca_mr_register(r, &p), 0);
	for (i = 0; i < 4; base += bytes[i++])
		for (off = 0; off < bytes[i]; off++) {
			len = sum - base - off;
			assert_int_equal(leads_to(p.key, p.iova + base + off, &len), at[i] + off);
			assert_int_equal(len, bytes[i] - off);
			len = 1;
			leads_to(p.key, p.iova + base + off, &len);
			assert_int_equal(len, 1);
		}
	assert_null(check(p.key, p.iova, sum + 1, RR));
	end(r);
}

static void bad_pieces_are_refused(void **state)
{
	static const struct {
		u64 list[4];
		u32 npages;
		u64 length;
	} bad[] = {
		{ { 0x1000, 10, 0x2000, 20 }, 3, 20 }, /* a piece without its end */
		{ { 0x1000, 10, 0x2000, 10 }, 4, 10 }, /* an empty one */
		{ { 0x1000, 10, 0x2000, 9 }, 4, 9 }, /* ends that go back */
		{ { 0x1000, 0, 0x2000, 9 }, 4, 9 }, /* an empty one first */
		{ { 0x1000, 10, 0x2000, 20 }, 4, 21 }, /* more bytes than they have */
		{ { 0x1000, 10, ~0ull, 12 }, 4, 12 }, /* round the end of all addresses */
		{ { 0x1000, 10, 0x2000, 20 }, 6, 20 }, /* more than there is room for */
	};
	struct hca_mr *r = make_fast(4);
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		const struct hca_mr_pages p = { .key = r->key,
						.access = RR,
						.iova = 0x1000,
						.page_shift = HCA_MR_PIECES,
						.pages = bad[i].list,
						.npages = bad[i].npages,
						.length = bad[i].length };

		assert_int_equal(hca_mr_register(r, &p), -EINVAL);
	}
	end(r);
}

static void bad_registrations_are_refused(void **state)
{
	static const u64 good[] = { 0x1800, 0x3000, 0x2000 }, odd[] = { 0x1800, 0x3008, 0x2000 },
			 last_odd[] = { 0x1800, 0x3000, 0x2800 };
	struct hca_mr *r = make_fast(3), *linear;
	const struct hca_mr_pages ok = {
		.key = r->key,
		.access = LW,
		.iova = 0x1000,
		.length = 0x2800,
		.page_shift = 12,
		.pages = good,
		.npages = 3,
	};
	struct hca_mr_pages p;
	u32 bit;

	(void)state;
#define REFUSED(change) \
	do { \
		p = ok; \
		change; \
		assert_int_equal(hca_mr_register(r, &p), -EINVAL); \
		assert_int_equal(r->state, HCA_MR_INVALID); \
		assert_null(hca_key_find(&keys, p.key)); \
	} while (0)
	for (bit = 8; bit < 32; bit++)
		REFUSED(p.key ^= 1u << bit);
	REFUSED(p.key = 0);
	REFUSED(p.length = 0);
	REFUSED(p.length++);
	REFUSED(p.length = ~0ull);
	REFUSED(p.iova = ~0ull - 0x27fe);
	REFUSED(p.npages = 0);
	REFUSED(p.npages = 2);
	REFUSED(p.npages = 4);
	REFUSED(p.npages = ~0u);
	REFUSED(p.page_shift = 13);
	REFUSED(p.page_shift = 32);
	REFUSED(p.page_shift = 64 + 12);
	REFUSED(p.access = RW);
	REFUSED(p.access = LW | 1u << 10);
	REFUSED(p.pages = odd);
	REFUSED(p.pages = last_odd);
	p = ok;
	p.iova = ~0ull - 0x27ff; /* up to the last byte there is */
	assert_int_equal(hca_mr_register(r, &p), 0);
	assert_int_equal(hca_mr_invalidate(r, p.key), 0);
	linear = make(&(struct hca_mr_attr){ .kind = HCA_MR_LINEAR, .length = 1 });
	p = ok;
	p.key = linear->key;
	assert_int_equal(hca_mr_register(linear, &p), -EINVAL);
	end(linear);
	end(r);
}

static void invalidation_has_rules(void **state)
{
	static const u64 list[] = { 0x1000 };
	struct hca_mr_pages p = { .access = LW, .length = 1, .page_shift = 12, .pages = list, .npages = 1 };
	struct hca_mr *r = make_fast(1), *all, *out = NULL;

	(void)state;
	p.key = r->key;
	/* Not registered: it is free already, as Linux's software adapters have it. For a peer there is no such key. */
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, false, &out), 0);
	assert_null(out);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, true, &out), -EINVAL);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, other_pd.number, p.key, false, &out), -EINVAL);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, hca_key_next(p.key), false, &out), -EINVAL);
	assert_int_equal(hca_mr_register(r, &p), 0);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, other_pd.number, p.key, false, &out), -EINVAL);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, hca_key_next(p.key), false, &out), -EINVAL);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, true, &out),
			 -EINVAL); /* no peer can know it */
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, 0, false, &out), -EINVAL);
	assert_null(out);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, false, &out), 0);
	assert_ptr_equal(out, r);
	assert_null(hca_key_find(&keys, p.key));
	assert_int_equal(hca_mr_register(r, &p), -EINVAL); /* somebody may still be inside */
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, false, &out), -EINVAL);
	hca_mr_invalidate_finish(r);
	out = r;
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, false, &out), 0); /* once more */
	assert_null(out);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, true, &out), -EINVAL);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, other_pd.number, p.key, false, &out), -EINVAL);
	p.access = RR;
	assert_int_equal(hca_mr_register(r, &p), 0);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, true, &out), 0);
	hca_mr_invalidate_finish(r);
	/* Destroyed between the two. */
	assert_int_equal(hca_mr_register(r, &p), 0);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, p.key, true, &out), 0);
	assert_int_equal(hca_mr_destroy(r), 0);
	assert_int_equal(pd.users, 0);
	hca_mr_invalidate_finish(out);
	all = make(&(struct hca_mr_attr){ .kind = HCA_MR_ALL, .access = RR });
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, all->key, false, &out), -EINVAL);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, all->key, true, &out), -EINVAL);
	assert_non_null(hca_key_find(&keys, all->key));
	end(all);
}

static void a_reference_outlives_the_region(void **state)
{
	static const u64 list[] = { 0x1000 };
	struct hca_mr_pages p = { .length = 1, .page_shift = 12, .pages = list, .npages = 1 }, own;
	struct hca_mr *r = make_fast(1);

	(void)state;
	p.key = r->key;
	assert_int_equal(hca_mr_capture(r, &p, &own), 0);
	assert_int_equal(hca_mr_destroy(r), 0);
	assert_int_equal(keys.used, 0);
	assert_int_equal(pd.users, 0);
	assert_int_equal(hca_mr_register(r, &p), -EINVAL);
	assert_int_equal(hca_mr_register_captured(r, &own), -EINVAL);
	assert_int_equal(hca_mr_invalidate(r, p.key), -EINVAL);
	hca_mr_release(r, &own);
}

/* What a queued registration says is its own: the consumer may reuse his list when he has posted it. */
static void what_is_captured_is_kept(void **state)
{
	u64 list[] = { 0x1234, 0x9000 };
	struct hca_mr_pages p = {
		.access = RR, .iova = 0x5000, .length = 0x1800, .page_shift = 12, .pages = list, .npages = 2
	};
	struct hca_mr *r = make_fast(2);
	struct hca_mr_pages own[3];
	u64 len = 4;
	u32 i;

	(void)state;
	p.key = r->key;
	for (i = 0; i < 3; i++) { /* several may be queued */
		assert_int_equal(hca_mr_capture(r, &p, &own[i]), 0);
		p.key = hca_key_next(p.key);
		list[1] += 0x10000;
	}
	hca_memset(&p, 0xff, sizeof(p));
	list[0] = 0;
	for (i = 0; i < 3; i++) {
		assert_int_equal(hca_mr_register_captured(r, &own[i]), 0);
		assert_int_equal(leads_to(own[i].key, 0x5000, &len), 0x1234);
		assert_int_equal(leads_to(own[i].key, 0x6000, &len), 0x9234 + 0x10000 * i);
		assert_int_equal(hca_mr_invalidate(r, own[i].key), 0);
		hca_mr_release(r, &own[i]);
	}
	end(r);
}

static void capture_has_rules(void **state)
{
	static const u64 list[3] = { 0x1000, 0x2000, 0x3000 };
	struct hca_mr_pages p = { .length = 1, .page_shift = 12, .pages = list, .npages = 3 }, own, second;
	struct hca_mr *r = make_fast(2), *linear;

	(void)state;
	/* What can't be is found when it is done: that is where a queued request ends in error. */
	p.key = r->key;
	assert_int_equal(hca_mr_capture(r, &p, &own), 0);
	assert_int_equal(hca_mr_register_captured(r, &own), -EINVAL);
	hca_mr_release(r, &own);
	p.npages = 0;
	assert_int_equal(hca_mr_capture(r, &p, &own), 0);
	assert_int_equal(hca_mr_register_captured(r, &own), -EINVAL);
	hca_mr_release(r, &own);
	p.npages = 2;
	test_fail_at(1);
	assert_int_equal(hca_mr_capture(r, &p, &own), 0); /* room for one is there from the beginning */
	assert_int_equal(hca_mr_capture(r, &p, &second), -ENOMEM);
	test_fail_at(0);
	assert_int_equal(hca_mr_capture(r, &p, &second), 0);
	hca_mr_release(r, &second);
	hca_mr_release(r, &own);
	test_fail_at(1); /* its room is kept for the next one */
	assert_int_equal(hca_mr_capture(r, &p, &own), 0);
	test_fail_at(0);
	hca_mr_release(r, &own);
	end(r);
	linear = make(&(struct hca_mr_attr){ .kind = HCA_MR_LINEAR, .length = 1 });
	assert_int_equal(hca_mr_capture(linear, &p, &own), 0);
	assert_int_equal(hca_mr_register_captured(linear, &own), -EINVAL);
	hca_mr_release(linear, &own);
	end(linear);
}

/* --- memory windows --- */

static void windows_keep_their_region(void **state)
{
	struct hca_mr_attr a = { .kind = HCA_MR_LINEAR, .access = MW, .iova = 0x7000, .length = 100, .base = 0x99000 };
	struct hca_mr *r = make(&a), *out = NULL;
	u64 offset = 77;

	(void)state;
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7000, 101, RR, &out, &offset), -EINVAL);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x6fff, 1, RR, &out, &offset), -EINVAL);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7000, 1, RR | RW, &out, &offset), -EINVAL);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7000, 1, RA, &out, &offset), -EINVAL);
	assert_int_equal(hca_mr_bind(&keys, other_pd.number, r->key, 0x7000, 1, RR, &out, &offset), -EINVAL);
	assert_int_equal(hca_mr_bind(&keys, pd.number, hca_key_next(r->key), 0x7000, 1, RR, &out, &offset), -EINVAL);
	assert_null(out);
	assert_int_equal(offset, 77);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7000 + 30, 70, RR, &out, &offset), 0);
	assert_ptr_equal(out, r);
	assert_int_equal(offset, 30);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7000, 1, RR, &out, &offset), 0);
	assert_int_equal(hca_mr_destroy(r), -EBUSY);
	assert_non_null(check(r->key, 0x7000, 100, 0)); /* nothing has changed */
	hca_mr_unbind(r);
	assert_int_equal(hca_mr_destroy(r), -EBUSY);
	hca_mr_unbind(r);
	end(r);
	a.access = LW | RR;
	r = make(&a);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7000, 1, RR, &out, &offset), -EINVAL);
	end(r);
	a.access = LW | MW;
	r = make(&a);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7000, 1, RR | RW | RA, &out, &offset), 0);
	hca_mr_unbind(r);
	end(r);
}

static void windows_stop_invalidation(void **state)
{
	static const u64 list[] = { 0x1000 };
	struct hca_mr_pages p = { .access = MW, .length = 9, .page_shift = 12, .pages = list, .npages = 1 };
	struct hca_mr *r = make_fast(1), *out;
	u64 offset;

	(void)state;
	p.key = r->key;
	assert_int_equal(hca_mr_register(r, &p), 0);
	assert_int_equal(hca_mr_bind(&keys, pd.number, p.key, 0, 9, RR, &out, &offset), 0);
	assert_int_equal(hca_mr_invalidate(r, p.key), -EBUSY);
	assert_int_equal(hca_mr_destroy(r), -EBUSY);
	assert_non_null(hca_key_find(&keys, p.key));
	hca_mr_unbind(r);
	assert_int_equal(hca_mr_invalidate(r, p.key), 0);
	end(r);
}

/* An MW's entry leads through its offset, and can't be bound to or made void as an MR. */
static void windows_lead_into_their_region(void **state)
{
	struct hca_mr *r = make(&(struct hca_mr_attr){
		.kind = HCA_MR_LINEAR, .access = LW | MW, .iova = 0x7000, .length = 100, .base = 0x99000 });
	struct hca_key_entry *e;
	struct hca_mr *out;
	u64 offset, len = 5;
	u32 key;

	(void)state;
	assert_int_equal(hca_key_alloc(&keys, &key, &e), 0);
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0x7020, 0x10, RR, &e->mr, &e->offset), 0);
	e->access = RR | HCA_KEY_MW;
	e->pd = pd.number;
	e->qpn = HCA_KEY_ANY_QP;
	hca_key_cover(e, 0x7020, 0x10);
	hca_key_publish(e, key);
	assert_ptr_equal(check(key, 0x7024, 5, RR), e);
	assert_int_equal(hca_dma_u64(hca_mr_run(e->mr, hca_key_offset(e, 0x7024), &len)), 0x99024);
	assert_null(check(key, 0x7024, 5, 0));
	assert_int_equal(hca_mr_bind(&keys, pd.number, key, 0x7024, 1, RR, &out, &offset), -EINVAL);
	assert_int_equal(hca_mr_invalidate_begin_key(&keys, pd.number, key, true, &out), -EINVAL);
	assert_true(hca_key_retract(e, key));
	hca_key_free(&keys, key);
	hca_mr_unbind(r);
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		W(all_memory),
		W(one_run),
		W(rights_have_rules),
		W(bad_regions_are_refused),
		W(creation_may_fail),
		W(keys_run_out),
		W(stale_keys_of_regions),
		W(fast_registration),
		W(page_sizes),
		W(pieces_anywhere),
		W(bad_pieces_are_refused),
		W(bad_registrations_are_refused),
		W(invalidation_has_rules),
		W(a_reference_outlives_the_region),
		W(what_is_captured_is_kept),
		W(capture_has_rules),
		W(windows_keep_their_region),
		W(windows_stop_invalidation),
		W(windows_lead_into_their_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
