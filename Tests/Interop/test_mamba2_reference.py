"""The committed Mamba2 fixtures are what transformers computes today, and the speed peer is the same model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import make_mamba2_fixtures
import mamba2_reference
from conftest import MAMBA2_FIXTURES, TESTS
from reference_common import assert_same_document, assert_same_tensors, load_tensors

pytestmark = pytest.mark.usefixtures("one_thread")


def test_grouped_fixture_is_reproduced(tmp_path):
    committed = MAMBA2_FIXTURES / "grouped"
    made = make_mamba2_fixtures.make_case("grouped", root=tmp_path)
    expected = json.loads((committed / "reference.json").read_text())
    assert_same_tensors(tmp_path / "grouped/model.safetensors", committed / "model.safetensors", 0)
    assert_same_tensors(tmp_path / "grouped/reference.safetensors", committed / "reference.safetensors", 1e-6)
    assert_same_document(made, expected)


def test_dialects_are_reproduced(tmp_path):
    committed = MAMBA2_FIXTURES / "dialects"
    made = make_mamba2_fixtures.make_dialects(tmp_path)
    expected = json.loads((committed / "reference.json").read_text())
    assert made["tokens"] == expected["tokens"]
    np.testing.assert_allclose(made["token_nll_float64"], expected["token_nll_float64"], rtol=1e-10)
    for dialect in ("transformers", "fla", "mamba_ssm"):
        assert_same_tensors(tmp_path / dialect / "model.safetensors", committed / dialect / "model.safetensors", 0)
        if dialect != "transformers":  # whose config.json says the version that wrote it
            written, kept = ((root / dialect / "config.json").read_text() for root in (tmp_path, committed))
            assert written == kept, dialect


def test_dialects_hold_the_same_values(mamba2_dialect):
    expected = load_tensors(MAMBA2_FIXTURES / "dialects" / "transformers")
    for name, tensor in load_tensors(mamba2_dialect).items():
        if name in ("lm_head.weight", "backbone.embedding.weight"):
            name = "backbone.embeddings.weight"
        assert torch.equal(tensor.float(), expected[name]), name


def test_every_fixture_still_gives_its_loss(mamba2_case):
    expected = json.loads((mamba2_case / "reference.json").read_text())
    model = mamba2_reference.load_model(mamba2_case, torch.float64)
    with torch.no_grad():
        losses = mamba2_reference.token_losses(model, torch.tensor(expected["tokens"]))
    np.testing.assert_allclose(losses[0], expected["token_nll_float64"], rtol=1e-10)
    np.testing.assert_allclose(losses.mean(), expected["loss_float64"], rtol=1e-10)


def test_every_fixture_agrees_with_a_loop_over_tokens(mamba2_case):
    tokens = torch.tensor(json.loads((mamba2_case / "reference.json").read_text())["tokens"])
    make_mamba2_fixtures.check_against_loop(mamba2_case, tokens)


def test_speed_peer_is_the_same_model():
    done = subprocess.run([sys.executable, TESTS / "Peers" / "mamba2_torch.py", "--check"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
