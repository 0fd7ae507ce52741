"""Augmentations before and after: a self-contained HTML page that moves, a GIF, or a PNG contact sheet."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.augment import AUGMENTATIONS, augment
from skelkit.drawing import COLOURS, PITCH, YAW, Panel, Stage, contact_sheet, film, set_stage
from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.views import ViewParameters

__all__ = ["FORMATS", "drawn_lines", "write_preview"]

FORMATS = (".html", ".gif", ".png")

_ABOUT = {
    "shear": "Every joint times one matrix with a unit diagonal, alike in all frames.",
    "jitter": "Some joints are set to zero or multiplied by one matrix, alike in all frames.",
    "rotation": "A turn about the origin.",
    "crop": "A window of frames; the rest is left out.",
    "resample": "The same motion in another number of frames, interpolated linearly.",
    "isc": "The paper's composition: crop, resample to 64 frames, then one of shear and jitter.",
}


def write_preview(
    sequence: SkeletonSequence,
    layout: JointLayout,
    path: Path,
    *,
    augmentations: Sequence[str] = tuple(AUGMENTATIONS),
    seed: int = 0,
    class_name: str = "",
    fps: float = 30.0,
    recipe: str = "",
    sample: int = 0,
    epoch: int = 0,
    view: int = 0,
) -> dict[str, dict[str, Any]]:
    """Show a sequence beside augmented views of it, in the format that the suffix of ``path`` names.

    Parameters
    ----------
    sequence : of T frames and V joints
    layout : of the same V joints
    path : .html, .gif or .png; appears whole or not at all
    augmentations : names in `skelkit.augment.AUGMENTATIONS`
    seed, epoch, sample, view : key the random numbers; with those of a training its views are shown
    class_name, recipe : printed with the sequence's name
    fps : frames a second of the original

    Returns
    -------
    by augmentation its drawn parameters by name, of plain lists and numbers; chosen joints by name

    Raises
    ------
    SkelkitError : another suffix, an unknown augmentation, a sequence without frames or of another
        layout, or ``path`` cannot be written
    """
    path = Path(path)
    names = list(dict.fromkeys(augmentations))
    _check(sequence, layout, path, names)
    drawn = {
        name: augment(sequence, AUGMENTATIONS[name], seed=seed, epoch=epoch, sample=sample, view=view)
        for name in names
    }
    groups = {name: _groups(parameters, layout, sequence.frames) for name, (_, parameters) in drawn.items()}
    used = sequence.present.any(axis=0)
    facts = [
        class_name,
        f"{sequence.frames} frames",
        f"{used.sum()} {'body' if used.sum() == 1 else 'bodies'}",
    ]
    facts = [fact for fact in facts if fact]
    notes = (", ".join(facts), f"{layout.name}, {recipe or 'no recipe named'}")
    panels = _panels(sequence, layout, notes, drawn, groups)
    stage = set_stage(sequence, panels, layout)
    draws = f"seed {seed}, epoch {epoch}, sample {sample}, view {view}"
    title = f"{sequence.name}  {class_name}".rstrip()
    where = f"{layout.name}, {recipe}" if recipe else layout.name
    subtitle = f"{sequence.frames} frames played at {fps:g} a second, {where}; {draws}"
    with replacing(path, "the preview") as temporary, temporary.open("wb") as file:
        match path.suffix.lower():
            case ".html":
                facts += [layout.name, *([f"recipe {recipe}"] if recipe else [])]
                head = {"name": sequence.name, "facts": facts, "draws": draws, "fps": fps}
                file.write(_page(head, stage, panels, groups, layout).encode())
            case ".gif":
                pictures, milliseconds = film(stage, panels, title, subtitle, fps)
                pictures[0].save(
                    file, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0
                )
            case _:
                contact_sheet(stage, panels, title, subtitle).save(file, "PNG", optimize=True)
    return {name: _plain(parameters, layout) for name, (_, parameters) in drawn.items()}


def drawn_lines(drawn: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What `write_preview` returned, for people at a terminal."""
    lines = []
    for name, values in drawn.items():
        lines.append(name)
        for parameter, value in values.items():
            if isinstance(value, list) and value and isinstance(value[0], list):
                rows = ["[" + "  ".join(f"{x:+.3f}" for x in row) + "]" for row in value]
            elif isinstance(value, list):
                rows = [", ".join(f"{x:+.3f}" if isinstance(x, float) else str(x) for x in value)]
            else:
                rows = [f"{value:.4g}" if isinstance(value, float) else str(value)]
            lines += [f"  {parameter if row is rows[0] else '':18} {row}" for row in rows]
    return lines


