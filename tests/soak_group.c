/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two more adapters on the soak's wire, and two threads: one sends to a multicast group, and writes by keys of a fast memory region;
 * the other lets members join, leave and end, changes GIDs of all adapters, and maps and unmaps. See soak.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <cmocka.h>

#include "soak.h"

#include "hca/mcast.h"

#define MLID 0xc111u
#define QKEY 0x1234u
#define GRH 40u
#define LEN 256u /* of a datagram */
#define SLOT 512u
#define RECVS 8u
#define PAGE 4096u
#define WRITE 512u /* of a write by a key */
#define GIDS 3u /* that come and go */
#define UNMAPPED 0xcc

static const struct hca_gid group = { { 0xff, 0x12, 0x40, 0x1b, [15] = 7 } };

static int mem_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	struct soak_extra *x = hca_container_of(mem, struct soak_extra, mem);
	u64 off = hca_dma_u64(addr);

	(void)access;
	if (off >= sizeof(x->ram))
		return -EFAULT;
	w->ptr = x->ram + off;
	w->len = HCA_MIN(HCA_MIN(len, sizeof(x->ram) - off), PAGE - off % PAGE);
	return 0;
}

static void mem_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static const struct hca_mem_ops mem_ops = { .open = mem_open, .close = mem_close };

static void wrong(struct soak *s, int line, const char *what, u64 value)
{
	if (hca_fetch_add(&s->wrong, 1u) < 10)
		printf("# %s: groups, line %d: not so: %s (%#llx)\n", s->name, line, what, (unsigned long long)value);
	fflush(stdout);
}

#define check(s, ok, value) ((ok) ? (void)0 : wrong(s, __LINE__, #ok, (u64)(value)))

/* --- adapters and queue pairs --- */

static void open_extra(struct soak *s, struct soak_extra *x)
{
	struct hca_mr_attr all = { .kind = HCA_MR_LINEAR, .access = HCA_ACCESS_LOCAL_WRITE, .length = sizeof(x->ram) };

	memset(x, 0, sizeof(*x));
	x->mem.ops = &mem_ops;
	assert_int_equal(hca_open(&x->hca, s->packets ? &s->lossy.wire : &s->loop.wire,
				  s->packets ? &s->lossy.eq : &s->eq, &x->mem,
				  &(const struct hca_attr){ .max_qp = 32, .max_keys = 32 }),
			 0);
	hca_pd_init(&x->pd, &x->hca);
	assert_int_equal(hca_cq_init(&x->scq, &x->hca, 256, NULL), 0);
	assert_int_equal(hca_cq_init(&x->rcq, &x->hca, 256, NULL), 0);
	assert_int_equal(hca_mr_create(&x->pd, &all, &x->all), 0);
}

static void close_extra(struct soak_extra *x)
{
	assert_int_equal(hca_mr_destroy(x->all), 0);
	assert_int_equal(hca_cq_fini(&x->scq), 0);
	assert_int_equal(hca_cq_fini(&x->rcq), 0);
	assert_int_equal(x->pd.users, 0);
	assert_int_equal(hca_close(&x->hca), 0);
}

static int make(struct soak_extra *x, enum hca_qp_type type, struct hca_qp **qp)
{
	struct hca_qp_init init = { .type = type,
				    .pd = &x->pd,
				    .send_cq = &x->scq,
				    .recv_cq = &x->rcq,
				    .max_send_wr = 32,
				    .max_recv_wr = RECVS,
				    .max_send_sge = 1,
				    .max_recv_sge = 1,
				    .sq_sig_all = true };
	return hca_qp_create(&x->hca, &init, qp);
}

static int to_rts(struct hca_qp *qp, const struct soak_extra *peer, u32 qpn)
{
	struct hca_qp_attr at = { .qp_state = HCA_QPS_INIT,
				  .qkey = QKEY,
				  .port_num = 1,
				  .path_mtu = HCA_MTU_1024,
				  .dest_qp_num = qpn,
				  .qp_access_flags = HCA_ACCESS_REMOTE_WRITE,
				  .ah = { .dlid = (u16)peer->hca.lid, .port_num = 1 } };
	bool ud = qp->type == HCA_QPT_UD;
	int err = hca_qp_modify(
		qp, &at, HCA_QP_STATE | HCA_QP_PKEY_INDEX | HCA_QP_PORT | (ud ? HCA_QP_QKEY : HCA_QP_ACCESS_FLAGS));

	at.qp_state = HCA_QPS_RTR;
	if (!err)
		err = hca_qp_modify(qp, &at,
				    HCA_QP_STATE |
					    (ud ? 0 : HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN));
	at.qp_state = HCA_QPS_RTS;
	return err ? err : hca_qp_modify(qp, &at, HCA_QP_STATE | HCA_QP_SQ_PSN);
}

/* --- the thread that sends --- */

