"""taxon beside transformers and PEFT: an epoch of the book's task, full fine-tuning and LoRA.

    build/peers/venv/bin/python bench/peers/fine_tuning.py sms_spam_book [--rounds 3] [--steps N]

Both train the same tables in fp32 by the same recipe: batches of 8, taxon's learning rate for the
method, warm-up, cosine and clipping as taxon has them, a head that starts at random; LoRA has rank
16 on all matrices of all blocks.  PyTorch pads each batch to its longest text.  Ours and theirs
take turns, each run in a process of its own.  Seconds are those of the steps: of PyTorch the loop
alone, of taxon with a validation on eight texts; `process` is everything from start to end, with
PyTorch's test and without taxon's.  Tokens are real ones on both sides.  Figures are medians over
the rounds (least to greatest), ratios medians of each round's ratio.  --steps trains so many
batches of the first rows instead of an epoch.  Prints a table in Markdown; --json keeps every run.
Leave the machine alone meanwhile.  Measures; asserts nothing."""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time

import taxon

METHODS = ("full", "lora")
JUDGED = 8  # validation texts of taxon within the measured time


def options_of():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    taxon.add_options(parser)
    parser.add_argument("--method", action="append", choices=METHODS, help="both by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--steps", type=int, default=0, help="0: an epoch of all rows")
    parser.add_argument("--rate", type=float, default=0, help="learning rate; 0: taxon's for each")
    parser.add_argument(
        "--keep-activations", action="store_true", help="of taxon: faster, more memory"
    )
    parser.add_argument("--test", type=int, default=0, help="rows tested, for a trial run; 0: all")
    parser.add_argument("--json", help="every run and figure is written there")
    options = parser.parse_args()
    options.method = options.method or METHODS
    return options


# ---- runs ----


def measure_ours(options, folder, method, seed):
    out = f"{folder}/measured.taxon"
    recipe = {
        "method": method,
        "epochs": options.epochs,
        "patience": options.epochs,
        "head_solver": "sgd",
        "seed": seed,
    }
    if options.rate:
        recipe["lr"] = options.rate
    words = taxon.train_words(options, folder, out, **recipe)
    words += ["--keep-activations"] if options.keep_activations else []
    report = taxon.train_timed(options, *words)
    tested = taxon.call(options.taxon, "eval", out, "--data", f"{folder}/test.tsv")
    # `tokens` is of one pass over the training texts, whatever the epochs.
    return {
        "seconds": report["step_seconds"],
        "process_seconds": report["process_seconds"],
        "tokens": report["tokens"] * options.epochs,
        "peak_rss_bytes": report["peak_rss_bytes"],
        "accuracy": tested["accuracy"],
        "accuracy_ci95": tested["accuracy_ci95"],
        "report": report,
    }


def measure_theirs(options, folder, method, seed, model):
    begin = time.perf_counter()
    words = ["--method", method, "--epochs", options.epochs, "--seed", seed]
    if options.rate:
        words += ["--rate", options.rate]
    report = taxon.run_peer(options, "train_method.py", model, folder, *words)
    return {
        "seconds": report["seconds"],
        "process_seconds": time.perf_counter() - begin,
        "tokens": report["tokens"],
        "peak_rss_bytes": report["peak_rss_bytes"],
        "accuracy": report["test_accuracy"],
        "accuracy_ci95": report["test_accuracy_ci95"],
        "report": report,
    }


def run_rounds(options, folder, model):
    """{method: [(ours, theirs) of each round]}"""
    runs = {method: [] for method in options.method}
    for number in range(options.rounds):
        for method in options.method:
            pair = (
                measure_ours(options, folder, method, number),
                measure_theirs(options, folder, method, number, model),
            )
            runs[method].append(pair)
            for which, run in zip(("ours", "theirs"), pair):
                print(
                    f"round {number + 1}, {method}, {which}: {run['seconds']:.1f} s, "
                    f"{run['peak_rss_bytes'] / 1e6:.0f} MB, test {run['accuracy']:.4f}",
                    file=sys.stderr,
                    flush=True,
                )
    return runs


# ---- the table ----


def spread(values, digits=0):
    middle = statistics.median(values)
    text = f"{middle:,.{digits}f}"
    return (
        text
        if len(values) == 1
        else f"{text} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
    )


def speed(run):
    return run["tokens"] / run["seconds"]


def row_of(method, name, runs):
    first = runs[0]
    low, high = first["accuracy_ci95"]
    return (
        f"| {method} | {name} | {spread([r['seconds'] for r in runs], 1)} | "
        f"{spread([r['process_seconds'] for r in runs], 1)} | "
        f"{spread([speed(r) for r in runs])} | "
        f"{spread([r['peak_rss_bytes'] / 1e6 for r in runs])} | "
        f"{spread([100 * r['accuracy'] for r in runs], 1)}; of the first "
        f"{100 * low:.1f} to {100 * high:.1f} |"
    )


def ratios_of(pairs):
    """Of speed: how many times theirs ours is; of memory: how much of theirs ours is."""
    return {
        "speed": [speed(ours) / speed(theirs) for ours, theirs in pairs],
        "process": [theirs["process_seconds"] / ours["process_seconds"] for ours, theirs in pairs],
        "memory": [ours["peak_rss_bytes"] / theirs["peak_rss_bytes"] for ours, theirs in pairs],
    }


def table_of(runs):
    lines = [
        "| method | | steps, s | process, s | real tokens/s | peak memory, MB | "
        "test accuracy, % (95 % interval) |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, pairs in runs.items():
        ratios = ratios_of(pairs)
        lines.append(row_of(method, "taxon", [ours for ours, _ in pairs]))
        lines.append(row_of(method, pairs[0][1]["report"]["peer"], [theirs for _, theirs in pairs]))
        lines.append(
            f"| {method} | ratio | | {spread(ratios['process'], 2)} times | "
            f"{spread(ratios['speed'], 2)} times | {spread(ratios['memory'], 2)} | |"
        )
    return "\n".join(lines)


def main():
    options = options_of()
    os.makedirs(options.cache, exist_ok=True)
    load, model = os.getloadavg(), taxon.model_path(options)
    with tempfile.TemporaryDirectory() as folder:
        trial = f"{folder}/trial"
        os.mkdir(trial)
        taxon.copy_rows(options.data, trial, options.batch, JUDGED, JUDGED)
        taxon.run_peer(
            options, "train_method.py", model, trial, "--method", "lora"
        )  # for the cache
        taxon.copy_rows(options.data, folder, options.steps * options.batch, JUDGED, options.test)
        runs = run_rounds(options, folder, model)
    print(
        f"load at the start {load[0]:.2f}; batch {options.batch}, "
        f"{options.steps or 'all'} steps, {options.rounds} rounds\n"
    )
    print(table_of(runs))
    if options.json:
        result = {
            "load": load,
            "options": vars(options),
            "runs": runs,
            "ratios": {method: ratios_of(pairs) for method, pairs in runs.items()},
        }
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
