/* The artifact: any bytes are opened as a classifier over the tiny model, or as a tuned
 * one, or refused; what was opened classifies a text, or is loaded.  The linker puts the maps below
 * in place of the reader's (--wrap), so that the input needs no file. */
#include "fuzz.h"

#include <math.h>

#include "base/memory.h"
#include "formats/artifact.h"
#include "formats/file.h"
#include "formats/tuned.h"
#include "model/model.h"

static const char name[] = "fuzz.taxon";
static const uint8_t *bytes;
static size_t byte_count;

tx_status __real_tx_map_open(const char *path, tx_map *map, tx_error *error);
void __real_tx_map_close(tx_map *map);
tx_status __wrap_tx_map_open(const char *path, tx_map *map, tx_error *error);
void __wrap_tx_map_close(tx_map *map);

tx_status __wrap_tx_map_open(const char *path, tx_map *map, tx_error *error) {
  if (strcmp(path, name) != 0) return __real_tx_map_open(path, map, error);
  *map = (tx_map){bytes, byte_count};
  return TX_OK;
}

void __wrap_tx_map_close(tx_map *map) {
  if (map->data != bytes) __real_tx_map_close(map);
}

static bool check_facts(void) {
  tx_gguf *gguf;
  tx_artifact_facts facts;
  tx_error error = {0};
  tx_status status = tx_artifact_open(name, &gguf, &facts, &error);
  must_tell(status, &error);
  if (status != TX_OK) return false;
  const uint64_t *fingerprints;
  int64_t count;
  tx_artifact_fingerprints(gguf, 0, &fingerprints, &count);
  touch(fingerprints, (size_t)count * sizeof *fingerprints);
  MUST(facts.label_count >= 2 && facts.majority_label < (int64_t)facts.label_count);
  for (size_t i = 0; i < facts.label_count; i++) touch(facts.labels[i].data, facts.labels[i].size);
  tx_gguf_close(gguf);
  return true;
}

static void classify(tx_classifier *classifier) {
  size_t labels = tx_classifier_count(classifier);
  tx_text text = tx_text_of("good, and then some");
  tx_error error = {0};
  float *p = malloc(labels * sizeof *p), sum = 0;
  MUST(p);
  tx_status status = tx_classifier_predict(classifier, &text, 1, p, NULL, NULL, &error);
  must_tell(status, &error);
  for (size_t i = 0; i < labels && status == TX_OK; i++) {
    MUST(p[i] >= 0 && p[i] <= 1);
    sum += p[i];
  }
  MUST(status != TX_OK || fabsf(sum - 1) < 1e-3f);
  free(p);
}

static void load_changed(const tx_gguf *changes) {
  tx_model *model;
  tx_error error = {0};
  tx_status status = tx_model_open("tests/golden/tiny_llama.gguf", changes, &model, &error);
  if (status == TX_OK) status = tx_model_load(model, 0, tx_model_facts(model)->blocks, &error);
  must_tell(status, &error);
  tx_model_close(model);
}

static void check_tuned(void) {
  tx_gguf *gguf;
  tx_tuned_facts facts;
  tx_error error = {0};
  tx_status status = tx_tuned_open(name, &gguf, &facts, &error);
  must_tell(status, &error);
  MUST((status == TX_OK) == (gguf != NULL));
  if (status != TX_OK) return;
  touch(facts.chat_template.data, facts.chat_template.size);
  touch(facts.base_name.data, facts.base_name.size);
  MUST(facts.train_rows >= 1 && facts.right >= 0 && facts.right <= 1);
  load_changed(gguf);
  tx_gguf_close(gguf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool ready;
  if (!ready) tx_set_threads(1); /* what one thread does, any number does */
  ready = true;
  bytes = data;
  byte_count = size;
  check_tuned();
  if (!check_facts()) return 0;
  tx_classifier_options options = tx_classifier_defaults();
  options.model = "tests/golden/tiny_llama.gguf";
  tx_classifier *classifier;
  tx_error error = {0};
  tx_status status = tx_classifier_open(name, options, &classifier, &error);
  must_tell(status, &error);
  MUST((status == TX_OK) == (classifier != NULL));
  if (status == TX_OK) classify(classifier);
  tx_classifier_close(classifier);
  return 0;
}
