/* What tests of whole jobs share: a directory of their own, made tables, options
 * on the tiny models, and a watch that counts.  Included once by a test, after
 * cmocka.h.  Texts are made of words that tell a label, and of noise. */
#ifndef TX_TESTS_MADE_H
#define TX_TESTS_MADE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "formats/directory.h"

#define MADE_OK(call)                                                        \
  do {                                                                       \
    tx_error error_ = {0};                                                   \
    tx_error *error = &error_;                                               \
    if ((call) != TX_OK) {                                                   \
      char sentence_[1400];                                                  \
      fail_msg("%s", tx_error_sentence(error, sentence_, sizeof sentence_)); \
    }                                                                        \
  } while (0)

/* The status, and a sentence that holds `part`. */
#define MADE_FAILS(call, wanted, part)                                                        \
  do {                                                                                        \
    tx_error error_ = {0};                                                                    \
    tx_error *error = &error_;                                                                \
    char sentence_[1400];                                                                     \
    tx_status status_ = (call);                                                               \
    tx_error_sentence(error, sentence_, sizeof sentence_);                                    \
    if (status_ != (wanted) || error->status != (wanted) || !strstr(sentence_, part)) {       \
      fail_msg("%s gave %d '%s', not %d '%s'", #call, (int)status_, sentence_, (int)(wanted), \
               part);                                                                         \
    }                                                                                         \
  } while (0)

static const char llama[] = "tests/golden/tiny_llama.gguf";
static const char gpt2[] = "tests/golden/tiny_gpt2.gguf";

/* ---- the directory ----------------------------------------------------- */

static char made_directory[] = "/dev/shm/taxon-test.XXXXXX"; /* in memory: syncing costs nothing */

/* One thread where a test does not say otherwise: the jobs are tiny, and the
 * waiting of more threads than free processors would be most of the time. */
static inline int made_setup(void **state) {
  (void)state;
  tx_set_threads(1);
  if (mkdtemp(made_directory)) return 0;
  snprintf(made_directory, sizeof made_directory, "/tmp/taxon-test.XXXXXX");
  return mkdtemp(made_directory) ? 0 : -1;
}

static inline int made_teardown(void **state) {
  (void)state;
  tx_directory_remove(made_directory);
  return 0;
}

/* A path in the directory, good for the whole run. */
static inline const char *made(const char *name) {
  enum { NAMES = 200 };
  static char *paths[NAMES];
  char path[200];
  snprintf(path, sizeof path, "%s/%s", made_directory, name);
  for (int i = 0; i < NAMES; i++) {
    if (!paths[i]) paths[i] = strdup(path);
    if (!strcmp(paths[i], path)) return paths[i];
  }
  fail_msg("more than %d names", NAMES);
  return NULL;
}

/* How many names the directory holds, hidden ones too. */
static inline size_t made_names(const char *directory) {
  char **names;
  size_t count;
  tx_arena *arena = tx_arena_new();
  MADE_OK(tx_directory_names(directory, arena, &names, &count, error));
  tx_arena_free(arena);
  return count;
}

/* ---- files ------------------------------------------------------------- */

static inline void write_bytes(const char *path, const void *data, size_t size) {
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(data, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text) {
  write_bytes(path, text, strlen(text));
}

/* New: free. */
static inline char *read_bytes(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) fail_msg("cannot open %s", path);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  long end = ftell(file);
  assert_true(end >= 0);
  rewind(file);
  *size = (size_t)end;
  char *data = malloc(*size + 1);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, *size, file), *size);
  fclose(file);
  data[*size] = '\0';
  return data;
}

static inline bool same_files(const char *a, const char *b) {
  size_t size[2];
  char *data[2] = {read_bytes(a, &size[0]), read_bytes(b, &size[1])};
  bool same = size[0] == size[1] && memcmp(data[0], data[1], size[0]) == 0;
  free(data[0]), free(data[1]);
  return same;
}

/* ---- tables ------------------------------------------------------------ */

static const char *const made_labels[] = {"bad", "good", "mixed"};

/* One text: some words that tell the label, some that tell nothing. */
static inline void make_text(tx_random *random, int label, char *text, size_t size) {
  static const char *const told[3][5] = {{"broke", "slow", "rude", "nothing works", "refund"},
                                         {"bright", "sharp", "recommend", "free", "great"},
                                         {"but", "however", "although", "so-so", "average"}};
  static const char *const noise[] = {"the screen", "the weather", "service", "they're",
                                      "a camera",   "station 7",   "größer",  "😀"};
  size_t used = 0;
  int words = 2 + (int)tx_random_below(random, 9);
  text[0] = '\0';
  for (int i = 0; i < words; i++) {
    bool tells = i == 0 || tx_random_below(random, 3) == 0;
    /* a tenth of the telling words lie */
    int of = tells && tx_random_below(random, 10) == 0 ? (int)tx_random_below(random, 3) : label;
    const char *word =
        tells ? told[of][tx_random_below(random, 5)] : noise[tx_random_below(random, 8)];
    used += (size_t)snprintf(text + used, size - used, "%s%s", i ? " " : "", word);
  }
}

/* A TSV of `rows` rows; every third label is the same. */
static inline void make_table(const char *path, uint64_t seed, int rows) {
  tx_random random = tx_random_seed(seed);
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  fputs("text\tlabel\n", file);
  for (int i = 0; i < rows; i++) {
    char text[1000];
    int label = i % 3;
    make_text(&random, label, text, sizeof text);
    fprintf(file, "%s %d\t%s\n", text, i, made_labels[label]);
  }
  assert_int_equal(fclose(file), 0);
}

/* ---- jobs -------------------------------------------------------------- */

/* train.tsv and val.tsv of the directory, made at first use. */
static inline tx_train_options made_options(const char *model, const char *out) {
  const char *train = made("train.tsv"), *validation = made("val.tsv");
  if (access(train, F_OK) != 0) {
    make_table(train, 1, 48);
    make_table(validation, 2, 21);
  }
  tx_train_options options = tx_train_defaults();
  options.home = made_directory;
  options.model = model;
  options.data = train;
  options.validation = validation;
  options.out = out;
  options.method = TX_METHOD_HEAD;
  options.no_cache = true; /* each run computes what it says */
  options.epochs = 2;
  options.penalty = 0.01;
  options.learning_rate = 1e-3;
  return options;
}

static inline tx_train_report made_train(tx_train_options options) {
  tx_train_report report;
  MADE_OK(tx_train(&options, &report, NULL, error));
  return report;
}

static inline tx_classifier *made_open(const char *path) {
  tx_classifier *classifier = NULL;
  tx_classifier_options options = tx_classifier_defaults();
  options.home = made_directory;
  MADE_OK(tx_classifier_open(path, options, &classifier, error));
  return classifier;
}

#endif
