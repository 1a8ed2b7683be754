/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What moves while the program doesn't call us. The helper sleeps on the node's bell
 * and takes in what arrives; while the program polls by itself it stays away, and looks
 * after it now and then. The watcher waits for the end of other nodes' processes. Both
 * take no signals, and neither runs when nothing happens.
 */
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "wire/shm/internal.h"

/* Polls in a row, without a word that the program sleeps, before it takes over from the helper. */
#define STREAK 64u
/* How long the helper stays away before it looks. */
#define AWAY_NS 2000000l
/* If the last entry came this soon after the helper fell asleep, it looks for the next one as long before it sleeps. */
#define SOON_NS 50000ull
/* Between two looks somebody else had the CPU this long: then it is needed, and the helper doesn't look on for a while. */
#define LOST_NS 20000ull
#define BUSY_NS 10000000ull
#define STACK_BYTES ((size_t)256 << 10)
#define EVENTS 16

static void futex_wait(u32 *word, u32 value, long ns)
{
	/* The kernel's own layout, whatever libc's time_t is. */
	const struct {
		long sec;
		long nsec;
	} ts = { 0, ns };

	syscall(SYS_futex, word, FUTEX_WAIT, value, ns ? &ts : NULL, NULL, 0);
}

static void futex_wake(u32 *word)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	errno = saved;
}

/* --- the program's side --- */

static void take_over(struct hca_shm *shm)
{
	if (hca_fetch_add(&shm->streak, 1u) < STREAK)
		return;
	hca_store(&shm->streak, 0u);
	hca_store(&shm->away, 1u);
	hca_store(&shm->node.head->sleeping, 0u);
	hca_fetch_add(&shm->node.head->bell, 1u);
	shm_node_wake(shm->node.head);
}

u32 hca_shm_poll(struct hca_shm *shm)
{
	bool busy;

	if (hca_unlikely(shm->child))
		return 0;
	hca_store(&shm->polls, hca_load(&shm->polls) + 1);
	if (hca_unlikely(hca_load(&shm->node.head->sleeping)))
		take_over(shm);
	if (hca_likely(!hca_load(&shm->node.head->summary)))
		return 0;
	return hca_load(&shm->away) ? shm_take_polled(shm) : shm_take(shm, &busy);
}

void hca_shm_arm(struct hca_shm *shm)
{
	if (hca_unlikely(shm->child))
		return;
	hca_store(&shm->streak, 0u);
	hca_store(&shm->armed, 1u);
	hca_mb(); /* pairs with that of stay_away() */
	if (!hca_load(&shm->away))
		return;
	hca_fetch_add(&shm->kick, 1u);
	futex_wake(&shm->kick);
}

/* --- the helper --- */

/* The program polled when it was last looked at. */
static void stay_away(struct hca_shm *shm)
{
	u32 polls = hca_load(&shm->polls), kick = hca_load(&shm->kick);

	hca_store(&shm->node.head->sleeping, 0u);
	hca_mb();
	if (!hca_load(&shm->armed) && !hca_load(&shm->stop))
		futex_wait(&shm->kick, kick, AWAY_NS);
	if (hca_load(&shm->armed) || hca_load(&shm->polls) == polls)
		hca_store(&shm->away, 0u);
}

/*
 * struct nap - what the helper knows of its last sleep
 * @soon: it was short, or wasn't needed
 * @polls: what the program had polled then, or when it armed
 * @busy_until: others need the CPU until then
 */
struct nap {
	u64 busy_until;
	u32 polls;
	bool soon;
};

static bool awaits(const struct hca_shm *shm)
{
	const struct hca_fabric_node *node = shm->node.head;

	return !hca_load(&node->summary) && !hca_load(&node->ended) && !hca_load(&shm->stop) && !hca_load(&shm->away);
}

/*
 * Wait for the next entry without sleeping. To wake a thread takes its sender longer than to write the entry, and takes effect later than
 * most answers come. A program that polls needs no helper: then it ends, so that the program takes over.
 * Return: there is something to do
 */
