/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Residuals (SRP r16a 6.9, SAM-4 5.4.1) of every direction and length against a plain model: the direction is the
 * command's, and each buffer's residual is what it has more (under) or less (over, negative) than the command moves that way.
 */
#include "srp_raw.h"

#define MOST 24u /* blocks */

enum way { NONE, OUT, IN };

struct model {
	enum way way; /* of the command */
	u32 moves; /* bytes that it asks to move */
	u32 out, in; /* bytes of the buffers; 0: none */
};

/* What a response says of a command that has ended with GOOD. */
static s64 residual(const struct model *m, enum way way)
{
	s64 room = way == OUT ? m->out : m->in;

	return room - (m->way == way ? m->moves : 0);
}

static struct model random_model(u64 *seed)
{
	struct model m = { .way = (enum way)bed_random(seed, 3) };
	u32 buffers = bed_random(seed, 4);

	m.moves = m.way == NONE ? 0 : bed_random(seed, 3) * 512 * (1 + bed_random(seed, MOST / 2));
	m.out = buffers & 1 ? 1 + bed_random(seed, MOST * 512) : 0;
	m.in = buffers & 2 ? 1 + bed_random(seed, MOST * 512) : 0;
	/* exact lengths would be rare */
	if (m.way == OUT && m.out && m.moves && !bed_random(seed, 3))
		m.out = m.moves;
	if (m.way == IN && m.in && m.moves && !bed_random(seed, 3))
		m.in = m.moves;
	/* whole blocks: what becomes of half a block is another matter */
	m.out = (m.out + 511) & ~511u;
	return m;
}

static void fill_cdb(const struct model *m, u8 cdb[10])
{
	memset(cdb, 0, 10);
	if (m->way == NONE) {
		cdb[0] = 0x35; /* SYNCHRONIZE CACHE */
		return;
	}
	cdb[0] = m->way == OUT ? 0x2a : 0x28;
	cdb[7] = (u8)(m->moves / 512 >> 8);
	cdb[8] = (u8)(m->moves / 512);
}

static void check_raw(struct raw *r, const struct model *m, u64 tag)
{
	static const u8 lun[SCSI_LUN_LEN];
	struct srp_data out = { .format = SRP_DATA_NONE }, in = out;
	struct srp_desc d[2] = { raw_desc(r, 0, m->out), raw_desc(r, 65536, m->in) };
	u8 iu[256], wire[2][SRP_DESC_BYTES], cdb[10];
	struct srp_rsp rsp;

	fill_cdb(m, cdb);
	srp_desc_put(wire[0], 0, &d[0]);
	srp_desc_put(wire[1], 0, &d[1]);
	if (m->out)
		out = (struct srp_data){ .format = SRP_DATA_DIRECT, .count = 1, .descs = wire[0] };
	if (m->in)
		in = (struct srp_data){ .format = SRP_DATA_DIRECT, .count = 1, .descs = wire[1] };
	raw_send(r, iu, srp_cmd_encode(iu, sizeof(iu), tag, lun, cdb, sizeof(cdb), &out, &in));
	rsp = raw_rsp(r, tag);
	assert_int_equal(rsp.status, SCSI_GOOD);
	assert_int_equal(rsp.out_residual, residual(m, OUT));
	assert_int_equal(rsp.in_residual, residual(m, IN));
}

/* At the target: also with two buffers, which our initiator never sends. */
static void test_target(void **state)
{
	u64 seed = 4711, tag = 100;
	struct srp_target *t;
	struct srp_bed b;
	struct raw r;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	raw_ready(&r, b.dev[0], 1);
	raw_attention(&r);
	for (i = 0; i < 2000; i++) {
		struct model m = random_model(&seed);

		check_raw(&r, &m, tag++);
	}
	raw_close(&r);
	srp_target_destroy(t);
	bed_close(&b);
}

