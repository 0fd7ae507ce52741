"""Checking every byte of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skelkit.errors import StoreError
from skelkit.progress import progress_bar
from skelkit.store.read import Store
from skelkit.store.seal import content_digest

__all__ = ["verify"]

_PATIENCE = 2
"""Seconds before a bar is shown."""


def verify(path: Path | str, *, progress: bool = False) -> list[str]:
    """What is wrong with a store, one line each; empty where every byte is as it was written.

    A damaged sequence is named, unless the damage is also in the tables that say where the sequences are.

    >>> import tempfile, skelkit
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     raw = skelkit.synthesise(Path(folder), classes=1, subjects=1, repeats=1, seed=0)
    ...     report = skelkit.convert(raw, out := Path(folder, "a.h5"), dataset="ntu60", progress=False)
    ...     skelkit.verify(out)
    []

    Parameters
    ----------
    path : the store
    progress : show a bar on standard error where it takes long
    """
    try:
        with Store(path) as store:
            return _problems(store, {"delay": _PATIENCE, "shown": progress, "leave": False})
    except StoreError as error:
        return [str(error)]
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}"]


def _problems(store: Store, bar: dict[str, Any]) -> list[str]:
    size = store.path.stat().st_size
    with progress_bar(total=size, unit="B", unit_scale=True, desc="reading", **bar) as read:
        if content_digest(store.path, read.update) == store.seal.content:
            return []
    found = []
    for place in progress_bar(range(len(store)), unit="sequence", desc="finding the damage", **bar):
        try:
            store.sequence(place)
        except StoreError as error:
            found.append(str(error))
    return found or [f"{store.path}: damaged, but every sequence in it is intact"]
