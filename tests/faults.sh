#!/bin/sh
# The n-th allocation, read, write, sync, rename, map, opening, closing or thread
# start of a small train, eval, predict, export, show and tokens fails, once or for good:
# status 4 and a sentence, no crash, no loss of memory, no harmed file
# (tests/faults/faults.c says what is looked at, and what is harmless).
#
#   sh tests/faults.sh [BUILD [EVERY STRIDE [SHARD]]]      after make faults
#
# As many shards as there are processors share the work; SHARD, from 0, is for itself.
# Of the allocations every n up to EVERY (200) is tried and each STRIDE-th (37)
# after it; of the others every one.  `make check` tries all.  Prints "ok NAME" or
# "FAIL NAME" and why; exit status 1 when one failed.
set -u
cd "$(dirname "$0")/.." || exit 2
BUILD=${1:-build} EVERY=${2:-200} STRIDE=${3:-37} SHARD=${4:-}
shards=$(nproc)
faults=$BUILD/tests/faults/faults
# In memory where it can be: thousands of tries wait for the disk otherwise.
top=$(mktemp -d -p /dev/shm 2> /dev/null || mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
failed=0

if [ -z "$SHARD" ]; then
  shard=0
  while [ "$shard" -lt "$shards" ]; do
    { sh tests/faults.sh "$BUILD" "$EVERY" "$STRIDE" "$shard" > "$top/$shard" 2>&1 ||
      : > "$top/failed"; } &
    shard=$((shard + 1))
  done
  wait
  for shard in "$top"/[0-9]*; do cat "$shard"; done
  [ ! -e "$top/failed" ]
  exit
fi

tries=0
mkdir "$top/work"

cp tests/golden/tiny_llama.gguf "$top/tiny.gguf"
rows() { # separator, numbers
  separator=$1
  shift
  echo "text${separator}label"
  for i in "$@"; do echo "good fine $i${separator}good" && echo "bad poor $i${separator}bad"; done
}
rows , 1 2 3 4 5 6 > "$top/rows.csv"
rows , 7 8 > "$top/val.csv"
rows "$(printf '\t')" 7 8 > "$top/val.tsv"
for i in 7 8; do
  echo "{\"text\": \"good fine $i\", \"label\": \"good\"}"
  echo "{\"text\": \"bad poor $i\", \"label\": \"bad\"}"
done > "$top/val.jsonl"
printf 'good\nbad\nfine\n' > "$top/lines.txt"
"$BUILD/taxon" train --quiet --method head --penalty 1 --model "$top/tiny.gguf" \
  --data "$top/rows.csv" --val "$top/val.csv" --out "$top/head.taxon" --home "$top/home" \
  > "$top/log" 2>&1 || {
  echo 'FAIL faults: an artifact is made'
  cat "$top/log"
  exit 1
}

"$BUILD/taxon" train --quiet --method head --penalty 1 --model "$top/tiny.gguf" --depth 2 \
  --head "a:$top/rows.csv" --head "b:$top/rows.csv" --out "$top/heads.taxon" --home "$top/home" \
  > "$top/log" 2>&1 || {
  echo 'FAIL faults: an artifact of two heads is made'
  cat "$top/log"
  exit 1
}

"$BUILD/taxon" train --quiet --method lora --rank 1 --depth 1 --epochs 1 --model "$top/tiny.gguf" \
  --data "$top/rows.csv" --val "$top/val.csv" --out "$top/lora.taxon" --home "$top/home" \
  > "$top/log" 2>&1 || {
  echo 'FAIL faults: an artifact of adapters is made'
  cat "$top/log"
  exit 1
}
tune="--quiet --model $top/tiny.gguf --instruction Which: --input text --output label"
tune="$tune --template chatml --rank 4 --epochs 1"
"$BUILD/taxon" tune $tune --data "$top/rows.csv" --val "$top/val.csv" --out "$top/tuned.taxon" \
  --home "$top/home" > "$top/log" 2>&1 || {
  echo 'FAIL faults: a tuned model is made'
  cat "$top/log"
  exit 1
}
for i in 1 2 3; do
  echo "{\"messages\": [{\"role\": \"user\", \"content\": \"$i\"}, {\"role\": \"assistant\",
    \"content\": \"a $i\"}], \"prompt\": \"$i\", \"chosen\": \"b\", \"rejected\": \"c\"}" | tr -d '\n'
  echo
done > "$top/chat.jsonl"

# KIND and once|good of a command.
attempt() { # name, kind, how, arguments
  name=$1 kind=$2 how=$3
  shift 3
  tries=$((tries + 1))
  [ $((tries % shards)) -eq "$SHARD" ] || return 0
  every=1000000
  [ "$kind" != alloc ] || every=$EVERY
  if "$faults" "$top/work" "$kind" "$how" "$every" "$STRIDE" "$@" > "$top/log" 2>&1; then
    echo "ok faults: $name: $(cat "$top/log")"
  else
    echo "FAIL faults: $name, $kind $how"
    sed 's/^/  /' "$top/log"
    failed=1
  fi
}

each() { # name, kinds, arguments
  name=$1 kinds=$2
  shift 2
  for kind in $kinds; do
    for how in once good; do attempt "$name" "$kind" "$how" "$@"; done
  done
}

# What is not seen cannot fail: a training makes calls of every kind.
"$faults" --count "$top/work" -- train --quiet --threads 3 --model "$top/tiny.gguf" \
  --data "$top/rows.csv" --out out.taxon --home home > "$top/log" 2>&1
if tr ',' '\n' < "$top/log" | awk '
    BEGIN { least["alloc"] = 500; least["read"] = 3; least["write"] = 2; least["sync"] = 2
            least["rename"] = 1; least["map"] = 4; least["thread"] = 2; least["open"] = 4
            least["close"] = 4 }
    $1 in least && $2 >= least[$1] { seen++ }
    /by libraries/ && $4 > 100 { seen++ }
    END { exit seen != 10 }'; then
  echo 'ok faults: calls of every kind are seen'
else
  echo 'FAIL faults: calls of every kind are seen'
  sed 's/^/  /' "$top/log"
  failed=1
fi

all='alloc read write sync rename map open close'
train="--quiet --model $top/tiny.gguf --data $top/rows.csv --val $top/val.csv --out out.taxon"
train="$train --home home"
methods=$("$BUILD/taxon" train -h | sed -n 's/^ *--method \([a-z-]*|[a-z|-]*\).*/\1/p' | tr '|' ' ')
[ -n "$methods" ] || methods='the list of methods is not in the help'
for method in $methods; do
  each "train --method $method" "$all" -- train --method "$method" --epochs 1 --threads 1 $train
  each "train --method $method" thread -- train --method "$method" --epochs 1 --threads 3 $train
done
for precision in int8 auto; do
  each "train --precision $precision" 'alloc map read open' -- train --method last-block --epochs 1 \
    --precision $precision --threads 1 $train
done
heads="--quiet --model $top/tiny.gguf --head a:$top/rows.csv --head b:$top/rows.csv"
heads="$heads --depth 2 --out out.taxon --home home --threads 1"
each 'train --head' "$all" -- train $heads
each 'train --head --no-cache' 'alloc map' -- train $heads --no-cache
reading='alloc read write map open close'
each 'eval --head' 'alloc map' -- eval "$top/heads.taxon" --home home --head b \
  --data "$top/val.csv" --threads 1
each 'predict of heads' "$reading" -- predict "$top/heads.taxon" --home home --threads 1 good bad
each 'show of heads' 'alloc map' -- show "$top/heads.taxon" --home home
eval="$top/head.taxon --home home"
each 'eval' "$reading" -- eval $eval --data "$top/val.csv" --threads 1
each 'eval' thread -- eval $eval --data "$top/val.csv" --threads 3
each 'eval of TSV' 'alloc read' -- eval $eval --data "$top/val.tsv" --threads 1
each 'eval of JSONL' 'alloc read' -- eval $eval --data "$top/val.jsonl" --json --threads 1
each 'predict' "$reading" -- predict $eval --threads 1 good bad
each 'predict' thread -- predict $eval --threads 3 good bad
each 'predict -' 'alloc read' --in "$top/lines.txt" -- predict $eval --threads 1 -
each 'predict --data' 'alloc read' -- predict $eval --threads 1 --data "$top/val.csv"
each 'predict --precision int8' "$reading" -- predict $eval --precision int8 --threads 1 good bad
each 'quantize' "$all" -- quantize $eval --data "$top/val.csv" --tolerance 100 --out out.taxon \
  --threads 1
for to in gguf safetensors peft; do
  each "export --to $to" "$all" -- export "$top/lora.taxon" --to $to --home home \
    --out home/out --replace
done
mkdir "$top/tables"
for name in train val test; do cp "$top/val.tsv" "$top/tables/$name.tsv"; done
each 'ablate' "$all" -- ablate --quiet --model "$top/tiny.gguf" --data "$top/tables" --out home/report \
  --home home --rows 1,18 --seeds 1 --epochs 1 --cache-mb 0 --threads 1
each 'show' "$reading" -- show $eval
each 'show --json' 'alloc write' -- show $eval --json
each 'show of a model' "$reading" -- show "$top/tiny.gguf" --home home
tune="$tune --out out.taxon --home home"
each 'tune' "$all" -- tune $tune --data "$top/rows.csv" --val "$top/val.csv" --threads 1
each 'tune' thread -- tune $tune --data "$top/rows.csv" --val "$top/val.csv" --threads 3
each 'tune --method full' 'alloc map write' -- tune $tune --data "$top/rows.csv" \
  --method full --threads 1
chat="--quiet --model $top/tiny.gguf --data $top/chat.jsonl --val $top/chat.jsonl --rank 4"
chat="$chat --epochs 1 --out out.taxon --home home --threads 1"
each 'tune on messages' 'alloc read' -- tune $chat
each 'tune --dpo' 'alloc read' -- tune $chat --dpo
generate="$top/tuned.taxon --home home --threads 1 --max-new 3"
each 'generate' "$reading" -- generate $generate good bad
each 'generate -' 'alloc read' --in "$top/lines.txt" -- generate $generate - --json
each 'generate --data' "$all" -- generate $generate --data "$top/val.csv" --input text \
  --output label --instruction Which:
each 'show of a tuned model' 'alloc map' -- show "$top/tuned.taxon" --home home
each 'tokens' 'alloc map write' -- tokens "$top/tiny.gguf" 'good day' --home home
exit $failed
