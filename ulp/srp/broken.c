/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An SRP initiator as it might have been written on an adapter that lets everything
 * through: see broken.h. It keeps the protocol, and its data are right. Which rule of
 * mapping it breaks is chosen; CULPRIT() stands on the line above the one that breaks
 * it, and notes that line, which the ledger is to name without having been told.
 */
#include <time.h>

#include "broken.h"

#define IU_BYTES 512u
#define RECVS 4u
#define BLOCK 512u
#define WAIT_MS 10000u

#define CULPRIT(b) ((b)->line = __LINE__ + 1)

static void nap(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

/* --- login --- */

static int post_recv(struct broken *b, u64 i)
{
	struct ib_sge sge = { .addr = hca_dma_u64(b->iu.dma) + (1 + i) * IU_BYTES,
			      .length = IU_BYTES,
			      .lkey = b->pd->local_dma_lkey };
	struct ib_recv_wr wr = { .wr_id = i, .sg_list = &sge, .num_sge = 1 };

	return ib_post_recv(b->q.qp, &wr, NULL);
}

static bool on_event(void *ctx, const struct srp_cm_event *ev)
{
	struct broken *b = ctx;

	__atomic_store_n(&b->answer, ev->what == SRP_CM_READY || ev->what == SRP_CM_ACCEPTED ? 1 : 2, __ATOMIC_RELEASE);
	return true;
}

static int wait_answer(struct broken *b)
{
	u32 answer = 0, i;

	for (i = 0; i < WAIT_MS && !(answer = __atomic_load_n(&b->answer, __ATOMIC_ACQUIRE)); i++)
		nap();
	return answer == 1 ? 0 : answer ? -ECONNREFUSED : -ETIMEDOUT;
}

static int find_target(struct broken *b, const char *name)
{
	int err = srp_cm_open(b->dev, name, on_event, b, &b->conn);

	if (err)
		return err;
	err = wait_answer(b);
	if (err)
		srp_cm_close(b->conn);
	return err;
}

static int login(struct broken *b)
{
	struct srp_login_req req = { .tag = 1, .it_iu_len = IU_BYTES, .formats = SRP_FMT_DIRECT | SRP_FMT_INDIRECT };
	u32 len;
	u8 iu[SRP_CM_PRIVATE];
	int err;

	memset(req.initiator_port, 0xb0, SRP_PORT_ID);
	len = srp_login_req_encode(iu, sizeof(iu), &req);
	__atomic_store_n(&b->answer, 0, __ATOMIC_RELAXED);
	err = srp_cm_connect(b->conn, iu, len);
	return err ? err : wait_answer(b);
}

static int make_qp(struct broken *b)
{
	const struct srp_qp_attr attr = {
		.id = b->conn->id, .pd = b->pd, .poll = IB_POLL_DIRECT, .sends = 4, .recvs = RECVS
	};
	int err = srp_qp_make(&b->q, &attr);
	u64 i;

	if (err)
		return err;
	for (i = 0; i < RECVS && !err; i++)
		err = post_recv(b, i);
	if (err)
		srp_qp_drop(&b->q);
	return err;
}

/* --- commands --- */

/* Return: 0 when the response came, and said GOOD */
static int wait_response(struct broken *b, u64 tag)
{
	struct srp_rsp rsp;
	struct ib_wc wc;
	u32 waited = 0;

	for (;;) {
		if (ib_poll_cq(b->q.cq, 1, &wc) <= 0) {
			if (waited++ >= WAIT_MS)
				return -ETIMEDOUT;
			nap();
			continue;
		}
		if (wc.status)
			return -EIO;
		if (wc.wr_id >= RECVS)
			continue;
		if (srp_rsp_decode(b->iu.cpu + (1 + wc.wr_id) * IU_BYTES, wc.byte_len, &rsp) || rsp.tag != tag)
			return -EIO;
		if (post_recv(b, wc.wr_id))
			return -EIO;
		return rsp.status ? -EREMOTEIO : 0;
	}
}

static int command(struct broken *b, const u8 *cdb, u32 cdb_len, bool write, dma_addr_t addr, u32 len)
{
	static const u8 lun[SCSI_LUN_LEN];
	const struct srp_data none = { .format = SRP_DATA_NONE };
	struct srp_desc desc = { .va = hca_dma_u64(addr), .key = b->pd->unsafe_global_rkey, .len = len };
	u8 wire[SRP_DESC_BYTES];
	struct srp_data data = { .format = len ? SRP_DATA_DIRECT : SRP_DATA_NONE,
				 .count = len ? 1 : 0,
				 .total = len ? 1 : 0,
				 .len = len,
				 .table = desc,
				 .descs = wire };
	struct ib_sge sge = { .addr = hca_dma_u64(b->iu.dma), .lkey = b->pd->local_dma_lkey };
	struct ib_send_wr wr = {
		.wr_id = RECVS, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_SIGNALED
	};

	srp_desc_put(wire, 0, &desc);
	sge.length = srp_cmd_encode(b->iu.cpu, IU_BYTES, ++b->tag, lun, cdb, cdb_len, write ? &data : &none,
				    write ? &none : &data);
	if (ib_post_send(b->q.qp, &wr, NULL))
		return -EIO;
	return wait_response(b, b->tag);
}

/* The data's mapping: here are the rules that can be broken before the command. */
static dma_addr_t map_data(struct broken *b, enum broken_rule rule, struct page *page, u32 len,
			   enum dma_data_direction dir)
{
	dma_addr_t addr;

	if (rule == BROKEN_MAP_DIR) {
		CULPRIT(b); /* the adapter will write here */
		addr = ib_dma_map_page(b->dev, page, 0, len, DMA_TO_DEVICE);
	} else if (rule == BROKEN_NO_UNMAP) {
		CULPRIT(b); /* a leak is named by the line that made it */
		addr = ib_dma_map_page(b->dev, page, 0, len, dir);
	} else if (rule == BROKEN_NO_CHECK) {
		CULPRIT(b); /* who maps must ask if that failed */
		addr = ib_dma_map_page(b->dev, page, 0, len, dir);
		return addr;
	} else {
		addr = ib_dma_map_page(b->dev, page, 0, len, dir);
	}
	if (!ib_dma_mapping_error(b->dev, addr) && rule == BROKEN_EARLY_UNMAP) {
		CULPRIT(b); /* its address is used below */
		ib_dma_unmap_page(b->dev, addr, len, dir);
	}
	return addr;
}

/* And those that can be broken after it. */
static void unmap_data(struct broken *b, enum broken_rule rule, dma_addr_t addr, u32 len, enum dma_data_direction dir)
{
	switch (rule) {
	case BROKEN_NO_UNMAP:
	case BROKEN_EARLY_UNMAP:
		return;
	case BROKEN_MAP_DIR:
		/* The same mistake twice, so that the unmap at least fits. */
		ib_dma_unmap_page(b->dev, addr, len, DMA_TO_DEVICE);
		return;
	case BROKEN_UNMAP_SIZE:
		CULPRIT(b);
		ib_dma_unmap_page(b->dev, addr, len - BLOCK, dir);
		return;
	case BROKEN_UNMAP_DIR:
		CULPRIT(b);
		ib_dma_unmap_page(b->dev, addr, len, DMA_TO_DEVICE);
		return;
	default:
		ib_dma_unmap_page(b->dev, addr, len, dir);
		break;
	}
	if (rule == BROKEN_TWO_UNMAPS) {
		CULPRIT(b);
		ib_dma_unmap_page(b->dev, addr, len, dir);
	}
}

int broken_rw(struct broken *b, bool write, u32 lba, u16 blocks, struct page *page)
{
	const u8 cdb[10] = {
		write ? 0x2a : 0x28, 0,		(u8)(lba >> 24), (u8)(lba >> 16), (u8)(lba >> 8), (u8)lba, 0,
		(u8)(blocks >> 8),   (u8)blocks
	};
	enum broken_rule rule = write ? BROKEN_NOTHING : b->rule;
	enum dma_data_direction dir = write ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
	/* One block more than is moved, so that an unmap with the wrong size has another one to give. */
	u32 len = blocks * BLOCK;
	dma_addr_t addr = map_data(b, rule, page, len + BLOCK, dir);
	int err = rule == BROKEN_NO_CHECK ? 0 : ib_dma_mapping_error(b->dev, addr);

	if (err)
		return err;
	err = command(b, cdb, sizeof(cdb), write, addr, len);
	unmap_data(b, rule, addr, len + BLOCK, dir);
	return err;
}

/* --- from login to logout --- */

int broken_open(struct broken *b, struct ib_device *dev, const char *name)
{
	static const u8 test_unit_ready[6];
	int err;

	memset(b, 0, sizeof(*b));
	b->dev = dev;
	b->pd = ib_alloc_pd(dev, IB_PD_UNSAFE_GLOBAL_RKEY);
	if (IS_ERR(b->pd))
		return (int)PTR_ERR(b->pd);
	err = srp_mem_make(&b->iu, dev, (size_t)(1 + RECVS) * IU_BYTES);
	if (err)
		goto drop_pd;
	err = find_target(b, name);
	if (err)
		goto drop_iu;
	err = make_qp(b);
	if (err)
		goto close_conn;
	err = login(b);
	if (err)
		goto drop_qp;
	/* The first command of a nexus gets a unit attention for the reset. */
	err = command(b, test_unit_ready, sizeof(test_unit_ready), false, hca_dma_addr(0), 0);
	if (!err || err == -EREMOTEIO)
		return 0;
	broken_close(b);
	return err;
drop_qp:
	srp_qp_drop(&b->q);
close_conn:
	srp_cm_close(b->conn);
drop_iu:
	srp_mem_drop(&b->iu);
drop_pd:
	ib_dealloc_pd(b->pd);
	return err;
}

void broken_close(struct broken *b)
{
	srp_qp_drop(&b->q);
	srp_cm_close(b->conn);
	srp_mem_drop(&b->iu);
	ib_dealloc_pd(b->pd);
}
