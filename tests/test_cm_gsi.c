/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Queue pair 1: two adapters on a wire connect real queue pairs by their communication managers, by LID and by GID.
 * What others send to it, what it has no room for, and its end while messages come.
 */
#include "engine_fixture.h"

#include "cm/gsi.h"
#include "cm/sa.h"
#include "no_leaks.h"

#define SERVICE 0x1061f90ull
#define QUIET (100 * MS)
#define ACK_TIMEOUT 8
#define RESPONSE 12 /* 17 ms */

struct end {
	struct side *s;
	struct hca_gsi gsi;
	struct hca_cm_id *id;
	u32 told[HCA_CM_EVENT_TIMEWAIT_EXIT + 1];
	struct hca_ah_attr path; /* to the peer */
	bool made; /* its queue pair is ready to send */
};

static struct end ends[2];
static struct hca_cm_id *listener;

static void open_ends(void)
{
	u32 i;

	test_os_reset(1);
	memset(ends, 0, sizeof(ends));
	assert_int_equal(wire_open(), 0);
	ends[0].s = &a;
	ends[1].s = &b;
	for (i = 0; i < 2; i++) {
		struct side *s = ends[i].s;
		const struct hca_gsi_memory memory = { .cpu = s->ram, .dma = BASE };

		assert_int_equal(side_open(s), 0);
		assert_int_equal(make_qp(s, HCA_QPT_RC, NULL, &s->qp), 0);
		assert_int_equal(hca_gsi_open(&ends[i].gsi, &s->hca, 0x100 + i, &memory), 0);
	}
}

static void close_ends(void)
{
	u32 i;

	for (i = 0; i < 2; i++) {
		hca_gsi_close(&ends[i].gsi);
		side_close(ends[i].s);
	}
	wire_close();
}

static void let_pass(u64 ns)
{
	u32 i;

	for (i = 0; i < 64; i++)
		test_clock_advance(ns / 64);
}

/* The consumer connects its queue pair as the messages say. */
static void make_ready(struct end *e, const struct hca_cm_msg *peer)
{
	const struct side *other = e->s == &a ? &b : &a;

	assert_int_equal(peer->qpn, other->qp->qpn);
	connect_qp(e->s, e->s->qp, other, peer->qpn, 3, 2);
	e->made = true;
}

static void handler(struct hca_cm_id *id, const struct hca_cm_event *event)
{
	struct end *e = event->type == HCA_CM_EVENT_REQUEST ? &ends[1] : id->context;

	e->told[event->type]++;
	if (event->type == HCA_CM_EVENT_REQUEST) {
		id->context = e;
		e->id = id;
		e->path = id->to;
		make_ready(e, event->msg);
		assert_int_equal(hca_cm_accept(id, &(const struct hca_cm_msg){ .qpn = e->s->qp->qpn }), 0);
	} else if (event->type == HCA_CM_EVENT_REPLY) {
		make_ready(e, event->msg);
		assert_int_equal(hca_cm_ready(id, NULL, 0), 0);
	} else if (event->type == HCA_CM_EVENT_DISCONNECT) {
		assert_int_equal(hca_cm_disconnect(id, NULL, 0), 0);
	}
}

static struct hca_cm_msg make_req(void)
{
	return (struct hca_cm_msg){
		.service_id = SERVICE,
		.qpn = a.qp->qpn,
		.path_mtu = HCA_MTU_4096,
		.remote_response_timeout = RESPONSE,
		.local_response_timeout = RESPONSE,
		.max_cm_retries = 3,
		.primary.ack_timeout = ACK_TIMEOUT,
	};
}

static void listen(void)
{
	assert_int_equal(hca_cm_create(&ends[1].gsi.cm, handler, NULL, &listener), 0);
	assert_int_equal(hca_cm_listen(listener, SERVICE, ~0ull, NULL, 0), 0);
}

/* @dgid: NULL: by its LID alone */
static void begin(const struct hca_gid *dgid)
{
	struct hca_ah_attr to = { .dlid = (u16)b.hca.lid, .port_num = 1 };
	const struct hca_cm_msg req = make_req();

	if (dgid) {
		to.is_global = true;
		to.grh.dgid = *dgid;
		to.grh.traffic_class = 0x12;
		to.grh.flow_label = 0x34567;
	}
	listen();
	assert_int_equal(hca_cm_create(&ends[0].gsi.cm, handler, &ends[0], &ends[0].id), 0);
	assert_int_equal(hca_cm_connect(ends[0].id, &to, &req), 0);
}

static void finish(void)
{
	hca_cm_destroy(ends[0].id);
	hca_cm_destroy(ends[1].id);
	hca_cm_destroy(listener);
	close_ends();
}

