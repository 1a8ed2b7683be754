/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What tests/shim_luck.sh runs: a program that loads the drop-in libibverbs itself, by the path that it is told, so that it can
 * load two of them, unload one, or run with rights that its caller doesn't have.
 *
 *	shim_luck open LIBRARY		open the device, and say what it is
 *	shim_luck hold LIBRARY		the same, say "ready", and close it when standard input ends
 *	shim_luck reload LIBRARY N	load, open, close and unload it, N times
 *	shim_luck leave LIBRARY		unload it while the device is open, and go on
 *	shim_luck two LIBRARY OTHER	both in this process, connected to each other
 *	shim_luck faults LIBRARY [OTHER]	handlers of faults that call each other
 *	shim_luck traffic LIBRARY [TIMEOUT]	two processes; say how many files of others' memory were used
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#undef ibv_query_port
#undef ibv_reg_mr

#define BYTES (1u << 20)
#define ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ)
#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "line %d: %s: %s\n", __LINE__, #c, strerror(errno)), _exit(1)))

/* A copy of the library. */
struct copy {
	void *handle;
	__typeof__(ibv_get_device_list) *get_device_list;
	__typeof__(ibv_free_device_list) *free_device_list;
	__typeof__(ibv_open_device) *open_device;
	__typeof__(ibv_close_device) *close_device;
	int (*query_port)(struct ibv_context *ctx, uint8_t port, struct ibv_port_attr *attr);
	__typeof__(ibv_query_gid) *query_gid;
	__typeof__(ibv_alloc_pd) *alloc_pd;
	struct ibv_mr *(*reg_mr)(struct ibv_pd *pd, void *addr, size_t length, int access);
	__typeof__(ibv_create_cq) *create_cq;
	__typeof__(ibv_create_qp) *create_qp;
	__typeof__(ibv_modify_qp) *modify_qp;
};

static void *symbol(void *handle, const char *name)
{
	void *at = dlsym(handle, name);

	CHECK(at);
	return at;
}

static struct copy load(const char *path)
{
	struct copy c = { .handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) };

	if (!c.handle) {
		fprintf(stderr, "%s\n", dlerror());
		_exit(1);
	}
	c.get_device_list = symbol(c.handle, "ibv_get_device_list");
	c.free_device_list = symbol(c.handle, "ibv_free_device_list");
	c.open_device = symbol(c.handle, "ibv_open_device");
	c.close_device = symbol(c.handle, "ibv_close_device");
	c.query_port = symbol(c.handle, "ibv_query_port");
	c.query_gid = symbol(c.handle, "ibv_query_gid");
	c.alloc_pd = symbol(c.handle, "ibv_alloc_pd");
	c.reg_mr = symbol(c.handle, "ibv_reg_mr");
	c.create_cq = symbol(c.handle, "ibv_create_cq");
	c.create_qp = symbol(c.handle, "ibv_create_qp");
	c.modify_qp = symbol(c.handle, "ibv_modify_qp");
	return c;
}

static struct ibv_context *open_device(const struct copy *c)
{
	struct ibv_device **list = c->get_device_list(NULL);
	struct ibv_context *ctx;

	if (!list)
		return NULL;
	ctx = c->open_device(list[0]);
	c->free_device_list(list);
	return ctx;
}

/* --- a side of a connection --- */

/* As in struct ibv_qp_attr: 4 s, and eight times that until it gives up. */
static uint8_t timeout = 20;

struct side {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	uint8_t *mem;
};

static struct side side_open(const struct copy *c)
{
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = { 4, 4, 1, 1, 0 } };
	struct side s = { .ctx = open_device(c) };

	CHECK(s.ctx);
	CHECK(s.pd = c->alloc_pd(s.ctx));
	CHECK(s.cq = c->create_cq(s.ctx, 16, NULL, NULL, 0));
	CHECK((s.mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
	CHECK(s.mr = c->reg_mr(s.pd, s.mem, BYTES, ACCESS));
	init.send_cq = init.recv_cq = s.cq;
	CHECK(s.qp = c->create_qp(s.pd, &init));
	return s;
}

static void side_connect(const struct copy *c, struct side *s, uint32_t to)
{
	struct ibv_qp_attr a = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qp_access_flags = ACCESS };

	CHECK(!c->modify_qp(s->qp, &a, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS));
	a = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTR,
				  .path_mtu = IBV_MTU_1024,
				  .dest_qp_num = to,
				  .max_dest_rd_atomic = 4,
				  .min_rnr_timer = 1,
				  .ah_attr = { .port_num = 1, .is_global = 1, .grh.hop_limit = 1 } };
	CHECK(!c->query_gid(s->ctx, 1, 0, &a.ah_attr.grh.dgid));
	CHECK(!c->modify_qp(s->qp, &a,
			    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				    IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER));
	a = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = timeout, .retry_cnt = 7, .rnr_retry = 7, .max_rd_atomic = 4
	};
	CHECK(!c->modify_qp(s->qp, &a,
			    IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				    IBV_QP_MAX_QP_RD_ATOMIC));
}

