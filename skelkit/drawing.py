"""Skeletons drawn with Pillow; camera, scale and colours are shared with the HTML preview."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout

__all__ = ["COLOURS", "PITCH", "YAW", "Panel", "Stage", "contact_sheet", "film", "set_stage", "sides"]

COLOURS = {
    "light": {
        "back": "#ffffff",
        "ink": "#1f2933",
        "muted": "#647080",
        "grid": "#dfe4ea",
        "shadow": "#e9ecf0",
        "mark": "#ffc400",
        "bodies": [["#2f6fde", "#e8702a", "#4a5563"], ["#0f9f8f", "#c2409a", "#9aa5b1"]],
    },
    "dark": {
        "back": "#171c22",
        "ink": "#e6ebf0",
        "muted": "#93a0ae",
        "grid": "#2c353f",
        "shadow": "#222a32",
        "mark": "#ffc400",
        "bodies": [["#6ea8ff", "#ff9d5c", "#c3ccd6"], ["#3fd0bd", "#ec7cc8", "#7d8996"]],
    },
}
"""By scheme; a body's colours are left, right, trunk. Every other body takes the second set."""

YAW, PITCH = 0.45, 0.16
"""The first look at a stage, in radians: from a little to the side and above."""

_SMOOTH = 3
_MARGIN = 0.9
_GIF_RATE = 15
_GIF_FRAMES = 120
_SHEET_COLUMNS = 8

_Floats: TypeAlias = NDArray[np.floating]
_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Panel:
    """One moving skeleton: the original, or a view of it."""

    title: str
    joints: NDArray[np.float32]
    """(F, M, V, 3)"""
    present: NDArray[np.bool_]
    """(F, M)"""
    start: int
    """First frame of the original that is shown."""
    length: int
    """Frames of the original that the F frames span."""
    marked: NDArray[np.bool_]
    """(V,) joints to point out."""
    notes: tuple[str, ...]
    """Lines to print with it."""

    def frame_at(self, time: float) -> int | None:
        """The frame shown ``time`` original frames after the beginning; None outside the window taken."""
        if not self.start <= time < self.start + self.length:
            return None
        return min(int((time - self.start) * len(self.joints) / self.length), len(self.joints) - 1)


@dataclass(frozen=True)
class Stage:
    """What all panels share, so that they compare: directions, scale and ground."""

    axes: NDArray[np.float64]
    """(3, 3) rows: to the side, up, and to the front where the viewer stands (orthonormal)."""
    centres: NDArray[np.float64]
    """(panels, 3) the point in the middle of each panel."""
    extent: NDArray[np.float64]
    """(2,) how far the first look reaches from the middle, sidewards and upwards."""
    radius: float
    """Distance of the original's outermost joint from the middle, and half the side of the ground."""
    ground: float
    """Height of the ground above the middle (below it: negative)."""
    grid: float
    """Distance between the lines on the ground."""
    bones: NDArray[np.int64]
    """(bones, 2) child, parent"""
    side: NDArray[np.int64]
    """(V,) 0 left, 1 right, 2 trunk"""

    def pixels(self, points: _Floats, panel: int, size: tuple[int, int]) -> NDArray[np.float64]:
        """(..., 3) points to (..., 3): x and y on a picture, and how near the viewer."""
        at: NDArray[np.float64] = (points - self.centres[panel]) @ _camera(self.axes).T
        scale = _MARGIN * min(size[0] / self.extent[0], size[1] / self.extent[1]) / 2
        at[..., 0] = size[0] / 2 + scale * at[..., 0]
        at[..., 1] = size[1] / 2 - scale * at[..., 1]
        return at


