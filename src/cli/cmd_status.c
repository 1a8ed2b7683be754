/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca status: the processes that have the device open, their queue pairs, keys and
 * rings, as they are in the fabric's files. It writes nothing and stops no process.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"
#include "shim_dir.h"
#include "status.h"

enum { OPT_FABRIC, OPT_VERBOSE, OPT_JSON };

static const struct cli_option options[] = {
	[OPT_FABRIC] = { "fabric", "DIR", "where the processes meet; default /dev/shm/softhca-UID", 0 },
	[OPT_VERBOSE] = { "verbose", NULL, "each key, with its range and rights", 'v' },
	[OPT_JSON] = { "json", NULL, "print a JSON object and nothing else", 0 },
	{ NULL, NULL, NULL, 0 },
};

/* --- as text --- */

static void put_access(u32 access)
{
	const char *name, *comma = "";
	unsigned int i;
	bool has;

	for (i = 0; (name = status_right_name(i, access, &has)); i++) {
		if (!has)
			continue;
		printf("%s%s", comma, name);
		comma = ",";
	}
	printf("%s\n", *comma ? "" : "-");
}

static void put_count(const struct hca_fabric_count *c)
{
	if (c->qpn)
		printf("      sent %" PRIu64 " requests, %" PRIu64 " bytes; received %" PRIu64 ", %" PRIu64
		       " bytes; %u errors, %u retries\n",
		       c->requests, c->bytes, c->received, c->received_bytes, c->errors, c->retries);
}

static void put_qps(const struct status_node *n)
{
	char peer[32];
	size_t i;

	printf("  queue pairs: %zu\n", n->qps);
	if (n->qps)
		printf("    %-8s  %-8s  %-5s  %-22s  %s\n", "number", "type", "state", "peer", "access");
	for (i = 0; i < n->qps; i++) {
		const struct hca_fabric_qp *q = &n->qp[i];

		snprintf(peer, sizeof(peer), "node %u, %u", (u32)(q->peer >> 32), (u32)q->peer);
		printf("    %-8u  %-8s  %-5s  %-22s  ", q->qpn, status_type_name(q->type), status_state_name(q->state),
		       q->peer ? peer : "-");
		put_access(q->access);
		put_count(&n->count[i]);
	}
}

static void put_keys(const struct status_node *n, bool verbose)
{
	size_t i;

	printf("  keys that peers may use: %zu, for %" PRIu64 " bytes\n", n->keys, n->key_bytes);
	if (!verbose || !n->keys)
		return;
	printf("    %-10s  %-18s  %-14s  %s\n", "rkey", "address", "bytes", "access");
	for (i = 0; i < n->keys; i++) {
		const struct hca_fabric_key *k = &n->key[i];

		printf("    0x%08x  0x%016" PRIx64 "  %-14" PRIu64 "  ", k->key, k->iova, k->length);
		put_access(k->access);
	}
}

static void put_uses(const struct hca_fabric_node *h)
{
	unsigned int i;

	for (i = 0; i < h->marks && i < HCA_FABRIC_MARKS; i++)
		if ((u32)h->uses[i].use)
			printf("  thread %u copies from or to node %u\n", i, (u32)h->uses[i].use);
}

static void put_live(const struct status_node *n, bool verbose)
{
	char started[32] = "?";
	struct tm tm;

	if (n->known && localtime_r(&n->started, &tm))
		strftime(started, sizeof(started), "%Y-%m-%d %H:%M:%S", &tm);
	if (n->known)
		printf("pid %d, %s, since %s; ", n->head.pid, n->command, started);
	else
		printf("pid %d, which is no process that can be seen from here; ", n->head.pid);
	printf("its helper %s%s\n", n->head.sleeping ? "sleeps" : "is awake",
	       n->head.vm ? "" : "; its memory isn't copied directly");
	printf("  device: ipath%u\n", n->head.device);
	put_qps(n);
	put_keys(n, verbose);
	if (n->head.joined)
		printf("  multicast groups: %u\n", n->head.joined);
	put_uses(&n->head);
	if (status_plain(&n->head))
		printf("  memory that both processes map: %" PRIu64 " pieces\n", status_plain(&n->head));
	if (n->damaged)
		printf("  entries that make no sense: %zu\n", n->damaged);
}

static void put_node(const struct status_out *o, const struct status_node *n)
{
	printf("node %u: ", n->number);
	switch (n->state) {
	case STATUS_LIVE:
		put_live(n, o->verbose);
		return;
	case STATUS_STARTING:
		printf("a process that opens the device, or closes it\n");
		return;
	case STATUS_LEFTOVER:
		printf("leftover of ");
		if (n->head.pid > 0)
			printf("pid %d", n->head.pid);
		else
			printf("a process");
		printf(", which has ended; the next process that opens the device removes it\n");
		return;
	default:
		printf("unreadable: %s\n", n->why);
	}
}

