"""`statex evaluate` gives the losses that fla's modules give."""

import json

import numpy as np
import pytest
import torch

import fla_reference
from reference_common import write_megatron


def test_losses_of_each_token(gla_case, command, tmp_path):
    reference = json.loads((gla_case / "reference.json").read_text())
    length = reference["length"]
    first, second = reference["tokens"]
    # Two samples of T + 1 tokens that share one: each token but the first is predicted once.
    text = first + second[1:]
    write_megatron(tmp_path / "text", [text[:10], text[10:]])
    command("statex", "evaluate", "--model", gla_case, "--perplexity", tmp_path / "text",
            "--sequence-length", length, "--per-token", "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())["perplexity"]

    samples = torch.tensor([text[: length + 1], text[length:]])
    with torch.no_grad():
        expected = fla_reference.token_losses(fla_reference.load_model(gla_case, torch.float64), samples)
    assert report["tokens"] == 2 * length
    assert len(report["token_nll"]) == length
    np.testing.assert_allclose(report["token_nll"], expected[0].numpy(), rtol=0, atol=1e-4)
    assert report["nll"] == pytest.approx(expected.mean().item(), abs=1e-4)
