"""What `statex-train` says and refuses of the model it starts from, before the first step."""

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from conftest import GLA_FIXTURES, REPOSITORY
from reference_common import write_megatron


@pytest.fixture
def start(tmp_path):
    """Runs `statex-train` on a changed copy of a fixture and returns the finished process."""
    if "STATEX_BIN" not in os.environ:
        pytest.skip("STATEX_BIN is not set")
    shutil.copytree(GLA_FIXTURES / "plain", tmp_path / "model")
    write_megatron(tmp_path / "text", [[1, 2, 3] * 20])
    (tmp_path / "recipe.yaml").write_text(f"""
run: {{name: start, output: {tmp_path}/run, seed: 0}}
model: {{init: {tmp_path}/model}}
data: {{sequence_length: 20, sources: [{{tokens: {tmp_path}/text}}]}}
train: {{steps: 1, sequences_per_step: 2, schedule: {{kind: constant, warmup_steps: 0}}}}
checkpoint: {{every: 0}}
evaluation: {{every: 0}}
metrics: {{tensorboard: false}}
""")

    def run(change, *options, launcher=()):
        change(tmp_path / "model")
        program = Path(os.environ["STATEX_BIN"]).resolve() / "statex-train"
        return subprocess.run([*launcher, program, "--config", tmp_path / "recipe.yaml", *options],
                              capture_output=True, text=True, timeout=600, cwd=REPOSITORY)

    return run


def add_field(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"num_head": 3}))


def break_last_weight(model):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + struct.pack("<f", float("nan")))


def test_unknown_fields_are_one_warning(start):
    for options in ([], ["--dry-run"]):
        done = start(add_field, *options)
        assert done.returncode == 0, done.stderr
        said = [line for line in (done.stdout + done.stderr).splitlines() if "'num_head'" in line]
        assert len(said) == 1 and said[0].lstrip().startswith("warning"), done


def test_ranks_warn_once(start):
    if shutil.which("mpirun") is None:
        pytest.skip("no mpirun")
    done = start(add_field, launcher=["mpirun", "-n", "2", "--oversubscribe"])
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("'num_head'") == 1


def test_weights_that_are_no_numbers_are_refused(start):
    done = start(break_last_weight)
    assert done.returncode == 65
    assert "tensor 'model.norm.weight' holds NaN" in done.stderr and "step 1" not in done.stderr
