/* tx_bench: the machine's ceilings, single products (bench_products.c), decoding
 * (bench_decode.c), and the whole model over texts of a given length and over a table. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/watch.h"
#include "formats/hub.h"
#include "kernels/int8.h"
#include "model/trunk.h"
#include "tasks/bench_decode.h"
#include "tasks/bench_products.h"
#include "text/encode.h"
#include "text/vocabulary.h"

/* PATIENCE: seconds after which fewer runs than LEAST_RUNS are enough. */
enum { MOST_RUNS = 1000, LEAST_RUNS = 3, PATIENCE = 10, TEXTS_AT_A_TIME = 1024, PRECISIONS = 3 };

/* A further precision is a row here.  The file's own values are for a few tokens at a time. */
static const struct {
  const char *name;
  tx_dtype dtype;
  bool many; /* measured over whole texts too */
} precisions[PRECISIONS] = {
    {"f32", TX_DTYPE_F32, true}, {"int8", TX_DTYPE_INT8, true}, {"file", TX_DTYPE_FILE, false}};

static const int64_t usual_lengths[] = {64, 512, 2048};

typedef struct {
  const tx_bench_options *options;
  tx_bench_report *report;
  tx_arena *arena; /* of the report */
  tx_model *model;
  tx_pass pass;
  tx_tokenizer *tokenizer;
  const int64_t *lengths;
  size_t length_count;
  tx_text *texts; /* (text_count), of the table, in text_arena */
  size_t text_count, text_room;
  tx_arena *text_arena;
  const tx_watch *watch;
  tx_error *error;
} job;

tx_bench_options tx_bench_defaults(void) {
  return (tx_bench_options){.table = {.text = "text"}, .seconds = 0.2};
}

static bool wants(const job *j, unsigned part) {
  return j->options->parts == 0 || (j->options->parts & part);
}

/* ---- what is asked ----------------------------------------------------------- */

static tx_status check_options(const tx_bench_options *o, tx_error *error) {
  if (!o->model) return tx_fail(error, TX_ERROR_ARGUMENT, "there is no model; name one");
  if (!(o->seconds >= 0)) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "the seconds of a figure must be 0 or more");
  }
  bool known = !o->precision;
  for (int p = 0; p < PRECISIONS; p++) {
    known = known || strcmp(o->precision, precisions[p].name) == 0;
  }
  if (known) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "the precision '%.40s' is not known; it may be f32, int8 or file", o->precision);
}

static bool is_measured(const job *j, int precision) {
  const char *only = j->options->precision;
  return !only || strcmp(only, precisions[precision].name) == 0;
}

static tx_status choose_lengths(job *j) {
  int64_t context = tx_model_facts(j->model)->context;
  j->lengths = j->options->length_count > 0 ? j->options->lengths : usual_lengths;
  j->length_count = j->options->length_count;
  for (size_t i = 0; i < j->length_count; i++) {
    if (j->lengths[i] >= 1 && j->lengths[i] <= context) continue;
    return tx_fail(j->error, TX_ERROR_ARGUMENT,
                   "a text of %" PRId64 " tokens cannot be measured: the model takes 1 to %" PRId64,
                   j->lengths[i], context);
  }
  if (j->length_count == 0) {
    size_t usual = sizeof usual_lengths / sizeof *usual_lengths;
    while (j->length_count < usual && usual_lengths[j->length_count] <= context) j->length_count++;
  }
  return TX_OK;
}

static tx_status open_model(job *j) {
  char path[4096], known[65];
  TX_TRY(tx_model_locate(j->options->model, j->options->home, path, known, j->error));
  TX_TRY(tx_model_open(path, NULL, &j->model, j->error));
  TX_TRY(tx_pass_open(tx_model_facts(j->model), &j->pass, j->error));
  return choose_lengths(j);
}

/* ---- the table --------------------------------------------------------------- */

static tx_status keep_text(job *j, tx_text text) {
  if (j->text_count == j->text_room) {
    size_t room = j->text_room ? 2 * j->text_room : 1024;
    tx_text *texts = tx_resize(j->texts, room * sizeof *texts);
    if (!texts) return tx_fail_memory(j->error, room * sizeof *texts, "the texts");
    j->texts = texts;
    j->text_room = room;
  }
  char *copy = tx_arena_string(j->text_arena, text.data, text.size);
  if (!copy) return tx_fail_memory(j->error, text.size, "the texts");
  j->texts[j->text_count++] = (tx_text){copy, text.size};
  return TX_OK;
}

static tx_status read_rows(job *j, tx_table *table) {
  int64_t most = j->options->texts;
  while (most == 0 || (int64_t)j->text_count < most) {
    tx_row row;
    bool found;
    TX_TRY(tx_watch_check(j->watch, j->error));
    TX_TRY(tx_table_next(table, &row, &found, j->error));
    if (!found) break;
    TX_TRY(keep_text(j, row.text));
  }
  if (j->text_count > 0) return TX_OK;
  return tx_fail(j->error, TX_ERROR_INPUT, "%s has no rows; give at least one text",
                 j->options->data);
}

