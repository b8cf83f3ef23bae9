#!/usr/bin/env python3
"""Times training programs in alternating steps, so that a machine whose speed drifts treats them alike.

    tools/interleave.py [--rounds 5] [--steps 1,1] 'COMMAND A' 'COMMAND B'

All programs are started and stay in memory; one runs while the others are stopped (SIGSTOP), for one step or
as many as --steps says. A step ends with a line that begins with `step`, as statex-train and the peers of
Tests/Peers write. The first turn of each is not counted. `{work}` in a command is a directory of its own,
removed afterwards. Commands should allow for more steps than are taken: they are killed in the end.

Prints the seconds of every turn, their medians, and each program's ratio to the first, round by round.
"""

import argparse
import contextlib
import os
import queue
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

STEP = re.compile(r"step \d")
# These go on, so that they hand on what their ranks write.
LAUNCHERS = {"mpirun", "orterun", "orted"}


def descendants(pid):
    """`pid` and all processes below it, parents first."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                found += descendants(int(child))
    return found


class Program:
    """A command that runs a turn at a time."""

    def __init__(self, command, steps, directory):
        self.steps = steps
        self.directory = directory
        self.work = tempfile.TemporaryDirectory()
        self.command = shlex.split(command.replace("{work}", self.work.name))
        self.lines = queue.Queue()
        self.last = []
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            for pid in descendants(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self.work.cleanup()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _signal(self, number):
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() not in LAUNCHERS:
                    os.kill(pid, number)

    def turn(self):
        """Seconds of the next steps."""
        start = time.perf_counter()
        if self.process is None:
            try:
                self.process = subprocess.Popen(
                    self.command, cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            except OSError as error:
                sys.exit(f"error: {self.command[0]}: {error.strerror}")
            threading.Thread(target=self._read, daemon=True).start()
        else:
            self._signal(signal.SIGCONT)
        left = self.steps
        while left:
            line = self.lines.get()
            if line is None:
                sys.exit(f"error: {self.command[0]} ended early: {' | '.join(self.last[-3:])}")
            self.last.append(line.strip())
            left -= bool(STEP.match(line))
        seconds = time.perf_counter() - start
        self._signal(signal.SIGSTOP)
        return seconds


    def peak_memory(self):
        """The most memory that any of its processes had at one time, in GB."""
        peaks = [0]
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                peaks += re.findall(r"VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
        return max(map(int, peaks)) * 1024e-9


def measure(commands, steps, rounds, report=lambda *_: None, directory=None):
    """Seconds of each counted turn, a list for each command, and each command's peak memory in GB.

    Commands run in `directory`, or where this program does.
    """
    with contextlib.ExitStack() as stack:
        programs = [stack.enter_context(Program(*pair, directory)) for pair in zip(commands, steps)]
        for program in programs:
            program.turn()
        turns = [[] for _ in programs]
        for number in range(rounds):
            for program, seconds in zip(programs, turns):
                seconds.append(program.turn())
            report(number, [seconds[-1] for seconds in turns])
        return turns, [program.peak_memory() for program in programs]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="+", help="a command each, quoted")
    parser.add_argument("--rounds", type=int, default=5, help="counted turns of each; default 5")
    parser.add_argument("--steps", help="steps a turn of each command, for example 8,1; default 1 each")
    options = parser.parse_args()
    steps = [int(word) for word in options.steps.split(",")] if options.steps else [1] * len(options.commands)
    if len(steps) != len(options.commands) or min(steps) < 1 or options.rounds < 1:
        parser.error("--steps needs a number from 1 on for each command, --rounds one")

    def report(number, seconds):
        print(f"round {number + 1}: " + "  ".join(f"{value:8.3f} s" for value in seconds), flush=True)

    turns, memory = measure(options.commands, steps, options.rounds, report)
    print("median:  " + "  ".join(f"{statistics.median(seconds):8.3f} s" for seconds in turns))
    print("memory:  " + "  ".join(f"{peak:7.2f} GB" for peak in memory))
    for index in range(1, len(turns)):
        ratios = [other / first for first, other in zip(turns[0], turns[index])]
        print(f"command {index + 1} takes {statistics.median(ratios):.3f} times the seconds of command 1"
              f" ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
