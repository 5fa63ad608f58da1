/* A scorer over a model, a tokenizer and heads. */
#include "score/network.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "adapt/loss.h"
#include "base/hash.h"
#include "base/watch.h"
#include "formats/nearest.h"
#include "kernels/product.h"
#include "score/precision.h"
#include "text/encode.h"
#include "text/vocabulary.h"

enum { TEXTS_AT_A_TIME = 1024 };

typedef struct {
  tx_pooling pooling;
  int64_t depth, width /* of the features */, labels;
  const float *query; /* (C), of pooling by attention: the artifact's; or NULL */
  float *weight; /* packed (width, labels) */
  float *bias;   /* (labels) */
  bool sigmoids; /* as of tx_scorer */
} network_head;

typedef struct {
  tx_scorer scorer;
  tx_model *model;
  tx_tokenizer *tokenizer;
  tx_pass pass;
  tx_encoding encoding;
  int64_t batch_tokens;
  bool measured; /* which matrices stay fp32 in int8 */
  network_head *heads; /* (count) */
  size_t count, chosen;
} network;

static const char *const pooling_names[] = {"last", "mean", "first", "both", "attention", "auto"};
enum { POOLINGS = TX_POOLING_AUTO }; /* auto is no pooling of an artifact */

const char *tx_pooling_name(tx_pooling pooling) { return pooling_names[pooling]; }

static bool is(tx_text text, const char *name) {
  return text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
}

static const char *const method_names[] = {"head", "last-block", "auto", "norms", "lora", "full"};
enum { METHODS = sizeof method_names / sizeof *method_names };

const char *tx_method_name(tx_method method) { return method_names[method]; }

bool tx_method_find(tx_text name, tx_method *method) {
  for (int i = 0; i < METHODS; i++) {
    if (i == TX_METHOD_AUTO || !is(name, method_names[i])) continue;
    *method = (tx_method)i;
    return true;
  }
  return false;
}

tx_status tx_pooling_find(tx_text name, tx_pooling *pooling, tx_error *error) {
  for (int i = 0; i < POOLINGS; i++) {
    if (is(name, pooling_names[i])) {
      *pooling = (tx_pooling)i;
      return TX_OK;
    }
  }
  char shown[TX_SHOWN_SIZE];
  return tx_fail(error, TX_ERROR_INPUT,
                 "the pooling '%s' is not known; it may be last, mean, first, both or attention",
                 tx_show_name(name, shown));
}

static void network_free(tx_scorer *self) {
  network *n = (network *)self;
  tx_pass_close(&n->pass);
  tx_tokenizer_free(n->tokenizer);
  tx_model_close(n->model);
  for (size_t i = 0; n->heads && i < n->count; i++) {
    tx_free(n->heads[i].weight);
    tx_free(n->heads[i].bias);
  }
  tx_free(n->heads);
  tx_free(n);
}

/* ---- opening ----------------------------------------------------------- */

static tx_status check_base(const tx_model *model, const tx_artifact_facts *facts,
                            const char *path, tx_error *error) {
  char hex[TX_SHA256_HEX];
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(tx_model_gguf(model), &size);
  if (!tx_sha256_bytes(bytes, size, hex)) return tx_fail_memory(error, 256, "a hash");
  if (memcmp(hex, facts->base_sha256.data, 64) == 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "the classifier was trained on another base model: it needs SHA-256 %.64s, but %s "
                 "has %s; pull the right model or train again on this one",
                 facts->base_sha256.data, path, hex);
}

/* What a later program may write and this one would pass over. */
static tx_status check_known(const tx_gguf *artifact, const tx_artifact_facts *facts,
                             tx_error *error) {
  char shown[TX_SHOWN_SIZE];
  tx_method known;
  bool method = tx_method_find(facts->method, &known);
  if (method && is(facts->text_template, "{text}")) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: the %s '%s' is not known; use the taxon that wrote it or train again",
                 tx_gguf_path(artifact), method ? "template" : "method",
                 tx_show_name(method ? facts->text_template : facts->method, shown));
}

/* A model that failed its check is closed. */
static tx_status close_after(tx_status status, tx_model **model) {
  if (status == TX_OK) return TX_OK;
  tx_model_close(*model);
  *model = NULL;
  return status;
}

/* A changed tensor that does not fit is most likely the sign of another base,
 * which is what to say then. */
