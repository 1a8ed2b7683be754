/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The soak's wire, adapters, queues and memory; see soak.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "soak.h"

/* --- patterns --- */

void soak_fill(u8 *p, u32 len, u64 seed, u32 first)
{
	u32 i;

	for (i = 0; i + 8 <= len; i += 8) {
		u64 w = soak_word(seed, first++);

		memcpy(p + i, &w, 8);
	}
	if (i < len) {
		u64 w = soak_word(seed, first);

		memcpy(p + i, &w, len - i);
	}
}

bool soak_same(const u8 *p, u32 len, u64 seed, u32 first)
{
	u32 i;

	for (i = 0; i + 8 <= len; i += 8) {
		u64 w = soak_word(seed, first++);

		if (memcmp(p + i, &w, 8))
			return false;
	}
	if (i < len) {
		u64 w = soak_word(seed, first);

		return !memcmp(p + i, &w, len - i);
	}
	return true;
}

bool soak_untouched(const u8 *p, u32 len)
{
	return !len || (p[0] == SOAK_CANARY && !memcmp(p, p + 1, len - 1));
}

void soak_wrong(const struct soak_end *e, int line, const char *what, u64 a, u64 b)
{
	struct soak *s = soak_of(e);

	if (hca_fetch_add(&s->wrong, 1u) < 10)
		printf("# %s: link %u end %u, connection %u, line %d: not so: %s (%#llx, %#llx)\n", s->name,
		       e->link->index, e->index & 1, e->link->conn, line, what, (unsigned long long)a,
		       (unsigned long long)b);
	fflush(stdout);
}

/* --- adapters --- */

static int mem_open(struct hca_mem *mem, hca_dma_addr_t addr, u64 len, enum hca_mem_op access, struct hca_mem_view *w)
{
	struct soak_side *side = hca_container_of(mem, struct soak_side, mem);
	const struct soak *s = side->s;
	u64 off = hca_dma_u64(addr) - side->base;

	(void)access;
	if (off >= s->ram_len)
		return -EFAULT;
	w->ptr = s->ram + off;
	w->len = HCA_MIN(HCA_MIN(len, s->ram_len - off), 4096 - off % 4096);
	return 0;
}

static void mem_close(struct hca_mem *mem, struct hca_mem_view *w)
{
	(void)mem;
	(void)w;
}

static const struct hca_mem_ops mem_ops = { .open = mem_open, .close = mem_close };

static void on_event(struct hca *hca, enum hca_event_type type, void *object)
{
	struct soak_side *side = hca_container_of(hca, struct soak_side, hca);
	struct soak_end *e;

	if (type == HCA_EVENT_SRQ_LIMIT_REACHED) {
		soak_stock_srq(side, 0);
		return;
	}
	if (type == HCA_EVENT_CQ_ERR) {
		soak_wrong(&side->s->link[0].end[0], __LINE__, "no completion queue overflows", 0, 0);
		return;
	}
	e = ((struct hca_qp *)object)->user;
	soak_check(e, hca_load_acquire(&e->alive), type, 0);
	soak_check(e, type != HCA_EVENT_QP_FATAL, type, 0);
	if (type == HCA_EVENT_QP_LAST_WQE_REACHED)
		hca_fetch_add(&e->last_wqe, 1u);
}

static void on_completion(struct hca_cq *cq)
{
	struct soak_cq *c = hca_container_of(cq, struct soak_cq, cq);

	hca_cq_ring_notify(&cq->ring, HCA_CQ_NEXT);
	soak_poll(c);
}

static void open_side(struct soak *s, u32 which)
{
	struct soak_side *side = &s->side[which];
	const struct hca_srq_attr srq = { .max_wr = SOAK_SRQ, .max_sge = 2, .srq_limit = SOAK_SRQ / 4 };
	struct hca_mr_attr all = {
		.kind = HCA_MR_LINEAR,
		.access = HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE,
		.length = s->ram_len,
	};
	u32 i;

	side->s = s;
	side->base = (which + 1ull) << 40;
	side->mem.ops = &mem_ops;
	if (which) {
		/* One adapter sees its memory through windows, the other one flat. */
		side->mem.flat = side->base;
		side->mem.flat_len = s->ram_len;
		side->mem.flat_ptr = s->ram;
	}
	all.iova = all.base = side->base;
	assert_int_equal(hca_open(&side->hca, s->packets ? &s->lossy.wire : &s->loop.wire,
				  s->packets ? &s->lossy.eq : &s->eq, &side->mem,
				  &(const struct hca_attr){ .max_qp = 2 * SOAK_ENDS, .max_keys = 1024 }),
			 0);
	side->hca.event = on_event;
	hca_pd_init(&side->pd, &side->hca);
	assert_int_equal(hca_mr_create(&side->pd, &all, &side->all), 0);
	assert_int_equal(hca_srq_init(&side->srq, &side->hca, &side->pd, &srq), 0);
	for (i = 0; i < SOAK_THREADS; i++) {
		struct soak_cq *c = &side->cq[i];

		pthread_mutex_init(&c->lock, NULL);
		assert_int_equal(hca_cq_init(&c->cq, &side->hca, SOAK_CQE, on_completion), 0);
		hca_cq_ring_notify(&c->cq.ring, HCA_CQ_NEXT);
	}
}

