/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The adapter's wire: a node of the user's fabric, on which a queue pair's number names
 * its process. What the calls of a program do for it, and what its helper thread tells.
 */
#include "shim.h"

#include "shim/hooks.h"

#include <unistd.h>

/*
 * A process ended. A queue pair that is connected to one of it hears nothing more; but mostly both ends of a program end,
 * and it would be wrong to flush receives that this one is just about to drop. So it has a while for that.
 */
#define MOURNING_NS 2000000000ull

static struct hca_shm *first_node; /* the first device's */
static void (*hook_died)(uint32_t node, uint64_t stamp); /* atomic */

struct death {
	const struct shim_device *dev;
	u32 number;
	u64 process;
	bool noticed; /* by a queue pair */
};

static void note_gone(struct shim_object *o, void *arg)
{
	struct shim_qp *q = hca_container_of(o, struct shim_qp, obj);
	struct death *d = arg;

	u64 process = hca_load(&q->process);

	if (o->context->device != d->dev || hca_qp_is_datagram(q->qp->type) ||
	    hca_load(&q->qp->peer) >> 32 != d->number)
		return;
	/* It is connected to another process, that has the number now. */
	if (process && process != d->process)
		return;
	hca_store(&q->gone, hca_now_ns());
	d->noticed = true;
}

/* When the adapter is closed there is no queue pair, so the timer isn't started any more. */
static void on_death(void *ctx, u32 number, u64 process)
{
	struct shim_device *dev = ctx;
	struct death d = { .dev = dev, .number = number, .process = process };
	void (*hook)(uint32_t node, uint64_t stamp) = hca_load(&hook_died);

	if (hook && !dev->index)
		hook(number, process);
	shim_log(HCA_LOG_INFO, SHIM_LOG_DEVICE, "%s: the process of node %u ended", dev->ib.name, number);
	hca_fetch_add(&dev->wire.deaths, 1u);
	shim_each(SHIM_QP, NULL, note_gone, &d);
	if (d.noticed)
		hca_timer_start(&dev->wire.mourning, hca_now_ns() + MOURNING_NS);
}

/* @next: when the next one is due */
struct mourner {
	const struct shim_device *dev;
	u64 next;
};

static void end_gone(struct shim_object *o, void *arg)
{
	struct shim_qp *q = hca_container_of(o, struct shim_qp, obj);
	struct mourner *m = arg;
	u64 gone = hca_load(&q->gone);

	if (!gone || o->context->device != m->dev)
		return;
	if (hca_now_ns() - gone < MOURNING_NS) {
		m->next = HCA_MIN(m->next, gone + MOURNING_NS);
		return;
	}
	hca_store(&q->gone, 0ull);
	hca_qp_to_error(q->qp, HCA_EVENT_QP_FATAL);
}

static void on_mourned(void *arg)
{
	struct shim_device *dev = arg;
	struct mourner m = { .dev = dev, .next = ~0ull };

	shim_each(SHIM_QP, NULL, end_gone, &m);
	hca_eq_kick(hca_shm_eq(dev->wire.node));
	if (m.next != ~0ull)
		hca_timer_start(&dev->wire.mourning, m.next);
}

/* --- memory of another process that this one maps too --- */

static int put_bytes(void *to, const void *from, size_t n)
{
	return hca_unlikely(shim_put(to, from, n).faulted) ? -EFAULT : 0;
}

static int result_of(struct shim_fault f, u64 *old)
{
	if (hca_unlikely(f.faulted))
		return -EFAULT;
	*old = f.value;
	return 0;
}

static int cmp_swap(u64 *at, u64 compare, u64 swap, u64 *old)
{
	return result_of(shim_cmp_swap(at, compare, swap), old);
}

static int fetch_add(u64 *at, u64 add, u64 *old)
{
	return result_of(shim_fetch_add(at, add), old);
}

static const struct hca_shm_memory memory = { .put = put_bytes, .cmp_swap = cmp_swap, .fetch_add = fetch_add };

/* --- the node --- */

static void on_addresses(void *ctx)
{
	struct shim_device *dev = ctx;

	shim_gids_follow(dev, dev->wire.addresses);
}

static void close_addresses(struct shim_wire *w)
{
	if (w->addresses >= 0)
		close(w->addresses);
	w->addresses = -1;
}

static void set_node(struct shim_device *dev, struct hca_shm *node)
{
	dev->wire.node = node;
	if (!dev->index)
		first_node = node;
}

