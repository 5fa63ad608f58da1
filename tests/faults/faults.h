/* Calls to the system and to the allocator that fail when they are told to.
 *
 * shim.c stands in for them in the program that it is linked into, for that
 * program's own calls and for those of the shared libraries that it uses. */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum faults_kind {
  FAULTS_ALLOC,  /* malloc, calloc, realloc and kin: ENOMEM */
  FAULTS_READ,   /* read, pread, getrandom, and stdio's reads of a named file: EIO */
  FAULTS_WRITE,  /* write, posix_fallocate, ftruncate, and stdio's writes to standard output:
                    ENOSPC */
  FAULTS_SYNC,   /* fsync, fdatasync: EIO */
  FAULTS_RENAME, /* rename, renameat, linkat: EIO */
  FAULTS_MAP,    /* mmap: ENOMEM */
  FAULTS_THREAD, /* pthread_create: EAGAIN */
  FAULTS_OPEN,   /* open, openat, fopen, opendir, mkstemp: EMFILE; mkdir: ENOSPC */
  FAULTS_CLOSE,  /* close: EIO, and the descriptor is gone */
  FAULTS_KINDS
} faults_kind;

/* What shall fail, and what was counted: in memory that a forked child shares. */
typedef struct faults_plan {
  int kind;   /* FAULTS_KINDS: nothing fails */
  int64_t at; /* the call to fail, from 1; 0: none */
  bool for_good; /* and all of that kind after it */
  bool armed;    /* calls are counted */
  bool traced;   /* the first call that fails shows on standard error where it was made */
  atomic_int_fast64_t calls[FAULTS_KINDS];
  atomic_int_fast64_t failed;          /* calls that did */
  atomic_int_fast64_t by_libraries;    /* blocks that a library asked for */
  atomic_int_fast64_t own, foreign;    /* blocks in use, asked for by the program or by a library */
} faults_plan;

extern faults_plan *faults; /* NULL: nothing is counted, nothing fails */

/* Standard output through calls that are counted; false: no memory. */
bool faults_take_output(void);

#endif
