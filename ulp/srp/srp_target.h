/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the files of the SRP target share: the target, its nexuses, its channels and
 * the commands they have in hand.
 *
 * All that happens on a channel is an event, and a channel's events run one after the other, in whatever thread
 * (srp_target_work.c): they own the channel, and need no lock. An event never waits. What may wait for the medium is a job,
 * which owns its command alone. What others touch (task management of another channel, the target's thread) is
 * atomic or under the target's lock, which is never held while something is posted.
 */
#ifndef SRP_TARGET_H
#define SRP_TARGET_H

#include <pthread.h>

#include "srp_private.h"

/* RDMA requests that one command may have under way: with its own small buffer, and with an area. */
#define TGT_FEW_WRS 8u
#define TGT_MANY_WRS 32u
/* Bytes of a command's own data buffer: what is no longer doesn't wait for an area. */
#define TGT_SMALL 4096u
#define TGT_LEAST_CHUNK (64u << 10)
/* A piece of a write, which is copied twice: it stays in the second-level cache between. */
#define TGT_WRITE_CHUNK (512u << 10)
/* Responses whose buffers may be in flight before one of them asks for a completion. */
#define TGT_QUIET 8u
/* Receives beyond the credits: the initiator's responses to our own requests, and one to notice an overrun with. */
#define TGT_SPARE 3u

struct tgt_channel;

/* Pages of a part of the medium that is mapped. */
#define TGT_PART_PAGES (MACHINE_FILE_PIECE / PAGE_SIZE)

/**
 * struct tgt_part - a slice of the medium that is mapped: the adapter reaches it
 * @number: of the slice; @page: the first of its pages, NULL: there is none; @bytes: of it
 * @cpu, @dma: where it is
 * @refs: commands that use it
 * @used: since the search for one to give up came by
 * @bad: found not to have the file's bytes: used no more
 * @checked: when the system was last asked which pages are in memory, in ms
 * @fresh: those that are, a bit each
 */
struct tgt_part {
	u64 number;
	struct page *page;
	u8 *cpu;
	dma_addr_t dma;
	u32 bytes;
	u32 refs;
	bool used, bad;
	u64 checked;
	u64 fresh[TGT_PART_PAGES / 64];
};

/**
 * struct tgt_slice - MACHINE_FILE_PIECE bytes of the medium
 * @part: 1 and the place of the part that it is; 0: it isn't mapped
 * @earned: KiB that were read of it since it was mapped last
 */
struct tgt_slice {
	u32 part;
	u32 earned;
};

/**
 * struct tgt_map - which slices of the medium are mapped; @lock guards what follows it
 * @off: nothing is mapped, or nothing any more; atomic
 * @end, @end_byte: the medium's last page and a byte of it
 * @mapping: a thread maps a slice
 * @hand: where the search for a part to give up goes on
 */
struct tgt_map {
	struct lun *lun;
	struct ib_device *dev;
	int fd;
	bool off;
	u64 n_slices;
	u32 n_parts;
	struct page *end;
	const u8 *end_byte;

	struct srp_lock lock;
	struct tgt_slice *slices;
	struct tgt_part *parts;
	bool mapping;
	u32 hand;
};

/** struct tgt_event - something that happens on a channel; not to be touched from tgt_event() until @run is called */
struct tgt_event {
	struct tgt_event *next;
	void (*run)(struct tgt_event *ev);
};

/** struct tgt_job - work that may wait for the medium, or that is urgent; likewise */
struct tgt_job {
	struct tgt_job *next;
	struct tgt_channel *ch;
	void (*run)(struct tgt_job *job);
	bool urgent;
};

/**
 * struct tgt_pool - the threads that do jobs; all of it under @lock
 * @channels: those that have jobs which wait, in turn
 * @shared: threads that all channels share
 * @working: jobs that run, without urgent ones
 * @idle: threads that wait and were not called; @called: that were, and haven't noticed yet
 */
struct tgt_pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct tgt_job *urgent, **urgent_last;
	struct tgt_channel *channels, **channels_last;
	pthread_t *threads;
	u32 n_threads, most;
	u32 shared;
	u32 working;
	u32 idle, called;
	bool stop;
};

