/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Other nodes, from when one of them is first used until the wire closes; see internal.h. */
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "wire/shm/internal.h"

/* --- coming --- */

struct shm_peer *shm_peer_get(struct hca_shm *shm, u32 number)
{
	struct shm_peer *p;

	if (number < 1 || number >= HCA_FABRIC_NODES)
		return NULL;
	p = hca_load_acquire(&shm->peer[number]);
	if (hca_likely(p))
		return p;
	pthread_mutex_lock(&shm->connecting);
	p = shm->peer[number];
	if (!p)
		p = hca_alloc(sizeof(*p), HCA_MAY_SLEEP);
	if (p && !shm->peer[number]) {
		p->number = number;
		p->pidfd = -1;
		p->node.fd = -1;
		p->late_end = &p->late;
		hca_spin_init(&p->lock);
		hca_store_release(&shm->peer[number], p);
	}
	pthread_mutex_unlock(&shm->connecting);
	return p;
}

static int make_out(struct hca_shm *shm, u32 number, u64 stamp, struct shm_ring *out)
{
	const struct hca_fabric_ring head = {
		.from = shm->node.number,
		.to = number,
		.from_stamp = shm->node.head->stamp,
		.to_stamp = stamp,
		.size = { shm->cfg.request_bytes, shm->cfg.reply_bytes },
	};
	char name[SHM_NAME_BYTES];
	int err;

	shm_ring_name(name, head.from, head.to);
	err = shm_ring_create(shm->dir, name, &head, out);
	if (err)
		hca_log(HCA_LOG_ERR, "fabric: no ring to node %u: %s%s", number, strerror(-err), shm_remedy(err));
	return err;
}

/* The watcher looks at all of them. */
void shm_peers_look(struct hca_shm *shm)
{
	const u64 one = 1;

	(void)!write(shm->event, &one, sizeof(one));
}

