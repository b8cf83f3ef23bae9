"""Normalisation form C: every Unicode scalar, and those that take part with neighbours, as `tokenizers` has it."""

import json
import random
import unicodedata

import numpy
from tokenizers import Tokenizer

from conftest import TESTS

FIXTURE = TESTS / "Fixtures" / "tokenizers" / "byte-level-nfc"
SCALARS = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]


def texts():
    """Every scalar on a line of its own, and hard neighbourhoods."""
    for first in range(0, len(SCALARS), 512):
        yield "\n".join(map(chr, SCALARS[first:first + 512]))
    active = [
        chr(c) for c in SCALARS if not 0xAC00 <= c < 0xD7A4
        and (unicodedata.combining(chr(c)) or unicodedata.normalize("NFD", chr(c)) != chr(c))
    ] + [chr(c) for c in range(0x1100, 0x1200)]
    for before, after in [("e", ""), ("", "\u0301"), ("\u0345", ""), ("\u0f71", "\u0334"),
                          ("\uac00", "\u11a8"), ("\uac01", ""), ("\u1100", "\u1161"), ("", "e")]:
        for first in range(0, len(active), 512):
            yield "\n".join(before + c + after for c in active[first:first + 512])
    source = random.Random(4)
    pool = active + list("aeiou \uac00\uac01\ud55c\u09c7\u3046") * 100
    for _ in range(2000):
        yield "".join(source.choices(pool, k=source.randint(1, 40)))


def documents(prefix):
    """The documents of a data set that one document is one sequence of."""
    index = (prefix.parent / (prefix.name + ".idx")).read_bytes()
    count = int.from_bytes(index[18:26], "little")
    lengths = numpy.frombuffer(index, "<i4", count, 34)
    tokens = numpy.fromfile(prefix.parent / (prefix.name + ".bin"), "<u2")
    return numpy.split(tokens, numpy.cumsum(lengths)[:-1])


def test_every_scalar_is_normalised_alike(command, tmp_path):
    every = list(texts())
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in every))
    command("statex", "data", "tokenize", tmp_path / "in.jsonl", "--tokenizer", FIXTURE,
            "--output", tmp_path / "out")
    reference = Tokenizer.from_file(str(FIXTURE / "tokenizer.json"))
    expected = [encoding.ids + [0] for encoding in reference.encode_batch(every)]
    found = [list(map(int, document)) for document in documents(tmp_path / "out")]
    assert len(found) == len(expected)
    different = [text for text, a, b in zip(every, found, expected) if a != b]
    assert not different, f"{len(different)} differ, the first: {ascii(different[0])}"
