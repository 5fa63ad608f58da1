/* tx_classifier_*: an artifact, its base and its scorer, as one handle. */
#include "tasks/classifier.h"

#include <string.h>

#include "base/memory.h"
#include "formats/directory.h"
#include "formats/hub.h"
#include "formats/nearest.h"
#include "kernels/kernels.h"
#include "score/blend.h"
#include "score/hierarchy.h"
#include "score/linear.h"
#include "score/network.h"

tx_classifier_options tx_classifier_defaults(void) {
  return (tx_classifier_options){.precision = TX_PRECISION_AUTO};
}

/* ---- opening ----------------------------------------------------------- */

static char **copy_texts(const tx_text *texts, size_t count) {
  char **copies = tx_alloc_zero(count, sizeof *copies);
  for (size_t i = 0; copies && i < count; i++) {
    copies[i] = tx_copy_bytes(texts[i].data, texts[i].size);
    if (copies[i]) continue;
    while (i > 0) tx_free(copies[--i]);
    tx_free(copies);
    return NULL;
  }
  return copies;
}

static void free_texts(char **texts, size_t count) {
  for (size_t i = 0; texts && i < count; i++) tx_free(texts[i]);
  tx_free(texts);
}

static tx_status read_heads(tx_classifier *c, const tx_artifact_facts *first, tx_error *error) {
  static const tx_text unnamed = {"", 0};
  c->heads = first->head_count > 0 ? first->head_count : 1;
  c->facts = tx_alloc_zero(c->heads, sizeof *c->facts);
  c->labels = tx_alloc_zero(c->heads, sizeof *c->labels);
  c->names = copy_texts(first->head_count > 0 ? first->heads : &unnamed, c->heads);
  if (!c->facts || !c->labels || !c->names) return tx_fail_memory(error, c->heads * 400, "heads");
  for (size_t i = 0; i < c->heads; i++) {
    tx_artifact_facts *facts = &c->facts[i];
    *facts = *first;
    if (i > 0) TX_TRY(tx_artifact_head(c->artifact, first, i, facts, error));
    c->labels[i] = copy_texts(facts->labels, facts->label_count);
    if (!c->labels[i]) return tx_fail_memory(error, facts->label_count * 16, "the labels");
  }
  return TX_OK;
}

static tx_status fail_unknown(const tx_classifier *c, const char *name, tx_error *error) {
  const tx_artifact_facts *first = &c->facts[0];
  char shown[TX_SHOWN_SIZE];
  tx_show_name(tx_text_of(name), shown);
  if (first->head_count == 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s has no head '%s': it is of one set of labels without a name; ask without a "
                   "head",
                   c->path, shown);
  }
  tx_buffer list = {0};
  tx_show_names(first->heads, first->head_count, 300, &list);
  int near = tx_nearest(tx_text_of(name), first->heads, first->head_count);
  tx_status status =
      list.failed || !list.data
          ? tx_fail_memory(error, 300, "a message")
          : tx_fail(error, TX_ERROR_ARGUMENT, "%s has no head '%s'; its heads are: %s%s%s%s",
                    c->path, shown, list.data, near >= 0 ? "; did you mean '" : "",
                    near >= 0 ? c->names[near] : "", near >= 0 ? "'?" : "");
  tx_buffer_free(&list);
  return status;
}

static tx_status choose_head(tx_classifier *c, const char *name, tx_error *error) {
  c->chosen = 0;
  if (!name) return TX_OK;
  while (c->chosen < c->facts[0].head_count && strcmp(c->names[c->chosen], name) != 0) c->chosen++;
  return c->chosen < c->facts[0].head_count ? TX_OK : fail_unknown(c, name, error);
}

