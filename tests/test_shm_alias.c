/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which memory of another process is known as this one's too (docs/fabric.md): it is reached by plain stores when it is the same memory,
 * and as all other memory when it isn't.
 */
#include "alias_fixture.h"

#include <linux/magic.h>
#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/vfs.h>
#include <sys/wait.h>

static int make_file(const char *in, bool keep, char *name)
{
	int fd;

	sprintf(name, "%s/softhca-alias-XXXXXX", in);
	fd = mkstemp(name);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, RAM), 0);
	if (!keep)
		unlink(name);
	return fd;
}

static bool is_taken(int fd)
{
	struct statfs fs;

	assert_int_equal(fstatfs(fd, &fs), 0);
	return fs.f_type == TMPFS_MAGIC || fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC;
}

static void each_kind(void **state)
{
	static const char *const dirs[] = { "/dev/shm", "/tmp", "." };
	char name[64];
	u32 i;
	int fd;

	(void)state;
	for (i = 0; i < 2 * HCA_ARRAY_SIZE(dirs); i++) {
		fd = make_file(dirs[i / 2], i % 2, name);
		assert_int_equal(open_on(fd), 0);
		give_key();
		assert_true(is_taken(fd) ? gets_plain(WRITE) && gets_plain(READ) : stays_other(WRITE));
		close_all(NULL);
		unlink(name);
	}
	assert_int_equal(open_on(open("/dev/zero", O_RDWR | O_CLOEXEC)), 0); /* anonymous and shared */
	give_key();
	assert_true(gets_plain(WRITE) && gets_plain(READ));
	close_all(NULL);
}

/* The system makes no second mapping of them, but there can be one of the file: found by its name, or by the program's descriptor. */
static void large_pages(int fd, bool named)
{
	struct hca_wire_key k = key_of(A_KEY);
	const size_t bytes = 4u << 20;

	k.at = MAP_FAILED;
	k.length = bytes;
	if (fd >= 0 && !ftruncate(fd, (off_t)bytes))
		k.at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (k.at == MAP_FAILED) {
		print_message("# no large pages%s here: not tried\n", named ? " with names" : "");
		close(fd);
		return;
	}
	if (named)
		close(fd);
	end_child(0);
	start_child();
	give(&k);
	assert_true(gets_plain(WRITE) && gets_plain(READ));
	memset(own, 0x5a, 8);
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 8));
	assert_memory_equal(k.at, own, 8);
	/* A page that nobody has touched yet. */
	memset(own, 0xa5, 4096);
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, (u32)bytes - 4096, own, 4096));
	assert_memory_equal((u8 *)k.at + bytes - 4096, own, 4096);
	if (!named) {
		/* Without a descriptor they are as all other memory. */
		close(fd);
		end_child(0);
		start_child();
		give(&k);
		memset(own, 0x3c, 8);
		assert_true(stays_other(WRITE));
		assert_memory_equal(k.at, own, 8);
	}
	munmap(k.at, bytes);
}

/* The numbers of System V's segments may be those of other files. */
static void other_kinds(void **state)
{
	char name[] = "/dev/hugepages/softhca-alias-XXXXXX";
	int id = shmget(IPC_PRIVATE, RAM, IPC_CREAT | 0600), fd = mkstemp(name);
	struct hca_wire_key k = key_of(A_KEY);

	(void)state;
	large_pages(memfd_create("large", MFD_CLOEXEC | MFD_HUGETLB), false);
	large_pages(fd, true);
	unlink(name);
	assert_true(id >= 0);
	end_child(0);
	k.at = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL);
	assert_true(k.at != (void *)-1);
	start_child();
	give(&k);
	assert_true(stays_other(WRITE) && stays_other(READ));
	shmdt(k.at);
}

/* --- files that only the peer maps --- */

