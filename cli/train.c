/* taxon train: makes a classifier from labelled texts, and says how good it is
 * beside the baselines. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chart.h"
#include "facts.h"
#include "options.h"
#include "output.h"
#include "progress.h"
#include "train_options.h"
#include "train_print.h"

/* In the order of the library's enums. */
static const char *const inits[] = {"pretrained", "random", NULL};
static const char *const attentions[] = {"causal", "bidirectional", "two-way", NULL};
static const char *const solvers[] = {"convex", "sgd", NULL};
static const char *const schedules[] = {"constant", "cosine", "linear", NULL};
static const char *const samplings[] = {"all", "balanced", NULL};
static const char *const targets[] = {"all", "attention", "query-value", NULL};
static const char *const weights[] = {"none", "balanced", NULL};

struct train {
  cli_common common;
  const char *run, *resume, *page;
  const char *model, *data, *validation, *out, *label;
  char *text;
  option_list heads;        /* NAME:FILE */
  tx_label_source *sources; /* (heads.count), once they are read */
  int format, method, pooling, solver, schedule, weights, precision, targets, sampling,
      attention, init;
  int64_t depth, max_depth, blocks, rank, epochs, batch, accumulate, patience, max_tokens, cache_mb,
      pad_to, batch_tokens, layers, width, seeds, folds;
  double learning_rate, weight_decay, warm_up, clip, penalty, alpha, smoothing, focal, layer_decay,
      ema, save_minutes, dropout;
  const char *separator;
  bool multi_label, hierarchical;
  bool no_cache, rank_stabilised, keep_activations, dora;
};

static train train_defaults(void) {
  tx_train_options from = tx_train_defaults();
  return (train){.common = options_common_defaults(),
                 .method = (int)from.method,
                 .pooling = (int)from.pooling,
                 .solver = (int)from.head_solver,
                 .schedule = (int)from.schedule,
                 .weights = (int)from.class_weights,
                 .precision = (int)from.precision,
                 .depth = from.depth,
                 .max_depth = from.max_depth,
                 .blocks = from.blocks,
                 .rank = from.rank,
                 .save_minutes = from.save_minutes,
                 .targets = (int)from.targets,
                 .epochs = from.epochs,
                 .batch = from.batch,
                 .accumulate = from.accumulate,
                 .patience = from.patience,
                 .max_tokens = from.max_tokens,
                 .seeds = from.seeds,
                 .folds = from.folds,
                 .cache_mb = from.cache_mb,
                 .learning_rate = from.learning_rate,
                 .weight_decay = from.weight_decay,
                 .warm_up = from.warm_up,
                 .clip = from.clip,
                 .penalty = from.penalty};
}

enum { OPTION_COUNT = 60 };

