#!/usr/bin/env python3
"""taxon beside its peers, on one machine in one run: writes docs/benchmarks.md.

    build/peers/venv/bin/python bench/peers/run.py --data test.tsv --text title,description

`make bench-peers` makes the virtual environment and calls this (ARGUMENTS="..." passes options
on).  The model is smollm2-135m below TAXON_HOME (taxon pull smollm2-135m), dequantised for the
peers that do not read its Q4_1; the texts are the same for all.  Each peer is a process of its
own that is loaded once; in each round all of them and taxon do the same work one after another,
so that an hour that is slow is slow for all.  Figures are medians over the rounds, with the least
and the greatest.  A peer that is not installed or fails is left out, and said so.

Rows (--only): texts, prefill, decode, products, memory; book with --book FOLDER (train.tsv, val.tsv,
test.tsv); accuracy with --task NAME=TRAIN:TEST[:TEXT] for each task."""

import argparse
import csv
import datetime
import json
import os
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import common  # noqa: E402
import engines  # noqa: E402

ROWS = ("texts", "prefill", "decode", "products", "memory", "book", "accuracy")
LENGTHS = (64, 512)
BATCHES = (1, 16)
STEPS = 64  # as taxon bench


# ---- processes ----


class Peer:
    """A worker process; `error` says why there are no more answers."""

    def __init__(self, name, options, model):
        self.name, self.limit, self.error, self.settings = name, options.limit, None, ""
        self.version, self.lines = "", queue.Queue()
        self.log = open(Path(options.cache) / f"{name}.log", "w")
        command = [sys.executable, HERE / "worker.py", name, model, options.cache, options.threads]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        threading.Thread(target=self.read, daemon=True).start()
        first = self.answer(max(options.limit, 900))  # an export takes its time, once
        self.version = first.get("version", "") if first else ""

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def answer(self, seconds):
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            self.stop(f"no answer within {seconds:.0f} s")
            return None
        if not line:
            self.stop("it ended")
            return None
        result = json.loads(line)
        if "error" in result:
            self.stop(result["error"])
            return None
        return result

    def ask(self, **request):
        """Seconds of each run, or None."""
        if self.error:
            return None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        result = self.answer(self.limit)
        if result:
            self.settings = result["settings"]
        return result["seconds"] if result else None

    def stop(self, why="done"):
        self.error = self.error or why
        if "No module named" in why:
            self.error = "not installed"
        self.process.kill()
        self.process.wait()


