/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a program does wrong with the drop-in libibverbs: memory that went away, stale and
 * forged handles, destroyed in the wrong order, beyond limits. It gets an error, and goes on.
 */
#include "shim_fixture.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PAGES (16 * 4096)

/* A region on memory that is unmapped when bytes are to move. */
static uint8_t *map_region(struct bed *b, struct ibv_mr **mr, int access)
{
	uint8_t *p = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	*mr = ibv_reg_mr(b->pd, p, PAGES, access);
	assert_non_null(*mr);
	return p;
}

static void unmapped_at_the_requester(void **state)
{
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct bed b;
	uint8_t *p;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	p = map_region(&b, &mr, BED_ACCESS);
	munmap(p, PAGES);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, (struct ibv_sge){ .addr = (uintptr_t)p, .length = 1000, .lkey = mr->lkey },
		      (uintptr_t)b.mem[1], b.mr[1]->rkey);
	assert_int_equal(wc.status, IBV_WC_LOC_PROT_ERR);
	assert_int_equal(wc.vendor_err, 6); /* HCA_VENDOR_MEMORY */
	assert_int_equal(ibv_dereg_mr(mr), 0);
	bed_end(&b);
}

static void unmapped_at_the_responder(void **state)
{
	enum ibv_wr_opcode op[] = { IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ, IBV_WR_ATOMIC_FETCH_AND_ADD };
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct ibv_mr *mr;
		struct ibv_wc wc;
		struct bed b;
		uint8_t *p;

		bed_pair(&b, IBV_QPT_RC);
		p = map_region(&b, &mr, BED_ACCESS);
		/* Only from the second page on: what comes before may be done. */
		munmap(p + 4096, PAGES - 4096);
		wc = bed_rdma(&b, op[i], bed_sge(&b, 0, 0, i == 2 ? 8 : 8000), (uintptr_t)p + (i == 2 ? 4096 : 0),
			      mr->rkey);
		assert_int_equal(wc.status, IBV_WC_REM_OP_ERR);
		assert_int_equal(wc.vendor_err, 0x86); /* the same, at the peer */
		assert_int_equal(ibv_dereg_mr(mr), 0);
		munmap(p, 4096);
		bed_end(&b);
	}
}

static void unmapped_under_a_receive(void **state)
{
	struct ibv_sge to, from;
	struct ibv_send_wr wr = {
		.wr_id = 1, .sg_list = &from, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED
	};
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct bed b;
	uint8_t *p;
	int i;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	p = map_region(&b, &mr, BED_ACCESS);
	to = (struct ibv_sge){ .addr = (uintptr_t)p, .length = 1000, .lkey = mr->lkey };
	from = bed_sge(&b, 0, 0, 1000);
	bed_recv(b.qp[1], 2, &to);
	munmap(p, PAGES);
	bed_post(b.qp[0], &wr);
	for (i = 0; i < 2; i++) {
		wc = bed_poll(b.cq);
		assert_int_equal(wc.status, wc.wr_id == 1 ? IBV_WC_REM_OP_ERR : IBV_WC_LOC_PROT_ERR);
	}
	assert_int_equal(ibv_dereg_mr(mr), 0);
	bed_end(&b);
}

/* SIGBUS: the file behind a mapping is cut. */
static void cut_file(void **state)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct bed b;
	uint8_t *p;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, PAGES), 0);
	p = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	bed_pair(&b, IBV_QPT_RC);
	mr = ibv_reg_mr(b.pd, p, PAGES, BED_ACCESS);
	assert_non_null(mr);
	assert_int_equal(ftruncate(fd, 0), 0);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 100), (uintptr_t)p, mr->rkey);
	assert_int_equal(wc.status, IBV_WC_REM_OP_ERR);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	munmap(p, PAGES);
	close(fd);
	bed_end(&b);
}

static void *in_thread(void *state)
{
	unmapped_at_the_requester(state);
	return NULL;
}

