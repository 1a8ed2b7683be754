/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a process sees of refusals on its standard error: by default mistakes alone, each kind ten times; with SOFTHCA_LOG
 * more, or nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "os.h"
#include "os_child.h"
#include "softhca/ib_dma.h"
#include "softhca/rdma_cm.h"

static char said[1 << 16];

/* What fn() writes in a child with this SOFTHCA_LOG; NULL: without. */
static const char *said_by(const char *level, void (*fn)(void))
{
	size_t n = 0;
	ssize_t got;
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (level)
			setenv("SOFTHCA_LOG", level, 1);
		else
			unsetenv("SOFTHCA_LOG");
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		fn();
		_exit(0);
	}
	close(fd[1]);
	while ((got = read(fd[0], said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = 0;
	close(fd[0]);
	waitpid(pid, NULL, 0);
	return said;
}

static u32 lines(const char *text)
{
	u32 n = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n;
}

static void both(void)
{
	int i;

	for (i = 0; i < 40; i++) {
		if (hca_refuse(-EINVAL, "mistake %d", i) != -EINVAL || hca_refuse(-ENOMEM, "no room %d", i) != -ENOMEM)
			abort();
	}
	hca_refuse(-EBUSY, "another mistake");
}

static void levels(void **state)
{
	(void)state;
	assert_int_equal(lines(said_by(NULL, both)), 11);
	assert_non_null(strstr(said, "softhca: warning: mistake 0\n"));
	assert_non_null(strstr(said, "mistake 9 (more of this kind are said with SOFTHCA_LOG=debug alone)\n"));
	assert_non_null(strstr(said, "softhca: warning: another mistake\n"));
	assert_null(strstr(said, "no room"));
	assert_int_equal(lines(said_by("warning", both)), 11);
	assert_int_equal(lines(said_by("error", both)), 0);
	assert_int_equal(lines(said_by("info", both)), 21);
	assert_non_null(strstr(said, "softhca: info: no room 0\n"));
	assert_int_equal(lines(said_by("debug", both)), 81);
	assert_null(strstr(said, "more of this kind"));
}

static void quiet_face(void)
{
	hca_mistakes_are(HCA_LOG_INFO);
	both();
}

static void quiet(void **state)
{
	(void)state;
	assert_string_equal(said_by(NULL, quiet_face), "");
	assert_int_equal(lines(said_by("info", quiet_face)), 21);
	assert_non_null(strstr(said, "softhca: info: mistake 0\n"));
}

static void *refuse_some(void *arg)
{
	int i;

	for (i = 0; i < 100; i++)
		hca_refuse(-EINVAL, "by many %d", i);
	return arg;
}

static void by_threads(void)
{
	in_threads(8, refuse_some, NULL);
}

static void threads(void **state)
{
	(void)state;
	assert_int_equal(lines(said_by(NULL, by_threads)), 10);
}

/* As a developer of a ULP meets it. */
static void first_contact(void)
{
	const struct machine_attr ma = { .name = "box", .low_bytes = 4 << 20 };
	const struct device_attr da = { .name = "bus0" };
	struct ib_device *dev;
	struct machine *m;
	struct device *bus;
	char on_stack[8];

	if (machine_create(&ma, &m) || device_create(m, &da, &bus) ||
	    ipath_create(bus, "ipath0", IPATH_HIGHMEM_TAGGED, NULL, &dev))
		abort();
	if (!ib_dma_mapping_error(dev, ib_dma_map_single(dev, on_stack, 8, DMA_TO_DEVICE)))
		abort();
}

static void stack_memory(void **state)
{
	(void)state;
	said_by(NULL, first_contact);
	assert_non_null(strstr(said, "softhca: warning: ipath0: map at "));
	assert_non_null(strstr(said, "thread_why.c:"));
	assert_non_null(strstr(said, "Only its memory can be mapped"));
	assert_int_equal(lines(said), 1);
}

static void too_much(void)
{
	if (hca_alloc(SIZE_MAX, HCA_MAY_SLEEP))
		abort();
}

static void no_memory(void **state)
{
	(void)state;
	said_by("info", too_much);
	assert_non_null(strstr(said, "softhca: info: no memory: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels),	cmocka_unit_test(quiet),     cmocka_unit_test(threads),
		cmocka_unit_test(stack_memory), cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests_name("why", tests, NULL, NULL);
}
