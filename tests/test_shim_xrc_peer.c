/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A shared receive queue of XRC in the drop-in libibverbs, and a message of another process that stays unfinished in it:
 * the sender posts more than the wire has room for, and is stopped when the first piece is there. What the receiver may do meanwhile, and when the sender dies.
 */
#include "shim_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define MESSAGE (256u << 20) /* more than a ring has room for */
#define MARK 0x77

struct name {
	uint32_t qpn;
	uint32_t srqn;
};

static pid_t sender;
static int line; /* to the sender */
static uint8_t *mem;
static struct ibv_context *ctx[2];
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_mr *mr;
static struct ibv_xrcd *xrcd[2];
static struct ibv_srq *srq;
static struct ibv_qp *tgt[2]; /* the same one, opened in each context */

static int connect_to(struct ibv_qp *qp, uint32_t to)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = BED_ACCESS };
	int err = ibv_modify_qp(qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);

	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				  .path_mtu = IBV_MTU_1024,
				  .dest_qp_num = to,
				  .min_rnr_timer = 1,
				  .timeout = 20,
				  .retry_cnt = 7,
				  .rnr_retry = 7,
				  .ah_attr = { .port_num = 1, .is_global = 1 } };
	err |= ibv_query_gid(qp->context, 1, 0, &a.ah_attr.grh.dgid);
	err |= ibv_modify_qp(qp, &a,
			     IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				     IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER);
	a.qp_state = IBV_QPS_RTS;
	return err | ibv_modify_qp(qp, &a,
				   IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
					   IBV_QP_MAX_QP_RD_ATOMIC);
}

/* --- the sender, in a process of its own --- */

#define NEED(c) ((c) ? (void)0 : _exit(__LINE__ & 0x7f))

static void be_sender(int fd)
{
	struct ibv_context *c = bed_open();
	struct ibv_qp_init_attr init = { .cap = { .max_send_wr = 1, .max_send_sge = 1 }, .qp_type = IBV_QPT_XRC_SEND };
	struct ibv_pd *p = ibv_alloc_pd(c);
	struct ibv_send_wr wr = { .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED }, *bad;
	struct name ours = { 0 }, peer;
	char c1;
	struct ibv_sge sge;
	struct ibv_qp *qp;
	struct ibv_mr *m;

	NEED(init.send_cq = ibv_create_cq(c, 4, NULL, NULL, 0));
	NEED(qp = ibv_create_qp(p, &init));
	NEED(m = ibv_reg_mr(p, mem, MESSAGE, 0));
	ours.qpn = qp->qp_num;
	NEED(write(fd, &ours, sizeof(ours)) == sizeof(ours));
	NEED(read(fd, &peer, sizeof(peer)) == sizeof(peer));
	NEED(!connect_to(qp, peer.qpn));
	memset(mem, MARK, 4096);
	sge = (struct ibv_sge){ .addr = (uintptr_t)mem, .length = MESSAGE, .lkey = m->lkey };
	wr.sg_list = &sge;
	wr.qp_type.xrc.remote_srqn = peer.srqn;
	/* One message for each word from the receiver, which stops this process in the middle of one. */
	while (read(fd, &c1, 1) == 1) {
		NEED(!ibv_post_send(qp, &wr, &bad));
		NEED(bed_poll(init.send_cq).status == IBV_WC_SUCCESS);
		NEED(write(fd, &c1, 1) == 1);
	}
	_exit(0);
}

/* --- the receiver --- */

static void open_queue(void)
{
	struct ibv_srq_init_attr_ex a = {
		.attr = { .max_wr = 2, .max_sge = 1 },
		.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_PD | IBV_SRQ_INIT_ATTR_XRCD |
			     IBV_SRQ_INIT_ATTR_CQ,
		.srq_type = IBV_SRQT_XRC,
	};

	assert_non_null(a.pd = pd = ibv_alloc_pd(ctx[0]));
	assert_non_null(a.cq = cq = ibv_create_cq(ctx[0], 4, NULL, NULL, 0));
	assert_non_null(mr = ibv_reg_mr(pd, mem, MESSAGE, IBV_ACCESS_LOCAL_WRITE));
	a.xrcd = xrcd[0];
	assert_non_null(srq = ibv_create_srq_ex(ctx[0], &a));
}

static void open_target(void)
{
	struct ibv_qp_init_attr_ex a = { .qp_type = IBV_QPT_XRC_RECV,
					 .comp_mask = IBV_QP_INIT_ATTR_XRCD,
					 .xrcd = xrcd[0] };
	struct ibv_qp_open_attr o = {
		.comp_mask = IBV_QP_OPEN_ATTR_NUM | IBV_QP_OPEN_ATTR_XRCD | IBV_QP_OPEN_ATTR_TYPE,
		.qp_type = IBV_QPT_XRC_RECV,
		.xrcd = xrcd[1],
	};

	assert_non_null(tgt[0] = ibv_create_qp_ex(ctx[0], &a));
	o.qp_num = tgt[0]->qp_num;
	assert_non_null(tgt[1] = ibv_open_qp(ctx[1], &o));
}

