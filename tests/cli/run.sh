#!/bin/sh
# Golden tests of the command line: runs the cases of tests/cli/cases and
# compares standard output, standard error and exit status, exactly.
#
#   TAXON=build/taxon sh tests/cli/run.sh [--update] [NAME...]
#
# NAME is a case file without its .case, or "terminal" for terminal.py (all of
# them by default).  --update
# writes what the program answers into the files instead: read the difference
# before you commit it.  Prints a line and the difference for each failure, and
# ends with "N passed, N failed"; exit status 1 when a case failed.
#
# A case file holds several cases, which share a directory and run in order:
#
#   @ needs tests/golden/x   the file is skipped where this is missing
#   @ run COMMAND            before the first case, to make its files
#   ~ s/[0-9.]* s/N s/       sed on both outputs, for what varies (before the
#                            first case: for all of them)
#   ## what is tested        starts a case
#   $ taxon predict a.taxon  the command, for sh; several lines are one script
#   ? 2                      exit status, when it is not 0
#   > text                   a line of standard output
#   ! text                   a line of standard error
#   # text                   a remark
#
# The commands find `taxon` on the PATH, the repository as $REPO, and an empty
# TAXON_HOME in their directory.
set -u
cd "$(dirname "$0")/../.." || exit 2
REPO=$(pwd)
TAXON=${TAXON:-build/taxon}
case $TAXON in /*) ;; *) TAXON=$REPO/$TAXON ;; esac
if [ ! -x "$TAXON" ]; then
  echo "tests/cli/run.sh: $TAXON is not there: build it, or name it in TAXON" >&2
  exit 2
fi
update=no
if [ "${1:-}" = --update ]; then update=yes; shift; fi
[ $# -gt 0 ] || set -- $(cd tests/cli/cases && ls | sed -n 's/\.case$//p') terminal

top=$(mktemp -d) || exit 2
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
mkdir "$top/bin"
ln -s "$TAXON" "$top/bin/taxon"
PATH=$top/bin:$PATH LC_ALL=C.UTF-8
unset TAXON_CPU NO_COLOR COLUMNS
export PATH LC_ALL REPO
passed=0 failed=0 skipped=0

# Splits $1 into $2/NUMBER.{title,sh,sed,out,err,status} and $2/head.{sh,sed,needs}.
split() {
  awk -v to="$2" '
    function put(kind, text) { print text > (name "." kind) }
    function begin(which) { name = to "/" which; printf "" > (name ".sh"); printf "" > (name ".sed") }
    BEGIN { begin("head"); printf "" > (to "/head.needs"); number = 0 }
    /^## / {
      begin(sprintf("%03d", ++number)); put("title", substr($0, 4))
      printf "" > (name ".out"); printf "" > (name ".err"); print 0 > (name ".status")
      next
    }
    /^@ needs / { put("needs", substr($0, 9)); next }
    /^@ run /   { put("sh", substr($0, 7)); next }
    /^\$ /      { put("sh", substr($0, 3)); next }
    /^~ /       { put("sed", substr($0, 3)); next }
    /^>/        { put("out", substr($0, 3)); next }
    /^!/        { put("err", substr($0, 3)); next }
    /^\? /      { close(name ".status"); print substr($0, 3) > (name ".status"); next }
    /^#/ || /^$/ { next }
    { print "line " NR " of the case file means nothing: " $0; bad = 1 }
    END { exit bad }' "$1"
}

# Writes case file $1 anew from the answers in $2.
rewrite() {
  awk -v from="$2" '
    function copy(kind, mark,   line, file) {
      file = name "." kind
      while ((getline line < file) > 0) print (line == "" ? mark : mark " " line)
      close(file)
    }
    function finish(   status) {
      if (!pending) return
      getline status < (name ".got.status")
      if (status != 0) print "? " status
      copy("got.out", ">"); copy("got.err", "!"); pending = 0
    }
    /^## / { finish(); name = from "/" sprintf("%03d", ++number); pending = 1; print; next }
    /^[>!]/ || /^\? / { next }
    /^$/ { finish() }
    { print }
    END { finish() }' "$1" > "$2/new" && cat "$2/new" > "$1"
}

fail() {
  failed=$((failed + 1))
  echo "FAIL $1"
}

# Runs case $2 (a path without ending) of file $1.
run_case() {
  (cd "$work" && exec sh "$2.sh") > "$2.raw.out" 2> "$2.raw.err" < /dev/null
  echo $? > "$2.got.status"
  for stream in out err; do
    sed -e "s|$work|WORK|g" -e "s|$REPO|REPO|g" -f "$parts/head.sed" -f "$2.sed" \
      "$2.raw.$stream" > "$2.got.$stream"
  done
  [ $update = yes ] && return
  same=yes
  for kind in status out err; do
    cmp -s "$2.$kind" "$2.got.$kind" || same=no
  done
  if [ $same = yes ]; then
    passed=$((passed + 1))
    return
  fi
  fail "$1: $(cat "$2.title")"
  for kind in status out err; do
    diff -u "$2.$kind" "$2.got.$kind" | sed -e '1,2d' -e "s/^/  $kind: /"
  done
}

# What needs a terminal is in Python; its lines are ok, FAIL and skipped.
run_terminal() {
  if ! command -v python3 > /dev/null 2>&1; then
    echo "skipped terminal: needs python3"
    skipped=$((skipped + 1))
    return
  fi
  python3 tests/cli/terminal.py "$TAXON" > "$top/terminal.out" 2>&1 ||
    echo "FAIL terminal: terminal.py itself failed" >> "$top/terminal.out"
  grep -v '^ok ' "$top/terminal.out"
  passed=$((passed + $(grep -c '^ok ' "$top/terminal.out")))
  failed=$((failed + $(grep -c '^FAIL ' "$top/terminal.out")))
  skipped=$((skipped + $(grep -c '^skipped ' "$top/terminal.out")))
}

terminal=no
for name in "$@"; do
  if [ "$name" = terminal ]; then terminal=yes; continue; fi
  file=tests/cli/cases/$name.case
  parts=$top/parts.$name work=$top/$name
  mkdir "$parts" "$work"
  TAXON_HOME=$work/home
  export TAXON_HOME
  if ! split "$file" "$parts" > "$parts/bad"; then
    fail "$name: $(head -n 1 "$parts/bad")"
    continue
  fi
  missing=
  while read -r need; do [ -e "$need" ] || missing=$need; done < "$parts/head.needs"
  if [ -n "$missing" ]; then
    echo "skipped $name: needs $missing"
    skipped=$((skipped + 1))
    continue
  fi
  if ! (cd "$work" && sh -e "$parts/head.sh") > "$parts/bad" 2>&1 < /dev/null; then
    fail "$name: its preparation failed: $(tail -n 1 "$parts/bad")"
    continue
  fi
  for title in "$parts"/[0-9]*.title; do run_case "$name" "${title%.title}"; done
  [ $update = yes ] && rewrite "$file" "$parts"
done

if [ $update = yes ]; then
  echo "written: look at the difference"
  exit 0
fi
if [ $terminal = yes ]; then run_terminal; fi
[ $skipped -eq 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
