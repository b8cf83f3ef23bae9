#!/usr/bin/env python3
"""Training speed on the recipes of configs/bench, beside its limit and its peers, in alternating steps.

    tools/bench.py [--families gla mamba2] [--peers eager compile bf16 compile-bf16 jax] [--layers]

For each model and precision: what its matrix products alone allow (`product-bench`), whole steps of
statex-train, and the peers of Tests/Peers (when `make bench-env` has made their environment). All are in
memory at once and alternate steps (`interleave.py`), so a machine whose speed drifts treats them alike;
ratios are medians over the rounds, with the least and the largest. `--layers` adds single layers of the 1.3B
models and what a larger state costs beyond its operations. Nothing else should run meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

import interleave

ROOT = Path(__file__).resolve().parents[1]
TOKENS = 2048
PEERS = {"eager": [], "compile": ["--compile"], "bf16": ["--bf16"], "compile-bf16": ["--compile", "--bf16"]}
LAYERS = [("gla-layer", "gla-layer-expanded"), ("mamba2-layer", "mamba2-layer-expanded")]
MANY = 100000


def facts(options, recipe):
    """What product-bench says of a recipe: `linear_share`, and a member for each precision there is."""
    command = [options.bin / "product-bench", recipe, "--threads", str(options.threads)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"error: product-bench {recipe}: {result.stderr.strip()}")
    return json.loads(result.stdout.splitlines()[-1])


def products(options, recipe, precision):
    """The command that multiplies what a step of `recipe` does."""
    return (f"{options.bin}/product-bench {recipe} --threads {options.threads} --steps {MANY}"
            + (" --bf16" if precision == "bf16" else ""))


def statex(options, recipe, precision):
    """The command that trains `recipe`."""
    return (f"{options.bin}/statex-train --config {recipe} run.output={{work}}/run checkpoint.every=0"
            f" train.steps={MANY} train.precision={precision} parallel.threads_per_rank={options.threads}")


def peers(options, family, precision):
    """Names and commands of the peers that are asked for and can run."""
    if options.python is None:
        return
    common = f"--threads {options.threads} --steps {MANY} --warmup 0"
    for name in options.peers:
        if name in PEERS and ("bf16" in name) == (precision == "bf16"):
            yield f"PyTorch {name}", f"{options.python} Tests/Peers/{family}_torch.py {' '.join(PEERS[name])} {common}"
        elif name == "jax" and family == "gla" and precision == "fp32":
            yield "JAX jitted", f"{options.python} Tests/Peers/gla_jax.py {common}"


def spread(values):
    """The median, and the least and largest beside it."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def table(rows, turns, memory, share):
    """Prints a line for each program: the first is the products alone, the second statex."""
    print(f"  {'':28}  tokens/s    of the products    statex is faster by    peak memory")
    limit = [share * TOKENS / seconds for seconds in turns[0]]
    for index, (name, seconds, peak) in enumerate(zip(rows, turns, memory)):
        rates = [TOKENS / value for value in seconds] if index else limit
        fraction = spread([rate / bound for rate, bound in zip(rates, limit)]) if index else ""
        ratio = spread([value / ours for value, ours in zip(seconds, turns[1])]) if index > 1 else ""
        print(f"  {name:28} {statistics.median(rates):9.1f}   {fraction:18} {ratio:22} "
              + (f"{peak:.2f} GB" if index else ""), flush=True)


def whole_model(options, family):
    """The tables of one model."""
    recipe = f"configs/bench/{family}-1024.yaml"
    known = facts(options, recipe)
    for precision in ("fp32", "bf16"):
        if precision not in known:
            print(f"{recipe}, {precision}: not measured, this processor has no bf16 instructions")
            continue
        others = list(peers(options, family, precision))
        names = ["products alone", "statex", *(name for name, _ in others)]
        commands = [products(options, recipe, precision), statex(options, recipe, precision)]
        commands += [command for _, command in others]
        print(f"{recipe}, {precision}, {options.threads} threads, {options.rounds} rounds; fp32 products at their best"
              f" {known['fp32']['gflops']} GFLOP/s, the processor's multiply-adds {known['fma_gflops']}")
        turns, memory = interleave.measure(commands, [1] * len(commands), options.rounds, directory=ROOT)
        table(names, turns, memory, known["linear_share"])
    if options.python is None:
        print("peers: not measured; `make bench-env` installs them")


def layers(options):
    """Single layers of the 1.3B models, and what a larger state costs."""
    for pair in LAYERS:
        recipes = [f"configs/bench/{name}.yaml" for name in pair]
        known = [facts(options, recipe) for recipe in recipes]
        for precision in ("fp32", "bf16"):
            if precision not in known[0]:
                continue
            print(f"{pair[0]} and {pair[1]}, {precision}, {options.threads} threads, {options.rounds} rounds")
            commands = [make(options, recipe, precision) for recipe in recipes for make in (products, statex)]
            turns, memory = interleave.measure(commands, [1] * 4, options.rounds, directory=ROOT)
            for index in (0, 2):
                names = ["products alone", pair[index // 2]]
                table(names, turns[index:index + 2], memory[index:index + 2], known[index // 2]["linear_share"])
            times = [expanded / plain for plain, expanded in zip(turns[1], turns[3])]
            flops = known[1]["training_flops_per_token"] / known[0]["training_flops_per_token"]
            print(f"  expanded: {spread(times)} times the seconds for {flops:.3f} times the operations:"
                  f" {100 * (statistics.median(times) / flops - 1):+.1f} %")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / ".build/release", help="where the programs are")
    parser.add_argument("--families", nargs="*", default=["gla", "mamba2"], choices=["gla", "mamba2"])
    parser.add_argument("--peers", nargs="*", default=[*PEERS, "jax"], choices=[*PEERS, "jax"])
    parser.add_argument("--layers", action="store_true", help="also single layers of the 1.3B models")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--rounds", type=int, default=5, help="counted steps of each program; default 5")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds is a number from 1 on")
    environments = [ROOT / name / "bin/python" for name in (".venv-bench", ".venv-interop")]
    options.python = next((path for path in environments if path.exists()), None)
    return options


if __name__ == "__main__":
    OPTIONS = parse()
    for FAMILY in OPTIONS.families:
        whole_model(OPTIONS, FAMILY)
    if OPTIONS.layers:
        layers(OPTIONS)
