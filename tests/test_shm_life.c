/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Nodes that come and go: numbers, locks, leftovers, the directory, forks, what runs out, and that an idle process isn't woken.
 * fcntl(2) has what F_OFD_SETLK promises.
 */
#include "shm_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "wire/shm/internal.h"

#define CHECK(c) ((c) ? (void)0 : (fprintf(stderr, "# line %d: %s\n", __LINE__, #c), _exit(1)))

static int open_node(struct hca_shm **out)
{
	const struct hca_shm_config cfg = { .dir = fabric_dir };

	return hca_shm_open(out, &cfg);
}

/* A child runs it, and exits with success if it returns. */
static void in_child(void (*fn)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* --- numbers --- */

static void the_first_free_number(void **state)
{
	struct hca_shm *n[4];
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(open_node(&n[i]), 0);
		assert_int_equal(hca_shm_number(n[i]), i + 1);
	}
	hca_shm_close(n[1]);
	assert_int_equal(open_node(&n[3]), 0);
	assert_int_equal(hca_shm_number(n[3]), 2);
	hca_shm_close(n[0]);
	hca_shm_close(n[2]);
	hca_shm_close(n[3]);
	assert_int_equal(fabric_files(), 0);
}

static void no_number_is_left(void **state)
{
	const struct hca_shm_config cfg = { .dir = fabric_dir, .max_node = 2 };
	struct hca_shm *n[3];

	(void)state;
	assert_int_equal(hca_shm_open(&n[0], &cfg), 0);
	assert_int_equal(hca_shm_open(&n[1], &cfg), 0);
	assert_int_equal(hca_shm_open(&n[2], &cfg), -ENOSPC);
	hca_shm_close(n[0]);
	hca_shm_close(n[1]);
	assert_int_equal(fabric_files(), 0);
}

static void sizes_that_cant_be(void **state)
{
	const struct hca_shm_config bad[] = {
		{ .dir = fabric_dir, .request_bytes = 4096 },	    { .dir = fabric_dir, .reply_bytes = 3u << 17 },
		{ .dir = fabric_dir, .request_bytes = 128u << 20 }, { .dir = fabric_dir, .max_node = 1024 },
		{ .dir = fabric_dir, .gids = HCA_WIRE_GIDS + 1 },
	};
	struct hca_shm *n;
	u32 i;

	(void)state;
	for (i = 0; i < HCA_ARRAY_SIZE(bad); i++)
		assert_int_equal(hca_shm_open(&n, &bad[i]), -EINVAL);
	assert_int_equal(fabric_files(), 0);
}

/* --- leftovers --- */

static void open_two_and_die(void)
{
	struct hca_shm *n[2];

	CHECK(!open_node(&n[0]));
	CHECK(!open_node(&n[1]));
	CHECK(!hca_shm_watch(n[0], hca_shm_number(n[1]), NULL));
	CHECK(!hca_shm_watch(n[1], hca_shm_number(n[0]), NULL));
}

static void leftovers_are_removed(void **state)
{
	struct hca_shm *n, *later;
	int fd, dir;

	(void)state;
	assert_int_equal(open_node(&n), 0);
	in_child(open_two_and_die);
	assert_true(has_file("node.2") && has_file("node.3") && has_file("ring.2.3") && has_file("ring.3.2"));
	/* A ring whose node is gone; a file that was being made; and what isn't ours. */
	dir = open(fabric_dir, O_RDONLY | O_DIRECTORY);
	close(openat(dir, "ring.9.1", O_CREAT | O_RDWR, 0600));
	close(openat(dir, "node.10", O_CREAT | O_RDWR, 0600));
	fd = openat(dir, "node.11", O_CREAT | O_RDWR, 0600);
	assert_int_equal(ftruncate(fd, 100), 0);
	close(fd);
	close(openat(dir, "node.1x", O_CREAT | O_RDWR, 0600));
	close(openat(dir, "node.2000", O_CREAT | O_RDWR, 0600));
	assert_int_equal(open_node(&later), 0);
	assert_int_equal(hca_shm_number(later), 2);
	assert_int_equal(fabric_files(), 4);
	assert_true(has_file("node.1") && has_file("node.2") && has_file("node.1x") && has_file("node.2000"));
	hca_shm_close(n);
	hca_shm_close(later);
	unlinkat(dir, "node.1x", 0);
	unlinkat(dir, "node.2000", 0);
	close(dir);
	assert_int_equal(fabric_files(), 0);
}

