#!/usr/bin/env python3
"""Training speed on the recipes of configs/bench, beside its limit and its peers, all in one run.

    tools/bench.py [--families gla mamba2] [--peers eager compile bf16 compile-bf16 jax] [--layers]

For each model: what its matrix products alone allow (`product-bench`), whole steps of statex-train, the
peers of Tests/Peers (when `make bench-env` has made their environment), the ratios, and peak memory.
`--layers` adds single layers of the 1.3B models and what a larger state costs beyond its operations.
Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOKENS = 2048
PEERS = {"eager": [], "compile": ["--compile"], "bf16": ["--bf16"], "compile-bf16": ["--compile", "--bf16"]}
LAYERS = [("gla-layer", "gla-layer-expanded"), ("mamba2-layer", "mamba2-layer-expanded")]


def run(command):
    """The finished process; ends the program with its last words if it failed."""
    result = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        words = (result.stderr.strip() or result.stdout.strip() or "no message").splitlines()[-1]
        sys.exit(f"error: {Path(command[0]).name} {command[1]}: {words}")
    return result


def products(options, recipe):
    """What the products of `recipe` allow, by precision."""
    command = [options.bin / "product-bench", recipe, "--threads", options.threads]
    return json.loads(run(command).stdout.splitlines()[-1])


def statex(options, recipe, precision):
    """(median tokens per second, peak GB) of our trainer; the first step is left out."""
    with tempfile.TemporaryDirectory() as work:
        log = run([options.bin / "statex-train", "--config", recipe, f"run.output={work}/run", "checkpoint.every=0",
                   f"train.steps={options.steps}", f"train.precision={precision}",
                   f"parallel.threads_per_rank={options.threads}"]).stderr
        rows = [json.loads(line) for line in (Path(work) / "run/metrics.jsonl").read_text().splitlines()]
    rates = [TOKENS / row["seconds"] for row in rows[1:] if "seconds" in row]
    return statistics.median(rates), float(re.search(r"peak memory.* ([0-9.]+) GB", log)[1])


def peers(options, family):
    """The JSON line of each peer that is asked for and can run."""
    if options.python is None:
        return
    steps = ["--threads", options.threads, "--steps", options.peer_steps, "--warmup", 1]
    for name in options.peers:
        if name in PEERS:
            yield json.loads(run([options.python, f"Tests/Peers/{family}_torch.py", *PEERS[name], *steps]).stdout)
        elif family == "gla":
            yield json.loads(run([options.python, "Tests/Peers/gla_jax.py", *steps]).stdout)


def row(name, rate, limit, base, memory):
    """One line of the table."""
    fraction = f"{100 * rate / limit:5.1f} %" if limit else "       "
    ratio = f"{base / rate:6.2f}" if base else "      "
    print(f"  {name:52} {rate:9.1f} {fraction} {ratio}   {memory}", flush=True)


def whole_model(options, family):
    """The table of one model."""
    recipe = f"configs/bench/{family}-1024.yaml"
    limits = products(options, recipe)
    print(f"{recipe}, {options.threads} threads")
    print(f"  {'':52}  tokens/s  of limit  ratio   peak memory")
    ours = {}
    for precision in ("fp32", "bf16"):
        if precision not in limits:
            print(f"  {precision}: not measured, this processor has no bf16 instructions")
            continue
        limit = limits[precision]["tokens_per_second"]
        row(f"products alone, {precision} ({limits[precision]['gflops']} GFLOP/s)", limit, None, None, "")
        ours[precision], memory = statex(options, recipe, precision)
        row(f"statex {precision}", ours[precision], limit, None, f"{memory:.2f} GB")
    if options.python is None:
        print("  peers: not measured; `make bench-env` installs them")
    for peer in peers(options, family):
        precision = "bf16" if "bf16" in peer["peer"] else "fp32"
        row(peer["peer"], peer["tokens_per_second"], None, ours.get(precision), f"{peer['peak_rss_mb'] / 1000:.2f} GB")
    print("  ratio: statex of the same precision over the peer")


def layers(options):
    """Single layers of the 1.3B models, and what a larger state costs."""
    print(f"one layer of the 1.3B models, {options.threads} threads; the vocabulary is 256")
    print(f"  {'':52}  tokens/s  of limit")
    for pair in LAYERS:
        for precision in ("fp32", "bf16"):
            seconds, flops = [], []
            for name in pair:
                recipe = f"configs/bench/{name}.yaml"
                limits = products(options, recipe)
                if precision not in limits:
                    continue
                rate, memory = statex(options, recipe, precision)
                row(f"{name} {precision}", rate, limits[precision]["tokens_per_second"], None, f"{memory:.2f} GB")
                seconds.append(1 / rate)
                flops.append(limits["training_flops_per_token"])
            if len(seconds) == 2:
                beyond = 100 * (seconds[1] / seconds[0] / (flops[1] / flops[0]) - 1)
                print(f"  expanded: {seconds[1] / seconds[0]:.3f} times the seconds for {flops[1] / flops[0]:.3f} times"
                      f" the operations: {beyond:+.1f} %")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release", help="where the programs are")
    parser.add_argument("--families", nargs="*", default=["gla", "mamba2"], choices=["gla", "mamba2"])
    parser.add_argument("--peers", nargs="*", default=[*PEERS, "jax"], choices=[*PEERS, "jax"])
    parser.add_argument("--layers", action="store_true", help="also single layers of the 1.3B models")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--steps", type=int, default=5, help="of ours, the first left out; default 5")
    parser.add_argument("--peer-steps", type=int, default=3, help="of a peer after one of warm-up; default 3")
    options = parser.parse_args()
    environments = [ROOT / name / "bin/python" for name in (".venv-bench", ".venv-interop")]
    options.python = next((path for path in environments if path.exists()), None)
    return options


if __name__ == "__main__":
    OPTIONS = parse()
    for FAMILY in OPTIONS.families:
        whole_model(OPTIONS, FAMILY)
    if OPTIONS.layers:
        layers(OPTIONS)
