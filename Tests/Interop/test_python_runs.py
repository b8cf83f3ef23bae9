"""The Python package reads what a run leaves behind, and copies it to W&B and MLflow."""

import json
import math
import re
import subprocess
import sys
import types

import pytest

import statex
from conftest import REPOSITORY
from statex.trackers import history, to_mlflow, to_wandb


@pytest.fixture(scope="module")
def run(command, tmp_path_factory):
    """The run directory of a short training with evaluations."""
    output = tmp_path_factory.mktemp("runs") / "tiny"
    command("statex-train", "--config", REPOSITORY / "configs" / "tiny-gla.yaml", f"run.output={output}",
            "train.steps=4", "checkpoint.every=0", "evaluation.every=2", "metrics.log_every=1",
            "evaluation.tasks=[{task: mqar, pairs: [4, 8], vocab: 256, sequence_length: 64, samples: 4}]")
    return output


def test_metrics(run):
    rows = statex.read_metrics(run)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert rows == [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_evaluations(run):
    rows = statex.read_evaluations(run)
    assert [row["step"] for row in rows] == [2, 4]
    assert statex.flatten(rows[0])["tasks/mqar_8/accuracy"] == rows[0]["tasks"]["mqar_8"]["accuracy"]
    last = history(run)[4]
    assert last["evaluation/tasks/mqar_4/samples"] == 4 and last["loss"] == statex.read_metrics(run)[3]["loss"]


def test_numbers_that_are_not_finite(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "loss": null, "lr": 0.5, "grad_norm": null, '
        '"nonfinite": {"loss": "nan", "grad_norm": "inf"}}\n')
    (row,) = statex.read_metrics(tmp_path)
    assert math.isnan(row["loss"]) and row["grad_norm"] == math.inf and row["lr"] == 0.5
    assert row.keys() == {"step", "loss", "lr", "grad_norm"}


def test_of_a_step_that_appears_again_the_last_row_counts(tmp_path):
    steps = [1, 2, 3, 2, 3, 5, 4]
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {s}, "loss": {i}}}\n' for i, s in enumerate(steps)))
    assert [(row["step"], row["loss"]) for row in statex.read_metrics(tmp_path)] == [(1, 0), (2, 3), (3, 4), (4, 6)]


def test_files_of_a_running_run(tmp_path):
    assert statex.read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo')
    assert statex.read_metrics(tmp_path) == [{"step": 1, "loss": 2.5}]
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nsomething\n')
    with pytest.raises(ValueError, match="metrics.jsonl:2"):
        statex.read_metrics(tmp_path)
    with pytest.raises(FileNotFoundError, match="no directory"):
        statex.read_metrics(tmp_path / "none")


class Recorder:
    """Stands for a tracker's module or run: keeps every call."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def record(*arguments, **options):
            self.calls.append((name, arguments, options))
            return self

        return record

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def named(self, name):
        return [(arguments, options) for called, arguments, options in self.calls if called == name]


@pytest.fixture
def tracker(monkeypatch):
    """A recorder in the place of both packages, which are not installed for the tests."""
    recorder = Recorder()
    for package in ("wandb", "mlflow"):
        module = types.ModuleType(package)
        module.__getattr__ = recorder.__getattr__
        monkeypatch.setitem(sys.modules, package, module)
    return recorder


def test_wandb(run, tracker):
    to_wandb(run, project="p")
    ((_, options),) = tracker.named("init")
    assert options["project"] == "p" and options["name"] == "tiny"
    assert options["config"]["recipe"] == (run / "recipe.yaml").read_text()
    assert [(arguments[0], options["step"]) for arguments, options in tracker.named("log")] == [
        (numbers, step) for step, numbers in history(run).items()]


def test_mlflow(run, tracker):
    to_mlflow(run, experiment="e")
    assert tracker.named("set_experiment") == [(("e",), {})]
    assert [(arguments[0], options["step"]) for arguments, options in tracker.named("log_metrics")] == [
        (numbers, step) for step, numbers in history(run).items()]


def test_package_without_torch():
    """Reading runs needs nothing but Python."""
    script = ("import sys; sys.modules.update(torch=None, transformers=None, pandas=None, numpy=None)\n"
              "import statex, statex.trackers")
    subprocess.run([sys.executable, "-c", script], check=True, cwd=REPOSITORY / "python")


def test_version_is_that_of_the_program(command):
    assert re.fullmatch(r"\d+\.\d+\.\d+", statex.__version__)
    assert command("statex", "--version").stdout == f"{statex.__version__}\n"
