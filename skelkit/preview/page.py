"""The preview as one HTML page that needs nothing from outside."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.preview.effect import LEAST_CHANGE, LEAST_MOVE, Effect
from skelkit.preview.pictures import COLOURS
from skelkit.preview.stage import PITCH, YAW, Panel, Stage
from skelkit.skeleton import JointLayout

__all__ = ["Told", "page"]

_PARTS = ("page.css", "scene.js", "charts.js", "page.js")
_MOST_BONES = 8


@dataclass(frozen=True)
class Told:
    """What the page says of a view."""

    about: str
    ranges: str
    groups: Sequence[Mapping[str, Any]]
    """The drawn parameters, as `skelkit.preview.words.groups` makes them."""
    moments: NDArray[np.float64]
    """(F,) frame of the original that each frame of the view shows; between two frames a fraction."""
    effect: Effect


def page(
    head: Mapping[str, object],
    stage: Stage,
    panels: Sequence[Panel],
    told: Sequence[Told],
    layout: JointLayout,
) -> str:
    """The whole page; ``head`` goes to its scripts as it is, ``told`` is of all panels but the first."""
    original, views = packed_panels(stage, panels)
    data = {
        **head,
        "joints": layout.joints,
        "bones": stage.bones.tolist(),
        "side": stage.side.tolist(),
        "axes": stage.axes.round(6).tolist(),
        "radius": round(stage.radius, 6),
        "ground": round(stage.ground, 6),
        "grid": stage.grid,
        "least": {"change": LEAST_CHANGE, "move": LEAST_MOVE},
        "yaw": YAW,
        "pitch": PITCH,
        "colours": COLOURS,
        "original": original,
        "views": [{**view, **_told(one, layout)} for view, one in zip(views, told, strict=True)],
    }
    # No "<" leaves room for neither an end of the script element nor a comment, whatever a name holds.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    template = _resource("page.html")
    for part in _PARTS:
        template = template.replace(f"@{part}@", _resource(part))
    before, after = template.split("@data@")
    return before + text + after


def _resource(name: str) -> str:
    return resources.files("skelkit.preview").joinpath(name).read_text(encoding="utf-8")


def packed_panels(stage: Stage, panels: Sequence[Panel]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The original, and the views, as the page's scripts take them."""
    # Turned about freely, a body gets as far sidewards as it is away from the middle in any direction.
    extents = np.stack([np.maximum(stage.extents[:, 0], stage.around), stage.extents[:, 1]], axis=1)
    original, *views = [
        {
            "title": panel.title,
            "start": panel.start,
            "length": panel.length,
            "backwards": panel.backwards,
            "ownClock": panel.own_clock,
            "frames": len(panel.joints),
            "bodies": panel.joints.shape[1],
            "centre": centre.round(6).tolist(),
            "extent": extent.round(6).tolist(),
            "away": round(float(np.linalg.norm(centre - stage.centres[0])), 2),
            "marked": np.flatnonzero(panel.marked).tolist(),
            "present": "".join("01"[int(here)] for here in panel.present.ravel()),
            **_packed(panel.joints),
        }
        for panel, centre, extent in zip(panels, stage.centres, extents, strict=True)
    ]
    return original, views


def _told(told: Told, layout: JointLayout) -> dict[str, Any]:
    return {
        "about": told.about,
        "ranges": told.ranges,
        "groups": told.groups,
        "moments": told.moments.round(3).tolist(),
        "effect": {
            **told.effect.summary(),
            "bones": [[name, round(x, 4)] for name, x in told.effect.most_changed(layout, _MOST_BONES)],
            "movedFrames": _numbers(told.effect.moved),
            "farthestFrames": _numbers(told.effect.farthest),
        },
    }


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(x) else round(float(x), 4) for x in values]


def _packed(joints: NDArray[np.float32]) -> dict[str, object]:
    """(F, M, V, 3) as little-endian 16-bit multiples of a step: a millimetre, or more where they reach."""
    step = max(0.001, float(np.abs(joints).max(initial=0)) / 32767)
    whole = np.round(joints / np.float32(step)).clip(-32767, 32767).astype("<i2")
    return {"step": step, "data": base64.b64encode(whole.tobytes()).decode("ascii")}
