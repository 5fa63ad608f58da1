"""A GGUF file in transformers, fp32: what the reference values (tests/golden) and
the peer benchmarks share.  Weights are dequantised by the gguf package and put
back into PyTorch's own layout; the tokenizer is the model's own, rule by rule
(transformers' GGUF import drops SmolLM2's digits rule).  Heavy imports stand
inside the functions, so that a start-up measurement pays only for what it uses.

Known architectures: llama, gpt2.  `facts` is a plain dict of the file's keys."""

import json
import os
import resource
import sys
from pathlib import Path

LLAMA_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
GPT2_NAMES = {
    "attn_norm": "ln_1",
    "attn_qkv": "attn.c_attn",
    "attn_output": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_down": "mlp.c_proj",
}
TOP_NAMES = {
    "llama": {"token_embd": "embed_tokens", "output_norm": "norm"},
    "gpt2": {"token_embd": "wte", "position_embd": "wpe", "output_norm": "ln_f"},
}
TRANSPOSED = ("attn_qkv", "attn_output", "ffn_up", "ffn_down")  # gpt2's Conv1D: (in, out)


# ---- the file ----


def read_facts(reader):
    """Every key of the file: numbers, strings, lists."""
    return {name: field.contents() for name, field in reader.fields.items()}


def fact(facts, key):
    return facts[facts["general.architecture"] + "." + key]


def torch_name(facts, name):
    """The backbone's parameter name for a GGUF tensor name."""
    architecture = facts["general.architecture"]
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("blk."):
        return TOP_NAMES[architecture][stem] + "." + kind
    _, block, part = stem.split(".", 2)
    if architecture == "llama":
        return f"layers.{block}.{LLAMA_NAMES[part]}.{kind}"
    return f"h.{block}.{GPT2_NAMES[part]}.{kind}"


def _heads(facts, name):
    """Rotary heads of a tensor whose rows the file keeps in interleaved pairs, or 0."""
    if facts["general.architecture"] == "llama":
        if name.endswith("attn_q.weight"):
            return fact(facts, "attention.head_count")
        if name.endswith("attn_k.weight"):
            return fact(facts, "attention.head_count_kv")
    return 0


def _is_transposed(facts, name):
    return facts["general.architecture"] == "gpt2" and name.endswith(
        tuple(part + ".weight" for part in TRANSPOSED)
    )


