/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPU writes into buffers that a device owns. The machine write-protects such memory
 * and notes who writes all the same; here each such write is matched with the
 * mapping it went into, and reported through that device's ledger.
 *
 * Only devices with a ledger, on a machine made with guard, come here.
 */
#include <dlfcn.h>

#include "dma/soft.h"
#include "ib_private.h"

/* Names of code addresses live as long as the process: reports may be kept. Room for as many as one can read. */
#define MAX_SITES 256
#define SITE_LEN 128

/* Reports of writes by one place in the program: a loop over a large buffer writes into each of its pages. */
#define SITE_REPORTS 64u

static struct guard_state {
	u32 ready; /* atomic: 0, 1 while the lock is made, 2 */
	struct hca_spinlock lock; /* everything below */
	struct ib_device *first; /* linked by next_guard */
	u32 nsites;
	struct guard_site {
		const void *code;
		u32 reports;
		char name[SITE_LEN];
	} site[MAX_SITES + 1]; /* the last stands for all that found no room */
} guards;

/* Before the first device of all. */
static void make_ready(void)
{
	if (!hca_cmpxchg(&guards.ready, 0, 1)) {
		hca_spin_init(&guards.lock);
		hca_store_release(&guards.ready, 2);
	}
	while (hca_load_acquire(&guards.ready) != 2)
		hca_pause();
}

void ib_guard_add(struct ib_device *dev)
{
	hca_irqflags_t flags;
	u32 i;

	make_ready();
	hca_spin_lock(&guards.lock, flags);
	/* Where nobody listened before, everybody may be heard again. */
	for (i = 0; !guards.first && i <= MAX_SITES; i++)
		guards.site[i].reports = 0;
	dev->next_guard = guards.first;
	guards.first = dev;
	hca_spin_unlock(&guards.lock, flags);
}

static bool unguard(void *ctx, hca_dma_addr_t addr, u64 len)
{
	ib_guard_range(ctx, addr, len, GUARD_UNMAP);
	return false;
}

void ib_guard_del(struct ib_device *dev)
{
	struct ib_device **at;
	hca_irqflags_t flags;

	hca_spin_lock(&guards.lock, flags);
	for (at = &guards.first; *at != dev; at = &(*at)->next_guard)
		;
	*at = dev->next_guard;
	hca_spin_unlock(&guards.lock, flags);
	/* Another device's thread may be reporting a write into a mapping of this one. */
	while (hca_load_acquire(&dev->guard_users))
		hca_pause();
	/* What it leaves mapped goes with it. */
	hca_ledger_find_live(dev->ledger, unguard, dev);
}

u64 ib_origin(struct ib_device *dev, hca_dma_addr_t addr, u64 *len)
{
	struct machine *m = ib_machine(dev);
	u64 off;

	if (!dev->dma_ops)
		return m->ops->origin(dev->dma_device, addr, len);
	if (dev->style == IB_DMA_BY_OPS)
		return NO_MEMORY_HERE;
	off = hca_addr_tagged(addr) ? hca_tag_phys(addr) - m->map.phys : hca_dma_u64(addr) - m->map.virt;
	return hca_dma_in_range(off, *len, m->map.all_bytes) ? off : NO_MEMORY_HERE;
}

void ib_guard_range(struct ib_device *dev, hca_dma_addr_t addr, u64 len, enum guard_how how)
{
	if (!dev->guard)
		return;
	while (len) {
		u64 run = len;
		u64 off = ib_origin(dev, addr, &run);

		if (off == NO_MEMORY_HERE || !run)
			return;
		guard_range(ib_machine(dev), off, run, how);
		addr += run;
		len -= run;
	}
}

struct hit {
	struct ib_device *dev;
	u64 off;
	hca_dma_addr_t addr; /* found */
};

static bool covers(void *ctx, hca_dma_addr_t addr, u64 len)
{
	struct hit *h = ctx;

	while (len) {
		u64 run = len;
		u64 off = ib_origin(h->dev, addr, &run);

		if (off == NO_MEMORY_HERE || !run)
			return false;
		if (h->off - off < run) {
			h->addr = addr + (h->off - off);
			return true;
		}
		addr += run;
		len -= run;
	}
	return false;
}

/* "function+0x1c (program)", or as much of it as the dynamic linker knows */
static void name_site(struct guard_site *s)
{
	const void *code = s->code;
	const char *file, *slash;
	Dl_info info;

	if (!dladdr(code, &info) || !info.dli_fname) {
		hca_snprintf(s->name, SITE_LEN, "code at %p", code);
		return;
	}
	file = info.dli_fname;
	for (slash = file; *slash; slash++)
		if (*slash == '/')
			file = slash + 1;
	if (info.dli_sname)
		hca_snprintf(s->name, SITE_LEN, "%s+0x%lx (%s)", info.dli_sname,
			     (unsigned long)((uintptr_t)code - (uintptr_t)info.dli_saddr), file);
	else
		hca_snprintf(s->name, SITE_LEN, "%s+0x%lx", file,
			     (unsigned long)((uintptr_t)code - (uintptr_t)info.dli_fbase));
}

/* The lock is held. */
static struct guard_site *site_of(const void *code)
{
	struct guard_site *s;
	u32 i;

	hca_spin_assert(&guards.lock);
	for (i = 0; i < guards.nsites; i++)
		if (guards.site[i].code == code)
			return &guards.site[i];
	s = &guards.site[i];
	if (i == MAX_SITES) {
		hca_snprintf(s->name, SITE_LEN, "some code");
		return s;
	}
	guards.nsites++;
	s->code = code;
	s->reports = 0;
	name_site(s);
	return s;
}

/* A write may have hit pages of several devices' mappings: the first device that has the byte reports it. */
static void one_hit(void *ctx, u64 off, const void *code)
{
	struct machine *m = ctx;
	struct hit h = { .off = off };
	struct guard_site *site;
	hca_irqflags_t flags;
	bool last = false;

	hca_spin_lock(&guards.lock, flags);
	site = site_of(code);
	if (site->reports >= SITE_REPORTS) {
		hca_spin_unlock(&guards.lock, flags);
		return;
	}
	for (h.dev = guards.first; h.dev; h.dev = h.dev->next_guard)
		if (ib_machine(h.dev) == m && hca_ledger_find_live(h.dev->ledger, covers, &h))
			break;
	if (h.dev) {
		hca_fetch_add(&h.dev->guard_users, 1);
		last = ++site->reports == SITE_REPORTS;
	}
	hca_spin_unlock(&guards.lock, flags);
	if (!h.dev)
		return;
	hca_ledger_report_write(h.dev->ledger, h.addr, site->name);
	if (last)
		hca_log(HCA_LOG_WARN, "%s: further writes by %s into memory of devices aren't reported", m->name,
			site->name);
	hca_fetch_add(&h.dev->guard_users, (u32)-1);
}

void ib_guard_poll(struct ib_device *dev)
{
	struct machine *m = ib_machine(dev);

	guard_take_hits(m, one_hit, m);
}
