/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program that gives its adapter an address which isn't mapped any more, or not for this: behind an IOMMU a fault that
 * the machine records, and statuses at both ends. On a plain copying adapter nobody notices; with a ledger the line of the
 * post is named, on either adapter.
 */
#include <stdio.h>
#include <stdlib.h>

#include "verbs_fixture.h"

#include "test/test_os.h"

#define LEN 256u

static struct end a, b;

/* --- reports --- */

static struct {
	u32 n;
	enum hca_misuse what;
	char device[16];
	u64 addr;
	int outcome;
	const char *site, *map_site;
} told;

static void keep(void *ctx, const struct hca_misuse_report *r)
{
	(void)ctx;
	told.n++;
	told.what = r->what;
	strncpy(told.device, r->device, sizeof(told.device) - 1);
	told.addr = hca_dma_u64(r->addr);
	told.outcome = r->outcome;
	told.site = r->site;
	told.map_site = r->map_site;
}

static int post_line, map_line;

static void at_line(const char *site, int line)
{
	char want[64];

	snprintf(want, sizeof(want), "test_verbs_fault.c:%d", line);
	assert_non_null(site);
	if (strlen(site) < strlen(want) || strcmp(site + strlen(site) - strlen(want), want) != 0)
		fail_msg("%s instead of %s", site, want);
}

/* --- wrong programs --- */

enum what { SEND, WRITE, READ, ATOMIC };

/* @at_b: whose address it is that is wrong; @unmapped, or else mapped with @dir alone */
struct wrong {
	const char *name;
	enum what what;
	bool at_b;
	bool unmapped;
	enum dma_data_direction dir;
	enum fault_reason reason;
	int access;
	enum ib_wc_status sender;
	enum ib_wc_status receiver; /* of a send; of others: none */
	enum hca_misuse misuse;
};

static const struct wrong wrongs[] = {
	{ "sends what was unmapped", SEND, false, true, DMA_TO_DEVICE, FAULT_NOT_MAPPED, 1, IB_WC_LOC_PROT_ERR,
	  IB_WC_REM_ABORT_ERR, HCA_MISUSE_USE_AFTER_UNMAP },
	{ "sends what is to be written", SEND, false, false, DMA_FROM_DEVICE, FAULT_NO_READ, 1, IB_WC_LOC_PROT_ERR,
	  IB_WC_REM_ABORT_ERR, HCA_MISUSE_USE_DIR },
	{ "receives into what was unmapped", SEND, true, true, DMA_FROM_DEVICE, FAULT_NOT_MAPPED, 2, IB_WC_REM_OP_ERR,
	  IB_WC_LOC_PROT_ERR, HCA_MISUSE_USE_AFTER_UNMAP },
	{ "receives into what is to be read", SEND, true, false, DMA_TO_DEVICE, FAULT_NO_WRITE, 2, IB_WC_REM_OP_ERR,
	  IB_WC_LOC_PROT_ERR, HCA_MISUSE_USE_DIR },
	{ "writes from what was unmapped", WRITE, false, true, DMA_TO_DEVICE, FAULT_NOT_MAPPED, 1, IB_WC_LOC_PROT_ERR,
	  IB_WC_SUCCESS, HCA_MISUSE_USE_AFTER_UNMAP },
	{ "opens to writes what was unmapped", WRITE, true, true, DMA_FROM_DEVICE, FAULT_NOT_MAPPED, 2,
	  IB_WC_REM_OP_ERR, IB_WC_SUCCESS, HCA_MISUSE_USE_AFTER_UNMAP },
	{ "opens to writes what is to be read", WRITE, true, false, DMA_TO_DEVICE, FAULT_NO_WRITE, 2, IB_WC_REM_OP_ERR,
	  IB_WC_SUCCESS, HCA_MISUSE_USE_DIR },
	{ "reads into what was unmapped", READ, false, true, DMA_FROM_DEVICE, FAULT_NOT_MAPPED, 2, IB_WC_LOC_PROT_ERR,
	  IB_WC_SUCCESS, HCA_MISUSE_USE_AFTER_UNMAP },
	{ "reads into what is to be read", READ, false, false, DMA_TO_DEVICE, FAULT_NO_WRITE, 2, IB_WC_LOC_PROT_ERR,
	  IB_WC_SUCCESS, HCA_MISUSE_USE_DIR },
	{ "opens to reads what was unmapped", READ, true, true, DMA_TO_DEVICE, FAULT_NOT_MAPPED, 1, IB_WC_REM_OP_ERR,
	  IB_WC_SUCCESS, HCA_MISUSE_USE_AFTER_UNMAP },
	{ "opens to reads what is to be written", READ, true, false, DMA_FROM_DEVICE, FAULT_NO_READ, 1,
	  IB_WC_REM_OP_ERR, IB_WC_SUCCESS, HCA_MISUSE_USE_DIR },
	{ "opens to atomics what was unmapped", ATOMIC, true, true, DMA_BIDIRECTIONAL, FAULT_NOT_MAPPED, 3,
	  IB_WC_REM_OP_ERR, IB_WC_SUCCESS, HCA_MISUSE_USE_AFTER_UNMAP },
	{ "opens to atomics what is to be read", ATOMIC, true, false, DMA_TO_DEVICE, FAULT_NO_WRITE, 3,
	  IB_WC_REM_OP_ERR, IB_WC_SUCCESS, HCA_MISUSE_USE_DIR },
	{ "fetches into what was unmapped", ATOMIC, false, true, DMA_FROM_DEVICE, FAULT_NOT_MAPPED, 2,
	  IB_WC_LOC_PROT_ERR, IB_WC_SUCCESS, HCA_MISUSE_USE_AFTER_UNMAP },
};

