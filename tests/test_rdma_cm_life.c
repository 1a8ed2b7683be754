/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How connections by IP address end: by one side, by both, by a handler, with events under way, by the adapter's end, at
 * any moment by seed; many of them, more than a listener takes, and with memory that is short. Nothing is left.
 */
#include "rdma_cm_fixture.h"

#include "why_fixture.h"

/* --- ends --- */

static void both_disconnect_at_once(void **state)
{
	struct ib_qp_init_attr init;
	struct ib_qp_attr at;

	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	begin(&client, "10.0.0.2", PORT);
	expect_connected(&client, &peers[0]);
	/* Who has no resources for reads answers none. */
	assert_int_equal(ib_query_qp(client.id->qp, &at, 0, &init), 0);
	assert_int_equal(at.qp_access_flags, IB_ACCESS_REMOTE_WRITE);
	/* The second one answers, if it has heard of the first one's. */
	assert_int_equal(rdma_disconnect(client.id), 0);
	assert_int_equal(rdma_disconnect(peers[0].id), 0);
	assert_int_equal(rdma_disconnect(peers[0].id), -EINVAL);
	let_pass(200 * MS);
	expect_disconnected(&client);
	expect_disconnected(&peers[0]);
	destroy(&client);
	destroy(&peers[0]);
	destroy(&listener);
	close_all();
}

/* The peer's end of it goes at every step. */
static void destroyed_at_every_step(void **state)
{
	u32 at;

	(void)state;
	for (at = 0; at <= RDMA_CM_EVENT_TIMEWAIT_EXIT; at++) {
		open_all();
		listen_to("10.0.0.2", 0);
		ulp.answer = true;
		ulp.give_up = 1;
		ulp.give_up_at = (enum rdma_cm_event_type)at;
		begin(&client, "10.0.0.2", PORT);
		if (!client.gone && client.told[client.events - 1] == RDMA_CM_EVENT_ESTABLISHED)
			assert_int_equal(rdma_disconnect(client.id), 0);
		let_pass(200 * MS);
		if (at == RDMA_CM_EVENT_ADDR_RESOLVED || at == RDMA_CM_EVENT_ROUTE_RESOLVED)
			assert_int_equal(requested, 0);
		if (at == RDMA_CM_EVENT_ESTABLISHED) {
			expect(&peers[0], RDMA_CM_EVENT_CONNECT_REQUEST, 0);
			expect(&peers[0], RDMA_CM_EVENT_ESTABLISHED, 0);
			expect(&peers[0], RDMA_CM_EVENT_DISCONNECTED, 0);
		}
		assert_int_equal(client.gone, at == RDMA_CM_EVENT_ADDR_RESOLVED || at == RDMA_CM_EVENT_ROUTE_RESOLVED ||
						      at == RDMA_CM_EVENT_ESTABLISHED ||
						      at == RDMA_CM_EVENT_DISCONNECTED ||
						      at == RDMA_CM_EVENT_TIMEWAIT_EXIT);
		destroy(&client);
		if (requested)
			destroy(&peers[0]);
		destroy(&listener);
		close_all();
	}
}

/* In the handler of its ID a consumer must not do that. It is told so, and nothing waits for ever. */
static void destroyed_in_its_handler(void **state)
{
	u32 at;

	(void)state;
	for (at = 0; at <= RDMA_CM_EVENT_TIMEWAIT_EXIT; at++) {
		open_all();
		listen_to("10.0.0.2", 0);
		ulp.answer = ulp.destroys = true;
		ulp.give_up = 1;
		ulp.give_up_at = (enum rdma_cm_event_type)at;
		(void)test_why_take();
		begin(&client, "10.0.0.2", PORT);
		if (!client.gone && client.told[client.events - 1] == RDMA_CM_EVENT_ESTABLISHED)
			assert_int_equal(rdma_disconnect(client.id), 0);
		let_pass(200 * MS);
		if (client.gone) {
			assert_int_equal(client.told[client.events - 1], at);
			SAID("mistake: rdma_destroy_id of an ID", "this is a handler of the ID");
		}
		if (at == RDMA_CM_EVENT_ESTABLISHED) {
			expect(&peers[0], RDMA_CM_EVENT_CONNECT_REQUEST, 0);
			expect(&peers[0], RDMA_CM_EVENT_ESTABLISHED, 0);
			expect(&peers[0], RDMA_CM_EVENT_DISCONNECTED, 0);
		}
		destroy(&client);
		if (requested)
			destroy(&peers[0]);
		destroy(&listener);
		close_all();
	}
}

