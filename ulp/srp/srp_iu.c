/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Encoders and decoders of SRP information units; see srp_iu.h. A decoder first
 * compares the length with the fixed part, then each length inside with what is left,
 * and touches nothing before it has.
 */
#include <string.h>

#include "srp_iu.h"

#define CDB_FIXED 16u

/* --- fields --- */

static u16 get16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

static u32 get32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static u64 get64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap64(v);
}

static void put16(u8 *p, u16 v)
{
	p[0] = (u8)(v >> 8);
	p[1] = (u8)v;
}

static void put32(u8 *p, u32 v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(u8 *p, u64 v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the fields above are swapped");

const char *srp_bad_msg(enum srp_bad bad)
{
	static const char *const words[] = {
		[SRP_FINE] = "fine",
		[SRP_BAD_TYPE] = "wrong type",
		[SRP_BAD_LENGTH] = "too short",
		[SRP_BAD_OUT_FORMAT] = "unknown data-out format",
		[SRP_BAD_IN_FORMAT] = "unknown data-in format",
		[SRP_BAD_TABLE] = "descriptors that contradict each other",
		[SRP_BAD_FIELD] = "fields that contradict each other",
	};

	return (u32)bad < sizeof(words) / sizeof(words[0]) ? words[bad] : "unknown";
}

bool srp_iu_tag(const void *iu, u32 len, u64 *tag)
{
	if (len < sizeof(struct srp_wire_plain))
		return false;
	*tag = get64(((const struct srp_wire_plain *)iu)->tag);
	return true;
}

static enum srp_bad begin(const void *iu, u32 len, enum srp_type type, u32 need)
{
	if (!len || *(const u8 *)iu != type)
		return SRP_BAD_TYPE;
	return len < need ? SRP_BAD_LENGTH : SRP_FINE;
}

/* --- descriptors --- */

struct srp_desc srp_desc_get(const void *table, u32 i)
{
	const struct srp_wire_desc *w = (const struct srp_wire_desc *)table + i;

	return (struct srp_desc){ .va = get64(w->va), .key = get32(w->key), .len = get32(w->len) };
}

void srp_desc_put(void *table, u32 i, const struct srp_desc *d)
{
	struct srp_wire_desc *w = (struct srp_wire_desc *)table + i;

	put64(w->va, d->va);
	put32(w->key, d->key);
	put32(w->len, d->len);
}

static bool wraps(const struct srp_desc *d)
{
	return d->len && d->va > ~0ull - (d->len - 1);
}

enum srp_bad srp_table_check(const void *table, u32 count, u64 len)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		struct srp_desc d = srp_desc_get(table, i);

		if (wraps(&d))
			return SRP_BAD_TABLE;
		sum += d.len;
	}
	return sum == len ? SRP_FINE : SRP_BAD_TABLE;
}

/* --- commands --- */

static u32 data_bytes(const struct srp_data *d)
{
	switch (d->format) {
	case SRP_DATA_DIRECT:
		return SRP_DESC_BYTES;
	case SRP_DATA_INDIRECT:
		return SRP_TABLE_BYTES + d->count * SRP_DESC_BYTES;
	default:
		return 0;
	}
}

static u32 add_cdb(u32 cdb_len)
{
	return cdb_len > CDB_FIXED ? (cdb_len - CDB_FIXED + 3) & ~3u : 0;
}

u32 srp_cmd_bytes(u32 cdb_len, const struct srp_data *out, const struct srp_data *in)
{
	return (u32)sizeof(struct srp_wire_cmd) + add_cdb(cdb_len) + data_bytes(out) + data_bytes(in);
}

static u8 *data_encode(u8 *at, const struct srp_data *d)
{
	if (d->format == SRP_DATA_INDIRECT) {
		struct srp_wire_table *w = (struct srp_wire_table *)at;

		srp_desc_put(&w->table, 0, &d->table);
		put32(w->len, d->len);
		at += sizeof(*w);
	}
	if (d->format != SRP_DATA_NONE && d->count) {
		memcpy(at, d->descs, d->count * SRP_DESC_BYTES);
		at += d->count * SRP_DESC_BYTES;
	}
	return at;
}

