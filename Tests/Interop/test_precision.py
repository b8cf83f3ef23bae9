"""A training step with `train.precision: bf16` against PyTorch's autocast, which rounds the same operands."""

import json

import pytest
import torch

import fla_reference
from conftest import GLA_FIXTURES
from reference_common import write_megatron

LENGTH = 64


def test_first_loss_agrees_with_autocast(command, tmp_path):
    model = GLA_FIXTURES / "plain"
    reference = json.loads((model / "reference.json").read_text())
    tokens = [token for sequence in reference["tokens"] for token in sequence][: LENGTH + 1]
    write_megatron(tmp_path / "text", [tokens[:10], tokens[10:]])
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""
run: {{name: precision, output: {tmp_path}/unset, seed: 0}}
model: {{init: {model}}}
data: {{sequence_length: {LENGTH}, sources: [{{tokens: {tmp_path}/text}}]}}
train: {{steps: 1, sequences_per_step: 1, schedule: {{kind: constant, warmup_steps: 0}}}}
checkpoint: {{every: 0}}
evaluation: {{every: 0}}
metrics: {{tensorboard: false}}
""")
    losses = {}
    for precision in ("fp32", "bf16"):
        output = tmp_path / precision
        command("statex-train", "--config", recipe, f"run.output={output}", f"train.precision={precision}")
        losses[precision] = json.loads((output / "metrics.jsonl").read_text().splitlines()[0])["loss"]

    def peer(bf16):
        torch_model = fla_reference.load_model(model, torch.float32)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return fla_reference.token_losses(torch_model, torch.tensor([tokens])).mean().item()

    assert losses["fp32"] == pytest.approx(peer(False), rel=1e-5)
    assert losses["bf16"] != losses["fp32"]
    # Autocast also keeps activations between products in bf16, where ours stay fp32.
    assert losses["bf16"] == pytest.approx(peer(True), rel=5e-3)
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=5e-3)
