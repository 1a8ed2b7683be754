/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The program around the kernel-style sources of this folder: machines, adapters with addresses, a ledger. */
#include "softhca/kernel.h"
#include "softhca/rdma_cm.h"

#include "ulp.h"

static u32 reports; /* atomic */

static void on_report(void *ctx, const struct hca_misuse_report *r)
{
	char text[400];

	(void)ctx;
	ib_dma_report_str(r, text, sizeof(text));
	printf("# %s\n", text);
	__atomic_fetch_add(&reports, 1, __ATOMIC_RELAXED);
}

struct side {
	bool soft;
	struct device *bus;
	struct ib_device *ib;
};

static int side_open(struct side *s, struct machine *m, const char *name, bool soft, u32 address)
{
	const struct ib_dma_config config = { .ledger = true, .report = on_report };
	const struct device_attr attr = { .name = name };
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };
	int ret = device_create(m, &attr, &s->bus);

	s->soft = soft;
	if (!ret)
		ret = soft ? ipath_create(s->bus, name, IPATH_HIGHMEM_TAGGED, &config, &s->ib) :
			     dmahca_create(s->bus, name, &config, &s->ib);
	return ret ? ret : softhca_addr_add(s->ib, (struct sockaddr *)&addr);
}

static u64 side_close(struct side *s)
{
	u64 leaked = s->soft ? ipath_destroy(s->ib) : dmahca_destroy(s->ib);

	device_destroy(s->bus);
	return leaked;
}

static int on_machine(enum machine_platform platform, bool soft_client, bool soft_server, int (*ulp)(void))
{
	const struct machine_attr attr = { .name = "ulps", .platform = platform, .low_bytes = 16 << 20 };
	struct side client = { 0 }, server = { 0 };
	struct machine *m;
	u64 leaked;
	int ret = machine_create(&attr, &m);

	if (ret)
		return ret;
	machine_set_current(m);
	ret = side_open(&client, m, "client", soft_client, 0x0a000001);
	if (!ret)
		ret = side_open(&server, m, "server", soft_server, 0x0a000002);
	if (!ret)
		ret = softhca_load_modules();
	if (!ret)
		ret = ulp();
	softhca_unload_modules();
	leaked = side_close(&client) + side_close(&server);
	if (machine_destroy(m))
		ret = ret ? ret : -EBUSY;
	return ret ? ret : leaked || __atomic_exchange_n(&reports, 0, __ATOMIC_RELAXED) ? -EUCLEAN : 0;
}

int main(void)
{
	static const struct {
		const char *name;
		int (*fn)(void);
	} ulp[] = {
		{ "fast registration and rdma_rw", ulp_fastreg },
		{ "RCU, hlists, trees, per-CPU data, tasklets", ulp_rds },
		{ "xarrays, states, permits, immediate data", ulp_rtrs },
		{ "names of 6.12", ulp_later },
		{ "options, tags, paths", ulp_options },
	};
	static const struct {
		const char *name;
		enum machine_platform platform;
		bool soft_client, soft_server;
	} kind[] = {
		{ "adapters that copy", MACHINE_DIRECT, true, true },
		{ "adapters behind an IOMMU", MACHINE_IOMMU, false, false },
		{ "bounce buffers and an adapter that copies", MACHINE_BOUNCE, false, true },
	};
	size_t i, j;
	int ret, failed = 0;

	if (softhca_module_param("depth", "2") != -EINVAL || softhca_module_param("depth", "16"))
		return 1;
	printf("1..%zu\n", ARRAY_SIZE(ulp) * ARRAY_SIZE(kind));
	for (i = 0; i < ARRAY_SIZE(ulp); i++)
		for (j = 0; j < ARRAY_SIZE(kind); j++) {
			ret = on_machine(kind[j].platform, kind[j].soft_client, kind[j].soft_server, ulp[i].fn);
			failed |= ret;
			printf("%sok %zu - %s, on %s (%d)\n", ret ? "not " : "", i * ARRAY_SIZE(kind) + j + 1,
			       ulp[i].name, kind[j].name, ret);
			fflush(stdout);
		}
	return failed != 0;
}
