/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a target does with initiators that are out of their minds: each gets the
 * refusal that it deserves, and a decent one beside it doesn't notice.
 */
#include "srp_raw.h"

struct both {
	struct srp_bed bed;
	struct srp_target *t;
	struct srp_initiator *ini; /* the decent one */
	struct raw raw;
};

static void both_open(struct both *b)
{
	bed_open(&b->bed, MACHINE_IOMMU, 3);
	b->t = bed_target(&b->bed, IB_POLL_SOFTIRQ);
	b->ini = bed_initiator(&b->bed, SRP_MEMORY_FAST);
	raw_ready(&b->raw, b->bed.dev[0], 0xaa);
	raw_attention(&b->raw);
}

/* The decent one still works. */
static void decent(struct both *b)
{
	struct srp_request req;
	struct bed_list l;
	u8 data[4096];

	random_bytes(data, sizeof(data), 5);
	list_make(&b->bed, &l, SHAPE_ODD, sizeof(data), 1);
	list_fill(&l, data);
	req = req_rw(&l, true, 65536);
	assert_int_equal(srp_execute(srp_initiator_channel(b->ini, 0), &req), 0);
	assert_memory_equal(b->bed.disk + 65536, data, sizeof(data));
	list_free(&l);
}

static void both_close(struct both *b)
{
	struct srp_initiator_stats st;

	decent(b);
	srp_initiator_get_stats(b->ini, &st);
	assert_int_equal(st.state, SRP_STATE_LIVE);
	assert_int_equal(st.reconnects, 0);
	raw_close(&b->raw);
	srp_initiator_destroy(b->ini);
	srp_target_destroy(b->t);
	bed_close(&b->bed);
}

static void expect_logout(struct both *b, u32 reason)
{
	u64 tag;
	u32 word;

	assert_true(raw_recv(&b->raw));
	assert_int_equal(srp_word_decode(b->raw.got, b->raw.got_len, SRP_T_LOGOUT, &tag, &word), SRP_FINE);
	assert_int_equal(word, reason);
	assert_true(raw_ended(&b->raw));
}

/* --- information units that are none --- */

static void test_garbage(void **state)
{
	static const struct {
		u8 type;
		u32 len;
		u32 reason;
	} rows[] = {
		{ SRP_CMD, 15, SRP_LOGOUT_LENGTH }, /* not even a tag */
		{ SRP_TSK_MGMT, 3, SRP_LOGOUT_LENGTH },	   { 0x77, 64, SRP_LOGOUT_TYPE },
		{ SRP_LOGIN_REQ, 64, SRP_LOGOUT_TYPE }, /* not here */
		{ SRP_RSP, 36, SRP_LOGOUT_TYPE }, /* ours to say */
		{ SRP_CRED_RSP, 16, SRP_LOGOUT_RESPONSE }, /* nobody asked */
		{ SRP_AER_RSP, 16, SRP_LOGOUT_RESPONSE },  { SRP_CRED_RSP, 8, SRP_LOGOUT_LENGTH },
	};
	u8 iu[64] = { 0 };
	struct both b;
	u32 i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		both_open(&b);
		iu[0] = rows[i].type;
		raw_send(&b.raw, iu, rows[i].len);
		expect_logout(&b, rows[i].reason);
		both_close(&b);
	}
}

static void test_empty(void **state)
{
	struct both b;

	(void)state;
	both_open(&b);
	raw_send(&b.raw, "", 0);
	expect_logout(&b, SRP_LOGOUT_LENGTH);
	both_close(&b);
}

/* Longer than its login said: the adapter itself ends the connection. */
static void test_too_long(void **state)
{
	u8 iu[600] = { SRP_CMD };
	struct both b;

	(void)state;
	both_open(&b);
	raw_send(&b.raw, iu, sizeof(iu));
	assert_true(raw_ended(&b.raw));
	both_close(&b);
}

/* --- commands that lie: each is refused by a response, and the channel lives on --- */

static void refused(struct both *b, const void *iu, u32 len)
{
	struct srp_rsp rsp;

	raw_send(&b->raw, iu, len);
	rsp = raw_rsp(&b->raw, 99);
	assert_true(rsp.has_code);
	assert_int_equal(rsp.code, SRP_RSP_INVALID_FIELDS);
	assert_int_equal(rsp.delta, 1);
}