/* Of twice as many places as requests may wait, so that none is used again before it was sent. */
static void send(struct soak_groups *g, struct soak_thread *t)
{
	struct soak_extra *x = &g->extra[0];
	u32 slot = g->sent % 64, mapped = hca_load_acquire(&g->key);
	struct hca_sge sge = { .addr = slot * SLOT, .length = LEN, .lkey = x->all->key };
	struct hca_send_wr wr = { .wr_id = g->sent, .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };

	if (mapped && soak_random(t, 2)) {
		/* From memory that never changes, so that whatever is seen of it is right. */
		sge.addr = SOAK_EXTRA_SOURCE;
		sge.length = WRITE;
		wr.opcode = HCA_WR_RDMA_WRITE;
		wr.rdma.addr = soak_random(t, PAGE / WRITE) * (u64)WRITE;
		wr.rdma.rkey = mapped;
		(void)hca_post_send(g->writer, &wr);
		return;
	}
	memset(x->ram + slot * SLOT, (int)(1 + g->sent % 255), LEN);
	wr.ud.dlid = MLID;
	wr.ud.qpn = HCA_MCAST_QPN;
	wr.ud.qkey = QKEY;
	wr.ud.is_global = true;
	wr.ud.grh.dgid = group;
	wr.ud.grh.sgid_index = (u8)soak_random(t, 1 + GIDS);
	g->sent += !hca_post_send(g->sender, &wr);
}

static void take_sends(struct soak_groups *g)
{
	struct hca_wc wc;

	while (hca_cq_ring_poll(&g->extra[0].scq.ring, &wc, 1) == 1) {
		/* Its source GID had been taken away: then those behind it are flushed. */
		check(g->s, !wc.status || wc.status == HCA_WC_LOC_QP_OP_ERR || wc.status == HCA_WC_WR_FLUSH_ERR,
		      wc.status);
		soak_count(g->s, requests, 1);
		soak_count(g->s, failed, wc.status != HCA_WC_SUCCESS);
	}
}

void *soak_group_sends(void *arg)
{
	struct soak_groups *g = arg;
	struct hca_qp_attr at = { .qkey = QKEY, .qp_state = HCA_QPS_RTS };
	u32 turns = 0;

	while (!hca_load_acquire(&g->s->stop) && !hca_load(&g->s->wrong)) {
		send(g, &g->thread[0]);
		take_sends(g);
		if (hca_load(&g->sender->state) == HCA_QPS_SQE)
			check(g->s, !hca_qp_modify(g->sender, &at, HCA_QP_STATE), g->sender->state);
		if (++turns % 64 == 0)
			sched_yield();
	}
	return NULL;
}

/* --- the thread that changes --- */

static void post_to(struct soak_groups *g, u32 m, u32 slot)
{
	struct soak_extra *y = &g->extra[1];
	struct hca_sge sge = { .addr = (m * RECVS + slot) * SLOT, .length = GRH + LEN, .lkey = y->all->key };
	struct hca_recv_wr wr = { .wr_id = m << 8 | slot, .sge = &sge, .num_sge = 1 };

	check(g->s, !hca_post_recv(g->member[m], &wr), m);
}

static void make_member(struct soak_groups *g, u32 m)
{
	u32 i;

	check(g->s, !make(&g->extra[1], HCA_QPT_UD, &g->member[m]), m);
	check(g->s, !to_rts(g->member[m], &g->extra[0], 0), m);
	for (i = 0; i < RECVS; i++)
		post_to(g, m, i);
	g->joined[m] = false;
}

static void take_receives(struct soak_groups *g)
{
	struct soak_extra *y = &g->extra[1];
	struct hca_wc wc;

	while (hca_cq_ring_poll(&y->rcq.ring, &wc, 1) == 1) {
		u32 m = (u32)wc.wr_id >> 8, slot = (u32)wc.wr_id & 0xff;
		const u8 *at = y->ram + (m * RECVS + slot) * SLOT + GRH;

		check(g->s, !wc.status && wc.byte_len == GRH + LEN, wc.status);
		/* What it was sent from may have been used again: on a wire that loses nothing each byte is of one message. */
		check(g->s, at[0] && !memcmp(at, at + 1, LEN - 1), at[0]);
		soak_count(g->s, messages, 1);
		post_to(g, m, slot);
	}
}

static void change_member(struct soak_groups *g, struct soak_thread *t)
{
	u32 m = soak_random(t, SOAK_MEMBERS);

	if (soak_random(t, 8) == 0) {
		hca_qp_destroy(g->member[m]);
		soak_count(g->s, destroys, 1);
		make_member(g, m);
	}
	check(g->s,
	      !(g->joined[m] ? hca_mcast_detach(g->member[m], &group, MLID) :
			       hca_mcast_attach(g->member[m], &group, MLID)),
	      m);
	g->joined[m] = !g->joined[m];
}

