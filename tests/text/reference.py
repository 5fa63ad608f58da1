"""The tokenizers that taxon's must equal, built with the `tokenizers` library
from a GGUF vocabulary by the rules of the models' own tokenizer.json.

transformers is no reference: it drops the Digits rule when it imports a GGUF
vocabulary."""
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

CONTROL, USER_DEFINED, UNKNOWN = 3, 4, 2


def read_vocabulary(path):
    fields = GGUFReader(path).fields

    def get(name):
        return fields["tokenizer.ggml." + name].contents()

    return {"pre": get("pre"), "tokens": get("tokens"), "merges": get("merges"),
            "kinds": get("token_type")}


def pre_tokenizer(split):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    if split == "gpt-2":
        return byte_level
    if split == "smollm":  # HuggingFaceTB/SmolLM2-135M: tokenizer.json
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    raise SystemExit(f"no reference for the split rule {split}")


def build(vocabulary, split=None):
    """Returns encode(text, special), which gives the ids."""
    ids = {token: i for i, token in enumerate(vocabulary["tokens"])}
    merges = [tuple(merge.split(" ")) for merge in vocabulary["merges"]]
    # No unknown token: a byte without a symbol is left out.
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, fuse_unk=False, byte_fallback=False,
                                     ignore_merges=False))
    tokenizer.pre_tokenizer = pre_tokenizer(split or vocabulary["pre"])
    for token, kind in zip(vocabulary["tokens"], vocabulary["kinds"]):
        if kind in (CONTROL, UNKNOWN):
            tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False)])
        elif kind == USER_DEFINED:
            tokenizer.add_tokens([AddedToken(token, special=False, normalized=False)])

    def encode(text, special):
        tokenizer.encode_special_tokens = not special
        return tokenizer.encode(text, add_special_tokens=False).ids

    return encode
