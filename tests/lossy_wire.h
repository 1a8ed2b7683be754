/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A wire of packets for tests, on the test os layer's clock: what goes over it arrives at once
 * and in order, unless a script or chance has it lost, late, twice or spoilt.
 */
#ifndef LOSSY_WIRE_H
#define LOSSY_WIRE_H

#include "transport/packet/packet.h"

#define LOSSY_PORTS 8u
#define LOSSY_FAULTS 8u
#define LOSSY_LANES 3u

/** enum lossy_fate - what becomes of a packet */
enum lossy_fate {
	LOSSY_ARRIVE,
	LOSSY_LOSE,
	LOSSY_TWICE,
	LOSSY_LATE, /* after @value ns */
	LOSSY_FLIP, /* bit @value of it is wrong */
	LOSSY_CUT, /* only @value bytes of it arrive */
};

/** struct lossy_fault - the @nth packet of an opcode from now on, 1 the first; @times of them; 0 in @nth: unused */
struct lossy_fault {
	u32 opcode;
	u32 nth;
	u32 times;
	enum lossy_fate fate;
	u64 value;
};

struct lossy_packet;

/**
 * struct lossy_wire
 * @bring: whose threads bring packets: @eq, or another one's
 * @kick: packets wait in @bring; or NULL: who sends runs it
 * @lanes: how many threads may bring packets at once; 1, so that they stay in order
 * @by_port: a port's packets all go by one lane: in order, while those of another port come beside them
 * @lose, @twice, @late: chances in a thousand; @delay: how late a late one is at most, ns
 * @full: how many packets it holds before it takes no more; 0: any number
 * @seen: packets handed to the wire, by opcode
 * @syndromes: of the ACK packets among them
 * @watch: sees each of them, from its BTH on; or NULL
 */
struct lossy_wire {
	struct hca_wire wire;
	struct hca_eq eq; /* of the adapters on it, and of what it brings */
	struct hca_eq *bring;
	void (*kick)(void);
	struct hca_timer timer;
	struct lossy_lane {
		struct hca_eq_node node;
		struct lossy_wire *wire;
	} lane[LOSSY_LANES];
	u32 lanes;
	bool by_port;

	struct hca_spinlock lock; /* what follows */
	struct lossy_port {
		const struct hca_wire_client *ops;
		void *client;
	} port[LOSSY_PORTS];
	u32 delivering[LOSSY_PORTS]; /* packets are, to this port */
	u32 next_lane;
	struct lossy_packet *queue; /* the next first */
	u32 queued;
	u32 full;
	u32 refused; /* a bit for each port that was told so */
	u32 lose;
	u32 twice;
	u32 late;
	u64 delay;
	u64 random;
	struct lossy_fault fault[LOSSY_FAULTS];
	u32 seen[256];
	u32 syndromes[256];
	u32 lost;
	void (*watch)(u32 slid, const u8 *bth);
};

/** lossy_open() - a wire that loses nothing. Return: 0 or -ENOMEM. */
int lossy_open(struct lossy_wire *w, u64 seed);

/** lossy_close() - nobody is attached; what is on its way is gone */
void lossy_close(struct lossy_wire *w);

/** lossy_due() - is there a packet that should have arrived by now? The lock is held. */
bool lossy_due(const struct lossy_wire *w);

/** lossy_script() - one more fault */
void lossy_script(struct lossy_wire *w, u32 opcode, u32 nth, enum lossy_fate fate, u64 value);

/** lossy_lose_all() - every packet of an opcode from now on, or of all if @opcode is ~0; until lossy_clear() */
void lossy_lose_all(struct lossy_wire *w, u32 opcode);

/** lossy_clear() - no faults, no counts */
void lossy_clear(struct lossy_wire *w);

/** lossy_inject() - these bytes arrive at a port, as from @slid */
void lossy_inject(struct lossy_wire *w, u32 dlid, u32 slid, const void *bytes, u32 len);

/** lossy_inject_routed() - the same; they begin with a global header */
void lossy_inject_routed(struct lossy_wire *w, u32 dlid, u32 slid, const void *bytes, u32 len);

#endif
