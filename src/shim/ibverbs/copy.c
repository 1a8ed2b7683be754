/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Copies whose faults are caught. A program may unmap memory, or cut a file that it
 * maps, while a region on it lives: an adapter answers that with an error, so a copy
 * must end and say so. The handler of SIGSEGV and SIGBUS knows the instructions of the
 * copies; a fault anywhere else is the program's, and goes to the handler that it had.
 *
 * On x86-64 the copies are written out here, and the handler lets them return. On other
 * machines memcpy() copies, and the handler jumps out of it.
 */
#include "shim.h"

#include <setjmp.h>
#include <signal.h>
#include <ucontext.h>

#if defined(__x86_64__) && !defined(SHIM_COPY_PORTABLE)
#define WRITTEN_OUT 1
#endif

/* A thread that blocks the two signals would be killed by a fault. */
static _Thread_local bool unblocked __attribute__((tls_model("initial-exec")));

static void unblock(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGSEGV);
	sigaddset(&set, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	unblocked = true;
}

#ifdef WRITTEN_OUT

/* Each returns struct shim_fault in rax and rdx. The handler sets both and goes on at the fix-up. */
struct shim_fault shim_asm_copy(void *to, const void *from, size_t n);
struct shim_fault shim_asm_copy_back(void *to, const void *from, size_t n); /* from the end */
struct shim_fault shim_asm_copy4(void *to, const void *from);
struct shim_fault shim_asm_copy8(void *to, const void *from);
struct shim_fault shim_asm_cmp_swap(u64 *at, u64 compare, u64 swap);
struct shim_fault shim_asm_fetch_add(u64 *at, u64 add);
extern const char shim_asm_begin[], shim_asm_end[], shim_asm_fixup[];

/* clang-format off */
#define FUNCTION(name) ".hidden " #name "\n.globl " #name "\n.type " #name ", @function\n" #name ":\n"
#define DONE "xorl %eax, %eax\nret\n"

__asm__(".pushsection .text\n.p2align 4\n"
	".hidden shim_asm_begin\n.globl shim_asm_begin\nshim_asm_begin:\n"

	FUNCTION(shim_asm_copy)
	"cmpq $16, %rdx\nja 4f\n"
	"cmpq $8, %rdx\njae 3f\n"
	"cmpq $4, %rdx\njae 2f\n"
	"testq %rdx, %rdx\njz 9f\n"
	"movzbl (%rsi), %eax\nmovzbl -1(%rsi,%rdx), %ecx\n"
	"shrq $1, %rdx\njnc 1f\n"
	"jz 0f\n"
	"movzbl 1(%rsi), %r8d\nmovb %r8b, 1(%rdi)\nmovb %al, (%rdi)\nmovb %cl, 2(%rdi)\n" DONE
	"0: movb %al, (%rdi)\n" DONE
	"1: movb %al, (%rdi)\nmovb %cl, 1(%rdi)\n" DONE
	"2: movl (%rsi), %eax\nmovl -4(%rsi,%rdx), %ecx\nmovl %eax, (%rdi)\nmovl %ecx, -4(%rdi,%rdx)\n" DONE
	"3: movq (%rsi), %rax\nmovq -8(%rsi,%rdx), %rcx\nmovq %rax, (%rdi)\nmovq %rcx, -8(%rdi,%rdx)\n" DONE
	"4: cmpq $512, %rdx\nja 6f\n"
	"movups -16(%rsi,%rdx), %xmm1\nleaq -16(%rdi,%rdx), %r8\n"
	"5: movups (%rsi), %xmm0\nmovups %xmm0, (%rdi)\naddq $16, %rsi\naddq $16, %rdi\nsubq $16, %rdx\n"
	"cmpq $16, %rdx\nja 5b\n"
	"movups %xmm1, (%r8)\n" DONE
	"6: movq %rdx, %rcx\nrep movsb\n"
	"9: " DONE

	FUNCTION(shim_asm_copy_back)
	"movq %rdx, %rcx\nleaq -1(%rdi,%rdx), %rdi\nleaq -1(%rsi,%rdx), %rsi\nstd\nrep movsb\ncld\n" DONE

	FUNCTION(shim_asm_copy4)
	"movl (%rsi), %eax\nmovl %eax, (%rdi)\n" DONE

	FUNCTION(shim_asm_copy8)
	"movq (%rsi), %rax\nmovq %rax, (%rdi)\n" DONE

	FUNCTION(shim_asm_cmp_swap)
	"movq %rsi, %rax\nlock cmpxchgq %rdx, (%rdi)\nmovq %rax, %rdx\n" DONE

	FUNCTION(shim_asm_fetch_add)
	"lock xaddq %rsi, (%rdi)\nmovq %rsi, %rdx\n" DONE

	".hidden shim_asm_end\n.globl shim_asm_end\nshim_asm_end:\n"
	".hidden shim_asm_fixup\n.globl shim_asm_fixup\nshim_asm_fixup:\n"
	"cld\nret\n"
	".popsection\n");
