/* The artifact's facts: written and read back, every one of them out of its
 * range, the file cut short at every byte, its bytes changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tasks/made.h"
#include "formats/artifact_make.h"
#include "formats/table.h"

static const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const int64_t fingerprints[] = {3, 8, 9};

static tx_artifact_facts facts_in_order(void) { return good_facts("some/base.gguf", hash); }

static const char *written(const tx_artifact_facts *facts) {
  const char *path = made("written.taxon");
  const made_tensor texts = {"taxon.training.texts", TX_TENSOR_I64, 1, {3}, fingerprints};
  MADE_OK(write_artifact(path, facts, &texts, 1, error));
  return path;
}

static bool same(tx_text a, tx_text b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void test_what_is_written_is_read(void **state) {
  (void)state;
  tx_artifact_facts want = facts_in_order(), got;
  tx_gguf *gguf;
  MADE_OK(tx_artifact_open(written(&want), &gguf, &got, error));
  assert_int_equal(got.label_count, 3);
  for (size_t i = 0; i < 3; i++) assert_true(same(got.labels[i], want.labels[i]));
#define SAME_TEXT(member) assert_true(same(got.member, want.member))
#define SAME_NUMBER(member) assert_true(got.member == want.member)
  SAME_TEXT(method), SAME_TEXT(text_template), SAME_TEXT(pooling), SAME_TEXT(base_name);
  SAME_TEXT(base_sha256), SAME_TEXT(data_sha256), SAME_TEXT(validation_sha256);
  SAME_TEXT(head_solver), SAME_TEXT(class_weights), SAME_TEXT(schedule), SAME_TEXT(command);
  SAME_TEXT(version);
  SAME_NUMBER(depth), SAME_NUMBER(max_tokens), SAME_NUMBER(blocks_trained);
  SAME_NUMBER(train_rows), SAME_NUMBER(val_rows), SAME_NUMBER(tokens), SAME_NUMBER(cut);
  SAME_NUMBER(seed), SAME_NUMBER(epochs), SAME_NUMBER(best_epoch), SAME_NUMBER(batch);
  SAME_NUMBER(accumulate), SAME_NUMBER(trained_parameters), SAME_NUMBER(learning_rate);
  SAME_NUMBER(weight_decay), SAME_NUMBER(penalty), SAME_NUMBER(val_accuracy);
  SAME_NUMBER(val_lo), SAME_NUMBER(val_hi), SAME_NUMBER(val_macro_f1), SAME_NUMBER(val_nll);
  SAME_NUMBER(majority_label), SAME_NUMBER(majority_accuracy), SAME_NUMBER(linear_accuracy);
  const uint64_t *prints;
  int64_t count;
  tx_artifact_fingerprints(gguf, 0, &prints, &count);
  assert_int_equal(count, 3);
  assert_memory_equal(prints, fingerprints, sizeof fingerprints);
  tx_gguf_close(gguf);
}

static void refuse(const tx_artifact_facts *facts, const char *part) {
  tx_artifact_facts got;
  tx_gguf *gguf = (tx_gguf *)&got;
  MADE_FAILS(tx_artifact_open(written(facts), &gguf, &got, error), TX_ERROR_INPUT, part);
  assert_null(gguf);
}

#define REFUSE(member, value, part)              \
  do {                                           \
    tx_artifact_facts facts_ = facts_in_order(); \
    facts_.member = value;                       \
    refuse(&facts_, part);                       \
  } while (0)

static void test_numbers_out_of_range(void **state) {
  (void)state;
  REFUSE(depth, -1,
         "taxon.depth is -1, outside 0 to 1024; the artifact is damaged, train it again");
  REFUSE(depth, 1025, "taxon.depth is 1025, outside 0 to 1024");
  REFUSE(max_tokens, 0, "taxon.max_tokens is 0, outside 1 to 16777216");
  REFUSE(max_tokens, -1, "taxon.max_tokens is -1, outside");
  REFUSE(train_rows, 0, "taxon.training.rows is 0, outside 1 to");
  REFUSE(val_rows, -1, "taxon.training.validation_rows is -1");
  REFUSE(tokens, -1, "taxon.training.tokens is -1");
  REFUSE(cut, INT64_MIN, "taxon.training.cut is -9223372036854775808");
  REFUSE(blocks_trained, -1, "taxon.training.blocks is -1");
  REFUSE(epochs, -1, "taxon.training.epochs is -1");
  REFUSE(trained_parameters, -1, "taxon.training.trained_parameters is -1");
  REFUSE(learning_rate, NAN,
         "taxon.training.learning_rate is nan, which it cannot be; the artifact");
  REFUSE(learning_rate, -1, "taxon.training.learning_rate is -1, which");
  REFUSE(penalty, INFINITY, "taxon.training.penalty is inf, which");
  REFUSE(val_accuracy, 1.5, "taxon.validation.accuracy is 1.5, which");
  REFUSE(val_accuracy, NAN, "taxon.validation.accuracy is nan, which");
  REFUSE(val_lo, -0.1, "taxon.validation.accuracy_lo is -0.1, which");
  REFUSE(val_hi, INFINITY, "taxon.validation.accuracy_hi is inf, which");
  REFUSE(val_macro_f1, 2, "taxon.validation.macro_f1 is 2, which");
  REFUSE(val_nll, INFINITY, "taxon.validation.nll is inf, which");
  REFUSE(majority_accuracy, -1, "taxon.baseline.majority is -1, which");
  REFUSE(linear_accuracy, 1.01, "taxon.baseline.linear is 1.01, which");
}

/* Any number of labels a text, and paths: what is written is read, and what cannot be. */
static void test_kinds_of_labels(void **state) {
  (void)state;
  const tx_text set[] = {{"bad", 3}, {"mixed", 5}}, falling[] = {{"mixed", 5}, {"bad", 3}};
  const tx_text strange[] = {{"bad", 3}, {"great", 5}};
  tx_artifact_facts facts = facts_in_order(), got;
  tx_gguf *gguf;
  facts.multi_label = true;
  facts.label_separator = tx_text_of("|");
  for (size_t count = 0; count <= 2; count += 2) {
    facts.majority_labels = set, facts.majority_count = count;
    MADE_OK(tx_artifact_open(written(&facts), &gguf, &got, error));
    assert_true(got.multi_label && !got.hierarchical);
    assert_true(same(got.label_separator, facts.label_separator));
    assert_int_equal(got.majority_count, count);
    if (count > 0) assert_true(same(got.majority_labels[1], set[1]));
    assert_true(tx_artifact_is_multi_label(gguf, 0) && !tx_artifact_is_multi_label(gguf, 1));
    tx_gguf_close(gguf);
  }
  facts.majority_labels = falling;
  refuse(&facts, "its most frequent labels are not among its labels, rising; the artifact is");
  facts.majority_labels = strange;
  refuse(&facts, "its most frequent labels are not among its labels, rising; the artifact is");
  facts.majority_labels = set;
  static const char *const separators[] = {"", "ab", " ", "\n", "\xe2\x82\xac"};
  for (size_t i = 0; i < sizeof separators / sizeof *separators; i++) {
    facts.label_separator = tx_text_of(separators[i]);
    refuse(&facts, "but nothing to separate them; the artifact is damaged");
  }
  facts.label_separator = tx_text_of("|");
  facts.hierarchical = true;
  refuse(&facts, "its labels are said to be paths and any number a text at once");
  facts.multi_label = false;
  MADE_OK(tx_artifact_open(written(&facts), &gguf, &got, error));
  assert_true(got.hierarchical && !got.multi_label);
  tx_gguf_close(gguf);
}

