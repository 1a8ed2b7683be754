/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why a request completed in an error: vendor_err at both ends, and what is said at both: which key, right or bound, and
 * between whom. And the words of each vendor_err, as docs/ib_verbs.md lists them.
 */
#include <stdlib.h>

#include "verbs_by.h"

#include "why_fixture.h"

/* A completion with this status and reason. */
static void ended(struct end *e, enum ib_wc_status status, u32 vendor_err)
{
	struct ib_wc wc;

	memset(&wc, 0, sizeof(wc));
	assert_int_equal(ib_poll_cq(e->cq, 1, &wc), 1);
	assert_int_equal(wc.status, status);
	assert_int_equal(wc.vendor_err, vendor_err);
	why_vendor(vendor_err);
}

/* As it is said of this end's queue pair. */
static const char *name_of(const struct end *e)
{
	static char name[2][64];
	char *at = name[e == &b];

	snprintf(at, sizeof(name[0]), "%s QP %u", e->dev->name, e->qp->qp_num);
	return at;
}

static const char *from_a(void)
{
	static char name[48];

	snprintf(name, sizeof(name), "from LID %u QP %u refused", vk_lid(&a), a.qp->qp_num);
	return name;
}

static const char *to_b(void)
{
	static char name[48];

	snprintf(name, sizeof(name), "to LID %u QP %u failed", vk_lid(&b), b.qp->qp_num);
	return name;
}

static int write_to(u64 addr, u32 len, u32 rkey)
{
	(void)test_why_take();
	return vk_rdma(&a, 1, IB_WR_RDMA_WRITE, 0, len, addr, rkey);
}

#define AT_PEER(code) (HCA_VENDOR_REMOTE | (code))

/* --- the peer's keys --- */

static void remote_keys(void **state)
{
	struct ib_mr *other, *local = ib_get_dma_mr(b.pd, IB_ACCESS_LOCAL_WRITE);
	struct ib_pd *pd = ib_alloc_pd(b.dev, 0);
	const u64 addr = hca_dma_u64(b.addr);
	char key[48];

	(void)state;
	assert_false(IS_ERR(local) || IS_ERR(pd));
	other = ib_get_dma_mr(pd, VK_RIGHTS);
	assert_false(IS_ERR(other));

	assert_int_equal(write_to(addr, 64, 0x123456), 0);
	SAID("mistake:", name_of(&b), "RDMA_WRITE of 64 bytes", from_a(), "key 0x123456 isn't valid", name_of(&a),
	     to_b(), "posted at", "verbs_fixture.h:", "remote access error", "at the peer: key not valid");
	ended(&a, IB_WC_REM_ACCESS_ERR, AT_PEER(HCA_VENDOR_KEY));
	reconnect();

	snprintf(key, sizeof(key), "key 0x%x is of another protection domain", other->rkey);
	assert_int_equal(write_to(addr, 64, other->rkey), 0);
	SAID(name_of(&b), key);
	ended(&a, IB_WC_REM_ACCESS_ERR, AT_PEER(HCA_VENDOR_PD));
	reconnect();

	snprintf(key, sizeof(key), "key 0x%x doesn't allow REMOTE_WRITE", local->rkey);
	assert_int_equal(write_to(addr, 64, local->rkey), 0);
	SAID(name_of(&b), key);
	ended(&a, IB_WC_REM_ACCESS_ERR, AT_PEER(HCA_VENDOR_RIGHT));
	reconnect();
	assert_int_equal(vk_rdma(&a, 1, IB_WR_RDMA_READ, 0, 8, addr, local->rkey), 0);
	SAID("RDMA_READ of 8 bytes", "doesn't allow REMOTE_READ");
	ended(&a, IB_WC_REM_ACCESS_ERR, AT_PEER(HCA_VENDOR_RIGHT));
	reconnect();
	assert_int_equal(ib_dereg_mr(other), 0);
	assert_int_equal(ib_dereg_mr(local), 0);
	assert_int_equal(ib_dealloc_pd(pd), 0);
}

static void remote_bounds(void **state)
{
	const struct ib_phys_buf buf = { .addr = hca_dma_u64(b.addr), .size = 4096 };
	u64 iova = 0x40000;
	struct ib_mr *mr = ib_reg_phys_mr(b.pd, &buf, 1, VK_RIGHTS, &iova);
	char words[80];

	(void)state;
	assert_false(IS_ERR(mr));
	snprintf(words, sizeof(words), "key 0x%x covers 4096 bytes from 0x40000, not 64 from 0x40fff", mr->rkey);
	assert_int_equal(write_to(iova + 4095, 64, mr->rkey), 0);
	SAID(name_of(&b), words);
	ended(&a, IB_WC_REM_ACCESS_ERR, AT_PEER(HCA_VENDOR_BOUNDS));
	reconnect();
	assert_int_equal(ib_dereg_mr(mr), 0);
}

