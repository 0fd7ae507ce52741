"""Pretraining as the paper's code does it against ours, in one run; prints ratios.

    python tools/benchmark_train.py --size small       two minutes on a CPU: a small GRU alone
    python tools/benchmark_train.py --size paper       on a GPU: seq+graph as in the paper, NTU RGB+D 60

The sequences are random numbers, as many as the dataset has and as long. The paper's way is a GRU that is
called for every frame and carries its state, float32, a loader that takes one sequence at a time from a
padded array, a momentum update weight by weight, and a loss that the host waits for. All the rest of it is
ours, so that it is faster than the published code. Ours is `skelkit_train.pretrain.pretrain` itself, without
the first epoch. The ways take turns, and the best of each counts. The paper's way is also given our views,
to see that the losses are the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from benchmark_augment import Twin
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from skelkit.datasets import Protocol
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Store, write_store
from skelkit_train.acceleration import is_compiled, is_mixed
from skelkit_train.checkpoint import DataFacts, build_model
from skelkit_train.config import PRESETS, PretrainConfig, resolve
from skelkit_train.contrast import ContrastiveModel
from skelkit_train.data import Sequences, batches, pick_device
from skelkit_train.encoders import GRUEncoder
from skelkit_train.pretrain import pretrain

LAYOUT = load_layout("ntu25")
PAPER = "the paper's way"
EPOCHS, SAMPLES = 451, 40_091
"""Of the paper on NTU RGB+D 60, cross-subject."""


@dataclasses.dataclass(frozen=True)
class Size:
    sequences: int
    steps: int
    """Of an epoch of the benchmark."""
    twin_steps: int
    turns: int
    settings: Mapping[str, Any]


SMALL: Mapping[str, Any] = {
    "representations": "seq",
    "crop_low": 0.3,
    "crop_shortest": 16,
    "gru_hidden": 128,
    "gru_layers": 2,
    "agcn_widths": (16, 16, 32, 32, 64),
    "hcn_channels": 16,
    "queue": 512,
    "momentum": 0.99,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
}
"""What a CPU carries, with the queues and key encoders of the method."""

SIZES = {
    "small": Size(1_024, 8, 6, 4, SMALL),
    "paper": Size(56_578, 100, 30, 1, PRESETS["isc-ntu60"]),
}


class FrameByFrameGRU(nn.Module):
    """`GRUEncoder` with the same weights, called as the published code calls its GRU."""

    def __init__(self, ours: GRUEncoder) -> None:
        super().__init__()
        self.features = ours.features
        first = cast(nn.GRU, cast(nn.ModuleList, ours.layers[0])[0])
        sizes = first.input_size, first.hidden_size, len(ours.layers)
        self.gru = nn.GRU(*sizes, batch_first=True, bidirectional=True)
        renamed = {}
        for name, value in ours.state_dict().items():
            _, layer, direction, parameter = name.split(".")
            renamed[f"{parameter[:-1]}{layer}{'_reverse' * int(direction)}"] = value
        self.gru.load_state_dict(renamed)

    def forward(self, views: Tensor) -> Tensor:
        state, output = None, None
        for frame in views.flatten(2).split(1, dim=1):
            output, state = self.gru(frame, state)
        assert output is not None
        last: Tensor = output[:, 0]
        return last


class PaperModel(ContrastiveModel):
    @torch.no_grad()
    def update_key_encoders(self) -> None:
        for key, query in zip(self.key.parameters(), self.query.parameters(), strict=True):
            key.data = key.data * self.momentum + query.data * (1.0 - self.momentum)


def paper_model(config: PretrainConfig, facts: DataFacts) -> PaperModel:
    """With the weights and queues that ours begins with."""
    ours = build_model(config, facts)
    encoders = {
        name: FrameByFrameGRU(encoder) if isinstance(encoder, GRUEncoder) else encoder
        for name in config.names
        if (encoder := ours.encoder(name))
    }
    sizes: dict[str, Any] = {"dim": config.embedding, "queue_size": config.queue}
    model = PaperModel(encoders, momentum=config.momentum, temperature=config.temperature, **sizes)
    for name in config.names:
        for part in (model.query, model.key):
            head = cast(nn.Sequential, ours.query[name])[1]
            cast(nn.Sequential, part[name])[1].load_state_dict(head.state_dict())
    model.queues.load_state_dict(ours.queues.state_dict())
    return model


def paper_step(config: PretrainConfig, facts: DataFacts, device: torch.device) -> Callable[..., float]:
    """A new model's training step: two views (N, T, M, V, C) to the loss."""
    model = paper_model(config, facts).to(device).train()
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    kind: Any = torch.optim.SGD
    settings |= {"foreach": False}
    if config.optimizer == "adamw":
        kind = torch.optim.AdamW
    else:
        settings["momentum"] = 0.9
    optimizer = kind(model.query.parameters(), **settings)

    def step(query: Tensor, key: Tensor) -> float:
        output = model(query, key)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        return float(output.loss.item())

    return step


