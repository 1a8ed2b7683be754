/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arena of the test os layer: the user os layer's, where every fallible call can be made to
 * fail, what is open is on the list of what lives, and a range that lies outside the
 * reservation or the arena it is used with is a bug. Called by the machine (src/platform).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif
#include "internal.h"
#include "user/arena_os.h"

#include <stdlib.h>

static const void *fd_key(int fd)
{
	return (const void *)((uintptr_t)fd + 1);
}

static void remember(int kind, const void *key, u64 size)
{
	struct test_obj *o = calloc(1, sizeof(*o));

	if (!o)
		abort();
	test_track(o, kind, key, size);
}

static void forget(struct test_obj *o)
{
	test_untrack(o);
	free(o);
}

/* The reservation that [at, at + bytes) lies in. */
static struct test_obj *space_of(const void *at, size_t bytes)
{
	struct test_obj *o;
	uintptr_t start, where = (uintptr_t)at;

	for (o = test_oldest(); o; o = o->next) {
		start = (uintptr_t)o->key;
		if (o->kind == OBJ_SPACE && where >= start && bytes <= o->size && where - start <= o->size - bytes)
			return o;
	}
	return NULL;
}

static void check_space(const char *call, const void *at, size_t bytes)
{
	const struct test_ctx *c = test_self();

	if (!space_of(at, bytes))
		test_bug("%s() at %s:%d outside every reservation", call, c->file, c->line);
}

static void check_file(const char *call, int fd, u64 offset, u64 bytes)
{
	const struct test_obj *o = test_find(OBJ_ARENA, fd_key(fd));
	const struct test_ctx *c = test_self();

	if (!o)
		test_bug("%s() at %s:%d of what is no open arena", call, c->file, c->line);
	else if (bytes > o->size || offset > o->size - bytes)
		test_bug("%s() at %s:%d past the arena's end", call, c->file, c->line);
}

int hca_arena_open(const char *name, u64 bytes)
{
	int fd;

	test_enter(TEST_MEMORY);
	if (test_fails())
		return -ENOMEM;
	fd = arena_os_open(name, bytes);
	if (fd >= 0)
		remember(OBJ_ARENA, fd_key(fd), bytes);
	return fd;
}

void hca_arena_close(int fd)
{
	test_enter(TEST_MEMORY);
	check_file("hca_arena_close", fd, 0, 0);
	forget(test_find(OBJ_ARENA, fd_key(fd)));
	close(fd);
}

void *hca_arena_reserve(size_t bytes)
{
	void *at;

	test_enter(TEST_MEMORY);
	if (test_fails())
		return NULL;
	at = arena_os_reserve(bytes);
	if (at)
		remember(OBJ_SPACE, at, bytes);
	return at;
}

int hca_arena_show(void *at, int fd, u64 offset, size_t bytes, enum hca_prot prot)
{
	test_enter(TEST_MEMORY);
	check_space("hca_arena_show", at, bytes);
	check_file("hca_arena_show", fd, offset, bytes);
	if (test_fails())
		return -ENOMEM;
	return arena_os_show(at, fd, offset, bytes, prot);
}

int hca_arena_show_file(void *at, int fd, u64 offset, size_t bytes, enum hca_prot prot)
{
	test_enter(TEST_MEMORY);
	check_space("hca_arena_show_file", at, bytes);
	if (test_fails())
		return -ENOMEM;
	return arena_os_show(at, fd, offset, bytes, prot);
}

/* As hca_arena_protect(). */
int hca_arena_cover(void *at, int fd, u64 offset, size_t bytes)
{
	check_space("hca_arena_cover", at, bytes);
	check_file("hca_arena_cover", fd, offset, bytes);
	return arena_os_cover(at, fd, offset, bytes);
}

void hca_arena_hide(void *at, size_t bytes)
{
	test_enter(TEST_MEMORY);
	check_space("hca_arena_hide", at, bytes);
	arena_os_hide(at, bytes);
}

/* May interrupt anything in a signal handler: it makes no decision and notes no site. */
int hca_arena_protect(void *at, size_t bytes, enum hca_prot prot)
{
	check_space("hca_arena_protect", at, bytes);
	if (test_fails())
		return -ENOMEM;
	return arena_os_protect(at, bytes, prot);
}

void hca_arena_release(void *at, size_t bytes)
{
	struct test_ctx *c = test_enter(TEST_MEMORY);
	struct test_obj *o = test_find(OBJ_SPACE, at);

	if (!o || o->size != bytes) {
		test_bug("hca_arena_release() at %s:%d of what is no reservation, or of part of one", c->file, c->line);
		return;
	}
	forget(o);
	arena_os_release(at, bytes);
}

int hca_arena_discard(int fd, u64 offset, u64 bytes)
{
	test_enter(TEST_MEMORY);
	check_file("hca_arena_discard", fd, offset, bytes);
	if (test_fails())
		return -ENOMEM;
	return arena_os_discard(fd, offset, bytes);
}

void test_arena_reset(void)
{
	struct test_obj *o, *next;

	for (o = test_oldest(); o; o = next) {
		next = o->next;
		if (o->kind == OBJ_ARENA)
			close((int)((uintptr_t)o->key - 1));
		else if (o->kind == OBJ_SPACE)
			arena_os_release((void *)(uintptr_t)o->key, (size_t)o->size);
		else
			continue;
		forget(o);
	}
}
