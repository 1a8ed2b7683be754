/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections by IP address, as a kernel ULP makes them: every event has its turn and its data, addresses lead to adapters, ports
 * belong to one, and what can't be is refused.
 */
#include "rdma_cm_fixture.h"

/* --- a connection --- */

static void write_by(struct conn *c, struct end *to)
{
	struct ib_sge sge = vk_sge(c->e, 0, 64);
	const struct ib_rdma_wr wr = {
		.wr = { .wr_id = 7, .sg_list = &sge, .num_sge = 1, .opcode = IB_WR_RDMA_WRITE },
		.remote_addr = hca_dma_u64(to->addr) + 128,
		.rkey = to->mr->rkey,
	};
	struct ib_wc wc;

	memset(c->e->buf, 0x5a, 64);
	memset(to->buf + 128, 0, 64);
	assert_int_equal(ib_post_send(c->id->qp, &wr.wr, NULL), 0);
	let_pass(MS);
	assert_int_equal(ib_poll_cq(c->e->cq, 1, &wc), 1);
	assert_int_equal(wc.status, IB_WC_SUCCESS);
	assert_memory_equal(to->buf + 128, c->e->buf, 64);
}

static void connects_and_moves_data(void **state)
{
	union ib_gid gid[4], own;
	struct ib_qp_init_attr init;
	struct ib_qp_attr at;

	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	ulp.param.private_data = "hello";
	ulp.param.private_data_len = 5;
	ulp.param.responder_resources = 3;
	ulp.param.initiator_depth = 2;
	ulp.accept = (struct rdma_conn_param){
		.private_data = "welcome", .private_data_len = 7, .responder_resources = 2, .initiator_depth = 1
	};
	begin(&client, "10.0.0.2", PORT);
	expect_connected(&client, &peers[0]);
	assert_ptr_equal(client.id->device, a.dev);
	assert_ptr_equal(peers[0].id->device, b.dev);
	/* Who they are to each other. */
	is_ip(&client.id->route.addr.dst_addr, "10.0.0.2");
	is_ip(&peers[0].id->route.addr.src_addr, "10.0.0.2");
	is_ip(&peers[0].id->route.addr.dst_addr, "10.0.0.1");
	assert_int_equal(port_of(&peers[0].id->route.addr.src_addr), PORT);
	assert_int_equal(port_of(&peers[0].id->route.addr.dst_addr), port_of(&client.id->route.addr.src_addr));
	assert_non_null(client.id->route.path_rec);
	assert_non_null(peers[0].id->route.path_rec);
	assert_int_equal(client.id->route.path_rec->traffic_class, 0x28);
	assert_int_equal(peers[0].id->route.path_rec->traffic_class, 0x28);
	assert_int_equal(ntohl(client.id->route.path_rec->ib.dlid), vk_lid(&b));
	assert_int_equal(ntohl(peers[0].id->route.path_rec->ib.dlid), vk_lid(&a));
	rdma_read_gids(client.id, &gid[0], &gid[1]);
	rdma_read_gids(peers[0].id, &gid[2], &gid[3]);
	assert_int_equal(rdma_query_gid(a.dev, 1, 0, &own), 0);
	assert_memory_equal(&gid[0], &own, sizeof(own));
	assert_memory_equal(&gid[3], &own, sizeof(own));
	assert_int_equal(rdma_query_gid(b.dev, 1, 0, &own), 0);
	assert_memory_equal(&gid[1], &own, sizeof(own));
	assert_memory_equal(&gid[2], &own, sizeof(own));
	/* What they said, and zeros behind it. */
	assert_int_equal(peers[0].param[0].private_data_len, 56);
	assert_memory_equal(peers[0].data[0], "hello\0\0", 7);
	assert_int_equal(client.param[2].private_data_len, 196);
	assert_memory_equal(client.data[2], "welcome\0\0", 9);
	/* What one side offers, the other one may ask for. */
	assert_int_equal(peers[0].param[0].responder_resources, 2);
	assert_int_equal(peers[0].param[0].initiator_depth, 3);
	assert_int_equal(peers[0].param[0].qp_num, client.id->qp->qp_num);
	assert_int_equal(client.param[2].responder_resources, 1);
	assert_int_equal(client.param[2].initiator_depth, 2);
	assert_int_equal(ib_query_qp(client.id->qp, &at, 0, &init), 0);
	assert_int_equal(at.qp_state, IB_QPS_RTS);
	assert_int_equal(at.max_rd_atomic, 2);
	assert_int_equal(at.max_dest_rd_atomic, 1);
	assert_int_equal(at.retry_cnt, 7);
	assert_int_equal(at.qp_access_flags, IB_ACCESS_REMOTE_WRITE | IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC);
	assert_int_equal(ib_query_qp(peers[0].id->qp, &at, 0, &init), 0);
	assert_int_equal(at.max_rd_atomic, 1);
	assert_int_equal(at.max_dest_rd_atomic, 2);
	write_by(&client, &b);
	write_by(&peers[0], &a);
	assert_int_equal(rdma_disconnect(client.id), 0);
	let_pass(MS);
	expect(&peers[0], RDMA_CM_EVENT_DISCONNECTED, 0);
	assert_int_equal(rdma_disconnect(peers[0].id), 0);
	assert_int_equal(ib_query_qp(peers[0].id->qp, &at, 0, &init), 0);
	assert_int_equal(at.qp_state, IB_QPS_ERR);
	let_pass(200 * MS);
	expect_disconnected(&client);
	expect(&peers[0], RDMA_CM_EVENT_TIMEWAIT_EXIT, 0);
	no_more(&peers[0]);
	destroy(&client);
	destroy(&peers[0]);
	destroy(&listener);
	close_all();
}

