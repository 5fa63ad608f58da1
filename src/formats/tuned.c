/* The keys of a tuned model, written and read by one table. */
#include "formats/tuned.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "formats/artifact.h"
#include "formats/artifact_fields.h"

#define FIELD(key, kind, member, low, high) \
  { key, kind, offsetof(tx_tuned_facts, member), low, high, true }

static const tx_field fields[] = {
    FIELD("method", TX_FIELD_STRING, method, 0, 0),
    FIELD("template", TX_FIELD_STRING, chat_template, 0, 0),
    FIELD("base.name", TX_FIELD_STRING, base_name, 0, 0),
    FIELD("base.sha256", TX_FIELD_STRING, base_sha256, 0, 0),
    FIELD("training.objective", TX_FIELD_STRING, objective, 0, 0),
    FIELD("training.rows", TX_FIELD_INT, train_rows, 1, INT64_MAX),
    FIELD("training.validation_rows", TX_FIELD_INT, val_rows, 0, INT64_MAX),
    FIELD("training.tokens", TX_FIELD_INT, tokens, 0, INT64_MAX),
    FIELD("training.answer_tokens", TX_FIELD_INT, answer_tokens, 0, INT64_MAX),
    FIELD("training.left_out", TX_FIELD_INT, left_out, 0, INT64_MAX),
    FIELD("training.data_sha256", TX_FIELD_STRING, data_sha256, 0, 0),
    FIELD("training.validation_sha256", TX_FIELD_STRING, validation_sha256, 0, 0),
    FIELD("training.seed", TX_FIELD_INT, seed, INT64_MIN, INT64_MAX),
    FIELD("training.blocks", TX_FIELD_INT, blocks_trained, 0, 1024),
    FIELD("training.rank", TX_FIELD_INT, rank, 0, 1 << 16),
    FIELD("training.epochs", TX_FIELD_INT, epochs, 0, INT64_MAX),
    FIELD("training.best_epoch", TX_FIELD_INT, best_epoch, 0, INT64_MAX),
    FIELD("training.batch", TX_FIELD_INT, batch, 0, INT64_MAX),
    FIELD("training.accumulate", TX_FIELD_INT, accumulate, 0, INT64_MAX),
    FIELD("training.trained_parameters", TX_FIELD_INT, trained_parameters, 0, INT64_MAX),
    FIELD("training.learning_rate", TX_FIELD_FLOAT, learning_rate, 0, INT64_MAX),
    FIELD("training.weight_decay", TX_FIELD_FLOAT, weight_decay, 0, INT64_MAX),
    FIELD("training.beta", TX_FIELD_OPTIONAL_FLOAT, beta, 0, INT64_MAX),
    FIELD("training.schedule", TX_FIELD_STRING, schedule, 0, 0),
    FIELD("training.command", TX_FIELD_STRING, command, 0, 0),
    FIELD("training.version", TX_FIELD_STRING, version, 0, 0),
    FIELD("validation.loss_before", TX_FIELD_FLOAT, before_loss, 0, INT64_MAX),
    FIELD("validation.right_before", TX_FIELD_FLOAT, before_right, 0, 1),
    FIELD("validation.loss", TX_FIELD_FLOAT, loss, 0, INT64_MAX),
    FIELD("validation.right", TX_FIELD_FLOAT, right, 0, 1),
};

enum { FIELDS = sizeof fields / sizeof *fields, FORMAT = 1 };

static bool text_is(const tx_gguf *gguf, const char *key, const char *wanted) {
  tx_text text;
  size_t size = strlen(wanted);
  return tx_gguf_has(gguf, key) && tx_gguf_string(gguf, key, &text, NULL) == TX_OK &&
         text.size == size && memcmp(text.data, wanted, size) == 0;
}

bool tx_tuned_is(const tx_gguf *gguf) {
  return tx_artifact_is(gguf) && text_is(gguf, "general.type", "tuned");
}

void tx_tuned_add_facts(tx_gguf_writer *writer, const tx_tuned_facts *facts) {
  char key[TX_ARTIFACT_KEY];
  tx_gguf_add_string(writer, "general.architecture", tx_text_of("taxon"));
  tx_gguf_add_string(writer, "general.type", tx_text_of("tuned"));
  tx_gguf_add_int(writer, "taxon.format", FORMAT);
  for (size_t i = 0; i < FIELDS; i++) {
    snprintf(key, sizeof key, "taxon.%s", fields[i].key);
    tx_field_write(&fields[i], facts, key, writer);
  }
}

static tx_status read_facts(const tx_gguf *gguf, tx_tuned_facts *facts, tx_error *error) {
  const char *path = tx_gguf_path(gguf);
  int64_t format;
  if (!tx_tuned_is(gguf)) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s is no model that taxon tuned; tune one with: taxon tune", path);
  }
  TX_TRY(tx_gguf_int(gguf, "taxon.format", &format, error));
  if (format != FORMAT) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s has artifact format %" PRId64
                   ", this program reads %d; use the taxon that wrote it or train again",
                   path, format, FORMAT);
  }
  char key[TX_ARTIFACT_KEY];
  for (size_t i = 0; i < FIELDS; i++) {
    snprintf(key, sizeof key, "taxon.%s", fields[i].key);
    TX_TRY(tx_field_read(&fields[i], gguf, key, facts, error));
  }
  if (tx_is_sha256(facts->base_sha256)) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: the hash of its base is not a SHA-256; the artifact is damaged, train it "
                 "again",
                 path);
}

tx_status tx_tuned_open(const char *path, tx_gguf **gguf, tx_tuned_facts *facts, tx_error *error) {
  *facts = (tx_tuned_facts){0};
  tx_status status = tx_gguf_open(path, gguf, error);
  if (status != TX_OK) return tx_advise_training(status, error);
  status = read_facts(*gguf, facts, error);
  if (status != TX_OK) {
    tx_gguf_close(*gguf);
    *gguf = NULL;
  }
  return status;
}
