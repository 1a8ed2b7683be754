/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The port's GID table: a link-local address of the device's own, then those of the
 * interfaces that are up. The table follows them while the adapter is there; a thread of
 * the wire's calls in when the kernel tells of a change, and programs get an event.
 */
#include "shim.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

/* --- addresses of interfaces --- */

static const struct sockaddr_ll *link_of(const struct ifaddrs *list, const char *name)
{
	for (; list; list = list->ifa_next)
		if (list->ifa_addr && list->ifa_addr->sa_family == AF_PACKET && !strcmp(list->ifa_name, name))
			return (const struct sockaddr_ll *)list->ifa_addr;
	return NULL;
}

static bool gid_of(const struct sockaddr *sa, union ibv_gid *gid)
{
	if (sa->sa_family == AF_INET6) {
		memcpy(gid->raw, &((const struct sockaddr_in6 *)sa)->sin6_addr, sizeof(gid->raw));
		return true;
	}
	if (sa->sa_family != AF_INET)
		return false;
	/* RFC 4291, 2.5.5.2 */
	memset(gid->raw, 0, 10);
	memset(gid->raw + 10, 0xff, 2);
	memcpy(gid->raw + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	return true;
}

static bool counts(const struct ifaddrs *i, union ibv_gid *gid)
{
	return i->ifa_addr && i->ifa_flags & IFF_UP && gid_of(i->ifa_addr, gid);
}

static bool is_listed(const struct ifaddrs *i, const union ibv_gid *gid)
{
	union ibv_gid other;

	for (; i; i = i->ifa_next)
		if (counts(i, &other) && !memcmp(gid->raw, other.raw, sizeof(gid->raw)))
			return true;
	return false;
}

/* --- the table; its lock is held --- */

static void engine_gid(const union ibv_gid *gid, struct hca_gid *to)
{
	memcpy(to->raw, gid->raw, sizeof(to->raw));
}

/* Return: it wasn't there. */
static bool add_gid(struct shim_device *dev, const union ibv_gid *gid, u32 ifindex, const u8 *mac)
{
	struct hca_gid raw;
	u32 index;

	engine_gid(gid, &raw);
	if (hca_gid_add(&dev->hca.gids, &raw, &index) || dev->gid[index].used)
		return false; /* no room, or a group's, or known */
	dev->gid[index] = (struct shim_gid){ .gid = *gid, .ifindex = ifindex, .used = true };
	if (mac)
		memcpy(dev->gid[index].mac, mac, sizeof(dev->gid[index].mac));
	return true;
}

/* Interfaces that lead somewhere come before the loopback. */
static bool add_interfaces(struct shim_device *dev, const struct ifaddrs *list, bool loopback)
{
	const struct ifaddrs *i;
	bool changed = false;
	union ibv_gid gid;

	for (i = list; i; i = i->ifa_next) {
		const struct sockaddr_ll *link;

		if (!counts(i, &gid) || !(i->ifa_flags & IFF_LOOPBACK) == loopback)
			continue;
		link = link_of(list, i->ifa_name);
		changed |= add_gid(dev, &gid, if_nametoindex(i->ifa_name),
				   link && link->sll_halen == 6 ? link->sll_addr : NULL);
	}
	return changed;
}

static bool drop_gone(struct shim_device *dev, const struct ifaddrs *list)
{
	bool changed = false;
	struct hca_gid raw;
	u32 i;

	/* The first one is the device's own, of no interface. */
	for (i = 1; i < HCA_GIDS; i++) {
		if (!dev->gid[i].used || is_listed(list, &dev->gid[i].gid))
			continue;
		engine_gid(&dev->gid[i].gid, &raw);
		hca_gid_remove(&dev->hca.gids, &dev->hca.quiesce, &raw);
		dev->gid[i].used = false;
		changed = true;
	}
	return changed;
}

/* Return: the table has changed. */
static bool follow(struct shim_device *dev)
{
	struct ifaddrs *list;
	bool changed;

	if (getifaddrs(&list)) {
		shim_log(HCA_LOG_WARN, SHIM_LOG_DEVICE, "no addresses of interfaces: %m");
		return false;
	}
	changed = drop_gone(dev, list);
	changed |= add_interfaces(dev, list, false);
	changed |= add_interfaces(dev, list, true);
	freeifaddrs(list);
	return changed;
}

static void add_own(struct shim_device *dev)
{
	union ibv_gid first = { .raw = { 0xfe, 0x80 } };
	u8 mac[6];
	u32 i;

	for (i = 0; i < 8; i++)
		first.raw[8 + i] = (u8)(dev->guid >> (56 - 8 * i));
	memcpy(mac, first.raw + 8, 3);
	memcpy(mac + 3, first.raw + 13, 3);
	add_gid(dev, &first, 0, mac);
}

/* --- life --- */

void shim_gids_begin(struct shim_device *dev)
{
	const struct hca_gid *given;
	struct hca_gid copy;
	u32 i;

	pthread_mutex_lock(&dev->gid_lock);
	/* What the wire gave is the wire's own: programs never see it. */
	for (i = 0; i < HCA_GIDS; i++) {
		given = hca_gid_at(&dev->hca.gids, i);
		if (!given)
			continue;
		copy = *given;
		hca_gid_remove(&dev->hca.gids, &dev->hca.quiesce, &copy);
	}
	memset(dev->gid, 0, sizeof(dev->gid));
	add_own(dev);
	dev->follows = !shim_config()->infiniband;
	if (dev->follows)
		follow(dev);
	pthread_mutex_unlock(&dev->gid_lock);
}

void shim_gids_end(struct shim_device *dev)
{
	pthread_mutex_lock(&dev->gid_lock);
	dev->follows = false;
	pthread_mutex_unlock(&dev->gid_lock);
}

int shim_gids_socket(void)
{
	const struct sockaddr_nl groups = { .nl_family = AF_NETLINK,
					    .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	int fd;

	if (shim_config()->infiniband)
		return -1;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&groups, sizeof(groups))) {
		shim_log(HCA_LOG_INFO, SHIM_LOG_DEVICE, "addresses that interfaces get later go unnoticed: %m");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* What the messages say is read anew from the system: some may have been lost. */
void shim_gids_follow(struct shim_device *dev, int fd)
{
	bool changed = false;
	char message[4096];
	ssize_t n;

	do {
		n = recv(fd, message, sizeof(message), 0);
	} while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
	pthread_mutex_lock(&dev->gid_lock);
	if (dev->follows)
		changed = follow(dev);
	pthread_mutex_unlock(&dev->gid_lock);
	if (changed)
		shim_port_event(dev, IBV_EVENT_GID_CHANGE);
}

/* --- looking --- */

bool shim_gid(struct shim_device *dev, u32 index, struct shim_gid *gid)
{
	pthread_mutex_lock(&dev->gid_lock);
	*gid = index < HCA_GIDS ? dev->gid[index] : (struct shim_gid){ .used = false };
	pthread_mutex_unlock(&dev->gid_lock);
	return gid->used;
}

int shim_gid_index(struct shim_device *dev, const union ibv_gid *gid)
{
	struct shim_gid g;
	u32 i;

	for (i = 0; i < HCA_GIDS; i++)
		if (shim_gid(dev, i, &g) && !memcmp(g.gid.raw, gid->raw, sizeof(gid->raw)))
			return (int)i;
	return -1;
}
