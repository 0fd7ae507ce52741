"""A run's encoders under a task, beside an untrained encoder of the same size, raw coordinates and chance."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit.store import Store
from skelkit_train.checkpoint import build_model, load_latest
from skelkit_train.data import Sequences
from skelkit_train.evaluate.features import Features, raw_coordinates
from skelkit_train.evaluate.linear import LinearConfig, linear
from skelkit_train.evaluate.retrieval import retrieval
from skelkit_train.evaluate.scores import Scores

__all__ = ["Evaluation", "Row", "evaluate_linear", "evaluate_retrieval"]

Task = Callable[[Features, NDArray[np.int64], NDArray[np.int64], str], Scores]


@dataclass(frozen=True)
class Row:
    """One line of the table: an encoder and its scores."""

    encoder: str
    representation: str
    top1: float
    mean_class: float


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found; written into the run as ``eval-TASK-DATA-PROTOCOL[-REPRESENTATION].json``."""

    task: str
    run: str
    data: str
    content_hash: str
    """Of the data."""
    protocol: str
    representation: str | None
    """None: all of the run's."""
    epoch: int
    """Of the checkpoint."""
    train: int
    test: int
    """Samples."""
    chance: float
    settings: dict[str, Any]
    rows: list[Row]
    seconds: float

    @property
    def path(self) -> Path:
        """Where in the run it is written."""
        what = [self.task, Path(self.data).stem, self.protocol, self.representation]
        return Path(self.run) / f"eval-{'-'.join(part for part in what if part)}.json"

    def table(self) -> str:
        """For people: one line an encoder."""
        lines = [
            f"{self.task}, {self.protocol}: {self.train} train, {self.test} test, "
            f"checkpoint after {self.epoch} epochs",
            f"  {'':24}{'top-1':>8}{'mean class':>12}",
        ]
        for row in self.rows:
            name = f"{row.encoder} {row.representation}".strip()
            lines.append(f"  {name:24}{row.top1:8.1%}{row.mean_class:12.1%}")
        lines.append(f"  {'chance':24}{self.chance:8.1%}")
        return "\n".join(lines)


def evaluate_linear(
    run: Path,
    data: Path,
    protocol: str,
    *,
    config: LinearConfig,
    device: torch.device,
    representation: str | None = None,
    baselines: bool = True,
    progress: bool = True,
) -> Evaluation:
    """Linear evaluation of a run's encoders; see `linear`. Raises what `_evaluate` raises."""

    def task(features: Features, train: NDArray[np.int64], test: NDArray[np.int64], name: str) -> Scores:
        return linear(features, train, test, config, progress=progress, name=f"linear, {name}")

    found = _evaluate(task, run, data, protocol, device, representation, baselines, config.seed)
    return _write(run, "linear", found, asdict(config))


def evaluate_retrieval(
    run: Path,
    data: Path,
    protocol: str,
    *,
    k: int = 1,
    device: torch.device,
    representation: str | None = None,
    baselines: bool = True,
) -> Evaluation:
    """Retrieval with a run's encoders; see `retrieval`. Raises what `_evaluate` raises."""

    def task(features: Features, train: NDArray[np.int64], test: NDArray[np.int64], _: str) -> Scores:
        return retrieval(features, train, test, k=k)

    found = _evaluate(task, run, data, protocol, device, representation, baselines, seed=0)
    return _write(run, "retrieval", found, {"k": k})


def _evaluate(
    task: Task,
    run: Path,
    data: Path,
    protocol: str,
    device: torch.device,
    representation: str | None,
    baselines: bool,
    seed: int,
) -> dict[str, Any]:
    """The facts and rows of an evaluation.

    Raises
    ------
    SkelkitError : no such run or representation; the store is of another layout or recipe than the run's
    StoreError : the store is damaged or lacks the protocol
    """
    began = time.perf_counter()
    checkpoint = load_latest(run)
    names = checkpoint.config.names
    if representation is not None and representation not in names:
        raise SkelkitError(f"{run}: has {', '.join(names)}, not {representation}")
    with Store(data) as store:
        checkpoint.data.check(store)
        train, test = store.part(protocol, train=True), store.part(protocol, train=False)
        sequences = Sequences.load(store, checkpoint.data.bodies, device)
        content_hash = store.content_hash
    if (sequences.label[np.concatenate([train, test])] < 0).any():
        raise SkelkitError(f"{data}: some samples have no label (-1), which evaluation needs")
    trained = checkpoint.restore_model(device)
    untrained = build_model(checkpoint.config, checkpoint.data).to(device)
    rows = []

    def add(kind: str, name: str, encoder: Any) -> None:
        features = Features(sequences, encoder, checkpoint.config.frames, seed)
        rows.append(Row(kind, name, **asdict(task(features, train, test, f"{kind} {name}".strip()))))

    for name in [representation] if representation else names:
        add("pretrained", name, trained.encoder(name))
        if baselines:
            add("untrained", name, untrained.encoder(name))
    if baselines:
        add("raw coordinates", "", raw_coordinates)
    return {
        "data": str(data),
        "content_hash": content_hash,
        "protocol": protocol,
        "representation": representation,
        "epoch": checkpoint.epoch,
        "train": len(train),
        "test": len(test),
        "chance": 1 / len(np.unique(sequences.label[test])),
        "rows": rows,
        "seconds": round(time.perf_counter() - began, 3),
    }


def _write(run: Path, task: str, found: dict[str, Any], settings: dict[str, Any]) -> Evaluation:
    evaluation = Evaluation(task=task, run=str(run), settings=settings, **found)
    with replacing(evaluation.path, "the evaluation") as temporary:
        temporary.write_text(json.dumps(asdict(evaluation), indent=1) + "\n", encoding="utf-8")
    return evaluation