static void fill_options(train *state, option options[OPTION_COUNT]) {
  const unsigned file = OPTION_RESULT | OPTION_PATH, must = OPTION_REQUIRED;
  const option all[] = {
      {"model", OPTION_STRING, &state->model, "NAME|FILE", "the base model", .flags = must | file},
      {"data", OPTION_STRING, &state->data, "TABLE",
       "training texts: CSV, TSV or JSONL (required, or --head)", .flags = file},
      {"out", OPTION_STRING, &state->out, "FILE", "the classifier that is written", .flags = must},
      {"val", OPTION_STRING, &state->validation, "TABLE", "validation texts",
       .zero = "a tenth of the training texts, by seed", .flags = file},
      {"head", OPTION_LIST, &state->heads, "NAME:TABLE",
       "given for each of several label sets that one classifier is to answer: a name and training "
       "texts; a tenth of them validates, and no block is trained (instead of --data and --val)",
       .flags = file},
      {"text", OPTION_COLUMNS, &state->text, "COLUMN", "the text; several: A,B or given twice",
       .zero = "text", .flags = OPTION_RESULT},
      {"label", OPTION_STRING, &state->label, "COLUMN", "the label", .zero = "label",
       .flags = OPTION_RESULT},
      {"multi-label", OPTION_FLAG, &state->multi_label,
       .help = "any number of labels hold for a text, also none: each has a probability of its own",
       .flags = OPTION_RESULT},
      {"label-separator", OPTION_STRING, &state->separator, "C",
       "of --multi-label: between the labels of a cell (JSONL: an array of strings will do)",
       .zero = ",", .flags = OPTION_RESULT},
      {"hierarchical", OPTION_FLAG, &state->hierarchical,
       .help = "labels are paths, as in sport/football: answered and measured level by level",
       .flags = OPTION_RESULT},
      {"format", OPTION_CHOICE, &state->format, .help = "of the tables", .choices = options_formats,
       .flags = OPTION_RESULT},
      {"method", OPTION_CHOICE, &state->method,
       .help = "what is trained: a linear layer on the model's states, or the last blocks too, or "
               "the norms of all blocks, or low-rank adapters in all of them (lora), or the whole "
               "model; auto: a linear layer at the depth and pooling that cross-validation "
               "chooses, with its last block where that is better",
       .choices = train_methods, .flags = OPTION_RESULT},
      {"pooling", OPTION_CHOICE, &state->pooling,
       .help = "the token, or tokens, that stand for the text; first: not with --method auto; "
               "attention: a learned mean, of trained blocks",
       .choices = train_poolings, .flags = OPTION_RESULT},
      {"depth", OPTION_INTEGER, &state->depth, "N", "blocks of the model that are run",
       .zero = "chosen by --method auto, else all", .least = 1, .most = 10000,
       .flags = OPTION_RESULT},
      {"max-depth", OPTION_INTEGER, &state->max_depth, "N", "the deepest that --method auto tries",
       .zero = "all blocks", .least = 1, .most = 10000, .flags = OPTION_RESULT},
      {"init", OPTION_CHOICE, &state->init,
       .help = "random: the model's architecture and vocabulary with random weights, drawn by the "
               "seed; a model of its own, which is kept in the home",
       .choices = inits, .flags = OPTION_RESULT},
      {"layers", OPTION_INTEGER, &state->layers, "N", "blocks of a random model",
       .zero = "the model's", .least = 1, .most = 1024, .flags = OPTION_RESULT},
      {"width", OPTION_INTEGER, &state->width, "N",
       "of a random model, a multiple of its head size", .zero = "the model's", .least = 2,
       .most = 1 << 17, .flags = OPTION_RESULT},
      {"max-tokens", OPTION_INTEGER, &state->max_tokens, "N", "longer texts are cut at the end",
       .zero = "what the model can read", .least = 1, .most = INT32_MAX, .flags = OPTION_RESULT},
      {"pad-to", OPTION_INTEGER, &state->pad_to, "N",
       "shorter texts are filled up with padding tokens, which the model reads as any other: to "
       "show what padding costs",
       .zero = "no padding", .least = 1, .most = INT32_MAX, .flags = OPTION_RESULT},
      {"class-weights", OPTION_CHOICE, &state->weights,
       .help = "balanced: each label counts the same in all", .choices = weights,
       .flags = OPTION_RESULT},
      {"precision", OPTION_CHOICE, &state->precision,
       .help = "of the blocks that are not trained, in training and later: int8 is several times "
               "faster; auto: trained in f32, then int8 where that costs no more than half a point "
               "of accuracy on the validation texts",
       .choices = options_precisions, .flags = OPTION_RESULT},
      {"seeds", OPTION_INTEGER, &state->seeds, "N",
       "trainings on the same texts, with --seed and the next ones: the classifier is the first "
       "one's, the others show how far chance goes",
       .least = 1, .most = TX_MAX_SEEDS},
      {"folds", OPTION_INTEGER, &state->folds, "N",
       "cross-validation first: every text answered by a training that has not seen it",
       .zero = "none", .least = 2, .most = TX_MAX_FOLDS},
      {"cache-mb", OPTION_INTEGER, &state->cache_mb, "N",
       "of the model's states and of fits, kept in the home for later runs; and in memory",
       .most = 1 << 24},
      {"no-cache", OPTION_FLAG, &state->no_cache, .help = "compute and fit all anew, keep nothing"},
      {.type = OPTION_HEADING, .help = "The head"},
      {"head-solver", OPTION_CHOICE, &state->solver, .help = "exactly, or by gradient steps",
       .choices = solvers, .flags = OPTION_RESULT},
      {"penalty", OPTION_REAL, &state->penalty, "X", "of the convex head",
       .zero = "chosen by cross-validation", .above = true, .high = 1e6, .flags = OPTION_RESULT},
      {.type = OPTION_HEADING,
       .help = "Gradient steps (--method last-block, norms, lora and full, or --head-solver sgd)"},
      {"blocks", OPTION_INTEGER, &state->blocks, "N", "how many of the last blocks",
       .zero = "1, or all for --method norms, lora and full", .least = 1, .most = 10000,
       .flags = OPTION_RESULT},
      {"epochs", OPTION_INTEGER, &state->epochs, "N", "passes over the training texts",
       .zero = "5, or 2 for --method auto", .least = 1, .most = 100000, .flags = OPTION_RESULT},
      {"batch", OPTION_INTEGER, &state->batch, "N", "texts a step", .least = 1, .most = 65536,
       .flags = OPTION_RESULT},
      {"batch-tokens", OPTION_INTEGER, &state->batch_tokens, "N",
       "a step is of about so many tokens, long and short texts mixed, instead of --batch texts",
       .zero = "by --batch", .least = 1, .most = 1 << 24, .flags = OPTION_RESULT},
      {"accumulate", OPTION_INTEGER, &state->accumulate, "N",
       "batches added up before the weights change", .least = 1, .most = 65536,
       .flags = OPTION_RESULT},
      {"patience", OPTION_INTEGER, &state->patience, "N",
       "epochs without a better validation loss before it stops; as many as --epochs: it never "
       "does",
       .zero = "2, or 1 for --method auto", .least = 1, .most = 100000, .flags = OPTION_RESULT},
      {"lr", OPTION_REAL, &state->learning_rate, "X|sweep",
       "largest learning rate; sweep: of eight the one that a short run of each finds best on the "
       "validation texts",
       .zero = "the method's own", .above = true, .high = 10, .word = "sweep",
       .flags = OPTION_RESULT},
      {"weight-decay", OPTION_REAL, &state->weight_decay, "X", "of AdamW", .high = 10,
       .flags = OPTION_RESULT},
      {"warm-up", OPTION_REAL, &state->warm_up, "X", "share of the steps", .high = 1,
       .flags = OPTION_RESULT},
      {"clip", OPTION_REAL, &state->clip, "X", "largest norm of a step's gradient", .zero = "none",
       .high = 1e9, .flags = OPTION_RESULT},
      {"schedule", OPTION_CHOICE, &state->schedule, .help = "of the learning rate",
       .choices = schedules, .flags = OPTION_RESULT},
      {"sampling", OPTION_CHOICE, &state->sampling,
       .help = "all: each text once an epoch; balanced: each label as often as another",
       .choices = samplings, .flags = OPTION_RESULT},
      {"layer-decay", OPTION_REAL, &state->layer_decay, "X",
       "a block's learning rate, of that of the one after it", .zero = "1, all the same", .high = 1,
       .flags = OPTION_RESULT},
      {"ema", OPTION_REAL, &state->ema, "X",
       "the weights' exponential average is judged and kept; its decay a step", .zero = "none",
       .high = 0.999999, .flags = OPTION_RESULT},
      {"attention", OPTION_CHOICE, &state->attention,
       .help = "bidirectional: in the trained blocks a token sees those after it too; two-way: in "
               "all blocks",
       .choices = attentions, .flags = OPTION_RESULT},
      {"keep-activations", OPTION_FLAG, &state->keep_activations,
       .help = "of all blocks, also where they take more than 256 MB: faster than computing them "
               "again"},
      {"label-smoothing", OPTION_REAL, &state->smoothing, "X",
       "share of the target that is spread over all labels", .high = 0.999,
       .flags = OPTION_RESULT},
      {"focal", OPTION_REAL, &state->focal, "X",
       "texts count (1 - p)^X, p the label's probability: the hard ones more", .high = 100,
       .flags = OPTION_RESULT},
      {.type = OPTION_HEADING, .help = "Long runs"},
      {"run", OPTION_STRING, &state->run, "DIR",
       "checkpoints of gradient steps go there, and log.jsonl: a line a step, a line an epoch",
       .flags = OPTION_PATH},
      {"resume", OPTION_STRING, &state->resume, "DIR",
       "go on with the run that was stopped there, by the same options and data",
       .flags = OPTION_PATH},
      {"report", OPTION_STRING, &state->page, "FILE.html",
       "a page with the run's loss curve (with --run or --resume)", .flags = OPTION_PATH},
      {"save-minutes", OPTION_REAL, &state->save_minutes, "X",
       "between two checkpoints; there is one at each epoch's end too", .high = 1e6},
      {.type = OPTION_HEADING, .help = "Adapters (--method lora)"},
      {"rank", OPTION_INTEGER, &state->rank, "N", "of each adapter", .least = 1, .most = 65536,
       .flags = OPTION_RESULT},
      {"alpha", OPTION_REAL, &state->alpha, "X", "an adapter counts alpha / rank",
       .zero = "twice the rank", .above = true, .high = 1e6, .flags = OPTION_RESULT},
      {"rslora", OPTION_FLAG, &state->rank_stabilised,
       .help = "an adapter counts alpha / sqrt(rank) instead", .flags = OPTION_RESULT},
      {"dropout", OPTION_REAL, &state->dropout, "X",
       "share of an adapter's inputs that each step leaves out", .high = 0.99,
       .flags = OPTION_RESULT},
      {"dora", OPTION_FLAG, &state->dora,
       .help = "train each output's length apart from its direction", .flags = OPTION_RESULT},
      {"targets", OPTION_CHOICE, &state->targets, .help = "the matrices of a block that have one",
       .choices = targets, .flags = OPTION_RESULT},
  };
  _Static_assert(sizeof all / sizeof all[0] == OPTION_COUNT, "OPTION_COUNT counts the table");
  memcpy(options, all, sizeof all);
}