/* The page that is mapped wrongly, and unmapped after all, if it's mapped still. */
static struct page *page;

static u64 wrong_address(struct end *e, const struct wrong *w)
{
	dma_addr_t addr = (map_line = __LINE__, ib_dma_map_page(e->dev, page, 0, LEN, w->dir));

	assert_int_equal(ib_dma_mapping_error(e->dev, addr), 0);
	if (w->unmapped)
		ib_dma_unmap_page(e->dev, addr, LEN, w->dir);
	return hca_dma_u64(addr);
}

static void post(const struct wrong *w, u64 addr)
{
	static const enum ib_wr_opcode ops[] = { IB_WR_SEND, IB_WR_RDMA_WRITE, IB_WR_RDMA_READ,
						 IB_WR_ATOMIC_FETCH_AND_ADD };
	const u32 len = w->what == ATOMIC ? 8 : LEN;
	struct ib_sge mine = vk_sge(&a, 0, len), theirs = vk_sge(&b, 0, len);
	struct ib_recv_wr rw = { .wr_id = 2, .sg_list = &theirs, .num_sge = 1 };
	union {
		struct ib_rdma_wr rdma;
		struct ib_atomic_wr atomic;
	} wr;
	int recv_line;

	if (w->at_b)
		theirs.addr = addr;
	else
		mine.addr = addr;
	memset(&wr, 0, sizeof(wr));
	wr.rdma.wr = (struct ib_send_wr){ .wr_id = 1, .sg_list = &mine, .num_sge = 1, .opcode = ops[w->what] };
	if (w->what == ATOMIC) {
		wr.atomic.remote_addr = theirs.addr;
		wr.atomic.rkey = b.mr->rkey;
	} else {
		wr.rdma.remote_addr = theirs.addr;
		wr.rdma.rkey = b.mr->rkey;
	}
	if (w->what == SEND)
		assert_int_equal((recv_line = __LINE__, ib_post_recv(b.qp, &rw, NULL)), 0);
	assert_int_equal((post_line = __LINE__, ib_post_send(a.qp, &wr.rdma.wr, NULL)), 0);
	/* The address of a receive request was named by who posted that. */
	if (w->what == SEND && w->at_b)
		post_line = recv_line;
}

