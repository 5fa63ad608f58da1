/* tx_quantize: a classifier's rows in fp32 and in int8, and the artifact that says
 * int8 where the answers bear it. */
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/watch.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/hub.h"
#include "formats/table.h"
#include "score/network.h"
#include "score/precision.h"
#include "tasks/classifier.h"
#include "trust/answers.h"

typedef struct {
  const char *path, *out;
  tx_quantize_options options;
  tx_classifier *classifier;
  tx_dataset *table;
  tx_truth truth; /* of its rows */
  size_t head;
  int labels;
  int64_t depth;
  float *f32, *int8; /* probabilities (rows, labels) */
  tx_arena *arena;
  tx_quantization *result;
  const tx_watch *watch;
  tx_error *error;
} job;

tx_quantize_options tx_quantize_defaults(void) {
  return (tx_quantize_options){.table = tx_table_defaults(), .tolerance = TX_TOLERANCE};
}

/* ---- before the work ---------------------------------------------------- */

static tx_status check_options(const job *j) {
  const tx_quantize_options *o = &j->options;
  if (!j->path || !o->data) {
    return tx_fail(j->error, TX_ERROR_ARGUMENT, "quantising needs a classifier and a table");
  }
  if (!(o->tolerance >= 0 && o->tolerance <= 100)) {
    return tx_fail(j->error, TX_ERROR_ARGUMENT,
                   "tolerance is %g; it must lie between 0 and 100 points", o->tolerance);
  }
  return TX_OK;
}

/* What cannot be written is found before the work. */
static tx_status check_output(const job *j) {
  const tx_quantize_options *o = &j->options;
  if (strcmp(o->data, "-") != 0 && tx_file_same(o->data, j->out)) {
    return tx_fail(j->error, TX_ERROR_ARGUMENT,
                   "the output %s is the file of the table; name another output", j->out);
  }
  const char *model = tx_gguf_path(tx_model_gguf(tx_network_model(j->classifier->network)));
  if (tx_file_same(model, j->out)) {
    return tx_fail(j->error, TX_ERROR_ARGUMENT,
                   "the output %s is the file of the model; name another output", j->out);
  }
  tx_writer *writer;
  TX_TRY(tx_writer_open(j->out, &writer, j->error));
  tx_writer_cancel(writer);
  return TX_OK;
}

static tx_status open_classifier(job *j) {
  tx_classifier_options options = tx_classifier_defaults();
  options.home = j->options.home, options.model = j->options.model;
  options.head = j->options.head, options.precision = TX_PRECISION_F32;
  TX_TRY(tx_classifier_open(j->path, options, &j->classifier, j->error));
  j->head = j->classifier->chosen;
  j->labels = (int)j->classifier->facts[j->head].label_count;
  j->depth = tx_network_depth(j->classifier->network);
  return TX_OK;
}

static tx_status read_table(job *j) {
  tx_dataset known = {.names = j->classifier->labels[j->head], .classes = j->labels};
  char separator[2];
  TX_TRY(tx_classifier_table(j->classifier, separator, &j->options.table, j->error));
  TX_TRY(tx_dataset_read(j->options.data, j->options.table, &known, &j->table, j->error));
  j->options.table.label_separator = NULL; /* it was lent */
  j->truth = (tx_truth){j->table->marks ? NULL : j->table->labels, j->table->marks, NULL};
  if (j->table->rows > 0) return TX_OK;
  return tx_fail(j->error, TX_ERROR_INPUT, "%s has no rows; give at least one to compare on",
                 j->options.data);
}

/* ---- scoring ------------------------------------------------------------ */

static tx_status score_rows(job *j, float **probabilities, tx_precision_score *score) {
  size_t rows = (size_t)j->table->rows;
  *probabilities = tx_arena_array(j->arena, rows * (size_t)j->labels, sizeof(float));
  if (!*probabilities) return tx_fail_memory(j->error, rows * (size_t)j->labels * 4, "the scores");
  double start = tx_seconds();
  TX_TRY(tx_classifier_predict(j->classifier, j->table->texts, rows, *probabilities, NULL, j->watch,
                               j->error));
  double seconds = tx_seconds() - start;
  tx_metrics metrics;
  tx_answers_measure(*probabilities, j->truth, j->table->rows, j->labels, &metrics, NULL, NULL);
  *score = (tx_precision_score){
      .accuracy = metrics.accuracy,
      .nll = metrics.nll,
      .ece = metrics.ece,
      .texts_per_second = seconds > 0 ? (double)rows / seconds : 0,
      .bytes = (int64_t)tx_model_bytes(tx_network_model(j->classifier->network), 0, j->depth)};
  return TX_OK;
}

/* Matrices that were trained stay f32, and so may all of them. */
static tx_status check_gain(const job *j) {
  if (j->depth == 0 || j->result->int8.bytes < j->result->f32.bytes) return TX_OK;
  return tx_fail(j->error, TX_ERROR_ARGUMENT,
                 "nothing of %s would be in int8: every matrix that it runs was trained, or stays "
                 "f32 because of its inputs",
                 j->path);
}

static tx_status score_both(job *j) {
  TX_TRY(score_rows(j, &j->f32, &j->result->f32));
  TX_TRY(tx_network_set_precision(j->classifier->network, TX_PRECISION_INT8, j->table->texts,
                                  (size_t)j->table->rows, j->watch, j->error));
  TX_TRY(score_rows(j, &j->int8, &j->result->int8));
  return check_gain(j);
}

/* ---- comparing ---------------------------------------------------------- */

