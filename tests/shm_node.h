/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Nodes of a fabric made by hand, one in this process and one in a child that does what
 * it is told: for tests of what stands in a node's file, and of one-sided work, without rings.
 */
#ifndef SHM_NODE_H
#define SHM_NODE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/shm/alive.h"
#include "wire/shm/direct.h"
#include "wire/shm/share.h"

#define US 1u /* this process's node */
#define CHILD 2u
#define KEYS 5000u
#define RAM (256u << 10)
#define IOVA 0x123400000000ull
#define QPN(node) ((node) << HCA_FABRIC_QPN_BITS | 0x21u)

struct node {
	u32 number;
	int dir;
	int fd;
	struct hca_fabric_node *head;
	u64 size;
	struct shm_share share;
	struct shm_direct direct;
};

struct shared { /* both processes map it */
	u32 tries; /* pieces that were carried out, or refused */
	u32 done; /* those that were carried out */
	u32 stop;
};

static char fabric[64];
static u8 *ram; /* at the same place in both processes, and not the same memory */
static struct shared *both;
static struct node us;
static pid_t child;
static int wires[2]; /* ours, the child's */
static int ram_fd = -1; /* a file: @ram is the same memory in both processes */
static const struct hca_shm_memory *memory; /* NULL: what both map is as other memory */

