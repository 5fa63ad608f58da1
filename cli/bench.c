/* taxon bench: what this machine can do, and how much of it a model gets. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "output.h"
#include "progress.h"

typedef struct {
  cli_common common;
  const char *data;
  char *text;
  int format, precision;
  int64_t texts;
  double seconds;
  option_list only, lengths;
} bench;

static const double billion = 1e9;

/* ---- JSON ------------------------------------------------------------------ */

static void put_ceilings(json_t *object, const tx_bench_ceilings *of, int threads) {
  out_put(object, "fma_gflops", out_real(of->multiply_add / billion));
  out_put(object, "int8_gops", out_real(of->bytes / billion));
  out_put(object, "memory_gbps", out_real(of->memory / billion));
  out_put(object, "threads", json_integer(threads));
}

static json_t *json_ceilings(const tx_bench_report *of) {
  json_t *object = json_object(), *one = json_object();
  put_ceilings(object, &of->ceilings, of->threads);
  put_ceilings(one, &of->one_thread, 1);
  out_put(object, "one_thread", one);
  return object;
}

static const char *unit(const tx_bench_product *of) {
  return of->memory ? "GB/s" : strcmp(of->type, "f32") == 0 ? "GFLOP/s" : "GOP/s";
}

static json_t *json_products(const tx_bench_report *of) {
  json_t *list = json_array();
  for (size_t i = 0; i < of->product_count; i++) {
    const tx_bench_product *from = &of->products[i];
    json_t *product = json_object();
    out_put(product, "type", out_string(from->type));
    out_put(product, "rows", json_integer(from->rows));
    out_put(product, "inputs", json_integer(from->inputs));
    out_put(product, "outputs", json_integer(from->outputs));
    out_put(product, "threads", json_integer(from->threads));
    out_put(product, "unit", out_string(unit(from)));
    out_put(product, "achieved", out_real(from->achieved / billion));
    out_put(product, "ceiling", out_real(from->ceiling / billion));
    out_put(product, "percent", out_real(100 * from->share));
    out_append(list, product);
  }
  return list;
}

/* `size`: what a speed's size is called. */
static json_t *json_speeds(const tx_bench_speed *speeds, size_t count, const char *size) {
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    json_t *speed = json_object();
    out_put(speed, "precision", out_string(speeds[i].precision));
    out_put(speed, size, json_integer(speeds[i].size));
    out_put(speed, "runs", json_integer(speeds[i].runs));
    out_put(speed, "tokens_per_second", out_real(speeds[i].tokens_per_second));
    out_append(list, speed);
  }
  return list;
}

static json_t *json_texts(const tx_bench_report *of) {
  json_t *list = json_array();
  for (size_t i = 0; i < of->text_count; i++) {
    const tx_bench_texts *from = &of->texts[i];
    json_t *texts = json_object();
    out_put(texts, "precision", out_string(from->precision));
    out_put(texts, "texts", json_integer(from->texts));
    out_put(texts, "tokens", json_integer(from->tokens));
    out_put(texts, "cut", json_integer(from->cut));
    out_put(texts, "seconds", out_real(from->seconds));
    out_put(texts, "texts_per_second", out_real(from->texts_per_second));
    out_put(texts, "tokens_per_second", out_real(from->tokens_per_second));
    out_append(list, texts);
  }
  return list;
}

static void print_json(const tx_bench_report *of) {
  json_t *object = json_object();
  out_put(object, "kernels", out_string(of->kernels));
  out_put(object, "byte_kernels", out_string(of->byte_kernels));
  out_put(object, "ceilings", json_ceilings(of));
  out_put(object, "products", json_products(of));
  out_put(object, "prefill", json_speeds(of->prefill, of->prefill_count, "tokens"));
  out_put(object, "decode", json_speeds(of->decode, of->decode_count, "batch"));
  out_put(object, "texts", json_texts(of));
  out_put(object, "peak_rss_bytes", json_integer(of->peak_rss_bytes));
  out_json(object, 6);
}

/* ---- for people ------------------------------------------------------------ */

static void add_rate(out_table *table, double value) {
  char number[OUT_NUMBER];
  out_cell(table, out_decimal(value, value < 1000 ? 1 : 0, number));
}

static void add_percent(out_table *table, double share) {
  char number[OUT_NUMBER];
  snprintf(number, sizeof number, "%.0f %%", 100 * share);
  out_cell(table, number);
}

static void add_ceiling(out_table *table, const tx_bench_report *of, const char *name, double one,
                        double all, const char *what) {
  out_cell(table, name);
  add_rate(table, one / billion);
  if (of->threads > 1) add_rate(table, all / billion);
  out_cell(table, what);
}

