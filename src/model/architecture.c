/* The table of architectures and the reading of a model's sizes. */
#include "model/architecture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/artifact.h"

static const tx_architecture architectures[] = {
    {.name = "llama",
     .norm = TX_NORM_RMS,
     .positions = TX_POSITION_ROTARY_PAIRS,
     .activation = TX_ACTIVATION_SILU,
     .gated = true,
     .causal = true},
    {.name = "gpt2",
     .norm = TX_NORM_LAYER,
     .positions = TX_POSITION_LEARNED,
     .activation = TX_ACTIVATION_GELU_TANH,
     .biases = true,
     .fused_qkv = true,
     .causal = true},
};

enum { ARCHITECTURES = sizeof architectures / sizeof *architectures };

const tx_architecture *tx_architecture_find(tx_text name) {
  for (size_t i = 0; i < ARCHITECTURES; i++) {
    const char *known = architectures[i].name;
    if (strlen(known) == name.size && memcmp(known, name.data, name.size) == 0) {
      return &architectures[i];
    }
  }
  return NULL;
}

const char *tx_matrix_stem(tx_matrix_slot slot) {
  static const char *const stems[TX_MATRICES] = {"attn_q",   "attn_k", "attn_v",  "attn_output",
                                                 "ffn_gate", "ffn_up", "ffn_down"};
  return stems[slot];
}

const char *tx_norm_stem(tx_norm_slot slot) {
  return slot == TX_NORM_ATTENTION ? "attn_norm" : "ffn_norm";
}

void tx_matrix_shape(const tx_facts *facts, tx_matrix_slot slot, int64_t *outputs,
                     int64_t *inputs) {
  int64_t query = facts->heads * facts->head_size, key = facts->kv_heads * facts->head_size;
  *inputs = slot == TX_MATRIX_OUT ? query : slot == TX_MATRIX_DOWN ? facts->hidden : facts->width;
  switch (slot) {
    case TX_MATRIX_QUERY:
      *outputs = query;
      break;
    case TX_MATRIX_KEY:
    case TX_MATRIX_VALUE:
      *outputs = key;
      break;
    case TX_MATRIX_GATE:
      *outputs = facts->architecture->gated ? facts->hidden : 0;
      break;
    case TX_MATRIX_UP:
      *outputs = facts->hidden;
      break;
    default:
      *outputs = facts->width;
      break;
  }
}

/* A whole number under "<architecture>.<suffix>" within [low, high]. */
static tx_status read_size(const tx_gguf *gguf, const tx_architecture *architecture,
                           const char *suffix, int64_t low, int64_t high, int64_t *value,
                           tx_error *error) {
  char key[128];
  snprintf(key, sizeof key, "%s.%s", architecture->name, suffix);
  TX_TRY(tx_gguf_int(gguf, key, value, error));
  if (*value >= low && *value <= high) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: %s is %" PRId64 ", outside %" PRId64 " to %" PRId64
                 "; the file is damaged or of a kind taxon does not know",
                 tx_gguf_path(gguf), key, *value, low, high);
}

static tx_status read_optional(const tx_gguf *gguf, const tx_architecture *architecture,
                               const char *suffix, int64_t low, int64_t high, int64_t otherwise,
                               int64_t *value, tx_error *error) {
  char key[128];
  snprintf(key, sizeof key, "%s.%s", architecture->name, suffix);
  *value = otherwise;
  if (!tx_gguf_has(gguf, key)) return TX_OK;
  return read_size(gguf, architecture, suffix, low, high, value, error);
}

