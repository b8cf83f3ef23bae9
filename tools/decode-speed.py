#!/usr/bin/env python3
"""Speed of `statex generate`, one token at a time, beside transformers' Mamba2 on the CPU.

    .venv-interop/bin/python tools/decode-speed.py --bin .build/release [--layers 12] [--threads 2] [--rounds 5]

Makes a random model of the shape in configs/bench (hidden size 1024) with a vocabulary of 50288. Both programs
decode greedily at batch 1, in float32 on the same number of threads, and take turns; `statex` also with
`--decode-weights bfloat16`. The time of a token is the difference of a long and a short text, so that loading and the
prompt do not count. Ratios are medians over the rounds, with the least and the largest: a busy machine disturbs both
programs of a round alike. The last column is the share of the memory bus: bytes of weights a token over the time, as a
part of what a copy-free sum over a large array reaches on the same threads in the same round.
"""

import argparse
import json
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
import torch  # noqa: E402
import transformers  # noqa: E402
import yaml  # noqa: E402

PROMPT = [5, 17, 9, 23]
SHORT = 4


def make_model(options, folder):
    recipe = yaml.safe_load((ROOT / "configs" / "bench" / "mamba2-1024.yaml").read_text())
    fields = recipe["model"]["config"]
    fields.pop("model_type")
    fields.update(num_hidden_layers=options.layers, vocab_size=50288, tie_word_embeddings=True)
    make_mamba2_fixtures.write_model(folder / "model", fields, "ordinary", np.random.default_rng(0))
    return folder / "model"


def statex_tokens(options, model, count, more=()):
    command = [options.bin / "statex", "generate", "--model", model, "--prompt-tokens", ",".join(map(str, PROMPT)),
               "--max-new-tokens", str(count), "--threads", str(options.threads), *more]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, [int(text) for text in done.stdout.split(",")]


def peer_tokens(model, count):
    start = time.perf_counter()
    with torch.inference_mode():
        ids = model.generate(torch.tensor([PROMPT]), max_new_tokens=count, min_new_tokens=count, do_sample=False)
    return time.perf_counter() - start, ids[0, len(PROMPT):].tolist()


def seconds_per_token(generate, count):
    short, _ = generate(SHORT)
    long, ids = generate(count)
    return (long - short) / (count - SHORT), ids


def bus_bytes_per_second():
    array = torch.zeros(1 << 28)
    array.sum()
    start = time.perf_counter()
    array.sum()
    return array.nbytes / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = make_model(options, Path(folder))
        peer = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        parameters = sum(p.numel() for p in peer.parameters())
        programs = {
            "transformers": (4, lambda count: peer_tokens(peer, count)),
            "statex": (4, lambda count: statex_tokens(options, path, count)),
            "statex, bfloat16 weights": (2, lambda count: statex_tokens(
                options, path, count, ["--decode-weights", "bfloat16"])),
        }
        rounds = []
        for number in range(options.rounds + 1):
            times, ids = {"bus": bus_bytes_per_second()}, {}
            for name, (_, generate) in programs.items():
                times[name], ids[name] = seconds_per_token(generate, options.tokens)
            if ids["statex"] != ids["transformers"]:
                print("warning: the two do not generate the same ids", file=sys.stderr)
            # The first round warms up.
            if number > 0:
                rounds.append(times)
    print(f"{parameters / 1e6:.0f} M parameters, {options.threads} threads, {len(rounds)} rounds")
    report = {}
    for name, (size, _) in programs.items():
        ratios = [times["transformers"] / times[name] for times in rounds]
        bus = [parameters * size / times[name] / times["bus"] for times in rounds]
        report[name] = dict(
            ms_per_token=1000 * statistics.median(times[name] for times in rounds),
            speed_ratio=statistics.median(ratios), least=min(ratios), largest=max(ratios), bus_share=statistics.median(bus))
        print(f"{name:26} {report[name]['ms_per_token']:8.2f} ms a token   {report[name]['speed_ratio']:5.2f} x "
              f"({min(ratios):.2f} to {max(ratios):.2f})   {100 * report[name]['bus_share']:.0f} % of the bus")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
