"""Mamba2 (arXiv:2405.21060) in which every layer may have its own state size.

Each head keeps a state S of N x P numbers. With time steps dt_t and a rate A < 0,

    S_t = exp(A dt_t) S_{t-1} + dt_t B_t x_t^T,    y_t = S_t^T C_t + D x_t.

Letters: B batch, T tokens, H heads, P channels of a head, N state size, G groups of heads that share B and
C, R = H / G, Q tokens of a chunk.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .configuration_statex_mamba2 import StatexMamba2Config
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


def sums_between(g: Tensor) -> Tensor:
    """`g[s + 1] + ... + g[t]` at [t, s] for s <= t, -infinity above the diagonal: [..., Q] -> [..., Q, Q].

    Only what lies between is added up, so no digits are lost to gates that came before.
    """
    length = g.shape[-1]
    below = torch.ones(length, length, dtype=torch.bool, device=g.device).tril(-1)
    terms = g[..., None].expand(*g.shape, length).masked_fill(~below, 0)
    return terms.cumsum(-2).masked_fill(below.T, -torch.inf)


def chunk_ssd(
    x: Tensor, dt: Tensor, rate: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The recurrence without its D term, Q tokens at a time, in plain PyTorch.

    x: [B, T, H, P]; dt: [B, T, H]; rate: [H], A above; b, c: [B, T, G, N]; state: [B, G, N, R, P], zeros if
    None. Returns y [B, T, H, P] and the next state.
    """
    tokens, groups = x.shape[1], b.shape[2]
    chunk = min(CHUNK, tokens)

    def chunks(x: Tensor) -> Tensor:  # [B, chunks, Q, ...]; the tokens added have time steps of 0
        return F.pad(x, (0, 0) * (x.dim() - 2) + (0, -tokens % chunk)).unflatten(1, (-1, chunk))

    g = chunks(rate * dt).unflatten(-1, (groups, -1)).permute(0, 1, 3, 4, 2)  # [B, chunks, G, R, Q]
    x = chunks(dt[..., None] * x).unflatten(3, (groups, -1)).permute(0, 1, 3, 4, 2, 5)  # [..., G, R, Q, P]
    b, c = chunks(b).transpose(2, 3), chunks(c).transpose(2, 3)  # [B, chunks, G, Q, N]
    between = sums_between(g)
    scores = (c @ b.transpose(-1, -2))[:, :, :, None] * between.exp()
    within = scores @ x
    from_start = g.cumsum(-1).exp()
    # The heads of a group lie side by side, so that one product serves them all.
    written = (x * between[..., -1, :, None].exp()).transpose(3, 4).flatten(-2)  # [B, chunks, G, Q, R P]
    b = b.transpose(-1, -2)
    heads = g.shape[3]
    if state is None:
        state = x.new_zeros(x.shape[0], groups, b.shape[-2], heads, x.shape[-1])
    outputs = []
    for n in range(x.shape[1]):
        read = (c[:, n] @ state.flatten(-2)).unflatten(-1, (heads, -1)).transpose(2, 3)  # [B, G, R, Q, P]
        outputs.append(within[:, n] + from_start[:, n, ..., None] * read)
        update = (b[:, n] @ written[:, n]).unflatten(-1, (heads, -1))
        state = from_start[:, n, :, None, :, -1, None] * state + update
    y = torch.stack(outputs, dim=1).permute(0, 1, 4, 2, 3, 5)  # [B, chunks, Q, G, R, P]
    return y.flatten(3, 4).flatten(1, 2)[:, :tokens], state