static tx_status read_epsilon(const tx_gguf *gguf, tx_facts *facts, tx_error *error) {
  char key[128];
  double epsilon;
  snprintf(key, sizeof key, "%s.attention.layer_norm_%sepsilon", facts->architecture->name,
           facts->architecture->norm == TX_NORM_RMS ? "rms_" : "");
  TX_TRY(tx_gguf_float(gguf, key, &epsilon, error));
  if (!(epsilon > 0 && epsilon < 1)) {
    return tx_fail(error, TX_ERROR_INPUT, "%s: %s is %g, but must lie between 0 and 1",
                   tx_gguf_path(gguf), key, epsilon);
  }
  facts->norm_epsilon = (float)epsilon;
  return TX_OK;
}

/* Older files stretch the positions without naming how. */
static tx_status check_stretch(const tx_gguf *gguf, const tx_architecture *architecture,
                               tx_error *error) {
  static const char *const suffixes[] = {"scaling.factor", "scale_linear"};
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    char key[128];
    double factor = 1;
    snprintf(key, sizeof key, "%s.rope.%s", architecture->name, suffixes[i]);
    if (tx_gguf_has(gguf, key)) TX_TRY(tx_gguf_float(gguf, key, &factor, error));
    if (factor == 1) continue;
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: %s is %g, which taxon does not compute; use a model without it",
                   tx_gguf_path(gguf), key, factor);
  }
  return TX_OK;
}

static tx_status read_rotary(const tx_gguf *gguf, tx_facts *facts, tx_error *error) {
  const tx_architecture *architecture = facts->architecture;
  facts->rotary = 0;
  if (architecture->positions == TX_POSITION_LEARNED) return TX_OK;
  TX_TRY(read_optional(gguf, architecture, "rope.dimension_count", 2, facts->head_size,
                       facts->head_size, &facts->rotary, error));
  char key[128];
  snprintf(key, sizeof key, "%s.rope.freq_base", architecture->name);
  facts->rotary_base = 10000.0;
  if (tx_gguf_has(gguf, key)) TX_TRY(tx_gguf_float(gguf, key, &facts->rotary_base, error));
  if (facts->rotary % 2 || !(facts->rotary_base > 1 && facts->rotary_base < 1e12)) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: rotary positions over %" PRId64 " elements with base %g make no sense",
                   tx_gguf_path(gguf), facts->rotary, facts->rotary_base);
  }
  snprintf(key, sizeof key, "%s.rope.scaling.type", architecture->name);
  tx_text scaling = {"none", 4};
  if (tx_gguf_has(gguf, key)) TX_TRY(tx_gguf_string(gguf, key, &scaling, error));
  if (scaling.size != 4 || memcmp(scaling.data, "none", 4) != 0) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: %s is '%.*s', which taxon does not compute; use a model without it",
                   tx_gguf_path(gguf), key, (int)(scaling.size < 40 ? scaling.size : 40),
                   scaling.data);
  }
  return tx_gguf_has(gguf, key) ? TX_OK : check_stretch(gguf, architecture, error);
}

/* The number or the truth under a key, whatever its type; 0 for false. */
static tx_status read_any_number(const tx_gguf *gguf, const char *key, double *value,
                                 tx_error *error) {
  bool truth;
  int64_t whole;
  tx_error ignored = {0};
  if (tx_gguf_bool(gguf, key, &truth, &ignored) == TX_OK) {
    *value = truth;
  } else if (tx_gguf_int(gguf, key, &whole, &ignored) == TX_OK) {
    *value = (double)whole;
  } else {
    TX_TRY(tx_gguf_float(gguf, key, value, error));
  }
  return TX_OK;
}

/* Keys that change what a model computes, in models of a known name: where they
 * say more than the usual, the answers would be wrong without a word. */
