/* tx_export: what is written holds the very values of the artifact's model, in the layout of
 * the program it is for; and whatever cannot be is one sentence, and leaves nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "tasks/made.h"
#include "formats/artifact.h"
#include "formats/gguf_write.h"
#include "kernels/dequantize.h"
#include "model/model.h"

/* ---- making and exporting ------------------------------------------------ */

typedef struct {
  const char *name, *model;
  tx_method method;
  tx_pooling pooling;
  int depth; /* 0: all */
} made_classifier;

static const made_classifier classifiers[] = {
    {"lora-llama", llama, TX_METHOD_LORA, TX_POOLING_LAST, 0},
    {"lora-gpt2", gpt2, TX_METHOD_LORA, TX_POOLING_MEAN, 0},
    {"full-llama", llama, TX_METHOD_FULL, TX_POOLING_LAST_MEAN, 0},
    {"full-gpt2", gpt2, TX_METHOD_FULL, TX_POOLING_LAST, 0},
    {"norms-gpt2", gpt2, TX_METHOD_NORMS, TX_POOLING_LAST, 0},
    {"block-llama", llama, TX_METHOD_LAST_BLOCK, TX_POOLING_MEAN, 2},
    {"head-gpt2", gpt2, TX_METHOD_HEAD, TX_POOLING_FIRST, 1},
};
enum { CLASSIFIERS = sizeof classifiers / sizeof *classifiers };

/* Trained at first use. */
static const char *artifact_of(const made_classifier *of) {
  char name[64];
  snprintf(name, sizeof name, "%s.taxon", of->name);
  const char *path = made(name);
  if (access(path, F_OK) == 0) return path;
  tx_train_options options = made_options(of->model, path);
  options.method = of->method;
  options.pooling = of->pooling;
  options.depth = of->depth;
  options.rank = 4;
  options.patience = options.epochs = 4;
  bool few = of->method == TX_METHOD_NORMS || of->method == TX_METHOD_LORA;
  options.learning_rate = few ? 5e-3 : 5e-4;
  tx_train_report report = made_train(options);
  if (of->method != TX_METHOD_HEAD && report.best_epoch == 0) fail_msg("%s: no change", of->name);
  return path;
}

static tx_export_options export_options(tx_export_form to, const char *out) {
  tx_export_options options = tx_export_defaults();
  options.home = made_directory;
  options.to = to;
  options.out = made(out);
  options.replace = true;
  return options;
}

static tx_export_report exported(const char *what, tx_export_options options) {
  tx_export_report report;
  MADE_OK(tx_export(what, options, &report, NULL, error));
  assert_true(report.file_count > 0);
  for (size_t i = 0; i < report.file_count; i++) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", options.out, report.files[i].name);
    assert_int_equal(tx_file_look(path).bytes, report.files[i].bytes);
  }
  assert_int_equal(made_names(options.out), report.file_count);
  return report;
}

/* The model as the artifact leaves it, with its artifact. */
typedef struct {
  tx_gguf *artifact;
  tx_artifact_facts facts;
  tx_model *model;
} opened;

static opened open_classifier(const made_classifier *of) {
  opened o = {0};
  MADE_OK(tx_artifact_open(artifact_of(of), &o.artifact, &o.facts, error));
  MADE_OK(tx_model_open(of->model, o.artifact, &o.model, error));
  return o;
}

static void close_classifier(opened *o) {
  tx_model_close(o->model);
  tx_gguf_close(o->artifact);
}

static float *read_matrix(const tx_model *model, int64_t block, tx_matrix_slot slot, bool bias) {
  int64_t outputs, inputs;
  tx_matrix_shape(tx_model_facts(model), slot, &outputs, &inputs);
  float *values = calloc((size_t)(bias ? outputs : outputs * inputs), sizeof *values);
  MADE_OK(tx_model_read_matrix(model, block, slot, bias, values, error));
  return values;
}

static json_t *read_json(const char *out, const char *name) {
  char path[4200];
  json_error_t why;
  snprintf(path, sizeof path, "%s/%s", out, name);
  json_t *object = json_load_file(path, 0, &why);
  if (!object) fail_msg("%s: %s", path, why.text);
  return object;
}

/* ---- GGUF ------------------------------------------------------------------ */

