"""fla's own GLA model, made to run on a CPU in float32 or float64.

`flash-linear-attention` defines the architecture and the checkpoint names, but its kernels are Triton
and need a GPU. This module imports the real modules (configuration, layers, blocks, model) and replaces
only the kernels by their plain-torch meaning:

    chunk_gla, fused_recurrent_gla, fused_chunk_gla -> recurrent_gla, a loop over tokens
    RMSNorm, FusedRMSNormGated, ShortConvolution    -> their formulas
    swiglu, swiglu_linear, ACT2FN                   -> torch.nn.functional

Everything stays in the dtype of its operands, so `model.double()` is a float64 reference.
Shared by Tests/Fixtures/gla/make_gla_fixtures.py and the tests of this folder; needs requirements.txt.
Alphabet: B batch, T tokens, H heads, K key channels a head, V value channels a head, W conv width.
"""

import json
import warnings
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

from reference_common import cross_entropy, load_weights, package_versions


def recurrent_gla(q, k, v, g=None, gk=None, scale=None, initial_state=None, output_final_state=False,
                  state_v_first=False, cu_seqlens=None, **_):
    """`S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T`, `o_t = scale S_t^T q_t`, one token at a time.

    q, k, gates: [B, T, H, K]; v: [B, T, H, V]; states: [B, H, K, V]. Returns (o, final state or None).
    The gates are `g` (fla's chunked kernels) or `gk` (fla's recurrent one); scale defaults to K^-0.5.
    """
    gates = g if g is not None else gk
    if cu_seqlens is not None:
        raise NotImplementedError("packed sequences")
    if state_v_first and (initial_state is not None or output_final_state):
        raise NotImplementedError("states laid out [V, K]")
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    decay = gates.exp()
    state = v.new_zeros(*q.shape[:1], *q.shape[2:], v.shape[-1]) if initial_state is None else initial_state
    outputs = []
    for t in range(q.shape[1]):
        state = decay[:, t, :, :, None] * state + k[:, t, :, :, None] * v[:, t, :, None, :]
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, t] * scale, state))
    return torch.stack(outputs, dim=1), state if output_final_state else None


def rms_norm(x, weight, eps):
    """`x / sqrt(mean(x^2) + eps) * weight` over the last dimension; `weight` may be None."""
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return y if weight is None else y * weight


def _norm_forward(self, x, residual=None, prenorm=False, residual_in_fp32=False):
    """fla's RMSNorm: the residual, where given, is added before the norm and handed on."""
    x = x if residual is None else x + residual
    y = rms_norm(x, self.weight, self.eps)
    return (y, x) if prenorm else y


def _gated_norm_forward(self, x, g, residual=None, prenorm=False, residual_in_fp32=False):
    """fla's FusedRMSNormGated: `norm(x) * silu(g)`."""
    if residual is not None or prenorm or self.activation not in ("swish", "silu"):
        raise NotImplementedError("gated norm with a residual or another gate")
    return rms_norm(x, self.weight, self.eps) * F.silu(g)


def _convolution_forward(self, x, residual=None, mask=None, cache=None, output_final_state=False,
                         cu_seqlens=None, **_):
    """fla's ShortConvolution: causal depthwise convolution, then SiLU. x: [B, T, D], weight: [D, 1, W]."""
    if any(option is not None for option in (residual, mask, cache, cu_seqlens)) or output_final_state:
        raise NotImplementedError("short convolution with a cache, mask or residual")
    padded = F.pad(x.transpose(1, 2), (self.kernel_size[0] - 1, 0))
    y = F.conv1d(padded, self.weight, self.bias, groups=self.groups).transpose(1, 2)
    return (y if self.activation is None else F.silu(y)), None


@cache
def fla_gla():
    """fla's GLA modules with their kernels replaced; raises ImportError where fla is not installed.

    Returns the triple (GLAConfig, GLAForCausalLM, GatedLinearAttention).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "Triton is not supported on current platform"
        import fla.layers.gla as layers
        import fla.modules.mlp as mlp
        from fla.models.gla import GLAConfig, GLAForCausalLM
    for kernel in ("chunk_gla", "fused_recurrent_gla", "fused_chunk_gla"):
        if not hasattr(layers, kernel):
            raise ImportError(f"fla.layers.gla no longer has {kernel}: adapt fla_reference.py")
        setattr(layers, kernel, recurrent_gla)
    layers.RMSNorm.forward = _norm_forward
    layers.FusedRMSNormGated.forward = _gated_norm_forward
    layers.ShortConvolution.forward = _convolution_forward
    layers.ACT2FN.update(swish=F.silu, silu=F.silu, sigmoid=torch.sigmoid, logsigmoid=F.logsigmoid)
    mlp.swiglu = lambda gate, up: F.silu(gate) * up
    mlp.swiglu_linear = lambda gate, up, weight, bias: F.linear(F.silu(gate) * up, weight, bias)
    return GLAConfig, GLAForCausalLM, layers.GatedLinearAttention


def versions():
    """The versions that define the reference, for the record in a fixture."""
    return package_versions("flash-linear-attention", "fla-core", "torch", "transformers", "safetensors",
                            "numpy")


def grouped_heads(heads, present):
    """Key and value heads of an expanded layer that does not say: the largest divisor of `heads` up to `present`."""
    return max(shared for shared in range(1, min(heads, present) + 1) if heads % shared == 0)


def build_model(fields):
    """A GLAForCausalLM (float32, parameters not yet set) from the fields of a `config.json`.

    The key `statex.layers` may give single layers another `num_heads` (and `num_kv_heads`); such a
    layer's attention module is fla's own, built with those counts. An export of ours then has a type of
    its own, and names a kernel that fla does not have.
    """
    config_class, model_class, attention_class = fla_gla()
    if fields.get("attn_mode") == "statex":
        fields = dict(fields, attn_mode="chunk")
    config = config_class.from_dict({name: value for name, value in fields.items() if name != "model_type"})
    model = model_class(config)
    for index, changes in (fields.get("statex") or {}).get("layers", {}).items():
        unknown = set(changes) - {"num_heads", "num_kv_heads"}
        if unknown:
            raise ValueError(f"statex.layers.{index}: unknown {sorted(unknown)}")
        heads = changes.get("num_heads", config.num_heads)
        shared = changes.get("num_kv_heads") or grouped_heads(heads, config.num_kv_heads or config.num_heads)
        model.model.layers[int(index)].attn = attention_class(
            mode=config.attn_mode, hidden_size=config.hidden_size, expand_k=config.expand_k,
            expand_v=config.expand_v, num_heads=heads, num_kv_heads=shared,
            feature_map=config.feature_map, use_short_conv=config.use_short_conv,
            conv_size=config.conv_size, use_output_gate=config.use_output_gate,
            gate_fn=config.hidden_act, elementwise_affine=config.elementwise_affine,
            norm_eps=config.norm_eps, clamp_min=config.clamp_min, fuse_norm=config.fuse_norm,
            layer_idx=int(index))
    return model


def load_model(directory, dtype=torch.float32):
    """The model in a Hugging Face directory, expanded layers included. Every tensor must fit."""
    model = build_model(json.loads((Path(directory) / "config.json").read_text()))
    return load_weights(model, directory).to(dtype)


def logits_of(model, inputs):
    """[B, T, vocabulary] for tokens [B, T]."""
    return model(input_ids=inputs, use_cache=False).logits


def token_losses(model, tokens):
    """Cross-entropy in nats of predicting tokens[:, 1:] from what stands before: [B, T] for [B, T+1]."""
    return cross_entropy(logits_of(model, tokens[:, :-1]), tokens[:, 1:])