static enum ibv_wc_status request(struct side *s, enum ibv_wr_opcode op, uint32_t len, uint64_t addr, uint32_t rkey)
{
	struct ibv_sge sge = { .addr = (uintptr_t)s->mem, .length = len, .lkey = s->mr->lkey };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = op, .send_flags = IBV_SEND_SIGNALED }, *bad;
	struct ibv_wc wc;
	int n;

	wr.wr.rdma.remote_addr = addr;
	wr.wr.rdma.rkey = rkey;
	CHECK(!ibv_post_send(s->qp, &wr, &bad));
	while (!(n = ibv_poll_cq(s->cq, 1, &wc)))
		;
	CHECK(n == 1);
	return wc.status;
}

static void receive(struct side *s)
{
	struct ibv_sge sge = { .addr = (uintptr_t)s->mem, .length = 8, .lkey = s->mr->lkey };
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;

	CHECK(!ibv_post_recv(s->qp, &wr, &bad));
}

/* --- what there is --- */

static unsigned int entries(const char *path)
{
	DIR *d = opendir(path);
	unsigned int n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int do_open(const struct copy *c, bool hold)
{
	struct ibv_context *ctx = open_device(c);
	struct ibv_port_attr port;
	char byte;

	if (!ctx) {
		printf("not opened: %s\n", strerror(errno));
		return 1;
	}
	CHECK(!c->query_port(ctx, 1, &port));
	printf("opened: link layer %s\n", port.link_layer == IBV_LINK_LAYER_INFINIBAND ? "ib" : "roce");
	if (hold) {
		puts("ready");
		fflush(stdout);
		while (read(0, &byte, 1) > 0)
			;
	}
	CHECK(!c->close_device(ctx));
	return 0;
}

/* After the first time nothing is added: no thread, no descriptor, and no second copy of the library. */
static int do_reload(const char *path, int times)
{
	unsigned int fds = 0, threads = 0;
	void *before = NULL;
	int i;

	for (i = 0; i < times; i++) {
		struct copy c = load(path);
		struct ibv_context *ctx = open_device(&c);

		CHECK(ctx);
		CHECK(!c.close_device(ctx));
		CHECK(!before || before == (void *)c.open_device);
		before = (void *)c.open_device;
		CHECK(!dlclose(c.handle));
		if (!i) {
			fds = entries("/proc/self/fd");
			threads = entries("/proc/self/task");
		}
		CHECK(entries("/proc/self/fd") == fds);
		CHECK(entries("/proc/self/task") == threads);
	}
	puts("reloaded");
	return 0;
}

static int do_leave(const char *path)
{
	struct copy c = load(path), again;
	struct side s = side_open(&c);

	CHECK(!dlclose(c.handle));
	/* Its threads run on, and so does what is open. */
	side_connect(&c, &s, s.qp->qp_num);
	CHECK(request(&s, IBV_WR_RDMA_WRITE, 8, (uintptr_t)s.mem + 8, s.mr->rkey) == IBV_WC_SUCCESS);
	again = load(path);
	CHECK(!again.close_device(s.ctx));
	CHECK(!dlclose(again.handle));
	puts("left");
	return 0;
}

static int do_two(const char *one, const char *other)
{
	struct copy c[2] = { load(one), load(other) };
	struct side s[2];
	int i;

	CHECK(c[0].open_device != c[1].open_device);
	for (i = 0; i < 2; i++)
		s[i] = side_open(&c[i]);
	CHECK(s[0].qp->qp_num != s[1].qp->qp_num);
	for (i = 0; i < 2; i++)
		side_connect(&c[i], &s[i], s[!i].qp->qp_num);
	for (i = 0; i < 2; i++) {
		memset(s[i].mem, 0x50 + i, 100);
		CHECK(request(&s[i], IBV_WR_RDMA_WRITE, 100, (uintptr_t)s[!i].mem + 1000, s[!i].mr->rkey) ==
		      IBV_WC_SUCCESS);
		CHECK(!memcmp(s[i].mem, s[!i].mem + 1000, 100));
	}
	/* A fault of the copy's own, under the handler of the other one. */
	munmap(s[0].mem, BYTES);
	CHECK(request(&s[0], IBV_WR_RDMA_WRITE, 100, (uintptr_t)s[1].mem + 1000, s[1].mr->rkey) == IBV_WC_LOC_PROT_ERR);
	for (i = 0; i < 2; i++)
		CHECK(!c[i].close_device(s[i].ctx));
	puts("both");
	return 0;
}

/* --- handlers --- */

static struct sigaction below;
static volatile sig_atomic_t first_ran, second_ran;
static sigjmp_buf back;

static void first(int sig)
{
	(void)sig;
	first_ran++;
	siglongjmp(back, 1);
}

/* As crash reporters do: it looks, and hands on to who was there before. */
static void second(int sig, siginfo_t *info, void *uc)
{
	second_ran++;
	if (second_ran > 100)
		_exit(3); /* round and round */
	if (below.sa_flags & SA_SIGINFO)
		below.sa_sigaction(sig, info, uc);
	else
		below.sa_handler(sig);
}

/* The program's first handler hears of each of its faults, once, whoever else put his own on top, and how often. */
static int do_faults(const char *one, const char *other)
{
	struct sigaction a = { .sa_handler = first }, b = { .sa_sigaction = second, .sa_flags = SA_SIGINFO };
	volatile uint8_t *hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct copy c[2];
	int i;

	sigaction(SIGSEGV, &a, NULL);
	c[0] = load(one);
	CHECK(open_device(&c[0]));
	if (other) {
		c[1] = load(other);
		CHECK(open_device(&c[1]));
	} else {
		sigaction(SIGSEGV, &b, &below);
	}
	CHECK(open_device(&c[0])); /* its handler is on top again */
	for (i = 0; i < 10; i++) {
		if (!sigsetjmp(back, 1))
			*hole = 1;
		CHECK(first_ran == i + 1);
		CHECK(other || second_ran == i + 1);
	}
	puts("handled");
	return 0;
}

/* --- two processes --- */

static unsigned int memory_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *f;
	unsigned int n = 0;
	char to[256];
	ssize_t len;

	CHECK(d);
	while ((f = readdir(d))) {
		len = readlinkat(dirfd(d), f->d_name, to, sizeof(to) - 1);
		to[len > 0 ? len : 0] = 0;
		n += len > 10 && !strncmp(to, "/proc/", 6) && !strcmp(to + len - 4, "/mem");
	}
	closedir(d);
	return n;
}

