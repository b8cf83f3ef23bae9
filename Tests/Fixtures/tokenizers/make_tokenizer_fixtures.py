#!/usr/bin/env python3
"""Makes the tokenizer fixtures: small tokenizers of each kind in use, and reference ids.

Usage:
  make_tokenizer_fixtures.py                       rewrites the fixtures beside this script
  make_tokenizer_fixtures.py --tokenizer DIR OUT   reference ids of DIR/tokenizer.json into OUT,
                                                   for STATEX_TOKENIZER_CASES (see TokenizerTests)

texts.json holds the texts, NAME/expected.json what the library makes of them. Needs the PyPI package `tokenizers`; the committed
files were made with version 0.23.3.
"""

import json
import pathlib
import random
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
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
    "123", "'\u017f", "'RE", "\r\n", "\n ", "a1b2", "\u00bd", "!!", "X_y", "\u2028", "<mask>", "Word",
    "<|user|>", " \u01c5", "\ufb01",
]


def cases():
    """The texts, and texts of random pieces."""
    source = random.Random(1)
    mixed = ["".join(source.choices(PIECES, k=source.randint(1, 24))) for _ in range(60)]
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
    """What the template puts around a text, and of every text its ids without, and what all ids are decoded to if
    that is another text."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    before, after = template(tokenizer)
    cases = []
    for text in texts:
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        ids = tokenizer.encode(text, add_special_tokens=True).ids
        assert ids == before + plain + after
        decoded = tokenizer.decode(ids)
        cases.append({"ids": plain} | ({"decoded": decoded} if decoded != text else {}))
    return {"before": before, "after": after, "cases": cases}


def template(tokenizer):
    """The ids put before and after a text."""
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    ids = tokenizer.encode("a", add_special_tokens=True).ids
    start = next(i for i in range(len(ids)) if ids[i:i + len(plain)] == plain)
    return ids[:start], ids[start + len(plain):]


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


def words(name):
    """The pattern that a family splits by, as its own file has it."""
    contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    ends = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    before = r"[^\r\n\p{L}\p{N}]?"
    return {
        "llama-3": contractions + "|" + before + r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + ends,
        "qwen2": contractions + "|" + before + r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + ends,
        "o200k": f"{before}{upper}*{lower}+{contractions}?|{before}{upper}+{lower}*{contractions}?"
                 + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + ends,
        "deepseek-v3": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                       r"| ?[\p{P}\p{S}]+[\r\n]*" + ends,
    }[name]


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(pre_tokenizer, specials=("<|endoftext|>",), **options):
    """A byte-level tokenizer trained on the corpus."""
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(specials), show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def bytes_only(prefix=False):
    """ByteLevel that splits nothing."""
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)


def changed(tokenizer, **sections):
    """The tokenizer with sections of its file replaced, or changed by functions."""
    data = json.loads(tokenizer.to_str())
    for name, value in sections.items():
        data[name] = value(data[name]) if callable(value) else value
    return Tokenizer.from_str(json.dumps(data))


def thinned(model):
    """Tokens that merges do not reach: ignore_merges finds them as whole pieces."""
    kept = [merge for i, merge in enumerate(model["merges"]) if i % 5 != 3]
    return model | {"merges": kept}


def gpt2():
    special = AddedToken("<|endoftext|>", normalized=True)
    return byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), [special])


def neox():
    tokenizer = gpt2()
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_tokens(
        [AddedToken(" " * n, normalized=True, special=False) for n in range(24, 1, -1)])
    return tokenizer


def llama3():
    tokenizer = byte_level(
        pre_tokenizers.Sequence([split(words("llama-3")), bytes_only()]), [], ignore_merges=True)
    tokenizer = changed(tokenizer, model=thinned)
    tokenizer.add_special_tokens(["<s>", "<|endoftext|>", "<|user|>"])
    template = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return tokenizer


def qwen2():
    tokenizer = byte_level(pre_tokenizers.Sequence([split(words("qwen2")), bytes_only()]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(["<|user|>"])
    tokenizer.add_tokens([AddedToken("<s>", normalized=False), AddedToken("</s>", normalized=False)])
    return tokenizer


def starcoder():
    """SmolLM's are the same."""
    return byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))


def falcon():
    return byte_level(pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]))


def roberta():
    """A space before the first word, and a token that swallows the spaces around it."""
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), ["<s>", "</s>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("<|user|>", rstrip=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def o200k():
    """As tiktoken's converted files: what does not match is removed."""
    return byte_level(pre_tokenizers.Sequence([split(words("o200k"), "removed", invert=True), bytes_only()]))


def deepseek():
    return byte_level(pre_tokenizers.Sequence([
        split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), split(words("deepseek-v3")),
        bytes_only()]))


def bloom():
    """A normaliser of variants, a pattern with a nested set, and another behaviour."""
    tokenizer = byte_level(pre_tokenizers.Sequence([
        split(r" ?[^(\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+", "merged_with_previous"), bytes_only(True)]))
    tokenizer.normalizer = normalizers.NFKC()
    return tokenizer


