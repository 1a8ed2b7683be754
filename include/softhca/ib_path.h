/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Small calls on ports, paths and addresses, with Linux's names (rdma/ib_verbs.h, rdma/ib_cache.h, rdma/ib_addr.h, rdma/ib.h):
 * what a path says, where a P_Key or GID stands, how long an address is. Ports are queried, as nothing is cached here.
 */
#ifndef SOFTHCA_IB_PATH_H
#define SOFTHCA_IB_PATH_H

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "softhca/ib_verbs.h"

#define IB_DEVICE_NAME_MAX 64

enum rdma_link_layer {
	IB_LINK_LAYER_UNSPECIFIED,
	IB_LINK_LAYER_INFINIBAND,
	IB_LINK_LAYER_ETHERNET,
};

/** rdma_port_get_link_layer() - InfiniBand of every port */
static inline enum rdma_link_layer rdma_port_get_link_layer(struct ib_device *device, u32 port_num)
{
	return rdma_is_port_valid(device, port_num) ? IB_LINK_LAYER_INFINIBAND : IB_LINK_LAYER_UNSPECIFIED;
}

/** rdma_dev_access_netns() - there is one network namespace, and every device is in it */
struct net;
static inline bool rdma_dev_access_netns(const struct ib_device *device, const struct net *net)
{
	(void)device;
	(void)net;
	return true;
}

/* --- paths --- */

enum rdma_ah_attr_type {
	RDMA_AH_ATTR_TYPE_UNDEFINED,
	RDMA_AH_ATTR_TYPE_IB,
	RDMA_AH_ATTR_TYPE_ROCE,
	RDMA_AH_ATTR_TYPE_OPA,
};

/** rdma_ah_find_type() - InfiniBand of every port */
static inline enum rdma_ah_attr_type rdma_ah_find_type(struct ib_device *device, u32 port_num)
{
	return rdma_is_port_valid(device, port_num) ? RDMA_AH_ATTR_TYPE_IB : RDMA_AH_ATTR_TYPE_UNDEFINED;
}

#define softhca_ah_(name, type, field) \
	static inline void rdma_ah_set_##name(struct rdma_ah_attr *attr, type v) \
	{ \
		attr->field = v; \
	} \
	static inline type rdma_ah_get_##name(const struct rdma_ah_attr *attr) \
	{ \
		return (type)attr->field; \
	}
softhca_ah_(dlid, u32, dlid) softhca_ah_(sl, u8, sl) softhca_ah_(port_num, u32, port_num)
	softhca_ah_(static_rate, u8, static_rate) softhca_ah_(path_bits, u8, src_path_bits)
		softhca_ah_(ah_flags, u8, ah_flags)
#undef softhca_ah_

	/** rdma_ah_read_grh() - what a GRH would say; rdma_ah_retrieve_grh(): the same, to be changed */
	static inline const struct ib_global_route *rdma_ah_read_grh(const struct rdma_ah_attr *attr)
{
	return &attr->grh;
}

static inline struct ib_global_route *rdma_ah_retrieve_grh(struct rdma_ah_attr *attr)
{
	return &attr->grh;
}

/** rdma_ah_set_grh() - with a GRH; @dgid: NULL: its destination stays */
static inline void rdma_ah_set_grh(struct rdma_ah_attr *attr, const union ib_gid *dgid, u32 flow_label, u8 sgid_index,
				   u8 hop_limit, u8 traffic_class)
{
	attr->ah_flags = IB_AH_GRH;
	if (dgid)
		attr->grh.dgid = *dgid;
	attr->grh.flow_label = flow_label;
	attr->grh.sgid_index = sgid_index;
	attr->grh.hop_limit = hop_limit;
	attr->grh.traffic_class = traffic_class;
}

static inline void rdma_ah_set_dgid_raw(struct rdma_ah_attr *attr, const void *dgid)
{
	memcpy(attr->grh.dgid.raw, dgid, sizeof(attr->grh.dgid));
}

static inline void rdma_ah_set_subnet_prefix(struct rdma_ah_attr *attr, u64 prefix)
{
	attr->grh.dgid.global.subnet_prefix = prefix;
}

static inline void rdma_ah_set_interface_id(struct rdma_ah_attr *attr, u64 id)
{
	attr->grh.dgid.global.interface_id = id;
}

/** rdma_copy_ah_attr(), rdma_destroy_ah_attr() - nothing is held by a path */
static inline void rdma_copy_ah_attr(struct rdma_ah_attr *to, const struct rdma_ah_attr *from)
{
	*to = *from;
}

static inline void rdma_destroy_ah_attr(struct rdma_ah_attr *attr)
{
	(void)attr;
}

/* --- ports --- */

