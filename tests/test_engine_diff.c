/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The engine against a model of it: random requests on RC, UC and UD queue pairs, right
 * ones and wrong ones, with all that follows compared when the wire is quiet: return
 * codes, completions, events, states and memory. A failure prints its seed. SOFTHCA_SEED
 * is the first one, SOFTHCA_DIFF_SEEDS how many (SEEDS), SOFTHCA_DIFF_STEPS how long (STEPS).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_fixture.h"
#include "engine_model.h"

#define RNR_CODE 28 /* 164 ms: few tries in a long time */
#define QUIET (61 * hca_rnr_timer_ns(RNR_CODE)) /* whole periods: who waited first is always the first to try again */
#define BATCH 5u
#define SMALL_CQE 4u
#define DELAY (100 * MS) /* of packets that are late, at most */
#define HISTORY 30
#define RETRIES 7
#define FIRST_SEED 1u /* unless SOFTHCA_SEED says otherwise */
#ifdef DELIVER_H /* what waits for threads takes long */
#define SEEDS 2u
#define STEPS 1000u
#else
#define SEEDS SEEDS_HERE(20u)
#define STEPS 5000u
#endif
#define ENOUGH 50000u /* steps, for everything to come up */

static struct em_side model[2];
static struct side *const side[2] = { &a, &b };
static struct hca_qp *qp[2][EM_QPS];
static struct hca_mr *region[2][EM_REGIONS];
static struct hca_pd other[2];
static struct hca_srq srq[2];
static struct hca_cq small[2];
static struct hca_mw *window[2][EM_WINDOWS];
static u64 seed, x;
static u32 step;
static u32 ever_lost;
static u32 ever_status, ever_opcode[2], ever_event, ever_state, ever_code; /* a bit for each that came up */
static bool troubled; /* packets are lost, late, and come twice */
static char history[HISTORY][160];

static u32 pick(u32 n)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (u32)(x >> 20) % n;
}

static void differs(int line, const char *what)
{
	u32 i;

	for (i = 0; i < HISTORY; i++)
		if (history[(step + 1 + i) % HISTORY][0])
			print_message("# %s\n", history[(step + 1 + i) % HISTORY]);
	fail_msg("SOFTHCA_SEED=%llu SOFTHCA_DIFF_SEEDS=1, step %u: line %d: %s", (unsigned long long)seed, step, line,
		 what);
}

