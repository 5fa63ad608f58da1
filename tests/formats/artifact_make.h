/* Facts of an artifact that is in order, to be spoilt one by one.  Included by
 * the tests of its reader and of the scorer, after cmocka.h. */
#ifndef TX_TESTS_ARTIFACT_MAKE_H
#define TX_TESTS_ARTIFACT_MAKE_H

#include "formats/artifact.h"

static const tx_text three_labels[] = {{"bad", 3}, {"good", 4}, {"mixed", 5}};

static inline tx_artifact_facts good_facts(const char *base, const char *sha256) {
  return (tx_artifact_facts){.labels = three_labels,
                             .label_count = 3,
                             .method = tx_text_of("head"),
                             .text_template = tx_text_of("{text}"),
                             .pooling = tx_text_of("last"),
                             .depth = 2,
                             .max_tokens = 64,
                             .base_name = tx_text_of(base),
                             .base_sha256 = tx_text_of(sha256),
                             .blocks_trained = 0,
                             .train_rows = 40,
                             .val_rows = 5,
                             .tokens = 900,
                             .cut = 1,
                             .data_sha256 = tx_text_of("d1"),
                             .validation_sha256 = tx_text_of(""),
                             .seed = -7,
                             .epochs = 3,
                             .best_epoch = 2,
                             .batch = 8,
                             .accumulate = 1,
                             .trained_parameters = 147,
                             .learning_rate = 5e-5,
                             .weight_decay = 0.1,
                             .penalty = 0.01,
                             .head_solver = tx_text_of("convex"),
                             .class_weights = tx_text_of("none"),
                             .schedule = tx_text_of("cosine"),
                             .command = tx_text_of("taxon train"),
                             .version = tx_text_of("0"),
                             .val_accuracy = 0.6,
                             .val_lo = 0.23,
                             .val_hi = 0.88,
                             .val_macro_f1 = 0.5,
                             .val_nll = 0.9,
                             .majority_label = 1,
                             .majority_accuracy = 0.4,
                             .linear_accuracy = 1};
}

/* A tensor that is left out has no data. */
typedef struct {
  const char *name;
  tx_tensor_type type;
  int dimensions;
  int64_t shape[3];
  const void *data;
} made_tensor;

static inline tx_status write_artifact(const char *path, const tx_artifact_facts *facts,
                                       const made_tensor *tensors, size_t count, tx_error *error) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  assert_non_null(writer);
  tx_artifact_add_facts(writer, facts);
  for (size_t i = 0; i < count; i++) {
    const made_tensor *t = &tensors[i];
    if (!t->data) continue;
    tx_gguf_add_tensor(writer, t->name, t->type, t->dimensions, t->shape, t->data);
  }
  tx_status status = tx_gguf_commit(writer, path, error);
  tx_gguf_writer_free(writer);
  return status;
}

#endif
