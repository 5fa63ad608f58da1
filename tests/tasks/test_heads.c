/* Several label sets in one classifier: the answers of each are those of a
 * classifier of its own, bit for bit; the trunk runs once; and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tasks/made.h"
#include "formats/artifact_make.h"
#include "base/hash.h"
#include "model/trunk.h"

enum { TEXTS = 30, LABELS = 8 };

/* ---- training ---------------------------------------------------------- */

/* The texts of train.tsv with another question: is the number at the end even? */
static const char *parity_table(void) {
  const char *path = made("parity.tsv");
  if (access(path, F_OK) == 0) return path;
  size_t size;
  char *rows = read_bytes(made("train.tsv"), &size), *rest = rows;
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  for (char *line; (line = strsep(&rest, "\n")) && *line;) {
    char *tab = strchr(line, '\t');
    assert_non_null(tab);
    *tab = '\0';
    bool first = strcmp(line, "text") == 0, odd = (tab[-1] - '0') % 2;
    fprintf(file, "%s\t%s\n", line, first ? "label" : odd ? "odd" : "even");
  }
  assert_int_equal(fclose(file), 0);
  free(rows);
  return path;
}

static tx_label_source sources[2];

static tx_train_options two_heads(const char *out) {
  tx_train_options options = made_options(llama, out);
  sources[0] = (tx_label_source){"mood", options.data};
  sources[1] = (tx_label_source){"parity", parity_table()};
  options.data = options.validation = NULL;
  options.heads = sources;
  options.head_count = 2;
  options.method = TX_METHOD_AUTO;
  options.penalty = 0;
  return options;
}

/* The same head alone, at the depth and pooling that were chosen for it. */
static const char *alone(const tx_head_report *head, const char *data, const char *out) {
  tx_train_options options = made_options(llama, out);
  options.data = data;
  options.validation = NULL;
  options.depth = head->depth;
  options.pooling = head->pooling;
  options.penalty = 0;
  made_train(options);
  return out;
}

static void texts_to_ask(tx_text texts[TEXTS]) {
  static char made_texts[TEXTS][1000];
  tx_random random = tx_random_seed(7);
  for (int i = 0; i < TEXTS; i++) {
    make_text(&random, i % 3, made_texts[i], sizeof made_texts[i]);
    texts[i] = tx_text_of(made_texts[i]);
  }
}

/* The head's answers, from the classifier of all and from another's first head. */
static void assert_same_answers(tx_classifier *all, size_t head, const char *artifact) {
  tx_text texts[TEXTS];
  float one[TEXTS * LABELS], of[2][TEXTS * LABELS];
  float *const both[] = {of[0], of[1]};
  tx_classifier *single = made_open(artifact);
  size_t labels = tx_classifier_count(single);
  texts_to_ask(texts);
  assert_int_equal(labels, tx_classifier_head_count(all, head));
  for (size_t i = 0; i < labels; i++) {
    assert_string_equal(tx_classifier_label(single, i), tx_classifier_head_label(all, head, i));
  }
  MADE_OK(tx_classifier_predict(single, texts, TEXTS, one, NULL, NULL, error));
  MADE_OK(tx_classifier_predict_heads(all, texts, TEXTS, both, NULL, NULL, error));
  assert_memory_equal(one, of[head], TEXTS * labels * sizeof *one);
  tx_classifier_close(single);
}

/* With a depth asked for, both heads stand there with poolings of their own. */
static void test_answers_of_each_alone(void **state) {
  (void)state;
  for (int depth = 1; depth <= 3; depth++) {
    tx_train_options options = two_heads(made("two.taxon"));
    options.depth = depth;
    tx_train_report report = made_train(options);
    assert_int_equal(report.head_count, 2);
    assert_int_equal(report.heads[0].depth, depth);
    tx_classifier *all = made_open(options.out);
    assert_int_equal(tx_classifier_heads(all), 2);
    assert_string_equal(tx_classifier_head(all, 0), "mood");
    assert_string_equal(tx_classifier_head(all, 1), "parity");
    assert_null(tx_classifier_head(all, 2));
    assert_null(tx_classifier_head_label(all, 1, 2));
    assert_int_equal(tx_classifier_head_count(all, 2), 0);
    for (size_t i = 0; i < 2; i++) {
      assert_same_answers(all, i, alone(&report.heads[i], sources[i].data, made("one.taxon")));
    }
    tx_classifier_close(all);
  }
}

