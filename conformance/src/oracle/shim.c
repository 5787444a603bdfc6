/* Loaded into the process of a user-mode Linux kernel (LD_PRELOAD), for two things that its command line cannot ask for.
 *
 * getrandom() gives the same bytes in every run, from NETPLUMB_SHIM_SEED: they seed the guest's generator, and with it
 * initial sequence numbers, ports and hash secrets.
 *
 * With NETPLUMB_SHIM_FXSAVE set, reading the extended registers of a traced process fails as on a processor without
 * them, so that the kernel saves the older set instead. UML 6.1 has no room for what AVX-512 and AMX add.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t getrandom(void *buffer, size_t length, unsigned int flags)
{
	static uint64_t state;
	static int seeded;
	unsigned char *out = buffer;

	(void)flags;
	if (!seeded) {
		const char *seed = getenv("NETPLUMB_SHIM_SEED");

		state = seed ? strtoull(seed, NULL, 10) : 1;
		seeded = 1;
	}
	/* xorshift64*: any generator will do, its quality is not the point. */
	state |= state == 0;
	for (size_t n = 0; n < length; n++) {
		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		out[n] = (unsigned char)((state * 0x2545f4914f6cdd1dULL) >> 56);
	}
	return (ssize_t)length;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	pid_t pid;
	void *address, *data;
	long value, word = 0;
	int peeks = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);
	if (request == PTRACE_GETREGSET && (uintptr_t)address == NT_X86_XSTATE && getenv("NETPLUMB_SHIM_FXSAVE")) {
		errno = EIO;
		return -1;
	}
	/* The system call stores what it peeked, the function of the C library returns it. */
	value = syscall(SYS_ptrace, (long)request, (long)pid, address, peeks ? (void *)&word : data);
	if (peeks && value >= 0) {
		errno = 0;
		return word;
	}
	return value;
}
