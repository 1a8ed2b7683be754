/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What lives, what fails, and memory that tells when it is misused. A block stands
 * between guards that are checked when it is freed; freed ones are poisoned and kept a
 * while, and looked at once more before they really go. Called through os.h. Doesn't
 * touch the pages of a large block.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(HCA_ASAN)
#include <sanitizer/asan_interface.h>
#define CLOSE_TO(at, n) ASAN_POISON_MEMORY_REGION(at, n)
#define OPEN_TO(at, n) ASAN_UNPOISON_MEMORY_REGION(at, n)
#else
#define CLOSE_TO(at, n) ((void)(at), (void)(n))
#define OPEN_TO(at, n) ((void)(at), (void)(n))
#endif

#define GUARD 16u
#define GUARD_BYTE 0xa5
#define POISON 0x6b
#define LARGE ((size_t)1 << 20) /* from here on by mmap() */
#define KEPT 256u /* freed blocks that are remembered */
#define KEEP_MAX ((size_t)64 << 10) /* larger ones go at once */
#define BUCKETS 4096u

/* ---- the list of what lives ---- */

static struct test_obj *oldest, *youngest;
static struct test_obj *bucket[BUCKETS];
static u32 alive;

static struct test_obj **bucket_of(int kind, const void *key)
{
	u64 h = ((u64)(uintptr_t)key + (u32)kind) * 0x9e3779b97f4a7c15ull;

	return &bucket[h >> 32 & (BUCKETS - 1)];
}

void test_track(struct test_obj *o, int kind, const void *key, u64 size)
{
	const struct test_ctx *c = test_self();
	struct test_obj **b = bucket_of(kind, key);

	o->kind = kind;
	o->key = key;
	o->size = size;
	o->file = c->file;
	o->line = c->line;
	o->next = NULL;
	o->prev = youngest;
	if (youngest)
		youngest->next = o;
	else
		oldest = o;
	youngest = o;
	o->chain = *b;
	*b = o;
	alive++;
}

struct test_obj *test_find(int kind, const void *key)
{
	struct test_obj *o = *bucket_of(kind, key);

	while (o && (o->kind != kind || o->key != key))
		o = o->chain;
	return o;
}

void test_untrack(struct test_obj *o)
{
	struct test_obj **b = bucket_of(o->kind, o->key);

	while (*b != o)
		b = &(*b)->chain;
	*b = o->chain;
	if (o->prev)
		o->prev->next = o->next;
	else
		oldest = o->next;
	if (o->next)
		o->next->prev = o->prev;
	else
		youngest = o->prev;
	alive--;
}

struct test_obj *test_oldest(void)
{
	return oldest;
}

/* ---- failures ---- */

static u32 fail_in; /* calls, 0: never */
static bool fail_done;

void test_fail_at(u32 n)
{
	fail_in = n;
	fail_done = false;
}

bool test_fail_hit(void)
{
	return fail_done;
}

bool test_fails(void)
{
	if (!fail_in || --fail_in)
		return false;
	fail_done = true;
	return true;
}

bool test_fail_next(struct test_fail_loop *l)
{
	bool first = !l->n;
	bool hit = test_fail_hit();

	test_fail_at(0);
	if (first) {
		l->lived = alive;
	} else if (alive != l->lived) {
		test_leaks();
		test_bug("%u lived before the round at %s:%d that failed call %u, and %u after it", l->lived, l->file,
			 l->line, l->n, alive);
	}
	if (!first && !hit)
		return false;
	test_fail_at(++l->n);
	return true;
}

/* ---- blocks ---- */

struct block {
	struct test_obj obj;
	void *base; /* what the system gave */
	size_t total;
	bool mapped;
} HCA_ALIGNED(16);

/* A freed block; @b is NULL if it is gone already. */
struct freed {
	const void *mem;
	struct block *b;
	const char *made_file, *freed_file;
	int made_line, freed_line;
};

static struct freed kept[KEPT];
static u32 next_kept;

static struct block *block_of(const void *mem)
{
	return (struct block *)((uintptr_t)mem - GUARD - sizeof(struct block));
}

static bool all_are(const void *at, u8 byte, size_t n)
{
	const u8 *p = at;

	while (n && *p == byte) {
		p++;
		n--;
	}
	return !n;
}

void *hca_alloc(size_t size, unsigned int flags)
{
	struct test_ctx *c = test_enter(TEST_MEMORY);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t lead = size < page ? sizeof(struct block) + GUARD : page;
	size_t total = lead + size + GUARD;
	bool mapped = total >= LARGE;
	struct block *b;
	void *base;
	char *mem;

	if (!size)
		test_bug("hca_alloc() of 0 bytes at %s:%d", c->file, c->line);
	if (flags & HCA_MAY_SLEEP)
		test_atomic_check("hca_alloc");
	if (test_fails() || size > SIZE_MAX / 2)
		return NULL;
	if (mapped) {
		base = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (base == MAP_FAILED)
			return NULL;
	} else {
		if (posix_memalign(&base, size < page ? 16 : page, total))
			return NULL;
		memset(base, 0, total);
	}
	mem = (char *)base + lead;
	b = block_of(mem);
	b->base = base;
	b->total = total;
	b->mapped = mapped;
	memset(mem - GUARD, GUARD_BYTE, GUARD);
	memset(mem + size, GUARD_BYTE, GUARD);
	CLOSE_TO(mem - GUARD, GUARD);
	CLOSE_TO(mem + size, GUARD);
	test_track(&b->obj, OBJ_MEMORY, mem, size);
	return mem;
}