tx_status tx_network_base(const tx_gguf *artifact, const tx_artifact_facts *facts,
                          const char *path, tx_model **model, tx_error *error) {
  tx_error misfit = {0};
  TX_TRY(check_known(artifact, facts, error));
  if (tx_model_open(path, artifact, model, &misfit) != TX_OK) {
    bool whole = tx_model_open(path, NULL, model, NULL) == TX_OK;
    if (whole) TX_TRY(close_after(check_base(*model, facts, path, error), model));
    tx_model_close(*model);
    *model = NULL;
    return tx_fail_with(error, &misfit);
  }
  return close_after(check_base(*model, facts, path, error), model);
}

static tx_status fail_head(const tx_gguf *artifact, size_t head, tx_error *error) {
  char key[TX_ARTIFACT_KEY];
  tx_artifact_tensor(head, "weight", key);
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: %s holds NaN or infinity; the artifact is damaged, train it again",
                 tx_gguf_path(artifact), head == 0 ? "the head" : key);
}

tx_status tx_network_head(const tx_gguf *artifact, const tx_artifact_facts *facts, int64_t width,
                          const float **weights, const float **biases, tx_error *error) {
  char names[2][TX_ARTIFACT_KEY];
  tx_artifact_tensor(facts->head, "weight", names[0]);
  tx_artifact_tensor(facts->head, "bias", names[1]);
  const tx_tensor *weight = tx_gguf_tensor(artifact, names[0]);
  const tx_tensor *bias = tx_gguf_tensor(artifact, names[1]);
  int64_t labels = (int64_t)facts->label_count;
  if (!weight || !bias || weight->type != TX_TENSOR_F32 || bias->type != TX_TENSOR_F32 ||
      weight->shape[0] != width || weight->shape[1] != labels || weight->dimensions != 2 ||
      bias->dimensions != 1 || bias->shape[0] != labels) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: %s or %s is missing or not [%" PRId64 ", %" PRId64
                   "] of F32; the artifact is damaged, train it again",
                   tx_gguf_path(artifact), names[0], names[1], width, labels);
  }
  *weights = (const float *)(const void *)weight->data;
  *biases = (const float *)(const void *)bias->data;
  int64_t damaged = 0;
  for (int64_t i = 0; i < width * labels; i++) damaged += !((*weights)[i] - (*weights)[i] == 0);
  for (int64_t i = 0; i < labels; i++) damaged += !((*biases)[i] - (*biases)[i] == 0);
  return damaged ? fail_head(artifact, facts->head, error) : TX_OK;
}

static tx_status read_weights(network_head *h, const tx_gguf *artifact,
                              const tx_artifact_facts *facts, tx_error *error) {
  const float *weight, *bias;
  TX_TRY(tx_network_head(artifact, facts, h->width, &weight, &bias, error));
  h->weight = tx_alloc_array(tx_packed_size(h->width, h->labels), sizeof(float));
  h->bias = tx_alloc_array((size_t)h->labels, sizeof(float));
  if (!h->weight || !h->bias) {
    return tx_fail_memory(error, (uint64_t)(h->width * h->labels) * 4, "the head");
  }
  memcpy(h->bias, bias, (size_t)h->labels * sizeof(float));
  tx_pack(weight, 1, h->width, h->width, h->labels, h->weight);
  return TX_OK;
}

static tx_status read_query(network_head *h, const tx_gguf *artifact, int64_t width,
                            tx_error *error) {
  const tx_tensor *query = tx_gguf_tensor(artifact, "pool.query");
  if (!query || query->type != TX_TENSOR_F32 || query->dimensions != 1 ||
      query->shape[0] != width) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: pool.query is missing or not [%" PRId64
                   "] of F32; the artifact is damaged, train it again",
                   tx_gguf_path(artifact), width);
  }
  int64_t damaged = 0;
  h->query = (const float *)(const void *)query->data;
  for (int64_t i = 0; i < width; i++) damaged += !(h->query[i] - h->query[i] == 0);
  if (!damaged) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: pool.query holds NaN or infinity; the artifact is damaged, train it again",
                 tx_gguf_path(artifact));
}

