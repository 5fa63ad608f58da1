"""Makes the gradients of every trainable tensor of the two tiny models, by PyTorch.

    python make_gradients.py [--out DIR]

Needs what make_models.py needs, and the models and *_grad.gguf that it made beside this file:
the sequences, labels and head are those.  Writes tiny_llama_parts.gguf and tiny_gpt2_parts.gguf;
README.md says what is in them.  Adapters are added to the weights (W + scale * B . A), so that
autograd finds their gradients with no code of PEFT's or taxon's between."""

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch
from torch.func import functional_call

import make_models
from make_models import common

HERE = Path(__file__).parent
RANK, SCALE = 2, 1.5
STRIDE = 13  # divides no width here, so that every column has some of the values
FUSED = ("attn_q", "attn_k", "attn_v")  # taxon keeps the thirds of gpt2's attn_qkv apart
MATRICES = (*FUSED, "attn_qkv", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def read_task(path):
    """Sequences, labels, and the head as leaves."""
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    offsets = tensors["offsets"]
    sequences = [tensors["ids"][a:b].tolist() for a, b in zip(offsets, offsets[1:])]
    head = {
        name: torch.tensor(tensors[name], requires_grad=True)
        for name in ("head.weight", "head.bias")
    }
    return sequences, torch.tensor(tensors["labels"], dtype=torch.long), head


def parts_of(name):
    """A file's matrix, or vector of biases, as taxon names it: one, or three."""
    if "attn_qkv" in name:
        return [name.replace("attn_qkv", part) for part in FUSED]
    return [name]


# ---- adapters ----


def make_adapters(names, shapes):
    """{NAME.lora_a, NAME.lora_b: leaf} beside every matrix of the blocks, in the file's layout."""
    random = np.random.default_rng(17)
    adapters = {}
    for name in names:
        if name.split(".")[-2] not in MATRICES or not name.endswith(".weight"):
            continue
        outputs, inputs = shapes[name]
        parts = parts_of(name)
        for part in parts:
            a = random.standard_normal((RANK, inputs)) / np.sqrt(inputs)
            b = 0.1 * random.standard_normal((outputs // len(parts), RANK))
            for side, values in (("a", a), ("b", b)):
                leaf = torch.tensor(values, dtype=torch.float32, requires_grad=True)
                adapters[f"{part}.lora_{side}"] = leaf
    return adapters


def with_adapters(model, names, adapters):
    """{backbone's name: weight} with B . A added, brought from the file's layout into PyTorch's."""
    weights = dict(model.backbone.named_parameters())
    for name in names:
        parts = [part for part in parts_of(name) if f"{part}.lora_a" in adapters]
        if not parts:
            continue
        delta = torch.cat(
            [adapters[f"{part}.lora_b"] @ adapters[f"{part}.lora_a"] for part in parts]
        )
        places = np.arange(delta.numel()).reshape(delta.shape)
        places = torch.tensor(common.to_torch_layout(model.facts, name, places).copy())
        theirs = common.torch_name(model.facts, name)
        weights[theirs] = weights[theirs].detach() + SCALE * delta.reshape(-1)[places]
    return weights


# ---- gradients ----


def backward(model, weights, head, task, pooling):
    sequences, labels = task
    rows = []
    for ids in sequences:
        inputs = {"input_ids": torch.tensor([ids])}
        states = functional_call(model.backbone, weights, (), inputs).last_hidden_state[0]
        rows.append(make_models.pooled(states, pooling))
    logits = torch.stack(rows) @ head["head.weight"].T + head["head.bias"]
    loss = torch.nn.functional.cross_entropy(logits, labels)
    loss.backward()
    return loss


def take(leaves):
    """Their gradients, which are cleared."""
    gradients = {name: leaf.grad.numpy().copy() for name, leaf in leaves.items()}
    for leaf in leaves.values():
        leaf.grad = None
    return gradients


def model_gradients(model, names, ids):
    """Of the backbone, under taxon's names and in the file's layout."""
    parameters = dict(model.backbone.named_parameters())
    found = {}
    for name in names:
        gradient = parameters[common.torch_name(model.facts, name)].grad.numpy()
        gradient = common.to_file_layout(model.facts, name, gradient)
        if name == "token_embd.weight":
            found["token_embd.rows"] = gradient[ids]
        elif name == "position_embd.weight":
            found["position_embd.rows"] = gradient
        else:
            parts = parts_of(name)
            found.update(zip(parts, np.split(gradient, len(parts))))
    model.backbone.zero_grad()
    return found


def write(file, prefix, gradients):
    """Of each the norm, then every STRIDE-th value."""
    for name, gradient in gradients.items():
        if name.endswith("attn_k.bias"):
            continue  # it cancels in the softmax: rounding alone
        flat = gradient.reshape(-1).astype(np.float64)
        file.floats(f"{prefix}/{name}", np.concatenate([[np.linalg.norm(flat)], flat[::STRIDE]]))


def write_parts(stem, out):
    model = make_models.Model(HERE / f"{stem}.gguf")
    sequences, labels, head = read_task(HERE / f"{stem}_grad.gguf")
    tensors = gguf.GGUFReader(HERE / f"{stem}.gguf").tensors
    shapes = {t.name: [int(n) for n in reversed(t.shape)] for t in tensors}
    names, task = list(shapes), (sequences, labels)
    ids = sorted({token for sequence in sequences for token in sequence})
    file = make_models.Container(out / f"{stem}_parts.gguf", f"norm, then every {STRIDE}th value")
    adapters = make_adapters(names, shapes)
    for name, values in adapters.items():
        file.floats(name, values)
    for pooling in ("last", "mean"):
        model.backbone.requires_grad_(True)
        file.floats(f"{pooling}/loss", backward(model, {}, head, task, pooling))
        write(file, f"{pooling}/model", {**model_gradients(model, names, ids), **take(head)})
        model.backbone.requires_grad_(False)
        weights = with_adapters(model, names, adapters)
        file.floats(f"{pooling}/lora/loss", backward(model, weights, head, task, pooling))
        write(file, f"{pooling}/lora", {**take(adapters), **take(head)})
    file.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=HERE, type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation for every run
    for stem in ("tiny_llama", "tiny_gpt2"):
        write_parts(stem, options.out)


if __name__ == "__main__":
    main()
