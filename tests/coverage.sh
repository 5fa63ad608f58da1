#!/bin/sh
# How much of src/formats and src/text the tests run: `make coverage`.
#
#   sh tests/coverage.sh [--missing]
#
# Builds with gcc's --coverage and without optimisation into build/coverage, runs
# the programs of tests/formats, tests/text and tests/tasks and the command
# line's golden cases, and prints for each file and for each of the two rooms:
#
#   lines      those with code that ran at least once, of all with code
#   branches   ways out of a condition (gcov's branches: two for each `if` and
#              for each part of && and ||, one for each case of a `switch`) that
#              were taken at least once, of all.  Those of exceptions do not
#              exist in C; code of headers is counted nowhere.
#
# --missing also names the lines that have a branch never taken.  Nothing is
# measured but the tests' reach: what they find wrong is for `make test` to say,
# and a test program that fails here is only named.
#
# Exit status: 1 when the branches of either room are below 95 %.
set -u
cd "$(dirname "$0")/.." || exit 2
unset MAKEFLAGS MAKELEVEL MFLAGS TAXON_CPU TAXON_HOME
export OMP_WAIT_POLICY=passive LC_ALL=C.UTF-8
sh tools/install-dependencies.sh build test check || exit $?
least=95 missing=0
[ "${1:-}" = --missing ] && missing=1
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM

build=build/coverage
# Counters are added to by many threads at once.
make -s CC=gcc BUILD=$build CFLAGS='-O0 -g --coverage -fprofile-update=atomic' all unit > "$top/build" 2>&1 || {
  tail -n 40 "$top/build"
  echo 'coverage: the build failed'
  exit 1
}
find $build -name '*.gcda' -exec rm -f {} +

for source in tests/formats/test_*.c tests/text/test_*.c tests/tasks/test_*.c; do
  program=$build/${source%.c}
  "./$program" > "$top/out" 2>&1 < /dev/null || echo "coverage: $program failed"
done
TAXON=$build/taxon sh tests/cli/run.sh > "$top/out" 2>&1 < /dev/null ||
  echo "coverage: tests/cli: $(tail -n 1 "$top/out")"

for notes in $build/src/formats/*.gcno $build/src/text/*.gcno; do
  gcov --stdout --branch-probabilities --branch-counts "$notes" 2> /dev/null
done > "$top/report"

# gcov writes "count:line:code", and below a line its branches: "branch  0 taken 7"
# or "branch  0 never executed".
awk -F: -v least=$least -v missing=$missing '
  function percent(part, all) { return all ? 100 * part / all : 100 }
  function row(name, lines, run, branches, taken) {
    printf "%-32s %6d of %-6d %6.1f %%  %6d of %-6d %6.1f %%\n", name, run, lines, \
      percent(run, lines), taken, branches, percent(taken, branches)
  }
  $3 == "Source" {
    file = $4
    counted = file ~ /^src\/(formats|text)\/[a-z0-9_]*\.c$/
    if (counted && !(file in seen)) { seen[file] = 1; order[++files] = file }
  }
  !counted { next }
  /^branch/ {
    branches[file]++
    if (/ taken [1-9]/) taken[file]++; else if (!((file, number) in named)) {
      named[file, number] = 1
      holes[file] = holes[file] " " number
    }
    next
  }
  /^(call|function)/ { next }
  $2 + 0 > 0 {
    number = $2 + 0
    if ($1 ~ /-$/) next
    lines[file]++
    if ($1 !~ /[#=]/) run[file]++
  }
  END {
    printf "%-32s %24s  %26s\n", "", "lines", "branches"
    for (i = 1; i <= files; i++) {
      file = order[i]
      row(file, lines[file], run[file], branches[file], taken[file])
      if (missing && holes[file]) print "   never taken in line" holes[file]
      room = file ~ /^src\/text/ ? "src/text" : "src/formats"
      L[room] += lines[file]; R[room] += run[file]; B[room] += branches[file]; T[room] += taken[file]
    }
    for (room in B) {
      row(room, L[room], R[room], B[room], T[room])
      l += L[room]; r += R[room]; b += B[room]; t += T[room]
      if (percent(T[room], B[room]) < least) below = below " " room
    }
    row("in all", l, r, b, t)
    if (b == 0) { print "coverage: nothing was measured"; exit 1 }
    if (below) { print "coverage: below " least " % of the branches:" below; exit 1 }
  }' "$top/report"