/** struct tgt_nexus - one initiator port logged in; its channels hold it */
struct tgt_nexus {
	struct tgt_nexus *next;
	u8 port_id[SRP_PORT_ID];
	struct scsi_nexus scsi;
	u32 refs; /* channels; under the target's lock */
};

/** struct tgt_area - room for a piece of data and for a fetched table */
struct tgt_area {
	struct tgt_area *next;
	struct srp_mem data;
	struct srp_mem table;
};

/** struct tgt_recv - a receive buffer; @len: bytes that were received */
struct tgt_recv {
	struct ib_cqe cqe;
	struct tgt_event ev;
	struct tgt_channel *ch;
	u32 len;
	u8 *iu;
	dma_addr_t dma;
};

/*
 * A command's state is a sequence number and one of these, in one word, so that another thread aborts the command that it
 * saw and no later one.
 */
enum tgt_cmd_state {
	TGT_FREE, /* or nothing that can be aborted */
	TGT_ACTIVE, /* in hand; whoever changes this decides if there is a response */
	TGT_ABORTED, /* the channel's next event of it finds this, and drops it */
	TGT_STATES = 4,
};

/* What a command's job may still do. */
enum tgt_in_job {
	TGT_NO_JOB,
	TGT_JOB_MOVES, /* bytes of the initiator's, and then as below */
	TGT_JOB_MEDIUM, /* to the medium alone */
};

/* A worker has asked for bytes; whoever comes second, the worker or the bytes, goes on. */
enum tgt_meeting { TGT_MET_NONE, TGT_MET_WORKER, TGT_MET_DATA };

/**
 * struct tgt_cmd - a request of an initiator in hand
 * @cqe, @ev: of the request whose completion goes on with it, or frees it; and of a job that has ended
 * @job: what the medium does for it
 * @in_job: an enum tgt_in_job: if it has a job, the job's event is still to come; atomic
 * @state: atomic; see enum tgt_cmd_state
 * @tag: stays from ACTIVE on
 * @recv: the IU's buffer, as long as descriptors are read from it; or NULL
 * @attr: its task attribute
 * @data: the direction that is moved; @other: bytes of a buffer in the other
 * @descs: the table, in the IU or fetched
 * @at, @at_off: the descriptor that the next byte goes to, and how much of it is done
 * @area: or NULL
 * @small, @buf: @TGT_SMALL bytes for data, SCSI_BUF bytes for replies
 * @piece: what is being moved: @piece_len bytes that are @piece_at in the command's data, @piece_done of them
 * @part: what the piece is sent from, or NULL; @part_at, @part_off: @at and @at_off where it began
 * @by_copy: it uses no part any more
 * @meeting: an enum tgt_meeting; atomic
 * @lost: the bytes don't come: the channel ends
 * @failed: the piece could not be read or written
 * @finished: the device server is through with it; @status, @sense, @sense_len: its verdict
 * @marked: ABORTED: the number of the first function that marked it; under the target's lock, as the next one
 * @only_looks: what it asks for changes nothing
 * @quiet: ABORTED: nothing of it moves any more, so no function waits for it
 * @preempts: it is a PREEMPT AND ABORT that was done, and ends other nexus' commands as a task management request does
 * @tm_next, @tm_number, @waits: of a task management request, or of a command that @preempts: commands that it waits for; under the target's lock
 * @key: to invalidate with the response; 0: none
 */
struct tgt_cmd {
	struct ib_cqe cqe;
	struct tgt_event ev;
	struct tgt_job job;
	struct tgt_channel *ch;
	u32 state;
	u32 in_job;
	u64 tag;
	struct tgt_cmd *next;
	struct tgt_recv *recv;
	struct scsi_cmd scsi;

	struct srp_data data;
	u32 other;
	const u8 *descs;
	u32 at, at_off;
	u32 key;
	u8 attr;
	bool in;
	bool fetched;
	bool failed, finished;
	u8 status;
	u32 sense_len;
	u8 sense[SCSI_SENSE_MAX];

