"""Writes state.bin: a small state dictionary as torch.save writes it.

    python Tests/Fixtures/torch/make_torch_fixtures.py
"""

from pathlib import Path

import torch


def state_dict():
    """A module's own state_dict: an OrderedDict with metadata, parameters in three types, a buffer, a tied weight.

    `part` begins inside a storage that `whole` fills.
    """
    module = torch.nn.Module()
    module.a = torch.nn.Parameter(torch.arange(6, dtype=torch.float32).view(2, 3))
    module.small = torch.nn.Parameter(torch.tensor([1.5, -2.0], dtype=torch.float16))
    module.scalar = torch.nn.Parameter(torch.tensor(0.25, dtype=torch.bfloat16))
    module.tied = module.a
    whole = torch.arange(8, dtype=torch.float32)
    module.register_buffer("whole", whole)
    module.register_buffer("part", whole[2:].view(3, 2))
    return module.state_dict()


if __name__ == "__main__":
    torch.save(state_dict(), Path(__file__).parent / "state.bin")
    print(f"state.bin, torch {torch.__version__}")
