/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A message that goes to and fro over a reliable connection: post a receive, post a send, poll.
 *
 *	cc ping_pong.c $(pkg-config --cflags --libs softhca) -o ping_pong && ./ping_pong [ROUNDS]
 */
#include <time.h>

#include "pair.h"

#define LEN 64u

/* The message at one end: memory that the CPU sees at buf and the adapter at addr. */
struct message {
	u8 *buf;
	dma_addr_t addr;
	unsigned long polls;
};

/* Coherent memory may be touched by both all the time; other memory would be synced before each look at it. */
static void open_message(struct message *msg, struct end *e)
{
	msg->buf = (u8 *)ib_dma_alloc_coherent(e->dev, LEN, &msg->addr, GFP_KERNEL | __GFP_ZERO);
	need(msg->buf);
}

/* local_dma_lkey is the key of every address that is mapped for this device, at this end alone: nothing is registered. */
static struct ib_sge entry(const struct message *msg, const struct end *e)
{
	struct ib_sge sge = { hca_dma_u64(msg->addr), LEN, e->pd->local_dma_lkey };

	return sge;
}

static void post_recv(const struct message *msg, struct end *e)
{
	struct ib_sge sge = entry(msg, e);
	struct ib_recv_wr wr = {};

	wr.sg_list = &sge; /* request and list are copied by the post */
	wr.num_sge = 1;
	need(!ib_post_recv(e->qp, &wr, NULL));
}

static void post_send(const struct message *msg, struct end *e)
{
	struct ib_sge sge = entry(msg, e);
	struct ib_send_wr wr = {};

	wr.sg_list = &sge;
	wr.num_sge = 1;
	wr.opcode = IB_WR_SEND;
	need(!ib_post_send(e->qp, &wr, NULL));
}

/* The peer's message. Its post has carried it, in the caller's context, so one poll is enough here; a program with threads polls on. */
static void take(struct message *msg, struct end *e)
{
	struct ib_wc wc;
	int n;

	for (n = 0; !n; msg->polls++)
		n = ib_poll_cq(e->cq, 1, &wc);
	need(n == 1 && wc.status == IB_WC_SUCCESS);
	need(wc.opcode == IB_WC_RECV && wc.byte_len == LEN);
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 20000, i;
	struct message at_a = {}, at_b = {};
	struct end a = {}, b = {};
	struct machine *m;
	clock_t from;
	double us;

	need(rounds > 0);
	m = open_pair(&a, &b);
	open_message(&at_a, &a);
	open_message(&at_b, &b);

	from = clock();
	for (i = 0; i < rounds; i++) {
		at_a.buf[0]++; /* the bytes are ours while no request names them */
		post_recv(&at_b, &b); /* before the send: else the send is told to come again later (RNR) */
		post_send(&at_a, &a);
		take(&at_b, &b);
		at_b.buf[1]++;
		post_recv(&at_a, &a);
		post_send(&at_b, &b); /* what came is sent back from where it lies */
		take(&at_a, &a);
	}
	us = (double)(clock() - from) * 1e6 / CLOCKS_PER_SEC;
	need(at_a.buf[0] == (u8)rounds && at_a.buf[1] == (u8)rounds);
	printf("%lu round trips of %u bytes, %.3f us each; %lu and %lu polls\n", rounds, LEN, us / (double)rounds,
	       at_a.polls, at_b.polls);

	ib_dma_free_coherent(a.dev, LEN, at_a.buf, at_a.addr);
	ib_dma_free_coherent(b.dev, LEN, at_b.buf, at_b.addr);
	close_pair(m, &a, &b);
	return 0;
}
