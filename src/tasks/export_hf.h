/* What transformers calls a model's tensors, how it lays them out, and what it wants to
 * know of a model: shared by the safetensors and the PEFT export. */
#ifndef TX_TASKS_EXPORT_HF_H
#define TX_TASKS_EXPORT_HF_H

#include "formats/safetensors_write.h"
#include "tasks/export.h"

enum { TX_HF_NAME = 160 };

typedef enum tx_hf_layout {
  TX_HF_AS_IS,
  TX_HF_HALVES,     /* rows of a head: what turns together stands half a head apart there,
                       side by side in a llama file */
  TX_HF_TRANSPOSED, /* (inputs, outputs): GPT-2's Conv1D */
} tx_hf_layout;

/* "model.layers.3.self_attn.q_proj.weight" for "blk.3.attn_q.weight"; false: there is no
 * such tensor there. */
bool tx_hf_name(const tx_facts *facts, const char *tensor, char name[TX_HF_NAME]);
tx_hf_layout tx_hf_layout_of(const tx_facts *facts, const tx_merged *merged);

/* The row of a llama file's matrix, of heads of size D, that is row `row` there. */
int64_t tx_hf_row(int64_t row, int64_t head_size);

/* "PREFIXscore.weight" and "PREFIXscore.bias". */
tx_status tx_hf_add_head(tx_exporting *e, const char *prefix, tx_safetensors *writer,
                         tx_error *error);

/* config.json: of a classifier, or of a language model.  And of a classifier the Python
 * file that its config names. */
tx_status tx_hf_write_config(tx_exporting *e, bool tied, tx_error *error);
tx_status tx_hf_write_python(tx_exporting *e, tx_error *error);

/* tokenizer.json and tokenizer_config.json, of a language model generation_config.json. */
tx_status tx_hf_write_tokenizer(tx_exporting *e, tx_error *error);

/* What transformers' model of this name would compute otherwise. */
tx_status tx_hf_check(const tx_exporting *e, tx_error *error);

/* A text as a key, which holds no NUL.  Takes `value`; false: out of memory. */
bool tx_hf_put_text(json_t *object, tx_text key, json_t *value);

/* Those of `names` (ends with NULL) that may not be written are told before the work. */
tx_status tx_hf_check_files(tx_exporting *e, const char *const *names, tx_error *error);

#endif
