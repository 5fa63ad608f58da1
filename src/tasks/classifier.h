/* What stands behind the public tx_classifier. */
#ifndef TX_TASKS_CLASSIFIER_H
#define TX_TASKS_CLASSIFIER_H

#include "formats/artifact.h"
#include "score/scorer.h"

struct tx_classifier {
  char *path;
  tx_gguf *artifact;
  tx_artifact_facts facts;
  char **labels; /* (count), NUL-terminated copies */
  tx_scorer *scorer;
};

#endif
