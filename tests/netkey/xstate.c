/*
 * ptrace(2) for user-mode Linux on processors whose register state is larger than it knows of.
 *
 * User-mode Linux 6.1 keeps 2696 bytes of XSAVE state for a process. With AMX there are more, and
 * the host takes the state back only as a whole: it answers EFAULT
 * (arch/x86/kernel/fpu/regset.c:xstateregs_set), and the guest dies at its first process. Loaded
 * before the C library, this adds what is missing as "not in use", which is what it is: the
 * processes of the guest never ask for AMX.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KNOWN = 2696, FEATURES = 512, LARGEST = 1 << 16 };
/* Of the features in the header (XSTATE_BV) those whose state lies within the known bytes. */
static const unsigned long long known_features = 0x3ff;

static size_t whole_size(long pid)
{
	static size_t size;
	static char buffer[LARGEST] __attribute__((aligned(64)));
	struct iovec all = { buffer, sizeof buffer };

	if (!size && !syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all))
		size = all.iov_len;
	return size;
}

static long set_whole_state(long pid, const struct iovec *given)
{
	static char buffer[LARGEST] __attribute__((aligned(64)));
	struct iovec all = { buffer, whole_size(pid) };
	unsigned long long features;

	if (given->iov_len < KNOWN || given->iov_len >= all.iov_len)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, given);
	memcpy(buffer, given->iov_base, KNOWN);
	memcpy(&features, buffer + FEATURES, sizeof features);
	features &= known_features;
	memcpy(buffer + FEATURES, &features, sizeof features);
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list rest;
	long pid, result, peeked;
	void *address, *data;

	va_start(rest, request);
	pid = va_arg(rest, int);
	address = va_arg(rest, void *);
	data = va_arg(rest, void *);
	va_end(rest);
	if (request == PTRACE_SETREGSET && address == (void *)NT_X86_XSTATE)
		return set_whole_state(pid, data);
	if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
		return syscall(SYS_ptrace, request, pid, address, data);
	result = syscall(SYS_ptrace, request, pid, address, &peeked);
	if (result < 0)
		return result;
	errno = 0;
	return peeked;
}