class Pairs:
    """What a DataLoader asks the paper's loader for, one sequence at a time."""

    def __init__(self, twin: Twin, samples: int) -> None:
        self.twin, self.samples = twin, samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, sample: int) -> tuple[Any, Any]:
        return self.twin.pair(sample % len(self.twin.frames))


def sequences(size: Size, trained: int) -> Iterator[SkeletonSequence]:
    """As long as those of NTU RGB+D (mean 84 frames, one in five with two bodies); the first ``trained`` are
    of subject 1, the others of subject 2."""
    rng = np.random.default_rng(0)
    for n in range(size.sequences):
        frames = int(np.clip(rng.lognormal(4.35, 0.4), 30, 300))
        shape = (frames, 1 + int(n % 5 == 0), LAYOUT.size, 3)
        joints = rng.standard_normal(shape, np.float32)
        yield SkeletonSequence(
            joints, np.ones(shape[:2], np.bool_), f"{n:06}", 0, {"subject": 1 + (n >= trained)}
        )


def ours(store: Path, run: Path, config: PretrainConfig, device: torch.device) -> list[dict[str, float]]:
    """The metrics of every epoch."""
    pretrain(store, run, config, device=device, progress=False)
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def paper(store: Path, config: PretrainConfig, size: Size, device: torch.device) -> tuple[float, float]:
    """Samples a second, and the share of the time that the loader is waited for."""
    with Store(store) as opened:
        facts = DataFacts.of(opened, config.bodies)
        twin = Twin([opened.sequence(place) for place in range(min(4096, len(opened)))])
    workers = 0 if device.type == "cpu" else min(32, os.cpu_count() or 1)
    count = (size.twin_steps + 2) * config.batch_size
    loader = DataLoader(
        cast(Any, Pairs(twin, count)),
        config.batch_size,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
    step, waiting, began = paper_step(config, facts, device), 0.0, 0.0
    asked = time.perf_counter()
    for number, pair in enumerate(loader):
        if number == 2:  # warm
            waiting, began = 0.0, asked
        query, key = (view.to(device, non_blocking=True).permute(0, 2, 4, 3, 1).contiguous() for view in pair)
        waiting += time.perf_counter() - asked
        step(query, key)
        asked = time.perf_counter()
    seconds = time.perf_counter() - began
    return size.twin_steps * config.batch_size / seconds, waiting / seconds


def paper_loss(store: Path, config: PretrainConfig, device: torch.device) -> float:
    """The mean of the first epoch on our views."""
    with Store(store) as opened:
        facts = DataFacts.of(opened, config.bodies)
        places = opened.part(config.protocol, train=True)
        data = Sequences.load(opened, facts.bodies, device)
    step, transform, losses = paper_step(config, facts, device), config.augmentation(), []
    for batch in batches(places, config.batch_size, config.seed, 0):
        views = (data.views(batch, transform, seed=config.seed, view=view) for view in (0, 1))
        losses.append(step(*views))
    return float(np.mean(losses))


def flops(config: PretrainConfig, facts: DataFacts) -> float:
    """Floating-point operations of a training step for a sample: forward and twice that backward for the
    query, forward for the key; heads and queues left out."""
    model, total = build_model(config, facts), 0.0
    views = torch.zeros(1, config.frames, facts.bodies, LAYOUT.size, 3)
    for name in config.names:
        encoder = model.encoder(name)
        if isinstance(encoder, GRUEncoder):
            matrices = sum(weight.numel() for weight in encoder.parameters() if weight.ndim == 2)
            total += 2 * config.frames * matrices
        else:
            with FlopCounterMode(display=False) as counter, torch.inference_mode():
                encoder.eval()(views)
            total += counter.get_total_flops()
    return 4 * total


def matmul_peak(device: torch.device) -> float:
    """Operations a second of a large matrix product, in bfloat16 on a GPU."""
    size, dtype = (8192, torch.bfloat16) if device.type == "cuda" else (1024, torch.float32)
    a, b = torch.ones(2, size, size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(10):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - began) / 10)
    return 2 * size**3 / best


