/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * PERSISTENT RESERVE IN and OUT (SPC-4 5.13, 6.15, 6.16): initiator ports register keys, one of them or all of them
 * hold a reservation, and commands of the others meet a conflict. Registrations belong to the port and outlive its
 * connections. They don't outlive a loss of power. The device server doesn't know the commands in hand: those that
 * PREEMPT AND ABORT ends are the caller's to find, by the ports that it names.
 */
#include "scsi_private.h"

/* Types (SPC-4 table 67). */
enum {
	WRITE_EXCLUSIVE = 1,
	EXCLUSIVE_ACCESS = 3,
	WRITE_EXCLUSIVE_REGISTRANTS = 5,
	EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	WRITE_EXCLUSIVE_ALL = 7,
	EXCLUSIVE_ACCESS_ALL = 8,
};

/* Service actions. */
enum {
	READ_KEYS = 0,
	READ_RESERVATION = 1,
	REPORT_CAPABILITIES = 2,
	REGISTER = 0,
	RESERVE = 1,
	RELEASE = 2,
	CLEAR = 3,
	PREEMPT = 4,
	PREEMPT_AND_ABORT = 5,
	REGISTER_AND_IGNORE = 6,
	REGISTER_AND_MOVE = 7,
};

#define LIST_LEN 24u
#define TRANSPORT_ID_LEN 24u
#define PROTOCOL_SRP 4
#define PORT_AT 8u /* in a TransportID (SPC-4 7.6.4.7) */
#define TARGET_PORT 1u

_Static_assert(SCSI_REGISTRANTS *SCSI_PORT_LEN <= SCSI_BUF, "a command's buffer holds the ports that it preempts");

static bool is_type(u32 type)
{
	return type == WRITE_EXCLUSIVE || type == EXCLUSIVE_ACCESS ||
	       (type >= WRITE_EXCLUSIVE_REGISTRANTS && type <= EXCLUSIVE_ACCESS_ALL);
}

/* May registrants do what the holder may? */
static bool is_shared(u32 type)
{
	return type >= WRITE_EXCLUSIVE_REGISTRANTS;
}

static bool is_all(u32 type)
{
	return type >= WRITE_EXCLUSIVE_ALL;
}

/* For all that follows the lock is held. */

#define for_each_registrant(r, res) for ((r) = (res)->registrants; (r) < (res)->registrants + SCSI_REGISTRANTS; (r)++)

static struct scsi_registrant *find(struct scsi_reservations *res, const u8 *port)
{
	struct scsi_registrant *r;

	for_each_registrant(r, res) if ((r->key || r->attention) && !memcmp(r->port, port, SCSI_PORT_LEN)) return r;
	return NULL;
}

static bool is_holder(const struct scsi_reservations *res, const struct scsi_registrant *r)
{
	return res->type && r && r->key && (is_all(res->type) || res->holder == r);
}

static void set_type(struct scsi_reservations *res, u32 type, const struct scsi_registrant *holder)
{
	res->holder = holder;
	__atomic_store_n(&res->type, type, __ATOMIC_RELEASE);
}

static void set_attention(struct scsi_reservations *res, struct scsi_registrant *r, u16 attention)
{
	if (!r->attention && attention)
		__atomic_fetch_add(&res->news, 1, __ATOMIC_RELEASE);
	if (r->attention && !attention)
		__atomic_fetch_sub(&res->news, 1, __ATOMIC_RELEASE);
	r->attention = attention;
}

static void tell_others(struct scsi_reservations *res, const struct scsi_registrant *self, u16 attention)
{
	struct scsi_registrant *r;

	for_each_registrant(r, res) if (r != self && r->key) set_attention(res, r, attention);
}

static void release(struct scsi_reservations *res, const struct scsi_registrant *self)
{
	bool shared = is_shared(res->type);

	set_type(res, 0, NULL);
	if (shared)
		tell_others(res, self, SCSI_ASC_RESERVATIONS_RELEASED);
}

static bool any_registered(struct scsi_reservations *res)
{
	const struct scsi_registrant *r;

	for_each_registrant(r, res) if (r->key) return true;
	return false;
}

