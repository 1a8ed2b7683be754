/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * rstore: a store of bytes that a client reads and writes over RDMA, as an example of a kernel ULP. A request is a
 * send that names memory of the client by a key, or brings a few bytes itself; the server moves the bytes by RDMA and
 * answers by a send that invalidates the key. rstore_server.c and rstore_client.c are kernel sources: they compile for Linux 6.1, and
 * for a process with -I.../softhca/compat, without a change.
 */
#ifndef RSTORE_H
#define RSTORE_H

#include <linux/types.h>

struct scatterlist;
struct sockaddr;

#define RSTORE_DEPTH 16 /* requests of a connection under way */
#define RSTORE_MAX_SG 32 /* entries of a client's list */
#define RSTORE_MAX_IO (256 * 1024) /* bytes of a request */
#define RSTORE_INLINE 512 /* bytes that may travel in the request itself */

enum rstore_op {
	RSTORE_READ = 1,
	RSTORE_WRITE = 2,
	RSTORE_WRITE_INLINE = 3, /* the bytes follow the request; addr and rkey are 0 */
};

enum rstore_status {
	RSTORE_OK,
	RSTORE_BAD_REQUEST,
	RSTORE_FAILED,
};

/* On the wire, in network order. */
struct rstore_req {
	__u8 op;
	__u8 pad[3];
	__be32 tag;
	__be64 offset; /* in the store */
	__be64 addr; /* the client's memory */
	__be32 rkey;
	__be32 len;
};

struct rstore_rsp {
	__be32 tag;
	__be32 status;
};

/* The server. Its module's init makes the store, of store_kb KiB, and listens to this port on every address. */
#define RSTORE_PORT 4421

/* The client. */
struct rstore_client;

/** rstore_open() - @src: NULL, or an address of the adapter that connects. Return: a connected client, or an error pointer. May sleep. */
struct rstore_client *rstore_open(struct sockaddr *src, struct sockaddr *dst);
void rstore_close(struct rstore_client *c);

/**
 * rstore_io() - read or write; may sleep, and be called by many threads
 * @offset: in the store
 * @sgl, @nents: where the bytes go or come from; between the first and the last entry no gaps but whole pages, unless the device
 *	registers gaps
 *
 * Return: 0; -EINVAL: the server refused it; -EIO.
 */
int rstore_io(struct rstore_client *c, enum rstore_op op, u64 offset, struct scatterlist *sgl, int nents);

#endif
