"""Contrastive pretraining: the loop, readable from top to bottom.

A run is a folder: ``config.toml``, ``metrics.jsonl`` with one line an epoch, and the checkpoints. Everything
random follows from (seed, epoch, sample, view) or (seed, step), so that an interrupted run that goes on is
the same, bit by bit on the CPU with as many threads, as one that was never interrupted. Under ``torchrun``
each process computes its share of every batch, and rank 0 alone writes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelkit.augment import Transform
from skelkit.errors import SkelkitError, Stopped, StoreError
from skelkit.store import Store
from skelkit_train.acceleration import (
    backward,
    compile_encoders,
    full_float32,
    is_compiled,
    is_mixed,
    make_optimizer,
)
from skelkit_train.checkpoint import Checkpoint, DataFacts, build_model, checkpoints, save
from skelkit_train.config import PretrainConfig
from skelkit_train.contrast import ContrastiveModel, ContrastOutput
from skelkit_train.data import Sequences, batches, fits, store_bytes
from skelkit_train.distributed import Ranks, joined, synchronise_norms
from skelkit_train.evaluate.features import Features
from skelkit_train.evaluate.retrieval import retrieval
from skelkit_train.interrupts import stop_signals
from skelkit_train.metrics import MetricsLog, Progress, Totals, memory_in_use, named_values
from skelkit_train.prefetch import prefetched
from skelkit_train.run import open_run

__all__ = ["pretrain"]

_AHEAD = 2
"""Batches whose views are made in advance."""
_SMALL = 2_000_000
"""Weights that a CPU trains in a reasonable time."""


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

    Under ``torchrun`` each process calls this; the metrics are rank 0's, on the others there are none.

    Parameters
    ----------
    data : the store
    run : the folder to make; with ``resume``, one to go on with
    config : what to compute; with ``resume`` it must be the run's, but for the number of epochs and what is
        written when
    device : where; under ``torchrun``, ``cuda`` stands for a GPU for each process
    progress : show a progress bar on standard error

    Raises
    ------
    SkelkitError : the run exists and ``resume`` is not given, its configuration or data is another, the loss
        is not finite any more, or another process of it has gone
    Stopped : the run was asked to stop
    StoreError : the store is damaged or lacks the protocol
    """
    with joined(device) as ranks, Store(data) as store:
        return _pretrain(store, run, config, ranks, resume, progress and ranks.first)


