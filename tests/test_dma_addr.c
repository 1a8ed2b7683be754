/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a mapped address is (dma/addr.h), which ranges may be mapped (dma/check.h), and the accessors: the software
 * adapter's (dma/soft.h) over an os layer made here, and hca_mem_read/write/copy over an accessor that opens short
 * windows, refuses where it is told to, and watches that windows nest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <errno.h>
#include <cmocka.h>

#include "dma/check.h"
#include "dma/soft.h"
#include "softhca/hca_ledger.h"
#include "why_fixture.h"

#define PAGE HCA_PAGE_SIZE

/* Could this be a virtual address of a machine with so many address bits? Then the rest are copies of the highest. */
static bool canonical(u64 a, unsigned int bits)
{
	u64 top = a >> (bits - 1);

	return top == 0 || top == ~0ull >> (bits - 1);
}

/* The same where the top byte is ignored, with the most address bits there are (52). */
static bool canonical_top_byte_ignored(u64 a)
{
	u64 top = a >> 51 & 0x1f;

	return top == 0 || top == 0x1f;
}

static const u64 some_phys[] = {
	0, 1, 0xfff, 0x1000, 0x40000000, 0xffffffff, 0x100000000, 0x123456789abc, (1ull << 51) - 1, (1ull << 52) - 1,
};

static void tag_carries_a_physical_address(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(some_phys); i++) {
		hca_dma_addr_t a = hca_tag_addr(some_phys[i]);

		assert_true(hca_addr_tagged(a));
		assert_true(hca_tag_phys(a) == some_phys[i]);
		assert_int_equal(hca_dma_errno(a), 0);
	}
}

static void tagged_is_never_virtual(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(some_phys); i++) {
		u64 a = hca_dma_u64(hca_tag_addr(some_phys[i]));

		assert_false(canonical(a, 48));
		assert_false(canonical(a, 57));
		assert_false(canonical_top_byte_ignored(a));
		assert_true(a > UINT32_MAX);
		assert_int_equal(a >> 63, 0);
	}
}

static void virtual_is_never_tagged(void **state)
{
	static char in_data;
	char on_stack;
	u64 a;

	(void)state;
	assert_false(hca_addr_tagged(hca_addr_from_ptr(&in_data)));
	assert_false(hca_addr_tagged(hca_addr_from_ptr(&on_stack)));
	assert_false(hca_addr_tagged(hca_addr_from_ptr(NULL)));
	assert_false(hca_addr_tagged(hca_addr_from_ptr((void *)UINTPTR_MAX)));
	assert_true(hca_addr_to_ptr(hca_addr_from_ptr(&in_data)) == &in_data);
	/* Whatever the low bits: both halves of a 57-bit space, and all of a 32-bit one. */
	for (a = 0; a < 1ull << 57; a += (1ull << 45) + 0x12345678) {
		u64 sign = a >> 56 ? ~0ull << 57 : 0;

		assert_false(hca_addr_tagged(hca_dma_addr(a | sign)));
	}
	for (a = 0; a <= UINT32_MAX; a += 0x10001)
		assert_false(hca_addr_tagged(hca_dma_addr(a)));
}

static void damage_of_one_bit_is_seen(void **state)
{
	size_t i;
	unsigned int bit;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(some_phys); i++)
		for (bit = HCA_TAG_SHIFT; bit < 64; bit++) {
			u64 a = hca_dma_u64(hca_tag_addr(some_phys[i])) ^ 1ull << bit;

			assert_false(hca_addr_tagged(hca_dma_addr(a)));
			assert_false(canonical(a, 48));
			assert_false(canonical(a, 57));
			assert_false(canonical_top_byte_ignored(a));
			assert_true(a > UINT32_MAX);
			assert_int_equal(hca_dma_errno(hca_dma_addr(a)), 0);
		}
}

static void damage_of_two_bits_is_seen(void **state)
{
	unsigned int b1, b2;

	(void)state;
	for (b1 = HCA_TAG_SHIFT; b1 < 64; b1++)
		for (b2 = b1 + 1; b2 < 64; b2++) {
			u64 a = hca_dma_u64(hca_tag_addr(0x40001234)) ^ 1ull << b1 ^ 1ull << b2;

			assert_false(hca_addr_tagged(hca_dma_addr(a)));
			assert_false(canonical(a, 48));
			assert_false(canonical(a, 57));
		}
}

static void cut_to_32_bits_is_seen(void **state)
{
	(void)state;
	assert_false(hca_addr_tagged(hca_dma_addr((u32)hca_dma_u64(hca_tag_addr(0x12345678)))));
}

