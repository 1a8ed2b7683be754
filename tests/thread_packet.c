/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads on the packet transport: several post to the same queue pairs, packets come in by
 * whichever threads bring them, also two at once to one queue pair, some are lost, and
 * queue pairs end under fire. For the thread sanitizer, and for what only real time does.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "lossy_wire.h"

#define BASE 0x100000ull
#define RAM 65536u
#define POSTERS 2u /* at each end */
#define EACH 400u
#define TOTAL (POSTERS * EACH)
#define LONGEST (100 + EACH - 3) /* write */
#define WR 16u
#define AREA 4096u /* of a poster */
#define PATIENCE 60 /* seconds */

struct side {
	struct hca hca;
	struct hca_mem mem;
	u8 ram[RAM] HCA_ALIGNED(8);
	struct hca_pd pd;
	struct hca_cq scq;
	struct hca_cq rcq;
	struct hca_mr *all;
	struct hca_qp *qp;
	u32 receives;
};

static struct lossy_wire wire;
static struct side sides[2];
static u32 stop;

static int mem_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	struct side *s = hca_container_of(mem, struct side, mem);
	u64 off = hca_dma_u64(addr) - BASE;

	(void)access;
	if (off >= RAM)
		return -EFAULT;
	w->ptr = s->ram + off;
	w->len = HCA_MIN(len, RAM - off);
	return 0;
}

static void mem_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static const struct hca_mem_ops mem_ops = { .open = mem_open, .close = mem_close };

/* --- two ends --- */

static void make_qp(struct side *s)
{
	struct hca_qp_init init = {
		.type = HCA_QPT_RC,
		.pd = &s->pd,
		.send_cq = &s->scq,
		.recv_cq = &s->rcq,
		.max_send_wr = WR,
		.max_recv_wr = WR,
		.max_send_sge = 1,
		.max_recv_sge = 1,
		.sq_sig_all = true,
	};

	assert_int_equal(hca_qp_create(&s->hca, &init, &s->qp), 0);
}

static void open_side(struct side *s)
{
	struct hca_mr_attr attr = {
		.kind = HCA_MR_LINEAR,
		.access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE,
		.iova = BASE,
		.base = BASE,
		.length = RAM,
	};

	memset(s, 0, sizeof(*s));
	s->mem.ops = &mem_ops;
	assert_int_equal(hca_open(&s->hca, &wire.wire, &wire.eq, &s->mem,
				  &(const struct hca_attr){ .max_qp = 8, .max_keys = 8 }),
			 0);
	hca_pd_init(&s->pd, &s->hca);
	assert_int_equal(hca_cq_init(&s->scq, &s->hca, 4 * TOTAL, NULL), 0);
	assert_int_equal(hca_cq_init(&s->rcq, &s->hca, 4 * TOTAL, NULL), 0);
	assert_int_equal(hca_mr_create(&s->pd, &attr, &s->all), 0);
	make_qp(s);
}

static void close_side(struct side *s)
{
	if (s->qp)
		hca_qp_destroy(s->qp);
	assert_int_equal(hca_mr_destroy(s->all), 0);
	assert_int_equal(hca_cq_fini(&s->rcq), 0);
	assert_int_equal(hca_cq_fini(&s->scq), 0);
	assert_int_equal(hca_close(&s->hca), 0);
}

static void connect(struct side *s, struct side *peer)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_256,
		.dest_qp_num = peer->qp->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE,
		.ah = { .dlid = (u16)peer->hca.lid, .port_num = 1 },
		.port_num = 1,
		.max_rd_atomic = 4,
		.max_dest_rd_atomic = 4,
		.min_rnr_timer = 1,
		.timeout = 14, /* 67 ms: a thread may be kept from its processor for long */
		.retry_cnt = 7,
		.rnr_retry = 7,
	};
	const u32 masks[] = {
		HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS,
		HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN | HCA_QP_MAX_DEST_RD_ATOMIC |
			HCA_QP_MIN_RNR_TIMER,
		HCA_QP_SQ_PSN | HCA_QP_TIMEOUT | HCA_QP_RETRY_CNT | HCA_QP_RNR_RETRY | HCA_QP_MAX_QP_RD_ATOMIC,
	};
	u32 i;

	for (i = 0; i < 3; i++) {
		at.qp_state = HCA_QPS_INIT + i;
		assert_int_equal(hca_qp_modify(s->qp, &at, HCA_QP_STATE | masks[i]), 0);
	}
}

static void open_both(u32 lanes, u32 lose)
{
	assert_int_equal(lossy_open(&wire, 7), 0);
	wire.lanes = lanes;
	wire.lose = lose;
	open_side(&sides[0]);
	open_side(&sides[1]);
	connect(&sides[0], &sides[1]);
	connect(&sides[1], &sides[0]);
	stop = 0;
}

static void close_both(void)
{
	close_side(&sides[0]);
	close_side(&sides[1]);
	lossy_close(&wire);
}

/* --- posting --- */

struct poster {
	struct side *s;
	u32 n;
};