u32 srp_cmd_encode(void *iu, u32 room, u64 tag, const u8 lun[SCSI_LUN_LEN], const u8 *cdb, u32 cdb_len,
		   const struct srp_data *out, const struct srp_data *in)
{
	u32 len = srp_cmd_bytes(cdb_len, out, in), more = add_cdb(cdb_len);
	struct srp_wire_cmd *w = iu;
	u8 *at = (u8 *)(w + 1);

	if (len > room || more > 4 * 63)
		return 0;
	memset(w, 0, sizeof(*w) + more);
	w->type = SRP_CMD;
	w->formats = (u8)(out->format << 4 | in->format);
	w->out_count = out->format == SRP_DATA_INDIRECT ? out->count : 0;
	w->in_count = in->format == SRP_DATA_INDIRECT ? in->count : 0;
	put64(w->tag, tag);
	memcpy(w->lun, lun, SCSI_LUN_LEN);
	w->add_cdb = (u8)more; /* in words of four bytes, from bit 2 on */
	memcpy(w->cdb, cdb, cdb_len < CDB_FIXED ? cdb_len : CDB_FIXED);
	if (more)
		memcpy(at, cdb + CDB_FIXED, cdb_len - CDB_FIXED);
	at = data_encode(at + more, out);
	data_encode(at, in);
	return len;
}

static enum srp_bad direct_decode(struct srp_data *d)
{
	struct srp_desc one = srp_desc_get(d->descs, 0);

	d->count = 1;
	d->total = 1;
	d->len = one.len;
	return wraps(&one) ? SRP_BAD_TABLE : SRP_FINE;
}

static enum srp_bad indirect_decode(struct srp_data *d, const struct srp_wire_table *w, u8 count)
{
	d->table = srp_desc_get(&w->table, 0);
	d->len = get32(w->len);
	d->count = count;
	d->total = d->table.len / SRP_DESC_BYTES;
	d->descs = w + 1;
	if (!d->total || d->table.len % SRP_DESC_BYTES || count > d->total || wraps(&d->table))
		return SRP_BAD_TABLE;
	return count == d->total ? srp_table_check(d->descs, count, d->len) : SRP_FINE;
}

/* One direction's descriptors at *at, which goes on behind them. */
static enum srp_bad data_decode(const u8 **at, const u8 *end, u8 format, u8 count, enum srp_bad unknown,
				struct srp_data *d)
{
	u32 left = (u32)(end - *at);
	enum srp_bad bad;

	memset(d, 0, sizeof(*d));
	d->format = format;
	switch (format) {
	case SRP_DATA_NONE:
		return SRP_FINE;
	case SRP_DATA_DIRECT:
		if (left < SRP_DESC_BYTES)
			return SRP_BAD_LENGTH;
		d->descs = *at;
		bad = direct_decode(d);
		break;
	case SRP_DATA_INDIRECT:
		if (left < SRP_TABLE_BYTES + count * SRP_DESC_BYTES)
			return SRP_BAD_LENGTH;
		bad = indirect_decode(d, (const struct srp_wire_table *)*at, count);
		break;
	default:
		return unknown;
	}
	*at += data_bytes(d);
	return bad;
}

enum srp_bad srp_cmd_decode(const void *iu, u32 len, struct srp_cmd *cmd)
{
	const struct srp_wire_cmd *w = iu;
	const u8 *at = (const u8 *)(w + 1), *end = (const u8 *)iu + len;
	enum srp_bad bad;
	u32 more;

