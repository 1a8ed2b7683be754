/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Options. Sizes count from the connection on; later they are accepted, and change nothing. */
#include "rsocket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>

#define BUFFER_MIN 4096
#define BUFFER_MAX (1 << 29)
#define KEEP_SECONDS_MAX 32767
#define KEEP_PROBES_MAX 127
#define SECONDS_MAX 1000000000 /* of a timeout: its nanoseconds can be counted */
#define QUEUE_MIN 16
#define QUEUE_MAX 8192

static int clamp(int value, int least, int most)
{
	return RS_MIN(RS_MAX(value, least), most);
}

/* --- set --- */

static int tell_id(struct rsock *rs, int option, int value)
{
	return rdma_set_option(rs->id, RDMA_OPTION_ID, option, &value, sizeof(value)) ? errno : 0;
}

static int set_socket(struct rsock *rs, int name, int value, bool unconnected)
{
	switch (name) {
	case SO_RCVBUF:
		if (unconnected)
			rs->opt.rcvbuf = clamp(value, BUFFER_MIN, BUFFER_MAX);
		return 0;
	case SO_SNDBUF:
		if (unconnected)
			rs->opt.sndbuf = clamp(value, BUFFER_MIN, BUFFER_MAX);
		return 0;
	case SO_REUSEADDR:
		rs->opt.reuse = value != 0;
		return rs->bound || rs->state != RS_IDLE ? 0 : tell_id(rs, RDMA_OPTION_ID_REUSEADDR, rs->opt.reuse);
	case SO_KEEPALIVE:
		rs->opt.keepalive = value != 0;
		return 0;
	case SO_OOBINLINE:
		rs->opt.oobinline = value != 0;
		return 0;
	default:
		return ENOPROTOOPT;
	}
}

/* From one on. */
static int set_within(int *option, int value, int most)
{
	if (value < 1 || value > most)
		return EINVAL;
	*option = value;
	return 0;
}

static int set_tcp(struct rsock *rs, int name, int value)
{
	switch (name) {
	case TCP_NODELAY:
		rs->opt.nodelay = value != 0;
		return 0;
	case TCP_KEEPIDLE:
		return set_within(&rs->opt.keepidle, value, KEEP_SECONDS_MAX);
	case TCP_KEEPCNT:
		return set_within(&rs->opt.keepcnt, value, KEEP_PROBES_MAX);
	case TCP_KEEPINTVL:
		return set_within(&rs->opt.keepintvl, value, KEEP_SECONDS_MAX);
	case TCP_MAXSEG:
		return 0;
	default:
		return ENOPROTOOPT;
	}
}

static int set_ipv6(struct rsock *rs, int name, int value)
{
	if (name != IPV6_V6ONLY || rs->domain != AF_INET6)
		return ENOPROTOOPT;
	if (rs->bound || rs->state != RS_IDLE)
		return EINVAL;
	rs->opt.v6only = value != 0;
	return tell_id(rs, RDMA_OPTION_ID_AFONLY, rs->opt.v6only);
}

static int set_rdma(struct rsock *rs, int name, int value, bool unconnected)
{
	if (!unconnected)
		return name <= RDMA_IOMAPSIZE ? 0 : ENOPROTOOPT;
	switch (name) {
	case RDMA_SQSIZE:
		rs->opt.sqsize = clamp(value, QUEUE_MIN, QUEUE_MAX);
		return 0;
	case RDMA_RQSIZE:
		rs->opt.rqsize = clamp(value, QUEUE_MIN, QUEUE_MAX);
		return 0;
	case RDMA_INLINE:
		rs->opt.inline_bytes = clamp(value, 0, RS_INLINE_MAX);
		return 0;
	case RDMA_IOMAPSIZE:
		rs->opt.iomaps = clamp(value, 0, RS_IOMAPS_MAX);
		return 0;
	default:
		return ENOPROTOOPT;
	}
}

/* There is one path to each address; it is known when the address is. */
static int set_route(struct rsock *rs, const void *value, socklen_t len)
{
	(void)rs;
	return value && len >= sizeof(struct ibv_path_data) ? 0 : EINVAL;
}

