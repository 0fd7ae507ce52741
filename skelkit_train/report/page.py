"""The report as one HTML page that needs nothing from outside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

import numpy as np

from skelkit.augment import augment_sequence
from skelkit.preview.page import packed_panels
from skelkit.preview.pictures import COLOURS
from skelkit.preview.stage import PITCH, YAW, Panel, set_stage
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.store import Store
from skelkit_train.evaluate.features import centre_views

__all__ = ["Scene", "no_scene", "page", "stage_skeletons"]

Scene = dict[str, Any]
"""What skelkit's ``scene.js`` draws from."""

_PARTS = {
    "skelkit.preview": ("scene.js", "page.css"),
    "skelkit_train.report": ("report.css", "tools.js", "charts.js", "map.js", "gallery.js", "report.js"),
}


def page(report: Mapping[str, Any], scene: Scene) -> str:
    """The whole page; a name in the report may be anything."""
    data = {**scene, "report": report}
    # No "<" leaves room for neither an end of the script element nor a comment, whatever a name holds.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    template = _resource("skelkit_train.report", "page.html")
    for package, names in _PARTS.items():
        for name in names:
            template = template.replace(f"@{name}@", _resource(package, name))
    before, after = template.split("@data@")
    return before + text + after


def _resource(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def no_scene() -> Scene:
    """Of a page without skeletons."""
    return _scene(None, [])


def stage_skeletons(store: Store, names: Iterable[str], frames: int) -> Scene:
    """The sequences of these names as the encoder saw them, each from its own front: the views for testing,
    of ``frames`` frames.

    Raises
    ------
    StoreError : a sequence is not there, or damaged
    """
    transform = centre_views(frames)
    views = [
        augment_sequence(store.sequence(store.place(name)), transform, store.layout, seed=0)[0]
        for name in names
    ]
    return _scene(store.layout, [_staged(view, store.layout) for view in views])


def _scene(layout: JointLayout | None, views: list[dict[str, Any]]) -> Scene:
    # scene.js compares with an original; here every skeleton stands for itself.
    bodies = max((view["bodies"] for view in views), default=1)
    original = {"frames": 1, "bodies": bodies, "extent": [1, 1], "centre": [0, 0, 0], "marked": []}
    return {
        "joints": layout.joints if layout else [],
        "yaw": YAW,
        "pitch": PITCH,
        "colours": COLOURS,
        "original": {**original, "present": "", "step": 1, "data": ""},
        "views": views,
    }


def _staged(view: SkeletonSequence, layout: JointLayout) -> dict[str, Any]:
    used = int(np.flatnonzero(view.present.any(axis=0)).max(initial=0)) + 1
    panel = Panel(
        title=view.name,
        joints=view.joints[:, :used],
        present=view.present[:, :used],
        start=0,
        length=view.frames,
        backwards=False,
        own_clock=True,
        marked=np.zeros(layout.size, np.bool_),
        notes=(),
    )
    stage = set_stage(view, [panel], layout)
    packed, _ = packed_panels(stage, [panel])
    packed["stage"] = {
        "axes": stage.axes.round(6).tolist(),
        "radius": round(stage.radius, 6),
        "ground": round(stage.ground, 6),
        "grid": stage.grid,
        "bones": stage.bones.tolist(),
        "side": stage.side.tolist(),
    }
    return packed
