/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One-sided work by the initiator; see direct.h.
 *
 * A key and a deregistration meet as two threads do in Dekker's way: the initiator sets
 * its mark, makes a full barrier and reads the key; the owner takes the key out of its
 * file, makes a full barrier and reads the marks. One of them sees the other: either the
 * initiator finds no key, or the owner waits until the mark is gone, or its process.
 *
 * A pid may come back as another process's between our look and the system call. So the
 * first bytes that each process_vm call names are the peer's guard: at an address of its
 * own at random, which no other process has. There the call fails, or for a read brings
 * other bytes, before anything of the program's is written. The system takes the process's
 * memory once for the whole call. Few bytes go through /proc/PID/mem: what was opened once
 * is the memory of that process for ever, and faster for them.
 */
#include "wire/shm/direct.h"

#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "hca/wr.h"
#include "wire/shm/alive.h"
#include "wire/shm/node.h"
#include "wire/shm/shm.h"
#include "wire/shm/target.h"

#define WORD 8u
#define FEW 4096u /* bytes of a read; of a write, where the order of its bytes counts, a word */
#define NAME_NS 1000000000ull
#define ROOM_US 1000u /* between two tries to open a node's file */
#define NAMED (~0ull)
#define ASK_NS 10000000ull
#define LOOKS 64u /* at a mark, before its node is asked whether it lives */

_Static_assert(HCA_SLOTS <= HCA_FABRIC_MARKS, "each thread's slot has a mark");

/* --- the table --- */

static void put(struct shm_target *p)
{
	if (hca_fetch_add(&p->refs, (u32)-1) == 1)
		shm_target_free(p);
}

static u64 *own_use(struct shm_direct *d, u32 slot)
{
	return &d->self->uses[slot].use;
}

static u32 user(u64 use)
{
	return (u32)use;
}

/* What was taken out before is used by no thread of ours any more: each that found it has its mark set while it does. */
static void wait_own(struct shm_direct *d, u32 number)
{
	u32 slot, turns = 0;

	hca_mutex_assert(&d->lock);
	hca_mb();
	for (slot = 0; slot < HCA_MIN(hca_load(&d->self->marks), HCA_FABRIC_MARKS); slot++) {
		u64 use = hca_load_acquire(own_use(d, slot));

		while (user(use) == number && hca_load_acquire(own_use(d, slot)) == use)
			hca_relax(&turns);
	}
}

/* Aliases of registrations that are over, or with @number all of that peer. */
static void drop_aliases(struct shm_direct *d, u32 number)
{
	struct shm_alias_key *k;

	while ((k = shm_alias_stale(&d->aliases, number))) {
		wait_own(d, k->peer);
		shm_alias_free(&d->aliases, k, false);
	}
	hca_store(&d->self->aliases, d->aliases.keys ? 1u : 0u);
}

static void drop(struct shm_direct *d, u32 number)
{
	struct shm_target *p = d->peer[number];

	hca_store(&d->peer[number], NULL);
	wait_own(d, number);
	drop_aliases(d, number);
	put(p);
}

/* The peer as it is now, if it lives; with a reference for the caller, the lock is held. */
static struct shm_target *look(struct shm_direct *d, u32 number)
{
	struct shm_target *p = d->peer[number];

	hca_mutex_assert(&d->lock);
	if (p && (hca_load(&p->gone) || !shm_target_lives(p))) {
		drop(d, number);
		p = NULL;
	}
	if (!p) {
		p = shm_target_meet(d->dir, number);
		if (!p)
			return NULL;
		/* It looks for our marks from now on, whatever it takes back. */
		hca_fetch_or(&p->head->users[d->number / 64], 1ull << d->number % 64);
		hca_store_release(&d->peer[number], p);
	}
	hca_fetch_add(&p->refs, 1);
	return p;
}

static struct shm_target *find(struct shm_direct *d, u32 number)
{
	struct shm_target *p;

	hca_mutex_lock(&d->lock);
	p = look(d, number);
	hca_mutex_unlock(&d->lock);
	return p;
}

