/* The nineteen rows: what each changes, what was published of it, and what it teaches. */
#include "tasks/ablate.h"

/* What the head of --method lora is scaled by: the original adds alpha * x A B, without the
 * division by the rank, which tx_train_options.alpha has. */
enum { RANK = 16, LORA_FACTOR = 16, LARGEST_LORA_FACTOR = 8 };

static const tx_ablation_recipe recipes[TX_ABLATION_ROWS] = {
    {"reference", "nothing: the reference", TX_ABLATION_BASE, 0, 0, 96.63, 99.33, 95.00, 0.28, NULL,
     NULL},
    {"first-token", "the first token is pooled", TX_ABLATION_BASE, 1, 0, 78.46, 80.54, 75.00, 0.28,
     "The first token's state does better than the last one's.",
     "A token sees only those before it, so the state of the first one knows nothing of the text."},
    {"head", "only the head is trained", TX_ABLATION_BASE, 1, 0, 78.65, 79.87, 72.00, 0.25,
     "The head alone does better than with the last block.",
     "In so many steps a head alone does not get as far as with its block."},
    {"two-blocks", "the last two blocks are trained", TX_ABLATION_BASE, 1, 0, 98.85, 98.66, 98.33,
     0.33, "A second trained block is worth its cost.", "A second trained block does harm."},
    {"full", "all blocks are trained", TX_ABLATION_BASE, 1, 0, 99.62, 96.64, 96.67, 0.69,
     "Training all blocks is worth more than training the last one.",
     "Training all blocks does worse than training the last one."},
    {"larger", "a larger model", TX_ABLATION_LARGER, 1, 0, 87.50, 91.28, 84.67, 0.75,
     "The larger model does better by the same recipe.",
     "A larger model is not better by its size: the same recipe does worse with it."},
    {"second-larger", "a larger model, the second", TX_ABLATION_SECOND, 1, 0, 99.52, 98.66, 96.67,
     1.50, "The larger model does better by the same recipe.",
     "A larger model is not better by its size: the same recipe does worse with it."},
    {"third-larger", "a larger model, the third", TX_ABLATION_THIRD, 1, 0, 99.81, 99.81, 98.33,
     2.83, "The larger model does better by the same recipe.",
     "A larger model is not better by its size: the same recipe does worse with it."},
    {"largest-full", "largest model, all blocks", TX_ABLATION_LARGEST, 5, 0, 100.00, 98.66, 98.67,
     8.12, "Trained as a whole, the largest model does better.",
     "Trained as a whole, the largest model does worse."},
    {"random-weights", "random weights, all blocks", TX_ABLATION_BASE, 5, 0, 100.00, 96.64, 93.67,
     0.69, "From random weights the same training gets further.",
     "What the model learned before counts: from random weights the same training gets less far."},
    {"lora", "LoRA of rank 16", TX_ABLATION_BASE, 5, 0, 100.00, 97.32, 96.67, 0.75,
     "Low-rank adapters do better than training all weights.",
     "Low-rank adapters do not get as far as training all weights."},
    {"largest-lora", "largest model, LoRA of rank 16", TX_ABLATION_LARGEST, 9, 0, 100.00, 98.66,
     98.33, 5.79, "Low-rank adapters do better than training all weights of the largest model.",
     "Low-rank adapters do not get as far as training all weights of the largest model."},
    {"context", "padded to the context length", TX_ABLATION_BASE, 1, 0, 83.08, 87.92, 78.33, 2.46,
     "Padding to the context length does better than to the longest text.",
     "Padding costs accuracy: the more of it stands between a text and the pooled token, the "
     "more."},
    {"no-padding", "no padding, batch 1", TX_ABLATION_BASE, 1, 0, 100.00, 98.66, 98.00, 1.75,
     "Without padding, and with a step for each text, it does better.",
     "Without padding, and with a step for each text, it does worse."},
    {"accumulate", "no padding, batch 1, accumulated", TX_ABLATION_BASE, 1, 0, 99.33, 98.66, 98.33,
     1.70, "Without padding the pooled token is the text's own last one: that does better.",
     "Without padding it does worse."},
    {"last-real-token", "the last token before the padding", TX_ABLATION_BASE, 1, 0, 99.42, 98.66,
     98.33, 0.30, "The token before the padding tells more than the last padding token.",
     "The token before the padding tells less than the last padding token."},
    {"two-way", "no causal mask", TX_ABLATION_BASE, 1, 0, 99.23, 98.66, 95.33, 0.29,
     "Sight of what follows helps, though the model never had it before.",
     "The model was not made to see what follows: without its mask it does worse."},
    {"ignore-padding", "padding is ignored in the loss", TX_ABLATION_BASE, 0, 1, 96.63, 99.33,
     95.00, 0.28, NULL, NULL},
    {"mean", "the mean over all tokens", TX_ABLATION_BASE, 1, 0, 97.79, 99.33, 96.33, 0.32,
     "The mean over all tokens, padding too, tells more than the last one alone.",
     "The mean over all tokens, padding too, tells less than the last one alone."},
};