static tx_train_options library_options(const train *state, const char *command) {
  tx_train_options to = tx_train_defaults();
  to.home = state->common.home;
  to.model = state->model;
  to.data = state->data;
  to.heads = state->sources;
  to.head_count = state->heads.count;
  to.validation = state->validation;
  to.out = state->out;
  to.command = command;
  if (state->text) to.table.text = state->text;
  if (state->label) to.table.label = state->label;
  to.table.format = options_format(state->format);
  if (state->multi_label) to.table.label_separator = state->separator ? state->separator : ",";
  to.hierarchical = state->hierarchical;
  to.method = (tx_method)state->method;
  to.pooling = (tx_pooling)state->pooling;
  to.head_solver = (tx_head_solver)state->solver;
  to.schedule = (tx_schedule)state->schedule;
  to.class_weights = (tx_class_weights)state->weights;
  to.precision = (tx_precision)state->precision;
  to.depth = (int)state->depth;
  to.max_depth = (int)state->max_depth;
  to.blocks = (int)state->blocks;
  to.rank = (int)state->rank;
  to.alpha = state->alpha;
  to.rank_stabilised = state->rank_stabilised;
  to.targets = (tx_targets)state->targets;
  to.init = (tx_init)state->init;
  to.layers = (int)state->layers;
  to.width = (int)state->width;
  to.dropout = state->dropout;
  to.dora = state->dora;
  to.attention = (tx_attention)state->attention;
  to.pad_to = state->pad_to;
  to.batch_tokens = state->batch_tokens;
  to.epochs = (int)state->epochs;
  to.seeds = (int)state->seeds;
  to.folds = (int)state->folds;
  to.batch = (int)state->batch;
  to.accumulate = (int)state->accumulate;
  to.patience = (int)state->patience;
  to.sweep = state->learning_rate < 0;
  to.learning_rate = to.sweep ? 0 : state->learning_rate;
  to.weight_decay = state->weight_decay;
  to.warm_up = state->warm_up;
  to.clip = state->clip;
  to.sampling = (tx_sampling)state->sampling;
  to.layer_decay = state->layer_decay;
  to.ema = state->ema;
  to.keep_activations = state->keep_activations;
  to.label_smoothing = state->smoothing;
  to.focal = state->focal;
  to.penalty = state->penalty;
  to.max_tokens = state->max_tokens;
  to.cache_mb = state->cache_mb;
  to.no_cache = state->no_cache;
  to.run = state->resume ? state->resume : state->run;
  to.resume = state->resume != NULL;
  to.save_minutes = state->save_minutes;
  to.seed = (uint64_t)state->common.seed;
  return to;
}