/* The same for the ID of a request, and for its listener. */
static void destroyed_in_a_requests_handler(void **state)
{
	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	ulp.ends = &peers[0];
	(void)test_why_take();
	begin(&client, "10.0.0.2", PORT);
	SAID("mistake: rdma_destroy_id of an ID that is connecting");
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	assert_int_equal(peers[0].events, 1);
	destroy(&client);
	/* The listener goes on. Without it, no other request comes, but this one goes on. */
	ulp.ends = &listener;
	requested = 0;
	begin(&client, "10.0.0.2", PORT);
	SAID("mistake: rdma_destroy_id of an ID that is listening");
	expect_connected(&client, &peers[0]);
	destroy(&client);
	destroy(&peers[0]);
	begin(&client, "10.0.0.2", PORT);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_INVALID_SERVICE_ID);
	destroy(&client);
	close_all();
}

static void destroyed_with_events_pending(void **state)
{
	(void)state;
	open_all();
	create(&client, on_active);
	assert_int_equal(rdma_resolve_addr(client.id, NULL, ip("10.0.0.2", PORT), 1), 0);
	destroy(&client);
	let_pass(MS);
	no_more(&client);
	/* A listener that has a request which its handler wasn't told of. */
	listen_to("10.0.0.2", 0);
	ulp.quiet = true;
	begin(&client, "10.0.0.2", PORT);
	assert_int_equal(rdma_resolve_route(client.id, 1), 0);
	let_pass(MS);
	ulp.param.qp_num = 77;
	assert_int_equal(rdma_connect(client.id, &ulp.param), 0);
	destroy(&listener);
	let_pass(MS);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	assert_int_equal(requested, 0);
	destroy(&client);
	close_all();
}

static u32 flushes;

static void disconnects_again(struct ib_cq *cq, void *unused)
{
	(void)cq;
	(void)unused;
	if (!flushes++)
		assert_int_equal(rdma_disconnect(client.id), 0);
}

/* The flush of a queue pair calls handlers in the call that disconnects. One of them disconnects as well. */
static void disconnected_in_its_own_disconnect(void **state)
{
	const struct ib_cq_init_attr attr = { .cqe = 16 };
	struct ib_recv_wr wr = { .wr_id = 1 };
	struct ib_cq *own, *was;

	(void)state;
	flushes = 0;
	open_all();
	was = a.cq;
	own = a.cq = ib_create_cq(a.dev, disconnects_again, NULL, NULL, &attr);
	assert_false(IS_ERR(own));
	listen_to("10.0.0.2", 0);
	begin(&client, "10.0.0.2", PORT);
	expect_connected(&client, &peers[0]);
	assert_int_equal(ib_post_recv(client.id->qp, &wr, NULL), 0);
	assert_true(ib_req_notify_cq(own, IB_CQ_NEXT_COMP) >= 0);
	(void)rdma_disconnect(client.id); /* whose work is done by then */
	assert_int_equal(rdma_disconnect(peers[0].id), 0);
	let_pass(200 * MS);
	assert_int_equal(flushes, 1);
	expect_disconnected(&client);
	destroy(&client);
	destroy(&peers[0]);
	destroy(&listener);
	a.cq = was;
	ib_destroy_cq(own);
	close_all();
}

/* What a request's ID has to tell itself comes after its handler was told of it. */
static void peer_ends_while_its_request_is_told(void **state)
{
	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	ulp.quiet = ulp.end_peer = true;
	begin(&client, "10.0.0.2", PORT);
	assert_int_equal(rdma_resolve_route(client.id, 1), 0);
	let_pass(MS);
	ulp.param.qp_num = 77;
	assert_int_equal(rdma_connect(client.id, &ulp.param), 0);
	let_pass(MS);
	assert_null(client.id);
	expect(&peers[0], RDMA_CM_EVENT_CONNECT_REQUEST, 0);
	expect(&peers[0], RDMA_CM_EVENT_REJECTED, IB_CM_REJ_TIMEOUT);
	no_more(&peers[0]);
	assert_int_equal(rdma_accept(peers[0].id, &ulp.param), -EINVAL);
	destroy(&peers[0]);
	destroy(&listener);
	close_all();
}

