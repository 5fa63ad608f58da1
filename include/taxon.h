/* taxon: turns an open language model into a text classifier you can trust.
 *
 *   tx_error error = {0};
 *   tx_classifier *classifier;
 *   if (tx_classifier_open("feedback.taxon", tx_classifier_defaults(), &classifier, &error)) {
 *     char sentence[1024];
 *     fprintf(stderr, "%s\n", tx_error_sentence(&error, sentence, sizeof sentence));
 *     return 1;
 *   }
 *   tx_text text = tx_text_of("The lens is sharp, but it broke within a week.");
 *   float probabilities[16];                  // one for each label
 *   if (tx_classifier_count(classifier) <= 16 &&
 *       tx_classifier_predict(classifier, &text, 1, probabilities, NULL, NULL, &error) == TX_OK)
 *     for (size_t i = 0; i < tx_classifier_count(classifier); i++)
 *       printf("%s %.3f\n", tx_classifier_label(classifier, i), probabilities[i]);
 *   tx_classifier_close(classifier);
 *
 * Conventions.  A call that can fail returns a tx_status and fills the caller's
 * tx_error, in which the first failure stays.  The library never prints, exits
 * or aborts.  Handles are opaque: *_open and *_new make them, *_close and *_free
 * take NULL.  Ownership words: *new* (the caller frees it), *borrowed* (valid as
 * long as the handle it came from), *takes* (the callee frees it).  Options are
 * structs by value, filled by *_defaults().  Shapes are written (rows, columns),
 * row-major.  A handle may be used by one thread at a time; different handles by
 * different threads at once.
 *
 * Exactness.  A probability is the same bits whatever the batch it was computed
 * in, the number of threads, and the instruction set of the processor. */
#ifndef TAXON_H
#define TAXON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TX_API __attribute__((visibility("default")))

enum { TX_MAX_THREADS = 256 };

/* ---- failures ---------------------------------------------------------- */

typedef enum tx_status {
  TX_OK = 0,
  TX_ERROR_ARGUMENT = 2,      /* the call makes no sense: wrong option, wrong range */
  TX_ERROR_INPUT = 3,         /* a file, a table or a model is damaged or does not fit */
  TX_ERROR_SYSTEM = 4,        /* memory, disk, network */
  TX_ERROR_INTERRUPTED = 130, /* the caller's `cancelled` said so */
} tx_status;

/* Start with {0}.  The first failure stays until the caller clears it. */
typedef struct tx_error {
  tx_status status;
  char where[512];   /* the file, or the file and the tensor; "" when it does not apply */
  int64_t line;      /* of a text file, from 1; 0 when it does not apply */
  bool has_offset;
  uint64_t offset;   /* of a binary file, in bytes */
  char message[768]; /* what was wrong and what to do next */
} tx_error;

/* One sentence, with the place in front.  Returns `buffer`. */
TX_API const char *tx_error_sentence(const tx_error *error, char *buffer, size_t size);

/* ---- shared ------------------------------------------------------------ */

/* A run of bytes, UTF-8 by intention; may hold NUL and invalid UTF-8.  Borrowed. */
typedef struct tx_text {
  const char *data;
  size_t size;
} tx_text;

TX_API tx_text tx_text_of(const char *string); /* of a NUL-terminated string */

/* How a long call reports and is stopped; NULL wherever one is taken: neither.
 * Both may be NULL, and are called from the calling thread only. */
typedef struct tx_watch {
  /* `done` of `total` `unit`s (total 0: unknown) of the named stage. */
  void (*report)(void *context, const char *stage, int64_t done, int64_t total, const char *unit);
  /* A finished fact worth a line: an epoch's loss, a chosen penalty, a warning. */
  void (*note)(void *context, const char *sentence);
  /* Anything but false ends the call with TX_ERROR_INTERRUPTED, soon. */
  bool (*cancelled)(void *context);
  void *context;
} tx_watch;

/* For the whole process; 0: one for each processor.  Not while another call runs. */
TX_API void tx_set_threads(int threads);
TX_API const char *tx_version(void);
TX_API const char *tx_cpu_path(void); /* "generic", "avx2" or "avx512": the kernels in use */
TX_API void tx_free_string(char *string); /* for every new char * below */

/* ---- the classifier: use ----------------------------------------------- */

typedef struct tx_classifier tx_classifier;

/* How the frozen matrices of the model are multiplied: as fp32, or as bytes with a
 * scale an output and each token's activations as bytes too.  What was trained stays
 * fp32, and so do the few matrices whose inputs bytes cannot hold. */
typedef enum tx_precision {
  TX_PRECISION_F32,
  TX_PRECISION_INT8,
  TX_PRECISION_AUTO, /* of a classifier: as it says itself; in training: int8 where the answers to
                        the validation texts bear it */
} tx_precision;

typedef struct tx_classifier_options {
  const char *home;     /* where models are kept; NULL: TAXON_HOME, else the XDG cache */
  const char *model;    /* the base's name or path; NULL: as the artifact names it */
  int64_t max_tokens;   /* longer texts are cut at the end; 0: as in training */
  int64_t batch_tokens; /* tokens computed at a time; 0: a good value; changes no answer */
  const char *head;     /* of a classifier of several label sets: the one that the functions of
                           one head mean; NULL: the first */
  tx_precision precision; /* auto: the artifact's */
  bool adapters_apart;  /* of --method lora: kept beside the base's matrices, not added to them:
                           slower, and probabilities differ by rounding, below 1e-5 */
} tx_classifier_options;

TX_API tx_classifier_options tx_classifier_defaults(void);

/* Opens an artifact and its base model, which must be the very file (SHA-256)
 * that it was trained on. */
TX_API tx_status tx_classifier_open(const char *path, tx_classifier_options options,
                                    tx_classifier **classifier, tx_error *error);
