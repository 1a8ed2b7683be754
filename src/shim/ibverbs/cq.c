/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Completion queues: making, polling, arming and ending them. */
#include "idle.h"
#include "shim.h"

#include <sched.h>

#define BATCH 16

/* --- polling --- */

static HCA_COLD void offer(struct shim_idle *idle)
{
	u64 since = hca_now_ns();

	sched_yield();
	shim_idle_offered(idle, hca_now_ns() - since);
}

int shim_cq_take(struct shim_cq *c, struct hca_wc *wc, int n)
{
	static _Thread_local struct shim_idle idle __attribute__((tls_model("initial-exec")));
	int got = hca_cq_ring_poll(&c->cq.ring, wc, n);

	if (!got) {
		shim_wire_poll(c->node);
		hca_eq_run(c->cq.eq);
		got = hca_cq_ring_poll(&c->cq.ring, wc, n);
	}
	if (got)
		shim_idle_got(&idle);
	else if (shim_idle_empty(&idle))
		offer(&idle);
	return got;
}

u32 shim_wc_lid(const struct shim_cq *c, const struct hca_wc *wc)
{
	const struct shim_config *cfg = shim_config();

	return cfg->infiniband ? cfg->lid + shim_wire_index(c->node, wc->slid) : 0;
}

unsigned int shim_wc_flags(const struct hca_wc *wc)
{
	_Static_assert((unsigned int)IBV_WC_GRH == HCA_WC_GRH && (unsigned int)IBV_WC_WITH_IMM == HCA_WC_WITH_IMM &&
			       (unsigned int)IBV_WC_WITH_INV == 2 * HCA_WC_WITH_INVALIDATE,
		       "the engine's flags are the kernel's; user verbs have another bit for an invalidation");
	return (wc->wc_flags & ~(u32)HCA_WC_IPV4) + (wc->wc_flags & HCA_WC_WITH_INVALIDATE);
}

/* A frame of RoCE with a UDP header, and its network's header: the bits that mlx5 has in this field, and UCX reads. */
#define SL_UDP 8u
#define SL_IPV6 1u
#define SL_IPV4 2u

u8 shim_wc_sl(const struct hca_wc *wc)
{
	if (hca_likely(!(wc->wc_flags & HCA_WC_GRH)) || shim_config()->infiniband)
		return wc->sl;
	return SL_UDP | (wc->wc_flags & HCA_WC_IPV4 ? SL_IPV4 : SL_IPV6);
}

static void fill_wc(const struct shim_cq *c, const struct hca_wc *from, struct ibv_wc *to)
{
	/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) - it doesn't see that a poll sets as many as it returns */
	to->wr_id = from->wr_id;
	to->status = (enum ibv_wc_status)from->status;
	to->opcode = (enum ibv_wc_opcode)from->opcode;
	to->vendor_err = from->vendor_err;
	to->byte_len = from->byte_len;
	to->invalidated_rkey = from->imm;
	to->qp_num = from->qp_num;
	to->src_qp = from->src_qp;
	to->wc_flags = shim_wc_flags(from);
	to->pkey_index = from->pkey_index;
	to->slid = hca_unlikely(from->slid) ? (u16)shim_wc_lid(c, from) : 0;
	to->sl = shim_wc_sl(from);
	to->dlid_path_bits = from->dlid_path_bits;
}

int shim_poll_cq(struct ibv_cq *cq, int n, struct ibv_wc *wc)
{
	struct shim_cq *c = shim_cq(cq);
	struct hca_wc batch[BATCH];
	int done = 0, got = 0, i;

	if (hca_unlikely(!shim_is(&c->obj, SHIM_CQ)))
		return -shim_why(EINVAL, SHIM_LOG_CQ, "ibv_poll_cq: no such queue");
	while (done < n) {
		got = done ? hca_cq_ring_poll(&c->cq.ring, batch, HCA_MIN(n - done, BATCH)) :
			     shim_cq_take(c, batch, HCA_MIN(n, BATCH));
		if (got <= 0)
			break;
		shim_wire_count(c->node, batch, got);
		for (i = 0; i < got; i++)
			fill_wc(c, &batch[i], &wc[done + i]);
		done += got;
		if (got < BATCH)
			break;
	}
	return done ? done : got;
}

