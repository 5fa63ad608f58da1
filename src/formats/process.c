/* Child processes over posix_spawn. */
#include "formats/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

extern char **environ;

enum { TICK_MILLISECONDS = 100, PATIENCE = 30 /* ticks between the polite and the last signal */ };

/* The present environment with some variables replaced; the list is new, its
 * strings are borrowed. */
static char **make_environment(const char *const *set) {
  size_t count = 0, more = 0, kept = 0;
  while (environ[count]) count++;
  while (set[more]) more++;
  char **list = tx_alloc_array(count + more + 1, sizeof *list);
  if (!list) return NULL;
  for (size_t i = 0; i < count; i++) {
    bool replaced = false;
    for (size_t j = 0; j < more; j++) {
      size_t name = strcspn(set[j], "=") + 1;
      replaced = replaced || strncmp(environ[i], set[j], name) == 0;
    }
    if (!replaced) list[kept++] = environ[i];
  }
  for (size_t j = 0; j < more; j++) list[kept++] = (char *)(uintptr_t)set[j];
  list[kept] = NULL;
  return list;
}

/* The child gets its own process group, so that all it starts can be ended, and
 * the signals of a fresh program.  Returns 0 or an errno. */
static int spawn(const tx_process *process, char **environment, int complaints, pid_t *child) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int code = posix_spawn_file_actions_init(&actions);
  if (code) return code;
  code = posix_spawnattr_init(&attributes);
  if (code) {
    posix_spawn_file_actions_destroy(&actions);
    return code;
  }
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  static const int signals[] = {SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGQUIT, SIGCHLD};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(&usual, signals[i]);
  code = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (!code) code = posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  if (!code) code = posix_spawn_file_actions_adddup2(&actions, complaints, 2);
  if (!code) code = posix_spawnattr_setpgroup(&attributes, 0);
  if (!code) code = posix_spawnattr_setsigmask(&attributes, &none);
  if (!code) code = posix_spawnattr_setsigdefault(&attributes, &usual);
  if (!code) {
    code = posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  if (!code) {
    code = posix_spawnp(child, process->arguments[0], &actions, &attributes,
                        (char *const *)(uintptr_t)process->arguments, environment);
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return code;
}

/* Takes what is there to read, keeping the last part; false at the end. */
static bool drain(int pipe, tx_buffer *complaint) {
  char bytes[4096];
  for (;;) {
    ssize_t got = read(pipe, bytes, sizeof bytes);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    if (complaint->size + (size_t)got > TX_PROCESS_COMPLAINT) {
      size_t keep =
          complaint->size < TX_PROCESS_COMPLAINT / 2 ? complaint->size : TX_PROCESS_COMPLAINT / 2;
      memmove(complaint->data, complaint->data + complaint->size - keep, keep);
      complaint->size = keep;
    }
    tx_buffer_append(complaint, bytes, (size_t)got);
  }
}

/* Whether the child has ended.  A caller that ignores SIGCHLD leaves nothing to
 * wait for: the child is then taken to have ended well. */
static bool has_ended(pid_t child, int *code) {
  int state;
  pid_t ended = waitpid(child, &state, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return false;
  *code = ended < 0 ? 0 : WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  return true;
}

static void end_child(pid_t child) {
  int code;
  kill(-child, SIGTERM);
  for (int i = 0; i < PATIENCE; i++) {
    if (has_ended(child, &code)) return;
    poll(NULL, 0, TICK_MILLISECONDS);
  }
  kill(-child, SIGKILL);
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
}

static tx_status wait_for(const tx_process *process, pid_t child, int pipe, int *code,
                          tx_buffer *complaint, tx_error *error) {
  bool open = true;
  for (;;) {
    if (process->tick && !process->tick(process->context)) {
      end_child(child);
      return tx_fail(error, TX_ERROR_INTERRUPTED, "interrupted while %s ran",
                     process->arguments[0]);
    }
    bool ended = has_ended(child, code);
    if (open) open = drain(pipe, complaint);
    if (ended) return TX_OK;
    struct pollfd wanted = {open ? pipe : -1, POLLIN, 0};
    poll(&wanted, 1, TICK_MILLISECONDS);
  }
}

tx_status tx_process_run(const tx_process *process, int *code, tx_buffer *complaint,
                         tx_error *error) {
  static const char *const nothing[] = {NULL};
  char **environment = make_environment(process->environment ? process->environment : nothing);
  if (!environment) return tx_fail_memory(error, 0, "an environment");
  int ends[2];
  if (pipe2(ends, O_CLOEXEC)) {
    tx_free(environment);
    return tx_fail_errno(error, "make a pipe for", process->arguments[0]);
  }
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  pid_t child = 0;
  int failed = spawn(process, environment, ends[1], &child);
  tx_free(environment);
  close(ends[1]);
  tx_status status = TX_OK;
  if (failed == ENOENT || failed == EACCES) {
    *code = TX_PROCESS_MISSING;
  } else if (failed) {
    errno = failed;
    status = tx_fail_errno(error, "start", process->arguments[0]);
  } else {
    status = wait_for(process, child, ends[0], code, complaint, error);
  }
  close(ends[0]);
  return status;
}