#define REFUSE_LABELS(part, ...)                                       \
  do {                                                                 \
    const tx_text labels_[] = {__VA_ARGS__};                           \
    tx_artifact_facts facts_ = facts_in_order();                       \
    facts_.labels = labels_;                                           \
    facts_.label_count = sizeof labels_ / sizeof *labels_;             \
    facts_.majority_label = 0;                                         \
    refuse(&facts_, part "; the artifact is damaged, train it again"); \
  } while (0)

static void test_labels_that_make_no_sense(void **state) {
  (void)state;
  tx_artifact_facts facts = facts_in_order();
  facts.label_count = 0;
  refuse(&facts, "it has no labels, only one, or too many; the artifact is damaged");
  facts.label_count = 1;
  refuse(&facts, "it has no labels, only one, or too many; the artifact is damaged");
  REFUSE(majority_label, 3, "its most frequent label is none of its labels");
  REFUSE(majority_label, -1, "taxon.baseline.majority_label is -1, outside");
  REFUSE_LABELS("its labels are not in order, or one stands there twice", {"b", 1}, {"a", 1});
  REFUSE_LABELS("its labels are not in order, or one stands there twice", {"a", 1}, {"a", 1});
  REFUSE_LABELS("its labels are not in order, or one stands there twice", {"ab", 2}, {"a", 1});
  REFUSE_LABELS("a label is empty or not UTF-8", {"", 0}, {"a", 1});
  REFUSE_LABELS("a label is empty or not UTF-8", {"a\0b", 3}, {"b", 1});
  REFUSE_LABELS("a label is empty or not UTF-8", {"a", 1}, {"\xff", 1});
}

