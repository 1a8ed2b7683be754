/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A wire of packets with faults; see lossy_wire.h. */
#include "lossy_wire.h"

#include "hca/mcast.h"

#include <string.h>

struct lossy_packet {
	struct lossy_packet *next;
	u64 due;
	u32 dlid;
	u32 to; /* the port: a packet for a group goes to all */
	u32 slid;
	u32 len;
	u8 sl;
	bool global;
	u8 bytes[];
};

static struct lossy_wire *to_lossy(struct hca_wire *wire)
{
	return hca_container_of(wire, struct lossy_wire, wire);
}

static u32 chance(struct lossy_wire *w, u32 n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (u32)(w->random >> 32) % n;
}

/* --- ports --- */

static int attach(struct hca_wire *wire, const struct hca_wire_client *ops, void *client, struct hca_wire_port *port)
{
	struct lossy_wire *w = to_lossy(wire);
	hca_irqflags_t flags;
	int err = -ENOSPC;
	u32 i;

	hca_spin_lock(&w->lock, flags);
	for (i = 1; i < LOSSY_PORTS && err; i++) {
		if (w->port[i].client)
			continue;
		w->port[i] = (struct lossy_port){ .ops = ops, .client = client };
		*port = (struct hca_wire_port){ .lid = i, .gids = 1, .max_mtu = HCA_MTU_4096, .qpns = 1u << 24 };
		hca_wire_gid(&port->gid[0], i);
		err = 0;
	}
	hca_spin_unlock(&w->lock, flags);
	return err;
}

static void detach(struct hca_wire *wire, u32 lid)
{
	struct lossy_wire *w = to_lossy(wire);
	hca_irqflags_t flags;

	hca_spin_lock(&w->lock, flags);
	w->port[lid].client = NULL;
	while (w->delivering[lid]) {
		hca_spin_unlock(&w->lock, flags);
		hca_pause();
		hca_spin_lock(&w->lock, flags);
	}
	hca_spin_unlock(&w->lock, flags);
}

/* --- on the way --- */

bool lossy_due(const struct lossy_wire *w)
{
	return w->queue && w->queue->due <= hca_now_ns();
}

/* Those that go to port @to. */
static u32 lane_of(struct lossy_wire *w, u32 to)
{
	return (w->by_port ? to : w->next_lane++) % w->lanes;
}

static void wake_lane(struct lossy_wire *w, u32 lane)
{
	hca_eq_add(w->bring, &w->lane[lane].node);
	if (w->kick)
		w->kick();
}

static void enqueue(struct lossy_wire *w, struct lossy_packet *p, u64 wait)
{
	u64 now = hca_now_ns();
	struct lossy_packet **at;
	hca_irqflags_t flags;
	u32 lane;

	p->due = now + wait;
	hca_spin_lock(&w->lock, flags);
	lane = lane_of(w, p->to);
	for (at = &w->queue; *at && (*at)->due <= p->due; at = &(*at)->next)
		;
	p->next = *at;
	*at = p;
	w->queued++;
	if (wait)
		hca_timer_start(&w->timer, w->queue->due);
	hca_spin_unlock(&w->lock, flags);
	if (!wait)
		wake_lane(w, lane);
}

static void deliver(const struct lossy_port *to, const struct lossy_packet *p)
{
	/* In memory of its own, not a byte longer: what is read beyond it is seen. */
	u8 *exact = p->len ? hca_alloc(p->len, 0) : NULL;
	struct hca_arrival a = {
		.bytes = exact, .len = p->len, .dlid = p->dlid, .slid = p->slid, .sl = p->sl, .global = p->global
	};

	if (p->len && !exact)
		return;
	if (p->len)
		memcpy(exact, p->bytes, p->len);
	to->ops->packet(to->client, &a);
	hca_free(exact);
}

/* Those that were refused may send again. */
static void tell_ready(struct lossy_wire *w)
{
	struct lossy_port to;
	hca_irqflags_t flags;
	u32 i;

	for (i = 1; i < LOSSY_PORTS; i++) {
		hca_spin_lock(&w->lock, flags);
		to = (struct lossy_port){ .client = NULL };
		if (w->refused >> i & 1 && w->queued <= w->full / 2 && w->port[i].client) {
			to = w->port[i];
			w->refused &= ~(1u << i);
			w->delivering[i]++;
		}
		hca_spin_unlock(&w->lock, flags);
		if (!to.client)
			continue;
		to.ops->ready(to.client);
		hca_spin_lock(&w->lock, flags);
		w->delivering[i]--;
		hca_spin_unlock(&w->lock, flags);
	}
}

/* The next packet that this lane is to bring; the lock is held. */
static struct lossy_packet *next_of(struct lossy_wire *w, const struct lossy_lane *lane)
{
	struct lossy_packet **at = &w->queue, *p;

