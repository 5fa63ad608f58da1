"""Peer: classify a table with transformers and PyTorch, fp32.

    python eval_texts.py MODEL.gguf DATA_DIR --cache DIR [--mode padded|sorted|both]
                         [--classifier FILE] [--split test]

`padded`: batches in the table's order, padded to their longest text.  `sorted`: texts
of one length together, so that there is no padding (texts of a rare length run in
small batches).  The time covers tokens and forward passes, not loading.  Without
--classifier (train_book.py --save) the head is random and accuracy is null.
Prints one JSON object a mode."""

import argparse
import json
import time

import torch

import common


def batches_of(sequences, mode, batch):
    """Lists of row numbers."""
    if mode == "padded":
        rows = list(range(len(sequences)))
        return [rows[start : start + batch] for start in range(0, len(rows), batch)]
    by_length = {}
    for row, ids in enumerate(sequences):
        by_length.setdefault(len(ids), []).append(row)
    return [
        rows[start : start + batch]
        for _, rows in sorted(by_length.items())
        for start in range(0, len(rows), batch)
    ]


def classify(model, head, tokenizer, facts, texts, mode, batch):
    """(answers, real tokens, positions computed)"""
    sequences = common.encode(tokenizer, facts, texts)
    answers, positions = [0] * len(texts), 0
    with torch.inference_mode():
        for rows in batches_of(sequences, mode, batch):
            ids, mask, last = common.pad([sequences[row] for row in rows])
            best = head(common.last_states(model, ids, mask, last)).softmax(1).argmax(1)
            for row, answer in zip(rows, best.tolist()):
                answers[row] = answer
            positions += ids.numel()
    return answers, sum(len(ids) for ids in sequences), positions


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("data", help="directory with the tables")
    parser.add_argument("--split", default="test", help="the table's name without .tsv")
    parser.add_argument("--cache", help="directory for the dequantised weights")
    parser.add_argument("--classifier", help="what train_book.py --save wrote")
    parser.add_argument("--mode", choices=("padded", "sorted", "both"), default="both")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=0, help="0: as PyTorch chooses")
    parser.add_argument("--limit", type=int, default=0, help="rows, for a trial run")
    options = parser.parse_args()

    threads = common.threads_used(options.threads)
    texts, labels = common.read_tsv(f"{options.data}/{options.split}.tsv")
    if options.limit:
        texts, labels = texts[: options.limit], labels[: options.limit]
    begin = time.perf_counter()
    facts, model = common.load_backbone(options.model, options.cache)
    tokenizer = common.make_tokenizer(facts)
    if options.classifier:
        head, names = common.load_classifier(options.classifier, facts, model)
    else:
        names = sorted(set(labels))
        head = common.trained_parts(facts, model, len(names))["head"]
    load_seconds = time.perf_counter() - begin
    classify(model, head, tokenizer, facts, texts[:2], "padded", 2)  # first-touch costs

    for mode in ("padded", "sorted") if options.mode == "both" else (options.mode,):
        begin = time.perf_counter()
        answers, tokens, positions = classify(
            model, head, tokenizer, facts, texts, mode, options.batch
        )
        seconds = time.perf_counter() - begin
        right = sum(names[answer] == label for answer, label in zip(answers, labels))
        result = {
            "peer": "transformers",
            "mode": mode,
            "batch": options.batch,
            "texts": len(texts),
            "tokens": tokens,
            "positions": positions,  # with padding
            "seconds": seconds,
            "texts_per_second": len(texts) / seconds,
            "tokens_per_second": tokens / seconds,
            "accuracy": right / len(texts) if options.classifier else None,
            "load_seconds": load_seconds,
            "peak_rss_bytes": common.peak_rss_bytes(),
            "threads": threads,
            "versions": common.versions(),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