static void test_hashes_that_make_no_sense(void **state) {
  (void)state;
  static const char part[] = "the hash of its base is not a SHA-256; the artifact is damaged";
  REFUSE(base_sha256, tx_text_of("abc"), part);
  REFUSE(base_sha256, tx_text_of(""), part);
  char other[70];
  snprintf(other, sizeof other, "%s", hash);
  other[63] = 'G';
  REFUSE(base_sha256, tx_text_of(other), part);
  memcpy(other + 63, "00", 3);
  REFUSE(base_sha256, tx_text_of(other), part);
  memcpy(other + 63, "0g", 3); /* the digits alone would do */
  REFUSE(base_sha256, tx_text_of(other), part);
}

static void test_other_files(void **state) {
  (void)state;
  tx_artifact_facts facts;
  tx_gguf *gguf;
  MADE_FAILS(tx_artifact_open(llama, &gguf, &facts, error), TX_ERROR_INPUT,
             "tests/golden/tiny_llama.gguf is a GGUF file but not a taxon classifier; train one "
             "with: taxon train");
  MADE_FAILS(tx_artifact_open("Makefile", &gguf, &facts, error), TX_ERROR_INPUT,
             "this is not a GGUF file");
  MADE_FAILS(tx_artifact_open("no/such.taxon", &gguf, &facts, error), TX_ERROR_INPUT,
             "cannot read no/such.taxon");
  MADE_FAILS(tx_artifact_open("tests", &gguf, &facts, error), TX_ERROR_INPUT, "it is a directory");
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_gguf_add_string(writer, "general.architecture", tx_text_of("taxon"));
  tx_gguf_add_int(writer, "taxon.format", 2);
  MADE_OK(tx_gguf_commit(writer, made("later.taxon"), error));
  tx_gguf_writer_free(writer);
  MADE_FAILS(tx_artifact_open(made("later.taxon"), &gguf, &facts, error), TX_ERROR_INPUT,
             "has artifact format 2, this program reads 1; use the taxon that wrote it or train "
             "again");
}

/* GGUF files of another kind: without an architecture, or with a number as one. */
static void test_other_architectures(void **state) {
  (void)state;
  for (int kind = 0; kind < 4; kind++) {
    tx_artifact_facts facts;
    tx_gguf *gguf;
    tx_gguf_writer *writer = tx_gguf_writer_new();
    if (kind == 1) tx_gguf_add_int(writer, "general.architecture", 1);
    if (kind == 2) tx_gguf_add_string(writer, "general.architecture", tx_text_of("taxoo"));
    if (kind == 3) tx_gguf_add_string(writer, "general.architecture", tx_text_of("taxon2"));
    MADE_OK(tx_gguf_commit(writer, made("other.taxon"), error));
    tx_gguf_writer_free(writer);
    MADE_FAILS(tx_artifact_open(made("other.taxon"), &gguf, &facts, error), TX_ERROR_INPUT,
               "is a GGUF file but not a taxon classifier; train one with: taxon train");
    assert_null(gguf);
  }
}

static void test_without_an_error(void **state) {
  (void)state;
  tx_artifact_facts facts;
  tx_gguf *gguf;
  assert_int_equal(tx_artifact_open("Makefile", &gguf, &facts, NULL), TX_ERROR_INPUT);
  assert_int_equal(tx_artifact_open(llama, &gguf, &facts, NULL), TX_ERROR_INPUT);
}

static void test_too_many_labels(void **state) {
  (void)state;
  static char names[TX_MAX_LABELS + 1][16];
  static tx_text labels[TX_MAX_LABELS + 1];
  for (int i = 0; i <= TX_MAX_LABELS; i++) {
    snprintf(names[i], sizeof names[i], "%06d", i);
    labels[i] = tx_text_of(names[i]);
  }
  tx_artifact_facts facts = facts_in_order(), got;
  tx_gguf *gguf;
  facts.labels = labels;
  facts.label_count = TX_MAX_LABELS + 1;
  refuse(&facts, "it has no labels, only one, or too many; the artifact is damaged");
  facts.label_count = TX_MAX_LABELS;
  MADE_OK(tx_artifact_open(written(&facts), &gguf, &got, error));
  tx_gguf_close(gguf);
}

