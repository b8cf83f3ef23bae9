"""results.json of `tools/reproduce.py`, and the table that it prints."""

import json
import pathlib
import statistics

from reproduce_matrix import Matrix

FORMAT = "statex-reproduce/1"
TITLES = {"gla": "GLA", "mamba2": "Mamba2", "gla-deep": "GLA, four layers", "mamba2-deep": "Mamba2, four layers",
          "gla-wide": "GLA, wide", "mamba2-wide": "Mamba2, wide"}
# Recall at or above this is near its ceiling: differences there say little.
SATURATED = 0.9
# Numbers of the probe that may tell which layer to expand.
MEASURES = ("accuracy_lost", "nll_gained", "nll_gained_at_half_rank")


def rows(path: pathlib.Path) -> list[dict]:
    """The objects of a .jsonl file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


# results.json


def collect(matrix: Matrix, jobs: list, programs, width: int) -> dict:
    """Everything that was measured, and its summary over seeds."""
    finished = {job.key: job for job in jobs}
    arms = [described(job, finished, programs) for job in jobs]
    version = programs.run("statex", "--version")[0].strip()
    return {"format": FORMAT, "version": version, "matrix": matrix.name, "jobs": width, "processor": processor(),
            "wall_seconds": sum(arm["wall_seconds"] + arm["evaluation_seconds"] for arm in arms), "arms": arms,
            "summary": summary(arms), "probes": [probed(job, arms) for job in jobs if job.arm.name == "base"]}


def processor() -> str | None:
    """What the machine calls its processor."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)


def described(job, finished: dict, programs) -> dict:
    """One arm of one seed."""
    record = job.record
    report = json.loads(job.file(".json").read_text())
    relative = lambda path: str(path.relative_to(job.output))
    return {
        "family": job.family, "seed": job.seed, "arm": job.arm.name, "title": job.arm.title,
        "recipe": str(job.recipe), "overrides": job.overrides, "expansion": job.arm.expansion_of(job.family),
        "run": relative(job.run), "log": relative(job.file(".log")), "report": relative(job.file(".json")),
        "samples": relative(job.file(".samples.jsonl")), **record["training"],
        "decode_ms_per_token": record.get("decode_ms_per_token"), "evaluation_seconds": record["evaluation_seconds"],
        "text": {name: report["perplexity"][name] for name in ("nll", "stderr", "tokens")},
        "recall": [scored(task, report["tasks"][task.name]) for task in job.matrix.tasks],
        "from_lpt": differences(job, finished, programs),
    }


def probed(job, arms: list[dict]) -> dict:
    """What the probe says of a base model's layers, beside what expanding each alone gained over LPT."""
    report = json.loads(job.file(".probe.json").read_text())
    name = job.matrix.probe.name
    gains = {init: gained(job, arms, name, init) for init in ("reinitialize", "inherit")}
    layers = []
    for layer in report["layers"]:
        memory, half = layer["cuts"]
        layers.append({
            "layer": layer["layer"], "accuracy_lost": memory["accuracy_lost"], "nll_gained": memory["nll_gained"],
            "nll_gained_at_half_rank": half["nll_gained"],
            "effective_rank": [head["effective_rank"]["mean"] for head in layer["states"][name]],
            "gains": {init: found.get(layer["layer"]) for init, found in gains.items()}})
    return {"family": job.family, "seed": job.seed, "report": str(job.file(".probe.json").relative_to(job.output)),
            "name": name, "layers": layers, "order": report["order"],
            "predictions": [predicted(layers, init, measure) for init in gains for measure in MEASURES
                            if is_known(layers, init, measure)]}


def is_known(layers: list[dict], init: str, measure: str) -> bool:
    """Whether every layer has a number of the probe and was expanded alone in this way."""
    return all(None not in (layer["gains"][init], layer[measure]["mean"]) for layer in layers)


def gained(job, arms: list[dict], name: str, init: str) -> dict[int, float]:
    """What arms gained over LPT that expand a single layer in this way, by layer."""
    return {arm["expansion"]["layers"][0]: difference["difference"] for arm in arms
            if (arm["family"], arm["seed"]) == (job.family, job.seed) and expands_one_layer(arm)
            and arm["expansion"]["init"] == init
            for difference in arm["from_lpt"] if difference["name"] == name}


def expands_one_layer(arm: dict) -> bool:
    """Whether an arm expands a single layer, at the tokens, rows and size of the others."""
    name = arm["arm"]
    single = name in ("reinitialize", "inherit", "other_layer") or name.startswith(("layer_", "inherit_"))
    return single and isinstance(arm["expansion"]["layers"], list)


def predicted(layers: list[dict], init: str, measure: str) -> dict:
    """Whether the layer with the largest number of the probe is the one that gains most, and how the orders correlate."""
    numbers = [layer[measure]["mean"] for layer in layers]
    gains = [layer["gains"][init] for layer in layers]
    first, best = (values.index(max(values)) for values in (numbers, gains))
    return {"init": init, "measure": measure, "first": first, "best": best, "agrees": first == best,
            "correlation": rank_correlation(numbers, gains)}


