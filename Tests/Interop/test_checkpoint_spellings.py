"""Checkpoints as Python programs save them, read as Python reads them; and ours, as both libraries read them."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from transformers import AutoConfig, Mamba2Config, Mamba2ForCausalLM

import fla_reference
import mamba2_reference
from conftest import GLA_FIXTURES, MAMBA2_FIXTURES
from python_models import write_random
from reference_common import load_tensors, write_megatron

GLA = dict(hidden_size=32, num_hidden_layers=2, num_heads=2, intermediate_size=48, vocab_size=61)
MAMBA2 = dict(hidden_size=32, num_hidden_layers=2, expand=2, head_dim=8, num_heads=8, state_size=8, n_groups=4,
              vocab_size=61, tie_word_embeddings=False)


def write_gla(directory, **fields):
    return write_random("gla", directory, GLA | fields)


def write_mamba2(directory, **fields):
    return write_random("mamba2", directory, MAMBA2 | fields)


def change_config(directory, **fields):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def losses(command, tmp_path):
    """(tokens, what `statex evaluate` says of each) for a model directory."""
    def run(directory):
        tokens = np.random.default_rng(3).integers(0, 61, 65).tolist()
        write_megatron(tmp_path / "text", [tokens])
        command("statex", "evaluate", "--model", directory, "--perplexity", tmp_path / "text", "--sequence-length", 64,
                "--per-token", "--json", tmp_path / "report.json")
        found = json.loads((tmp_path / "report.json").read_text())["perplexity"]["token_nll"]
        return torch.tensor([tokens]), found

    return run


def assert_same_losses(found, reference, model, tokens):
    with torch.no_grad():
        expected = reference.token_losses(model.eval().double(), tokens)[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-5)


def test_norm_before_gate_means_nothing_to_transformers(losses, tmp_path):
    """As in mistralai/Mamba-Codestral-7B-v0.1's config.json."""
    directory = write_mamba2(tmp_path / "model")
    change_config(directory, norm_before_gate=True, rms_norm=True, intermediate_size=64, time_step_scale=1.0)
    tokens, found = losses(directory)
    assert_same_losses(found, mamba2_reference, Mamba2ForCausalLM.from_pretrained(directory), tokens)


def test_tied_head_without_embeddings(losses, tmp_path):
    directory = write_gla(tmp_path / "model", tie_word_embeddings=True)
    _, model_class, _ = fla_reference.fla_gla()
    model = model_class.from_pretrained(directory)
    (directory / "model.safetensors").unlink()
    save_model(model, directory / "model.safetensors", metadata={"format": "pt"})
    assert "model.embeddings.weight" not in load_file(directory / "model.safetensors")
    tokens, found = losses(directory)
    assert_same_losses(found, fla_reference, model_class.from_pretrained(directory), tokens)


@pytest.mark.parametrize("rename", [
    lambda name: name.replace("model.embeddings", "model.embed_tokens"),
    lambda name: "module." + name,
    lambda name: "_orig_mod." + name,
    lambda name: name.replace("layers.1.", "layers.1._checkpoint_wrapped_module."),
])
def test_names_around_the_model(rename, losses, tmp_path):
    directory = write_gla(tmp_path / "model")
    model = fla_reference.load_model(directory)
    tensors = load_file(directory / "model.safetensors")
    save_file({rename(name): tensor for name, tensor in tensors.items()}, directory / "model.safetensors",
              metadata={"format": "pt"})
    tokens, found = losses(directory)
    assert_same_losses(found, fla_reference, model, tokens)


def test_names_that_torch_gives(losses, tmp_path):
    """What torch.compile and DataParallel really call the tensors."""
    directory = write_gla(tmp_path / "model")
    model = fla_reference.load_model(directory)
    for wrapped in (torch.compile(model), torch.nn.DataParallel(model), torch.nn.DataParallel(torch.compile(model))):
        state = {name: tensor.contiguous() for name, tensor in wrapped.state_dict().items()}
        assert all(name.startswith(("module.", "_orig_mod.")) for name in state)
        save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
        tokens, found = losses(directory)
        assert_same_losses(found, fla_reference, fla_reference.load_model(write_gla(tmp_path / "again")), tokens)


