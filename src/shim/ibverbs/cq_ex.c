/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The calls of an extended completion queue. From start_poll to end_poll one completion
 * is the current one, and its fields are read one by one. Times are of when it was polled.
 */
#include "shim.h"

#include <time.h>

static struct shim_cq *cq_of(struct ibv_cq_ex *ex)
{
	return hca_container_of(ex, struct shim_cq, ex);
}

static u64 wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

/* Return: 0; ENOENT: there is none; EIO: the queue is in error. */
static int next(struct shim_cq *c)
{
	int got = shim_cq_take(c, &c->current, 1);

	if (got <= 0)
		return got ? -got : ENOENT;
	shim_wire_count(c->node, &c->current, 1);
	c->ex.wr_id = c->current.wr_id;
	c->ex.status = (enum ibv_wc_status)c->current.status;
	if (hca_unlikely(c->wc_flags & IBV_WC_EX_WITH_COMPLETION_TIMESTAMP))
		c->current_ns = hca_now_ns();
	if (hca_unlikely(c->wc_flags & IBV_WC_EX_WITH_COMPLETION_TIMESTAMP_WALLCLOCK))
		c->current_wall = wall_ns();
	return 0;
}

static int start_poll(struct ibv_cq_ex *ex, struct ibv_poll_cq_attr *attr)
{
	struct shim_cq *c = cq_of(ex);
	int err;

	if (!shim_is(&c->obj, SHIM_CQ) || (attr && attr->comp_mask))
		return EINVAL;
	if (!c->one_thread)
		pthread_mutex_lock(&c->poll_lock);
	err = next(c);
	if (err && !c->one_thread)
		pthread_mutex_unlock(&c->poll_lock);
	return err;
}

static int next_poll(struct ibv_cq_ex *ex)
{
	return next(cq_of(ex));
}

static void end_poll(struct ibv_cq_ex *ex)
{
	struct shim_cq *c = cq_of(ex);

	if (!c->one_thread)
		pthread_mutex_unlock(&c->poll_lock);
}

static enum ibv_wc_opcode read_opcode(struct ibv_cq_ex *ex)
{
	return (enum ibv_wc_opcode)cq_of(ex)->current.opcode;
}

static uint32_t read_vendor_err(struct ibv_cq_ex *ex)
{
	return cq_of(ex)->current.vendor_err;
}

static uint32_t read_byte_len(struct ibv_cq_ex *ex)
{
	return cq_of(ex)->current.byte_len;
}

static __be32 read_imm_data(struct ibv_cq_ex *ex)
{
	return (HCA_FORCE __be32)cq_of(ex)->current.imm;
}

static uint32_t read_qp_num(struct ibv_cq_ex *ex)
{
	return cq_of(ex)->current.qp_num;
}

static uint32_t read_src_qp(struct ibv_cq_ex *ex)
{
	return cq_of(ex)->current.src_qp;
}

static unsigned int read_wc_flags(struct ibv_cq_ex *ex)
{
	return shim_wc_flags(&cq_of(ex)->current);
}

static uint32_t read_slid(struct ibv_cq_ex *ex)
{
	return shim_wc_lid(cq_of(ex), &cq_of(ex)->current);
}

static uint8_t read_sl(struct ibv_cq_ex *ex)
{
	return shim_wc_sl(&cq_of(ex)->current);
}

static uint8_t read_dlid_path_bits(struct ibv_cq_ex *ex)
{
	return cq_of(ex)->current.dlid_path_bits;
}

static uint64_t read_completion_ts(struct ibv_cq_ex *ex)
{
	return cq_of(ex)->current_ns;
}

static uint64_t read_completion_wallclock_ns(struct ibv_cq_ex *ex)
{
	return cq_of(ex)->current_wall;
}

/* What no completion of ours has; a queue can't be made to have it, but a program may call all the same. */
static uint16_t read_cvlan(struct ibv_cq_ex *ex)
{
	(void)ex;
	return 0;
}

static uint32_t read_flow_tag(struct ibv_cq_ex *ex)
{
	(void)ex;
	return 0;
}

static void read_tm_info(struct ibv_cq_ex *ex, struct ibv_wc_tm_info *info)
{
	(void)ex;
	*info = (struct ibv_wc_tm_info){ 0 };
}

void shim_cq_ex_init(struct shim_cq *c)
{
	struct ibv_cq_ex *ex = &c->ex;

	ex->start_poll = start_poll;
	ex->next_poll = next_poll;
	ex->end_poll = end_poll;
	ex->read_opcode = read_opcode;
	ex->read_vendor_err = read_vendor_err;
	ex->read_byte_len = read_byte_len;
	ex->read_imm_data = read_imm_data;
	ex->read_qp_num = read_qp_num;
	ex->read_src_qp = read_src_qp;
	ex->read_wc_flags = read_wc_flags;
	ex->read_slid = read_slid;
	ex->read_sl = read_sl;
	ex->read_dlid_path_bits = read_dlid_path_bits;
	ex->read_completion_ts = read_completion_ts;
	ex->read_cvlan = read_cvlan;
	ex->read_flow_tag = read_flow_tag;
	ex->read_tm_info = read_tm_info;
	ex->read_completion_wallclock_ns = read_completion_wallclock_ns;
}