static void offsets_add_up(void **state)
{
	static const u64 off[] = {
		0, 1, 7, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE - 1, 2ull << 20, 1ull << 30, (1ull << 40) - 1
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(some_phys); i++)
		for (j = 0; j < HCA_ARRAY_SIZE(off); j++) {
			hca_dma_addr_t a = hca_tag_addr(some_phys[i]) + off[j];

			if (some_phys[i] + off[j] > HCA_TAG_PHYS_MASK) {
				/* Past the last byte that a tag can carry: not mistaken for the first. */
				assert_false(hca_addr_tagged(a));
				continue;
			}
			assert_true(hca_addr_tagged(a));
			assert_true(hca_tag_phys(a) == some_phys[i] + off[j]);
			assert_true(a == hca_tag_addr(some_phys[i] + off[j]));
			assert_true(a - off[j] == hca_tag_addr(some_phys[i]));
		}
}

static void errors_are_no_addresses(void **state)
{
	int e;

	(void)state;
	for (e = 1; e <= HCA_MAX_ERRNO; e++) {
		hca_dma_addr_t a = hca_dma_error(-e);

		assert_int_equal(hca_dma_errno(a), -e);
		assert_false(hca_addr_tagged(a));
		assert_true(hca_dma_u64(a) > ~0ull - PAGE);
	}
	assert_int_equal(hca_dma_errno(hca_dma_addr(~0ull)), -1);
	assert_int_equal(hca_dma_errno(hca_dma_addr((u64)-HCA_MAX_ERRNO - 1)), 0);
	assert_int_equal(hca_dma_errno(hca_dma_addr(0)), 0);
	/* A pointer error of a 32-bit machine is an address there, though never one of memory; it isn't taken for an error. */
	assert_int_equal(hca_dma_errno(hca_dma_addr(0xfffffff4u)), 0);
	/* No tagged address is an error either, nor is one with an offset added that stays in reach. */
	assert_int_equal(hca_dma_errno(hca_tag_addr(HCA_TAG_PHYS_MASK)), 0);
}

/* --- the argument check --- */

