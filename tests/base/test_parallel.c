/* The pool of threads: each index once, whoever calls, however many threads there
 * are, can be started, or are left after a fork. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/parallel.h"
#include "taxon.h"

enum { MOST = 4, TASKS = 500 };

/* ---- a loop that is checked -------------------------------------------- */

typedef struct loop {
  atomic_int visits[TASKS];
  atomic_int at_work[MOST]; /* by worker's number: 0 or 1 */
  atomic_int wrong;         /* a number out of range, or two tasks at once under one */
  int64_t scratch[MOST];    /* by worker's number, unguarded, as callers use it */
} loop;

static void visit(void *context, int64_t index, int worker) {
  loop *l = context;
  if (worker < 0 || worker >= tx_threads() || worker >= MOST) {
    atomic_fetch_add(&l->wrong, 1);
    return;
  }
  if (atomic_fetch_add(&l->at_work[worker], 1) != 0) atomic_fetch_add(&l->wrong, 1);
  l->scratch[worker]++;
  atomic_fetch_add(&l->visits[index], 1);
  atomic_fetch_sub(&l->at_work[worker], 1);
}

/* The number of faults of a loop of `count`. */
static int run_loop(int64_t count) {
  loop l;
  memset(&l, 0, sizeof l);
  tx_parallel(count, visit, &l);
  int64_t done = 0;
  for (int i = 0; i < MOST; i++) done += l.scratch[i];
  int wrong = atomic_load(&l.wrong) + (done != count);
  for (int i = 0; i < TASKS; i++) wrong += atomic_load(&l.visits[i]) != (i < count);
  return wrong;
}

static void test_each_index_once(void **state) {
  (void)state;
  for (int round = 0; round < 200; round++) {
    for (int threads = 1; threads <= MOST; threads++) {
      tx_set_threads(threads);
      assert_int_equal(run_loop(round % 7), 0);
      assert_int_equal(run_loop(TASKS), 0);
    }
  }
  tx_set_threads(0);
}

static void count_visit(void *context, int64_t index, int worker) {
  (void)worker;
  atomic_fetch_add((atomic_int *)context + index, 1);
}

/* Several loops at once, empty ones among them. */
static void test_loops_together(void **state) {
  (void)state;
  static const int64_t counts[] = {0, 3, 1, 0, 0, 40, 0};
  enum { LOOPS = sizeof counts / sizeof *counts };
  for (int threads = 1; threads <= MOST; threads++) {
    tx_set_threads(threads);
    for (int used = 0; used <= LOOPS; used++) {
      atomic_int visits[LOOPS][TASKS];
      tx_loop loops[LOOPS];
      memset(visits, 0, sizeof visits);
      for (int i = 0; i < LOOPS; i++) loops[i] = (tx_loop){counts[i], count_visit, visits[i]};
      tx_parallel_all(loops, used);
      for (int i = 0; i < LOOPS; i++) {
        for (int64_t t = 0; t < TASKS; t++) {
          assert_int_equal(atomic_load(&visits[i][t]), i < used && t < counts[i]);
        }
      }
    }
  }
  tx_set_threads(0);
}

static void test_no_index_at_all(void **state) {
  (void)state;
  tx_set_threads(3);
  assert_int_equal(run_loop(0), 0);
  tx_parallel(-5, visit, NULL);
  tx_set_threads(0);
}

static void test_threads_asked_for(void **state) {
  (void)state;
  tx_set_threads(3);
  assert_int_equal(tx_threads(), 3);
  tx_set_threads(TX_MAX_THREADS + 1);
  assert_int_equal(tx_threads(), TX_MAX_THREADS);
  tx_set_threads(-1);
  assert_in_range(tx_threads(), 1, TX_MAX_THREADS);
  tx_set_threads(0);
}

/* ---- calls within calls, calls side by side ---------------------------- */

typedef struct nest {
  atomic_int wrong, inner;
} nest;

typedef struct inner_call {
  nest *of;
  pthread_t thread;
  int worker;
} inner_call;

static void inner(void *context, int64_t index, int worker) {
  inner_call *call = context;
  (void)index;
  if (worker != call->worker || !pthread_equal(pthread_self(), call->thread)) {
    atomic_fetch_add(&call->of->wrong, 1);
  }
  atomic_fetch_add(&call->of->inner, 1);
}

static void outer(void *context, int64_t index, int worker) {
  (void)index;
  inner_call call = {context, pthread_self(), worker};
  tx_parallel(3, inner, &call);
}

static void test_inside_a_task_it_is_one_thread(void **state) {
  (void)state;
  nest n = {.inner = 0};
  tx_set_threads(MOST);
  tx_parallel(100, outer, &n);
  assert_int_equal(atomic_load(&n.wrong), 0);
  assert_int_equal(atomic_load(&n.inner), 300);
  tx_set_threads(0);
}

static void *call_often(void *count) {
  intptr_t wrong = 0;
  for (int i = 0; i < 300; i++) wrong += run_loop(*(int64_t *)count);
  return (void *)wrong;
}