train *train_new(void) {
  train *state = cli_array(1, sizeof *state);
  *state = train_defaults();
  return state;
}

cli_common *train_common(train *state) { return &state->common; }

size_t train_options(train *state, option options[TRAIN_OPTIONS_MOST]) {
  _Static_assert((int)OPTION_COUNT <= (int)TRAIN_OPTIONS_MOST, "there is room for all");
  fill_options(state, options);
  return OPTION_COUNT;
}

tx_train_options train_asked(const train *state, const char *command) {
  return library_options(state, command);
}

/* ---- what is read back ------------------------------------------------- */

/* Accuracy by depth as the classifier just written tells it: new, or NULL where no
 * depth was chosen.  Not CLI_DONE: it cannot be read back, which is said. */
static int read_depths(const train *state, const char *verb, json_t **depths) {
  tx_error error = {0};
  char *json = NULL;
  *depths = NULL;
  if (tx_describe_json(state->out, state->common.home, &json, &error) != TX_OK) {
    return cli_fail(verb, &error, "the classifier is written");
  }
  json_t *facts = facts_parse(verb, json);
  if (!facts) return CLI_SYSTEM;
  *depths = json_incref(json_object_get(facts, "depths"));
  json_decref(facts);
  return CLI_DONE;
}

/* The loss curve of a run, and its page.  What cannot be drawn costs no classifier: it is there. */
static int draw_curve(const train *state, const char *verb) {
  const char *directory = state->resume ? state->resume : state->run;
  tx_error error = {0};
  tx_curve curve;
  if (!directory) return CLI_DONE;
  tx_status status = tx_curve_read(directory, &curve, &error);
  if (status == TX_OK && state->page) {
    status = tx_curve_write(&curve, state->out, state->page, &error);
  }
  if (status == TX_OK && !state->common.json) {
    putchar('\n');
    chart_loss(stdout, &curve);
  }
  tx_curve_free(&curve);
  return status == TX_OK ? CLI_DONE : cli_fail(verb, &error, "the classifier is written");
}

