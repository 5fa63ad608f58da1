"""Texts that tokenizers get wrong: whole cases, and parts to put together at
random."""
import itertools
import random

SPACES = [" ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\u0085", "\u00a0", "\u1680", "\u2000", "\u2009",
          "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
NOT_SPACES = ["\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\x1c", "\x1d", "\x1e", "\x1f",
              "\x00", "\x7f", "\x80", "\x9f", "\u00ad"]
LETTERS = ["a", "Z", "word", "Straße", "naïve", "é", "e\u0301", "ﬁ", "ʼ", "ª", "µ", "日本語", "한국어", "각",
           "\u1100\u1161\u11a8", "привет", "שלום", "مرحبا", "ไทย", "हिन्दी", "𝒜", "𐐀", "\U00031350", "\u1c89",
           "\U00016d40", "İ", "ǅ"]
NUMBERS = ["0", "7", "12", "2024", "²", "½", "Ⅻ", "٣", "९", "༣", "①", "𝟘", "〇", "㊿", "\U0001d2c0", "\U00010d40",
           "\u3007", "𒐀", "\U00011de0", "\U00016ff4", "፩", "੧"]
OTHERS = ["!", "...", "'", "''", "\u2019", "\"", "_", "-", "--", "<", ">", "|", "$", "€", "+", "😀", "👍🏽", "👨‍👩‍👧‍👦",
          "🇰🇷", "❤️", "\u0301", "\u20e3", "\ufe0f", "\ue000", "\uffff", "\U0010ffff", "\u0378", "\U000e0001", "。", "、",
          "\x01", "\x04", "\x06", "\x13", "\x14", "\x16", "\x1b[0m"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "'l", "'r", "'v", "'ss", "\u2019s"]
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<reponame>", "<|im_start", "<", "<|",
            "<<|im_end|>>", "<|im_end|><|im_end|>"]
PARTS = SPACES + NOT_SPACES + LETTERS + NUMBERS + OTHERS + CONTRACTIONS + SPECIALS


def whole():
    """Cases by hand, as text."""
    yield ""
    yield from PARTS
    for runs in itertools.product(["", " ", "  ", "\n", "\n\n", " \n", "\n ", "\t", "\u00a0", "\u3000 "], repeat=2):
        for left, right in itertools.product(["", "a", "1", "!", "é"], repeat=2):
            yield left + runs[0] + runs[1] + right
    for contraction in CONTRACTIONS:
        for before in ["I", "it ", "", "1", "!", "é", " '"]:
            for after in ["", "a", " a", "1", "'"]:
                yield before + contraction + after
    yield "naïve café 😀"
    yield "The quick brown fox jumps over 13 lazy dogs, doesn't it?"
    yield "a" * 300
    yield "ab" * 200
    yield "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 5
    yield "한" * 200
    yield " " * 500 + "x" + "\n" * 300 + "y" + " \n" * 100
    yield "=" * 137 + "-" * 301 + "#" * 99
    yield "1234567890" * 20
    yield "٠١٢٣٤٥٦٧٨٩ ½²Ⅻ 12½3 a1b2c3"
    yield "a\x04b a\x04\x06b the\x13re \x14\x16\x1d"
    yield "e\u0301\u0301\u0301 \u0301a 1\u0301 \u0301"
    yield "".join(map(chr, range(128)))
    yield "".join(map(chr, range(128, 0x530)))
    yield "def f(x):\n    return x  # 42\n\n\n\tif x:\r\n        pass\n"
    yield "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    yield "\ufeffBOM at the start"
    yield "http://example.com/a?b=c&d=%20#e user@example.com C:\\dir\\file.txt"


def mixed(count, seed=1, longest=12):
    """Parts put together at random, as text."""
    random_ = random.Random(seed)
    for _ in range(count):
        yield "".join(random_.choice(PARTS) for _ in range(random_.randint(1, longest)))


def points(seed=2):
    """Every character there is, between others, as text."""
    random_ = random.Random(seed)
    around = ["a", " ", "1", "!", "", "  ", "é", "\n"]
    everything = [p for p in range(0x110000) if not 0xD800 <= p < 0xE000]
    assigned = [p for p in everything if p < 0x33480 or 0xE0000 <= p < 0xE0200]
    for start in range(0, len(assigned), 40):
        yield "".join(random_.choice(around) + chr(p) for p in assigned[start:start + 40])
    for _ in range(2000):
        yield "".join(random_.choice(around) + chr(random_.choice(everything)) for _ in range(20))


def invalid():
    """Bytes that are not UTF-8."""
    yield b"\xff"
    yield b"\x80"
    yield b"caf\xe9"
    yield b"\xed\xa0\x80 surrogate \xed\xbf\xbf"
    yield b"\xc0\xaf overlong \xe0\x80\xaf \xf0\x80\x80\xaf"
    yield b"beyond \xf4\x90\x80\x80"
    yield "cut €".encode()[:-1]
    yield "cut 😀 short".encode()[:7] + b" x"
    yield b"a \xe2\x82 b \xe2\x82\xac c"
    yield b" \xfe\xfe!\xfe 1\xfe\xfe's"
    yield bytes(range(256))
    yield bytes(range(255, -1, -1))
