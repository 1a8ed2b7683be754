/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Pieces of files as memory of a machine. The end of low memory is no memory but
 * addresses, in pieces of 2 MiB; a piece shows a part of a file in both views of the
 * arena, the CPU's and the devices', so adapters map it and reach it like any other page.
 * A piece without a file shows the arena's own pages, so a stray access does no harm.
 *
 * A file may become shorter, or be unreadable: then an access is a SIGBUS. The
 * handler puts a page of the arena there, and notes it with the piece. The
 * same is done for a write to a piece that may only be read. The handler may run at any
 * instruction of any thread, as guard.c's.
 */
#include "platform.h"
#include "platform/trap.h"

#define MAX_MACHINES 16u
#define NO_PIECE (~0u)

/**
 * struct file_piece - @used: bytes that are mapped, 0: free; STUCK: can't be used any more
 * @failed: an access didn't find the file's bytes; atomic
 */
struct file_piece {
	u32 used;
	u32 failed;
};

#define STUCK 1u

/* The handler's view: machines with files, and how many handlers are looking at them. Atomic. */
static struct machine *machines[MAX_MACHINES];
static u32 looking;

static u32 piece_count(const struct machine *m)
{
	return (u32)(m->map.file_bytes / MACHINE_FILE_PIECE);
}

static u64 piece_offset(const struct machine *m, u32 i)
{
	return m->ram_low + i * MACHINE_FILE_PIECE;
}

/* --- faults --- */

/* Which byte of the arena an address of the machine's pieces is, in either view; else NO_MEMORY_HERE. */
static u64 file_offset(const struct machine *m, const void *addr)
{
	u64 low = (uintptr_t)addr - m->map.virt, bus = (uintptr_t)addr - (uintptr_t)m->bus_view;

	if (low - m->ram_low < m->map.file_bytes)
		return low;
	return bus - m->ram_low < m->map.file_bytes ? bus : NO_MEMORY_HERE;
}

static bool cover(struct machine *m, const void *addr, u64 off)
{
	struct file_piece *p = &m->files[(off - m->ram_low) / MACHINE_FILE_PIECE];
	uintptr_t at = (uintptr_t)addr & ~(uintptr_t)(PAGE_SIZE - 1);

	__atomic_store_n(&p->failed, 1, __ATOMIC_SEQ_CST);
	return !hca_arena_cover((void *)at, m->arena, off & ~(u64)(PAGE_SIZE - 1), PAGE_SIZE);
}

/* The fault of a signal that was sent has no address. */
static bool ours(const siginfo_t *info, const void *uc)
{
	bool done = false;
	u32 i;

	(void)uc;
	if (info->si_code <= 0)
		return false;
	__atomic_fetch_add(&looking, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < MAX_MACHINES && !done; i++) {
		struct machine *m = __atomic_load_n(&machines[i], __ATOMIC_SEQ_CST);
		u64 off = m ? file_offset(m, info->si_addr) : NO_MEMORY_HERE;

		done = off != NO_MEMORY_HERE && cover(m, info->si_addr, off);
	}
	__atomic_fetch_sub(&looking, 1, __ATOMIC_SEQ_CST);
	return done;
}

/* --- life --- */

static bool enter(struct machine *m)
{
	u32 i;

	for (i = 0; i < MAX_MACHINES; i++)
		if (!hca_load(&machines[i]) && !hca_cmpxchg(&machines[i], NULL, m))
			return true;
	return false;
}

int file_init(struct machine *m)
{
	if (!m->map.file_bytes)
		return 0;
	m->files = hca_alloc(piece_count(m) * sizeof(*m->files), HCA_MAY_SLEEP);
	if (!m->files)
		return -ENOMEM;
	if (!enter(m)) {
		hca_free(m->files);
		return -ENOMEM;
	}
	trap_get(TRAP_BUS, ours);
	trap_get(TRAP_SEGV, ours);
	return 0;
}

void file_fini(struct machine *m)
{
	u32 i;

	if (!m->map.file_bytes)
		return;
	for (i = 0; i < MAX_MACHINES; i++)
		hca_cmpxchg(&machines[i], m, NULL);
	while (hca_fetch_add(&looking, 0))
		hca_pause();
	trap_put(TRAP_SEGV);
	trap_put(TRAP_BUS);
	hca_free(m->files);
}

u32 file_pieces(struct machine *m)
{
	hca_irqflags_t flags;
	u32 i, n = 0;

	hca_spin_lock(&m->file_lock, flags);
	for (i = 0; i < piece_count(m); i++)
		n += m->files[i].used > STUCK;
	hca_spin_unlock(&m->file_lock, flags);
	return n;
}