/* --- moving --- */

/* One more than of keys' slots that have memory; what is beyond isn't touched, for there it may not come to have any. */
static bool more_keys(struct shm_target *p)
{
	struct shm_view *v = &p->view;
	u64 from = (u64)((const u8 *)v->key - (const u8 *)p->map);
	u32 has = hca_load(&v->key_slots), says = HCA_MIN(hca_load_acquire(&p->head->key_slots), v->key_room);
	off_t hole;
	u64 there;

	if (says <= has)
		return false;
	hole = lseek(p->fd, (off_t)from, SEEK_HOLE);
	if (hole < (off_t)from)
		return false;
	there = ((u64)hole - from) / sizeof(struct hca_fabric_key);
	hca_store_release(&v->key_slots, (u32)HCA_MIN(there, (u64)says));
	return hca_load(&v->key_slots) > has;
}

/*
 * The last bytes come after all others, for a program polls them: the system copies one entry of ours after another into the page that
 * they share, so an entry of their own is enough. A word that the end lies in is written by one store, where the system's copy of
 * 8 bytes is one. Return: how many entries
 */
static u32 local_runs(struct iovec *io, const struct hca_place *own, u32 n, u64 body)
{
	u32 i, m = 0;

	for (i = 0; i < n; i++) {
		u64 len = own[i].len, first = HCA_MIN(len, body);

		if (first)
			io[m++] = (struct iovec){ .iov_base = own[i].at, .iov_len = (size_t)first };
		if (len > first)
			io[m++] =
				(struct iovec){ .iov_base = (u8 *)own[i].at + first, .iov_len = (size_t)(len - first) };
		body -= first;
	}
	return m;
}

/* Bytes of a write that may be seen in any order; pieces are seen one after the other. */
static u64 body_of(const struct hca_msg *m, u64 remote)
{
	u64 tail = (remote + m->piece) % WORD;

	tail = tail ? tail : WORD;
	return m->flags & HCA_MSG_LAST && m->piece > tail ? m->piece - tail : m->piece;
}

/* The process ended: nothing is there any more. Return: as move(). */
static bool move_few(struct shm_target *p, const struct hca_carried *c, u64 remote, void *at)
{
	u32 len = c->msg.piece;
	ssize_t moved;

	if (c->right == HCA_ACCESS_REMOTE_WRITE)
		moved = pwrite(p->mem, at, len, (off_t)remote);
	else
		moved = pread(p->mem, at, len, (off_t)remote);
	if (!moved)
		hca_store(&p->gone, true);
	return moved == (ssize_t)len;
}

/* What the last system call says of the next ones. */
static void note_failure(struct shm_direct *d, struct shm_target *p, ssize_t moved)
{
	if (moved < 0 && errno == ENOSYS)
		hca_store(&d->refused, true);
	else if (moved < 0 && errno == EPERM)
		hca_store(&p->vm, false);
	else if (moved < 0 && errno == ESRCH)
		hca_store(&p->gone, true);
}

/*
 * A process that says so when it ends has its number to itself as long as it lives: the guard was there when we met. So of a read it is
 * enough to ask afterwards. A write must be right before, and names the guard. Return: all of it was moved, from or to the process that we
 * mean.
 */
