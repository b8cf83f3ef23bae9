"""The reference of Mamba2: transformers' own `Mamba2ForCausalLM`, unpatched, on a CPU.

transformers keeps parts of its torch path in float32 whatever the model's dtype (`.float()`). In float64
we run the same code under `Widened`, which turns each of those requests into one for float64.
`loop_logits` is an independent second reading: the recurrence as written in the paper, one token at a
time, from the tensors of a checkpoint alone.
Alphabet: B batch, T tokens, H heads, P channels a head, N state size, G groups, D hidden, W conv width.
"""

import copy

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from transformers import Mamba2Config, Mamba2ForCausalLM
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

from reference_common import cross_entropy, load_tensors, load_weights, package_versions


class Widened(TorchFunctionMode):
    """Inside, `x.float()` and every mention of torch.float32 mean float64."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        def widen(value):
            return torch.float64 if value is torch.float32 else value

        if function is torch.Tensor.float:
            function = torch.Tensor.double
        return function(*map(widen, args), **{key: widen(value) for key, value in (kwargs or {}).items()})


def versions():
    """The versions that define the reference, for the record in a fixture."""
    return package_versions("torch", "transformers", "safetensors", "numpy")


def build_model(config):
    """A Mamba2ForCausalLM (float32, parameters not yet set) for a Mamba2Config.

    The attribute `statex` may give single layers another `state_size`; such a layer's mixer is
    transformers' own, built from the configuration with that size.
    """
    model = Mamba2ForCausalLM(config)
    for index, changes in layer_changes(config).items():
        if set(changes) != {"state_size"}:
            raise ValueError(f"statex.layers.{index}: {sorted(changes)} is not just state_size")
        wider = copy.deepcopy(config)
        wider.state_size = changes["state_size"]
        model.backbone.layers[int(index)].mixer = Mamba2Mixer(wider, layer_idx=int(index))
    return model.eval()


def layer_changes(config):
    """What `statex.layers` says of single layers: fields by layer index (as text)."""
    return (getattr(config, "statex", None) or {}).get("layers", {})


def load_model(directory, dtype=torch.float32):
    """The model in a directory of transformers' layout, expanded layers included. Every tensor must fit."""
    model = build_model(Mamba2Config.from_pretrained(directory))
    return load_weights(model, directory).to(dtype)


def logits_of(model, inputs):
    """[B, T, vocabulary] for tokens [B, T], in the model's dtype."""
    if model.dtype == torch.float64:
        with Widened():
            return model(input_ids=inputs, use_cache=False).logits
    return model(input_ids=inputs, use_cache=False).logits


def token_losses(model, tokens):
    """Cross-entropy in nats of predicting tokens[:, 1:] from what stands before: [B, T] for [B, T+1]."""
    return cross_entropy(logits_of(model, tokens[:, :-1]), tokens[:, 1:])


def rms_norm(x, weight, eps, groups=1):
    """`x / sqrt(mean(x^2) + eps) * weight`, the mean over each of `groups` equal parts of the last dimension."""
    parts = x.unflatten(-1, (groups, -1))
    return (parts * torch.rsqrt(parts.square().mean(-1, keepdim=True) + eps)).flatten(-2) * weight


def ssd_loop(x, dt, A, B, C, D, state=None):
    """`S_t = exp(A dt_t) S_{t-1} + dt_t x_t B_t^T`, `y_t = S_t C_t + D x_t`, one token at a time.

    x: [B, T, H, P]; dt: [B, T, H]; A, D: [H]; B, C: [B, T, H, N]; state: [B, H, P, N] or None (zeros).
    Returns (y [B, T, H, P], the final state).
    """
    if state is None:
        state = x.new_zeros(x.shape[0], *x.shape[2:], B.shape[-1])
    outputs = []
    for t in range(x.shape[1]):
        decay = torch.exp(A * dt[:, t])[..., None, None]
        state = decay * state + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None, :]
        outputs.append((state @ C[:, t, :, :, None])[..., 0] + D[:, None] * x[:, t])
    return torch.stack(outputs, dim=1), state


def loop_mixer(y, tensors, config, state_size):
    """One layer's mixer on normed hidden states y [B, T, D]; `tensors` are those below `mixer.`."""
    H, P, G, N = config.num_heads, config.head_dim, config.n_groups, state_size
    z, xBC, dt = F.linear(y, tensors["in_proj.weight"], tensors.get("in_proj.bias")).split(
        [H * P, H * P + 2 * G * N, H], dim=-1)
    weight = tensors["conv1d.weight"]  # [channels, 1, W]
    W = weight.shape[-1]
    padded = F.pad(xBC, (0, 0, W - 1, 0))
    xBC = sum(padded[:, w:w + y.shape[1]] * weight[:, 0, w] for w in range(W))
    if "conv1d.bias" in tensors:
        xBC = xBC + tensors["conv1d.bias"]
    x, B, C = F.silu(xBC).split([H * P, G * N, G * N], dim=-1)
    B, C = (part.unflatten(-1, (G, N)).repeat_interleave(H // G, dim=2) for part in (B, C))
    dt = F.softplus(dt + tensors["dt_bias"]).clamp(*config.time_step_limit)
    y, _ = ssd_loop(x.unflatten(-1, (H, P)), dt, -torch.exp(tensors["A_log"]), B, C, tensors["D"])
    y = rms_norm(y.flatten(-2) * F.silu(z), tensors["norm.weight"], config.layer_norm_epsilon, groups=G)
    return F.linear(y, tensors["out_proj.weight"], tensors.get("out_proj.bias"))


def loop_logits(config, tensors, inputs):
    """Logits of tokens [B, T] from a Mamba2Config (with `statex`, perhaps) and the checkpoint's tensors."""
    def below(prefix):
        return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

    x = tensors["backbone.embeddings.weight"][inputs]
    for index in range(config.num_hidden_layers):
        norm, mixer = (below(f"backbone.layers.{index}.{part}.") for part in ("norm", "mixer"))
        state_size = layer_changes(config).get(str(index), {}).get("state_size", config.state_size)
        y = rms_norm(x, norm["weight"], config.layer_norm_epsilon)
        x = x + loop_mixer(y, mixer, config, state_size)
    x = rms_norm(x, tensors["backbone.norm_f.weight"], config.layer_norm_epsilon)
    return x @ tensors.get("lm_head.weight", tensors["backbone.embeddings.weight"]).T


def loop_loss(directory, tokens):
    """(mean loss, gradients by name) of the model in `directory` in float64, by the loop over tokens."""
    config = Mamba2Config.from_pretrained(directory)
    tensors = {name: t.double().requires_grad_() for name, t in load_tensors(directory).items()}
    loss = cross_entropy(loop_logits(config, tensors, tokens[:, :-1]), tokens[:, 1:]).mean()
    loss.backward()
    return loss.item(), {name: t.grad for name, t in tensors.items()}
