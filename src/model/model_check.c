/* Names of tensors that are not known. */
#include "model/model_parts.h"

#include <stdio.h>
#include <string.h>

/* Whether a tensor is one that this program computes with, of the model's file, or of what was
 * `changed`, where query, key and value are never one. */
static bool is_known(const tx_model *model, const char *name, bool changed) {
  static const char *const globals[] = {"token_embd.weight", "output.weight", "output_norm.weight"};
  const tx_architecture *a = model->facts.architecture;
  for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
    if (strcmp(name, globals[i]) == 0) return true;
  }
  if (strcmp(name, "output_norm.bias") == 0) return tx_model_norm_has_bias(model);
  if (strcmp(name, "position_embd.weight") == 0) return a->positions == TX_POSITION_LEARNED;
  int block = 0, stem_at = 0, stem_end = 0;
  int read = sscanf(name, "blk.%5d.%n%*[^.]%n", &block, &stem_at, &stem_end);
  if (read != 1 || !stem_end || block < 0 || block >= model->facts.blocks) return false;
  char plain[16]; /* "00" and "+1" are read as numbers too, but never looked up */
  int digits = snprintf(plain, sizeof plain, "%d.", block);
  if (strncmp(name + 4, plain, (size_t)digits) != 0) return false;
  bool bias = strcmp(name + stem_end, ".bias") == 0;
  if (!bias && strcmp(name + stem_end, ".weight") != 0) return false;
  size_t size = (size_t)(stem_end - stem_at);
  if (a->fused_qkv && size == 8 && memcmp(name + stem_at, "attn_qkv", 8) == 0) return true;
  for (int slot = 0; slot < TX_NORMS; slot++) {
    const char *stem = tx_norm_stem((tx_norm_slot)slot);
    if (strlen(stem) == size && !memcmp(stem, name + stem_at, size)) {
      return !bias || tx_model_norm_has_bias(model);
    }
  }
  for (int slot = a->fused_qkv && !changed ? TX_MATRIX_OUT : 0; slot < TX_MATRICES; slot++) {
    const char *stem = tx_matrix_stem((tx_matrix_slot)slot);
    if (strlen(stem) != size || memcmp(stem, name + stem_at, size) != 0) continue;
    return (!bias || a->biases) && (slot != TX_MATRIX_GATE || a->gated);
  }
  return false;
}

/* A tensor that would be left out means a model of another kind under a known
 * name: its answers would be wrong without a word. */
tx_status tx_model_check_left_out(const tx_model *model, tx_error *error) {
  for (size_t i = 0; i < tx_gguf_tensor_count(model->gguf); i++) {
    const tx_tensor *tensor = tx_gguf_tensor_at(model->gguf, i);
    if (is_known(model, tensor->name, false)) continue;
    char where[512];
    snprintf(where, sizeof where, "%s: %s", tx_gguf_path(model->gguf), tensor->name);
    return tx_fail_byte(
        error, TX_ERROR_INPUT, where, tensor->offset,
        "taxon does not compute with this tensor in a %s model and would give wrong "
        "answers without it; use another model",
        model->facts.architecture->name);
  }
  return TX_OK;
}

/* "blk.0.ffn_up.weight" of "blk.0.ffn_up.weight.lora_a"; false for a name without such an end. */
static bool cut_low(const char *name, char stem[80]) {
  size_t size = strlen(name);
  bool low = size > 7 && size < 80 && (strcmp(name + size - 7, ".lora_a") == 0 ||
                                       strcmp(name + size - 7, ".lora_b") == 0 ||
                                       strcmp(name + size - 7, ".lora_m") == 0);
  if (low) snprintf(stem, 80, "%.*s", (int)size - 7, name);
  return low;
}

/* What an artifact holds of a model under a name that this one has not: answers would differ
 * from those in training without a word. */
tx_status tx_model_check_changes(const tx_model *model, tx_error *error) {
  static const char *const own[] = {"blk.", "token_embd.", "position_embd.", "output"};
  static const char *const rows[] = {"token_embd.ids", "token_embd.rows", "position_embd.rows"};
  for (size_t i = 0; model->changes && i < tx_gguf_tensor_count(model->changes); i++) {
    const tx_tensor *tensor = tx_gguf_tensor_at(model->changes, i);
    char stem[80];
    bool low = cut_low(tensor->name, stem), ours = false;
    bool known = is_known(model, low ? stem : tensor->name, true);
    for (size_t k = 0; k < 4; k++) ours |= strncmp(tensor->name, own[k], strlen(own[k])) == 0;
    for (size_t k = 0; k < 3; k++) known |= strcmp(tensor->name, rows[k]) == 0;
    if (!ours || known) continue;
    char where[512];
    snprintf(where, sizeof where, "%s: %s", tx_gguf_path(model->changes), tensor->name);
    return tx_fail_byte(error, TX_ERROR_INPUT, where, tensor->offset,
                        "the base has no such tensor; the artifact is damaged or of another base, "
                        "train it again");
  }
  return TX_OK;
}