@pytest.mark.parametrize("limit", [None, [0.02, 0.3], [0.001, float("inf")]])
@pytest.mark.parametrize("expanded", [False, True])
def test_fla_reads_the_same_fields(limit, expanded, command, tmp_path):
    """After `import fla`, AutoConfig gives fla's class, whose names for two fields are others."""
    fla_reference.fla_gla()
    from fla.models.mamba2 import Mamba2Config as FlaConfig
    options = {} if limit is None else dict(time_step_limit=limit)
    model = write_mamba2(tmp_path / "model", layer_norm_epsilon=3e-6, **options)
    arguments = ["expand", "--every", 1] if expanded else ["convert"]
    command("statex", *arguments, "--model", model, "--output", tmp_path / "written")
    theirs = AutoConfig.from_pretrained(tmp_path / "written")
    assert isinstance(theirs, FlaConfig)
    ours = Mamba2Config.from_pretrained(tmp_path / "written")
    assert theirs.norm_eps == pytest.approx(3e-6, rel=1e-6) and theirs.norm_eps == ours.layer_norm_epsilon
    np.testing.assert_allclose(theirs.dt_limit, limit or [0.0, float("inf")], rtol=1e-6)
    assert list(theirs.dt_limit) == list(ours.time_step_limit)
    for name in ("num_heads", "head_dim", "state_size", "n_groups", "expand", "conv_kernel", "use_bias",
                 "use_conv_bias", "tie_word_embeddings", "vocab_size", "hidden_size", "num_hidden_layers"):
        assert getattr(theirs, name) == getattr(ours, name), name
    assert theirs.rmsnorm and not theirs.norm_before_gate and not theirs.D_has_hdim


def test_remote_code_goes_along(command, tmp_path):
    directory = write_mamba2(tmp_path / "model")
    (directory / "modeling_x.py").write_text("from .configuration_x import XConfig\n"
                                             "from transformers import Mamba2ForCausalLM\n\n\n"
                                             "class XForCausalLM(Mamba2ForCausalLM):\n    config_class = XConfig\n")
    (directory / "configuration_x.py").write_text("from transformers import Mamba2Config\n\n\n"
                                                  "class XConfig(Mamba2Config):\n    pass\n")
    change_config(directory, auto_map={"AutoConfig": "configuration_x.XConfig",
                                       "AutoModelForCausalLM": "modeling_x.XForCausalLM"})
    command("statex", "convert", "--model", directory, "--output", tmp_path / "converted")
    shutil.rmtree(directory)
    # In a process of its own: once fla is imported, AutoModel prefers its classes to remote code.
    program = ("import sys; from transformers import AutoModelForCausalLM; print(type("
               "AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)).__name__)")
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "converted"], capture_output=True, text=True)
    assert done.stdout.strip() == "XForCausalLM", done.stderr


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, None])
@pytest.mark.parametrize("fixture", [GLA_FIXTURES / "plain", MAMBA2_FIXTURES / "grouped"])
def test_types_are_kept(dtype, fixture, command, tmp_path):
    """`convert` gives back the bytes; None is bfloat16 with norms in float32."""
    tensors = {name: tensor if dtype is None and "norm" in name else tensor.to(dtype or torch.bfloat16)
               for name, tensor in load_tensors(fixture).items()}
    (tmp_path / "model").mkdir()
    save_file(tensors, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})
    shutil.copy(fixture / "config.json", tmp_path / "model")
    command("statex", "convert", "--model", tmp_path / "model", "--output", tmp_path / "converted")
    written = load_tensors(tmp_path / "converted")
    assert written.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert written[name].dtype == tensor.dtype and torch.equal(written[name], tensor), name
    config = json.loads((tmp_path / "converted" / "config.json").read_text())
    assert {config.get("dtype", config.get("torch_dtype"))} == {str(dtype or torch.bfloat16).removeprefix("torch.")}
    if fixture.parent.name == "mamba2":
        model = Mamba2ForCausalLM.from_pretrained(tmp_path / "converted", dtype="auto")
        assert model.dtype == (dtype or torch.bfloat16)


def test_rounding_is_that_of_torch(command, tmp_path):
    source = load_tensors(GLA_FIXTURES / "plain")
    for name in ("float16", "bfloat16"):
        command("statex", "convert", "--model", GLA_FIXTURES / "plain", "--output", tmp_path / name, "--dtype", name)
        for key, tensor in load_tensors(tmp_path / name).items():
            assert torch.equal(tensor, source[key].to(getattr(torch, name))), key