#define BACKLOG 3u

static void backlog_full(void **state)
{
	static struct conn c[2 * BACKLOG];
	u32 i, rejected = 0;

	(void)state;
	open_all();
	listen_to("10.0.0.2", BACKLOG);
	ulp.quiet = ulp.wait = true;
	for (i = 0; i < 2 * BACKLOG; i++) {
		begin(&c[i], "10.0.0.2", PORT);
		assert_int_equal(rdma_resolve_route(c[i].id, 1), 0);
	}
	let_pass(MS);
	/* None is told of before all have come. */
	for (i = 0; i < 2 * BACKLOG; i++) {
		ulp.param.qp_num = 77 + i;
		assert_int_equal(rdma_connect(c[i].id, &ulp.param), 0);
	}
	let_pass(MS);
	assert_int_equal(requested, BACKLOG);
	for (i = 0; i < 2 * BACKLOG; i++) {
		expect_resolved(&c[i]);
		if (c[i].events == c[i].seen)
			continue;
		rejected++;
		expect(&c[i], RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	}
	assert_int_equal(rejected, BACKLOG);
	for (i = 0; i < 2 * BACKLOG; i++)
		destroy(&c[i]);
	for (i = 0; i < BACKLOG; i++)
		destroy(&peers[i]);
	destroy(&listener);
	close_all();
}

/* A request that is answered long after; and a peer that never answers, as its adapter has gone. */
static void slow_answers(void **state)
{
	static struct end c;

	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	ulp.wait = true;
	begin(&client, "10.0.0.2", PORT);
	/* Longer than a peer is tried that says nothing at all. */
	let_pass(100000 * MS);
	expect_resolved(&client);
	no_more(&client);
	accept_it(&peers[0]);
	let_pass(MS);
	expect(&client, RDMA_CM_EVENT_ESTABLISHED, 0);
	destroy(&client);
	destroy(&peers[0]);
	destroy(&listener);
	assert_int_equal(vk_device(&c, true, MACHINE_DIRECT), 0);
	assert_int_equal(softhca_addr_add(c.dev, ip("10.0.0.3", 0)), 0);
	ulp.quiet = true;
	begin(&client, "10.0.0.3", PORT);
	assert_int_equal(rdma_resolve_route(client.id, 1), 0);
	let_pass(MS);
	assert_int_equal(vk_device_gone(&c), 0);
	ulp.param.qp_num = 77;
	assert_int_equal(rdma_connect(client.id, &ulp.param), 0);
	let_pass(100000 * MS);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT);
	no_more(&client);
	destroy(&client);
	/* It goes before the path to it is asked for. */
	assert_int_equal(vk_device(&c, true, MACHINE_DIRECT), 0);
	assert_int_equal(softhca_addr_add(c.dev, ip("10.0.0.3", 0)), 0);
	begin(&client, "10.0.0.3", PORT);
	assert_int_equal(vk_device_gone(&c), 0);
	assert_int_equal(rdma_resolve_route(client.id, 1), 0);
	let_pass(MS);
	expect(&client, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
	expect(&client, RDMA_CM_EVENT_ROUTE_ERROR, -EHOSTUNREACH);
	no_more(&client);
	destroy(&client);
	close_all();
}

#define ROW 1000u

static void many_in_a_row(void **state)
{
	u32 i, lived = 0;

	(void)state;
	open_all();
	listen_to("0.0.0.0", 0);
	for (i = 0; i < ROW; i++) {
		begin(&client, "10.0.0.2", PORT);
		assert_int_equal(client.told[client.events - 1], RDMA_CM_EVENT_ESTABLISHED);
		assert_int_equal(rdma_disconnect(client.id), 0);
		let_pass(MS);
		assert_int_equal(rdma_disconnect(peers[i % PEERS].id), 0);
		destroy(&client);
		destroy(&peers[i % PEERS]);
		let_pass(100 * MS);
		if (i == 10)
			lived = test_live();
	}
	assert_int_equal(test_live(), lived);
	destroy(&listener);
	close_all();
}

#define LISTENERS 100u

static void many_listeners(void **state)
{
	struct rdma_cm_id *ids[LISTENERS];
	u32 i;

	(void)state;
	open_all();
	for (i = 0; i < LISTENERS; i++) {
		ids[i] = rdma_create_id(&init_net, on_passive, &listener, RDMA_PS_TCP, IB_QPT_RC);
		assert_false(IS_ERR(ids[i]));
		assert_int_equal(rdma_bind_addr(ids[i], ip("0.0.0.0", (u16)(PORT + i))), 0);
		assert_int_equal(rdma_listen(ids[i], 0), 0);
	}
	for (i = 0; i < LISTENERS; i++) {
		begin(&client, i % 2 ? "10.0.0.2" : "10.0.0.1", (u16)(PORT + i));
		assert_int_equal(requested, i + 1);
		expect_connected(&client, &peers[i]);
		assert_int_equal(port_of(&peers[i].id->route.addr.src_addr), PORT + i);
		destroy(&client);
		destroy(&peers[i]);
	}
	for (i = 0; i < LISTENERS; i++)
		rdma_destroy_id(ids[i]);
	close_all();
}

/* --- adapters come and go --- */

static void removal_ends_what_is_on_it(void **state)
{
	static struct end c;

	(void)state;
	open_all();
	listen_to("0.0.0.0", 0);
	/* One that comes later is listened to. */
	assert_int_equal(vk_device(&c, true, MACHINE_DIRECT), 0);
	assert_int_equal(softhca_addr_add(c.dev, ip("10.0.0.3", 0)), 0);
	ulp.wait = true;
	begin(&client, "10.0.0.3", PORT);
	assert_int_equal(requested, 1);
	assert_ptr_equal(peers[0].id->device, c.dev);
	destroy(&client);
	destroy(&peers[0]);
	/* It goes while an ID is on it, whose ULP gives it up when it is told. */
	create(&client, on_active);
	ulp.give_up = 1;
	ulp.give_up_at = RDMA_CM_EVENT_DEVICE_REMOVAL;
	assert_int_equal(rdma_bind_addr(client.id, ip("10.0.0.3", 0)), 0);
	assert_int_equal(vk_device_gone(&c), 0);
	assert_true(client.gone);
	expect(&client, RDMA_CM_EVENT_DEVICE_REMOVAL, 0);
	no_more(&client);
	create(&client, on_active);
	assert_int_equal(rdma_bind_addr(client.id, ip("10.0.0.3", 0)), -EADDRNOTAVAIL);
	destroy(&client);
	/* The others are listened to still. */
	begin(&client, "10.0.0.2", PORT);
	assert_int_equal(requested, 2);
	destroy(&client);
	destroy(&peers[1]);
	destroy(&listener);
	close_all();
}

/* --- memory --- */

/* A listener and a peer on one adapter. Return: 0, or what went wrong first. */
static int tries_all(void)
{
	int err;

	listener.id = rdma_create_id(&init_net, on_passive, &listener, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(listener.id))
		return (int)PTR_ERR(listener.id);
	client.id = rdma_create_id(&init_net, on_active, &client, RDMA_PS_TCP, IB_QPT_RC);
	if (IS_ERR(client.id))
		return (int)PTR_ERR(client.id);
	err = rdma_bind_addr(listener.id, ip("10.0.0.3", PORT));
	if (!err)
		err = rdma_listen(listener.id, 0);
	if (!err)
		err = rdma_resolve_addr(client.id, NULL, ip("10.0.0.3", PORT), 1);
	let_pass(MS);
	if (!err)
		err = rdma_resolve_route(client.id, 1);
	let_pass(MS);
	if (!err)
		err = rdma_connect(client.id, &ulp.param);
	let_pass(100 * MS);
	return err;
}

static void memory_may_be_short(void **state)
{
	static struct end c;
	u32 refusals = 0, errors = 0;

	(void)state;
	open_all();
	ulp.wait = ulp.quiet = true;
	ulp.param.qp_num = 77;
	TEST_FAIL_LOOP(l)
	{
		int err;

		if (vk_device(&c, false, MACHINE_DIRECT))
			continue;
		requested = 0;
		memset(&client, 0, sizeof(client));
		memset(&listener, 0, sizeof(listener));
		assert_int_equal(softhca_addr_add(c.dev, ip("10.0.0.3", 0)), 0);
		err = tries_all();
		/* What was lost is sent again. */
		if (!err && client.told[client.events - 1] == RDMA_CM_EVENT_ROUTE_RESOLVED)
			let_pass(20000 * MS);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			errors++;
		} else if (!requested) {
			assert_int_equal(client.status[client.events - 1], IB_CM_REJ_CONSUMER_DEFINED);
			refusals++;
		}
		if (client.id && !IS_ERR(client.id))
			rdma_destroy_id(client.id);
		if (requested)
			rdma_destroy_id(peers[0].id);
		if (!IS_ERR(listener.id))
			rdma_destroy_id(listener.id);
		assert_int_equal(vk_device_gone(&c), 0);
	}
	assert_true(errors > 5 && refusals);
	close_all();
}

