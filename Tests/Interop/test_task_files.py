"""`statex evaluate --task-file` gives lm-evaluation-harness's numbers on the same task, model and tokenizer."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("lm_eval")

from conftest import TESTS  # noqa: E402
from test_python_lm_eval import evaluate, model  # noqa: E402, F401 (fixtures)

TASKS = Path(__file__).parent / "lm_eval_tasks"
sys.path.insert(0, str(TESTS / "Fixtures" / "scorers"))

import make_scorer_cases  # noqa: E402


def rows(name):
    return [json.loads(line) for line in (TASKS / name).read_text().splitlines()]


# The tasks of lm_eval_tasks as task files: the definition, the samples, and the names of the metrics there and here.
FILES = {
    "statex_choice": (
        dict(kind="multiple_choice", metrics=["acc", "acc_norm"], fewshot=dict(k=2, sampler="first")),
        [dict(id=i, context=f"Question: {row['question']}\nAnswer:", choices=row["choices"], gold=row["answer"])
         for i, row in enumerate(rows("choice.jsonl"))],
        dict(acc="acc", acc_norm="acc_norm")),
    "statex_generate": (
        dict(kind="generate", metrics=["exact_match"], generate=dict(max_new_tokens=24, stop=["e", "\n\n"])),
        [dict(id=i, context=row["question"] + "\n", answers=[row["answer"]])
         for i, row in enumerate(rows("questions.jsonl"))],
        dict(exact_match="exact_match")),
    "statex_text": (
        dict(kind="rolling", metrics=["word_perplexity", "bits_per_byte"]),
        [dict(id=i, text=row["text"]) for i, row in enumerate(rows("text.jsonl"))],
        dict(word_perplexity="word_perplexity", bits_per_byte="bits_per_byte")),
}


def write_task(folder, name):
    definition, samples, metrics = FILES[name]
    folder.mkdir()
    (folder / "task.json").write_text(json.dumps(dict(format="statex-task/1", name=name, **definition)))
    (folder / "data.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return folder, metrics


@pytest.mark.parametrize("name", FILES)
def test_results_are_those_of_lm_eval(name, model, evaluate, command, tmp_path):  # noqa: F811
    folder, metrics = write_task(tmp_path / "task", name)
    log = tmp_path / "samples.jsonl"
    command("statex", "evaluate", "--model", model, "--task-file", folder, "--json", tmp_path / "report.json",
            "--sample-log", log)
    found = json.loads((tmp_path / "report.json").read_text())["tasks"][name]
    expected, answers = evaluate(
        "hf", [name], TASKS, batch_size=1, device="cpu",
        model_args=dict(pretrained=str(model), trust_remote_code=True, dtype="float32"))
    for here, there in metrics.items():
        value = found["metrics"][here]["value"] if "metrics" in found else found[here]
        wanted = next(value for key, value in expected[name].items() if key.split(",")[0] == there)
        assert value == pytest.approx(wanted, rel=1e-4, abs=1e-12), here
    if name == "statex_generate":
        texts = [json.loads(line)["prediction"] for line in log.read_text().splitlines()[1:]]
        assert texts == [response[0][0] for response in answers[name]]
    if name == "statex_choice":
        assert found["computed_tokens"] < found["tokens"] / 2, "examples are read once"


def test_the_table_of_cases_is_what_lm_eval_gives():
    assert json.loads(make_scorer_cases.PATH.read_text()) == make_scorer_cases.cases()
