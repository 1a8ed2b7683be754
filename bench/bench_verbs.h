/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Part "verbs": programs of verbs in two processes over the drop-in libibverbs, beside
 * other ways from process to process. bench_verbs.c has the figures, bench_verbs_tool.c
 * runs the programs, bench_verbs_floor.c is what no way can be faster than.
 */
#ifndef BENCH_VERBS_H
#define BENCH_VERBS_H

#include <sys/types.h>

#include "bench.h"

/**
 * enum bench_tool_kind - where a program takes its port from, and where it prints its figures
 *
 * TOOL_CM: over the drop-in. The system's table doesn't have its ports, so the client tries again until the server listens.
 * TOOL_TCP: not over it.
 */
enum bench_tool_kind { TOOL_PERFTEST, TOOL_UCX, TOOL_FABRIC, TOOL_CM, TOOL_TCP };

/**
 * struct bench_tool - a program with a server and a client
 * @kind: one of enum bench_tool_kind
 * @words: the program and its arguments, but for the port and the server's address
 * @server: words that only the server gets, or NULL
 * @client: of TOOL_CM and TOOL_TCP: words that only the client gets, its server's address among them
 * @port: of those: the option
 * @stays: the server has no end
 * @env: NAME=VALUE for both, or NULL
 * @column: of the figure in the client's last line of numbers, from 1
 * @figure: takes it from what the client printed, and from the ns that the client took; NULL: by @column
 */
struct bench_tool {
	enum bench_tool_kind kind;
	const char *words;
	const char *server;
	const char *client;
	const char *port;
	bool stays;
	const char *env;
	u32 column;
	double (*figure)(const char *text, double ns);
};

/** bench_tool_open() - a fabric of our own, and where our programs are. Return: 0, or -1 after bench_fail() */
int bench_tool_open(void);
void bench_tool_close(void);

/** bench_tool_run() - run both once. Return: the figure; NAN after bench_fail() */
double bench_tool_run(const struct bench_tool *tool);

/** bench_tool_figure() - Return: column @column, from 1, of the last line of @text that has so many numbers and nothing else before; NAN: none has */
double bench_tool_figure(const char *text, u32 column);

/** bench_tool_alone() - run one program over the drop-in; what it prints goes to @text. Return: 0, or -1 after bench_fail() */
int bench_tool_alone(const char *words, char *text, size_t size);

/**
 * bench_tool_start() - start a program over the drop-in, and wait for its first line
 *
 * Return: its process, to be ended by bench_tool_stop(); or -1 after bench_fail()
 */
pid_t bench_tool_start(const char *words);
void bench_tool_stop(pid_t pid);

/** bench_tool_own() - the path of a program that is installed beside this one, or that lies in a build. Return: 0, or -1 after bench_fail() */
int bench_tool_own(const char *name, char *path, size_t size);

/** bench_tool_fabric() - the directory of the fabric */
const char *bench_tool_fabric(void);

/**
 * struct bench_peer - another process of ours, and memory to move to and from it
 * @own: the one end, here
 * @at: the other end, at this address in the other process
 * @both: memory that both processes have mapped
 */
struct bench_peer {
	pid_t pid;
	u8 *own;
	u8 *at;
	u8 *both;
	int ask, answer;
};

#define BENCH_PEER_BYTES ((size_t)1 << 20)

/** bench_peer_open() - Return: 0, or -1 after bench_fail() */
int bench_peer_open(struct bench_peer *p);
void bench_peer_close(struct bench_peer *p);

/** bench_peer_write() - process_vm_writev() of @bytes. Return: nanoseconds of one, a median */
double bench_peer_write(struct bench_peer *p, size_t bytes);

/** bench_peer_read() - the same for process_vm_readv() */
double bench_peer_read(struct bench_peer *p, size_t bytes);

/** bench_peer_copy() - the same for memcpy() into memory that both have mapped */
double bench_peer_copy(struct bench_peer *p, size_t bytes);

/** bench_peer_wake() - wake the other process by an eventfd(2). Return: nanoseconds of one way, a median */
double bench_peer_wake(struct bench_peer *p);

/* --- figures from programs that run in turns --- */

/**
 * struct bench_source - where a figure comes from: a program, or a floor
 * @scale: times what the program prints
 * @floor: nanoseconds of @bytes; a figure is that, or with @rate GB/s
 */
struct bench_source {
	struct bench_tool tool;
	double scale;
	double (*floor)(struct bench_peer *p, size_t bytes);
	size_t bytes;
	bool rate;
};

#define BENCH_NONE (-1)

/** struct bench_figure - a line: one source beside another one, or BENCH_NONE */
struct bench_figure {
	const char *name;
	const char *unit;
	int ours, other;
	const struct bench_goal *goals;
};

/** struct bench_group - what runs in turns, at most BENCH_SOURCES, and what is printed */
#define BENCH_SOURCES 16

struct bench_group {
	const char *title;
	const struct bench_source *sources;
	int n;
	const struct bench_figure *figures; /* ends with a name that is NULL */
};

/** bench_group_measure() - run the sources in turns, and print the figures. Return: 0, or -1 after bench_fail() */
int bench_group_measure(const struct bench_group *g);

/** bench_with_programs() - a fabric and the floors' peer for @run. Return: 0, or -1 after bench_fail() */
int bench_with_programs(int (*run)(void));

#endif