static bool move(struct shm_direct *d, struct shm_target *p, const struct hca_carried *c, u64 remote,
		 const struct hca_place *own, u32 n)
{
	bool writes = c->right == HCA_ACCESS_REMOTE_WRITE;
	struct iovec local[2 + HCA_PLACES], there[2];
	u32 alive, skip;
	u64 word = 0;
	ssize_t moved;

	if (p->mem >= 0 && n == 1 && c->msg.piece <= (writes ? WORD : FEW) && remote <= INTPTR_MAX)
		return move_few(p, c, remote, own[0].at);
	alive = writes || p->mem < 0 ? 0 : shm_alive_as(&p->head->alive);
	skip = alive ? 1 : 0;
	there[0] = (struct iovec){ .iov_base = (void *)(uintptr_t)(p->guard + (writes ? WORD : 0)), .iov_len = WORD };
	there[1] = (struct iovec){ .iov_base = (void *)(uintptr_t)remote, .iov_len = c->msg.piece };
	local[0] = (struct iovec){ .iov_base = &word, .iov_len = WORD };
	n = 1 + local_runs(local + 1, own, n, writes ? body_of(&c->msg, remote) : c->msg.piece);
	if (writes)
		moved = process_vm_writev(p->pid, local, n, there, 2, 0);
	else
		moved = process_vm_readv(p->pid, local + skip, n - skip, there + skip, 2 - skip, 0);
	if (hca_likely(moved == (ssize_t)((skip ? 0 : WORD) + c->msg.piece)))
		return writes || (alive ? shm_alive_still(&p->head->alive, alive) : word == p->cookie);
	note_failure(d, p, moved);
	return false;
}

/* --- memory that we map too --- */

/* Return: all of it was moved; with false some perhaps, and the message's way finds out why. */
static bool move_plain(struct shm_direct *d, const struct hca_carried *c, u8 *there, const struct hca_place *own, u32 n)
{
	bool writes = c->right == HCA_ACCESS_REMOTE_WRITE;
	u64 body = writes ? body_of(&c->msg, (uintptr_t)there) : c->msg.piece;
	struct iovec run[1 + HCA_PLACES];
	u32 i, m = local_runs(run, own, n, body);

	for (i = 0; i < m; i++) {
		u8 *at = run[i].iov_base;

		/* The word at the end, after all else. */
		if (writes && !body)
			hca_mb();
		if (d->memory->put(writes ? there : at, writes ? at : there, run[i].iov_len))
			return false;
		there += run[i].iov_len;
		body -= HCA_MIN(body, (u64)run[i].iov_len);
	}
	return true;
}

/*
 * The target's own adapter does the same on its own mapping, so each is atomic to the other. Return: 0; -EACCES: nothing has happened;
 * -EFAULT: it is done, and its result has no place.
 */
static int atomic_plain(struct shm_direct *d, const struct hca_carried *c, u8 *there, const struct hca_place *own,
			u32 n)
{
	const struct hca_msg *m = &c->msg;
	u64 old;
	u8 *from = (u8 *)&old;
	u32 i;
	int err;

	if ((uintptr_t)there % WORD || m->piece != WORD)
		return -EACCES;
	if (m->opcode == HCA_WR_ATOMIC_CMP_AND_SWP)
		err = d->memory->cmp_swap((u64 *)there, m->compare_add, m->swap, &old);
	else
		err = d->memory->fetch_add((u64 *)there, m->compare_add, &old);
	if (err)
		return -EACCES;
	for (i = 0; i < n && !err; from += own[i].len, i++)
		err = d->memory->put(own[i].at, from, (size_t)own[i].len);
	return err;
}

/*
 * No call says here that the process is no more, and its memory may be there as long as ours is. So now and then it is asked; whoever
 * watches it is faster.
 */
static bool still_lives(struct shm_target *p)
{
	struct timespec now;
	u64 ns;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	ns = (u64)now.tv_sec * 1000000000ull + (u64)now.tv_nsec;
	if (hca_likely(ns - hca_load(&p->asked) < ASK_NS))
		return true;
	hca_store(&p->asked, ns);
	return shm_target_lives(p);
}

/* Return: the table of what is known of a peer; NULL: no memory for it. */
static struct shm_alias_peer *aliases_of(struct shm_target *p)
{
	struct shm_alias_peer *a = hca_load_acquire(&p->aliases), *found;

	if (hca_likely(a))
		return a;
	a = hca_alloc(sizeof(*a), 0);
	if (!a)
		return NULL;
	found = hca_cmpxchg(&p->aliases, NULL, a);
	if (!found)
		return a;
	hca_free(a);
	return found;
}