/* Before anything is measured, so that a damaged table is told at once. */
static tx_status read_texts(job *j) {
  if (!j->options->data || !wants(j, TX_BENCH_TEXTS)) return TX_OK;
  j->text_arena = tx_arena_new();
  if (!j->text_arena) return tx_fail_memory(j->error, 64, "the texts");
  TX_TRY(tx_tokenizer_from_gguf(tx_model_gguf(j->model), &j->tokenizer, j->error));
  tx_table *table;
  TX_TRY(tx_table_open(j->options->data, j->options->table, &table, j->error));
  tx_status status = read_rows(j, table);
  tx_table_close(table);
  return status;
}

/* ---- prefill ----------------------------------------------------------------- */

/* Can be stopped between two blocks, and reports nothing of its own. */
static tx_status run_length(job *j, const tx_sequences *sequences, float *features) {
  tx_watch silent = {0};
  if (j->watch) silent = *j->watch, silent.report = NULL;
  return tx_trunk_features(j->model, &j->pass, sequences, tx_model_facts(j->model)->blocks,
                           TX_POOLING_LAST, TX_BATCH_TOKENS, features, "prefill", &silent,
                           j->error);
}

/* A first run, whose memory is new, is not counted. */
static tx_status measure_length(job *j, const int32_t *ids, float *features,
                                tx_bench_speed *speed) {
  double rates[MOST_RUNS];
  const int64_t offsets[2] = {0, speed->size};
  const tx_sequences sequences = {1, ids, offsets};
  TX_TRY(run_length(j, &sequences, features));
  double begin = tx_seconds(), end = begin;
  while (speed->runs == 0 || (speed->runs < LEAST_RUNS && end - begin < PATIENCE) ||
         (speed->runs < MOST_RUNS && end - begin < j->options->seconds)) {
    TX_TRY(tx_watch_check(j->watch, j->error));
    double start = tx_seconds();
    TX_TRY(run_length(j, &sequences, features));
    end = tx_seconds();
    rates[speed->runs++] = (double)speed->size / (end - start);
  }
  speed->tokens_per_second = tx_bench_median(rates, speed->runs);
  return TX_OK;
}

/* Any tokens will do: what they are costs nothing. */
static tx_status measure_prefill(job *j, const char *precision) {
  const tx_facts *facts = tx_model_facts(j->model);
  int64_t longest = 1;
  for (size_t i = 0; i < j->length_count; i++) {
    longest = j->lengths[i] > longest ? j->lengths[i] : longest;
  }
  int32_t *ids = tx_alloc_array((size_t)longest, sizeof *ids);
  float *features = tx_alloc_array((size_t)facts->width, sizeof *features);
  tx_status status = ids && features ? TX_OK
                                     : tx_fail_memory(j->error, (uint64_t)longest * 4, "a text");
  tx_random random = tx_random_seed(1);
  for (int64_t i = 0; ids && i < longest; i++) {
    ids[i] = (int32_t)tx_random_below(&random, (uint64_t)facts->vocabulary);
  }
  for (size_t i = 0; status == TX_OK && i < j->length_count; i++) {
    tx_bench_speed *speed = &j->report->prefill[j->report->prefill_count];
    tx_watch_report(j->watch, "prefill", (int64_t)i, (int64_t)j->length_count, "lengths");
    *speed = (tx_bench_speed){.precision = precision, .size = j->lengths[i]};
    status = measure_length(j, ids, features, speed);
    if (status == TX_OK) j->report->prefill_count++;
  }
  tx_free(ids);
  tx_free(features);
  return status;
}

/* ---- texts ------------------------------------------------------------------- */

static tx_status run_texts(job *j, size_t from, size_t count, float *features,
                           tx_bench_texts *out) {
  tx_encoded encoded;
  const tx_facts *facts = tx_model_facts(j->model);
  TX_TRY(tx_encode(j->tokenizer, j->texts + from, (int64_t)count, (tx_encoding){facts->context, 0},
                   &encoded, j->error));
  const tx_sequences sequences = {encoded.count, encoded.ids, encoded.offsets};
  tx_status status = tx_trunk_features(j->model, &j->pass, &sequences, facts->blocks,
                                       TX_POOLING_LAST, TX_BATCH_TOKENS, features, "texts",
                                       j->watch, j->error);
  out->texts += (int64_t)count;
  out->tokens += encoded.offsets[count];
  out->cut += encoded.cut;
  tx_encoded_free(&encoded);
  return status;
}

