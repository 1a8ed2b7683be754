/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets over RDMA: what the files of this room share. The room uses verbs and connections by their public calls only, so it knows
 * nothing of the rest of the library.
 *
 * A stream: each end has a ring that its peer writes to. A message is an RDMA write of bytes into the ring, with immediate data that
 * say how many; each takes a receive request of the peer, which has no buffer. Credits go back by an RDMA write of two counts, with
 * immediate data too. Nothing is sent without a credit for the bytes and for the receive request.
 *
 * A socket's number is the descriptor of its event channel. One lock per socket guards all of it; no thread waits under it. A
 * thread that waits polls the socket's two descriptors and one of its own (wait.c).
 */
#ifndef SHIM_RSOCKET_RSOCKET_H
#define SHIM_RSOCKET_RSOCKET_H

#include <netinet/in.h>
#include <pthread.h>
#include <rdma/rsocket.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/time.h>

#include "patience.h"

#define RS_EXPORT __attribute__((visibility("default")))
#define RS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define RS_MAX(a, b) ((a) > (b) ? (a) : (b))

#define RS_CONTROL 16 /* requests and receives beside those of data: credits, ends */
#define RS_INLINE_MAX 256
#define RS_SHARED_BYTES 64u /* of struct rs_shared, and what keeps the rest apart */
#define RS_IOMAPS_MAX 64

/* Those of the second line change nothing. */
#define RS_SEND_FLAGS \
	(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITALL | MSG_MORE | MSG_DONTROUTE | MSG_CONFIRM | MSG_EOR | MSG_ZEROCOPY)
#define RS_RECV_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_PEEK | MSG_TRUNC | MSG_WAITALL | MSG_CMSG_CLOEXEC)

enum rs_state {
	RS_IDLE, /* it may be bound */
	RS_LISTENING,
	RS_RESOLVING,
	RS_CONNECTING,
	RS_ACCEPTING, /* accepted; the peer hasn't said yet that it is ready */
	RS_CONNECTED,
	RS_OVER, /* failed, or disconnected; what has arrived can be read */
};

/** struct rs_waiter - a thread that waits for a socket; @fd: its eventfd */
struct rs_waiter {
	struct rs_waiter *next;
	struct rs_waiter **prev_next;
	int fd;
};

/** struct rs_iomap - an entry of the table that the peer writes; @bytes: 0: none */
struct rs_iomap {
	uint64_t offset;
	uint64_t addr;
	uint64_t bytes;
	uint32_t key;
	uint32_t spare;
};

/** struct rs_shared - the begin of the memory that the peer writes: what it has taken of what was sent */
struct rs_shared {
	uint64_t bytes;
	uint64_t messages;
};

#define RS_HELLO 0x72736b31u

/** struct rs_hello - what the two ends tell each other; behind @addr: struct rs_shared, the table, the ring */
struct rs_hello {
	uint32_t version; /* RS_HELLO */
	uint32_t receives;
	uint64_t addr;
	uint32_t key;
	uint32_t iomaps;
	uint32_t ring;
	uint32_t spare;
};

/** struct rs_mapping - of riomap(); @slot: in the peer's table, -1: it isn't told */
struct rs_mapping {
	struct rs_mapping *next;
	struct ibv_mr *mr;
	void *buf;
	size_t bytes;
	uint64_t offset;
	int slot;
};

/** struct rs_options - what rsetsockopt() was told. Sizes in bytes or requests. */
struct rs_options {
	int sndbuf;
	int rcvbuf;
	int sqsize;
	int rqsize;
	int inline_bytes;
	int iomaps;
	int keepalive;
	int oobinline;
	int reuse;
	int nodelay;
	int v6only;
	int keepidle;
	int keepcnt;
	int keepintvl;
	struct linger linger;
	struct timeval rcvtimeo; /* zero: none */
	struct timeval sndtimeo;
};

struct rs_dgram;

/** struct rsock - a socket */
struct rsock {
	int fd; /* the channel's */
	int type;
	int domain;
	unsigned int life; /* rs_life when it was made */
	unsigned int refs; /* under the table's lock */

	pthread_mutex_t lock;
	enum rs_state state;
	bool nonblocking;
	bool bound;
	bool up; /* it was connected */
	bool broken; /* and ended with an error */
	bool told_gone; /* a call that sends has failed, as the peer takes no more */
	bool connecting; /* no call of rconnect() has said yet how it ended */
	bool closed; /* rclose() was called */
	bool look; /* at the channel: something is there */
	bool armed; /* a completion will be told */
	bool read_shut;
	bool write_shut;
	bool end; /* the peer sends no more */
	bool gone; /* and takes no more */
	bool due_end; /* the peer is to be told */
	bool due_gone;
	int err; /* an errno, of SO_ERROR */
	struct rs_options opt;
	struct rs_waiter *waiters;
	struct rs_patience patience;

