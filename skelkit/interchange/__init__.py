"""Skeletons from and to the formats of other programs: one module a format, described on top of each.

npz     plain npz, for data from anywhere
pyskl   the pickles of PYSKL and MMAction2
ctrgcn  the npz of CTR-GCN
isc     the folder of npy files of Skeleton-Contrastive and 2s-AGCN
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from skelkit.datasets import Protocol
from skelkit.errors import InputError, SkelkitError, look_up, no_such
from skelkit.files import report_path
from skelkit.interchange import ctrgcn, isc, npz, pyskl
from skelkit.interchange.content import Imported, Written
from skelkit.normalise import RECIPES, Recipe
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store import Header, Store, check_store_path, write_store

__all__ = ["EXPORTERS", "IMPORTERS", "ImportReport", "export_store", "import_file"]

IMPORTERS: Mapping[str, Callable[[Path, JointLayout], Imported]] = {
    "npz": npz.read,
    "pyskl": pyskl.read,
    "ctrgcn": ctrgcn.read,
    "isc": isc.read,
}
"""By format: (file or folder, joint layout) -> content; each raises InputError."""

EXPORTERS: Mapping[str, Callable[[Store, Path, str | None], Written]] = {
    "npz": npz.write,
    "pyskl": pyskl.write,
    "ctrgcn": ctrgcn.write,
    "isc": isc.write,
}
"""By format: (store, file or folder to write, protocol or None) -> what was written."""
_BY_NAME = ("npz", "pyskl")
"""Those that have protocols of the store under their names."""

_MOST_HEADER_BYTES = 60_000
"""HDF5 takes 64 KiB for an attribute of a store."""


@dataclass(frozen=True)
class ImportReport:
    """What came into the store."""

    kept: int
    content_hash: str
    notes: tuple[str, ...]
    """What was left out or changed, for people."""


def import_file(
    file: str | Path,
    out: str | Path,
    layout: JointLayout,
    *,
    format: str,
    protocols: Mapping[str, Protocol] = MappingProxyType({}),
    recipe: str = "raw",
    overwrite: bool = False,
) -> ImportReport:
    """Make a store of a file in another format.

    >>> import tempfile, numpy as np, skelkit
    >>> layout = skelkit.load_layout("kinect20")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file, joints = f"{folder}/own.npz", np.ones((70, 20, 3), np.float32)
    ...     np.savez(file, joints=joints, length=[30, 40], name=["sit", "wave"], label=[0, 1])
    ...     skelkit.import_file(file, f"{folder}/own.h5", layout, format="npz").kept
    2

    Parameters
    ----------
    file : a file, or a folder for ``isc``
    out : the store to write
    layout : of the file's joints
    format, recipe : keys of `IMPORTERS` and `RECIPES`; ``raw`` changes nothing
    protocols : beside those in the file; of the same name, in their place
    overwrite : replace ``out`` where it exists

    Raises
    ------
    InputError : the file is not as its format demands
    SkelkitError : no such format or recipe, ``out`` exists or cannot be written, a protocol's column is
        not in the file, or its name is no word
    """
    file, out = Path(file), Path(out)
    check_store_path(out)
    if out.exists() and not overwrite:
        raise SkelkitError(f"{out}: exists already; --overwrite replaces it")
    chosen = look_up(RECIPES, recipe, "recipe")
    importer = look_up(IMPORTERS, format, "format")
    if not file.exists():
        raise InputError(str(file), no_such("file", file))
    imported = importer(file, layout)
    for name, protocol in protocols.items():
        if not name.isidentifier():
            raise SkelkitError(f"protocol {name!r}: the name must be a word, as in xsub")
        if protocol.column not in imported.columns:
            known = ", ".join(sorted(imported.columns)) or "none"
            why = [note for note in imported.notes if note.startswith(f"{protocol.column} is ")]
            raise SkelkitError(
                f"protocol {name}: {file} has no column {protocol.column!r}; it has {known}"
                + "".join(f"; {note}" for note in why)
            )
    done = imported.recipe or {}
    if recipe != "raw" and done.get("name", "raw") != "raw":
        raise InputError(
            str(file), f"has been through the recipe {done['name']}; leave out --recipe to take it as it is"
        )
    splits = {**imported.protocols, **protocols}
    # The recipe raw leaves an imported sequence as it is.
    steps = imported.recipe if recipe == "raw" and imported.recipe else chosen.describe()
    if recipe == "raw" and not imported.recipe:
        steps = {
            **steps,
            "source": f"{steps['source']}; imported from {format}, which does not say what was done before",
        }
    rules = {name: str(split) for name, split in splits.items()}
    _check_header(file, {"class names": imported.classes, "protocols": rules, "recipe": steps})
    dataset = file.resolve().stem.encode(errors="replace").decode()  # a file's name need not be text
    header = Header(dataset, layout, steps, imported.classes, splits)
    told: list[str] = []
    content_hash = write_store(out, _normalised(file, chosen, imported.sequences, layout, told), header)
    report_path(out).unlink(missing_ok=True)  # of a conversion whose store this was
    notes = [
        *imported.notes,
        *told,
        *(f"the protocol {n} of the file is replaced" for n in protocols if n in imported.protocols),
    ]
    with Store(out) as store:
        for name, part in store.protocols.items():
            if not (part == 1).any():
                notes.append(f"no sequence trains in {name}: {store.protocol_rules[name]}")
        return ImportReport(len(store), content_hash, tuple(notes))


def _check_header(file: Path, parts: Mapping[str, Any]) -> None:
    for what, value in parts.items():
        size = len(json.dumps(value))
        if size > _MOST_HEADER_BYTES:
            raise InputError(
                str(file), f"its {what} would take {size} bytes, expected at most {_MOST_HEADER_BYTES}"
            )


def _normalised(
    file: Path,
    recipe: Recipe,
    sequences: Iterator[SkeletonSequence],
    layout: JointLayout,
    told: list[str],
) -> Iterator[SkeletonSequence]:
    for sequence in sequences:
        try:
            with np.errstate(all="ignore"):
                normalised = recipe.apply(sequence, layout)
        except ValueError as error:  # coordinates so large that a difference of two is infinite
            raise InputError(str(file), f"cannot be normalised: {error}") from None
        if normalised.notes:
            told.append(f"{normalised.name}: {'; '.join(normalised.notes)}")
        yield normalised


def export_store(
    path: str | Path, out: str | Path, *, format: str, protocol: str | None = None, overwrite: bool = False
) -> Written:
    """Write a store's content in another format.

    >>> import tempfile, skelkit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw = skelkit.synthesise(folder, classes=1, subjects=1, repeats=1, seed=0)
    ...     report = skelkit.convert(raw, out := f"{folder}/a.h5", dataset="ntu60", progress=False)
    ...     skelkit.export_store(out, f"{folder}/a.pkl", format="pyskl").sequences
    3

    Parameters
    ----------
    path : the store
    out : the file to write, or the folder for ``isc``
    format : key of `EXPORTERS`
    protocol : the split to write; ``npz`` and ``pyskl`` write all where none is named
    overwrite : replace ``out`` where it exists

    Returns
    -------
    the number of ``sequences``, and ``notes`` of what the format cannot hold

    Raises
    ------
    StoreError : the store cannot be read, or has no such protocol
    SkelkitError : no such format, ``out`` exists or cannot be written, or the format cannot hold the store's
        content
    """
    path, out = Path(path), Path(out)
    write = look_up(EXPORTERS, format, "format")
    if not out.parent.is_dir():
        raise SkelkitError(f"{out}: the folder {out.parent} does not exist")
    if out.exists() and not overwrite:
        raise SkelkitError(f"{out}: exists already; --overwrite replaces it")
    if out.exists() and path.exists() and out.samefile(path):
        raise SkelkitError(f"{out}: is the store itself")
    if out.is_dir() and format != "isc":
        raise SkelkitError(f"{out}: is a folder, expected the file to write")
    with Store(path) as store:
        if protocol is not None:
            store.part(protocol, train=True)  # which says so where there is none of that name
            if protocol not in store.protocols and format in _BY_NAME:
                known = ", ".join(store.protocols) or "none"
                raise SkelkitError(f"{format} keeps protocols by name, not {protocol!r}; {path} has {known}")
        return write(store, out, protocol)
