"""An expanded export opens in Python as the model it is, or not at all.

Where layers differ, `model_type` is one that nothing knows but the code in the directory, which transformers runs
when it is told to, and the classes of fla and transformers refuse the directory even when called by name. Where all layers are equal the export is the family's own.
"""

import json

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, Mamba2ForCausalLM

import fla_reference
import mamba2_reference
from python_models import expanded_export
from reference_common import write_megatron


# (family, options of `expand`, fields of the model): of the GLA ones only the third changes a tensor's shape.
DIFFERENT = {
    "preserve": ("gla", ["--every", 2, "--init", "preserve"], {}),
    "preserve_everywhere": ("gla", ["--every", 1, "--init", "preserve"], {}),
    "merged": ("gla", ["--every", 2], {}),
    "merged_no_affine": ("gla", ["--every", 2], dict(elementwise_affine=False)),
    "mamba2": ("mamba2", ["--every", 2], {}),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_layers_that_differ_are_refused(case, command, tmp_path):
    family, options, fields = DIFFERENT[case]
    directory = expanded_export(command, tmp_path, family, options, fields)
    written = json.loads((directory / "config.json").read_text())
    assert written["model_type"] == f"statex_{family}"
    for auto in (AutoConfig, AutoModelForCausalLM):
        with pytest.raises(ValueError, match="trust_remote_code=True"):
            auto.from_pretrained(directory)
    _, fla_class, _ = fla_reference.fla_gla()
    with pytest.raises((AssertionError, RuntimeError), match="Not supported mode `statex`|mismatch"):
        (fla_class if family == "gla" else Mamba2ForCausalLM).from_pretrained(directory)
    if family == "mamba2":
        from fla.models.mamba2 import Mamba2ForCausalLM as FlaMamba2
        with pytest.raises(RuntimeError, match="mismatch"):
            FlaMamba2.from_pretrained(directory)


EQUAL = {
    "merged": ("gla", ["--every", 1, "--heads", 2], {}),
    "merged_no_affine": ("gla", ["--every", 1, "--init", "inherit"], dict(elementwise_affine=False)),
    "merged_shared": ("gla", ["--every", 1], dict(num_kv_heads=2, expand_k=1.0)),
    "mamba2": ("mamba2", ["--every", 1], {}),
}


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("case", EQUAL)
def test_equal_layers_are_the_familys_own(case, uniform, command, tmp_path):
    family, options, fields = EQUAL[case]
    expanded = directory = expanded_export(command, tmp_path, family, options, fields)
    if uniform:
        directory = tmp_path / "uniform"
        command("statex", "convert", "--model", expanded, "--output", directory, "--uniform")
    written = json.loads((directory / "config.json").read_text())
    assert written["model_type"] == family and "statex" not in written and written.get("attn_mode") != "statex"
    reference, model_class = mamba2_reference, Mamba2ForCausalLM
    if family == "gla":
        reference, model_class = fla_reference, fla_reference.fla_gla()[1]
    model, report = model_class.from_pretrained(directory, dtype=torch.float64, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{kind}: {report[kind]}"

    tokens = np.random.default_rng(3).integers(0, 89, 71).tolist()
    write_megatron(tmp_path / "text", [tokens])
    command("statex", "evaluate", "--model", expanded, "--perplexity", tmp_path / "text", "--sequence-length", 70,
            "--per-token", "--json", tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())["perplexity"]["token_nll"]
    with torch.no_grad():
        expected = reference.token_losses(model.eval(), torch.tensor([tokens]))[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-5)
