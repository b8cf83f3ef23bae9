"""`statex convert` writes Mamba2 directories that unmodified transformers loads as the same model."""

import json

import numpy as np
import pytest
import torch
from transformers import Mamba2Config, Mamba2ForCausalLM

import make_mamba2_fixtures
import mamba2_reference
from conftest import MAMBA2_FIXTURES
from reference_common import load_tensors

# An expanded model whose B and C lie in several groups: the padding goes between them, not after them.
GROUPED_EXPANDED = dict(
    hidden_size=32, num_hidden_layers=2, expand=2, head_dim=8, num_heads=8, state_size=12, n_groups=4, vocab_size=83,
    conv_kernel=3, use_bias=True, statex={"layers": {"1": {"state_size": 24}}})

NEW_TOKENS = 32


def load_unmodified(directory):
    """The model by `from_pretrained` in float32; every tensor must find its place and every place its tensor."""
    model, report = Mamba2ForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{kind}: {report[kind]}"
    return model.eval()


def assert_same_logits(model, expected_model, tokens, tolerance):
    with torch.no_grad():
        logits, expected = (mamba2_reference.logits_of(m, tokens) for m in (model, expected_model))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)


def draw_tokens(vocabulary):
    return torch.from_numpy(np.random.default_rng(7).integers(0, vocabulary, (2, 70)))


def assert_same_family(written, original):
    """Two config.json say the same of the architecture; how the head is tied is left to the caller."""
    written, original = map(Mamba2Config.from_pretrained, (written, original))
    for name in ("hidden_size", "num_hidden_layers", "num_heads", "head_dim", "state_size", "n_groups",
                 "expand", "conv_kernel", "use_bias", "use_conv_bias", "hidden_act", "vocab_size"):
        assert getattr(written, name) == getattr(original, name), name
    # Written as the shortest text of a float32 or of a float64.
    assert written.layer_norm_epsilon == pytest.approx(original.layer_norm_epsilon, rel=1e-6)
    np.testing.assert_allclose(written.time_step_limit, original.time_step_limit, rtol=1e-6)


@pytest.fixture
def convert(command, tmp_path):
    """Runs `statex convert` on a model directory and returns the directory it wrote."""
    def run(model, *options):
        output = tmp_path / "converted"
        command("statex", "convert", "--model", model, "--output", output, *options)
        return output

    return run


def test_transformers_loads_every_dialect(mamba2_dialect, convert):
    original = MAMBA2_FIXTURES / "dialects" / "transformers"
    output = convert(mamba2_dialect)
    expected = mamba2_reference.load_model(original)
    assert_same_logits(load_unmodified(output), expected, draw_tokens(64), 1e-5)
    assert_same_family(output, original)
    assert json.loads((output / "config.json").read_text())["architectures"] == ["Mamba2ForCausalLM"]


def test_tensors_are_kept_bit_for_bit(mamba2_case, convert):
    source, written = load_tensors(mamba2_case), load_tensors(convert(mamba2_case))
    assert written.keys() == source.keys()
    for name, tensor in source.items():
        assert written[name].dtype == tensor.dtype and written[name].shape == tensor.shape, name
        assert written[name].numpy().tobytes() == tensor.numpy().tobytes(), name


def test_config_means_the_same(mamba2_case, convert):
    output = convert(mamba2_case)
    assert_same_family(output, mamba2_case)
    tied, layers = zip(*((config.tie_word_embeddings, mamba2_reference.layer_changes(config))
                         for config in map(Mamba2Config.from_pretrained, (output, mamba2_case))))
    assert tied[0] == tied[1]
    assert layers[0] == layers[1]


def write_grouped_expanded(directory):
    make_mamba2_fixtures.write_model(directory, GROUPED_EXPANDED, "ordinary", np.random.default_rng(11))
    return directory


@pytest.fixture(params=["expanded", "grouped_expanded"])
def expanded_model(request, tmp_path):
    """A model directory with layers of different state sizes."""
    if request.param == "expanded":
        return MAMBA2_FIXTURES / "expanded"
    return write_grouped_expanded(tmp_path / "grouped_expanded")


def test_uniform_export_loads_in_unmodified_transformers(expanded_model, convert):
    expected = mamba2_reference.load_model(expanded_model)
    output = convert(expanded_model, "--uniform")
    sizes = [layer.mixer.ssm_state_size for layer in expected.backbone.layers]
    config = Mamba2Config.from_pretrained(output)
    assert config.state_size == max(sizes)
    assert not mamba2_reference.layer_changes(config)
    assert_same_logits(load_unmodified(output), expected, draw_tokens(config.vocab_size), 1e-4)


def test_uniform_export_generates_what_statex_generates(expanded_model, convert, command, tmp_path):
    model = load_unmodified(convert(expanded_model, "--uniform"))
    prompt, expected = fair_prompt(model)
    command("statex", "generate", "--model", expanded_model, "--prompt-tokens", ",".join(map(str, prompt)),
            "--max-new-tokens", NEW_TOKENS, "--json", tmp_path / "generated.json")
    assert json.loads((tmp_path / "generated.json").read_text())["tokens"] == expected


def fair_prompt(model):
    """(prompt, the NEW_TOKENS tokens that transformers' own greedy generation, with its cache, adds to it).

    Of random prompts the first with a fair answer: every choice clear of rounding, no end, some variety.
    """
    rng = np.random.default_rng(7)
    for _ in range(50):
        prompt = torch.from_numpy(rng.integers(1, model.config.vocab_size, (1, 21)))
        done = model.generate(prompt, max_new_tokens=NEW_TOKENS, do_sample=False, output_logits=True,
                              return_dict_in_generate=True)
        best = torch.cat(done.logits).topk(2).values
        tokens = done.sequences[0, prompt.shape[1]:].tolist()
        if (best[:, 0] - best[:, 1]).min() > 1e-3 and len(tokens) == NEW_TOKENS and len(set(tokens)) >= 5 \
                and model.config.eos_token_id not in tokens:
            return prompt[0].tolist(), tokens
    raise AssertionError("no prompt gives a fair generation")
