#!/usr/bin/env python3
"""What int8 costs and gives, on five kinds of data, as a Markdown table.

    python3 bench/precision.py DATA [--taxon build/taxon] [--depth N] [--rows N] [--train N]
                               [--only NAME]

DATA holds the tables that the rows below name (sms_spam_book, banking77, ag_news, clinc150);
customer feedback is pulled.  The model is smollm2-135m under TAXON_HOME.  Each row: `taxon train`
with its defaults in f32; `taxon quantize` of that classifier on the test texts, which scores them in
both precisions; and `taxon train --precision int8`, `taxon eval` on the same texts.  --train takes
about so many training texts, of each label alike, --rows no more than so many test texts, and
--depth runs so many blocks instead of those that training would choose.

Prints the accuracy in f32; the difference in points when the same classifier runs in int8 and how
many answers change; the difference of the one trained in int8; the expected calibration errors of
the three; and the texts a second.
"""
import argparse
import json
import os
import subprocess
import tempfile

from auto import per_class, read, sample, write
from sets import taxon_json


def kinds(data, pulled):
    """name: (training rows, test rows), made when asked for."""
    def part(folder, name, text="text"):
        return read(f"{data}/{folder}/{name}.tsv", text)

    def feedback(name):
        return read(f"{pulled}/customer-feedback/{name}.tsv")

    return {
        "SMS spam, the book's": lambda: (part("sms_spam_book", "train") + part("sms_spam_book", "val"),
                                         part("sms_spam_book", "test")),
        "customer feedback": lambda: (feedback("train") + feedback("val"), feedback("test")),
        "Banking77": lambda: (sample(part("banking77", "train"), 4000), part("banking77", "test")),
        "CLINC150, 20 a class": lambda: (per_class(part("clinc150", "train"), 20),
                                         part("clinc150", "test")),
        "AG News": lambda: (sample(part("ag_news", "train_20k", "title,description"), 1500),
                            part("ag_news", "test", "title,description")),
    }


def compare(taxon, path, table):
    """taxon quantize, which ends with 1 where int8 is not accepted."""
    words = [taxon, "quantize", path, "--data", table, "--out", path + ".int8", "--json", "--quiet"]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def row(arguments, name, made, folder):
    train, test = made()
    if arguments.train < len(train):  # as many of each label, so that none is missing
        train = per_class(train, max(2, arguments.train // len({label for label, _ in train})))
    test = sample(test, min(arguments.rows, len(test)))
    paths = [os.path.join(folder, part) for part in ("train.tsv", "test.tsv", "f32.taxon", "int8.taxon")]
    write(train, paths[0])
    write(test, paths[1])
    words = ["train", "--model", "smollm2-135m", "--data", paths[0]]
    words += ["--depth", str(arguments.depth)] if arguments.depth else []
    report = taxon_json(arguments.taxon, *words, "--out", paths[2])
    taxon_json(arguments.taxon, *words, "--precision", "int8", "--out", paths[3])
    both = compare(arguments.taxon, paths[2], paths[1])
    own = taxon_json(arguments.taxon, "eval", paths[3], "--data", paths[1])
    f32, int8 = both["f32"], both["int8"]
    print(f"| {name} | {len(train):,} / {len(test):,} | {report['depth']} | {100 * f32['accuracy']:.2f} | "
          f"{0 - both['lost_points']:+.2f} ({both['changed']}) | "
          f"{100 * (own['accuracy'] - f32['accuracy']):+.2f} | "
          f"{f32['ece']:.4f}, {int8['ece']:.4f}, {own['ece']:.4f} | "
          f"{f32['texts_per_second']:.0f}, {int8['texts_per_second']:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--taxon", default="build/taxon")
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--rows", type=int, default=1 << 30)
    parser.add_argument("--train", type=int, default=1 << 30)
    parser.add_argument("--only", help="names, separated by semicolons")
    arguments = parser.parse_args()
    print("| data | training / test texts | depth | f32, % | the same in int8, points (answers changed) | "
          "trained in int8, points | ECE: f32, int8, trained in int8 | texts/s: f32, int8 |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.taxon, "pull", "data:customer-feedback", "--quiet", "--dir",
                        f"{folder}/customer-feedback"], check=True, stdout=subprocess.DEVNULL)
        for name, made in kinds(arguments.data, folder).items():
            if not arguments.only or name in arguments.only.split(";"):
                row(arguments, name, made, folder)


if __name__ == "__main__":
    main()
