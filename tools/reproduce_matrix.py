"""What `tools/reproduce.py` runs: arms, tasks, and the sizes of each matrix."""

import json
from dataclasses import dataclass, field

# Families as the matrices name them: a family of the program, and overrides of its base model's recipe.
FAMILIES = {
    "gla": ("gla", []),
    "mamba2": ("mamba2", []),
    "gla-deep": ("gla", ["model.config.num_hidden_layers=4"]),
    "mamba2-deep": ("mamba2", ["model.config.num_hidden_layers=4"]),
    "gla-wide": ("gla", ["model.config.hidden_size=128", "model.config.intermediate_size=256",
                         "model.config.num_hidden_layers=4", "train.optimizer.lr=4.0e-3"]),
    "mamba2-wide": ("mamba2", ["model.config.hidden_size=128", "model.config.num_heads=8",
                               "model.config.num_hidden_layers=4", "train.optimizer.lr=4.0e-3"]),
}
SMALL_FAMILIES = ("gla", "mamba2")
DEEP_FAMILIES = ("gla-deep", "mamba2-deep")
WIDE_FAMILIES = ("gla-wide", "mamba2-wide")
WIDE_POST = ["train.optimizer.lr=2.5e-3"]
# What is expanded: one layer of small models, chosen on seed 0 of earlier runs (docs/reproduce.md), all of larger ones.
EXPANSION = {"gla": {"layers": [1], "heads": 1}, "mamba2": {"layers": [0], "state_factor": 4},
             **{f"gla-{size}": {"layers": {"every": 1}, "heads": 1} for size in ("deep", "wide")},
             **{f"mamba2-{size}": {"layers": {"every": 1}, "state_factor": 4} for size in ("deep", "wide")}}
# What leaves a layer's state as it is.
NO_EXPANSION = {"gla": {"heads": 4}, "mamba2": {"state_factor": 1}}
HALF_EXPANSION = {"gla": {"heads": 2}, "mamba2": {"state_factor": 2}}
# Options of all recall rows, and of the text.
KEYS_AND_VALUES = {"vocab": 161, "keys": 128, "values": 32}
MARKOV = {"symbols": 16, "first_id": 161, "table_seed": 7}


@dataclass(frozen=True)
class Arm:
    """One way to post-train a base model, or the base model itself."""

    name: str
    title: str
    # Members of `expansion` beside those of EXPANSION; None: no expansion.
    expansion: dict | None = None
    # Steps relative to the recipe's.
    steps: int = 1
    families: tuple = SMALL_FAMILIES + WIDE_FAMILIES
    # Other keys of the recipe.
    overrides: tuple = ()

    def expansion_of(self, family: str) -> dict | None:
        """The recipe's `expansion`."""
        return None if self.expansion is None else EXPANSION[family] | self.expansion.get(family, self.expansion)


def per_family(sizes: dict, **more) -> dict:
    """Members of `expansion` that differ by family."""
    return {family: size | more for family, size in sizes.items()}


def source(name: str, weight: float, **options) -> dict:
    """A source of recall rows like those of the recipes."""
    return {"task": "mqar", **KEYS_AND_VALUES, "name": name, "weight": weight, **options}


# Rows four times as long, at the same tokens a step: as many pairs as fit, without or with needles in noise.
PAIRS = [4, 8, 16, 32, 64, 128]
TEXT = {"task": "markov", **MARKOV, "name": "text", "weight": 0.25}
LONG = ("data.sequence_length=512", "train.sequences_per_step=4", "train.micro_batch=2")
LONG_ROWS = (*LONG, "data.sources=" + json.dumps([
    source("recall", 0.6, layout="dense", pairs=PAIRS), source("updates", 0.15, layout="dense", pairs=PAIRS, updates=4), TEXT]))
NEEDLE_ROWS = (*LONG, "data.sources=" + json.dumps([
    source("recall", 0.45, layout="dense", pairs=PAIRS), source("needles", 0.3, layout="zoology", power_a=1, pairs=4), TEXT]))
STATE_PASSING = ("train.state_passing=0.5",)
# What may move the length at which recall ends, each without and with expansion.
LENGTHS = [("long", "rows of 512", LONG_ROWS), ("needles", "rows of 512 with needles", NEEDLE_ROWS),
           ("passing", "state passing", STATE_PASSING)]