TX_API void tx_classifier_close(tx_classifier *classifier);
TX_API tx_precision tx_classifier_precision(const tx_classifier *classifier); /* f32 or int8 */
TX_API size_t tx_classifier_count(const tx_classifier *classifier); /* of labels, at least 2 */
TX_API const char *tx_classifier_label(const tx_classifier *classifier,
                                       size_t index); /* borrowed */

/* A classifier may answer several label sets over one model: its heads, each with a
 * name, labels and depth of its own.  Indices count from 0, in the artifact's
 * order; strings are borrowed, NULL beyond the end. */
enum { TX_MAX_HEADS = 64 };
TX_API size_t tx_classifier_heads(const tx_classifier *classifier); /* 1 to TX_MAX_HEADS */
TX_API const char *tx_classifier_head(const tx_classifier *classifier,
                                      size_t head); /* its name; "" for an unnamed only one */
TX_API size_t tx_classifier_head_count(const tx_classifier *classifier, size_t head); /* labels */
TX_API const char *tx_classifier_head_label(const tx_classifier *classifier, size_t head,
                                            size_t index);

/* Whether any number of the head's labels hold for a text, also none: each has a probability of
 * its own, and the answer is those with at least 0.5.  And the character that separated labels
 * in the cells of its training table ('\0' where each text has one label). */
TX_API bool tx_classifier_head_multi_label(const tx_classifier *classifier, size_t head);
TX_API char tx_classifier_head_separator(const tx_classifier *classifier, size_t head);

/* Of a head whose labels are paths (training's `hierarchical`): the nodes above them.  A node's
 * probability is the sum of the labels at and below it. */
typedef struct tx_hierarchy tx_hierarchy;

typedef struct tx_path_step {
  const char *node; /* "sport", then "sport/football"; borrowed */
  double probability; /* never above that of the step before */
} tx_path_step;

/* New; NULL, which is no failure, where the head's labels are none. */
TX_API tx_status tx_classifier_head_hierarchy(const tx_classifier *classifier, size_t head,
                                              tx_hierarchy **hierarchy, tx_error *error);
TX_API void tx_hierarchy_free(tx_hierarchy *hierarchy);
TX_API size_t tx_hierarchy_levels(const tx_hierarchy *hierarchy); /* the longest path's, from 1 */

/* From the top to the most probable node of each level below the one before, until the node as a
 * label of its own is more probable than any below it.  probabilities (labels): of one text;
 * steps (levels) are written, their number is returned: 1 at least.  The answer of a given
 * certainty is the last step that has it. */
TX_API size_t tx_hierarchy_path(tx_hierarchy *hierarchy, const float *probabilities,
                                tx_path_step *steps);

/* What was done for a call, added up over its texts. */
typedef struct tx_scored {
  int64_t texts;
  int64_t tokens; /* computed, after cutting */
  int64_t cut;    /* texts that were longer than max_tokens */
} tx_scored;

/* probabilities: (count, labels); each row sums to 1, unless any number of labels may hold.
 * `scored` may be NULL. */
TX_API tx_status tx_classifier_predict(tx_classifier *classifier, const tx_text *texts,
                                       size_t count, float *probabilities, tx_scored *scored,
                                       const tx_watch *watch, tx_error *error);

/* All heads in one pass: each block of the model runs once.  probabilities
 * (heads): (count, labels of the head) each, the bits that tx_classifier_predict()
 * gives with that head chosen. */
TX_API tx_status tx_classifier_predict_heads(tx_classifier *classifier, const tx_text *texts,
                                             size_t count, float *const *probabilities,
                                             tx_scored *scored, const tx_watch *watch,
                                             tx_error *error);

/* ---- tables ------------------------------------------------------------ */

typedef struct tx_table_options {
  const char *text;  /* column, or several joined by commas (their texts are joined by a newline) */
  const char *label; /* column; NULL: the table needs none */
  const char *id;    /* column; NULL: use `id` where there is one */
  const char *format; /* "csv", "tsv", "jsonl"; NULL: by the file's ending, else by its first
                         line */
  const char *label_separator; /* NULL: a row has one label.  Else any number of labels, in one cell
                                  with this one byte between them, spaces around them left out;
                                  none: an empty cell.  JSONL may have an array of strings
                                  instead */
} tx_table_options;

TX_API tx_table_options tx_table_defaults(void); /* text "text", label "label" */

/* One row at a time, memory bounded by the longest row. */
typedef struct tx_table tx_table;

typedef struct tx_row { /* borrowed until the next row is read */
  int64_t line;         /* where the row starts, from 1 */
  tx_text text;
  tx_text label; /* {NULL, 0} without a label column; of an array: joined by the separator */
  tx_text id;    /* {NULL, 0} without an id column */
  bool odd;      /* the text holds NUL, or bytes that are not UTF-8 */
} tx_row;

/* CSV is RFC 4180, TSV is unquoted, JSONL is one object a line; the first line
 * of CSV and TSV names the columns.  "-" is standard input; a pipe will do.  A
 * file that grows meanwhile is read to the end that it has when that is reached. */
TX_API tx_status tx_table_open(const char *path, tx_table_options options, tx_table **table,
                               tx_error *error);
TX_API tx_status tx_table_next(tx_table *table, tx_row *row, bool *found, tx_error *error);
TX_API void tx_table_close(tx_table *table);

/* ---- the classifier: making one ---------------------------------------- */

/* auto: depth, pooling and penalty by cross-validation, then the last block of
 * the cut model, kept if it is better. */
