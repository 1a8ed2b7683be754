/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A fabric as JSON: one object, with an array of nodes and one of rings. See status.h; man/softhca-status.1 lists the members. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "status.h"

static const char *const states[] = {
	[STATUS_LIVE] = "live",
	[STATUS_STARTING] = "starting",
	[STATUS_LEFTOVER] = "leftover",
	[STATUS_UNREADABLE] = "unreadable",
};

static const char *boolean(bool b)
{
	return b ? "true" : "false";
}

static void put_state(enum status_state state, const char *why)
{
	printf("\"state\": \"%s\"", states[state]);
	if (!why)
		return;
	printf(", \"why\": ");
	cli_json_text(why);
}

static void put_access(u32 access)
{
	const char *name, *comma = "";
	unsigned int i;
	bool has;

	printf("\"access\": [");
	for (i = 0; (name = status_right_name(i, access, &has)); i++) {
		if (!has)
			continue;
		printf("%s\"%s\"", comma, name);
		comma = ", ";
	}
	printf("]");
}

static void put_count(const struct hca_fabric_count *c)
{
	if (!c->qpn) {
		printf("\"counters\": null");
		return;
	}
	printf("\"counters\": {\"requests\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"received_bytes\": %" PRIu64 ", \"errors\": %u, \"retries\": %u}",
	       c->requests, c->bytes, c->received, c->received_bytes, c->errors, c->retries);
}

static void put_qp(const struct hca_fabric_qp *q, const struct hca_fabric_count *c)
{
	printf("{\"number\": %u, \"type\": \"%s\", \"state\": \"%s\", ", q->qpn, status_type_name(q->type),
	       status_state_name(q->state));
	if (q->peer)
		printf("\"peer_node\": %u, \"peer_number\": %u, ", (u32)(q->peer >> 32), (u32)q->peer);
	else
		printf("\"peer_node\": null, \"peer_number\": null, ");
	put_access(q->access);
	printf(", \"rd_limit\": %u, \"pd\": %" PRIu64 ", ", q->rd_limit, q->pd);
	put_count(c);
	printf("}");
}

static void put_key(const struct hca_fabric_key *k)
{
	printf("{\"rkey\": %u, \"addr\": \"0x%" PRIx64 "\", \"length\": %" PRIu64 ", ", k->key, k->iova, k->length);
	put_access(k->access);
	printf(", \"pd\": %" PRIu64 "}", k->pd);
}

static void put_process(const struct status_node *n)
{
	char started[32];
	struct tm tm;

	printf(", \"pid\": %d, ", n->head.pid);
	if (!n->known || !gmtime_r(&n->started, &tm)) {
		printf("\"command\": null, \"started\": null");
		return;
	}
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", &tm);
	printf("\"command\": ");
	cli_json_text(n->command);
	printf(", \"started\": \"%s\"", started);
}

static void put_uses(const struct hca_fabric_node *h)
{
	const char *comma = "";
	unsigned int i;

	printf(",\n     \"uses\": [");
	for (i = 0; i < h->marks && i < HCA_FABRIC_MARKS; i++) {
		if (!(u32)h->uses[i].use)
			continue;
		printf("%s{\"thread\": %u, \"node\": %u, \"count\": %u}", comma, i, (u32)h->uses[i].use,
		       (u32)(h->uses[i].use >> 32));
		comma = ", ";
	}
	printf("]");
}

static void put_users(const struct hca_fabric_node *h)
{
	const char *comma = "";
	unsigned int i;

	printf(", \"users\": [");
	for (i = 0; i < HCA_FABRIC_NODES; i++) {
		if (!(h->users[i / 64] >> (i % 64) & 1))
			continue;
		printf("%s%u", comma, i);
		comma = ", ";
	}
	printf("]");
}

static void put_live(const struct status_out *o, const struct status_node *n)
{
	size_t i;

	put_process(n);
	printf(", \"device\": \"ipath%u\"", n->head.device);
	printf(",\n     \"helper_asleep\": %s, \"direct\": %s, \"groups\": %u, \"damaged\": %zu",
	       boolean(n->head.sleeping), boolean(n->head.vm), n->head.joined, n->damaged);
	printf(",\n     \"queue_pairs\": [");
	for (i = 0; i < n->qps; i++) {
		printf("%s\n      ", i ? "," : "");
		put_qp(&n->qp[i], &n->count[i]);
	}
	printf("],\n     \"keys\": %zu, \"key_bytes\": %" PRIu64, n->keys, n->key_bytes);
	if (o->verbose) {
		printf(", \"key_list\": [");
		for (i = 0; i < n->keys; i++) {
			printf("%s\n      ", i ? "," : "");
			put_key(&n->key[i]);
		}
		printf("]");
	}
	printf(",\n     \"plain\": %" PRIu64, status_plain(&n->head));
	put_uses(&n->head);
	put_users(&n->head);
}

void status_json_begin(const struct status_out *o)
{
	printf("{\"fabric\": ");
	cli_json_text(o->dir);
	printf(",\n \"nodes\": [");
}

void status_json_node(const struct status_out *o, const struct status_node *n)
{
	printf("%s\n  {\"node\": %u, ", o->nodes ? "," : "", n->number);
	put_state(n->state, n->why);
	if (n->state == STATUS_LIVE)
		put_live(o, n);
	else if (n->state == STATUS_LEFTOVER && n->head.pid > 0)
		printf(", \"pid\": %d", n->head.pid);
	printf("}");
}

static void put_lane(const char *name, const struct status_lane *l)
{
	printf(", \"%s\": {\"size\": %u, ", name, l->size);
	if (l->sane)
		printf("\"waiting\": %" PRIu64 ", \"written\": %" PRIu64 ", ", l->waiting, l->written);
	else
		printf("\"waiting\": null, \"written\": null, ");
	printf("\"blocked\": %s}", boolean(l->blocked));
}

void status_json_ring(const struct status_out *o, const struct status_ring *r)
{
	printf("%s\n  {\"from\": %u, \"to\": %u, ", o->rings ? "," : "],\n \"rings\": [", r->from, r->to);
	put_state(r->state, r->why);
	if (r->state != STATUS_UNREADABLE) {
		put_lane("requests", &r->lane[HCA_FABRIC_REQUESTS]);
		put_lane("replies", &r->lane[HCA_FABRIC_REPLIES]);
	}
	printf("}");
}

void status_json_end(const struct status_out *o)
{
	printf("%s]}\n", o->rings ? "" : "],\n \"rings\": [");
}
