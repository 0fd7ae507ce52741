"""Several representations as one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from skelkit_train.evaluate.curve import Fitted
from skelkit_train.evaluate.features import Encoder, Joined

__all__ = ["Fusion", "apart", "fused", "run_mark", "side_by_side"]

Fusion = Literal["features", "scores"]
"""How several representations are fused: their features side by side, as in the paper, or the mean of their
scores (class probabilities; in retrieval cosines)."""


def apart(encoder: Encoder, fusion: Fusion) -> list[Encoder]:
    """The encoders whose features are classified or searched by themselves."""
    if fusion == "scores" and isinstance(encoder, Joined):
        return list(encoder.encoders.values())
    return [encoder]


def fused(fitted: list[Fitted]) -> Fitted:
    """Several classifiers as one: the mean of their class probabilities, as logits; in its curve the numbers
    of the first are ``loss 1``, ``test 1``, ... ."""
    if len(fitted) == 1:
        return fitted[0]
    parts = fitted[0].logits
    shares = {
        part: torch.stack([F.softmax(f.logits[part], dim=1) for f in fitted]).mean(dim=0) for part in parts
    }
    curve = [
        {
            f"{name} {n}": value
            for n, row in enumerate(rows, 1)
            for name, value in row.items()
            if name != "epoch"
        }
        | {"epoch": rows[0]["epoch"]}
        for rows in zip(*(f.curve for f in fitted), strict=True)
    ]
    return Fitted({part: share.clamp(min=1e-30).log() for part, share in shares.items()}, curve)


def side_by_side(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Of several (gallery, query) one whose cosines are the means of theirs."""
    if len(pairs) == 1:
        return pairs[0]
    gallery, query = (
        torch.cat([F.normalize(rows, dim=1) for rows in side], dim=1) for side in zip(*pairs, strict=True)
    )
    return gallery, query


def run_mark(run: Path) -> str:
    """Of another run in the name of a file: ``with-graph-3f9a0c``, where the digits tell folders of one name
    apart."""
    folder = run.resolve()
    return f"with-{folder.name[:24]}-{hashlib.sha256(str(folder).encode()).hexdigest()[:6]}"
