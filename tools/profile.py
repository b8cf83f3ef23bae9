#!/usr/bin/env python3
"""Where the time of warm training steps goes: the share of matrix products, and the largest of the rest.

    tools/profile.py RECIPE [key.path=value ...]

Needs Linux's perf. Only the steps are recorded (`training-probe profile`), not start-up and saving.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROBE = Path(os.environ.get("STATEX_BIN", ROOT / ".build/release")) / "training-probe"
SMALLEST = 0.3


def record(arguments, work):
    """The lines (percent, library, symbol) of the steps' profile."""
    control, data = f"{work}/control", f"{work}/data"
    os.mkfifo(control)
    subprocess.run(["perf", "record", "-q", "-F", "499", "-D", "-1", f"--control=fifo:{control}", "-o", data,
                    PROBE, "profile", *arguments, f"run.output={work}/run"],
                   check=True, env=dict(os.environ, STATEX_PERF_CONTROL=control))
    report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "-F", "overhead,dso,sym",
                             "-t", "\t"], check=True, capture_output=True, text=True).stdout
    demangled = subprocess.run(["swift", "demangle", "--compact"], input=report, capture_output=True, text=True).stdout
    for line in demangled.splitlines():
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) == 3 and fields[0].endswith("%"):
            yield float(fields[0][:-1]), fields[1], fields[2][4:]


def short(symbol):
    """A Swift symbol without closures, specializations and argument types."""
    for mark in (" in ", " of "):
        symbol = symbol.rsplit(mark, 1)[-1]
    return symbol.split("(", 1)[0][:90]


def main(arguments):
    with tempfile.TemporaryDirectory() as work:
        lines = list(record(arguments, work))
    total = sum(share for share, _, _ in lines)
    products = [line for line in lines if "blas" in line[1] or "dnnl" in line[1] or "JIT" in line[1]]
    share = 100 * sum(line[0] for line in products) / total
    print(f"matrix products  {share:5.1f} %")
    for percent, _, symbol in products[:6]:
        print(f"    {100 * percent / total:5.1f} %  {short(symbol)}")
    print(f"everything else  {100 - share:5.1f} %")
    for percent, library, symbol in lines:
        if (percent, library, symbol) not in products and percent >= SMALLEST:
            print(f"    {100 * percent / total:5.1f} %  {library}  {short(symbol)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
