"""What statex exports opens in transformers, trains to the same gradients, and holds the package's code."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml

from conftest import REPOSITORY
from python_models import CODE, expanded_export, opened
from reference_common import load_tensors, write_megatron

pytestmark = pytest.mark.usefixtures("one_thread")

# (family, options of `statex expand`, fields of the model).
CASES = {
    "merged": ("gla", ["--every", 2], {}),
    "preserve": ("gla", ["--every", 2, "--init", "preserve"], {}),
    "preserve_shared_conv": ("gla", ["--layers", 1, "--init", "preserve"],
                             dict(num_kv_heads=2, expand_k=1.0, use_short_conv=True, feature_map="sigmoid",
                                  clamp_min=-0.05, elementwise_affine=False, tie_word_embeddings=True)),
    "merged_shared": ("gla", ["--layers", 0, "--heads", 2],
                      dict(num_heads=4, num_kv_heads=2, expand_k=1.0, fuse_norm=False, use_output_gate=False)),
    "three_heads": ("gla", ["--layers", 2, "--init", "preserve"],
                    dict(num_heads=3, hidden_size=20, expand_k=0.45, expand_v=1.35)),
    "groups": ("mamba2", ["--every", 2], {}),
    "groups_biased": ("mamba2", ["--layers", 1, "--state-factor", 3, "--init", "preserve"],
                      dict(use_bias=True, use_conv_bias=False, time_step_limit=[0.02, 0.3], conv_kernel=3,
                           tie_word_embeddings=False)),
    "one_head_mamba2": ("mamba2", ["--layers", 0], dict(num_heads=1, head_dim=48, n_groups=1, conv_kernel=2)),
}


@pytest.fixture(scope="module", params=CASES)
def expanded(request, command, tmp_path_factory):
    """The directory of an expanded export."""
    return expanded_export(command, tmp_path_factory.mktemp(request.param), *CASES[request.param])


def draw_tokens(directory, count):
    """Tokens of a model, for one stored sample."""
    vocabulary = json.loads((directory / "config.json").read_text())["vocab_size"]
    return np.random.default_rng(3).integers(0, vocabulary, count).tolist()


def test_losses(expanded, command, tmp_path):
    tokens = draw_tokens(expanded, 102)
    write_megatron(tmp_path / "text", [tokens])
    command("statex", "evaluate", "--model", expanded, "--perplexity", tmp_path / "text", "--sequence-length", 101,
            "--per-token", "--json", tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())["perplexity"]["token_nll"]
    batch = torch.tensor([tokens])
    with torch.no_grad():
        logits = opened(expanded, torch.float64)(batch[:, :-1]).logits
    expected = F.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none")[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=2e-5)


def trained_gradients(directory, tokens, command, tmp_path):
    """The trainer's gradients of the mean loss, by tensor.

    One step of AdamW without decay and clipping moves a weight by `lr g / (|g| + eps)`, its moments being
    the gradient itself. With a large lr and an eps of 1 the gradient is read off the weights.
    """
    rate = 1e3
    write_megatron(tmp_path / "tokens", [tokens])
    recipe = dict(
        run=dict(output=str(tmp_path / "run")), model=dict(init=str(directory)),
        data=dict(sequence_length=len(tokens) - 1, shuffle=False,
                  sources=[dict(tokens=str(tmp_path / "tokens"))]),
        train=dict(steps=1, sequences_per_step=1, segment_length=40, precision="fp32",
                   optimizer=dict(lr=rate, eps=1.0, weight_decay=0.0, grad_clip=0.0),
                   schedule=dict(kind="constant", warmup_steps=0)))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    command("statex-train", "--config", tmp_path / "recipe.yaml")
    before, after = load_tensors(directory), load_tensors(tmp_path / "run" / "export")
    moves = {name: (before[name].double() - after[name].double()) / rate for name in before}
    return {name: move / (1 - move.abs()) for name, move in moves.items()}


def test_gradients(expanded, command, tmp_path):
    tokens = draw_tokens(expanded, 102)
    found = trained_gradients(expanded, tokens, command, tmp_path)
    batch = torch.tensor([tokens])
    model = opened(expanded, torch.float64)
    logits = model(batch[:, :-1]).logits
    F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert found.keys() == expected.keys()
    # A gradient of few numbers may be a sum of much larger ones: the rounding of those is allowed for.
    largest = max(gradient.abs().max() for gradient in expected.values())
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        bound = 1e-4 * gradient.abs().max() + 1e-7 * largest
        assert (found[name] - gradient).abs().max() <= bound, name


def test_export_holds_the_code_of_the_package(expanded):
    config = json.loads((expanded / "config.json").read_text())
    names = {"modeling_statex.py"} | {
        f"{kind}_{config['model_type']}.py" for kind in ("modeling", "configuration")}
    assert {path.name for path in expanded.glob("*.py")} == names
    for name in names:
        assert (expanded / name).read_bytes() == (CODE / name).read_bytes()
        assert (REPOSITORY / "python" / "statex" / "models" / name).samefile(CODE / name)


def test_saved_model_is_read_back(expanded, command, tmp_path):
    opened(expanded).save_pretrained(tmp_path / "saved")
    command("statex", "convert", "--model", tmp_path / "saved", "--output", tmp_path / "converted")
    expected, written = load_tensors(expanded), load_tensors(tmp_path / "converted")
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(written[name], tensor), name
    for key in ("statex", "auto_map", "architectures", "model_type"):
        first, second = (json.loads((path / "config.json").read_text())[key]
                         for path in (expanded, tmp_path / "converted"))
        assert first == second


SCRIPT = textwrap.dedent("""
    import sys
    {first}
    import torch
    from transformers import AutoModelForCausalLM
    for directory in {directories}:
        model = AutoModelForCausalLM.from_pretrained(directory, {options})
        model(torch.zeros(1, 70, dtype=torch.long)).logits.sum().backward()
        model.generate(torch.ones(1, 3, dtype=torch.long), max_new_tokens=3, do_sample=False)
        print(type(model).__module__)
""")


@pytest.mark.parametrize("first, options, module", [
    ("", "trust_remote_code=True", "transformers_modules"),
    ("import fla, fla.models", "trust_remote_code=True", "transformers_modules"),
    ("sys.modules.update(fla=None, mamba_ssm=None, causal_conv1d=None)", "trust_remote_code=True",
     "transformers_modules"),
    ("import statex; statex.register()", "", "statex.models"),
], ids=["alone", "after_fla", "without_fla", "package"])
def test_opens_in_a_process_of_its_own(first, options, module, command, tmp_path):
    directories = []
    for case in ("preserve", "groups"):
        (tmp_path / case).mkdir()
        directories.append(str(expanded_export(command, tmp_path / case, *CASES[case])))
    script = SCRIPT.format(first=first, directories=directories, options=options)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          cwd=REPOSITORY / "python")
    assert done.returncode == 0, done.stderr
    found = done.stdout.split()
    assert len(found) == 2 and all(name.startswith(module) for name in found)
