/* Runs a program and kills it, by SIGKILL, at a call that changes what is on
 * disk: what a power cut or the system's out-of-memory killer may do at the
 * worst moment.
 *
 *   kill_at before|after N COMMAND [ARGUMENT...]
 *
 * N counts, from 1, the calls of the program's first thread that open a file
 * for writing, write to anything but the standard streams, sync, rename, remove
 * or lock.  Exit status: 137 when it was killed, the program's own when
 * it ended before that, 77 where tracing is not permitted. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

enum { NOT_PERMITTED = 77, KILLED = 137 };

static bool changes(const struct ptrace_syscall_info *info) {
  const __u64 *arguments = info->entry.args;
  switch (info->entry.nr) {
    case SYS_openat:
      return (arguments[2] & (O_WRONLY | O_RDWR | O_CREAT)) != 0;
    case SYS_write:
    case SYS_pwrite64:
      return arguments[0] > STDERR_FILENO;
    case SYS_flock:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_renameat2:
    case SYS_renameat:
    case SYS_unlinkat:
    case SYS_mkdirat:
#ifdef SYS_rename /* the older calls, on the machines that have them */
    case SYS_rename:
    case SYS_unlink:
    case SYS_mkdir:
#endif
      return true;
    default:
      return false;
  }
}

static int end(pid_t child) {
  int status;
  kill(child, SIGKILL);
  while (waitpid(child, &status, 0) == child && !WIFEXITED(status) && !WIFSIGNALED(status)) {
  }
  return KILLED;
}

/* The child stands before its program's first instruction. */
static int trace(pid_t child, bool after, long most) {
  bool counted = false; /* the call in work is one that counts */
  long count = 0;
  int status, pass = 0;
  for (;;) {
    if (ptrace(PTRACE_SYSCALL, child, NULL, pass) != 0) return end(child);
    if (waitpid(child, &status, 0) != child) return EXIT_FAILURE;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (WIFSIGNALED(status)) return 128 + WTERMSIG(status);
    pass = 0;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
      bool event = status >> 16; /* that it became another program: no signal */
      pass = event ? 0 : WSTOPSIG(status);
      continue;
    }
    struct ptrace_syscall_info info;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0) return NOT_PERMITTED;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      counted = changes(&info);
      count += counted;
      if (counted && !after && count == most) return end(child);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && counted && after && count == most) {
      return end(child);
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 4 || (strcmp(argv[1], "before") && strcmp(argv[1], "after"))) {
    fprintf(stderr, "usage: kill_at before|after N COMMAND [ARGUMENT...]\n");
    return 2;
  }
  pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(NOT_PERMITTED);
    execvp(argv[3], argv + 3);
    _exit(127);
  }
  int status;
  if (child < 0 || waitpid(child, &status, 0) != child) return EXIT_FAILURE;
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SETOPTIONS, child, NULL, options) != 0) {
    end(child);
    return NOT_PERMITTED;
  }
  return trace(child, strcmp(argv[1], "after") == 0, atol(argv[2]));
}
