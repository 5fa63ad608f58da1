/* A scorer over a model, a tokenizer and a head. */
#include "score/network.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "adapt/tail.h"
#include "base/hash.h"
#include "base/watch.h"
#include "formats/nearest.h"
#include "kernels/product.h"
#include "text/encode.h"
#include "text/vocabulary.h"

enum { TEXTS_AT_A_TIME = 1024 };

typedef struct {
  tx_scorer scorer;
  tx_model *model;
  tx_tokenizer *tokenizer;
  tx_pass pass;
  tx_pooling pooling;
  int64_t depth, width /* of the features */, max_tokens, batch_tokens;
  float *head; /* packed (C, labels) */
  float *bias; /* (labels) */
} network;

static const char *const pooling_names[] = {"last", "mean", "first", "both", "auto"};
enum { POOLINGS = TX_POOLING_AUTO }; /* auto is no pooling of an artifact */

const char *tx_pooling_name(tx_pooling pooling) { return pooling_names[pooling]; }

static bool is(tx_text text, const char *name) {
  return text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
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
                 "the pooling '%s' is not known; it may be last, mean, first or both",
                 tx_show_name(name, shown));
}

static void network_free(tx_scorer *self) {
  network *n = (network *)self;
  tx_pass_close(&n->pass);
  tx_tokenizer_free(n->tokenizer);
  tx_model_close(n->model);
  tx_free(n->head);
  tx_free(n->bias);
  tx_free(n);
}

/* ---- opening ----------------------------------------------------------- */

static tx_status check_base(const network *n, const tx_artifact_facts *facts, const char *path,
                            tx_error *error) {
  char hex[TX_SHA256_HEX];
  uint64_t size;
  const unsigned char *bytes = tx_gguf_bytes(tx_model_gguf(n->model), &size);
  if (!tx_sha256_bytes(bytes, size, hex)) return tx_fail_memory(error, 256, "a hash");
  if (memcmp(hex, facts->base_sha256.data, 64) == 0) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "the classifier was trained on another base model: it needs SHA-256 %.64s, but %s "
                 "has %s; pull the right model or train again on this one",
                 facts->base_sha256.data, path, hex);
}

/* A changed tensor that does not fit is most likely the sign of another base,
 * which is what to say then. */
static tx_status open_base(network *n, const tx_gguf *artifact, const tx_artifact_facts *facts,
                           const char *path, tx_error *error) {
  tx_error misfit = {0};
  tx_status status = tx_model_open(path, artifact, &n->model, &misfit);
  if (status == TX_OK) return check_base(n, facts, path, error);
  if (tx_model_open(path, NULL, &n->model, NULL) == TX_OK) {
    TX_TRY(check_base(n, facts, path, error));
  }
  if (error && error->status == TX_OK) *error = misfit;
  return status;
}

/* What a later program may write and this one would pass over. */
static tx_status check_known(const tx_gguf *artifact, const tx_artifact_facts *facts,
                             tx_error *error) {
  char shown[TX_SHOWN_SIZE];
  bool method = is(facts->method, "head") || is(facts->method, "last-block");
  if (method && is(facts->text_template, "{text}")) return TX_OK;
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s: the %s '%s' is not known; use the taxon that wrote it or train again",
                 tx_gguf_path(artifact), method ? "template" : "method",
                 tx_show_name(method ? facts->text_template : facts->method, shown));
}

static tx_status read_head(network *n, const tx_gguf *artifact, tx_error *error) {
  const tx_tensor *weight = tx_gguf_tensor(artifact, "head.weight");
  const tx_tensor *bias = tx_gguf_tensor(artifact, "head.bias");
  int64_t labels = n->scorer.labels;
  if (!weight || !bias || weight->type != TX_TENSOR_F32 || bias->type != TX_TENSOR_F32 ||
      weight->shape[0] != n->width || weight->shape[1] != labels || weight->dimensions != 2 ||
      bias->dimensions != 1 || bias->shape[0] != labels) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: head.weight or head.bias is missing or not [%" PRId64 ", %" PRId64
                   "] of F32; the artifact is damaged, train it again",
                   tx_gguf_path(artifact), n->width, labels);
  }
  const float *values = (const float *)(const void *)weight->data;
  n->head = tx_alloc_array(tx_packed_size(n->width, labels), sizeof(float));
  n->bias = tx_alloc_array((size_t)labels, sizeof(float));
  if (!n->head || !n->bias) return tx_fail_memory(error, weight->size, "the head");
  memcpy(n->bias, bias->data, (size_t)labels * sizeof(float));
  int64_t damaged = 0;
  for (int64_t i = 0; i < n->width * labels; i++) damaged += !(values[i] - values[i] == 0);
  for (int64_t i = 0; i < labels; i++) damaged += !(n->bias[i] - n->bias[i] == 0);
  if (damaged) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s: the head holds NaN or infinity; the artifact is damaged, train it again",
                   tx_gguf_path(artifact));
  }
  tx_pack(values, 1, n->width, n->width, labels, n->head);
  return TX_OK;
}

