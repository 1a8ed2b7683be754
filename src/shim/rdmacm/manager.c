/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The communication manager of this process: src/cm over a queue pair for datagrams,
 * whose number other processes find in the table of ports. It is made when it is first
 * needed and stays. A thread takes in what comes; it takes no signals, and sleeps until
 * there is something.
 */
#include "rdmacm.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "shim/hooks.h"
#include "softhca/abi/fabric.h"

#define QKEY 0x80010000u /* of queue pairs of management (IBTA 3.5.3) */
#define SENDS 8192u
#define RECVS 8192u
#define BUFFER 320u /* a GRH and a datagram, each begins a cache line */
#define AT_ONCE 16
#define KNOCK_MS 2 /* between two looks */
#define STACK_BYTES ((size_t)1 << 20)

pthread_mutex_t cm_lock = PTHREAD_MUTEX_INITIALIZER;
u32 cm_life;

/** struct process - what the manager has; @device: its own context, so that programs' contexts have their own objects alone; @others: of the devices that it isn't on, opened when a program asks for all */
struct process {
	struct cm_manager m;
	struct hca_eq eq;
	struct ibv_context *device;
	struct ibv_context *others[HCA_FABRIC_DEVICES];
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	struct ibv_ah *ah;
	u8 *bytes; /* RECVS * BUFFER */
	int wake;
	u32 knocking; /* atomic */
};

static struct process *process; /* atomic: set once; in a forked child again */
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

struct cm_manager *cm_manager(void)
{
	return &hca_load_acquire(&process)->m;
}

/* --- out --- */

/* The manager knows a process by a path; here that is the number of the queue pair, in the GID's last bytes. */
struct hca_ah_attr cm_to(u32 qpn)
{
	struct hca_ah_attr to = { .is_global = true, .port_num = CM_PORT };
	u32 i;

	for (i = 0; i < 4; i++)
		to.grh.dgid.raw[12 + i] = (u8)(qpn >> (24 - 8 * i));
	return to;
}

u32 cm_from(const struct hca_ah_attr *to)
{
	const u8 *at = to->grh.dgid.raw + 12;

	return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

static void send_mad(struct hca_cm *cm, const struct hca_ah_attr *to, const u8 *mad)
{
	struct process *p = hca_container_of(cm, struct process, m.cm);
	struct ibv_sge sge = { .addr = (uintptr_t)mad, .length = HCA_MAD_BYTES };
	struct ibv_send_wr *bad, wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND,
		.send_flags = IBV_SEND_INLINE,
		.wr.ud = { .ah = p->ah, .remote_qpn = cm_from(to), .remote_qkey = QKEY },
	};

	(void)ibv_post_send(p->qp, &wr, &bad);
}

static const struct hca_cm_ops ops = { .send = send_mad };

/* --- in --- */

static void post(struct process *p, u64 i)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)(p->bytes + i * BUFFER),
		.length = sizeof(struct ibv_grh) + HCA_MAD_BYTES,
		.lkey = p->mr->lkey,
	};
	struct ibv_recv_wr *bad, wr = { .wr_id = i, .sg_list = &sge, .num_sge = 1 };

	(void)ibv_post_recv(p->qp, &wr, &bad);
}

static void take(struct process *p, const struct ibv_wc *wc)
{
	const struct hca_ah_attr from = cm_to(wc->src_qp);

	if (wc->status || !(wc->opcode & IBV_WC_RECV))
		return;
	hca_cm_recv(&p->m.cm, &from, p->bytes + wc->wr_id * BUFFER + sizeof(struct ibv_grh),
		    wc->byte_len - (u32)sizeof(struct ibv_grh));
	post(p, wc->wr_id);
	hca_eq_run(&p->eq);
}

static void take_all(struct process *p)
{
	struct ibv_wc wc[AT_ONCE];
	int n, i;

	while ((n = ibv_poll_cq(p->cq, AT_ONCE, wc)) > 0)
		for (i = 0; i < n; i++)
			take(p, &wc[i]);
}

