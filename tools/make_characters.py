#!/usr/bin/env python3
"""Writes src/text/characters_table.inc: which characters the split rules call
letter, number and space, asked of the `tokenizers` library itself, one code
point at a time.

    python3 tools/make_characters.py > src/text/characters_table.inc

Its regular expressions know one version of Unicode and its Digits rule another;
the characters on which they differ are written as LATE.
"""
import sys
import tokenizers
from tokenizers import pre_tokenizers

byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
digits = pre_tokenizers.Digits(individual_digits=True)


def joins(text):
    return len(byte_level.pre_tokenize_str(text)) == 1


def kind(character):
    digit = len(digits.pre_tokenize_str("a" + character + "a")) == 3
    if joins("!" + character):
        return "LATE" if digit else None
    if joins("1" + character):
        if not digit:
            raise SystemExit(f"U+{ord(character):04X}: a number, but not to Digits")
        return "NUMBER"
    if digit:
        raise SystemExit(f"U+{ord(character):04X}: Digits takes a letter or a space")
    return "LETTER" if joins("a" + character) else "SPACE"


def ranges():
    runs = []
    for point in range(0x80, 0x110000):
        if 0xD800 <= point < 0xE000:
            continue
        what = kind(chr(point))
        if what is None:
            continue
        if runs and runs[-1][1] == point - 1 and runs[-1][2] == what:
            runs[-1][1] = point
        else:
            runs.append([point, point, what])
    return runs


def main():
    runs = ranges()
    out = sys.stdout
    out.write("/* Made by tools/make_characters.py with tokenizers "
              f"{tokenizers.__version__}; do not edit.\n"
              f" * {len(runs)} ranges, in order, of the letters, numbers and spaces from U+0080. */\n")
    line = ""
    for first, last, what in runs:
        entry = f"{{0x{first:X}, 0x{last:X}, {what}}},"
        if len(line) + len(entry) + 1 > 100:
            out.write(line + "\n")
            line = ""
        line += (" " if line else "") + entry
    out.write(line + "\n")


main()
