/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Write protection of low memory that a device owns, and the CPU writes that it
 * catches. src/ib says which ranges; a fault handler notes who wrote and lets the
 * write happen: it's a report, not a punishment.
 *
 * A fault is a signal here (trap.h), so this file speaks to the system. What judges it may
 * run at any instruction of any thread: it takes no lock, allocates nothing, and
 * leaves alone whatever isn't its own. Of the os layer it calls hca_arena_protect() alone;
 * its atomics are the compiler's, because an os layer may do more in its own than a
 * handler can.
 */
#include <ucontext.h>

#include "platform.h"
#include "platform/trap.h"

#define MAX_GUARDED 16u
#define MAX_HITS 256u

/* A hit goes from FREE through BUSY to FULL, and from there through BUSY to FREE. */
enum { HIT_FREE, HIT_BUSY, HIT_FULL };

struct guard_hits {
	u32 lost; /* atomic */
	u32 gave_up; /* atomic: how often all of low memory was made writable, for want of mappings */
	u32 said; /* what was logged, once each; guard_lock's */
	struct {
		u32 state; /* atomic; what follows belongs to whoever made it BUSY */
		u64 off;
		const void *code;
	} hit[MAX_HITS];
};

/* The handler's view: machines that guard, and how many handlers are looking at them. Atomic. */
static struct machine *guarded[MAX_GUARDED];
static u32 looking;

static bool is_write(const ucontext_t *uc)
{
#if defined(__x86_64__) || defined(__i386__)
	return uc->uc_mcontext.gregs[REG_ERR] & 2;
#else
	(void)uc;
	return true; /* low memory can always be read, so nothing else is refused there */
#endif
}