def _check(sequence: SkeletonSequence, layout: JointLayout, path: Path, names: list[str]) -> None:
    form = path.suffix.lower()
    if form not in FORMATS:
        raise SkelkitError(
            f"{path}: a preview is written as {', '.join(FORMATS)}, not {form or 'without suffix'!r}"
        )
    unknown = [name for name in names if name not in AUGMENTATIONS]
    if unknown or not names:
        wrong = f"no augmentation {unknown[0]!r}" if unknown else "no augmentation named"
        raise SkelkitError(f"{wrong}; expected {', '.join(AUGMENTATIONS)}")
    if not sequence.frames or sequence.joints.shape[2] != layout.size:
        raise SkelkitError(
            f"{sequence.name}: {sequence.frames} frames of {sequence.joints.shape[2]} joints, "
            f"expected at least one frame of the {layout.size} joints of {layout.name}"
        )
    if not path.parent.is_dir():
        raise SkelkitError(f"{path}: the folder {path.parent} does not exist")


def _panels(
    sequence: SkeletonSequence,
    layout: JointLayout,
    notes: tuple[str, ...],
    drawn: Mapping[str, tuple[SkeletonSequence, ViewParameters]],
    groups: Mapping[str, list[dict[str, Any]]],
) -> list[Panel]:
    """The original, then every view; without the bodies that are nowhere present."""
    bodies = int(np.flatnonzero(sequence.present.any(axis=0)).max(initial=0)) + 1
    unmarked = np.zeros(layout.size, dtype=np.bool_)
    original = Panel(
        title="original",
        joints=sequence.joints[:, :bodies],
        present=sequence.present[:, :bodies],
        start=0,
        length=sequence.frames,
        marked=unmarked,
        notes=notes,
    )
    views = [
        Panel(
            title=name,
            joints=view.joints[:, :bodies],
            present=view.present[:, :bodies],
            start=int(parameters.start[0]),
            length=int(parameters.length[0]),
            marked=parameters.describe(0).get("jitter.joints", unmarked).astype(np.bool_),
            notes=tuple(line for group in groups[name] for line in _lines(group, layout)),
        )
        for name, (view, parameters) in drawn.items()
    ]
    return [original, *views]


def _plain(parameters: ViewParameters, layout: JointLayout) -> dict[str, Any]:
    values = parameters.describe(0)
    return {
        name: _joint_names(value, layout) if name == "jitter.joints" else value.tolist()
        for name, value in values.items()
    }


def _joint_names(chosen: NDArray[np.generic], layout: JointLayout) -> list[str]:
    return [layout.joints[v] for v in np.flatnonzero(chosen)]


