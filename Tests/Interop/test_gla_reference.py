"""The committed GLA fixtures are what fla computes today, and the speed peer is the same model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from conftest import GLA_FIXTURES, TESTS

pytest.importorskip("fla")

import fla_reference  # noqa: E402
import make_gla_fixtures  # noqa: E402
from reference_common import assert_same_document, assert_same_tensors  # noqa: E402


pytestmark = pytest.mark.usefixtures("one_thread")


def test_plain_fixture_is_reproduced(tmp_path):
    committed = GLA_FIXTURES / "plain"
    made = make_gla_fixtures.make_case("plain", root=tmp_path)
    expected = json.loads((committed / "reference.json").read_text())
    assert_same_tensors(tmp_path / "plain/model.safetensors", committed / "model.safetensors", 0)
    assert_same_tensors(tmp_path / "plain/reference.safetensors", committed / "reference.safetensors", 1e-6)
    assert_same_document(made, expected)


def test_kernel_fixture_is_reproduced(tmp_path):
    make_gla_fixtures.make_kernel(root=tmp_path)
    assert_same_tensors(tmp_path / "kernel.safetensors", GLA_FIXTURES / "kernel.safetensors", 1e-6)


def test_every_fixture_still_gives_its_loss(gla_case):
    expected = json.loads((gla_case / "reference.json").read_text())
    model = fla_reference.load_model(gla_case, torch.float64)
    with torch.no_grad():
        losses = fla_reference.token_losses(model, torch.tensor(expected["tokens"]))
    np.testing.assert_allclose(losses[0], expected["token_nll_float64"], rtol=1e-10)
    np.testing.assert_allclose(losses.mean(), expected["loss_float64"], rtol=1e-10)


def test_speed_peer_is_the_same_model():
    done = subprocess.run([sys.executable, TESTS / "Peers" / "gla_torch.py", "--check", "--chunk", "32"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
