/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SRP information units of any content. The first byte chooses: the decoders, on a
 * copy that ends where the input does; or a live target, to which an initiator made
 * by hand sends the rest, cut into units by length bytes. Checked: no look beyond the end (the sanitizer), what a
 * decoder accepts is consistent, what the target sends is well formed, it never sends more than
 * the initiator has room for, and it lives to take the next login.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "srp/srp_private.h"
#include "softhca/dma-mapping.h"

#define DISK (64u << 10)
#define RECVS 64u
#define IU 256u
#define DATA (RECVS * IU)
#define BYTES (DATA + (64u << 10))

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size);

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* --- decoders --- */

static void check_data(const struct srp_data *d, const u8 *iu, u32 len)
{
	if (d->format == SRP_DATA_NONE)
		return;
	must((const u8 *)d->descs >= iu && (const u8 *)d->descs + d->count * SRP_DESC_BYTES <= iu + len);
	must(d->count <= d->total);
	if (d->count == d->total)
		must(srp_table_check(d->descs, d->count, d->len) == SRP_FINE);
}

static void decode(const u8 *in, u32 len)
{
	u8 *iu = malloc(len ? len : 1);
	struct srp_login_req req;
	struct srp_login_rsp rsp;
	struct srp_login_rej rej;
	struct srp_tsk_mgmt tm;
	struct srp_aer_req aer;
	struct srp_cmd cmd;
	struct srp_rsp r;
	u32 word;
	u64 tag;

	memcpy(iu, in, len);
	if (!srp_cmd_decode(iu, len, &cmd)) {
		must(cmd.cdb_len >= 16 && cmd.cdb_len <= sizeof(cmd.cdb));
		check_data(&cmd.out, iu, len);
		check_data(&cmd.in, iu, len);
	}
	if (!srp_rsp_decode(iu, len, &r)) {
		u8 out[512];
		u32 n = srp_rsp_encode(out, sizeof(out), &r);

		must(r.sense + r.sense_len <= iu + len);
		must(!n || n <= len);
	}
	if (!srp_aer_req_decode(iu, len, &aer))
		must(aer.sense + aer.sense_len <= iu + len);
	srp_tsk_mgmt_decode(iu, len, &tm);
	srp_login_req_decode(iu, len, &req);
	srp_login_rsp_decode(iu, len, &rsp);
	srp_login_rej_decode(iu, len, &rej);
	srp_plain_decode(iu, len, SRP_I_LOGOUT, &tag);
	srp_word_decode(iu, len, SRP_T_LOGOUT, &tag, &word);
	free(iu);
}

/* --- a live target --- */

static struct ib_device *dev[2];
static struct srp_target *target;
static char name[SRP_CM_NAME];

static void setup(void)
{
	const struct machine_attr attr = { .platform = MACHINE_IOMMU, .low_bytes = 16u << 20 };
	struct srp_target_attr ta = { .name = name, .depth = 4, .chunk = 8192, .max_table = 16 };
	static struct scsi_device scsi;
	static u8 disk[DISK];
	static struct lun lun;
	struct machine *m;
	int i;

	must(!machine_create(&attr, &m));
	for (i = 0; i < 2; i++) {
		const struct device_attr da = { .name = i ? "target" : "initiator" };
		struct device *bus;

		must(!device_create(m, &da, &bus));
		must(!dmahca_create(bus, da.name, NULL, &dev[i]));
	}
	must(!lun_ram_open(&lun, disk, sizeof(disk), 512, false));
	scsi_device_init(&scsi, &lun);
	ta.device = dev[1];
	ta.scsi = &scsi;
	must(!srp_name(dev[1], 5555, name) && !srp_target_create(&ta, &target));
}

struct peer {
	struct ib_pd *pd;
	struct srp_mem mem;
	struct srp_qp q;
	struct srp_cm_conn *conn;
	u32 answer; /* atomic: 1 accepted, 2 rejected */
};

static bool on_event(void *ctx, const struct srp_cm_event *ev)
{
	struct peer *p = ctx;

	if (ev->what != SRP_CM_GONE)
		__atomic_store_n(&p->answer, ev->what == SRP_CM_REJECTED ? 2 : 1, __ATOMIC_RELEASE);
	return true;
}

/* Return: it is a good one. */
static bool wait_answer(struct peer *p)
{
	u32 answer;

	while (!(answer = __atomic_exchange_n(&p->answer, 0, __ATOMIC_ACQUIRE)))
		usleep(10);
	return answer == 1;
}

static void post_recv(struct peer *p, u64 i)
{
	struct ib_sge sge = { .addr = hca_dma_u64(p->mem.dma) + i * IU, .length = IU, .lkey = p->pd->local_dma_lkey };
	struct ib_recv_wr wr = { .wr_id = i, .sg_list = &sge, .num_sge = 1 };

	(void)ib_post_recv(p->q.qp, &wr, NULL);
}

