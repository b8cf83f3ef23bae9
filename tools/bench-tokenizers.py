#!/usr/bin/env python3
"""Encoding speed of every kind of tokenizer beside the `tokenizers` library, one thread each.

    tools/bench-tokenizers.py --bin .build/release [--vocabularies DIR] [--rounds 5] [--seconds 1] [FILE ...]

The kinds are those of Tests/Fixtures/tokenizers. Their vocabularies are tiny; with --vocabularies, a directory that
holds gpt2/tokenizer.json and mistral-7b-v0.1/tokenizer.json, each kind gets one of these instead (its
normalisers, pre-tokenizers and added tokens stay), and the files there are measured as they are, too.
The text is FILE ..., by default the project's own sources and documentation, in documents of 16 kB. Both
programs encode all documents in turn, for --seconds each, --rounds times; the fastest pass of a round counts, by processor
time, so that other work on the machine matters little. The table gives medians, and the median, smallest and largest
ratio of a round. Needs the package `tokenizers`.
"""

import argparse
import json
import os
import pathlib
import statistics
import struct
import subprocess
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402  (reads the variables above)

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT = 16384


def documents(files):
    """The files' text in documents."""
    if not files:
        names = subprocess.run(["git", "ls-files", "*.md", "*.swift", "*.py", "*.sh"], cwd=ROOT, check=True,
                               capture_output=True, text=True).stdout.split()
        files = [ROOT / name for name in names if "UnicodeTables" not in name]
    text = "".join(pathlib.Path(file).read_text(errors="replace") for file in files)
    return [text[i:i + DOCUMENT] for i in range(0, len(text), DOCUMENT)]


def kinds(vocabularies, scratch):
    """Name and file of every tokenizer to measure."""
    for path in sorted((ROOT / "Tests/Fixtures/tokenizers").glob("*/tokenizer.json")):
        name = path.parent.name
        if not vocabularies:
            yield name, path
            continue
        kind = json.loads(path.read_text())
        alphabet = "gpt2" if "ByteLevel" in json.dumps(kind["decoder"]) else "mistral-7b-v0.1"
        model = json.loads((vocabularies / alphabet / "tokenizer.json").read_text())["model"]
        kind["model"] |= {"vocab": model["vocab"], "merges": model["merges"]}
        target = scratch / f"{name}.json"
        target.write_text(json.dumps(kind))
        yield name, target
    if vocabularies:
        for path in sorted(vocabularies.glob("*/tokenizer.json")):
            yield path.parent.name, path


def library_speed(tokenizer, texts, size, seconds):
    """Bytes a second of the fastest pass."""
    best, end = 0, time.process_time() + seconds
    while True:
        start = time.process_time()
        tokenizer.encode_batch_fast(texts)
        best = max(best, size / (time.process_time() - start))
        if time.process_time() > end:
            return best


def our_speed(probe, path, frames, seconds):
    """The same, by our program."""
    done = subprocess.run([probe, "time", path, str(seconds)], input=frames, capture_output=True, check=True)
    return max(map(float, done.stdout.split()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--vocabularies", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    texts = documents(options.files)
    encoded = [text.encode() for text in texts]
    frames = b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    size = sum(map(len, encoded))
    print(f"{len(texts)} documents, {size / 1e6:.1f} MB\n")
    print("| kind | statex MB/s | tokenizers MB/s | ratio | smallest | largest |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in kinds(options.vocabularies, pathlib.Path(scratch)):
            if options.only and name not in options.only:
                continue
            reference = Tokenizer.from_file(str(path))
            reference.no_truncation()
            pairs = [(our_speed(options.bin / "tokenizer-probe", path, frames, options.seconds),
                      library_speed(reference, texts, size, options.seconds)) for _ in range(options.rounds)]
            ours, theirs = (statistics.median(side) / 1e6 for side in zip(*pairs))
            ratios = sorted(a / b for a, b in pairs)
            print(f"| {name} | {ours:.1f} | {theirs:.2f} | {statistics.median(ratios):.1f} | {ratios[0]:.1f} | {ratios[-1]:.1f} |",
                  flush=True)


main()
