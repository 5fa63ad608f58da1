#!/usr/bin/env python3
"""Writes tests/golden/tokens.gguf: a small vocabulary, hard texts, and their ids
by the `tokenizers` library, with that vocabulary under both split rules and with
the real one of SmolLM2.

    python3 tests/golden/make_tokens.py SmolLM2.gguf        needs tokenizers, gguf

Keys: tokenizer.ggml.*, the small vocabulary; test.texts; test.special (1: with
special tokens parsed); and for each of the three, test.NAME.counts and
test.NAME.ids, the ids of all texts one after another."""
import json
import pathlib
import sys

from gguf import GGUFValueType, GGUFWriter
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "text"))
import hard_cases  # noqa: E402
import reference  # noqa: E402

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>"]
# Begins as a control token, lies inside one, holds white space, joins letters.
USER_DEFINED = ["<|im_st", "end|>", "\n\n\n", "한국", "<|im_end|><|im_end|>"]
UNUSED = ["[PAD0]", "[PAD1]"]
LEFT_OUT = [0x04, 0x06, 0xF1, 0xFF]  # bytes without a symbol, as SmolLM2 has them


def small_vocabulary():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    printable = set(range(0x21, 0x7F)) | set(range(0xA1, 0xAD)) | set(range(0xAE, 0x100))
    symbols = dict(zip(sorted(set(range(256)) - printable), range(0x100, 0x200)))
    left_out = {chr(symbols.get(byte, byte)) for byte in LEFT_OUT}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = reference.pre_tokenizer("gpt-2")
    trainer = trainers.BpeTrainer(vocab_size=900, show_progress=False, min_frequency=2,
                                  initial_alphabet=[c for c in alphabet if c not in left_out],
                                  special_tokens=[AddedToken(c) for c in CONTROL])
    texts = [text.translate(dict.fromkeys([0x04, 0x06])) for text in hard_cases.whole()]
    tokenizer.train_from_iterator([t for t in texts if max(t, default="") < "\U00040000"], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    kinds = [3 if token in CONTROL else 1 for token in tokens]
    kinds += [4] * len(USER_DEFINED) + [5] * len(UNUSED)
    return {"tokens": tokens + USER_DEFINED + UNUSED, "merges": merges, "kinds": kinds}


def cases():
    """(text, special), once where `special` makes no difference."""
    texts = [*hard_cases.whole(), *hard_cases.mixed(150, seed=7), *hard_cases.mixed(2, 8, 900)]
    texts += ["<|im_start|><|im_start|", "a\n\n\n\nb", "<|im_end|><|im_end|><|im_end|>", "북한국어 한국"]
    for text in dict.fromkeys(texts):
        yield text, False
        if any(token in text for token in CONTROL):
            yield text, True


def add_ids(writer, name, encode, texts):
    encoded = [encode(text, special) for text, special in texts]
    flat = [id_ for ids in encoded for id_ in ids]
    for key, values in (("counts", [len(ids) for ids in encoded]), ("ids", flat)):
        writer.add_key_value(f"test.{name}.{key}", values, GGUFValueType.ARRAY, GGUFValueType.UINT16)
    print(f"{name}: {len(encoded)} texts, {len(flat)} ids")


def main():
    vocabulary = small_vocabulary()
    texts = list(cases())
    writer = GGUFWriter(HERE / "tokens.gguf", "none")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_key_value("tokenizer.ggml.tokens", [t.encode() for t in vocabulary["tokens"]],
                         GGUFValueType.ARRAY, GGUFValueType.STRING)
    writer.add_array("tokenizer.ggml.merges", vocabulary["merges"])
    writer.add_key_value("tokenizer.ggml.token_type", vocabulary["kinds"], GGUFValueType.ARRAY,
                         GGUFValueType.UINT8)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_key_value("test.texts", [text.encode() for text, _ in texts], GGUFValueType.ARRAY,
                         GGUFValueType.STRING)
    writer.add_key_value("test.special", [int(special) for _, special in texts],
                         GGUFValueType.ARRAY, GGUFValueType.UINT8)
    for split in ("gpt-2", "smollm"):
        add_ids(writer, split, reference.build(vocabulary, split), texts)
    real = reference.read_vocabulary(sys.argv[1])
    add_ids(writer, "smollm2", reference.build(real), texts)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


main()
