#!/bin/sh
# The documentation says what is true: the files it names are there, the verbs
# and options it shows exist, the targets of make exist, the keys of JSON and the
# options of docs/verbs are the program's, and the commands of the README, the tutorial and
# the verbs' pages run as they are written (on a hundred rows, where the real
# model is there: TAXON_TEST_MODEL names it).
#
#   sh tests/documentation.sh [BUILD] [--update|--record]      after make
#
# --update writes the options into docs/verbs.  --record does too, runs all
# commands on all rows, and writes their answers below them in docs/verbs and the
# tutorial: read the difference before you commit it.
# Prints "ok NAME", "FAIL NAME" or "skipped NAME: why"; exit status 1 when one failed.
set -u
cd "$(dirname "$0")/.." || exit 2
REPO=$(pwd)
BUILD=$(cd "${1:-build}" && pwd) || exit 2
PAGES='README.md CONTRIBUTING.md docs/*.md docs/verbs/*.md tests/golden/README.md'
ordered='docs/verbs/pull.md docs/verbs/models.md docs/verbs/show.md docs/verbs/tokens.md
  docs/verbs/train.md docs/verbs/tune.md docs/verbs/eval.md docs/verbs/predict.md
  docs/verbs/generate.md docs/verbs/quantize.md docs/verbs/export.md'
mode=check
case ${2:-} in
  '') ;;
  --update) mode=update ;;
  --record) mode=record ;;
  *) echo "documentation.sh: '$2' is neither --update nor --record" >&2; exit 2 ;;
esac
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
  case $verb in *:) continue ;; esac # a message
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
    grep -qE "^([a-z ]* )?$target( [a-z ]*)?:" Makefile bench/rules.mk tests/*/rules.mk || echo "make $target"
  done > "$found"
verdict 'the targets of make exist'

# The README names what the Makefile links.
sed -n 's/^PACKAGES = //p; s/^LIBS = .*PACKAGE_LIBS)//p' Makefile | tr ' ' '\n' |
  sed -n 's/-8$//; s/^-l/lib/; s/^lib//; /^..*/p' | grep -v '^m$' | sort -u |
  while read -r library; do
    sed -n '/^## Other systems/,/^## /p' README.md | grep -qi "$library" ||
      echo "README.md leaves out $library"
  done > "$found"
verdict 'the libraries it needs are named'

