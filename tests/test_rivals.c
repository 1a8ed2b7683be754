/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The rivals of bench/ beside the software device: what all of them do as they should, and which habits of upper
 * layers break which. A habit may work, be refused by somebody, or, worst, lead to other memory without a word.
 */
#include "../bench/rival.h"
#include "backends.h"
#include "no_leaks.h"

static int ours_create(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		       struct ib_device **out)
{
	return ipath_create(dma_device, name, IPATH_HIGHMEM_TAGGED, config, out);
}

static const struct rival ours = { .name = "ours", .create = ours_create, .destroy = ipath_destroy };

enum { OURS, BUDDY, POINTER, INDEX, CONTENDERS };

static const struct rival *const contenders[] = { &ours, &rival_buddy, &rival_pointer, &rival_index };

#define PAGES 4u
#define CROWD_ORDER 6
#define CROWD (1u << CROWD_ORDER)
/* Past other pages' structures, whose size is 12 or 16 bytes, and below CROWD. */
#define STEP 48u

/* struct field - a machine with one contender's device; low[] and high[] follow each other in memory */
struct field {
	struct machine *m;
	struct device *dev;
	struct ib_device *ib;
	const struct rival *who;
	struct page *low, *high;
	struct scatterlist sgl[PAGES];
};

static void field_open(struct field *f, int who)
{
	struct machine_attr attr = { .name = "field", .low_bytes = LOW_BYTES, .high_bytes = HIGH_BYTES };
	struct device_attr da = { .name = "bus0" };
	u8 bytes[PAGES * PAGE_SIZE];
	u32 i;

	f->who = contenders[who];
	assert_int_equal(machine_create(&attr, &f->m), 0);
	assert_int_equal(device_create(f->m, &da, &f->dev), 0);
	assert_int_equal(f->who->create(f->dev, f->who->name, NULL, &f->ib), 0);
	f->low = machine_alloc_pages(f->m, GFP_KERNEL, 2);
	f->high = machine_alloc_pages(f->m, GFP_HIGHUSER, 2);
	assert_non_null(f->low);
	assert_non_null(f->high);
	assert_true(PageHighMem(f->high));
	fill_pattern(bytes, sizeof(bytes), 1);
	cpu_put(f->low, 0, bytes, sizeof(bytes));
	fill_pattern(bytes, sizeof(bytes), 2);
	cpu_put(f->high, 0, bytes, sizeof(bytes));
	/* Backwards, so that no two entries could be merged. */
	sg_init_table(f->sgl, PAGES);
	for (i = 0; i < PAGES; i++)
		sg_set_page(&f->sgl[i], nth_page(f->low, PAGES - 1 - i), 1024, 256 * i);
}

static void field_close(struct field *f)
{
	__free_pages(f->low, 2);
	__free_pages(f->high, 2);
	assert_int_equal(f->who->destroy(f->ib), 0);
	device_destroy(f->dev);
	assert_int_equal(machine_destroy(f->m), 0);
}

enum outcome { WORKS, REFUSED, OTHER_MEMORY };

static const char *const outcome_names[] = { "works", "refused", "other memory" };

/* Does the adapter find at @addr what the CPU finds @off bytes into @page? */
static enum outcome reaches(struct field *f, dma_addr_t addr, struct page *page, u64 off, size_t len)
{
	static u8 want[PAGES * PAGE_SIZE], got[PAGES * PAGE_SIZE];

	if (ib_dma_mapping_error(f->ib, addr) || ib_dma_read(f->ib, addr, got, len))
		return REFUSED;
	cpu_get(page, off, want, len);
	return memcmp(want, got, len) ? OTHER_MEMORY : WORKS;
}

static void unmap_page(struct field *f, dma_addr_t addr, size_t size)
{
	if (!ib_dma_mapping_error(f->ib, addr))
		ib_dma_unmap_page(f->ib, addr, size, DMA_TO_DEVICE);
}

/* --- habits --- */

static enum outcome single_plus_offset(struct field *f)
{
	dma_addr_t a = ib_dma_map_single(f->ib, (char *)page_address(f->low) + 3, 2000, DMA_TO_DEVICE);
	enum outcome o = reaches(f, a + 100, f->low, 103, 500);

	ib_dma_unmap_single(f->ib, a, 2000, DMA_TO_DEVICE);
	return o;
}

static enum outcome whole_page(struct field *f, struct page *page, u64 step)
{
	dma_addr_t a = ib_dma_map_page(f->ib, page, 8, 4000, DMA_TO_DEVICE);
	enum outcome o = reaches(f, a + step, page, 8 + step, 300);

	unmap_page(f, a, 4000);
	return o;
}

static enum outcome high_page(struct field *f)
{
	return whole_page(f, f->high, 0);
}

