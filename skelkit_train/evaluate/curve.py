"""The course of a training: loss and scores epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from skelkit.errors import SkelkitError

__all__ = ["Curve", "Fitted"]


@dataclass(frozen=True)
class Fitted:
    """A trained classifier's answers."""

    logits: dict[str, Tensor]
    """(m, K) by the part's name, after the last epoch: the result."""
    curve: list[dict[str, float]]
    """By epoch: ``epoch`` from 1, ``loss``, and where they were taken, top-1 by the part's name."""


class Curve:
    """Notes the mean loss of every epoch, and the top-1 on parts that are not trained on.

    Parameters
    ----------
    labels : (m,) classes of each of these parts, by name
    """

    def __init__(self, labels: Mapping[str, Tensor]) -> None:
        self.labels = labels
        self.loss: Tensor | float = 0.0
        self.samples = 0
        self.rows: list[dict[str, float]] = []
        self.logits: dict[str, Tensor] = {}

    def add(self, loss: Tensor, samples: int) -> None:
        """A batch's mean loss; it stays on the device."""
        self.loss = self.loss + loss.detach() * samples
        self.samples += samples

    def end_epoch(self, logits: dict[str, Tensor] | None) -> None:
        """With the logits (m, K) of each part, if they were taken after this epoch.

        Raises
        ------
        SkelkitError : the loss or a logit is not a finite number
        """
        row: dict[str, float] = {"epoch": len(self.rows) + 1, "loss": float(self.loss) / self.samples}
        finite = {"the loss": math.isfinite(row["loss"])}
        finite |= {
            f"a logit of the {name} part": bool(v.isfinite().all()) for name, v in (logits or {}).items()
        }
        for what, good in finite.items():
            if not good:
                raise SkelkitError(
                    f"{what} stopped being a finite number in epoch {row['epoch']}; "
                    "a lower learning rate may help"
                )
        if logits is not None:
            self.logits = logits
            for part, values in logits.items():
                right = values.argmax(dim=1) == self.labels[part]
                row[part] = float(right.double().mean())
        self.rows.append(row)
        self.loss, self.samples = 0.0, 0

    def fitted(self) -> Fitted:
        """What the training came to; the logits are those of the last epoch."""
        return Fitted(self.logits, self.rows)
