/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Long sends between two processes, whose receiver fetches the bytes by itself: where one end's memory is gone, both get the completions
 * that an adapter gives (IBTA vol. 1, 9.9.2.4.2 and 9.9.3.2), and no signal.
 */
#include "shim_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define BYTES (1u << 20)
#define NEED(c) ((c) ? (void)0 : _exit(__LINE__ & 0x7f))

static uint8_t *map_bytes(void)
{
	return mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static uint8_t byte_at(uint32_t i)
{
	return (uint8_t)(i * 7 + i / 4093);
}

/* Receives one message; its memory is gone by then, from the second page on. Says how that went, and how many bytes are wrong. */
static void be_receiver(int line, bool gone)
{
	uint32_t qpn, i, told[2] = { 0 };
	struct ibv_sge to;
	struct ibv_mr *mr;
	struct bed b;
	uint8_t *p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	p = map_bytes();
	mr = ibv_reg_mr(b.pd, p, BYTES, BED_ACCESS);
	NEED(p != MAP_FAILED && mr);
	qpn = b.qp[0]->qp_num;
	NEED(write(line, &qpn, sizeof(qpn)) == sizeof(qpn));
	NEED(read(line, &qpn, sizeof(qpn)) == sizeof(qpn));
	bed_connect_to(b.qp[0], qpn);
	to = (struct ibv_sge){ .addr = (uintptr_t)p, .length = BYTES, .lkey = mr->lkey };
	bed_recv(b.qp[0], 1, &to);
	if (gone)
		NEED(!munmap(p + 4096, BYTES - 4096));
	NEED(write(line, "", 1) == 1);
	told[0] = bed_poll(b.cq).status;
	for (i = 0; i < BYTES && !gone; i++)
		told[1] += p[i] != byte_at(i);
	NEED(write(line, told, sizeof(told)) == sizeof(told));
	NEED(read(line, &qpn, 1) == 0);
	_exit(0);
}

struct result {
	enum ibv_wc_status sent;
	uint32_t received; /* if it ended */
	uint32_t wrong;
};

static struct result send_long(bool ours_gone, bool theirs_gone, bool waits)
{
	struct ibv_sge from = { .length = BYTES };
	struct ibv_send_wr wr = {
		.wr_id = 2, .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED
	};
	struct result r = { .received = ~0u };
	uint32_t i, told[2], qpn;
	struct ibv_mr *mr;
	int pair[2], status;
	struct bed b;
	pid_t child;
	uint8_t *p;
	char c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(pair[0]);
		be_receiver(pair[1], theirs_gone);
	}
	close(pair[1]);
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	p = map_bytes();
	assert_ptr_not_equal(p, MAP_FAILED);
	for (i = 0; i < BYTES; i++)
		p[i] = byte_at(i);
	mr = ibv_reg_mr(b.pd, p, BYTES, BED_ACCESS);
	assert_non_null(mr);
	assert_int_equal(read(pair[0], &qpn, sizeof(qpn)), sizeof(qpn));
	i = b.qp[0]->qp_num;
	assert_int_equal(write(pair[0], &i, sizeof(i)), sizeof(i));
	bed_connect_to(b.qp[0], qpn);
	assert_int_equal(read(pair[0], &c, 1), 1);
	if (ours_gone)
		assert_int_equal(munmap(p + 303104, BYTES - 303104), 0);
	from.addr = (uintptr_t)p;
	from.lkey = mr->lkey;
	bed_post(b.qp[0], &wr);
	r.sent = bed_poll(b.cq).status;
	if (waits) {
		assert_int_equal(read(pair[0], told, sizeof(told)), sizeof(told));
		r.received = told[0];
		r.wrong = told[1];
	}
	close(pair[0]);
	if (!waits)
		kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(!waits || (WIFEXITED(status) && !WEXITSTATUS(status)));
	assert_int_equal(ibv_dereg_mr(mr), 0);
	munmap(p, ours_gone ? 303104 : BYTES);
	assert_int_equal(ibv_destroy_qp(b.qp[0]), 0);
	b.qp[0] = NULL;
	bed_end(&b);
	return r;
}

static void all_is_there(void **state)
{
	struct result r = send_long(false, false, true);

	(void)state;
	assert_int_equal(r.sent, IBV_WC_SUCCESS);
	assert_int_equal(r.received, IBV_WC_SUCCESS);
	assert_int_equal(r.wrong, 0);
}

/* What the message began at the receiver isn't completed: nothing more comes. */
static void the_senders_is_gone(void **state)
{
	struct result r = send_long(true, false, false);

	(void)state;
	assert_int_equal(r.sent, IBV_WC_LOC_PROT_ERR);
}

static void the_receivers_is_gone(void **state)
{
	struct result r = send_long(false, true, true);

	(void)state;
	assert_int_equal(r.sent, IBV_WC_REM_OP_ERR);
	assert_int_equal(r.received, IBV_WC_LOC_PROT_ERR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_there),
		cmocka_unit_test(the_senders_is_gone),
		cmocka_unit_test(the_receivers_is_gone),
	};

	return cmocka_run_group_tests_name("shim_fetch", tests, make_fabric, remove_fabric);
}