static tx_status check_unusual(const tx_gguf *gguf, const tx_facts *facts, tx_error *error) {
  static const struct {
    const char *suffix;
    double usual[2]; /* ggml takes 0 for a key that is not there */
  } keys[] = {
      {"expert_count", {0, 0}},
      {"use_parallel_residual", {0, 0}},
      {"logit_scale", {1, 0}},
      {"residual_scale", {1, 0}},
      {"embedding_scale", {1, 0}},
      {"attention.scale", {0, 0}},
      {"attention.clamp_kqv", {0, 0}},
      {"attention.max_alibi_bias", {0, 0}},
      {"attn_logit_softcapping", {0, 0}},
      {"final_logit_softcapping", {0, 0}},
      {"attention.sliding_window", {0, 0}},
      {"attention.causal", {1, 1}},
  };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    char key[128];
    double value = keys[i].usual[0];
    snprintf(key, sizeof key, "%s.%s", facts->architecture->name, keys[i].suffix);
    if (tx_gguf_has(gguf, key)) TX_TRY(read_any_number(gguf, key, &value, error));
    if (value == keys[i].usual[0] || value == keys[i].usual[1]) continue;
    /* A window that no text outgrows is none. */
    bool window = strcmp(keys[i].suffix, "attention.sliding_window") == 0;
    if (window && value >= (double)facts->context) continue;
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: %s is %g, which taxon does not compute; use a model without it",
                   tx_gguf_path(gguf), key, value);
  }
  return TX_OK;
}

/* A matrix has at least two rows: what has one row is a vector (adapt/parameters.h). */
tx_status tx_facts_read(const tx_gguf *gguf, tx_facts *facts, tx_error *error) {
  enum { WIDEST = 1 << 17, LONGEST = 1 << 24 };
  memset(facts, 0, sizeof *facts);
  tx_text name;
  TX_TRY(tx_gguf_string(gguf, "general.architecture", &name, error));
  const tx_architecture *a = facts->architecture = tx_architecture_find(name);
  TX_TRY(tx_artifact_refuse(gguf, error));
  if (!a) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: the architecture '%.*s' is not known; taxon runs llama and gpt2",
                   tx_gguf_path(gguf), (int)(name.size < 60 ? name.size : 60), name.data);
  }
  TX_TRY(read_size(gguf, a, "block_count", 1, TX_MAX_BLOCKS, &facts->blocks, error));
  TX_TRY(read_size(gguf, a, "embedding_length", 2, WIDEST, &facts->width, error));
  TX_TRY(read_size(gguf, a, "feed_forward_length", 2, WIDEST, &facts->hidden, error));
  TX_TRY(read_size(gguf, a, "context_length", 1, LONGEST, &facts->context, error));
  TX_TRY(read_size(gguf, a, "attention.head_count", 1, 1024, &facts->heads, error));
  TX_TRY(read_optional(gguf, a, "attention.head_count_kv", 1, facts->heads, facts->heads,
                       &facts->kv_heads, error));
  TX_TRY(read_optional(gguf, a, "attention.key_length", 1, 4096, facts->width / facts->heads,
                       &facts->head_size, error));
  int64_t value_size;
  TX_TRY(read_optional(gguf, a, "attention.value_length", 1, 4096, facts->head_size, &value_size,
                       error));
  if (facts->heads % facts->kv_heads != 0 || value_size != facts->head_size ||
      facts->head_size * facts->kv_heads < 2 || facts->head_size * facts->heads > WIDEST) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: %" PRId64 " heads of %" PRId64 " with %" PRId64
                   " key/value heads of %" PRId64 " do not fit together",
                   tx_gguf_path(gguf), facts->heads, facts->head_size, facts->kv_heads, value_size);
  }
  TX_TRY(read_epsilon(gguf, facts, error));
  TX_TRY(read_rotary(gguf, facts, error));
  TX_TRY(check_unusual(gguf, facts, error));
  const tx_tensor *embedding = tx_gguf_tensor(gguf, "token_embd.weight");
  if (!embedding || embedding->dimensions != 2 || embedding->shape[0] != facts->width) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: token_embd.weight is missing or not %" PRId64 " wide; the file is damaged",
                   tx_gguf_path(gguf), facts->width);
  }
  facts->vocabulary = embedding->shape[1];
  return TX_OK;
}
