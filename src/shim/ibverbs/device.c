/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The device: its name, its GUID, the addresses of its port, and the adapter behind it,
 * which is there while contexts are open. All processes of a user and host have the same
 * GUID and the same addresses.
 */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "transport/transport.h"

/* A process has 2^14 numbers, of which a few are never given out. */
#define MAX_QPS 16000u
#define MAX_KEYS (1u << 20)
#define MAX_SGE 32u
#define MAX_RD_ATOMIC 128u

static struct shim_device device = {
	.ib = {
		.node_type = IBV_NODE_CA,
		.transport_type = IBV_TRANSPORT_IB,
		.name = SHIM_NAME,
		.dev_name = "uverbs0",
		.dev_path = "/sys/class/infiniband_verbs/uverbs0",
		.ibdev_path = "/sys/class/infiniband/" SHIM_NAME,
	},
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.gid_lock = PTHREAD_MUTEX_INITIALIZER,
};

/* --- the GUID --- */

static u64 hash_bytes(u64 hash, const void *bytes, size_t len)
{
	const u8 *at = bytes;

	for (; len; len--)
		hash = (hash ^ *at++) * 0x100000001b3ull; /* FNV-1a */
	return hash;
}

/* The same in each process of a user on a host, and after the next start too. */
static u64 make_guid(void)
{
	char host[128] = "";
	u64 hash = 0xcbf29ce484222325ull;
	FILE *f = fopen("/etc/machine-id", "re");
	uid_t uid = geteuid();
	size_t n = 0;

	if (f) {
		n = fread(host, 1, sizeof(host) - 1, f);
		fclose(f);
	}
	if (!n)
		gethostname(host, sizeof(host) - 1);
	hash = hash_bytes(hash, host, strnlen(host, sizeof(host)));
	hash = hash_bytes(hash, &uid, sizeof(uid));
	/* The first byte says: made up by the one who uses it. */
	return 0x02ull << 56 | hash >> 8;
}

static pthread_once_t guid_once = PTHREAD_ONCE_INIT;

static void set_guid(void)
{
	device.guid = make_guid();
}

struct shim_device *shim_device(void)
{
	pthread_once(&guid_once, set_guid);
	return &device;
}

/* --- the adapter --- */

static int open_hca(struct shim_device *dev)
{
	const struct hca_attr attr = {
		.max_qp = MAX_QPS,
		.max_keys = MAX_KEYS,
		.max_sge = MAX_SGE,
		.max_rd_atomic = MAX_RD_ATOMIC,
		.roce = !shim_config()->infiniband,
	};
	struct hca_wire *wire;
	struct hca_eq *eq;
	int err;

	shim_mem_init(&dev->mem);
	err = shim_wire_open(dev, &wire, &eq);
	if (err)
		return shim_why(err, SHIM_LOG_DEVICE, "no place in the fabric");
	err = hca_open(&dev->hca, wire, eq, &dev->mem, &attr);
	if (err) {
		shim_wire_close();
		return shim_why(err, SHIM_LOG_DEVICE, "no adapter");
	}
	dev->hca.name = dev->ib.name;
	dev->hca.event = shim_async_event;
	shim_mapped_open();
	shim_gids_begin(dev);
	return 0;
}

static void close_hca(struct shim_device *dev)
{
	shim_mapped_close();
	shim_gids_end(dev);
	if (!HCA_WARN_ON(hca_close(&dev->hca)))
		shim_wire_close();
}

u32 shim_life;

/* A forked child has none of the threads: what was open is its parent's. */
static void in_child(void)
{
	shim_life++;
	pthread_mutex_init(&device.lock, NULL);
	pthread_mutex_init(&device.gid_lock, NULL);
	device.opens = 0;
	shim_object_forget_all();
	shim_xrc_forget();
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, in_child);
}

int shim_device_open(struct shim_device *dev)
{
	int err;

	if (!shim_config())
		return EINVAL;
	pthread_once(&fork_once, watch_forks);
	pthread_mutex_lock(&dev->lock);
	err = shim_copy_init();
	if (!err && !dev->opens)
		err = open_hca(dev);
	if (!err)
		dev->opens++;
	pthread_mutex_unlock(&dev->lock);
	return err;
}

void shim_device_close(struct shim_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	if (!--dev->opens)
		close_hca(dev);
	pthread_mutex_unlock(&dev->lock);
}

/* --- the list of devices --- */

SHIM_NOT_OLD(ibv_get_device_list);
SHIM_EXPORT struct ibv_device **ibv_get_device_list(int *num_devices)
{
	struct ibv_device **list;

	if (num_devices)
		*num_devices = 0;
	if (!shim_config())
		return shim_null(EINVAL);
	list = calloc(2, sizeof(struct ibv_device *));
	if (!list)
		return shim_null(ENOMEM);
	list[0] = &shim_device()->ib;
	if (num_devices)
		*num_devices = 1;
	return list;
}

SHIM_NOT_OLD(ibv_free_device_list);
SHIM_EXPORT void ibv_free_device_list(struct ibv_device **list)
{
	free(list);
}

SHIM_NOT_OLD(ibv_get_device_name);
SHIM_EXPORT const char *ibv_get_device_name(struct ibv_device *dev)
{
	return dev->name;
}

SHIM_EXPORT int ibv_get_device_index(struct ibv_device *dev)
{
	(void)dev;
	return 0;
}

SHIM_NOT_OLD(ibv_get_device_guid);
SHIM_EXPORT __be64 ibv_get_device_guid(struct ibv_device *dev)
{
	(void)dev;
	return shim_be64(shim_device()->guid);
}
