/* The options of `taxon train`, for the verbs that train something else: the same names, help
 * and values. */
#ifndef TAXON_CLI_TRAIN_OPTIONS_H
#define TAXON_CLI_TRAIN_OPTIONS_H

#include "options.h"

enum { TRAIN_OPTIONS_MOST = 96 };

typedef struct train train; /* what the options fill */

train *train_new(void); /* with the defaults; free() */
cli_common *train_common(train *state);
/* Its options, by number; returns how many there are. */
size_t train_options(train *state, option options[TRAIN_OPTIONS_MOST]);
/* What was asked for; strings are borrowed. */
tx_train_options train_asked(const train *state, const char *command);

#endif
