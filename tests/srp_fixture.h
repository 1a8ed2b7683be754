/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the tests of SRP have in common: a machine with two adapters whose ledgers
 * report, a disk in memory behind a target, lists of every shape, and a look at the
 * end at what was left behind.
 */
#ifndef SRP_FIXTURE_H
#define SRP_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../ulp/srp/srp_private.h"
#include "softhca/dma-mapping.h"

#define MIB ((u64)1 << 20)
#define DISK_BYTES (8 * MIB)
#define BLOCK 512u

/* Where the target listens, by the address of its adapter; and the other one's. */
#define DISK "10.0.0.2:5555"
#define OTHER "10.0.0.2:5556"

struct srp_bed {
	struct machine *machine;
	struct device *bus[2];
	struct ib_device *dev[2]; /* the initiator's, the target's */
	bool dma[2];
	u32 misuses;
	u8 *disk;
	struct lun lun;
	struct scsi_device scsi;
};

static void bed_misuse(void *ctx, const struct hca_misuse_report *r)
{
	char line[512];

	__atomic_fetch_add((u32 *)ctx, 1, __ATOMIC_RELAXED);
	ib_dma_report_str(r, line, sizeof(line));
	fprintf(stderr, "# ledger: %s\n", line);
}

/* 10.0.0.@last */
static void bed_addr(struct ib_device *dev, u32 last)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000u + last) };

	assert_int_equal(softhca_addr_add(dev, (struct sockaddr *)&addr), 0);
}

static void bed_device(struct srp_bed *b, int i, const char *name, bool dma, bool ledger)
{
	struct ib_dma_config config = { .ledger = ledger, .report = bed_misuse, .ctx = &b->misuses };
	struct device_attr attr = { .name = name };

	b->dma[i] = dma;
	assert_int_equal(device_create(b->machine, &attr, &b->bus[i]), 0);
	assert_int_equal(dma ? dmahca_create(b->bus[i], name, &config, &b->dev[i]) :
			       ipath_create(b->bus[i], name, IPATH_HIGHMEM_TAGGED, &config, &b->dev[i]),
			 0);
	bed_addr(b->dev[i], 1 + (u32)i);
}

/* @pair: bit 0: the initiator does DMA; bit 1: the target does */
__attribute__((unused)) static void bed_open_with(struct srp_bed *b, const struct machine_attr *attr, int pair,
						  bool ledger)
{
	memset(b, 0, sizeof(*b));
	assert_int_equal(machine_create(attr, &b->machine), 0);
	bed_device(b, 0, "initiator", pair & 1, ledger);
	bed_device(b, 1, "target", pair & 2, ledger);
	b->disk = calloc(1, DISK_BYTES);
	assert_non_null(b->disk);
	assert_int_equal(lun_ram_open(&b->lun, b->disk, DISK_BYTES, BLOCK, false), 0);
	scsi_device_init(&b->scsi, &b->lun);
}

__attribute__((unused)) static void bed_open(struct srp_bed *b, enum machine_platform platform, int pair)
{
	const struct machine_attr attr = { .platform = platform, .low_bytes = 32 * MIB, .high_bytes = 16 * MIB };

	bed_open_with(b, &attr, pair, true);
}

__attribute__((unused)) static void bed_close(struct srp_bed *b)
{
	u64 faults = 0;
	int i;

	for (i = 0; i < 2; i++)
		assert_int_equal(b->dma[i] ? dmahca_destroy(b->dev[i]) : ipath_destroy(b->dev[i]), 0);
	machine_faults(b->machine, NULL, 0, &faults);
	assert_int_equal(faults, 0);
	assert_int_equal(__atomic_load_n(&b->misuses, __ATOMIC_RELAXED), 0);
	for (i = 0; i < 2; i++)
		device_destroy(b->bus[i]);
	assert_int_equal(machine_destroy(b->machine), 0);
	lun_close(&b->lun);
	free(b->disk);
}

__attribute__((unused)) static struct srp_target *bed_target(struct srp_bed *b, enum ib_poll_context poll)
{
	struct srp_target_attr attr = { .device = b->dev[1], .scsi = &b->scsi, .name = DISK, .poll = poll };
	struct srp_target *t;

	assert_int_equal(srp_target_create(&attr, &t), 0);
	return t;
}