/*
 * A key was used so often that it pays to know whether its memory is ours too. If its registration ends meanwhile, nobody finds what is
 * published here: whoever looks for an alias compares the number of the entry. And either the key's owner sees that we want to
 * hear of it, or we see afterwards that it has ended.
 */
static void look_for_alias(struct shm_direct *d, u32 number, const struct hca_fabric_key *key)
{
	struct shm_alias_key *k = NULL;
	struct shm_target *p;
	int saved = errno;

	hca_mutex_lock(&d->lock);
	hca_store(&d->self->aliases, 1u);
	hca_mb();
	p = d->peer[number];
	if (p && p->aliases && key->key >> 8 < hca_load(&p->view.key_slots))
		k = shm_alias_look(&d->aliases, number, p->pid, p->guard, &p->view.key[key->key >> 8], key);
	/* It is the process that we mean: it has had this pid all the time. */
	if (k && !shm_target_lives(p)) {
		shm_alias_free(&d->aliases, k, false);
		k = NULL;
	}
	if (k) {
		hca_log(HCA_LOG_DEBUG, "fabric: key 0x%x of node %u is memory that this process maps too", k->key,
			number);
		k = shm_alias_publish(&d->aliases, p->aliases, k);
	}
	if (k) {
		wait_own(d, number);
		shm_alias_free(&d->aliases, k, false);
	}
	drop_aliases(d, 0);
	hca_mutex_unlock(&d->lock);
	errno = saved;
}

void shm_direct_ended(struct shm_direct *d)
{
	hca_mutex_lock(&d->lock);
	drop_aliases(d, 0);
	hca_mutex_unlock(&d->lock);
}

/* --- one piece --- */

/**
 * struct use - of a peer's memory
 * @key: what its entry said
 * @look: it was used so often that an alias pays
 */
struct use {
	struct hca_fabric_key key;
	bool look;
};

/* Return: 0; -ENOENT: we don't map that memory; -EFAULT: see atomic_plain(); others as use(). */
static int use_alias(struct shm_direct *d, struct shm_target *p, const struct hca_carried *c, u64 remote,
		     const struct hca_place *own, u32 n, struct use *u)
{
	struct shm_alias_peer *a;
	u64 *count;
	u8 *at;
	int err;

	if (!d->memory || !p->known || u->key.access & HCA_ACCESS_ON_DEMAND)
		return -ENOENT;
	a = aliases_of(p);
	at = a ? shm_alias_find(a, &u->key, c->right) : NULL;
	if (!at) {
		u->look = a && shm_alias_count(a, &u->key, c->msg.piece);
		return -ENOENT;
	}
	if (hca_unlikely(!still_lives(p))) {
		hca_store(&p->gone, true);
		return -EAGAIN;
	}
	at += remote - u->key.base;
	if (hca_unlikely(c->right == HCA_ACCESS_REMOTE_ATOMIC))
		err = atomic_plain(d, c, at, own, n);
	else
		err = move_plain(d, c, at, own, n) ? 0 : -EACCES;
	if (hca_unlikely(err))
		return err;
	/* The mark is ours. */
	count = &d->self->uses[hca_slot()].plain;
	hca_store(count, hca_load(count) + 1);
	return 0;
}

/* The mark is set. Return: 0; -EAGAIN: not before the caller knows more; -EACCES: leave it to a message; -EFAULT: see atomic_plain(). */
static int use(struct shm_direct *d, u32 number, const struct hca_carried *c, const struct hca_place *own, u32 n,
	       struct use *u)
{
	struct shm_target *p = hca_load_acquire(&d->peer[number]);
	u64 remote;
	int err;

