/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory that the peer writes to directly. Each end has a table, of RDMA_IOMAPSIZE entries, in which its peer writes what it maps;
 * riowrite() looks up there where an offset is. The peer's adapter checks what is written, by its key.
 */
#include "rsocket.h"

#include <stdlib.h>
#include <string.h>

static int why_not(const struct rsock *rs)
{
	if (rs->type != SOCK_STREAM)
		return EOPNOTSUPP;
	if (rs->state == RS_OVER)
		return rs->err ? rs->err : EPIPE;
	return rs->state == RS_CONNECTED ? 0 : ENOTCONN;
}

/* --- what this end maps --- */

static bool can_tell(const struct rsock *rs)
{
	return why_not(rs) || rs->busy_control < RS_CONTROL / 2;
}

/* An entry of the peer's table. Return: 0 or an errno */
static int tell_entry(struct rsock *rs, int slot, const struct rs_iomap *entry)
{
	int err = rs_wait(rs, false, can_tell);

	if (!err)
		err = why_not(rs);
	return err ? err :
		     rs_control(rs, entry, sizeof(*entry),
				rs->peer.addr + RS_SHARED_BYTES + (uint64_t)slot * sizeof(*entry), rs->peer.key, NULL);
}

/* A place in the peer's table. Return: it; -1: all are used */
static int free_slot(const struct rsock *rs)
{
	uint32_t i;

	for (i = 0; i < rs->peer.iomaps; i++)
		if (!(rs->slots >> i & 1))
			return (int)i;
	return -1;
}

static bool overlaps(const struct rsock *rs, uint64_t offset, uint64_t bytes)
{
	const struct rs_mapping *m;

	for (m = rs->mappings; m; m = m->next)
		if (m->slot >= 0 && offset < m->offset + m->bytes && m->offset < offset + bytes)
			return true;
	return false;
}

/* The buffer's address is an offset that no other buffer has; only offsets of the program's choice may be in the way. */
static bool find_offset(const struct rsock *rs, const void *buf, size_t len, off_t asked, uint64_t *offset)
{
	*offset = asked == -1 ? (uintptr_t)buf : (uint64_t)asked;
	return len <= (uint64_t)INT64_MAX - *offset && !overlaps(rs, *offset, len);
}

static int map(struct rsock *rs, struct rs_mapping *m, off_t asked, bool remote)
{
	struct rs_iomap entry = { 0 };
	int err;

	m->slot = -1;
	if (remote) {
		m->slot = free_slot(rs);
		if (m->slot < 0)
			return ENOMEM;
	}
	if (!find_offset(rs, m->buf, m->bytes, asked, &m->offset) && remote)
		return EINVAL;
	m->mr = ibv_reg_mr(rs->id->pd, m->buf, m->bytes, remote ? IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE : 0);
	if (!m->mr)
		return errno ? errno : ENOMEM;
	if (remote) {
		rs->slots |= 1ull << m->slot;
		entry = (struct rs_iomap){
			.offset = m->offset, .addr = (uintptr_t)m->buf, .bytes = m->bytes, .key = m->mr->rkey
		};
		err = tell_entry(rs, m->slot, &entry);
		if (err) {
			rs->slots &= ~(1ull << m->slot);
			ibv_dereg_mr(m->mr);
			return err;
		}
	}
	return 0;
}

static bool is_up(const struct rsock *rs)
{
	return rs->state != RS_ACCEPTING;
}

static off_t map_buffer(struct rsock *rs, void *buf, size_t len, int prot, int flags, off_t offset)
{
	struct rs_mapping *m;
	int err = rs_wait(rs, false, is_up);

	if (!err)
		err = why_not(rs);
	if (!err && (!buf || !len || (prot != PROT_NONE && prot != PROT_WRITE) || flags || offset < -1))
		err = EINVAL;
	if (err)
		return rs_fail(err);
	m = calloc(1, sizeof(*m));
	if (!m)
		return rs_fail(ENOMEM);
	m->buf = buf;
	m->bytes = len;
	err = map(rs, m, offset, prot == PROT_WRITE);
	if (err) {
		free(m);
		return rs_fail(err);
	}
	m->next = rs->mappings;
	rs->mappings = m;
	return (off_t)m->offset;
}

RS_EXPORT off_t riomap(int socket, void *buf, size_t len, int prot, int flags, off_t offset)
{
	struct rsock *rs = rs_get(socket);
	off_t at;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	at = map_buffer(rs, buf, len, prot, flags, offset);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return at;
}

static int unmap(struct rsock *rs, const void *buf, size_t len)
{
	static const struct rs_iomap none;
	struct rs_mapping **at, *m;

	for (at = &rs->mappings; (m = *at); at = &m->next)
		if (m->buf == buf && m->bytes == len)
			break;
	if (!m)
		return EINVAL;
	*at = m->next;
	/* A peer that has left has no use for it. */
	if (m->slot >= 0) {
		(void)tell_entry(rs, m->slot, &none);
		rs->slots &= ~(1ull << m->slot);
	}
	ibv_dereg_mr(m->mr);
	free(m);
	return 0;
}

RS_EXPORT int riounmap(int socket, void *buf, size_t len)
{
	struct rsock *rs = rs_get(socket);
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	rs_progress(rs);
	err = unmap(rs, buf, len);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

/* --- what the peer maps --- */

/* What the peer has at an offset; it may be changing it. Return: there is something */
static bool look_up(const struct rsock *rs, uint64_t offset, struct rs_iomap *entry)
{
	const struct rs_iomap *table = (const struct rs_iomap *)(rs->in + RS_SHARED_BYTES);
	int i;

	for (i = 0; i < rs->opt.iomaps; i++) {
		memcpy(entry, &table[i], sizeof(*entry));
		if (entry->offset <= offset && offset - entry->offset < entry->bytes)
			return true;
	}
	return false;
}

static bool can_write(const struct rsock *rs)
{
	return why_not(rs) || rs->write_shut || rs->gone || rs_out(rs, 1);
}

static int write_some(struct rsock *rs, const uint8_t *from, uint64_t len, uint64_t offset, uint32_t *done)
{
	struct rs_iomap entry;

	if (rs->write_shut || rs->gone)
		return EPIPE;
	if (!look_up(rs, offset, &entry))
		return EINVAL;
	*done = rs_out(rs, RS_MIN(len, entry.bytes - (offset - entry.offset)));
	memcpy(rs->out + rs->out_at, from, *done);
	return rs_write(rs, NULL, *done, entry.addr + (offset - entry.offset), entry.key, NULL);
}

static size_t write_at(struct rsock *rs, const uint8_t *buf, size_t count, off_t offset, int flags)
{
	bool dontwait = rs->nonblocking || flags & MSG_DONTWAIT;
	uint32_t part;
	size_t done;
	int err;

	if (offset < 0)
		return (size_t)rs_fail(EINVAL);
	for (done = 0; done < count; done += part) {
		err = rs_wait(rs, dontwait, can_write);
		if (!err)
			err = why_not(rs);
		if (!err)
			err = write_some(rs, buf + done, count - done, (uint64_t)offset + done, &part);
		if (err)
			return done ? done : (size_t)rs_fail(err);
	}
	return done;
}

RS_EXPORT size_t riowrite(int socket, const void *buf, size_t count, off_t offset, int flags)
{
	struct rsock *rs = rs_get(socket);
	size_t done;

	if (!rs)
		return (size_t)-1;
	pthread_mutex_lock(&rs->lock);
	done = write_at(rs, buf, count, offset, flags);
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return done;
}
