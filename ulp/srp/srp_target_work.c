/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SRP target: its threads. A channel's events run one after another, in the thread that
 * brings one while no other thread runs them. What may wait for the medium is a job: workers
 * do the jobs, and a job's end is an event again. Called by all files of the target; nothing here
 * posts, and no event or job is called with a lock held.
 *
 * Channels share @workers threads for their jobs. Beyond these, a channel of which no job is running gets a thread
 * of its own, so no channel's data waits for another channel's slow commands. Urgent jobs never touch the medium, and
 * get a thread at once.
 */
#include "srp_target.h"

/* Events that one thread runs in a row, before a worker goes on with them. */
#define EVENTS_IN_A_ROW 256u

/* --- references --- */

void tgt_get(struct tgt_channel *ch)
{
	__atomic_fetch_add(&ch->refs, 1, __ATOMIC_RELAXED);
}

void tgt_put(struct tgt_channel *ch)
{
	struct srp_target *t = ch->t;
	u32 refs = __atomic_load_n(&ch->refs, __ATOMIC_RELAXED);

	while (refs > 1)
		if (__atomic_compare_exchange_n(&ch->refs, &refs, refs - 1, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return;
	/* The last reference goes under the lock: the target can't end before this thread has left it. */
	pthread_mutex_lock(&t->lock);
	if (!__atomic_sub_fetch(&ch->refs, 1, __ATOMIC_ACQ_REL) && !ch->listed) {
		ch->listed = true;
		ch->next = t->ended;
		t->ended = ch;
		pthread_cond_signal(&t->wake);
	}
	pthread_mutex_unlock(&t->lock);
}

/* --- events --- */

/* Return: NULL, and the thread doesn't run this channel's events any more. */
static struct tgt_event *next_event(struct tgt_channel *ch)
{
	struct tgt_event *ev;

	srp_lock(&ch->events_lock);
	ev = ch->events;
	if (ev) {
		ch->events = ev->next;
		if (!ch->events)
			ch->events_last = &ch->events;
	} else {
		ch->running = false;
	}
	srp_unlock(&ch->events_lock);
	return ev;
}

static void run_events(struct tgt_channel *ch);

static void go_on_elsewhere(struct tgt_job *job)
{
	run_events(srp_container_of(job, struct tgt_channel, run_job));
}

/* The thread has a reference, which goes with the last event or with the job. */
static void run_events(struct tgt_channel *ch)
{
	struct tgt_event *ev;
	u32 n = 0;

	while ((ev = next_event(ch))) {
		ev->run(ev);
		/* The thread may be an initiator's, which has other things to do. */
		if (++n % EVENTS_IN_A_ROW == 0 && tgt_urgent(ch, &ch->run_job, go_on_elsewhere))
			return;
	}
	tgt_put(ch);
}

void tgt_event(struct tgt_channel *ch, struct tgt_event *ev, void (*run)(struct tgt_event *ev))
{
	bool running;

	ev->next = NULL;
	ev->run = run;
	srp_lock(&ch->events_lock);
	*ch->events_last = ev;
	ch->events_last = &ev->next;
	__atomic_store_n(&ch->brought, ch->brought + 1, __ATOMIC_RELAXED);
	running = ch->running;
	ch->running = true;
	srp_unlock(&ch->events_lock);
	if (running)
		return;
	tgt_get(ch);
	run_events(ch);
}

/* --- jobs; the pool's lock is held --- */

/* May a job of this channel begin? */
static bool may_begin(const struct tgt_pool *p, const struct tgt_channel *ch)
{
	return !ch->working || p->working < p->shared;
}

static struct tgt_job *take_urgent(struct tgt_pool *p)
{
	struct tgt_job *job = p->urgent;

	p->urgent = job->next;
	if (!p->urgent)
		p->urgent_last = &p->urgent;
	return job;
}

/* The channels take turns; one that has no job running comes first. */
static struct tgt_job *take_job(struct tgt_pool *p)
{
	struct tgt_channel **at, **found = NULL, *ch;
	struct tgt_job *job;

	if (p->urgent)
		return take_urgent(p);
	for (at = &p->channels; *at; at = &(*at)->pool_next) {
		if (!may_begin(p, *at) || (found && (*at)->working))
			continue;
		found = at;
		if (!(*at)->working)
			break;
	}
	if (!found)
		return NULL;
	ch = *found;
	job = ch->jobs;
	ch->jobs = job->next;
	*found = ch->pool_next;
	if (!*found)
		p->channels_last = found;
	if (ch->jobs) {
		ch->pool_next = NULL;
		*p->channels_last = ch;
		p->channels_last = &ch->pool_next;
	} else {
		ch->jobs_last = &ch->jobs;
	}
	ch->working++;
	p->working++;
	return job;
}

/*
 * The channel whose job this thread is doing, and whether a job of that channel has come meanwhile for which no thread was called:
 * this thread is about to look for one, and has in its cache what the channel moves its data through.
 */
static __thread const struct tgt_channel *doing;
static __thread bool kept;

/* The lock is given up meanwhile. The job may be another one, or gone, when it has run. */
static void do_job(struct tgt_pool *p, struct tgt_job *job)
{
	struct tgt_channel *ch = job->ch;
	bool urgent = job->urgent;

	pthread_mutex_unlock(&p->lock);
	doing = urgent ? NULL : ch;
	job->run(job);
	doing = NULL;
	pthread_mutex_lock(&p->lock);
	if (urgent)
		return;
	ch->working--;
	p->working--;
	pthread_mutex_unlock(&p->lock);
	tgt_put(ch);
	pthread_mutex_lock(&p->lock);
}

static void *work(void *arg);

/* Return: a thread will look for a job soon. */
static bool call(struct tgt_pool *p)
{
	if (p->idle) {
		p->idle--;
		p->called++;
		pthread_cond_signal(&p->wake);
		return true;
	}
	if (p->n_threads == p->most || srp_thread(&p->threads[p->n_threads], work, p))
		return false;
	p->n_threads++;
	return true;
}

/* A job was left for this thread, and it has taken another one, or none may begin. The lock is held. */
static void call_for_kept(struct tgt_pool *p)
{
	struct tgt_channel *ch;

	kept = false;
	for (ch = p->channels; ch && !may_begin(p, ch); ch = ch->pool_next)
		;
	if (ch)
		(void)call(p);
}

static void *work(void *arg)
{
	struct tgt_pool *p = arg;
	struct tgt_job *job;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		job = take_job(p);
		if (kept)
			call_for_kept(p);
		if (job) {
			do_job(p, job);
			continue;
		}
		if (p->stop)
			break;
		p->idle++;
		while (!p->called && !p->stop)
			pthread_cond_wait(&p->wake, &p->lock);
		if (p->called)
			p->called--;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* --- jobs --- */

void tgt_job(struct tgt_channel *ch, struct tgt_job *job, void (*run)(struct tgt_job *job))
{
	struct tgt_pool *p = &ch->t->pool;

	tgt_get(ch);
	job->next = NULL;
	job->ch = ch;
	job->run = run;
	job->urgent = false;
	pthread_mutex_lock(&p->lock);
	if (!ch->jobs) {
		ch->pool_next = NULL;
		*p->channels_last = ch;
		p->channels_last = &ch->pool_next;
	}
	*ch->jobs_last = job;
	ch->jobs_last = &job->next;
	/* If no thread can be had, a worker takes it when it has ended its job. */
	if (doing == ch && !kept)
		kept = true;
	else if (may_begin(p, ch))
		(void)call(p);
	pthread_mutex_unlock(&p->lock);
}

/* Out of the list of those that have jobs. */
static void leave_pool(struct tgt_pool *p, struct tgt_channel *ch)
{
	struct tgt_channel **at;

	for (at = &p->channels; *at != ch; at = &(*at)->pool_next)
		;
	*at = ch->pool_next;
	if (!*at)
		p->channels_last = at;
}

bool tgt_job_cancel(struct tgt_channel *ch, struct tgt_job *job)
{
	struct tgt_pool *p = &ch->t->pool;
	struct tgt_job **at;
	bool found;

	pthread_mutex_lock(&p->lock);
	for (at = &ch->jobs; *at && *at != job; at = &(*at)->next)
		;
	found = *at;
	if (found) {
		*at = job->next;
		if (!*at)
			ch->jobs_last = at;
		if (!ch->jobs)
			leave_pool(p, ch);
	}
	pthread_mutex_unlock(&p->lock);
	if (found)
		tgt_put(ch);
	return found;
}

bool tgt_urgent(struct tgt_channel *ch, struct tgt_job *job, void (*run)(struct tgt_job *job))
{
	struct tgt_pool *p = &ch->t->pool;
	bool called;

	job->next = NULL;
	job->ch = ch;
	job->run = run;
	job->urgent = true;
	pthread_mutex_lock(&p->lock);
	called = call(p);
	if (called) {
		*p->urgent_last = job;
		p->urgent_last = &job->next;
	}
	pthread_mutex_unlock(&p->lock);
	return called;
}

/* --- the pool --- */

int tgt_pool_make(struct tgt_pool *p, u32 shared, u32 channels)
{
	bool called;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	p->urgent_last = &p->urgent;
	p->channels_last = &p->channels;
	p->shared = shared;
	/* One for each channel that has no job running, and one for what is urgent there. */
	p->most = shared + 2 * channels;
	p->threads = srp_alloc(p->most, sizeof(*p->threads));
	if (!p->threads)
		goto drop;
	pthread_mutex_lock(&p->lock);
	called = call(p);
	pthread_mutex_unlock(&p->lock);
	if (called)
		return 0;
drop:
	tgt_pool_drop(p);
	return -ENOMEM;
}

void tgt_pool_drop(struct tgt_pool *p)
{
	u32 i;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	srp_free(p->threads);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
}
