#!/usr/bin/env python3
"""Compares what two runs left; prints one line. The half of tools/same-results.sh that reads files."""

import argparse
import hashlib
import json
import re
import struct
import subprocess
import sys
from pathlib import Path

METRICS = ["step", "loss", "grad_norm", "lr", "tokens"]
PART = re.compile(r"(.*)\[(\d+):(\d+)\]$")


def tensors(content):
    """(name, type, shape, bytes) of each tensor of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            kind, shape, values = entry["dtype"], entry["shape"], content[begin:end]
            if kind == "U8" and len(shape) == 2:  # a shard's numbers, their bytes sorted by significance
                width, count = shape
                numbers = bytearray(len(values))
                for byte in range(width):
                    numbers[byte::width] = values[byte * count : (byte + 1) * count]
                kind, shape, values = {4: "F32", 2: "BF16"}[width], [count], bytes(numbers)
            yield name, kind, shape, values


def metrics(run, left_out):
    """The compared fields of each row, as text."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    keys = [key for key in METRICS if key not in left_out]
    return {f"row {index}": repr([row[key] for key in keys]) for index, row in enumerate(rows)}


def export(run, _):
    """A digest of each exported tensor."""
    found = {}
    for path in (run / "export").glob("*.safetensors"):
        for name, kind, shape, content in tensors(path.read_bytes()):
            found[name] = f"{kind} {shape} {hashlib.sha256(content).hexdigest()}"
    return found


def checkpoint(run, _):
    """A digest of each tensor of each store of the last checkpoint, its parts put together."""
    parts = {}
    newest = max(path for path in (run / "checkpoints").glob("step-*") if path.is_dir())
    for path in newest.rglob("*.safetensors*"):
        content = path.read_bytes()
        if path.suffix == ".zst":
            content = subprocess.run(["zstd", "-dcq"], input=content, stdout=subprocess.PIPE, check=True).stdout
        for name, kind, _, values in tensors(content):
            match = PART.match(name)
            key, begin = (match[1], int(match[2])) if match else (name, 0)
            parts.setdefault((key, kind), []).append((begin, values))
    found = {}
    for (key, kind), pieces in parts.items():
        content = b"".join(values for _, values in sorted(pieces, key=lambda piece: piece[0]))
        found[key] = f"{kind} {len(content)} {hashlib.sha256(content).hexdigest()}"
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--except", dest="left_out", default="", help="see same-results.sh")
    parser.add_argument("name")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    left_out = [word for word in options.left_out.split(",") if word]
    cells, notes = [], []
    for column in (metrics, export, checkpoint):
        if column.__name__ in left_out:
            cells.append("left out")
            continue
        old, new = (column(run, left_out) for run in (options.old, options.new))
        if not old:
            sys.exit(f"error: {options.old} holds no {column.__name__}")
        differ = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        cells.append(f"{len(differ)} of {len(old)} differ" if differ else f"{len(old)} same")
        notes += [f"  {column.__name__}: {key}" for key in differ[:3]]
    print(f"{options.name:20}" + "".join(
        f"{column:>12} {cell:18}" for column, cell in zip(("metrics", "export", "checkpoint"), cells)).rstrip())
    print("".join(note + "\n" for note in notes), end="")
    return bool(notes)


if __name__ == "__main__":
    sys.exit(main())
