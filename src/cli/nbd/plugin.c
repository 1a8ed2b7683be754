/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * nbdkit-softhca-plugin: a disk behind SRP as a block device for every tool that talks
 * NBD. A target serves the file, an initiator reads and writes it, each over its own adapter of one
 * machine. This file is what nbdkit calls; disk.c
 * is the machine with what is on it, and the commands.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "disk.h"
#include "softhca/config.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static struct disk_attr attr = { .initiator = ADAPTER_SOFT,
				 .target = ADAPTER_SOFT,
				 .memory = SRP_MEMORY_FAST,
				 .channels = 16,
				 .block_size = 512 };
static char *path;
static struct disk *disk;

static void load(void)
{
	/* A file that may not grow is an error for the initiator, not the end of the process. */
	signal(SIGXFSZ, SIG_IGN);
}

static void unload(void)
{
	struct why why = { { 0 } };

	if (disk)
		disk_close(disk, &why);
	if (why.text[0])
		nbdkit_error("at close: %s", why.text);
	free(path);
}

/* --- configuration --- */

/* Return: which of the words it is; -1, and it has been said that it is none. */
static int one_of(const char *key, const char *value, const char *const *words)
{
	char all[128] = "";
	int i;

	for (i = 0; words[i]; i++) {
		if (!strcmp(value, words[i]))
			return i;
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", words[i]);
	}
	nbdkit_error("%s=%s: use one of: %s", key, value, all);
	return -1;
}

static int config_flag(const char *value, bool *out)
{
	int b = nbdkit_parse_bool(value);

	*out = b > 0;
	return b < 0 ? -1 : 0;
}

static int config_number(const char *key, const char *value, unsigned int most, unsigned int *out)
{
	unsigned int n;

	if (nbdkit_parse_unsigned(key, value, &n) == -1)
		return -1;
	if (!n || n > most) {
		nbdkit_error("%s=%s: use a number from 1 to %u", key, value, most);
		return -1;
	}
	*out = n;
	return 0;
}

static int config_kind(const char *key, const char *value, const char *const *words, int *out)
{
	*out = one_of(key, value, words);
	return *out < 0 ? -1 : 0;
}

static int config_adapter(const char *key, const char *value, enum adapter *out)
{
	int n;

	for (n = 0; adapter_old_names[n]; n++)
		if (!strcmp(value, adapter_old_names[n]))
			break;
	if (!adapter_old_names[n] && config_kind(key, value, adapter_names, &n))
		return -1;
	*out = (enum adapter)n;
	return 0;
}

static int config(const char *key, const char *value)
{
	static const char *const memories[] = { "fastreg", "fmr", "all", NULL };
	static const char *const sizes[] = { "512", "4096", NULL };
	int n = 0, err;

	if (!strcmp(key, "file")) {
		free(path);
		path = nbdkit_realpath(value);
		return path ? 0 : -1;
	}
	if (!strcmp(key, "readonly"))
		return config_flag(value, &attr.read_only);
	if (!strcmp(key, "ledger"))
		return config_flag(value, &attr.ledger);
	if (!strcmp(key, "channels"))
		return config_number(key, value, DISK_MAX_CHANNELS, &attr.channels);
	if (!strcmp(key, "timeout")) {
		err = config_number(key, value, 1000000, &attr.timeout_ms);
		attr.timeout_ms *= 1000;
		return err;
	}
	if (!strcmp(key, "initiator"))
		return config_adapter(key, value, &attr.initiator);
	if (!strcmp(key, "target"))
		return config_adapter(key, value, &attr.target);
	if (!strcmp(key, "machine"))
		return config_kind(key, value, machine_kinds, &attr.machine);
	if (!strcmp(key, "memory")) {
		err = config_kind(key, value, memories, &n);
		attr.memory = (enum srp_memory)n;
		return err;
	}
	if (!strcmp(key, "blocksize")) {
		err = config_kind(key, value, sizes, &n);
		attr.block_size = n == 1 ? 4096 : 512;
		return err;
	}
	nbdkit_error("there is no parameter '%s'; see nbdkit softhca --help", key);
	return -1;
}

static int config_complete(void)
{
	if (path)
		return 0;
	nbdkit_error("file=FILE is needed: the disk");
	return -1;
}

