#!/usr/bin/env python3
"""What `train --method auto` makes of many kinds of data, as a Markdown table.

    python3 bench/auto.py DATA [--taxon build/taxon] [--only "NAME;NAME"]

DATA holds the tables that the rows below name (sms_spam, sms_spam_book, ag_news, banking77,
clinc150); customer feedback is pulled.  The model is smollm2-135m under
TAXON_HOME.  Each row: a training table made from the real one by a fixed seed, `taxon train` with
its defaults but for a cache of 16 GB, so that the second run finds its states, `taxon eval` on the test table.  Prints accuracy with its 95 % interval, the linear
baseline of the same run with the interval of the difference, the depth and the pooling that were
chosen, what was kept, and the seconds of the training, of its repetition, and of one of the same texts
with other labels (the same ones in another order), for which every fit is made again.  The
first is a first one where the cache under TAXON_HOME holds none of its texts.
"""
import argparse
import collections
import os
import random
import subprocess
import tempfile

from sets import interval, taxon_json


def read(path, text="text", label="label"):
    with open(path, encoding="utf-8", newline="\n") as table:
        names = table.readline().rstrip("\n").split("\t")
        columns = [names.index(name) for name in text.split(",")]
        at = names.index(label)
        lines = [line.rstrip("\n").split("\t") for line in table]
    return [(row[at], " ".join(row[i] for i in columns)) for row in lines]


def write(rows, path):
    with open(path, "w", encoding="utf-8", newline="\n") as table:
        table.write("label\ttext\n")
        table.writelines(f"{label}\t{text}\n" for label, text in rows)


def sample(rows, count, seed=1):
    return random.Random(seed).sample(rows, count)


def per_class(rows, count, seed=1):
    rows, taken, seen = random.Random(seed).sample(rows, len(rows)), [], collections.Counter()
    for row in rows:
        if seen[row[0]] < count:
            seen[row[0]] += 1
            taken.append(row)
    return taken


def noisy(rows, share, seed=1):
    """A share of the labels replaced by another label."""
    chance, labels = random.Random(seed), sorted({label for label, _ in rows})
    return [(chance.choice([other for other in labels if other != label]), text)
            if chance.random() < share else (label, text) for label, text in rows]


def long_texts(rows, words, seed=1):
    """Texts of one label joined until they have a number of words between 1 and `words`."""
    chance, by_label, made = random.Random(seed), collections.defaultdict(list), []
    for label, text in rows:
        by_label[label].append(text)
    for label, texts in sorted(by_label.items()):
        while texts:
            wanted, text = int(words ** chance.random()), texts.pop()
            while texts and len(text.split()) < wanted:
                text += " " + texts.pop()
            made.append((label, " ".join(text.split()[:wanted])))
    chance.shuffle(made)
    return made


def kinds(data, pulled):
    """name: (training rows, test rows), made when asked for."""
    def news(part):
        return read(f"{data}/ag_news/{part}.tsv", "title,description")

    def banking(part):
        return read(f"{data}/banking77/{part}.tsv")

    def clinc(part):
        return read(f"{data}/clinc150/{part}.tsv")

    def feedback(part):
        return read(f"{pulled}/customer-feedback/{part}.tsv")

    def sms(*parts):
        rows = read(f"{data}/sms_spam/sms_spam.tsv", "split,text")
        return [(label, text.split(" ", 1)[1]) for label, text in rows
                if text.split(" ", 1)[0] in parts]

    return {
        "customer feedback": lambda: (feedback("train") + feedback("val"), feedback("test")),
        "AG News, 2,000": lambda: (sample(news("train_20k"), 2000), news("test")),
        "Banking77, all": lambda: (banking("train"), banking("test")),
        "SMS spam, 13 % spam": lambda: (sms("train", "val"), sms("test")),
        "SMS spam, 2 % spam": lambda: (
            [row for row in sms("train", "val") if row[0] == "ham"]
            + per_class([row for row in sms("train", "val") if row[0] == "spam"], 80), sms("test")),
        "AG News, 8 a class": lambda: (per_class(news("train_20k"), 8), sample(news("test"), 1500)),
        "Banking77, 8 a class": lambda: (per_class(banking("train"), 8), banking("test")),
        "CLINC150, 151 classes, 30 a class": lambda: (per_class(clinc("train"), 30),
                                                      sample(clinc("test"), 2000)),
        "AG News, 1,000, one label in five wrong": lambda: (
            noisy(sample(news("train_20k"), 1000), 0.2), sample(news("test"), 1500)),
        "AG News, 300, each four times": lambda: (sample(news("train_20k"), 300) * 4,
                                                  sample(news("test"), 1500)),
        "AG News, 1 to 6,000 words": lambda: (long_texts(sample(news("train_20k"), 3000), 6000),
                                              sample(news("test"), 1500)),
    }


def row(taxon, name, made, folder):
    train, test = made()
    paths = [os.path.join(folder, part) for part in ("train.tsv", "test.tsv", "out.taxon")]
    write(train, paths[0])
    write(test, paths[1])
    words = ["train", "--model", "smollm2-135m", "--data", paths[0], "--out", paths[2]]
    report = taxon_json(taxon, *words, "--cache-mb", "16000")
    again = taxon_json(taxon, *words, "--cache-mb", "16000")
    write([(label[::-1], text) for label, text in train], paths[0])
    words[-1] = os.path.join(folder, "other.taxon")
    other = taxon_json(taxon, *words, "--cache-mb", "16000")
    scores = taxon_json(taxon, "eval", paths[2], "--data", paths[1])
    compared = scores["baseline_tests"]["linear"]
    low, high = compared["difference_ci95"]
    print(f"| {name} | {len(train):,} / {len(test):,} | {100 * scores['accuracy']:.1f} "
          f"({interval(scores['accuracy_ci95'])}) | {100 * scores['macro_f1']:.1f} | "
          f"{100 * scores['baselines']['linear']:.1f} | {100 * compared['difference']:+.1f} "
          f"({100 * low:+.1f} to {100 * high:+.1f}) | {report['depth']}, {report['pooling']}, "
          f"{report['method']} | {report['seconds']:.0f} / {again['seconds']:.0f} / "
          f"{other['seconds']:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--taxon", default="build/taxon")
    parser.add_argument("--only", help="names, separated by semicolons")
    arguments = parser.parse_args()
    print("| data | training / test texts | accuracy, % (95 % interval) | macro F1 | "
          "TF-IDF + linear | difference (95 % interval) | depth, pooling, kept | "
          "seconds, first / second / other labels |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.taxon, "pull", "data:customer-feedback", "--quiet", "--dir",
                        f"{folder}/customer-feedback"], check=True, stdout=subprocess.DEVNULL)
        for name, made in kinds(arguments.data, folder).items():
            if arguments.only and name not in arguments.only.split(";"):
                continue
            row(arguments.taxon, name, made, folder)


if __name__ == "__main__":
    main()
