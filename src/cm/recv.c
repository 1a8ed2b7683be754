/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Incoming messages: the ID of each, and the answers to messages without an ID. A
 * message belongs to an ID only if it names both ends as the ID knows them.
 */
#include "cm/private.h"

/* A queue pair that a consumer could have; the lower two are management's. */
#define FIRST_QPN 2u
#define EXTENDED_XRC 1u

struct arrival {
	struct hca_cm *cm;
	const struct hca_ah_attr *from;
	const struct hca_cm_msg *msg;
	const u8 *mad;
	struct hca_cm_out *out;
};

static void step(const struct arrival *a, struct hca_cm_id *id, enum hca_cm_input input)
{
	(void)hca_cm_step(id, input, a->msg, a->mad, a->out);
}

/* --- what belongs to no ID --- */

/* The IDs are the peer's words: it finds its end by them. */
static void answer(const struct arrival *a, struct hca_cm_msg *m)
{
	m->tid = a->msg->tid;
	m->local_comm_id = a->msg->remote_comm_id;
	m->remote_comm_id = a->msg->local_comm_id;
	hca_cm_answer(a->out, a->from, m);
}

static void reject(const struct arrival *a, enum hca_cm_reason reason)
{
	struct hca_cm_msg m = {
		.attr = HCA_CM_REJ,
		.about = a->msg->attr == HCA_CM_REP ? HCA_CM_ABOUT_REP : HCA_CM_ABOUT_REQ,
		.reason = (u16)reason,
	};

	answer(a, &m);
}

static void answer_sidr(const struct arrival *a, enum hca_cm_sidr_status status)
{
	const struct hca_cm_msg m = {
		.attr = HCA_CM_SIDR_REP,
		.tid = a->msg->tid,
		.local_comm_id = a->msg->local_comm_id,
		.service_id = a->msg->service_id,
		.status = (u8)status,
	};

	hca_cm_answer(a->out, a->from, &m);
}

/* --- requests --- */

/* The peer has forgotten this connection. It must hear so of us, too; the timer sends that, as a REJ goes out here. */
static void end_stale(const struct arrival *a, struct hca_cm_id *id)
{
	if (!hca_cm_step(id, HCA_CM_GOT_STALE, NULL, NULL, a->out)) {
		id->retries++;
		hca_cm_deadline_set(id, hca_now_ns());
	}
	reject(a, HCA_CM_REJ_STALE_CONN);
}

/* Return: enum hca_cm_reason, 0: none. */
static u32 reason_against(const struct hca_cm_msg *req)
{
	if (req->service_type == HCA_CM_SERVICE_RD ||
	    (req->service_type == HCA_CM_SERVICE_EXTENDED && req->extended_type != EXTENDED_XRC))
		return HCA_CM_REJ_INVALID_TRANSPORT;
	if (req->qpn < FIRST_QPN)
		return HCA_CM_REJ_UNSUPPORTED;
	return req->path_mtu < HCA_MTU_256 || req->path_mtu > HCA_MTU_4096 ? HCA_CM_REJ_INVALID_MTU : 0;
}

static void begin(const struct arrival *a, struct hca_cm_id *listener, struct hca_cm_id *id)
{
	const struct hca_cm_msg *m = a->msg;
	bool sidr = m->attr == HCA_CM_SIDR_REQ;

	hca_cm_event_init(id);
	id->state = sidr ? HCA_CM_SIDR_REQ_RCVD : HCA_CM_REQ_RCVD;
	id->to = *a->from;
	id->tid = m->tid;
	id->service_id = m->service_id;
	id->remote_comm_id = m->local_comm_id;
	if (!sidr) {
		id->remote_qpn = m->qpn;
		id->remote_guid = m->ca_guid;
		id->response_ns = hca_cm_code_ns(m->local_response_timeout) + hca_cm_code_ns(m->primary.ack_timeout);
		id->timewait_ns = hca_cm_code_ns(m->primary.ack_timeout);
		id->max_retries = m->max_cm_retries;
	}
	hca_memcpy(id->open_mad, a->mad, HCA_MAD_BYTES);
	hca_cm_hash_peer(id);
	hca_cm_request(listener, id, sidr ? HCA_CM_EVENT_SIDR_REQUEST : HCA_CM_EVENT_REQUEST);
	a->out->told = true;
}

