#!/usr/bin/env python3
"""A sweep of eight learning rates for the last block, beside one training and beside eight.

    python3 bench/sweep.py sms_spam_book [--rounds 3] [--epochs 5] [--rows N]

The folder holds train.tsv, val.tsv and test.tsv.  In each round, one after another: a training at
the method's own rate, `--lr sweep`, and a training at each of the sweep's rates.  All take as many
epochs (no early stop) and keep nothing in the cache (--no-cache), so each process runs its trunk
once; seconds are those of the whole process.  Prints the medians over the rounds (least to
greatest), the medians of each round's ratios, and the test accuracies.  Leave the machine alone
meanwhile.  Measures; asserts nothing."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OWN = 5e-5  # of the method; the sweep: a factor of ten in three steps, the fifth is OWN
RATES = [OWN * 10 ** ((i - 4) / 3) for i in range(8)]
NAMES = ("one", "sweep", "eight")


def options_of():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--taxon", default="build/taxon")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--rows", type=int, default=0, help="of each table, for a trial run; 0: all"
    )
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", help="every run is written there")
    return parser.parse_args()


def call(options, *words):
    command = [options.taxon, *map(str, words), "--json", "--quiet"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def copy_rows(options, folder):
    for name in ("train", "val", "test"):
        lines = Path(options.data, f"{name}.tsv").read_text(encoding="utf-8").splitlines(True)
        kept = lines[: options.rows + 1] if options.rows else lines
        Path(folder, f"{name}.tsv").write_text("".join(kept), encoding="utf-8")


def train(options, folder, rate):
    """Seconds of the process, the rate it took and the accuracy on the test texts."""
    out = os.path.join(folder, "sweep.taxon")
    begin = time.perf_counter()
    report = call(
        options,
        "train",
        "--model",
        options.model,
        "--data",
        f"{folder}/train.tsv",
        "--val",
        f"{folder}/val.tsv",
        "--out",
        out,
        "--method",
        "last-block",
        "--blocks",
        options.blocks,
        "--epochs",
        options.epochs,
        "--patience",
        options.epochs,
        "--lr",
        rate,
        "--threads",
        options.threads,
        "--no-cache",
    )
    seconds = time.perf_counter() - begin
    tested = call(options, "eval", out, "--data", f"{folder}/test.tsv")
    return {
        "seconds": seconds,
        "rate": report["learning_rate"],
        "accuracy": tested["accuracy"],
        "trunk_seconds": report["trunk_seconds"],
        "validation_nll": report["validation"]["nll"],
    }


def run_round(options, folder):
    """{name: the runs}, of which only "eight" has more than one."""
    runs = {
        "one": [train(options, folder, OWN)],
        "sweep": [train(options, folder, "sweep")],
        "eight": [train(options, folder, rate) for rate in RATES],
    }
    found = runs["sweep"][0]["rate"]
    if min(abs(found / rate - 1) for rate in RATES) > 1e-6:
        raise SystemExit(f"the sweep took {found}, which is none of the rates here: {RATES}")
    return runs


def seconds_of(runs, name):
    return sum(run["seconds"] for run in runs[name])


def spread(values, digits):
    return (
        f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to "
        f"{max(values):.{digits}f})"
    )


def report(rounds):
    for name in NAMES:
        best = min(rounds[0][name], key=lambda run: run["validation_nll"])
        print(
            f"{name:6} {spread([seconds_of(runs, name) for runs in rounds], 1)} s; of the first "
            f"round: rate {best['rate']:.3g}, test accuracy {100 * best['accuracy']:.1f} %"
        )
    for name in ("one", "eight"):
        ratios = [seconds_of(runs, "sweep") / seconds_of(runs, name) for runs in rounds]
        print(f"sweep / {name}: {spread(ratios, 2)}")


def main():
    options = options_of()
    print(f"load at the start {os.getloadavg()[0]:.2f}", flush=True)
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        copy_rows(options, folder)
        for number in range(options.rounds):
            rounds.append(run_round(options, folder))
            print(f"round {number + 1} of {options.rounds} is done", file=sys.stderr, flush=True)
    report(rounds)
    if options.json:
        Path(options.json).write_text(
            json.dumps({"options": vars(options), "rounds": rounds}, indent=1)
        )


if __name__ == "__main__":
    main()