/* May this process read the other one's memory at all? */
static bool allows(pid_t pid, void *at)
{
	struct iovec own = { at, 1 }, its = { at, 1 };

	return process_vm_readv(pid, &own, 1, &its, 1, 0) == 1;
}

struct name {
	uint32_t qpn, rkey;
	uint64_t addr;
};

static int do_traffic(const struct copy *c)
{
	int line[2], i, status;
	struct name own, peer;
	struct side s;
	pid_t pid;
	char byte;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line));
	pid = fork();
	CHECK(pid >= 0);
	i = pid ? 0 : 1;
	if (!pid)
		CHECK(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	close(line[!i]);
	s = side_open(c);
	own = (struct name){ s.qp->qp_num, s.mr->rkey, (uintptr_t)s.mem };
	CHECK(write(line[i], &own, sizeof(own)) == sizeof(own) && read(line[i], &peer, sizeof(peer)) == sizeof(peer));
	side_connect(c, &s, peer.qpn);
	memset(s.mem, i + 1, BYTES);
	if (!pid)
		receive(&s);
	CHECK(write(line[i], "", 1) == 1 && read(line[i], &byte, 1) == 1);
	if (pid) {
		CHECK(request(&s, IBV_WR_RDMA_WRITE, 8, peer.addr, peer.rkey) == IBV_WC_SUCCESS);
		CHECK(request(&s, IBV_WR_RDMA_WRITE, BYTES, peer.addr, peer.rkey) == IBV_WC_SUCCESS);
		memset(s.mem, 0, BYTES);
		CHECK(request(&s, IBV_WR_RDMA_READ, BYTES, peer.addr, peer.rkey) == IBV_WC_SUCCESS);
		CHECK(s.mem[0] == 1 && s.mem[BYTES - 1] == 1);
		CHECK(request(&s, IBV_WR_RDMA_READ, 8, peer.addr, peer.rkey) == IBV_WC_SUCCESS);
		/* This goes through rings of the fabric. */
		CHECK(request(&s, IBV_WR_SEND, 8, 0, 0) == IBV_WC_SUCCESS);
		printf("moved, by %u files; the system %s\n", memory_files(),
		       allows(pid, s.mem) ? "allows" : "forbids");
	}
	CHECK(write(line[i], "", 1) == 1 && read(line[i], &byte, 1) == 1);
	CHECK(!c->close_device(s.ctx));
	if (!pid)
		_exit(0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(!status);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "", *other = argc > 3 ? argv[3] : NULL;
	struct copy c;

	signal(SIGPIPE, SIG_IGN); /* the other process may have ended */
	if (!strcmp(what, "reload") && other)
		return do_reload(argv[2], atoi(other));
	if (!strcmp(what, "leave"))
		return do_leave(argv[2]);
	if (!strcmp(what, "two") && other)
		return do_two(argv[2], other);
	if (!strcmp(what, "faults"))
		return do_faults(argv[2], other);
	if (!strcmp(what, "open") || !strcmp(what, "hold")) {
		c = load(argv[2]);
		return do_open(&c, what[0] == 'h');
	}
	if (!strcmp(what, "traffic")) {
		if (other)
			timeout = (uint8_t)atoi(other);
		c = load(argv[2]);
		return do_traffic(&c);
	}
	fprintf(stderr, "usage: shim_luck open|hold|reload|leave|two|faults|traffic LIBRARY [N|OTHER|TIMEOUT]\n");
	return 2;
}