static void range_never_wraps(void **state)
{
	static const struct {
		u64 off, len, limit;
		bool in;
	} t[] = {
		{ 0, 0, 0, true },
		{ 0, 1, 0, false },
		{ 0, 1, 1, true },
		{ 1, 1, 1, false },
		{ 1, 0, 1, true },
		{ 2, 0, 1, false },
		{ 0, PAGE, PAGE, true },
		{ 1, PAGE, PAGE, false },
		{ PAGE - 1, 1, PAGE, true },
		{ PAGE - 1, 2, PAGE, false },
		{ ~0ull, 1, PAGE, false },
		{ ~0ull, 2, PAGE, false },
		{ 1, ~0ull, PAGE, false },
		{ PAGE, ~0ull - PAGE + 1, PAGE, false },
		{ PAGE, ~0ull - PAGE + 2, PAGE, false },
		{ ~0ull, ~0ull, ~0ull, false },
		{ 0, ~0ull, ~0ull, true },
		{ 1, ~0ull - 1, ~0ull, true },
		{ 1ull << 63, 1ull << 63, PAGE, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(t); i++)
		if (hca_dma_in_range(t[i].off, t[i].len, t[i].limit) != t[i].in)
			fail_msg("row %zu", i);
}

#define LOW (16 * PAGE)
#define ALL (24 * PAGE)

static void one_check_for_all(void **state)
{
	static const struct hca_dma_space both = { .low = LOW, .all = ALL };
	static const struct hca_dma_space low_only = { .low = LOW, .all = LOW };
	static const struct {
		u64 off, size;
		int dir, both, low_only;
	} t[] = {
		{ 0, 1, HCA_DMA_TO_DEVICE, 0, 0 },
		{ 0, 1, HCA_DMA_FROM_DEVICE, 0, 0 },
		{ 0, 1, HCA_DMA_BIDIRECTIONAL, 0, 0 },
		{ 0, 1, HCA_DMA_NONE, -EINVAL, -EINVAL },
		{ 0, 1, -1, -EINVAL, -EINVAL },
		{ 0, 1, 4, -EINVAL, -EINVAL },
		{ 0, 1, INT32_MIN, -EINVAL, -EINVAL },
		{ 0, 1, INT32_MAX, -EINVAL, -EINVAL },
		{ 0, 0, HCA_DMA_TO_DEVICE, -EINVAL, -EINVAL },
		{ LOW, 0, HCA_DMA_TO_DEVICE, -EINVAL, -EINVAL },
		{ ~0ull, 0, HCA_DMA_TO_DEVICE, -EINVAL, -EINVAL },
		{ 0, LOW, HCA_DMA_TO_DEVICE, 0, 0 },
		{ LOW - 1, 1, HCA_DMA_TO_DEVICE, 0, 0 },
		/* from low to high memory */
		{ LOW - 1, 2, HCA_DMA_TO_DEVICE, -EINVAL, -EFAULT },
		{ 0, LOW + 1, HCA_DMA_TO_DEVICE, -EINVAL, -EFAULT },
		{ 0, ALL, HCA_DMA_TO_DEVICE, -EINVAL, -EFAULT },
		{ LOW, 1, HCA_DMA_TO_DEVICE, 0, -EFAULT },
		{ LOW, ALL - LOW, HCA_DMA_TO_DEVICE, 0, -EFAULT },
		{ ALL - 1, 1, HCA_DMA_TO_DEVICE, 0, -EFAULT },
		/* out of the arena, by one byte, by a lot, by wrapping */
		{ ALL - 1, 2, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ LOW, ALL - LOW + 1, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ 0, ALL + 1, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ ALL, 1, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ ~0ull, 1, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ ~0ull, 2, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ 1, ~0ull, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ LOW, ~0ull - LOW + 1, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ LOW, ~0ull - LOW + 2, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ 0, UINT32_MAX, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		{ 0, 1ull << 32, HCA_DMA_TO_DEVICE, -EFAULT, -EFAULT },
		/* a bad direction is said first: it is the caller's whatever the range is */
		{ ALL, 1, HCA_DMA_NONE, -EINVAL, -EINVAL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(t); i++) {
		if (hca_dma_check(&both, t[i].off, t[i].size, t[i].dir) != t[i].both)
			fail_msg("row %zu with high memory", i);
		if (hca_dma_check(&low_only, t[i].off, t[i].size, t[i].dir) != t[i].low_only)
			fail_msg("row %zu without high memory", i);
	}
}

/* --- the software adapter's accessor, over an os layer of three low and two high pages --- */

#define FAKE_LOW (3 * PAGE)
#define FAKE_HIGH (2 * PAGE)
#define FAKE_PHYS 0x40000000ull

struct fake_memory {
	u8 low[FAKE_LOW] HCA_ALIGNED(8);
	u8 high[FAKE_HIGH] HCA_ALIGNED(8);
	int kmapped;
	int kmap_err; /* what kmap fails with, or 0 */
};

static void *fake_virt(void *ctx, u64 addr, u64 len)
{
	struct fake_memory *h = ctx;
	u64 off = addr - (uintptr_t)h->low;

	return hca_dma_in_range(off, len, FAKE_LOW) ? h->low + off : NULL;
}

static void *fake_kmap(void *ctx, u64 pfn, int *err)
{
	struct fake_memory *h = ctx;
	u64 off = (pfn << HCA_PAGE_SHIFT) - FAKE_PHYS;

	*err = -EFAULT;
	if (off >= FAKE_LOW + FAKE_HIGH)
		return NULL;
	*err = h->kmap_err;
	if (*err)
		return NULL;
	h->kmapped++;
	return off < FAKE_LOW ? h->low + off : h->high + (off - FAKE_LOW);
}

static void fake_kunmap(void *ctx, void *at)
{
	struct fake_memory *h = ctx;

	assert_int_equal((uintptr_t)at % sizeof(u64), 0);
	h->kmapped--;
}

static const struct hca_soft_ops fake_ops = { .virt = fake_virt, .kmap = fake_kmap, .kunmap = fake_kunmap };

static void soft_maps_without_keeping_anything(void **state)
{
	static struct fake_memory h;
	struct hca_soft soft;

	(void)state;
	hca_soft_init(&soft, &fake_ops, &h, HCA_SOFT_TAGGED);
	assert_true(hca_soft_map(&soft, h.low + 5, FAKE_PHYS + 5) == hca_addr_from_ptr(h.low + 5));
	assert_true(hca_soft_map(&soft, NULL, FAKE_PHYS + FAKE_LOW + 5) == hca_tag_addr(FAKE_PHYS + FAKE_LOW + 5));
	REFUSED(hca_dma_errno(hca_soft_map(&soft, NULL, 1ull << 52)), -EFAULT,
		"no tag carries the physical address 0x10000000000000");
	assert_int_equal(hca_dma_errno(hca_soft_map(&soft, NULL, ~0ull)), -EFAULT);
	assert_int_equal(hca_dma_errno(hca_soft_map(&soft, NULL, HCA_TAG_PHYS_MASK)), 0);
	hca_soft_init(&soft, &fake_ops, &h, HCA_SOFT_REFUSE);
	assert_true(hca_soft_map(&soft, h.low + 5, FAKE_PHYS + 5) == hca_addr_from_ptr(h.low + 5));
	assert_int_equal(hca_dma_errno(hca_soft_map(&soft, NULL, FAKE_PHYS + FAKE_LOW + 5)), -EOPNOTSUPP);
	REFUSED(hca_dma_errno(hca_soft_map(&soft, NULL, ~0ull)), -EOPNOTSUPP,
		"map refused: high memory, which this device");
}

/* Whatever the memory held before: every field is set, so two that are made alike are alike. */
static void soft_init_sets_every_field(void **state)
{
	const size_t fields = offsetof(struct hca_soft, highmem) + sizeof(enum hca_soft_highmem);
	struct hca_soft a, b;

	(void)state;
	memset(&a, 0x5a, sizeof(a));
	memset(&b, 0xa5, sizeof(b));
	hca_soft_init(&a, &fake_ops, NULL, HCA_SOFT_TAGGED);
	hca_soft_init(&b, &fake_ops, NULL, HCA_SOFT_TAGGED);
	assert_memory_equal(&a, &b, fields);
}

static void soft_moves_bytes(void **state)
{
	static struct fake_memory h;
	static u8 in[FAKE_HIGH], out[FAKE_HIGH];
	struct hca_soft soft;
	u64 off, len;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (u8)(i * 7 + (i >> 8));
	hca_soft_init(&soft, &fake_ops, &h, HCA_SOFT_TAGGED);
	for (off = 0; off < FAKE_HIGH; off += 511)
		for (len = 1; len <= FAKE_HIGH - off; len += 1021) {
			hca_dma_addr_t a = hca_tag_addr(FAKE_PHYS + FAKE_LOW) + off;

			memset(h.high, 0xee, sizeof(h.high));
			memset(out, 0, sizeof(out));
			assert_int_equal(hca_mem_write(&soft.mem, a, in, len, NULL), 0);
			assert_memory_equal(h.high + off, in, len);
			assert_true(!off || h.high[off - 1] == 0xee);
			assert_true(off + len == FAKE_HIGH || h.high[off + len] == 0xee);
			assert_int_equal(hca_mem_read(&soft.mem, a, out, len, NULL), 0);
			assert_memory_equal(out, in, len);
			assert_int_equal(h.kmapped, 0);
		}
	assert_int_equal(hca_mem_write(&soft.mem, hca_addr_from_ptr(h.low), in, FAKE_HIGH, NULL), 0);
	assert_memory_equal(h.low, in, FAKE_HIGH);
	/* from high to low memory and, over the same adapter, from high to high */
	assert_int_equal(hca_mem_copy(&soft.mem, hca_addr_from_ptr(h.low + 100), &soft.mem,
				      hca_tag_addr(FAKE_PHYS + FAKE_LOW + 50), PAGE + 10, NULL, NULL),
			 0);
	assert_memory_equal(h.low + 100, h.high + 50, PAGE + 10);
	assert_int_equal(h.kmapped, 0);
}

static void soft_refuses(void **state)
{
	static struct fake_memory h;
	u8 buf[16] = { 0 };
	struct hca_soft soft;
	hca_dma_addr_t high = hca_tag_addr(FAKE_PHYS + FAKE_LOW), low = hca_addr_from_ptr(h.low);
	unsigned int bit;

	(void)state;
	hca_soft_init(&soft, &fake_ops, &h, HCA_SOFT_TAGGED);
	for (bit = HCA_TAG_SHIFT; bit < 64; bit++) {
		hca_dma_addr_t bad = hca_dma_addr(hca_dma_u64(high) ^ 1ull << bit);

		assert_int_equal(hca_mem_read(&soft.mem, bad, buf, 8, NULL), -EFAULT);
		assert_int_equal(hca_mem_write(&soft.mem, bad, buf, 8, NULL), -EFAULT);
		bad = hca_dma_addr(hca_dma_u64(low) ^ 1ull << bit);
		assert_int_equal(hca_mem_read(&soft.mem, bad, buf, 8, NULL), -EFAULT);
	}
	assert_int_equal(hca_mem_read(&soft.mem, hca_addr_from_ptr(NULL), buf, 8, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, hca_addr_from_ptr(buf), buf, 8, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, hca_dma_error(-ENOMEM), buf, 8, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, hca_dma_addr(~0ull), buf, 1, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, low + FAKE_LOW - 1, buf, 2, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, low + (1ull << 32), buf, 2, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, low, buf, ~0ull, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, hca_tag_addr(FAKE_PHYS - 1), buf, 1, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, high + FAKE_HIGH - 1, buf, 2, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, high + FAKE_HIGH, buf, 1, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, hca_tag_addr(HCA_TAG_PHYS_MASK), buf, 2, NULL), -EFAULT);
	h.kmap_err = -ENOMEM;
	assert_int_equal(hca_mem_read(&soft.mem, high, buf, 8, NULL), -ENOMEM);
	assert_int_equal(hca_mem_copy(&soft.mem, high, &soft.mem, low, 8, NULL, NULL), -ENOMEM);
	h.kmap_err = 0;
	hca_soft_init(&soft, &fake_ops, &h, HCA_SOFT_REFUSE);
	assert_int_equal(hca_mem_read(&soft.mem, high, buf, 8, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&soft.mem, low, buf, 8, NULL), 0);
	assert_int_equal(h.kmapped, 0);
}

/* --- hca_mem_* over an accessor that is made to be awkward --- */

#define FAKE_BASE 0x100000ull
#define FAKE_BYTES 4096u

struct fake_mem {
	struct hca_mem mem;
	u8 bytes[FAKE_BYTES] HCA_ALIGNED(8);
	u64 base;
	u64 window; /* longest window it opens */
	u64 bad_from; /* offset from which on it refuses */
	int err;
	int opens, closes;
};

/* Windows that are open, over all accessors: the last opened must be closed first. */
static void *open_windows[4];
static int nopen, deepest;

static int fake_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	struct fake_mem *f = hca_container_of(mem, struct fake_mem, mem);
	u64 off = hca_dma_u64(addr) - f->base;

	assert_true(len > 0);
	assert_true(access == HCA_MEM_READ || access == HCA_MEM_WRITE || access == HCA_MEM_RMW);
	if (off >= FAKE_BYTES)
		return -EFAULT;
	if (off >= f->bad_from)
		return f->err;
	assert_true(nopen < 4);
	f->opens++;
	w->ptr = f->bytes + off;
	w->len = HCA_MIN(HCA_MIN(len, f->window), HCA_MIN(FAKE_BYTES, f->bad_from) - off);
	w->cookie = (uintptr_t)w->ptr;
	open_windows[nopen++] = w->ptr;
	deepest = HCA_MAX(deepest, nopen);
	return 0;
}

static void fake_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	struct fake_mem *f = hca_container_of(mem, struct fake_mem, mem);

	assert_true(nopen > 0);
	assert_ptr_equal(open_windows[nopen - 1], w->ptr);
	assert_int_equal(w->cookie, (uintptr_t)w->ptr);
	nopen--;
	f->closes++;
}

static const struct hca_mem_ops fake_mem_ops = { .open = fake_open, .close = fake_close };

static void fake_mem_init(struct fake_mem *f, u64 window)
{
	size_t i;

	memset(f, 0, sizeof(*f));
	f->mem.ops = &fake_mem_ops;
	f->base = FAKE_BASE;
	f->window = window;
	f->bad_from = ~0ull;
	for (i = 0; i < FAKE_BYTES; i++)
		f->bytes[i] = (u8)(i ^ i >> 5);
	nopen = deepest = 0;
}

static void all_closed(const struct fake_mem *f)
{
	assert_int_equal(nopen, 0);
	assert_int_equal(f->opens, f->closes);
}

static void short_windows(void **state)
{
	static const u64 window[] = { 1, 2, 3, 7, 64, 511, 4096, ~0ull };
	static struct fake_mem d, s;
	static u8 own[FAKE_BYTES], before[FAKE_BYTES];
	size_t i, j;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(window); i++) {
		fake_mem_init(&s, window[i]);
		memset(own, 0xaa, sizeof(own));
		assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(FAKE_BASE + 13), own, 1001, NULL), 0);
		assert_memory_equal(own, s.bytes + 13, 1001);
		assert_int_equal(own[1001], 0xaa);
		all_closed(&s);
		assert_int_equal(s.opens, (1001 + HCA_MIN(window[i], 1001) - 1) / HCA_MIN(window[i], 1001));

		memcpy(before, s.bytes, sizeof(before));
		assert_int_equal(hca_mem_write(&s.mem, hca_dma_addr(FAKE_BASE + 2000), own, 999, NULL), 0);
		assert_memory_equal(s.bytes, before, 2000);
		assert_memory_equal(s.bytes + 2000, own, 999);
		assert_memory_equal(s.bytes + 2999, before + 2999, FAKE_BYTES - 2999);
		all_closed(&s);

		for (j = 0; j < HCA_ARRAY_SIZE(window); j++) {
			bool failed = false;

			fake_mem_init(&s, window[i]);
			fake_mem_init(&d, window[j]);
			memset(d.bytes, 0x55, sizeof(d.bytes));
			assert_int_equal(hca_mem_copy(&d.mem, hca_dma_addr(FAKE_BASE + 77), &s.mem,
						      hca_dma_addr(FAKE_BASE + 5), 2003, NULL, &failed),
					 0);
			assert_false(failed); /* set on an error alone */
			assert_memory_equal(d.bytes + 77, s.bytes + 5, 2003);
			assert_int_equal(d.bytes[76], 0x55);
			assert_int_equal(d.bytes[77 + 2003], 0x55);
			all_closed(&s);
			all_closed(&d);
			assert_int_equal(deepest, 2);
		}
	}
}

