/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Machines: how one is made and unmade, and which one an address belongs to.
 * Called by programs and tests, and by the rest of this folder for machine_at().
 * Nothing here may look at a page's state: that is page.c's.
 */
#include "platform.h"

#define MAX_MACHINES 64
#define DEFAULT_LOW (64ull << 20)
#define DEFAULT_PHYS (1ull << 30)
#define DEFAULT_APERTURE (64ull << 30)

/* A tagged address carries no more than 52 bits of a physical one. */
#define PHYS_END (1ull << 52)

/*
 * Bus address of physical address 0. On a direct machine so far up that no bus address of a machine of default
 * sizes is a physical address of it, nor a virtual one of a 32-bit process. On a bounce machine it must leave
 * something below 4 GiB to be reached, so it is merely not 0.
 */
#define DIRECT_BUS (256ull << 30)
#define BOUNCE_BUS (256ull << 20)
#define BOUNCE_REACH (4ull << 30)

/* The existing machines. Read under RCU; written by compare and exchange, because there is no place to initialise a lock. */
static struct machine *machines[MAX_MACHINES];
static struct machine *current_machine;

static const struct platform_ops *platform_of(enum machine_platform p)
{
	switch (p) {
	case MACHINE_DIRECT:
		return &platform_direct;
	case MACHINE_IOMMU:
		return &platform_iommu;
	case MACHINE_BOUNCE:
		return &platform_bounce;
	}
	return NULL;
}

static u64 huge_down(u64 bytes)
{
	return bytes & ~(HUGE_SIZE - 1);
}

/* The pool and half of low memory within reach of 32 bits, the rest beyond. */
static u64 default_phys(const struct machine_attr *a)
{
	u64 below;

	if (a->platform != MACHINE_BOUNCE)
		return DEFAULT_PHYS;
	below = HCA_MIN(a->bounce_bytes + huge_down(a->low_bytes / 2), a->low_bytes);
	below = HCA_MIN(below, BOUNCE_REACH - BOUNCE_BUS - HUGE_SIZE);
	return BOUNCE_REACH - BOUNCE_BUS - below;
}

static HCA_COLD int bad_attr(const struct machine_attr *a, const char *why)
{
	return hca_refuse(-EINVAL, "machine %s not made: %s", a->name, why);
}

static int fill_attr(struct machine_attr *a)
{
	if (!a->name)
		a->name = "machine";
	if (!a->low_bytes)
		a->low_bytes = DEFAULT_LOW;
	if (!a->iommu_aperture)
		a->iommu_aperture = DEFAULT_APERTURE;
	if (!a->bounce_bytes)
		a->bounce_bytes = HCA_MAX(HUGE_SIZE, huge_down(a->low_bytes / 16));
	if ((a->low_bytes | a->high_bytes | a->phys | a->iommu_aperture | a->bounce_bytes | a->file_bytes) &
	    (HUGE_SIZE - 1))
		return bad_attr(a, "sizes and phys must be multiples of 2 MiB");
	if (a->file_bytes && a->platform == MACHINE_BOUNCE)
		return bad_attr(a, "MACHINE_BOUNCE has no file_bytes");
	if (!platform_of(a->platform))
		return bad_attr(a, "there is no such platform");
	if (a->platform == MACHINE_BOUNCE && a->bounce_bytes >= a->low_bytes)
		return bad_attr(a, "bounce_bytes must be less than low_bytes");
	if (!hca_dma_in_range(a->low_bytes, a->high_bytes, PHYS_END) ||
	    !hca_dma_in_range(a->low_bytes + a->high_bytes, a->file_bytes, PHYS_END))
		return bad_attr(a, "the memory has no room among physical addresses");
	if (!a->phys)
		a->phys = default_phys(a);
	return hca_dma_in_range(a->phys, a->low_bytes + a->high_bytes + a->file_bytes, PHYS_END) ?
		       0 :
		       bad_attr(a, "the memory has no room among physical addresses from phys on");
}

