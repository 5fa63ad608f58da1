#!/bin/sh
# What `make demo` runs after building: a model and real customer feedback are
# fetched, a classifier is trained, evaluated and used.  Every command is shown
# before it runs, and everything stays below demo/ (remove it to be rid of it).
# May be run again: what is there is not fetched twice.
set -u
cd "$(dirname "$0")/.." || exit 2
REPO=$(pwd)
export PATH="$REPO/build:$PATH"
mkdir -p demo && cd demo || exit 4
export TAXON_HOME="${TAXON_HOME:-$REPO/demo/home}"
start=$(date +%s)

run() { # a command line, for sh
  printf '\n$ %s\n' "$1"
  sh -c "$1"
  status=$?
  [ $status -eq 0 ] && return
  echo "demo: this command ended with exit status $status; what it said stands above" >&2
  exit $status
}
say() { printf '\n%s\n' "$1"; }

say '1. An open language model, and real customer feedback with three labels.'
run 'taxon pull smollm2-135m'
run 'taxon pull data:customer-feedback'

say '2. A classifier: the model reads every training text once, which is a minute or two of work.'
run 'taxon train --model smollm2-135m --data train.tsv --val val.tsv --out feedback.taxon'

say '3. How good it is on texts that it has not seen, beside two baselines.'
run 'taxon eval feedback.taxon --data test.tsv'

say '4. Answers: for a sentence, and for a line each of a file.'
run 'taxon predict feedback.taxon "The lens is sharp, but it broke within a week."'
run "printf '%s\n' 'The battery lasts two days, and the screen is bright.' 'It stopped charging after a month.' 'I bought this for my father.' > messages.txt"
run 'cat messages.txt | taxon predict feedback.taxon - --json'

say '5. What was made, and what there is.'
run 'taxon show feedback.taxon'
run 'taxon models'
run 'taxon tokens smollm2-135m "naïve café 😀"'

end=$(($(date +%s) - start))
cat << END

Done in $end seconds.  In demo/ there are now
  feedback.taxon                the classifier; it needs the model below to run
  train.tsv, val.tsv, test.tsv  the data, a sentence and its label in each line
  ${TAXON_HOME#"$REPO/demo/"}                          the model

Next, with your own texts: a table with the columns text and label (CSV, TSV or JSONL)
  export PATH="\$PWD/build:\$PATH" TAXON_HOME="$TAXON_HOME"
  taxon train --model smollm2-135m --data yours.csv --out yours.taxon
  taxon predict yours.taxon "a text"
taxon -h lists the verbs, taxon train -h the choices in training, make test runs the tests.
END