static void close_side(struct soak_side *side)
{
	u32 i;

	assert_int_equal(hca_srq_fini(&side->srq), 0);
	assert_int_equal(hca_mr_destroy(side->all), 0);
	for (i = 0; i < SOAK_THREADS; i++) {
		assert_int_equal(hca_cq_fini(&side->cq[i].cq), 0);
		pthread_mutex_destroy(&side->cq[i].lock);
	}
	assert_int_equal(side->pd.users, 0);
	assert_int_equal(hca_close(&side->hca), 0);
}

/* --- links --- */

static enum hca_qp_type type_of(u32 link)
{
	return link % 8 == 5 ? HCA_QPT_UC : link % 8 == 7 ? HCA_QPT_UD : HCA_QPT_RC;
}

static void init_end(struct soak *s, struct soak_link *l, u32 which)
{
	struct soak_end *e = &l->end[which];

	e->index = 2 * l->index + which;
	e->link = l;
	e->peer = &l->end[!which];
	/* One in eight connects an adapter with itself. */
	e->side = &s->side[l->index % 8 == 4 ? 0 : which];
	e->ram = (struct soak_ram *)(void *)s->ram + e->index;
	e->srq = l->index % 4 == 1;
	e->cq = &e->side->cq[soak_owner(e)];
	pthread_mutex_init(&e->ctl, NULL);
	pthread_rwlock_init(&e->use, NULL);
	soak_fill(e->ram->source, SOAK_LONG, soak_link_seed(l), 0);
	memset(e->ram->recv, SOAK_CANARY, sizeof(e->ram->recv));
	for (which = 0; which < SOAK_LONG; which++)
		e->ram->shared[which] = (u8)~e->ram->source[which];
	soak_create(e);
}

void soak_open(struct soak *s, const char *name, bool packets, u64 seed)
{
	size_t all = SOAK_ENDS * sizeof(struct soak_ram) + sizeof(u8[2][SOAK_SRQ][SOAK_RECV]);
	u32 i;

	memset(s, 0, sizeof(*s));
	s->name = name;
	s->packets = packets;
	if (packets) {
		assert_int_equal(lossy_open(&s->lossy, seed), 0);
		s->lossy.lanes = LOSSY_LANES;
		s->lossy.lose = 5;
		s->lossy.twice = 5;
		s->lossy.late = 10;
		s->lossy.delay = 500000;
		s->lossy.full = 100;
	} else {
		hca_loop_init(&s->loop);
		assert_int_equal(hca_eq_init(&s->eq), 0);
	}
	s->ram_len = all;
	s->ram = aligned_alloc(4096, all);
	assert_non_null(s->ram);
	memset(s->ram, 0, all);
	for (i = 0; i < 2; i++) {
		s->side[i].srq_ram = (u8(*)[SOAK_RECV])(s->ram + SOAK_ENDS * sizeof(struct soak_ram)) + i * SOAK_SRQ;
		open_side(s, i);
	}
	for (i = 0; i < SOAK_LINKS; i++) {
		struct soak_link *l = &s->link[i];

		l->s = s;
		l->index = i;
		l->type = type_of(i);
		l->keys = l->type == HCA_QPT_RC && i % 2 == 0;
		l->timeout = i % 8 == 3 ? 10 : 14;
		init_end(s, l, 0);
		init_end(s, l, 1);
	}
}

void soak_close(struct soak *s)
{
	u32 i;

	for (i = 0; i < SOAK_ENDS; i++) {
		struct soak_end *e = &s->link[i / 2].end[i % 2];

		hca_qp_destroy(e->qp);
		hca_store_release(&e->alive, 0u);
		soak_key_destroy(e);
		pthread_mutex_destroy(&e->ctl);
		pthread_rwlock_destroy(&e->use);
	}
	close_side(&s->side[0]);
	close_side(&s->side[1]);
	if (s->packets)
		lossy_close(&s->lossy);
	else
		hca_eq_fini(&s->eq);
	free(s->ram);
}
