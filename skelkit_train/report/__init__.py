"""A run's report: one self-contained HTML page, and the same numbers as plain data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit.store import Store
from skelkit_train.checkpoint import load_latest
from skelkit_train.evaluate.setting import open_setting
from skelkit_train.report.contents import gather
from skelkit_train.report.page import Scene, no_scene, page, stage_skeletons
from skelkit_train.report.space import Space, explore

__all__ = ["write_report"]


def write_report(
    run: Path,
    out: Path,
    data: Path | None = None,
    *,
    protocol: str | None = None,
    device: torch.device,
    progress: bool = False,
) -> dict[str, Any]:
    """Write a run's report as one HTML page; the numbers on it, as plain data.

    Parameters
    ----------
    run : its newest checkpoint, metrics and evaluations are told of
    out : the page; appears whole or not at all
    data : a store of the same joint layout and recipe as the run's, for the map of the features and the
        retrieval gallery; without it the page has neither
    protocol : of the store; the run's if not given
    device : where the features are computed
    progress : show progress bars on standard error

    Raises
    ------
    SkelkitError : no such run; the store is of another layout or recipe, or has samples without labels; or
        ``out`` cannot be written
    StoreError : the store is damaged or lacks the protocol
    """
    checkpoint = load_latest(run)
    if not out.parent.is_dir():
        raise SkelkitError(f"{out}: the folder {out.parent} does not exist")
    space: Space | None = None
    if data is None:
        contents, scene = gather(run, checkpoint), no_scene()
    else:
        setting = open_setting(run, data, protocol, device=device, progress=progress)
        space = explore(setting)
        with Store(data) as store:
            contents = gather(run, checkpoint, store)
            scene = _scene(store, space, checkpoint.config.frames)
    report = {**asdict(contents), "space": asdict(space) if space else None}
    with replacing(out, "the report") as temporary:
        temporary.write_text(page(report, scene), encoding="utf-8")
    return report


def _scene(store: Store, space: Space, frames: int) -> Scene:
    queries = [query for seen in space.representations for query in seen.queries]
    names = {query.name for query in queries}
    names |= {neighbour.name for query in queries for neighbour in query.neighbours}
    return stage_skeletons(store, sorted(names), frames)
