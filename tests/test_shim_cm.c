/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The drop-in librdmacm inside one process: ports, channels, connections from their beginning to their end, endpoints, mistakes. */
#include "shim_cm_fixture.h"

#include <netdb.h>

/* --- ports --- */

static void ports_are_as_with_sockets(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *a, *b = new_id(ch, RDMA_PS_TCP), *u = new_id(ch, RDMA_PS_UDP);
	uint16_t port;

	(void)state;
	a = listener(ch, RDMA_PS_TCP, "127.0.0.1", 0);
	port = ntohs(rdma_get_src_port(a));
	assert_int_equal(bind_to(b, "127.0.0.1", port), EADDRINUSE);
	assert_int_equal(bind_to(b, "0.0.0.0", port), EADDRINUSE);
	assert_int_equal(bind_to(b, "192.0.2.7", port), EADDRNOTAVAIL);
	/* Another address, another version, another port space. */
	assert_int_equal(bind_to(b, "127.0.0.2", port), 0);
	assert_int_equal(bind_to(u, "127.0.0.1", port), 0);
	assert_int_equal(bind_to(u, "127.0.0.1", port), EINVAL);
	assert_int_equal(rdma_destroy_id(b), 0);
	b = new_id(ch, RDMA_PS_TCP);
	assert_int_equal(bind_to(b, "::", port), 0);
	assert_int_equal(rdma_destroy_id(a), 0);
	assert_int_equal(rdma_destroy_id(b), 0);
	b = new_id(ch, RDMA_PS_TCP);
	assert_int_equal(bind_to(b, "0.0.0.0", port), 0);
	assert_int_equal(rdma_destroy_id(b), 0);
	assert_int_equal(rdma_destroy_id(u), 0);
	rdma_destroy_event_channel(ch);
}