/* A freed block leaves for good. */
static void let_go(struct freed *f)
{
	struct block *b = f->b;
	size_t size;
	bool clean;

	if (!b)
		return;
	f->b = NULL;
	size = (size_t)b->obj.size;
	OPEN_TO(f->mem, size);
	clean = all_are(f->mem, POISON, size);
	free(b->base);
	if (!clean)
		test_bug("memory made at %s:%d was written to after it was freed at %s:%d", f->made_file, f->made_line,
			 f->freed_file, f->freed_line);
}

static void not_live(const struct test_ctx *c, const void *mem)
{
	const struct freed *f;
	u32 i;

	for (i = 1; i <= KEPT; i++) {
		f = &kept[(next_kept + KEPT - i) % KEPT];
		if (f->mem == mem)
			test_bug("freed twice: at %s:%d, and before at %s:%d; made at %s:%d", c->file, c->line,
				 f->freed_file, f->freed_line, f->made_file, f->made_line);
	}
	test_bug("hca_free() at %s:%d of what hca_alloc() did not give", c->file, c->line);
}

/* What is still known to somebody else by its address. */
static void check_unused(const struct test_ctx *c, const void *mem, size_t size)
{
	const struct hca_timer *t = test_timer_within(mem, size);
	const struct held *h = test_held_within(mem, size);

	if (t)
		test_bug("freed at %s:%d with a running timer inside, made at %s:%d", c->file, c->line, t->obj.file,
			 t->obj.line);
	if (h)
		test_bug("freed at %s:%d with a lock inside that is held, taken at %s:%d", c->file, c->line, h->file,
			 h->line);
}

void hca_free(void *mem)
{
	struct test_ctx *c = test_enter(TEST_MEMORY);
	struct test_obj *o;
	struct freed *f;
	struct block *b;
	size_t size;

	if (!mem)
		return;
	o = test_find(OBJ_MEMORY, mem);
	if (!o) {
		not_live(c, mem);
		return;
	}
	b = block_of(mem);
	size = (size_t)o->size;
	OPEN_TO((char *)mem - GUARD, GUARD);
	OPEN_TO((char *)mem + size, GUARD);
	if (!all_are((char *)mem - GUARD, GUARD_BYTE, GUARD) || !all_are((char *)mem + size, GUARD_BYTE, GUARD))
		test_bug("memory of %zu bytes made at %s:%d was written outside its bounds; freed at %s:%d", size,
			 o->file, o->line, c->file, c->line);
	check_unused(c, mem, size);
	test_untrack(o);
	f = &kept[next_kept];
	next_kept = (next_kept + 1) % KEPT;
	let_go(f);
	f->mem = mem;
	f->made_file = o->file;
	f->made_line = o->line;
	f->freed_file = c->file;
	f->freed_line = c->line;
	if (b->mapped) {
		munmap(b->base, b->total);
	} else if (size > KEEP_MAX) {
		free(b->base);
	} else {
		memset(mem, POISON, size);
		CLOSE_TO(mem, size);
		f->b = b;
	}
}

/* ---- the report ---- */

u32 test_live(void)
{
	return alive;
}

u32 test_leaks(void)
{
	static const char *const kind[] = { "memory", "arena", "reservation", "timer" };
	const struct test_obj *o;
	u32 i;

	for (i = 0; i < KEPT; i++)
		let_go(&kept[i]);
	for (o = oldest; o; o = o->next)
		test_say("still there: %s of %llu bytes, made at %s:%d", kind[o->kind], (unsigned long long)o->size,
			 o->file, o->line);
	return alive;
}

void test_memory_reset(void)
{
	struct test_obj *o, *next;
	struct block *b;
	u32 i;

	test_arena_reset();
	for (o = oldest; o; o = next) {
		next = o->next;
		if (o->kind != OBJ_MEMORY)
			continue;
		b = block_of(o->key);
		OPEN_TO(b->base, b->total);
		if (b->mapped)
			munmap(b->base, b->total);
		else
			free(b->base);
	}
	for (i = 0; i < KEPT; i++)
		let_go(&kept[i]);
	memset(kept, 0, sizeof(kept));
	memset(bucket, 0, sizeof(bucket));
	oldest = NULL;
	youngest = NULL;
	alive = 0;
	test_fail_at(0);
}
