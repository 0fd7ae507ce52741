"""Augmentations before and after: a self-contained HTML page that moves, a GIF, or a PNG contact sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skelkit.augment import AUGMENTATIONS, Transform, augment_sequence
from skelkit.errors import SkelkitError
from skelkit.files import replacing
from skelkit.preview.effect import Effect, compare
from skelkit.preview.page import Told, page
from skelkit.preview.pictures import contact_sheet, film
from skelkit.preview.stage import Panel, set_stage
from skelkit.preview.words import about, effect_lines, group_lines, groups, plain, ranges
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout
from skelkit.views import DrawKey, ViewParameters, identity, sample_frames

__all__ = ["FORMATS", "suitable", "write_preview"]

FORMATS = (".html", ".gif", ".png")


@dataclass(frozen=True)
class _Shown:
    """A view with all that is told of it."""

    view: SkeletonSequence
    parameters: ViewParameters
    groups: list[dict[str, Any]]
    moments: NDArray[np.float64]
    effect: Effect


def suitable(layout: JointLayout) -> dict[str, Transform]:
    """The augmentations of `skelkit.augment.AUGMENTATIONS` that can be drawn for a layout; one without body
    parts has none to mask."""
    key = DrawKey(0, 0, np.zeros(1, np.int64), np.zeros(1, np.int64))
    fitting = {}
    for name, transform in AUGMENTATIONS.items():
        try:
            transform.draw(key, identity(np.ones(1, np.int64), layout, bodies=1))
        except ValueError:
            continue
        fitting[name] = transform
    return fitting


def write_preview(
    sequence: SkeletonSequence,
    layout: JointLayout,
    path: str | Path,
    *,
    augmentations: Mapping[str, Transform] | None = None,
    seed: int = 0,
    class_name: str = "",
    fps: float = 30.0,
    recipe: str = "",
    sample: int = 0,
    epoch: int = 0,
    view: int = 0,
) -> dict[str, dict[str, Any]]:
    """Show a sequence beside augmented views of it, in the format that the suffix of ``path`` names.

    >>> import tempfile, numpy as np, skelkit
    >>> joints = np.random.default_rng(0).random((30, 1, 25, 3), np.float32)
    >>> sequence = skelkit.SkeletonSequence(joints, np.ones((30, 1), np.bool_), "wave", label=22)
    >>> layout, chosen = skelkit.load_layout("ntu25"), {"mirror": skelkit.augment.Mirror()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     drawn = skelkit.write_preview(sequence, layout, f"{folder}/wave.html", augmentations=chosen)
    >>> drawn["mirror"]["parameters"]
    {'mirror.axis': 'x'}

    Parameters
    ----------
    sequence : of T frames and V joints
    layout : of the same V joints
    path : .html, .gif or .png; appears whole or not at all
    augmentations : by the title to show; all that are `suitable` if not given
    seed, epoch, sample, view : key the random numbers; with those of a training its views are shown
    class_name, recipe : printed with the sequence's name
    fps : frames a second of the original

    Returns
    -------
    by title ``parameters``, the drawn ones by name, of plain lists and numbers, with joints by name; and
    ``effect``: ``bone_change`` (mean relative change of a bone's length), ``moved`` and ``farthest`` (mean
    and largest distance of a joint from where it was at the same moment, in metres) and every bone's change;
    ``drawn_lines`` and ``effect_lines``: both in words, as pictures have them

    Raises
    ------
    SkelkitError : another suffix, no augmentation or one that cannot be drawn for this layout, a sequence
        without frames or of another layout, or ``path`` cannot be written
    """
    path = Path(path)
    _check(sequence, layout, path)
    chosen = suitable(layout) if augmentations is None else augmentations
    if not chosen:
        raise SkelkitError("no augmentation named")
    key = DrawKey(seed, epoch, np.array([sample]), np.array([view]))
    shown = {title: _shown(sequence, layout, title, transform, key) for title, transform in chosen.items()}

    used = sequence.present.any(axis=0).sum()
    facts = [class_name, f"{sequence.frames} frames", f"{used} {'body' if used == 1 else 'bodies'}"]
    facts = [fact for fact in facts if fact]
    notes = (", ".join(facts), f"{layout.name}, {recipe or 'no recipe named'}")
    panels = _panels(sequence, layout, notes, shown)
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
                told = [
                    Told(about(chosen[title]), ranges(chosen[title]), one.groups, one.moments, one.effect)
                    for title, one in shown.items()
                ]
                file.write(page(head, stage, panels, told, layout).encode())
            case ".gif":
                pictures, milliseconds = film(stage, panels, title, subtitle, fps)
                pictures[0].save(
                    file, "GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0
                )
            case _:
                contact_sheet(stage, panels, title, subtitle).save(file, "PNG", optimize=True)
    return {
        title: {
            "parameters": plain(one.parameters, layout),
            "effect": one.effect.to_plain(layout),
            "drawn_lines": group_lines(one.groups, layout),
            "effect_lines": effect_lines(one.effect.summary()),
        }
        for title, one in shown.items()
    }


def _check(sequence: SkeletonSequence, layout: JointLayout, path: Path) -> None:
    form = path.suffix.lower()
    if form not in FORMATS:
        raise SkelkitError(
            f"{path}: a preview is written as {', '.join(FORMATS)}, not {form or 'without suffix'!r}"
        )
    if not sequence.frames or sequence.joints.shape[2] != layout.size:
        raise SkelkitError(
            f"{sequence.name}: {sequence.frames} frames of {sequence.joints.shape[2]} joints, "
            f"expected at least one frame of the {layout.size} joints of {layout.name}"
        )
    if not sequence.bodies:
        raise SkelkitError(f"{sequence.name}: no body to show")
    if not path.parent.is_dir():
        raise SkelkitError(f"{path}: the folder {path.parent} does not exist")


def _shown(
    sequence: SkeletonSequence, layout: JointLayout, title: str, transform: Transform, key: DrawKey
) -> _Shown:
    try:
        view, parameters = augment_sequence(
            sequence,
            transform,
            layout,
            seed=key.seed,
            epoch=key.epoch,
            sample=int(key.sample[0]),
            view=int(key.view[0]),
        )
    except ValueError as error:
        raise SkelkitError(f"{title}: {error}") from None
    below, weight = sample_frames(parameters)
    return _Shown(
        view=view,
        parameters=parameters,
        groups=groups(parameters, layout),
        moments=below[0] + weight[0].astype(float),
        effect=compare(sequence, view, below[0], weight[0], layout),
    )


def _panels(
    sequence: SkeletonSequence, layout: JointLayout, notes: tuple[str, ...], shown: Mapping[str, _Shown]
) -> list[Panel]:
    """The original, then every view; without the bodies that are nowhere present."""
    bodies = int(np.flatnonzero(sequence.present.any(axis=0)).max(initial=0)) + 1
    original = Panel(
        title="original",
        joints=sequence.joints[:, :bodies],
        present=sequence.present[:, :bodies],
        start=0,
        length=sequence.frames,
        backwards=False,
        own_clock=False,
        marked=np.zeros(layout.size, dtype=np.bool_),
        notes=notes,
    )
    return [original, *(_panel(title, one, bodies, sequence.frames, layout) for title, one in shown.items())]


def _panel(title: str, shown: _Shown, bodies: int, frames: int, layout: JointLayout) -> Panel:
    parameters = shown.parameters
    played, backwards = int(parameters.played[0]), bool(parameters.backwards[0])
    marked = np.zeros(layout.size, dtype=np.bool_)
    for row in (row for group in shown.groups for row in group["rows"]):
        if "joints" in row and "numbers" not in row:
            marked[row["joints"]] = True
    return Panel(
        title=title,
        joints=shown.view.joints[:, :bodies],
        present=shown.view.present[:, :bodies],
        start=float(parameters.start[0]) * frames / played,
        length=float(parameters.length[0]) * frames / played,
        backwards=backwards,
        own_clock=backwards or played != frames,
        marked=marked,
        notes=(*group_lines(shown.groups, layout), *effect_lines(shown.effect.summary())),
    )