static void test_trained_as_a_head_is(void **state) {
  (void)state;
  tx_train_options options = two_heads(made("two.taxon"));
  options.method = TX_METHOD_HEAD;
  options.depth = 2;
  options.pooling = TX_POOLING_MEAN;
  tx_train_report report = made_train(options);
  tx_classifier *all = made_open(options.out);
  for (size_t i = 0; i < 2; i++) {
    assert_same_answers(all, i, alone(&report.heads[i], sources[i].data, made("one.taxon")));
  }
  tx_classifier_close(all);
}

/* One head with a name is the artifact without, and its name. */
static void test_a_single_head(void **state) {
  (void)state;
  tx_train_options options = two_heads(made("named.taxon"));
  options.head_count = 1;
  options.method = TX_METHOD_HEAD;
  tx_train_report report = made_train(options);
  tx_classifier *named = made_open(options.out);
  assert_int_equal(tx_classifier_heads(named), 1);
  assert_string_equal(tx_classifier_head(named, 0), "mood");
  alone(&report.heads[0], sources[0].data, made("one.taxon"));
  tx_classifier *unnamed = made_open(made("one.taxon"));
  assert_int_equal(tx_classifier_heads(unnamed), 1);
  assert_string_equal(tx_classifier_head(unnamed, 0), "");
  tx_text text = tx_text_of("the service broke");
  float a[LABELS], b[LABELS], *const of_b[] = {b};
  MADE_OK(tx_classifier_predict(named, &text, 1, a, NULL, NULL, error));
  MADE_OK(tx_classifier_predict_heads(unnamed, &text, 1, of_b, NULL, NULL, error));
  assert_memory_equal(a, b, 3 * sizeof *a);
  tx_classifier_close(named), tx_classifier_close(unnamed);
}

/* Whatever the threads, and wherever the states come from. */
static void test_same_bytes(void **state) {
  (void)state;
  made_train(two_heads(made("first.taxon")));
  for (int i = 0; i < 3; i++) {
    tx_train_options options = two_heads(made("second.taxon"));
    options.no_cache = i == 0;
    tx_set_threads(2);
    tx_train_report report = made_train(options);
    tx_set_threads(1);
    assert_true(same_files(made("first.taxon"), made("second.taxon")));
    if (i == 2) assert_int_equal(report.computed_texts, 0);
  }
}

/* The same texts behind both heads go through the trunk once, without a cache on
 * disk too; with no room to remember them they go again. */
static void test_each_text_is_computed_once(void **state) {
  (void)state;
  tx_train_options options = two_heads(made("two.taxon"));
  tx_train_report report = made_train(options);
  assert_int_equal(report.train_rows + report.val_rows, 96);
  assert_int_equal(report.computed_texts, 48);
  assert_int_equal(report.cached_texts, 0);
  options.cache_mb = 0;
  assert_int_equal(made_train(options).computed_texts, 96);
}

/* ---- asking ------------------------------------------------------------ */