typedef enum tx_method {
  TX_METHOD_HEAD,
  TX_METHOD_LAST_BLOCK,
  TX_METHOD_AUTO,
  TX_METHOD_NORMS, /* the norms of the blocks, and the output norm */
  TX_METHOD_LORA,  /* low-rank adapters beside matrices of the blocks */
  TX_METHOD_FULL,  /* all blocks that are run, the output norm, and the embeddings of the tokens in
                      the training and validation texts */
} tx_method;
typedef enum tx_targets { /* which matrices of a block LoRA adapts */
  TX_TARGETS_ALL,
  TX_TARGETS_ATTENTION,   /* query, key, value, out */
  TX_TARGETS_QUERY_VALUE, /* the original paper's */
} tx_targets;
typedef enum tx_pooling {
  TX_POOLING_LAST,      /* the last token's state */
  TX_POOLING_MEAN,      /* the mean over all tokens */
  TX_POOLING_FIRST,     /* the first token's */
  TX_POOLING_LAST_MEAN, /* the last token's beside the mean: twice as many features */
  TX_POOLING_ATTENTION, /* a mean over all tokens whose weights are learned: the softmax of a
                           learned query's product with each state; for trained blocks */
  TX_POOLING_AUTO,      /* of options: chosen with the depth; the last token's where nothing is */
} tx_pooling;
typedef enum tx_head_solver { TX_HEAD_CONVEX, TX_HEAD_SGD } tx_head_solver;
typedef enum tx_schedule {
  TX_SCHEDULE_CONSTANT,
  TX_SCHEDULE_COSINE,
  TX_SCHEDULE_LINEAR,
} tx_schedule;
typedef enum tx_attention {
  TX_ATTENTION_CAUSAL,        /* as the model was made: a token sees those before it */
  TX_ATTENTION_BIDIRECTIONAL, /* in the trained blocks it sees those after it too */
  TX_ATTENTION_TWO_WAY,       /* in the others too: what the model was not made for */
} tx_attention;
typedef enum tx_sampling {
  TX_SAMPLING_ALL,      /* every text once an epoch */
  TX_SAMPLING_BALANCED, /* as many texts, but each label as often as another, with repeats */
} tx_sampling;
typedef enum tx_class_weights { TX_CLASS_WEIGHTS_NONE, TX_CLASS_WEIGHTS_BALANCED } tx_class_weights;

/* A label set of its own table; the texts may be the same as another's. */
typedef struct tx_label_source {
  const char *name; /* 1 to 64 bytes of UTF-8, no slash, no control characters */
  const char *data; /* training table */
} tx_label_source;

typedef enum tx_init {
  TX_INIT_PRETRAINED, /* the model's weights */
  TX_INIT_RANDOM,     /* random ones, of its architecture and vocabulary, drawn by the seed: a model
                         of its own, that is kept under the home */
} tx_init;

typedef struct tx_train_options {
  const char *home;
  const char *model;      /* name or path; required */
  tx_init init;
  int layers, width;      /* of a random model; 0: those of `model` */
  const char *data;       /* training table; required unless there are heads */
  const tx_label_source *heads; /* (head_count), names distinct: instead of data and validation;
                                   a tenth of each table validates; the method is auto or head,
                                   and with two heads or more no block is trained */
  size_t head_count;      /* up to TX_MAX_HEADS; 0: the one table `data` */
  const char *validation; /* table; NULL: a tenth of the training rows, by seed, stratified */
  const char *out;        /* the artifact; required */
  const char *command;    /* kept in the artifact; NULL: none */
  tx_table_options table; /* with a separator of labels, any number of them hold for a text: one
                             sigmoid each; class weights and balanced sampling are refused then */
  bool hierarchical; /* labels are paths as in sport/football: trained as any labels, answered and
                        measured level by level; not with a separator of labels */
  tx_method method;
  tx_pooling pooling;
  tx_head_solver head_solver;
  int depth;           /* blocks that are run; 0: all, or with auto chosen */
  int max_depth;       /* auto: the deepest that is tried; 0: all */
  int blocks;          /* how many of the last blocks are trained; 0: the method's own, 1 of
                          last-block, all of norms and lora */
  int rank;            /* lora: of the adapters, from 1 */
  double alpha;        /* lora: the adapters count alpha / rank; 0: twice the rank */
  bool rank_stabilised; /* lora: alpha / sqrt(rank) instead */
  tx_targets targets;  /* lora */
  double dropout;      /* lora: share of an adapter's inputs that a step leaves out, 0 to below 1 */
  bool dora;           /* lora: each output's length is trained apart from its direction (DoRA,
                          arXiv 2402.09353) */
  tx_attention attention; /* of methods that train blocks */
  int epochs;          /* gradient training; 0: the method's own, 5, and 2 for auto's last block */
  int batch;           /* texts a step, from 1 */
  int64_t batch_tokens; /* > 0: a step is of about so many tokens, long and short texts mixed,
                           instead of so many texts; there are as many steps in each epoch */
  int accumulate;      /* steps of `batch` texts before the weights change, from 1: the same
                          weights, bit for bit, as a batch `accumulate` times as large */
  int patience;        /* epochs without a better validation loss before it stops; 0: the
                          method's own, 2, and 1 for auto's last block */
  double learning_rate; /* > 0; 0: the method's own */
  bool sweep;          /* instead: of eight rates around the method's own the one that a short run
                          of each, up to 60 steps, finds best on the validation rows */
  double weight_decay; /* decoupled, >= 0 */
  double warm_up;      /* share of all steps, 0..1 */
  double clip;         /* largest norm of a step's gradient; 0: none */
  double label_smoothing; /* share of the target spread over all labels, 0 to below 1 */
  double focal;        /* a text counts (1 - p(label))^focal; 0: all the same; not with smoothing */
  double penalty;      /* of the convex head, relative to the mean loss; 0: by cross-validation */
  tx_schedule schedule;
  tx_class_weights class_weights;
  tx_sampling sampling;   /* of gradient steps */
  double layer_decay;     /* a block's learning rate, of that of the one after it, above 0 to 1;
                             0: all the same */
  double ema;             /* gradient steps: the weights' exponential average is what is judged and
                             kept; its decay a step, below 1; 0: the weights themselves */
  tx_precision precision; /* int8: the blocks that are not trained are computed as bytes, in
                             training and later; auto: trained in fp32, and then int8 where the
                             accuracy on the validation rows falls by no more than TX_TOLERANCE
                             points */
  int64_t max_tokens; /* longer texts are cut at the end; 0: the model's context */
  int64_t pad_to;     /* shorter texts are filled up at the end with padding tokens, which the model
                         sees as any other: to show what it costs; 0: no padding */
  int64_t cache_mb;   /* bound of the states, and of what fits came to, that are kept below the home
                         for later runs, the least recently used out first; and of states in memory,
                         beyond it a temporary file is used */
  bool keep_activations; /* gradient steps through several blocks: never compute a block's forward
                            again, whatever memory a step takes; false: where they would take more
                            than 256 MB */
  bool no_cache;      /* compute and fit all anew, keep nothing */
  const char *run;    /* a directory for checkpoints of gradient steps, one at each epoch's end, and
                         for their log, log.jsonl; made where it is not there; NULL: none */
  bool resume;        /* go on with the run that is there, which must have had the same options and
                         data; the artifact is the same, byte for byte, as of one never stopped */
  bool measure_training; /* the accuracy on the training rows too, of methods but auto */
  double save_minutes; /* of a run: a checkpoint in between, so often; 0: after every step */
  uint64_t seed;
  int seeds;  /* so many trainings on the same rows, with the seeds seed, seed + 1 ...: the artifact
                 is the first one's, the others show how far chance goes; 1 to TX_MAX_SEEDS */
  int folds;  /* cross-validation over all rows of the training table, before the artifact is
                 trained as ever: 2 to TX_MAX_FOLDS; 0: none */
} tx_train_options;