def _camera(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rows: rightwards, upwards and towards the viewer at the first look."""
    side, up, front = axes
    level = np.cos(YAW) * front + np.sin(YAW) * side
    return np.stack(
        [
            np.cos(YAW) * side - np.sin(YAW) * front,
            np.cos(PITCH) * up - np.sin(PITCH) * level,
            np.cos(PITCH) * level + np.sin(PITCH) * up,
        ]
    )


def sides(layout: JointLayout) -> NDArray[np.int64]:
    """(V,) 0 for joints on the body's left, 1 on its right, 2 on the trunk."""
    side = np.full(layout.size, 2)
    for left, right in layout.mirror:
        side[left], side[right] = 0, 1
    return side


def set_stage(original: SkeletonSequence, panels: Sequence[Panel], layout: JointLayout) -> Stage:
    """Choose directions, middle and scale from the data, once for all panels; the original is the first."""
    axes = _axes(original, layout)
    boxes = [panel.joints[panel.present][:, ~panel.marked].reshape(-1, 3).astype(float) for panel in panels]
    boxes = [box if len(box) else np.zeros((1, 3)) for box in boxes]
    middles = np.array([np.percentile(box, (1, 99), axis=0).mean(axis=0) for box in boxes])

    radius = float(np.percentile(np.linalg.norm(boxes[0] - middles[0], axis=1), 99.5)) or 1.0
    # A view that stays near keeps the original's place; one flung away (raw camera coordinates turn about
    # the camera) is brought to the middle, or there would be little to see.
    near = np.linalg.norm(middles - middles[0], axis=1) < 0.4 * radius
    middles[near] = middles[0]
    looks = [
        np.percentile(np.abs((box - middle) @ _camera(axes)[:2].T), 99.5, axis=0)
        for box, middle in zip(boxes, middles, strict=True)
    ]
    extent = np.clip(np.max(looks, axis=0), looks[0], 1.35 * looks[0])
    heights = (boxes[0] - middles[0]) @ axes[1]
    return Stage(
        axes=axes,
        centres=middles,
        extent=np.maximum(extent, 0.3 * radius),
        radius=radius,
        ground=float(np.percentile(heights, 0.5)),
        grid=float(10 ** np.round(np.log10(radius / 2)) / 2),
        bones=np.array(layout.bones, dtype=np.int64).reshape(-1, 2),
        side=sides(layout),
    )


def _axes(sequence: SkeletonSequence, layout: JointLayout) -> NDArray[np.float64]:
    """Side, up and front: from the trunk, and from the first body's shoulders or the way to a second."""
    joints, present = sequence.joints.astype(float), sequence.present
    up = np.array([0.0, 1.0, 0.0])
    bodies = np.flatnonzero(present.any(axis=0))
    if not len(bodies):
        return np.array([[1.0, 0.0, 0.0], up, [0.0, 0.0, 1.0]])
    trunk = (joints[:, :, layout.spine[1]] - joints[:, :, layout.spine[0]])[present].mean(axis=0)
    upright = int(np.abs(trunk).argmax())
    if trunk[upright]:
        up = np.eye(3)[upright] * np.sign(trunk[upright])

    def level(direction: _Floats) -> NDArray[np.float64] | None:
        flat = direction - (direction @ up) * up
        length = float(np.linalg.norm(flat))
        return flat / length if length > 1e-6 else None

    first = joints[present[:, bodies[0]], bodies[0]]
    right, left = layout.shoulders
    side = level((first[:, left] - first[:, right]).mean(axis=0))
    if side is None:
        side = level(np.roll(np.abs(up), 1))
    assert side is not None
    if len(bodies) > 1:
        second = joints[present[:, bodies[1]], bodies[1]]
        between = level(second.mean(axis=(0, 1)) - first.mean(axis=(0, 1)))
        if between is not None:
            side = between if between @ side >= 0 else -between
    return np.stack([side, up, np.cross(side, up)])


def _picture(
    stage: Stage, panel: Panel, number: int, frame: int | None, size: tuple[int, int]
) -> Image.Image:
    """One frame of one panel; the bare ground where there is no frame."""
    whole = (_SMOOTH * size[0], _SMOOTH * size[1])
    thick = max(2 * _SMOOTH, min(whole) // 50)
    colours = COLOURS["light"]
    image = Image.new("RGB", whole, str(colours["back"]))
    draw = ImageDraw.Draw(image)
    side, up, front = stage.axes
    reach = np.ceil(stage.radius / stage.grid) * stage.grid
    for step in np.arange(-reach, reach + stage.grid / 2, stage.grid):
        for along, across in ((side, front), (front, side)):
            line = np.stack([step * along - reach * across, step * along + reach * across])
            at = stage.pixels(line + stage.ground * up + stage.centres[number], number, whole)
            draw.line(_ends(at, 0, 1), fill=str(colours["grid"]), width=_SMOOTH)
    if frame is not None:
        bodies = np.flatnonzero(panel.present[frame]).tolist()
        for body in bodies:
            joints = panel.joints[frame, body].astype(float)
            heights = (joints - stage.centres[number]) @ up - stage.ground
            fallen = stage.pixels(joints - heights[:, None] * up, number, whole)
            for a, b in stage.bones:
                draw.line(_ends(fallen, a, b), fill=str(colours["shadow"]), width=thick)
        for body in bodies:
            at = stage.pixels(panel.joints[frame, body].astype(float), number, whole)
            _body(draw, stage, panel, body, at, thick)
    return image.resize(size, Image.Resampling.LANCZOS)


def _ends(at: NDArray[np.float64], a: int, b: int) -> list[float]:
    return [*at[a, :2].tolist(), *at[b, :2].tolist()]


def _body(
    draw: ImageDraw.ImageDraw, stage: Stage, panel: Panel, body: int, at: NDArray[np.float64], thick: int
) -> None:
    colours = COLOURS["light"]
    shades = colours["bodies"][body % 2]

    def dot(v: int, radius: float, fill: str) -> None:
        x, y = at[v, :2]
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    for a, b in stage.bones:  # a rim, so that one body stands out from another behind it
        draw.line(_ends(at, a, b), fill=str(colours["back"]), width=thick + 2 * _SMOOTH)
    for a, b in sorted(stage.bones, key=lambda bone: float(at[bone, 2].sum())):
        shade = shades[min(stage.side[a], stage.side[b])]
        draw.line(_ends(at, a, b), fill=shade, width=thick)
    for v in np.argsort(at[:, 2]):
        shade = shades[stage.side[v]]
        if panel.marked[v]:
            dot(v, 0.85 * thick + _SMOOTH, str(colours["ink"]))
            dot(v, 0.85 * thick, str(colours["mark"]))
        elif body % 2:
            dot(v, 0.75 * thick, shade)
            dot(v, 0.4 * thick, str(colours["back"]))
        else:
            dot(v, 0.7 * thick, shade)


def _font(size: int) -> _Font:
    return ImageFont.load_default(size=size * _SMOOTH)


def _wrapped(lines: Sequence[str], font: _Font, width: int, most: int) -> list[str]:
    """Lines broken at blanks to fit; what goes beyond ``most`` lines ends in an ellipsis."""
    result: list[str] = []
    for line in lines:
        current = ""
        for word in line.split(" "):
            longer = f"{current} {word}" if current else word
            if current and font.getlength(longer) > width * _SMOOTH:
                result.append(current)
                current = word
            else:
                current = longer
        result.append(current)
    return result if len(result) <= most else [*result[: most - 1], f"{result[most - 1]} ..."]


def _write(
    image: Image.Image,
    at: tuple[float, float],
    lines: Sequence[str],
    font: _Font,
    ink: str = "muted",
    centred: bool = False,
) -> None:
    """Text drawn large and scaled down: small letters would be moved to whole pixels and look uneven."""
    height = int(font.getbbox("Ag")[3] * 1.15)
    for number, line in enumerate(lines):
        width = int(font.getlength(line)) + _SMOOTH
        mask = Image.new("L", (width + -width % _SMOOTH, height + -height % _SMOOTH))
        ImageDraw.Draw(mask).text((0, 0), line, font=font, fill=255)
        mask = mask.reduce(_SMOOTH)
        x = at[0] - mask.width / 2 if centred else at[0]
        image.paste(str(COLOURS["light"][ink]), (round(x), round(at[1] + number * mask.height)), mask)


def _window(draw: ImageDraw.ImageDraw, box: tuple[float, float, float], panel: Panel, frames: int) -> None:
    """A bar from x to x + width at y, with the part of the original that is taken."""
    x, y, width = box
    draw.rectangle((x, y, x + width, y + 3), fill=str(COLOURS["light"]["grid"]))
    first, last = (x + width * f / frames for f in (panel.start, panel.start + panel.length))
    draw.rectangle((first, y, last, y + 3), fill=COLOURS["light"]["bodies"][0][0])


def contact_sheet(stage: Stage, panels: Sequence[Panel], title: str, subtitle: str) -> Image.Image:
    """A row for each panel with its notes, and about eight of its frames evenly spaced."""
    big, bold, small = _font(20), _font(15), _font(12)
    cell, gap, notes, head = (132, 150), 6, 226, 66
    line_count = 8
    columns = min(_SHEET_COLUMNS, max(len(panel.joints) for panel in panels))
    row = cell[1] + 24
    width = notes + columns * (cell[0] + gap) + 24
    sheet = Image.new("RGB", (max(width, 560), head + row * len(panels) + 8), str(COLOURS["light"]["back"]))
    draw = ImageDraw.Draw(sheet)
    _write(sheet, (18, 12), [title], big, "ink")
    _write(sheet, (18, 40), [subtitle], small)
    for number, panel in enumerate(panels):
        top = head + number * row
        draw.line((18, top, sheet.width - 18, top), fill=str(COLOURS["light"]["grid"]))
        _write(sheet, (18, top + 11), [panel.title], bold, "ink")
        _window(draw, (18, top + 34, notes - 42), panel, len(panels[0].joints))
        _write(sheet, (18, top + 44), _wrapped(panel.notes, small, notes - 40, line_count), small)
        frames = np.unique(np.linspace(0, len(panel.joints) - 1, columns).round().astype(int))
        for column, frame in enumerate(frames):
            x = notes + column * (cell[0] + gap)
            sheet.paste(_picture(stage, panel, number, int(frame), cell), (x, top + 4))
            middle = x + cell[0] / 2
            if not panel.present[frame].any():
                _write(sheet, (middle, top + cell[1] / 2), ["nobody"], small, centred=True)
            _write(sheet, (middle, top + cell[1] + 6), [f"frame {frame}"], small, centred=True)
    return sheet


def film(
    stage: Stage, panels: Sequence[Panel], title: str, subtitle: str, fps: float
) -> tuple[list[Image.Image], int]:
    """All panels side by side, moving in the original's time.

    Returns
    -------
    the pictures, with one palette, and the milliseconds each is shown
    """
    big, bold, small = _font(19), _font(15), _font(12)
    cell, caption, head = (236, 224), 106, 56
    across = min(4, len(panels))
    down = -(-len(panels) // across)
    size = (across * cell[0], head + down * (cell[1] + caption))
    still = Image.new("RGB", size, str(COLOURS["light"]["back"]))
    draw = ImageDraw.Draw(still)
    _write(still, (14, 8), [title], big, "ink")
    _write(still, (14, 34), [subtitle], small)
    frames = len(panels[0].joints)
    corners = [(n % across * cell[0], head + n // across * (cell[1] + caption)) for n in range(len(panels))]
    for panel, (x, y) in zip(panels, corners, strict=True):
        _write(still, (x + 14, y), [panel.title], bold, "ink")
        _window(draw, (x + 14, y + cell[1] + 14, cell[0] - 28), panel, frames)
        _write(still, (x + 14, y + cell[1] + 22), _wrapped(panel.notes, small, cell[0] - 26, 5), small)
    palette = _palette()
    step = max(1, round(fps / _GIF_RATE), -(-frames // _GIF_FRAMES))
    pictures = []
    for time in np.arange(0.5, frames, step):
        picture = still.copy()
        draw = ImageDraw.Draw(picture)
        for number, (panel, (x, y)) in enumerate(zip(panels, corners, strict=True)):
            frame = panel.frame_at(time)
            picture.paste(_picture(stage, panel, number, frame, (cell[0] - 8, cell[1] - 10)), (x + 4, y + 20))
            if frame is None or not panel.present[frame].any():
                word = "not taken" if frame is None else "nobody"
                _write(picture, (x + cell[0] / 2, y + cell[1] / 2), [word], small, centred=True)
            now = x + 14 + (cell[0] - 28) * time / frames
            draw.rectangle(
                (now - 1, y + cell[1] + 11, now + 1, y + cell[1] + 20), fill=str(COLOURS["light"]["ink"])
            )
        pictures.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    return pictures, max(20, round(100 * step / fps) * 10)


def _palette() -> Image.Image:
    """The drawing's colours, each in steps to the background, which is where smoothed edges lie."""
    colours = COLOURS["light"]
    faint = [colours[k] for k in ("grid", "shadow")]
    names = [*faint, colours["ink"], colours["muted"], colours["mark"]]
    names += [shade for body in colours["bodies"] for shade in body]
    entries = [255, 255, 255]
    for name in names:
        rgb = np.array([int(str(name)[k : k + 2], 16) for k in (1, 3, 5)])
        for share in np.linspace(0.2, 1, 9) if name not in faint else (1.0,):
            entries += (255 + (rgb - 255) * share).round().astype(int).tolist()
    image = Image.new("P", (1, 1))
    image.putpalette(entries)
    return image
