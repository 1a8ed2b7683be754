/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What sources of Linux 6.12 say: guards and __free(), __counted_by(), timer_shutdown_sync(), and verbs that are refused here. */
#include <linux/bvec.h>
#include <linux/cleanup.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/timer.h>

#include "ulp.h"

struct batch {
	struct list_head link;
	unsigned int count;
	u32 values[] __counted_by(count);
};

struct device_state {
	struct mutex lock;
	spinlock_t irq_lock;
	struct rw_semaphore sem;
	struct list_head batches;
	struct timer_list timer;
	struct completion ticked;
	struct ulp_pair pair;
	struct ib_cqe cqe;
	struct ib_cqe recv_cqe;
	struct completion sent;
	struct completion received;
	int status;
	u32 total;
};

DEFINE_FREE(batch, struct batch *, if (_T) kfree(_T))

static void tick(struct timer_list *t)
{
	struct device_state *d = from_timer(d, t, timer);

	guard(spinlock_irqsave)(&d->irq_lock);
	d->total++;
	complete(&d->ticked);
	mod_timer(t, jiffies + 1);
}

static struct batch *batch_new(unsigned int n)
{
	struct batch *b __free(batch) = kzalloc(struct_size_t(struct batch, values, n), GFP_KERNEL);
	u8 *scratch __free(kfree) = kmalloc(n, GFP_KERNEL);
	unsigned int i;

	if (!b || !scratch)
		return NULL;
	b->count = n;
	for (i = 0; i < n; i++)
		b->values[i] = get_random_u32_inclusive(1, 3);
	return_ptr(b);
}

static int add_batch(struct device_state *d, unsigned int n)
{
	struct batch *b __free(batch) = batch_new(n);

	if (!b)
		return -ENOMEM;
	guard(mutex)(&d->lock);
	if (list_count_nodes(&d->batches) >= 3)
		return -ENOSPC; /* and it is freed */
	list_add_tail(&no_free_ptr(b)->link, &d->batches);
	return 0;
}

static int use_batches(struct device_state *d)
{
	struct batch *b, *next;
	unsigned int i, n;

	for (n = 1; n <= 3; n++)
		if (add_batch(d, n))
			return -ENOMEM;
	if (add_batch(d, 4) != -ENOSPC)
		return -EPROTO;
	scoped_guard(mutex, &d->lock)
	{
		n = 0;
		list_for_each_entry_safe(b, next, &d->batches, link) {
			for (i = 0; i < b->count; i++)
				n += b->values[i] >= 1 && b->values[i] <= 3;
			if (list_is_head(b->link.next, &d->batches) != (b->count == 3))
				return -EPROTO;
			list_del(&b->link);
			kfree(b);
		}
	}
	scoped_cond_guard(rwsem_read_try, return -EBUSY, &d->sem) n++;
	return n == 7 && !mutex_is_locked(&d->lock) ? 0 : -EPROTO;
}

static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct device_state *d = container_of(wc->wr_cqe, struct device_state, cqe);

	WARN_ON(cq != d->pair.client.cq);
	d->status = wc->status;
	complete(&d->sent);
}

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct device_state *d = container_of(wc->wr_cqe, struct device_state, recv_cqe);

	WARN_ON(cq != d->pair.server.cq);
	complete(&d->received);
}

/* Flushes and atomic writes came with 6.2. */
static int verbs(struct device_state *d)
{
	struct ib_qp *qp = d->pair.client.qp;
	struct ib_rdma_wr wr = { .wr = { .wr_cqe = &d->cqe, .opcode = IB_WR_FLUSH } };
	struct ib_mr *mr;

	if (ib_post_send(qp, &wr.wr, NULL) != -EINVAL)
		return -EPROTO;
	wr.wr.opcode = IB_WR_ATOMIC_WRITE;
	if (ib_post_send(qp, &wr.wr, NULL) != -EINVAL)
		return -EPROTO;
	mr = ib_get_dma_mr(d->pair.client.pd, IB_ACCESS_LOCAL_WRITE | IB_ACCESS_FLUSH_GLOBAL);
	if (!IS_ERR(mr)) {
		ib_dereg_mr(mr);
		return -EPROTO;
	}
	mr = ib_get_dma_mr(d->pair.client.pd, IB_ACCESS_LOCAL_WRITE | IB_ACCESS_RELAXED_ORDERING);
	if (IS_ERR(mr))
		return PTR_ERR(mr);
	ib_dereg_mr(mr);
	/* The queue pair is as it was. */
	if (ulp_post_recv(&d->pair.server, &d->recv_cqe, 0, 0) || ulp_post_send(&d->pair.client, &d->cqe, 0, 0))
		return -EIO;
	wait_for_completion(&d->sent);
	wait_for_completion(&d->received);
	return d->status ? -EIO : 0;
}

int ulp_later(void)
{
	struct device_state *d __free(kfree) = kzalloc(sizeof(*d), GFP_KERNEL);
	struct page *page;
	struct bio_vec bv;
	int ret;

	if (!d)
		return -ENOMEM;
	mutex_init(&d->lock);
	spin_lock_init(&d->irq_lock);
	init_rwsem(&d->sem);
	INIT_LIST_HEAD(&d->batches);
	init_completion(&d->ticked);
	init_completion(&d->sent);
	init_completion(&d->received);
	d->cqe.done = send_done;
	d->recv_cqe.done = recv_done;
	timer_setup(&d->timer, tick, 0);
	mod_timer(&d->timer, jiffies);
	wait_for_completion(&d->ticked);
	timer_shutdown_sync(&d->timer);
	if (timer_pending(&d->timer) || !d->total)
		return -EPROTO;
	page = alloc_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	bvec_set_page(&bv, page, 100, 28);
	ret = bvec_virt(&bv) == (char *)page_address(page) + 28 ? use_batches(d) : -EPROTO;
	__free_page(page);
	if (!ret)
		ret = ulp_connect(&d->pair, 0);
	if (ret)
		return ret;
	ret = verbs(d);
	ulp_disconnect(&d->pair);
	return ret;
}