	struct tgt_area *area;
	u8 *small, *buf;
	dma_addr_t small_dma, buf_dma;
	u8 *piece;
	dma_addr_t piece_dma;
	u32 piece_at, piece_len, piece_done;
	struct tgt_part *part;
	u32 part_at, part_off;
	bool by_copy;
	u32 meeting;
	bool lost;

	u64 marked;
	bool only_looks, quiet, preempts;
	struct tgt_cmd *tm_next;
	u64 tm_number;
	u32 waits;
	struct srp_tsk_mgmt tm;
	u8 tm_code;
};

enum tgt_channel_state {
	TGT_LIVE,
	TGT_LOGOUT, /* a T_LOGOUT is on its way; nothing new is begun */
	TGT_DEAD, /* it ends: end_channel() */
};

/**
 * struct tgt_channel - a queue pair that an initiator has logged in on
 * @state: atomic
 * @refs: one until end_channel() has finished, and one for each job, for the thread that runs events, and for a look from outside;
 *	the last one hands it to the target's thread; atomic
 * @events_lock: of the next three. @running: a thread runs them
 * @jobs: which wait; @working: that run; with @pool_next under the pool's lock
 * @ending: its end has begun (end_channel()); @event_number: of the last srp_target_event() that it got; under the target's lock
 * @sweep: commands were marked since @sweep_ev ran last; atomic
 * @sweep_next: of a list that is the marker's, from the time when it set @sweep
 * @conn: the channel's once it is @accepted; before, the login's
 * @free: commands
 * @held: those that wait for others' end, as an ORDERED command is among them; @n_held: how many
 * @ordered: an ORDERED command is in hand, and alone; @releasing: tgt_release() runs
 * @waiting: those that wait for an area
 * @flying: those whose last requests are posted, in order; freed up to the one that completes
 * @quiet: of them, since the last that asked for a completion
 * @taken: requests received and not answered
 * @owed: credits of requests that had no response; atomic
 * @tms: task management requests that are not answered
 * @ours: a request of ours is under way that the initiator hasn't answered; atomic
 * @kick: the thread is to send a T_LOGOUT; under the target's lock
 */
struct tgt_channel {
	struct tgt_channel *next; /* of the target */
	struct srp_target *t;
	struct tgt_nexus *nexus;
	struct srp_cm_conn *conn;
	bool accepted;
	struct ib_pd *pd;
	struct srp_qp qp;
	u32 state;
	u32 refs;
	bool listed; /* among the ended, or being freed; t->lock */
	u32 max_iu;
	u32 chunk; /* bytes of a piece */
	bool invalidate;

	struct srp_lock events_lock;
	struct tgt_event *events, **events_last;
	u32 brought; /* events so far; written under events_lock */
	bool running;
	struct tgt_job *jobs, **jobs_last;
	struct tgt_channel *pool_next;
	u32 working;
	struct tgt_job run_job, end_job;
	struct tgt_event end_ev, sweep_ev;
	struct tgt_channel *sweep_next;
	u32 sweep;
	bool ending;
	u64 event_number;

	struct ib_cqe ours_cqe;
	struct ib_cqe logout_cqe;
	struct srp_mem recv_mem, cmd_mem;
	struct tgt_recv *recvs;
	struct tgt_cmd *cmds;
	struct tgt_area *areas;
	u32 n_recvs, n_cmds;

	struct tgt_cmd *free;
	struct tgt_cmd *held, **held_last;
	u32 n_held;
	bool ordered, releasing;
	struct tgt_cmd *waiting, **waiting_last;
	struct tgt_cmd *flying, **flying_last;
	struct tgt_area *free_areas;
	u32 quiet;
	u32 taken;
	u32 owed;
	u32 tms;
	u32 ours;
	bool kick;

	u64 n_commands, n_bytes_in, n_bytes_out, n_tables, n_task_mgmt, n_aborted, n_bad, n_mapped;
};

/** struct tgt_login - a request to connect, as it came; @others: what it has ended, an SRP_MULTICHAN_* of the answer */
struct tgt_login {
	struct tgt_login *next;
	u8 others;
	struct srp_cm_conn *conn;
	u32 len;
	u8 data[SRP_CM_PRIVATE];
};

