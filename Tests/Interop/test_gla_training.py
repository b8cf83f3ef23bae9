"""What a run of `statex-train` leaves behind opens with the ecosystem's own tools and agrees with itself."""

import json
import re
import subprocess

import numpy as np
import pytest
import safetensors.torch
import torch

import fla_reference
from conftest import REPOSITORY
from reference_common import load_tensors

STEPS = 4


@pytest.fixture(scope="module")
def run(command, tmp_path_factory):
    """The run directory of a short training from scratch."""
    output = tmp_path_factory.mktemp("training") / "run"
    command("statex-train", "--config", REPOSITORY / "configs" / "tiny-gla.yaml", f"run.output={output}",
            f"train.steps={STEPS}", "checkpoint.every=2", "evaluation.every=0", "metrics.tensorboard=true",
            "metrics.log_every=1")
    return output


def checkpoint_pieces(directory):
    """(parameter name, first element, values) of each piece in the checkpoint's shards.

    A shard is a safetensors file compressed by zstd; a piece is named `parameters/<name>` (whole) or
    `parameters/<name>[start:end]` (elements start ..< end of the flattened parameter). It holds the bytes of the
    numbers sorted by significance, one row for each (docs/checkpoint-format.md).
    """
    shards = sorted(directory.rglob("shard-*.safetensors.zst"))
    assert shards, f"no shard in {directory}"
    for shard in shards:
        plain = subprocess.run(["zstd", "-dc", shard], capture_output=True, check=True).stdout
        for key, groups in safetensors.torch.load(plain).items():
            tensor = groups.T.contiguous().view(torch.float32 if len(groups) == 4 else torch.bfloat16)
            match = re.fullmatch(r"parameters/(.+?)(?:\[(\d+):(\d+)\])?", key)
            if match:
                name, start, end = match.groups()
                values = tensor.flatten()
                assert end is None or int(end) - int(start) == values.numel(), key
                yield name, int(start or 0), values


def test_checkpoint_holds_the_exported_model(run):
    exported = load_tensors(run / "export")
    pieces = {}
    for name, start, values in checkpoint_pieces(run / "checkpoints" / f"step-{STEPS:08d}"):
        pieces.setdefault(name, []).append((start, values))
    assert pieces.keys() == exported.keys()
    for name, parts in pieces.items():
        position = 0
        for start, values in sorted(parts, key=lambda part: part[0]):
            assert start == position, f"{name}: a hole or an overlap at element {position}"
            position += values.numel()
        joined = torch.cat([values for _, values in sorted(parts, key=lambda part: part[0])])
        assert joined.dtype == exported[name].dtype, name
        assert joined.numpy().tobytes() == exported[name].flatten().numpy().tobytes(), name


def test_fla_loads_the_export(run):
    model = fla_reference.load_model(run / "export")
    tokens = torch.arange(40).reshape(1, 40) % model.config.vocab_size
    with torch.no_grad():
        assert fla_reference.token_losses(model, tokens).isfinite().all()


def test_tensorboard_reads_the_metrics(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = [line for line in logged if "loss" in line]
    assert [line["step"] for line in logged] == list(range(1, STEPS + 1))
    folders = {path.parent for path in run.rglob("*tfevents*")}
    assert len(folders) == 1, folders
    events = EventAccumulator(str(folders.pop()), size_guidance={"scalars": 0}).Reload()
    curves = {tag.split("/")[-1]: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    for field in ("loss", "grad_norm", "lr"):
        assert field in curves, sorted(curves)
        assert [event.step for event in curves[field]] == [line["step"] for line in logged]
        # Events hold float32; the text of metrics.jsonl may be rounded to as many digits.
        np.testing.assert_allclose([event.value for event in curves[field]],
                                   [line[field] for line in logged], rtol=1e-6, err_msg=field)
