/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every kind of verbs device there is, as one array, for tests that must hold on all of them: the two software
 * devices, and the DMA device on each platform; each with and without a ledger, with and without high memory.
 *
 * A report of a ledger that a test doesn't take is a false report: closing a backend fails then.
 */
#ifndef TESTS_BACKENDS_H
#define TESTS_BACKENDS_H

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dma/addr.h"
#include "os.h"
#include "softhca/ib_dma.h"

#define LOW_BYTES (8ull << 20)
#define HIGH_BYTES (4ull << 20)

/**
 * struct backend_def - one kind of device
 * @soft: ipath; else dmahca
 * @refuse: ipath answers high memory with an error
 * @lazy: of an IOMMU
 * @ledger: its ledger is on
 * @high: the machine has high memory
 * @near: of a bounce machine: half of low memory is in the device's reach; else none but the pool is
 */
struct backend_def {
	const char *name;
	enum machine_platform platform;
	bool soft;
	bool refuse;
	bool lazy;
	bool ledger;
	bool high;
	bool near;
};

/* All of them; behind the last stands one without a name. */
extern const struct backend_def backend_defs[];

/** backend_ledger() - the first one from @def on that keeps a ledger */
const struct backend_def *backend_ledger(const struct backend_def *def);

#define MAX_REPORTS_KEPT 64

/**
 * struct backend - a machine with a device
 * @dev: on the bus
 * @ib: the verbs device
 * @lock: of what follows
 * @reports: reports not yet taken; the latest ones are kept, with the line that is printed for each
 */
struct backend {
	const struct backend_def *def;
	struct machine *m;
	struct device *dev;
	struct ib_device *ib;
	struct hca_spinlock lock;
	int reports;
	struct hca_misuse_report report[MAX_REPORTS_KEPT];
	char line[MAX_REPORTS_KEPT][512];
};

/** backend_open() - Return: 0, or what the machine, the device or the driver failed with, and then nothing is left */
int backend_open(struct backend *b, const struct backend_def *def);

/** backend_open_attr() - the same over a machine and a bus device of the caller's wishes; NULL: the usual ones */
int backend_open_attr(struct backend *b, const struct backend_def *def, const struct machine_attr *ma,
		      const struct device_attr *da);

/** backend_close() - the test fails for a report that wasn't taken, a mapping or page left, or a kmap that wasn't ended */
void backend_close(struct backend *b);

/** backend_close_leaky() - close where mappings were left on purpose. Return: leaks told by the driver; reports stay to be taken */
u64 backend_close_leaky(struct backend *b);

/** backend_walks() - does mapping a list on it look at every entry? */
bool backend_walks(const struct backend_def *def);

/** backend_start() - open, or fail the test */
void backend_start(struct backend *b, const struct backend_def *def);

/** backend_take() - exactly one report must be there, of this class; it is taken. Without a ledger there must be none. NULL then. */
const struct hca_misuse_report *backend_take(struct backend *b, enum hca_misuse what);

/** backend_take_any() - forget what was reported. Return: how many it was */
int backend_take_any(struct backend *b);

/** backend_quiet() - no report has come */
void backend_quiet(struct backend *b);

/** backend_live() - live mappings according to the ledger, and to the bus device where it knows; 0 also where nobody counts */
u64 backend_live(struct backend *b);

/** backend_pages() - 2^order pages, of high memory if asked for and there is any; never NULL */
struct page *backend_pages(struct backend *b, bool high, unsigned int order);

/* What the CPU sees of pages that follow each other; @off may be past the first. */
void cpu_put(struct page *page, u64 off, const void *src, size_t len);
void cpu_get(struct page *page, u64 off, void *dst, size_t len);

/** fill_pattern() - bytes that differ with their place and with @key */
void fill_pattern(void *buf, size_t len, unsigned int key);

#endif