static void set_up(struct machine *m, const struct machine_attr *a)
{
	m->ram_low = a->low_bytes;
	m->map.file_bytes = a->file_bytes;
	m->map.low_bytes = a->low_bytes + a->file_bytes;
	m->map.all_bytes = m->map.low_bytes + a->high_bytes;
	m->map.phys = a->phys;
	m->space.low = m->map.low_bytes;
	m->space.all = m->map.all_bytes;
	m->ops = platform_of(a->platform);
	m->lazy = a->iommu_lazy;
	m->aperture = a->iommu_aperture;
	m->guard = a->guard;
	m->bus_base = a->phys + (a->platform == MACHINE_BOUNCE ? BOUNCE_BUS : DIRECT_BUS);
	m->reserved = a->platform == MACHINE_BOUNCE ? a->bounce_bytes : 0;
	hca_snprintf(m->name, sizeof(m->name), "%s", a->name);
	hca_spin_init(&m->pages_lock);
	hca_spin_init(&m->kmap_lock);
	hca_spin_init(&m->guard_lock);
	hca_spin_init(&m->file_lock);
	hca_spin_init(&m->heap_lock);
	hca_spin_init(&m->fault_lock);
}

/* A reservation with the arena's first bytes in it. */
static void *show_all(const struct machine *m, u64 bytes)
{
	void *at = hca_arena_reserve((size_t)bytes);

	if (at && hca_arena_show(at, m->arena, 0, (size_t)bytes, HCA_PROT_RW)) {
		hca_arena_release(at, (size_t)bytes);
		at = NULL;
	}
	return at;
}

/* What the host says is what the caller hears: beyond ulimit -f is -EFBIG, no descriptor left -EMFILE. */
static int arena_init(struct machine *m)
{
	void *low;

	/* A 32-bit process has no room for it, however it is asked. */
	if (!hca_dma_in_range(0, m->map.all_bytes, (size_t)-1) || m->map.all_bytes >> PAGE_SHIFT >= ~0u)
		return hca_refuse(-ENOMEM, "machine %s not made: a process has no room for %llu bytes", m->name,
				  (unsigned long long)m->map.all_bytes);
	m->arena = hca_arena_open(m->name, m->map.all_bytes);
	if (m->arena < 0)
		return hca_refuse(m->arena, "machine %s not made: the host gives no memory of %llu bytes (error %d)",
				  m->name, (unsigned long long)m->map.all_bytes, m->arena);
	low = show_all(m, m->map.low_bytes);
	if (!low)
		goto close;
	m->bus_view = show_all(m, m->map.all_bytes);
	if (!m->bus_view)
		goto release;
	m->map.virt = (uintptr_t)low;
	return 0;
release:
	hca_arena_release(low, (size_t)m->map.low_bytes);
close:
	hca_arena_close(m->arena);
	return hca_refuse(-ENOMEM, "machine %s not made: no addresses for %llu bytes", m->name,
			  (unsigned long long)m->map.all_bytes);
}

static void arena_fini(struct machine *m)
{
	hca_arena_release(m->bus_view, (size_t)m->map.all_bytes);
	hca_arena_release((void *)m->map.virt, (size_t)m->map.low_bytes);
	hca_arena_close(m->arena);
}

static int publish(struct machine *m)
{
	u32 i;

	for (i = 0; i < MAX_MACHINES; i++) {
		if (hca_load(&machines[i]) || hca_cmpxchg(&machines[i], NULL, m))
			continue;
		hca_cmpxchg(&current_machine, NULL, m);
		return 0;
	}
	return hca_refuse(-ENOMEM, "machine %s not made: there are %u, as many as may be", m->name, MAX_MACHINES);
}

static void unpublish(struct machine *m)
{
	u32 i;

	hca_cmpxchg(&current_machine, m, NULL);
	for (i = 0; i < MAX_MACHINES; i++)
		hca_cmpxchg(&machines[i], m, NULL);
	/* Somebody who asks whose an unrelated address is may be looking at this machine. */
	hca_rcu_synchronize();
}

