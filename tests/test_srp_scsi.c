/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SCSI commands over SRP, on every pair of adapters: each command with data, what is
 * left over or missing, and what an initiator hears when the medium fails.
 */
#include "srp_fixture.h"

struct pair {
	struct srp_bed bed;
	struct srp_target *t;
	struct srp_initiator *ini;
	struct srp_channel *ch;
};

static void pair_open(struct pair *p, enum machine_platform platform, int pair, enum srp_memory memory)
{
	struct srp_target_attr attr = { .name = DISK, .chunk = 256 << 10 };

	bed_open(&p->bed, platform, pair);
	gate_make(&p->bed);
	random_bytes(p->bed.disk, 256 * BLOCK, 77);
	attr.device = p->bed.dev[1];
	attr.scsi = &p->bed.scsi;
	assert_int_equal(srp_target_create(&attr, &p->t), 0);
	p->ini = bed_initiator(&p->bed, memory);
	p->ch = srp_initiator_channel(p->ini, 0);
}

static void pair_close(struct pair *p)
{
	srp_initiator_destroy(p->ini);
	srp_target_destroy(p->t);
	bed_close(&p->bed);
}

/* A command with @len bytes at @data, which go or come through a list. */
static int run_shape(struct pair *p, struct srp_request *req, enum bed_shape shape, void *data, u32 len, bool write)
{
	struct bed_list l;
	int err;

	list_make(&p->bed, &l, shape, len, len);
	if (write)
		list_fill(&l, data);
	req->sgl = l.sgl;
	req->nents = l.n;
	req->len = len;
	req->dir = write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	err = srp_execute(p->ch, req);
	if (!write)
		list_read(&l, data);
	list_free(&l);
	return err;
}

static int run(struct pair *p, const u8 *cdb, u8 cdb_len, void *data, u32 len, bool write, struct srp_request *req)
{
	*req = (struct srp_request){ .cdb_len = cdb_len, .dir = DMA_NONE };
	memcpy(req->cdb, cdb, cdb_len);
	if (len)
		return run_shape(p, req, SHAPE_GAPS, data, len, write);
	return srp_execute(p->ch, req);
}

#define CDB(...) ((const u8[]){ __VA_ARGS__ })
#define RUN(data, len, write, ...) run(p, CDB(__VA_ARGS__), sizeof(CDB(__VA_ARGS__)), data, len, write, &req)

