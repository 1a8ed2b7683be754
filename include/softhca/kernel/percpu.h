/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Per-CPU data. A process can't keep its threads on a CPU, so a "CPU" is a slot here, and there are as many as
 * NR_CPUS, whatever the machine has. get_cpu() gives a thread a slot that no other thread has until put_cpu(), as do
 * preempt_disable() and local_irq_save(): what is changed between them is this thread's. this_cpu_add() and its like are
 * atomic by themselves, in the slot or, outside, in that of the CPU. this_cpu_ptr() and smp_processor_id()
 * outside of a slot are reported, as Linux reports them in preemptible code. Included by softhca/kernel.h.
 */
#ifndef SOFTHCA_KERNEL_PERCPU_H
#define SOFTHCA_KERNEL_PERCPU_H

#include "softhca/kernel/alloc.h"
#include "softhca/kernel/atomic_more.h"

#define NR_CPUS 32
#define nr_cpu_ids ((unsigned int)NR_CPUS)
#define num_possible_cpus() nr_cpu_ids
#define num_online_cpus() nr_cpu_ids
#define num_present_cpus() nr_cpu_ids

/* From a slot's variable to that of the next one; no variable is larger. */
#define SOFTHCA_CPU_STRIDE 0x8000

#pragma GCC visibility push(default)

/** softhca_get_cpu() - a slot for this thread alone, once more if it has one. Waits while all are taken. @at: the line. Return: its number. */
unsigned int softhca_get_cpu(const char *at);

/** softhca_put_cpu() - give it back, with as many calls */
void softhca_put_cpu(void);

/** softhca_cpu() - the thread's slot, or that of its CPU, which others may have too. Any context. */
unsigned int softhca_cpu(void);

/** softhca_this_cpu() - the thread's slot; a thread that has none is reported. @at: the line. */
unsigned int softhca_this_cpu(const char *at);

/** softhca_alloc_percpu() - @size bytes in each slot, zeroed. May sleep. Return: those of slot 0, for free_percpu(); NULL: no memory, or too many bytes. */
void *softhca_alloc_percpu(size_t size);

/** free_percpu() - NULL is allowed. May sleep. */
void free_percpu(void *p);

/** struct percpu_ref - references to something that may die; @release is called when it is dead and the last one is gone */
struct percpu_ref {
	atomic_long_t count;
	void (*release)(struct percpu_ref *ref);
	bool dead;
};

#pragma GCC visibility pop

#define __percpu
#define get_cpu() ((int)softhca_get_cpu(SOFTHCA_AT_))
#define put_cpu() softhca_put_cpu()
#define preempt_disable() ((void)get_cpu())
#define preempt_enable() softhca_put_cpu()
#define local_irq_save(flags) ((flags) = 0, (void)get_cpu())
#define local_irq_restore(flags) ((void)(flags), softhca_put_cpu())
#define local_irq_disable() ((void)get_cpu())
#define local_irq_enable() softhca_put_cpu()
#define local_bh_disable() ((void)get_cpu())
#define local_bh_enable() softhca_put_cpu()
#define smp_processor_id() ((int)softhca_this_cpu(SOFTHCA_AT_))
#define raw_smp_processor_id() ((int)softhca_cpu())
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (unsigned int)(cpu) < nr_cpu_ids; (cpu)++)
#define for_each_online_cpu(cpu) for_each_possible_cpu(cpu)
#define for_each_present_cpu(cpu) for_each_possible_cpu(cpu)
#define cpu_online(cpu) ((unsigned int)(cpu) < nr_cpu_ids)

