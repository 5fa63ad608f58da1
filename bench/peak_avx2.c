/* The multiply-add peak: independent chains in registers, no memory at all.
 * Three files of one content, compiled for each instruction set; bench/peak.c
 * takes the one in use. */
#include <immintrin.h>

#include "peak.h"

#define VECTOR __m256
#define SET _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define ADD _mm256_add_ps
#define STORE _mm256_storeu_ps
#define LANES 8
#define NAME bench_chain_avx2
#include "peak_chain.h"
