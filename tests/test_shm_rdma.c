/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One-sided work between two processes over the whole wire: by the initiator alone, and the same left to messages. Both bring the same
 * bytes, and refuse the same things with the same status, state and event (IBTA vol. 1, 9.7.4.1, 9.7.5.2, 9.9.3).
 */
#define SIDE_BYTES (20u << 20)
#include "shm_fixture.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "# line %d: %s\n", __LINE__, #c), _exit(1)))
#define MAX_MESSAGE (8u << 20)
#define THERE (10u << 20) /* where in the peer's memory */

struct shared {
	u32 stop;
	u32 key;
	u32 done;
};

static struct side a, b; /* ours; the child's, in the child */
static struct side_name bn;
static struct shared *both;
static bool direct;
static enum hca_qp_type type;
static pid_t child;
static int fd;

/* --- the child --- */

enum order {
	NAME,
	CONNECT,
	REGISTER,
	OTHER_PD,
	WINDOW,
	OTHER_WINDOW,
	DEREGISTER,
	ACCESS,
	TO_RTR,
	TO_INIT,
	TO_RESET,
	TO_ERR,
	FILL,
	SAME,
	STATE,
	REVOKE,
	RECV,
	LEAVE
};

struct told {
	enum order order;
	u64 off;
	u32 len;
	u32 value;
	struct side_name peer;
};

struct answer {
	u64 value;
	struct side_name name;
	u32 state;
	u32 access_events;
	u32 request_events;
	u32 established;
};

static struct hca_mr *region;
static struct hca_pd another_pd;
static struct hca_mw *window;

static u64 make_region(struct hca_pd *pd, u32 access, u64 off, u32 len)
{
	struct hca_mr_attr attr = { .kind = HCA_MR_LINEAR, .access = access, .length = len };

	attr.iova = attr.base = (uintptr_t)b.ram + off;
	CHECK(!hca_mr_create(pd, &attr, &region));
	return region->key;
}

static u64 bind_window(struct hca_qp *qp, u64 off, u32 len)
{
	struct hca_send_wr wr = { .opcode = HCA_WR_BIND_MW };
	struct hca_wc wc;

	CHECK(!hca_mw_create(&b.hca, &b.pd, HCA_MW_TYPE_2, &window));
	make_region(&b.pd, RW | HCA_ACCESS_MW_BIND, 0, SIDE_BYTES);
	wr.bind.mw = window;
	wr.bind.addr = (uintptr_t)b.ram + off;
	wr.bind.length = len;
	wr.bind.rkey = hca_key_next(window->key);
	wr.bind.lkey = region->key;
	wr.bind.access = HCA_ACCESS_REMOTE_READ | HCA_ACCESS_REMOTE_WRITE;
	CHECK(!hca_post_send(qp, &wr));
	side_wait(&b, &b.scq, &wc);
	CHECK(!wc.status);
	return wr.bind.rkey;
}

/* Bound on a queue pair that isn't the peer's. */
static u64 bind_elsewhere(const struct told *t)
{
	struct hca_qp *qp = b.qp;
	u64 key;

	CHECK(!side_qp(&b, HCA_QPT_RC));
	CHECK(!side_connect(&b, &(const struct side_name){ .node = hca_shm_number(b.shm), .qpn = b.qp->qpn }));
	key = bind_window(b.qp, t->off, t->len);
	b.qp = qp;
	return key;
}

static void to_state(enum hca_qp_state to)
{
	struct hca_qp_attr at = { 0 };

	CHECK(!side_modify(b.qp, &at, to, 0));
}

