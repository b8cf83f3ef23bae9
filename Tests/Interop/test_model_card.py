"""The model card of an export: what Hugging Face reads of it, and what it says of a run."""

import json

import pytest
from huggingface_hub import ModelCard

from conftest import GLA_FIXTURES
from reference_common import write_megatron


def facts(directory):
    lines = ModelCard.load(directory / "README.md").text.splitlines()
    rows = [line[2:-2].split(" | ", 1) for line in lines if line.startswith("| ") and line.endswith(" |")]
    return dict(row for row in rows if len(row) == 2)


@pytest.fixture
def trained(command, tmp_path):
    """The run of two steps on an expanded model."""
    reference = json.loads((GLA_FIXTURES / "plain" / "reference.json").read_text())
    tokens = [token for sequence in reference["tokens"] for token in sequence]
    write_megatron(tmp_path / "text", [tokens])
    command("statex", "expand", "--model", GLA_FIXTURES / "plain", "--output", tmp_path / "base", "--layers", "1",
            "--heads", "2", "--init", "inherit", "--seed", "3")
    (tmp_path / "recipe.yaml").write_text(f"""
run: {{name: card, output: {tmp_path}/run, seed: 4}}
model: {{init: {tmp_path}/base}}
expansion: {{layers: [0], heads: 1, init: preserve}}
data: {{sequence_length: 20, sources: [{{tokens: {tmp_path}/text}}]}}
train: {{steps: 2, sequences_per_step: 3, schedule: {{kind: constant, warmup_steps: 0}}}}
checkpoint: {{every: 0}}
evaluation: {{every: 1, perplexity: {{tokens: {tmp_path}/text, sequence_length: 50}}}}
metrics: {{tensorboard: false}}
""")
    command("statex-train", "--config", tmp_path / "recipe.yaml")
    return tmp_path / "run"


def test_a_run_says_what_it_did(trained, command):
    said = facts(trained / "export")
    assert said["expanded layers"] == "0, 1"
    assert said["made from"] == "plain" and said["made from 2"] == "base"
    assert said["expansion"] == "layers 1: heads 2, init inherit, seed 3"
    assert said["expansion 2"] == "layers 0: heads 1, init preserve, seed 4"
    assert said["training"] == "2 steps of 60 tokens, 120 in all, in sequences of 20"
    assert said["data"].startswith("text (weight 1")
    for name, file, value in (("training loss", "metrics", lambda row: row["loss"]),
                              ("loss on held-out text", "evaluation", lambda row: row["perplexity"]["nll"])):
        rows = [json.loads(line) for line in (trained / f"{file}.jsonl").read_text().splitlines()]
        assert said[name] == ", ".join(f"{value(row):.4f} at step {row['step']}" for row in rows) + " nats a token"
    card = ModelCard.load(trained / "export" / "README.md")
    assert card.data.tags == ["gla", "statex"]
    assert (trained / "recipe.yaml").read_text() in card.text
    found = json.loads(command("statex", "inspect", trained / "export", "--json").stdout)
    for name, text in said.items():
        if name not in ("model", "recurrent state", "expanded layers", "software"):
            assert found["card_" + name.replace(" ", "_")] == text


def test_facts_are_handed_on(trained, command, tmp_path):
    command("statex", "convert", "--model", trained / "export", "--output", tmp_path / "half", "--dtype", "bfloat16")
    before, after = facts(trained / "export"), facts(tmp_path / "half")
    assert "bfloat16" in after.pop("model") and before.pop("model")
    assert after.pop("made from 3") == "export"
    assert after == before


def test_somebodys_own_readme_is_kept(trained, command, tmp_path):
    for _ in range(2):
        done = command("statex", "convert", "--model", trained / "export", "--output", tmp_path / "x")
        assert "README.statex.md" not in done.stderr
    (tmp_path / "x" / "README.md").write_text("# Mine\n")
    done = command("statex", "convert", "--model", trained / "export", "--output", tmp_path / "x")
    assert "README.md was not written by statex and is kept" in done.stderr
    assert (tmp_path / "x" / "README.md").read_text() == "# Mine\n"
    assert "| training |" in (tmp_path / "x" / "README.statex.md").read_text()