/* ---- the verb ---------------------------------------------------------- */

/* Why --max-depth does nothing, or NULL. */
static const char *idle_depth(const train *state) {
  if (state->method != TX_METHOD_AUTO) return "--method auto alone tries several depths";
  return state->depth > 0 ? "--depth says the depth" : NULL;
}

/* Why what is asked of gradient steps does nothing, or NULL. */
static const char *idle_steps(const train *state) {
  bool heads = state->method == TX_METHOD_AUTO && state->heads.count > 1; /* no block is trained */
  bool convex = state->method == TX_METHOD_HEAD && state->solver == TX_HEAD_CONVEX;
  return heads || convex
             ? "the convex head takes no gradient steps (see --method and --head-solver)"
             : NULL;
}

typedef struct {
  const char *name;
  bool given;
  const char *idle; /* why it does nothing; NULL: it does something */
} given;

static void note_idle(const given *options, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!options[i].given || !options[i].idle) continue;
    fprintf(stderr, "%s does nothing here: %s\n", options[i].name, options[i].idle);
  }
}

static void note_idle_steps(const train *state, const train *standard, const char *steps) {
  const given options[] = {
      {"--epochs", state->epochs != standard->epochs, steps},
      {"--batch", state->batch != standard->batch, steps},
      {"--batch-tokens", state->batch_tokens > 0, steps},
      {"--accumulate", state->accumulate != standard->accumulate, steps},
      {"--patience", state->patience != standard->patience, steps},
      {"--lr", state->learning_rate > 0 || state->learning_rate < 0, steps},
      {"--weight-decay", state->weight_decay - standard->weight_decay != 0, steps},
      {"--warm-up", state->warm_up - standard->warm_up != 0, steps},
      {"--clip", state->clip - standard->clip != 0, steps},
      {"--schedule", state->schedule != standard->schedule, steps},
      {"--sampling", state->sampling != standard->sampling, steps},
      {"--ema", state->ema > 0, steps},
      {"--label-smoothing", state->smoothing > 0, steps},
      {"--focal", state->focal > 0, steps}};
  note_idle(options, sizeof options / sizeof *options);
}