/* Of every adapter; those of the sender's may be in use. */
static void change_gid(struct soak_groups *g, struct soak_thread *t)
{
	u32 which = soak_random(t, 4), n = soak_random(t, GIDS), index;
	struct hca *hca = which < 2 ? &g->s->side[which].hca : &g->extra[which - 2].hca;
	struct hca_gid gid = { { 0xfd, [13] = (u8)which, [15] = (u8)(1 + n) } };

	if (g->has[which] >> n & 1)
		check(g->s, !hca_gid_remove(&hca->gids, &hca->quiesce, &gid), which);
	else
		check(g->s, !hca_gid_add(&hca->gids, &gid, &index), which);
	g->has[which] ^= 1u << n;
}

static void unmap(struct soak_groups *g)
{
	u8 *at = g->extra[1].ram + SOAK_EXTRA_PAGE;
	u32 i;

	hca_store(&g->key, 0u);
	check(g->s, !hca_fmr_unmap(g->fmr), 0);
	/* Nothing is written there any more. While it was mapped only what was sent could be. */
	for (i = 0; i < PAGE; i++)
		if (at[i] != UNMAPPED && at[i] != SOAK_EXTRA_BYTE)
			wrong(g->s, __LINE__, "only what was written", at[i]);
	memset(at, UNMAPPED, PAGE);
}

static void change_map(struct soak_groups *g, struct soak_thread *t)
{
	const u8 *at = g->extra[1].ram + SOAK_EXTRA_PAGE;
	const u64 page = SOAK_EXTRA_PAGE;

	if (!g->key)
		check(g->s, at[0] == UNMAPPED && !memcmp(at, at + 1, PAGE - 1), at[0]);
	else if (g->fmr->maps == SOAK_FMR_MAPS || soak_random(t, 3))
		unmap(g);
	check(g->s, !hca_fmr_map(g->fmr, &page, 1, 0), g->fmr->maps);
	hca_store_release(&g->key, g->fmr->key);
	soak_count(g->s, keys, 1);
	if (soak_random(t, 4) == 0)
		unmap(g);
}

void *soak_group_changes(void *arg)
{
	struct soak_groups *g = arg;
	struct soak_thread *t = &g->thread[1];

	while (!hca_load_acquire(&g->s->stop) && !hca_load(&g->s->wrong)) {
		u32 what = soak_random(t, 16);

		take_receives(g);
		if (what < 2)
			change_member(g, t);
		else if (what < 4)
			change_gid(g, t);
		else if (what < 6)
			change_map(g, t);
		else
			sched_yield();
	}
	return NULL;
}

/* --- the whole --- */

void soak_groups_open(struct soak *s, struct soak_groups *g, u64 seed)
{
	const struct hca_fmr_attr fmr = { .access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE,
					  .max_pages = 1,
					  .max_maps = SOAK_FMR_MAPS,
					  .page_shift = 12 };
	u32 i;

	memset(g, 0, sizeof(*g));
	g->s = s;
	open_extra(s, &g->extra[0]);
	open_extra(s, &g->extra[1]);
	memset(g->extra[0].ram + SOAK_EXTRA_SOURCE, SOAK_EXTRA_BYTE, WRITE);
	memset(g->extra[1].ram + SOAK_EXTRA_PAGE, UNMAPPED, PAGE);
	assert_int_equal(make(&g->extra[0], HCA_QPT_UD, &g->sender), 0);
	assert_int_equal(to_rts(g->sender, &g->extra[1], 0), 0);
	assert_int_equal(make(&g->extra[0], HCA_QPT_UC, &g->writer), 0);
	assert_int_equal(make(&g->extra[1], HCA_QPT_UC, &g->written), 0);
	assert_int_equal(to_rts(g->writer, &g->extra[1], g->written->qpn), 0);
	assert_int_equal(to_rts(g->written, &g->extra[0], g->writer->qpn), 0);
	assert_int_equal(hca_fmr_create(&g->extra[1].pd, &fmr, &g->fmr), 0);
	for (i = 0; i < SOAK_MEMBERS; i++)
		make_member(g, i);
	for (i = 0; i < 2; i++)
		g->thread[i] = (struct soak_thread){ s, SOAK_THREADS, (seed + 7) * 0x9e3779b97f4a7c15ull + i };
}

void soak_groups_close(struct soak_groups *g)
{
	u32 i;

	for (i = 0; i < SOAK_MEMBERS; i++)
		hca_qp_destroy(g->member[i]);
	hca_qp_destroy(g->writer);
	hca_qp_destroy(g->written);
	hca_qp_destroy(g->sender);
	unmap(g);
	assert_int_equal(hca_fmr_destroy(g->fmr), 0);
	close_extra(&g->extra[0]);
	close_extra(&g->extra[1]);
}
