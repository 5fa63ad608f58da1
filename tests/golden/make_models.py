"""Makes two tiny models and the reference values that the engine is held against.

    python make_models.py [--out DIR] [--smollm2 SmolLM2-135M-Instruct.Q4_1.gguf]

Needs torch, transformers, gguf, tokenizers, numpy (bench/peers/requirements.txt).
Everything is seeded: the models are the same bytes on every run; reference values
may differ in their last bits from one PyTorch build to another.

    tiny_llama.gguf  tiny_gpt2.gguf                  models, random weights, real layout
    tiny_llama_golden.gguf  tiny_gpt2_golden.gguf    hidden states and logits
    tiny_llama_grad.gguf  tiny_gpt2_grad.gguf        gradients, three AdamW steps
    smollm2_golden.gguf                              the same for the real model (--smollm2)

README.md beside this file names every tensor.  The values come from transformers
in fp32 with eager attention, one sequence at a time and no padding, on weights
dequantised by the gguf package.  GGUF's shape convention holds throughout: a numpy
array (T, C) stands in the file with shape[0] = C (runs fastest), shape[1] = T.

What the values mean to the C engine is left to the tests that read them."""

import argparse
import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench" / "peers"))
import common  # noqa: E402

F32, F16 = gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16
Q8_0, Q4_1 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_1

LENGTHS = (1, 2, 7, 33, 100)
GRADIENT_SEQUENCES = 4  # the first four of them, 43 tokens
LABELS = (2, 0, 1, 2)
STEPS, RATE, DECAY, BETAS, EPSILON, CLIP = 3, 1e-3, 0.1, (0.9, 0.999), 1e-8, 1.0

# Self-made lines: enough repetition for some merges, a bit of everything else.
CORPUS = [
    "The lens is sharp, but it broke within a week.",
    "The battery lasts all day and the screen is bright.",
    "I would not buy this again; the service was slow and the staff was rude.",
    "Please call me when you are there, we are waiting in front of the station.",
    "You have won a free prize! Call 0800 123 456 now to claim your 1000 pounds.",
    "The train leaves at 7:45 and arrives at 10:30, so bring something to read.",
    "She said that it wasn't what they'd expected, and I'm sure they're right.",
    "for (int i = 0; i < 10; i++) { total += values[i]; }",
    "Das Gerät ist größer als gedacht, aber für den Preis wirklich schön.",
    "배송이 빠르고 화면이 아주 좋아요. 하지만 소리가 작아요.",
    "Naïve café owners öften charge €4 for a coffee 😀🎉",
    "The weather in the north was cold, the weather in the south was warm.",
    "Nothing works, nothing helps, and nobody answers the phone.",
    "Works as described. Would recommend it to anyone who needs a small camera.",
]

REAL_TEXTS = [  # cut to 5, 12 and 40 tokens of SmolLM2
    "The lens is sharp, but it broke.",
    "Call 0800 123 456 now and claim your prize before Friday evening.",
    "We ordered two of these for the office in March. The first one arrived after three days and "
    "works well, the second one came with a cracked screen, and the shop has not answered a single "
    "letter since then.",
]
REAL_LENGTHS = (5, 12, 40)
REAL_FIRST_BLOCKS = (0, 1, 15, 30)  # where the first token's state is kept too
REAL_LOGITS = 2000


# ---- the tiny models ----


def train_vocabulary(split, specials, size):
    """A byte-level BPE with every byte in it: (tokens by id, merges).

    SmolLM2 has its special tokens in front, GPT-2 at the end."""
    tokenizer = Tokenizer(models.BPE())
    rule = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if split == "smollm":
        rule = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), rule])
    tokenizer.pre_tokenizer = rule
    tokenizer.decoder = decoders.ByteLevel()
    first = specials if split == "smollm" else []
    trainer = trainers.BpeTrainer(
        vocab_size=size if first else size - len(specials),
        min_frequency=1,
        special_tokens=first,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.get) + ([] if first else specials)
    # The trainer gives no list of merges; its JSON does, in order of rank.
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    return tokens, merges