/* The queue is armed before it is looked at for the last time. What a dead process said comes before the news of its death. */
static void turn(struct process *p)
{
	struct ibv_cq *cq;
	void *context;
	bool news = false;
	u64 count;

	if (read(p->wake, &count, sizeof(count)) > 0)
		news = true;
	while (!ibv_get_cq_event(p->channel, &cq, &context))
		ibv_ack_cq_events(cq, 1);
	ibv_req_notify_cq(p->cq, 0);
	take_all(p);
	if (news)
		cm_mourn();
}

/* At what waits for something that others do. */
static void look_again(struct process *p)
{
	bool knocks = cm_knock(), late = cm_refuse_late();

	if (knocks || late)
		hca_store(&p->knocking, 1u);
}

static void *serve(void *arg)
{
	struct process *p = arg;
	struct pollfd fds[2] = { { .fd = p->channel->fd, .events = POLLIN }, { .fd = p->wake, .events = POLLIN } };

	pthread_setname_np(pthread_self(), "softhca-cm");
	for (;;) {
		turn(p);
		if (hca_xchg(&p->knocking, 0u))
			look_again(p);
		(void)poll(fds, 2, hca_load(&p->knocking) ? KNOCK_MS : -1);
	}
	return NULL;
}

/* The program's signals are for the program's threads. */
static int start_thread(struct process *p)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	err = pthread_create(&thread, &attr, serve, p);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

static void wake(struct process *p)
{
	static const u64 one = 1;

	if (write(p->wake, &one, sizeof(one)) < 0)
		hca_log(HCA_LOG_WARN, "rdmacm: the thread isn't woken: %s", strerror(errno));
}

void cm_knock_later(void)
{
	struct process *p = hca_load_acquire(&process);

	hca_store(&p->knocking, 1u);
	wake(p);
}

/* Was it the peer of this connection? If the peer's stamp isn't known, its node's number tells. */
static bool is_of(const struct cm_id *id, u32 node, u64 stamp)
{
	if (!id->manager || id->manager >> HCA_FABRIC_QPN_BITS != node)
		return false;
	return !id->stamp || !stamp || id->stamp == stamp;
}

/* A thread of libibverbs calls. */
static void on_death(u32 node, u64 stamp)
{
	struct process *p = hca_load_acquire(&process);
	struct cm_id *id;
	bool some = false;

	pthread_mutex_lock(&cm_lock);
	for (id = cm_each(); id; id = id->next) {
		if (!is_of(id, node, stamp))
			continue;
		id->gone = true;
		some = true;
	}
	pthread_mutex_unlock(&cm_lock);
	if (p && some)
		wake(p);
}

/* --- the beginning --- */

/* The first one: an address belongs to one device. */
static struct ibv_context *open_device(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *c = NULL;

	if (!list)
		return NULL;
	if (list[0])
		c = ibv_open_device(list[0]);
	else
		errno = ENODEV;
	ibv_free_device_list(list);
	return c;
}

/* Of a call that gave nothing. */
static int why(void)
{
	int err = errno;

	return err ? err : EIO;
}

static int open_all(struct process *p)
{
	struct cm_manager *m = &p->m;
	struct ibv_port_attr port;
	size_t bytes = (size_t)RECVS * BUFFER;

	p->device = open_device();
	m->verbs = p->device ? open_device() : NULL;
	m->pd = m->verbs ? ibv_alloc_pd(m->verbs) : NULL;
	p->pd = m->pd ? ibv_alloc_pd(p->device) : NULL;
	p->channel = p->pd ? ibv_create_comp_channel(p->device) : NULL;
	p->cq = p->channel ? ibv_create_cq(p->device, (int)(SENDS + RECVS), NULL, p->channel, 0) : NULL;
	p->bytes = p->cq ? aligned_alloc(4096, bytes) : NULL;
	p->mr = p->bytes ? ibv_reg_mr(p->pd, p->bytes, bytes, IBV_ACCESS_LOCAL_WRITE) : NULL;
	if (!p->mr)
		return why();
	if (fcntl(p->channel->fd, F_SETFL, O_NONBLOCK) || ibv_query_device(m->verbs, &m->attr) ||
	    ibv_query_port(m->verbs, CM_PORT, &port))
		return EIO;
	m->infiniband = port.link_layer == IBV_LINK_LAYER_INFINIBAND;
	m->lid = port.lid;
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return p->wake < 0 ? errno : 0;
}