__attribute__((unused)) static struct srp_initiator *bed_initiator(struct srp_bed *b, enum srp_memory memory)
{
	struct srp_initiator_attr attr = { .device = b->dev[0], .name = DISK, .memory = memory };
	struct srp_initiator *ini;

	assert_int_equal(srp_initiator_connect(&attr, &ini), 0);
	return ini;
}

/* --- a medium that waits --- */

enum { GATE_READ = 1, GATE_WRITE = 2, GATE_SYNC = 4 };

struct bed_gate {
	struct lun_ops ops;
	const struct lun_ops *real;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	u32 shut; /* for these calls */
	u64 shut_from; /* from this byte on */
	u32 inside; /* calls that wait */
	int read_error, write_error, sync_error; /* -errno, instead */
	u64 error_at; /* from this byte on */
};

static struct bed_gate bed_gate;

/* Return: the error that the call is to have. */
static int gate_pass(u32 what, u64 end, const int *error)
{
	struct bed_gate *g = &bed_gate;
	int err;

	pthread_mutex_lock(&g->lock);
	g->inside++;
	pthread_cond_broadcast(&g->cond);
	while (g->shut & what && end > g->shut_from)
		pthread_cond_wait(&g->cond, &g->lock);
	g->inside--;
	err = end > g->error_at ? *error : 0;
	pthread_mutex_unlock(&g->lock);
	return err;
}

static ssize_t gate_pread(struct lun *lun, void *buf, size_t len, u64 at)
{
	int err = gate_pass(GATE_READ, at + len, &bed_gate.read_error);

	return err ? err : bed_gate.real->pread(lun, buf, len, at);
}

static ssize_t gate_pwrite(struct lun *lun, const void *buf, size_t len, u64 at)
{
	int err = gate_pass(GATE_WRITE, at + len, &bed_gate.write_error);

	return err ? err : bed_gate.real->pwrite(lun, buf, len, at);
}

static int gate_extent(struct lun *lun, u64 at, u64 *len, bool *hole)
{
	int err = gate_pass(GATE_READ, at + *len, &bed_gate.read_error);

	return err ? err : bed_gate.real->extent(lun, at, len, hole);
}

static int gate_sync(struct lun *lun)
{
	int err = gate_pass(GATE_SYNC, ~0ull, &bed_gate.sync_error);

	return err ? err : bed_gate.real->sync(lun);
}

__attribute__((unused)) static void gate_make(struct srp_bed *b)
{
	struct bed_gate *g = &bed_gate;

	memset(g, 0, sizeof(*g));
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->cond, NULL);
	g->real = b->lun.ops;
	g->ops = *b->lun.ops;
	g->ops.pread = gate_pread;
	g->ops.pread_now = NULL;
	g->ops.pwrite = gate_pwrite;
	g->ops.extent = gate_extent;
	g->ops.sync = gate_sync;
	b->lun.ops = &g->ops;
}

/* Calls of these kinds wait from now on, if they reach beyond @from; others don't. */
__attribute__((unused)) static void gate_set(u32 what, u64 from)
{
	pthread_mutex_lock(&bed_gate.lock);
	bed_gate.shut = what;
	bed_gate.shut_from = from;
	pthread_cond_broadcast(&bed_gate.cond);
	pthread_mutex_unlock(&bed_gate.lock);
}

__attribute__((unused)) static void gate_shut(bool shut)
{
	gate_set(shut ? GATE_READ : 0, 0);
}

/* Until @n calls wait. */
__attribute__((unused)) static void gate_wait_for(u32 n)
{
	pthread_mutex_lock(&bed_gate.lock);
	while (bed_gate.inside < n)
		pthread_cond_wait(&bed_gate.cond, &bed_gate.lock);
	pthread_mutex_unlock(&bed_gate.lock);
}

__attribute__((unused)) static void gate_wait(void)
{
	gate_wait_for(1);
}

/* --- lists --- */

/* struct bed_list - pieces of pages, in one list or in two that are chained */
struct bed_list {
	struct scatterlist *sgl;
	struct scatterlist *part[2];
	struct page *pages[600];
	u32 n_pages;
	u32 n;
	u32 len;
};

enum bed_shape {
	SHAPE_PAGE, /* one piece in one page */
	SHAPE_PAGES, /* whole pages here and there */
	SHAPE_ODD, /* the first and the last begin and end anywhere */
	SHAPE_HIGH, /* whole pages of high memory */
	SHAPE_MIXED, /* low and high, chained */
	SHAPE_GAPS, /* pieces at odd offsets, which no MR can join */
	SHAPE_CRUMBS, /* many tiny ones */
	SHAPES,
};

