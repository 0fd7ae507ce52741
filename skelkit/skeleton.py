"""Joint layouts as data: names, bones, mirror pairs and the joints that give a body its orientation.

The built-in layouts are the TOML files in ``skelkit/layouts``; a layout of your own is a file of the same
form, given by its path.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from skelkit.errors import InputError

__all__ = ["LAYOUTS", "JointLayout", "load_layout"]

LAYOUTS = ("ntu25", "kinect20", "coco17")


@dataclass(frozen=True)
class JointLayout:
    """How the V joints of a skeleton are named and connected. All joint numbers are 0-based.

    >>> import skelkit
    >>> joints, bones, mirror = ("chest", "left hand", "right hand"), ((1, 0), (2, 0)), ((1, 2),)
    >>> arms = skelkit.JointLayout("arms", joints, bones, mirror, centre=0, spine=(0, 1), shoulders=(2, 1))
    >>> arms.mirrored()
    array([0, 2, 1])

    Raises
    ------
    ValueError : a name is given twice, a joint number lies outside 0..V-1, a bone joins a joint to itself, a
        joint is in two mirror pairs or in two body parts, or a body part has no joint
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    """(child, parent), pointing towards the trunk, as in the A-GCN graph."""
    mirror: tuple[tuple[int, int], ...]
    """(left, right) pairs; joints in no pair lie on the body's midline."""
    centre: int
    """The joint that ``isc`` moves to the origin."""
    spine: tuple[int, int]
    """(bottom, top) of the trunk; ``isc`` turns it to +z."""
    shoulders: tuple[int, int]
    """(right, left); ``isc`` turns left-to-right to +x."""
    parts: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    """The joints of each body part, by its name; none where a layout names no parts."""

    def __post_init__(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"layout {self.name}: joint names repeat")
        used = [self.centre, *self.spine, *self.shoulders]
        used += [joint for group in (*self.bones, *self.mirror, *self.parts.values()) for joint in group]
        outside = [joint for joint in used if not 0 <= joint < len(self.joints)]
        if outside:
            raise ValueError(f"layout {self.name}: joint {outside[0]} is outside 0..{len(self.joints) - 1}")
        for child, parent in self.bones:
            if child == parent:
                raise ValueError(f"layout {self.name}: a bone joins joint {child} to itself")
        for groups, what in ((self.mirror, "mirror pairs"), (self.parts.values(), "body parts")):
            grouped = [joint for group in groups for joint in group]
            twice = [joint for joint in grouped if grouped.count(joint) > 1]
            if twice:
                raise ValueError(f"layout {self.name}: joint {twice[0]} is in two {what}")
        for part, joints in self.parts.items():
            if not joints:
                raise ValueError(f"layout {self.name}: the body part {part!r} has no joint")

    @property
    def size(self) -> int:
        """V, the number of joints."""
        return len(self.joints)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls.from_mapping(json.loads(text))

    @classmethod
    def from_mapping(cls, fields: dict[str, Any]) -> Self:
        """From parsed TOML or JSON. Raises KeyError, TypeError or ValueError where fields are wrong."""
        unknown = fields.keys() - {field.name for field in dataclass_fields(cls)}
        if unknown:
            raise ValueError(f"unknown key {min(unknown)!r}")
        return cls(
            name=str(fields["name"]),
            joints=tuple(str(joint) for joint in fields["joints"]),
            bones=_pairs("bones", fields["bones"]),
            mirror=_pairs("mirror", fields["mirror"]),
            centre=_joint("centre", fields["centre"]),
            spine=_pairs("spine", [fields["spine"]])[0],
            shoulders=_pairs("shoulders", [fields["shoulders"]])[0],
            parts=_parts(fields.get("parts", {})),
        )

    def mirrored(self) -> NDArray[np.int64]:
        """(V,) for each joint the joint on the other side of the body."""
        other = np.arange(self.size)
        for left, right in self.mirror:
            other[left], other[right] = right, left
        return other

    def parents(self) -> NDArray[np.int64]:
        """(V,) for each joint the next one towards the trunk; itself where the bones end.

        Raises
        ------
        ValueError : a joint has two bones towards the trunk
        """
        parents = np.arange(self.size)
        for child, parent in self.bones:
            if parents[child] != child:
                raise ValueError(f"layout {self.name}: joint {child} has two bones towards the trunk")
            parents[child] = parent
        return parents

    def paths(self) -> NDArray[np.bool_]:
        """(V, V) whether joint a lies on the way from joint v to the trunk, both ends included.

        Raises
        ------
        ValueError : a joint has two bones towards the trunk, or the bones run in a ring
        """
        parents = self.parents()
        paths = np.eye(self.size, dtype=np.bool_)
        at = np.arange(self.size)
        for _ in range(self.size):
            at = parents[at]
            paths[np.arange(self.size), at] = True
        ring = np.flatnonzero(parents[at] != at)
        if len(ring):
            raise ValueError(f"layout {self.name}: the bones from joint {ring[0]} run in a ring")
        return paths


def _check_rings(bones: tuple[tuple[int, int], ...]) -> None:
    left = set(bones)
    while left:
        children = {child for child, _ in left}
        ends = {bone for bone in left if bone[1] not in children}
        if not ends:
            raise ValueError(f"the bones of joint {min(children)} run in a ring")
        left -= ends


def _pairs(key: str, rows: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(rows, list) or any(not isinstance(row, list) or len(row) != 2 for row in rows):
        raise ValueError(f"{key}: found {rows!r}, expected pairs of joint numbers")
    return tuple((_joint(key, a), _joint(key, b)) for a, b in rows)


def _parts(table: Any) -> dict[str, tuple[int, ...]]:
    if not isinstance(table, dict) or any(not isinstance(joints, list) for joints in table.values()):
        raise ValueError(f"parts: found {table!r}, expected lists of joint numbers by name")
    return {
        name: tuple(_joint(f"part {name!r}", joint) for joint in joints) for name, joints in table.items()
    }


def _joint(key: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"{key}: found {number!r}, expected a joint number")
    return number


def load_layout(name: str) -> JointLayout:
    """A built-in layout by its name, or your own by the path of its TOML file.

    >>> import skelkit
    >>> skelkit.load_layout("coco17").size
    17

    Raises
    ------
    InputError : no such layout, or the file is not one
    """
    if name in LAYOUTS:
        text = resources.files("skelkit").joinpath("layouts", f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).suffix == ".toml":
        try:
            text = Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(name, f"cannot read the joint layout: {error.strerror}") from None
        except UnicodeDecodeError:
            raise InputError(name, "not a joint layout: it is no UTF-8 text") from None
    else:
        raise InputError(name, f"no such joint layout; expected {', '.join(LAYOUTS)} or a .toml file")
    try:
        layout = JointLayout.from_mapping({"name": Path(name).stem, **tomllib.loads(text)})
        alone = set(range(layout.size)) - {joint for bone in layout.bones for joint in bone}
        if alone:
            raise ValueError(f"joint {min(alone)}, {layout.joints[min(alone)]}, has no bone")
        for what, (a, b) in (("spine", layout.spine), ("shoulders", layout.shoulders)):
            if a == b:
                raise ValueError(f"{what}: found joint {a} twice, expected two joints")
        _check_rings(layout.bones)
        return layout
    except KeyError as error:
        raise InputError(name, f"the joint layout lacks the key {error}") from None
    except (TypeError, ValueError) as error:
        raise InputError(name, f"not a joint layout: {error}") from None
