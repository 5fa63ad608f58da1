#!/usr/bin/env python3
"""Compares taxon's ids with those of the `tokenizers` library, on every text of
every .tsv and .jsonl file below a directory and on the hard cases.

    make build/tests/tools/encode_records
    python3 tests/text/compare_tokens.py --model MODEL.gguf [--data DIRECTORY] [--split gpt-2]

Prints the counts for each file; status 1 when any text differs."""
import argparse
import json
import pathlib
import struct
import subprocess
import sys

import hard_cases
import reference


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def texts_of_file(path):
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            line = line.rstrip("\n")
            yield line
            if path.suffix == ".jsonl":
                yield from strings(json.loads(line))
            else:
                yield from line.split("\t")


def taxon_ids(driver, arguments, records):
    """The ids of (text, special) records, in order."""
    payload = b"".join(
        struct.pack("<BI", special, len(text)) + text for text, special in records)
    done = subprocess.run([driver, *arguments], input=payload, stdout=subprocess.PIPE, check=True)
    at = 0
    for _ in records:
        (count,) = struct.unpack_from("<I", done.stdout, at)
        yield list(struct.unpack_from(f"<{count}i", done.stdout, at + 4))
        at += 4 + 4 * count


def compare(name, texts, encode, driver, arguments):
    texts = list(dict.fromkeys(texts))
    records = [(text.encode(), special) for text in texts for special in (False, True)]
    tokens = differences = 0
    for (text, special), ids in zip(records, taxon_ids(driver, arguments, records)):
        expected = encode(text.decode(), special)
        tokens += len(ids)
        if ids != expected:
            differences += 1
            if differences <= 3:
                print(f"  {text!r} special={special}\n    {ids}\n    {expected}")
    size = sum(len(text) for text, _ in records) // 2
    print(f"{name}: {len(texts)} texts, {size} bytes, {tokens} tokens in both ways, "
          f"{differences} differences", flush=True)
    return len(texts), differences


def sources(data):
    yield "hard cases", hard_cases.whole()
    yield "mixed parts", hard_cases.mixed(30000)
    yield "long mixed parts", hard_cases.mixed(60, seed=3, longest=9000)
    yield "all characters", hard_cases.points()
    yield "a word of 100 kB", ["ab" * 50000, "a" * 100000, "qxzj" * 25000]
    for path in sorted(pathlib.Path(data).rglob("*")) if data else []:
        if path.suffix in (".tsv", ".jsonl"):
            yield str(path.relative_to(data)), texts_of_file(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--data")
    parser.add_argument("--split", help="another split rule than the model's")
    parser.add_argument("--driver", default="build/tests/tools/encode_records")
    options = parser.parse_args()
    encode = reference.build(reference.read_vocabulary(options.model), options.split)
    arguments = [options.model] + ([options.split] if options.split else [])
    texts = differences = 0
    for name, found in sources(options.data):
        more, wrong = compare(name, found, encode, options.driver, arguments)
        texts += more
        differences += wrong
    print(f"all: {texts} texts, {differences} differences")
    sys.exit(1 if differences else 0)


main()