static int set_timeout(struct timeval *timeout, const void *value, socklen_t len)
{
	struct timeval is;

	if (len < sizeof(is))
		return EINVAL;
	memcpy(&is, value, sizeof(is));
	if (is.tv_usec < 0 || is.tv_usec >= 1000000)
		return EDOM;
	/* As with the system's, one that is over doesn't wait. */
	if (is.tv_sec < 0)
		is = (struct timeval){ .tv_usec = 1 };
	is.tv_sec = RS_MIN(is.tv_sec, SECONDS_MAX);
	*timeout = is;
	return 0;
}

static struct timeval *timeout_of(struct rsock *rs, int level, int name)
{
	if (level != SOL_SOCKET)
		return NULL;
	return name == SO_RCVTIMEO ? &rs->opt.rcvtimeo : name == SO_SNDTIMEO ? &rs->opt.sndtimeo : NULL;
}

static int set_option(struct rsock *rs, int level, int name, const void *value, socklen_t len)
{
	bool unconnected = rs->state == RS_IDLE || rs->state == RS_LISTENING;
	int number;

	if (level == SOL_RDMA && name == RDMA_ROUTE)
		return set_route(rs, value, len);
	if (level == SOL_SOCKET && name == SO_LINGER) {
		if (len < sizeof(rs->opt.linger))
			return EINVAL;
		memcpy(&rs->opt.linger, value, sizeof(rs->opt.linger));
		return 0;
	}
	if (timeout_of(rs, level, name))
		return set_timeout(timeout_of(rs, level, name), value, len);
	if (len < sizeof(number))
		return EINVAL;
	memcpy(&number, value, sizeof(number));
	switch (level) {
	case SOL_SOCKET:
		return set_socket(rs, name, number, unconnected);
	case IPPROTO_TCP:
		return set_tcp(rs, name, number);
	case IPPROTO_IPV6:
		return set_ipv6(rs, name, number);
	case SOL_RDMA:
		return set_rdma(rs, name, number, unconnected);
	default:
		return ENOPROTOOPT;
	}
}