static void test_the_chosen_head(void **state) {
  (void)state;
  made_train(two_heads(made("two.taxon")));
  tx_classifier_options options = tx_classifier_defaults();
  options.head = "parity";
  tx_classifier *classifier;
  MADE_OK(tx_classifier_open(made("two.taxon"), options, &classifier, error));
  assert_int_equal(tx_classifier_count(classifier), 2);
  assert_string_equal(tx_classifier_label(classifier, 1), "odd");
  assert_string_equal(tx_classifier_head(classifier, 0), "mood"); /* the order stays */
  tx_text texts[TEXTS];
  float one[TEXTS * 2], mood[TEXTS * 3], parity[TEXTS * 2], *const both[] = {mood, parity};
  texts_to_ask(texts);
  MADE_OK(tx_classifier_predict(classifier, texts, TEXTS, one, NULL, NULL, error));
  MADE_OK(tx_classifier_predict_heads(classifier, texts, TEXTS, both, NULL, NULL, error));
  assert_memory_equal(one, parity, sizeof one);
  tx_evaluation e;
  MADE_OK(tx_evaluate(classifier, made("parity.tsv"), tx_table_defaults(), &e, NULL, error));
  assert_int_equal(e.label_count, 2);
  assert_true(e.seen_in_training > 35 && e.seen_in_training < 48); /* not those held out */
  assert_true(e.majority.accuracy >= 0.5);
  tx_evaluation_free(&e);
  MADE_FAILS(tx_evaluate(classifier, made("train.tsv"), tx_table_defaults(), &e, NULL, error),
             TX_ERROR_INPUT, "the labels are: even, odd");
  tx_classifier_close(classifier);
  options.head = "party";
  MADE_FAILS(tx_classifier_open(made("two.taxon"), options, &classifier, error),
             TX_ERROR_ARGUMENT,
             "has no head 'party'; its heads are: mood, parity; did you mean 'parity'?");
  made_train(made_options(llama, made("plain.taxon")));
  MADE_FAILS(tx_classifier_open(made("plain.taxon"), options, &classifier, error),
             TX_ERROR_ARGUMENT, "it is of one set of labels without a name");
}

/* ---- the trunk --------------------------------------------------------- */

/* Every set of taps gives what each gives alone. */
static void test_taps(void **state) {
  (void)state;
  tx_model *model;
  tx_pass pass;
  static const int32_t ids[] = {5, 9, 2, 7, 7, 1, 3, 200, 41};
  static const int64_t offsets[] = {0, 4, 5, 9};
  const tx_sequences sequences = {3, ids, offsets};
  MADE_OK(tx_model_open(llama, NULL, &model, error));
  MADE_OK(tx_model_load(model, 0, 3, error));
  MADE_OK(tx_pass_open(tx_model_facts(model), &pass, error));
  enum { ALL = 16, FLOATS = 3 * 2 * 64 };
  static float want[ALL][FLOATS], got[ALL][FLOATS];
  tx_tap taps[ALL];
  for (int i = 0; i < ALL; i++) {
    taps[i] = (tx_tap){i / 4, (tx_pooling)(i % 4), got[i], NULL};
    MADE_OK(tx_trunk_features(model, &pass, &sequences, taps[i].depth, taps[i].pooling, 6, want[i],
                              "t", NULL, error));
  }
  for (unsigned sets = 1; sets < 1 << ALL; sets = sets * 3 + 5) {
    tx_tap some[ALL];
    size_t count = 0;
    memset(got, 0, sizeof got);
    for (int i = 0; i < ALL; i++) {
      if (sets >> i & 1) some[count++] = taps[i];
    }
    MADE_OK(tx_trunk_taps(model, &pass, &sequences, some, count, 6, "t", NULL, error));
    for (int i = 0; i < ALL; i++) {
      size_t floats = (size_t)(3 * 64 * tx_pool_parts(taps[i].pooling));
      if (sets >> i & 1) assert_memory_equal(want[i], got[i], floats * sizeof(float));
    }
  }
  tx_pass_close(&pass);
  tx_model_close(model);
}

/* ---- what is refused --------------------------------------------------- */

static void refuse(tx_train_options options, const char *sentence) {
  tx_train_report report;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT, sentence);
  assert_int_not_equal(access(options.out, F_OK), 0);
}