static void check_request(struct srp_bed *b, struct srp_channel *ch, const struct model *m, u64 seed)
{
	enum way list = m->out ? OUT : m->in ? IN : NONE;
	enum way own = list ? list : m->way; /* without a list: the command's */
	u32 len = list == OUT ? m->out : list == IN ? m->in : 0;
	struct srp_request req = { .cdb_len = 10, .dir = DMA_NONE };
	struct bed_list l = { 0 };

	fill_cdb(m, req.cdb);
	if (list) {
		list_make(b, &l, (enum bed_shape)bed_random(&seed, SHAPE_CRUMBS), len, seed);
		req.dir = list == OUT ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
		req.sgl = l.sgl;
		req.nents = l.n;
		req.len = len;
	}
	assert_int_equal(srp_execute(ch, &req), 0);
	assert_int_equal(req.residual, own ? residual(m, own) : 0);
	assert_int_equal(req.other_residual, own ? residual(m, own == OUT ? IN : OUT) : 0);
	assert_int_equal(req.moved, list && m->way == list ? SRP_MIN(len, m->moves) : 0);
	list_free(&l);
}

static void test_initiator(void **state)
{
	u64 seed = 815;
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_bed b;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = bed_initiator(&b, SRP_MEMORY_FAST);
	for (i = 0; i < 1000; i++) {
		struct model m = random_model(&seed);

		if (m.out)
			m.in = 0;
		check_request(&b, srp_initiator_channel(ini, 0), &m, seed);
	}
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

/* The cases by name. */
static void test_named(void **state)
{
	static const struct model rows[] = {
		{ OUT, 512, 0, 0 },    { IN, 512, 0, 0 },     { OUT, 512, 0, 512 }, { IN, 512, 512, 0 },
		{ OUT, 1024, 512, 0 }, { OUT, 512, 1024, 0 }, { IN, 1024, 0, 512 }, { IN, 512, 0, 1024 },
		{ NONE, 0, 512, 0 },   { NONE, 0, 0, 100 },   { NONE, 0, 0, 0 },    { OUT, 0, 512, 0 },
		{ IN, 0, 0, 512 },     { IN, 512, 0, 700 },   { IN, 512, 0, 1 },
	};
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_bed b;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = bed_initiator(&b, SRP_MEMORY_ALL);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_request(&b, srp_initiator_channel(ini, 0), &rows[i], i);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

/* What scsi_limit() refuses has moved nothing, and its residual is that of all its length (SAM-4 5.4.1). */
static void test_refused(void **state)
{
	static const struct {
		u8 op, flags;
		u32 moves, out;
	} rows[] = {
		{ 0x2a, 0, 4 * 512, 700 }, /* half a block */
		{ 0x2e, 0, 4 * 512, 700 }, { 0x2f, 2, 4 * 512, 512 }, /* VERIFY of a part */
		{ 0x2f, 2, 4 * 512, 0 },   { 0x41, 0, 512, 511 }, /* WRITE SAME: too few */
		{ 0x41, 0, 512, 0 },	   { 0x41, 0, 512, 1024 }, /* and too many */
	};
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_bed b;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = bed_initiator(&b, SRP_MEMORY_ALL);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct srp_request req = { .cdb = { rows[i].op, rows[i].flags, [8] = 4 },
					   .cdb_len = 10,
					   .dir = DMA_NONE };
		struct bed_list l = { 0 };

		if (rows[i].out) {
			list_make(&b, &l, SHAPE_PAGE, rows[i].out, i);
			req.dir = DMA_TO_DEVICE;
			req.sgl = l.sgl;
			req.nents = l.n;
			req.len = rows[i].out;
		}
		srp_execute(srp_initiator_channel(ini, 0), &req);
		assert_int_equal(req.error, 0);
		assert_int_equal(req.status, SCSI_CHECK_CONDITION);
		assert_int_equal(req.sense[2] & 15, SCSI_ILLEGAL_REQUEST);
		assert_int_equal(req.sense[12] << 8 | req.sense[13], SCSI_ASC_UNIT_FIELD);
		assert_int_equal(req.residual, (s64)rows[i].out - rows[i].moves);
		assert_int_equal(req.other_residual, 0);
		list_free(&l);
	}
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_named),
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_initiator),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
