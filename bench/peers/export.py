#!/usr/bin/env python3
"""What taxon export writes, loaded by the programs that it is for.

    build/peers/venv/bin/python bench/peers/export.py [MODEL] [CLASSIFIER...]

`make bench-export` makes the virtual environment and calls this (ARGUMENTS="..." passes MODEL and
options on).  MODEL is a name below TAXON_HOME or a GGUF file (default: smollm2-135m).  The
classifiers are its own, or without any some small ones that are trained here, in a minute: each
method once, cut at a depth.  A line for each check, with what was measured; exit status 1 when one
does not hold.

Of the model: llama.cpp goes on from a prompt with the same tokens as from the model's own file, so
does transformers, and `taxon generate` where there is one; transformers' tokenizer gives the ids of
`taxon tokens`.  Of each classifier: llama.cpp loads it, and its pooled state with classifier.json
gives the probabilities of `taxon predict` but for llama.cpp's own rounding; transformers gives them
to 1e-4 in the logarithm; and so does PEFT, over the model, where there are adapters."""

import argparse
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # folders are given, nothing is fetched
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "text"))
import hard_cases  # noqa: E402

PROMPTS = ("The capital of France is", "Once upon a time there was a", "1, 2, 3, 4,")
TOKENS = 12
NEAR = 1e-4  # of log-probabilities, in fp32
ROUNDED = 0.05  # of probabilities, where llama.cpp rounds activations to bytes
KINDS = {
    "head": ["--method", "head", "--pooling", "last"],
    "lora": ["--method", "lora", "--rank", "4", "--pooling", "mean", "--lr", "0.003"],
    "dora": ["--method", "lora", "--dora", "--rank", "3", "--pooling", "last", "--lr", "0.003"],
    "last-block": ["--method", "last-block", "--pooling", "both", "--lr", "0.0003"],
    "norms": ["--method", "norms", "--pooling", "last", "--lr", "0.003"],
    "full": ["--method", "full", "--pooling", "first", "--lr", "0.0003"],
}
WORDS = {
    "spam": "win free prize call now claim cash urgent text offer reply 0906 £100".split(),
    "ham": "ok see you at home later dinner thanks meeting tomorrow love sorry 7".split(),
}
failed = 0


def verdict(holds, what, measured=""):
    global failed
    failed += not holds
    print(f"{'ok  ' if holds else 'FAIL'} {what}{': ' if measured else ''}{measured}", flush=True)


# ---- taxon ----


class Taxon:
    def __init__(self, program, home):
        self.program, self.home = program, ["--home", home] if home else []

    def run(self, *arguments, text=None):
        command = [self.program, *map(str, arguments), *self.home]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def lines(self, *arguments, texts):
        given = "".join(text + "\n" for text in texts)
        answers = self.run(*arguments, "-", "--json", "--quiet", text=given).splitlines()
        return [json.loads(answer) for answer in answers]

    def knows(self, verb):
        return subprocess.run([self.program, verb, "-h"], capture_output=True).returncode == 0

    def export(self, what, form, folder):
        self.run("export", what, "--to", form, "--out", folder, "--quiet")
        return folder


def make_texts(count, seed):
    rng = random.Random(seed)
    for row in range(count):
        label = ("spam", "ham")[row % 2]
        words = rng.choices(WORDS[label], k=6) + rng.choices(WORDS["ham"], k=2)
        rng.shuffle(words)
        yield label, " ".join(words)


def train(taxon, model, depth, folder):
    table = folder / "train.tsv"
    rows = "".join(f"{label}\t{text}\n" for label, text in make_texts(120, 1))
    table.write_text("label\ttext\n" + rows)
    for kind, options in KINDS.items():
        out = folder / f"{kind}.taxon"
        solver = [] if kind == "head" else ["--epochs", "2", "--head-solver", "sgd"]
        taxon.run("train", "--model", model, "--data", table, "--depth", depth, "--out", out,
                  "--no-cache", "--quiet", *options, *solver)
        yield out


# ---- llama.cpp ----


def load_llama(path, **options):
    from llama_cpp import Llama

    return Llama(str(path), n_ctx=128, n_threads=os.cpu_count(), verbose=False, **options)


def llama_tokens(path):
    """The first tokens after each prompt, greedily, and the prompts' own."""
    model, answers = load_llama(path), []
    for prompt in PROMPTS:
        ids, made = model.tokenize(prompt.encode(), add_bos=False), []
        for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
            made.append(token)
            if len(made) == TOKENS:
                break
        answers.append((ids, made))
        model.reset()
    return answers


def llama_probabilities(folder, texts):
    """Of the labels in the head's order; None where llama.cpp has no such pooling."""
    head = json.loads((folder / "classifier.json").read_text())
    if head["pooling"] == "both":
        load_llama(folder / "model.gguf")
        return head["labels"], None
    model = load_llama(folder / "model.gguf", embedding=True)
    rows = []
    for text in texts:
        state = model.embed(text, normalize=False)
        logits = [sum(w * x for w, x in zip(row, state)) + bias
                  for row, bias in zip(head["weight"], head["bias"])]
        most = max(logits)
        odds = [math.exp(logit - most) for logit in logits]
        rows.append([odd / sum(odds) for odd in odds])
    return head["labels"], rows


# ---- transformers and PEFT ----


def log_probabilities(model, tokenizer, texts):
    import torch

    batch = tokenizer(texts, return_tensors="pt", padding=True, truncation=True)
    with torch.inference_mode():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        return torch.log_softmax(logits.double(), -1).tolist()


def load_classifier(folder):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder, trust_remote_code=True)


