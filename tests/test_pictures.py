"""The pictures of the docs can be made again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from skelkit.augment import AUGMENTATIONS
from skelkit.normalise import RECIPES
from skelkit.synthetic import synthesise

ROOT = Path(__file__).parents[1]
PICTURE_BYTES = 100_000
ALL_PICTURES_BYTES = 600_000
"""Of the augmentations, and as much again for the film."""


def test_the_pictures_of_the_recipes_can_be_made_again(tmp_path: Path) -> None:
    synthesise(tmp_path / "raw", classes=4, subjects=1, repeats=2, seed=0)
    tool = str(ROOT / "tools" / "doc_pictures.py")
    command = [sys.executable, tool, str(tmp_path / "raw"), "S001C002P001R002A004", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    made, kept = (sorted(folder.glob("recipe-*.png")) for folder in (tmp_path, ROOT / "docs" / "pictures"))
    names = sorted(f"recipe-{name}.png" for name in RECIPES)
    assert [file.name for file in made] == [file.name for file in kept] == names
    assert all(file.stat().st_size < PICTURE_BYTES for file in (*made, *kept))
    for files in (made, kept):
        assert len({file.read_bytes() for file in files}) == len(names), "no two look alike"


def test_the_pictures_of_the_augmentations_can_be_made_again(tmp_path: Path) -> None:
    synthesise(tmp_path / "raw", classes=1, subjects=1, repeats=1, seed=0)
    tool, film = str(ROOT / "tools" / "doc_pictures.py"), tmp_path / "film.gif"
    command = [sys.executable, tool, str(tmp_path / "raw"), "S001C002P001R001A001", str(tmp_path), str(film)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    made, kept = (sorted(folder.glob("augment-*.png")) for folder in (tmp_path, ROOT / "docs" / "pictures"))
    names = sorted(f"augment-{name.replace(' ', '-')}.png" for name in [*AUGMENTATIONS, "centre crop"])
    assert [file.name for file in made] == [file.name for file in kept] == names
    for pictures, moving in ((made, film), (kept, ROOT / "docs" / "preview.gif")):
        assert sum(file.stat().st_size for file in pictures) < ALL_PICTURES_BYTES
        assert len({file.read_bytes() for file in pictures}) == len(names), "no two look alike"
        assert moving.stat().st_size < ALL_PICTURES_BYTES
