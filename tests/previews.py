"""Sequences to preview, and what a page carries."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from skelkit.augment import AUGMENTATIONS, Transform
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout, load_layout

HOSTILE = "S001</script><script>document.body.dataset.hacked = 1</script><!-- & \"'\u2028"


def walker(
    layout: str = "ntu25", frames: int = 40, bodies: int = 1, up: int = 1, name: str = "S001C001P001R001A001"
) -> tuple[SkeletonSequence, JointLayout]:
    """A body with its trunk along axis ``up``, one arm of which moves; further bodies stand beside it."""
    skeleton = load_layout(layout)
    rng = np.random.default_rng(3)
    still = rng.uniform(-0.3, 0.3, (skeleton.size, 3))
    still[list(skeleton.spine), up] = -0.4, 0.4
    joints = np.repeat(still[None, None], frames, axis=0).repeat(bodies, axis=1)
    joints[:, :, skeleton.shoulders[1], up] += np.sin(np.arange(frames) / 4)[:, None] / 3
    joints[..., 0] += np.arange(bodies)[:, None] + 0.5
    return SkeletonSequence(joints.astype(np.float32), np.ones((frames, bodies), np.bool_), name, 0), skeleton


def named(*names: str) -> dict[str, Transform]:
    return {name: AUGMENTATIONS[name] for name in names}


def without(sequence: SkeletonSequence, frames: slice, body: int) -> SkeletonSequence:
    joints, present = sequence.joints.copy(), sequence.present.copy()
    joints[frames, body], present[frames, body] = 0, False
    return SkeletonSequence(joints, present, sequence.name, sequence.label)


def embedded(page: Path) -> dict[str, Any]:
    """What the page carries, found as an HTML parser would: up to the first end of the script."""
    match = re.search(
        r'<script type="application/json" id="data">(.*?)</script', page.read_text("utf-8"), re.S | re.I
    )
    assert match is not None
    result: dict[str, Any] = json.loads(match[1])
    return result


def unpacked(panel: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    whole = np.frombuffer(base64.b64decode(panel["data"]), "<i2")
    return (whole * panel["step"]).reshape(panel["frames"], panel["bodies"], -1, 3)