	struct rdma_event_channel *channel;
	struct rdma_cm_id *id;
	struct rdma_cm_id *request; /* of a listener, fetched */
	struct rs_hello asked; /* of the request */
	struct rsock *accepted; /* of a listener: connections that the program hasn't taken, the oldest first */
	struct rsock *next_accepted;
	int n_accepted;
	int backlog;
	int accept_err; /* an errno: why there was no connection; raccept() says it once */
	struct ibv_comp_channel *comp;
	struct ibv_cq *cq;
	int receives;
	int requests; /* of data */
	int inline_bytes;

	/* What the peer writes */
	uint8_t *in;
	size_t in_bytes;
	struct ibv_mr *in_mr;
	uint8_t *ring;
	uint32_t ring_bytes;
	uint64_t arrived, read, told; /* bytes */
	uint64_t messages, told_messages;

	/* What is sent */
	uint8_t *out;
	uint32_t out_bytes, out_at, out_used;
	struct ibv_mr *out_mr;
	int busy; /* requests of data that are in the queue */
	int busy_control;
	struct rs_hello peer;
	uint64_t sent, taken; /* bytes */
	uint64_t sent_messages, taken_messages;

	struct rs_mapping *mappings;
	uint64_t slots; /* of the peer's table that are used */

	struct rs_dgram *dgram;
};

/* A listener of streams */
static inline bool rs_is_acceptor(const struct rsock *rs)
{
	return rs->state == RS_LISTENING && !rs->dgram;
}

static inline int rs_fail(int err)
{
	errno = err;
	return -1;
}

/* --- table.c --- */

/** rs_life - counts forks */
extern unsigned int rs_life;

/** rs_add() - a socket gets its place by its number, and has one reference. Return: 0 or an errno */
int rs_add(struct rsock *rs);

/** rs_get() - a reference; NULL and EBADF: the number isn't a socket's */
struct rsock *rs_get(int fd);

/** rs_put() - the last one frees the socket */
void rs_put(struct rsock *rs);

/** rs_take() - off the table; the caller has the table's reference now. NULL and EBADF */
struct rsock *rs_take(int fd);

/* --- wait.c --- */

/** rs_progress() - look at what has come. The lock is held. */
void rs_progress(struct rsock *rs);

/** rs_wait() - until @ready, or the socket is closed. The lock is held, and let go meanwhile. Return: 0 or an errno */
int rs_wait(struct rsock *rs, bool dontwait, bool (*ready)(const struct rsock *rs));

/** rs_wait_timed() - so too, at most until @deadline, in ns of CLOCK_MONOTONIC; then EAGAIN */
int rs_wait_timed(struct rsock *rs, bool dontwait, uint64_t deadline, bool (*ready)(const struct rsock *rs));

/** rs_wait_until() - of a socket that is being closed. Return: 0 or an errno, ETIMEDOUT among them */
int rs_wait_until(struct rsock *rs, uint64_t deadline, bool (*ready)(const struct rsock *rs));

/** rs_deadline() - of a call that begins now and waits for at most @timeout; zero: for ever */
uint64_t rs_deadline(const struct timeval *timeout);

/** rs_wake() - all who wait. The lock is held. */
void rs_wake(struct rsock *rs);

/** rs_watch(), rs_unwatch() - the waiter is woken from now on, or not any more; the lock is held */
void rs_watch(struct rsock *rs, struct rs_waiter *w);
void rs_unwatch(struct rs_waiter *w);

/** rs_arm() - a completion will be told. The lock is held; rs_progress() after it. */
void rs_arm(struct rsock *rs);

/** rs_heard() - the descriptors were readable. The lock is held. */
void rs_heard(struct rsock *rs, bool channel, bool completions);

/** rs_bell() - this thread's eventfd. Return: it; -1 and errno */
int rs_bell(void);

/** rs_bell_clear() - forget that it rang */
void rs_bell_clear(int fd);

/**
 * rs_pause() - between two looks; @looks: there were before. Without the lock. More polls of a completion queue in a row would give the
 * processor away, to threads that have nothing to do with the socket.
 */
void rs_pause(unsigned int looks);

/** rs_now() - ns of CLOCK_MONOTONIC */
uint64_t rs_now(void);

/* --- connect.c; the lock is held --- */

/** rs_new() - a socket without an ID, on a channel of its own. Return: NULL and errno. Without the lock. */
struct rsock *rs_new(int domain, int type, const struct rs_options *opt);

/** rs_destroy() - no references remain */
void rs_destroy(struct rsock *rs);

/** rs_on_channel() - take the events that are on the channel. Return: there were some */
bool rs_on_channel(struct rsock *rs);

/** rs_accept_waiting() - of a listener: requests become connections, as far as its backlog goes */
void rs_accept_waiting(struct rsock *rs);

