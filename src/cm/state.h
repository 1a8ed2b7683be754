/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The states of an ID of the communication manager (IBTA vol. 1, 12.9.5 to 12.9.7 and 12.11): what each call, each
 * message and each timeout does in each state. Only a table.
 */
#ifndef HCA_CM_STATE_H
#define HCA_CM_STATE_H

#include "os.h"

/** enum hca_cm_state - the states of an ID; the active side is the one that sent the REQ */
enum hca_cm_state {
	HCA_CM_NO_STATE, /* of a cell: the input does nothing here */
	HCA_CM_IDLE,
	HCA_CM_LISTEN,
	/* active */
	HCA_CM_REQ_SENT,
	HCA_CM_REP_WAIT, /* the peer asked for time */
	HCA_CM_REP_RCVD,
	HCA_CM_MRA_REP_SENT, /* we asked for time */
	/* passive */
	HCA_CM_REQ_RCVD,
	HCA_CM_MRA_REQ_SENT,
	HCA_CM_REP_SENT,
	HCA_CM_MRA_REP_RCVD,
	/* both */
	HCA_CM_ESTABLISHED,
	HCA_CM_DREQ_SENT,
	HCA_CM_DREQ_RCVD,
	HCA_CM_TIMEWAIT,
	/* datagrams */
	HCA_CM_SIDR_REQ_SENT,
	HCA_CM_SIDR_REQ_RCVD,
	HCA_CM_CLOSED, /* for good */
	HCA_CM_STATES,
};

/** enum hca_cm_input - what happens to an ID */
enum hca_cm_input {
	/* the consumer's calls */
	HCA_CM_DO_LISTEN,
	HCA_CM_DO_CONNECT,
	HCA_CM_DO_ACCEPT,
	HCA_CM_DO_READY,
	HCA_CM_DO_REJECT,
	HCA_CM_DO_DELAY,
	HCA_CM_DO_ESTABLISH,
	HCA_CM_DO_DISCONNECT,
	HCA_CM_DO_ASK,
	HCA_CM_DO_ANSWER,
	HCA_CM_DO_DESTROY,
	/* messages */
	HCA_CM_GOT_REQ, /* the same again */
	HCA_CM_GOT_MRA_REQ,
	HCA_CM_GOT_MRA_REP,
	HCA_CM_GOT_REP,
	HCA_CM_GOT_REP_STALE, /* its queue pair or comm ID has another connection with us */
	HCA_CM_GOT_RTU,
	HCA_CM_GOT_REJ,
	HCA_CM_GOT_REJ_STALE,
	HCA_CM_GOT_DREQ,
	HCA_CM_GOT_DREP,
	HCA_CM_GOT_LAP,
	HCA_CM_GOT_SIDR_REP,
	/* the manager's own */
	HCA_CM_GOT_STALE, /* the peer begins another connection with the queue pair or comm ID of this one */
	HCA_CM_GOT_LATE, /* no answer in time, and there are retries left */
	HCA_CM_GOT_END, /* no answer in time at all, or the wait is over */
	HCA_CM_INPUTS,
};

/** enum hca_cm_send - which message is sent */
enum hca_cm_send {
	HCA_CM_SEND_NOTHING,
	HCA_CM_SEND_GIVEN, /* the call's; it is kept */
	HCA_CM_SEND_KEPT, /* the last one again */
	HCA_CM_SEND_REJ_TIMEOUT,
	HCA_CM_SEND_REJ_CONSUMER,
	HCA_CM_SEND_REJ_STALE,
	HCA_CM_SEND_DREQ, /* it is kept */
	HCA_CM_SEND_DREP,
	HCA_CM_SEND_APR, /* no alternate paths */
	HCA_CM_SEND_SIDR_REJECT,
};

/**
 * enum hca_cm_event_type - the events for the consumer
 * @HCA_CM_EVENT_REQUEST, @HCA_CM_EVENT_SIDR_REQUEST: of a listening ID; the event's ID is a new one, which the consumer has from now on
 * @HCA_CM_EVENT_MRA: the peer needs more time
 * @HCA_CM_EVENT_REPLY: the peer accepts
 * @HCA_CM_EVENT_ESTABLISHED: the peer is ready; without a message if the consumer said so itself
 * @HCA_CM_EVENT_REJECTED: with the peer's REJ; -ESTALE and no message: we rejected its REP
 * @HCA_CM_EVENT_UNREACHABLE: -ETIMEDOUT; no answer, whatever was sent
 * @HCA_CM_EVENT_DISCONNECT: the peer ends the connection, and waits for hca_cm_disconnect()
 * @HCA_CM_EVENT_DISCONNECTED: the answer to our hca_cm_disconnect(); -ETIMEDOUT: there was none
 * @HCA_CM_EVENT_SIDR_REPLY: the answer to our hca_cm_sidr_ask()
 * @HCA_CM_EVENT_TIMEWAIT_EXIT: no packet of the connection can be under way any more; its queue pair may be used again
 */
enum hca_cm_event_type {
	HCA_CM_EVENT_NONE,
	HCA_CM_EVENT_REQUEST,
	HCA_CM_EVENT_SIDR_REQUEST,
	HCA_CM_EVENT_MRA,
	HCA_CM_EVENT_REPLY,
	HCA_CM_EVENT_ESTABLISHED,
	HCA_CM_EVENT_REJECTED,
	HCA_CM_EVENT_UNREACHABLE,
	HCA_CM_EVENT_DISCONNECT,
	HCA_CM_EVENT_DISCONNECTED,
	HCA_CM_EVENT_SIDR_REPLY,
	HCA_CM_EVENT_TIMEWAIT_EXIT,
};

/** enum hca_cm_timer - what an ID in a state waits for */
enum hca_cm_timer {
	HCA_CM_TIMER_NONE,
	HCA_CM_TIMER_RESPONSE, /* the peer's answer */
	HCA_CM_TIMER_SERVICE, /* that, and the time that the peer asked for */
	HCA_CM_TIMER_TIMEWAIT,
};

/** struct hca_cm_step - what an input does: enum hca_cm_state, hca_cm_send, hca_cm_event_type */
struct hca_cm_step {
	u8 next;
	u8 send;
	u8 event;
};

/**
 * struct hca_cm_row - a state
 * @timer: enum hca_cm_timer
 * @about: which message a REJ or MRA is about that is sent here; enum hca_cm_about
 */
struct hca_cm_row {
	u8 timer;
	u8 about;
	struct hca_cm_step step[HCA_CM_INPUTS];
};

extern const struct hca_cm_row hca_cm_rows[HCA_CM_STATES];

#endif
