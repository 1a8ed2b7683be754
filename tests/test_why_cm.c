/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Why a call of softhca/rdma_cm.h is refused: the state that the ID is in, or what is wrong with an address. */
#include "rdma_cm_fixture.h"

#include "why_fixture.h"

static void addresses(void **state)
{
	struct sockaddr other = { .sa_family = AF_UNIX };

	(void)state;
	open_all();
	REFUSED(softhca_addr_add(a.dev, &other), -EINVAL, "address of family 1, must be AF_INET or AF_INET6");
	REFUSED(softhca_addr_add(a.dev, ip("127.0.0.1", 0)), -EINVAL, "soft: address not added", "loopback");
	REFUSED(softhca_addr_add(a.dev, ip("10.0.0.2", 0)), -EADDRINUSE, "another device has it");
	REFUSED(softhca_addr_del(a.dev, &other), -EADDRNOTAVAIL, "address of family 1");
	REFUSED(softhca_addr_del(a.dev, ip("10.0.0.2", 0)), -EADDRNOTAVAIL, "softhca_addr_add() hasn't given it");
	close_all();
}

static void fresh(void **state)
{
	struct rdma_conn_param p = { .private_data_len = 0 };
	struct ib_qp_init_attr qa = { .send_cq = NULL };

	(void)state;
	open_all();
	REFUSED(rdma_create_id(&init_net, NULL, NULL, RDMA_PS_TCP, IB_QPT_RC), -EINVAL, "event_handler is NULL");
	REFUSED(rdma_create_id(&init_net, on_active, NULL, RDMA_PS_TCP, IB_QPT_SMI), -EINVAL,
		"qp_type 0, must be RC, UC or UD");
	create(&client, on_active);
	REFUSED(rdma_bind_addr(client.id, ip("10.0.0.3", PORT)), -EADDRNOTAVAIL, "no device here has this address");
	REFUSED(rdma_resolve_route(client.id, 1), -EINVAL, "rdma_resolve_route of an ID that is fresh",
		"wait for RDMA_CM_EVENT_ADDR_RESOLVED");
	REFUSED(rdma_connect(client.id, &p), -EINVAL, "wait for RDMA_CM_EVENT_ROUTE_RESOLVED before");
	REFUSED(rdma_accept(client.id, &p), -EINVAL, "it is for the ID of a RDMA_CM_EVENT_CONNECT_REQUEST");
	REFUSED(rdma_reject(client.id, NULL, 0, IB_CM_REJ_CONSUMER_DEFINED), -EINVAL, "no request has come for it");
	REFUSED(rdma_disconnect(client.id), -EINVAL, "it has no connection");
	REFUSED(rdma_notify(client.id, IB_EVENT_COMM_EST), -EINVAL, "IB_EVENT_COMM_EST of a connection");
	REFUSED(rdma_listen(client.id, -1), -EINVAL, "backlog is -1");
	REFUSED(rdma_create_qp(client.id, a.pd, &qa), -EINVAL, "the PD isn't of the device that its address led to");
	p.private_data_len = 57;
	REFUSED(rdma_connect(client.id, &p), -EINVAL, "57 bytes of private data, must be 56 at most");
	destroy(&client);
	close_all();
}

static void bound(void **state)
{
	struct conn other;

	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	REFUSED(rdma_bind_addr(listener.id, ip("10.0.0.2", PORT)), -EINVAL, "an ID that is listening",
		"has an address already");
	REFUSED(rdma_listen(listener.id, 0), -EINVAL, "must be fresh, or bound and no more");
	REFUSED(rdma_set_reuseaddr(listener.id, 1), -EINVAL, "it is bound already");
	REFUSED(rdma_set_afonly(listener.id, 1), -EINVAL, "an ID that listens to come");
	create(&other, on_passive);
	REFUSED(rdma_bind_addr(other.id, ip("10.0.0.2", PORT)), -EADDRINUSE, "another ID has this port");
	assert_int_equal(rdma_bind_addr(other.id, ip("10.0.0.1", PORT + 1)), 0);
	REFUSED(rdma_resolve_addr(other.id, NULL, ip("2001:db8::2", PORT), 1), -EINVAL, "one address is of IPv4");
	destroy(&other);
	destroy(&listener);
	close_all();
}

static void connected(void **state)
{
	struct rdma_conn_param p = { .private_data_len = 0 };
	struct rdma_ucm_ece ece = { .vendor_id = 0x1000000 };
	static const u8 data[150];

	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	ulp.wait = true;
	begin(&client, "10.0.0.2", PORT);
	expect_resolved(&client);
	p.private_data_len = 197;
	REFUSED(rdma_accept(peers[0].id, &p), -EINVAL, "197 bytes of private data, must be 196 at most");
	REFUSED(rdma_reject(peers[0].id, data, 149, IB_CM_REJ_CONSUMER_DEFINED), -EINVAL, "rdma_reject",
		"a value can't be sent");
	REFUSED(rdma_resolve_addr(client.id, NULL, ip("10.0.0.2", PORT), 1), -EINVAL, "an address is resolved once");
	REFUSED(rdma_create_qp(client.id, a.pd, &(struct ib_qp_init_attr){ 0 }), -EINVAL,
		"it has a queue pair already");
	REFUSED(rdma_accept_ece(peers[0].id, &ulp.accept, &ece), -EINVAL,
		"rdma_accept_ece: vendor_id 0x1000000, must have 24 bits");
	REFUSED(rdma_connect_ece(client.id, &p, &ece), -EINVAL, "rdma_connect_ece: vendor_id 0x1000000");
	accept_it(&peers[0]);
	let_pass(MS);
	REFUSED(rdma_reject(peers[0].id, NULL, 0, IB_CM_REJ_CONSUMER_DEFINED), -EINVAL,
		"an ID that is connecting or connected", "the connection is in no state for it");
	destroy(&client);
	let_pass(200 * MS);
	destroy(&peers[0]);
	destroy(&listener);
	close_all();
}

/* The ports that an ID may be given: those of Linux's ip_local_port_range. */
#define FIRST_PORT 32768u
#define PORTS 28232u

/* More addresses than the GID table has entries, and more IDs than there are ports. */
static void no_room(void **state)
{
	static struct conn all[PORTS];
	char text[16];
	u32 i;

	(void)state;
	open_all();
	for (i = 0; i < 64; i++) {
		snprintf(text, sizeof(text), "10.1.0.%u", i + 1);
		if (softhca_addr_add(a.dev, ip(text, 0)))
			break;
	}
	REFUSED(softhca_addr_add(a.dev, ip("10.2.0.1", 0)), -ENOSPC, "address not added: the GID table is full");
	for (i = 0; i < HCA_ARRAY_SIZE(all); i++) {
		create(&all[i], on_active);
		assert_int_equal(rdma_bind_addr(all[i].id, ip("0.0.0.0", (u16)(FIRST_PORT + i))), 0);
	}
	create(&client, on_active);
	REFUSED(rdma_bind_addr(client.id, ip("0.0.0.0", 0)), -EADDRNOTAVAIL, "all ports that are given out are in use");
	while (i--)
		destroy(&all[i]);
	/* As its handlers see it while the device is taken away. */
	b.dev->core->cma.leaving = true;
	REFUSED(rdma_bind_addr(client.id, ip("10.0.0.2", 0)), -ENODEV, "no connection any more: the device goes");
	b.dev->core->cma.leaving = false;
	destroy(&client);
	close_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = { T(addresses), T(fresh), T(bound), T(connected), T(no_room) };

	return cmocka_run_group_tests_name("why_cm", tests, NULL, NULL);
}
