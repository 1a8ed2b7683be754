/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the drop-in librdmacm asks the drop-in libibverbs for beside the calls that every
 * program has: who is in the fabric. A node is a device that a process has open; the upper
 * bits of a queue pair's number are its node's number. All of it needs an open context of
 * the first device.
 */
#ifndef SHIM_HOOKS_H
#define SHIM_HOOKS_H

#include <stdint.h>

/** softhca_fabric_dir() - a descriptor of the fabric's directory, which the caller closes. Return: it, or a negative errno. */
int softhca_fabric_dir(void);

/** softhca_node_stamp() - a number that this life of a node has, and no other node; 0: there is no such node; HCA_FABRIC_STAMP_UNKNOWN: it can't be told now. May sleep. */
uint64_t softhca_node_stamp(uint32_t node);

/**
 * softhca_on_death() - @died is called when a node ends with which the first device exchanged messages; NULL: it isn't
 *
 * @stamp is that of the node that ended; its number may be another one's by now.
 * What the node had sent is in the completion queues by then. From a thread of the library's own, with no lock held.
 */
void softhca_on_death(void (*died)(uint32_t node, uint64_t stamp));

#endif