	cmd->tag = 0;
	srp_iu_tag(iu, len, &cmd->tag);
	bad = begin(iu, len, SRP_CMD, sizeof(*w));
	if (bad)
		return bad;
	cmd->sol_not = w->sol_not;
	cmd->attr = w->attr & 7;
	memcpy(cmd->lun, w->lun, SCSI_LUN_LEN);
	more = w->add_cdb & ~3u;
	if (more > (u32)(end - at))
		return SRP_BAD_LENGTH;
	memcpy(cmd->cdb, w->cdb, CDB_FIXED);
	if (more)
		memcpy(cmd->cdb + CDB_FIXED, at, more);
	cmd->cdb_len = CDB_FIXED + more;
	at += more;
	bad = data_decode(&at, end, w->formats >> 4, w->out_count, SRP_BAD_OUT_FORMAT, &cmd->out);
	return bad ? bad : data_decode(&at, end, w->formats & 15, w->in_count, SRP_BAD_IN_FORMAT, &cmd->in);
}

/* --- task management --- */

u32 srp_tsk_mgmt_encode(void *iu, u32 room, const struct srp_tsk_mgmt *tm)
{
	struct srp_wire_tsk_mgmt *w = iu;

	if (room < sizeof(*w))
		return 0;
	memset(w, 0, sizeof(*w));
	w->type = SRP_TSK_MGMT;
	w->sol_not = tm->sol_not;
	put64(w->tag, tm->tag);
	memcpy(w->lun, tm->lun, SCSI_LUN_LEN);
	w->function = tm->function;
	put64(w->task_tag, tm->task_tag);
	return sizeof(*w);
}

enum srp_bad srp_tsk_mgmt_decode(const void *iu, u32 len, struct srp_tsk_mgmt *tm)
{
	const struct srp_wire_tsk_mgmt *w = iu;
	enum srp_bad bad;

	memset(tm, 0, sizeof(*tm));
	srp_iu_tag(iu, len, &tm->tag);
	bad = begin(iu, len, SRP_TSK_MGMT, sizeof(*w));
	if (bad)
		return bad;
	memcpy(tm->lun, w->lun, SCSI_LUN_LEN);
	tm->sol_not = w->sol_not;
	tm->function = w->function;
	tm->task_tag = get64(w->task_tag);
	return SRP_FINE;
}

/* --- responses --- */

static u8 residual_encode(u8 *at, s64 residual, u8 over, u8 under)
{
	if (!residual)
		return 0;
	put32(at, (u32)(residual < 0 ? -residual : residual));
	return residual < 0 ? over : under;
}

u32 srp_rsp_encode(void *iu, u32 room, const struct srp_rsp *rsp)
{
	u32 data = rsp->has_code ? SRP_RSP_DATA : 0;
	u32 len = (u32)sizeof(struct srp_wire_rsp) + data + rsp->sense_len;
	struct srp_wire_rsp *w = iu;

	if (len > room || rsp->sense_len > room)
		return 0;
	memset(w, 0, sizeof(*w) + data);
	w->type = SRP_RSP;
	w->sol_not = rsp->sol_not;
	put32(w->delta, (u32)rsp->delta);
	put64(w->tag, rsp->tag);
	w->status = rsp->status;
	w->flags = residual_encode(w->out_residual, rsp->out_residual, SRP_RSP_DOOVER, SRP_RSP_DOUNDER);
	w->flags |= residual_encode(w->in_residual, rsp->in_residual, SRP_RSP_DIOVER, SRP_RSP_DIUNDER);
	if (data) {
		w->flags |= SRP_RSP_RSPVALID;
		put32(w->rsp_len, data);
		((u8 *)(w + 1))[SRP_RSP_DATA - 1] = rsp->code;
	}
	if (rsp->sense_len) {
		w->flags |= SRP_RSP_SNSVALID;
		put32(w->sense_len, rsp->sense_len);
		memcpy((u8 *)(w + 1) + data, rsp->sense, rsp->sense_len);
	}
	return len;
}

/* Return: the residual, unless both flags are set, or neither and there is one. */
static bool residual_decode(const u8 *at, u8 flags, u8 over, u8 under, s64 *residual)
{
	u32 n = get32(at);

	*residual = flags & over ? -(s64)n : n;
	return flags & over ? !(flags & under) : flags & under || !n;
}

enum srp_bad srp_rsp_decode(const void *iu, u32 len, struct srp_rsp *rsp)
{
	const struct srp_wire_rsp *w = iu;
	enum srp_bad bad;
	u32 data, left;

