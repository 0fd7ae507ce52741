"""One module a format: bytes in, `SkeletonSequence` out. The format is described on top of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from skelkit.readers import ntu, pku
from skelkit.sequence import SkeletonSequence

__all__ = ["READERS"]

READERS: Mapping[str, Callable[[bytes, str], SkeletonSequence]] = {
    "ntu60": ntu.read,
    "ntu120": ntu.read,
    "pku1": pku.read,
    "pku2": pku.read,
}
"""By the dataset's name: (bytes, where they came from) -> sequence."""