/* Each key renamed in turn is missing, and the message names it. */
static void test_missing_keys(void **state) {
  (void)state;
  static const char *const keys[] = {
      "taxon.format",         "taxon.labels",          "taxon.method",
      "taxon.template",       "taxon.pooling",         "taxon.depth",
      "taxon.max_tokens",     "taxon.base.name",       "taxon.base.sha256",
      "taxon.training.rows",  "taxon.training.seed",   "taxon.training.command",
      "taxon.validation.nll", "taxon.baseline.linear", "taxon.baseline.majority_label"};
  tx_artifact_facts facts = facts_in_order();
  size_t size;
  char *bytes = read_bytes(written(&facts), &size);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    char part[100];
    char *place = memmem(bytes, size, keys[i], strlen(keys[i]));
    assert_non_null(place);
    place[0] = 'X';
    write_bytes(made("missing.taxon"), bytes, size);
    place[0] = 't';
    tx_gguf *gguf;
    snprintf(part, sizeof part, "key '%s' is missing", keys[i]);
    MADE_FAILS(tx_artifact_open(made("missing.taxon"), &gguf, &facts, error), TX_ERROR_INPUT, part);
  }
  free(bytes);
}

static void test_cut_short(void **state) {
  (void)state;
  tx_artifact_facts facts = facts_in_order();
  size_t size;
  char *bytes = read_bytes(written(&facts), &size);
  const size_t data = 8 * 3; /* what must be there of the padding to 32 bytes */
  for (size_t cut = 0; cut < size - (32 - data); cut++) {
    tx_gguf *gguf;
    write_bytes(made("cut.taxon"), bytes, cut);
    MADE_FAILS(tx_artifact_open(made("cut.taxon"), &gguf, &facts, error), TX_ERROR_INPUT,
               "cut.taxon");
  }
  free(bytes);
}

/* Every byte of the header changed: refused, or read as something whole. */
static void test_changed_bytes(void **state) {
  (void)state;
  tx_artifact_facts facts = facts_in_order();
  size_t size, refused = 0;
  char *bytes = read_bytes(written(&facts), &size);
  for (size_t i = 0; i < size; i++) {
    for (int change = 0; change < 3; change++) {
      static const unsigned char changes[] = {0x01, 0x80, 0xff};
      tx_gguf *gguf;
      tx_error error = {0};
      bytes[i] = (char)(bytes[i] ^ changes[change]);
      write_bytes(made("changed.taxon"), bytes, size);
      bytes[i] = (char)(bytes[i] ^ changes[change]);
      tx_status status = tx_artifact_open(made("changed.taxon"), &gguf, &facts, &error);
      if (status != TX_OK) {
        assert_int_equal(status, TX_ERROR_INPUT);
        assert_true(error.message[0] != '\0');
        refused++;
        continue;
      }
      assert_true(facts.label_count >= 2 && facts.base_sha256.size == 64);
      tx_gguf_close(gguf);
    }
  }
  assert_true(refused > size);
  free(bytes);
}

static void test_fingerprints_of_another_kind(void **state) {
  (void)state;
  static const made_tensor others[] = {
      {"taxon.training.texts", TX_TENSOR_F32, 1, {3}, fingerprints},
      {"taxon.training.texts", TX_TENSOR_I64, 2, {1, 3}, fingerprints},
      {"another", TX_TENSOR_I64, 1, {3}, fingerprints}};
  for (size_t i = 0; i < 3; i++) {
    tx_artifact_facts facts = facts_in_order();
    const uint64_t *prints;
    int64_t count;
    tx_gguf *gguf;
    MADE_OK(write_artifact(made("prints.taxon"), &facts, &others[i], 1, error));
    MADE_OK(tx_artifact_open(made("prints.taxon"), &gguf, &facts, error));
    tx_artifact_fingerprints(gguf, 0, &prints, &count);
    assert_null(prints);
    assert_int_equal(count, 0);
    tx_gguf_close(gguf);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_written_is_read),
      cmocka_unit_test(test_numbers_out_of_range),
      cmocka_unit_test(test_labels_that_make_no_sense),
      cmocka_unit_test(test_kinds_of_labels),
      cmocka_unit_test(test_hashes_that_make_no_sense),
      cmocka_unit_test(test_other_files),
      cmocka_unit_test(test_other_architectures),
      cmocka_unit_test(test_without_an_error),
      cmocka_unit_test(test_too_many_labels),
      cmocka_unit_test(test_missing_keys),
      cmocka_unit_test(test_cut_short),
      cmocka_unit_test(test_changed_bytes),
      cmocka_unit_test(test_fingerprints_of_another_kind),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
