"""Copies a finished or running run into Weights & Biases or MLflow.

from statex.trackers import to_mlflow, to_wandb
to_wandb("runs/demo", project="statex")             # needs statex[wandb]
to_mlflow("runs/demo", experiment="statex")         # needs statex[mlflow]
"""

import math
from os import PathLike
from pathlib import Path
from typing import Any

from statex.runs import flatten, read_evaluations, read_metrics


def history(run: str | PathLike[str]) -> dict[int, dict[str, float]]:
    """Every number of a run by step, those of evaluations under `evaluation/`."""
    steps: dict[int, dict[str, float]] = {}
    for prefix, rows in (("", read_metrics(run)), ("evaluation/", read_evaluations(run))):
        for row in rows:
            numbers = {
                prefix + name: float(value)
                for name, value in flatten(row).items()
                if name != "step" and isinstance(value, int | float)
            }
            steps.setdefault(row["step"], {}).update(numbers)
    return dict(sorted(steps.items()))


def _recipe(run: str | PathLike[str]) -> str:
    return (Path(run) / "recipe.yaml").read_text(encoding="utf-8")


def to_wandb(run: str | PathLike[str], **options: Any) -> None:
    """Logs a run's numbers and recipe to a new W&B run; `options` are those of `wandb.init`."""
    import wandb

    options.setdefault("name", Path(run).resolve().name)
    with wandb.init(config={"recipe": _recipe(run)}, **options) as target:
        for step, numbers in history(run).items():
            target.log(numbers, step=step)


def to_mlflow(run: str | PathLike[str], experiment: str | None = None) -> None:
    """Logs a run's numbers and recipe to a new MLflow run. MLflow keeps finite numbers only."""
    import mlflow

    if experiment is not None:
        mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name=Path(run).resolve().name):
        mlflow.log_text(_recipe(run), "recipe.yaml")
        for step, numbers in history(run).items():
            mlflow.log_metrics({k: v for k, v in numbers.items() if math.isfinite(v)}, step=step)
