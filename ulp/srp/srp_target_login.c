/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: logins (SRP r16a 5 and 6.2). From the target's thread, one after the
 * other. A login that ends older channels is parked until they are gone, so what it ends has ended when it is answered,
 * and other initiators' logins don't wait for it.
 */
#include "srp_target.h"

/* No reason: the login waits for the end of what it ends. */
#define PARKED 1u

/* --- a channel's memory --- */

static int make_recvs(struct tgt_channel *ch)
{
	u32 i, room = (ch->max_iu + 15) & ~15u;
	int err;

	ch->n_recvs = ch->t->attr.depth + 1 + TGT_SPARE;
	ch->recvs = srp_alloc(ch->n_recvs, sizeof(*ch->recvs));
	if (!ch->recvs)
		return -ENOMEM;
	err = srp_mem_make(&ch->recv_mem, ch->t->attr.device, (size_t)ch->n_recvs * room);
	if (err)
		return err;
	for (i = 0; i < ch->n_recvs; i++) {
		ch->recvs[i] = (struct tgt_recv){
			.cqe = { .done = tgt_recv_done },
			.ch = ch,
			.iu = ch->recv_mem.cpu + (size_t)i * room,
			.dma = ch->recv_mem.dma + (u64)i * room,
		};
	}
	return 0;
}

static int make_cmds(struct tgt_channel *ch)
{
	const u32 each = SCSI_BUF + TGT_SMALL;
	u32 i;
	int err;

	ch->n_cmds = ch->t->attr.depth + 1 + TGT_QUIET;
	ch->cmds = srp_alloc(ch->n_cmds, sizeof(*ch->cmds));
	if (!ch->cmds)
		return -ENOMEM;
	err = srp_mem_make(&ch->cmd_mem, ch->t->attr.device, (size_t)ch->n_cmds * each);
	if (err)
		return err;
	for (i = 0; i < ch->n_cmds; i++) {
		struct tgt_cmd *c = &ch->cmds[i];

		c->ch = ch;
		c->small = ch->cmd_mem.cpu + (size_t)i * each;
		c->small_dma = ch->cmd_mem.dma + (u64)i * each;
		c->buf = c->small + TGT_SMALL;
		c->buf_dma = c->small_dma + (u64)TGT_SMALL;
		c->next = ch->free;
		ch->free = c;
	}
	return 0;
}

/* As large as may be: a machine with little low memory, or with holes in it, gets smaller pieces. */
static int make_chunk(struct tgt_channel *ch, struct srp_mem *m)
{
	int err;

	while ((err = srp_mem_make(m, ch->t->attr.device, ch->chunk)) && ch->chunk >= 2 * TGT_LEAST_CHUNK)
		ch->chunk = (ch->chunk / 2 + 4095) & ~4095u;
	return err;
}

static int make_areas(struct tgt_channel *ch)
{
	const struct srp_target_attr *a = &ch->t->attr;
	u32 i;
	int err;

	ch->areas = srp_alloc(a->buffers, sizeof(*ch->areas));
	if (!ch->areas)
		return -ENOMEM;
	ch->chunk = a->chunk;
	for (i = 0; i < a->buffers; i++) {
		err = make_chunk(ch, &ch->areas[i].data);
		if (!err)
			err = srp_mem_make(&ch->areas[i].table, a->device, (size_t)a->max_table * SRP_DESC_BYTES);
		if (err)
			return err;
		ch->areas[i].next = ch->free_areas;
		ch->free_areas = &ch->areas[i];
	}
	return 0;
}

static int make_qp(struct tgt_channel *ch)
{
	struct srp_qp_attr attr = {
		.id = ch->conn->id,
		.poll = ch->t->attr.poll,
		.sends = ch->n_cmds * (TGT_FEW_WRS + 1) + ch->t->attr.buffers * TGT_MANY_WRS + 2,
		.recvs = ch->n_recvs,
		.ctx = ch,
	};
	int err;

	ch->pd = ib_alloc_pd(ch->t->attr.device, 0);
	if (IS_ERR(ch->pd)) {
		err = (int)PTR_ERR(ch->pd);
		ch->pd = NULL;
		return err;
	}
	attr.pd = ch->pd;
	err = srp_qp_make(&ch->qp, &attr);
	if (err)
		return err;
	return ch->qp.inline_max < SRP_TI_IU ? -EOPNOTSUPP : 0;
}

static int post_recvs(struct tgt_channel *ch)
{
	int err = 0;
	u32 i;

	for (i = 0; i < ch->n_recvs && !err; i++)
		err = tgt_recv_post(&ch->recvs[i]);
	return err;
}

