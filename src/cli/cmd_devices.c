/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca devices: which adapters can be made, what their addresses are, and their
 * limits. Nothing is printed from a list: each adapter is made on a machine of its own, queried, and closed again.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "matrix/bed.h"
#include "softhca/ib_verbs.h"

enum { OPT_ADAPTERS, OPT_MACHINES, OPT_VERBOSE, OPT_JSON };

static const struct cli_option options[] = {
	[OPT_ADAPTERS] = { "adapters", "LIST", "ipath, ipath-refuse, dmahca; default all", 0 },
	[OPT_MACHINES] = { "machines", "LIST", "direct, iommu-strict, iommu-lazy, bounce, highmem; default all", 0 },
	[OPT_VERBOSE] = { "verbose", NULL, "every limit of each adapter, and its port", 'v' },
	[OPT_JSON] = { "json", NULL, "print a JSON array of objects, limits included, and nothing else", 0 },
	{ NULL, NULL, NULL, 0 },
};

static const char *const adapters[] = { "ipath", "ipath-refuse", "dmahca", NULL };
enum { IPATH, IPATH_REFUSE, DMAHCA, ADAPTERS };

static const char *const *const values[] = {
	[OPT_ADAPTERS] = adapters,
	[OPT_MACHINES] = machine_kinds,
	[OPT_JSON] = NULL,
};

struct wanted {
	u32 adapters; /* a bit each */
	u32 machines;
	bool verbose;
	bool json;
};

/* What a page is to an adapter: @kind in words, and where. */
struct address {
	const char *kind;
	char at[24];
};

/* An adapter while it exists. */
struct shown {
	int adapter;
	int machine;
	struct machine *m;
	struct device *bus;
	struct ib_device *ib;
	struct address low;
	struct address high;
};

/* --- making one, and looking at its addresses --- */

static int fail(const struct shown *s, const char *what, int err)
{
	cli_error("devices", "%s on %s: %s: %s", adapters[s->adapter], machine_kinds[s->machine], what, strerror(-err));
	return err;
}

static int open_one(struct shown *s)
{
	static const enum ipath_highmem highmem[] = { IPATH_HIGHMEM_TAGGED, IPATH_HIGHMEM_REFUSE };
	struct device_attr da = { .name = "softhca-devices" };
	const char *name = adapters[s->adapter];
	struct machine_attr attr;
	int err;

	da.dma_mask = machine_kind_attr(s->machine, &attr);
	err = machine_create(&attr, &s->m);

	if (err)
		return fail(s, "its machine can't be made", err);
	err = device_create(s->m, &da, &s->bus);
	if (err)
		return fail(s, "its place on the bus can't be made", err);
	err = s->adapter == DMAHCA ? dmahca_create(s->bus, name, NULL, &s->ib) :
				     ipath_create(s->bus, name, highmem[s->adapter], NULL, &s->ib);
	return err ? fail(s, "it can't be made", err) : 0;
}

static void close_one(struct shown *s)
{
	if (s->adapter == DMAHCA)
		dmahca_destroy(s->ib);
	else
		ipath_destroy(s->ib);
	if (s->bus)
		device_destroy(s->bus);
	if (s->m)
		machine_destroy(s->m);
}

/* By the number itself: where the CPU sees the page, the page's place in memory below some more bits, or what the bus says. */
static const char *kind_of(const struct shown *s, struct page *page, u64 addr)
{
	const u64 place = ((u64)1 << 52) - 1;

	if (!PageHighMem(page) && addr == (u64)(uintptr_t)page_address(page))
		return "virtual";
	return ib_uses_virt_dma(s->ib) && (addr & place) == page_to_phys(page) ? "tagged" : "bus";
}

