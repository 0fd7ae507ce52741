"""What an evaluation found: for people a table, for programs JSON in the run."""

from __future__ import annotations

import hashlib
import json
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from skelkit.errors import SkelkitError
from skelkit.files import replacing

__all__ = ["Evaluation", "Row", "Trial", "file_name", "own_name", "summarise", "write"]

_LONGEST = 150
"""Characters of a file's name."""
_FIVE = 5
"""Classes, of which one among the first five is always the right one."""
_FEW = 100
"""Test samples, of which one more or less is a point of accuracy."""


@dataclass(frozen=True)
class Trial:
    """One training, or one retrieval, of an encoder. Shares are in 0..1, those of the last epoch."""

    seed: int
    subset: int | None
    """Number of the subset of the labels, from 0; None: all of them."""
    train: int
    """Samples trained on."""
    top1: float
    top5: float
    """Retrieval: the right class is among the five nearest."""
    mean_class: float
    """Mean over the classes of the share that is right in each."""
    predicted: list[int]
    """Class of each test sample, in the order of ``test_samples``."""
    mean_average_precision: float | None = None
    """Retrieval only."""
    nearest: list[str] | None = None
    """Retrieval only: the name of each test sample's nearest training sample."""
    similarity: list[float] | None = None
    """Retrieval only: its cosine."""
    best_on_test: dict[str, float] | None = None
    """Epoch and top-1 of the best epoch as the test part tells it: never the result, it is too good."""
    validation: dict[str, float] | None = None
    """``top1``, ``top5``, ``mean_class`` on the subjects held out."""
    recalled: bool = field(default=False, compare=False)
    """It was trained for an earlier evaluation, and not again."""
    curve: Sequence[dict[str, float]] = ()
    """By epoch: ``epoch`` from 1, ``loss``, and top-1 as ``test`` and ``validation`` where it was taken."""


@dataclass(frozen=True)
class Row:
    """One line of the table: an encoder, and the means of its trials."""

    encoder: str
    representation: str
    share: float | None
    """Percent of the labels trained on; None: all."""
    top1: float
    top5: float
    mean_class: float
    mean_average_precision: float | None
    best_on_test: float | None
    """Top-1; see `Trial`."""
    validation: float | None
    """Top-1."""
    deviation: dict[str, float] | None
    """Standard deviation over the trials (n - 1) of the shares above; None for a single trial."""
    per_class: list[float | None]
    """(K,) share that is right of each class; None where the test part has none of it."""
    confusion: list[list[int]]
    """(K, K) test samples by true class (row) and predicted class (column), all trials together."""
    trials: list[Trial]

    @property
    def title(self) -> str:
        """For people."""
        share = f" {self.share:g}% labels: {self.trials[0].train}" if self.share is not None else ""
        return f"{self.encoder} {self.representation}".strip() + share


@dataclass(frozen=True)
class Evaluation:
    """An evaluation, as it is written into the run."""

    task: str
    run: str
    data: str
    content_hash: str
    """Of the data."""
    protocol: str
    pretrained_on: dict[str, str] | None
    """``content_hash`` and ``protocol`` of the run's own data; None: not known, as of published weights."""
    test_seen: int | None
    """Test samples that the run was pretrained on, without their labels; None: not known, its data is
    another."""
    representation: str | None
    """None: all of the run's, each by itself; ``seq+graph``: fused."""
    epoch: int
    """Of the checkpoint."""
    train: int
    test: int
    validation: int
    """Samples; 0: no subjects were held out."""
    subjects_held_out: list[int]
    chance: float
    """Accuracy of a guess among the classes of the training part, which misses test samples of others."""
    settings: dict[str, Any]
    classes: list[str]
    """(K,) names."""
    test_samples: dict[str, list[Any]]
    """``name`` and ``label``, (m,) each."""
    subset_files: list[str]
    """In the run: the names of the samples of each subset of the labels."""
    rows: list[Row]
    seconds: float
    file: str
    """In the run."""
    fused_with: Sequence[dict[str, Any]] = ()
    """Other runs whose encoders are fused with this one's: ``run``, ``epoch``, ``pretrained_on`` and
    ``test_seen``, as above."""

    @property
    def path(self) -> Path:
        """Where it is written."""
        return Path(self.run) / self.file

    def table(self) -> str:
        """For people: one line an encoder; deviations where there are several trials."""
        columns = {"top1": "top-1", "top5": "top-5", "mean_class": "mean class"}
        if self.task != "retrieval" and len(self.classes) <= _FIVE:
            del columns["top5"]  # always right
        optional = {
            "mean_average_precision": "mAP",
            "validation": "validation",
            "best_on_test": "best on test",
        }
        columns |= {
            k: v for k, v in optional.items() if any(getattr(row, k) is not None for row in self.rows)
        }
        validation = f", {self.validation} validation" if self.validation else ""
        width = max(30, *(len(row.title) + 1 for row in self.rows))
        quick = " (quick)" * self.settings.get("quick", False)
        lines = [
            f"{self.task}{quick}, {self.protocol}: {self.train} train, {self.test} test{validation}, "
            f"checkpoint after {self.epoch} epoch{'s' * (self.epoch != 1)}"
            + "".join(f", with {other['run']} after {other['epoch']}" for other in self.fused_with),
            f"  {'':{width}}" + "".join(f"{title:>15}" for title in columns.values()),
        ]
        for row in self.rows:
            cells = "".join(f"{_cell(row, column):>15}" for column in columns)
            lines.append(f"  {row.title:{width}}{cells}")
        lines.append(f"  {'chance':{width}}{f'{self.chance:.1%}':>15}")
        if self.test < _FEW:
            lines.append(f"  {f'one of {self.test} test samples':{width}}{f'{1 / self.test:.1%}':>15}")
        return "\n".join([*lines, *self._unfinished(), *self._recalled()])

    def _unfinished(self) -> Iterator[str]:
        """A line for each encoder whose training has hardly begun to fit: few samples make few steps."""
        guess = math.log(len(self.classes))
        for row in self.rows:
            last = [trial.curve[-1] for trial in row.trials if trial.curve]
            losses = (value for point in last for name, value in point.items() if name.startswith("loss"))
            loss = max(losses, default=0)  # of several encoders whose scores are fused, each has its own
            if guess / 2 < loss <= 1.5 * guess:  # far above it, something else is wrong
                yield (
                    f"  {row.title}: the training loss is still {loss:.2f} in the last epoch, of {guess:.2f} "
                    "by a guess; more --epochs may help"
                )

    def _recalled(self) -> Iterator[str]:
        trials = [trial for row in self.rows for trial in row.trials]
        known = sum(trial.recalled for trial in trials)
        if known:
            yield f"  {known} of {len(trials)} trainings were finished before; --fresh does them again"


