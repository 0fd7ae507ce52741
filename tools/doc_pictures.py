"""Draw the pictures of docs/recipes.md and docs/augmentations.md, and the film of the README.

    python tools/doc_pictures.py FILES SAMPLE OUT
    python tools/doc_pictures.py FILES SAMPLE OUT FILM

What each recipe makes of a sequence, OUT/recipe-NAME.png, before above after; or, with FILM, what each
augmentation does, OUT/augment-NAME.png likewise, and some of them side by side, moving, in the GIF file FILM.

FILES is a folder, a .zip or a single file of NTU RGB+D, SAMPLE the name of one. Those in docs are of invented
people, so that nobody's data lies in the repository:

    skelkit synth raw --dataset ntu60 --classes 4 --subjects 8 --repeats 2
    python tools/doc_pictures.py raw S001C002P001R002A004 docs/pictures
    python tools/doc_pictures.py raw S001C002P006R002A001 docs/pictures docs/preview.gif
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from skelkit.augment import AUGMENTATIONS, CentreCrop
from skelkit.files import replacing
from skelkit.normalise import RECIPES, turn_spine
from skelkit.preview import write_preview
from skelkit.preview.pictures import contact_sheet
from skelkit.preview.stage import Panel, set_stage
from skelkit.readers import ntu
from skelkit.sequence import SkeletonSequence
from skelkit.skeleton import JointLayout, load_layout
from skelkit.sources import list_files

COLOURS = 128
FEW_COLOURS = 64
SEED = 7
FILMED = ("shear", "jitter", "rotation", "mirror", "crop", "isc")


def numbers(vector: NDArray[np.floating]) -> str:
    return ", ".join(f"{x + 0:.2f}" for x in vector.round(2))


def facts(sequence: SkeletonSequence, layout: JointLayout) -> tuple[str, ...]:
    """Where the first body that is there stands, and which way it points, in its first frame."""
    t, m = np.argwhere(sequence.present)[0]
    pose = sequence.joints[t, m]
    spine = pose[layout.spine[1]] - pose[layout.spine[0]]
    shoulders = pose[layout.shoulders[0]] - pose[layout.shoulders[1]]
    return (
        f"x, y, z of the first body in frame {t}:",
        f"{layout.joints[layout.centre]} at ({numbers(pose[layout.centre])}) m",
        f"spine points to ({numbers(spine / np.linalg.norm(spine))})",
        f"left to right shoulder to ({numbers(shoulders / np.linalg.norm(shoulders))})",
    )


def strip(
    sequence: SkeletonSequence, axes_of: SkeletonSequence, layout: JointLayout, title: str, subtitle: str
) -> Image.Image:
    """Some frames of a sequence in a row, seen from where one sees the front of ``axes_of``."""
    panel = Panel(
        title=f"{sequence.frames} frames, {sequence.bodies} bodies",
        joints=sequence.joints,
        present=sequence.present,
        start=0,
        length=sequence.frames,
        backwards=False,
        own_clock=False,
        marked=np.zeros(layout.size, np.bool_),
        notes=facts(sequence, layout),
    )
    return contact_sheet(set_stage(axes_of, [panel], layout), [panel], title, subtitle)


def find(source: Path, sample: str) -> SkeletonSequence:
    file = next((file for file in list_files([source], ".skeleton").files if file.stem == sample), None)
    if file is None:
        sys.exit(f"{source}: no {sample}.skeleton in it")
    return ntu.read(file.read(), file.where)


def save(picture: Image.Image, path: Path, colours: int) -> None:
    with replacing(path, "the picture") as temporary:
        few = picture.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        few.save(temporary, "PNG", optimize=True)


def draw_recipes(before: SkeletonSequence, out: Path) -> None:
    layout = load_layout("ntu25")
    above = strip(before, before, layout, f"{before.name} as in the file", "a colour is a slot")
    for name, recipe in RECIPES.items():
        after = recipe.apply(before, layout)
        axes_of = after if turn_spine in recipe.steps else before
        title, notes = f"after the recipe {name}", "; ".join(after.notes) or "nothing to note"
        below = strip(after, axes_of, layout, title, notes)
        picture = Image.new("RGB", (above.width, above.height + below.height), "white")
        picture.paste(above, (0, 0))
        picture.paste(below, (0, above.height))
        save(picture, out / f"recipe-{name}.png", COLOURS)


def draw_augmentations(recorded: SkeletonSequence, out: Path, film: Path) -> None:
    layout = load_layout("ntu25")
    sequence = RECIPES["isc"].apply(recorded, layout)
    for name, transform in {**AUGMENTATIONS, "centre-crop": CentreCrop(0.5)}.items():
        with TemporaryDirectory() as folder:
            sheet = Path(folder) / "sheet.png"
            write_preview(sequence, layout, sheet, augmentations={name: transform}, seed=SEED, recipe="isc")
            with Image.open(sheet) as picture:
                save(picture, out / f"augment-{name}.png", FEW_COLOURS)
    shown = {name: AUGMENTATIONS[name] for name in FILMED}
    write_preview(sequence, layout, film, augmentations=shown, seed=SEED, recipe="isc")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    found = find(Path(sys.argv[1]), sys.argv[2])
    if len(sys.argv) == 4:
        draw_recipes(found, Path(sys.argv[3]))
    else:
        draw_augmentations(found, Path(sys.argv[3]), Path(sys.argv[4]))
