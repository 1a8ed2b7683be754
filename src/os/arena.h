/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the library's machine (src/platform) needs of its os layer besides os.h:
 * memory that serves as RAM, and views of it. Implemented in user/, and in test/, which
 * counts the calls and can fail each. A kernel has RAM and doesn't need this.
 */
#ifndef HCA_ARENA_H
#define HCA_ARENA_H

#include "os.h"

enum hca_prot { HCA_PROT_NONE, HCA_PROT_READ, HCA_PROT_RW };

/**
 * hca_arena_open() - a memfd of @bytes, all zero, that takes memory only where it is touched
 * Return: descriptor (close-on-exec, sealed against resizing), or -errno.
 */
int hca_arena_open(const char *name, u64 bytes);

/** hca_arena_close() - close what hca_arena_open() returned; views stay valid */
void hca_arena_close(int fd);

/**
 * hca_arena_reserve() - address space with nothing in it: any access faults
 * Return: address aligned to 2 MiB where @bytes is that large, else to a page; NULL if there is none.
 */
void *hca_arena_reserve(size_t bytes);

/**
 * hca_arena_show() - make @bytes of the arena at @offset visible at @at, inside a reservation
 * @prot: HCA_PROT_READ or HCA_PROT_RW
 * Return: 0 or -errno.
 */
int hca_arena_show(void *at, int fd, u64 offset, size_t bytes, enum hca_prot prot);

/** hca_arena_show_file() - the same for any file. An access beyond the file's end is a SIGBUS. */
int hca_arena_show_file(void *at, int fd, u64 offset, size_t bytes, enum hca_prot prot);

/** hca_arena_cover() - as hca_arena_show() over what a view shows, for a handler: async-signal-safe, and never made to fail */
int hca_arena_cover(void *at, int fd, u64 offset, size_t bytes);

/** hca_arena_hide() - remove a view; an access faults again. Never fails. */
void hca_arena_hide(void *at, size_t bytes);

/** hca_arena_protect() - change the CPU's access rights to a view. Return: 0 or -errno. Async-signal-safe. */
int hca_arena_protect(void *at, size_t bytes, enum hca_prot prot);

/** hca_arena_release() - release a reservation, with its views */
void hca_arena_release(void *at, size_t bytes);

/** hca_arena_discard() - the bytes read as zero again and take no memory. Return: 0 or -errno. */
int hca_arena_discard(int fd, u64 offset, u64 bytes);

#ifdef HCA_OS_SITES
#include "arena_sites.h"
#endif

#endif