static inline u64 start_time(pid_t pid)
{
	char path[64], text[1024], *p;
	FILE *f;
	int i;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (!f || !fgets(text, sizeof(text), f))
		return 0;
	fclose(f);
	p = strrchr(text, ')');
	for (i = 0; p && i < 20; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

static inline void node_open(struct node *n, u32 number, bool never)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char name[16];

	memset(n, 0, sizeof(*n));
	n->number = number;
	n->size = shm_share_bytes(KEYS);
	n->dir = open(fabric, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(name, sizeof(name), "node.%u", number);
	(void)unlinkat(n->dir, name, 0);
	n->fd = openat(n->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	HCA_ASSERT(n->fd >= 0);
	HCA_ASSERT(!ftruncate(n->fd, (off_t)n->size));
	HCA_ASSERT(!fcntl(n->fd, F_OFD_SETLK, &lock));
	n->head = mmap(NULL, n->size, PROT_READ | PROT_WRITE, MAP_SHARED, n->fd, 0);
	HCA_ASSERT(n->head != MAP_FAILED);
	n->head->version = HCA_FABRIC_VERSION;
	n->head->number = number;
	n->head->pid = getpid();
	n->head->start = start_time(getpid());
	HCA_ASSERT(!shm_share_init(&n->share, n->head, n->fd, KEYS));
	HCA_ASSERT(!shm_direct_init(&n->direct, n->head, n->dir, never, memory));
	hca_store_release(&n->head->magic, HCA_FABRIC_MAGIC);
}

static inline void node_close(struct node *n)
{
	char name[16];

	hca_store(&n->head->magic, 0u);
	shm_direct_fini(&n->direct, false);
	shm_share_fini(&n->share, false);
	munmap(n->head, n->size);
	snprintf(name, sizeof(name), "node.%u", n->number);
	unlinkat(n->dir, name, 0);
	close(n->fd);
	close(n->dir);
}

/* --- what is in its file --- */

static inline struct hca_wire_qp qp_of(u32 node, u32 peer)
{
	return (struct hca_wire_qp){
		.qpn = QPN(node),
		.type = HCA_QPT_RC,
		.state = HCA_QPS_RTS,
		.rd_limit = 1,
		.access = HCA_ACCESS_REMOTE,
		.pd = 7,
		.peer = (u64)peer << 32 | QPN(peer),
	};
}

static inline struct hca_wire_key key_of(u32 key)
{
	return (struct hca_wire_key){
		.key = key,
		.access = HCA_ACCESS_REMOTE | HCA_ACCESS_LOCAL_WRITE,
		.qpn = ~0u,
		.iova = IOVA,
		.length = RAM,
		.pd = 7,
		.at = ram,
	};
}

static inline void publish(struct node *n, const struct hca_wire_key *k)
{
	shm_share_room(&n->share, k->key);
	shm_share_key(&n->share, k->key, k);
}

static inline void deregister(struct node *n, u32 key)
{
	shm_share_key(&n->share, key, NULL);
	shm_direct_settle(&n->direct, 0);
}

/* --- a piece --- */

struct piece {
	struct hca_carried c;
	struct hca_place place[HCA_PLACES];
	u32 places;
};

static inline u32 piece_places(struct hca_carried *c, struct hca_place *out)
{
	const struct piece *p = hca_container_of(c, struct piece, c);

	memcpy(out, p->place, sizeof(p->place));
	return p->places;
}

static inline struct piece piece_of(u32 from, u32 to, u32 right, u32 key, u64 off, void *at, u32 len)
{
	return (struct piece){
		.c = { .msg = { .opcode = right == HCA_ACCESS_REMOTE_WRITE ? 0 : 4,
				.flags = HCA_MSG_FIRST | HCA_MSG_LAST | HCA_MSG_CONNECTED | HCA_MSG_RELIABLE,
				.dlid = to,
				.dqpn = QPN(to),
				.slid = from,
				.sqpn = QPN(from),
				.rkey = key,
				.raddr = IOVA + off,
				.len = len,
				.piece = len },
		       .right = right,
		       .places = piece_places },
		.place = { { .at = at, .len = len } },
		.places = 1,
	};
}

static inline bool carry_out(struct node *n, u32 to, u32 right, u32 key, u64 off, void *at, u32 len)
{
	struct piece p = piece_of(n->number, to, right, key, off, at, len);

	return shm_direct_do(&n->direct, &p.c);
}

/* --- the child --- */

enum order { KEY, DEREGISTER, QUEUE_PAIR, FILL, SAME, COUNT, MAP, DO, MANY, MARK, REVOKE, FORBID, LEAVE };

struct told {
	enum order order;
	union {
		struct hca_wire_key k;
		struct hca_wire_qp qp;
		struct {
			u64 off;
			u32 len;
			u32 seed;
			u32 right;
			u32 key;
		};
	};
};

static inline void fill(u8 *p, u32 len, u32 seed)
{
	u32 i;

	for (i = 0; i < len; i++)
		p[i] = (u8)(seed + i * 7 + (i >> 8));
}

static inline bool same(const u8 *p, u32 len, u32 seed)
{
	u32 i;

	for (i = 0; i < len; i++)
		if (p[i] != (u8)(seed + i * 7 + (i >> 8)))
			return false;
	return true;
}

/* Pieces of the same bytes until it is told to stop. */
static inline u64 many(struct node *n, const struct told *t)
{
	while (!hca_load_acquire(&both->stop)) {
		bool done = carry_out(n, US, t->right, t->key, t->off, ram, t->len);

		if (done)
			hca_fetch_add(&both->done, 1);
		hca_fetch_add(&both->tries, 1);
	}
	return 0;
}

/*
 * The key goes while the peer writes: as many bytes as were written by then stay as they are, for as many tries of the peer as
 * it makes in vain.
 */
static inline u64 revoke_key(struct node *n, const struct told *t)
{
	struct hca_wire_key k = key_of(t->key);
	u32 before = hca_load(&both->done), tries;

	publish(n, &k);
	while (hca_load(&both->done) - before < 3 + t->seed)
		usleep(0);
	deregister(n, t->key);
	memset(ram, 0xee, t->len);
	tries = hca_load(&both->tries);
	while (hca_load(&both->tries) - tries < 20)
		usleep(0);
	for (before = 0; before < t->len; before++)
		if (ram[before] != 0xee)
			return before + 1;
	return 0;
}

/* As a container's filter does: the calls fail with this error, whatever they ask. */
static inline u64 forbid(u32 error)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = HCA_ARRAY_SIZE(f), .filter = f };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* Something else stands at @off from now on: of the file @seed, as @right and @key say for mmap(); @key 0: nothing. */
static inline u64 map_again(const struct told *t)
{
	if (!t->key)
		return munmap(ram + t->off, t->len);
	return mmap(ram + t->off, t->len, (int)t->right, (int)t->key | MAP_FIXED, (int)t->seed, 0) == MAP_FAILED;
}

static inline u64 obey(struct node *n, const struct told *t)
{
	u32 i;

	switch (t->order) {
	case KEY:
		publish(n, &t->k);
		return 0;
	case DEREGISTER:
		deregister(n, t->k.key);
		return 0;
	case QUEUE_PAIR:
		shm_share_qp(&n->share, &t->qp);
		return 0;
	case FILL:
		fill(ram + t->off, t->len, t->seed);
		return 0;
	case SAME:
		return same(ram + t->off, t->len, t->seed);
	case COUNT: /* as many times as @len, as its own adapter would; the other has begun by then */
		while (!hca_load_acquire(&both->tries))
			;
		for (i = 0; i < t->len; i++)
			hca_fetch_add((u64 *)(void *)(ram + t->off), (u64)t->seed);
		return 0;
	case MAP:
		return map_again(t);
	case DO:
		return carry_out(n, US, t->right, t->key, t->off, ram, t->len);
	case MANY:
		return many(n, t);
	case MARK: /* as one that was stopped within its use */
		shm_direct_meet(&n->direct, US);
		hca_store(&n->head->marks, 1u);
		hca_store(&n->head->uses[0].use, 5ull << 32 | US);
		return 0;
	case REVOKE:
		return revoke_key(n, t);
	case FORBID:
		return forbid(t->seed);
	case LEAVE:
		break;
	}
	node_close(n);
	_exit(0);
}

static inline void be_child(u32 number)
{
	struct hca_wire_qp qp = qp_of(number, US);
	static struct shm_alive alive;
	static struct node n;
	struct told t;
	u64 r;

	node_open(&n, number, false);
	shm_alive_hold(&alive, &n.head->alive);
	shm_share_qp(&n.share, &qp);
	r = 0;
	while (write(wires[1], &r, sizeof(r)) == sizeof(r) && read(wires[1], &t, sizeof(t)) == sizeof(t))
		r = obey(&n, &t);
	_exit(1);
}

static inline void order(const struct told *t)
{
	assert_int_equal(write(wires[0], t, sizeof(*t)), sizeof(*t));
}

static inline u64 answer(void)
{
	u64 r = ~0ull;

	assert_int_equal(read(wires[0], &r, sizeof(r)), sizeof(r));
	return r;
}

static inline u64 tell(const struct told *t)
{
	order(t);
	return answer();
}

static inline void start_child(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wires), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(wires[0]);
		close(us.fd);
		be_child(CHILD);
	}
	close(wires[1]);
	answer();
}

static inline void end_child(int sig)
{
	int status;

	if (sig)
		kill(child, sig);
	else
		order(&(const struct told){ .order = LEAVE });
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!sig)
		assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
	close(wires[0]);
	child = 0;
}

static inline int open_nodes(void **state)
{
	struct hca_wire_qp qp = qp_of(US, CHILD);

	(void)state;
	strcpy(fabric, "/dev/shm/test-softhca-XXXXXX");
	assert_non_null(mkdtemp(fabric));
	if (ram_fd < 0)
		ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
	both = mmap(NULL, sizeof(*both), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(ram != MAP_FAILED && both != MAP_FAILED);
	node_open(&us, US, false);
	shm_share_qp(&us.share, &qp);
	start_child();
	return 0;
}

static inline int close_nodes(void **state)
{
	char name[96];

	(void)state;
	if (child)
		end_child(0);
	node_close(&us);
	snprintf(name, sizeof(name), "%s/node.%u", fabric, CHILD);
	unlink(name);
	assert_int_equal(rmdir(fabric), 0);
	munmap(ram, RAM);
	munmap(both, sizeof(*both));
	return 0;
}

#endif