/* A thread of the program that was born with every signal blocked posts, too. */
static void unmapped_with_signals_blocked(void **state)
{
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	assert_int_equal(pthread_create(&thread, NULL, in_thread, state), 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_join(thread, NULL);
}

static volatile sig_atomic_t seen;
static sigjmp_buf back;

static void on_segv(int sig)
{
	seen = sig;
	siglongjmp(back, 1);
}

/* A fault of the program's own goes to the program's own handler. */
static void own_faults_are_the_programs(void **state)
{
	struct sigaction sa = { .sa_handler = on_segv }, before;
	struct ibv_context *ctx;
	uint8_t *p;

	(void)state;
	sigaction(SIGSEGV, &sa, &before);
	ctx = bed_open();
	p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	seen = 0;
	if (!sigsetjmp(back, 1))
		*(volatile uint8_t *)p = 1;
	assert_int_equal(seen, SIGSEGV);
	munmap(p, 4096);
	assert_int_equal(ibv_close_device(ctx), 0);
	sigaction(SIGSEGV, &before, NULL);
}

/* And where it has none, the program dies of it as before. */
static void own_faults_kill(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (!pid) {
		struct sigaction sa = { .sa_handler = SIG_DFL };

		sigaction(SIGSEGV, &sa, NULL);
		bed_open();
		*(volatile uint8_t *)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void registration_touches_nothing(void **state)
{
	size_t size = 1ul << 30, i, here = 0;
	uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char *vec = malloc(size / 4096);
	struct ibv_mr *mr;
	struct bed b;

	(void)state;
	bed_begin(&b);
	mr = ibv_reg_mr(b.pd, p, size, BED_ACCESS);
	assert_non_null(mr);
	assert_int_equal(mincore(p, size, vec), 0);
	for (i = 0; i < size / 4096; i++)
		here += vec[i] & 1;
	assert_int_equal(here, 0);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	free(vec);
	munmap(p, size);
	bed_end(&b);
}

static void memory_that_is_not_there_is_refused(void **state)
{
	struct bed b;
	uint8_t *p;

	(void)state;
	bed_begin(&b);
	p = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(p + 4096, 4096);
	assert_null(ibv_reg_mr(b.pd, p, PAGES, BED_ACCESS));
	assert_int_equal(errno, EFAULT);
	assert_null(ibv_reg_mr(b.pd, p, 100, IBV_ACCESS_REMOTE_WRITE));
	assert_int_equal(errno, EINVAL);
	assert_null(ibv_reg_mr(b.pd, p, 100, 1 << 10));
	assert_int_equal(errno, EINVAL);
	assert_null(ibv_reg_mr(b.pd, p, 0, BED_ACCESS));
	munmap(p, PAGES);
	bed_end(&b);
}

static bool refused(const struct bed *b, void *p, size_t len, int access)
{
	struct ibv_mr *mr;

	errno = 0;
	mr = ibv_reg_mr(b->pd, p, len, access);
	if (!mr)
		return errno == EFAULT;
	ibv_dereg_mr(mr);
	return false;
}

/* Memory that this process may not write to, or not read either, isn't registered for what it can't be used for. */
static bool rights_are_looked_at(const struct bed *b)
{
	const int local = IBV_ACCESS_LOCAL_WRITE, remote = local | IBV_ACCESS_REMOTE_WRITE;
	uint8_t *p = mmap(NULL, PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr = ibv_reg_mr(b->pd, p, PAGES, 0);
	bool ok = p != MAP_FAILED && mr && !refused(b, p, PAGES, remote);

	mprotect(p + 4096, 4096, PROT_READ);
	ok = ok && refused(b, p, PAGES, local) && refused(b, p + 4095, 2, remote) && refused(b, p + 8191, 1, local) &&
	     refused(b, p, PAGES, IBV_ACCESS_MW_BIND);
	ok = ok && !refused(b, p, PAGES, 0) && !refused(b, p, PAGES, IBV_ACCESS_REMOTE_READ) &&
	     !refused(b, p, 4096, remote) && !refused(b, p + 8192, PAGES - 8192, remote) &&
	     !refused(b, p, PAGES, local | IBV_ACCESS_ON_DEMAND);
	ok = ok && ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, local) == IBV_REREG_MR_ERR_INPUT &&
	     errno == EFAULT;
	mprotect(p + 4096, 4096, PROT_NONE);
	ok = ok && refused(b, p, PAGES, 0) && refused(b, p, PAGES, IBV_ACCESS_REMOTE_READ);
	munmap(p + 4096, 4096);
	ok = ok && refused(b, p, PAGES, 0) && !refused(b, p, 4096, remote);
	ibv_dereg_mr(mr);
	munmap(p, PAGES);
	return ok;
}

static void memory_without_the_rights_is_refused(void **state)
{
	struct bed b;

	(void)state;
	bed_begin(&b);
	assert_true(rights_are_looked_at(&b));
	bed_end(&b);
}

/* Kernels before 6.11 have the text alone. */
static void the_same_on_an_older_kernel(void **state)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xc0686611, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	if (!pid) {
		struct bed b;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ||
		    ioctl(0, 0xc0686611, 0) != -1 || errno != ENOTTY)
			_exit(2);
		bed_begin(&b);
		_exit(rights_are_looked_at(&b) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* IBTA vol. 1, 10.6.3: all memory by one key, and an address that isn't there when it is used. */
static void on_demand(void **state)
{
	struct ibv_mr *all;
	struct ibv_wc wc;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	all = ibv_reg_mr(b.pd, NULL, SIZE_MAX, BED_ACCESS | IBV_ACCESS_ON_DEMAND);
	assert_non_null(all);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 100), (uintptr_t)b.mem[1], all->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 100), 0x8000000000000000u, all->rkey);
	assert_int_equal(wc.status, IBV_WC_REM_OP_ERR);
	assert_int_equal(ibv_dereg_mr(all), 0);
	bed_end(&b);
}

static void reregistration(void **state)
{
	struct ibv_pd *other;
	struct ibv_wc wc;
	struct bed b;
	uint32_t key;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	key = b.mr[1]->rkey;
	other = ibv_alloc_pd(b.ctx);
	assert_int_equal(ibv_rereg_mr(b.mr[1], IBV_REREG_MR_CHANGE_TRANSLATION, NULL, b.mem[1] + 4096, 100, 0), 0);
	assert_ptr_equal(b.mr[1]->addr, b.mem[1] + 4096);
	assert_int_equal(b.mr[1]->length, 100);
	assert_int_equal(b.mr[1]->rkey, key);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 100), (uintptr_t)b.mem[1] + 4096, b.mr[1]->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(ibv_rereg_mr(b.mr[1], IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, IBV_ACCESS_REMOTE_WRITE),
			 IBV_REREG_MR_ERR_INPUT);
	assert_int_equal(ibv_rereg_mr(b.mr[1], IBV_REREG_MR_CHANGE_PD, other, NULL, 0, 0), 0);
	assert_ptr_equal(b.mr[1]->pd, other);
	assert_int_equal(ibv_dealloc_pd(other), EBUSY);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 100), (uintptr_t)b.mem[1] + 4096, b.mr[1]->rkey);
	assert_int_equal(wc.status, IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(ibv_dereg_mr(b.mr[1]), 0);
	b.mr[1] = NULL;
	assert_int_equal(ibv_dealloc_pd(other), 0);
	bed_end(&b);
}

