/* A pool of threads for the parallel loop.
 *
 * The pool is the library's one mutable state: processors are the machine's, not
 * a handle's.  Its threads are started when a loop first needs them and sleep
 * between loops, after a spin that is as long as the gaps and the last tasks of one
 * pass through a model, whose loops follow each other closely.  Where processors are
 * shared a spin takes from the thread that is waited for: it shows in a wait that a
 * long spin does not end, and for many loops after one the spins are short.
 *
 * A loop is published as a round: its fields are written, then the door is opened
 * with as many places as threads may join.  A caller that finds no index left
 * closes the door and waits for those who went in; a thread that the system was
 * slow to wake finds it closed and delays nobody. */
#include "base/parallel.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "taxon.h"

/* SPINS: looks at a word before sleeping on it, a pause (about 40 ns) apart; FEW:
 * the same for CALM loops after a wait that SPINS did not end.
 * PATIENCE: loops between two attempts to start a thread after one has failed. */
#ifndef TX_SPINS /* another number is for measuring: bench/threads.py */
#define TX_SPINS 2500
#endif
enum { SPINS = TX_SPINS, FEW = 100, CALM = 1000, PATIENCE = 1000, LINE = 64 };

static atomic_int chosen; /* 0: as many as the machine offers */
static atomic_int offered; /* processors this process may use, once counted */

static struct {
  atomic_bool taken; /* a loop has the pool, or it is being changed */

  /* The round: written by who has taken the pool while the door is closed. */
  tx_task *task;
  void *context;
  int64_t count;
  int places; /* threads that may join the caller */

  /* Of who has taken the pool alone. */
  pthread_t threads[TX_MAX_THREADS];
  int started;
  int patience; /* loops to go before starting a thread is tried again */
  int calm;     /* loops to go with few spins */
  bool forks_are_seen;

  alignas(LINE) atomic_int_fast64_t next; /* the index to hand out */
  alignas(LINE) atomic_int door;          /* places left, 0: closed */
  atomic_int inside; /* joined and not left, once the door is closed; 0 at rest */
  alignas(LINE) atomic_int round; /* goes up when there is something to do */
  atomic_int sleepers;            /* threads that sleep on `round`, or are about to */
  atomic_bool ending;             /* threads shall return */
  atomic_bool hurried;            /* few spins */
} pool;

/* The worker that this thread is while it runs tasks, else 0. */
static _Thread_local int current;

/* ---- waiting ----------------------------------------------------------- */

