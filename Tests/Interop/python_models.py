"""Models in the form of expanded exports, and how the tests open them."""

import json
import shutil

import numpy as np
import torch
from transformers import AutoModelForCausalLM

import make_gla_fixtures
import make_mamba2_fixtures
from conftest import REPOSITORY

CODE = REPOSITORY / "Sources" / "HuggingFaceInterop" / "Python"
CLASSES = {"gla": "StatexGLA", "mamba2": "StatexMamba2"}
SIZES = {
    "gla": dict(hidden_size=48, num_hidden_layers=3, num_heads=4, expand_k=0.5, expand_v=1.0, intermediate_size=64,
                vocab_size=89),
    "mamba2": dict(hidden_size=24, num_hidden_layers=3, expand=2, head_dim=8, num_heads=6, state_size=5, n_groups=3,
                   vocab_size=89, tie_word_embeddings=True),
}
"""A small model of each family, of sizes that are not powers of two."""


def write_random(family, directory, fields):
    """Writes a random model of `SIZES`, with these fields of its configuration changed."""
    rng, config = np.random.default_rng(5), SIZES[family] | fields
    if family == "gla":
        make_gla_fixtures.write_model(directory, dict(config=config, gate_bias="random"), rng)
    else:
        make_mamba2_fixtures.write_model(directory, config, "ordinary", rng)
    return directory


def expanded_export(command, folder, family, options, fields):
    """The export that `statex expand` with these options makes of a random model, in `folder`."""
    model = write_random(family, folder / "model", fields)
    command("statex", "expand", "--model", model, "--output", folder / "expanded", *options)
    return folder / "expanded"


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
