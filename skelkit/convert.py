"""Raw files to a store: source -> reader -> recipe -> store, in one visible loop.

Files are taken in the order of their names, in blocks. Workers read, parse and normalise a block; this
process appends its rows to ``OUT.h5.part/rows`` and one line to ``OUT.h5.part/journal``. An interrupted
conversion takes up the journal where it ends. When all blocks are there, the store is written from the
rows, and the folder goes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path, PurePath
from threading import Thread
from typing import Any

import numpy as np
from tqdm import tqdm

from skelkit.datasets import DATASETS
from skelkit.errors import InputError, SkelkitError
from skelkit.files import replacing
from skelkit.journal import BLOCK_FILES, Block, Job, Journal
from skelkit.normalise import RECIPES
from skelkit.readers import READERS
from skelkit.skeleton import load_layout
from skelkit.sources import RawFile, list_files
from skelkit.store import Header, check_store_path, sequence_crc32, write_store

__all__ = ["Report", "convert"]


@dataclass(frozen=True)
class Report:
    """What became of every file; written beside the store as OUT.report.json."""

    found: int
    kept: int
    excluded: list[dict[str, str]]
    """name and reason: on the missing list, of another dataset, nobody in any frame."""
    quarantined: list[dict[str, Any]]
    """file, line (or null) and reason."""
    ignored: list[str]
    """Other files in the sources."""
    recipe: dict[str, Any]
    seconds: float
    content_hash: str


def convert(
    sources: list[Path],
    out: Path,
    *,
    dataset: str,
    recipe: str = "isc",
    workers: int = 1,
    stop_on_bad: bool = False,
    overwrite: bool = False,
    fresh: bool = False,
    progress: bool = True,
) -> Report:
    """Convert raw files into a store, and write the report beside it.

    Parameters
    ----------
    sources : folders, .zip archives and single files
    out : the store to write
    dataset, recipe : keys of `DATASETS` and `RECIPES`
    workers : processes
    stop_on_bad : stop at the first bad file, instead of leaving it out and naming it in the report
    overwrite : replace ``out`` where it exists
    fresh : forget an interrupted conversion instead of taking it up
    progress : show a progress bar on standard error

    Raises
    ------
    SkelkitError : no input, nothing to keep, ``out`` exists or cannot be written, Ctrl-C
    InputError : a bad file or archive with ``stop_on_bad``, or no other source
    """
    began = time.perf_counter()
    check_store_path(out)
    listing = list_files(sources, DATASETS[dataset].suffix)
    files, twins = _without_twins(listing.files)
    unread = [{"file": e.file, "line": e.line, "reason": e.reason} for e in listing.unreadable] + twins
    job = Job(dataset, recipe)
    goes_on = not fresh and Journal.begun(out, job, files)
    if out.exists() and not (overwrite or goes_on):
        raise SkelkitError(f"{out}: exists already; --overwrite replaces it")
    if progress and not (fresh or goes_on) and Journal.folder_of(out).exists():
        tqdm.write(
            f"{out}: the interrupted conversion was of other files or settings; starting anew", sys.stderr
        )
    with Journal(out, job, files, fresh) as journal:
        if stop_on_bad:
            _stop([row for block in journal.blocks for row in block["quarantined"]] + unread)
        try:
            _convert_files(journal, files, workers, stop_on_bad, progress)
        except KeyboardInterrupt:
            done = f"{journal.files_done} of {len(files)} files done"
            raise SkelkitError(f"interrupted, {done}; the same command goes on where it was") from None
        excluded = [row for block in journal.blocks for row in block["excluded"]]
        quarantined = [row for block in journal.blocks for row in block["quarantined"]] + unread
        content_hash = _write(journal, out, excluded, quarantined)
        report = Report(
            found=len(files) + len(unread),
            kept=len(journal.entries()),
            excluded=excluded,
            quarantined=quarantined,
            ignored=listing.others,
            recipe=RECIPES[recipe].describe(),
            seconds=round(time.perf_counter() - began, 3),
            content_hash=content_hash,
        )
    _write_report(report, out.with_suffix(".report.json"))
    journal.remove()
    return report


def _without_twins(files: list[RawFile]) -> tuple[list[RawFile], list[dict[str, Any]]]:
    """Each name once, the first; the others as quarantined."""
    first: dict[str, RawFile] = {}
    twins = []
    for file in files:
        taken = first.setdefault(PurePath(file.name).stem, file)
        if taken is not file:
            reason = f"the name occurs twice; {taken.where} is taken"
            twins.append({"file": file.where, "line": None, "reason": reason})
    return list(first.values()), twins


def _convert_files(
    journal: Journal, files: list[RawFile], workers: int, stop_on_bad: bool, progress: bool
) -> None:
    name, done = f"converting {journal.job.dataset}", journal.files_done
    with tqdm(total=len(files), initial=done, unit="file", disable=not progress, desc=name) as bar:
        for block in _blocks(files[done:], journal.job, workers):
            if stop_on_bad:
                _stop(block.quarantined)
            journal.append(block)
            bar.update(min(BLOCK_FILES, len(files) - bar.n))


def _stop(quarantined: list[dict[str, Any]]) -> None:
    if quarantined:
        raise InputError(**quarantined[0])


def _write(
    journal: Journal, out: Path, excluded: list[dict[str, str]], quarantined: list[dict[str, Any]]
) -> str:
    """The store from the journal; its content hash."""
    if not journal.entries():
        journal.remove()
        first = f"; first {InputError(**quarantined[0])}" if quarantined else ""
        raise SkelkitError(
            f"nothing to store: {len(excluded)} files excluded, {len(quarantined)} quarantined{first}"
        )
    known = DATASETS[journal.job.dataset]
    recipe = RECIPES[journal.job.recipe].describe()
    header = Header(journal.job.dataset, load_layout(known.layout), recipe, known.classes, known.protocols)
    return write_store(out, journal.sequences(), header)


def _blocks(files: list[RawFile], job: Job, workers: int) -> Iterator[Block]:
    """Blocks in the order of the files; with several workers a bounded number is in flight."""
    blocks = [files[i : i + BLOCK_FILES] for i in range(0, len(files), BLOCK_FILES)]
    if workers == 1 or len(blocks) <= 1:
        yield from (convert_block(block, job) for block in blocks)
        return
    try:
        # spawn: a forked child inherits locks of numba's and HDF5's threads
        with ProcessPoolExecutor(
            min(workers, len(blocks)), get_context("spawn"), initializer=_die_with_parent
        ) as pool:
            yield from _in_order(pool, blocks, job, in_flight=2 * workers)
    except BrokenProcessPool:
        raise SkelkitError(
            "a worker died, killed or out of memory; the same command takes up where it was, "
            "and --workers 1 shows at which file it dies"
        ) from None


def _die_with_parent() -> None:
    """A worker whose parent was killed has nobody left to work for."""

    def watch() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()


@contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Processes started meanwhile never see Ctrl-C, which a terminal sends to all: we see to it for them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_order(pool: Executor, blocks: list[list[RawFile]], job: Job, in_flight: int) -> Iterator[Block]:
    waiting = iter(blocks)
    with _ctrl_c_held():  # the first call starts all workers
        futures: list[Future[Block]] = [
            pool.submit(convert_block, block, job) for block in islice(waiting, in_flight)
        ]
    try:
        while futures:
            yield futures.pop(0).result()
            futures += [pool.submit(convert_block, block, job) for block in islice(waiting, 1)]
    finally:
        for future in futures:
            future.cancel()


def convert_block(files: list[RawFile], job: Job) -> Block:
    """Read, parse and normalise some files. Bad ones are noted, never raised."""
    known, recipe, reader = DATASETS[job.dataset], RECIPES[job.recipe], READERS[job.dataset]
    layout = load_layout(known.layout)
    block = Block()
    for file in files:
        try:
            sequence = reader(file.read(), file.where)
        except InputError as error:
            block.quarantined.append({"file": error.file, "line": error.line, "reason": error.reason})
            continue
        reason = known.why_excluded(sequence.name, sequence.label, sequence.columns)
        if reason is None:
            try:
                with np.errstate(all="ignore"):
                    sequence = recipe.apply(sequence, layout)
            except ValueError as error:  # coordinates so large that a difference of two is infinite
                reason = f"cannot be normalised: {error}"
                block.quarantined.append({"file": file.where, "line": None, "reason": reason})
                continue
            if not sequence.present.any():
                reason = "nobody in any frame"
        if reason is not None:
            block.excluded.append({"name": sequence.name, "reason": reason})
            continue
        block.entries.append(
            {
                "name": sequence.name,
                "label": sequence.label,
                "columns": dict(sequence.columns),
                "shape": sequence.joints.shape,
                "crc32": sequence_crc32(sequence),
            }
        )
        block.rows += [sequence.joints.tobytes(), sequence.present.tobytes()]
    return block


def _write_report(report: Report, path: Path) -> None:
    with replacing(path, "the report") as temporary:
        temporary.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