/* A page is mapped, its address written down, and unmapped. */
static int look(const struct shown *s, gfp_t gfp, struct address *out)
{
	struct page *page = machine_alloc_pages(s->m, gfp, 0);
	dma_addr_t addr;
	int err;

	if (!page)
		return fail(s, "no page of its machine", -ENOMEM);
	addr = ib_dma_map_page(s->ib, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	err = ib_dma_mapping_error(s->ib, addr);
	if (!err) {
		u64 a = hca_dma_u64(addr);

		out->kind = kind_of(s, page, a);
		snprintf(out->at, sizeof(out->at), "0x%llx", (unsigned long long)a);
		ib_dma_unmap_page(s->ib, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	}
	__free_pages(page, 0);
	return err;
}

/* Return: 0, with "refused" for what the adapter doesn't take; else it has been said what went wrong. */
static int look_at_both(struct shown *s)
{
	int err = look(s, GFP_KERNEL, &s->low);

	if (err)
		return fail(s, "low memory can't be mapped", err);
	err = look(s, GFP_HIGHUSER, &s->high);
	if (err == -EOPNOTSUPP)
		s->high.kind = "refused";
	else if (err)
		return fail(s, "high memory can't be mapped", err);
	return 0;
}

/* --- limits: each once, for people and for programs --- */

/* Where a list of names and values goes. */
struct list {
	bool json;
	bool more; /* not the first */
};

__attribute__((format(printf, 4, 5))) static void put(struct list *l, const char *name, bool quoted, const char *fmt,
						      ...)
{
	char value[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	if (l->json)
		printf("%s\"%s\": %s%s%s", l->more ? ", " : "", name, quoted ? "\"" : "", value, quoted ? "\"" : "");
	else
		printf("        %-28s %s\n", name, value);
	l->more = true;
}

static void put_number(struct list *l, const char *name, u64 value)
{
	put(l, name, false, "%llu", (unsigned long long)value);
}

static void put_hex(struct list *l, const char *name, u64 value)
{
	put(l, name, true, "0x%llx", (unsigned long long)value);
}

static void put_guid(struct list *l, const char *name, u64 v)
{
	put(l, name, true, "%04x:%04x:%04x:%04x", (unsigned int)(v >> 48), (unsigned int)(v >> 32 & 0xffff),
	    (unsigned int)(v >> 16 & 0xffff), (unsigned int)(v & 0xffff));
}

struct cap {
	u64 flag;
	const char *name;
};

static void put_caps(struct list *l, const char *field, u64 caps, const struct cap *names, size_t n)
{
	char text[224] = "";
	size_t used = 0, i;

	for (i = 0; i < n; i++)
		if (caps & names[i].flag)
			used += (size_t)snprintf(text + used, sizeof(text) - used, " %s", names[i].name);
	put(l, field, true, "0x%llx%s", (unsigned long long)caps, text);
}

static void put_all_caps(struct list *l, const struct ib_device_attr *a)
{
	static const struct cap device[] = {
		{ IB_DEVICE_RESIZE_MAX_WR, "RESIZE_MAX_WR" },
		{ IB_DEVICE_CURR_QP_STATE_MOD, "CURR_QP_STATE_MOD" },
		{ IB_DEVICE_PORT_ACTIVE_EVENT, "PORT_ACTIVE_EVENT" },
		{ IB_DEVICE_SYS_IMAGE_GUID, "SYS_IMAGE_GUID" },
		{ IB_DEVICE_RC_RNR_NAK_GEN, "RC_RNR_NAK_GEN" },
		{ IB_DEVICE_SRQ_RESIZE, "SRQ_RESIZE" },
		{ IB_DEVICE_MEM_WINDOW, "MEM_WINDOW" },
		{ IB_DEVICE_MEM_MGT_EXTENSIONS, "MEM_MGT_EXTENSIONS" },
		{ IB_DEVICE_MEM_WINDOW_TYPE_2B, "MEM_WINDOW_TYPE_2B" },
	};
	static const struct cap kernel[] = {
		{ IBK_LOCAL_DMA_LKEY, "LOCAL_DMA_LKEY" },
		{ IBK_SG_GAPS_REG, "SG_GAPS_REG" },
		{ IBK_BLOCK_MULTICAST_LOOPBACK, "BLOCK_MULTICAST_LOOPBACK" },
	};

	put_caps(l, "device_cap_flags", a->device_cap_flags, device, sizeof(device) / sizeof(device[0]));
	put_caps(l, "kernel_cap_flags", a->kernel_cap_flags, kernel, sizeof(kernel) / sizeof(kernel[0]));
}

static void put_identity(struct list *l, const struct ib_device_attr *a)
{
	put(l, "fw_ver", true, "%llu.%llu.%llu", (unsigned long long)(a->fw_ver >> 48),
	    (unsigned long long)(a->fw_ver >> 32 & 0xffff), (unsigned long long)(a->fw_ver & 0xffffffff));
	put_guid(l, "node_guid", a->node_guid);
	put_guid(l, "sys_image_guid", a->sys_image_guid);
	put_hex(l, "vendor_id", a->vendor_id);
	put_number(l, "vendor_part_id", a->vendor_part_id);
	put_hex(l, "hw_ver", a->hw_ver);
	put_all_caps(l, a);
}

static void put_memory(struct list *l, const struct ib_device_attr *a)
{
	put_number(l, "max_pd", (u64)a->max_pd);
	put_number(l, "max_mr", (u64)a->max_mr);
	put_hex(l, "max_mr_size", a->max_mr_size);
	put_hex(l, "page_size_cap", a->page_size_cap);
	put_number(l, "max_fast_reg_page_list_len", a->max_fast_reg_page_list_len);
	put_number(l, "max_pi_fast_reg_page_list_len", a->max_pi_fast_reg_page_list_len);
	put_number(l, "sig_prot_cap", (u64)a->sig_prot_cap);
	put_number(l, "sig_guard_cap", (u64)a->sig_guard_cap);
	put_number(l, "max_mw", (u64)a->max_mw);
	put_number(l, "max_fmr", (u64)a->max_fmr);
	put_number(l, "max_map_per_fmr", (u64)a->max_map_per_fmr);
	put_hex(l, "general_caps", a->odp_caps.general_caps);
	put_hex(l, "rc_odp_caps", a->odp_caps.per_transport_caps.rc_odp_caps);
	put_hex(l, "uc_odp_caps", a->odp_caps.per_transport_caps.uc_odp_caps);
	put_hex(l, "ud_odp_caps", a->odp_caps.per_transport_caps.ud_odp_caps);
	put_hex(l, "xrc_odp_caps", a->odp_caps.per_transport_caps.xrc_odp_caps);
}

static void put_queues(struct list *l, const struct ib_device_attr *a)
{
	put_number(l, "max_cq", (u64)a->max_cq);
	put_number(l, "max_cqe", (u64)a->max_cqe);
	put_number(l, "max_qp", (u64)a->max_qp);
	put_number(l, "max_qp_wr", (u64)a->max_qp_wr);
	put_number(l, "max_send_sge", (u64)a->max_send_sge);
	put_number(l, "max_recv_sge", (u64)a->max_recv_sge);
	put_number(l, "max_sge_rd", (u64)a->max_sge_rd);
	put_number(l, "max_sgl_rd", (u64)a->max_sgl_rd);
	put_number(l, "max_inline_data", (u64)a->max_inline_data);
	put_number(l, "max_qp_rd_atom", (u64)a->max_qp_rd_atom);
	put_number(l, "max_qp_init_rd_atom", (u64)a->max_qp_init_rd_atom);
	put_number(l, "max_srq", (u64)a->max_srq);
	put_number(l, "max_srq_wr", (u64)a->max_srq_wr);
	put_number(l, "max_srq_sge", (u64)a->max_srq_sge);
	put_number(l, "max_ah", (u64)a->max_ah);
	put_number(l, "max_mcast_grp", (u64)a->max_mcast_grp);
	put_number(l, "max_mcast_qp_attach", (u64)a->max_mcast_qp_attach);
	put_number(l, "max_total_mcast_qp_attach", (u64)a->max_total_mcast_qp_attach);
	put_number(l, "max_pkeys", a->max_pkeys);
	put_number(l, "local_ca_ack_delay", a->local_ca_ack_delay);
}

static const char *state_name(enum ib_port_state state)
{
	static const char *const names[] = { "NOP", "DOWN", "INIT", "ARMED", "ACTIVE", "ACTIVE_DEFER" };

	return (u32)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static void put_port(struct list *l, const struct ib_port_attr *p)
{
	put(l, "state", true, "%s", state_name(p->state));
	put_number(l, "max_mtu", (u64)ib_mtu_enum_to_int(p->max_mtu));
	put_number(l, "active_mtu", (u64)ib_mtu_enum_to_int(p->active_mtu));
	put_number(l, "lid", p->lid);
	put_number(l, "lmc", p->lmc);
	put_number(l, "sm_lid", p->sm_lid);
	put_number(l, "sm_sl", p->sm_sl);
	put_number(l, "max_msg_sz", p->max_msg_sz);
	put_hex(l, "port_cap_flags", p->port_cap_flags);
	put_number(l, "max_vl_num", p->max_vl_num);
	put_number(l, "bad_pkey_cntr", p->bad_pkey_cntr);
	put_number(l, "qkey_viol_cntr", p->qkey_viol_cntr);
	put_number(l, "active_width", p->active_width);
	put_number(l, "active_speed", p->active_speed);
	put_number(l, "phys_state", p->phys_state);
	put_number(l, "gid_tbl_len", (u64)p->gid_tbl_len);
	put_number(l, "pkey_tbl_len", p->pkey_tbl_len);
}

static int put_tables(struct list *l, struct ib_device *ib, u32 port, const struct ib_port_attr *p)
{
	char name[24], text[48];
	int i, b;

	for (i = 0; i < p->gid_tbl_len; i++) {
		union ib_gid gid;
		size_t used = 0;
		int err = rdma_query_gid(ib, port, i, &gid);

		if (err == -ENOENT)
			continue;

		if (err)
			return err;
		for (b = 0; b < 16; b += 2)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%02x%02x", b ? ":" : "",
						 gid.raw[b], gid.raw[b + 1]);
		snprintf(name, sizeof(name), "GID[%d]", i);
		put(l, name, true, "%s", text);
	}
	for (i = 0; i < p->pkey_tbl_len; i++) {
		u16 pkey;
		int err = ib_query_pkey(ib, port, (u16)i, &pkey);

		if (err)
			return err;
		snprintf(name, sizeof(name), "P_Key[%d]", i);
		put_hex(l, name, pkey);
	}
	return 0;
}

static int put_limits(const struct shown *s, struct list *l)
{
	const struct ib_device_attr *a = &s->ib->attrs;
	u32 port;

	put_identity(l, a);
	put_memory(l, a);
	put_queues(l, a);
	put_number(l, "phys_port_cnt", s->ib->phys_port_cnt);
	for (port = 1; port <= s->ib->phys_port_cnt; port++) {
		struct list in = { .json = l->json };
		struct ib_port_attr p;
		int err = ib_query_port(s->ib, port, &p);

		if (err)
			return fail(s, "its port can't be asked", err);
		if (l->json)
			printf("%s", port == 1 ? ", \"ports\": [{" : ", {");
		else
			printf("    port %u\n", port);
		put_port(&in, &p);
		err = put_tables(&in, s->ib, port, &p);
		if (err)
			return fail(s, "its port's tables can't be asked", err);
		if (l->json)
			printf("}");
	}
	if (l->json)
		printf("]");
	return 0;
}

/* --- what is printed --- */

static int tell(struct shown *s, const struct wanted *w, bool first)
{
	struct list l = { .json = w->json };
	int err = open_one(s);

	if (!err)
		err = look_at_both(s);
	if (err)
		goto close;
	if (w->json) {
		printf("%s\n  {", first ? "" : ",");
		put(&l, "adapter", true, "%s", adapters[s->adapter]);
		put(&l, "machine", true, "%s", machine_kinds[s->machine]);
		put(&l, "low_memory", true, "%s", s->low.kind);
		put(&l, "low_address", true, "%s", s->low.at);
		put(&l, "high_memory", true, "%s", s->high.kind);
		put(&l, "high_address", true, "%s", s->high.at);
	} else {
		printf("%-12s  %-12s  %-7s %-18s  %s%s%s\n", adapters[s->adapter], machine_kinds[s->machine],
		       s->low.kind, s->low.at, s->high.kind, s->high.at[0] ? " " : "", s->high.at);
	}
	if (w->json || w->verbose)
		err = put_limits(s, &l);
	if (w->json)
		printf("}");
	else if (w->verbose)
		printf("\n");
close:
	close_one(s);
	return err;
}

static enum cli_status all(const struct wanted *w)
{
	bool first = true;
	int err = 0;
	int a, m;

	if (w->json)
		printf("[");
	else
		printf("%-12s  %-12s  %-26s  %s\n", "adapter", "machine", "low memory is", "high memory is");
	for (a = 0; a < ADAPTERS; a++)
		for (m = 0; m < MACHINE_KINDS; m++) {
			struct shown s = { .adapter = a, .machine = m };

			if (err || !(w->adapters >> a & 1) || !(w->machines >> m & 1))
				continue;
			err = tell(&s, w, first);
			first = false;
		}
	if (w->json)
		printf("\n]\n");
	return err ? CLI_FAILED : CLI_OK;
}

/* Return: whether the option's argument can be used; else it has been said why not. */
static bool take(struct cli_args *args, int option, struct wanted *w)
{
	switch (option) {
	case OPT_ADAPTERS:
		w->adapters = cli_parse_set(args, "adapters", adapters, NULL, "adapter");
		return w->adapters;
	case OPT_MACHINES:
		w->machines = cli_parse_set(args, "machines", machine_kinds, NULL, "machine");
		return w->machines;
	case OPT_VERBOSE:
		w->verbose = true;
		return true;
	default:
		w->json = true;
		return true;
	}
}

static enum cli_status run(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args args = { .cmd = cmd, .argc = argc, .argv = argv, .at = 1 };
	struct wanted w = { .adapters = (1u << ADAPTERS) - 1, .machines = (1u << MACHINE_KINDS) - 1 };
	int found;

	while ((found = cli_next(&args)) != CLI_END) {
		if (found == CLI_HELP) {
			cli_help(cmd);
			return CLI_OK;
		}
		if (found == CLI_BAD || !take(&args, found, &w))
			return CLI_USAGE;
	}
	/* The table says what is refused. */
	(void)setenv("SOFTHCA_LOG", "error", 0);
	return all(&w);
}

const struct cli_command cli_devices = {
	.name = "devices",
	.summary = "list the adapters that can be made, their addresses and their limits",
	.usage = "[OPTION...]",
	.about = "Makes each adapter on each kind of machine, maps a page of low and a page of high\n"
		 "memory for it, and prints the kind of their addresses: virtual, tagged (physical with\n"
		 "a tag), or bus. A bus address is valid only on the device's bus.",
	.options = options,
	.values = values,
	.run = run,
};
