#!/bin/sh
# A `train` that is killed, or whose disk is full, does no harm: the classifier
# that stood under the name stays as it was, nothing half-written stands under
# it, and the next run removes what the killed one left.
#
#   sh tests/survive.sh BUILD
#
# Killed at each call that changes the disk (BUILD/tests/tools/kill_at), and at
# twenty moments spread over the run; stopped by a limit of the file size, and by
# a small tmpfs, of twenty sizes each.  What the system does not permit, to trace
# or to mount, is skipped with a note.
set -u
cd "$(dirname "$0")/.." || exit 2
here=$(pwd) taxon=$(pwd)/$1/taxon kill_at=$(pwd)/$1/tests/tools/kill_at
top=$(mktemp -d) || exit 4
disk=$top/disk
trap 'umount "$disk" 2> /dev/null; rm -rf "$top"' EXIT
trap 'exit 130' INT TERM
export OMP_WAIT_POLICY=passive
mkdir "$disk" "$top/work"
{
  echo text,label
  for i in 1 2 3 4 5 6; do echo "good fine $i,good" && echo "bad poor $i,bad"; done
} > "$top/train.csv"

train() { # seed, and what else; in the directory of the classifier
  seed=$1
  shift
  "$@" "$taxon" train --model "$here/tests/golden/tiny_llama.gguf" --data "$top/train.csv" \
    --val "$top/train.csv" --method last-block --epochs 1 --seed "$seed" --out my.taxon \
    --home "$top/home" --quiet > "$top/out" 2> "$top/err"
}
sum() { sha256sum < "$1" | cut -c 1-64; }

# The two classifiers that may be found, whole.
cd "$top/work" || exit 4
train 1 env && cp my.taxon "$top/old" && old=$(sum my.taxon) || exit 2
started=$(date +%s%N)
train 2 env && cp my.taxon "$top/new" && new=$(sum my.taxon) || exit 2
took=$((($(date +%s%N) - started) / 1000000))
if [ "$old" = "$new" ]; then echo "FAIL survive: two seeds give the same classifier"; exit 1; fi

failed=0 wrong=
fault() { wrong="$wrong
  $1"; }
verdict() { # what was tried
  if [ -z "$wrong" ]; then
    echo "ok survive: $1"
  else
    echo "FAIL survive: $1$wrong"
    failed=1
  fi
  wrong=
}
# One of the two, and nothing else but temporary names.
look() { # what happened
  found=$(sum my.taxon 2> /dev/null)
  case $found in
    "$old" | "$new") ;;
    *) fault "$1: my.taxon is neither the old classifier nor the new one" ;;
  esac
  others=$(ls -A | grep -v -e '^my\.taxon$' -e '^\.my\.taxon\.taxon-[a-z0-5]*\.tmp$' -e '^filler$')
  [ -z "$others" ] || fault "$1: these are left: $others"
}
# A run that nobody disturbs leaves the new classifier and nothing else.
look_after() {
  train 2 env || fault "the next run fails: $(tail -n 1 "$top/err")"
  [ "$(sum my.taxon)" = "$new" ] || fault "the next run gives another classifier"
  left=$(ls -A | tr '\n' ' ')
  [ "$left" = 'my.taxon ' ] || fault "after the next run these are there: $left"
}

# ---- killed at each call --------------------------------------------------
points=0 with_old=0 with_new=0
for when in before after; do
  call=1
  while :; do
    cp "$top/old" my.taxon
    train 2 "$kill_at" $when $call
    status=$?
    [ $status -eq 137 ] || break
    look "killed $when call $call"
    if [ "$found" = "$new" ]; then with_new=$((with_new + 1)); else with_old=$((with_old + 1)); fi
    points=$((points + 1)) call=$((call + 1))
  done
  [ $status -eq 0 ] || break
done
if [ $status -eq 77 ]; then
  echo 'skipped survive, killed at each call: tracing a process is not permitted here'
else
  [ $status -eq 0 ] || fault "the run that was not killed ended with $status: $(tail -n 1 "$top/err")"
  [ $points -ge 20 ] || fault "it was killed at $points points, fewer than 20"
  [ $with_old -gt 0 ] && [ $with_new -gt 0 ] ||
    fault "the old classifier was found $with_old times and the new one $with_new times"
  look_after
  verdict "killed at each of $points calls: the old one $with_old times, the new one $with_new times"
fi

# ---- killed at any moment -------------------------------------------------
point=1
while [ $point -le 20 ]; do
  cp "$top/old" my.taxon
  moment=$((took * point / 20 + 1))
  train 2 timeout -s KILL "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
  look "killed after $moment ms"
  point=$((point + 1))
done
look_after
verdict 'killed at 20 moments'

# ---- the disk is full -----------------------------------------------------
# The status is 4 with a sentence and the old file stays, or 0 and the new one is there.
look_full() { # what happened, status
  look "$1"
  case $2 in
    0) [ "$found" = "$new" ] || fault "$1: done, but the old classifier is there" ;;
    4)
      [ "$found" = "$old" ] || fault "$1: failed, but the new classifier is there"
      grep -q '^taxon train: .*; .*' "$top/err" || fault "$1: it says $(cat "$top/err")"
      refused=$((refused + 1))
      ;;
    *) fault "$1: exit status $2: $(tail -n 1 "$top/err")" ;;
  esac
  ls -A | grep -q '^\.' && fault "$1: a temporary file is left"
}

size=$(wc -c < "$top/new") refused=0 step=1
while [ $step -le 20 ]; do
  cp "$top/old" my.taxon
  blocks=$((size * step / 18 / 512)) # up to a little more than is needed
  train 2 sh -c 'ulimit -f "$0"; exec "$@"' $blocks
  look_full "files of at most $((blocks * 512)) bytes" $?
  step=$((step + 1))
done
[ $refused -ge 15 ] && [ $refused -lt 20 ] || fault "$refused of 20 runs were refused"
look_after
verdict 'files limited to 20 sizes'

if mount -t tmpfs -o size=4m none "$disk" 2> /dev/null; then
  cd "$disk" || exit 4
  refused=0 step=0
  while [ $step -lt 20 ]; do
    cp "$top/old" my.taxon
    rm -f filler
    head -c $((4194304 - 4096 * (1 + 2 * step) - (size + 4095) / 4096 * 4096)) /dev/zero > filler
    train 2 env
    look_full "a disk with room for $((4 * (1 + 2 * step))) KiB" $?
    step=$((step + 1))
  done
  [ $refused -ge 10 ] && [ $refused -lt 20 ] || fault "$refused of 20 runs were refused"
  rm -f filler
  look_after
  cd "$top/work" || exit 4
  umount "$disk"
  verdict 'disks with room of 20 sizes'
else
  echo 'skipped survive, a full disk: mounting is not permitted here'
fi

# ---- two at once ----------------------------------------------------------
cp "$top/old" my.taxon
round=1
while [ $round -le 5 ]; do
  train 1 env & first=$!
  (top=$top/second && mkdir -p "$top" && cp "$top/../train.csv" "$top" && train 2 env) & second=$!
  wait $first || fault "one of two runs at once fails"
  wait $second || fault "the other of two runs at once fails"
  look 'two runs at once'
  ls -A | grep -q '^\.' && fault "two runs at once leave a temporary file"
  round=$((round + 1))
done
look_after
verdict 'two runs at once to one name'
exit $failed
