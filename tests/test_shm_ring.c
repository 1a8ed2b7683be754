/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Rings and what stands in them: against a model, full, with garbage from the other side, and with several threads that write. */
#include "shm_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "hca/opcode.h"
#include "wire/shm/message.h"
#include "wire/shm/ring.h"

#define SIZE HCA_FABRIC_LANE_MIN
#define NAME "ring.1.2"

static int dir;
static struct shm_ring out, in;
static struct shm_lane *const w = &out.lane[HCA_FABRIC_REQUESTS], *const r = &in.lane[HCA_FABRIC_REQUESTS];

static int open_ring(void **state)
{
	const struct hca_fabric_ring head = {
		.from = 1, .to = 2, .from_stamp = 3, .to_stamp = 4, .size = { SIZE, SIZE }
	};

	if (fabric_make(state))
		return -1;
	dir = open(fabric_dir, O_RDONLY | O_DIRECTORY);
	return shm_ring_create(dir, NAME, &head, &out) || shm_ring_open(dir, NAME, &in) ? -1 : 0;
}

static int close_ring(void **state)
{
	shm_ring_unmap(&out);
	shm_ring_unmap(&in);
	close(dir);
	return fabric_remove(state);
}

static u64 random_state;

static u32 chance(u32 below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(random_state >> 33) % below;
}

static int put(u32 bytes, u8 fill)
{
	void *at = NULL;
	int err = shm_lane_room(w, bytes, &at);

	if (err)
		return err;
	memset(at, fill, bytes);
	memcpy(at, &bytes, sizeof(bytes));
	shm_lane_commit(w, bytes);
	return 0;
}

/* --- the model: a queue of entries, by their length and what they are filled with --- */

#define QUEUE 16384u

static struct {
	u32 bytes;
	u8 fill;
} queue[QUEUE];
static u32 first, behind, used;

static bool filled(const u8 *at, u32 bytes, u8 fill)
{
	u32 i;

	for (i = sizeof(u32); i < bytes; i++)
		if (at[i] != fill)
			return false;
	return true;
}

static void model_put(u8 fill)
{
	u32 bytes = 8 * (1 + (chance(4) ? chance(20) : chance(8200)));
	int err = put(bytes, fill);

	assert_int_equal(err, used + bytes > SIZE ? -EAGAIN : 0);
	if (err)
		return;
	queue[behind % QUEUE].bytes = bytes;
	queue[behind++ % QUEUE].fill = fill;
	used += bytes;
}

static void model_take(void)
{
	u32 bytes = 0;
	void *at = NULL;

	if (first == behind) {
		assert_int_equal(shm_lane_next(r, &bytes, &at), 0);
		return;
	}
	assert_int_equal(shm_lane_next(r, &bytes, &at), 1);
	assert_int_equal(bytes, queue[first % QUEUE].bytes);
	assert_true(filled(at, bytes, queue[first % QUEUE].fill));
	shm_lane_done(r, bytes);
	used -= bytes;
	first++;
}

static void as_the_model(void **state)
{
	u32 i, lean;

	(void)state;
	random_state = 1;
	first = behind = used = 0;
	for (i = 0; i < 60000; i++) {
		/* Mostly full for a while, then mostly empty. */
		lean = i / 1000 % 2 ? 3 : 7;
		if (chance(10) < lean)
			model_put((u8)i);
		else
			model_take();
	}
	while (first != behind)
		model_take();
	model_take();
	assert_true(w->pos > 20ull * SIZE);
}

/* A payload that is in its entry. */
static const struct shm_source here;

/* The longest entry that there is fits into the smallest ring. */
static void the_longest_fits(void **state)
{
	struct hca_msg m = { .opcode = HCA_WR_SEND, .flags = HCA_MSG_GLOBAL, .piece = 65536, .len = 65536 };
	u32 payload;

	(void)state;
	assert_true(shm_message_bytes(&m, &here, &payload) <= HCA_FABRIC_LANE_MIN);
	assert_true(shm_reply_bytes(65536) <= HCA_FABRIC_LANE_MIN);
}

