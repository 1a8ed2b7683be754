/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Completion channels and asynchronous events of the drop-in libibverbs, as descriptors that programs wait on. */
#include "shim_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, -1), 1);
}

static void send_one(struct bed *b, unsigned int flags)
{
	struct ibv_sge from = bed_sge(b, 0, 0, 8), to = bed_sge(b, 1, 0, 8);
	struct ibv_send_wr wr = { .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = flags };

	bed_recv(b->qp[1], 1, &to);
	bed_post(b->qp[0], &wr);
}

static void take_event(struct bed *b)
{
	struct ibv_cq *cq;
	void *context;

	assert_int_equal(ibv_get_cq_event(b->channel, &cq, &context), 0);
	assert_ptr_equal(cq, b->cq);
	assert_ptr_equal(context, b);
	ibv_ack_cq_events(cq, 1);
}

static void an_armed_queue_tells_once(void **state)
{
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	send_one(&b, 0);
	bed_poll(b.cq);
	assert_false(readable(b.channel->fd));
	assert_int_equal(ibv_req_notify_cq(b.cq, 0), 0);
	assert_false(readable(b.channel->fd));
	send_one(&b, 0);
	wait_readable(b.channel->fd);
	send_one(&b, 0);
	take_event(&b);
	assert_false(readable(b.channel->fd));
	bed_poll(b.cq);
	bed_poll(b.cq);
	bed_end(&b);
}

