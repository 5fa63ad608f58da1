/* Models: any GGUF file is a model that loads and runs its first tokens, or is
 * refused.  The linker puts the maps below in place of the reader's (--wrap), so
 * that the input needs no file. */
#include "fuzz.h"

#include "base/memory.h"
#include "formats/file.h"
#include "model/model.h"

enum { WIDEST = 1 << 12 };

static const char name[] = "fuzz.gguf";
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

static void embed(const tx_model *model, const tx_facts *facts) {
  static float x[2 * WIDEST];
  int32_t ids[2] = {0, (int32_t)facts->vocabulary - 1};
  int64_t positions[2] = {0, facts->context - 1};
  tx_error error = {0};
  if (facts->width > WIDEST) return;
  tx_status status = tx_model_embed(model, ids, positions, 2, x, &error);
  must_tell(status, &error);
  ids[1] = (int32_t)facts->vocabulary; /* one past the last */
  MUST(tx_model_embed(model, ids, positions, 2, x, NULL) == TX_ERROR_INPUT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool ready;
  if (!ready) tx_set_threads(1);
  ready = true;
  bytes = data;
  byte_count = size;
  tx_model *model;
  tx_error error = {0};
  tx_status status = tx_model_open(name, NULL, &model, &error);
  must_tell(status, &error);
  MUST((status == TX_OK) == (model != NULL));
  if (status != TX_OK) return 0;
  const tx_facts *facts = tx_model_facts(model);
  embed(model, facts);
  status = tx_model_load(model, 0, facts->blocks, &error);
  must_tell(status, &error);
  for (int64_t i = 0; i < facts->blocks && status == TX_OK; i++) MUST(tx_model_block(model, i));
  tx_model_close(model);
  return 0;
}