def _cell(row: Row, column: str) -> str:
    value = getattr(row, column)
    if value is None:
        return ""
    deviation = (row.deviation or {}).get(column)
    return f"{value:.1%}" if deviation is None else f"{value:.1%} ±{100 * deviation:.1f}"


def summarise(
    encoder: str,
    representation: str,
    share: float | None,
    trials: list[Trial],
    label: Sequence[int],
    classes: int,
) -> Row:
    """The row of some trials on test samples of the classes ``label`` (m,), of ``classes`` in all."""
    predicted = np.array([trial.predicted for trial in trials])
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (np.broadcast_to(np.asarray(label), predicted.shape), predicted), 1)
    totals = confusion.sum(axis=1)
    values: dict[str, list[float | None]] = {
        name: [getattr(trial, name) for trial in trials]
        for name in ("top1", "top5", "mean_class", "mean_average_precision")
    }
    for name in ("best_on_test", "validation"):
        parts: list[dict[str, float] | None] = [getattr(trial, name) for trial in trials]
        values[name] = [part["top1"] if part else None for part in parts]
    known = {
        name: [v for v in column if v is not None] for name, column in values.items() if None not in column
    }
    means = {name: statistics.fmean(column) for name, column in known.items()}
    deviation = {name: statistics.stdev(column) for name, column in known.items() if len(column) > 1}
    return Row(
        encoder=encoder,
        representation=representation,
        share=share,
        top1=means["top1"],
        top5=means["top5"],
        mean_class=means["mean_class"],
        mean_average_precision=means.get("mean_average_precision"),
        best_on_test=means.get("best_on_test"),
        validation=means.get("validation"),
        deviation=deviation or None,
        per_class=[
            right / total if total else None
            for right, total in zip(confusion.diagonal().tolist(), totals.tolist(), strict=True)
        ],
        confusion=confusion.tolist(),
        trials=trials,
    )


def file_name(prefix: str, settings: dict[str, Any], defaults: dict[str, Any]) -> str:
    """``PREFIX-k5-seeds3.json``: the settings that are not the defaults stand in the name, so that results
    of others are not overwritten.

    >>> file_name("eval-retrieval-ntu60-xsub", {"k": 5, "compressed": True}, {"k": 1, "compressed": False})
    'eval-retrieval-ntu60-xsub-k5-compressed.json'
    """
    parts = [prefix]
    for name, value in settings.items():
        if value != defaults[name]:
            values = value if isinstance(value, list | tuple) else [value]
            text = "+".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            parts.append(name if value is True else f"{name}{text}")
    text = "-".join(parts).replace("/", "_").replace(":", "=")
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return f"{text}.json"


def own_name(run: Path, file: str, content_hash: str) -> str:
    """``file``, or where the run has one of that name about another store: ``FILE-3f9a0c.json``, with the
    first digits of this store's ``content_hash``."""
    try:
        other = json.loads((run / file).read_text(encoding="utf-8"))["content_hash"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or a damaged one
        return file
    return file if other == content_hash else f"{file.removesuffix('.json')}-{content_hash[:6]}.json"


def write(evaluation: Evaluation) -> Evaluation:
    """Write it into its run.

    Raises
    ------
    SkelkitError : the disk refuses, or a number in it is not finite, which JSON has no word for
    """
    try:
        text = json.dumps(asdict(evaluation), allow_nan=False)
    except ValueError:
        raise SkelkitError(f"{evaluation.path}: not written: some of its numbers are not finite") from None
    with replacing(evaluation.path, "the evaluation") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return evaluation