/* The state before the last that side_connect() goes through. */
static void only_to(enum hca_qp_state state, const struct side_name *peer)
{
	struct hca_qp_attr at = {
		.path_mtu = HCA_MTU_4096,
		.dest_qp_num = peer->qpn,
		.qp_access_flags = HCA_ACCESS_REMOTE_WRITE | HCA_ACCESS_REMOTE_READ,
		.ah = { .dlid = (u16)peer->node, .port_num = 1 },
		.port_num = 1,
		.max_dest_rd_atomic = 4,
	};

	to_state(HCA_QPS_RESET);
	CHECK(!side_modify(b.qp, &at, HCA_QPS_INIT, HCA_QP_PKEY_INDEX | HCA_QP_PORT | HCA_QP_ACCESS_FLAGS));
	if (state == HCA_QPS_RTR)
		CHECK(!side_modify(b.qp, &at, HCA_QPS_RTR,
				   HCA_QP_AV | HCA_QP_PATH_MTU | HCA_QP_DEST_QPN | HCA_QP_RQ_PSN |
					   HCA_QP_MAX_DEST_RD_ATOMIC | HCA_QP_MIN_RNR_TIMER));
}

static bool all_are(const u8 *p, u32 len, u8 value)
{
	return !len || (p[0] == value && !memcmp(p, p + 1, len - 1));
}

/* A region that goes while the peer writes to it: not a byte changes afterwards. */
static u64 revoke_one(const struct told *t)
{
	u32 before = hca_load(&both->done), after;

	hca_store_release(&both->key, (u32)make_region(&b.pd, RW, t->off, t->len));
	while (hca_load(&both->done) - before < 4)
		hca_shm_poll(b.shm);
	CHECK(!hca_mr_destroy(region));
	memset(b.ram + t->off, 0xee, t->len);
	after = hca_load(&both->done);
	while (hca_load(&both->done) - after < 6)
		hca_shm_poll(b.shm);
	return all_are(b.ram + t->off, t->len, 0xee);
}

static bool is_same(const u8 *p, u32 len, u32 seed)
{
	u32 i;

	for (i = 0; i < len; i++)
		if (p[i] != (u8)(seed + i * 7 + (i >> 8)))
			return false;
	return true;
}

/* Whoever takes in a message has taken it in, and what its handlers were called for has been done. */
static void end_of_handlers(struct hca_eq *eq)
{
	hca_irqflags_t flags;
	bool idle;

	hca_quiesce_wait_of(&b.hca.quiesce, 0);
	do {
		hca_eq_run(eq);
		hca_spin_lock(&eq->lock, flags);
		idle = !eq->first && !eq->runners;
		hca_spin_unlock(&eq->lock, flags);
	} while (!idle && !usleep(1000));
}

static u64 obey(const struct told *t)
{
	struct hca_qp_attr at = { .qp_access_flags = t->value };
	struct hca_wc wc;

	switch (t->order) {
	case NAME:
	case STATE:
		end_of_handlers(hca_shm_eq(b.shm));
		return 0;
	case CONNECT:
		CHECK(!side_connect(&b, &t->peer));
		CHECK(!side_recv(&b, 1, 0, 8));
		return 0;
	case REGISTER:
		return make_region(&b.pd, t->value, t->off, t->len);
	case OTHER_PD:
		hca_pd_init(&another_pd, &b.hca);
		return make_region(&another_pd, t->value, t->off, t->len);
	case WINDOW:
		return bind_window(b.qp, t->off, t->len);
	case OTHER_WINDOW:
		return bind_elsewhere(t);
	case DEREGISTER:
		CHECK(!hca_mr_destroy(region));
		return 0;
	case ACCESS:
		CHECK(!hca_qp_modify(b.qp, &at, HCA_QP_ACCESS_FLAGS));
		return 0;
	case TO_RTR:
		only_to(HCA_QPS_RTR, &t->peer);
		return 0;
	case TO_INIT:
		only_to(HCA_QPS_INIT, &t->peer);
		return 0;
	case TO_RESET:
		to_state(HCA_QPS_RESET);
		return 0;
	case TO_ERR:
		to_state(HCA_QPS_ERR);
		return 0;
	case FILL:
		side_fill(b.ram + t->off, t->len, t->value);
		return 0;
	case SAME:
		/* What isn't reliable isn't answered: the message behind it tells that it was taken in. */
		if (type == HCA_QPT_UC && hca_load(&b.qp->state) == HCA_QPS_RTS)
			side_wait(&b, &b.rcq, &wc);
		/* Or the helper has taken it in, as we know by way of the peer: this says it to the thread sanitizer. */
		hca_shm_poll(b.shm);
		return is_same(b.ram + t->off, t->len, t->value);
	case REVOKE:
		return revoke_one(t);
	case RECV:
		CHECK(!side_recv(&b, 2, 0, 8));
		return 0;
	case LEAVE:
		break;
	}
	_exit(0);
}

