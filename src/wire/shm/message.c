/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Messages and replies as they stand in a ring; see message.h. */
#include "wire/shm/message.h"

#include "hca/hca.h"
#include "hca/opcode.h"
#include "wire/shm/ring.h"

#define PLAIN ((u32)offsetof(struct hca_fabric_message, plain))
#define RNR_CODES 31u

/* What was copied is what counts: nothing is read from the ring again in its place. */
static inline void copied(void)
{
	__asm__ volatile("" ::: "memory");
}

static bool reads(const struct hca_msg *m)
{
	return hca_opcodes[m->opcode].flags & HCA_OP_READS;
}

static bool is_atomic(const struct hca_msg *m)
{
	return hca_opcodes[m->opcode].flags & HCA_OP_ATOMIC;
}

static bool takes_recv(const struct hca_msg *m)
{
	return hca_opcodes[m->opcode].flags & HCA_OP_TAKES_RECV;
}

static u32 head_bytes(const struct hca_msg *m)
{
	if (is_atomic(m))
		return PLAIN + 2 * sizeof(u64);
	return PLAIN + (m->flags & HCA_MSG_GLOBAL ? 2 * sizeof(struct hca_gid) : 0);
}

static u32 source_bytes(u32 n)
{
	const struct hca_fabric_places *p = NULL;

	return (u32)(sizeof(*p) + n * sizeof(p->place[0]));
}

u32 shm_message_bytes(const struct hca_msg *m, const struct shm_source *src, u32 *payload)
{
	*payload = reads(m) || src->n ? 0 : m->piece;
	return shm_lane_bytes(head_bytes(m) + (src->n ? source_bytes(src->n) : *payload));
}

static void put_source(void *at, const struct shm_source *src)
{
	struct hca_fabric_places *p = at;
	u32 i;

	p->epoch = src->epoch;
	p->pad = 0;
	for (i = 0; i < src->n; i++) {
		p->place[i].at = (uintptr_t)src->place[i].at;
		p->place[i].len = src->place[i].len;
	}
}

void *shm_message_put(void *at, u32 bytes, const struct hca_msg *m, const struct shm_source *src)
{
	struct hca_fabric_message *e = at;

	e->opcode = m->opcode;
	e->flags = m->flags;
	e->sl = m->sl;
	e->places = (u8)src->n;
	e->pkey = m->pkey;
	e->dlid = m->dlid;
	e->dqpn = m->dqpn;
	e->sqpn = m->sqpn;
	e->number = m->number;
	e->session = m->session;
	e->srqn = m->srqn;
	e->imm = m->imm;
	e->rkey = m->rkey;
	e->qkey = m->qkey;
	e->raddr = m->raddr;
	e->len = m->len;
	e->off = m->off;
	e->piece = m->piece;
	if (is_atomic(m)) {
		e->compare_add = m->compare_add;
		e->swap = m->swap;
	} else if (m->flags & HCA_MSG_GLOBAL) {
		e->sgid = m->ud.sgid;
		e->dgid = m->ud.dgid;
		e->traffic_class = m->ud.traffic_class;
		e->hop_limit = m->ud.hop_limit;
		e->flow_label = m->ud.flow_label;
	}
	if (src->n)
		put_source((u8 *)at + head_bytes(m), src);
	hca_store(&e->bytes, bytes);
	return (u8 *)at + head_bytes(m);
}

/* Numbers that no requester gives. What its rights and the state of queue pairs say is the responder's to judge. */
static bool possible(const struct hca_msg *m)
{
	if (!hca_opcode(m->opcode) || hca_opcodes[m->opcode].flags & HCA_OP_LOCAL)
		return false;
	return m->piece <= HCA_PIECE && m->len <= HCA_MAX_MSG && m->off <= m->len && m->piece <= m->len - m->off;
}

