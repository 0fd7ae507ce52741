"""Numbers from predictions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Scores", "score"]


@dataclass(frozen=True)
class Scores:
    """Shares in 0..1."""

    top1: float
    """Of the test samples that are right."""
    mean_class: float
    """The mean over classes of the share that is right in each."""


def score(predicted: Tensor, label: Tensor) -> Scores:
    """Of predicted and true classes, (n,) each."""
    right = (predicted == label).double()
    classes = [right[label == k].mean() for k in torch.unique(label)]
    return Scores(top1=float(right.mean()), mean_class=float(torch.stack(classes).mean()))
