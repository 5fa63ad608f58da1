"""The gradient of every trained tensor on the real model, taxon beside PyTorch.

    build/peers/venv/bin/python bench/peers/gradients.py sms_spam_book [--method full] [--double]

taxon takes two steps without clipping, with a checkpoint after each.  AdamW's first moment is
0.9 * before + 0.1 * gradient, so the two checkpoints tell the second step's gradient, at the values
that the first one holds; after a step B of LoRA is no longer zero, so A has a gradient too.
PyTorch takes those values and the same rows and computes its own, in fp32 or with --double in
fp64.
Prints, for each kind of tensor, the largest norm(ours - theirs) / norm(theirs) of any block; exit
status 1 when one is above 1e-3.  Times nothing; --method full takes 6 GB in TMPDIR."""

import argparse
import json
import re
import sys
import tempfile

import numpy as np

import common
import recipes
import taxon

TOLERANCE = 1e-3
RATES = {"lora": 1e-2}  # B far from zero after one step
STEPS = 2


def options_of():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    taxon.add_options(parser)
    parser.add_argument(
        "--method", action="append", choices=("full", "lora"), help="both by default"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep-activations", action="store_true", help="of taxon: not computed again"
    )
    parser.add_argument("--double", action="store_true", help="PyTorch in fp64")
    parser.add_argument("--json", help="every tensor's difference is written there")
    options = parser.parse_args()
    options.method = options.method or ("full", "lora")
    return options


def run_ours(options, method, folder, run):
    """The second step's rows, the values before it, and the gradients."""
    recipe = {
        "method": method,
        "epochs": 1,
        "seed": options.seed,
        "head_solver": "sgd",
        "run": run,
        "save_minutes": 0,
        "clip": 0,
        "warm_up": 0,
        "schedule": "constant",
        "lr": RATES.get(method, recipes.RATES[method]),
    }
    words = taxon.train_words(options, folder, f"{folder}/measured.taxon", **recipe)
    words += ["--keep-activations"] if options.keep_activations else []
    checkpoints = taxon.train_keeping(options.taxon, run, {1, 2}, *words)
    before = taxon.values_of(checkpoints[1], "first")
    after = taxon.values_of(checkpoints[2], "first")
    beta = float(np.float32(recipes.BETAS[0]))
    gradients = {
        name: (after[name].astype(np.float64) - beta * before[name]) / (1 - beta) for name in after
    }
    values = {name: array.copy() for name, array in taxon.values_of(checkpoints[1]).items()}
    return taxon.read_steps(run)[1]["rows"], values, gradients


def token_rows(folder, facts, tokenizer):
    """Which tokens' embeddings taxon trains: those of the training and validation texts, rising."""
    seen = set()
    for name in ("train", "val"):
        texts, _ = common.read_tsv(f"{folder}/{name}.tsv")
        for ids in common.encode(tokenizer, facts, texts):
            seen.update(ids)
    return sorted(seen)


def run_theirs(options, method, folder, model, rows, values):
    """{taxon's name: gradient}, flat and in taxon's layout."""
    facts, backbone = common.load_backbone(model, options.cache)
    tokenizer = common.make_tokenizer(facts)
    sequences, labels, names = taxon.read_rows(folder, facts, tokenizer)
    classifier, trained = recipes.make(facts, backbone, len(names), method)
    ids = token_rows(folder, facts, tokenizer)
    recipes.set_values(facts, trained, {**values, "ids": ids} if method == "full" else values)
    if options.double:
        classifier.double()
    loss = recipes.loss_of(
        classifier, [sequences[row] for row in rows], [labels[row] for row in rows]
    )
    loss.backward()
    gradients = {}
    for name, parameter in trained.items():
        gradient = parameter.grad.numpy()
        if name == "token_embd.weight":
            name, gradient = "token_embd.rows", gradient[ids]
        gradients[name] = recipes.in_file_layout(facts, name, gradient).reshape(-1)
    return gradients


def measure(options, method, model):
    """{tensor: relative difference}"""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as run:
        taxon.copy_rows(options.data, folder, STEPS * options.batch, 8, 8)
        rows, values, ours = run_ours(options, method, folder, run)
        theirs = run_theirs(options, method, folder, model, rows, values)
    if set(ours) != set(theirs):
        raise SystemExit(f"not the same tensors: {sorted(set(ours) ^ set(theirs))[:5]}")
    return {
        name: float(np.linalg.norm(ours[name] - theirs[name]) / np.linalg.norm(theirs[name]))
        for name in theirs
    }


def main():
    options = options_of()
    common.threads_used(options.threads)
    model, results = taxon.model_path(options), {}
    print(
        "| method | tensors | how many | largest relative difference | of | within 1e-3 |\n"
        "|---|---|---|---|---|---|",
        flush=True,
    )
    for method in options.method:
        results[method] = found = measure(options, method, model)
        kinds = {}
        for name in found:
            kinds.setdefault(re.sub(r"^blk\.\d+\.", "blk.*.", name), []).append(name)
        for kind, names in kinds.items():
            worst = max(names, key=found.get)
            verdict = "yes" if found[worst] <= TOLERANCE else "NO"
            print(
                f"| {method} | {kind} | {len(names)} | {found[worst]:.1e} | {worst} | {verdict} |",
                flush=True,
            )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return int(any(away > TOLERANCE for found in results.values() for away in found.values()))


if __name__ == "__main__":
    sys.exit(main())