def _pretrain(
    store: Store, run: Path, config: PretrainConfig, ranks: Ranks, resume: bool, progress: bool
) -> dict[str, Any]:
    facts = DataFacts.of(store, config.bodies)
    places, held_out = _split(store, config)
    _check_batch(config, len(places), ranks)
    resident = config.data == "resident" or (config.data == "auto" and fits(store, ranks.device))
    sequences = Sequences.load(store, facts.bodies, ranks.device, resident=resident)
    training = _Training(config, facts, ranks)
    before = ranks.from_first(lambda: open_run(run, config, facts, resume))
    if before is not None:
        training.restore(before)

    augmentation = config.augmentation()
    # On the CPU another thread would only take time from the step, unless it waits for the disk.
    ahead = 0 if resident and ranks.device.type == "cpu" else _AHEAD
    steps = max(1, len(places) // config.batch_size)
    bar = Progress(config.epochs, steps, training.step, ranks.device, shown=progress)
    if progress:
        bar.say(training.describe(store, resident))
        if resume and before is None:
            bar.say(f"{run}: no checkpoint yet, so from the beginning")
        for note in (*training.notes(len(places)), *_notes_on_data(store, sequences, config.protocol)):
            bar.say(note)
    log = MetricsLog(run, training.epoch, tensorboard=config.tensorboard) if ranks.first else None
    saved = time.perf_counter()
    training.model.train()
    logged = closing(log) if log else nullcontext()
    with full_float32(), stop_signals(said=progress) as stop, closing(bar), logged:
        while training.epoch < config.epochs:
            order = batches(places, config.batch_size, config.seed, training.epoch)
            shares = map(ranks.share, islice(order, training.totals.batches, None))
            make = partial(_pair, sequences, augmentation, config.seed, training.epoch)
            for query, key in training.timed(prefetched(make, shares, ranks.device, ahead=ahead)):
                stopping = ranks.any(bool(stop))
                overdue = 0 < 60 * config.checkpoint_minutes < time.perf_counter() - saved
                if log and (stopping or overdue):
                    training.save(run)
                    saved = time.perf_counter()
                if stopping:
                    return _stopped(run, training, ranks)
                torch.manual_seed((config.seed << 32) + training.step * ranks.size + ranks.rank)  # dropout
                names, values = named_values(training.take_step(query, key, ranks))
                training.totals.add(names, ranks.mean(values), len(query) * ranks.size)
                bar.step()
                if log and training.totals.due:
                    training.look(run)
                    bar.show(training.epoch, training.totals)
            if log:
                training.check(run)
                bar.show(training.epoch, training.totals)
            training.end_epoch()
            if log:
                if config.validate_every and training.epoch % config.validate_every == 0:
                    # Batches of other sizes would be compiled anew.
                    with torch.compiler.set_stance("force_eager") if training.compiled else nullcontext():
                        scores = _validate(training.model, sequences, places, held_out, config)
                    training.metrics |= scores
                log.write(training.metrics)
                if training.epoch % config.checkpoint_every == 0 or training.epoch == config.epochs:
                    training.save(run)
                    saved = time.perf_counter()
    return training.metrics if ranks.first else {}


def _notes_on_data(store: Store, sequences: Sequences, protocol: str) -> Iterator[str]:
    """What is against the store, though it can be trained on."""
    try:
        store.part(protocol, train=False)
    except StoreError as error:  # nothing can be evaluated by it then
        yield f"note: {error}"
    if sequences.note:
        yield f"note: {sequences.note}"


def _check_batch(config: PretrainConfig, count: int, ranks: Ranks) -> None:
    """See that a batch of ``count`` training samples can be shared and contrasted.

    Raises
    ------
    SkelkitError : it cannot
    """
    if config.batch_size % ranks.size or count < ranks.size:
        raise SkelkitError(
            f"batch_size is {config.batch_size}, of {count} training samples; "
            f"expected a multiple of the {ranks.size} processes that share it"
        )
    if config.queue == 0 and min(config.batch_size, count) < 2:
        few = f"batch_size is {config.batch_size}"
        if count < 2:
            few = f"the training part of {config.protocol} has {count} sample"
        raise SkelkitError(
            f"{few}; expected 2 or more, as with queue 0 the negatives are the batch's other sequences"
        )


class _Training:
    """All that changes from step to step; `checkpoint` has all of it, and `restore` takes it up again."""

    def __init__(self, config: PretrainConfig, facts: DataFacts, ranks: Ranks) -> None:
        self.config = config
        self.facts = facts
        self.model = build_model(config, facts)
        if config.synchronised_norms:
            synchronise_norms(self.model)
        self.model.to(ranks.device)
        self.mixed = is_mixed(config, ranks.device)
        self.compiled = is_compiled(config, ranks.device)
        if self.compiled:
            compile_encoders(self.model)
        self.optimizer = make_optimizer(self.model.query, config)
        self.scheduler = torch.optim.lr_scheduler.MultiStepLR(
            self.optimizer, list(config.milestones), gamma=0.1
        )
        self.epoch = self.step = 0
        self.saved_step: int | None = None
        self.totals = Totals()
        self.waiting = 0.0
        """Seconds of the epoch in which there were no views."""
        self.metrics: dict[str, Any] = {}
        self.device = ranks.device

    def describe(self, store: Store, resident: bool) -> str:
        """Where the data is and how a step is computed, in one line."""
        size = store_bytes(store) / 1e6
        kept = f"{size:,.{0 if size >= 10 else 1}f} MB " + (
            f"resident on {self.device}" if resident else "streamed from the disk"
        )
        precision = "bfloat16" if self.mixed else "float32"
        compiled = ", compiled" if self.compiled and set(self.config.names) != {"seq"} else ""
        return f"{kept}; {precision}{compiled} on {self.device}"

    def notes(self, samples: int) -> Iterator[str]:
        """What who waits for ``samples`` training samples should know first."""
        if self.epoch >= self.config.epochs:
            yield f"note: all {self.config.epochs} epochs are done already; more --epochs go on"
        if samples < self.config.batch_size:
            yield f"{samples} training samples are less than a batch: one batch an epoch"
        if samples < self.config.queue:
            yield (
                f"note: a queue of {self.config.queue} keys has every one of {samples} training samples more "
                "than once, so that a query is pushed away from views of its own; --preset small has none"
            )
        weights = sum(parameter.numel() for parameter in self.model.query.parameters())
        if self.device.type == "cpu" and weights > _SMALL:
            yield (
                f"a model of {weights / 1e6:.0f} million weights on a CPU: a step takes seconds to minutes; "
                "--preset small is made for one"
            )

    def timed(self, views: Iterator[tuple[Tensor, ...]]) -> Iterator[tuple[Tensor, ...]]:
        """The views, noting how long they are waited for; their maker ends with them."""
        with closing(views):  # type: ignore[type-var]
            while True:
                began = time.perf_counter()
                pair = next(views, None)
                self.waiting += time.perf_counter() - began
                if pair is None:
                    return
                yield pair

    def take_step(self, query: Tensor, key: Tensor, ranks: Ranks) -> ContrastOutput:
        """Learn from two views (N, T, M, V, C) of the same sequences; the host does not wait for it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            output: ContrastOutput = self.model(query, key)
        self.optimizer.zero_grad()
        backward(output.loss, list(self.model.query.parameters()), mixed=self.mixed)
        ranks.average_gradients(self.model)
        self.optimizer.step()
        self.step += 1
        return output

    def restore(self, before: Checkpoint) -> None:
        before.load_into(self.model)
        self.optimizer.load_state_dict(dict(before.optimizer))
        self.scheduler.load_state_dict(dict(before.scheduler))
        self.epoch, self.step = before.epoch, before.step
        self.saved_step = before.step
        self.totals = Totals(before.begun)
        self.waiting = before.begun.get("waiting", 0.0)
        self.metrics = dict(before.metrics)

    def save(self, run: Path) -> None:
        """Write a checkpoint, unless this step's is there, or a number in it is not finite."""
        if self.step == self.saved_step:
            return
        self.check(run)
        state = self.model.state_dict(), self.optimizer.state_dict(), self.scheduler.state_dict()
        begun = self.totals.state() | {"waiting": self.waiting} if self.totals.batches else {}
        save(run, Checkpoint(self.config, self.facts, self.epoch, self.step, *state, self.metrics, begun))
        self.saved_step = self.step

    def end_epoch(self) -> None:
        """Take the metrics of the epoch, and begin the next."""
        self.epoch += 1
        self.metrics = {
            "epoch": self.epoch,
            "step": self.step,
            **self.totals.means(),
            "learning_rate": self.scheduler.get_last_lr()[0],
            "seconds": round(self.totals.seconds, 3),
            "samples_per_second": round(self.totals.speed, 1),
            "waiting": round(self.waiting / self.totals.seconds, 4),
            "memory_bytes": memory_in_use(self.device),
        }
        self.scheduler.step()
        self.totals = Totals()
        self.waiting = 0.0

    def look(self, run: Path) -> None:
        """Fetch the losses that wait on the device.

        Raises
        ------
        SkelkitError : one is not a finite number
        """
        bad = self.totals.look()
        if bad is not None:
            raise self._not_finite(run, "the loss", f"in step {self.step - self.totals.batches + bad}")

    def check(self, run: Path) -> None:
        """`look`, and see that every weight, running statistic and queued key is a finite number.

        Raises
        ------
        SkelkitError : one is not
        """
        self.look(run)
        values = self.model.state_dict().values()
        if not torch.stack([value.isfinite().all() for value in values]).all():
            raise self._not_finite(run, "a weight", f"by step {self.step}")

    def _not_finite(self, run: Path, what: str, when: str) -> SkelkitError:
        good = checkpoints(run)
        return SkelkitError(
            f"{run}: {what} stopped being a finite number {when}, in epoch {self.epoch + 1}; "
            + (f"the last good checkpoint is {good[-1].name}; " if good else "there is no checkpoint yet; ")
            + "in a new run a lower learning_rate may help, or a higher temperature"
        )


def _pair(
    sequences: Sequences, augmentation: Transform, seed: int, epoch: int, places: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """The views (N, T, M, V, C) for the query and for the key of the sequences at ``places`` (N,)."""
    query = sequences.views(places, augmentation, seed=seed, epoch=epoch, view=0)
    return query, sequences.views(places, augmentation, seed=seed, epoch=epoch, view=1)


def _split(store: Store, config: PretrainConfig) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places (n,) to train on, and those (m,) of the training subjects held out for validation.

    Raises
    ------
    SkelkitError : validation is wanted of a store without subjects or labels, or with one training subject
    StoreError : the store lacks the protocol
    """
    places = store.part(config.protocol, train=True)
    if not config.validate_every:
        return places, places[:0]
    subject = store.columns.get("subject")
    if subject is None or (subject[places] < 0).any() or (store.label[places] < 0).any():
        raise SkelkitError(f"{store.path}: validate_every needs the subject and the label of every sample")
    subjects = np.unique(subject[places])
    if len(subjects) < 2:
        raise SkelkitError(f"{store.path}: validate_every needs 2 training subjects or more, found 1")
    count = min(max(1, round(config.validate_share * len(subjects))), len(subjects) - 1)
    out = np.isin(subject[places], np.random.default_rng(config.seed).choice(subjects, count, replace=False))
    return places[~out], places[out]


def _validate(
    model: ContrastiveModel,
    sequences: Sequences,
    train: NDArray[np.int64],
    held_out: NDArray[np.int64],
    config: PretrainConfig,
) -> dict[str, float]:
    """The share of the held-out samples whose nearest training sample has their class, by representation."""
    scores = {}
    for name in config.names:
        features = Features(sequences, model.encoder(name), config.frames, config.seed)
        scores[f"retrieval {name}"] = retrieval(features, train, held_out).top1
    model.train()
    return scores


def _stopped(run: Path, training: _Training, ranks: Ranks) -> dict[str, Any]:
    """The end of a run that was asked to stop: rank 0 says it, the others go quietly."""
    if ranks.first:
        begun = training.totals.batches or not training.epoch
        where = f"in epoch {training.epoch + 1}" if begun else f"after epoch {training.epoch}"
        raise Stopped(
            f"{run}: stopped after step {training.step}, {where}; it is saved, and --resume goes on"
        )
    return {}
