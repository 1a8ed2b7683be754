/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the module's exit wants of the kernel os layer, beyond the contract. */
#ifndef HCA_KERNEL_MEMORY_H
#define HCA_KERNEL_MEMORY_H

/** hca_memory_flush() - all that was freed is free when this returned; a warning if something was not. May sleep. */
void hca_memory_flush(void);

#endif