/* Whether its end can be waited for; else requests to it end by their retry count. */
static int watch(struct hca_shm *shm, struct shm_peer *p)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = p->number };
	int fd = shm_node_pidfd(&p->node);

	/* The lock says more than the pid, which may be of another namespace, or of a process that ended while it was looked at. */
	if ((fd == -ESRCH || fd == -ENOENT) && !shm_node_is_locked(shm->dir, &p->node))
		return -ESRCH;
	if (fd == -EMFILE || fd == -ENFILE)
		hca_log(HCA_LOG_WARN, "fabric: no descriptor left to watch node %u: raise the limit (ulimit -n)",
			p->number);
	if (fd < 0)
		return 0;
	p->pidfd = fd;
	return epoll_ctl(shm->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static void stop_watching(struct shm_peer *p)
{
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
}

/* What can't be is as good as the first. */
static u32 device_of(const struct shm_node *node)
{
	u32 device = hca_load(&node->head->device);

	return device < HCA_FABRIC_DEVICES ? device : 0;
}

static int connect_node(struct hca_shm *shm, struct shm_peer *p)
{
	struct shm_node node = { .fd = -1 };
	struct shm_ring out = { 0 };
	hca_irqflags_t flags;
	u64 stamp;
	int err;

	err = shm_node_open(shm->dir, p->number, &node);
	if (err)
		return err;
	stamp = hca_load(&node.head->stamp);
	err = stamp == p->bad ? -ESRCH : make_out(shm, p->number, stamp, &out);
	if (err)
		goto unmap;
	hca_spin_lock(&p->lock, flags);
	p->node.bytes = node.bytes;
	p->node.number = node.number;
	p->out = out;
	p->stamp = stamp;
	hca_store(&p->device, device_of(&node) + 1);
	hca_store(&p->gone, 0u);
	hca_store_release(&p->node.head, node.head);
	hca_spin_unlock(&p->lock, flags);
	return 0;
unmap:
	shm_node_unmap(&node);
	return err;
}

int shm_peer_connect(struct hca_shm *shm, struct shm_peer *p)
{
	int err = 0;

	pthread_mutex_lock(&shm->connecting);
	if (!p->node.head) {
		err = p->number == shm->node.number ? -EINVAL : connect_node(shm, p);
		/* It may have died by now. It has used nothing of it yet, and the one who drops it is the watcher. */
		if (!err && watch(shm, p))
			shm_peer_gone(shm, p);
	}
	pthread_mutex_unlock(&shm->connecting);
	return err;
}

/* While connecting. A node that ended is dropped by the watcher, which then turns to the one that has its number now. */
static int watch_next(struct hca_shm *shm, struct shm_peer *p, u64 *stamp)
{
	struct shm_node node = { .fd = -1 };
	int err = shm_node_open(shm->dir, p->number, &node);

	if (!err)
		*stamp = hca_load(&node.head->stamp);
	shm_node_unmap(&node);
	p->again = !err;
	shm_peer_gone(shm, p);
	return err;
}

int shm_peer_watch(struct hca_shm *shm, struct shm_peer *p, u64 *stamp)
{
	bool there = false;
	int err = 0;

	/* Until it is there when it is looked at: it may be dropped in between. */
	while (!err && !there) {
		err = shm_peer_connect(shm, p);
		if (err)
			break;
		pthread_mutex_lock(&shm->connecting);
		there = p->node.head;
		if (there && shm_node_is_locked(shm->dir, &p->node))
			*stamp = p->stamp;
		else if (there)
			err = watch_next(shm, p, stamp);
		pthread_mutex_unlock(&shm->connecting);
	}
	return err;
}

/* By the watcher, when the one before was dropped. */
void shm_peer_again(struct hca_shm *shm, struct shm_peer *p)
{
	bool again;

	pthread_mutex_lock(&shm->connecting);
	again = p->again;
	p->again = false;
	pthread_mutex_unlock(&shm->connecting);
	if (again)
		(void)shm_peer_connect(shm, p);
}

/* While taking. */
bool shm_peer_attach_in(struct hca_shm *shm, struct shm_peer *p)
{
	const struct hca_fabric_ring *head;
	char name[SHM_NAME_BYTES];
	struct shm_ring in = { 0 };

	if (p->in.head)
		return true;
	shm_ring_name(name, p->number, shm->node.number);
	if (shm_ring_open(shm->dir, name, &in))
		return false;
	head = in.head;
	/* It may be one to a node that had our number before, or from one that had the peer's. */
	if (hca_load(&head->from_stamp) != p->stamp || hca_load(&head->to_stamp) != shm->node.head->stamp) {
		shm_ring_unmap(&in);
		/* A node that isn't watched may have ended without our notice, and its number be another one's, which waits for us. */
		if (p->pidfd < 0 && p->node.head && !shm_node_is_locked(shm->dir, &p->node))
			shm_peer_gone(shm, p);
		return false;
	}
	p->in = in;
	return true;
}

/* As far as its lock tells. */
bool shm_peer_lives(struct hca_shm *shm, struct shm_peer *p)
{
	bool lives = true;

	pthread_mutex_lock(&shm->connecting);
	if (p->node.head)
		lives = shm_node_is_locked(shm->dir, &p->node);
	pthread_mutex_unlock(&shm->connecting);
	return lives;
}

/* --- going --- */

void shm_peer_gone(struct hca_shm *shm, struct shm_peer *p)
{
	if (!hca_xchg(&p->gone, 1u))
		shm_peers_look(shm);
}

void shm_peer_mistrust(struct hca_shm *shm, struct shm_peer *p, const char *what)
{
	if (hca_load(&p->gone))
		return;
	hca_log(HCA_LOG_WARN, "fabric: node %u wrote what can't be (%s): it isn't heard any more", p->number, what);
	p->bad = p->stamp;
	shm_peer_gone(shm, p);
}

static void forget_late(struct shm_peer *p)
{
	struct shm_late *l;

	while ((l = shm_peer_late(p)))
		hca_free(l);
}

static void unlink_out(struct hca_shm *shm, const struct shm_peer *p)
{
	char name[SHM_NAME_BYTES];

	shm_ring_name(name, shm->node.number, p->number);
	(void)unlinkat(shm->dir, name, 0);
}

/* While taking. Return: it was there, with this stamp. */
bool shm_peer_drop(struct hca_shm *shm, struct shm_peer *p, u64 *stamp)
{
	struct shm_node node;
	struct shm_ring out;
	hca_irqflags_t flags;
	bool was_there;

	pthread_mutex_lock(&shm->connecting);
	hca_spin_lock(&p->lock, flags);
	node = p->node;
	out = p->out;
	p->node = (struct shm_node){ .fd = -1 };
	p->out = (struct shm_ring){ 0 };
	hca_store(&p->blocked, false);
	p->named = false;
	p->copies = p->refusals = 0; /* the next node of this number may be able to fetch */
	forget_late(p);
	hca_store(&p->gone, 0u);
	hca_spin_unlock(&p->lock, flags);
	was_there = node.head;
	*stamp = p->stamp;
	if (was_there) {
		stop_watching(p);
		unlink_out(shm, p);
		shm_ring_unmap(&out);
		shm_ring_unmap(&p->in);
		shm_node_unmap(&node);
	}
	pthread_mutex_unlock(&shm->connecting);
	shm_direct_forget(&shm->direct, p->number);
	return was_there;
}

/* No other thread uses the wire any more. Those who know us look, and see that we left. */
void shm_peers_leave(struct hca_shm *shm)
{
	u32 i;

	for (i = 1; i < HCA_FABRIC_NODES; i++) {
		struct shm_peer *p = shm->peer[i];

		if (!p)
			continue;
		if (!shm->child && p->node.head) {
			if (shm_node_tell(p->node.head, shm->node.number))
				shm_node_wake(p->node.head);
			unlink_out(shm, p);
		}
		stop_watching(p);
		forget_late(p);
		shm_ring_unmap(&p->out);
		shm_ring_unmap(&p->in);
		shm_node_unmap(&p->node);
		hca_free(p);
	}
}
