"""What a run holds: its settings, the course of its training, and what evaluations found."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from skelkit.errors import SkelkitError
from skelkit.store import Store
from skelkit_train.checkpoint import Checkpoint, DataFacts
from skelkit_train.config import PretrainConfig
from skelkit_train.evaluate.results import Evaluation, Row, Trial
from skelkit_train.metrics import read_metrics
from skelkit_train.report.paper import COMPLETE, Published, published

__all__ = ["Confused", "Contents", "Evaluated", "Field", "gather"]

_TASKS = ("linear", "retrieval", "semi", "finetune", "supervised")
_MOST_CONFUSED = 12
_LEFT_OUT = ("predicted", "nearest", "similarity")
"""Of a trial: one value a test sample."""


@dataclass(frozen=True)
class Field:
    """A setting of the run."""

    name: str
    value: Any
    about: str


@dataclass(frozen=True)
class Confused:
    """Test samples of one class that were taken for another."""

    true: int
    predicted: int
    count: int
    share: float
    """Of the samples of the true class."""


@dataclass(frozen=True)
class Evaluated:
    """One file of results, with what the page adds."""

    task: str
    file: str
    data: str
    dataset: str
    """Empty where it is not known: the store has gone, or changed."""
    protocol: str
    epoch: int
    train: int
    test: int
    validation: int
    chance: float
    seconds: float
    settings: dict[str, Any]
    classes: list[str]
    subset_files: list[str]
    fused_with: list[dict[str, Any]]
    """Other runs, as `skelkit_train.evaluate.results.Evaluation` has them."""
    published: list[Published]
    complete: int | None
    """Test samples of the whole dataset, on which the paper's figures are; None: not known."""
    rows: list[dict[str, Any]]
    """As `skelkit_train.evaluate.results.Row`, its trials without what is one value a sample, and with
    ``confused``, the most frequent confusions."""


@dataclass(frozen=True)
class Contents:
    """All that a run tells by itself."""

    run: str
    epoch: int
    """Of the newest checkpoint."""
    settings: list[Field]
    layout: str
    recipe: str
    steps: list[dict[str, Any]]
    """Of the recipe, with their parameters."""
    bodies: int
    content_hash: str
    """Of the data trained on; empty where it is not known, as of published weights."""
    course: list[dict[str, float]]
    """By epoch: ``metrics.jsonl``."""
    damaged: int
    """Lines of it that were left out."""
    evaluations: list[Evaluated]


def gather(run: Path, checkpoint: Checkpoint, store: Store | None = None) -> Contents:
    """Read a run. ``store``, where it is given, tells which dataset the evaluations on it were of; otherwise
    the stores that they name are asked, where they are still there. Damaged lines of the metrics are left
    out, and counted.
    """
    found = list(_evaluations(run))
    datasets = {store.content_hash: store.dataset} if store else {}
    for evaluation in found:
        if evaluation.content_hash not in datasets:
            datasets[evaluation.content_hash] = _dataset(evaluation)
    recipe = json.loads(checkpoint.data.recipe)
    course, damaged = read_metrics(run / "metrics.jsonl")
    return Contents(
        run=str(run),
        epoch=checkpoint.epoch,
        settings=_settings(checkpoint.config),
        layout=json.loads(checkpoint.data.layout)["name"],
        recipe=recipe["name"],
        steps=recipe["steps"],
        bodies=checkpoint.data.bodies,
        content_hash=checkpoint.data.content_hash,
        course=course,
        damaged=damaged,
        evaluations=[
            _evaluated(evaluation, datasets[evaluation.content_hash], checkpoint.data) for evaluation in found
        ],
    )


def _settings(config: PretrainConfig) -> list[Field]:
    hints = get_type_hints(PretrainConfig, include_extras=True)
    return [Field(name, value, hints[name].__metadata__[0]) for name, value in asdict(config).items()]


def _parsed(text: str) -> dict[str, Any]:
    """An object of JSON. Raises ValueError where it is none, or has a number that is not finite."""

    def refuse(name: str) -> float:
        raise ValueError(f"found {name}, expected a finite number")

    found = json.loads(text, parse_constant=refuse)
    if not isinstance(found, dict):
        raise ValueError(f"found {type(found).__name__}, expected an object")
    return found


def _evaluations(run: Path) -> Iterator[Evaluation]:
    """In the order of the tasks; damaged files are warned of, and passed over."""
    for task in _TASKS:
        for path in sorted(run.glob(f"eval-{task}-*.json")):
            try:
                content = _parsed(path.read_text(encoding="utf-8"))
                rows = [_row(row) for row in content.pop("rows")]
                yield Evaluation(**content, rows=rows)
            except (OSError, ValueError, KeyError, TypeError) as error:
                warnings.warn(f"{path}: no results of an evaluation, and passed over: {error}", stacklevel=2)


def _row(content: dict[str, Any]) -> Row:
    return Row(**{**content, "trials": [Trial(**trial) for trial in content["trials"]]})


def _dataset(evaluation: Evaluation) -> str:
    try:
        with Store(evaluation.data) as store:
            return store.dataset if store.content_hash == evaluation.content_hash else ""
    except SkelkitError:
        return ""


def _evaluated(evaluation: Evaluation, dataset: str, trained_on: DataFacts) -> Evaluated:
    known = {
        name: getattr(evaluation, name) for name in Evaluated.__annotations__ if hasattr(evaluation, name)
    }
    transfer = bool(trained_on.content_hash) and evaluation.content_hash != trained_on.content_hash
    added = {
        "dataset": dataset,
        "published": published(
            evaluation.task, dataset, evaluation.protocol, evaluation.settings, transfer=transfer
        ),
        "complete": COMPLETE.get((dataset, evaluation.protocol)),
        "rows": [_told(row) for row in evaluation.rows],
    }
    return Evaluated(**{**known, **added})


def _told(row: Row) -> dict[str, Any]:
    trials = [
        {name: value for name, value in vars(trial).items() if name not in _LEFT_OUT} for trial in row.trials
    ]
    return {**vars(row), "trials": trials, "confused": _confused(row.confusion)}


def _confused(confusion: Sequence[Sequence[int]]) -> list[Confused]:
    """The pairs of classes with the most confusions (K, K), the most frequent first."""
    counts = np.array(confusion)
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:_MOST_CONFUSED]
    pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [
        Confused(int(a), int(b), int(counts[a, b]), float(counts[a, b] / totals[a]))
        for a, b in pairs
        if counts[a, b]
    ]