enum { TX_MAX_SEEDS = 100, TX_MAX_FOLDS = 100 };

#define TX_TOLERANCE 0.5 /* points of accuracy that int8 may cost */

TX_API tx_train_options tx_train_defaults(void);

typedef struct tx_head_report {
  const char *name; /* borrowed from the options */
  tx_pooling pooling;
  int depth;
  int64_t train_rows, val_rows;
  double penalty;
  double val_accuracy, val_lo, val_hi, val_macro_f1, val_micro_f1, val_nll;
  double majority_accuracy, linear_accuracy;
} tx_head_report;

typedef struct tx_seed_score { /* on the validation rows */
  uint64_t seed;
  double accuracy, nll;
} tx_seed_score;

typedef struct tx_spread {
  double mean, deviation, low, high; /* the standard deviation of one training, not of the mean */
} tx_spread;

/* Every row of the training table, answered by a training that has not seen it. */
typedef struct tx_cross_validation {
  int folds; /* 0: there was none */
  int64_t rows;
  double accuracy, lo, hi, macro_f1, micro_f1, nll;
  double linear_accuracy; /* of the linear baseline, trained anew for each fold */
} tx_cross_validation;

/* Of several heads: counts are added up, the rest is the first one's. */
typedef struct tx_train_report {
  tx_method method;    /* of the artifact: any but auto */
  tx_pooling pooling;
  int depth;           /* blocks that the artifact runs */
  tx_precision precision; /* of the artifact: f32 or int8 */
  int f32_matrices;       /* of int8: how many stay fp32 because of their inputs */
  int epochs;          /* run, of those asked for */
  int best_epoch;      /* kept; 0: the convex head before any epoch */
  int labels;          /* of the label set */
  int64_t train_rows, val_rows, tokens, cut;
  int64_t trained_parameters;
  double penalty;      /* of the convex head; 0 where there is none */
  double learning_rate;
  int64_t cached_texts, computed_texts; /* whose states an earlier run left, and others */
  double seconds, trunk_seconds;
  int64_t peak_rss_bytes;
  double train_accuracy; /* 0 unless it was asked for */
  double val_accuracy, val_lo, val_hi, val_macro_f1, val_micro_f1, val_nll; /* of the artifact */
  double majority_accuracy, linear_accuracy; /* of the baselines, on the same validation rows */
  size_t seed_count; /* as in the options */
  tx_seed_score seeds[TX_MAX_SEEDS];
  tx_spread seed_accuracy, seed_nll;
  tx_cross_validation cross_validation;
  size_t head_count; /* as in the options */
  tx_head_report heads[TX_MAX_HEADS];
} tx_train_report;

/* Trains and writes the artifact, which appears under its name whole or not at
 * all.  The same inputs and seed give the same bytes on any number of threads. */
TX_API tx_status tx_train(const tx_train_options *options, tx_train_report *report,
                          const tx_watch *watch, tx_error *error);

/* ---- models that write: tuning ----------------------------------------- */

/* Rows that ask and answer.  Each has messages, a JSON array of {"role", "content"} with the
 * roles system, user and assistant; or an instruction, what it is about, and the answer.  Names
 * of columns that are NULL stand for the usual ones, where the table has them. */
typedef struct tx_rows_options {
  const char *instruction;        /* the same for all rows, instead of a column; NULL: none */
  const char *instruction_column; /* "instruction", else "prompt" */
  const char *input;              /* "input": may be missing or empty */
  const char *output;             /* "output" */
  const char *messages;           /* "messages" */
  const char *chosen, *rejected;  /* of preferences: "chosen", "rejected" */
  const char *answers; /* "yes,no": the table's outputs are these; or "spam=yes,ham=no": what is
                          answered where the output is that; NULL: the output itself */
  const char *format;  /* as of tx_table_options */
} tx_rows_options;

