/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a shell may complete a word of the softhca command to; main.c calls it. */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include <stddef.h>

#include "cli.h"

/**
 * cli_complete() - print what the last word may become, a line each
 * @commands: all of them, @n
 * @argv: the words behind "softhca", the last as far as it is typed
 *
 * Prints nothing where any word may stand, such as a file.
 */
void cli_complete(const struct cli_command *const *commands, size_t n, int argc, char **argv);

#endif