def rank_correlation(a: list[float], b: list[float]) -> float | None:
    """Spearman's: the correlation of ranks, equal values sharing theirs; None where all of one are equal."""
    def ranks(values: list[float]) -> list[float]:
        return [sum(other < value for other in values) + sum(other == value for other in values) / 2 for value in values]
    first, second = ranks(a), ranks(b)
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    mean = len(a) / 2
    product = sum((x - mean) * (y - mean) for x, y in zip(first, second))
    return product / (sum((x - mean) ** 2 for x in first) * sum((y - mean) ** 2 for y in second)) ** 0.5


def scored(task, result: dict) -> dict:
    """One task's row."""
    return {"name": task.name, "task": task.task, "pairs": task.pairs, "updates": task.updates, "length": task.length,
            "metric": "accuracy", "value": result["accuracy"], "stderr": result["stderr"], "samples": result["samples"],
            "chance": result["chance"]}


def differences(job, finished: dict, programs) -> list[dict]:
    """The arm less LPT of the same seed, on the same samples."""
    lpt = finished.get((job.family, job.seed, "lpt"))
    if lpt is None or lpt is job:
        return []
    compared = programs.run("statex", "compare", f"LPT={lpt.file('.samples.jsonl')}", f"ARM={job.file('.samples.jsonl')}",
                            "--format", "json")[0]
    return [{"name": row["task"], "difference": row["difference"], "stderr": row["difference_stderr"],
             "low": row["difference_low"], "high": row["difference_high"], "pairs": row["pairs"]}
            for row in json.loads(compared)
            if row["name"] == "ARM" and row["length"] is None and row["difference"] is not None]


def summary(arms: list[dict]) -> list[dict]:
    """Mean and spread over seeds of every number, by family and arm, in the order of the arms."""
    groups: dict = {}
    for arm in arms:
        groups.setdefault((arm["family"], arm["arm"]), []).append(arm)
    return [summarized(group, groups.get((family, "lpt"), [])) for (family, _), group in groups.items()]


def summarized(group: list[dict], lpt: list[dict]) -> dict:
    """One arm over its seeds; `from_lpt` holds the seeds that both have."""
    first = group[0]
    line = {name: first[name] for name in ("family", "arm", "title", "steps", "tokens", "parameters", "state_bytes",
                                           "decode_ms_per_token")}
    line["seeds"] = [arm["seed"] for arm in group]
    line["wall_seconds"] = spread([arm["wall_seconds"] for arm in group])
    line["peak_memory_bytes"] = max(arm["peak_memory_bytes"] for arm in group)
    line["text_nll"] = spread([arm["text"]["nll"] for arm in group])
    line["recall"] = {row["name"]: spread([arm["recall"][index]["value"] for arm in group])
                      for index, row in enumerate(first["recall"])}
    others = {arm["seed"]: arm for arm in lpt}
    paired = [(arm, others[arm["seed"]]) for arm in group if arm["seed"] in others]
    if not paired or first["arm"] == "lpt":
        return line
    line["from_lpt"] = {row["name"]: spread([arm["recall"][index]["value"] - other["recall"][index]["value"]
                                             for arm, other in paired])
                        for index, row in enumerate(first["recall"])}
    line["from_lpt"]["text_nll_ratio"] = spread([arm["text"]["nll"] / other["text"]["nll"] - 1 for arm, other in paired])
    return line


def spread(values: list[float]) -> dict:
    """Mean, standard deviation (n - 1) and the values themselves, seed by seed."""
    return {"mean": statistics.fmean(values), "deviation": statistics.stdev(values) if len(values) > 1 else None,
            "values": values}


# The table


def number(value: float | None, form: str, factor: float = 1) -> str:
    """A number as a cell; `-` for one that was not measured."""
    return "-" if value is None else format(factor * value, form)


def percent(value: dict, sign: str = "") -> str:
    """`mean +- deviation` in percent."""
    deviation = "" if value["deviation"] is None else f" +- {100 * value['deviation']:.1f}"
    return f"{100 * value['mean']:{sign}.1f}{deviation}"