def to_torch_layout(facts, name, array):
    """numpy array in the file's layout -> the layout of the PyTorch parameter.

    llama's rotary rows: the file has pairs (2i, 2i+1) where transformers has
    (i, i + D/2).  gpt2: the file has (out, in), Conv1D (in, out)."""
    heads = _heads(facts, name)
    if heads:
        rows, inputs = array.shape
        pairs = array.reshape(heads, rows // heads // 2, 2, inputs)
        return pairs.swapaxes(1, 2).reshape(rows, inputs)
    return array.T if _is_transposed(facts, name) else array


def to_file_layout(facts, name, array):
    """The inverse of to_torch_layout."""
    heads = _heads(facts, name)
    if heads:
        rows, inputs = array.shape
        halves = array.reshape(heads, 2, rows // heads // 2, inputs)
        return halves.swapaxes(1, 2).reshape(rows, inputs)
    return array.T if _is_transposed(facts, name) else array


def read_gguf(path):
    """facts, and the backbone's state dict (torch, fp32), names without a prefix.
    An untied output matrix is kept as "lm_head.weight"."""
    import gguf
    import numpy as np
    import torch

    reader = gguf.GGUFReader(path)
    facts = read_facts(reader)
    state = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        values = values.reshape([int(n) for n in reversed(tensor.shape)])
        values = torch.from_numpy(
            np.array(to_torch_layout(facts, tensor.name, values), order="C", copy=True)
        )
        if tensor.name == "output.weight":
            state["lm_head.weight"] = values
        else:
            state[torch_name(facts, tensor.name)] = values
    return facts, state


# ---- the model ----


def make_config(facts, attention="sdpa"):
    vocabulary = len(facts["tokenizer.ggml.tokens"])
    bos, eos = (facts[f"tokenizer.ggml.{role}_token_id"] for role in ("bos", "eos"))
    if facts["general.architecture"] == "llama":
        from transformers.models.llama.configuration_llama import LlamaConfig

        return LlamaConfig(
            vocab_size=vocabulary,
            bos_token_id=bos,
            eos_token_id=eos,
            hidden_size=fact(facts, "embedding_length"),
            intermediate_size=fact(facts, "feed_forward_length"),
            num_hidden_layers=fact(facts, "block_count"),
            num_attention_heads=fact(facts, "attention.head_count"),
            num_key_value_heads=fact(facts, "attention.head_count_kv"),
            max_position_embeddings=fact(facts, "context_length"),
            rms_norm_eps=fact(facts, "attention.layer_norm_rms_epsilon"),
            rope_parameters={"rope_type": "default", "rope_theta": fact(facts, "rope.freq_base")},
            tie_word_embeddings=True,
            use_cache=False,
            attn_implementation=attention,
        )
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config

    return GPT2Config(
        vocab_size=vocabulary,
        bos_token_id=bos,
        eos_token_id=eos,
        n_positions=fact(facts, "context_length"),
        n_embd=fact(facts, "embedding_length"),
        n_layer=fact(facts, "block_count"),
        n_head=fact(facts, "attention.head_count"),
        n_inner=fact(facts, "feed_forward_length"),
        layer_norm_epsilon=fact(facts, "attention.layer_norm_epsilon"),
        activation_function="gelu_new",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=True,
        use_cache=False,
        attn_implementation=attention,
    )


def make_backbone(facts, state, attention="sdpa"):
    """The transformer without its vocabulary matrix, in evaluation mode."""
    import torch

    config = make_config(facts, attention)
    state = {name: value for name, value in state.items() if name != "lm_head.weight"}
    if facts["general.architecture"] == "llama":
        from transformers.models.llama.modeling_llama import LlamaModel, LlamaRotaryEmbedding

        with torch.device("meta"):  # no random numbers are drawn only to be thrown away
            model = LlamaModel(config)
        model.rotary_emb = LlamaRotaryEmbedding(config)
        model.load_state_dict(state, assign=True)
    else:
        from transformers.models.gpt2.modeling_gpt2 import GPT2Model

        model = GPT2Model(config)
        model.load_state_dict(state)
    return model.eval()


def output_matrix(facts, state):
    """(V, C): the vocabulary matrix, tied to the embeddings where the file has none."""
    tied = torch_name(facts, "token_embd.weight")
    return state.get("lm_head.weight", state[tied])


def blocks_of(facts, model):
    return model.layers if facts["general.architecture"] == "llama" else model.h


def final_norm_of(facts, model):
    return model.norm if facts["general.architecture"] == "llama" else model.ln_f


def load_backbone(path, cache=None, attention="sdpa"):
    """facts and model.  With a cache directory the dequantised weights are kept
    there as safetensors, for runs whose start or memory is measured."""
    if cache is None:
        facts, state = read_gguf(path)
        return facts, make_backbone(facts, state, attention)
    from safetensors.torch import load_file, save_file

    stat = os.stat(path)
    stem = Path(cache) / f"{Path(path).stem}-{stat.st_size}-{stat.st_mtime_ns}"
    weights, keys = Path(f"{stem}.safetensors"), Path(f"{stem}.json")
    if not (weights.exists() and keys.exists()):
        facts, state = read_gguf(path)
        Path(cache).mkdir(parents=True, exist_ok=True)
        for file, write in (
            (weights, lambda name: save_file(state, name)),
            (keys, lambda name: Path(name).write_text(json.dumps(facts))),
        ):
            write(f"{file}.tmp")
            os.replace(f"{file}.tmp", file)
        del state
    facts = json.loads(keys.read_text())
    return facts, make_backbone(facts, load_file(weights), attention)


# ---- tokens ----


def make_tokenizer(facts):
    """A tokenizers.Tokenizer with the rules of the model's own tokenizer.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = facts["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in facts["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    bytes_rule = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    split = facts["tokenizer.ggml.pre"]
    if split == "smollm":
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_rule])
    elif split == "gpt-2":
        tokenizer.pre_tokenizer = bytes_rule
    else:
        raise SystemExit(f"tokenizer.ggml.pre is '{split}': only smollm and gpt-2 are known here")
    tokenizer.decoder = decoders.ByteLevel()
    kinds = facts["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in control])
    return tokenizer


def encode(tokenizer, facts, texts):
    """Token ids of each text; an empty text becomes the end token, an overlong one is cut."""
    limit = fact(facts, "context_length")
    end = facts["tokenizer.ggml.eos_token_id"]
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [encoding.ids[:limit] or [end] for encoding in encodings]


# ---- tables and batches ----


def read_tsv(path):
    """Rows of an unquoted TSV with the columns label and text: (texts, labels)."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    header = lines[0].split("\t")
    text, label = header.index("text"), header.index("label")
    rows = [line.split("\t") for line in lines[1:] if line]
    return [row[text] for row in rows], [row[label] for row in rows]


def pad(sequences):
    """ids (B, T), mask (B, T), last (B): right padding to the longest of the batch."""
    import torch

    longest = max(len(ids) for ids in sequences)
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros(len(sequences), longest, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask, mask.sum(1) - 1


def last_states(model, ids, mask, last):
    """(B, C): the state of the last real token, after the final norm."""
    import torch

    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return states[torch.arange(len(last)), last]


# ---- what every peer prints ----


def versions():
    from importlib.metadata import PackageNotFoundError, version

    names = ("torch", "transformers", "tokenizers", "gguf", "safetensors", "numpy", "peft")
    found = {"python": sys.version.split()[0]}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # of peft alone: the others are needed everywhere
    return found


def wilson(right, count):
    """The 95 % interval of a share (Wilson, 1927), as taxon computes it."""
    z = 1.959963984540054
    share, extra = right / count, z * z / count
    middle = share + extra / 2
    half = z * (share * (1 - share) / count + extra / (4 * count)) ** 0.5
    return [(middle - half) / (1 + extra), (middle + half) / (1 + extra)]


def peak_rss_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def threads_used(wanted):
    """Sets PyTorch's threads (0: leave them) and says how many there are."""
    import torch

    if wanted:
        torch.set_num_threads(wanted)
    return torch.get_num_threads()


# ---- classifiers ----


def trained_parts(facts, model, labels):
    """The modules that the book's recipe trains: last block, final norm, a new head."""
    import torch

    width = fact(facts, "embedding_length")
    return {
        "block": blocks_of(facts, model)[-1],
        "norm": final_norm_of(facts, model),
        "head": torch.nn.Linear(width, labels),
    }


def save_classifier(path, parts, names):
    from safetensors.torch import save_file

    tensors = {
        f"{part}.{name}": parameter.detach().contiguous()
        for part, module in parts.items()
        for name, parameter in module.named_parameters()
    }
    save_file(tensors, path, metadata={"labels": json.dumps(names)})


def load_classifier(path, facts, model):
    """Puts the saved block and norm into the model: (head, label names)."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = json.loads(file.metadata()["labels"])
        parts = trained_parts(facts, model, len(names))
        for part, module in parts.items():
            own = {name: file.get_tensor(f"{part}.{name}") for name, _ in module.named_parameters()}
            module.load_state_dict(own, strict=False)  # gpt2 blocks may carry buffers
    return parts["head"].eval(), names
