/* The artifact's keys, written and read by one table each way. */
#include "formats/artifact.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "formats/artifact_fields.h"
#include "formats/nearest.h"
#include "formats/table.h"
#include "formats/tuned.h"

#define FIELD(key, kind, member, low, high) \
  { key, kind, offsetof(tx_artifact_facts, member), low, high, false }
#define SHARED(key, kind, member, low, high) \
  { key, kind, offsetof(tx_artifact_facts, member), low, high, true }

static const tx_field fields[] = {
    SHARED("method", TX_FIELD_STRING, method, 0, 0),
    SHARED("template", TX_FIELD_STRING, text_template, 0, 0),
    FIELD("pooling", TX_FIELD_STRING, pooling, 0, 0),
    FIELD("depth", TX_FIELD_INT, depth, 0, 1024),
    FIELD("words", TX_FIELD_OPTIONAL_FLOAT, words, 0, 1),
    FIELD("multi_label", TX_FIELD_OPTIONAL_BOOL, multi_label, 0, 0),
    FIELD("hierarchical", TX_FIELD_OPTIONAL_BOOL, hierarchical, 0, 0),
    FIELD("label_separator", TX_FIELD_OPTIONAL_STRING, label_separator, 0, 0),
    SHARED("precision", TX_FIELD_OPTIONAL_STRING, precision, 0, 0),
    SHARED("max_tokens", TX_FIELD_INT, max_tokens, 1, 1 << 24),
    SHARED("pad_to", TX_FIELD_OPTIONAL_INT, pad_to, 1, 1 << 24),
    FIELD("attention", TX_FIELD_OPTIONAL_STRING, attention, 0, 0),
    SHARED("base.name", TX_FIELD_STRING, base_name, 0, 0),
    SHARED("base.sha256", TX_FIELD_STRING, base_sha256, 0, 0),
    FIELD("training.rows", TX_FIELD_INT, train_rows, 1, INT64_MAX),
    FIELD("training.validation_rows", TX_FIELD_INT, val_rows, 0, INT64_MAX),
    FIELD("training.tokens", TX_FIELD_INT, tokens, 0, INT64_MAX),
    FIELD("training.cut", TX_FIELD_INT, cut, 0, INT64_MAX),
    FIELD("training.data_sha256", TX_FIELD_STRING, data_sha256, 0, 0),
    FIELD("training.validation_sha256", TX_FIELD_STRING, validation_sha256, 0, 0),
    FIELD("training.seed", TX_FIELD_INT, seed, INT64_MIN, INT64_MAX),
    FIELD("training.blocks", TX_FIELD_INT, blocks_trained, 0, 1024),
    FIELD("training.epochs", TX_FIELD_INT, epochs, 0, INT64_MAX),
    FIELD("training.best_epoch", TX_FIELD_INT, best_epoch, 0, INT64_MAX),
    FIELD("training.batch", TX_FIELD_INT, batch, 0, INT64_MAX),
    FIELD("training.accumulate", TX_FIELD_INT, accumulate, 0, INT64_MAX),
    FIELD("training.trained_parameters", TX_FIELD_INT, trained_parameters, 0, INT64_MAX),
    FIELD("training.batch_tokens", TX_FIELD_OPTIONAL_INT, batch_tokens, 1, 1 << 24),
    FIELD("training.rank", TX_FIELD_OPTIONAL_INT, rank, 1, 1 << 16),
    FIELD("training.scale", TX_FIELD_OPTIONAL_FLOAT, scale, 0, INT64_MAX),
    FIELD("training.dropout", TX_FIELD_OPTIONAL_FLOAT, dropout, 0, 1),
    FIELD("training.dora", TX_FIELD_OPTIONAL_BOOL, magnitudes, 0, 0),
    FIELD("training.learning_rate", TX_FIELD_FLOAT, learning_rate, 0, INT64_MAX),
    FIELD("training.weight_decay", TX_FIELD_FLOAT, weight_decay, 0, INT64_MAX),
    FIELD("training.penalty", TX_FIELD_FLOAT, penalty, 0, INT64_MAX),
    FIELD("training.head_solver", TX_FIELD_STRING, head_solver, 0, 0),
    FIELD("training.class_weights", TX_FIELD_STRING, class_weights, 0, 0),
    FIELD("training.schedule", TX_FIELD_STRING, schedule, 0, 0),
    FIELD("training.command", TX_FIELD_STRING, command, 0, 0),
    FIELD("training.version", TX_FIELD_STRING, version, 0, 0),
    FIELD("validation.accuracy", TX_FIELD_FLOAT, val_accuracy, 0, 1),
    FIELD("validation.accuracy_lo", TX_FIELD_FLOAT, val_lo, 0, 1),
    FIELD("validation.accuracy_hi", TX_FIELD_FLOAT, val_hi, 0, 1),
    FIELD("validation.macro_f1", TX_FIELD_FLOAT, val_macro_f1, 0, 1),
    FIELD("validation.nll", TX_FIELD_FLOAT, val_nll, 0, INT64_MAX),
    FIELD("baseline.majority_label", TX_FIELD_INT, majority_label, 0, INT32_MAX),
    FIELD("baseline.majority", TX_FIELD_FLOAT, majority_accuracy, 0, 1),
    FIELD("baseline.linear", TX_FIELD_FLOAT, linear_accuracy, 0, 1),
};

