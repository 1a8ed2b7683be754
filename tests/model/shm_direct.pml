/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A key and its deregistration between processes (src/wire/shm/direct.c): an initiator that may die at any step and be followed by
 * another process of its number, and an owner with two threads that deregister a key each. No byte is touched when a
 * deregistration has returned, and each of them returns. The owner may die at any step as well: initiators come to their end
 * all the same.
 *
 * A store that no barrier follows may be seen late: by the threads of its own process at once, by others when it is drained. Each of
 * the switches takes out what the protocol needs, and must fail: NO_BARRIER (the owner's), NO_WAIT, TURN_LATE (the mark's count goes up
 * after it names the owner, in a word of its own), CLEAR_AT_LARGE (a dead node's bit is taken back without the lock), MARK_LATE (the
 * key is looked up first).
 */
#define KEYS 2
#define GENERATIONS 2
#define USES 2

bool valid[KEYS] = true; /* as initiators see it */
byte seq[KEYS]; /* odd while the owner writes the entry */
bool returned[KEYS]; /* its deregistration */

bool user; /* the initiator's bit in the owner's file */
bool lock; /* the owner's, of its peers */
byte current = 255; /* which generation's file has the initiator's name */
bool alive[GENERATIONS]; /* its lock is held */
byte use[GENERATIONS]; /* its mark: 0, or a turn of naming the owner */
bool owner_dead;

#define touch(k) assert(!returned[k] || owner_dead)

/* Dies, or doesn't. */
#define MAY_DIE if :: goto die :: skip fi

proctype initiator(byte g)
{
	byte n, turn, k, s;
	bool ok;

end_unborn:
	atomic { (g == 0 || (current == g - 1 && !alive[g - 1])) -> alive[g] = true; current = g }
	MAY_DIE;
	user = true;
	do
	:: n == USES -> break
	:: n < USES ->
		n++;
		if :: k = 0 :: k = 1 fi;
		MAY_DIE;
#ifdef MARK_LATE
		ok = valid[k];
#endif
#ifdef TURN_LATE
		use[g] = turn + 1;
		MAY_DIE;
		turn = turn + 2;
		s = seq[k];
		ok = valid[k];
		use[g] = turn;
#else
		turn++;
		use[g] = turn; /* and a full barrier */
#endif
		MAY_DIE;
#ifndef TURN_LATE
		s = seq[k];
#endif
		if
		:: s % 2 -> goto done /* left to a message */
		:: else
		fi;
#if !defined(MARK_LATE) && !defined(TURN_LATE)
		ok = valid[k];
#endif
#ifndef TURN_LATE
		if
		:: seq[k] != s -> goto done
		:: else
		fi;
#endif
		if
		:: ok ->
			touch(k);
			MAY_DIE;
			touch(k)
		:: else
		fi;
done:
		use[g] = 0
	od;
	if
	:: skip /* it stays, and does nothing */
	:: goto die
	fi;
	goto end;
die:
	/* A thread that is within the system's copy has left it when the lock goes. */
	alive[g] = false;
end:
	skip
}

proctype deregisters(byte k)
{
	byte p = 255, seen;

	if :: owner_dead = true; goto end :: skip fi;
#ifdef NO_BARRIER
	/* The stores are in this processor's buffer while it goes on. */
#else
	seq[k]++;
	if :: owner_dead = true; goto end :: skip fi;
	valid[k] = false;
	seq[k]++;
#endif
	atomic { !lock -> lock = true }
	if
	:: user ->
		if
		:: current != 255 && alive[current] -> p = current
		:: else ->
#ifdef CLEAR_AT_LARGE
			lock = false;
#endif
			user = false;
			if
			:: current != 255 && alive[current] -> p = current; user = true
			:: else
			fi;
#ifdef CLEAR_AT_LARGE
			lock = true
#endif
		fi
	:: else
	fi;
	lock = false;
	if
	:: p != 255 ->
		seen = use[p];
#ifndef NO_WAIT
		(!seen || use[p] != seen || !alive[p])
#endif
	:: else
	fi;
	returned[k] = true;
#ifdef NO_BARRIER
	seq[k]++;
	valid[k] = false;
	seq[k]++;
#endif
end:
	skip
}

init {
	atomic {
		run initiator(0);
		run initiator(1);
		run deregisters(0);
		run deregisters(1)
	}
}
