"""The peers of run.py, each behind the same four questions.  An engine is made with
a model file, a directory for what it derives from it, and a number of threads; it answers
what it can (None: it cannot) and gets tokens, not characters:

    texts(sequences)    seconds of one pass over them all, at the engine's best batches
    prefill(ids)        seconds of one text, to the state or the logits of its last token
    decode(batch, n)    seconds of n steps of `batch` sequences, a token each, after a text of 64 tokens
    settings            what was chosen, in words

Texts are never padded where an engine needs rectangles: those of one length run together."""

import ctypes
import os
import random
import time
from pathlib import Path

import common

BATCH = 32  # texts of one length at once, for engines that need rectangles


def by_length(sequences, most):
    """Lists of sequences of one length, `most` at most."""
    groups = {}
    for ids in sequences:
        groups.setdefault(len(ids), []).append(ids)
    for _, same in sorted(groups.items()):
        for start in range(0, len(same), most):
            yield same[start : start + most]


def timed(function, *arguments):
    begin = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begin


class Rectangles:
    """An engine that runs (texts, tokens) arrays: subclasses have run(rows)."""

    settings = f"texts of one length together, up to {BATCH}, no padding"

    def texts(self, sequences):
        return timed(lambda: [self.run(rows) for rows in by_length(sequences, BATCH)])

    def prefill(self, ids):
        return timed(self.run, [ids])

    def decode(self, batch, steps):
        return None


class Torch(Rectangles):
    def __init__(self, model, cache, threads, kind):
        import torch
        import transformers

        self.torch = torch
        torch.set_num_threads(threads)
        _, self.model = common.load_backbone(model, cache)
        if kind == "bf16":
            self.model = self.model.to(torch.bfloat16)
        elif kind == "int8":
            from torch.ao.quantization import quantize_dynamic

            self.model = quantize_dynamic(self.model, {torch.nn.Linear}, dtype=torch.qint8)
        self.version = f"PyTorch {torch.__version__}, transformers {transformers.__version__}"

    def run(self, rows):
        with self.torch.inference_mode():
            return self.model(input_ids=self.torch.tensor(rows)).last_hidden_state[:, -1]


def export_onnx(model, cache, path):
    """The backbone as ONNX, last token's state from ids (texts, tokens) of any size."""
    import torch

    class Last(torch.nn.Module):
        def __init__(self, backbone):
            super().__init__()
            self.backbone = backbone

        def forward(self, input_ids):
            return self.backbone(input_ids=input_ids).last_hidden_state[:, -1]

    _, backbone = common.load_backbone(model, cache, attention="eager")
    sizes = {"input_ids": {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}}
    torch.onnx.export(
        Last(backbone).eval(),
        (torch.zeros(2, 7, dtype=torch.long),),
        str(path),
        input_names=["input_ids"],
        output_names=["state"],
        dynamo=True,
        dynamic_shapes=sizes,
        external_data=False,
    )


class Onnx(Rectangles):
    def __init__(self, model, cache, threads, kind):
        import onnxruntime

        path = Path(cache) / "peer-fp32.onnx"
        if not path.exists():
            part = path.with_suffix(".part.onnx")
            export_onnx(model, cache, part)
            os.replace(part, path)
        if kind == "int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantised = Path(cache) / "peer-int8.onnx"
            if not quantised.exists():
                part = quantised.with_suffix(".part.onnx")
                quantize_dynamic(str(path), str(part), weight_type=QuantType.QInt8)
                os.replace(part, quantised)
            path = quantised
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.version = f"ONNX Runtime {onnxruntime.__version__}"

    def run(self, rows):
        import numpy as np

        return self.session.run(None, {"input_ids": np.array(rows, dtype=np.int64)})