static void faults(struct end *e, const struct wrong *w, u64 addr)
{
	struct bus_fault f;
	u64 total;

	assert_int_equal(machine_faults(e->machine, &f, 1, &total), 1);
	assert_int_equal(total, 1);
	assert_int_equal(hca_dma_u64(f.addr), addr);
	assert_int_equal(f.reason, w->reason);
	assert_int_equal(f.access, w->access);
	assert_string_equal(f.device, "vk");
}

static void no_faults(struct end *e)
{
	u64 total;

	machine_faults(e->machine, NULL, 0, &total);
	assert_int_equal(total, 0);
}

static void ledger_names(const struct end *e, const struct wrong *w, u64 addr)
{
	assert_int_equal(told.n, 1);
	assert_int_equal(told.what, w->misuse);
	assert_string_equal(told.device, e->soft ? "soft" : "dma");
	assert_int_equal(told.addr, addr);
	assert_int_equal(told.outcome, e->soft ? 0 : -EFAULT);
	at_line(told.site, post_line);
	at_line(told.map_site, map_line);
}

static void one(const struct wrong *w, bool soft, bool ledger)
{
	const struct ib_dma_config config = { .ledger = ledger, .report = keep };
	struct end *e = w->at_b ? &b : &a, *other = w->at_b ? &a : &b;
	struct ib_wc wc;
	u64 addr;

	test_os_reset(1);
	memset(&told, 0, sizeof(told));
	assert_int_equal(vk_device_with(&a, soft, MACHINE_IOMMU, &config), 0);
	assert_int_equal(vk_device_with(&b, soft, MACHINE_IOMMU, &config), 0);
	vk_objects(&a, IB_QPT_RC, NULL);
	vk_objects(&b, IB_QPT_RC, NULL);
	vk_connect(a.qp, vk_lid(&b), b.qp->qp_num);
	vk_connect(b.qp, vk_lid(&a), a.qp->qp_num);
	page = machine_alloc_pages(e->machine, GFP_KERNEL | __GFP_ZERO, 0);
	assert_non_null(page);
	addr = wrong_address(e, w);
	post(w, addr);
	assert_int_equal(ib_poll_cq(a.cq, 1, &wc), 1);
	if (wc.status != (soft ? IB_WC_SUCCESS : w->sender))
		fail_msg("%s: %s", w->name, ib_wc_status_msg(wc.status));
	if (w->what == SEND)
		vk_poll(&b, 2, soft ? IB_WC_SUCCESS : w->receiver);
	vk_none(&a);
	vk_none(&b);
	no_faults(other);
	if (soft)
		no_faults(e);
	else
		faults(e, w, addr);
	if (ledger)
		ledger_names(e, w, addr);
	else
		assert_int_equal(told.n, 0);
	if (!w->unmapped)
		ib_dma_unmap_page(e->dev, hca_dma_addr(addr), LEN, w->dir);
	__free_pages(page, 0);
	vk_close(&a, &b);
	assert_int_equal(test_leaks(), 0);
}

static void each(bool soft, bool ledger)
{
	size_t i;

	for (i = 0; i < HCA_ARRAY_SIZE(wrongs); i++)
		one(&wrongs[i], soft, ledger);
}

static void iommu_refuses(void **state)
{
	(void)state;
	each(false, false);
}

static void iommu_refuses_and_the_ledger_names_the_line(void **state)
{
	(void)state;
	each(false, true);
}

static void copying_passes_unnoticed(void **state)
{
	(void)state;
	each(true, false);
}

static void copying_is_found_out_by_the_ledger(void **state)
{
	(void)state;
	each(true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(iommu_refuses),
		cmocka_unit_test(iommu_refuses_and_the_ledger_names_the_line),
		cmocka_unit_test(copying_passes_unnoticed),
		cmocka_unit_test(copying_is_found_out_by_the_ledger),
	};

	/* It would turn ledgers on, or off, for all. */
	unsetenv("SOFTHCA_LEDGER");
	return cmocka_run_group_tests_name("verbs fault", tests, NULL, NULL);
}
