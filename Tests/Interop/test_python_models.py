"""Expanded models open in transformers by themselves, and compute, train and generate as ours do.

The code is that which every expanded export holds. Losses and gradients are compared with the fixtures, to
which `ParityTests` holds the trainer within the same bounds.
"""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from conftest import GLA_CASES, GLA_FIXTURES, MAMBA2_CASES, MAMBA2_FIXTURES
from python_models import opened, tokens_of, with_code
from reference_common import load_tensors, relative_error

pytestmark = pytest.mark.usefixtures("one_thread")

CASES = {f"gla-{name}": GLA_FIXTURES / name for name in GLA_CASES}
CASES |= {f"mamba2-{name}": MAMBA2_FIXTURES / name for name in MAMBA2_CASES}


@pytest.fixture(params=CASES)
def fixture(request):
    """A fixture's directory."""
    return CASES[request.param]


@pytest.fixture
def directory(fixture, tmp_path):
    """The fixture's model in a directory with its own code."""
    return with_code(fixture, tmp_path / "model")


@pytest.fixture
def model(directory):
    """The fixture's model in float64, in which the ways to one result can be compared closely."""
    return opened(directory, torch.float64).eval()


def logits(model, tokens, **arguments):
    with torch.no_grad():
        return model(tokens, **arguments).logits


# The numbers.

def test_losses_and_gradients(fixture, directory):
    reference = json.loads((fixture / "reference.json").read_text())
    tokens = torch.tensor(reference["tokens"])
    model = opened(directory)
    losses = F.cross_entropy(
        model(tokens[:, :-1]).logits.transpose(1, 2), tokens[:, 1:], reduction="none")
    losses.mean().backward()
    assert losses.mean().item() == pytest.approx(reference["loss_float64"], abs=2e-6)
    np.testing.assert_allclose(losses[0].detach(), reference["token_nll_float64"], rtol=0, atol=2e-5)
    expected = load_file(fixture / "reference.safetensors")
    parameters = dict(model.named_parameters())
    assert parameters.keys() == {name for name in expected if name in load_tensors(fixture)}
    for name, parameter in parameters.items():
        assert relative_error(parameter.grad, expected[name]) < 2e-5, name


def test_loss_with_labels(model):
    tokens = tokens_of(model, 2, 9)
    labels = tokens.clone()
    labels[0, :4] = -100
    expected = F.cross_entropy(
        logits(model, tokens)[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    count = (labels[:, 1:] != -100).sum()
    assert model(tokens, labels=labels).loss.item() == pytest.approx((expected.sum() / count).item())
    # What the Trainer does with gradient accumulation.
    loss = model(tokens, labels=labels, num_items_in_batch=count * 2).loss
    assert loss.item() == pytest.approx((expected.sum() / count / 2).item())


@pytest.mark.parametrize("length", [1, 2, 3, 63, 64, 65, 127, 130])
def test_any_length(model, length):
    tokens = tokens_of(model, 1, 131)
    expected = logits(model, tokens)[:, :length]
    torch.testing.assert_close(logits(model, tokens[:, :length]), expected, rtol=0, atol=1e-11)


def test_gradient_checkpointing_changes_nothing(directory):
    gradients = []
    for checkpointing in (False, True):
        model = opened(directory).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        tokens = tokens_of(model, 2, 70)
        model(tokens, labels=tokens).loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients):
        assert torch.equal(plain, checkpointed)


def test_bfloat16(directory):
    model, narrow = opened(directory), opened(directory, torch.bfloat16)
    tokens = tokens_of(model, 2, 70)
    assert {parameter.dtype for parameter in narrow.parameters()} == {torch.bfloat16}
    assert logits(narrow, tokens).dtype == torch.bfloat16
    narrow(tokens, labels=tokens).loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in narrow.parameters())
    # The weights alone, rounded: what is left is what activations in bfloat16 cost.
    rounded = opened(directory, torch.bfloat16).float()
    difference = (logits(narrow, tokens).float() - logits(rounded, tokens)).square().mean().sqrt()
    assert difference < 3e-2 * logits(model, tokens).std()


# Generation.