static enum outcome low_page_plus_offset(struct field *f)
{
	return whole_page(f, f->low, 100);
}

static enum outcome high_page_plus_offset(struct field *f)
{
	return whole_page(f, f->high, 100);
}

/* The same with other pages mapped beside it, as there are in any real program. */
static enum outcome offset_in_a_crowd(struct field *f)
{
	struct page *page = machine_alloc_pages(f->m, GFP_KERNEL, CROWD_ORDER);
	static u8 bytes[CROWD * PAGE_SIZE];
	dma_addr_t a[CROWD];
	enum outcome o;
	u32 i;

	assert_non_null(page);
	fill_pattern(bytes, sizeof(bytes), 3);
	cpu_put(page, 0, bytes, sizeof(bytes));
	for (i = 0; i < CROWD; i++)
		a[i] = ib_dma_map_page(f->ib, nth_page(page, i), 0, PAGE_SIZE, DMA_TO_DEVICE);
	o = reaches(f, a[0] + STEP, page, STEP, 64);
	for (i = 0; i < CROWD; i++)
		unmap_page(f, a[i], PAGE_SIZE);
	__free_pages(page, CROWD_ORDER);
	return o;
}

/* The engine itself goes on by addition, page by page where it must show them one by one. */
static enum outcome long_high_range(struct field *f)
{
	dma_addr_t a = ib_dma_map_page(f->ib, f->high, 0, 3 * PAGE_SIZE, DMA_TO_DEVICE);
	enum outcome o = reaches(f, a, f->high, 0, 3 * PAGE_SIZE);

	unmap_page(f, a, 3 * PAGE_SIZE);
	return o;
}

/* Fast registration takes pages, so their numbers are cut out of addresses, and the offset is added back later. */
static enum outcome page_of_address(struct field *f)
{
	dma_addr_t a = ib_dma_map_page(f->ib, f->low, 500, 1000, DMA_TO_DEVICE);
	enum outcome o = reaches(f, hca_dma_addr((hca_dma_u64(a) & PAGE_MASK) + 500), f->low, 500, 100);

	unmap_page(f, a, 1000);
	return o;
}

static enum outcome through_list(struct field *f, struct scatterlist *read, u64 step)
{
	enum outcome o;

	assert_int_equal(ib_dma_map_sg(f->ib, f->sgl, PAGES, DMA_TO_DEVICE), PAGES);
	if (read != f->sgl)
		memcpy(read, f->sgl, sizeof(f->sgl));
	o = reaches(f, ib_sg_dma_address(f->ib, &read[2]) + step, sg_page(&f->sgl[2]), f->sgl[2].offset + step, 64);
	if (o == WORKS && ib_sg_dma_len(f->ib, &read[2]) != f->sgl[2].length)
		o = OTHER_MEMORY;
	ib_dma_unmap_sg(f->ib, f->sgl, PAGES, DMA_TO_DEVICE);
	return o;
}

static enum outcome plain_list(struct field *f)
{
	return through_list(f, f->sgl, 0);
}

static enum outcome list_plus_offset(struct field *f)
{
	return through_list(f, f->sgl, 100);
}

static enum outcome copied_list(struct field *f)
{
	struct scatterlist copy[PAGES];

	return through_list(f, copy, 0);
}

/* Two commands over one list, the first of which is done. */
static enum outcome list_mapped_twice(struct field *f)
{
	enum outcome o;

	assert_int_equal(ib_dma_map_sg(f->ib, f->sgl, PAGES, DMA_TO_DEVICE), PAGES);
	assert_int_equal(ib_dma_map_sg(f->ib, f->sgl, PAGES, DMA_TO_DEVICE), PAGES);
	ib_dma_unmap_sg(f->ib, f->sgl, PAGES, DMA_TO_DEVICE);
	o = reaches(f, ib_sg_dma_address(f->ib, &f->sgl[1]), sg_page(&f->sgl[1]), f->sgl[1].offset, 64);
	ib_dma_unmap_sg(f->ib, f->sgl, PAGES, DMA_TO_DEVICE);
	return o;
}