typedef struct tx_tune_options {
  /* Model, tables, output, home, cache, run, seed, method (last-block, norms, lora, full) with its
   * settings, and those of gradient steps; epochs 0: 2.  The rest, which is about labels and
   * pooling, stays as tx_tune_defaults() has it.  max_tokens: longer rows are left out and
   * counted; 0: one that the model cannot read is an input error. */
  tx_train_options train;
  tx_rows_options rows;
  const char *chat_template; /* "model" (its own), "alpaca", "chatml"; NULL: the model's own where
                                it has one, else alpaca */
  bool with_prompts;    /* what is asked is learnt too, not the answers alone */
  bool preferences;     /* rows with a chosen and a rejected answer: direct preference
                           optimisation */
  double beta;          /* of preferences: how far the answers may leave those of the base, > 0 */
  int64_t batch_tokens; /* > 0: a batch is of so many tokens, not of train.batch rows */
} tx_tune_options;

TX_API tx_tune_options tx_tune_defaults(void);

typedef struct tx_tune_score {
  double loss;       /* mean over the tokens that are to be written, in nats; of preferences over
                        the pairs */
  double perplexity; /* exp(loss); 0 of preferences */
  double right;      /* share of those tokens that have the highest probability; of preferences
                        share of pairs whose chosen answer gained more */
  double likelier;   /* of preferences: share of pairs whose chosen answer is the likelier one,
                        whatever it was at the start; else 0 */
} tx_tune_score;

typedef struct tx_tune_report {
  const char *chat_template; /* static */
  int blocks;                /* trained, of the last */
  int epochs, best_epoch;    /* as of tx_train_report */
  int64_t train_rows, val_rows, left_out; /* the last: of both tables, too long */
  int64_t tokens, answer_tokens;          /* of the training rows: all, and to be written */
  int64_t trained_parameters;
  double learning_rate;
  int64_t cached_texts, computed_texts;
  double seconds, trunk_seconds;
  int64_t peak_rss_bytes;
  tx_tune_score before, after; /* on the validation rows */
} tx_tune_report;

/* Tunes and writes the artifact, which appears under its name whole or not at all.  The same
 * inputs and seed give the same bytes on any number of threads. */
TX_API tx_status tx_tune(const tx_tune_options *options, tx_tune_report *report,
                         const tx_watch *watch, tx_error *error);

/* ---- models that write: answers ---------------------------------------- */

typedef struct tx_generator tx_generator;

typedef struct tx_generator_options {
  const char *home;          /* as of tx_classifier_options, and so is the next one */
  const char *model;
  const char *chat_template; /* as of tx_tune_options; NULL: the artifact's, or the model's own */
  bool raw;                  /* the prompt as it stands, without a template */
} tx_generator_options;

TX_API tx_generator_options tx_generator_defaults(void);

/* An artifact that tx_tune() wrote, with its base, or a model (name or path). */
TX_API tx_status tx_generator_open(const char *what, tx_generator_options options,
                                   tx_generator **generator, tx_error *error);
TX_API void tx_generator_close(tx_generator *generator);

typedef struct tx_prompt { /* borrowed */
  tx_text text;
  tx_text input; /* what an instruction is about; may be {NULL, 0} */
} tx_prompt;

typedef struct tx_answer {
  tx_text text;                  /* without the token that ended it */
  int64_t prompt_tokens, tokens; /* read, and written, the one that ended it included */
  bool stopped;                  /* the model ended it; else it was cut at max_new tokens, or where
                                    the model's context was full */
  double prefill_seconds, decode_seconds; /* from its start, with whatever else ran meanwhile */
} tx_answer;

typedef struct tx_answers {
  size_t count;
  tx_answer *answers; /* (count), in the order of the prompts */
  void *owned;
} tx_answers;

/* The most probable token again and again (of equals the lowest id), at most `max_new` each, from
 * 1.  Prompts are answered together; an answer is the same whatever the others are.  A prompt
 * that leaves no room in the model's context is TX_ERROR_INPUT. */
TX_API tx_status tx_generate(tx_generator *generator, const tx_prompt *prompts, size_t count,
                             int64_t max_new, tx_answers *answers, const tx_watch *watch,
                             tx_error *error);
TX_API void tx_answers_free(tx_answers *answers);

typedef struct tx_generate_options {
  const char *data; /* rows that ask and answer; required.  Of messages the last is compared */
  tx_rows_options rows;
  int64_t max_new;
  const char *out; /* JSONL: line, answer, reference of each row; NULL: none */
} tx_generate_options;

typedef struct tx_generate_report {
  int64_t n;
  bool exact; /* rows.answers were named: the next four are known, else bleu and chrf */
  double accuracy, accuracy_lo, accuracy_hi; /* answers that are the row's; 95 %, Wilson */
  double neither; /* share of answers that are none of those named.  Case and white space at
                     either end do not count */
  double bleu, chrf; /* 0..100, of the whole table, as sacrebleu's defaults have them */
  int64_t prompt_tokens, tokens, cut; /* read; written; answers that max_new cut */
  double seconds, tokens_per_second;  /* the last: written */
} tx_generate_report;

/* Answers each row's question and compares with the answer that the row has. */
TX_API tx_status tx_generate_evaluate(tx_generator *generator, const tx_generate_options *options,
                                      tx_generate_report *report, const tx_watch *watch,
                                      tx_error *error);

/* ---- the loss of a run -------------------------------------------------- */

/* What log.jsonl of a run's directory tells. */
typedef struct tx_curve {
  size_t step_count, epoch_count;
  double *steps, *losses;  /* (step_count) rising from 1; on the texts of each step */
  double *ends;            /* (epoch_count) steps after which an epoch was judged, from 0 */
  double *training_losses; /* (epoch_count) mean over the epoch's steps; NaN before the first */
  double *validation_losses, *accuracies; /* (epoch_count) on the validation texts */
  void *owned;             /* the memory behind the pointers above */
} tx_curve;

