#!/usr/bin/env python3
"""Speed of the whole `statex data tokenize` beside the `tokenizers` library on the same file, in one run.

    tools/bench-tokenizing.py --bin .build/release --tokenizer DIR [--rounds 5] [--megabytes 64] [FILE ...]

FILE ... is text, by default the project's own sources and documentation, cut into documents of 16 kB and repeated
up to --megabytes of a .jsonl file. Per round, in turn: `statex data tokenize` on one thread and on two (reading, JSON,
encoding, writing the pair and its manifest); the library's `encode_batch` of the same texts, which are in
memory already, on one thread and on two. The table gives medians by wall time and by processor time, and of every pair
in a round the median, smallest and largest ratio. Needs the package `tokenizers`.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCUMENT = 16384


def documents(files, size):
    """Texts of `size` bytes in all, about."""
    if not files:
        names = subprocess.run(["git", "ls-files", "*.md", "*.swift", "*.py", "*.sh"], cwd=ROOT, check=True,
                               capture_output=True, text=True).stdout.split()
        files = [ROOT / name for name in names if "UnicodeTables" not in name]
    text = "".join(pathlib.Path(file).read_text(errors="replace") for file in files)
    once = [text[i:i + DOCUMENT] for i in range(0, len(text), DOCUMENT)]
    copies = max(1, round(size / len(text.encode())))
    return once * copies


def measured(command, **options):
    """Wall and processor seconds of a command, and what it printed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, check=True, capture_output=True, text=True, **options)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def ours(binary, tokenizer, corpus, output, threads):
    """Wall and processor seconds of the whole command."""
    return measured([binary / "statex", "data", "tokenize", corpus, "--tokenizer", tokenizer, "--output", output,
                     "--threads", str(threads), "--overwrite"])[:2]


def theirs(tokenizer, corpus, threads):
    """Wall and processor seconds of `encode_batch` alone, in a process whose threads are set."""
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads),
                                "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}
    text = measured([sys.executable, __file__, "--encode", corpus, tokenizer], env=environment)[2]
    return tuple(map(float, text.split()))


def encode(corpus, tokenizer):
    """What `theirs` runs."""
    from tokenizers import Tokenizer
    reference = Tokenizer.from_file(str(pathlib.Path(tokenizer) / "tokenizer.json"))
    reference.no_truncation()
    with open(corpus, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    wall, processor = time.monotonic(), time.process_time()
    for first in range(0, len(texts), 1000):
        reference.encode_batch(texts[first:first + 1000])
    print(time.monotonic() - wall, time.process_time() - processor)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--encode", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    if options.encode:
        return encode(*options.encode)
    texts = documents(options.files, options.megabytes * 1e6)
    size = sum(len(text.encode()) for text in texts) / 1e6
    load = os.getloadavg()[0]
    print(f"{len(texts)} documents, {size:.1f} MB of text; load of the machine at the start: {load:.1f}\n")
    print("| tokenizer | threads | statex MB/s | tokenizers MB/s | ratio | smallest | largest | by processor time |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        corpus = pathlib.Path(scratch) / "corpus.jsonl"
        corpus.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
        for tokenizer in options.tokenizer:
            rounds = {1: [], 2: []}
            for _ in range(options.rounds):
                for threads, pairs in rounds.items():
                    pairs.append((ours(options.bin, tokenizer, corpus, pathlib.Path(scratch) / "out", threads),
                                  theirs(tokenizer, corpus, threads)))
            for threads, pairs in rounds.items():
                speeds = [size / statistics.median(side[0] for side in sides) for sides in zip(*pairs)]
                ratios = sorted(their[0] / our[0] for our, their in pairs)
                processor = statistics.median(their[1] / our[1] for our, their in pairs)
                print(f"| {tokenizer.name} | {threads} | {speeds[0]:.1f} | {speeds[1]:.2f} | "
                      f"{statistics.median(ratios):.1f} | {ratios[0]:.1f} | {ratios[-1]:.1f} | {processor:.1f} |", flush=True)
            two = statistics.median(one[0][0] / both[0][0] for one, both in zip(rounds[1], rounds[2]))
            print(f"\n{tokenizer.name}: two threads are {two:.2f} times one\n")


main()
