/* Memory that may be taken, on made /proc and /sys of several kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/available.h"
#include "formats/directory.h"

static char root[64];

static void begin(void) {
  strcpy(root, "/tmp/taxon-available.XXXXXX");
  assert_non_null(mkdtemp(root));
}

static void end(void) { tx_directory_remove(root); }

/* With the directories above it. */
static void put(const char *name, const char *text) {
  char path[300];
  snprintf(path, sizeof path, "%s%s", root, name);
  for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
    *at = '\0';
    mkdir(path, 0777);
    *at = '/';
  }
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

static void check(uint64_t want) {
  uint64_t got = tx_memory_available(root);
  if (got != want) {
    fail_msg("%llu bytes, not %llu", (unsigned long long)got, (unsigned long long)want);
  }
}

static void test_the_system(void **state) {
  (void)state;
  begin();
  check(UINT64_MAX); /* nothing is known */
  put("/proc/meminfo", "MemTotal:  100 kB\nMemFree:  1 kB\n");
  check(UINT64_MAX);
  put("/proc/meminfo",
      "MemTotal:     1000 kB\nMemFree:  1 kB\nMemAvailable:    700 kB\nBuffers: 3 kB\n");
  check(700 * 1024);
  put("/proc/self/cgroup", "odd\n\n0:\n5:cpu:/x\n:::\n0::");
  check(700 * 1024);
  end();
}

static void test_groups_of_version_2(void **state) {
  (void)state;
  begin();
  put("/proc/meminfo", "MemAvailable: 700 kB\n");
  put("/proc/self/cgroup", "0::/a/b\n");
  put("/sys/fs/cgroup/a/b/memory.max", "max\n");
  put("/sys/fs/cgroup/a/b/memory.current", "600000\n");
  check(700 * 1024);
  put("/sys/fs/cgroup/a/memory.max", "500000\n"); /* the one above */
  put("/sys/fs/cgroup/a/memory.current", "300000\n");
  check(200000);
  put("/sys/fs/cgroup/a/memory.stat", "anon 5\nfile 100000\ninactive_file 50000\nactive_file 1\n");
  check(250000);
  put("/sys/fs/cgroup/a/b/memory.max", "600001\n");
  check(1);
  put("/sys/fs/cgroup/a/b/memory.max", "5\n"); /* less than is used already */
  check(0);
  put("/proc/self/cgroup", "0::/not/there\n"); /* of another namespace */
  check(700 * 1024);
  put("/sys/fs/cgroup/memory.max", "400000\n");
  put("/sys/fs/cgroup/memory.current", "0\n");
  check(400000);
  end();
}

static void test_groups_of_version_1(void **state) {
  (void)state;
  begin();
  put("/proc/meminfo", "MemAvailable: 700 kB\n");
  put("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/job\n0::/\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
  check(700 * 1024);
  put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "300000\n");
  put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "100000\n");
  put("/sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 40000\n");
  check(240000);
  put("/proc/self/cgroup", "4:memory_x:/job\n");
  check(700 * 1024);
  end();
}

static void test_the_environment(void **state) {
  (void)state;
  static const char *const wrong[] = {"x", "1x", "-1", " 1", "99999999999999999999"};
  uint64_t bytes;
  tx_error error = {0};
  setenv("TAXON_MEMORY_MB", "12", 1);
  assert_int_equal(tx_memory_limit(&bytes, &error), TX_OK);
  assert_true(bytes == 12000000);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    error = (tx_error){0};
    setenv("TAXON_MEMORY_MB", wrong[i], 1);
    assert_int_equal(tx_memory_limit(&bytes, &error), TX_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "it must be a whole number of megabytes"));
  }
  unsetenv("TAXON_MEMORY_MB");
  error = (tx_error){0};
  assert_int_equal(tx_memory_limit(&bytes, &error), TX_OK);
  assert_true(bytes > 1 << 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_system),
      cmocka_unit_test(test_groups_of_version_2),
      cmocka_unit_test(test_groups_of_version_1),
      cmocka_unit_test(test_the_environment),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
