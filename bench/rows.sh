#!/bin/sh
# What many rows cost beside the model: peak memory and rows a second of
# `predict` and `eval` over a large table, with a model so small that reading,
# cutting and printing are a good part of the work.
#
#   [BUILD=build] [ROWS=5000000] [THREADS=] sh bench/rows.sh [WHAT...]
#
# WHAT is csv-file csv-pipe csv-json jsonl-file jsonl-pipe lines eval train (all
# of them by default; train reads 200,000 rows at most).  The tables are made by
# awk, about 13 and 34 bytes a row, in a directory of TMPDIR.
set -u
cd "$(dirname "$0")/.." || exit 2
BUILD=${BUILD:-build} ROWS=${ROWS:-5000000}
make -s BUILD="$BUILD" all "$BUILD/tests/tools/peak" || exit 2
taxon=$(pwd)/$BUILD/taxon peak=$(pwd)/$BUILD/tests/tools/peak model=$(pwd)/tests/golden/tiny_llama.gguf
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
cd "$top" || exit 4
export OMP_WAIT_POLICY=passive TAXON_HOME="$top/home"

table() { # format, rows
  awk -v rows="$2" -v format="$1" 'BEGIN {
    if (format == "csv") print "text,label"
    for (i = 0; i < rows; i++) {
      word = i % 2 ? "good" : "bad"
      if (format == "csv") print word " " i % 97 "," word
      else print "{\"text\":\"" word " " i % 97 "\",\"label\":\"" word "\"}"
    }
  }'
}
table csv 40 > train.csv
"$taxon" train --model "$model" --data train.csv --val train.csv --method head --out my.taxon \
  --quiet > train.log || exit 2

measure() { # name, rows, lines of output expected, command
  name=$1 rows=$2 expected=$3
  shift 3
  "$peak" figures sh -c "exec $*" > out 2> err || { tail -n 1 err && exit 1; }
  [ "$expected" = - ] || [ "$(wc -l < out)" -eq "$expected" ] ||
    { echo "$name: $(wc -l < out) answers to $expected rows" && exit 1; }
  read -r kib seconds < figures
  awk -v name="$name" -v rows="$rows" -v kib="$kib" -v seconds="$seconds" 'BEGIN {
    printf "%-12s %9d rows  %8.1f s  %8.0f rows/s  peak %7.1f MB\n", name, rows, seconds,
      rows / seconds, kib * 1024 / 1e6 }'
}
predict="'$taxon' predict my.taxon --quiet ${THREADS:+--threads $THREADS}"
for what in ${*:-csv-file csv-pipe csv-json jsonl-file jsonl-pipe lines eval train}; do
  case $what in csv* | lines) format=csv ;; jsonl*) format=jsonl ;; *) format=csv ;; esac
  rows=$ROWS
  if [ "$what" = train ] && [ "$rows" -gt 200000 ]; then rows=200000; fi
  [ -f "rows.$rows.$format" ] || table $format "$rows" > "rows.$rows.$format"
  file=rows.$rows.$format
  case $what in
    csv-file | jsonl-file) measure "$what" "$rows" "$rows" "$predict --data $file --format $format" ;;
    csv-pipe | jsonl-pipe)
      mkfifo "$what" && cat "$file" > "$what" &
      while [ ! -p "$what" ]; do sleep 0.01; done
      measure "$what" "$rows" "$rows" "$predict --data - --format $format < $what"
      ;;
    csv-json) measure "$what" "$rows" "$rows" "$predict --data $file --format csv --json" ;;
    lines) measure "$what" "$rows" $((rows + 1)) "$predict - < $file" ;;
    eval)
      measure "$what" "$rows" - "'$taxon' eval my.taxon --data $file --format csv --quiet" \
        "${THREADS:+--threads $THREADS}"
      ;;
    train)
      measure "$what" "$rows" - "'$taxon' train --model '$model' --data $file --format csv" \
        "--method head --out many.taxon --quiet ${THREADS:+--threads $THREADS}"
      ;;
    *) echo "bench/rows.sh: '$what' is not known" >&2 && exit 2 ;;
  esac
done
