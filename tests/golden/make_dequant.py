"""Makes tests/golden/dequant.gguf: for each type of weight `T`, a tensor `T` of
random and extreme blocks and a tensor `T.f32` with the values that the `gguf`
package gives them.  The same bytes at every run.

  pip install gguf numpy
  python tests/golden/make_dequant.py
"""
import os

import gguf
import numpy as np

TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]

# Where the halves (scales, minima) lie in a block, in units of 2 bytes.
HALVES = {"Q4_0": [0], "Q4_1": [0, 1], "Q5_0": [0], "Q5_1": [0, 1], "Q8_0": [0], "Q4_K": [0, 1],
          "Q5_K": [0, 1], "Q6_K": [104]}

# Both zeros, both ends of the subnormal and of the normal halves, ones, a third
# (rounds), and infinity; no NaN, whose sign is nobody's promise.
EXTREME = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x7BFF,
                    0xFBFF, 0x3C00, 0xBC00, 0x3555, 0xB555, 0x7C00, 0xFC00], dtype="<u2")

# The same in bfloat16: its subnormals are those of float32.
EXTREME_BF16 = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x007F, 0x0080, 0x7F7F, 0xFF7F, 0x3F80,
                         0xBF80, 0x3EAB, 0x7F80, 0xFF80], dtype="<u2")


def random_halves(random, count):
    """Finite halves of ordinary size: what the scales of real models are."""
    return (random.standard_normal(count) * 0.02).astype("<f2").view("<u2")


def make_blocks(name, random):
    kind = gguf.GGMLQuantizationType[name]
    values, size = gguf.GGML_QUANT_SIZES[kind]
    if name == "F32":
        return random.standard_normal(64).astype("<f4").view(np.uint8), values
    if name == "F16":  # every exponent, and the extremes
        halves = np.concatenate([EXTREME, np.arange(0, 0x7C00, 97, dtype="<u2"),
                                 np.arange(0x8000, 0xFC00, 89, dtype="<u2")])
        return halves[:len(halves) // 16 * 16].view(np.uint8), values
    if name == "BF16":
        halves = (random.standard_normal(240).astype("<f4").view("<u4") >> 16).astype("<u2")
        return np.concatenate([EXTREME_BF16, halves[:-13]]).view(np.uint8), values
    places = HALVES[name]
    # Infinite scales make NaN of 0 * inf: they are left to F16.
    extreme = EXTREME[:-2]
    rows = len(extreme) + (16 if values == 32 else 3)
    blocks = random.integers(0, 256, (rows, size), dtype=np.uint8)
    halves = blocks.view("<u2")
    for place in places:
        halves[:, place] = random_halves(random, rows)
    for index, place in enumerate(places):
        halves[:len(extreme), place] = np.roll(extreme, 5 * index)
    blocks[-2] = 0  # all zero
    keep = halves[-1].copy()
    blocks[-1] = 255  # every bit of the numbers set, scales ordinary
    for place in places:
        halves[-1, place] = keep[place]
    return blocks.reshape(-1), values


def main():
    random = np.random.Generator(np.random.PCG64(20240607))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dequant.gguf")
    writer = gguf.GGUFWriter(path, "test")
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        data, values = make_blocks(name, random)
        expected = gguf.quants.dequantize(data, kind).astype(np.float32).reshape(-1)
        assert not np.isnan(expected).any(), name
        count = len(data) // gguf.GGML_QUANT_SIZES[kind][1] * values
        assert count == len(expected), name
        if name == "F32":
            data = data.view("<f4")
        elif name == "F16":
            data = data.view("<f2")
        writer.add_tensor(name, data, raw_dtype=kind)
        writer.add_tensor(name + ".f32", expected)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
