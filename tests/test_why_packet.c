/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a call is refused on a link of packets, where others wouldn't. */
#define ENGINE_FIXTURE_PACKETS
#include "engine_fixture.h"
#include "hca/xrc.h"
#include "why_fixture.h"

static void no_xrc(void **state)
{
	struct hca_xrcd xrcd;
	struct hca_qp_init in = { .type = HCA_QPT_XRC_TGT, .xrcd = &xrcd };
	struct hca_qp *qp;

	(void)state;
	hca_xrcd_init(&xrcd, &a.hca);
	REFUSED(hca_qp_create(&a.hca, &in, &qp), -EINVAL, "queue pair (XRC_TGT) not made: this link has no XRC");
	in = (struct hca_qp_init){ .type = HCA_QPT_XRC_INI, .pd = &a.pd, .send_cq = &a.scq };
	REFUSED(hca_qp_create(&a.hca, &in, &qp), -EINVAL, "queue pair (XRC_INI) not made: this link has no XRC");
}

/* The answer has no room for the reason; the peer's own line has it. */
static void peers_key(void **state)
{
	struct hca_wc wc;

	(void)state;
	(void)test_why_take();
	assert_int_equal(post(&a, 1, HCA_WR_RDMA_WRITE, 0, 8, BASE, 0x777700), 0);
	SAID("RDMA_WRITE of 8 bytes at 0x100000 from LID", "key 0x777700 isn't valid",
	     "remote access error: at the peer: no reason given");
	poll_one(&a.scq, 1, HCA_WC_REM_ACCESS_ERR, &wc);
	assert_int_equal(wc.vendor_err, HCA_VENDOR_REMOTE);
}

int main(void)
{
	const struct CMUnitTest tests[] = { RC(no_xrc), RC(peers_key) };

	return cmocka_run_group_tests_name("why_packet", tests, NULL, NULL);
}