/* clang-format on */

static bool fix_up(const siginfo_t *info, ucontext_t *uc)
{
	greg_t *r = uc->uc_mcontext.gregs;
	uintptr_t pc = (uintptr_t)r[REG_RIP];

	if (pc < (uintptr_t)shim_asm_begin || pc >= (uintptr_t)shim_asm_end)
		return false;
	r[REG_RAX] = 1;
	r[REG_RDX] = (greg_t)(uintptr_t)info->si_addr;
	r[REG_RIP] = (greg_t)(uintptr_t)shim_asm_fixup;
	return true;
}

static inline struct shim_fault copy(void *to, const void *from, size_t n)
{
	return shim_asm_copy(to, from, n);
}

static struct shim_fault copy_back(void *to, const void *from, size_t n)
{
	return shim_asm_copy_back(to, from, n);
}

static inline struct shim_fault copy_at_once(void *to, const void *from, size_t n)
{
	return n == 8 ? shim_asm_copy8(to, from) : shim_asm_copy4(to, from);
}

static struct shim_fault cmp_swap(u64 *at, u64 compare, u64 swap)
{
	return shim_asm_cmp_swap(at, compare, swap);
}

static struct shim_fault fetch_add(u64 *at, u64 add)
{
	return shim_asm_fetch_add(at, add);
}

#else

/* A copy is under way in this thread: where its fault goes on. */
struct way_out {
	sigjmp_buf jump;
	volatile u64 addr;
};
static _Thread_local struct way_out *volatile way_out __attribute__((tls_model("initial-exec")));

static bool fix_up(const siginfo_t *info, ucontext_t *uc)
{
	struct way_out *w = way_out;

	(void)uc;
	if (!w)
		return false;
	way_out = NULL;
	w->addr = (uintptr_t)info->si_addr;
	siglongjmp(w->jump, 1);
}

/* The signal mask is put back by unblock() alone: to save it with each copy would take a system call. */
#define GUARDED(action) \
	({ \
		struct way_out w_ = { .addr = 0 }; \
		volatile u64 value_ = 0; \
		struct shim_fault f_; \
		if (sigsetjmp(w_.jump, 0)) { \
			unblock(); \
			f_ = (struct shim_fault){ 1, w_.addr }; \
		} else { \
			way_out = &w_; \
			__atomic_signal_fence(__ATOMIC_SEQ_CST); \
			action; \
			__atomic_signal_fence(__ATOMIC_SEQ_CST); \
			way_out = NULL; \
			f_ = (struct shim_fault){ 0, value_ }; \
		} \
		f_; \
	})

static struct shim_fault copy(void *to, const void *from, size_t n)
{
	return GUARDED(memcpy(to, from, n));
}

static struct shim_fault copy_back(void *to, const void *from, size_t n)
{
	return GUARDED(memmove(to, from, n));
}

static struct shim_fault copy_at_once(void *to, const void *from, size_t n)
{
	return GUARDED(hca_mem_put_bytes(to, from, n));
}

static struct shim_fault cmp_swap(u64 *at, u64 compare, u64 swap)
{
	return GUARDED(value_ = hca_cmpxchg(at, compare, swap));
}

static struct shim_fault fetch_add(u64 *at, u64 add)
{
	return GUARDED(value_ = hca_fetch_add(at, add));
}

#endif

struct shim_fault shim_copy(void *to, const void *from, size_t n)
{
	uintptr_t ahead = (uintptr_t)to - (uintptr_t)from;