/** rs_lose() - the connection is over. @err: 0, or of SO_ERROR */
void rs_lose(struct rsock *rs, int err);

/* --- service.c --- */

/**
 * rs_serve() - a thread of the library's answers what comes for the socket on its channel from now on
 *
 * Return: 0 or an errno. The lock is held.
 */
int rs_serve(struct rsock *rs);

/** rs_unserve() - it doesn't any more, and has let go of the socket. Without the lock. */
void rs_unserve(struct rsock *rs);

/** rs_serve_again() - what it couldn't do for a socket may be possible now */
void rs_serve_again(void);

/** rs_serve_none() - in a forked child, which doesn't have the thread */
void rs_serve_none(void);

/* --- memory.c; the lock is held --- */

/** rs_open() - queue pair, memory, receives. Return: 0 or an errno */
int rs_open(struct rsock *rs);

/** rs_shut() - and the end of it. No reference remains, or nobody has used it. */
void rs_shut(struct rsock *rs);

/** rs_hello() - what the peer is to know */
struct rs_hello rs_hello(const struct rsock *rs);

/** rs_meet() - what the peer said. Return: 0; EPROTO: it isn't one of ours */
int rs_meet(struct rsock *rs, const struct rs_hello *peer);

/* --- stream.c; the lock is held --- */

/** rs_on_completions() - take the completions. Return: there were some */
bool rs_on_completions(struct rsock *rs);

/** rs_tell() - the peer, what is due: credits, the end */
void rs_tell(struct rsock *rs);

/** rs_room() - bytes that could be sent at once; 0: none now */
size_t rs_room(const struct rsock *rs);

/** rs_out() - a piece of the send buffer for at most @len bytes. Return: how many; 0: none now */
uint32_t rs_out(const struct rsock *rs, uint64_t len);

/** rs_write() - bytes that lie at rs->out + rs->out_at, or inline at @from, to the peer; @imm: NULL: it isn't told */
int rs_write(struct rsock *rs, const void *from, uint32_t bytes, uint64_t addr, uint32_t key, const uint32_t *imm);

/** rs_control() - the same of at most RS_INLINE_MAX bytes that are no data, inline */
int rs_control(struct rsock *rs, const void *from, uint32_t bytes, uint64_t addr, uint32_t key, const uint32_t *imm);

/** rs_is_idle() - all that was posted is done */
bool rs_is_idle(const struct rsock *rs);

/** rs_can_send(), rs_can_recv() - or the call has an answer at once */
bool rs_can_send(const struct rsock *rs);
bool rs_can_recv(const struct rsock *rs);

ssize_t rs_stream_send(struct rsock *rs, const struct iovec *iov, size_t n, int flags);
ssize_t rs_stream_recv(struct rsock *rs, const struct iovec *iov, size_t n, int flags);

/* --- address.c; memory for any address is as large as one of IPv6 --- */

/** rs_same_address() - and port */
bool rs_same_address(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b);

/** rs_take_address() - a peer's, or its own, from the program. Return: 0; EINVAL, EAFNOSUPPORT: it can't be an address of the socket's kind */
int rs_take_address(const struct rsock *rs, const struct sockaddr *from, socklen_t len, struct sockaddr_in6 *to);

/** rs_give_address() - to the program, as much as there is room for. Return: 0; EFAULT */
int rs_give_address(const struct rsock *rs, const struct sockaddr *from, struct sockaddr *to, socklen_t *len);

/* --- dgram.c; the lock is held --- */

/** rs_dgram_open() - it is bound and receives. Return: 0 or an errno */
int rs_dgram_open(struct rsock *rs);
void rs_dgram_end(struct rsock *rs);
int rs_dgram_connect(struct rsock *rs, const struct sockaddr *to, socklen_t len);
bool rs_dgram_completions(struct rsock *rs);
bool rs_dgram_can_send(const struct rsock *rs);
bool rs_dgram_can_recv(const struct rsock *rs);
bool rs_dgram_is_idle(const struct rsock *rs);
ssize_t rs_dgram_send(struct rsock *rs, const struct iovec *iov, size_t n, int flags, const struct sockaddr *to,
		      socklen_t len);

/** rs_dgram_recv() - @from, @len: may be NULL; @truncated: MSG_TRUNC: it was longer */
ssize_t rs_dgram_recv(struct rsock *rs, const struct iovec *iov, size_t n, int flags, struct sockaddr *from,
		      socklen_t *len, int *truncated);

/** rs_dgram_qpn() - its queue pair's number */
uint32_t rs_dgram_qpn(const struct rsock *rs);

/** rs_dgram_peer() - of rconnect(). Return: NULL: none */
const struct sockaddr *rs_dgram_peer(const struct rsock *rs);

/* --- poll.c --- */

/** rs_events() - of poll(). The lock is held. */
short rs_events(const struct rsock *rs);

#endif
