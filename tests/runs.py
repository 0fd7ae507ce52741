"""Runs on the CPU: how to train, evaluate, report and compare them."""

from __future__ import annotations

import json

import torch
from click.testing import CliRunner

from skelkit_train.checkpoint import load_latest
from skelkit_train.cli import main
from skelkit_train.evaluate.finetune import FinetuneConfig
from skelkit_train.evaluate.linear import LinearConfig
from skelkit_train.evaluate.setting import open_setting
from skelkit_train.pretrain import pretrain
from skelkit_train.report import write_report

CPU = torch.device("cpu")
PROBE = LinearConfig(epochs=2)
TUNE = FinetuneConfig(epochs=1)
MEASURED = ("seconds", "samples_per_second", "waiting", "memory_bytes")


def train(data, run, config, **options):
    return pretrain(data, run, config, device=CPU, progress=False, **options)


def setting(run, data, protocol="xsub", **options):
    return open_setting(run, data, protocol, device=CPU, **options)


def report(run, out, data=None, **options):
    return write_report(run, out, data, device=CPU, **options)


def invoke(*arguments):
    """A command of skelkit-train."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="skelkit-train")


def fails(*arguments, code=1):
    """The one line that a failing command prints; after its usage where the words were wrong."""
    result = invoke(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    if code == 1:
        assert result.stderr.count("\n") == 1
    return line


def random(*shape, seed=0):
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def metrics(run):
    """Every epoch's, without what was measured of the machine."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]


def assert_same_run(run, other):
    """To the bit, but for what was measured of the machine."""
    ours, theirs = load_latest(run), load_latest(other)
    assert (ours.epoch, ours.step, ours.data) == (theirs.epoch, theirs.step, theirs.data)
    for part in ("model", "optimizer", "scheduler"):
        torch.testing.assert_close(getattr(ours, part), getattr(theirs, part), rtol=0, atol=0)
    assert sums(ours) == sums(theirs)
    assert metrics(run) == metrics(other)


def sums(checkpoint):
    """Of the epoch that was begun."""
    return {name: value for name, value in checkpoint.begun.items() if name not in MEASURED}
