/* tx_classifier_*: an artifact, its base and its scorer, as one handle. */
#include "tasks/classifier.h"

#include "base/memory.h"
#include "formats/hub.h"
#include "kernels/kernels.h"
#include "score/blend.h"
#include "score/linear.h"
#include "score/network.h"

tx_classifier_options tx_classifier_defaults(void) { return (tx_classifier_options){0}; }

static tx_status copy_labels(tx_classifier *c, tx_error *error) {
  c->labels = tx_alloc_zero(c->facts.label_count, sizeof *c->labels);
  if (!c->labels) return tx_fail_memory(error, c->facts.label_count * 8, "the labels");
  for (size_t i = 0; i < c->facts.label_count; i++) {
    c->labels[i] = tx_copy_bytes(c->facts.labels[i].data, c->facts.labels[i].size);
    if (!c->labels[i]) return tx_fail_memory(error, c->facts.labels[i].size, "a label");
  }
  return TX_OK;
}

static tx_status open_scorer(tx_classifier *c, tx_classifier_options options, tx_error *error) {
  char path[4096], known[65], *name = NULL;
  if (!options.model) {
    name = tx_copy_bytes(c->facts.base_name.data, c->facts.base_name.size);
    if (!name) return tx_fail_memory(error, c->facts.base_name.size, "a name");
  }
  tx_status status = tx_model_locate(name ? name : options.model, options.home, path, known, error);
  tx_free(name);
  TX_TRY(status);
  tx_network_options network = {path, options.max_tokens, options.batch_tokens};
  TX_TRY(tx_network_open(c->artifact, &c->facts, network, &c->scorer, error));
  if (!(c->facts.words > 0)) return TX_OK;
  tx_scorer *words, *alone = c->scorer;
  TX_TRY(tx_linear_load(c->artifact, (int)c->facts.label_count, &words, error));
  return tx_blend_new(alone, words, c->facts.words, &c->scorer, error);
}

static tx_status classifier_build(tx_classifier *c, const char *path, tx_classifier_options options,
                                  tx_error *error) {
  if (options.max_tokens < 0 || options.batch_tokens < 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "max_tokens and batch_tokens must not be negative");
  }
  TX_TRY(tx_kernels_check(error));
  c->path = tx_copy_string(path);
  if (!c->path) return tx_fail_memory(error, 64, "a path");
  TX_TRY(tx_artifact_open(path, &c->artifact, &c->facts, error));
  TX_TRY(copy_labels(c, error));
  return open_scorer(c, options, error);
}

tx_status tx_classifier_open(const char *path, tx_classifier_options options,
                             tx_classifier **classifier, tx_error *error) {
  *classifier = NULL;
  tx_classifier *c = tx_alloc_zero(1, sizeof *c);
  if (!c) return tx_fail_memory(error, sizeof *c, "a classifier");
  tx_status status = classifier_build(c, path, options, error);
  if (status != TX_OK) {
    tx_classifier_close(c);
    return status;
  }
  *classifier = c;
  return TX_OK;
}

void tx_classifier_close(tx_classifier *classifier) {
  if (!classifier) return;
  tx_scorer_free(classifier->scorer);
  for (size_t i = 0; classifier->labels && i < classifier->facts.label_count; i++) {
    tx_free(classifier->labels[i]);
  }
  tx_free(classifier->labels);
  tx_gguf_close(classifier->artifact);
  tx_free(classifier->path);
  tx_free(classifier);
}

size_t tx_classifier_count(const tx_classifier *classifier) {
  return classifier->facts.label_count;
}

const char *tx_classifier_label(const tx_classifier *classifier, size_t index) {
  return index < classifier->facts.label_count ? classifier->labels[index] : NULL;
}

tx_status tx_classifier_predict(tx_classifier *classifier, const tx_text *texts, size_t count,
                                float *probabilities, tx_scored *scored, const tx_watch *watch,
                                tx_error *error) {
  if (scored) *scored = (tx_scored){0};
  return classifier->scorer->score(classifier->scorer, texts, count, probabilities, scored, watch,
                                   error);
}