#define SAME(c) \
	do { \
		if (!(c)) \
			differs(__LINE__, #c); \
	} while (0)

/* --- set-up --- */

/* One MR of each sort: all rights, to be read here alone, reads of peers, writes of peers, another domain's, pages. */
static const u32 rights[EM_REGIONS] = {
	RW | HCA_ACCESS_MW_BIND, 0, HCA_ACCESS_REMOTE_READ, HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE, RW, RW,
};

static void make_region(u32 s, u32 i)
{
	struct em_region *m = &model[s].region[i];
	struct hca_mr_attr at = { .kind = HCA_MR_LINEAR,
				  .access = rights[i],
				  .iova = 0x7000000ull * (i + 1),
				  .base = BASE + i * 4096ull,
				  .length = 20000 };

	*m = (struct em_region){ .valid = true,
				 .pd = i == 4,
				 .access = rights[i],
				 .iova = at.iova,
				 .len = at.length,
				 .page = { i * 4096ull } };
	if (i == EM_PAGES) {
		at = (struct hca_mr_attr){ .kind = HCA_MR_PAGES, .max_pages = 4, .invalid = true };
		m->valid = false;
		m->pages = true;
	}
	assert_int_equal(hca_mr_create(i == 4 ? &other[s] : &side[s]->pd, &at, &region[s][i]), 0);
	m->key = region[s][i]->key;
}

/* Packets of some size, the same at both ends. */
static void connect_pair(u32 q)
{
	enum hca_mtu mtu = HCA_MTU_256 + pick(5);
	u32 s;

	for (s = 0; s < 2; s++) {
		struct em_qp *m = &model[s].qp[q];

		connect_qp(side[s], qp[s][q], side[!s], qp[!s][q]->qpn, RETRIES, 2);
		m->state = HCA_QPS_RTS;
		m->dest = model[!s].qp[q].qpn;
		m->drain = false;
		/* In trouble not both: one's silence could be the other's error. */
		m->forever = !pick(3) && !(troubled && s);
		qp[s][q]->attr.rnr_retry = m->forever ? 7 : EM_RNR_RETRY;
		qp[s][q]->attr.min_rnr_timer = RNR_CODE;
		if (m->type != HCA_QPT_UD)
			qp[s][q]->attr.path_mtu = mtu;
		if (FIXTURE_MTU)
			m->mtu = m->type == HCA_QPT_UD ? FIXTURE_MTU : 128u << mtu;
		republish(qp[s][q]);
	}
}

#ifdef ENGINE_FIXTURE_PACKETS
/* Nobody repeats what isn't reliable: there the wire is a good one. */
static void spoil(u32 q)
{
	bool on = troubled && model[0].qp[q].type == HCA_QPT_RC;

	lossy.lose = on ? 30 : 0;
	lossy.twice = on ? 30 : 0;
	lossy.late = on ? 60 : 0;
	lossy.delay = DELAY;
}
#else
static void spoil(u32 q)
{
	(void)q;
}
#endif

/* An error's last words are said once. If they're lost, the peer knows from silence (IBTA 9.9.2.4.1). */
static bool same_status(enum hca_wc_status is, enum hca_wc_status should)
{
	bool told = should == HCA_WC_REM_ACCESS_ERR || should == HCA_WC_REM_INV_REQ_ERR || should == HCA_WC_REM_OP_ERR;

	return is == should || (troubled && told && is == HCA_WC_RETRY_EXC_ERR);
}

static void make_window(u32 s, u32 i)
{
	assert_int_equal(hca_mw_create(&side[s]->hca, &side[s]->pd, i ? HCA_MW_TYPE_2 : HCA_MW_TYPE_1, &window[s][i]),
			 0);
	model[s].window[i] = (struct em_window){ .two = i, .key = window[s][i]->key };
}

static void make_small_cq(u32 s)
{
	assert_int_equal(hca_cq_init(&small[s], &side[s]->hca, SMALL_CQE, NULL), 0);
	model[s].small = (struct em_cq){ .size = SMALL_CQE };
}

static void make_pair_end(u32 s, u32 q)
{
	static const enum hca_qp_type types[EM_QPS] = { HCA_QPT_RC, HCA_QPT_UC, HCA_QPT_UD, HCA_QPT_RC, HCA_QPT_RC };
	bool shares = q == 3;
	struct hca_qp_init init = { .type = types[q],
				    .pd = &side[s]->pd,
				    .send_cq = q == EM_SMALL ? &small[s] : &side[s]->scq,
				    .recv_cq = &side[s]->rcq,
				    .srq = shares ? &srq[s] : NULL,
				    .max_send_wr = EM_SENDS,
				    .max_recv_wr = shares ? 0 : EM_RECVS,
				    .max_send_sge = EM_SGES,
				    .max_recv_sge = EM_SGES,
				    .max_inline = EM_INLINE };

	assert_int_equal(hca_qp_create(&side[s]->hca, &init, &qp[s][q]), 0);
	model[s].qp[q] = (struct em_qp){
		.type = types[q],
		.qpn = qp[s][q]->qpn,
		.scq = q == EM_SMALL ? &model[s].small : &model[s].scq,
		.rcq = &model[s].rcq,
		.shares = shares,
	};
}

static void begin(void)
{
	struct hca_srq_attr shared = { .max_wr = EM_RECVS, .max_sge = EM_SGES };
	u32 s, i;

	memset(model, 0, sizeof(model));
	memset(history, 0, sizeof(history));
	test_os_reset(seed);
	assert_int_equal(wire_open(), 0);
	for (s = 0; s < 2; s++) {
		assert_int_equal(side_open(side[s]), 0);
		hca_pd_init(&other[s], &side[s]->hca);
		for (i = 0; i < EM_REGIONS; i++)
			make_region(s, i);
		for (i = 0; i < EM_WINDOWS; i++)
			make_window(s, i);
		make_small_cq(s);
		assert_int_equal(hca_srq_init(&srq[s], &side[s]->hca, &side[s]->pd, &shared), 0);
		for (i = 0; i < EM_QPS; i++)
			make_pair_end(s, i);
		for (i = 0; i < BYTES; i++)
			side[s]->ram[i] = model[s].ram[i] = (u8)pick(256);
	}
	for (i = 0; i < EM_QPS; i++)
		connect_pair(i);
}

static void end(void)
{
	u32 s, i;

	for (s = 0; s < 2; s++) {
		for (i = 0; i < EM_QPS; i++)
			hca_qp_destroy(qp[s][i]);
		assert_int_equal(hca_srq_fini(&srq[s]), 0);
		assert_int_equal(hca_cq_fini(&small[s]), 0);
		for (i = 0; i < EM_WINDOWS; i++)
			hca_mw_destroy(window[s][i]);
		for (i = 0; i < EM_REGIONS; i++)
			assert_int_equal(hca_mr_destroy(region[s][i]), 0);
	}
	side_close(&a);
	side_close(&b);
	ever_lost += wire_lost();
	wire_close();
	assert_int_equal(test_leaks(), 0);
}

/* --- comparing --- */

static void same_completion(const struct hca_wc *wc, const struct hca_wc *w, bool receives)
{
	if (wc->wr_id != w->wr_id || !same_status(wc->status, w->status))
		print_message("# request %llu ended with %d, should be %llu with %d\n", (unsigned long long)wc->wr_id,
			      wc->status, (unsigned long long)w->wr_id, w->status);
	SAME(wc->wr_id == w->wr_id);
	SAME(same_status(wc->status, w->status));
	SAME(wc->qp_num == w->qp_num);
	ever_status |= 1u << w->status;
	if (w->status)
		return;
	SAME(wc->opcode == w->opcode);
	ever_opcode[receives] |= 1u << (wc->opcode & 31);
	SAME(wc->imm == w->imm || !(w->wc_flags & (HCA_WC_WITH_IMM | HCA_WC_WITH_INVALIDATE)));
	SAME((wc->wc_flags & ~(u32)HCA_WC_GRH) == w->wc_flags);
	SAME(wc->byte_len == w->byte_len || (!receives && !w->byte_len));
	SAME(!receives || wc->src_qp == w->src_qp);
}

/* Completions of one queue pair come in order; nobody says who of two comes first. */
static void one_of(struct em_cq *m, const struct hca_wc *wc, bool receives)
{
	u32 i;

	for (i = 0; i < m->n && m->wc[i].qp_num != wc->qp_num; i++)
		;
	if (i == m->n)
		print_message("# request %llu ended with %d, too many\n", (unsigned long long)wc->wr_id, wc->status);
	SAME(i < m->n);
	same_completion(wc, &m->wc[i], receives);
	m->n--;
	memmove(m->wc + i, m->wc + i + 1, (m->n - i) * sizeof(*m->wc));
}

/* Often only some are polled; not so few that a queue overflows that is to go on. */
static void same_completions(struct hca_cq *cq, struct em_cq *m, bool receives)
{
	u32 left = m->n > EM_CQE / 3 || pick(2) ? 0 : pick(m->n + 1);
	struct hca_wc wc;
	int got;

	while (m->n > left) {
		SAME(hca_cq_ring_poll(&cq->ring, &wc, 1) == 1);
		one_of(m, &wc, receives);
	}
	got = left ? 0 : hca_cq_ring_poll(&cq->ring, &wc, 1);
	if (got > 0)
		one_of(m, &wc, receives);
	SAME(left || got == (m->error ? -EIO : 0));
}

static void same_events(u32 s)
{
	static const enum hca_event_type types[] = {
		HCA_EVENT_QP_ACCESS_ERR,     HCA_EVENT_QP_REQ_ERR,	    HCA_EVENT_QP_FATAL,	  HCA_EVENT_CQ_ERR,
		HCA_EVENT_SRQ_LIMIT_REACHED, HCA_EVENT_QP_LAST_WQE_REACHED, HCA_EVENT_SQ_DRAINED,
	};
	u32 i;

	for (i = 0; i < HCA_ARRAY_SIZE(types); i++) {
		u32 is = side[s]->events[types[i]], should = model[s].events[types[i]];

		if (is != should)
			print_message("# event %d came to side %u %u times, should be %u\n", types[i], s, is, should);
		SAME(is == should);
		ever_event |= is ? 1u << types[i] : 0;
	}
}

static void compare(void)
{
	u32 s, i;

	test_clock_advance(QUIET);
	em_settle(model);
	for (s = 0; s < 2; s++) {
		same_completions(&side[s]->scq, &model[s].scq, false);
		same_completions(&side[s]->rcq, &model[s].rcq, true);
		same_completions(&small[s], &model[s].small, false);
		SAME(!memcmp(side[s]->ram, model[s].ram, BYTES));
		same_events(s);
		for (i = 0; i < EM_QPS; i++) {
			SAME(hca_load(&qp[s][i]->state) == (u32)model[s].qp[i].state);
			ever_state |= 1u << model[s].qp[i].state;
		}
	}
}

/* --- what is asked for --- */

/* Mostly inside an MR; else at its end, one byte over it, below it, around the end of all addresses. */
static u64 address(const struct em_region *r, u32 len)
{
	switch (pick(16)) {
	case 0:
		return r->iova + r->len - len;
	case 1:
		return r->iova + r->len - len + 1;
	case 2:
		return r->iova - 1;
	case 3:
		return ~0ull - len / 2;
	default:
		return r->iova + pick(1000) * 8 + (pick(4) ? 0 : pick(8));
	}
}

static u32 length(void)
{
	static const u32 some[] = { 0, 1, 8, 8, 8, 63, 64, 65, 1024, 4095, 4096, 4097 };

	return pick(3) ? some[pick(HCA_ARRAY_SIZE(some))] : pick(6000);
}

static u32 any_region(void)
{
	return pick(3) ? pick(2) * 5 : pick(EM_REGIONS);
}

/* What a peer may name: an MR, or an MW as if it were one. */
static struct em_region any_target(u32 s)
{
	const struct em_window *w = &model[s].window[pick(EM_WINDOWS)];

	if (pick(4) || !w->len)
		return model[s].region[any_region()];
	return (struct em_region){ .valid = w->valid,
				   .key = w->key,
				   .iova = w->iova,
				   .len = w->len,
				   .page = { model[s].region[w->region].page[0] + w->off } };
}

static u32 key_of(const struct em_region *r)
{
	return pick(24) ? r->key : r->key ^ 1u << pick(12);
}

static u32 entries(u32 s, struct hca_sge *sge, bool one)
{
	u32 n = one ? 1 : pick(30) ? pick(EM_SGES + 1) : EM_SGES + 1, i;

	for (i = 0; i < n; i++) {
		const struct em_region *r = &model[s].region[any_region()];

		sge[i].length = one && pick(8) ? 8 : length();
		sge[i].addr = address(r, sge[i].length);
		sge[i].lkey = key_of(r);
	}
	return n;
}

static void note(const char *what, u32 s, u32 q, const struct hca_send_wr *wr)
{
	snprintf(history[step % HISTORY], sizeof(history[0]),
		 "%u: %s side %u qp %u op %d flags %#x sges %u imm %#x rdma %#llx key %#x", step, what, s, q,
		 wr ? (int)wr->opcode : -1, wr ? wr->flags : 0, wr ? wr->num_sge : 0, wr ? wr->imm : 0,
		 wr ? (unsigned long long)wr->rdma.addr : 0, wr ? wr->rdma.rkey : 0);
}

static void do_recv(u32 s, u32 q)
{
	struct hca_sge sge[EM_SGES + 1];
	struct hca_recv_wr wr = { .wr_id = step, .sge = sge, .num_sge = entries(s, sge, false) };

	note("recv", s, q, NULL);
	if (model[s].qp[q].shares && pick(8))
		SAME(hca_srq_post(&srq[s], &wr) == em_post_srq(&model[s], &wr));
	else
		SAME(hca_post_recv(qp[s][q], &wr) == em_post_recv(&model[s], q, &wr));
}

static void do_send(u32 s, u32 q)
{
	static const enum hca_wr_opcode ops[] = {
		HCA_WR_SEND,	  HCA_WR_SEND_WITH_IMM,	     HCA_WR_RDMA_WRITE,		  HCA_WR_RDMA_WRITE_WITH_IMM,
		HCA_WR_RDMA_READ, HCA_WR_ATOMIC_CMP_AND_SWP, HCA_WR_ATOMIC_FETCH_AND_ADD, HCA_WR_SEND_WITH_INV
	};
	enum hca_wr_opcode op = q == 2 && pick(8) ? ops[pick(2)] : ops[pick(HCA_ARRAY_SIZE(ops))];
	bool atomic = op == HCA_WR_ATOMIC_CMP_AND_SWP || op == HCA_WR_ATOMIC_FETCH_AND_ADD;
	struct em_region target = any_target(!s);
	const struct em_region *r = &target;
	static u8 own[EM_SGES + 1][BYTES];
	struct hca_sge sge[EM_SGES + 1];
	struct hca_send_wr wr = { .wr_id = step, .sge = sge, .opcode = op, .imm = pick(1u << 30) };
	int code;
	u32 i;

	/* Of two that are under way in trouble, both may be heard of no more when the second is refused. */
	if (troubled && model[s].qp[q].sends)
		return;
	wr.num_sge = entries(s, sge, atomic);
	if (op == HCA_WR_SEND_WITH_INV)
		wr.imm = pick(3) ? key_of(&model[!s].region[pick(4) ? EM_PAGES : any_region()]) :
				   model[!s].window[pick(EM_WINDOWS)].key;
	/* Behind others, it may be that it goes before a read has come back unless it's told not to. */
	wr.flags = (pick(2) ? 0u : HCA_SEND_SIGNALED) | (model[s].qp[q].sends || !pick(4) ? HCA_SEND_FENCE : 0u) |
		   (pick(4) ? 0u : HCA_SEND_SOLICITED) | (pick(6) ? 0u : HCA_SEND_INLINE);
	for (i = 0; wr.flags & HCA_SEND_INLINE && i < wr.num_sge; i++) {
		sge[i].length = pick(30);
		memset(own[i], (int)pick(256), sge[i].length);
		sge[i].addr = (uintptr_t)own[i];
	}
	if (q == 2) {
		wr.ud.dlid = side[!s]->hca.lid;
		wr.ud.qpn = pick(12) ? qp[!s][q]->qpn : 0xfffff0;
		wr.ud.qkey = pick(12) ? EM_QKEY : EM_QKEY + 1;
	} else if (atomic) {
		wr.atomic.addr = address(r, 8);
		wr.atomic.rkey = key_of(r);
		wr.atomic.compare_add = pick(1000);
		wr.atomic.swap = pick(1000);
		if (pick(2) && r->valid && wr.atomic.addr >= r->iova && wr.atomic.addr - r->iova <= 4096 - 8)
			memcpy(&wr.atomic.compare_add, &model[!s].ram[r->page[0] + (wr.atomic.addr - r->iova)], 8);
	} else {
		u64 len = 0;

		for (i = 0; i < wr.num_sge; i++)
			len += sge[i].length;
		wr.rdma.addr = address(r, (u32)len);
		wr.rdma.rkey = key_of(r);
	}
	note("send", s, q, &wr);
	code = hca_post_send(qp[s][q], &wr);
	settle();
	SAME(code == em_post_send(&model[s], &model[!s], q, &wr));
	ever_code |= 1u << -code;
}

/* Registers the MR of pages, or makes a key void: mostly that one's. */
static void do_pages(u32 s, u32 q)
{
	const struct em_region *m = &model[s].region[EM_PAGES];
	static u64 page[4];
	static struct hca_mr_pages p;
	struct hca_send_wr wr = { .wr_id = step, .flags = HCA_SEND_SIGNALED, .opcode = HCA_WR_LOCAL_INV };
	u32 i, first = pick(12);

	if (q == 2 || model[s].qp[q].state != HCA_QPS_RTS || model[s].qp[q].sends)
		return;
	wr.imm = key_of(pick(8) ? m : &model[s].region[any_region()]);
	if (!pick(4))
		wr.imm = model[s].window[pick(8) ? 1 : 0].key;
	if (!m->valid && pick(12)) {
		for (i = 0; i < 4; i++)
			page[i] = BASE + (first + i * 3) % 16 * 4096;
		p = (struct hca_mr_pages){ .key = (m->key & ~0xffu) | pick(256),
					   .access = pick(6) ? RW | HCA_ACCESS_MW_BIND : HCA_ACCESS_LOCAL_WRITE,
					   .iova = 0x9000000,
					   .length = sizeof(page) / sizeof(*page) * 4096,
					   .page_shift = 12,
					   .pages = page,
					   .npages = 4 };
		wr.opcode = HCA_WR_REG_MR;
		wr.reg.mr = region[s][EM_PAGES];
		wr.reg.to = p;
	}
	note("pages", s, q, &wr);
	SAME(hca_post_send(qp[s][q], &wr) == em_post_send(&model[s], &model[!s], q, &wr));
	settle();
}

/* Any part of an MR, that may be bound to or not; a few bytes too many; or none, which is how type 1 is unbound. */
static void do_bind(u32 s, u32 q)
{
	u32 i = pick(EM_WINDOWS), from = any_region();
	const struct em_region *m = &model[s].region[from];
	struct hca_mw *w = window[s][i];
	struct hca_send_wr wr = { .wr_id = step, .flags = HCA_SEND_SIGNALED, .opcode = HCA_WR_BIND_MW };

	if (q == 2 || model[s].qp[q].state != HCA_QPS_RTS || model[s].qp[q].sends)
		return;
	wr.bind.mw = w;
	wr.bind.length = pick(8) ? 1 + pick(12000) : i ? 1 : 0;
	wr.bind.addr = pick(12) ? m->iova + pick(8000) : m->iova + m->len - wr.bind.length + 1;
	wr.bind.lkey = key_of(m);
	wr.bind.rkey = i ? (w->key & ~0xffu) | pick(256) : hca_mw_next_key(w);
	wr.bind.access = pick(6) ? (RW & (u32)HCA_ACCESS_REMOTE) : pick(8) << 1;
	wr.bind.access |= pick(3) ? 0u : HCA_ACCESS_ZERO_BASED;
	note("bind", s, q, &wr);
	SAME(hca_post_send(qp[s][q], &wr) == em_post_send(&model[s], &model[!s], q, &wr));
	settle();
}

static bool idle(u32 s)
{
	u32 i, n = 0;

	for (i = 0; i < EM_QPS; i++)
		n += model[s].qp[i].sends;
	return !n;
}

/* Deregistered under whatever receives name it, and made anew; but not beneath an MW, and not under what is sent. */
static void do_dereg(u32 s)
{
	u32 i = any_region();

	note("dereg", s, i, NULL);
	if (em_bound(&model[s], i)) {
		SAME(hca_mr_destroy(region[s][i]) == -EBUSY);
	} else if (idle(0) && idle(1)) {
		SAME(hca_mr_destroy(region[s][i]) == 0);
		make_region(s, i);
	}
}

/* As bound as it may be. */
static void do_new_window(u32 s)
{
	u32 i = pick(EM_WINDOWS);

	note("window", s, i, NULL);
	hca_mw_destroy(window[s][i]);
	make_window(s, i);
}

static void do_error(u32 s, u32 q)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_ERR };

	note("error", s, q, NULL);
	if (model[s].qp[q].state == HCA_QPS_RESET) {
		SAME(hca_qp_modify(qp[s][q], &at, HCA_QP_STATE) == -EINVAL);
		return;
	}
	SAME(hca_qp_modify(qp[s][q], &at, HCA_QP_STATE) == 0);
	em_error(&model[s], q);
}

