#!/usr/bin/env python3
"""The paper's experiment at small scale: base models, post-trained with and without state expansion.

  tools/reproduce.py --bin .build/release                    # three seeds of both families
  tools/reproduce.py --bin .build/release --matrix full      # the longer matrix
  tools/reproduce.py --bin .build/release --families gla --seeds 0 --arms lpt reinitialize

Everything it makes lies in runs/reproduce (--output); docs/reproduce.md describes the files. Each arm is a
run of one thread, --jobs of them at a time. Arms that are finished are not run again, and one that was
stopped goes on where it was.
"""

import argparse
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import reproduce_matrix as matrices
import reproduce_results as results
from reproduce_matrix import BASE, FAMILIES, WIDE_POST, Arm, Matrix

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPES = pathlib.Path("configs/reproduce")
REFUSED, STOPPED = 64, 75
TEXT = f"markov:{matrices.argument(matrices.MARKOV)}"
TEXT_LENGTH = 128
# Post-training draws other numbers than the base model's training.
POST_SEED = 100
# What is read of a probe's report.
PROBED = "cuts of rank 0 and half the rank"
# Enough that starting the program does not matter.
DECODED_TOKENS = 20_000


class Stopped(Exception):
    """Somebody asked for an end."""


class Failed(Exception):
    """Ends with a line and an exit code."""

    def __init__(self, line: str, code: int):
        super().__init__(line)
        self.code = code


class Programs:
    """Runs the programs, and ends them when this one is to end."""

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.stopped = threading.Event()
        self.lock = threading.RLock()
        self.running: set[subprocess.Popen] = set()
        self.environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")

    def stop(self, *_):
        """Passes a signal on; runs save what they have."""
        self.stopped.set()
        with self.lock:
            for process in list(self.running):
                process.terminate()

    def run(self, *command, log: pathlib.Path | None = None) -> tuple[str, int]:
        """What a program prints, and the peak of its memory in bytes; with `log`, its output goes there."""
        command = [str(self.directory / command[0]), *map(str, command[1:])]
        output = open(log, "a") if log else subprocess.PIPE
        with self.lock:
            if self.stopped.is_set():
                raise Stopped
            process = subprocess.Popen(command, cwd=ROOT, env=self.environment, text=True, stdout=output,
                                       stderr=subprocess.STDOUT if log else subprocess.PIPE)
            self.running.add(process)
        try:
            text, errors = ("", "") if log else process.communicate()
            peak = self.wait(process)
        finally:
            with self.lock:
                self.running.discard(process)
            if log:
                output.close()
        if self.stopped.is_set() and process.returncode != 0:
            raise Stopped
        if process.returncode != 0:
            reason = f"see {log}" if log else errors.strip()
            raise Failed(f"{' '.join(command)} ended with {process.returncode}: {reason}",
                         max(process.returncode, 1))
        return text, peak

    @staticmethod
    def wait(process: subprocess.Popen) -> int:
        """Waits for the end; the peak of the process's memory where it can still be told."""
        if process.returncode is not None:
            return 0
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss * 1024