/* Each address that the listener's has, and each that reaches the first adapter. */
static void addresses_lead_to_adapters(void **state)
{
	static const struct {
		const char *listen, *to;
		bool second; /* the adapter that is reached */
		bool refused;
	} way[] = {
		{ "0.0.0.0", "10.0.0.2", true, false },	  { "0.0.0.0", "10.0.0.1", false, false },
		{ "0.0.0.0", "127.0.0.1", false, false }, { "127.0.0.1", "127.0.0.1", false, false },
		{ "::", "2001:db8::2", true, false },	  { "::", "::1", false, false },
		{ "::", "10.0.0.2", true, false },	  { "0.0.0.0", "2001:db8::2", true, true },
		{ "10.0.0.1", "10.0.0.2", true, true },	  { "2001:db8::2", "2001:db8::2", true, false },
		{ "0.0.0.0", "0.0.0.0", false, false },	  { "10.0.0.1", "127.0.0.1", false, true },
	};
	u32 i;

	(void)state;
	open_all();
	for (i = 0; i < HCA_ARRAY_SIZE(way); i++) {
		requested = 0;
		memset(peers, 0, sizeof(peers));
		listen_to(way[i].listen, 0);
		begin(&client, way[i].to, PORT);
		if (way[i].refused) {
			expect_resolved(&client);
			expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_INVALID_SERVICE_ID);
		} else {
			expect_connected(&client, &peers[0]);
			assert_ptr_equal(peers[0].id->device, way[i].second ? b.dev : a.dev);
			write_by(&client, peers[0].e);
		}
		destroy(&client);
		let_pass(MS);
		destroy(&peers[0]);
		destroy(&listener);
		let_pass(200 * MS);
	}
	close_all();
}

static void refused(void **state)
{
	u8 len;
	const u8 *data;
	struct rdma_cm_event event = { .event = RDMA_CM_EVENT_REJECTED };

	(void)state;
	open_all();
	/* Nobody listens: at once. */
	begin(&client, "10.0.0.2", PORT);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_INVALID_SERVICE_ID);
	no_more(&client);
	destroy(&client);
	/* The ULP says no, with words, or without. */
	listen_to("10.0.0.2", 0);
	ulp.reject = true;
	begin(&client, "10.0.0.2", PORT);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	event.status = client.status[2];
	event.param.conn = client.param[2];
	event.param.conn.private_data = client.data[2];
	data = rdma_consumer_reject_data(client.id, &event, &len);
	assert_int_equal(len, 148);
	assert_memory_equal(data, "no, thanks", 11);
	event.status = IB_CM_REJ_INVALID_SERVICE_ID;
	assert_null(rdma_consumer_reject_data(client.id, &event, &len));
	assert_int_equal(len, 0);
	destroy(&client);
	destroy(&peers[0]);
	ulp.refuse = true;
	begin(&client, "10.0.0.2", PORT);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	destroy(&client);
	destroy(&listener);
	close_all();
}