/* --- waiting for room --- */

static void room_is_told_once(void **state)
{
	u32 bytes = 0;
	void *at = NULL;

	(void)state;
	while (!put(1024, 1))
		;
	assert_false(shm_lane_made_room(r));
	assert_int_equal(shm_lane_want(w, 1024, &at), -EAGAIN);
	assert_false(shm_lane_half_empty(w));
	while (shm_lane_next(r, &bytes, &at) && r->pos < SIZE / 2) {
		assert_false(shm_lane_made_room(r));
		shm_lane_done(r, bytes);
	}
	assert_true(shm_lane_made_room(r));
	assert_false(shm_lane_made_room(r));
	assert_true(shm_lane_half_empty(w));
	assert_int_equal(shm_lane_want(w, 1024, &at), 0);
}

/* --- garbage --- */

static void heads_that_cant_be(void **state)
{
	const u64 bad[] = { SIZE + 8, 4, 1, ~0ull, 1ull << 63 };
	u32 bytes = 0, i;
	void *at = NULL;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		hca_store(&r->shared->head, bad[i]);
		assert_int_equal(shm_lane_next(r, &bytes, &at), -EPROTO);
	}
}

static void lengths_that_cant_be(void **state)
{
	const u32 bad[] = { 0, 4, 7, 9, 72, SIZE, SIZE + 8, ~0u, 0x80000000u };
	u32 bytes = 0, i;
	void *at = NULL;

	(void)state;
	assert_int_equal(put(64, 1), 0);
	assert_int_equal(shm_lane_next(r, &bytes, &at), 1);
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++) {
		hca_store((u32 *)(void *)w->data, bad[i]);
		assert_int_equal(shm_lane_next(r, &bytes, &at), -EPROTO);
	}
}

static void tails_that_cant_be(void **state)
{
	void *at = NULL;

	(void)state;
	while (!put(1024, 1))
		;
	hca_store(&w->shared->tail, w->pos + 8);
	assert_int_equal(shm_lane_room(w, 1024, &at), -EPROTO);
	hca_store(&w->shared->tail, 2048ull);
	assert_int_equal(shm_lane_room(w, 1024, &at), 0);
	while (!put(1024, 1))
		;
	hca_store(&w->shared->tail, 1024ull); /* it went back */
	assert_int_equal(shm_lane_room(w, 1024, &at), -EPROTO);
}

/* --- files --- */

static void write_head(const struct hca_fabric_ring *head)
{
	int fd = openat(dir, NAME, O_RDWR);

	assert_int_equal(pwrite(fd, head, sizeof(*head), 0), sizeof(*head));
	close(fd);
}

static void files_that_are_no_rings(void **state)
{
	struct hca_fabric_ring good = *out.head, head;
	struct shm_ring other = { 0 };

	(void)state;
	head = good, head.magic++;
	write_head(&head);
	assert_int_equal(shm_ring_open(dir, NAME, &other), -EPROTO);
	head = good, head.version++;
	write_head(&head);
	assert_int_equal(shm_ring_open(dir, NAME, &other), -EPROTO);
	head = good, head.size[0] = SIZE * 2;
	write_head(&head);
	assert_int_equal(shm_ring_open(dir, NAME, &other), -EPROTO);
	head = good, head.size[1] = SIZE + 8;
	write_head(&head);
	assert_int_equal(shm_ring_open(dir, NAME, &other), -EPROTO);
	head = good, head.size[1] = 4096;
	write_head(&head);
	assert_int_equal(shm_ring_open(dir, NAME, &other), -EPROTO);
	head = good, head.size[0] = 0x80000000u;
	write_head(&head);
	assert_int_equal(shm_ring_open(dir, NAME, &other), -EPROTO);
	write_head(&good);
	assert_int_equal(shm_ring_open(dir, NAME, &other), 0);
	shm_ring_unmap(&other);
	assert_int_equal(shm_ring_open(dir, "ring.1.3", &other), -ENOENT);
	assert_int_equal(mkfifoat(dir, "ring.1.4", 0600), 0);
	assert_int_equal(shm_ring_open(dir, "ring.1.4", &other), -EPROTO);
	assert_int_equal(symlinkat(NAME, dir, "ring.1.5"), 0);
	assert_int_equal(shm_ring_open(dir, "ring.1.5", &other), -ELOOP);
	assert_int_equal(mkdirat(dir, "ring.1.6", 0700), 0);
	assert_int_not_equal(shm_ring_open(dir, "ring.1.6", &other), 0);
	unlinkat(dir, "ring.1.6", AT_REMOVEDIR);
	assert_null(other.head);
}