static tx_status read_head(network *n, const tx_gguf *artifact, const tx_artifact_facts *facts,
                           tx_error *error) {
  const tx_facts *model = tx_model_facts(n->model);
  network_head *h = &n->heads[facts->head];
  h->depth = facts->depth;
  h->labels = (int64_t)facts->label_count;
  h->sigmoids = facts->multi_label;
  TX_TRY(tx_pooling_find(facts->pooling, &h->pooling, error));
  h->width = tx_pool_parts(h->pooling) * model->width;
  if (h->pooling == TX_POOLING_ATTENTION) {
    TX_TRY(read_query(h, artifact, model->width, error));
  }
  if (h->depth > model->blocks) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s runs %" PRId64 " block%s, but its base has %" PRId64
                   "; the artifact is damaged, train it again",
                   tx_gguf_path(artifact), h->depth, h->depth == 1 ? "" : "s", model->blocks);
  }
  return read_weights(h, artifact, facts, error);
}

/* Blocks that are loaded keep their form: they are let go. */
static tx_status set_precision(network *n, tx_precision precision, const tx_text *texts,
                               size_t count, const tx_watch *watch, tx_error *error) {
  tx_model_unload(n->model, 0, tx_model_facts(n->model)->blocks);
  tx_model_set_dtype(n->model, precision == TX_PRECISION_INT8 ? TX_DTYPE_INT8 : TX_DTYPE_F32);
  if (precision == TX_PRECISION_F32 || n->measured) return TX_OK;
  TX_TRY(tx_precision_measure(n->model, &n->pass, n->tokenizer, texts, count,
                              tx_network_depth(&n->scorer), watch, error));
  n->measured = true;
  return TX_OK;
}

/* As the options ask, or as the artifact says. */
static tx_status choose_precision(network *n, const tx_gguf *artifact,
                                  const tx_artifact_facts *facts, tx_precision wanted,
                                  tx_error *error) {
  tx_precision own;
  TX_TRY(tx_precision_of(artifact, facts, &own, error));
  TX_TRY(tx_precision_take(artifact, facts, n->model, error));
  n->measured = own == TX_PRECISION_INT8;
  return set_precision(n, wanted == TX_PRECISION_AUTO ? own : wanted, NULL, 0, NULL, error);
}

static tx_status set_attention(network *n, const tx_gguf *artifact, const tx_artifact_facts *facts,
                               tx_error *error) {
  bool all = is(facts->attention, "two-way"), trained = is(facts->attention, "bidirectional");
  if (facts->attention.size == 0) return TX_OK;
  if (!all && !trained) {
    char shown[TX_SHOWN_SIZE];
    return tx_fail(
        error, TX_ERROR_INPUT,
        "%s: the attention '%s' is not known; use the taxon that wrote it or train again",
        tx_gguf_path(artifact), tx_show_name(facts->attention, shown));
  }
  int64_t first = facts->depth - facts->blocks_trained;
  tx_model_set_two_way(n->model, all || first < 0 ? 0 : first);
  return TX_OK;
}

static tx_status network_build(network *n, const tx_gguf *artifact, const tx_artifact_facts *facts,
                               tx_network_options options, tx_error *error) {
  n->heads = tx_alloc_zero(n->count, sizeof *n->heads);
  if (!n->heads) return tx_fail_memory(error, n->count * sizeof *n->heads, "the heads");
  TX_TRY(tx_network_base(artifact, facts, options.model_path, &n->model, error));
  tx_model_set_adapters_apart(n->model, options.adapters_apart);
  const tx_facts *model = tx_model_facts(n->model);
  int64_t most = options.max_tokens > 0 ? options.max_tokens : facts->max_tokens;
  n->encoding = (tx_encoding){most < model->context ? most : model->context, facts->pad_to};
  TX_TRY(set_attention(n, artifact, facts, error));
  n->batch_tokens = options.batch_tokens > 0 ? options.batch_tokens : TX_BATCH_TOKENS;
  for (size_t i = 0; i < n->count; i++) TX_TRY(read_head(n, artifact, &facts[i], error));
  TX_TRY(tx_tokenizer_from_gguf(tx_model_gguf(n->model), &n->tokenizer, error));
  TX_TRY(tx_pass_open(model, &n->pass, error));
  TX_TRY(choose_precision(n, artifact, facts, options.precision, error));
  return tx_model_load(n->model, 0, n->heads[n->chosen].depth, error);
}

/* ---- scoring ----------------------------------------------------------- */