const tx_ablation_recipe *tx_ablation_recipe_of(int number) { return &recipes[number - 1]; }

/* Row 1: the book's recipe.  Its optimiser has no warm-up, no schedule and no clipping, and
 * it never stops early. */
static tx_train_options reference(const tx_ablation *a, const tx_ablation_model *model) {
  const tx_ablation_options *o = a->options;
  tx_train_options to = tx_train_defaults();
  to.model = model->name;
  to.data = a->train_path, to.validation = a->validation_path;
  to.table = o->table;
  to.method = TX_METHOD_LAST_BLOCK, to.blocks = 1;
  to.pooling = TX_POOLING_LAST;
  to.head_solver = TX_HEAD_SGD;
  to.epochs = to.patience = o->epochs;
  to.batch = o->batch;
  to.learning_rate = o->learning_rate;
  to.weight_decay = 0.1;
  to.warm_up = 0, to.clip = 0, to.schedule = TX_SCHEDULE_CONSTANT;
  to.pad_to = to.max_tokens = model->longest;
  to.cache_mb = o->cache_mb;
  to.measure_training = true;
  return to;
}

static void train_all(tx_train_options *to, tx_method method, double factor) {
  to->method = method, to->blocks = 0;
  to->rank = RANK, to->alpha = factor * RANK;
}

tx_train_options tx_ablation_settings(const tx_ablation *a, int number,
                                      const tx_ablation_model *model, uint64_t seed) {
  tx_train_options to = reference(a, model);
  int64_t context = a->options->context < model->context ? a->options->context : model->context;
  to.seed = seed;
  switch (number) {
    case 2: to.pooling = TX_POOLING_FIRST; break;
    case 3: to.method = TX_METHOD_HEAD, to.blocks = 0; break;
    case 4: to.blocks = 2; break;
    case 5:
    case 9: train_all(&to, TX_METHOD_FULL, 1); break;
    case 10: train_all(&to, TX_METHOD_FULL, 1), to.init = TX_INIT_RANDOM; break;
    case 11: train_all(&to, TX_METHOD_LORA, LORA_FACTOR); break;
    case 12: train_all(&to, TX_METHOD_LORA, LARGEST_LORA_FACTOR); break;
    case 13: to.pad_to = to.max_tokens = context; break;
    case 14: to.pad_to = to.max_tokens = 0, to.batch = 1; break;
    case 15: to.pad_to = to.max_tokens = 0, to.batch = 1, to.accumulate = a->options->batch; break;
    /* With a causal mask padding after a text cannot reach it: as if there were none. */
    case 16: to.pad_to = 0; break;
    case 17: to.attention = TX_ATTENTION_TWO_WAY; break;
    case 19: to.pooling = TX_POOLING_MEAN; break;
    default: break; /* 1; 6 to 8, whose model is another; 18, which is row 1 */
  }
  return to;
}

const char *tx_ablation_obstacle(tx_ablation *a, int number) {
  const tx_ablation_recipe *recipe = tx_ablation_recipe_of(number);
  const tx_ablation_model *model = tx_ablation_model_of(a, recipe->size);
  if (!model) return "no larger model is at hand: name one by --models, or pull one";
  if (number == 4 && model->blocks < 2) return "the model has one block";
  return NULL;
}
