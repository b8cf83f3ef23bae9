"""`statex probe`: effective ranks and energies beside numpy's singular values of the states that `generate` saves."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import GLA_FIXTURES, MAMBA2_FIXTURES

# Each layer's state as [heads, rows, columns].
SHAPES = {"gla": lambda layer, config: ((heads := layer.get("num_heads", config["num_heads"])),
                                        int(config["hidden_size"] * config["expand_k"]) // heads,
                                        int(config["hidden_size"] * config["expand_v"]) // heads),
          "mamba2": lambda layer, config: (config["num_heads"], layer.get("state_size", config["state_size"]),
                                           config["head_dim"])}


@pytest.mark.parametrize("family, fixtures", [("gla", GLA_FIXTURES), ("mamba2", MAMBA2_FIXTURES)])
def test_ranks_and_energies(family, fixtures, command, tmp_path):
    model = fixtures / "expanded"
    config = json.loads((model / "config.json").read_text())
    task, samples, length = "mqar:pairs=[6],vocab=30", 4, 40
    command("statex", "data", "make", "--task", task, "--samples", samples, "--sequence-length", length, "--stream",
            "evaluation", "--output", tmp_path / "rows")
    command("statex", "probe", model, "--task", task + f",sequence_length={length}", "--samples", samples, "--json",
            tmp_path / "probe.json")
    layers = json.loads((tmp_path / "probe.json").read_text())["layers"]
    rows = np.fromfile(tmp_path / "rows.bin", "<u2").reshape(samples, length)
    expanded = config.get("statex", {}).get("layers", {})
    ranks = [[] for _ in layers]
    shares = [[] for _ in layers]
    for row in rows:
        # The saved state is that before the last token.
        tokens = ",".join(map(str, [*row, 0]))
        command("statex", "generate", "--model", model, "--prompt-tokens", tokens, "--max-new-tokens", 0, "--save-state",
                tmp_path / "state")
        state = load_file(tmp_path / "state")
        for index in range(len(layers)):
            shape = SHAPES[family](expanded.get(str(index), {}), config)
            squares = np.linalg.svd(state[f"blocks.{index}.0"].astype(np.float64).reshape(shape), compute_uv=False) ** 2
            energy = squares.sum(axis=1)
            p = squares / energy[:, None]
            ranks[index].append(np.exp(-np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0).sum(axis=1)))
            shares[index].append(energy / energy.sum())
    assert len(set(layer["state_shape"] for layer in layers)) == 2
    for index, layer in enumerate(layers):
        heads = layer["states"]["mqar_6"]
        assert len(heads) == SHAPES[family](expanded.get(str(index), {}), config)[0]
        for head, found in enumerate(heads):
            for name, values in (("effective_rank", ranks), ("energy_share", shares)):
                series = np.array(values[index])[:, head]
                # The states differ by rounding: one prompt is read in another batch.
                assert found[name]["mean"] == pytest.approx(series.mean(), rel=1e-4)
                error = series.std(ddof=1) / np.sqrt(samples)
                assert found[name]["stderr"] == pytest.approx(error, rel=2e-3, abs=1e-6)
        assert all(1 <= head["effective_rank"]["mean"] <= layer["largest_rank"] for head in heads)