def test_state_after_a_prefix(model):
    tokens = tokens_of(model, 2, 150)
    expected = logits(model, tokens)
    for pieces in ([37] + [1] * 30, [1, 2, 63, 64, 5]):
        cache, start = None, 0
        for piece in pieces:
            with torch.no_grad():
                output = model(tokens[:, start:start + piece], past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            torch.testing.assert_close(
                output.logits, expected[:, start:start + piece], rtol=0, atol=1e-11)
            start += piece
        assert cache.get_seq_length() == start


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
def test_generation(model, options):
    tokens = tokens_of(model, 2, 21)
    options = dict(options, max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    cached = model.generate(tokens, **options)
    assert cached.shape == (2, 33)
    assert torch.equal(cached, model.generate(tokens, use_cache=False, **options))


def test_generation_from_embeddings(model):
    tokens = tokens_of(model, 2, 21)
    options = dict(max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)
    new = model.generate(inputs_embeds=model.get_input_embeddings()(tokens), **options)
    ones = torch.ones_like(tokens)
    assert torch.equal(new, model.generate(tokens, attention_mask=ones, **options)[:, 21:])
    with pytest.raises(ValueError, match="either inputs_embeds or input_ids"):
        model.generate(tokens, inputs_embeds=model.get_input_embeddings()(tokens), **options)


# Padding.

@pytest.mark.parametrize("side", ["left", "right", "holes"])
def test_padding_is_not_there(model, side):
    tokens = tokens_of(model, 3, 80)
    mask = torch.ones(3, 80, dtype=torch.long)
    for row, count in ((1, 7), (2, 71)):
        where = {"left": slice(0, count), "right": slice(80 - count, 80), "holes": slice(3, 3 + count)}[side]
        mask[row, where] = 0
    with torch.no_grad():
        padded = model(tokens, attention_mask=mask, use_cache=True)
        after = tokens_of(model, 3, 2, seed=1)
        longer = torch.cat([mask, torch.ones(3, 2, dtype=torch.long)], dim=1)
        later = model(after, attention_mask=longer, past_key_values=padded.past_key_values).logits
    for row in range(3):
        present = mask[row].bool()
        alone = logits(model, torch.cat([tokens[row, present], after[row]])[None])[0]
        torch.testing.assert_close(padded.logits[row, present], alone[:-2], rtol=0, atol=1e-11)
        torch.testing.assert_close(later[row], alone[-2:], rtol=0, atol=1e-11)


def test_gradients_with_padding(model):
    tokens = tokens_of(model, 1, 30)
    padded = F.pad(tokens, (9, 0))
    mask, labels = (padded * 0 + 1).clone(), padded.clone()
    mask[:, :9], labels[:, :9] = 0, -100
    model(tokens, labels=tokens).loss.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    labels[:, 9] = -100  # predicted from padding
    model(padded, attention_mask=mask, labels=labels).loss.backward()
    for parameter, gradient in zip(model.parameters(), expected):
        assert relative_error(parameter.grad, gradient) < 1e-11


def test_generation_with_left_padding(model):
    tokens = tokens_of(model, 1, 21)
    options = dict(max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    alone = model.generate(tokens, attention_mask=torch.ones_like(tokens), **options)[:, 21:]
    batch = torch.cat([F.pad(tokens, (5, 0)), tokens_of(model, 1, 26, seed=3)])
    mask = torch.ones_like(batch)
    mask[0, :5] = 0
    assert torch.equal(model.generate(batch, attention_mask=mask, **options)[:1, 26:], alone)


# Files.

def test_saved_model_opens_again(directory, tmp_path):
    model = opened(directory)
    model.save_pretrained(tmp_path / "saved")
    for name in ("modeling_statex.py", "config.json"):
        assert (tmp_path / "saved" / name).exists()
    again = opened(tmp_path / "saved")
    tokens = tokens_of(model, 1, 20)
    assert torch.equal(logits(again, tokens), logits(model, tokens))


def test_statex_reads_what_was_saved(directory, command, tmp_path):
    config = json.loads((directory / "config.json").read_text())
    if "statex" not in config:
        pytest.skip("all layers are equal: not a model of statex's own type")
    opened(directory).save_pretrained(tmp_path / "saved")
    command("statex", "convert", "--model", tmp_path / "saved", "--output", tmp_path / "converted")
    expected, written = load_tensors(directory), load_tensors(tmp_path / "converted")
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(written[name], tensor), name
    converted = json.loads((tmp_path / "converted" / "config.json").read_text())
    assert converted["statex"] == config["statex"]


# What is refused.

def test_unsupported_fields_are_refused(tmp_path):
    for family, field, value in (("gla", "use_gv", True), ("gla", "attn", {"layers": [0]}),
                                 ("gla", "hidden_act", "gelu"), ("mamba2", "hidden_act", "gelu"),
                                 ("mamba2", "n_groups", 3)):
        target = with_code(CASES[f"{family}-plain"], tmp_path / f"{family}-{field}")
        config = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps(config | {field: value}))
        with pytest.raises(ValueError, match=field):
            opened(target)


def test_wrong_arguments_are_refused(model):
    tokens = tokens_of(model, 1, 5)
    with pytest.raises(ValueError, match="attention_mask has the shape"):
        model(tokens, attention_mask=torch.ones(1, 4))
    with pytest.raises(ValueError, match="input_ids or inputs_embeds"):
        model()
    with pytest.raises(TypeError, match="not a RecurrentCache"):
        model(tokens, past_key_values=[])
