"""Models in the form of expanded exports, and how the tests open them."""

import json
import shutil

import torch
from transformers import AutoModelForCausalLM

from conftest import REPOSITORY

CODE = REPOSITORY / "Sources" / "HuggingFaceInterop" / "Python"
CLASSES = {"gla": "StatexGLA", "mamba2": "StatexMamba2"}


def family_of(directory):
    """`gla` or `mamba2`."""
    return json.loads((directory / "config.json").read_text())["model_type"].removeprefix("statex_")


def with_code(source, target):
    """Copies a model directory to `target` as one of statex's own type, layers equal or not."""
    family = family_of(source)
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    config.update(
        model_type=f"statex_{family}", architectures=[f"{CLASSES[family]}ForCausalLM"],
        auto_map=dict(AutoConfig=f"configuration_statex_{family}.{CLASSES[family]}Config",
                      AutoModelForCausalLM=f"modeling_statex_{family}.{CLASSES[family]}ForCausalLM"))
    (target / "config.json").write_text(json.dumps(config))
    for name in ("modeling_statex", f"modeling_statex_{family}", f"configuration_statex_{family}"):
        shutil.copy(CODE / f"{name}.py", target)
    return target


def opened(directory, dtype=torch.float32):
    """The model in `directory`, as a user opens it."""
    return AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True, dtype=dtype)


def tokens_of(model, *shape, seed=0):
    """Random tokens of that shape."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.config.vocab_size, shape, generator=generator)
