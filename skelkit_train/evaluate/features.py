"""Features of views, from a frozen encoder or from raw coordinates; what every task builds on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skelkit.augment import CentreCrop, Compose, Crop, Resample, Transform
from skelkit.progress import progress_bar
from skelkit_train.data import Sequences
from skelkit_train.evaluate.memory import FeatureMemory

__all__ = [
    "Encoder",
    "Features",
    "Joined",
    "centre_views",
    "digest",
    "random_views",
    "raw_coordinates",
    "untouched",
]

Encoder = nn.Module | Callable[[Tensor], Tensor]
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


class Joined(nn.Module):
    """Several representations' encoders on the same views; their features side by side, as in the paper."""

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(dict(encoders))

    def forward(self, views: Tensor) -> Tensor:
        """views (N, T, M, V, C) -> features (N, D1 + D2 + ...)."""
        return torch.cat([encoder(views) for encoder in self.encoders.values()], dim=1)


def digest(encoder: nn.Module) -> str:
    """SHA-256 of an encoder's weights and running statistics."""
    hasher = hashlib.sha256()
    for name, value in encoder.state_dict().items():
        hasher.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        hasher.update(np.ascontiguousarray(value.cpu().numpy()).data)
    return hasher.hexdigest()


@contextmanager
def untouched(encoder: Encoder) -> Iterator[None]:
    """A block in which a frozen encoder must not change, its batch-norm statistics included.

    Raises
    ------
    RuntimeError : it did, so that what was computed in the block cannot be trusted
    """
    if not isinstance(encoder, nn.Module):
        yield
        return
    before = digest(encoder)
    yield
    if digest(encoder) != before:
        raise RuntimeError("the frozen encoder was changed by its evaluation")


@dataclass(frozen=True)
class Features:
    """Features of a store's sequences under an encoder that is frozen: in evaluation mode, no gradients."""

    sequences: Sequences
    encoder: Encoder
    frames: int
    seed: int
    memory: FeatureMemory | None = None
    """Where features of the views for testing are kept from one evaluation to the next."""
    progress: bool = False

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
        if isinstance(self.encoder, Joined):
            return torch.cat([part.centre(places) for part in self.parts()], dim=1)
        if self.memory is None or not isinstance(self.encoder, nn.Module):
            return self.of(places, centre_views(self.frames))
        facts: dict[str, Any] = {
            "weights": digest(self.encoder),
            # What weights do not tell: how the encoder uses them.
            "encoder": str(self.encoder),
            "direction": getattr(self.encoder, "direction", None),
            "views": str(centre_views(self.frames)),
            "bodies": self.sequences.max_bodies,
        }
        known = self.memory.recall(facts, self.everything)
        return known[torch.from_numpy(places)].to(self.sequences.rows.device)

    def everything(self) -> Tensor:
        """(N, D) features of the views for testing of all sequences, on the CPU."""
        places = np.arange(len(self.sequences.label))
        blocks = np.array_split(places, max(1, len(places) // (4 * _BATCH)))
        bar = progress_bar(blocks, desc="features", unit="block", shown=self.progress, leave=False)
        return torch.cat([self.of(block, centre_views(self.frames)).cpu() for block in bar])

    def random(self, places: NDArray[np.int64], epoch: int) -> Tensor:
        """(n, D) features of the views that an epoch of training a classifier sees."""
        return self.of(places, random_views(self.frames), epoch)

    def labels(self, places: NDArray[np.int64]) -> Tensor:
        """(n,) classes."""
        return torch.from_numpy(self.sequences.label[places]).to(self.sequences.rows.device)

    def parts(self) -> list[Features]:
        """These features representation by representation."""
        if isinstance(self.encoder, Joined):
            return [replace(self, encoder=encoder) for encoder in self.encoder.encoders.values()]
        return [self]