static void compare_block(const tx_model *a, const tx_model *b, int64_t block) {
  const tx_facts *facts = tx_model_facts(a);
  size_t width = (size_t)facts->width * sizeof(float);
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    int64_t outputs, inputs;
    tx_matrix_shape(facts, (tx_matrix_slot)slot, &outputs, &inputs);
    for (int bias = 0; outputs > 0 && bias <= facts->architecture->biases; bias++) {
      float *x = read_matrix(a, block, (tx_matrix_slot)slot, bias);
      float *y = read_matrix(b, block, (tx_matrix_slot)slot, bias);
      assert_memory_equal(x, y, (size_t)(bias ? outputs : outputs * inputs) * sizeof(float));
      free(x), free(y);
    }
  }
  for (int slot = 0; slot < TX_NORMS; slot++) {
    float x[2][64] = {{0}}, y[2][64] = {{0}};
    assert_true(width <= sizeof x[0]);
    MADE_OK(tx_model_read_norm(a, block, (tx_norm_slot)slot, x[0], x[1], error));
    MADE_OK(tx_model_read_norm(b, block, (tx_norm_slot)slot, y[0], y[1], error));
    assert_memory_equal(x, y, sizeof x);
  }
}

static void compare_tables(const tx_model *a, const tx_model *b) {
  const tx_facts *facts = tx_model_facts(a);
  size_t width = (size_t)facts->width * sizeof(float);
  float x[64], y[64];
  for (int32_t id = 0; id < facts->vocabulary; id++) {
    tx_model_read_token(a, id, x), tx_model_read_token(b, id, y);
    assert_memory_equal(x, y, width);
  }
  bool learned = facts->architecture->positions == TX_POSITION_LEARNED;
  for (int64_t at = 0; learned && at < facts->context; at++) {
    tx_model_read_position(a, at, x), tx_model_read_position(b, at, y);
    assert_memory_equal(x, y, width);
  }
  const tx_norm *p = tx_model_output_norm(a), *q = tx_model_output_norm(b);
  assert_memory_equal(p->weight, q->weight, width);
  if (p->bias) assert_memory_equal(p->bias, q->bias, width);
}

static void check_head_json(const opened *o, const char *out) {
  json_t *head = read_json(out, "classifier.json");
  const tx_tensor *parts[] = {tx_gguf_tensor(o->artifact, "head.weight"),
                                tx_gguf_tensor(o->artifact, "head.bias")};
  const float *weight = (const float *)(const void *)parts[0]->data;
  const float *bias = (const float *)(const void *)parts[1]->data;
  int64_t features = tx_gguf_tensor(o->artifact, "head.weight")->shape[0];
  json_t *rows = json_object_get(head, "weight");
  assert_int_equal(json_array_size(rows), 3);
  for (size_t c = 0; c < 3; c++) {
    json_t *row = json_array_get(rows, c);
    assert_int_equal(json_array_size(row), features);
    for (int64_t i = 0; i < features; i++) {
      float value = (float)json_real_value(json_array_get(row, (size_t)i));
      assert_true(value == weight[(int64_t)c * features + i]); /* nine digits give a float */
    }
    json_t *value = json_array_get(json_object_get(head, "bias"), c);
    assert_true((float)json_real_value(value) == bias[c]);
    assert_string_equal(json_string_value(json_array_get(json_object_get(head, "labels"), c)),
                        made_labels[c]);
  }
  json_decref(head);
}

static void check_gguf(const made_classifier *of) {
  tx_export_options options = export_options(TX_EXPORT_GGUF, of->name);
  tx_export_report report = exported(artifact_of(of), options);
  opened o = open_classifier(of);
  tx_model *written;
  char path[4200];
  snprintf(path, sizeof path, "%s/model.gguf", options.out);
  MADE_OK(tx_model_open(path, NULL, &written, error));
  assert_int_equal(tx_model_facts(written)->blocks, o.facts.depth);
  assert_int_equal(report.depth, o.facts.depth);
  assert_int_equal(report.labels, 3);
  assert_true(report.classifier && (report.changed > 0) == (of->method != TX_METHOD_HEAD));
  for (int64_t block = 0; block < o.facts.depth; block++) compare_block(o.model, written, block);
  compare_tables(o.model, written);
  check_head_json(&o, options.out);
  tx_model_close(written);
  close_classifier(&o);
}