/* Any address of the port leads to the process that has the queue pair. */
static int make_qp(struct process *p)
{
	struct ibv_qp_init_attr init = {
		.send_cq = p->cq,
		.recv_cq = p->cq,
		.qp_type = IBV_QPT_UD,
		.cap = { .max_send_wr = SENDS,
			 .max_recv_wr = RECVS,
			 .max_send_sge = 1,
			 .max_recv_sge = 1,
			 .max_inline_data = HCA_MAD_BYTES },
	};
	struct ibv_qp_attr at = { .qp_state = IBV_QPS_INIT, .port_num = CM_PORT, .qkey = QKEY };
	struct ibv_ah_attr ah = { .port_num = CM_PORT, .dlid = p->m.lid, .is_global = !p->m.infiniband };
	u32 i;

	p->qp = p->mr ? ibv_create_qp(p->pd, &init) : NULL;
	if (!p->qp || ibv_query_gid(p->device, CM_PORT, 0, &ah.grh.dgid))
		return why();
	p->ah = ibv_create_ah(p->pd, &ah);
	if (!p->ah)
		return why();
	if (ibv_modify_qp(p->qp, &at, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_QKEY))
		return EIO;
	for (i = 0; i < RECVS; i++)
		post(p, i);
	at.qp_state = IBV_QPS_RTR;
	if (ibv_modify_qp(p->qp, &at, IBV_QP_STATE))
		return EIO;
	at.qp_state = IBV_QPS_RTS;
	return ibv_modify_qp(p->qp, &at, IBV_QP_STATE | IBV_QP_SQ_PSN) ? EIO : 0;
}

/* A node's stamp is no other process's, so peers know by it whom they speak to. */
static int start_cm(struct process *p)
{
	int err = hca_eq_init(&p->eq);

	if (err)
		return -err;
	err = hca_cm_init(&p->m.cm, &p->eq, &ops, p->m.stamp, 0);
	if (err)
		hca_eq_fini(&p->eq);
	return -err;
}

static void stop_cm(struct process *p)
{
	hca_cm_fini(&p->m.cm);
	hca_eq_fini(&p->eq);
}

/* What was made of it goes with the contexts. */
static void close_all(struct process *p)
{
	if (p->wake >= 0)
		close(p->wake);
	if (p->m.verbs)
		ibv_close_device(p->m.verbs);
	if (p->device)
		ibv_close_device(p->device);
	free(p->bytes);
	free(p);
}

/* --- forks --- */

static void before_fork(void)
{
	pthread_mutex_lock(&starting);
	pthread_mutex_lock(&cm_lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&cm_lock);
	pthread_mutex_unlock(&starting);
}

/* The manager, its connections and ports are the parent's. A child that wants some makes its own. */
static void after_fork_child(void)
{
	cm_life++;
	process = NULL;
	cm_id_forget_all();
	cm_port_forget();
	pthread_mutex_init(&cm_lock, NULL);
	pthread_mutex_init(&starting, NULL);
}

/* Our locks are taken before those of what we call, so that is registered first. */
static void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

/* --- life --- */