static void test_lying_commands(void **state)
{
	struct srp_desc d[3];
	struct srp_data data = { .format = SRP_DATA_INDIRECT, .count = 3, .len = 1536 };
	u8 table[3 * SRP_DESC_BYTES], iu[1024];
	struct srp_target_stats st;
	struct both b;
	u32 i, len;

	(void)state;
	both_open(&b);
	for (i = 0; i < 3; i++) {
		d[i] = raw_desc(&b.raw, i * 512, 512);
		srp_desc_put(table, i, &d[i]);
	}
	data.descs = table;
	data.table = raw_desc(&b.raw, 0, sizeof(table));
	len = raw_rw(iu, 99, false, 0, 3, &data);
	/* as it should be, each byte that is cut away makes it wrong */
	for (i = 48; i < len; i += 7)
		refused(&b, iu, i);
	refused(&b, iu, 20);
	/* more descriptors in the IU than there are, than in the table, than fit */
	iu[7] = 4;
	refused(&b, iu, len);
	iu[7] = 255;
	refused(&b, iu, len);
	iu[7] = 3;
	/* unknown formats */
	iu[5] = 0x03;
	refused(&b, iu, len);
	iu[5] = 0xf0;
	refused(&b, iu, len);
	iu[5] = 0x22; /* two tables, room for one */
	refused(&b, iu, len);
	iu[5] = 0x02;
	/* an additional CDB that isn't there */
	iu[31] = 0xfc;
	refused(&b, iu, len);
	iu[31] = 0;
	/* all bytes together are not those of the descriptors */
	data.len = 1535;
	refused(&b, iu, raw_rw(iu, 99, false, 0, 3, &data));
	data.len = 0xffffffff;
	refused(&b, iu, raw_rw(iu, 99, false, 0, 3, &data));
	data.len = 1536;
	/* a table that is no number of descriptors, or none, or around the end of addresses, or too long */
	data.table.len = 47;
	refused(&b, iu, raw_rw(iu, 99, false, 0, 3, &data));
	data.table.len = 0;
	data.count = 0;
	refused(&b, iu, raw_rw(iu, 99, false, 0, 3, &data));
	data.table.len = 48;
	data.table.va = ~0ull - 20;
	refused(&b, iu, raw_rw(iu, 99, false, 0, 3, &data));
	data.table.len = 0xfffffff0;
	data.table.va = 4096;
	refused(&b, iu, raw_rw(iu, 99, false, 0, 3, &data));
	/* a descriptor around the end of addresses */
	d[0] = (struct srp_desc){ .va = ~0ull - 100, .len = 512, .key = 1 };
	data = (struct srp_data){ .format = SRP_DATA_DIRECT, .count = 1, .descs = table };
	srp_desc_put(table, 0, &d[0]);
	refused(&b, iu, raw_rw(iu, 99, false, 0, 1, &data));
	/* and after all of it a good one */
	d[0] = raw_desc(&b.raw, 0, 512);
	srp_desc_put(table, 0, &d[0]);
	random_bytes(b.bed.disk, 512, 8);
	raw_send(&b.raw, iu, raw_rw(iu, 5, false, 0, 1, &data));
	assert_int_equal(raw_rsp(&b.raw, 5).status, SCSI_GOOD);
	assert_memory_equal(b.raw.mem.cpu + RAW_DATA, b.bed.disk, 512);
	srp_target_get_stats(b.t, &st);
	assert_true(st.bad_ius > 20);
	both_close(&b);
}

