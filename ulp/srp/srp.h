/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * SRP, the SCSI RDMA Protocol (T10 SRP r16a): an initiator and a target, upper layers
 * over the kernel-style verbs and rdma_cm alone. This is what their users include: block devices,
 * movers, tests. What goes over the wire is in srp_iu.h, the disk behind a target in
 * scsi.h, how they find each other in srp_cm.h.
 *
 * Both work in the threads of those who call them, as far as they ask for
 * IB_POLL_SOFTIRQ: then a request is usually done when srp_submit() returns. Each has
 * a thread of its own for what may wait: time, ends, reconnections.
 */
#ifndef SRP_H
#define SRP_H

#include "scsi.h"
#include "softhca/ib_verbs.h"
#include "srp_cm.h"

#define SRP_PORT_ID 16u
#define SRP_CDB_MAX 32u
#define SRP_SENSE_MAX 96u

/** srp_name() - SRP_CM_NAME bytes: the address that every adapter has, its first GID, and @port. Return: 0 or -errno */
int srp_name(struct ib_device *dev, u16 port, char *name);

/* --- the target --- */

/**
 * struct srp_target_attr - how a target is made; 0 anywhere asks for the default
 * @device: its adapter; must outlive it
 * @scsi: the disk; must outlive it. Several targets may serve one.
 * @name: its address, which must be one of @device, and port, as 10.0.0.2:5555 or [fe80::1]:5555 (srp_name()); copied
 * @port_id: its SRP target port identifier; all 0: made of the adapter's GUID
 * @poll: IB_POLL_SOFTIRQ: commands are taken in hand in the threads of the initiators; IB_POLL_WORKQUEUE: in one of
 *	the library's; IB_POLL_DIRECT: refused. The medium is the workers' in any case.
 * @depth: commands that one channel may have under way; default 32
 * @max_channels: of all initiators together; default 64
 * @max_iu: bytes of an IU from an initiator; default 1,092 (64 descriptors in the IU), at least 64
 * @chunk: bytes of the pieces that data is moved in, a multiple of 4,096; default 1 MiB, which fits into a cache
 *	of the second level. A channel that doesn't get so much memory takes less, down to 64 KiB.
 * @buffers: such pieces that one channel has under way; default 1
 * @max_table: descriptors of an indirect table; default 1,024
 * @workers: threads in which all channels' commands wait for the medium; default 8, at most 1,024. A channel that has none of
 *	its commands there gets a thread beyond these, so its data never waits for other channels' slow commands.
 * @no_indirect: refuse logins that need indirect descriptors
 */
struct srp_target_attr {
	struct ib_device *device;
	struct scsi_device *scsi;
	const char *name;
	u8 port_id[SRP_PORT_ID];
	enum ib_poll_context poll;
	u32 depth;
	u32 max_channels;
	u32 max_iu;
	u32 chunk;
	u32 buffers;
	u32 max_table;
	u32 workers;
	bool no_indirect;
};

/** struct srp_target_stats - since its creation; @channels, @nexuses: now */
struct srp_target_stats {
	u64 logins;
	u64 rejects;
	u64 commands;
	u64 bytes_in; /* to initiators */
	u64 bytes_out; /* from them */
	u64 tables; /* fetched by RDMA */
	u64 task_mgmt;
	u64 aborted;
	u64 bytes_mapped; /* of those to initiators, sent from the page cache itself */
	u64 bad_ius; /* refused, answered or not */
	u64 logouts; /* of either side */
	u32 channels;
	u32 nexuses;
};

struct srp_target;

/** srp_target_create() - make it, and listen. Return: 0; -EINVAL, -ENOMEM, -EADDRINUSE, -EADDRNOTAVAIL, or what verbs say. May sleep. */
int srp_target_create(const struct srp_target_attr *attr, struct srp_target **out);

/**
 * srp_target_destroy() - no more logins; every channel is closed, and what it has under way is dropped
 *
 * The initiators are notified, and their requests end with -EIO. Every write that was answered is in the file or in the page cache.
 * May sleep. Not from a done callback.
 */
void srp_target_destroy(struct srp_target *t);

/** srp_target_logout() - every channel gets a T_LOGOUT and is closed, soon. Initiators may come back. Return: how many. Any context. */
u32 srp_target_logout(struct srp_target *t);

