"""The examples run as they stand, on few invented people."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "from_store_to_plot.py"
SMALL = ("--classes", "3", "--subjects", "4", "--epochs", "6")


def run(folder: Path, *arguments: str) -> str:
    """What it prints."""
    command = [sys.executable, str(EXAMPLE), "--folder", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("example")
    return folder, run(folder, *SMALL)


def test_the_classifier_learns_something(made: tuple[Path, str]) -> None:
    accuracy, chance = map(
        float, re.findall(r"^test accuracy (.*)%, chance (.*)%$", made[1], re.MULTILINE)[0]
    )
    assert chance == 33.3
    assert accuracy > 1.5 * chance


def test_the_plot_has_dots_and_a_legend_in_the_colours_of_the_classes(made: tuple[Path, str]) -> None:
    with Image.open(made[0] / "features.png") as picture:
        halves = [picture.crop(box) for box in ((0, 60, 640, 640), (640, 60, picture.width, 640))]
    for half in halves:
        seen = {colour for _, colour in half.getcolors(half.width * half.height)}
        assert {(0x2F, 0x6F, 0xDE), (0xE8, 0x70, 0x2A), (0x0F, 0x9F, 0x8F)} <= seen


def test_it_takes_a_store_that_is_there(made: tuple[Path, str], tmp_path: Path) -> None:
    printed = run(tmp_path, str(made[0] / "ntu60.h5"), "--protocol", "xview", "--epochs", "1")
    assert "S001C001P001R001A001 (drink water): joints" in printed
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".png"] * 4
