"""The pickles of PYSKL and MMAction2.

    {"split": {"xsub_train": [frame_dir, ...], "xsub_val": [...], ...},
     "annotations": [{"frame_dir": name, "label": class from 0, "total_frames": T,
                      "keypoint": (M, T, V, C) float16 or float32,
                      "keypoint_score": (M, T, V), "img_shape": ... (both for C = 2 only)}, ...]}

A body whose coordinates are all zero in a frame is absent there. Format: tools/data/README.md of
<https://github.com/kennymckormick/pyskl>.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from skelkit.datasets import ListedSplit
from skelkit.errors import InputError
from skelkit.files import replacing
from skelkit.interchange.content import (
    Imported,
    Sample,
    Written,
    check_label,
    check_names,
    lost,
    ntu_columns,
    sequences_of,
)
from skelkit.interchange.pickles import load_plain
from skelkit.skeleton import JointLayout
from skelkit.store import Store

__all__ = ["read", "write"]

_PARTNERS = ("val", "test")


def read(file: Path, layout: JointLayout) -> Imported:
    """The content of such a pickle, or of one with the list of annotations only.

    Two-dimensional keypoints get z = 0 and keep their pixels; scores are left out. The splits ``A_train`` and
    ``A_val`` (or ``A_test``) become the protocol ``A``. Names of NTU RGB+D give columns.

    Raises
    ------
    InputError : it is no pickle of plain data, or not of that structure
    """
    content = load_plain(file)
    split, annotations = {}, content
    if isinstance(content, dict):
        split, annotations = content.get("split", {}), content.get("annotations")
    if not isinstance(annotations, list) or not annotations:
        raise InputError(str(file), "no list of annotations, expected {'split': ..., 'annotations': [...]}")
    if not all(isinstance(annotation, dict) for annotation in annotations):
        raise InputError(str(file), "an annotation is no dict")
    names = [annotation.get("frame_dir") for annotation in annotations]
    check_names(str(file), names)
    notes: list[str] = []
    protocols = _protocols(file, split, names, notes)
    columns = ntu_columns(names)
    ordered = sorted(range(len(names)), key=lambda n: names[n])
    samples = _samples(file, [(annotations[n], columns[n]) for n in ordered], layout, notes)
    return Imported(
        sequences_of(str(file), samples, notes), frozenset(columns[0]), protocols=protocols, notes=notes
    )


def _samples(
    file: Path, rows: list[tuple[dict[str, Any], dict[str, int]]], layout: JointLayout, notes: list[str]
) -> Iterator[Sample]:
    flat = scored = 0
    for annotation, columns in rows:
        name = annotation["frame_dir"]
        label = check_label(str(file), name, annotation.get("label"))
        keypoint = _keypoint(file, name, annotation, layout)
        scored += "keypoint_score" in annotation
        if keypoint.shape[3] == 2:
            flat += 1
            keypoint = np.concatenate([keypoint, np.zeros_like(keypoint[..., :1])], axis=3)
        yield keypoint.transpose(1, 0, 2, 3), name, label, columns
    if flat:
        notes.append(f"{flat} with two-dimensional keypoints: x and y as in the file, in pixels, z is 0")
    if scored:
        notes.append(f"{scored} with keypoint_score, which a store does not keep")


def _keypoint(file: Path, name: str, annotation: dict[str, Any], layout: JointLayout) -> NDArray[Any]:
    """(M, T, V, 2 or 3)"""
    keypoint = annotation.get("keypoint")
    if not isinstance(keypoint, np.ndarray):
        found = "no keypoint" if keypoint is None else f"keypoint is a {type(keypoint).__name__}"
        raise InputError(str(file), f"{name}: {found}, expected an array")
    _, frames, *rest = keypoint.shape if keypoint.ndim == 4 else (0, 0, 0)
    if keypoint.dtype.kind != "f" or not frames or rest not in ([layout.size, 2], [layout.size, 3]):
        expected = f"float (M, T, {layout.size}, 2 or 3) as in {layout.name}"
        raise InputError(
            str(file), f"{name}: keypoint is {keypoint.dtype} {keypoint.shape}, expected {expected}"
        )
    total = annotation.get("total_frames", frames)
    if isinstance(total, np.ndarray) or total != frames:
        raise InputError(str(file), f"{name}: keypoint has {frames} frames, not as many as total_frames says")
    return keypoint


def _protocols(file: Path, split: Any, names: list[str], notes: list[str]) -> dict[str, ListedSplit]:
    lists = _lists(file, split)
    protocols: dict[str, ListedSplit] = {}
    used: set[str] = set()
    for name, train in lists.items():
        before, found, after = name.rpartition("train")
        partners = [f"{before}{partner}{after}" for partner in _PARTNERS if found]
        partner = next((partner for partner in partners if partner in lists), None)
        if partner is None:
            continue
        both = sorted(train & lists[partner])
        if both:
            raise InputError(str(file), f"{both[0]!a} is both in the split {name!a} and in {partner!a}")
        protocols[_protocol_name(before, after)] = ListedSplit(train, lists[partner], file.name)
        used.update((name, partner))
    for name in sorted(lists.keys() - used):
        notes.append(f"the split {name!a} is left out: no pair of ..._train and ..._val or ..._test")
    strangers = len(set().union(*lists.values()) - set(names))
    if strangers:
        notes.append(f"{strangers} names in the splits are not among the annotations")
    return protocols


def _lists(file: Path, split: Any) -> dict[str, frozenset[str]]:
    if not isinstance(split, dict) or not all(isinstance(name, str) for name in split):
        raise InputError(str(file), "split is no dict of names, expected {'xsub_train': [...], ...}")
    for name, members in split.items():
        if not isinstance(members, (list, tuple)) or not all(isinstance(each, str) for each in members):
            raise InputError(str(file), f"the split {name!a} is no list of names")
        check_names(str(file), list(set(members)))
    return {name: frozenset(members) for name, members in split.items()}


def _protocol_name(before: str, after: str) -> str:
    """By what stands around ``train``: ``xsub`` of xsub_train, ``split`` of train, ``split1`` of train1."""
    name = before.removesuffix("_") + (after if before else after.removeprefix("_"))
    name = re.sub(r"\W", "_", name)
    return name if name.isidentifier() else f"split{name}"


def write(store: Store, out: Path, protocol: str | None) -> Written:
    """Everything of the store that the format knows; of its protocols only ``protocol``, where one is named.

    Raises
    ------
    SkelkitError : it cannot be written
    StoreError : the store is damaged
    """
    protocols = list(store.protocols) if protocol is None else [protocol]
    split = {
        f"{name}_{part}": [store.names[n] for n, side in enumerate(store.protocols[name]) if side == number]
        for name in protocols
        for part, number in (("train", 1), ("val", 0))
    }
    annotations = [
        {
            "frame_dir": name,
            "label": int(store.label[n]),
            "total_frames": int(store.frames[n]),
            "keypoint": _Stored(store, n),
        }
        for n, name in enumerate(store.names)
    ]
    with replacing(out, "the pickle") as temporary, temporary.open("wb") as stream:
        _Pickler(stream).dump({"split": split, "annotations": annotations})
    return Written(len(store), tuple(lost(store, np.arange(len(store)))))


@dataclass(frozen=True)
class _Stored:
    """A sequence's joints, read when they are pickled."""

    store: Store
    place: int


class _Pickler(pickle.Pickler):
    """Pickles the joints of a sequence in place of `_Stored`, as an array for any numpy: what numpy itself
    writes names modules that differ between numpy 1 and 2."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream, protocol=4)
        self.fast = True  # without a memo, which would keep all joints in memory

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, _Stored):
            return NotImplemented
        joints = value.store.sequence(value.place).joints.transpose(1, 0, 2, 3)
        return np.ndarray, (joints.shape, "<f4", bytearray(joints.astype("<f4").tobytes()))
