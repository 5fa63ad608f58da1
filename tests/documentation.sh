#!/bin/sh
# The documentation says what is true: the files it names are there, the verbs
# and options it shows exist, the targets of make exist, and the commands of
# the README run as they are written (on a hundred rows, where the real model
# is there: TAXON_TEST_MODEL names it).
#
#   sh tests/documentation.sh [BUILD]      after make
#
# Prints "ok NAME", "FAIL NAME" or "skipped NAME: why"; exit status 1 when one failed.
set -u
cd "$(dirname "$0")/.." || exit 2
REPO=$(pwd)
BUILD=$(cd "${1:-build}" && pwd) || exit 2
PAGES='README.md CONTRIBUTING.md docs/*.md tests/golden/README.md'
failed=0
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
found=$top/found

verdict() {
  if [ -s "$found" ]; then
    echo "FAIL documentation: $1"
    sed 's/^/  /' "$found"
    failed=1
  else
    echo "ok documentation: $1"
  fi
}

# Fenced blocks: "FILE: line".
blocks() {
  awk '/^ *```/ { inside = !inside; next } inside { print FILENAME ": " $0 }' $PAGES
}

# Names in `code` that look like a file of the repository.
for page in $PAGES; do
  grep -o '`[A-Za-z0-9_./*-]*`' "$page" | tr -d '\140' |
    grep -E '^(\.ci|src|cli|include|tests|tools|bench|docs)/' | grep -v ROOM | sort -u |
    while read -r name; do
      ls -d $name > /dev/null 2>&1 || echo "$page names $name, which is not there"
    done
  grep -o '](\([^)#:]*\))' "$page" | sed 's/](\(.*\))/\1/' | sort -u |
    while read -r link; do
      [ -e "$(dirname "$page")/$link" ] || echo "$page links to $link, which is not there"
    done
done > "$found"
verdict 'the files it names are there'

# taxon VERB --option, alone or behind a prompt or a pipe.
blocks | grep -E '(^[^:]*: (\$ )?|\| *)taxon [a-z]' | while read -r line; do
  command=$(echo "$line" | sed 's/.*taxon \([a-z]\)/\1/')
  verb=${command%% *}
  if ! "$BUILD/taxon" "$verb" -h > "$top/help" 2>&1; then
    echo "$line (no such verb)"
    continue
  fi
  for option in $(echo "$command" | grep -oE -- ' --[a-z-]+'); do
    grep -qE -- "(^| )$option( |$)" "$top/help" || echo "$line (no $option)"
  done
done > "$found"
verdict 'the verbs and options it shows exist'

{
  blocks | sed -n 's/^[^:]*: \(\$ \)\{0,1\}make\( [^#]*\).*/\2/p'
  cat $PAGES | grep -o '`make [^`]*`' | tr -d '\140' | sed 's/^make//'
} | sed 's/&&.*//' | tr ' ' '\n' | grep -E '^[a-z]+$' | sort -u |
  while read -r target; do
    grep -qE "^([a-z ]* )?$target( [a-z ]*)?:" Makefile bench/rules.mk || echo "make $target"
  done > "$found"
verdict 'the targets of make exist'

# Every key and tensor of the artifact stands in docs/formats.md.
{
  sed -n 's/.*FIELD("\([a-z0-9_.]*\)".*/taxon.\1/p' src/formats/artifact.c
  grep -ho '"taxon\.[a-z0-9_.]*[a-z0-9_]"' src/*/*.c | tr -d '"' | grep -v '^taxon.h$'
} | sort -u | while read -r key; do
  grep -qE "\`($key|\.${key##*.})\`" docs/formats.md || echo "docs/formats.md leaves out $key"
done > "$found"
verdict 'the keys of the artifact are described'

# The C of the pages compiles: a whole file where it has a main, else a body.
number=0
: > "$found"
awk -v to="$top/block" '/^```c$/ { n++; inside = 1; next } /^```/ { inside = 0 }
  inside { print > (to n ".c") }' $PAGES
for block in "$top"/block*.c; do
  [ -e "$block" ] || continue
  number=$((number + 1))
  { grep '^#include' "$block"
    if grep -q 'int main' "$block"; then grep -v '^#include' "$block"; else
      echo 'int example(void); int example(void) {'
      grep -v '^#include' "$block"
      echo 'return 0; }'
    fi; } > "$top/whole.c"
  ${CC:-cc} -std=c11 -Wall -Wextra -Werror -Iinclude -fsyntax-only "$top/whole.c" >> "$found" 2>&1
done
[ $number -gt 0 ] || echo 'there is no C in the pages' > "$found"
verdict 'its C compiles'

# The README's session, line by line, in a directory of its own.
if [ -z "${TAXON_TEST_MODEL:-}" ]; then
  echo "skipped documentation: the README's commands: the real model is not there"
  exit $failed
fi
mkdir "$top/work" "$top/bin"
ln -s "$BUILD/taxon" "$top/bin/taxon"
export PATH="$top/bin:$PATH" TAXON_HOME="$top/home"
mkdir -p "$top/home/models"
ln -s "$TAXON_TEST_MODEL" "$top/home/models/smollm2-135m.gguf"
awk '/^```console$/ { inside = 1; next } /^```/ { inside = 0 }
  inside && /^\$ / { sub(/^\$ /, ""); print }' README.md > "$top/commands"
: > "$found"
[ "$(grep -c taxon "$top/commands")" -ge 5 ] || echo 'there are too few commands' > "$found"
while read -r command; do
  case $command in
    make*) continue ;; # it is what runs this
    *'pull data:'*)
      # The data is real, and fewer rows of it are enough here.
      (cd "$top/work" && sh -c "$command") > "$top/log" 2>&1 < /dev/null
      status=$?
      for table in "$top"/work/*.tsv; do
        head -n 101 "$table" > "$top/cut" && cp "$top/cut" "$table"
      done ;;
    *)
      (cd "$top/work" && sh -c "$command") > "$top/log" 2>&1 < /dev/null
      status=$? ;;
  esac
  case $status,$command in
    4,'taxon pull'*) # the system: no network
      echo "skipped documentation: the README's commands: $(tail -n 1 "$top/log")"
      exit $failed ;;
  esac
  [ $status -eq 0 ] || { echo "\$ $command"; tail -n 3 "$top/log"; } >> "$found"
done < "$top/commands"
verdict "the README's commands run"
exit $failed
