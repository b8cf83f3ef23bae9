"""`statex convert` writes a Hugging Face directory that fla loads as the same model."""

import json

import pytest
import torch

import fla_reference
from reference_common import load_tensors

# The fields of config.json that decide what a GLA model computes.
FAMILY_FIELDS = [
    "hidden_size", "num_hidden_layers", "num_heads", "num_kv_heads", "expand_k", "expand_v",
    "intermediate_size", "feature_map", "use_short_conv", "conv_size", "use_output_gate", "clamp_min",
    "hidden_act", "elementwise_affine", "norm_eps", "use_gk", "use_gv", "attn", "fuse_norm",
    "tie_word_embeddings", "vocab_size",
]


def family_fields(directory):
    """What config.json means: absent fields have fla's defaults, null ones the value they stand for."""
    config_class, _, _ = fla_reference.fla_gla()
    written = json.loads((directory / "config.json").read_text())
    config = config_class.from_dict(dict(written))
    fields = {name: getattr(config, name) for name in FAMILY_FIELDS}
    if fields["num_kv_heads"] is None:
        fields["num_kv_heads"] = config.num_heads
    if fields["intermediate_size"] is None:
        ratio = 4 if config.hidden_ratio is None else config.hidden_ratio
        fields["intermediate_size"] = -(-int(config.hidden_size * ratio * 2 / 3) // 256) * 256
    if not config.use_short_conv:
        del fields["conv_size"]
    for name in ("norm_eps", "clamp_min", "expand_k", "expand_v"):
        if fields[name] is not None:  # written as the shortest text of a float32 or of a float64
            fields[name] = pytest.approx(fields[name], rel=1e-6)
    return fields, written.get("statex", {}).get("layers", {})


@pytest.fixture
def converted(gla_case, command, tmp_path):
    output = tmp_path / "converted"
    command("statex", "convert", "--model", gla_case, "--output", output)
    return output


def test_tensors_are_kept_bit_for_bit(gla_case, converted):
    source, written = load_tensors(gla_case), load_tensors(converted)
    assert written.keys() == source.keys()
    for name, tensor in source.items():
        assert written[name].dtype == tensor.dtype and written[name].shape == tensor.shape, name
        assert written[name].numpy().tobytes() == tensor.numpy().tobytes(), name


def test_config_means_the_same(gla_case, converted):
    assert family_fields(converted) == family_fields(gla_case)


def test_fla_computes_the_same(gla_case, converted):
    tokens = torch.tensor(json.loads((gla_case / "reference.json").read_text())["tokens"])[:, :20]
    with torch.no_grad():
        source, written = (fla_reference.logits_of(fla_reference.load_model(directory), tokens)
                           for directory in (gla_case, converted))
    assert torch.equal(source, written)
