#!/bin/sh
# Writes what the program says of itself for others to read: the manual pages
# and the completions of bash and zsh.
#
#   sh tools/write-manual.sh TAXON DIR
#
# makes DIR/man1/taxon.1, DIR/man1/taxon-VERB.1, DIR/taxon.bash and DIR/_taxon.
set -eu
taxon=$1 to=$2
mkdir -p "$to/man1"
"$taxon" --help=man > "$to/man1/taxon.1"
for verb in $("$taxon" -h | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  "$taxon" "$verb" --help=man > "$to/man1/taxon-$verb.1"
done
"$taxon" --help=bash > "$to/taxon.bash"
"$taxon" --help=zsh > "$to/_taxon"
