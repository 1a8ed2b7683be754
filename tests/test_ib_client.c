/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Clients of devices, what they keep with a device, events that a driver tells of, and what a device says of itself. */
#include <stdio.h>

#include "verbs_fixture.h"
#include "no_leaks.h"

static char said[256];

static void say(const char *who, const char *what, const struct ib_device *dev)
{
	size_t n = strlen(said);

	snprintf(said + n, sizeof(said) - n, "%s%s%s ", who, what, dev->name);
}

static int second_no;

static int add_one(struct ib_device *dev);
static void remove_one(struct ib_device *dev, void *data);
static int add_two(struct ib_device *dev);
static void remove_two(struct ib_device *dev, void *data);

static struct ib_client one = { .name = "one", .add = add_one, .remove = remove_one };
static struct ib_client two = { .name = "two", .add = add_two, .remove = remove_two };

static int add_one(struct ib_device *dev)
{
	assert_null(ib_get_client_data(dev, &one));
	ib_set_client_data(dev, &one, dev->name);
	say("1", "+", dev);
	return 0;
}

static void remove_one(struct ib_device *dev, void *data)
{
	assert_ptr_equal(data, dev->name);
	assert_ptr_equal(ib_get_client_data(dev, &one), dev->name);
	say("1", "-", dev);
}

static int add_two(struct ib_device *dev)
{
	say("2", "+", dev);
	if (second_no)
		return -EOPNOTSUPP;
	ib_set_client_data(dev, &two, &two);
	return 0;
}

static void remove_two(struct ib_device *dev, void *data)
{
	assert_ptr_equal(data, &two);
	say("2", "-", dev);
}

static void clients_hear(void **state)
{
	struct end a, b;

	(void)state;
	said[0] = 0;
	second_no = 0;
	assert_int_equal(ib_register_client(&one), 0);
	assert_int_equal(ib_register_client(&one), -EBUSY);
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	assert_string_equal(said, "1+soft ");
	assert_int_equal(ib_register_client(&two), 0);
	assert_int_equal(vk_device(&b, false, MACHINE_DIRECT), 0);
	assert_string_equal(said, "1+soft 2+soft 1+dma 2+dma ");
	assert_ptr_equal(ib_get_client_data(b.dev, &one), b.dev->name);
	assert_ptr_equal(ib_get_client_data(b.dev, &two), &two);
	/* In the reverse order. */
	said[0] = 0;
	vk_device_gone(&b);
	assert_string_equal(said, "2-dma 1-dma ");
	said[0] = 0;
	ib_unregister_client(&one);
	ib_unregister_client(&one);
	assert_string_equal(said, "1-soft ");
	assert_null(ib_get_client_data(a.dev, &one));
	vk_device_gone(&a);
	assert_string_equal(said, "1-soft 2-soft ");
	ib_unregister_client(&two);
	assert_string_equal(said, "1-soft 2-soft ");
}

/* A device that isn't wanted is not taken away either. */
static void client_declines(void **state)
{
	struct end a;

	(void)state;
	said[0] = 0;
	second_no = 1;
	assert_int_equal(ib_register_client(&two), 0);
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	assert_null(ib_get_client_data(a.dev, &two));
	ib_unregister_client(&two);
	vk_device_gone(&a);
	assert_string_equal(said, "2+soft ");
}

static struct ib_device *stranger_dev;

static void stranger_sets(void *arg)
{
	(void)arg;
	ib_set_client_data(stranger_dev, &one, &one);
}

static void stranger_is_refused(void **state)
{
	struct end a;

	(void)state;
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	stranger_dev = a.dev;
	assert_int_equal(test_expect_warn(stranger_sets, NULL), 1);
	assert_null(ib_get_client_data(a.dev, &one));
	vk_device_gone(&a);
}