/* A reservation doesn't outlive its holder's registration (SPC-4 5.13.11.2.3). */
static void unregister(struct scsi_reservations *res, struct scsi_registrant *r)
{
	bool held = is_holder(res, r);

	r->key = 0;
	if (held && (!is_all(res->type) || !any_registered(res)))
		release(res, r);
}

/* A place for a new one: an empty one, or else one that only waits to be told something. */
static struct scsi_registrant *place(struct scsi_reservations *res, const u8 *port)
{
	struct scsi_registrant *r, *best = NULL;

	for_each_registrant(r, res) if (!r->key && (!best || (best->attention && !r->attention))) best = r;
	if (!best)
		return NULL;
	set_attention(res, best, 0);
	memcpy(best->port, port, SCSI_PORT_LEN);
	return best;
}

static void do_register(struct scsi_cmd *cmd, struct scsi_reservations *res, struct scsi_registrant *self, u64 key)
{
	if (key && !self) {
		self = place(res, cmd->nexus->port);
		if (!self) {
			scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_REGISTRANTS);
			return;
		}
	}
	if (key)
		self->key = key;
	else if (self && self->key)
		unregister(res, self);
	res->generation++;
}

static void do_reserve(struct scsi_cmd *cmd, struct scsi_reservations *res, struct scsi_registrant *self, u32 type)
{
	if (!res->type)
		set_type(res, type, self);
	else if (res->type != type || !is_holder(res, self))
		scsi_conflict(cmd);
}

static void do_release(struct scsi_cmd *cmd, struct scsi_reservations *res, struct scsi_registrant *self, u32 type)
{
	if (!is_holder(res, self))
		return; /* nothing to release is no error */
	if (res->type == type)
		release(res, self);
	else
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_RELEASE);
}

static void do_clear(struct scsi_reservations *res, struct scsi_registrant *self)
{
	struct scsi_registrant *r;

	tell_others(res, self, SCSI_ASC_RESERVATIONS_PREEMPTED);
	for_each_registrant(r, res) r->key = 0;
	set_type(res, 0, NULL);
	res->generation++;
}

/* All others that have registered this key, or any: they get a unit attention, and the command remembers them. Return: their number */
static u32 remove_others(struct scsi_cmd *cmd, struct scsi_reservations *res, const struct scsi_registrant *self,
			 u64 key)
{
	bool aborts = cmd->op->action == PREEMPT_AND_ABORT;
	struct scsi_registrant *r;
	u32 n = 0;

	for_each_registrant(r, res)
	{
		if (r == self || !r->key || (key && r->key != key))
			continue;
		r->key = 0;
		set_attention(res, r, SCSI_ASC_REGISTRATIONS_PREEMPTED);
		/* The list has been read: its buffer is free. */
		if (aborts)
			memcpy(cmd->buf + SCSI_PORT_LEN * cmd->preempted++, r->port, SCSI_PORT_LEN);
		n++;
	}
	return n;
}

/* SPC-4 5.13.11.2.6: a key of the holder's takes the reservation over, another only ends registrations. */
static void do_preempt(struct scsi_cmd *cmd, struct scsi_reservations *res, struct scsi_registrant *self, u32 type,
		       u64 key)
{
	bool all = is_all(res->type), takes = res->type && (all ? !key : res->holder->key == key);
	u32 old = res->type;

	if (!key && !all) {
		scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, 8, 0);
		return;
	}
	if (!remove_others(cmd, res, self, key) && !takes && self->key != key) {
		scsi_conflict(cmd);
		return;
	}
	if (takes) {
		set_type(res, type, self);
		if (is_shared(old) && old != type)
			tell_others(res, self, SCSI_ASC_RESERVATIONS_RELEASED);
	}
	res->generation++;
}

