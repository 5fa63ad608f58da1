#!/bin/sh
# The library as its users meet it: installed into an empty directory, found by
# pkg-config, with docs/example.c and the example at the top of include/taxon.h
# compiled against the shared and the static library, and run.
#
#   sh tests/library.sh [BUILD]      after make
#
# Prints "ok NAME" or "FAIL NAME" and why; exit status 1 when one failed.
set -u
cd "$(dirname "$0")/.." || exit 2
BUILD=${1:-build}
CC=${CC:-cc}
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
failed=0

check() { # name, command
  name=$1
  shift
  if "$@" > "$top/log" 2>&1; then
    echo "ok library: $name"
  else
    echo "FAIL library: $name"
    sed 's/^/  /' "$top/log"
    failed=1
    return 1
  fi
}

# An artifact from the tiny model of the tests, to have something to open.
make_artifact() {
  {
    echo text,label
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "good fine $i,good" && echo "bad poor $i,bad"; done
  } > "$top/train.csv"
  cp tests/golden/tiny_llama.gguf "$top/tiny.gguf" &&
    "$BUILD/taxon" train --model "$top/tiny.gguf" --data "$top/train.csv" \
      --out "$top/feedback.taxon" --home "$top/home" --quiet
}

# The lines between "taxon:" and "Conventions." in the header's first comment.
header_example() {
  echo '#include <stdio.h>'
  echo '#include <taxon.h>'
  echo 'int main(void) {'
  sed -n '2,/^ \* Conventions/{/^ \*   /s/^ \*   //p}' include/taxon.h
  echo 'return 0; }'
}

prints_labels() { # program and arguments
  "$@" > "$top/out" && cat "$top/out" && grep -q '^ *bad  *[01]\.[0-9]' "$top/out" &&
    grep -q '^ *good  *[01]\.[0-9]' "$top/out"
}

refuses() { # program: a file that is not there gives status 3 and a sentence
  "$1" "$top/none.taxon" text 2> "$top/err"
  [ $? -eq 3 ] && cat "$top/err" && grep -q 'example: .*none.taxon' "$top/err"
}

check 'make install' make -s BUILD="$BUILD" PREFIX="$top/usr" install || exit 1
check 'an artifact is made' make_artifact || exit 1
export PKG_CONFIG_PATH="$top/usr/lib/pkgconfig"
strict='-std=c11 -Wall -Wextra -Werror -pedantic'
shared="$(pkg-config --cflags --libs taxon) -Wl,-rpath,$top/usr/lib"
static="-Wl,--as-needed -l:libtaxon.a $(pkg-config --static --cflags --libs taxon)"
header_example > "$top/header.c"

for kind in shared static; do
  eval "flags=\$$kind"
  check "docs/example.c compiles, $kind" $CC $strict docs/example.c -o "$top/example" $flags &&
    check "docs/example.c runs, $kind" prints_labels "$top/example" "$top/feedback.taxon" 'good' &&
    check "docs/example.c refuses, $kind" refuses "$top/example"
  check "the header's example compiles, $kind" \
    $CC $strict "$top/header.c" -o "$top/header" $flags &&
    (cd "$top" && check "the header's example runs, $kind" prints_labels ./header) || failed=1
done
# The library's threads end with it: loaded, used and unloaded by a program.
cat > "$top/unload.c" << 'END'
#include <dirent.h>
#include <dlfcn.h>
#include <taxon.h>
static int threads(void) {
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  while (tasks && readdir(tasks)) count++;
  return closedir(tasks), count - 2;
}
int main(int count, char **arguments) {
  void *library = dlopen(arguments[1], RTLD_NOW);
  if (!library || count != 3) return 2;
  __typeof__(tx_set_threads) *set_threads;
  __typeof__(tx_classifier_defaults) *defaults;
  __typeof__(tx_classifier_open) *open;
  __typeof__(tx_classifier_close) *release;
  *(void **)&set_threads = dlsym(library, "tx_set_threads");
  *(void **)&defaults = dlsym(library, "tx_classifier_defaults");
  *(void **)&open = dlsym(library, "tx_classifier_open");
  *(void **)&release = dlsym(library, "tx_classifier_close");
  tx_classifier *classifier;
  set_threads(3);
  if (open(arguments[2], defaults(), &classifier, 0) != TX_OK) return 3;
  release(classifier);
  int used = threads();
  dlclose(library);
  return dlopen(arguments[1], RTLD_NOW | RTLD_NOLOAD) ? 4 : used < 2 ? 5 : threads() == 1 ? 0 : 6;
}
END
check 'its threads end when it is unloaded' sh -c \
  "$CC -std=c11 -D_GNU_SOURCE -I'$top/usr/include' '$top/unload.c' -o '$top/unload' -ldl &&
  '$top/unload' '$top/usr/lib/libtaxon.so' '$top/feedback.taxon'"
check 'the static program needs no libtaxon.so' sh -c "! ldd '$top/example' | grep libtaxon"
compiler=
for name in ${CXX:-g++ clang++}; do
  command -v "$name" > /dev/null 2>&1 && { compiler=$name; break; }
done
if [ -n "$compiler" ]; then
  echo '#include <taxon.h>
  int main() { return tx_version() == nullptr; }' > "$top/version.cc"
  check 'the header serves C++' "$compiler" -Wall -Wextra -Werror -I"$top/usr/include" \
    -fsyntax-only "$top/version.cc"
else
  echo 'skipped library: the header serves C++: there is no g++ or clang++'
fi
exit $failed
