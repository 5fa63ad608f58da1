#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, TARGET/NAME under the given directory, and
TARGET.dict for those that have words worth knowing.

    python3 tests/fuzz/make_seeds.py build/fuzz/seeds       needs nothing but Python

Small files, right and nearly right; the same bytes at every run."""
import hashlib
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PLAIN = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B",
         U64: "Q", I64: "q", F64: "d"}
# ggml's number of each type, values in a block, bytes of a block
TENSORS = {"F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20),
           "Q5_0": (6, 32, 22), "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q4_K": (12, 256, 144),
           "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "I32": (26, 1, 4), "I64": (27, 1, 8),
           "BF16": (30, 1, 2)}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, what):
    return string(what) if kind == STRING else struct.pack("<" + PLAIN[kind], what)


def entry(name, kind, what, element=None):
    if kind != ARRAY:
        return string(name) + struct.pack("<I", kind) + value(kind, what)
    return (string(name) + struct.pack("<IIQ", ARRAY, element, len(what))
            + b"".join(value(element, one) for one in what))


def gguf(entries, tensors=(), version=3, alignment=32):
    """tensors: (name, type, shape with the fastest first, data or None)."""
    table, data = b"", b""
    for name, kind, shape, content in tensors:
        number, block, size = TENSORS[kind]
        count = 1
        for extent in shape:
            count *= extent
        if content is None:
            content = bytes(i % 61 for i in range(count // block * size))
        table += (string(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
                  + struct.pack("<IQ", number, len(data)))
        data += content + bytes(-len(content) % alignment)
    head = (b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries))
            + b"".join(entry(*one) for one in entries) + table)
    return head + bytes(-len(head) % alignment) + data if tensors else head


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def small(count):
    """Numbers near zero, the same at every run."""
    return floats([((i * 37) % 101 - 50) / 400 for i in range(count)])


# ---- models ------------------------------------------------------------------

WIDTH, HEADS, HIDDEN, WORDS = 8, 2, 12, 6


def model_entries(name, blocks):
    entries = [("general.architecture", STRING, name)]
    for key, number in [("block_count", blocks), ("embedding_length", WIDTH),
                        ("feed_forward_length", HIDDEN), ("context_length", 16),
                        ("attention.head_count", HEADS)]:
        entries.append((f"{name}.{key}", U32, number))
    if name == "gpt2":
        return entries + [("gpt2.attention.layer_norm_epsilon", F32, 1e-5)]
    return entries + [("llama.attention.head_count_kv", U32, 1), ("llama.rope.freq_base", F32, 1e4),
                      ("llama.rope.dimension_count", U32, 4),
                      ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5)]


def model(name, blocks=1, kind="F32"):
    shapes = {"token_embd.weight": (WIDTH, WORDS), "output_norm.weight": (WIDTH,)}
    for b in range(blocks):
        at = f"blk.{b}."
        if name == "llama":
            shapes |= {at + "attn_q.weight": (WIDTH, WIDTH), at + "attn_k.weight": (WIDTH, 4),
                       at + "attn_v.weight": (WIDTH, 4), at + "ffn_gate.weight": (WIDTH, HIDDEN)}
        else:
            shapes |= {at + "attn_qkv.weight": (WIDTH, 3 * WIDTH), at + "attn_qkv.bias": (3 * WIDTH,)}
        shapes |= {at + "attn_output.weight": (WIDTH, WIDTH), at + "ffn_up.weight": (WIDTH, HIDDEN),
                   at + "ffn_down.weight": (HIDDEN, WIDTH), at + "attn_norm.weight": (WIDTH,),
                   at + "ffn_norm.weight": (WIDTH,)}
    if name == "gpt2":
        shapes["position_embd.weight"] = (WIDTH, 16)
        for key in [k for k in shapes if k.endswith(".weight") and "embd" not in k and "qkv" not in k]:
            shapes[key[:-6] + "bias"] = (shapes[key][-1],)
    tensors = []
    for key, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        if kind == "F32" or len(shape) == 1:
            tensors.append((key, "F32", shape, small(count)))
        else:
            tensors.append((key, kind, shape, bytes([0x10, 0x2c]) * count))
    return gguf(model_entries(name, blocks), tensors)


# ---- vocabularies --------------------------------------------------------------

def vocabulary(merges, kinds=True, rule="smollm", extra=(), text="the then hen"):
    tokens = [chr(c) for c in range(0x21, 0x7f)] + [chr(0x100 + c) for c in range(33)]
    tokens += [pair.replace(" ", "") for pair in merges]
    entries = [("general.architecture", STRING, "llama"), ("tokenizer.ggml.model", STRING, "gpt2"),
               ("tokenizer.ggml.tokens", ARRAY, tokens + [word for word, _ in extra], STRING),
               ("tokenizer.ggml.merges", ARRAY, merges, STRING),
               ("tokenizer.ggml.bos_token_id", U32, 0), ("tokenizer.ggml.eos_token_id", U32, 1),
               ("test.text", STRING, text)]
    if rule:
        entries.append(("tokenizer.ggml.pre", STRING, rule))
    if kinds:
        numbers = [1] * len(tokens) + [kind for _, kind in extra]
        entries.append(("tokenizer.ggml.token_type", ARRAY, numbers, I32))
    return gguf(entries)


MERGES = ["t h", "th e", "h e", "i n", "in g", "Ġ t", "Ġt h", "Ġth e", "e n", "the n"]


def tiny_vocabulary(tokens, merges, text):
    return gguf([("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "gpt-2"),
                 ("tokenizer.ggml.tokens", ARRAY, tokens, STRING),
                 ("tokenizer.ggml.merges", ARRAY, merges, STRING), ("test.text", STRING, text)])


# ---- artifacts -----------------------------------------------------------------

STRINGS = {"method": "head", "template": "{text}", "pooling": "last", "base.name": "tiny",
           "training.data_sha256": "d", "training.validation_sha256": "",
           "training.head_solver": "convex", "training.class_weights": "none",
           "training.schedule": "cosine", "training.command": "taxon train", "training.version": "0"}
WHOLE = {"format": 1, "depth": 2, "max_tokens": 64, "training.rows": 4, "training.validation_rows": 2,
         "training.tokens": 90, "training.cut": 0, "training.seed": -7, "training.blocks": 0,
         "training.epochs": 3, "training.best_epoch": 2, "training.batch": 8,
         "training.accumulate": 1, "training.trained_parameters": 130, "baseline.majority_label": 1}
REAL = {"training.learning_rate": 5e-5, "training.weight_decay": 0.1, "training.penalty": 0.01,
        "validation.accuracy": 0.6, "validation.accuracy_lo": 0.23, "validation.accuracy_hi": 0.88,
        "validation.macro_f1": 0.5, "validation.nll": 0.9, "baseline.majority": 0.4,
        "baseline.linear": 1.0}


def artifact(changes=(), labels=("bad", "good"), tensors=()):
    base = hashlib.sha256((GOLDEN / "tiny_llama.gguf").read_bytes()).hexdigest()
    facts = {**STRINGS, **WHOLE, **REAL, "base.sha256": base, **dict(changes)}
    entries = [("general.architecture", STRING, "taxon"), ("general.type", STRING, "classifier"),
               ("taxon.labels", ARRAY, labels, STRING)]
    for key, fact in facts.items():
        kind = STRING if isinstance(fact, str) else I64 if isinstance(fact, int) else F64
        entries.append(("taxon." + key, kind, fact))
    count = len(labels)
    head = [("head.weight", "F32", (64, count), small(64 * count)),
            ("head.bias", "F32", (count,), small(count)),
            ("taxon.training.texts", "I64", (4,), struct.pack("<4q", 1, 2, 3, 4))]
    return gguf(entries, head + list(tensors))


TUNED = {"format": 1, "method": "lora", "template": "chatml", "base.name": "tiny",
         "training.objective": "answers", "training.rows": 4, "training.validation_rows": 2,
         "training.tokens": 90, "training.answer_tokens": 20, "training.left_out": 0,
         "training.data_sha256": "d", "training.validation_sha256": "", "training.seed": -7,
         "training.blocks": 3, "training.rank": 2, "training.epochs": 3, "training.best_epoch": 2,
         "training.batch": 8, "training.accumulate": 1, "training.trained_parameters": 130,
         "training.learning_rate": 2e-4, "training.weight_decay": 0.1, "training.beta": 0.1,
         "training.schedule": "cosine", "training.command": "taxon tune", "training.version": "0",
         "validation.loss_before": 3.5, "validation.right_before": 0.0, "validation.loss": 0.5,
         "validation.right": 1.0}


def tuned(changes=(), tensors=()):
    base = hashlib.sha256((GOLDEN / "tiny_llama.gguf").read_bytes()).hexdigest()
    entries = [("general.architecture", STRING, "taxon"), ("general.type", STRING, "tuned")]
    for key, fact in {**TUNED, "base.sha256": base, **dict(changes)}.items():
        kind = STRING if isinstance(fact, str) else I64 if isinstance(fact, int) else F64
        entries.append(("taxon." + key, kind, fact))
    return gguf(entries, list(tensors))


# ---- everything ------------------------------------------------------------------

def gguf_seeds():
    yield "empty", gguf([])
    yield "version2", gguf([("general.architecture", STRING, "llama")], version=2)
    for kind in PLAIN:
        yield f"value{kind}", gguf([("k", kind, 1)])
        yield f"array{kind}", gguf([("k", ARRAY, [1, 0, 1], kind)])
    yield "text", gguf([("k", STRING, "some text")])
    yield "texts", gguf([("k", ARRAY, ["a", "", "ccc"], STRING)])
    yield "large", gguf([("k", U64, 2**64 - 1)])
    for kind, (_, block, _) in TENSORS.items():
        yield f"tensor-{kind}", gguf([("general.alignment", U32, 8)],
                                     [("t", kind, (block, 2), None)], alignment=8)
    yield "tensors", gguf([("k", U8, 1)], [("a", "F32", (3,), None), ("b", "F16", (2, 2, 1, 1), None)])


def model_seeds():
    yield "llama", model("llama")
    yield "llama2", model("llama", 2)
    yield "llama-half", model("llama", 1, "F16")
    yield "gpt2", model("gpt2")


def text_seeds():
    texts = ["", "the quick brown fox", "  two  spaces\n\n\nthree lines\r\n", "it's 12345 o'clock",
             "한국어 텍스트", "<|im_start|>user\nhi<|im_end|><|endoftext|>", "éàü ñ ß", "\U0001f600\U0001f468\u200d",
             b"\xff\xfe\xf1\x04 broken \xc3( \xe2\x82", "a" * 300, "1" * 50, "\u3000\u00a0\u2028 x"]
    for i, text in enumerate(texts):
        data = text if isinstance(text, bytes) else text.encode()
        yield f"text{i}", bytes([i * 7 % 40]) + data


def vocabulary_seeds():
    yield "plain", vocabulary(MERGES)
    yield "no-kinds", vocabulary(MERGES, kinds=False, rule="gpt-2")
    yield "special", vocabulary(MERGES, extra=[("<s>", 3), ("<s><s>", 4), ("<unk>", 2), ("[PAD]", 5)],
                                text="a <s><s> <unk> then")
    yield "no-rule", vocabulary(MERGES, rule=None)
    yield "tiny", tiny_vocabulary(["a", "b", "ab", "aba", "Ġ"], ["a b", "ab a"], "abab ab abaaba")
    yield "one", tiny_vocabulary(["a"], [], "aab")
    yield "chain", tiny_vocabulary(["a", "aa", "aaa", "aaaa", "aaaaaaaa"],
                                   ["a a", "aa aa", "aaaa aaaa", "aa a"], "a" * 100)


# Options and the size of reads stand in front of the table.
HOW = b"\x00\x07"


def csv_seeds():
    yield "plain", HOW + b"text,label\none,a\ntwo,b\n"
    yield "quoted", HOW + b'label,text\r\na,"one, ""two""\nthree"\r\nb,""\r\n'
    yield "columns", b"\x06\x01" + b"number,more,text,label\n1,m,t,a\n2,n,u,b"
    yield "mark", b"\x00\x00" + b"\xef\xbb\xbftext,label\n\n\nx,y\n"
    yield "ragged", HOW + b"text,label\none\n"
    yield "open", HOW + b'text,label\n"one,a\n'
    yield "bytes", HOW + b"text,label\n\xff\x00,a\n \t ,b\n"
    yield "twice", b"\x08\xff" + b"text,label,id,id\n1,2,3,4\n"


def tsv_seeds():
    yield "plain", HOW + b"text\tlabel\none\ta\ntwo\tb\n"
    yield "one-column", b"\x01\x03" + b"text\n\na\n\n\nb\n\n"
    yield "columns", b"\x06\x02" + b"id\tnumber\tmore\ttext\tlabel\r\n1\t2\t3\t4\t5\r\n"
    yield "ragged", HOW + b"text\tlabel\none\ta\tb\n"
    yield "blank", HOW + b"text\tlabel\none\ta\n\ntwo\tb"
    yield "quotes", HOW + b'text\tlabel\n"one\t"a""\n'


def jsonl_seeds():
    yield "plain", HOW + b'{"text":"one","label":"a"}\n{"label":"b","text":"two","id":7}\n'
    yield "kinds", HOW + b'{"text":1.5e-7,"label":true}\n{"text":-3,"label":0.1}\n'
    yield "escapes", b"\x02\x01" + b'{"text":"\\u0000\\ud83d\\ude00\\n","label":"a","number":12}\r\n\n'
    yield "columns", b"\x04\x00" + b'{"text":"x","more":"y","label":"z"}'
    yield "null", HOW + b'{"text":null,"label":"a"}\n'
    yield "missing", HOW + b'{"txt":"x","label":"a"}\n'
    yield "array", HOW + b'[1,[2,{"a":{}}]]\n'
    yield "large", HOW + b'{"text":1e400,"label":123456789012345678901234567890}\n'


def artifact_seeds():
    yield "plain", artifact()
    yield "three", artifact(labels=("a", "b", "\u00e9"), changes={"pooling": "mean", "depth": 1})
    yield "changed", artifact({"method": "last-block", "training.blocks": 1, "pooling": "first", "depth": 3},
                              tensors=[("blk.2.attn_norm.weight", "F32", (64,), small(64)),
                                       ("output_norm.weight", "F32", (64,), small(64))])
    yield "other-base", artifact({"base.sha256": "0" * 64})
    yield "deep", artifact({"depth": 4})
    yield "disorder", artifact(labels=("b", "a"))
    yield "newer", artifact({"format": 2})
    yield "tuned", tuned(tensors=[("blk.0.attn_q.weight.lora_a", "F32", (64, 2), small(128)),
                                  ("blk.0.attn_q.weight.lora_b", "F32", (2, 64), small(128))])
    yield "tuned-whole", tuned({"method": "full"},
                               [("token_embd.weight", "F32", (64, 421), small(64 * 421))])
    yield "tuned-right", tuned({"validation.right": 1.5})


def options_seeds():
    lines = ["--count=7\n--rate=0.5\ntext", "--count\n-5\n--most=-9223372036854775808\n--flag",
             "--text=a,b\n--text\nc\n--\n--count", "--rate=1e-3\n--method\nlast-block",
             "--out=/a/b c/it's.taxon\n--model\nx", "-h\n--count=9", "--threads=256\n--seed=0\n--json",
             "--cuont=1", "--count=+0012", "--count=1001", "--rate=0x1p-3", "--rate=nan", "--method=no",
             "9223372036854775808", "-", "--model=--out"]
    for i, line in enumerate(lines):
        yield f"line{i}", line.encode()


def template_seeds():
    for i, template in enumerate([
            "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            "{%- if messages[0].role == 'system' %}\n  {%- set rest = messages[1:] %}\n{% else %}x{% endif -%}\n"
            "{% set ns = namespace(n=0) %}{% for m in rest if m.content is string %}{% set ns.n = ns.n + 1 %}"
            "{{ loop.index ~ m.content|trim|upper|replace('A', 'b') }}{% endfor %}{# end #}",
            "{% macro m(a, b='x') %}{{ a[::-1] }}{{ b }}{% endmacro %}{{ m(messages[1]['content'], b=f / 3) }}",
            "{{ messages|tojson(indent=2) }}{{ messages|map(attribute='role')|join(', ') }}{{ [1, (2,), {'a': none}] }}",
            "{% for m in messages|selectattr('role', 'equalto', 'user') %}{{ m.content.split('a')[-1].strip('b') }}"
            "{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ raise_exception('no') if not messages }}",
            "{% for i in range(3) %}{% for k, v in messages[i].items() %}{{ k }}{{ v|length // 2 % 3 }}{% endfor %}{% endfor %}",
            "{% set s %}a{% endset %}{{ s * 9 }}{{ 2 ** 9 - -1 }}{{ 1 if s in 'cab' and 1 < 2 <= 3 else '\\u00e9' }}"]):
        yield f"template{i}", ("a <b>\u00e9\n" if i % 2 else "").encode() + b"\0" + template.encode()


DICTIONARIES = {
    "template": ["{{", "}}", "{%", "%}", "-%}", "{%-", "{#", "#}", "if", "elif", "else", "endif", "for", "in", "endfor",
                 "set", "endset", "macro", "endmacro", "break", "continue", "generation", "endgeneration", "not",
                 "and", "or", "is", "defined", "loop", ".index", ".last", "messages", "message", "['content']",
                 ".role", "[1:]", "[::-1]", "namespace(", "range(", "raise_exception(", "|trim", "|upper", "|title",
                 "|tojson", "|join", "|length", "|first", "|last", "|list", "|map(", "|selectattr(", "|default(",
                 "|replace(", "|items", "|reverse", "|int", "|string", ".split(", ".strip(", ".startswith(",
                 ".replace(", ".items()", ".get(", "**", "//", "~", "==", "!=", "<=", "none", "true", "'a'", "\\x"],
    "gguf": ["GGUF", "general.alignment", "general.architecture", "tokenizer.ggml.tokens", "k"],
    "model": ["GGUF", "llama", "gpt2", "blk.0.", "attn_q", "attn_qkv", "ffn_gate", ".weight", ".bias",
              "output.weight", "llama.rope.scaling.type", "none", "llama.attention.key_length",
              "llama.attention.value_length", "llama.rope.scale_linear"],
    "vocabulary": ["GGUF", "tokenizer.ggml.model", "gpt2", "tokenizer.ggml.pre", "gpt-2", "smollm",
                   "tokenizer.ggml.merges", "tokenizer.ggml.token_type", "test.text",
                   "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id",
                   "token_embd.weight", "Ġ", "Ċ"],
    "text": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<|im_st", "end|>", "'ll",
             "\n\n\n", "한국", "\r\n", "\u3000"],
    "csv": ["text", "label", "id", "number", "more", '""', "\r\n", ",\"", "\",", "\ufeff"],
    "tsv": ["text", "label", "id", "number", "more", "\t", "\r\n", "\n\n"],
    "jsonl": ['{"text":"', '","label":"', '"}', "true", "null", "1e400", "-0.0", "\\u0000", "\\ud83d",
              '{"label":', "\r\n"],
    "artifact": ["GGUF", "taxon.", "head", "last-block", "{text}", "mean", "first", "head.weight",
                 "head.bias", "blk.0.attn_q.weight", "blk.2.ffn_down.weight", "output_norm.weight", "tuned", "lora",
                 "blk.1.attn_q.weight.lora_a", "token_embd.weight", "output.weight"],
    "options": ["--count=", "--most", "--rate=", "--method=", "--text=", "--out=", "--model=", "--flag",
                "--seed=", "--threads=", "--", "-h", "1e-", "9223372036854775807", "last-block"],
}


def escaped(word):
    return "".join(chr(b) if 0x20 <= b < 0x7f and b not in b'"\\' else f"\\x{b:02x}"
                   for b in word.encode())


def main():
    top = pathlib.Path(sys.argv[1])
    for target, words in DICTIONARIES.items():
        (top / target).mkdir(parents=True, exist_ok=True)
        (top / f"{target}.dict").write_text("".join(f'"{escaped(word)}"\n' for word in words))
        for name, data in globals()[f"{target}_seeds"]():
            (top / target / name).write_bytes(data)


main()
