/* The store of computed numbers: what is read is right or nothing, whatever
 * happened to the files; the least recently used go first; several processes at
 * once; and every allocation and call to the system failing in turn. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FAILING_SYSTEM
#include "failing.h"
#include "base/hash.h"
#include "base/random.h"
#include "formats/cache.h"
#include "tasks/made.h"

#ifdef FAILING_WORKS
FAILING_BYTES(pread, (int file, void *data, size_t size, off_t from), (file, data, size, from))
#endif

enum { LARGEST = 3000, PLENTY = 1 << 30 };

/* ---- records ------------------------------------------------------------ */

/* The bytes follow from the number, so that any reader can tell them from wrong ones. */
static void fill(uint64_t number, size_t bytes, unsigned char *to) {
  tx_random random = tx_random_seed(number);
  for (size_t i = 0; i < bytes; i++) to[i] = (unsigned char)tx_random_next(&random);
}

static tx_cache_key key_of(uint64_t number) { return (tx_cache_key){number * 7919 % 31, number}; }

static tx_status try_to_add(tx_cache *cache, const uint64_t *numbers, int count, size_t bytes,
                            uint64_t bound, tx_error *error) {
  static unsigned char data[32][LARGEST];
  tx_cache_record records[32];
  for (int i = 0; i < count; i++) {
    fill(numbers[i], bytes, data[i]);
    records[i] = (tx_cache_record){key_of(numbers[i]), data[i], bytes};
  }
  return tx_cache_add(cache, records, count, bound, 0, error);
}

static tx_cache *open_cache(const char *directory) {
  tx_cache *cache;
  MADE_OK(tx_cache_open(directory, &cache, error));
  return cache;
}

static void add(const char *directory, const uint64_t *numbers, int count, size_t bytes,
                uint64_t bound) {
  tx_cache *cache = open_cache(directory);
  MADE_OK(try_to_add(cache, numbers, count, bytes, bound, error));
  tx_cache_close(cache);
}

static void add_one(const char *directory, uint64_t number, size_t bytes, uint64_t bound) {
  add(directory, &number, 1, bytes, bound);
}

/* Whether it is there; wrong bytes are a failure. */
static bool reads(tx_cache *cache, uint64_t number, size_t bytes) {
  unsigned char got[LARGEST], want[LARGEST];
  if (!tx_cache_read(cache, key_of(number), bytes, got)) return false;
  fill(number, bytes, want);
  if (memcmp(got, want, bytes) != 0) fail_msg("record %d is wrong", (int)number);
  return true;
}

static bool holds(const char *directory, uint64_t number, size_t bytes) {
  tx_cache *cache = open_cache(directory);
  bool found = reads(cache, number, bytes);
  tx_cache_close(cache);
  return found;
}

/* A new and empty directory. */
static const char *fresh(const char *name) {
  const char *path = made(name);
  tx_directory_remove(path);
  assert_int_equal(mkdir(path, 0777), 0);
  return path;
}

/* The only name in it. */
static const char *only_name(const char *directory) {
  static char path[TX_PATH_SIZE];
  char **names;
  size_t count;
  tx_arena *arena = tx_arena_new();
  MADE_OK(tx_directory_names(directory, arena, &names, &count, error));
  assert_int_equal(count, 1);
  MADE_OK(tx_path_join(path, directory, names[0], error));
  tx_arena_free(arena);
  return path;
}

/* ---- reading and keeping -------------------------------------------------- */

static void test_round_trip(void **state) {
  (void)state;
  const char *directory = made("a/b/new");
  uint64_t numbers[32];
  assert_false(holds(directory, 1, 10)); /* not there: empty, and not made */
  assert_int_not_equal(access(directory, F_OK), 0);
  for (uint64_t i = 0; i < 32; i++) numbers[i] = 1000 - i * 13;
  add(directory, numbers, 32, 777, PLENTY);
  add(directory, (const uint64_t[]){5}, 1, LARGEST, PLENTY);
  add(directory, NULL, 0, 0, PLENTY);
  assert_int_equal(made_names(directory), 2);
  tx_cache *cache = open_cache(directory);
  for (int i = 0; i < 32; i++) assert_true(reads(cache, numbers[i], 777));
  assert_true(reads(cache, 5, LARGEST));
  for (uint64_t i = 0; i < 32; i++) assert_false(reads(cache, 1000 - i * 13 + 1, 777));
  tx_cache_close(cache);
  tx_cache_close(NULL);
}