/* --- pieces --- */

static u32 take_piece(struct machine *m, u32 bytes)
{
	u32 n = piece_count(m), i, at = NO_PIECE;
	hca_irqflags_t flags;

	hca_spin_lock(&m->file_lock, flags);
	for (i = 0; i < n; i++) {
		at = (m->file_next + i) % n;
		if (!m->files[at].used)
			break;
	}
	if (i == n) {
		at = NO_PIECE;
	} else {
		m->files[at].used = bytes;
		m->file_next = at + 1;
	}
	hca_spin_unlock(&m->file_lock, flags);
	return at;
}

static void put_piece(struct machine *m, u32 at, u32 used)
{
	hca_irqflags_t flags;

	hca_spin_lock(&m->file_lock, flags);
	m->files[at].used = used;
	hca_spin_unlock(&m->file_lock, flags);
}

/* The arena's own pages again, in both views. */
static int show_arena(struct machine *m, u64 off, u64 bytes)
{
	int err = hca_arena_show(machine_offset_virt(m, off), m->arena, off, (size_t)bytes, HCA_PROT_RW);

	return err ? err : hca_arena_show(machine_bus_ptr(m, off), m->arena, off, (size_t)bytes, HCA_PROT_RW);
}

/* Without its views a piece is never handed out again: an adapter might find a file there that isn't its own. */
static void drop_piece(struct machine *m, u32 at, u32 bytes)
{
	u64 off = piece_offset(m, at);
	bool stuck = show_arena(m, off, bytes);

	if (stuck)
		hca_log(HCA_LOG_WARN,
			"%s: the host has no room to take a file out of memory; 2 MiB of addresses are lost", m->name);
	/* Zeros that stood for missing bytes take memory. */
	else if (hca_load(&m->files[at].failed))
		hca_arena_discard(m->arena, off, bytes);
	put_piece(m, at, stuck ? STUCK : 0);
}

int machine_map_file(struct machine *m, int fd, u64 at, u64 bytes, bool write, struct page **page)
{
	enum hca_prot prot = write ? HCA_PROT_RW : HCA_PROT_READ;
	u64 off;
	u32 piece;
	int err;

	if (!m || !page)
		return hca_refuse(-EINVAL, "file not mapped: machine or page is NULL");
	if (!bytes || (at | bytes) & (PAGE_SIZE - 1) || bytes > MACHINE_FILE_PIECE)
		return hca_refuse(-EINVAL,
				  "%s: file not mapped: %llu bytes from %llu, must be whole pages, %llu bytes at most",
				  m->name, (unsigned long long)bytes, (unsigned long long)at,
				  (unsigned long long)MACHINE_FILE_PIECE);
	piece = m->map.file_bytes ? take_piece(m, (u32)bytes) : NO_PIECE;
	if (piece == NO_PIECE)
		return hca_refuse(-ENOSPC, "%s: file not mapped: no addresses are free (machine_attr.file_bytes)",
				  m->name);
	off = piece_offset(m, piece);
	hca_store(&m->files[piece].failed, 0);
	err = hca_arena_show_file(machine_offset_virt(m, off), fd, at, (size_t)bytes, prot);
	if (!err)
		err = hca_arena_show_file(machine_bus_ptr(m, off), fd, at, (size_t)bytes, prot);
	if (err) {
		drop_piece(m, piece, (u32)bytes);
		return err;
	}
	*page = page_from_offset(m, off);
	return 0;
}

/* The piece that begins with a page; NO_PIECE if none does, or none is there. */
static u32 piece_of(const struct page *page)
{
	struct machine *m = map_machine(page->map);
	u64 off = page_index(page) << PAGE_SHIFT;
	u32 i = (u32)((off - m->ram_low) / MACHINE_FILE_PIECE);

	if (off - m->ram_low >= m->map.file_bytes || piece_offset(m, i) != off || hca_load(&m->files[i].used) <= STUCK)
		return NO_PIECE;
	return i;
}

bool machine_file_failed(const struct page *page)
{
	u32 i = piece_of(page);

	return i == NO_PIECE || hca_load_acquire(&map_machine(page->map)->files[i].failed);
}

void machine_unmap_file(struct page *page)
{
	u32 i = page ? piece_of(page) : NO_PIECE;
	struct machine *m;

	if (!page)
		return;
	HCA_WARN_ON(i == NO_PIECE);
	if (i == NO_PIECE)
		return;
	m = map_machine(page->map);
	drop_piece(m, i, m->files[i].used);
}
