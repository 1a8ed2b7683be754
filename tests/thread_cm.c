/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The communication manager with real threads and a real clock: connections are made and ended by several threads at
 * once over a wire that loses messages, IDs are destroyed in handlers and outside, and listeners come and go. Each
 * connection comes to an end that its consumer is told of, and nothing is left.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cm/private.h"

#define THREADS 6u
#define CONNECTIONS 150u
#define SERVICE 0x1061f90ull
#define FLEETING (SERVICE + 1) /* whose listener comes and goes */
#define NOBODYS (SERVICE + 2)

struct connection {
	struct hca_completion done;
	bool destroy_in_handler;
	bool gone;
	u32 opened; /* atomic */
};

static struct hca_eq eq;
static struct hca_cm cms[2];
static u32 losses; /* atomic: messages, all of them counted */
static u32 next_qpn; /* atomic */
static u32 passive; /* atomic: IDs of requests that live */
static u32 opened, refused; /* atomic */

/* Every ninth message is lost. */
static void send_mad(struct hca_cm *cm, const struct hca_ah_attr *to, const u8 *mad)
{
	struct hca_ah_attr from = { .dlid = (u16)(cm - cms + 1) };
	u8 copy[HCA_MAD_BYTES];

	if (hca_fetch_add(&losses, 1) % 9 == 8)
		return;
	memcpy(copy, mad, sizeof(copy));
	hca_cm_recv(&cms[to->dlid - 1], &from, copy, sizeof(copy));
}

static const struct hca_cm_ops ops = { .send = send_mad };

static void on_passive(struct hca_cm_id *id, const struct hca_cm_event *event)
{
	switch (event->type) {
	case HCA_CM_EVENT_REQUEST:
		hca_fetch_add(&passive, 1);
		/* Refused if the peer has given up. */
		(void)hca_cm_accept(id, &(const struct hca_cm_msg){ .qpn = 2 + hca_fetch_add(&next_qpn, 1) });
		break;
	case HCA_CM_EVENT_DISCONNECT:
	case HCA_CM_EVENT_REJECTED:
	case HCA_CM_EVENT_UNREACHABLE:
		hca_cm_destroy(id);
		hca_fetch_add(&passive, (u32)-1);
		break;
	default:
		break;
	}
}

static void on_active(struct hca_cm_id *id, const struct hca_cm_event *event)
{
	struct connection *c = id->context;

	switch (event->type) {
	case HCA_CM_EVENT_REPLY:
		hca_store(&c->opened, 1u);
		hca_fetch_add(&opened, 1);
		if (hca_cm_ready(id, NULL, 0) || c->destroy_in_handler || hca_cm_disconnect(id, NULL, 0)) {
			hca_cm_destroy(id);
			c->gone = true;
			hca_complete(&c->done);
		}
		break;
	case HCA_CM_EVENT_REJECTED:
	case HCA_CM_EVENT_UNREACHABLE:
		if (!hca_load(&c->opened))
			hca_fetch_add(&refused, 1);
		hca_complete(&c->done);
		break;
	case HCA_CM_EVENT_DISCONNECT:
	case HCA_CM_EVENT_DISCONNECTED:
		hca_complete(&c->done);
		break;
	default:
		break;
	}
}

static void *connects(void *arg)
{
	const struct hca_ah_attr to = { .dlid = 2 };
	u32 me = (u32)(uintptr_t)arg, i;

	for (i = 0; i < CONNECTIONS; i++) {
		struct connection c = { .destroy_in_handler = i % 3 == 0 };
		const struct hca_cm_msg req = {
			.service_id = i == 1	      ? NOBODYS :
				      i % 5 == me % 5 ? FLEETING :
							SERVICE,
			.qpn = 2 + hca_fetch_add(&next_qpn, 1),
			.path_mtu = HCA_MTU_1024,
			.remote_response_timeout = 8, /* 1 ms */
			.local_response_timeout = 8,
			.max_cm_retries = 15,
			.primary.ack_timeout = 6,
		};
		struct hca_cm_id *id;

		hca_completion_init(&c.done);
		if (hca_cm_create(&cms[0], on_active, &c, &id) || hca_cm_connect(id, &to, &req))
			abort();
		(void)hca_wait(&c.done, ~0ull);
		if (!c.gone)
			hca_cm_destroy(id);
		hca_completion_destroy(&c.done);
	}
	return NULL;
}

static u32 live(struct hca_cm *cm)
{
	hca_irqflags_t flags;
	u32 ids;

	hca_spin_lock(&cm->lock, flags);
	ids = cm->ids;
	hca_spin_unlock(&cm->lock, flags);
	return ids;
}

static u32 enough; /* atomic */

static void *listens(void *arg)
{
	struct hca_cm_id *id;

	(void)arg;
	while (!hca_load(&enough)) {
		if (hca_cm_create(&cms[1], on_passive, NULL, &id) || hca_cm_listen(id, FLEETING, ~0ull, NULL, 0))
			abort();
		sched_yield();
		hca_cm_destroy(id);
	}
	return NULL;
}

static void every_connection_ends(void **state)
{
	pthread_t thread[THREADS], fleeting;
	struct hca_cm_id *listener;
	u32 i;

	(void)state;
	assert_int_equal(hca_eq_init(&eq), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(hca_cm_init(&cms[i], &eq, &ops, 0x100 + i, 0), 0);
	assert_int_equal(hca_cm_create(&cms[1], on_passive, NULL, &listener), 0);
	assert_int_equal(hca_cm_listen(listener, SERVICE, ~0ull, NULL, 0), 0);
	assert_int_equal(pthread_create(&fleeting, NULL, listens, NULL), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, connects, (void *)(uintptr_t)i), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	hca_store(&enough, 1u);
	pthread_join(fleeting, NULL);
	/* Nothing may be under way to a manager that goes: what lives on without a consumer ends first. */
	while (hca_load(&passive) || live(&cms[0]) || live(&cms[1]) > 1)
		sched_yield();
	hca_cm_destroy(listener);
	hca_cm_fini(&cms[0]);
	hca_cm_fini(&cms[1]);
	hca_eq_fini(&eq);
	assert_true(opened > THREADS * CONNECTIONS / 2);
	assert_true(refused >= THREADS);
	assert_int_equal(opened + refused, THREADS * CONNECTIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_connection_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