static void nothing_to_move(void **state)
{
	static struct fake_mem d, s;
	bool failed = true;

	(void)state;
	fake_mem_init(&s, 8);
	fake_mem_init(&d, 8);
	/* No byte is touched, so no address is looked at: as a work request of length 0. */
	assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(0), NULL, 0, NULL), 0);
	assert_int_equal(hca_mem_write(&s.mem, hca_dma_addr(~0ull), NULL, 0, NULL), 0);
	assert_int_equal(hca_mem_copy(&d.mem, hca_dma_error(-EIO), &s.mem, hca_dma_addr(0), 0, NULL, &failed), 0);
	assert_true(failed);
	assert_int_equal(s.opens + d.opens, 0);
}

static void errors_in_the_middle(void **state)
{
	static const int errs[] = { -EFAULT, -ENOMEM };
	static struct fake_mem d, s;
	static u8 own[FAKE_BYTES];
	u64 at;
	size_t i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(errs); i++)
		for (at = 0; at <= 300; at += 30) {
			bool failed = true;
			int want = at < 300 ? errs[i] : 0;

			fake_mem_init(&s, 16);
			s.bad_from = at;
			s.err = errs[i];
			memset(own, 0xaa, sizeof(own));
			assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(FAKE_BASE), own, 300, NULL), want);
			assert_memory_equal(own, s.bytes, at);
			assert_int_equal(own[at], 0xaa);
			all_closed(&s);
			fake_mem_init(&s, 16);
			s.bad_from = at;
			s.err = errs[i];
			assert_int_equal(hca_mem_write(&s.mem, hca_dma_addr(FAKE_BASE), own, 300, NULL), want);
			all_closed(&s);

			fake_mem_init(&s, 16);
			fake_mem_init(&d, 7);
			s.bad_from = at;
			s.err = errs[i];
			assert_int_equal(hca_mem_copy(&d.mem, hca_dma_addr(FAKE_BASE), &s.mem, hca_dma_addr(FAKE_BASE),
						      300, NULL, &failed),
					 want);
			assert_int_equal(failed, !want);
			assert_memory_equal(d.bytes, s.bytes, at);
			all_closed(&s);
			all_closed(&d);

			fake_mem_init(&s, 7);
			fake_mem_init(&d, 16);
			d.bad_from = at;
			d.err = errs[i];
			failed = false;
			assert_int_equal(hca_mem_copy(&d.mem, hca_dma_addr(FAKE_BASE), &s.mem, hca_dma_addr(FAKE_BASE),
						      300, NULL, &failed),
					 want);
			assert_int_equal(failed, !!want);
			all_closed(&s);
			all_closed(&d);
		}
	/* Nobody has to ask who it was. */
	assert_int_equal(hca_mem_copy(&d.mem, hca_dma_addr(0), &s.mem, hca_dma_addr(FAKE_BASE), 1, NULL, NULL),
			 -EFAULT);
}