static void refuse_name(const char *name, const char *sentence) {
  tx_train_options options = two_heads(made("refused.taxon"));
  sources[1].name = name;
  refuse(options, sentence);
}

static void test_options_that_make_no_sense(void **state) {
  (void)state;
  static const char name[] = "it has 1 to 64 bytes of UTF-8, no slash and no control characters";
  refuse_name(NULL, name), refuse_name("", name), refuse_name("a/b", name);
  refuse_name("a\tb", name), refuse_name("a\x7f", name), refuse_name("\xff", name);
  refuse_name("a\xc2\x85", name);
  refuse_name("1234567890123456789012345678901234567890123456789012345678901234567", name);
  refuse_name("mood", "two heads are named 'mood'; give each its own name");
  tx_train_options options = two_heads(made("refused.taxon"));
  options.data = sources[0].data;
  refuse(options, "heads bring their own tables");
  options = two_heads(made("refused.taxon"));
  options.validation = sources[0].data;
  refuse(options, "heads bring their own tables");
  options = two_heads(made("refused.taxon"));
  options.method = TX_METHOD_LAST_BLOCK;
  refuse(options, "the method is auto or head");
  options = two_heads(made("refused.taxon"));
  options.head_count = 65;
  refuse(options, "there are 65 heads; a classifier has up to 64");
  options = two_heads(made("refused.taxon"));
  sources[1].data = NULL;
  refuse(options, "the head 'parity' has no table");
  options = two_heads(made("refused.taxon"));
  options.heads = NULL;
  refuse(options, "training needs a model, a training table and an output");
  options = two_heads(parity_table()); /* the second head's table */
  tx_train_report report;
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_ARGUMENT,
             "is the file of the training table; name another output");
}

/* A wrong table is found before anything is computed. */
static void test_a_wrong_second_table(void **state) {
  (void)state;
  tx_train_options options = two_heads(made("refused.taxon"));
  tx_train_report report;
  write_text(made("one.tsv"), "text\tlabel\na\tx\nb\tx\n");
  sources[1].data = made("one.tsv");
  MADE_FAILS(tx_train(&options, &report, NULL, error), TX_ERROR_INPUT,
             "the only label is 'x' (2 rows)");
  assert_int_equal(report.computed_texts, 0);
}

/* ---- artifacts that are broken ----------------------------------------- */

static const tx_text two_names[] = {{"a", 1}, {"b", 1}};

/* Two heads in order over the tiny model, to be spoilt. */
typedef struct {
  tx_artifact_facts facts[2];
  made_tensor tensors[4];
} parts;

static parts good_parts(void) {
  static char hash[TX_SHA256_HEX];
  static float zeros[4 * 64 * 2];
  if (!hash[0]) MADE_OK(tx_sha256_file(llama, hash, error));
  parts p = {.tensors = {{"head.weight", TX_TENSOR_F32, 2, {64, 3}, zeros},
                         {"head.bias", TX_TENSOR_F32, 1, {3}, zeros},
                         {"head.1.weight", TX_TENSOR_F32, 2, {128, 2}, zeros},
                         {"head.1.bias", TX_TENSOR_F32, 1, {2}, zeros}}};
  for (size_t i = 0; i < 2; i++) {
    p.facts[i] = good_facts(llama, hash);
    p.facts[i].heads = two_names;
    p.facts[i].head_count = 2;
    p.facts[i].head = i;
  }
  p.facts[1].label_count = 2;
  p.facts[1].depth = 3;
  p.facts[1].pooling = tx_text_of("both");
  return p;
}

static const char *write_parts(const parts *p, size_t heads) {
  tx_gguf_writer *writer = tx_gguf_writer_new();
  for (size_t i = 0; i < heads; i++) tx_artifact_add_facts(writer, &p->facts[i]);
  for (size_t i = 0; i < 4; i++) {
    const made_tensor *t = &p->tensors[i];
    if (t->data) tx_gguf_add_tensor(writer, t->name, t->type, t->dimensions, t->shape, t->data);
  }
  MADE_OK(tx_gguf_commit(writer, made("parts.taxon"), error));
  tx_gguf_writer_free(writer);
  return made("parts.taxon");
}