RS_EXPORT int rsetsockopt(int socket, int level, int optname, const void *optval, socklen_t optlen)
{
	struct rsock *rs = rs_get(socket);
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	err = optval ? set_option(rs, level, optname, optval, optlen) : EFAULT;
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

/* --- get --- */

static int take_error(struct rsock *rs)
{
	int err;

	rs_progress(rs);
	err = rs->err;
	rs->err = 0;
	return err;
}

static int get_socket(struct rsock *rs, int name, int *value)
{
	switch (name) {
	case SO_ERROR:
		*value = take_error(rs);
		return 0;
	case SO_RCVBUF:
		*value = rs->opt.rcvbuf;
		return 0;
	case SO_SNDBUF:
		*value = rs->opt.sndbuf;
		return 0;
	case SO_REUSEADDR:
		*value = rs->opt.reuse;
		return 0;
	case SO_KEEPALIVE:
		*value = rs->opt.keepalive;
		return 0;
	case SO_OOBINLINE:
		*value = rs->opt.oobinline;
		return 0;
	case SO_TYPE:
		*value = rs->type;
		return 0;
	case SO_DOMAIN:
		*value = rs->domain;
		return 0;
	case SO_PROTOCOL:
		*value = rs->type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
		return 0;
	case SO_ACCEPTCONN:
		*value = rs->state == RS_LISTENING;
		return 0;
	default:
		return ENOPROTOOPT;
	}
}

/* What a packet of the path carries; before there is one, what the port could. */
static int segment(struct rsock *rs)
{
	struct ibv_port_attr port;

	if (!rs->id->verbs || ibv_query_port(rs->id->verbs, rs->id->port_num, &port))
		return 1024;
	return 128 << port.active_mtu;
}

static int get_tcp(struct rsock *rs, int name, int *value)
{
	switch (name) {
	case TCP_NODELAY:
		*value = rs->opt.nodelay;
		return 0;
	case TCP_KEEPIDLE:
		*value = rs->opt.keepidle;
		return 0;
	case TCP_KEEPCNT:
		*value = rs->opt.keepcnt;
		return 0;
	case TCP_KEEPINTVL:
		*value = rs->opt.keepintvl;
		return 0;
	case TCP_MAXSEG:
		*value = segment(rs);
		return 0;
	default:
		return ENOPROTOOPT;
	}
}

static int get_rdma(struct rsock *rs, int name, int *value)
{
	switch (name) {
	case RDMA_SQSIZE:
		*value = rs->opt.sqsize;
		return 0;
	case RDMA_RQSIZE:
		*value = rs->opt.rqsize;
		return 0;
	case RDMA_INLINE:
		*value = rs->opt.inline_bytes;
		return 0;
	case RDMA_IOMAPSIZE:
		*value = rs->opt.iomaps;
		return 0;
	default:
		return ENOPROTOOPT;
	}
}

static int get_number(struct rsock *rs, int level, int name, int *value)
{
	switch (level) {
	case SOL_SOCKET:
		return get_socket(rs, name, value);
	case IPPROTO_TCP:
		return get_tcp(rs, name, value);
	case IPPROTO_IPV6:
		*value = rs->opt.v6only;
		return name == IPV6_V6ONLY && rs->domain == AF_INET6 ? 0 : ENOPROTOOPT;
	case SOL_RDMA:
		return get_rdma(rs, name, value);
	default:
		return ENOPROTOOPT;
	}
}

/* As much as there is room for. */
static int give(const void *from, socklen_t is, void *to, socklen_t *len)
{
	if (*len > INT32_MAX)
		return EINVAL;
	*len = RS_MIN(*len, is);
	memcpy(to, from, *len);
	return 0;
}

static int get_route(const struct rsock *rs, void *value, socklen_t *len)
{
	const struct ibv_sa_path_rec *path = rs->id->route.path_rec;
	struct ibv_path_data data = { .flags = IBV_PATH_FLAG_GMP | IBV_PATH_FLAG_PRIMARY |
					       IBV_PATH_FLAG_BIDIRECTIONAL };

	if (!rs->id->route.num_paths)
		return ENOTCONN;
	data.path.dgid = path->dgid;
	data.path.sgid = path->sgid;
	data.path.dlid = path->dlid;
	data.path.slid = path->slid;
	data.path.pkey = path->pkey;
	data.path.tclass = path->traffic_class;
	data.path.reversible_numpath = 0x80 | 1;
	data.path.mtu = (uint8_t)(2 << 6 | path->mtu);
	data.path.rate = (uint8_t)(2 << 6 | path->rate);
	return give(&data, sizeof(data), value, len);
}

static int get_option(struct rsock *rs, int level, int name, void *value, socklen_t *len)
{
	int number = 0, err;

	if (level == SOL_SOCKET && name == SO_LINGER)
		return give(&rs->opt.linger, sizeof(rs->opt.linger), value, len);
	if (level == SOL_RDMA && name == RDMA_ROUTE)
		return get_route(rs, value, len);
	if (timeout_of(rs, level, name))
		return give(timeout_of(rs, level, name), sizeof(struct timeval), value, len);
	err = get_number(rs, level, name, &number);
	return err ? err : give(&number, sizeof(number), value, len);
}

RS_EXPORT int rgetsockopt(int socket, int level, int optname, void *optval, socklen_t *optlen)
{
	struct rsock *rs = rs_get(socket);
	int err;

	if (!rs)
		return -1;
	pthread_mutex_lock(&rs->lock);
	err = optval && optlen ? get_option(rs, level, optname, optval, optlen) : EFAULT;
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return err ? rs_fail(err) : 0;
}

/* --- fcntl --- */

RS_EXPORT int rfcntl(int socket, int cmd, ...)
{
	struct rsock *rs = rs_get(socket);
	int arg = 0, ret = 0;
	va_list ap;

	if (!rs)
		return -1;
	if (cmd == F_SETFL || cmd == F_SETFD) {
		va_start(ap, cmd);
		arg = va_arg(ap, int);
		va_end(ap);
	}
	pthread_mutex_lock(&rs->lock);
	switch (cmd) {
	case F_GETFL:
		ret = O_RDWR | (rs->nonblocking ? O_NONBLOCK : 0);
		break;
	case F_SETFL:
		rs->nonblocking = arg & O_NONBLOCK;
		break;
	case F_GETFD:
	case F_SETFD:
		ret = fcntl(rs->fd, cmd, arg);
		break;
	default:
		ret = rs_fail(EINVAL);
	}
	pthread_mutex_unlock(&rs->lock);
	rs_put(rs);
	return ret;
}
