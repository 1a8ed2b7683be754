/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * softhca_ib.ko: adapters for ib_core. They come and go by "rdma link", each on a network
 * device, whose name, link and addresses ib_core and its ULPs look at; no packet goes by
 * it. What happens to the network device happens to the adapter's port.
 */
#include "ib.h"

#include <linux/if_arp.h>
#include <linux/if_vlan.h>
#include <linux/module.h>
#include <net/addrconf.h>
#include <rdma/rdma_netlink.h>

#define MAX_QPS 16384
#define MAX_KEYS (1 << 20)

static bool ledger;
module_param(ledger, bool, 0644);
MODULE_PARM_DESC(ledger, "adapters keep a ledger of mappings from their beginning (debugfs, softhca/DEVICE/ledger)");

/* --- life of an adapter --- */

static void dealloc_driver(struct ib_device *dev)
{
	struct softhca_ib *s = softhca_ib_of(dev);

	softhca_ib_leave(s);
	/* ib_core has seen to it that nothing was left on it. */
	WARN_ON(softhca_destroy(s->soft));
	mutex_destroy(&s->gid_lock);
	dev_put(s->ndev);
}

static const struct ib_device_ops main_ops = {
	.owner = THIS_MODULE,
	.driver_id = SOFTHCA_IB_DRIVER,
	.dealloc_driver = dealloc_driver,
};

/* EUI-64 of the network device, or where that has no address one that no other adapter of this kernel has. */
static __be64 node_guid(const struct softhca_ib *s)
{
	u8 eui[8];
	__be64 guid;

	if (is_zero_ether_addr(s->ndev->dev_addr))
		return cpu_to_be64(0x0200ull << 48 | s->soft->hca.lid);
	addrconf_addr_eui48(eui, s->ndev->dev_addr);
	memcpy(&guid, eui, sizeof(guid));
	return guid;
}

static void describe(struct softhca_ib *s)
{
	struct ib_device *dev = &s->ib;

	ib_set_device_ops(dev, &main_ops);
	ib_set_device_ops(dev, &softhca_ib_device_ops);
	ib_set_device_ops(dev, &softhca_ib_path_ops);
	ib_set_device_ops(dev, &softhca_ib_mr_ops);
	ib_set_device_ops(dev, &softhca_ib_cq_ops);
	ib_set_device_ops(dev, &softhca_ib_qp_ops);
	ib_set_device_ops(dev, &softhca_ib_srq_ops);
	ib_set_device_ops(dev, &softhca_ib_post_ops);
	ib_set_device_ops(dev, &softhca_ib_stat_ops);
	ib_set_device_ops(dev, &softhca_ib_res_ops);
	dev->node_type = RDMA_NODE_IB_CA;
	dev->phys_port_cnt = 1;
	dev->num_comp_vectors = num_possible_cpus();
	dev->node_guid = node_guid(s);
	dev->dev.parent = s->soft->dev;
	strscpy(dev->node_desc, "softhca", sizeof(dev->node_desc));
}

static int make_adapter(struct softhca_ib *s)
{
	const struct softhca_attr attr = {
		.highmem = HCA_SOFT_TAGGED, .max_qp = MAX_QPS, .max_keys = MAX_KEYS, .roce = true
	};
	int err = softhca_create(&attr, &s->soft);

	/* Before anything is mapped: ib_mad does as soon as the device is registered. */
	if (!err && ledger) {
		err = softhca_ledger_set(s->soft, true);
		if (err)
			WARN_ON(softhca_destroy(s->soft));
	}
	return err;
}