static void sends_something(void)
{
	struct hca_sge from = { .addr = BASE + BYTES - 8, .length = 8, .lkey = a.all->key };
	struct hca_sge to = { .addr = BASE + BYTES - 8, .length = 8, .lkey = b.all->key };
	const struct hca_recv_wr recv = { .sge = &to, .num_sge = 1 };
	const struct hca_send_wr wr = { .sge = &from, .num_sge = 1, .opcode = HCA_WR_SEND };

	memcpy(a.ram + BYTES - 8, "connect", 8);
	assert_int_equal(hca_post_recv(b.qp, &recv), 0);
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	let_pass(MS);
	assert_memory_equal(b.ram + BYTES - 8, "connect", 8);
}

static void queue_pairs_are_connected(void **state)
{
	struct hca_gid second = { .raw = { 0xfe, 0x80, [15] = 0x77 } };
	u32 way, index = 0;

	(void)state;
	for (way = 0; way < 3; way++) {
		open_ends();
		if (way == 2)
			assert_int_equal(hca_gid_add(&b.hca.gids, &second, &index), 0);
		begin(way == 0 ? NULL : way == 1 ? hca_gid_at(&b.hca.gids, 0) : &second);
		let_pass(QUIET);
		assert_true(ends[0].made && ends[1].made);
		assert_int_equal(ends[0].told[HCA_CM_EVENT_REPLY], 1);
		assert_int_equal(ends[1].told[HCA_CM_EVENT_ESTABLISHED], 1);
		assert_int_equal(ends[1].path.dlid, a.hca.lid);
		assert_int_equal(ends[1].path.is_global, way != 0);
		if (way) {
			/* Back to whom it came from, from the address that it came to. */
			assert_memory_equal(ends[1].path.grh.dgid.raw, hca_gid_at(&a.hca.gids, 0)->raw, 16);
			assert_int_equal(ends[1].path.grh.sgid_index, way == 1 ? 0 : index);
			assert_int_equal(ends[1].path.grh.traffic_class, 0x12);
			assert_int_equal(ends[1].path.grh.flow_label, 0x34567);
		}
		sends_something();
		assert_int_equal(hca_cm_disconnect(ends[0].id, NULL, 0), 0);
		let_pass(QUIET);
		assert_int_equal(ends[1].told[HCA_CM_EVENT_DISCONNECT], 1);
		assert_int_equal(ends[0].told[HCA_CM_EVENT_DISCONNECTED], 1);
		assert_int_equal(ends[0].told[HCA_CM_EVENT_TIMEWAIT_EXIT], 1);
		finish();
	}
	assert_int_equal(index, 1);
}

/* A queue pair of a program's that knows the Q_Key; more of it than there are receive requests; and what is no message. */
static void only_queue_pair_1_speaks(void **state)
{
	struct hca_qp_attr at = { .qkey = HCA_GSI_QKEY, .port_num = 1 };
	struct hca_cm_msg req;
	struct hca_sge sge = { .addr = BASE + BYTES - 1024, .lkey = 0 };
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND };
	struct hca_qp *ud;
	u32 i;

	(void)state;
	open_ends();
	listen();
	req = make_req();
	req.attr = HCA_CM_REQ;
	assert_int_equal(hca_cm_encode(&req, a.ram + BYTES - 1024), 0);
	assert_int_equal(make_qp(&a, HCA_QPT_UD, NULL, &ud), 0);
	modify(ud, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_QKEY);
	modify(ud, &at, HCA_QPS_RTR, 0);
	modify(ud, &at, HCA_QPS_RTS, HCA_QP_SQ_PSN);
	sge.lkey = a.all->key;
	wr.ud.dlid = b.hca.lid;
	wr.ud.qpn = HCA_GSI_QPN;
	wr.ud.qkey = HCA_GSI_QKEY;
	for (i = 0; i < 3 * HCA_GSI_RECVS; i++) {
		struct hca_wc wc;

		sge.length = i % 3 ? HCA_MAD_BYTES : i % (HCA_MAD_BYTES + 1);
		assert_int_equal(hca_post_send(ud, &wr), 0);
		let_pass(64);
		while (hca_cq_ring_poll(&a.scq.ring, &wc, 1) == 1)
			;
	}
	assert_int_equal(ends[1].told[HCA_CM_EVENT_REQUEST], 0);
	hca_cm_destroy(listener);
	begin(NULL);
	let_pass(QUIET);
	assert_int_equal(ends[1].told[HCA_CM_EVENT_ESTABLISHED], 1);
	hca_qp_destroy(ud);
	finish();
}