/* --- by seed --- */

#define SEEDS 80u

static u32 moment; /* at which something ends */

static void connects_thread(void *arg)
{
	(void)arg;
	HCA_ASSERT(!rdma_connect(client.id, &ulp.param));
}

static void wait_moment(void)
{
	static u32 turns;
	u32 i;

	for (i = moment; i; i--)
		hca_store(&turns, i);
}

static void ends_listener(void *arg)
{
	(void)arg;
	wait_moment();
	rdma_destroy_id(listener.id);
	listener.id = NULL;
}

static void lets_time_pass(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 16; i++)
		test_clock_advance(MS / 16);
}

static void listener_ends_at_any_moment(void **state)
{
	void (*const fns[])(void *) = { connects_thread, ends_listener, lets_time_pass };
	void *const args[] = { NULL, NULL, NULL };
	u32 accepted = 0, rejected = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_all();
		listen_to("10.0.0.2", 0);
		ulp.quiet = true;
		ulp.param.qp_num = 77;
		begin(&client, "10.0.0.2", PORT);
		assert_int_equal(rdma_resolve_route(client.id, 1), 0);
		let_pass(MS);
		moment = (u32)seed * 13;
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		let_pass(10 * MS);
		expect_resolved(&client);
		if (client.told[2] == RDMA_CM_EVENT_CONNECT_RESPONSE) {
			accepted++;
			assert_int_equal(requested, 1);
		} else {
			rejected++;
			expect(&client, RDMA_CM_EVENT_REJECTED, client.status[2]);
		}
		destroy(&client);
		if (requested)
			destroy(&peers[0]);
		close_all();
	}
	assert_int_equal(accepted + rejected, SEEDS);
	assert_true(accepted && rejected);
}

