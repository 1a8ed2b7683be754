/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The wire between processes: its beginning, its port and its end; see shm.h. */
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hca/hca.h"
#include "wire/shm/internal.h"

#define LAST_NODE (HCA_FABRIC_NODES - 1)
#define FIRST_MLID 0xc000u

/* --- forks --- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hca_shm *all;

static void before_fork(void)
{
	pthread_mutex_lock(&all_lock);
}

static void after_fork_parent(void)
{
	pthread_mutex_unlock(&all_lock);
}

/* The node is the parent's. What the child closes is still open there, so nothing is unlocked. */
static void after_fork_child(void)
{
	struct hca_shm *shm;
	u32 i;

	for (shm = all; shm; shm = shm->next) {
		shm->child = true;
		shm_progress_child(shm);
		for (i = 1; i < HCA_FABRIC_NODES; i++) {
			if (!shm->peer[i] || shm->peer[i]->pidfd < 0)
				continue;
			close(shm->peer[i]->pidfd);
			shm->peer[i]->pidfd = -1;
		}
		close(shm->node.fd);
		close(shm->dir);
	}
	pthread_mutex_unlock(&all_lock);
}

static void init_once(void)
{
	pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void add_to_all(struct hca_shm *shm)
{
	pthread_once(&once, init_once);
	pthread_mutex_lock(&all_lock);
	shm->next = all;
	all = shm;
	pthread_mutex_unlock(&all_lock);
}

static void take_from_all(struct hca_shm *shm)
{
	struct hca_shm **at;

	pthread_mutex_lock(&all_lock);
	for (at = &all; *at != shm; at = &(*at)->next)
		;
	*at = shm->next;
	pthread_mutex_unlock(&all_lock);
}

/* --- the port --- */

static struct hca_shm *to_shm(struct hca_wire *wire)
{
	return hca_container_of(wire, struct hca_shm, wire);
}

static int shm_attach(struct hca_wire *wire, const struct hca_wire_client *ops, void *client,
		      struct hca_wire_port *port)
{
	struct hca_shm *shm = to_shm(wire);
	u32 first = shm->node.number << HCA_FABRIC_QPN_BITS;
	int err;

	if (shm->child || shm->client_ops)
		return -ENOSPC;
	err = hca_timer_init(&shm->stalled, shm_stalled, shm);
	if (err)
		return err;
	/* The last number of all stands for groups. */
	*port = (struct hca_wire_port){
		.lid = shm->node.number,
		.gids = shm->cfg.gids,
		.max_mtu = HCA_MTU_4096,
		.first_qpn = first,
		.qpns = HCA_FABRIC_QPNS - (shm->node.number == LAST_NODE),
	};
	memcpy(port->gid, shm->cfg.gid, sizeof(port->gid));
	shm_take_begin(shm);
	shm->client = client;
	shm->client_ops = ops;
	shm_take_end(shm);
	return 0;
}

static void shm_detach(struct hca_wire *wire, u32 lid)
{
	struct hca_shm *shm = to_shm(wire);
	const struct hca_wire_client *ops = shm->client_ops;

	(void)lid;
	hca_timer_destroy(&shm->stalled);
	if (shm->child)
		return;
	shm_take_begin(shm);
	shm->client_ops = NULL;
	shm_take_end(shm);
	ops->settle(shm->client);
}

/* --- sending --- */

static bool is_for_group(const struct hca_msg *m)
{
	return !(m->flags & HCA_MSG_CONNECTED) &&
	       (m->dlid >= FIRST_MLID || (m->flags & HCA_MSG_GLOBAL && m->ud.dgid.raw[0] == 0xff));
}

/*
 * One-sided work by ourselves, if nothing is in its way. What isn't reliable isn't answered, so what was sent before may still be on its
 * way: that isn't passed by.
 */
static bool send_direct(struct hca_shm *shm, struct hca_carried *c)
{
	if (!(c->msg.flags & HCA_MSG_RELIABLE) && !shm_send_idle(shm, c->msg.dlid))
		return false;
	return shm_direct_do(&shm->direct, c);
}

static enum hca_answer carry(struct hca_shm *shm, struct hca_carried *c, struct hca_reply *r)
{
	enum hca_answer answer;

	if (hca_unlikely(is_for_group(&c->msg)))
		return shm_group_send(shm, c, r);
	if (c->msg.dlid == shm->node.number)
		return shm->client_ops->message(shm->client, c, r);
	if (c->right == HCA_ACCESS_REMOTE_ATOMIC) {
		if (shm_direct_atomic(&shm->direct, c, &answer))
			return answer;
	} else if (c->right && send_direct(shm, c)) {
		return HCA_ANSWER_ACK;
	}
	return shm_send_to(shm, c->msg.dlid, c);
}

/* One thread at a time runs a queue pair. */
static inline void count(const struct hca_shm *shm, const struct hca_msg *m)
{
	struct hca_fabric_count *n = shm_share_count(&shm->share, m->sqpn);

	if (hca_unlikely(!n))
		return;
	hca_store(&n->bytes, hca_load(&n->bytes) + m->piece);
	if (hca_likely(m->flags & HCA_MSG_LAST))
		hca_store(&n->requests, hca_load(&n->requests) + 1);
}

static enum hca_answer shm_send(struct hca_wire *wire, struct hca_carried *c, struct hca_reply *r)
{
	struct hca_shm *shm = to_shm(wire);
	enum hca_answer answer;

	if (hca_unlikely(shm->child))
		return HCA_ANSWER_NONE;
	answer = carry(shm, c, r);
	if (hca_likely(answer == HCA_ANSWER_ACK || answer == HCA_ANSWER_PENDING))
		count(shm, &c->msg);
	return answer;
}

struct hca_fabric_count *hca_shm_count(struct hca_shm *shm, u32 qpn)
{
	return hca_unlikely(shm->child) ? NULL : shm_share_count(&shm->share, qpn);
}

/* --- what others may know --- */

static void tell_qp(struct hca_wire *wire, u32 lid, const struct hca_wire_qp *qp)
{
	(void)lid;
	if (!to_shm(wire)->child)
		shm_share_qp(&to_shm(wire)->share, qp);
}

static void make_room(struct hca_wire *wire, u32 lid, u32 key)
{
	(void)lid;
	if (!to_shm(wire)->child)
		shm_share_room(&to_shm(wire)->share, key);
}

static void tell_key(struct hca_wire *wire, u32 lid, u32 key, const struct hca_wire_key *k)
{
	(void)lid;
	if (!to_shm(wire)->child)
		shm_share_key(&to_shm(wire)->share, key, k);
}

static void wait_for_others(struct hca_wire *wire, u32 lid, u32 peer)
{
	(void)lid;
	if (!to_shm(wire)->child)
		shm_direct_settle(&to_shm(wire)->direct, peer);
}

static void withdraw(struct hca_wire *wire)
{
	if (!to_shm(wire)->child)
		hca_fetch_add(&to_shm(wire)->node.head->epoch, 1u);
}

static const struct hca_wire_share share_ops = {
	.qp = tell_qp,
	.room = make_room,
	.key = tell_key,
	.settle = wait_for_others,
};

static const struct hca_wire_ops global_ops = {
	.caps = HCA_WIRE_MESSAGES | HCA_WIRE_LATER,
	.attach = shm_attach,
	.detach = shm_detach,
	.send = shm_send,
	.answer = shm_answer,
	.withdraw = withdraw,
	.share = &share_ops,
};

static const struct hca_wire_ops lid_ops = {
	.caps = HCA_WIRE_MESSAGES | HCA_WIRE_LATER | HCA_WIRE_LIDS,
	.attach = shm_attach,
	.detach = shm_detach,
	.send = shm_send,
	.answer = shm_answer,
	.withdraw = withdraw,
	.share = &share_ops,
};

struct hca_wire *hca_shm_wire(struct hca_shm *shm)
{
	return &shm->wire;
}

struct hca_eq *hca_shm_eq(struct hca_shm *shm)
{
	return &shm->eq;
}

u32 hca_shm_number(const struct hca_shm *shm)
{
	return shm->node.number;
}

bool hca_shm_is_ours(const struct hca_shm *shm)
{
	return !shm->child;
}

int hca_shm_dir(const struct hca_shm *shm)
{
	int fd = shm->child ? -1 : fcntl(shm->dir, F_DUPFD_CLOEXEC, 0);

	return shm->child ? -ESRCH : fd < 0 ? -errno : fd;
}

u64 hca_shm_stamp(const struct hca_shm *shm, u32 node)
{
	if (shm->child)
		return 0;
	return node == shm->node.number ? hca_load(&shm->node.head->stamp) : shm_node_stamp(shm->dir, node);
}

int hca_shm_device(const struct hca_shm *shm, u32 node)
{
	const struct shm_peer *p;
	u32 device;

	if (node == shm->node.number)
		return (int)shm->cfg.device;
	p = node < HCA_FABRIC_NODES ? hca_load_acquire(&shm->peer[node]) : NULL;
	device = p ? hca_load(&p->device) : 0;
	return device ? (int)device - 1 : -ESRCH;
}

int hca_shm_watch(struct hca_shm *shm, u32 node, u64 *stamp)
{
	struct shm_peer *p;
	u64 own = 0;
	int err;

	if (shm->child)
		return -ESRCH;
	stamp = stamp ? stamp : &own;
	*stamp = 0;
	if (node == shm->node.number)
		return 0;
	p = shm_peer_get(shm, node);
	if (!p)
		return node - 1 < LAST_NODE ? -ENOMEM : -ESRCH;
	err = shm_peer_watch(shm, p, stamp);
	if (!err)
		shm_direct_meet(&shm->direct, node);
	return err;
}

/* --- beginning and end --- */

static bool good_bytes(u32 bytes)
{
	return bytes >= HCA_FABRIC_LANE_MIN && bytes <= HCA_FABRIC_LANE_MAX && !(bytes & (bytes - 1));
}

static int settle_config(struct hca_shm_config *cfg)
{
	if (!cfg->request_bytes)
		cfg->request_bytes = HCA_SHM_REQUEST_BYTES;
	if (!cfg->reply_bytes)
		cfg->reply_bytes = HCA_SHM_REPLY_BYTES;
	if (!cfg->max_node)
		cfg->max_node = LAST_NODE;
	if (!cfg->gids) {
		hca_wire_gid(&cfg->gid[0], 1);
		cfg->gids = 1;
	}
	return good_bytes(cfg->request_bytes) && good_bytes(cfg->reply_bytes) && cfg->max_node <= LAST_NODE &&
			       cfg->gids <= HCA_WIRE_GIDS && cfg->device < HCA_FABRIC_DEVICES ?
		       0 :
		       -EINVAL;
}

static int start_sharing(struct hca_shm *shm)
{
	int err = shm_share_init(&shm->share, shm->node.head, shm->node.fd, SHM_SHARE_KEYS);

	if (err) {
		hca_log(HCA_LOG_ERR, "fabric: no room for a node's tables: %s%s", strerror(-err), shm_remedy(err));
		return err;
	}
	err = shm_direct_init(&shm->direct, shm->node.head, shm->dir, shm->cfg.no_direct, shm->cfg.memory);
	if (err)
		shm_share_fini(&shm->share, false);
	else if (shm->cfg.any_tracer)
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	return err;
}

static void end_sharing(struct hca_shm *shm)
{
	shm_direct_fini(&shm->direct, shm->child);
	shm_share_fini(&shm->share, shm->child);
}

static int start(struct hca_shm *shm)
{
	int err = shm_dir_open(shm->cfg.dir, &shm->dir);

	if (err)
		return err;
	shm->cfg.dir = NULL; /* the caller's */
	shm_dir_clean(shm->dir);
	err = shm_node_create(shm->dir, shm->cfg.max_node, &shm->node);
	if (err)
		goto close_dir;
	shm->node.head->device = shm->cfg.device;
	err = start_sharing(shm);
	if (err)
		goto remove;
	err = hca_eq_init(&shm->eq);
	if (err)
		goto end_sharing;
	err = shm_progress_start(shm);
	if (err)
		goto fini_eq;
	add_to_all(shm);
	shm_node_ready(&shm->node);
	shm_group_learn(shm);
	return 0;
fini_eq:
	hca_eq_fini(&shm->eq);
end_sharing:
	end_sharing(shm);
remove:
	shm_node_remove(shm->dir, &shm->node);
close_dir:
	close(shm->dir);
	return err;
}

int hca_shm_open(struct hca_shm **out, const struct hca_shm_config *cfg)
{
	struct hca_shm *shm = hca_alloc(sizeof(*shm), HCA_MAY_SLEEP);
	int err;

	if (!shm)
		return -ENOMEM;
	shm->cfg = *cfg;
	shm->epoll = shm->event = -1;
	shm->wire.ops = cfg->lids ? &lid_ops : &global_ops;
	pthread_mutex_init(&shm->connecting, NULL);
	err = settle_config(&shm->cfg);
	shm->read_bytes = hca_alloc(HCA_PIECE, HCA_MAY_SLEEP);
	if (!err)
		err = shm->read_bytes ? start(shm) : -ENOMEM;
	if (err) {
		hca_free(shm->read_bytes);
		pthread_mutex_destroy(&shm->connecting);
		hca_free(shm);
		return err;
	}
	*out = shm;
	return 0;
}

void hca_shm_close(struct hca_shm *shm)
{
	take_from_all(shm);
	if (shm->child) {
		shm_peers_leave(shm);
		end_sharing(shm);
		shm_node_unmap(&shm->node);
	} else {
		shm_progress_stop(shm);
		hca_store_release(&shm->node.head->magic, 0u);
		shm_peers_leave(shm);
		end_sharing(shm);
		shm_node_remove(shm->dir, &shm->node);
		close(shm->dir);
	}
	hca_eq_fini(&shm->eq);
	hca_free(shm->read_bytes);
	hca_free(shm);
}
