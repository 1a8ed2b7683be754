/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The initiator and those who ask it: each question has its own answer, each request
 * its time, also while it waits for its turn; and a done() that submits again is a
 * loop, whatever ends the requests.
 */
#include "srp_fake.h"

/* --- many askers --- */

#define ASKERS 4
#define ROUNDS 200

struct asker {
	pthread_t thread;
	struct srp_channel *ch;
	u32 wrong;
};

/* An abort of what was never submitted finds nothing, and never what another thread has asked for. */
static void *abort_nothing(void *arg)
{
	struct asker *a = arg;
	struct srp_request req = req_plain(0, 6);
	u32 i;

	for (i = 0; i < ROUNDS; i++)
		a->wrong += srp_abort(a->ch, &req) != -ENOENT;
	return NULL;
}

static void *reset(void *arg)
{
	static const u8 lun0[SCSI_LUN_LEN], lun1[SCSI_LUN_LEN] = { 0, 1 };
	struct asker *a = arg;
	u32 i;

	for (i = 0; i < ROUNDS; i++)
		a->wrong += srp_reset_lun(a->ch, i % 2 ? lun1 : lun0) != (i % 2 ? -EIO : 0);
	return NULL;
}

static void test_own_answers(void **state)
{
	struct srp_initiator_attr attr = { .channels = 2 };
	struct asker a[ASKERS] = { 0 };
	struct srp_initiator *ini;
	struct srp_target *t;
	struct told told;
	struct srp_bed b;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_DIRECT, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = connect_with(&b, &told, &attr);
	for (i = 0; i < ASKERS; i++) {
		a[i].ch = srp_initiator_channel(ini, i / 2);
		assert_int_equal(pthread_create(&a[i].thread, NULL, i % 2 ? reset : abort_nothing, &a[i]), 0);
	}
	for (i = 0; i < 20; i++)
		assert_int_equal(srp_reconnect(ini), 0);
	for (i = 0; i < ASKERS; i++)
		pthread_join(a[i].thread, NULL);
	for (i = 0; i < ASKERS; i++)
		assert_int_equal(a[i].wrong, 0);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

/* --- time --- */

/* A target that answers and never gives a credit back: those that wait for one have their time, too. */
static void test_time_in_queue(void **state)
{
	struct srp_initiator_attr attr = { .depth = 16, .timeout_ms = 100 };
	struct srp_request req[10];
	struct srp_initiator_stats st;
	struct srp_initiator *ini;
	struct told told;
	struct srp_bed b;
	struct fake f;
	u32 i;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	fake_open(&f, &b);
	ini = connect_with(&b, &told, &attr);
	for (i = 0; i < 10; i++) {
		req[i] = tur(&told);
		req[i].timeout_ms = i == 9 ? SRP_NO_TIMEOUT : 0;
		srp_submit(srp_initiator_channel(ini, 0), &req[i]);
	}
	for (i = 0; i < 7; i++)
		respond(&f, next_command(&f), 0);
	assert_true(eventually(count(&told.done) == 9));
	for (i = 0; i < 9; i++)
		assert_int_equal(req[i].error, i < 7 ? 0 : -ETIMEDOUT);
	srp_initiator_get_stats(ini, &st);
	assert_int_equal(st.timeouts, 2);
	assert_int_equal(st.aborts, 0);
	assert_int_equal(count(&told.lost), 0);
	srp_initiator_destroy(ini);
	assert_int_equal(count(&told.done), 10);
	assert_int_equal(req[9].error, -EIO);
	fake_close(&f);
	bed_close(&b);
}

/* Slow is not failed: a command without a timeout may take many times what others may. */
static void test_no_timeout(void **state)
{
	struct srp_initiator_attr attr = { .timeout_ms = 40, .abort_ms = 40 };
	struct srp_initiator_stats st;
	struct srp_initiator *ini;
	struct srp_request req;
	struct srp_target *t;
	struct bed_list l;
	struct told told;
	struct srp_bed b;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	gate_make(&b);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = connect_with(&b, &told, &attr);
	list_make(&b, &l, SHAPE_PAGE, 4096, 3);
	req = req_rw(&l, true, 0);
	req.timeout_ms = SRP_NO_TIMEOUT;
	req.done = on_done;
	req.ctx = &told.done;
	gate_set(GATE_WRITE, 0);
	srp_submit(srp_initiator_channel(ini, 0), &req);
	gate_wait();
	usleep(300000);
	assert_int_equal(count(&told.done), 0);
	gate_set(0, 0);
	assert_true(eventually(count(&told.done) == 1));
	assert_int_equal(req.error, 0);
	srp_initiator_get_stats(ini, &st);
	assert_int_equal(st.timeouts, 0);
	list_free(&l);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

/* --- submitting from done() --- */

struct again {
	struct srp_channel *ch;
	u32 left; /* atomic */
	u32 deepest; /* atomic: calls of done() within each other */
};

static __thread u32 deep;

static void submit_again(struct srp_request *req)
{
	struct again *a = req->ctx;

	/* The thread that finds 0 left is the last to touch it. */
	if (++deep > 1)
		__atomic_store_n(&a->deepest, deep, __ATOMIC_RELAXED);
	if (__atomic_sub_fetch(&a->left, 1, __ATOMIC_ACQ_REL))
		srp_submit(a->ch, req);
	deep--;
}

static void again_and_again(struct srp_channel *ch, struct srp_request req, u32 times, int error)
{
	struct again a = { .ch = ch, .left = times };

	req.done = submit_again;
	req.ctx = &a;
	srp_submit(ch, &req);
	assert_true(eventually(!__atomic_load_n(&a.left, __ATOMIC_ACQUIRE)));
	assert_int_equal(req.error, error);
	assert_int_equal(__atomic_load_n(&a.deepest, __ATOMIC_RELAXED), 0);
}

static void test_submit_again(void **state)
{
	struct srp_initiator_attr attr = { .reconnect_ms = 10 };
	struct srp_initiator *ini;
	struct srp_channel *ch;
	struct srp_request req;
	struct srp_target *t;
	struct bed_list l;
	struct told told;
	struct srp_bed b;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = connect_with(&b, &told, &attr);
	ch = srp_initiator_channel(ini, 0);
	list_make(&b, &l, SHAPE_PAGE, 4096, 3);
	again_and_again(ch, req_plain(0, 6), 5000, 0);
	again_and_again(ch, req_plain(0, 5), 5000, -EINVAL);
	req = req_rw(&l, false, 0);
	req.len = 8192; /* more than the list has */
	again_and_again(ch, req, 5000, -EINVAL);
	srp_target_destroy(t);
	assert_true(eventually(count(&told.lost) == 1));
	again_and_again(ch, req_plain(0, 6), 50000, -EIO);
	list_free(&l);
	srp_initiator_destroy(ini);
	bed_close(&b);
}

/* Nor does one that always submits again keep the initiator from coming back. */
static void test_comes_back(void **state)
{
	struct srp_initiator_attr attr = { .reconnect_ms = 10 };
	struct again a = { .left = ~0u };
	struct srp_request req = req_plain(0, 6);
	struct srp_initiator *ini;
	struct srp_target *t;
	struct told told;
	struct srp_bed b;

	(void)state;
	bed_open(&b, MACHINE_IOMMU, 3);
	t = bed_target(&b, IB_POLL_SOFTIRQ);
	ini = connect_with(&b, &told, &attr);
	a.ch = srp_initiator_channel(ini, 0);
	srp_target_destroy(t);
	assert_true(eventually(count(&told.lost) == 1));
	req.done = submit_again;
	req.ctx = &a;
	srp_submit(a.ch, &req);
	t = bed_target(&b, IB_POLL_WORKQUEUE);
	assert_true(eventually(count(&told.live) == 2));
	__atomic_store_n(&a.left, 1, __ATOMIC_RELEASE);
	assert_true(eventually(!__atomic_load_n(&a.left, __ATOMIC_ACQUIRE)));
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	bed_close(&b);
}

/* --- permanent errors --- */

/* A platform's limit of one mapping: an entry that is longer is an error for ever, not "no memory now". */
static void test_long_entry(void **state)
{
	struct device_attr da = { .name = "short", .dma_mask = DMA_BIT_MASK(32) };
	struct ib_dma_config config = { .ledger = true };
	struct srp_request req = { .cdb = { 0x28, [7] = 2, [8] = 1 }, .cdb_len = 10, .dir = DMA_FROM_DEVICE };
	const struct machine_attr ma = { .platform = MACHINE_BOUNCE, .low_bytes = 48 * MIB, .bounce_bytes = 4 * MIB };
	struct srp_target_attr ta = { .name = DISK, .chunk = 65536, .depth = 4, .max_channels = 2 };
	struct srp_initiator_attr ia = { .name = DISK, .depth = 4, .max_sg = 16 };
	struct srp_initiator *ini;
	struct scatterlist sg[2];
	struct srp_target *t;
	struct ib_device *dev;
	struct device *bus;
	struct page *page;
	struct srp_bed b;
	size_t most;

	(void)state;
	bed_open_with(&b, &ma, 3, true);
	ta.device = b.dev[1];
	ta.scsi = &b.scsi;
	assert_int_equal(srp_target_create(&ta, &t), 0);
	assert_int_equal(device_create(b.machine, &da, &bus), 0);
	assert_int_equal(dmahca_create(bus, "short", &config, &dev), 0);
	bed_addr(dev, 3);
	most = srp_max_entry(dev);
	assert_int_equal(most, dma_max_mapping_size(bus));
	assert_int_equal(most, 256u << 10);
	ia.device = dev;
	assert_int_equal(srp_initiator_connect(&ia, &ini), 0);
	page = machine_alloc_pages(b.machine, GFP_KERNEL, 7);
	assert_non_null(page);
	req.nents = 1;
	req.sgl = sg;
	req.len = (256u << 10) + 512;
	sg_init_table(sg, 2);
	sg_set_page(&sg[0], page, (256u << 10) + 512, 0);
	sg_mark_end(&sg[0]);
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req), -EMSGSIZE);
	/* in two entries it goes */
	sg_init_table(sg, 2);
	sg_set_page(&sg[0], page, 256u << 10, 0);
	sg_set_page(&sg[1], nth_page(page, 64), 512, 0);
	req.nents = 2;
	assert_int_equal(srp_execute(srp_initiator_channel(ini, 0), &req), 0);
	assert_int_equal(req.residual, 0);
	__free_pages(page, 7);
	srp_initiator_destroy(ini);
	srp_target_destroy(t);
	assert_int_equal(dmahca_destroy(dev), 0);
	device_destroy(bus);
	bed_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_answers), cmocka_unit_test(test_time_in_queue),
		cmocka_unit_test(test_no_timeout),  cmocka_unit_test(test_submit_again),
		cmocka_unit_test(test_comes_back),  cmocka_unit_test(test_long_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
