/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * This node's tables; see share.h. An entry is written by one thread at a time, which
 * the callers see to, and read by other processes at any moment: its number is odd
 * meanwhile.
 *
 * The table of keys grows with the keys: what is beyond it has no memory, and whoever
 * touched it where the file system is full would be killed. So it grows by asking for
 * the memory, and where there is none the key is left to messages.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "wire/shm/node.h"
#include "wire/shm/share.h"

#define TABLES 8192u /* where the queue pairs begin: behind the head */
#define CHUNK 1024u /* keys; 64 KiB */
#define GUARD_TRIES 16u
#define QPS_BYTES (SHM_SHARE_QPS * sizeof(struct hca_fabric_qp))
#define COUNTS (TABLES + QPS_BYTES)
#define COUNTS_BYTES (SHM_SHARE_QPS * sizeof(struct hca_fabric_count))
#define KEYS (COUNTS + COUNTS_BYTES)

_Static_assert(sizeof(struct hca_fabric_node) <= TABLES, "the head comes before the tables");

static u64 key_slots(u32 keys)
{
	return ((u64)keys + 1 + CHUNK - 1) / CHUNK * CHUNK; /* index 0 isn't used */
}

u64 shm_share_bytes(u32 keys)
{
	return KEYS + key_slots(keys) * sizeof(struct hca_fabric_key);
}

/* --- the guard --- */

static size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

#ifdef HCA_TSAN
static void *somewhere(void)
{
	return NULL; /* it wants to choose by itself */
}
#else
/* Where no program has anything by itself: above what is linked low, below where libraries and stacks are. */
static void *somewhere(void)
{
	u64 low = 1ull << 32, span = 1ull << 45;
	u64 at = low + (((u64)hca_random_u32() << 32 | hca_random_u32()) % span);

	if (sizeof(void *) < sizeof(u64))
		at = 0x20000000u + (hca_random_u32() & 0x3fffffffu);
	return (void *)(uintptr_t)(at & ~(u64)(page_bytes() - 1));
}
#endif

/* A forked child doesn't get it, nor does a program that this process turns into. */
static void *make_guard(void)
{
	u32 i;

	for (i = 0; i < GUARD_TRIES; i++) {
		void *wanted = somewhere();
		void *at = mmap(wanted, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			return NULL;
		if ((at == wanted || !wanted) && !madvise(at, page_bytes(), MADV_DONTFORK))
			return at;
		munmap(at, page_bytes());
	}
	return NULL;
}

/* --- the tables --- */

int shm_share_init(struct shm_share *s, struct hca_fabric_node *node, int fd, u32 keys)
{
	/* Not the head, which says who we are by now: where the system can't reserve, filling is writing zeros. */
	int err = shm_file_fill(fd, sizeof(*node), KEYS - sizeof(*node));

	if (err)
		return err;
	*s = (struct shm_share){
		.node = node,
		.fd = fd,
		.qp = (void *)((u8 *)node + TABLES),
		.count = (void *)((u8 *)node + COUNTS),
		.key = (void *)((u8 *)node + KEYS),
		.key_room = (u32)key_slots(keys),
		.guard = make_guard(),
	};
	hca_mutex_init(&s->lock);
	hca_spin_init(&s->qps);
	node->qps = TABLES;
	node->counts = COUNTS;
	node->keys = KEYS;
	node->qp_slots = SHM_SHARE_QPS;
	node->key_slots = 0;
	node->cookie = (u64)hca_random_u32() << 32 | hca_random_u32();
	node->guard = (uintptr_t)s->guard;
	node->vm = s->guard ? 1 : 0;
	if (s->guard)
		hca_memcpy(s->guard, &node->cookie, sizeof(node->cookie));
	return 0;
}

void shm_share_fini(struct shm_share *s, bool child)
{
	if (!child)
		hca_store(&s->node->vm, 0u);
	if (s->guard && !child)
		munmap(s->guard, page_bytes());
	hca_mutex_destroy(&s->lock);
}

void shm_share_room(struct shm_share *s, u32 key)
{
	u64 have = hca_load(&s->node->key_slots), index = key >> 8;

	if (index < have || index >= s->key_room)
		return;
	hca_mutex_lock(&s->lock);
	have = hca_load(&s->node->key_slots);
	if (index >= have) {
		u64 more = (index - have) / CHUNK * CHUNK + CHUNK;
		u64 at = s->node->keys + have * sizeof(struct hca_fabric_key);

		u64 bytes = more * sizeof(struct hca_fabric_key);

		if (!shm_file_fill(s->fd, at, bytes)) {
			/* Written once: others see by that that it is there (lseek's SEEK_HOLE). */
			hca_memset(&s->key[have], 0, bytes);
			hca_store_release(&s->node->key_slots, (u32)(have + more));
		}
	}
	hca_mutex_unlock(&s->lock);
}

/* Its reader sees an odd number, or all fields as they were, or as they are when this is over. */
static u32 begin(u32 *seq)
{
	u32 at = hca_load(seq);

	hca_store(seq, at + 1);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	return at + 2;
}

static void end(u32 *seq, u32 at)
{
	hca_store_release(seq, at);
}

/* The lock is held. What others add meanwhile, to a queue pair that goes, may be lost. */
static void share_count(struct shm_share *s, const struct hca_wire_qp *qp)
{
	struct hca_fabric_count *c = &s->count[qp->qpn & (SHM_SHARE_QPS - 1)];

	if (hca_load(&c->qpn) != qp->qpn || qp->state == HCA_QPS_RESET) {
		hca_store(&c->errors, 0u);
		hca_store(&c->requests, 0ull);
		hca_store(&c->bytes, 0ull);
		hca_store(&c->received, 0ull);
		hca_store(&c->received_bytes, 0ull);
		hca_store(&c->qpn, qp->qpn);
	}
	hca_store(&c->retries, qp->state == HCA_QPS_RESET ? 0 : qp->retries);
}

void shm_share_qp(struct shm_share *s, const struct hca_wire_qp *qp)
{
	struct hca_fabric_qp *e = &s->qp[qp->qpn & (SHM_SHARE_QPS - 1)];
	hca_irqflags_t flags;
	u32 at;

	hca_spin_lock(&s->qps, flags);
	at = begin(&e->seq);
	hca_store(&e->qpn, qp->qpn);
	hca_store(&e->type, qp->type);
	hca_store(&e->state, qp->state);
	hca_store(&e->rd_limit, qp->rd_limit);
	hca_store(&e->access, qp->access);
	hca_store(&e->pd, qp->pd);
	hca_store(&e->peer, qp->peer);
	end(&e->seq, at);
	share_count(s, qp);
	hca_spin_unlock(&s->qps, flags);
}

void shm_share_key(struct shm_share *s, u32 key, const struct hca_wire_key *k)
{
	struct hca_fabric_key *e;
	u32 at;

	if (key >> 8 >= hca_load(&s->node->key_slots))
		return;
	e = &s->key[key >> 8];
	/* What was never published isn't there. */
	if (!k && !hca_load(&e->key))
		return;
	at = begin(&e->seq);
	hca_store(&e->key, k ? key : 0);
	if (k) {
		hca_store(&e->access, k->access);
		hca_store(&e->qpn, k->qpn);
		hca_store(&e->iova, k->iova);
		hca_store(&e->length, k->length);
		hca_store(&e->base, (u64)(uintptr_t)k->at);
		hca_store(&e->pd, k->pd);
	}
	end(&e->seq, at);
}
