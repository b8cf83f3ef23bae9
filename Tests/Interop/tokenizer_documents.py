"""Documents that are hard for tokenizers, and what our tokenizers and the `tokenizers` library make of them."""

import random
import struct
import subprocess
import unicodedata

from tokenizers import Tokenizer

WORDS = (
    "the of and to in is that it was for on are as with his they at be this have from or one had by word but not what "
    "all were we when your can said there use an each which she do how their if will up other about out many then them "
    "these so some her would make like him into time has look two more write go see number no way could people my than "
    "first water been call who oil its now find long down day did get come made may part don't it's we'll they're I've "
    "I'M HE'LL cafe\u0301 na\u00efve \u00c5ngstr\u00f6m stra\u00dfe Word X_y").split()
CODE = ["if (x == 0) {\n", "    return foo[i] += 1;  // comment\n", "}\n\n", "\t\tfor i in range(10):\n", "#include <a.h>\r\n",
        "def f(self, *args):\n", "        ", "a->b::c", "0xFF", "&&", "<!-- x -->", "$$", "\\n", "/* */", "user@example.org"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\r", "\n\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\u200b", "\ufeff",
          "\u1680", "\u202f", "\x0b", "\x0c"]
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<|endoftext|>", "<|user|>", "<mask>", "<|endo", "<0x41>", "<0x0A>", "\u2581",
           "\u2581\u2581", "\u0120", "\u010a", "<<s>>", "<s", "WORD", "word", "x_y", "\u2581Word"]
MARKS = [chr(c) for c in range(0x300, 0x370)] + ["\u3099", "\u200d", "\ufe0f", "\u0f71", "\u0345", "\u20dd", "\u1ab0"]
JAMO = "\u1100\u1161\u11a8\uac00\uac01\uff76\uff9e\u3131\u314f"
ODD = ["\u017f", "'\u017f", "\u212a", "'S", "'\u0131", "\u0130", "\u03a3\u03c2", "\u01c5", "\ufb01", "\ufb05", "\u2167", "\u00b2",
       "\u00bd", "\u0663", "\u0e51", "\U0001d7d8", "\U00011de0", "\U00016ff4", "\u4e00", "\ufdfa", "\u320f", "\u33a5", "\u212b"]


def by_category():
    """Some scalars of every general category."""
    kinds = {}
    for scalar in range(0x20, 0x110000):
        if not 0xD800 <= scalar < 0xE000:
            kinds.setdefault(unicodedata.category(chr(scalar)), []).append(chr(scalar))
    return kinds


