/* Runs a command of taxon again and again, each time with another call failing.
 *
 *   faults FOLDER KIND once|good EVERY STRIDE [--in FILE] -- taxon's arguments
 *   faults --count FOLDER [--in FILE] -- taxon's arguments
 *
 * KIND is alloc, read, write, sync, rename, map, thread, open or close.  Every n
 * up to EVERY is tried, then each STRIDE-th.  Each try is a child of fork(), in an
 * empty folder with an artifact out.taxon of an earlier day in it.  It must end
 *   with status 4 and one sentence, the old artifact in its place byte for byte
 *     (or, when the failure came after the rename, the new one, whole), no other
 *     file beside it, and no more memory in use than a good run has at its end; or
 *   with status 0 and what a good run prints and writes: a thread that cannot be
 *     started (never a failure), a buffer or a compiled expression that is done
 *     without, a file that was only read and does not close, random bytes that come
 *     at the second attempt, an entry of a cache that is not written.
 * Where something was left in the home directory, a good run follows that must
 * find it in order.  Prints the first tries that did not, and a line of numbers.
 *
 * In the environment, for whoever looks for a cause: FAULTS_FROM=n begins there,
 * FAULTS_TRACE=1 shows for each try where the failing call was made. */
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int taxon_main(int count, char **arguments);

enum { CONTENT = 1 << 20, TOLD = 5, SECONDS = 120 };

static const char *const kinds[FAULTS_KINDS] = {"alloc", "read",   "write", "sync", "rename",
                                                "map",   "thread", "open",  "close"};
static const char old_artifact[] = "the artifact of an earlier day\n";

typedef struct content {
  size_t size;
  bool there;
  char data[CONTENT];
} content;

typedef struct outcome {
  int status; /* as waitpid() gives it */
  content out, err, artifact;
  int others;    /* files beside the expected ones */
  bool home;     /* something lies in the home directory */
  char other[300];
  int64_t own, foreign; /* blocks at the end; -1: it did not come to the end of main */
} outcome;

static char folder[3000];
static const char *input = "/dev/null";
static char **command;
static int command_count;
static outcome good, tried;

static void give_up(const char *what) {
  fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
  exit(2);
}

static const char *path_of(const char *name) {
  static char path[4000];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void read_content(const char *name, content *into) {
  into->size = 0;
  int file = open(path_of(name), O_RDONLY | O_CLOEXEC);
  into->there = file >= 0;
  if (file < 0) return;
  ssize_t got;
  while ((got = read(file, into->data + into->size, CONTENT - 1 - into->size)) > 0) {
    into->size += (size_t)got;
  }
  into->data[into->size] = '\0';
  close(file);
}

/* Removes what is below a folder, which stays. */
static void empty(const char *path) {
  DIR *list = opendir(path);
  if (!list) return;
  const struct dirent *entry;
  while ((entry = readdir(list))) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    char inner[4000];
    snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
    if (unlink(inner) == 0) continue;
    empty(inner);
    rmdir(inner);
  }
  closedir(list);
}

static void prepare(void) {
  empty(folder);
  int file = open(path_of("out.taxon"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0 || write(file, old_artifact, sizeof old_artifact - 1) < 0) give_up(folder);
  close(file);
}

/* ---- a try ------------------------------------------------------------- */

static void redirect(const char *path, int flags, int to) {
  int file = open(path, flags, 0644);
  if (file < 0 || dup2(file, to) < 0) give_up(path);
  close(file);
}

static void child(void) {
  alarm(SECONDS);
  redirect(input, O_RDONLY, STDIN_FILENO);
  redirect(path_of("stdout"), O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  redirect(path_of("stderr"), O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
  if (chdir(folder) != 0 || !faults_take_output()) give_up(folder);
  faults->armed = true;
  int status = taxon_main(command_count, command);
  faults->armed = false;
  fflush(stdout);
  faults->at = -1; /* main has come to its end */
  exit(status);
}

static void look_around(outcome *result) {
  read_content("stdout", &result->out);
  read_content("stderr", &result->err);
  read_content("out.taxon", &result->artifact);
  result->others = 0;
  result->home = false;
  DIR *list = opendir(folder);
  if (!list) give_up(folder);
  const struct dirent *entry;
  while ((entry = readdir(list))) {
    const char *name = entry->d_name;
    if (strcmp(name, "home") == 0) result->home = true;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "home") == 0 ||
        strcmp(name, "stdout") == 0 || strcmp(name, "stderr") == 0 ||
        strcmp(name, "out.taxon") == 0) {
      continue;
    }
    result->others++;
    snprintf(result->other, sizeof result->other, "%s", name);
  }
  closedir(list);
}

/* In the folder as it is. */
static void run(int kind, int64_t at, bool for_good, outcome *result) {
  memset(faults, 0, sizeof *faults);
  faults->kind = kind;
  faults->at = at;
  faults->for_good = for_good;
  faults->traced = getenv("FAULTS_TRACE") != NULL;
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) give_up("fork");
  if (pid == 0) child();
  while (waitpid(pid, &result->status, 0) < 0) {
    if (errno != EINTR) give_up("waitpid");
  }
  faults->armed = false;
  bool ended = faults->at == -1;
  result->own = ended ? atomic_load(&faults->own) : -1;
  result->foreign = ended ? atomic_load(&faults->foreign) : -1;
  look_around(result);
}