static void test_longer_record_is_read_as_its_start(void **state) {
  (void)state;
  const char *directory = fresh("prefix");
  add_one(directory, 1, 100, PLENTY);
  for (size_t bytes = 1; bytes <= 100; bytes++) assert_true(holds(directory, 1, bytes));
  assert_false(holds(directory, 1, 101));
  /* Beside a longer one of the same key in another segment. */
  add(directory, (const uint64_t[]){1, 2}, 2, 200, PLENTY);
  assert_int_equal(made_names(directory), 2);
  assert_true(holds(directory, 1, 150) && holds(directory, 1, 100) && holds(directory, 1, 200));
  assert_false(holds(directory, 1, 201));
}

/* The same keys make the same file: nothing is kept twice. */
static void test_same_records_are_one_file(void **state) {
  (void)state;
  const char *directory = fresh("same");
  add(directory, (const uint64_t[]){1, 2, 3}, 3, 50, PLENTY);
  add(directory, (const uint64_t[]){3, 1, 2}, 3, 60, PLENTY);
  assert_int_equal(made_names(directory), 1);
  assert_true(holds(directory, 2, 60));
}

/* What was added is not found by the handle that added, nor is what another adds. */
static void test_handle_sees_what_was_there(void **state) {
  (void)state;
  const char *directory = fresh("handle");
  tx_cache *cache = open_cache(directory);
  MADE_OK(try_to_add(cache, (const uint64_t[]){1}, 1, 50, PLENTY, error));
  assert_false(reads(cache, 1, 50));
  tx_cache_close(cache);
  /* But it keeps what it has opened, though another removes it. */
  cache = open_cache(directory);
  tx_directory_remove(directory);
  assert_true(reads(cache, 1, 50));
  tx_cache_close(cache);
}

/* ---- damage -------------------------------------------------------------- */

enum { DAMAGED = 3, DAMAGED_BYTES = 70 };
static const uint64_t damaged_numbers[DAMAGED] = {11, 12, 13};

/* Reads all from the file's bytes put in place; then it is whole, or gone. */
static void check_damage(const char *directory, const char *path, const char *bytes, size_t size,
                         size_t asked, const char *what, size_t at) {
  write_bytes(path, bytes, size);
  tx_cache *cache = open_cache(directory);
  int found = 0;
  for (int i = 0; i < DAMAGED; i++) found += reads(cache, damaged_numbers[i], asked);
  /* It stays damaged for this handle. */
  if (found < DAMAGED) assert_false(reads(cache, damaged_numbers[0], asked) && found == 0);
  tx_cache_close(cache);
  bool there = access(path, F_OK) == 0;
  if (there != (found == DAMAGED)) {
    fail_msg("%s at %d: %d records of %d, and the segment is %s", what, (int)at, found, DAMAGED,
             there ? "there" : "gone");
  }
}

static void test_every_byte_damaged(void **state) {
  (void)state;
  const char *directory = fresh("damage");
  size_t size;
  add(directory, damaged_numbers, DAMAGED, DAMAGED_BYTES, PLENTY);
  const char *path = only_name(directory);
  char *bytes = read_bytes(path, &size);
  assert_in_range(size, 300, 800);
  for (size_t asked = DAMAGED_BYTES; asked + 2 > DAMAGED_BYTES; asked--) {
    for (size_t i = 0; i < size; i++) {
      for (int bit = 0; bit < 8; bit += 7) {
        bytes[i] = (char)(bytes[i] ^ (1 << bit));
        check_damage(directory, path, bytes, size, asked, "a bit", i);
        bytes[i] = (char)(bytes[i] ^ (1 << bit));
      }
    }
    for (size_t i = 0; i < size; i++) check_damage(directory, path, bytes, i, asked, "an end", i);
  }
  check_damage(directory, path, bytes, size, DAMAGED_BYTES, "nothing", 0);
  assert_int_equal(access(path, F_OK), 0); /* undamaged, it stays */
  free(bytes);
}

/* The layout, as docs/formats.md has it. */
typedef struct {
  char magic[16];
  uint64_t count, bytes, index_hash, spare;
  struct {
    tx_cache_key key;
    uint64_t offset, bytes, hash;
  } entries[2];
  char data[128];
} made_segment;

