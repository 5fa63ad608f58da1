#!/bin/sh
# What is too slow or too particular for every day: `make check`.
#
#   the command line's golden cases under AddressSanitizer and UBSan
#   a small training, evaluation and prediction under valgrind
#   threads under ThreadSanitizer
#   each allocation of a small training, evaluation and prediction fails
#   static analysis by clang
#   the manual pages and completions, with mandoc and zsh
#
# (The library's tests under sanitizers are part of `make test`.)  Prints what
# failed and ends with "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 2
unset MAKEFLAGS MAKELEVEL MFLAGS TAXON_CPU TAXON_HOME
export LC_ALL=C.UTF-8
sh tools/install-dependencies.sh build test clang check || exit $?
passed=0 failed=0
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM

check() { # name, command
  name=$1
  shift
  if "$@" > "$top/log" 2>&1; then
    passed=$((passed + 1))
    echo "ok   $name"
  else
    failed=$((failed + 1))
    echo "FAIL $name"
    tail -n 80 "$top/log" | sed 's/^/  /'
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
for method in head last-block; do
  check "train --method $method under valgrind" memory train --method $method --epochs 1 \
    --model "$top/tiny.gguf" --data "$top/rows.csv" --val "$top/rows.csv" --out "$top/$method.taxon"
  check "eval of it" memory eval "$top/$method.taxon" --data "$top/rows.csv"
  check "predict by it" memory predict "$top/$method.taxon" good '' bad
done
check 'show under valgrind' memory show "$top/head.taxon"
check 'tokens under valgrind' memory tokens "$top/tiny.gguf" 'good day'

# Threads under ThreadSanitizer: the pool, training, handles in two threads at once.
thread_tests='base/test_parallel tasks/test_train tasks/test_classifier'
set --
for name in $thread_tests; do set -- "$@" "build/tsan/tests/$name"; done
if check 'build with ThreadSanitizer' make -s CC=clang BUILD=build/tsan \
  CFLAGS='-O1 -g -fsanitize=thread' "$@"; then
  for name in $thread_tests; do
    check "threads under ThreadSanitizer: $name" "build/tsan/tests/$name"
  done
fi

check 'build with calls that fail' make -s faults &&
  check 'every n-th call fails' sh tests/faults.sh build 1000000 1

# What clang finds, without what cannot happen: a buffer with a capacity and no
# data, a term found in a table that has none.
analyse() {
  for file in src/*/*.c cli/*.c; do
    case $file in *_avx2.c | *_avx512.c | src/base/error.c) continue ;; esac
    clang --analyze -Xclang -analyzer-output=text -std=c11 -D_GNU_SOURCE -pthread -Iinclude -Isrc \
      -include tests/analyse.h "$file" -o /dev/null || echo "$file: error: it was not analysed"
  done > "$top/analysis" 2>&1
  grep -E ' (warning|error): ' "$top/analysis" |
    grep -vE "^src/base/buffer.c:.*via field 'data'|^src/score/tfidf.c:.*Dereference of null" \
      > "$top/findings"
  [ ! -s "$top/findings" ] || { cat "$top/analysis" "$top/findings"; return 1; }
}
check 'static analysis by clang' analyse

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
