/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whose memory a page of ZONE_DEVICE is, a call says. Compiled by ../Kbuild, never linked. */
#include <linux/memremap.h>
#include <linux/mm.h>

const void *probe(const struct page *page);

const void *probe(const struct page *page)
{
	return page_pgmap(page);
}
