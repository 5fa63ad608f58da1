/* The artifact's keys, written and read by one table each way. */
#include "formats/artifact.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "formats/nearest.h"
#include "formats/table.h"

/* An optional number that is 0 is not written, and 0 where it is missing. */
typedef enum { AS_INT, AS_FLOAT, AS_OPTIONAL_FLOAT, AS_STRING } field_kind;

typedef struct {
  const char *key; /* below the head's prefix */
  field_kind kind;
  size_t offset;
  int64_t low, high; /* of numbers; INT64_MAX: no limit */
  bool shared;       /* by all heads: stands at the first only */
} field;

#define FIELD(key, kind, member, low, high) \
  { key, kind, offsetof(tx_artifact_facts, member), low, high, false }
#define SHARED(key, kind, member, low, high) \
  { key, kind, offsetof(tx_artifact_facts, member), low, high, true }

static const field fields[] = {
    SHARED("method", AS_STRING, method, 0, 0),
    SHARED("template", AS_STRING, text_template, 0, 0),
    FIELD("pooling", AS_STRING, pooling, 0, 0),
    FIELD("depth", AS_INT, depth, 0, 1024),
    FIELD("words", AS_OPTIONAL_FLOAT, words, 0, 1),
    SHARED("max_tokens", AS_INT, max_tokens, 1, 1 << 24),
    SHARED("base.name", AS_STRING, base_name, 0, 0),
    SHARED("base.sha256", AS_STRING, base_sha256, 0, 0),
    FIELD("training.rows", AS_INT, train_rows, 1, INT64_MAX),
    FIELD("training.validation_rows", AS_INT, val_rows, 0, INT64_MAX),
    FIELD("training.tokens", AS_INT, tokens, 0, INT64_MAX),
    FIELD("training.cut", AS_INT, cut, 0, INT64_MAX),
    FIELD("training.data_sha256", AS_STRING, data_sha256, 0, 0),
    FIELD("training.validation_sha256", AS_STRING, validation_sha256, 0, 0),
    FIELD("training.seed", AS_INT, seed, INT64_MIN, INT64_MAX),
    FIELD("training.blocks", AS_INT, blocks_trained, 0, 1024),
    FIELD("training.epochs", AS_INT, epochs, 0, INT64_MAX),
    FIELD("training.best_epoch", AS_INT, best_epoch, 0, INT64_MAX),
    FIELD("training.batch", AS_INT, batch, 0, INT64_MAX),
    FIELD("training.accumulate", AS_INT, accumulate, 0, INT64_MAX),
    FIELD("training.trained_parameters", AS_INT, trained_parameters, 0, INT64_MAX),
    FIELD("training.learning_rate", AS_FLOAT, learning_rate, 0, INT64_MAX),
    FIELD("training.weight_decay", AS_FLOAT, weight_decay, 0, INT64_MAX),
    FIELD("training.penalty", AS_FLOAT, penalty, 0, INT64_MAX),
    FIELD("training.head_solver", AS_STRING, head_solver, 0, 0),
    FIELD("training.class_weights", AS_STRING, class_weights, 0, 0),
    FIELD("training.schedule", AS_STRING, schedule, 0, 0),
    FIELD("training.command", AS_STRING, command, 0, 0),
    FIELD("training.version", AS_STRING, version, 0, 0),
    FIELD("validation.accuracy", AS_FLOAT, val_accuracy, 0, 1),
    FIELD("validation.accuracy_lo", AS_FLOAT, val_lo, 0, 1),
    FIELD("validation.accuracy_hi", AS_FLOAT, val_hi, 0, 1),
    FIELD("validation.macro_f1", AS_FLOAT, val_macro_f1, 0, 1),
    FIELD("validation.nll", AS_FLOAT, val_nll, 0, INT64_MAX),
    FIELD("baseline.majority_label", AS_INT, majority_label, 0, INT32_MAX),
    FIELD("baseline.majority", AS_FLOAT, majority_accuracy, 0, 1),
    FIELD("baseline.linear", AS_FLOAT, linear_accuracy, 0, 1),
};

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

static void add_field(tx_gguf_writer *writer, size_t head, const field *f,
                      const tx_artifact_facts *facts) {
  char key[TX_ARTIFACT_KEY];
  const char *place = (const char *)facts + f->offset;
  tx_artifact_key(head, f->key, key);
  switch (f->kind) {
    case AS_INT: tx_gguf_add_int(writer, key, *(const int64_t *)(const void *)place); break;
    case AS_FLOAT: tx_gguf_add_float(writer, key, *(const double *)(const void *)place); break;
    case AS_OPTIONAL_FLOAT:
      if (*(const double *)(const void *)place > 0) {
        tx_gguf_add_float(writer, key, *(const double *)(const void *)place);
      }
      break;
    default: tx_gguf_add_string(writer, key, *(const tx_text *)(const void *)place); break;
  }
}

