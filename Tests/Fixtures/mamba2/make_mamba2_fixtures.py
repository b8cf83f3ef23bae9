"""Makes the Mamba2 fixtures of this folder with transformers' own Mamba2ForCausalLM.

    pip install -r Tests/Interop/requirements.txt
    python Tests/Fixtures/mamba2/make_mamba2_fixtures.py [CASE ... | dialects]

Tests/Interop/mamba2_reference.py tells how transformers is run in float64; each case is also checked
against an independent loop over tokens (logits, loss and every gradient) and at other chunk sizes.
Everything follows from the seeds below: the same versions on the same machine write the same bytes.
No network.

Each case is a folder:

    config.json, model.safetensors   the model, float32, as transformers' save_pretrained writes it
    reference.json                   tokens, losses, the training run, versions (../gla/README.md lists the keys)
    reference.safetensors            every parameter's gradient under the parameter's name, and `logits`

`dialects` holds one model in the three spellings of a Mamba2 checkpoint.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import Mamba2Config
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Interop"))

import mamba2_reference as reference  # noqa: E402
from reference_common import (STEPS, describe, draw_tokens, load_tensors, relative_error,  # noqa: E402
                              write_reference)

SEED = 20250923

# `length` is T, the number of predictions a sequence; `gates` names a rule of `draw_gates` below.
CASES = {
    "plain": dict(
        length=100, gates="ordinary",
        config=dict(hidden_size=64, num_hidden_layers=2, expand=2, head_dim=16, num_heads=8, state_size=16,
                    n_groups=1, vocab_size=97, chunk_size=256, tie_word_embeddings=True)),
    "expanded": dict(
        length=100, gates="ordinary",
        config=dict(hidden_size=32, num_hidden_layers=3, expand=2, head_dim=16, num_heads=4, state_size=16,
                    n_groups=1, vocab_size=89, chunk_size=64, tie_word_embeddings=True,
                    statex={"layers": {"0": {"state_size": 64}, "2": {"state_size": 64}}})),
    "grouped": dict(
        length=65, gates="ordinary",
        config=dict(hidden_size=48, num_hidden_layers=2, expand=2, head_dim=12, num_heads=8, state_size=10,
                    n_groups=2, vocab_size=83, chunk_size=64, conv_kernel=3, use_bias=True,
                    time_step_limit=[0.02, 0.3], layer_norm_epsilon=1e-6)),
    "odd": dict(
        length=63, gates="ordinary",
        config=dict(hidden_size=40, num_hidden_layers=2, expand=3, head_dim=24, num_heads=5, state_size=7,
                    n_groups=1, vocab_size=61, chunk_size=17, use_conv_bias=False,
                    tie_word_embeddings=True)),
    "strong_gates": dict(
        length=100, gates="strong",
        config=dict(hidden_size=32, num_hidden_layers=2, expand=2, head_dim=8, num_heads=8, state_size=12,
                    n_groups=1, vocab_size=61, chunk_size=32)),
}


def inverse_softplus(dt):
    return dt + np.log(-np.expm1(-dt))


def draw_gates(rule, heads, rng):
    """(dt_bias, A_log) of a layer; a token's log gate is -exp(A_log) softplus(dt_bias + ...)."""
    if rule == "ordinary":
        # As trained models have them: time steps of 0.001 to 0.3, rates of 0.3 to 16.
        return inverse_softplus(np.exp(rng.uniform(np.log(1e-3), np.log(0.3), heads))), np.log(
            rng.uniform(0.3, 16.0, heads))
    # Log gates a step from about -150 and -30 by way of ordinary ones to -1e-6.
    dt = np.resize([2.0, 1.0, 0.05, 1e-3, 3.0, 0.3, 0.01, 1e-4], heads)
    rate = np.resize([75.0, 30.0, 4.0, 1e-3, 10.0, 1.0, 16.0, 0.01], heads)
    return inverse_softplus(dt), np.log(rate)