	/* One that left may have been followed by another of its number. */
	if (hca_unlikely(!p || hca_load(&p->gone) || hca_load(&p->head->magic) != HCA_FABRIC_MAGIC))
		return -EAGAIN;
	if (hca_unlikely(!p->known))
		return -EACCES;
	err = shm_view_target(&p->view, c, &remote, &u->key);
	if (hca_unlikely(err == -EAGAIN && more_keys(p)))
		err = shm_view_target(&p->view, c, &remote, &u->key);
	if (hca_unlikely(err))
		return -EACCES;
	err = use_alias(d, p, c, remote, own, n, u);
	if (err != -ENOENT)
		return err;
	if (hca_unlikely(!hca_load(&p->vm) || c->right == HCA_ACCESS_REMOTE_ATOMIC))
		return -EACCES;
	return move(d, p, c, remote, own, n) ? 0 : -EACCES;
}

static void raise_marks(struct hca_fabric_node *self, u32 to)
{
	u32 marks = hca_load(&self->marks);

	while (marks < to) {
		u32 found = hca_cmpxchg(&self->marks, marks, to);

		if (found == marks)
			return;
		marks = found;
	}
}

/* Return: where our mark is; NULL: another thread shares it and uses it. Full barrier. */
static u64 *mark(struct shm_direct *d, u32 number)
{
	u32 slot = hca_slot();
	u64 *at = own_use(d, slot), was = hca_load(at);

	if (hca_unlikely(hca_load(&d->self->marks) <= slot))
		raise_marks(d->self, slot + 1);
	if (hca_unlikely(user(was)))
		return NULL;
	return hca_cmpxchg(at, was, ((was >> 32) + 1) << 32 | number) == was ? at : NULL;
}

static void unmark(u64 *at)
{
	hca_store_release(at, hca_load(at) >> 32 << 32);
}

static int attempt(struct shm_direct *d, u32 number, const struct hca_carried *c, const struct hca_place *own, u32 n)
{
	u64 *at = mark(d, number);
	struct use u;
	int err;

	if (hca_unlikely(!at))
		return -EACCES;
	u.look = false;
	err = use(d, number, c, own, n, &u);
	unmark(at);
	if (hca_unlikely(u.look))
		look_for_alias(d, number, &u.key);
	return err;
}

/* Return: as use(). */
static int carry_out(struct shm_direct *d, struct hca_carried *c)
{
	struct hca_place own[HCA_PLACES];
	u32 number = c->msg.dlid, n;
	int err, saved = errno;
	struct shm_target *p;

	if (!c->right || c->pending || !c->msg.piece || hca_load(&d->refused) || number >= HCA_FABRIC_NODES || !number)
		return -EACCES;
	n = c->places(c, own);
	if (!n)
		return -EACCES;
	err = attempt(d, number, c, own, n);
	if (hca_likely(!err))
		return 0;
	errno = saved;
	if (err != -EAGAIN)
		return err;
	p = find(d, number);
	if (p) {
		put(p);
		err = attempt(d, number, c, own, n);
	}
	errno = saved;
	return err;
}

/* --- a payload that is fetched --- */

static u32 runs_of(struct iovec *io, const struct hca_place *place, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		io[i] = (struct iovec){ .iov_base = place[i].at, .iov_len = (size_t)place[i].len };
	return n;
}

/* As move() reads. Return: all of it is here, from the process that we mean */
static bool fetch_all(struct shm_direct *d, struct shm_target *p, const struct hca_place *from, u32 m,
		      const struct hca_place *to, u32 n)
{
	u32 alive = p->mem < 0 ? 0 : shm_alive_as(&p->head->alive), skip = alive ? 1 : 0, i;
	struct iovec local[1 + HCA_PLACES], there[1 + HCA_PLACES];
	ssize_t moved, all = skip ? 0 : WORD;
	u64 word = 0;

	for (i = 0; i < n; i++)
		all += (ssize_t)to[i].len;
	there[0] = (struct iovec){ .iov_base = (void *)(uintptr_t)p->guard, .iov_len = WORD };
	local[0] = (struct iovec){ .iov_base = &word, .iov_len = WORD };
	n = 1 + runs_of(local + 1, to, n);
	m = 1 + runs_of(there + 1, from, m);
	moved = process_vm_readv(p->pid, local + skip, n - skip, there + skip, m - skip, 0);
	if (hca_likely(moved == all))
		return alive ? shm_alive_still(&p->head->alive, alive) : word == p->cookie;
	note_failure(d, p, moved);
	return false;
}

