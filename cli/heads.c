/* What a row's probabilities say, head by head. */
#include "heads.h"

#include <stdlib.h>
#include <string.h>

#include "options.h"

static size_t best_of(const head *of, size_t row) {
  const float *p = of->probabilities + row * of->labels;
  size_t best = 0;
  for (size_t i = 1; i < of->labels; i++) {
    if (p[i] > p[best]) best = i;
  }
  return best;
}

double heads_probability(const head *of, size_t row) {
  if (of->hierarchy) return of->steps[of->sure > 0 ? of->sure - 1 : 0].probability;
  if (of->multi_label) {
    const float *p = of->probabilities + row * of->labels;
    double all = 1;
    for (size_t i = 0; i < of->labels; i++) all *= (double)(p[i] >= 0.5f ? p[i] : 1 - p[i]);
    return all;
  }
  return (double)of->probabilities[row * of->labels + best_of(of, row)];
}

void heads_find_path(head *of, size_t row, double least) {
  if (!of->hierarchy) return;
  of->reached = tx_hierarchy_path(of->hierarchy, of->probabilities + row * of->labels, of->steps);
  of->sure = 0;
  while (of->sure < of->reached && of->steps[of->sure].probability >= least) of->sure++;
}

/* Of any number of labels: those that hold, joined; new. */
static char *join_labels(const head *of, size_t row, char *const *names) {
  const float *p = of->probabilities + row * of->labels;
  size_t size = 1, used = 0;
  for (size_t i = 0; i < of->labels; i++) size += strlen(names[i]) + 1;
  char *joined = cli_array(size, 1);
  for (size_t i = 0; i < of->labels; i++) {
    if (p[i] < 0.5f) continue;
    if (used > 0) joined[used++] = of->separator;
    size_t length = strlen(names[i]);
    memcpy(joined + used, names[i], length);
    used += length;
  }
  return joined;
}

char *heads_name(const head *of, size_t row) {
  if (of->multi_label) return join_labels(of, row, of->shown);
  if (of->hierarchy) {
    return out_visible(tx_text_of(of->sure > 0 ? of->steps[of->sure - 1].node : ""));
  }
  const char *shown = of->shown[best_of(of, row)];
  return cli_copy(shown, strlen(shown));
}

static void put_labels(json_t *object, const head *of, size_t row) {
  const float *p = of->probabilities + row * of->labels;
  json_t *labels = json_array();
  for (size_t i = 0; i < of->labels; i++) {
    if (p[i] >= 0.5f) out_append(labels, json_string(of->keys[i]));
  }
  char *joined = join_labels(of, row, of->keys);
  out_put(object, "label", json_array_size(labels) > 0 ? json_string(joined) : json_null());
  out_put(object, "labels", labels);
  free(joined);
}

static void put_path(json_t *object, const head *of) {
  json_t *path = json_array();
  for (size_t i = 0; i < of->reached; i++) {
    json_t *step = json_object();
    out_put(step, "node", out_string(of->steps[i].node));
    out_put(step, "probability", out_real(of->steps[i].probability));
    out_append(path, step);
  }
  out_put(object, "label", of->sure > 0 ? out_string(of->steps[of->sure - 1].node) : json_null());
  out_put(object, "path", path);
}

void heads_put(json_t *object, const head *of, size_t row) {
  const float *p = of->probabilities + row * of->labels;
  json_t *all = json_object();
  for (size_t i = 0; i < of->labels; i++) out_put(all, of->keys[i], out_real(p[i]));
  if (of->multi_label) {
    put_labels(object, of, row);
  } else if (of->hierarchy) {
    put_path(object, of);
  } else {
    out_put(object, "label", json_string(of->keys[best_of(of, row)]));
  }
  out_put(object, "probability", out_real(heads_probability(of, row)));
  out_put(object, "probabilities", all);
}

/* ---- opening ----------------------------------------------------------- */

static char *key_of(tx_text text) {
  json_t *json = out_text(text);
  if (!json) cli_out_of_memory();
  char *key = cli_copy(json_string_value(json), json_string_length(json));
  json_decref(json);
  return key;
}

tx_status heads_open(const tx_classifier *c, size_t rows, head **heads, size_t *count,
                     tx_error *error) {
  *count = tx_classifier_heads(c);
  *heads = cli_array(*count, sizeof **heads);
  for (size_t h = 0; h < *count; h++) {
    head *of = &(*heads)[h];
    tx_text name = tx_text_of(tx_classifier_head(c, h));
    of->key = name.size > 0 ? key_of(name) : NULL;
    of->labels = tx_classifier_head_count(c, h);
    tx_status status = tx_classifier_head_hierarchy(c, h, &of->hierarchy, error);
    if (status != TX_OK) return status;
    if (of->hierarchy) of->steps = cli_array(tx_hierarchy_levels(of->hierarchy), sizeof *of->steps);
    of->multi_label = tx_classifier_head_multi_label(c, h);
    of->separator = tx_classifier_head_separator(c, h);
    of->keys = cli_array(of->labels, sizeof *of->keys);
    of->shown = cli_array(of->labels, sizeof *of->shown);
    of->probabilities = cli_array(rows * of->labels, sizeof *of->probabilities);
    for (size_t i = 0; i < of->labels; i++) {
      tx_text label = tx_text_of(tx_classifier_head_label(c, h, i));
      of->keys[i] = key_of(label);
      of->shown[i] = out_visible(label);
    }
  }
  return TX_OK;
}

void heads_close(head *heads, size_t count) {
  for (size_t h = 0; h < count; h++) {
    head *of = &heads[h];
    for (size_t i = 0; of->keys && i < of->labels; i++) {
      free(of->keys[i]);
      free(of->shown[i]);
    }
    free(of->keys);
    free(of->shown);
    free(of->probabilities);
    free(of->key);
    free(of->steps);
    tx_hierarchy_free(of->hierarchy);
  }
  free(heads);
}
