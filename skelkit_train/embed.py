"""Features of a whole store, or of one raw file, as arrays with names: for plots, search and other tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from skelkit.errors import InputError, SkelkitError, StoreError
from skelkit.files import RememberingFile, replacing
from skelkit.normalise import RECIPES
from skelkit.readers import READERS
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import load_layout
from skelkit.sources import list_files
from skelkit.store import Store
from skelkit_train.checkpoint import Checkpoint, DataFacts, load_latest
from skelkit_train.data import Sequences
from skelkit_train.evaluate.features import Features
from skelkit_train.evaluate.setting import representations

__all__ = ["Embedded", "check_features_path", "embed", "write_features"]

_RAW = ".skeleton"


@dataclass(frozen=True)
class Embedded:
    """Features of N sequences."""

    name: list[str]
    label: NDArray[np.int64]
    """(N,) -1 where it is not known."""
    features: Mapping[str, NDArray[np.float32]]
    """(N, D) by representation."""
    facts: Mapping[str, str]
    """Where they come from."""


def embed(
    run: Path, data: Path, *, device: torch.device, representation: str | None = None, progress: bool = False
) -> Embedded:
    """Features of the views for testing (the middle 95% of a sequence).

    Parameters
    ----------
    run : its newest checkpoint is used
    data : a store of the same joint layout and recipe as the run's, or one NTU RGB+D ``.skeleton`` file, to
        which the run's recipe is applied
    representation : one, or several joined by +; None: all of the run's. Each has features of its own

    Raises
    ------
    SkelkitError : no such run or representation, or the data is not what the run was trained on
    InputError : the raw file is damaged
    """
    checkpoint = load_latest(run)
    wanted = representations(run, checkpoint.config.names, representation)
    if data.suffix.lower() == _RAW:
        sequence = _read_raw(data, checkpoint)
        names, sequences, content = [sequence.name], _resident(sequence, checkpoint, device), ""
    else:
        with Store(data) as store:
            checkpoint.data.check(store)
            names, content = store.names, store.content_hash
            sequences = Sequences.opened(store, checkpoint.data.bodies, device)
    model = checkpoint.restore_model(device)
    features = {}
    for name in (name for group in wanted for name in group):
        of = Features(sequences, model.encoder(name), checkpoint.config.frames, 0, progress=progress)
        features[name] = of.everything().numpy()
    facts = {"run": str(run), "epoch": str(checkpoint.epoch), "data": str(data), "content_hash": content}
    return Embedded(names, sequences.label, features, facts)


def _read_raw(path: Path, checkpoint: Checkpoint) -> SkeletonSequence:
    layout, name = load_layout("ntu25"), json.loads(checkpoint.data.recipe)["name"]
    if name not in RECIPES:
        raise SkelkitError(f"{path}: the run's recipe is {name}, which no raw file can be normalised by")
    described = RECIPES[name].describe()
    recipe = json.dumps({key: described[key] for key in ("name", "steps")}, sort_keys=True)
    difference = checkpoint.data.why_not(DataFacts(layout.to_json(), recipe, checkpoint.data.bodies, ""))
    if difference:
        raise SkelkitError(f"{path}: {difference}")
    file = list_files([path], _RAW).files[0]
    try:
        sequence = RECIPES[name].apply(READERS["ntu60"](file.read(), file.where), layout)
    except ValueError as error:
        raise InputError(file.where, str(error)) from None
    if not (sequence.frames and sequence.bodies):
        raise InputError(file.where, "nobody is there in any frame")
    return sequence


def _resident(sequence: SkeletonSequence, checkpoint: Checkpoint, device: torch.device) -> Sequences:
    """A single sequence, on the device."""
    rows = sequence.joints.reshape(-1, *sequence.joints.shape[2:])
    return Sequences(
        rows=torch.from_numpy(np.ascontiguousarray(rows)).to(device),
        offset=np.zeros(1, np.int64),
        frames=np.array([sequence.frames]),
        bodies=np.array([sequence.bodies]),
        label=np.array([sequence.label]),
        max_bodies=checkpoint.data.bodies,
        layout=load_layout("ntu25"),
    )


def check_features_path(path: Path) -> None:
    """Refuse a path that no features can be written to, before any work is done.

    Raises
    ------
    SkelkitError : it ends neither in .h5 nor in .npz, its folder does not exist, or a store is there, which
        would be lost
    """
    if path.suffix not in _WRITERS:
        raise SkelkitError(f"{path}: the name of the features must end in .h5 or .npz")
    if not path.parent.is_dir():
        raise SkelkitError(f"{path}: the folder {path.parent} does not exist")
    with suppress(StoreError), Store(path):
        raise SkelkitError(f"{path}: is a store, which would be lost; give another name")


def write_features(path: Path, embedded: Embedded) -> None:
    """Write ``name`` (N,), ``label`` (N,), and an array (N, D) for each representation under its name; HDF5
    has the facts as attributes, npz as an array ``facts`` of JSON.

    Raises
    ------
    SkelkitError : see `check_features_path`; or the disk refuses
    """
    check_features_path(path)
    with replacing(path, "the features") as temporary:
        _WRITERS[path.suffix](temporary, embedded)


def _write_npz(path: Path, embedded: Embedded) -> None:
    arrays: dict[str, Any] = {"name": np.array(embedded.name), "label": embedded.label, **embedded.features}
    with path.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(dict(embedded.facts))), **arrays)


def _write_hdf5(path: Path, embedded: Embedded) -> None:
    with RememberingFile(path, "w+") as disk:
        with h5py.File(disk, "w") as file:
            file.create_dataset("name", data=np.array([name.encode() for name in embedded.name]))
            file.create_dataset("label", data=embedded.label)
            for name, values in embedded.features.items():
                file.create_dataset(name, data=values)
            file.attrs.update(embedded.facts)
        disk.check()


_WRITERS: Mapping[str, Callable[[Path, Embedded], None]] = {".npz": _write_npz, ".h5": _write_hdf5}
