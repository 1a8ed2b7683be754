/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * In the style of RDS: connections in a hash table that is read under RCU, fragments recycled by llists, statistics for
 * each CPU, keys in a tree under a reader-writer lock, and completions that a tasklet works off.
 */
#include <linux/hash.h>
#include <linux/interrupt.h>
#include <linux/kernel.h>
#include <linux/llist.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/rbtree.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "ulp.h"

#define HASH_ENTRIES 8
#define MESSAGES 100
#define FRAGMENT 200

struct statistics {
	uint64_t s_send;
	uint64_t s_recv;
	uint64_t s_bytes;
};

static DEFINE_PER_CPU_SHARED_ALIGNED(struct statistics, rds_stats);

#define stats_add(member, n) \
	do { \
		per_cpu(rds_stats, get_cpu()).member += (n); \
		put_cpu(); \
	} while (0)

struct fragment {
	struct ib_cqe cqe;
	struct llist_node free_entry;
	struct list_head item;
	u64 dma;
	u32 len;
	char data[FRAGMENT];
};

struct mr_key {
	struct rb_node node;
	u32 key;
};

struct connection {
	struct hlist_node hash_node;
	__be32 addr;
	struct ulp_pair *pair;
	struct llist_head free;
	struct list_head arrived;
	spinlock_t lock;
	struct tasklet_struct tasklet;
	atomic_t in_order;
	atomic_t errors;
	struct completion all;
	struct rcu_head rcu;
};

static struct hlist_head conn_hash[HASH_ENTRIES];
static DEFINE_SPINLOCK(conn_lock);
static struct kmem_cache *conn_slab;

static struct rb_root keys = RB_ROOT;
static DEFINE_RWLOCK(keys_lock);

/* --- connections --- */

static struct hlist_head *bucket(__be32 addr)
{
	return &conn_hash[hash_32(be32_to_cpu(addr), ilog2(HASH_ENTRIES))];
}

static struct connection *conn_lookup(__be32 addr)
{
	struct connection *conn, *found = NULL;

	hlist_for_each_entry_rcu(conn, bucket(addr), hash_node)
	{
		if (conn->addr == addr) {
			found = conn;
			break;
		}
	}
	return found;
}

static void conn_free(struct rcu_head *head)
{
	kmem_cache_free(conn_slab, container_of(head, struct connection, rcu));
}

/* --- keys --- */

static struct mr_key *key_insert(struct mr_key *new)
{
	struct rb_node **p, *parent = NULL;
	struct mr_key *k = NULL;
	unsigned long flags;

	write_lock_irqsave(&keys_lock, flags);
	for (p = &keys.rb_node; *p;) {
		parent = *p;
		k = rb_entry(parent, struct mr_key, node);
		if (new->key == k->key)
			goto out;
		p = new->key < k->key ? &parent->rb_left : &parent->rb_right;
	}
	rb_link_node(&new->node, parent, p);
	rb_insert_color(&new->node, &keys);
	k = NULL;
out:
	write_unlock_irqrestore(&keys_lock, flags);
	return k;
}

static bool key_exists(u32 key)
{
	struct rb_node *n;

	read_lock(&keys_lock);
	n = keys.rb_node;
	while (n && rb_entry(n, struct mr_key, node)->key != key)
		n = key < rb_entry(n, struct mr_key, node)->key ? n->rb_left : n->rb_right;
	read_unlock(&keys_lock);
	return n != NULL;
}

static int use_keys(void)
{
	static const u32 number[] = { 50, 20, 80, 10, 30, 70, 90 };
	struct rb_node *n;
	struct mr_key *k, again = { .key = 30 };
	int i, ret = 0;

	for (i = 0; i < ARRAY_SIZE(number); i++) {
		k = kzalloc(sizeof(*k), GFP_ATOMIC);
		if (!k)
			return -ENOMEM;
		k->key = number[i];
		key_insert(k);
	}
	if (!key_exists(70) || key_exists(71) || !key_insert(&again))
		ret = -EINVAL;
	write_lock(&keys_lock);
	while ((n = rb_first(&keys))) {
		rb_erase(n, &keys);
		RB_CLEAR_NODE(n);
		kfree(rb_entry(n, struct mr_key, node));
	}
	write_unlock(&keys_lock);
	return ret;
}

