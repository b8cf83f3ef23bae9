"""`statex convert --to` writes what the program named opens by itself."""

import json

import pytest
import torch
from transformers import Mamba2ForCausalLM

import fla_reference
import make_mamba2_fixtures
from conftest import GLA_FIXTURES, MAMBA2_FIXTURES
from reference_common import load_tensors


def assert_complete(report):
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{kind}: {report[kind]}"


@pytest.fixture
def convert(command, tmp_path):
    """Runs `statex convert --to` and returns the directory it wrote."""
    def run(model, to, *options):
        command("statex", "convert", "--model", model, "--output", tmp_path / to, "--to", to, *options)
        return tmp_path / to

    return run


@pytest.mark.parametrize("source", ["transformers", "fla", "mamba_ssm"])
def test_mamba_ssm_gets_its_own_names(source, convert):
    """The fixture's official directory and what is made of each spelling hold the same tensors."""
    official = MAMBA2_FIXTURES / "dialects" / "mamba_ssm"
    written = convert(MAMBA2_FIXTURES / "dialects" / source, "mamba_ssm", "--dtype", "float16")
    expected = load_tensors(official)
    found = torch.load(written / "pytorch_model.bin", weights_only=True)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor), name
    # MambaConfig(**json.load(file)) knows these fields and no others; the vocabulary may count the padding.
    config = json.loads((written / "config.json").read_text())
    assert config.keys() == make_mamba2_fixtures.OFFICIAL_CONFIG.keys()
    assert set(config["ssm_cfg"]) <= {"layer", "d_state", "d_conv", "expand", "headdim", "ngroups", "bias",
                                      "conv_bias", "chunk_size", "dt_limit"}
    assert isinstance(config["ssm_cfg"].get("expand", 2), int)
    multiple = config["pad_vocab_size_multiple"]
    assert -(-config["vocab_size"] // multiple) * multiple == 64


@pytest.mark.parametrize("to", ["transformers", "fla"])
@pytest.mark.parametrize("source", ["transformers", "fla", "mamba_ssm"])
def test_mamba2_opens_in_either_library(source, to, convert):
    directory = convert(MAMBA2_FIXTURES / "dialects" / source, to)
    model_class = Mamba2ForCausalLM
    if to == "fla":
        fla_reference.fla_gla()
        from fla.models.mamba2 import Mamba2ForCausalLM as model_class
    model, report = model_class.from_pretrained(directory, output_loading_info=True)
    assert_complete(report)
    expected = load_tensors(MAMBA2_FIXTURES / "dialects" / "transformers")
    state = model.state_dict()
    for name, tensor in expected.items():
        assert torch.equal(state[name].float(), tensor), name


def test_gla_opens_in_fla(convert):
    directory = convert(GLA_FIXTURES / "plain", "fla")
    _, model_class, _ = fla_reference.fla_gla()
    _, report = model_class.from_pretrained(directory, output_loading_info=True)
    assert_complete(report)
