/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Memory for the fabric's files, reserved before its use. Private to this folder. */
#ifndef HCA_SHM_FILE_H
#define HCA_SHM_FILE_H

#include "os.h"

/** shm_file_fill() - zeroed memory for bytes of a file, so that no access fails later. Return: 0; -ENOSPC, other errors */
int shm_file_fill(int fd, u64 off, size_t bytes);

#endif