	memset(rsp, 0, sizeof(*rsp));
	srp_iu_tag(iu, len, &rsp->tag);
	bad = begin(iu, len, SRP_RSP, sizeof(*w));
	if (bad)
		return bad;
	left = len - (u32)sizeof(*w);
	rsp->delta = (s32)get32(w->delta);
	rsp->status = w->status;
	rsp->sol_not = w->sol_not;
	rsp->has_code = w->flags & SRP_RSP_RSPVALID;
	data = rsp->has_code ? get32(w->rsp_len) : 0;
	rsp->sense_len = w->flags & SRP_RSP_SNSVALID ? get32(w->sense_len) : 0;
	if (data > left || rsp->sense_len > left - data)
		return SRP_BAD_LENGTH;
	if (!residual_decode(w->out_residual, w->flags, SRP_RSP_DOOVER, SRP_RSP_DOUNDER, &rsp->out_residual) ||
	    !residual_decode(w->in_residual, w->flags, SRP_RSP_DIOVER, SRP_RSP_DIUNDER, &rsp->in_residual) ||
	    (rsp->has_code && data < SRP_RSP_DATA) || (!rsp->has_code && get32(w->rsp_len)) ||
	    (w->flags & SRP_RSP_SNSVALID ? !rsp->sense_len : get32(w->sense_len)))
		return SRP_BAD_FIELD;
	if (rsp->has_code)
		rsp->code = ((const u8 *)(w + 1))[SRP_RSP_DATA - 1];
	rsp->sense = (const u8 *)(w + 1) + data;
	return SRP_FINE;
}

/* --- logins --- */

u32 srp_login_req_encode(void *iu, u32 room, const struct srp_login_req *req)
{
	struct srp_wire_login_req *w = iu;

	if (room < sizeof(*w))
		return 0;
	memset(w, 0, sizeof(*w));
	w->type = SRP_LOGIN_REQ;
	put64(w->tag, req->tag);
	put32(w->it_iu_len, req->it_iu_len);
	put16(w->formats, req->formats);
	w->flags = req->flags;
	memcpy(w->initiator_port, req->initiator_port, SRP_PORT_ID);
	memcpy(w->target_port, req->target_port, SRP_PORT_ID);
	return sizeof(*w);
}

enum srp_bad srp_login_req_decode(const void *iu, u32 len, struct srp_login_req *req)
{
	const struct srp_wire_login_req *w = iu;

	memset(req, 0, sizeof(*req));
	if (len < sizeof(*w))
		return SRP_BAD_LENGTH;
	req->tag = get64(w->tag);
	if (w->type != SRP_LOGIN_REQ)
		return SRP_BAD_TYPE;
	req->it_iu_len = get32(w->it_iu_len);
	req->formats = get16(w->formats);
	req->flags = w->flags;
	memcpy(req->initiator_port, w->initiator_port, SRP_PORT_ID);
	memcpy(req->target_port, w->target_port, SRP_PORT_ID);
	return SRP_FINE;
}

u32 srp_login_rsp_encode(void *iu, u32 room, const struct srp_login_rsp *rsp)
{
	struct srp_wire_login_rsp *w = iu;

	if (room < sizeof(*w))
		return 0;
	memset(w, 0, sizeof(*w));
	w->type = SRP_LOGIN_RSP;
	put32(w->delta, (u32)rsp->delta);
	put64(w->tag, rsp->tag);
	put32(w->it_iu_len, rsp->it_iu_len);
	put32(w->ti_iu_len, rsp->ti_iu_len);
	put16(w->formats, rsp->formats);
	w->flags = rsp->flags;
	return sizeof(*w);
}

enum srp_bad srp_login_rsp_decode(const void *iu, u32 len, struct srp_login_rsp *rsp)
{
	const struct srp_wire_login_rsp *w = iu;
	enum srp_bad bad;