/** ib_find_pkey() - where a P_Key stands, one of full membership first. Return: 0; -ENOENT: nowhere; or as ib_query_pkey(). */
static inline int ib_find_pkey(struct ib_device *device, u32 port_num, u16 pkey, u16 *index)
{
	struct ib_port_attr attr;
	int i, err, partial = -1;
	u16 found;

	err = ib_query_port(device, port_num, &attr);
	for (i = 0; !err && i < attr.pkey_tbl_len; i++) {
		err = ib_query_pkey(device, port_num, (u16)i, &found);
		if (err || (found & 0x7fff) != (pkey & 0x7fff))
			continue;
		if (found & 0x8000) {
			*index = (u16)i;
			return 0;
		}
		if (partial < 0)
			partial = i;
	}
	if (err || partial < 0)
		return err ? err : -ENOENT;
	*index = (u16)partial;
	return 0;
}

/** ib_find_gid() - which port has a GID, and where; @port_num, @index: may be NULL. Return: 0; -ENOENT. */
static inline int ib_find_gid(struct ib_device *device, const union ib_gid *gid, u32 *port_num, u16 *index)
{
	struct ib_port_attr attr;
	union ib_gid found;
	u32 port;
	int i;

	rdma_for_each_port(device, port)
	{
		if (ib_query_port(device, port, &attr))
			continue;
		for (i = 0; i < attr.gid_tbl_len; i++) {
			if (rdma_query_gid(device, port, i, &found) || memcmp(&found, gid, sizeof(found)) != 0)
				continue;
			if (port_num)
				*port_num = port;
			if (index)
				*index = (u16)i;
			return 0;
		}
	}
	return -ENOENT;
}

#define ib_find_cached_pkey(device, port_num, pkey, index) ib_find_pkey(device, port_num, pkey, index)
#define ib_get_cached_pkey(device, port_num, index, pkey) ib_query_pkey(device, port_num, (u16)(index), pkey)

static inline int ib_get_cached_lmc(struct ib_device *device, u32 port_num, u8 *lmc)
{
	struct ib_port_attr attr;
	int err = ib_query_port(device, port_num, &attr);

	if (!err)
		*lmc = attr.lmc;
	return err;
}

static inline int ib_get_cached_port_state(struct ib_device *device, u32 port_num, enum ib_port_state *state)
{
	struct ib_port_attr attr;
	int err = ib_query_port(device, port_num, &attr);

	if (!err)
		*state = attr.state;
	return err;
}

/* --- addresses --- */

/* An ID of softhca/rdma_cm.h has an IP address; one of this family is refused. */
#define RDMA_IB_IP_PS_MASK 0xFFFFFFFFFFFF0000ull
#define RDMA_IB_IP_PS_TCP 0x0000000001060000ull
#define RDMA_IB_IP_PS_UDP 0x0000000001110000ull
#define RDMA_IB_IP_PS_IB 0x00000000013F0000ull

/** struct ib_addr - a GID, in network order */
struct ib_addr {
	union {
		u8 uib_addr8[16];
		u16 uib_addr16[8];
		u32 uib_addr32[4];
		u64 uib_addr64[2];
	} ib_u;
};

#define sib_addr8 ib_u.uib_addr8
#define sib_addr16 ib_u.uib_addr16
#define sib_addr32 ib_u.uib_addr32
#define sib_addr64 ib_u.uib_addr64
#define sib_raw ib_u.uib_addr8
#define sib_subnet_prefix ib_u.uib_addr64[0]
#define sib_interface_id ib_u.uib_addr64[1]

/** struct sockaddr_ib - an address by GID and service ID, in network order */
struct sockaddr_ib {
	unsigned short int sib_family;
	u16 sib_pkey;
	u32 sib_flowinfo;
	struct ib_addr sib_addr;
	u64 sib_sid;
	u64 sib_sid_mask;
	u64 sib_scope_id;
};

static inline bool ib_addr_any(const struct ib_addr *a)
{
	return !(a->sib_addr64[0] | a->sib_addr64[1]);
}

static inline int ib_addr_cmp(const struct ib_addr *a, const struct ib_addr *b)
{
	return memcmp(a, b, sizeof(*a));
}

/** rdma_addr_size() - bytes of an address by its family; 0: another family */
static inline int rdma_addr_size(const struct sockaddr *addr)
{
	switch (addr->sa_family) {
	case AF_INET:
		return (int)sizeof(struct sockaddr_in);
	case AF_INET6:
		return (int)sizeof(struct sockaddr_in6);
	case AF_IB:
		return (int)sizeof(struct sockaddr_ib);
	default:
		return 0;
	}
}

static inline int rdma_addr_size_kss(const struct sockaddr_storage *addr)
{
	int n = rdma_addr_size((const struct sockaddr *)addr);

	return n <= (int)sizeof(*addr) ? n : 0;
}

#endif