/* Return: 0, or an error, and then nothing of it is left. Takes over the reference to the network device in any case. */
static int create(const char *name, struct net_device *ndev)
{
	struct softhca_ib *s = ib_alloc_device(softhca_ib, ib);
	int err;

	if (!s) {
		dev_put(ndev);
		return -ENOMEM;
	}
	err = make_adapter(s);
	if (err) {
		/* No ops were set yet: only the memory goes. */
		dev_put(ndev);
		ib_dealloc_device(&s->ib);
		return err;
	}
	s->ndev = ndev;
	mutex_init(&s->gid_lock);
	s->soft->hca.event = softhca_ib_event;
	hca_store(&s->soft->hca.limits.max_mtu, (u32)softhca_ib_mtu(ndev));
	softhca_ib_enter(s);
	describe(s);
	err = ib_device_set_netdev(&s->ib, ndev, 1);
	if (!err)
		err = ib_register_device(&s->ib, name, s->soft->dev);
	if (err)
		ib_dealloc_device(&s->ib);
	return err;
}

/* --- rdma link --- */

/* Links that carry Ethernet's frames, and the loop that carries anything; a VLAN's addresses are its real device's port's. */
static bool suitable(const struct net_device *ndev)
{
	return (ndev->type == ARPHRD_ETHER || ndev->type == ARPHRD_LOOPBACK) && !is_vlan_dev(ndev);
}

static int new_link(const char *name, struct net_device *ndev)
{
	struct ib_device *there;

	if (!suitable(ndev) || strchr(name, '/') || name[0] == '.')
		return -EINVAL;
	there = ib_device_get_by_netdev(ndev, SOFTHCA_IB_DRIVER);
	if (there) {
		ib_device_put(there);
		return -EEXIST;
	}
	dev_hold(ndev);
	return create(name, ndev);
}

static struct rdma_link_ops link_ops = {
	.type = "softhca",
	.newlink = new_link,
};

/* --- what happens to network devices --- */

static void tell(struct ib_device *dev, enum ib_event_type type)
{
	struct ib_event event = { .device = dev, .element.port_num = 1, .event = type };

	ib_dispatch_event(&event);
}

static void link_changed(struct ib_device *dev, const struct net_device *ndev)
{
	tell(dev, softhca_ib_port_state(ndev) == IB_PORT_ACTIVE ? IB_EVENT_PORT_ACTIVE : IB_EVENT_PORT_ERR);
}

static int on_netdev(struct notifier_block *unused, unsigned long event, void *arg)
{
	struct net_device *ndev = netdev_notifier_info_to_dev(arg);
	struct ib_device *dev = ib_device_get_by_netdev(ndev, SOFTHCA_IB_DRIVER);

	if (!dev)
		return NOTIFY_OK;
	switch (event) {
	case NETDEV_UNREGISTER:
		/* Also when it moves to another network namespace. */
		ib_unregister_device_queued(dev);
		break;
	case NETDEV_CHANGEMTU:
		hca_store(&softhca_ib_hca(dev)->limits.max_mtu, (u32)softhca_ib_mtu(ndev));
		break;
	case NETDEV_UP:
	case NETDEV_DOWN:
	case NETDEV_CHANGE:
		link_changed(dev, ndev);
		break;
	default:
		break;
	}
	ib_device_put(dev);
	return NOTIFY_OK;
}

static struct notifier_block netdev_notifier = {
	.notifier_call = on_netdev,
};

/* --- the module --- */

static int __init softhca_ib_init(void)
{
	int err = register_netdevice_notifier(&netdev_notifier);

	if (!err)
		rdma_link_register(&link_ops);
	return err;
}

static void __exit softhca_ib_exit(void)
{
	rdma_link_unregister(&link_ops);
	/* Each ULP gets its remove callback, and destroys its objects of the device. */
	ib_unregister_driver(SOFTHCA_IB_DRIVER);
	unregister_netdevice_notifier(&netdev_notifier);
}

module_init(softhca_ib_init);
module_exit(softhca_ib_exit);

MODULE_DESCRIPTION("Software InfiniBand adapter for ib_core");
MODULE_AUTHOR("The softhca authors");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("Dual BSD/GPL");
MODULE_ALIAS_RDMA_LINK("softhca");