/* A type 2 window is one queue pair's: that of the bystander. */
static void remote_window(void **state)
{
	struct ib_mw *mw = ib_alloc_mw(b.pd, IB_MW_TYPE_2);
	struct ib_mr *mr = ib_get_dma_mr(b.pd, VK_RIGHTS | IB_ACCESS_MW_BIND);
	struct ib_bind_mw_wr wr = {
		.wr = { .wr_id = 9, .opcode = IB_WR_BIND_MW, .send_flags = IB_SEND_SIGNALED },
		.mw = mw,
		.bind_info = { .mr = mr,
			       .addr = hca_dma_u64(b.addr),
			       .length = 64,
			       .mw_access_flags = IB_ACCESS_REMOTE_WRITE },
	};
	char words[64];

	(void)state;
	assert_false(IS_ERR(mw) || IS_ERR(mr));
	wr.rkey = ib_inc_rkey(mw->rkey);
	assert_int_equal(ib_post_send(by_b.qp, &wr.wr, NULL), 0);
	vk_poll(&by_b, 9, IB_WC_SUCCESS);
	snprintf(words, sizeof(words), "type 2 memory window's, bound to QP %u", by_b.qp->qp_num);
	assert_int_equal(write_to(hca_dma_u64(b.addr), 8, wr.rkey), 0);
	SAID(name_of(&b), words);
	ended(&a, IB_WC_REM_ACCESS_ERR, AT_PEER(HCA_VENDOR_MW));
	reconnect();
	assert_int_equal(ib_dealloc_mw(mw), 0);
	assert_int_equal(ib_dereg_mr(mr), 0);
}

/* --- the peer's queue pair --- */

static void remote_queue_pair(void **state)
{
	struct ib_qp_attr at = { 0 };
	struct ib_sge sge = vk_sge(&a, 0, 8);
	struct ib_atomic_wr odd = {
		.wr = { .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_ATOMIC_FETCH_AND_ADD },
		.remote_addr = hca_dma_u64(b.addr) + 4,
		.rkey = b.mr->rkey,
	};

	(void)state;
	at.qp_access_flags = IB_ACCESS_REMOTE_READ;
	assert_int_equal(ib_modify_qp(b.qp, &at, IB_QP_ACCESS_FLAGS), 0);
	assert_int_equal(write_to(hca_dma_u64(b.addr), 8, b.mr->rkey), 0);
	SAID(name_of(&b), "the qp_access_flags of this queue pair lack REMOTE_WRITE",
	     "at the peer: queue pair lacks a right");
	ended(&a, IB_WC_REM_INV_REQ_ERR, AT_PEER(HCA_VENDOR_QP_RIGHT));
	reconnect();
	(void)test_why_take();
	assert_int_equal(ib_post_send(a.qp, &odd.wr, NULL), 0);
	SAID(name_of(&b), "atomic not on 8 bytes");
	ended(&a, IB_WC_REM_INV_REQ_ERR, AT_PEER(HCA_VENDOR_ALIGN));
	reconnect();
}

/* --- receive requests --- */

static void receive(void **state)
{
	struct ib_sge bad = { .addr = hca_dma_u64(b.addr), .length = 64, .lkey = 0x654321 };
	const struct ib_recv_wr wr = { .wr_id = 0x99, .sg_list = &bad, .num_sge = 1 };

	(void)state;
	assert_int_equal(vk_recv(&b, 4, 0, 8), 0);
	(void)test_why_take();
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 64), 0);
	SAID(name_of(&b), "receive request of 8 bytes (wr_id 0x4, posted at", "local length error: message too long",
	     "at the peer: receive request too small");
	ended(&b, IB_WC_LOC_LEN_ERR, HCA_VENDOR_LENGTH);
	ended(&a, IB_WC_REM_INV_REQ_ERR, AT_PEER(HCA_VENDOR_LENGTH));
	reconnect();

	assert_int_equal(ib_post_recv(b.qp, &wr, NULL), 0);
	(void)test_why_take();
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 64), 0);
	SAID(name_of(&b), "receive request (wr_id 0x99, posted at", "test_why_wc.c:", "key 0x654321 isn't valid");
	ended(&b, IB_WC_LOC_PROT_ERR, HCA_VENDOR_KEY);
	ended(&a, IB_WC_REM_OP_ERR, AT_PEER(HCA_VENDOR_KEY));
	reconnect();
}

static void invalidation(void **state)
{
	struct ib_send_wr wr = { .wr_id = 1, .opcode = IB_WR_SEND_WITH_INV, .ex.invalidate_rkey = 0x777 };

	(void)state;
	assert_int_equal(vk_recv(&b, 4, 0, 8), 0);
	(void)test_why_take();
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), 0);
	SAID("key 0x777 not invalidated: it isn't valid", name_of(&b), "key can't be invalidated");
	ended(&b, IB_WC_MW_BIND_ERR, HCA_VENDOR_INVALIDATE);
	ended(&a, IB_WC_REM_ACCESS_ERR, AT_PEER(HCA_VENDOR_INVALIDATE));
	reconnect();
}

/* --- a requester's own --- */

