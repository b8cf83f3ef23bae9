"""Does to PyTorch's distributed checkpoint what the fault campaign does to ours, and counts what happens.

    python Tests/Peers/checkpoint_faults.py [--flips 200] [--cuts 50] [--kills 50] [--seed 1]

Two ranks (gloo) save six matrices, each divided between them, with torch.distributed.checkpoint. Then
- one bit of one of the files flips, or a file is cut, and one process loads the checkpoint;
- a rank is killed while both overwrite a checkpoint, or all are killed while they write into a new folder.
Processes are forked from this one, which has imported torch already. Needs torch only.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

RANKS = 2
SHAPE = (1024, 512)
NAMES = [f"layers.{i}.weight" for i in range(6)]


def values(step):
    """What a step holds; no number of one step is that of another."""
    generator = torch.Generator().manual_seed(7)
    return {name: torch.rand(SHAPE, generator=generator) + step for name in NAMES}


def in_child(body):
    """Forks, runs body in the child and returns the child's process number."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        torch.set_num_threads(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = body() or 0
    except BaseException:
        pass
    finally:
        os._exit(code)


def save(rank, folder, step, store, began=None):
    """One rank's part of a save; tells through the pipe `began` when it begins."""
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS)
    mesh = init_device_mesh("cpu", (RANKS,))
    state = {name: distribute_tensor(tensor, mesh, [Shard(0)]) for name, tensor in values(step).items()}
    dist.barrier()
    if began is not None:
        os.write(began, b"!")
    dcp.save(state, checkpoint_id=folder)
    if began is not None:
        os.write(began, b".")
    dist.barrier()


def start_save(folder, step, began=None):
    """Starts both ranks of a save."""
    store = tempfile.mktemp(dir=Path(folder).parent)
    return [in_child(lambda rank=rank: save(rank, folder, step, store, began)) for rank in range(RANKS)]


def wait(processes, limit=60):
    """Waits for processes; those that are not done in time are killed. Returns whether all succeeded."""
    codes, deadline = {}, time.monotonic() + limit
    while len(codes) < len(processes):
        for process in set(processes) - set(codes):
            if time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                codes[process] = os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return all(code == 0 for code in codes.values())


# What a load showed, as a child's exit code.
OUTCOMES = {10: "old", 11: "new", 12: "mixed", 13: "other numbers", 14: "error"}


def load(folder, old, new):
    """Loads a checkpoint in a process of its own and says of which step its numbers are."""

    def body():
        warnings.simplefilter("ignore")
        state = {name: torch.full(SHAPE, -1.0) for name in NAMES}
        try:
            dcp.load(state, checkpoint_id=folder, no_dist=True)
        except BaseException:
            return 14
        is_old = [torch.equal(state[name], tensor) for name, tensor in values(old).items()]
        is_new = [torch.equal(state[name], tensor) for name, tensor in values(new).items()]
        if all(is_old) or all(is_new):
            return 10 if all(is_old) else 11
        pairs = zip(values(old).items(), values(new).values())
        known = all(((state[name] == a) | (state[name] == b)).all() for (name, a), b in pairs)
        return 12 if known else 13

    process, deadline = in_child(body), time.monotonic() + 60
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return OUTCOMES.get(os.waitstatus_to_exitcode(status), "crash")
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return "no end"


def damage(work, count, title, kinds, hurt):
    """Hurts a file of a copy `count` times, the kinds in turn, and prints what loading it shows."""
    good = work / "good"
    counts = {kind: collections.Counter() for kind in kinds}
    for index in range(count):
        kind = list(kinds)[index % len(kinds)]
        copy = work / "copy"
        shutil.copytree(good, copy)
        path = copy / random.choice(kinds[kind])
        path.write_bytes(hurt(kind, path.read_bytes()))
        outcome = load(copy, 1, 2)
        counts[kind][{"old": "no effect", "error": "detected"}.get(outcome, outcome)] += 1
        shutil.rmtree(copy)
    for kind, counter in [("all", sum(counts.values(), collections.Counter())), *counts.items()]:
        print(f"{title}, {kind}: " + ", ".join(f"{n} {what}" for what, n in sorted(counter.items())), flush=True)


def flip(kind, data):
    """One bit of a file, or of its first 200 bytes."""
    byte = random.randrange(min(len(data), 200) if kind == "headers" else len(data))
    return data[:byte] + bytes([data[byte] ^ 1 << random.randrange(8)]) + data[byte + 1:]


def cut(kind, data):
    """A beginning of a file."""
    return data[:random.randrange(len(data))]


def seconds_of_save(work):
    """How long a save takes, between the messages of the first and the last rank."""
    times = []
    for _ in range(3):
        reader, writer = os.pipe()
        processes = start_save(work / "timed", 1, writer)
        os.read(reader, 1)
        start, messages = time.monotonic(), b""
        while messages.count(b".") < RANKS:
            messages += os.read(reader, 16)
        times.append(time.monotonic() - start)
        wait(processes)
        os.close(reader)
        os.close(writer)
    return sorted(times)[1]


def kills(work, count, title, duration, is_overwriting, victims):
    """Kills ranks while they save step 2, and prints what the folder holds then."""
    counter = collections.Counter()
    for _ in range(count):
        folder = work / "victim"
        if is_overwriting:
            shutil.copytree(work / "good", folder)
        reader, writer = os.pipe()
        processes = start_save(folder, 2, writer)
        os.read(reader, 1)
        time.sleep(random.random() * 1.2 * duration)
        for process in victims(processes):
            os.kill(process, signal.SIGKILL)
        # The others wait for the dead one; a user would end them too.
        wait(processes, limit=3)
        os.close(reader)
        os.close(writer)
        outcome = load(folder, 1, 2)
        counter["unreadable" if outcome == "error" else outcome] += 1
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{title}: " + ", ".join(f"{n} {what}" for what, n in sorted(counter.items())), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, count in [("flips", 200), ("cuts", 50), ("kills", 50), ("seed", 1)]:
        parser.add_argument(f"--{name}", type=int, default=count)
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"torch {torch.__version__}, {RANKS} ranks, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        if not wait(start_save(work / "good", 1)) or load(work / "good", 1, 2) != "old":
            sys.exit("error: a checkpoint that nothing happens to cannot be saved and loaded")
        data = [path.name for path in (work / "good").glob("*.distcp")]
        kinds = {"headers": data, "shards": data, "metadata": [".metadata"]}
        damage(work, options.flips, "one flipped bit", kinds, flip)
        damage(work, options.cuts, "a file cut short", {"shards": data, "metadata": [".metadata"]}, cut)
        duration = seconds_of_save(work)
        kills(work, options.kills, "kill -9 of one rank while a checkpoint is overwritten", duration, True,
              lambda processes: [random.choice(processes)])
        kills(work, options.kills, "kill -9 of all ranks while a checkpoint is overwritten", duration, True,
              lambda processes: processes)
        kills(work, options.kills, "kill -9 of all ranks while a new folder is written", duration, False,
              lambda processes: processes)


if __name__ == "__main__":
    main()