def load_adapters(folder, base):
    from peft import PeftModel
    from transformers import AutoConfig, AutoTokenizer
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    name = "modeling_taxon.TaxonForSequenceClassification"
    model = get_class_from_dynamic_module(name, folder).from_pretrained(base, config=config)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    return PeftModel.from_pretrained(model, folder).eval(), tokenizer


def greedy(folder, prompts):
    import torch
    from transformers import AutoModelForCausalLM

    model, made = AutoModelForCausalLM.from_pretrained(folder).eval(), []
    for ids in prompts:
        with torch.inference_mode():
            out = model.generate(torch.tensor([ids]), max_new_tokens=TOKENS, do_sample=False,
                                 eos_token_id=None, pad_token_id=0)
        made.append(out[0, len(ids):].tolist())
    return made


# ---- the checks ----


def check_model(taxon, model, folder):
    path = json.loads(taxon.run("show", model, "--json"))["path"]
    own = llama_tokens(path)
    written = llama_tokens(taxon.export(model, "gguf", folder / "gguf") / "model.gguf")
    verdict(own == written, "llama.cpp goes on from the exported GGUF as from the model's own")
    if taxon.knows("generate"):
        texts = [json.loads(taxon.run("generate", model, prompt, "--json", "--quiet", "--logprobs",
                                      "--max-tokens", TOKENS)) for prompt in PROMPTS]
        ours = [[entry["token"] for entry in text["logprobs"]] for text in texts]
        verdict(ours == [made for _, made in own], "taxon generate goes on so too")
    base = taxon.export(model, "safetensors", folder / "base")
    theirs = greedy(base, [ids for ids, _ in own])
    # fp32 there, bytes here: what is nearly as likely may be taken instead, later than sooner.
    shared = [next((i for i, (a, b) in enumerate(zip(x, y)) if a != b), TOKENS)
              for x, (_, y) in zip(theirs, own)]
    verdict(min(shared) > 0, "transformers begins as llama.cpp does",
            f"{', '.join(map(str, shared))} of {TOKENS} tokens the same")
    check_tokenizer(taxon, model, base)
    return base


def check_tokenizer(taxon, model, base):
    from transformers import AutoTokenizer

    texts = [text for text in (*hard_cases.whole(), *hard_cases.mixed(300, seed=5))
             if text and "\n" not in text and "\r" not in text]
    texts = list(dict.fromkeys(texts))
    tokenizer = AutoTokenizer.from_pretrained(base)
    for special in (False, True):
        ours = taxon.lines("tokens", model, *(["--special"] if special else []), texts=texts)
        theirs = [tokenizer(text, split_special_tokens=not special)["input_ids"] for text in texts]
        other = [t for t, a, b in zip(texts, ours, theirs) if a["ids"] != b]
        verdict(not other and len(ours) == len(texts),
                "the tokenizer gives the same ids, control tokens "
                + ("parsed" if special else "as text"),
                f"{len(texts) - len(other)} of {len(texts)} texts"
                + (f", not {other[0]!r}" if other else ""))


def check_near(what, ours, labels, logs):
    most = max(abs(math.log(row["probabilities"][label]) - value)
               for row, values in zip(ours, logs) for label, value in zip(labels, values))
    verdict(most <= NEAR, what, f"log-probabilities differ by {most:.1e} at most")


def check_classifier(taxon, path, base, folder):
    texts = [text for _, text in make_texts(16, 2)]
    texts += ["größer 😀 <|im_end|> x", "it's   1234 !"]
    told = json.loads(taxon.run("show", path, "--json"))
    if told.get("words"):
        print(f"     {path.name} counts words too, which no export can: its answers differ")
        return
    if told["method"] != "head" and told["training"]["best_epoch"] == 0:
        print(f"     {path.name}: no epoch was better than the head alone, which is all it has")
    ours = taxon.lines("predict", path, "--precision", "f32", texts=texts)
    gguf = taxon.export(path, "gguf", folder / f"{path.stem}-gguf")
    labels, rows = llama_probabilities(gguf, texts)
    if rows is None:
        verdict(True, f"{path.name}: llama.cpp loads it (it has no pooling of two parts)")
    else:
        most = max(abs(row["probabilities"][label] - value)
                   for row, values in zip(ours, rows) for label, value in zip(labels, values))
        verdict(most <= ROUNDED, f"{path.name}: llama.cpp's state and classifier.json",
                f"probabilities differ by {most:.1e} at most")
    hf = taxon.export(path, "safetensors", folder / f"{path.stem}-hf")
    model, tokenizer = load_classifier(hf)
    names = [model.config.id2label[i] for i in range(len(labels))]
    logs = log_probabilities(model, tokenizer, texts)
    check_near(f"{path.name}: transformers", ours, names, logs)
    if told["method"] == "lora":
        peft = taxon.export(path, "peft", folder / f"{path.stem}-peft")
        model, tokenizer = load_adapters(peft, base)
        logs = log_probabilities(model, tokenizer, texts)
        check_near(f"{path.name}: PEFT", ours, names, logs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="smollm2-135m", help="a name, or a GGUF file")
    parser.add_argument("classifiers", nargs="*", type=Path, help="artifacts of that model")
    parser.add_argument("--taxon", default="build/taxon", help="the program")
    parser.add_argument("--home", help="where models are (default: TAXON_HOME)")
    parser.add_argument("--depth", type=int, default=2, help="of the classifiers that are trained")
    options = parser.parse_args()
    from transformers.utils import logging

    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    taxon = Taxon(options.taxon, options.home)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ.setdefault("HF_MODULES_CACHE", str(folder / "modules"))
        base = check_model(taxon, options.model, folder)
        for path in options.classifiers or train(taxon, options.model, options.depth, folder):
            check_classifier(taxon, path, base, folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
