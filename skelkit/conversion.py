"""Raw files to a store: source -> reader -> recipe -> store, in one visible loop.

Files are taken in the order of their names, in blocks. Workers read, parse and normalise a block and leave
its rows in ``OUT.h5.part``; this process notes them there in ``journal``, and then writes the sequences to
the store, which has a temporary name until it is complete. An interrupted conversion goes on where the
journal ends, and writes the store once the journal is complete, so that each attempt gets further.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from skelkit import __version__
from skelkit.blocks import BLOCK_BYTES, BLOCK_FILES, Block, Job, convert_block, convert_to_disk, died, prepare
from skelkit.clips import DEFAULT_RULES, ClipRules
from skelkit.datasets import DATASETS
from skelkit.errors import InputError, SkelkitError, Stopped, look_up
from skelkit.files import paths, replacing, report_path
from skelkit.inputs import Input, Inputs, gather
from skelkit.journal import SOME_FILES, Journal
from skelkit.normalise import RECIPES
from skelkit.progress import progress_bar
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.store import Header, Shard, check_store_path, write_store
from skelkit.workers import Processes, cores, on_cluster

__all__ = ["Report", "convert", "write_report"]

_BYTES_A_WORKER = 150_000_000
"""Read and normalised in less time than another process takes to start."""
_FEW = 5
"""Files that are named."""


@dataclass(frozen=True)
class Report:
    """What became of every file; written beside the store as OUT.report.json."""

    dataset: str
    sources: list[str]
    version: str
    """Of skelkit."""
    found: int
    """Raw files."""
    kept: int
    """Sequences."""
    excluded: list[dict[str, str]]
    """name and reason: on the missing list, of another dataset, nobody in any frame."""
    quarantined: list[dict[str, Any]]
    """file, line (or null) and reason."""
    notes: list[dict[str, Any]]
    """name and notes: what the recipe did to bodies that come and go, change slots, or are none."""
    ignored: list[str]
    """Other files in the sources."""
    recipe: dict[str, Any]
    seconds: float
    content_hash: str | None
    """None where there was nothing to store."""
    shard: str | None = None
    """As ``2/5``."""


def convert(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    dataset: str,
    recipe: str = "isc",
    labels: str | Path | Sequence[str | Path] = (),
    splits: str | Path | Sequence[str | Path] = (),
    clips: ClipRules = DEFAULT_RULES,
    workers: int | None = None,
    scheduler: str | None = None,
    shard: tuple[int, int] | None = None,
    stop_on_bad: bool = False,
    overwrite: bool = False,
    fresh: bool = False,
    progress: bool = True,
) -> Report:
    """Convert raw files into a store, and write the report beside it, which is there too where there was
    nothing to store, and no store before.

    >>> import tempfile, skelkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw = skelkit.synthesise(folder, classes=1, subjects=1, repeats=1, seed=0)
    ...     report = skelkit.convert(raw, f"{folder}/a.h5", dataset="ntu60", progress=False)
    >>> report.found, report.kept
    (3, 3)

    Parameters
    ----------
    sources : folders, .zip archives and single files, or one of them
    out : the store to write
    dataset, recipe : keys of `DATASETS` and `RECIPES`
    labels, splits : further sources, of label and split files (PKU-MMD)
    clips : what becomes of clips (PKU-MMD)
    workers : processes; where not given as many as there are cores, but no more than pay. They import the
        script that calls this: its call stands under ``if __name__ == "__main__":``
    scheduler : address of a dask scheduler whose workers do the work instead
    shard : (I, N), only the I-th of N parts of the files, I from 1; `merge` puts the stores together
    stop_on_bad : stop at the first bad file, instead of leaving it out and naming it in the report
    overwrite : replace ``out`` where it exists
    fresh : forget an interrupted conversion instead of taking it up
    progress : show a progress bar on standard error

    Raises
    ------
    SkelkitError : no such dataset, recipe or shard, no worker, no input, nothing to keep, ``out`` exists or
        cannot be written, another conversion to it was interrupted
    Stopped : Ctrl-C
    InputError : a bad file or archive with ``stop_on_bad``, or no other source
    """
    began = time.perf_counter()
    if workers is not None and workers < 1:
        raise SkelkitError(f"workers is {workers}, expected 1 or more")
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise SkelkitError(f"shard is {shard}, expected (I, N), I from 1 to N")
    out, sources, labels, splits = Path(out), paths(sources), paths(labels), paths(splits)
    check_store_path(out)
    description = look_up(DATASETS, dataset, "dataset")
    look_up(RECIPES, recipe, "recipe")
    if scheduler is not None:  # the workers there have working directories of their own
        sources, labels, splits = ([path.absolute() for path in some] for some in (sources, labels, splits))
    job = Job(dataset, recipe, clips)
    work = partial(convert_to_disk, job=job, folder=Journal.folder_of(out))
    with closing(Processes(work, partial(prepare, dataset))) as processes:
        if workers is not None and workers > 1 and scheduler is None:
            processes.start(min(workers, cores()))  # they get ready while the files are listed
        inputs = gather(sources, description, labels, splits)
        if clips.unlisted == "exclude":
            inputs = inputs.listed()
        part = None
        if shard is not None:
            part = Shard(*shard, inputs.digest(stamps=False))
            inputs = inputs.shard(*shard)
        others = None if fresh else Journal.begun(out, job, inputs)
        if out.exists() and not overwrite and others != []:
            raise SkelkitError(f"{out}: exists already; --overwrite replaces it")
        if others and others != [SOME_FILES]:
            folder = Journal.folder_of(out)
            raise SkelkitError(
                f"{folder}: an interrupted conversion with other {', '.join(others)}; --fresh forgets it"
            )
        with Journal(out, job, inputs, fresh) as journal:
            if stop_on_bad:
                _stop(journal.quarantined + inputs.quarantined)
            header = _header(job, inputs, part)
            sequences = _sequences(journal, inputs, processes, workers, scheduler, stop_on_bad, progress)
            content_hash = None
            try:
                with closing(sequences):
                    content_hash = write_store(out, sequences, header)
            except KeyboardInterrupt:
                done = f"{journal.files_done} of {len(inputs.files)} files done"
                raise Stopped(f"interrupted, {done}; the same command goes on where it was") from None
            except _NothingKept:
                pass
            report = Report(
                dataset=dataset,
                sources=[str(path) for path in (*sources, *labels, *splits)],
                version=__version__,
                found=inputs.found,
                kept=journal.kept,
                excluded=inputs.excluded + journal.excluded,
                quarantined=inputs.quarantined + journal.quarantined,  # whole sources first
                notes=journal.notes,
                ignored=inputs.ignored,
                recipe=dict(header.recipe),
                seconds=round(time.perf_counter() - began, 3),
                content_hash=content_hash,
                shard=shard and f"{shard[0]}/{shard[1]}",
            )
            if report.kept or not out.exists():  # of a store from before its own report stays
                write_report(report, out)
            journal.remove()
    if not report.kept:
        raise _nothing(report, out)
    return report


class _NothingKept(Exception):
    """Every file was left out."""


def _sequences(
    journal: Journal,
    inputs: Inputs,
    processes: Processes[Block],
    workers: int | None,
    scheduler: str | None,
    stop_on_bad: bool,
    progress: bool,
) -> Generator[SkeletonSequence, None, None]:
    """All sequences by name, as they come and are noted; of an interrupted conversion at the end, from the
    journal."""
    blocks = [block for run in journal.left() for block in _in_blocks(run)]
    size = sum(item.file.size for block in blocks for item in block)
    workers = workers or min(cores(), 1 + size // _BYTES_A_WORKER)
    with (
        progress_bar(
            total=len(inputs.files),
            initial=journal.files_done,
            unit="file",
            shown=progress,
            desc=f"converting {journal.job.dataset}",
        ) as bar,
        closing(
            _blocks(blocks, journal.job, processes, workers, scheduler, journal.goes_on, progress)
        ) as converted,
    ):
        for note in _what_changed(journal) if progress else ():
            bar.write(note, sys.stderr)
        for block in converted:
            if stop_on_bad:
                _stop(block.quarantined)
            sequences = journal.append(block)
            bar.update(journal.files_done - bar.n)
            if not journal.goes_on:
                yield from sequences
    if not journal.kept:
        raise _NothingKept
    if journal.goes_on:
        yield from journal.sequences()


def _what_changed(journal: Journal) -> Iterator[str]:
    for what, names in (("changed", journal.changed), ("not given any more", journal.gone)):
        if names:
            more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
            yield f"note: {what} since the interruption: {', '.join(names[:_FEW])}{more}"
    if journal.changed or journal.gone:
        yield "note: the files that were noted together with them are converted again, too"


def _in_blocks(items: list[Input]) -> list[list[Input]]:
    blocks: list[list[Input]] = []
    size = 0
    for item in items:
        size += item.file.size
        if not blocks or len(blocks[-1]) == BLOCK_FILES or size > BLOCK_BYTES:
            blocks.append([])
            size = item.file.size
        blocks[-1].append(item)
    return blocks


def _stop(quarantined: list[dict[str, Any]]) -> None:
    if quarantined:
        raise InputError(**quarantined[0])


def _blocks(
    blocks: list[list[Input]],
    job: Job,
    processes: Processes[Block],
    workers: int,
    scheduler: str | None,
    goes_on: bool,
    progress: bool,
) -> Generator[Block, None, None]:
    """What became of the files, in order."""
    alone = partial(convert_block, job=job)
    if not blocks:
        return
    # What was interrupted may have been killed by a file: then a worker is to die of it, not we.
    if scheduler is None and not goes_on and (workers == 1 or len(blocks) == 1):
        yield from map(alone, blocks)
        return
    if scheduler is not None:
        results = on_cluster(blocks, alone, died, scheduler, progress)
    else:
        results = processes.results(blocks, died, workers)
    with closing(results):
        for parts in results:
            yield from parts


def _header(job: Job, inputs: Inputs, shard: Shard | None) -> Header:
    known = DATASETS[job.dataset]
    recipe = RECIPES[job.recipe].describe()
    if known.labelled_apart:
        recipe["clips"] = asdict(job.clips)
    return Header(job.dataset, load_layout(known.layout), recipe, known.classes, inputs.splits, shard)


def _nothing(report: Report, out: Path) -> SkelkitError:
    """Why there is nothing to store."""
    excluded, quarantined = report.excluded, report.quarantined
    reasons = [str(InputError(**row)) for row in quarantined]
    reasons += [f"{row['name']}: {row['reason']}" for row in excluded]
    first = f"; first {reasons[0]}" if reasons else ""
    all_of_them = "" if out.exists() else f"; all are in {report_path(out)}"
    return SkelkitError(
        f"nothing to store: {len(excluded)} excluded, {len(quarantined)} quarantined{first}{all_of_them}"
    )


def write_report(report: Report, out: Path) -> None:
    """Write a store's report beside it.

    Raises
    ------
    SkelkitError : the disk refuses
    """
    with replacing(report_path(out), "the report") as temporary:
        temporary.write_text(json.dumps(asdict(report), indent=1) + "\n", encoding="utf-8")
