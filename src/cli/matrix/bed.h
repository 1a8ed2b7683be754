/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bed that a row of the matrix stands on: a machine with two devices on its bus
 * and a verbs adapter on each, the initiator's and the target's. Made for a row,
 * and asked in the end what the row left behind.
 */
#ifndef MATRIX_BED_H
#define MATRIX_BED_H

#include "softhca/ib_dma.h"

/** enum adapter - the two kinds of adapter: dmahca, which does DMA, and ipath, whose CPU copies */
enum adapter { ADAPTER_DMA, ADAPTER_SOFT };

/* Their names, by index, and the older names that are accepted as well; NULL at the end. */
extern const char *const adapter_names[];
extern const char *const adapter_old_names[];

/** adapter_name() - "dmahca" or "ipath" */
const char *adapter_name(enum adapter kind);

/* The kinds of machine, by index; NULL at the end. */
#define MACHINE_KINDS 5
extern const char *const machine_kinds[MACHINE_KINDS + 1];

/**
 * machine_kind_attr() - how a machine of a kind is made
 * @kind: an index of machine_kinds
 *
 * Return: the DMA mask of the devices on it; 0: all addresses.
 */
u64 machine_kind_attr(int kind, struct machine_attr *attr);

/** struct why - the first thing that went wrong, in words; empty if nothing did */
struct why {
	char text[240];
};

/** why_set() - note what went wrong, unless something else did before. Return: @err */
__attribute__((format(printf, 3, 4))) int why_set(struct why *why, int err, const char *fmt, ...);

/** struct bed_end - one adapter and its place on the bus */
struct bed_end {
	enum adapter kind;
	struct device *dev;
	struct ib_device *ib;
	bool has_ledger; /* that was asked for */
	u64 misuses; /* what its ledger reported */
};

struct bed {
	struct machine *machine;
	struct bed_end initiator;
	struct bed_end target;
};

/** struct bed_account - what a row has done and left, on both adapters together */
struct bed_account {
	u64 mappings;
	u64 faults;
	u64 leaks;
};

/**
 * struct bed_attr - how a bed is made
 * @machine: an index of machine_kinds
 * @memory_times: that often its usual memory; 0: once
 * @file_bytes: as in struct machine_attr; nothing where the machine can't have them
 * @no_ledger: its adapters keep none
 */
struct bed_attr {
	int machine;
	enum adapter initiator;
	enum adapter target;
	u32 memory_times;
	u64 file_bytes;
	bool no_ledger;
};

/** bed_open() - Return: 0, or -errno with @why; bed_close() is to be called in any case */
int bed_open(struct bed *bed, const struct bed_attr *attr, struct why *why);

/** bed_close() - take everything down, count, and say in @why what shouldn't have been there */
void bed_close(struct bed *bed, struct bed_account *acc, struct why *why);

#endif
