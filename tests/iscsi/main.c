/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * iscsi_front direct|srp FILE BLOCK_SIZE [readonly] - serve a file as an iSCSI disk on the loopback address. Prints
 * the port that it listens on, and serves until it gets SIGTERM; then ends with status 0 if nothing was left behind.
 * Called by tests/cli_iscsi.sh; see front.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front.h"

/* Connections; under the lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t empty;
	struct link {
		struct link *next;
		int fd;
	} * links;
	bool stopping;
} all = { .lock = PTHREAD_MUTEX_INITIALIZER, .empty = PTHREAD_COND_INITIALIZER };

static const struct unit *unit;
static int listener;

static void *serve(void *arg)
{
	struct link *link = arg, **at;
	int fd = dup(link->fd);

	if (fd >= 0)
		conn_serve(unit, fd);
	pthread_mutex_lock(&all.lock);
	for (at = &all.links; *at != link; at = &(*at)->next)
		;
	*at = link->next;
	close(link->fd);
	if (!all.links)
		pthread_cond_signal(&all.empty);
	pthread_mutex_unlock(&all.lock);
	free(link);
	return NULL;
}

static void begin(int fd)
{
	struct link *link = malloc(sizeof(*link));
	pthread_t thread;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (link)
		link->fd = fd;
	pthread_mutex_lock(&all.lock);
	if (link && !all.stopping && !pthread_create(&thread, NULL, serve, link)) {
		pthread_detach(thread);
		link->next = all.links;
		all.links = link;
	} else {
		free(link);
		close(fd);
	}
	pthread_mutex_unlock(&all.lock);
}

static void *accept_all(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR || errno == ECONNABORTED)
		if (fd >= 0)
			begin(fd);
	return NULL;
}

static void end_all(void)
{
	struct link *link;

	pthread_mutex_lock(&all.lock);
	all.stopping = true;
	for (link = all.links; link; link = link->next)
		shutdown(link->fd, SHUT_RDWR);
	while (all.links)
		pthread_cond_wait(&all.empty, &all.lock);
	pthread_mutex_unlock(&all.lock);
}

static int listen_on_loopback(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(addr);

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 16) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len))
		return -1;
	return ntohs(addr.sin_port);
}

int main(int argc, char **argv)
{
	pthread_t acceptor;
	sigset_t set;
	struct lun lun;
	char why[512];
	int port, sig, status;

	if (argc < 4 || (strcmp(argv[1], "direct") != 0 && strcmp(argv[1], "srp") != 0)) {
		fprintf(stderr, "usage: iscsi_front direct|srp FILE BLOCK_SIZE [readonly]\n");
		return 2;
	}
	if (lun_file_open(&lun, argv[2], (u32)atoi(argv[3]), argc > 4, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	unit = strcmp(argv[1], "srp") ? unit_direct(&lun) : unit_srp(&lun);
	port = listen_on_loopback();
	if (!unit || port < 0 || pthread_create(&acceptor, NULL, accept_all, NULL)) {
		perror("iscsi_front");
		return 1;
	}
	printf("%d\n", port);
	fflush(stdout);
	sigwait(&set, &sig);
	shutdown(listener, SHUT_RDWR);
	pthread_join(acceptor, NULL);
	end_all();
	status = unit->stop();
	lun_close(&lun);
	return status;
}
