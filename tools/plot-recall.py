#!/usr/bin/env python3
"""Draw recall over the number of key-value pairs, one panel a family, as one SVG file.

  tools/plot-recall.py OUTPUT.svg GLA=runs/demo/gla-0 Mamba2=runs/demo/mamba2-0

A panel's directory holds the reports that `make demo` leaves: base.json, lpt.json and statex.json,
written by `statex evaluate --json`. A bar at each point spans one standard error either way. The
file needs no script, font or network, and follows a light or a dark page.
"""

import html
import json
import math
import pathlib
import re
import sys

# Title of an arm by its name, which is also its report's and its style's.
ARMS = {"base": "base", "lpt": "LPT", "statex": "StateX"}
# Line colors on a light and on a dark page.
COLORS = {
    "base": ("#818b98", "#9198a1"),
    "lpt": ("#0969da", "#4493f8"),
    "statex": ("#bc4c00", "#f0883e"),
}
WIDTH, HEIGHT = 340, 260
LEFT, RIGHT, TOP, BOTTOM = 48, 62, 34, 42


def style() -> str:
    """The sheet of a light page, and what a dark one changes."""

    def colors(column: int) -> str:
        return " ".join(
            f".{arm} .line, .{arm} .error {{ stroke: {color[column]} }}"
            f" .{arm} .dot, .{arm} .label {{ fill: {color[column]} }}"
            for arm, color in COLORS.items()
        )

    return f"""
  text {{ font: 12px system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328 }}
  .title {{ font-weight: 600; font-size: 13px }} .label {{ font-weight: 600 }}
  .axis {{ fill: #59636e }} .grid {{ stroke: #d1d9e0 }}
  .chance {{ stroke: #59636e; stroke-dasharray: 2 3 }} .line {{ fill: none; stroke-width: 2 }}
  {colors(0)}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #f0f6fc }} .axis {{ fill: #9198a1 }} .grid {{ stroke: #3d444d }}
    .chance {{ stroke: #9198a1 }}
    {colors(1)}
  }}
"""


def recall(path: pathlib.Path) -> tuple[list[tuple[int, float, float]], float]:
    """Points (pairs, accuracy, standard error) by number of pairs, and the accuracy of chance."""
    tasks = json.loads(path.read_text())["tasks"]
    points, chance = [], 0.0
    for name, task in tasks.items():
        match = re.fullmatch(r"mqar_(\d+)", name)
        if match:
            points.append((int(match[1]), task["accuracy"], task["stderr"]))
            chance = task.get("chance", chance)
    if not points:
        raise SystemExit(f"error: {path}: holds no task mqar_N")
    return sorted(points), chance


def spread(wanted: list[float], gap: float, lowest: float) -> list[float]:
    """Heights of labels, in the order given, moved apart so that none overlaps or is below `lowest`."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for above, below in zip(order, order[1:]):
        placed[below] = max(placed[below], placed[above] + gap)
    limit = lowest
    for index in reversed(order):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    return placed


def panel(title: str, directory: pathlib.Path, offset: int) -> list[str]:
    """The elements of one panel, whose left edge is at `offset`."""
    arms = [(label, name, *recall(directory / f"{name}.json")) for name, label in ARMS.items()]
    pairs = [point[0] for point in arms[0][2]]
    low, high = math.log2(pairs[0]), math.log2(pairs[-1])

    def x(count: float) -> float:
        return offset + LEFT + (math.log2(count) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)

    right = offset + WIDTH - RIGHT
    out = [f'<text class="title" x="{offset + LEFT}" y="18">{html.escape(title)}</text>']
    for percent in range(0, 101, 25):
        height = y(percent / 100)
        out.append(f'<path class="grid" d="M{offset + LEFT} {height:.1f}H{right}"/>')
        out.append(
            f'<text class="axis" x="{offset + LEFT - 6}" y="{height + 4:.1f}"'
            f' text-anchor="end">{percent} %</text>'
        )
    for count in pairs:
        out.append(
            f'<text class="axis" x="{x(count):.1f}" y="{HEIGHT - BOTTOM + 17}"'
            f' text-anchor="middle">{count}</text>'
        )
    middle = (offset + LEFT + right) / 2
    out.append(
        f'<text class="axis" x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">'
        "key-value pairs in the context</text>"
    )
    chance = y(arms[0][3])
    out.append(f'<path class="chance" d="M{offset + LEFT} {chance:.1f}H{right}"/>')
    heights = spread([y(points[-1][1]) + 4 for _, _, points, _ in arms], 14, HEIGHT - BOTTOM)
    for (label, name, points, _), height in zip(arms, heights):
        corners = " L".join(f"{x(n):.1f} {y(share):.1f}" for n, share, _ in points)
        out.append(f'<g class="{name}"><path class="line" d="M{corners}"/>')
        for n, share, error in points:
            ends = f"{y(share - error):.1f}V{y(share + error):.1f}"
            out.append(
                f'<path class="error" d="M{x(n):.1f} {ends}"/>'
                f'<circle class="dot" cx="{x(n):.1f}" cy="{y(share):.1f}" r="3">'
                f"<title>{label}, {n} pairs: {100 * share:.1f} %</title></circle>"
            )
        out.append(f'<text class="label" x="{right + 7}" y="{height:.1f}">{label}</text></g>')
    return out


def main() -> None:
    """Reads the arguments and writes the file."""
    if len(sys.argv) < 3 or any("=" not in argument for argument in sys.argv[2:]):
        raise SystemExit(f"usage: {sys.argv[0]} OUTPUT.svg TITLE=DIRECTORY [TITLE=DIRECTORY ...]")
    panels = [argument.split("=", 1) for argument in sys.argv[2:]]
    width = WIDTH * len(panels)
    body = []
    for index, (title, directory) in enumerate(panels):
        body += panel(title, pathlib.Path(directory), index * WIDTH)
    summary = "Recall over the number of key-value pairs: base model, LPT and StateX"
    pathlib.Path(sys.argv[1]).write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}"'
        f' height="{HEIGHT}" role="img" aria-label="{summary}">\n<title>{summary}</title>\n'
        f"<style>{style()}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


main()