/* What isn't to be changed stays as it was registered, whatever the program wrote into its own structure. */
static void reregistration_of_rights_alone(void **state)
{
	struct ibv_wc wc;
	struct ibv_mr *mr;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	mr = ibv_reg_mr_iova(b.pd, b.mem[1], 4096, 0x1000, BED_ACCESS);
	assert_non_null(mr);
	mr->addr = b.mem[1] + 512;
	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
				      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE),
			 0);
	memset(b.mem[0], 7, 64);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 64), 0x1000, mr->rkey);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_memory_equal(b.mem[1], b.mem[0], 64);
	wc = bed_rdma(&b, IBV_WR_RDMA_READ, bed_sge(&b, 0, 0, 64), 0x1000, mr->rkey);
	assert_int_equal(wc.status, IBV_WC_REM_ACCESS_ERR);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	bed_end(&b);
}

/* A kernel looks handles up by their context: EINVAL. */
static void objects_of_another_context(void **state)
{
	struct ibv_qp_init_attr attr = { .qp_type = IBV_QPT_RC, .cap = { 1, 1, 1, 1, 0 } };
	struct ibv_comp_channel *channel;
	struct ibv_context *other;
	struct ibv_cq *cq;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	other = bed_open();
	channel = ibv_create_comp_channel(other);
	cq = ibv_create_cq(other, 4, NULL, channel, 0);
	assert_non_null(cq);
	errno = 0;
	assert_null(ibv_create_cq(b.ctx, 4, NULL, channel, 0));
	assert_int_equal(errno, EINVAL);
	attr.send_cq = b.cq;
	attr.recv_cq = cq;
	errno = 0;
	assert_null(ibv_create_qp(b.pd, &attr));
	assert_int_equal(errno, EINVAL);
	attr.send_cq = cq;
	attr.recv_cq = b.cq;
	assert_null(ibv_create_qp(b.pd, &attr));
	assert_int_equal(ibv_destroy_cq(cq), 0);
	assert_int_equal(ibv_destroy_comp_channel(channel), 0);
	assert_int_equal(ibv_close_device(other), 0);
	bed_end(&b);
}

