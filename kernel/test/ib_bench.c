/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca_ib_bench.ko: two adapters of this kernel beside each other, each named by an
 * address that it has: a connection by rdma_cm, there and gone, in turns; and the longest
 * time that a softirq waits for a thread that writes, beside a copy. It knows ib_core and
 * rdma_cm alone. Loading it measures, and prints a line for each round and adapter:
 * "bench: FIGURE ADAPTER NANOSECONDS".
 */
#include <linux/hrtimer.h>
#include <linux/inet.h>
#include <linux/interrupt.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <rdma/rdma_cm.h>

static char *ours = "10.9.0.1";
module_param(ours, charp, 0444);
MODULE_PARM_DESC(ours, "an address of the first adapter");

static char *other = "10.9.1.1";
module_param(other, charp, 0444);
MODULE_PARM_DESC(other, "an address of the second one");

#define PORT 7471
#define RESOLVE_MS 2000
#define PATIENCE (30 * HZ)
#define CONNECT_ROUNDS 15
#define CONNECTIONS 8 /* in a round */
#define WAIT_ROUNDS 25
#define OTHER_WAIT_ROUNDS 5 /* of the second one, which may take much longer */
#define WAITS 20 /* in a round, of which the longest counts */
#define FIRST_NS 50000 /* until a timer, at least */
#define STEP_NS 7919 /* each comes so much later than the one before, until they begin anew */
#define LATER_NS 400000
#define BYTES (1u << 20)
#define PIECE (64u << 10)

/*
 * struct side - an adapter, and a connection of it to itself
 * @name: in what is printed
 * @client, @server: ends of the connection; @server is what the listener got
 * @event: the client's last, or the negative status that came with it
 * @told, @accepted, @left: something happened to the client; the server has the connection; has it no more
 */
struct side {
	const char *name;
	struct sockaddr_in sa;
	struct rdma_cm_id *listener, *client, *server;
	struct ib_pd *pd;
	struct ib_cq *cq;
	int event;
	struct completion told, accepted, left;
};

static struct side sides[2] = { { .name = "softhca" }, { .name = "rxe" } };

/* --- a connection --- */

static int make_qp(struct side *s, struct rdma_cm_id *id)
{
	struct ib_qp_init_attr init = {
		.send_cq = s->cq,
		.recv_cq = s->cq,
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
	};

	return rdma_create_qp(id, s->pd, &init);
}

static struct rdma_conn_param conn_param(void)
{
	return (struct rdma_conn_param){
		.responder_resources = 1, .initiator_depth = 1, .retry_count = 7, .rnr_retry_count = 7
	};
}

static int accept(struct side *s, struct rdma_cm_id *id)
{
	struct rdma_conn_param param = conn_param();
	int err = make_qp(s, id);

	if (err)
		return err;
	err = rdma_accept(id, &param);
	if (err)
		rdma_destroy_qp(id);
	else
		s->server = id;
	return err;
}

/* Of the listener, and of what it got. */
static int on_server(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct side *s = id->context;

	switch (event->event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		return accept(s, id);
	case RDMA_CM_EVENT_ESTABLISHED:
		complete(&s->accepted);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		/* The peer waits for an answer. */
		rdma_disconnect(id);
		complete(&s->left);
		break;
	default:
		break;
	}
	return 0;
}

static int on_client(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct side *s = id->context;

	if (event->event == RDMA_CM_EVENT_TIMEWAIT_EXIT)
		return 0;
	s->event = event->status < 0 ? event->status : event->event;
	complete(&s->told);
	return 0;
}

/* Return: 0 if @err is, and if then the client was told of @event. */
static int told(struct side *s, int err, enum rdma_cm_event_type event)
{
	if (err)
		return err;
	if (!wait_for_completion_timeout(&s->told, PATIENCE))
		return -ETIMEDOUT;
	if (s->event == event)
		return 0;
	return s->event < 0 ? s->event : -ECONNREFUSED;
}

/* The client knows its adapter; what all its queue pairs have comes with the first of them. */
static int make_objects(struct side *s)
{
	int err;

	if (s->cq)
		return 0;
	s->pd = ib_alloc_pd(s->client->device, IB_PD_UNSAFE_GLOBAL_RKEY);
	err = PTR_ERR_OR_ZERO(s->pd);
	if (err) {
		s->pd = NULL;
		return err;
	}
	s->cq = ib_alloc_cq(s->client->device, NULL, 64, 0, IB_POLL_DIRECT);
	err = PTR_ERR_OR_ZERO(s->cq);
	if (err)
		s->cq = NULL;
	return err;
}