/* What is asked of one call: some of the heads, and where their answers go. */
typedef struct {
  network *n;
  const network_head *const *heads; /* (count) */
  float *const *probabilities;      /* (count): (texts, labels of the head) */
  size_t count;
  float **features; /* (count): scratch, of this part of the texts; the same where two share it */
  tx_tap *taps;     /* (tap_count <= count) */
  size_t tap_count;
} asking;

/* Finite weights can still overflow on the way.  `first`: the number of the
 * first text among all of the call's. */
static tx_status check_probabilities(const network *n, const float *probabilities, int64_t labels,
                                     int64_t count, size_t first, tx_error *error) {
  for (int64_t i = 0; i < count; i++) {
    int64_t broken = 0;
    for (int64_t c = 0; c < labels; c++) {
      float p = probabilities[i * labels + c];
      broken += !(p - p == 0);
    }
    if (!broken) continue;
    return tx_fail(error, TX_ERROR_INPUT,
                   "text %zu of this call gives no number: the classifier or its base %s holds "
                   "weights that overflow; train it again",
                   first + (size_t)i + 1, tx_gguf_path(tx_model_gguf(n->model)));
  }
  return TX_OK;
}

/* Heads at the same depth with the same pooling read the same features. */
static void lay_taps(asking *a, int64_t texts, float *memory) {
  a->tap_count = 0;
  for (size_t i = 0; i < a->count; i++) {
    const network_head *h = a->heads[i];
    size_t t = 0;
    while (t < a->tap_count &&
           (a->taps[t].depth != h->depth || a->taps[t].pooling != h->pooling ||
            a->taps[t].query != h->query)) {
      t++;
    }
    if (t == a->tap_count) {
      a->taps[a->tap_count++] = (tx_tap){h->depth, h->pooling, memory, h->query};
      memory += texts * h->width;
    }
    a->features[i] = a->taps[t].features;
  }
}

static tx_status answer_head(const network *n, const network_head *h, const float *features,
                             int64_t count, size_t first, float *logits, float *probabilities,
                             tx_error *error) {
  tx_product product = {.kernels = n->pass.kernels,
                        .rows = count,
                        .depth = h->width,
                        .columns = h->labels,
                        .x = features,
                        .x_row = h->width,
                        .x_step = 1,
                        .panels = h->weight,
                        .bias = h->bias,
                        .y = logits,
                        .y_row = h->labels};
  tx_product_run(&product);
  if (h->sigmoids) {
    tx_sigmoids(logits, count * h->labels, probabilities);
  } else {
    tx_softmax(logits, count, (int)h->labels, probabilities);
  }
  return check_probabilities(n, probabilities, h->labels, count, first, error);
}

static tx_status score_encoded(asking *a, const tx_encoded *encoded, size_t first,
                               const tx_watch *watch, tx_error *error) {
  network *n = a->n;
  int64_t count = encoded->count, most = 0, width = 0;
  tx_sequences sequences = {count, encoded->ids, encoded->offsets};
  for (size_t i = 0; i < a->count; i++) {
    width += a->heads[i]->width;
    most = a->heads[i]->labels > most ? a->heads[i]->labels : most;
  }
  float *logits = tx_alloc_array((size_t)(count * (width + most)), sizeof *logits);
  if (!logits) return tx_fail_memory(error, (uint64_t)(count * width) * 4, "pooled states");
  lay_taps(a, count, logits + count * most);
  tx_status status = tx_trunk_taps(n->model, &n->pass, &sequences, a->taps, a->tap_count,
                                   n->batch_tokens, "classify", watch, error);
  for (size_t i = 0; status == TX_OK && i < a->count; i++) {
    const network_head *h = a->heads[i];
    status = answer_head(n, h, a->features[i], count, first, logits,
                         a->probabilities[i] + (int64_t)first * h->labels, error);
  }
  tx_free(logits);
  return status;
}

/* Progress of one part, in tokens, told as progress of the call, in texts. */
typedef struct {
  const tx_watch *watch;
  int64_t from, part, count;
} relay;

static void relay_report(void *context, const char *stage, int64_t done, int64_t total,
                         const char *unit) {
  const relay *r = context;
  (void)unit;
  double share = total > 0 ? (double)done / (double)total : 1;
  tx_watch_report(r->watch, stage, r->from + (int64_t)(share * (double)r->part), r->count, "texts");
}

static bool relay_cancelled(void *context) {
  const tx_watch *watch = ((const relay *)context)->watch;
  return watch->cancelled && watch->cancelled(watch->context);
}

