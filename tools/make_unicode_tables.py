"""Writes Sources/TokenData/UnicodeTables*.swift: Unicode as the `tokenizers` library knows it.

The library's parts have tables of different Unicode versions: normalisation that of 9.0, patterns
(Oniguruma) that of 16.0, digits and lower case that of Rust's standard library. All are older or newer than
Python's or the operating system's, and the library's answers are what a model was trained with. So the tables
are read off the library itself. Python's unicodedata only says which scalars to ask about.

    python3 tools/make_unicode_tables.py     # needs tokenizers
"""

import itertools
import pathlib
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

ROOM = pathlib.Path(__file__).resolve().parents[1] / "Sources" / "TokenData"
FORM_D = normalizers.NFD().normalize_str
FORM_C = normalizers.NFC().normalize_str
FORM_KD = normalizers.NFKD().normalize_str
LOWER = normalizers.Lowercase().normalize_str
HANGUL = range(0xAC00, 0xD7A4)
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c not in HANGUL]


def decompositions():
    """Scalars that change in form D but are no composition, with what they become."""
    composed = {scalar for scalar, _ in compositions()}
    for scalar in SCALARS:
        text = FORM_D(chr(scalar))
        if text != chr(scalar) and scalar not in composed:
            yield scalar, [ord(c) for c in text]


def compositions():
    """Pairs that become one scalar in form C, with that scalar."""
    for scalar in SCALARS:
        fields = unicodedata.decomposition(chr(scalar)).split()
        if len(fields) == 2 and not fields[0].startswith("<"):
            pair = [int(field, 16) for field in fields]
            if FORM_C("".join(map(chr, pair))) == chr(scalar):
                yield scalar, pair


def combining_classes():
    """Marks that form D reorders, with their classes."""
    marks = [c for c in SCALARS if unicodedata.combining(chr(c)) and FORM_D(chr(c)) == chr(c)]
    known = {}
    for mark in marks:
        # One mark of each class that trades places with a mark of another class.
        value = unicodedata.combining(chr(mark))
        other = "\u0334" if value != 1 else "\u0345"  # classes 1 and 240
        pair = other + chr(mark) if value < unicodedata.combining(other) else chr(mark) + other
        if FORM_D(pair) == pair[::-1]:
            known.setdefault(value, chr(mark))
    classes = sorted(known)
    for mark in marks:
        others = [k for k in classes if known[k] != chr(mark)]
        passed = [k for k in others if FORM_D(chr(mark) + known[k]) == known[k] + chr(mark)]
        follows = [k for k in others if FORM_D(known[k] + chr(mark)) == chr(mark) + known[k]]
        if passed or follows:
            between = [k for k in classes if k not in passed and k not in follows]
            assert len(between) == 1, (hex(mark), passed, follows)
            yield mark, between[0]


def runs(classes):
    """Neighbouring marks of one class as (first, count, class)."""
    result = []
    for mark, value in classes:
        if result and result[-1][0] + result[-1][1] == mark and result[-1][2] == value:
            result[-1][1] += 1
        else:
            result.append([mark, 1, value])
    return result


def literal(entries):
    """Lines of entries, each numbers in hexadecimal separated by commas."""
    lines, line = [], ""
    for entry in entries:
        text = ",".join("%X" % number for number in entry)
        if len(line) + 1 + len(text) > 94:
            lines.append(line)
            line = ""
        line += (" " if line else "") + text
    return "\n".join("    " + line for line in lines + [line])


def compatibility():
    """Scalars that form KD decomposes further than form D, with what they become."""
    for scalar in SCALARS:
        text = FORM_KD(chr(scalar))
        if text != FORM_D(chr(scalar)):
            yield scalar, [ord(c) for c in text]


CATEGORIES = "Cc Cf Cn Co Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()


def members(pre_tokenizer):
    """The scalars that a pre-tokenizer removes."""
    scalars = list(every())
    for first in range(0, len(scalars), 4096):
        part = scalars[first:first + 4096]
        kept = set("".join(piece for piece, _ in pre_tokenizer.pre_tokenize_str("".join(map(chr, part)))))
        yield from (scalar for scalar in part if chr(scalar) not in kept)


def categories():
    """Runs of scalars of one general category, from scalar 0 on: category, number of scalars."""
    of = {}
    for number, name in enumerate(CATEGORIES):
        for scalar in members(pre_tokenizers.Split(Regex(r"\p{%s}" % name), "removed")):
            assert scalar not in of
            of[scalar] = number
    assert len(of) == len(SCALARS) + len(HANGUL)
    surrogates = CATEGORIES.index("Cn")
    return [[number, len(list(run))] for number, run in
            itertools.groupby(of.get(scalar, surrogates) for scalar in range(0x110000))]


