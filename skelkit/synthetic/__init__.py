"""Valid raw files of NTU RGB+D and PKU-MMD without anybody's data: made-up people perform made-up actions.

All of it is drawn from generators keyed by the seed and the numbers in a file's name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from skelkit.errors import SkelkitError
from skelkit.synthetic import ntu, pku

__all__ = ["synthesise"]


class _Count(Protocol):
    def __call__(self, *, classes: int, subjects: int, repeats: int) -> int: ...


class _Files(Protocol):
    def __call__(
        self, *, classes: int, subjects: int, repeats: int, seed: int
    ) -> Iterator[tuple[str, str]]: ...


@dataclass(frozen=True)
class _Dataset:
    classes: tuple[int, int]  # at least and at most
    subjects: tuple[int, int]
    repeats: tuple[int, int]
    count: _Count
    files: _Files


# Repeats as many as the numbers in the files' names can tell. A split list of PKU-MMD takes two subjects.
_DATASETS: Mapping[str, _Dataset] = {
    "ntu60": _Dataset((1, 60), (1, 40), (1, 999), ntu.count, ntu.files),
    "ntu120": _Dataset((1, 120), (1, 106), (1, 999), ntu.count, ntu.files),
    "pku1": _Dataset((1, 51), (2, 66), (1, 29), pku.count, partial(pku.files, pku.PHASE_1)),
    "pku2": _Dataset((1, 51), (2, 13), (1, 19), pku.count, partial(pku.files, pku.PHASE_2)),
}


def synthesise(
    directory: str | Path,
    *,
    dataset: str = "ntu60",
    classes: int,
    subjects: int,
    repeats: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write made-up performances into ``directory``, laid out and named as in the official distribution.

    Every subject performs every class so many times, seen by three cameras in directions 45 degrees apart.
    Classes differ in what the body does; subjects in size, posture, tempo, reach and direction. The last
    quarter of the classes (from four classes on) has two people, one of whom may appear some frames late.
    The same arguments give the same bytes.

    >>> import tempfile, skelkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = skelkit.synthesise(folder, classes=1, subjects=1, repeats=1, seed=0)
    >>> [file.name for file in files][:2]
    ['S001C001P001R001A001.skeleton', 'S001C002P001R001A001.skeleton']

    ntu60, ntu120 : ``nturgb+d_skeletons/SsssCcccPpppRrrrAaaa.skeleton``, an action each; S is always 1
    pku1 : ``PKU_Skeleton_Renew/0002-L.txt`` (L, M or R for the camera; recordings count from 2) with up to
        ten actions of one subject one after the other, their labels in ``Train_Label_PKU_final``, and
        ``Split/cross-subject.txt`` (the last quarter of the subjects validates) and ``cross-view.txt`` (L)
    pku2 : ``PKU_Skeleton_v2/A01N02-L.txt`` (recording 1 of subject 2), ``Label_PKU_v2`` and ``Split_v2``
        likewise; subjects 2, 3 and 7 validate, as in the genuine split

    Parameters
    ----------
    directory : made where it does not exist; it must be empty
    dataset : at most 60 classes, 40 subjects for ``ntu60``; 120, 106 for ``ntu120``; 51, 66 for ``pku1``;
        51, 13 for ``pku2``
    classes, subjects, repeats : how many; they count from 1; PKU-MMD takes two subjects at least
    seed : what people, timing and noise are drawn from; what a class looks like does not depend on it
    progress : called with (files written, files in all) after every file

    Returns
    -------
    the files' paths, in the order written

    Raises
    ------
    SkelkitError : a number out of range, another dataset, a directory in use, or one that can't be written
    """
    if dataset not in _DATASETS:
        raise SkelkitError(f"cannot synthesise dataset {dataset!r}; expected one of {', '.join(_DATASETS)}")
    kind = _DATASETS[dataset]
    for what, value, (least, most) in (
        ("classes", classes, kind.classes),
        ("subjects", subjects, kind.subjects),
        ("repeats", repeats, kind.repeats),
    ):
        if not least <= value <= most:
            raise SkelkitError(f"{dataset} takes {least} to {most} {what}, not {value}")
    if seed < 0:
        raise SkelkitError(f"the seed must not be negative, not {seed}")
    directory = Path(directory)
    total = kind.count(classes=classes, subjects=subjects, repeats=repeats)
    written: list[Path] = []
    unfinished = directory / ".unfinished"  # of a run that was killed it is there already
    try:
        if directory.exists() and (not directory.is_dir() or set(directory.iterdir()) - {unfinished}):
            raise SkelkitError(f"{directory}: exists and is not an empty directory; nothing is overwritten")
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, text in kind.files(classes=classes, subjects=subjects, repeats=repeats, seed=seed):
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("ascii"))
            written.append(directory / name)
            if progress is not None:
                progress(len(written), total)
        for made in list(unfinished.iterdir()):
            made.replace(directory / made.name)
        unfinished.rmdir()
    except OSError as error:
        raise SkelkitError(f"{error.filename or directory}: cannot write: {error.strerror}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return written
