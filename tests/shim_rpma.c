/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * shim_rpma ADDRESS PORT [server] - a server and a client of librpma, for tests/shim_cm_programs.sh, which builds it where the library
 * is installed. The client reads, writes, flushes and sends in memory whose descriptor comes with the connection, and waits for the
 * completions. An exit status of 0 says that all bytes were right.
 */
#include <arpa/inet.h>
#include <librpma.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES 65536u
#define MESSAGE 4096u
#define TRIES 300
#define ALL \
	(RPMA_MR_USAGE_READ_SRC | RPMA_MR_USAGE_READ_DST | RPMA_MR_USAGE_WRITE_SRC | RPMA_MR_USAGE_WRITE_DST | \
	 RPMA_MR_USAGE_SEND | RPMA_MR_USAGE_RECV | RPMA_MR_USAGE_FLUSH_TYPE_VISIBILITY)

#define DO(call) \
	do { \
		int failed = (call); \
		if (failed) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, rpma_err_2str(failed)); \
			exit(1); \
		} \
	} while (0)

#define EXPECT(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
			exit(1); \
		} \
	} while (0)

struct side {
	struct rpma_peer *peer;
	struct rpma_conn_cfg *cfg;
	struct rpma_conn *conn;
	struct rpma_cq *cq, *rcq;
	struct rpma_mr_local *mr;
	unsigned char *mem; /* BYTES that the client uses, and a message */
};

static void fill(unsigned char *at, size_t bytes, unsigned char with)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		at[i] = (unsigned char)(i / 7 + i + with);
}

static bool filled(const unsigned char *at, size_t bytes, unsigned char with)
{
	size_t i;

	for (i = 0; i < bytes; i++)
		if (at[i] != (unsigned char)(i / 7 + i + with))
			return false;
	return true;
}

static void begin(struct side *s, const char *address, enum rpma_util_ibv_context_type type)
{
	struct ibv_context *context;

	DO(rpma_utils_get_ibv_context(address, type, &context));
	DO(rpma_peer_new(context, &s->peer));
	DO(rpma_conn_cfg_new(&s->cfg));
	DO(rpma_conn_cfg_set_rcq_size(s->cfg, 10));
	DO(rpma_conn_cfg_set_rq_size(s->cfg, 10));
	EXPECT((s->mem = aligned_alloc(4096, BYTES + MESSAGE)));
	memset(s->mem, 0, BYTES + MESSAGE);
	DO(rpma_mr_reg(s->peer, s->mem, BYTES + MESSAGE, ALL, &s->mr));
}

static struct ibv_wc wait_for(struct rpma_cq *cq, enum ibv_wc_opcode opcode)
{
	struct ibv_wc wc;
	int err;

	do {
		DO(rpma_cq_wait(cq));
		err = rpma_cq_get_wc(cq, 1, &wc, NULL);
	} while (err == RPMA_E_NO_COMPLETION);
	DO(err);
	EXPECT(wc.status == IBV_WC_SUCCESS);
	EXPECT(wc.opcode == opcode);
	return wc;
}

static void expect_event(struct rpma_conn *conn, enum rpma_conn_event expected)
{
	enum rpma_conn_event event;

	DO(rpma_conn_next_event(conn, &event));
	EXPECT(event == expected);
}

/* For the client and the server. Return: true: it is established; false: the server does not listen yet */
static bool connected(struct side *s, struct rpma_conn_req *req, const struct rpma_conn_private_data *data)
{
	enum rpma_conn_event event;

	DO(rpma_conn_req_recv(req, s->mr, BYTES, MESSAGE, NULL));
	DO(rpma_conn_req_connect(&req, data, &s->conn));
	DO(rpma_conn_next_event(s->conn, &event));
	if (event == RPMA_CONN_REJECTED) {
		DO(rpma_conn_delete(&s->conn));
		return false;
	}
	EXPECT(event == RPMA_CONN_ESTABLISHED);
	DO(rpma_conn_get_cq(s->conn, &s->cq));
	DO(rpma_conn_get_rcq(s->conn, &s->rcq));
	return true;
}

static void end(struct side *s)
{
	DO(rpma_conn_delete(&s->conn));
	DO(rpma_mr_dereg(&s->mr));
	DO(rpma_conn_cfg_delete(&s->cfg));
	DO(rpma_peer_delete(&s->peer));
	free(s->mem);
}

