"""Skeletons drawn with Pillow: a contact sheet, and the pictures of a film."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from skelkit.preview.stage import Panel, Stage

__all__ = ["COLOURS", "contact_sheet", "film"]

COLOURS = {
    "light": {
        "back": "#ffffff",
        "ink": "#1f2933",
        "muted": "#647080",
        "grid": "#dfe4ea",
        "shadow": "#e9ecf0",
        "mark": "#ffc400",
        "behind": "#b9c3ce",
        "bodies": [["#2f6fde", "#e8702a", "#4a5563"], ["#0f9f8f", "#c2409a", "#9aa5b1"]],
    },
    "dark": {
        "back": "#171c22",
        "ink": "#e6ebf0",
        "muted": "#93a0ae",
        "grid": "#2c353f",
        "shadow": "#222a32",
        "mark": "#ffc400",
        "behind": "#4a5663",
        "bodies": [["#6ea8ff", "#ff9d5c", "#c3ccd6"], ["#3fd0bd", "#ec7cc8", "#7d8996"]],
    },
}
"""By scheme; a body's colours are left, right, trunk. Every other body takes the second set."""

_SMOOTH = 3
_GIF_RATE = 15
_GIF_FRAMES = 120
_SHEET_COLUMNS = 8

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
    return image.reduce(_SMOOTH)


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


def _wrapped(lines: Sequence[str], font: _Font, width: int) -> list[str]:
    """Lines broken to fit: at blanks, and within words that are too long by themselves."""
    result: list[str] = []
    for line in lines:
        current = ""
        for word in line.split(" "):
            longer = f"{current} {word}" if current else word
            if current and not _fits(longer, font, width):
                result.append(current)
                longer = word
            while not _fits(longer, font, width):
                most = next(n for n in range(len(longer) - 1, 0, -1) if _fits(longer[:n], font, width))
                result.append(longer[:most])
                longer = longer[most:]
            current = longer
        result.append(current)
    return result


def _fits(text: str, font: _Font, width: int) -> bool:
    return len(text) < 2 or font.getlength(text) <= width * _SMOOTH


