"""Conversions, whole and interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skelkit.blocks import Block
from skelkit.conversion import Report, convert
from skelkit.journal import Journal
from skelkit.sequence import SkeletonSequence

GOOD = "S001C001P001R001A001.skeleton"
"""One of the 40 files of the fixture `raw`."""


def run(source: Path | list[Path], out: Path, dataset: str = "ntu60", **options: Any) -> Report:
    """Without the progress."""
    sources = source if isinstance(source, list) else [source]
    return convert(sources, out, dataset=dataset, progress=False, **options)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def interrupt(raw: Path, out: Path, blocks: int, overwrite: bool = False) -> None:
    """Convert up to some block, then stop as a kill would."""
    append = Journal.append

    def stop(journal: Journal, block: Block) -> Iterator[SkeletonSequence]:
        if journal.files_done >= 4 * blocks:
            raise Killed
        return append(journal, block)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", stop)
        with pytest.raises(Killed):
            run(raw, out, overwrite=overwrite)
    assert (out.with_name(out.name + ".part") / "journal").exists()
    assert out.exists() == overwrite
