/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of part "dma" share: a machine with one verbs device, and rings of
 * live mappings. bench_dma.c measures the software device, bench_dma_bus.c the
 * platforms, bench_dma_keep.c what is kept for a mapping.
 */
#ifndef BENCH_DMA_H
#define BENCH_DMA_H

#include "bench.h"
#include "platform/platform.h"
#include "softhca/ib_dma.h"

/**
 * struct bed_def - a machine with a device on it
 * @create, @destroy: the device's driver
 * @all_bounce: nothing but the pool is in the device's reach
 */
struct bed_def {
	struct machine_attr machine;
	int (*create)(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		      struct ib_device **out);
	u64 (*destroy)(struct ib_device *dev);
	bool all_bounce;
	bool ledger;
};

struct bed {
	const struct bed_def *def;
	struct machine *m;
	struct device *dev;
	struct ib_device *ib;
};

/** bed_open() - Return: 0, or -1 after bench_fail() */
int bed_open(struct bed *b, const struct bed_def *def);
void bed_close(struct bed *b);

/* ipath, which answers high memory with a tag or refuses it, with the arguments that a bed_def wants. */
int ipath_tagging(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		  struct ib_device **out);
int ipath_refusing(struct device *dma_device, const char *name, const struct ib_dma_config *config,
		   struct ib_device **out);

/**
 * struct ring - live mappings of 4 KiB; a turn ends the oldest and makes it again
 * @base: virtual address of the first page
 * @order: pages in random order: neighbours in time are not neighbours in memory
 * @addr: what they are mapped to
 * @live: how many; a power of two
 */
struct ring {
	struct ib_device *ib;
	char *base;
	u32 *order;
	dma_addr_t *addr;
	u32 live;
	u32 at;
};

/** ring_open() - map @live pages of low memory from page @first on. Return: 0, or -1 after bench_fail() */
int ring_open(struct ring *r, struct bed *b, u64 first, u32 live);
void ring_close(struct ring *r);

/** ring_turn() - a bench_loop's run over a struct ring */
void ring_turn(void *ctx, u64 n);

/* What a struct bench_counted opens: map + unmap of 4 KiB by the adapter that does DMA, 8,192 live. */
int bench_dma_counted_lazy(struct bench_loop *l);
int bench_dma_counted_strict(struct bench_loop *l);
int bench_dma_counted_direct(struct bench_loop *l);

int bench_dma_bus(void);
int bench_dma_keep(void);

#endif