static void open_peers_file(char *name, int prot, bool keep)
{
	int fd = make_file("/dev/shm", true, name);

	assert_int_equal(open_on(fd), 0);
	child_maps(0, RAM, prot, MAP_SHARED, fd);
	assert_true(mmap(ram, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == ram);
	if (!keep)
		unlink(name);
	give_key();
}

static void close_peers_file(const char *name)
{
	close_all(NULL);
	unlink(name);
}

/* By a name we may map it as well. */
static void only_the_peer_maps_it(void **state)
{
	char name[64];

	(void)state;
	open_peers_file(name, PROT_READ | PROT_WRITE, true);
	assert_int_equal(mappings(), 0);
	assert_true(gets_plain(WRITE) && gets_plain(READ));
	assert_int_equal(mappings(), 1);
	fill(own, 1000, 3);
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 100, own, 1000));
	assert_true(child_has(100, 1000, 3));
	memset(own, 0, 1000);
	assert_true(carry_out(&us, CHILD, READ, A_KEY, 100, own, 1000));
	assert_true(same(own, 1000, 3));
	close_peers_file(name);
	/* Where the peer may only read, nobody writes. */
	open_peers_file(name, PROT_READ, true);
	assert_true(gets_plain(READ));
	times(READ, 0, 10);
	assert_false(carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 8));
	close_peers_file(name);
	/* It has no name any more. */
	open_peers_file(name, PROT_READ | PROT_WRITE, false);
	assert_true(stays_other(WRITE) && stays_other(READ));
	assert_int_equal(mappings(), 0);
	close_peers_file(name);
	/* Its name is another file's. */
	open_peers_file(name, PROT_READ | PROT_WRITE, false);
	close(open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	assert_true(stays_other(WRITE) && stays_other(READ));
	close_peers_file(name);
}

/* Whose lock on the file is in the way of a process of its own: 0: nobody's. */
static pid_t locker(const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd = open(name, O_RDWR | O_CLOEXEC), pipes[2];
	pid_t pid, found = -1;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		fcntl(fd, F_GETLK, &lock);
		found = lock.l_type == F_UNLCK ? 0 : lock.l_pid;
		_exit(write(pipes[1], &found, sizeof(found)) != sizeof(found));
	}
	assert_int_equal(read(pipes[0], &found, sizeof(found)), sizeof(found));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(pipes[0]);
	close(pipes[1]);
	return found; /* the descriptor stays: its end would be the lock's */
}

/* A process that closes a file loses its locks on it (fcntl(2)): the program's are kept, and so is its table of descriptors. */
static void the_programs_locks(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char name[64];
	int before, after;

	(void)state;
	open_peers_file(name, PROT_READ | PROT_WRITE, true);
	assert_int_equal(fcntl(ram_fd, F_SETLK, &lock), 0);
	times(WRITE, 0, 1); /* the wire has its descriptors by now */
	before = dup(0);
	close(before);
	assert_true(gets_plain(WRITE));
	after = dup(0);
	close(after);
	assert_int_equal(after, before);
	assert_int_equal(mappings(), 1);
	assert_int_equal(locker(name), getpid());
	close_peers_file(name);
}

static void private_memory(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);

	(void)state;
	/* The peer's is a copy. */
	child_maps(0, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE, ram_fd);
	give_key();
	assert_true(stays_other(WRITE) && stays_other(READ));
	child_maps(0, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	assert_true(stays_other(WRITE) && stays_other(READ));
	/* Ours is. */
	child_maps(0, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd);
	ram = mmap(ram, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, ram_fd, 0);
	give(&k);
	assert_true(stays_other(WRITE) && stays_other(READ));
	ram = mmap(ram, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram_fd, 0);
	give(&k);
	assert_true(gets_plain(WRITE) && gets_plain(READ));
}

static void another_file(void **state)
{
	int fd = memfd_create("alias", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, RAM), 0);
	end_child(0);
	start_child();
	child_maps(0, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	give_key();
	memset(own, 1, 8);
	memset(ram, 2, 8);
	assert_true(stays_other(WRITE));
	assert_int_equal(ram[0], 2);
	assert_int_equal(pread(fd, own + 8, 8, 0), 8);
	assert_memory_equal(own, own + 8, 8);
	close(fd);
}

/* A process that isn't the one that wrote the key. */
static void another_process(void **state)
{
	const struct hca_fabric_key key = { .key = A_KEY, .seq = 2, .length = RAM, .base = (uintptr_t)ram };
	struct shm_aliases none = { .n = 0 };
	u64 guard = (uintptr_t)us.share.guard;
	struct shm_alias_key *k;

	(void)state;
	assert_null(
		shm_alias_look(&none, US, getpid(), (uintptr_t)both, &key, &key)); /* anybody may have what is shared */
	assert_null(shm_alias_look(&none, US, getpid(), 4096, &key, &key));
#ifndef HCA_TSAN /* there guards aren't at random */
	assert_null(shm_alias_look(&none, US, child, guard, &key, &key));
#endif
	assert_null(shm_alias_look(&none, US, 0x7ffffffe, guard, &key, &key));
	k = shm_alias_look(&none, US, getpid(), guard, &key, &key);
	assert_non_null(k);
	assert_int_equal(mappings(), 2);
	shm_alias_free(&none, k, false);
	assert_int_equal(mappings(), 1);
}