	memset(rsp, 0, sizeof(*rsp));
	srp_iu_tag(iu, len, &rsp->tag);
	bad = begin(iu, len, SRP_LOGIN_RSP, sizeof(*w));
	if (bad)
		return bad;
	rsp->delta = (s32)get32(w->delta);
	rsp->it_iu_len = get32(w->it_iu_len);
	rsp->ti_iu_len = get32(w->ti_iu_len);
	rsp->formats = get16(w->formats);
	rsp->flags = w->flags;
	return SRP_FINE;
}

u32 srp_login_rej_encode(void *iu, u32 room, const struct srp_login_rej *rej)
{
	struct srp_wire_login_rej *w = iu;

	if (room < sizeof(*w))
		return 0;
	memset(w, 0, sizeof(*w));
	w->type = SRP_LOGIN_REJ;
	put32(w->reason, rej->reason);
	put64(w->tag, rej->tag);
	put16(w->formats, rej->formats);
	return sizeof(*w);
}

enum srp_bad srp_login_rej_decode(const void *iu, u32 len, struct srp_login_rej *rej)
{
	const struct srp_wire_login_rej *w = iu;
	enum srp_bad bad;

	memset(rej, 0, sizeof(*rej));
	srp_iu_tag(iu, len, &rej->tag);
	bad = begin(iu, len, SRP_LOGIN_REJ, sizeof(*w));
	if (bad)
		return bad;
	rej->reason = get32(w->reason);
	rej->formats = get16(w->formats);
	return SRP_FINE;
}

/* --- the short ones --- */

u32 srp_plain_encode(void *iu, u32 room, enum srp_type type, u64 tag)
{
	struct srp_wire_plain *w = iu;

	if (room < sizeof(*w))
		return 0;
	memset(w, 0, sizeof(*w));
	w->type = (u8)type;
	put64(w->tag, tag);
	return sizeof(*w);
}

enum srp_bad srp_plain_decode(const void *iu, u32 len, enum srp_type type, u64 *tag)
{
	*tag = 0;
	srp_iu_tag(iu, len, tag);
	return begin(iu, len, type, sizeof(struct srp_wire_plain));
}

u32 srp_word_encode(void *iu, u32 room, enum srp_type type, u64 tag, u32 word)
{
	struct srp_wire_word *w = iu;

	if (!srp_plain_encode(iu, room, type, tag))
		return 0;
	put32(w->word, word);
	return sizeof(*w);
}

enum srp_bad srp_word_decode(const void *iu, u32 len, enum srp_type type, u64 *tag, u32 *word)
{
	enum srp_bad bad = srp_plain_decode(iu, len, type, tag);

	*word = bad ? 0 : get32(((const struct srp_wire_word *)iu)->word);
	return bad;
}

u32 srp_aer_req_encode(void *iu, u32 room, const struct srp_aer_req *req)
{
	struct srp_wire_aer_req *w = iu;

	if (room < sizeof(*w) || req->sense_len > room - sizeof(*w))
		return 0;
	memset(w, 0, sizeof(*w));
	w->type = SRP_AER_REQ;
	put32(w->delta, (u32)req->delta);
	put64(w->tag, req->tag);
	memcpy(w->lun, req->lun, SCSI_LUN_LEN);
	put32(w->sense_len, req->sense_len);
	if (req->sense_len)
		memcpy(w + 1, req->sense, req->sense_len);
	return (u32)sizeof(*w) + req->sense_len;
}

enum srp_bad srp_aer_req_decode(const void *iu, u32 len, struct srp_aer_req *req)
{
	const struct srp_wire_aer_req *w = iu;
	enum srp_bad bad;

	memset(req, 0, sizeof(*req));
	srp_iu_tag(iu, len, &req->tag);
	bad = begin(iu, len, SRP_AER_REQ, sizeof(*w));
	if (bad)
		return bad;
	req->delta = (s32)get32(w->delta);
	memcpy(req->lun, w->lun, SCSI_LUN_LEN);
	req->sense_len = get32(w->sense_len);
	req->sense = (const u8 *)(w + 1);
	return req->sense_len > len - sizeof(*w) ? SRP_BAD_LENGTH : SRP_FINE;
}
