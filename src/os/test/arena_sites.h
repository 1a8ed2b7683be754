/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * arena.h's calls with a note of where they are made; as os_sites.h. arena.h includes
 * this last. hca_arena_protect() and hca_arena_cover() are left as they are: a signal handler may call them, and must
 * not change the note of what it interrupts.
 */
#ifndef HCA_TEST_ARENA_SITES_H
#define HCA_TEST_ARENA_SITES_H

#define hca_arena_open(name, bytes) (TEST_HERE(), hca_arena_open(name, bytes))
#define hca_arena_close(fd) (TEST_HERE(), hca_arena_close(fd))
#define hca_arena_reserve(bytes) (TEST_HERE(), hca_arena_reserve(bytes))
#define hca_arena_show(at, fd, offset, bytes, prot) (TEST_HERE(), hca_arena_show(at, fd, offset, bytes, prot))
#define hca_arena_show_file(at, fd, offset, bytes, prot) (TEST_HERE(), hca_arena_show_file(at, fd, offset, bytes, prot))
#define hca_arena_hide(at, bytes) (TEST_HERE(), hca_arena_hide(at, bytes))
#define hca_arena_release(at, bytes) (TEST_HERE(), hca_arena_release(at, bytes))
#define hca_arena_discard(fd, offset, bytes) (TEST_HERE(), hca_arena_discard(fd, offset, bytes))

#endif
