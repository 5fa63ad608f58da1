/* The bar is one line, redrawn at most ten times a second. */
#include "progress.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

/* Written by the signal handler. */
static volatile sig_atomic_t interrupted;
/* Whether a bar stands on the terminal, for the handler to wipe it. */
static volatile sig_atomic_t bar_stands;

static const char WIPE[] = "\r\033[K";

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- signals ----------------------------------------------------------- */

static void on_signal(int number) {
  (void)number;
  if (interrupted) {
    if (bar_stands && write(STDERR_FILENO, WIPE, sizeof WIPE - 1) < 0) _exit(CLI_INTERRUPTED);
    _exit(CLI_INTERRUPTED);
  }
  interrupted = 1;
}

static void watch_signal(int number) {
  struct sigaction action = {.sa_handler = on_signal}, old; /* no SA_RESTART: reads must end */
  sigemptyset(&action.sa_mask);
  if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
    sigaction(number, &action, NULL);
  }
}

bool progress_interrupted(void) { return interrupted != 0; }

bool progress_wait_input(int descriptor, int milliseconds) {
  struct pollfd wait = {.fd = descriptor, .events = POLLIN};
  struct timespec time = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
  sigset_t both, before;
  sigemptyset(&both);
  sigaddset(&both, SIGINT);
  sigaddset(&both, SIGTERM);
  /* Blocked between the look at the flag and the wait, or a signal in between
   * would be slept through. */
  sigprocmask(SIG_BLOCK, &both, &before);
  int ready = 0;
  if (!interrupted) ready = ppoll(&wait, 1, milliseconds < 0 ? NULL : &time, &before);
  sigprocmask(SIG_SETMASK, &before, NULL);
  return ready > 0;
}

/* ---- the bar ----------------------------------------------------------- */

static void wipe(void) {
  if (!bar_stands) return;
  fputs(WIPE, stderr);
  fflush(stderr);
  bar_stands = 0;
}

static bool is_bytes(const char *unit) {
  return unit && (strcmp(unit, "bytes") == 0 || strcmp(unit, "byte") == 0);
}

static void print_count(FILE *out, int64_t count, const char *unit) {
  char number[OUT_NUMBER];
  fputs(is_bytes(unit) ? out_size(count, number) : out_grouped(count, number), out);
}

static void print_rate(FILE *out, double rate, const char *unit) {
  char number[OUT_NUMBER];
  if (is_bytes(unit)) {
    fprintf(out, "  %s/s", out_size((int64_t)rate, number));
  } else if (rate >= 100) {
    fprintf(out, "  %s/s", out_grouped((int64_t)rate, number));
  } else {
    fprintf(out, "  %.1f/s", rate);
  }
}

static void print_left(FILE *out, double seconds) {
  long left = seconds < 359999 ? (long)(seconds + 0.5) : 359999;
  if (left >= 3600) {
    fprintf(out, "  %ld:%02ld:%02ld left", left / 3600, left / 60 % 60, left % 60);
  } else {
    fprintf(out, "  %ld:%02ld left", left / 60, left % 60);
  }
}

static void print_bar(FILE *out, double share) {
  enum { WIDTH = 20 };
  int full = (int)(share * WIDTH);
  fputs("  [", out);
  for (int i = 0; i < WIDTH; i++) putc(i < full ? '=' : i == full ? '>' : ' ', out);
  fprintf(out, "] %3d %%", (int)(share * 100));
}

static size_t terminal_width(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void draw(const progress *state, int64_t done, int64_t total, const char *unit) {
  char *line = NULL;
  size_t size = 0;
  FILE *out = open_memstream(&line, &size);
  if (!out) return;
  double seconds = now() - state->started;
  double rate = seconds > 0.2 ? (double)(done - state->first) / seconds : 0;
  fputs(state->stage, out);
  bool wide = terminal_width() >= 72; /* else the figures matter more */
  if (total > 0 && wide) print_bar(out, done >= total ? 1 : (double)done / (double)total);
  fputs("  ", out);
  print_count(out, done, unit);
  if (total > 0) putc('/', out), print_count(out, total, unit);
  if (unit && !is_bytes(unit)) fprintf(out, " %s", unit);
  if (rate > 0) print_rate(out, rate, unit);
  if (rate > 0 && total > done) print_left(out, (double)(total - done) / rate);
  if (fclose(out) == 0 && line) {
    char *shown = out_cut(line, terminal_width() - 1);
    fprintf(stderr, "%s%s", WIPE, shown);
    fflush(stderr);
    bar_stands = 1;
    free(shown);
  }
  free(line);
}

void progress_report(progress *state, const char *stage, int64_t done, int64_t total,
                     const char *unit) {
  if (!state->bar || done < 0) return;
  double time = now();
  bool begins = strncmp(stage, state->stage, sizeof state->stage - 1) != 0 || done < state->first;
  if (begins) {
    snprintf(state->stage, sizeof state->stage, "%s", stage);
    state->first = done;
    state->started = time;
  }
  if (time - state->drawn < (begins ? 0.03 : 0.1)) return;
  state->drawn = time;
  draw(state, done, total, unit);
}

void progress_note(progress *state, const char *format, ...) {
  if (!state->notes) return;
  char sentence[2048];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  char *visible = out_visible(tx_text_of(sentence));
  wipe();
  fprintf(stderr, "%s\n", visible);
  free(visible);
}

/* ---- the watch --------------------------------------------------------- */

static void watch_report(void *context, const char *stage, int64_t done, int64_t total,
                         const char *unit) {
  progress_report(context, stage, done, total, unit);
}

static void watch_note(void *context, const char *sentence) {
  progress_note(context, "%s", sentence);
}

static bool watch_cancelled(void *context) {
  (void)context;
  return interrupted != 0;
}

tx_watch progress_watch(progress *state) {
  return (tx_watch){watch_report, watch_note, watch_cancelled, state};
}

tx_watch progress_watch_quiet(progress *state) {
  return (tx_watch){NULL, watch_note, watch_cancelled, state};
}

void progress_begin(progress *state, bool quiet) {
  const char *kind = getenv("TERM");
  bool terminal = isatty(STDERR_FILENO) && !(kind && strcmp(kind, "dumb") == 0);
  *state = (progress){.bar = terminal && !quiet, .notes = !quiet};
  watch_signal(SIGINT);
  watch_signal(SIGTERM);
}

void progress_end(progress *state) {
  (void)state;
  wipe();
}