/* More callers than the library may use threads. */
static void test_many_callers_at_once(void **state) {
  (void)state;
  tx_set_threads(2);
  pthread_t threads[6];
  int64_t counts[] = {1, 2, 3, 50, 200, TASKS};
  for (int i = 0; i < 6; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, call_often, &counts[i]), 0);
  }
  for (int i = 0; i < 6; i++) {
    void *wrong;
    assert_int_equal(pthread_join(threads[i], &wrong), 0);
    assert_null(wrong);
  }
  tx_set_threads(0);
}

/* ---- signals ----------------------------------------------------------- */

typedef struct meeting {
  atomic_int there, interrupts_here, faults_blocked;
} meeting;

/* Two tasks that wait for each other: two threads. */
static void meet(void *context, int64_t index, int worker) {
  meeting *m = context;
  (void)index;
  atomic_fetch_add(&m->there, 1);
  while (atomic_load(&m->there) < 2) continue;
  if (worker == 0) return;
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, NULL, &blocked);
  if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGUSR1)) {
    atomic_fetch_add(&m->interrupts_here, 1);
  }
  if (sigismember(&blocked, SIGSEGV)) atomic_fetch_add(&m->faults_blocked, 1);
}

static void test_signals_stay_with_the_caller(void **state) {
  (void)state;
  tx_set_threads(2);
  meeting m = {.there = 0};
  tx_parallel(2, meet, &m);
  assert_int_equal(atomic_load(&m.interrupts_here), 0);
  assert_int_equal(atomic_load(&m.faults_blocked), 0);
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, NULL, &blocked);
  assert_false(sigismember(&blocked, SIGINT));
  tx_set_threads(0);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

#ifndef SANITIZED

/* ---- threads that cannot be started ------------------------------------ */

static int starts_allowed = -1; /* -1: any */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (starts_allowed == 0) return EAGAIN;
  if (starts_allowed > 0) starts_allowed--;
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
  return real(thread, attributes, start, argument);
}

static void test_a_thread_cannot_be_started(void **state) {
  (void)state;
  for (int allowed = 0; allowed < MOST; allowed++) {
    tx_set_threads(1); /* the pool is empty */
    tx_set_threads(MOST);
    starts_allowed = allowed;
    for (int i = 0; i < 20; i++) assert_int_equal(run_loop(TASKS), 0);
    assert_int_equal(starts_allowed, 0);
  }
  starts_allowed = -1;
  tx_set_threads(1);
  tx_set_threads(2);
  meeting m = {.there = 0}; /* and when it can again, it is */
  tx_parallel(2, meet, &m);
  assert_int_equal(atomic_load(&m.there), 2);
  tx_set_threads(0);
}

/* ---- fork -------------------------------------------------------------- */

/* Ends the child with 0 if its loops are right, and by exit() if it may. */
static int child_of_fork(int count, bool leave_at_once) {
  pid_t child = fork();
  if (child == 0) {
    int wrong = count > 0 ? run_loop(count) + run_loop(count) : 0;
    if (count > 0) { /* with threads of its own */
      meeting m = {.there = 0};
      tx_parallel(2, meet, &m);
    }
    if (leave_at_once) _exit(wrong);
    exit(wrong);
  }
  int status = -1;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

static void test_a_child_has_a_pool_of_its_own(void **state) {
  (void)state;
  tx_set_threads(3);
  assert_int_equal(run_loop(TASKS), 0);
  assert_int_equal(child_of_fork(TASKS, true), 0);
  assert_int_equal(child_of_fork(TASKS, false), 0);
  assert_int_equal(child_of_fork(0, false), 0);
  assert_int_equal(run_loop(TASKS), 0);
  tx_set_threads(0);
}

static void *fork_often(void *status) {
  for (int i = 0; i < 20; i++) *(int *)status |= child_of_fork(50, true);
  return NULL;
}

/* The child is made while the pool is in the hands of another thread. */
static void test_a_fork_beside_a_running_loop(void **state) {
  (void)state;
  tx_set_threads(3);
  pthread_t forking;
  int status = 0, wrong = 0;
  assert_int_equal(pthread_create(&forking, NULL, fork_often, &status), 0);
  for (int i = 0; i < 2000; i++) wrong += run_loop(50);
  assert_int_equal(pthread_join(forking, NULL), 0);
  assert_int_equal(wrong + status, 0);
  tx_set_threads(0);
}

#else /* the sanitizers have a pthread_create of their own, and ThreadSanitizer minds forks */

static void test_a_thread_cannot_be_started(void **state) { (void)state, skip(); }
static void test_a_child_has_a_pool_of_its_own(void **state) { (void)state, skip(); }
static void test_a_fork_beside_a_running_loop(void **state) { (void)state, skip(); }

#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_index_once),
      cmocka_unit_test(test_loops_together),
      cmocka_unit_test(test_no_index_at_all),
      cmocka_unit_test(test_threads_asked_for),
      cmocka_unit_test(test_inside_a_task_it_is_one_thread),
      cmocka_unit_test(test_many_callers_at_once),
      cmocka_unit_test(test_signals_stay_with_the_caller),
      cmocka_unit_test(test_a_thread_cannot_be_started),
      cmocka_unit_test(test_a_child_has_a_pool_of_its_own),
      cmocka_unit_test(test_a_fork_beside_a_running_loop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
