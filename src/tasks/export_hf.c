/* Names, layouts and config.json of transformers. */
#include "tasks/export_hf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "score/network.h"

typedef struct {
  const char *ours, *theirs;
} naming;

/* Below "blk.N." and below the block's own prefix there. */
static const naming llama_block[] = {{"attn_norm", "input_layernorm"},
                                     {"ffn_norm", "post_attention_layernorm"},
                                     {"attn_q", "self_attn.q_proj"},
                                     {"attn_k", "self_attn.k_proj"},
                                     {"attn_v", "self_attn.v_proj"},
                                     {"attn_output", "self_attn.o_proj"},
                                     {"ffn_gate", "mlp.gate_proj"},
                                     {"ffn_up", "mlp.up_proj"},
                                     {"ffn_down", "mlp.down_proj"},
                                     {NULL, NULL}};
static const naming gpt2_block[] = {
    {"attn_norm", "ln_1"},         {"ffn_norm", "ln_2"},    {"attn_qkv", "attn.c_attn"},
    {"attn_output", "attn.c_proj"}, {"ffn_up", "mlp.c_fc"}, {"ffn_down", "mlp.c_proj"},
    {NULL, NULL}};
static const naming llama_whole[] = {{"token_embd", "model.embed_tokens"},
                                     {"output_norm", "model.norm"},
                                     {"output", "lm_head"},
                                     {NULL, NULL}};
static const naming gpt2_whole[] = {{"token_embd", "transformer.wte"},
                                    {"position_embd", "transformer.wpe"},
                                    {"output_norm", "transformer.ln_f"},
                                    {"output", "lm_head"},
                                    {NULL, NULL}};

static bool is_gpt2(const tx_facts *facts) {
  return facts->architecture->positions == TX_POSITION_LEARNED;
}

static const char *find(const naming *list, const char *name, size_t size) {
  for (; list->ours; list++) {
    if (strlen(list->ours) == size && memcmp(list->ours, name, size) == 0) return list->theirs;
  }
  return NULL;
}

bool tx_hf_name(const tx_facts *facts, const char *tensor, char name[TX_HF_NAME]) {
  bool gpt2 = is_gpt2(facts);
  int block, at = 0;
  bool inside = sscanf(tensor, "blk.%5d.%n", &block, &at) == 1 && at > 0;
  const char *stem = tensor + at, *dot = strchr(stem, '.');
  if (!dot) return false;
  const naming *list = inside ? (gpt2 ? gpt2_block : llama_block)
                              : (gpt2 ? gpt2_whole : llama_whole);
  const char *theirs = find(list, stem, (size_t)(dot - stem));
  if (!theirs) return false;
  if (inside) {
    snprintf(name, TX_HF_NAME, "%s.%d.%s%s", gpt2 ? "transformer.h" : "model.layers", block,
             theirs, dot);
  } else {
    snprintf(name, TX_HF_NAME, "%s%s", theirs, dot);
  }
  return true;
}

/* Of the tensors of blocks, GPT-2's matrices and llama's queries and keys. */
tx_hf_layout tx_hf_layout_of(const tx_facts *facts, const tx_merged *merged) {
  if (merged->block < 0 || merged->rows == 1) return TX_HF_AS_IS;
  if (is_gpt2(facts)) return TX_HF_TRANSPOSED;
  bool turns = strstr(merged->tensor->name, ".attn_q.") || strstr(merged->tensor->name, ".attn_k.");
  return turns && facts->architecture->positions == TX_POSITION_ROTARY_PAIRS ? TX_HF_HALVES
                                                                             : TX_HF_AS_IS;
}

int64_t tx_hf_row(int64_t row, int64_t head_size) {
  int64_t head = row / head_size, within = row % head_size, half = head_size / 2;
  return head * head_size + 2 * (within % half) + within / half;
}

