/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Nodes of one fabric in this process, with clients that are no adapters: each notes what comes to it. */
#ifndef STATION_FIXTURE_H
#define STATION_FIXTURE_H

#include "shm_fixture.h"

#include "hca/opcode.h"
#include "wire/shm/internal.h"

#define LOG 65536u

/* A node with a client that writes down what comes. */
struct station {
	struct hca_shm *shm;
	struct hca_wire_port port;
	char log[LOG]; /* m, r; */
	u32 number[LOG]; /* of that piece */
	u32 logged; /* atomic */
	u32 messages; /* atomic */
	u32 replies; /* atomic */
	u32 readies; /* atomic */
	u32 deaths; /* atomic */
	enum hca_answer answer;
	void (*on_message)(const struct hca_msg *m);
};

static struct station a, b, c;

static inline void note(struct station *s, char what, u32 number)
{
	u32 at = hca_load(&s->logged);

	if (at == LOG)
		return;
	s->log[at] = what;
	s->number[at] = number;
	hca_store_release(&s->logged, at + 1);
}

static inline enum hca_answer on_message(void *client, struct hca_carried *carried, struct hca_reply *r)
{
	struct station *s = client;

	(void)r;
	note(s, 'm', carried->msg.number);
	hca_fetch_add(&s->messages, 1u);
	if (s->on_message)
		s->on_message(&carried->msg);
	return s->answer;
}

static inline void on_reply(void *client, const struct hca_reply *r)
{
	struct station *s = client;

	note(s, 'r', r->number);
	hca_fetch_add(&s->replies, 1u);
}

static inline void on_packet(void *client, const struct hca_arrival *arrival)
{
	(void)client;
	(void)arrival;
}

static inline void on_settle(void *client)
{
	(void)client;
}

static inline void on_ready(void *client)
{
	struct station *s = client;

	hca_fetch_add(&s->readies, 1u);
}

static inline void on_end(void *ctx, u32 node, u64 stamp)
{
	struct station *s = ctx;

	(void)node;
	(void)stamp;
	hca_fetch_add(&s->deaths, 1u);
}

static const struct hca_wire_client client_ops = { .message = on_message,
						   .answered = on_reply,
						   .packet = on_packet,
						   .settle = on_settle,
						   .ready = on_ready };

static inline int open_station(struct station *s)
{
	const struct hca_shm_config cfg = { .dir = fabric_dir, .lids = true, .died = on_end, .ctx = s };
	struct hca_wire *wire;

	memset(s, 0, sizeof(*s));
	if (hca_shm_open(&s->shm, &cfg))
		return -1;
	wire = hca_shm_wire(s->shm);
	return wire->ops->attach(wire, &client_ops, s, &s->port);
}

static inline void close_station(struct station *s)
{
	struct hca_wire *wire = hca_shm_wire(s->shm);

	wire->ops->detach(wire, s->port.lid);
	hca_shm_close(s->shm);
}

static inline int open_all(void **state)
{
	return fabric_make(state) || open_station(&a) || open_station(&b) || open_station(&c) ? -1 : 0;
}

static inline int close_all(void **state)
{
	close_station(&a);
	close_station(&b);
	close_station(&c);
	assert_int_equal(fabric_files(), 0);
	return fabric_remove(state);
}

static u8 payload[HCA_PIECE];

static inline int get(struct hca_carried *carried, void *out)
{
	memcpy(out, payload, carried->msg.piece);
	return 0;
}

/* A send, reliable or a datagram. */
static inline enum hca_answer send_one(struct station *from, const struct station *to, u32 number, u32 len,
				       bool reliable)
{
	struct hca_wire *wire = hca_shm_wire(from->shm);
	struct hca_carried carried = { .get = get };
	struct hca_reply r;

	carried.msg = (struct hca_msg){
		.opcode = HCA_WR_SEND,
		.flags = HCA_MSG_FIRST | HCA_MSG_LAST | (reliable ? HCA_MSG_CONNECTED | HCA_MSG_RELIABLE : 0),
		.dlid = to->port.lid,
		.slid = from->port.lid,
		.number = number,
		.len = len,
		.piece = len,
	};
	return wire->ops->send(wire, &carried, &r);
}

static inline void answer_one(struct station *from, const struct station *to, u32 number)
{
	struct hca_wire *wire = hca_shm_wire(from->shm);
	const struct hca_reply r = { .answer = HCA_ANSWER_ACK, .number = number };

	wire->ops->answer(wire, to->port.lid, &r);
}

/* Something arrives, by whoever takes it in. */
static inline void wait_for(struct station *s, const u32 *count, u32 n)
{
	while (hca_load_acquire(count) < n)
		hca_shm_poll(s->shm), hca_pause();
	assert_int_equal(hca_load(count), n);
}

#endif
