#!/usr/bin/env python3
"""Writes train.tsv, val.tsv and test.tsv from one TSV with a column "split".

    python3 bench/split.py TABLE.tsv FOLDER
"""
import os
import sys


def main(table, folder):
    os.makedirs(folder, exist_ok=True)
    with open(table, encoding="utf-8", newline="\n") as source:
        names = source.readline().rstrip("\n").split("\t")
        split = names.index("split")
        kept = [i for i in range(len(names)) if i != split]
        parts = {part: open(os.path.join(folder, part + ".tsv"), "w", encoding="utf-8", newline="\n")
                 for part in ("train", "val", "test")}
        for part in parts.values():
            part.write("\t".join(names[i] for i in kept) + "\n")
        for line in source:
            fields = line.rstrip("\n").split("\t")
            parts[fields[split]].write("\t".join(fields[i] for i in kept) + "\n")
        for part in parts.values():
            part.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