/* A table that must be fetched, and turns out to be a lie. */
static void test_lying_fetched_table(void **state)
{
	struct srp_data data = { .format = SRP_DATA_INDIRECT, .count = 0, .len = 1024 };
	struct srp_desc d;
	struct both b;
	u8 iu[1024];

	(void)state;
	both_open(&b);
	data.descs = iu;
	data.table = raw_desc(&b.raw, 8192, 2 * SRP_DESC_BYTES);
	d = raw_desc(&b.raw, 0, 512);
	srp_desc_put(b.raw.mem.cpu + RAW_DATA + 8192, 0, &d);
	d.len = 511;
	srp_desc_put(b.raw.mem.cpu + RAW_DATA + 8192, 1, &d);
	refused(&b, iu, raw_rw(iu, 99, false, 0, 2, &data));
	d.len = 512;
	d.va = ~0ull - 5;
	srp_desc_put(b.raw.mem.cpu + RAW_DATA + 8192, 1, &d);
	refused(&b, iu, raw_rw(iu, 99, true, 0, 2, &data));
	d = raw_desc(&b.raw, 2048, 512);
	srp_desc_put(b.raw.mem.cpu + RAW_DATA + 8192, 1, &d);
	random_bytes(b.bed.disk, 1024, 9);
	raw_send(&b.raw, iu, raw_rw(iu, 6, false, 0, 2, &data));
	assert_int_equal(raw_rsp(&b.raw, 6).status, SCSI_GOOD);
	assert_memory_equal(b.raw.mem.cpu + RAW_DATA, b.bed.disk, 512);
	assert_memory_equal(b.raw.mem.cpu + RAW_DATA + 2048, b.bed.disk + 512, 512);
	both_close(&b);
}

/* Descriptors that point where no key of the initiator's leads: its adapter refuses, and the connection is over. */
static void test_outside(void **state)
{
	struct srp_data data = { .format = SRP_DATA_DIRECT, .count = 1 };
	struct srp_desc d;
	u8 wire[SRP_DESC_BYTES], iu[1024];
	struct both b;
	u32 i;

	(void)state;
	data.descs = wire;
	for (i = 0; i < 4; i++) {
		both_open(&b);
		d = raw_desc(&b.raw, 0, 512);
		d.key ^= 0x100;
		srp_desc_put(wire, 0, &d);
		if (i < 2) {
			raw_send(&b.raw, iu, raw_rw(iu, 5, i, 0, 1, &data));
		} else {
			/* the same with the table */
			struct srp_data table = { .format = SRP_DATA_INDIRECT, .descs = wire, .len = 512, .table = d };

			table.table.len = SRP_DESC_BYTES;
			raw_send(&b.raw, iu, raw_rw(iu, 5, i & 1, 0, 1, &table));
		}
		assert_true(raw_ended(&b.raw));
		both_close(&b);
	}
}

/* --- credits --- */

/* More writes than the target granted, while the medium answers none of them. Return: responses */
static u32 send_writes(struct both *b, u32 writes)
{
	struct srp_data data = { .format = SRP_DATA_DIRECT, .count = 1 };
	u8 wire[SRP_DESC_BYTES], iu[1024];
	struct srp_desc d = raw_desc(&b->raw, 0, 512);
	u32 i, n = 0;

	data.descs = wire;
	srp_desc_put(wire, 0, &d);
	gate_set(GATE_WRITE, 0);
	for (i = 0; i < writes; i++)
		raw_send(&b->raw, iu, raw_rw(iu, 100 + i, true, 1024, 1, &data));
	assert_false(raw_recv_within(&b->raw, 20) && srp_iu_type(b->raw.got, b->raw.got_len) == SRP_RSP);
	gate_set(0, 0);
	while (raw_recv_within(&b->raw, 300) && srp_iu_type(b->raw.got, b->raw.got_len) == SRP_RSP)
		n++;
	return n;
}

static void overrun(u32 writes, bool logout)
{
	struct both b;
	u32 n;

	bed_open(&b.bed, MACHINE_IOMMU, 3);
	gate_make(&b.bed);
	b.t = bed_target(&b.bed, IB_POLL_WORKQUEUE);
	b.ini = bed_initiator(&b.bed, SRP_MEMORY_FAST);
	raw_ready(&b.raw, b.bed.dev[0], 0xaa);
	raw_attention(&b.raw);
	assert_int_equal(b.raw.rsp.delta, 33);
	n = send_writes(&b, writes);
	if (logout)
		assert_true(raw_ended(&b.raw));
	else
		assert_int_equal(n, writes);
	assert_int_equal(__atomic_load_n(&b.raw.gone, __ATOMIC_ACQUIRE), logout);
	both_close(&b);
}

