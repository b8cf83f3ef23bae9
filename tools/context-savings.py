#!/usr/bin/env python3
"""What reading common starts of texts once saves, and the memory of long prompts.

    .venv-interop/bin/python tools/context-savings.py --bin .build/release [--questions 16] [--rounds 3]

Makes a random Mamba2 of the shape in configs/bench and a task file of questions with four choices about one document of
some thousand bytes. It is measured as it is, with a document for each question (choices still share theirs), and with a
document for each choice (nothing is shared). The three take turns; ratios are medians over the rounds. Then it prints
the largest resident memory of `statex generate` for prompts of growing length.
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# In the place of this folder, whose profile.py is not Python's own.
sys.path[:1] = [str(ROOT / "Tests" / "Fixtures" / "mamba2"), str(ROOT / "Tests" / "Interop")]

import make_mamba2_fixtures  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402

WORDS = "shadow engine forest music candle letter stone silver village orange window lamp bridge".split()


def text(rng, size):
    words = []
    while sum(map(len, words)) + len(words) < size:
        words.append(rng.choice(WORDS))
    return " ".join(words)


def write_task(folder, options, sharing):
    """One document for all questions, for each question, or for each choice."""
    rng = random.Random(0)
    document = text(rng, options.bytes)
    rows = []
    for number in range(options.questions):
        question = f"\nQuestion {number}: {text(rng, 60)}\nAnswer:"
        choices = [text(rng, 20) for _ in range(4)]
        row = dict(id=number, gold=rng.randrange(4))
        if sharing == "all":
            row |= dict(context=document + question, choices=choices)
        elif sharing == "question":
            row |= dict(context=f"{number:03d} {document}{question}", choices=choices)
        else:
            row |= dict(contexts=[f"{number:03d}{letter} {document}{question} {choice}"
                                  for letter, choice in zip("abcd", choices)], continuation="yes")
        rows.append(row)
    task = folder / sharing
    task.mkdir()
    definition = dict(format="statex-task/1", name=sharing, kind="multiple_choice", metrics=["acc"])
    (task / "task.json").write_text(json.dumps(definition))
    (task / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return task


def measure(options, model, task, folder):
    report = folder / "report.json"
    start = time.perf_counter()
    subprocess.run([options.bin / "statex", "evaluate", "--model", model, "--tokenizer", "byte", "--task-file", task,
                    "--threads", str(options.threads), "--json", report], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, json.loads(report.read_text())["tasks"][task.name]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--bytes", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    fields = yaml.safe_load((ROOT / "configs" / "bench" / "mamba2-1024.yaml").read_text())["model"]["config"]
    fields.pop("model_type")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_mamba2_fixtures.write_model(folder / "model", fields, "ordinary", np.random.default_rng(0))
        tasks = {name: write_task(folder, options, name) for name in ("all", "question", "choice")}
        times = {name: [] for name in tasks}
        for _ in range(options.rounds):
            for name, task in tasks.items():
                seconds, found = measure(options, folder / "model", task, folder)
                times[name].append(seconds)
                work = found["tokens"], found["computed_tokens"]
                if len(times[name]) == 1:
                    print(f"{name:9} {work[0]:8} tokens asked {work[1]:8} computed", flush=True)
        for name in ("question", "all"):
            ratios = [slow / fast for slow, fast in zip(times["choice"], times[name])]
            print(f"one document for {name:9} {statistics.median(ratios):5.2f} times as fast as one for each choice "
                  f"({min(ratios):.2f} to {max(ratios):.2f})")
        for size in (3_000, 30_000, 300_000):
            (folder / "prompt").write_text(text(random.Random(1), size))
            subprocess.run([options.bin / "statex", "generate", "--model", folder / "model", "--tokenizer", "byte",
                            "--prompt-file", folder / "prompt", "--max-new-tokens", "4"], check=True,
                           stdout=subprocess.DEVNULL)
            # The largest of all programs so far.
            print(f"prompt of {size:7} bytes: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
