"""What was drawn and what it does, in words: for the page, for pictures, and for a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.augment import Compose, OneOf, Sometimes, Transform
from skelkit.preview.effect import LEAST_CHANGE, LEAST_MOVE
from skelkit.skeleton import JointLayout
from skelkit.views import ViewParameters

__all__ = ["about", "effect_lines", "group_lines", "groups", "plain", "ranges"]

Row = dict[str, Any]

_UNITS = {"degrees": "\u00b0"}
_FEW = 4
"""Numbers that are written out; of more, the smallest and largest."""


def about(transform: Transform) -> str:
    """What a transform does, as its docstring begins; nothing of a composition, whose parts say it."""
    if isinstance(transform, Compose):
        return ""
    first = re.match(r".*?\.(?=\s|$)", " ".join((type(transform).__doc__ or "").split()))
    return first[0].replace("``", "") if first else ""


def ranges(transform: Transform) -> str:
    """A transform and its ranges as one would write them; of a composition, its parts in order."""
    if isinstance(transform, Compose):
        return ", then ".join(map(ranges, transform.parts))
    if isinstance(transform, OneOf):
        return "one of " + ", ".join(map(ranges, transform.parts))
    if isinstance(transform, Sometimes):
        return f"with chance {transform.probability:g} {ranges(transform.part)}"
    return repr(transform)


def groups(parameters: ViewParameters, layout: JointLayout) -> list[Row]:
    """The drawn parameters for people: one group for each part that took part, of rows with a label and
    text, a matrix, or joint numbers (with or without a number each)."""
    parts: dict[str, dict[str, NDArray[np.generic]]] = {}
    for name, value in parameters.describe(0).items():
        part, _, label = name.rpartition(".")
        parts.setdefault(part, {})[label] = np.asarray(value)
    return [{"part": part, "rows": _rows(values, layout)} for part, values in parts.items()]


def _rows(values: Mapping[str, NDArray[np.generic]], layout: JointLayout) -> list[Row]:
    rows = []
    left = dict(values)
    if {"start", "length"} <= left.keys():
        first, taken = int(left.pop("start")), int(left.pop("length"))
        window = f"frames {first} to {first + taken - 1}, {taken} in all" if taken else "no frame"
        rows.append({"label": "window", "text": window})
    return rows + [_row(label, value, layout) for label, value in left.items()]


def _row(label: str, value: NDArray[np.generic], layout: JointLayout) -> Row:
    if label == "joints" and value.dtype == np.bool_:
        chosen = np.flatnonzero(value).tolist()
        return {"label": f"{len(chosen)} of {layout.size} joints", "joints": chosen}
    if value.ndim == 0:
        return {"label": label, "text": _text(value) + _UNITS.get(label, "")}
    if value.dtype.kind == "U":
        return {"label": label, "text": ", ".join(map(str, value.tolist()))}
    if value.dtype == np.bool_:
        return {"label": label, "text": ", ".join(map(str, np.flatnonzero(value))) or "none"}
    if value.ndim == 2 and value.size <= _FEW**2:
        if not value.any():
            return {"label": label, "text": "all zero"}
        return {"label": label, "matrix": value.astype(float).round(4).tolist()}
    if label == "factor" and value.ndim == 1:
        numbers = value.astype(float).round(4).tolist()
        return {"label": label, "joints": list(range(layout.size)), "numbers": numbers}
    if value.size <= _FEW:
        return {"label": label, "text": "(" + ", ".join(_text(x) for x in value.ravel()) + ")"}
    return {"label": label, "text": f"{value.size} numbers, {_text(value.min())} to {_text(value.max())}"}


def _text(value: Any) -> str:
    number = value.item()
    if isinstance(number, bool):
        return "yes" if number else "no"
    return f"{number:.4g}" if isinstance(number, float) else str(number)


def group_lines(listed: Sequence[Mapping[str, Any]], layout: JointLayout) -> list[str]:
    """What `groups` made, as short lines for a picture; of several groups each begins with its name."""
    lines = []
    for group in listed:
        first, *others = [line for row in group["rows"] for line in _row_lines(row, layout)]
        if len(listed) == 1:
            lines += [first, *others]
        elif first.startswith("["):  # the rows of a matrix stay under each other
            lines += [f"{group['part']}:", first, *others]
        else:
            lines += [f"{group['part']}: {first}", *others]
    return lines


def _row_lines(row: Row, layout: JointLayout) -> list[str]:
    if "matrix" in row:
        return ["[" + "  ".join(f"{x:+.3f}" for x in values) + "]" for values in row["matrix"]]
    if "numbers" in row:
        return [f"{row['label']} {min(row['numbers']):.2f} to {max(row['numbers']):.2f}"]
    if "joints" in row:
        return [f"{row['label']}: " + ", ".join(layout.joints[v] for v in row["joints"])]
    return [row["text"] if row["label"] == "window" else f"{row['label']} {row['text']}"]


def effect_lines(summary: Mapping[str, float | None]) -> list[str]:
    """What `skelkit.preview.effect.Effect.summary` tells, as short lines."""
    change, moved, farthest = (summary[name] for name in ("bone_change", "moved", "farthest"))
    lines = []
    if change is not None:
        kept = change < LEAST_CHANGE
        lines.append("bones keep their lengths" if kept else f"bones change by {change:.1%} on average")
    if moved is not None and farthest is not None:
        still = farthest < LEAST_MOVE
        lines.append(
            "joints stay where they are"
            if still
            else f"joints move {_metres(moved)}, at most {_metres(farthest)}"
        )
    return lines


def _metres(distance: float) -> str:
    return f"{distance:.3f} m" if distance < 1000 else f"{distance:.3g} m"


def plain(parameters: ViewParameters, layout: JointLayout) -> dict[str, Any]:
    """The drawn parameters by name, of plain lists and numbers; chosen joints by name."""
    return {
        name: [layout.joints[v] for v in np.flatnonzero(value)]
        if name.endswith(".joints") and value.dtype == np.bool_
        else value.tolist()
        for name, value in parameters.describe(0).items()
    }