static void test_overrun(void **state)
{
	(void)state;
	overrun(32, false);
	overrun(33, false);
	overrun(34, true);
	overrun(35, true);
}

/* --- logins --- */

static void login_refused(struct srp_bed *bed, const void *iu, u32 len, u32 reason)
{
	struct raw r;

	raw_open(&r, bed->dev[0]);
	assert_false(raw_login_bytes(&r, iu, len));
	assert_int_equal(r.reason, reason);
	raw_close(&r);
}

static void login_refused_req(struct srp_bed *bed, const struct srp_login_req *req, u32 reason)
{
	u8 iu[SRP_CM_PRIVATE];

	srp_login_req_encode(iu, sizeof(iu), req);
	login_refused(bed, iu, sizeof(iu), reason);
}

static void test_logins(void **state)
{
	struct srp_target_attr attr = { .name = DISK, .max_channels = 2 };
	struct srp_login_req req = raw_login_req(1);
	struct srp_target_stats st;
	struct srp_target *t, *twice;
	struct raw r[3];
	struct srp_bed b;
	u8 iu[64];

	(void)state;
	bed_open(&b, MACHINE_DIRECT, 0);
	attr.device = b.dev[1];
	attr.scsi = &b.scsi;
	attr.no_indirect = true;
	/* Nobody would poll. */
	attr.poll = IB_POLL_DIRECT;
	assert_int_equal(srp_target_create(&attr, &t), -EINVAL);
	attr.poll = IB_POLL_SOFTIRQ;
	assert_int_equal(srp_target_create(&attr, &t), 0);
	assert_int_equal(srp_target_create(&attr, &twice), -EADDRINUSE);
	srp_login_req_encode(iu, sizeof(iu), &req);
	/* Zeros stand for what isn't there: no formats, and then no initiator port. */
	login_refused(&b, iu, 0, SRP_REJ_CHANNEL);
	login_refused(&b, iu, 14, SRP_REJ_CHANNEL);
	iu[offsetof(struct srp_wire_login_req, type)] = SRP_CMD;
	login_refused(&b, iu, SRP_CM_PRIVATE, SRP_REJ_CHANNEL);
	login_refused_req(&b, &req, SRP_REJ_FORMAT);
	req.formats = SRP_FMT_DIRECT;
	req.it_iu_len = 63;
	login_refused_req(&b, &req, SRP_REJ_CHANNEL);
	req.it_iu_len = 1093;
	login_refused_req(&b, &req, SRP_REJ_IU_LENGTH);
	req.it_iu_len = 1092;
	req.flags = 3;
	login_refused_req(&b, &req, SRP_REJ_MULTICHAN);
	req.flags = SRP_MULTICHAN_MULTI;
	req.target_port[3] = 9;
	login_refused_req(&b, &req, SRP_REJ_ASSOCIATE);
	req.target_port[3] = 0;

	raw_open(&r[0], b.dev[0]);
	assert_true(raw_login(&r[0], &req));
	assert_int_equal(r[0].rsp.flags, SRP_MULTICHAN_NONE);
	assert_int_equal(r[0].rsp.formats, SRP_FMT_DIRECT);
	raw_open(&r[1], b.dev[0]);
	assert_true(raw_login(&r[1], &req));
	assert_int_equal(r[1].rsp.flags, SRP_MULTICHAN_KEPT);
	raw_attention(&r[0]); /* one nexus, one unit attention */
	login_refused_req(&b, &req, SRP_REJ_LIMIT);
	srp_target_get_stats(t, &st);
	assert_int_equal(st.channels, 2);
	assert_int_equal(st.nexuses, 1);
	/* a single-channel login of the same port ends both, and says so */
	req.flags = SRP_MULTICHAN_SINGLE;
	raw_open(&r[2], b.dev[0]);
	assert_true(raw_login(&r[2], &req));
	assert_int_equal(r[2].rsp.flags, SRP_MULTICHAN_ENDED);
	assert_true(raw_ended(&r[0]) && raw_ended(&r[1]));
	assert_true(raw_recv(&r[1]));
	assert_int_equal(srp_iu_type(r[1].got, r[1].got_len), SRP_T_LOGOUT);
	assert_int_equal(r[1].got[7], SRP_LOGOUT_RELOGIN);
	raw_attention(&r[2]); /* it's a new nexus */
	/* a logout of its own */
	srp_plain_encode(iu, sizeof(iu), SRP_I_LOGOUT, 3);
	raw_send(&r[2], iu, 16);
	assert_true(raw_ended(&r[2]));
	raw_close(&r[0]);
	raw_close(&r[1]);
	raw_close(&r[2]);
	srp_target_get_stats(t, &st);
	assert_int_equal(st.rejects, 9);
	assert_int_equal(st.logins, 3);
	srp_target_destroy(t);
	bed_close(&b);
}

