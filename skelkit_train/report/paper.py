"""What the paper reports: the figures that a run's evaluations stand beside.

Source: *Skeleton-Contrastive 3D Action Representation Learning*, arXiv 2108.03656, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["COMPLETE", "PUBLISHED", "Published", "published"]

COMPLETE: Mapping[tuple[str, str], int] = {
    ("ntu60", "xsub"): 16_487,
    ("ntu60", "xview"): 18_932,
    ("ntu120", "xsub"): 50_919,
    ("ntu120", "xset"): 59_477,
}
"""Test samples of the whole dataset, by dataset and protocol (docs/protocols.md)."""


@dataclass(frozen=True)
class Published:
    """One figure of the paper."""

    task: str
    dataset: str
    protocol: str
    top1: float
    """Share in 0..1."""
    encoder: str = "seq+graph"
    """The representations that were contrasted, and what else was special."""
    share: float | None = None
    """Percent of the labels; None: all."""
    pretrained_on: str | None = None
    """Another dataset; None: the same."""


def _rows(task: str, figures: Mapping[tuple[str, str], float], **more: Any) -> tuple[Published, ...]:
    """Of percents by dataset and protocol."""
    return tuple(
        Published(task, dataset, protocol, round(percent / 100, 4), **more)
        for (dataset, protocol), percent in figures.items()
    )


def _ablation(percent: float, encoder: str) -> tuple[Published, ...]:
    return _rows("linear", {("ntu60", "xview"): percent}, encoder=encoder)


def _semi(protocol: str, *percents: float) -> tuple[Published, ...]:
    return tuple(
        row
        for share, percent in zip((1.0, 5.0, 10.0, 20.0), percents, strict=True)
        for row in _rows("semi", {("ntu60", protocol): percent}, share=share)
    )


def _transfer(percent: float, source: str) -> tuple[Published, ...]:
    return _rows("finetune", {("pku2", "xsub"): percent}, pretrained_on=source)


PUBLISHED: tuple[Published, ...] = (
    *_rows(
        "linear",
        {
            ("ntu60", "xview"): 85.2,
            ("ntu60", "xsub"): 76.3,
            ("ntu120", "xset"): 67.9,
            ("ntu120", "xsub"): 67.1,
            ("pku1", "xsub"): 80.9,
            ("pku2", "xsub"): 36.0,
        },
    ),
    *_ablation(85.4, "seq+graph+image"),
    *_ablation(82.5, "seq"),
    *_ablation(80.0, "seq, crop and joint jitter"),
    *_ablation(73.8, "seq, crop and shear"),
    *_ablation(64.1, "seq, crop"),
    *_ablation(50.0, "seq, no augmentation"),
    *_rows(
        "retrieval",
        {
            ("ntu60", "xview"): 82.6,
            ("ntu60", "xsub"): 62.5,
            ("ntu120", "xset"): 52.3,
            ("ntu120", "xsub"): 50.6,
        },
    ),
    *_semi("xsub", 35.7, 59.6, 65.9, 70.8),
    *_semi("xview", 38.1, 65.7, 72.5, 78.2),
    *_rows(
        "finetune",
        {
            ("ntu60", "xview"): 90.4,
            ("ntu60", "xsub"): 79.3,
            ("ntu120", "xset"): 75.4,
            ("ntu120", "xsub"): 73.1,
        },
    ),
    *_transfer(45.1, "pku1"),
    *_transfer(45.9, "ntu60"),
)

_PROTOCOL_OF_THE_PAPER: Mapping[str, Mapping[str, Any]] = {
    "linear": {"quick": False},
    "retrieval": {"k": 1, "compressed": False},
}
"""Settings of a task without which its figures do not compare."""


def published(
    task: str, dataset: str, protocol: str, settings: Mapping[str, Any], *, transfer: bool
) -> list[Published]:
    """The figures that an evaluation compares with; ``transfer``: of a run on another dataset."""
    wanted = _PROTOCOL_OF_THE_PAPER.get(task, {})
    if any(settings.get(name) != value for name, value in wanted.items()):
        return []
    return [
        row
        for row in PUBLISHED
        if (row.task, row.dataset, row.protocol) == (task, dataset, protocol)
        and (row.pretrained_on is not None) == transfer
    ]
