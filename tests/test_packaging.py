"""The package as users get it: built, installed in an environment of its own, and used there.

Nothing is needed for it but pip, and what pip fetches by itself; where pip fails, the tests fail. torch alone
is not fetched again: it is that of the environment that runs the tests.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skelkit import __version__

ROOT = Path(__file__).parents[1]
PACKAGES = ("skelkit", "skelkit_train")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
KINDS = {".css", ".html", ".js", ".py", ".toml", ".txt", ".typed"}
"""Of files that packages may have."""
PAPERWORK = {
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "constraints.txt",
    "pyproject.toml",
}
SAMPLE = "S001C001P001R001A001"


def succeeds(command: list[Any], folder: Path, **settings: str) -> str:
    """What a command prints, run in the folder; neither this checkout nor its environment is on its path."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in hidden} | settings
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    def program(self, name: str) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / name

    @property
    def site(self) -> Path:
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return Path(succeeds([self.program("python"), "-c", code], self.folder).strip())

    def pip(self, *arguments: object) -> None:
        words = [sys.executable, "-m", "pip", "--python", self.program("python"), *arguments]
        succeeds(words, self.folder)


def make_environment(folder: Path) -> Environment:
    """Without a pip of its own, which would take seconds."""
    succeeds([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    return Environment(folder)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    builder = make_environment(tmp_path_factory.mktemp("builder") / "env")
    builder.pip("install", "--quiet", *PROJECT["build-system"]["requires"])
    backend = PROJECT["build-system"]["build-backend"]
    code = f"import {backend} as backend; backend.build_sdist({str(folder)!r})"
    succeeds([builder.program("python"), "-c", code], ROOT)
    (sdist,) = folder.iterdir()
    builder.pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist)
    return folder


@pytest.fixture(scope="module")
def user(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel and what it requires, without torch."""
    environment = make_environment(tmp_path_factory.mktemp("user") / "env")
    (wheel,) = dist.glob("*.whl")
    environment.pip("install", "--quiet", "--no-compile", "--constraint", ROOT / "constraints.txt", wheel)
    return environment


@pytest.fixture(scope="module")
def folder(user: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory of the user's, with a store in it."""
    folder = tmp_path_factory.mktemp("work")
    skelkit = user.program("skelkit")
    synth = [skelkit, "synth", "raw", "--classes", 2, "--subjects", 2, "--repeats", 1]
    succeeds(synth, folder)
    succeeds([skelkit, "convert", "raw", "--dataset", "ntu60", "--workers", 1, "-o", "ntu60.h5"], folder)
    return folder


def package_files() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in KINDS
    }


def test_the_wheel_has_the_packages_whole_and_nothing_else(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {"skelkit/py.typed", "skelkit/preview/page.html", "skelkit_train/report/page.html"} <= names
    assert names == package_files()


def test_the_sdist_has_the_packages_and_what_a_build_needs(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == package_files() | PAPERWORK


def test_the_version_is_written_once(dist: Path, user: Environment, folder: Path) -> None:
    files = [ROOT / "pyproject.toml", *(ROOT / name for name in package_files() if name.endswith(".py"))]
    pattern = re.compile(rf"""["']{re.escape(__version__)}["']""")
    written = [file for file in files if pattern.search(file.read_text(encoding="utf-8"))]
    assert written == [ROOT / "skelkit" / "__init__.py"]
    assert {path.name.split("-")[1].removesuffix(".tar.gz") for path in dist.iterdir()} == {__version__}
    for program in ("skelkit", "skelkit-train"):
        assert succeeds([user.program(program), "--version"], folder).split()[-1] == __version__


def test_every_requirement_has_one_range() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    listed = [text for group in (PROJECT["project"]["dependencies"], *extras) for text in group]
    names = [re.split(r"[\[<>=]", text)[0] for text in listed]
    assert len(names) == len(set(names))


def test_without_torch_it_converts_and_previews(user: Environment, folder: Path) -> None:
    skelkit = user.program("skelkit")
    place = succeeds([user.program("python"), "-c", "import skelkit; print(skelkit.__file__)"], folder)
    assert user.folder in Path(place).parents
    assert "Usage: skelkit " in succeeds([skelkit, "--help"], folder)
    report = json.loads((folder / "ntu60.report.json").read_text(encoding="utf-8"))
    assert (report["kept"], report["version"]) == (12, __version__)
    assert (
        succeeds([skelkit, "verify", "ntu60.h5"], folder)
        == "ntu60.h5: intact, every byte is as it was written\n"
    )
    for page, begins in (("preview.html", b"<!"), ("preview.png", b"\x89PNG")):
        shown = [skelkit, "augment", "preview", "ntu60.h5", "--sample", SAMPLE, "--augment", "shear"]
        succeeds([*shown, "-o", page], folder)
        assert (folder / page).read_bytes().startswith(begins)


def test_without_torch_training_says_in_one_line_what_to_install(user: Environment, folder: Path) -> None:
    words = [user.program("skelkit-train"), "pretrain", "ntu60.h5", "-o", "run"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Error: torch is not installed; pip install "skelkit[train]"\n'
    assert not (folder / "run").exists()


def test_with_torch_it_trains(user: Environment, folder: Path, tmp_path: Path) -> None:
    torch = importlib.util.find_spec("torch")
    assert torch
    assert torch.origin
    trainer = make_environment(tmp_path / "env")
    # Packages alone are found so: an editable install, which is a .pth file itself, is not.
    places = f"{user.site}\n{Path(torch.origin).parents[1]}\n"
    (trainer.site / "others.pth").write_text(places, encoding="utf-8")
    code = "import skelkit_train; print(skelkit_train.__file__)"
    assert user.site in Path(succeeds([trainer.program("python"), "-c", code], folder)).parents
    small = ["representations=seq", "gru_hidden=8", "gru_layers=1", "queue=16"]
    words = [trainer.program("python"), "-m", "skelkit_train", "pretrain", "ntu60.h5", "-o", "trained"]
    options = ["--preset", "small", "--epochs", 1, "--batch-size", 4, "--device", "cpu", "--json"]
    for setting in small:
        options += ["--set", setting]
    assert json.loads(succeeds([*words, *options], folder))["epoch"] == 1
    assert (folder / "trained" / "config.toml").exists()
