#!/bin/sh
# Fuzzing with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer: `make
# fuzz SECONDS=60`.  Needs clang and its runtime (tools/install-dependencies.sh
# clang check).
#
#   sh tests/fuzz/run.sh [SECONDS [TARGET...]]     60, all of rules.mk one by one
#
# Prints a line for each target: runs, seconds, coverage (places of the code that
# were reached), findings.  A finding's input is kept in build/fuzz/findings, and
# belongs into tests/fuzz/kept/TARGET with its mending.  The inputs that reached
# something new stay in build/fuzz/corpus for the next time.
# Exit status: 0 none, 1 a finding, 4 the targets could not be built.
set -u
cd "$(dirname "$0")/../.." || exit 2
unset MAKEFLAGS MAKELEVEL MFLAGS
export OMP_WAIT_POLICY=passive LC_ALL=C.UTF-8
seconds=${1:-60}
[ $# -gt 0 ] && shift
targets=${*:-$(sed -n 's/^FUZZ_NAMES = //p' tests/fuzz/rules.mk)}
top=build/fuzz
checks='-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'

sh tools/install-dependencies.sh build clang check || exit 4
wanted=
for target in $targets; do wanted="$wanted $top/tests/fuzz/fuzz_$target"; done
# The kernels see checked shapes only, and have tests under sanitizers of their own;
# instrumented they would cost more than everything else.
make -s CC=clang BUILD=$top KERNEL_OPTIMIZE='-O2 -fno-sanitize=all' FUZZ_ENGINE=-fsanitize=fuzzer \
  CFLAGS="-O1 -g -fno-omit-frame-pointer $checks" $wanted || exit 4
python3 tests/fuzz/make_seeds.py $top/seeds || exit 4

# A single block may be as large as a file and the 16 MiB that a reader is allowed
# beyond it; the whole process also holds what the sanitizers keep.
limits='-timeout=5 -malloc_limit_mb=17 -rss_limit_mb=1024 -max_len=65536'
statistic() { sed -n "s/^stat::$1: *//p" "$2" | tail -n 1; }

found=0
for target in $targets; do
  corpus=$top/corpus/$target findings=$top/findings/$target log=$top/$target.log
  mkdir -p "$corpus" "$findings" "tests/fuzz/kept/$target"
  ASAN_OPTIONS=quarantine_size_mb=32:allocator_may_return_null=0 \
    "$top/tests/fuzz/fuzz_$target" $limits -max_total_time="$seconds" -print_final_stats=1 \
    -dict="$top/seeds/$target.dict" -artifact_prefix="$findings/" \
    "$corpus" "$top/seeds/$target" "tests/fuzz/kept/$target" > "$log" 2>&1 < /dev/null
  status=$?
  count=$(find "$findings" -type f -newer "$top/seeds/$target.dict" | wc -l)
  [ $status -eq 0 ] || [ "$count" -gt 0 ] || count=1
  runs=$(statistic number_of_executed_units "$log")
  coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
  took=$(sed -n 's/^Done .* in \([0-9]*\) second.*/\1/p' "$log")
  echo "$([ "$count" -eq 0 ] && echo 'ok  ' || echo FAIL) fuzz $target: ${runs:-?} runs, ${took:-?} s," \
    "coverage ${coverage:-?}, $count findings"
  if [ "$count" -gt 0 ]; then
    found=1
    grep -vE '^#|^(NEW|REDUCE|INFO)' "$log" | tail -n 40 | sed 's/^/  /'
  fi
done
exit $found