def write_vocabulary(writer, split, tokens, merges, specials, roles):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in specials else normal for token in tokens])
    writer.add_token_merges(merges)
    for role, token in roles.items():
        getattr(writer, f"add_{role}_token_id")(tokens.index(token))


def write_tensor(writer, name, values, kind):
    """Adds a float array as `kind`; the shape in the file is the array's, reversed."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if kind == F32:
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)


def close(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def matrix(random, rows, inputs, gain=1.0):
    """Rows of unit length on average, so that states neither die nor explode."""
    return random.standard_normal((rows, inputs)) * (gain / np.sqrt(inputs))


def make_tiny_llama(path):
    """llama as the llama.cpp converter writes SmolLM2: tied, interleaved rotary rows."""
    random = np.random.default_rng(20240)
    blocks, width, heads, kv_heads, inner = 3, 64, 4, 2, 72
    kv_width = width // heads * kv_heads
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens, merges = train_vocabulary("smollm", specials, 421)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name("Tiny Llama")
    writer.add_basename("tiny")
    writer.add_size_label("106K")
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_block_count(blocks)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    writer.add_vocab_size(len(tokens))
    writer.add_rope_dimension_count(width // heads)
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(False)
    roles = {"bos": specials[1], "eos": specials[2], "unk": specials[0], "pad": specials[2]}
    write_vocabulary(writer, "smollm", tokens, merges, specials, roles)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)

    write_tensor(writer, "token_embd.weight", random.standard_normal((len(tokens), width)), Q8_0)
    for block, kind in enumerate((Q8_0, Q4_1, Q4_1)):
        name = f"blk.{block}."
        norm = lambda: 1.0 + 0.2 * random.standard_normal(width)  # noqa: E731
        write_tensor(writer, name + "attn_norm.weight", norm(), F32)
        # Rows of 72 values are no whole blocks of 32: a quantiser leaves such a tensor F16.
        write_tensor(writer, name + "ffn_down.weight", matrix(random, width, inner), F16)
        write_tensor(writer, name + "ffn_gate.weight", matrix(random, inner, width, 1.4), kind)
        write_tensor(writer, name + "ffn_up.weight", matrix(random, inner, width), kind)
        write_tensor(writer, name + "ffn_norm.weight", norm(), F32)
        write_tensor(writer, name + "attn_k.weight", matrix(random, kv_width, width, 1.4), kind)
        write_tensor(writer, name + "attn_output.weight", matrix(random, width, width), kind)
        write_tensor(writer, name + "attn_q.weight", matrix(random, width, width, 1.4), kind)
        # As in many real files, one tensor finer than its neighbours.
        finer = F16 if block == 2 else Q8_0
        write_tensor(writer, name + "attn_v.weight", matrix(random, kv_width, width), finer)
    write_tensor(writer, "output_norm.weight", 1.0 + 0.2 * random.standard_normal(width), F32)
    close(writer)


def make_tiny_gpt2(path):
    """gpt2 as the llama.cpp converter writes it today: (out, in) matrices, tied."""
    random = np.random.default_rng(20241)
    blocks, width, heads = 2, 48, 3
    inner = 4 * width
    specials = ["<|endoftext|>"]
    tokens, merges = train_vocabulary("gpt-2", specials, 421)

    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_type("model")
    writer.add_name("Tiny Gpt2")
    writer.add_basename("tiny")
    writer.add_size_label("83K")
    writer.add_license("apache-2.0")
    writer.add_block_count(blocks)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_layer_norm_eps(1e-5)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    roles = {role: specials[0] for role in ("bos", "eos", "unk")}
    write_vocabulary(writer, "gpt-2", tokens, merges, specials, roles)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)

    small = lambda rows: 0.1 * random.standard_normal(rows)  # noqa: E731
    scale = lambda: 1.0 + 0.2 * random.standard_normal(width)  # noqa: E731
    write_tensor(writer, "token_embd.weight", random.standard_normal((len(tokens), width)), F16)
    write_tensor(writer, "position_embd.weight", 0.3 * random.standard_normal((128, width)), F32)
    for block in range(blocks):
        name = f"blk.{block}."
        write_tensor(writer, name + "attn_norm.weight", scale(), F32)
        write_tensor(writer, name + "attn_norm.bias", small(width), F32)
        qkv = matrix(random, 3 * width, width, 1.2)
        write_tensor(writer, name + "attn_qkv.weight", qkv, F16)
        write_tensor(writer, name + "attn_qkv.bias", small(3 * width), F32)
        write_tensor(writer, name + "attn_output.weight", matrix(random, width, width), F16)
        write_tensor(writer, name + "attn_output.bias", small(width), F32)
        write_tensor(writer, name + "ffn_norm.weight", scale(), F32)
        write_tensor(writer, name + "ffn_norm.bias", small(width), F32)
        write_tensor(writer, name + "ffn_up.weight", matrix(random, inner, width, 1.4), F16)
        write_tensor(writer, name + "ffn_up.bias", small(inner), F32)
        down = matrix(random, width, inner, 1.4)
        write_tensor(writer, name + "ffn_down.weight", down, Q8_0 if block == 0 else F16)
        write_tensor(writer, name + "ffn_down.bias", small(width), F32)
    write_tensor(writer, "output_norm.weight", scale(), F32)
    write_tensor(writer, "output_norm.bias", small(width), F32)
    close(writer)


# ---- reference values ----


class Container:
    """A GGUF file of named arrays: F32 and I32."""

    def __init__(self, path, note):
        self.path = Path(path)
        self.writer = gguf.GGUFWriter(path, "golden")
        self.writer.add_string("golden.note", note)

    def floats(self, name, values):
        if isinstance(values, torch.Tensor):
            values = values.detach().numpy()
        self.writer.add_tensor(name, np.array(values, dtype=np.float32, order="C", ndmin=1))

    def ints(self, name, values):
        self.writer.add_tensor(name, np.array(values, dtype=np.int32, ndmin=1))

    def sequences(self, sequences):
        self.ints("ids", np.concatenate(sequences))
        self.ints("offsets", np.cumsum([0] + [len(ids) for ids in sequences]))

    def close(self):
        close(self.writer)
        print(f"{self.path.name}: {self.path.stat().st_size} bytes")


class Model:
    """A backbone that tells the residual stream before each block and after the last."""

    def __init__(self, path):
        self.facts, self.state = common.read_gguf(path)
        self.backbone = common.make_backbone(self.facts, self.state, attention="eager")
        self.output = common.output_matrix(self.facts, self.state)
        self.blocks = common.blocks_of(self.facts, self.backbone)
        self.norm = common.final_norm_of(self.facts, self.backbone)
        self.depth = len(self.blocks)
        self.stream = []
        for block in self.blocks:
            block.register_forward_pre_hook(self._keep_input)
        self.norm.register_forward_pre_hook(self._keep_input)

    def _keep_input(self, _module, inputs):
        self.stream.append(inputs[0])

    def run(self, ids):
        """normed (T, C), and stream[i] (1, T, C) for i = 0 .. depth."""
        self.stream = []
        normed = self.backbone(input_ids=torch.tensor([list(ids)])).last_hidden_state
        return normed[0]

    def last_block_names(self):
        """File name -> parameter, for what training of the last block changes."""
        tensors = dict(self.backbone.named_parameters())
        prefix = f"blk.{self.depth - 1}."
        parts = common.LLAMA_NAMES if hasattr(self.backbone, "layers") else common.GPT2_NAMES
        names = [f"{prefix}{part}.{kind}" for part in parts for kind in ("weight", "bias")]
        names += ["output_norm.weight", "output_norm.bias"]
        pairs = {name: common.torch_name(self.facts, name) for name in names}
        return {name: tensors[theirs] for name, theirs in pairs.items() if theirs in tensors}


def random_sequences(vocabulary, lengths):
    random = np.random.default_rng(7)
    return [random.integers(0, vocabulary, length).tolist() for length in lengths]


def write_states(model, sequences, path):
    file = Container(path, "hidden.i: before block i; hidden.L: before the final norm")
    file.sequences(sequences)
    streams, normed, logits = [[] for _ in range(model.depth + 1)], [], []
    with torch.no_grad():
        for ids in sequences:
            states = model.run(ids)
            for kept, stream in zip(streams, model.stream):
                kept.append(stream[0])
            normed.append(states)
            logits.append(states[-1:] @ model.output.T)
    for block, kept in enumerate(streams):
        file.floats(f"hidden.{block}", torch.cat(kept))
    file.floats("normed", torch.cat(normed))
    file.floats("logits", torch.cat(logits))
    file.close()


def pooled(states, pooling):
    if pooling == "mean":
        return states.mean(0)
    return states[-1 if pooling == "last" else 0]


def loss_of(model, head, sequences, labels, pooling):
    """Mean cross-entropy over the sequences, (B, 3) logits, and the last block's inputs."""
    inputs, rows = [], []
    for ids in sequences:
        states = model.run(ids)
        inputs.append(model.stream[model.depth - 1])
        rows.append(pooled(states, pooling))
    logits = torch.stack(rows) @ head["head.weight"].T + head["head.bias"]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(labels)), logits, inputs