/* Where REGISTER AND MOVE moves the reservation: another port of SRP. Return: its identifier, or NULL with the command failed */
static const u8 *move_to(struct scsi_cmd *cmd)
{
	const u8 *b = cmd->buf, *id = b + LIST_LEN;
	u32 wrong = 0;

	if (!get_be(b + 8, 8))
		wrong = 8;
	else if (b[17] & ~2u) /* APTPL, and reserved bits */
		wrong = 17;
	else if (get_be(b + 18, 2) != TARGET_PORT)
		wrong = 18;
	else if (get_be(b + 20, 4) != TRANSPORT_ID_LEN)
		wrong = 20;
	else if (id[0] != PROTOCOL_SRP)
		wrong = LIST_LEN;
	else if (!memcmp(id + PORT_AT, cmd->nexus->port, SCSI_PORT_LEN))
		wrong = LIST_LEN + PORT_AT;
	if (!wrong)
		return id + PORT_AT;
	scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, wrong, 0);
	return NULL;
}

/* SPC-4 5.13.8: the holder registers another port, which has the reservation from then on, and may end its own registration. */
static void do_move(struct scsi_cmd *cmd, struct scsi_reservations *res, struct scsi_registrant *self, u64 key)
{
	const u8 *port = move_to(cmd);
	struct scsi_registrant *to;

	if (!port)
		return;
	if (!res->type) {
		scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 1, 0x1f);
		return;
	}
	if (is_all(res->type) || !is_holder(res, self)) {
		scsi_conflict(cmd);
		return;
	}
	to = find(res, port);
	if (!to)
		to = place(res, port);
	if (!to) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_REGISTRANTS);
		return;
	}
	to->key = key;
	set_type(res, res->type, to);
	if (cmd->buf[17] & 2) /* UNREG */
		unregister(res, self);
	res->generation++;
}

static void reserve_out(struct scsi_cmd *cmd, struct scsi_reservations *res)
{
	struct scsi_registrant *self = find(res, cmd->nexus->port);
	u64 key = get_be(cmd->buf, 8), new_key = get_be(cmd->buf + 8, 8);
	u64 own = self ? self->key : 0;
	u32 action = cmd->op->action, type = cmd->cdb[2] & 0x0f;

	if (action != REGISTER_AND_IGNORE && (key != own || (action != REGISTER && !own))) {
		scsi_conflict(cmd);
		return;
	}
	switch (action) {
	case RESERVE:
		do_reserve(cmd, res, self, type);
		break;
	case RELEASE:
		do_release(cmd, res, self, type);
		break;
	case CLEAR:
		do_clear(res, self);
		break;
	case PREEMPT:
	case PREEMPT_AND_ABORT:
		do_preempt(cmd, res, self, type, new_key);
		break;
	case REGISTER_AND_MOVE:
		do_move(cmd, res, self, new_key);
		break;
	default:
		do_register(cmd, res, self, new_key);
	}
}

void scsi_reserve_out(struct scsi_cmd *cmd)
{
	struct scsi_reservations *res = &cmd->dev->reservations;
	u32 action = cmd->op->action, len = LIST_LEN;

	if (action == REGISTER_AND_MOVE)
		len += TRANSPORT_ID_LEN;
	if (cmd->length != len || cmd->expect < len) {
		scsi_fail(cmd, SCSI_ILLEGAL_REQUEST, SCSI_ASC_LIST_LENGTH);
		return;
	}
	/* The scope is the unit; those that register, and CLEAR, have no type. */
	if ((action == RESERVE || action == RELEASE || action == PREEMPT || action == PREEMPT_AND_ABORT) &&
	    !is_type(cmd->cdb[2])) {
		scsi_fail_field(cmd, SCSI_ASC_CDB_FIELD, 2, 0xff);
		return;
	}
	/* SPEC_I_PT, ALL_TG_PT and APTPL: REPORT CAPABILITIES says that they aren't there. */
	if (action != REGISTER_AND_MOVE && cmd->buf[20]) {
		scsi_fail_field(cmd, SCSI_ASC_LIST_FIELD, 20, cmd->buf[20]);
		return;
	}
	pthread_mutex_lock(&res->lock);
	reserve_out(cmd, res);
	pthread_mutex_unlock(&res->lock);
}

bool scsi_preempts(const struct scsi_cmd *cmd, const struct scsi_nexus *nexus)
{
	u32 i;

	for (i = 0; i < cmd->preempted; i++)
		if (!memcmp(cmd->buf + SCSI_PORT_LEN * i, nexus->port, SCSI_PORT_LEN))
			return true;
	return false;
}

