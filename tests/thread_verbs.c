/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Real threads on the verbs: completion queues that workers and events poll, done() handlers that post from inside,
 * connections of several threads over the same two devices; draining, freeing and resizing while all that goes on.
 * Nothing is lost, told twice, or told after its end. The thread sanitizer looks on.
 */
#include <pthread.h>
#include <sched.h>

#include "verbs_fixture.h"

#include "os.h"

#define MOST_THREADS 4
#define PAIRS 2 /* of each thread */
#define WINDOW 8u
#define PATIENCE_NS (60ull * 1000000000)

static struct end a, b;
static u32 failures; /* atomic: cmocka's asserts belong to the main thread */

#define CHECK(c) \
	do { \
		if (!(c)) { \
			if (!hca_fetch_add(&failures, 1)) \
				print_message("# %s:%d: %s\n", __FILE__, __LINE__, #c); \
		} \
	} while (0)

static const enum ib_poll_context contexts[] = { IB_POLL_SOFTIRQ, IB_POLL_WORKQUEUE, IB_POLL_UNBOUND_WORKQUEUE };

/* --- connections --- */

struct side;

struct request {
	struct ib_cqe cqe;
	struct side *side;
};

/* One end of a connection. What done() counts is atomic. */
struct side {
	struct end *e;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct request recv[WINDOW], send[WINDOW];
	u32 received, sent, flushed;
	u32 posted; /* sends that were taken */
	u32 recvs; /* receives that were */
	u32 want; /* messages to begin; of a server 0 */
	u32 quiet; /* its end has come: nothing is told any more */
	enum manners { ASKS, IS_FLOODED, JUST_COUNTS } manners; /* what its done() does */
	u32 room; /* sends that may be posted */
};

struct pair {
	struct side client, server;
};

static struct pair pairs[MOST_THREADS * PAIRS];

static bool post_recv(struct request *r)
{
	struct ib_recv_wr wr = { .wr_cqe = &r->cqe };
	int err = ib_post_recv(r->side->qp, &wr, NULL);

	CHECK(!err);
	if (!err)
		hca_fetch_add(&r->side->recvs, 1);
	return !err;
}

static void post_send(struct side *s, u32 n)
{
	struct ib_send_wr wr = { .wr_cqe = &s->send[n % WINDOW].cqe, .opcode = IB_WR_SEND };
	int err = ib_post_send(s->qp, &wr, NULL);

	CHECK(!err);
	if (!err)
		hca_fetch_add(&s->posted, 1);
}

static void on_sent(struct ib_cq *cq, struct ib_wc *wc)
{
	struct side *s = hca_container_of(wc->wr_cqe, struct request, cqe)->side;

	CHECK(cq == s->cq && !hca_load(&s->quiet));
	/* A sender that floods meets a peer that is gone. */
	if (wc->status && s->manners == ASKS)
		CHECK(wc->status == IB_WC_WR_FLUSH_ERR);
	hca_fetch_add(&s->room, 1);
	hca_fetch_add(&s->sent, 1);
}

/* A server answers; a client asks again, until it has asked often enough. */
static void on_received(struct ib_cq *cq, struct ib_wc *wc)
{
	struct request *r = hca_container_of(wc->wr_cqe, struct request, cqe);
	struct side *s = r->side;
	u32 n;

	CHECK(cq == s->cq && !hca_load(&s->quiet));
	if (wc->status) {
		CHECK(wc->status == IB_WC_WR_FLUSH_ERR);
		hca_fetch_add(&s->flushed, 1);
		return;
	}
	if (s->manners != JUST_COUNTS)
		post_recv(r);
	n = hca_fetch_add(&s->received, 1);
	if (s->manners != ASKS)
		return;
	if (!s->want || n + WINDOW / 2 < s->want)
		post_send(s, n);
}

static void make_side(struct side *s, struct end *e, enum manners manners, enum ib_poll_context ctx)
{
	struct ib_qp_init_attr qa = {
		.cap = { .max_send_wr = 2 * WINDOW, .max_recv_wr = 2 * WINDOW, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_RC,
	};
	u32 i;

	memset(s, 0, sizeof(*s));
	s->e = e;
	s->manners = manners;
	s->room = WINDOW;
	s->cq = ib_alloc_cq(e->dev, s, 8 * WINDOW, 0, ctx);
	assert_false(IS_ERR(s->cq));
	qa.send_cq = qa.recv_cq = s->cq;
	s->qp = ib_create_qp(e->pd, &qa);
	assert_false(IS_ERR(s->qp));
	for (i = 0; i < WINDOW; i++) {
		s->recv[i] = (struct request){ .cqe.done = on_received, .side = s };
		s->send[i] = (struct request){ .cqe.done = on_sent, .side = s };
	}
}

/* A receiver whose workers are late is waited for. */
static void connect_for_ever(struct ib_qp *qp, u32 lid, u32 qpn)
{
	struct ib_qp_attr at = { .rnr_retry = 7 };

	vk_connect(qp, lid, qpn);
	vk_modify(qp, &at, IB_QPS_SQD, 0);
	assert_int_equal(ib_modify_qp(qp, &at, IB_QP_RNR_RETRY), 0);
	vk_modify(qp, &at, IB_QPS_RTS, 0);
}

static void make_pair(struct pair *p, enum ib_poll_context ctx, enum manners manners, u32 want)
{
	u32 i;

	make_side(&p->client, &a, manners, ctx);
	make_side(&p->server, &b, manners, ctx);
	p->client.want = want;
	connect_for_ever(p->client.qp, vk_lid(&b), p->server.qp->qp_num);
	connect_for_ever(p->server.qp, vk_lid(&a), p->client.qp->qp_num);
	for (i = 0; i < WINDOW; i++) {
		post_recv(&p->client.recv[i]);
		post_recv(&p->server.recv[i]);
	}
}

/* After a drain everything was told, once. */
static void end_side(struct side *s)
{
	ib_drain_qp(s->qp);
	ib_drain_qp(s->qp); /* what a done() posted while the first was waited for */
	assert_int_equal(hca_load(&s->sent), hca_load(&s->posted));
	assert_int_equal(hca_load(&s->received) + hca_load(&s->flushed), hca_load(&s->recvs));
	assert_int_equal(ib_destroy_qp(s->qp), 0);
	hca_store(&s->quiet, 1u);
	ib_free_cq(s->cq);
}

static void open_devices(void)
{
	const struct ib_dma_config none = { .ledger = false };

	hca_store(&failures, 0u);
	assert_int_equal(vk_device_with(&a, true, MACHINE_DIRECT, &none), 0);
	assert_int_equal(vk_device_with(&b, false, MACHINE_IOMMU, &none), 0);
	vk_objects(&a, IB_QPT_RC, NULL);
	vk_objects(&b, IB_QPT_RC, NULL);
}

static void close_devices(void)
{
	vk_close(&a, &b);
	assert_int_equal(hca_load(&failures), 0);
}

static bool until(u32 *count, u32 want)
{
	u64 end = hca_now_ns() + PATIENCE_NS;

	while (hca_load_acquire(count) < want) {
		if (hca_now_ns() > end)
			return false;
		sched_yield();
	}
	return true;
}

static void with_threads(void *(*fn)(void *), u32 n, void (*meanwhile)(u32 n))
{
	pthread_t t[MOST_THREADS];
	u32 i;

	for (i = 0; i < n; i++)
		assert_int_equal(pthread_create(&t[i], NULL, fn, &pairs[(size_t)i * PAIRS]), 0);
	if (meanwhile)
		meanwhile(n);
	for (i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* --- questions and answers --- */

#define ROUNDS 400u

/* Half a window of questions is under way on each connection: answers come from inside of done(). */
static void *asks(void *arg)
{
	struct pair *p = arg;
	u32 i, k;

	for (i = 0; i < PAIRS; i++)
		for (k = 0; k < WINDOW / 2; k++)
			post_send(&p[i].client, ROUNDS + k);
	for (i = 0; i < PAIRS; i++)
		CHECK(until(&p[i].client.received, ROUNDS));
	return NULL;
}

static void handlers_post(void **state)
{
	size_t c;
	u32 n, i;

	(void)state;
	for (c = 0; c < HCA_ARRAY_SIZE(contexts); c++) {
		for (n = 2; n <= MOST_THREADS; n += 2) {
			open_devices();
			for (i = 0; i < n * PAIRS; i++)
				make_pair(&pairs[i], contexts[c], ASKS, ROUNDS);
			with_threads(asks, n, NULL);
			for (i = 0; i < n * PAIRS; i++) {
				end_side(&pairs[i].client);
				end_side(&pairs[i].server);
				assert_int_equal(pairs[i].client.received, ROUNDS);
				assert_int_equal(pairs[i].server.received, ROUNDS);
			}
			close_devices();
		}
	}
}

/* --- drained while others post --- */

static u32 stop; /* atomic */

/* Sends as fast as it can, whatever becomes of it. */
static void *floods(void *arg)
{
	struct pair *p = arg;
	u32 i, n = 0;

	for (i = 0; !hca_load(&stop); i = (i + 1) % PAIRS, n++) {
		struct side *s = &p[i].client;

		if (!hca_load(&s->room)) {
			sched_yield();
			continue;
		}
		hca_fetch_add(&s->room, (u32)-1);
		post_send(s, n);
	}
	return NULL;
}

/* What was posted before the drain is told when it returns; what comes after it too, some time. */
static void drain_all(u32 n)
{
	u32 i;

	for (i = 0; i < n * PAIRS; i++) {
		struct side *c = &pairs[i].client, *s = &pairs[i].server;
		struct side *both[] = { i & 1 ? c : s, i & 1 ? s : c };
		u32 k;

		CHECK(until(&s->received, 50 + 20 * i));
		for (k = 0; k < 2; k++) {
			u32 sends = hca_load_acquire(&both[k]->posted);
			u32 recvs = hca_load_acquire(&both[k]->recvs);

			ib_drain_qp(both[k]->qp);
			CHECK(hca_load(&both[k]->sent) >= sends);
			CHECK(hca_load(&both[k]->received) + hca_load(&both[k]->flushed) >= recvs);
		}
	}
	hca_store(&stop, 1u);
}

static void drains_under_load(void **state)
{
	size_t c;
	u32 n, i;

	(void)state;
	for (c = 0; c < HCA_ARRAY_SIZE(contexts); c++) {
		for (n = 2; n <= MOST_THREADS; n += 2) {
			open_devices();
			hca_store(&stop, 0u);
			for (i = 0; i < n * PAIRS; i++)
				make_pair(&pairs[i], contexts[c], IS_FLOODED, 0);
			with_threads(floods, n, drain_all);
			for (i = 0; i < n * PAIRS; i++) {
				end_side(&pairs[i].client);
				end_side(&pairs[i].server);
			}
			close_devices();
		}
	}
}

/* --- freed while workers are at it --- */

static void frees_while_told(void **state)
{
	size_t c;
	u32 n, i;

	(void)state;
	open_devices();
	for (c = 0; c < HCA_ARRAY_SIZE(contexts); c++) {
		for (n = 0; n < 150; n++) {
			struct pair *p = &pairs[n % HCA_ARRAY_SIZE(pairs)];

			make_pair(p, contexts[c], JUST_COUNTS, 0);
			for (i = 0; i < WINDOW; i++)
				post_send(&p->client, i);
			for (i = 0; i < n % 8; i++)
				sched_yield();
			assert_int_equal(ib_destroy_qp(p->server.qp), 0);
			assert_int_equal(ib_destroy_qp(p->client.qp), 0);
			ib_free_cq(p->client.cq);
			hca_store(&p->client.quiet, 1u);
			ib_free_cq(p->server.cq);
			hca_store(&p->server.quiet, 1u);
			CHECK(hca_load(&p->server.received) <= WINDOW);
			CHECK(hca_load(&p->client.sent) <= WINDOW);
		}
	}
	close_devices();
}

/* --- resized while completions come --- */

static void resizes(u32 n)
{
	u32 i, round = 0, busy = 1;

	while (busy) {
		busy = 0;
		for (i = 0; i < n * PAIRS; i++) {
			busy |= hca_load(&pairs[i].client.received) < ROUNDS;
			CHECK(!ib_resize_cq(pairs[i].client.cq, (int)(WINDOW * (4 + round % 13))));
			CHECK(!ib_resize_cq(pairs[i].server.cq, (int)(WINDOW * (4 + round % 7))));
			round++;
		}
		busy = busy && !hca_load(&failures);
	}
}

static void resizes_under_way(void **state)
{
	size_t c;
	u32 i;

	(void)state;
	for (c = 0; c < HCA_ARRAY_SIZE(contexts); c++) {
		open_devices();
		for (i = 0; i < 2 * PAIRS; i++)
			make_pair(&pairs[i], contexts[c], ASKS, ROUNDS);
		with_threads(asks, 2, resizes);
		for (i = 0; i < 2 * PAIRS; i++) {
			end_side(&pairs[i].client);
			end_side(&pairs[i].server);
			assert_int_equal(pairs[i].client.received, ROUNDS);
		}
		close_devices();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handlers_post),
		cmocka_unit_test(drains_under_load),
		cmocka_unit_test(frees_while_told),
		cmocka_unit_test(resizes_under_way),
	};

	return cmocka_run_group_tests_name("thread verbs", tests, NULL, NULL);
}
