"""A whole Mamba2 training step of transformers on the CPU: the peer that our speed is compared with.

    python Tests/Peers/mamba2_torch.py [--compile] [--bf16] [--tokens 2048] [--threads 2] [sizes]
    python Tests/Peers/mamba2_torch.py --check

Prints one JSON line, for example
{"peer": "transformers-5.23.0-torch-2.13.0+cpu-eager-fp32", "tokens_per_second": 127.3, "steps": 5, ...},
the speed being the median over the measured steps. A step is forward, backward, clipping and a fused AdamW.

The model is `Mamba2ForCausalLM` as it is: without the CUDA kernels it runs its own chunkwise torch path,
which is what users get on a CPU. Its loss is given the logits of every position in float32, as it does by itself.
"""

import json
import logging
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from torch import nn
from transformers import Mamba2Config, Mamba2ForCausalLM

import training_step

FIXTURE = Path(__file__).resolve().parents[1] / "Fixtures" / "mamba2" / "plain"
EXPAND = 2


class LanguageModel(nn.Module):
    """Returns the mean cross-entropy of tokens[:, 1:], for tokens [B, T + 1]."""

    def __init__(self, config):
        super().__init__()
        self.model = Mamba2ForCausalLM(config).train()

    def forward(self, tokens):
        logits = self.model(input_ids=tokens[:, :-1], use_cache=False).logits
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def make_model(options):
    """The model of the sizes asked for, initialised by transformers, matrices with a deviation of 0.02."""
    return LanguageModel(Mamba2Config(
        hidden_size=options.hidden, num_hidden_layers=options.layers, state_size=options.state,
        head_dim=options.head_dim, num_heads=EXPAND * options.hidden // options.head_dim, expand=EXPAND,
        n_groups=options.groups, vocab_size=options.vocab, chunk_size=options.chunk,
        tie_word_embeddings=not options.untied, initializer_range=0.02))


def check(options):
    """The measured module against the numbers of the `plain` fixture, in the mode asked for."""
    from safetensors.torch import load_file

    reference = json.loads((FIXTURE / "reference.json").read_text())
    module = LanguageModel(Mamba2Config.from_pretrained(FIXTURE))
    missing, unexpected = module.model.load_state_dict(load_file(FIXTURE / "model.safetensors"), strict=False)
    module.model.tie_weights()
    if set(missing) - {"lm_head.weight"} or unexpected:
        raise SystemExit(f"error: missing {missing}, unexpected {unexpected}")
    forward = torch.compile(module) if options.compile else module
    with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
        loss = forward(torch.tensor(reference["tokens"]))
    loss.backward()
    worst = 0.0
    for name, gradient in load_file(FIXTURE / "reference.safetensors").items():
        if name != "logits" and not name.startswith("update/"):
            error = module.model.get_parameter(name).grad - gradient
            worst = max(worst, (error.abs().max() / gradient.abs().max()).item())
    expected = reference["loss_float64"]
    print(json.dumps(dict(loss=loss.item(), expected=expected, worst_relative_gradient_error=worst)))
    loss_limit, gradient_limit = (0.02, 0.1) if options.bf16 else (1e-5, 1e-4)
    if abs(loss.item() - expected) > loss_limit or worst > gradient_limit:
        raise SystemExit("error: the model disagrees with the fixture")


def parse():
    parser = training_step.make_parser(
        "Speed of a transformers Mamba2 training step on the CPU.",
        hidden=1024, layers=4, state=128, head_dim=64, groups=1, vocab=50288, chunk=256)
    parser.add_argument("--untied", action="store_true", help="lm_head has its own matrix")
    return parser.parse_args()


if __name__ == "__main__":
    logging.getLogger("transformers").setLevel(logging.ERROR)
    training_step.main(f"transformers-{transformers.__version__}-torch-{torch.__version__}", parse(), make_model, check)
