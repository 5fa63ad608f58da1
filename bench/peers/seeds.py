"""Test accuracy over several seeds, taxon beside transformers by the same method.

    build/peers/venv/bin/python bench/peers/seeds.py sms_spam_book --out seeds.jsonl [--method lora]

For each seed and method both sides train on train.tsv at the same rate for as many epochs, keep
the epoch with the lowest loss on val.tsv, and answer test.tsv; fp32, batches of 8.  taxon starts
from its exact head (--head-solver convex, its default) or, like transformers, from a random one
(sgd); both are measured unless --head-solver says which.  For nights: each run is a line that is
appended to --out as it ends, and a run that stands there is not done again, so that a stop costs
the run that was under way, and more seeds or methods can be added later.  Prints a table of all
that is asked for.  Times nothing, so it may run on a busy machine."""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile

import taxon

METHODS = ("last-block", "norms", "lora", "full")
RATES = {"last-block": 5e-5, "norms": 1e-3, "lora": 2e-4, "full": 5e-5}  # taxon's own
SOLVERS = ("convex", "sgd")


def options_of():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    taxon.add_options(parser)
    parser.add_argument("--method", action="append", choices=METHODS, help="all by default")
    parser.add_argument("--head-solver", action="append", choices=SOLVERS, help="both by default")
    parser.add_argument(
        "--out", required=True, help="the runs, a JSON object a line; goes on from there"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument(
        "--rate", type=float, default=0, help="learning rate; 0: taxon's for each method"
    )
    parser.add_argument(
        "--rows", type=int, default=0, help="of each table, for a trial run; 0: all"
    )
    options = parser.parse_args()
    options.method = options.method or METHODS
    options.head_solver = options.head_solver or SOLVERS
    return options


# ---- the file ----


def read_runs(path):
    """{key: run}; a last line that was cut off is taken away."""
    if not os.path.exists(path):
        return {}
    with open(path, "rb+") as file:
        whole = file.read()
        end = whole.rfind(b"\n") + 1
        file.truncate(end)
    runs = [json.loads(line) for line in whole[:end].decode().splitlines()]
    return {json.dumps(run["key"]): run for run in runs}


def append(path, run):
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
        file.flush()
        os.fsync(file.fileno())


# ---- runs ----


def subjects_of(options):
    return [*(f"taxon, {solver} head" for solver in options.head_solver), "transformers"]


def key_of(options, subject, method, seed):
    return {
        "subject": subject,
        "method": method,
        "seed": seed,
        "epochs": options.epochs,
        "batch": options.batch,
        "rate": options.rate or RATES[method],
        "rows": options.rows,
        "data": os.path.basename(os.path.normpath(options.data)),
        "model": options.model,
    }


def run_ours(options, folder, key):
    out = f"{folder}/measured.taxon"
    recipe = {
        "method": key["method"],
        "epochs": key["epochs"],
        "patience": key["epochs"],
        "lr": key["rate"],
        "seed": key["seed"],
        "head_solver": key["subject"].split(", ")[1].split(" ")[0],
    }
    report = taxon.call(options.taxon, *taxon.train_words(options, folder, out, **recipe))
    tested = taxon.call(options.taxon, "eval", out, "--data", f"{folder}/test.tsv")
    return {"accuracy": tested["accuracy"], "n": tested["n"], "report": report}


def run_theirs(options, folder, key, model):
    report = taxon.run_peer(
        options,
        "train_method.py",
        model,
        folder,
        "--method",
        key["method"],
        "--epochs",
        key["epochs"],
        "--rate",
        key["rate"],
        "--seed",
        key["seed"],
        "--keep-best",
    )
    return {"accuracy": report["test_accuracy"], "n": report["tested"], "report": report}


def run_missing(options, folder, model, runs):
    for seed in range(options.seeds):
        for method in options.method:
            for subject in subjects_of(options):
                key = key_of(options, subject, method, seed)
                if json.dumps(key) in runs:
                    continue
                ours = subject != "transformers"
                found = (
                    run_ours(options, folder, key)
                    if ours
                    else run_theirs(options, folder, key, model)
                )
                runs[json.dumps(key)] = run = {"key": key, **found}
                append(options.out, run)
                print(
                    f"seed {seed}, {method}, {subject}: {run['accuracy']:.4f}",
                    file=sys.stderr,
                    flush=True,
                )


# ---- the table ----


def accuracies(options, runs, subject, method):
    keys = [key_of(options, subject, method, seed) for seed in range(options.seeds)]
    return [100 * runs[json.dumps(key)]["accuracy"] for key in keys]


def error_of(values):
    """Of a mean, from the spread over the seeds; the test texts are the same for all."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else float("nan")


def table_of(options, runs):
    lines = [
        "| method | | mean test accuracy, % | standard error | least to greatest | "
        "less transformers' |",
        "|---|---|---|---|---|---|",
    ]
    for method in options.method:
        theirs = statistics.mean(accuracies(options, runs, "transformers", method))
        for subject in subjects_of(options):
            values = accuracies(options, runs, subject, method)
            mean = statistics.mean(values)
            lines.append(
                f"| {method} | {subject} | {mean:.2f} | {error_of(values):.2f} | "
                f"{min(values):.1f} to {max(values):.1f} | {mean - theirs:+.2f} |"
            )
    return "\n".join(lines)


def main():
    options = options_of()
    os.makedirs(options.cache, exist_ok=True)
    runs, model = read_runs(options.out), taxon.model_path(options)
    with tempfile.TemporaryDirectory() as folder:
        taxon.copy_rows(options.data, folder, options.rows, options.rows, options.rows)
        run_missing(options, folder, model, runs)
    print(f"{options.seeds} seeds, {options.epochs} epochs, batch {options.batch}\n")
    print(table_of(options, runs))


if __name__ == "__main__":
    main()