/* Return: -EAGAIN: an ID is needed; else it was taken from @spare, or isn't. */
static int judge(const struct arrival *a, struct hca_cm_id **spare)
{
	const struct hca_cm_msg *m = a->msg;
	struct hca_cm_id *listener = hca_cm_find_listener(a->cm, m->service_id, m->private_data);
	u32 reason;

	if (!listener) {
		if (m->attr == HCA_CM_SIDR_REQ)
			answer_sidr(a, HCA_CM_SIDR_UNSUPPORTED);
		else
			reject(a, HCA_CM_REJ_INVALID_SERVICE_ID);
		return 0;
	}
	reason = m->attr == HCA_CM_REQ ? reason_against(m) : 0;
	if (reason) {
		reject(a, reason);
		return 0;
	}
	if (listener->requests >= listener->backlog)
		return 0;
	if (!*spare)
		return -EAGAIN;
	begin(a, listener, *spare);
	*spare = NULL;
	return 0;
}

static int judge_req(const struct arrival *a, struct hca_cm_id **spare)
{
	const struct hca_cm_msg *m = a->msg;
	struct hca_cm_id *id = hca_cm_find_remote(a->cm, m->ca_guid, m->local_comm_id);

	if (id && !id->active && id->remote_qpn == m->qpn) {
		step(a, id, HCA_CM_GOT_REQ);
		return 0;
	}
	if (!id)
		id = hca_cm_find_qpn(a->cm, m->ca_guid, m->qpn);
	if (id) {
		end_stale(a, id);
		return 0;
	}
	return judge(a, spare);
}

static int judge_sidr(const struct arrival *a, struct hca_cm_id **spare)
{
	/* The same again: the consumer has it. */
	if (hca_cm_find_sidr(a->cm, a->from, a->msg->local_comm_id))
		return 0;
	return judge(a, spare);
}

/* Without memory a request is lost like one on the wire. */
static void no_id(const struct arrival *a, int err)
{
	if (err != -ENOSPC)
		return;
	if (a->msg->attr == HCA_CM_REQ)
		reject(a, HCA_CM_REJ_NO_RESOURCES);
	else
		answer_sidr(a, HCA_CM_SIDR_REJECT);
}

static void got_request(const struct arrival *a)
{
	struct hca_cm_id *spare = NULL;
	hca_irqflags_t flags;
	int err;

	for (;;) {
		hca_spin_lock(&a->cm->lock, flags);
		err = a->msg->attr == HCA_CM_REQ ? judge_req(a, &spare) : judge_sidr(a, &spare);
		if (spare)
			hca_cm_ids_free(spare); /* it has become needless */
		hca_spin_unlock(&a->cm->lock, flags);
		if (!err)
			return;
		err = hca_cm_ids_new(a->cm, 0, &spare);
		if (err) {
			no_id(a, err);
			return;
		}
	}
}

/* --- the rest --- */

/* The ID that the message names as the receiver's end, if it is one of a connection. */
static struct hca_cm_id *find(const struct arrival *a)
{
	struct hca_cm_id *id = hca_cm_ids_find(a->cm, a->msg->remote_comm_id);

	return id && id->state != HCA_CM_CLOSED ? id : NULL;
}

/* That, and it knows the sender's end as the message does. */
static struct hca_cm_id *find_both(const struct arrival *a)
{
	struct hca_cm_id *id = find(a);

	return id && id->remote_comm_id == a->msg->local_comm_id ? id : NULL;
}

static void got_first_rep(const struct arrival *a, struct hca_cm_id *id)
{
	const struct hca_cm_msg *m = a->msg;
	bool stale = hca_cm_find_remote(a->cm, m->ca_guid, m->local_comm_id) ||
		     hca_cm_find_qpn(a->cm, m->ca_guid, m->qpn);

	id->remote_comm_id = m->local_comm_id;
	if (stale || m->qpn < FIRST_QPN) {
		step(a, id, HCA_CM_GOT_REP_STALE);
		return;
	}
	id->remote_guid = m->ca_guid;
	id->remote_qpn = m->qpn;
	id->timewait_ns += hca_cm_code_ns(m->target_ack_delay);
	hca_cm_hash_peer(id);
	step(a, id, HCA_CM_GOT_REP);
}

static void got_rep(const struct arrival *a)
{
	struct hca_cm_id *id = find(a);

	if (!id)
		reject(a, HCA_CM_REJ_INVALID_COMM_ID);
	else if (id->state == HCA_CM_REQ_SENT || id->state == HCA_CM_REP_WAIT)
		got_first_rep(a, id);
	else if (id->active && id->remote_comm_id == a->msg->local_comm_id)
		step(a, id, HCA_CM_GOT_REP);
}

/* One MRA of a peer counts: if another came for each try, our end would wait many times as long as the peer says. */
static void got_mra(const struct arrival *a)
{
	bool req = a->msg->about == HCA_CM_ABOUT_REQ;
	struct hca_cm_id *id = req ? find(a) : find_both(a);
	enum hca_cm_input input = req ? HCA_CM_GOT_MRA_REQ : HCA_CM_GOT_MRA_REP;

	if (!id || id->active != req || id->delayed || a->msg->about == HCA_CM_ABOUT_OTHER)
		return;
	id->delayed = hca_cm_rows[id->state].step[input].next;
	id->service_ns = hca_cm_code_ns(a->msg->service_timeout);
	step(a, id, input);
}