static void refuse_parts(const parts *p, size_t heads, const char *sentence) {
  tx_classifier *classifier;
  const char *path = write_parts(p, heads);
  MADE_FAILS(tx_classifier_open(path, tx_classifier_defaults(), &classifier, error),
             TX_ERROR_INPUT, sentence);
  assert_null(classifier);
}

static void test_artifacts_in_order(void **state) {
  (void)state;
  parts p = good_parts();
  tx_classifier *classifier = made_open(write_parts(&p, 2));
  tx_text text = tx_text_of("a text");
  float a[3], b[2], *const both[] = {a, b};
  MADE_OK(tx_classifier_predict_heads(classifier, &text, 1, both, NULL, NULL, error));
  assert_true(a[0] == a[2] && b[0] == 0.5f);
  tx_classifier_close(classifier);
}

#define SPOIL(change, sentence)     \
  do {                              \
    parts p = good_parts();         \
    change;                         \
    refuse_parts(&p, 2, sentence);  \
  } while (0)

static void test_artifacts_that_are_broken(void **state) {
  (void)state;
  static const tx_text twice[] = {{"a", 1}, {"a", 1}}, slash[] = {{"a", 1}, {"b/", 2}},
                       empty[] = {{"", 0}, {"b", 1}};
  static tx_text many[65];
  static const float nan[4] = {0, __builtin_nanf("")};
  for (int i = 0; i < 65; i++) many[i] = (tx_text){&"aaaaaaaaaabbbbbbbbbb"[i % 20], 1};
  SPOIL(p.facts[0].heads = twice, "two of its heads have the same name");
  SPOIL(p.facts[0].heads = slash, "the name of a head is empty, too long or not one that");
  SPOIL(p.facts[0].heads = empty, "the name of a head is empty, too long or not one that");
  SPOIL((p.facts[0].heads = many, p.facts[0].head_count = 65),
        "taxon.heads names 65 heads, outside 1 to 64");
  SPOIL(p.facts[1].depth = 1025, "taxon.head.1.depth is 1025, outside ");
  SPOIL(p.facts[1].depth = 4, "runs 4 blocks, but its base has 3");
  SPOIL(p.facts[1].val_accuracy = 2, "taxon.head.1.validation.accuracy is 2, which it cannot be");
  SPOIL(p.facts[1].label_count = 1, "it has no labels, only one, or too many");
  SPOIL(p.facts[1].majority_label = 2, "its most frequent label is none of its labels");
  SPOIL(p.facts[1].blocks_trained = 1, "one of its heads changes blocks");
  SPOIL(p.facts[1].pooling = tx_text_of("most"), "the pooling 'most' is not known");
  SPOIL(p.tensors[2].data = NULL, "head.1.weight or head.1.bias is missing");
  SPOIL(p.tensors[3].shape[0] = 1, "head.1.weight or head.1.bias is missing or not [128, 2]");
  SPOIL(p.tensors[3].data = nan, "head.1.weight holds NaN or infinity");
  parts p = good_parts();
  refuse_parts(&p, 1, "taxon.head.1.labels");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_answers_of_each_alone),
      cmocka_unit_test(test_trained_as_a_head_is),
      cmocka_unit_test(test_a_single_head),
      cmocka_unit_test(test_same_bytes),
      cmocka_unit_test(test_each_text_is_computed_once),
      cmocka_unit_test(test_the_chosen_head),
      cmocka_unit_test(test_taps),
      cmocka_unit_test(test_options_that_make_no_sense),
      cmocka_unit_test(test_a_wrong_second_table),
      cmocka_unit_test(test_artifacts_in_order),
      cmocka_unit_test(test_artifacts_that_are_broken),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