static void a_port_may_be_shared_but_by_listeners(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *a = new_id(ch, RDMA_PS_TCP), *b = new_id(ch, RDMA_PS_TCP);
	int yes = 1;
	uint8_t tos = 8;

	(void)state;
	assert_int_equal(rdma_set_option(a, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &yes, sizeof(yes)), 0);
	assert_int_equal(rdma_set_option(b, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &yes, sizeof(yes)), 0);
	assert_int_equal(rdma_set_option(b, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &tos, sizeof(tos)), 0);
	assert_int_equal(rdma_set_option(b, RDMA_OPTION_ID, 99, &yes, sizeof(yes)), -1);
	assert_int_equal(errno, ENOSYS);
	assert_int_equal(bind_to(a, "127.0.0.1", 0), 0);
	assert_int_equal(bind_to(b, "127.0.0.1", ntohs(rdma_get_src_port(a))), 0);
	assert_int_equal(rdma_listen(a, 1), 0);
	assert_int_equal(rdma_listen(b, 1), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_int_equal(rdma_destroy_id(a), 0);
	assert_int_equal(rdma_listen(b, 1), 0);
	assert_int_equal(rdma_destroy_id(b), 0);
	rdma_destroy_event_channel(ch);
}

/* Requests to either version find their own wildcard. */
static void both_wildcards_on_one_port(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel(), *active = rdma_create_event_channel();
	struct rdma_cm_id *four = listener(ch, RDMA_PS_TCP, "0.0.0.0", 0), *six = new_id(ch, RDMA_PS_TCP), *id;
	static const char *const ip[] = { "127.0.0.1", "::1" };
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_event *e;
	int i;

	(void)state;
	assert_int_equal(bind_to(six, "::", ntohs(rdma_get_src_port(four))), 0);
	assert_int_equal(rdma_listen(six, 0), 0);
	for (i = 0; i < 2; i++) {
		id = resolved(active, RDMA_PS_TCP, ip[i], rdma_get_src_port(four));
		assert_int_equal(rdma_connect(id, &param), 0);
		e = next_event(ch);
		assert_int_equal(e->event, RDMA_CM_EVENT_CONNECT_REQUEST);
		assert_ptr_equal(e->listen_id, i ? six : four);
		assert_int_equal(rdma_get_local_addr(e->id)->sa_family, i ? AF_INET6 : AF_INET);
		assert_int_equal(rdma_get_dst_port(e->id), rdma_get_src_port(id));
		assert_int_equal(rdma_get_src_port(e->id), rdma_get_src_port(four));
		assert_int_equal(rdma_destroy_id(e->id), 0);
		assert_int_equal(rdma_ack_cm_event(e), 0);
		assert_int_equal(expect(active, RDMA_CM_EVENT_REJECTED, NULL), 28);
		end_id(id);
	}
	assert_int_equal(rdma_destroy_id(four), 0);
	/* The wildcard of IPv6 takes what is for IPv4, too. */
	id = resolved(active, RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(six));
	assert_int_equal(rdma_connect(id, &param), 0);
	assert_int_equal(expect(ch, RDMA_CM_EVENT_CONNECT_REQUEST, &four), 0);
	assert_int_equal(rdma_get_local_addr(four)->sa_family, AF_INET);
	assert_int_equal(rdma_destroy_id(four), 0);
	end_id(id);
	assert_int_equal(rdma_destroy_id(six), 0);
	rdma_destroy_event_channel(ch);
	rdma_destroy_event_channel(active);
}

static void a_thousand_listeners(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel(), *active = rdma_create_event_channel();
	static struct rdma_cm_id *l[1000];
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_event *e;
	struct rdma_cm_id *id;
	int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		l[i] = listener(ch, RDMA_PS_TCP, "127.0.0.1", 0);
	for (i = 0; i < 1000; i += 333) {
		id = resolved(active, RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(l[i]));
		assert_int_equal(rdma_connect(id, &param), 0);
		e = next_event(ch);
		assert_ptr_equal(e->listen_id, l[i]);
		assert_int_equal(rdma_reject(e->id, "no", 2), 0);
		assert_int_equal(rdma_destroy_id(e->id), 0);
		assert_int_equal(rdma_ack_cm_event(e), 0);
		end_id(id);
	}
	for (i = 0; i < 1000; i++)
		assert_int_equal(rdma_destroy_id(l[i]), 0);
	rdma_destroy_event_channel(ch);
	rdma_destroy_event_channel(active);
}

/* --- channels --- */

/* As with a socket, it is as many as there may be. */
static void a_backlog_may_be_negative(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();

	(void)state;
	assert_int_equal(rdma_destroy_id(listener(ch, RDMA_PS_TCP, "127.0.0.1", -1)), 0);
	rdma_destroy_event_channel(ch);
}

static void a_channel_can_be_polled(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel(), *other = rdma_create_event_channel();
	struct sockaddr_storage sa = address("127.0.0.1", 1);
	struct pollfd fd = { .fd = ch->fd, .events = POLLIN };
	struct rdma_cm_id *id = new_id(ch, RDMA_PS_TCP);
	struct rdma_cm_event *e;

	(void)state;
	assert_int_equal(fcntl(ch->fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(rdma_get_cm_event(ch, &e), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_int_equal(rdma_resolve_addr(id, NULL, (struct sockaddr *)&sa, 1000), 0);
	assert_int_equal(poll(&fd, 1, -1), 1);
	/* An event goes with its ID to another channel, and with it for good. */
	assert_int_equal(rdma_migrate_id(id, other), 0);
	assert_ptr_equal(id->channel, other);
	assert_int_equal(poll(&fd, 1, 0), 0);
	fd.fd = other->fd;
	assert_int_equal(poll(&fd, 1, 0), 1);
	assert_int_equal(rdma_destroy_id(id), 0);
	assert_int_equal(poll(&fd, 1, 0), 0);
	rdma_destroy_event_channel(ch);
	rdma_destroy_event_channel(other);
}

static void *get_one(void *arg)
{
	struct rdma_event_channel *ch = arg;
	struct rdma_cm_event *e;
	enum rdma_cm_event_type type;

	if (rdma_get_cm_event(ch, &e))
		return (void *)-1;
	type = e->event;
	rdma_ack_cm_event(e);
	return (void *)(intptr_t)type;
}

/* A thread that waits goes on waiting for the events of others. */
static void ids_end_while_a_thread_waits(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct sockaddr_storage sa = address("127.0.0.1", 1);
	struct rdma_cm_id *id;
	pthread_t thread;
	void *result;
	int i;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, get_one, ch), 0);
	for (i = 0; i < 100; i++) {
		id = listener(ch, RDMA_PS_TCP, "127.0.0.1", 1);
		assert_int_equal(rdma_destroy_id(id), 0);
	}
	id = new_id(ch, RDMA_PS_TCP);
	assert_int_equal(rdma_resolve_addr(id, NULL, (struct sockaddr *)&sa, 1000), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_int_equal((intptr_t)result, RDMA_CM_EVENT_ADDR_RESOLVED);
	assert_int_equal(rdma_destroy_id(id), 0);
	rdma_destroy_event_channel(ch);
}

/* --- connections --- */

static void private_data_and_depths_go_both_ways(void **state)
{
	char hello[56], answer[196];
	struct rdma_conn_param param = { .private_data = hello,
					 .private_data_len = sizeof(hello),
					 .responder_resources = 3,
					 .initiator_depth = 5,
					 .retry_count = 6,
					 .rnr_retry_count = 5 };
	struct rdma_cm_event *e;
	struct ibv_qp_attr at;
	struct ibv_qp_init_attr init;
	struct pair p;

	(void)state;
	memset(hello, 'h', sizeof(hello));
	memset(answer, 'a', sizeof(answer));
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	param.private_data_len = 57;
	assert_int_equal(rdma_connect(p.id[0], &param), -1);
	assert_int_equal(errno, EINVAL);
	param.private_data_len = 56;
	assert_int_equal(rdma_connect(p.id[0], &param), 0);
	e = next_event(p.ch[1]);
	assert_int_equal(e->event, RDMA_CM_EVENT_CONNECT_REQUEST);
	assert_ptr_equal(e->listen_id, p.listener);
	p.id[1] = e->id;
	assert_int_equal(e->param.conn.private_data_len, 56);
	assert_memory_equal(e->param.conn.private_data, hello, 56);
	assert_int_equal(e->param.conn.responder_resources, 5);
	assert_int_equal(e->param.conn.initiator_depth, 3);
	assert_int_equal(e->param.conn.retry_count, 6);
	assert_int_equal(e->param.conn.rnr_retry_count, 5);
	assert_int_equal(e->param.conn.qp_num, p.id[0]->qp->qp_num);
	assert_int_equal(rdma_ack_cm_event(e), 0);
	make_qp(p.id[1]);
	param = (struct rdma_conn_param){
		.private_data = answer, .private_data_len = 196, .responder_resources = 4, .initiator_depth = 2
	};
	assert_int_equal(rdma_accept(p.id[1], &param), 0);
	e = next_event(p.ch[0]);
	assert_int_equal(e->event, RDMA_CM_EVENT_ESTABLISHED);
	assert_int_equal(e->param.conn.private_data_len, 196);
	assert_memory_equal(e->param.conn.private_data, answer, 196);
	assert_int_equal(rdma_ack_cm_event(e), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
	assert_int_equal(ibv_query_qp(p.id[0]->qp, &at,
				      IBV_QP_STATE | IBV_QP_MAX_QP_RD_ATOMIC | IBV_QP_MAX_DEST_RD_ATOMIC |
					      IBV_QP_RNR_RETRY,
				      &init),
			 0);
	assert_int_equal(at.qp_state, IBV_QPS_RTS);
	assert_in_range(at.rnr_retry, 6, 7); /* though the peer asked for none */
	assert_int_equal(at.max_rd_atomic, 4);
	assert_int_equal(at.max_dest_rd_atomic, 2);
	assert_int_equal(at.dest_qp_num, p.id[1]->qp->qp_num);
	assert_int_equal(state_of(p.id[1]->qp), IBV_QPS_RTS);
	pair_end(&p);
}

/* Of each length that there is, both ways. */
static void private_data_has_its_length(void **state)
{
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_event *e;
	uint8_t bytes[196];
	struct pair p;
	int len;

	(void)state;
	memset(bytes, 0xee, sizeof(bytes));
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	for (len = 0; len <= 56; len += 7) {
		param = (struct rdma_conn_param){ .private_data = bytes, .private_data_len = (uint8_t)len };
		assert_int_equal(rdma_connect(p.id[0], &param), 0);
		e = next_event(p.ch[1]);
		assert_int_equal(e->event, RDMA_CM_EVENT_CONNECT_REQUEST);
		assert_int_equal(e->param.conn.private_data_len, len);
		assert_true(!len || !memcmp(e->param.conn.private_data, bytes, (size_t)len));
		p.id[1] = e->id;
		assert_int_equal(rdma_ack_cm_event(e), 0);
		make_qp(p.id[1]);
		param.private_data_len = (uint8_t)(len * 3);
		assert_int_equal(rdma_accept(p.id[1], &param), 0);
		e = next_event(p.ch[0]);
		assert_int_equal(e->event, RDMA_CM_EVENT_ESTABLISHED);
		assert_int_equal(e->param.conn.private_data_len, len * 3);
		assert_int_equal(rdma_ack_cm_event(e), 0);
		assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
		end_id(p.id[1]);
		p.id[1] = NULL;
		assert_int_equal(expect(p.ch[0], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
		end_id(p.id[0]);
		p.id[0] = resolved(p.ch[0], RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(p.listener));
	}
	pair_end(&p);
}

static void a_connection_carries_messages_and_ends(void **state)
{
	char out[] = "over the connection", in[64];
	struct ibv_mr *mr[2];
	struct ibv_wc wc;
	struct pair p;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "::1");
	pair_connect(&p);
	mr[0] = rdma_reg_msgs(p.id[0], out, sizeof(out));
	mr[1] = rdma_reg_msgs(p.id[1], in, sizeof(in));
	assert_int_equal(rdma_post_recv(p.id[1], NULL, in, sizeof(in), mr[1]), 0);
	assert_int_equal(rdma_post_send(p.id[0], NULL, out, sizeof(out), mr[0], IBV_SEND_SIGNALED), 0);
	assert_int_equal(rdma_get_send_comp(p.id[0], &wc), 1);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(rdma_get_recv_comp(p.id[1], &wc), 1);
	assert_int_equal(wc.byte_len, sizeof(out));
	assert_string_equal(in, out);
	assert_int_equal(rdma_disconnect(p.id[0]), 0);
	assert_int_equal(state_of(p.id[0]->qp), IBV_QPS_ERR);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	assert_int_equal(rdma_disconnect(p.id[1]), 0);
	assert_int_equal(expect(p.ch[0], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	ibv_dereg_mr(mr[0]);
	ibv_dereg_mr(mr[1]);
	pair_end(&p);
}

/* A second answer is refused, and the connection that the first one made stays. */
static void a_request_is_accepted_once(void **state)
{
	struct rdma_conn_param param = { .responder_resources = 1, .initiator_depth = 1, .retry_count = 7 };
	struct pair p;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	assert_int_equal(rdma_connect(p.id[0], &param), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_CONNECT_REQUEST, &p.id[1]), 0);
	make_qp(p.id[1]);
	assert_int_equal(rdma_accept(p.id[1], NULL), 0);
	assert_int_equal(rdma_accept(p.id[1], NULL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(expect(p.ch[0], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
	assert_int_equal(rdma_accept(p.id[1], NULL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(state_of(p.id[0]->qp), IBV_QPS_RTS);
	assert_int_equal(state_of(p.id[1]->qp), IBV_QPS_RTS);
	pair_end(&p);
}

static void both_sides_disconnect_at_once(void **state)
{
	struct pair p;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	pair_connect(&p);
	assert_int_equal(rdma_disconnect(p.id[0]), 0);
	assert_int_equal(rdma_disconnect(p.id[1]), 0);
	assert_int_equal(expect(p.ch[0], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	pair_end(&p);
}

static void a_request_is_refused(void **state)
{
	struct rdma_conn_param param = { .retry_count = 1 };
	struct rdma_cm_event *e;
	struct pair p;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	assert_int_equal(rdma_connect(p.id[0], &param), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_CONNECT_REQUEST, &p.id[1]), 0);
	assert_int_equal(rdma_reject(p.id[1], "because", 7), 0);
	e = next_event(p.ch[0]);
	assert_int_equal(e->event, RDMA_CM_EVENT_REJECTED);
	assert_int_equal(e->status, 28);
	assert_int_equal(e->param.conn.private_data_len, 7);
	assert_memory_equal(e->param.conn.private_data, "because", 7);
	assert_int_equal(rdma_ack_cm_event(e), 0);
	assert_int_equal(state_of(p.id[0]->qp), IBV_QPS_ERR);
	assert_int_equal(rdma_accept(p.id[1], NULL), -1);
	pair_end(&p);
}

static void nobody_is_there(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel();
	struct rdma_cm_id *bound = new_id(ch, RDMA_PS_TCP), *id = new_id(ch, RDMA_PS_TCP);
	struct sockaddr_storage sa = address("192.0.2.1", 7);
	struct rdma_conn_param param = { .retry_count = 1 };
	__be16 port;

	(void)state;
	assert_int_equal(rdma_resolve_addr(id, NULL, (struct sockaddr *)&sa, 100), 0);
	assert_true(expect(ch, RDMA_CM_EVENT_ADDR_ERROR, NULL) < 0);
	assert_int_equal(rdma_connect(id, &param), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(rdma_destroy_id(id), 0);
	assert_int_equal(bind_to(bound, "127.0.0.1", 0), 0);
	port = rdma_get_src_port(bound);
	assert_int_equal(rdma_destroy_id(bound), 0);
	id = resolved(ch, RDMA_PS_TCP, "127.0.0.1", port);
	assert_int_equal(rdma_connect(id, &param), 0);
	assert_int_equal(expect(ch, RDMA_CM_EVENT_REJECTED, NULL), 8);
	end_id(id);
	id = resolved(ch, RDMA_PS_UDP, "127.0.0.1", port);
	assert_int_equal(rdma_connect(id, &param), 0);
	assert_int_equal(expect(ch, RDMA_CM_EVENT_UNREACHABLE, NULL), 1);
	end_id(id);
	rdma_destroy_event_channel(ch);
}

/* Requests that the program never saw are answered when their listener ends, and those that have no room at once. */
static void a_listener_ends_with_requests(void **state)
{
	struct rdma_event_channel *ch = rdma_create_event_channel(), *active = rdma_create_event_channel();
	struct rdma_cm_id *l = listener(ch, RDMA_PS_TCP, "127.0.0.1", 2), *id[4];
	struct rdma_conn_param param = { .retry_count = 1 };
	struct pollfd fd = { .fd = ch->fd, .events = POLLIN };
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		id[i] = resolved(active, RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(l));
	for (i = 0; i < 4; i++)
		assert_int_equal(rdma_connect(id[i], &param), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(expect(active, RDMA_CM_EVENT_REJECTED, NULL), 28);
	assert_int_equal(poll(&fd, 1, -1), 1);
	assert_int_equal(rdma_destroy_id(l), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(expect(active, RDMA_CM_EVENT_REJECTED, NULL), 28);
	assert_int_equal(poll(&fd, 1, 0), 0);
	for (i = 0; i < 4; i++)
		end_id(id[i]);
	rdma_destroy_event_channel(ch);
	rdma_destroy_event_channel(active);
}

static void accept_after_the_peer_left(void **state)
{
	struct rdma_conn_param param = { .retry_count = 1 };
	struct pair p;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	assert_int_equal(rdma_connect(p.id[0], &param), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_CONNECT_REQUEST, &p.id[1]), 0);
	make_qp(p.id[1]);
	end_id(p.id[0]);
	p.id[0] = NULL;
	/* Whatever comes first, the message or this call, the end is told. */
	(void)rdma_accept(p.id[1], NULL);
	(void)expect(p.ch[1], RDMA_CM_EVENT_REJECTED, NULL);
	pair_end(&p);
}

/* A program that has its own queue pairs gets the attributes, and says itself that it is ready. */
static void queue_pairs_of_the_programs_own(void **state)
{
	struct rdma_conn_param param = { .retry_count = 7, .rnr_retry_count = 7 };
	struct ibv_qp_attr at = { .qp_state = IBV_QPS_RTR };
	struct rdma_cm_event *e;
	struct ibv_qp *qp;
	struct pair p;
	int mask;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	qp = p.id[0]->qp;
	p.id[0]->qp = NULL;
	param.qp_num = qp->qp_num;
	assert_int_equal(rdma_connect(p.id[0], &param), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_CONNECT_REQUEST, &p.id[1]), 0);
	make_qp(p.id[1]);
	assert_int_equal(rdma_accept(p.id[1], NULL), 0);
	e = next_event(p.ch[0]);
	assert_int_equal(e->event, RDMA_CM_EVENT_CONNECT_RESPONSE);
	assert_int_equal(e->param.conn.qp_num, p.id[1]->qp->qp_num);
	assert_int_equal(rdma_ack_cm_event(e), 0);
	assert_int_equal(rdma_init_qp_attr(p.id[0], &at, &mask), 0);
	assert_int_equal(at.dest_qp_num, p.id[1]->qp->qp_num);
	assert_int_equal(ibv_modify_qp(qp, &at, mask), 0);
	at.qp_state = IBV_QPS_RTS;
	assert_int_equal(rdma_init_qp_attr(p.id[0], &at, &mask), 0);
	assert_int_equal(ibv_modify_qp(qp, &at, mask), 0);
	assert_int_equal(rdma_establish(p.id[0]), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
	p.id[0]->qp = qp;
	pair_end(&p);
}

/* Return: the errno of an attempt to set it. */
static int set_ece(struct rdma_cm_id *id, uint32_t vendor, uint32_t options)
{
	struct ibv_ece ece = { .vendor_id = vendor, .options = options };

	return rdma_set_local_ece(id, &ece) ? errno : 0;
}

static void expect_ece(struct rdma_cm_id *id, uint32_t vendor, uint32_t options)
{
	struct ibv_ece ece = { .vendor_id = 1, .options = 1, .comp_mask = 1 };

	assert_int_equal(rdma_get_remote_ece(id, &ece), 0);
	assert_int_equal(ece.vendor_id, vendor);
	assert_int_equal(ece.options, options);
	assert_int_equal(ece.comp_mask, 0);
}

/* A connection of queue pairs that the library knows by their numbers only; the manager remembers these for a while. */
static void connect_foreign(struct pair *p, uint32_t vendor, uint32_t options)
{
	static uint32_t qp_num = 0x800000;
	struct rdma_conn_param param = { .qp_num = qp_num++, .retry_count = 7, .rnr_retry_count = 7 };

	rdma_destroy_qp(p->id[0]);
	if (vendor)
		assert_int_equal(set_ece(p->id[0], vendor, options), 0);
	expect_ece(p->id[0], 0, 0);
	assert_int_equal(rdma_connect(p->id[0], &param), 0);
	assert_int_equal(expect(p->ch[1], RDMA_CM_EVENT_CONNECT_REQUEST, &p->id[1]), 0);
	expect_ece(p->id[1], vendor, vendor ? options : 0);
	if (vendor)
		assert_int_equal(set_ece(p->id[1], vendor ^ 0xffffff, ~options), 0);
	param.qp_num = qp_num++;
	assert_int_equal(rdma_accept(p->id[1], &param), 0);
	assert_int_equal(expect(p->ch[0], RDMA_CM_EVENT_CONNECT_RESPONSE, NULL), 0);
	expect_ece(p->id[0], vendor ? vendor ^ 0xffffff : 0, vendor ? ~options : 0);
	assert_int_equal(rdma_establish(p->id[0]), 0);
	assert_int_equal(expect(p->ch[1], RDMA_CM_EVENT_ESTABLISHED, NULL), 0);
}

static void options_go_both_ways(void **state)
{
	static const uint32_t vendors[] = { 0, 1, 0x0002c9, 0xfffffe };
	struct pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
		pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
		connect_foreign(&p, vendors[i], 0x80402010);
		pair_end(&p);
	}
}

static void options_are_for_queue_pairs_of_the_programs_own(void **state)
{
	struct ibv_ece ece = { .vendor_id = 5, .comp_mask = 1 };
	struct pair p;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	assert_int_equal(set_ece(p.id[0], 5, 6), EINVAL);
	assert_int_equal(rdma_get_remote_ece(p.id[0], &ece), -1);
	assert_int_equal(errno, EINVAL);
	rdma_destroy_qp(p.id[0]);
	assert_int_equal(set_ece(p.id[0], 0, 0), 0);
	assert_int_equal(set_ece(p.id[0], 0x1000000, 6), EINVAL);
	assert_int_equal(rdma_set_local_ece(p.id[0], &ece), -1);
	assert_int_equal(rdma_set_local_ece(p.id[0], NULL), -1);
	assert_int_equal(rdma_set_local_ece(NULL, &ece), -1);
	assert_int_equal(rdma_get_remote_ece(p.id[0], NULL), -1);
	/* A queue pair of the library's takes the place of the program's own, and has no options. */
	assert_int_equal(set_ece(p.id[0], 5, 6), 0);
	make_qp(p.id[0]);
	pair_connect(&p);
	rdma_destroy_qp(p.id[1]);
	expect_ece(p.id[1], 0, 0);
	pair_end(&p);
}

static void datagrams_find_their_queue_pair(void **state)
{
	struct rdma_conn_param param = { .private_data = "who", .private_data_len = 3 };
	struct rdma_cm_event *e;
	struct pair p;

	(void)state;
	pair_begin(&p, RDMA_PS_UDP, "127.0.0.1");
	assert_int_equal(state_of(p.id[0]->qp), IBV_QPS_RTS);
	assert_int_equal(rdma_connect(p.id[0], &param), 0);
	e = next_event(p.ch[1]);
	assert_int_equal(e->event, RDMA_CM_EVENT_CONNECT_REQUEST);
	assert_int_equal(e->param.ud.private_data_len, 3);
	assert_memory_equal(e->param.ud.private_data, "who", 3);
	p.id[1] = e->id;
	assert_int_equal(rdma_ack_cm_event(e), 0);
	make_qp(p.id[1]);
	param = (struct rdma_conn_param){ .private_data = "me", .private_data_len = 2, .qp_num = p.id[1]->qp->qp_num };
	assert_int_equal(rdma_accept(p.id[1], &param), 0);
	e = next_event(p.ch[0]);
	assert_int_equal(e->event, RDMA_CM_EVENT_ESTABLISHED);
	assert_int_equal(e->param.ud.qp_num, p.id[1]->qp->qp_num);
	assert_int_equal(e->param.ud.qkey, RDMA_UDP_QKEY);
	assert_int_equal(e->param.ud.private_data_len, 2);
	assert_memory_equal(e->param.ud.private_data, "me", 2);
	assert_int_equal(rdma_ack_cm_event(e), 0);
	pair_end(&p);
}

static void many_connections_one_after_another(void **state)
{
	struct pair p;
	int i;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	for (i = 0;; i++) {
		pair_connect(&p);
		assert_int_equal(rdma_disconnect(p.id[0]), 0);
		assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
		end_id(p.id[1]);
		assert_int_equal(expect(p.ch[0], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
		end_id(p.id[0]);
		if (i == 300)
			break;
		p.id[0] = resolved(p.ch[0], RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(p.listener));
	}
	p.id[0] = p.id[1] = NULL;
	pair_end(&p);
}

#define DEPARTURES 50 /* not so many that numbers of queue pairs come again while the manager remembers them */

/* The peer leaves. A second thread gets the event and changes the queue pair's state. This thread makes and destroys the queue pair. */
static void a_queue_pair_is_made_while_the_peer_leaves(void **state)
{
	struct rdma_conn_param param = { .retry_count = 1 };
	pthread_t thread;
	struct pair p;
	void *type;
	int i;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	for (i = 0; i < DEPARTURES; i++) {
		assert_int_equal(rdma_connect(p.id[0], &param), 0);
		assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_CONNECT_REQUEST, &p.id[1]), 0);
		assert_int_equal(pthread_create(&thread, NULL, get_one, p.ch[1]), 0);
		end_id(p.id[0]);
		make_qp(p.id[1]);
		rdma_destroy_qp(p.id[1]);
		assert_int_equal(pthread_join(thread, &type), 0);
		assert_int_equal((intptr_t)type, RDMA_CM_EVENT_REJECTED);
		assert_int_equal(rdma_destroy_id(p.id[1]), 0);
		p.id[1] = NULL;
		p.id[0] = resolved(p.ch[0], RDMA_PS_TCP, "127.0.0.1", rdma_get_src_port(p.listener));
	}
	pair_end(&p);
}

/* --- endpoints --- */

static void *serve_one(void *arg)
{
	struct rdma_cm_id *l = arg, *id;
	struct ibv_wc wc;
	char in[16];
	struct ibv_mr *mr;

	if (rdma_get_request(l, &id))
		return "rdma_get_request";
	mr = rdma_reg_msgs(id, in, sizeof(in));
	if (!mr || rdma_post_recv(id, NULL, in, sizeof(in), mr))
		return "rdma_post_recv";
	if (rdma_accept(id, NULL))
		return "rdma_accept";
	if (rdma_get_recv_comp(id, &wc) != 1 || wc.status || memcmp(in, "sixteen bytes...", 16) != 0)
		return "rdma_get_recv_comp";
	rdma_disconnect(id);
	rdma_dereg_mr(mr);
	rdma_destroy_ep(id);
	return NULL;
}

static void endpoints_wait_for_their_events(void **state)
{
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 }, .sq_sig_all = 1
	};
	struct rdma_addrinfo hints = { .ai_flags = RAI_PASSIVE, .ai_port_space = RDMA_PS_TCP }, *res;
	struct ibv_qp_init_attr copy = attr;
	struct rdma_cm_id *l, *id;
	char port[8], out[16] = "sixteen bytes..";
	pthread_t thread;
	void *result;
	struct ibv_wc wc;
	struct ibv_mr *mr;

	(void)state;
	memcpy(out, "sixteen bytes...", 16);
	assert_int_equal(rdma_getaddrinfo("127.0.0.1", "0", &hints, &res), 0);
	assert_int_equal(res->ai_qp_type, IBV_QPT_RC);
	assert_int_equal(rdma_create_ep(&l, res, NULL, &attr), 0);
	rdma_freeaddrinfo(res);
	assert_int_equal(rdma_listen(l, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, serve_one, l), 0);
	snprintf(port, sizeof(port), "%u", ntohs(rdma_get_src_port(l)));
	hints.ai_flags = 0;
	assert_int_equal(rdma_getaddrinfo("localhost", port, &hints, &res), 0);
	rdma_freeaddrinfo(res);
	assert_int_equal(rdma_getaddrinfo("127.0.0.1", port, &hints, &res), 0);
	assert_int_equal(rdma_create_ep(&id, res, NULL, &copy), 0);
	rdma_freeaddrinfo(res);
	mr = rdma_reg_msgs(id, out, sizeof(out));
	assert_non_null(mr);
	assert_int_equal(rdma_connect(id, NULL), 0);
	assert_int_equal(rdma_post_send(id, NULL, out, sizeof(out), mr, 0), 0);
	assert_int_equal(rdma_get_send_comp(id, &wc), 1);
	assert_int_equal(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(rdma_disconnect(id), 0);
	assert_int_equal(pthread_join(thread, &result), 0);
	assert_null(result);
	rdma_dereg_mr(mr);
	rdma_destroy_ep(id);
	rdma_destroy_ep(l);
	/* Who is refused is told so by the call. */
	assert_int_equal(rdma_getaddrinfo("127.0.0.1", "9", &hints, &res), 0);
	copy = attr;
	assert_int_equal(rdma_create_ep(&id, res, NULL, &copy), 0);
	rdma_freeaddrinfo(res);
	assert_int_equal(rdma_connect(id, NULL), -1);
	assert_int_equal(errno, ECONNREFUSED);
	rdma_destroy_ep(id);
}

static int names(int qp_type, int ps)
{
	const struct rdma_addrinfo hints = { .ai_qp_type = qp_type, .ai_port_space = ps };
	struct rdma_addrinfo *res = NULL;
	int err = rdma_getaddrinfo("127.0.0.1", "1", &hints, &res);

	rdma_freeaddrinfo(res);
	return err;
}

static void kinds_go_with_their_port_spaces(void **state)
{
	(void)state;
	assert_int_equal(names(IBV_QPT_UD, RDMA_PS_TCP), EAI_SOCKTYPE);
	assert_int_equal(names(IBV_QPT_RC, RDMA_PS_UDP), EAI_SOCKTYPE);
	assert_int_equal(names(IBV_QPT_UD, RDMA_PS_UDP), 0);
	assert_int_equal(names(IBV_QPT_UD, RDMA_PS_IPOIB), 0);
	assert_int_equal(names(IBV_QPT_RC, 0), 0);
	assert_int_equal(names(0, RDMA_PS_UDP), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_are_as_with_sockets),
		cmocka_unit_test(a_port_may_be_shared_but_by_listeners),
		cmocka_unit_test(both_wildcards_on_one_port),
		cmocka_unit_test(a_thousand_listeners),
		cmocka_unit_test(a_backlog_may_be_negative),
		cmocka_unit_test(a_channel_can_be_polled),
		cmocka_unit_test(ids_end_while_a_thread_waits),
		cmocka_unit_test(private_data_and_depths_go_both_ways),
		cmocka_unit_test(private_data_has_its_length),
		cmocka_unit_test(a_connection_carries_messages_and_ends),
		cmocka_unit_test(a_request_is_accepted_once),
		cmocka_unit_test(both_sides_disconnect_at_once),
		cmocka_unit_test(a_request_is_refused),
		cmocka_unit_test(nobody_is_there),
		cmocka_unit_test(a_listener_ends_with_requests),
		cmocka_unit_test(accept_after_the_peer_left),
		cmocka_unit_test(queue_pairs_of_the_programs_own),
		cmocka_unit_test(options_go_both_ways),
		cmocka_unit_test(options_are_for_queue_pairs_of_the_programs_own),
		cmocka_unit_test(datagrams_find_their_queue_pair),
		cmocka_unit_test(many_connections_one_after_another),
		cmocka_unit_test(a_queue_pair_is_made_while_the_peer_leaves),
		cmocka_unit_test(endpoints_wait_for_their_events),
		cmocka_unit_test(kinds_go_with_their_port_spaces),
	};

	return cmocka_run_group_tests_name("shim_cm", tests, make_fabric, remove_fabric);
}
