"""Peer: the book's spam classifier with transformers and PyTorch, fp32.

    python train_book.py MODEL.gguf DATA_DIR --cache DIR [--epochs 5] [--save FILE]

DATA_DIR holds train.tsv, val.tsv and test.tsv (columns label, text).  Trained are
the last block, the final norm and a linear head on the last real token; batches are
padded to their longest text.  The training time leaves out loading, evaluation and
the making of tokens.  Prints one JSON object; progress goes to standard error."""

import argparse
import json
import sys
import time

import torch

import common


def options_of():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("data", help="directory with train.tsv, val.tsv, test.tsv")
    parser.add_argument("--cache", help="directory for the dequantised weights")
    parser.add_argument("--save", help="write the trained tensors here (safetensors)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--decay", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    parser.add_argument("--limit", type=int, default=0, help="rows of each file, for a trial run")
    return parser.parse_args()


def load_split(options, facts, tokenizer, name, names):
    texts, labels = common.read_tsv(f"{options.data}/{name}.tsv")
    if options.limit:
        texts, labels = texts[: options.limit], labels[: options.limit]
    unknown = set(labels) - set(names)
    if unknown:
        raise SystemExit(f"{name}.tsv has labels that train.tsv has not: {sorted(unknown)}")
    return common.encode(tokenizer, facts, texts), [names.index(label) for label in labels]


def accuracy(model, head, split, batch):
    sequences, labels = split
    right = 0
    with torch.inference_mode():
        for start in range(0, len(sequences), batch):
            states = common.last_states(model, *common.pad(sequences[start : start + batch]))
            wanted = torch.tensor(labels[start : start + batch])
            right += int((head(states).argmax(1) == wanted).sum())
    return right / len(sequences)


def train_epoch(model, head, split, optimiser, options, shuffle):
    sequences, labels = split
    order = torch.randperm(len(sequences), generator=shuffle).tolist()
    total, positions = 0.0, 0
    for start in range(0, len(order), options.batch):
        rows = order[start : start + options.batch]
        ids, mask, last = common.pad([sequences[row] for row in rows])
        wanted = torch.tensor([labels[row] for row in rows])
        optimiser.zero_grad()
        logits = head(common.last_states(model, ids, mask, last))
        loss = torch.nn.functional.cross_entropy(logits, wanted)
        loss.backward()
        optimiser.step()
        total += loss.item() * len(rows)
        positions += ids.numel()
        print(f"\r{start + len(rows)}/{len(order)} loss {loss.item():.4f}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return total / len(order), positions


def main():
    options = options_of()
    torch.manual_seed(options.seed)
    threads = common.threads_used(options.threads)
    begin = time.perf_counter()
    facts, model = common.load_backbone(options.model, options.cache)
    tokenizer = common.make_tokenizer(facts)
    load_seconds = time.perf_counter() - begin

    names = sorted(set(common.read_tsv(f"{options.data}/train.tsv")[1]))
    train, val, test = (
        load_split(options, facts, tokenizer, name, names) for name in ("train", "val", "test")
    )
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    trained = common.trained_parts(facts, model, len(names))
    head = trained["head"]
    parameters = [p for part in trained.values() for p in part.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(parameters, lr=options.rate, weight_decay=options.decay)
    shuffle = torch.Generator().manual_seed(options.seed)

    epochs, positions = [], 0
    for epoch in range(options.epochs):
        begin = time.perf_counter()
        loss, positions = train_epoch(model, head, train, optimiser, options, shuffle)
        seconds = time.perf_counter() - begin
        reached = accuracy(model, head, val, 32)
        epochs.append({"seconds": seconds, "loss": loss, "validation_accuracy": reached})
        print(f"epoch {epoch + 1}: {json.dumps(epochs[-1])}", file=sys.stderr)
    if options.save:
        common.save_classifier(options.save, trained, names)
    seconds = [epoch["seconds"] for epoch in epochs]
    result = {
        "peer": "transformers",
        "task": "last block, last token",
        "rows": {"train": len(train[0]), "val": len(val[0]), "test": len(test[0])},
        "tokens_per_epoch": sum(len(ids) for ids in train[0]),
        "positions_per_epoch": positions,  # with padding
        "trained_parameters": sum(p.numel() for p in parameters),
        "epochs": epochs,
        "seconds_per_epoch": sum(seconds) / max(len(seconds), 1),
        "seconds": sum(seconds),
        "load_seconds": load_seconds,
        "test_accuracy": accuracy(model, head, test, 32),
        "peak_rss_bytes": common.peak_rss_bytes(),
        "threads": threads,
        "versions": common.versions(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