tx_status tx_hf_check(const tx_exporting *e, tx_error *error) {
  const tx_facts *f = tx_model_facts(e->model);
  const char *path = tx_gguf_path(tx_model_gguf(e->model)), *name = f->architecture->name;
  if (strcmp(name, "llama") != 0 && strcmp(name, "gpt2") != 0) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s is a %s model, and only llama and gpt2 models are written for transformers; "
                   "export it --to gguf",
                   path, name);
  }
  if (!is_gpt2(f) && f->rotary != f->head_size) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s turns %" PRId64 " of the %" PRId64
                   " elements of a head, and transformers' llama turns all; export it --to gguf",
                   path, f->rotary, f->head_size);
  }
  if (is_gpt2(f) && f->kv_heads != f->heads) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s shares keys among heads, which transformers' GPT-2 does not; export it --to "
                   "gguf",
                   path);
  }
  return TX_OK;
}

tx_status tx_hf_check_files(tx_exporting *e, const char *const *names, tx_error *error) {
  char path[4096];
  for (; *names; names++) TX_TRY(tx_export_path(e, *names, path, error));
  return TX_OK;
}

/* ---- the head ------------------------------------------------------------- */

static tx_status read_floats(void *context, int64_t from, int64_t count, float *values,
                             tx_error *error) {
  const tx_rows *head = context;
  (void)error;
  memcpy(values, (const float *)head->context + from * head->columns,
         (size_t)(count * head->columns) * sizeof *values);
  return TX_OK;
}

/* Of values in memory, (rows, columns); the arena's. */
static tx_rows *rows_of(tx_exporting *e, const float *values, int64_t rows, int64_t columns) {
  static const char name[] = "the head";
  tx_rows *made = tx_arena_array(e->arena, 2, sizeof *made);
  if (!made) return NULL;
  made[1] = (tx_rows){rows, columns, NULL, (void *)(uintptr_t)values, name};
  made[0] = (tx_rows){rows, columns, read_floats, &made[1], name};
  return made;
}

tx_status tx_hf_add_head(tx_exporting *e, const char *prefix, tx_safetensors *writer,
                         tx_error *error) {
  char names[2][TX_HF_NAME];
  int64_t labels = (int64_t)e->facts->label_count;
  tx_rows *weight = rows_of(e, e->weight, labels, e->features);
  tx_rows *bias = rows_of(e, e->bias, 1, labels);
  if (!weight || !bias) return tx_fail_memory(error, 256, "the head");
  snprintf(names[0], TX_HF_NAME, "%sscore.weight", prefix);
  snprintf(names[1], TX_HF_NAME, "%sscore.bias", prefix);
  tx_safetensors_add(writer, names[0], e->options.half, 2, weight);
  tx_safetensors_add(writer, names[1], e->options.half, 1, bias);
  return TX_OK;
}

/* ---- config.json ---------------------------------------------------------- */

static int64_t table_rows(const tx_exporting *e, const char *name, int64_t otherwise) {
  const tx_tensor *tensor = tx_gguf_tensor(tx_model_gguf(e->model), name);
  return tensor ? tensor->shape[1] : otherwise;
}

static json_t *llama_config(const tx_exporting *e) {
  const tx_facts *f = tx_model_facts(e->model);
  return json_pack(
      "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:{s:s, s:f}}", "model_type",
      "llama", "vocab_size", (json_int_t)table_rows(e, "token_embd.weight", f->vocabulary),
      "hidden_size", (json_int_t)f->width, "intermediate_size", (json_int_t)f->hidden,
      "num_hidden_layers", (json_int_t)e->depth, "num_attention_heads", (json_int_t)f->heads,
      "num_key_value_heads", (json_int_t)f->kv_heads, "head_dim", (json_int_t)f->head_size,
      "max_position_embeddings", (json_int_t)f->context, "hidden_act", "silu", "rms_norm_eps",
      (double)f->norm_epsilon, "rope_theta", f->rotary_base, "rope_parameters", "rope_type",
      "default", "rope_theta", f->rotary_base);
}