static void be_child(void)
{
	struct told t;

	CHECK(!side_open(&b));
	CHECK(!side_qp(&b, type));
	for (;;) {
		struct answer r = { 0 };

		hca_shm_arm(b.shm);
		CHECK(read(fd, &t, sizeof(t)) == sizeof(t));
		r.value = obey(&t);
		r.name = side_name(&b);
		r.state = hca_load(&b.qp->state);
		r.access_events = hca_load(&b.events[HCA_EVENT_QP_ACCESS_ERR]);
		r.request_events = hca_load(&b.events[HCA_EVENT_QP_REQ_ERR]);
		r.established = hca_load(&b.events[HCA_EVENT_COMM_EST]);
		CHECK(write(fd, &r, sizeof(r)) == sizeof(r));
	}
}

/* --- the parent --- */

static struct answer tell(const struct told *t)
{
	struct answer r;

	assert_int_equal(write(fd, t, sizeof(*t)), sizeof(*t));
	assert_int_equal(read(fd, &r, sizeof(r)), sizeof(r));
	return r;
}

static void begin(enum hca_qp_type qp_type, bool by_ourselves)
{
	const struct hca_shm_config cfg = { .lids = true, .no_direct = !by_ourselves };
	struct told t = { .order = CONNECT };
	int pair[2];

	direct = by_ourselves;
	type = qp_type;
	assert_int_equal(fabric_make(NULL), 0);
	both = mmap(NULL, sizeof(*both), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	child = fork();
	assert_true(child >= 0);
	fd = pair[child ? 0 : 1];
	close(pair[child ? 1 : 0]);
	if (!child)
		be_child();
	assert_int_equal(side_open_as(&a, &cfg), 0);
	assert_int_equal(side_qp(&a, type), 0);
	bn = tell(&(const struct told){ .order = NAME }).name;
	t.peer = side_name(&a);
	tell(&t);
	assert_int_equal(side_connect_as(&a, &bn, 14, 3, 7), 0);
}

static void finish(int sig)
{
	const struct told t = { .order = LEAVE };
	int status;

	if (sig)
		kill(child, sig);
	else
		assert_int_equal(write(fd, &t, sizeof(t)), sizeof(t));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(sig || (WIFEXITED(status) && !WEXITSTATUS(status)));
	close(fd);
	side_close(&a);
	munmap(both, sizeof(*both));
	assert_int_equal(fabric_remove(NULL), 0);
}

static enum hca_wc_status wait_status(u64 id)
{
	struct hca_wc wc;

	side_wait(&a, &a.scq, &wc);
	assert_int_equal(wc.wr_id, id);
	return wc.status;
}

/* A request of up to three entries, of bytes from @off on. */
static enum hca_wc_status rdma(enum hca_wr_opcode op, u64 off, u32 len, u32 entries, u64 raddr, u32 rkey)
{
	struct hca_send_wr wr = { .wr_id = raddr, .num_sge = entries, .opcode = op };
	struct hca_sge sge[3];
	u32 i, at = 0;

	for (i = 0; i < entries; i++) {
		u32 n = i + 1 < entries ? (len - at) / 3 : len - at;

		sge[i] = side_sge(&a, off + at, n);
		at += n;
	}
	wr.sge = sge;
	wr.rdma.addr = raddr;
	wr.rdma.rkey = rkey;
	assert_int_equal(hca_post_send(a.qp, &wr), 0);
	return wait_status(raddr);
}

/* --- bytes --- */

static void sizes(bool by_ourselves)
{
	static const u32 all[] = { 0,	  1,	 2,	7,	8,	9,	 64,	  1000,	      4096,
				   65535, 65536, 65537, 131072, 200001, 1 << 20, 3000001, MAX_MESSAGE };
	u32 i, entries;

	begin(HCA_QPT_RC, by_ourselves);
	for (i = 0; i < HCA_ARRAY_SIZE(all); i++) {
		for (entries = 1; entries <= 3; entries++) {
			struct told t = { .order = SAME, .off = THERE + i, .len = all[i], .value = 10 * i + entries };

			side_fill(a.ram + entries, all[i], t.value);
			assert_int_equal(
				rdma(HCA_WR_RDMA_WRITE, entries, all[i], entries, bn.addr + THERE + i, bn.rkey), 0);
			assert_true(tell(&t).value);
			memset(a.ram, 0, all[i] + 4);
			assert_int_equal(rdma(HCA_WR_RDMA_READ, 1, all[i], entries, bn.addr + THERE + i, bn.rkey), 0);
			assert_true(is_same(a.ram + 1, all[i], t.value));
			assert_true(!a.ram[0] && !a.ram[all[i] + 1]);
		}
	}
	finish(0);
}

static void sizes_by_ourselves(void **state)
{
	(void)state;
	sizes(true);
}

static void sizes_by_messages(void **state)
{
	(void)state;
	sizes(false);
}

/* Its CPU isn't needed, for as much as may be. */
static void a_stopped_target(void **state)
{
	int status;

	(void)state;
	begin(HCA_QPT_RC, true);
	kill(child, SIGSTOP);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	side_fill(a.ram, 3 << 20, 5);
	assert_int_equal(rdma(HCA_WR_RDMA_WRITE, 0, 3 << 20, 2, bn.addr, bn.rkey), 0);
	memset(a.ram, 0, 3 << 20);
	assert_int_equal(rdma(HCA_WR_RDMA_READ, 0, 3 << 20, 3, bn.addr, bn.rkey), 0);
	assert_true(is_same(a.ram, 3 << 20, 5));
	kill(child, SIGCONT);
	finish(0);
}

/* --- what is refused --- */

struct outcome {
	enum hca_wc_status status;
	u32 own_state;
	u32 state;
	u32 access_events;
	u32 request_events;
	u32 established;
	bool written;
};

struct wrong {
	const char *name;
	enum hca_qp_type type;
	enum hca_wr_opcode op;
	enum hca_wc_status status;
	struct told first; /* what the child does before; its answer is the key, if it is one */
	bool keeps_key;
	u32 key_plus;
	u64 addr_plus;
	u32 len;
	bool written;
};

/* Field by field, so that what isn't named is 0. */
#define WRONG(text, of, does, ends, ...) \
	{ \
		.name = text, .type = HCA_QPT_##of, .op = HCA_WR_RDMA_##does, .status = HCA_WC_##ends, __VA_ARGS__ \
	}
#define REGION(what, rights) .first = { .order = what, .off = THERE, .len = 100000, .value = rights }
#define FIRST(what, rights) .first = { .order = what, .value = rights }, .keeps_key = true
#define READABLE HCA_ACCESS_REMOTE_READ
#define WRITABLE (HCA_ACCESS_LOCAL_WRITE | HCA_ACCESS_REMOTE_WRITE)

static const struct wrong wrongs[] = {
	WRONG("all is right", RC, WRITE, SUCCESS, REGION(REGISTER, RW), .written = true),
	WRONG("another generation", RC, WRITE, REM_ACCESS_ERR, REGION(REGISTER, RW), .key_plus = 1),
	WRONG("no such key", RC, READ, REM_ACCESS_ERR, REGION(REGISTER, RW), .key_plus = 40 << 8),
	WRONG("before it", RC, WRITE, REM_ACCESS_ERR, REGION(REGISTER, RW), .addr_plus = -1ull),
	WRONG("beyond it", RC, WRITE, REM_ACCESS_ERR, REGION(REGISTER, RW), .addr_plus = 1, .len = 100000),
	WRONG("at its end", RC, WRITE, SUCCESS, REGION(REGISTER, RW), .addr_plus = 100000 - 64, .written = true),
	WRONG("no right to write", RC, WRITE, REM_ACCESS_ERR, REGION(REGISTER, READABLE)),
	WRONG("no right to read", RC, READ, REM_ACCESS_ERR, REGION(REGISTER, WRITABLE)),
	WRONG("no right at all", RC, READ, REM_ACCESS_ERR, REGION(REGISTER, 0)),
	WRONG("another domain", RC, WRITE, REM_ACCESS_ERR, REGION(OTHER_PD, RW)),
	WRONG("a window", RC, WRITE, SUCCESS, REGION(WINDOW, 0), .written = true),
	WRONG("beyond a window", RC, READ, REM_ACCESS_ERR, REGION(WINDOW, 0), .addr_plus = 100000),
	WRONG("another one's window", RC, WRITE, REM_ACCESS_ERR, REGION(OTHER_WINDOW, 0)),
	WRONG("may only be read", RC, WRITE, REM_INV_REQ_ERR, FIRST(ACCESS, READABLE)),
	WRONG("may only be written", RC, READ, REM_INV_REQ_ERR, FIRST(ACCESS, WRITABLE)),
	WRONG("in RTR", RC, WRITE, SUCCESS, FIRST(TO_RTR, 0), .written = true),
	WRONG("in INIT", RC, WRITE, RETRY_EXC_ERR, FIRST(TO_INIT, 0)),
	WRONG("in RESET", RC, READ, RETRY_EXC_ERR, FIRST(TO_RESET, 0)),
	WRONG("in ERR", RC, WRITE, RETRY_EXC_ERR, FIRST(TO_ERR, 0)),
	WRONG("unreliable", UC, WRITE, SUCCESS, REGION(REGISTER, RW), .written = true),
	WRONG("unreliable, no such key", UC, WRITE, SUCCESS, REGION(REGISTER, RW), .key_plus = 1),
	WRONG("unreliable, beyond it", UC, WRITE, SUCCESS, REGION(REGISTER, RW), .addr_plus = 1, .len = 100000),
	WRONG("unreliable, in ERR", UC, WRITE, SUCCESS, FIRST(TO_ERR, 0)),
};

#define PATIENCE_NS 20000000000ull

static struct outcome outcome_of(const struct wrong *w, bool by_ourselves)
{
	struct told first = w->first, same = { .order = SAME, .value = 3 }, fill = { .order = FILL, .value = 200 };
	u32 len = w->len ? w->len : 64;
	struct outcome o;
	struct answer r;
	u64 end;
	u32 key;

	begin(w->type, by_ourselves);
	first.peer = side_name(&a);
	key = (u32)tell(&first).value;
	key = w->keeps_key ? bn.rkey : key + w->key_plus;
	fill.off = same.off = THERE + w->addr_plus;
	fill.len = same.len = len;
	tell(&fill);
	side_fill(a.ram, len, 3);
	o.status = rdma(w->op, 0, len, 1, bn.addr + THERE + w->addr_plus, key);
	if (type == HCA_QPT_UC) {
		assert_int_equal(side_post(&a, &bn, 1, HCA_WR_SEND, 0, 0, 0), 0);
		assert_int_equal(wait_status(1), 0);
	}
	o.written = tell(&same).value;
	/* The thread that completed the request moves the queue pair to ERR after that. */
	for (end = hca_now_ns() + PATIENCE_NS; o.status && hca_load(&a.qp->state) == HCA_QPS_RTS && hca_now_ns() < end;)
		hca_eq_run(hca_shm_eq(a.shm));
	hca_eq_run(hca_shm_eq(a.shm));
	o.own_state = hca_load(&a.qp->state);
	r = tell(&(const struct told){ .order = STATE });
	o.state = r.state;
	o.access_events = r.access_events;
	o.request_events = r.request_events;
	o.established = r.established;
	finish(0);
	return o;
}

static void the_same_is_refused_alike(void **state)
{
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(wrongs); i++) {
		const struct wrong *w = &wrongs[i];
		struct outcome o = outcome_of(w, true), m = outcome_of(w, false);

		if (o.status != w->status || o.written != w->written || m.written != w->written ||
		    o.status != m.status || o.own_state != m.own_state || o.state != m.state ||
		    o.access_events != m.access_events || o.request_events != m.request_events ||
		    o.established != m.established)
			fail_msg("%s: %d, %d: states %u %u, %u %u; events %u %u %u, %u %u %u; written %d %d", w->name,
				 o.status, m.status, o.own_state, o.state, m.own_state, m.state, o.access_events,
				 o.request_events, o.established, m.access_events, m.request_events, m.established,
				 o.written, m.written);
	}
}

