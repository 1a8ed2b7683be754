/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel os layer's memory: small from the slab, large by pages where the caller may
 * sleep. Anything may be freed anywhere; what may not be unmapped there is left to a
 * worker. The module's exit waits for that with hca_memory_flush().
 */
#include "os.h"
#include "kernel/memory.h"

#include <linux/bug.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

static LLIST_HEAD(later); /* blocks, each of a page or more, linked by their first bytes */

static void free_later(struct work_struct *unused)
{
	struct llist_node *node, *next;

	llist_for_each_safe(node, next, llist_del_all(&later)) vfree(node);
}

static DECLARE_WORK(free_work, free_later);

static atomic_long_t blocks; /* that are out: allocation is no hot path, and a leak is seen at the module's end */

void *hca_alloc(size_t size, unsigned int flags)
{
	void *mem;

	if (!size || size > INT_MAX)
		return NULL;
	if (flags & HCA_MAY_SLEEP)
		mem = kvzalloc(size, GFP_KERNEL | __GFP_NOWARN);
	else
		mem = kzalloc(size, GFP_ATOMIC | __GFP_NOWARN);
	if (mem)
		atomic_long_inc(&blocks);
	return mem;
}

void hca_free(void *mem)
{
	if (!mem)
		return;
	atomic_long_dec(&blocks);
	if (!is_vmalloc_addr(mem))
		kfree(mem);
	else if (hca_may_sleep())
		vfree(mem);
	else if (llist_add(mem, &later))
		schedule_work(&free_work);
}

void hca_memory_flush(void)
{
	flush_work(&free_work);
	WARN(atomic_long_read(&blocks), "%s: %ld blocks of memory were not freed\n", KBUILD_MODNAME,
	     atomic_long_read(&blocks));
}
