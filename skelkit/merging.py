"""Stores put together: the shards of one conversion, or stores of the same kind with different sequences."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from skelkit.conversion import Report, write_report
from skelkit.datasets import KeptSplit
from skelkit.errors import SkelkitError
from skelkit.files import paths, report_path
from skelkit.progress import progress_bar
from skelkit.sequence import SkeletonSequence
from skelkit.store import Header, Store, check_store_path, write_store

__all__ = ["merge"]


def merge(
    parts: Sequence[str | Path], out: str | Path, *, overwrite: bool = False, progress: bool = True
) -> tuple[int, str]:
    """Put stores together into one, and their reports too where all have one.

    >>> import tempfile, skelkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw = skelkit.synthesise(folder, classes=1, subjects=1, repeats=1, seed=0)
    ...     parts = [f"{folder}/1.h5", f"{folder}/2.h5"]
    ...     for n, part in enumerate(parts, 1):
    ...         report = skelkit.convert(raw, part, dataset="ntu60", shard=(n, 2), progress=False)
    ...     count, content_hash = skelkit.merge(parts, f"{folder}/a.h5", progress=False)
    >>> count
    3

    Parameters
    ----------
    parts : all shards of a conversion, or stores that are no shards, in any order
    out : the store to write; of shards, the same content as the conversion in one go
    overwrite : replace ``out`` where it exists
    progress : show a progress bar on standard error

    Returns
    -------
    number of sequences, content hash

    Raises
    ------
    SkelkitError : a shard is missing or of another conversion, the stores differ in recipe, layout, classes
        or protocols, a sequence is in two of them, or ``out`` exists or cannot be written
    StoreError : a store is damaged
    """
    out, parts = Path(out), paths(parts)
    check_store_path(out)
    if out.exists() and not overwrite:
        raise SkelkitError(f"{out}: exists already; --overwrite replaces it")
    with ExitStack() as stack:
        stores = [stack.enter_context(Store(path)) for path in dict.fromkeys(parts)]
        reports = [_report(report_path(path)) for path in dict.fromkeys(parts)]
        reports += _check_shards(stores, reports[0])
        header = _common_header(stores)
        total = sum(map(len, stores))
        bar = stack.enter_context(progress_bar(total=total, unit="sequence", desc="merging", shown=progress))
        content_hash = write_store(out, _in_order(stores, bar), header)
    known = [report for report in reports if report is not None]
    if len(known) == len(reports):
        write_report(_together(known, content_hash), out)
    else:
        report_path(out).unlink(missing_ok=True)  # of a store that was here
    return total, content_hash


def _check_shards(stores: list[Store], report: Report | None) -> list[Report]:
    """Refuse what does not belong together; the reports of shards of which nothing was kept, and which have
    no stores therefore, beside those that have."""
    shards = {store.path: store.shard for store in stores}
    if not any(shards.values()):
        return []
    first = next(shard for shard in shards.values() if shard)
    places: dict[int, Path] = {}
    for path, shard in shards.items():
        if shard is None:
            raise SkelkitError(f"{path}: not a shard, but others are; merge shards with their like")
        if (shard.of, shard.inputs) != (first.of, first.inputs):
            why = f"{shard.index}/{shard.of}" if shard.of != first.of else "of other files"
            raise SkelkitError(f"{path}: a shard of another conversion than {stores[0].path}: {why}")
        if shard.index in places:
            raise SkelkitError(f"{path}: shard {shard.index} of {shard.of}, as {places[shard.index]}")
        places[shard.index] = path
    absent = [index for index in range(1, first.of + 1) if index not in places]
    empty = _empty_shards({store.path.parent for store in stores}, report) if absent else {}
    missing = [str(index) for index in absent if f"{index}/{first.of}" not in empty]
    if missing:
        which = (
            f"shards {', '.join(missing)} of {first.of} are"
            if missing[1:]
            else f"shard {missing[0]} of {first.of} is"
        )
        raise SkelkitError(f"{which} missing; all are needed")
    return [empty[f"{index}/{first.of}"] for index in absent]


def _empty_shards(folders: set[Path], report: Report | None) -> dict[str | None, Report]:
    """Reports of the same conversion, by their shards, that say that nothing was kept."""
    found: dict[str | None, Report] = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.report.json")):
        with suppress(SkelkitError):  # a report of something else
            other = _report(path)
            if report and other and not other.kept and other.sources == report.sources:
                found[other.shard] = other
    return found


def _common_header(stores: list[Store]) -> Header:
    first = stores[0]
    for store in stores[1:]:
        for what, a, b in (
            ("recipe", first.recipe, store.recipe),
            ("layout", first.layout, store.layout),
            ("list of classes", first.classes, store.classes),
            ("choice of protocols", first.protocol_rules, store.protocol_rules),
            ("choice of columns", sorted(first.columns), sorted(store.columns)),
        ):
            if a != b:
                raise SkelkitError(
                    f"{store.path}: its {what} differs from that of {first.path}; see skelkit diff"
                )
    splits = {
        name: KeptSplit(
            rule,
            {
                sequence: int(side)
                for store in stores
                for sequence, side in zip(store.names, store.protocols[name], strict=True)
            },
        )
        for name, rule in first.protocol_rules.items()
    }
    return Header(first.dataset, first.layout, first.recipe, first.classes, splits)


def _in_order(stores: list[Store], bar: tqdm[Any]) -> Iterator[SkeletonSequence]:
    """All sequences by name, one of each store in memory at a time."""
    last, where = "", Path()
    for name, number, place in heapq.merge(*(_places(store, number) for number, store in enumerate(stores))):
        store = stores[number]
        if name == last:
            raise SkelkitError(f"{name} is in both {where} and {store.path}")
        last, where = name, store.path
        yield store.sequence(place)
        bar.update()


def _places(store: Store, number: int) -> Iterator[tuple[str, int, int]]:
    return ((name, number, place) for place, name in enumerate(store.names))


def _report(path: Path) -> Report | None:
    try:
        return Report(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise SkelkitError(f"{path}: not a report of a conversion; move it away to merge without") from None


def _together(parts: list[Report], content_hash: str) -> Report:
    return Report(
        dataset=parts[0].dataset,
        sources=sorted({source for part in parts for source in part.sources}),
        version=parts[0].version,
        found=sum(part.found for part in parts),
        kept=sum(part.kept for part in parts),
        excluded=sorted((row for part in parts for row in part.excluded), key=lambda row: row["name"]),
        quarantined=sorted((row for part in parts for row in part.quarantined), key=lambda row: row["file"]),
        notes=sorted((row for part in parts for row in part.notes), key=lambda row: row["name"]),
        ignored=sorted({file for part in parts for file in part.ignored}),
        recipe=parts[0].recipe,
        seconds=round(sum(part.seconds for part in parts), 3),
        content_hash=content_hash,
    )
