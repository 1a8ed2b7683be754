/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stores that others see late, for tests that ask for it: hca_store(), hca_store_release(),
 * and entering and leaving a slot put their values into a buffer of the thread's own. From
 * there they reach memory when the thread makes a barrier, when somebody makes a heavy one,
 * when the seed says so, and at the thread's end. A thread sees its own stores at once. A relaxed
 * store may overtake others, as on arm64; a release waits for all before it.
 *
 * Loads are never early, and plain accesses know of no buffer: what is stored by the calls
 * above must be read by hca_load() in such a test, and outlive the thread.
 */
#include "internal.h"

#include <string.h>

bool test_weak;

static void put(const struct test_store *s)
{
	switch (s->size) {
	case 1:
		raw_store((u8 *)s->at, (u8)s->value, __ATOMIC_SEQ_CST);
		break;
	case 2:
		raw_store((u16 *)s->at, (u16)s->value, __ATOMIC_SEQ_CST);
		break;
	case 4:
		raw_store((u32 *)s->at, (u32)s->value, __ATOMIC_SEQ_CST);
		break;
	default:
		raw_store((u64 *)s->at, s->value, __ATOMIC_SEQ_CST);
	}
}

static void flush(struct test_ctx *c, u32 i)
{
	put(&c->store[i]);
	c->nstores--;
	memmove(&c->store[i], &c->store[i + 1], (c->nstores - i) * sizeof(c->store[0]));
	test_moved();
}

static bool may_overtake(const struct test_ctx *c, u32 i)
{
	u32 k;

	for (k = 0; k < i; k++)
		if (c->store[i].release || c->store[k].at == c->store[i].at)
			return false;
	return true;
}

void test_drain(struct test_ctx *c)
{
	while (c->nstores)
		flush(c, 0);
}

void test_drain_some(struct test_ctx *c, u64 *chance, u32 of_8)
{
	while (c->nstores && (test_mix(chance) & 7) < of_8) {
		u32 i = (u32)(test_mix(chance) % c->nstores);

		flush(c, may_overtake(c, i) ? i : 0);
	}
}

void test_drain_all(void)
{
	struct test_ctx *c;
	u32 i;

	for (i = 0; (c = test_nth(i)); i++)
		test_drain(c);
}

void test_buffer(volatile void *at, size_t size, const void *value, bool release)
{
	struct test_ctx *c = test_self();
	struct test_store *s;

	if (c->nstores == MAX_STORES)
		flush(c, 0);
	s = &c->store[c->nstores++];
	*s = (struct test_store){ .at = at, .size = size, .release = release };
	memcpy(&s->value, value, size); /* little-endian, or as long as a u64 */
	if (!test_scheduled)
		test_drain(c);
}

void test_forward(const volatile void *at, size_t size, void *value)
{
	const struct test_ctx *c = test_self();
	u32 i;

	for (i = c->nstores; i--;) {
		if (c->store[i].at == at) {
			memcpy(value, &c->store[i].value, size);
			return;
		}
	}
}

void test_weak_memory(bool on)
{
	if (test_scheduled)
		test_bug("test_weak_memory() inside test_run_threads()");
	test_weak = on;
}
