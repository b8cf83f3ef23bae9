"""Writes Sources/TokenData/UnicodeTables.swift: normalisation form C as the `tokenizers` library has it.

The library's tables are those of an older Unicode version (9.0) than Python's or the operating system's, and
its answers are what a model was trained with. So the tables are read off the library itself: what a scalar
decomposes into, which pairs compose, and which combining class a mark has (by whether it trades places
with marks of known classes). Python's unicodedata only says which scalars to ask about.

    python3 tools/make_unicode_tables.py > Sources/TokenData/UnicodeTables.swift     # needs tokenizers
"""

import unicodedata

import tokenizers
from tokenizers import normalizers

FORM_D = normalizers.NFD().normalize_str
FORM_C = normalizers.NFC().normalize_str
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


print(f"""\
// Made by tools/make_unicode_tables.py from tokenizers {tokenizers.__version__}. Do not edit.

/// Unicode's tables for normalisation form C, as the `tokenizers` library has them (Unicode 9.0).
///
/// Entries are separated by white space, and an entry's numbers, in hexadecimal, by commas. Hangul
/// syllables are left out: they are computed.
enum UnicodeTables {{
  /// A scalar that is no composition, and what it decomposes into completely.
  static let decompositions = \"\"\"
{literal([scalar] + parts for scalar, parts in decompositions())}
    \"\"\"

  /// A scalar, and the two that compose to it.
  static let compositions = \"\"\"
{literal([scalar] + pair for scalar, pair in compositions())}
    \"\"\"

  /// The first of neighbouring marks, their number and their combining class.
  static let combiningClasses = \"\"\"
{literal(runs(combining_classes()))}
    \"\"\"
}}""")