static void solicited_only(void **state)
{
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	assert_int_equal(ibv_req_notify_cq(b.cq, 1), 0);
	send_one(&b, 0);
	bed_poll(b.cq);
	assert_false(readable(b.channel->fd));
	send_one(&b, IBV_SEND_SOLICITED);
	wait_readable(b.channel->fd);
	take_event(&b);
	bed_poll(b.cq);
	bed_end(&b);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* A completion waits as long as was said for others, and no more is needed to report it; with others it may be reported sooner. */
static void moderated(void **state)
{
	struct ibv_modify_cq_attr attr = { .attr_mask = IBV_CQ_ATTR_MODERATE, .moderate = { .cq_count = 3 } };
	struct ibv_device_attr_ex dev;
	uint64_t begun;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	assert_int_equal(ibv_query_device_ex(b.ctx, NULL, &dev), 0);
	assert_int_equal(dev.cq_mod_caps.max_cq_count, 65535);
	assert_int_equal(dev.cq_mod_caps.max_cq_period, 65535);
	attr.moderate.cq_period = dev.cq_mod_caps.max_cq_period;
	assert_int_equal(ibv_modify_cq(b.cq, &attr), 0);
	assert_int_equal(ibv_req_notify_cq(b.cq, 0), 0);
	begun = now_us();
	send_one(&b, 0);
	bed_poll(b.cq);
	take_event(&b);
	assert_true(now_us() - begun >= attr.moderate.cq_period);
	assert_int_equal(ibv_req_notify_cq(b.cq, 0), 0);
	send_one(&b, 0);
	send_one(&b, 0);
	send_one(&b, 0);
	take_event(&b);
	bed_poll(b.cq);
	bed_poll(b.cq);
	bed_poll(b.cq);
	/* None waits any more. */
	attr.moderate.cq_count = attr.moderate.cq_period = 0;
	assert_int_equal(ibv_modify_cq(b.cq, &attr), 0);
	assert_int_equal(ibv_req_notify_cq(b.cq, 0), 0);
	send_one(&b, 0);
	wait_readable(b.channel->fd);
	take_event(&b);
	bed_poll(b.cq);
	bed_end(&b);
}

static void non_blocking(void **state)
{
	struct ibv_async_event event;
	struct ibv_cq *cq;
	struct bed b;
	void *context;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	assert_int_equal(fcntl(b.channel->fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(ibv_get_cq_event(b.channel, &cq, &context), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(fcntl(b.ctx->async_fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(ibv_get_async_event(b.ctx, &event), -1);
	assert_int_equal(errno, EAGAIN);
	bed_end(&b);
}

static void two_queues_on_a_channel(void **state)
{
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = { 4, 4, 1, 1, 0 } };
	struct ibv_cq *other, *cq;
	struct ibv_qp *qp[2];
	void *context;
	struct bed b;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	other = ibv_create_cq(b.ctx, 8, &other, b.channel, 0);
	assert_non_null(other);
	init.send_cq = other;
	init.recv_cq = other;
	for (i = 0; i < 2; i++)
		assert_non_null(qp[i] = ibv_create_qp(b.pd, &init));
	bed_connect(&b, qp[0], qp[1]->qp_num);
	bed_connect(&b, qp[1], qp[0]->qp_num);
	ibv_req_notify_cq(b.cq, 0);
	ibv_req_notify_cq(other, 0);
	send_one(&b, 0);
	bed_recv(qp[1], 5, NULL);
	bed_post(qp[0], &(struct ibv_send_wr){ .opcode = IBV_WR_SEND });
	bed_poll(b.cq);
	bed_poll(other);
	for (i = 0; i < 2; i++) {
		assert_int_equal(ibv_get_cq_event(b.channel, &cq, &context), 0);
		assert_ptr_equal(context, cq == other ? (void *)&other : (void *)&b);
		ibv_ack_cq_events(cq, 1);
	}
	assert_false(readable(b.channel->fd));
	assert_int_equal(ibv_destroy_qp(qp[0]), 0);
	assert_int_equal(ibv_destroy_qp(qp[1]), 0);
	assert_int_equal(ibv_destroy_cq(other), 0);
	bed_end(&b);
}

/* An event that nobody took goes with its queue. */
static void a_queue_goes_with_its_event(void **state)
{
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	ibv_req_notify_cq(b.cq, 0);
	send_one(&b, 0);
	wait_readable(b.channel->fd);
	assert_int_equal(ibv_destroy_qp(b.qp[0]), 0);
	assert_int_equal(ibv_destroy_qp(b.qp[1]), 0);
	assert_int_equal(ibv_destroy_cq(b.cq), 0);
	assert_false(readable(b.channel->fd));
	b.qp[0] = NULL;
	b.qp[1] = NULL;
	b.cq = ibv_create_cq(b.ctx, 1, NULL, b.channel, 0);
	bed_end(&b);
}

struct destroyer {
	struct bed *bed;
	int done;
};

static void *destroy_cq(void *arg)
{
	struct destroyer *d = arg;

	assert_int_equal(ibv_destroy_cq(d->bed->cq), 0);
	__atomic_store_n(&d->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ibv_get_cq_event(3): destroying a queue waits until what was got of it is acknowledged. */
static void destroying_waits_for_the_acknowledgement(void **state)
{
	struct destroyer d;
	pthread_t thread;
	struct ibv_cq *cq;
	void *context;
	struct bed b;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	ibv_req_notify_cq(b.cq, 0);
	send_one(&b, 0);
	assert_int_equal(ibv_get_cq_event(b.channel, &cq, &context), 0);
	for (i = 0; i < 2; i++) {
		assert_int_equal(ibv_destroy_qp(b.qp[i]), 0);
		b.qp[i] = NULL;
	}
	d = (struct destroyer){ .bed = &b };
	pthread_create(&thread, NULL, destroy_cq, &d);
	/* It can't be shown that it waits for ever, only that it hasn't returned. */
	usleep(20000);
	assert_int_equal(__atomic_load_n(&d.done, __ATOMIC_ACQUIRE), 0);
	ibv_ack_cq_events(cq, 1);
	pthread_join(thread, NULL);
	b.cq = ibv_create_cq(b.ctx, 1, NULL, b.channel, 0);
	bed_end(&b);
}

static void errors_of_a_queue_pair(void **state)
{
	struct ibv_async_event event;
	struct ibv_wc wc;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 8), (uintptr_t)b.mem[1], b.mr[1]->rkey + 1);
	assert_int_equal(wc.status, IBV_WC_REM_ACCESS_ERR);
	do {
		assert_int_equal(ibv_get_async_event(b.ctx, &event), 0);
		ibv_ack_async_event(&event);
	} while (event.event_type != IBV_EVENT_QP_ACCESS_ERR);
	assert_ptr_equal(event.element.qp, b.qp[1]);
	bed_end(&b);
}

static void an_overflow_is_told(void **state)
{
	struct ibv_async_event event;
	struct ibv_wc wc[8];
	struct bed b;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	assert_int_equal(ibv_resize_cq(b.cq, 3), 0);
	assert_int_equal(b.cq->cqe, 3);
	/* One more than was asked for has room; ibv_create_cq(3) allows it. */
	for (i = 0; i < 5; i++)
		send_one(&b, 0);
	do {
		assert_int_equal(ibv_get_async_event(b.ctx, &event), 0);
		ibv_ack_async_event(&event);
	} while (event.event_type != IBV_EVENT_CQ_ERR);
	assert_ptr_equal(event.element.cq, b.cq);
	assert_int_equal(ibv_poll_cq(b.cq, 8, wc), 4);
	assert_true(ibv_poll_cq(b.cq, 8, wc) < 0);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_armed_queue_tells_once),
		cmocka_unit_test(solicited_only),
		cmocka_unit_test(moderated),
		cmocka_unit_test(non_blocking),
		cmocka_unit_test(two_queues_on_a_channel),
		cmocka_unit_test(a_queue_goes_with_its_event),
		cmocka_unit_test(destroying_waits_for_the_acknowledgement),
		cmocka_unit_test(errors_of_a_queue_pair),
		cmocka_unit_test(an_overflow_is_told),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