/* An index whose checksum is right, and which points where it must not. */
static void test_made_indexes(void **state) {
  (void)state;
  const char *directory = fresh("index");
  static made_segment good = {.magic = "taxon.states.1", .count = 2, .bytes = sizeof good};
  unsigned char records[2][64];
  for (uint64_t i = 0; i < 2; i++) {
    fill(i, 64, records[i]);
    memcpy(good.data + i * 64, records[i], 64);
    good.entries[i].key = key_of(i);
    good.entries[i].offset = offsetof(made_segment, data) + i * 64;
    good.entries[i].bytes = 64;
    good.entries[i].hash = tx_hash64(records[i], 64, 0);
  }
  assert_true(good.entries[0].key.high < good.entries[1].key.high);
  for (int wrong = 0; wrong < 10; wrong++) {
    made_segment s = good;
    if (wrong == 1) s.entries[1].offset = sizeof s + 1, s.entries[1].bytes = 0;
    if (wrong == 2) s.entries[1].bytes = 65;
    if (wrong == 3) s.entries[1].bytes = UINT64_MAX - 60;
    if (wrong == 4) s.entries[1].offset = UINT64_MAX - 60;
    if (wrong == 5) s.entries[0].offset = offsetof(made_segment, data) - 1;
    if (wrong == 6) s.entries[0].key = s.entries[1].key;
    if (wrong == 7) s.entries[0].key.high = s.entries[1].key.high + 1;
    if (wrong == 8) s.count = UINT64_MAX / sizeof s.entries[0];
    if (wrong == 9) s.entries[0].key = (tx_cache_key){s.entries[1].key.high, 2};
    s.index_hash = tx_hash64(s.entries, sizeof s.entries, 0);
    write_bytes(made("index/0.states"), &s, sizeof s);
    tx_cache *cache = open_cache(directory);
    bool found = reads(cache, 1, 64);
    tx_cache_close(cache);
    if (found != (wrong == 0)) fail_msg("made index %d: %sfound", wrong, found ? "" : "not ");
    assert_int_equal(made_names(directory), wrong == 0);
  }
}

/* Of a damaged and a sound one the sound one answers. */
static void test_another_segment_answers(void **state) {
  (void)state;
  const char *directory = fresh("another");
  size_t size;
  add_one(directory, 1, 100, PLENTY);
  const char *path = only_name(directory);
  char *bytes = read_bytes(path, &size);
  bytes[size - 1] = (char)(bytes[size - 1] ^ 1);
  write_bytes(path, bytes, size);
  free(bytes);
  for (uint64_t i = 2; i < 8; i++) add(directory, (const uint64_t[]){1, i}, 2, 100, PLENTY);
  assert_int_equal(made_names(directory), 7);
  tx_cache *cache = open_cache(directory);
  for (int i = 0; i < 3; i++) assert_true(reads(cache, 1, 100) && reads(cache, 5, 100));
  tx_cache_close(cache);
}

/* ---- the bound ------------------------------------------------------------- */