/**
 * struct srp_target - see srp.h; @lock guards what follows it
 * @thread: logs in, logs out, and frees channels that have ended. It waits for nothing that a channel does.
 * @logins: to be answered; @parked: those that wait until the channels which they end are gone
 * @ended: channels to which no references remain
 * @tms: functions that wait for commands; @tm_number: how many there were
 * @event: asynchronous event to be sent; @event_number: how many there were
 */
struct srp_target {
	struct srp_target_attr attr;
	char name[SRP_CM_NAME];
	struct srp_cm_listener *listener;
	pthread_t thread;
	struct tgt_pool pool;
	struct tgt_map map;
	u64 tags; /* of our own requests; atomic */

	pthread_mutex_t lock;
	pthread_cond_t wake; /* the thread */
	struct tgt_channel *channels;
	struct tgt_nexus *nexuses;
	struct tgt_login *logins, **logins_last;
	struct tgt_login *parked, **parked_last;
	struct tgt_channel *ended;
	struct tgt_cmd *tms;
	u64 tm_number;
	u32 n_channels;
	u32 n_nexuses;
	u64 event_number;
	u8 event[32];
	u32 event_len;
	bool stop;
	struct srp_target_stats stats; /* of channels that are gone, and logins */
};

/* --- srp_target_work.c --- */
/** tgt_event() - runs now, or when those before it have run. The caller is in an event or a job of the channel, or refers to it. */
void tgt_event(struct tgt_channel *ch, struct tgt_event *ev, void (*run)(struct tgt_event *ev));
/** tgt_job() - a worker does it; the channel stays that long. From an event. */
void tgt_job(struct tgt_channel *ch, struct tgt_job *job, void (*run)(struct tgt_job *job));
/** tgt_job_cancel() - Return: no worker had taken it yet, and none will. From an event, which holds a reference. */
bool tgt_job_cancel(struct tgt_channel *ch, struct tgt_job *job);
/** tgt_urgent() - a thread does it at once, whatever the medium does. Return: false: no thread can be had */
bool tgt_urgent(struct tgt_channel *ch, struct tgt_job *job, void (*run)(struct tgt_job *job));
void tgt_get(struct tgt_channel *ch);
void tgt_put(struct tgt_channel *ch);
/** tgt_pool_make() - @shared: threads for all; @channels: how many there can be. Return: 0 or -ENOMEM */
int tgt_pool_make(struct tgt_pool *p, u32 shared, u32 channels);
/** tgt_pool_drop() - no channel is left */
void tgt_pool_drop(struct tgt_pool *p);

/* --- srp_target_login.c --- */
/** tgt_login() - answer it, and free it; or park it until what it ends has ended; from the thread */
void tgt_login(struct srp_target *t, struct tgt_login *l);
/** tgt_login_reject() - the connection is to be closed then */
void tgt_login_reject(struct srp_target *t, struct srp_cm_conn *conn, u64 tag, enum srp_reject reason);
/** tgt_nexus_put() - a channel leaves it; the target's lock is held */
void tgt_nexus_put(struct srp_target *t, struct tgt_nexus *n);
/** tgt_channel_free() - drained, and in no list; also one that was never whole */
void tgt_channel_free(struct tgt_channel *ch);

/* --- srp_target.c --- */
/** tgt_fail() - the channel's connection is worth nothing any more: it ends. Any context. */
void tgt_fail(struct tgt_channel *ch);
/** tgt_logout() - T_LOGOUT, and then as tgt_fail(). From an event, or with a reference. */
void tgt_logout(struct tgt_channel *ch, enum srp_logout reason);
/** tgt_credit() - CRED_REQ, if credits are owed and nothing else will bring them. From an event. */
void tgt_credit(struct tgt_channel *ch);
static inline bool tgt_dead(const struct tgt_channel *ch)
{
	return __atomic_load_n(&ch->state, __ATOMIC_ACQUIRE) == TGT_DEAD;
}