static const struct habit {
	const char *name;
	enum outcome (*run)(struct field *f);
	enum outcome expect[CONTENDERS];
} habits[] = {
	{ "a list's addresses", plain_list, { WORKS, WORKS, WORKS, WORKS } },
	{ "address of a buffer + offset", single_plus_offset, { WORKS, WORKS, WORKS, WORKS } },
	{ "a page of high memory", high_page, { WORKS, REFUSED, WORKS, WORKS } },
	{ "address of a low page + offset", low_page_plus_offset, { WORKS, WORKS, REFUSED, REFUSED } },
	{ "address of a high page + offset", high_page_plus_offset, { WORKS, REFUSED, REFUSED, REFUSED } },
	{ "the same among other pages", offset_in_a_crowd, { WORKS, WORKS, OTHER_MEMORY, OTHER_MEMORY } },
	{ "address of a list's entry + offset", list_plus_offset, { WORKS, WORKS, REFUSED, REFUSED } },
	{ "several high pages as one range", long_high_range, { WORKS, REFUSED, REFUSED, REFUSED } },
	{ "the page that an address lies in", page_of_address, { WORKS, WORKS, REFUSED, REFUSED } },
	{ "a copy of the list", copied_list, { WORKS, REFUSED, WORKS, WORKS } },
	{ "one list mapped twice", list_mapped_twice, { WORKS, REFUSED, REFUSED, REFUSED } },
};

static void which_habit_breaks_which(void **state)
{
	struct field f;
	size_t h;
	int who;

	(void)state;
	for (who = 0; who < CONTENDERS; who++) {
		for (h = 0; h < HCA_ARRAY_SIZE(habits); h++) {
			enum outcome o;

			field_open(&f, who);
			o = habits[h].run(&f);
			if (o != habits[h].expect[who])
				fail_msg("%s, %s: %s, not %s", f.who->name, habits[h].name, outcome_names[o],
					 outcome_names[habits[h].expect[who]]);
			field_close(&f);
		}
	}
}

/* --- what all of them do --- */

static void for_all(void (*run)(struct field *f))
{
	struct field f;
	int who;

	for (who = 0; who < CONTENDERS; who++) {
		field_open(&f, who);
		run(&f);
		field_close(&f);
	}
}

static void write_and_look(struct field *f, dma_addr_t addr, struct page *page, u64 off)
{
	u8 bytes[700], seen[700];

	fill_pattern(bytes, sizeof(bytes), (unsigned int)off);
	assert_int_equal(ib_dma_mapping_error(f->ib, addr), 0);
	assert_int_equal(ib_dma_write(f->ib, addr, bytes, sizeof(bytes)), 0);
	cpu_get(page, off, seen, sizeof(seen));
	assert_memory_equal(bytes, seen, sizeof(bytes));
}

static void bytes_arrive(struct field *f)
{
	dma_addr_t a;
	int i;

	a = ib_dma_map_single(f->ib, (char *)page_address(f->low) + 1, 700, DMA_FROM_DEVICE);
	write_and_look(f, a, f->low, 1);
	ib_dma_unmap_single(f->ib, a, 700, DMA_FROM_DEVICE);
	a = ib_dma_map_page(f->ib, nth_page(f->low, 1), 17, 700, DMA_FROM_DEVICE);
	write_and_look(f, a, nth_page(f->low, 1), 17);
	ib_dma_unmap_page(f->ib, a, 700, DMA_FROM_DEVICE);
	assert_int_equal(ib_dma_map_sg(f->ib, f->sgl, PAGES, DMA_FROM_DEVICE), PAGES);
	for (i = 0; i < (int)PAGES; i++) {
		assert_int_equal(ib_sg_dma_len(f->ib, &f->sgl[i]), 1024);
		write_and_look(f, ib_sg_dma_address(f->ib, &f->sgl[i]), sg_page(&f->sgl[i]), f->sgl[i].offset);
	}
	ib_dma_unmap_sg(f->ib, f->sgl, PAGES, DMA_FROM_DEVICE);
}

static void refused(struct field *f, dma_addr_t addr, int err)
{
	assert_int_equal(ib_dma_mapping_error(f->ib, addr), err);
}

static void bad_arguments(struct field *f)
{
	struct sg_table t = { .sgl = f->sgl, .orig_nents = PAGES };
	char *at = page_address(f->low);
	char elsewhere[8];

	refused(f, ib_dma_map_single(f->ib, NULL, 8, DMA_TO_DEVICE), -EFAULT);
	refused(f, ib_dma_map_single(f->ib, elsewhere, 8, DMA_TO_DEVICE), -EFAULT);
	refused(f, ib_dma_map_single(f->ib, at, 0, DMA_TO_DEVICE), -EINVAL);
	refused(f, ib_dma_map_single(f->ib, at, (size_t)-1, DMA_TO_DEVICE), -EFAULT);
	refused(f, ib_dma_map_single(f->ib, at, 8, DMA_NONE), -EINVAL);
	refused(f, ib_dma_map_page(f->ib, f->low, 1ul << 30, 8, DMA_TO_DEVICE), -EFAULT);
	assert_int_equal(ib_dma_map_sg(f->ib, f->sgl, 0, DMA_TO_DEVICE), 0);
	assert_int_equal(ib_dma_map_sg(f->ib, NULL, 1, DMA_TO_DEVICE), 0);
	if (f->who == &ours) /* doesn't look at a list, and says so */
		return;
	assert_int_equal(ib_dma_map_sg(f->ib, f->sgl, PAGES + 1, DMA_TO_DEVICE), 0);
	f->sgl[3].length = 0;
	assert_int_equal(ib_dma_map_sgtable_attrs(f->ib, &t, DMA_TO_DEVICE, 0), -EINVAL);
	sg_set_page(&f->sgl[3], f->low, 8, 1u << 30);
	assert_int_equal(ib_dma_map_sgtable_attrs(f->ib, &t, DMA_TO_DEVICE, 0), -EFAULT);
	/* Nothing stayed behind: all of the table can still be had. */
	f->sgl[3].offset = 0;
	assert_int_equal(ib_dma_map_sgtable_attrs(f->ib, &t, DMA_TO_DEVICE, 0), 0);
	ib_dma_unmap_sgtable_attrs(f->ib, &t, DMA_TO_DEVICE, 0);
}