static void not_ours(void **state)
{
	(void)state;
	open_all();
	begin(&client, "10.0.0.3", PORT);
	expect(&client, RDMA_CM_EVENT_ADDR_ERROR, -EHOSTUNREACH);
	no_more(&client);
	/* It may try another one. */
	assert_int_equal(rdma_resolve_addr(client.id, NULL, ip("10.0.0.2", PORT), 100), 0);
	let_pass(MS);
	expect_resolved(&client);
	destroy(&client);
	create(&client, on_active);
	assert_int_equal(rdma_bind_addr(client.id, ip("10.0.0.3", PORT)), -EADDRNOTAVAIL);
	assert_int_equal(rdma_resolve_addr(client.id, ip("10.0.0.3", 0), ip("10.0.0.2", PORT), 100), -EADDRNOTAVAIL);
	assert_int_equal(rdma_listen(client.id, 1), 0);
	destroy(&client);
	/* Of one adapter no other one may have it; and what goes is gone. */
	assert_int_equal(softhca_addr_add(a.dev, ip("10.0.0.2", 0)), -EADDRINUSE);
	assert_int_equal(softhca_addr_add(a.dev, ip("127.0.0.1", 0)), -EINVAL);
	assert_int_equal(softhca_addr_add(a.dev, ip("0.0.0.0", 0)), -EINVAL);
	assert_int_equal(softhca_addr_add(a.dev, ip("224.0.0.1", 0)), -EINVAL);
	assert_int_equal(softhca_addr_add(b.dev, ip("10.0.0.2", 0)), 0);
	assert_int_equal(softhca_addr_del(a.dev, ip("10.0.0.2", 0)), -EADDRNOTAVAIL);
	assert_int_equal(softhca_addr_del(b.dev, ip("10.0.0.2", 0)), 0);
	assert_int_equal(softhca_addr_del(b.dev, ip("10.0.0.2", 0)), -EADDRNOTAVAIL);
	begin(&client, "10.0.0.2", PORT);
	expect(&client, RDMA_CM_EVENT_ADDR_ERROR, -EHOSTUNREACH);
	destroy(&client);
	assert_int_equal(softhca_addr_add(a.dev, ip("10.0.0.2", 0)), 0);
	close_all();
}

/* --- ports --- */