#define CONFIG_HELP \
	"[file=]<FILE>       (required) The disk: a file or a block device.\n" \
	"initiator=<ADAPTER> The client's side: ipath (default), whose CPU copies, or dmahca, which does DMA.\n" \
	"target=<ADAPTER>    The disk's side: ipath (default) or dmahca.\n" \
	"machine=<KIND>      direct (default), iommu-strict, iommu-lazy, bounce or highmem.\n" \
	"memory=<KIND>       By what keys the target reaches the client's bytes: fastreg (default), fmr or all.\n" \
	"channels=<N>        SRP channels, which requests share (default 16).\n" \
	"timeout=<SECONDS>   After which a command is aborted (default: never).\n" \
	"blocksize=512|4096  Of the disk.\n" \
	"readonly=true       The disk can't be written.\n" \
	"ledger=true         Watch every mapping; what is left at the end is said."

/* Before nbdkit goes into the background: the file is there, and fits. No threads may be made yet. */
static int get_ready(void)
{
	struct why why = { { 0 } };

	attr.path = path;
	if (!disk_create(&attr, &disk, &why))
		return 0;
	nbdkit_error("%s", why.text);
	return -1;
}

static int after_fork(void)
{
	struct why why = { { 0 } };

	if (!disk_start(disk, &why))
		return 0;
	nbdkit_error("%s", why.text);
	return -1;
}

/* --- connections --- */

static void *open_connection(int readonly)
{
	struct disk_user *u = disk_join(disk);

	(void)readonly;
	if (!u)
		nbdkit_error("no memory for a connection");
	return u;
}

static void close_connection(void *handle)
{
	disk_leave(handle);
}

static int64_t get_size(void *handle)
{
	u64 bytes;
	int err = disk_size(handle, &bytes);

	if (!err)
		return (int64_t)bytes;
	nbdkit_error("READ CAPACITY: %s", strerror(err));
	nbdkit_set_error(err);
	return -1;
}

static int block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	(void)handle;
	*minimum = 1;
	*preferred = 4096;
	*maximum = 0xffffffff;
	return 0;
}

static int can_write(void *handle)
{
	(void)handle;
	return !attr.read_only;
}

static int yes(void *handle)
{
	(void)handle;
	return 1;
}

static int can_fua(void *handle)
{
	(void)handle;
	return NBDKIT_FUA_NATIVE;
}

static int result(const char *what, int err)
{
	if (!err)
		return 0;
	nbdkit_error("%s: %s", what, strerror(err));
	nbdkit_set_error(err);
	return -1;
}

static int do_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)flags;
	return result("READ", disk_read(handle, buf, count, offset));
}

static int do_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	return result("WRITE", disk_write(handle, buf, count, offset, flags & NBDKIT_FLAG_FUA));
}

static int do_flush(void *handle, uint32_t flags)
{
	(void)flags;
	return result("SYNCHRONIZE CACHE", disk_flush(handle));
}

static int do_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	int err = disk_trim(handle, count, offset);

	if (!err && flags & NBDKIT_FLAG_FUA)
		err = disk_flush(handle);
	return result("UNMAP", err);
}

static int do_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	int err = disk_zero(handle, count, offset, flags & NBDKIT_FLAG_MAY_TRIM);

	if (err == EOPNOTSUPP) {
		nbdkit_set_error(err); /* nbdkit writes zeros itself */
		return -1;
	}
	if (!err && flags & NBDKIT_FLAG_FUA)
		err = disk_flush(handle);
	return result("WRITE SAME", err);
}

static void dump_plugin(void)
{
	printf("softhca_version=%s\n", SOFTHCA_VERSION);
	printf("softhca_max_channels=%u\n", DISK_MAX_CHANNELS);
}

static struct nbdkit_plugin plugin = {
	.name = "softhca",
	.longname = "softhca: a disk behind SRP",
	.version = SOFTHCA_VERSION,
	.description = "A SCSI disk over SRP over software InfiniBand adapters.",
	.load = load,
	.unload = unload,
	.config = config,
	.config_complete = config_complete,
	.config_help = CONFIG_HELP,
	.magic_config_key = "file",
	.dump_plugin = dump_plugin,
	.get_ready = get_ready,
	.after_fork = after_fork,
	.open = open_connection,
	.close = close_connection,
	.get_size = get_size,
	.block_size = block_size,
	.can_write = can_write,
	.can_flush = yes,
	.can_trim = yes,
	.can_zero = yes,
	.can_fua = can_fua,
	.can_multi_conn = yes,
	.pread = do_pread,
	.pwrite = do_pwrite,
	.flush = do_flush,
	.trim = do_trim,
	.zero = do_zero,
	.errno_is_preserved = 0,
};

/* The macro declares its function nowhere else. */
struct nbdkit_plugin *plugin_init(void);
NBDKIT_REGISTER_PLUGIN(plugin)
