#!/bin/sh
# What is too slow or too particular for every day: `make check`.
#
#   the command line's golden cases under AddressSanitizer and UBSan
#   a small training, evaluation and prediction under valgrind
#   threads under ThreadSanitizer
#   static analysis by clang, gcc and cppcheck
#   the manual pages and completions, with mandoc and zsh
#
#   every fuzz target for FUZZ_SECONDS (60) seconds
#
# (The library's tests under sanitizers are part of `make test`.)  Prints what
# failed and how long each part took, and ends with "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 2
unset MAKEFLAGS MAKELEVEL MFLAGS TAXON_CPU TAXON_HOME
export LC_ALL=C.UTF-8
sh tools/install-dependencies.sh build test clang check || exit $?
passed=0 failed=0
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM

now() { date +%s%N; }
since() { # start, in seconds with one digit
  tenths=$((($(now) - $1) / 100000000))
  echo "$((tenths / 10)).$((tenths % 10)) s"
}
started=$(now)

check() { # name, command
  name=$1 start=$(now)
  shift
  if "$@" > "$top/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok   $name, $(since "$start")"
  else
    failed=$((failed + 1))
    echo "FAIL $name, $(since "$start")"
    { grep -A 4 '^FAIL' "$top/log"; tail -n 80 "$top/log"; } | sed 's/^/  /'
    return 1
  fi
}

check 'build' make -s all
if check 'build with sanitizers' make -s SANITIZE=1 all; then
  check 'golden cases with sanitizers' env TAXON=build/asan/taxon sh tests/cli/run.sh
fi

# With zsh and mandoc, which `make test` does not ask for.
check 'what is installed' sh tests/library.sh build

# Valgrind has no AVX-512; it takes the next best path.  What the OpenMP and
# crypto libraries keep until the end is not lost, only still reachable.
memory() {
  valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
    --errors-for-leak-kinds=definite,indirect build/taxon "$@" --home "$top/home" --quiet
}
cp tests/golden/tiny_llama.gguf "$top/tiny.gguf"
{
  echo text,label
  for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "good fine $i,good" && echo "bad poor $i,bad"; done
} > "$top/rows.csv"
for method in auto head last-block; do
  check "train --method $method under valgrind" memory train --method $method --epochs 1 \
    --model "$top/tiny.gguf" --data "$top/rows.csv" --val "$top/rows.csv" --out "$top/$method.taxon"
  check "eval of it" memory eval "$top/$method.taxon" --data "$top/rows.csv"
  check "predict by it" memory predict "$top/$method.taxon" good '' bad
done
check 'train --head twice under valgrind' memory train --model "$top/tiny.gguf" \
  --head "a:$top/rows.csv" --head "b:$top/rows.csv" --out "$top/heads.taxon"
check 'predict by both' memory predict "$top/heads.taxon" good '' bad
check 'show under valgrind' memory show "$top/head.taxon"
check 'tokens under valgrind' memory tokens "$top/tiny.gguf" 'good day'

check 'build with calls that fail' make -s faults &&
  check 'every n-th call fails' sh tests/faults.sh build 1000000 1

# Threads under ThreadSanitizer: the pool, training, handles in two threads at once.
thread_tests='base/test_parallel adapt/test_ridge adapt/test_depth adapt/test_trunk_cache
  tasks/test_train tasks/test_auto tasks/test_classifier'
set --
for name in $thread_tests; do set -- "$@" "build/tsan/tests/$name"; done
if check 'build with ThreadSanitizer' make -s CC=clang BUILD=build/tsan \
  CFLAGS='-O1 -g -fsanitize=thread' "$@"; then
  for name in $thread_tests; do
    check "threads under ThreadSanitizer: $name" "build/tsan/tests/$name"
  done
fi

# ---- static analysis ----

sources() { # the files left out, as a pattern of `case`
  for file in src/*/*.c cli/*.c; do
    eval "case \$file in $1) continue ;; esac"
    echo "$file"
  done
}

# analyse.h tells both what error.c does.
by_clang() {
  sources '*_avx2.c | *_avx512.c | src/base/error.c' | xargs -P "$(nproc)" -I FILE \
    clang --analyze -Xclang -analyzer-output=text -Xclang -analyzer-werror -std=c11 -D_GNU_SOURCE \
    -pthread -Iinclude -Isrc -include tests/analyse.h FILE -o /dev/null
}
check 'static analysis by clang' by_clang

# Not the kernels: gcc 12 does not follow arithmetic on vectors (it takes a shift
# of eight numbers for one of a single bit, and a vector filled by memcpy for
# uninitialised), and needs minutes for each.
by_gcc() {
  sources 'src/kernels/*_avx2.c | src/kernels/*_avx512.c | src/kernels/*_generic.c | src/base/error.c' |
    xargs -P "$(nproc)" -I FILE gcc -O1 -fanalyzer -Werror -std=c11 -D_GNU_SOURCE -pthread \
      -Iinclude -Isrc $(pkg-config --cflags libpcre2-8 jansson libarchive) \
      -include tests/analyse.h -c FILE -o /dev/null
}
check 'static analysis by gcc' by_gcc

# Left out, by kind or by kind and file:
#   compareBoolExpressionWithInt  loops over a weight and, where there is one, its bias
#   uninitvar                     two arrays that a loop over the same count fills
#   arrayIndexOutOfBoundsCond     the sub-blocks are 0 to 7, which it does not see
by_cppcheck() {
  cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --std=c11 \
    -j "$(nproc)" -D_GNU_SOURCE -D__x86_64__ -D__BYTE_ORDER__=1234 -D__ORDER_LITTLE_ENDIAN__=1234 \
    --library=tests/cppcheck.cfg --suppress=compareBoolExpressionWithInt \
    --suppress=uninitvar:src/adapt/logistic_problem.c \
    --suppress=arrayIndexOutOfBoundsCond:src/kernels/dequantize.c -Iinclude -Isrc src cli
}
check 'static analysis by cppcheck' by_cppcheck

# ---- fuzzing: each line is a target's, with what it did ----

start=$(now)
sh tests/fuzz/run.sh "${FUZZ_SECONDS:-60}" > "$top/log" 2>&1
status=$? good=$(grep -c '^ok ' "$top/log") bad=$(grep -c '^FAIL ' "$top/log")
[ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
cat "$top/log"
echo "     fuzzing, $(since "$start")"
passed=$((passed + good)) failed=$((failed + bad))

echo "$(since "$started") in all"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
