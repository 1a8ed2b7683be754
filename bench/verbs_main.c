/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* softhca-bench-verbs MODE: the modes by name, and what they have in common; see verbs_bench.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "os.h"
#include "verbs_bench.h"

#define PORT 1
#define BLOCK 512 /* of st_blocks */

struct ibv_context *verbs_open(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *c = list && list[0] ? ibv_open_device(list[0]) : NULL;

	if (list)
		ibv_free_device_list(list);
	if (!c)
		bench_fail("no device: %s", strerror(errno));
	return c;
}

int verbs_port(struct ibv_context *c, struct verbs_place *place)
{
	struct ibv_port_attr attr;

	if (ibv_query_port(c, PORT, &attr) || ibv_query_gid(c, PORT, 0, &place->gid))
		return bench_fail("no port: %s", strerror(errno));
	place->lid = attr.lid;
	return 0;
}

struct ibv_qp *verbs_qp(struct ibv_pd *pd, struct ibv_cq *cq, u32 depth)
{
	struct ibv_qp_init_attr init = {
		.send_cq = cq,
		.recv_cq = cq,
		.cap = { .max_send_wr = depth, .max_recv_wr = depth, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT,
				    .port_num = PORT,
				    .qp_access_flags = IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ |
						       IBV_ACCESS_REMOTE_ATOMIC };
	struct ibv_qp *qp = ibv_create_qp(pd, &init);

	if (!qp) {
		bench_fail("no queue pair: %s", strerror(errno));
		return NULL;
	}
	if (ibv_modify_qp(qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS)) {
		bench_fail("a queue pair doesn't get to INIT");
		ibv_destroy_qp(qp);
		return NULL;
	}
	return qp;
}

int verbs_connect(struct ibv_qp *qp, const struct verbs_place *peer)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = IBV_MTU_4096,
		.dest_qp_num = peer->qpn,
		.max_dest_rd_atomic = 16,
		.min_rnr_timer = 12,
		.ah_attr = { .is_global = 1,
			     .dlid = peer->lid,
			     .port_num = PORT,
			     .grh = { .dgid = peer->gid, .hop_limit = 1 } },
	};

	if (ibv_modify_qp(qp, &attr,
			  IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				  IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		return bench_fail("a queue pair doesn't get to RTR");
	attr.qp_state = IBV_QPS_RTS;
	attr.timeout = 14;
	attr.retry_cnt = 7;
	attr.rnr_retry = 7;
	attr.max_rd_atomic = 16;
	if (ibv_modify_qp(qp, &attr,
			  IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
				  IBV_QP_MAX_QP_RD_ATOMIC))
		return bench_fail("a queue pair doesn't get to RTS");
	return 0;
}

u64 verbs_memory(const char *kind)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "re");
	size_t len = strlen(kind);
	u64 bytes = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, kind, len) && line[len] == ':')
			bytes = strtoull(line + len + 1, NULL, 10) << 10;
	if (f)
		fclose(f);
	return bytes;
}

u64 verbs_fabric_bytes(void)
{
	const char *path = getenv("SOFTHCA_FABRIC");
	DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *e;
	struct stat st;
	u64 bytes = 0;

	while (dir && (e = readdir(dir)))
		if (!fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
			bytes += (u64)st.st_blocks * BLOCK;
	if (dir)
		closedir(dir);
	return bytes;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} modes[] = { { "open", verbs_mode_open }, { "turns", verbs_mode_turns }, { "many", verbs_mode_many } };
	size_t i;

	for (i = 0; argc > 1 && i < HCA_ARRAY_SIZE(modes); i++)
		if (!strcmp(argv[1], modes[i].name))
			return modes[i].run(argc - 2, argv + 2);
	fputs("usage: softhca-bench-verbs open | turns [both] [LOOP N] | many PROCESSES QPS\n"
	      "  open    the first ibv_open_device: ms until it is open, ms without the waits for a CPU, KiB of the process, KiB of the fabric\n"
	      "  turns   RDMA to another process in turns with the system's copy to the same pages: name, ns of one, ns of\n"
	      "          the system's, ratio; both: memory that both have mapped, and memcpy(); with LOOP N: that one alone, N times, for a tool that counts instructions\n"
	      "  many    each process has QPS queue pairs, and as many to each of the others; one message goes over each:\n"
	      "          queue pairs, seconds to connect, KiB of a process before and after, KiB of the fabric, seconds of traffic\n",
	      stderr);
	return 2;
}
