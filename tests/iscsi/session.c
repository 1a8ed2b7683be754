/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * PDUs, login, and what a session does beside SCSI: see front.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front.h"

#define TEXT_MAX 8192u

static bool read_all(int fd, void *buf, size_t len)
{
	u8 *p = buf;

	while (len) {
		ssize_t n = recv(fd, p, len, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_all(int fd, const void *buf, size_t len, int flags)
{
	const u8 *p = buf;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL | flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static struct pdu *read_one(struct conn *c)
{
	u8 bhs[BHS_LEN], ahs[255 * 4];
	struct pdu *p;
	u32 len;

	if (!read_all(c->fd, bhs, BHS_LEN) || !read_all(c->fd, ahs, bhs[4] * 4u))
		return NULL;
	len = (u32)be(bhs + 5, 3);
	if (len > SEGMENT_MAX)
		return NULL;
	p = malloc(sizeof(*p) + len + 4);
	if (!p)
		return NULL;
	memcpy(p->bhs, bhs, BHS_LEN);
	p->len = len;
	p->next = NULL;
	if (read_all(c->fd, p->data, (len + 3) & ~3u))
		return p;
	free(p);
	return NULL;
}

/* Return: false: it lies outside of the window, and is ignored (RFC 7143 4.2.2.1). A single connection keeps the order. */
static bool in_order(struct conn *c, const struct pdu *p)
{
	if (p->bhs[0] & 0x40 || (p->bhs[0] & 0x3f) == PDU_DATA_OUT)
		return true;
	if ((u32)be(p->bhs + 24, 4) != c->exp_cmd_sn)
		return false;
	c->exp_cmd_sn++;
	return true;
}

struct pdu *pdu_read(struct conn *c)
{
	struct pdu *p;

	while ((p = read_one(c)) && !in_order(c, p))
		free(p);
	return p;
}

bool pdu_send(struct conn *c, u8 bhs[BHS_LEN], const void *data, u32 len, bool status)
{
	static const u8 zeros[4];

	set_be(bhs + 5, 3, len);
	if (bhs[0] != PDU_DATA_IN || status)
		set_be(bhs + 24, 4, c->stat_sn);
	set_be(bhs + 28, 4, c->exp_cmd_sn);
	set_be(bhs + 32, 4, c->exp_cmd_sn + WINDOW - 1);
	if (status)
		c->stat_sn++;
	return send_all(c->fd, bhs, BHS_LEN, len ? MSG_MORE : 0) &&
	       send_all(c->fd, data, len, len & 3 ? MSG_MORE : 0) && send_all(c->fd, zeros, -len & 3, 0);
}

/* --- login --- */

/* The answers to what the initiator has asked. */
struct text {
	char buf[TEXT_MAX];
	u32 len;
};

static void say(struct text *t, const char *key, const char *value)
{
	int n = snprintf(t->buf + t->len, sizeof(t->buf) - t->len, "%s=%s", key, value);

	if (n > 0 && t->len + (u32)n + 1 <= sizeof(t->buf))
		t->len += (u32)n + 1;
}

static void negotiate(struct conn *c, const char *key, const char *value, struct text *t)
{
	/* What doesn't depend on the initiator's offer: the least that RFC 7143 section 13 lets a target answer. */
	static const char *const fixed[][2] = {
		{ "HeaderDigest", "None" },
		{ "DataDigest", "None" },
		{ "AuthMethod", "None" },
		{ "MaxConnections", "1" },
		{ "MaxBurstLength", "262144" },
		{ "FirstBurstLength", "262144" },
		{ "DefaultTime2Wait", "0" },
		{ "DefaultTime2Retain", "0" },
		{ "MaxOutstandingR2T", "1" },
		{ "ErrorRecoveryLevel", "0" },
		{ "DataPDUInOrder", "Yes" },
		{ "DataSequenceInOrder", "Yes" },
		{ "MaxRecvDataSegmentLength", "262144" },
		{ "IFMarker", "No" },
		{ "OFMarker", "No" },
	};
	u32 i;

	if (!strcmp(key, "InitiatorName"))
		snprintf(c->initiator, sizeof(c->initiator), "%s", value);
	else if (!strcmp(key, "SessionType"))
		c->discovery = !strcmp(value, "Discovery");
	else if (!strcmp(key, "TargetName"))
		say(t, "TargetPortalGroupTag", "1");
	else if (!strcmp(key, "InitialR2T"))
		say(t, key, (c->initial_r2t = !strcmp(value, "Yes")) ? "Yes" : "No");
	else if (!strcmp(key, "ImmediateData"))
		say(t, key, (c->immediate = !strcmp(value, "Yes")) ? "Yes" : "No");
	if (!strcmp(key, "MaxRecvDataSegmentLength"))
		c->max_segment = (u32)strtoul(value, NULL, 0);
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (!strcmp(key, fixed[i][0]))
			say(t, key, fixed[i][1]);
}

static void negotiate_all(struct conn *c, struct pdu *p, struct text *t)
{
	char *key = (char *)p->data, *end = key + p->len, *value;

	*end = 0;
	for (; key < end; key = value + strlen(value) + 1) {
		value = strchr(key, '=');
		if (!value)
			return;
		*value++ = 0;
		negotiate(c, key, value, t);
	}
}

/* An initiator port's name is that of the initiator with the ISID; 16 bytes of it name a nexus. */
static void make_port_id(const struct conn *c, u8 id[PORT_ID_LEN])
{
	u64 h = 0xcbf29ce484222325u; /* FNV-1a */
	const char *s;

	for (s = c->initiator; *s; s++)
		h = (h ^ (u8)*s) * 0x100000001b3u;
	set_be(id, 8, h);
	set_be(id + 8, 2, 1);
	memcpy(id + 10, c->isid, sizeof(c->isid));
}

static bool log_in(struct conn *c)
{
	u8 id[PORT_ID_LEN], bhs[BHS_LEN], flags;
	struct text t;
	struct pdu *p;
	bool ok;

	do {
		p = read_one(c);
		if (!p || (p->bhs[0] & 0x3f) != PDU_LOGIN) {
			free(p);
			return false;
		}
		t.len = 0;
		negotiate_all(c, p, &t);
		memset(bhs, 0, sizeof(bhs));
		bhs[0] = PDU_LOGIN_RSP;
		flags = bhs[1] = p->bhs[1] & 0x8f; /* transit as it asks to, from its stage to its next */
		memcpy(c->isid, p->bhs + 8, 6);
		memcpy(bhs + 8, p->bhs + 8, 6);
		set_be(bhs + 14, 2, 1); /* TSIH */
		memcpy(bhs + 16, p->bhs + 16, 4);
		c->exp_cmd_sn = (u32)be(p->bhs + 24, 4);
		free(p);
		if ((flags & 0x83) == 0x83 && !c->discovery) {
			make_port_id(c, id);
			c->session = c->unit->open(id);
			if (!c->session)
				set_be(bhs + 36, 2, 0x0301); /* service unavailable */
		}
		ok = pdu_send(c, bhs, t.buf, t.len, true) && !bhs[36];
	} while (ok && (flags & 0x83) != 0x83);
	return ok;
}

/* --- full feature phase --- */

static bool answer(struct conn *c, u8 opcode, const struct pdu *p, const void *data, u32 len)
{
	u8 bhs[BHS_LEN] = { opcode, 0x80 };

	memcpy(bhs + 16, p->bhs + 16, 4);
	if (opcode == PDU_NOP_IN || opcode == PDU_TEXT_RSP)
		set_be(bhs + 20, 4, 0xffffffff);
	return pdu_send(c, bhs, data, len, true);
}

static bool reject(struct conn *c, const struct pdu *p)
{
	u8 bhs[BHS_LEN] = { PDU_REJECT, 0x80, 0x05 }; /* command not supported */

	set_be(bhs + 16, 4, 0xffffffff);
	return pdu_send(c, bhs, p->bhs, BHS_LEN, true);
}

static bool dispatch(struct conn *c, const struct pdu *p)
{
	switch (p->bhs[0] & 0x3f) {
	case PDU_DATA_OUT: /* of a command that is over */
		return true;
	case PDU_NOP_OUT:
		if (be(p->bhs + 16, 4) == 0xffffffff)
			return true;
		return answer(c, PDU_NOP_IN, p, p->data, p->len);
	case PDU_COMMAND:
		return c->session ? task_command(c, p) : reject(c, p);
	case PDU_TASK_MGMT:
		return c->session ? task_management(c, p) : reject(c, p);
	case PDU_TEXT:
		return answer(c, PDU_TEXT_RSP, p, NULL, 0);
	case PDU_LOGOUT:
		answer(c, PDU_LOGOUT_RSP, p, NULL, 0);
		return false;
	default:
		return reject(c, p);
	}
}

static struct pdu *next_pdu(struct conn *c)
{
	struct pdu *p = c->waiting;

	if (!p)
		return pdu_read(c);
	c->waiting = p->next;
	return p;
}

void conn_serve(const struct unit *unit, int fd)
{
	struct conn c = { .unit = unit, .fd = fd, .max_segment = 8192, .immediate = true, .initial_r2t = true };
	struct pdu *p;
	bool ok;

	/* Most of it is never touched: not by an allocator that fills what it gives, either. */
	c.data = mmap(NULL, DATA_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ok = c.data != MAP_FAILED && log_in(&c);
	while (ok && (p = next_pdu(&c))) {
		ok = dispatch(&c, p);
		free(p);
	}
	if (c.session)
		unit->close(c.session);
	while ((p = c.waiting)) {
		c.waiting = p->next;
		free(p);
	}
	if (c.data != MAP_FAILED)
		munmap(c.data, DATA_MAX);
	close(fd);
}
