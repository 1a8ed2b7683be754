/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the drop-in libraries are, as seen from the softhca command, and where their processes meet. */
#ifndef CLI_SHIM_DIR_H
#define CLI_SHIM_DIR_H

#include <stdbool.h>
#include <stddef.h>

/**
 * shim_dir() - the folder with libibverbs.so.1
 * @out: set to its absolute path; if there is none, to the first that was looked at
 *
 * Looked at are ../lib/softhca (the build's libdir) beside the command's own folder, as it is installed, and the command's own folder, as it is
 * built. Return: is it there?
 */
bool shim_dir(char *out, size_t size);

/** fabric_dir() - the directory in which processes meet, as the libraries find it (docs/fabric.md); it needn't be there */
void fabric_dir(char *out, size_t size);

#endif