static tx_status network_build(network *n, const tx_gguf *artifact, const tx_artifact_facts *facts,
                               tx_network_options options, tx_error *error) {
  TX_TRY(check_known(artifact, facts, error));
  TX_TRY(open_base(n, artifact, facts, options.model_path, error));
  const tx_facts *model = tx_model_facts(n->model);
  n->depth = facts->depth;
  n->max_tokens = options.max_tokens > 0 ? options.max_tokens : facts->max_tokens;
  if (n->max_tokens > model->context) n->max_tokens = model->context;
  n->batch_tokens = options.batch_tokens > 0 ? options.batch_tokens : TX_BATCH_TOKENS;
  TX_TRY(tx_pooling_find(facts->pooling, &n->pooling, error));
  n->width = tx_pool_parts(n->pooling) * model->width;
  if (n->depth > model->blocks) {
    return tx_fail(error, TX_ERROR_INPUT,
                   "%s runs %" PRId64 " blocks, but its base has %" PRId64
                   "; the artifact is damaged, train it again",
                   tx_gguf_path(artifact), n->depth, model->blocks);
  }
  TX_TRY(read_head(n, artifact, error));
  TX_TRY(tx_tokenizer_from_gguf(tx_model_gguf(n->model), &n->tokenizer, error));
  TX_TRY(tx_pass_open(model, &n->pass, error));
  return tx_model_load(n->model, 0, n->depth, error);
}

/* ---- scoring ----------------------------------------------------------- */

/* Finite weights can still overflow on the way.  `first`: the number of the
 * first text among all of the call's. */
static tx_status check_probabilities(const network *n, const float *probabilities, int64_t count,
                                     size_t first, tx_error *error) {
  for (int64_t i = 0; i < count; i++) {
    float p = probabilities[i * n->scorer.labels]; /* the sum is in every one of a row */
    if (p - p == 0) continue;
    return tx_fail(error, TX_ERROR_INPUT,
                   "text %zu of this call gives no number: the classifier or its base %s holds "
                   "weights that overflow; train it again",
                   first + (size_t)i + 1, tx_gguf_path(tx_model_gguf(n->model)));
  }
  return TX_OK;
}

static tx_status score_encoded(network *n, const tx_encoded *encoded, size_t first,
                               float *probabilities, const tx_watch *watch, tx_error *error) {
  int64_t count = encoded->count, labels = n->scorer.labels;
  tx_sequences sequences = {count, encoded->ids, encoded->offsets};
  float *features = tx_alloc_array((size_t)(count * (n->width + labels)), sizeof *features);
  if (!features) return tx_fail_memory(error, (uint64_t)(count * n->width) * 4, "pooled states");
  float *logits = features + count * n->width;
  tx_status status = tx_trunk_features(n->model, &n->pass, &sequences, n->depth, n->pooling,
                                       n->batch_tokens, features, "classify", watch, error);
  if (status == TX_OK) {
    tx_product product = {.kernels = n->pass.kernels,
                          .rows = count,
                          .depth = n->width,
                          .columns = labels,
                          .x = features,
                          .x_row = n->width,
                          .x_step = 1,
                          .panels = n->head,
                          .bias = n->bias,
                          .y = logits,
                          .y_row = labels};
    tx_product_run(&product);
    tx_softmax(logits, count, (int)labels, probabilities);
    status = check_probabilities(n, probabilities, count, first, error);
  }
  tx_free(features);
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

static tx_status network_score(tx_scorer *self, const tx_text *texts, size_t count,
                               float *probabilities, tx_scored *scored, const tx_watch *watch,
                               tx_error *error) {
  network *n = (network *)self;
  for (size_t from = 0; from < count; from += TEXTS_AT_A_TIME) {
    size_t part = count - from < TEXTS_AT_A_TIME ? count - from : TEXTS_AT_A_TIME;
    tx_encoded encoded;
    TX_TRY(tx_encode(n->tokenizer, texts + from, (int64_t)part, n->max_tokens, &encoded, error));
    relay r = {watch, (int64_t)from, (int64_t)part, (int64_t)count};
    tx_watch relayed = {.report = relay_report, .cancelled = relay_cancelled, .context = &r};
    tx_status status = score_encoded(n, &encoded, from, probabilities + from * (size_t)self->labels,
                                     watch ? &relayed : NULL, error);
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

tx_status tx_network_open(const tx_gguf *artifact, const tx_artifact_facts *facts,
                          tx_network_options options, tx_scorer **scorer, tx_error *error) {
  *scorer = NULL;
  network *n = tx_alloc_zero(1, sizeof *n);
  if (!n) return tx_fail_memory(error, sizeof *n, "a scorer");
  n->scorer = (tx_scorer){.name = "network",
                          .labels = (int)facts->label_count,
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