/* Both ends anew. What is posted to one that isn't ready has its answer too. */
static void do_reset(u32 q)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_RESET };
	u32 s;

	note("reset", 0, q, NULL);
	for (s = 0; s < 2; s++) {
		SAME(hca_qp_modify(qp[s][q], &at, HCA_QP_STATE) == 0);
		em_forget(&model[s], q);
	}
	s = pick(2);
	do_recv(s, q);
	do_send(s, q);
	/* What is on its way yet is of another time (IBTA 10.3.1.1 leaves it to the consumer to wait). */
	if (troubled)
		test_clock_advance(DELAY);
	connect_pair(q);
}

/* A new one at its place, that its peer doesn't know. */
static void do_destroy(u32 s, u32 q)
{
	u32 i;

	note("destroy", s, q, NULL);
	em_forget(&model[s], q);
	for (i = 0; i < EM_WINDOWS; i++)
		if (model[s].window[i].two && model[s].window[i].q == q)
			model[s].window[i].valid = false;
	hca_qp_destroy(qp[s][q]);
	if (q == EM_SMALL) {
		SAME(hca_cq_fini(&small[s]) == 0);
		make_small_cq(s);
	}
	make_pair_end(s, q);
}

/* Off and on: the send queue is drained, or runs again. With two under way it isn't said which of them have begun. */
static void do_drain(u32 s, u32 q)
{
	struct em_qp *m = &model[s].qp[q];
	struct hca_qp_attr at = { .qp_state = HCA_QPS_RTS, .en_sqd_async_notify = 1 };

	if (m->state == HCA_QPS_RTS && m->sends <= 1) {
		note("drain", s, q, NULL);
		at.qp_state = HCA_QPS_SQD;
		SAME(hca_qp_modify(qp[s][q], &at, HCA_QP_STATE | HCA_QP_EN_SQD_ASYNC_NOTIFY) == 0);
		em_drain(&model[s], q);
	} else if (m->state == HCA_QPS_SQD || m->state == HCA_QPS_SQE) {
		note("run", s, q, NULL);
		/* What was begun must end first (IBTA 10.3.1.5). */
		if (m->state == HCA_QPS_SQD && m->waits) {
			SAME(hca_qp_modify(qp[s][q], &at, HCA_QP_STATE) == -EBUSY);
			return;
		}
		m->state = HCA_QPS_RTS;
		SAME(hca_qp_modify(qp[s][q], &at, HCA_QP_STATE) == 0);
		em_run(&model[s], &model[!s], q);
	}
}

