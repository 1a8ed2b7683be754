/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * In the style of 9P and SRP: options from a text, an address, requests by tag in an IDR, commands in a kfifo,
 * parameters that check themselves, trace points, and a field that is called errno.
 */
#include <linux/idr.h>
#include <linux/in.h>
#include <linux/inet.h>
#include <linux/kernel.h>
#include <linux/kfifo.h>
#include <linux/module.h>
#include <linux/parser.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/un.h>
#include <rdma/ib.h>
#include <rdma/ib_addr.h>
#include <rdma/ib_cache.h>
#include <rdma/rw.h>

#include "ulp.h"
#define CREATE_TRACE_POINTS
#include "ulp_trace.h"

enum { Opt_port, Opt_depth, Opt_pkey, Opt_addr, Opt_priv, Opt_err };

static const match_table_t tokens = {
	{ Opt_port, "port=%u" }, { Opt_depth, "sq=%u" },   { Opt_pkey, "pkey=%x" },
	{ Opt_addr, "addr=%s" }, { Opt_priv, "privport" }, { Opt_err, NULL },
};

struct opts {
	u16 port;
	int sq_depth;
	int pkey;
	bool privport;
	__be32 addr;
	int errno;
};

static int parse(char *text, struct opts *opts)
{
	substring_t args[MAX_OPT_ARGS];
	int option, token;
	char *p, *s;

	while ((p = strsep(&text, ",")) != NULL) {
		if (!*p)
			continue;
		token = match_token(p, tokens, args);
		trace_ulp_option(p, token);
		switch (token) {
		case Opt_port:
			if (match_int(&args[0], &option))
				return -EINVAL;
			opts->port = option;
			break;
		case Opt_depth:
			if (match_int(&args[0], &opts->sq_depth))
				return -EINVAL;
			break;
		case Opt_pkey:
			if (match_hex(&args[0], &opts->pkey))
				return -EINVAL;
			break;
		case Opt_addr:
			s = match_strdup(&args[0]);
			option = s && in4_pton(s, -1, (u8 *)&opts->addr, -1, NULL);
			kfree(s);
			if (!option)
				return -EINVAL;
			break;
		case Opt_priv:
			opts->privport = true;
			break;
		default:
			opts->errno = -EINVAL;
			return opts->errno;
		}
	}
	return 0;
}

static int show(const struct opts *opts)
{
	char *buf = kzalloc(64, GFP_KERNEL);
	struct seq_file m = { .buf = buf, .size = 64 };
	int ret;

	if (!buf)
		return -ENOMEM;
	if (opts->port)
		seq_printf(&m, ",port=%u", opts->port);
	if (opts->privport)
		seq_puts(&m, ",privport");
	ret = strcmp(buf, ",port=5640,privport") ? -EINVAL : 0;
	kfree(buf);
	return ret;
}

static int tags(void)
{
	DEFINE_IDR(reqs);
	struct kfifo fifo;
	int tag, got, i, ret;

	ret = kfifo_alloc(&fifo, 4 * sizeof(int), GFP_KERNEL);
	if (ret)
		return ret;
	for (i = 0; i < 3; i++) {
		tag = idr_alloc(&reqs, &fifo, 0, 3, GFP_NOWAIT);
		if (tag < 0 || kfifo_in(&fifo, (void *)&tag, sizeof(tag)) != sizeof(tag))
			ret = -EINVAL;
	}
	if (idr_alloc(&reqs, &fifo, 0, 3, GFP_NOWAIT) != -ENOSPC)
		ret = -EINVAL;
	for (i = 0; kfifo_out(&fifo, (void *)&got, sizeof(got)); i++)
		if (got != i || idr_remove(&reqs, got) != &fifo)
			ret = -EINVAL;
	if (i != 3 || !idr_is_empty(&reqs))
		ret = -EINVAL;
	idr_destroy(&reqs);
	kfifo_free(&fifo);
	return ret;
}

