/* What stands behind the public tx_classifier. */
#ifndef TX_TASKS_CLASSIFIER_H
#define TX_TASKS_CLASSIFIER_H

#include "formats/artifact.h"
#include "formats/table.h"
#include "score/scorer.h"

struct tx_classifier {
  char *path;
  tx_gguf *artifact;
  tx_artifact_facts *facts; /* (heads) */
  char **names;             /* (heads), NUL-terminated copies; "" for an unnamed one */
  char ***labels;           /* (heads, labels of the head), NUL-terminated copies */
  size_t heads;             /* from 1 */
  size_t chosen;            /* the one that the calls of one head are about */
  tx_scorer *network;       /* owned by `scorer` */
  tx_scorer *scorer;        /* the network; of one head maybe blended with the words; NULL: only
                               read */
};

/* The artifact with its facts and labels, and the head that the options choose, but no
 * scorer: the base model need not be there. */
tx_status tx_classifier_read(const char *path, tx_classifier_options options,
                             tx_classifier **classifier, tx_error *error);

/* Where its base model is, as the options or the artifact name it. */
tx_status tx_classifier_base(const tx_classifier *classifier, tx_classifier_options options,
                             char path[4096], tx_error *error);

/* How a labelled table of the chosen head is read: where any number of labels hold, by the
 * options' separator, else the artifact's, which is put into `separator`.  A separator is
 * refused where a text has one label. */
tx_status tx_classifier_table(const tx_classifier *classifier, char separator[2],
                              tx_table_options *options, tx_error *error);

#endif