	if (hca_unlikely(!unblocked))
		unblock();
	return hca_unlikely(ahead < n) ? copy_back(to, from, n) : copy(to, from, n);
}

struct shim_fault shim_put(void *to, const void *from, size_t n)
{
	uintptr_t ahead = (uintptr_t)to - (uintptr_t)from;
	struct shim_fault f;

	if (hca_unlikely(!unblocked))
		unblock();
	if (n == 8 || n == 4)
		return copy_at_once(to, from, n);
	if (hca_unlikely(ahead < n))
		return copy_back(to, from, n);
	if (n > 1) {
		f = copy(to, from, n - 1);
		if (hca_unlikely(f.faulted))
			return f;
		/* Stores of one copy may be seen in any order. */
		hca_mb();
	}
	return n ? copy((u8 *)to + n - 1, (const u8 *)from + n - 1, 1) : (struct shim_fault){ 0, 0 };
}

struct shim_fault shim_cmp_swap(u64 *at, u64 compare, u64 swap)
{
	if (hca_unlikely(!unblocked))
		unblock();
	return cmp_swap(at, compare, swap);
}

struct shim_fault shim_fetch_add(u64 *at, u64 add)
{
	if (hca_unlikely(!unblocked))
		unblock();
	return fetch_add(at, add);
}

/* --- the handler --- */

/*
 * Of SIGSEGV and of SIGBUS: what there was when ours was put on top the last time, and the first time. A handler that the program
 * put on top of ours meanwhile hands on to ours, as a second copy of this library in the process does: we hand on to it, and
 * it hands the same fault back to us. Then the first one gets it.
 */
struct before {
	struct sigaction last;
	struct sigaction first;
	bool installed;
};
static struct before before_segv, before_bus;

/* The fault that this thread hands on: what the kernel gave with it, and where on the stack that was. */
struct handed {
	const siginfo_t *info;
	uintptr_t at;
};
static _Thread_local struct handed handed __attribute__((tls_model("initial-exec")));

/* A handler may jump out, and the next fault's @info lie at the same place: but then it isn't further down the stack. */
static bool came_back(const siginfo_t *info, uintptr_t at)
{
	if (info == handed.info && at < handed.at)
		return true;
	handed = (struct handed){ info, at };
	return false;
}

/* As if the program's own way of taking the signal had never been changed. */
static void hand_on(int sig, siginfo_t *info, void *uc, uintptr_t at)
{
	const struct before *w = sig == SIGSEGV ? &before_segv : &before_bus;
	const struct sigaction *b = came_back(info, at) ? &w->first : &w->last;
	struct sigaction plain = { .sa_handler = SIG_DFL };

	if (b->sa_flags & SA_SIGINFO) {
		b->sa_sigaction(sig, info, uc);
	} else if (b->sa_handler == SIG_IGN && info->si_code <= 0) {
		return; /* sent by a process, not a fault */
	} else if (b->sa_handler != SIG_DFL && b->sa_handler != SIG_IGN) {
		b->sa_handler(sig);
	} else {
		/* A fault happens again when we return, and a signal that was sent is sent again. */
		sigaction(sig, &plain, NULL);
		if (info->si_code <= 0)
			raise(sig);
	}
}

static void on_fault(int sig, siginfo_t *info, void *uc)
{
	int saved = errno;

	if (info->si_code <= 0 || !fix_up(info, uc))
		hand_on(sig, info, uc, (uintptr_t)__builtin_frame_address(0));
	errno = saved;
}

static int install(int sig, struct before *before)
{
	struct sigaction now, ours = { .sa_sigaction = on_fault };

	if (sigaction(sig, NULL, &now))
		return errno;
	if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault)
		return 0;
	before->last = now;
	if (!before->installed)
		before->first = now;
	before->installed = true;
	ours.sa_mask = now.sa_mask;
	ours.sa_flags = (now.sa_flags & ~SA_RESETHAND) | SA_SIGINFO;
	return sigaction(sig, &ours, NULL) ? errno : 0;
}

int shim_copy_init(void)
{
	int err = install(SIGSEGV, &before_segv);

	return err ? err : install(SIGBUS, &before_bus);
}