/* The words beside the model, where training kept them: of one head only. */
static tx_status add_words(tx_classifier *c, tx_error *error) {
  double share = c->facts[0].words;
  for (size_t i = 1; i < c->heads; i++) share += c->facts[i].words;
  if (!(share > 0)) return TX_OK;
  if (c->heads > 1) {
    return tx_fail(
        error, TX_ERROR_INPUT,
        "%s: one of several heads is said to use the words too; the artifact is damaged, "
        "train it again",
        c->path);
  }
  tx_scorer *words, *network = c->scorer;
  TX_TRY(tx_linear_load(c->artifact, 0, (int)c->facts[0].label_count, &words, error));
  return tx_blend_new(network, words, share, &c->scorer, error);
}

tx_status tx_classifier_base(const tx_classifier *c, tx_classifier_options options,
                             char path[4096], tx_error *error) {
  char known[65], *name = NULL;
  if (!options.model) {
    tx_text base = c->facts[0].base_name;
    name = tx_copy_bytes(base.data, base.size);
    if (!name) return tx_fail_memory(error, base.size, "a name");
  }
  tx_status status = tx_model_locate(name ? name : options.model, options.home, path, known, error);
  tx_free(name);
  return status;
}

static tx_status open_scorer(tx_classifier *c, tx_classifier_options options, tx_error *error) {
  char path[4096];
  TX_TRY(tx_classifier_base(c, options, path, error));
  tx_network_options network = {path, options.max_tokens, options.batch_tokens, options.precision,
                                options.adapters_apart};
  TX_TRY(tx_network_open(c->artifact, c->facts, c->heads, c->chosen, network, &c->scorer, error));
  c->network = c->scorer;
  return add_words(c, error);
}

/* The name of a model that is here, in the place of a classifier's file. */
static tx_status refuse_model(const char *name, const char *home, tx_error *error) {
  char path[4096], known[65];
  if (tx_file_look(name).exists || tx_model_locate(name, home, path, known, NULL) != TX_OK ||
      !tx_file_look(path).regular) {
    return TX_OK;
  }
  return tx_fail(error, TX_ERROR_INPUT,
                 "%s is a model, not a classifier; train one with: taxon train", name);
}

static tx_status classifier_build(tx_classifier *c, const char *path, tx_classifier_options options,
                                  tx_error *error) {
  if (options.max_tokens < 0 || options.batch_tokens < 0) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "max_tokens and batch_tokens must not be negative");
  }
  if ((int)options.precision < 0 || options.precision > TX_PRECISION_AUTO) {
    return tx_fail(error, TX_ERROR_ARGUMENT, "precision is %d; it must lie between 0 and %d",
                   (int)options.precision, TX_PRECISION_AUTO);
  }
  TX_TRY(tx_kernels_check(error));
  c->path = tx_copy_string(path);
  if (!c->path) return tx_fail_memory(error, 64, "a path");
  TX_TRY(refuse_model(path, options.home, error));
  tx_artifact_facts first;
  TX_TRY(tx_artifact_open(path, &c->artifact, &first, error));
  TX_TRY(read_heads(c, &first, error));
  return choose_head(c, options.head, error);
}

tx_status tx_classifier_read(const char *path, tx_classifier_options options,
                             tx_classifier **classifier, tx_error *error) {
  *classifier = NULL;
  tx_classifier *c = tx_alloc_zero(1, sizeof *c);
  if (!c) return tx_fail_memory(error, sizeof *c, "a classifier");
  tx_status status = classifier_build(c, path, options, error);
  if (status != TX_OK) {
    tx_classifier_close(c);
    return status;
  }
  *classifier = c;
  return TX_OK;
}

tx_status tx_classifier_open(const char *path, tx_classifier_options options,
                             tx_classifier **classifier, tx_error *error) {
  TX_TRY(tx_classifier_read(path, options, classifier, error));
  tx_status status = open_scorer(*classifier, options, error);
  if (status == TX_OK) return TX_OK;
  tx_classifier_close(*classifier);
  *classifier = NULL;
  return status;
}