static void note_idle_blocks(const train *state, const train *standard, const char *blocks) {
  const char *lora = state->method == TX_METHOD_LORA ? NULL : "--method lora alone has adapters";
  const given options[] = {
      {"--blocks", state->blocks != standard->blocks, blocks},
      {"--layer-decay", state->layer_decay > 0, blocks},
      {"--keep-activations", state->keep_activations, blocks},
      {"--rank", state->rank != standard->rank, lora},
      {"--alpha", state->alpha > 0, lora},
      {"--rslora", state->rank_stabilised, lora},
      {"--dropout", state->dropout > 0, lora},
      {"--dora", state->dora, lora},
      {"--targets", state->targets != standard->targets, lora}};
  note_idle(options, sizeof options / sizeof *options);
}

/* Says which of the given options do nothing beside the others, and why. */
static void note_idle_options(const train *state) {
  const train standard = train_defaults();
  const char *steps = idle_steps(state);
  const char *blocks = !steps && state->method == TX_METHOD_HEAD
                           ? "--method head trains no block" : steps;
  const char *convex = state->solver == TX_HEAD_CONVEX ? NULL : "--head-solver sgd knows none";
  const char *labels = state->multi_label ? NULL : "without --multi-label a text has one label";
  const given options[] = {{"--max-depth", state->max_depth > 0, idle_depth(state)},
                           {"--penalty", state->penalty > 0, convex},
                           {"--label-separator", state->separator != NULL, labels}};
  if (state->common.quiet) return;
  note_idle(options, sizeof options / sizeof *options);
  note_idle_steps(state, &standard, steps);
  note_idle_blocks(state, &standard, blocks);
}

/* Tables from --data or from --head: NAME:FILE is cut at its first colon. */
static int read_sources(train *state, const char *verb) {
  size_t count = state->heads.count;
  if (state->run && state->resume) {
    return cli_usage_error(verb,
                           "--run starts a run and --resume goes on with one: give one of them");
  }
  if (count == 0) {
    if (state->data) return CLI_DONE;
    return cli_usage_error(verb,
                           "--data is missing: training texts: CSV, TSV or JSONL; or several label "
                           "sets, each as --head NAME:TABLE");
  }
  if (state->data || state->validation) {
    return cli_usage_error(verb, "--head brings its own table: leave out --%s",
                           state->data ? "data" : "val");
  }
  state->sources = cli_array(count, sizeof *state->sources);
  for (size_t i = 0; i < count; i++) {
    const char *item = state->heads.items[i], *colon = strchr(item, ':');
    if (!colon || colon == item || !colon[1]) {
      return cli_usage_error(verb, "--head must be NAME:TABLE, not '%s'", item);
    }
    state->sources[i] = (tx_label_source){cli_copy(item, (size_t)(colon - item)), colon + 1};
  }
  return CLI_DONE;
}