def numeric():
    """What the pre-tokenizer Digits isolates."""
    digits = pre_tokenizers.Digits(individual_digits=False)
    for scalar in every():
        if len(digits.pre_tokenize_str("a" + chr(scalar))) == 2:
            yield scalar


def every():
    """All scalars, the syllables too."""
    return (scalar for scalar in range(0x110000) if not 0xD800 <= scalar < 0xE000)


def word_characters():
    """What may not stand beside a token that has to be a single word."""
    mark = "\ue001"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken(mark, single_word=True)])
    for scalar in every():
        if chr(scalar) != mark and not tokenizer.encode(mark + chr(scalar)).ids:
            yield scalar


def lowercase():
    """Runs of scalars that become one other scalar: first, number, their distance, what the first becomes."""
    result = []
    for scalar in every():
        text = LOWER(chr(scalar))
        if text == chr(scalar) or len(text) > 1:
            continue
        target = ord(text)
        if result:
            first, count, step, start = result[-1]
            gap = scalar - first if count == 1 else step
            if gap <= 2 and (scalar, target) == (first + gap * count, start + gap * count):
                result[-1] = [first, count + 1, gap, start]
                continue
        result.append([scalar, 1, 1, target])
    return result


def expansions():
    """Scalars that become several in lower case."""
    for scalar in every():
        text = LOWER(chr(scalar))
        if len(text) > 1:
            yield [scalar] + [ord(c) for c in text]


def members_runs(scalars):
    """Neighbouring scalars as (first, count)."""
    return [run[:2] for run in runs((scalar, 0) for scalar in scalars)]


def write(name, introduction, start, tables):
    """One file: a documented string for each table."""
    text = f"// Made by tools/make_unicode_tables.py from tokenizers {tokenizers.__version__}. Do not edit.\n\n"
    text += introduction + start + " {\n"
    text += "\n".join(
        f'  /// {comment}\n  static let {table} = """\n{literal(entries)}\n    """\n'
        for table, comment, entries in tables)
    (ROOM / name).write_text(text + "}\n")


ENTRIES = """\
/// Entries are separated by white space, and an entry's numbers, in hexadecimal, by commas.
"""

write("UnicodeTables.swift", f"""\
/// Unicode's tables for normalisation form C, as the `tokenizers` library has them (Unicode 9.0).
///
{ENTRIES}/// Hangul syllables are left out: they are computed.
""", "enum UnicodeTables", [
    ("decompositions", "A scalar that is no composition, and what it decomposes into completely.",
     ([scalar] + parts for scalar, parts in decompositions())),
    ("compositions", "A scalar, and the two that compose to it.",
     ([scalar] + pair for scalar, pair in compositions())),
    ("combiningClasses", "The first of neighbouring marks, their number and their combining class.",
     runs(combining_classes())),
])
write("UnicodeTables+Compatibility.swift", f"""\
/// What forms KC and KD add, as the `tokenizers` library has them (Unicode 9.0).
///
{ENTRIES}""", "extension UnicodeTables", [
    ("compatibility", "A scalar that has a compatibility decomposition, and what it becomes in form KD.",
     ([scalar] + parts for scalar, parts in compatibility())),
])
names = " ".join(CATEGORIES)
write("UnicodeTables+Categories.swift", f"""\
/// Which scalars are of one kind, as the `tokenizers` library has it.
///
{ENTRIES}""", f"""\
extension UnicodeTables {{
  /// The general categories, in the order of their numbers.
  static let categoryNames =
    "{names}"
}}

extension UnicodeTables""", [
    ("categories", "Runs of scalars from 0 on: general category, number of scalars (Oniguruma, Unicode 16.0).",
     categories()),
    ("numeric", "The first of neighbouring scalars that `Digits` looks for, and their number.",
     members_runs(numeric())),
    ("punctuation", "The first of neighbouring scalars that `Punctuation` looks for, and their number.",
     members_runs(sorted(members(pre_tokenizers.Punctuation("removed"))))),
    ("wordCharacters", "The first of neighbouring scalars that make up words, and their number.",
     members_runs(word_characters())),
    ("lowercase", "First scalar of a run, number, distance, and what the first becomes in lower case.",
     lowercase()),
    ("lowercaseExpansions", "A scalar that becomes several in lower case, and those.", expansions()),
])