def aligned(lines: list[list[str]]) -> str:
    """Columns as wide as their widest cell, the first one to the left."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "".join(
        "  ".join(cell.ljust(width) if not index else cell.rjust(width)
                  for index, (cell, width) in enumerate(zip(line, widths))).rstrip() + "\n" for line in lines)


def table(report: dict) -> str:
    """Recall, differences from LPT and costs, family by family."""
    text = ""
    for family, title in TITLES.items():
        probes = [probe for probe in report["probes"] if probe["family"] == family]
        lines = [line for line in report["summary"] if line["family"] == family]
        if lines:
            text += f"{title}: {len(lines[0]['seeds'])} seeds, mean +- standard deviation over seeds\n\n"
            text += aligned(recall_lines(lines)) + "\n" + aligned(difference_lines(lines)) + "\n"
            text += aligned(cost_lines(lines)) + "\n" + verdict(lines) + "\n"
            text += aligned(probe_lines(probes)) + "\n" if probes else ""
    return text


def recall_lines(lines: list[dict]) -> list[list[str]]:
    names = list(lines[0]["recall"])
    return [["accuracy (%)", *names, "text (nats)"]] + [
        [line["title"], *(percent(line["recall"][name]) for name in names), f"{line['text_nll']['mean']:.4f}"]
        for line in lines]


def difference_lines(lines: list[dict]) -> list[list[str]]:
    names = list(lines[0]["recall"])
    return [["less LPT (points)", *names, "text (%)"]] + [
        [line["title"], *(percent(line["from_lpt"][name], "+") for name in names),
         percent(line["from_lpt"]["text_nll_ratio"], "+")]
        for line in lines if "from_lpt" in line and line["arm"] != "base"]


def cost_lines(lines: list[dict]) -> list[list[str]]:
    return [["cost", "tokens", "parameters", "state (bytes)", "seconds", "peak memory (MB)", "decode (ms/token)"]] + [
        [line["title"], f"{line['tokens']:,}", f"{line['parameters']:,}", f"{line['state_bytes']:,}",
         f"{line['wall_seconds']['mean']:.0f}", f"{line['peak_memory_bytes'] / 1e6:.0f}",
         number(line["decode_ms_per_token"], ".4f")] for line in lines]


def probe_lines(probes: list[dict]) -> list[list[str]]:
    """A line for each layer of each base model."""
    lines = [["probe of the base model", "points lost without it", "nats gained", "nats gained at half rank",
              "effective rank", "gained by expanding it: reinitialize", "inherit"]]
    for probe in probes:
        for layer in probe["layers"]:
            ranks = [rank for rank in layer["effective_rank"] if rank is not None]
            lines.append([f"seed {probe['seed']}, layer {layer['layer']}, {probe['name']}",
                          number(layer["accuracy_lost"]["mean"], ".1f", 100), number(layer["nll_gained"]["mean"], ".2f"),
                          number(layer["nll_gained_at_half_rank"]["mean"], ".3f"),
                          number(statistics.fmean(ranks) if ranks else None, ".1f"),
                          *(number(gain, "+.1f", 100) for gain in layer["gains"].values())])
    return lines


def verdict(lines: list[dict]) -> str:
    """Whether StateX beats LPT by 10 points below saturation on every seed, without losing on text."""
    by_arm = {line["arm"]: line for line in lines}
    text = ""
    for line in lines:
        if line["title"].startswith("StateX, ") and "from_lpt" in line:
            # Of the same tokens and rows.
            kind = line["arm"].removeprefix("reinitialize")
            other = by_arm.get("lpt" + kind, by_arm.get("lpt"))
            twice = by_arm.get("lpt_2x") if other is by_arm.get("lpt") else None
            text += claim(line, other, twice) if other else ""
    return text


def claim(line: dict, lpt: dict, twice: dict | None) -> str:
    """One arm against LPT of the same tokens, on the task with the largest mean difference below saturation."""
    pairs = [(line["seeds"].index(seed), lpt["seeds"].index(seed)) for seed in line["seeds"] if seed in lpt["seeds"]]

    def values(name: str) -> list[float]:
        return [line["recall"][name]["values"][a] - lpt["recall"][name]["values"][b] for a, b in pairs]

    def both(name: str) -> tuple[float, float]:
        return (statistics.fmean(lpt["recall"][name]["values"][b] for _, b in pairs),
                statistics.fmean(line["recall"][name]["values"][a] for a, _ in pairs))

    below = [name for name in line["recall"] if line["recall"][name]["mean"] < SATURATED] or list(line["recall"])
    name = max(below, key=lambda name: statistics.fmean(values(name)))
    loss = statistics.fmean(line["text_nll"]["values"][a] / lpt["text_nll"]["values"][b] - 1 for a, b in pairs)
    found = values(name)
    holds = ", ".join(f"{what} {'yes' if value >= 0.1 and loss <= 0.01 else 'no'}" for what, value in (
        ("in the mean", statistics.fmean(found)), ("on every seed of some task", max(min(values(name)) for name in below))))
    before, after = both(name)
    beside = f"; {twice['title']}: {100 * twice['recall'][name]['mean']:.1f} ({len(twice['seeds'])} seeds)" if twice else ""
    each = " ".join(f"{100 * value:+.1f}" for value in found)
    return (f"{line['title']} against {lpt['title']}: {name} {100 * before:.1f} -> {100 * after:.1f} (each seed {each}),"
            f" text loss {100 * loss:+.2f} %; ten points, and text loss at most 1 % higher: "
            f"{holds}{beside}\n")
