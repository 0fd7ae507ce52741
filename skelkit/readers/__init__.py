"""One module a format: bytes in, `SkeletonSequence` out. The format is described on top of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from skelkit.errors import InputError, look_up
from skelkit.readers import ntu, pku
from skelkit.sequence import SkeletonSequence

__all__ = ["READERS", "read_file"]

READERS: Mapping[str, Callable[[bytes, str], SkeletonSequence]] = {
    "ntu60": ntu.read,
    "ntu120": ntu.read,
    "pku1": pku.read,
    "pku2": pku.read,
}
"""By the dataset's name: (bytes, where they came from) -> sequence."""


def read_file(path: str | Path, *, dataset: str) -> SkeletonSequence:
    """One raw file; of PKU-MMD that is a whole recording.

    >>> import tempfile, skelkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path, *_] = skelkit.synthesise(folder, classes=1, subjects=1, repeats=1, seed=0)
    ...     sequence = skelkit.read_file(path, dataset="ntu60")
    >>> sequence.name, sequence.joints.shape[1:]
    ('S001C001P001R001A001', (1, 25, 3))

    Parameters
    ----------
    path : named as in the dataset, which names the sample
    dataset : a key of `READERS`

    Raises
    ------
    InputError : it cannot be read, or is not as its format demands
    SkelkitError : no such dataset
    """
    read = look_up(READERS, dataset, "dataset")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from None
    return read(data, str(path))