/* Return: logged in. @login: bytes of the request, or NULL for a good one */
static bool peer_open(struct peer *p, const u8 *login, u32 len)
{
	struct srp_qp_attr attr = { .poll = IB_POLL_DIRECT, .sends = 64, .recvs = RECVS };
	struct srp_login_req req = { .it_iu_len = 500, .formats = SRP_FMT_DIRECT | SRP_FMT_INDIRECT };
	u8 iu[64];
	u32 i;

	memset(p, 0, sizeof(*p));
	p->pd = ib_alloc_pd(dev[0], IB_PD_UNSAFE_GLOBAL_RKEY);
	must(!IS_ERR(p->pd) && !srp_mem_make(&p->mem, dev[0], BYTES));
	must(!srp_cm_open(dev[0], name, on_event, p, &p->conn) && wait_answer(p));
	attr.pd = p->pd;
	attr.id = p->conn->id;
	must(!srp_qp_make(&p->q, &attr));
	for (i = 0; i < RECVS; i++)
		post_recv(p, i);
	srp_login_req_encode(iu, sizeof(iu), &req);
	must(!srp_cm_connect(p->conn, login ? login : iu, login ? len : SRP_CM_PRIVATE));
	return wait_answer(p);
}

static void peer_close(struct peer *p)
{
	srp_qp_drop(&p->q);
	srp_cm_close(p->conn);
	srp_mem_drop(&p->mem);
	must(!ib_dealloc_pd(p->pd));
}

static void peer_send(struct peer *p, const u8 *iu, u32 len)
{
	struct ib_sge sge = { .addr = (u64)(uintptr_t)iu, .length = len };
	struct ib_send_wr wr = {
		.wr_id = ~0ull, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_SEND, .send_flags = IB_SEND_INLINE
	};

	(void)ib_post_send(p->q.qp, &wr, NULL);
}

static void check_sent(const u8 *iu, u32 len)
{
	struct srp_rsp r;
	u32 word;
	u64 tag;

	switch (srp_iu_type(iu, len)) {
	case SRP_RSP:
		must(!srp_rsp_decode(iu, len, &r) && len <= SRP_TI_IU);
		break;
	case SRP_T_LOGOUT:
		must(!srp_word_decode(iu, len, SRP_T_LOGOUT, &tag, &word));
		break;
	case SRP_CRED_REQ:
		must(!srp_word_decode(iu, len, SRP_CRED_REQ, &tag, &word) && word);
		break;
	default:
		abort();
	}
}

static void peer_drain(struct peer *p)
{
	struct ib_wc wc;

	while (ib_poll_cq(p->q.cq, 1, &wc) > 0) {
		if (wc.status || wc.wr_id == ~0ull)
			continue;
		check_sent(p->mem.cpu + wc.wr_id * IU, wc.byte_len);
		post_recv(p, wc.wr_id);
	}
}

/* Descriptors that say so are made to lead to the peer's memory, so that there is more to see than refusals. */
static void mend(struct peer *p, u8 *iu, u32 len)
{
	struct srp_cmd cmd;
	struct srp_desc d;
	u8 *at;

	if (srp_cmd_decode(iu, len, &cmd) || (!cmd.out.format && !cmd.in.format))
		return;
	at = iu + ((const u8 *)(cmd.out.format ? cmd.out.descs : cmd.in.descs) - iu);
	if (at + SRP_DESC_BYTES > iu + len)
		return;
	d = srp_desc_get(at, 0);
	if (d.key & 1)
		return;
	d.key = p->pd->unsafe_global_rkey;
	d.va = hca_dma_u64(p->mem.dma) + DATA + d.va % 4096;
	srp_desc_put(at, 0, &d);
}

static void converse(const u8 *in, u32 len)
{
	struct peer p;
	u8 iu[500];

	if (peer_open(&p, NULL, 0)) {
		while (len) {
			u32 n = SRP_MIN(SRP_MIN((u32)in[0] * 2, len - 1), (u32)sizeof(iu));

			memcpy(iu, in + 1, n);
			mend(&p, iu, n);
			peer_send(&p, iu, n);
			peer_drain(&p);
			in += 1 + n;
			len -= 1 + n;
		}
	}
	peer_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	struct peer p;

	if (!size || size > 65536)
		return 0;
	if (!target)
		setup();
	switch (in[0] % 4) {
	case 0:
		(void)peer_open(&p, in + 1, (u32)SRP_MIN(size - 1, SRP_CM_PRIVATE));
		peer_close(&p);
		break;
	case 1:
		converse(in + 1, (u32)size - 1);
		break;
	default:
		decode(in + 1, (u32)size - 1);
		break;
	}
	return 0;
}
