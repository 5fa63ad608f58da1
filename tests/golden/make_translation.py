"""Writes translation.h: BLEU and chrF of odd sentences by sacrebleu, each pair
alone and several as a corpus.

Needs sacrebleu 2.6.  Run as
    python3 tests/golden/make_translation.py > tests/golden/translation.h
"""
import random

from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

PAIRS = [  # hypothesis, reference
    ("The cat sat on the mat.", "The cat sat on the mat."),
    ("the cat the cat the cat", "The cat sat on the mat."),
    ("", "A reference."), ("A hypothesis.", ""), ("", ""), ("  \n", "."), ("a", "a"), ("a b", "a b"),
    ("a b c", "a b c"), ("a b c d", "a b c d"), ("no word here matches", "anything of that other one"),
    ("Ein Mann reitet auf einem Pferd.", "Ein Mann reitet ein Pferd."),
    ("Ein Mann, der f\u00fcr 1,5 Stunden l\u00e4uft", "Ein Mann l\u00e4uft 1.5 Stunden , Stra\u00dfe"),
    ("&quot;Hello&quot; &amp; &lt;b&gt; &amp;lt; &apos;", "\"Hello\" & <b> &lt; '"),
    ("R&D costs $5.50, i.e. 5-6% -- (more)", "R & D costs $ 5.50 , i.e. 5 - 6 % - - ( more )"),
    ("1.000,50 3.x x.3 .5 5. ,, .,. a..b 1-2 a-b 3--4", "1.000,50 3 .x x. 3 .5 5. ,, . a..b 1 - 2"),
    ("hyphen-\nated line\nbreak <skipped>gone<skip<skipped>ped>", "hyphenated line break gone<skipped>"),
    ("\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4f60\u597d", "\u4f60\u597d \u4e16\u754c\u3002 \u518d\u89c1"),
    ("\U0001f600\U0001f600 caf\u00e9. cafe\u0301,", "\U0001f600 caf\u00e9 . cafe\u0301 ,"),
    ("tab\there\u00a0and\u2003there\u3000x\x1cy\x85z", "tab here and there x y z"),
    ("it's the dog's 'bone'", "it 's the dog' s 'bone'"),
    ("[x] {y} `z` @a #b ^c ~d |e \\f /g *h +i =j ?k !l ;m :n _o", "[x] {y} z a b c d e f g h i j k l m n o"),
    ("x" * 300 + " y", "x" * 200 + " y y"), ("a a a a a a a b", "a a b a a a"),
    ("\u00e9.\u00e9,\u00e9-1-\u00e9", "\u00e9. \u00e9 , \u00e9-1 -\u00e9"), ("abcdef", "abcdefg"), ("abc", "abcdef ghi"),
]


def random_pairs():
    rng = random.Random(3)
    words = ["the", "The", "a", "man", "horse", "rides", "is", "riding", ".", ",", "1.5", "-", "&amp;", "Stra\u00dfe"]
    for _ in range(30):
        reference = [rng.choice(words) for _ in range(rng.randrange(1, 20))]
        hypothesis = [w if rng.random() < 0.7 else rng.choice(words) for w in reference if rng.random() < 0.9]
        yield rng.choice([" ", ""]).join(hypothesis), " ".join(reference)


def c(text):
    return '"' + "".join(f"\\{b:03o}" if b < 32 or b > 126 or chr(b) in "\"\\?" else chr(b) for b in text.encode()) + '"'


def scores(pairs):
    hypotheses, references = [p[0] for p in pairs], [[p[1] for p in pairs]]
    bleu = BLEU().corpus_score(hypotheses, references)
    return bleu, CHRF().corpus_score(hypotheses, references).score


def row(pairs):
    bleu, chrf = scores(pairs)
    numbers = [bleu.score, *bleu.precisions, bleu.bp, chrf]
    counts = [*bleu.counts, *bleu.totals, bleu.sys_len, bleu.ref_len]
    return f"{{{{{', '.join(repr(float(x)) for x in numbers)}}},\n     {{{', '.join(map(str, counts))}}}}}"


def main():
    pairs = PAIRS + list(random_pairs())
    tokenize = Tokenizer13a()
    print("/* Made by make_translation.py; see there. */\n")
    print(f"enum {{ GOLDEN_PAIRS = {len(pairs)} }};\n")
    print("/* hypothesis, reference, the words of the hypothesis */")
    print("static const char *const golden_pairs[GOLDEN_PAIRS][3] = {")
    for hypothesis, reference in pairs:
        print(f"    {{{c(hypothesis)},\n     {c(reference)},\n     {c(tokenize(hypothesis.rstrip()))}}},")
    print("};\n")
    print("typedef struct golden_score {")
    print("  double numbers[7]; /* BLEU, its precisions, brevity penalty, chrF */")
    print("  int64_t counts[10]; /* correct, total, words of the hypotheses and references */")
    print("} golden_score;\n")
    print("/* each pair alone */\nstatic const golden_score golden_alone[GOLDEN_PAIRS] = {")
    for pair in pairs:
        print(f"    {row([pair])},")
    print("};\n")
    print("/* the first n pairs together, n = 1, 2, ... */")
    print("static const golden_score golden_together[GOLDEN_PAIRS] = {")
    for n in range(1, len(pairs) + 1):
        print(f"    {row(pairs[:n])},")
    print("};")


main()