def draw_parameters(model, rule, rng):
    """Fills every parameter such that no gradient is trivial."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if name.endswith("dt_bias"):
                values, rates = draw_gates(rule, shape[0], rng)
            elif name.endswith("A_log"):  # set together with dt_bias, which stands before it
                values = rates
            elif name.endswith(".D") or "norm" in name:
                values = 1.0 + rng.normal(0.0, 0.2, shape)
            elif "conv1d" in name:
                values = rng.normal(0.0, 0.4, shape)
            elif "embeddings" in name:
                values = rng.normal(0.0, 0.15 if model.config.tie_word_embeddings else 0.5, shape)
            else:
                values = rng.normal(0.0, 0.15, shape)
            parameter.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))


def build_drawn(fields, rule, rng):
    """A model with drawn parameters from the fields of a Mamba2Config."""
    model = reference.build_model(Mamba2Config(**fields, bos_token_id=0, eos_token_id=0, pad_token_id=0))
    draw_parameters(model, rule, rng)
    return model


def write_model(directory, fields, rule, rng):
    """Writes config.json and model.safetensors."""
    model = build_drawn(fields, rule, rng)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)


def check_against_loop(directory, tokens):
    """The largest relative difference of transformers (float64, several chunk sizes) from the token loop."""
    loss, gradients = reference.loop_loss(directory, tokens)
    worst = 0.0
    for chunk_size in (None, 8, 33, 128):
        model = reference.load_model(directory, torch.float64)
        for layer in model.backbone.layers:
            layer.mixer.chunk_size = chunk_size or layer.mixer.chunk_size
        ours = reference.token_losses(model, tokens).mean()
        ours.backward()
        errors = [relative_error(p.grad, gradients[name]) for name, p in model.named_parameters()]
        worst = max(worst, abs(ours.item() / loss - 1), *errors)
    if worst > 1e-10:
        raise ValueError(f"{directory}: transformers differs from the loop over tokens by {worst}")
    return worst


def make_case(name, root=HERE):
    """Writes one case's folder in `root`; returns what stands in its reference.json."""
    case = CASES[name]
    rng = np.random.default_rng([SEED, list(CASES).index(name)])
    directory = root / name
    write_model(directory, case["config"], case["gates"], rng)
    batches = [draw_tokens(rng, case["length"], case["config"]["vocab_size"]) for _ in range(STEPS)]
    check_against_loop(directory, batches[0])
    return write_reference(reference, directory, name, SEED, batches)


# The three spellings of one checkpoint.

DIALECT_LENGTH = 40
DIALECT_CONFIG = dict(hidden_size=32, num_hidden_layers=2, expand=2, head_dim=16, num_heads=4, state_size=8,
                      n_groups=1, vocab_size=64, chunk_size=16, tie_word_embeddings=True)
TEXT_VOCABULARY = 53  # the official file counts these tokens and pads its rows to a multiple of 16: 64

FLA_CONFIG = dict(
    architectures=["Mamba2ForCausalLM"], model_type="mamba2", A_init_range=[1, 16], D_has_hdim=False,
    bos_token_id=0, chunk_size=16, conv_init=None, conv_kernel=4, dt_init_floor=0.0001,
    dt_limit=[0.0, {"__float__": "Infinity"}], dt_max=0.1, dt_min=0.001, dtype="float32", eos_token_id=0, expand=2,
    fuse_cross_entropy=True, fuse_linear_cross_entropy=False, fuse_norm=True, head_dim=16, hidden_act="silu",
    hidden_size=32, initializer_range=0.02, n_groups=1, norm_before_gate=False, norm_eps=1e-05, num_heads=4,
    num_hidden_layers=2, pad_token_id=0, rescale_prenorm_residual=True, residual_in_fp32=True, rmsnorm=True,
    state_size=8, tie_word_embeddings=False, use_bias=False, use_cache=True, use_conv_bias=True,
    use_l2warp=False, vocab_size=64)

OFFICIAL_CONFIG = dict(
    d_model=32, d_intermediate=0, n_layer=2, vocab_size=TEXT_VOCABULARY,
    ssm_cfg=dict(layer="Mamba2", d_state=8, headdim=16, chunk_size=16, dt_limit=[0.0, float("inf")]),
    attn_layer_idx=[], attn_cfg={}, rms_norm=True, residual_in_fp32=True, fused_add_norm=True,
    pad_vocab_size_multiple=16, tie_embeddings=True)


def write_dialect(directory, config, tensors):
    """Writes a checkpoint; `float("inf")` becomes the bare word Infinity, as Python's json has it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: t.contiguous() for name, t in tensors.items()}, directory / "model.safetensors",
              metadata={"format": "pt"})


def make_dialects(root=HERE / "dialects"):
    """Writes one model as transformers, fla and mamba_ssm spell it; its values are exact in float16."""
    rng = np.random.default_rng([SEED, 1000])
    model = build_drawn(DIALECT_CONFIG, "ordinary", rng)
    model.half().float().save_pretrained(root / "transformers")
    (root / "transformers/generation_config.json").unlink(missing_ok=True)
    tensors = load_tensors(root / "transformers")
    embedding = tensors["backbone.embeddings.weight"]
    with_head = dict(tensors, **{"lm_head.weight": embedding.clone()})
    write_dialect(root / "fla", FLA_CONFIG, with_head)
    write_dialect(root / "mamba_ssm", OFFICIAL_CONFIG, {
        name.replace("embeddings.", "embedding."): t.half() for name, t in with_head.items()})

    tokens = draw_tokens(rng, DIALECT_LENGTH, TEXT_VOCABULARY)
    model = reference.load_model(root / "transformers", torch.float64)
    with torch.no_grad():
        losses = reference.token_losses(model, tokens)
    document = dict(versions=reference.versions(), seed=SEED, batch=tokens.shape[0], length=DIALECT_LENGTH,
                    tokens=tokens.tolist(), loss_float64=losses.mean().item(), token_nll_float64=losses[0].tolist())
    (root / "reference.json").write_text(json.dumps(document) + "\n")
    return document


def main(names):
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in names or [*CASES, "dialects"]:
        if name == "dialects":
            print(f"dialects: loss {make_dialects()['loss_float64']:.6f}")
        else:
            print(describe(make_case(name)))


if __name__ == "__main__":
    main(sys.argv[1:])
