"""Gated linear attention (arXiv:2312.06635) in which every layer may have its own heads.

Each head keeps a state S of K x V numbers. With log gates g_t <= 0, one for each key channel,

    S_t = diag(exp(g_t)) S_{t-1} + k_t v_t^T,    o_t = scale S_t^T q_t.

Letters: B batch, T tokens, H heads, K and V key and value channels of a head, C tokens of a chunk.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_statex_gla import StatexGLAConfig
from .modeling_statex import (
    LayerState,
    Padding,
    RecurrentBlock,
    RMSNorm,
    ShortConvolution,
    StatexForCausalLM,
    StatexModel,
    StatexPreTrainedModel,
    rms_norm,
    wide,
)

CHUNK = 64
GATE_RANK = 16
GATE_NORMALIZER = 16
FEATURE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "logsigmoid": F.logsigmoid,
    "swish": F.silu,
    "silu": F.silu,
    "sqrelu": lambda x: F.relu(x).square(),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
}


def decayed_scores(q: Tensor, k: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """`A[t, s] = sum_c q[t, c] k[s, c] exp(g[s + 1, c] + ... + g[t, c])` for s <= t, 0 above the diagonal.

    q, k, g: [..., C, K], C a power of two. Returns A [..., C, C] and the sums of gates from the chunk's start
    to each token (itself included) and from each token (itself excluded) to the chunk's end, both [..., C, K].

    Blocks of tokens are joined in pairs, from single tokens up to the chunk. Between the halves of a pair the
    sum over gates is that from the middle to t plus that from s to the middle. Sums are built by additions
    only, so no exponent is positive and none is the difference of large numbers, however strong the gates.
    """
    scores = (q * k).sum(-1)[..., None, None]  # [..., blocks, L, L], L = 1
    from_start, to_end = g[..., None, :], torch.zeros_like(g)[..., None, :]  # [..., blocks, L, K]
    while scores.shape[-3] > 1:
        length = scores.shape[-1]
        (above, below), (start, start2), (end, end2) = (
            x.unflatten(-3, (-1, 2)).unbind(-3) for x in (scores, from_start, to_end)
        )
        late, early = (x.unflatten(-2, (-1, 2, length)).select(-3, half) for x, half in ((q, 1), (k, 0)))
        cross = (late * start2.exp()) @ (early * end.exp()).transpose(-1, -2)
        scores = torch.cat(
            [F.pad(above, (0, length)), torch.cat([cross, below], dim=-1)], dim=-2
        )
        from_start = torch.cat([start, start[..., -1:, :] + start2], dim=-2)
        to_end = torch.cat([end + start2[..., -1:, :], end2], dim=-2)
    return scores.squeeze(-3), from_start.squeeze(-3), to_end.squeeze(-3)


def chunk_gla(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The recurrence, C tokens at a time, in plain PyTorch.

    q, k, g: [B, T, H, K]; v: [B, T, H, V]; state: [B, H, K, V], zeros if None. Returns o [B, T, H, V] and the
    next state.
    """
    tokens = q.shape[1]
    chunk = min(CHUNK, 1 << (tokens - 1).bit_length())

    def chunks(x: Tensor) -> Tensor:  # [B, H, chunks, C, K]; the tokens added have k = v = 0 and open gates
        x = F.pad(x, (0, 0, 0, 0, 0, -tokens % chunk))
        return x.unflatten(1, (-1, chunk)).permute(0, 3, 1, 2, 4)

    q, k, v, g = chunks(q * scale), chunks(k), chunks(v), chunks(g)
    scores, from_start, to_end = decayed_scores(q, k, g)
    within = scores @ v
    reads = q * from_start.exp()
    writes = (k * to_end.exp()).transpose(-1, -2)
    decays = from_start[..., -1, :, None].exp()  # [B, H, chunks, K, 1]
    if state is None:
        state = v.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
    outputs = []
    for n in range(q.shape[2]):
        outputs.append(within[:, :, n] + reads[:, :, n] @ state)
        state = decays[:, :, n] * state + writes[:, :, n] @ v[:, :, n]
    o = torch.stack(outputs, dim=2).permute(0, 2, 3, 1, 4).flatten(1, 2)
    return o[:, :tokens], state


