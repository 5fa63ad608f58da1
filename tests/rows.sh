#!/bin/sh
# `predict` reads a table as it needs it: twelve times the rows take no more
# memory, from a file and from a pipe, whatever the format.
#
#   sh tests/rows.sh BUILD
#
# 60,000 rows of about 400 bytes; kept in memory they would be over 20 MB.
# bench/rows.sh measures millions.
set -u
cd "$(dirname "$0")/.." || exit 2
taxon=$(pwd)/$1/taxon peak=$(pwd)/$1/tests/tools/peak model=$(pwd)/tests/golden/tiny_llama.gguf
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
cd "$top" || exit 4
export TAXON_HOME="$top/home"
few=5000 many=60000 spare=2000 # KiB

table() { # format, rows: a short text, an id, and a long cell that nobody asks for
  awk -v format="$1" -v rows="$2" 'BEGIN {
    for (i = 0; i < 45; i++) long = long " a word"
    if (format == "csv") print "id,notes,text,label"
    if (format == "tsv") print "id\tnotes\ttext\tlabel"
    for (i = 0; i < rows; i++) {
      word = i % 2 ? "good" : "bad"
      if (format == "csv") print "row " i ",\"" long i "\"," word "," word
      if (format == "tsv") print "row " i "\t" long i "\t" word "\t" word
      if (format == "jsonl")
        print "{\"id\":" i ",\"notes\":\"" long i "\",\"text\":\"" word "\",\"label\":\"" word "\"}"
      if (format == "lines") print word
    }
  }'
}
table csv 20 > train.csv
"$taxon" train --model "$model" --data train.csv --val train.csv --method head --out my.taxon \
  --quiet > log 2>&1 || { cat log && exit 2; }

# The largest resident set in KiB, into $kib.
run() { # rows, file, arguments
  rows=$1 input=$2
  shift 2
  case $format in
    csv) set -- --data "$input" "$@" ;;
    lines) set -- - "$@" ;;
    *) set -- --data - --format "$format" "$@" ;;
  esac
  "$peak" figures "$taxon" predict my.taxon --quiet --threads 1 "$@" < "$input" > out 2> err ||
    wrong="it fails: $(cat err)"
  [ "$(wc -l < out)" -eq "$rows" ] || wrong="it answers $(wc -l < out) rows of $rows"
  read -r kib seconds < figures
}
failed=0
compare() { # name, format, arguments
  name=$1 format=$2 wrong=
  shift 2
  run $few few.$format "$@"
  little=$kib
  run $many many.$format "$@"
  [ "$kib" -le $((little + spare)) ] ||
    wrong="$few rows take $little KiB of memory, and $many rows $kib KiB"
  if [ -z "$wrong" ]; then
    echo "ok rows: $name"
  else
    echo "FAIL rows: $name: $wrong"
    failed=1
  fi
}
for format in csv tsv jsonl lines; do
  table $format $few > few.$format
  table $format $many > many.$format
done
compare 'csv from a file' csv
compare 'tsv from standard input' tsv
compare 'jsonl from standard input, as JSON' jsonl --json
compare 'lines from standard input' lines
exit $failed