/* Were the bytes those of the message when they were read? Its sender changes the epoch before it lets go of them. */
static bool still(const struct shm_target *p, u32 epoch)
{
	hca_mb();
	return hca_load(&p->head->epoch) == epoch;
}

/* Return: 0; -EAGAIN: not before the caller knows more; -EACCES */
static int attempt_fetch(struct shm_direct *d, u32 number, u32 epoch, const struct hca_place *from, u32 m,
			 const struct hca_place *to, u32 n)
{
	u64 *at = mark(d, number);
	struct shm_target *p;
	int err = -EACCES;

	if (hca_unlikely(!at))
		return -EACCES;
	p = hca_load_acquire(&d->peer[number]);
	if (hca_unlikely(!p || hca_load(&p->gone) || hca_load(&p->head->magic) != HCA_FABRIC_MAGIC))
		err = -EAGAIN;
	else if (p->known && hca_load(&p->vm) && hca_load_acquire(&p->head->epoch) == epoch &&
		 fetch_all(d, p, from, m, to, n) && still(p, epoch))
		err = 0;
	unmark(at);
	return err;
}

int shm_direct_fetch(struct shm_direct *d, u32 node, u32 epoch, const struct hca_place *from, u32 m,
		     const struct hca_place *to, u32 n)
{
	int err, saved = errno;
	struct shm_target *p;

	if (hca_load(&d->refused) || !node || node >= HCA_FABRIC_NODES)
		return -EAGAIN;
	err = attempt_fetch(d, node, epoch, from, m, to, n);
	if (hca_unlikely(err == -EAGAIN)) {
		p = find(d, node);
		if (p) {
			put(p);
			err = attempt_fetch(d, node, epoch, from, m, to, n);
		}
	}
	errno = saved;
	return err ? -EAGAIN : 0;
}

bool shm_direct_do(struct shm_direct *d, struct hca_carried *c)
{
	return !carry_out(d, c);
}

bool shm_direct_atomic(struct shm_direct *d, struct hca_carried *c, enum hca_answer *answer)
{
	int err = carry_out(d, c);

	*answer = err ? HCA_ANSWER_LOC_PROT : HCA_ANSWER_ACK;
	return !err || err == -EFAULT;
}

/* --- the other side --- */

/* Until it changes, or its node is no more. */
static void wait_mark(const struct shm_target *p, u32 slot, u32 us)
{
	const u64 *at = &p->head->uses[slot].use;
	u64 use = hca_load_acquire(at), since = 0;
	u32 turns = 0, looks = 0;

	while (user(use) == us && hca_load_acquire(at) == use) {
		hca_relax(&turns);
		if (++looks % LOOKS)
			continue;
		if (!shm_target_lives(p))
			return;
		since = since ? since : hca_now_ns();
		if (since != NAMED && hca_now_ns() - since > NAME_NS) {
			hca_log(HCA_LOG_WARN, "fabric: process %d has our memory in use for a second: is it stopped?",
				p->pid);
			since = NAMED;
		}
	}
}

/* It may have a mapping of memory whose region has ended: it lets go of it in its own time. */
static void tell_ended(struct shm_target *p)
{
	if (hca_likely(!hca_load(&p->head->aliases)) || hca_load(&p->head->ended))
		return;
	hca_store(&p->head->ended, 1u);
	hca_mb(); /* pairs with that of its helper before it sleeps */
	if (!hca_load(&p->head->sleeping))
		return;
	hca_fetch_add(&p->head->bell, 1u);
	shm_node_wake(p->head);
}

static void wait_node(struct shm_direct *d, struct shm_target *p)
{
	u32 slot, marks = HCA_MIN(hca_load_acquire(&p->head->marks), HCA_FABRIC_MARKS);

	tell_ended(p);
	for (slot = 0; slot < marks; slot++)
		wait_mark(p, slot, d->number);
}