static void set_age(const char *directory, const char *name, int seconds) {
  char path[TX_PATH_SIZE];
  struct timespec times[2] = {{.tv_sec = 1000000 - seconds}, {.tv_sec = 1000000 - seconds}};
  MADE_OK(tx_path_join(path, directory, name, error));
  assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* The newest name there is, which `known` does not hold. */
static void age_all(const char *directory, char known[][40], int count, int seconds) {
  char **names;
  size_t found;
  tx_arena *arena = tx_arena_new();
  MADE_OK(tx_directory_names(directory, arena, &names, &found, error));
  assert_int_equal(found, count + 1);
  for (size_t i = 0; i < found; i++) {
    bool old = false;
    for (int k = 0; k < count; k++) old = old || strcmp(known[k], names[i]) == 0;
    if (old) continue;
    snprintf(known[count], 40, "%s", names[i]);
    set_age(directory, names[i], seconds);
  }
  tx_arena_free(arena);
}

static void test_least_recently_used_goes_first(void **state) {
  (void)state;
  const char *directory = fresh("used");
  char known[4][40] = {{0}};
  static const int ages[] = {20, 40, 30, 10}; /* of records 0, 1, 2, 3 */
  for (int i = 0; i < 4; i++) {
    add_one(directory, (uint64_t)i, 1000, PLENTY);
    age_all(directory, known, i, ages[i]);
  }
  assert_true(holds(directory, 1, 1000)); /* the oldest is used */
  uint64_t each = (uint64_t)tx_directory_bytes(directory) / 4;
  add_one(directory, 9, 1000, 4 * each); /* record 2 has to go */
  assert_int_equal(made_names(directory), 4);
  char path[TX_PATH_SIZE];
  MADE_OK(tx_path_join(path, directory, known[2], error));
  assert_int_not_equal(access(path, F_OK), 0);
  add_one(directory, 10, 1000, 3 * each + each / 2); /* and now 0 and 3 */
  assert_int_equal(made_names(directory), 3);
  assert_true(tx_directory_bytes(directory) <= (int64_t)(3 * each + each / 2));
  assert_true(holds(directory, 1, 1000) && holds(directory, 9, 1000) && holds(directory, 10, 1000));
}

/* Not being found does not count as use. */
static void test_opening_is_no_use(void **state) {
  (void)state;
  const char *directory = fresh("opened");
  struct stat before, after;
  add_one(directory, 1, 100, PLENTY);
  const char *path = only_name(directory);
  set_age(directory, strrchr(path, '/') + 1, 5);
  assert_int_equal(stat(path, &before), 0);
  assert_false(holds(directory, 2, 100) || holds(directory, 1, 101));
  assert_int_equal(stat(path, &after), 0);
  assert_int_equal(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
  assert_true(holds(directory, 1, 100));
  assert_int_equal(stat(path, &after), 0);
  assert_true(after.st_mtim.tv_sec > before.st_mtim.tv_sec);
}

static void test_larger_than_the_bound(void **state) {
  (void)state;
  const char *directory = fresh("bound");
  add_one(directory, 1, 100, PLENTY);
  uint64_t size = (uint64_t)tx_directory_bytes(directory);
  add_one(directory, 2, 101, size); /* one byte more: it and the others stay as they are */
  assert_true(holds(directory, 1, 100));
  assert_false(holds(directory, 2, 101));
  add_one(directory, 3, 100, size); /* as large as the bound: kept, alone */
  assert_true(holds(directory, 3, 100));
  assert_false(holds(directory, 1, 100));
  add_one(directory, 4, 100, 0);
  assert_true(holds(directory, 3, 100));
}

/* Many small segments: no more are kept than can be open at once. */
static void test_many_segments(void **state) {
  (void)state;
  enum { MANY = 700, KEPT = 512 };
  const char *directory = fresh("many");
  add_one(directory, 1, 100, PLENTY);
  const char *first = only_name(directory);
  set_age(directory, strrchr(first, '/') + 1, 5);
  char path[TX_PATH_SIZE];
  for (int i = 0; i < MANY; i++) {
    snprintf(path, sizeof path, "%.200s/%016x.states", directory, i);
    assert_int_equal(link(first, path), 0);
  }
  struct rlimit before, few;
  getrlimit(RLIMIT_NOFILE, &before);
  few = before;
  few.rlim_cur = 600;
  setrlimit(RLIMIT_NOFILE, &few);
  tx_cache *cache;
  tx_error error = {0};
  uint64_t number = 2;
  assert_int_equal(tx_cache_open(directory, &cache, &error), TX_OK);
  tx_status status = try_to_add(cache, &number, 1, 100, PLENTY, &error);
  tx_cache_close(cache);
  setrlimit(RLIMIT_NOFILE, &before);
  if (status != TX_OK) fail_msg("%s", error.message);
  assert_int_equal(made_names(directory), KEPT);
  assert_true(holds(directory, 2, 100));
}

/* ---- what else may stand in the directory ----------------------------------- */

static void test_foreign_names(void **state) {
  (void)state;
  const char *directory = fresh("foreign");
  static const char *const files[] = {"notes.txt", ".hidden.states", "x.states.bak", ".states",
                                      "states"};
  char path[TX_PATH_SIZE], elsewhere[TX_PATH_SIZE];
  for (int i = 0; i < 5; i++) {
    MADE_OK(tx_path_join(path, directory, files[i], error));
    write_bytes(path, "foreign and rather longer than the bound", 40);
  }
  const char *other = fresh("elsewhere");
  add_one(other, 77, 100, PLENTY);
  snprintf(elsewhere, sizeof elsewhere, "%s", only_name(other));
  assert_int_equal(symlink(elsewhere, made("foreign/link.states")), 0);
  assert_int_equal(symlink("nowhere", made("foreign/dangling.states")), 0);
  assert_int_equal(mkdir(made("foreign/directory.states"), 0777), 0);
  assert_int_equal(mkfifo(made("foreign/pipe.states"), 0666), 0);
  set_age(other, strrchr(elsewhere, '/') + 1, 99); /* the oldest of all */
  assert_false(holds(directory, 77, 100)); /* links are not followed */
  add_one(directory, 1, 100, 260);
  add_one(directory, 2, 100, 260); /* record 1 has to go, and nothing else */
  assert_true(holds(directory, 2, 100));
  assert_false(holds(directory, 1, 100));
  assert_int_equal(made_names(directory), 5 + 4 + 1);
  assert_true(holds(other, 77, 100));
  /* A directory in the place of the cache, or a file. */
  write_text(made("plain"), "a file");
  tx_cache *cache = open_cache(made("plain"));
  MADE_FAILS(try_to_add(cache, (const uint64_t[]){1}, 1, 10, PLENTY, error), TX_ERROR_SYSTEM,
             "is not a directory");
  tx_cache_close(cache);
}

/* A name so long that only the segments' own do not fit any more. */
/* What a killed run left is removed when any other segment is written. */
static void test_abandoned_segments(void **state) {
  (void)state;
  const char *directory = fresh("abandoned");
  static const char *const gone = ".0123456789abcdef.states.taxon-abcdef.tmp";
  static const char *const stays = ".0123456789abcdef.states.taxon-abcdef.tmp~";
  char path[TX_PATH_SIZE];
  assert_int_equal(mkdir(directory, 0700) == 0 || errno == EEXIST, 1);
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", directory, i ? stays : gone);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
  }
  add_one(directory, 1, 100, 5000);
  assert_int_equal(access(path, F_OK), 0);
  snprintf(path, sizeof path, "%s/%s", directory, gone);
  assert_int_equal(access(path, F_OK), -1);
}

static void test_long_names(void **state) {
  (void)state;
  char path[TX_PATH_SIZE];
  const char *directory = fresh("long");
  add_one(directory, 1, 100, PLENTY);
  int used = snprintf(path, sizeof path, "%s", directory);
  while (used < TX_PATH_SIZE - 20) {
    used += snprintf(path + used, sizeof path - (size_t)used, "/.");
  }
  tx_cache *cache;
  MADE_FAILS(tx_cache_open(path, &cache, error), TX_ERROR_ARGUMENT, "too long");
  assert_null(cache);
  /* Nothing to list, but no name for what is added. */
  const char *empty = fresh("longer");
  char other[TX_PATH_SIZE];
  used = snprintf(other, sizeof other, "%s", empty);
  while (used < TX_PATH_SIZE - 20) {
    used += snprintf(other + used, sizeof other - (size_t)used, "/.");
  }
  cache = open_cache(other);
  MADE_FAILS(try_to_add(cache, (const uint64_t[]){1}, 1, 10, PLENTY, error), TX_ERROR_ARGUMENT,
             "too long");
  tx_cache_close(cache);
  path[strlen(path) - 60] = '\0'; /* now it fits */
  assert_true(holds(path, 1, 100));
}

/* ---- several processes -------------------------------------------------------- */

enum { ROUNDS = 50, SHARED = 12 };

static void work(const char *directory, uint64_t seed) {
  tx_random random = tx_random_seed(seed);
  for (int round = 0; round < ROUNDS; round++) {
    tx_error error = {0};
    uint64_t number = tx_random_below(&random, SHARED);
    tx_cache *cache;
    if (tx_cache_open(directory, &cache, &error) != TX_OK) _exit(1);
    for (uint64_t i = 0; i < SHARED; i++) {
      unsigned char got[900], want[900];
      fill(i, sizeof want, want);
      if (tx_cache_read(cache, key_of(i), sizeof got, got) && memcmp(got, want, sizeof got) != 0) {
        _exit(2);
      }
    }
    if (try_to_add(cache, &number, 1, 900, 5000, &error) != TX_OK) _exit(3);
    tx_cache_close(cache);
  }
  _exit(0);
}

static void test_two_processes(void **state) {
  (void)state;
  const char *directory = fresh("shared");
  pid_t workers[2];
  for (uint64_t i = 0; i < 2; i++) {
    workers[i] = fork();
    assert_true(workers[i] >= 0);
    if (workers[i] == 0) work(directory, i + 1);
  }
  for (int i = 0; i < 2; i++) {
    int ended;
    assert_int_equal(waitpid(workers[i], &ended, 0), workers[i]);
    assert_true(WIFEXITED(ended));
    assert_int_equal(WEXITSTATUS(ended), 0);
  }
  assert_in_range(tx_directory_bytes(directory), 1, 5000);
  int found = 0;
  for (uint64_t i = 0; i < SHARED; i++) found += holds(directory, i, 900);
  assert_int_equal(made_names(directory), found); /* and no temporary file */
}

/* ---- no room -------------------------------------------------------------------- */

static void test_full_disk(void **state) {
  (void)state;
  const char *directory = fresh("full");
  struct rlimit before, small;
  add_one(directory, 1, 100, PLENTY);
  tx_cache *cache = open_cache(directory);
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = before, small.rlim_cur = 1000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  tx_error error = {0};
  tx_status status = try_to_add(cache, (const uint64_t[]){2, 3}, 2, 2000, PLENTY, &error);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);
  assert_int_equal(status, TX_ERROR_SYSTEM);
  assert_true(reads(cache, 1, 100));
  tx_cache_close(cache);
  assert_int_equal(made_names(directory), 1);
  assert_true(holds(directory, 1, 100));
  assert_false(holds(directory, 2, 2000));
}

