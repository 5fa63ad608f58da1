#!/bin/sh
# The rules of the house that a compiler does not see: which room may include
# which, what the library may call, and what it exports.
#
#   sh tests/rules.sh [BUILD]      after make
#
# Prints "ok NAME" or "FAIL NAME" and what broke the rule; exit status 1 when
# one is broken.
set -u
cd "$(dirname "$0")/.." || exit 2
BUILD=${1:-build}
ROOMS='base kernels formats text model adapt score generate retrieve trust observe tasks serve'
failed=0
found=$(mktemp) || exit 2
trap 'rm -f "$found"' EXIT

# The rule is kept when nothing was found.
verdict() {
  if [ -s "$found" ]; then
    echo "FAIL rules: $1"
    sed 's/^/  /' "$found"
    failed=1
  else
    echo "ok rules: $1"
  fi
}

# A room may include itself and the rooms before it in the list.
grep -n '^ *# *include *"' src/*/*.c src/*/*.h src/*/*.inc 2> /dev/null |
  awk -v rooms="$ROOMS" '
    BEGIN { n = split(rooms, list, " "); for (i = 1; i <= n; i++) floor[list[i]] = i }
    {
      split($0, at, ":"); split(at[1], path, "/"); room = path[2]
      split($0, quoted, "\""); target = quoted[2]; split(target, parts, "/"); other = parts[1]
      if (target == "taxon.h") next
      if (!(room in floor)) print at[1] ": src/" room " is not a room of the list"
      else if (!(other in floor)) print at[1] ":" at[2] ": \"" target "\" names no room"
      else if (floor[other] > floor[room])
        print at[1] ":" at[2] ": " room " may not include " other
    }' > "$found"
verdict "a room includes only rooms before it"

# The program uses what a user of the library has, and nothing else.
grep -n '^ *# *include *"' cli/*.[ch] |
  awk -F'"' '{ split($2, p, "/"); if (p[2] != "") print }' > "$found"
verdict "the program includes nothing of src/"

# What each object asks of other libraries: "src/base/memory.c malloc".
calls=$(mktemp) || exit 2
trap 'rm -f "$found" "$calls"' EXIT
for object in "$BUILD"/src/*/*.o; do
  source=${object#"$BUILD"/}
  nm -u "$object" | awk -v source="${source%.o}.c" '{ print source, $2 }'
done > "$calls"
[ -s "$calls" ] || echo "no objects in $BUILD/src: run make first" > "$calls"

forbid() { # rule, extended expression on "file symbol"
  grep -E "$2" "$calls" > "$found"
  verdict "$1"
}
forbid "the objects are there" '^no objects'
forbid "the library never prints" \
  ' (stdout|stderr|v?d?printf|v?fprintf|puts|putchar|perror|__v?f?printf_chk|psignal|syslog)$'
forbid "the library never exits or aborts" \
  ' (exit|_exit|_Exit|quick_exit|abort|__assert_fail|__assert_perror_fail|raise)$'
forbid "memory comes from base/memory.h" \
  '^src/([^b]|b[^a]).* (malloc|calloc|realloc|reallocarray|strdup|strndup|aligned_alloc|posix_memalign|memalign|v?asprintf|open_memstream|getline)$'
forbid "exp, log and their kin are those of base/exact.h" \
  ' (exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|sin|cos|tan|sincos|sinh|cosh|tanh|erf|erfc|tgamma|lgamma|cbrt|hypot)f?$'
forbid "no random numbers but those of base/random.h" ' (rand|srand|random|drand48|lrand48|rand_r)$'
forbid "no unbounded copies" ' (strcpy|strcat|sprintf|vsprintf|gets|stpcpy|strtok)$'

# tx_ in front of every name that a linker can see; the shared library shows
# what include/taxon.h declares, no more and no less.
nm -g --defined-only "$BUILD/libtaxon.a" | awk 'NF == 3 && $3 !~ /^tx_/ { print $3 }' > "$found"
verdict "every global name begins with tx_"
tr '\n' ' ' < include/taxon.h | sed 's|/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/||g' | tr ';' '\n' |
  grep 'TX_API ' | grep -v '# *define TX_API[^;]*$' |
  sed 's/.*TX_API //; s/(.*//; s/.*[ *]//' | sort > "$calls"
nm -D --defined-only "$BUILD/libtaxon.so" | awk '{ print $3 }' | sort |
  diff "$calls" - | sed -n 's/^< /declared, not exported: /p; s/^> /exported, not declared: /p' \
  > "$found"
[ "$(wc -l < "$calls")" -gt 20 ] || echo "the declarations were not found" >> "$found"
verdict "the shared library exports what the header declares"

grep -nE 'march=native|ffast-math|Ofast|mtune=native' Makefile bench/*.mk > "$found"
verdict "one portable, exact binary: no native or fast-math flags"

exit $failed