int shim_wire_open(struct shim_device *dev, struct hca_wire **wire, struct hca_eq **eq)
{
	struct hca_shm_config cfg = {
		.lids = true,
		.device = dev->index,
		.died = on_death,
		.ctx = dev,
		.memory = &memory,
		.no_direct = shim_config()->no_vm,
	};
	struct shim_wire *w = &dev->wire;
	int err;

	/* What a forked child has of its parent's. */
	if (w->node)
		hca_shm_close(w->node);
	close_addresses(w);
	err = hca_timer_init(&w->mourning, on_mourned, dev);
	if (err)
		return -err;
	w->addresses = shim_gids_socket();
	cfg.readable = w->addresses >= 0 ? on_addresses : NULL;
	cfg.fd = w->addresses;
	err = hca_shm_open(&w->node, &cfg);
	if (err) {
		close_addresses(w);
		set_node(dev, NULL);
		hca_timer_destroy(&w->mourning);
	}
	if (err)
		return -err;
	set_node(dev, w->node);
	*wire = hca_shm_wire(w->node);
	*eq = hca_shm_eq(w->node);
	return 0;
}

void shim_wire_close(struct shim_device *dev)
{
	hca_timer_destroy(&dev->wire.mourning);
	hca_shm_close(dev->wire.node);
	close_addresses(&dev->wire);
	set_node(dev, NULL);
}

void shim_wire_forget(struct shim_device *dev)
{
	pthread_mutex_init(&dev->wire.groups_lock, NULL);
}

/* Any thread may poll the queue, so that what is added is added by the processor; for a whole run of completions at once. */
static void add(struct hca_shm *node, u32 qpn, u32 errors, u32 received, u64 bytes)
{
	struct hca_fabric_count *c = hca_shm_count(node, qpn);

	if (!c)
		return;
	if (hca_unlikely(errors))
		hca_fetch_add(&c->errors, errors);
	if (received) {
		hca_fetch_add(&c->received, (u64)received);
		hca_fetch_add(&c->received_bytes, bytes);
	}
}

static bool is_receive(const struct hca_wc *wc)
{
	return wc->opcode == HCA_WC_RECV || wc->opcode == HCA_WC_RECV_RDMA_WITH_IMM;
}

static void count_run(struct hca_shm *node, const struct hca_wc *wc, int n)
{
	u32 errors = 0, received = 0;
	u64 bytes = 0;
	int i;

	for (i = 0; i < n; i++) {
		if (hca_unlikely(wc[i].status))
			errors += wc[i].status != HCA_WC_WR_FLUSH_ERR;
		else if (is_receive(&wc[i]))
			received++, bytes += wc[i].byte_len;
		if (i + 1 < n && wc[i + 1].qp_num == wc[i].qp_num)
			continue;
		if (!(errors | received))
			continue;
		add(node, wc[i].qp_num, errors, received, bytes);
		errors = received = 0;
		bytes = 0;
	}
}

void shim_wire_count(struct hca_shm *node, const struct hca_wc *wc, int n)
{
	if (n > 1 || hca_unlikely(wc->status))
		count_run(node, wc, n);
	else if (is_receive(wc))
		add(node, wc->qp_num, 0, 1, wc->byte_len);
}

u32 shim_wire_index(const struct hca_shm *node, u32 lid)
{
	int index = hca_shm_device(node, lid);

	return index < 0 ? 0 : (u32)index;
}

bool shim_wire_leads(struct shim_device *dev, u32 lid, u32 qpn)
{
	struct hca_shm *node = dev->wire.node;
	int index;

	if (!shim_config()->infiniband)
		return true;
	index = hca_shm_device(node, shim_wire_lid(qpn));
	if (index < 0 && !hca_shm_watch(node, shim_wire_lid(qpn), NULL))
		index = hca_shm_device(node, shim_wire_lid(qpn));
	return index < 0 || lid == shim_config()->lid + (u32)index;
}

/* A death that comes before the queue pair says which process it is of isn't noted at it: then it is looked again whether that lives. */
void shim_wire_connect(struct shim_qp *q, u32 lid)
{
	struct shim_wire *w = &q->obj.context->device->wire;
	u32 before;
	u64 stamp;
	int err;

	do {
		before = hca_load_acquire(&w->deaths);
		stamp = 0;
		err = hca_shm_watch(w->node, lid, &stamp);
		hca_store(&q->process, stamp);
		hca_mb();
	} while (hca_load(&w->deaths) != before);
	if (err)
		shim_log(HCA_LOG_INFO, SHIM_LOG_QP, "node %u isn't there: %s", lid, strerror(-err));
}

void shim_wire_groups(struct shim_device *dev)
{
	pthread_mutex_lock(&dev->wire.groups_lock);
	hca_shm_joined(dev->wire.node, hca_load(&dev->hca.mcast_members));
	pthread_mutex_unlock(&dev->wire.groups_lock);
}

/* --- for the drop-in librdmacm, whose manager is on the first device; see shim/hooks.h --- */

SHIM_EXPORT int softhca_fabric_dir(void)
{
	return first_node ? hca_shm_dir(first_node) : -ESRCH;
}

SHIM_EXPORT uint64_t softhca_node_stamp(uint32_t number)
{
	return first_node ? hca_shm_stamp(first_node, number) : 0;
}

SHIM_EXPORT void softhca_on_death(void (*died)(uint32_t node, uint64_t stamp))
{
	hca_store(&hook_died, died);
}
