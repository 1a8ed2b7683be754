/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The program around rstore's two modules: it makes a machine with two adapters that have addresses, loads the modules,
 * connects them, and reads and writes from several threads. Each kind of adapter is a test, in TAP. The
 * ledger of each adapter must have nothing to say.
 *
 *   cc -Iinclude/softhca/compat ... rstore_server.c rstore_client.c main.c -lsofthca   (docs/tutorial-ulp.md)
 */
#include "softhca/kernel.h"
#include "softhca/rdma_cm.h"

#include "rstore.h"

#define STORE_BYTES (1024 * 1024)
#define THREADS 4
#define TURNS 60

struct kind {
	const char *name;
	enum machine_platform platform;
	bool soft[2]; /* the client's adapter, the server's */
};

static const struct kind kinds[] = {
	{ "two adapters that copy", MACHINE_DIRECT, { true, true } },
	{ "two adapters behind an IOMMU", MACHINE_IOMMU, { false, false } },
	{ "a client that copies, a server behind an IOMMU", MACHINE_IOMMU, { true, false } },
	{ "a client with bounce buffers, a server that copies", MACHINE_BOUNCE, { false, true } },
};

static u32 reports;

static void on_report(void *ctx, const struct hca_misuse_report *r)
{
	char line[512];

	(void)ctx;
	ib_dma_report_str(r, line, sizeof(line));
	printf("# %s\n", line);
	__atomic_fetch_add(&reports, 1, __ATOMIC_RELAXED);
}

/* --- a user of the client --- */

struct user {
	struct rstore_client *client;
	u64 first; /* its own part of the store */
	u32 seed;
	int ret;
	struct completion ended;
};

static u32 chance(struct user *u, u32 below)
{
	u->seed = u->seed * 1664525 + 1013904223;
	return (u->seed >> 8) % below;
}

/* Pieces of some pages at odd places: of kmalloc()'s, of low and of high memory. */
static int make_list(struct user *u, struct sg_table *sgt, u32 *total)
{
	u32 nents = chance(u, 3) ? 1 + chance(u, 8) : 1;
	struct scatterlist *sg;
	unsigned int i;
	int ret = sg_alloc_table(sgt, nents, GFP_KERNEL);

	if (ret)
		return ret;
	*total = 0;
	for_each_sgtable_sg(sgt, sg, i) {
		struct page *page = alloc_page(i & 1 ? GFP_HIGHUSER : GFP_KERNEL);
		u32 off = chance(u, 4000), most = nents == 1 ? 700 : (u32)PAGE_SIZE;

		if (!page)
			return -ENOMEM;
		sg_set_page(sg, page, 1 + chance(u, min(most, (u32)PAGE_SIZE - off)), off);
		*total += sg->length;
	}
	return 0;
}

static void free_list(struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(sgt, sg, i)
		if (sg_page(sg))
			__free_page(sg_page(sg));
	sg_free_table(sgt);
}

/* Write, read back to another list, compare. */
static int turn(struct user *u, u8 *mine, u8 *back)
{
	struct sg_table sgt;
	u32 total, i;
	u64 at;
	int ret = make_list(u, &sgt, &total);

	if (ret)
		goto free;
	at = chance(u, STORE_BYTES / THREADS - total);
	for (i = 0; i < total; i++)
		mine[i] = (u8)chance(u, 256);
	sg_copy_from_buffer(sgt.sgl, sgt.orig_nents, mine, total);
	ret = rstore_io(u->client, RSTORE_WRITE, u->first + at, sgt.sgl, (int)sgt.orig_nents);
	free_list(&sgt);
	if (ret)
		return ret;
	do {
		u32 len;

		ret = make_list(u, &sgt, &len);
		if (ret)
			goto free;
		if (len <= total) {
			ret = rstore_io(u->client, RSTORE_READ, u->first + at, sgt.sgl, (int)sgt.orig_nents);
			sg_copy_to_buffer(sgt.sgl, sgt.orig_nents, back, len);
			if (!ret && memcmp(mine, back, len) != 0)
				ret = -EBADMSG;
			total = 0;
		}
		free_list(&sgt);
	} while (total && !ret);
	return ret;
free:
	free_list(&sgt);
	return ret;
}

static int user_thread(void *data)
{
	struct user *u = data;
	u8 *mine = kmalloc(RSTORE_MAX_IO, GFP_KERNEL), *back = kmalloc(RSTORE_MAX_IO, GFP_KERNEL);
	int i;

	u->ret = mine && back ? 0 : -ENOMEM;
	for (i = 0; i < TURNS && !u->ret; i++)
		u->ret = turn(u, mine, back);
	kfree(mine);
	kfree(back);
	complete(&u->ended);
	return 0;
}