/* --- what stands in them --- */

static u32 random_u32(void)
{
	return chance(0x10000) << 16 | chance(0x10000);
}

static void random_message(struct hca_msg *m)
{
	static const u8 ops[] = {
		HCA_WR_SEND,	      HCA_WR_SEND_WITH_IMM,	 HCA_WR_RDMA_WRITE,	    HCA_WR_RDMA_READ,
		HCA_WR_SEND_WITH_INV, HCA_WR_ATOMIC_CMP_AND_SWP, HCA_WR_RDMA_WRITE_WITH_IMM
	};

	memset(m, 0, sizeof(*m));
	m->opcode = ops[chance(sizeof(ops))];
	m->flags = (u8)(chance(256) & ~HCA_MSG_GLOBAL);
	m->sl = (u8)chance(16);
	m->pkey = (u16)chance(65536);
	m->dlid = random_u32();
	m->dqpn = random_u32();
	m->slid = 1;
	m->sqpn = random_u32();
	m->number = random_u32();
	m->session = random_u32();
	m->srqn = random_u32();
	m->imm = random_u32();
	m->rkey = random_u32();
	m->qkey = random_u32();
	m->srqn = random_u32();
	m->raddr = (u64)random_u32() << 32 | random_u32();
	m->off = chance(1000000);
	m->piece = chance(65537);
	m->len = m->off + m->piece + chance(100);
	if (m->opcode == HCA_WR_ATOMIC_CMP_AND_SWP) {
		m->compare_add = random_u32();
		m->swap = (u64)random_u32() << 32;
	} else if (m->opcode <= HCA_WR_SEND_WITH_IMM && chance(2)) {
		m->flags |= HCA_MSG_GLOBAL;
		memset(m->ud.sgid.raw, (int)chance(256), 16);
		memset(m->ud.dgid.raw, (int)chance(256), 16);
		m->ud.flow_label = chance(1 << 20);
		m->ud.hop_limit = (u8)chance(256);
		m->ud.traffic_class = (u8)chance(256);
	}
}

/* Each field by itself: between them there may be anything. */
static void same(const struct hca_msg *m, const struct hca_msg *n)
{
#define SAME(field) assert_memory_equal(&m->field, &n->field, sizeof(m->field))
	SAME(opcode), SAME(flags), SAME(sl), SAME(pkey), SAME(dlid), SAME(dqpn), SAME(slid), SAME(sqpn), SAME(number);
	SAME(session), SAME(srqn), SAME(imm), SAME(rkey), SAME(raddr), SAME(len), SAME(off), SAME(piece), SAME(qkey);
	SAME(compare_add), SAME(swap), SAME(ud.sgid), SAME(ud.dgid), SAME(ud.flow_label), SAME(ud.hop_limit);
	SAME(ud.traffic_class);
#undef SAME
}

static void messages_come_as_they_went(void **state)
{
	u32 payload, bytes, read, i;
	struct hca_msg m, back;
	struct shm_source src;
	void *at = NULL, *data, *end;

	(void)state;
	random_state = 7;
	for (i = 0; i < 3000; i++) {
		random_message(&m);
		bytes = shm_message_bytes(&m, &here, &payload);
		assert_int_equal(shm_lane_room(w, bytes, &at), 0);
		data = shm_message_put(at, bytes, &m, &here);
		assert_true((u8 *)data + payload <= (u8 *)at + bytes);
		shm_lane_commit(w, bytes);
		assert_int_equal(shm_lane_next(r, &bytes, &at), 1);
		assert_int_equal(shm_message_get(at, bytes, 1, &back, &src, &end, &read), 0);
		same(&m, &back);
		assert_int_equal(src.n, 0);
		assert_int_equal((u8 *)data - w->data, (u8 *)end - r->data);
		assert_int_equal(read, m.opcode == HCA_WR_RDMA_READ ? m.piece : 0);
		/* Cut off anywhere before its end, it is refused. */
		assert_int_equal(shm_message_get(at, chance((u32)((u8 *)end - (u8 *)at) + payload), 1, &back, &src,
						 &end, &read),
				 -EPROTO);
		shm_lane_done(r, bytes);
	}
}