static void sleep_while(atomic_int *word, int value) {
  (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake(atomic_int *word, int threads) {
  (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

/* True if the word changed while it was looked at. */
static bool spin_while(atomic_int *word, int value) {
  int spins = atomic_load_explicit(&pool.hurried, memory_order_relaxed) ? FEW : SPINS;
  for (int i = 0; i < spins; i++) {
    if (atomic_load(word) != value) return true;
    __builtin_ia32_pause();
  }
  return false;
}

/* ---- a thread of the pool ---------------------------------------------- */

static void run_tasks(int worker) {
  int before = current;
  current = worker;
  for (;;) {
    int64_t index = atomic_fetch_add_explicit(&pool.next, 1, memory_order_relaxed);
    if (index >= pool.count) break;
    pool.task(pool.context, index, worker);
  }
  current = before;
}

/* The number of places there were before this thread took one; 0: none. */
static int enter(void) {
  int places = atomic_load(&pool.door);
  while (places > 0 && !atomic_compare_exchange_weak(&pool.door, &places, places - 1)) continue;
  return places;
}

static void leave(void) {
  if (atomic_fetch_sub(&pool.inside, 1) == 1) wake(&pool.inside, 1);
}

static void *pool_thread(void *nothing) {
  for (;;) {
    /* Looked at before the door: a round that comes after is a changed number. */
    int round = atomic_load(&pool.round);
    if (atomic_load(&pool.ending)) return nothing;
    int place = enter();
    if (place > 0) {
      run_tasks(pool.places - place + 1);
      leave();
    } else if (!spin_while(&pool.round, round)) {
      atomic_fetch_add(&pool.sleepers, 1);
      sleep_while(&pool.round, round);
      atomic_fetch_sub(&pool.sleepers, 1);
    }
  }
}

static void announce(int threads) {
  atomic_fetch_add(&pool.round, 1);
  if (atomic_load(&pool.sleepers) > 0) wake(&pool.round, threads);
}

/* ---- the pool: for who has taken it ------------------------------------ */

static bool take(void) { return !atomic_exchange(&pool.taken, true); }

static void give_back(void) { atomic_store(&pool.taken, false); }

static void stop_threads(void) {
  atomic_store(&pool.ending, true);
  announce(pool.started);
  for (int i = 0; i < pool.started; i++) pthread_join(pool.threads[i], NULL);
  atomic_store(&pool.ending, false);
  pool.started = 0;
}

/* A child of fork() has one thread, and a pool as at the start of a program. */
static void forget_threads(void) {
  pool.started = 0;
  pool.patience = 0;
  pool.calm = 0;
  atomic_store(&pool.hurried, false);
  atomic_store(&pool.door, 0);
  atomic_store(&pool.inside, 0);
  atomic_store(&pool.sleepers, 0);
  atomic_store(&pool.ending, false);
  give_back();
}

/* Signals meant for the program are for threads of the program; a fault is its
 * thread's own and stays so. */
static bool start_thread(pthread_t *thread) {
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&blocked, faults[i]);
  if (pthread_sigmask(SIG_SETMASK, &blocked, &before) != 0) return false;
  int failure = pthread_create(thread, NULL, pool_thread, NULL);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return failure == 0;
}

static bool see_forks(void) {
  if (!pool.forks_are_seen) pool.forks_are_seen = pthread_atfork(NULL, NULL, forget_threads) == 0;
  return pool.forks_are_seen;
}

static void start_threads(int wanted) {
  if (pool.patience > 0) {
    pool.patience--;
    return;
  }
  while (pool.started < wanted) {
    if (!see_forks() || !start_thread(&pool.threads[pool.started])) {
      pool.patience = PATIENCE;
      return;
    }
    pool.started++;
  }
}

/* At the program's end, or when the library is unloaded.  The pool is not given
 * back: what is still called runs alone.  A loop that is still running, in another
 * thread or under this very exit(), keeps its threads. */
__attribute__((destructor)) static void end_pool(void) {
  if (take()) stop_threads();
}

/* ---- the loop ---------------------------------------------------------- */

static void run_alone(int64_t count, tx_task *task, void *context) {
  for (int64_t i = 0; i < count; i++) task(context, i, current);
}

/* Nobody is inside from here on: returns when the last has left. */
static void close_door(void) {
  int joined = pool.places - atomic_exchange(&pool.door, 0);
  int inside = atomic_fetch_add(&pool.inside, joined) + joined;
  bool slept = false;
  while (inside != 0) {
    if (!spin_while(&pool.inside, inside)) {
      sleep_while(&pool.inside, inside);
      slept = true;
    }
    inside = atomic_load(&pool.inside);
  }
  if (slept && pool.calm == 0) {
    pool.calm = CALM;
    atomic_store_explicit(&pool.hurried, true, memory_order_relaxed);
  } else if (pool.calm > 0 && --pool.calm == 0) {
    atomic_store_explicit(&pool.hurried, false, memory_order_relaxed);
  }
}

static void run_together(int64_t count, tx_task *task, void *context, int places) {
  pool.task = task;
  pool.context = context;
  pool.count = count;
  pool.places = places;
  atomic_store_explicit(&pool.next, 0, memory_order_relaxed);
  atomic_store(&pool.door, places);
  announce(places);
  run_tasks(0);
  close_door();
}

void tx_parallel(int64_t count, tx_task *task, void *context) {
  int threads = tx_threads();
  if (count <= 1 || threads <= 1 || !take()) {
    run_alone(count, task, context);
    return;
  }
  int places = (int)(count < threads ? count : threads) - 1;
  if (pool.started < places) start_threads(places);
  if (places > pool.started) places = pool.started;
  if (places > 0) {
    run_together(count, task, context, places);
  } else {
    run_alone(count, task, context);
  }
  give_back();
}

static void joined_task(void *context, int64_t index, int worker) {
  const tx_loop *loop = context;
  while (index >= loop->count) index -= loop++->count;
  loop->task(loop->context, index, worker);
}

void tx_parallel_all(const tx_loop *loops, int count) {
  int64_t tasks = 0;
  for (int i = 0; i < count; i++) tasks += loops[i].count;
  tx_parallel(tasks, joined_task, (void *)(uintptr_t)loops);
}

/* ---- how many ---------------------------------------------------------- */

/* Counted once: memory is made for tx_threads() workers before they run. */
static int processors(void) {
  int count = atomic_load(&offered);
  if (count > 0) return count;
  cpu_set_t set;
  count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                      : (int)sysconf(_SC_NPROCESSORS_ONLN);
  if (count < 1) count = 1;
  int none = 0;
  return atomic_compare_exchange_strong(&offered, &none, count) ? count : none;
}

int tx_threads(void) {
  int threads = atomic_load(&chosen);
  if (threads == 0) threads = processors();
  return threads < 1 ? 1 : threads > TX_MAX_THREADS ? TX_MAX_THREADS : threads;
}

void tx_set_threads(int threads) {
  atomic_store(&chosen, threads > 0 ? threads : 0);
  if (!take()) return; /* while a loop runs, which is against the rule: it keeps its threads */
  if (pool.started > tx_threads() - 1) stop_threads();
  pool.patience = 0;
  give_back();
}