static void check_inquiries(struct pair *p)
{
	struct srp_request req;
	u8 d[256];

	assert_int_equal(RUN(d, 96, false, 0x12, 0, 0, 0, 96, 0), 0);
	assert_int_equal(d[0], 0);
	assert_true(req.moved >= 36);
	assert_int_equal(req.residual, 96 - req.moved);
	assert_int_equal(RUN(d, 255, false, 0x12, 1, 0x83, 0, 255, 0), 0);
	assert_int_equal(d[1], 0x83);
	assert_int_equal(req.moved, 4 + (d[2] << 8 | d[3]));
	assert_int_equal(RUN(d, 8, false, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(d[0] << 24 | d[1] << 16 | d[2] << 8 | d[3], DISK_BYTES / BLOCK - 1);
	assert_int_equal(d[6] << 8 | d[7], BLOCK);
	assert_int_equal(RUN(d, 32, false, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0), 0);
	assert_int_equal(d[5] << 16 | d[6] << 8 | d[7], DISK_BYTES / BLOCK - 1);
	assert_int_equal(RUN(d, 192, false, 0x1a, 0, 0x3f, 0, 192, 0), 0);
	assert_int_equal(req.moved, d[0] + 1);
	assert_int_equal(RUN(d, 16, false, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0), 0);
	assert_int_equal(d[3], 8);
	assert_int_equal(RUN(NULL, 0, false, 0, 0, 0, 0, 0, 0), 0);
}

static void check_block(struct pair *p, u32 lba, const u8 *want, u32 blocks)
{
	assert_memory_equal(p->bed.disk + (size_t)lba * BLOCK, want, (size_t)blocks * BLOCK);
}

static void check_reads_and_writes(struct pair *p)
{
	struct srp_request req;
	u8 d[4 * BLOCK], e[4 * BLOCK];

	random_bytes(d, sizeof(d), 1);
	assert_int_equal(RUN(d, 1024, true, 0x0a, 0, 1, 0, 2, 0), 0); /* WRITE (6) at 256 */
	check_block(p, 256, d, 2);
	assert_int_equal(RUN(d, 1536, true, 0x2a, 0, 0, 0, 1, 9, 0, 0, 3, 0), 0); /* WRITE (10) at 265 */
	check_block(p, 265, d, 3);
	assert_int_equal(RUN(d, 2048, true, 0xaa, 0, 0, 0, 1, 20, 0, 0, 0, 4, 0, 0), 0); /* WRITE (12) at 276 */
	check_block(p, 276, d, 4);
	assert_int_equal(RUN(d + 512, 512, true, 0x8a, 8, 0, 0, 0, 0, 0, 0, 1, 21, 0, 0, 0, 1, 0, 0),
			 0); /* (16), FUA */
	check_block(p, 277, d + 512, 1);
	assert_int_equal(RUN(e, 1024, false, 0x08, 0, 1, 0, 2, 0), 0);
	assert_memory_equal(e, d, 1024);
	assert_int_equal(RUN(e, 1536, false, 0x28, 0, 0, 0, 1, 9, 0, 0, 3, 0), 0);
	assert_memory_equal(e, d, 1536);
	assert_int_equal(RUN(e, 2048, false, 0xa8, 0, 0, 0, 1, 20, 0, 0, 0, 4, 0, 0), 0);
	assert_memory_equal(e, d, 2048);
	assert_int_equal(RUN(e, 512, false, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 1, 0, 0), 0);
	assert_memory_equal(e, d, 512);
	/* VERIFY with the bytes, right and wrong; WRITE SAME, UNMAP, SYNCHRONIZE CACHE */
	assert_int_equal(RUN(d, 1024, true, 0x2f, 2, 0, 0, 1, 20, 0, 0, 2, 0), 0);
	d[700]++;
	assert_int_equal(RUN(d, 1024, true, 0x2f, 2, 0, 0, 1, 20, 0, 0, 2, 0), -EREMOTEIO);
	assert_int_equal(req.sense[2] & 15, SCSI_MISCOMPARE);
	assert_int_equal(RUN(d, 512, true, 0x93, 0, 0, 0, 0, 0, 0, 0, 1, 64, 0, 0, 0, 16, 0, 0), 0);
	check_block(p, 320, d, 1);
	check_block(p, 335, d, 1);
	memset(e, 0, sizeof(e));
	e[1] = 22;
	e[3] = 16;
	e[14] = 1; /* block 0x140 */
	e[15] = 64;
	e[19] = 8;
	assert_int_equal(RUN(e, 24, true, 0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0), 0);
	memset(e, 0, sizeof(e));
	check_block(p, 320, e, 4);
	check_block(p, 335, d, 1);
	assert_int_equal(RUN(NULL, 0, false, 0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
	assert_int_equal(RUN(NULL, 0, false, 0x91, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0);
}

/* A buffer that isn't as long as what the CDB says. */
static void check_residuals(struct pair *p)
{
	struct srp_request req;
	u8 d[4 * BLOCK];

	memset(d, 0xee, sizeof(d));
	assert_int_equal(RUN(d, 2048, false, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 0); /* one block of four */
	assert_int_equal(req.residual, 1536);
	assert_int_equal(req.moved, 512);
	check_block(p, 0, d, 1);
	assert_int_equal(RUN(d, 512, false, 0x28, 0, 0, 0, 0, 0, 0, 0, 4, 0), 0); /* four blocks into one */
	assert_int_equal(req.residual, -1536);
	assert_int_equal(req.moved, 512);
	assert_int_equal(RUN(NULL, 0, false, 0x28, 0, 0, 0, 0, 0, 0, 0, 4, 0), 0);
	assert_int_equal(req.residual, -2048);
	assert_int_equal(RUN(d, 512, true, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 0); /* data the wrong way */
	assert_int_equal(req.moved, 0);
	assert_int_equal(RUN(d, 512, false, 0, 0, 0, 0, 0, 0), 0); /* none at all */
	assert_int_equal(req.moved, 0);
	assert_int_equal(req.residual, 512);
}

static void failed(struct srp_request *req, int err, u8 key, u16 asc)
{
	assert_int_equal(err, -EREMOTEIO);
	assert_int_equal(req->status, SCSI_CHECK_CONDITION);
	assert_true(req->sense_len >= 14);
	assert_int_equal(req->sense[2] & 15, key);
	assert_int_equal(req->sense[12] << 8 | req->sense[13], asc);
}

static void check_refusals(struct pair *p)
{
	struct srp_request req;
	u8 d[2 * BLOCK];

	failed(&req, RUN(NULL, 0, false, 0xe7, 0, 0, 0, 0, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_OPCODE);
	failed(&req, RUN(d, 512, false, 0x28, 0, 0xff, 0, 0, 0, 0, 0, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
	assert_int_equal(req.residual, 512);
	failed(&req, RUN(d, 512, true, 0x2a, 0, 0, 0, 0x40, 0, 0, 0, 1, 0), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LBA_RANGE);
	req = (struct srp_request){ .cdb_len = 6, .lun = { 0, 1 }, .dir = DMA_NONE };
	failed(&req, srp_execute(p->ch, &req), SCSI_ILLEGAL_REQUEST, SCSI_ASC_LUN);
}

static void test_commands(void **state)
{
	static const enum machine_platform platforms[] = { MACHINE_DIRECT, MACHINE_IOMMU };
	struct pair p;
	u32 i;
	int pair, memory;

	(void)state;
	for (i = 0; i < 2; i++) {
		for (pair = 0; pair < 4; pair++) {
			for (memory = 0; memory <= SRP_MEMORY_ALL; memory++) {
				pair_open(&p, platforms[i], pair, memory);
				check_inquiries(&p);
				check_reads_and_writes(&p);
				check_residuals(&p);
				check_refusals(&p);
				pair_close(&p);
			}
		}
	}
}

/* --- a medium that fails --- */

static void fail_medium(int read_error, int write_error, u64 at)
{
	pthread_mutex_lock(&bed_gate.lock);
	bed_gate.read_error = read_error;
	bed_gate.write_error = write_error;
	bed_gate.error_at = at;
	pthread_mutex_unlock(&bed_gate.lock);
}

static void test_medium(void **state)
{
	static u8 d[768 * 1024];
	struct srp_request req;
	struct pair p_, *p = &p_;
	u32 i;

	(void)state;
	pair_open(p, MACHINE_IOMMU, 3, SRP_MEMORY_FAST);
	fail_medium(-EIO, -ENOSPC, 0);
	failed(&req, RUN(d, 512, false, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), SCSI_MEDIUM_ERROR, SCSI_ASC_READ_ERROR);
	assert_int_equal(req.moved, 0);
	failed(&req, RUN(d, 512, true, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0), SCSI_DATA_PROTECT, SCSI_ASC_NO_SPACE);
	/* in the second of three pieces: the first one has gone */
	fail_medium(-EIO, -EIO, 300 * 1024);
	for (i = 0; i < 2; i++) {
		req = (struct srp_request){ .cdb = { i ? 0x2a : 0x28, 0, 0, 0, 0, 0, 0, 0x06, 0, 0 }, .cdb_len = 10 };
		failed(&req, run_shape(p, &req, SHAPE_PAGES, d, sizeof(d), i), SCSI_MEDIUM_ERROR,
		       i ? SCSI_ASC_WRITE_ERROR : SCSI_ASC_READ_ERROR);
		assert_true(req.moved < sizeof(d));
		assert_true(req.residual > 0);
	}
	fail_medium(0, 0, 0);
	assert_int_equal(RUN(d, 512, false, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0), 0);
	assert_int_equal(run_shape(p, &req, SHAPE_PAGES, d, 512, false), 0);
	pair_close(p);
}

/* A megabyte in one command, by every way to name it: more than a piece, more than an MR. */
static void test_long(void **state)
{
	static u8 want[1 << 20], got[1 << 20];
	struct srp_request req;
	struct srp_target_stats st;
	struct pair p;
	int memory;

	(void)state;
	for (memory = 0; memory <= SRP_MEMORY_ALL; memory++) {
		pair_open(&p, MACHINE_IOMMU, 3, memory);
		random_bytes(want, sizeof(want), memory);
		req = (struct srp_request){ .cdb = { 0x2a, 0, 0, 0, 8, 0, 0, 8, 0, 0 }, .cdb_len = 10 };
		assert_int_equal(run_shape(&p, &req, SHAPE_PAGES, want, sizeof(want), true), 0);
		assert_memory_equal(p.bed.disk + MIB, want, sizeof(want));
		req.cdb[0] = 0x28;
		assert_int_equal(run_shape(&p, &req, SHAPE_ODD, got, sizeof(got) - 4096, false), 0);
		assert_int_equal(req.residual, -4096);
		assert_memory_equal(got, want, sizeof(got) - 4096);
		srp_target_get_stats(p.t, &st);
		assert_int_equal(st.bytes_out, 1 << 20);
		assert_int_equal(st.bytes_in, (1 << 20) - 4096);
		pair_close(&p);
	}
}

/* --- memory that isn't there --- */

/* Each allocation of ours fails in its turn; nothing is left behind, and the next try may work. */
static void test_no_memory(void **state)
{
	struct srp_target_attr ta = { .name = DISK };
	struct srp_initiator_attr ia = { .name = DISK, .channels = 2 };
	struct srp_initiator *ini;
	struct srp_target *t;
	struct srp_bed b;
	int memory, err = -1;
	u32 n;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	ta.device = b.dev[1];
	ta.scsi = &b.scsi;
	ia.device = b.dev[0];
	for (memory = 0; memory <= SRP_MEMORY_ALL; memory++) {
		ia.memory = memory;
		for (n = 1, err = -1; err; n++) {
			__atomic_store_n(&srp_alloc_fail_at, n, __ATOMIC_RELAXED);
			err = srp_target_create(&ta, &t);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				continue;
			}
			err = srp_initiator_connect(&ia, &ini);
			if (!err)
				srp_initiator_destroy(ini);
			else
				assert_true(err == -ENOMEM || err == -ECONNREFUSED || err == -ETIMEDOUT);
			srp_target_destroy(t);
			assert_true(n < 200);
		}
		assert_true(n > 15);
	}
	srp_alloc_fail_at = 0;
	bed_close(&b);
}

/* I/O addresses run out: requests fail and say so, and work again when there are some. */
static void test_no_addresses(void **state)
{
	const struct machine_attr attr = { .platform = MACHINE_IOMMU,
					   .low_bytes = 16 * MIB,
					   .iommu_aperture = 2 * MIB };
	struct srp_initiator_attr ia = { .name = DISK, .depth = 4 };
	struct srp_request req;
	struct bed_list l[4];
	struct pair p;
	dma_addr_t hog[512];
	u32 i, n = 0;
	void *page;

	(void)state;
	bed_open_with(&p.bed, &attr, 3, true);
	gate_make(&p.bed);
	p.t = bed_target(&p.bed, IB_POLL_SOFTIRQ);
	ia.device = p.bed.dev[0];
	assert_int_equal(srp_initiator_connect(&ia, &p.ini), 0);
	list_make(&p.bed, &l[0], SHAPE_PAGES, 65536, 1);
	page = page_address(l[0].pages[0]);
	for (n = 0; n < 512; n++) {
		hog[n] = ib_dma_map_single(p.bed.dev[0], page, 4096, DMA_TO_DEVICE);
		if (ib_dma_mapping_error(p.bed.dev[0], hog[n]))
			break;
	}
	req = req_rw(&l[0], true, 0);
	assert_int_equal(srp_execute(srp_initiator_channel(p.ini, 0), &req), -ENOSPC);
	for (i = 0; i < n; i++)
		ib_dma_unmap_single(p.bed.dev[0], hog[i], 4096, DMA_TO_DEVICE);
	assert_int_equal(srp_execute(srp_initiator_channel(p.ini, 0), &req), 0);
	list_free(&l[0]);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),  cmocka_unit_test(test_medium),       cmocka_unit_test(test_long),
		cmocka_unit_test(test_no_memory), cmocka_unit_test(test_no_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
