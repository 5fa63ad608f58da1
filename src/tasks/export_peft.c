/* adapter_model.safetensors and adapter_config.json: low-rank adapters as PEFT keeps them,
 * with the head, over the model in transformers' form.
 * Where a file keeps query, key and value in one matrix their adapters become one of the
 * sum of the ranks: A one below the other, B with zeros elsewhere. */
#include <stdio.h>
#include <string.h>

#include "formats/nearest.h"
#include "score/network.h"
#include "tasks/export_hf.h"

static const char file_name[] = "adapter_model.safetensors", prefix[] = "base_model.model.";

typedef struct {
  const tx_merged *merged;
  tx_hf_layout layout;
  int64_t head_size, rank;  /* rank: of all parts */
  bool lengths;             /* DoRA's too */
  char module[TX_HF_NAME];  /* "model.layers.0.self_attn.q_proj" */
  tx_rows a, b, m;          /* (rank, inputs), (outputs, rank), (outputs) */
} adapter;

typedef struct {
  adapter *items; /* (count) */
  size_t count;
} adapters;

/* ---- values --------------------------------------------------------------- */

static const float *floats(const tx_tensor *tensor) {
  return (const float *)(const void *)tensor->data;
}

static tx_status check(const tx_weight *part, const tx_tensor *tensor, const float *values,
                       int64_t count, tx_error *error) {
  const tx_weight low = {.tensor = tensor, .file = part->file};
  return tx_weight_check(&low, values, count, error);
}

static tx_status read_a(void *context, int64_t from, int64_t count, float *values,
                        tx_error *error) {
  const adapter *x = context;
  int64_t begin = 0, columns = x->merged->columns;
  for (int i = 0; i < x->merged->count; i++) {
    const tx_weight *part = &x->merged->parts[i];
    int64_t rank = part->low_a ? part->low_a->shape[1] : 0;
    for (int64_t row = 0; row < rank; row++) {
      int64_t at = begin + row - from;
      if (at < 0 || at >= count) continue;
      memcpy(values + at * columns, floats(part->low_a) + row * columns,
             (size_t)columns * sizeof *values);
      TX_TRY(check(part, part->low_a, values + at * columns, columns, error));
    }
    begin += rank;
  }
  return TX_OK;
}

/* The part that row `row` of the matrix lies in, its number there, and the ranks before. */
static const tx_weight *part_of(const adapter *x, int64_t *row, int64_t *before) {
  *before = 0;
  for (int i = 0; i < x->merged->count; i++) {
    const tx_weight *part = &x->merged->parts[i];
    if (*row < part->rows) return part;
    *row -= part->rows;
    *before += part->low_a ? part->low_a->shape[1] : 0;
  }
  return NULL;
}

static tx_status read_b(void *context, int64_t from, int64_t count, float *values,
                        tx_error *error) {
  const adapter *x = context;
  memset(values, 0, (size_t)(count * x->rank) * sizeof *values);
  for (int64_t i = 0; i < count; i++) {
    int64_t row = from + i, before;
    if (x->layout == TX_HF_HALVES) row = tx_hf_row(row, x->head_size);
    const tx_weight *part = part_of(x, &row, &before);
    if (!part || !part->low_b) continue;
    int64_t rank = part->low_b->shape[0];
    float *place = values + i * x->rank + before;
    memcpy(place, floats(part->low_b) + row * rank, (size_t)rank * sizeof *values);
    TX_TRY(check(part, part->low_b, place, rank, error));
  }
  return TX_OK;
}

/* One row of all outputs; only of matrices in one part. */
static tx_status read_m(void *context, int64_t from, int64_t count, float *values,
                        tx_error *error) {
  const adapter *x = context;
  const tx_weight *part = &x->merged->parts[0];
  int64_t outputs = x->merged->rows;
  for (int64_t i = 0; i < outputs; i++) {
    int64_t row = x->layout == TX_HF_HALVES ? tx_hf_row(i, x->head_size) : i;
    values[i] = floats(part->low_m)[row];
  }
  (void)from, (void)count; /* it is asked for whole */
  return check(part, part->low_m, values, outputs, error);
}

/* ---- finding -------------------------------------------------------------- */

static bool make_adapter(const tx_exporting *e, const tx_merged *merged, adapter *x) {
  const tx_facts *facts = tx_model_facts(e->model);
  *x = (adapter){.merged = merged, .head_size = facts->head_size};
  for (int i = 0; i < merged->count; i++) {
    x->rank += merged->parts[i].low_a ? merged->parts[i].low_a->shape[1] : 0;
    x->lengths = x->lengths || merged->parts[i].low_m;
  }
  if (x->rank == 0 || !tx_hf_name(facts, merged->tensor->name, x->module)) return false;
  x->module[strlen(x->module) - strlen(".weight")] = '\0';
  x->layout = tx_hf_layout_of(facts, merged);
  return true;
}