static void replies_come_as_they_went(void **state)
{
	struct hca_reply reply = { .answer = HCA_ANSWER_RNR, .code = 31, .sqpn = 1, .number = 2, .session = 3 }, back;
	u32 bytes = 0;
	void *at = NULL;

	(void)state;
	reply.off = 1ull << 40;
	reply.result = ~0ull;
	reply.len = 100;
	assert_int_equal(shm_lane_room(w, shm_reply_bytes(100), &at), 0);
	bytes = shm_reply_put(at, &reply);
	assert_int_equal(bytes, shm_reply_bytes(100));
	assert_int_equal(shm_reply_get(at, bytes, &back), 0);
	assert_ptr_equal(back.bytes, shm_reply_data(at));
	assert_true(back.answer == reply.answer && back.code == 31 && back.sqpn == 1 && back.number == 2);
	assert_true(back.session == 3 && back.off == reply.off && back.result == reply.result && back.len == 100);
	assert_int_equal(shm_reply_get(at, sizeof(struct hca_fabric_reply) + 96, &back), -EPROTO);
	assert_int_equal(shm_reply_get(at, 32, &back), -EPROTO);
	reply.answer = HCA_ANSWER_PENDING;
	shm_reply_put(at, &reply);
	assert_int_equal(shm_reply_get(at, bytes, &back), -EPROTO);
}

static void messages_that_cant_be(void **state)
{
	const struct hca_msg good = { .opcode = HCA_WR_SEND, .len = 10, .piece = 10 };
	struct hca_msg back;
	u32 payload, read, bytes = shm_message_bytes(&good, &here, &payload);
	struct hca_fabric_message *e;
	struct shm_source src;
	void *at = NULL, *data;

	(void)state;
	assert_int_equal(shm_lane_room(w, bytes, &at), 0);
	e = at;
#define REFUSED(field, value) \
	do { \
		shm_message_put(at, bytes, &good, &here); \
		assert_int_equal(shm_message_get(at, bytes, 1, &back, &src, &data, &read), 0); \
		e->field = value; \
		assert_int_equal(shm_message_get(at, bytes, 1, &back, &src, &data, &read), -EPROTO); \
	} while (0)
	REFUSED(opcode, 255);
	REFUSED(opcode, HCA_WR_REG_MR);
	REFUSED(opcode, HCA_WR_OPCODES);
	REFUSED(piece, 11);
	REFUSED(piece, 65537);
	REFUSED(piece, ~0u);
	REFUSED(off, 1);
	REFUSED(off, ~0ull);
	REFUSED(len, 9);
	REFUSED(len, ~0ull);
	e->len = e->piece = 65536;
	assert_int_equal(shm_message_get(at, bytes, 1, &back, &src, &data, &read), -EPROTO);
#undef REFUSED
}