static bool look_on(struct hca_shm *shm, struct nap *nap)
{
	u64 began = hca_now_ns(), before = began, now;

	nap->soon = false;
	if (began < nap->busy_until)
		return false;
	if (hca_load(&shm->armed)) {
		hca_store(&shm->armed, 0u);
		nap->polls = hca_load(&shm->polls);
	}
	while (awaits(shm)) {
		hca_pause();
		now = hca_now_ns();
		if (now - before > LOST_NS)
			nap->busy_until = now + BUSY_NS;
		if (now < nap->busy_until || now - began > SOON_NS || hca_load(&shm->polls) - nap->polls > STREAK)
			return false;
		before = now;
	}
	nap->soon = true;
	return true;
}

static void sleep_on_bell(struct hca_shm *shm, struct nap *nap)
{
	struct hca_fabric_node *node = shm->node.head;
	u32 bell = hca_load_acquire(&node->bell);
	u64 began;

	if (nap->soon && look_on(shm, nap))
		return;
	if (hca_load(&shm->stop) || hca_load(&shm->away))
		return;
	hca_store(&shm->armed, 0u);
	hca_store(&node->sleeping, 1u);
	hca_mb(); /* pairs with those of shm_node_tell() */
	if (awaits(shm)) {
		began = hca_now_ns();
		futex_wait(&node->bell, bell, 0);
		nap->soon = hca_now_ns() - began < SOON_NS;
		nap->polls = hca_load(&shm->polls);
	}
	hca_store(&node->sleeping, 0u);
}

static void *help(void *arg)
{
	struct hca_shm *shm = arg;
	struct nap nap = { 0 };
	u32 turns = 0;
	bool busy;

	shm_alive_hold(&shm->alive, &shm->node.head->alive);
	while (!hca_load_acquire(&shm->stop)) {
		if (hca_unlikely(hca_load(&shm->node.head->ended))) {
			hca_store(&shm->node.head->ended, 0u);
			hca_mb(); /* a key that ends from here on is announced again */
			shm_direct_ended(&shm->direct);
		}
		if (hca_load_acquire(&shm->away)) {
			stay_away(shm);
			continue;
		}
		if (!hca_load(&shm->node.head->summary))
			sleep_on_bell(shm, &nap);
		busy = false;
		if (hca_load(&shm->node.head->summary) && !hca_load(&shm->away))
			shm_take(shm, &busy);
		/* Another thread is at it, and will be for a moment. */
		if (busy)
			hca_relax(&turns);
		else
			turns = 0;
	}
	return NULL;
}

/* --- the watcher --- */

/* What epoll tells of: a node by its number, 0 for the watcher itself, and the caller's descriptor. */
#define CALLERS HCA_FABRIC_NODES

static void end_of(struct hca_shm *shm, struct shm_peer *p)
{
	bool was_there = false, wanted;
	u64 stamp = 0;

	shm_take_begin(shm);
	wanted = hca_load(&p->blocked);
	/* Unless it was dropped by now: then this is another node of its number. */
	if (hca_load(&p->gone)) {
		shm_take_last(shm, p);
		was_there = shm_peer_drop(shm, p, &stamp);
	}
	if (wanted && shm->client_ops)
		shm->client_ops->ready(shm->client);
	shm_take_end(shm);
	if (!was_there) {
		hca_eq_run(&shm->eq);
		return;
	}
	shm_dir_bury(shm->dir, p->number, shm->node.number);
	shm_group_forget(shm, p->number);
	hca_log(HCA_LOG_INFO, "fabric: node %u has ended", p->number);
	if (shm->cfg.died)
		shm->cfg.died(shm->cfg.ctx, p->number, stamp);
	hca_eq_run(&shm->eq);
	shm_peer_again(shm, p);
	/* Another process may have taken its number and have written to us by now: its ring wasn't looked for, as this one's was there. */
	if (shm_node_tell(shm->node.head, p->number))
		shm_node_wake(shm->node.head);
}