static void stale_and_forged_handles(void **state)
{
	struct ibv_send_wr wr = { .opcode = IBV_WR_SEND }, *bad_wr;
	struct ibv_recv_wr rwr = { .wr_id = 1 }, *bad_rwr;
	uint64_t forged[64] = { 0 };
	struct ibv_wc wc;
	struct bed b, gone;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	gone = b;
	bed_end(&b);
	assert_int_equal(ibv_destroy_qp(gone.qp[0]), EINVAL);
	assert_int_equal(ibv_destroy_cq(gone.cq), EINVAL);
	assert_int_equal(ibv_destroy_comp_channel(gone.channel), EINVAL);
	assert_int_equal(ibv_dereg_mr(gone.mr[0]), EINVAL);
	assert_int_equal(ibv_dealloc_pd(gone.pd), EINVAL);
	assert_int_equal(ibv_close_device(gone.ctx), -1);
	assert_null(ibv_alloc_pd(gone.ctx));
	assert_null(ibv_create_comp_channel(gone.ctx));
	bed_begin(&b);
	/* A call through a queue pair that is gone, of a context that is there. */
	gone.qp[0]->context = b.ctx;
	gone.cq->context = b.ctx;
	assert_int_equal(ibv_post_send(gone.qp[0], &wr, &bad_wr), EINVAL);
	assert_ptr_equal(bad_wr, &wr);
	assert_int_equal(ibv_post_recv(gone.qp[0], &rwr, &bad_rwr), EINVAL);
	assert_true(ibv_poll_cq(gone.cq, 1, &wc) < 0);
	assert_int_equal(ibv_req_notify_cq(gone.cq, 0), EINVAL);
	assert_int_equal(ibv_destroy_qp((struct ibv_qp *)&forged[32]), EINVAL);
	assert_int_equal(ibv_dereg_mr((struct ibv_mr *)&forged[32]), EINVAL);
	assert_int_equal(ibv_destroy_qp((struct ibv_qp *)(uintptr_t)0x123460), EINVAL);
	assert_null(ibv_reg_mr((struct ibv_pd *)&forged[32], forged, 8, 0));
	bed_end(&b);
}

static void busy_objects_stay(void **state)
{
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	assert_int_equal(ibv_destroy_cq(b.cq), EBUSY);
	assert_int_equal(ibv_destroy_comp_channel(b.channel), EBUSY);
	assert_int_equal(ibv_dealloc_pd(b.pd), EBUSY);
	assert_int_equal(
		bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 10), (uintptr_t)b.mem[1], b.mr[1]->rkey).status,
		IBV_WC_SUCCESS);
	bed_end(&b);
}

static void key_of_a_destroyed_region(void **state)
{
	struct ibv_mr *mr;
	struct ibv_wc wc;
	struct bed b;
	uint32_t rkey;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	mr = ibv_reg_mr(b.pd, b.mem[1], BED_BYTES, BED_ACCESS);
	rkey = mr->rkey;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	wc = bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 10), (uintptr_t)b.mem[1], rkey);
	assert_int_equal(wc.status, IBV_WC_REM_ACCESS_ERR);
	bed_end(&b);
}

static void beyond_limits(void **state)
{
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC };
	struct ibv_device_attr dev;
	struct bed b;

	(void)state;
	bed_begin(&b);
	assert_int_equal(ibv_query_device(b.ctx, &dev), 0);
	init.send_cq = b.cq;
	init.recv_cq = b.cq;
	init.cap.max_send_wr = (uint32_t)dev.max_qp_wr + 1;
	assert_null(ibv_create_qp(b.pd, &init));
	assert_int_equal(errno, EINVAL);
	init.cap.max_send_wr = 1;
	init.cap.max_send_sge = (uint32_t)dev.max_sge + 1;
	assert_null(ibv_create_qp(b.pd, &init));
	init.cap.max_send_sge = 1;
	init.qp_type = IBV_QPT_RAW_PACKET;
	assert_null(ibv_create_qp(b.pd, &init));
	assert_int_equal(errno, EOPNOTSUPP);
	assert_null(ibv_create_cq(b.ctx, dev.max_cqe + 1, NULL, NULL, 0));
	assert_null(ibv_create_cq(b.ctx, 0, NULL, NULL, 0));
	assert_null(ibv_create_cq(b.ctx, 1, NULL, NULL, b.ctx->num_comp_vectors));
	bed_end(&b);
}