/* --- keys that go --- */

static void a_region_goes_under_load(void **state)
{
	const struct told t = { .order = REVOKE, .off = THERE, .len = 300000 };
	struct answer r;
	ssize_t n;
	u32 i;

	(void)state;
	begin(HCA_QPT_UC, true);
	memset(a.ram, 0x11, t.len);
	for (i = 0; i < 100; i++) {
		assert_int_equal(write(fd, &t, sizeof(t)), sizeof(t));
		while ((n = recv(fd, &r, sizeof(r), MSG_DONTWAIT)) < 0) {
			if (hca_load_acquire(&both->key))
				assert_int_equal(rdma(HCA_WR_RDMA_WRITE, 0, t.len, 1, bn.addr + THERE, both->key), 0);
			hca_fetch_add(&both->done, 1u);
			hca_shm_poll(a.shm);
		}
		assert_int_equal(n, sizeof(r));
		assert_true(r.value);
	}
	finish(0);
}

/* --- order --- */

/* What isn't reliable isn't answered: a write doesn't pass by a send that the peer hasn't taken in. */
static void an_unreliable_write_behind_a_send(void **state)
{
	const struct told same = { .order = SAME, .off = THERE, .len = 64, .value = 9 };
	u8 seen[64] = { 0 };
	struct iovec here = { .iov_base = seen, .iov_len = sizeof(seen) }, there;
	int status;

	(void)state;
	begin(HCA_QPT_UC, true);
	there = (struct iovec){ .iov_base = (void *)(uintptr_t)(bn.addr + THERE), .iov_len = sizeof(seen) };
	side_fill(a.ram, 64, 9);
	kill(child, SIGSTOP);
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_int_equal(side_post(&a, &bn, 1, HCA_WR_SEND, 0, 8, 0), 0);
	assert_int_equal(wait_status(1), 0);
	assert_int_equal(rdma(HCA_WR_RDMA_WRITE, 0, 64, 1, bn.addr + THERE, bn.rkey), 0);
	assert_int_equal(process_vm_readv(child, &here, 1, &there, 1, 0), sizeof(seen));
	assert_true(all_are(seen, sizeof(seen), 0));
	kill(child, SIGCONT);
	tell(&(const struct told){ .order = RECV });
	assert_int_equal(side_post(&a, &bn, 1, HCA_WR_SEND, 0, 8, 0), 0);
	assert_int_equal(wait_status(1), 0);
	tell(&same); /* the first send is there */
	assert_true(tell(&same).value); /* and what is behind it */
	finish(0);
}

/* --- death --- */

static void the_target_is_killed(void **state)
{
	enum hca_wc_status status = HCA_WC_SUCCESS;
	u32 i, k;

	(void)state;
	for (k = 0; k < 10; k++) {
		begin(HCA_QPT_RC, true);
		for (i = 0; !status; i++) {
			if (i == 3 + k)
				kill(child, SIGKILL);
			status = rdma(i % 2 ? HCA_WR_RDMA_READ : HCA_WR_RDMA_WRITE, 0, 200000, 1, bn.addr, bn.rkey);
		}
		assert_true(status == HCA_WC_RETRY_EXC_ERR || status == HCA_WC_WR_FLUSH_ERR);
		finish(SIGKILL);
		status = HCA_WC_SUCCESS;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_by_ourselves),	    cmocka_unit_test(sizes_by_messages),
		cmocka_unit_test(a_stopped_target),	    cmocka_unit_test(the_same_is_refused_alike),
		cmocka_unit_test(a_region_goes_under_load), cmocka_unit_test(an_unreliable_write_behind_a_send),
		cmocka_unit_test(the_target_is_killed),
	};

	return cmocka_run_group_tests_name("shm_rdma", tests, NULL, NULL);
}
