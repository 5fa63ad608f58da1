#!/bin/sh
# Two builds of taxon, by different compilers, must make the same artifact, byte
# for byte, on every instruction set that this processor has.
#
#   sh tests/same_bits.sh BUILD OTHER_BUILD
set -u
cd "$(dirname "$0")/.." || exit 2
top=$(mktemp -d) || exit 4
trap 'rm -rf "$top"' EXIT
failed=0
{
  echo text,label
  for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "good fine $i,good" && echo "bad poor $i,bad"; done
} > "$top/train.csv"

for case in head.f32 last-block.f32 head.int8 last-block.int8 norms.f32 lora.f32 full.f32; do
  method=${case%.*} precision=${case#*.}
  case $method in
    lora) options='--dora --dropout 0.1 --batch-tokens 30' ;;
    norms) options='--pooling attention' ;;
    full) options='--attention bidirectional --label-smoothing 0.1' ;;
    *) options= ;;
  esac
  for cpu in generic avx2 avx512; do
    for build in "$1" "$2"; do
      out=$top/$case.$cpu.$(echo "$build" | tr / _)
      TAXON_CPU=$cpu "$build/taxon" train --model tests/golden/tiny_llama.gguf --method $method \
        --data "$top/train.csv" --out "$out" --home "$top/home" --quiet --no-cache \
        --precision $precision $options > "$top/log" 2>&1 ||
        grep -q 'TAXON_CPU' "$top/log" || {
        echo "FAIL same bits: $build on $cpu"
        sed 's/^/  /' "$top/log"
        failed=1
      }
    done
  done
  sums=$(sha256sum "$top/$case".* | cut -c 1-64 | sort -u | wc -l)
  if [ "$sums" -eq 1 ]; then
    echo "ok same bits: $case, $(ls "$top/$case".* | wc -l | tr -d ' ') artifacts"
  else
    echo "FAIL same bits: $case gives $sums different artifacts"
    (cd "$top" && sha256sum "$case".*) | sed 's/^/  /'
    failed=1
  fi
done
exit $failed
