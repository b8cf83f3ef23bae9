"""The GLA training step of gla_torch.py in JAX, jitted as a whole: a second peer.

    pip install jax==0.10.2 safetensors numpy
    python Tests/Peers/gla_jax.py [--tokens 2048] [--threads 2] [sizes]
    python Tests/Peers/gla_jax.py --check

Prints one JSON line with the keys of gla_torch.py. XLA chooses its own number of threads from the cores the
process may use, so `--threads` restricts those. The step is forward, backward, clipping and AdamW (decay on
matrices only), float32, its buffers donated. Same chunkwise form and same limits as gla_torch.py.
Alphabet: B batch, T tokens, H heads, K key channels a head, V value channels a head, C chunk, N chunks.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from functools import partial
from pathlib import Path

FIXTURE = Path(__file__).resolve().parents[1] / "Fixtures" / "gla" / "plain"
LEARNING_RATE, BETAS, EPSILON, DECAY, CLIP = 3e-4, (0.9, 0.95), 1e-8, 0.1, 1.0


def parse():
    parser = argparse.ArgumentParser(description="Speed of a JAX GLA training step on the CPU.")
    for name, default in dict(hidden=1024, layers=4, heads=4, intermediate=2816, vocab=32000, chunk=64, tokens=2048,
                              batch=1, threads=2, steps=5, warmup=2).items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--check", action="store_true", help="compare with the `plain` fixture instead")
    return parser.parse_args()


OPTIONS = parse()
# Before JAX starts: its thread pool is as large as the number of cores the process may use.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:OPTIONS.threads])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402


def rms_norm(x, weight):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * weight


def linear(x, weight):
    """x [..., in] times weight [out, in], as checkpoints store it."""
    return jnp.einsum("...i,oi->...o", x, weight)


def chunked_gla(q, k, v, log_gates, chunk):
    """`S_t = diag(a_t) S_{t-1} + k_t v_t^T`, `o_t = K^-0.5 S_t^T q_t`. Operands [B, T, H, K or V]."""
    length = q.shape[1]

    def split(x):  # [B, T, H, D] -> [N, B, H, C, D]; the padding's k = 0 and log gate = 0 change nothing
        x = jnp.pad(x, ((0, 0), (0, -length % chunk), (0, 0), (0, 0)))
        return x.reshape(x.shape[0], -1, chunk, *x.shape[2:]).transpose(1, 0, 3, 2, 4)

    q, k, v, cumulative = split(q) * q.shape[-1] ** -0.5, split(k), split(v), jnp.cumsum(split(log_gates), -2)
    total = cumulative[..., -1:, :]
    q = q * jnp.exp(cumulative)
    scores = jnp.tril(q @ (k * jnp.exp(-cumulative)).swapaxes(-1, -2))
    updates = (k * jnp.exp(total - cumulative)).swapaxes(-1, -2) @ v
    decays = jnp.exp(total).swapaxes(-1, -2)

    def advance(state, step):
        update, decay = step
        return decay * state + update, state

    _, states = jax.lax.scan(advance, jnp.zeros_like(updates[0]), (updates, decays))
    o = scores @ v + q @ states  # [N, B, H, C, V]
    return o.transpose(1, 0, 3, 2, 4).reshape(o.shape[1], -1, o.shape[2], o.shape[4])[:, :length]


def attention(p, prefix, x, heads, chunk):
    def split(y):
        return y.reshape(*y.shape[:-1], heads, -1)

    q, k, v, g = (linear(x, p[f"{prefix}{name}_proj.weight"]) for name in "qkvg")
    gates = linear(linear(x, p[prefix + "gk_proj.0.weight"]), p[prefix + "gk_proj.1.weight"])
    log_gates = jax.nn.log_sigmoid(gates + p[prefix + "gk_proj.1.bias"]) / 16
    o = rms_norm(chunked_gla(split(q), split(k), split(v), split(log_gates), chunk),
                 p[prefix + "g_norm_swish_gate.weight"])
    return linear(o.reshape(g.shape) * jax.nn.silu(g), p[prefix + "o_proj.weight"])


def loss_of(p, tokens, layers, heads, chunk):
    """The mean cross-entropy of tokens[:, 1:], for tokens [B, T + 1] and parameters by their fla names."""
    x = p["model.embeddings.weight"][tokens[:, :-1]]
    for index in range(layers):
        prefix = f"model.layers.{index}."
        x = x + attention(p, prefix + "attn.", rms_norm(x, p[prefix + "attn_norm.weight"]), heads, chunk)
        y = rms_norm(x, p[prefix + "mlp_norm.weight"])
        gate, up = (linear(y, p[f"{prefix}mlp.{name}_proj.weight"]) for name in ("gate", "up"))
        x = x + linear(jax.nn.silu(gate) * up, p[prefix + "mlp.down_proj.weight"])
    logits = linear(rms_norm(x, p["model.norm.weight"]), p["lm_head.weight"])
    chosen = jnp.take_along_axis(logits, tokens[:, 1:, None], -1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, -1) - chosen)


def initial_parameters(options):
    """Parameters by name: matrices with a deviation of 0.02, norms one, the gate bias zero."""
    D, keys, values = options.hidden, options.hidden // 2, options.hidden
    shapes = {"model.embeddings.weight": (options.vocab, D), "model.norm.weight": (D,),
              "lm_head.weight": (options.vocab, D)}
    layer = {
        "attn_norm.weight": (D,), "mlp_norm.weight": (D,), "attn.q_proj.weight": (keys, D),
        "attn.k_proj.weight": (keys, D), "attn.v_proj.weight": (values, D), "attn.g_proj.weight": (values, D),
        "attn.gk_proj.0.weight": (16, D), "attn.gk_proj.1.weight": (keys, 16), "attn.gk_proj.1.bias": (keys,),
        "attn.g_norm_swish_gate.weight": (values // options.heads,), "attn.o_proj.weight": (D, values),
        "mlp.gate_proj.weight": (options.intermediate, D), "mlp.up_proj.weight": (options.intermediate, D),
        "mlp.down_proj.weight": (D, options.intermediate)}
    for index in range(options.layers):
        shapes.update({f"model.layers.{index}.{name}": shape for name, shape in layer.items()})
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return {name: 0.02 * jax.random.normal(key, shape) if len(shape) == 2
            else jnp.full(shape, 0.0 if name.endswith("bias") else 1.0)
            for key, (name, shape) in zip(keys, shapes.items())}


@partial(jax.jit, static_argnums=(5, 6, 7), donate_argnums=(0, 1, 2))
def train_step(p, m, v, step, tokens, layers, heads, chunk):
    """One AdamW step; returns the parameters, both moments and the loss."""
    loss, gradients = jax.value_and_grad(loss_of)(p, tokens, layers, heads, chunk)
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradients.values()))
    scale = jnp.minimum(1.0, CLIP / (norm + 1e-6))
    updated = {}, {}, {}
    for name, g in gradients.items():
        g = g * scale
        first = BETAS[0] * m[name] + (1 - BETAS[0]) * g
        second = BETAS[1] * v[name] + (1 - BETAS[1]) * g * g
        direction = first / (1 - BETAS[0] ** step) / (jnp.sqrt(second / (1 - BETAS[1] ** step)) + EPSILON)
        kept = p[name] * (1 - LEARNING_RATE * DECAY) if p[name].ndim >= 2 else p[name]
        for place, value in zip(updated, (kept - LEARNING_RATE * direction, first, second)):
            place[name] = value
    return *updated, loss


def measure(options):
    """Seconds of each measured step, and the number of parameters."""
    p = initial_parameters(options)
    count = sum(value.size for value in p.values())
    m, v = ({name: jnp.zeros_like(value) for name, value in p.items()} for _ in range(2))
    seconds = []
    for step in range(options.warmup + options.steps):
        tokens = jax.random.randint(jax.random.key(step), (options.batch, options.tokens + 1), 0, options.vocab)
        start = time.perf_counter()
        p, m, v, loss = train_step(p, m, v, step + 1.0, tokens, options.layers, options.heads, options.chunk)
        loss = float(jax.block_until_ready((p, loss))[1])
        if not abs(loss) < float("inf"):
            raise SystemExit(f"error: loss {loss} at step {step}")
        if step >= options.warmup:
            seconds.append(time.perf_counter() - start)
        print(f"step {step + 1}", file=sys.stderr, flush=True)
    return seconds, count


def check(options):
    """Loss and gradients against fla's numbers, on the `plain` fixture."""
    from safetensors.numpy import load_file

    config = json.loads((FIXTURE / "config.json").read_text())
    reference = json.loads((FIXTURE / "reference.json").read_text())
    p = {name: jnp.asarray(value) for name, value in load_file(FIXTURE / "model.safetensors").items()}
    loss, gradients = jax.value_and_grad(loss_of)(
        p, jnp.asarray(reference["tokens"]), config["num_hidden_layers"], config["num_heads"], options.chunk)
    worst = max(float(abs(gradients[name] - value).max() / abs(value).max())
                for name, value in load_file(FIXTURE / "reference.safetensors").items()
                if name != "logits" and not name.startswith("update/"))
    print(json.dumps(dict(loss=float(loss), fla=reference["loss_float64"], worst_relative_gradient_error=worst)))
    if abs(float(loss) - reference["loss_float64"]) > 1e-5 or worst > 1e-4:
        raise SystemExit("error: the chunkwise form disagrees")


def main(options):
    if options.check:
        check(options)
        return
    seconds, parameters = measure(options)
    rates = [options.batch * options.tokens / s for s in seconds]
    print(json.dumps(dict(
        peer=f"jax-{jax.__version__}-jit-fp32", tokens_per_second=round(statistics.median(rates), 1),
        slowest=round(min(rates), 1), fastest=round(max(rates), 1), steps=options.steps,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        parameters=parameters, tokens=options.batch * options.tokens, threads=options.threads)))


if __name__ == "__main__":
    main(OPTIONS)
