"""Features of views, from a frozen encoder or from raw coordinates; what every task builds on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelkit.augment import CentreCrop, Compose, Crop, Resample, Transform
from skelkit_train.data import Sequences

__all__ = ["Features", "centre_views", "random_views", "raw_coordinates"]

_BATCH = 256


def centre_views(frames: int) -> Transform:
    """Views for testing: the middle 95% of a sequence (the paper's published code)."""
    return Compose((CentreCrop(0.95), Resample(frames)))


def random_views(frames: int) -> Transform:
    """Views for training a classifier: crops r ~ U[0.5, 1], of at least ``frames`` frames (the paper's
    published code): shorter sequences are always taken whole."""
    return Compose((Crop(0.5, 1.0, frames), Resample(frames)))


def raw_coordinates(views: Tensor) -> Tensor:
    """(N, F, M, V, 3) -> (N, F M V 3): the baseline that any encoder should beat."""
    return views.flatten(1)


@dataclass(frozen=True)
class Features:
    """Features of a store's sequences under an encoder that is frozen: in evaluation mode, no gradients."""

    sequences: Sequences
    encoder: nn.Module | Callable[[Tensor], Tensor]
    frames: int
    seed: int

    def of(self, places: NDArray[np.int64], transform: Transform, epoch: int = 0) -> Tensor:
        """(n, D) float32 features of one view of each of the sequences at ``places`` (n,)."""
        if isinstance(self.encoder, nn.Module):
            self.encoder.eval()
        with torch.inference_mode():
            parts = [
                self.encoder(
                    self.sequences.views(places[i : i + _BATCH], transform, seed=self.seed, epoch=epoch)
                )
                for i in range(0, len(places), _BATCH)
            ]
        return torch.cat(parts)

    def centre(self, places: NDArray[np.int64]) -> Tensor:
        """(n, D) features of the views for testing."""
        return self.of(places, centre_views(self.frames))

    def random(self, places: NDArray[np.int64], epoch: int) -> Tensor:
        """(n, D) features of the views that an epoch of training a classifier sees."""
        return self.of(places, random_views(self.frames), epoch)

    def labels(self, places: NDArray[np.int64]) -> Tensor:
        """(n,) classes."""
        return torch.from_numpy(self.sequences.label[places]).to(self.sequences.rows.device)