static void put_lane(const struct status_ring *r, unsigned int i)
{
	static const char *const lanes[HCA_FABRIC_LANES] = { "requests", "replies" };
	const struct status_lane *l = &r->lane[i];

	printf("  %-4u  %-4u  %-8s  %-9u  ", r->from, r->to, lanes[i], l->size);
	if (l->sane)
		printf("%-9" PRIu64 "  %" PRIu64, l->waiting, l->written);
	else
		printf("%-9s  ?  makes no sense", "?");
	if (r->state == STATUS_LEFTOVER)
		printf("  leftover");
	else if (l->blocked)
		printf("  node %u waits for room", r->from);
	printf("\n");
}

static void put_ring(const struct status_out *o, const struct status_ring *r)
{
	unsigned int i;

	if (!o->rings)
		printf("rings, in bytes\n  %-4s  %-4s  %-8s  %-9s  %-9s  %s\n", "from", "to", "lane", "size", "waiting",
		       "written");
	if (r->state == STATUS_UNREADABLE)
		printf("  %-4u  %-4u  unreadable: %s\n", r->from, r->to, r->why);
	for (i = 0; i < HCA_FABRIC_LANES && r->state != STATUS_UNREADABLE; i++)
		put_lane(r, i);
}

/* --- all of it --- */

/* A ring that has a name before the nodes are read was of nodes that were there then. */
static struct status_files files;

static void tell_nodes(struct status_out *o, int dir, bool json, u64 *stamp)
{
	struct status_node n;
	u32 i;

	for (i = 1; i < HCA_FABRIC_NODES; i++) {
		if (!status_read_node(dir, i, o->verbose, &n))
			continue;
		if (json)
			status_json_node(o, &n);
		else
			put_node(o, &n);
		if (n.state == STATUS_LIVE)
			stamp[i] = n.head.stamp;
		o->nodes++;
		o->live += n.state == STATUS_LIVE || n.state == STATUS_STARTING;
		status_free_node(&n);
	}
}

static void tell_rings(struct status_out *o, int dir, bool json, const u64 *stamp)
{
	struct status_ring r;
	u32 from, to;

	for (from = 1; from < HCA_FABRIC_NODES; from++)
		for (to = 1; to < HCA_FABRIC_NODES; to++) {
			if (!(files.ring[from][to / 64] >> (to % 64) & 1) ||
			    !status_read_ring(dir, from, to, stamp, &r))
				continue;
			if (json)
				status_json_ring(o, &r);
			else
				put_ring(o, &r);
			o->rings++;
		}
}

static enum cli_status tell(struct status_out *o, bool json)
{
	u64 stamp[HCA_FABRIC_NODES] = { 0 };
	int dir, there = status_open(o->dir, &dir);

	if (there < 0)
		return CLI_FAILED;
	if (there && !status_list(dir, &files)) {
		close(dir);
		return CLI_FAILED;
	}
	if (json)
		status_json_begin(o);
	if (there) {
		tell_nodes(o, dir, json, stamp);
		tell_rings(o, dir, json, stamp);
		close(dir);
	}
	if (json)
		status_json_end(o);
	else if (!o->live)
		printf("%s: no process has the device open\n", o->dir);
	return CLI_OK;
}

static enum cli_status run(const struct cli_command *cmd, int argc, char **argv)
{
	struct cli_args args = { .cmd = cmd, .argc = argc, .argv = argv, .at = 1 };
	char dir[PATH_MAX];
	struct status_out o = { .dir = dir };
	bool json = false;
	int got;

	fabric_dir(dir, sizeof(dir));
	while ((got = cli_next(&args)) != CLI_END) {
		if (got == CLI_HELP) {
			cli_help(cmd);
			return CLI_OK;
		}
		if (got == CLI_BAD)
			return CLI_USAGE;
		if (got == OPT_FABRIC)
			o.dir = args.value;
		else if (got == OPT_VERBOSE)
			o.verbose = true;
		else
			json = true;
	}
	return tell(&o, json);
}

const struct cli_command cli_status = {
	.name = "status",
	.summary = "show the processes that have the device open, their queue pairs, keys and rings",
	.usage = "[-v] [--json] [--fabric DIR]",
	.about = "Shows the processes that have the device open, the queue pairs and keys of each, and the\n"
		 "rings between them, without stopping them. Also shows leftovers of processes that have ended.",
	.options = options,
	.run = run,
};
