/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A step of an ID: what the table of states says is done, all or nothing. See state.h. */
#include "cm/private.h"

/* --- the message --- */

/* A timeout's additional information is our GUID: the peer may know the connection by nothing else (IBTA 12.6.7.2). */
static void add_guid(const struct hca_cm *cm, struct hca_cm_msg *m, u8 *guid)
{
	u32 i;

	for (i = 0; i < 8; i++)
		guid[i] = (u8)(cm->guid >> (56 - 8 * i));
	m->ari = guid;
	m->ari_len = 8;
}

static void make(const struct hca_cm_id *id, enum hca_cm_send send, const struct hca_cm_msg *got, struct hca_cm_msg *m,
		 u8 *guid)
{
	switch (send) {
	case HCA_CM_SEND_REJ_TIMEOUT:
		m->attr = HCA_CM_REJ;
		m->reason = HCA_CM_REJ_TIMEOUT;
		add_guid(id->cm, m, guid);
		break;
	case HCA_CM_SEND_REJ_CONSUMER:
		m->attr = HCA_CM_REJ;
		m->reason = HCA_CM_REJ_CONSUMER;
		break;
	case HCA_CM_SEND_REJ_STALE:
		m->attr = HCA_CM_REJ;
		m->reason = HCA_CM_REJ_STALE_CONN;
		break;
	case HCA_CM_SEND_DREQ:
		m->attr = HCA_CM_DREQ;
		break;
	case HCA_CM_SEND_DREP:
		m->attr = HCA_CM_DREP;
		break;
	case HCA_CM_SEND_APR:
		m->attr = HCA_CM_APR;
		m->status = HCA_CM_APR_UNSUPPORTED;
		m->tid = got->tid;
		break;
	default:
		m->attr = HCA_CM_SIDR_REP;
		m->status = HCA_CM_SIDR_REJECT;
	}
}

/* What the consumer can't know, or could get wrong. */
static void fill_in(const struct hca_cm_id *id, enum hca_cm_send send, const struct hca_cm_msg *got,
		    struct hca_cm_msg *m)
{
	m->local_comm_id = m->attr == HCA_CM_SIDR_REP ? id->remote_comm_id : id->comm_id;
	m->remote_comm_id = id->remote_comm_id;
	m->ca_guid = id->cm->guid;
	if (send != HCA_CM_SEND_APR)
		m->tid = id->tid;
	if (m->attr == HCA_CM_DREQ)
		m->qpn = id->remote_qpn;
	if (m->attr == HCA_CM_SIDR_REP)
		m->service_id = id->service_id;
	m->about = hca_cm_rows[id->state].about;
	if (send == HCA_CM_SEND_REJ_STALE)
		m->about = got->attr == HCA_CM_REP ? HCA_CM_ABOUT_REP : HCA_CM_ABOUT_REQ;
}

static int write_mad(struct hca_cm_id *id, enum hca_cm_send send, const struct hca_cm_msg *msg, u8 *mad)
{
	struct hca_cm_msg m;
	u8 guid[8];

	if (send == HCA_CM_SEND_KEPT) {
		hca_memcpy(mad, id->kept, HCA_MAD_BYTES);
		return 0;
	}
	if (send == HCA_CM_SEND_GIVEN) {
		m = *msg;
	} else {
		hca_memset(&m, 0, sizeof(m));
		make(id, send, msg, &m, guid);
	}
	fill_in(id, send, msg, &m);
	if (hca_cm_encode(&m, mad))
		return -EINVAL;
	if (send == HCA_CM_SEND_GIVEN || send == HCA_CM_SEND_DREQ)
		hca_memcpy(id->kept, mad, HCA_MAD_BYTES);
	return 0;
}

/* --- the time --- */

static void set_timer(struct hca_cm_id *id, enum hca_cm_input input)
{
	/* Whatever isn't a repetition begins with all its tries. */
	if (input != HCA_CM_GOT_LATE && hca_cm_rows[id->state].timer == HCA_CM_TIMER_RESPONSE)
		id->retries = id->max_retries;
	switch (hca_cm_rows[id->state].timer) {
	case HCA_CM_TIMER_NONE:
		hca_cm_deadline_clear(id);
		break;
	case HCA_CM_TIMER_RESPONSE:
		hca_cm_deadline_set(id, hca_now_ns() + id->response_ns);
		break;
	case HCA_CM_TIMER_SERVICE:
		hca_cm_deadline_set(id, hca_now_ns() + id->service_ns + id->response_ns);
		break;
	default:
		hca_cm_deadline_set(id, hca_now_ns() + id->timewait_ns);
	}
}

/* --- the step --- */

static int status_of(enum hca_cm_input input, enum hca_cm_event_type event)
{
	if (input == HCA_CM_GOT_REP_STALE)
		return -ESTALE;
	return input == HCA_CM_GOT_END && event != HCA_CM_EVENT_TIMEWAIT_EXIT ? -ETIMEDOUT : 0;
}

int hca_cm_step(struct hca_cm_id *id, enum hca_cm_input input, const struct hca_cm_msg *msg, const u8 *mad,
		struct hca_cm_out *out)
{
	const struct hca_cm_step *step = &hca_cm_rows[id->state].step[input];
	u32 was = id->state;

	hca_spin_assert(&id->cm->lock);
	if (step->next == HCA_CM_NO_STATE)
		return -EINVAL;
	if (step->send) {
		if (write_mad(id, step->send, msg, out->mad))
			return -EINVAL;
		out->send = true;
		out->to = id->to;
	}
	id->state = step->next;
	if (id->state != was || input == HCA_CM_GOT_LATE)
		set_timer(id, input);
	if (id->state == HCA_CM_CLOSED)
		hca_cm_unhash(id);
	if (step->event &&
	    hca_cm_tell(id, step->event, status_of(input, step->event), input == HCA_CM_GOT_REP_STALE ? NULL : mad))
		out->told = true;
	return 0;
}

void hca_cm_answer(struct hca_cm_out *out, const struct hca_ah_attr *to, const struct hca_cm_msg *msg)
{
	out->send = !hca_cm_encode(msg, out->mad);
	out->to = *to;
}
