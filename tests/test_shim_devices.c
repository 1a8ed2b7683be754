/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Several devices of one process (SOFTHCA_DEVICES): their names and GUIDs, traffic between them in one process and between two, objects
 * of two of them together, and the end of one. With an argument it is what its tests run: a program with other settings.
 */
#include "shim_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define DEVICES 3
#define NODE_BITS 14 /* of a queue pair's number, below its node's */

/* In a child: cmocka's assertions are the parent's. */
#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "# pid %d, line %d: %s\n", (int)getpid(), __LINE__, #c), _exit(1)))

/* --- a program with other settings --- */

/* Return: how many devices it finds, and their GUIDs on standard output; 100: it finds no list. */
static int list_devices(void)
{
	int n = 0, i;
	struct ibv_device **list = ibv_get_device_list(&n);

	if (!list)
		return errno == EINVAL && !n ? 100 : 101;
	for (i = 0; i < n; i++)
		printf("%s %016" PRIx64 "\n", ibv_get_device_name(list[i]), (uint64_t)ibv_get_device_guid(list[i]));
	ibv_free_device_list(list);
	return n;
}

/* What it wrote to standard output and error. Return: its exit status. */
static int run_with(const char *devices, char *said, size_t size)
{
	int fds[2], status;
	size_t used = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		if (devices)
			setenv("SOFTHCA_DEVICES", devices, 1);
		else
			unsetenv("SOFTHCA_DEVICES");
		execl("/proc/self/exe", "test_shim_devices", "list", NULL);
		_exit(127);
	}
	close(fds[1]);
	while ((n = read(fds[0], said + used, size - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = 0;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void settings(void **state)
{
	static const char *const bad[] = { "0", "9", "-1", "", "two", "1 ", "2x", "10", "0x2", "+1" };
	char said[2048], want[64];
	size_t i;

	(void)state;
	assert_int_equal(run_with(NULL, said, sizeof(said)), 1);
	assert_int_equal(run_with("1", said, sizeof(said)), 1);
	assert_int_equal(run_with("8", said, sizeof(said)), 8);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(run_with(bad[i], said, sizeof(said)), 100);
		snprintf(want, sizeof(want), "softhca: SOFTHCA_DEVICES=%s: must be a number from 1 to 8\n", bad[i]);
		assert_string_equal(said, want);
	}
}

/* --- the list --- */

static void the_list(void **state)
{
	int n = 0, i, k;
	struct ibv_device **list = ibv_get_device_list(&n);
	char name[16];

	(void)state;
	assert_non_null(list);
	assert_int_equal(n, DEVICES);
	assert_null(list[DEVICES]);
	for (i = 0; i < DEVICES; i++) {
		snprintf(name, sizeof(name), "ipath%d", i);
		assert_string_equal(ibv_get_device_name(list[i]), name);
		snprintf(name, sizeof(name), "uverbs%d", i);
		assert_string_equal(list[i]->dev_name, name);
		assert_non_null(strstr(list[i]->dev_path, name));
		assert_int_equal(ibv_get_device_index(list[i]), i);
		for (k = 0; k < i; k++)
			assert_true(ibv_get_device_guid(list[i]) != ibv_get_device_guid(list[k]));
	}
	ibv_free_device_list(list);
}

/* The GUIDs of another process are the same, however many devices it has. */
static void guids_stay(void **state)
{
	char one[2048], two[2048], eight[2048];

	(void)state;
	assert_int_equal(run_with("1", one, sizeof(one)), 1);
	assert_int_equal(run_with("2", two, sizeof(two)), 2);
	assert_int_equal(run_with("8", eight, sizeof(eight)), 8);
	assert_int_equal(strncmp(two, one, strlen(one)), 0);
	assert_int_equal(strncmp(eight, two, strlen(two)), 0);
}

static void what_a_device_says_of_itself(void **state)
{
	struct ibv_context *ctx[DEVICES];
	struct ibv_device_attr attr;
	struct ibv_port_attr port;
	union ibv_gid gid[2];
	int i, k;

	(void)state;
	for (i = 0; i < DEVICES; i++) {
		ctx[i] = bed_open_on(i);
		assert_int_equal(ibv_query_device(ctx[i], &attr), 0);
		assert_true(attr.node_guid == ibv_get_device_guid(ctx[i]->device));
		assert_true(attr.sys_image_guid == attr.node_guid);
		assert_int_equal(ibv_query_port(ctx[i], 1, &port), 0);
		assert_int_equal(port.lid, 0);
	}
	/* An address of its own, and then those of the host's interfaces. */
	for (i = 1; i < DEVICES; i++) {
		for (k = 0; k < port.gid_tbl_len; k++) {
			assert_int_equal(ibv_query_gid(ctx[0], 1, k, &gid[0]), 0);
			assert_int_equal(ibv_query_gid(ctx[i], 1, k, &gid[1]), 0);
			assert_int_equal(!memcmp(&gid[0], &gid[1], sizeof(gid[0])), k > 0);
		}
	}
	for (i = 0; i < DEVICES; i++)
		assert_int_equal(ibv_close_device(ctx[i]), 0);
}

/* --- traffic --- */

/* The first queue pair of @a and that of @b. */
static void connect_beds(struct bed *a, struct bed *b, enum ibv_qp_type type)
{
	a->qp[0] = bed_qp(a, type, NULL);
	b->qp[0] = bed_qp(b, type, NULL);
	assert_int_not_equal(a->qp[0]->qp_num >> NODE_BITS, b->qp[0]->qp_num >> NODE_BITS);
	/* A process may have to wait for a processor. */
	bed_connect_for(a, a->qp[0], b->qp[0]->qp_num, 18);
	bed_connect_for(b, b->qp[0], a->qp[0]->qp_num, 18);
}

static void begin_two(struct bed *b, enum ibv_qp_type type)
{
	bed_begin_on(&b[0], 0);
	bed_begin_on(&b[1], 1);
	connect_beds(&b[0], &b[1], type);
}

static void send_from(struct bed *from, struct bed *to, uint32_t len)
{
	struct ibv_sge in = bed_sge(to, 1, 0, len), out = bed_sge(from, 0, 0, len);
	struct ibv_send_wr wr = {
		.wr_id = 8, .sg_list = &out, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED
	};
	struct ibv_wc wc;

	memset(to->mem[1], 0, BED_BYTES);
	bed_recv(to->qp[0], 9, &in);
	bed_post(from->qp[0], &wr);
	wc = bed_poll(to->cq);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.wr_id, 9);
	assert_int_equal(wc.byte_len, len);
	assert_int_equal(wc.slid, 0);
	wc = bed_poll(from->cq);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.wr_id, 8);
	assert_memory_equal(to->mem[1], from->mem[0], len);
}

