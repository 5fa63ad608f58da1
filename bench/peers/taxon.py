"""taxon for the scripts that hold it against a peer: its commands, a run's log and
checkpoints, small tables.  Needs the gguf package for checkpoints, else nothing; a process
that only starts others stays small, so that it does not count in their peak memory."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent


def add_options(parser):
    parser.add_argument("data", help="folder with train.tsv, val.tsv, test.tsv (label, text)")
    parser.add_argument("--taxon", default="build/taxon")
    parser.add_argument("--model", default="smollm2-135m", help="below TAXON_HOME, or a GGUF file")
    parser.add_argument("--cache", default="build/peers/cache", help="for the dequantised weights")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="of both; 0: as each chooses")


# ---- commands ----


def call(taxon, *words, quiet=True):
    """The JSON that a command prints; a failing one ends the measurement."""
    command = [taxon, *map(str, words), "--json", *(["--quiet"] if quiet else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}")
    return json.loads(done.stdout)


def model_path(options):
    return call(options.taxon, "show", options.model)["path"]


def train_words(options, folder, out, **recipe):
    """Of `taxon train`, from scratch: nothing is read from the cache and nothing left there."""
    words = [
        "train",
        "--model",
        options.model,
        "--data",
        f"{folder}/train.tsv",
        "--val",
        f"{folder}/val.tsv",
        "--out",
        out,
        "--batch",
        options.batch,
        "--threads",
        options.threads,
        "--no-cache",
    ]
    for name, value in recipe.items():
        words += ["--" + name.replace("_", "-"), value]
    return words


def train_timed(options, *words):
    """The report of `taxon train`, with `step_seconds`: from the note of epoch 0 (all is loaded
    and judged) to that of the last epoch, so with one validation an epoch; and
    `process_seconds`."""
    command = [options.taxon, *map(str, words), "--json"]
    begin = time.perf_counter()
    epochs = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        notes = []
        for line in run.stderr:
            notes.append(line)
            if line.startswith("epoch "):
                epochs.append(time.perf_counter())
        report = run.stdout.read()
    if run.returncode or len(epochs) < 2:
        raise SystemExit(f"{' '.join(command)}: status {run.returncode}\n{''.join(notes)}")
    seconds = {
        "step_seconds": epochs[-1] - epochs[0],
        "process_seconds": time.perf_counter() - begin,
    }
    return {**json.loads(report), **seconds}


def run_peer(options, script, *words):
    """The last line that a script of this folder prints, as JSON; in a process of its own."""
    command = [
        sys.executable,
        str(HERE / script),
        *map(str, words),
        "--cache",
        options.cache,
        "--batch",
        str(options.batch),
        "--threads",
        str(options.threads),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: status {done.returncode}")
    return json.loads(done.stdout.strip().split("\n")[-1])


# ---- tables ----


def copy_rows(data, folder, train=0, val=0, test=0):
    """The three tables cut to so many rows (0: all) in `folder`."""
    for name, rows in (("train", train), ("val", val), ("test", test)):
        lines = Path(data, f"{name}.tsv").read_text(encoding="utf-8").split("\n")
        kept = [line for line in lines[1:] if line]
        kept = kept[:rows] if rows else kept
        Path(folder, f"{name}.tsv").write_text("\n".join([lines[0], *kept, ""]), encoding="utf-8")
    return folder


def read_rows(folder, facts, tokenizer):
    """Token ids and label numbers of train.tsv; labels are numbered in their order."""
    texts, labels = common.read_tsv(f"{folder}/train.tsv")
    names = sorted(set(labels))
    return common.encode(tokenizer, facts, texts), [names.index(label) for label in labels], names


# ---- a run's directory ----


def read_steps(run):
    """The log's lines of steps."""
    lines = Path(run, "log.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "rows" in line]


def step_of(path):
    import gguf

    return int(gguf.GGUFReader(path).fields["run.state"].contents()[2])


def train_keeping(taxon, run, wanted, *words):
    """Trains, and keeps the checkpoints of the steps `wanted`: {step: {"NAME/value": flat array}}.

    A run keeps two, each replaced whole by a new file: a link to one of a wanted step, made while
    taxon works, stays.  A step must take longer than the wait between two looks."""
    import gguf

    process = subprocess.Popen(
        [taxon, *map(str, words), "--json", "--quiet"], stdout=subprocess.DEVNULL
    )
    seen, kept, ended = set(), {}, False
    while not ended:
        ended = process.poll() is not None
        for checkpoint in (Path(run, f"checkpoint-{letter}.gguf") for letter in "ab"):
            link = Path(run, f"link-{len(seen)}.gguf")
            try:
                os.link(checkpoint, link)
            except FileNotFoundError:
                continue
            facts = link.stat()
            file = (facts.st_ino, facts.st_mtime_ns)
            step = None if file in seen else step_of(link)
            seen.add(file)
            if step in wanted and step not in kept:
                kept[step] = link
            else:
                link.unlink()
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{taxon} {' '.join(map(str, words))}: status {process.returncode}")
    found = {step: gguf.GGUFReader(link) for step, link in kept.items()}
    return {step: {t.name: t.data for t in reader.tensors} for step, reader in found.items()}


def values_of(checkpoint, kind="value"):
    """{taxon's name: flat array} of one kind of a checkpoint's arrays."""
    end = "/" + kind
    return {name.removesuffix(end): a for name, a in checkpoint.items() if name.endswith(end)}
