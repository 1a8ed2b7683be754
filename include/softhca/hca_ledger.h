/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the ledger of live mappings reports. The ledger itself is in src/dma; a
 * device has one if it was asked for. Shared by the core and every face.
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
 * In the library a string "file.c:123", in a kernel a code address. The core hands it around and
 * leaves its printing to the os layer. Must stay valid as long as the ledger.
 */
typedef const void *hca_site_t;

/** enum hca_map_kind - which family of calls made a mapping; the same one must end it */
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
 * @HCA_MISUSE_UNMAP_UNKNOWN: unmap of what was never mapped
 * @HCA_MISUSE_UNMAP_SIZE: unmapped with another size, or a list with another number of entries
 * @HCA_MISUSE_UNMAP_DIR: unmapped with another direction
 * @HCA_MISUSE_UNMAP_KIND: unmapped by another family of calls
 * @HCA_MISUSE_USE_AFTER_UNMAP: the adapter was sent to an address whose mapping had ended
 * @HCA_MISUSE_USE_UNMAPPED: the adapter was sent to an address that no mapping covers
 * @HCA_MISUSE_USE_DIR: the adapter was sent to read what was mapped for writing only, or the reverse
 * @HCA_MISUSE_UNCHECKED: used or unmapped without a look at ib_dma_mapping_error()
 * @HCA_MISUSE_SYNC_OUTSIDE: sync of a range that no mapping covers
 * @HCA_MISUSE_SYNC_DIR: sync against the mapping's direction
 * @HCA_MISUSE_CPU_WRITE: the CPU wrote to a buffer that the device owned
 * @HCA_MISUSE_LIST: a scatterlist that ends before the number of entries given, or has an entry that can't be mapped
 * @HCA_MISUSE_KINDS: how many there are
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
 * @addr: the DMA address that the wrong call gave (a leak: the mapping's; a bad list: the index of the entry)
 * @size: bytes it gave; of a list, its entries
 * @dir: direction it gave, or that it went in
 * @kind: the family of the wrong call
 * @map_addr: where the mapping concerned begins
 * @map_size: its bytes; of a list, its entries
 * @map_dir: its direction
 * @map_kind: the family that made it
 * @has_map: a mapping is concerned; else the @map_ fields mean nothing
 * @map_site: where it was mapped
 * @end_site: where it was unmapped, or NULL
 * @site: where the wrong call is, or NULL
 * @outcome: of a use: 0 if the machine let the access through (nobody would have noticed), else the error it gave
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
