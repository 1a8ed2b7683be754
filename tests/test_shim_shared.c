/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Two processes with the drop-in libibverbs and memory that both of them map: what one writes to the other goes there without a system
 * call after a while, and whatever becomes of the memory or of the peer is an error completion and no signal.
 */
#include "shim_fixture.h"

#include <stdio.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BYTES (1u << 20)
#define OFTEN 400

struct name {
	uint64_t addr;
	uint32_t qpn;
	uint32_t rkey;
};

static pid_t target;
static int line; /* to the target */
static int fd;
static uint8_t *shared; /* by both */
static int access_flags; /* beside the usual ones, of the target's region */
static struct bed bed; /* ours */
static struct name peer;

#define NEED(c) ((c) ? (void)0 : _exit(__LINE__ & 0x7f))

/* Registers the memory, connects its queue pair, and deregisters for each word from the other. */
static void be_target(int to)
{
	struct bed b;
	struct ibv_mr *mr;
	struct name ours;
	uint32_t qpn;
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	bed_begin(&b);
	b.qp[0] = bed_qp(&b, IBV_QPT_RC, NULL);
	mr = ibv_reg_mr(b.pd, shared, BYTES, BED_ACCESS | access_flags);
	NEED(mr);
	ours = (struct name){ .addr = (uintptr_t)shared, .qpn = b.qp[0]->qp_num, .rkey = mr->rkey };
	NEED(write(to, &ours, sizeof(ours)) == sizeof(ours));
	NEED(read(to, &qpn, sizeof(qpn)) == sizeof(qpn));
	bed_connect_to(b.qp[0], qpn);
	NEED(write(to, &c, 1) == 1);
	NEED(read(to, &c, 1) == 1);
	NEED(!ibv_dereg_mr(mr));
	memset(shared, 0x3c, BYTES);
	NEED(write(to, &c, 1) == 1);
	NEED(read(to, &c, 1) == 0);
	_exit(0);
}

/* From within a test: the test library has handlers of its own for faults, and the device is opened after them. */
static void begin(void)
{
	int pair[2];
	char c;

	fd = memfd_create("shared", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	shared = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	target = fork();
	assert_true(target >= 0);
	if (!target) {
		close(pair[0]);
		be_target(pair[1]);
	}
	close(pair[1]);
	line = pair[0];
	bed_begin(&bed);
	bed.qp[0] = bed_qp(&bed, IBV_QPT_RC, NULL);
	assert_int_equal(read(line, &peer, sizeof(peer)), sizeof(peer));
	bed_connect_to(bed.qp[0], peer.qpn);
	assert_int_equal(write(line, &bed.qp[0]->qp_num, 4), 4);
	assert_int_equal(read(line, &c, 1), 1);
}

static void end(void)
{
	close(line);
	kill(target, SIGKILL);
	waitpid(target, NULL, 0);
	bed_end(&bed);
	munmap(shared, BYTES);
	close(fd);
}

static enum ibv_wc_status rdma(enum ibv_wr_opcode opcode, uint64_t off, uint32_t len)
{
	struct ibv_sge sge = bed_sge(&bed, 0, 0, len);
	struct ibv_send_wr wr = { .opcode = opcode,
				  .send_flags = IBV_SEND_SIGNALED,
				  .sg_list = &sge,
				  .num_sge = 1,
				  .wr.rdma = { .remote_addr = peer.addr + off, .rkey = peer.rkey } };

	bed_post(bed.qp[0], &wr);
	return bed_poll(bed.cq).status;
}

/* How many mappings of the file this process has: one is its own, and the library has another one when it stores by itself. */
static int mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char text[512], ino[32];
	struct stat st;
	int n = 0;

	assert_non_null(f);
	assert_int_equal(fstat(fd, &st), 0);
	snprintf(ino, sizeof(ino), " %lu ", (unsigned long)st.st_ino);
	while (fgets(text, sizeof(text), f))
		n += strstr(text, ino) && strstr(text, "/memfd:shared");
	fclose(f);
	return n;
}

static void use_often(void)
{
	int i;

	assert_int_equal(mappings(), 1);
	for (i = 0; i < OFTEN; i++)
		assert_int_equal(rdma(IBV_WR_RDMA_WRITE, 64, 8), IBV_WC_SUCCESS);
	assert_int_equal(mappings(), 2);
}

