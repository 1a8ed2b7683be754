/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A look at each packet before the wire has it, and a wire that refuses; beside the packets' fixture. Frames that aren't taken don't count. */
#ifndef FRAME_FIXTURE_H
#define FRAME_FIXTURE_H

#include "schedule_fixture.h"

#include "packet_fixture.h"

static struct hca_wire_ops seen_ops;
static int (*real_xmit)(struct hca_wire *wire, struct hca_frame *f);
static int (*on_frame)(const struct hca_frame *f, const struct hca_packet *p);
static u32 frames, flushes, flush_frames; /* of a */

static inline int xmit_seen(struct hca_wire *wire, struct hca_frame *f)
{
	struct hca_packet p;
	u8 bytes[HCA_FRAME_HEADER_MAX + 8192] = { 0 };
	int err = 0;

	memcpy(bytes, f->header, f->header_len);
	if (on_frame && !hca_packet_decode(bytes, hca_frame_bytes(f), f->global, &p))
		err = on_frame(f, &p);
	if (err)
		return err;
	hca_fetch_add(&frames, (u32)(f->slid == a.hca.lid));
	return real_xmit(wire, f);
}

static inline void flush_seen(struct hca_wire *wire, u32 lid)
{
	(void)wire;
	(void)lid;
	hca_fetch_add(&flushes, 1u);
	hca_store(&flush_frames, hca_load(&frames));
}

static inline void look_at_frames(int (*look)(const struct hca_frame *f, const struct hca_packet *p))
{
	on_frame = look;
	if (lossy.wire.ops != &seen_ops) {
		real_xmit = lossy.wire.ops->xmit;
		seen_ops = *lossy.wire.ops;
		seen_ops.xmit = xmit_seen;
		seen_ops.flush = flush_seen;
		lossy.wire.ops = &seen_ops;
	}
	frames = flushes = flush_frames = 0;
}

static inline void set_retries(struct hca_qp *qp, u8 timeout, u8 retry_cnt)
{
	qp->attr.timeout = timeout;
	qp->attr.retry_cnt = retry_cnt;
	republish(qp);
}

static inline void ack_by_hand(u32 psn, u8 syndrome, u32 msn)
{
	struct hca_packet p = { .opcode = HCA_PKT_ACK, .psn = psn, .syndrome = syndrome, .msn = msn };

	inject(&a, &p, 0);
}

#define PLAIN_ACK (HCA_AETH_ACK | HCA_AETH_NO_CREDITS)

#endif
