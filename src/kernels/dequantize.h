/* From the file's forms of weights to fp32, value for value as ggml defines
 * them (the same bits as the `gguf` package's reference).  Which tensor holds
 * what is left to the model. */
#ifndef TX_KERNELS_DEQUANTIZE_H
#define TX_KERNELS_DEQUANTIZE_H

#include <stdbool.h>
#include <stdint.h>

/* `type` is ggml's number (formats/gguf.h); `count` a multiple of the type's
 * block; `blocks` holds count / block blocks; `values`: (count).
 * false for a type that has no fp32 meaning (I32, I64, unknown). */
bool tx_dequantize(uint32_t type, const void *blocks, int64_t count, float *values);

#endif
