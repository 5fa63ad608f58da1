/* Finding the base, and checking that it is the right one. */
#include "tasks/tuned_model.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "formats/hub.h"

static tx_status check_base(const tx_model *model, const tx_tuned_facts *facts, const char *path,
                            tx_error *error) {
  char hex[TX_SHA256_HEX];
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(tx_model_gguf(model), &size);
  if (!tx_sha256_bytes(bytes, size, hex)) return tx_fail_memory(error, 256, "a hash");
  if (memcmp(hex, facts->base_sha256.data, 64) == 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "the model was tuned from another base: it needs SHA-256 %.64s, but %s has %s; "
                 "pull the right model or tune again on this one",
                 facts->base_sha256.data, path, hex);
}

/* A changed tensor that does not fit is most likely the sign of another base. */
static tx_status open_changed(const char *path, const tx_gguf *artifact,
                              const tx_tuned_facts *facts, tx_model **model, tx_error *error) {
  tx_error misfit = {0};
  if (tx_model_open(path, artifact, model, &misfit) == TX_OK) {
    return check_base(*model, facts, path, error);
  }
  if (tx_model_open(path, NULL, model, NULL) == TX_OK) {
    TX_TRY(check_base(*model, facts, path, error));
  }
  return tx_fail_with(error, &misfit);
}

tx_status tx_tuned_model_open(const char *path, const char *home, const char *base,
                              tx_gguf **artifact, tx_tuned_facts *facts, tx_model **model,
                              tx_error *error) {
  char place[4096], known[65];
  *artifact = NULL, *model = NULL;
  TX_TRY(tx_tuned_open(path, artifact, facts, error));
  char *name = tx_copy_bytes(facts->base_name.data, facts->base_name.size);
  if (!name) return tx_fail_memory(error, facts->base_name.size, "a name");
  tx_status status = tx_model_locate(base ? base : name, home, place, known, error);
  tx_free(name);
  TX_TRY(status);
  return open_changed(place, *artifact, facts, model, error);
}