def requantised(source, cache, kind):
    """The model at F32 or Q8_0, written once by llama.cpp's own quantiser; Q4_1 is the file."""
    import llama_cpp

    if kind == "q4_1":
        return source
    path = Path(cache) / f"{Path(source).stem}-{kind}.gguf"
    if path.exists():
        return path
    parameters = llama_cpp.llama_model_quantize_default_params()
    types = {"f32": llama_cpp.LLAMA_FTYPE_ALL_F32, "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0}
    parameters.ftype, parameters.allow_requantize = types[kind], True
    begin = source if kind == "f32" else requantised(source, cache, "f32")
    part = f"{path}.part"
    failed = llama_cpp.llama_model_quantize(
        str(begin).encode(), part.encode(), ctypes.byref(parameters)
    )
    if failed:
        raise RuntimeError(f"llama.cpp could not write {path}")
    os.replace(part, path)
    return path


class Llama:
    """llama.cpp.  Only the last token's logits are asked for, which is the least that it can be
    asked; several texts stand in one batch, each a sequence, as long as they fit."""

    UBATCHES = (32, 64, 128, 256, 512)
    SEQUENCES = 64

    def __init__(self, model, cache, threads, kind):
        import llama_cpp

        self.api = llama_cpp
        silent = llama_cpp.llama_log_callback(lambda *_: None)
        self.kept = silent  # the library keeps a pointer to it
        llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        path = requantised(model, cache, kind)
        parameters = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        vocabulary = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(vocabulary)
        self.threads, self.best, self.context, self.open_for = threads, {}, None, None
        self.version = f"llama.cpp of llama-cpp-python {llama_cpp.__version__}"
        self.settings = "best of n_ubatch " + ", ".join(map(str, self.UBATCHES))

    def open(self, ubatch, context=4096):
        """A context of that many tokens at a time."""
        if self.open_for == (ubatch, context):
            return
        if self.context:
            self.api.llama_free(self.context)
        parameters = self.api.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = context, 2048, ubatch
        parameters.n_seq_max = self.SEQUENCES
        parameters.kv_unified = True
        parameters.n_threads = parameters.n_threads_batch = self.threads
        parameters.no_perf = True
        self.context = self.api.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise RuntimeError("llama.cpp cannot make a context")
        self.open_for = (ubatch, context)

    def run(self, sequences, starts=None):
        """One call: whole sequences, or from the position in `starts` on."""
        count = sum(len(ids) for ids in sequences)
        batch = self.api.llama_batch_init(count, 0, 1)
        at = 0
        for number, ids in enumerate(sequences):
            first = starts[number] if starts else 0
            for place, token in enumerate(ids):
                batch.token[at] = token
                batch.pos[at] = first + place
                batch.n_seq_id[at] = 1
                batch.seq_id[at][0] = number
                batch.logits[at] = place == len(ids) - 1
                at += 1
        batch.n_tokens = count
        begin = time.perf_counter()
        failed = self.api.llama_decode(self.context, batch)
        self.api.llama_synchronize(self.context)
        self.inside += time.perf_counter() - begin
        self.api.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"llama_decode gave {failed}")

    def clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), False)

    def texts_at(self, ubatch, sequences):
        """Only the time inside the library counts: filling its batch from Python does not."""
        self.open(ubatch)
        self.inside = 0.0
        ahead = list(sequences)
        while ahead:
            part, tokens = [], 0
            room = max(ubatch, len(ahead[0]))
            while ahead and len(part) < self.SEQUENCES and tokens + len(ahead[0]) <= room:
                tokens += len(ahead[0])
                part.append(ahead.pop(0))
            self.clear()
            self.run(part)
        return self.inside

    def choose(self, what, measure):
        """The best n_ubatch for a kind of work, by two short trials each."""
        if what not in self.best:
            taken = {ubatch: min(measure(ubatch) for _ in range(2)) for ubatch in self.UBATCHES}
            self.best[what] = min(taken, key=taken.get)
        return self.best[what]

    def texts(self, sequences):
        sample = sequences[:: max(1, len(sequences) // 24)][:24]
        ubatch = self.choose("texts", lambda size: self.texts_at(size, sample))
        return self.texts_at(ubatch, sequences)

    def prefill_at(self, ubatch, ids):
        self.open(ubatch)
        self.inside = 0.0
        self.clear()
        self.run([ids])
        return self.inside

    def prefill(self, ids):
        ubatch = self.choose(f"prefill {len(ids)}", lambda size: self.prefill_at(size, ids))
        return self.prefill_at(ubatch, ids)

    def decode(self, batch, steps):
        dice = random.Random(1)
        prompt = 64  # as taxon bench
        self.open(512)
        self.inside = 0.0
        self.clear()
        self.run([[dice.randrange(self.vocabulary) for _ in range(prompt)] for _ in range(batch)])
        self.inside = 0.0
        for step in range(steps):
            tokens = [[dice.randrange(self.vocabulary)] for _ in range(batch)]
            self.run(tokens, [prompt + step] * batch)
        return self.inside


ENGINES = {
    "torch-fp32": (Torch, "fp32"),
    "torch-bf16": (Torch, "bf16"),
    "torch-int8": (Torch, "int8"),
    "onnx-fp32": (Onnx, "fp32"),
    "onnx-int8": (Onnx, "int8"),
    "llama-f32": (Llama, "f32"),
    "llama-q8_0": (Llama, "q8_0"),
    "llama-q4_1": (Llama, "q4_1"),
}


def make(name, model, cache, threads):
    kind, argument = ENGINES[name]
    return kind(model, cache, threads, argument)