static void expect_traffic(struct bed *from, struct bed *to)
{
	const uint32_t sizes[] = { 1, 8, 4096, BED_BYTES };
	uint64_t *word = (uint64_t *)to->mem[0];
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(from->mem[0], 0x40 + (int)i, BED_BYTES);
		send_from(from, to, sizes[i]);
		assert_int_equal(bed_rdma(from, IBV_WR_RDMA_WRITE, bed_sge(from, 0, 0, sizes[i]), (uintptr_t)to->mem[1],
					  to->mr[1]->rkey)
					 .status,
				 IBV_WC_SUCCESS);
		assert_memory_equal(to->mem[1], from->mem[0], sizes[i]);
		memset(to->mem[1], 0x60 + (int)i, BED_BYTES);
		assert_int_equal(bed_rdma(from, IBV_WR_RDMA_READ, bed_sge(from, 1, 0, sizes[i]), (uintptr_t)to->mem[1],
					  to->mr[1]->rkey)
					 .status,
				 IBV_WC_SUCCESS);
		assert_memory_equal(to->mem[1], from->mem[1], sizes[i]);
	}
	*word = 37;
	assert_int_equal(bed_rdma(from, IBV_WR_ATOMIC_FETCH_AND_ADD, bed_sge(from, 0, 0, 8), (uintptr_t)word,
				  to->mr[0]->rkey)
				 .status,
			 IBV_WC_SUCCESS);
	assert_int_equal(*word, 42);
	assert_int_equal(*(uint64_t *)from->mem[0], 37);
}