def _groups(parameters: ViewParameters, layout: JointLayout, frames: int) -> list[dict[str, Any]]:
    """The drawn parameters for people: one group for each part that took part, of rows with a label and
    text, a matrix, or joint numbers."""
    values = parameters.describe(0)
    rows: dict[str, list[dict[str, Any]]] = {}

    def row(part: str, label: str, **value: object) -> None:
        rows.setdefault(part, []).append({"label": label, **value})

    for name, value in values.items():
        part, _, label = name.partition(".")
        if name == "crop.start":
            first, taken = int(value), int(values["crop.length"])
            row(part, "window", text=f"frames {first} to {first + taken - 1} of {frames}, counted from 0")
            row(part, "length", text=f"{taken} frames, {taken / frames:.0%}")
        elif name == "resample.frames":
            row(part, "time", text=f"{int(parameters.length[0])} frames resampled to {int(value)}")
        elif name == "rotation.degrees":
            row(part, "angle", text=f"{float(value):.1f}\u00b0")
        elif name == "rotation.axis":
            row(part, "axis", text="(" + ", ".join(f"{x:.2f}" for x in np.asarray(value, float)) + ")")
        elif name == "jitter.joints":
            chosen = np.flatnonzero(value).tolist()
            zero = not values["jitter.matrix"].any()
            row(part, "what", text="set to zero" if zero else "multiplied by one matrix")
            row(part, f"{len(chosen)} of {layout.size} joints", joints=chosen)
        elif name == "jitter.matrix" and not value.any():
            continue
        elif value.ndim == 2:
            row(part, label, matrix=np.asarray(value, float).round(4).tolist())
        elif name != "crop.length":
            row(part, label, text=str(value))
    return [{"part": part, "rows": listed} for part, listed in rows.items()]


def _lines(group: Mapping[str, Any], layout: JointLayout) -> list[str]:
    """A group as short lines for a picture."""
    lines = []
    for row in group["rows"]:
        if "matrix" in row:
            lines += ["[" + "  ".join(f"{x:+.2f}" for x in values) + "]" for values in row["matrix"]]
        elif "joints" in row:
            lines.append(f"{row['label']}: " + ", ".join(layout.joints[v] for v in row["joints"]))
        else:
            lines.append(
                row["text"] if row["label"] in ("what", "window", "time") else f"{row['label']} {row['text']}"
            )
    return lines


def _page(
    head: Mapping[str, object],
    stage: Stage,
    panels: Sequence[Panel],
    groups: Mapping[str, list[dict[str, Any]]],
    layout: JointLayout,
) -> str:
    data = {
        **head,
        "joints": layout.joints,
        "bones": stage.bones.tolist(),
        "side": stage.side.tolist(),
        "axes": stage.axes.round(6).tolist(),
        "extent": stage.extent.round(6).tolist(),
        "radius": round(stage.radius, 6),
        "ground": round(stage.ground, 6),
        "grid": stage.grid,
        "yaw": YAW,
        "pitch": PITCH,
        "colours": COLOURS,
        "panels": [
            {
                "title": panel.title,
                "about": _ABOUT.get(panel.title, ""),
                "start": panel.start,
                "length": panel.length,
                "frames": len(panel.joints),
                "bodies": panel.joints.shape[1],
                "centre": centre.round(6).tolist(),
                "away": round(float(np.linalg.norm(centre - stage.centres[0])), 2),
                "marked": np.flatnonzero(panel.marked).tolist(),
                "present": "".join("01"[int(here)] for here in panel.present.ravel()),
                "groups": groups.get(panel.title, []),
                **_packed(panel.joints),
            }
            for panel, centre in zip(panels, stage.centres, strict=True)
        ],
    }
    # No "<" leaves room for neither an end of the script element nor a comment, whatever a name holds.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    template = resources.files("skelkit").joinpath("preview.html").read_text(encoding="utf-8")
    before, after = template.split("@DATA@")
    return before + text + after


def _packed(joints: NDArray[np.float32]) -> dict[str, object]:
    """(F, M, V, 3) as little-endian 16-bit multiples of a step: a millimetre, or more where they reach."""
    step = max(0.001, float(np.abs(joints).max(initial=0)) / 32767)
    whole = np.round(joints / np.float32(step)).clip(-32767, 32767).astype("<i2")
    return {"step": step, "data": base64.b64encode(whole.tobytes()).decode("ascii")}