/* Larger than what a writer holds back: an index, or a record, is refused on the way. */
static void test_full_disk_on_the_way(void **state) {
  (void)state;
  enum { MANY = 10000, LONG = 300000 };
  static tx_cache_record records[MANY];
  static unsigned char data[LONG];
  const char *directory = fresh("fuller");
  struct rlimit before, small;
  for (uint64_t i = 0; i < MANY; i++) records[i] = (tx_cache_record){key_of(i), data, 4};
  tx_cache_record large = {key_of(1), data, sizeof data};
  tx_cache *cache = open_cache(directory);
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  small = before, small.rlim_cur = 1000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  tx_error errors[2] = {{0}};
  tx_status many = tx_cache_add(cache, records, MANY, PLENTY, 0, &errors[0]);
  tx_status one = tx_cache_add(cache, &large, 1, PLENTY, 0, &errors[1]);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_DFL);
  assert_int_equal(many, TX_ERROR_SYSTEM);
  assert_int_equal(one, TX_ERROR_SYSTEM);
  assert_int_equal(made_names(directory), 0);
  MADE_OK(tx_cache_add(cache, records, MANY, PLENTY, 0, error)); /* now there is room */
  MADE_OK(tx_cache_add(cache, &large, 1, PLENTY, 0, error));
  tx_cache_close(cache);
  cache = open_cache(directory);
  data[LONG - 1] = 7;
  assert_true(tx_cache_read(cache, key_of(1), LONG, data));
  assert_int_equal(data[LONG - 1], 0);
  assert_true(tx_cache_read(cache, key_of(MANY - 1), 4, data));
  tx_cache_close(cache);
}