class Writer:
    """Makes documents, the same for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = by_category()
        self.names = sorted(self.kinds)
        self.makers = [
            self.prose, self.code, self.digits, self.ideographs, self.emoji, self.marks, self.controls, self.spaces,
            self.specials, self.categories, self.odd, self.mixture, self.mixture, self.broken]

    def some(self, pool, most, joint=""):
        return joint.join(self.random.choices(pool, k=self.random.randint(1, most)))

    def prose(self):
        return self.some(WORDS, 60, self.random.choice([" ", " ", ", ", "  ", "'", "-"])) + self.random.choice(["", ".", "\n"])

    def code(self):
        return self.some(CODE + WORDS[:9], 20)

    def digits(self):
        return self.some("0123456789" * 3 + " .,+-eE\u0663\u00b2\u00bd", 60)

    def ideographs(self):
        pool = [chr(self.random.randint(*self.random.choice(
            [(0x4E00, 0x9FFF), (0x3041, 0x30FF), (0xAC00, 0xD7A3), (0x20000, 0x2A6DF), (0x30000, 0x3134A)])))
            for _ in range(30)]
        return self.some(pool + ["\u3002", "\uff0c", "a", " ", "1"], 80)

    def emoji(self):
        pool = [chr(self.random.randint(0x1F300, 0x1FAFF)) for _ in range(20)]
        return self.some(pool + ["\u200d", "\ufe0f", "\U0001f3fd", "\U0001f1e9\U0001f1ea", " ", "ok"], 40)

    def marks(self):
        return self.some(list("aeiouAEIOUnc ") + MARKS + list(JAMO) * 3, 60)

    def controls(self):
        return self.some([chr(c) for c in range(0x20)] + ["\x7f", "\x80", "\x9f", "\u2060", "\u202e", "\ufffd", "\ufffe", "\U0010ffff",
                                                          "\ue000", "a", "b ", "\n"], 60)

    def spaces(self):
        return self.some(SPACES * 2 + [" " * self.random.randint(3, 40), "\n" * self.random.randint(2, 9), "a", ".", "1"], 30)

    def specials(self):
        return self.some(SPECIAL * 2 + ["a", " ", "  ", "Word", "X_y", "\n"], 30)

    def categories(self):
        return self.some([self.random.choice(self.kinds[self.random.choice(self.names)]) for _ in range(40)], 60)

    def odd(self):
        return self.some(ODD * 2 + ["a", "A", " ", "s", "1", "'", "\n"], 40)

    def mixture(self):
        return "".join(self.random.choice(self.makers[:11])()[:self.random.randint(1, 25)] for _ in range(self.random.randint(1, 8)))

    def broken(self):
        """Bytes that are no UTF-8, or are it only in parts."""
        whole = bytearray(self.mixture().encode())
        for _ in range(self.random.randint(1, 6)):
            if whole:
                place = self.random.randrange(len(whole))
                if self.random.random() < 0.5:
                    whole[place] = self.random.randrange(256)
                else:
                    del whole[place]
        return bytes(whole)

    def long(self):
        """Words of about 100 kB, and as long runs of one kind."""
        yield from ("a" * 100_000, "ab" * 50_000 + " x", " " * 100_000, " " * 50_000 + "a", "\n" * 50_000, "1" * 100_000,
                    "\u4e2d" * 30_000, "\u0301" * 30_000, "!" * 100_000, "\u2581" * 30_000, "\x00" * 50_000, "\U0001f600" * 20_000)
        for pool in ("abcdefghij", "the", "aAbB1'", "\u00e9\u4e2da", " \n\t", "-_.="):
            yield "".join(self.random.choices(pool, k=60_000))
        yield "".join(self.random.choices(WORDS, k=20_000))

    def documents(self, count):
        """`count` documents as bytes, the long ones among them."""
        result = ["", *self.long()]
        while len(result) < count:
            result.append(self.random.choice(self.makers)())
        self.random.shuffle(result)
        return [document if isinstance(document, bytes) else document.encode() for document in result]


def framed(documents):
    """Documents as tokenizer-probe reads them."""
    return b"".join(struct.pack("<I", len(document)) + document for document in documents)


def answers(probe, path, documents):
    """Ids, decoded text and the decoded last two thirds of each document, by our program."""
    done = subprocess.run([str(probe), "ids", str(path)], input=framed(documents), capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    offset = 0

    def take():
        nonlocal offset
        count = struct.unpack_from("<i", done.stdout, offset)[0]
        offset += 4
        return count

    for _ in documents:
        count = take()
        ids = list(struct.unpack_from(f"<{count}i", done.stdout, offset))
        offset += 4 * count
        texts = []
        for _ in range(2):
            count = take()
            texts.append(done.stdout[offset:offset + count].decode())
            offset += count
        yield ids, *texts
    assert offset == len(done.stdout)


def expected(path, documents):
    """The same by the library."""
    reference = Tokenizer.from_file(str(path))
    reference.no_truncation()
    reference.no_padding()
    texts = [document.decode(errors="replace") for document in documents]
    ids = [encoding.ids for encoding in reference.encode_batch_fast(texts)]
    return zip(ids, reference.decode_batch(ids), reference.decode_batch([one[len(one) // 3:] for one in ids]))


def differences(probe, path, documents):
    """A line for every document that the two disagree on."""
    result = []
    pairs = zip(documents, answers(probe, path, documents), expected(path, documents))
    for document, ours, theirs in pairs:
        if ours != theirs:
            what = "ids" if ours[0] != theirs[0] else "decoded text"
            result.append(f"{what} of {ascii(document.decode(errors='replace'))[:300]}: {str(ours)[:300]}, not {str(theirs)[:300]}")
    return result