static int begin(void **state)
{
	struct ibv_xrcd_init_attr x = { .comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
					.oflags = O_CREAT };
	int pair[2], i;

	(void)state;
	mem = mmap(NULL, MESSAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	sender = fork();
	assert_true(sender >= 0);
	if (!sender)
		be_sender(pair[1]);
	close(pair[1]);
	line = pair[0];
	x.fd = memfd_create("domain", MFD_CLOEXEC);
	for (i = 0; i < 2; i++) {
		ctx[i] = bed_open();
		assert_non_null(xrcd[i] = ibv_open_xrcd(ctx[i], &x));
	}
	close(x.fd);
	open_queue();
	open_target();
	return 0;
}

static void end_sender(void)
{
	kill(sender, SIGKILL);
	waitpid(sender, NULL, 0);
	close(line);
	munmap(mem, MESSAGE);
}

/* Return: the message isn't whole, and the sender stopped. */
static bool stopped_within(void)
{
	struct ibv_sge sge = { .addr = (uintptr_t)mem, .length = MESSAGE, .lkey = mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = 6, .sg_list = &sge, .num_sge = 1 }, *bad;
	struct ibv_wc wc;
	int status;
	char c = 0;

	*(volatile uint8_t *)mem = 0;
	assert_int_equal(ibv_post_srq_recv(srq, &wr, &bad), 0);
	assert_int_equal(write(line, &c, 1), 1);
	while (*(volatile uint8_t *)mem != MARK)
		assert_int_equal(waitpid(sender, &status, WNOHANG), 0);
	assert_int_equal(kill(sender, SIGSTOP), 0);
	assert_int_equal(waitpid(sender, &status, WUNTRACED), sender);
	assert_true(WIFSTOPPED(status));
	usleep(20000); /* what it has put into the ring is taken */
	if (!ibv_poll_cq(cq, 1, &wc))
		return true;
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(kill(sender, SIGCONT), 0);
	assert_int_equal(read(line, &c, 1), 1);
	return false;
}

/* When this returns, the sender has stopped, and a part of its message is in the request that was posted. */
static void take_a_part(void)
{
	struct name ours = { .qpn = tgt[0]->qp_num }, peer;

	assert_int_equal(ibv_get_srq_num(srq, &ours.srqn), 0);
	assert_int_equal(read(line, &peer, sizeof(peer)), sizeof(peer));
	assert_int_equal(connect_to(tgt[0], peer.qpn), 0);
	assert_int_equal(write(line, &ours, sizeof(ours)), sizeof(ours));
	/* Where others have the processors, a whole message may come first. */
	while (!stopped_within())
		;
	assert_int_equal(ibv_destroy_srq(srq), EBUSY);
}

static void take_async(struct ibv_context *c, enum ibv_event_type type, const struct ibv_qp *qp)
{
	struct ibv_async_event e;

	do {
		assert_int_equal(ibv_get_async_event(c, &e), 0);
		assert_ptr_equal(e.element.qp, qp);
		ibv_ack_async_event(&e);
	} while (e.event_type != type); /* the first message was told of as well */
}

/* The request is flushed, each handle is told, and the queue is free. */
static void the_sender_dies(void **state)
{
	struct ibv_wc wc;
	int i;

	(void)state;
	take_a_part();
	end_sender();
	wc = bed_poll(cq);
	assert_int_equal(wc.wr_id, 6);
	assert_int_equal(wc.status, IBV_WC_WR_FLUSH_ERR);
	assert_int_equal(wc.qp_num, tgt[0]->qp_num);
	for (i = 0; i < 2; i++)
		take_async(ctx[i], IBV_EVENT_QP_FATAL, tgt[i]);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	assert_int_equal(ibv_destroy_qp(tgt[0]), 0);
	assert_int_equal(ibv_destroy_qp(tgt[1]), 0);
	assert_int_equal(ibv_close_xrcd(xrcd[0]), 0);
	assert_int_equal(ibv_close_xrcd(xrcd[1]), 0);
	assert_int_equal(ibv_close_device(ctx[0]), 0);
	assert_int_equal(ibv_close_device(ctx[1]), 0);
}

/* The queue's context ends, whatever comes in through another one's handle: that queue pair takes in nothing more. */
static void the_context_is_closed(void **state)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr a;

	(void)state;
	take_a_part();
	assert_int_equal(ibv_close_device(ctx[0]), 0);
	take_async(ctx[1], IBV_EVENT_QP_FATAL, tgt[1]);
	assert_int_equal(ibv_query_qp(tgt[1], &a, IBV_QP_STATE, &init), 0);
	assert_int_equal(a.qp_state, IBV_QPS_ERR);
	assert_int_equal(ibv_close_device(ctx[1]), 0);
	end_sender();
}

/* A queue pair that ends gives the queue back. */
static void the_target_is_destroyed(void **state)
{
	(void)state;
	take_a_part();
	assert_int_equal(ibv_destroy_qp(tgt[1]), 0);
	assert_int_equal(ibv_destroy_srq(srq), EBUSY);
	assert_int_equal(ibv_destroy_qp(tgt[0]), 0);
	assert_int_equal(ibv_destroy_srq(srq), 0);
	assert_int_equal(ibv_close_device(ctx[0]), 0);
	assert_int_equal(ibv_close_device(ctx[1]), 0);
	end_sender();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_sender_dies, begin),
		cmocka_unit_test_setup(the_context_is_closed, begin),
		cmocka_unit_test_setup(the_target_is_destroyed, begin),
	};

	/* The payload goes through the ring: of a sender that is stopped, no more comes. */
	setenv("SOFTHCA_NO_VM", "1", 1);
	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
