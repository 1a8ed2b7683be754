/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The machine's fault records: who reached for what and was refused. Written by the
 * platforms' open(), in any context; read by programs that want to know why a work
 * request failed. A record is never lost silently: the serial numbers show the gap.
 */
#include "platform.h"

int fault_init(struct machine *m)
{
	m->faults = hca_alloc(FAULT_RECORDS * sizeof(*m->faults), HCA_MAY_SLEEP);
	return m->faults ? 0 : -ENOMEM;
}

void fault_fini(struct machine *m)
{
	hca_free(m->faults);
}

int fault_record(struct device *dev, hca_dma_addr_t addr, enum hca_mem_op access, enum fault_reason reason)
{
	struct machine *m = dev->machine;
	u64 now = hca_now_ns();
	hca_irqflags_t flags;
	struct bus_fault *f;

	hca_spin_lock(&m->fault_lock, flags);
	f = &m->faults[m->fault_serial++ % FAULT_RECORDS];
	f->serial = m->fault_serial;
	hca_memcpy(f->device, dev->name, sizeof(f->device));
	f->addr = addr;
	f->access = (int)((u32)access >> HCA_MEM_OP_SHIFT);
	f->reason = reason;
	f->time_ns = now;
	hca_spin_unlock(&m->fault_lock, flags);
	return -EFAULT; /* the record says why */
}

int machine_faults(struct machine *m, struct bus_fault *buf, int max, u64 *total)
{
	hca_irqflags_t flags;
	u64 n, i;

	hca_spin_lock(&m->fault_lock, flags);
	n = HCA_MIN(m->fault_serial, (u64)FAULT_RECORDS);
	n = buf && max > 0 ? HCA_MIN(n, (u64)max) : 0;
	for (i = 0; i < n; i++)
		buf[i] = m->faults[(m->fault_serial - n + i) % FAULT_RECORDS];
	if (total)
		*total = m->fault_serial;
	hca_spin_unlock(&m->fault_lock, flags);
	return (int)n;
}

const char *fault_reason_str(enum fault_reason reason)
{
	switch (reason) {
	case FAULT_NOT_MAPPED:
		return "not mapped";
	case FAULT_NO_READ:
		return "not mapped for reading";
	case FAULT_NO_WRITE:
		return "not mapped for writing";
	case FAULT_NO_MEMORY:
		return "no memory there";
	case FAULT_BEYOND_MASK:
		return "beyond the device's mask";
	}
	return "unknown reason";
}
