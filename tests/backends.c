/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The fixture of all tests over verbs devices; see backends.h. Works in any os layer that has threads or none. */
#include "backends.h"
#include "platform/platform.h"

#define SOFT(n, r, l, h) \
	{ \
		.name = n, .platform = MACHINE_DIRECT, .soft = true, .refuse = r, .ledger = l, .high = h \
	}
#define DMA(n, p, z, l, h) \
	{ \
		.name = n, .platform = p, .lazy = z, .ledger = l, .high = h \
	}

const struct backend_def backend_defs[] = {
	SOFT("ipath", false, false, false),
	SOFT("ipath, ledger", false, true, false),
	SOFT("ipath, high memory", false, false, true),
	SOFT("ipath, high memory, ledger", false, true, true),
	SOFT("ipath that refuses", true, false, false),
	SOFT("ipath that refuses, ledger", true, true, false),
	SOFT("ipath that refuses, high memory", true, false, true),
	SOFT("ipath that refuses, high memory, ledger", true, true, true),
	DMA("direct", MACHINE_DIRECT, false, false, false),
	DMA("direct, ledger", MACHINE_DIRECT, false, true, false),
	DMA("direct, high memory", MACHINE_DIRECT, false, false, true),
	DMA("direct, high memory, ledger", MACHINE_DIRECT, false, true, true),
	DMA("strict iommu", MACHINE_IOMMU, false, false, false),
	DMA("strict iommu, ledger", MACHINE_IOMMU, false, true, false),
	DMA("strict iommu, high memory", MACHINE_IOMMU, false, false, true),
	DMA("strict iommu, high memory, ledger", MACHINE_IOMMU, false, true, true),
	DMA("lazy iommu", MACHINE_IOMMU, true, false, false),
	DMA("lazy iommu, ledger", MACHINE_IOMMU, true, true, false),
	DMA("lazy iommu, high memory", MACHINE_IOMMU, true, false, true),
	DMA("lazy iommu, high memory, ledger", MACHINE_IOMMU, true, true, true),
	DMA("bounce", MACHINE_BOUNCE, false, false, false),
	DMA("bounce, ledger", MACHINE_BOUNCE, false, true, false),
	DMA("bounce, high memory", MACHINE_BOUNCE, false, false, true),
	DMA("bounce, high memory, ledger", MACHINE_BOUNCE, false, true, true),
	{ .name = "bounce, half in reach", .platform = MACHINE_BOUNCE, .high = true, .near = true },
	{ .name = "bounce, half in reach, ledger",
	  .platform = MACHINE_BOUNCE,
	  .ledger = true,
	  .high = true,
	  .near = true },
	{ .name = NULL },
};

const struct backend_def *backend_ledger(const struct backend_def *def)
{
	while (def->name && !def->ledger)
		def++;
	return def;
}

static void keep_report(void *ctx, const struct hca_misuse_report *r)
{
	struct backend *b = ctx;
	hca_irqflags_t flags;

	hca_spin_lock(&b->lock, flags);
	b->report[b->reports % MAX_REPORTS_KEPT] = *r;
	ib_dma_report_str(r, b->line[b->reports % MAX_REPORTS_KEPT], sizeof(b->line[0]));
	b->reports++;
	hca_spin_unlock(&b->lock, flags);
}

static int open_device(struct backend *b, const struct device_attr *da)
{
	struct ib_dma_config config = { .ledger = b->def->ledger, .report = keep_report, .ctx = b };
	struct device_attr attr = { .name = "bus0" };
	int err;

	if (b->def->platform == MACHINE_BOUNCE && !b->def->near)
		attr.dma_mask = b->m->bus_base + b->m->reserved - 1;
	err = device_create(b->m, da ? da : &attr, &b->dev);
	if (err)
		return err;
	if (b->def->soft)
		err = ipath_create(b->dev, "ipath0", b->def->refuse ? IPATH_HIGHMEM_REFUSE : IPATH_HIGHMEM_TAGGED,
				   &config, &b->ib);
	else
		err = dmahca_create(b->dev, "dmahca0", &config, &b->ib);
	if (err)
		device_destroy(b->dev);
	return err;
}

