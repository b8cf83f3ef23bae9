"""`statex evaluate` gives the losses that transformers' Mamba2 gives."""

import json

import numpy as np
import pytest
import torch

import mamba2_reference
from conftest import MAMBA2_FIXTURES
from reference_common import write_megatron


def evaluate(command, model, reference, folder):
    """The text of two samples of T + 1 tokens that share one, and statex's report of its perplexity."""
    first, second = reference["tokens"]
    text = first + second[1:]
    write_megatron(folder / "text", [text[:10], text[10:]])
    command("statex", "evaluate", "--model", model, "--perplexity", folder / "text",
            "--sequence-length", reference["length"], "--per-token", "--json", folder / "report.json")
    return text, json.loads((folder / "report.json").read_text())["perplexity"]


def test_losses_of_each_token(mamba2_case, command, tmp_path):
    reference = json.loads((mamba2_case / "reference.json").read_text())
    length = reference["length"]
    text, report = evaluate(command, mamba2_case, reference, tmp_path)
    samples = torch.tensor([text[: length + 1], text[length:]])
    model = mamba2_reference.load_model(mamba2_case, torch.float64)
    with torch.no_grad():
        expected = mamba2_reference.token_losses(model, samples)
    assert report["tokens"] == 2 * length
    assert len(report["token_nll"]) == length
    np.testing.assert_allclose(report["token_nll"], expected[0].numpy(), rtol=0, atol=1e-4)
    assert report["nll"] == pytest.approx(expected.mean().item(), abs=1e-4)


def test_every_dialect_gives_the_same_losses(mamba2_dialect, command, tmp_path):
    reference = json.loads((MAMBA2_FIXTURES / "dialects" / "reference.json").read_text())
    _, report = evaluate(command, mamba2_dialect, reference, tmp_path)
    np.testing.assert_allclose(report["token_nll"], reference["token_nll_float64"], rtol=0, atol=1e-4)
