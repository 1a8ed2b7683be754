/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What model.c (memory and mappings) and model_ops.c (what is done with them) share; nobody else needs it. */
#ifndef TESTS_MODEL_PRIVATE_H
#define TESTS_MODEL_PRIVATE_H

#include "model.h"
#include "platform/platform.h"

#define CHECK(m, c) ((c) ? (void)0 : (m)->a.fail(__FILE__, __LINE__, #c))
#define MAX_ACCESS 4096u

static inline bool model_device_reads(enum dma_data_direction dir)
{
	return dir != DMA_FROM_DEVICE;
}

static inline bool model_device_writes(enum dma_data_direction dir)
{
	return dir != DMA_TO_DEVICE;
}

/* --- model.c --- */
u32 model_choose(struct model *m, u32 n);

static inline enum dma_data_direction model_choose_dir(struct model *m)
{
	return (enum dma_data_direction)model_choose(m, 3);
}

/* A map that is live, or one that isn't; NULL: there is none. */
struct model_map *model_choose_map(struct model *m, bool live);
void model_choose_range(struct model *m, struct model_range *r, bool low);
void model_some_bytes(struct model *m, u8 *buf, u32 len);

/* Between a buffer and the memory behind a mapping's bytes from @at on, as the model has it. */
void model_move_mem(struct model *m, struct model_map *map, u32 at, u8 *buf, u32 len, bool put);

/* The same as the device sees it, inside one piece. */
void model_move_seen(struct model *m, struct model_map *map, struct model_piece *p, u32 off, u8 *buf, u32 len,
		     bool put);

/* Between a buffer and a block, as the machine has it. */
void model_real_cpu(struct model *m, u32 block, u32 off, u8 *buf, u32 len, bool put);
void model_compare_block(struct model *m, u32 block, u32 off, u32 len);
void model_compare_map(struct model *m, struct model_map *map);

/* Does one live mapping have, or do several together have, all these bytes for that direction? */
bool model_has_all(const struct model *m, dma_addr_t addr, u32 len, enum dma_data_direction dir);
bool model_one_has_all(const struct model *m, dma_addr_t addr, u32 len, enum dma_data_direction dir);
bool model_in_live_page(const struct model *m, dma_addr_t addr);
u32 model_begins_at(const struct model *m, dma_addr_t addr);

/* As the caller claims it was mapped; what is done is what was mapped. */
void model_say_unmap(struct model *m, struct model_map *map, u32 size, enum dma_data_direction dir,
		     unsigned long attrs);

/* --- model_ops.c --- */
void model_read(struct model *m);
void model_write(struct model *m);
void model_copy(struct model *m);
void model_sync(struct model *m);
void model_cpu(struct model *m);
void model_misuse(struct model *m);

#endif
