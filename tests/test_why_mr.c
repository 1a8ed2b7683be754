/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a memory region isn't made, changed, registered, invalidated or destroyed: each refusal of hca/mr.h, with its words. */
#include "mr_fixture.h"

#include "why_fixture.h"

static void making(void **state)
{
	struct hca_mr_attr at = { .kind = HCA_MR_LINEAR, .access = 1u << 9, .length = 64 };
	struct hca_mr *r;

	(void)state;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "access 0x200 has bits that are no rights: 0x200");
	at.access = RA;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "REMOTE_ATOMIC, which need LOCAL_WRITE");
	at.access = LW;
	at.length = 0;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "memory region: no bytes");
	at.length = 64;
	at.base = ~0ull - 8;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "64 bytes from address 0xfffffffffffffff7 go beyond the end");
	at.base = 0;
	at.iova = ~0ull - 8;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "64 bytes from iova 0xfffffffffffffff7 go beyond the end");
	at.invalid = true;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "one of pages, and no other, is made invalid");
	at.kind = HCA_MR_PAGES;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "room for 0 pages, must be from 1 to");
	at.kind = (enum hca_mr_kind)9;
	at.invalid = false;
	REFUSED(hca_mr_create(&pd, &at, &r), -EINVAL, "no such kind: 9");
}

static void changing(void **state)
{
	struct hca_mr_attr at = { .kind = HCA_MR_LINEAR, .access = LW | MW, .base = 0x1000, .length = 64 };
	struct hca_mr *r = make(&at), *all = make(&(struct hca_mr_attr){ .kind = HCA_MR_ALL });
	struct hca_mr *bound;
	u64 offset;

	(void)state;
	REFUSED(hca_mr_change(all, &pd, &at), -EINVAL, "not registered anew: another kind, or another adapter's");
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0, 8, RR, &bound, &offset), 0);
	REFUSED(hca_mr_change(r, &pd, &at), -EBUSY, "not registered anew: memory windows are bound to it");
	REFUSED(hca_mr_destroy(r), -EBUSY, "not deregistered: 1 memory windows are bound to it");
	hca_mr_unbind(bound);
	end(r);
	end(all);
}

/* A thread that changes it is under way: it says so to another one. */
static void changed_twice(void **state)
{
	struct hca_mr_attr at = { .kind = HCA_MR_LINEAR, .base = 0x1000, .length = 64 };
	struct hca_mr *r = make(&at);

	(void)state;
	r->state = HCA_MR_BUSY;
	REFUSED(hca_mr_change(r, &pd, &at), -EINVAL, "not registered anew: it isn't valid");
	r->state = HCA_MR_VALID;
	end(r);
}

static struct hca_mr *shared;
static int changed;

static void change_shared(void *arg)
{
	struct hca_mr_attr at = { .kind = HCA_MR_LINEAR, .base = 0x1000, .length = 64 };

	(void)arg;
	changed = hca_mr_change(shared, &pd, &at);
}

static void destroy_shared(void *arg)
{
	(void)arg;
	while (hca_mr_destroy(shared))
		hca_pause();
}

/* One thread changes the region, and another one deregisters it. The change fails if it comes second, and says why. */
static void changed_and_destroyed(void **state)
{
	void (*const fns[])(void *) = { change_shared, destroy_shared };
	bool said = false;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 1000 && !said; seed++) {
		shared = make(&(struct hca_mr_attr){ .kind = HCA_MR_LINEAR, .base = 0x1000, .length = 64 });
		(void)test_why_take();
		/* The one that changes it has a reference of its own, as a caller has. */
		assert_int_equal(test_run_threads(seed, 2, fns, (void *const[]){ NULL, NULL }, NULL), 0);
		said = changed && why_said_one_of("not registered anew: it was deregistered meanwhile");
	}
	assert_true(said);
}

