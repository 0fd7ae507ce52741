"""skelkit_train: contrastive pretraining on skeleton stores, and its evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skelkit_train.dataset import SkeletonDataset

__all__ = ["SkeletonDataset"]


def __getattr__(name: str) -> Any:
    """torch, which takes a second to import, is left to those who need it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from skelkit_train import dataset

    return getattr(dataset, name)