static void own(void **state)
{
	struct ib_sge bad = vk_sge(&a, 0, 64);
	struct ib_send_wr wr = { .wr_id = 0x31, .sg_list = &bad, .num_sge = 1, .opcode = IB_WR_SEND };
	struct ib_reg_wr reg = { .wr = { .wr_id = 1, .opcode = IB_WR_REG_MR } };

	(void)state;
	bad.lkey ^= 0x80;
	(void)test_why_take();
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), 0);
	SAID("mistake:", name_of(&a), "SEND (wr_id 0x31, posted at", "test_why_wc.c:", "local protection error: key 0x",
	     "isn't valid");
	ended(&a, IB_WC_LOC_PROT_ERR, HCA_VENDOR_KEY);
	reconnect();

	reg.mr = ib_alloc_mr(a.pd, IB_MR_TYPE_MEM_REG, 2);
	assert_false(IS_ERR(reg.mr));
	reg.key = reg.mr->rkey;
	(void)test_why_take();
	assert_int_equal(ib_post_send(a.qp, &reg.wr, NULL), 0);
	SAID("not registered: 0 pages, must be from 1 to 2; list them by ib_map_mr_sg() before", "REG_MR (wr_id 0x1",
	     "registration not possible");
	ended(&a, IB_WC_MW_BIND_ERR, HCA_VENDOR_REGISTER);
	reconnect();
	assert_int_equal(ib_dereg_mr(reg.mr), 0);

	wr = (struct ib_send_wr){ .wr_id = 2, .opcode = IB_WR_LOCAL_INV, .ex.invalidate_rkey = 0x888 };
	(void)test_why_take();
	assert_int_equal(ib_post_send(a.qp, &wr, NULL), 0);
	SAID("key 0x888 not invalidated", "LOCAL_INV (wr_id 0x2");
	ended(&a, IB_WC_MW_BIND_ERR, HCA_VENDOR_INVALIDATE);
	reconnect();
}

/* Behind its IOMMU the peer's adapter doesn't reach what isn't mapped, whatever the key says. */
static void unmapped(void **state)
{
	(void)state;
	assert_int_equal(write_to(0x10, 8, b.mr->rkey), 0);
	SAID(name_of(&b), "adapter can't reach the memory", "remote operation error");
	ended(&a, IB_WC_REM_OP_ERR, AT_PEER(HCA_VENDOR_MEMORY));
	reconnect();
}

static void nobody(void **state)
{
	(void)state;
	to_reset(b.qp);
	(void)test_why_take();
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0);
	test_clock_advance(10000000000ull);
	SAID("refused:", name_of(&a), "transport retry counter exceeded: no answer from the peer");
	ended(&a, IB_WC_RETRY_EXC_ERR, HCA_VENDOR_NO_ANSWER);
	reconnect();
	(void)test_why_take();
	assert_int_equal(vk_send(&a, 1, IB_WR_SEND, 0, 8), 0);
	test_clock_advance(10000000000ull);
	SAID("refused:", name_of(&a), "RNR retry counter exceeded: no receive request at the peer");
	ended(&a, IB_WC_RNR_RETRY_EXC_ERR, HCA_VENDOR_NO_RECV);
	reconnect();
}

/* --- the table --- */

/* Each code has its words, and docs/ib_verbs.md a row "| code | `NAME` | words |" for each. */
static void documented(void **state)
{
	static const char *const names[HCA_VENDOR_ERRS] = {
		"NONE",	   "KEY",      "PD",	   "RIGHT",	 "BOUNDS", "MW",	"MEMORY",
		"LENGTH",  "QP_RIGHT", "NO_READS", "ALIGN",	 "GID",	   "SEQUENCE",	"NO_ANSWER",
		"NO_RECV", "REGISTER", "BIND",	   "INVALIDATE", "SRQ",	   "PEER_GONE",
	};
	static char text[1 << 18];
	FILE *f = fopen(WHY_DOC, "r");
	char row[160];
	u32 i;

	(void)state;
	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	fclose(f);
	for (i = 0; i < HCA_VENDOR_ERRS; i++) {
		snprintf(row, sizeof(row), "| %u | `HCA_VENDOR_%s` | %s |", i, names[i], ib_vendor_err_msg(i));
		if (!strstr(text, row))
			fail_msg("docs/ib_verbs.md hasn't: %s", row);
		assert_string_not_equal(ib_vendor_err_msg(i), "unknown reason");
	}
	assert_string_equal(ib_vendor_err_msg(HCA_VENDOR_ERRS), "unknown reason");
	assert_string_equal(ib_vendor_err_msg(AT_PEER(HCA_VENDOR_ERRS)), "unknown reason");
	assert_string_equal(ib_vendor_err_msg(~0u), "unknown reason");
	assert_string_equal(ib_vendor_err_msg(AT_PEER(0)), "at the peer: no reason given");
}

#define T(f) cmocka_unit_test_setup_teardown(f, by_setup, by_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(remote_keys),	  T(remote_bounds),
		T(remote_window), T(remote_queue_pair),
		T(receive),	  T(invalidation),
		T(own),		  T(unmapped),
		T(nobody),	  cmocka_unit_test(documented),
	};

	return cmocka_run_group_tests_name("why_wc", tests, NULL, NULL);
}