static json_t *gpt2_config(const tx_exporting *e) {
  const tx_facts *f = tx_model_facts(e->model);
  return json_pack(
      "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f}", "model_type", "gpt2",
      "vocab_size", (json_int_t)table_rows(e, "token_embd.weight", f->vocabulary), "n_embd",
      (json_int_t)f->width, "n_inner", (json_int_t)f->hidden, "n_layer", (json_int_t)e->depth,
      "n_head", (json_int_t)f->heads, "n_positions",
      (json_int_t)table_rows(e, "position_embd.weight", f->context), "activation_function",
      "gelu_new", "layer_norm_epsilon", (double)f->norm_epsilon, "attn_pdrop", 0.0, "embd_pdrop",
      0.0, "resid_pdrop", 0.0);
}

/* Each of these takes what it adds and says whether it is there. */
static bool put(json_t *object, const char *key, json_t *value) {
  return json_object_set_new(object, key, value) == 0;
}

static bool put_token(const tx_exporting *e, json_t *object, const char *key, const char *from) {
  int64_t id;
  if (!tx_gguf_has(tx_model_gguf(e->model), from)) return true;
  if (tx_gguf_int(tx_model_gguf(e->model), from, &id, NULL) != TX_OK) return true;
  return put(object, key, json_integer(id));
}

bool tx_hf_put_text(json_t *object, tx_text key, json_t *value) {
  char *copy = tx_copy_bytes(key.data, key.size);
  if (!copy) json_decref(value);
  bool done = copy && json_object_set_new(object, copy, value) == 0;
  tx_free(copy);
  return done;
}

static bool put_labels(const tx_exporting *e, json_t *object) {
  json_t *names = json_object(), *ids = json_object();
  bool whole = put(object, "id2label", names);
  whole = put(object, "label2id", ids) && whole;
  for (size_t i = 0; whole && i < e->facts->label_count; i++) {
    char id[24];
    tx_text label = e->facts->labels[i];
    snprintf(id, sizeof id, "%zu", i);
    whole = put(names, id, json_stringn(label.data, label.size)) &&
            tx_hf_put_text(ids, label, json_integer((json_int_t)i));
  }
  return whole;
}

/* A model type of its own: without the Python file the model would be taken for a plain
 * one, and answer without its bias and its pooling. */
static bool put_classifier(const tx_exporting *e, json_t *object) {
  bool gpt2 = is_gpt2(tx_model_facts(e->model));
  return put(object, "model_type", json_string(gpt2 ? "taxon_gpt2" : "taxon_llama")) &&
         put(object, "architectures", json_pack("[s]", "TaxonForSequenceClassification")) &&
         put(object, "auto_map",
             json_pack("{s:s, s:s}", "AutoConfig", "modeling_taxon.TaxonConfig",
                       "AutoModelForSequenceClassification",
                       "modeling_taxon.TaxonForSequenceClassification")) &&
         put(object, "pooling", json_string(tx_pooling_name(e->pooling))) &&
         put(object, "problem_type",
             json_string(e->facts->multi_label ? "multi_label_classification"
                                               : "single_label_classification")) &&
         put_labels(e, object);
}

static bool put_common(const tx_exporting *e, json_t *object, bool tied) {
  static const char model[] = "LlamaForCausalLM", gpt2[] = "GPT2LMHeadModel";
  const char *name = is_gpt2(tx_model_facts(e->model)) ? gpt2 : model;
  return put_token(e, object, "bos_token_id", "tokenizer.ggml.bos_token_id") &&
         put_token(e, object, "eos_token_id", "tokenizer.ggml.eos_token_id") &&
         put_token(e, object, "pad_token_id", "tokenizer.ggml.padding_token_id") &&
         put(object, "tie_word_embeddings", json_boolean(tied)) &&
         put(object, "torch_dtype", json_string(e->options.half ? "float16" : "float32")) &&
         (e->facts ? put_classifier(e, object)
                   : put(object, "architectures", json_pack("[s]", name)));
}

tx_status tx_hf_write_config(tx_exporting *e, bool tied, tx_error *error) {
  json_t *config = is_gpt2(tx_model_facts(e->model)) ? gpt2_config(e) : llama_config(e);
  bool whole = config && put_common(e, config, tied);
  if (!whole) json_decref(config);
  return tx_export_json(e, "config.json", whole ? config : NULL, error);
}