static void between_two_of_a_process(void **state)
{
	struct bed b[2];

	(void)state;
	begin_two(b, IBV_QPT_RC);
	expect_traffic(&b[0], &b[1]);
	expect_traffic(&b[1], &b[0]);
	/* Keys are a device's own: that of the peer's region, given a domain's number that isn't its own, opens nothing. */
	assert_int_not_equal(bed_rdma(&b[0], IBV_WR_RDMA_WRITE, bed_sge(&b[0], 0, 0, 8), (uintptr_t)b[1].mem[0],
				      b[1].mr[0]->rkey + 0x10000)
				     .status,
			     IBV_WC_SUCCESS);
	bed_end(&b[0]);
	bed_end(&b[1]);
}

static void an_event_wakes_the_right_one(void **state)
{
	struct ibv_sge in, out;
	struct ibv_send_wr wr = { .sg_list = &out, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_cq *cq;
	struct pollfd fd;
	void *context;
	struct bed b[2];

	(void)state;
	begin_two(b, IBV_QPT_RC);
	in = bed_sge(&b[1], 0, 0, 64);
	out = bed_sge(&b[0], 0, 0, 64);
	assert_int_equal(ibv_req_notify_cq(b[0].cq, 0), 0);
	assert_int_equal(ibv_req_notify_cq(b[1].cq, 0), 0);
	bed_recv(b[1].qp[0], 1, &in);
	bed_post(b[0].qp[0], &wr);
	assert_int_equal(ibv_get_cq_event(b[1].channel, &cq, &context), 0);
	assert_ptr_equal(cq, b[1].cq);
	ibv_ack_cq_events(cq, 1);
	assert_int_equal(bed_poll(b[1].cq).status, IBV_WC_SUCCESS);
	fd = (struct pollfd){ .fd = b[0].channel->fd, .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 0), 0);
	bed_end(&b[0]);
	bed_end(&b[1]);
}

static void datagrams(void **state)
{
	struct ibv_send_wr wr = { .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_ah_attr path, back;
	struct ibv_sge in, out;
	struct ibv_wc wc;
	struct bed b[2];
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		bed_begin_on(&b[i], i);
		b[i].qp[0] = bed_qp(&b[i], IBV_QPT_UD, NULL);
		bed_datagram(b[i].qp[0]);
	}
	path = bed_path(b[1].ctx);
	in = bed_sge(&b[1], 0, 0, 40 + 64);
	out = bed_sge(&b[0], 0, 0, 64);
	bed_recv(b[1].qp[0], 1, &in);
	wr.sg_list = &out;
	wr.wr.ud.ah = ibv_create_ah(b[0].pd, &path);
	assert_non_null(wr.wr.ud.ah);
	wr.wr.ud.remote_qpn = b[1].qp[0]->qp_num;
	wr.wr.ud.remote_qkey = 0x11;
	bed_post(b[0].qp[0], &wr);
	wc = bed_poll(b[1].cq);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.src_qp, b[0].qp[0]->qp_num);
	/* The way back is to the address of the other device. */
	assert_int_equal(ibv_init_ah_from_wc(b[1].ctx, 1, &wc, (struct ibv_grh *)b[1].mem[0], &back), 0);
	path = bed_path(b[0].ctx);
	assert_memory_equal(&back.grh.dgid, &path.grh.dgid, sizeof(path.grh.dgid));
	assert_int_equal(ibv_init_ah_from_wc(b[0].ctx, 1, &wc, (struct ibv_grh *)b[1].mem[0], &back), -1);
	assert_int_equal(ibv_destroy_ah(wr.wr.ud.ah), 0);
	for (i = 0; i < 2; i++)
		bed_end(&b[i]);
}