static void print_ceilings(const tx_bench_report *of) {
  char heading[OUT_NUMBER];
  out_table table = out_table_make(of->threads > 1 ? "lrrl" : "lrl", true);
  printf("kernels %s, of bytes %s\n\n", of->kernels, of->byte_kernels);
  out_cell(&table, "ceiling");
  out_cell(&table, "1 thread");
  snprintf(heading, sizeof heading, "%d threads", of->threads);
  if (of->threads > 1) out_cell(&table, heading);
  out_cell(&table, "");
  const tx_bench_ceilings *one = &of->one_thread, *all = &of->ceilings;
  add_ceiling(&table, of, "multiply-add, fp32", one->multiply_add, all->multiply_add, "GFLOP/s");
  add_ceiling(&table, of, "multiply-add, int8", one->bytes, all->bytes, "GOP/s");
  add_ceiling(&table, of, "reading memory", one->memory, all->memory, "GB/s");
  out_table_print(&table);
}

static bool same_line(const tx_bench_product *a, const tx_bench_product *b) {
  return a->inputs == b->inputs && a->outputs == b->outputs && a->threads == b->threads &&
         strcmp(a->type, b->type) == 0;
}

/* The figures of one line: from the first on as many as differ in their rows alone. */
static size_t line_end(const tx_bench_report *of, size_t first) {
  size_t end = first + 1;
  while (end < of->product_count && same_line(&of->products[first], &of->products[end])) end++;
  return end;
}

static void add_product_line(out_table *table, const tx_bench_product *line, size_t count) {
  char text[3 * OUT_NUMBER];
  out_cell(table, line->type);
  snprintf(text, sizeof text, "%" PRId64 " x %" PRId64, line->inputs, line->outputs);
  out_cell(table, text);
  snprintf(text, sizeof text, "%d", line->threads);
  out_cell(table, text);
  for (size_t i = 0; i < count; i++) {
    add_rate(table, line[i].achieved / billion);
    add_percent(table, line[i].share);
  }
}

/* A line for each shape, type and number of threads; the rows beside each other. */
static void print_products(const tx_bench_report *of) {
  char alignment[64] = "llr", heading[2 * OUT_NUMBER];
  size_t columns = of->product_count > 0 ? line_end(of, 0) : 0;
  if (columns == 0 || columns > 16) return;
  memset(alignment + 3, 'r', 2 * columns);
  out_table table = out_table_make(alignment, true);
  out_cell(&table, "product");
  out_cell(&table, "inputs x outputs");
  out_cell(&table, "threads");
  for (size_t i = 0; i < columns; i++) {
    const tx_bench_product *of_rows = &of->products[i];
    snprintf(heading, sizeof heading, "%" PRId64 " row%s", of_rows->rows,
             of_rows->rows == 1 ? ", GB/s" : "s");
    out_cell(&table, heading);
    out_cell(&table, "");
  }
  for (size_t i = 0, end; i < of->product_count; i = end) {
    end = line_end(of, i);
    add_product_line(&table, &of->products[i], end - i);
  }
  puts("\nProducts, and per cent of the ceiling measured in turn with each: one row in GB/s of\n"
       "weights that come from memory, more rows in GFLOP/s (f32) or GOP/s (the others).");
  out_table_print(&table);
}

static void print_speeds(const char *name, const tx_bench_speed *speeds, size_t count,
                         const char *size) {
  char number[OUT_NUMBER];
  if (count == 0) return;
  out_table table = out_table_make("lrr", true);
  out_cell(&table, name);
  out_cell(&table, size);
  out_cell(&table, "tokens/s");
  for (size_t i = 0; i < count; i++) {
    out_cell(&table, speeds[i].precision);
    out_cell(&table, out_grouped(speeds[i].size, number));
    add_rate(&table, speeds[i].tokens_per_second);
  }
  putchar('\n');
  out_table_print(&table);
}

static void print_texts(const tx_bench_report *of) {
  char number[OUT_NUMBER];
  if (of->text_count == 0) return;
  out_table table = out_table_make("lrrrr", true);
  static const char *const heading[] = {"texts", "count", "tokens", "texts/s", "tokens/s"};
  for (size_t i = 0; i < 5; i++) out_cell(&table, heading[i]);
  for (size_t i = 0; i < of->text_count; i++) {
    out_cell(&table, of->texts[i].precision);
    out_cell(&table, out_grouped(of->texts[i].texts, number));
    out_cell(&table, out_grouped(of->texts[i].tokens, number));
    add_rate(&table, of->texts[i].texts_per_second);
    add_rate(&table, of->texts[i].tokens_per_second);
  }
  putchar('\n');
  out_table_print(&table);
}

static void print_report(const tx_bench_report *of) {
  print_ceilings(of);
  print_products(of);
  print_speeds("prefill", of->prefill, of->prefill_count, "tokens");
  print_speeds("decode", of->decode, of->decode_count, "batch");
  print_texts(of);
}

/* ---- the verb -------------------------------------------------------------- */

static const char *const precision_names[] = {"all", "f32", "int8", "file", NULL};