	while (w->by_port && *at && w->lane + lane_of(w, (*at)->to) != lane)
		at = &(*at)->next;
	p = *at;
	if (!p || p->due > hca_now_ns())
		return NULL;
	*at = p->next;
	w->queued--;
	return p;
}

static void fire(struct hca_eq_node *node)
{
	const struct lossy_lane *lane = hca_container_of(node, struct lossy_lane, node);
	struct lossy_wire *w = lane->wire;
	struct lossy_packet *p;
	hca_irqflags_t flags;
	struct lossy_port to;
	u32 port;

	hca_spin_lock(&w->lock, flags);
	while ((p = next_of(w, lane))) {
		port = p->to < LOSSY_PORTS ? p->to : 0; /* where nobody is */
		to = w->port[port];
		w->delivering[port]++;
		hca_spin_unlock(&w->lock, flags);
		if (to.client)
			deliver(&to, p);
		hca_free(p);
		hca_spin_lock(&w->lock, flags);
		w->delivering[port]--;
	}
	if (w->queue && !lossy_due(w))
		hca_timer_start(&w->timer, w->queue->due);
	hca_spin_unlock(&w->lock, flags);
	if (w->full)
		tell_ready(w);
}

static void on_time(void *arg)
{
	struct lossy_wire *w = arg;
	u32 i;

	for (i = 0; i < (w->by_port ? w->lanes : 1); i++)
		wake_lane(w, i);
	hca_eq_run(&w->eq);
}

/* --- faults --- */

static enum lossy_fate scripted(struct lossy_wire *w, u8 opcode, u64 *value)
{
	enum lossy_fate fate = LOSSY_ARRIVE;
	u32 i;

	for (i = 0; i < LOSSY_FAULTS; i++) {
		struct lossy_fault *f = &w->fault[i];

		if (!f->nth || (f->opcode != opcode && f->opcode != ~0u))
			continue;
		if (f->nth > 1) {
			f->nth--;
			continue;
		}
		fate = f->fate;
		*value = f->value;
		if (f->times && !--f->times)
			f->nth = 0;
	}
	return fate;
}

static enum lossy_fate fate_of(struct lossy_wire *w, const struct lossy_packet *p, u64 *value)
{
	const u8 *bth = p->bytes + (p->global ? HCA_GRH_LEN : 0);
	enum lossy_fate fate;
	hca_irqflags_t flags;

	hca_spin_lock(&w->lock, flags);
	w->seen[bth[0]]++;
	if (w->watch)
		w->watch(p->slid, bth);
	if (bth[0] == HCA_PKT_ACK)
		w->syndromes[bth[HCA_BTH_LEN]]++;
	fate = scripted(w, bth[0], value);
	if (fate == LOSSY_ARRIVE && w->lose && chance(w, 1000) < w->lose)
		fate = LOSSY_LOSE;
	if (fate == LOSSY_ARRIVE && w->twice && chance(w, 1000) < w->twice)
		fate = LOSSY_TWICE;
	if (fate == LOSSY_ARRIVE && w->late && chance(w, 1000) < w->late) {
		fate = LOSSY_LATE;
		*value = 1 + chance(w, (u32)w->delay);
	}
	w->lost += fate == LOSSY_LOSE;
	hca_spin_unlock(&w->lock, flags);
	return fate;
}

static struct lossy_packet *copy_of(const struct lossy_packet *p)
{
	struct lossy_packet *c = hca_alloc(sizeof(*p) + p->len, 0);

	if (c)
		memcpy(c, p, sizeof(*p) + p->len);
	return c;
}

static void send(struct lossy_wire *w, struct lossy_packet *p)
{
	struct lossy_packet *other;
	u64 value = 0;

	switch (fate_of(w, p, &value)) {
	case LOSSY_LOSE:
		hca_free(p);
		return;
	case LOSSY_TWICE:
		other = copy_of(p);
		if (other)
			enqueue(w, other, w->delay);
		value = 0;
		break;
	case LOSSY_FLIP:
		value %= (u64)p->len * 8;
		p->bytes[value / 8] ^= (u8)(1u << value % 8);
		value = 0;
		break;
	case LOSSY_CUT:
		p->len = HCA_MIN(p->len, (u32)value);
		value = 0;
		break;
	case LOSSY_LATE:
	case LOSSY_ARRIVE:
		break;
	}
	enqueue(w, p, value);
}

static bool for_a_group(const struct lossy_packet *p)
{
	return hca_lid_is_multicast(p->dlid) || (p->global && p->bytes[24] == 0xff);
}

static void send_to_all(struct lossy_wire *w, struct lossy_packet *p)
{
	u32 i;

	for (i = 1; i < LOSSY_PORTS; i++) {
		struct lossy_packet *c = copy_of(p);

		if (!c)
			continue;
		c->to = i;
		send(w, c);
	}
	hca_free(p);
}

