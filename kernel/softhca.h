/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A software adapter in a kernel: an engine, a device for the DMA API to map for, and
 * the accessor between them. Made and ended by whoever registers it somewhere; a
 * module that is loaded and makes none has none. The engine's own calls (hca/qp.h)
 * do the rest.
 */
#ifndef SOFTHCA_KERNEL_H
#define SOFTHCA_KERNEL_H

#include "dma/ledger.h"
#include "dma/soft.h"
#include "transport/transport.h"

#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>

/**
 * struct softhca_attr - how an adapter is made
 * @highmem: what it does with pages that have no mapping
 * @max_qp: queue pairs at most
 * @max_keys: MRs and MWs at most
 * @roce: its port is one of RoCE v2 (hca/hca.h)
 */
struct softhca_attr {
	enum hca_soft_highmem highmem;
	u32 max_qp;
	u32 max_keys;
	bool roce;
};

/**
 * struct softhca - an adapter
 * @pdev: its device
 * @dev: the same, for dma_map_*(), whose addresses go into work requests of @hca
 * @hca: its engine, on the module's wire
 * @soft: its accessor
 * @ledger: of its mappings, or NULL; read under RCU, written under @ledger_lock
 * @muted: the ledger goes, and what is still mapped is no leak
 * @debugfs: its folder
 */
struct softhca {
	struct platform_device *pdev;
	struct device *dev;
	struct hca hca;
	struct hca_soft soft;
	struct mutex ledger_lock;
	struct hca_ledger *ledger;
	bool muted;
	struct dentry *debugfs;
};

/** softhca_wire() - what the module's adapters are on; another driver's engine may join them */
struct hca_wire *softhca_wire(void);

/** softhca_events() - the event queue of all adapters on that wire */
struct hca_eq *softhca_events(void);

/** softhca_create() - an adapter. May sleep. Return: 0, -EINVAL, -ENOMEM, -ENOSPC. */
int softhca_create(const struct softhca_attr *attr, struct softhca **out);

/**
 * softhca_destroy() - its end. May sleep.
 *
 * With a ledger, what is still mapped is reported. Return: 0; -EBUSY: the engine has queue pairs or keys, and nothing changed.
 */
int softhca_destroy(struct softhca *s);

/**
 * softhca_ledger_set() - keep a ledger from now on, or no longer. May sleep.
 *
 * What was mapped before it began is unknown to it, and its unmap a misuse: begin before an upper layer maps.
 * Return: 0 or -ENOMEM.
 */
int softhca_ledger_set(struct softhca *s, bool on);

/** softhca_ledger_totals() - Return: 0; -ENOENT: there is no ledger. May sleep. */
int softhca_ledger_totals(struct softhca *s, struct hca_ledger_totals *t);

#endif