static void look_at_all(struct hca_shm *shm)
{
	u64 drained;
	u32 i;

	(void)!read(shm->event, &drained, sizeof(drained));
	for (i = 1; i < HCA_FABRIC_NODES; i++) {
		struct shm_peer *p = hca_load_acquire(&shm->peer[i]);

		if (p && hca_load_acquire(&p->gone) && !hca_load(&shm->stop))
			end_of(shm, p);
	}
}

static void *watch(void *arg)
{
	struct epoll_event events[EVENTS];
	struct hca_shm *shm = arg;
	int i, n;

	while (!hca_load_acquire(&shm->stop)) {
		n = epoll_wait(shm->epoll, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			struct shm_peer *p;

			if (events[i].data.u32 == CALLERS) {
				shm->cfg.readable(shm->cfg.ctx);
				continue;
			}
			p = events[i].data.u32 ? shm->peer[events[i].data.u32] : NULL;
			/* The descriptor stays until the peer is dropped: it would be told of again and again. */
			if (p)
				hca_store(&p->gone, 1u);
		}
		if (n > 0)
			look_at_all(shm);
	}
	return NULL;
}

/* --- threads --- */

/* The program's signals are for the program's threads. */
static int spawn(pthread_t *thread, void *(*fn)(void *arg), void *arg, const char *name)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	err = pthread_attr_setstacksize(&attr, STACK_BYTES);
	if (!err)
		err = pthread_create(thread, &attr, fn, arg);
	if (err == EINVAL) /* a program with much thread-local storage */
		err = pthread_create(thread, NULL, fn, arg);
	pthread_attr_destroy(&attr);
	if (!err)
		pthread_setname_np(*thread, name);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

static int make_descriptors(struct hca_shm *shm)
{
	struct epoll_event e = { .events = EPOLLIN }, callers = { .events = EPOLLIN, .data.u32 = CALLERS };
	int err;

	shm->epoll = epoll_create1(EPOLL_CLOEXEC);
	shm->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (shm->epoll >= 0 && shm->event >= 0 && !epoll_ctl(shm->epoll, EPOLL_CTL_ADD, shm->event, &e) &&
	    (!shm->cfg.readable || !epoll_ctl(shm->epoll, EPOLL_CTL_ADD, shm->cfg.fd, &callers)))
		return 0;
	err = -errno;
	hca_log(HCA_LOG_ERR, "fabric: no descriptors to watch others by: %s", strerror(-err));
	return err;
}

static void close_descriptors(struct hca_shm *shm)
{
	if (shm->epoll >= 0)
		close(shm->epoll);
	if (shm->event >= 0)
		close(shm->event);
	shm->epoll = shm->event = -1;
}

int shm_progress_start(struct hca_shm *shm)
{
	int err = make_descriptors(shm);

	if (err) {
		close_descriptors(shm);
		return err;
	}
	err = spawn(&shm->helper, help, shm, "softhca-shm");
	shm->has_helper = !err;
	if (!err)
		err = spawn(&shm->watcher, watch, shm, "softhca-watch");
	shm->has_watcher = shm->has_helper && !err;
	if (err) {
		hca_log(HCA_LOG_ERR, "fabric: can't start a thread: %s", strerror(-err));
		shm_progress_stop(shm);
	}
	return err;
}

void shm_progress_stop(struct hca_shm *shm)
{
	hca_store_release(&shm->stop, 1u);
	if (shm->has_helper) {
		hca_fetch_add(&shm->node.head->bell, 1u);
		shm_node_wake(shm->node.head);
		hca_fetch_add(&shm->kick, 1u);
		futex_wake(&shm->kick);
		pthread_join(shm->helper, NULL);
	}
	if (shm->has_watcher) {
		shm_peers_look(shm);
		pthread_join(shm->watcher, NULL);
	}
	shm->has_helper = shm->has_watcher = false;
	close_descriptors(shm);
}

void shm_progress_child(struct hca_shm *shm)
{
	shm->has_helper = shm->has_watcher = false;
	close_descriptors(shm);
}
