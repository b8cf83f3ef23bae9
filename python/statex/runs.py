"""Reads the run directory of `statex-train`: `metrics.jsonl` and `evaluation.jsonl`."""

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]


def read_metrics(run: str | PathLike[str]) -> list[Row]:
    """The rows of a run's `metrics.jsonl`, one for each logged step; empty before the first one.

    A number that is not finite is one again: the file, being JSON, has `null` and tells which it was. Of a step that
    appears again, as in files that were joined, the last row counts.
    """
    rows = _read(Path(run) / "metrics.jsonl")
    for row in rows:
        for name, word in row.pop("nonfinite", {}).items():
            row[name] = float(word)
    return rows


def read_evaluations(run: str | PathLike[str]) -> list[Row]:
    """The rows of a run's `evaluation.jsonl`: `step`, and the `perplexity` and `tasks` of a report."""
    return _read(Path(run) / "evaluation.jsonl")


def _read(path: Path) -> list[Row]:
    """The rows of a file; what a running process has not yet written to the end is left for later."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} is no directory; expected the run.output of a recipe")
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not a JSON object: {error.msg}") from error
        if not isinstance(rows[-1], dict) or not isinstance(rows[-1].get("step"), int):
            raise ValueError(f"{path}:{number}: not a row with a step")
    return _last_of_each_step(rows)


def _last_of_each_step(rows: list[Row]) -> list[Row]:
    """Rows in ascending order of steps: what stood before a step that appears again, from that step on, is dropped."""
    kept: list[Row] = []
    for row in rows:
        while kept and kept[-1]["step"] >= row["step"]:
            kept.pop()
        kept.append(row)
    return kept


def flatten(row: Row, separator: str = "/") -> Row:
    """One level of names: `{"tasks": {"mqar": {"accuracy": 1}}}` is `{"tasks/mqar/accuracy": 1}`."""
    flat: Row = {}
    for name, value in row.items():
        if isinstance(value, dict):
            inner = flatten(value, separator)
            flat |= {f"{name}{separator}{key}": number for key, number in inner.items()}
        else:
            flat[name] = value
    return flat


def to_pandas(rows: Iterable[Row]) -> "pandas.DataFrame":
    """A frame with one row a step and the flattened names as columns. Needs `statex[pandas]`."""
    import pandas

    return pandas.DataFrame([flatten(row) for row in rows]).set_index("step")
