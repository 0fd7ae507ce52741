"""Contrastive pretraining: the loop, readable from top to bottom.

A run is a folder: ``config.toml``, ``metrics.jsonl`` with one line an epoch, and the checkpoints. Everything
random follows from (seed, epoch, sample, view) or (seed, step), so that an interrupted run that goes on is
the same, bit by bit on the CPU with as many threads, as one that was never interrupted.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit.store import Store
from skelkit_train.checkpoint import Checkpoint, DataFacts, build_model, load_latest, save
from skelkit_train.config import PretrainConfig
from skelkit_train.contrast import ContrastOutput
from skelkit_train.data import Sequences, batches

__all__ = ["pretrain"]

_LOG_STEPS = 50


def pretrain(
    data: Path,
    run: Path,
    config: PretrainConfig,
    *,
    device: torch.device,
    resume: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Pretrain encoders on the training part of a protocol; the metrics of the last epoch.

    Parameters
    ----------
    data : the store
    run : the folder to make; with ``resume``, one to go on with
    config : what to compute; with ``resume`` only its ``epochs`` may differ from the run's
    device : where
    progress : show a progress bar on standard error

    Raises
    ------
    SkelkitError : the run exists and ``resume`` is not given, its configuration or data is another, the loss
        is not finite any more
    StoreError : the store is damaged or lacks the protocol
    """
    with Store(data) as store:
        facts = DataFacts.of(store, config.bodies)
        places = store.part(config.protocol, train=True)
        sequences = Sequences.load(store, facts.bodies, device)
    model = build_model(config, facts).to(device)
    before = _open_run(run, config, facts, resume)

    optimizer = _optimizer(model.query, config)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(config.milestones), gamma=0.1)
    epoch = step = 0
    if before is not None:
        model.load_state_dict(dict(before.model))
        optimizer.load_state_dict(dict(before.optimizer))
        scheduler.load_state_dict(dict(before.scheduler))
        epoch, step = before.epoch, before.step
    _keep_metrics(run, epoch)

    augmentation = config.augmentation()
    steps = max(1, len(places) // config.batch_size)
    metrics: dict[str, Any] = dict(before.metrics) if before else {}
    bar = tqdm(
        total=config.epochs * steps, initial=epoch * steps, unit="step", smoothing=0.05, disable=not progress
    )
    if len(places) < config.batch_size:
        bar.write(f"{len(places)} training samples are less than a batch: one batch an epoch", sys.stderr)
    model.train()
    with bar, _stop_signals() as stop, (run / "metrics.jsonl").open("a", encoding="utf-8") as log:
        while epoch < config.epochs:
            began = time.perf_counter()
            totals = _Totals()
            for batch in batches(places, config.batch_size, config.seed, epoch):
                torch.manual_seed((config.seed << 32) + step)  # dropout
                query = sequences.views(batch, augmentation, seed=config.seed, epoch=epoch, view=0)
                key = sequences.views(batch, augmentation, seed=config.seed, epoch=epoch, view=1)
                output = model(query, key)
                optimizer.zero_grad()
                output.loss.backward()
                optimizer.step()
                totals.add(output, len(batch))
                step += 1
                bar.update()
                if totals.batches % _LOG_STEPS == 0:
                    bar.set_description(totals.line(epoch, config.epochs))
            learning_rate = scheduler.get_last_lr()[0]
            scheduler.step()
            epoch += 1
            metrics = {"epoch": epoch, "step": step, **totals.means(), "learning_rate": learning_rate}
            if not (math.isfinite(metrics["loss"]) and _is_finite(model)):
                raise SkelkitError(
                    f"{run}: in epoch {epoch} the loss or a weight stopped being a finite number; nothing of "
                    "that epoch is saved; a lower learning_rate may help"
                )
            seconds = time.perf_counter() - began
            metrics |= {
                "seconds": round(seconds, 3),
                "samples_per_second": round(totals.samples / seconds, 1),
            }
            log.write(json.dumps(metrics) + "\n")
            log.flush()
            bar.set_description(totals.line(epoch - 1, config.epochs))
            stopping = bool(stop)  # asked once: a signal after this line is for the next epoch
            if epoch % config.checkpoint_every == 0 or epoch == config.epochs or stopping:
                state = model.state_dict(), optimizer.state_dict(), scheduler.state_dict()
                save(run, Checkpoint(config, facts, epoch, step, *state, metrics))
            if stopping:
                break
    if epoch < config.epochs:
        raise SkelkitError(f"{run}: stopped after epoch {epoch}, which is saved; --resume goes on")
    return metrics


def _open_run(run: Path, config: PretrainConfig, facts: DataFacts, resume: bool) -> Checkpoint | None:
    """Make the run's folder, or find where to go on."""
    before = None
    if resume:
        if not (run / "config.toml").exists():
            raise SkelkitError(f"{run}: no run in this folder to go on with")
        if any(run.glob("checkpoint-*.pt")):
            before = load_latest(run)
            _check_same(run, before, config, facts)
    elif run.exists() and any(run.iterdir() if run.is_dir() else [run]):
        raise SkelkitError(f"{run}: exists already; --resume goes on with it, or give another folder")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SkelkitError(f"{run}: cannot write there: {error.strerror}") from None
    with replacing(run / "config.toml", "the configuration") as temporary:
        temporary.write_text(config.to_toml(), encoding="utf-8")
    return before


def _check_same(run: Path, before: Checkpoint, config: PretrainConfig, facts: DataFacts) -> None:
    difference = before.data.why_not(facts)
    if difference:
        raise SkelkitError(f"{run}: cannot go on with this store: {difference}")
    if before.data.content_hash != facts.content_hash:
        raise SkelkitError(f"{run}: was trained on a store with other content")
    old, new = asdict(replace(before.config, epochs=config.epochs)), asdict(config)
    for name, value in new.items():
        if old[name] != value:
            raise SkelkitError(
                f"{run}: was begun with {name} = {old[name]!r}, not {value!r}; "
                f"--config {run / 'config.toml'} gives its settings again"
            )
    if config.epochs < before.epoch:
        raise SkelkitError(f"{run}: has {before.epoch} epochs already, more than {config.epochs}")


def _keep_metrics(run: Path, epochs: int) -> None:
    """Drop the lines after the checkpoint that is gone on from."""
    path = run / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    with replacing(path, "the metrics") as temporary:
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["epoch"] <= epochs]
        temporary.write_text("".join(kept), encoding="utf-8")