/** srp_target_event() - AER to one channel of every initiator: asynchronous event with this sense data, up to 32 bytes. Any context. */
void srp_target_event(struct srp_target *t, const u8 *sense, u32 len);

void srp_target_get_stats(struct srp_target *t, struct srp_target_stats *st);

/* --- the initiator --- */

/* For timeout_ms: slow is not failed. */
#define SRP_NO_TIMEOUT (~0u)

/** enum srp_memory - by what key the target reaches a request's bytes */
enum srp_memory {
	SRP_MEMORY_FAST, /* fast registration: a key for this request alone, void when it's done */
	SRP_MEMORY_FMR, /* fast memory regions from a pool: void soon after */
	SRP_MEMORY_ALL, /* a key for all memory that is mapped for the adapter */
};

/** enum srp_state - what an initiator tells its user */
enum srp_state {
	SRP_STATE_LIVE,
	SRP_STATE_LOST, /* requests fail with -EIO at once; it tries to come back if it was asked to */
};

struct srp_initiator;

/**
 * struct srp_initiator_attr - how an initiator is made; 0 anywhere asks for the default
 * @device: its adapter; must outlive it
 * @name: the target's address and port; copied. @device must have an address of the same family.
 * @port_id: its SRP initiator port identifier; all 0: a new one. A login ends older ones under the same identifier.
 * @target_port_id: must be the target's; all 0: any
 * @channels: queue pairs; default 1. Threads that use channels of their own don't meet.
 * @depth: requests of a channel that are under way at once; default 32; the target's limit counts too
 * @memory: see enum srp_memory
 * @max_sg: descriptors of a request; default 512. With SRP_MEMORY_FAST a channel has so many MRs and @depth more.
 * @max_pages: pages of 4,096 bytes of one MR; default 256
 * @iu_descs: descriptors in a command's IU; a longer table is left to be fetched; default 26, so that a command can be sent inline
 * @poll: IB_POLL_SOFTIRQ or _WORKQUEUE; IB_POLL_DIRECT: refused
 * @no_invalidate: don't ask the target to invalidate keys with its response
 * @timeout_ms: of a request, from srp_submit() on; default 30,000; SRP_NO_TIMEOUT: it may take as long as it likes
 * @abort_ms: of a task management function; default 5,000
 * @login_ms: of a login; default 5,000. One that ends older channels waits for what these have with the medium.
 * @reconnect_ms: when the connection is lost, try to come back so often; 0: only by srp_reconnect()
 * @state: called for changes of the state, from the initiator's thread; must not call srp_initiator_destroy() or srp_reconnect()
 * @event: called for asynchronous events, with their sense data; any thread
 * @ctx: for both
 */
struct srp_initiator_attr {
	struct ib_device *device;
	const char *name;
	u8 port_id[SRP_PORT_ID];
	u8 target_port_id[SRP_PORT_ID];
	u32 channels;
	u32 depth;
	enum srp_memory memory;
	u32 max_sg;
	u32 max_pages;
	u32 iu_descs;
	enum ib_poll_context poll;
	bool no_invalidate;
	u32 timeout_ms;
	u32 abort_ms;
	u32 login_ms;
	u32 reconnect_ms;
	void (*state)(void *ctx, struct srp_initiator *ini, enum srp_state state);
	void (*event)(void *ctx, const u8 *sense, u32 len);
	void *ctx;
};

/** enum srp_request_flags - SRP_KEEP_ATTENTION: a unit attention is handed up; else the request is sent again, up to 3 times */
enum srp_request_flags {
	SRP_KEEP_ATTENTION = 1 << 0,
};

/**
 * struct srp_request - a SCSI command with its list; the caller's memory, untouched by the caller from srp_submit() to done
 * @cdb, @cdb_len: the command, 6 to SRP_CDB_MAX bytes
 * @lun: SAM's eight bytes
 * @dir: DMA_TO_DEVICE: the target gets the bytes; DMA_FROM_DEVICE: it gives them; DMA_NONE: there are none
 * @sgl, @nents: not mapped; any shape and kind of page. With DMA_NONE not looked at.
 * @len: bytes to move, from the beginning of the list; at most what the list has
 * @timeout_ms: 0: the initiator's
 * @flags: enum srp_request_flags
 * @done: called once, in any thread, when the list is unmapped and unused. May submit; must not wait.
 *	Never from within another done().
 * @ctx: the caller's
 *
 * @error: 0: the target has answered, and the rest means something; -EIO: connection lost; -ETIMEDOUT: it took too
 *	long and was aborted; -ECANCELED: aborted; -ENOMEM, -ENOSPC: the list can't be mapped now; -EINVAL, -EMSGSIZE, or
 *	another that the mapping says: it can't ever; -EPROTO: the target found the IU invalid, or answered nonsense
 * @status: SCSI status
 * @moved: bytes that were moved: @len less the residual
 * @residual: bytes that weren't; below 0: so many more the command would have moved. Without a list: the command's.
 * @other_residual: of the other direction than the list's: below 0: so many bytes the command would have moved that way
 * @sense, @sense_len: with CHECK CONDITION
 */
