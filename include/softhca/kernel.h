/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The everyday names of the Linux kernel for a process: an upper layer's source compiles here with
 * include paths alone changed, and runs under a debugger, the sanitizers and the ledger.
 * docs/tutorial-ulp.md shows the steps. With -I.../softhca/compat the source's own <linux/...> and
 * <rdma/...> include this header.
 *
 * In such a source a map fills the list: sg_dma_address() and sg_dma_len() are valid on every device. A missing name
 * doesn't compile. A call does what Linux's does, unless its comment says otherwise.
 */
#ifndef SOFTHCA_KERNEL_H
#define SOFTHCA_KERNEL_H

#include "softhca/kernel/base.h"
#include "softhca/kernel/byteorder.h"
#include "softhca/kernel/print.h"
#include "softhca/kernel/atomic.h"
#include "softhca/kernel/lock.h"
#include "softhca/kernel/wait.h"
#include "softhca/kernel/work.h"
#include "softhca/kernel/alloc.h"
#include "softhca/kernel/module.h"
#include "softhca/kernel/atomic_more.h"
#include "softhca/kernel/hlist.h"
#include "softhca/kernel/rwlock.h"
#include "softhca/kernel/rcu.h"
#include "softhca/kernel/rbtree.h"
#include "softhca/kernel/xarray.h"
#include "softhca/kernel/wait_bit.h"
#include "softhca/kernel/tasklet.h"
#include "softhca/kernel/percpu.h"
#include "softhca/kernel/mempool.h"
#include "softhca/kernel/text.h"
#include "softhca/kernel/uio.h"
#include "softhca/kernel/misc.h"
#include "softhca/kernel/cpumask.h"
#include "softhca/kernel/cleanup.h"
#include "softhca/ib_path.h"
#include "softhca/ib_pool.h"
#include "softhca/ib_signature.h"
#include "softhca/ib_verbs.h"
#include "softhca/rdma_rw.h"

#undef IB_DMA_FILL_SG
#define IB_DMA_FILL_SG 1

/** dev_to_node() - there is one NUMA node, and no device is bound to it */
#define dev_to_node(dev) ((void)(dev), NUMA_NO_NODE)
#define ibdev_to_node(ibdev) ((void)(ibdev), NUMA_NO_NODE)

#endif
