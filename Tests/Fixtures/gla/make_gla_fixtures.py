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

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers.utils import logging

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Interop"))

import fla_reference as reference  # noqa: E402

SEED = 20250922
BATCH = 2
STEPS = 12
OPTIMIZER = dict(lr=1e-3, betas=[0.9, 0.95], eps=1e-8, weight_decay=0.1, grad_clip=1.0)

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


def draw_tokens(rng, length, vocabulary):
    """[BATCH, length + 1] tokens: a frequency-skewed text whose later part repeats its beginning."""
    tokens = np.minimum(rng.geometric(4.0 / vocabulary, (BATCH, length + 1)), vocabulary) - 1
    quarter = length // 4
    tokens[:, 2 * quarter:3 * quarter] = tokens[:, :quarter]
    return torch.from_numpy(tokens.astype(np.int64))


def make_optimizer(model):
    """AdamW; weight decay on parameters of two or more dimensions only."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [dict(params=matrices, weight_decay=OPTIMIZER["weight_decay"]),
              dict(params=vectors, weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=OPTIMIZER["lr"], betas=tuple(OPTIMIZER["betas"]),
                             eps=OPTIMIZER["eps"], foreach=False)


def train(directory, batches, dtype):
    """Losses and gradient norms (before clipping) of a run from the model in `directory`."""
    model = reference.load_model(directory, dtype)
    optimizer = make_optimizer(model)
    losses, norms = [], []
    for tokens in batches:
        optimizer.zero_grad()
        loss = reference.token_losses(model, tokens).mean()
        loss.backward()
        # Scales by clip / (norm + 1e-6) when that is below one.
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER["grad_clip"])
        optimizer.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return dict(losses=losses, grad_norms=norms)


def evaluate(directory, tokens, dtype):
    """Loss, per-token losses and logits of the first sequence, gradients by name."""
    model = reference.load_model(directory, dtype)
    with torch.no_grad():
        logits = reference.logits_of(model, tokens[:1, :-1])[0]
    per_token = reference.token_losses(model, tokens)
    loss = per_token.mean()
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    norm = torch.stack([g.double().square().sum() for g in gradients.values()]).sum().sqrt().item()
    return dict(loss=loss.item(), token_nll=per_token[0].tolist(), logits=logits,
                gradients=gradients, grad_norm=norm)


def relative_error(a, b):
    """Largest difference over the largest magnitude of `b`."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


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
    length = case["length"]
    batches = [draw_tokens(rng, length, case["config"]["vocab_size"]) for _ in range(STEPS)]
    wide = evaluate(directory, batches[0], torch.float64)
    narrow = evaluate(directory, batches[0], torch.float32)
    for parameter, gradient in wide["gradients"].items():
        if not gradient.isfinite().all() or gradient.abs().max() == 0:
            raise ValueError(f"{name}: the gradient of {parameter} is trivial")
    positions = [*range(4), *range(length - 4, length)]
    tensors = {key: value.float().contiguous() for key, value in wide["gradients"].items()}
    tensors["logits"] = wide["logits"][positions].float().contiguous()
    save_file(tensors, directory / "reference.safetensors", metadata={"format": "pt"})
    document = dict(
        case=name, versions=reference.versions(), seed=SEED, batch=BATCH, length=length,
        tokens=batches[0].tolist(),
        loss_float64=wide["loss"], loss_float32=narrow["loss"],
        grad_norm_float64=wide["grad_norm"], grad_norm_float32=narrow["grad_norm"],
        token_nll_float64=wide["token_nll"],
        logits_positions=positions,
        float32_relative_error=dict(
            logits=relative_error(narrow["logits"], wide["logits"]),
            gradients={key: relative_error(narrow["gradients"][key], value)
                       for key, value in wide["gradients"].items()}),
        training=dict(
            optimizer=OPTIMIZER, batches=[batch.tolist() for batch in batches],
            float64=train(directory, batches, torch.float64),
            float32=train(directory, batches, torch.float32)))
    (directory / "reference.json").write_text(json.dumps(document) + "\n")
    return document


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
        document = make_case(name)
        run = document["training"]["float64"]["losses"]
        gap = max(abs(a - b) for a, b in zip(run, document["training"]["float32"]["losses"]))
        worst = max(document["float32_relative_error"]["gradients"].values())
        print(f"{name}: loss {document['loss_float64']:.6f} grad_norm "
              f"{document['grad_norm_float64']:.4f} run {run[0]:.4f} -> {run[-1]:.4f}; float32: "
              f"run {gap:.1e}, gradients {worst:.1e}")


if __name__ == "__main__":
    main(sys.argv[1:])
