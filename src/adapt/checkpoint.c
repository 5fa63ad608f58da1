/* Checkpoints as GGUF: keys for the state and the facts, a tensor for each array. */
#include "adapt/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "formats/directory.h"
#include "formats/file.h"
#include "formats/gguf_write.h"
#include "formats/lock.h"

enum { FILES = 2, STATE_INTS = 8, STATE_REALS = 2, ARRAYS = 5 };
static const char *const file_names[FILES] = {"checkpoint-a.gguf", "checkpoint-b.gguf"};
static const char *const array_names[ARRAYS] = {"value", "first", "second", "kept", "average"};

struct tx_checkpoint {
  char *directory;
  const tx_run_fact *facts;
  size_t count;
  double seconds, last; /* between two; when the last was written */
  int next;             /* the file that is written next */
  bool found;           /* there was one, good or not */
  tx_lock lock;
  tx_gguf *resumed;     /* until it is taken */
};

/* ---- hashes ------------------------------------------------------------ */

/* Of every tensor's bytes, in the order of the file, and of the state. */
static uint64_t hash_of(const tx_gguf *file, const int64_t *ints, const double *reals) {
  uint64_t hash = tx_hash64(ints, STATE_INTS * sizeof *ints, 1);
  hash = tx_hash64(reals, STATE_REALS * sizeof *reals, hash);
  for (size_t i = 0; i < tx_gguf_tensor_count(file); i++) {
    const tx_tensor *t = tx_gguf_tensor_at(file, i);
    hash = tx_hash64(t->data, t->size, hash);
  }
  return hash;
}

static uint64_t add_hash(uint64_t hash, const void *data, uint64_t count, size_t size) {
  return tx_hash64(data, count * size, hash);
}

/* ---- reading ----------------------------------------------------------- */

static tx_status read_numbers(const tx_gguf *file, int64_t ints[STATE_INTS],
                              double reals[STATE_REALS], tx_error *error) {
  int64_t *whole = NULL;
  double *real = NULL;
  size_t count[2] = {0, 0};
  tx_status status = tx_gguf_ints(file, "run.state", &whole, &count[0], error);
  if (status == TX_OK) status = tx_gguf_floats(file, "run.losses", &real, &count[1], error);
  bool fits = status == TX_OK && count[0] == STATE_INTS && count[1] == STATE_REALS;
  if (fits) {
    memcpy(ints, whole, STATE_INTS * sizeof *ints);
    memcpy(reals, real, STATE_REALS * sizeof *reals);
  } else if (status == TX_OK) {
    status =
        tx_fail(error, TX_ERROR_INPUT, "%s is no checkpoint of this taxon", tx_gguf_path(file));
  }
  tx_free(whole), tx_free(real);
  return status;
}

/* A file that is whole, as its checksum says; its epoch and steps. */
static bool is_good(const tx_gguf *file, int64_t *epoch, int64_t *step) {
  int64_t ints[STATE_INTS], hash;
  double reals[STATE_REALS];
  if (read_numbers(file, ints, reals, NULL) != TX_OK ||
      tx_gguf_int(file, "run.hash", &hash, NULL) != TX_OK) {
    return false;
  }
  *epoch = ints[0], *step = ints[2];
  return (uint64_t)hash == hash_of(file, ints, reals);
}

static tx_status path_of(const tx_checkpoint *c, int index, char path[TX_PATH_SIZE],
                         tx_error *error) {
  return tx_path_join(path, c->directory, file_names[index], error);
}

/* The good file that is furthest becomes `resumed`, the other is written next.  An epoch's end
 * is written before it is judged and after, when it is the next epoch's beginning. */
static tx_status find_newest(tx_checkpoint *c, tx_error *error) {
  int64_t most = -1, latest = -1;
  for (int i = 0; i < FILES; i++) {
    char path[TX_PATH_SIZE];
    tx_gguf *file;
    int64_t epoch, step;
    TX_TRY(path_of(c, i, path, error));
    c->found = c->found || tx_file_look(path).exists;
    if (tx_gguf_open(path, &file, NULL) != TX_OK) continue;
    if (is_good(file, &epoch, &step) && (step > most || (step == most && epoch > latest))) {
      tx_gguf_close(c->resumed);
      c->resumed = file, c->next = 1 - i, most = step, latest = epoch;
    } else {
      tx_gguf_close(file);
    }
  }
  return TX_OK;
}