static void wraps_are_refused_before_a_byte_moves(void **state)
{
	static struct fake_mem d, s;
	static u8 own[FAKE_BYTES];
	bool failed = false;

	(void)state;
	fake_mem_init(&s, 16);
	fake_mem_init(&d, 16);
	s.base = d.base = ~0ull - FAKE_BYTES + 1; /* the last bytes there are: an accessor that would go along */
	assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(~0ull), own, 2, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(~0ull - 10), own, 12, NULL), -EFAULT);
	assert_int_equal(hca_mem_write(&s.mem, hca_dma_addr(~0ull - 10), own, 12, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(1), own, ~0ull, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(2), own, ~0ull, NULL), -EFAULT);
	assert_int_equal(hca_mem_copy(&d.mem, hca_dma_addr(d.base), &s.mem, hca_dma_addr(~0ull - 10), 12, NULL,
				      &failed),
			 -EFAULT);
	assert_false(failed);
	assert_int_equal(s.opens, 0);
	assert_int_equal(hca_mem_copy(&d.mem, hca_dma_addr(~0ull - 10), &s.mem, hca_dma_addr(s.base), 12, NULL,
				      &failed),
			 -EFAULT);
	assert_true(failed);
	assert_int_equal(d.opens, 0);
	all_closed(&s);
	/* Up to the very last byte is no wrap. */
	assert_int_equal(hca_mem_read(&s.mem, hca_dma_addr(~0ull - 10), own, 11, NULL), 0);
	assert_memory_equal(own, s.bytes + FAKE_BYTES - 11, 11);
}