static int make_connection(struct side *s)
{
	struct rdma_conn_param param = conn_param();
	int err;

	err = told(s, rdma_resolve_addr(s->client, NULL, (struct sockaddr *)&s->sa, RESOLVE_MS),
		   RDMA_CM_EVENT_ADDR_RESOLVED);
	if (!err)
		err = told(s, rdma_resolve_route(s->client, RESOLVE_MS), RDMA_CM_EVENT_ROUTE_RESOLVED);
	if (!err)
		err = make_objects(s);
	if (!err)
		err = make_qp(s, s->client);
	if (!err)
		err = told(s, rdma_connect(s->client, &param), RDMA_CM_EVENT_ESTABLISHED);
	if (!err && !wait_for_completion_timeout(&s->accepted, PATIENCE))
		err = -ETIMEDOUT;
	return err;
}

static void destroy(struct rdma_cm_id **id)
{
	if (!*id)
		return;
	if ((*id)->qp)
		rdma_destroy_qp(*id);
	rdma_destroy_id(*id);
	*id = NULL;
}

static int disconnect(struct side *s)
{
	int err = told(s, rdma_disconnect(s->client), RDMA_CM_EVENT_DISCONNECTED);

	if (!err && !wait_for_completion_timeout(&s->left, PATIENCE))
		err = -ETIMEDOUT;
	destroy(&s->client);
	destroy(&s->server);
	return err;
}

static int connect(struct side *s)
{
	int err;

	init_completion(&s->told);
	init_completion(&s->accepted);
	init_completion(&s->left);
	s->client = rdma_create_id(&init_net, on_client, s, RDMA_PS_TCP, IB_QPT_RC);
	err = PTR_ERR_OR_ZERO(s->client);
	if (err) {
		s->client = NULL;
		return err;
	}
	err = make_connection(s);
	if (!err)
		return 0;
	destroy(&s->client);
	destroy(&s->server);
	return err;
}

static int side_open(struct side *s, const char *address)
{
	int err;

	s->sa = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(PORT) };
	if (!in4_pton(address, -1, (u8 *)&s->sa.sin_addr, -1, NULL))
		return -EINVAL;
	s->listener = rdma_create_id(&init_net, on_server, s, RDMA_PS_TCP, IB_QPT_RC);
	err = PTR_ERR_OR_ZERO(s->listener);
	if (err) {
		s->listener = NULL;
		return err;
	}
	err = rdma_bind_addr(s->listener, (struct sockaddr *)&s->sa);
	return err ? err : rdma_listen(s->listener, 8);
}

static void side_close(struct side *s)
{
	destroy(&s->client);
	destroy(&s->server);
	destroy(&s->listener);
	if (s->cq)
		ib_free_cq(s->cq);
	if (s->pd)
		ib_dealloc_pd(s->pd);
}

/* Each round's connections, one after the other, of the one and of the other. */
static int connections(void)
{
	int round, i, n, err;

	for (round = 0; round <= CONNECT_ROUNDS; round++) {
		for (i = 0; i < 2; i++) {
			u64 began = ktime_get_ns();

			for (n = 0; n < CONNECTIONS; n++) {
				err = connect(&sides[i]);
				if (!err)
					err = disconnect(&sides[i]);
				if (err) {
					pr_info("bench: connect %s - error %d\n", sides[i].name, err);
					return err;
				}
			}
			/* The first round warms up. */
			if (round)
				pr_info("bench: connect %s %llu\n", sides[i].name,
					div_u64(ktime_get_ns() - began, CONNECTIONS));
		}
	}
	return 0;
}

/* --- how long a softirq waits --- */

/*
 * struct wait_probe - an interrupt that raises a softirq
 * @raised, @ran: when; ns
 * @done: completed when @ran is set
 */
static struct wait_probe {
	struct hrtimer timer;
	struct tasklet_struct tasklet;
	u64 raised, ran;
	struct completion done;
} probe;

static enum hrtimer_restart on_timer(struct hrtimer *timer)
{
	probe.raised = ktime_get_ns();
	tasklet_hi_schedule(&probe.tasklet);
	return HRTIMER_NORESTART;
}

static void on_softirq(struct tasklet_struct *t)
{
	probe.ran = ktime_get_ns();
	complete(&probe.done);
}

