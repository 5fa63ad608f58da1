#!/bin/sh
# A run of gradient steps that is killed and resumed ends in the same classifier,
# byte for byte, as one that nobody stopped.
#
#   sh tests/resume.sh BUILD
#
# Killed at each call that changes the disk (BUILD/tests/tools/kill_at), with a
# checkpoint after every step: each method that trains blocks, before the call and
# after it in turn; and resumed where there is no room.  A run that was killed
# before its first checkpoint has nothing to resume, and is begun again.
set -u
cd "$(dirname "$0")/.." || exit 2
here=$(pwd) taxon=$(pwd)/$1/taxon kill_at=$(pwd)/$1/tests/tools/kill_at
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
export OMP_WAIT_POLICY=passive
cd "$top" || exit 4
{
  echo text,label
  for i in 1 2 3 4 5 6; do echo "good fine $i,good" && echo "bad poor $i,bad"; done
} > train.csv

train() { # method with its options, what is run before, --run or --resume
  options=$1 before=$2 run=$3
  $before "$taxon" train --model "$here/tests/golden/tiny_llama.gguf" --data train.csv \
    --val train.csv --method $options --epochs 2 --lr 0.003 --ema 0.5 --out my.taxon --home home \
    --save-minutes 0 $run run --quiet > out 2> err
}
sum() { sha256sum < "$1" | cut -c 1-64; }

failed=0 wrong=
fault() { wrong="$wrong
  $1"; }
verdict() { # what was tried
  if [ -z "$wrong" ]; then
    echo "ok resume: $1"
  else
    echo "FAIL resume: $1$wrong"
    failed=1
  fi
  wrong=
}

# Goes on with what was stopped, or begins again what was stopped too early.
go_on() { # method with its options, what happened
  if train "$1" env --resume; then
    resumed=$((resumed + 1))
  elif grep -q 'no checkpoint in run' err; then
    begun=$((begun + 1))
    train "$1" env --run || fault "$2: it cannot be begun again: $(tail -n 1 err)"
  else
    fault "$2: it cannot be resumed: $(tail -n 1 err)"
  fi
  [ "$(sum my.taxon 2> /dev/null)" = "$whole" ] || fault "$2: another classifier"
}

for options in 'last-block --blocks 2' 'norms --batch-tokens 30' \
  'lora --rank 4 --dora --dropout 0.2' 'full --accumulate 2'; do
  rm -rf run my.taxon
  train "$options" env --run || fault "undisturbed: $(tail -n 1 err)"
  whole=$(sum my.taxon) call=1 resumed=0 begun=0 when=before
  while :; do
    rm -rf run my.taxon
    train "$options" "$kill_at $when $call" --run
    status=$?
    [ $status -eq 137 ] || break
    go_on "$options" "killed $when call $call"
    call=$((call + 1))
    if [ $when = before ]; then when=after; else when=before; fi
  done
  if [ $status -eq 77 ]; then
    echo 'skipped resume: tracing a process is not permitted here'
    exit 0
  fi
  [ $status -eq 0 ] || fault "the run that was not killed ended with $status: $(tail -n 1 err)"
  [ $resumed -ge 10 ] || fault "it was resumed $resumed times, fewer than 10"
  verdict "$options, killed at each of $((call - 1)) calls: $resumed resumed, $begun begun again"
done

# Resumed where no file of a checkpoint's size can be written: status 4, and what was there stays
# good, so that it can be resumed once more.
options='lora --rank 4' resumed=0 begun=0
rm -rf run my.taxon
train "$options" env --run || fault "undisturbed: $(tail -n 1 err)"
whole=$(sum my.taxon)
{
  echo '#!/bin/sh'
  echo "ulimit -f $(($(wc -c < my.taxon) / 2 / 512))"
  echo 'exec "$@"'
} > limited
chmod +x limited
for call in 25 30 35 40 45 50; do
  rm -rf run my.taxon
  train "$options" "$kill_at before $call" --run
  train "$options" ./limited --resume
  status=$?
  [ $status -eq 4 ] || fault "call $call, a limit: exit status $status: $(tail -n 1 err)"
  grep -q '^taxon train: .*; .*' err || fault "call $call, a limit: it says $(cat err)"
  go_on "$options" "call $call, after a limit"
done
[ $resumed -eq 6 ] || fault "$resumed of 6 runs were resumed"
verdict 'a full disk while a killed run was resumed, 6 times'
exit $failed