static void ports(void **state)
{
	struct conn other, third;

	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	create(&other, on_passive);
	assert_int_equal(rdma_bind_addr(other.id, ip("10.0.0.2", PORT)), -EADDRINUSE);
	assert_int_equal(rdma_bind_addr(other.id, ip("0.0.0.0", PORT)), -EADDRINUSE);
	/* Another address, another family. */
	assert_int_equal(rdma_bind_addr(other.id, ip("10.0.0.1", PORT)), 0);
	assert_int_equal(rdma_bind_addr(other.id, ip("10.0.0.1", PORT + 1)), -EINVAL);
	destroy(&other);
	create(&other, on_passive);
	assert_int_equal(rdma_bind_addr(other.id, ip("::", PORT)), 0);
	assert_int_equal(rdma_listen(other.id, 0), 0);
	destroy(&other);
	destroy(&listener);
	/* Both wildcards side by side, each with its own. */
	listen_to("0.0.0.0", 0);
	create(&other, on_passive);
	assert_int_equal(rdma_bind_addr(other.id, ip("::", PORT)), 0);
	assert_int_equal(rdma_listen(other.id, 0), 0);
	ulp.wait = true;
	begin(&client, "10.0.0.2", PORT);
	assert_int_equal(requested, 1);
	destroy(&client);
	destroy(&peers[0]);
	destroy(&other);
	/* Chosen ones differ, and are told. */
	create(&other, on_passive);
	create(&third, on_passive);
	assert_int_equal(rdma_bind_addr(other.id, ip("0.0.0.0", 0)), 0);
	assert_int_equal(rdma_listen(third.id, 0), 0);
	assert_in_range(port_of(&other.id->route.addr.src_addr), 32768, 60999);
	assert_in_range(port_of(&third.id->route.addr.src_addr), 32768, 60999);
	assert_int_not_equal(port_of(&other.id->route.addr.src_addr), port_of(&third.id->route.addr.src_addr));
	destroy(&third);
	destroy(&other);
	destroy(&listener);
	/* Who shares says so, and one of them listens. */
	create(&other, on_passive);
	create(&third, on_passive);
	assert_int_equal(rdma_set_reuseaddr(other.id, 1), 0);
	assert_int_equal(rdma_bind_addr(other.id, ip("10.0.0.2", PORT)), 0);
	assert_int_equal(rdma_set_reuseaddr(other.id, 0), -EINVAL);
	assert_int_equal(rdma_bind_addr(third.id, ip("10.0.0.2", PORT)), -EADDRINUSE);
	assert_int_equal(rdma_set_reuseaddr(third.id, 1), 0);
	assert_int_equal(rdma_bind_addr(third.id, ip("10.0.0.2", PORT)), 0);
	assert_int_equal(rdma_listen(other.id, 0), 0);
	assert_int_equal(rdma_listen(third.id, 0), -EADDRINUSE);
	destroy(&other);
	assert_int_equal(rdma_listen(third.id, 0), 0);
	destroy(&third);
	close_all();
}

static void other_port_spaces(void **state)
{
	static const enum rdma_ucm_port_space spaces[] = { RDMA_PS_TCP, RDMA_PS_UDP, RDMA_PS_IB, RDMA_PS_IPOIB };
	struct rdma_cm_id *ids[HCA_ARRAY_SIZE(spaces)];
	u32 i;

	(void)state;
	open_all();
	for (i = 0; i < HCA_ARRAY_SIZE(spaces); i++) {
		ids[i] = rdma_create_id(&init_net, on_passive, &listener, spaces[i], IB_QPT_RC);
		assert_false(IS_ERR(ids[i]));
		assert_int_equal(rdma_bind_addr(ids[i], ip("0.0.0.0", PORT)), 0);
		assert_int_equal(rdma_listen(ids[i], 0), 0);
		assert_int_equal(be64toh(rdma_get_service_id(ids[i], ip("0.0.0.0", PORT))),
				 (u64)spaces[i] << 16 | PORT);
	}
	for (i = 0; i < HCA_ARRAY_SIZE(spaces); i++)
		rdma_destroy_id(ids[i]);
	close_all();
}

/* --- what can't be --- */