/* What root may, nobody may not. */
static void test_read_only_directory(void **state) {
  (void)state;
  const char *directory = fresh("locked");
  add_one(directory, 1, 100, PLENTY);
  size_t size;
  const char *path = only_name(directory);
  chmod(made_directory, 0755), chmod(directory, 0555), chmod(path, 0444);
  bool root = geteuid() == 0;
  if (root) assert_int_equal(seteuid(65534), 0);
  tx_cache *cache = open_cache(directory);
  bool found = reads(cache, 1, 100);
  tx_error error = {0};
  tx_status status = try_to_add(cache, (const uint64_t[]){2}, 1, 100, PLENTY, &error);
  tx_cache_close(cache);
  if (root) assert_int_equal(seteuid(0), 0);
  chmod(directory, 0755);
  assert_true(found);
  assert_int_equal(status, TX_ERROR_SYSTEM);
  assert_non_null(strstr(error.message, "choose a directory that you may write to"));
  assert_int_equal(made_names(directory), 1);
  free(read_bytes(path, &size));
}

/* ---- failing calls ---------------------------------------------------------------- */

#ifdef FAILING_WORKS
typedef struct {
  const char *directory;
  bool read[3];
  tx_error error;
} failing_job;

/* Opens, reads a record whole, another in part, adds, and looks again. */
static int use_cache(void *context) {
  failing_job *job = context;
  unsigned char got[200];
  static const size_t asked[3] = {200, 199, 50};
  tx_cache *cache;
  job->error = (tx_error){0};
  memset(job->read, 0, sizeof job->read);
  tx_status status = tx_cache_open(job->directory, &cache, &job->error);
  if (status != TX_OK) return (int)status;
  for (uint64_t i = 0; i < 3; i++) {
    unsigned char want[200];
    int64_t kept = failing_at;
    failing_at = 0;
    fill(1 + i % 2, asked[i], want);
    failing_at = kept;
    job->read[i] = tx_cache_read(cache, key_of(1 + i % 2), asked[i], got);
    if (job->read[i]) assert_memory_equal(got, want, asked[i]);
  }
  status = try_to_add(cache, (const uint64_t[]){3}, 1, 200, 800, &job->error);
  tx_cache_close(cache);
  return (int)status;
}