static void groups(void **state)
{
	const union ibv_gid group = { .raw = { 0xff, 0x12, [15] = 9 } };
	struct ibv_ah_attr path = { .port_num = 1, .is_global = 1, .grh.dgid = group };
	struct ibv_send_wr wr = { .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_sge in, out;
	struct bed b[DEVICES];
	int i;

	(void)state;
	for (i = 0; i < DEVICES; i++) {
		bed_begin_on(&b[i], i);
		b[i].qp[0] = bed_qp(&b[i], IBV_QPT_UD, NULL);
		bed_datagram(b[i].qp[0]);
		assert_int_equal(ibv_attach_mcast(b[i].qp[0], &group, 0xc001), 0);
		in = bed_sge(&b[i], 0, 0, 40 + 64);
		bed_recv(b[i].qp[0], 1, &in);
	}
	out = bed_sge(&b[1], 1, 0, 64);
	wr.sg_list = &out;
	wr.wr.ud.ah = ibv_create_ah(b[1].pd, &path);
	assert_non_null(wr.wr.ud.ah);
	wr.wr.ud.remote_qpn = 0xffffff;
	wr.wr.ud.remote_qkey = 0x11;
	bed_post(b[1].qp[0], &wr);
	for (i = 0; i < DEVICES; i++) {
		assert_int_equal(bed_poll(b[i].cq).status, IBV_WC_SUCCESS);
		assert_memory_equal(b[i].mem[0] + 40, b[1].mem[1], 64);
	}
	assert_int_equal(ibv_destroy_ah(wr.wr.ud.ah), 0);
	for (i = 0; i < DEVICES; i++) {
		assert_int_equal(ibv_detach_mcast(b[i].qp[0], &group, 0xc001), 0);
		bed_end(&b[i]);
	}
}

/* --- two processes --- */

struct name {
	uint32_t qpn, rkey;
	uint64_t addr;
};

static struct name name_of(const struct bed *b)
{
	return (struct name){ b->qp[0]->qp_num, b->mr[1]->rkey, (uintptr_t)b->mem[1] };
}

/* A peer with a queue pair on each of two devices, connected to the ones that its parent names. It waits until it is killed. */
static void be_peer(int in, int out)
{
	struct name name[2], to[2];
	struct bed b[2];
	int i;

	for (i = 0; i < 2; i++) {
		bed_begin_on(&b[i], i + 1);
		b[i].qp[0] = bed_qp(&b[i], IBV_QPT_RC, NULL);
		name[i] = name_of(&b[i]);
	}
	CHECK(write(out, name, sizeof(name)) == (ssize_t)sizeof(name));
	CHECK(read(in, to, sizeof(to)) == (ssize_t)sizeof(to));
	for (i = 0; i < 2; i++) {
		bed_connect_for(&b[i], b[i].qp[0], to[i].qpn, 18);
		memset(b[i].mem[1], 0x70 + i, BED_BYTES);
		bed_recv(b[i].qp[0], 1, NULL);
	}
	CHECK(write(out, "y", 1) == 1);
	for (;;)
		pause();
}

static pid_t start_peer(int *in, int *out)
{
	int down[2], up[2];
	pid_t pid;

	assert_int_equal(pipe(down), 0);
	assert_int_equal(pipe(up), 0);
	pid = fork();
	if (!pid) {
		close(down[1]);
		close(up[0]);
		be_peer(down[0], up[1]);
	}
	assert_true(pid > 0);
	close(down[0]);
	close(up[1]);
	*in = up[0];
	*out = down[1];
	return pid;
}

static enum ibv_event_type next_event(struct ibv_context *ctx, struct ibv_qp *qp)
{
	struct ibv_async_event e;

	do {
		assert_int_equal(ibv_get_async_event(ctx, &e), 0);
		ibv_ack_async_event(&e);
	} while (e.event_type == IBV_EVENT_GID_CHANGE);
	assert_ptr_equal(e.element.qp, qp);
	return e.event_type;
}

static void expect_empty_fabric(void)
{
	DIR *d = opendir(fabric);
	const struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			fail_msg("%s is left", e->d_name);
	closedir(d);
}

/* ipath0 and ipath2 here, ipath1 and ipath2 there; the peer is killed. */
static void between_two_processes(void **state)
{
	struct name name[2], to[2];
	struct bed b[2];
	int in, out, i;
	pid_t pid;
	char c;

	(void)state;
	pid = start_peer(&in, &out);
	bed_begin_on(&b[0], 0);
	bed_begin_on(&b[1], 2);
	for (i = 0; i < 2; i++) {
		b[i].qp[0] = bed_qp(&b[i], IBV_QPT_RC, NULL);
		name[i] = name_of(&b[i]);
	}
	assert_int_equal(read(in, to, sizeof(to)), sizeof(to));
	assert_int_equal(write(out, name, sizeof(name)), sizeof(name));
	for (i = 0; i < 2; i++)
		bed_connect_for(&b[i], b[i].qp[0], to[i].qpn, 18);
	assert_int_equal(read(in, &c, 1), 1);
	for (i = 0; i < 2; i++) {
		assert_int_equal(
			bed_rdma(&b[i], IBV_WR_RDMA_READ, bed_sge(&b[i], 0, 0, 5000), to[i].addr, to[i].rkey).status,
			IBV_WC_SUCCESS);
		assert_int_equal(b[i].mem[0][4999], 0x70 + i);
		assert_int_equal(bed_rdma(&b[i], IBV_WR_RDMA_WRITE_WITH_IMM, bed_sge(&b[i], 0, 0, 5000), to[i].addr,
					  to[i].rkey)
					 .status,
				 IBV_WC_SUCCESS);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Each device has an event for the end of its peer. */
	for (i = 0; i < 2; i++)
		assert_int_equal(next_event(b[i].ctx, b[i].qp[0]), IBV_EVENT_QP_FATAL);
	for (i = 0; i < 2; i++)
		bed_end(&b[i]);
	close(in);
	close(out);
	assert_int_equal(ibv_close_device(bed_open_on(1)), 0);
	expect_empty_fabric();
}

/* --- objects of two devices --- */

static int own_stderr, log_fd;

static void listen_to_log(void)
{
	assert_int_equal(ftruncate(log_fd, 0), 0);
	assert_int_equal(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
}

static void expect_refusal(const char *call, int err)
{
	char text[512] = "";
	ssize_t n = pread(log_fd, text, sizeof(text) - 1, 0);

	assert_int_equal(dup2(own_stderr, STDERR_FILENO), STDERR_FILENO);
	if (err != EINVAL || n <= 0 || strncmp(text, "softhca: ", 9) != 0)
		fail_msg("%s: %d (%s), log: %s", call, err, strerror(err), text);
}

#define NO_POINTER(call) \
	do { \
		const void *made_; \
		listen_to_log(); \
		errno = 0; \
		made_ = (call); \
		expect_refusal(#call, made_ ? 0 : errno); \
	} while (0)
#define NO_ERRNO(call) \
	do { \
		int err_; \
		listen_to_log(); \
		err_ = (call); \
		expect_refusal(#call, err_); \
	} while (0)

static struct ibv_qp_init_attr qp_attr(const struct bed *send, const struct bed *recv, struct ibv_srq *srq)
{
	return (struct ibv_qp_init_attr){
		.send_cq = send->cq,
		.recv_cq = recv->cq,
		.srq = srq,
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
	};
}

static void mixed_queues(struct bed *b)
{
	struct ibv_srq_init_attr sa = { .attr = { .max_wr = 1, .max_sge = 1 } };
	struct ibv_srq *srq = ibv_create_srq(b[1].pd, &sa);
	struct ibv_qp_init_attr_ex ex = { .qp_type = IBV_QPT_RC,
					  .comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_CREATE_FLAGS,
					  .pd = b[1].pd };
	struct ibv_qp_init_attr a;

	assert_non_null(srq);
	a = qp_attr(&b[1], &b[0], NULL);
	NO_POINTER(ibv_create_qp(b[0].pd, &a));
	a = qp_attr(&b[0], &b[1], NULL);
	NO_POINTER(ibv_create_qp(b[0].pd, &a));
	a = qp_attr(&b[0], &b[0], srq);
	NO_POINTER(ibv_create_qp(b[0].pd, &a));
	a = qp_attr(&b[0], &b[0], NULL);
	NO_POINTER(ibv_create_qp(b[1].pd, &a));
	ex.send_cq = ex.recv_cq = b[1].cq;
	ex.cap = a.cap;
	NO_POINTER(ibv_create_qp_ex(b[0].ctx, &ex));
	NO_POINTER(ibv_create_cq(b[0].ctx, 1, NULL, b[1].channel, 0));
	assert_int_equal(ibv_destroy_srq(srq), 0);
}

static void mixed_memory(struct bed *b)
{
	struct ibv_alloc_dm_attr da = { .length = 64 };
	struct ibv_dm *dm = ibv_alloc_dm(b[1].ctx, &da);
	struct ibv_parent_domain_init_attr pa = { .pd = b[1].pd };
	struct ibv_td_init_attr ta = { .comp_mask = 0 };
	struct ibv_td *td = ibv_alloc_td(b[1].ctx, &ta);
	struct ibv_mw *mw = ibv_alloc_mw(b[1].pd, IBV_MW_TYPE_1);
	struct ibv_mw_bind bind = { .bind_info = { .mr = b[1].mr[0], .addr = (uintptr_t)b[1].mem[0], .length = 8 } };

	assert_non_null(dm);
	assert_non_null(td);
	assert_non_null(mw);
	NO_POINTER(ibv_reg_dm_mr(b[0].pd, dm, 0, 64, IBV_ACCESS_ZERO_BASED));
	NO_POINTER(ibv_alloc_parent_domain(b[0].ctx, &pa));
	pa = (struct ibv_parent_domain_init_attr){ .pd = b[0].pd, .td = td };
	NO_POINTER(ibv_alloc_parent_domain(b[0].ctx, &pa));
	errno = 0;
	listen_to_log();
	assert_int_equal(ibv_rereg_mr(b[0].mr[0], IBV_REREG_MR_CHANGE_PD, b[1].pd, NULL, 0, 0), IBV_REREG_MR_ERR_INPUT);
	expect_refusal("ibv_rereg_mr", errno);
	NO_ERRNO(ibv_bind_mw(b[0].qp[0], mw, &bind));
	assert_int_equal(ibv_dealloc_mw(mw), 0);
	assert_int_equal(ibv_dealloc_td(td), 0);
	assert_int_equal(ibv_free_dm(dm), 0);
}

static void mixed_paths(struct bed *b)
{
	struct ibv_ah_attr path = bed_path(b[1].ctx);
	struct ibv_ah *ah = ibv_create_ah(b[1].pd, &path);
	struct ibv_sge out = bed_sge(&b[0], 0, 0, 8);
	struct ibv_send_wr *bad, wr = { .sg_list = &out, .num_sge = 1, .opcode = IBV_WR_SEND };
	struct ibv_qp *ud = bed_qp(&b[0], IBV_QPT_UD, NULL);

	assert_non_null(ah);
	bed_datagram(ud);
	wr.wr.ud.ah = ah;
	wr.wr.ud.remote_qpn = ud->qp_num;
	wr.wr.ud.remote_qkey = 0x11;
	NO_ERRNO(ibv_post_send(ud, &wr, &bad));
	assert_ptr_equal(bad, &wr);
	assert_int_equal(ibv_destroy_qp(ud), 0);
	assert_int_equal(ibv_destroy_ah(ah), 0);
}

static struct ibv_xrcd *open_domain(struct ibv_context *ctx, int fd, int oflags)
{
	struct ibv_xrcd_init_attr a = { .comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
					.fd = fd,
					.oflags = oflags };

	return ibv_open_xrcd(ctx, &a);
}

/* A file has a domain of each device. */
static void mixed_domains(struct bed *b)
{
	struct ibv_srq_init_attr_ex sx = {
		.attr = { .max_wr = 1, .max_sge = 1 },
		.srq_type = IBV_SRQT_XRC,
		.comp_mask = IBV_SRQ_INIT_ATTR_PD | IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_XRCD |
			     IBV_SRQ_INIT_ATTR_CQ,
	};
	struct ibv_qp_init_attr_ex ex = { .qp_type = IBV_QPT_XRC_RECV, .comp_mask = IBV_QP_INIT_ATTR_XRCD };
	struct ibv_qp_open_attr open = {
		.comp_mask = IBV_QP_OPEN_ATTR_NUM | IBV_QP_OPEN_ATTR_XRCD | IBV_QP_OPEN_ATTR_TYPE,
		.qp_type = IBV_QPT_XRC_RECV,
	};
	struct ibv_xrcd *x[2];
	struct ibv_qp *target;

	x[0] = open_domain(b[0].ctx, log_fd, O_CREAT);
	assert_non_null(x[0]);
	errno = 0;
	assert_null(open_domain(b[1].ctx, log_fd, 0));
	assert_int_equal(errno, EAGAIN);
	x[1] = open_domain(b[1].ctx, log_fd, O_CREAT | O_EXCL);
	assert_non_null(x[1]);
	sx.pd = b[0].pd;
	sx.cq = b[0].cq;
	sx.xrcd = x[1];
	NO_POINTER(ibv_create_srq_ex(b[0].ctx, &sx));
	sx.xrcd = x[0];
	sx.cq = b[1].cq;
	NO_POINTER(ibv_create_srq_ex(b[0].ctx, &sx));
	sx.pd = b[1].pd;
	NO_POINTER(ibv_create_srq_ex(b[0].ctx, &sx));
	ex.xrcd = x[1];
	NO_POINTER(ibv_create_qp_ex(b[0].ctx, &ex));
	target = ibv_create_qp_ex(b[1].ctx, &ex);
	assert_non_null(target);
	open.qp_num = target->qp_num;
	open.xrcd = x[0];
	NO_POINTER(ibv_open_qp(b[0].ctx, &open));
	open.xrcd = x[1];
	NO_POINTER(ibv_open_qp(b[0].ctx, &open));
	assert_int_equal(ibv_destroy_qp(target), 0);
	assert_int_equal(ibv_close_xrcd(x[0]), 0);
	assert_int_equal(ibv_close_xrcd(x[1]), 0);
}

/* All is refused, and both devices work as before. */
static void objects_of_two(void **state)
{
	char path[] = "/tmp/test-shim-devices-XXXXXX";
	struct bed b[2];

	(void)state;
	log_fd = mkostemp(path, O_APPEND);
	own_stderr = dup(STDERR_FILENO);
	assert_true(log_fd >= 0 && own_stderr >= 0);
	unlink(path);
	begin_two(b, IBV_QPT_RC);
	mixed_queues(b);
	mixed_memory(b);
	mixed_paths(b);
	mixed_domains(b);
	expect_traffic(&b[0], &b[1]);
	bed_end(&b[0]);
	bed_end(&b[1]);
	close(log_fd);
	close(own_stderr);
}

/* --- ends --- */

static void one_ends(struct bed *end, struct bed *stay)
{
	struct ibv_qp *dead = stay->qp[0];

	bed_end(end);
	/* Nobody is left at the other end of that one; a pair of the device's own goes on, and so does the device. */
	assert_int_equal(next_event(stay->ctx, dead), IBV_EVENT_QP_FATAL);
	assert_int_equal(ibv_destroy_qp(dead), 0);
	stay->qp[0] = bed_qp(stay, IBV_QPT_RC, NULL);
	stay->qp[1] = bed_qp(stay, IBV_QPT_RC, NULL);
	bed_connect(stay, stay->qp[0], stay->qp[1]->qp_num);
	bed_connect(stay, stay->qp[1], stay->qp[0]->qp_num);
	assert_int_equal(bed_rdma(stay, IBV_WR_RDMA_WRITE, bed_sge(stay, 0, 0, 64), (uintptr_t)stay->mem[1],
				  stay->mr[1]->rkey)
				 .status,
			 IBV_WC_SUCCESS);
	assert_int_equal(ibv_destroy_qp(stay->qp[1]), 0);
	assert_int_equal(ibv_destroy_qp(stay->qp[0]), 0);
	stay->qp[0] = stay->qp[1] = NULL;
}

static void one_is_closed(void **state)
{
	struct bed b[2];
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin_two(b, IBV_QPT_RC);
		one_ends(&b[!i], &b[i]);
		/* It comes back, and they find each other again. */
		bed_begin_on(&b[!i], !i);
		connect_beds(&b[0], &b[1], IBV_QPT_RC);
		expect_traffic(&b[0], &b[1]);
		bed_end(&b[0]);
		bed_end(&b[1]);
		expect_empty_fabric();
	}
}

/* A context that is closed with all that is in it ends its device's objects alone. */
static void one_is_abandoned(void **state)
{
	struct bed b[2];

	(void)state;
	begin_two(b, IBV_QPT_RC);
	assert_int_equal(ibv_close_device(b[1].ctx), 0);
	free(b[1].mem[0]);
	free(b[1].mem[1]);
	bed_begin_on(&b[1], 1);
	assert_int_equal(ibv_destroy_qp(b[0].qp[0]), 0);
	connect_beds(&b[0], &b[1], IBV_QPT_RC);
	expect_traffic(&b[1], &b[0]);
	bed_end(&b[0]);
	bed_end(&b[1]);
	expect_empty_fabric();
}

/* The child's devices are its own, also behind the contexts that it inherited; the parent doesn't notice. */
static void a_fork(void **state)
{
	struct bed b[2];
	int status;
	pid_t pid;

	(void)state;
	begin_two(b, IBV_QPT_RC);
	pid = fork();
	if (!pid) {
		struct bed own[2];

		CHECK(ibv_alloc_pd(b[1].ctx));
		CHECK(ibv_destroy_qp(b[0].qp[0]) == EINVAL);
		begin_two(own, IBV_QPT_RC);
		expect_traffic(&own[0], &own[1]);
		bed_end(&own[0]);
		bed_end(&own[1]);
		CHECK(!ibv_close_device(b[0].ctx) && !ibv_close_device(b[1].ctx));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	expect_traffic(&b[0], &b[1]);
	bed_end(&b[0]);
	bed_end(&b[1]);
	expect_empty_fabric();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings),
		cmocka_unit_test(the_list),
		cmocka_unit_test(guids_stay),
		cmocka_unit_test(what_a_device_says_of_itself),
		cmocka_unit_test(between_two_of_a_process),
		cmocka_unit_test(an_event_wakes_the_right_one),
		cmocka_unit_test(datagrams),
		cmocka_unit_test(groups),
		cmocka_unit_test(between_two_processes),
		cmocka_unit_test(objects_of_two),
		cmocka_unit_test(one_is_closed),
		cmocka_unit_test(one_is_abandoned),
		cmocka_unit_test(a_fork),
	};

	(void)argv;
	if (argc > 1)
		return list_devices();
	/* Before the library's first call, which reads them. */
	setenv("SOFTHCA_DEVICES", "3", 1);
	setenv("SOFTHCA_LOG", "info", 1);
	return cmocka_run_group_tests_name("shim_devices", tests, make_fabric, remove_fabric);
}