/* --- srp_target_cmd.c --- */
/** tgt_recv_done() - an IU has come */
void tgt_recv_done(struct ib_cq *cq, struct ib_wc *wc);
/** tgt_recv_post() - the buffer may be filled again. Return: 0 or -errno */
int tgt_recv_post(struct tgt_recv *r);
/** tgt_respond() - the command is over: send the response behind the @wrs that were built for it */
void tgt_respond(struct tgt_cmd *c, struct ib_rdma_wr *wrs, u32 n);
/** tgt_refuse() - the command is over: its IU made no sense */
void tgt_refuse(struct tgt_cmd *c);
/** tgt_drop() - the command was aborted: no response. From an event. */
void tgt_drop(struct tgt_cmd *c);
/** tgt_forget() - the command was in hand when its channel ended, and isn't with the medium. From an event. */
void tgt_forget(struct tgt_cmd *c);
/** tgt_release() - begin commands that were held until others have ended, if these have. From an event. */
void tgt_release(struct tgt_channel *ch);
/** tgt_held_sweep() - drop commands that were aborted while they were held. From an event. */
void tgt_held_sweep(struct tgt_channel *ch);
/** tgt_aborted() - must the command be dropped? */
static inline bool tgt_aborted(const struct tgt_cmd *c)
{
	return (__atomic_load_n(&c->state, __ATOMIC_SEQ_CST) & (TGT_STATES - 1)) == TGT_ABORTED;
}

/* --- srp_target_tm.c --- */
void tgt_task_mgmt(struct tgt_channel *ch, struct tgt_recv *r, u32 len);
/** tgt_preempt() - a command that was done: if it is a PREEMPT AND ABORT, end what it says. Return: it is answered when that has been dropped */
bool tgt_preempt(struct tgt_cmd *c);
/** tgt_abort_done() - a command that was aborted has been dropped; functions that waited for it alone are answered. From an event. */
void tgt_abort_done(struct tgt_cmd *c);
/** tgt_forget_tms() - the channel ends: its functions need no answer. From an event. */
void tgt_forget_tms(struct tgt_channel *ch);

/* --- srp_target_map.c --- */
/** tgt_map_make() - nothing is mapped yet; and never will be, if the machine or the medium has nothing to map. Return: 0 or -ENOMEM */
int tgt_map_make(struct tgt_map *map, struct lun *lun, struct ib_device *dev);
/** tgt_map_drop() - no command is left */
void tgt_map_drop(struct tgt_map *map);
/**
 * tgt_map_get() - a part whose bytes are in memory, for tgt_map_put()
 * @at: byte of the medium
 * @len: bytes that are wanted; cut to what the part has of them
 *
 * Return: NULL if there is none, or the bytes may have to be fetched: they are to be read from the file.
 */
struct tgt_part *tgt_map_get(struct tgt_map *map, u64 at, u32 *len);
/** tgt_map_put() - Return: what was read from it since tgt_map_get() was the file's; else it is to be read from there */
bool tgt_map_put(struct tgt_map *map, struct tgt_part *w);
/** tgt_map_seen() - a range was read from the file: what is read often is mapped */
void tgt_map_seen(struct tgt_map *map, u64 at, u32 len);

/* --- srp_target_data.c --- */
/** tgt_part_put() - a command that ends in some other way than by its data */
void tgt_part_put(struct tgt_cmd *c);
/** tgt_data_begin() - move the data of a command, if it has some, and do what it asks for */
void tgt_data_begin(struct tgt_cmd *c);
/** tgt_finish() - the device server's end of the command; where that may need the medium, from a worker */
void tgt_finish(struct tgt_cmd *c);
/** tgt_data_sweep() - drop commands that were aborted, or whose channel ends, while they waited for an area or a worker. From an event. */
void tgt_data_sweep(struct tgt_channel *ch);
/** tgt_area_take() - from a command: its area, or NULL */
static inline struct tgt_area *tgt_area_take(struct tgt_cmd *c)
{
	struct tgt_area *a = c->area;

	c->area = NULL;
	return a;
}
/** tgt_area_give() - to the next that waits, which goes on at once; NULL is allowed. The last thing that a caller does. */
void tgt_area_give(struct tgt_channel *ch, struct tgt_area *a);

#endif
