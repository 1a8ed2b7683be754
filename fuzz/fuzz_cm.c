/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A communication manager that gets anything: bytes, messages that are nearly right,
 * its own messages back, calls in any order, and IDs destroyed at any moment. What it
 * sends can be decoded, what it tells has an order, and in the end nothing is left.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cm/private.h"
#include "cm/sa.h"
#include "fuzz_input.h"
#include "test_os.h"

#define MAX_STEPS 400u
#define USERS 12u
#define MADS 32u
#define SERVICE 0x1061f90ull
#define GUID 0x11ull

/* --- one manager, and its consumer --- */

struct user {
	struct hca_cm_id *id;
	u32 told; /* the last event's place in the order */
	bool inside;
};

static struct hca_eq eq;
static struct hca_cm cm;
static struct user users[USERS];
static u8 mad[MADS][HCA_MAD_BYTES]; /* the last ones that were sent */
static u32 sends;

/* The state never goes back. */
static u32 place_of(enum hca_cm_event_type type)
{
	static const u32 place[] = {
		[HCA_CM_EVENT_REQUEST] = 1,	[HCA_CM_EVENT_SIDR_REQUEST] = 1,  [HCA_CM_EVENT_MRA] = 2,
		[HCA_CM_EVENT_REPLY] = 3,	[HCA_CM_EVENT_ESTABLISHED] = 3,	  [HCA_CM_EVENT_REJECTED] = 4,
		[HCA_CM_EVENT_UNREACHABLE] = 4, [HCA_CM_EVENT_DISCONNECT] = 4,	  [HCA_CM_EVENT_DISCONNECTED] = 4,
		[HCA_CM_EVENT_SIDR_REPLY] = 4,	[HCA_CM_EVENT_TIMEWAIT_EXIT] = 5,
	};

	return place[type];
}

static void do_call(struct user *u);

static struct user *free_user(void)
{
	u32 i;

	for (i = 0; i < USERS; i++)
		if (!users[i].id && !users[i].inside)
			return &users[i];
	return NULL;
}

static void handler(struct hca_cm_id *id, const struct hca_cm_event *event)
{
	struct user *u = id->context;

	if (event->listener) {
		u = free_user();
		if (!u) {
			hca_cm_destroy(id);
			return;
		}
		u->id = id;
		u->told = 0;
		id->context = u;
	}
	MUST(u->id == id && !u->inside);
	MUST(place_of(event->type) > u->told);
	u->told = place_of(event->type);
	MUST(!event->msg || event->msg->private_len == hca_cm_private_room(event->msg->attr));
	u->inside = true;
	if (choose(2))
		do_call(u);
	u->inside = false;
}

static void send_mad(struct hca_cm *from, const struct hca_ah_attr *to, const u8 *bytes_sent)
{
	struct hca_cm_msg m;

	(void)to;
	MUST(from == &cm && !hca_cm_decode(bytes_sent, HCA_MAD_BYTES, &m));
	memcpy(mad[sends++ % MADS], bytes_sent, HCA_MAD_BYTES);
}

static const struct hca_cm_ops ops = { .send = send_mad };

/* --- what must always hold --- */

static void check(void)
{
	u32 i, live = 0, waiting = 0;

	for (i = 0; i < cm.indexes; i++) {
		const struct hca_cm_id *id = hca_cm_ids_at(&cm, i);

		if (!id)
			continue;
		live++;
		MUST(hca_cm_ids_find(&cm, id->comm_id) == id);
		MUST(!id->place == (hca_cm_rows[id->state].timer == HCA_CM_TIMER_NONE));
		waiting += id->place != 0;
		if (id->place > 1)
			MUST(cm.chunk[0]->heap[id->place / 2 - 1]->deadline <= id->deadline);
		MUST(!id->by_qpn || hca_cm_find_qpn(&cm, id->remote_guid, id->remote_qpn) == id);
		MUST(!id->by_remote || id->state == HCA_CM_SIDR_REQ_RCVD ||
		     hca_cm_find_remote(&cm, id->remote_guid, id->remote_comm_id) == id);
		MUST(id->state != HCA_CM_CLOSED || (!id->by_qpn && !id->by_remote));
	}
	MUST(live == cm.ids && waiting == cm.waiting);
}

/* --- what is done --- */