int shim_req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
	struct shim_cq *c = shim_cq(cq);

	if (hca_unlikely(!shim_is(&c->obj, SHIM_CQ)))
		return shim_why(EINVAL, SHIM_LOG_CQ, "ibv_req_notify_cq: no such queue");
	hca_cq_ring_notify(&c->cq.ring, solicited_only ? HCA_CQ_SOLICITED : HCA_CQ_NEXT);
	shim_wire_arm(c->node);
	return 0;
}

/* --- life --- */

static int check_cq(const struct shim_context *c, const struct ibv_cq_init_attr_ex *a)
{
	const u64 flags = IBV_WC_STANDARD_FLAGS | IBV_WC_EX_WITH_COMPLETION_TIMESTAMP |
			  IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK;

	if (!c || !a->cqe || a->cqe >= c->device->hca.attr.max_cqe ||
	    a->comp_vector >= (u32)c->verbs.context.num_comp_vectors)
		return EINVAL;
	if (a->channel && !shim_is_of(&shim_channel(a->channel)->obj, SHIM_CHANNEL, c))
		return EINVAL;
	if (a->wc_flags & ~flags)
		return EOPNOTSUPP;
	if (a->comp_mask & ~(u32)(IBV_CQ_INIT_ATTR_MASK_FLAGS | IBV_CQ_INIT_ATTR_MASK_PD))
		return EOPNOTSUPP;
	if (a->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS &&
	    a->flags & ~(u32)(IBV_CREATE_CQ_ATTR_SINGLE_THREADED | IBV_CREATE_CQ_ATTR_IGNORE_OVERRUN))
		return EOPNOTSUPP;
	if (a->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD &&
	    (!shim_pd_get(a->parent_domain) || !shim_is_of(&shim_pd(a->parent_domain)->obj, SHIM_PARENT, c)))
		return EINVAL;
	return 0;
}

/* As adapters do, a queue has room for more than was asked: programs got used to that. At least one more, and a power of two. */
static u32 room_for(const struct shim_context *c, u32 cqe)
{
	u32 room = 2;

	while (room <= cqe)
		room *= 2;
	return HCA_MIN(room, c->device->hca.attr.max_cqe);
}

static void fill_cq(struct shim_cq *q, struct ibv_context *context, const struct ibv_cq_init_attr_ex *a)
{
	q->node = q->obj.context->device->wire.node;
	q->ib.context = context;
	q->ib.channel = a->channel;
	q->ib.cq_context = a->cq_context;
	q->ib.handle = q->obj.handle;
	q->ib.cqe = (int)q->cq.ring.capacity - 1;
	pthread_mutex_init(&q->ib.mutex, NULL);
	pthread_cond_init(&q->ib.cond, NULL);
	pthread_mutex_init(&q->poll_lock, NULL);
	q->wc_flags = a->wc_flags;
	q->one_thread = a->comp_mask & IBV_CQ_INIT_ATTR_MASK_FLAGS && a->flags & IBV_CREATE_CQ_ATTR_SINGLE_THREADED;
	if (a->channel) {
		q->channel = shim_channel(a->channel);
		hca_fetch_add(&q->channel->users, 1);
		q->channel->ib.refcnt++;
	}
	if (a->comp_mask & IBV_CQ_INIT_ATTR_MASK_PD)
		q->obj.under = shim_pd(a->parent_domain);
}

static struct shim_cq *make_cq(struct ibv_context *context, const struct ibv_cq_init_attr_ex *a)
{
	struct shim_context *c = shim_context_get(context);
	int err = check_cq(c, a);
	struct shim_cq *q = NULL;

	if (err)
		goto out;
	q = shim_object_new(SHIM_CQ, sizeof(*q), c);
	err = q ? hca_cq_init(&q->cq, &c->device->hca, room_for(c, a->cqe), shim_cq_event) : ENOMEM;
	if (err)
		goto out;
	fill_cq(q, context, a);
	return q;
out:
	if (q)
		shim_object_free(&q->obj);
	return shim_null(shim_why(err, SHIM_LOG_CQ, "ibv_create_cq: %u entries, vector %u, flags 0x%llx", a->cqe,
				  a->comp_vector, (unsigned long long)a->wc_flags));
}

