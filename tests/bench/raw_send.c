/* Sends prepared netlink blocks as fast as C can: the peer of bench_apply.py.
 *
 *   raw_send NAMESPACE-FILE BLOCKS-FILE [yield]
 *
 * The blocks file holds, for each block, a native u32, its length, and the bytes.  The last message
 * of a block asks for an ack, which is awaited; with yield the CPU is let go then.  Prints the
 * microseconds from the opening of the socket to the last ack.
 *
 * The start of a process leaves work to RCU, which delays the kernel's first doublings of its
 * tables; so it waits a while before it begins, as its peer, which runs already, need not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	static char answer[16384];
	struct stat st;
	char *data, *at, *end;
	int fd, s, size = 4 << 20;
	double began;

	if (argc < 3)
		return 2;
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("namespace");
	fd = open(argv[2], O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		die("blocks");
	data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED)
		die("mmap");
	usleep(200000);
	began = now();
	s = socket(AF_NETLINK, SOCK_RAW, NETLINK_XFRM);
	if (s < 0)
		die("socket");
	setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
	setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
	end = data + st.st_size;
	for (at = data; at < end;) {
		uint32_t length;
		struct nlmsghdr *header = (struct nlmsghdr *)answer;

		memcpy(&length, at, 4);
		at += 4;
		if (send(s, at, length, 0) != (ssize_t)length)
			die("send");
		at += length;
		if (recv(s, answer, sizeof answer, 0) < (ssize_t)sizeof *header)
			die("recv");
		if (header->nlmsg_type != NLMSG_ERROR || *(int *)NLMSG_DATA(header)) {
			fprintf(stderr, "refused: %d\n", *(int *)NLMSG_DATA(header));
			return 1;
		}
		if (argc > 3)
			sched_yield();
	}
	printf("%.0f\n", now() - began);
	return 0;
}