/* --- fragments --- */

static void recv_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fragment *f = container_of(wc->wr_cqe, struct fragment, cqe);
	struct connection *conn;

	if (wc->status == IB_WC_WR_FLUSH_ERR)
		return;
	rcu_read_lock();
	conn = conn_lookup(cpu_to_be32(0x0a000002));
	if (WARN_ON(!conn || cq != conn->pair->server.cq)) {
		rcu_read_unlock();
		return;
	}
	if (wc->status != IB_WC_SUCCESS)
		atomic_inc(&conn->errors);
	f->len = wc->byte_len;
	spin_lock_bh(&conn->lock);
	list_add_tail(&f->item, &conn->arrived);
	spin_unlock_bh(&conn->lock);
	tasklet_schedule(&conn->tasklet);
	rcu_read_unlock();
}

static void tasklet_fn(unsigned long data)
{
	struct connection *conn = (struct connection *)data;
	struct ulp_end *e = &conn->pair->server;
	struct fragment *f, *next;
	LIST_HEAD(list);
	char expect[32];
	int n;

	spin_lock(&conn->lock);
	list_splice_tail_init(&conn->arrived, &list);
	spin_unlock(&conn->lock);
	list_for_each_entry_safe(f, next, &list, item) {
		list_del(&f->item);
		ib_dma_sync_single_for_cpu(e->dev, f->dma, FRAGMENT, DMA_FROM_DEVICE);
		n = atomic_inc_return(&conn->in_order);
		if (f->len != snprintf(expect, sizeof(expect), "message %d", n) || memcmp(f->data, expect, f->len))
			atomic_inc(&conn->errors);
		stats_add(s_recv, 1);
		stats_add(s_bytes, f->len);
		ib_dma_sync_single_for_device(e->dev, f->dma, FRAGMENT, DMA_FROM_DEVICE);
		if (ulp_post_recv(e, &f->cqe, f->dma, FRAGMENT))
			atomic_inc(&conn->errors);
		if (n == MESSAGES)
			complete(&conn->all);
	}
}

static void send_done(struct ib_cq *cq, struct ib_wc *wc)
{
	struct fragment *f = container_of(wc->wr_cqe, struct fragment, cqe);
	struct connection *conn;

	rcu_read_lock();
	conn = conn_lookup(cpu_to_be32(0x0a000002));
	if (wc->status != IB_WC_SUCCESS)
		atomic_inc(&conn->errors);
	WARN_ON(cq != conn->pair->client.cq);
	llist_add(&f->free_entry, &conn->free);
	wake_up_var(&conn->free);
	rcu_read_unlock();
}

static int send_all(struct connection *conn)
{
	struct llist_node *mine = NULL;
	int i, ret = 0;

	for (i = 1; i <= MESSAGES && !ret; i++) {
		struct fragment *f;

		if (!mine) {
			wait_var_event(&conn->free, !llist_empty(&conn->free));
			mine = llist_reverse_order(llist_del_all(&conn->free));
		}
		f = llist_entry(mine, struct fragment, free_entry);
		mine = llist_next(mine);
		f->len = scnprintf(f->data, FRAGMENT, "message %d", i);
		ib_dma_sync_single_for_device(conn->pair->client.dev, f->dma, FRAGMENT, DMA_TO_DEVICE);
		ret = ulp_post_send(&conn->pair->client, &f->cqe, f->dma, f->len);
		stats_add(s_send, 1);
	}
	wait_for_completion(&conn->all);
	return ret;
}

static int fragments_map(struct fragment *f, struct ulp_end *e, enum dma_data_direction dir)
{
	int i;

	for (i = 0; i < ULP_DEPTH; i++) {
		f[i].dma = ib_dma_map_single(e->dev, f[i].data, FRAGMENT, dir);
		if (ib_dma_mapping_error(e->dev, f[i].dma))
			return -ENOMEM;
	}
	return 0;
}