static void check_failing(void *context, int64_t call, bool failed, int result) {
  failing_job *job = context;
  char **names;
  size_t count;
  (void)call;
  assert_int_equal(result, job->error.status);
  if (!failed) {
    assert_int_equal(result, TX_OK);
    assert_true(job->read[0] && job->read[1] && job->read[2]);
  }
  /* Whatever failed: no temporary file, and what is there is sound. */
  tx_arena *arena = tx_arena_new();
  MADE_OK(tx_directory_names(job->directory, arena, &names, &count, error));
  for (size_t i = 0; i < count; i++) assert_non_null(strstr(names[i], ".states"));
  for (size_t i = 0; i < count; i++) assert_int_not_equal(names[i][0], '.');
  tx_arena_free(arena);
  for (uint64_t i = 1; i < 4; i++) (void)holds(job->directory, i, 200);
  tx_directory_remove(job->directory);
  add(job->directory, (const uint64_t[]){1, 2}, 2, 200, PLENTY);
}

static void test_failing_calls(void **state) {
  (void)state;
  failing_job job = {.directory = fresh("failing")};
  static const int codes[] = {EIO, ENOSPC, EINTR, 0};
  add(job.directory, (const uint64_t[]){1, 2}, 2, 200, PLENTY);
  int64_t blocks = failing_blocks;
  for (int i = 0; i < 4; i++) {
    failing_code = codes[i];
    assert_in_range(failing_each(use_cache, check_failing, &job), 30, 400);
    assert_int_equal(failing_blocks, blocks);
  }
  failing_code = EIO;
}

/* A record that is longer than asked is read beside: where there is no memory
 * for it, it is not found; the segment stays. */
static void test_no_memory_is_no_damage(void **state) {
  (void)state;
  const char *directory = fresh("memory");
  unsigned char got[200];
  add_one(directory, 1, 200, PLENTY);
  tx_cache *cache = open_cache(directory);
  failing_at = 1;
  bool found = tx_cache_read(cache, key_of(1), 100, got);
  bool failed = failing_at == 0;
  failing_at = 0;
  assert_true(failed && !found);
  assert_true(reads(cache, 1, 100));
  tx_cache_close(cache);
  assert_true(holds(directory, 1, 200));
}
#else
static void test_failing_calls(void **state) { (void)state; }
static void test_no_memory_is_no_damage(void **state) { (void)state; }
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_longer_record_is_read_as_its_start),
      cmocka_unit_test(test_same_records_are_one_file),
      cmocka_unit_test(test_handle_sees_what_was_there),
      cmocka_unit_test(test_every_byte_damaged),
      cmocka_unit_test(test_made_indexes),
      cmocka_unit_test(test_another_segment_answers),
      cmocka_unit_test(test_least_recently_used_goes_first),
      cmocka_unit_test(test_opening_is_no_use),
      cmocka_unit_test(test_larger_than_the_bound),
      cmocka_unit_test(test_many_segments),
      cmocka_unit_test(test_foreign_names),
      cmocka_unit_test(test_abandoned_segments),
      cmocka_unit_test(test_long_names),
      cmocka_unit_test(test_two_processes),
      cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_full_disk_on_the_way),
      cmocka_unit_test(test_read_only_directory),
      cmocka_unit_test(test_failing_calls),
      cmocka_unit_test(test_no_memory_is_no_damage),
  };
  return cmocka_run_group_tests(tests, made_setup, made_teardown);
}
