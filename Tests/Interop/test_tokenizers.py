"""Ids and decoded texts of every kind of tokenizer: ours and those of the `tokenizers` library, document by document.

The small tokenizers of Tests/Fixtures are always compared, those in the subdirectories of STATEX_TOKENIZERS (large,
real ones) where it is set. STATEX_DOCUMENTS changes the number of documents, which is 10000, and STATEX_SEED the texts.
"""

import os
import random
import unicodedata
from pathlib import Path

import pytest

from conftest import TESTS
from tokenizer_documents import Writer, differences

FIXTURES = sorted(path.parent for path in TESTS.glob("Fixtures/tokenizers/*/tokenizer.json"))
REAL = sorted(path.parent for path in Path(os.environ.get("STATEX_TOKENIZERS", "/nonexistent")).glob("*/tokenizer.json"))


@pytest.fixture(scope="session")
def documents():
    return Writer(int(os.environ.get("STATEX_SEED", "1"))).documents(int(os.environ.get("STATEX_DOCUMENTS", "10000")))


@pytest.fixture(scope="session")
def probe(program):
    path = Path(program).parent / "tokenizer-probe"
    if not path.exists():
        pytest.skip("tokenizer-probe is not built")
    return path


@pytest.mark.parametrize("directory", FIXTURES + REAL, ids=lambda directory: directory.name)
def test_documents_agree(directory, probe, documents):
    found = differences(probe, directory / "tokenizer.json", documents)
    assert not found, f"{len(found)} of {len(documents)} documents differ, the first:\n" + "\n".join(found[:3])


# All but some ideographs and most of what is unassigned or for private use.
SCALARS = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000
           and (c < 0x20000 or 0xE0000 <= c < 0xE0200 or c % 61 == 0)]
# Kinds that between them have every normalisation form, lower case, digits, punctuation and all the categories.
UNICODE_KINDS = ["bloom", "byte-level-nfc", "crossing", "falcon", "llama-3", "lowercase", "o200k", "starcoder"]


def scalars_in_context():
    """Those scalars between letters and on a line of its own, and those that take part in normalisation with neighbours."""
    for first in range(0, len(SCALARS), 512):
        yield "\n".join(f"a{chr(c)}b\n{chr(c)}" for c in SCALARS[first:first + 512])
    active = [
        chr(c) for c in SCALARS if not 0xAC00 <= c < 0xD7A4
        and (unicodedata.combining(chr(c)) or unicodedata.normalize("NFKD", chr(c)) != chr(c))
    ] + [chr(c) for c in range(0x1100, 0x1200)]
    for before, after in [("e", ""), ("", "\u0301"), ("\u0345", ""), ("\u0f71", "\u0334"),
                          ("\uac00", "\u11a8"), ("\uac01", ""), ("\u1100", "\u1161"), ("", "e")]:
        for first in range(0, len(active), 512):
            yield "\n".join(before + c + after for c in active[first:first + 512])
    source = random.Random(4)
    pool = active + list("aeiou \uac00\uac01\ud55c\u09c7\u3046") * 100
    for _ in range(2000):
        yield "".join(source.choices(pool, k=source.randint(1, 40)))


@pytest.mark.parametrize("name", UNICODE_KINDS)
def test_every_scalar_is_read_alike(name, probe):
    texts = [text.encode() for text in scalars_in_context()]
    found = differences(probe, TESTS / "Fixtures" / "tokenizers" / name / "tokenizer.json", texts)
    assert not found, f"{len(found)} of {len(texts)} texts differ, the first:\n" + "\n".join(found[:3])