TX_API tx_status tx_curve_read(const char *run, tx_curve *curve, tx_error *error);
TX_API void tx_curve_free(tx_curve *curve);

/* One page of HTML that needs nothing else: the curve as a plot, the epochs as a table. */
TX_API tx_status tx_curve_write(const tx_curve *curve, const char *title, const char *path,
                                tx_error *error);

/* ---- evaluation -------------------------------------------------------- */

typedef struct tx_label_score {
  const char *name; /* borrowed from the evaluation */
  double precision, recall, f1;
  int64_t support, predicted;
} tx_label_score;

/* One comparison on the same rows: McNemar's exact test, two-sided. */
typedef struct tx_baseline_score {
  double accuracy;
  double difference, difference_lo, difference_hi; /* classifier less baseline, with a 95 %
                                                      interval */
  int64_t only_classifier_right, only_baseline_right;
  double p_value;
} tx_baseline_score;

/* The answers whose probability lies in one part of (0, 1]: how sure they were,
 * and how often they were right.  Means; 0 where there are no answers. */
typedef struct tx_bin {
  int64_t count;
  double confidence, accuracy;
} tx_bin;

enum { TX_BINS = 15 };

/* Of the texts whose label reaches a level: those whose node there is the level's most probable. */
typedef struct tx_level_score {
  int64_t n, correct;
  double accuracy, accuracy_lo, accuracy_hi; /* 95 %, Wilson */
} tx_level_score;

typedef struct tx_evaluation {
  int64_t n;
  tx_precision precision; /* that was measured: f32 or int8 */
  bool multi_label; /* any number of labels hold for a text: accuracy is the share of texts of
                       which all labels are right; nll and brier are means over the labels, brier
                       0..1; ece and the bins are over each decision; there is no confusion */
  double accuracy, accuracy_lo, accuracy_hi; /* 95 %, Wilson */
  double macro_f1, micro_f1; /* micro: over all decisions; of one label a text the accuracy */
  double nll;   /* mean negative log-likelihood, in nats */
  double brier; /* sum over labels of squared differences, 0..2 */
  double ece;   /* expected calibration error of the top label, over the bins */
  tx_bin bins[TX_BINS]; /* of equal width, rising: where the probabilities can be believed */
  size_t label_count;
  tx_label_score *labels; /* (label_count) */
  int64_t *confusion;     /* (label_count, label_count): row true, column predicted; or NULL */
  size_t level_count;     /* of labels that are paths; else 0 */
  tx_level_score *levels; /* (level_count): from the top */
  /* Over the nodes at and above label and answer (Kiritchenko et al., 2006; micro). */
  double hierarchical_precision, hierarchical_recall, hierarchical_f1;
  tx_baseline_score majority, linear;
  int64_t seen_in_training; /* rows whose text stands in the training rows too */
  int64_t *seen_lines;      /* their lines, (min(seen_in_training, 1000)) */
  tx_scored scored;
  double seconds, texts_per_second, tokens_per_second;
  int64_t peak_rss_bytes;
  void *owned; /* the memory behind the pointers above */
} tx_evaluation;

/* Scores every row of the table; a label that the classifier does not know is
 * an input error that names it and its line. */
TX_API tx_status tx_evaluate(tx_classifier *classifier, const char *data, tx_table_options table,
                             tx_evaluation *evaluation, const tx_watch *watch, tx_error *error);
TX_API void tx_evaluation_free(tx_evaluation *evaluation);

/* ---- the book's experiments -------------------------------------------- */

enum { TX_ABLATION_ROWS = 19, TX_ABLATION_MODELS = 8 };

/* The table of additional experiments of "Build a Large Language Model (From Scratch)",
 * chapter 6 (github.com/rasbt/LLMs-from-scratch, ch06/02_bonus_additional-experiments): each
 * row changes one thing of a reference recipe, which is the last block and a random head,
 * trained on texts that are padded to the longest. */
typedef struct tx_ablation_options {
  const char *home;
  const char *model;         /* name or path; required */
  const char *const *models; /* (model_count) by name or path: the larger ones, of rows 6 to 9 and
                                12 */
  size_t model_count;        /* up to TX_ABLATION_MODELS; 0: the pulled ones that have more
                                parameters than `model` */
  const char *data;          /* a directory with train.tsv, val.tsv and test.tsv; required */
  tx_table_options table;
  const char *out;           /* a directory, made where it is not there; required */
  const int *rows;           /* (row_count) 1 to 19, in any order */
  size_t row_count;          /* 0: all */
  const int *row_seeds;      /* (row_count) 0 to 100, in place of `seeds`; 0: that many; or NULL */
  int seeds;                 /* trainings of each row, 1 to 100, from `seed` upwards */
  int epochs, batch;
  double learning_rate;
  int64_t context;           /* tokens that row 13 pads to, at most the model's context */
  int64_t cache_mb;          /* as of tx_train_options */
  uint64_t seed;
} tx_ablation_options;

TX_API tx_ablation_options tx_ablation_defaults(void); /* the book's: 5 epochs of batch 8 at 5e-5,
                                                          context 1024; 3 seeds */

typedef struct tx_ablation_score { /* a mean over seeds, with a 95 % interval */
  double mean, lo, hi;
} tx_ablation_score;

