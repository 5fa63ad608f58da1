/* Packing: words of four values are moved, never changed but for the place of
 * their bits, so what is multiplied is exactly what the file holds.
 * Sources of the blocks' layout: ggml-quants.c and the `gguf` package (quants.py). */
#include "kernels/grouped_pack.h"

#include <string.h>

#include "kernels/grouped_types.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are little-endian");

enum { QUADS = TX_GROUP / 4 };
enum { /* in a Q4_K block */ Q4_K_SCALES = 4, Q4_K_VALUES = 16 };
enum { /* in a Q6_K block */ Q6_K_UPPER = 128, Q6_K_SCALES = 192, Q6_K_D = 208 };
#define EACH_LOW_NIBBLE 0x0f0f0f0fu
#define EACH_PAIR 0x03030303u

static inline uint32_t load_word(const unsigned char *at) {
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

/* Quad `quad` of output n of a part of the panel. */
static inline void store_word(unsigned char *at, int quad, int64_t n, uint32_t word) {
  memcpy(at + (quad * TX_GROUPED_OUTPUTS + n) * 4, &word, sizeof word);
}

static inline void store_half(unsigned char *at, int64_t n, const unsigned char *half) {
  memcpy(at + 2 * n, half, 2);
}

/* The nibbles of Q4_0 and its kin stand in the file as they do in a panel: value i
 * in the low half of byte i, value i + 16 in the high one. */
static inline void pack_nibbles(const unsigned char *from, int64_t n, unsigned char *group) {
  for (int q = 0; q < QUADS / 2; q++) store_word(group, q, n, load_word(from + 4 * q));
}

static void pack_q4_0(const unsigned char *from, int64_t n, unsigned char *group) {
  pack_nibbles(from + 2, n, group);
  store_half(group + scales_at(TYPE_Q4_0), n, from);
}

static void pack_q4_1(const unsigned char *from, int64_t n, unsigned char *group) {
  pack_nibbles(from + 4, n, group);
  store_half(group + scales_at(TYPE_Q4_1), n, from);
  store_half(group + scales_at(TYPE_Q4_1) + HALVES, n, from + 2);
}

/* In the file the fifth bit of value i is bit i; here byte k of an output has
 * those of values k, k + 4, k + 8 and so on. */
static void pack_q5_0(const unsigned char *from, int64_t n, unsigned char *group) {
  uint32_t bits = load_word(from + 2), word = 0;
  for (int q = 0; q < QUADS; q++) {
    uint32_t four = bits >> (4 * q) & 15; /* one bit to each byte */
    word |= (four * 0x00204081u & 0x01010101u) << q;
  }
  pack_nibbles(from + 6, n, group);
  store_word(group + NIBBLE_BYTES, 0, n, word);
  store_half(group + scales_at(TYPE_Q5_0), n, from);
}

/* As q + 128, because VPDPBUSD takes one factor unsigned. */
static void pack_q8_0(const unsigned char *from, int64_t n, unsigned char *group) {
  for (int q = 0; q < QUADS; q++) {
    store_word(group, q, n, load_word(from + 2 + 4 * q) ^ 0x80808080u);
  }
  store_half(group + scales_at(TYPE_Q8_0), n, from);
}

/* Scale and minimum of group j: see dequantize.c. */
static inline void q4_k_scales(const unsigned char *scales, int j, unsigned char *scale,
                               unsigned char *minimum) {
  if (j < 4) {
    *scale = scales[j] & 63;
    *minimum = scales[j + 4] & 63;
  } else {
    *scale = (unsigned char)((scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4));
    *minimum = (unsigned char)((scales[j + 4] >> 4) | ((scales[j] >> 6) << 4));
  }
}

static void pack_q4_k(const unsigned char *from, int64_t n, unsigned char *at) {
  store_half(at, n, from);
  store_half(at + HALVES, n, from + 2);
  at += super_bytes(TYPE_Q4_K);
  for (int j = 0; j < SUPER_GROUPS; j++, at += group_bytes(TYPE_Q4_K)) {
    const unsigned char *values = from + Q4_K_VALUES + j / 2 * TX_GROUP;
    int shift = j % 2 * 4;
    for (int q = 0; q < QUADS / 2; q++) {
      uint32_t low = load_word(values + 4 * q) >> shift & EACH_LOW_NIBBLE;
      uint32_t high = load_word(values + 4 * (q + QUADS / 2)) >> shift & EACH_LOW_NIBBLE;
      store_word(at, q, n, low | high << 4);
    }
    unsigned char *scales = at + scales_at(TYPE_Q4_K);
    q4_k_scales(from + Q4_K_SCALES, j, scales + n, scales + TX_GROUPED_OUTPUTS + n);
  }
}

/* Group j of a block: its low nibbles are in 32 bytes, its upper pairs in 32. */
static void pack_q6_k(const unsigned char *from, int64_t n, unsigned char *at) {
  store_half(at, n, from + Q6_K_D);
  at += super_bytes(TYPE_Q6_K);
  for (int j = 0; j < SUPER_GROUPS; j++, at += group_bytes(TYPE_Q6_K)) {
    const unsigned char *values = from + j / 4 * 64 + j % 2 * TX_GROUP;
    const unsigned char *upper = from + Q6_K_UPPER + j / 4 * TX_GROUP;
    int shift = j % 4 / 2 * 4;
    uint32_t pairs[2] = {0, 0};
    for (int q = 0; q < QUADS / 2; q++) {
      uint32_t low = load_word(values + 4 * q) >> shift & EACH_LOW_NIBBLE;
      uint32_t high = load_word(values + 4 * (q + QUADS / 2)) >> shift & EACH_LOW_NIBBLE;
      store_word(at, q, n, low | high << 4);
    }
    for (int q = 0; q < QUADS; q++) {
      pairs[q / 4] |= (load_word(upper + 4 * q) >> (j % 4 * 2) & EACH_PAIR) << (q % 4 * 2);
    }
    for (int half = 0; half < 2; half++) store_word(at + NIBBLE_BYTES, half, n, pairs[half]);
    unsigned char *scales = at + scales_at(TYPE_Q6_K);
    scales[n] = from[Q6_K_SCALES + 2 * j];
    scales[TX_GROUPED_OUTPUTS + n] = from[Q6_K_SCALES + 2 * j + 1];
  }
}

typedef void pack_block(const unsigned char *from, int64_t n, unsigned char *at);

/* A type's blocks: groups and bytes of one in the file, bytes of one in a panel. */
typedef struct {
  pack_block *pack;
  int64_t groups, file_bytes, bytes;
} layout;

static layout layout_of(uint32_t type) {
  int64_t groups = is_super(type) ? SUPER_GROUPS : 1;
  int64_t bytes = super_bytes(type) + groups * group_bytes(type);
  switch (type) {
    case TYPE_Q4_0: return (layout){pack_q4_0, groups, 18, bytes};
    case TYPE_Q4_1: return (layout){pack_q4_1, groups, 20, bytes};
    case TYPE_Q5_0: return (layout){pack_q5_0, groups, 22, bytes};
    case TYPE_Q8_0: return (layout){pack_q8_0, groups, 34, bytes};
    case TYPE_Q4_K: return (layout){pack_q4_k, groups, 144, bytes};
    default: return (layout){pack_q6_k, groups, 210, bytes};
  }
}

int64_t tx_grouped_file_bytes(uint32_t type, int64_t groups) {
  layout l = layout_of(type);
  return groups / l.groups * l.file_bytes;
}

void tx_grouped_pack_panel(uint32_t type, const unsigned char *blocks, int64_t depth,
                           int64_t columns, unsigned char *panel) {
  layout l = layout_of(type);
  int64_t count = depth / TX_GROUP / l.groups;
  if (columns < TX_GROUPED_OUTPUTS) memset(panel, 0, (size_t)(count * l.bytes));
  for (int64_t b = 0; b < count; b++) {
    for (int64_t n = 0; n < columns; n++) {
      l.pack(blocks + (n * count + b) * l.file_bytes, n, panel + b * l.bytes);
    }
  }
}
