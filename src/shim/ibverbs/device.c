/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The devices: their names, their GUIDs, and the adapters behind them, each of which is
 * there while contexts of its device are open. In all processes of a user and host the
 * device of one index has the same GUID and the same addresses.
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

static struct shim_device devices[HCA_FABRIC_DEVICES]; /* as many as SOFTHCA_DEVICES says */

/* --- the GUIDs --- */

static u64 hash_bytes(u64 hash, const void *bytes, size_t len)
{
	const u8 *at = bytes;

	for (; len; len--)
		hash = (hash ^ *at++) * 0x100000001b3ull; /* FNV-1a */
	return hash;
}

/* What the GUIDs of a user on a host are made from. */
static u64 hash_owner(void)
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
	return hash_bytes(hash, &uid, sizeof(uid));
}

/* The same in each process of a user on a host, and after the next start too. */
static u64 make_guid(u64 owner, u32 index)
{
	u64 hash = index ? hash_bytes(owner, &index, sizeof(index)) : owner;

	/* The first byte says: made up by the one who uses it. */
	return 0x02ull << 56 | hash >> 8;
}

/* --- one of them --- */

static void set_names(struct ibv_device *ib, u32 index)
{
	ib->node_type = IBV_NODE_CA;
	ib->transport_type = IBV_TRANSPORT_IB;
	hca_snprintf(ib->name, sizeof(ib->name), "ipath%u", index);
	hca_snprintf(ib->dev_name, sizeof(ib->dev_name), "uverbs%u", index);
	hca_snprintf(ib->dev_path, sizeof(ib->dev_path), "/sys/class/infiniband_verbs/uverbs%u", index);
	hca_snprintf(ib->ibdev_path, sizeof(ib->ibdev_path), "/sys/class/infiniband/ipath%u", index);
}

static void set_up(void)
{
	u32 i, n = shim_config()->devices;
	u64 owner = hash_owner();

	for (i = 0; i < n; i++) {
		struct shim_device *dev = &devices[i];

		set_names(&dev->ib, i);
		dev->index = i;
		dev->guid = make_guid(owner, i);
		dev->maps = -1;
		dev->wire.addresses = -1;
		pthread_mutex_init(&dev->lock, NULL);
		pthread_mutex_init(&dev->gid_lock, NULL);
		pthread_mutex_init(&dev->wire.groups_lock, NULL);
	}
}

struct shim_device *shim_device(u32 index)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (!shim_config() || index >= shim_config()->devices)
		return NULL;
	pthread_once(&once, set_up);
	return &devices[index];
}

struct shim_device *shim_device_of(const struct ibv_device *ib)
{
	struct shim_device *dev;
	u32 i;

	for (i = 0; (dev = shim_device(i)); i++)
		if (ib == &dev->ib)
			return dev;
	return NULL;
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
		shim_wire_close(dev);
		return shim_why(err, SHIM_LOG_DEVICE, "no adapter");
	}
	dev->hca.name = dev->ib.name;
	dev->hca.event = shim_async_event;
	dev->maps = shim_mapped_open();
	shim_gids_begin(dev);
	return 0;
}

static void close_hca(struct shim_device *dev)
{
	if (dev->maps >= 0)
		close(dev->maps);
	dev->maps = -1;
	shim_gids_end(dev);
	if (!HCA_WARN_ON(hca_close(&dev->hca)))
		shim_wire_close(dev);
}

u32 shim_life;

/* The program's signal handlers are those of all devices. */
static pthread_mutex_t handlers_lock = PTHREAD_MUTEX_INITIALIZER;

/* A forked child has none of the threads: what was open is its parent's. */
static void in_child(void)
{
	struct shim_device *dev;
	u32 i;

	shim_life++;
	pthread_mutex_init(&handlers_lock, NULL);
	for (i = 0; (dev = shim_device(i)); i++) {
		pthread_mutex_init(&dev->lock, NULL);
		pthread_mutex_init(&dev->gid_lock, NULL);
		shim_wire_forget(dev);
		dev->opens = 0;
	}
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

	pthread_once(&fork_once, watch_forks);
	pthread_mutex_lock(&dev->lock);
	pthread_mutex_lock(&handlers_lock);
	err = shim_copy_init();
	pthread_mutex_unlock(&handlers_lock);
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
	struct shim_device *dev;
	u32 i;

	if (num_devices)
		*num_devices = 0;
	if (!shim_config())
		return shim_null(EINVAL);
	list = calloc(shim_config()->devices + 1, sizeof(struct ibv_device *));
	if (!list)
		return shim_null(ENOMEM);
	for (i = 0; (dev = shim_device(i)); i++)
		list[i] = &dev->ib;
	if (num_devices)
		*num_devices = (int)i;
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

SHIM_EXPORT int ibv_get_device_index(struct ibv_device *ib)
{
	const struct shim_device *dev = shim_device_of(ib);

	return dev ? (int)dev->index : -1;
}

SHIM_NOT_OLD(ibv_get_device_guid);
SHIM_EXPORT __be64 ibv_get_device_guid(struct ibv_device *ib)
{
	const struct shim_device *dev = shim_device_of(ib);

	return shim_be64(dev ? dev->guid : 0);
}
