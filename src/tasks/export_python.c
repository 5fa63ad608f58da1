/* modeling_taxon.py: transformers' own model, with taxon's pooling and a head with a bias. */
#include <string.h>

#include "base/buffer.h"
#include "tasks/export_hf.h"

/* $CONFIG, $PARENT, $MODEL are transformers' classes, $ATTRIBUTE is what it calls the model,
 * $TYPE the model type. */
static const char source[] =
    "\"\"\"A text classifier that was written by taxon export: transformers' model, its states\n"
    "pooled over the tokens that the attention mask keeps, and a linear head with a bias.\n"
    "\n"
    "    AutoModelForSequenceClassification.from_pretrained(FOLDER, trust_remote_code=True)\n"
    "\"\"\"\n"
    "import torch\n"
    "from torch import nn\n"
    "from transformers import $CONFIG, $PARENT, $MODEL\n"
    "from transformers.modeling_outputs import SequenceClassifierOutput\n"
    "\n"
    "\n"
    "class TaxonConfig($CONFIG):\n"
    "    model_type = \"$TYPE\"\n"
    "\n"
    "\n"
    "def pool(states, mask, pooling):\n"
    "    \"\"\"states (B, T, C), mask (B, T) of 0 and 1 -> (B, C), of \"both\" (B, 2 C).\"\"\"\n"
    "    rows = torch.arange(states.shape[0], device=states.device)\n"
    "    places = torch.arange(states.shape[1], device=states.device)\n"
    "    parts = []\n"
    "    if pooling == \"first\":\n"
    "        parts.append(states[rows, mask.argmax(-1)])\n"
    "    if pooling in (\"last\", \"both\"):\n"
    "        parts.append(states[rows, (mask * places).argmax(-1)])\n"
    "    if pooling in (\"mean\", \"both\"):\n"
    "        weight = mask.to(states.dtype).unsqueeze(-1)\n"
    "        parts.append((states * weight).sum(1) / weight.sum(1).clamp(min=1))\n"
    "    return torch.cat(parts, -1)\n"
    "\n"
    "\n"
    "class TaxonForSequenceClassification($PARENT):\n"
    "    config_class = TaxonConfig\n"
    "    base_model_prefix = \"$ATTRIBUTE\"\n"
    "\n"
    "    def __init__(self, config):\n"
    "        super().__init__(config)\n"
    "        self.num_labels = config.num_labels\n"
    "        self.$ATTRIBUTE = $MODEL(config)\n"
    "        parts = 2 if config.pooling == \"both\" else 1\n"
    "        self.score = nn.Linear(parts * config.hidden_size, config.num_labels)\n"
    "        self.post_init()\n"
    "\n"
    "    def forward(self, input_ids=None, attention_mask=None, labels=None, inputs_embeds=None,\n"
    "                return_dict=True, **kwargs):\n"
    "        given = input_ids if input_ids is not None else inputs_embeds\n"
    "        mask = attention_mask\n"
    "        if mask is None:\n"
    "            mask = torch.ones(given.shape[:2], dtype=torch.long, device=given.device)\n"
    "        mask = mask.long()\n"
    "        positions = (mask.cumsum(-1) - 1).clamp(min=0)\n"
    "        states = self.$ATTRIBUTE(input_ids=input_ids, inputs_embeds=inputs_embeds,\n"
    "                            attention_mask=mask, position_ids=positions,\n"
    "                            use_cache=False).last_hidden_state\n"
    "        logits = self.score(pool(states, mask, self.config.pooling))\n"
    "        loss = None\n"
    "        if labels is not None and self.config.problem_type == "
    "\"multi_label_classification\":\n"
    "            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.float())\n"
    "        elif labels is not None:\n"
    "            loss = nn.functional.cross_entropy(logits, labels)\n"
    "        if not return_dict:\n"
    "            return (logits,) if loss is None else (loss, logits)\n"
    "        return SequenceClassifierOutput(loss=loss, logits=logits)\n";

typedef struct {
  const char *word, *llama, *gpt2;
} word;

static const word words[] = {{"$CONFIG", "LlamaConfig", "GPT2Config"},
                             {"$PARENT", "LlamaPreTrainedModel", "GPT2PreTrainedModel"},
                             {"$MODEL", "LlamaModel", "GPT2Model"},
                             {"$ATTRIBUTE", "model", "transformer"},
                             {"$TYPE", "taxon_llama", "taxon_gpt2"}};

static const word *find_word(const char *at) {
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (strncmp(at, words[i].word, strlen(words[i].word)) == 0) return &words[i];
  }
  return NULL;
}

tx_status tx_hf_write_python(tx_exporting *e, tx_error *error) {
  bool gpt2 = strcmp(tx_model_facts(e->model)->architecture->name, "gpt2") == 0;
  tx_buffer text = {0};
  const char *at = source;
  while (*at) {
    const word *found = *at == '$' ? find_word(at) : NULL;
    if (found) {
      tx_buffer_append_string(&text, gpt2 ? found->gpt2 : found->llama);
      at += strlen(found->word);
    } else {
      tx_buffer_append_byte(&text, *at++);
    }
  }
  tx_status status = text.failed ? tx_fail_memory(error, sizeof source, "a Python file")
                                 : tx_export_text(e, "modeling_taxon.py", text.data, text.size,
                                                  error);
  tx_buffer_free(&text);
  return status;
}
