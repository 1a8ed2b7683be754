/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A mapping of our own of what another process maps: of a file that has a name. Private to this folder. */
#ifndef HCA_SHM_REMAP_H
#define HCA_SHM_REMAP_H

#include "wire/shm/maps.h"

/**
 * shm_remap() - map the part of a regular file that another process maps
 * @m: what the system says of that mapping; with @m->writes ours may be written, too
 *
 * The program's locks on the file stay as they are. The file may be another one by now if its path leads elsewhere: the caller looks at
 * what was made. May sleep. Return: the address of @m->end - @m->start bytes, to be unmapped; MAP_FAILED: it can't be had.
 */
void *shm_remap(const struct shm_mapping *m);

#endif
