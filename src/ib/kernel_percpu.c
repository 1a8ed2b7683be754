/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Per-CPU data of kernel sources; see softhca/kernel/percpu.h. A chunk has as many bytes for each slot as the next slot is away,
 * and what is allocated in it is at the same place in each.
 */
#include <sched.h>
#include <sys/mman.h>

#include "kernel_private.h"
#include "softhca/kernel/percpu.h"

/* --- slots --- */

static u32 taken[NR_CPUS]; /* 1: a thread has it */

static __thread struct {
	unsigned int slot;
	u32 depth;
} mine;

static bool take(unsigned int slot)
{
	u32 no = 0;

	return __atomic_compare_exchange_n(&taken[slot], &no, 1u, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static unsigned int of_cpu(void)
{
	int cpu = sched_getcpu();

	return cpu < 0 ? 0 : (unsigned int)cpu % NR_CPUS;
}

unsigned int softhca_get_cpu(const char *at)
{
	unsigned int slot;

	if (!mine.depth++) {
		for (slot = of_cpu(); !take(slot); slot = (slot + 1) % NR_CPUS)
			if ((slot + 1) % NR_CPUS == of_cpu())
				sched_yield();
		mine.slot = slot;
	}
	softhca_spin_enter(at);
	return mine.slot;
}

void softhca_put_cpu(void)
{
	if (HCA_WARN_ON(!mine.depth))
		return;
	softhca_spin_leave();
	if (!--mine.depth)
		hca_store_release(&taken[mine.slot], 0u);
}

unsigned int softhca_cpu(void)
{
	return mine.depth ? mine.slot : of_cpu();
}

unsigned int softhca_this_cpu(const char *at)
{
	if (!mine.depth) {
		hca_log(HCA_LOG_ERR,
			"at %s: per-CPU data of a thread that may go to another CPU: no get_cpu() or preempt_disable()",
			at);
		HCA_WARN_ON(!mine.depth);
	}
	return softhca_cpu();
}

/* --- memory --- */

#define GRAIN 64u
#define GRAINS (SOFTHCA_CPU_STRIDE / GRAIN)

/* @length: of what begins at a grain, in grains. */
struct chunk {
	char *slots;
	struct chunk *next;
	u16 length[GRAINS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct chunk *chunks; /* under the lock */

static struct chunk *new_chunk(void)
{
	struct chunk *c = hca_alloc(sizeof(*c), HCA_MAY_SLEEP);
	void *slots;

	if (!c)
		return NULL;
	slots = mmap(NULL, NR_CPUS * SOFTHCA_CPU_STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (slots == MAP_FAILED) {
		hca_free(c);
		return NULL;
	}
	c->slots = slots;
	c->next = chunks;
	chunks = c;
	return c;
}

/* The first @n free grains in a row; GRAINS: there are none. */
static unsigned int find(const struct chunk *c, unsigned int n)
{
	unsigned int at = 0, run = 0;

	while (at < GRAINS && run < n) {
		run = c->length[at] ? 0 : run + 1;
		at += c->length[at] ? c->length[at] : 1;
	}
	return run < n ? GRAINS : at - n;
}

void *softhca_alloc_percpu(size_t size)
{
	unsigned int n = (unsigned int)DIV_ROUND_UP(size, GRAIN), at = GRAINS, cpu;
	struct chunk *c;
	char *p = NULL;

	might_sleep();
	if (!size || size > SOFTHCA_CPU_STRIDE)
		return NULL;
	pthread_mutex_lock(&lock);
	for (c = chunks; c && (at = find(c, n)) == GRAINS; c = c->next)
		;
	if (!c && (c = new_chunk()))
		at = 0;
	if (c) {
		c->length[at] = (u16)n;
		p = c->slots + at * GRAIN;
	}
	pthread_mutex_unlock(&lock);
	for (cpu = 0; p && cpu < NR_CPUS; cpu++)
		memset(per_cpu_ptr(p, cpu), 0, size);
	return p;
}

/* An empty chunk goes. */
static void shrink(struct chunk **at)
{
	struct chunk *c = *at;
	unsigned int i;

	for (i = 0; i < GRAINS; i++)
		if (c->length[i])
			return;
	*at = c->next;
	munmap(c->slots, NR_CPUS * SOFTHCA_CPU_STRIDE);
	hca_free(c);
}

void free_percpu(void *p)
{
	struct chunk **at;
	uintptr_t offset = 0;
	bool known = false;

	might_sleep();
	if (!p)
		return;
	pthread_mutex_lock(&lock);
	for (at = &chunks; *at; at = &(*at)->next) {
		offset = (uintptr_t)p - (uintptr_t)(*at)->slots;
		if (offset < SOFTHCA_CPU_STRIDE)
			break;
	}
	if (*at && !(offset % GRAIN) && (*at)->length[offset / GRAIN]) {
		known = true;
		(*at)->length[offset / GRAIN] = 0;
		shrink(at);
	}
	pthread_mutex_unlock(&lock);
	HCA_WARN_ON(!known);
}
