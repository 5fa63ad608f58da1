#!/bin/sh
# Installs what is missing, and only that: a machine that has everything is
# left alone and no administrator is asked for.
#
#   sh tools/install-dependencies.sh [--check] [build] [test] [clang] [check]
#
# build (the default): to build taxon and to pull models.  test: for `make test`.
# clang: for its build with clang, which it skips otherwise.  check: for `make
# check`.  --check installs nothing and only says what is missing.
#
# Each part is looked for itself (a program, a pkg-config name, a header), so
# this also works where the parts did not come from Debian's packages.
# Exit status: 0 everything is there, 2 wrong usage, 4 something is missing.
set -u

# package              how to find it
parts_of() {
  case $1 in
    build) cat << 'END' ;;
build-essential        header stdio.h
pkg-config             program pkg-config
libpcre2-dev           module libpcre2-8
libutf8proc-dev        module libutf8proc
libjansson-dev         module jansson
libssl-dev             module libcrypto
libxxhash-dev          module libxxhash
libarchive-dev         module libarchive
libcurl4-openssl-dev   module libcurl
libcsv-dev             header csv.h
liblbfgs-dev           header lbfgs.h
python3-pip            python pip
END
    test) cat << 'END' ;;
libcmocka-dev          header setjmp.h,stdarg.h,stddef.h,stdint.h,cmocka.h
libopenblas-openmp-dev header cblas.h
python3                program python3
END
    clang) cat << 'END' ;;
clang                  program clang
END
    check) cat << 'END' ;;
valgrind               program valgrind
mandoc                 program mandoc
zsh                    program zsh
clang                  program clang
libclang-rt-14-dev     runtime clang
cppcheck               program cppcheck
END
    *) return 1 ;;
  esac
}

has_headers() {
  for header in $(echo "$1" | tr ',' ' '); do echo "#include <$header>"; done |
    "${CC:-cc}" -E -x c - > /dev/null 2>&1
}

is_there() {
  case $1 in
    program) command -v "$2" > /dev/null 2>&1 ;;
    module) pkg-config --exists "$2" 2> /dev/null ;;
    header) has_headers "$2" ;;
    python) python3 -c "import $2" > /dev/null 2>&1 ;;
    runtime) [ -e "$("$2" -print-file-name=libclang_rt.fuzzer-x86_64.a 2> /dev/null)" ] ;;
  esac
}

# The packages of the sets in $@ that are not there, on one line.
missing_of() {
  for set in "$@"; do parts_of "$set"; done | while read -r package how what; do
    is_there "$how" "$what" || printf '%s ' "$package"
  done
}

check=no
[ "${1:-}" = --check ] && { check=yes; shift; }
[ $# -gt 0 ] || set -- build
for set in "$@"; do
  parts_of "$set" > /dev/null || {
    echo "install-dependencies: '$set' is not build, test, clang or check" >&2
    exit 2
  }
done

missing=$(missing_of "$@")
missing=${missing% }
[ -n "$missing" ] || exit 0

line="apt-get install -y --no-install-recommends $missing"
give_up() {
  echo "install-dependencies: $1" >&2
  echo "  as root: apt-get update && $line" >&2
  exit 4
}
[ $check = no ] || give_up "this is missing: $missing"
command -v apt-get > /dev/null 2>&1 ||
  give_up "there is no apt-get here; install what this names on Debian:"
root=
if [ "$(id -u)" != 0 ]; then
  root=sudo
  [ -t 0 ] || root='sudo -n'
  $root true 2> /dev/null || give_up "only root may install what is missing:"
fi

echo "Installing what is missing: $missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp) || exit 4
trap 'rm -f "$log"' EXIT
for command in "apt-get update" "$line"; do
  echo "\$ ${root:+$root }$command"
  $root env DEBIAN_FRONTEND=noninteractive $command < /dev/null > "$log" 2>&1 && continue
  # Lists that are a little old still serve; the installation decides.
  tail -n 5 "$log" >&2
  [ "$command" = "apt-get update" ] || give_up "apt-get failed; this is what was asked of it:"
done

missing=$(missing_of "$@")
[ -z "$missing" ] || give_up "installed, but still not found: $missing"
