/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sets of the slots that percpu.h calls CPUs. Included by softhca/kernel.h. */
#ifndef SOFTHCA_KERNEL_CPUMASK_H
#define SOFTHCA_KERNEL_CPUMASK_H

#include "softhca/kernel/misc.h"
#include "softhca/kernel/percpu.h"

typedef struct cpumask {
	unsigned long bits[BITS_TO_LONGS(NR_CPUS)];
} cpumask_t;

typedef struct cpumask cpumask_var_t[1];

#define CPU_BITS_ALL \
	{ \
		[0 ... BITS_TO_LONGS(NR_CPUS) - 1] = ~0ul \
	}
#define CPU_BITS_NONE \
	{ \
		[0 ... BITS_TO_LONGS(NR_CPUS) - 1] = 0ul \
	}
#define nr_cpumask_bits nr_cpu_ids
#define cpumask_bits(m) ((m)->bits)
#define cpumask_set_cpu(cpu, m) set_bit((long)(cpu), (m)->bits)
#define cpumask_clear_cpu(cpu, m) clear_bit((long)(cpu), (m)->bits)
#define cpumask_test_cpu(cpu, m) test_bit((long)(cpu), (m)->bits)
#define cpumask_setall(m) bitmap_fill((m)->bits, NR_CPUS)
#define cpumask_clear(m) bitmap_zero((m)->bits, NR_CPUS)
#define cpumask_copy(to, from) ((void)(*(to) = *(from)))
#define cpumask_weight(m) bitmap_weight((m)->bits, NR_CPUS)
#define cpumask_empty(m) bitmap_empty((m)->bits, NR_CPUS)
#define cpumask_first(m) ((unsigned int)find_first_bit((m)->bits, NR_CPUS))
/** cpumask_next() - the next one after @n, which may be -1; nr_cpu_ids: none */
#define cpumask_next(n, m) ((unsigned int)find_next_bit((m)->bits, NR_CPUS, (unsigned long)((n) + 1)))
#define for_each_cpu(cpu, m) \
	for ((cpu) = (__typeof__(cpu))cpumask_first(m); (unsigned int)(cpu) < nr_cpu_ids; \
	     (cpu) = (__typeof__(cpu))cpumask_next((int)(cpu), m))

static inline const struct cpumask *softhca_all_cpus(void)
{
	static const struct cpumask all = { CPU_BITS_ALL };

	return &all;
}

#define cpu_online_mask softhca_all_cpus()
#define cpu_possible_mask softhca_all_cpus()
#define cpu_present_mask softhca_all_cpus()
#define cpu_all_mask softhca_all_cpus()

#endif
