/* Naming, making and keeping a random base. */
#include "tasks/random_base.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "base/watch.h"
#include "formats/hub.h"
#include "model/random_model.h"

/* "smollm2-135m" of "dir/smollm2-135m.gguf". */
static void stem_of(const char *base_name, char stem[160]) {
  const char *slash = strrchr(base_name, '/'), *file = slash ? slash + 1 : base_name;
  size_t size = strlen(file);
  if (size > 5 && strcmp(file + size - 5, ".gguf") == 0) size -= 5;
  snprintf(stem, 160, "%.*s", size < 159 ? (int)size : 159, file);
}

static tx_status make(const tx_gguf *base, const tx_facts *facts, uint64_t seed, const char *home,
                      const char *name, const char *base_name, char path[4096],
                      const tx_watch *watch, tx_error *error) {
  char source[512], hex[TX_SHA256_HEX];
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(base, &size);
  if (!tx_sha256_bytes(bytes, size, hex)) return tx_fail_memory(error, 256, "a hash");
  /* The name alone may be that of another file, in another directory or at another time. */
  snprintf(source, sizeof source, "random weights, seed %" PRIu64 ", after SHA-256 %.16s, %s", seed,
           hex, base_name);
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_arena *arena = tx_arena_new();
  tx_status status = writer && arena ? TX_OK : tx_fail_memory(error, 256, "a model");
  if (status == TX_OK) status = tx_random_model_add(writer, base, facts, seed, arena, error);
  if (status == TX_OK) status = tx_model_keep(home, name, source, writer, path, watch, error);
  tx_gguf_writer_free(writer);
  tx_arena_free(arena);
  return status;
}

tx_status tx_random_base(const char *home, const char *base, const char *base_name, int64_t blocks,
                         int64_t width, uint64_t seed, char name[256], char path[4096],
                         const tx_watch *watch, tx_error *error) {
  tx_gguf *gguf;
  tx_facts of, facts;
  tx_buffer place = {0};
  char stem[160];
  TX_TRY(tx_gguf_open(base, &gguf, error));
  stem_of(base_name, stem);
  tx_status status = tx_facts_read(gguf, &of, error);
  if (status == TX_OK) {
    status = tx_random_facts(&of, (tx_random_sizes){blocks, width}, &facts, error);
  }
  if (status == TX_OK) status = tx_home(home, &place, error);
  if (status == TX_OK) {
    snprintf(name, 256, "%s-random-%" PRId64 "x%" PRId64 "-s%" PRIu64, stem, facts.blocks,
             facts.width, seed);
    tx_watch_note(watch, "the model %s has random weights", name);
    status = make(gguf, &facts, seed, place.data, name, base_name, path, watch, error);
  }
  tx_buffer_free(&place);
  tx_gguf_close(gguf);
  return status;
}
