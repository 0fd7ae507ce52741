"""Plain npz: the format of skelkit's own, for data from anywhere.

    joints         (sum of lengths, [M,] V, 3) float: all sequences one after the other; a body whose
                   coordinates are all zero in a frame is absent there
    length         (N,) whole numbers: frames of each
    name           (N,) text, unique
    label          (N,) whole numbers: classes from 0, -1 where not known
    any other      (N,) whole numbers: a column of the store, such as subject or camera

These may be missing:

    class_name     (K,) text
    protocol_name  (P,) text, and protocol_part (P, N) whole numbers: 1 trains, 0 tests, -1 neither
    protocol_rule  (P,) text: what decides it, as in the store
    recipe         one text: JSON, as in the store, of the recipe that the joints have been through
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from skelkit.datasets import KeptSplit, ListedSplit, Split
from skelkit.errors import InputError, SkelkitError
from skelkit.files import replacing
from skelkit.interchange.content import Imported, Written, check_names, is_text, to_sequence
from skelkit.interchange.npy import Zip, write_member, write_rows
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store import Store

__all__ = ["read", "write"]

_REQUIRED = ("joints", "length", "name", "label")
_TEXTS = ("class_name", "protocol_name", "protocol_rule")
_RESERVED = {*_REQUIRED, *_TEXTS, "protocol_part", "recipe"}


def read(file: Path, layout: JointLayout) -> Imported:
    """The content of a plain npz.

    Raises
    ------
    InputError : it cannot be read, or its arrays do not fit together or the layout
    """
    arrays = _load(file)
    joints, length = arrays.pop("joints"), arrays.pop("length")
    names, labels = _text(arrays.pop("name")), arrays.pop("label")
    if joints.ndim == 3:
        joints = joints[:, None]
    _check(file, joints, length, names, labels, layout)
    classes = _classes(file, arrays, labels, names)
    protocols = _protocols(file, arrays, names)
    recipe = _recipe(file, arrays)
    columns = {
        name: values
        for name, values in arrays.items()
        if values.shape == names.shape and np.issubdtype(values.dtype, np.integer)
    }
    _check_columns(file, {**columns, "label": labels, "length": length})
    empty = recipe is not None and recipe.get("clips", {}).get("empty") == "keep"
    content = _Content(joints, length, names, labels, columns, empty)
    expected = f"expected {names.shape} whole numbers: not taken as a column"
    notes = [
        f"{name} is {values.dtype} {values.shape}, {expected}"
        for name, values in arrays.items()
        if name not in columns
    ]
    twice = [name for name, count in Counter(classes).items() if count > 1]
    notes += [f"class_name has {name!r} more than once" for name in twice]
    return Imported(content.sequences(file), frozenset(columns), classes, protocols, recipe, notes)


@dataclass(frozen=True)
class _Content:
    joints: NDArray[Any]
    length: NDArray[Any]
    names: NDArray[Any]
    labels: NDArray[Any]
    columns: Mapping[str, NDArray[Any]]
    empty: bool
    """Whether there may be sequences in which nobody is."""

    def sequences(self, file: Path) -> Iterator[SkeletonSequence]:
        """By name."""
        offset = np.concatenate([[0], np.cumsum(self.length, dtype=np.int64)])
        for n in sorted(range(len(self.names)), key=lambda n: str(self.names[n])):
            name, label = str(self.names[n]), int(self.labels[n])
            columns = {column: int(values[n]) for column, values in self.columns.items()}
            joints = self.joints[offset[n] : offset[n + 1]]
            sequence = to_sequence(str(file), (joints, name, label, columns))
            if sequence is None and self.empty:
                nobody = np.zeros((len(joints), 1, *joints.shape[2:]), np.float32)
                nowhere = np.zeros((len(joints), 1), np.bool_)
                sequence = SkeletonSequence(nobody, nowhere, name, label, columns)
            if sequence is None:
                raise InputError(
                    str(file), f"{name}: all coordinates are zero, expected somebody in some frame"
                )
            yield sequence


def _load(file: Path) -> dict[str, NDArray[Any]]:
    with Zip(file) as archive:
        arrays = {name: archive.read(name) for name in archive.names}
    absent = [name for name in _REQUIRED if name not in arrays]
    if absent:
        raise InputError(str(file), f"no array {absent[0]!r}, expected {', '.join(_REQUIRED)}")
    return arrays


def _text(values: NDArray[Any]) -> NDArray[Any]:
    """With bytes as text."""
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _check(
    file: Path,
    joints: NDArray[Any],
    length: NDArray[Any],
    names: NDArray[Any],
    labels: NDArray[Any],
    layout: JointLayout,
) -> None:
    def fail(reason: str) -> None:
        raise InputError(str(file), reason)

    if joints.ndim != 4 or joints.shape[2:] != (layout.size, 3):
        fail(f"joints are {joints.shape}, expected (frames, [bodies,] {layout.size}, 3) as in {layout.name}")
    if not np.issubdtype(joints.dtype, np.floating):
        fail(f"joints are {joints.dtype}, expected float32, in metres")
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        fail(f"name is {names.dtype} {names.shape}, expected (N,) texts")
    check_names(str(file), names.tolist())
    for name, values in (("length", length), ("label", labels)):
        if values.shape != names.shape or not np.issubdtype(values.dtype, np.integer):
            what = f"{name} is {values.dtype} {values.shape}, expected {names.shape} whole numbers"
            fail(f"{what}; names of classes go into class_name" if values.dtype.kind in "US" else what)
    if (labels < -1).any():
        fail(f"label of {names[np.argmin(labels)]} is {labels.min()}, expected 0 or more, or -1 for unknown")
    if (length < 1).any():
        worst = int(np.argmin(length))
        fail(f"length of {names[worst]} is {length[worst]}, expected 1 or more")
    if (length > len(joints)).any() or int(length.sum(dtype=np.int64)) != len(joints):
        fail(f"lengths sum to {sum(map(int, length))}, but joints have {len(joints)} frames")


def _classes(
    file: Path, arrays: dict[str, NDArray[Any]], labels: NDArray[Any], names: NDArray[Any]
) -> tuple[str, ...]:
    """Takes ``class_name`` out of the arrays."""
    classes = _texts(file, arrays, "class_name")
    worst = int(np.argmax(labels))
    if classes and labels[worst] >= len(classes):
        known = f"class_name has {len(classes)}"
        raise InputError(str(file), f"label of {names[worst]} is {labels[worst]}, but {known}")
    return classes


def _texts(file: Path, arrays: dict[str, NDArray[Any]], name: str) -> tuple[str, ...]:
    """Takes an array of texts out of the arrays; of whole numbers it would be a column, and stays."""
    if name not in arrays or np.issubdtype(arrays[name].dtype, np.integer):
        return ()
    values = _text(arrays.pop(name))
    if values.ndim != 1 or values.dtype.kind != "U":
        raise InputError(str(file), f"{name} is {values.dtype} {values.shape}, expected one axis of texts")
    texts = tuple(values.tolist())
    odd = [text for text in texts if not is_text(text)]
    if odd:
        raise InputError(str(file), f"{name} has {odd[0]!a}, which has a character that is no text")
    return texts


def _protocols(file: Path, arrays: dict[str, NDArray[Any]], names: NDArray[Any]) -> dict[str, Split]:
    """Takes all ``protocol_...`` out of the arrays."""
    protocols = _texts(file, arrays, "protocol_name")
    rules = _texts(file, arrays, "protocol_rule")
    if not protocols:
        return {}
    parts = arrays.pop("protocol_part", np.zeros(0))
    shape = (len(protocols), len(names))
    if (
        parts.shape != shape
        or not np.issubdtype(parts.dtype, np.integer)
        or not np.isin(parts, (-1, 0, 1)).all()
    ):
        found = f"protocol_part is {parts.dtype} {parts.shape}"
        raise InputError(str(file), f"{found}, expected {shape} of 1 train, 0 test, -1 neither")
    if rules and len(rules) != len(protocols):
        raise InputError(str(file), f"protocol_rule has {len(rules)} texts, protocol_name {len(protocols)}")
    check_names(str(file), protocols)
    splits: dict[str, Split] = {}
    for p, protocol in enumerate(protocols):
        if "/" in protocol or protocol == ".":
            raise InputError(str(file), f"{protocol!r} cannot name a protocol of the store")
        sides = dict(zip(names.tolist(), parts[p].tolist(), strict=True))
        train, test = (frozenset(name for name, side in sides.items() if side == part) for part in (1, 0))
        rule = rules[p] if rules else str(ListedSplit(train, test, file.name))
        splits[protocol] = KeptSplit(rule, sides)
    return splits


def _recipe(file: Path, arrays: dict[str, NDArray[Any]]) -> dict[str, Any] | None:
    """Takes ``recipe`` out of the arrays."""
    if "recipe" not in arrays or arrays["recipe"].ndim:
        return None
    try:
        recipe = json.loads(str(_text(arrays.pop("recipe"))))
        steps = [step["step"] for step in recipe["steps"]]
        if not all(isinstance(text, str) for text in (recipe["name"], *steps)):
            raise TypeError
        if not isinstance(recipe.get("clips", {}), dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(str(file), "recipe is not the JSON of a name and steps") from None
    return dict(recipe)


def _check_columns(file: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    most = np.iinfo(np.int64).max
    for name, values in columns.items():
        if not name or "/" in name or "\0" in name or name == ".":
            raise InputError(str(file), f"the array {name!r} cannot name a column of the store")
        if int(values.max()) > most:
            raise InputError(str(file), f"{name} has {values.max()}, expected at most {most}")


def write(store: Store, out: Path, protocol: str | None) -> Written:
    """Everything in the store; of its protocols only ``protocol``, where one is named.

    Raises
    ------
    SkelkitError : it cannot be written, or a column is called like another array of the format
    StoreError : the store is damaged
    """
    taken = sorted(_RESERVED.intersection(store.columns))
    if taken:
        raise SkelkitError(f"{store.path}: its column {taken[0]!r} has the name of another array of the npz")
    protocols = list(store.protocols) if protocol is None else [protocol]
    arrays: dict[str, NDArray[Any]] = {
        "length": store.frames,
        "name": np.array(store.names),
        "label": store.label,
        **store.columns,
    }
    arrays["recipe"] = np.array(json.dumps(store.recipe))
    if store.classes:
        arrays["class_name"] = np.array(store.classes)
    if protocols:
        arrays["protocol_name"] = np.array(protocols)
        arrays["protocol_rule"] = np.array([store.protocol_rules[name] for name in protocols])
        arrays["protocol_part"] = np.stack([store.protocols[name] for name in protocols])
    bodies = int(store.bodies.max())
    shape = (int(store.frames.sum(dtype=np.int64)), bodies, store.layout.size, 3)
    with replacing(out, "the npz") as temporary, ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            write_member(archive, name, array)
        with archive.open(ZipInfo("joints.npy"), "w", force_zip64=True) as stream:
            write_rows(stream, shape, (_with_bodies(sequence, bodies) for sequence in store))
    return Written(len(store))


def _with_bodies(sequence: SkeletonSequence, bodies: int) -> NDArray[np.float32]:
    """(T, bodies, V, 3)"""
    return np.pad(sequence.joints, ((0, 0), (0, bodies - sequence.bodies), (0, 0), (0, 0)))
