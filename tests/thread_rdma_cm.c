/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections by address with real threads: several ULPs connect to one listener at once, whose handlers run in threads of
 * the library; IDs end by their handlers, by their threads, and with events under way; listeners and an adapter come
 * and go meanwhile. Each connection comes to an end that its ULP is told of, and nothing is left.
 */
#include <pthread.h>
#include <sched.h>

#include "verbs_fixture.h"

#include "os.h"
#include "softhca/rdma_cm.h"

#define THREADS 4u
#define CONNECTIONS 100u
#define PORT 4420
#define FLEETING 4421 /* whose listener comes and goes */
#define DESERTED 4422 /* that has none */

static struct end a, b;
static u32 failures; /* atomic: cmocka's asserts belong to the main thread */
static u32 passive; /* atomic: IDs of requests that live */
static u32 opened, refused; /* atomic */
static u32 enough; /* atomic */

#define CHECK(c) \
	do { \
		if (!(c)) { \
			if (!hca_fetch_add(&failures, 1)) \
				print_message("# %s:%d: %s\n", __FILE__, __LINE__, #c); \
		} \
	} while (0)

struct conn {
	struct rdma_cm_id *id;
	struct hca_completion done;
	bool give_up; /* its handler ends it once it is connected */
	bool gone;
	bool open;
};

static struct sockaddr_in ip(u32 last, u16 port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(0x0a000000 + last) };
}

static int make_qp(struct rdma_cm_id *id)
{
	struct end *e = id->device == a.dev ? &a : &b;
	struct ib_qp_init_attr qa = {
		.send_cq = e->cq,
		.recv_cq = e->cq,
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IB_QPT_RC,
	};

	return rdma_create_qp(id, e->pd, &qa);
}

static int end_passive(struct rdma_cm_id *id)
{
	rdma_destroy_qp(id);
	hca_fetch_add(&passive, (u32)-1);
	return 1;
}

static int told; /* its address is the context of IDs whose handler was told of the request, and has returned */

static int on_passive(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct rdma_conn_param p = { 0 };
	u32 i;

	CHECK(id->context == (event->event == RDMA_CM_EVENT_CONNECT_REQUEST ? NULL : &told));
	switch (event->event) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		hca_fetch_add(&passive, 1);
		CHECK(!make_qp(id));
		/* Refused if the peer has given up. */
		(void)rdma_accept(id, &p);
		/* Others may go on meanwhile. */
		for (i = 0; i < 20; i++)
			sched_yield();
		id->context = &told;
		return 0;
	case RDMA_CM_EVENT_DISCONNECTED:
		(void)rdma_disconnect(id);
		return end_passive(id);
	case RDMA_CM_EVENT_REJECTED:
	case RDMA_CM_EVENT_UNREACHABLE:
		return end_passive(id);
	default:
		return 0;
	}
}

static int on_active(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct rdma_conn_param p = { .retry_count = 7, .rnr_retry_count = 7 };
	struct conn *c = id->context;

	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		CHECK(!make_qp(id));
		CHECK(!rdma_resolve_route(id, 1000));
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		CHECK(!rdma_connect_locked(id, &p));
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		hca_fetch_add(&opened, 1);
		c->open = true;
		if (c->give_up) {
			rdma_destroy_qp(id);
			c->gone = true;
			hca_complete(&c->done);
			return 1;
		}
		CHECK(!rdma_disconnect(id));
		break;
	case RDMA_CM_EVENT_REJECTED:
		if (!c->open)
			hca_fetch_add(&refused, 1);
		hca_complete(&c->done);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		CHECK(!event->status);
		hca_complete(&c->done);
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		break;
	default:
		CHECK(!"an event that doesn't come here");
		hca_complete(&c->done);
	}
	return 0;
}

static struct rdma_cm_id *create(rdma_cm_event_handler handler, void *context)
{
	struct rdma_cm_id *id = rdma_create_id(&init_net, handler, context, RDMA_PS_TCP, IB_QPT_RC);

	CHECK(!IS_ERR(id));
	return id;
}

static struct rdma_cm_id *listen_to(u16 port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct rdma_cm_id *id = create(on_passive, NULL);

	CHECK(!rdma_bind_addr(id, (struct sockaddr *)&any));
	CHECK(!rdma_listen(id, 0));
	return id;
}

static int on_early(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct conn *c = id->context;

	CHECK(event->event == RDMA_CM_EVENT_ADDR_RESOLVED);
	CHECK(!c->gone);
	return 0;
}

/* Its event is on the way. */
static void ends_early(void)
{
	struct sockaddr_in dst = ip(2, PORT);
	struct conn c = { .id = create(on_early, &c) };

	CHECK(!rdma_resolve_addr(c.id, NULL, (struct sockaddr *)&dst, 1000));
	rdma_destroy_id(c.id);
	c.gone = true;
}

