#!/usr/bin/env python3
"""The book's task (SMS spam, 1,045 training texts), taxon beside transformers and PyTorch.

    python3 bench/book.py DATA [--taxon build/taxon] [--peers PYTHON --cache DIR] [--seeds 5]

DATA holds train.tsv, val.tsv and test.tsv.  The model is smollm2-135m under TAXON_HOME
(taxon pull smollm2-135m).  --peers is the Python of a virtual environment made from
bench/peers/requirements.txt; without it only taxon is measured.  Everything runs one after
another; leave the machine alone meanwhile.  Prints a table; asserts nothing.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

TEXT = "You won a free ticket! Call now to claim."


def run(command):
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout


def taxon_json(taxon, *words):
    return json.loads(run([taxon, *words, "--json", "--quiet"]))


def start_seconds(taxon, artifact, rounds=7):
    """Whole-process seconds of one prediction, after one run to fill the page cache."""
    taken = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run([taxon, "predict", artifact, TEXT])
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def train(taxon, data, out, seed, *words):
    return taxon_json(taxon, "train", "--model", "smollm2-135m", "--data", data + "/train.tsv",
                      "--val", data + "/val.tsv", "--out", out, "--seed", str(seed), *words)


def measure_taxon(taxon, data, seeds, folder):
    recipe = ["--method", "last-block", "--epochs", "5", "--patience", "5", "--batch", "8",
              "--lr", "5e-5", "--weight-decay", "0.1"]
    results = {}
    for name, words in [("last-block", recipe), ("last-block, sgd head", recipe +
                        ["--head-solver", "sgd"]), ("head", ["--method", "head"])]:
        rows = []
        for seed in range(seeds):
            out = os.path.join(folder, "book.taxon")
            report = train(taxon, data, out, seed, *words)
            report["eval"] = taxon_json(taxon, "eval", out, "--data", data + "/test.tsv")
            rows.append(report)
        results[name] = rows
        print_rows(name, rows)
    results["start"] = start_seconds(taxon, out)
    print(f"start of predict to the first answer: {results['start']:.3f} s (median of 7)")
    return results


def print_rows(name, rows):
    accuracy = [100 * row["eval"]["accuracy"] for row in rows]
    seconds = [row["seconds"] for row in rows]
    speed = [row["eval"]["texts_per_second"] for row in rows]
    print(f"taxon {name}: test accuracy {statistics.mean(accuracy):.1f} % "
          f"({min(accuracy):.1f} to {max(accuracy):.1f} over {len(rows)} seeds), training "
          f"{statistics.median(seconds):.1f} s, of which the trunk "
          f"{statistics.median(r['trunk_seconds'] for r in rows):.1f} s, peak "
          f"{max(r['peak_rss_bytes'] for r in rows) / 1e6:.0f} MB, eval "
          f"{statistics.median(speed):.1f} texts/s", flush=True)


def measure_peers(python, model, data, cache):
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
    classifier = os.path.join(cache, "book.safetensors")

    def peer(script, *words):
        output = json.loads(run([python, os.path.join(folder, script), model, *words,
                                 "--cache", cache]))
        print(f"peer {script}: {json.dumps(output)}", flush=True)
        return output

    trained = peer("train_book.py", data, "--save", classifier)
    evaluated = peer("eval_texts.py", data, "--classifier", classifier)
    started = peer("start.py", "--classifier", classifier)
    return trained, evaluated, started


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--taxon", default="build/taxon")
    parser.add_argument("--peers")
    parser.add_argument("--cache", default="build/peers")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    os.makedirs(arguments.cache, exist_ok=True)
    if arguments.peers:
        model = taxon_json(arguments.taxon, "show", "smollm2-135m")["path"]
        measure_peers(arguments.peers, model, arguments.data, arguments.cache)
    with tempfile.TemporaryDirectory() as folder:
        measure_taxon(os.path.abspath(arguments.taxon), arguments.data, arguments.seeds, folder)


if __name__ == "__main__":
    sys.exit(main())
