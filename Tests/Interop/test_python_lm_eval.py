"""lm-evaluation-harness gives the same numbers on statex as on the same model opened by transformers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lm_eval")

import lm_eval  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

import make_gla_fixtures  # noqa: E402
import make_mamba2_fixtures  # noqa: E402
from conftest import REPOSITORY, TESTS  # noqa: E402
from statex.lm_eval import StatexLM  # noqa: E402

TASKS = ["statex_choice", "statex_text", "statex_generate"]
TOKENIZER = TESTS / "Fixtures" / "tokenizers" / "byte-level"
MODELS = {
    "gla": dict(hidden_size=48, num_hidden_layers=3, num_heads=4, expand_k=0.5, expand_v=1.0,
                intermediate_size=64),
    "mamba2": dict(hidden_size=32, num_hidden_layers=3, expand=2, head_dim=16, num_heads=4, state_size=16,
                   n_groups=2, tie_word_embeddings=True),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request, command, tmp_path_factory):
    """The directory of an expanded model with a tokenizer."""
    folder, rng = tmp_path_factory.mktemp("lm_eval"), np.random.default_rng(5)
    tokens = json.loads((TOKENIZER / "tokenizer.json").read_text())
    size = len(tokens["model"]["vocab"]) + len(tokens["added_tokens"])
    fields = MODELS[request.param] | dict(vocab_size=size)
    if request.param == "gla":
        make_gla_fixtures.write_model(folder / "model", dict(config=fields, gate_bias="random"), rng)
    else:
        make_mamba2_fixtures.write_model(folder / "model", fields, "ordinary", rng)
    for path in TOKENIZER.glob("tokenizer*.json"):
        shutil.copy(path, folder / "model")
    command("statex", "expand", "--model", folder / "model", "--output", folder / "expanded", "--every", 2)
    return folder / "expanded"


@pytest.fixture
def evaluate(monkeypatch):
    """Runs the local tasks on a model and returns results and answers."""
    monkeypatch.chdir(REPOSITORY)

    def run(model, **options):
        found = lm_eval.simple_evaluate(
            model=model, tasks=TASKS, log_samples=True, bootstrap_iters=0,
            task_manager=TaskManager(include_path=str(Path(__file__).parent / "lm_eval_tasks"),
                                     include_defaults=False), **options)
        answers = {task: [sample["resps"] for sample in found["samples"][task]] for task in TASKS}
        return found["results"], answers

    return run


def numbers(value):
    """All numbers in nested lists, in order."""
    if isinstance(value, list | tuple):
        return [number for part in value for number in numbers(part)]
    return [float(value)]


def test_same_as_transformers(model, evaluate, program):
    scorer = StatexLM(path=str(model), program=program)
    results, answers = evaluate(scorer)
    scorer.close()
    expected, expected_answers = evaluate(
        "hf", model_args=dict(pretrained=str(model), trust_remote_code=True, dtype="float32"), batch_size=1,
        device="cpu")
    for task in ("statex_choice", "statex_text"):
        np.testing.assert_allclose(numbers(answers[task]), numbers(expected_answers[task]), rtol=1e-5, atol=1e-3)
    assert answers["statex_generate"] == expected_answers["statex_generate"]
    for task in TASKS:
        for metric, value in expected[task].items():
            if isinstance(value, float):
                assert results[task][metric] == pytest.approx(value, rel=1e-3), (task, metric)
