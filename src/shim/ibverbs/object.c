/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which objects are alive. A program's pointer may be stale, or forged: one that is
 * looked up here isn't followed unless an object is there. The memory of a destroyed
 * object is kept for the next ones of its type, oldest first, and never for anything
 * else, so that a stale pointer that a fast call follows finds a head that says so.
 */
#include "shim.h"

#include <stdlib.h>

#define FIRST_BUCKETS 64u
/* So many free ones are kept back, so that memory comes back late. */
#define KEPT 64u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* everything below */
static struct shim_object **buckets;
static u32 bucket_count; /* a power of two */
static u32 object_count;
static u32 handles;
static struct {
	struct shim_object *first;
	struct shim_object **last;
	u32 count;
} free_list[SHIM_TYPES];

static struct shim_object **bucket(const struct shim_object *o)
{
	u64 hash = (u64)(uintptr_t)o * 0x9e3779b97f4a7c15ull;

	return &buckets[hash >> 32 & (bucket_count - 1)];
}

static void insert(struct shim_object *o)
{
	struct shim_object **at = bucket(o);

	o->next = *at;
	*at = o;
}

/* Return: false: no memory for the first buckets; without more, chains get longer. */
static bool grow(void)
{
	u32 i, count = bucket_count, n = count ? count * 2 : FIRST_BUCKETS;
	struct shim_object **old = buckets, *o, *next;

	if (object_count < 2 * count)
		return true;
	buckets = calloc(n, sizeof(*buckets));
	if (!buckets) {
		buckets = old;
		return old;
	}
	bucket_count = n;
	for (i = 0; i < count; i++) {
		for (o = old[i]; o; o = next) {
			next = o->next;
			insert(o);
		}
	}
	free(old);
	return true;
}

static struct shim_object *reuse(enum shim_type type)
{
	struct shim_object *o = free_list[type].first;

	if (free_list[type].count <= KEPT)
		return NULL;
	free_list[type].first = o->next;
	free_list[type].count--;
	return o;
}

void *shim_object_new(enum shim_type type, size_t size, struct shim_context *context)
{
	struct shim_object *o;
	u32 handle;

	pthread_mutex_lock(&lock);
	o = grow() ? reuse(type) : NULL;
	handle = ++handles;
	pthread_mutex_unlock(&lock);
	if (o)
		memset(o, 0, size);
	else
		o = buckets ? calloc(1, size) : NULL;
	if (!o)
		return NULL;
	o->type = type;
	o->handle = handle;
	o->context = context;
	return o;
}

static void count_under(const struct shim_object *o, u32 by)
{
	if (o->under)
		hca_fetch_add(&o->under->users, by);
}

void shim_object_move(struct shim_object *o, struct shim_pd *under)
{
	count_under(o, (u32)-1);
	o->under = under;
	count_under(o, 1);
}

void shim_object_publish(struct shim_object *o)
{
	count_under(o, 1);
	pthread_mutex_lock(&lock);
	insert(o);
	object_count++;
	hca_store_release(&o->live, SHIM_LIVE | o->type);
	pthread_mutex_unlock(&lock);
	if (o->context)
		hca_fetch_add(&o->context->objects, 1);
}

/* Is it in the table? Pointers are compared, not followed. */
static struct shim_object **place_of(const struct shim_object *o)
{
	struct shim_object **at;

	if (!buckets)
		return NULL;
	for (at = bucket(o); *at; at = &(*at)->next)
		if (*at == o)
			return at;
	return NULL;
}

void shim_object_free(struct shim_object *o)
{
	struct shim_object **at;

	pthread_mutex_lock(&lock);
	at = place_of(o);
	if (at) {
		*at = o->next;
		object_count--;
	}
	hca_store(&o->live, 0u);
	o->next = NULL;
	if (!free_list[o->type].first)
		free_list[o->type].last = &free_list[o->type].first;
	*free_list[o->type].last = o;
	free_list[o->type].last = &o->next;
	free_list[o->type].count++;
	pthread_mutex_unlock(&lock);
	if (!at)
		return;
	count_under(o, (u32)-1);
	if (o->context)
		hca_fetch_add(&o->context->objects, (u32)-1);
}

bool shim_known(const struct shim_object *o, enum shim_type type)
{
	bool known;

	pthread_mutex_lock(&lock);
	known = place_of(o) && shim_is(o, type);
	pthread_mutex_unlock(&lock);
	return known;
}

bool shim_claim(struct shim_object *o, enum shim_type type)
{
	bool ours;

	pthread_mutex_lock(&lock);
	ours = place_of(o) && shim_is(o, type);
	if (ours)
		hca_store(&o->live, 0u);
	pthread_mutex_unlock(&lock);
	return ours;
}

void shim_unclaim(struct shim_object *o)
{
	hca_store_release(&o->live, SHIM_LIVE | o->type);
}

void shim_each(enum shim_type type, const struct shim_context *context, void (*fn)(struct shim_object *o, void *arg),
	       void *arg)
{
	struct shim_object *o;
	u32 i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < bucket_count; i++)
		for (o = buckets[i]; o; o = o->next)
			if (shim_is(o, type) && (!context || o->context == context))
				fn(o, arg);
	pthread_mutex_unlock(&lock);
}

struct shim_object *shim_claim_any(enum shim_type type, const struct shim_context *context)
{
	struct shim_object *o, *found = NULL;
	u32 i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < bucket_count && !found; i++)
		for (o = buckets[i]; o && !found; o = o->next)
			if (shim_is(o, type) && o->context == context)
				found = o;
	if (found)
		hca_store(&found->live, 0u);
	pthread_mutex_unlock(&lock);
	return found;
}

void shim_object_forget_all(void)
{
	struct shim_object *o, *next;
	u32 i;

	pthread_mutex_init(&lock, NULL);
	object_count = 0;
	for (i = 0; i < bucket_count; i++) {
		o = buckets[i];
		buckets[i] = NULL;
		for (; o; o = next) {
			next = o->next;
			if (!shim_is(o, SHIM_CONTEXT)) {
				hca_store(&o->live, 0u);
				continue;
			}
			hca_container_of(o, struct shim_context, obj)->objects = 0;
			o->next = buckets[i];
			buckets[i] = o;
			object_count++;
		}
	}
}