BASE = Arm("base", "base", families=tuple(FAMILIES))
ARMS = [
    Arm("lpt", "LPT", families=tuple(FAMILIES)),
    Arm("reinitialize", "StateX, reinitialize", {"init": "reinitialize"}, families=tuple(FAMILIES)),
    Arm("lpt_2x", "LPT, twice the tokens", steps=2),
    Arm("preserve", "StateX, preserve", {"init": "preserve"}),
    Arm("inherit", "StateX, inherit", {"init": "inherit"}),
    # For GLA, `paper` is `reinitialize`.
    Arm("paper", "StateX, paper", {"init": "paper"}, families=("mamba2", "mamba2-wide")),
    Arm("control", "re-initialised, not expanded", per_family(NO_EXPANSION, init="reinitialize"),
        families=SMALL_FAMILIES),
    Arm("other_layer", "StateX, the other layer",
        {"gla": {"init": "reinitialize", "layers": [0]}, "mamba2": {"init": "reinitialize", "layers": [1]}},
        families=SMALL_FAMILIES),
    Arm("reinitialize_2x", "StateX, twice the tokens", {"init": "reinitialize"}, steps=2),
]
ABLATIONS = [
    Arm("all_layers", "StateX, all layers", {"init": "reinitialize", "layers": {"every": 1}},
        families=SMALL_FAMILIES),
    Arm("half", "StateX, twice the state", per_family(HALF_EXPANSION, init="reinitialize"), families=SMALL_FAMILIES),
    *(Arm(f"layer_{layer}", f"StateX, layer {layer}", {"init": "reinitialize", "layers": [layer]},
          families=DEEP_FAMILIES) for layer in range(4)),
    # Mamba2's `inherit` is inert.
    *(Arm(f"inherit_{layer}", f"StateX, inherit, layer {layer}", {"init": "inherit", "layers": [layer]},
          families=("gla-deep",)) for layer in range(4)),
    Arm("lpt_4x", "LPT, four times the tokens", steps=4),
    Arm("reinitialize_4x", "StateX, four times the tokens", {"init": "reinitialize"}, steps=4),
    *(Arm(f"{arm}_{name}", f"{title}, {what}", expansion, families=SMALL_FAMILIES, overrides=overrides)
      for name, what, overrides in LENGTHS
      for arm, title, expansion in (("lpt", "LPT", None), ("reinitialize", "StateX", {"init": "reinitialize"}))),
]


def argument(options: dict) -> str:
    """Options as a command line has them."""
    return ",".join(f"{name}={value}" for name, value in options.items())


@dataclass(frozen=True)
class Task:
    """A measurement of recall, as results.json names it."""

    task: str
    name: str
    pairs: int
    # Tokens of a row.
    length: int
    # Options of `mqar` beside these.
    options: str
    updates: int = 0

    @property
    def argument(self) -> str:
        """The value of `statex evaluate --task`."""
        return (f"mqar:{argument(KEYS_AND_VALUES)},{self.options},pairs={self.pairs},updates={self.updates},"
                f"sequence_length={self.length},as={self.name}")


def recall(pairs: int) -> Task:
    """Rows of so many pairs, which ask for every key once."""
    return Task("mqar", f"mqar_{pairs}", pairs, 4 * pairs, "layout=dense")


def updates(pairs: int) -> Task:
    """The same, but four keys get a second value, which counts."""
    return Task("mqar_updates", f"mqar_updates_{pairs}", pairs, 4 * pairs + 8, "layout=dense", updates=4)


def needles(length: int) -> Task:
    """Four pairs, asked for anywhere in a row of so many tokens that are drawn at random."""
    return Task("needles", f"needles_{length}", 4, length, "layout=zoology,power_a=1")


def tasks(recalled: list[int], updated: list[int], lengths: list[int]) -> list[Task]:
    """Tasks by pairs, by pairs with updates, and by length."""
    return [*map(recall, recalled), *map(updates, updated), *map(needles, lengths)]


@dataclass(frozen=True)
class Matrix:
    """Which seeds and arms are run, on what, and how they are measured."""

    name: str
    seeds: int
    tasks: list[Task]
    samples: int
    arms: list[Arm]
    # Overrides of base and of post-training recipes.
    base_overrides: list[str] = field(default_factory=list)
    post_overrides: list[str] = field(default_factory=list)
    # Steps of the post-training recipe.
    post_steps: int = 800
    # What base models are probed with.
    probe: Task = recall(16)
    families: tuple = SMALL_FAMILIES


SMALL = Matrix("small", 3, tasks([8, 16, 32, 64, 128], [8, 16, 32, 64], [128, 512, 2048]), 200, ARMS)
# There are 128 keys, so no row has more pairs.
FULL = Matrix("full", 5, tasks([8, 16, 32, 64, 128], [8, 16, 32, 64, 128], [128, 512, 2048, 8192]), 200,
              ARMS + ABLATIONS, families=tuple(FAMILIES))
SHORT = ["train.sequences_per_step=2", "train.micro_batch=2", "train.schedule.warmup_steps=1"]
SMOKE = Matrix("smoke", 1, tasks([8], [8], [40]), 4, ARMS + ABLATIONS, ["train.steps=4", *SHORT], SHORT, post_steps=3,
               probe=recall(8))
MATRICES = {matrix.name: matrix for matrix in (SMALL, FULL, SMOKE)}