/* Only of a message whose answer its sender awaits, and no more and no less than the piece. */
static int get_source(const void *at, u32 bytes, const struct hca_msg *m, u32 n, struct shm_source *src)
{
	const struct hca_fabric_places *p = at;
	u64 sum = 0;
	u32 i;

	if (n > HCA_PLACES || source_bytes(n) > bytes || !(m->flags & HCA_MSG_RELIABLE) || !takes_recv(m))
		return -EPROTO;
	src->n = n;
	src->epoch = hca_load(&p->epoch);
	for (i = 0; i < n; i++) {
		struct hca_place *place = &src->place[i];

		place->at = (void *)(uintptr_t)hca_load(&p->place[i].at);
		place->len = hca_load(&p->place[i].len);
		if (place->len > m->piece)
			return -EPROTO;
		sum += place->len;
	}
	return sum == m->piece ? 0 : -EPROTO;
}

int shm_message_get(const void *at, u32 bytes, u32 from, struct hca_msg *m, struct shm_source *src, void **payload,
		    u32 *read)
{
	struct hca_fabric_message e;
	u32 head, data;

	if (bytes < PLAIN)
		return -EPROTO;
	hca_memcpy(&e, at, HCA_MIN(bytes, (u32)sizeof(e)));
	copied();
	*m = (struct hca_msg){
		.opcode = e.opcode,
		.flags = e.flags,
		.sl = e.sl,
		.pkey = e.pkey,
		.dlid = e.dlid,
		.dqpn = e.dqpn,
		.slid = from,
		.sqpn = e.sqpn,
		.number = e.number,
		.session = e.session,
		.srqn = e.srqn,
		.imm = e.imm,
		.rkey = e.rkey,
		.raddr = e.raddr,
		.len = e.len,
		.off = e.off,
		.piece = e.piece,
		.qkey = e.qkey,
	};
	if (!possible(m))
		return -EPROTO;
	head = head_bytes(m);
	data = reads(m) || e.places ? 0 : m->piece;
	if (head > bytes || data > bytes - head)
		return -EPROTO;
	if (is_atomic(m)) {
		m->compare_add = e.compare_add;
		m->swap = e.swap;
	} else if (m->flags & HCA_MSG_GLOBAL) {
		m->ud.sgid = e.sgid;
		m->ud.dgid = e.dgid;
		m->ud.traffic_class = e.traffic_class;
		m->ud.hop_limit = e.hop_limit;
		m->ud.flow_label = e.flow_label & 0xfffff;
	}
	src->n = 0;
	if (e.places && get_source((const u8 *)at + head, bytes - head, m, e.places, src))
		return -EPROTO;
	*payload = (u8 *)(uintptr_t)at + head;
	*read = reads(m) && !is_atomic(m) ? m->piece : 0;
	return 0;
}

u32 shm_reply_bytes(u32 len)
{
	return shm_lane_bytes((u32)sizeof(struct hca_fabric_reply) + len);
}

void *shm_reply_data(void *at)
{
	return (u8 *)at + sizeof(struct hca_fabric_reply);
}

u32 shm_reply_put(void *at, const struct hca_reply *r)
{
	u32 bytes = shm_reply_bytes(r->len);
	struct hca_fabric_reply *e = at;

	*e = (struct hca_fabric_reply){
		.bytes = bytes,
		.answer = r->answer,
		.rnr_code = r->code,
		.sqpn = r->sqpn,
		.number = r->number,
		.session = r->session,
		.off = r->off,
		.result = r->result,
		.len = r->len,
	};
	return bytes;
}

int shm_reply_get(const void *at, u32 bytes, struct hca_reply *r)
{
	struct hca_fabric_reply e;

	if (bytes < sizeof(e))
		return -EPROTO;
	hca_memcpy(&e, at, sizeof(e));
	copied();
	if (e.answer > HCA_ANSWER_NONE || e.len > HCA_PIECE || e.len > bytes - sizeof(e))
		return -EPROTO;
	*r = (struct hca_reply){
		.answer = e.answer,
		.code = e.rnr_code & RNR_CODES,
		.sqpn = e.sqpn,
		.number = e.number,
		.session = e.session,
		.off = e.off,
		.result = e.result,
		.bytes = (const u8 *)at + sizeof(e),
		.len = e.len,
	};
	return 0;
}