/* Where something is kept for a mapping it runs out; ours keeps nothing. */
static void full_table(struct field *f)
{
	struct scatterlist *sgl = calloc(RIVAL_ENTRIES, sizeof(*sgl));
	struct sg_table t = { .sgl = sgl, .orig_nents = RIVAL_ENTRIES }, one = { .sgl = f->sgl, .orig_nents = 2 };
	u32 i;
	int n;

	assert_non_null(sgl);
	sg_init_table(sgl, RIVAL_ENTRIES);
	for (i = 0; i < RIVAL_ENTRIES; i++)
		sg_set_page(&sgl[i], nth_page(f->low, i % PAGES), 64, i % 64);
	for (n = 0; n < 2; n++) {
		assert_int_equal(ib_dma_map_sgtable_attrs(f->ib, &t, DMA_TO_DEVICE, 0), 0);
		assert_int_equal(ib_dma_map_sgtable_attrs(f->ib, &one, DMA_TO_DEVICE, 0),
				 f->who == &ours ? 0 : -ENOMEM);
		assert_int_equal(reaches(f, ib_sg_dma_address(f->ib, &sgl[4097]), nth_page(f->low, 1), 1, 64), WORKS);
		ib_dma_unmap_sgtable_attrs(f->ib, &t, DMA_TO_DEVICE, 0);
		assert_int_equal(ib_dma_map_sgtable_attrs(f->ib, &one, DMA_TO_DEVICE, 0), 0);
		ib_dma_unmap_sgtable_attrs(f->ib, &one, DMA_TO_DEVICE, 0);
	}
	free(sgl);
}

/* What was mapped once and unmapped twice mustn't be handed out twice. */
static void unmapped_twice(struct field *f)
{
	dma_addr_t a = ib_dma_map_page(f->ib, f->low, 0, 64, DMA_TO_DEVICE), b, c;

	ib_dma_unmap_page(f->ib, a, 64, DMA_TO_DEVICE);
	ib_dma_unmap_page(f->ib, a, 64, DMA_TO_DEVICE);
	b = ib_dma_map_page(f->ib, nth_page(f->low, 1), 0, 64, DMA_TO_DEVICE);
	c = ib_dma_map_page(f->ib, nth_page(f->low, 2), 0, 64, DMA_TO_DEVICE);
	assert_true(b != c);
	assert_int_equal(reaches(f, b, nth_page(f->low, 1), 0, 64), WORKS);
	assert_int_equal(reaches(f, c, nth_page(f->low, 2), 0, 64), WORKS);
	ib_dma_unmap_page(f->ib, b, 64, DMA_TO_DEVICE);
	ib_dma_unmap_page(f->ib, c, 64, DMA_TO_DEVICE);
}

static void all_do_what_they_should(void **state)
{
	(void)state;
	for_all(bytes_arrive);
	for_all(bad_arguments);
	for_all(full_table);
	for_all(unmapped_twice);
}

static void allocations_fail(void **state)
{
	struct machine_attr attr = { .name = "field", .low_bytes = LOW_BYTES };
	struct device_attr da = { .name = "bus0" };
	struct machine *m;
	struct device *dev;
	int who;

	(void)state;
	assert_int_equal(machine_create(&attr, &m), 0);
	assert_int_equal(device_create(m, &da, &dev), 0);
	for (who = 0; who < CONTENDERS; who++) {
		TEST_FAIL_LOOP(fail)
		{
			struct ib_device *ib;
			int err = contenders[who]->create(dev, "frail", NULL, &ib);

			assert_true(!err || err == -ENOMEM);
			if (!err)
				contenders[who]->destroy(ib);
		}
	}
	device_destroy(dev);
	assert_int_equal(machine_destroy(m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { T(which_habit_breaks_which), T(all_do_what_they_should),
					    T(allocations_fail) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