# Every key and tensor of the artifact stands in docs/formats.md.
{
  sed -n 's/.*FIELD("\([a-z0-9_.]*\)".*/taxon.\1/p' src/formats/artifact.c src/formats/tuned.c
  grep -ho '"taxon\.[a-z0-9_.]*[a-z0-9_]"' src/*/*.c | tr -d '"' | grep -v '^taxon.h$'
} | sort -u | while read -r key; do
  grep -qE "\`($key|\.${key##*.})\`" docs/formats.md || echo "docs/formats.md leaves out $key"
done > "$found"
verdict 'the keys of the artifact are described'

# Every key that a verb prints as JSON stands on its page.
for page in docs/verbs/*.md; do
  verb=$(basename "$page" .md)
  {
    grep -oh 'out_put([a-z]*, "[a-z0-9_]*"' "cli/$verb.c"
    [ "$verb" != show ] || grep -oh 'put(whole, [a-z]*, "[a-z0-9_]*"' src/tasks/describe.c
  } | cut -d '"' -f 2 | sort -u | while read -r key; do
    grep -q "\`$key\`" "$page" || echo "$page leaves out $key"
  done
done > "$found"
verdict 'the keys of JSON are described'

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

# The options of docs/verbs are those that the program prints.
options_of() { # page: with its options written anew
  "$BUILD/taxon" "$(basename "$1" .md)" --help=markdown > "$top/options"
  awk -v options="$top/options" '
    /^<!-- end of options -->$/ { inside = 0 }
    !inside { print }
    /^<!-- options -->$/ { inside = 1; while ((getline line < options) > 0) print line }' "$1"
}
: > "$found"
for verb in $("$BUILD/taxon" -h | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  page=docs/verbs/$verb.md
  if [ ! -f "$page" ]; then
    echo "$page is not there" >> "$found"
    continue
  fi
  options_of "$page" > "$top/page"
  [ "$mode" = check ] || cat "$top/page" > "$page"
  diff "$page" "$top/page" >> "$found" ||
    echo "$page is out of date: sh tests/documentation.sh build --update" >> "$found"
done
verdict 'each verb has a page, with the options it has'
[ "$mode" != update ] || exit $failed

# The commands of the pages, one after another in one directory, so that a page
# may use what those before it made; the tutorial in its own.
if [ -z "${TAXON_TEST_MODEL:-}" ]; then
  echo "skipped documentation: the commands of the pages: the real model is not there"
  exit $failed
fi
mkdir "$top/bin" "$top/README" "$top/tutorial" "$top/runs"
ln -s "$BUILD/taxon" "$top/bin/taxon"
export PATH="$top/bin:$PATH" TAXON_HOME="$top/home"
mkdir -p "$top/home/models"
[ "$mode" = record ] || ln -s "$TAXON_TEST_MODEL" "$top/home/models/smollm2-135m.gguf"

# Fewer rows are enough here; a record is of all of them.
cut_tables() {
  [ "$mode" = check ] || return
  find . -name '*.tsv' | while read -r table; do
    head -n 101 "$table" > "$top/cut" && cp "$top/cut" "$table"
  done
}

# What a record shows: messages too, but no path, speed or memory of this machine.
log_of() {
  sed -e "s|$top/home|~/.cache/taxon|g" -e "s|$top/[a-zA-Z]*/|./|g" \
    -e 's|^[0-9][^,]*, .* texts/s, .* of memory$|...|' \
    -e 's/^\(time\|memory\)\(  *\)[0-9].*/\1\2.../' "$top/log"
}

# Runs the commands of a page; its outputs are $top/runs/PAGE.NUMBER.
run_page() { # page, directory; 1: it cannot be run here
  name=$(basename "$1" .md) number=0
  : > "$found"
  awk '/^```console$/ { inside = 1; next } /^```/ { inside = 0 }
    inside && /^\$ / { sub(/^\$ /, ""); print }' "$1" > "$top/commands"
  while read -r command; do
    number=$((number + 1))
    : > "$top/runs/$name.$number"
    case $command in make*) continue ;; esac # it is what runs this
    (cd "$top/$2" && sh -c "$command") > "$top/log" 2>&1 < /dev/null
    status=$?
    case $command in 'taxon pull'* | *'> '*.tsv) (cd "$top/$2" && cut_tables) ;; esac
    case $status,$command in
      4,'taxon pull'* | [1-9]*,'npm '*) return 1 ;; # no network, or no npm
    esac
    log_of > "$top/runs/$name.$number"
    [ $status -eq 0 ] || { echo "\$ $command"; tail -n 3 "$top/log"; } >> "$found"
  done < "$top/commands"
}

# Writes what the commands answered below them.
record() { # page
  awk -v runs="$top/runs/$(basename "$1" .md)." '
    /^```console$/ { inside = 1; print; next }
    /^```/ { inside = 0 }
    inside && !/^\$ / { next }
    { print }
    inside { file = runs (++number); while ((getline line < file) > 0) print line; close(file) }
  ' "$1" > "$top/page" && cat "$top/page" > "$1"
}

for page in README.md $ordered docs/tutorial.md; do
  directory=README
  [ "$page" != docs/tutorial.md ] || directory=tutorial
  if ! run_page "$page" "$directory"; then
    echo "skipped documentation: the commands of $page: $(tail -n 1 "$top/log")"
    [ "$page" != README.md ] || exit $failed
    continue
  fi
  [ -s "$top/commands" ] || echo 'there are no commands' > "$found"
  verdict "the commands of $page run"
  [ "$mode" != record ] || [ "$page" = README.md ] || record "$page"
done
exit $failed