static struct hca_cm_msg some_msg(void)
{
	static u8 data[256];
	struct hca_cm_msg m = {
		.service_id = SERVICE + choose(3),
		.qpn = 2 + choose(6),
		.path_mtu = (u8)(1 + choose(5)),
		.service_type = (u8)(choose(8) ? 0 : choose(4)),
		.remote_response_timeout = (u8)choose(12),
		.local_response_timeout = (u8)choose(12),
		.max_cm_retries = (u8)choose(4),
		.primary.ack_timeout = (u8)choose(12),
		.target_ack_delay = (u8)choose(12),
		.service_timeout = (u8)choose(32),
		.reason = (u16)(choose(2) ? HCA_CM_REJ_TIMEOUT : choose(34)),
		.about = (u8)choose(3),
		.status = (u8)choose(4),
		.private_data = data,
		.private_len = (u8)choose(64),
		.ca_guid = choose(4) ? 0x22 + choose(2) : GUID,
	};

	data[0] = (u8)choose(3);
	return m;
}

static void do_call(struct user *u)
{
	const struct hca_ah_attr to = { .dlid = (u16)(1 + choose(3)) };
	struct hca_cm_msg m = some_msg();
	struct hca_cm_match match = { .mask = { 0xff }, .data = { m.private_data[0] } };

	if (!u->id)
		return;
	switch (choose(12)) {
	case 0:
		(void)hca_cm_listen(u->id, m.service_id, ~0ull, choose(2) ? &match : NULL, choose(4));
		break;
	case 1:
		(void)hca_cm_listen(u->id, SERVICE & ~15ull, ~15ull, NULL, 0);
		break;
	case 2:
		(void)hca_cm_connect(u->id, &to, &m);
		break;
	case 3:
		(void)hca_cm_accept(u->id, &m);
		break;
	case 4:
		(void)hca_cm_ready(u->id, m.private_data, m.private_len);
		break;
	case 5:
		(void)hca_cm_reject(u->id, &m);
		break;
	case 6:
		(void)hca_cm_delay(u->id, m.service_timeout, m.private_data, m.private_len);
		break;
	case 7:
		(void)hca_cm_establish(u->id);
		break;
	case 8:
		(void)hca_cm_disconnect(u->id, m.private_data, m.private_len);
		break;
	case 9:
		(void)hca_cm_sidr_ask(u->id, &to, &m);
		break;
	case 10:
		(void)hca_cm_sidr_answer(u->id, &m);
		break;
	default:
		hca_cm_destroy(u->id);
		u->id = NULL;
	}
}

static void make_id(void)
{
	struct user *u = free_user();

	if (!u)
		return;
	u->told = 0;
	MUST(!hca_cm_create(&cm, handler, u, &u->id));
}

/* What is a question has one answer, which is none itself, and has a path or says why not. */
static void ask_sa(const u8 *what, u32 len)
{
	static const struct hca_gid gid = { .raw = { 0xfe, 0x80 } };
	u8 out[HCA_MAD_BYTES], again[HCA_MAD_BYTES], zeros[64] = { 0 };
	struct hca_sa_path path;
	struct hca_gids gids;
	u32 index;

	hca_gids_init(&gids);
	MUST(!hca_gid_add(&gids, &gid, &index));
	if (hca_sa_answer(&gids, 1, 2, what, len, out))
		return;
	MUST(len == HCA_MAD_BYTES && out[3] == (what[3] | HCA_MAD_RESPONSE) && !memcmp(out + 8, what + 8, 8));
	MUST(hca_sa_answer(&gids, 1, 2, out, sizeof(out), again));
	if (out[1] != HCA_MAD_CLASS_SA || out[17] != HCA_SA_PATH_RECORD || out[16])
		return;
	hca_sa_get(out + HCA_SA_DATA, &path);
	MUST(out[4] || out[5] ? !memcmp(out + HCA_SA_DATA, zeros, 64) : path.dlid == 1 && path.slid == 2);
}

/* What the decoder takes it can write again, but for reserved bits. */
static void bring(const u8 *what, u32 len)
{
	const struct hca_ah_attr from = { .dlid = (u16)(1 + choose(3)), .is_global = (u8)choose(2) };
	u8 *exact = malloc(len ? len : 1), again[HCA_MAD_BYTES];
	struct hca_cm_msg m, n;

	MUST(exact);
	memcpy(exact, what, len);
	if (!hca_cm_decode(exact, len, &m)) {
		MUST(!hca_cm_encode(&m, again) && !hca_cm_decode(again, sizeof(again), &n));
		MUST(!memcmp(m.private_data, n.private_data, m.private_len) && m.private_len == n.private_len);
		MUST(!m.ari_len || !memcmp(m.ari, n.ari, m.ari_len));
		m.private_data = n.private_data = m.ari = n.ari = NULL;
		MUST(!memcmp(&m, &n, sizeof(m)));
	}
	ask_sa(exact, len);
	hca_cm_recv(&cm, &from, exact, len);
	free(exact);
}