/* A question for a path to the second adapter goes to its queue pair 1, and the answer comes to ours. */
static void a_path_is_asked_for(void **state)
{
	u8 mad[HCA_MAD_BYTES] = { 1,	       HCA_MAD_CLASS_SA,	  HCA_SA_CLASS_VERSION,
				  HCA_MAD_GET, [17] = HCA_SA_PATH_RECORD, [55] = HCA_SA_DLID };
	const struct hca_sge sge = { .addr = (uintptr_t)mad, .length = sizeof(mad) };
	struct hca_send_wr wr = { .sge = &sge, .num_sge = 1, .opcode = HCA_WR_SEND, .flags = HCA_SEND_INLINE };
	struct hca_sa_path path = { 0 };
	const u8 *got;

	(void)state;
	open_ends();
	path.dlid = (u16)b.hca.lid;
	assert_int_equal(hca_sa_put(&path, mad + HCA_SA_DATA), 0);
	wr.ud.dlid = b.hca.lid;
	wr.ud.qpn = HCA_GSI_QPN;
	wr.ud.qkey = HCA_GSI_QKEY;
	assert_int_equal(hca_post_send(ends[0].gsi.qp, &wr), 0);
	let_pass(QUIET);
	/* It is the first that came, and for nobody here. */
	got = ends[0].gsi.memory.cpu + HCA_GSI_GRH;
	assert_int_equal(got[1], HCA_MAD_CLASS_SA);
	assert_int_equal(got[3], HCA_MAD_GET | HCA_MAD_RESPONSE);
	assert_int_equal(got[4] << 8 | got[5], HCA_SA_OK);
	hca_sa_get(got + HCA_SA_DATA, &path);
	assert_int_equal(path.dlid, b.hca.lid);
	assert_int_equal(path.slid, a.hca.lid);
	assert_memory_equal(path.dgid, hca_gid_at(&b.hca.gids, 0)->raw, 16);
	close_ends();
}

static void one_for_an_adapter(void **state)
{
	const struct hca_gsi_memory memory = { .cpu = a.ram, .dma = BASE };
	static struct hca_gsi second;

	(void)state;
	open_ends();
	assert_int_equal(hca_gsi_open(&second, &a.hca, 1, &memory), -EBUSY);
	close_ends();
}

static void memory_may_be_short(void **state)
{
	const struct hca_gsi_memory memory = { .cpu = a.ram, .dma = BASE };
	static struct hca_gsi gsi;

	(void)state;
	test_os_reset(1);
	assert_int_equal(wire_open(), 0);
	assert_int_equal(side_open(&a), 0);
	TEST_FAIL_LOOP(l)
	{
		int err = hca_gsi_open(&gsi, &a.hca, 1, &memory);

		if (err)
			assert_int_equal(err, -ENOMEM);
		else
			hca_gsi_close(&gsi);
	}
	side_close(&a);
	wire_close();
}

/* --- its end, by seed --- */

#define SEEDS 60u

static void connects(void *arg)
{
	struct hca_ah_attr to = { .dlid = (u16)b.hca.lid, .port_num = 1 };
	const struct hca_cm_msg req = make_req();

	(void)arg;
	HCA_ASSERT(!hca_cm_connect(ends[0].id, &to, &req));
}

static u32 moment; /* at which it is closed */

static void closes(void *arg)
{
	static u32 turns;
	u32 i;

	(void)arg;
	for (i = moment; i; i--)
		hca_store(&turns, i);
	hca_gsi_close(&ends[1].gsi);
}

/* Some wires need it to bring what is sent. */
static void lets_time_pass(void *arg)
{
	u32 i;

	(void)arg;
	for (i = 0; i < 8; i++)
		test_clock_advance(MS / 16);
}

static void closed_while_messages_come(void **state)
{
	void (*const fns[])(void *) = { connects, closes, lets_time_pass };
	void *const args[] = { NULL, NULL, NULL };
	u32 rejected = 0, unanswered = 0;
	u64 seed;

	(void)state;
	for (seed = 1; seed <= SEEDS; seed++) {
		open_ends();
		moment = (u32)seed * 13;
		assert_int_equal(hca_cm_create(&ends[0].gsi.cm, handler, &ends[0], &ends[0].id), 0);
		assert_int_equal(test_run_threads(seed, 3, fns, args, NULL), 0);
		let_pass(QUIET);
		rejected += ends[0].told[HCA_CM_EVENT_REJECTED];
		unanswered += ends[0].told[HCA_CM_EVENT_UNREACHABLE];
		hca_cm_destroy(ends[0].id);
		hca_gsi_close(&ends[0].gsi);
		side_close(&a);
		side_close(&b);
		wire_close();
	}
	assert_true(rejected && unanswered);
	assert_int_equal(rejected + unanswered, SEEDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(queue_pairs_are_connected), T(only_queue_pair_1_speaks), T(a_path_is_asked_for),
		T(one_for_an_adapter),	      T(memory_may_be_short),	   T(closed_while_messages_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
