"""Numbers from predictions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Scores", "score"]

_MOST = 5


@dataclass(frozen=True)
class Scores:
    """Shares in 0..1, and counts."""

    top1: float
    """Of the test samples that are right."""
    top5: float
    """Of the test samples whose class is among the first five."""
    mean_class: float
    """The mean, over the classes that the test part has, of the share that is right in each."""
    confusion: list[list[int]]
    """(K, K) test samples by true class (row) and predicted class (column)."""
    predicted: list[int]
    """(n,) the first class of each test sample."""


def score(ranked: Tensor, label: Tensor, classes: int) -> Scores:
    """Of ranked classes (n, r), the most likely first, and true classes (n,), all in 0..``classes`` - 1."""
    right = ranked[:, :_MOST] == label[:, None]
    first = ranked[:, 0]
    confusion = torch.bincount(label * classes + first, minlength=classes**2).reshape(classes, classes)
    each = confusion.diagonal().double() / confusion.sum(dim=1)
    return Scores(
        top1=float(right[:, 0].double().mean()),
        top5=float(right.any(dim=1).double().mean()),
        mean_class=float(each[confusion.sum(dim=1) > 0].mean()),
        confusion=confusion.tolist(),
        predicted=first.tolist(),
    )