static void probe_open(void)
{
#ifdef HCA_HAVE_HRTIMER_SETUP
	hrtimer_setup(&probe.timer, on_timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
#else
	hrtimer_init(&probe.timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_HARD);
	probe.timer.function = on_timer;
#endif
	tasklet_setup(&probe.tasklet, on_softirq);
	init_completion(&probe.done);
}

static void probe_start(void)
{
	static u32 later;

	later = (later + STEP_NS) % LATER_NS;
	reinit_completion(&probe.done);
	hrtimer_start(&probe.timer, ns_to_ktime(FIRST_NS + later), HRTIMER_MODE_REL_HARD);
}

static void probe_close(void)
{
	hrtimer_cancel(&probe.timer);
	tasklet_kill(&probe.tasklet);
}

static u8 *from, *to;

static int write_once(struct side *s, u64 src, u64 dst)
{
	struct ib_sge sge = { .addr = src, .length = BYTES, .lkey = s->pd->local_dma_lkey };
	struct ib_rdma_wr wr = {
		.wr = { .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_RDMA_WRITE, .send_flags = IB_SEND_SIGNALED },
		.remote_addr = dst,
		.rkey = s->pd->unsafe_global_rkey,
	};
	unsigned long until = jiffies + PATIENCE;
	struct ib_wc wc;
	int err = ib_post_send(s->client->qp, &wr.wr, NULL);

	if (err)
		return err;
	while (ib_poll_cq(s->cq, 1, &wc) != 1) {
		if (time_after(jiffies, until))
			return -ETIMEDOUT;
		cond_resched();
	}
	return wc.status ? -EIO : 0;
}

/* Return: the longest of WAITS, ns; or an error */
static s64 longest_wait(struct side *s, u64 src, u64 dst)
{
	s64 longest = 0;
	int n, err;

	for (n = 0; n < WAITS; n++) {
		probe_start();
		do {
			err = write_once(s, src, dst);
			if (err) {
				hrtimer_cancel(&probe.timer);
				return err;
			}
		} while (!try_wait_for_completion(&probe.done));
		longest = max_t(s64, longest, probe.ran - probe.raised);
		cond_resched();
	}
	return longest;
}

/* Nothing writes: what an interrupt, a softirq and two looks at the clock take by themselves. */
static s64 longest_wait_of_none(void)
{
	s64 longest = 0;
	int n;

	for (n = 0; n < WAITS; n++) {
		probe_start();
		while (!try_wait_for_completion(&probe.done))
			cpu_relax();
		longest = max_t(s64, longest, probe.ran - probe.raised);
	}
	return longest;
}

static u64 copy_piece(void)
{
	u64 began = ktime_get_ns();
	u32 at;

	/* All pieces, as a write has them: the caches keep none of them. */
	for (at = 0; at < BYTES; at += PIECE) {
		memcpy(to + at, from + at, PIECE);
		barrier_data(to);
	}
	return div_u64(ktime_get_ns() - began, BYTES / PIECE);
}

static int wait_rounds(struct side *s, u64 src, u64 dst)
{
	int rounds = s == &sides[0] ? WAIT_ROUNDS : OTHER_WAIT_ROUNDS;
	int round;

	for (round = 0; round <= rounds; round++) {
		s64 wait = longest_wait(s, src, dst);

		if (wait < 0)
			return wait;
		if (!round)
			continue;
		pr_info("bench: softirq %s %lld\n", s->name, wait);
		if (s != &sides[0])
			continue;
		pr_info("bench: softirq copy %llu\n", copy_piece());
		pr_info("bench: softirq nothing %lld\n", longest_wait_of_none());
	}
	return 0;
}

static int waits_of(struct side *s)
{
	struct ib_device *dev;
	u64 src, dst;
	int err = connect(s);

	if (err)
		return err;
	dev = s->client->device;
	src = ib_dma_map_single(dev, from, BYTES, DMA_TO_DEVICE);
	dst = ib_dma_map_single(dev, to, BYTES, DMA_FROM_DEVICE);
	if (ib_dma_mapping_error(dev, src) || ib_dma_mapping_error(dev, dst))
		err = -ENOMEM;
	else
		err = wait_rounds(s, src, dst);
	if (!ib_dma_mapping_error(dev, dst))
		ib_dma_unmap_single(dev, dst, BYTES, DMA_FROM_DEVICE);
	if (!ib_dma_mapping_error(dev, src))
		ib_dma_unmap_single(dev, src, BYTES, DMA_TO_DEVICE);
	disconnect(s);
	return err;
}

static void waits(void)
{
	int i, err;

	from = kmalloc(BYTES, GFP_KERNEL);
	to = kmalloc(BYTES, GFP_KERNEL);
	probe_open();
	for (i = 0; i < 2; i++) {
		err = from && to ? waits_of(&sides[i]) : -ENOMEM;
		if (err)
			pr_info("bench: softirq %s - error %d\n", sides[i].name, err);
	}
	probe_close();
	kfree(to);
	kfree(from);
}

static int __init softhca_ib_bench_init(void)
{
	int err = side_open(&sides[0], ours);

	if (!err)
		err = side_open(&sides[1], other);
	if (!err)
		err = connections();
	if (!err)
		waits();
	side_close(&sides[0]);
	side_close(&sides[1]);
	return err;
}

static void __exit softhca_ib_bench_exit(void)
{
}

module_init(softhca_ib_bench_init);
module_exit(softhca_ib_bench_exit);

MODULE_DESCRIPTION("Benchmark of two InfiniBand adapters of this kernel");
MODULE_LICENSE("Dual BSD/GPL");