def call_taxon(options, *words, seconds=None):
    """What a taxon command prints as JSON, or None and a word on standard error."""
    command = [options.taxon, *map(str, words), "--json", "--quiet", "--threads", str(options.threads)]
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, timeout=seconds or options.limit * 4, check=True, text=True
        )
    except (subprocess.SubprocessError, OSError) as failure:
        print(f"taxon: {failure}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def knows(options, verb, word):
    done = subprocess.run([options.taxon, verb, "-h"], stdout=subprocess.PIPE, text=True)
    return word in done.stdout


# ---- figures ----


class Figures:
    """(work, subject) -> a figure a round."""

    def __init__(self):
        self.all = {}

    def add(self, work, subject, value):
        if value is not None:
            self.all.setdefault(work, {}).setdefault(subject, []).append(value)

    def median(self, work, subject):
        values = self.all.get(work, {}).get(subject)
        return statistics.median(values) if values else None

    def best(self, work, start):
        """(subject, median) of the best of the subjects whose name begins so."""
        found = [(self.median(work, s), s) for s in self.all.get(work, {}) if s.startswith(start)]
        return max(found)[::-1] if found else (None, None)

    def text(self, work, subject, digits=0):
        values = self.all.get(work, {}).get(subject)
        if not values:
            return "-"
        middle, low, high = statistics.median(values), min(values), max(values)
        return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


# ---- the texts ----


def read_texts(options):
    """The table's texts, evenly spread, as taxon joins columns."""
    path = Path(options.data)
    columns = options.text.split(",")
    if path.suffix == ".csv":
        with open(path, encoding="utf-8", newline="") as file:
            rows = [[row[c] for c in columns] for row in csv.DictReader(file)]
    else:
        lines = path.read_text(encoding="utf-8").split("\n")
        places = [lines[0].split("\t").index(column) for column in columns]
        rows = [[line.split("\t")[p] for p in places] for line in lines[1:] if line]
    step = max(1, len(rows) // options.texts)
    return ["\n".join(row) for row in rows[::step][: options.texts]]


def make_sequences(model, texts):
    import gguf

    facts = common.read_facts(gguf.GGUFReader(model))
    return common.encode(common.make_tokenizer(facts), facts, texts)


# ---- what is measured ----


def taxon_bench(options, figures, model, subject, *words):
    """One `taxon bench`, its ceilings noted."""
    result = call_taxon(options, "bench", model, *words)
    if result:
        figures.add("memory_gbps", "taxon", result["ceilings"]["memory_gbps"])
        figures.add(f"memory_gbps {subject}", "taxon", result["ceilings"]["memory_gbps"])
    return result


def round_texts(options, figures, peers, model, state):
    tokens = sum(len(ids) for ids in state["sequences"])
    result = taxon_bench(
        options, figures, model, "texts", "--only", "texts", "--data", state["table"], "--seconds", 0.05
    )
    for entry in result["texts"] if result else []:
        figures.add("texts", f"taxon {entry['precision']}", entry["tokens_per_second"])
        if entry["tokens"] != tokens:
            state["remarks"].add(f"taxon made {entry['tokens']} tokens of the texts, the peers {tokens}")
    for peer in peers:
        seconds = peer.ask(do="texts", sequences=state["sequences"])
        figures.add("texts", peer.name, seconds and tokens / seconds[0])


def round_prefill(options, figures, peers, model, state):
    lengths = [word for n in LENGTHS for word in ("--tokens", n)]
    result = taxon_bench(
        options, figures, model, "prefill", "--only", "prefill", *lengths, "--seconds", 1
    )
    for entry in result["prefill"] if result else []:
        work = f"prefill {entry['tokens']}"
        figures.add(work, f"taxon {entry['precision']}", entry["tokens_per_second"])
    for peer in peers:
        for length in LENGTHS:
            ids = [(7 * i) % 40000 + 100 for i in range(length)]
            peer.ask(do="prefill", sequences=[ids])  # what is new is not counted
            seconds = peer.ask(do="prefill", sequences=[ids], runs=5)
            figures.add(f"prefill {length}", peer.name, seconds and length / statistics.median(seconds))


def round_decode(options, figures, peers, model, state):
    models = {"": model}
    eight = Path(options.cache) / f"{Path(model).stem}-q8_0.gguf"
    if eight.exists():
        models[" of q8_0"] = eight
    for which, path in models.items():
        result = taxon_bench(options, figures, path, "decode", "--only", "decode", "--seconds", 1)
        for entry in result["decode"] if result else []:
            work = f"decode {entry['batch']}"
            figures.add(work, f"taxon {entry['precision']}{which}", entry["tokens_per_second"])
    for peer in peers:
        if not peer.name.startswith("llama"):
            continue
        for batch in BATCHES:
            seconds = peer.ask(do="decode", batch=batch, steps=STEPS, runs=3)
            value = seconds and batch * STEPS / statistics.median(seconds)
            figures.add(f"decode {batch}", peer.name, value)


def round_products(options, figures, peers, model, state):
    result = taxon_bench(options, figures, model, "products", "--only", "products", "--seconds", 0.3)
    for entry in result["products"] if result else []:
        work = f"{entry['type']} {entry['rows']} rows, {entry['threads']} thread"
        state.setdefault("products", {}).setdefault(work, []).append(entry["percent"])


def measure_memory(options, figures, model, state):
    """Peak of a text of 8,192 tokens less that of one of a single token."""
    peaks = []
    for tokens in (1, 8192):
        result = call_taxon(
            options, "bench", model, "--only", "prefill", "--precision", "f32", "--tokens", tokens,
            "--seconds", 0, seconds=options.limit * 10,
        )
        peaks.append(result and result["peak_rss_bytes"])
    if all(peaks):
        figures.add("memory", "taxon", (peaks[1] - peaks[0]) / 1e6)


def measure_book(options, figures, model, state):
    """The peer's epoch, five times; taxon's five epochs with everything around them."""
    with tempfile.TemporaryDirectory() as folder:
        data = options.book
        words = ["train", "--model", model, "--data", f"{data}/train.tsv", "--val", f"{data}/val.tsv",
                 "--out", f"{folder}/book.taxon", "--method", "last-block", "--epochs", 5,
                 "--patience", 5, "--batch", 8, "--lr", 5e-5, "--no-cache"]
        if knows(options, "train", "--precision"):
            words += ["--precision", "int8"]
        for _ in range(options.rounds):
            trained = call_taxon(options, *words, seconds=options.limit * 20)
            figures.add("book", "taxon", trained and trained["seconds"])
        measured = trained and call_taxon(
            options, "eval", f"{folder}/book.taxon", "--data", f"{data}/test.tsv"
        )
        if measured:
            state["book"] = measured["accuracy"], measured["accuracy_ci95"]
    command = [sys.executable, HERE / "train_book.py", model, data, "--epochs", "1", "--cache",
               options.cache, "--threads", str(options.threads)]
    try:
        done = subprocess.run([str(w) for w in command], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=True, text=True,
                              timeout=options.limit * 20)
        figures.add("book", "torch-fp32", 5 * json.loads(done.stdout)["seconds_per_epoch"])
    except (subprocess.SubprocessError, OSError) as failure:
        state["remarks"].add(f"the book's task was not run by transformers: {failure}"[:200])


def measure_accuracy(options, figures, model, state):
    if not knows(options, "eval", "--precision"):
        state["accuracy"] = "`taxon eval` has no --precision yet"
        return
    with tempfile.TemporaryDirectory() as folder:
        for task in options.task:
            name, _, rest = task.partition("=")
            train, test, *text = rest.split(":")
            column = ["--text", text[0]] if text else []
            out = f"{folder}/{name}.taxon"
            long = options.limit * 30
            if not call_taxon(options, "train", "--model", model, "--data", train, *column, "--out",
                              out, seconds=long):
                continue
            for precision in ("f32", "int8"):
                got = call_taxon(options, "eval", out, "--data", test, *column, "--precision",
                                 precision, seconds=long)
                figures.add(f"accuracy {name}", precision, got and 100 * got["accuracy"])
                figures.add(f"ece {name}", precision, got and got["ece"])


# ---- the page ----


def ratio_row(work, who, figure, taxon, ratio, wanted):
    """A row where more is better; figures are text, the ratio taxon's over the peer's."""
    if ratio is None:
        verdict = "not measured"
    elif ratio < 1:
        verdict = f"**{who.split(',')[0]} wins**"
    else:
        verdict = "reached" if ratio >= wanted else "not reached"
    shown = "-" if ratio is None else f"{ratio:.2f}"
    return [work, who, figure, taxon, shown, f"{wanted:g} times" if wanted > 1 else "more", verdict]


def against(figures, work, ours, theirs, wanted, title, digits=0):
    """Of the subjects of ours and theirs that begin so, the best of each."""
    us, mine = figures.best(work, ours)
    peer, other = figures.best(work, theirs)
    ratio = mine / other if mine and other else None
    return ratio_row(title, peer or theirs, figures.text(work, peer, digits) if peer else "-",
                     f"{us.removeprefix('taxon ')}: {figures.text(work, us, digits)}" if us else "-",
                     ratio, wanted)


def own_bits(figures, batch, q8):
    """taxon's decode from the file's own values: the name of the subject's beginning."""
    for subject in figures.all.get(f"decode {batch}", {}):
        if subject.startswith("taxon") and (" of q8_0" in subject) == q8:
            if subject.split()[1] not in ("f32", "int8"):
                return subject
    return "taxon from the file's values"


def latency_row(figures):
    us, mine = figures.best("prefill 64", "taxon")
    peer, other = figures.best("prefill 64", "llama")
    both = mine and other
    return ratio_row("one text of 64 tokens, model loaded, ms", peer or "llama.cpp",
                     f"{64e3 / other:.1f}" if other else "-",
                     f"{us.removeprefix('taxon ')}: {64e3 / mine:.1f}" if mine else "-",
                     mine / other if both else None, 1)


def memory_share_row(figures, model):
    subject = own_bits(figures, 1, False)
    rate, memory = figures.median("decode 1", subject), figures.median("memory_gbps decode", "taxon")
    share = rate * os.path.getsize(model) / memory / 1e9 if rate and memory else None
    return ["decode, batch 1, Q4_1: of the memory's rate", "-", "-",
            f"{100 * share:.0f} %" if share else "-", "-", "85 %",
            "not measured" if share is None else "reached" if share >= 0.85 else "not reached"]


def product_rows(state):
    wanted = {"f32": {8: 45, 64: 75, 512: 85}, "int8": {64: 60, 512: 75}}
    rows = []
    for kind, levels in wanted.items():
        for count, level in levels.items():
            values = state.get("products", {}).get(f"{kind} {count} rows, 1 thread")
            middle = statistics.median(values) if values else None
            shown = f"{middle:.0f} % ({min(values):.0f} to {max(values):.0f})" if values else "-"
            verdict = "not measured" if middle is None else "reached" if middle >= level else "not reached"
            rows.append([f"{kind} products, {count} rows, one thread", "measured peak", "100 %", shown,
                         "-", f"{level} %", verdict])
    return rows


def book_row(figures, state):
    mine, other = figures.median("book", "taxon"), figures.median("book", "torch-fp32")
    row = ratio_row("the book's task, five epochs of the last block, s", "torch-fp32",
                    figures.text("book", "torch-fp32", 1), figures.text("book", "taxon", 1),
                    other / mine if mine and other else None, 25)
    if "book" in state:
        accuracy, (low, high) = state["book"]
        row[3] += f", test accuracy {100 * accuracy:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    return row


def accuracy_rows(figures, state):
    names = [work.split(" ", 1)[1] for work in figures.all if work.startswith("accuracy ")]
    rows = []
    for name in names:
        four, one = (figures.median(f"accuracy {name}", p) for p in ("f32", "int8"))
        e4, e1 = (figures.median(f"ece {name}", p) for p in ("f32", "int8"))
        if four is None or one is None:
            continue
        good = abs(four - one) <= 0.3 and abs(e4 - e1) <= 0.01
        rows.append([f"accuracy of int8 against fp32, {name}", "taxon f32", f"{four:.2f} %, ECE {e4:.3f}",
                     f"{one:.2f} %, ECE {e1:.3f}", f"{one - four:+.2f}", "0.3 points, ECE 0.01",
                     "reached" if good else "not reached"])
    missing = state.get("accuracy", "not measured")
    return rows or [["accuracy of int8 against fp32", "taxon f32", "-", "-", "-", "0.3 points, ECE 0.01",
                     missing]]


def memory_row(figures):
    value = figures.median("memory", "taxon")
    verdict = "not measured" if value is None else "reached" if value < 600 else "not reached"
    return ["a text of 8,192 tokens: peak memory above the weights, MB", "-", "-",
            f"{value:.0f}" if value else "-", "-", "below 600", verdict]


def target_rows(figures, model, state):
    texts = "classifying texts, real tokens a second"
    return [
        book_row(figures, state),
        against(figures, "texts", "taxon", "llama-q", 3, texts),
        against(figures, "texts", "taxon f32", "torch-fp32", 2.2, texts),
        against(figures, "texts", "taxon", "onnx-int8", 1.5, texts),
        latency_row(figures),
        against(figures, "decode 1", own_bits(figures, 1, False), "llama-q4_1", 1.6,
                "decode, batch 1, Q4_1, tokens a second"),
        memory_share_row(figures, model),
        against(figures, "decode 1", own_bits(figures, 1, True), "llama-q8_0", 1.2,
                "decode, batch 1, Q8_0, tokens a second"),
        against(figures, "prefill 64", "taxon f32", "llama-f32", 1.7,
                "prefill in fp32, 64 tokens, tokens a second"),
        against(figures, "prefill 512", "taxon f32", "llama-f32", 1.7,
                "prefill in fp32, 512 tokens, tokens a second"),
        against(figures, "decode 16", "taxon", "llama", 2, "decode, batch 16, tokens a second"),
        *product_rows(state),
        *accuracy_rows(figures, state),
        memory_row(figures),
    ]


def table(heading, rows, right=()):
    lines = ["| " + " | ".join(heading) + " |",
             "|" + "|".join("---:" if i in right else "---" for i in range(len(heading))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def figure_rows(figures, peers):
    works = ["texts", *(f"prefill {n}" for n in LENGTHS), *(f"decode {n}" for n in BATCHES)]
    subjects = [s for w in works for s in figures.all.get(w, {}) if s.startswith("taxon")]
    subjects = list(dict.fromkeys(subjects)) + [peer.name for peer in peers]
    rows = [[s, *(figures.text(w, s) for w in works)] for s in subjects]
    return ["", "texts", *(f"prefill {n}" for n in LENGTHS), *(f"decode, batch {n}" for n in BATCHES)], rows


def processor():
    for line in Path("/proc/cpuinfo").read_text().split("\n"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def flags():
    text = Path("/proc/cpuinfo").read_text()
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
    words = set(text.split())
    return ", ".join(name for name in known if name in words)


def write_page(options, figures, peers, model, state):
    heading, rows = figure_rows(figures, peers)
    taxon = subprocess.run([options.taxon, "--version"], stdout=subprocess.PIPE, text=True).stdout.strip()
    tokens = sum(len(ids) for ids in state["sequences"])
    page = f"""# taxon beside its peers

Written by `bench/peers/run.py`; not by hand.

- command: `{state["command"]}`
- day: {datetime.date.today()}, {state["minutes"]:.0f} minutes; load of the machine at the start \
{state["load"][0]:.1f}, at the end {os.getloadavg()[0]:.1f} (the run itself makes {options.threads})
- processor: {processor()} ({flags()}), {options.threads} threads for each
- {taxon}; model: {Path(model).name}, {os.path.getsize(model) / 1e6:.1f} MB
- texts: {len(state["sequences"])} of the table, {tokens:,} tokens
- medians over {options.rounds} rounds, in which taxon and each peer do the same work one after another; in \
brackets the least and the greatest

## What was to be reached

{table(["work", "peer", "its figure", "taxon", "ratio", "to reach", ""], target_rows(figures, model, state))}

A ratio above 1 is in taxon's favour. "-" was not measured: taxon or the peer cannot do it, or it was not
asked for.

## All figures, tokens a second

{table(heading, rows, range(1, len(heading)))}

taxon's figures of texts are from characters to the pooled state; those of the peers are from tokens,
and leave out the making of tokens; of llama.cpp only the time inside the library counts. Nothing is
padded. llama.cpp computes the logits of the last token, which taxon does not need to classify: less than
a hundredth of a text's work.

## The peers

{table(["peer", "version", "settings, or why it is missing"],
       [[p.name, p.version or "-", p.settings if p.settings and not p.error else p.error or ""] for p in peers])}
"""
    if state["remarks"]:
        page += "\n" + "\n".join(f"- {remark}" for remark in sorted(state["remarks"])) + "\n"
    Path(options.out).write_text(page, encoding="utf-8")
    results = Path(options.cache) / "results.json"
    results.write_text(json.dumps({"figures": figures.all, "products": state.get("products")}, indent=1))


# ---- the run ----


def options_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="a name below TAXON_HOME or a GGUF file")
    parser.add_argument("--taxon", default="build/taxon")
    parser.add_argument("--cache", default="build/peers/cache", help="for derived model files and logs")
    parser.add_argument("--data", help="a table of texts, CSV or TSV; none: no texts")
    parser.add_argument("--text", default="text", help="its columns, joined by commas")
    parser.add_argument("--texts", type=int, default=400, help="how many of them")
    parser.add_argument("--book", help="folder of the book's task")
    parser.add_argument("--task", action="append", default=[], help="NAME=TRAIN:TEST[:TEXT]")
    parser.add_argument("--only", action="append", choices=ROWS, help="rows; all by default")
    parser.add_argument("--peer", action="append", choices=list(engines.ENGINES), help="peers; all by default")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit", type=float, default=300, help="seconds that one answer may take")
    parser.add_argument("--out", default="docs/benchmarks.md")
    options = parser.parse_args()
    options.only = options.only or list(ROWS)
    return options


def run_rounds(options, figures, peers, model, state):
    rounds = {"texts": round_texts, "prefill": round_prefill, "decode": round_decode,
              "products": round_products}
    if not state["sequences"]:
        rounds.pop("texts")
    for number in range(options.rounds):
        for row, measure in rounds.items():
            if row in options.only:
                print(f"round {number + 1} of {options.rounds}: {row}", file=sys.stderr, flush=True)
                measure(options, figures, peers, model, state)


def main():
    options = options_of()
    os.makedirs(options.cache, exist_ok=True)
    begin = time.time()
    state = {"remarks": set(), "sequences": [], "load": os.getloadavg(),
             "command": re.sub(r"[^ =:]*/", "", " ".join(["run.py", *sys.argv[1:]]))}
    described = call_taxon(options, "show", options.model)
    if not described:
        sys.exit("there is no such model; run: taxon pull smollm2-135m")
    model, figures = described["path"], Figures()
    with tempfile.TemporaryDirectory() as folder:
        if options.data and "texts" in options.only:
            texts = read_texts(options)
            state["table"] = f"{folder}/texts.jsonl"
            Path(state["table"]).write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
            state["sequences"] = make_sequences(model, texts)
        peers = []
        if {"texts", "prefill", "decode"} & set(options.only):
            for name in options.peer or engines.ENGINES:
                print(f"loading {name}", file=sys.stderr, flush=True)
                peers.append(Peer(name, options, model))
        run_rounds(options, figures, peers, model, state)
        for peer in peers:
            if not peer.error:
                peer.process.kill()
        if "memory" in options.only:
            measure_memory(options, figures, model, state)
        if options.book and "book" in options.only:
            measure_book(options, figures, model, state)
        if options.task and "accuracy" in options.only:
            measure_accuracy(options, figures, model, state)
    state["minutes"] = (time.time() - begin) / 60
    write_page(options, figures, peers, model, state)
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
