/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Multicast between nodes: which nodes a datagram for a group goes to, as they join, leave, end, and come back by the same number. */
#include "shm_fixture.h"

#include "hca/mcast.h"
#include "wire/shm/internal.h"

static const struct hca_gid group = { .raw = { 0xff, 0x0e, [15] = 1 } };
#define MLID 0xc001u

static int open_member(struct side *s)
{
	const struct side_name nobody = { 0 };

	return side_open(s) || side_qp(s, HCA_QPT_UD) || side_connect(s, &nobody);
}

static void join(struct side *s)
{
	assert_int_equal(hca_mcast_attach(s->qp, &group, MLID), 0);
	hca_shm_joined(s->shm, 1);
	assert_int_equal(side_recv(s, 1, 0, 200), 0);
}

static void send_to_group(struct side *s)
{
	const struct side_name all = { .node = MLID, .qpn = HCA_MCAST_QPN };
	struct hca_wc wc;

	assert_int_equal(side_post(s, &all, 2, HCA_WR_SEND, 1000, 100, 0), 0);
	side_wait(s, &s->scq, &wc);
	assert_int_equal(wc.status, HCA_WC_SUCCESS);
}

/* Members that came before the sender, and after it; and one that isn't. */
static void groups_reach_all(void **state)
{
	static struct side before, sender, after, stranger;
	struct hca_wc wc;

	(void)state;
	assert_int_equal(open_member(&before), 0);
	join(&before);
	assert_int_equal(open_member(&sender), 0);
	assert_int_equal(open_member(&after), 0);
	assert_int_equal(open_member(&stranger), 0);
	join(&after);
	send_to_group(&sender);
	side_wait(&before, &before.rcq, &wc);
	assert_int_equal(wc.byte_len, 140);
	side_wait(&after, &after.rcq, &wc);
	assert_false(has_file("ring.2.4"));
	/* One that left all groups isn't sent to. */
	assert_int_equal(hca_mcast_detach(after.qp, &group, MLID), 0);
	hca_shm_joined(after.shm, 0);
	assert_int_equal(side_recv(&before, 1, 0, 200), 0);
	send_to_group(&sender);
	side_wait(&before, &before.rcq, &wc);
	side_close(&before);
	/* And one whose number is another's now. */
	assert_int_equal(open_member(&before), 0);
	assert_int_equal(hca_shm_number(before.shm), 1);
	send_to_group(&sender);
	side_close(&sender);
	side_close(&before);
	side_close(&after);
	side_close(&stranger);
}

/* --- members that are no more --- */

static bool knows_member(const struct side *s, u32 number)
{
	return hca_load(&s->shm->node.head->members[number / 64]) >> number % 64 & 1;
}

static void groups_forget_the_dead(void **state)
{
	static struct side sender, member;
	struct hca_wc wc;

	(void)state;
	assert_int_equal(open_member(&sender), 0);
	/* One that was sent to, and one that wasn't: that is found out by the next datagram. */
	assert_int_equal(open_member(&member), 0);
	join(&member);
	assert_true(knows_member(&sender, 2));
	send_to_group(&sender);
	side_wait(&member, &member.rcq, &wc);
	side_close(&member);
	while (!hca_load(&sender.deaths))
		hca_pause();
	assert_false(knows_member(&sender, 2));
	assert_int_equal(open_member(&member), 0);
	join(&member);
	assert_true(knows_member(&sender, 2));
	side_close(&member);
	send_to_group(&sender);
	assert_false(knows_member(&sender, 2));
	/* One that lives and has left all groups, and comes back. */
	assert_int_equal(open_member(&member), 0);
	join(&member);
	assert_int_equal(hca_mcast_detach(member.qp, &group, MLID), 0);
	hca_shm_joined(member.shm, 0);
	send_to_group(&sender);
	assert_false(knows_member(&sender, 2));
	join(&member);
	assert_true(knows_member(&sender, 2));
	send_to_group(&sender);
	side_wait(&member, &member.rcq, &wc);
	side_close(&member);
	side_close(&sender);
}

/* A node that gets a dead member's number, and joins before the death was noticed. */
static void groups_know_the_next_of_a_number(void **state)
{
	static struct side sender, member;
	struct hca_wc wc;
	u32 deaths;

	(void)state;
	assert_int_equal(open_member(&sender), 0);
	assert_int_equal(open_member(&member), 0);
	join(&member);
	send_to_group(&sender);
	side_wait(&member, &member.rcq, &wc);
	deaths = hca_load(&sender.deaths);
	shm_take_begin(sender.shm); /* nothing is noticed */
	side_close(&member);
	assert_int_equal(open_member(&member), 0);
	assert_int_equal(hca_shm_number(member.shm), 2);
	join(&member);
	shm_take_end(sender.shm);
	while (hca_load(&sender.deaths) == deaths)
		hca_pause();
	assert_true(knows_member(&sender, 2));
	send_to_group(&sender);
	side_wait(&member, &member.rcq, &wc);
	assert_int_equal(wc.status, HCA_WC_SUCCESS);
	side_close(&member);
	side_close(&sender);
}

#define IN_FABRIC(t) cmocka_unit_test_setup_teardown(t, fabric_make, fabric_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FABRIC(groups_reach_all),
		IN_FABRIC(groups_forget_the_dead),
		IN_FABRIC(groups_know_the_next_of_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