static void bytes_arrive(void **state)
{
	static const uint32_t sizes[] = { 1, 8, 9, 100, 4096, 65535, BED_BYTES };
	uint64_t i, off;
	uint32_t j;

	(void)state;
	begin();
	use_often();
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		off = 1000 + 7 * i;
		for (j = 0; j < sizes[i]; j++)
			bed.mem[0][j] = (uint8_t)(j * 5 + i);
		memset(shared, 0, BYTES);
		assert_int_equal(rdma(IBV_WR_RDMA_WRITE, off, sizes[i]), IBV_WC_SUCCESS);
		assert_memory_equal(shared + off, bed.mem[0], sizes[i]);
		assert_int_equal(shared[off - 1] | shared[off + sizes[i]], 0);
		shared[off] = 0xa5;
		assert_int_equal(rdma(IBV_WR_RDMA_READ, off, sizes[i]), IBV_WC_SUCCESS);
		assert_memory_equal(shared + off, bed.mem[0], sizes[i]);
		assert_int_equal(bed.mem[0][0], 0xa5);
	}
	/* All of a message is within the region, or nothing of it is written. */
	assert_int_equal(rdma(IBV_WR_RDMA_WRITE, BYTES - 7, 8), IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(shared[BYTES - 7], 0);
	end();
}

static void the_file_is_cut(void **state)
{
	enum ibv_wc_status status;

	(void)state;
	begin();
	use_often();
	assert_int_equal(ftruncate(fd, 8192), 0);
	assert_int_equal(rdma(IBV_WR_RDMA_WRITE, 100, 64), IBV_WC_SUCCESS);
	status = rdma(IBV_WR_RDMA_WRITE, 4096, BED_BYTES);
	assert_true(status == IBV_WC_REM_OP_ERR || status == IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(rdma(IBV_WR_RDMA_WRITE, 0, 8), IBV_WC_WR_FLUSH_ERR);
	assert_int_equal(waitpid(target, NULL, WNOHANG), 0);
	end();
}

/* What the deregistration's end found in memory stays there, and nothing of ours holds the memory, whether we do anything or not. */
static void the_region_ends(void **state)
{
	uint8_t byte = 0;
	char c = 0;

	(void)state;
	begin();
	use_often();
	usleep(20000); /* the library's thread sleeps */
	assert_int_equal(write(line, &c, 1), 1);
	assert_int_equal(read(line, &c, 1), 1);
	while (mappings() > 1)
		usleep(1000);
	assert_int_equal(rdma(IBV_WR_RDMA_WRITE, 0, BED_BYTES), IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 0x3c);
	end();
}

/* The memory is there as before, and there is nobody in it. */
static void the_target_is_killed(void **state)
{
	enum ibv_wc_status status = IBV_WC_SUCCESS;
	int i;

	(void)state;
	begin();
	use_often();
	kill(target, SIGKILL);
	assert_int_equal(waitpid(target, NULL, 0), target);
	while (status == IBV_WC_SUCCESS)
		status = rdma(IBV_WR_RDMA_WRITE, 0, 8);
	assert_true(status == IBV_WC_RETRY_EXC_ERR || status == IBV_WC_WR_FLUSH_ERR);
	for (i = 0; mappings() > 1; i++)
		usleep(1000);
	end();
}

static uint64_t atomic(enum ibv_wr_opcode opcode, uint64_t off, uint64_t compare_add, uint64_t swap)
{
	struct ibv_sge sge = bed_sge(&bed, 0, 8, 8);
	struct ibv_send_wr wr = { .opcode = opcode,
				  .send_flags = IBV_SEND_SIGNALED,
				  .sg_list = &sge,
				  .num_sge = 1,
				  .wr.atomic = { .remote_addr = peer.addr + off,
						 .rkey = peer.rkey,
						 .compare_add = compare_add,
						 .swap = swap } };
	uint64_t old;

	bed_post(bed.qp[0], &wr);
	assert_int_equal(bed_poll(bed.cq).status, IBV_WC_SUCCESS);
	memcpy(&old, bed.mem[0] + 8, 8);
	return old;
}

/* The target isn't needed: it is stopped. */
static void atomics(void **state)
{
	uint64_t word = 40;
	int status;

	(void)state;
	begin();
	use_often();
	kill(target, SIGSTOP);
	assert_int_equal(waitpid(target, &status, WUNTRACED), target);
	assert_true(WIFSTOPPED(status));
	memcpy(shared + 128, &word, 8);
	assert_int_equal(atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 128, 2, 0), 40);
	assert_int_equal(atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 128, 42, 7), 42);
	assert_int_equal(atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 128, 0, 0), 7);
	memcpy(&word, shared + 128, 8);
	assert_int_equal(word, 7);
	kill(target, SIGCONT);
	end();
}

/* Found by its address each time: whatever stands there. */
static void memory_on_demand(void **state)
{
	int i;

	(void)state;
	access_flags = IBV_ACCESS_ON_DEMAND;
	begin();
	for (i = 0; i < OFTEN; i++)
		assert_int_equal(rdma(IBV_WR_RDMA_WRITE, 64, 8), IBV_WC_SUCCESS);
	assert_int_equal(mappings(), 1);
	end();
	access_flags = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive),		cmocka_unit_test(atomics),
		cmocka_unit_test(the_file_is_cut),	cmocka_unit_test(the_region_ends),
		cmocka_unit_test(the_target_is_killed), cmocka_unit_test(memory_on_demand),
	};

	return cmocka_run_group_tests_name("shim_shared", tests, make_fabric, remove_fabric);
}