def _optimizer(query: nn.Module, config: PretrainConfig) -> torch.optim.Optimizer:
    parameters = query.parameters()
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters, lr=config.learning_rate, momentum=0.9, weight_decay=config.weight_decay
    )


def _is_finite(model: nn.Module) -> bool:
    """Whether every weight, running statistic and queued key is a finite number."""
    return bool(torch.stack([value.isfinite().all() for value in model.state_dict().values()]).all())


class _Totals:
    """Sums over an epoch's batches, on the device: the host waits for it only when it wants a number."""

    def __init__(self) -> None:
        self.batches = 0
        self.samples = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, output: ContrastOutput, samples: int) -> None:
        self.batches += 1
        self.samples += samples
        values = {"loss": output.loss.detach()}
        values |= {f"loss {term}": loss for term, loss in output.losses.items()}
        values |= {f"accuracy {term}": share for term, share in output.accuracies.items()}
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def means(self) -> dict[str, float]:
        return {name: float(value) / self.batches for name, value in self.sums.items()}

    def line(self, epoch: int, epochs: int) -> str:
        means = self.means()
        accuracy = np.mean([value for name, value in means.items() if name.startswith("accuracy")])
        return f"epoch {epoch + 1}/{epochs}  loss {means['loss']:.3f}  contrastive accuracy {accuracy:.1%}"


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or SIGTERM asks to stop after this epoch; a second Ctrl-C does at
    once."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever runs us there stops us
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