#define MAJORITY_LABELS "baseline.majority_labels"

enum { FIELDS = sizeof fields / sizeof *fields };

/* ---- keys of heads ----------------------------------------------------- */

void tx_artifact_key(size_t head, const char *name, char key[TX_ARTIFACT_KEY]) {
  if (head == 0) {
    snprintf(key, TX_ARTIFACT_KEY, "taxon.%s", name);
  } else {
    snprintf(key, TX_ARTIFACT_KEY, "taxon.head.%zu.%s", head, name);
  }
}

void tx_artifact_tensor(size_t head, const char *name, char key[TX_ARTIFACT_KEY]) {
  if (head == 0) {
    snprintf(key, TX_ARTIFACT_KEY, "head.%s", name);
  } else {
    snprintf(key, TX_ARTIFACT_KEY, "head.%zu.%s", head, name);
  }
}

/* Control characters, the delete and C1 ones too. */
static bool has_control(tx_text name) {
  for (size_t i = 0; i < name.size; i++) {
    unsigned char c = (unsigned char)name.data[i];
    bool c1 = c == 0xC2 && i + 1 < name.size && (unsigned char)name.data[i + 1] < 0xA0;
    if (c < 0x20 || c == 0x7F || c1) return true;
  }
  return false;
}

bool tx_is_head_name(tx_text name) {
  return name.size > 0 && name.size <= TX_HEAD_NAME && tx_is_utf8(name) && !has_control(name) &&
         !memchr(name.data, '/', name.size);
}

/* ---- writing ----------------------------------------------------------- */

void tx_artifact_add_facts(tx_gguf_writer *writer, const tx_artifact_facts *facts) {
  char key[TX_ARTIFACT_KEY];
  if (facts->head == 0) {
    tx_gguf_add_string(writer, "general.architecture", tx_text_of("taxon"));
    tx_gguf_add_string(writer, "general.type", tx_text_of("classifier"));
    tx_gguf_add_int(writer, "taxon.format", TX_ARTIFACT_FORMAT);
    if (facts->head_count > 0) {
      tx_gguf_add_strings(writer, "taxon.heads", facts->heads, facts->head_count);
    }
    if (facts->f32_count > 0) {
      tx_gguf_add_strings(writer, TX_F32_MATRICES, facts->f32_matrices, facts->f32_count);
    }
  }
  tx_artifact_key(facts->head, "labels", key);
  tx_gguf_add_strings(writer, key, facts->labels, facts->label_count);
  if (facts->majority_count > 0) {
    tx_artifact_key(facts->head, MAJORITY_LABELS, key);
    tx_gguf_add_strings(writer, key, facts->majority_labels, facts->majority_count);
  }
  for (size_t i = 0; i < FIELDS; i++) {
    if (facts->head > 0 && fields[i].shared) continue;
    tx_artifact_key(facts->head, fields[i].key, key);
    tx_field_write(&fields[i], facts, key, writer);
  }
}

/* ---- what it is -------------------------------------------------------- */

bool tx_artifact_is(const tx_gguf *gguf) {
  tx_text architecture;
  return tx_gguf_has(gguf, "general.architecture") &&
         tx_gguf_string(gguf, "general.architecture", &architecture, NULL) == TX_OK &&
         architecture.size == 5 && memcmp(architecture.data, "taxon", 5) == 0;
}