/* --- PERSISTENT RESERVE IN --- */

static u32 read_keys(struct scsi_reservations *res, u8 *b)
{
	const struct scsi_registrant *r;
	u32 n = 8;

	for_each_registrant(r, res)
	{
		if (!r->key)
			continue;
		put_be(b + n, 8, r->key);
		n += 8;
	}
	return n;
}

static u32 read_reservation(const struct scsi_reservations *res, u8 *b)
{
	if (!res->type)
		return 8;
	put_be(b + 8, 8, res->holder && !is_all(res->type) ? res->holder->key : 0);
	b[21] = (u8)res->type;
	return 24;
}

/* SPC-4 6.15.5, with the TransportID of SRP (SPC-4 7.6.4.7). */
static u32 read_full_status(struct scsi_reservations *res, u8 *b)
{
	const struct scsi_registrant *r;
	u32 n = 8;

	for_each_registrant(r, res)
	{
		if (!r->key)
			continue;
		put_be(b + n, 8, r->key);
		if (is_holder(res, r)) {
			b[n + 12] = 1;
			b[n + 13] = (u8)res->type;
		}
		put_be(b + n + 18, 2, TARGET_PORT);
		put_be(b + n + 20, 4, TRANSPORT_ID_LEN);
		b[n + 24] = PROTOCOL_SRP;
		memcpy(b + n + 24 + PORT_AT, r->port, SCSI_PORT_LEN);
		n += 24 + TRANSPORT_ID_LEN;
	}
	return n;
}

static u32 report_capabilities(u8 *b)
{
	put_be(b, 2, 8);
	b[3] = 0x80; /* TMV: the types that follow */
	put_be(b + 4, 2, 0xea01); /* all six */
	return 8;
}

u32 scsi_reserve_in(struct scsi_cmd *cmd)
{
	struct scsi_reservations *res = &cmd->dev->reservations;
	u32 action = cmd->op->action, n;
	u8 *b = cmd->buf;

	if (action == REPORT_CAPABILITIES)
		return report_capabilities(b);
	pthread_mutex_lock(&res->lock);
	if (action == READ_KEYS)
		n = read_keys(res, b);
	else
		n = action == READ_RESERVATION ? read_reservation(res, b) : read_full_status(res, b);
	put_be(b, 4, res->generation);
	pthread_mutex_unlock(&res->lock);
	put_be(b + 4, 4, n - 8);
	return n;
}

/* --- what other commands ask --- */

u16 scsi_reservation_attention(struct scsi_nexus *nexus)
{
	struct scsi_reservations *res = &nexus->dev->reservations;
	struct scsi_registrant *r;
	u16 attention = 0;

	if (!scsi_load(&res->news))
		return 0;
	pthread_mutex_lock(&res->lock);
	r = find(res, nexus->port);
	if (r) {
		attention = r->attention;
		set_attention(res, r, 0);
	}
	pthread_mutex_unlock(&res->lock);
	return attention;
}

/* START STOP UNIT may start whatever is reserved, and nothing else (SBC-3 table 13). */
static bool stops(const struct scsi_cmd *cmd)
{
	return cmd->cdb[0] == 0x1b && !(cmd->cdb[4] & 1);
}

bool scsi_reservation_conflicts(const struct scsi_cmd *cmd)
{
	struct scsi_reservations *res = &cmd->dev->reservations;
	const struct scsi_registrant *r;
	bool conflicts = false;
	u32 type = scsi_load(&res->type);

	if (!type || (cmd->op->flags & OP_RESERVED && !stops(cmd)))
		return false;
	pthread_mutex_lock(&res->lock);
	type = res->type;
	if (type && !(cmd->op->flags & OP_READS && (type == WRITE_EXCLUSIVE || type == WRITE_EXCLUSIVE_REGISTRANTS ||
						    type == WRITE_EXCLUSIVE_ALL))) {
		r = find(res, cmd->nexus->port);
		conflicts = !r || !r->key || !(is_holder(res, r) || is_shared(type));
	}
	pthread_mutex_unlock(&res->lock);
	return conflicts;
}