def fla_gla(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, scale: float, state: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """The same by fla's Triton kernels on a GPU; None without them. Not tested: no GPU was at hand."""
    if not q.is_cuda or q.dtype == torch.float64:
        return None
    try:
        from fla.ops.gla import chunk_gla as chunked
        from fla.ops.gla import fused_recurrent_gla as recurrent
    except ImportError:
        return None
    if q.shape[1] == 1:
        return recurrent(q, k, v, gk=g, scale=scale, initial_state=state, output_final_state=True)
    return chunked(q, k, v, g=g, scale=scale, initial_state=state, output_final_state=True)


class StatexGLAAttention(nn.Module):
    """The token mixer of one layer, with that layer's heads."""

    def __init__(self, config: StatexGLAConfig, index: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, mixing = config.layer_heads(index)
        hidden, keys, values = config.hidden_size, config.key_dim, config.value_dim
        if keys % self.heads or values % self.heads or self.heads % self.kv_heads:
            raise ValueError(
                f"layer {index}: {self.heads} heads of {self.kv_heads} for keys and values do not divide "
                f"{keys} key and {values} value channels"
            )
        self.head_dim = values // self.heads
        self.scale = (keys // self.heads) ** -0.5
        self.groups = self.heads // self.kv_heads
        self.clamp_min = config.clamp_min
        self.feature_map = FEATURE_MAPS[config.feature_map] if config.feature_map else None
        self.norm_eps = config.norm_eps

        shared_keys, shared_values = keys // self.groups, values // self.groups
        self.q_proj = nn.Linear(hidden, keys, bias=False)
        self.k_proj = nn.Linear(hidden, shared_keys, bias=False)
        self.v_proj = nn.Linear(hidden, shared_values, bias=False)
        self.g_proj = nn.Linear(hidden, values, bias=False) if config.use_output_gate else None
        self.gk_proj = nn.Sequential(
            nn.Linear(hidden, GATE_RANK, bias=False), nn.Linear(GATE_RANK, shared_keys)
        )
        self.short = config.use_short_conv
        if self.short:
            self.q_conv1d = ShortConvolution(keys, config.conv_size)
            self.k_conv1d = ShortConvolution(shared_keys, config.conv_size)
            self.v_conv1d = ShortConvolution(shared_values, config.conv_size)
        self.head_mixing = nn.Linear(keys, self.heads, bias=False) if mixing else None
        # fla names the output norm after whether it is fused with the gate.
        norm = RMSNorm(self.head_dim, config.norm_eps, affine=config.elementwise_affine)
        self.norm_name = "g_norm_swish_gate" if config.fuse_norm and config.use_output_gate else "g_norm"
        setattr(self, self.norm_name, norm)
        self.o_proj = nn.Linear(values, hidden, bias=False)

    def inputs(
        self, x: Tensor, tails: LayerState, padding: Padding | None
    ) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], LayerState]:
        """q, k, v and the log gates for x [B, T, D], each [B, T, heads, channels], and the next tails.

        `tails` are those of the convolutions after the tokens before; there are none at the start.
        """
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if self.short:
            convolutions = (self.q_conv1d, self.k_conv1d, self.v_conv1d)
            done = [
                convolution(y, tail, padding)
                for convolution, y, tail in zip(convolutions, (q, k, v), tails or (None, None, None))
            ]
            (q, k, v), tails = (tuple(part) for part in zip(*done))
        if self.feature_map is not None:
            q, k = self.feature_map(q), self.feature_map(k)
        g = F.logsigmoid(wide(self.gk_proj(x))) / GATE_NORMALIZER
        if self.clamp_min is not None:
            g = g.clamp_min(self.clamp_min)
        if padding is not None:  # what is no token writes nothing and leaves the state as it is
            v, g = v * padding.present[..., None], g * padding.present[..., None]
        q = wide(q).unflatten(-1, (self.heads, -1))
        k, v, g = (
            wide(y).unflatten(-1, (self.kv_heads, -1)).repeat_interleave(self.groups, dim=2)
            for y in (k, v, g)
        )
        if self.head_mixing is not None:  # each head reads the keys of all heads, with its coefficients
            q = q.flatten(-2)[:, :, None] * wide(self.head_mixing.weight)
            k, g = (y.flatten(-2)[:, :, None].expand_as(q) for y in (k, g))
        return (q, k, v, g), tails

    def forward(
        self, x: Tensor, state: LayerState | None, padding: Padding | None
    ) -> tuple[Tensor, LayerState]:
        """Mixes the normed hidden states x [B, T, D]; also returns the next state."""
        operands, tails = self.inputs(x, state[1:] if state else (), padding)
        arguments = (*operands, self.scale, state[0] if state else None)
        with torch.autocast(x.device.type, enabled=False):
            o, memory = fla_gla(*arguments) or chunk_gla(*arguments)
        norm = getattr(self, self.norm_name)
        o = rms_norm(o, norm.weight, norm.eps).to(x.dtype)
        if self.g_proj is not None:
            o = o * F.silu(self.g_proj(x)).unflatten(-1, (self.heads, -1))
        return self.o_proj(o.flatten(-2)), (memory, *tails)


class StatexGLAMLP(nn.Module):
    """`down(silu(gate x) up x)`."""

    def __init__(self, config: StatexGLAConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.mlp_dim, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.mlp_dim, bias=False)
        self.down_proj = nn.Linear(config.mlp_dim, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class StatexGLABlock(RecurrentBlock):
    """Attention, then the MLP, each on the normed residual stream."""

    def __init__(self, config: StatexGLAConfig, index: int) -> None:
        super().__init__(index)
        self.attn_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.attn = StatexGLAAttention(config, index)
        self.mlp_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.mlp = StatexGLAMLP(config)

    def mix(
        self, x: Tensor, state: LayerState | None, padding: Padding | None
    ) -> tuple[Tensor, LayerState]:
        y, state = self.attn(self.attn_norm(x), state, padding)
        x = x + y
        return x + self.mlp(self.mlp_norm(x)), state


class StatexGLAPreTrainedModel(StatexPreTrainedModel):
    """The family's configuration and names."""

    config_class = StatexGLAConfig
    base_model_prefix = "model"
    _no_split_modules = ["StatexGLABlock"]


class StatexGLAModel(StatexGLAPreTrainedModel, StatexModel):
    """Embeddings, blocks and the last norm."""

    def __init__(self, config: StatexGLAConfig) -> None:
        super().__init__(config, StatexGLABlock, norm_name="norm", norm_eps=config.norm_eps)


class StatexGLAForCausalLM(StatexGLAPreTrainedModel, StatexForCausalLM):
    """A GLA language model, expanded or not."""

    _tied_weights_keys = {"lm_head.weight": "model.embeddings.weight"}

    def __init__(self, config: StatexGLAConfig) -> None:
        super().__init__(config, StatexGLAModel(config))
