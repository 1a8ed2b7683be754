/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ledger's reports in words: one line that says what, where, and what it should have been. */
#include "ib_private.h"

static const char *const names[HCA_MISUSE_KINDS] = {
	[HCA_MISUSE_LEAK] = "leak",
	[HCA_MISUSE_DOUBLE_UNMAP] = "double-unmap",
	[HCA_MISUSE_UNMAP_UNKNOWN] = "unmap-unknown",
	[HCA_MISUSE_UNMAP_SIZE] = "unmap-size",
	[HCA_MISUSE_UNMAP_DIR] = "unmap-direction",
	[HCA_MISUSE_UNMAP_KIND] = "unmap-kind",
	[HCA_MISUSE_USE_AFTER_UNMAP] = "use-after-unmap",
	[HCA_MISUSE_USE_UNMAPPED] = "use-unmapped",
	[HCA_MISUSE_USE_DIR] = "use-direction",
	[HCA_MISUSE_UNCHECKED] = "unchecked-error",
	[HCA_MISUSE_SYNC_OUTSIDE] = "sync-outside",
	[HCA_MISUSE_SYNC_DIR] = "sync-direction",
	[HCA_MISUSE_CPU_WRITE] = "cpu-write",
	[HCA_MISUSE_LIST] = "bad-list",
};

const char *hca_misuse_name(enum hca_misuse what)
{
	return (unsigned int)what < HCA_MISUSE_KINDS ? names[what] : "?";
}

static const char *dir_name(int dir)
{
	static const char *const name[] = { "bidirectional", "to-device", "from-device", "none" };

	return dir >= 0 && dir <= 3 ? name[dir] : "invalid";
}

static const char *kind_name(enum hca_map_kind kind)
{
	static const char *const name[] = { "single", "page", "sg", "coherent" };

	return (unsigned int)kind < HCA_ARRAY_SIZE(name) ? name[kind] : "?";
}

static const char *unit(enum hca_map_kind kind)
{
	return kind == HCA_MAP_LIST ? "entries" : "bytes";
}

/* If the machine let a wrong access through, only the ledger noticed it: the report says so. */
static const char *outcome(int err)
{
	return err ? "; the machine refused it" : "; the machine let it through";
}

static size_t what_str(const struct hca_misuse_report *r, char *buf, size_t size)
{
	unsigned long long addr = hca_dma_u64(r->addr), bytes = r->size;

	switch (r->what) {
	case HCA_MISUSE_LEAK:
		return hca_snprintf(buf, size, "still mapped at close");
	case HCA_MISUSE_DOUBLE_UNMAP:
		return hca_snprintf(buf, size, "unmap_%s of 0x%llx, which is unmapped already", kind_name(r->kind),
				    addr);
	case HCA_MISUSE_UNMAP_UNKNOWN:
		return hca_snprintf(buf, size, "unmap_%s of 0x%llx, where %s begins", kind_name(r->kind), addr,
				    r->has_map && r->map_addr == r->addr ? "another's mapping" : "no mapping");
	case HCA_MISUSE_UNMAP_SIZE:
		return hca_snprintf(buf, size, "unmap_%s of 0x%llx with %llu %s instead of %llu", kind_name(r->kind),
				    addr, bytes, unit(r->kind), (unsigned long long)r->map_size);
	case HCA_MISUSE_UNMAP_DIR:
		return hca_snprintf(buf, size, "unmap_%s of 0x%llx with direction %s instead of %s", kind_name(r->kind),
				    addr, dir_name(r->dir), dir_name(r->map_dir));
	case HCA_MISUSE_UNMAP_KIND:
		return hca_snprintf(buf, size, "unmap_%s of 0x%llx, which was mapped by map_%s", kind_name(r->kind),
				    addr, kind_name(r->map_kind));
	case HCA_MISUSE_USE_AFTER_UNMAP:
		return hca_snprintf(buf, size, "device access to %llu bytes at 0x%llx after unmap%s", bytes, addr,
				    outcome(r->outcome));
	case HCA_MISUSE_USE_UNMAPPED:
		if (addr >> 52 == hca_dma_u64(IB_DMA_SG_UNFILLED) >> 52)
			return hca_snprintf(
				buf, size,
				"device access to %llu bytes by sg_dma_address() of a list that its mapping didn't "
				"fill; call ib_sg_dma_address(), or map with fill_sg%s",
				bytes, outcome(r->outcome));
		return hca_snprintf(buf, size, "device access to %llu bytes at 0x%llx, which no mapping covers%s",
				    bytes, addr, outcome(r->outcome));
	case HCA_MISUSE_USE_DIR:
		return hca_snprintf(buf, size, "device %s at 0x%llx, which was mapped %s%s",
				    r->dir == DMA_TO_DEVICE   ? "reads" :
				    r->dir == DMA_FROM_DEVICE ? "writes" :
								"reads and writes",
				    addr, dir_name(r->map_dir), outcome(r->outcome));
	case HCA_MISUSE_UNCHECKED:
		return hca_snprintf(buf, size, "0x%llx was never given to ib_dma_mapping_error()",
				    (unsigned long long)hca_dma_u64(r->map_addr));
	case HCA_MISUSE_SYNC_OUTSIDE:
		return hca_snprintf(buf, size, "sync of %llu bytes at 0x%llx, which no mapping covers", bytes, addr);
	case HCA_MISUSE_SYNC_DIR:
		return hca_snprintf(buf, size, "sync of 0x%llx with direction %s, which was mapped %s", addr,
				    dir_name(r->dir), dir_name(r->map_dir));
	case HCA_MISUSE_CPU_WRITE:
		return hca_snprintf(buf, size, "the CPU wrote at 0x%llx while the device owned it", addr);
	case HCA_MISUSE_LIST:
		return hca_snprintf(buf, size, "entry %llu of a list of %llu is missing or can't be mapped", addr,
				    bytes);
	default:
		return hca_snprintf(buf, size, "misuse %d", (int)r->what);
	}
}

size_t ib_dma_report_str(const struct hca_misuse_report *r, char *buf, size_t size)
{
	size_t n = hca_snprintf(buf, size, "%s: %s: ", r->device, hca_misuse_name(r->what));

	n += what_str(r, buf + n, size - n);
	if (r->site)
		n += hca_snprintf(buf + n, size - n, "; at %s", (const char *)r->site);
	if (r->has_map)
		n += hca_snprintf(buf + n, size - n, "; mapped (%s, %llu %s, %s, 0x%llx) at %s", kind_name(r->map_kind),
				  (unsigned long long)r->map_size, unit(r->map_kind), dir_name(r->map_dir),
				  (unsigned long long)hca_dma_u64(r->map_addr),
				  r->map_site ? (const char *)r->map_site : "?");
	if (r->has_map && r->end_site)
		n += hca_snprintf(buf + n, size - n, ", unmapped at %s", (const char *)r->end_site);
	return n;
}