/* A message that could be of one of the IDs' peers. */
static void bring_made(void)
{
	const struct user *u = &users[choose(USERS)];
	struct hca_cm_msg m = some_msg();
	u8 guid[8] = { 0 }, out[HCA_MAD_BYTES];

	m.attr = (u16)(HCA_CM_ATTR_FIRST + choose(HCA_CM_ATTRS));
	m.local_comm_id = choose(8);
	if (u->id && choose(8)) {
		m.remote_comm_id = u->id->comm_id;
		if (choose(4)) {
			m.local_comm_id = u->id->remote_comm_id;
			m.ca_guid = u->id->remote_guid ? u->id->remote_guid : m.ca_guid;
		}
		if (choose(8))
			m.qpn = m.attr == HCA_CM_DREQ ? u->id->qpn : u->id->remote_qpn ? u->id->remote_qpn : m.qpn;
		if (m.attr == HCA_CM_SIDR_REP)
			m.local_comm_id = u->id->comm_id;
	}
	if (m.attr == HCA_CM_REJ && choose(2)) {
		guid[7] = (u8)m.ca_guid;
		m.ari = guid;
		m.ari_len = 8;
		m.remote_comm_id = choose(2) ? 0 : m.remote_comm_id;
	}
	if (!hca_cm_encode(&m, out))
		bring(out, sizeof(out));
}

static void bring_raw(void)
{
	u8 raw[HCA_MAD_BYTES + 8];
	u32 i, n = choose(4) ? HCA_MAD_BYTES : (u32)bytes(2) % sizeof(raw);

	for (i = 0; i < sizeof(raw); i++)
		raw[i] = (u8)bytes(1);
	if (choose(4)) {
		const u8 header[] = { 1, HCA_MAD_CLASS_CM, HCA_CM_CLASS_VERSION, HCA_MAD_SEND };

		memcpy(raw, header, sizeof(header));
		raw[16] = 0;
		raw[17] = (u8)(HCA_CM_ATTR_FIRST + raw[17] % HCA_CM_ATTRS);
	} else if (choose(2)) {
		const u8 header[] = { 1, HCA_MAD_CLASS_SA, HCA_SA_CLASS_VERSION, HCA_MAD_GET };

		memcpy(raw, header, sizeof(header));
		raw[16] = 0;
		raw[17] = choose(4) ? HCA_SA_PATH_RECORD : HCA_MAD_CLASS_PORT_INFO;
	}
	bring(raw, n);
}

/* One of those that were sent comes to us ourselves, perhaps with a byte changed. */
static void bring_back(void)
{
	u8 copy[HCA_MAD_BYTES];
	u32 i;

	if (!sends)
		return;
	i = HCA_MIN(sends, MADS);
	memcpy(copy, mad[(sends - 1 - choose(i)) % MADS], sizeof(copy));
	if (!choose(4))
		copy[bytes(1)] = (u8)bytes(1);
	bring(copy, sizeof(copy));
}

static void step(void)
{
	switch (choose(10)) {
	case 0:
		make_id();
		break;
	case 1:
		bring_raw();
		break;
	case 2:
	case 3:
	case 4:
		bring_made();
		break;
	case 5:
	case 6:
		bring_back();
		break;
	case 7:
		test_clock_advance((bytes(3) + 1) * 1000);
		break;
	default:
		do_call(&users[choose(USERS)]);
	}
	check();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	u32 i;

	in.data = data;
	in.left = size;
	test_os_reset(1);
	memset(users, 0, sizeof(users));
	sends = 0;
	MUST(!hca_eq_init(&eq));
	MUST(!hca_cm_init(&cm, &eq, &ops, GUID, 200));
	for (i = 0; i < MAX_STEPS && in.left; i++)
		step();
	in.left = 0;
	for (i = 0; i < USERS; i++)
		if (users[i].id)
			hca_cm_destroy(users[i].id);
	/* What lives on ends by itself, within what the longest may take. */
	for (i = 0; i < 40; i++)
		test_clock_advance(HCA_CM_WAIT_MAX_NS);
	check();
	MUST(!cm.ids && !cm.waiting);
	hca_cm_fini(&cm);
	hca_eq_fini(&eq);
	MUST(!test_leaks());
	return 0;
}