BYTE_TOKENS = [f"<0x{byte:02X}>" for byte in range(256)]


def text_level(specials, limit=90, byte_fallback=True, fuse_unk=True):
    """A tokenizer of characters, trained with U+2581 for spaces; decoded as Llama's."""
    tokenizer = Tokenizer(
        models.BPE(unk_token="<unk>", fuse_unk=fuse_unk, byte_fallback=byte_fallback))
    trainer = trainers.BpeTrainer(
        vocab_size=644 + 256 * byte_fallback, special_tokens=specials + BYTE_TOKENS * byte_fallback,
        show_progress=False, limit_alphabet=limit)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.train_from_iterator([line.replace("\n", " ") for line in corpus()], trainer)
    strip = [decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    return changed(tokenizer, pre_tokenizer=None, added_tokens=lambda tokens: [
        token for token in tokens if token["content"] in specials])


def with_beginning(tokenizer, token="<s>"):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1",
        special_tokens=[(token, tokenizer.token_to_id(token))])
    return tokenizer


def sentencepiece():
    """Like Mistral-7B v0.1 and Llama-2."""
    tokenizer = text_level(["<unk>", "<s>", "</s>"])
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return with_beginning(tokenizer)


def phi3():
    """Special tokens that take the white space behind them along."""
    tokenizer = sentencepiece()
    tokenizer.add_special_tokens([AddedToken("<|user|>", rstrip=True), AddedToken("<|endoftext|>", rstrip=True)])
    return tokenizer


def metaspace_first():
    tokenizer = text_level(["<unk>", "<s>", "</s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return with_beginning(tokenizer)


def metaspace_always():
    """Words that are pieces; unknown characters, one token each."""
    tokenizer = text_level(["<unk>", "<s>", "</s>"], limit=40, byte_fallback=False, fuse_unk=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always", split=True)
    return tokenizer


def metaspace_never():
    tokenizer = text_level(["<unk>", "<s>", "</s>"], limit=40, byte_fallback=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Metaspace(prepend_scheme="never", split=True)])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never", split=True)
    return tokenizer


def gemma():
    tokenizer = text_level(["<pad>", "</s>", "<s>", "<unk>"])
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in
                          ["\n\n", "\n\n\n", "\u2581\u2581", "\u2581\u2581\u2581", "<|user|>"]])
    return with_beginning(tokenizer)


def lowercase():
    """Normalisers one after the other, tokens that are looked for behind them, and no decoder."""
    tokenizer = text_level(["<unk>"], byte_fallback=False)
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Strip(), normalizers.NFKD(), normalizers.Lowercase(),
        normalizers.Replace(Regex(r"\s+"), " "), normalizers.Replace(" ", "\u2581")])
    tokenizer.add_tokens([AddedToken("Word", single_word=True), AddedToken("X_y"), AddedToken("<mask>", lstrip=True)])
    tokenizer.decoder = decoders.Fuse()
    return changed(tokenizer, decoder=None)


def crossing():
    """Merges across words, and the decomposition of characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Replace("\u2581", " ")
    tokenizer.train_from_iterator(
        corpus(), trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>"], show_progress=False))
    return tokenizer


KINDS = {
    "byte-level": gpt2, "byte-level-nfc": neox, "llama-3": llama3, "qwen2": qwen2, "starcoder": starcoder,
    "falcon": falcon, "roberta": roberta, "o200k": o200k, "deepseek-v3": deepseek, "bloom": bloom,
    "sentencepiece": sentencepiece, "phi-3": phi3, "metaspace": metaspace_first, "metaspace-always": metaspace_always,
    "metaspace-never": metaspace_never, "gemma": gemma, "lowercase": lowercase, "crossing": crossing,
}


def write(path, value):
    path.write_text(json.dumps(value, separators=(",", ":")))


def main():
    if sys.argv[1:2] == ["--tokenizer"]:
        tokenizer = Tokenizer.from_file(sys.argv[2] + "/tokenizer.json")
        texts = cases()
        write(pathlib.Path(sys.argv[3]), {"texts": texts} | reference(tokenizer, texts))
        return
    write(HERE / "texts.json", cases())
    for name, maker in KINDS.items():
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        tokenizer = maker()
        (folder / "tokenizer.json").write_text(tokenizer.to_str())
        known = [token for token in ("<s>", "<|endoftext|>", "</s>") if tokenizer.token_to_id(token) is not None]
        config = {"bos_token": known[0], "eos_token": {"__type": "AddedToken", "content": known[-1]}} if known else {}
        write(folder / "tokenizer_config.json", config)
        write(folder / "expected.json", reference(tokenizer, cases()))
    neox_file = Tokenizer.from_file(str(HERE / "byte-level-nfc" / "tokenizer.json"))
    write(HERE / "byte-level-nfc" / "form-c.json", {"texts": form_c_cases()} | reference(neox_file, form_c_cases()))


if __name__ == "__main__":
    main()
