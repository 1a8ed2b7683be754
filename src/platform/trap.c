/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Taking over SIGSEGV and SIGBUS, and handing on what isn't ours, as if we weren't
 * there. Called by guard.c and file.c. The handler may run at any instruction of any
 * thread: it takes no lock and allocates nothing.
 */
#include "platform/trap.h"

#include <errno.h>

/* Each has one file that judges it, or two. */
#define JUDGES 2u

/* Under busy, which is a word and not a spin lock, because there is no place to initialise one; but the handler reads old and judges. */
struct takeover {
	u32 busy;
	u32 users;
	bool installed;
	struct sigaction old;
	trap_judge judges[JUDGES]; /* atomic */
};

static struct takeover takeovers[TRAPS];

static const int signals[TRAPS] = { [TRAP_SEGV] = SIGSEGV, [TRAP_BUS] = SIGBUS };

static struct takeover *takeover_of(int sig)
{
	return &takeovers[sig == SIGBUS ? TRAP_BUS : TRAP_SEGV];
}

/* As if we weren't there. SIG_DFL and SIG_IGN are no functions, whatever the flags beside them say. */
static void pass_on(int sig, siginfo_t *info, void *uc)
{
	const struct sigaction *old = &takeover_of(sig)->old;
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	bool sent = info->si_code <= 0; /* by kill() and the like: it doesn't come again by itself */

	if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN) {
		/* A fault can't be ignored: the kernel would kill us just the same. */
		if (sent && old->sa_handler == SIG_IGN)
			return;
		sigaction(sig, &dfl, NULL);
		if (sent)
			raise(sig);
		return;
	}
	/* Its owner wanted it once, and the default from then on. */
	if (old->sa_flags & (int)SA_RESETHAND)
		sigaction(sig, &dfl, NULL);
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, info, uc);
	else
		old->sa_handler(sig);
}

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	struct takeover *t = takeover_of(sig);
	int saved = errno;
	bool ours = false;
	u32 i;

	for (i = 0; i < JUDGES && !ours; i++) {
		trap_judge judge = __atomic_load_n(&t->judges[i], __ATOMIC_ACQUIRE);

		ours = judge && judge(info, uc);
	}
	if (!ours)
		pass_on(sig, info, uc);
	errno = saved;
}

static void takeover_begin(struct takeover *t)
{
	while (hca_cmpxchg(&t->busy, 0, 1))
		hca_pause();
}

static void takeover_end(struct takeover *t)
{
	hca_store_release(&t->busy, 0);
}

/* The mask and the ways of the handler we may have to call are its owner's choice. */
static void install(struct takeover *t, int sig)
{
	struct sigaction sa;

	HCA_ASSERT(hca_load(&t->busy));
	if (t->installed)
		return;
	sigaction(sig, NULL, &t->old);
	sa = t->old;
	sa.sa_sigaction = on_fault;
	sa.sa_flags = SA_SIGINFO | (t->old.sa_flags & (SA_ONSTACK | SA_NODEFER | SA_RESTART));
	sigaction(sig, &sa, NULL);
	t->installed = true;
}

/* If somebody has put a handler on top of ours since, it may call us: we stay, and do no harm. */
static void uninstall(struct takeover *t, int sig)
{
	struct sigaction sa;

	HCA_ASSERT(hca_load(&t->busy));
	sigaction(sig, NULL, &sa);
	if (!(sa.sa_flags & SA_SIGINFO) || sa.sa_sigaction != on_fault)
		return;
	sigaction(sig, &t->old, NULL);
	t->installed = false;
}

void trap_get(enum trap trap, trap_judge judge)
{
	struct takeover *t = &takeovers[trap];
	u32 i;

	takeover_begin(t);
	for (i = 0; i < JUDGES && t->judges[i] && t->judges[i] != judge; i++)
		;
	HCA_ASSERT(i < JUDGES);
	__atomic_store_n(&t->judges[i], judge, __ATOMIC_RELEASE);
	t->users++;
	install(t, signals[trap]);
	takeover_end(t);
}

void trap_put(enum trap trap)
{
	struct takeover *t = &takeovers[trap];

	takeover_begin(t);
	if (!--t->users)
		uninstall(t, signals[trap]);
	takeover_end(t);
}
