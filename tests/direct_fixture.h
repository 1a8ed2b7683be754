/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two ways of one program: requests may be carried out at once, or memory is behind windows and all go the usual way. What
 * the consumers see is noted, and compared. The pieces that the wire is given tell which way a request went.
 */
#ifndef DIRECT_FIXTURE_H
#define DIRECT_FIXTURE_H

#define ENGINE_FIXTURE_FLAT
#include "schedule_fixture.h"

static struct hca_wire_ops counted_ops;
static enum hca_answer (*real_send)(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r);
static u32 carried; /* pieces that the wire was given */

static inline enum hca_answer send_counted(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r)
{
	carried++;
	return real_send(wire, c, r);
}

static inline void open_way(enum hca_qp_type type, bool at_once)
{
	connect_type(type);
	set_flat(&a, at_once);
	set_flat(&b, at_once);
	if (loop.wire.ops != &counted_ops) {
		real_send = loop.wire.ops->send;
		counted_ops = *loop.wire.ops;
		counted_ops.send = send_counted;
		loop.wire.ops = &counted_ops;
	}
	carried = 0;
}

/* --- what is seen --- */

#define SEEN_MAX 20000u

struct seen {
	u32 n;
	u64 word[SEEN_MAX];
};

static struct seen seen[2];
static struct seen *notes; /* of the way that is gone */

static inline void note(u64 word)
{
	assert_true(notes->n < SEEN_MAX);
	notes->word[notes->n++] = word;
}

static inline void note_wc(const struct hca_wc *wc)
{
	note(wc->wr_id);
	note((u64)wc->status << 32 | wc->qp_num);
	if (wc->status)
		return;
	note((u64)wc->opcode << 32 | wc->byte_len);
	note((u64)wc->imm << 32 | wc->wc_flags);
	note((u64)wc->src_qp << 32 | wc->slid);
	note((u64)wc->sl << 32 | wc->pkey_index);
}

static inline void note_side(struct side *s)
{
	struct hca_cq *const cqs[] = { &s->scq, &s->rcq };
	struct hca_wc wc;
	u64 sum = 0;
	u32 i;
	int n;

	for (i = 0; i < 2; i++) {
		while ((n = hca_cq_ring_poll(&cqs[i]->ring, &wc, 1)) == 1)
			note_wc(&wc);
		note((u64)n);
	}
	for (i = 0; i < HCA_ARRAY_SIZE(s->events); i++)
		note(s->events[i]);
	note(s->handled);
	note(s->qp->state);
	for (i = 0; i < BYTES; i++)
		sum = (sum ^ s->ram[i]) * 0x100000001b3ull;
	note(sum);
}

/* All that has come to anybody since the last time. */
static inline void note_all(void)
{
	note_side(&a);
	note_side(&b);
}

static inline void same_notes(const char *what)
{
	u32 i;

	assert_int_equal(seen[0].n, seen[1].n);
	for (i = 0; i < seen[0].n; i++)
		if (seen[0].word[i] != seen[1].word[i])
			fail_msg("%s: word %u: %#llx, the usual way %#llx", what, i,
				 (unsigned long long)seen[0].word[i], (unsigned long long)seen[1].word[i]);
}

/* --- posting in a word, of a to b --- */

#define RNR hca_rnr_timer_ns(12)
#define TIMEOUT hca_ack_timeout_ns(14)
#define TO 65536u /* where b receives */

static u32 send_flags;

static inline int post_list(u64 id, enum hca_wr_opcode op, const struct hca_sge *sge, u32 n)
{
	struct hca_send_wr wr = { .wr_id = id, .sge = sge, .num_sge = n, .opcode = op, .flags = send_flags };

	wr.imm = 0x12345678;
	wr.rdma.addr = BASE + TO;
	wr.rdma.rkey = b.all->key;
	return hca_post_send(a.qp, &wr);
}

static inline void recv_list(u64 id, const struct hca_sge *sge, u32 n)
{
	struct hca_recv_wr wr = { .wr_id = id, .sge = sge, .num_sge = n };

	note((u64)hca_post_recv(b.qp, &wr));
}

/* Whatever was put off is tried again until it ends. */
static inline void let_time_pass(void)
{
	u32 i;

	for (i = 0; i < 8; i++)
		test_clock_advance(2 * TIMEOUT);
}

/* --- one way --- */

static inline void go(enum hca_qp_type type, void (*play)(void), bool at_once)
{
	notes = &seen[!at_once];
	notes->n = 0;
	open_way(type, at_once);
	send_flags = 0;
	fill(a.ram, BYTES, 5);
	play();
	note_all();
}

#endif