static void do_limit(u32 s)
{
	struct hca_srq_attr at = { .srq_limit = pick(EM_RECVS + 2) };
	bool good = at.srq_limit <= EM_RECVS;

	note("limit", s, 3, NULL);
	SAME(hca_srq_modify(&srq[s], &at, HCA_SRQ_LIMIT) == (good ? 0 : -EINVAL));
	if (good)
		model[s].srq.limit = at.srq_limit;
}

/* More completions than the small queue holds, before it is polled. */
static void do_burst(u32 s, u32 q)
{
	u32 i;

	for (i = 0; i < SMALL_CQE + 2; i++) {
		do_recv(!s, q);
		do_send(s, q);
	}
}

static bool in_order(u32 q)
{
	return model[0].qp[q].state == HCA_QPS_RTS && model[1].qp[q].state == HCA_QPS_RTS &&
	       model[0].qp[q].dest == model[1].qp[q].qpn && model[1].qp[q].dest == model[0].qp[q].qpn;
}

static void one_step(void)
{
	u32 s = pick(2), q = pick(EM_QPS);

	spoil(q);
	if (q == EM_SMALL && model[s].small.error && pick(2))
		do_destroy(s, q);
	else if (q == EM_SMALL && !troubled && !pick(8))
		do_burst(s, q);
	else if (!in_order(q) && !pick(3))
		do_reset(q);
	else if (!pick(80))
		do_error(s, q);
	else if (!pick(120))
		do_destroy(s, q);
	else if (!pick(20))
		do_drain(s, q);
	else if (!pick(30))
		do_limit(s);
	else if (!pick(50))
		do_dereg(s);
	else if (!pick(80))
		do_new_window(s);
	else if (!pick(10))
		do_pages(s, q);
	else if (!pick(10))
		do_bind(s, q);
	else if (pick(5) < 2)
		do_recv(s, q);
	else
		do_send(s, q);
	/* In trouble, nobody can say who comes first. */
	if (troubled || !pick(BATCH))
		compare();
}

