/* What bytes cost a model: the error of each matrix (model/spikes.h), and the error of
 * the texts' states at some depths when those above a bound stay fp32.
 * Measures; asserts nothing.
 *
 *   build/bench/spikes MODEL TABLE [TEXT-COLUMN]                                      */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/table.h"
#include "model/spikes.h"
#include "text/encode.h"
#include "text/vocabulary.h"

enum { TEXTS = 100, MOST_TOKENS = 512 };
static const double bounds[] = {1, 0.01, 0.005, 0.002, 0.001, 0.0006, 0};

typedef struct {
  tx_model *model;
  tx_pass pass;
  tx_sequences sequences;
  int64_t blocks, width;
  double *errors; /* (blocks, TX_MATRICES) */
  float *exact;   /* probes of fp32 */
} bench;

static void must(tx_status status, const tx_error *error) {
  char sentence[2048];
  if (status == TX_OK) return;
  fprintf(stderr, "%s\n", tx_error_sentence(error, sentence, sizeof sentence));
  exit(1);
}

static float *probe(bench *b) {
  tx_error error = {0};
  size_t floats = (size_t)(b->sequences.count * (b->blocks + 1) * TX_PROBE_PARTS * b->width);
  float *probes = malloc(floats * sizeof *probes);
  if (!probes) exit(1);
  tx_model_unload(b->model, 0, b->blocks);
  must(tx_model_load(b->model, 0, b->blocks, &error), &error);
  must(tx_trunk_probe(b->model, &b->pass, &b->sequences, b->blocks, TX_BATCH_TOKENS, probes, "",
                      NULL, &error), &error);
  return probes;
}

/* Mean over texts of |state' - state|^2 / |state|^2; part 0: last token, 1: mean. */
static double state_error(const bench *b, const float *probes, int64_t depth, int part) {
  double sum = 0;
  for (int64_t text = 0; text < b->sequences.count; text++) {
    double error = 0, size = 0;
    int64_t at = ((text * (b->blocks + 1) + depth) * TX_PROBE_PARTS + part) * b->width;
    for (int64_t c = at; c < at + b->width; c++) {
      double difference = (double)probes[c] - (double)b->exact[c];
      error += difference * difference;
      size += (double)b->exact[c] * (double)b->exact[c];
    }
    sum += size > 0 ? error / size : 0;
  }
  return sum / (double)b->sequences.count;
}

static void print_bound(bench *b, double bound) {
  int kept = 0;
  for (int64_t i = 0; i < b->blocks * TX_MATRICES; i++) {
    bool keep = b->errors[i] > bound;
    tx_model_keep_f32(b->model, i / TX_MATRICES, (tx_matrix_slot)(i % TX_MATRICES), keep);
    kept += keep;
  }
  float *probes = probe(b);
  printf("%-7g %4d ", bound, kept);
  for (int64_t quarter = 1; quarter <= 4; quarter++) {
    int64_t depth = b->blocks * quarter / 4;
    printf("  %7.5f %7.5f", state_error(b, probes, depth, 0), state_error(b, probes, depth, 1));
  }
  putchar('\n');
  free(probes);
}

static void print_matrices(const bench *b) {
  printf("block");
  for (int slot = 0; slot < TX_MATRICES; slot++) {
    printf(" %12s", tx_matrix_stem((tx_matrix_slot)slot));
  }
  for (int64_t i = 0; i < b->blocks * TX_MATRICES; i++) {
    if (i % TX_MATRICES == 0) printf("\n%5" PRId64, i / TX_MATRICES);
    printf(" %12.5f", b->errors[i]);
  }
  printf("\n\nbound   kept   last, mean at a quarter, half, three quarters and all of the depth\n");
}

int main(int count, char **arguments) {
  tx_error error = {0};
  tx_tokenizer *tokenizer;
  tx_dataset *table;
  tx_encoded encoded;
  bench b = {0};
  if (count < 3) return fprintf(stderr, "spikes MODEL TABLE [TEXT-COLUMN]\n"), 2;
  tx_table_options options = tx_table_defaults();
  if (count > 3) options.text = arguments[3];
  must(tx_model_open(arguments[1], NULL, &b.model, &error), &error);
  must(tx_tokenizer_from_gguf(tx_model_gguf(b.model), &tokenizer, &error), &error);
  must(tx_pass_open(tx_model_facts(b.model), &b.pass, &error), &error);
  must(tx_dataset_read(arguments[2], options, NULL, &table, &error), &error);
  int64_t texts = table->rows < TEXTS ? table->rows : TEXTS;
  must(tx_encode(tokenizer, table->texts, texts, MOST_TOKENS, &encoded, &error), &error);
  b.sequences = (tx_sequences){texts, encoded.ids, encoded.offsets};
  b.blocks = tx_model_facts(b.model)->blocks, b.width = tx_model_facts(b.model)->width;
  b.exact = probe(&b);
  b.errors = calloc((size_t)(b.blocks * TX_MATRICES), sizeof *b.errors);
  if (!b.errors) return 1;
  must(tx_spikes_measure(b.model, &b.pass, &b.sequences, b.blocks, b.errors, NULL, &error), &error);
  print_matrices(&b);
  tx_model_set_dtype(b.model, TX_DTYPE_INT8);
  for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) print_bound(&b, bounds[i]);
  return 0;
}