int backend_open_attr(struct backend *b, const struct backend_def *def, const struct machine_attr *ma,
		      const struct device_attr *da)
{
	struct machine_attr attr = {
		.name = "machine0",
		.low_bytes = LOW_BYTES,
		.high_bytes = def->high ? HIGH_BYTES : 0,
		.platform = def->platform,
		.iommu_lazy = def->lazy,
	};
	int err;

	memset(b, 0, sizeof(*b));
	b->def = def;
	hca_spin_init(&b->lock);
	err = machine_create(ma ? ma : &attr, &b->m);
	if (err)
		return err;
	err = open_device(b, da);
	if (err)
		assert_int_equal(machine_destroy(b->m), 0);
	return err;
}

int backend_open(struct backend *b, const struct backend_def *def)
{
	return backend_open_attr(b, def, NULL, NULL);
}

void backend_start(struct backend *b, const struct backend_def *def)
{
	int err = backend_open(b, def);

	if (err)
		fail_msg("%s: can't be opened: %d", def->name, err);
}

u64 backend_close_leaky(struct backend *b)
{
	u64 leaked = b->def->soft ? ipath_destroy(b->ib) : dmahca_destroy(b->ib);

	device_destroy(b->dev);
	assert_int_equal(machine_destroy(b->m), 0);
	return leaked;
}

void backend_close(struct backend *b)
{
	struct device_stats st;
	int i;

	device_flush(b->dev);
	device_get_stats(b->dev, &st);
	if (backend_close_leaky(b))
		print_message("%s: mappings were left\n", b->def->name);
	for (i = 0; i < b->reports && i < MAX_REPORTS_KEPT; i++)
		print_message("%s: unexpected: %s\n", b->def->name, b->line[i]);
	assert_int_equal(b->reports, 0);
	assert_int_equal(st.iova_pages, 0);
	assert_int_equal(st.lazy_pending, 0);
	assert_int_equal(st.bounce_slots, 0);
}

bool backend_walks(const struct backend_def *def)
{
	return def->ledger || !def->soft || (def->refuse && def->high);
}

const struct hca_misuse_report *backend_take(struct backend *b, enum hca_misuse what)
{
	if (!b->def->ledger) {
		assert_int_equal(b->reports, 0);
		return NULL;
	}
	if (b->reports != 1 || b->report[0].what != what) {
		int i;

		for (i = 0; i < b->reports && i < MAX_REPORTS_KEPT; i++)
			print_message("%s\n", b->line[i]);
		fail_msg("%s: %d reports where one %s was expected", b->def->name, b->reports, hca_misuse_name(what));
	}
	b->reports = 0;
	return &b->report[0];
}

int backend_take_any(struct backend *b)
{
	int n = b->reports;

	b->reports = 0;
	return n;
}

void backend_quiet(struct backend *b)
{
	if (b->reports)
		fail_msg("%s: unexpected: %s", b->def->name, b->line[0]);
}

u64 backend_live(struct backend *b)
{
	struct device_stats st;
	struct ib_dma_totals t = { 0 };

	ib_dma_get_totals(b->ib, &t);
	device_flush(b->dev);
	device_get_stats(b->dev, &st);
	return t.live + st.iova_pages + st.bounce_slots;
}

struct page *backend_pages(struct backend *b, bool high, unsigned int order)
{
	struct page *page = machine_alloc_pages(b->m, GFP_KERNEL | __GFP_ZERO | (high ? __GFP_HIGHMEM : 0), order);

	assert_non_null(page);
	return page;
}

static void cpu_move(struct page *page, u64 off, u8 *buf, size_t len, bool put)
{
	page = nth_page(page, off >> PAGE_SHIFT);
	off &= PAGE_SIZE - 1;
	while (len) {
		size_t n = (size_t)HCA_MIN((u64)len, PAGE_SIZE - off);
		u8 *at = kmap_local_page(page);

		assert_non_null(at);
		if (put)
			memcpy(at + off, buf, n);
		else
			memcpy(buf, at + off, n);
		kunmap_local(at);
		page = nth_page(page, 1);
		off = 0;
		buf += n;
		len -= n;
	}
}

void cpu_put(struct page *page, u64 off, const void *src, size_t len)
{
	cpu_move(page, off, (u8 *)src, len, true);
}

void cpu_get(struct page *page, u64 off, void *dst, size_t len)
{
	cpu_move(page, off, dst, len, false);
}

void fill_pattern(void *buf, size_t len, unsigned int key)
{
	u8 *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = (u8)((i * 31 + (i >> 8) * 17 + key * 101) ^ key >> 8);
}
