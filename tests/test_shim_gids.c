/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Addresses that interfaces get and lose while the device of the drop-in libibverbs is open: the GID table follows them, and each
 * context is told. In a network namespace of its own; where there can be none, it is skipped.
 */
#include "shim_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static bool alone; /* in a namespace of our own */

static void control(const char *name, unsigned long request, struct ifreq *r)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, request, r), 0);
	close(fd);
}

static void set_up(const char *name, bool up)
{
	struct ifreq r = { .ifr_flags = 0 };

	control(name, SIOCGIFFLAGS, &r);
	r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
	control(name, SIOCSIFFLAGS, &r);
}

static void set_address(const char *name, const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct ifreq r = { .ifr_flags = 0 };

	assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
	memcpy(&r.ifr_addr, &in, sizeof(in));
	control(name, SIOCSIFADDR, &r);
}

static int index_of(struct ibv_context *ctx, const char *address)
{
	union ibv_gid want = { .raw = { [10] = 0xff, [11] = 0xff } }, gid;
	int i;

	assert_int_equal(inet_pton(AF_INET, address, want.raw + 12), 1);
	for (i = 0; i < 16; i++) {
		assert_int_equal(ibv_query_gid(ctx, 1, i, &gid), 0);
		if (!memcmp(gid.raw, want.raw, sizeof(gid.raw)))
			return i;
	}
	return -1;
}

/* Asleep, until it is so; each change is told of after it was made. */
static void await_change(struct ibv_context *ctx, const char *address, bool there)
{
	struct ibv_async_event event;

	do {
		assert_int_equal(ibv_get_async_event(ctx, &event), 0);
		assert_int_equal(event.event_type, IBV_EVENT_GID_CHANGE);
		assert_int_equal(event.element.port_num, 1);
		ibv_ack_async_event(&event);
	} while ((index_of(ctx, address) >= 0) != there);
}

static void the_table_follows(void **state)
{
	struct ibv_context *ctx[2];
	struct ibv_port_attr port;
	union ibv_gid own, now;
	struct ibv_ah_attr path;
	struct ibv_pd *pd;
	struct ibv_ah *ah;
	int home, i;

	(void)state;
	if (!alone)
		skip();
	set_up("lo", true);
	for (i = 0; i < 2; i++)
		ctx[i] = bed_open();
	assert_int_equal(ibv_query_gid(ctx[0], 1, 0, &own), 0);
	home = index_of(ctx[0], "127.0.0.1");
	assert_true(home > 0);
	assert_int_equal(index_of(ctx[0], "10.9.8.7"), -1);
	set_address("lo:1", "10.9.8.7");
	for (i = 0; i < 2; i++)
		await_change(ctx[i], "10.9.8.7", true);
	/* It can be used, and those that were there have their places still. */
	path = (struct ibv_ah_attr){ .port_num = 1, .is_global = 1, .grh.hop_limit = 1 };
	path.grh.sgid_index = (uint8_t)index_of(ctx[0], "10.9.8.7");
	assert_int_equal(ibv_query_gid(ctx[0], 1, path.grh.sgid_index, &path.grh.dgid), 0);
	assert_non_null(pd = ibv_alloc_pd(ctx[0]));
	assert_non_null(ah = ibv_create_ah(pd, &path));
	assert_int_equal(ibv_destroy_ah(ah), 0);
	assert_int_equal(index_of(ctx[0], "127.0.0.1"), home);
	set_up("lo:1", false);
	for (i = 0; i < 2; i++)
		await_change(ctx[i], "10.9.8.7", false);
	assert_null(ibv_create_ah(pd, &path));
	assert_int_equal(errno, EINVAL);
	/* An interface that is down has no address that counts; the device's own one stays. */
	set_up("lo", false);
	await_change(ctx[0], "127.0.0.1", false);
	/* The port itself is of no interface: it goes on, and nothing else is told of it. */
	assert_int_equal(ibv_query_port(ctx[0], 1, &port), 0);
	assert_int_equal(port.state, IBV_PORT_ACTIVE);
	set_up("lo", true);
	await_change(ctx[0], "127.0.0.1", true);
	assert_int_equal(ibv_query_gid(ctx[0], 1, 0, &now), 0);
	assert_memory_equal(&own, &now, sizeof(own));
	assert_int_equal(ibv_dealloc_pd(pd), 0);
	for (i = 0; i < 2; i++)
		assert_int_equal(ibv_close_device(ctx[i]), 0);
}

/* A change while it is closed is seen when it is opened again, and nobody is told of it. */
static void closed_meanwhile(void **state)
{
	struct ibv_async_event event;
	struct ibv_context *ctx;

	(void)state;
	if (!alone)
		skip();
	set_up("lo", true);
	ctx = bed_open();
	assert_int_equal(ibv_close_device(ctx), 0);
	set_address("lo:1", "10.9.8.6");
	ctx = bed_open();
	assert_true(index_of(ctx, "10.9.8.6") > 0);
	assert_int_equal(fcntl(ctx->async_fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(ibv_get_async_event(ctx, &event), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(ibv_close_device(ctx), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_follows),
		cmocka_unit_test(closed_meanwhile),
	};

	alone = !unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET);
	return cmocka_run_group_tests_name("shim_gids", tests, make_fabric, remove_fabric);
}