struct srp_request {
	u8 cdb[SRP_CDB_MAX];
	u8 cdb_len;
	u8 lun[SCSI_LUN_LEN];
	enum dma_data_direction dir;
	struct scatterlist *sgl;
	u32 nents;
	u32 len;
	u32 timeout_ms;
	u32 flags;
	void (*done)(struct srp_request *req);
	void *ctx;

	int error;
	u8 status;
	u8 sense_len;
	u32 moved;
	s64 residual;
	s64 other_residual;
	u8 sense[SRP_SENSE_MAX];

	/* the initiator's */
	struct srp_request *next;
	u64 expires;
	u32 tries;
};

/** struct srp_initiator_stats - since its creation; mappings and registrations are counted as they are made */
struct srp_initiator_stats {
	u64 requests;
	u64 bytes_in; /* from the target */
	u64 bytes_out;
	u64 mapped; /* lists */
	u64 registered; /* MRs */
	u64 invalidated_by_target;
	u64 direct, indirect, partial; /* commands by what they carried */
	u64 bad_responses; /* unknown tags and garbage */
	u64 timeouts;
	u64 aborts;
	u64 lun_resets;
	u64 reconnects;
	u32 req_limit; /* of the first channel, as it was granted */
	u32 max_iu;
	enum srp_state state;
};

struct srp_channel;

/**
 * srp_initiator_connect() - make it, and log in on every channel
 *
 * Return: 0; -EINVAL; -ENOMEM; -ECONNREFUSED: nobody listens, or the login was rejected (the log says why); -EPROTO; -ETIMEDOUT; or
 * what verbs say. May sleep.
 */
int srp_initiator_connect(const struct srp_initiator_attr *attr, struct srp_initiator **out);

/** srp_initiator_destroy() - log out; what is under way ends with -EIO before this returns. May sleep. Not from a done callback. */
void srp_initiator_destroy(struct srp_initiator *ini);

/** srp_max_entry() - bytes of the longest entry that a request's list may have with this adapter; a longer one is -EMSGSIZE */
size_t srp_max_entry(const struct ib_device *dev);

/** srp_initiator_channel() - @n: from 0, modulo their number; stays the same over reconnections */
struct srp_channel *srp_initiator_channel(struct srp_initiator *ini, u32 n);

/** srp_initiator_channels() - how many it has */
u32 srp_initiator_channels(const struct srp_initiator *ini);

/**
 * srp_submit() - send a request, or queue it until the target's limit lets it be sent
 *
 * Always ends in req->done(), perhaps before this returns. Any context, done callbacks included.
 */
void srp_submit(struct srp_channel *ch, struct srp_request *req);

/**
 * srp_execute() - srp_submit() and wait; req->done is overwritten. May sleep. Not from a done callback.
 * Return: 0 if the target said GOOD; req->error; or -EREMOTEIO for another status
 */
int srp_execute(struct srp_channel *ch, struct srp_request *req);

/** srp_abort() - ABORT TASK for a request that was submitted: it ends with -ECANCELED, unless it ends by itself. May sleep. Return: 0 or -errno. */
int srp_abort(struct srp_channel *ch, struct srp_request *req);

/** srp_reset_lun() - LOGICAL UNIT RESET: everybody's commands to it end. Ours with -ECANCELED. May sleep. Return: 0 or -errno. */
int srp_reset_lun(struct srp_channel *ch, const u8 lun[SCSI_LUN_LEN]);

/** srp_reconnect() - end what is under way with -EIO and log in anew. May sleep. Return: as srp_initiator_connect(). */
int srp_reconnect(struct srp_initiator *ini);

void srp_initiator_get_stats(struct srp_initiator *ini, struct srp_initiator_stats *st);

#endif
