#!/usr/bin/env python3
"""Models that write, tuned and as they come: two cases of the book, and preferences.

    python3 bench/tune.py DATA [--tasks spam,translate,preferences] [--rows 5000] [--test 1000]
                          [-- OPTIONS OF tune]

DATA holds sms_spam/sms_spam.tsv (split, label, text), translation_en_de/train_5k.tsv, val.tsv and
test_2016_flickr.tsv (en, de), and instructions/rasbt_preference.jsonl (instruction, input, chosen,
rejected).  The model is smollm2-135m under TAXON_HOME (taxon pull smollm2-135m).

spam: is this text spam, yes or no; training texts of both labels in equal number, at most --rows,
all test texts up to --test.  translate: English into German; BLEU and chrF are computed by
sacrebleu too where Python can import it.  preferences: the last tenth of the pairs is held out.
--rows and --test make it smaller; what follows `--` goes to taxon tune.  Prints a table a task;
asserts nothing.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

SPAM = ["--instruction", "Is this text spam? Answer yes or no.", "--input", "text", "--output",
        "label", "--answers", "spam=yes,ham=no"]
GERMAN = ["--instruction", "Translate into German:", "--input", "en", "--output", "de"]


def taxon_json(taxon, *words):
    command = [taxon, *words, "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def tune(run, train, val, *words):
    """The report of a tuned model; its file is run.tuned."""
    return taxon_json(run.taxon, "tune", "--model", "smollm2-135m", "--data", train, "--val", val,
                      "--out", run.tuned, *words, *run.words)


def generate(run, model, test, *words):
    return taxon_json(run.taxon, "generate", model, "--data", test, "--out", run.answers, *words)


def print_training(report):
    speed = report["tokens"] * report["epochs"] / report["seconds"]
    print(f"tuned by {report['method']} on {report['train_rows']:,} rows, {report['epochs']} epochs "
          f"(number {report['best_epoch']} kept), {report['seconds']:.0f} s, {speed:.0f} tokens/s, "
          f"peak {report['peak_rss_bytes'] / 1e6:.0f} MB; validation loss "
          f"{report['before']['loss']:.3f} before, {report['validation']['loss']:.3f} after",
          flush=True)


# ---- spam -------------------------------------------------------------------

def split_spam(run):
    head, *rows = lines_of(os.path.join(run.data, "sms_spam", "sms_spam.tsv"))
    of = {}
    for row in rows:
        split, label, _ = row.split("\t")
        of.setdefault((split, label), []).append(row)
    each = min(run.rows // 2, len(of["train", "spam"]), len(of["train", "ham"]))
    chosen = random.Random(0)
    train = [row for label in ("spam", "ham") for row in chosen.sample(of["train", label], each)]
    held_out = [row for label in ("spam", "ham")
                for row in of["val", label][:max(1, min(each // 5, 50))]]
    test = [row for row in rows if row.startswith("test\t")][:run.test]
    return [write_lines(run.path(name), [head, *part]) for name, part in
            [("train.tsv", train), ("val.tsv", held_out), ("test.tsv", test)]]


def spam_row(name, scores):
    low, high = scores["accuracy_ci95"]
    print(f"| {name} | {scores['n']:,} | {100 * scores['accuracy']:.1f} ({100 * low:.1f} to "
          f"{100 * high:.1f}) | {100 * scores['neither']:.1f} |", flush=True)


def measure_spam(run):
    train, val, test = split_spam(run)
    before = generate(run, "smollm2-135m", test, *SPAM, "--max-new", "8")
    print_training(tune(run, train, val, *SPAM))
    after = generate(run, run.tuned, test, *SPAM, "--max-new", "8")
    ham = sum(row.startswith("test\tham\t") for row in lines_of(test))
    print("\n| is it spam? | test texts | accuracy, % (95 % interval) | neither yes nor no, % |\n"
          "|---|---|---|---|")
    spam_row("as it comes", before)
    spam_row("tuned", after)
    print(f"| always no | {after['n']:,} | {100 * ham / after['n']:.1f} | 0.0 |\n")


# ---- translation --------------------------------------------------------------

def by_sacrebleu(run):
    """BLEU and chrF of the answers just written, or None."""
    try:
        import sacrebleu
    except ImportError:
        return None
    rows = [json.loads(line) for line in lines_of(run.answers)]
    answers, references = [row["answer"] for row in rows], [[row["reference"] for row in rows]]
    return (sacrebleu.corpus_bleu(answers, references).score,
            sacrebleu.corpus_chrf(answers, references).score)


def translate(run, model, test, name):
    scores = generate(run, model, test, *GERMAN, "--max-new", "64")
    peer = by_sacrebleu(run)
    told = f"{peer[0]:.4f}, {peer[1]:.4f}" if peer else "not here"
    return (f"| {name} | {scores['n']:,} | {scores['bleu']:.4f} | {scores['chrf']:.4f} | {told} | "
            f"{scores['cut']:,} |")


def measure_translation(run):
    folder = os.path.join(run.data, "translation_en_de")
    parts = []
    for name, most in [("train_5k.tsv", run.rows), ("val.tsv", min(200, run.test)),
                       ("test_2016_flickr.tsv", run.test)]:
        lines = lines_of(os.path.join(folder, name))
        parts.append(write_lines(run.path(name), lines[:most + 1]))
    train, val, test = parts
    before = translate(run, "smollm2-135m", test, "as it comes")
    print_training(tune(run, train, val, *GERMAN))
    after = translate(run, run.tuned, test, "tuned")
    print("\n| English into German | test rows | BLEU | chrF | the two by sacrebleu | cut |\n"
          "|---|---|---|---|---|---|")
    print(before)
    print(after + "\n", flush=True)


# ---- preferences ---------------------------------------------------------------

def measure_preferences(run):
    rows = lines_of(os.path.join(run.data, "instructions", "rasbt_preference.jsonl"))
    held_out = max(1, len(rows) // 10)
    train = write_lines(run.path("train.jsonl"), rows[:-held_out][:run.rows])
    val = write_lines(run.path("val.jsonl"), rows[-held_out:][:run.test])
    report = tune(run, train, val, "--dpo")
    print_training(report)
    print("\n| preferences | held-out pairs | chosen likelier, % | chosen gained more, % | loss |\n"
          "|---|---|---|---|---|")
    for name, scores in [("as it comes", report["before"]), ("tuned", report["validation"])]:
        print(f"| {name} | {report['val_rows']:,} | {100 * scores['likelier']:.1f} | "
              f"{100 * scores['preferred']:.1f} | {scores['loss']:.4f} |")
    print(flush=True)


# ---- the whole ------------------------------------------------------------------

class Run:
    def __init__(self, arguments, folder):
        self.taxon, self.data = os.path.abspath(arguments.taxon), arguments.data
        self.rows, self.test, self.words = arguments.rows, arguments.test, arguments.words
        self.folder = folder
        self.tuned, self.answers = self.path("tuned.taxon"), self.path("answers.jsonl")

    def path(self, name):
        return os.path.join(self.folder, name)


def main():
    tasks = {"spam": measure_spam, "translate": measure_translation,
             "preferences": measure_preferences}
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--taxon", default="build/taxon")
    parser.add_argument("--tasks", default=",".join(tasks))
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--test", type=int, default=1000000)
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:end])
    arguments.words = sys.argv[end + 1:]
    for task in arguments.tasks.split(","):
        if task not in tasks:
            parser.error(f"there is no task '{task}'; the tasks are: {', '.join(tasks)}")
        with tempfile.TemporaryDirectory() as folder:
            tasks[task](Run(arguments, folder))


if __name__ == "__main__":
    sys.exit(main())