static void copy_over_itself(void **state)
{
	static struct fake_mem s;
	u8 want[64];

	(void)state;
	/* Within one window it is a move, as memmove() has it. */
	fake_mem_init(&s, FAKE_BYTES);
	memcpy(want, s.bytes + 10, sizeof(want));
	assert_int_equal(hca_mem_copy(&s.mem, hca_dma_addr(FAKE_BASE + 20), &s.mem, hca_dma_addr(FAKE_BASE + 10),
				      sizeof(want), NULL, NULL),
			 0);
	assert_memory_equal(s.bytes + 20, want, sizeof(want));
	all_closed(&s);
}

static int atomic_at(struct fake_mem *f, u64 off, enum hca_atomic op, u64 arg, u64 swap, u64 *old)
{
	return hca_mem_atomic(&f->mem, hca_dma_addr(FAKE_BASE + off), op, arg, swap, old, NULL);
}

static void atomics(void **state)
{
	static struct fake_mem s;
	u64 old = 77, now, init = 0x0123456789abcdef;
	const u64 off = 16;

	(void)state;
	fake_mem_init(&s, FAKE_BYTES);
	memcpy(s.bytes + off, &init, 8);
	assert_int_equal(atomic_at(&s, off, HCA_ATOMIC_FETCH_ADD, 1, 0, &old), 0);
	assert_true(old == init);
	assert_int_equal(atomic_at(&s, off, HCA_ATOMIC_FETCH_ADD, ~0ull, 0, &old), 0);
	assert_true(old == init + 1);
	/* doesn't compare: stays */
	assert_int_equal(atomic_at(&s, off, HCA_ATOMIC_CMP_SWAP, init + 1, 5, &old), 0);
	assert_true(old == init);
	assert_int_equal(atomic_at(&s, off, HCA_ATOMIC_CMP_SWAP, init, 5, &old), 0);
	assert_true(old == init);
	memcpy(&now, s.bytes + off, 8);
	assert_true(now == 5);
	all_closed(&s);
	/* Refused: nothing is set, nothing is changed. */
	old = 77;
	for (now = 1; now < 8; now++)
		assert_int_equal(atomic_at(&s, off + now, HCA_ATOMIC_FETCH_ADD, 1, 0, &old), -EINVAL);
	assert_int_equal(atomic_at(&s, 2 * FAKE_BYTES, HCA_ATOMIC_FETCH_ADD, 1, 0, &old), -EFAULT);
	assert_int_equal(atomic_at(&s, 0 - FAKE_BASE - 8, HCA_ATOMIC_FETCH_ADD, 1, 0, &old), -EFAULT);
	s.window = 4; /* an accessor that shows half a word */
	assert_int_equal(atomic_at(&s, off, HCA_ATOMIC_FETCH_ADD, 1, 0, &old), -EFAULT);
	assert_true(old == 77);
	memcpy(&now, s.bytes + off, 8);
	assert_true(now == 5);
	all_closed(&s);
}

