/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The drop-in librdmacm where there are several devices: addresses are the first one's, and a program gets contexts of all. */
#include "shim_cm_fixture.h"

#define DEVICES 3

static void all_are_listed(void **state)
{
	struct ibv_context **list, **again;
	char name[16];
	int n = 0, i;

	(void)state;
	list = rdma_get_devices(&n);
	assert_non_null(list);
	assert_int_equal(n, DEVICES);
	assert_null(list[DEVICES]);
	again = rdma_get_devices(NULL);
	assert_non_null(again);
	for (i = 0; i < DEVICES; i++) {
		snprintf(name, sizeof(name), "ipath%d", i);
		assert_string_equal(ibv_get_device_name(list[i]->device), name);
		assert_ptr_equal(again[i], list[i]);
	}
	rdma_free_devices(again);
	rdma_free_devices(list);
}

static void connections_are_the_first_ones(void **state)
{
	struct pair p;
	int i;

	(void)state;
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	pair_connect(&p);
	for (i = 0; i < 2; i++)
		assert_string_equal(ibv_get_device_name(p.id[i]->verbs->device), "ipath0");
	assert_int_equal(rdma_disconnect(p.id[0]), 0);
	assert_int_equal(expect(p.ch[1], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	assert_int_equal(rdma_disconnect(p.id[1]), 0);
	assert_int_equal(expect(p.ch[0], RDMA_CM_EVENT_DISCONNECTED, NULL), 0);
	pair_end(&p);
}

/* A domain of another device isn't for an ID, whose context is another one. */
static void a_domain_of_another(void **state)
{
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = DEPTH, .max_recv_wr = DEPTH, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};
	struct ibv_srq_init_attr srq = { .attr = { .max_wr = 1, .max_sge = 1 } };
	struct ibv_context **list = rdma_get_devices(NULL);
	struct pair p;
	struct ibv_pd *pd;

	(void)state;
	assert_non_null(list);
	pd = ibv_alloc_pd(list[1]);
	assert_non_null(pd);
	pair_begin(&p, RDMA_PS_TCP, "127.0.0.1");
	rdma_destroy_qp(p.id[0]);
	errno = 0;
	assert_int_equal(rdma_create_qp(p.id[0], pd, &attr), -1);
	assert_int_equal(errno, EINVAL);
	assert_null(p.id[0]->qp);
	errno = 0;
	assert_int_equal(rdma_create_srq(p.id[0], pd, &srq), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(rdma_create_qp(p.id[0], NULL, &attr), 0);
	pair_connect(&p);
	pair_end(&p);
	assert_int_equal(ibv_dealloc_pd(pd), 0);
	rdma_free_devices(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_listed),
		cmocka_unit_test(connections_are_the_first_ones),
		cmocka_unit_test(a_domain_of_another),
	};

	/* Before the library's first call, which reads it. */
	setenv("SOFTHCA_DEVICES", "3", 1);
	return cmocka_run_group_tests_name("shim_cm_devices", tests, make_fabric, remove_fabric);
}