SHIM_NOT_OLD(ibv_create_cq);
SHIM_EXPORT struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
					 struct ibv_comp_channel *channel, int comp_vector)
{
	const struct ibv_cq_init_attr_ex a = { .cqe = cqe > 0 ? (u32)cqe : 0,
					       .cq_context = cq_context,
					       .channel = channel,
					       .comp_vector = (u32)comp_vector };
	struct shim_cq *q = make_cq(context, &a);

	if (!q)
		return NULL;
	shim_object_publish(&q->obj);
	return &q->ib;
}

struct ibv_cq_ex *shim_create_cq_ex(struct ibv_context *context, struct ibv_cq_init_attr_ex *attr)
{
	struct shim_cq *q;

	if (!attr)
		return shim_null(shim_why(EINVAL, SHIM_LOG_CQ, "ibv_create_cq_ex: no attributes"));
	q = make_cq(context, attr);
	if (!q)
		return NULL;
	shim_cq_ex_init(q);
	shim_object_publish(&q->obj);
	return &q->ex;
}

SHIM_NOT_OLD(ibv_resize_cq);
SHIM_EXPORT int ibv_resize_cq(struct ibv_cq *cq, int cqe)
{
	struct shim_cq *c = cq ? shim_cq(cq) : NULL;
	int err;

	if (!c || cqe <= 0 || !shim_known(&c->obj, SHIM_CQ))
		return shim_why(EINVAL, SHIM_LOG_CQ, "ibv_resize_cq: %d entries, or no such queue", cqe);
	err = (u32)cqe < c->cq.hca->attr.max_cqe ? hca_cq_resize(&c->cq, room_for(c->obj.context, (u32)cqe)) : EINVAL;
	if (err)
		return shim_why(err, SHIM_LOG_CQ, "ibv_resize_cq: %d entries", cqe);
	cq->cqe = (int)c->cq.ring.capacity - 1;
	return 0;
}

int shim_modify_cq(struct ibv_cq *cq, struct ibv_modify_cq_attr *attr)
{
	int err = 0;

	if (!cq || !attr || !shim_known(&shim_cq(cq)->obj, SHIM_CQ) || attr->attr_mask >= IBV_CQ_ATTR_RESERVED)
		return shim_why(EINVAL, SHIM_LOG_CQ, "ibv_modify_cq: mask 0x%x, or no such queue",
				attr ? attr->attr_mask : 0);
	if (attr->attr_mask & IBV_CQ_ATTR_MODERATE)
		err = hca_cq_moderate(&shim_cq(cq)->cq, attr->moderate.cq_count, attr->moderate.cq_period);
	return err ? shim_why(err, SHIM_LOG_CQ, "ibv_modify_cq: no timer") : 0;
}

int shim_end_cq(struct shim_object *o, bool abandon)
{
	struct shim_cq *c = hca_container_of(o, struct shim_cq, obj);
	int err = hca_cq_fini(&c->cq);

	if (err)
		return -err;
	shim_queue_end(&o->context->async, &c->async, true, abandon);
	if (c->channel) {
		shim_queue_end(&c->channel->queue, &c->comp, false, abandon);
		c->channel->ib.refcnt--;
		hca_fetch_add(&c->channel->users, (u32)-1);
	}
	pthread_mutex_destroy(&c->poll_lock);
	pthread_cond_destroy(&c->ib.cond);
	pthread_mutex_destroy(&c->ib.mutex);
	return 0;
}

SHIM_NOT_OLD(ibv_destroy_cq);
SHIM_EXPORT int ibv_destroy_cq(struct ibv_cq *cq)
{
	struct shim_cq *c = cq ? shim_cq(cq) : NULL;
	int err;

	if (!c || !shim_claim(&c->obj, SHIM_CQ))
		return shim_why(EINVAL, SHIM_LOG_CQ, "ibv_destroy_cq: no such queue");
	err = shim_end_cq(&c->obj, false);
	if (err) {
		shim_unclaim(&c->obj);
		return shim_why(err, SHIM_LOG_CQ, "ibv_destroy_cq: queue pairs use it");
	}
	shim_object_free(&c->obj);
	return 0;
}