/* --- memory without windows: runs and atomics by calls --- */

struct far_mem {
	struct hca_mem mem;
	u8 bytes[FAKE_BYTES];
	u32 calls, runs;
	u64 bad_from;
};

static struct far_mem *far_of(struct hca_mem *mem)
{
	return (struct far_mem *)((u8 *)mem - offsetof(struct far_mem, mem));
}

static int far_vector(struct hca_mem *mem, const struct hca_mem_run *runs, u32 n, void *own, enum hca_mem_op op)
{
	struct far_mem *f = far_of(mem);
	u8 *at = own;
	u32 i;

	f->calls++;
	assert_in_range(n, 1, HCA_MEM_RUNS);
	for (i = 0; i < n; i++) {
		u64 off = hca_dma_u64(runs[i].addr) - FAKE_BASE;

		f->runs++;
		if (off + runs[i].len > f->bad_from)
			return -EFAULT;
		if (op == HCA_MEM_READ)
			memcpy(at, f->bytes + off, runs[i].len);
		else
			memcpy(f->bytes + off, at, runs[i].len);
		at += runs[i].len;
	}
	return 0;
}

static int far_atomic(struct hca_mem *mem, hca_dma_addr_t addr, enum hca_atomic op, u64 arg, u64 swap, u64 *old)
{
	struct far_mem *f = far_of(mem);
	u64 off = hca_dma_u64(addr) - FAKE_BASE, now;

	f->calls++;
	memcpy(old, f->bytes + off, 8);
	now = op == HCA_ATOMIC_FETCH_ADD ? *old + arg : *old == arg ? swap : *old;
	memcpy(f->bytes + off, &now, 8);
	return 0;
}

static const struct hca_mem_ops far_ops = { .vector = far_vector, .atomic = far_atomic };

static void far_init(struct far_mem *f)
{
	u32 i;

	memset(f, 0, sizeof(*f));
	f->mem.ops = &far_ops;
	f->bad_from = FAKE_BYTES;
	for (i = 0; i < FAKE_BYTES; i++)
		f->bytes[i] = (u8)(7 * i + 1);
}