static tx_status copy_labels(job *j, const char ***copies) {
  *copies = tx_arena_array(j->arena, (size_t)j->labels, sizeof **copies);
  if (!*copies) return tx_fail_memory(j->error, (uint64_t)j->labels * 8, "the labels");
  for (int c = 0; c < j->labels; c++) {
    const char *name = j->classifier->labels[j->head][c];
    (*copies)[c] = tx_arena_string(j->arena, name, strlen(name));
    if (!(*copies)[c]) return tx_fail_memory(j->error, strlen(name), "the labels");
  }
  return TX_OK;
}

/* Marks of a row, of labels each for itself: its labels' names with the separator between;
 * NULL: out of memory. */
static const char *join_names(const job *j, const char *const *names, const uint8_t *marks) {
  tx_buffer joined = {0};
  bool any = false;
  for (int c = 0; c < j->labels; c++) {
    if (!marks[c]) continue;
    if (any) tx_buffer_append_byte(&joined, tx_classifier_head_separator(j->classifier, j->head));
    tx_buffer_append_string(&joined, names[c]);
    any = true;
  }
  const char *kept =
      joined.failed ? NULL : tx_arena_string(j->arena, joined.data ? joined.data : "", joined.size);
  tx_buffer_free(&joined);
  return kept;
}

/* What was answered, by name. */
static const char *name_answer(const job *j, const char *const *names, const float *probabilities,
                               uint8_t *marks) {
  if (!j->truth.marks) return names[tx_top_label(probabilities, j->labels)];
  for (int c = 0; c < j->labels; c++) marks[c] = tx_holds(probabilities[c]);
  return join_names(j, names, marks);
}

static bool name_change(const job *j, const char *const *names, int64_t row, uint8_t *marks,
                        tx_changed_answer *change) {
  change->line = j->table->lines[row];
  change->f32 = name_answer(j, names, j->f32 + row * j->labels, marks);
  change->int8 = name_answer(j, names, j->int8 + row * j->labels, marks);
  change->label = j->truth.marks ? join_names(j, names, j->truth.marks + row * j->labels)
                                 : names[j->truth.labels[row]];
  return change->f32 && change->int8 && change->label;
}

static tx_status compare(job *j) {
  tx_quantization *result = j->result;
  const char **names;
  int64_t rows = j->table->rows, right[2] = {0, 0};
  TX_TRY(copy_labels(j, &names));
  uint8_t *marks = tx_arena_array(j->arena, (size_t)j->labels, sizeof *marks);
  if (!marks) return tx_fail_memory(j->error, (uint64_t)j->labels, "the answers");
  result->answers = tx_arena_array(j->arena, (size_t)rows, sizeof *result->answers);
  if (!result->answers) return tx_fail_memory(j->error, (uint64_t)rows * 32, "the answers");
  for (int64_t i = 0; i < rows; i++) {
    const float *f32 = j->f32 + i * j->labels, *int8 = j->int8 + i * j->labels;
    right[0] += tx_answer_right(f32, j->truth, i, j->labels);
    right[1] += tx_answer_right(int8, j->truth, i, j->labels);
    if (tx_answers_same(f32, int8, j->truth.marks != NULL, j->labels)) continue;
    if (!name_change(j, names, i, marks, &result->answers[result->changed++])) {
      return tx_fail_memory(j->error, 64, "the answers");
    }
  }
  result->rows = rows;
  result->lost = 100 * (double)(right[0] - right[1]) / (double)rows;
  result->accepted = result->lost <= j->options.tolerance;
  return TX_OK;
}

/* ---- writing ------------------------------------------------------------ */

static tx_status add_all(job *j, tx_gguf_writer *writer, const tx_text *names, size_t count) {
  static const char *const replaced[] = {TX_PRECISION_KEY, TX_F32_MATRICES};
  tx_gguf_add_all(writer, j->classifier->artifact, replaced, 2);
  tx_gguf_add_string(writer, TX_PRECISION_KEY, tx_text_of(tx_precision_name(TX_PRECISION_INT8)));
  if (count > 0) tx_gguf_add_strings(writer, TX_F32_MATRICES, names, count);
  return tx_gguf_commit(writer, j->out, j->error);
}

/* The matrices that stay fp32 are told also where nothing is written. */
static tx_status write_int8(job *j) {
  const tx_text *names;
  size_t count;
  TX_TRY(tx_precision_names(tx_network_model(j->classifier->network), j->depth, j->arena, &names,
                            &count, j->error));
  j->result->f32_matrices = (int)count;
  if (!j->result->accepted) return TX_OK;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_status status = writer ? add_all(j, writer, names, count)
                            : tx_fail_memory(j->error, 256, "the artifact");
  tx_gguf_writer_free(writer);
  return status;
}

static tx_status run(job *j) {
  if (!j->arena) return tx_fail_memory(j->error, 64, "a comparison");
  TX_TRY(check_options(j));
  TX_TRY(open_classifier(j));
  TX_TRY(check_output(j));
  TX_TRY(read_table(j));
  TX_TRY(score_both(j));
  TX_TRY(compare(j));
  return write_int8(j);
}

tx_status tx_quantize(const char *classifier, tx_quantize_options options,
                      tx_quantization *quantization, const tx_watch *watch, tx_error *error) {
  *quantization = (tx_quantization){0};
  job j = {.path = classifier,
           .out = options.out ? options.out : classifier,
           .options = options,
           .arena = tx_arena_new(),
           .result = quantization,
           .watch = watch,
           .error = error};
  tx_status status = run(&j);
  tx_dataset_free(j.table);
  tx_classifier_close(j.classifier);
  quantization->owned = j.arena;
  if (status != TX_OK) tx_quantization_free(quantization);
  return status;
}

void tx_quantization_free(tx_quantization *quantization) {
  tx_arena_free(quantization->owned);
  *quantization = (tx_quantization){0};
}