static tx_status measure_texts(job *j, const char *precision) {
  if (j->text_count == 0) return TX_OK;
  int64_t width = tx_model_facts(j->model)->width;
  float *features = tx_alloc_array((size_t)(TEXTS_AT_A_TIME * width), sizeof *features);
  if (!features) return tx_fail_memory(j->error, (uint64_t)(TEXTS_AT_A_TIME * width) * 4, "states");
  tx_bench_texts out = {.precision = precision};
  tx_status status = TX_OK;
  double start = tx_seconds();
  for (size_t from = 0; status == TX_OK && from < j->text_count; from += TEXTS_AT_A_TIME) {
    size_t left = j->text_count - from;
    status = run_texts(j, from, left < TEXTS_AT_A_TIME ? left : TEXTS_AT_A_TIME, features, &out);
  }
  out.seconds = tx_seconds() - start;
  out.texts_per_second = (double)out.texts / out.seconds;
  out.tokens_per_second = (double)out.tokens / out.seconds;
  if (status == TX_OK) j->report->texts[j->report->text_count++] = out;
  tx_free(features);
  return status;
}

/* ---- all of it --------------------------------------------------------------- */

/* One precision: its blocks are loaded for what is measured over the whole model. */
static tx_status measure_model(job *j, int precision) {
  const tx_facts *facts = tx_model_facts(j->model);
  const char *name = precisions[precision].name;
  bool many = precisions[precision].many, prefill = many && wants(j, TX_BENCH_PREFILL);
  bool texts = many && wants(j, TX_BENCH_TEXTS) && j->text_count > 0;
  bool decode = wants(j, TX_BENCH_DECODE) && facts->architecture->causal;
  if (!prefill && !texts && !decode) return TX_OK;
  tx_model_set_dtype(j->model, precisions[precision].dtype);
  TX_TRY(tx_model_load(j->model, 0, facts->blocks, j->error));
  if (prefill) TX_TRY(measure_prefill(j, name));
  if (decode) {
    TX_TRY(tx_bench_decode_measure(j->model, name, j->options->seconds,
                                   j->report->decode + j->report->decode_count,
                                   &j->report->decode_count, j->watch, j->error));
  }
  if (texts) TX_TRY(measure_texts(j, name));
  tx_model_unload(j->model, 0, facts->blocks);
  return TX_OK;
}

static tx_status measure_machine(job *j, int threads) {
  tx_bench_report *out = j->report;
  tx_bench_region region;
  TX_TRY(tx_bench_region_open(&region, j->error));
  tx_bench_ceilings_measure(&region, j->options->seconds, &out->ceilings);
  tx_set_threads(1);
  tx_bench_ceilings_measure(&region, j->options->seconds, &out->one_thread);
  tx_set_threads(threads);
  tx_status status = TX_OK;
  if (wants(j, TX_BENCH_PRODUCTS)) {
    status = tx_bench_products_measure(j->model, &region, threads, j->options->seconds, j->arena,
                                       &out->products, &out->product_count, j->watch, j->error);
  }
  tx_set_threads(threads);
  tx_bench_region_close(&region);
  return status;
}

static tx_status run(job *j, int threads) {
  if (!j->arena) return tx_fail_memory(j->error, 64, "a report");
  TX_TRY(check_options(j->options, j->error));
  TX_TRY(open_model(j));
  TX_TRY(read_texts(j));
  size_t speeds = (j->length_count + TX_BENCH_BATCHES) * PRECISIONS;
  j->report->prefill = tx_arena_array(j->arena, speeds, sizeof *j->report->prefill);
  j->report->texts = tx_arena_array(j->arena, PRECISIONS, sizeof *j->report->texts);
  if (!j->report->prefill || !j->report->texts) {
    return tx_fail_memory(j->error, speeds * sizeof *j->report->prefill, "a report");
  }
  j->report->decode = j->report->prefill + j->length_count * PRECISIONS;
  TX_TRY(measure_machine(j, threads));
  for (int p = 0; p < PRECISIONS; p++) {
    if (is_measured(j, p)) TX_TRY(measure_model(j, p));
  }
  return TX_OK;
}

tx_status tx_bench(const tx_bench_options *options, tx_bench_report *report, const tx_watch *watch,
                   tx_error *error) {
  int threads = tx_threads();
  *report = (tx_bench_report){.kernels = tx_kernels_get()->name,
                              .byte_kernels = tx_int8_get()->name,
                              .threads = threads};
  job j = {.options = options, .report = report, .arena = tx_arena_new(), .watch = watch,
           .error = error};
  tx_status status = run(&j, threads);
  tx_pass_close(&j.pass);
  tx_tokenizer_free(j.tokenizer);
  tx_model_close(j.model);
  tx_free(j.texts);
  tx_arena_free(j.text_arena);
  report->owned = j.arena;
  report->peak_rss_bytes = tx_peak_memory();
  if (status != TX_OK) tx_bench_report_free(report);
  return status;
}

void tx_bench_report_free(tx_bench_report *report) {
  tx_arena_free(report->owned);
  *report = (tx_bench_report){0};
}