/* --- the directory --- */

static void the_directory_is_ours_alone(void **state)
{
	char link[80];
	struct hca_shm *n;
	struct stat st;

	(void)state;
	assert_int_equal(open_node(&n), 0);
	assert_int_equal(stat(fabric_dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	hca_shm_close(n);
	assert_int_equal(chmod(fabric_dir, 0750), 0);
	assert_int_equal(open_node(&n), -EACCES);
	assert_int_equal(chmod(fabric_dir, 0700), 0);
	if (!geteuid()) {
		assert_int_equal(chown(fabric_dir, 65534, 65534), 0);
		assert_int_equal(open_node(&n), -EACCES);
		assert_int_equal(chown(fabric_dir, 0, 0), 0);
	}
	/* A link that somebody else laid. */
	snprintf(link, sizeof(link), "%s-link", fabric_dir);
	assert_int_equal(symlink(fabric_dir, link), 0);
	assert_true(hca_shm_open(&n, &(const struct hca_shm_config){ .dir = link }) < 0);
	unlink(link);
	assert_int_equal(hca_shm_open(&n, &(const struct hca_shm_config){ .dir = "/nowhere/at/all" }), -ENOENT);
}

static void files_are_ours_alone(void **state)
{
	struct hca_shm *n[2];
	struct stat st;
	char path[96];

	(void)state;
	umask(0);
	assert_int_equal(open_node(&n[0]), 0);
	assert_int_equal(open_node(&n[1]), 0);
	assert_int_equal(hca_shm_watch(n[0], 2, NULL), 0);
	umask(022);
	snprintf(path, sizeof(path), "%s/node.1", fabric_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	snprintf(path, sizeof(path), "%s/ring.1.2", fabric_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	hca_shm_close(n[0]);
	hca_shm_close(n[1]);
}

/* Another user of the host opens nothing of it. */
static void try_as_another(void)
{
	char path[96];
	struct hca_shm *n;

	CHECK(!setgid(65534) && !setuid(65534));
	snprintf(path, sizeof(path), "%s/node.1", fabric_dir);
	CHECK(open(path, O_RDONLY) < 0 && errno == EACCES);
	CHECK(open_node(&n) < 0);
}

static void other_users_stay_out(void **state)
{
	struct hca_shm *n;

	(void)state;
	if (geteuid())
		skip();
	assert_int_equal(open_node(&n), 0);
	in_child(try_as_another);
	hca_shm_close(n);
}

/* --- forks --- */

static struct side a, b;

static void use_after_fork(void)
{
	struct hca_shm *n;

	CHECK(!hca_shm_is_ours(a.shm));
	CHECK(hca_shm_poll(a.shm) == 0);
	hca_shm_arm(a.shm);
	CHECK(hca_shm_watch(a.shm, 2, NULL) == -ESRCH);
	hca_shm_joined(a.shm, 1);
	hca_shm_close(a.shm);
	/* And may have a node of its own. */
	CHECK(!open_node(&n));
	CHECK(hca_shm_number(n) == 3);
	hca_shm_close(n);
}

static void a_child_has_no_node(void **state)
{
	struct side_name an, bn;
	struct hca_shm *n;
	struct hca_wc wc;

	(void)state;
	assert_int_equal(side_open(&a), 0);
	assert_int_equal(side_open(&b), 0);
	assert_int_equal(side_qp(&a, HCA_QPT_RC), 0);
	assert_int_equal(side_qp(&b, HCA_QPT_RC), 0);
	an = side_name(&a);
	bn = side_name(&b);
	assert_int_equal(side_connect(&a, &bn), 0);
	assert_int_equal(side_connect(&b, &an), 0);
	in_child(use_after_fork);
	/* The parent's number is the parent's still, and nothing of its files is gone. */
	assert_int_equal(open_node(&n), 0);
	assert_int_equal(hca_shm_number(n), 3);
	hca_shm_close(n);
	assert_true(has_file("node.1") && has_file("node.2") && has_file("ring.1.2") && has_file("ring.2.1"));
	assert_int_equal(side_recv(&b, 1, 0, 100), 0);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND, 0, 100, 0), 0);
	side_wait(&a, &a.scq, &wc);
	assert_int_equal(wc.status, HCA_WC_SUCCESS);
	assert_int_equal(hca_load(&a.deaths), 0);
	side_close(&a);
	side_close(&b);
	assert_int_equal(fabric_files(), 0);
}

/* --- what runs out --- */

static u32 open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	u32 n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void with_few_descriptors(void)
{
	struct rlimit few = { 3, 0 };
	u32 before = open_descriptors();
	struct hca_shm *n = NULL;
	int err = -1;

	CHECK(!getrlimit(RLIMIT_NOFILE, &few));
	for (few.rlim_cur = 3; err && few.rlim_cur < 64; few.rlim_cur++) {
		CHECK(!setrlimit(RLIMIT_NOFILE, &few));
		err = open_node(&n);
		CHECK(!err || err == -EMFILE);
		few.rlim_cur += 10;
		CHECK(!setrlimit(RLIMIT_NOFILE, &few));
		few.rlim_cur -= 10;
		CHECK(!err || (!fabric_files() && open_descriptors() == before));
	}
	CHECK(!err);
	hca_shm_close(n);
	few.rlim_cur = 64;
	CHECK(!setrlimit(RLIMIT_NOFILE, &few));
	CHECK(open_descriptors() == before);
}

static void descriptors_run_out(void **state)
{
	(void)state;
	in_child(with_few_descriptors);
}

/* A file system of so many KiB over the fabric's directory, for this process alone. */
static bool mount_small(u32 kib)
{
	char options[40];

	snprintf(options, sizeof(options), "size=%uk,mode=0700", kib);
	return !unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("none", fabric_dir, "tmpfs", 0, options);
}

static void with_little_room(void)
{
	struct hca_shm *n[2] = { NULL, NULL };
	u32 kib;

	if (!mount_small(64))
		_exit(77);
	CHECK(open_node(&n[0]) == -ENOSPC);
	CHECK(!fabric_files());
	/* Room for nodes, not for a ring. */
	for (kib = 80; kib < 2048; kib += 16) {
		char options[40];

		snprintf(options, sizeof(options), "size=%uk", kib);
		CHECK(!mount("none", fabric_dir, "tmpfs", MS_REMOUNT, options));
		if (open_node(&n[0]))
			continue;
		if (!open_node(&n[1]))
			break;
		hca_shm_close(n[0]);
	}
	CHECK(fabric_files() == 2);
	CHECK(hca_shm_watch(n[0], 2, NULL) == -ENOSPC);
	CHECK(fabric_files() == 2);
	hca_shm_close(n[1]);
	hca_shm_close(n[0]);
	CHECK(!fabric_files());
}

static void room_runs_out(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		with_little_room();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

/* --- many --- */

/* Each of them maps each other one: 32 bits are short for more. */
#define MANY (sizeof(void *) > 4 ? 16u : 4u)

/* All to all: each sends a datagram to each, itself too. */
static void many_nodes(void **state)
{
	const struct hca_shm_config cfg = { .lids = true, .request_bytes = HCA_FABRIC_LANE_MIN };
	static struct side many[MANY];
	struct side_name name[MANY];
	struct hca_wc wc;
	u32 i, j;

	(void)state;
	for (i = 0; i < MANY; i++) {
		assert_int_equal(side_open_as(&many[i], &cfg), 0);
		assert_int_equal(side_qp(&many[i], HCA_QPT_UD), 0);
		name[i] = side_name(&many[i]);
		assert_int_equal(side_connect(&many[i], &name[i]), 0);
		for (j = 0; j < MANY; j++)
			assert_int_equal(side_recv(&many[i], j, 4096 + 128 * j, 128), 0);
	}
	for (i = 0; i < MANY; i++)
		for (j = 0; j < MANY; j++)
			assert_int_equal(side_post(&many[i], &name[j], j, HCA_WR_SEND, 0, 64, 0), 0);
	assert_int_equal(fabric_files(), MANY * MANY);
	for (i = 0; i < MANY; i++) {
		for (j = 0; j < MANY; j++) {
			side_wait(&many[i], &many[i].rcq, &wc);
			assert_int_equal(wc.status, HCA_WC_SUCCESS);
		}
	}
	for (i = 0; i < MANY; i++)
		side_close(&many[i]);
	assert_int_equal(fabric_files(), 0);
}

/* --- leaving --- */

/* One that closes is told of, though its process lives; its number may be another's at once, and that one is reached. */
static void one_leaves(void **state)
{
	struct side_name an, bn;
	struct hca_wc wc;
	u32 i;

	(void)state;
	for (i = 0; i < 20; i++) {
		assert_int_equal(side_open(&a), 0);
		assert_int_equal(side_open(&b), 0);
		assert_int_equal(side_qp(&a, HCA_QPT_RC), 0);
		assert_int_equal(side_qp(&b, HCA_QPT_RC), 0);
		an = side_name(&a);
		bn = side_name(&b);
		assert_int_equal(side_connect(&a, &bn), 0);
		assert_int_equal(side_connect(&b, &an), 0);
		assert_int_equal(side_recv(&a, 3, 0, 8), 0);
		side_close(&b);
		side_wait(&a, &a.rcq, &wc);
		assert_int_equal(wc.status, HCA_WC_WR_FLUSH_ERR);
		assert_int_equal(hca_load(&a.dead), 2);
		/* The number comes back. */
		hca_qp_destroy(a.qp);
		assert_int_equal(side_qp(&a, HCA_QPT_RC), 0);
		assert_int_equal(side_open(&b), 0);
		assert_int_equal(hca_shm_number(b.shm), 2);
		assert_int_equal(side_qp(&b, HCA_QPT_RC), 0);
		an = side_name(&a);
		bn = side_name(&b);
		assert_int_equal(side_connect(&b, &an), 0);
		assert_int_equal(side_connect(&a, &bn), 0);
		assert_int_equal(side_recv(&a, 4, 0, 8), 0);
		assert_int_equal(side_post(&b, &an, 5, HCA_WR_SEND, 0, 8, 0), 0);
		side_wait(&b, &b.scq, &wc);
		assert_int_equal(wc.status, HCA_WC_SUCCESS);
		side_wait(&a, &a.rcq, &wc);
		assert_int_equal(wc.status, HCA_WC_SUCCESS);
		side_close(&a);
		side_close(&b);
		assert_int_equal(fabric_files(), 0);
	}
}

/* --- nothing happens --- */

/* How often the kernel switched to any thread of ours. */
static u64 switches(void)
{
	DIR *d = opendir("/proc/self/task");
	const struct dirent *e;
	char path[300], line[200];
	u64 all = 0;

	while ((e = readdir(d))) {
		unsigned long long n = 0;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		f = e->d_name[0] == '.' || atoi(e->d_name) == getpid() ? NULL : fopen(path, "r");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1)
				all += n;
		if (f)
			fclose(f);
	}
	closedir(d);
	return all;
}

static void nothing_wakes_an_idle_process(void **state)
{
	struct side_name an, bn;
	struct hca_wc wc;
	u32 i, tries = 0;
	u64 before;

	(void)state;
#ifdef HCA_TSAN
	skip(); /* the sanitizer has a thread of its own that wakes up */
#endif
	assert_int_equal(side_open(&a), 0);
	assert_int_equal(side_open(&b), 0);
	assert_int_equal(side_qp(&a, HCA_QPT_UC), 0);
	assert_int_equal(side_qp(&b, HCA_QPT_UC), 0);
	an = side_name(&a);
	bn = side_name(&b);
	assert_int_equal(side_connect(&a, &bn), 0);
	assert_int_equal(side_connect(&b, &an), 0);
	/* It polled for a while, and stopped without a word. */
	for (i = 0; i < 100; i++) {
		assert_int_equal(side_recv(&b, i, 0, 8), 0);
		assert_int_equal(side_post(&a, &bn, i, HCA_WR_SEND, 0, 8, 0), 0);
		side_wait(&a, &a.scq, &wc);
		side_wait(&b, &b.rcq, &wc);
	}
	/* On a busy machine that takes a while. */
	do {
		before = switches();
		usleep(500000);
	} while (switches() != before && tries++ < 100);
	before = switches();
	sleep(2);
	assert_int_equal(switches(), before);
	/* And what comes then is taken in by the helper, which calls the handler. */
	assert_int_equal(side_recv(&b, 1, 0, 8), 0);
	i = hca_load(&b.handled);
	hca_cq_ring_notify(&b.rcq.ring, HCA_CQ_NEXT);
	assert_int_equal(side_post(&a, &bn, 2, HCA_WR_SEND, 0, 8, 0), 0);
	while (hca_load(&b.handled) == i)
		hca_pause();
	side_close(&a);
	side_close(&b);
}

/* --- a number that is used again --- */

/* Its first owner's end is noticed only after the next one is watched; that one's end is noticed as well, though it never sent. */
static void the_next_of_a_number_is_watched(void **state)
{
	u64 first = 0, second = 0, again = 0;
	static struct side watcher;
	struct hca_shm *n;

	(void)state;
	assert_int_equal(side_open(&watcher), 0);
	assert_int_equal(open_node(&n), 0);
	assert_int_equal(hca_shm_number(n), 2);
	assert_int_equal(hca_shm_watch(watcher.shm, 2, &first), 0);
	shm_take_begin(watcher.shm); /* nothing is noticed */
	hca_shm_close(n);
	assert_int_equal(hca_shm_watch(watcher.shm, 2, &second), -ESRCH);
	assert_int_equal(open_node(&n), 0);
	assert_int_equal(hca_shm_number(n), 2);
	assert_int_equal(hca_shm_watch(watcher.shm, 2, &second), 0);
	assert_true(first && second && first != second);
	shm_take_end(watcher.shm);
	while (!hca_load_acquire(&watcher.deaths))
		hca_pause();
	assert_true(hca_load(&watcher.dead_stamp) == first);
	while (!has_file("ring.1.2"))
		hca_pause();
	assert_int_equal(hca_shm_watch(watcher.shm, 2, &again), 0);
	assert_true(again == second);
	assert_int_equal(hca_shm_watch(n, 1, NULL), 0); /* so that it says that it leaves: its process goes on */
	hca_shm_close(n);
	while (hca_load_acquire(&watcher.deaths) < 2)
		hca_pause();
	assert_true(hca_load(&watcher.dead_stamp) == second);
	side_close(&watcher);
}

#define IN_FABRIC(t) cmocka_unit_test_setup_teardown(t, fabric_make, fabric_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FABRIC(nothing_wakes_an_idle_process), /* before a timer of another test is left to run out */
		IN_FABRIC(the_first_free_number),
		IN_FABRIC(no_number_is_left),
		IN_FABRIC(sizes_that_cant_be),
		IN_FABRIC(leftovers_are_removed),
		IN_FABRIC(the_directory_is_ours_alone),
		IN_FABRIC(files_are_ours_alone),
		IN_FABRIC(other_users_stay_out),
		IN_FABRIC(a_child_has_no_node),
		IN_FABRIC(descriptors_run_out),
		IN_FABRIC(room_runs_out),
		IN_FABRIC(many_nodes),
		IN_FABRIC(one_leaves),
		IN_FABRIC(the_next_of_a_number_is_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