/* Is there no room? Then the port hears when there is. */
static bool refuse(struct lossy_wire *w, u32 slid)
{
	hca_irqflags_t flags;
	bool full;

	hca_spin_lock(&w->lock, flags);
	full = w->full && w->queued >= w->full;
	if (full)
		w->refused |= 1u << slid;
	hca_spin_unlock(&w->lock, flags);
	return full;
}

static int xmit(struct hca_wire *wire, struct hca_frame *f)
{
	u32 len = hca_frame_bytes(f);
	struct lossy_packet *p;
	int err;

	if (refuse(to_lossy(wire), f->slid))
		return -EAGAIN;
	p = hca_alloc(sizeof(*p) + len, 0);
	if (!p)
		return 0; /* lost */
	p->len = len;
	p->dlid = f->dlid;
	p->to = f->dlid;
	p->slid = f->slid;
	p->sl = f->sl;
	p->global = f->global;
	err = hca_frame_write(f, p->bytes);
	if (err)
		hca_free(p);
	else if (for_a_group(p))
		send_to_all(to_lossy(wire), p);
	else
		send(to_lossy(wire), p);
	return err;
}

static const struct hca_wire_ops lossy_ops = {
	.caps = HCA_WIRE_PACKETS | HCA_WIRE_LIDS,
	.attach = attach,
	.detach = detach,
	.xmit = xmit,
};

/* --- for tests --- */

int lossy_open(struct lossy_wire *w, u64 seed)
{
	u32 i;

	memset(w, 0, sizeof(*w));
	w->wire.ops = &lossy_ops;
	w->bring = &w->eq;
	if (hca_eq_init(&w->eq))
		return -ENOMEM;
	hca_spin_init(&w->lock);
	w->lanes = 1;
	for (i = 0; i < LOSSY_LANES; i++)
		w->lane[i] = (struct lossy_lane){ .node = { .fire = fire }, .wire = w };
	w->random = seed * 0x9e3779b97f4a7c15ull + 1;
	if (!hca_timer_init(&w->timer, on_time, w))
		return 0;
	hca_eq_fini(&w->eq);
	return -ENOMEM;
}

void lossy_close(struct lossy_wire *w)
{
	struct lossy_packet *p;
	u32 i;

	hca_timer_destroy(&w->timer);
	for (i = 0; i < LOSSY_LANES; i++)
		hca_eq_cancel(&w->eq, &w->lane[i].node);
	while ((p = w->queue)) {
		w->queue = p->next;
		hca_free(p);
	}
	hca_eq_fini(&w->eq);
}

static void add(struct lossy_wire *w, struct lossy_fault f)
{
	hca_irqflags_t flags;
	u32 i = 0;

	hca_spin_lock(&w->lock, flags);
	while (i < LOSSY_FAULTS && w->fault[i].nth)
		i++;
	HCA_ASSERT(i < LOSSY_FAULTS);
	w->fault[i] = f;
	hca_spin_unlock(&w->lock, flags);
}

void lossy_script(struct lossy_wire *w, u32 opcode, u32 nth, enum lossy_fate fate, u64 value)
{
	add(w, (struct lossy_fault){ .opcode = opcode, .nth = nth, .times = 1, .fate = fate, .value = value });
}

void lossy_lose_all(struct lossy_wire *w, u32 opcode)
{
	add(w, (struct lossy_fault){ .opcode = opcode, .nth = 1, .fate = LOSSY_LOSE });
}

void lossy_clear(struct lossy_wire *w)
{
	hca_irqflags_t flags;

	hca_spin_lock(&w->lock, flags);
	memset(w->fault, 0, sizeof(w->fault));
	memset(w->seen, 0, sizeof(w->seen));
	memset(w->syndromes, 0, sizeof(w->syndromes));
	w->lost = 0;
	hca_spin_unlock(&w->lock, flags);
}

static void inject(struct lossy_wire *w, u32 dlid, u32 slid, const void *bytes, u32 len, bool global)
{
	struct lossy_packet *p = hca_alloc(sizeof(*p) + len, 0);

	HCA_ASSERT(p);
	p->len = len;
	p->dlid = dlid;
	p->to = dlid;
	p->slid = slid;
	p->global = global;
	if (len)
		memcpy(p->bytes, bytes, len);
	enqueue(w, p, 0);
	hca_eq_run(&w->eq);
}

void lossy_inject(struct lossy_wire *w, u32 dlid, u32 slid, const void *bytes, u32 len)
{
	inject(w, dlid, slid, bytes, len, false);
}

void lossy_inject_routed(struct lossy_wire *w, u32 dlid, u32 slid, const void *bytes, u32 len)
{
	inject(w, dlid, slid, bytes, len, true);
}
