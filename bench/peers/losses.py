"""The loss of every step, taxon beside PyTorch, from the same weights over the same batches.

    build/peers/venv/bin/python bench/peers/losses.py sms_spam_book [--steps 50] [--method full]

taxon trains with a run directory: its log names each step's rows, its first checkpoint, written
before the first step, holds the head and the adapters as they start.  PyTorch takes those, the
base model's weights by the gguf package, and steps over the same rows padded to the longest; its
AdamW, schedule and clipping are its own (recipes.py).  fp32, no dropout.  Prints, for each method,
the largest relative difference of a step's loss, and whether all are within 1e-3; --json keeps
every step.  Exit status 1 when one is not.  Times nothing, so it may run on a busy machine; with
--method full the run directory (in TMPDIR) takes 6 GB."""

import argparse
import json
import sys
import tempfile

import common
import recipes
import taxon

METHODS = ("last-block", "lora", "full", "norms")
BLOCKS = {"last-block": 2}
TOLERANCE = 1e-3


def options_of():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    taxon.add_options(parser)
    parser.add_argument("--method", action="append", choices=METHODS, help="all by default")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--double", action="store_true", help="PyTorch in fp64: how far off is each?"
    )
    parser.add_argument("--json", help="every step's losses are written there")
    options = parser.parse_args()
    options.method = options.method or METHODS
    return options


def run_ours(options, method, folder, run):
    """The log's steps, and the values of the head and the adapters before the first."""
    recipe = {
        "method": method,
        "epochs": 1,
        "seed": options.seed,
        "head_solver": "sgd",
        "run": run,
        "save_minutes": 1e6,
    }
    if method in BLOCKS:
        recipe["blocks"] = BLOCKS[method]
    words = taxon.train_words(options, folder, f"{folder}/measured.taxon", **recipe)
    values = taxon.values_of(taxon.train_keeping(options.taxon, run, {0}, *words)[0])
    new = [name for name in values if name.startswith("head.") or ".lora_" in name]
    return taxon.read_steps(run), {name: values[name].copy() for name in new}


def run_theirs(options, method, folder, model, steps, start):
    """Their loss at each of our steps."""
    facts, backbone = common.load_backbone(model, options.cache)
    sequences, labels, names = taxon.read_rows(folder, facts, common.make_tokenizer(facts))
    made = recipes.make(facts, backbone, len(names), method, BLOCKS.get(method, 0))
    classifier, trained = made
    recipes.set_values(facts, trained, start)
    if options.double:
        classifier.double()
    optimiser = recipes.make_optimiser(trained, recipes.RATES[method])
    schedule = recipes.make_schedule(optimiser, len(steps))
    losses = []
    for line in steps:
        chosen = [sequences[row] for row in line["rows"]]
        wanted = [labels[row] for row in line["rows"]]
        losses.append(recipes.step(classifier, trained, optimiser, schedule, chosen, wanted))
        print(f"\r{method}: step {line['step']} of {len(steps)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return losses


def measure(options, method, model):
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as run:
        taxon.copy_rows(options.data, folder, options.steps * options.batch, 8, 8)
        steps, start = run_ours(options, method, folder, run)
        theirs = run_theirs(options, method, folder, model, steps, start)
    ours = [line["loss"] for line in steps]
    away = [abs(a - b) / abs(b) for a, b in zip(ours, theirs)]
    return {"ours": ours, "theirs": theirs, "relative": away}


def main():
    options = options_of()
    common.threads_used(options.threads)
    model, results = taxon.model_path(options), {}
    print(
        "| method | steps | loss, first to last | largest relative difference | at step | "
        "within 1e-3 |\n|---|---|---|---|---|---|",
        flush=True,
    )
    for method in options.method:
        results[method] = found = measure(options, method, model)
        away, worst = found["relative"], max(found["relative"])
        verdict = "yes" if worst <= TOLERANCE else "NO"
        first, last = found["theirs"][0], found["theirs"][-1]
        print(
            f"| {method} | {len(away)} | {first:.4f} to {last:.4f} | {worst:.1e} | "
            f"{away.index(worst) + 1} | {verdict} |",
            flush=True,
        )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return int(any(max(found["relative"]) > TOLERANCE for found in results.values()))


if __name__ == "__main__":
    sys.exit(main())
