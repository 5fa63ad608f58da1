#!/bin/sh
# What `make install` gives, in an empty directory: the library, found by
# pkg-config, with docs/example.c and the example at the top of include/taxon.h
# compiled against the shared and the static library, and run; the manual pages
# and the completions, which are executed.
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
    "$BUILD/taxon" train --method head --model "$top/tiny.gguf" --data "$top/train.csv" \
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

# A page for the program and one for each verb, without a complaint of man or
# mandoc, whichever is there, and with every option that -h shows.
manual=$top/usr/share/man/man1
verbs=$("$BUILD/taxon" -h | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
lint() {
  complaints=$top/complaints
  : > "$complaints"
  for page in "$manual"/*.1; do
    if command -v man > /dev/null 2>&1; then
      LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>> "$complaints" > /dev/null ||
        echo "man refuses $page" >> "$complaints"
    fi
    if command -v mandoc > /dev/null 2>&1; then mandoc -Tlint "$page" >> "$complaints" 2>&1; fi
  done
  cat "$complaints"
  [ ! -s "$complaints" ]
}
pages_are_whole() {
  [ -n "$verbs" ] && grep -q '^\.SH EXIT STATUS' "$manual/taxon.1" || return 1
  for verb in $verbs; do
    page=$manual/taxon-$verb.1
    grep -q '^\.SH SYNOPSIS' "$page" || { echo "no $page"; return 1; }
    for option in $("$BUILD/taxon" "$verb" -h | sed -n 's/^  --\([a-z-]*\).*/\1/p'); do
      tr -d '\\' < "$page" | grep -q "^fB--$option" || { echo "$page leaves out --$option"; return 1; }
    done
  done
}
check 'a manual page for each verb, with every option' pages_are_whole
if command -v man > /dev/null 2>&1 || command -v mandoc > /dev/null 2>&1; then
  check 'the manual pages are clean' lint
else
  echo 'skipped library: the manual pages are clean: there is no man or mandoc'
fi

# What bash would offer for each line, one answer a line, sorted.
cat > "$top/ask.bash" << 'END'
source "$1"
cd "$2" || exit 1
COMP_WORDBREAKS=$' \t\n"\'><=;|&(:'
ask() {
  COMP_LINE=$1 COMP_POINT=${#1}
  read -ra COMP_WORDS <<< "$1"
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  [[ $1 == *' ' ]] && COMP_CWORD=$((COMP_CWORD + 1))
  COMPREPLY=(left-over)
  _taxon taxon "${COMP_WORDS[COMP_CWORD]}"
  echo "$1> $(printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' ')"
}
while IFS= read -r line; do ask "$line"; done
END
completes_bash() {
  mkdir -p "$top/desk/deep" && : > "$top/desk/rows.csv" && : > "$top/desk/real.taxon" &&
    mkdir -p "$top/home/models" && cp tests/golden/tiny_llama.gguf "$top/home/models/smallone.gguf"
  printf '%s\n' 'taxon tr' 'taxon help ev' 'taxon train --me' 'taxon train --schedule ' \
    'taxon train --method=la' 'taxon train --json --class-weights b' 'taxon train --data r' \
    'taxon train --epochs ' 'taxon pull data:cust' 'taxon pull smollm' 'taxon pull --dir ' \
    'taxon eval re' 'taxon show small' 'taxon train --model small' 'taxon predict real.taxon --i' |
    PATH="$(cd "$BUILD" && pwd):$PATH" TAXON_HOME="$top/home" \
      bash "$top/ask.bash" "$top/usr/share/bash-completion/completions/taxon" "$top/desk" \
      > "$top/answers" 2>&1
  cat > "$top/wanted" << 'END'
taxon tr> train 
taxon help ev> eval 
taxon train --me> --method 
taxon train --schedule > constant cosine linear 
taxon train --method=la> last-block 
taxon train --json --class-weights b> balanced 
taxon train --data r> real.taxon rows.csv 
taxon train --epochs >  
taxon pull data:cust> customer-feedback 
taxon pull smollm> smollm2-135m 
taxon pull --dir > deep 
taxon eval re> real.taxon 
taxon show small> smallone 
taxon train --model small> smallone 
taxon predict real.taxon --i> --id 
END
  diff "$top/wanted" "$top/answers"
}
if command -v bash > /dev/null 2>&1; then
  check 'bash completes verbs, options, choices, files and models' completes_bash
else
  echo 'skipped library: completion: there is no bash'
fi

# The functions that zsh brings stand in for themselves and print what they get.
completes_zsh() {
  cat > "$top/ask.zsh" << 'END'
_arguments() { print -rl -- "$@" }
_describe() { print -rl -- $verbs }
words=(taxon '') CURRENT=2
source "$1"
words=(taxon train --method '') CURRENT=4
_taxon
END
  zsh -f "$top/ask.zsh" "$top/usr/share/zsh/site-functions/_taxon" > "$top/answers" 2>&1 || return 1
  for wanted in 'train:train a classifier from labelled texts' \
    '--class-weights=[balanced\: each label counts the same in all (default\: none)]:class-weights:(none balanced)' \
    '--model=[the base model (required)]:NAME|FILE:_taxon_models' '--json[print JSON]'; do
    grep -qxF -e "$wanted" "$top/answers" || { echo "missing: $wanted"; cat "$top/answers"; return 1; }
  done
}
if command -v zsh > /dev/null 2>&1; then
  check 'zsh is told the verbs, options and choices' completes_zsh
else
  echo 'skipped library: completion in zsh: there is no zsh'
fi
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