static void server(const char *address, const char *port)
{
	struct side s;
	struct rpma_ep *ep;
	struct rpma_conn_req *req;
	struct rpma_conn_private_data data;
	unsigned char descriptor[64];
	size_t bytes;
	struct ibv_wc wc;

	begin(&s, address, RPMA_UTIL_IBV_CONTEXT_LOCAL);
	fill(s.mem, BYTES, 1);
	DO(rpma_mr_get_descriptor_size(s.mr, &bytes));
	EXPECT(bytes <= sizeof(descriptor));
	DO(rpma_mr_get_descriptor(s.mr, descriptor));
	data.ptr = descriptor;
	data.len = (uint8_t)bytes;
	DO(rpma_ep_listen(s.peer, address, port, &ep));
	DO(rpma_ep_next_conn_req(ep, s.cfg, &req));
	EXPECT(connected(&s, req, &data));

	wc = wait_for(s.rcq, IBV_WC_RECV);
	EXPECT(wc.byte_len == MESSAGE && filled(s.mem + BYTES, MESSAGE, 3));
	EXPECT(filled(s.mem, BYTES - 8, 2)); /* what was flushed before the message */
	EXPECT(!memcmp(s.mem + BYTES - 8, "atomical", 8));
	DO(rpma_recv(s.conn, s.mr, BYTES, MESSAGE, NULL));
	fill(s.mem, 100, 4);
	DO(rpma_send_with_imm(s.conn, s.mr, 0, 100, RPMA_F_COMPLETION_ALWAYS, 77, NULL));
	wait_for(s.cq, IBV_WC_SEND);
	wc = wait_for(s.rcq, IBV_WC_RECV_RDMA_WITH_IMM);
	EXPECT(wc.imm_data == htonl(88));
	EXPECT(filled(s.mem + 4096, 4096, 5));
	expect_event(s.conn, RPMA_CONN_CLOSED);
	DO(rpma_conn_disconnect(s.conn));
	DO(rpma_ep_shutdown(&ep));
	end(&s);
}

static void client(const char *address, const char *port)
{
	struct side s;
	struct rpma_conn_req *req;
	struct rpma_conn_private_data data;
	struct rpma_mr_remote *remote;
	size_t bytes;
	struct ibv_wc wc;
	int i;

	begin(&s, address, RPMA_UTIL_IBV_CONTEXT_REMOTE);
	/* The server may not listen yet. */
	for (i = 0; i < TRIES; i++) {
		DO(rpma_conn_req_new(s.peer, address, port, s.cfg, &req));
		if (connected(&s, req, NULL))
			break;
		usleep(100000);
	}
	EXPECT(i < TRIES);
	DO(rpma_conn_get_private_data(s.conn, &data));
	DO(rpma_mr_remote_from_descriptor(data.ptr, data.len, &remote));
	DO(rpma_mr_remote_get_size(remote, &bytes));
	EXPECT(bytes == BYTES + MESSAGE);

	DO(rpma_read(s.conn, s.mr, 0, remote, 0, BYTES, RPMA_F_COMPLETION_ALWAYS, NULL));
	wait_for(s.cq, IBV_WC_RDMA_READ);
	EXPECT(filled(s.mem, BYTES, 1));

	fill(s.mem, BYTES, 2);
	DO(rpma_write(s.conn, remote, 0, s.mr, 0, BYTES, RPMA_F_COMPLETION_ON_ERROR, NULL));
	DO(rpma_atomic_write(s.conn, remote, BYTES - 8, "atomical", RPMA_F_COMPLETION_ON_ERROR, NULL));
	DO(rpma_flush(s.conn, remote, 0, BYTES, RPMA_FLUSH_TYPE_VISIBILITY, RPMA_F_COMPLETION_ALWAYS, NULL));
	wait_for(s.cq, IBV_WC_RDMA_READ);
	fill(s.mem, MESSAGE, 3);
	DO(rpma_send(s.conn, s.mr, 0, MESSAGE, RPMA_F_COMPLETION_ALWAYS, NULL));
	wait_for(s.cq, IBV_WC_SEND);
	wc = wait_for(s.rcq, IBV_WC_RECV);
	EXPECT(wc.byte_len == 100 && wc.wc_flags & IBV_WC_WITH_IMM && filled(s.mem + BYTES, 100, 4));
	fill(s.mem, 4096, 5);
	DO(rpma_write_with_imm(s.conn, remote, 4096, s.mr, 0, 4096, RPMA_F_COMPLETION_ALWAYS, 88, NULL));
	wait_for(s.cq, IBV_WC_RDMA_WRITE);
	DO(rpma_conn_disconnect(s.conn));
	expect_event(s.conn, RPMA_CONN_CLOSED);
	DO(rpma_mr_remote_delete(&remote));
	end(&s);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (argc > 3)
		server(argv[1], argv[2]);
	else
		client(argv[1], argv[2]);
	puts("all right");
	return 0;
}
