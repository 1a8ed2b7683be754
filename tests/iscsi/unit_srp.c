/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The device server behind the SRP target: see front.h. Initiator and target are on two dmahca adapters behind a
 * strict IOMMU, with ledgers that report. Each session is an SRP initiator of its own, with lists of scattered pages,
 * half of them in high memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front.h"
#include "softhca/ib_dma.h"
#include "srp/srp.h"

#define MIB ((u64)1 << 20)
#define PAGES (DATA_MAX / PAGE_SIZE)

static struct {
	struct machine *machine;
	struct device *bus[2];
	struct ib_device *dev[2];
	struct scsi_device scsi;
	struct srp_target *target;
	char name[SRP_CM_NAME];
	u32 misuses;
} host;

/* @pages: as many as any command has needed; they stay until the session ends. */
struct session {
	struct srp_initiator *ini;
	struct page *pages[PAGES];
	struct scatterlist sgl[PAGES];
	u32 n;
};

static void misuse(void *ctx, const struct hca_misuse_report *r)
{
	char line[512];

	__atomic_fetch_add((u32 *)ctx, 1, __ATOMIC_RELAXED);
	ib_dma_report_str(r, line, sizeof(line));
	fprintf(stderr, "ledger: %s\n", line);
}

static void *over_srp_open(const u8 port_id[PORT_ID_LEN])
{
	struct srp_initiator_attr attr = { .device = host.dev[0], .name = host.name };
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	memcpy(attr.port_id, port_id, PORT_ID_LEN);
	if (!srp_initiator_connect(&attr, &s->ini))
		return s;
	free(s);
	return NULL;
}

/* A list of @len bytes, in pages that don't lie in a row. Return: entries, or 0: no memory */
static u32 make_list(struct session *s, u32 len)
{
	u32 i, n = (len + PAGE_SIZE - 1) / PAGE_SIZE;

	for (; s->n < n; s->n++) {
		s->pages[s->n] = machine_alloc_pages(host.machine, s->n % 2 ? GFP_HIGHUSER : GFP_KERNEL, 0);
		if (!s->pages[s->n])
			return 0;
	}
	sg_init_table(s->sgl, n);
	for (i = 0; i < n; i++)
		sg_set_page(&s->sgl[i], s->pages[i], i + 1 < n ? PAGE_SIZE : len - i * PAGE_SIZE, 0);
	return n;
}

static bool over_srp_run(void *session, struct unit_io *io)
{
	struct session *s = session;
	struct srp_request req = { .cdb_len = SCSI_CDB_MAX, .dir = DMA_NONE, .flags = SRP_KEEP_ATTENTION };
	u32 len = io->in + io->out;

	memcpy(req.cdb, io->cdb, SCSI_CDB_MAX);
	memcpy(req.lun, io->lun, SCSI_LUN_LEN);
	if (len) {
		req.dir = io->out ? DMA_TO_DEVICE : DMA_FROM_DEVICE;
		req.len = len;
		req.sgl = s->sgl;
		req.nents = make_list(s, len);
		if (!req.nents || (io->out && sg_copy_from_buffer(s->sgl, req.nents, io->data, len) != len))
			return false;
	}
	srp_execute(srp_initiator_channel(s->ini, 0), &req);
	if (req.error) {
		fprintf(stderr, "SRP: command %02x: %s\n", io->cdb[0], strerror(-req.error));
		return false;
	}
	io->status = req.status;
	io->sense_len = req.status == SCSI_CHECK_CONDITION ? req.sense_len : 0;
	memcpy(io->sense, req.sense, io->sense_len);
	io->residual = req.residual;
	if (io->in && req.moved)
		io->length = (u32)sg_copy_to_buffer(s->sgl, req.nents, io->data, req.moved);
	return true;
}

static bool over_srp_reset(void *session, const u8 lun[SCSI_LUN_LEN])
{
	struct session *s = session;

	return !srp_reset_lun(srp_initiator_channel(s->ini, 0), lun);
}

static void over_srp_close(void *session)
{
	struct session *s = session;

	srp_initiator_destroy(s->ini);
	while (s->n)
		__free_pages(s->pages[--s->n], 0);
	free(s);
}

/* Return: false: something was left behind */
static bool adapters_close(void)
{
	bool ok = true;
	u64 faults = 0;
	int i;

	for (i = 0; i < 2; i++)
		ok &= !host.dev[i] || !dmahca_destroy(host.dev[i]);
	machine_faults(host.machine, NULL, 0, &faults);
	for (i = 0; i < 2; i++)
		if (host.bus[i])
			device_destroy(host.bus[i]);
	return !machine_destroy(host.machine) && ok && !faults;
}

static int over_srp_stop(void)
{
	srp_target_destroy(host.target);
	return adapters_close() && !__atomic_load_n(&host.misuses, __ATOMIC_RELAXED) ? 0 : 1;
}

static int adapter_open(int i, const char *name)
{
	struct ib_dma_config config = { .ledger = true, .report = misuse, .ctx = &host.misuses };
	struct device_attr attr = { .name = name };
	int err = device_create(host.machine, &attr, &host.bus[i]);

	return err ? err : dmahca_create(host.bus[i], name, &config, &host.dev[i]);
}

const struct unit *unit_srp(struct lun *lun)
{
	static const struct unit unit = {
		.open = over_srp_open,
		.run = over_srp_run,
		.reset = over_srp_reset,
		.close = over_srp_close,
		.stop = over_srp_stop,
	};
	const struct machine_attr attr = {
		.platform = MACHINE_IOMMU, .low_bytes = 128 * MIB, .high_bytes = 64 * MIB, .file_bytes = 64 * MIB
	};
	struct srp_target_attr target = { .scsi = &host.scsi, .name = host.name };
	int err = machine_create(&attr, &host.machine);

	if (err) {
		fprintf(stderr, "no machine: %s\n", strerror(-err));
		return NULL;
	}
	scsi_device_init(&host.scsi, lun);
	err = adapter_open(0, "initiator");
	if (!err)
		err = adapter_open(1, "target");
	target.device = host.dev[1];
	if (!err)
		err = srp_name(target.device, 5555, host.name);
	if (!err)
		err = srp_target_create(&target, &host.target);
	if (!err)
		return &unit;
	fprintf(stderr, "no SRP target: %s\n", strerror(-err));
	adapters_close();
	return NULL;
}