static void bad_calls(void **state)
{
	struct sockaddr unix_addr = { .sa_family = AF_UNIX };
	static const u8 data[256];
	struct rdma_conn_param p = { .private_data = data, .qp_num = 77 };

	(void)state;
	open_all();
	assert_int_equal(PTR_ERR(rdma_create_id(&init_net, NULL, NULL, RDMA_PS_TCP, IB_QPT_RC)), -EINVAL);
	assert_int_equal(PTR_ERR(rdma_create_id(&init_net, on_active, NULL, RDMA_PS_TCP, IB_QPT_SMI)), -EINVAL);
	create(&client, on_active);
	assert_int_equal(rdma_bind_addr(client.id, &unix_addr), -EINVAL);
	assert_int_equal(rdma_resolve_addr(client.id, NULL, &unix_addr, 1), -EINVAL);
	assert_int_equal(rdma_resolve_route(client.id, 1), -EINVAL);
	assert_int_equal(rdma_connect(client.id, &p), -EINVAL);
	assert_int_equal(rdma_accept(client.id, &p), -EINVAL);
	assert_int_equal(rdma_reject(client.id, NULL, 0, IB_CM_REJ_CONSUMER_DEFINED), -EINVAL);
	assert_int_equal(rdma_disconnect(client.id), -EINVAL);
	assert_int_equal(rdma_notify(client.id, IB_EVENT_COMM_EST), -EINVAL);
	assert_int_equal(rdma_listen(client.id, -1), -EINVAL);
	destroy(&client);
	/* Too much private data, of each message. */
	listen_to("10.0.0.2", 0);
	assert_int_equal(rdma_listen(listener.id, 0), -EINVAL);
	ulp.quiet = ulp.wait = true;
	begin(&client, "10.0.0.2", PORT);
	assert_int_equal(rdma_connect(client.id, &p), -EINVAL);
	assert_int_equal(rdma_resolve_route(client.id, 1), 0);
	let_pass(MS);
	p.private_data_len = 57;
	assert_int_equal(rdma_connect(client.id, &p), -EINVAL);
	p.private_data_len = 56;
	assert_int_equal(rdma_connect(client.id, &p), 0);
	assert_int_equal(rdma_connect(client.id, &p), -EINVAL);
	let_pass(MS);
	assert_int_equal(requested, 1);
	p.private_data_len = 197;
	assert_int_equal(rdma_accept(peers[0].id, &p), -EINVAL);
	assert_int_equal(rdma_reject(peers[0].id, data, 149, IB_CM_REJ_CONSUMER_DEFINED), -EINVAL);
	p.private_data_len = 196;
	assert_int_equal(rdma_accept(peers[0].id, &p), 0);
	let_pass(MS);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_CONNECT_RESPONSE, 0);
	/* Without a queue pair of ours the ULP goes on by itself. */
	assert_int_equal(rdma_accept(client.id, NULL), 0);
	let_pass(MS);
	expect(&peers[0], RDMA_CM_EVENT_CONNECT_REQUEST, 0);
	expect(&peers[0], RDMA_CM_EVENT_ESTABLISHED, 0);
	assert_int_equal(rdma_notify(peers[0].id, IB_EVENT_COMM_EST), 0);
	destroy(&client);
	destroy(&peers[0]);
	destroy(&listener);
	close_all();
}

/* More reads than the adapter has room for: the queue pair says no. */
static void queue_pair_refuses(void **state)
{
	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	ulp.accept.initiator_depth = 200;
	ulp.wait = true;
	begin(&client, "10.0.0.2", PORT);
	make_qp(&peers[0]);
	assert_int_equal(rdma_accept(peers[0].id, &ulp.accept), -EINVAL);
	let_pass(MS);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	destroy(&client);
	destroy(&peers[0]);
	/* Of the active side. */
	ulp.wait = false;
	ulp.accept = (struct rdma_conn_param){ .responder_resources = 200 };
	ulp.wait = true;
	begin(&client, "10.0.0.2", PORT);
	ulp.accept.qp_num = 77;
	assert_int_equal(rdma_accept(peers[1].id, &ulp.accept), 0);
	let_pass(MS);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_CONNECT_ERROR, -EINVAL);
	expect(&peers[1], RDMA_CM_EVENT_CONNECT_REQUEST, 0);
	expect(&peers[1], RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	destroy(&client);
	destroy(&peers[1]);
	destroy(&listener);
	close_all();
}

/* --- options of vendors --- */

static void is_ece(const struct rdma_ucm_ece *ece, u32 vendor_id, u32 attr_mod)
{
	assert_int_equal(ece->vendor_id, vendor_id);
	assert_int_equal(ece->attr_mod, attr_mod);
}