/** DEFINE_PER_CPU() - a variable of each slot, zero at first; it takes no initialiser. Its name is that of slot 0's. */
#define DEFINE_PER_CPU(type, name) \
	char softhca_percpu_##name[NR_CPUS * SOFTHCA_CPU_STRIDE] __attribute__((aligned(64))); \
	_Static_assert(sizeof(type) <= SOFTHCA_CPU_STRIDE, "a per-CPU variable is too large"); \
	extern __typeof__(type) name __attribute__((alias("softhca_percpu_" #name)))
#define DEFINE_PER_CPU_SHARED_ALIGNED(type, name) DEFINE_PER_CPU(type, name)
#define DEFINE_PER_CPU_ALIGNED(type, name) DEFINE_PER_CPU(type, name)
#define DECLARE_PER_CPU(type, name) extern __typeof__(type) name
#define DECLARE_PER_CPU_SHARED_ALIGNED(type, name) DECLARE_PER_CPU(type, name)

/** alloc_percpu() - a @type for each slot, zeroed; NULL: no memory. May sleep. free_percpu() takes it. */
#define alloc_percpu(type) ((__typeof__(type) *)softhca_alloc_percpu(sizeof(type)))
#define alloc_percpu_gfp(type, gfp) ((void)(gfp), alloc_percpu(type))
#define per_cpu_ptr(p, cpu) ((__typeof__(&*(p)))(void *)((char *)(uintptr_t)(p) + (size_t)(cpu)*SOFTHCA_CPU_STRIDE))
#define per_cpu(name, cpu) (*per_cpu_ptr(&(name), cpu))
#define this_cpu_ptr(p) per_cpu_ptr(p, softhca_this_cpu(SOFTHCA_AT_))
#define raw_cpu_ptr(p) per_cpu_ptr(p, softhca_cpu())
#define get_cpu_ptr(p) per_cpu_ptr(p, get_cpu())
#define put_cpu_ptr(p) ((void)(p), softhca_put_cpu())
#define get_cpu_var(name) (*get_cpu_ptr(&(name)))
#define put_cpu_var(name) put_cpu_ptr(&(name))

/* Atomic: right wherever the thread is. Those with underscores are for a thread that has a slot. */
#define this_cpu_read(v) __atomic_load_n(raw_cpu_ptr(&(v)), __ATOMIC_RELAXED)
#define this_cpu_write(v, n) __atomic_store_n(raw_cpu_ptr(&(v)), n, __ATOMIC_RELAXED)
#define this_cpu_add(v, n) ((void)__atomic_fetch_add(raw_cpu_ptr(&(v)), n, __ATOMIC_RELAXED))
#define this_cpu_sub(v, n) ((void)__atomic_fetch_sub(raw_cpu_ptr(&(v)), n, __ATOMIC_RELAXED))
#define this_cpu_inc(v) this_cpu_add(v, 1)
#define this_cpu_dec(v) this_cpu_sub(v, 1)
#define this_cpu_add_return(v, n) __atomic_add_fetch(raw_cpu_ptr(&(v)), n, __ATOMIC_RELAXED)
#define this_cpu_inc_return(v) this_cpu_add_return(v, 1)
#define this_cpu_xchg(v, n) __atomic_exchange_n(raw_cpu_ptr(&(v)), n, __ATOMIC_RELAXED)
#define __this_cpu_read(v) (*this_cpu_ptr(&(v)))
#define __this_cpu_write(v, n) ((void)(*this_cpu_ptr(&(v)) = (n)))
#define __this_cpu_add(v, n) ((void)(*this_cpu_ptr(&(v)) += (n)))
#define __this_cpu_inc(v) __this_cpu_add(v, 1)
#define __this_cpu_dec(v) __this_cpu_add(v, -1)

/* --- references that may die --- */

/** percpu_ref_init() - one reference, that percpu_ref_kill() drops. @flags, @gfp: without effect. Return: 0. */
static inline int percpu_ref_init(struct percpu_ref *ref, void (*release)(struct percpu_ref *ref), unsigned int flags,
				  gfp_t gfp)
{
	(void)flags;
	(void)gfp;
	*ref = (struct percpu_ref){ .count = { 1 }, .release = release };
	return 0;
}

static inline void percpu_ref_exit(struct percpu_ref *ref)
{
	(void)ref;
}

static inline bool percpu_ref_is_dying(struct percpu_ref *ref)
{
	return __atomic_load_n(&ref->dead, __ATOMIC_ACQUIRE);
}

static inline bool percpu_ref_is_zero(struct percpu_ref *ref)
{
	return !atomic_long_read(&ref->count);
}

static inline void percpu_ref_get(struct percpu_ref *ref)
{
	atomic_long_inc(&ref->count);
}

/** percpu_ref_tryget() - Return: false: the last one is gone; _live: or it is dead */
static inline bool percpu_ref_tryget(struct percpu_ref *ref)
{
	long was = atomic_long_read(&ref->count);

	while (was && !try_cmpxchg(&ref->count.counter, &was, was + 1))
		;
	return was != 0;
}

static inline void percpu_ref_put(struct percpu_ref *ref)
{
	if (!atomic_long_dec_return(&ref->count))
		ref->release(ref);
}

static inline bool percpu_ref_tryget_live(struct percpu_ref *ref)
{
	return !percpu_ref_is_dying(ref) && percpu_ref_tryget(ref);
}

/** percpu_ref_kill() - it is dead, and its first reference is gone */
static inline void percpu_ref_kill(struct percpu_ref *ref)
{
	WARN_ON(__atomic_exchange_n(&ref->dead, true, __ATOMIC_SEQ_CST));
	percpu_ref_put(ref);
}

#endif