static void free_sources(train *state) {
  for (size_t i = 0; state->sources && i < state->heads.count; i++) {
    free((void *)(uintptr_t)state->sources[i].name);
  }
  free(state->sources);
}

/* What an interrupted training leaves, and how to come by the classifier. */
static const char *how_to_go_on(const train *state) {
  if (state->resume) return "no classifier was written: run the same command again to go on";
  if (state->run) {
    return "no classifier was written: to go on, run the same command with --resume in place of "
           "--run (or as it was, if it had come to no checkpoint)";
  }
  return "no classifier was written: run the same command again to start anew";
}

static bool is_file(const char *path, const char *other) {
  struct stat one, two;
  return other && stat(path, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev &&
         one.st_ino == two.st_ino;
}

/* The page's place, before hours of work: not a file that it is made of, and to be written. */
static int check_page(const train *state, const char *verb) {
  const char *page = state->page;
  if (!page) return CLI_DONE;
  if (!state->run && !state->resume) {
    return cli_usage_error(verb, "--report draws the log of a run: name its directory with --run");
  }
  if (is_file(page, state->data) || is_file(page, state->validation) ||
      is_file(page, state->model) || is_file(page, state->out) ||
      strcmp(page, state->out) == 0) {
    return cli_usage_error(verb, "--report %s is a file of this training; name another", page);
  }
  struct stat there;
  bool exists = stat(page, &there) == 0;
  FILE *file = exists && !S_ISREG(there.st_mode) ? NULL : fopen(page, "ab");
  if (!file) {
    return cli_system_error(
        verb, "cannot write the page %s: %s; name another place", page,
        exists && S_ISDIR(there.st_mode) ? "it is a directory" : strerror(errno));
  }
  fclose(file);
  if (!exists) remove(page);
  return CLI_DONE;
}

static int run(const train *state, const command_line *line, const char *command) {
  tx_train_options options = library_options(state, command);
  tx_train_report report = {0};
  tx_error error = {0};
  progress bar;
  int page = check_page(state, line->verb);
  if (page != CLI_DONE) return page;
  note_idle_options(state);
  progress_begin(&bar, state->common.quiet);
  tx_watch watch = progress_watch(&bar);
  tx_status status = tx_train(&options, &report, &watch, &error);
  progress_end(&bar);
  if (status != TX_OK) return cli_fail(line->verb, &error, how_to_go_on(state));
  train_result result = {.out = state->out, .multi_label = state->multi_label};
  int read_back = read_depths(state, line->verb, &result.depths);
  if (read_back != CLI_DONE) return read_back;
  (state->common.json ? train_print_json : train_print)(&result, &report);
  json_decref(result.depths);
  return draw_curve(state, line->verb);
}

int verb_train(int argc, char **argv) {
  train state = train_defaults(), standard = train_defaults();
  option options[OPTION_COUNT], defaults[OPTION_COUNT];
  fill_options(&state, options);
  fill_options(&standard, defaults);
  command_line line = {
      .verb = argv[0],
      .summary = "train a classifier from labelled texts",
      .usage =
          "--model NAME|FILE --data TABLE --out FILE [options]\n"
          "--model NAME|FILE --head NAME:TABLE --head NAME:TABLE... --out FILE [options]",
      .about =
          "The same tables, options and seed give the same file, byte for byte, on any number "
          "of\nthreads.  The file appears whole or not at all.\n\n"
          "With --head, given once for each label set, one classifier answers all of them: each "
          "text\nruns through the model once.  The heads share its blocks, so the last block is "
          "not tuned.",
      .examples =
          "  taxon train --model smollm2-135m --data train.tsv --val val.tsv --out my.taxon",
      .options = options,
      .option_count = OPTION_COUNT,
      .common = &state.common};
  int status;
  if (options_parse(&line, argc, argv, &status)) {
    char *command = options_command(&line, defaults);
    status = read_sources(&state, line.verb);
    if (status == CLI_DONE) status = run(&state, &line, command);
    free_sources(&state);
    free(command);
  }
  options_free(&line);
  return status;
}