typedef struct tx_ablation_row {
  int number;          /* 1 to 19 */
  const char *name;    /* "first-token" */
  const char *changed; /* a few words: what differs from row 1 */
  const char *model;   /* "" where there is none */
  const char *skipped; /* why it was not run; NULL: it was */
  int same_as;         /* a row whose training this one is, run once; 0: none */
  int seeds;           /* trainings that the figures are of; 0: none yet */
  int64_t trained_parameters;
  tx_ablation_score train, validation, test; /* accuracy */
  double seconds;        /* a training that computes all of its states, with the measuring of
                            training and validation rows; mean over seeds */
  double trunk_seconds;  /* of these, for the states that the frozen blocks give */
  bool cached;           /* no training here computed all of them: the time of that is not known */
  double published_train, published_validation, published_test, published_seconds; /* the book's */
  int against;                  /* the row that it is compared with; 0: none was run */
  tx_ablation_score difference; /* of test accuracy, on the same texts and seeds */
  const char *lesson; /* a sentence: what that teaches, or that nothing can be told; "" : nothing to
                         compare */
} tx_ablation_row;

typedef struct tx_ablation_report {
  tx_ablation_row rows[TX_ABLATION_ROWS]; /* (row_count), rising */
  size_t row_count;
  int64_t trained, resumed; /* trainings of this call; those that an earlier one had done */
  const char *json;         /* what stands in report.json and report.txt */
  const char *text;
  void *owned;              /* the memory behind the pointers above */
} tx_ablation_report;

/* Trains and measures, row by row and seed by seed, and writes report.json, report.txt and
 * index.html, one page with plots, into `out`.  Each training is kept in rows.jsonl there as
 * soon as it is measured: a call that was stopped goes on where it was.  Other data or options
 * than those of the rows that are there are refused; more rows, seeds or models are not. */
TX_API tx_status tx_ablate(const tx_ablation_options *options, tx_ablation_report *report,
                           const tx_watch *watch, tx_error *error);
TX_API void tx_ablation_report_free(tx_ablation_report *report);

/* ---- int8, gated by the task ------------------------------------------- */

typedef struct tx_quantize_options {
  const char *home;
  const char *model; /* as of tx_classifier_options */
  const char *head;  /* whose labels the table has; NULL: the first.  The blocks, and so the
                        precision, are those of all heads */
  const char *data;  /* labelled texts that were not trained on; required */
  tx_table_options table;
  const char *out;   /* the classifier in int8; NULL: takes the place of the one it is made from */
  double tolerance;  /* points of accuracy on these texts that int8 may cost, 0 to 100 */
} tx_quantize_options;

TX_API tx_quantize_options tx_quantize_defaults(void); /* tolerance TX_TOLERANCE */

typedef struct tx_precision_score {
  double accuracy, nll, ece; /* as of tx_evaluation */
  double texts_per_second;
  int64_t bytes; /* of memory that the model's weights take */
} tx_precision_score;

typedef struct tx_changed_answer { /* strings are borrowed from the quantization */
  int64_t line;                    /* of the table */
  const char *label, *f32, *int8;  /* the true one, and the two answers */
} tx_changed_answer;

typedef struct tx_quantization {
  bool accepted; /* int8 loses no more than the tolerance: the classifier is written */
  int64_t rows, changed; /* answers that are another label in int8 */
  double lost;           /* points of accuracy, negative where int8 is better */
  tx_precision_score f32, int8;
  int f32_matrices;           /* that stay fp32 because of their inputs */
  tx_changed_answer *answers; /* (changed), in the table's order */
  void *owned;
} tx_quantization;

/* Scores the rows in fp32 and in int8 and writes the classifier that runs in int8 if
 * that costs no more than the tolerance.  Nothing is written otherwise, which is no
 * failure. */
TX_API tx_status tx_quantize(const char *classifier, tx_quantize_options options,
                             tx_quantization *quantization, const tx_watch *watch,
                             tx_error *error);
TX_API void tx_quantization_free(tx_quantization *quantization);

/* ---- for other programs ------------------------------------------------ */

typedef enum tx_export_form {
  TX_EXPORT_GGUF,        /* model.gguf: the whole model, for llama.cpp */
  TX_EXPORT_SAFETENSORS, /* config.json, model.safetensors, tokenizer.json: for transformers */
  TX_EXPORT_PEFT,        /* of --method lora: adapter_config.json, adapter_model.safetensors */
} tx_export_form;

typedef struct tx_export_options {
  const char *home;
  const char *model; /* as of tx_classifier_options */
  const char *head;  /* of a classifier of several: the one that is written; NULL: the first */
  tx_export_form to;
  const char *out;   /* directory, made where it is not there; required */
  bool half;         /* floats are written as F16, not F32; in GGUF only those of tensors that
                        training changed, the others stay as they are in the base */
  bool replace;      /* files of these names that are there already; false: they are refused */
} tx_export_options;

TX_API tx_export_options tx_export_defaults(void);

enum { TX_EXPORT_FILES = 8 };

typedef struct tx_export_report {
  bool classifier;   /* false: a language model */
  int labels;        /* of the head that was written; 0 of a language model */
  int depth;         /* blocks that were written */
  int64_t changed;   /* tensors that are not the base's */
  size_t file_count; /* names in `out`, in the order in which they were written */
  struct {
    char name[64];
    int64_t bytes;
  } files[TX_EXPORT_FILES];
} tx_export_report;

/* Writes a classifier, or a model by name or path, in a form that other programs load.
 * Each file appears whole or not at all; after a failure none of those is left that were
 * not there before. */
TX_API tx_status tx_export(const char *what, tx_export_options options, tx_export_report *report,
                           const tx_watch *watch, tx_error *error);

/* ---- models and data --------------------------------------------------- */

/* What `pull` knows by name. */
typedef struct tx_catalogue_entry {
  const char *name;    /* "smollm2-135m", "data:tweets" */
  const char *summary; /* one line */
  const char *license;
  int64_t bytes; /* of what is fetched; 0: not known beforehand */
} tx_catalogue_entry;