static const void *code_address(const ucontext_t *uc)
{
#if defined(__x86_64__)
	return (const void *)(uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
	return (const void *)(uintptr_t)uc->uc_mcontext.gregs[REG_EIP];
#else
	(void)uc;
	return NULL;
#endif
}

static void note_hit(struct guard_hits *hits, u64 off, const void *code)
{
	u32 i;

	for (i = 0; i < MAX_HITS; i++) {
		u32 state = HIT_FREE;

		if (!__atomic_compare_exchange_n(&hits->hit[i].state, &state, HIT_BUSY, false, __ATOMIC_ACQUIRE,
						 __ATOMIC_RELAXED))
			continue;
		hits->hit[i].off = off;
		hits->hit[i].code = code;
		__atomic_store_n(&hits->hit[i].state, HIT_FULL, __ATOMIC_RELEASE);
		return;
	}
	__atomic_fetch_add(&hits->lost, 1, __ATOMIC_RELAXED);
}

enum { SAID_LOST = 1, SAID_UNSEEN = 2 };

/*
 * Makes pages writable. A range with another protection than its neighbours is a mapping of its own to the host, which
 * has a limit of them (vm.max_map_count): where one page can't be had, all of low memory can, as that only joins
 * mappings. Writes are then not detected until the pages are guarded again, but the process continues.
 */
static bool allow(struct machine *m, void *at, u64 bytes)
{
	struct guard_hits *hits = m->guard_hits;

	if (!hca_arena_protect(at, (size_t)bytes, HCA_PROT_RW))
		return true;
	if (hca_arena_protect((void *)m->map.virt, (size_t)m->ram_low, HCA_PROT_RW))
		return false;
	__atomic_fetch_add(&hits->gave_up, 1, __ATOMIC_RELAXED);
	return true;
}

static bool let_write(struct machine *m, u64 off, const void *code)
{
	struct page *page = &m->map.pages[off >> PAGE_SHIFT];
	void *at = machine_offset_virt(m, off & ~(u64)(PAGE_SIZE - 1));

	if (__atomic_load_n(&page->guards, __ATOMIC_ACQUIRE)) {
		note_hit(m->guard_hits, off, code);
		return allow(m, at, PAGE_SIZE);
	}
	/*
	 * Another thread is just giving the page back, or has while we got here: no hit. If it is guarded once more
	 * in the meantime, the write faults again and is one.
	 */
	if (!allow(m, at, PAGE_SIZE))
		return false;
	if (__atomic_load_n(&page->guards, __ATOMIC_ACQUIRE))
		hca_arena_protect(at, PAGE_SIZE, HCA_PROT_READ);
	return true;
}

static bool ours(const siginfo_t *info, const void *uc)
{
	bool done = false;
	u32 i;

	if (info->si_code != SEGV_ACCERR || !is_write(uc))
		return false;
	__atomic_fetch_add(&looking, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < MAX_GUARDED; i++) {
		struct machine *m = __atomic_load_n(&guarded[i], __ATOMIC_SEQ_CST);
		u64 off = m ? machine_ptr_offset(m, info->si_addr) : NO_MEMORY_HERE;

		if (off >= (m ? m->ram_low : 0))
			continue;
		done = let_write(m, off, code_address(uc));
		break;
	}
	__atomic_fetch_sub(&looking, 1, __ATOMIC_SEQ_CST);
	return done;
}

static bool enter(struct machine *m)
{
	u32 i;

	for (i = 0; i < MAX_GUARDED; i++)
		if (!hca_load(&guarded[i]) && !hca_cmpxchg(&guarded[i], NULL, m))
			return true;
	return false;
}

int guard_init(struct machine *m)
{
	if (!m->guard)
		return 0;
	m->guard_hits = hca_alloc(sizeof(struct guard_hits), HCA_MAY_SLEEP);
	if (!m->guard_hits)
		return -ENOMEM;
	if (!enter(m)) {
		hca_free(m->guard_hits);
		return -ENOMEM;
	}
	trap_get(TRAP_SEGV, ours);
	return 0;
}

void guard_fini(struct machine *m)
{
	u32 i;

	if (!m->guard)
		return;
	for (i = 0; i < MAX_GUARDED; i++)
		hca_cmpxchg(&guarded[i], m, NULL);
	while (hca_fetch_add(&looking, 0))
		hca_pause();
	trap_put(TRAP_SEGV);
	hca_free(m->guard_hits);
}

/* Return: did the page's protection change with its count? */
static bool count_page(struct page *page, enum guard_how how)
{
	u32 old = hca_load(&page->guards);
	u32 now = 0;

	switch (how) {
	case GUARD_MAP:
		now = old + 1;
		break;
	case GUARD_UNMAP:
		now = old ? old - 1 : 0;
		break;
	case GUARD_TO_CPU:
		break;
	case GUARD_TO_DEVICE:
		now = old ? old : 1;
		break;
	}
	if (now != old)
		hca_store_release(&page->guards, now);
	return !now != !old;
}

/* Once a machine and kind, so that a host without room doesn't fill the log. guard_lock is held. */
static bool first_time(struct machine *m, u32 what)
{
	struct guard_hits *hits = m->guard_hits;
	bool first = !(hits->said & what);

	hca_spin_assert(&m->guard_lock);
	hits->said |= what;
	return first;
}

static void protect_pages(struct machine *m, u64 first, u64 end, enum guard_how how)
{
	bool guard = how == GUARD_MAP || how == GUARD_TO_DEVICE;
	void *at = machine_offset_virt(m, first << PAGE_SHIFT);
	u64 bytes = (end - first) << PAGE_SHIFT;

	hca_spin_assert(&m->guard_lock);
	if (first >= end)
		return;
	if (guard ? !hca_arena_protect(at, (size_t)bytes, HCA_PROT_READ) : allow(m, at, bytes))
		return;
	if (first_time(m, SAID_UNSEEN))
		hca_log(HCA_LOG_WARN, "%s: the host refuses to protect memory; writes into some of it go unseen",
			m->name);
}

void guard_range(struct machine *m, u64 off, u64 len, enum guard_how how)
{
	hca_irqflags_t flags;
	u64 first, end, run, i;

	if (!m->guard || off >= m->ram_low)
		return;
	end = (off + HCA_MIN(len, m->ram_low - off)) >> PAGE_SHIFT;
	first = (off + PAGE_SIZE - 1) >> PAGE_SHIFT;
	hca_spin_lock(&m->guard_lock, flags);
	for (i = run = first; i < end; i++) {
		if (count_page(&m->map.pages[i], how))
			continue;
		protect_pages(m, run, i, how);
		run = i + 1;
	}
	protect_pages(m, run, end, how);
	hca_spin_unlock(&m->guard_lock, flags);
}

void guard_take_hits(struct machine *m, void (*hit)(void *ctx, u64 off, const void *code), void *ctx)
{
	struct guard_hits *hits = m->guard_hits;
	u32 i, lost, gave_up;
	hca_irqflags_t flags;
	const void *code;
	u64 off;

	if (!m->guard)
		return;
	for (i = 0; i < MAX_HITS; i++) {
		if (hca_load(&hits->hit[i].state) != HIT_FULL ||
		    hca_cmpxchg(&hits->hit[i].state, HIT_FULL, HIT_BUSY) != HIT_FULL)
			continue;
		off = hits->hit[i].off;
		code = hits->hit[i].code;
		hca_store_release(&hits->hit[i].state, HIT_FREE);
		hit(ctx, off, code);
	}
	lost = hca_load(&hits->lost);
	gave_up = hca_load(&hits->gave_up);
	if (hca_likely(!lost && !gave_up))
		return;
	hca_spin_lock(&m->guard_lock, flags);
	lost = lost && first_time(m, SAID_LOST) ? lost : 0;
	gave_up = gave_up && first_time(m, SAID_UNSEEN) ? gave_up : 0;
	hca_spin_unlock(&m->guard_lock, flags);
	if (lost)
		hca_log(HCA_LOG_WARN,
			"%s: %u CPU writes into device memory weren't noted, for want of room; further ones aren't counted",
			m->name, lost);
	if (gave_up)
		hca_log(HCA_LOG_WARN,
			"%s: the host has no more mappings (vm.max_map_count); writes into memory that was guarded go unseen",
			m->name);
}