static void fragments_unmap(struct fragment *f, struct ulp_end *e, enum dma_data_direction dir)
{
	int i;

	for (i = 0; i < ULP_DEPTH && f[i].dma; i++)
		ib_dma_unmap_single(e->dev, f[i].dma, FRAGMENT, dir);
}

static int check_stats(void)
{
	struct statistics sum = {};
	uint64_t *src, *to = (uint64_t *)&sum;
	size_t i;
	int cpu;

	for_each_possible_cpu(cpu)
	{
		src = (uint64_t *)&(per_cpu(rds_stats, cpu));
		for (i = 0; i < sizeof(sum) / sizeof(*src); i++) {
			to[i] += src[i];
			src[i] = 0;
		}
	}
	return sum.s_send == MESSAGES && sum.s_recv == MESSAGES && sum.s_bytes > 9 * MESSAGES ? 0 : -EPROTO;
}

static int run(struct connection *conn, struct fragment *out, struct fragment *in)
{
	int i, ret;

	ret = fragments_map(out, &conn->pair->client, DMA_TO_DEVICE);
	if (!ret)
		ret = fragments_map(in, &conn->pair->server, DMA_FROM_DEVICE);
	for (i = 0; i < ULP_DEPTH && !ret; i++) {
		out[i].cqe.done = send_done;
		in[i].cqe.done = recv_done;
		llist_add(&out[i].free_entry, &conn->free);
		ret = ulp_post_recv(&conn->pair->server, &in[i].cqe, in[i].dma, FRAGMENT);
	}
	if (!ret)
		ret = send_all(conn);
	if (!ret)
		ret = check_stats();
	ib_drain_qp(conn->pair->client.qp);
	ib_drain_qp(conn->pair->server.qp);
	tasklet_kill(&conn->tasklet);
	fragments_unmap(out, &conn->pair->client, DMA_TO_DEVICE);
	fragments_unmap(in, &conn->pair->server, DMA_FROM_DEVICE);
	return ret ? ret : atomic_read(&conn->errors) ? -EPROTO : 0;
}

int ulp_rds(void)
{
	struct ulp_pair *pair = kzalloc(sizeof(*pair), GFP_KERNEL);
	struct fragment *out = kcalloc(ULP_DEPTH, sizeof(*out), GFP_KERNEL);
	struct fragment *in = kcalloc(ULP_DEPTH, sizeof(*in), GFP_KERNEL);
	struct connection *conn = NULL;
	int ret = -ENOMEM;

	conn_slab = kmem_cache_create("connection", sizeof(struct connection), 0, 0, NULL);
	if (conn_slab)
		conn = kmem_cache_zalloc(conn_slab, GFP_KERNEL);
	if (!pair || !out || !in || !conn)
		goto free;
	conn->addr = cpu_to_be32(0x0a000002);
	conn->pair = pair;
	init_llist_head(&conn->free);
	INIT_LIST_HEAD(&conn->arrived);
	spin_lock_init(&conn->lock);
	init_completion(&conn->all);
	tasklet_init(&conn->tasklet, tasklet_fn, (unsigned long)conn);
	ret = ulp_connect(pair, 0);
	if (ret)
		goto free;
	spin_lock(&conn_lock);
	hlist_add_head_rcu(&conn->hash_node, bucket(conn->addr));
	spin_unlock(&conn_lock);
	ret = run(conn, out, in);
	spin_lock(&conn_lock);
	hlist_del_init_rcu(&conn->hash_node);
	spin_unlock(&conn_lock);
	call_rcu(&conn->rcu, conn_free);
	conn = NULL;
	ulp_disconnect(pair);
	rcu_barrier();
	if (!ret)
		ret = use_keys();
free:
	if (conn)
		kmem_cache_free(conn_slab, conn);
	kmem_cache_destroy(conn_slab);
	kfree(in);
	kfree(out);
	kfree(pair);
	return ret;
}