TX_API size_t tx_catalogue_count(void);
TX_API tx_catalogue_entry tx_catalogue_at(size_t index);

typedef struct tx_pulled {
  char name[256], path[4096], sha256[65], license[128], source[1024];
  int64_t bytes;
  bool fetched; /* false: it was there already, and its hash was right */
} tx_pulled;

/* Fetches a known name ("smollm2-135m", "data:customer-feedback") or a model of
 * the Hugging Face hub ("hf:owner/name[@revision][/file]"), or takes in a local
 * path, verifies it, and keeps it under `home` (NULL: the default).
 * Data sets are written as train.tsv, val.tsv and test.tsv into `directory`
 * (NULL: the current one); files of these names with other contents are left
 * alone, and refused.  Where a name gives a data set, path is the directory, and
 * sha256 and bytes are those of the archive it was made from. */
TX_API tx_status tx_pull(const char *what, const char *home, const char *directory,
                         tx_pulled *pulled, const tx_watch *watch, tx_error *error);

/* A JSON array, new: every model under `home`, with name, path, sha256, bytes,
 * license, source, and the known names not yet pulled. */
TX_API tx_status tx_models_json(const char *home, char **json, tx_error *error);

/* A JSON object, new, about a model (name or path) or an artifact: see the keys
 * of `show` in the manual. */
TX_API tx_status tx_describe_json(const char *what, const char *home, char **json,
                                  tx_error *error);

/* ---- tokens ------------------------------------------------------------ */

typedef struct tx_tokens {
  size_t count;
  int32_t *ids;        /* (count) */
  tx_text *pieces;     /* (count): the bytes of each token */
  void *owned;
} tx_tokens;

/* A model's vocabulary and rules (name or path).  Any number of threads may use one. */
typedef struct tx_tokenizer tx_tokenizer;
TX_API tx_status tx_tokenizer_open(const char *model, const char *home, tx_tokenizer **tokenizer,
                                   tx_error *error);
TX_API void tx_tokenizer_close(tx_tokenizer *tokenizer);

/* The tokens of a text.  `special`: control tokens that the text spells are
 * parsed as such; otherwise they are plain text.  The pieces are copies. */
TX_API tx_status tx_tokenize(const tx_tokenizer *tokenizer, tx_text text, bool special,
                             tx_tokens *tokens, tx_error *error);
TX_API void tx_tokens_free(tx_tokens *tokens);

/* ---- measuring a machine ----------------------------------------------- */

enum { TX_BENCH_PRODUCTS = 1, TX_BENCH_PREFILL = 2, TX_BENCH_DECODE = 4, TX_BENCH_TEXTS = 8 };

typedef struct tx_bench_options {
  const char *home;
  const char *model;      /* name or path; required */
  unsigned parts;         /* TX_BENCH_* joined by |; 0: all.  The ceilings are always measured */
  const char *precision;  /* "f32", "int8", or "file", which is decode alone; NULL: each */
  const int64_t *lengths; /* (length_count): of prefill, in tokens, from 1 to the context */
  size_t length_count;    /* 0: those of 64, 512 and 2048 that the model's context holds */
  const char *data;       /* table of texts that the whole model is run over; NULL: none */
  tx_table_options table; /* needs no label */
  int64_t texts;          /* the table's first ones; 0: all */
  double seconds;         /* for which each figure is measured, at least once */
} tx_bench_options;

TX_API tx_bench_options tx_bench_defaults(void);

/* What the machine does at most, on the kernels' instruction set. */
typedef struct tx_bench_ceilings {
  double multiply_add; /* fp32, operations a second (a multiply-add is two) */
  double bytes;        /* the same of bytes */
  double memory;       /* bytes read a second */
} tx_bench_ceilings;

/* A product y (rows, outputs) = x (rows, inputs) . W^T at the shape of some of the model's
 * matrices, quantising x included.  One row is measured over weights that come from memory,
 * as one token at a time needs them: its rates are bytes of weights a second.  More rows are
 * measured over weights in the caches: operations a second. */
typedef struct tx_bench_product {
  const char *type; /* of the weights: "f32", "int8", or the file's own, "Q4_1" */
  int64_t rows, inputs, outputs;
  int threads;
  bool memory;              /* bytes of weights a second, else operations */
  double achieved, ceiling; /* medians of spells taken in turn */
  double share;             /* achieved / ceiling */
} tx_bench_product;

typedef struct tx_bench_speed {
  const char *precision; /* "f32", "int8", "file": the file's own values */
  int64_t size;          /* prefill: tokens of the text; decode: sequences at once */
  int64_t runs;
  double tokens_per_second; /* the median of the runs */
} tx_bench_speed;

/* Texts of the table through all blocks, from characters to the pooled state. */
typedef struct tx_bench_texts {
  const char *precision;
  int64_t texts, tokens, cut;
  double seconds, texts_per_second, tokens_per_second;
} tx_bench_texts;

typedef struct tx_bench_report {
  const char *kernels, *byte_kernels; /* "avx512", "vnni" */
  int threads;                        /* as many as were set */
  tx_bench_ceilings ceilings, one_thread;
  size_t product_count, prefill_count, decode_count, text_count;
  tx_bench_product *products;
  tx_bench_speed *prefill, *decode;
  tx_bench_texts *texts;
  int64_t peak_rss_bytes;
  void *owned; /* the memory behind the pointers above */
} tx_bench_report;

/* Measures the machine and a model on it.  Sets the number of threads meanwhile: no
 * other call may run. */
TX_API tx_status tx_bench(const tx_bench_options *options, tx_bench_report *report,
                          const tx_watch *watch, tx_error *error);
TX_API void tx_bench_report_free(tx_bench_report *report);

#ifdef __cplusplus
}
#endif

#endif