/* ---- the verdict ------------------------------------------------------- */

/* Lines that tell how long it took, or how much memory, differ each time. */
static bool is_measured(const char *line, size_t size) {
  static const char *const words[] = {"time", "memory", "second", "tokens/s"};
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (memmem(line, size, words[i], strlen(words[i]))) return true;
  }
  /* The table of quantize: its heading says texts/s, its rows only how many. */
  return size > 5 && (memcmp(line, "f32  ", 5) == 0 || memcmp(line, "int8 ", 5) == 0);
}

static size_t next_line(const content *text, size_t *at, const char **line) {
  while (*at < text->size) {
    *line = text->data + *at;
    const char *end = memchr(*line, '\n', text->size - *at);
    size_t size = end ? (size_t)(end - *line) + 1 : text->size - *at;
    *at += size;
    if (!is_measured(*line, size)) return size;
  }
  return 0;
}

static bool same_text(const content *a, const content *b) {
  size_t at = 0, bt = 0;
  for (;;) {
    const char *x = NULL, *y = NULL;
    size_t m = next_line(a, &at, &x), n = next_line(b, &bt, &y);
    if (m != n || (m > 0 && memcmp(x, y, m) != 0)) return false;
    if (m == 0) return true;
  }
}

static bool same_bytes(const content *a, const content *b) {
  return a->there == b->there && a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static bool is_old(const content *artifact) {
  return artifact->there && artifact->size == sizeof old_artifact - 1 &&
         memcmp(artifact->data, old_artifact, artifact->size) == 0;
}

static bool is_one_sentence(const content *err) {
  return err->size > 20 && strncmp(err->data, "taxon", 5) == 0 &&
         strchr(err->data, '\n') == err->data + err->size - 1;
}

/* What is written must be there; only a cache, which lies in the home directory,
 * may be missing in the end.  A failure for good meets what is written last, too. */
static bool is_weighty(int kind) {
  return kind == FAULTS_WRITE || kind == FAULTS_SYNC || kind == FAULTS_RENAME;
}

/* NULL: as it should be. */
static const char *judge(int kind, const outcome *o) {
  if (WIFSIGNALED(o->status)) return strsignal(WTERMSIG(o->status));
  int status = WEXITSTATUS(o->status);
  if (faults->traced) { /* standard error has more than the program's words */
    if (status != 0 && status != 4) return "the status is neither 4 nor 0";
  } else if (status == 0) {
    if (is_weighty(kind) && (faults->for_good || !o->home)) return "it succeeds all the same";
    if (!same_text(&o->out, &good.out)) return "it succeeds and prints something else";
    if (!same_bytes(&o->artifact, &good.artifact)) return "it succeeds with another artifact";
    if (o->err.size > good.err.size) return "it succeeds and complains";
  } else if (status != 4) {
    return "the status is neither 4 nor 0";
  } else if (kind == FAULTS_THREAD) {
    return "it fails for want of a thread";
  } else if (!is_one_sentence(&o->err)) {
    return "standard error does not hold one sentence";
  } else if (!is_old(&o->artifact) && !same_bytes(&o->artifact, &good.artifact)) {
    return "the artifact is harmed";
  }
  if (o->others > 0) return "a file is left";
  if (o->own > good.own) return "memory of the program is lost";
  if (o->foreign > good.foreign) return "memory of a library is lost";
  return NULL;
}

static void tell(int64_t at, const char *wrong, const outcome *o) {
  printf("  call %lld: %s; status %d, blocks %lld and %lld", (long long)at, wrong,
         WIFEXITED(o->status) ? WEXITSTATUS(o->status) : -WTERMSIG(o->status), (long long)o->own,
         (long long)o->foreign);
  if (o->others) printf(", left: %s", o->other);
  printf("\n%s%s", o->err.size ? "    " : "", o->err.data);
}

typedef struct tally {
  int64_t tries, refused, harmless, wrong;
} tally;

/* False: call `at` was never made. */
static bool try_call(int kind, int64_t at, bool for_good, tally *sum) {
  prepare();
  run(kind, at, for_good, &tried);
  if (atomic_load(&faults->failed) == 0) return false;
  const char *wrong = judge(kind, &tried);
  bool refused = WIFEXITED(tried.status) && WEXITSTATUS(tried.status) == 4;
  if (!wrong && refused && tried.home) {
    run(FAULTS_KINDS, 0, false, &tried);
    wrong = judge(FAULTS_KINDS, &tried);
    if (!wrong && WEXITSTATUS(tried.status) != 0) wrong = "the run after it fails";
  }
  sum->tries++;
  sum->refused += refused;
  sum->harmless += !refused;
  sum->wrong += wrong != NULL;
  if (wrong ? sum->wrong <= TOLD : getenv("FAULTS_TRACE") != NULL) {
    tell(at, wrong ? wrong : refused ? "refused" : "harmless", &tried);
  }
  return true;
}

static void run_good(void) {
  prepare();
  run(FAULTS_KINDS, 0, false, &good);
  if (WIFEXITED(good.status) && WEXITSTATUS(good.status) == 0 && good.own >= 0) return;
  printf("FAIL without any failure: status %d\n%s", good.status, good.err.data);
  exit(1);
}

static int count_calls(void) {
  for (int i = 0; i < FAULTS_KINDS; i++) {
    printf("%s %lld, ", kinds[i], (long long)atomic_load(&faults->calls[i]));
  }
  printf("of the memory %lld by libraries; in use at the end: %lld and %lld blocks\n",
         (long long)atomic_load(&faults->by_libraries), (long long)good.own,
         (long long)good.foreign);
  return 0;
}

static int usage(void) {
  fputs("usage: faults FOLDER KIND once|good EVERY STRIDE [--in FILE] -- ARGUMENTS\n", stderr);
  return 2;
}

int main(int count, char **arguments) {
  bool counting = count > 2 && strcmp(arguments[1], "--count") == 0;
  int at = counting ? 3 : 6, kind = 0;
  if (count <= at) return usage();
  if (!realpath(arguments[counting ? 2 : 1], folder)) give_up(arguments[counting ? 2 : 1]);
  if (strcmp(arguments[at], "--in") == 0 && count > at + 2) {
    input = arguments[at + 1];
    at += 2;
  }
  command = arguments + at; /* "--" stands where the program's name does */
  command_count = count - at;
  faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (faults == MAP_FAILED) give_up("mmap");
  run_good();
  if (counting) return count_calls();
  while (kind < FAULTS_KINDS && strcmp(kinds[kind], arguments[2]) != 0) kind++;
  if (kind == FAULTS_KINDS) return usage();
  bool for_good = strcmp(arguments[3], "good") == 0;
  int64_t calls = atomic_load(&faults->calls[kind]), every = atoll(arguments[4]);
  int64_t stride = atoll(arguments[5]);
  tally sum = {0, 0, 0, 0};
  for (int64_t n = getenv("FAULTS_FROM") ? atoll(getenv("FAULTS_FROM")) : 1; n <= calls;
       n += n < every || stride < 1 ? 1 : stride) {
    if (!try_call(kind, n, for_good, &sum)) break;
  }
  printf("%lld of %lld %s calls failed %s: %lld refused, %lld harmless, %lld wrong\n",
         (long long)sum.tries, (long long)calls, kinds[kind], for_good ? "for good" : "once",
         (long long)sum.refused, (long long)sum.harmless, (long long)sum.wrong);
  return sum.wrong > 0;
}
