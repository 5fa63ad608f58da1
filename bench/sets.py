#!/usr/bin/env python3
"""Real data sets by head and last-block beside the linear baseline, as a Markdown table.

    python3 bench/sets.py NAME=FOLDER... [--taxon build/taxon]

Each FOLDER holds train.tsv, val.tsv and test.tsv with the columns text and label (taxon pull
data:... writes them; bench/split.py makes them from a table with a column "split").  The model is
smollm2-135m under TAXON_HOME.  Prints, for each set and method, the accuracy on the test set with
its 95 % interval, the linear baseline of the same run, and the interval of their difference.
"""
import argparse
import json
import os
import subprocess
import tempfile


def taxon_json(taxon, *words):
    command = [taxon, *words, "--json", "--quiet"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def interval(pair):
    return f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}"


def row(taxon, name, folder, method, out):
    report = taxon_json(taxon, "train", "--model", "smollm2-135m", "--method", method, "--data",
                        f"{folder}/train.tsv", "--val", f"{folder}/val.tsv", "--out", out)
    scores = taxon_json(taxon, "eval", out, "--data", f"{folder}/test.tsv")
    test = scores["baseline_tests"]["linear"]
    low, high = test["difference_ci95"]
    return (f"| {name} | {method} | {report['train_rows']:,} / {scores['n']:,} | "
            f"{100 * scores['accuracy']:.1f} ({interval(scores['accuracy_ci95'])}) | "
            f"{100 * scores['macro_f1']:.1f} | {100 * scores['baselines']['linear']:.1f} | "
            f"{100 * test['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f}) |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+")
    parser.add_argument("--taxon", default="build/taxon")
    arguments = parser.parse_args()
    print("| data | method | training / test texts | accuracy, % (95 % interval) | macro F1 | "
          "TF-IDF + linear | difference (95 % interval) |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for item in arguments.sets:
            name, _, path = item.partition("=")
            for method in ["head", "last-block"]:
                print(row(arguments.taxon, name, path, method, os.path.join(folder, "set.taxon")),
                      flush=True)


if __name__ == "__main__":
    main()