static int many_users(struct rstore_client *client)
{
	struct task_struct *task[THREADS];
	struct user user[THREADS];
	int i, ret = 0;

	for (i = 0; i < THREADS; i++) {
		user[i] = (struct user){ .client = client,
					 .first = (u64)i * (STORE_BYTES / THREADS),
					 .seed = 77u * (u32)i + 1 };
		init_completion(&user[i].ended);
		task[i] = kthread_run(user_thread, &user[i], "user/%d", i);
		if (IS_ERR(task[i]))
			return (int)PTR_ERR(task[i]);
	}
	for (i = 0; i < THREADS; i++) {
		wait_for_completion(&user[i].ended);
		kthread_stop(task[i]);
		ret = ret ? ret : user[i].ret;
	}
	return ret;
}

/* What the server refuses; the connection lives on. */
static int refused(struct rstore_client *client)
{
	struct scatterlist sg;
	u8 *buf = kzalloc(4096, GFP_KERNEL);
	int ret;

	if (!buf)
		return -ENOMEM;
	sg_init_one(&sg, buf, 4096);
	ret = rstore_io(client, RSTORE_READ, STORE_BYTES - 4095, &sg, 1) == -EINVAL ? 0 : -EPROTO;
	if (!ret)
		ret = rstore_io(client, (enum rstore_op)7, 0, &sg, 1) == -EINVAL ? 0 : -EPROTO;
	if (!ret)
		ret = rstore_io(client, RSTORE_READ, STORE_BYTES - 4096, &sg, 1);
	kfree(buf);
	return ret;
}

/* --- a machine, two adapters, a connection --- */

struct side {
	bool soft;
	struct device *bus;
	struct ib_device *ib;
};

static int side_open(struct side *s, struct machine *m, const char *name, bool soft)
{
	const struct ib_dma_config config = { .ledger = true, .report = on_report };
	const struct device_attr attr = { .name = name };
	int ret = device_create(m, &attr, &s->bus);

	if (ret)
		return ret;
	s->soft = soft;
	return soft ? ipath_create(s->bus, name, IPATH_HIGHMEM_TAGGED, &config, &s->ib) :
		      dmahca_create(s->bus, name, &config, &s->ib);
}

static u64 side_close(struct side *s)
{
	u64 leaked = s->soft ? ipath_destroy(s->ib) : dmahca_destroy(s->ib);

	device_destroy(s->bus);
	return leaked;
}

static struct sockaddr_in address(u32 side)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(side ? RSTORE_PORT : 0),
		.sin_addr.s_addr = htonl(0x0a000001 + side), /* 10.0.0.1 and 10.0.0.2 */
	};
}

static int with_connection(void)
{
	struct sockaddr_in src = address(0), dst = address(1);
	struct rstore_client *client = rstore_open((struct sockaddr *)&src, (struct sockaddr *)&dst);
	int ret;

	if (IS_ERR(client))
		return (int)PTR_ERR(client);
	ret = many_users(client);
	if (!ret)
		ret = refused(client);
	rstore_close(client);
	return ret;
}

/* A port without a listener. */
static int deserted(void)
{
	struct sockaddr_in dst = address(1);
	struct rstore_client *client;

	dst.sin_port = htons(RSTORE_PORT + 1);
	client = rstore_open(NULL, (struct sockaddr *)&dst);
	if (PTR_ERR(client) == -ECONNREFUSED)
		return 0;
	if (!IS_ERR(client))
		rstore_close(client);
	return -EPROTO;
}

static int run(const struct kind *k)
{
	const struct machine_attr attr = {
		.name = "example", .platform = k->platform, .low_bytes = 32 << 20, .high_bytes = 8 << 20
	};
	struct side side[2];
	struct machine *m;
	u64 leaked;
	u32 i;
	int ret;

	reports = 0;
	ret = machine_create(&attr, &m);
	if (ret)
		return ret;
	machine_set_current(m);
	ret = side_open(&side[0], m, "client", k->soft[0]);
	if (!ret)
		ret = side_open(&side[1], m, "server", k->soft[1]);
	if (ret)
		return ret;
	ret = softhca_load_modules();
	for (i = 0; i < 2 && !ret; i++) {
		struct sockaddr_in addr = address(i);

		ret = softhca_addr_add(side[i].ib, (struct sockaddr *)&addr);
	}
	if (!ret)
		ret = with_connection();
	if (!ret)
		ret = deserted();
	softhca_unload_modules();
	leaked = side_close(&side[0]) + side_close(&side[1]);
	if (machine_destroy(m) || leaked || reports)
		ret = ret ? ret : -EUCLEAN;
	return ret;
}

int main(void)
{
	unsigned int i, failed = 0;

	printf("1..%zu\n", ARRAY_SIZE(kinds));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		int ret = run(&kinds[i]);

		if (ret)
			printf("# error %d, %u reports\n", ret, reports);
		printf("%sok %u - %s\n", ret ? "not " : "", i + 1, kinds[i].name);
		failed += ret != 0;
	}
	return failed != 0;
}