static void *connects(void *arg)
{
	u32 me = (u32)(uintptr_t)arg, i;

	for (i = 0; i < CONNECTIONS; i++) {
		struct conn c = { .give_up = i % 3 == 0 };
		struct sockaddr_in src = ip(1, 0);
		u16 port = i % 11 == 3 ? DESERTED : i % 5 == me % 5 ? FLEETING : PORT;
		struct sockaddr_in dst = ip(1 + (i & 1), port);

		if (i % 7 == 0)
			ends_early();
		hca_completion_init(&c.done);
		c.id = create(on_active, &c);
		CHECK(!rdma_resolve_addr(c.id, (struct sockaddr *)&src, (struct sockaddr *)&dst, 1000));
		(void)hca_wait(&c.done, ~0ull);
		if (!c.gone) {
			rdma_destroy_qp(c.id);
			rdma_destroy_id(c.id);
		}
		hca_completion_destroy(&c.done);
	}
	return NULL;
}

static void *listens(void *arg)
{
	(void)arg;
	while (!hca_load(&enough)) {
		struct rdma_cm_id *id = listen_to(FLEETING);

		sched_yield();
		rdma_destroy_id(id);
	}
	return NULL;
}

static int on_removal(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	(void)id;
	CHECK(event->event == RDMA_CM_EVENT_DEVICE_REMOVAL);
	return 1;
}

/* An adapter that comes, is listened to, and goes with an ID on it. */
static void *comes_and_goes(void *arg)
{
	struct sockaddr_in mine = ip(3, 0);
	struct end c;

	(void)arg;
	while (!hca_load(&enough)) {
		struct rdma_cm_id *id;

		CHECK(!vk_device(&c, true, MACHINE_DIRECT));
		CHECK(!softhca_addr_add(c.dev, (struct sockaddr *)&mine));
		id = create(on_removal, NULL);
		CHECK(!rdma_bind_addr(id, (struct sockaddr *)&mine));
		CHECK(!vk_device_gone(&c));
	}
	return NULL;
}

/* A request that is answered later, and whose peer leaves before. */
static struct rdma_cm_id *late;
static struct hca_completion asked, left;

static int on_late(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST) {
		late = id;
		hca_complete(&asked);
	} else if (event->event == RDMA_CM_EVENT_REJECTED) {
		hca_complete(&left);
	}
	return 0;
}

static int on_leaving(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct rdma_conn_param p = { .retry_count = 7 };

	if (event->event == RDMA_CM_EVENT_ADDR_RESOLVED) {
		CHECK(!make_qp(id));
		CHECK(!rdma_resolve_route(id, 1000));
	} else if (event->event == RDMA_CM_EVENT_ROUTE_RESOLVED) {
		CHECK(!rdma_connect_locked(id, &p));
	}
	return 0;
}

/* The worker that tells of the end looks for the queue pair that is just being made. */
static void peers_that_leave(struct rdma_cm_id *listener)
{
	struct sockaddr_in src = ip(1, 0), dst = ip(2, PORT);
	struct rdma_cm_id *id;
	u32 i;

	listener->event_handler = on_late;
	for (i = 0; i < CONNECTIONS; i++) {
		hca_completion_init(&asked);
		hca_completion_init(&left);
		id = create(on_leaving, NULL);
		CHECK(!rdma_resolve_addr(id, (struct sockaddr *)&src, (struct sockaddr *)&dst, 1000));
		(void)hca_wait(&asked, ~0ull);
		rdma_destroy_qp(id);
		rdma_destroy_id(id);
		CHECK(!make_qp(late));
		(void)hca_wait(&left, ~0ull);
		rdma_destroy_qp(late);
		rdma_destroy_id(late);
		hca_completion_destroy(&asked);
		hca_completion_destroy(&left);
	}
}

static void connections_of_many_threads(void **state)
{
	void *(*const fns[])(void *) = { listens, comes_and_goes };
	pthread_t thread[THREADS], other[HCA_ARRAY_SIZE(fns)];
	struct sockaddr_in one = ip(1, 0), two = ip(2, 0);
	struct rdma_cm_id *listener;
	u32 i, turns = 0;

	(void)state;
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	assert_int_equal(vk_device(&b, false, MACHINE_IOMMU), 0);
	vk_objects(&a, IB_QPT_RC, NULL);
	vk_objects(&b, IB_QPT_RC, NULL);
	assert_int_equal(softhca_addr_add(a.dev, (struct sockaddr *)&one), 0);
	assert_int_equal(softhca_addr_add(b.dev, (struct sockaddr *)&two), 0);
	listener = listen_to(PORT);
	for (i = 0; i < HCA_ARRAY_SIZE(fns); i++)
		assert_int_equal(pthread_create(&other[i], NULL, fns[i], NULL), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, connects, (void *)(uintptr_t)i), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	hca_store(&enough, 1u);
	for (i = 0; i < HCA_ARRAY_SIZE(fns); i++)
		pthread_join(other[i], NULL);
	while (hca_load(&passive))
		hca_relax(&turns);
	peers_that_leave(listener);
	rdma_destroy_id(listener);
	assert_int_equal(opened + refused, THREADS * CONNECTIONS);
	assert_in_range(refused, THREADS * (CONNECTIONS / 11), THREADS * CONNECTIONS / 2);
	vk_close(&a, &b);
	assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_of_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
