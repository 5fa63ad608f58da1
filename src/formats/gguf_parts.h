/* What the two halves of the GGUF reader share: the handle, the types of values,
 * and how both speak of a broken file.  Only gguf*.c include this. */
#ifndef TX_FORMATS_GGUF_PARTS_H
#define TX_FORMATS_GGUF_PARTS_H

#include "base/cursor.h"
#include "formats/file.h"
#include "formats/gguf.h"
#include "formats/names.h"

typedef enum tx_gguf_value_type {
  TX_GGUF_U8,
  TX_GGUF_I8,
  TX_GGUF_U16,
  TX_GGUF_I16,
  TX_GGUF_U32,
  TX_GGUF_I32,
  TX_GGUF_F32,
  TX_GGUF_BOOL,
  TX_GGUF_STRING,
  TX_GGUF_ARRAY,
  TX_GGUF_U64,
  TX_GGUF_I64,
  TX_GGUF_F64,
  TX_GGUF_TYPES
} tx_gguf_value_type;

typedef struct tx_gguf_value_fact {
  const char *one, *many; /* as a sentence wants it */
  uint32_t size;          /* bytes; 0: no fixed size */
} tx_gguf_value_fact;
extern const tx_gguf_value_fact tx_gguf_value_facts[TX_GGUF_TYPES];

typedef struct tx_gguf_entry {
  uint8_t type, element; /* tx_gguf_value_type; `element` of arrays only */
  uint64_t at;           /* of the value; of an array its first element */
  uint64_t count;        /* of an array */
  tx_text *strings;      /* of an array of strings, once asked for */
} tx_gguf_entry;

struct tx_gguf {
  char *path;
  tx_map map; /* closed with the handle; empty when the bytes are borrowed */
  const unsigned char *data;
  uint64_t size;
  uint32_t alignment;
  tx_names keys, tensor_names;
  tx_gguf_entry *entries; /* (keys.count) */
  tx_tensor *tensors;     /* (tensor_names.count) */
  char *name_copies;      /* the NUL-terminated names of the tensors */
};

enum { TX_GGUF_SHOWN = 64 /* bytes of a name in a message */ };
typedef struct tx_gguf_shown {
  char text[TX_GGUF_SHOWN + 4];
} tx_gguf_shown;

/* A name of the file as a message can carry it: short, and no control bytes. */
tx_gguf_shown tx_gguf_show(tx_text name);

/* Every message about the file's contents names the file and a byte of it. */
#define BROKEN(gguf, at, ...) tx_fail_byte(error, TX_ERROR_INPUT, (gguf)->path, at, __VA_ARGS__)

/* The length, then the bytes, at most `limit`.  `what` names it for messages. */
tx_status tx_gguf_read_string(tx_cursor *cursor, uint64_t limit, const char *what, tx_text *text);

#endif
