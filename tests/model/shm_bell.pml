/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hints and the bell of the wire between processes (src/wire/shm: shm_node_tell(), shm_take(), progress.c): two nodes that send, a program
 * that polls for a while and then stops without a word, and its helper, which stays away while it polls; then the program leaves hints
 * where they are, or takes them back, as it likes. When nothing moves any more all was taken in.
 *
 * A store that no barrier follows may be seen late. Each of the switches takes out what the protocol needs, and must fail: NO_SENDERS_BARRIER
 * (between the head and the look at the hints), NO_SLEEPERS_BARRIER (between "sleeping" and the last look), SUMMARY_FIRST (before
 * the bit that it is of), NO_WAKE_OF_OWN (one who leaves something for later, and doesn't wake its own helper), BELL_LATE (the bell's value
 * is read after the last look), LOOK_FIRST (hints are taken back after the rings were looked at).
 */
#define SENDERS 2
#define EACH(id) (2 - id)
#define POLLS 2

byte written[SENDERS]; /* as its reader sees it */
byte taken[SENDERS];
bool pending[SENDERS];
bool summary;
bool sleeping;
bool away;
bool taking;
bool polled; /* since the helper looked at the count of polls */
bool rung; /* since it read the bell */
bool waits; /* the helper, in the kernel */

/* The futex: whoever waits is woken. */
#define wake waits = false

/* By @who, who has no store on its way; @woken says whether the helper is to be woken. */
inline tell(i, woken)
{
	if
	:: pending[i] ->
		if
		:: summary -> goto told
		:: else
		fi
	:: else
	fi;
#ifdef SUMMARY_FIRST
	summary = true;
	pending[i] = true;
#else
	pending[i] = true;
	summary = true;
#endif
	if
	:: sleeping ->
		rung = true;
		if
		:: woken -> wake
		:: else
		fi
	:: else
	fi;
told:
	skip
}

proctype sender(byte id)
{
	byte n;

	do
	:: n == EACH(id) -> break
	:: n < EACH(id) ->
		n++;
#ifdef NO_SENDERS_BARRIER
		/* The head is seen when the next atomic operation is done, or after all. */
		if
		:: pending[id] && summary -> skip
		:: else -> written[id] = n; goto hint
		fi;
		written[id] = n;
		goto next;
hint:
#else
		written[id] = n;
#endif
		tell(id, true);
next:
		skip
	od
}

#ifdef NO_WAKE_OF_OWN
#define WAKES_OWN false
#else
#define WAKES_OWN true
#endif

/* One thread at a time; of each sender one message is taken in a turn, and more are left for later. */
inline take(word, i)
{
	if
	:: atomic { !taking -> taking = true }
		atomic { word = summary; summary = false };
		i = 0;
		do
		:: !word || i == SENDERS -> break
		:: word && i < SENDERS ->
			if
			:: atomic { pending[i] -> pending[i] = false }
				if
				:: taken[i] < written[i] -> taken[i]++
				:: else
				fi;
				if
				:: taken[i] < written[i] -> tell(i, WAKES_OWN)
				:: else
				fi
			:: else
			fi;
			i++
		od;
		taking = false
	:: else
	fi
}

/* The same, and hints stay where they are. */
inline look(i)
{
	if
	:: atomic { !taking -> taking = true }
		i = 0;
		do
		:: i == SENDERS -> break
		:: i < SENDERS ->
			if
			:: pending[i] && taken[i] < written[i] -> taken[i]++
			:: else
			fi;
			i++
		od;
#ifdef LOOK_FIRST
		summary = false;
		pending[0] = false;
		pending[1] = false;
#endif
		taking = false
	:: else
	fi
}

proctype program()
{
	byte n, i;
	bool word;

	do
	:: n == POLLS -> break
	:: n < POLLS ->
		n++;
		polled = true;
		if
		:: sleeping ->
			away = true;
			sleeping = false;
			rung = true;
			wake
		:: true /* not yet */
		fi;
		if
		:: summary -> take(word, i)
		:: summary && away -> look(i)
		:: else
		fi
	od
}

proctype helper()
{
	byte i;
	bool word;

	do
	:: away ->
		polled = false;
		sleeping = false;
		/* A nap, as long as it may be. */
		if
		:: !polled -> away = false
		:: else
		fi
	:: !away ->
		if
		:: summary -> take(word, i)
		:: else ->
#ifndef BELL_LATE
			rung = false;
#endif
			if
			:: away -> skip
			:: else ->
#ifdef NO_SLEEPERS_BARRIER
				/* The last look is done before others see that we sleep. */
				word = summary;
				sleeping = true;
#else
				sleeping = true;
				word = summary;
#endif
#ifdef BELL_LATE
				rung = false;
#endif
				if
				:: !word ->
					atomic {
						if
						:: !rung -> waits = true
						:: else
						fi
					};
end_asleep:
					!waits
				:: else
				fi;
				sleeping = false
			fi
		fi
	od
}

init
{
	atomic {
		run sender(0);
		run sender(1);
		run program();
		run helper()
	};
	timeout -> assert(taken[0] == EACH(0) && taken[1] == EACH(1))
}