static tx_status find_adapters(tx_exporting *e, adapters *found, tx_error *error) {
  tx_export_tensor *tensors;
  size_t count;
  TX_TRY(tx_export_tensors(e, &tensors, &count, error));
  found->items = tx_arena_array(e->arena, count, sizeof *found->items);
  if (!found->items) return tx_fail_memory(error, count * sizeof *found->items, "the adapters");
  for (size_t i = 0; i < count; i++) {
    adapter *x = &found->items[found->count];
    if (!make_adapter(e, &tensors[i].merged, x)) continue;
    x->a = (tx_rows){x->rank, tensors[i].merged.columns, read_a, x, "an adapter"};
    x->b = (tx_rows){tensors[i].merged.rows, x->rank, read_b, x, "an adapter"};
    x->m = (tx_rows){1, tensors[i].merged.rows, read_m, x, "an adapter"};
    if (x->lengths && x->merged->count > 1) {
      return tx_fail(
          error, TX_ERROR_ARGUMENT,
          "%s keeps query, key and value in one matrix, for which PEFT has no lengths of "
          "parts (--dora); export it --to safetensors",
          tx_model_facts(e->model)->architecture->name);
    }
    found->count++;
  }
  return TX_OK;
}

/* ---- writing -------------------------------------------------------------- */

static tx_status add_all(tx_exporting *e, const adapters *found, tx_safetensors *writer,
                         tx_error *error) {
  for (size_t i = 0; i < found->count; i++) {
    const adapter *x = &found->items[i];
    char name[2 * TX_HF_NAME];
    snprintf(name, sizeof name, "%s%s.lora_A.weight", prefix, x->module);
    tx_safetensors_add(writer, name, e->options.half, 2, &x->a);
    snprintf(name, sizeof name, "%s%s.lora_B.weight", prefix, x->module);
    tx_safetensors_add(writer, name, e->options.half, 2, &x->b);
    if (!x->lengths) continue;
    snprintf(name, sizeof name, "%s%s.lora_magnitude_vector", prefix, x->module);
    tx_safetensors_add(writer, name, e->options.half, 1, &x->m);
  }
  return e->facts ? tx_hf_add_head(e, prefix, writer, error) : TX_OK;
}

static tx_status write_adapters(tx_exporting *e, const adapters *found, tx_error *error) {
  char path[4096];
  TX_TRY(tx_export_path(e, file_name, path, error));
  tx_safetensors *writer = tx_safetensors_new();
  tx_status status = writer ? TX_OK : tx_fail_memory(error, 256, "the adapters");
  if (status == TX_OK) status = add_all(e, found, writer, error);
  if (status == TX_OK) status = tx_safetensors_commit(writer, path, error);
  tx_safetensors_free(writer);
  return status == TX_OK ? tx_export_wrote(e, file_name, error) : status;
}

/* Takes `value`. */
static bool put(json_t *object, const char *key, json_t *value) {
  return json_object_set_new(object, key, value) == 0;
}

/* Modules by their whole names, and the ranks of those that have another than the first.
 * What stands in the artifact is scaled already: alpha is the rank. */
static bool put_modules(json_t *object, const adapters *found) {
  json_t *modules = json_array(), *ranks = json_object();
  bool whole = put(object, "target_modules", modules);
  whole = put(object, "rank_pattern", ranks) && whole;
  for (size_t i = 0; whole && i < found->count; i++) {
    const adapter *x = &found->items[i];
    whole = json_array_append_new(modules, json_string(x->module)) == 0 &&
            (x->rank == found->items[0].rank ||
             put(ranks, x->module, json_integer((json_int_t)x->rank)));
  }
  return whole && put(object, "alpha_pattern", json_deep_copy(ranks));
}

static tx_status write_config(tx_exporting *e, const adapters *found, tx_error *error) {
  tx_text base = e->base_name;
  bool gpt2 = strcmp(tx_model_facts(e->model)->architecture->name, "gpt2") == 0;
  json_int_t rank = (json_int_t)found->items[0].rank;
  json_t *object =
      json_pack("{s:s, s:s, s:I, s:I, s:f, s:s, s:b, s:b, s:b, s:b}", "peft_type", "LORA",
                "task_type", e->facts ? "SEQ_CLS" : "CAUSAL_LM", "r", rank, "lora_alpha", rank,
                "lora_dropout", 0.0, "bias", "none", "fan_in_fan_out", (int)gpt2, "inference_mode",
                1, "use_rslora", 0, "use_dora", (int)found->items[0].lengths);
  bool named = tx_is_utf8(base);
  bool whole = object &&
               put(object, "base_model_name_or_path",
                   named ? json_stringn(base.data, base.size) : json_null()) &&
               put(object, "modules_to_save", e->facts ? json_pack("[s]", "score") : json_null()) &&
               put_modules(object, found);
  if (!whole) json_decref(object);
  return tx_export_json(e, "adapter_config.json", whole ? object : NULL, error);
}

tx_status tx_export_peft(tx_exporting *e, tx_error *error) {
  static const char *const names[] = {file_name, "adapter_config.json", NULL};
  static const char *const others[] = {"config.json", "modeling_taxon.py", "tokenizer.json",
                                       "tokenizer_config.json", NULL};
  adapters found = {NULL, 0};
  TX_TRY(tx_hf_check(e, error));
  TX_TRY(tx_hf_check_files(e, names, error));
  if (e->facts) TX_TRY(tx_hf_check_files(e, others, error));
  TX_TRY(find_adapters(e, &found, error));
  if (found.count == 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "there are no adapters to write: PEFT takes what train --method lora made; "
                   "export it --to safetensors");
  }
  TX_TRY(write_adapters(e, &found, error));
  TX_TRY(write_config(e, &found, error));
  if (!e->facts) return TX_OK;
  TX_TRY(tx_hf_write_config(e, true, error));
  TX_TRY(tx_hf_write_python(e, error));
  return tx_hf_write_tokenizer(e, error);
}