/* The parts named by --only; 0: all.  False: one is not known, which is said. */
static bool read_parts(const bench *state, const char *verb, unsigned *parts) {
  static const char *const names[] = {"ceilings", "products", "prefill", "decode", "texts"};
  static const unsigned flags[] = {0, TX_BENCH_PRODUCTS, TX_BENCH_PREFILL, TX_BENCH_DECODE,
                                   TX_BENCH_TEXTS};
  enum { PARTS = sizeof names / sizeof *names, NOTHING_MORE = 1 << 16 };
  *parts = state->only.count > 0 ? NOTHING_MORE : 0;
  for (size_t i = 0; i < state->only.count; i++) {
    size_t p = 0;
    while (p < PARTS && strcmp(names[p], state->only.items[i]) != 0) p++;
    if (p == PARTS) {
      cli_usage_error(verb, "--only %s: it may be ceilings, products, prefill, decode or texts",
                      state->only.items[i]);
      return false;
    }
    *parts |= flags[p];
  }
  return true;
}

static bool read_lengths(const bench *state, const char *verb, int64_t *lengths) {
  for (size_t i = 0; i < state->lengths.count; i++) {
    char *end;
    errno = 0;
    lengths[i] = strtoll(state->lengths.items[i], &end, 10);
    if (*end || end == state->lengths.items[i] || errno || lengths[i] < 1) {
      cli_usage_error(verb, "--tokens %s: a whole number from 1 is needed",
                      state->lengths.items[i]);
      return false;
    }
  }
  return true;
}

static int measure(const bench *state, const command_line *line, tx_bench_options *options) {
  tx_error error = {0};
  tx_bench_report report = {0};
  progress bar;
  progress_begin(&bar, state->common.quiet);
  tx_watch watch = progress_watch(&bar);
  tx_status status = tx_bench(options, &report, &watch, &error);
  progress_end(&bar);
  if (status != TX_OK) {
    return cli_fail(line->verb, &error, "nothing is reported: run the same command again");
  }
  (state->common.json ? print_json : print_report)(&report);
  tx_bench_report_free(&report);
  return CLI_DONE;
}

static int run(const bench *state, const command_line *line) {
  tx_bench_options options = tx_bench_defaults();
  int64_t *lengths = cli_array(state->lengths.count + 1, sizeof *lengths);
  options.home = state->common.home;
  options.model = line->arguments[0];
  options.precision = state->precision > 0 ? precision_names[state->precision] : NULL;
  options.lengths = lengths;
  options.length_count = state->lengths.count;
  options.data = state->data;
  if (state->text) options.table.text = state->text;
  options.table.format = options_format(state->format);
  options.texts = state->texts;
  options.seconds = state->seconds;
  int status = CLI_USAGE;
  if (read_parts(state, line->verb, &options.parts) && read_lengths(state, line->verb, lengths)) {
    status = measure(state, line, &options);
  }
  free(lengths);
  return status;
}

int verb_bench(int argc, char **argv) {
  bench state = {.common = options_common_defaults(), .seconds = tx_bench_defaults().seconds};
  const option options[] = {
      {"data", OPTION_STRING, &state.data, "TABLE", "run the model over these texts too",
       .zero = "none"},
      {"text", OPTION_COLUMNS, &state.text, "COLUMN", "the text; several: A,B or given twice",
       .zero = "text"},
      {"format", OPTION_CHOICE, &state.format, .help = "of the table", .choices = options_formats},
      {"texts", OPTION_INTEGER, &state.texts, "N", "the table's first ones only", .zero = "all",
       .most = INT32_MAX},
      {"only", OPTION_LIST, &state.only, "PART",
       "ceilings, products, prefill, decode or texts; may be given several times", .zero = "all"},
      {"precision", OPTION_CHOICE, &state.precision, .help = "of prefill, decode and texts",
       .choices = precision_names},
      {"tokens", OPTION_LIST, &state.lengths, "N",
       "length of a text of prefill; may be given several times", .zero = "64, 512, 2048"},
      {"seconds", OPTION_REAL, &state.seconds, "S", "that each figure is measured for",
       .low = 0, .high = 1000},
  };
  command_line line = {
      .verb = argv[0],
      .summary = "measure this machine, and a model on it",
      .usage = "MODEL [--data TABLE --text COLUMNS] [options]",
      .about =
          "Measures what the machine does at most (fp32 and int8 multiply-adds, reading of "
          "memory),\nand beside it products at the shapes of the model's matrices, the whole "
          "model over texts\nof some lengths, and over the texts of a table.  Takes about a "
          "minute; leave the machine\nalone meanwhile.",
      .examples = "  taxon bench smollm2-135m\n"
                  "  taxon bench smollm2-135m --data test.tsv --only texts --json",
      .options = options,
      .option_count = sizeof options / sizeof options[0],
      .common = &state.common,
      .least = 1,
      .most = 1,
      .missing = "say which model"};
  int status;
  if (options_parse(&line, argc, argv, &status)) status = run(&state, &line);
  options_free(&line);
  return status;
}