static void test_gguf_has_the_values(void **state) {
  (void)state;
  for (int i = 0; i < CLASSIFIERS; i++) check_gguf(&classifiers[i]);
}

static void check_plain_gguf(const char *model) {
  tx_export_options options = export_options(TX_EXPORT_GGUF, "plain");
  tx_export_report report = exported(model, options);
  assert_true(!report.classifier && report.changed == 0 && report.file_count == 1);
  tx_gguf *base, *written;
  MADE_OK(tx_gguf_open(model, &base, error));
  MADE_OK(tx_gguf_open(made("plain/model.gguf"), &written, error));
  assert_int_equal(tx_gguf_tensor_count(base), tx_gguf_tensor_count(written));
  for (size_t i = 0; i < tx_gguf_tensor_count(base); i++) {
    const tx_tensor *a = tx_gguf_tensor_at(base, i), *b = tx_gguf_tensor(written, a->name);
    assert_non_null(b);
    assert_int_equal(a->type, b->type);
    assert_memory_equal(a->shape, b->shape, sizeof a->shape);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->data, b->data, a->size);
  }
  tx_gguf_close(base), tx_gguf_close(written);
  /* Keys too: the tokenizer gives the same, and exporting it again the same bytes. */
  options.out = made("again");
  exported(made("plain/model.gguf"), options);
  assert_true(same_files(made("plain/model.gguf"), made("again/model.gguf")));
}

static void test_a_model_as_gguf(void **state) {
  (void)state;
  check_plain_gguf(llama);
  check_plain_gguf(gpt2);
}

/* Where the output shares the table whose rows were trained, it stays as it was: the rows
 * that taxon trains are of the embedding alone. */
static void test_output_is_kept(void **state) {
  (void)state;
  exported(artifact_of(&classifiers[2]), export_options(TX_EXPORT_GGUF, "kept"));
  tx_gguf *base, *written;
  MADE_OK(tx_gguf_open(llama, &base, error));
  MADE_OK(tx_gguf_open(made("kept/model.gguf"), &written, error));
  assert_null(tx_gguf_tensor(base, "output.weight"));
  const tx_tensor *embedding = tx_gguf_tensor(base, "token_embd.weight");
  const tx_tensor *output = tx_gguf_tensor(written, "output.weight");
  assert_non_null(output);
  assert_int_equal(output->size, embedding->size);
  assert_memory_equal(output->data, embedding->data, output->size);
  assert_int_equal(tx_gguf_tensor(written, "token_embd.weight")->type, TX_TENSOR_F32);
  tx_gguf_close(base), tx_gguf_close(written);
}