/* Was nobody looked at, since this process may open or map nothing more? */
static bool is_short(int err)
{
	return err == EMFILE || err == ENFILE || err == ENOMEM;
}

/*
 * The users' words are read and a dead node's bit is taken back under the lock: nobody passes a node by meanwhile. A node sets its
 * bit when it is there and before its first mark; one that isn't there when the bit is gone sets it again.
 */
static struct shm_target *next_user(struct shm_direct *d, u32 *number, u32 end, bool *again)
{
	struct shm_target *p = NULL;
	u64 *word, bit;

	hca_mutex_lock(&d->lock);
	for (; !p && *number < end; ++*number) {
		word = &d->self->users[*number / 64];
		bit = 1ull << *number % 64;
		if (!hca_load(word)) {
			*number |= 63;
			continue;
		}
		if (!(hca_load(word) & bit))
			continue;
		p = look(d, *number);
		if (!p && is_short(errno)) {
			*again = true;
			break;
		}
		if (p)
			continue;
		hca_fetch_and(word, ~bit);
		p = look(d, *number);
		/* Whoever can't be looked at now is there as far as we know. */
		if (p || is_short(errno))
			hca_fetch_or(word, bit);
		if (!p && is_short(errno)) {
			*again = true;
			break;
		}
	}
	hca_mutex_unlock(&d->lock);
	return p;
}

/* It may use our memory, and until it can be looked at that isn't known. */
static void wait_for_room(u32 number, bool *named)
{
	if (!*named)
		hca_log(HCA_LOG_WARN, "fabric: %s, so node %u can't be looked at: a deregistration waits",
			strerror(errno), number);
	*named = true;
	usleep(ROOM_US);
}

void shm_direct_settle(struct shm_direct *d, u32 node)
{
	u32 number = node ? node : 1, end = node ? node + 1 : HCA_FABRIC_NODES;
	bool again = false, named = false;
	struct shm_target *p;
	int saved = errno;

	if (number >= HCA_FABRIC_NODES)
		return;

	/* Full barrier: who doesn't see it has set its mark before. */
	hca_fetch_add(&d->self->epoch, 1u);
	while ((p = next_user(d, &number, end, &again)) || again) {
		if (again)
			wait_for_room(number, &named);
		else
			wait_node(d, p);
		if (p)
			put(p);
		again = false;
	}
	errno = saved;
}

/* --- beginning and end --- */

void shm_direct_meet(struct shm_direct *d, u32 node)
{
	struct shm_target *p = node && node < HCA_FABRIC_NODES && !hca_load(&d->refused) ? find(d, node) : NULL;

	if (p)
		put(p);
}

void shm_direct_forget(struct shm_direct *d, u32 node)
{
	if (!node || node >= HCA_FABRIC_NODES)
		return;
	hca_mutex_lock(&d->lock);
	if (d->peer[node] && !shm_target_lives(d->peer[node]))
		drop(d, node);
	hca_mutex_unlock(&d->lock);
}

int shm_direct_init(struct shm_direct *d, struct hca_fabric_node *self, int dir, bool never,
		    const struct hca_shm_memory *memory)
{
	*d = (struct shm_direct){
		.self = self, .number = self->number, .dir = dir, .refused = never, .memory = memory
	};
	d->peer = hca_alloc(HCA_FABRIC_NODES * sizeof(struct shm_target *), HCA_MAY_SLEEP);
	if (!d->peer)
		return -ENOMEM;
	hca_mutex_init(&d->lock);
	return 0;
}

void shm_direct_fini(struct shm_direct *d, bool child)
{
	struct shm_alias_key *k;
	u32 i;

	for (i = 1; i < HCA_FABRIC_NODES; i++) {
		if (!d->peer[i])
			continue;
		while ((k = shm_alias_stale(&d->aliases, i)))
			shm_alias_free(&d->aliases, k, child);
		put(d->peer[i]);
	}
	hca_free(d->peer);
	hca_mutex_destroy(&d->lock);
}