void tgt_channel_free(struct tgt_channel *ch)
{
	u32 i;

	srp_qp_drop(&ch->qp);
	if (ch->accepted)
		srp_cm_close(ch->conn);
	for (i = 0; ch->cmds && i < ch->n_cmds; i++)
		tgt_part_put(&ch->cmds[i]);
	if (ch->pd)
		ib_dealloc_pd(ch->pd);
	for (i = 0; ch->areas && i < ch->t->attr.buffers; i++) {
		srp_mem_drop(&ch->areas[i].data);
		srp_mem_drop(&ch->areas[i].table);
	}
	srp_mem_drop(&ch->cmd_mem);
	srp_mem_drop(&ch->recv_mem);
	srp_free(ch->areas);
	srp_free(ch->cmds);
	srp_free(ch->recvs);
	srp_free(ch);
}

static int channel_make(struct srp_target *t, struct tgt_nexus *n, const struct srp_login_req *req,
			struct srp_cm_conn *conn, struct tgt_channel **out)
{
	struct tgt_channel *ch = srp_alloc(1, sizeof(*ch));
	int err;

	if (!ch)
		return -ENOMEM;
	ch->t = t;
	ch->nexus = n;
	ch->conn = conn;
	ch->max_iu = req->it_iu_len;
	ch->invalidate = req->flags & SRP_LOGIN_INVALIDATE;
	ch->refs = 1;
	ch->events_last = &ch->events;
	ch->jobs_last = &ch->jobs;
	ch->held_last = &ch->held;
	ch->waiting_last = &ch->waiting;
	ch->flying_last = &ch->flying;
	err = make_recvs(ch);
	if (!err)
		err = make_cmds(ch);
	if (!err)
		err = make_areas(ch);
	if (!err)
		err = make_qp(ch);
	if (!err)
		err = post_recvs(ch);
	if (err) {
		tgt_channel_free(ch);
		return err;
	}
	*out = ch;
	return 0;
}

/* --- nexuses --- */

static struct tgt_nexus *find_nexus(struct srp_target *t, const u8 *port_id)
{
	struct tgt_nexus *n;

	for (n = t->nexuses; n && memcmp(n->port_id, port_id, SRP_PORT_ID) != 0; n = n->next)
		;
	return n;
}

/* A channel of a nexus without a T_LOGOUT. The lock is held. */
static struct tgt_channel *next_of(struct srp_target *t, const struct tgt_nexus *n)
{
	struct tgt_channel *ch;

	for (ch = t->channels; ch && (ch->nexus != n || tgt_dead(ch)); ch = ch->next)
		;
	if (ch)
		tgt_get(ch);
	return ch;
}

/*
 * The older channels of this initiator port go, and with them the nexus. The lock is held, and given up between.
 * Return: there were some; when they are gone the login is looked at again
 */
static bool end_nexus(struct srp_target *t, struct tgt_login *l, const u8 *port_id)
{
	struct tgt_nexus *n = find_nexus(t, port_id);
	struct tgt_channel *ch;

	if (!n)
		return false;
	l->others = SRP_MULTICHAN_ENDED;
	l->next = NULL;
	*t->parked_last = l;
	t->parked_last = &l->next;
	while ((ch = next_of(t, n))) {
		pthread_mutex_unlock(&t->lock);
		tgt_logout(ch, SRP_LOGOUT_RELOGIN);
		tgt_fail(ch);
		tgt_put(ch);
		pthread_mutex_lock(&t->lock);
	}
	return true;
}

/* The lock is held. */
static struct tgt_nexus *join_nexus(struct srp_target *t, const u8 *port_id)
{
	struct tgt_nexus *n = find_nexus(t, port_id);

	if (!n) {
		n = srp_alloc(1, sizeof(*n));
		if (!n)
			return NULL;
		memcpy(n->port_id, port_id, SRP_PORT_ID);
		scsi_nexus_init(&n->scsi, t->attr.scsi);
		scsi_nexus_name(&n->scsi, port_id);
		n->next = t->nexuses;
		t->nexuses = n;
		t->n_nexuses++;
	}
	n->refs++;
	return n;
}

void tgt_nexus_put(struct srp_target *t, struct tgt_nexus *n)
{
	struct tgt_nexus **at;

	if (--n->refs)
		return;
	for (at = &t->nexuses; *at != n; at = &(*at)->next)
		;
	*at = n->next;
	t->n_nexuses--;
	srp_free(n);
}

/* --- logins --- */

static u16 formats(const struct srp_target *t)
{
	return t->attr.no_indirect ? SRP_FMT_DIRECT : SRP_FMT_DIRECT | SRP_FMT_INDIRECT;
}