static bool same(tx_text text, const char *other) {
  return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

static tx_status compare_facts(const tx_checkpoint *c, tx_error *error) {
  const tx_text *names, *values;
  size_t counts[2];
  TX_TRY(tx_gguf_strings(c->resumed, "run.names", &names, &counts[0], error));
  TX_TRY(tx_gguf_strings(c->resumed, "run.values", &values, &counts[1], error));
  for (size_t i = 0; i < c->count; i++) {
    const tx_run_fact *fact = &c->facts[i];
    bool known = i < counts[0] && i < counts[1] && same(names[i], fact->name);
    if (known && same(values[i], fact->value)) continue;
    if (!known) {
      return tx_fail(error, TX_ERROR_INPUT, "%s is of a run by another version of taxon",
                     tx_gguf_path(c->resumed));
    }
    return tx_fail(error, TX_ERROR_INPUT,
                   "the run in %s had %s %.*s, and this one has %s; resume it as it was started, "
                   "or name another directory with --run",
                   c->directory, fact->name, (int)values[i].size, values[i].data, fact->value);
  }
  return TX_OK;
}

/* Two processes would write over one another's steps. */
static tx_status take_lock(tx_checkpoint *c, tx_error *error) {
  char path[TX_PATH_SIZE];
  bool taken;
  TX_TRY(tx_path_join(path, c->directory, "lock", error));
  TX_TRY(tx_lock_try(path, &c->lock, &taken, error));
  if (taken) return TX_OK;
  return tx_fail(error, TX_ERROR_ARGUMENT,
                 "another process is training in %s; wait for it, or name another directory",
                 c->directory);
}

static tx_status begin(tx_checkpoint *c, bool resume, tx_error *error) {
  if (!resume) TX_TRY(tx_directory_make(c->directory, error));
  if (tx_file_look(c->directory).exists) TX_TRY(take_lock(c, error));
  tx_directory_tidy(c->directory);
  TX_TRY(find_newest(c, error));
  if (c->found && !resume) {
    return tx_fail(error, TX_ERROR_ARGUMENT,
                   "there is a run in %s already; go on with it by --resume %s, or name another "
                   "directory",
                   c->directory, c->directory);
  }
  if (!c->resumed && resume) {
    return tx_fail(error, TX_ERROR_INPUT,
                   c->found
                       ? "there is no checkpoint in %s that could be resumed, they are damaged; "
                         "start the run with --run in another directory than %s"
                       : "there is no checkpoint in %s that could be resumed; start the run "
                         "with --run %s",
                   c->directory, c->directory);
  }
  return c->resumed ? compare_facts(c, error) : TX_OK;
}

tx_status tx_checkpoint_open(const char *directory, const tx_run_fact *facts, size_t count,
                             double minutes, bool resume, tx_checkpoint **checkpoint,
                             tx_error *error) {
  *checkpoint = NULL;
  tx_checkpoint *c = tx_alloc_zero(1, sizeof *c);
  if (c) c->directory = tx_copy_string(directory), c->lock.descriptor = -1;
  tx_status status;
  if (c && c->directory) {
    c->facts = facts, c->count = count, c->seconds = 60 * minutes, c->last = tx_seconds();
    status = begin(c, resume, error);
  } else {
    status = tx_fail_memory(error, sizeof *c, "a checkpoint");
  }
  if (status == TX_OK) {
    *checkpoint = c;
  } else {
    tx_checkpoint_close(c);
  }
  return status;
}

void tx_checkpoint_close(tx_checkpoint *c) {
  if (!c) return;
  tx_gguf_close(c->resumed);
  tx_lock_free(&c->lock);
  tx_free(c->directory);
  tx_free(c);
}

/* ---- the arrays -------------------------------------------------------- */

static float *array_of(const tx_parameter *p, int which) {
  float *const arrays[ARRAYS] = {p->value, p->first, p->second, p->kept, p->average};
  return arrays[which];
}

static void name_array(const tx_parameter *p, int which, char name[96]) {
  snprintf(name, 96, "%s/%s", p->name, array_names[which]);
}

static tx_status read_array(const tx_gguf *file, const char *name, tx_tensor_type type,
                            int64_t count, void *to, tx_error *error) {
  const tx_tensor *tensor = tx_gguf_tensor(file, name);
  size_t size = type == TX_TENSOR_I64 ? sizeof(int64_t) : sizeof(float);
  if (tensor && tensor->type == type && tensor->size == (uint64_t)count * size) {
    memcpy(to, tensor->data, tensor->size);
    return TX_OK;
  }
  return tx_fail(error, TX_ERROR_INPUT, "%s: %s is missing or of another size; start the run anew",
                 tx_gguf_path(file), name);
}

/* The checksum is no seal: what indexes memory, or never ends, is looked at too. */
static bool is_possible(const int64_t ints[STATE_INTS], const int64_t *order, int64_t texts) {
  bool inside = ints[0] >= 1 && ints[1] >= 0 && ints[1] <= texts && ints[2] >= 0 && ints[3] >= 0 &&
                ints[3] <= ints[0];
  for (int64_t i = 0; i < texts; i++) inside = inside && order[i] >= 0 && order[i] < texts;
  return inside && (ints[4] || ints[5] || ints[6] || ints[7]);
}

tx_status tx_checkpoint_take(tx_checkpoint *c, tx_parameters *set, tx_fit_state *state,
                             int64_t *order, int64_t texts, bool *taken, tx_error *error) {
  int64_t ints[STATE_INTS];
  double reals[STATE_REALS];
  *taken = false;
  if (!c || !c->resumed) return TX_OK;
  const tx_gguf *file = c->resumed;
  TX_TRY(read_numbers(file, ints, reals, error));
  TX_TRY(read_array(file, "order", TX_TENSOR_I64, texts, order, error));
  if (!is_possible(ints, order, texts)) {
    return tx_fail(error, TX_ERROR_INPUT, "%s holds a state that no run has; start the run anew",
                   tx_gguf_path(file));
  }
  for (int64_t i = 0; i < set->count; i++) {
    tx_parameter *p = &set->items[i];
    for (int which = 0; which < ARRAYS; which++) {
      char name[96];
      if (!array_of(p, which)) continue;
      name_array(p, which, name);
      TX_TRY(read_array(file, name, TX_TENSOR_F32, p->outputs * p->inputs, array_of(p, which),
                        error));
    }
  }
  *state = (tx_fit_state){.epoch = ints[0],
                          .at = ints[1],
                          .step = ints[2],
                          .best_epoch = ints[3],
                          .losses = reals[0],
                          .best_loss = reals[1]};
  memcpy(state->random.state, ints + 4, sizeof state->random.state);
  set->steps = ints[2];
  tx_parameters_pack(set);
  tx_gguf_close(c->resumed);
  c->resumed = NULL;
  *taken = true;
  return TX_OK;
}

/* ---- writing ----------------------------------------------------------- */

static uint64_t add_arrays(tx_gguf_writer *writer, const tx_parameters *set, const int64_t *order,
                           int64_t texts, uint64_t hash) {
  tx_gguf_add_tensor(writer, "order", TX_TENSOR_I64, 1, &texts, order);
  hash = add_hash(hash, order, (uint64_t)texts, sizeof *order);
  for (int64_t i = 0; i < set->count; i++) {
    const tx_parameter *p = &set->items[i];
    int64_t values = p->outputs * p->inputs;
    for (int which = 0; which < ARRAYS; which++) {
      char name[96];
      if (!array_of(p, which)) continue;
      name_array(p, which, name);
      tx_gguf_add_tensor(writer, name, TX_TENSOR_F32, 1, &values, array_of(p, which));
      hash = add_hash(hash, array_of(p, which), (uint64_t)values, sizeof(float));
    }
  }
  return hash;
}

static tx_status add_facts(const tx_checkpoint *c, tx_gguf_writer *writer, tx_error *error) {
  tx_text *texts = tx_alloc_array(2 * c->count + 1, sizeof *texts);
  if (!texts) return tx_fail_memory(error, c->count * 32, "a checkpoint");
  for (size_t i = 0; i < c->count; i++) {
    texts[i] = tx_text_of(c->facts[i].name);
    texts[c->count + i] = tx_text_of(c->facts[i].value);
  }
  tx_gguf_add_strings(writer, "run.names", texts, c->count);
  tx_gguf_add_strings(writer, "run.values", texts + c->count, c->count);
  tx_free(texts);
  return TX_OK;
}

static tx_status write_all(const tx_checkpoint *c, tx_gguf_writer *writer,
                           const tx_parameters *set, const tx_fit_state *state,
                           const int64_t *order, int64_t texts, tx_error *error) {
  int64_t ints[STATE_INTS] = {state->epoch, state->at, state->step, state->best_epoch};
  const double reals[STATE_REALS] = {state->losses, state->best_loss};
  char path[TX_PATH_SIZE];
  memcpy(ints + 4, state->random.state, sizeof state->random.state);
  uint64_t hash = add_hash(1, ints, STATE_INTS, sizeof *ints);
  hash = add_hash(hash, reals, STATE_REALS, sizeof *reals);
  TX_TRY(path_of(c, c->next, path, error));
  TX_TRY(add_facts(c, writer, error));
  tx_gguf_add_ints(writer, "run.state", ints, STATE_INTS);
  tx_gguf_add_floats(writer, "run.losses", reals, STATE_REALS);
  hash = add_arrays(writer, set, order, texts, hash);
  tx_gguf_add_int(writer, "run.hash", (int64_t)hash);
  return tx_gguf_commit(writer, path, error);
}

tx_status tx_checkpoint_save(tx_checkpoint *c, const tx_parameters *set, const tx_fit_state *state,
                             const int64_t *order, int64_t texts, tx_error *error) {
  if (!c) return TX_OK;
  tx_gguf_writer *writer = tx_gguf_writer_new();
  tx_status status = writer ? write_all(c, writer, set, state, order, texts, error)
                            : tx_fail_memory(error, 256, "a checkpoint");
  tx_gguf_writer_free(writer);
  c->last = tx_seconds();
  if (status == TX_OK) c->next = 1 - c->next;
  return status;
}

tx_status tx_checkpoint_pass(tx_checkpoint *c, const tx_parameters *set, const tx_fit_state *state,
                             const int64_t *order, int64_t texts, tx_error *error) {
  if (!c || tx_seconds() - c->last < c->seconds) return TX_OK;
  return tx_checkpoint_save(c, set, state, order, texts, error);
}