static void ends_client(void *arg)
{
	(void)arg;
	wait_moment();
	rdma_destroy_id(client.id);
	client.id = NULL;
}

static void removes_device(void *arg)
{
	struct end *e = arg;

	wait_moment();
	wait_moment();
	HCA_ASSERT(!ipath_destroy(e->dev));
}

/* An ID and the adapter that it is on end at once. */
static void ends_while_the_adapter_goes(void **state)
{
	static struct end c;
	void (*const fns[])(void *) = { ends_client, removes_device, lets_time_pass };
	void *const args[] = { NULL, &c, NULL };
	u32 told = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_all();
		assert_int_equal(vk_device(&c, true, MACHINE_DIRECT), 0);
		assert_int_equal(softhca_addr_add(c.dev, ip("10.0.0.3", 0)), 0);
		create(&client, on_active);
		assert_int_equal(rdma_bind_addr(client.id, ip("10.0.0.3", 0)), 0);
		moment = (u32)seed * 3;
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		told += client.events;
		device_destroy(c.bus);
		assert_int_equal(machine_destroy(c.machine), 0);
		close_all();
	}
	assert_in_range(told, 1, SEEDS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(both_disconnect_at_once),
		T(destroyed_at_every_step),
		T(destroyed_in_its_handler),
		T(destroyed_in_a_requests_handler),
		T(destroyed_with_events_pending),
		T(disconnected_in_its_own_disconnect),
		T(peer_ends_while_its_request_is_told),
		T(backlog_full),
		T(slow_answers),
		T(many_in_a_row),
		T(many_listeners),
		T(removal_ends_what_is_on_it),
		T(memory_may_be_short),
		T(listener_ends_at_any_moment),
		T(ends_while_the_adapter_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
