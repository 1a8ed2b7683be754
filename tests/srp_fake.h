/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A target made by hand, which answers what the test likes and when; and what an
 * initiator tells its user, counted.
 */
#ifndef SRP_FAKE_H
#define SRP_FAKE_H

#include "srp_raw.h"

/* --- a target made by hand --- */

struct fake {
	struct raw raw;
	struct srp_cm_listener *listener;
	struct srp_login_rsp rsp;
	u32 logins; /* atomic */
};

__attribute__((unused)) static bool fake_request(void *ctx, const struct srp_cm_event *ev)
{
	struct fake *f = ctx;
	u8 iu[64];

	if (__atomic_fetch_add(&f->logins, 1, __ATOMIC_ACQ_REL))
		return false;
	f->raw.conn = ev->conn;
	raw_open_qp(&f->raw);
	srp_login_rsp_encode(iu, sizeof(iu), &f->rsp);
	assert_int_equal(srp_cm_accept(ev->conn, iu, 52, raw_event, &f->raw), 0);
	return true;
}

__attribute__((unused)) static void fake_open(struct fake *f, struct srp_bed *b)
{
	memset(f, 0, sizeof(*f));
	raw_open_memory(&f->raw, b->dev[1]);
	f->rsp = (struct srp_login_rsp){
		.delta = 8, .it_iu_len = 600, .ti_iu_len = 64, .formats = SRP_FMT_DIRECT | SRP_FMT_INDIRECT
	};
	assert_int_equal(srp_cm_listen(b->dev[1], DISK, fake_request, f, &f->listener), 0);
}

__attribute__((unused)) static void fake_close(struct fake *f)
{
	srp_cm_unlisten(f->listener);
	raw_close(&f->raw);
}

/* --- what an initiator is told --- */

struct told {
	u32 done; /* atomic, as the rest */
	u32 lost, live;
	u32 events;
};

__attribute__((unused)) static void on_state(void *ctx, struct srp_initiator *ini, enum srp_state state)
{
	struct told *told = ctx;

	(void)ini;
	__atomic_fetch_add(state == SRP_STATE_LIVE ? &told->live : &told->lost, 1, __ATOMIC_ACQ_REL);
}

__attribute__((unused)) static void on_event(void *ctx, const u8 *sense, u32 len)
{
	struct told *told = ctx;

	assert_int_equal(len, 18);
	assert_int_equal(sense[0], 0x70);
	__atomic_fetch_add(&told->events, 1, __ATOMIC_ACQ_REL);
}

__attribute__((unused)) static void on_done(struct srp_request *req)
{
	__atomic_fetch_add((u32 *)req->ctx, 1, __ATOMIC_ACQ_REL);
}

__attribute__((unused)) static u32 count(u32 *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

__attribute__((unused)) static struct srp_initiator *connect_with(struct srp_bed *b, struct told *told,
								  struct srp_initiator_attr *attr)
{
	struct srp_initiator *ini;

	memset(told, 0, sizeof(*told));
	attr->device = b->dev[0];
	attr->name = DISK;
	attr->state = on_state;
	attr->event = on_event;
	attr->ctx = told;
	assert_int_equal(srp_initiator_connect(attr, &ini), 0);
	return ini;
}

__attribute__((unused)) static struct srp_request tur(struct told *told)
{
	struct srp_request req = req_plain(0, 6);

	req.done = on_done;
	req.ctx = &told->done;
	return req;
}

__attribute__((unused)) static u64 next_command(struct fake *f)
{
	struct srp_cmd cmd;

	assert_true(raw_recv(&f->raw));
	assert_int_equal(srp_cmd_decode(f->raw.got, f->raw.got_len, &cmd), SRP_FINE);
	return cmd.tag;
}

__attribute__((unused)) static void respond(struct fake *f, u64 tag, s32 delta)
{
	struct srp_rsp rsp = { .tag = tag, .delta = delta };
	u8 iu[64];

	raw_send(&f->raw, iu, srp_rsp_encode(iu, sizeof(iu), &rsp));
}

#endif