static void registering(void **state)
{
	u64 pages[] = { 0x1000, 0x2000, 0x3010 };
	struct hca_mr *r = make_fast(4);
	struct hca_mr_pages p = { .key = r->key, .iova = 0x1000, .length = 8, .page_shift = 12, .pages = pages };
	struct hca_mr_pages waits;

	(void)state;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "not registered: 0 pages, must be from 1 to 4; list them by");
	p.npages = 2;
	assert_int_equal(hca_mr_capture(r, &p, &waits), 0);
	test_fail_at(1);
	REFUSED(hca_mr_register(r, &p), -ENOMEM, "not registered: no memory for a list of 4 pages");
	hca_mr_release(r, &waits);
	p.page_shift = 3;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "page shift 3, must be from");
	p.page_shift = 12;
	p.length = 8193;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "length 8193, but the pages have 8192 bytes");
	p.npages = 3;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "page 2 at 0x3010 doesn't begin on a page");
	p.page_shift = HCA_MR_PIECES;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "an odd number of words for pieces: 3");
	p.npages = 2;
	pages[1] = 0;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "piece 0 is empty, or goes beyond the end");
	pages[1] = 100;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "length 8193, but the pieces have 100 bytes");
	p.length = 100;
	p.key = r->key ^ 0x100;
	REFUSED(hca_mr_register(r, &p), -EINVAL, "not a key of this memory region");
	p.key = r->key;
	assert_int_equal(hca_mr_register(r, &p), 0);
	REFUSED(hca_mr_register(r, &p), -EINVAL, "the memory region is valid already: invalidate it before");
	end(r);
}

static void invalidating(void **state)
{
	u64 pages[] = { 0x1000 };
	struct hca_mr *r = make_fast(1), *other = make(&(struct hca_mr_attr){ .kind = HCA_MR_ALL });
	struct hca_mr_pages p = { .key = r->key, .length = 64, .page_shift = 12, .pages = pages, .npages = 1 };
	struct hca_mr *out, *bound;
	u64 offset;

	(void)state;
	p.access = MW;
	REFUSED(hca_mr_invalidate_begin_key(&keys, pd.number, other->key, false, &out), -EINVAL,
		"its memory region isn't one for fast registration");
	assert_int_equal(hca_mr_register(r, &p), 0);
	REFUSED(hca_mr_invalidate_begin_key(&keys, pd.number, 0x7777, false, &out), -EINVAL, "key 0x7777",
		"it isn't valid");
	REFUSED(hca_mr_invalidate_begin_key(&keys, other_pd.number, r->key, false, &out), -EINVAL,
		"not invalidated: it is of another protection domain");
	REFUSED(hca_mr_invalidate_begin_key(&keys, pd.number, r->key, true, &out), -EINVAL,
		"not invalidated by the peer: it is for local use alone");
	assert_int_equal(hca_mr_bind(&keys, pd.number, r->key, 0, 8, RR, &bound, &offset), 0);
	REFUSED(hca_mr_invalidate_begin_key(&keys, pd.number, r->key, false, &out), -EBUSY,
		"not invalidated: memory windows are bound to it");
	hca_mr_unbind(bound);
	r->state = HCA_MR_BUSY; /* by another thread, after the key was looked up */
	REFUSED(hca_mr_invalidate_begin_key(&keys, pd.number, r->key, false, &out), -EINVAL,
		"not invalidated: it was invalidated a moment ago");
	r->state = HCA_MR_VALID;
	end(other);
	end(r);
}

/* The key is found, and its memory region goes before the window is bound to it. */
static void binding(void **state)
{
	struct hca_mr *r = make(&(struct hca_mr_attr){ .kind = HCA_MR_ALL, .access = MW }), *bound;
	u64 offset;

	(void)state;
	REFUSED(hca_mr_bind(&keys, pd.number, r->key, 0, 8, RW, &bound, &offset), -EINVAL,
		"memory window not bound: key", "doesn't allow LOCAL_WRITE");
	r->state = HCA_MR_BUSY;
	REFUSED(hca_mr_bind(&keys, pd.number, r->key, 0, 8, RR, &bound, &offset), -EINVAL,
		"memory window not bound: key", "isn't valid any more");
	r->state = HCA_MR_VALID;
	end(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		W(making),	W(changing),	 W(changed_twice), W(changed_and_destroyed),
		W(registering), W(invalidating), W(binding),
	};

	return cmocka_run_group_tests_name("why_mr", tests, NULL, NULL);
}