static void a_full_queue(void **state)
{
	struct ibv_sge sge;
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND }, *bad;
	int err = 0, n = 0;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	sge = bed_sge(&b, 0, 0, 8);
	/* The peer has no receive request, and is asked again for ever. */
	while (n < 100 && !(err = ibv_post_send(b.qp[0], &wr, &bad)))
		n++;
	assert_int_equal(err, ENOMEM);
	assert_int_equal(n, 16);
	assert_ptr_equal(bad, &wr);
	bed_end(&b);
}

/* What a program leaves behind goes with its context. */
static void close_with_everything_open(void **state)
{
	struct ibv_srq_init_attr init = { .attr = { .max_wr = 1, .max_sge = 1 } };
	struct ibv_ah_attr path;
	struct bed b;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	path = bed_path(b.ctx);
	assert_non_null(ibv_create_ah(b.pd, &path));
	assert_non_null(ibv_create_srq(b.pd, &init));
	assert_non_null(ibv_alloc_mw(b.pd, IBV_MW_TYPE_1));
	assert_int_equal(ibv_close_device(b.ctx), 0);
	assert_int_equal(ibv_destroy_qp(b.qp[0]), EINVAL);
	free(b.mem[0]);
	free(b.mem[1]);
	bed_begin(&b);
	bed_end(&b);
}

/* What the child inherits: contexts, which get an adapter of the child's own; what was made on them is the parent's. */
static bool child_works(struct bed *b)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *ctx = list ? ibv_open_device(list[0]) : NULL;
	struct ibv_pd *pd = ibv_alloc_pd(b->ctx);
	struct ibv_async_event event;

	if (ibv_destroy_qp(b->qp[0]) != EINVAL || ibv_dealloc_pd(b->pd) != EINVAL || !pd || !ctx)
		return false;
	if (!ibv_reg_mr(pd, b->mem[0], 100, BED_ACCESS) || !ibv_create_cq(b->ctx, 1, NULL, NULL, 0))
		return false;
	if (fcntl(b->ctx->async_fd, F_SETFL, O_NONBLOCK) || !ibv_get_async_event(b->ctx, &event) || errno != EAGAIN)
		return false;
	return ibv_alloc_pd(ctx) && !ibv_close_device(ctx) && !ibv_close_device(b->ctx);
}

static void a_forked_child_begins_anew(void **state)
{
	struct bed b;
	int status;
	pid_t pid;

	(void)state;
	bed_pair(&b, IBV_QPT_RC);
	pid = fork();
	if (!pid)
		_exit(child_works(&b) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(fcntl(b.ctx->async_fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(
		bed_rdma(&b, IBV_WR_RDMA_WRITE, bed_sge(&b, 0, 0, 10), (uintptr_t)b.mem[1], b.mr[1]->rkey).status,
		IBV_WC_SUCCESS);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unmapped_at_the_requester),
		cmocka_unit_test(unmapped_at_the_responder),
		cmocka_unit_test(unmapped_under_a_receive),
		cmocka_unit_test(unmapped_with_signals_blocked),
		cmocka_unit_test(cut_file),
		cmocka_unit_test(own_faults_are_the_programs),
		cmocka_unit_test(own_faults_kill),
		cmocka_unit_test(registration_touches_nothing),
		cmocka_unit_test(memory_that_is_not_there_is_refused),
		cmocka_unit_test(memory_without_the_rights_is_refused),
		cmocka_unit_test(the_same_on_an_older_kernel),
		cmocka_unit_test(on_demand),
		cmocka_unit_test(reregistration),
		cmocka_unit_test(reregistration_of_rights_alone),
		cmocka_unit_test(objects_of_another_context),
		cmocka_unit_test(stale_and_forged_handles),
		cmocka_unit_test(busy_objects_stay),
		cmocka_unit_test(key_of_a_destroyed_region),
		cmocka_unit_test(beyond_limits),
		cmocka_unit_test(a_full_queue),
		cmocka_unit_test(close_with_everything_open),
		cmocka_unit_test(a_forked_child_begins_anew),
	};

	return cmocka_run_group_tests(tests, make_fabric, remove_fabric);
}