/* With the queue pair of rdma_create_qp(), and with one of the ULP's own. */
static void options_go_both_ways(void **state)
{
	struct rdma_ucm_ece ours = { .vendor_id = 0x0002c9, .attr_mod = 0x80000001 };
	struct rdma_ucm_ece theirs = { .vendor_id = 0xfedcba, .attr_mod = 0x12345678 };
	u32 own;

	(void)state;
	for (own = 0; own < 2; own++) {
		open_all();
		listen_to("10.0.0.2", 0);
		ulp.quiet = ulp.wait = true;
		begin(&client, "10.0.0.2", PORT);
		client.e = &a;
		if (!own)
			make_qp(&client);
		ulp.param.qp_num = ulp.accept.qp_num = 77;
		assert_int_equal(rdma_resolve_route(client.id, 100), 0);
		let_pass(MS);
		assert_int_equal(rdma_connect_ece(client.id, &ulp.param, &ours), 0);
		let_pass(MS);
		make_qp(&peers[0]);
		is_ece(&peers[0].ece[0], 0x0002c9, 0x80000001);
		assert_int_equal(rdma_accept_ece(peers[0].id, &ulp.accept, &theirs), 0);
		let_pass(MS);
		expect_resolved(&client);
		expect(&client, own ? RDMA_CM_EVENT_CONNECT_RESPONSE : RDMA_CM_EVENT_ESTABLISHED, 0);
		is_ece(&client.ece[1], 0, 0);
		is_ece(&client.ece[2], 0xfedcba, 0x12345678);
		destroy(&client);
		let_pass(200 * MS);
		destroy(&peers[0]);
		destroy(&listener);
		close_all();
	}
}

static void no_options(void **state)
{
	(void)state;
	open_all();
	listen_to("10.0.0.2", 0);
	begin(&client, "10.0.0.2", PORT);
	expect_connected(&client, &peers[0]);
	is_ece(&peers[0].ece[0], 0, 0);
	is_ece(&client.ece[2], 0, 0);
	destroy(&client);
	let_pass(200 * MS);
	destroy(&peers[0]);
	destroy(&listener);
	close_all();
}

/* --- datagrams --- */

static struct rdma_ud_param ud;
static u32 ud_events[RDMA_CM_EVENT_TIMEWAIT_EXIT + 1];
static int ud_status;
static u8 ud_data[2][256];
static bool ud_reject;

static void make_ud_qp(struct rdma_cm_id *id)
{
	struct end *e = id->device == a.dev ? &a : &b;
	struct ib_qp_init_attr qa = {
		.send_cq = e->cq,
		.recv_cq = e->cq,
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_type = IB_SIGNAL_ALL_WR,
		.qp_type = IB_QPT_UD,
	};

	assert_int_equal(rdma_create_qp(id, e->pd, &qa), 0);
}

static int on_ud(struct rdma_cm_id *id, struct rdma_cm_event *event)
{
	struct rdma_conn_param p = { .private_data = "from me", .private_data_len = 8 };

	ud_events[event->event]++;
	ud_status = event->status;
	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		make_ud_qp(id);
		assert_int_equal(rdma_resolve_route(id, 1), 0);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		assert_int_equal(rdma_connect_locked(id, &p), 0);
		break;
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		peers[0] = (struct conn){ .id = id, .e = &b };
		assert_int_equal(id->qp_type, IB_QPT_UD);
		assert_int_equal(event->param.ud.private_data_len, 180);
		memcpy(ud_data[0], event->param.ud.private_data, 180);
		if (ud_reject)
			return rdma_reject(id, NULL, 0, IB_CM_REJ_CONSUMER_DEFINED);
		make_ud_qp(id);
		return rdma_accept(id, &p);
	case RDMA_CM_EVENT_ESTABLISHED:
		ud = event->param.ud;
		memcpy(ud_data[1], ud.private_data, ud.private_data_len);
		break;
	default:
		break;
	}
	return 0;
}

static void begin_ud(u16 port)
{
	struct sockaddr_storage src;

	memset(ud_events, 0, sizeof(ud_events));
	memcpy(&src, ip("10.0.0.1", 0), sizeof(src));
	memset(&client, 0, sizeof(client));
	client.id = rdma_create_id(&init_net, on_ud, NULL, RDMA_PS_UDP, IB_QPT_UD);
	assert_false(IS_ERR(client.id));
	assert_int_equal(rdma_resolve_addr(client.id, (struct sockaddr *)&src, ip("10.0.0.2", port), 1), 0);
	let_pass(MS);
}