int machine_create(const struct machine_attr *attr, struct machine **out)
{
	struct machine_attr a;
	struct machine *m;
	int err;

	if (!attr || !out)
		return hca_refuse(-EINVAL, "machine not made: attributes or out is NULL");
	a = *attr;
	err = fill_attr(&a);
	if (err)
		return err;
	m = hca_alloc(sizeof(*m), HCA_MAY_SLEEP);
	if (!m)
		return -ENOMEM;
	set_up(m, &a);
	err = arena_init(m);
	if (err)
		goto free_machine;
	err = page_init(m);
	if (err)
		goto fini_arena;
	err = kmap_init(m);
	if (err)
		goto fini_pages;
	err = fault_init(m);
	if (err)
		goto fini_kmap;
	err = guard_init(m);
	if (err)
		goto fini_faults;
	err = file_init(m);
	if (err)
		goto fini_guard;
	err = m->ops->init(m, &a);
	if (err)
		goto fini_files;
	err = publish(m);
	if (err)
		goto fini_platform;
	*out = m;
	return 0;
fini_platform:
	m->ops->fini(m);
fini_files:
	file_fini(m);
fini_guard:
	guard_fini(m);
fini_faults:
	fault_fini(m);
fini_kmap:
	kmap_fini(m);
fini_pages:
	page_fini(m);
fini_arena:
	arena_fini(m);
free_machine:
	hca_free(m);
	return err;
}

static bool machine_busy(struct machine *m)
{
	u64 all = m->map.all_bytes - m->map.file_bytes - m->reserved;
	u64 pages = (all >> PAGE_SHIFT) - machine_free_pages(m);
	u32 devices = hca_load_acquire(&m->devices), files = file_pieces(m);

	if (devices)
		hca_log(HCA_LOG_ERR, "%s: not destroyed, %u devices are on it", m->name, devices);
	if (pages)
		hca_log(HCA_LOG_ERR, "%s: not destroyed, %llu pages weren't freed", m->name, (unsigned long long)pages);
	kmalloc_report(m);
	if (files)
		hca_log(HCA_LOG_ERR, "%s: not destroyed, %u pieces of files are mapped", m->name, files);
	return devices || pages || files;
}

int machine_destroy(struct machine *m)
{
	if (!m)
		return hca_refuse(-EINVAL, "machine not destroyed: it is NULL");
	if (machine_busy(m))
		return -EBUSY; /* machine_busy() says why */
	unpublish(m);
	m->ops->fini(m);
	kmalloc_fini(m);
	file_fini(m);
	guard_fini(m);
	fault_fini(m);
	kmap_fini(m);
	page_fini(m);
	arena_fini(m);
	hca_free(m);
	return 0;
}

static bool inside(const void *ptr, const void *first, u64 bytes)
{
	return (uintptr_t)ptr - (uintptr_t)first < bytes;
}

static bool machine_has(const struct machine *m, const void *ptr, enum machine_part *part)
{
	if (inside(ptr, (const void *)m->map.virt, m->map.low_bytes))
		*part = MACHINE_LOW;
	else if (inside(ptr, m->map.pages, m->map.all_bytes >> (PAGE_SHIFT - STRUCT_PAGE_SHIFT)))
		*part = MACHINE_PAGES;
	else if (inside(ptr, m->bus_view, m->map.all_bytes))
		*part = MACHINE_BUS_VIEW;
	else if (inside(ptr, m->kmap_window, KMAP_SLOTS * PAGE_SIZE))
		*part = MACHINE_KMAP;
	else
		return false;
	return true;
}

struct machine *machine_at(const void *ptr, enum machine_part *part)
{
	struct machine *m = NULL;
	u32 i;

	hca_rcu_read_lock();
	for (i = 0; i < MAX_MACHINES; i++) {
		m = hca_rcu_deref(machines[i]);
		if (m && machine_has(m, ptr, part))
			break;
		m = NULL;
	}
	hca_rcu_read_unlock();
	return m;
}

const struct machine_map *machine_map(const struct machine *m)
{
	return &m->map;
}

const char *machine_name(const struct machine *m)
{
	return m->name;
}

void machine_set_current(struct machine *m)
{
	hca_store_release(&current_machine, m);
}

struct machine *machine_current(void)
{
	return hca_load_acquire(&current_machine);
}