static int make(struct process **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct process *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return ENOMEM;
	p->wake = -1;
	errno = 0;
	err = open_all(p);
	if (!err)
		err = make_qp(p);
	if (err)
		goto close;
	p->m.qpn = p->qp->qp_num;
	p->m.node = p->qp->qp_num >> HCA_FABRIC_QPN_BITS;
	p->m.stamp = softhca_node_stamp(p->m.node);
	err = p->m.stamp ? start_cm(p) : ENODEV;
	if (err)
		goto close;
	hca_store_release(&process, p);
	softhca_on_death(on_death);
	pthread_once(&once, watch_forks);
	err = start_thread(p);
	if (!err) {
		*out = p;
		return 0;
	}
	softhca_on_death(NULL);
	hca_store_release(&process, (struct process *)NULL);
	stop_cm(p);
close:
	close_all(p);
	return err;
}

struct cm_manager *cm_start(void)
{
	struct process *p = hca_load_acquire(&process);
	int err = 0;

	if (p)
		return &p->m;
	pthread_mutex_lock(&starting);
	p = process;
	if (!p)
		err = make(&p);
	pthread_mutex_unlock(&starting);
	return err ? cm_null(err) : &p->m;
}

struct ibv_xrcd *cm_xrcd(void)
{
	struct ibv_xrcd_init_attr attr = { .comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
					   .fd = -1,
					   .oflags = O_CREAT };
	struct cm_manager *m = cm_manager();
	struct ibv_xrcd *xrcd;

	pthread_mutex_lock(&starting);
	if (!m->xrcd)
		m->xrcd = ibv_open_xrcd(m->verbs, &attr);
	xrcd = m->xrcd;
	pthread_mutex_unlock(&starting);
	return xrcd;
}

/* --- the port --- */

u8 cm_gid(const struct cm_addr *a, union ibv_gid *gid)
{
	const struct cm_manager *m = cm_manager();
	struct ibv_gid_entry table[16];
	ssize_t n = ibv_query_gid_table(m->verbs, table, sizeof(table) / sizeof(table[0]), 0), i;

	for (i = 0; i < n; i++) {
		if (memcmp(table[i].gid.raw, a->ip, sizeof(a->ip)) != 0 ||
		    (a->scope && table[i].ndev_ifindex != a->scope))
			continue;
		*gid = table[i].gid;
		return (u8)table[i].gid_index;
	}
	(void)ibv_query_gid(m->verbs, CM_PORT, 0, gid);
	return 0;
}

/* @n: how many devices there are. Return: 0 or an errno; those that could be opened stay open. */
static int open_others(struct process *p, struct ibv_device **devices, int n)
{
	int err = 0, i;

	pthread_mutex_lock(&starting);
	for (i = 1; i < n && !err; i++) {
		if (!p->others[i])
			p->others[i] = ibv_open_device(devices[i]);
		if (!p->others[i])
			err = why();
	}
	pthread_mutex_unlock(&starting);
	return err;
}

/* A context of each device. Return: NULL and errno. */
static struct ibv_context **list_all(struct process *p, int *count)
{
	struct ibv_device **devices;
	struct ibv_context **list;
	int n, err;

	devices = ibv_get_device_list(&n);
	if (!devices)
		return NULL;
	list = calloc((size_t)n + 1, sizeof(struct ibv_context *));
	err = list ? open_others(p, devices, n) : ENOMEM;
	ibv_free_device_list(devices);
	if (err) {
		free(list);
		return cm_null(err);
	}
	memcpy(list, p->others, (size_t)n * sizeof(struct ibv_context *));
	list[0] = p->m.verbs;
	*count = n;
	return list;
}

CM_EXPORT struct ibv_context **rdma_get_devices(int *num_devices)
{
	struct ibv_context **list;
	struct cm_manager *m;
	int n = 0;

	if (num_devices)
		*num_devices = 0;
	m = cm_start();
	list = m ? list_all(hca_container_of(m, struct process, m), &n) : NULL;
	if (num_devices)
		*num_devices = n;
	return list;
}

CM_EXPORT void rdma_free_devices(struct ibv_context **list)
{
	free(list);
}