def mamba_ssm_ssd(
    x: Tensor, dt: Tensor, rate: Tensor, b: Tensor, c: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """The same by mamba_ssm's Triton kernel on a GPU; None without it. Not tested: no GPU was at hand."""
    if not x.is_cuda or x.dtype == torch.float64:
        return None
    try:
        from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined
    except ImportError:
        return None
    if state is not None:  # theirs is [B, H, P, N]
        state = state.permute(0, 1, 3, 4, 2).flatten(1, 2).contiguous()
    y, state = mamba_chunk_scan_combined(
        x, dt, rate, b, c, chunk_size=256, initial_states=state, return_final_states=True
    )
    return y, state.unflatten(1, (b.shape[2], -1)).permute(0, 1, 4, 2, 3)


class StatexMamba2Mixer(nn.Module):
    """The token mixer of one layer, with that layer's state size."""

    def __init__(self, config: StatexMamba2Config, index: int) -> None:
        super().__init__()
        self.heads, self.groups = config.num_heads, config.n_groups
        self.inner = config.num_heads * config.head_dim
        self.states = config.n_groups * config.layer_state_size(index)
        self.time_step_limit = config.time_step_limit
        convolved = self.inner + 2 * self.states
        self.in_proj = nn.Linear(
            config.hidden_size, self.inner + convolved + self.heads, bias=config.use_bias
        )
        self.conv1d = ShortConvolution(convolved, config.conv_kernel, bias=config.use_conv_bias)
        self.dt_bias = nn.Parameter(torch.ones(self.heads))
        self.A_log = nn.Parameter(torch.arange(1, self.heads + 1).log())
        self.D = nn.Parameter(torch.ones(self.heads))
        self.norm = RMSNorm(self.inner, config.layer_norm_epsilon)
        self.out_proj = nn.Linear(self.inner, config.hidden_size, bias=config.use_bias)

    def forward(
        self, x: Tensor, state: LayerState | None, padding: Padding | None
    ) -> tuple[Tensor, LayerState]:
        """Mixes the normed hidden states x [B, T, D]; also returns the next state."""
        dtype = x.dtype
        memory, tail = state or (None, None)
        z, xbc, dt = self.in_proj(x).split([self.inner, self.inner + 2 * self.states, self.heads], dim=-1)
        xbc, tail = self.conv1d(xbc, tail, padding)
        x, b, c = wide(xbc).split([self.inner, self.states, self.states], dim=-1)
        dt = F.softplus(wide(dt) + wide(self.dt_bias)).clamp(*self.time_step_limit)
        if padding is not None:  # what is no token writes nothing and leaves the state as it is
            dt = dt * padding.present[..., None]
        x = x.unflatten(-1, (self.heads, -1))
        b, c = (y.unflatten(-1, (self.groups, -1)) for y in (b, c))
        operands = (x, dt, -wide(self.A_log).exp(), b, c, memory)
        with torch.autocast(x.device.type, enabled=False):
            y, memory = mamba_ssm_ssd(*operands) or chunk_ssd(*operands)
        y = (y + wide(self.D)[:, None] * x).flatten(-2) * F.silu(wide(z))
        y = rms_norm(y.unflatten(-1, (self.groups, -1)), None, self.norm.eps).flatten(-2)
        return self.out_proj(self.norm.weight * y.to(dtype)), (memory, tail)


class StatexMamba2Block(RecurrentBlock):
    """The mixer on the normed residual stream."""

    def __init__(self, config: StatexMamba2Config, index: int) -> None:
        super().__init__(index)
        self.residual_in_fp32 = config.residual_in_fp32
        self.norm = RMSNorm(config.hidden_size, config.layer_norm_epsilon)
        self.mixer = StatexMamba2Mixer(config, index)

    def mix(
        self, x: Tensor, state: LayerState | None, padding: Padding | None
    ) -> tuple[Tensor, LayerState]:
        y, state = self.mixer(self.norm(x.to(self.norm.weight.dtype)), state, padding)
        return (wide(x) if self.residual_in_fp32 else x) + y, state


class StatexMamba2PreTrainedModel(StatexPreTrainedModel):
    """The family's configuration and names."""

    config_class = StatexMamba2Config
    base_model_prefix = "backbone"
    _no_split_modules = ["StatexMamba2Block"]


class StatexMamba2Model(StatexMamba2PreTrainedModel, StatexModel):
    """Embeddings, blocks and the last norm."""

    def __init__(self, config: StatexMamba2Config) -> None:
        super().__init__(config, StatexMamba2Block, norm_name="norm_f", norm_eps=config.layer_norm_epsilon)


class StatexMamba2ForCausalLM(StatexMamba2PreTrainedModel, StatexForCausalLM):
    """A Mamba2 language model, expanded or not."""

    _tied_weights_keys = {"lm_head.weight": "backbone.embeddings.weight"}

    def __init__(self, config: StatexMamba2Config) -> None:
        super().__init__(config, StatexMamba2Model(config))