static void test_indirect_refused(void **state)
{
	struct srp_target_attr attr = { .name = DISK, .no_indirect = true };
	struct srp_initiator_attr ia = { .name = DISK };
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_bed b;

	(void)state;
	bed_open(&b, MACHINE_DIRECT, 0);
	attr.device = b.dev[1];
	attr.scsi = &b.scsi;
	ia.device = b.dev[0];
	assert_int_equal(srp_initiator_connect(&ia, &ini), -ECONNREFUSED); /* nobody there */
	assert_int_equal(srp_target_create(&attr, &t), 0);
	assert_int_equal(srp_initiator_connect(&ia, &ini), -ECONNREFUSED);
	srp_target_destroy(t);
	bed_close(&b);
}

/* --- a target of rdma_cm's own calls --- */

struct listened {
	u8 data[256];
	u32 len, events;
};

static int on_login(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	const struct srp_login_rej rej = { .reason = SRP_REJ_LIMIT };
	struct srp_wire_login_rej iu;
	struct listened *l = id->context;

	if (event->event != RDMA_CM_EVENT_CONNECT_REQUEST)
		return 0;
	l->len = event->param.conn.private_data_len;
	memcpy(l->data, event->param.conn.private_data, l->len);
	srp_login_rej_encode(&iu, sizeof(iu), &rej);
	if (!rdma_reject(id, &iu, sizeof(iu), IB_CM_REJ_CONSUMER_DEFINED))
		__atomic_fetch_add(&l->events, 1, __ATOMIC_ACQ_REL);
	return 1;
}

/* What an initiator sends is private data of a REQ to a port of TCP's space; and what it reads, of a REJ. */
static void test_login_is_private_data(void **state)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(5555),
				    .sin_addr.s_addr = htonl(0x0a000002) };
	struct srp_initiator_attr ia = { .name = DISK, .memory = SRP_MEMORY_ALL };
	struct listened l = { .len = 0 };
	struct srp_initiator *ini;
	struct rdma_cm_id *id;
	struct srp_bed b;

	(void)state;
	bed_open(&b, MACHINE_DIRECT, 0);
	id = rdma_create_id(&init_net, on_login, &l, RDMA_PS_TCP, IB_QPT_RC);
	assert_false(IS_ERR(id));
	assert_int_equal(rdma_bind_addr(id, (struct sockaddr *)&addr), 0);
	assert_int_equal(rdma_listen(id, 0), 0);
	ia.device = b.dev[0];
	memset(ia.port_id, 0x5a, sizeof(ia.port_id));
	assert_int_equal(srp_initiator_connect(&ia, &ini), -ECONNREFUSED);
	assert_int_equal(__atomic_load_n(&l.events, __ATOMIC_ACQUIRE), 1);
	assert_int_equal(l.len, 56);
	assert_int_equal(l.data[8] << 8 | l.data[9], SRP_FMT_DIRECT | SRP_FMT_INDIRECT);
	assert_int_equal(l.data[10], SRP_MULTICHAN_SINGLE);
	assert_int_equal(l.data[11], SRP_LOGIN_REQ);
	assert_int_equal(l.data[14] << 8 | l.data[15], 500);
	assert_memory_equal(l.data + 16, ia.port_id, 16);
	rdma_destroy_id(id);
	bed_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_lying_commands),
		cmocka_unit_test(test_lying_fetched_table),
		cmocka_unit_test(test_outside),
		cmocka_unit_test(test_overrun),
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_login_is_private_data),
		cmocka_unit_test(test_indirect_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
