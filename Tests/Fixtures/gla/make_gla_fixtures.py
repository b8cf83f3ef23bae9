"""Makes the GLA fixtures of this folder from fla's own modules.

    pip install -r Tests/Interop/requirements.txt
    python Tests/Fixtures/gla/make_gla_fixtures.py [CASE ...]

The architecture and the checkpoint names come from flash-linear-attention==0.6.0 and fla-core==0.6.0
(PyPI), with kernels replaced as Tests/Interop/fla_reference.py says. Everything follows from the seeds
below: the same versions on the same machine write the same bytes. No network.

Each case is a folder:

    config.json, model.safetensors   the model, float32, as fla's save_pretrained writes it
    reference.json                   tokens, losses, the training run, versions (README.md lists the keys)
    reference.safetensors            every parameter's gradient under the parameter's name, and `logits`

`kernel.safetensors` holds the recurrence alone.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Interop"))

import fla_reference as reference  # noqa: E402
from reference_common import STEPS, describe, draw_tokens, relative_error, write_reference  # noqa: E402

SEED = 20250922

# `length` is T, the number of predictions a sequence; `gate_bias` names a rule of `gate_bias` below.
CASES = {
    "plain": dict(
        length=100, gate_bias="random",
        config=dict(hidden_size=64, num_hidden_layers=2, num_heads=4, expand_k=0.5, expand_v=1.0,
                    intermediate_size=80, vocab_size=97)),
    "expanded": dict(
        length=100, gate_bias="random",
        config=dict(hidden_size=48, num_hidden_layers=3, num_heads=4, expand_k=0.5, expand_v=1.0,
                    intermediate_size=64, vocab_size=89,
                    statex={"layers": {"0": {"num_heads": 1}}})),
    "conv_grouped": dict(
        length=65, gate_bias="random",
        config=dict(hidden_size=48, num_hidden_layers=2, num_heads=4, num_kv_heads=2, expand_k=1.0,
                    expand_v=1.0, intermediate_size=64, vocab_size=97, use_short_conv=True,
                    conv_size=4, clamp_min=-0.05, feature_map="relu", tie_word_embeddings=True)),
    "variants": dict(
        length=63, gate_bias="random",
        config=dict(hidden_size=24, num_hidden_layers=2, num_heads=3, expand_k=1.0, expand_v=2.0,
                    hidden_ratio=3, intermediate_size=None, vocab_size=61, fuse_norm=False,
                    norm_eps=1e-5)),
    "no_gate": dict(
        length=63, gate_bias="random",
        config=dict(hidden_size=32, num_hidden_layers=2, num_heads=2, expand_k=0.75, expand_v=1.0,
                    intermediate_size=48, vocab_size=61, use_output_gate=False,
                    elementwise_affine=False, feature_map="swish")),
    "strong_gates": dict(
        length=100, gate_bias="strong",
        config=dict(hidden_size=32, num_hidden_layers=2, num_heads=2, expand_k=0.5, expand_v=1.0,
                    intermediate_size=48, vocab_size=61)),
}


def gate_bias(rule, count, rng):
    """Biases of the gate projection; a log gate is logsigmoid(bias + ...) / 16."""
    if rule == "random":
        return rng.normal(0.0, 2.0, count)
    # From -12.5 a step (e^-800 over a chunk of 64 tokens) by way of ordinary to no decay at all.
    return np.resize([-200.0, 20.0, 1.0, -60.0, -16.0, 0.0, -200.0, 4.0], count)


def draw_parameters(model, rule, rng):
    """Fills every parameter such that no gradient is trivial."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if name.endswith("gk_proj.1.bias"):
                values = gate_bias(rule, shape[0], rng)
            elif "norm" in name:
                values = 1.0 + rng.normal(0.0, 0.2, shape)
            elif "conv1d" in name:
                values = rng.normal(0.0, 0.4, shape)
            elif "embeddings" in name:
                values = rng.normal(0.0, 0.5, shape)
            else:
                values = rng.normal(0.0, 0.15, shape)
            parameter.copy_(torch.from_numpy(np.asarray(values, dtype=np.float32)))


def write_model(directory, case, rng):
    """Writes config.json and model.safetensors of one case."""
    fields = dict(case["config"], bos_token_id=1, eos_token_id=2)
    model = reference.build_model(fields)
    draw_parameters(model, case["gate_bias"], rng)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink(missing_ok=True)


def make_case(name, root=HERE):
    """Writes one case's folder in `root`; returns what stands in its reference.json."""
    case = CASES[name]
    rng = np.random.default_rng([SEED, list(CASES).index(name)])
    directory = root / name
    write_model(directory, case, rng)
    batches = [draw_tokens(rng, case["length"], case["config"]["vocab_size"]) for _ in range(STEPS)]
    return write_reference(reference, directory, name, SEED, batches)


def make_kernel(root=HERE):
    """Writes the recurrence alone: inputs, outputs and gradients, computed in float64."""
    rng = np.random.default_rng([SEED, 1000])
    B, T, H, K, V = 2, 100, 3, 17, 23

    def draw(*shape):
        # Rounded to float32 first, so that the stored inputs are exactly those of the outputs.
        return torch.from_numpy(rng.normal(0.0, 1.0, shape).astype(np.float32)).double()

    # Log gates a step: channels from no decay at all to e^-12, jittered by a factor.
    levels = np.resize([-0.001, -0.05, -12.0, -0.3, 0.0, -2.0, -0.01], H * K).reshape(H, K)
    jitter = rng.uniform(0.5, 1.5, (B, T, H, K))
    gates = torch.from_numpy((levels * jitter).astype(np.float32)).double()
    inputs = dict(q=draw(B, T, H, K), k=draw(B, T, H, K), v=draw(B, T, H, V), g=gates,
                  h0=draw(B, H, K, V))
    do, dht = draw(B, T, H, V), draw(B, H, K, V)
    for tensor in inputs.values():
        tensor.requires_grad_(True)
    o, ht = reference.recurrent_gla(
        inputs["q"], inputs["k"], inputs["v"], g=inputs["g"], initial_state=inputs["h0"],
        output_final_state=True)
    ((o * do).sum() + (ht * dht).sum()).backward()
    check_against_fla(inputs, o, ht)
    tensors = dict({name: t.detach() for name, t in inputs.items()}, do=do, dht=dht, o=o.detach(),
                   ht=ht.detach(), **{"d" + name: t.grad for name, t in inputs.items()})
    save_file({name: t.float().contiguous() for name, t in tensors.items()},
              root / "kernel.safetensors", metadata={"format": "pt"})


def check_against_fla(inputs, o, ht):
    """fla's own naive loop (float32) must agree with ours."""
    from fla.ops.gla.naive import naive_recurrent_gla

    with torch.no_grad():
        theirs, state = naive_recurrent_gla(
            inputs["q"], inputs["k"], inputs["v"], inputs["g"], initial_state=inputs["h0"],
            output_final_state=True)
    worst = max(relative_error(theirs, o.detach()), relative_error(state, ht.detach()))
    if worst > 1e-5:
        raise ValueError(f"fla's naive_recurrent_gla differs by {worst}")


def main(names):
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    reference.fla_gla()
    if not names:
        make_kernel()
    for name in names or CASES:
        print(describe(make_case(name)))


if __name__ == "__main__":
    main(sys.argv[1:])