void tx_artifact_add_facts(tx_gguf_writer *writer, const tx_artifact_facts *facts) {
  char key[TX_ARTIFACT_KEY];
  if (facts->head == 0) {
    tx_gguf_add_string(writer, "general.architecture", tx_text_of("taxon"));
    tx_gguf_add_string(writer, "general.type", tx_text_of("classifier"));
    tx_gguf_add_int(writer, "taxon.format", TX_ARTIFACT_FORMAT);
    if (facts->head_count > 0) {
      tx_gguf_add_strings(writer, "taxon.heads", facts->heads, facts->head_count);
    }
  }
  tx_artifact_key(facts->head, "labels", key);
  tx_gguf_add_strings(writer, key, facts->labels, facts->label_count);
  for (size_t i = 0; i < FIELDS; i++) {
    if (facts->head == 0 || !fields[i].shared) add_field(writer, facts->head, &fields[i], facts);
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
                 "%s: this is a classifier, not a model; name the model it was trained on",
                 tx_gguf_path(gguf));
}

/* ---- reading ----------------------------------------------------------- */

static tx_status read_int(const tx_gguf *gguf, const field *f, const char *key, void *place,
                          tx_error *error) {
  int64_t *value = place;
  TX_TRY(tx_gguf_int(gguf, key, value, error));
  if (*value >= f->low && *value <= f->high) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: %s is %" PRId64 ", outside %" PRId64 " to %" PRId64
                 "; the artifact is damaged, train it again",
                 tx_gguf_path(gguf), key, *value, f->low, f->high);
}

static tx_status read_float(const tx_gguf *gguf, const field *f, const char *key, void *place,
                            tx_error *error) {
  double *value = place;
  TX_TRY(tx_gguf_float(gguf, key, value, error));
  bool fits = f->high == INT64_MAX ? isfinite(*value) : *value <= (double)f->high;
  if (*value >= (double)f->low && fits) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: %s is %g, which it cannot be; the artifact is damaged, train it again",
                 tx_gguf_path(gguf), key, *value);
}

static tx_status read_field(const tx_gguf *gguf, const field *f, tx_artifact_facts *facts,
                            tx_error *error) {
  char key[TX_ARTIFACT_KEY];
  void *place = (char *)facts + f->offset;
  tx_artifact_key(f->shared ? 0 : facts->head, f->key, key);
  switch (f->kind) {
    case AS_INT: return read_int(gguf, f, key, place, error);
    case AS_FLOAT: return read_float(gguf, f, key, place, error);
    case AS_OPTIONAL_FLOAT:
      return tx_gguf_has(gguf, key) ? read_float(gguf, f, key, place, error) : TX_OK;
    default: return tx_gguf_string(gguf, key, place, error);
  }
}

static tx_status fail_damaged(const tx_gguf *gguf, const char *what, tx_error *error) {
  return tx_fail(error, TX_ERROR_INPUT, "%s: %s; the artifact is damaged, train it again",
                 tx_gguf_path(gguf), what);
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
      return fail_damaged(gguf, "the name of a head is empty, too long or not one that may be shown",
                          error);
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

static bool is_sha256(tx_text hex) {
  size_t digits = 0;
  while (digits < hex.size && memchr("0123456789abcdef", hex.data[digits], 16)) digits++;
  return digits == 64 && hex.size == 64;
}

/* What `facts->head` says of itself; the heads' names are known. */
static tx_status read_head(const tx_gguf *gguf, tx_artifact_facts *facts, tx_error *error) {
  char key[TX_ARTIFACT_KEY];
  tx_artifact_key(facts->head, "labels", key);
  TX_TRY(tx_gguf_strings(gguf, key, &facts->labels, &facts->label_count, error));
  for (size_t i = 0; i < FIELDS; i++) TX_TRY(read_field(gguf, &fields[i], facts, error));
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
  if (!is_sha256(facts->base_sha256)) {
    return fail_damaged(gguf, "the hash of its base is not a SHA-256", error);
  }
  for (size_t i = 1; i < facts->head_count; i++) {
    tx_artifact_facts other;
    TX_TRY(tx_artifact_head(gguf, facts, i, &other, error));
  }
  return TX_OK;
}

/* A damaged file of weights is fetched again; a classifier is the user's own. */
static tx_status advise_training(tx_status status, tx_error *error) {
  static const char fetch[] = "fetch it again", train[] = "train it again, or copy it again";
  char *advice = error ? strstr(error->message, fetch) : NULL;
  if (advice && advice + sizeof train <= error->message + sizeof error->message) {
    memcpy(advice, train, sizeof train);
  }
  return status;
}

tx_status tx_artifact_open(const char *path, tx_gguf **gguf, tx_artifact_facts *facts,
                           tx_error *error) {
  *facts = (tx_artifact_facts){0};
  tx_status status = tx_gguf_open(path, gguf, error);
  if (status != TX_OK) return advise_training(status, error);
  status = read_facts(*gguf, facts, error);
  if (status != TX_OK) {
    tx_gguf_close(*gguf);
    *gguf = NULL;
  }
  return status;
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