class Job:
    """An arm of a family and seed: where its files are, and the commands that make them."""

    def __init__(self, matrix: Matrix, output: pathlib.Path, family: str, seed: int, arm: Arm):
        self.matrix, self.family, self.seed, self.arm = matrix, family, seed, arm
        self.output = output
        self.place = output / family / f"seed-{seed}"
        self.run = self.place / arm.name
        self.recipe = RECIPES / f"{FAMILIES[family][0]}-{'base' if arm is BASE else 'post'}.yaml"
        self.base = None if arm is BASE else Job(matrix, output, family, seed, BASE)

    @property
    def key(self) -> tuple:
        return self.family, self.seed, self.arm.name

    def file(self, suffix: str) -> pathlib.Path:
        """A file of this arm beside its run directory."""
        return self.place / (self.arm.name + suffix)

    @property
    def overrides(self) -> list[str]:
        """What tells this run from its recipe, paths left out."""
        if self.arm is BASE:
            return [f"run.seed={self.seed}", *FAMILIES[self.family][1], *self.matrix.base_overrides]
        expansion = self.arm.expansion_of(self.family)
        wide = WIDE_POST if self.family.endswith("-wide") else []
        return [f"run.seed={POST_SEED + self.seed}", *wide, *self.arm.overrides, *self.matrix.post_overrides,
                f"train.steps={self.arm.steps * self.matrix.post_steps}",
                *([f"expansion={json.dumps(expansion)}"] if expansion else [])]

    @property
    def measurements(self) -> list[str]:
        """Options of `statex evaluate`."""
        options = ["--samples", self.matrix.samples, "--seed", self.seed, "--sequence-length", TEXT_LENGTH]
        for task in self.matrix.tasks:
            options += ["--task", task.argument]
        return list(map(str, options))

    @property
    def identity(self) -> str:
        """Changes with whatever the model depends on, the program left out."""
        return digest([(ROOT / self.recipe).read_text(), self.overrides, self.base.identity if self.base else None])

    @property
    def measurement(self) -> str:
        """Changes with whatever is measured."""
        return digest([self.measurements, TEXT])

    # The record of what is done.

    @property
    def record(self) -> dict:
        """What is known of this arm; refuses that of another experiment."""
        path = self.file(".arm.json")
        if not path.exists():
            return {"identity": self.identity}
        record = json.loads(path.read_text())
        if record["identity"] != self.identity:
            raise Failed(f"{path}: of another recipe or matrix; choose another --output, or remove it and {self.run}",
                         REFUSED)
        return record

    def keep(self, **members):
        """Adds to the record, at once."""
        write(self.file(".arm.json"), self.record | members)

    @property
    def is_measured(self) -> bool:
        return self.record.get("measurement") == self.measurement

    @property
    def probe(self) -> list[str]:
        """Options of `statex probe`: what a base model's layers are worth once they have no memory."""
        return list(map(str, ["--task", self.matrix.probe.argument, "--samples", self.matrix.samples, "--seed", self.seed,
                              "--window", 1]))

    @property
    def is_probed(self) -> bool:
        return self.arm is not BASE or self.record.get("probe") == digest([PROBED, self.probe])

    @property
    def is_done(self) -> bool:
        return self.is_measured and self.is_probed

    # The work.

    def perform(self, programs: Programs):
        """Trains and measures, as far as that is not done yet."""
        self.place.mkdir(parents=True, exist_ok=True)
        if "training" not in self.record:
            self.train(programs)
        if not self.is_measured:
            self.evaluate(programs)
        if not self.is_probed:
            programs.run("statex", "probe", self.run / "export", *self.probe, "--threads", 1, "--json",
                         self.file(".probe.json"))
            self.keep(probe=digest([PROBED, self.probe]))

    def train(self, programs: Programs):
        paths = [f"run.output={self.run}"]
        if self.base:
            paths.append(f"model.init={self.base.run}/export")
        _, peak = programs.run("statex-train", "--config", self.recipe, *paths, *self.overrides,
                               log=self.file(".log"))
        rows = results.rows(self.run / "metrics.jsonl")
        described = json.loads(programs.run("statex", "inspect", "--json", self.run / "export")[0])
        self.keep(training={
            "steps": rows[-1]["step"], "tokens": rows[-1]["tokens"], "wall_seconds": sum(row["seconds"] for row in rows),
            "peak_memory_bytes": peak, "parameters": described["parameters"],
            "state_bytes": 4 * described["recurrent_state"]})

    def evaluate(self, programs: Programs):
        start = time.monotonic()
        if self.record.get("measuring") != self.measurement:
            self.file(".samples.jsonl").unlink(missing_ok=True)
            self.keep(measuring=self.measurement)
        text = self.place / "text"
        if not text.with_suffix(".idx").exists():
            programs.run("statex", "data", "make", "--task", TEXT, "--samples", self.matrix.samples,
                         "--sequence-length", TEXT_LENGTH, "--stream", "evaluation", "--seed", self.seed, "--output", text)
        programs.run("statex", "evaluate", "--model", self.run / "export", *self.measurements, "--threads", 1,
                     "--perplexity", text, "--json", self.file(".json"), "--sample-log", self.file(".samples.jsonl"))
        self.keep(measurement=self.measurement, evaluation_seconds=time.monotonic() - start)


