"""Real and golden data, which lie beside the checkout on developers' machines only; tiny raw files, and how
they are converted."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
from commands import only_json, skelkit
from numpy.typing import NDArray

from skelkit import blocks, conversion
from skelkit.workers import Processes

SHARED = Path(__file__).parents[3] / "shared"


def _shared(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs ../shared/{'/'.join(parts)}, which is not on this machine")
    return path


@pytest.fixture(scope="session")
def ntu_data() -> Path:
    """The folder of genuine NTU RGB+D files and lists."""
    return _shared("data", "ntu")


@pytest.fixture(scope="session")
def shared_pku() -> Path:
    """The folder of genuine PKU-MMD files."""
    return _shared("data", "pku")


@pytest.fixture(scope="session")
def nucla() -> Path:
    return _shared("data", "nucla", "nucla.npz")


@pytest.fixture(scope="session")
def wmft() -> Path:
    return _shared("data", "wmft", "wmft_10hz.npz")


@pytest.fixture(scope="session")
def real_files(ntu_data: Path) -> dict[str, bytes]:
    """All 62 genuine files by their bare names."""
    files = {}
    for archive in sorted(ntu_data.glob("*.zip")):
        with zipfile.ZipFile(archive) as members:
            files.update({Path(m.filename).name: members.read(m) for m in members.infolist() if m.file_size})
    assert len(files) == 62
    return files


@pytest.fixture(scope="session")
def golden_isc() -> Mapping[str, NDArray[np.float32]]:
    """By name what the paper's own code makes of the genuine files: (T, 2, 25, 3)."""
    with np.load(_shared("golden", "normalised.npz")) as arrays:
        ends = np.cumsum(arrays["isc_length"])
        parts = np.split(arrays["isc_joints"], ends[:-1])
        return dict(zip(arrays["isc_name"].tolist(), parts, strict=True))


def raw_bytes(seed: int, frames: int = 3, bodies: int = 1, end: str = "\n") -> bytes:
    """A .skeleton file of people that stand anywhere and move at random."""
    joints = np.random.default_rng(seed).normal(0, 1, (frames, bodies, 25, 3)).round(6)
    return naive.skeleton_text(
        [[(2**56 + m, pose.tolist()) for m, pose in enumerate(frame)] for frame in joints], end
    )


@pytest.fixture(scope="session")
def tiny() -> bytes:
    """One frame, one body: a file of 29 lines."""
    return raw_bytes(0, frames=1)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder of 40 good files: 10 actions, 4 subjects, cameras in turn."""
    folder = tmp_path / "raw" / "nturgb+d_skeletons"
    folder.mkdir(parents=True)
    for number in range(40):
        action, subject = number % 10 + 1, number // 10 + 1
        name = f"S001C{number % 3 + 1:03}P{subject:03}R001A{action:03}.skeleton"
        (folder / name).write_bytes(raw_bytes(number, frames=2 + number % 3, bodies=1 + number % 2))
    return folder


@pytest.fixture
def store(raw: Path, tmp_path: Path) -> Path:
    """A store of these."""
    only_json(
        skelkit("convert", raw, "--dataset", "ntu60", "--workers", 1, "-o", tmp_path / "s.h5", "--json")
    )
    return tmp_path / "s.h5"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files a block, so that 40 files are ten blocks."""
    monkeypatch.setattr(conversion, "BLOCK_FILES", 4)


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are converted from here on."""
    names: list[str] = []
    convert_block = blocks.convert_block

    def note(items: list[Any], job: Any) -> blocks.Block:
        names.extend(item.file.name for item in items)
        return convert_block(items, job)

    def in_process(
        processes: Processes[blocks.Block], queue: list[Any], *_: object
    ) -> Iterator[list[blocks.Block]]:
        yield from ([processes.work(block)] for block in queue)

    monkeypatch.setattr(conversion, "convert_block", note)
    monkeypatch.setattr(blocks, "convert_block", note)
    monkeypatch.setattr(Processes, "results", in_process)
    return names


def pku_bytes(seed: int, frames: int, bodies: int = 1) -> bytes:
    """A PKU-MMD skeleton file: 150 numbers a frame, those of an absent second body all zero."""
    joints = np.random.default_rng(seed).normal(0, 1, (frames, 2, 25, 3)).round(6)
    joints[:, bodies:] = 0
    return b"".join(b" ".join(b"%.6f" % x for x in frame.ravel()) + b"\n" for frame in joints)


@pytest.fixture
def pku_raw(tmp_path: Path) -> Path:
    """PKU-MMD II in small: 2 recordings of 2 subjects by 3 cameras, 60 frames, three clips in each."""
    folder = tmp_path / "pku"
    for part in ("PKU_Skeleton_v2", "Label_PKU_v2", "Split_v2"):
        (folder / part).mkdir(parents=True)
    names = [f"A{a:02}N{n:02}-{v}" for a in (1, 2) for n in (1, 2) for v in "LMR"]
    for seed, name in enumerate(names):
        (folder / "PKU_Skeleton_v2" / f"{name}.txt").write_bytes(pku_bytes(seed, 60, 1 + seed % 2))
        (folder / "Label_PKU_v2" / f"{name}.txt").write_text("5,0,10,2\n27,10,40,1\n5,40,60,2\n")
    for file, trains in (("cross_subject_v2", "N01"), ("cross_view_v2", "-M -R")):
        lists = {True: "", False: ""}
        for name in names:
            lists[any(mark in name for mark in trains.split())] += f"{name}, "
        text = f"Training videos: \n{lists[True]}\nValidataion videos: \n{lists[False]}"
        (folder / "Split_v2" / f"{file}.txt").write_text(text)
    return folder