static void test_half(void **state) {
  (void)state;
  tx_export_options options = export_options(TX_EXPORT_GGUF, "half");
  options.half = true;
  exported(artifact_of(&classifiers[0]), options);
  opened o = open_classifier(&classifiers[0]);
  tx_model *written;
  MADE_OK(tx_model_open(made("half/model.gguf"), NULL, &written, error));
  assert_int_equal(tx_gguf_tensor(tx_model_gguf(written), "blk.1.attn_q.weight")->type,
                   TX_TENSOR_F16);
  float *a = read_matrix(o.model, 1, TX_MATRIX_QUERY, false);
  float *b = read_matrix(written, 1, TX_MATRIX_QUERY, false);
  double most = 0;
  for (int i = 0; i < 64 * 64; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
  assert_true(most > 0 && most < 1e-3);
  free(a), free(b);
  tx_model_close(written);
  close_classifier(&o);
}

/* ---- safetensors ----------------------------------------------------------- */

typedef struct {
  char *data;
  json_t *header;
  const char *payload;
} tensors;

static tensors read_tensors(const char *path) {
  size_t size;
  uint64_t length;
  json_error_t why;
  tensors t = {read_bytes(path, &size), NULL, NULL};
  memcpy(&length, t.data, sizeof length);
  t.header = json_loadb(t.data + 8, length, 0, &why);
  assert_non_null(t.header);
  t.payload = t.data + 8 + length;
  return t;
}

/* A copy, since it may lie anywhere: of `count` floats, freed by the caller. */
static float *tensor(const tensors *t, const char *name, int64_t count) {
  json_t *offsets = json_object_get(json_object_get(t->header, name), "data_offsets");
  if (!offsets) fail_msg("there is no tensor %s", name);
  int64_t begin = json_integer_value(json_array_get(offsets, 0));
  assert_int_equal(json_integer_value(json_array_get(offsets, 1)) - begin, 4 * count);
  float *values = calloc((size_t)count, sizeof *values);
  memcpy(values, t->payload + begin, (size_t)count * sizeof *values);
  return values;
}

static void free_tensors(tensors *t) {
  json_decref(t->header);
  free(t->data);
}

/* Row h D + s D/2 + i there is row h D + 2 i + s here (transformers: the two that turn
 * together are half a head apart). */
static void check_turned(const tensors *t, const char *name, const float *ours, int heads,
                         int width) {
  enum { D = 16 };
  float *theirs = tensor(t, name, heads * D * width);
  for (int h = 0; h < heads; h++) {
    for (int s = 0; s < 2; s++) {
      for (int i = 0; i < D / 2; i++) {
        const float *row = theirs + (h * D + s * D / 2 + i) * width;
        assert_memory_equal(row, ours + (h * D + 2 * i + s) * width, (size_t)width * 4);
      }
    }
  }
  free(theirs);
}

static void test_llama_safetensors(void **state) {
  (void)state;
  tx_export_report report =
      exported(artifact_of(&classifiers[0]), export_options(TX_EXPORT_SAFETENSORS, "sl"));
  assert_int_equal(report.file_count, 5);
  opened o = open_classifier(&classifiers[0]);
  tensors t = read_tensors(made("sl/model.safetensors"));
  assert_int_equal(json_object_size(t.header), 1 + 29 + 2);
  float *q = read_matrix(o.model, 1, TX_MATRIX_QUERY, false);
  float *k = read_matrix(o.model, 1, TX_MATRIX_KEY, false);
  float *down = read_matrix(o.model, 2, TX_MATRIX_DOWN, false);
  check_turned(&t, "model.layers.1.self_attn.q_proj.weight", q, 4, 64);
  check_turned(&t, "model.layers.1.self_attn.k_proj.weight", k, 2, 64);
  float *written = tensor(&t, "model.layers.2.mlp.down_proj.weight", 64 * 72);
  assert_memory_equal(written, down, 64 * 72 * sizeof *down);
  float *score = tensor(&t, "score.weight", 3 * 64);
  assert_memory_equal(score, tx_gguf_tensor(o.artifact, "head.weight")->data, 3 * 64 * 4);
  json_t *config = read_json(made("sl"), "config.json");
  assert_int_equal(json_integer_value(json_object_get(config, "num_hidden_layers")), 3);
  assert_string_equal(json_string_value(json_object_get(config, "model_type")), "taxon_llama");
  assert_string_equal(
      json_string_value(json_object_get(json_object_get(config, "id2label"), "2")), "mixed");
  json_decref(config);
  free(q), free(k), free(down), free(written), free(score);
  free_tensors(&t);
  close_classifier(&o);
}

/* Conv1D keeps (inputs, outputs), and query, key and value beside one another. */
static void test_gpt2_safetensors(void **state) {
  (void)state;
  enum { C = 48 };
  exported(artifact_of(&classifiers[3]), export_options(TX_EXPORT_SAFETENSORS, "sg"));
  opened o = open_classifier(&classifiers[3]);
  tensors t = read_tensors(made("sg/model.safetensors"));
  float *attention = tensor(&t, "transformer.h.1.attn.c_attn.weight", C * 3 * C);
  float *bias = tensor(&t, "transformer.h.1.attn.c_attn.bias", 3 * C);
  for (int slot = TX_MATRIX_QUERY; slot <= TX_MATRIX_VALUE; slot++) {
    float *ours = read_matrix(o.model, 1, (tx_matrix_slot)slot, false);
    for (int row = 0; row < C; row++) {
      for (int i = 0; i < C; i++) {
        assert_true(attention[i * 3 * C + slot * C + row] == ours[row * C + i]);
      }
    }
    free(ours);
    ours = read_matrix(o.model, 1, (tx_matrix_slot)slot, true);
    assert_memory_equal(bias + slot * C, ours, C * sizeof *ours);
    free(ours);
  }
  float *embedding = tensor(&t, "transformer.wte.weight", 421 * C), row[C];
  for (int32_t id = 0; id < 421; id++) {
    tx_model_read_token(o.model, id, row);
    assert_memory_equal(embedding + id * C, row, sizeof row);
  }
  float *norm = tensor(&t, "transformer.ln_f.bias", C);
  assert_memory_equal(norm, tx_model_output_norm(o.model)->bias, C * sizeof *norm);
  free(attention), free(bias), free(embedding), free(norm);
  free_tensors(&t);
  close_classifier(&o);
}

static void test_a_model_as_safetensors(void **state) {
  (void)state;
  exported(llama, export_options(TX_EXPORT_SAFETENSORS, "sm"));
  tensors t = read_tensors(made("sm/model.safetensors"));
  assert_null(json_object_get(t.header, "score.weight"));
  assert_null(json_object_get(t.header, "lm_head.weight")); /* tied */
  json_t *config = read_json(made("sm"), "config.json");
  assert_string_equal(json_string_value(json_object_get(config, "model_type")), "llama");
  assert_true(json_is_true(json_object_get(config, "tie_word_embeddings")));
  assert_null(json_object_get(config, "auto_map"));
  json_t *tokenizer = read_json(made("sm"), "tokenizer.json");
  json_t *model = json_object_get(tokenizer, "model");
  assert_int_equal(json_object_size(json_object_get(model, "vocab")), 421);
  assert_int_equal(json_array_size(json_object_get(tokenizer, "added_tokens")), 3);
  json_decref(config), json_decref(tokenizer);
  free_tensors(&t);
}

/* ---- PEFT -------------------------------------------------------------------- */

/* B A, (outputs, inputs), of a module. */
static float *product(const tensors *t, const char *module, int rank, int outputs, int inputs) {
  char name[200];
  snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", module);
  float *a = tensor(t, name, rank * inputs), *made_product = calloc((size_t)(outputs * inputs), 4);
  snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", module);
  float *b = tensor(t, name, outputs * rank);
  for (int o = 0; o < outputs; o++) {
    for (int r = 0; r < rank; r++) {
      for (int i = 0; i < inputs; i++) {
        made_product[o * inputs + i] += b[o * rank + r] * a[r * inputs + i];
      }
    }
  }
  free(a), free(b);
  return made_product;
}

/* What was added to the base's matrix is the product, in the layout of transformers. */
static void check_added(const made_classifier *of, tx_matrix_slot slot, const float *added,
                        int rows, int columns, bool turned) {
  opened o = open_classifier(of);
  tx_model *base;
  MADE_OK(tx_model_open(of->model, NULL, &base, error));
  float *x = read_matrix(base, 1, slot, false), *y = read_matrix(o.model, 1, slot, false);
  double most = 0;
  for (int row = 0; row < rows; row++) {
    int h = row / 16, within = row % 16;
    int here = turned ? h * 16 + 2 * (within % 8) + within / 8 : row;
    for (int i = 0; i < columns; i++) {
      double change = (double)y[here * columns + i] - (double)x[here * columns + i];
      most = fmax(most, fabs(change));
      assert_true(fabs(change - (double)added[row * columns + i]) < 1e-6);
    }
  }
  assert_true(most > 1e-4);
  free(x), free(y);
  tx_model_close(base);
  close_classifier(&o);
}

static void test_llama_peft(void **state) {
  (void)state;
  tx_export_report report =
      exported(artifact_of(&classifiers[0]), export_options(TX_EXPORT_PEFT, "pl"));
  assert_int_equal(report.file_count, 6);
  tensors t = read_tensors(made("pl/adapter_model.safetensors"));
  assert_int_equal(json_object_size(t.header), 1 + 2 * 21 + 2);
  float *q = product(&t, "model.layers.1.self_attn.q_proj", 4, 64, 64);
  check_added(&classifiers[0], TX_MATRIX_QUERY, q, 64, 64, true);
  float *up = product(&t, "model.layers.1.mlp.up_proj", 4, 72, 64);
  check_added(&classifiers[0], TX_MATRIX_UP, up, 72, 64, false);
  json_t *config = read_json(made("pl"), "adapter_config.json");
  assert_int_equal(json_integer_value(json_object_get(config, "r")), 4);
  assert_int_equal(json_integer_value(json_object_get(config, "lora_alpha")), 4);
  assert_int_equal(json_array_size(json_object_get(config, "target_modules")), 21);
  assert_int_equal(json_object_size(json_object_get(config, "rank_pattern")), 0);
  assert_true(json_is_false(json_object_get(config, "fan_in_fan_out")));
  json_decref(config);
  free(q), free(up);
  free_tensors(&t);
}

/* Three adapters in one: of the sum of their ranks. */
static void test_gpt2_peft(void **state) {
  (void)state;
  exported(artifact_of(&classifiers[1]), export_options(TX_EXPORT_PEFT, "pg"));
  tensors t = read_tensors(made("pg/adapter_model.safetensors"));
  float *all = product(&t, "transformer.h.1.attn.c_attn", 12, 144, 48);
  check_added(&classifiers[1], TX_MATRIX_QUERY, all, 48, 48, false);
  check_added(&classifiers[1], TX_MATRIX_KEY, all + 48 * 48, 48, 48, false);
  check_added(&classifiers[1], TX_MATRIX_VALUE, all + 2 * 48 * 48, 48, 48, false);
  json_t *config = read_json(made("pg"), "adapter_config.json");
  json_t *ranks = json_object_get(config, "rank_pattern");
  assert_int_equal(json_integer_value(json_object_get(config, "r")), 12);
  assert_int_equal(json_integer_value(json_object_get(ranks, "transformer.h.1.mlp.c_fc")), 4);
  json_decref(config);
  free(all);
  free_tensors(&t);
}

/* ---- several heads, int8 ------------------------------------------------------ */

static const char *two_heads(void) {
  static tx_label_source sources[2];
  const char *path = made("heads.taxon");
  tx_train_options options = made_options(llama, path);
  sources[0] = (tx_label_source){"mood", options.data};
  sources[1] = (tx_label_source){"other", options.validation};
  options.data = options.validation = NULL;
  options.heads = sources, options.head_count = 2;
  options.depth = 2;
  made_train(options);
  return path;
}

static void test_heads(void **state) {
  (void)state;
  const char *path = two_heads();
  tx_export_options options = export_options(TX_EXPORT_SAFETENSORS, "heads");
  options.head = "other";
  exported(path, options);
  tx_gguf *artifact;
  MADE_OK(tx_gguf_open(path, &artifact, error));
  tensors t = read_tensors(made("heads/model.safetensors"));
  float *score = tensor(&t, "score.weight", 3 * 64);
  assert_memory_equal(score, tx_gguf_tensor(artifact, "head.1.weight")->data, 3 * 64 * 4);
  options.head = "moods";
  tx_export_report report;
  MADE_FAILS(tx_export(path, options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "has no head 'moods'; its heads are: mood, other; did you mean 'mood'?");
  free(score);
  free_tensors(&t);
  tx_gguf_close(artifact);
}

/* One label a text, and any number of them: what asks the model is told which it is. */
static void test_any_number_of_labels_is_told(void **state) {
  (void)state;
  for (int several = 0; several < 2; several++) {
    tx_train_options options = made_options(llama, made("several.taxon"));
    options.table.label_separator = several ? "," : NULL;
    made_train(options);
    exported(options.out, export_options(TX_EXPORT_SAFETENSORS, "several"));
    json_t *config = read_json(made("several"), "config.json");
    assert_string_equal(json_string_value(json_object_get(config, "problem_type")),
                        several ? "multi_label_classification" : "single_label_classification");
    json_decref(config);
    exported(options.out, export_options(TX_EXPORT_GGUF, "several-gguf"));
    json_t *head = read_json(made("several-gguf"), "classifier.json");
    assert_int_equal(json_is_true(json_object_get(head, "multi_label")), several);
    json_decref(head);
  }
}

static void keep_note(void *context, const char *sentence) {
  snprintf(context, 300, "%s", sentence);
}

static void test_int8_is_told(void **state) {
  (void)state;
  tx_train_options train = made_options(llama, made("int8.taxon"));
  train.precision = TX_PRECISION_INT8;
  made_train(train);
  char note[300] = "";
  tx_watch watch = {.note = keep_note, .context = note};
  tx_export_report report;
  MADE_OK(tx_export(made("int8.taxon"), export_options(TX_EXPORT_GGUF, "int8"), &report, &watch,
                    error));
  assert_non_null(strstr(note, "runs in int8"));
}

/* ---- stopping ------------------------------------------------------------------- */

typedef struct {
  int left; /* reports until it is stopped */
  int64_t done, total;
} stopping;

static void count_report(void *context, const char *stage, int64_t done, int64_t total,
                         const char *unit) {
  stopping *s = context;
  (void)stage, (void)unit;
  assert_true(done > s->done && done <= total);
  s->done = done, s->total = total;
  s->left--;
}

static bool wants_to_stop(void *context) { return ((stopping *)context)->left <= 0; }

static void test_stopping(void **state) {
  (void)state;
  const char *path = artifact_of(&classifiers[2]);
  tx_export_options options = export_options(TX_EXPORT_SAFETENSORS, "stopped");
  stopping s = {.left = 1 << 30};
  tx_watch watch = {.report = count_report, .cancelled = wants_to_stop, .context = &s};
  tx_export_report report;
  MADE_OK(tx_export(path, options, &report, &watch, error));
  assert_true(s.total > 0 && s.done == s.total); /* all of it was told */
  tx_directory_remove(options.out);
  s = (stopping){.left = 5};
  MADE_FAILS(tx_export(path, options, &report, &watch, error), TX_ERROR_INTERRUPTED, "");
  assert_false(tx_file_look(options.out).exists);
}

/* ---- what is refused ------------------------------------------------------------ */

static void check_fails(const char *what, tx_export_options options, tx_status status,
                        const char *part) {
  tx_export_report report;
  bool there = tx_file_look(options.out).exists;
  size_t before = there && tx_file_look(options.out).directory ? made_names(options.out) : 0;
  MADE_FAILS(tx_export(what, options, &report, NULL, error), status, part);
  assert_int_equal(tx_file_look(options.out).exists, there);
  if (before > 0) assert_int_equal(made_names(options.out), before);
}

static void test_refusals(void **state) {
  (void)state;
  const char *head = artifact_of(&classifiers[6]);
  tx_export_options options = export_options(TX_EXPORT_PEFT, "refused");
  check_fails(head, options, TX_ERROR_ARGUMENT, "no adapters");
  check_fails(llama, options, TX_ERROR_ARGUMENT, "no adapters");
  options.to = TX_EXPORT_GGUF;
  check_fails("smollm9", options, TX_ERROR_INPUT, "smollm9");
  check_fails(made("train.tsv"), options, TX_ERROR_INPUT, "train.tsv");
  options.model = llama;
  check_fails(head, options, TX_ERROR_INPUT, "another base model");
  check_fails(llama, options, TX_ERROR_ARGUMENT, "is a model by itself");
  options.model = NULL;
  options.head = "mood";
  check_fails(head, options, TX_ERROR_ARGUMENT, "has no head 'mood'");
  check_fails(llama, options, TX_ERROR_ARGUMENT, "is a model by itself");
  options.head = NULL;
  options.to = (tx_export_form)3;
  check_fails(head, options, TX_ERROR_ARGUMENT, "between 0 and 2");
  options.to = TX_EXPORT_GGUF;
  options.out = "";
  check_fails(head, options, TX_ERROR_ARGUMENT, "needs a classifier or a model");
}

/* The same artifact with another depth. */
static const char *at_depth(const char *path, int64_t depth) {
  static const char *const without[] = {"taxon.depth"};
  tx_gguf *from;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  MADE_OK(tx_gguf_open(path, &from, error));
  tx_gguf_add_all(writer, from, without, 1);
  tx_gguf_add_int(writer, "taxon.depth", depth);
  MADE_OK(tx_gguf_commit(writer, made("depth.taxon"), error));
  tx_gguf_writer_free(writer);
  tx_gguf_close(from);
  return made("depth.taxon");
}

static void test_depths(void **state) {
  (void)state;
  const char *head = artifact_of(&classifiers[6]);
  tx_export_options options = export_options(TX_EXPORT_GGUF, "depths");
  check_fails(at_depth(head, 0), options, TX_ERROR_ARGUMENT, "runs no block");
  check_fails(at_depth(head, 3), options, TX_ERROR_INPUT, "its base has 2");
  options.to = TX_EXPORT_SAFETENSORS;
  assert_int_equal(exported(at_depth(head, 0), options).depth, 0);
  tensors t = read_tensors(made("depths/model.safetensors"));
  assert_int_equal(json_object_size(t.header), 1 + 2 + 2 + 2); /* tables, norm, head */
  free_tensors(&t);
}

/* With leave to replace, a failure still leaves nothing new beside what was there. */
static void test_new_beside_old(void **state) {
  (void)state;
  const char *path = artifact_of(&classifiers[2]);
  tx_export_options options = export_options(TX_EXPORT_GGUF, "beside");
  MADE_OK(tx_directory_make(made("beside/classifier.json"), error)); /* cannot be written */
  check_fails(path, options, TX_ERROR_SYSTEM, "it is a directory");
}

static void test_places(void **state) {
  (void)state;
  const char *head = artifact_of(&classifiers[6]);
  tx_export_options options = export_options(TX_EXPORT_GGUF, "train.tsv/below");
  check_fails(head, options, TX_ERROR_SYSTEM, "train.tsv");
  options.out = "/proc/taxon-none";
  check_fails(head, options, TX_ERROR_SYSTEM, "/proc/taxon-none");
  /* What is there stays, and nothing is written beside it. */
  options.out = made("places");
  options.replace = false;
  MADE_OK(tx_directory_make(options.out, error));
  write_text(made("places/classifier.json"), "mine");
  check_fails(head, options, TX_ERROR_INPUT, "is there already");
  size_t size;
  char *mine = read_bytes(made("places/classifier.json"), &size);
  assert_string_equal(mine, "mine");
  free(mine);
  options.replace = true;
  exported(head, options);
  options.to = TX_EXPORT_SAFETENSORS;
  options.replace = false;
  write_text(made("places/tokenizer_config.json"), "mine");
  check_fails(head, options, TX_ERROR_INPUT, "tokenizer_config.json is there already");
  /* Over itself. */
  options = export_options(TX_EXPORT_GGUF, "self");
  MADE_OK(tx_directory_make(options.out, error));
  char *bytes = read_bytes(llama, &size);
  write_bytes(made("self/model.gguf"), bytes, size);
  free(bytes);
  check_fails(made("self/model.gguf"), options, TX_ERROR_ARGUMENT, "is the file of the model");
}

/* A change that holds NaN is found while it is written: nothing of the export stays. */
static void test_damaged_while_written(void **state) {
  (void)state;
  size_t size;
  char *bytes = read_bytes(artifact_of(&classifiers[0]), &size);
  tx_gguf *artifact;
  MADE_OK(tx_gguf_open(artifact_of(&classifiers[0]), &artifact, error));
  uint64_t offset = tx_gguf_tensor(artifact, "blk.2.ffn_down.weight.lora_b")->offset;
  tx_gguf_close(artifact);
  float nan = NAN;
  memcpy(bytes + offset, &nan, sizeof nan);
  write_bytes(made("damaged.taxon"), bytes, size);
  free(bytes);
  static const tx_export_form forms[] = {TX_EXPORT_GGUF, TX_EXPORT_SAFETENSORS, TX_EXPORT_PEFT};
  for (int i = 0; i < 3; i++) {
    tx_export_options options = export_options(forms[i], "damaged");
    check_fails(made("damaged.taxon"), options, TX_ERROR_INPUT, "NaN");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gguf_has_the_values), cmocka_unit_test(test_a_model_as_gguf),
      cmocka_unit_test(test_output_is_kept),      cmocka_unit_test(test_half),
      cmocka_unit_test(test_llama_safetensors),   cmocka_unit_test(test_gpt2_safetensors),
      cmocka_unit_test(test_a_model_as_safetensors),
      cmocka_unit_test(test_llama_peft),          cmocka_unit_test(test_gpt2_peft),
      cmocka_unit_test(test_heads),               cmocka_unit_test(test_int8_is_told),
      cmocka_unit_test(test_any_number_of_labels_is_told), cmocka_unit_test(test_stopping),
      cmocka_unit_test(test_refusals),            cmocka_unit_test(test_places),
      cmocka_unit_test(test_depths),              cmocka_unit_test(test_new_beside_old),
      cmocka_unit_test(test_damaged_while_written),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
