"""Peer: from the start of a Python process to its first answer, imports included.

    python start.py MODEL.gguf --cache DIR [--classifier FILE] [--text TEXT] [--runs 3]

Starts itself as a fresh process, waits for its first line and prints one JSON object.
Weights come from the cache as fp32 safetensors, mapped, with no initialisation and no
GGUF reading: quicker than a usual from_pretrained.  One run before the measured ones
fills the cache and the page cache."""

import argparse
import json
import subprocess
import sys
import time

TEXT = "You have won a free prize! Call 0800 123 456 now to claim it."


def answer(options):
    """The measured process: one text, one answer, then where the time went."""
    begin = time.perf_counter()
    import torch

    import common

    facts, model = common.load_backbone(options.model, options.cache)
    tokenizer = common.make_tokenizer(facts)
    if options.classifier:
        head, names = common.load_classifier(options.classifier, facts, model)
    else:
        names = ["ham", "spam"]
        head = common.trained_parts(facts, model, len(names))["head"]
    loaded = time.perf_counter()
    with torch.inference_mode():
        batch = common.pad(common.encode(tokenizer, facts, [options.text]))
        probabilities = head(common.last_states(model, *batch)).softmax(1)[0].tolist()
    best = max(range(len(names)), key=probabilities.__getitem__)
    print(json.dumps({"label": names[best], "probability": probabilities[best]}), flush=True)
    done = time.perf_counter()
    phases = {
        "import_and_load_seconds": loaded - begin,
        "text_seconds": done - loaded,
        "peak_rss_bytes": common.peak_rss_bytes(),
        "versions": common.versions(),
    }
    print(json.dumps(phases), flush=True)


def run_once(command):
    """(seconds to the first line, the first line, what followed it)"""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        seconds = time.perf_counter() - begin
        rest = process.stdout.readline()
    if process.returncode or not rest:
        raise SystemExit("the measured process failed; its message stands above")
    return seconds, json.loads(first), json.loads(rest)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--cache", required=True, help="directory for the dequantised weights")
    parser.add_argument("--classifier", help="what train_book.py --save wrote")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        answer(options)
        return
    command = [sys.executable, *sys.argv, "--child"]
    run_once(command)
    runs = [run_once(command) for _ in range(max(options.runs, 1))]
    seconds = sorted(run[0] for run in runs)
    _, first, phases = runs[-1]
    result = {"peer": "transformers", "seconds": seconds[len(seconds) // 2], "runs": seconds}
    print(json.dumps({**result, "answer": first, **phases}))


if __name__ == "__main__":
    main()
