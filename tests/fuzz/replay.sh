#!/bin/sh
# Every seed and every kept input once through its fuzz target.
#
#   sh tests/fuzz/replay.sh [BUILD]      after make SANITIZE=1 fuzzers
#
# Prints "ok NAME" or "FAIL NAME" and why; exit status 1 when one failed.
set -u
cd "$(dirname "$0")/../.." || exit 2
BUILD=${1:-build/asan}
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
failed=0
python3 tests/fuzz/make_seeds.py "$top/seeds" || exit 1
for target in $(sed -n 's/^FUZZ_NAMES = //p' tests/fuzz/rules.mk); do
  set -- "$top/seeds/$target"/*
  for kept in "tests/fuzz/kept/$target"/*; do [ ! -f "$kept" ] || set -- "$@" "$kept"; done
  if "$BUILD/tests/fuzz/fuzz_$target" "$@" > "$top/log" 2>&1; then
    echo "ok fuzz: $target, $# inputs"
  else
    echo "FAIL fuzz: $target"
    tail -n 40 "$top/log" | sed 's/^/  /'
    failed=1
  fi
done
exit $failed