#define BIT(x) (1u << (x))

/* What never came up would be compared in vain. */
static void all_came_up(void)
{
	static const u32 statuses = BIT(HCA_WC_SUCCESS) | BIT(HCA_WC_LOC_LEN_ERR) | BIT(HCA_WC_LOC_PROT_ERR) |
				    BIT(HCA_WC_WR_FLUSH_ERR) | BIT(HCA_WC_MW_BIND_ERR) | BIT(HCA_WC_LOC_ACCESS_ERR) |
				    BIT(HCA_WC_REM_INV_REQ_ERR) | BIT(HCA_WC_REM_ACCESS_ERR) | BIT(HCA_WC_REM_OP_ERR) |
				    BIT(HCA_WC_RETRY_EXC_ERR) | BIT(HCA_WC_RNR_RETRY_EXC_ERR);
	static const u32 sent = BIT(HCA_WC_SEND) | BIT(HCA_WC_RDMA_WRITE) | BIT(HCA_WC_RDMA_READ) |
				BIT(HCA_WC_COMP_SWAP) | BIT(HCA_WC_FETCH_ADD) | BIT(HCA_WC_BIND_MW) |
				BIT(HCA_WC_LOCAL_INV) | BIT(HCA_WC_REG_MR);
	static const u32 events = BIT(HCA_EVENT_QP_ACCESS_ERR) | BIT(HCA_EVENT_QP_REQ_ERR) | BIT(HCA_EVENT_QP_FATAL) |
				  BIT(HCA_EVENT_CQ_ERR) | BIT(HCA_EVENT_SRQ_LIMIT_REACHED) |
				  BIT(HCA_EVENT_QP_LAST_WQE_REACHED) | BIT(HCA_EVENT_SQ_DRAINED);
	static const u32 states = BIT(HCA_QPS_RESET) | BIT(HCA_QPS_RTS) | BIT(HCA_QPS_SQD) | BIT(HCA_QPS_SQE) |
				  BIT(HCA_QPS_ERR);

	assert_int_equal(ever_status, statuses);
	assert_int_equal(ever_opcode[0], sent);
	assert_int_equal(ever_opcode[1], BIT(HCA_WC_RECV & 31) | BIT(HCA_WC_RECV_RDMA_WITH_IMM & 31));
	assert_int_equal(ever_event, events);
	assert_int_equal(ever_state, states);
	assert_int_equal(ever_code, BIT(0) | BIT(ENOMEM) | BIT(EINVAL));
}

static u32 number(const char *name, u32 otherwise)
{
	const char *s = getenv(name);

	return s && *s ? (u32)strtoul(s, NULL, 0) : otherwise;
}

static void against_the_model(void **state)
{
	u32 first = number("SOFTHCA_SEED", FIRST_SEED), seeds = number("SOFTHCA_DIFF_SEEDS", SEEDS);
	u32 steps = number("SOFTHCA_DIFF_STEPS", STEPS);

	(void)state;
	for (seed = first; seed < first + seeds; seed++) {
		x = (seed + 1) * 0x9e3779b97f4a7c15;
		begin();
		for (step = 0; step < steps; step++)
			one_step();
		compare();
		end();
	}
	/* Other seeds needn't reach everything. */
	if (first == FIRST_SEED && seeds * steps >= ENOUGH)
		all_came_up();
}

#ifdef ENGINE_FIXTURE_PACKETS
static void in_trouble(void **state)
{
	troubled = true;
	against_the_model(state);
	assert_true(ever_lost);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(against_the_model),
#ifdef ENGINE_FIXTURE_PACKETS
		cmocka_unit_test(in_trouble),
#endif
	};

	return cmocka_run_group_tests_name("engine differential", tests, NULL, NULL);
}