void tgt_login_reject(struct srp_target *t, struct srp_cm_conn *conn, u64 tag, enum srp_reject reason)
{
	struct srp_login_rej rej = { .tag = tag, .reason = reason, .formats = formats(t) };
	struct srp_wire_login_rej iu;

	srp_login_rej_encode(&iu, sizeof(iu), &rej);
	srp_cm_reject(conn, &iu, sizeof(iu));
	pthread_mutex_lock(&t->lock);
	t->stats.rejects++;
	pthread_mutex_unlock(&t->lock);
}

/* Return: 0, or why not. */
static enum srp_reject check(struct srp_target *t, const struct srp_login_req *req)
{
	static const u8 any[SRP_PORT_ID];

	if (memcmp(req->target_port, any, sizeof(any)) != 0 &&
	    memcmp(req->target_port, t->attr.port_id, SRP_PORT_ID) != 0)
		return SRP_REJ_ASSOCIATE;
	if (req->it_iu_len > t->attr.max_iu)
		return SRP_REJ_IU_LENGTH;
	if (req->it_iu_len < 64)
		return SRP_REJ_CHANNEL;
	if (req->formats & ~formats(t) || !(req->formats & formats(t)))
		return SRP_REJ_FORMAT;
	if ((req->flags & SRP_MULTICHAN_MASK) > SRP_MULTICHAN_MULTI)
		return SRP_REJ_MULTICHAN;
	return 0;
}

static bool on_gone(void *ctx, const struct srp_cm_event *ev)
{
	if (ev->what == SRP_CM_GONE)
		tgt_fail(ctx);
	return true;
}

/* The channel is in the list before the initiator can use it. */
static void accept_login(struct srp_target *t, struct tgt_channel *ch, const struct srp_login_req *req, u8 others)
{
	struct srp_login_rsp rsp = {
		.tag = req->tag,
		.delta = (s32)t->attr.depth + 1,
		.it_iu_len = t->attr.max_iu,
		.ti_iu_len = SRP_TI_IU,
		.formats = req->formats,
		.flags = (u8)(others | (req->flags & SRP_LOGIN_INVALIDATE)),
	};
	struct srp_wire_login_rsp iu;

	srp_login_rsp_encode(&iu, sizeof(iu), &rsp);
	ch->accepted = true;
	pthread_mutex_lock(&t->lock);
	ch->next = t->channels;
	t->channels = ch;
	t->n_channels++;
	t->stats.logins++;
	pthread_mutex_unlock(&t->lock);
	if (srp_cm_accept(ch->conn, &iu, sizeof(iu), on_gone, ch))
		tgt_fail(ch);
}

/* Return: 0; SRP_REJ_LIMIT or _RESOURCES; or PARKED */
static u32 answer(struct srp_target *t, struct tgt_login *l, const struct srp_login_req *req)
{
	bool single = (req->flags & SRP_MULTICHAN_MASK) == SRP_MULTICHAN_SINGLE;
	struct tgt_nexus *n;
	struct tgt_channel *ch;
	u32 room;

	pthread_mutex_lock(&t->lock);
	if (single && end_nexus(t, l, req->initiator_port)) {
		pthread_mutex_unlock(&t->lock);
		return PARKED;
	}
	if (!single && find_nexus(t, req->initiator_port))
		l->others = SRP_MULTICHAN_KEPT;
	room = t->attr.max_channels - t->n_channels;
	n = room ? join_nexus(t, req->initiator_port) : NULL;
	pthread_mutex_unlock(&t->lock);
	if (!n)
		return room ? SRP_REJ_RESOURCES : SRP_REJ_LIMIT;
	if (channel_make(t, n, req, l->conn, &ch)) {
		pthread_mutex_lock(&t->lock);
		tgt_nexus_put(t, n);
		pthread_mutex_unlock(&t->lock);
		return SRP_REJ_RESOURCES;
	}
	accept_login(t, ch, req, l->others);
	return 0;
}

void tgt_login(struct srp_target *t, struct tgt_login *l)
{
	struct srp_login_req req;
	u32 reason = SRP_REJ_CHANNEL;

	if (!srp_login_req_decode(l->data, l->len, &req)) {
		reason = t->stop ? SRP_REJ_RESOURCES : check(t, &req);
		if (!reason)
			reason = answer(t, l, &req);
	}
	if (reason == PARKED)
		return;
	if (reason) {
		srp_log("target %s: a login is rejected, reason 0x%x", t->name, reason);
		tgt_login_reject(t, l->conn, req.tag, (enum srp_reject)reason);
		srp_cm_close(l->conn);
	}
	srp_free(l);
}