/* What may change under its region is found by its address each time. */
static void memory_on_demand(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);

	(void)state;
	k.access |= HCA_ACCESS_ON_DEMAND;
	give(&k);
	assert_true(stays_other(WRITE) && stays_other(READ));
}

static void what_may_be_written(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);
	u64 before;
	u32 i;

	(void)state;
	/* We may only read it. */
	assert_int_equal(mprotect(ram, RAM, PROT_READ), 0);
	give_key();
	assert_true(gets_plain(READ));
	assert_true(stays_other(WRITE));
	/* And where we may write as well, that mapping is the better one, wherever it is. */
	assert_true(mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0) != MAP_FAILED);
	assert_true(mmap(NULL, RAM, PROT_READ, MAP_SHARED, ram_fd, 0) != MAP_FAILED);
	k.key = a_key += 0x100;
	give(&k);
	assert_true(gets_plain(READ) && gets_plain(WRITE));
	a_key = A_KEY;
	/* The peer may only read it. */
	child_maps(0, RAM, PROT_READ, MAP_SHARED, ram_fd);
	give_key();
	assert_true(gets_plain(READ));
	before = plain();
	for (i = 0; i < ENOUGH; i++)
		carry_out(&us, CHILD, WRITE, A_KEY, 0, own, 4096);
	assert_int_equal(plain(), before);
	assert_int_equal(times(READ, 0, 10), 10);
}

static void part_of_it(void **state)
{
	struct hca_wire_key k = key_of(A_KEY);
	u8 *other;

	(void)state;
	assert_int_equal(munmap(ram + RAM / 2, RAM / 2), 0);
	give_key();
	assert_true(stays_other(WRITE) && stays_other(READ));
	/* A smaller region is all there. */
	k.length = RAM / 2;
	give(&k);
	assert_true(gets_plain(WRITE) && gets_plain(READ));
	/* Of another part of the file, at another address. */
	other = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 4096);
	assert_true(other != MAP_FAILED);
	k.at = ram + 8192 + 24;
	k.length = RAM - 8192 - 24;
	give(&k);
	assert_true(gets_plain(READ) && gets_plain(WRITE));
	fill(own, 1000, 3);
	assert_true(carry_out(&us, CHILD, WRITE, A_KEY, 100, own, 1000));
	assert_true(child_has(8192 + 124, 1000, 3));
	assert_true(same(other + 4096 + 124, 1000, 3));
	/* Not all of it is in the peer's mapping. */
	munmap(other, RAM);
	other = mmap(NULL, 2 * RAM, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
	assert_true(other != MAP_FAILED);
	child_maps(RAM - 4096, 4096, 0, 0, -1);
	give_key();
	assert_true(stays_other(READ));
	munmap(other, 2 * RAM);
	assert_true(mmap(ram, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram_fd, 0) == ram);
}

/* What is in vain is tried less and less, and large pieces count more. */
static void how_often(void **state)
{
	static struct shm_alias_peer p;
	struct hca_fabric_key key = { .key = A_KEY, .seq = 2 };
	u32 looks = 0, i;

	(void)state;
	for (i = 0; i < 100000; i++)
		looks += shm_alias_count(&p, &key, 8);
	assert_int_equal(looks, 9);
	key.seq = 4;
	for (i = 0, looks = 0; !looks; i++)
		looks += shm_alias_count(&p, &key, 65536);
	assert_true(i <= 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind),
		cmocka_unit_test(only_the_peer_maps_it),
		cmocka_unit_test(the_programs_locks),
		ON_MEMFD(other_kinds),
		ON_MEMFD(private_memory),
		ON_MEMFD(another_file),
		ON_MEMFD(another_process),
		ON_MEMFD(memory_on_demand),
		ON_MEMFD(what_may_be_written),
		ON_MEMFD(part_of_it),
		cmocka_unit_test(how_often),
	};

	return cmocka_run_group_tests_name("shm_alias", tests, NULL, NULL);
}
