"""Measures a whole training step in PyTorch on the CPU; shared by the peers of this folder.

A step is forward, backward, clipping and a fused AdamW on one batch of fresh random tokens.
"""

import argparse
import ctypes
import os
import json
import resource
import statistics
import sys
import time

import torch


def keep_freed_memory():
    """Lets glibc reuse large blocks: otherwise each activation is mapped and page-faulted afresh.

    PEER_MALLOC=default leaves glibc as it is, which is what a user of PyTorch gets.
    """
    if os.environ.get("PEER_MALLOC") == "default":
        return
    trim_threshold, mmap_threshold = -1, -3
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(mmap_threshold, 2**31 - 1)
        libc.mallopt(trim_threshold, 2**31 - 1)


def make_optimizer(model):
    """AdamW, fused, with weight decay on matrices only."""
    groups = [dict(params=[p for p in model.parameters() if p.dim() >= 2], weight_decay=0.1),
              dict(params=[p for p in model.parameters() if p.dim() < 2], weight_decay=0.0)]
    return torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)


def measure(make_model, options):
    """Seconds of each measured step, and the number of parameters.

    `make_model(options)` gives a module that maps tokens [B, T + 1] to the mean loss.
    """
    torch.manual_seed(0)
    model = make_model(options)
    optimizer = make_optimizer(model)
    forward = torch.compile(model) if options.compile else model
    seconds = []
    for step in range(options.warmup + options.steps):
        tokens = torch.randint(options.vocab, (options.batch, options.tokens + 1))
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            loss = forward(tokens)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if not torch.isfinite(loss):
            raise SystemExit(f"error: loss {loss.item()} at step {step}")
        if step >= options.warmup:
            seconds.append(time.perf_counter() - start)
        print(f"step {step + 1}", file=sys.stderr, flush=True)
    return seconds, sum(p.numel() for p in model.parameters())


def make_parser(description, **sizes):
    """The options of a peer; `sizes` are its model's integers with their defaults."""
    parser = argparse.ArgumentParser(description=description)
    defaults = dict(sizes, tokens=2048, batch=1, threads=2, steps=5, warmup=2)
    for name, default in defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"default {default}")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--check", action="store_true", help="compare with the `plain` fixture instead")
    return parser


def main(name, options, make_model, check):
    """Runs `check(options)`, or measures and prints the JSON line of the peer called `name`."""
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    if options.check:
        check(options)
        return
    seconds, parameters = measure(make_model, options)
    rates = [options.batch * options.tokens / s for s in seconds]
    mode = ("compile" if options.compile else "eager") + ("-bf16" if options.bf16 else "-fp32")
    print(json.dumps(dict(
        peer=f"{name}-{mode}", tokens_per_second=round(statistics.median(rates), 1),
        slowest=round(min(rates), 1), fastest=round(max(rates), 1), steps=options.steps,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        parameters=parameters, tokens=options.batch * options.tokens, threads=options.threads)))