def write_gradients(file, model, head, trained, sequences, pooling):
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(True)  # all: the block's input then has a gradient too
    loss, logits, inputs = loss_of(model, head, sequences, LABELS, pooling)
    for stream in inputs:
        stream.retain_grad()
    loss.backward()
    file.floats(f"{pooling}/loss", loss)
    file.floats(f"{pooling}/logits", logits)
    file.floats(f"{pooling}/d.hidden.{model.depth - 1}", torch.cat([s.grad[0] for s in inputs]))
    for name, parameter in {**trained, **head}.items():
        gradient = common.to_file_layout(model.facts, name, parameter.grad.numpy())
        parameter.grad = None
        if pooling == "first" and "ffn_" in name and gradient.ndim == 2:
            continue  # the road of "last" at another token; left out to keep the file small
        if not gradient.any():  # the first token sees itself alone: no gradient in q and k
            print(f"  {pooling}/grad/{name} is all zero: left out")
            continue
        file.floats(f"{pooling}/grad/{name}", gradient)
    model.backbone.zero_grad()


def write_training(file, model, head, trained, sequences):
    """Three full-batch AdamW steps on the last token; matrices alone decay."""
    everything = {**trained, **head}
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(False)
    for parameter in trained.values():
        parameter.requires_grad_(True)
    groups = [
        {"params": [p for p in everything.values() if p.ndim == 2], "weight_decay": DECAY},
        {"params": [p for p in everything.values() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON, foreach=False)
    losses, norms = [], []
    for _ in range(STEPS):
        loss, _, _ = loss_of(model, head, sequences, LABELS, "last")
        optimiser.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(everything.values(), CLIP, foreach=False))
        optimiser.step()
        losses.append(loss.item())
    with torch.no_grad():
        losses.append(loss_of(model, head, sequences, LABELS, "last")[0].item())
    print(f"  losses {losses}, gradient norms {[round(float(n), 4) for n in norms]}")
    file.floats("train/losses", losses)
    file.floats("train/gradient_norms", norms)
    attention = "attn_q" if hasattr(model.backbone, "layers") else "attn_qkv"
    for name in (f"blk.{model.depth - 1}.{attention}.weight", "head.weight"):
        values = everything[name].detach().numpy()
        file.floats(f"train/{name}", common.to_file_layout(model.facts, name, values))


def write_learning(model, sequences, path):
    file = Container(path, "gradients and AdamW steps of the last block, final norm and head")
    random = np.random.default_rng(11)
    width = model.output.shape[1]
    values = {
        "head.weight": 0.5 * random.standard_normal((3, width)),
        "head.bias": 0.1 * random.standard_normal(3),
    }
    head = {
        name: torch.tensor(value, dtype=torch.float32, requires_grad=True)
        for name, value in values.items()
    }
    file.sequences(sequences)
    file.ints("labels", LABELS)
    for name, parameter in head.items():
        file.floats(name, parameter)
    trained = model.last_block_names()
    for pooling in ("last", "mean", "first"):
        write_gradients(file, model, head, trained, sequences, pooling)
    write_training(file, model, head, trained, sequences)
    file.close()


def write_smollm2(model, path):
    """Last token of each sequence at every depth; first token at a few; some logits."""
    tokenizer = common.make_tokenizer(model.facts)
    sequences = common.encode(tokenizer, model.facts, REAL_TEXTS)
    for ids, length in zip(sequences, REAL_LENGTHS):
        if len(ids) < length:
            raise SystemExit(f"a text has {len(ids)} tokens where {length} are wanted")
    sequences = [ids[:length] for ids, length in zip(sequences, REAL_LENGTHS)]
    random = np.random.default_rng(13)
    indices = np.sort(random.choice(len(model.output), REAL_LOGITS, replace=False))

    file = Container(path, "hidden.i, normed: last token of each sequence; *_first: its first")
    file.writer.add_array("golden.texts", [tokenizer.decode(ids) for ids in sequences])
    file.sequences(sequences)
    last, first = [[] for _ in range(model.depth + 1)], [[] for _ in range(model.depth + 1)]
    normed, normed_first, logits = [], [], []
    with torch.no_grad():
        for ids in sequences:
            states = model.run(ids)
            for block, stream in enumerate(model.stream):
                last[block].append(stream[0, -1])
                first[block].append(stream[0, 0])
            normed.append(states[-1])
            normed_first.append(states[0])
            logits.append(model.output @ states[-1])
    for block in range(model.depth + 1):
        file.floats(f"hidden.{block}", torch.stack(last[block]))
        if block in REAL_FIRST_BLOCKS:
            file.floats(f"hidden_first.{block}", torch.stack(first[block]))
    file.floats("normed", torch.stack(normed))
    file.floats("normed_first", torch.stack(normed_first))
    logits = torch.stack(logits)
    file.ints("logit_indices", indices)
    file.floats("logits", logits[:, torch.from_numpy(indices)])
    file.floats("logits_max", logits.max(1).values)
    file.ints("logits_argmax", logits.argmax(1).numpy())
    file.close()
    for ids, best in zip(sequences, logits.argmax(1)):
        print(f"  {tokenizer.decode(ids)!r} -> {tokenizer.decode([int(best)])!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=Path(__file__).parent, type=Path)
    parser.add_argument("--smollm2", help="the real model's GGUF file")
    options = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation for every run
    options.out.mkdir(parents=True, exist_ok=True)
    for name, make in (("tiny_llama", make_tiny_llama), ("tiny_gpt2", make_tiny_gpt2)):
        path = options.out / f"{name}.gguf"
        make(path)
        print(f"{path.name}: {path.stat().st_size} bytes")
        model = Model(path)
        sequences = random_sequences(len(model.output), LENGTHS)
        write_states(model, sequences, options.out / f"{name}_golden.gguf")
        short = sequences[:GRADIENT_SEQUENCES]
        write_learning(model, short, options.out / f"{name}_grad.gguf")
    if options.smollm2:
        write_smollm2(Model(options.smollm2), options.out / "smollm2_golden.gguf")


if __name__ == "__main__":
    main()
