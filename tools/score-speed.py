#!/usr/bin/env python3
"""Speed of lm-evaluation-harness with `--model statex` beside `--model hf`, on the models of configs/bench.

    .venv-interop/bin/python tools/score-speed.py --bin .build/release [--families gla mamba2] [--rounds 3]

For each family it expands a random model of the recipe's shape, and runs two tasks of random words on it: questions
with four choices after five examples, where prefixes are shared, and whole texts, where nothing is. Both programs
are in memory and take turns, in float32 on the same number of threads; the ratio is the median over the rounds,
with the least and the largest. Answers have to agree. Nothing else should run meanwhile.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "Tests" / "Fixtures"
FAMILIES = ("gla", "mamba2")
# In the place of this folder, whose profile.py is not Python's own.
sys.path[:1] = [*map(str, [ROOT / "python", ROOT / "Tests" / "Interop", *(FIXTURES / name for name in FAMILIES)])]

import lm_eval  # noqa: E402
import make_gla_fixtures  # noqa: E402
import make_mamba2_fixtures  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

from statex.lm_eval import StatexLM  # noqa: E402

WORDS = "shadow engine forest music candle letter stone silver village orange window lamp bridge".split()
LETTERS = list("ABCD")
EXAMPLES = 5


def make_model(options, family, folder):
    """The directory of an expanded random model of the shape that configs/bench has, with a small tokenizer."""
    recipe = yaml.safe_load((ROOT / "configs" / "bench" / f"{family}-1024.yaml").read_text())
    fields, rng = recipe["model"]["config"], np.random.default_rng(0)
    fields.pop("model_type")
    if family == "gla":
        make_gla_fixtures.write_model(folder / "base", dict(config=fields, gate_bias="random"), rng)
    else:
        make_mamba2_fixtures.write_model(folder / "base", fields, "ordinary", rng)
    subprocess.run([options.bin / "statex", "expand", "--model", folder / "base", "--output", folder / "model",
                    "--every", "2"], check=True, stdout=subprocess.DEVNULL)
    for path in (FIXTURES / "tokenizers" / "byte-level").glob("tokenizer*.json"):
        shutil.copy(path, folder / "model")
    return folder / "model"


def make_tasks(options, folder):
    """Writes both tasks into `folder` and returns their names."""
    rng = np.random.default_rng(1)

    def text(count):
        return " ".join(rng.choice(WORDS, count))

    rows = {
        "choice": [dict(question=text(20), choices=[text(3) for _ in LETTERS], answer=int(rng.integers(4)))
                   for _ in range(EXAMPLES + options.questions)],
        "text": [dict(text=text(600)) for _ in range(EXAMPLES + max(1, options.questions // 8))],
    }
    common = dict(dataset_path="json", test_split="test", fewshot_split="train",
                  fewshot_config=dict(sampler="first_n"), metadata=dict(version=1))
    tasks = {
        "choice": dict(output_type="multiple_choice", num_fewshot=EXAMPLES, doc_to_text="Question: {{question}}\nAnswer:",
                       doc_to_choice="{{choices}}", doc_to_target="answer", metric_list=[dict(metric="acc")]),
        "text": dict(output_type="loglikelihood_rolling", doc_to_text="", doc_to_target="text",
                     metric_list=[dict(metric="bits_per_byte")]),
    }
    for name, task in tasks.items():
        files = {split: str(folder / f"{name}-{split}.jsonl") for split in ("train", "test")}
        for split, part in (("train", rows[name][:EXAMPLES]), ("test", rows[name][EXAMPLES:])):
            Path(files[split]).write_text("".join(json.dumps(row) + "\n" for row in part))
        task |= dict(common, task=name, dataset_kwargs=dict(data_files=files))
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(task))
    return list(tasks)


def evaluate(model, task, folder):
    """Seconds that the model takes for the task, and its answers."""
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    start = time.perf_counter()
    found = lm_eval.simple_evaluate(model=model, tasks=[task], task_manager=manager, bootstrap_iters=0)
    seconds = time.perf_counter() - start
    return seconds, [np.array(sample["resps"], dtype=float).ravel() for sample in found["samples"][task]]


def compare(options, task, model, hf, folder):
    """Prints the line of one task."""
    report = folder / "report.json"
    ours = StatexLM(path=str(model), program=str(options.bin / "statex"), threads=options.threads,
                    trust_remote_code=True, report=str(report))
    seconds = []
    for _ in range(options.rounds):
        (fast, answers), (slow, expected) = (evaluate(each, task, folder) for each in (ours, hf))
        np.testing.assert_allclose(np.concatenate(answers), np.concatenate(expected), rtol=1e-4, atol=1e-2)
        seconds.append((fast, slow))
    ours.close()
    ratios = [slow / fast for fast, slow in seconds]
    work = json.loads(report.read_text())
    print(f"  {task:8s} statex {statistics.median(fast for fast, _ in seconds):7.2f} s"
          f"  hf {statistics.median(slow for _, slow in seconds):7.2f} s"
          f"  statex is faster by {statistics.median(ratios):5.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
          f"  {work['computed_tokens'] // options.rounds} of {work['tokens'] // options.rounds} tokens computed",
          flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8, help="of --model hf")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for family in options.families:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            model, tasks = make_model(options, family, folder), make_tasks(options, folder)
            hf = HFLM(pretrained=str(model), trust_remote_code=True, dtype="float32", device="cpu",
                      batch_size=options.batch_size, max_length=1 << 16)
            print(f"{family}, {options.threads} threads", flush=True)
            for task in tasks:
                compare(options, task, model, hf, folder)


if __name__ == "__main__":
    main()
