/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table of ports, whose file another process of the same user writes and cuts as it likes, between the calls of
 * this one. The input is a list of both. Checked: each call ends; the file doesn't grow beyond a full table; a bind that
 * succeeds gives a port. Before the other process writes, each call takes the table for whole, and each port has one owner.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "shim/hooks.h"
#include "shim/rdmacm/rdmacm.h"
#include "softhca/abi/ports.h"

#define IDS 8u
#define MAX_STEPS 200
#define FILE_MAX (sizeof(struct hca_ports) + HCA_PORTS_MAX * sizeof(struct hca_ports_entry))

/* --- what the table asks for --- */

pthread_mutex_t cm_lock = PTHREAD_MUTEX_INITIALIZER;
u32 cm_life;

static struct cm_manager manager = { .qpn = 0x4001, .node = 1, .stamp = 0x5eed };
static char dir_name[] = "/dev/shm/softhca-fuzz-XXXXXX";
static int dir = -1;
static char file_name[64];

struct cm_manager *cm_manager(void)
{
	return &manager;
}

int softhca_fabric_dir(void)
{
	return dup(dir);
}

/* Nodes 1 to 3 live. */
uint64_t softhca_node_stamp(uint32_t node)
{
	return node >= 1 && node <= 3 ? manager.stamp + node - 1 : 0;
}

/* --- the other process --- */

static void write_at(u64 off, const void *from, size_t n)
{
	int fd = openat(dir, file_name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	MUST(pwrite(fd, from, n, (off_t)off) == (ssize_t)n);
	close(fd);
}

static void write_word(u64 off)
{
	u32 word = choose(4) ? choose(12) : (u32)bytes(4);

	write_at(off, &word, sizeof(word));
}

static u32 any_port(void)
{
	static const u16 few[] = { 7, 7 + 1024, 7 + 2048, 40000 };

	return few[choose(4)];
}

static void write_entry(void)
{
	struct hca_ports_entry e = {
		.next = choose(12),
		.space = (u16)(choose(2) ? RDMA_PS_TCP : bytes(2)),
		.port = (u16)(choose(4) ? any_port() : bytes(2)),
		.version = (u8)(choose(4) ? 4 : bytes(1)),
		.flags = (u8)bytes(1),
		.node = choose(5),
		.qpn = (u32)bytes(2),
	};

	e.stamp = manager.stamp + e.node - 1;
	if (!choose(8))
		e.stamp = bytes(8);
	memset(e.ip + 10, 0xff, 2);
	e.ip[15] = (u8)choose(3);
	write_at(sizeof(struct hca_ports) + choose(12) * sizeof(e), &e, sizeof(e));
}

static void write_byte(void)
{
	u8 byte = (u8)bytes(1);

	write_at(bytes(2), &byte, 1);
}

static void cut(void)
{
	int fd = openat(dir, file_name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	MUST(!ftruncate(fd, (off_t)(choose(2) ? bytes(2) : choose(64))));
	close(fd);
}

static void disturb(void)
{
	switch (choose(7)) {
	case 0:
		write_word(choose(6) * sizeof(u32));
		break;
	case 1:
		write_word(offsetof(struct hca_ports, first) + any_port() % HCA_PORTS_BUCKETS * sizeof(u32));
		break;
	case 2:
		write_word(sizeof(struct hca_ports) + choose(12) * sizeof(struct hca_ports_entry));
		break;
	case 3:
		write_byte();
		break;
	case 4:
		cut();
		break;
	default:
		write_entry();
		break;
	}
}

/* --- this process --- */

static struct cm_id ids[IDS];

/* All of them are in the list, from the first input on. */
struct cm_id *cm_each(void)
{
	u32 i;

	for (i = 0; i + 1 < IDS; i++)
		ids[i].next = &ids[i + 1];
	return ids;
}

static void address_of(struct cm_id *id)
{
	id->ib.ps = choose(4) ? RDMA_PS_TCP : RDMA_PS_UDP;
	id->src = cm_addr_any_of(choose(4) ? 4 : 6);
	id->src.ip[15] = (u8)choose(3);
	id->src.port = (u16)(choose(3) ? any_port() : 0);
	id->reuse = choose(4) == 0;
}

static void check_alone(const struct cm_id *id)
{
	u32 i;

	for (i = 0; i < IDS; i++)
		if (&ids[i] != id && ids[i].entry && ids[i].ib.ps == id->ib.ps && ids[i].src.port == id->src.port &&
		    cm_addr_same(&ids[i].src, &id->src))
			MUST(ids[i].reuse && id->reuse);
}

static void take(struct cm_id *id, bool clean)
{
	int err;

	if (id->entry)
		return;
	address_of(id);
	err = cm_port_take(id);
	MUST(!err == (id->entry != 0));
	MUST(err || id->src.port);
	if (!clean)
		return;
	MUST(!err || err == -EADDRINUSE);
	if (!err)
		check_alone(id);
}

static void find_one(bool clean)
{
	struct cm_addr a = cm_addr_any_of(choose(4) ? 4 : 6);
	u32 qpn = 1;
	u64 stamp = 1;
	int err;

	a.ip[15] = (u8)choose(3);
	a.port = (u16)any_port();
	err = cm_port_find(RDMA_PS_TCP, &a, &qpn, &stamp);
	MUST(!err || (!clean && qpn == 1 && stamp == 1));
	MUST(!clean || !qpn || (qpn == manager.qpn && stamp == manager.stamp));
	(void)cm_port_may_open(RDMA_PS_TCP, &a);
}

static void step(bool clean)
{
	struct cm_id *id = &ids[choose(IDS)];
	int err;

	switch (choose(4)) {
	case 0:
		cm_port_give(id);
		break;
	case 1:
		err = id->entry ? cm_port_listen(id) : 0;
		MUST(!clean || !err || err == -EADDRINUSE);
		break;
	case 2:
		find_one(clean);
		break;
	default:
		take(id, clean);
		break;
	}
}

/* --- one input --- */

static void remove_dir(void)
{
	unlinkat(dir, file_name, 0);
	rmdir(dir_name);
}

static void begin(void)
{
	struct stat net;

	MUST(mkdtemp(dir_name));
	dir = open(dir_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(dir >= 0 && !stat("/proc/self/ns/net", &net));
	snprintf(file_name, sizeof(file_name), "ports.%llu", (unsigned long long)net.st_ino);
	atexit(remove_dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool clean = true;
	struct stat st;
	u32 i;

	if (dir < 0)
		begin();
	unlinkat(dir, file_name, 0);
	memset(ids, 0, sizeof(ids));
	in.data = data;
	in.left = size;
	for (i = 0; in.left && i < MAX_STEPS; i++) {
		if (choose(3)) {
			step(clean);
		} else if (choose(2)) {
			disturb();
			clean = false;
		}
	}
	for (i = 0; i < IDS; i++)
		cm_port_give(&ids[i]);
	MUST(fstatat(dir, file_name, &st, 0) || (u64)st.st_size <= FILE_MAX);
	cm_port_forget();
	return 0;
}