/* Without memory a client or a device isn't registered, and no client has heard of it. */
static void without_memory(void **state)
{
	struct end a, b;

	(void)state;
	second_no = 0;
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	TEST_FAIL_LOOP(fail)
	{
		said[0] = 0;
		if (ib_register_client(&one)) {
			assert_string_equal(said, "");
			assert_false(one.registered);
			continue;
		}
		if (vk_device(&b, true, MACHINE_DIRECT))
			assert_string_equal(said, "1+soft ");
		else
			vk_device_gone(&b);
		ib_unregister_client(&one);
	}
	vk_device_gone(&a);
}

/* --- events --- */

static u32 heard;
static enum ib_event_type last;

static void on_event(struct ib_event_handler *handler, struct ib_event *event)
{
	assert_ptr_equal(handler->device, event->device);
	heard = heard * 10 + event->element.port_num;
	last = event->event;
}

static void tell(struct ib_device *dev, enum ib_event_type type, u32 port)
{
	const struct ib_event e = { .device = dev, .event = type, .element = { .port_num = port } };

	ib_dispatch_event(&e);
}

static void turn(void *arg)
{
	(void)arg;
	test_clock_advance(1000000);
}

static void run_workers(void)
{
	void (*const fns[])(void *arg) = { turn };
	void *const args[] = { NULL };

	assert_int_equal(test_run_threads(1, 1, fns, args, NULL), 0);
}

static void events_are_told(void **state)
{
	struct ib_event_handler h, g;
	struct end a, b;

	(void)state;
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	assert_int_equal(vk_device(&b, true, MACHINE_DIRECT), 0);
	INIT_IB_EVENT_HANDLER(&h, a.dev, on_event);
	INIT_IB_EVENT_HANDLER(&g, b.dev, on_event);
	ib_register_event_handler(&h);
	ib_register_event_handler(&g);
	heard = 0;
	tell(a.dev, IB_EVENT_PORT_ERR, 1);
	tell(a.dev, IB_EVENT_LID_CHANGE, 2);
	tell(a.dev, IB_EVENT_PORT_ACTIVE, 3);
	run_workers();
	assert_int_equal(heard, 123);
	assert_int_equal(last, IB_EVENT_PORT_ACTIVE);
	ib_unregister_event_handler(&h);
	tell(a.dev, IB_EVENT_PORT_ERR, 4);
	run_workers();
	assert_int_equal(heard, 123);
	tell(b.dev, IB_EVENT_PORT_ERR, 5);
	run_workers();
	assert_int_equal(heard, 1235);
	ib_unregister_event_handler(&g);
	vk_device_gone(&a);
	vk_device_gone(&b);
}

static void device_says(void **state)
{
	struct end a;
	u8 guid[8];
	u32 port, ports = 0;
	int i;

	(void)state;
	assert_int_equal(vk_device(&a, true, MACHINE_DIRECT), 0);
	assert_string_equal(dev_name(&a.dev->dev), "soft");
	assert_ptr_equal(a.dev->dev.parent, a.bus);
	assert_ptr_equal(a.dev->dev.machine, a.machine);
	assert_int_equal(a.dev->num_comp_vectors, 1);
	memcpy(guid, &a.dev->node_guid, 8);
	for (i = 0; i < 8; i++)
		assert_int_equal(guid[i], (u8)(a.dev->attrs.node_guid >> (56 - 8 * i)));
	assert_true(a.dev->attrs.kernel_cap_flags & IBK_LOCAL_DMA_LKEY);
	assert_true(a.dev->attrs.kernel_cap_flags & IBK_SG_GAPS_REG);
	assert_false(a.dev->attrs.kernel_cap_flags & IBK_INTEGRITY_HANDOVER);
	rdma_for_each_port(a.dev, port)
	{
		assert_true(rdma_is_port_valid(a.dev, port));
		assert_true(rdma_protocol_ib(a.dev, port));
		assert_false(rdma_protocol_roce(a.dev, port));
		assert_false(rdma_protocol_iwarp(a.dev, port));
		ports++;
	}
	assert_int_equal(ports, a.dev->phys_port_cnt);
	assert_false(rdma_is_port_valid(a.dev, ports + 1));
	vk_device_gone(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(clients_hear),   T(client_declines), T(stranger_is_refused),
		T(without_memory), T(events_are_told), T(device_says),
	};

	test_os_reset(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
