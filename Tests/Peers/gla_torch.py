"""A whole GLA training step in PyTorch on the CPU: the peer that our speed is compared with.

    python Tests/Peers/gla_torch.py [--compile] [--bf16] [--tokens 2048] [--threads 2] [sizes]
    python Tests/Peers/gla_torch.py --check

Prints one JSON line, for example
{"peer": "torch-2.13.0+cpu-eager-fp32", "tokens_per_second": 233.1, "steps": 5, "peak_rss_mb": 3900, ...},
the speed being the median over the measured steps. A step is forward, backward, clipping and a fused AdamW.

An honest best effort: the recurrence is in its chunkwise form, as batched matrix products over all heads
and chunks at once, with one short loop that hands the state from chunk to chunk. Inside a chunk it uses
exp(G) and exp(-G) without a safe path, which is the fastest form and right only while the log gates of a
chunk sum to more than about -80; a model drawn afresh stays far from that.
Alphabet: B batch, T tokens, H heads, K key channels a head, V value channels a head, C chunk, N chunks.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import training_step

FIXTURE = Path(__file__).resolve().parents[1] / "Fixtures" / "gla" / "plain"


def chunked_gla(q, k, v, log_gates, chunk):
    """`S_t = diag(a_t) S_{t-1} + k_t v_t^T`, `o_t = K^-0.5 S_t^T q_t`. Operands [B, T, H, K or V]."""
    length = q.shape[1]
    padding = -length % chunk

    def split(x):  # [B, T, H, D] -> [B, H, N, C, D]; the padding's k = 0 and log gate = 0 change nothing
        x = F.pad(x, (0, 0, 0, 0, 0, padding)) if padding else x
        return x.unflatten(1, (-1, chunk)).permute(0, 3, 1, 2, 4)

    q, k, v, cumulative = split(q) * q.shape[-1] ** -0.5, split(k), split(v), split(log_gates).cumsum(-2)
    total = cumulative[..., -1:, :]
    q = q * cumulative.exp()
    within = (q @ (k * (-cumulative).exp()).transpose(-1, -2)).tril() @ v
    updates = (k * (total - cumulative).exp()).transpose(-1, -2) @ v  # [B, H, N, K, V]
    decays = total.exp().transpose(-1, -2)
    state = torch.zeros_like(updates[:, :, 0])
    states = []
    for update, decay in zip(updates.unbind(2), decays.unbind(2)):
        states.append(state)
        state = decay * state + update
    o = within + q @ torch.stack(states, dim=2).to(q.dtype)
    return o.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :length]


def recurrent_gla(q, k, v, log_gates, chunk):
    """The same, one token at a time."""
    decay = log_gates.exp()
    state = v.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    outputs = []
    for t in range(q.shape[1]):
        state = decay[:, t, :, :, None] * state + k[:, t, :, :, None] * v[:, t, :, None, :]
        outputs.append(torch.einsum("bhk,bhkv->bhv", q[:, t], state))
    return torch.stack(outputs, dim=1) * q.shape[-1] ** -0.5


class Attention(nn.Module):
    """GLA's token mixer; parameter names are fla's."""

    def __init__(self, hidden, heads, expand_k, expand_v, chunk):
        super().__init__()
        self.heads, self.chunk, self.recurrence = heads, chunk, chunked_gla
        keys, values = round(hidden * expand_k), round(hidden * expand_v)
        self.q_proj = nn.Linear(hidden, keys, bias=False)
        self.k_proj = nn.Linear(hidden, keys, bias=False)
        self.v_proj = nn.Linear(hidden, values, bias=False)
        self.g_proj = nn.Linear(hidden, values, bias=False)
        self.gk_proj = nn.Sequential(nn.Linear(hidden, 16, bias=False), nn.Linear(16, keys))
        self.g_norm_swish_gate = nn.RMSNorm(values // heads, eps=1e-6)
        self.o_proj = nn.Linear(values, hidden, bias=False)

    def forward(self, x):
        def heads(y):
            return y.unflatten(-1, (self.heads, -1))

        log_gates = F.logsigmoid(self.gk_proj(x).to(self.gk_proj[1].bias.dtype)) / 16
        o = self.recurrence(heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x)),
                            heads(log_gates), self.chunk)
        return self.o_proj(self.g_norm_swish_gate(o).flatten(-2) * F.silu(self.g_proj(x)))


class MLP(nn.Module):
    def __init__(self, hidden, intermediate):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, intermediate, bias=False)
        self.up_proj = nn.Linear(hidden, intermediate, bias=False)
        self.down_proj = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.attn_norm = nn.RMSNorm(options.hidden, eps=1e-6)
        self.attn = Attention(options.hidden, options.heads, options.expand_k, options.expand_v,
                              options.chunk)
        self.mlp_norm = nn.RMSNorm(options.hidden, eps=1e-6)
        self.mlp = MLP(options.hidden, options.intermediate)

    def forward(self, x):
        x = x + self.attn(self.attn_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Decoder(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.embeddings = nn.Embedding(options.vocab, options.hidden)
        self.layers = nn.ModuleList(Block(options) for _ in range(options.layers))
        self.norm = nn.RMSNorm(options.hidden, eps=1e-6)

    def forward(self, tokens):
        x = self.embeddings(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class LanguageModel(nn.Module):
    """Returns the mean cross-entropy of tokens[:, 1:], for tokens [B, T + 1]."""

    def __init__(self, options):
        super().__init__()
        self.model = Decoder(options)
        self.lm_head = nn.Linear(options.hidden, options.vocab, bias=False)
        if options.tied:
            self.lm_head.weight = self.model.embeddings.weight
        for parameter in self.parameters():
            if parameter.dim() >= 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens):
        logits = self.lm_head(self.model(tokens[:, :-1]))
        # Under autocast cross_entropy computes in float32.
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def check(options):
    """The chunkwise model against the token loop and against fla's numbers, on the `plain` fixture."""
    from safetensors.torch import load_file

    config = json.loads((FIXTURE / "config.json").read_text())
    reference = json.loads((FIXTURE / "reference.json").read_text())
    options.hidden, options.layers = config["hidden_size"], config["num_hidden_layers"]
    options.heads, options.vocab = config["num_heads"], config["vocab_size"]
    options.intermediate, options.tied = config["intermediate_size"], config["tie_word_embeddings"]
    options.expand_k, options.expand_v = config["expand_k"], config["expand_v"]
    model = LanguageModel(options)
    model.load_state_dict(load_file(FIXTURE / "model.safetensors"))
    tokens = torch.tensor(reference["tokens"])
    losses = {}
    for recurrence in (chunked_gla, recurrent_gla):
        for layer in model.model.layers:
            layer.attn.recurrence = recurrence
        losses[recurrence.__name__] = model(tokens).item()
    model.model.layers.apply(lambda m: setattr(m, "recurrence", chunked_gla))
    model.zero_grad()
    model(tokens).backward()
    worst = 0.0
    for name, gradient in load_file(FIXTURE / "reference.safetensors").items():
        if name != "logits" and not name.startswith("update/"):
            error = model.get_parameter(name).grad - gradient
            worst = max(worst, (error.abs().max() / gradient.abs().max()).item())
    fla = reference["loss_float64"]
    print(json.dumps(dict(losses, fla=fla, worst_relative_gradient_error=worst)))
    if max(abs(loss - fla) for loss in losses.values()) > 1e-5 or worst > 1e-4:
        raise SystemExit("error: the chunkwise form disagrees")


def parse():
    parser = training_step.make_parser(
        "Speed of a PyTorch GLA training step on the CPU.",
        hidden=1024, layers=4, heads=4, intermediate=2816, vocab=32000, chunk=64)
    parser.add_argument("--expand-k", type=float, default=0.5)
    parser.add_argument("--expand-v", type=float, default=1.0)
    parser.add_argument("--tied", action="store_true", help="lm_head is the embedding matrix")
    return parser.parse_args()


if __name__ == "__main__":
    training_step.main(f"torch-{torch.__version__}", parse(), LanguageModel, check)
