"""The methods of `taxon train` in PyTorch: which tensors each of them trains, under the
names that taxon gives them, which of those decay, the schedule, a step.  Adapters are
PEFT's.  Architecture: llama.  Batches are padded to their longest text, the last real
token's state after the final norm goes through a linear head.

What is measured is left to train_method.py, losses.py and gradients.py."""

import math

import torch

import common

METHODS = ("last-block", "norms", "lora", "full")
RATES = {"last-block": 5e-5, "norms": 1e-3, "lora": 2e-4, "full": 5e-5}  # taxon's own
ADAPTED = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
NORMS = ("attn_norm", "ffn_norm")
DECAY, CLIP, WARM_UP = 0.1, 1.0, 0.05  # what taxon takes where nothing is said
BETAS, EPSILON = (0.9, 0.999), 1e-8


class Classifier(torch.nn.Module):
    def __init__(self, backbone, head):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, sequences):
        """(B, classes) from B lists of token ids."""
        return self.head(common.last_states(self.backbone, *common.pad(sequences)))


# ---- what is trained ----


def names_of(facts, method, blocks):
    """taxon's names of what is trained below the head; blocks 0: as many as it takes by itself."""
    depth = common.fact(facts, "block_count")
    blocks = blocks or (1 if method == "last-block" else depth)
    matrices = () if method == "norms" else ADAPTED
    numbers = range(depth - blocks, depth)
    if method == "lora":
        return [
            f"blk.{number}.{part}.weight.lora_{side}"
            for number in numbers
            for part in ADAPTED
            for side in "ab"
        ]
    names = [f"blk.{number}.{part}.weight" for number in numbers for part in NORMS + matrices]
    names.append("output_norm.weight")
    return names + (["token_embd.weight"] if method == "full" else [])


def parameter_name(facts, name):
    """The backbone's name for one of names_of()."""
    stem, _, side = name.partition(".lora_")
    theirs = common.torch_name(facts, stem)
    if side:
        return theirs.removesuffix("weight") + f"lora_{side.upper()}.default.weight"
    return theirs


def with_adapters(backbone, rank):
    from peft import LoraConfig, get_peft_model

    targets = [common.LLAMA_NAMES[part].split(".")[1] for part in ADAPTED]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=targets)
    return get_peft_model(backbone, config)


def make(facts, backbone, classes, method, blocks=0, rank=16):
    """A classifier whose head is new, and {taxon's name: parameter} of what it trains."""
    if facts["general.architecture"] != "llama":
        raise SystemExit("only models of the architecture llama are known here")
    head = torch.nn.Linear(common.fact(facts, "embedding_length"), classes)
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    classifier = Classifier(with_adapters(backbone, rank) if method == "lora" else backbone, head)
    own = dict(backbone.named_parameters())
    trained = {name: own[parameter_name(facts, name)] for name in names_of(facts, method, blocks)}
    trained.update({"head.weight": head.weight, "head.bias": head.bias})
    for parameter in trained.values():
        parameter.requires_grad_(True)
    return classifier.train(), trained


# ---- values, from the file's layout and into it ----


def set_values(facts, trained, values):
    """Copies flat arrays {taxon's name: values} into the parameters.  Of "token_embd.rows" the
    tokens are given as values["ids"], rising."""
    with torch.no_grad():
        for name, array in values.items():
            if name == "ids":
                continue
            if name == "token_embd.rows":
                parameter = trained["token_embd.weight"]
                rows = torch.tensor(array).reshape(-1, parameter.shape[1])
                parameter[torch.tensor(values["ids"])] = rows.to(parameter.dtype)
                continue
            parameter = trained[name]
            shaped = array.reshape(tuple(parameter.shape))
            shaped = common.to_torch_layout(facts, name.removesuffix(".lora_b"), shaped)
            parameter.copy_(torch.tensor(shaped))


def in_file_layout(facts, name, array):
    return common.to_file_layout(facts, name.removesuffix(".lora_b"), array)


# ---- steps ----


def decays(name):
    """Matrices do: not the norms, the biases and the rows of the embeddings."""
    return ".lora_" in name or (
        name.endswith(".weight") and "norm" not in name and name != "token_embd.weight"
    )


def make_optimiser(trained, rate, decay=DECAY):
    """Fused, as transformers' Trainer takes it."""
    groups = [
        {"params": [p for name, p in trained.items() if decays(name) == which], "weight_decay": own}
        for which, own in ((True, decay), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, eps=EPSILON, fused=True)


def factor(step, steps, warm_up=WARM_UP):
    """Of the learning rate at a step, counted from 0: a linear rise, then half a cosine."""
    rising = warm_up * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


def make_schedule(optimiser, steps):
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: factor(step, steps))


def loss_of(classifier, sequences, labels):
    return torch.nn.functional.cross_entropy(classifier(sequences), torch.tensor(labels))


def step(classifier, trained, optimiser, schedule, sequences, labels):
    """The loss before the step."""
    optimiser.zero_grad()
    loss = loss_of(classifier, sequences, labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained.values(), CLIP)
    optimiser.step()
    schedule.step()
    return loss.item()
