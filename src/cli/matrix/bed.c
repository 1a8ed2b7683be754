/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The machines of the matrix and the two adapters on each; see bed.h. The matrix has
 * ledgers always on: a row that carries its bytes and forgets a mapping has failed.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bed.h"

#define MIB ((u64)1 << 20)

const char *const machine_kinds[MACHINE_KINDS + 1] = {
	"direct", "iommu-strict", "iommu-lazy", "bounce", "highmem", NULL
};

/* A quarter of their memory is high memory, so that every list is a mixture; on the last one nearly all is. */
static const struct {
	struct machine_attr attr;
	u64 dma_mask; /* of both devices; 0: all addresses */
} machines[MACHINE_KINDS] = {
	{ .attr = { .platform = MACHINE_DIRECT, .low_bytes = 48 * MIB, .high_bytes = 16 * MIB } },
	{ .attr = { .platform = MACHINE_IOMMU, .low_bytes = 48 * MIB, .high_bytes = 16 * MIB } },
	{ .attr = { .platform = MACHINE_IOMMU, .iommu_lazy = true, .low_bytes = 48 * MIB, .high_bytes = 16 * MIB } },
	{ .attr = { .platform = MACHINE_BOUNCE,
		    .bounce_bytes = 4 * MIB,
		    .low_bytes = 48 * MIB,
		    .high_bytes = 16 * MIB },
	  .dma_mask = DMA_BIT_MASK(32) },
	{ .attr = { .platform = MACHINE_DIRECT, .low_bytes = 4 * MIB, .high_bytes = 60 * MIB } },
};

const char *const adapter_names[] = { [ADAPTER_DMA] = "dmahca", [ADAPTER_SOFT] = "ipath", NULL };
const char *const adapter_old_names[] = { [ADAPTER_DMA] = "dma", [ADAPTER_SOFT] = "soft", NULL };

const char *adapter_name(enum adapter kind)
{
	return adapter_names[kind];
}

u64 machine_kind_attr(int kind, struct machine_attr *attr)
{
	*attr = machines[kind].attr;
	attr->name = machine_kinds[kind];
	return machines[kind].dma_mask;
}

int why_set(struct why *why, int err, const char *fmt, ...)
{
	va_list ap;

	if (why->text[0])
		return err;
	va_start(ap, fmt);
	vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return err;
}

static void misuse(void *ctx, const struct hca_misuse_report *r)
{
	struct bed_end *end = ctx;
	char line[512];

	end->misuses++;
	ib_dma_report_str(r, line, sizeof(line));
	fprintf(stderr, "ledger: %s\n", line);
}

static int end_open(struct bed_end *end, struct bed *bed, u64 dma_mask, const char *name, enum adapter kind,
		    bool ledger, struct why *why)
{
	struct ib_dma_config config = { .ledger = ledger, .report = misuse, .ctx = end };
	struct device_attr attr = { .name = name, .dma_mask = dma_mask };
	struct ib_dma_totals totals;
	int err;

	end->kind = kind;
	err = device_create(bed->machine, &attr, &end->dev);
	if (err)
		return why_set(why, err, "the %s's device can't be made: %s", name, strerror(-err));
	err = kind == ADAPTER_DMA ? dmahca_create(end->dev, name, &config, &end->ib) :
				    ipath_create(end->dev, name, IPATH_HIGHMEM_TAGGED, &config, &end->ib);
	if (err)
		return why_set(why, err, "the %s's adapter can't be made: %s", name, strerror(-err));
	if (!ledger)
		return 0;
	end->has_ledger = true;
	err = ib_dma_get_totals(end->ib, &totals);
	if (err)
		return why_set(why, err,
			       "the %s keeps no ledger, so nothing could be said about leaks; unset SOFTHCA_LEDGER",
			       name);
	return 0;
}

int bed_open(struct bed *bed, const struct bed_attr *ba, struct why *why)
{
	struct machine_attr attr;
	u64 mask = machine_kind_attr(ba->machine, &attr);
	int err;

	memset(bed, 0, sizeof(*bed));
	if (ba->memory_times) {
		attr.low_bytes *= ba->memory_times;
		attr.high_bytes *= ba->memory_times;
		attr.bounce_bytes *= ba->memory_times;
	}
	attr.file_bytes = attr.platform == MACHINE_BOUNCE ? 0 : ba->file_bytes;
	err = machine_create(&attr, &bed->machine);
	if (err && attr.file_bytes) {
		attr.file_bytes = 0;
		err = machine_create(&attr, &bed->machine);
	}
	if (err)
		return why_set(why, err, "the machine can't be made: %s", strerror(-err));
	err = end_open(&bed->initiator, bed, mask, "initiator", ba->initiator, !ba->no_ledger, why);
	if (!err)
		err = end_open(&bed->target, bed, mask, "target", ba->target, !ba->no_ledger, why);
	return err;
}

static void end_close(struct bed_end *end, const char *name, struct bed_account *acc, struct why *why)
{
	struct ib_dma_totals totals;
	struct device_stats stats;
	u64 leaks;

	if (end->ib) {
		if (end->has_ledger && !ib_dma_get_totals(end->ib, &totals))
			acc->mappings += totals.made;
		if (end->misuses)
			why_set(why, 0, "the %s's ledger reported %llu misuses", name,
				(unsigned long long)end->misuses);
		leaks = end->kind == ADAPTER_DMA ? dmahca_destroy(end->ib) : ipath_destroy(end->ib);
		acc->leaks += leaks;
		if (leaks)
			why_set(why, 0, "the %s left %llu mappings behind", name, (unsigned long long)leaks);
	}
	if (end->dev) {
		device_flush(end->dev);
		device_get_stats(end->dev, &stats);
		if (stats.lazy_pending || stats.iova_pages || stats.bounce_slots)
			why_set(why, 0,
				"the %s's device holds %llu I/O pages, %llu unflushed ones and %llu pool slots at close",
				name, (unsigned long long)stats.iova_pages, (unsigned long long)stats.lazy_pending,
				(unsigned long long)stats.bounce_slots);
		if (stats.refused_unmaps)
			why_set(why, 0, "the %s's platform refused %llu unmaps", name,
				(unsigned long long)stats.refused_unmaps);
		device_destroy(end->dev);
	}
}

void bed_close(struct bed *bed, struct bed_account *acc, struct why *why)
{
	int err;

	memset(acc, 0, sizeof(*acc));
	if (!bed->machine)
		return;
	machine_faults(bed->machine, NULL, 0, &acc->faults);
	if (acc->faults) {
		struct bus_fault last;

		if (machine_faults(bed->machine, &last, 1, NULL) == 1)
			why_set(why, 0, "%llu faults, the last: %s at 0x%llx, %s", (unsigned long long)acc->faults,
				last.device, (unsigned long long)hca_dma_u64(last.addr), fault_reason_str(last.reason));
	}
	end_close(&bed->initiator, "initiator", acc, why);
	end_close(&bed->target, "target", acc, why);
	err = machine_destroy(bed->machine);
	if (err)
		why_set(why, 0, "the machine can't be closed: pages weren't freed");
	bed->machine = NULL;
}