static u32 bed_random(u64 *seed, u32 n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (u32)(*seed >> 33) % n;
}

static struct page *bed_page(struct srp_bed *b, struct bed_list *l, bool high)
{
	struct page *p = machine_alloc_pages(b->machine, high ? GFP_HIGHUSER : GFP_KERNEL, 0);

	assert_non_null(p);
	l->pages[l->n_pages++] = p;
	return p;
}

static u32 bed_piece(enum bed_shape shape, u64 *seed, u32 i, u32 left, u32 *off)
{
	u32 most = 4096;

	*off = 0;
	switch (shape) {
	case SHAPE_ODD:
		if (!i)
			*off = 1 + bed_random(seed, 4095);
		most = 4096 - *off;
		break;
	case SHAPE_GAPS:
		*off = 1 + bed_random(seed, 2000);
		most = 1 + bed_random(seed, 2000);
		break;
	case SHAPE_CRUMBS:
		*off = bed_random(seed, 3800);
		most = 40 + bed_random(seed, 250);
		break;
	default:
		break;
	}
	return SRP_MIN(most, left);
}

/* @len bytes in this shape. A page holds one piece. */
__attribute__((unused)) static void list_make(struct srp_bed *b, struct bed_list *l, enum bed_shape shape, u32 len,
					      u64 seed)
{
	struct {
		struct page *page;
		u32 off, len;
	} piece[600];
	u32 i, first, left = len;
	struct scatterlist *sg;

	memset(l, 0, sizeof(*l));
	l->len = len;
	while (left) {
		assert_true(l->n < 600);
		piece[l->n].len = bed_piece(shape, &seed, l->n, left, &piece[l->n].off);
		piece[l->n].page = bed_page(b, l, shape == SHAPE_HIGH || (shape >= SHAPE_MIXED && l->n % 2));
		left -= piece[l->n].len;
		l->n++;
	}
	first = shape >= SHAPE_MIXED && l->n > 2 ? l->n / 2 : l->n;
	l->part[0] = calloc(first + 1, sizeof(*sg));
	sg_init_table(l->part[0], first < l->n ? first + 1 : first);
	if (first < l->n) {
		l->part[1] = calloc(l->n - first, sizeof(*sg));
		sg_init_table(l->part[1], l->n - first);
		sg_chain(l->part[0], first + 1, l->part[1]);
	}
	l->sgl = l->part[0];
	for_each_sg(l->sgl, sg, l->n, i)
		sg_set_page(sg, piece[i].page, piece[i].len, piece[i].off);
}

__attribute__((unused)) static void list_free(struct bed_list *l)
{
	u32 i;

	for (i = 0; i < l->n_pages; i++)
		__free_pages(l->pages[i], 0);
	free(l->part[0]);
	free(l->part[1]);
}

__attribute__((unused)) static void list_fill(struct bed_list *l, const void *from)
{
	assert_int_equal(sg_copy_from_buffer(l->sgl, l->n, from, l->len), l->len);
}

__attribute__((unused)) static void list_read(struct bed_list *l, void *to)
{
	assert_int_equal(sg_copy_to_buffer(l->sgl, l->n, to, l->len), l->len);
}

/* --- commands --- */

__attribute__((unused)) static struct srp_request req_rw(struct bed_list *l, bool write, u64 at)
{
	struct srp_request req = {
		.cdb = { write ? 0x8a : 0x88 },
		.cdb_len = 16,
		.dir = write ? DMA_TO_DEVICE : DMA_FROM_DEVICE,
		.sgl = l->sgl,
		.nents = l->n,
		.len = l->len,
	};
	u64 lba = at / BLOCK;
	u32 i, blocks = l->len / BLOCK;

	for (i = 0; i < 8; i++)
		req.cdb[2 + i] = (u8)(lba >> (56 - 8 * i));
	for (i = 0; i < 4; i++)
		req.cdb[10 + i] = (u8)(blocks >> (24 - 8 * i));
	return req;
}

__attribute__((unused)) static struct srp_request req_plain(u8 opcode, u8 cdb_len)
{
	return (struct srp_request){ .cdb = { opcode }, .cdb_len = cdb_len, .dir = DMA_NONE };
}

__attribute__((unused)) static void random_bytes(u8 *p, u32 n, u64 seed)
{
	while (n--)
		*p++ = (u8)bed_random(&seed, 256);
}

#endif