tx_status tx_artifact_refuse(const tx_gguf *gguf, tx_error *error) {
  if (!tx_artifact_is(gguf)) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: this is a %s, not a model; name the model it was trained on",
                 tx_gguf_path(gguf), tx_tuned_is(gguf) ? "tuned model" : "classifier");
}

/* ---- reading ----------------------------------------------------------- */

static tx_status fail_damaged(const tx_gguf *gguf, const char *what, tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT, "%s: %s; the artifact is damaged, train it again",
                 tx_gguf_path(gguf), what);
}

static tx_status check_multi_label(const tx_gguf *gguf, const tx_artifact_facts *facts,
                                   tx_error *error) {
  tx_text separator = facts->label_separator;
  if (facts->hierarchical) {
    return fail_damaged(gguf, "its labels are said to be paths and any number a text at once",
                        error);
  }
  const char byte[2] = {separator.size == 1 ? separator.data[0] : '\0', '\0'};
  if (tx_label_separator_check(byte, NULL) != TX_OK) {
    return fail_damaged(gguf, "it has any number of labels a text, but nothing to separate them",
                        error);
  }
  for (size_t i = 0; i < facts->label_count; i++) {
    if (!memchr(facts->labels[i].data, byte[0], facts->labels[i].size)) continue;
    return fail_damaged(gguf, "a label holds what separates its labels", error);
  }
  for (size_t i = 0, at = 0; i < facts->majority_count; i++, at++) {
    tx_text wanted = facts->majority_labels[i];
    while (at < facts->label_count && (facts->labels[at].size != wanted.size ||
                                       memcmp(facts->labels[at].data, wanted.data, wanted.size))) {
      at++;
    }
    if (at < facts->label_count) continue;
    return fail_damaged(gguf, "its most frequent labels are not among its labels, rising", error);
  }
  return TX_OK;
}

/* Labels as tables have them: others could not be told apart, or not be shown. */
static tx_status check_labels(const tx_gguf *gguf, const tx_artifact_facts *facts,
                              tx_error *error) {
  if (facts->label_count < 2 || facts->label_count > TX_MAX_LABELS) {
    return fail_damaged(gguf, "it has no labels, only one, or too many", error);
  }
  for (size_t i = 0; i < facts->label_count; i++) {
    tx_text label = facts->labels[i];
    if (label.size == 0 || memchr(label.data, '\0', label.size) || !tx_is_utf8(label)) {
      return fail_damaged(gguf, "a label is empty or not UTF-8", error);
    }
    if (i == 0) continue;
    tx_text before = facts->labels[i - 1];
    size_t shared = before.size < label.size ? before.size : label.size;
    int order = memcmp(before.data, label.data, shared);
    if (order > 0 || (order == 0 && before.size >= label.size)) {
      return fail_damaged(gguf, "its labels are not in order, or one stands there twice", error);
    }
  }
  if (facts->multi_label) return check_multi_label(gguf, facts, error);
  if (facts->majority_label < (int64_t)facts->label_count) return TX_OK;
  return fail_damaged(gguf, "its most frequent label is none of its labels", error);
}

/* Names as `train` takes them, each once. */
static tx_status read_heads(const tx_gguf *gguf, tx_artifact_facts *facts, tx_error *error) {
  if (!tx_gguf_has(gguf, "taxon.heads")) return TX_OK;
  TX_TRY(tx_gguf_strings(gguf, "taxon.heads", &facts->heads, &facts->head_count, error));
  if (facts->head_count < 1 || facts->head_count > TX_MAX_HEADS) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: taxon.heads names %zu heads, outside 1 to %d; the artifact is damaged, "
                   "train it again",
                   tx_gguf_path(gguf), facts->head_count, TX_MAX_HEADS);
  }
  for (size_t i = 0; i < facts->head_count; i++) {
    tx_text name = facts->heads[i];
    if (!tx_is_head_name(name)) {
      return fail_damaged(
          gguf, "the name of a head is empty, too long or not one that may be shown", error);
    }
    for (size_t k = 0; k < i; k++) {
      tx_text other = facts->heads[k];
      if (other.size == name.size && memcmp(other.data, name.data, name.size) == 0) {
        return fail_damaged(gguf, "two of its heads have the same name", error);
      }
    }
  }
  return TX_OK;
}