def _line_height(font: _Font) -> int:
    """Pixels from line to line."""
    return -(-int(font.getbbox("Ag")[3] * 1.15) // _SMOOTH)


def _write(
    image: Image.Image,
    at: tuple[float, float],
    lines: Sequence[str],
    font: _Font,
    ink: str = "muted",
    centred: bool = False,
) -> None:
    """Text drawn large and scaled down: small letters would be moved to whole pixels and look uneven."""
    height = _line_height(font)
    for number, line in enumerate(lines):
        width = int(font.getlength(line)) + _SMOOTH
        mask = Image.new("L", (width + -width % _SMOOTH, height * _SMOOTH))
        ImageDraw.Draw(mask).text((0, 0), line, font=font, fill=255)
        mask = mask.reduce(_SMOOTH)
        x = at[0] - mask.width / 2 if centred else at[0]
        image.paste(str(COLOURS["light"][ink]), (round(x), round(at[1] + number * height)), mask)


def _window(
    draw: ImageDraw.ImageDraw, box: tuple[float, float, float], panel: Panel, original: Panel
) -> None:
    """A bar from x to x + width at y, with the part of the original that is taken."""
    x, y, width = box
    frames = len(original.joints)
    draw.rectangle((x, y, x + width, y + 3), fill=str(COLOURS["light"]["grid"]))
    first, last = (x + width * f / frames for f in (panel.start, panel.start + panel.length))
    draw.rectangle((first, y, last, y + 3), fill=COLOURS["light"]["bodies"][0][0])


def _notes(stage: Stage, panel: Panel, number: int, size: tuple[int, int]) -> list[str]:
    """A panel's notes, and its scale where that is not the original's."""
    share = stage.scale(number, size) / stage.scale(0, size)
    return [*panel.notes, *([f"drawn at {share:.0%} of the original's size"] if share < 0.995 else [])]


def contact_sheet(stage: Stage, panels: Sequence[Panel], title: str, subtitle: str) -> Image.Image:
    """A row for each panel with its notes, and about eight of its frames evenly spaced."""
    big, bold, small = _font(20), _font(15), _font(12)
    cell, gap, notes, edge = (132, 150), 6, 250, 18
    columns = min(_SHEET_COLUMNS, max(len(panel.joints) for panel in panels))
    width = max(notes + columns * (cell[0] + gap) + 24, 560)
    titles, subtitles = (
        _wrapped([text], font, width - 2 * edge) for text, font in ((title, big), (subtitle, small))
    )
    under = 12 + len(titles) * _line_height(big) + 4
    head = under + len(subtitles) * _line_height(small) + 10
    texts = [
        _wrapped(_notes(stage, panel, n, cell), small, notes - edge - 20) for n, panel in enumerate(panels)
    ]
    names = [_wrapped([panel.title], bold, notes - edge - 20) for panel in panels]
    tops = [24 + len(name) * _line_height(bold) for name in names]
    heights = [
        max(cell[1] + 24, above + 6 + len(text) * _line_height(small))
        for above, text in zip(tops, texts, strict=True)
    ]
    sheet = Image.new("RGB", (width, head + sum(heights) + 8), str(COLOURS["light"]["back"]))
    draw = ImageDraw.Draw(sheet)
    _write(sheet, (edge, 12), titles, big, "ink")
    _write(sheet, (edge, under), subtitles, small)
    top = head
    for number, (panel, height) in enumerate(zip(panels, heights, strict=True)):
        draw.line((edge, top, width - edge, top), fill=str(COLOURS["light"]["grid"]))
        _write(sheet, (edge, top + 11), names[number], bold, "ink")
        _window(draw, (edge, top + tops[number] - 6, notes - edge - 24), panel, panels[0])
        _write(sheet, (edge, top + tops[number] + 4), texts[number], small)
        frames = np.unique(np.linspace(0, len(panel.joints) - 1, columns).round().astype(int))
        for column, frame in enumerate(frames):
            x = notes + column * (cell[0] + gap)
            sheet.paste(_picture(stage, panel, number, int(frame), cell), (x, top + 4))
            middle = x + cell[0] / 2
            if not panel.present[frame].any():
                _write(sheet, (middle, top + cell[1] / 2), ["empty"], small, centred=True)
            _write(sheet, (middle, top + cell[1] + 6), [f"frame {frame}"], small, centred=True)
        top += height
    return sheet


def film(
    stage: Stage, panels: Sequence[Panel], title: str, subtitle: str, fps: float
) -> tuple[list[Image.Image], int]:
    """All panels side by side, moving in the original's time.

    Returns
    -------
    the pictures, with one palette, and the milliseconds each is shown
    """
    still, corners, cell = _film_ground(stage, panels, title, subtitle)
    small = _font(12)
    palette = _palette()
    original = panels[0]
    frames = max(len(panel.joints) for panel in panels if panel.own_clock or panel is original)
    step = max(1, round(fps / _GIF_RATE), -(-frames // _GIF_FRAMES))
    pictures = []
    for time in np.arange(0.5, frames, step):
        picture = still.copy()
        draw = ImageDraw.Draw(picture)
        for number, (panel, (x, y)) in enumerate(zip(panels, corners, strict=True)):
            frame = panel.frame_at(time)
            picture.paste(_picture(stage, panel, number, frame, (cell[0] - 8, cell[1] - 10)), (x + 4, y + 20))
            if frame is None or not panel.present[frame].any():
                over = panel.own_clock or time > len(original.joints)
                word = "empty" if frame is not None else "over" if over else "not taken"
                _write(picture, (x + cell[0] / 2, y + cell[1] / 2), [word], small, centred=True)
            if frame is None and time > len(original.joints):
                continue
            moment = panel.moment(frame) if panel.own_clock and frame is not None else time
            now = x + 14 + (cell[0] - 28) * moment / len(original.joints)
            draw.rectangle(
                (now - 1, y + cell[1] + 11, now + 1, y + cell[1] + 20), fill=str(COLOURS["light"]["ink"])
            )
        pictures.append(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    return pictures, max(20, round(100 * step / fps) * 10)


def _film_ground(
    stage: Stage, panels: Sequence[Panel], title: str, subtitle: str
) -> tuple[Image.Image, list[tuple[int, int]], tuple[int, int]]:
    """What stands still in a film; each panel's corner in it, and the size of a panel without its notes."""
    big, bold, small = _font(19), _font(15), _font(12)
    cell, edge = (236, 224), 14
    across = min(4, len(panels))
    width = across * cell[0]
    titles, subtitles = (
        _wrapped([text], font, width - 2 * edge) for text, font in ((title, big), (subtitle, small))
    )
    under = 8 + len(titles) * _line_height(big) + 3
    texts = [_wrapped(_notes(stage, panel, n, cell), small, cell[0] - 26) for n, panel in enumerate(panels)]
    names = [_wrapped([panel.title], bold, cell[0] - 26) for panel in panels]
    corners, top = [], under + len(subtitles) * _line_height(small) + 8
    for first in range(0, len(panels), across):
        row = slice(first, first + across)
        top += (max(map(len, names[row])) - 1) * _line_height(bold)
        corners += [(column * cell[0], top) for column in range(len(names[row]))]
        top += cell[1] + 34 + max(map(len, texts[row])) * _line_height(small)
    still = Image.new("RGB", (width, top), str(COLOURS["light"]["back"]))
    draw = ImageDraw.Draw(still)
    _write(still, (edge, 8), titles, big, "ink")
    _write(still, (edge, under), subtitles, small)
    for panel, name, text, (x, y) in zip(panels, names, texts, corners, strict=True):
        _write(still, (x + edge, y - (len(name) - 1) * _line_height(bold)), name, bold, "ink")
        _window(draw, (x + edge, y + cell[1] + 14, cell[0] - 2 * edge), panel, panels[0])
        _write(still, (x + edge, y + cell[1] + 22), text, small)
    return still, corners, cell


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