static void calls_instead_of_windows(void **state)
{
	struct hca_mem_run runs[3] = { { hca_dma_addr(FAKE_BASE + 100), 10 },
				       { hca_dma_addr(FAKE_BASE + 7), 1 },
				       { hca_dma_addr(FAKE_BASE + 200), 20 } };
	static struct far_mem f, g;
	static struct fake_mem w;
	u8 own[31], again[31];
	u64 old, value = 5;
	bool failed;

	(void)state;
	far_init(&f);
	assert_int_equal(hca_mem_vector(&f.mem, runs, 3, own, HCA_MEM_READ, NULL), 0);
	assert_int_equal(f.calls, 1);
	assert_int_equal(f.runs, 3);
	assert_memory_equal(own, f.bytes + 100, 10);
	assert_int_equal(own[10], f.bytes[7]);
	assert_memory_equal(own + 11, f.bytes + 200, 20);
	/* With windows it is the same bytes. */
	fake_mem_init(&w, 7);
	memcpy(w.bytes, f.bytes, 300);
	assert_int_equal(hca_mem_vector(&w.mem, runs, 3, again, HCA_MEM_READ, NULL), 0);
	assert_memory_equal(own, again, 31);
	memset(own, 0x5a, sizeof(own));
	assert_int_equal(hca_mem_vector(&f.mem, runs, 3, own, HCA_MEM_WRITE, NULL), 0);
	assert_memory_equal(f.bytes + 100, own, 10);
	assert_int_equal(f.bytes[99], (u8)(7 * 99 + 1));
	assert_int_equal(f.bytes[110], (u8)(7 * 110 + 1));
	/* Runs that wrap are refused before anything moves; the accessor's own error comes back. */
	runs[2].addr = hca_dma_addr(~0ull - 5);
	f.calls = 0;
	assert_int_equal(hca_mem_vector(&f.mem, runs, 3, own, HCA_MEM_WRITE, NULL), -EFAULT);
	assert_int_equal(f.calls, 0);
	f.bad_from = 105;
	assert_int_equal(hca_mem_vector(&f.mem, runs, 1, own, HCA_MEM_READ, NULL), -EFAULT);
	assert_int_equal(hca_mem_read(&f.mem, runs[0].addr, own, 10, NULL), -EFAULT);
	f.bad_from = FAKE_BYTES;
	/* Reads, writes and copies between two of them, and with one that has windows. */
	assert_int_equal(hca_mem_write(&f.mem, hca_dma_addr(FAKE_BASE), "abc", 3, NULL), 0);
	assert_memory_equal(f.bytes, "abc", 3);
	far_init(&g);
	assert_int_equal(hca_mem_copy(&g.mem, hca_dma_addr(FAKE_BASE + 50), &f.mem, hca_dma_addr(FAKE_BASE), 3, NULL,
				      &failed),
			 0);
	assert_memory_equal(g.bytes + 50, "abc", 3);
	assert_int_equal(hca_mem_copy(&w.mem, hca_dma_addr(FAKE_BASE + 9), &g.mem, hca_dma_addr(FAKE_BASE + 50), 3,
				      NULL, &failed),
			 0);
	assert_memory_equal(w.bytes + 9, "abc", 3);
	memcpy(f.bytes + 16, &value, 8);
	assert_int_equal(hca_mem_atomic(&f.mem, hca_dma_addr(FAKE_BASE + 16), HCA_ATOMIC_FETCH_ADD, 3, 0, &old, NULL),
			 0);
	assert_int_equal(old, 5);
	assert_int_equal(hca_mem_atomic(&f.mem, hca_dma_addr(FAKE_BASE + 16), HCA_ATOMIC_CMP_SWAP, 8, 99, &old, NULL),
			 0);
	assert_int_equal(old, 8);
	memcpy(&value, f.bytes + 16, 8);
	assert_int_equal(value, 99);
	assert_int_equal(hca_mem_atomic(&f.mem, hca_dma_addr(FAKE_BASE + 17), HCA_ATOMIC_CMP_SWAP, 8, 99, &old, NULL),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tag_carries_a_physical_address),
		cmocka_unit_test(tagged_is_never_virtual),
		cmocka_unit_test(virtual_is_never_tagged),
		cmocka_unit_test(damage_of_one_bit_is_seen),
		cmocka_unit_test(damage_of_two_bits_is_seen),
		cmocka_unit_test(cut_to_32_bits_is_seen),
		cmocka_unit_test(offsets_add_up),
		cmocka_unit_test(errors_are_no_addresses),
		cmocka_unit_test(range_never_wraps),
		cmocka_unit_test(one_check_for_all),
		cmocka_unit_test(soft_maps_without_keeping_anything),
		cmocka_unit_test(soft_init_sets_every_field),
		cmocka_unit_test(soft_moves_bytes),
		cmocka_unit_test(soft_refuses),
		cmocka_unit_test(short_windows),
		cmocka_unit_test(calls_instead_of_windows),
		cmocka_unit_test(nothing_to_move),
		cmocka_unit_test(errors_in_the_middle),
		cmocka_unit_test(wraps_are_refused_before_a_byte_moves),
		cmocka_unit_test(copy_over_itself),
		cmocka_unit_test(atomics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