class Best(NamedTuple):
    speed: float
    """Samples a second."""
    waiting: float
    """Share of the time that the data is waited for."""
    losses: list[float]
    """Means of the epochs."""


def measure(
    store: Path, base: PretrainConfig, ways: Mapping[str, Mapping[str, Any]], size: Size, device: torch.device
) -> dict[str, Best]:
    """The best of each way."""
    agreed = [paper_loss(store, base, device)]
    found: dict[str, list[Best]] = {PAPER: [], **{way: [] for way in ways}}
    for turn in range(size.turns):
        found[PAPER].append(Best(*paper(store, base, size, device), agreed))
        for way, settings in ways.items():
            config = resolve(dataclasses.asdict(base), settings)
            epochs = ours(store, store.parent / f"{way} {turn}", config, device)
            losses = [epoch["loss"] for epoch in epochs]
            for epoch in epochs[1:]:
                speed = size.steps * config.batch_size / epoch["seconds"]
                found[way].append(Best(speed, epoch["waiting"], losses))
    return {way: max(bests) for way, bests in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options = parser.parse_args()
    size, device = SIZES[options.size], pick_device(options.device)
    fixed = {"protocol": "bench", "epochs": 3, "checkpoint_every": 3, "checkpoint_minutes": 0}
    base = resolve(size.settings, fixed)
    plain = {"precision": "float32", "compile": "off"}
    ways: dict[str, Mapping[str, Any]] = {
        "ours, float32": plain,
        "ours, float32, streamed": plain | {"data": "streamed"},
    }
    if is_mixed(base, device) or is_compiled(base, device):
        ways |= {"ours, full speed": {}, "ours, full speed, streamed": {"data": "streamed"}}
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.h5"
        protocol = {"bench": Protocol("subject", frozenset([1]))}
        header = Header("made up", LAYOUT, {"name": "raw", "steps": []}, (), protocol)
        write_store(store, sequences(size, size.steps * base.batch_size), header)
        with Store(store) as opened:
            facts = DataFacts.of(opened, base.bodies)
        where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        threads = f"{torch.get_num_threads()} threads, {os.cpu_count()} cores"
        print(f"{where}, {threads}, torch {torch.__version__}")
        operations, peak = flops(base, facts), matmul_peak(device)
        each = f"{base.representations}, batches of {base.batch_size}, {operations / 1e9:.2f} GFLOP a sample"
        print(f"{each}; a large matrix product: {peak / 1e12:.2f} TFLOP/s", flush=True)
        found = measure(store, base, ways, size, device)
    columns = {"samples/s": 11, "ratio": 7, "waiting": 9, "TFLOP/s": 9, "of peak": 9, "hours": 8}
    print(" " * 28 + "".join(f"{name:>{width}}" for name, width in columns.items()) + "  losses")
    for way, (speed, waiting, losses) in found.items():
        rate, hours = speed * operations, EPOCHS * SAMPLES / speed / 3600
        print(
            f"{way:28}{speed:11.1f}{speed / found[PAPER].speed:7.2f}{waiting:9.2%}"
            f"{rate / 1e12:9.3f}{rate / peak:9.1%}{hours:8.1f}  {' '.join(f'{x:.4f}' for x in losses)}"
        )
    print(f"hours: {EPOCHS} epochs of {SAMPLES:,} samples; losses: the means of the epochs")


if __name__ == "__main__":
    main()
