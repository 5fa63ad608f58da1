"""Peer: a text classifier by one of taxon's methods with transformers and PyTorch (lora:
PEFT), fp32.

    python train_method.py MODEL.gguf DATA --method full --cache DIR [--epochs 1] [--keep-best]

DATA holds train.tsv, val.tsv and test.tsv (label, text).  recipes.py says what is trained and
how.  `seconds` is the loop over batches alone: loading, making tokens and judging are left out.
`peak_rss_bytes` is the process's when the last step is done.  --keep-best judges each epoch on
val.tsv, keeps the weights with the lowest loss and tests those, as taxon does.  Prints one JSON
object; progress goes to standard error."""

import argparse
import json
import sys
import time

import torch

import common
import recipes


def options_of():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("data", help="folder with train.tsv, val.tsv, test.tsv")
    parser.add_argument("--method", choices=recipes.METHODS, required=True)
    parser.add_argument("--blocks", type=int, default=0, help="of the last; 0: as taxon takes them")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--cache", help="directory for the dequantised weights")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, help="learning rate; the default is taxon's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    parser.add_argument("--keep-best", action="store_true")
    return parser.parse_args()


def judge(classifier, split, batch=32):
    """(mean loss, right answers)"""
    sequences, labels = split
    loss, right = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(sequences), batch):
            logits = classifier(sequences[start : start + batch])
            wanted = torch.tensor(labels[start : start + batch])
            loss += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
            right += int((logits.argmax(1) == wanted).sum())
    return loss / len(sequences), right


def train_epoch(classifier, trained, optimiser, schedule, split, batch, shuffle):
    """(mean loss of the steps, positions computed, with padding)"""
    sequences, labels = split
    order = torch.randperm(len(sequences), generator=shuffle).tolist()
    losses, positions = [], 0
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        chosen = [sequences[row] for row in rows]
        wanted = [labels[row] for row in rows]
        losses.append(recipes.step(classifier, trained, optimiser, schedule, chosen, wanted))
        positions += len(chosen) * max(map(len, chosen))
        print(f"\r{start + len(rows)}/{len(order)} loss {losses[-1]:.4f}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return sum(losses) / len(losses), positions


def train(classifier, trained, splits, options):
    """What is reported of the training; the classifier holds what is to be tested."""
    sequences = splits["train"][0]
    steps = options.epochs * -(-len(sequences) // options.batch)
    optimiser = recipes.make_optimiser(trained, options.rate)
    schedule = recipes.make_schedule(optimiser, steps)
    shuffle = torch.Generator().manual_seed(options.seed)
    epochs, kept, best = [], None, None
    for _ in range(options.epochs):
        begin = time.perf_counter()
        loss, positions = train_epoch(
            classifier, trained, optimiser, schedule, splits["train"], options.batch, shuffle
        )
        epochs.append(
            {"seconds": time.perf_counter() - begin, "loss": loss, "positions": positions}
        )
        if not options.keep_best:
            continue
        reached, right = judge(classifier, splits["val"])
        epochs[-1] |= {"validation_loss": reached, "validation_right": right}
        if best is None or reached < best:
            best = reached
            kept = {name: parameter.detach().clone() for name, parameter in trained.items()}
    peak = common.peak_rss_bytes()
    if kept:
        with torch.no_grad():
            for name, parameter in trained.items():
                parameter.copy_(kept[name])
    return {
        "steps": steps,
        "epochs": epochs,
        "seconds": sum(e["seconds"] for e in epochs),
        "tokens": options.epochs * sum(map(len, sequences)),
        "peak_rss_bytes": peak,
    }


def main():
    options = options_of()
    options.rate = options.rate or recipes.RATES[options.method]
    torch.manual_seed(options.seed)
    threads = common.threads_used(options.threads)
    facts, backbone = common.load_backbone(options.model, options.cache)
    tokenizer = common.make_tokenizer(facts)
    names = sorted(set(common.read_tsv(f"{options.data}/train.tsv")[1]))
    splits = {}
    for name in ("train", "val", "test"):
        texts, labels = common.read_tsv(f"{options.data}/{name}.tsv")
        splits[name] = (
            common.encode(tokenizer, facts, texts),
            [names.index(label) for label in labels],
        )
    made = recipes.make(facts, backbone, len(names), options.method, options.blocks, options.rank)
    classifier, trained = made
    report = train(classifier, trained, splits, options)
    _, right = judge(classifier.eval(), splits["test"])
    count = len(splits["test"][0])
    result = {
        "peer": "PEFT" if options.method == "lora" else "transformers",
        "method": options.method,
        "learning_rate": options.rate,
        "trained_parameters": sum(p.numel() for p in trained.values()),
        **report,
        "test_accuracy": right / count,
        "tested": count,
        "test_accuracy_ci95": common.wilson(right, count),
        "threads": threads,
        "versions": common.versions(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
