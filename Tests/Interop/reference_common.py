"""What the references of all model families share: loading, losses, fixtures and comparisons.

A `reference` here is a module (fla_reference, mamba2_reference) with

    load_model(directory, dtype)    the model in a Hugging Face directory
    logits_of(model, inputs)        [B, T, vocabulary] for tokens [B, T], in the model's dtype
    token_losses(model, tokens)     [B, T] nats for tokens [B, T + 1]
    versions()                      the package versions that define the reference
"""

import json
import struct
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

BATCH = 2
STEPS = 12
SAMPLES = 512
OPTIMIZER = dict(lr=1e-3, betas=[0.9, 0.95], eps=1e-8, weight_decay=0.1, grad_clip=1.0)


# Models and losses.

def package_versions(*packages):
    """Installed versions by package, for the record in a fixture."""
    return {package: version(package) for package in packages}


def load_tensors(directory):
    """Every tensor by name of a Hugging Face directory of safetensors, in one file or several."""
    directory = Path(directory)
    index = directory / "model.safetensors.index.json"
    files = {"model.safetensors"}
    if index.exists():
        files = set(json.loads(index.read_text())["weight_map"].values())
    tensors = {}
    for file in sorted(files):
        tensors.update(load_file(directory / file))
    return tensors


def load_weights(model, directory):
    """Fills `model` from a Hugging Face directory. Every tensor must fit; a tied head may be absent."""
    missing, unexpected = model.load_state_dict(load_tensors(directory), strict=False)
    if model.config.tie_word_embeddings:
        missing = [name for name in missing if name != "lm_head.weight"]
        model.tie_weights()
    if missing or unexpected:
        raise ValueError(f"{directory}: missing {missing}, unexpected {unexpected}")
    return model


def cross_entropy(logits, targets):
    """Nats of each target: [B, T] for logits [B, T, vocabulary] and targets [B, T]."""
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


# Fixtures.

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


def train(reference, directory, batches, dtype):
    """A run from the model in `directory`: its losses and gradient norms (before clipping) by step, and
    what it added to each parameter by name."""
    model = reference.load_model(directory, dtype)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
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
    updates = {name: p.detach() - before[name] for name, p in model.named_parameters()}
    return dict(losses=losses, grad_norms=norms), updates


def sample(tensor):
    """At most SAMPLES elements of a tensor, evenly spaced in row-major order from the first one."""
    flat = tensor.flatten()
    return flat[::-(-flat.numel() // SAMPLES)]


def distance(a, b):
    """Euclidean distance of two tensors over the length of `b`; 0 for two zeros."""
    return ((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-300)).item()


def evaluate(reference, directory, tokens, dtype):
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


def write_reference(reference, directory, name, seed, batches):
    """Writes reference.json and reference.safetensors for the model in `directory`; returns the former.

    `batches` are STEPS token tensors [BATCH, T + 1]; the first one gives the losses and gradients.
    """
    length = batches[0].shape[1] - 1
    wide = evaluate(reference, directory, batches[0], torch.float64)
    narrow = evaluate(reference, directory, batches[0], torch.float32)
    for parameter, gradient in wide["gradients"].items():
        if not gradient.isfinite().all() or gradient.abs().max() == 0:
            raise ValueError(f"{name}: the gradient of {parameter} is trivial")
    positions = [*range(4), *range(length - 4, length)]
    tensors = {key: value.float().contiguous() for key, value in wide["gradients"].items()}
    tensors["logits"] = wide["logits"][positions].float().contiguous()
    wide_run, updates = train(reference, directory, batches, torch.float64)
    narrow_run, narrow_updates = train(reference, directory, batches, torch.float32)
    for key, update in updates.items():
        tensors["update/" + key] = sample(update).float().contiguous()
    save_file(tensors, directory / "reference.safetensors", metadata={"format": "pt"})
    document = dict(
        case=name, versions=reference.versions(), seed=seed, batch=BATCH, length=length,
        tokens=batches[0].tolist(),
        loss_float64=wide["loss"], loss_float32=narrow["loss"],
        grad_norm_float64=wide["grad_norm"], grad_norm_float32=narrow["grad_norm"],
        token_nll_float64=wide["token_nll"],
        logits_positions=positions,
        float32_relative_error=dict(
            logits=relative_error(narrow["logits"], wide["logits"]),
            gradients={key: relative_error(narrow["gradients"][key], value)
                       for key, value in wide["gradients"].items()},
            updates={key: distance(narrow_updates[key], value) for key, value in updates.items()}),
        training=dict(
            optimizer=OPTIMIZER, batches=[batch.tolist() for batch in batches],
            update_norms_float64={key: value.norm().item() for key, value in updates.items()},
            float64=wide_run, float32=narrow_run))
    (directory / "reference.json").write_text(json.dumps(document) + "\n")
    return document


def describe(document):
    """One line on a reference.json, for the one who makes it."""
    run = document["training"]["float64"]["losses"]
    gap = max(abs(a - b) for a, b in zip(run, document["training"]["float32"]["losses"]))
    worst = max(document["float32_relative_error"]["gradients"].values())
    return (f"{document['case']}: loss {document['loss_float64']:.6f} grad_norm "
            f"{document['grad_norm_float64']:.4f} run {run[0]:.4f} -> {run[-1]:.4f}; float32: "
            f"run {gap:.1e}, gradients {worst:.1e}")


# Comparisons.

def relative_error(a, b):
    """Largest difference over the largest magnitude of `b`."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def assert_same_tensors(made, committed, tolerance):
    """Equal names and shapes of two files; differences up to `tolerance` of the largest magnitude."""
    made, committed = load_file(made), load_file(committed)
    assert made.keys() == committed.keys()
    for name, expected in committed.items():
        assert made[name].shape == expected.shape, name
        error = (made[name].double() - expected.double()).abs().max()
        assert error <= tolerance * expected.double().abs().max(), f"{name}: differs by {error}"


def assert_same_document(made, expected):
    """Two reference.json agree: tokens exactly, float64 numbers to 1e-10, float32 ones to 1e-5."""
    assert made["tokens"] == expected["tokens"]
    assert made["training"]["batches"] == expected["training"]["batches"]
    for key in ("loss_float64", "grad_norm_float64", "token_nll_float64"):
        np.testing.assert_allclose(made[key], expected[key], rtol=1e-10, err_msg=key)
    for key in ("losses", "grad_norms"):
        for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-5)):
            np.testing.assert_allclose(
                made["training"][dtype][key], expected["training"][dtype][key], rtol=tolerance,
                err_msg=f"{dtype} {key}")


def write_megatron(prefix, documents):
    """Writes `prefix.bin` and `prefix.idx` (Megatron-LM indexed dataset, version 1, u16 tokens)."""
    lengths = [len(document) for document in documents]
    pointers = np.cumsum([0, *lengths])[:-1] * 2
    prefix.with_suffix(".bin").write_bytes(b"".join(np.array(d, "<u2").tobytes() for d in documents))
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, len(documents), len(documents) + 1)
    prefix.with_suffix(".idx").write_bytes(
        header + np.array(lengths, "<i4").tobytes() + pointers.astype("<i8").tobytes()
        + np.arange(len(documents) + 1, dtype="<i8").tobytes())
