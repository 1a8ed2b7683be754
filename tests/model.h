/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A plain model of what ib_dma_*() does: memory as flat arrays, and a list of mappings with what each means to the
 * device: the memory itself, or a copy until it is synced. A step does something to a real device and to the model,
 * and compares: bytes, results, and how many reports the ledger made.
 *
 * Used by the differential test and by the fuzzers, which differ in who chooses.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "os.h"
#include "softhca/ib_dma.h"

#define MODEL_BLOCKS 8
#define MODEL_BLOCK_ORDER 2
#define MODEL_BLOCK_BYTES (4096u << MODEL_BLOCK_ORDER)
#define MODEL_MAPS 24
#define MODEL_WRONGS 256
#define MODEL_ENDED 2048 /* more than a ledger remembers */
#define MODEL_ENTRIES 6

/**
 * struct model_attr - what is modelled, and who chooses
 * @m, @ib: the machine and the verbs device on it
 * @soft: ipath
 * @refuse: it refuses high memory, so none is mapped
 * @iommu: it's behind one
 * @lazy: whose invalidation is
 * @ledger: it keeps one; @reports counts its reports, whatever they say
 * @choose: a number below @n; whatever it likes
 * @fail: the device and the model differ; doesn't return
 */
struct model_attr {
	struct machine *m;
	struct ib_device *ib;
	bool soft;
	bool refuse;
	bool iommu;
	bool lazy;
	bool ledger;
	const int *reports;
	u32 (*choose)(void *ctx, u32 n);
	void *ctx;
	void (*fail)(const char *file, int line, const char *what);
};

/* Bytes of a block. */
struct model_range {
	u32 block;
	u32 off;
	u32 len;
};

/* What the device has one address for; @copy: its bytes, where it doesn't see the memory itself. */
struct model_piece {
	dma_addr_t addr;
	u32 at; /* in the mapping's bytes */
	u32 len;
	u8 *copy;
};

struct model_map {
	bool live;
	enum hca_map_kind kind;
	enum dma_data_direction dir;
	dma_addr_t addr;
	u32 size; /* bytes */
	u32 nents;
	u32 npieces;
	struct model_range range[MODEL_ENTRIES];
	struct model_piece piece[MODEL_ENTRIES];
	struct scatterlist sgl[MODEL_ENTRIES];
	u8 *cpu; /* coherent memory... */
	u8 *bytes; /* ...and what is in it */
};

struct model {
	struct model_attr a;
	struct page *block[MODEL_BLOCKS];
	u8 *mem[MODEL_BLOCKS];
	struct model_map map[MODEL_MAPS];
	u64 made;
	int expected; /* reports */
	dma_addr_t wrong_to[MODEL_WRONGS]; /* where the latest wrong accesses ended */
	u32 wrongs;
	struct {
		dma_addr_t addr;
		u32 nents;
	} ended[MODEL_ENDED]; /* the latest lists that were unmapped */
	u32 lists_ended;
};

/** model_begin() - the model, with pages of its own. All memory comes from the C library: no os layer's failures reach it. */
struct model *model_begin(const struct model_attr *a);

/** model_step() - one thing is chosen, done, and compared */
void model_step(struct model *m);

/** model_end() - everything is unmapped, all memory compared, and the model freed */
void model_end(struct model *m);

/** model_near() - does an address lie in a page that a live mapping has, or is it what one begins with? */
bool model_near(const struct model *m, dma_addr_t addr);

/** model_expect() - the caller did something for which so many reports were due */
void model_expect(struct model *m, int reports);

#endif