/* The entry has the places alone, and what they have is what the message has. */
static void payloads_that_are_elsewhere(void **state)
{
	const struct hca_msg good = {
		.opcode = HCA_WR_SEND, .flags = HCA_MSG_RELIABLE | HCA_MSG_CONNECTED, .len = 65536, .piece = 65536
	};
	struct shm_source there = { .n = 2, .epoch = 7 }, src;
	struct hca_fabric_message *e;
	struct hca_fabric_places *p;
	u32 payload, read, bytes;
	struct hca_msg back;
	void *at = NULL, *data;

	(void)state;
	there.place[0] = (struct hca_place){ .at = &back, .len = 65535 };
	there.place[1] = (struct hca_place){ .at = &src, .len = 1 };
	bytes = shm_message_bytes(&good, &there, &payload);
	assert_int_equal(payload, 0);
	assert_true(bytes < 256);
	assert_int_equal(shm_lane_room(w, bytes, &at), 0);
	e = at;
	p = shm_message_put(at, bytes, &good, &there);
	assert_int_equal(shm_message_get(at, bytes, 1, &back, &src, &data, &read), 0);
	assert_int_equal(back.piece, 65536);
	assert_memory_equal(&there.place, &src.place, 2 * sizeof(src.place[0]));
	assert_int_equal(src.n, 2);
	assert_int_equal(src.epoch, 7);
#define REFUSED(field, value) \
	do { \
		shm_message_put(at, bytes, &good, &there); \
		assert_int_equal(shm_message_get(at, bytes, 1, &back, &src, &data, &read), 0); \
		field = value; \
		assert_int_equal(shm_message_get(at, bytes, 1, &back, &src, &data, &read), -EPROTO); \
	} while (0)
	REFUSED(e->places, 0); /* then all of it should be here */
	REFUSED(e->places, 1);
	REFUSED(e->places, 3); /* the entry ends before */
	REFUSED(e->places, HCA_PLACES + 1);
	REFUSED(e->places, 255);
	REFUSED(e->flags, HCA_MSG_CONNECTED); /* whose sender doesn't wait */
	REFUSED(e->opcode, HCA_WR_RDMA_WRITE);
	REFUSED(p->place[0].len, 65534);
	REFUSED(p->place[0].len, ~0ull);
	REFUSED(p->place[1].len, 65537);
#undef REFUSED
}

/* --- threads --- */

#define WRITERS 3u
#define EACH 100000u

static struct hca_spinlock write_lock;

struct stamped {
	u32 bytes;
	u32 writer;
	u32 number;
	u32 pad;
};

static void *write_many(void *arg)
{
	struct stamped e = { .writer = (u32)(uintptr_t)arg };
	hca_irqflags_t flags;
	void *at = NULL;
	int err;

	for (e.number = 0; e.number < EACH;) {
		e.bytes = (u32)sizeof(e) + 8 * (e.number % 9);
		hca_spin_lock(&write_lock, flags);
		err = shm_lane_room(w, e.bytes, &at);
		if (!err) {
			memcpy(at, &e, sizeof(e));
			shm_lane_commit(w, e.bytes);
			e.number++;
		}
		hca_spin_unlock(&write_lock, flags);
		if (err)
			hca_pause();
	}
	return NULL;
}

static void several_write(void **state)
{
	u32 next[WRITERS] = { 0 }, got = 0, bytes = 0, i;
	pthread_t thread[WRITERS];
	struct stamped e;
	void *at = NULL;

	(void)state;
	hca_spin_init(&write_lock);
	for (i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, write_many, (void *)(uintptr_t)i), 0);
	while (got < WRITERS * EACH) {
		if (!shm_lane_next(r, &bytes, &at)) {
			hca_pause();
			continue;
		}
		memcpy(&e, at, sizeof(e));
		assert_true(e.writer < WRITERS);
		assert_int_equal(e.number, next[e.writer]++);
		assert_int_equal(bytes, sizeof(e) + 8 * (e.number % 9));
		shm_lane_done(r, bytes);
		got++;
	}
	for (i = 0; i < WRITERS; i++)
		pthread_join(thread[i], NULL);
}

#define RING(t) cmocka_unit_test_setup_teardown(t, open_ring, close_ring)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING(as_the_model),
		RING(the_longest_fits),
		RING(room_is_told_once),
		RING(heads_that_cant_be),
		RING(lengths_that_cant_be),
		RING(tails_that_cant_be),
		RING(files_that_are_no_rings),
		RING(messages_come_as_they_went),
		RING(replies_come_as_they_went),
		RING(messages_that_cant_be),
		RING(payloads_that_are_elsewhere),
		RING(several_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
