"""augment preview as a user meets it: what --augment and --compose choose, and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from commands import skelkit

from skelkit.augment import AUGMENTATIONS

SAMPLE = "S001C001P001R001A001"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preview")
    synth = ["synth", folder / "raw", "--classes", 1, "--subjects", 1, "--repeats", 1]
    convert = ["convert", folder / "raw", "--dataset", "ntu60", "-o", folder / "a.h5", "--workers", 1]
    for command in (synth, convert):
        assert skelkit(*command).exit_code == 0
    return folder / "a.h5"


def preview(store: Path, out: Path, *options: object) -> Result:
    return skelkit("augment", "preview", store, "--sample", SAMPLE, "-o", out, *options)


def test_every_augmentation_unless_named(store: Path, tmp_path: Path) -> None:
    facts = json.loads(preview(store, tmp_path / "a.html", "--json").stdout)
    assert list(facts) == ["out", "seed", "parameters", "effect"]
    assert list(facts["parameters"]) == list(facts["effect"]) == list(AUGMENTATIONS)
    assert facts["effect"]["shear"]["moved"] > 0
    some = preview(store, tmp_path / "a.html", "--augment", "mirror", "--augment", "crop", "--json")
    assert list(json.loads(some.stdout)["parameters"]) == ["mirror", "crop"]


def test_composed_into_one_view(store: Path, tmp_path: Path) -> None:
    both = ("--augment", "crop", "--augment", "shear", "--compose")
    facts = json.loads(preview(store, tmp_path / "a.html", *both, "--json").stdout)
    assert list(facts["parameters"]) == ["crop + shear"]
    assert list(facts["parameters"]["crop + shear"]) == ["crop.start", "crop.length", "shear.matrix"]
    told = preview(store, tmp_path / "a.html", *both).stdout
    assert "crop + shear" in told
    assert "bones change by" in told


def test_wrong_compositions(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    result = preview(store, out, "--augment", "resample", "--augment", "crop", "--compose")
    assert result.exit_code == 1
    assert result.stderr == "Error: resample + crop: crop must come before resample\n"
    result = preview(store, out, "--augment", "crop", "--compose")
    assert result.exit_code == 2
    assert "--compose: give --augment at least twice" in result.stderr
    result = preview(store, out, *["--augment", "shear"] * 16, "--compose")
    assert result.exit_code == 2
    assert "--compose: compose: 16 parts, expected 1 to 15" in result.stderr
    assert not out.exists()