/* What `facts->head` says of itself; the heads' names are known. */
static tx_status read_head(const tx_gguf *gguf, tx_artifact_facts *facts, tx_error *error) {
  char key[TX_ARTIFACT_KEY];
  tx_artifact_key(facts->head, "labels", key);
  TX_TRY(tx_gguf_strings(gguf, key, &facts->labels, &facts->label_count, error));
  if (tx_gguf_has(gguf, TX_F32_MATRICES)) {
    TX_TRY(tx_gguf_strings(gguf, TX_F32_MATRICES, &facts->f32_matrices, &facts->f32_count, error));
  }
  tx_artifact_key(facts->head, MAJORITY_LABELS, key);
  if (tx_gguf_has(gguf, key)) {
    TX_TRY(tx_gguf_strings(gguf, key, &facts->majority_labels, &facts->majority_count, error));
  }
  for (size_t i = 0; i < FIELDS; i++) {
    tx_artifact_key(fields[i].shared ? 0 : facts->head, fields[i].key, key);
    TX_TRY(tx_field_read(&fields[i], gguf, key, facts, error));
  }
  TX_TRY(check_labels(gguf, facts, error));
  if (facts->head == 0 || facts->blocks_trained == 0) return TX_OK;
  return fail_damaged(gguf, "one of its heads changes blocks that all of them share", error);
}

tx_status tx_artifact_head(const tx_gguf *gguf, const tx_artifact_facts *first, size_t head,
                           tx_artifact_facts *facts, tx_error *error) {
  *facts = (tx_artifact_facts){
      .heads = first->heads, .head_count = first->head_count, .head = head};
  return read_head(gguf, facts, error);
}

static tx_status read_facts(const tx_gguf *gguf, tx_artifact_facts *facts, tx_error *error) {
  const char *path = tx_gguf_path(gguf);
  int64_t format;
  if (!tx_artifact_is(gguf)) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s is a GGUF file but not a taxon classifier; train one with: taxon train",
                   path);
  }
  if (tx_tuned_is(gguf)) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: this is a tuned model, not a classifier; use taxon generate", path);
  }
  TX_TRY(tx_gguf_int(gguf, "taxon.format", &format, error));
  if (format != TX_ARTIFACT_FORMAT) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s has artifact format %" PRId64
                   ", this program reads %d; use the taxon that "
                   "wrote it or train again",
                   path, format, TX_ARTIFACT_FORMAT);
  }
  TX_TRY(read_heads(gguf, facts, error));
  TX_TRY(read_head(gguf, facts, error));
  if (!tx_is_sha256(facts->base_sha256)) {
    return fail_damaged(gguf, "the hash of its base is not a SHA-256", error);
  }
  for (size_t i = 1; i < facts->head_count; i++) {
    tx_artifact_facts other;
    TX_TRY(tx_artifact_head(gguf, facts, i, &other, error));
  }
  return TX_OK;
}

tx_status tx_artifact_open(const char *path, tx_gguf **gguf, tx_artifact_facts *facts,
                           tx_error *error) {
  *facts = (tx_artifact_facts){0};
  tx_status status = tx_gguf_open(path, gguf, error);
  if (status != TX_OK) return tx_advise_training(status, error);
  status = read_facts(*gguf, facts, error);
  if (status != TX_OK) {
    tx_gguf_close(*gguf);
    *gguf = NULL;
  }
  return status;
}

bool tx_artifact_is_multi_label(const tx_gguf *gguf, size_t head) {
  char key[TX_ARTIFACT_KEY];
  bool multi_label = false;
  tx_artifact_key(head, "multi_label", key);
  return tx_gguf_has(gguf, key) && tx_gguf_bool(gguf, key, &multi_label, NULL) == TX_OK &&
         multi_label;
}

void tx_artifact_fingerprints(const tx_gguf *gguf, size_t head, const uint64_t **fingerprints,
                              int64_t *count) {
  char key[TX_ARTIFACT_KEY];
  tx_artifact_key(head, "training.texts", key);
  const tx_tensor *tensor = tx_gguf_tensor(gguf, key);
  *fingerprints = NULL;
  *count = 0;
  if (!tensor || tensor->type != TX_TENSOR_I64 || tensor->dimensions != 1) return;
  *fingerprints = (const uint64_t *)(const void *)tensor->data;
  *count = tensor->shape[0];
}