static void got_rtu(const struct arrival *a)
{
	struct hca_cm_id *id = find_both(a);

	if (id && !id->active)
		step(a, id, HCA_CM_GOT_RTU);
}

/* A peer that gave up before it knew our ID names its adapter. */
static struct hca_cm_id *find_by_guid(const struct arrival *a)
{
	const struct hca_cm_msg *m = a->msg;
	u64 guid = 0;
	u32 i;

	if (m->reason != HCA_CM_REJ_TIMEOUT || m->ari_len < 8)
		return NULL;
	for (i = 0; i < 8; i++)
		guid = guid << 8 | m->ari[i];
	return hca_cm_find_remote(a->cm, guid, m->local_comm_id);
}

static void got_rej(const struct arrival *a)
{
	struct hca_cm_id *id = a->msg->remote_comm_id ? find(a) : find_by_guid(a);

	/* Who rejects a REQ may have no ID for it. */
	if (id && id->remote_comm_id && id->remote_comm_id != a->msg->local_comm_id)
		id = NULL;
	if (id)
		step(a, id, a->msg->reason == HCA_CM_REJ_STALE_CONN ? HCA_CM_GOT_REJ_STALE : HCA_CM_GOT_REJ);
}

/* What we don't know is not connected. */
static void got_dreq(const struct arrival *a)
{
	struct hca_cm_id *id = find_both(a);
	struct hca_cm_msg m = { .attr = HCA_CM_DREP };

	if (!id || id->qpn != a->msg->qpn) {
		answer(a, &m);
		return;
	}
	if (hca_cm_rows[id->state].step[HCA_CM_GOT_DREQ].next)
		id->tid = a->msg->tid;
	step(a, id, HCA_CM_GOT_DREQ);
}

static void got_lap(const struct arrival *a)
{
	struct hca_cm_id *id = find_both(a);
	struct hca_cm_msg m = { .attr = HCA_CM_APR, .status = HCA_CM_APR_INVALID_COMM_ID };

	if (id)
		step(a, id, HCA_CM_GOT_LAP);
	else
		answer(a, &m);
}

static void got_drep(const struct arrival *a)
{
	struct hca_cm_id *id = find_both(a);

	if (id)
		step(a, id, HCA_CM_GOT_DREP);
}

/* It names our ID as the request's. */
static void got_sidr_rep(const struct arrival *a)
{
	struct hca_cm_id *id = hca_cm_ids_find(a->cm, a->msg->local_comm_id);

	if (id)
		step(a, id, HCA_CM_GOT_SIDR_REP);
}

/* We send no LAP, so no APR is for us. */
static void (*const got[HCA_CM_ATTRS])(const struct arrival *a) = {
	[HCA_CM_MRA - HCA_CM_ATTR_FIRST] = got_mra,   [HCA_CM_REJ - HCA_CM_ATTR_FIRST] = got_rej,
	[HCA_CM_REP - HCA_CM_ATTR_FIRST] = got_rep,   [HCA_CM_RTU - HCA_CM_ATTR_FIRST] = got_rtu,
	[HCA_CM_DREQ - HCA_CM_ATTR_FIRST] = got_dreq, [HCA_CM_DREP - HCA_CM_ATTR_FIRST] = got_drep,
	[HCA_CM_LAP - HCA_CM_ATTR_FIRST] = got_lap,   [HCA_CM_SIDR_REP - HCA_CM_ATTR_FIRST] = got_sidr_rep,
};

void hca_cm_recv(struct hca_cm *cm, const struct hca_ah_attr *from, const void *bytes, u32 len)
{
	struct hca_cm_msg msg;
	struct hca_cm_out out;
	const struct arrival a = { .cm = cm, .from = from, .msg = &msg, .mad = bytes, .out = &out };
	hca_irqflags_t flags;

	if (hca_cm_decode(bytes, len, &msg))
		return;
	hca_cm_out_init(&out);
	if (msg.attr == HCA_CM_REQ || msg.attr == HCA_CM_SIDR_REQ) {
		got_request(&a);
	} else if (got[msg.attr - HCA_CM_ATTR_FIRST]) {
		hca_spin_lock(&cm->lock, flags);
		got[msg.attr - HCA_CM_ATTR_FIRST](&a);
		hca_spin_unlock(&cm->lock, flags);
	}
	hca_cm_flush(cm, &out);
	hca_eq_run(cm->eq);
}
