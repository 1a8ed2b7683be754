/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The C library's functions. Another library's constructor may call one of ours before any of ours has run. */
#include "preload.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static struct real calls;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void *to, const char *name)
{
	void *at = dlsym(RTLD_NEXT, name);

	memcpy(to, &at, sizeof(at));
}

static void find_all(void)
{
#define FIND(name) find(&calls.name, #name);
	PRELOAD_CALLS(FIND)
}

const struct real *real(void)
{
	pthread_once(&once, find_all);
	return &calls;
}