class Schedule:
    """Hands out jobs in their order, each once its base model is there."""

    def __init__(self, jobs: list[Job]):
        self.waiting = [job for job in jobs if not job.is_done]
        self.done = {job.key for job in jobs if job.is_done}
        self.count = len(jobs)
        keys = {job.key for job in jobs}
        assert all(job.base is None or job.base.key in keys for job in jobs), "an arm without its base model"
        self.failure: Exception | None = None
        self.changed = threading.Condition()

    def take(self) -> Job | None:
        """The next job; nil once there is none."""
        with self.changed:
            while self.waiting and not self.failure:
                for job in self.waiting:
                    if job.base is None or job.base.key in self.done:
                        self.waiting.remove(job)
                        return job
                self.changed.wait()
            return None

    def work(self, programs: Programs):
        """What each of the workers does."""
        while job := self.take():
            begin = time.monotonic()
            try:
                job.perform(programs)
            except Exception as error:
                with self.changed:
                    self.failure = self.failure or error
                    self.changed.notify_all()
                programs.stop()
                return
            with self.changed:
                self.done.add(job.key)
                self.changed.notify_all()
            print(f"{len(self.done)}/{self.count} {' '.join(map(str, job.key))}: {time.monotonic() - begin:.0f} s",
                  flush=True)


def digest(value) -> str:
    """A hash of a value that JSON can write."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def write(path: pathlib.Path, value):
    """Puts a JSON file in place at once."""
    partial = path.with_name(path.name + f".partial-{os.getpid()}-{threading.get_ident()}")
    partial.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
    partial.replace(path)


def jobs(matrix: Matrix, options) -> list[Job]:
    """All arms: first every base model, then arm by arm, so that the first tables come early."""
    arms = [BASE, *(arm for arm in matrix.arms if not options.arms or arm.name in options.arms)]
    return [Job(matrix, options.output, family, seed, arm) for arm in arms for seed in options.seeds
            for family in options.families if family in arm.families]


def decode_milliseconds(programs: Programs, job: Job, tokens: int) -> float:
    """Milliseconds of a generated token: the difference of two lengths, the fastest of three runs of each."""
    def seconds(count: int) -> float:
        start = time.monotonic()
        programs.run("statex", "generate", "--model", job.run / "export", "--prompt-tokens", 1, "--max-new-tokens", count,
                     "--threads", 1)
        return time.monotonic() - start
    short, long = (min(seconds(count) for _ in range(3)) for count in (1, 1 + tokens))
    return 1000 * (long - short) / tokens


def measure_decoding(programs: Programs, everything: list[Job]):
    """One model of each shape, one after the other on a machine that does nothing else of ours."""
    for job in everything:
        first = next(other for other in everything if (other.family, other.arm) == (job.family, job.arm))
        if "decode_ms_per_token" not in job.record:
            if first is job:
                job.keep(decode_ms_per_token=decode_milliseconds(programs, job, DECODED_TOKENS))
            else:
                job.keep(decode_ms_per_token=first.record["decode_ms_per_token"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the directory of the built programs")
    parser.add_argument("--matrix", choices=matrices.MATRICES, default="small")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/reproduce"))
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 8), help="arms side by side")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, help="default: the matrix's")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the matrix's")
    parser.add_argument("--arms", nargs="+", help="default: all of the matrix")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    options = parser.parse_args()
    matrix = matrices.MATRICES[options.matrix]
    unknown = set(options.arms or []) - {arm.name for arm in matrix.arms}
    if unknown or options.jobs < 1:
        parser.error(f"the matrix {matrix.name} has no arm {', '.join(unknown)}" if unknown else "--jobs is at least 1")
    if options.seeds is None:
        options.seeds = list(range(matrix.seeds))
    options.families = options.families or matrix.families
    options.bin = options.bin.resolve()
    options.output = ROOT / options.output
    return options


def main() -> int:
    options = arguments()
    matrix = matrices.MATRICES[options.matrix]
    programs = Programs(options.bin)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, programs.stop)
    try:
        everything = jobs(matrix, options)
        if not options.table:
            schedule = Schedule(everything)
            workers = [threading.Thread(target=schedule.work, args=(programs,)) for _ in range(options.jobs)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            if schedule.failure:
                raise schedule.failure
            measure_decoding(programs, everything)
        done = [job for job in everything if job.is_done]
        report = results.collect(matrix, done, programs, options.jobs)
        write(options.output / "results.json", report)
        text = results.table(report)
        (options.output / "table.txt").write_text(text)
        print(text, end="")
        return 0
    except Stopped:
        print("stopped; start again to go on", file=sys.stderr)
        return STOPPED
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main())
