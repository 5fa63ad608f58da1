/* How long work is shown and stopped: a bar on standard error when that is a
 * terminal, notes as lines, and the signals that end a call.  What was done by
 * then is the verb's to say. */
#ifndef TAXON_CLI_PROGRESS_H
#define TAXON_CLI_PROGRESS_H

#include "cli.h"

typedef struct progress {
  bool bar, notes; /* wanted */
  char stage[64];
  int64_t first;         /* `done` at the stage's first report */
  double started, drawn; /* seconds, of the stage and of the last drawing */
} progress;

/* Watches for SIGINT and SIGTERM from here on: the first asks the call to end,
 * the second ends the program. */
void progress_begin(progress *state, bool quiet);
void progress_end(progress *state); /* wipes the bar */

tx_watch progress_watch(progress *state);       /* for a call of the library */
tx_watch progress_watch_quiet(progress *state); /* the same without its reports */

void progress_report(progress *state, const char *stage, int64_t done, int64_t total,
                     const char *unit);
void progress_note(progress *state, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool progress_interrupted(void);

/* Waits until `descriptor` can be read, at most `milliseconds` (-1: for ever).
 * False: not ready in time, or interrupted. */
bool progress_wait_input(int descriptor, int milliseconds);

#endif
