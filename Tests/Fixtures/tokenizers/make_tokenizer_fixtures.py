#!/usr/bin/env python3
"""Makes the tokenizer fixtures: small tokenizers of each supported kind, and reference ids.

Usage:
  make_tokenizer_fixtures.py                       rewrites the fixtures beside this script
  make_tokenizer_fixtures.py --tokenizer DIR OUT   reference ids of DIR/tokenizer.json into OUT,
                                                   for STATEX_TOKENIZER_CASES (see TokenizerTests)

Needs the PyPI package `tokenizers`; the committed files were made with version 0.23.3.
"""

import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

HERE = pathlib.Path(__file__).resolve().parent

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "\n\n\n",
    " \n \n",
    "a",
    " a",
    "a ",
    "  a  b   c    d",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog.",
    "I'll say it's what we've said; they're here, I'm sure he'd agree, isn't it? 'tis 'S 'LL",
    "1234567890 12 345 3.14159 1,000,000 \u00bd \u2167 \u0663\u0664",
    "tabs\tand\r\nnewlines\n\n  indented\n\t\tmore\u00a0nbsp\u3000wide\u2009thin",
    "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m stra\u00dfe",
    "nai\u0308ve cafe\u0301 A\u030angstro\u0308m q\u0323\u0307",
    "\u212b \u2126 \ufb01 \u1e9b\u0323 \u0958 \uac00 \u1100\u1161\u11a8 \u304b\u3099",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u4e2d\u6587\u5b57\u7b26 \ud55c\uad6d\uc5b4",
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac"
    " \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05d1\u05e8\u05d9\u05ea \u0939\u093f\u0928",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001d518",
    "<s> </s> <unk> <|endoftext|><|endoftext|> x<|endoftext|>y <|padding|> <0x41>",
    "\u2581already\u2581marked \u2581 here",
    "if (x == 0) {\n    return foo[i] += 1;  // comment\n}\n\n\n        deep\n",
    "http://example.com/a?b=c&d=%20#frag user@example.org",
    "\u0000\u0001\u007f\u0080\ufeff\ufffd\ue000\U0010ffff",
    "a" * 300,
    "ab" * 200 + " " + "\u65e5\u672c" * 120,
    "word" * 100 + "\n" + " " * 150 + "end",
    "don''t ''s '' ' s '\u00e9",
    "...!!!???---___***   ###",
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize it."
    "\n\nThe grass is green. The sky is blue. The passkey is 01234. Remember it.\n",
]

PIECES = [
    "the", " the", " of", "ing", " 12", "7", "'s", "'", " ", "  ", "\n", "\t", "\u00e9", "e\u0301",
    "\u4e2d", "\u3042\u3099", "\U0001f600", "-", ".", ",", " (", "A", "Zebra", "\u2581", "\u00a0",
    "<s>", "</s>", "<|endoftext|>", "<|endo", "    ", "\u0301", "\uac01", "\u05d0", "\u00b2",
]


def cases():
    """The texts, and texts of random pieces."""
    source = random.Random(1)
    mixed = ["".join(source.choices(PIECES, k=source.randint(1, 24))) for _ in range(120)]
    return TEXTS + mixed


# Where normalisation form C is hard: trailing jamo after a syllable, jamo outside the modern range, marks
# that decompose, marks that the library's Unicode version does not know.
FORM_C_TEXTS = [
    "\ub77c\u11ab", "\ub93c\u11c1", "\u1100\u1176", "\u1113\u116c", "\u1100\u1161\u11a7",
    "\u110b\u1170\u11c3", "\u0f18\u0f73", "\u0f74\u0f75", "\u0f80\u0f81", "\u0eb9\u0eba",
    "\u0898\u0899", "\u08ce\u08cf", "\u1ac9\u1aca", "\u1df9\u1dfa", "\U00010f84\U00010f85",
    "\U00011839\U0001183a", "\U00011935\U00011930",
]


def form_c_cases():
    """Those texts, and random ones of scalars that take part in normalisation."""
    source = random.Random(3)
    pool = [
        c for c in range(0x300, 0x30000) if not 0xAC00 <= c < 0xE000
        and (unicodedata.combining(chr(c)) or unicodedata.normalize("NFD", chr(c)) != chr(c))
    ]
    pool += list(range(0x1100, 0x1200)) * 2 + source.sample(range(0xAC00, 0xD7A4), 300)
    pool += list(map(ord, "aeiouAEIOU \u09c7\u0b47\u3046\u0f71")) * 20
    return FORM_C_TEXTS + [
        "".join(map(chr, source.choices(pool, k=source.randint(1, 8)))) for _ in range(400)]


def reference(tokenizer, texts):
    """Ids and decoded texts of every case."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    result = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=True).ids
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        result.append({"text": text, "ids": ids, "plain": plain, "decoded": tokenizer.decode(ids)})
    return result


def corpus():
    """A few kilobytes of varied text to train on."""
    source = random.Random(2)
    words = (
        "the of and to in is that it was for on are as with his they at be this have from or one "
        "had by word but not what all were we when your can said there use an each which she do "
        "how their if will up other about out many then them these so some her would make like him "
        "into time has look two more write go see number no way could people my than first water "
        "been call who oil its now find long down day did get come made may part grass green sky "
        "blue sun yellow passkey remember important info hidden caf\u00e9 na\u00efve \u4e2d\u6587 "
        "\u65e5\u672c \u0440\u0443\u0441 1984 2024 12345 don't it's we'll x = 0; return foo(i)"
    ).split()
    return [
        " ".join(source.choices(words, k=40)) + source.choice([".\n", "\n\n", "  \n", "!"])
        for _ in range(300)
    ]


def gpt2():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken("<|endoftext|>", normalized=True)], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}


def neox():
    tokenizer, config = gpt2()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens(
        [AddedToken(" " * n, normalized=True, special=False) for n in range(24, 1, -1)])
    return tokenizer, config


def sentencepiece(metaspace):
    """Like Mistral-7B v0.1; with `metaspace` the marker is made by a pre-tokenizer instead."""
    tokenizer = Tokenizer(
        models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    specials = ["<unk>", "<s>", "</s>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=specials + byte_tokens, show_progress=False,
        limit_alphabet=90)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.train_from_iterator(
        [line.replace("\n", " ") for line in corpus()], trainer)
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [t for t in data["added_tokens"] if t["content"] in specials]
    if metaspace:
        data["pre_tokenizer"] = {
            "type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
    else:
        data["pre_tokenizer"] = None
        data["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    data["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return tokenizer, {"bos_token": "<s>", "eos_token": {"content": "</s>"}}


def main():
    if sys.argv[1:2] == ["--tokenizer"]:
        tokenizer = Tokenizer.from_file(sys.argv[2] + "/tokenizer.json")
        pathlib.Path(sys.argv[3]).write_text(json.dumps(reference(tokenizer, cases())))
        return
    makers = {
        "byte-level": gpt2, "byte-level-nfc": neox,
        "sentencepiece": lambda: sentencepiece(False), "metaspace": lambda: sentencepiece(True),
    }
    for name, maker in makers.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        tokenizer, config = maker()
        (folder / "tokenizer.json").write_text(tokenizer.to_str())
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        (folder / "cases.json").write_text(json.dumps(reference(tokenizer, cases())))
        if name == "byte-level-nfc":
            (folder / "form-c.json").write_text(json.dumps(reference(tokenizer, form_c_cases())))


main()