void tx_classifier_close(tx_classifier *classifier) {
  if (!classifier) return;
  tx_scorer_free(classifier->scorer);
  bool listed = classifier->labels && classifier->facts;
  for (size_t i = 0; listed && i < classifier->heads; i++) {
    free_texts(classifier->labels[i], classifier->facts[i].label_count);
  }
  tx_free(classifier->labels);
  free_texts(classifier->names, classifier->heads);
  tx_free(classifier->facts);
  tx_gguf_close(classifier->artifact);
  tx_free(classifier->path);
  tx_free(classifier);
}

/* ---- tables ------------------------------------------------------------ */

tx_status tx_classifier_table(const tx_classifier *classifier, char separator[2],
                              tx_table_options *options, tx_error *error) {
  const tx_artifact_facts *facts = &classifier->facts[classifier->chosen];
  if (!facts->multi_label) {
    if (!options->label_separator) return TX_OK;
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "%s gives each text one label, so nothing separates labels; leave the separator "
                   "out, or train with --multi-label",
                   classifier->path);
  }
  separator[0] = facts->label_separator.data[0], separator[1] = '\0';
  if (!options->label_separator) options->label_separator = separator;
  return TX_OK;
}

/* ---- asking ------------------------------------------------------------ */

tx_precision tx_classifier_precision(const tx_classifier *classifier) {
  return tx_network_precision(classifier->network);
}

size_t tx_classifier_heads(const tx_classifier *classifier) { return classifier->heads; }

const char *tx_classifier_head(const tx_classifier *classifier, size_t head) {
  return head < classifier->heads ? classifier->names[head] : NULL;
}

size_t tx_classifier_head_count(const tx_classifier *classifier, size_t head) {
  return head < classifier->heads ? classifier->facts[head].label_count : 0;
}

const char *tx_classifier_head_label(const tx_classifier *classifier, size_t head, size_t index) {
  return index < tx_classifier_head_count(classifier, head) ? classifier->labels[head][index]
                                                            : NULL;
}

bool tx_classifier_head_multi_label(const tx_classifier *classifier, size_t head) {
  return head < classifier->heads && classifier->facts[head].multi_label;
}

char tx_classifier_head_separator(const tx_classifier *classifier, size_t head) {
  return tx_classifier_head_multi_label(classifier, head)
             ? classifier->facts[head].label_separator.data[0]
             : '\0';
}

tx_status tx_classifier_head_hierarchy(const tx_classifier *classifier, size_t head,
                                       tx_hierarchy **hierarchy, tx_error *error) {
  *hierarchy = NULL;
  if (head >= classifier->heads || !classifier->facts[head].hierarchical) return TX_OK;
  const tx_artifact_facts *facts = &classifier->facts[head];
  TX_TRY(tx_hierarchy_check(facts->labels, facts->label_count, error));
  return tx_hierarchy_new(facts->labels, facts->label_count, hierarchy, error);
}

size_t tx_classifier_count(const tx_classifier *classifier) {
  return tx_classifier_head_count(classifier, classifier->chosen);
}

const char *tx_classifier_label(const tx_classifier *classifier, size_t index) {
  return tx_classifier_head_label(classifier, classifier->chosen, index);
}

tx_status tx_classifier_predict(tx_classifier *classifier, const tx_text *texts, size_t count,
                                float *probabilities, tx_scored *scored, const tx_watch *watch,
                                tx_error *error) {
  if (scored) *scored = (tx_scored){0};
  return classifier->scorer->score(classifier->scorer, texts, count, probabilities, scored, watch,
                                   error);
}

tx_status tx_classifier_predict_heads(tx_classifier *classifier, const tx_text *texts, size_t count,
                                      float *const *probabilities, tx_scored *scored,
                                      const tx_watch *watch, tx_error *error) {
  if (classifier->heads == 1) {
    return tx_classifier_predict(classifier, texts, count, probabilities[0], scored, watch, error);
  }
  if (scored) *scored = (tx_scored){0};
  return tx_network_score_heads(classifier->scorer, texts, count, probabilities, scored, watch,
                                error);
}
