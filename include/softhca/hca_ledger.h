/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The reports of the ledger of live mappings. The ledger itself is in src/dma; a
 * device has one on request. Shared by the core and every API.
 */
#ifndef SOFTHCA_HCA_LEDGER_H
#define SOFTHCA_HCA_LEDGER_H

#include "softhca/hca_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * hca_site_t - a place in the program
 *
 * In the library a string "file.c:123", in a kernel a code address. The core passes it on, and
 * the os layer prints it. Must stay valid as long as the ledger.
 */
typedef const void *hca_site_t;

/** enum hca_map_kind - the family of calls that made a mapping; the same family must unmap it */
enum hca_map_kind {
	HCA_MAP_SINGLE,
	HCA_MAP_PAGE,
	HCA_MAP_LIST,
	HCA_MAP_COHERENT,
};

/**
 * enum hca_misuse - what the ledger reports
 * @HCA_MISUSE_LEAK: still mapped when the device closed
 * @HCA_MISUSE_DOUBLE_UNMAP: unmapped, and not mapped again since
 * @HCA_MISUSE_UNMAP_UNKNOWN: unmap of an address that was never mapped
 * @HCA_MISUSE_UNMAP_SIZE: unmapped with another size, or a list with another number of entries
 * @HCA_MISUSE_UNMAP_DIR: unmapped with another direction
 * @HCA_MISUSE_UNMAP_KIND: unmapped by another family of calls
 * @HCA_MISUSE_USE_AFTER_UNMAP: the adapter accessed an address whose mapping had ended
 * @HCA_MISUSE_USE_UNMAPPED: the adapter accessed an address that no mapping covers
 * @HCA_MISUSE_USE_DIR: the adapter read a buffer that was mapped for writing only, or the reverse
 * @HCA_MISUSE_UNCHECKED: used or unmapped without a call of ib_dma_mapping_error()
 * @HCA_MISUSE_SYNC_OUTSIDE: sync of a range that no mapping covers
 * @HCA_MISUSE_SYNC_DIR: sync against the mapping's direction
 * @HCA_MISUSE_CPU_WRITE: the CPU wrote to a buffer that the device owned
 * @HCA_MISUSE_LIST: a scatterlist that ends before the number of entries given, or has an entry that can't be mapped
 * @HCA_MISUSE_KINDS: their number
 */
enum hca_misuse {
	HCA_MISUSE_LEAK,
	HCA_MISUSE_DOUBLE_UNMAP,
	HCA_MISUSE_UNMAP_UNKNOWN,
	HCA_MISUSE_UNMAP_SIZE,
	HCA_MISUSE_UNMAP_DIR,
	HCA_MISUSE_UNMAP_KIND,
	HCA_MISUSE_USE_AFTER_UNMAP,
	HCA_MISUSE_USE_UNMAPPED,
	HCA_MISUSE_USE_DIR,
	HCA_MISUSE_UNCHECKED,
	HCA_MISUSE_SYNC_OUTSIDE,
	HCA_MISUSE_SYNC_DIR,
	HCA_MISUSE_CPU_WRITE,
	HCA_MISUSE_LIST,
	HCA_MISUSE_KINDS,
};

/**
 * struct hca_misuse_report - one wrong call
 * @what: which rule it broke
 * @device: the device's name
 * @addr: the DMA address in the wrong call (a leak: the mapping's; a bad list: the index of the entry)
 * @size: the size in the call, bytes; for a list, its entries
 * @dir: the direction in the call, or of the access
 * @kind: the family of the wrong call
 * @map_addr: the beginning of the mapping concerned
 * @map_size: its bytes; of a list, its entries
 * @map_dir: its direction
 * @map_kind: the family that made it
 * @has_map: a mapping is concerned; else the @map_ fields are not valid
 * @map_site: the line of its map
 * @end_site: the line of its unmap, or NULL
 * @site: the line of the wrong call, or NULL
 * @outcome: of an access: 0 if the machine let it through (without a ledger it stays unnoticed), else the machine's error
 *
 * Valid during the callback only; the sites stay.
 */
struct hca_misuse_report {
	enum hca_misuse what;
	const char *device;
	hca_dma_addr_t addr;
	u64 size;
	int dir;
	enum hca_map_kind kind;
	hca_dma_addr_t map_addr;
	u64 map_size;
	int map_dir;
	enum hca_map_kind map_kind;
	bool has_map;
	hca_site_t map_site;
	hca_site_t end_site;
	hca_site_t site;
	int outcome;
};

#ifdef __cplusplus
}
#endif

#endif