static void send_datagram(void)
{
	struct ib_ah *ah = rdma_create_ah(a.pd, &ud.ah_attr, 0);
	struct ib_sge out = vk_sge(&a, 0, 32), in = vk_sge(&b, 0, 32 + 40);
	const struct ib_recv_wr recv = { .sg_list = &in, .num_sge = 1 };
	const struct ib_ud_wr wr = {
		.wr = { .sg_list = &out, .num_sge = 1, .opcode = IB_WR_SEND },
		.ah = ah,
		.remote_qpn = ud.qp_num,
		.remote_qkey = ud.qkey,
		.port_num = 1,
	};

	assert_false(IS_ERR(ah));
	memset(a.buf, 0x3c, 32);
	memset(b.buf, 0, 72);
	assert_int_equal(ib_post_recv(peers[0].id->qp, &recv, NULL), 0);
	assert_int_equal(ib_post_send(client.id->qp, &wr.wr, NULL), 0);
	let_pass(MS);
	assert_memory_equal(b.buf + 40, a.buf, 32);
	assert_int_equal(rdma_destroy_ah(ah, 0), 0);
}

static void datagrams(void **state)
{
	(void)state;
	open_all();
	listener.id = rdma_create_id(&init_net, on_ud, NULL, RDMA_PS_UDP, IB_QPT_UD);
	listener.gone = false;
	assert_false(IS_ERR(listener.id));
	assert_int_equal(rdma_bind_addr(listener.id, ip("0.0.0.0", PORT)), 0);
	assert_int_equal(rdma_listen(listener.id, 0), 0);
	ud_reject = false;
	begin_ud(PORT);
	assert_int_equal(ud_events[RDMA_CM_EVENT_ESTABLISHED], 1);
	assert_int_equal(ud.qp_num, peers[0].id->qp->qp_num);
	assert_memory_equal(ud_data[0], "from me\0\0", 9);
	assert_memory_equal(ud_data[1], "from me\0\0", 9);
	send_datagram();
	destroy(&client);
	destroy(&peers[0]);
	/* The ULP says no; nobody is there. */
	ud_reject = true;
	begin_ud(PORT);
	assert_int_equal(ud_events[RDMA_CM_EVENT_UNREACHABLE], 1);
	assert_int_equal(ud_status, 2);
	destroy(&client);
	destroy(&peers[0]);
	begin_ud(PORT + 1);
	assert_int_equal(ud_events[RDMA_CM_EVENT_UNREACHABLE], 1);
	assert_true(ud_status > 0);
	destroy(&client);
	destroy(&listener);
	/* A connection isn't for who listens for datagrams. */
	listener.id = rdma_create_id(&init_net, on_ud, NULL, RDMA_PS_TCP, IB_QPT_UD);
	assert_int_equal(rdma_bind_addr(listener.id, ip("0.0.0.0", PORT)), 0);
	assert_int_equal(rdma_listen(listener.id, 0), 0);
	begin(&client, "10.0.0.2", PORT);
	expect_resolved(&client);
	expect(&client, RDMA_CM_EVENT_REJECTED, IB_CM_REJ_CONSUMER_DEFINED);
	destroy(&client);
	destroy(&listener);
	close_all();
}

static void words(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i <= RDMA_CM_EVENT_TIMEWAIT_EXIT; i++)
		assert_string_not_equal(rdma_event_msg((enum rdma_cm_event_type)i),
					rdma_event_msg((enum rdma_cm_event_type)99));
	assert_string_not_equal(rdma_reject_msg(NULL, IB_CM_REJ_CONSUMER_DEFINED), rdma_reject_msg(NULL, 99));
	assert_string_equal(rdma_reject_msg(NULL, 0), rdma_reject_msg(NULL, -1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(connects_and_moves_data),
		T(addresses_lead_to_adapters),
		T(refused),
		T(not_ours),
		T(ports),
		T(other_port_spaces),
		T(bad_calls),
		T(queue_pair_refuses),
		T(options_go_both_ways),
		T(no_options),
		T(datagrams),
		T(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