/* Writes, reads and sends in turn, each poster from memory of its own. Return: as hca_post_send() */
static int post_one(struct side *s, u32 n, u32 i)
{
	struct side *peer = &sides[s == &sides[0]];
	struct hca_sge sge = { .addr = BASE + n * AREA, .length = 100 + i, .lkey = s->all->key };
	struct hca_send_wr wr = { .wr_id = (u64)n << 32 | i, .sge = &sge, .num_sge = 1 };

	wr.opcode = i % 4 == 3 ? HCA_WR_SEND : i % 4 == 2 ? HCA_WR_RDMA_READ : HCA_WR_RDMA_WRITE;
	wr.rdma.addr = BASE + RAM / 2 + n * AREA;
	wr.rdma.rkey = peer->all->key;
	/* Reads are of what nobody writes: a later write may overtake them. */
	if (wr.opcode == HCA_WR_RDMA_READ) {
		sge.addr = BASE + RAM / 4 + n * AREA;
		wr.rdma.addr = BASE + n * AREA;
	}
	return hca_post_send(s->qp, &wr);
}

static void *post_all(void *arg)
{
	const struct poster *p = arg;
	u32 i = 0;

	while (i < EACH && !hca_load(&stop))
		if (!post_one(p->s, p->n, i))
			i++;
		else
			sched_yield();
	return NULL;
}

/* The last quarter is for what is received: nobody looks at it, all messages go to one place. */
static void receive_more(struct side *s)
{
	struct hca_sge sge = { .addr = BASE + RAM / 4 * 3, .length = 2000, .lkey = s->all->key };
	struct hca_recv_wr wr = { .wr_id = s->receives, .sge = &sge, .num_sge = 1 };

	while (!hca_post_recv(s->qp, &wr))
		wr.wr_id = ++s->receives;
}

/* What was seen of the two ends so far. The threads still run: what is wrong is only noted. */
struct reaped {
	u32 next[2][POSTERS];
	u32 done;
	u32 received[2];
	u32 wrong;
};

static void reap(struct reaped *r, u32 k)
{
	struct hca_wc wc;

	receive_more(&sides[k]);
	while (hca_cq_ring_poll(&sides[k].scq.ring, &wc, 1) > 0) {
		r->wrong += wc.status || (u32)wc.wr_id != r->next[k][wc.wr_id >> 32]++;
		r->done++;
	}
	while (hca_cq_ring_poll(&sides[k].rcq.ring, &wc, 1) > 0)
		r->wrong += wc.status || wc.wr_id != r->received[k]++;
}

/* Polls both ends until everything is complete: each poster's requests in order, messages too. */
static void reap_all(struct reaped *r)
{
	time_t began = time(NULL);

	*r = (struct reaped){ .wrong = 0 };
	while (!r->wrong && (r->done < 2 * TOTAL || r->received[0] + r->received[1] < 2 * TOTAL / 4) &&
	       time(NULL) - began < PATIENCE) {
		reap(r, 0);
		reap(r, 1);
		sched_yield();
	}
	hca_store(&stop, 1u);
}

static void traffic(u32 lanes, u32 lose)
{
	struct poster p[2 * POSTERS];
	pthread_t t[2 * POSTERS];
	struct reaped r;
	u32 i, k;

	open_both(lanes, lose);
	for (i = 0; i < 2 * POSTERS; i++) {
		p[i] = (struct poster){ &sides[i % 2], i / 2 };
		for (k = 0; k < AREA; k++)
			sides[i % 2].ram[i / 2 * AREA + k] = (u8)(17 * i + k);
	}
	for (i = 0; i < 2 * POSTERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, post_all, &p[i]), 0);
	reap_all(&r);
	for (i = 0; i < 2 * POSTERS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(r.done, 2 * TOTAL);
	assert_int_equal(r.received[0], TOTAL / 4);
	assert_int_equal(r.received[1], TOTAL / 4);
	for (i = 0; i < 2 * POSTERS; i++)
		/* The longest write of all is among each poster's last ones. */
		assert_memory_equal(sides[1 - i % 2].ram + RAM / 2 + i / 2 * AREA, sides[i % 2].ram + i / 2 * AREA,
				    LONGEST);
	assert_int_equal(!wire.lost, !lose);
	close_both();
}

static void in_order(void **state)
{
	(void)state;
	traffic(1, 0);
}

static void in_order_with_losses(void **state)
{
	(void)state;
	traffic(1, 20);
}

/* Packets overtake each other here: the peer asks for them again, and gets them. */
static void several_bring_packets(void **state)
{
	(void)state;
	traffic(LOSSY_LANES, 0);
}

/* --- the end --- */

static void *keep_posting(void *arg)
{
	struct side *s = arg;
	u32 i;

	for (i = 0; !hca_load(&stop); i++)
		if (post_one(s, 0, i & ~3u))
			sched_yield();
	return NULL;
}

static void ended_under_fire(void **state)
{
	u32 round;

	(void)state;
	for (round = 0; round < 40; round++) {
		struct hca_qp_attr at = { .qp_state = round % 4 == 1 ? HCA_QPS_ERR : HCA_QPS_RESET };
		struct timespec a_while = { .tv_nsec = 300000 };
		struct side *b = &sides[1];
		pthread_t t;

		open_both(LOSSY_LANES, round % 3 * 30);
		assert_int_equal(pthread_create(&t, NULL, keep_posting, &sides[0]), 0);
		nanosleep(&a_while, NULL);
		if (round % 4 < 2) {
			assert_int_equal(hca_qp_modify(b->qp, &at, HCA_QP_STATE), 0);
		} else {
			hca_qp_destroy(b->qp);
			b->qp = NULL;
		}
		nanosleep(&a_while, NULL);
		hca_store(&stop, 1u);
		pthread_join(t, NULL);
		close_both();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(in_order_with_losses),
		cmocka_unit_test(several_bring_packets),
		cmocka_unit_test(ended_under_fire),
	};

	return cmocka_run_group_tests_name("thread packet", tests, NULL, NULL);
}