static int paths(struct ib_device *dev)
{
	struct rdma_ah_attr attr = {};
	struct sockaddr_ib sib = { .sib_family = AF_IB };
	enum ib_port_state state;
	union ib_gid gid;
	u16 pkey, index;
	u32 port;

	if (ib_get_cached_pkey(dev, rdma_start_port(dev), 0, &pkey) || ib_find_cached_pkey(dev, 1, pkey, &index) ||
	    index)
		return -EINVAL;
	if (ib_find_pkey(dev, 1, 0x1234, &index) != -ENOENT)
		return -EINVAL;
	if (rdma_query_gid(dev, 1, 0, &gid) || ib_find_gid(dev, &gid, &port, &index) || port != 1 || index)
		return -EINVAL;
	if (ib_get_cached_port_state(dev, 1, &state) || state != IB_PORT_ACTIVE)
		return -EINVAL;
	rdma_ah_set_grh(&attr, &gid, 1, 2, 3, 4);
	rdma_ah_set_dlid(&attr, 77);
	rdma_ah_set_sl(&attr, 5);
	if (!(rdma_ah_get_ah_flags(&attr) & IB_AH_GRH) || rdma_ah_retrieve_grh(&attr)->hop_limit != 3 ||
	    rdma_ah_read_grh(&attr)->traffic_class != 4 || rdma_ah_get_dlid(&attr) != 77)
		return -EINVAL;
	if (rdma_addr_size((struct sockaddr *)&sib) != sizeof(sib) || !ib_addr_any(&sib.sib_addr))
		return -EINVAL;
	return dev->node_type == RDMA_NODE_IB_CA && !(dev->attrs.odp_caps.general_caps & IB_ODP_SUPPORT) ? 0 : -EINVAL;
}

/* Signatures are asked for, and the other way is taken. */
static int integrity(struct ulp_pair *p)
{
	struct ib_sig_attrs sig = { .check_mask = IB_SIG_CHECK_GUARD };
	struct rdma_rw_ctx ctx;
	struct ib_mr *mr;

	sig.mem.sig_type = IB_SIG_TYPE_NONE;
	if (p->client.dev->attrs.kernel_cap_flags & IBK_INTEGRITY_HANDOVER)
		return -EINVAL;
	mr = ib_alloc_mr_integrity(p->client.pd, 1, 1);
	if (PTR_ERR(mr) != -EOPNOTSUPP)
		return -EINVAL;
	return rdma_rw_ctx_signature_init(&ctx, p->client.qp, 1, NULL, 0, NULL, 0, &sig, 0, 0, DMA_TO_DEVICE) ==
			       -EOPNOTSUPP ?
		       0 :
		       -EINVAL;
}

static int depth = 8;

static int set_depth(const char *val, const struct kernel_param *kp)
{
	unsigned int n;
	int ret = kstrtouint(val, 0, &n);

	if (ret)
		return ret;
	return n < 4 || n > 64 ? -EINVAL : param_set_int(val, kp);
}

static const struct kernel_param_ops depth_ops = {
	.set = set_depth,
	.get = param_get_int,
};

module_param_cb(depth, &depth_ops, &depth, 0644);
MODULE_PARM_DESC(depth, "requests of a connection, 4 to 64");
MODULE_LICENSE("Dual BSD/GPL");

static int texts(void)
{
	char good[] = "port=5640,,sq=32,pkey=ffff,addr=10.0.0.2,privport", bad[] = "port=1,prot=2", odd[] = "addr=10.0";
	struct opts opts = {};
	int ret;

	if (parse(good, &opts) || opts.sq_depth != 32 || opts.pkey != 0xffff || opts.addr != cpu_to_be32(0x0a000002))
		return -EINVAL;
	ret = show(&opts);
	if (ret)
		return ret;
	return parse(bad, &opts) != -EINVAL || opts.errno != -EINVAL || parse(odd, &opts) != -EINVAL ? -EINVAL : 0;
}

int ulp_options(void)
{
	struct ulp_pair *p;
	int ret = texts();

	if (!ret)
		ret = tags();
	if (!ret && depth != 16) /* as the program has set it */
		ret = -EINVAL;
	if (ret)
		return ret;
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return -ENOMEM;
	ret = ulp_connect(p, 0);
	if (!ret) {
		ret = paths(p->client.dev);
		if (!ret)
			ret = integrity(p);
		ulp_disconnect(p);
	}
	kfree(p);
	return ret;
}