static tx_status score_texts(asking *a, const tx_text *texts, size_t count, tx_scored *scored,
                             const tx_watch *watch, tx_error *error) {
  network *n = a->n;
  for (size_t i = 0; i < a->count; i++) {
    TX_TRY(tx_model_load(n->model, 0, a->heads[i]->depth, error));
  }
  for (size_t from = 0; from < count; from += TEXTS_AT_A_TIME) {
    size_t part = count - from < TEXTS_AT_A_TIME ? count - from : TEXTS_AT_A_TIME;
    tx_encoded encoded;
    TX_TRY(tx_encode(n->tokenizer, texts + from, (int64_t)part, n->encoding, &encoded, error));
    relay r = {watch, (int64_t)from, (int64_t)part, (int64_t)count};
    tx_watch relayed = {.report = relay_report, .cancelled = relay_cancelled, .context = &r};
    tx_status status = score_encoded(a, &encoded, from, watch ? &relayed : NULL, error);
    if (scored) {
      scored->texts += (int64_t)part;
      scored->tokens += encoded.offsets[part];
      scored->cut += encoded.cut;
    }
    tx_encoded_free(&encoded);
    TX_TRY(status);
  }
  return TX_OK;
}

static tx_status network_score(tx_scorer *self, const tx_text *texts, size_t count,
                               float *probabilities, tx_scored *scored, const tx_watch *watch,
                               tx_error *error) {
  network *n = (network *)self;
  const network_head *chosen = &n->heads[n->chosen];
  float *features;
  tx_tap tap;
  asking a = {n, &chosen, &probabilities, 1, &features, &tap, 0};
  return score_texts(&a, texts, count, scored, watch, error);
}

tx_status tx_network_score_heads(tx_scorer *scorer, const tx_text *texts, size_t count,
                                 float *const *probabilities, tx_scored *scored,
                                 const tx_watch *watch, tx_error *error) {
  network *n = (network *)scorer;
  const network_head *heads[TX_MAX_HEADS];
  float *features[TX_MAX_HEADS];
  tx_tap taps[TX_MAX_HEADS];
  for (size_t i = 0; i < n->count; i++) heads[i] = &n->heads[i];
  asking a = {n, heads, probabilities, n->count, features, taps, 0};
  return score_texts(&a, texts, count, scored, watch, error);
}

tx_status tx_network_open(const tx_gguf *artifact, const tx_artifact_facts *facts, size_t heads,
                          size_t chosen, tx_network_options options, tx_scorer **scorer,
                          tx_error *error) {
  *scorer = NULL;
  network *n = tx_alloc_zero(1, sizeof *n);
  if (!n) return tx_fail_memory(error, sizeof *n, "a scorer");
  n->count = heads;
  n->chosen = chosen;
  n->scorer = (tx_scorer){.name = "network",
                          .labels = (int)facts[chosen].label_count,
                          .sigmoids = facts[chosen].multi_label,
                          .score = network_score,
                          .free = network_free};
  tx_status status = network_build(n, artifact, facts, options, error);
  if (status != TX_OK) {
    network_free(&n->scorer);
    return status;
  }
  *scorer = &n->scorer;
  return TX_OK;
}

/* ---- precision --------------------------------------------------------- */

tx_precision tx_network_precision(const tx_scorer *scorer) {
  const network *n = (const network *)scorer;
  return tx_model_dtype(n->model) == TX_DTYPE_INT8 ? TX_PRECISION_INT8 : TX_PRECISION_F32;
}

const tx_model *tx_network_model(const tx_scorer *scorer) {
  return ((const network *)scorer)->model;
}

int64_t tx_network_depth(const tx_scorer *scorer) {
  const network *n = (const network *)scorer;
  int64_t depth = 0;
  for (size_t i = 0; i < n->count; i++) {
    if (n->heads[i].depth > depth) depth = n->heads[i].depth;
  }
  return depth;
}

tx_status tx_network_set_precision(tx_scorer *scorer, tx_precision precision, const tx_text *texts,
                                   size_t count, const tx_watch *watch, tx_error *error) {
  network *n = (network *)scorer;
  TX_TRY(set_precision(n, precision, texts, count, watch, error));
  return tx_model_load(n->model, 0, n->heads[n->chosen].depth, error);
}
